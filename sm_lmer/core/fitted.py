"""Estimates at a given theta: beta, spherical and natural random effects, variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .criterion import Evaluation
from .likelihood import Likelihood
from .terms import FloatArray, template


@dataclass(frozen=True, eq=False)
class Solution:
    """Everything that follows from theta alone.

    Attributes
    ----------
    theta : ndarray, shape (k_theta,)
    value : float
        Criterion at theta.
    beta : ndarray, shape (p,)
        Coefficients of the kept columns of X, in the user's units.
    vcov_unscaled : ndarray, shape (p, p)
        ``cov(beta) / sigma^2``.
    sigma2 : float
        Residual variance.
    u, b : list of ndarray, shape (levels, q)
        Spherical and natural conditional modes, one a term in theta's order.
    r2, ussq : float
        Penalised residual sum of squares, and the part of it that is ``u'u``.
    logdet_L, logdet_RX : float
        ``log|L|^2`` and ``log|RX|^2`` of lme4.
    deviance : float
        -2 log-likelihood, profiled over beta and sigma, at theta.
    """

    theta: FloatArray
    value: float
    beta: FloatArray
    vcov_unscaled: FloatArray
    sigma2: float
    u: list[FloatArray]
    b: list[FloatArray]
    r2: float
    ussq: float
    logdet_L: float
    logdet_RX: float
    deviance: float
    reml: bool


def solve_at(
    likelihood: Likelihood,
    theta: FloatArray,
    reml: bool,
    Ts: Sequence[FloatArray] | None = None,
) -> Solution:
    """Solve for beta and the random effects at theta.

    Parameters
    ----------
    likelihood : Likelihood
    theta : ndarray
        In the user's coordinates.
    reml : bool
    Ts : sequence of ndarray, optional
        The conditioned templates A^-1 T at theta, where they are known better than
        theta itself gives them.
    """
    at = likelihood.evaluate(likelihood.templates(theta) if Ts is None else Ts, reml)
    return _solution(likelihood, theta, at, likelihood.criterion.spherical_modes(at))


def solution_of(likelihood: Likelihood, inner: FloatArray, at: Evaluation) -> Solution:
    """The same from an evaluation at inner coordinates.

    The templates V T* of these differ from those of theta by a rotation, which turns
    the spherical random effects and nothing else.
    """
    theta, _, rotations = likelihood.user_coordinates(inner)
    us = likelihood.criterion.spherical_modes(at)
    turned = [u @ rotation for u, rotation in zip(us, rotations, strict=True)]
    return _solution(likelihood, theta, at, turned)


def _solution(
    likelihood: Likelihood, theta: FloatArray, at: Evaluation, us: list[FloatArray]
) -> Solution:
    reml, basis = at.reml, likelihood.fixed.basis
    logdet_F = -float(np.linalg.slogdet(at.Fxx_inverse)[1]) if len(at.beta) else 0.0
    u: list[FloatArray] = [np.empty(0)] * len(likelihood.terms)
    b = list(u)
    for block, uj in zip(likelihood.blocks, us, strict=True):
        bj = uj @ template(block, theta).T
        for k, start in zip(block.terms, block.starts, strict=True):
            part = slice(start, start + likelihood.terms[k].q)
            u[k], b[k] = uj[:, part], bj[:, part]
    n = likelihood.n
    df_term = at.df * (1.0 + float(np.log(2.0 * np.pi * at.r2 / at.df)))
    logdet_L = at.value - df_term - (logdet_F if reml else 0.0)
    ml_term = n * (1.0 + float(np.log(2.0 * np.pi * at.r2 / n)))
    return Solution(
        theta=theta,
        value=at.value + likelihood.constant(reml),
        beta=likelihood.fixed.ols + basis.C @ at.beta,
        vcov_unscaled=basis.C @ at.Fxx_inverse @ basis.C.T,
        sigma2=at.sigma2,
        u=u,
        b=b,
        r2=at.r2,
        ussq=float(sum((uj * uj).sum() for uj in us)),
        logdet_L=logdet_L,
        logdet_RX=logdet_F + 2.0 * basis.logdet,
        deviance=logdet_L + ml_term - likelihood.log_weights,
        reml=reml,
    )


def conditional_covariances(
    likelihood: Likelihood, solution: Solution
) -> list[FloatArray]:
    """Covariances of the random effects given y and beta, one array a block.

    They are sigma^2 times the diagonal blocks of Lambda (Lambda'Z'WZ Lambda + I)^-1
    Lambda' (Bates et al. 2015, eq. 58); each has shape (levels, q, q), with the
    columns of all terms of the block.
    """
    at = likelihood.evaluate(likelihood.templates(solution.theta), solution.reml)
    first = at.M_inverse
    inverses = [first]
    if at.factor is not None:
        trailing, spread = at.factor.inverse_blocks()
        half = first @ at.Ts[0].T
        inverses = [first + half @ spread @ half.transpose(0, 2, 1), *trailing]
    covariances = []
    for block, inverse in zip(likelihood.blocks, inverses, strict=True):
        T = template(block, solution.theta)
        covariances.append(solution.sigma2 * (T @ inverse @ T.T))
    return covariances
