"""What other responses need at a theta whose factors are at hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import lapack

from ..linalg.small import product
from .criterion import Criterion, Evaluation
from .crossproducts import block_matrix
from .likelihood import Likelihood
from .terms import FloatArray


def solve_responses(
    likelihood: Likelihood, at: Evaluation, Y: FloatArray
) -> tuple[FloatArray, list[FloatArray]]:
    """Fixed effects and spherical modes of several responses at one theta.

    Parameters
    ----------
    likelihood : Likelihood
    at : Evaluation
        Its latest.
    Y : ndarray, shape (n, R)
        Responses less the offset.

    Returns
    -------
    beta : ndarray, shape (p, R)
        In the coordinates of the user's columns.
    us : list of ndarray, shape (levels, q, R)
        Of each block.
    """
    cross, layout = likelihood.cross, likelihood.layout
    roots, basis = likelihood.sqrt_weights, likelihood.fixed.basis
    p, R = len(at.beta), Y.shape[1]
    L, q, _ = at.K.shape
    rest = Y if roots is None else Y * roots[:, None]
    ols = basis.Q.T @ rest
    rest = rest - basis.Q @ ols
    sums = [
        block_matrix(block, Z).T @ rest
        for block, Z in zip(likelihood.blocks, likelihood.Zs, strict=True)
    ]
    KB = product(at.K, sums[0].reshape(L, q, R)).reshape(-1, R)
    F = basis.Q.T @ rest - cross.B1[:, :p].T @ KB
    solver, factor = likelihood.solver, at.factor
    if solver is None or factor is None:
        beta = at.Fxx_inverse @ F
        left = sums[0] - cross.B1[:, :p] @ beta
        u2 = np.zeros((0, R))
    else:
        H = np.concatenate(sums[1:]) - solver.A21 @ KB
        right = layout.left(factor.transposed_Ts, H)
        F = F - at.U[:, :p].T @ right
        beta = at.Fxx_inverse @ F
        u2 = factor.solve(right) - at.U[:, :p] @ beta
        b2 = layout.left(at.Ts[1:], u2)
        left = sums[0] - cross.B1[:, :p] @ beta - solver.A21t @ b2
    half = product(at.Ts[0].T[None], left.reshape(L, q, R))
    us = [product(at.M_inverse, half)]
    us += [u2[rows].reshape(n, width, R) for rows, n, width in layout.parts]
    return basis.C @ (ols + beta), us


def with_factors_of(criterion: Criterion, at: Evaluation) -> Evaluation:
    """The evaluation of another response where the factors are known.

    Parameters
    ----------
    criterion : Criterion
        That of the other response.
    at : Evaluation
        Of a response on the same design, at the theta wanted.

    Raises
    ------
    numpy.linalg.LinAlgError
        If no residual variance is left.
    """
    cross, p, solver = criterion.cross, criterion.p, criterion.solver
    L, q, _ = at.K.shape
    KB1 = product(at.K, cross.B1.reshape(L, q, -1)).reshape(-1, p + 1)
    F = cross.C - cross.B1.T @ KB1
    U = H = cross.B2
    if solver is not None and at.factor is not None:
        H = cross.B2 - solver.A21 @ KB1
        R = solver.layout.left(at.factor.transposed_Ts, H)
        U = at.factor.solve(R)
        F -= R.T @ U
    R_F, info = lapack.dpotrf(F, lower=0, clean=1)
    if info != 0:
        raise np.linalg.LinAlgError("no residual variance is left")
    r2 = float(R_F[p, p] ** 2)
    beta, _ = lapack.dtrtrs(R_F[:p, :p], R_F[:p, p]) if p else (np.zeros(0), 0)
    value = at.value + at.df * float(np.log(r2 / at.r2))
    return replace(at, value=value, r2=r2, beta=beta, U=U, H=H, R_F=R_F)


def quadratic_slope(criterion: Criterion, at: Evaluation) -> list[np.ndarray]:
    """The part of the gradient in the templates that depends on the response.

    The penalised residual sum of squares has the derivative -2 sum s u' in T, with
    the spherical modes u and their scores s.

    Returns
    -------
    list of ndarray, shape (q, q)
        One a block.
    """
    us, scores = criterion.modes(at)
    return [-2.0 * at.df / at.r2 * (s.T @ u) for u, s in zip(us, scores, strict=True)]
