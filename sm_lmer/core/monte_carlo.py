"""Monte Carlo standard errors of a fit whose log-determinant is estimated by probes.

Each probe gives an estimate of log|S| and of its derivatives of its own. The spread of
the first is the error of the log-likelihood. With g_j the derivatives by probe j and H
the Hessian of the criterion, the error of theta is that of -H^-1 times their mean, so
its covariance is H^-1 cov(g) H^-1 over the number of probes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..linalg import KrylovFactor
from .criterion import Evaluation
from .likelihood import Likelihood
from .terms import FloatArray

CURVED = 1e-8
"""Share of the largest curvature below which a direction of theta counts as flat."""

STEP = 1e-6
"""Of the differences that take errors to the user's theta."""


@dataclass(frozen=True, eq=False)
class MonteCarloErrors:
    """Monte Carlo standard errors.

    Attributes
    ----------
    probes : int
        1 where all unit vectors served, without error.
    llf : float
        Of the log-likelihood.
    theta : ndarray, shape (k_theta,)
        Of the user's theta.
    """

    probes: int
    llf: float
    theta: FloatArray


def monte_carlo_errors(
    likelihood: Likelihood, inner: FloatArray, at: Evaluation
) -> MonteCarloErrors | None:
    """Errors at the optimum, of which `at` is the evaluation; None for exact solvers.

    Parameters
    ----------
    likelihood : Likelihood
        In the coordinates of `inner`.
    inner : ndarray, shape (k_theta,)
    at : Evaluation
    """
    factor = at.factor
    if not isinstance(factor, KrylovFactor):
        return None
    k, probes = likelihood.k_theta, factor.solver.probes
    if factor.solver.exact:
        return MonteCarloErrors(1, 0.0, np.zeros(k))
    by_probe = likelihood.criterion.trace_gradients(at, factor)
    g = np.array(
        [likelihood.inner_entries([T[j] for T in by_probe]) for j in range(probes)]
    )
    spread = np.atleast_2d(np.cov(g, rowvar=False)) / probes
    values, vectors = np.linalg.eigh(_curvature(likelihood, at))
    curved = values > CURVED * max(1.0, float(values.max(initial=0.0)))
    move = _user_moves(likelihood, inner) @ vectors[:, curved] / values[curved]
    along = move @ vectors[:, curved].T
    covariance = along @ spread @ along.T
    theta = np.sqrt(np.maximum(0.0, covariance.diagonal()))
    return MonteCarloErrors(probes, 0.5 * factor.logdet_mcse, theta)


def _curvature(likelihood: Likelihood, at: Evaluation) -> FloatArray:
    """The Hessian of the criterion, as the average information has it."""
    information = likelihood.criterion.average_information(
        at, likelihood.positions, likelihood.rotations
    )
    return 0.5 * (information + information.T)


def _user_moves(likelihood: Likelihood, inner: FloatArray) -> FloatArray:
    """Derivatives of the user's theta in inner coordinates, shape (k, k)."""
    moves = np.empty((len(inner), len(inner)))
    for j in range(len(inner)):
        step = np.zeros(len(inner))
        step[j] = STEP * max(1.0, abs(inner[j]))
        above, below = (
            likelihood.to_user(inner + step),
            likelihood.to_user(inner - step),
        )
        moves[:, j] = (above[0] - below[0]) / (2.0 * step[j])
    return moves
