"""Confidence intervals by profile likelihood, without the rest of the profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..core.profiling import Curve, hessian_of
from ..core.restrictions import Estimate, HeldSigma
from ..core.terms import FloatArray
from .profile import at_best, check_level, interval, labelled, starting_estimate
from .profile_parameters import Parameter, choose, parameters

if TYPE_CHECKING:
    from ..results import LMERResults


def fixed_intervals(
    results: LMERResults, alpha: float = 0.05, cols: Sequence[int] | None = None
) -> FloatArray:
    """Profile likelihood intervals of the fixed effects.

    Parameters
    ----------
    results : LMERResults
    alpha : float
        One less the level.
    cols : sequence of int, optional
        Which coefficients; all by default.

    Returns
    -------
    ndarray, shape (p, 2)

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.profile_intervals import fixed_intervals
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> print(fixed_intervals(res).round(2))
    [[1486.45 1568.55]]
    """
    fixed = [p for p in parameters(results.model) if p.kind == "fixed"]
    if cols is not None:
        fixed = [fixed[k] for k in np.asarray(cols)]
    return _ends(results, fixed, alpha, reml=False)


def conf_int_re(
    results: LMERResults,
    alpha: float = 0.05,
    method: str = "profile",
    *,
    reml: bool = False,
) -> pd.DataFrame:
    """Intervals of standard deviations, correlations and sigma.

    Parameters
    ----------
    results : LMERResults
    alpha : float
        One less the level.
    method : {"profile", "wald"}
        By profile likelihood, or from the curvature of the fit's criterion, on the
        scale of log(sd) and atanh(correlation); the latter has no interval (nan) for
        an estimate on the boundary.
    reml : bool
        Profile the REML criterion rather than the likelihood.

    Returns
    -------
    DataFrame
        ``lower`` and ``upper``, a row a parameter in the order of theta, then sigma.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.profile_intervals import conf_int_re
    >>> data = sml.datasets.load_pastes()
    >>> res = sml.lmer("strength ~ 1 + (1 | batch/cask)", data).fit()
    >>> for name, (lower, upper) in conf_int_re(res).iterrows():
    ...     print(f"{name:23} {lower:.4f} {upper:.4f}")
    sd Intercept|cask:batch 2.1579 4.0538
    sd Intercept|batch      0.0000 2.9466
    sigma                   0.6520 1.0854
    """
    chosen = choose(parameters(results.model), "theta_", reml)
    if method == "profile":
        ends = _ends(results, chosen, alpha, reml)
    elif method == "wald":
        check_level(alpha)
        ends = _wald(starting_estimate(results, results.reml), chosen, alpha)
    else:
        raise ValueError(
            f"unknown method {method!r} of conf_int_re; use 'profile' or 'wald'."
        )
    return labelled(ends, [p.name for p in chosen])


def _ends(
    results: LMERResults, chosen: Sequence[Parameter], alpha: float, reml: bool
) -> FloatArray:
    """Ends of intervals without the points in between, shape (k, 2)."""
    check_level(alpha)

    def build(estimate: Estimate) -> FloatArray:
        rows = [interval(Curve(p.hold(estimate)), alpha) for p in chosen]
        return np.array(rows).reshape(-1, 2)

    return at_best(results, reml, build)[0]


def _wald(estimate: Estimate, chosen: Sequence[Parameter], alpha: float) -> FloatArray:
    """Ends by the delta method from the curvature in (theta, log sigma)."""
    held = HeldSigma(estimate)
    point = np.append(held.start, held.centre)
    is_cor = np.array([p.kind == "cor" for p in chosen])

    def gradient(x: FloatArray) -> FloatArray:
        _, along, slope = held.evaluate(x[:-1], x[-1])
        return np.append(along, slope)

    def transformed(x: FloatArray) -> FloatArray:
        values = held.values(x[:-1], x[-1])
        flat = np.append(values.random, values.sigma)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(is_cor, np.arctanh(flat), np.log(np.abs(flat)))

    size = 2e-5 if held.likelihood.criterion.has_gradient else 1e-3
    curvature, vectors = np.linalg.eigh(hessian_of(gradient, point, size))
    curved = curvature > 1e-8 * max(1.0, float(curvature.max()))
    directions = vectors[:, curved] / np.sqrt(0.5 * curvature[curved])
    centre = transformed(point)
    interior = np.isfinite(centre) & (np.abs(centre) < 12.0 + 1e3 * ~is_cor)
    jacobian = np.empty((len(point), len(point)))
    for k in range(len(point)):
        move = np.zeros(len(point))
        move[k] = 1e-5 * max(1.0, abs(point[k]))
        with np.errstate(invalid="ignore"):
            change = transformed(point + move) - transformed(point - move)
        jacobian[:, k] = np.where(interior, change, 0.0) / (2.0 * move[k])
    half = norm.isf(alpha / 2.0) * np.sqrt(((jacobian @ directions) ** 2).sum(axis=1))
    ends = np.column_stack([centre - half, centre + half])
    with np.errstate(over="ignore"):  # near a variance of zero they reach to infinity
        ends = np.where(is_cor[:, None], np.tanh(ends), np.exp(ends))
    return np.where(interior[:, None], ends, np.nan)
