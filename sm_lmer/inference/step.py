"""Backward elimination: random terms first, then fixed ones."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import OLS, WLS

from ..core.terms import FloatArray
from ..errors import SingularFitWarning
from ..results import LMERResultsWrapper
from .ddf import Residual
from .drop1 import F_COLUMNS, FTests, terms_in_scope
from .nesting import unwrapped
from .ranova import COLUMNS, reductions_table
from .reduced import (
    FixedTerm,
    Reduction,
    description,
    fixed_description,
    fixed_part,
    fixed_part_without,
    fixed_terms,
    marginal,
    rebuilt,
)

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults


@dataclass(frozen=True, eq=False)
class StepResult:
    """What backward elimination found.

    Attributes
    ----------
    random : DataFrame
        As :func:`ranova`, with a column Eliminated: in which step the term went, 0 for
        one that stayed.
    fixed : DataFrame
        As ``drop1(test="F")``, with the same column.
    formula : str
        The model found.
    results : LMERResults or RegressionResults
        Its fit; an ordinary (weighted) regression where no random term stayed.
    """

    random: pd.DataFrame
    fixed: pd.DataFrame
    formula: str
    results: Any

    def model(self) -> Any:
        """The fit of the model found."""
        return self.results

    def __str__(self) -> str:
        return (
            "Backward reduced random-effect table:\n\n"
            f"{self.random.to_string()}\n\n"
            "Backward reduced fixed-effect table:\n\n"
            f"{self.fixed.to_string()}\n\n"
            f"Model found:\n{self.formula}\n"
        )


def step(
    results: LMERResults,
    alpha_random: float = 0.1,
    alpha_fixed: float = 0.05,
    keep: Sequence[str] | str = (),
    reduce_fixed: bool = True,
    reduce_random: bool = True,
    ddf: str | None = None,
) -> StepResult:
    """Eliminate terms backwards, as lmerTest's ``step``.

    As long as the random term (or variable of one) with the largest p-value of
    :func:`ranova` has one above `alpha_random`, it goes; then fixed terms in the same
    way, by the F tests of :func:`drop1`. The p-values of the tables are those of the
    step, and know nothing of the selection. Singular fits on the way do not warn; see
    ``singular`` of the model found.

    Parameters
    ----------
    results : LMERResults
    alpha_random, alpha_fixed : float
    keep : sequence of str or str
        Fixed terms that are not to go.
    reduce_fixed, reduce_random : bool
        Whether to eliminate fixed, and random, terms at all.
    ddf : str, optional
        Method for the degrees of freedom of the F tests; that of the fit by default.

    Returns
    -------
    StepResult

    References
    ----------
    Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017). lmerTest
    package: tests in linear mixed effects models. J. Stat. Software 82(13).

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe * temp + (1|recipe:replicate)", data).fit()
    >>> found = res.step()
    >>> print(found.fixed[["Eliminated", "df", "F"]].round(3).to_string())
                 Eliminated  df       F
    recipe:temp           1   2   0.042
    recipe                2   2   0.249
    temp                  0   1  94.976
    >>> print(found.formula)
    angle ~ temp + (1 | recipe:replicate)
    """
    results = unwrapped(results)
    kept = {t.factors for t in terms_in_scope(results.model, _names(keep))}
    mixed = _Mixed(results, ddf)
    state: _Mixed | _Linear = mixed
    random, fixed = _empty(COLUMNS), _empty(F_COLUMNS)
    if reduce_random:
        state, random = _without_random(mixed, alpha_random)
    if reduce_fixed:
        state, fixed = _without_fixed(state, alpha_fixed, kept)
    return StepResult(random, fixed, state.formula, state.fit)


def _names(keep: Sequence[str] | str) -> Sequence[str]:
    return [keep] if isinstance(keep, str) else list(keep)


def _empty(columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(columns=["Eliminated", *columns], dtype=np.float64)


class _Mixed:
    """A mixed model on the way, and its tests."""

    def __init__(self, results: LMERResults, ddf: str | None) -> None:
        self.results, self.model, self.ddf = results, results.model, ddf

    @property
    def formula(self) -> str:
        return description(self.model)

    @property
    def fit(self) -> Any:
        return LMERResultsWrapper(self.results)

    def f_tests(self, terms: Sequence[FixedTerm]) -> pd.DataFrame:
        results = self.results
        inference = results.inference(self.ddf)
        tests = FTests(self.model, np.asarray(results.params), inference)
        return tests.table(terms, results.scale)

    def without(self, term: FixedTerm) -> _Mixed:
        part = fixed_part_without(self.model, term)
        return self._refitted(rebuilt(self.model, part))

    def reduced(self, reduction: Reduction) -> _Mixed | _Linear:
        if not reduction.parts:
            return _Linear(self.model)
        return self._refitted(rebuilt(self.model, parts=reduction.parts))

    def _refitted(self, model: LMER) -> _Mixed:
        old = self.results
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SingularFitWarning)
            new = model.fit(reml=old.reml, ddf=old.ddf_method, method=old.optimizer)
        return _Mixed(new._results, self.ddf)


class _Linear:
    """A model whose random terms are all gone; `model` still has the last of them."""

    def __init__(self, model: LMER) -> None:
        self.model = model

    @property
    def formula(self) -> str:
        return fixed_description(self.model)

    @cached_property
    def fit(self) -> Any:
        model, exog = self.model, fixed_part(self.model).exog
        y = np.asarray(model.endog)
        if model.offset is not None:
            y = y - model.offset
        endog = pd.Series(y, index=exog.index, name=model.endog_names)
        if model.weights is None:
            return OLS(endog, exog).fit()
        return WLS(endog, exog, weights=model.weights).fit()

    def f_tests(self, terms: Sequence[FixedTerm]) -> pd.DataFrame:
        fit = self.fit
        vcov = np.asarray(fit.cov_params(), dtype=np.float64)
        inference = Residual(vcov, float(fit.df_resid))
        tests = FTests(self.model, np.asarray(fit.params), inference)
        return tests.table(terms, float(fit.scale))

    def without(self, term: FixedTerm) -> _Linear:
        return _Linear(rebuilt(self.model, fixed_part_without(self.model, term)))


def _without_random(
    state: _Mixed, alpha: float
) -> tuple[_Mixed | _Linear, pd.DataFrame]:
    """Eliminate random terms; the table has those that went, then those that stayed."""
    table, reductions = reductions_table(state.results, True)
    rows, number = [_numbered(table.iloc[:1], np.nan)], 0
    while True:
        tests = table.iloc[1:]
        worst = _largest(tests["Pr(>Chisq)"].to_numpy(), alpha)
        if worst is None:
            rows.append(_numbered(tests, 0))
            return state, pd.concat(rows)
        number += 1
        rows.append(_numbered(tests.iloc[[worst]], number))
        smaller = state.reduced(reductions[worst])
        if isinstance(smaller, _Linear):
            return smaller, pd.concat(rows)
        state = smaller
        table, reductions = reductions_table(state.results, True)


def _without_fixed(
    state: _Mixed | _Linear, alpha: float, kept: Collection[frozenset[str]]
) -> tuple[_Mixed | _Linear, pd.DataFrame]:
    """Eliminate fixed terms, but for those that are kept."""
    rows = []
    number = 0
    while True:
        terms = marginal(fixed_terms(state.model))
        table = state.f_tests(terms)
        p = table["PR(>F)"].to_numpy().copy()
        p[[t.factors in kept for t in terms]] = np.nan
        worst = _largest(p, alpha)
        if worst is None:
            rows.append(_numbered(table, 0))
            return state, pd.concat(rows)
        number += 1
        rows.append(_numbered(table.iloc[[worst]], number))
        state = state.without(terms[worst])


def _largest(p: FloatArray, alpha: float) -> int | None:
    """Position of the largest p-value, if it is above alpha."""
    worst = int(np.argmax(np.nan_to_num(p, nan=-1.0))) if len(p) else None
    return worst if worst is not None and p[worst] > alpha else None


def _numbered(table: pd.DataFrame, number: float) -> pd.DataFrame:
    table = table.copy()
    table.insert(0, "Eliminated", number)
    return table
