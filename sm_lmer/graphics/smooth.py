"""Lines through clouds of points, fast for a million of them."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm
from statsmodels.nonparametric.smoothers_lowess import lowess

from ..core.terms import FloatArray, IntArray

EXACT = 20_000
"""Points up to which lowess takes all of them."""

BINS = 1_000
"""Bins of equal size whose means it takes beyond."""

FEW = 10
"""Distinct values up to which a smooth is the line through their means."""

SPAN = 2.0 / 3.0
"""Share of the points around each, as in R's plots of fits."""


def smooth_curve(
    x: FloatArray, y: FloatArray, span: float = SPAN
) -> tuple[FloatArray, FloatArray]:
    """A robust smooth of y along x.

    Means where x has few values; otherwise Cleveland's (1979) lowess with three
    robust steps, through all points or, of very many, through the means of bins of
    equal size.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    span : float
        Share of the points that each local line is fitted to.

    Returns
    -------
    at, smooth : ndarray, shape (k,)
        Increasing in `at`; empty if x has a single value.
    """
    if len(np.unique(x[:EXACT])) <= FEW:
        distinct, few = np.unique(x, return_inverse=True)
        if len(distinct) < 2:
            return np.empty(0), np.empty(0)
        if len(distinct) <= FEW:
            return distinct, _means(few.reshape(-1), y)
    at, values = x, y
    codes: IntArray
    if len(x) > EXACT:
        codes = _equal_bins(x, BINS)
        at, values = _means(codes, x), _means(codes, y)
    width = float(np.ptp(at))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = lowess(values, at, frac=span, it=3, delta=0.01 * width)
    if np.isfinite(found).all():
        at, first = np.unique(found[:, 0], return_index=True)
        return at, found[first, 1]
    codes = _equal_bins(x, FEW)
    at, first = np.unique(_means(codes, x), return_index=True)
    return at, _means(codes, y)[first]


def quantile_curves(
    x: FloatArray, y: FloatArray, probabilities: FloatArray, bins: int = 20
) -> tuple[FloatArray, FloatArray]:
    """Quantiles of y in bins of x of equal size, ties of x kept together.

    Returns
    -------
    at : ndarray, shape (k,)
        Mean of x in each bin.
    quantiles : ndarray, shape (k, len(probabilities))
    """
    codes = np.unique(_equal_bins(x, bins), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    parts = np.split(y[order], np.cumsum(np.bincount(codes))[:-1])
    at = _means(codes, x)
    return at, np.array([np.quantile(part, probabilities) for part in parts])


def _equal_bins(x: FloatArray, bins: int) -> IntArray:
    """Bins of about equal size, 0, 1, ...; equal values share a bin."""
    edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    codes = np.searchsorted(edges, x, side="left")
    occupied = np.bincount(codes) > 0
    return (np.cumsum(occupied) - 1)[codes]


def _means(codes: IntArray, y: FloatArray) -> FloatArray:
    means: FloatArray = np.bincount(codes, weights=y) / np.bincount(codes)
    return means


def thinned(n: int, ends: int = 500, between: int = 1_000) -> IntArray:
    """Positions of n sorted values that show their shape, few between the ends.

    Those between are at equal distances on the scale of normal quantiles.
    """
    if n <= 2 * ends + between:
        return np.arange(n)
    reach = norm.ppf(ends / n)
    shares = norm.cdf(np.linspace(reach, -reach, between))
    middle = np.clip((n * shares).astype(np.int64), 0, n - 1)
    return np.unique(np.concatenate([np.arange(ends), middle, np.arange(n - ends, n)]))


def density(values: FloatArray, grid: FloatArray, bandwidth: float) -> FloatArray:
    """Gaussian kernel density of values on an equidistant grid.

    The values are put into the grid's cells first, each shared by the two nearest
    points, so that a million cost little; values off the grid count for the total.
    """
    step = grid[1] - grid[0]
    place = (values - grid[0]) / step
    inside = (place >= 0) & (place <= len(grid) - 1)
    left = np.minimum(place[inside].astype(np.int64), len(grid) - 2)
    share = place[inside] - left
    mass = np.bincount(left, weights=1.0 - share, minlength=len(grid))
    mass += np.bincount(left + 1, weights=share, minlength=len(grid))
    reach = min(int(np.ceil(5.0 * bandwidth / step)), len(grid) - 1)
    kernel = norm.pdf(step * np.arange(-reach, reach + 1), scale=bandwidth)
    found: FloatArray = np.convolve(mass, kernel)[reach : reach + len(grid)]
    return found / len(values)


def bandwidth(values: FloatArray) -> float:
    """Silverman's (1986, eq. 3.31) bandwidth."""
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = float(np.std(values, ddof=1))
    within = float(quartiles[1] - quartiles[0]) / 1.34
    return 0.9 * (min(spread, within) or spread) * len(values) ** -0.2


def rounding(values: FloatArray) -> float:
    """Distance of neighbouring values that have few different ones; else zero.

    Ratings and counts need a kernel at least as wide as half of it.
    """
    if len(np.unique(values[:EXACT])) > 5 * FEW:
        return 0.0
    distinct = np.unique(values)
    few = 2 <= len(distinct) <= 5 * FEW and len(distinct) < len(values) / 2
    return float(np.median(np.diff(distinct))) if few else 0.0
