"""Solver for nested trailing factors: block elimination without fill, O(levels).

Where every grouping factor is nested in all larger-grained ones, each level has one
ancestor in every coarser factor, and eliminating it touches these ancestors alone. So
S needs no sparse factorisation: its blocks are eliminated factor by factor, and the
entries of S^-1 that the gradient asks for follow from the coarsest factor down
(Takahashi's recursion on a forest). Small matrices of all levels of a factor are kept
together with the level last, shape (rows, columns, levels).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .layout import Layout
from .small import inverse_and_logdet

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

FloatArray = NDArray[np.float64]
Levels = NDArray[Any]


def parents(codes: Sequence[Levels], counts: Sequence[int]) -> list[Levels] | None:
    """Level of the next coarser factor that each level belongs to, if all are nested.

    Parameters
    ----------
    codes : sequence of ndarray, shape (n,)
        Levels of the rows in each factor, the finest factor first.
    counts : sequence of int
        Number of levels of each.

    Returns
    -------
    list of ndarray or None
        One array a factor but the last; None if some factor is not nested in the next.
    """
    found = []
    for fine, coarse, count in zip(codes[:-1], codes[1:], counts[:-1], strict=True):
        parent = np.zeros(count, dtype=np.int64)
        parent[fine] = coarse
        if not np.array_equal(parent[fine], coarse):
            return None
        found.append(parent)
    return found


def _sums(values: FloatArray, groups: Levels, count: int) -> FloatArray:
    """Sums over levels (the last axis) by group, shape (..., count)."""
    flat = values.reshape(-1, values.shape[-1])
    sums = [np.bincount(groups, row, minlength=count) for row in flat]
    stacked: FloatArray = np.stack(sums).astype(np.float64, copy=False)
    return stacked.reshape(*values.shape[:-1], count)


def _product(A: FloatArray, B: FloatArray) -> FloatArray:
    """A_l B_l for every level l."""
    product: FloatArray = np.einsum("ijl,jkl->ikl", A, B)
    return product


def _cross(A: FloatArray, B: FloatArray) -> FloatArray:
    """A_l' B_l for every level l."""
    product: FloatArray = np.einsum("jil,jkl->ikl", A, B)
    return product


class NestedSolver:
    """Eliminates nested trailing factors one after the other.

    Parameters
    ----------
    cross : CrossProducts
    layout : Layout
    parent : list of ndarray
        From :func:`parents` for all grouping blocks, the leading one first.
    """

    name = "nested"
    has_gradient = True

    def __init__(
        self, cross: CrossProducts, layout: Layout, parent: Sequence[Levels]
    ) -> None:
        self.layout = layout
        self.A21, self.A21t = cross.A21, cross.A21.T.tocsr()
        J = len(layout.parts)
        self.widths = [q for _, _, q in layout.parts]
        self.counts = [levels for _, levels, _ in layout.parts]
        # ancestors[j][k]: for levels of factor j (0 is the leading one) in trailing k
        self.ancestors: list[dict[int, Levels]] = []
        for j in range(J + 1):
            above: dict[int, Levels] = {}
            reach = None
            for k in range(j, J):
                reach = parent[k] if reach is None else parent[k][reach]
                above[k] = reach
            self.ancestors.append(above)
        L, q, _ = cross.A11.shape
        self.leading = self._gather(cross.A21, 0, np.arange(L), q, range(J))
        self.diagonals: list[FloatArray] = []
        self.couplings: list[FloatArray] = []
        for j in range(J):
            rows, levels, width = layout.parts[j]
            own = np.arange(levels)
            columns = cross.A22[:, rows]
            self.diagonals.append(self._gather(columns, j + 1, own, width, [j]))
            above_j = range(j + 1, J)
            self.couplings.append(self._gather(columns, j + 1, own, width, above_j))

    def _gather(
        self,
        M: sparse.csr_array,
        factor: int,
        own: Levels,
        width: int,
        blocks: Sequence[int],
    ) -> FloatArray:
        """Entries of M in the rows of each level's ancestors: (sum of q, width, L)."""
        pieces = []
        columns = own[None, :] * width + np.arange(width)[:, None]
        for k in blocks:
            rows, _, q = self.layout.parts[k]
            above = own if k == factor - 1 else self.ancestors[factor][k]
            at = rows.start + above[None, :] * q + np.arange(q)[:, None]
            shape = (q, width, len(own))
            index = np.broadcast_to(at[:, None, :], shape).ravel()
            across = np.broadcast_to(columns[None, :, :], shape).ravel()
            pieces.append(np.asarray(M[index, across]).reshape(shape))
        if not pieces:
            return np.zeros((0, width, len(own)))
        return np.concatenate(pieces)

    def chain(self, Ts: Sequence[FloatArray], first: int) -> FloatArray:
        """Block diagonal of the templates from the trailing block `first` on."""
        size = sum(self.widths[first:])
        T = np.zeros((size, size))
        start = 0
        for block in Ts[first:]:
            stop = start + len(block)
            T[start:stop, start:stop] = block
            start = stop
        return T

    def slices(self, first: int) -> list[tuple[int, slice]]:
        """Rows of each trailing block from `first` on, among a level's ancestors."""
        out, start = [], 0
        for k in range(first, len(self.widths)):
            out.append((k, slice(start, start + self.widths[k])))
            start += self.widths[k]
        return out

    def factor(self, K: FloatArray, Ts: Sequence[FloatArray]) -> NestedFactor:
        """Factor S for the leading block's K, shape (L, q, q), and the templates."""
        G, couplings = [D.copy() for D in self.diagonals], list(self.couplings)
        A = self.leading
        spread = np.einsum("ijl,kjl->ikl", _product(A, K.transpose(1, 2, 0)), A)
        own = self.slices(0)
        for j, rows in own:
            groups = self.ancestors[0][j]
            G[j] -= _sums(spread[rows, rows], groups, self.counts[j])
            above = spread[rows.stop :, rows]
            if above.size:
                couplings[j] = couplings[j] - _sums(above, groups, self.counts[j])
        return NestedFactor(self, G, couplings, Ts)


class NestedFactor:
    """The eliminated S and what the criterion asks of it."""

    def __init__(
        self,
        solver: NestedSolver,
        G: list[FloatArray],
        couplings: list[FloatArray],
        Ts: Sequence[FloatArray],
    ) -> None:
        self.solver, self.G, self.couplings, self.Ts = solver, G, couplings, Ts
        self.transposed_Ts = [T.T for T in Ts]
        self.logdet = 0.0
        D, C = [], []
        for j, T in enumerate(Ts):
            scaled = np.einsum("ji,jkl,km->iml", T, G[j], T, optimize=True)
            i = np.arange(len(T))
            scaled[i, i] += 1.0
            D.append(scaled)
            above = solver.chain(Ts, j + 1)
            C.append(np.einsum("ji,jkl,km->iml", above, couplings[j], T, optimize=True))
        self.inverses: list[FloatArray] = []
        self.W: list[FloatArray] = []
        for j in range(len(Ts)):
            self._eliminate(j, D, C)

    def _eliminate(self, j: int, D: list[FloatArray], C: list[FloatArray]) -> None:
        """Eliminate the levels of trailing block j from its ancestors."""
        solver = self.solver
        inverse, logdet = inverse_and_logdet(D[j].transpose(2, 0, 1))
        if not np.isfinite(logdet) or (D[j][0, 0] <= 0).any():
            raise np.linalg.LinAlgError("the trailing matrix is not positive definite")
        self.logdet += logdet
        self.inverses.append(np.ascontiguousarray(inverse.transpose(1, 2, 0)))
        W = _product(C[j], self.inverses[j])
        self.W.append(W)
        update = np.einsum("ijl,kjl->ikl", W, C[j])
        for k, rows in solver.slices(j + 1):
            groups = solver.ancestors[j + 1][k]
            D[k] = D[k] - _sums(update[rows, rows], groups, solver.counts[k])
            above = update[rows.stop :, rows]
            if above.size:
                C[k] = C[k] - _sums(above, groups, solver.counts[k])

    def _split(self, R: FloatArray) -> list[FloatArray]:
        """Rows of R by block, shape (q, columns, levels)."""
        return [
            R[rows].reshape(levels, q, -1).transpose(1, 2, 0)
            for rows, levels, q in self.solver.layout.parts
        ]

    def _join(self, pieces: Sequence[FloatArray]) -> FloatArray:
        return np.concatenate(
            [p.transpose(2, 0, 1).reshape(-1, p.shape[1]) for p in pieces]
        )

    def _ancestors(self, pieces: Sequence[FloatArray], factor: int) -> FloatArray:
        """The ancestors' rows of what `pieces` holds by block."""
        above = self.solver.ancestors[factor]
        blocks = range(factor, len(pieces))
        return np.concatenate([pieces[k][..., above[k]] for k in blocks])

    def solve(self, R: FloatArray) -> FloatArray:
        """S^-1 R."""
        solver = self.solver
        right = self._split(R)
        for j, W in enumerate(self.W):
            update = _product(W, right[j])
            for k, rows in solver.slices(j + 1):
                groups = solver.ancestors[j + 1][k]
                right[k] = right[k] - _sums(update[rows], groups, solver.counts[k])
        for j in range(len(self.W) - 1, -1, -1):
            right[j] = _product(self.inverses[j], right[j])
            if len(self.W[j]):
                right[j] = right[j] - _cross(self.W[j], self._ancestors(right, j + 1))
        return self._join(right)

    def _pattern(self) -> tuple[list[FloatArray], list[FloatArray]]:
        """S^-1 on S's pattern: diagonal blocks, and rows of the ancestors."""
        J = len(self.W)
        diagonal: list[FloatArray] = [np.empty(0)] * J
        above: list[FloatArray] = [np.empty(0)] * J
        for j in range(J - 1, -1, -1):
            diagonal[j], above[j] = self.inverses[j], self.W[j]
            if len(self.W[j]):
                among = self._among(diagonal, above, j + 1)
                above[j] = -_product(among, self.W[j])
                diagonal[j] = self.inverses[j] - _cross(self.W[j], above[j])
        return diagonal, above

    def _among(
        self, diagonal: list[FloatArray], above: list[FloatArray], factor: int
    ) -> FloatArray:
        """A pattern matrix among the ancestors of each level of a factor."""
        solver = self.solver
        slices = solver.slices(factor)
        size = slices[-1][1].stop
        groups = solver.ancestors[factor]
        out = np.empty((size, size, len(groups[slices[0][0]])))
        for k, rows in slices:
            out[rows, rows] = diagonal[k][..., groups[k]]
            if rows.stop < size:
                block = above[k][..., groups[k]]
                out[rows.stop :, rows] = block
                out[rows, rows.stop :] = block.transpose(1, 0, 2)
        return out

    def gradient(
        self, U: FloatArray, F: FloatArray, H: FloatArray
    ) -> tuple[list[FloatArray], FloatArray, FloatArray]:
        """Backward pass through S; see :meth:`DenseFactor.gradient`."""
        solver = self.solver
        R_hat = -2.0 * (U @ F)
        diagonal, above = self._pattern()
        pieces = self._split(U)
        for j, piece in enumerate(pieces):
            right = np.einsum("cd,jdl->jcl", F, piece)
            diagonal[j] = diagonal[j] + np.einsum("icl,jcl->ijl", piece, right)
            if len(above[j]):
                up = self._ancestors(pieces, j + 1)
                above[j] = above[j] + np.einsum("icl,jcl->ijl", up, right)
        T2 = solver.layout.diagonal_sums(H, R_hat)
        for j, T in enumerate(self.Ts):
            own = np.einsum("ijl,jk,kml->iml", self.G[j], T, diagonal[j], optimize=True)
            T2[j] = T2[j] + 2.0 * own.sum(axis=2)
            if not len(above[j]):
                continue
            G, S, up = self.couplings[j], above[j], solver.chain(self.Ts, j + 1)
            T2[j] = T2[j] + 2.0 * np.einsum("ail,ab,bjl->ij", G, up, S, optimize=True)
            turned = np.einsum("ail,ij,bjl->ab", G, T, S, optimize=True)
            for k, rows in solver.slices(j + 1):
                T2[k] = T2[k] + 2.0 * turned[rows, rows]
        AGA = self._leading_products(diagonal, above)
        return T2, AGA, solver.layout.left(self.Ts, R_hat)

    def _leading_products(
        self, diagonal: list[FloatArray], above: list[FloatArray]
    ) -> FloatArray:
        """A21_i' T2 S^ T2' A21_i of every leading level, shape (L, q, q)."""
        solver = self.solver
        T = solver.chain(self.Ts, 0)
        scaled = np.einsum("ji,jkl->ikl", T, solver.leading)
        middle = _product(self._among(diagonal, above, 0), scaled)
        return np.ascontiguousarray(_cross(scaled, middle).transpose(2, 0, 1))

    def inverse_blocks(self) -> tuple[list[FloatArray], FloatArray]:
        """Diagonal blocks of S^-1, and A21_i' T2 S^-1 T2' A21_i, shape (L, q, q)."""
        diagonal, above = self._pattern()
        blocks = [D.transpose(2, 0, 1) for D in diagonal]
        return blocks, self._leading_products(diagonal, above)
