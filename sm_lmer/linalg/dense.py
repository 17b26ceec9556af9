"""Dense solver for the trailing Schur complement S = I + T2' G T2.

Matrices are C-ordered with their lower triangle valid; LAPACK sees the same memory as
a Fortran-ordered matrix with its upper triangle valid.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from .layout import Layout
from .leading import MapUpdate, leading_update, mirrored

if TYPE_CHECKING:
    from ..core.crossproducts import CrossProducts

FloatArray = NDArray[np.float64]

LARGEST_KEPT = 4_000
"""Columns of S up to which its memory is kept from one evaluation to the next."""

SMALL_A21 = 2_000
"""Entries of A21 up to which products with it are faster dense."""


class Buffers:
    """Square work arrays that outlive the factor that holds them, to be used again.

    Fresh memory costs one page fault each 4 kB, which for matrices of a thousand
    columns is as much as what is done with them. Large ones are not kept: there the
    arithmetic dominates.
    """

    def __init__(self, m: int) -> None:
        self.m = m
        self.free: list[FloatArray] | None = [] if m <= LARGEST_KEPT else None

    def take(self) -> FloatArray:
        """An array of shape (m, m), C-ordered, with anything in it."""
        return self.free.pop() if self.free else np.empty((self.m, self.m))

    def give_back(self, buffer: FloatArray) -> None:
        """Let others have the array."""
        if self.free is not None:
            self.free.append(buffer)

    def take_for(self, owner: object) -> FloatArray:
        """As :meth:`take`; it comes back when the owner is no more."""
        buffer = self.take()
        if self.free is not None:
            weakref.finalize(owner, self.free.append, buffer)
        return buffer


class DenseSolver:
    """Builds and factors S as a dense matrix with LAPACK."""

    name = "dense"
    has_gradient = True

    def __init__(self, cross: CrossProducts, layout: Layout) -> None:
        self.layout = layout
        parts = [rows for rows, _, _ in layout.parts] if layout.scalar else []
        q = cross.A11.shape[1]
        self.update = leading_update(cross.A21, q, cross.A22, parts)
        small = cross.A21.nnz <= SMALL_A21
        self.A21 = cross.A21.toarray() if small else cross.A21
        self.A21t = self.A21.T
        self.by_entries = layout.scalar and isinstance(self.update, MapUpdate)
        none = np.zeros((0, 0))  # the update has the entries
        self.A22 = none if self.by_entries else cross.A22.toarray()
        self.buffers = Buffers(layout.m)

    def factor(self, K: FloatArray, Ts: Sequence[FloatArray]) -> DenseFactor:
        """Factor S for the leading block's K, shape (L, q, q), and the templates."""
        if self.by_entries:
            return EntriesFactor(self, K, Ts)
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
        self._factor(S if S.flags.c_contiguous else S.T)

    def _factor(self, S: FloatArray) -> None:
        """Overwrite the lower triangle of S by the factor."""
        self.R, info = lapack.dpotrf(S.T, lower=0, clean=0, overwrite_a=1)
        if info != 0:
            raise np.linalg.LinAlgError("the trailing matrix is not positive definite")
        self.logdet = 2.0 * float(np.log(self.R.diagonal()).sum())

    def solve(self, R: FloatArray) -> FloatArray:
        """S^-1 R."""
        U, _ = lapack.dpotrs(self.R, R, lower=0)
        return U

    def inverse(self) -> FloatArray:
        """S^-1, symmetric."""
        inverse, _ = lapack.dpotri(self.R, lower=0)
        return mirrored(np.tril(inverse.T))

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


class EntriesFactor(DenseFactor):
    """The factor for scalar trailing terms and a leading block that leaves gaps.

    G is kept as its entries in the pattern of the update. T2 scales them by one number
    a pair of blocks, and of S^-1 the same entries are all that the gradient needs.
    """

    def __init__(
        self, solver: DenseSolver, K: FloatArray, Ts: Sequence[FloatArray]
    ) -> None:
        assert isinstance(solver.update, MapUpdate)
        self.solver, self.Ts, self.transposed_Ts = solver, Ts, list(Ts)
        self.update = solver.update
        self.pattern = solver.update.pattern
        self.entries = solver.update.base - solver.update.entries(K)
        t = [float(T[0, 0]) for T in Ts]
        scaled = np.empty_like(self.entries)
        for j, k, at in self.pattern.blocks:
            np.multiply(self.entries[at], t[j] * t[k], out=scaled[at])
        scaled[self.pattern.diagonal] += 1.0
        S = solver.buffers.take_for(self)
        S.fill(0.0)
        S.reshape(-1)[self.pattern.index] = scaled
        self._factor(S)

    def gradient(
        self, U: FloatArray, F: FloatArray, H: FloatArray
    ) -> tuple[list[FloatArray], FloatArray, FloatArray]:
        """Backward pass through S, on the entries of the pattern alone."""
        layout = self.solver.layout
        t = [float(T[0, 0]) for T in self.Ts]
        UF = U @ F
        R_hat = -2.0 * UF
        S_hat, diagonal = self._inverse_entries(UF, U)
        G_diagonal = self.entries[self.pattern.diagonal] * diagonal
        sums = np.zeros(len(t))
        for j, k, at in self.pattern.blocks:
            total = float(self.entries[at] @ S_hat[at])
            sums[j] += total * t[k]
            sums[k] += total * t[j]
            S_hat[at] *= t[j] * t[k]
        T2 = []
        for j, (rows, _, _) in enumerate(layout.parts):
            twice = sums[j] - t[j] * float(G_diagonal[rows].sum())  # counted twice
            along = np.einsum("ij,ij->", H[rows], R_hat[rows])
            T2.append(np.array([[2.0 * twice + along]]))
        return T2, self.update.adjoint_of_entries(S_hat), layout.left(self.Ts, R_hat)

    def inverse_blocks(self) -> tuple[list[FloatArray], FloatArray]:
        """Diagonal blocks of S^-1, and A21_i' T2 S^-1 T2' A21_i, shape (L, q, q)."""
        S_inverse, diagonal = self._inverse_entries()
        for j, k, at in self.pattern.blocks:
            S_inverse[at] *= self.Ts[j][0, 0] * self.Ts[k][0, 0]
        blocks = [diagonal[rows, None, None] for rows, _, _ in self.solver.layout.parts]
        return blocks, self.update.adjoint_of_entries(S_inverse)

    def _inverse_entries(
        self, UF: FloatArray | None = None, U: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Entries of S^-1 + (UF) U' for a symmetric F, and its diagonal."""
        buffer = self.solver.buffers.take()
        buffer[...] = self.R.T
        inverse, _ = lapack.dpotri(buffer.T, lower=0, overwrite_c=1)
        if UF is not None:  # in place: half of (UF) U' and half of its transpose
            inverse = blas.dsyr2k(0.5, UF, U, beta=1.0, c=inverse, overwrite_c=1)
        flat = inverse.T.reshape(-1)
        entries, diagonal = flat[self.pattern.index], inverse.diagonal().copy()
        self.solver.buffers.give_back(buffer)
        return entries, diagonal
