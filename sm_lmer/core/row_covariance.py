"""Covariances of the random part of rows, given the data, at one theta.

Rows are those of the conditioned, weighted data and sigma is 1, so that the marginal
covariance of the response is ``V = I + Z T T' Z'`` and ``V^-1 = I - Z C Z'`` with
``C = T (T'Z'Z T + I)^-1 T'``, the covariance of the random effects given the data.
With the leading block as index 1, ``C11 = K + K A21' Sigma A21 K``,
``C21 = -Sigma A21 K`` and ``C22 = Sigma = T2 S^-1 T2'`` (docs/numerics.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from scipy import sparse

from ..linalg.dense import DenseFactor
from ..linalg.nested import NestedFactor
from .criterion import Evaluation
from .crossproducts import block_matrix
from .likelihood import Likelihood
from .terms import FloatArray, IntArray

TOGETHER = 6_000
"""Random effects up to which C is formed as one dense matrix."""

TRAILING_TOGETHER = 5_000
"""Trailing random effects up to which Sigma is formed where the factor is sparse."""

COLUMNS_AT_ONCE = 256
"""Columns of Sigma that are held together where it is not formed."""

NUMBERS_AT_ONCE = 4_000_000
"""Numbers in the largest array that a chunk needs."""


class RowCovariance:
    """Z C Z' for single rows, and among the rows of a group.

    Parameters
    ----------
    likelihood : Likelihood
    at : Evaluation
        Its latest; a sparse factor is gone after the next one.
    """

    def __init__(self, likelihood: Likelihood, at: Evaluation) -> None:
        self.likelihood, self.at = likelihood, at
        self.blocks, self.Zs = likelihood.blocks, likelihood.Zs
        self.L, self.q, _ = at.K.shape
        self.m = likelihood.layout.m
        starts = [rows.start for rows, _, _ in likelihood.layout.parts]
        self._trailing = [
            (start + block.codes * block.q + t, Z[:, t])
            for start, block, Z in zip(
                starts, self.blocks[1:], self.Zs[1:], strict=True
            )
            for t in range(block.q)
        ]

    # -- single rows -----------------------------------------------------------

    def diagonal(self) -> FloatArray:
        """z_j' C z_j of every row, shape (n,)."""
        codes, Z = self.blocks[0].codes, self.Zs[0]
        if self.m == 0:
            return _forms(Z, self.at.K, codes)
        if isinstance(self.at.factor, NestedFactor):
            return self._nested_diagonal(self.at.factor)
        K = self.at.K
        h = _forms(Z, K + K @ self._spread @ K, codes)
        self._add_across(h)
        self._add_trailing(h)
        return h

    def _nested_diagonal(self, factor: NestedFactor) -> FloatArray:
        """The same where a row's trailing levels are ancestors of its leading one."""
        solver = factor.solver
        inverse = factor._among(*factor._pattern(), 0)
        T = solver.chain(factor.Ts, 0)
        # rows of x = z2 - A21 K z1 among the ancestors, in the basis of S
        coupling = np.einsum("al,lr->alr", T.T @ solver.leading[:, 0], self.at.K[:, 0])
        for s in range(1, self.q):
            own = T.T @ solver.leading[:, s]
            coupling = coupling + np.einsum("al,lr->alr", own, self.at.K[:, s])
        inverse = np.ascontiguousarray(inverse.transpose(2, 0, 1))
        codes, Z1 = self.blocks[0].codes, self.Zs[0]
        Z2 = np.hstack(self.Zs[1:]) @ T
        h = _forms(Z1, self.at.K, codes)
        step = max(1, NUMBERS_AT_ONCE // Z2.shape[1])
        for first in range(0, len(h), step):
            part = slice(first, first + step)
            x = Z2[part].copy()
            for r in range(self.q):
                x -= coupling[:, codes[part], r].T * Z1[part, r, None]
            h[part] += _forms(x, inverse, codes[part])
        return h

    def _add_across(self, h: FloatArray) -> None:
        """Add twice z1' C12 z2."""
        codes, Z1 = self.blocks[0].codes, self.Zs[0]
        order = np.argsort(codes, kind="stable")
        ends = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=self.L))])
        step = max(1, NUMBERS_AT_ONCE // (self.m * self.q))
        if self._sigma is None:
            step = min(step, max(1, COLUMNS_AT_ONCE // self.q))
        for first in range(0, self.L, step):
            last = min(first + step, self.L)
            rows = order[ends[first] : ends[last]]
            W = self._through_sigma(first, last)
            level = codes[rows] - first
            Kz = np.einsum("nqr,nr->nq", self.at.K[codes[rows]], Z1[rows])
            for index, z in self._trailing:
                for r in range(self.q):
                    across = W[level * self.q + r, index[rows]]
                    h[rows] -= 2.0 * z[rows] * Kz[:, r] * across

    def _through_sigma(self, first: int, last: int) -> FloatArray:
        """A21' Sigma for some leading levels, shape (levels * q, m)."""
        columns = self._A21t[first * self.q : last * self.q]
        if self._sigma is not None:
            return np.asarray(columns @ self._sigma)
        return self._times(columns.toarray().T).T

    def _add_trailing(self, h: FloatArray) -> None:
        """Add z2' Sigma z2."""
        for start, Y in self._sigma_columns():
            for index, z in self._trailing:
                inside = (index >= start) & (index < start + Y.shape[1])
                rows = np.flatnonzero(inside)
                for other, w in self._trailing:
                    entries = Y[other[rows], index[rows] - start]
                    h[rows] += z[rows] * w[rows] * entries

    # -- groups of rows --------------------------------------------------------

    def among(self, rows: IntArray) -> FloatArray:
        """z_j' C z_k among the rows of groups, shapes (b, s) to (b, s, s)."""
        if self._together is not None:
            return self._among_by_effects(rows, self._together)
        out = self._among_leading(rows)
        if self.m:
            for k, own in enumerate(rows):
                out[k] += self._among_trailing(own)
        return out

    def _among_leading(self, rows: IntArray) -> FloatArray:
        codes, Z = self.blocks[0].codes[rows], self.Zs[0][rows]
        out = np.zeros((*rows.shape, rows.shape[1]))
        for r in range(self.q):
            Kz = np.einsum("bsr,bsr->bs", self.at.K[codes, r], Z)
            out += Z[:, :, r, None] * Kz[:, None, :]
        out *= codes[:, :, None] == codes[:, None, :]
        return out

    def _among_by_effects(self, rows: IntArray, C: FloatArray) -> FloatArray:
        lead = self.blocks[0]
        first = self.L * self.q
        effects = [
            (lead.codes * self.q + r, self.Zs[0][:, r]) for r in range(self.q)
        ] + [(first + index, z) for index, z in self._trailing]
        out = np.zeros((*rows.shape, rows.shape[1]))
        picked = [(index[rows], z[rows]) for index, z in effects]
        for i, (index, z) in enumerate(picked):
            for other, w in picked[: i + 1]:
                part = C[index[:, :, None], other[:, None, :]]
                part *= z[:, :, None]
                part *= w[:, None, :]
                out += part
                if other is not index:
                    out += part.transpose(0, 2, 1)
        return out

    def _among_trailing(self, rows: IntArray) -> FloatArray:
        """x_j' Sigma x_k with x = z2 - A21 K z1, on the effects that x has."""
        codes = self.blocks[0].codes[rows]
        Kz = np.einsum("nqr,nr->nq", self.at.K[codes], self.Zs[0][rows])
        across = codes[:, None] * self.q + np.arange(self.q)
        pointers = np.arange(0, Kz.size + 1, self.q)
        lead = sparse.csr_array(
            (Kz.ravel(), across.ravel(), pointers),
            shape=(len(rows), self.L * self.q),
        )
        x = -(lead @ self._A21t)
        for index, z in self._trailing:
            own = (z[rows], (np.arange(len(rows)), index[rows]))
            x = x + sparse.csr_array(own, shape=x.shape)
        support = np.unique(x.indices)
        dense = x[:, support].toarray()
        if self._sigma is not None:
            block = self._sigma[np.ix_(support, support)]
        else:
            block = self._columns(support)[support]
        return np.asarray(dense @ block @ dense.T)

    # -- Sigma -----------------------------------------------------------------

    @cached_property
    def _A21t(self) -> sparse.csr_array:
        return self.likelihood.cross.A21.T.tocsr()

    @cached_property
    def _spread(self) -> FloatArray:
        """A21_i' Sigma A21_i, shape (L, q, q)."""
        factor, solver = self.at.factor, self.likelihood.solver
        if isinstance(factor, DenseFactor):
            assert self._sigma is not None
            return factor.solver.update.adjoint(self._sigma)
        assert factor is not None
        assert solver is not None
        return factor.inverse_blocks()[1]

    @cached_property
    def _sigma(self) -> FloatArray | None:
        """Sigma, shape (m, m), if it is to be formed."""
        factor, layout = self.at.factor, self.likelihood.layout
        if isinstance(factor, DenseFactor):
            return layout.both(self.at.Ts[1:], factor.inverse())
        if self.m > TRAILING_TOGETHER:
            return None
        return np.hstack([self._columns(part) for part in _chunks(self.m)])

    def _times(self, B: FloatArray) -> FloatArray:
        """Sigma B for a dense B."""
        factor, layout = self.at.factor, self.likelihood.layout
        assert factor is not None
        solved = factor.solve(layout.left(factor.transposed_Ts, B))
        return layout.left(self.at.Ts[1:], solved)

    def _columns(self, which: IntArray) -> FloatArray:
        unit = np.zeros((self.m, len(which)))
        unit[which, np.arange(len(which))] = 1.0
        return self._times(unit)

    def _sigma_columns(self) -> Iterator[tuple[int, FloatArray]]:
        """Sigma in pieces: the first column of each, and its columns."""
        if self._sigma is not None:
            yield 0, self._sigma
            return
        for part in _chunks(self.m):
            yield int(part[0]), self._columns(part)

    @cached_property
    def _together(self) -> FloatArray | None:
        """C, if it is to be formed."""
        size = self.L * self.q
        if self.m == 0 or size + self.m > TOGETHER:
            return None
        sigma = self._sigma
        assert sigma is not None
        K = sparse.bsr_array((self.at.K, np.arange(self.L), np.arange(self.L + 1)))
        KA = K.tocsr() @ self._A21t
        C = np.empty((size + self.m, size + self.m))
        C[size:, size:] = sigma
        C[:size, size:] = -(KA @ sigma)
        C[size:, :size] = C[:size, size:].T
        C[:size, :size] = -(KA @ C[size:, :size])
        levels = C[:size, :size].reshape(self.L, self.q, self.L, self.q)
        i = np.arange(self.L)
        levels[i, :, i, :] += self.at.K
        return C


def _forms(Z: FloatArray, M: FloatArray, codes: IntArray) -> FloatArray:
    """z_j' M_i z_j with the matrix of each row's level, shape (n,)."""
    h = np.zeros(len(Z))
    for r in range(Z.shape[1]):
        for s in range(r + 1):
            h += (1.0 if r == s else 2.0) * Z[:, r] * Z[:, s] * M[codes, r, s]
    return h


def _chunks(m: int) -> Iterator[IntArray]:
    for first in range(0, m, COLUMNS_AT_ONCE):
        yield np.arange(first, min(first + COLUMNS_AT_ONCE, m))


def weighted_rows(
    likelihood: Likelihood, at: Evaluation
) -> tuple[FloatArray, FloatArray]:
    """V^-1 Q and V^-1 (y - Q beta) of the orthonormal fixed part, (n, p) and (n,)."""
    p = len(at.beta)
    us, _ = likelihood.criterion.scores(at, np.eye(p + 1))
    fixed = likelihood.fixed
    VQ = fixed.basis.Q.copy()
    Vy = fixed.residual.copy()
    for block, Z, T, u in zip(likelihood.blocks, likelihood.Zs, at.Ts, us, strict=True):
        b = (T @ u).reshape(block.size, p + 1)
        effects = block_matrix(block, Z) @ b
        VQ -= effects[:, :p]
        Vy -= effects[:, p]
    return VQ, Vy - VQ @ at.beta
