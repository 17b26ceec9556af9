"""What all results of statsmodels share: names, covariances, tests, fitted values."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.base.covtype import get_robustcov_results

from ..covariance import as_matrix, named_with_groups, std_errors_name
from ..dispatch import Request, unwrapped
from ..rows import rows_used

FloatArray = NDArray[np.float64]

ROBUST = ("HC0", "HC1", "HC2", "HC3", "cluster", "nonrobust")
"""Covariances by name of models with independent rows or clusters."""

USUAL = ("nonrobust", "approx", "oim", "opg", "")
"""Types of covariances that need no mention."""


def parameter_names(res: Any) -> list[str]:
    """Names of the parameters, also of results whose params are bare arrays."""
    count = np.asarray(res.params).shape[0]
    data = getattr(res.model, "data", None)
    for names in (
        getattr(data, "param_names", None),
        getattr(res.model, "param_names", None),
        getattr(res.model, "exog_names", None),
    ):
        if names is not None and len(names) == count:
            return [str(name) for name in names]
    return [f"x{k + 1}" for k in range(count)]


def degrees_of_freedom(res: Any) -> float:
    """Of the t tests; infinite if tests are normal."""
    if not getattr(res, "use_t", False):
        return np.inf
    return float(getattr(res, "df_resid_inference", None) or res.df_resid)


def with_vcov(
    res: Any, vcov: Any, names: tuple[str, ...] = ROBUST
) -> tuple[Any, FloatArray]:
    """The results whose tests are meant, and the covariance of all parameters.

    Parameters
    ----------
    res : results, unwrapped
    vcov : str, mapping, callable, array_like or None
    names : tuple of str
        Names that the model knows.

    Raises
    ------
    ValueError
        If it has no such covariance.
    """
    if isinstance(vcov, str | Mapping):
        name, groups = named_with_groups(vcov)
        check_name(res, name, names)
        res = _robust(res, name, groups)
        vcov = None
    if vcov is None:
        return res, np.asarray(res.cov_params(), dtype=np.float64)
    return res, as_matrix(res, vcov, np.asarray(res.params).size)


def check_name(res: Any, name: str, names: Sequence[str]) -> None:
    """Raise ValueError if results have no covariance of that name."""
    if name in names:
        return
    known = [n if n != "cluster" else "{'cluster': groups}" for n in names]
    choice = f"choose one of {', '.join(known)}, or " if known else ""
    raise ValueError(
        f"vcov={name!r} is not available for {type(res).__name__}; {choice}pass a "
        "matrix or a function of the results that gives one."
    )


def _robust(res: Any, name: str, groups: Any) -> Any:
    """The same results with a covariance that statsmodels has a name for."""
    if (name == "cluster") != (groups is not None):
        raise ValueError(
            "vcov='cluster' needs groups, and other names take none; pass "
            "{'cluster': groups} with one label a row or the name of a column."
        )
    settings = {} if groups is None else {"groups": _labels(res, groups)}
    if hasattr(res, "get_robustcov_results"):
        return unwrapped(res.get_robustcov_results(name, **settings))
    other = copy.copy(res)
    other._cache = {}
    vars(other).pop("cov_params_default", None)
    if name == "nonrobust":
        other.cov_type = name
    else:
        get_robustcov_results(other, name, use_self=True, **settings)
    return other


def _labels(res: Any, groups: Any) -> NDArray[np.int_]:
    """Codes of the clusters of the rows used."""
    data = res.model.data
    if isinstance(groups, str):
        frame = getattr(data, "frame", None)
        if frame is None or groups not in frame.columns:
            raise ValueError(f"the data of the model have no column {groups!r}.")
        groups = frame.loc[data.row_labels, groups]
    codes, _ = pd.factorize(np.asarray(groups))
    if len(codes) != len(data.endog) or (codes < 0).any():
        raise ValueError(
            f"the groups need one label that is not missing for each of the "
            f"{len(data.endog)} rows used."
        )
    return codes


def coefficients(
    names: Sequence[str], estimates: Any, cov: FloatArray, df: float
) -> pd.DataFrame:
    """Tidy rows of coefficients; the tests follow from them."""
    with np.errstate(invalid="ignore"):
        se = np.sqrt(np.diag(cov))
    return pd.DataFrame(
        {
            "term": list(names),
            "estimate": np.asarray(estimates, dtype=np.float64),
            "std_error": se,
            "df": df,
        }
    )


def no_scales(res: Any) -> int:
    """Number of parameters of scale of a model that has none among its params."""
    return 0


def tidy_with(
    names: tuple[str, ...], scales: Callable[[Any], int] = no_scales
) -> Callable[[Any, Request], pd.DataFrame]:
    """The reader of the parameters of a kind of model.

    Parameters
    ----------
    names : tuple of str
        Covariances that it knows by name.
    scales : callable
        How many of the last parameters of a result are parameters of scale.
    """

    def tidy(res: Any, request: Request) -> pd.DataFrame:
        inner = unwrapped(res)
        tested, cov = with_vcov(inner, request.vcov, names)
        df = degrees_of_freedom(tested)
        frame = coefficients(parameter_names(inner), inner.params, cov, df)
        last = np.arange(len(frame)) >= len(frame) - scales(inner)
        return with_scales(frame, last)

    return tidy


def with_scales(frame: pd.DataFrame, scale: NDArray[np.bool_]) -> pd.DataFrame:
    """The frame with some rows marked as parameters of scale, which have no tests."""
    return frame.assign(
        effect=np.where(scale, "auxiliary", "fixed"),
        component=np.where(scale, "dispersion", "conditional"),
        df=frame["df"].where(~scale),
    )


def notes(res: Any, request: Request) -> tuple[str, ...]:
    """Which standard errors, if not the usual ones; whether the fit converged."""
    inner = unwrapped(res)
    name = robust_name(inner)
    if request.vcov is not None:
        name = std_errors_name(request.vcov)
    out = [f"Standard errors: {name}."] if name else []
    if converged(inner) is False:
        out.append("The fit did not converge.")
    return tuple(out)


def robust_name(res: Any) -> str:
    """The covariance of a fit; empty for the usual one."""
    name = str(getattr(res, "cov_type", ""))
    return "" if name in USUAL else name


def converged(res: Any) -> bool | None:
    """Whether a search converged, if there was one that says so."""
    values = getattr(res, "mle_retvals", None)
    found = values.get("converged") if isinstance(values, Mapping) else None
    found = getattr(res, "converged", None) if found is None else found
    return None if found is None else bool(np.all(found))


def number(res: Any, name: str) -> float:
    """A statistic as a float; nan where the results do not have it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(getattr(res, name))
    except (AttributeError, NotImplementedError):
        return np.nan


def common_statistics(res: Any, estimator: str = "") -> dict[str, Any]:
    """Statistics that every fit has."""
    response = getattr(res.model, "endog_names", None) or ""
    out = {
        "nobs": count(number(res, "nobs")),
        "depvar": response if isinstance(response, str) else ", ".join(response),
        "estimator": estimator or type(res.model).__name__,
        "vcov_type": robust_name(res),
        "converged": converged(res),
    }
    return {key: value for key, value in out.items() if value != ""}


def count(value: float) -> float | int:
    """A number of things as an integer where it is one."""
    return int(value) if float(value).is_integer() else value


def likelihood_statistics(res: Any) -> dict[str, Any]:
    """Information criteria and what they come from, by statsmodels' own definition."""
    return {
        "aic": number(res, "aic"),
        "bic": number(res, "bic_llf" if hasattr(type(res), "bic_llf") else "bic"),
        "loglik": number(res, "llf"),
    }


def root_mean_square(residuals: Any) -> float:
    """Of residuals; nan if there are none."""
    values = np.asarray(residuals, dtype=np.float64)
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else np.nan


def augmented(res: Any, fitted: Any, resid: Any, **more: Any) -> pd.DataFrame:
    """The data of the rows used with columns of fitted values and residuals."""
    data = unwrapped(res).model.data
    labels = data.row_labels
    index = getattr(fitted, "index", None)
    if index is None:
        usable = labels is not None and len(labels) == len(fitted)
        index = labels if usable else pd.RangeIndex(len(fitted))
    columns = {".fitted": fitted, ".resid": resid, **more}
    own = pd.DataFrame({k: np.asarray(v) for k, v in columns.items()}, index=index)
    frame = getattr(data, "frame", None)
    if frame is None:
        frame = _arrays(data)
    return pd.concat([rows_used(frame, own.index), own], axis=1)


def _arrays(data: Any) -> pd.DataFrame:
    """The response and the predictors of a model without a formula."""
    parts = [pd.DataFrame(np.asarray(data.endog))]
    names = data.ynames
    parts[0].columns = pd.Index([names] if isinstance(names, str) else list(names))
    if data.exog is not None and len(data.exog) == len(data.endog):
        exog = pd.DataFrame(np.asarray(data.exog))
        if len(data.xnames) >= exog.shape[1]:
            exog.columns = pd.Index(data.xnames[: exog.shape[1]])
        parts.append(exog)
    frame = pd.concat(parts, axis=1)
    return frame if data.row_labels is None else frame.set_axis(data.row_labels)
