"""p-values and critical values of families of t tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy import optimize, special, stats
from scipy.stats import qmc
from statsmodels.stats.multitest import multipletests

from ..core.terms import FloatArray
from .hypotheses import t_quantile, t_tail

_STEPWISE = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "hommel": "hommel",
    "fdr": "fdr_bh",
    "by": "fdr_by",
}

ADJUSTMENTS = ("none", "tukey", "sidak", "scheffe", "dunnettx", "mvt", *_STEPWISE)
"""What ``adjust=`` takes; "bh" is another name of "fdr"."""

RANK = 1e-9
"""Eigenvalue of a correlation matrix, relative to the largest, taken for zero."""

LARGE = 9999.0
"""Degrees of freedom above which "mvt" takes the normal distribution, as emmeans."""

POINTS = 2**16
"""About how many quasi-random directions "mvt" takes."""

_POWERS = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])


@dataclass(frozen=True, eq=False)
class Family:
    """Tests that are adjusted together.

    Attributes
    ----------
    df : ndarray, shape (k,)
        Degrees of freedom of each test; nan for a test that cannot be done.
    n_means : float
        For all pairwise differences, the number of means.
    rank : int
        Number of linearly independent tests.
    correlation : ndarray, shape (k, k)
        Of the estimates; rows and columns of tests that cannot be done are nan.
    pairwise : bool
        Whether the tests are all pairwise differences of means.
    """

    df: FloatArray
    n_means: float
    rank: int
    correlation: FloatArray
    pairwise: bool

    def method(self, adjust: str) -> str:
        """The adjustment that applies: as emmeans, Tukey's is for pairs alone."""
        if len(self.df) == 1 and adjust != "scheffe":
            return "none"
        return "sidak" if adjust == "tukey" and not self.pairwise else adjust


def named(adjust: str) -> str:
    """The name of an adjustment.

    Raises
    ------
    ValueError
        If there is no such adjustment.
    """
    name = str(adjust).lower().replace("bh", "fdr")
    if name not in ADJUSTMENTS:
        raise ValueError(
            f"unknown adjust {adjust!r}; choose one of {', '.join(ADJUSTMENTS)}."
        )
    return name


def adjusted_pvalues(t: FloatArray, family: Family, adjust: str) -> FloatArray:
    """Two-sided p-values of the tests of a family.

    Parameters
    ----------
    t : ndarray, shape (k,)
        The statistics; those that are nan count as tests but have no p-value.
    family : Family
    adjust : str
        One of :data:`ADJUSTMENTS`.

    Notes
    -----
    "tukey" refers |t| sqrt(2) to the studentized range of `n_means` means, "scheffe"
    t^2 / rank to F(rank, df), "mvt" |t| to the largest of k correlated t variables
    with degrees of freedom rounded down (from a quarter below a whole number up), and
    "dunnettx" to emmeans' approximation of that for comparisons with a control. The
    tests of a family may have degrees of freedom of their own; each is then
    adjusted with these.
    """
    method, k = family.method(adjust), len(t)
    x, df = np.abs(t), family.df
    p = 2.0 * t_tail(x, df)
    if method == "none":
        return p
    if method in _STEPWISE:
        all_p = np.where(np.isnan(p), 1.0, p)
        return np.where(
            np.isnan(p), np.nan, multipletests(all_p, method=_STEPWISE[method])[1]
        )
    if method == "sidak":
        return _one_less_power(p, k)
    if method == "scheffe":
        return _scheffe_tail(x, family.rank, df)
    if method == "mvt":
        return _mvt_tails(x, family)
    if method == "dunnettx":
        return _dunnett_tail(x, float(k), df)
    return range_tail(np.sqrt(2.0) * x, family.n_means, df)


def critical_values(level: float, family: Family, adjust: str) -> FloatArray:
    """Half widths, in standard errors, of simultaneous intervals of a family.

    Parameters
    ----------
    level : float
        Of all intervals together.
    family : Family
    adjust : str
        One of :data:`ADJUSTMENTS`; Bonferroni's stands in for those that have no
        intervals (holm, hochberg, hommel, fdr, by).
    """
    method, k, df = family.method(adjust), len(family.df), family.df
    alpha = 1.0 - level
    if method == "none":
        return t_quantile(1.0 - alpha / 2.0, df)
    if method == "sidak":
        return t_quantile(1.0 + 0.5 * np.expm1(np.log(level) / k), df)
    if method == "scheffe":
        return _scheffe_quantile(level, family.rank, df)
    if method == "mvt":
        return _mvt_quantiles(alpha, family)
    if method == "tukey":
        return range_quantile(alpha, family.n_means, df) / np.sqrt(2.0)
    if method == "dunnettx":
        return _solved(alpha, float(k), df, _dunnett_tail)
    return t_quantile(1.0 - alpha / (2.0 * k), df)


def _one_less_power(p: FloatArray, k: float) -> FloatArray:
    """1 - (1 - p)^k without cancellation."""
    with np.errstate(divide="ignore"):
        return -np.expm1(k * np.log1p(-np.minimum(p, 1.0)))


def _scheffe_tail(x: FloatArray, rank: int, df: FloatArray) -> FloatArray:
    finite = np.where(np.isinf(df), 1.0, df)
    return np.where(
        np.isinf(df), stats.chi2.sf(x**2, rank), stats.f.sf(x**2 / rank, rank, finite)
    )


def _scheffe_quantile(level: float, rank: int, df: FloatArray) -> FloatArray:
    finite = np.where(np.isinf(df), 1.0, df)
    chi2, f = stats.chi2.ppf(level, rank), stats.f.ppf(level, rank, finite)
    return np.sqrt(np.where(np.isinf(df), chi2, rank * f))


# -- the studentized range -----------------------------------------------------------


def range_tail(q: FloatArray, k: float, df: FloatArray) -> FloatArray:
    """Upper tail of the studentized range of k means.

    Parameters
    ----------
    q : ndarray, shape (n,)
    k : float
        Number of means, at least 2; need not be whole.
    df : ndarray, shape (n,)
        Degrees of freedom of the standard deviation; may be infinite.

    Notes
    -----
    Trapezoidal sums over log s and z of the positive integrand
    f(s) k phi(z) [Phi(z)^(k-1) - (Phi(z) - Phi(z - q s))^(k-1)], whose double
    integral is the tail itself, so that small ones keep their digits.
    """
    points, back = np.unique(
        np.column_stack([q, np.broadcast_to(df, np.shape(q))]),
        axis=0,
        return_inverse=True,
    )
    tails = [_range_tail(a, k, d) for a, d in points]
    return np.array(tails)[back.reshape(-1)]


def _range_tail(q: float, k: float, df: float) -> float:
    if np.isnan(q) or np.isnan(df):
        return np.nan
    if q <= 0.0:
        return 1.0
    if np.isinf(df):
        return float(_normal_range_tail(np.array([q]), k)[0])
    half = df / 2.0
    low = special.gammaincinv(half, 1e-17) / (half + q**2 / 4.0)
    high = special.gammainccinv(half, 1e-17) / half
    ends = np.log(low) / 2.0, np.log(high) / 2.0
    log_s, step = np.linspace(
        *ends, max(64, int(8.0 * (ends[1] - ends[0]))), retstep=True
    )
    s = np.exp(log_s)
    log_density = (
        np.log(2.0) + half * np.log(half) - special.gammaln(half) + df * log_s
    ) - half * s**2
    return float(step * np.exp(log_density) @ _normal_range_tail(q * s, k))


def _normal_range_tail(w: FloatArray, k: float) -> FloatArray:
    """Upper tail of the range of k standard normal variables, shape (n,)."""
    z, step = np.linspace(-9.0, w / 2.0 + 9.0, 72, retstep=True)
    below = special.ndtr(z)
    ratio = np.minimum(special.ndtr(z - w) / below, 1.0)
    with np.errstate(divide="ignore"):
        share = -np.expm1((k - 1.0) * np.log1p(-ratio))
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) * below ** (k - 1.0)
    return k * step * (density * share).sum(axis=0)


def range_quantile(alpha: float, k: float, df: FloatArray) -> FloatArray:
    """Upper alpha quantile of the studentized range of k means; df has shape (n,)."""
    pairs = k * (k - 1.0) / 2.0

    def tail(x: FloatArray, pairs: float, df: FloatArray) -> FloatArray:
        return range_tail(np.sqrt(2.0) * x, k, df)

    return np.sqrt(2.0) * _solved(alpha, pairs, df, tail)


def _dunnett_tail(x: FloatArray, k: float, df: FloatArray) -> FloatArray:
    """emmeans' approximation: between Tukey's of as many pairs and Sidak's."""
    tukey = range_tail(np.sqrt(2.0) * x, _means_of(k), df)
    sidak = _one_less_power(2.0 * t_tail(x, df), k)
    return (k - 1.0) / k * tukey + sidak / k


def _means_of(pairs: float) -> float:
    return (1.0 + np.sqrt(1.0 + 8.0 * pairs)) / 2.0


def _solved(
    alpha: float,
    k: float,
    df: FloatArray,
    tail: Callable[[FloatArray, float, FloatArray], FloatArray],
) -> FloatArray:
    """Where the tail of a maximum of k |t| is alpha, between t's and Bonferroni's.

    Its ratio to Bonferroni's value hardly changes with the degrees of freedom, so that
    the solution for one of them is the start for the next.
    """
    values, back = np.unique(df, return_inverse=True)
    found = np.full(len(values), np.nan)
    ratio = 0.0
    for i, d in enumerate(values[~np.isnan(values)]):
        one = np.array([d])
        low, high = (t_quantile(1.0 - alpha / (2.0 * m), one)[0] for m in (1.0, k))
        if high <= low:
            found[i] = low
            continue

        def gap(x: float, one: FloatArray = one) -> float:
            return float(np.log(tail(np.array([x]), k, one)[0] / alpha))

        if ratio:
            found[i] = optimize.newton(gap, ratio * high, tol=1e-9 * high)
        else:
            ends = low * (1.0 - 1e-6), high * (1.0 + 1e-6)
            found[i] = optimize.brentq(gap, *ends, xtol=1e-10)
        ratio = found[i] / high
    return found[back.reshape(-1)]


# -- the multivariate t distribution -------------------------------------------------


def _mvt_df(df: FloatArray) -> FloatArray:
    whole = np.maximum(np.floor(np.maximum(df, 1.0) + 0.25), 1.0)
    return np.where(df > LARGE, np.inf, whole)


def _mvt_tails(x: FloatArray, family: Family) -> FloatArray:
    sphere = Sphere(family)
    done = ~np.isnan(x)
    p = np.full(len(x), np.nan)
    p[done] = [
        sphere.tail(c, d, sphere.power(c, d))
        for c, d in zip(x[done], _mvt_df(family.df)[done], strict=True)
    ]
    return p


def _mvt_quantiles(alpha: float, family: Family) -> FloatArray:
    sphere = Sphere(family)
    k = float(np.isfinite(np.diag(family.correlation)).sum())

    def tail(x: FloatArray, _: float, df: FloatArray) -> FloatArray:
        power = sphere.power(t_quantile(1.0 - alpha / (2.0 * k), df)[0], df[0])
        return np.array([sphere.tail(x[0], df[0], power)])

    return _solved(alpha, k, _mvt_df(family.df), tail)


class Sphere:
    """Tails of the largest of several |t| variables with a common denominator.

    The variables are a_i'u R with unit vectors a_i, a direction u on the sphere in as
    many dimensions as the correlations have rank r, and R^2 / r distributed as
    F(r, df), so that P(max > c) is the mean over u of the F tail at
    c^2 / (r max_i (a_i'u)^2). Quasi-random directions are drawn near the a_i, with
    density proportional to |a_i'u|^power, and weighted by the inverse of their
    density: small tails keep their digits, and singular correlations are no
    exception.

    Parameters
    ----------
    family : Family
        Its correlation matrix is used; tests that cannot be done are left out.
    """

    def __init__(self, family: Family) -> None:
        done = np.isfinite(np.diag(family.correlation))
        R = family.correlation[np.ix_(done, done)]
        values, vectors = np.linalg.eigh(R)
        large = values > RANK * values.max(initial=0.0)
        axes = vectors[:, large] * np.sqrt(values[large])
        self.axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        self.rank = int(large.sum())
        self._samples: dict[float, tuple[FloatArray, FloatArray]] = {}

    def power(self, c: float, df: float) -> float:
        """A power with which the directions that matter for c are drawn often."""
        x, r = max(c, 1e-3) ** 2, self.rank
        if np.isinf(df):
            slope = 2.0 * x * np.exp(stats.chi2.logpdf(x, r) - stats.chi2.logsf(x, r))
        else:
            log_ratio = stats.f.logpdf(x / r, r, df) - stats.f.logsf(x / r, r, df)
            slope = 2.0 * x / r * np.exp(log_ratio)
        return float(_POWERS[np.abs(_POWERS - slope).argmin()])

    def tail(self, c: float, df: float, power: float) -> float:
        """P(max_i |t_i| > c)."""
        largest, weight = self._sample(power)
        x = c**2 / largest
        if np.isinf(df):
            each = stats.chi2.sf(x, self.rank)
        else:
            each = special.fdtrc(self.rank, df, x / self.rank)
        return min(float(weight @ each) / len(weight), 1.0)

    def _sample(self, power: float) -> tuple[FloatArray, FloatArray]:
        """The largest (a_i'u)^2 of each direction, and its weight."""
        if power not in self._samples:
            self._samples[power] = self._drawn(power)
        return self._samples[power]

    def _drawn(self, power: float) -> tuple[FloatArray, FloatArray]:
        A, r = self.axes, self.rank
        if r == 1:
            return np.ones(1), np.ones(1)
        n = 2 ** int(np.ceil(np.log2(max(POINTS, 128 * len(A)))))
        shift = np.random.default_rng(1999).uniform(size=r)
        points = (qmc.Sobol(r, scramble=False).random(n) + shift) % 1.0
        points = np.clip(points, 1e-12, 1.0 - 1e-12)
        a, b = (1.0 + power) / 2.0, (r - 1.0) / 2.0
        squared = special.betaincinv(a, b, points[:, :1])
        across = special.ndtri(points[:, 1:])
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        along, aside = np.sqrt(squared), np.sqrt(1.0 - squared) * across
        found = np.empty((n, len(A)))
        for i, axis in enumerate(A):
            mine = slice(i * n // len(A), (i + 1) * n // len(A))
            others = A @ scipy.linalg.null_space(axis[None, :])
            found[mine] = along[mine] * (A @ axis) + aside[mine] @ others.T
        found **= 2
        log_norm = special.betaln(a, b) - special.betaln(0.5, b)
        density = (found ** (power / 2.0)).mean(axis=1) / np.exp(log_norm)
        return found.max(axis=1), 1.0 / density
