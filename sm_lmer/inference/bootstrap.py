"""Bootstrap distributions of anything that a fit gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.refitting import Refitter
from ..core.terms import FloatArray
from .bootstrap_store import Store
from .clusters import Cases
from .nesting import unwrapped
from .resampling import SCHEMES, Draw
from .simulate import RandomSource, number_of_draws, seeds_from
from .statistics import (
    Replicates,
    Statistic,
    default_statistic,
    from_function,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results import LMERResults

CASES = {"cases": False, "cases_two_stage": True}
"""Schemes that draw rows, and whether they do so within clusters too."""

TYPES = (*SCHEMES, *CASES)
"""What ``type=`` takes."""

ONE_BY_ONE = 16
"""Replicates of a task where they are not refitted together."""


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A bootstrap distribution.

    Attributes
    ----------
    estimate : Series
        The statistics of the fit.
    replicates : DataFrame
        The statistics of each replicate; rows of failed ones are nan.
    standard_errors : DataFrame
        Standard errors that go with the replicates, nan where there are none.
    type : str
    seed : int
        From which all random numbers follow.
    failures : dict of int to str
        What replicates that failed said, by their number.
    singular, not_converged : int
        Number of singular fits, and of fits whose search stopped early.
    interrupted : bool
        Whether the keyboard stopped it; what was done till then is kept.
    """

    estimate: pd.Series
    replicates: pd.DataFrame
    standard_errors: pd.DataFrame
    estimate_errors: pd.Series
    type: str
    seed: int
    failures: Mapping[int, str]
    singular: int
    not_converged: int
    interrupted: bool
    results: Any
    statistic: Statistic

    @property
    def nsim(self) -> int:
        """Number of replicates, failed ones included."""
        return len(self.replicates)

    @property
    def n_failed(self) -> int:
        """Number of replicates that failed."""
        return len(self.failures)

    @cached_property
    def _done(self) -> pd.DataFrame:
        finite = np.isfinite(self.replicates.to_numpy())
        return self.replicates.where(finite)

    @property
    def bias(self) -> pd.Series:
        """Means of the replicates less the estimates."""
        return self._done.mean() - self.estimate

    @property
    def bias_corrected(self) -> pd.Series:
        """Estimates less their bias."""
        return self.estimate - self.bias

    @property
    def bse(self) -> pd.Series:
        """Standard deviations of the replicates."""
        return self._done.std()

    def to_frame(self) -> pd.DataFrame:
        """A row a statistic: original, bias, bias_corrected, std_error, median, n."""
        return pd.DataFrame(
            {
                "original": self.estimate,
                "bias": self.bias,
                "bias_corrected": self.bias_corrected,
                "std_error": self.bse,
                "median": self._done.median(),
                "n": self._done.count(),
            }
        )

    def conf_int(self, alpha: float = 0.05, type: str = "perc") -> pd.DataFrame:
        """Intervals; see :func:`sm_lmer.inference.boot_ci.boot_ci`."""
        from .boot_ci import boot_ci

        return boot_ci(self, type, alpha)

    def plot(self, which: Any = None, **options: Any) -> Figure:
        """Histograms and normal quantile plots of the replicates.

        See :func:`sm_lmer.graphics.bootstrap.plot_bootstrap`.
        """
        from ..graphics.bootstrap import plot_bootstrap

        return plot_bootstrap(self, which, **options)

    def summary(self) -> str:
        """The statistics, as R's boot prints them."""
        title = f"{self.type.replace('_', ' ').capitalize()} bootstrap"
        done = self.nsim - self.n_failed
        lines = [f"{title}, {done} of {self.nsim} replicates, seed {self.seed}", ""]
        table = pd.DataFrame(
            {
                "original": self.estimate,
                "bias": self.bias,
                "std. error": self.bse,
            }
        )
        lines += [
            "Bootstrap Statistics:",
            table.to_string(float_format="{:.6g}".format),
        ]
        if self.singular:
            lines.append(f"{self.singular} fits are singular.")
        if self.not_converged:
            lines.append(f"{self.not_converged} fits did not converge.")
        if self.failures:
            counts = pd.Series(list(self.failures.values())).value_counts()
            lines.append(f"{self.n_failed} replicates failed:")
            lines += [f"  {n} x {text}" for text, n in counts.items()]
        if self.interrupted:
            lines.append("It was interrupted; the replicates done are kept.")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class _Job:
    """What computes replicates; sent to the workers as it is.

    The results are None where no replicate needs them.
    """

    results: Any
    refitter: Refitter
    draw: Draw | Cases
    statistic: Statistic
    entropy: int
    offset: FloatArray | None

    def run(self, numbers: Sequence[int]) -> Replicates:
        """Replicates of these numbers, one BLAS thread."""
        with _one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._run(numbers)
        return found

    def _run(self, numbers: Sequence[int]) -> Replicates:
        rngs = [np.random.default_rng(_child(self.entropy, k)) for k in numbers]
        if isinstance(self.draw, Cases):
            draws = [self.draw.draw(rng) for rng in rngs]
            return self.statistic.of_rows(self.results, draws)
        Y = np.column_stack([self.draw(rng) for rng in rngs])
        return self.statistic.of_responses(self.results, self.refitter, Y, self.offset)


def bootstrap(
    results: Any,
    func: Callable[[LMERResults], Any] | None = None,
    nsim: int = 999,
    type: str = "parametric",
    rng: RandomSource = None,
    n_jobs: int = 1,
    progress: bool = False,
    save: str | Path | None = None,
) -> Bootstrap:
    """Bootstrap a fit.

    Parameters
    ----------
    results : LMERResults
    func : callable, optional
        A function of the results of a replicate that returns a number, several, or a
        Series or dict of named ones. By default all parameters: the fixed effects,
        standard deviations and correlations of the random effects, and the residual
        standard deviation; they need no results of each replicate and are much faster.
    nsim : int
        Number of replicates.
    type : str
        How data are drawn, see the notes.
    rng : int, Generator, RandomState or None
        The same seed gives the same numbers whatever `n_jobs` is.
    n_jobs : int
        Number of processes, through joblib (its configured backend, if any); -1 for
        all cores. Each uses one BLAS thread where threadpoolctl is installed.
    progress : bool
        Whether to show a progress bar, which needs tqdm.
    save : str or Path, optional
        A Parquet file that replicates are written to now and then. If it is there
        already, its replicates count, and those missing are added.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        If the scheme does not suit the model, or `save` is of another bootstrap.
    ImportError
        If what `n_jobs`, `progress` or `save` needs is not installed.

    Notes
    -----
    All refits start at the estimates. What is drawn, by type:

    ========================  ========================================================
    ``"parametric"``          normal random effects and errors
    ``"conditional"``         normal errors; random effects stay at their modes
    ``"semiparametric"``      residuals; random effects stay at their modes
    ``"residual"``            modes, reflated by level to the covariance the model
                              gives random effects, and residuals over sqrt(1 - h)
                              (Lai 2021; van der Leeden, Meijer and Busing 2008)
    ``"cgr"``                 modes and residuals whose moments are set to the
                              estimates (Carpenter, Goldstein and Rasbash 2003)
    ``"transformational"``    marginal residuals, whitened and coloured again
    ``"reb"``                 least-squares effects of the groups, and the residuals
                              of a group for each group (Chambers and Chandra 2013)
    ``"reb_scaled"``          the same with moments set to the estimates
    ``"wild"``                marginal residuals times a draw a cluster (Modugno and
                              Giannerini 2015), with Mammen's two points
    ``"cases"``               clusters with all their rows
    ``"cases_two_stage"``     clusters, then rows within them
    ========================  ========================================================

    Random effects of a grouping factor are drawn by level, those of crossed factors
    independently. "reb" needs one grouping factor; "wild" and the cases need a factor
    in which all others are nested. Residuals are weighted by the roots of the
    precision weights and divided by those of the rows they come to.

    Replicates that fail (in `func`, or as the rows drawn do not identify the model)
    are nan, and ``failures`` has their messages.

    References
    ----------
    Carpenter, J. R., Goldstein, H. and Rasbash, J. (2003). A novel bootstrap procedure
    for assessing the relationship between class size and achievement. J. R. Stat. Soc.
    C 52(4).

    Chambers, R. and Chandra, H. (2013). A random effect block bootstrap for clustered
    data. J. Comput. Graph. Stat. 22(2).

    Lai, M. H. C. (2021). Bootstrap confidence intervals for multilevel standardized
    effect size. Multivariate Behav. Res. 56(4).

    Modugno, L. and Giannerini, S. (2015). The wild bootstrap for multilevel models.
    Comm. Statist. Theory Methods 44(22).

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.bootstrap import bootstrap
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> boot = bootstrap(res, nsim=199, rng=1)
    >>> list(boot.estimate.index)
    ['Intercept', 'sd Intercept|Batch', 'sigma']
    >>> boot.replicates.shape, boot.n_failed
    ((199, 3), 0)
    """
    results, nsim = unwrapped(results), number_of_draws(nsim)
    if type not in TYPES:
        raise ValueError(f"unknown type {type!r}; choose one of {', '.join(TYPES)}.")
    statistic = default_statistic(results) if func is None else from_function(func)
    estimate, errors = statistic.of_fit(results)
    statistic = replace(statistic, names=tuple(estimate.index))
    store = None if save is None else Store(Path(save), type, estimate)
    entropy = seeds_from(rng) if store is None else store.seed(rng)
    found = _blank(nsim, len(estimate)) if store is None else store.load(nsim)
    draw, light = _scheme(results, type), func is None and type not in CASES
    job = _Job(
        None if light else results,
        _refitter(results),
        draw,
        statistic,
        entropy,
        results.model.offset,
    )
    size = job.refitter.at_once if light else ONE_BY_ONE
    tasks = _tasks(found, size)
    interrupted = _carry_out(job, tasks, found, n_jobs, progress, store)
    return _gathered(
        results, statistic, estimate, errors, type, entropy, found, interrupted
    )


def _refitter(results: LMERResults) -> Refitter:
    results.model.require_rows("a bootstrap")
    return Refitter(results._likelihood(), results.theta, results.reml)


def _scheme(results: LMERResults, type: str) -> Draw | Cases:
    if type in CASES:
        return Cases(results.model, CASES[type])
    return SCHEMES[type](results)


def _blank(nsim: int, k: int) -> Replicates:
    return Replicates.blank(nsim, k)


def _tasks(found: Replicates, size: int) -> list[list[int]]:
    """Numbers of the replicates to compute, in chunks that do not depend on n_jobs."""
    nsim = len(found.values)
    chunks = [range(k, min(k + size, nsim)) for k in range(0, nsim, size)]
    return [list(chunk) for chunk in chunks if not found.done[list(chunk)].all()]


def _carry_out(
    job: _Job,
    tasks: list[list[int]],
    found: Replicates,
    n_jobs: int,
    progress: bool,
    store: Store | None,
) -> bool:
    """Fill in the replicates; whether the keyboard interrupted it."""
    with _bar(progress, sum(map(len, tasks))) as bar:
        try:
            for numbers, part in zip(tasks, _computed(job, tasks, n_jobs), strict=True):
                found.put(numbers, part)
                if bar is not None:
                    bar.update(len(numbers))
                if store is not None:
                    store.write_now_and_then(found)
        except KeyboardInterrupt:
            return True
        finally:
            if store is not None:
                store.write(found)
    return False


def _computed(job: _Job, tasks: list[list[int]], n_jobs: int) -> Iterator[Replicates]:
    """Replicates of the tasks in their order."""
    if n_jobs == 1 or len(tasks) < 2:
        return map(job.run, tasks)
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise ImportError(
            "n_jobs needs the package joblib: pip install joblib."
        ) from None
    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    found: Iterator[Replicates] = parallel(delayed(job.run)(task) for task in tasks)
    return found


def _bar(progress: bool, total: int) -> AbstractContextManager[Any]:
    if not progress:
        return nullcontext()
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError("progress=True needs the package tqdm.") from None
    bar: AbstractContextManager[Any] = tqdm(total=total)
    return bar


def _one_thread() -> AbstractContextManager[Any]:
    """One BLAS thread, where threadpoolctl is there to see to it."""
    try:
        from threadpoolctl import (  # type: ignore[import-not-found, unused-ignore]
            threadpool_limits,
        )
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def _child(entropy: int, number: int) -> np.random.SeedSequence:
    """The seed of a replicate, as ``SeedSequence(entropy).spawn`` gives it."""
    return np.random.SeedSequence(entropy, spawn_key=(number,))


def _gathered(
    results: LMERResults,
    statistic: Statistic,
    estimate: pd.Series,
    errors: pd.Series,
    type: str,
    entropy: int,
    found: Replicates,
    interrupted: bool,
) -> Bootstrap:
    names = estimate.index
    kept = found.take(np.flatnonzero(found.done)) if interrupted else found
    if len(kept.values) == 0:
        raise KeyboardInterrupt
    failures = {k: text for k, text in enumerate(kept.messages) if text}
    if failures:
        first = next(iter(failures.values()))
        warnings.warn(
            f"{len(failures)} of {len(kept.values)} bootstrap replicates failed, the "
            f"first with: {first}",
            UserWarning,
            stacklevel=4,
        )
    return Bootstrap(
        estimate=estimate,
        replicates=pd.DataFrame(kept.values, columns=names),
        standard_errors=pd.DataFrame(kept.errors, columns=names),
        estimate_errors=errors,
        type=type,
        seed=entropy,
        failures=failures,
        singular=int(kept.singular.sum()),
        not_converged=int((kept.done & ~kept.converged).sum()) - len(failures),
        interrupted=interrupted,
        results=results,
        statistic=statistic,
    )
