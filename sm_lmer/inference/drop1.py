"""Tests of the terms of the fixed part that marginality lets go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from ..compat import statsmodels as compat
from ..core.terms import FloatArray
from ..formula.grammar import parse
from .ddf import Inference
from .hypotheses import jointly
from .nesting import unwrapped
from .printed import TableOfTests
from .reduced import (
    FixedPart,
    FixedTerm,
    contrast,
    engine_terms,
    fixed_part_without,
    fixed_terms,
    lowest_criterion,
    marginal,
    rebuilt,
)

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults

F_COLUMNS = ["sum_sq", "mean_sq", "df", "df_denom", "F", "PR(>F)"]


def drop1(
    results: LMERResults,
    scope: Sequence[str] | str | None = None,
    test: str = "Chisq",
    ddf: str | None = None,
) -> pd.DataFrame:
    """Test what each term of the fixed part adds to the others.

    Parameters
    ----------
    results : LMERResults
    scope : sequence of str or str, optional
        Terms to try, by name, or a formula ``"~ a + b"``; by default all that no
        other term contains.
    test : {"Chisq", "F"}
        Likelihood-ratio tests of fits by maximum likelihood, as lme4's ``drop1``; or
        F tests without a refit, as lmerTest's.
    ddf : str, optional
        Method for the degrees of freedom of F tests.

    Returns
    -------
    DataFrame
        With "Chisq": a row ``<none>`` and one a term; npar (parameters that the term
        has), AIC of the model without it, LRT, Pr(Chi). With "F": a row a term;
        sum_sq, mean_sq, df, df_denom, F, PR(>F).

    Raises
    ------
    ValueError
        For a term that the model does not have, or another test.

    Notes
    -----
    The F test is of the hypothesis that the mean lies in the space of the fixed part
    without the term. It depends neither on the coding of factors nor, for a term in
    which no other takes part, on anything but the columns of the term.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe + temp + (1|recipe:replicate)", data).fit()
    >>> print(res.drop1()[["npar", "AIC", "LRT"]].round(3).to_string())
            npar       AIC     LRT
    <none>   NaN  1708.158     NaN
    recipe   2.0  1704.688   0.530
    temp     1.0  1785.688  79.531
    >>> print(res.drop1(test="F")[["df", "df_denom", "F"]].round(3).to_string())
            df  df_denom       F
    recipe   2      42.0   0.249
    temp     1     224.0  94.976
    """
    results = unwrapped(results)
    terms = terms_in_scope(results.model, scope)
    if test == "F":
        tested = FTests(
            results.model, np.asarray(results.params), results.inference(ddf)
        )
        return TableOfTests.of(tested.table(terms, results.scale))
    if test != "Chisq":
        raise ValueError(f"unknown test {test!r} of drop1; choose 'Chisq' or 'F'.")
    return TableOfTests.of(_by_likelihood(results, terms))


def terms_in_scope(
    model: LMER, scope: Sequence[str] | str | None = None
) -> list[FixedTerm]:
    """The terms that a scope names; those that marginality lets go by default.

    Raises
    ------
    ValueError
        For a name that is not a term of the fixed part.
    """
    terms = fixed_terms(model)
    if scope is None:
        return marginal(terms)
    chosen = []
    for name, factors in _named(model, scope):
        same = [t for t in terms if name in (t.name, t.label) or t.factors == factors]
        if not same:
            raise ValueError(
                f"the fixed part has no term {name!r}; its terms are "
                f"{', '.join(t.label for t in terms) or 'none'}."
            )
        chosen.append(same[0])
    return chosen


def _named(model: LMER, scope: Sequence[str] | str) -> list[tuple[str, frozenset[str]]]:
    if not isinstance(scope, str):
        return [(name, frozenset(name.split(":"))) for name in scope]
    if "~" not in scope or model._design is None:
        names = [name.strip() for name in scope.lstrip(" ~").split("+")]
        return [(name, frozenset(name.split(":"))) for name in names]
    design = model._design
    right = scope.partition("~")[2]
    fixed = parse(f"y ~ {right}", [str(c) for c in design.frame.columns]).fixed
    engine = compat.engine_of(design.specification)
    _, _, wanted = compat.build_matrices(fixed, design.frame, design.namespace, engine)
    return [(t.name, t.factors) for t in engine_terms(wanted, fixed) if t.factors]


class FTests:
    """F tests of terms, from estimates and their inference alone.

    Parameters
    ----------
    model : LMER
        For its fixed part.
    beta : ndarray, shape (p,)
    inference : Inference
    """

    def __init__(self, model: LMER, beta: FloatArray, inference: Inference) -> None:
        self.model, self.beta, self.inference = model, beta, inference

    def table(self, terms: Sequence[FixedTerm], scale: float) -> pd.DataFrame:
        """One row a term; sums of squares are F times df times the scale."""
        rows = [self._row(term, scale) for term in terms]
        table = pd.DataFrame(rows, index=[t.label for t in terms], columns=F_COLUMNS)
        return table.astype(dict.fromkeys(F_COLUMNS, float) | {"df": int})

    def _row(self, term: FixedTerm, scale: float) -> list[float]:
        L = contrast(self.model, fixed_part_without(self.model, term))
        test = jointly(self.beta, L, self.inference)
        mean_sq = test.statistic * scale
        df = test.df_num
        return [mean_sq * df, mean_sq, df, test.df_denom, test.statistic, test.pvalue]


def _by_likelihood(results: LMERResults, terms: Sequence[FixedTerm]) -> pd.DataFrame:
    model = results.model
    deviance = lowest_criterion(model, False, "nothing")
    rows = [[np.nan, deviance + 2.0 * results.df, np.nan, np.nan]]
    for term in terms:
        part = fixed_part_without(model, term)
        lost = model.k_fe - part.exog.shape[1]
        rows.append([lost, *_ratio(model, part, term, deviance, results.df, lost)])
    labels = ["<none>", *(term.label for term in terms)]
    return pd.DataFrame(rows, index=labels, columns=["npar", "AIC", "LRT", "Pr(Chi)"])


def _ratio(
    model: LMER,
    part: FixedPart,
    term: FixedTerm,
    deviance: float,
    npar: int,
    lost: int,
) -> list[float]:
    """AIC of the model without a term, its likelihood ratio and p-value."""
    if lost == 0:  # coded anew, the other terms span the same space
        return [deviance + 2.0 * npar, 0.0, np.nan]
    reduced = lowest_criterion(rebuilt(model, part), False, term.label)
    ratio = max(0.0, reduced - deviance)
    return [reduced + 2.0 * (npar - lost), ratio, float(stats.chi2.sf(ratio, lost))]
