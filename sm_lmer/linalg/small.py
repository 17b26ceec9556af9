"""Batches of small symmetric positive definite matrices, one a level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SMALL = 3
"""Inner dimension up to which products are summed over outer products."""


def inverse_and_logdet(M: FloatArray) -> tuple[FloatArray, float]:
    """Inverses of M, shape (L, q, q), and the sum of their log-determinants."""
    q = M.shape[-1]
    if q == 1:
        return 1.0 / M, float(np.log(M).sum())
    if q == 2:
        a, b, d = M[:, 0, 0], M[:, 1, 0], M[:, 1, 1]
        det = a * d - b * b
        inverse = np.empty_like(M)
        inverse[:, 0, 0] = d / det
        inverse[:, 1, 1] = a / det
        inverse[:, 0, 1] = inverse[:, 1, 0] = -b / det
        return inverse, float(np.log(det).sum())
    return np.asarray(np.linalg.inv(M), dtype=np.float64), float(
        np.linalg.slogdet(M)[1].sum()
    )


def congruence(T: FloatArray, M: FloatArray) -> FloatArray:
    """T M_i T' for every level, shape (L, q, q)."""
    L, q, _ = M.shape
    if q == 1:
        return M * (T[0, 0] * T[0, 0])
    # vec(T M T') = (T kron T) vec(M), for all levels in one product
    kron = (T[:, None, :, None] * T[None, :, None, :]).reshape(q * q, q * q)
    return (M.reshape(L, q * q) @ kron.T).reshape(L, q, q)


def product(A: FloatArray, B: FloatArray) -> FloatArray:
    """A_i B_i for every level, shapes (L, r, q) and (L, q, c).

    For small q a sum of q outer products over all levels at once is several times
    faster than NumPy's loop over the levels.
    """
    q = A.shape[2]
    if q > SMALL:
        return A @ B
    out = A[:, :, :1] * B[:, :1, :]
    for k in range(1, q):
        out += A[:, :, k, None] * B[:, k, None, :]
    return out
