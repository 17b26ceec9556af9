"""Tables that compare fitted models: ``anova_lmer``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..core.terms import FloatArray
from .boundary import mixture_pvalue
from .comparable import (
    Comparable,
    Linear,
    Mixed,
    check_criteria,
    comparable,
    require_same_rows,
)
from .nesting import spanned, unwrapped
from .printed import TableOfTests
from .simulate import RandomSource, generator, number_of_draws
from .term_methods import CompareLRTestResult

COLUMNS = ["npar", "AIC", "BIC", "logLik", "-2*log(L)", "Chisq", "Df", "Pr(>Chisq)"]

MIXTURE, BOOTSTRAP = "Pr(>mixture)", "Pr(>PB)"

TESTS = {"chisq": None, "lrt": None, "mixture": MIXTURE, "pb": BOOTSTRAP}
"""What ``test=`` takes for several models, and the column it adds."""

POSITIVE = 1e-6
"""Simulated likelihood ratios up to this are zero but for rounding."""

AT_ONCE = 2_000_000
"""Numbers of a chunk of simulated responses."""


def anova_lmer(
    *results: Any,
    typ: int | str = 3,
    test: str | None = None,
    ddf: str | None = None,
    refit: bool = True,
    nsim: int = 1000,
    rng: RandomSource = None,
) -> pd.DataFrame:
    """Test the terms of one model, or compare several by likelihood ratios.

    Parameters
    ----------
    *results : LMERResults, or mapping of str to LMERResults
        One fit: its terms are tested, see ``results.anova``. Several, or a dict of
        named ones: they are compared, each with the next larger one. statsmodels' OLS
        and WLS results stand for models without random effects.
    typ : {1, 2, 3} or {"I", "II", "III"}
        Type of the tests of one model's terms.
    test : {"Chisq", "mixture", "PB"}, optional
        For several models, what to add to the chi-square test: the p-value of the
        mixture of chi-square distributions where a variance is tested, or that of a
        parametric bootstrap.
    ddf : str, optional
        Method for the degrees of freedom of one model's tests; that of its fit by
        default.
    refit : bool
        Whether fits by REML are fitted again by maximum likelihood.
    nsim : int
        Number of simulated responses for ``test="PB"``.
    rng : int, Generator, RandomState or None
        For ``test="PB"``.

    Returns
    -------
    DataFrame
        One model: see ``results.anova``. Several: a row a model, in the order of their
        numbers of parameters; columns npar, AIC, BIC, logLik, -2*log(L), Chisq, Df,
        Pr(>Chisq) and perhaps Pr(>mixture) or Pr(>PB). ``attrs["heading"]`` says what
        the models are and which were fitted again, ``attrs["notes"]`` what else to
        know, ``attrs["reference"]`` has the bootstrap's likelihood ratios by model.

    Raises
    ------
    ValueError
        If the models have not been fitted to the same rows of the same response.
    TypeError
        For anything but results of LMER, OLS or WLS.

    Warns
    -----
    UserWarning
        With ``refit=False``, if restricted likelihoods of models with different fixed
        parts, or a restricted and a full likelihood, are compared.

    Notes
    -----
    ``"mixture"`` gives the asymptotic distribution where the smaller model sets one
    variance of the larger one to zero: half a chi-square with Df - 1 and half one with
    Df degrees of freedom (Stram and Lee 1994). So for one independent random effect
    more it halves the p-value, and for one more in a term with q correlated ones
    it mixes q and q + 1 degrees of freedom. Tests of fixed effects or covariances alone
    keep the chi-square; for several variances at once it is nan, with the reason in
    ``attrs["notes"]``.

    ``"PB"`` simulates from the smaller model and fits both to each response. As in
    pbkrtest's ``PBmodcomp``, only positive likelihood ratios count: p is (1 + number
    that reach the observed one) / (1 + number of positive ones).

    References
    ----------
    Stram, D. O. and Lee, J. W. (1994). Variance components testing in the longitudinal
    mixed effects model. Biometrics 50, 1171-1177.

    Halekoh, U. and Hojsgaard, S. (2014). A Kenward-Roger approximation and parametric
    bootstrap methods for tests in linear mixed models - the R package pbkrtest.
    J. Stat. Software 59(9).

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.comparison import anova_lmer
    >>> data = sml.datasets.load_sleepstudy()
    >>> small = sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit()
    >>> large = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> table = anova_lmer(small, large)
    >>> print(table[["npar", "AIC", "logLik", "Chisq", "Df"]].round(3).to_string())
            npar       AIC   logLik   Chisq   Df
    model1     4  1802.079 -897.039     NaN  NaN
    model2     6  1763.939 -875.970  42.139  2.0
    >>> print(table.attrs["heading"])
    fitted again by maximum likelihood: model1, model2
    model1: Reaction ~ Days + (1 | Subject)
    model2: Reaction ~ Days + (Days | Subject)
    """
    named = _named(results)
    if len(named) == 1:
        return _of_one(next(iter(named.values())), typ, test, ddf)
    method = "chisq" if test is None else str(test).lower()
    if method not in TESTS:
        raise ValueError(
            f"unknown test {test!r} for several models; choose 'Chisq', 'mixture' or "
            "'PB'."
        )
    given = [comparable(name, fit) for name, fit in named.items()]
    require_same_rows(given)
    models = [model.by_ml() for model in given] if refit else given
    if not refit:
        check_criteria(models)
        if method == "pb" and any(model.reml for model in models):
            raise ValueError('test="PB" needs likelihoods that are not restricted.')
    models = sorted(models, key=lambda model: model.npar)
    table = _likelihood_ratios(models)
    table.attrs["heading"] = _heading(given, refit)
    table.attrs["notes"] = ()
    if method == "mixture":
        _add_mixture(table, models)
    elif method == "pb":
        _add_bootstrap(table, models, nsim, generator(rng))
    return TableOfTests.of(table)


def compare_lr_test(results: Any, restricted: Any) -> CompareLRTestResult:
    """Likelihood-ratio test of a model against a special case of it.

    See :meth:`sm_lmer.results.LMERResults.compare_lr_test`.
    """
    small = comparable("the restricted model", restricted)
    models = [small, comparable("the model", results)]
    require_same_rows(models)
    X, X_small = models[1].structure.X, small.structure.X
    same_mean = spanned(X, X_small) and spanned(X_small, X)
    if same_mean and models[1].reml and isinstance(small, Linear):
        models[0] = small.by_reml()
    if not (same_mean and all(model.reml for model in models)):
        models = [model.by_ml() for model in models]
    df = models[1].npar - models[0].npar
    if df < 0:
        raise ValueError(
            f"the restricted model has {-df} parameters more than the model; call "
            "compare_lr_test of the larger one."
        )
    statistic = max(0.0, 2.0 * (models[1].llf - models[0].llf))
    pvalue = float(stats.chi2.sf(statistic, df)) if df else np.nan
    return CompareLRTestResult(statistic, pvalue, df)


def _named(results: Sequence[Any]) -> dict[str, Any]:
    if len(results) == 1 and isinstance(results[0], Mapping):
        named = {str(name): fit for name, fit in results[0].items()}
    else:
        named = {f"model{k + 1}": fit for k, fit in enumerate(results)}
    if not named:
        raise ValueError("anova_lmer needs the results of at least one model.")
    return named


def _of_one(
    results: Any, typ: int | str, test: str | None, ddf: str | None
) -> pd.DataFrame:
    if not hasattr(unwrapped(results), "theta"):
        raise TypeError(
            f"anova_lmer takes results of LMER, not {type(results).__name__}; for a "
            "linear model use statsmodels' anova_lm."
        )
    if test not in (None, "F"):
        raise ValueError(
            f"test={test!r} compares several models; for one there are F tests."
        )
    table: pd.DataFrame = results.anova(typ, ddf)
    return table


def _heading(models: Sequence[Comparable], refit: bool) -> str:
    again = [model.name for model in models if model.reml] if refit else []
    lines = [f"{model.name}: {model.text}" for model in models]
    if again:
        lines.insert(0, f"fitted again by maximum likelihood: {', '.join(again)}")
    return "\n".join(lines)


def _likelihood_ratios(models: Sequence[Comparable]) -> pd.DataFrame:
    npar = np.array([model.npar for model in models], dtype=np.float64)
    llf = np.array([model.llf for model in models])
    chisq = np.concatenate([[np.nan], 2.0 * np.maximum(0.0, np.diff(llf))])
    df = np.concatenate([[np.nan], np.diff(npar)])
    p = np.full(len(models), np.nan)
    tested = df > 0
    p[tested] = stats.chi2.sf(chisq[tested], df[tested])
    aic = 2.0 * npar - 2.0 * llf
    bic = np.log(len(models[0].y)) * npar - 2.0 * llf
    return pd.DataFrame(
        np.column_stack([npar, aic, bic, llf, -2.0 * llf, chisq, df, p]),
        index=[model.name for model in models],
        columns=COLUMNS,
    ).astype({"npar": int})


def _add_mixture(table: pd.DataFrame, models: Sequence[Comparable]) -> None:
    p, notes = [np.nan], []
    for k in range(1, len(models)):
        small, big = models[k - 1], models[k]
        chisq, df = float(table["Chisq"].iloc[k]), int(table["Df"].iloc[k])
        found, reason = mixture_pvalue(chisq, df, small.structure, big.structure)
        p.append(found)
        pair = f"{big.name} against {small.name}: "
        if reason:
            notes.append(pair + reason + ".")
        elif isinstance(small, Mixed) and small.fit.singular:
            notes.append(
                pair + f"{small.name} is singular, so that the mixture is too large a "
                "p-value."
            )
    table[MIXTURE] = p
    table.attrs["notes"] = tuple(notes)


def _add_bootstrap(
    table: pd.DataFrame,
    models: Sequence[Comparable],
    nsim: int,
    rng: np.random.Generator | np.random.RandomState,
) -> None:
    p, notes, references = [np.nan], [], {}
    for k in range(1, len(models)):
        small, big = models[k - 1], models[k]
        if not table["Df"].iloc[k] > 0:
            p.append(np.nan)
            continue
        reference = bootstrap_ratios(small, big, nsim, rng)
        references[big.name] = tuple(reference.tolist())
        observed = float(table["Chisq"].iloc[k])
        p.append(bootstrap_pvalue(observed, reference))
        zeros = int((reference <= POSITIVE).sum())
        if zeros:
            every = (1 + int((reference >= observed).sum())) / (1 + nsim)
            notes.append(
                f"{big.name} against {small.name}: {zeros} of {nsim} simulated "
                "likelihood ratios are zero and do not count, by pbkrtest's rule; with "
                f"them the p-value is {every:.4g}."
            )
    table[BOOTSTRAP] = p
    table.attrs["notes"] = tuple(notes)
    table.attrs["reference"] = references


def bootstrap_ratios(
    small: Comparable,
    big: Comparable,
    nsim: int,
    rng: np.random.Generator | np.random.RandomState,
) -> FloatArray:
    """Likelihood ratios of the models on responses simulated from the smaller one."""
    if not np.array_equal(small.y, big.y):
        raise ValueError(
            f"{small.name} and {big.name} have their rows in different orders; fit "
            "both to the same data for a parametric bootstrap."
        )
    ratios = np.empty(number_of_draws(nsim))
    chunk = max(1, AT_ONCE // len(small.y))
    for start in range(0, nsim, chunk):
        part = slice(start, min(start + chunk, nsim))
        Y = small.simulate(part.stop - start, rng)
        ratios[part] = small.deviances(Y) - big.deviances(Y)
    return ratios


def bootstrap_pvalue(observed: float, reference: FloatArray) -> float:
    """The p-value by pbkrtest's rule: only positive likelihood ratios count."""
    positive = reference[reference > POSITIVE]
    return (1 + int((positive >= observed).sum())) / (1 + len(positive))
