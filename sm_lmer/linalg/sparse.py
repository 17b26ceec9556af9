"""Sparse solver for the trailing Schur complement S = I + T2' G T2.

The entries of S on its pattern come from one linear map (:mod:`.pattern`); they are
factored in blocks with LAPACK in an order that CHOLMOD or SuperLU finds
(:mod:`.ordering`, :mod:`.structure`, :mod:`.multifrontal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .layout import Layout
from .multifrontal import Cholesky
from .ordering import ordering
from .pattern import BlockPattern
from .structure import Structure

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

FloatArray = NDArray[np.float64]


def trailing_pattern(cross: CrossProducts, layout: Layout) -> BlockPattern:
    """The pattern of S."""
    return BlockPattern(cross.A21, cross.A22, cross.A11.shape[:2], layout)


class SparseSolver:
    """Builds and factors S on its pattern.

    Parameters
    ----------
    cross : CrossProducts
    layout : Layout
    name : {"cholmod", "superlu"}
        Where the order of elimination comes from.
    pattern : BlockPattern, optional
        The pattern of S, where it is known already.
    """

    has_gradient = True

    def __init__(
        self,
        cross: CrossProducts,
        layout: Layout,
        name: str,
        pattern: BlockPattern | None = None,
    ) -> None:
        self.name, self.layout = name, layout
        self.A21, self.A21t = cross.A21, cross.A21.T.tocsr()
        self.pattern = pattern or trailing_pattern(cross, layout)
        rows, columns, widths = self.pattern.nodes()
        order = ordering(rows, columns, len(widths), name)
        self.structure = Structure(order, rows, columns, widths)
        levels = np.concatenate([np.repeat(q, n) for _, n, q in layout.parts])
        within = np.concatenate([np.tile(np.arange(q), n) for _, n, q in layout.parts])
        self.place = np.repeat(self.structure.place, levels) + within
        rows, columns = self.pattern.entries()
        self.lower = np.flatnonzero(rows >= columns)
        ends = self.place[rows[self.lower]], self.place[columns[self.lower]]
        self.at = self.structure.positions(np.maximum(*ends), np.minimum(*ends))
        self.ends = np.cumsum([pairs.base.size for pairs in self.pattern.pairs])

    def factor(self, K: FloatArray, Ts: Sequence[FloatArray]) -> SparseFactor:
        """Factor S for the leading block's K, shape (L, q, q), and the templates.

        Raises
        ------
        numpy.linalg.LinAlgError
            If S is not positive definite to working precision.
        """
        return SparseFactor(self, self.pattern.update(K), Ts)

    def panels(self, S: Sequence[FloatArray]) -> FloatArray:
        """The entries of S where its factor has them."""
        panels = np.zeros(self.structure.entries)
        panels[self.at] = np.concatenate([s.ravel() for s in S])[self.lower]
        return panels

    def blocks(self, panels: FloatArray) -> list[FloatArray]:
        """The entries on the pattern of S, from panels of a symmetric matrix."""
        values = np.zeros(self.ends[-1])
        values[self.lower] = panels[self.at]
        out = []
        for pairs, part in zip(
            self.pattern.pairs, np.split(values, self.ends[:-1]), strict=True
        ):
            S = part.reshape(pairs.base.shape)
            q = pairs.widths[0]
            if pairs.parts[0] == pairs.parts[1] and q > 1:
                own = pairs.diagonal  # the panels have only half of these blocks
                half = S[own].reshape(-1, q, q)
                full = half + half.transpose(0, 2, 1)
                full[:, np.arange(q), np.arange(q)] *= 0.5
                S[own] = full.reshape(-1, q * q)
            out.append(S)
        return out


class SparseFactor:
    """The factor of S and what the criterion asks of it."""

    def __init__(
        self,
        solver: SparseSolver,
        G: list[FloatArray],
        Ts: Sequence[FloatArray],
    ) -> None:
        self.solver, self.G, self.Ts = solver, G, Ts
        self.transposed_Ts = [T.T for T in Ts]
        S = solver.pattern.scaled(G, Ts)
        for pairs, s in zip(solver.pattern.pairs, S, strict=True):
            if pairs.parts[0] == pairs.parts[1]:
                s[pairs.diagonal] += np.eye(pairs.widths[0]).ravel()
        self.cholesky = Cholesky(solver.structure, solver.panels(S))
        self.logdet = self.cholesky.logdet

    def solve(self, R: FloatArray) -> FloatArray:
        """S^-1 R."""
        ordered = np.empty_like(R)
        ordered[self.solver.place] = R
        return self.cholesky.solve(ordered)[self.solver.place]

    def gradient(
        self, U: FloatArray, F: FloatArray, H: FloatArray
    ) -> tuple[list[FloatArray], FloatArray, FloatArray]:
        """Backward pass through S; see :meth:`DenseFactor.gradient`."""
        solver, layout = self.solver, self.solver.layout
        UF = U @ F
        S_hat = solver.blocks(self.cholesky.inverse())
        solver.pattern.add_outer(S_hat, UF, U)
        T2, AGA = solver.pattern.adjoints(self.G, S_hat, self.Ts)
        R_hat = -2.0 * UF
        fixed = layout.diagonal_sums(H, R_hat)
        T2 = [a + b for a, b in zip(T2, fixed, strict=True)]
        return T2, AGA, layout.left(self.Ts, R_hat)

    def inverse_blocks(self) -> tuple[list[FloatArray], FloatArray]:
        """Diagonal blocks of S^-1, and A21_i' T2 S^-1 T2' A21_i, shape (L, q, q)."""
        solver = self.solver
        S = solver.blocks(self.cholesky.inverse())
        blocks = [
            s[pairs.diagonal].reshape(-1, pairs.widths[0], pairs.widths[0])
            for pairs, s in zip(solver.pattern.pairs, S, strict=True)
            if pairs.parts[0] == pairs.parts[1]
        ]
        return blocks, solver.pattern.leading_products(S, self.Ts)
