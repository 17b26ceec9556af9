"""Likelihood-ratio tests of the random terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from ..core.terms import FloatArray, IntArray
from .nesting import unwrapped
from .printed import TableOfTests
from .reduced import Reduction, lowest_criterion, random_reductions, rebuilt

if TYPE_CHECKING:
    from ..results import LMERResults

COLUMNS = ["npar", "logLik", "AIC", "LRT", "Df", "Pr(>Chisq)"]

NOISE = 1e-8
"""A negative likelihood ratio above minus this comes from rounding."""


def ranova(results: LMERResults, reduce_terms: bool = True) -> pd.DataFrame:
    """Test each random term by the likelihood ratio, as lmerTest's ``ranova``.

    Both models are fitted by the criterion of `results`: as the fixed parts are equal,
    REML likelihoods are comparable. Where no random term is left, the likelihood is
    that of the linear model with the same weights and offset.

    Parameters
    ----------
    results : LMERResults
    reduce_terms : bool
        Whether a term of several variables loses one at a time: ``(x | g)`` becomes
        ``(1 | g)``, ``(0 + f | g)`` becomes ``(1 | g)``, and ``(1 | g)`` goes.
        Otherwise terms go as a whole.

    Returns
    -------
    DataFrame
        A row for the model itself, ``<none>``, and one a reduction; columns npar,
        logLik, AIC, LRT, Df and Pr(>Chisq).

    Notes
    -----
    The p-values take the tested variance for a point inside the parameter space, as
    lmerTest does, so that they are too large: twice, for one variance. See
    ``anova_lmer(test="mixture")`` and :func:`exact_rlrt` for better ones.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_pastes()
    >>> res = sml.lmer("strength ~ 1 + (1 | batch/cask)", data).fit()
    >>> print(res.ranova()[["npar", "LRT", "Pr(>Chisq)"]].round(4).to_string())
                      npar      LRT  Pr(>Chisq)
    <none>               4      NaN         NaN
    (1 | cask:batch)     3  54.6047      0.0000
    (1 | batch)          3   0.6577      0.4174
    """
    table, _ = reductions_table(unwrapped(results), reduce_terms)
    return TableOfTests.of(table)


def reductions_table(
    results: LMERResults, reduce_terms: bool
) -> tuple[pd.DataFrame, list[Reduction]]:
    """The table of :func:`ranova`, and the reductions behind its rows but the first."""
    reductions = random_reductions(results.model, reduce_terms)
    fixed = results.model.k_fe + 1
    npar = [results.df, *(fixed + r.n_theta for r in reductions)]
    llf = [results.llf, *(-0.5 * reduced_criterion(results, r) for r in reductions)]
    labels = ["<none>", *(r.label for r in reductions)]
    return likelihood_ratios(labels, np.array(npar), np.array(llf)), reductions


def reduced_criterion(results: LMERResults, reduction: Reduction) -> float:
    """The criterion of `results` at the estimates of a model with fewer random terms.

    Without any it is that of the linear model, which is the criterion at theta = 0.
    """
    if not reduction.parts:
        zero = np.zeros(results.model.k_theta)
        return results._likelihood().value(zero, results.reml)
    model = rebuilt(results.model, parts=reduction.parts)
    return lowest_criterion(model, results.reml, reduction.label)


def likelihood_ratios(
    labels: list[str], npar: IntArray, llf: FloatArray
) -> pd.DataFrame:
    """The tests of models against the first, of which each is a special case."""
    ratio = 2.0 * (llf[0] - llf)
    ratio = np.where((ratio < 0) & (ratio > -NOISE), 0.0, ratio)
    ratio[0] = np.nan
    df = (npar[0] - npar).astype(np.float64)
    df[0] = np.nan
    with np.errstate(invalid="ignore"):
        p = np.where(df > 0, stats.chi2.sf(ratio, np.where(df > 0, df, 1.0)), np.nan)
    table = pd.DataFrame(
        np.column_stack([npar, llf, 2.0 * npar - 2.0 * llf, ratio, df, p]),
        index=labels,
        columns=COLUMNS,
    )
    return table.astype({"npar": int})
