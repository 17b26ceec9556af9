"""Dense solver for the trailing Schur complement S = I + T2' G T2.

Matrices are C-ordered with their lower triangle valid; LAPACK sees the same memory as
a Fortran-ordered matrix with its upper triangle valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from .layout import Layout
from .leading import MapUpdate, leading_update, mirrored

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

FloatArray = NDArray[np.float64]


class DenseSolver:
    """Builds and factors S as a dense matrix with LAPACK."""

    name = "dense"
    has_gradient = True

    def __init__(self, cross: CrossProducts, layout: Layout) -> None:
        self.layout = layout
        self.update = leading_update(cross.A21, cross.A11.shape[1])
        self.A21 = cross.A21 if cross.A21.nnz > 2000 else cross.A21.toarray()
        self.A21t = self.A21.T
        self.A22 = cross.A22.toarray()
        self.triangular = layout.scalar and isinstance(self.update, MapUpdate)
        if self.triangular:
            self.A22 = np.tril(self.A22)

    def factor(self, K: FloatArray, Ts: Sequence[FloatArray]) -> DenseFactor:
        """Factor S for the leading block's K, shape (L, q, q), and the templates."""
        if isinstance(self.update, MapUpdate) and self.triangular:
            return TriangularFactor(self, self.A22 - self.update.lower_gram(K), Ts)
        return DenseFactor(self, self.A22 - self.update.gram(K), Ts)


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
        self.R, info = lapack.dpotrf(S.T, lower=0, clean=0, overwrite_a=1)
        if info != 0:
            raise np.linalg.LinAlgError("the trailing matrix is not positive definite")
        self.logdet = 2.0 * float(np.log(self.R.diagonal()).sum())

    def solve(self, R: FloatArray) -> FloatArray:
        """S^-1 R."""
        U, _ = lapack.dpotrs(self.R, R, lower=0)
        return U

    def lower_inverse(self) -> FloatArray:
        """The lower triangle of S^-1; above it stands something else."""
        inverse, _ = lapack.dpotri(self.R, lower=0)
        return inverse.T

    def inverse(self) -> FloatArray:
        """S^-1, symmetric."""
        return mirrored(np.tril(self.lower_inverse()))

    def gradient(
        self, U: FloatArray, F: FloatArray, H: FloatArray
    ) -> tuple[list[FloatArray], FloatArray, FloatArray]:
        """Backward pass through S (docs/numerics.md).

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


class TriangularFactor(DenseFactor):
    """The factor for scalar trailing terms, where lower triangles are enough."""

    def gradient(
        self, U: FloatArray, F: FloatArray, H: FloatArray
    ) -> tuple[list[FloatArray], FloatArray, FloatArray]:
        """Backward pass through S, on lower triangles alone."""
        layout, update = self.solver.layout, self.solver.update
        assert isinstance(update, MapUpdate)
        t = layout.diagonal(self.Ts)
        UF = U @ F
        S_hat = self.lower_inverse()
        S_hat += UF @ U.T
        product = self.G * S_hat  # G is zero above the diagonal
        along = product @ t + product.T @ t - product.diagonal() * t
        R_hat = -2.0 * UF
        rows = 2.0 * along + np.einsum("ij,ij->i", H, R_hat)
        T2 = [np.array([[rows[part].sum()]]) for part, _, _ in layout.parts]
        S_hat *= t
        S_hat *= 2.0 * t[:, None]
        S_hat.flat[:: len(S_hat) + 1] *= 0.5
        return T2, update.lower_adjoint(S_hat), R_hat * t[:, None]
