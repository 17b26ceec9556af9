"""Standardised coefficients, by a refit or by standard deviations of columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from ..errors import SingularFitWarning
from ..formula.design import OFFSET, WEIGHTS, Design
from ..formula.grammar import variables
from .effect_rows import is_factor
from .hypotheses import t_quantile
from .nesting import unwrapped

METHODS = ("refit", "basic")
"""What ``standardized=`` takes."""

COLUMNS = ("term", "estimate", "std_error", "df", "conf_low", "conf_high")


def standardised_coefficients(
    results: Any,
    how: str = "refit",
    *,
    alpha: float = 0.05,
    ddf: str | None = None,
) -> pd.DataFrame:
    """Fixed effects in standard deviations, with standard errors and intervals.

    Parameters
    ----------
    results : LMERResults
    how : {"refit", "basic"}
        "refit" fits the model anew after the response and the numeric variables of its
        fixed part and random slopes are brought to mean 0 and standard deviation 1:
        factors stay as they are, products are those of standardised variables.
        "basic" multiplies each coefficient by the standard deviation of its column of
        the design, whatever it stands for, over that of the response. Both as R's
        effectsize defines them (for weighted fits with unweighted deviations).
    alpha : float
        One less the level of the intervals.
    ddf : str, optional
        Method for the degrees of freedom.

    Returns
    -------
    DataFrame
        Columns term, estimate, std_error, df, conf_low, conf_high. "basic" has no row
        for the intercept.

    Raises
    ------
    ValueError
        For a model that cannot be fitted to standardised data.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.standardised import standardised_coefficients
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> frame = standardised_coefficients(res, "basic")
    >>> print(frame[["term", "estimate", "std_error"]].round(4).to_string(index=False))
    term  estimate  std_error
    Days    0.5352      0.079
    """
    results = unwrapped(results)
    if how not in METHODS:
        raise ValueError(
            f"unknown standardisation {how!r}; choose 'refit' or 'basic', or True for "
            "'refit'."
        )
    results.model.require_rows("a standardised coefficient")
    if how == "refit":
        fit = standardised_refit(results)
        return _table(fit, np.ones(len(fit.params)), alpha, ddf)
    model = results.model
    spread = np.std(np.asarray(model.exog), axis=0, ddof=1)
    return _table(results, spread / _spread_of(model.endog), alpha, ddf)


def standardised_refit(results: Any) -> Any:
    """The model fitted to standardised data; see :func:`standardised_coefficients`.

    Raises
    ------
    ValueError
        If the model was not built from a formula, the response or the offset is an
        expression, or the formula cannot be evaluated on standardised data.
    """
    results = unwrapped(results)
    results.model.require_rows("a standardised coefficient")
    design = results.model._design
    if design is None:
        raise ValueError(
            "a model built from arrays cannot be fitted to standardised data; use "
            "standardized='basic'."
        )
    if results.cov_type != "nonrobust":
        raise ValueError(
            "a refit would lose the robust covariance; use standardized='basic'."
        )
    response = design.parsed.response.strip()
    if variables(response) != (response,):
        raise ValueError(
            f"the response {response!r} is an expression, so its variable cannot be "
            "standardised before; use standardized='basic'."
        )
    if design.offset is not None:
        raise ValueError(
            "a model with an offset cannot be fitted to a standardised response; use "
            "standardized='basic'."
        )
    fit = _refit(results, _standardised(design))
    if fit.model.nobs != results.model.nobs:
        lost = results.model.nobs - fit.model.nobs
        raise ValueError(
            f"the formula is not a number in {lost} rows of standardised data (a "
            "logarithm or root of a negative number); use standardized='basic'."
        )
    return fit


def _refit(results: Any, data: pd.DataFrame) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)  # the model's own fit told
        weights = results.model._design.arguments.get("weights")
        return unwrapped(results.update(data=data, weights=weights))


def _standardised(design: Design) -> pd.DataFrame:
    """The model's data with numeric variables at mean 0 and standard deviation 1."""
    texts = [design.parsed.response, design.parsed.fixed]
    texts += [spec.columns for spec in design.parsed.random]
    weights = design.arguments.get("weights")
    kept = variables(weights) if isinstance(weights, str) else ()
    names = dict.fromkeys(name for text in texts for name in variables(text))
    data = design.frame.drop(columns=[WEIGHTS, OFFSET], errors="ignore").copy()
    for name in names:
        if name not in data or name in kept or is_factor(design, name):
            continue
        values = data[name].to_numpy(dtype=np.float64)
        spread = np.std(values, ddof=1)
        data[name] = (values - values.mean()) / (spread if spread > 0.0 else 1.0)
    return data


def _table(
    results: Any, factor: np.ndarray, alpha: float, ddf: str | None
) -> pd.DataFrame:
    inference = results.inference(ddf)
    estimate = np.asarray(results.params) * factor
    error = np.sqrt(np.diag(inference.vcov)) * factor
    df = inference.each(np.eye(len(estimate)))
    half = t_quantile(1.0 - alpha / 2.0, df) * error
    names = list(results.model.exog_names)
    values = (names, estimate, error, df, estimate - half, estimate + half)
    table = pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))
    return table[factor > 0.0].reset_index(drop=True)


def _spread_of(y: np.ndarray) -> float:
    return float(np.std(np.asarray(y), ddof=1))


__all__ = ["standardised_coefficients", "standardised_refit"]
