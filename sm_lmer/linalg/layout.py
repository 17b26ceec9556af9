"""How the trailing blocks share the rows and columns of S."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]


class Layout:
    """Slices of the trailing blocks, and products with their block-diagonal T2.

    Parameters
    ----------
    shapes : sequence of (levels, q)
        Of each trailing block; its rows run level by level.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        self.parts: list[tuple[slice, int, int]] = []
        start = 0
        for levels, q in shapes:
            self.parts.append((slice(start, start + levels * q), levels, q))
            start += levels * q
        self.m = start
        self.scalar = all(q == 1 for _, q in shapes)
        self._counts = [levels for levels, _ in shapes]

    def diagonal(self, Ts: Sequence[FloatArray]) -> FloatArray:
        """The diagonal of T2 when all trailing terms are scalar, shape (m,)."""
        return np.array([T[0, 0] for T in Ts]).repeat(self._counts)

    def left(self, Ts: Sequence[FloatArray], M: FloatArray) -> FloatArray:
        """T2 M for M of shape (m, c)."""
        out = np.empty_like(M)
        for (rows, levels, q), T in zip(self.parts, Ts, strict=True):
            if q == 1:
                np.multiply(M[rows], T[0, 0], out=out[rows])
            else:
                out[rows] = (T @ M[rows].reshape(levels, q, -1)).reshape(levels * q, -1)
        return out

    def both(self, Ts: Sequence[FloatArray], M: FloatArray) -> FloatArray:
        """T2 M T2' for a symmetric M."""
        if self.scalar:
            t = self.diagonal(Ts)
            out = M * t
            out *= t[:, None]
            return out
        return self.left(Ts, self.left(Ts, M).T)

    def matrix(self, Ts: Sequence[FloatArray]) -> sparse.csr_array:
        """T2 as a sparse matrix."""
        if self.scalar:
            return sparse.diags_array(self.diagonal(Ts), format="csr")
        pieces = [
            sparse.kron(sparse.eye_array(levels), T, format="csr")
            for (_, levels, _), T in zip(self.parts, Ts, strict=True)
        ]
        return sparse.block_diag(pieces, format="csr")

    def diagonal_sums(self, A: FloatArray, B: FloatArray) -> list[FloatArray]:
        """Sums over the levels of the diagonal blocks of A B', each (q, q)."""
        sums = []
        for rows, levels, q in self.parts:
            if q == 1:
                total = np.einsum("ij,ij->", A[rows], B[rows])
                sums.append(np.array([[total]]))
            else:
                a, b = A[rows].reshape(levels, q, -1), B[rows].reshape(levels, q, -1)
                sums.append((a @ b.transpose(0, 2, 1)).sum(axis=0))
        return sums

    def diagonal_blocks(self, M: FloatArray) -> list[FloatArray]:
        """The diagonal blocks of M, (levels, q, q) for each trailing block."""
        blocks = []
        for rows, levels, q in self.parts:
            i = np.arange(levels)
            blocks.append(M[rows, rows].reshape(levels, q, levels, q)[i, :, i, :])
        return blocks
