"""A change of columns found on a sample, so that sums over all rows keep their digits.

Cross-products of raw columns lose the digits that scale, origin and dependence of the
columns take. With the columns of X centred, scaled and made orthogonal *on a sample*,
and the sample's fit taken out of y, the sums over all rows are near those of
orthonormal columns and a residual. What is left of the change to exactly orthonormal
ones is small algebra on the sums (:mod:`sm_lmer.big.statistics`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from ..core.conditioning import CENTRED_TOLERANCE, RANK_TOLERANCE
from ..core.terms import FloatArray


@dataclass(frozen=True, eq=False)
class Scaling:
    """Columns ``W = ((X - shift) / scale) @ T``, and a fit of the response to them.

    Attributes
    ----------
    shift, scale : ndarray, shape (p,)
        `shift` is zero but where the first column of X is a constant of ones.
    T : ndarray, shape (p, p)
        Upper triangular, so that the first k columns of W span those of X.
    floor : ndarray, shape (p,)
        Root mean square of (X - shift) / scale below which a column is rounding error.
    dependent : ndarray of bool, shape (p,)
        Columns that depend on earlier ones in the sample; no other column of W holds
        them.
    level : float
    coefficients : ndarray, shape (p,)
        ``level + W @ coefficients`` is the fit.
    constant : bool
        Whether the first column of X is a constant of ones, in all rows of the data.
    """

    shift: FloatArray
    scale: FloatArray
    T: FloatArray
    floor: FloatArray
    dependent: NDArray[np.bool_]
    level: float
    coefficients: FloatArray
    constant: bool = False

    @classmethod
    def none(cls, p: int) -> Scaling:
        """No change of p columns."""
        zero = np.zeros(p)
        return cls(zero, np.ones(p), np.eye(p), zero, zero > 0.0, 0.0, zero)

    @property
    def P(self) -> FloatArray:
        """The matrix of the change, ``W = X @ P``."""
        E = np.diag(1.0 / self.scale)
        if len(E):
            E[0] -= self.shift / self.scale
        return np.asarray(E @ self.T)

    def columns(self, X: FloatArray) -> FloatArray:
        """W, shape (n, p)."""
        W = X - self.shift
        W /= self.scale
        return np.asarray(W @ self.T)

    def residual(self, W: FloatArray, y: FloatArray) -> FloatArray:
        """The response less the sample's fit."""
        return np.asarray(y - self.level - W @ self.coefficients)

    def with_response(self, X: FloatArray, y: FloatArray) -> Scaling:
        """The same change of columns with the fit of a response."""
        level = float(y.mean()) if self.constant and len(y) else 0.0
        free = ~self.dependent
        coefficients = np.zeros(len(free))
        if len(y) > len(free):
            W = self.columns(X)[:, free]
            found = np.linalg.lstsq(W, y - level, rcond=RANK_TOLERANCE)
            coefficients[free] = found[0]
        return replace(self, level=level, coefficients=coefficients)


def scaling_of(X: FloatArray, constant: bool, mixed: bool = True) -> Scaling:
    """The change that makes the columns of a sample orthonormal, but for a factor.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    constant : bool
        Whether the first column is a constant of ones, in all rows of the data.
    mixed : bool
        Whether columns may be combined; otherwise they are scaled alone.
    """
    n, p = X.shape
    if n == 0 or p == 0:
        return Scaling.none(p)
    shift = np.zeros(p)
    if constant and mixed:
        shift[1:] = X[:, 1:].mean(axis=0)
    scaled = X - shift
    size, raw = np.abs(scaled).max(axis=0), np.abs(X).max(axis=0)
    scale = np.where(size > raw * CENTRED_TOLERANCE, size, raw)
    scale[scale == 0.0] = 1.0
    scaled /= scale
    root = np.sqrt((scaled**2).mean(axis=0))
    root[root <= CENTRED_TOLERANCE] = 1.0
    scale, scaled = scale * root, scaled / root
    T, dependent = np.eye(p), np.zeros(p, dtype=bool)
    if mixed and n > p:
        T, dependent = _triangle(scaled)
    floor = CENTRED_TOLERANCE * raw / scale
    zero = np.zeros(p)
    return Scaling(shift, scale, T, floor, dependent, 0.0, zero, constant and mixed)


def _triangle(X: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """R^-1 of X = QR, and which columns depend on earlier ones; these stay apart."""
    R = np.linalg.qr(X, mode="r") / np.sqrt(len(X))
    R *= np.where(R.diagonal() < 0, -1.0, 1.0)[:, None]
    dependent = R.diagonal() <= RANK_TOLERANCE
    R[dependent] = 0.0
    R[dependent, dependent] = 1.0  # both index the diagonal
    return np.asarray(solve_triangular(R, np.eye(len(R)))), dependent
