"""Power by simulation, over numbers of groups and their sizes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from ..components import templates
from ..core.terms import FloatArray, theta_parts
from ..errors import SingularFitWarning
from ..formula.design import OFFSET, WEIGHTS
from ..formula.frames import suggestion
from ..formula.grammar import variables
from .contrasts import term_contrasts
from .hypotheses import jointly
from .nesting import unwrapped
from .simulate import RandomSource, generator, number_of_draws

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..model import LMER
    from ..results import LMERResults

CONFIDENCE = 0.95
"""Level of the intervals of a simulated power."""


@dataclass(frozen=True, eq=False)
class Power:
    """Simulated power of a test.

    Attributes
    ----------
    frame : DataFrame
        A row a setting: the number of levels and their size (nan where it is that of
        the data), rows, power, the ends of its 95% interval (Clopper and Pearson
        1934), the number of simulations, and how many of them failed.
    effect : str
        The coefficient or term that is tested.
    along : str
        The grouping factor whose levels are counted.
    alpha : float
        Level of the test.
    ddf : str
        Its method for the degrees of freedom.
    messages : tuple of str
        What the simulations that failed said.
    """

    frame: pd.DataFrame
    effect: str
    along: str
    alpha: float
    ddf: str
    messages: tuple[str, ...] = ()

    def __repr__(self) -> str:
        head = (
            f"Power of the test of {self.effect} at {self.alpha:g}, "
            f"{self.ddf} degrees of freedom"
        )
        return f"{head}\n{self.frame.to_string(index=False)}"

    def plot(self, ax: Any = None) -> Figure:
        """Power against the number of levels, a line a size."""
        from ..graphics.power import plot_power

        return plot_power(self, ax)


def power(
    results: LMERResults,
    effect: str,
    *,
    along: str | None = None,
    levels: int | Sequence[int] | None = None,
    size: int | Sequence[int] | None = None,
    params: Mapping[str, float] | None = None,
    theta: ArrayLike | None = None,
    sigma: float | None = None,
    nsim: int = 200,
    alpha: float = 0.05,
    ddf: str | None = None,
    rng: RandomSource = None,
    n_jobs: int = 1,
) -> Power:
    """Power of a test of a fixed effect, by simulation, as R's simr.

    The data of a fit, real or made up, are stretched to other numbers of groups: new
    groups are copies of those there are, in turn, and rows of a group are repeated.
    Responses are drawn at the parameters of the fit, or at others, and tested.

    Parameters
    ----------
    results : LMERResults
        A fit of a model from a formula.
    effect : str
        A coefficient, or a term of several.
    along : str, optional
        The column of the grouping factor whose levels are counted; needed if there
        are several grouping factors.
    levels, size : int or sequence of int, optional
        Numbers of levels, and of rows of each level; those of the data by default.
    params : mapping, optional
        Coefficients with other values than the fit's.
    theta : array_like, shape (k_theta,), optional
    sigma : float, optional
        Relative covariance parameters and residual standard deviation instead of
        the fit's.
    nsim : int
        Simulations of each setting.
    alpha : float
        Level of the test.
    ddf : str, optional
        Method for the degrees of freedom; by default that of the fit.
    rng : int, Generator, RandomState or None
        The same seed gives the same numbers, whatever `n_jobs` is.
    n_jobs : int
        Settings that are simulated at the same time, through joblib.

    Returns
    -------
    Power

    References
    ----------
    Green, P. and MacLeod, C. J. (2016). SIMR: an R package for power analysis of
    generalized linear mixed models by simulation. Methods in Ecology and Evolution
    7(4), 493-498.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> found = sml.power(
    ...     res, "Days", levels=[4, 8], params={"Days": 5.0}, nsim=50, rng=1
    ... )
    >>> print(found.frame[["levels", "rows", "nsim"]].to_string(index=False))
     levels  rows  nsim
          4    40    50
          8    80    50
    """
    results, nsim = unwrapped(results), number_of_draws(nsim)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is the level of a test, between 0 and 1, not {alpha}.")
    column = _along(results.model, along)
    truth = _Truth.of(results, params, theta, sigma)
    method = results.ddf_method if ddf is None else ddf
    _check_effect(results.model, effect)
    settings = list(product(_numbers(levels, "levels"), _numbers(size, "size")))
    seeds = generator(rng).integers(2**63, size=len(settings))  # type: ignore[union-attr]
    tasks = [
        (results.model, truth, column, setting, effect, nsim, alpha, method, int(seed))
        for setting, seed in zip(settings, seeds, strict=True)
    ]
    if n_jobs == 1:
        found = [_setting(*task) for task in tasks]
    else:
        from joblib import Parallel, delayed

        found = Parallel(n_jobs=n_jobs)(delayed(_setting)(*task) for task in tasks)
    messages = tuple(dict.fromkeys(m for _, own in found for m in own))
    frame = pd.DataFrame([row for row, _ in found])
    return Power(frame, effect, column, alpha, method, messages)


@dataclass(frozen=True, eq=False)
class _Truth:
    """The parameters that responses are drawn at."""

    beta: dict[str, float]
    templates: dict[tuple[str, tuple[str, ...]], FloatArray]
    sigma: float

    @classmethod
    def of(
        cls,
        results: LMERResults,
        params: Mapping[str, float] | None,
        theta: ArrayLike | None,
        sigma: float | None,
    ) -> _Truth:
        names = list(results.model.exog_names)
        beta = dict(zip(names, np.asarray(results.params), strict=True))
        for name, value in (params or {}).items():
            if name not in beta:
                raise ValueError(
                    f"params names {name!r}, which is no coefficient; "
                    f"{suggestion(name, names)}"
                )
            beta[name] = float(value)
        terms = results.model.re_terms
        if theta is None:
            Ts = templates(results)
        else:
            values = results.model._theta(theta)
            Ts = [term.template(values[part]) for term, part in theta_parts(terms)]
        keys = [(term.name, tuple(term.columns)) for term in terms]
        own = results.sigma if sigma is None else float(sigma)
        if own <= 0:
            raise ValueError(f"sigma must be positive, not {own:g}.")
        return cls(beta, dict(zip(keys, Ts, strict=True)), own)

    def responses(self, model: LMER, nsim: int, rng: np.random.Generator) -> FloatArray:
        """Draws of the response of a model, shape (n, nsim)."""
        beta = np.array([self.beta[name] for name in model.exog_names])
        y = rng.standard_normal((model.nobs, nsim))
        if model.weights is not None:
            y /= np.sqrt(model.weights)[:, None]
        for term in model.re_terms:
            T = self.templates[term.name, tuple(term.columns)]
            u = rng.standard_normal((term.factor.n_levels, term.q, nsim))
            b = np.einsum("ij,ljs->lis", T, u)
            Z = np.asarray(term.Z)
            for j in range(term.q):
                y += Z[:, j, None] * b[term.factor.codes, j]
        return self.sigma * y + model.predict(beta)[:, None]


def _along(model: LMER, along: str | None) -> str:
    """The column of the grouping factor to stretch."""
    if model._design is None:
        raise ValueError("power needs a model that was built from a formula.")
    specs = [design.spec for design in model._design.term_designs]
    columns = [e for spec in specs for e in spec.factors if e in model._design.frame]
    columns = list(dict.fromkeys(columns))
    if along is None:
        if len(columns) != 1:
            raise ValueError(
                "say with along= which grouping factor is to have other numbers of "
                f"levels; there are {', '.join(columns)}."
            )
        along = columns[0]
    if along not in columns:
        raise ValueError(
            f"along={along!r} is no column of a grouping factor; "
            f"{suggestion(along, columns)}"
        )
    if along in variables(model._design.parsed.fixed):
        raise ValueError(
            f"the grouping factor {along!r} is in the fixed part too, so it cannot "
            "have other numbers of levels."
        )
    if any(not isinstance(v, str) for v in model._design.arguments.values()):
        raise ValueError(
            "weights and offset given as arrays cannot be stretched; make them columns "
            "of the data."
        )
    return along


def _check_effect(model: LMER, effect: str) -> None:
    terms = term_contrasts(model, 3)
    if effect not in model.exog_names and effect not in terms:
        known = [*map(str, model.exog_names), *terms]
        raise ValueError(
            f"{effect!r} is neither a coefficient nor a term; "
            f"{suggestion(effect, known)}"
        )


def _numbers(given: int | Sequence[int] | None, role: str) -> list[int | None]:
    if given is None:
        return [None]
    numbers = [given] if isinstance(given, (int, np.integer)) else list(given)
    for number in numbers:
        if not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f"{role} must be positive integers, not {number!r}.")
    return [int(number) for number in numbers]


def stretched(
    frame: pd.DataFrame,
    along: str,
    grouping: Sequence[str],
    levels: int | None,
    size: int | None,
) -> pd.DataFrame:
    """Data with another number of levels of a factor, and of rows of each.

    Parameters
    ----------
    frame : DataFrame
    along : str
        The factor's column.
    grouping : sequence of str
        Columns of other grouping factors; those nested in `along` are new in copies.
    levels, size : int, optional
    """
    codes, labels = pd.factorize(frame[along])
    rows = [np.flatnonzero(codes == k) for k in range(len(labels))]
    nested = [
        c
        for c in grouping
        if c != along and frame.groupby(c, observed=True)[along].nunique().max() == 1
    ]
    chosen, copies = [], []
    for k in range(len(labels) if levels is None else levels):
        own = rows[k % len(labels)]
        own = own if size is None else np.resize(own, size)
        chosen.append(own)
        copies.append(np.full(len(own), k // len(labels)))
    at, copy = np.concatenate(chosen), np.concatenate(copies)
    out = frame.iloc[at].reset_index(drop=True)
    for column in (along, *nested):
        own = out[column].astype(object).map(str)
        out[column] = np.where(copy > 0, own + "." + (copy + 1).astype(str), own)
    return out


def _setting(
    model: LMER,
    truth: _Truth,
    along: str,
    setting: tuple[int | None, int | None],
    effect: str,
    nsim: int,
    alpha: float,
    ddf: str,
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """The power at one number of levels and one size."""
    design = model._design
    assert design is not None
    own = design.frame.drop(columns=[WEIGHTS, OFFSET], errors="ignore")
    columns = [e for d in design.term_designs for e in d.spec.factors if e in own]
    frame = stretched(own, along, list(dict.fromkeys(columns)), *setting)
    arguments: dict[str, Any] = dict(design.arguments)
    larger = type(model).from_formula(
        design.parsed.text,
        frame,
        drop_cols=design.drop_cols,
        eval_env=design.namespace,
        **arguments,
    )
    rows = _rows_of(larger, effect)
    y = truth.responses(larger, nsim, np.random.default_rng(seed))
    rejected, messages = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        for column in y.T:
            try:
                fit = larger.with_response(np.ascontiguousarray(column)).fit(ddf=ddf)
                test = jointly(np.asarray(fit.params), rows, fit.inference())
            except (ValueError, np.linalg.LinAlgError) as error:
                messages.append(str(error))
                continue
            rejected += test.pvalue < alpha
    done = nsim - len(messages)
    shares = (np.nan, np.nan, np.nan)
    if done:
        ends = stats.binomtest(int(rejected), done).proportion_ci(CONFIDENCE)
        shares = (rejected / done, ends.low, ends.high)
    levels, size = setting
    return {
        "levels": frame[along].nunique() if levels is None else levels,
        "size": np.nan if size is None else size,
        "rows": larger.nobs,
        "power": shares[0],
        "lower": shares[1],
        "upper": shares[2],
        "nsim": nsim,
        "failed": len(messages),
    }, messages


def _rows_of(model: LMER, effect: str) -> FloatArray:
    """Contrasts that test a coefficient or a term."""
    names = list(model.exog_names)
    if effect in names:
        return np.eye(len(names))[[names.index(effect)]]
    return term_contrasts(model, 3)[effect]
