"""Block-Jacobi preconditioning of S, with the derivatives of its Cholesky factors.

P has the diagonal blocks of S, one a trailing level, and P = L L'. What is solved and
what the log-determinant is estimated of is A = L^-1 S L^-T, so that

    log|S| = log|P| + log|A|,

of which the first is known. L depends on the templates too: a derivative A^ of a
function of A is S^ = L^-T A^ L^-1 plus the blocks of :meth:`BlockJacobi.adjoint`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .layout import Layout

FloatArray = NDArray[np.float64]


class BlockJacobi:
    """Cholesky factors L of the diagonal blocks of S.

    Parameters
    ----------
    layout : Layout
    blocks : sequence of ndarray, shape (levels, q, q)
        Diagonal blocks of S, of each trailing part.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block is not positive definite.
    """

    def __init__(self, layout: Layout, blocks: Sequence[FloatArray]) -> None:
        self.layout = layout
        self.inverses: list[FloatArray] = []
        self.logdet = 0.0
        for P in blocks:
            q = P.shape[1]
            if q == 1:
                if not (P > 0.0).all():
                    raise np.linalg.LinAlgError("S is not positive definite")
                self.logdet += float(np.log(P).sum())
                self.inverses.append(1.0 / np.sqrt(P))
                continue
            L = np.linalg.cholesky(P)
            self.logdet += 2.0 * float(np.log(np.einsum("lqq->lq", L)).sum())
            self.inverses.append(np.linalg.inv(L))
        self.scale = None
        if layout.scalar:
            self.scale = np.concatenate([inverse.ravel() for inverse in self.inverses])

    def lower(self, X: FloatArray) -> FloatArray:
        """L^-1 X, for X of shape (m, c)."""
        if self.scale is not None:
            return X * self.scale[:, None]
        return self._products(self.inverses, X)

    def upper(self, X: FloatArray) -> FloatArray:
        """L^-T X, for X of shape (m, c)."""
        if self.scale is not None:
            return X * self.scale[:, None]
        return self._products([L.transpose(0, 2, 1) for L in self.inverses], X)

    def _products(self, blocks: Sequence[FloatArray], X: FloatArray) -> FloatArray:
        out = np.empty_like(X)
        for (rows, levels, q), L in zip(self.layout.parts, blocks, strict=True):
            if q == 1:
                np.multiply(X[rows], L[:, :, 0], out=out[rows])
            else:
                product = L @ X[rows].reshape(levels, q, -1)
                out[rows] = product.reshape(levels * q, -1)
        return out

    def determinant_adjoint(self) -> list[FloatArray]:
        """The derivative P^-1 of log|P|, shape (levels, q, q) of each part."""
        return [L.transpose(0, 2, 1) @ L for L in self.inverses]

    def adjoint(self, part: int, B: FloatArray) -> FloatArray:
        """The derivative in P that goes through L, for B = diagonal blocks of A^ A.

        It is sym(L^-T Phi(-2 B) L^-1), where Phi takes the lower triangle and half of
        the diagonal (Murray 2016, Differentiation of the Cholesky decomposition).

        Parameters
        ----------
        part : int
        B : ndarray, shape (..., levels, q, q)
        """
        inverse = self.inverses[part]
        if inverse.shape[1] == 1:
            return -B * inverse * inverse
        half = np.tril(-2.0 * B)
        i = np.arange(B.shape[-1])
        half[..., i, i] *= 0.5
        full = inverse.transpose(0, 2, 1) @ half @ inverse
        symmetric: FloatArray = 0.5 * (full + np.swapaxes(full, -1, -2))
        return symmetric
