"""Sparse solvers for the trailing Schur complement: CHOLMOD, or SciPy's SuperLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from ..compat import cholmod
from .layout import Layout

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

FloatArray = NDArray[np.float64]

COLUMNS_AT_ONCE = 256
"""Columns of S^-1 that are held in memory together."""


class _SuperLUFactor:
    """SuperLU in symmetric mode; the ordering of the first matrix is kept."""

    def __init__(self, S: sparse.csc_array) -> None:
        self._order = _ordering(S)
        self._inverse_order = np.argsort(self._order)

    def refactor(self, S: sparse.csc_array) -> None:
        permuted = S[self._order][:, self._order]
        try:
            self._lu = _factor(permuted, "NATURAL")
        except RuntimeError as error:  # SuperLU says so of a singular matrix
            raise np.linalg.LinAlgError(str(error)) from error
        self._pivots = self._lu.U.diagonal()
        if not (self._pivots > 0).all():
            raise np.linalg.LinAlgError("the trailing matrix is not positive definite")

    def logdet(self) -> float:
        return float(np.log(self._pivots).sum())

    def solve(self, R: FloatArray) -> FloatArray:
        solution: FloatArray = self._lu.solve(R[self._order])
        return solution[self._inverse_order]


def _factor(S: sparse.csc_array, order: str) -> SuperLU:
    return splu(
        S, permc_spec=order, diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )


def _ordering(S: sparse.csc_array) -> NDArray[np.intp]:
    """Fill-reducing ordering of a symmetric pattern."""
    return np.argsort(_factor(S, "MMD_AT_PLUS_A").perm_c)


def factor_nonzeros(S: sparse.csc_array) -> int:
    """Entries of the Cholesky factor of S under SuperLU's ordering."""
    return int(_factor(S, "MMD_AT_PLUS_A").L.nnz)


def trailing_matrix(
    cross: CrossProducts, layout: Layout, K: FloatArray, Ts: Sequence[FloatArray]
) -> sparse.csc_array:
    """S = I + T2' (A22 - sum_i A21_i K_i A21_i') T2, sparse."""
    L, q, _ = K.shape
    if q == 1:
        Kmat = sparse.diags_array(K.reshape(-1), format="csr")
    else:
        Kmat = sparse.bsr_array((K, np.arange(L), np.arange(L + 1))).tocsr()
    G = cross.A22 - (cross.A21 @ Kmat) @ cross.A21.T
    T2 = layout.matrix(Ts)
    S = sparse.csc_array(T2.T @ G @ T2 + sparse.eye_array(layout.m))
    S.sort_indices()
    return S


class SparseSolver:
    """Builds and factors S as a sparse matrix.

    Parameters
    ----------
    cross : CrossProducts
    layout : Layout
    name : {"cholmod", "superlu"}
    """

    has_gradient = False

    def __init__(self, cross: CrossProducts, layout: Layout, name: str) -> None:
        self.name = name
        self.cross, self.layout = cross, layout
        self.A21, self.A21t = cross.A21, cross.A21.T.tocsr()
        self._pattern: tuple[NDArray[np.integer], ...] = ()
        self._analysis: cholmod.Cholesky | None = None

    def factor(self, K: FloatArray, Ts: Sequence[FloatArray]) -> SparseFactor:
        """Factor S for the leading block's K, shape (L, q, q), and the templates."""
        S = trailing_matrix(self.cross, self.layout, K, Ts)
        if self._analysis is None or not self._same_pattern(S):
            make = cholmod.analyze if self.name == "cholmod" else _SuperLUFactor
            self._analysis, self._pattern = make(S), (S.indptr, S.indices)
        try:
            self._analysis.refactor(S)
        except cholmod.not_positive_definite() as error:
            raise np.linalg.LinAlgError(str(error)) from error
        return SparseFactor(self, self._analysis, Ts)

    def _same_pattern(self, S: sparse.csc_array) -> bool:
        """Whether S has the pattern analysed last; zeros of theta thin it out."""
        indptr, indices = self._pattern
        return np.array_equal(S.indptr, indptr) and np.array_equal(S.indices, indices)


class SparseFactor:
    """The factor of S and what the criterion asks of it.

    It is valid until its solver factors the next matrix.
    """

    def __init__(
        self,
        solver: SparseSolver,
        analysis: cholmod.Cholesky,
        Ts: Sequence[FloatArray],
    ) -> None:
        self.solver, self.analysis, self.Ts = solver, analysis, Ts
        self.transposed_Ts = [T.T for T in Ts]
        self.logdet = analysis.logdet()

    def solve(self, R: FloatArray) -> FloatArray:
        """S^-1 R."""
        return self.analysis.solve(R)

    def inverse_blocks(self) -> tuple[list[FloatArray], FloatArray]:
        """Diagonal blocks of S^-1, and A21_i' T2 S^-1 T2' A21_i, shape (L, q, q)."""
        return self._trailing_blocks(), self._leading_spread()

    def _trailing_blocks(self) -> list[FloatArray]:
        blocks = []
        for rows, levels, q in self.solver.layout.parts:
            out = np.empty((levels, q, q))
            step = max(1, COLUMNS_AT_ONCE // q)
            for first in range(0, levels, step):
                last = min(first + step, levels)
                columns = np.arange(rows.start + first * q, rows.start + last * q)
                unit = np.zeros((self.solver.layout.m, len(columns)))
                unit[columns, np.arange(len(columns))] = 1.0
                D = self.solve(unit)[columns].reshape(last - first, q, last - first, q)
                i = np.arange(last - first)
                out[first:last] = D[i, :, i, :]
            blocks.append(out)
        return blocks

    def _leading_spread(self) -> FloatArray:
        L, q, _ = self.solver.cross.A11.shape
        W = (self.solver.layout.matrix(self.Ts).T @ self.solver.A21).tocsc()
        out = np.empty((L, q, q))
        step = max(1, COLUMNS_AT_ONCE // q)
        for first in range(0, L, step):
            last = min(first + step, L)
            columns = W[:, first * q : last * q].toarray()
            solved = self.solve(columns)
            a = columns.reshape(-1, last - first, q).transpose(1, 2, 0)
            b = solved.reshape(-1, last - first, q).transpose(1, 0, 2)
            out[first:last] = a @ b
        return out
