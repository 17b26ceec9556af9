"""Results of any class, by conventions: maketables' hooks, broom's methods, guessing.

Intervals of others are kept only if their level is the one that was asked for. Where
there are none, they follow from a standard error and the distribution that the p values
show to be meant; without that they are left out.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...inference.hypotheses import t_tail
from ..contract import STATISTICS, statistic_position, with_our_names
from ..dispatch import PACKAGES, Extractor, Request
from ..random_labels import RESIDUAL

FloatArray = NDArray[np.float64]

CHOICES = (
    "register a function with register_tidier, or give the class methods __sm_tidy__ "
    "and __sm_glance__, or tidy and glance"
)


def extractor_of(res: Any) -> Extractor:
    """How a result is read by what attributes it has.

    Parameters
    ----------
    res : object

    Raises
    ------
    TypeError
        If it follows none of the conventions.
    """
    name = type(res).__name__
    if hasattr(res, "__maketables_coef_table__"):
        return Extractor(name, _maketables_tidy, _maketables_glance)
    if callable(getattr(res, "tidy", None)):
        return Extractor(name, _broom_tidy, _broom_glance)
    if all(hasattr(res, attribute) for attribute in ("params", "bse", "pvalues")):
        return Extractor(name, _guessed_tidy, _guessed_glance)
    raise TypeError(
        f"nothing knows how to read {type(res).__module__}.{type(res).__qualname__}; "
        f"pass fitted results of {', '.join(PACKAGES)}, or {CHOICES}."
    )


# -- maketables ------------------------------------------------------------------------

MAKETABLES_STATISTICS = {
    "nobs": "N",
    "r2": "r2",
    "r2_adj": "adj_r2",
    "r2_within": "r2_within",
    "r2_pseudo": "pseudo_r2",
    "aic": "aic",
    "bic": "bic",
    "loglik": "ll",
    "rmse": "rmse",
    "deviance": "deviance",
    "df_residual": "df_resid",
    "f_statistic": "fvalue",
    "vcov_type": "se_type",
}
"""Our statistics by their keys in maketables."""


def _maketables_tidy(res: Any, request: Request) -> pd.DataFrame:
    table = _called(res.__maketables_coef_table__)
    labels = _called(getattr(res, "__maketables_var_labels__", None)) or {}
    low, high = _interval_columns(request.conf_level)
    ours = table.rename(columns={low: "conf_low", high: "conf_high"})
    ours = ours[[c for c in ours.columns if not _is_interval(c)]]
    frame = with_our_names(ours)
    frame["label"] = [str(labels.get(term, "")) for term in frame["term"]]
    return _with_df(frame, _maketables_statistic(res, "df_resid"))


def _interval_columns(level: float | None) -> tuple[str, str]:
    percent = f"{100 * (level or 0.95):g}"
    return f"ci{percent}l", f"ci{percent}u"


def _is_interval(column: Any) -> bool:
    return str(column).startswith("ci") and str(column)[2:-1].isdigit()


def _maketables_glance(res: Any, request: Request) -> Mapping[str, Any]:
    out = {
        ours: _maketables_statistic(res, theirs)
        for ours, theirs in MAKETABLES_STATISTICS.items()
    }
    labels = _called(getattr(res, "__maketables_stat_labels__", None)) or {}
    keys = _called(getattr(res, "__maketables_default_stat_keys__", None)) or []
    for key in keys:
        if key not in MAKETABLES_STATISTICS.values():
            out[str(labels.get(key, key))] = _maketables_statistic(res, key)
    out["depvar"] = _called(getattr(res, "__maketables_depvar__", None))
    factors = _called(getattr(res, "__maketables_fixef_string__", None)) or ""
    names = (name.strip() for name in str(factors).split("+"))
    return {**out, **{f"FE: {name}": "X" for name in names if name}}


def _maketables_statistic(res: Any, key: str) -> Any:
    """A statistic, or None if the result has no such one or cannot tell."""
    ask = getattr(res, "__maketables_stat__", None)
    if ask is None:
        return None
    try:
        return ask(key)
    except (KeyError, AttributeError, ValueError):
        return None


def _called(member: Any) -> Any:
    """A property's value, or what a method returns."""
    return member() if callable(member) else member


# -- broom -----------------------------------------------------------------------------

BROOM_STATISTICS = {
    "adj.r.squared": "r2_adj",
    "r.squared": "r2",
    "logLik": "loglik",
    "log_lik": "loglik",
    "llf": "loglik",
    "AIC": "aic",
    "BIC": "bic",
    "REML": "reml",
    "df.residual": "df_residual",
    "rsquared": "r2",
    "rsquared_adj": "r2_adj",
}
"""Statistics by broom's names and others'."""

KINDS = ("sd", "var", "cor", "cov")
"""Kinds of parameters of the random part in broom.mixed's names."""


def _broom_tidy(res: Any, request: Request) -> pd.DataFrame:
    given = _broom_arguments(res.tidy, request)
    leveled = "conf_level" in given or "alpha" in given
    frame = with_our_names(_pandas(res.tidy(**given)))
    if not leveled and request.conf_level != 0.95:
        frame = frame.drop(columns=["conf_low", "conf_high"], errors="ignore")
    if "effect" in frame.columns:
        frame = frame[frame["effect"] != "ran_vals"].reset_index(drop=True)
        frame = _random_part(frame)
    return frame if "df" in frame.columns else _with_df(frame, _df_residual(res))


def _broom_arguments(tidy: Any, request: Request) -> dict[str, Any]:
    """What the method has parameters for, by broom's names."""
    level = request.conf_level
    wanted: dict[str, Any] = {"effects": ["fixed", "ran_pars"]}
    if level is not None:
        wanted |= {"conf_int": True, "conf_level": level, "alpha": 1 - level}
    parameters = inspect.signature(tidy).parameters
    return {name: value for name, value in wanted.items() if name in parameters}


def _random_part(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with broom.mixed's rows ``cor__(Intercept).x`` as ours are."""
    out = frame.copy()
    rows = out.index[out["effect"] == "ran_pars"]
    out["type"], out["term2"] = "coef", ""
    for row in rows:
        kind, _, name = str(out.loc[row, "term"]).partition("__")
        if kind not in KINDS:
            raise ValueError(
                f"the row {out.loc[row, 'term']!r} of the random part is none of "
                f"broom.mixed's, which start with {', '.join(k + '__' for k in KINDS)}."
            )
        first, _, second = name.partition(".") if kind in KINDS[2:] else (name, "", "")
        out.loc[row, ["effect", "type", "term", "term2"]] = (
            "random",
            kind,
            _intercept(first),
            _intercept(second),
        )
    residual = (out["effect"] == "random") & (out["term"] == "Observation")
    out.loc[residual, "group"] = RESIDUAL
    out["term"] = [_intercept(str(term)) for term in out["term"]]
    return out


def _intercept(name: str) -> str:
    return "Intercept" if name == "(Intercept)" else name


def _broom_glance(res: Any, request: Request) -> Mapping[str, Any]:
    method = getattr(res, "glance", None)
    if not callable(method):
        return {}
    frame = _pandas(method())
    own = {BROOM_STATISTICS.get(c, str(c)): frame[c].iloc[0] for c in frame.columns}
    return {key: _plain(value) for key, value in own.items() if _is_statistic(key)}


def _is_statistic(key: str) -> bool:
    """Whether tables have a place for it; a frame of another package has more."""
    return statistic_position(key) < len(STATISTICS)


def _pandas(frame: Any) -> pd.DataFrame:
    """A data frame of pandas from one of another library."""
    if isinstance(frame, pd.DataFrame):
        return frame
    out: pd.DataFrame = frame.to_pandas()
    return out


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


# -- guessing --------------------------------------------------------------------------

GUESSED_STATISTICS = {
    "nobs": "nobs",
    "r2": "rsquared",
    "r2_adj": "rsquared_adj",
    "aic": "aic",
    "bic": "bic",
    "loglik": "llf",
    "df_residual": "df_resid",
}
"""Statistics by statsmodels' names of attributes."""


def _guessed_tidy(res: Any, request: Request) -> pd.DataFrame:
    warnings.warn(
        f"the results of {type(res).__name__} are read by their attributes params, bse "
        f"and pvalues, which may be on scales of their own; to be sure, {CHOICES}.",
        UserWarning,
        stacklevel=2,
    )
    estimates = np.asarray(res.params, dtype=np.float64)
    if estimates.ndim != 1:
        raise TypeError(
            f"params of {type(res).__name__} has {estimates.ndim} dimensions, not one; "
            f"{CHOICES}."
        )
    frame = pd.DataFrame(
        {
            "term": _names(res, len(estimates)),
            "estimate": estimates,
            "std_error": np.asarray(res.bse, dtype=np.float64),
            "p_value": np.asarray(res.pvalues, dtype=np.float64),
        }
    )
    frame["statistic"] = frame["estimate"] / frame["std_error"]
    return _with_df(frame, _df_residual(res))


def _names(res: Any, count: int) -> list[str]:
    """Names of the coefficients: of their index, or of the model's columns."""
    if isinstance(res.params, pd.Series):
        return [str(name) for name in res.params.index]
    model = getattr(res, "model", None)
    names: Sequence[Any] | None = getattr(model, "exog_names", None)
    if names is None or len(names) != count:
        return [f"x{k + 1}" for k in range(count)]
    return [str(name) for name in names]


def _guessed_glance(res: Any, request: Request) -> Mapping[str, Any]:
    values = {
        ours: getattr(res, theirs, None) for ours, theirs in GUESSED_STATISTICS.items()
    }
    numbers = {
        k: v for k, v in values.items() if isinstance(v, int | float | np.number)
    }
    depvar = getattr(getattr(res, "model", None), "endog_names", None)
    return {**{k: float(v) for k, v in numbers.items()}, "depvar": depvar}


# -- degrees of freedom ----------------------------------------------------------------


def _df_residual(res: Any) -> Any:
    return getattr(res, "df_resid", None)


def _with_df(frame: pd.DataFrame, df_residual: Any) -> pd.DataFrame:
    """The frame with the degrees of freedom that reproduce its p values, if any do."""
    if not {"std_error", "p_value"} <= set(frame.columns):
        return frame
    estimate, se, p = (
        pd.to_numeric(frame[c]).to_numpy(dtype=np.float64)
        for c in ("estimate", "std_error", "p_value")
    )
    statistic = np.abs(estimate / se)
    return frame.assign(df=_reproducing(statistic, p, [np.inf, df_residual]))


def _reproducing(statistic: FloatArray, p: FloatArray, dfs: Iterable[Any]) -> float:
    """The first of the degrees of freedom by which the p values are two-sided."""
    known = np.isfinite(statistic) & np.isfinite(p)
    for df in dfs:
        if not isinstance(df, int | float | np.number) or not known.any():
            continue
        expected = 2.0 * t_tail(statistic[known], np.full(known.sum(), float(df)))
        if np.allclose(expected, p[known], rtol=1e-4, atol=1e-12):
            return float(df)
    return float("nan")
