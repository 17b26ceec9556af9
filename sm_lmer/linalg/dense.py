"""Dense solver for the trailing Schur complement S = I + T2' G T2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from .layout import Layout
from .leading import leading_update, mirrored

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

FloatArray = NDArray[np.float64]


class DenseSolver:
    """Builds and factors S as a dense matrix with LAPACK."""

    name = "dense"
    has_gradient = True

    def __init__(self, cross: CrossProducts, layout: Layout) -> None:
        self.layout = layout
        self.A22 = cross.A22.toarray()
        self.update = leading_update(cross.A21, cross.A11.shape[1])
        self.A21 = cross.A21 if cross.A21.nnz > 2000 else cross.A21.toarray()
        self.A21t = self.A21.T

    def factor(self, K: FloatArray, Ts: Sequence[FloatArray]) -> DenseFactor:
        """Factor S for the leading block's K, shape (L, q, q), and the templates."""
        G = self.A22 - self.update.gram(K)
        return DenseFactor(self, G, Ts)


class DenseFactor:
    """The Cholesky factor of S and what the criterion asks of it.

    Raises
    ------
    numpy.linalg.LinAlgError
        If S is not positive definite to working precision.
    """

    def __init__(
        self, solver: DenseSolver, G: FloatArray, Ts: Sequence[FloatArray]
    ) -> None:
        self.solver, self.G, self.Ts = solver, G, Ts
        self.transposed_Ts = [T.T for T in Ts]
        S = solver.layout.both(self.transposed_Ts, G)
        S.flat[:: len(S) + 1] += 1.0
        # S is symmetric, so its transpose is the Fortran array that LAPACK wants
        self.L, info = lapack.dpotrf(S.T, lower=1, clean=0, overwrite_a=1)
        if info != 0:
            raise np.linalg.LinAlgError("the trailing matrix is not positive definite")
        self.logdet = 2.0 * float(np.log(self.L.diagonal()).sum())

    def solve(self, R: FloatArray) -> FloatArray:
        """S^-1 R."""
        U, _ = lapack.dpotrs(self.L, R, lower=1)
        return U

    def inverse(self) -> FloatArray:
        """S^-1, symmetric."""
        inverse, _ = lapack.dpotri(self.L, lower=1)
        return mirrored(np.tril(inverse))

    def gradient(
        self, U: FloatArray, F: FloatArray, H: FloatArray
    ) -> tuple[list[FloatArray], FloatArray, FloatArray]:
        """Backward pass through S (DESIGN.md 3.4).

        Parameters
        ----------
        U : ndarray, shape (m, p + 1)
            S^-1 R.
        F : ndarray, shape (p + 1, p + 1)
            Derivative with respect to F.
        H : ndarray, shape (m, p + 1)

        Returns
        -------
        T2 : list of ndarray, shape (q, q)
            Derivatives with respect to the templates.
        AGA : ndarray, shape (L, q, q)
            A21_i' G^ A21_i.
        H_hat : ndarray, shape (m, p + 1)
            Derivative with respect to H.
        """
        layout = self.solver.layout
        UF = U @ F
        S_hat = self.inverse()
        S_hat += UF @ U.T
        R_hat = -2.0 * UF
        TS = layout.left(self.Ts, S_hat)
        first = layout.diagonal_sums(self.G, TS.T)
        second = layout.diagonal_sums(H, R_hat)
        T2 = [2.0 * a + b for a, b in zip(first, second, strict=True)]
        AGA = self.solver.update.adjoint(layout.left(self.Ts, TS.T))
        return T2, AGA, layout.left(self.Ts, R_hat)

    def inverse_blocks(self) -> tuple[list[FloatArray], FloatArray]:
        """Diagonal blocks of S^-1, and A21_i' T2 S^-1 T2' A21_i, shape (L, q, q)."""
        inverse = self.inverse()
        spread = self.solver.update.adjoint(self.solver.layout.both(self.Ts, inverse))
        return self.solver.layout.diagonal_blocks(inverse), spread
