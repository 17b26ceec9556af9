"""tidy, glance, augment: what a fitted model says, as frames with one set of names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..inference.hypotheses import t_quantile, t_tail
from .contract import check_glance, check_tidy
from .covariance import as_matrix, std_errors_name
from .dispatch import Extractor, Request, extractor_of, unwrapped
from .rows import rows_used

FloatArray = NDArray[np.float64]

EFFECTS = {"all": None, "fixed": ("fixed", "auxiliary"), "random": ("random",)}
"""What ``effects=`` takes, and the effects that it keeps."""

LOG_LINKS = ("log", "logit", "cloglog")
"""Links of which exponentiated coefficients are ratios."""


def tidy(
    res: Any,
    *,
    effects: str = "all",
    conf_level: float | None = None,
    ci_method: str = "wald",
    re_scale: str = "sd",
    ddf: str | None = None,
    exponentiate: bool | str = False,
    vcov: Any = None,
) -> pd.DataFrame:
    """The parameters of a fitted model, one a row.

    Parameters
    ----------
    res : object
        Results of this package, statsmodels, linearmodels, pyfixest or lifelines, and
        of whatever :func:`sm_lmer.tables.dispatch.extractor_of` knows.
    effects : {"all", "fixed", "random"}
        "fixed" leaves out variances and correlations of random effects.
    conf_level : float, optional
        Level of confidence intervals; without it there are none.
    ci_method : {"wald", "profile", "boot"}
        For LMER: intervals by standard errors, of the profile likelihood, or
        percentiles of a parametric bootstrap of 999 replicates with a seed of 1. The
        last two are for the random part too.
    re_scale : {"sd", "var", "both"}
        Standard deviations and correlations of random effects, variances and
        covariances, or both.
    ddf : str, optional
        For mixed models, the method for degrees of freedom; see
        :meth:`sm_lmer.results.LMERResults.inference`.
    exponentiate : bool or "auto"
        exp of coefficients and interval ends, with standard errors by the delta
        method; tests stay those of the coefficients. "auto": only for a log, logit or
        cloglog link.
    vcov : str, mapping, callable or array_like, optional
        Another covariance of the coefficients: "HC0" to "HC3" for most models of
        statsmodels; "CR0", "CR1", "CR1S" or "CR2" for LMER; either of these names, or
        "cluster" for statsmodels, with its groups as ``{"cluster": groups}``;
        a function of `res` that gives a matrix; or the matrix.

    Returns
    -------
    DataFrame
        Columns term, estimate, std_error, statistic, df (infinite for normal tests),
        p_value, conf_low, conf_high; effect ("fixed", "random" or "auxiliary"), group
        (grouping factor), type ("coef", "sd", "var", "cor", "cov"), term2 (of
        correlations), component ("conditional", "dispersion", "threshold", ...),
        response (outcome level) and label.

    Raises
    ------
    TypeError
        If nothing knows the class of `res`.
    ValueError
        If the model has no such covariance, or the rows are not told apart.

    Notes
    -----
    Variances have no tests: the value of no variance is on the boundary, where Wald
    tests are wrong.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.tables.tidy import tidy
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> frame = tidy(res, ddf="kenward-roger")
    >>> print(frame[["term", "estimate", "df", "group", "type"]].round(2).to_string())
              term  estimate    df     group  type
    0    Intercept    251.41  17.0            coef
    1         Days     10.47  17.0            coef
    2    Intercept     24.74   NaN   Subject    sd
    3         Days      5.92   NaN   Subject    sd
    4    Intercept      0.07   NaN   Subject   cor
    5  Observation     25.59   NaN  Residual    sd
    """
    if effects not in EFFECTS:
        raise ValueError(
            f"unknown effects {effects!r}; choose one of {', '.join(EFFECTS)}."
        )
    if conf_level is not None and not 0.0 < conf_level < 1.0:
        raise ValueError(f"conf_level must be between 0 and 1, not {conf_level!r}.")
    vcov = vcov(res) if callable(vcov) else vcov
    request = Request(effects, conf_level, ci_method, re_scale, ddf, vcov)
    extractor = extractor_of(res)
    frame = check_tidy(extractor.tidy(res, request), extractor.name)
    if vcov is not None and not extractor.takes_vcov:
        frame = _with_vcov(frame, res, extractor, vcov)
    frame = _completed(frame, conf_level)
    if _to_exponentiate(exponentiate, res, extractor):
        frame = _exponentiated(frame)
    kept = EFFECTS[effects]
    return (
        frame
        if kept is None
        else frame[frame["effect"].isin(kept)].reset_index(drop=True)
    )


def glance(
    res: Any,
    *,
    metrics: str | Sequence[str] = "default",
    ddf: str | None = None,
    vcov: Any = None,
    likelihood: str | None = None,
) -> pd.DataFrame:
    """Statistics of a fitted model, in a frame of one row.

    Parameters
    ----------
    res : object
        See :func:`tidy`.
    metrics : {"default", "all"} or sequence of str
        The usual statistics of its kind of model, all, or those of these names (see
        :data:`sm_lmer.tables.contract.STATISTICS`).
    ddf, vcov : optional
        See :func:`tidy`; they are named in the columns ddf_method and vcov_type.
    likelihood : {"REML", "ML"}, optional
        For LMER, the criterion that aic, bic and loglik come from, taken at the
        estimates of the fit. By default it is that of the fit, as in lme4; R's
        ``performance``, and tables made with it, take the REML criterion for all fits.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.tables.tidy import glance
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> chosen = glance(res, metrics=["nobs", "ngroups_Batch", "icc"])
    >>> print(chosen.round(3).to_string())
       nobs  ngroups_Batch    icc
    0    30              6  0.418
    """
    own = isinstance(metrics, str)
    if own and metrics not in ("default", "all"):
        raise ValueError(
            f"unknown metrics {metrics!r}; choose 'default', 'all' or a list of names."
        )
    asked = str(metrics) if own else "all"
    extractor = extractor_of(res)
    vcov = vcov(res) if callable(vcov) else vcov
    request = Request(ddf=ddf, vcov=vcov, metrics=asked, likelihood=likelihood)
    values = check_glance(extractor.glance(res, request), extractor.name)
    if vcov is not None:
        values["vcov_type"] = std_errors_name(vcov)
    if not own:
        values = {key: values[key] for key in metrics if key in values}
    return pd.DataFrame({key: [value] for key, value in values.items()})


def augment(res: Any, data: pd.DataFrame | None = None) -> pd.DataFrame:
    """The data with fitted values and residuals beside them.

    Parameters
    ----------
    res : object
        See :func:`tidy`.
    data : DataFrame, optional
        The data of the fit, or of the rows used; by default the columns that the model
        keeps.

    Returns
    -------
    DataFrame
        The rows used, with columns ``.fitted`` and ``.resid``; ``.fixed`` (the fixed
        part of the mean) for mixed models; ``.hat`` (leverages) for least squares.

    Raises
    ------
    TypeError
        If the class of `res` has no fitted values that are known here.
    ValueError
        If `data` is not the data of the fit.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.tables.tidy import augment
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> augment(res).columns.to_list()
    ['Yield', 'Batch', '.fitted', '.resid', '.fixed']
    """
    extractor = extractor_of(res)
    if extractor.augment is None:
        raise TypeError(
            f"augment does not know fitted values of {type(unwrapped(res)).__name__}."
        )
    frame = extractor.augment(res)
    if data is None:
        return frame
    ours = frame[[c for c in frame.columns if str(c).startswith(".")]]
    return pd.concat([rows_used(data, ours.index), ours], axis=1)


def notes_of(res: Any, ddf: str | None = None, vcov: Any = None) -> tuple[str, ...]:
    """What a reader of the numbers must know: method, degrees of freedom, warnings.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_dyestuff()
    >>> notes_of(sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit())
    ('Fitted by REML.', 'Degrees of freedom: Satterthwaite.')
    """
    vcov = vcov(res) if callable(vcov) else vcov
    return extractor_of(res).notes(res, Request(ddf=ddf, vcov=vcov))


# -- covariances -----------------------------------------------------------------------


def _with_vcov(
    frame: pd.DataFrame, res: Any, extractor: Extractor, vcov: Any
) -> pd.DataFrame:
    """The frame with standard errors by another covariance, and nothing by the old."""
    fixed = (frame["effect"] == "fixed") & (frame["type"] == "coef")
    if isinstance(vcov, str | Mapping):
        if extractor.vcov is None or not isinstance(vcov, str):
            raise ValueError(
                f"vcov={vcov!r} is not available for {extractor.name}; pass a matrix "
                "or a function of the results that gives one."
            )
        vcov = extractor.vcov(res, vcov)
    matrix = as_matrix(res, vcov, int(fixed.sum()))
    out = frame.copy()
    out.loc[fixed, "std_error"] = np.sqrt(np.diag(matrix))
    out.loc[fixed, ["statistic", "p_value", "conf_low", "conf_high"]] = np.nan
    out.loc[fixed, "df"] = out.loc[fixed, "df"].fillna(np.inf)
    return out


# -- what follows from estimates, standard errors and degrees of freedom ---------------


def _completed(frame: pd.DataFrame, conf_level: float | None) -> pd.DataFrame:
    """The frame with statistics, p values and intervals where they are missing."""
    out = frame.copy()
    if conf_level is None:
        out[["conf_low", "conf_high"]] = np.nan
    tested = (out["type"] == "coef") & (out["component"] != "dispersion")
    estimate, se, df = (_array(out, c) for c in ("estimate", "std_error", "df"))
    with np.errstate(divide="ignore", invalid="ignore"):
        _fill(out, "statistic", tested, estimate / se)
    p_value = 2.0 * t_tail(np.abs(_array(out, "statistic")), df)
    _fill(out, "p_value", tested & ~np.isnan(df), p_value)
    if conf_level is not None:
        half = t_quantile(0.5 + 0.5 * conf_level, df) * se
        _fill(out, "conf_low", tested, estimate - half)
        _fill(out, "conf_high", tested, estimate + half)
    return out


def _array(frame: pd.DataFrame, column: str) -> FloatArray:
    return frame[column].to_numpy(dtype=np.float64)


def _fill(frame: pd.DataFrame, column: str, rows: Any, values: FloatArray) -> None:
    missing = rows & frame[column].isna()
    frame[column] = frame[column].where(~missing, values)


# -- exponentiated coefficients --------------------------------------------------------


def _to_exponentiate(asked: bool | str, res: Any, extractor: Extractor) -> bool:
    if asked == "auto":
        return extractor.link(res) in LOG_LINKS
    if asked in (True, False):
        return bool(asked)
    raise ValueError(f"exponentiate is True, False or 'auto', not {asked!r}.")


def _exponentiated(frame: pd.DataFrame) -> pd.DataFrame:
    """exp of coefficients and their intervals; standard errors by the delta method."""
    out = frame.copy()
    rows = (out["type"] == "coef") & (out["effect"] == "fixed")
    rows &= ~out["component"].isin(["threshold", "dispersion"])
    ends = ["estimate", "conf_low", "conf_high"]
    with np.errstate(over="ignore"):
        out.loc[rows, ends] = np.exp(out.loc[rows, ends])
    out.loc[rows, "std_error"] *= out.loc[rows, "estimate"]
    return out
