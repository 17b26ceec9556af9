"""Batches of small symmetric positive definite matrices, one a level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


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
    if M.shape[-1] == 1:
        return M * (T[0, 0] * T[0, 0])
    return T @ M @ T.T
