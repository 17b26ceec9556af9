"""Intervals from a bootstrap distribution, as R's ``boot.ci``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ..core.terms import FloatArray
from .bootstrap import Bootstrap
from .clusters import Cases, DrawnRows
from .statistics import Replicates

TYPES = ("norm", "basic", "perc", "bca", "stud")
"""What ``type=`` takes."""


def boot_ci(
    boot: Bootstrap,
    type: str = "perc",
    alpha: float = 0.05,
    *,
    errors: tuple[ArrayLike, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Confidence intervals from a bootstrap.

    Parameters
    ----------
    boot : Bootstrap
    type : {"norm", "basic", "perc", "bca", "stud"}
    alpha : float
        One less the level.
    errors : (array_like, array_like), optional
        For "stud": standard errors of the estimates, shape (k,), and of the
        replicates, (nsim, k). By default those of the fixed effects; other
        statistics have none, and their intervals are nan.

    Returns
    -------
    DataFrame
        A row a statistic; columns estimate, bias, bias_corrected, std_error, lower,
        upper. ``attrs["acceleration"]`` has the accelerations of "bca".

    Raises
    ------
    ValueError
        For an unknown type; for "bca" without clusters; for "stud" without standard
        errors.

    Notes
    -----
    With t the estimate and t* the replicates: "norm" is t - bias -+ z sd(t*); "perc"
    has the quantiles of t*, interpolated between order statistics on the normal scale;
    "basic" is 2t less these; "stud" is t less the quantiles of (t* - t) / se* times
    se; "bca" adjusts the levels of "perc" for bias and acceleration (Efron 1987;
    Davison and Hinkley 1997, ch. 5). The acceleration is sum l^3 / (6 (sum l^2)^1.5)
    with the jackknife influences l of the clusters: the estimate less the one without
    the cluster, for each level of the factor in which all others are nested, or,
    where factors are crossed, for each level of that with most levels. It takes one
    fit a cluster.

    References
    ----------
    Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and Their Application.
    Cambridge University Press.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.boot_ci import boot_ci
    >>> from sm_lmer.inference.bootstrap import bootstrap
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> boot = bootstrap(res, nsim=999, rng=1)
    >>> table = boot_ci(boot, "perc")
    >>> print(table.loc["Intercept", ["lower", "upper"]].round(-1).to_list())
    [1490.0, 1570.0]
    """
    if type not in TYPES:
        raise ValueError(f"unknown type {type!r}; choose one of {', '.join(TYPES)}.")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is between 0 and 1, not {alpha!r}.")
    levels = np.array([alpha / 2.0, 1.0 - alpha / 2.0])
    table = boot.to_frame()[["original", "bias", "bias_corrected", "std_error"]]
    table = table.rename(columns={"original": "estimate"})
    t0, t = boot.estimate.to_numpy(), boot.replicates.to_numpy()
    acceleration = np.full(len(t0), np.nan)
    ends = np.full((len(t0), 2), np.nan)
    if type == "bca":
        acceleration = accelerations(jackknife(boot))
    if type == "stud":
        se0, se = _standard_errors(boot, errors)
    for j, draws in enumerate(t.T):
        kept = np.isfinite(draws)
        if type == "stud":
            kept &= np.isfinite(se[:, j]) & (se[:, j] > 0)
        own = draws[kept]
        if len(own) < 2 or not np.isfinite(t0[j]):
            continue
        if type == "norm":
            centre, half = 2.0 * t0[j] - own.mean(), own.std(ddof=1)
            ends[j] = centre + stats.norm.ppf(levels) * half
        elif type == "perc":
            ends[j] = interpolated(own, levels)
        elif type == "basic":
            ends[j] = 2.0 * t0[j] - interpolated(own, levels[::-1])
        elif type == "stud":
            z = interpolated((own - t0[j]) / se[kept, j], levels[::-1])
            ends[j] = t0[j] - z * se0[j]
        else:
            adjusted = bca_levels(own, t0[j], acceleration[j], levels)
            ends[j] = interpolated(own, adjusted)
    table["lower"], table["upper"] = ends.T
    if type == "bca":
        table.attrs["acceleration"] = dict(zip(table.index, acceleration, strict=True))
    return table


def interpolated(t: FloatArray, levels: FloatArray) -> FloatArray:
    """Quantiles between order statistics, on the scale of normal quantiles.

    The k-th of R order statistics stands at the level k / (R + 1) (Davison and
    Hinkley 1997, eq. 5.8); beyond the first and the last these are returned.

    Examples
    --------
    >>> interpolated(np.arange(1.0, 100.0), np.array([0.025, 0.5])).round(4)
    array([ 2.5422, 50.    ])
    """
    ordered = np.sort(t)
    R = len(ordered)
    if not np.isfinite(levels).all():
        return np.full(len(levels), np.nan)
    rank = (R + 1) * levels
    k = np.floor(rank + 1e-9 * R / (R + 1)).astype(int)
    low, high = np.clip(k, 1, R), np.clip(k + 1, 1, R)
    z, below, above = (
        stats.norm.ppf(level) for level in (levels, k / (R + 1), (k + 1) / (R + 1))
    )
    inside = (k >= 1) & (k < R)
    span = np.where(inside, above - below, 1.0)
    share = np.where(inside, (z - np.where(inside, below, 0.0)) / span, 0.0)
    values: FloatArray = ordered[low - 1] + share * (
        ordered[high - 1] - ordered[low - 1]
    )
    return values


def bca_levels(
    t: FloatArray, t0: float, acceleration: float, levels: FloatArray
) -> FloatArray:
    """Levels adjusted for bias and acceleration (Davison and Hinkley, eq. 5.21)."""
    below = np.mean(t < t0)
    if not 0.0 < below < 1.0 or not np.isfinite(acceleration):
        return np.full(len(levels), np.nan)
    w = stats.norm.ppf(below)
    z = w + stats.norm.ppf(levels)
    adjusted: FloatArray = stats.norm.cdf(w + z / (1.0 - acceleration * z))
    return adjusted


def accelerations(influence: FloatArray) -> FloatArray:
    """sum l^3 / (6 (sum l^2)^1.5) of each column of influences."""
    squares = (influence**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = (influence**3).sum(axis=0) / (6.0 * squares**1.5)
    return np.where(squares > 0, found, 0.0)


def jackknife(boot: Bootstrap) -> FloatArray:
    """Jackknife influences of the clusters on the statistics, shape (clusters, k).

    Raises
    ------
    ValueError
        If the model cannot be fitted without one of the clusters.
    """
    results = boot.results
    draws = _without_each(results.model)
    found: Replicates = boot.statistic.of_rows(results, draws)
    bad = [text for text in found.messages if text]
    if bad:
        raise ValueError(
            "bca intervals need fits without each of the clusters, and one failed: "
            f"{bad[0]} Use type='perc'."
        )
    away = len(draws) - 1.0
    influence: FloatArray = away * (found.values.mean(axis=0) - found.values)
    return influence


def _without_each(model: Any) -> list[DrawnRows]:
    """The rows without each of the clusters in turn."""
    most = max(model.re_terms, key=lambda term: term.factor.n_levels).factor
    try:
        cases = Cases(model, two_stage=False)
    except ValueError:  # crossed factors
        every = np.arange(model.nobs)
        kept = [every[most.codes != k] for k in range(most.n_levels)]
        return [DrawnRows(rows, np.zeros_like(rows)) for rows in kept]
    return [cases.without(k) for k in range(cases.levels)]


def _standard_errors(
    boot: Bootstrap, errors: tuple[ArrayLike, ArrayLike] | None
) -> tuple[FloatArray, FloatArray]:
    if errors is not None:
        se0, se = (np.asarray(e, dtype=np.float64) for e in errors)
        se = se.reshape(boot.replicates.shape)
        return se0.reshape(-1), se
    se0 = boot.estimate_errors.to_numpy()
    if not np.isfinite(se0).any():
        raise ValueError(
            "studentised intervals need standard errors of the statistics and of their "
            "replicates; pass them as errors=, or bootstrap without func."
        )
    return se0, boot.standard_errors.to_numpy()
