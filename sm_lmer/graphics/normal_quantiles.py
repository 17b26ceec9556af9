"""Normal quantiles, and the bands in which a normal sample stays."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincinv, ndtri

from ..core.terms import FloatArray, IntArray

BANDS = (None, "pointwise", "simultaneous")

DRAWS, KNOTS, SEED = 1_500, 300, 1
"""Samples, and order statistics of each, that the simultaneous level rests on."""


def plotting_positions(n: int, at: IntArray | None = None) -> FloatArray:
    """Expected normal order statistics, by Blom's ``(i - 3/8) / (n + 1/4)``.

    Parameters
    ----------
    n : int
    at : ndarray of int, shape (k,), optional
        Which of them, from 0; all by default.
    """
    places = np.arange(n) if at is None else at
    z: FloatArray = ndtri((places + 0.625) / (n + 0.25))
    return z


def quantile_band(
    n: int, at: IntArray, kind: str, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Limits of standard normal order statistics.

    The i-th of n uniform order statistics has the Beta(i, n + 1 - i) distribution.
    The pointwise band takes its quantiles at the level asked for; the simultaneous one
    takes them at one smaller level for all i, such that a whole sample stays inside
    with the probability asked for (Aldor-Noiman et al., 2013), which is found from
    simulated order statistics with a fixed seed.

    Parameters
    ----------
    n : int
        Size of the sample.
    at : ndarray of int, shape (k,)
        Which order statistics, from 0.
    kind : {"pointwise", "simultaneous"}
    level : float

    Returns
    -------
    lower, upper : ndarray, shape (k,)

    References
    ----------
    Aldor-Noiman, S., Brown, L. D., Buja, A., Rolke, W. and Stine, R. A. (2013). The
    power to see: a new graphical test of normality. The American Statistician 67(4),
    249-260.
    """
    if kind not in BANDS[1:]:
        raise ValueError(f"band is 'pointwise', 'simultaneous' or None, not {kind!r}.")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is between 0 and 1, not {level!r}.")
    local = 1.0 - level if kind == "pointwise" else local_level(n, level)
    i = np.asarray(at) + 1.0
    ends = [betaincinv(i, n + 1.0 - i, p) for p in (local / 2, 1.0 - local / 2)]
    return ndtri(ends[0]), ndtri(ends[1])


def local_level(n: int, level: float = 0.95) -> float:
    """Two-sided level of each order statistic at which all stay inside together."""
    knots = _knots(n)
    gaps = np.diff(np.concatenate([[0], knots, [n + 1]]))
    spacings = np.random.default_rng(SEED).standard_gamma(gaps, (DRAWS, len(gaps)))
    total = np.cumsum(spacings, axis=1)
    uniform = total[:, :-1] / total[:, -1:]
    below = betainc(knots, n + 1.0 - knots, uniform)
    smallest = 2.0 * np.minimum(below, 1.0 - below).min(axis=1)
    return float(np.quantile(smallest, 1.0 - level))


def _knots(n: int) -> FloatArray:
    """Order statistics, from 1, dense at both ends; the others lie between them."""
    if n <= KNOTS:
        return np.arange(1.0, n + 1.0)
    one_side = np.unique(np.geomspace(1, (n + 1) / 2, KNOTS // 2).round())
    return np.unique(np.concatenate([one_side, n + 1 - one_side]))


def quartile_line(values: FloatArray) -> tuple[float, float]:
    """Intercept and slope of the line through the quartiles, against normal ones."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    slope = float((upper - lower) / (2.0 * ndtri(0.75)))
    return float(lower + upper) / 2.0, slope
