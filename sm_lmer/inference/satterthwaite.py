r"""Satterthwaite's degrees of freedom, from analytic gradients.

For a contrast :math:`v = l'\,\mathrm{cov}(\hat\beta)\,l` Satterthwaite's degrees of
freedom are :math:`2 v^2 / \mathrm{var}(\hat v)`, with the variance by the delta method
from the covariance of (theta, sigma), twice the inverse Hessian of the unprofiled
criterion (Giesbrecht and Burns 1985; Kuznetsova, Brockhoff and Christensen 2017).
Eliminating sigma from that Hessian gives, with P the Hessian of the *profiled*
criterion and derivatives along sigma(theta),

.. math:: 1/\nu = 1/df + (\partial \log v)' P^{-1} (\partial \log v),

where df is n - p by REML and n by maximum likelihood: one number for what estimating
sigma costs, and one for the rest. P comes from differences of the exact gradient, the
derivative of v from one solve with all columns of X.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..core.optimize import hessian
from ..core.terms import FloatArray
from .ddf import Inference, model_vcov, pooled

if TYPE_CHECKING:
    from ..core.likelihood import Likelihood
    from ..results import LMERResults

FLAT = 1e-8
"""Curvature, relative to the largest, below which a direction is left out."""


@dataclass(frozen=True, eq=False)
class Satterthwaite(Inference):
    """Satterthwaite's method.

    Attributes
    ----------
    df : float
        Degrees of freedom of sigma.
    model_vcov : ndarray, shape (p, p)
        Covariance of the estimates by the model, which the degrees of freedom are of
        even where another one gives the standard errors.
    jacobian : ndarray, shape (k, p, p)
        Derivatives of `model_vcov` along directions in which the inverse Hessian of the
        profiled criterion is the identity.
    """

    df: float
    model_vcov: FloatArray
    jacobian: FloatArray
    method: str = field(default="satterthwaite", init=False)

    def each(self, L: FloatArray) -> FloatArray:
        """Of every row by itself."""
        v = np.einsum("ij,jk,ik->i", L, self.model_vcov, L)
        gradient = np.einsum("ij,mjk,ik->im", L, self.jacobian, L)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = gradient / v[:, None]
        return 1.0 / (1.0 / self.df + (relative**2).sum(axis=1))

    def joint(self, L: FloatArray) -> tuple[float, float]:
        """Pooled over the principal components of the rows' estimates."""
        _, vectors = np.linalg.eigh(L @ self.model_vcov @ L.T)
        return pooled(self.each(vectors.T @ L)), 1.0


def satterthwaite(results: LMERResults) -> Satterthwaite:
    """Satterthwaite's method for a fit."""
    vcov = model_vcov(results)
    turned, inner = at_the_estimate(results)
    df = float(turned.n - (len(vcov) if results.reml else 0))
    directions, flat = unit_directions(turned, inner, results.reml)
    notes = []
    if flat:
        notes.append(
            f"Satterthwaite: the criterion is flat along {flat} of {len(inner)} "
            "directions of theta, which are left out."
        )
    derivatives = _vcov_derivatives(turned, inner, results.reml)
    jacobian = np.tensordot(directions.T, derivatives, axes=1)
    return Satterthwaite(vcov, df, vcov, jacobian, notes=tuple(notes))


def at_the_estimate(results: LMERResults) -> tuple[Likelihood, FloatArray]:
    """The likelihood on the principal axes of the estimate, and theta there.

    There a combination of random effects without variance is a coordinate of its own,
    in which the criterion is even, so that it does not take part.
    """
    point = results._optimum.point
    likelihood = results._likelihood().rotated(point.rotations)
    return likelihood.on_principal_axes(point.inner)


def unit_directions(
    likelihood: Likelihood, inner: FloatArray, reml: bool
) -> tuple[FloatArray, int]:
    """Directions in which the inverse Hessian of the criterion is the identity.

    Returns
    -------
    directions : ndarray, shape (k_theta, m)
    flat : int
        Number of directions left out, as the criterion has no curvature along them.
    """
    values, vectors = np.linalg.eigh(hessian(likelihood, inner, reml))
    curved = values > FLAT * max(1.0, float(values.max(initial=0.0)))
    return vectors[:, curved] / np.sqrt(values[curved]), int((~curved).sum())


def _vcov_derivatives(
    likelihood: Likelihood, inner: FloatArray, reml: bool
) -> FloatArray:
    """Derivatives of vcov(beta), sigma profiled out, shape (k_theta, p, p).

    With V the relative covariance of y and G_j = Z_j'V^-1[X, r] for level j, the
    derivatives of X'V^-1X and of r'V^-1r along dSigma are -sum_j G_j' dSigma G_j.
    """
    Ts = likelihood.inner_templates(inner)
    at = likelihood.evaluate(Ts, reml)
    p = len(at.beta)
    V = np.eye(p + 1)
    V[:p, p] = -at.beta
    _, scores = likelihood.criterion.scores(at, V)
    C = likelihood.fixed.basis.C
    moments = [np.einsum("lra,lsb->rsab", G, G, optimize=True) for G in scores]
    out = np.empty((likelihood.k_theta, p, p))
    for k, (j, r, c) in enumerate(likelihood.positions):
        half = np.tensordot(
            likelihood.rotations[j][:, r],
            np.tensordot(Ts[j][:, c], moments[j], axes=(0, 1)),
            axes=1,
        )
        lost = half + half.T  # sum_j G_j' dSigma G_j
        along = at.Fxx_inverse @ lost[:p, :p] @ at.Fxx_inverse
        along -= lost[p, p] / at.r2 * at.Fxx_inverse
        out[k] = at.sigma2 * (C @ along @ C.T)
    return out
