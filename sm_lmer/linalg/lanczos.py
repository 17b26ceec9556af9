"""Conjugate gradients and Lanczos' method for many vectors at once.

Every column has its own steps; what they share is one product with the matrix an
iteration. The quadratic forms z'log(A) z come from the Lanczos basis Q and the
tridiagonal T = Q'AQ (Ubaru, Chen and Saad 2017, SIAM J. Matrix Anal. Appl. 38), and so
do their exact derivatives: with T = Y diag(l) Y', z = |z| q_1, and the divided
differences f[l_j, l_k] of the logarithm,

    d z'log(A) z = sum_jk C_jk q_j'dA q_k,   C = |z|^2 Y (f[l, l] o y_1 y_1') Y'.

So the estimate is a smooth function of whatever A depends on, and its gradient is the
gradient of that same function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Product = Callable[[FloatArray], FloatArray]


def conjugate_gradients(
    product: Product, B: FloatArray, tolerance: float, limit: int
) -> tuple[FloatArray, int]:
    """A^-1 B column by column, and the number of iterations.

    Parameters
    ----------
    product : callable
        A times a matrix of columns, for A positive definite.
    B : ndarray, shape (m, c)
    tolerance : float
        Of the residuals' norms, relative to those of B.
    limit : int
        Most iterations.

    Raises
    ------
    numpy.linalg.LinAlgError
        If A is not positive definite, or the limit is reached.
    """
    X = np.zeros_like(B)
    squares = np.einsum("ij,ij->j", B, B)
    goals = tolerance * tolerance * squares
    active = np.flatnonzero(squares > 0.0)
    R = B[:, active].copy()
    P, x, r2, goal = R.copy(), np.zeros_like(R), squares[active], goals[active]
    for iteration in range(limit):
        if not len(active):
            return X, iteration
        AP = product(P)
        curvature = np.einsum("ij,ij->j", P, AP)
        if not (curvature > 0.0).all():
            raise np.linalg.LinAlgError("S is not positive definite")
        step = r2 / curvature
        x += step * P
        AP *= step
        R -= AP
        r2_new = np.einsum("ij,ij->j", R, R)
        done = r2_new <= goal
        P *= r2_new / r2
        P += R
        r2 = r2_new
        if done.any():
            X[:, active[done]] = x[:, done]
            left = ~done
            active, goal, r2 = active[left], goal[left], r2[left]
            R, P, x = R[:, left], P[:, left], x[:, left]
    if len(active):
        raise np.linalg.LinAlgError(
            f"conjugate gradients have not converged in {limit} iterations"
        )
    return X, limit


@dataclass(frozen=True, eq=False)
class LanczosBasis:
    """What some steps of Lanczos' method give for each of c starting vectors.

    Attributes
    ----------
    Q : ndarray, shape (J, m, c)
        The basis of each vector.
    alpha, beta : ndarray, shape (J, c)
        Diagonal of T; what is below it, and the norm of the next vector.
    squares : ndarray, shape (c,)
        Squared norms of the starting vectors.
    """

    Q: FloatArray
    alpha: FloatArray
    beta: FloatArray
    squares: FloatArray

    def _ritz(self) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues (c, J) and eigenvectors (c, J, J) of the T."""
        J, c = self.alpha.shape
        T = np.zeros((c, J, J))
        i = np.arange(J)
        T[:, i, i] = self.alpha.T
        T[:, i[1:], i[:-1]] = T[:, i[:-1], i[1:]] = self.beta[:-1].T
        values, vectors = np.linalg.eigh(T)
        if not (values > 0.0).all():
            raise np.linalg.LinAlgError("S is not positive definite")
        return values, vectors

    def log_forms(self) -> tuple[FloatArray, FloatArray]:
        """z'log(A) z of each vector, shape (c,), and C of its derivative, (c, J, J)."""
        values, Y = self._ritz()
        first = Y[:, 0, :]
        forms = self.squares * (first * first * np.log(values)).sum(axis=1)
        weights = _divided_differences(values) * first[:, :, None] * first[:, None, :]
        C = Y @ weights @ Y.transpose(0, 2, 1) * self.squares[:, None, None]
        return forms, C


def lanczos(
    product: Product, Z: FloatArray, tolerance: float, limit: int
) -> LanczosBasis:
    """Steps of Lanczos' method for each column of Z.

    Each column's end where conjugate gradients from the same vector would have reduced
    the residual to the tolerance. Ritz values that converge before that may come
    twice, with no harm to what is computed here, so nothing is reorthogonalised.

    Parameters
    ----------
    product : callable
        A times a matrix of columns.
    Z : ndarray, shape (m, c)
    tolerance : float
    limit : int
        Most steps.
    """
    squares = np.einsum("ij,ij->j", Z, Z)
    q = Z / np.sqrt(squares)
    before, b = None, np.zeros(Z.shape[1])
    residual, pivot = np.ones(Z.shape[1]), np.ones(Z.shape[1])
    ended = np.zeros(Z.shape[1], dtype=bool)
    basis, alphas, betas = [], [], []
    for _ in range(limit):
        basis.append(q)
        r = product(q)
        a = np.einsum("ij,ij->j", q, r)
        r -= a * q
        if before is not None:
            r -= b * before
        a[ended] = 1.0  # their q is zero, and log(1) adds nothing
        pivot = a - b * b / pivot  # of the factors L D L' of T
        if not (pivot > 0.0).all():
            raise np.linalg.LinAlgError("S is not positive definite")
        b = np.sqrt(np.einsum("ij,ij->j", r, r))
        residual *= b / pivot
        ended |= residual <= tolerance
        b[ended] = 0.0
        alphas.append(a)
        betas.append(b)
        if ended.all():
            break
        r[:, ended] = 0.0
        before, q = q, r / np.where(ended, 1.0, b)
    return LanczosBasis(np.stack(basis), np.stack(alphas), np.stack(betas), squares)


def _divided_differences(values: FloatArray) -> FloatArray:
    """(log a - log b) / (a - b) for all pairs of the last axis; 1 / a where equal."""
    a, b = values[..., :, None], values[..., None, :]
    share = (a - b) / b
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(
            np.abs(share) < 1e-8, 1.0 - 0.5 * share, np.log1p(share) / share
        )
    quotient: FloatArray = ratio / b
    return quotient
