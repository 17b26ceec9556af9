"""Simulated (quantile) residuals: where the data lie among data from the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse, stats

from ..core.terms import FloatArray, IntArray
from .nesting import unwrapped
from .prediction import predict
from .row_values import RowValues, row_labels, row_values
from .simulate import (
    RandomSource,
    generator,
    number_of_draws,
    simulate,
    simulated_responses,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results import LMERResults

QUANTILES = (0.25, 0.5, 0.75)
"""Quantiles whose constancy is tested, as in DHARMa."""

BLOCK = 2_000_000
"""Numbers that are ranked at a time."""

EXACT = 10_000
"""Rows up to which Kolmogorov and Smirnov's distribution is the exact one."""


@dataclass(frozen=True)
class SimulatedTest:
    """A test of simulated residuals.

    Attributes
    ----------
    name : str
    statistic : float
    p_value : float
        Two-sided. For uniformity, outliers and quantiles it takes the rows to be
        independent.
    p_simulated : float
        Two-sided; the statistic's rank among those of the simulated responses, each
        treated as if it were the observed one. It is valid also where rows of one
        group depend on each other.
    method : str
        What was computed.
    """

    name: str
    statistic: float
    p_value: float
    p_simulated: float
    method: str


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedResiduals:
    """Residuals on the scale of probabilities; see :func:`simulated_residuals`.

    Attributes
    ----------
    results : LMERResults
    simulated : ndarray, shape (n, nsim)
        The simulated responses.
    ranks : ndarray of int, shape (n,)
        How many of them are below the observed response; over `nsim`, they are
        DHARMa's scaled residuals.
    scaled : ndarray, shape (n,)
        Scaled residuals, uniform on (0, 1) if the model is right.
    fitted : ndarray, shape (n,)
        Predictions with the random effects that are held.
    re_form : False, None or str
        Which random effects are held.
    """

    results: LMERResults
    simulated: FloatArray
    ranks: IntArray
    scaled: FloatArray
    fitted: FloatArray
    re_form: Any

    def __repr__(self) -> str:
        n, nsim = self.simulated.shape
        return f"<SimulatedResiduals: {n} rows among {nsim} simulated responses>"

    @property
    def observed(self) -> FloatArray:
        """The response, shape (n,)."""
        y: FloatArray = self.results.model.endog
        return y

    @property
    def nsim(self) -> int:
        """Number of simulated responses."""
        return int(self.simulated.shape[1])

    @property
    def normal(self) -> FloatArray:
        """Scaled residuals as normal quantiles (Dunn and Smyth, 1996), shape (n,)."""
        z: FloatArray = stats.norm.ppf(self.scaled)
        return z

    @property
    def outlying(self) -> np.ndarray:
        """Rows outside the range of all simulated responses, shape (n,)."""
        return self._outside(self.ranks)

    def frame(self) -> pd.DataFrame:
        """Observed, fitted, scaled and normal residuals, with the data's index."""
        columns = {
            "observed": self.observed,
            "fitted": self.fitted,
            "scaled": self.scaled,
            "normal": self.normal,
            "outlying": self.outlying,
        }
        return pd.DataFrame(columns, index=row_labels(self.results.model))

    # -- tests -----------------------------------------------------------------

    def test_uniformity(self) -> SimulatedTest:
        """Kolmogorov and Smirnov's test of the scaled residuals."""
        method = "auto" if len(self.scaled) <= EXACT else "asymp"
        found = stats.kstest(self.scaled, "uniform", method=method)
        shares = self._rank_counts.cumsum(axis=0) / len(self.scaled)
        expected = np.arange(1, self.nsim + 2) / (self.nsim + 1)
        distances = np.abs(shares - expected[:, None]).max(axis=0)
        return SimulatedTest(
            "uniformity",
            float(found.statistic),
            float(found.pvalue),
            _upper(distances),
            "Kolmogorov-Smirnov",
        )

    def test_dispersion(self) -> SimulatedTest:
        """Variance about the predictions, over the simulated responses' mean one."""
        own = np.var(self.observed - self.fitted, ddof=1)
        others = np.array([np.var(y - self.fitted, ddof=1) for y in self.simulated.T])
        p = _two_sided(np.concatenate([[own], others]))
        ratio = float(own / others.mean())
        return SimulatedTest("dispersion", ratio, p, p, "ratio of variances, simulated")

    def test_outliers(self) -> SimulatedTest:
        """Number of rows outside the simulated range, binomial(n, 2 / (nsim + 1))."""
        count, n = int(self.outlying.sum()), len(self.scaled)
        exact = stats.binomtest(count, n, 2.0 / (self.nsim + 1))
        counts = self._rank_counts[[0, -1]].sum(axis=0)
        return SimulatedTest(
            "outliers",
            float(count),
            float(exact.pvalue),
            _two_sided(counts),
            "exact binomial",
        )

    def test_quantiles(
        self, x: Any = None, quantiles: Sequence[float] = QUANTILES
    ) -> SimulatedTest:
        """Whether quantiles of the scaled residuals stay constant along a variable.

        The indicators ``1(scaled <= tau) - tau`` are regressed on an intercept and a
        cubic in the ranks of a number, or on the levels of a factor, and all
        coefficients tested to be zero: a score test of quantile regression, with
        covariances ``min(s, t) - s t`` between quantiles, asymptotically chi-squared.
        DHARMa fits smooth quantile regressions instead.

        Parameters
        ----------
        x : str or array_like, optional
            A variable as :func:`sm_lmer.inference.row_values.row_values` takes it;
            the fitted values by default. Rows in which it is missing are left out.
        quantiles : sequence of float

        Returns
        -------
        SimulatedTest
        """
        taus = _checked(quantiles)
        variable = self.variable(x)
        B = _basis(variable)
        known = variable.known
        own = B.T @ (1.0 * (self.scaled[known, None] <= taus) - taus)
        statistic, df = float(_score(own, taus)), B.shape[1] * len(taus)
        bounds = np.ceil(taus * (self.nsim + 1))
        shares = bounds / (self.nsim + 1)
        sums = np.zeros((self.nsim + 1, B.shape[1], len(taus)))
        for rows, ranks in self._rank_blocks(known):
            for k, (bound, share) in enumerate(zip(bounds, shares, strict=True)):
                sums[:, :, k] += (B[rows].T @ (1.0 * (ranks < bound) - share)).T
        shares, distinct = np.unique(shares, return_index=True)
        distinct = distinct[shares < 1]
        scores = _score(sums[:, :, distinct], shares[shares < 1])
        return SimulatedTest(
            f"quantiles ~ {variable.name}",
            statistic,
            float(stats.chi2.sf(statistic, df)),
            _upper(scores),
            f"score, chi-squared with {df} df",
        )

    def variable(self, x: Any = None) -> RowValues:
        """A variable at the rows; the fitted values by default."""
        if x is None:
            return RowValues("fitted", self.fitted, None)
        return row_values(self.results.model, x)

    def summary(self) -> pd.DataFrame:
        """All tests: a row each, with statistic, p_value, p_simulated and method."""
        tests = (
            self.test_uniformity(),
            self.test_dispersion(),
            self.test_outliers(),
            self.test_quantiles(),
        )
        rows = [(t.statistic, t.p_value, t.p_simulated, t.method) for t in tests]
        columns = ["statistic", "p_value", "p_simulated", "method"]
        names = pd.Index([t.name for t in tests], name="test")
        return pd.DataFrame(rows, index=names, columns=columns)

    def plot(self, x: Any = None, **options: Any) -> Figure:
        """Draw them against uniform quantiles, and against a variable.

        See :func:`sm_lmer.graphics.simulated_residuals.plot_simulated_residuals`.
        """
        from ..graphics.simulated_residuals import plot_simulated_residuals

        return plot_simulated_residuals(self, x, **options)

    # -- each response among the others ----------------------------------------

    @cached_property
    def _rank_counts(self) -> IntArray:
        """How often each rank occurs in each response, shape (nsim + 1, nsim + 1).

        Column 0 is the observed response, the others are the simulated ones.
        """
        size = self.nsim + 1
        counts = np.zeros(size * size, dtype=np.int64)
        for _, ranks in self._rank_blocks(np.ones(len(self.scaled), dtype=bool)):
            cells = ranks * size + np.arange(size)
            counts += np.bincount(cells.ravel(), minlength=size * size)
        return counts.reshape(size, size)

    def _rank_blocks(self, rows: np.ndarray) -> Iterator[tuple[slice, IntArray]]:
        """Ranks within each row of all responses, the observed one first."""
        positions, size = np.flatnonzero(rows), self.nsim + 1
        step = max(1, BLOCK // size)
        for start in range(0, len(positions), step):
            part = positions[start : start + step]
            whole = np.column_stack([self.observed[part], self.simulated[part]])
            order = np.argsort(whole, axis=1)
            ranks = np.empty_like(order)
            np.put_along_axis(ranks, order, np.arange(size)[None, :], axis=1)
            yield slice(start, start + step), ranks

    def _outside(self, ranks: IntArray) -> np.ndarray:
        return np.asarray((ranks == 0) | (ranks == self.nsim))


def simulated_residuals(
    results: Any,
    nsim: int = 250,
    rng: RandomSource = 0,
    re_form: Any = False,
) -> SimulatedResiduals:
    """Scaled residuals: the rank of each response among simulated ones.

    Of `nsim` responses simulated from the fit, ``r_i`` are below the observed ``y_i``
    (and ``t_i`` equal to it). The scaled residual is ``(r_i + U_i (1 + t_i)) /
    (nsim + 1)`` with ``U_i`` uniform, the randomised quantile residual of Dunn and
    Smyth (1996) for the simulated distribution: exactly uniform on (0, 1) if `y` is
    another draw from it. DHARMa's is ``r_i / nsim``, at most ``1 / (nsim + 1)`` away.

    The tests are DHARMa's: Kolmogorov and Smirnov's of uniformity; dispersion, the
    variance of ``y - fitted`` over the mean of the simulated ones, two-sided by its
    rank among them; outliers, the number of rows outside the simulated range, which
    is binomial with probability ``2 / (nsim + 1)``; quantiles along a variable. The
    parameters are those of the fit to the same data, which makes the tests cautious
    where these are many. With new random effects, rows of one group are up or down
    together, and tests that take them for independent reject too often where groups
    are few: look at ``p_simulated`` then.

    Parameters
    ----------
    results : LMERResults
    nsim : int
        Number of simulated responses. They are kept: 8 n nsim bytes.
    rng : int, Generator, RandomState or None
        0 by default, so that another call gives the same.
    re_form : False, None or str
        Random effects that stay at their conditional modes: none (False, the
        default: all are drawn anew), all (None), or those of a formula such as
        "~ (1 | plate)". Conditional residuals are shrunken, as their random effects
        were estimated from them: their dispersion falls below 1 in a good model.

    Returns
    -------
    SimulatedResiduals

    References
    ----------
    Dunn, P. K. and Smyth, G. K. (1996). Randomized quantile residuals. Journal of
    Computational and Graphical Statistics 5(3), 236-244.

    Hartig, F. (2022). DHARMa: residual diagnostics for hierarchical (multi-level /
    mixed) regression models. R package version 0.4.6.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.simulated_residuals import simulated_residuals
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> found = simulated_residuals(res, rng=1)
    >>> found
    <SimulatedResiduals: 180 rows among 250 simulated responses>
    >>> bool((found.summary()["p_simulated"] > 0.05).all())
    True
    """
    results, nsim = unwrapped(results), number_of_draws(nsim)
    if nsim < 2:
        raise ValueError("simulated residuals need nsim of at least 2.")
    results.model.require_rows("a simulated residual")
    numbers = generator(rng)
    fitted = np.asarray(predict(results, None, True, re_form, False, None))
    simulated = _responses(results, nsim, re_form, numbers)
    y = results.model.endog
    below, equal = _counts(simulated, y)
    within = numbers.uniform(1e-12, 1.0 - 1e-12, len(y))
    scaled = (below + within * (1 + equal)) / (nsim + 1)
    return SimulatedResiduals(results, simulated, below, scaled, fitted, re_form)


def _counts(simulated: FloatArray, y: FloatArray) -> tuple[IntArray, IntArray]:
    """How many simulated responses are below, and equal to, the observed one."""
    n, nsim = simulated.shape
    step = max(1, BLOCK // nsim)
    blocks = [slice(start, start + step) for start in range(0, n, step)]
    below = [np.sum(simulated[b] < y[b, None], axis=1) for b in blocks]
    equal = [np.sum(simulated[b] == y[b, None], axis=1) for b in blocks]
    return np.concatenate(below), np.concatenate(equal)


def _responses(
    results: LMERResults, nsim: int, re_form: Any, numbers: Any
) -> FloatArray:
    """Simulated responses, shape (n, nsim), with bounded memory beside them."""
    n = results.model.nobs
    out = np.empty((n, nsim))
    step = max(1, 10 * BLOCK // n)
    for start in range(0, nsim, step):
        count = min(step, nsim - start)
        out[:, start : start + count] = draws(results, count, re_form, numbers)
    return out


def draws(results: LMERResults, nsim: int, re_form: Any, rng: Any) -> FloatArray:
    """Responses at the model's rows, shape (n, nsim)."""
    if re_form is False:
        return simulated_responses(results, nsim, rng)
    return np.asarray(simulate(results, nsim, re_form=re_form, rng=rng))


# -- numbers of the tests ------------------------------------------------------------


def _upper(values: FloatArray) -> float:
    """Share of all values that are at least the first, itself included."""
    return float(np.mean(values >= values[0] * (1.0 - 1e-12)))


def _two_sided(values: FloatArray) -> float:
    """Twice the smaller share of values on either side of the first."""
    lower, upper = np.mean(values <= values[0]), np.mean(values >= values[0])
    return float(min(1.0, 2.0 * min(lower, upper)))


def _checked(quantiles: Sequence[float]) -> FloatArray:
    taus = np.unique(np.asarray(quantiles, dtype=np.float64))
    if taus.ndim != 1 or len(taus) == 0 or not ((taus > 0) & (taus < 1)).all():
        raise ValueError(f"quantiles are between 0 and 1, not {quantiles!r}.")
    return taus


def _score(sums: FloatArray, taus: FloatArray) -> FloatArray:
    """Score statistics of sums over an orthonormal basis, shape (..., k, quantiles)."""
    K = np.minimum.outer(taus, taus) - np.outer(taus, taus)
    return np.einsum("...ks,st,...kt->...", sums, np.linalg.inv(K), sums)


def _basis(variable: RowValues) -> Any:
    """Orthonormal columns in which a trend is looked for, at the rows known.

    The levels of a factor or of a number with up to four values; otherwise an
    intercept and a cubic in the mid-ranks.
    """
    known = variable.known
    if not known.any():
        raise ValueError(f"{variable.name} is missing in all rows.")
    if variable.factor is not None:
        return _levels(np.unique(variable.factor.codes[known], return_inverse=True)[1])
    numbers = variable.numbers[known]  # type: ignore[index]
    distinct, codes = np.unique(numbers, return_inverse=True)
    if len(distinct) <= 4:
        return _levels(codes)
    ranks = stats.rankdata(numbers)
    scaled = 2.0 * (ranks - 0.5) / len(ranks) - 1.0
    return np.linalg.qr(np.polynomial.legendre.legvander(scaled, 3))[0]


def _levels(codes: IntArray) -> Any:
    counts = np.bincount(codes)
    rows = np.arange(len(codes))
    return sparse.csr_matrix((1.0 / np.sqrt(counts[codes]), (rows, codes)))
