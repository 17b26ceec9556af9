"""What tidy and glance frames hold: columns, keys, labels.

A tidy frame has one row a parameter. ``term`` and ``estimate`` are required; a row is
told from the others by its :data:`KEY`. A glance frame has one row a model, and
:data:`STATISTICS` says how each of its columns is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .numbers import Format

KEY = ("component", "response", "effect", "group", "type", "term", "term2")
"""Columns that together name a row of a tidy frame."""

NUMBERS = (
    "estimate",
    "std_error",
    "statistic",
    "df",
    "p_value",
    "conf_low",
    "conf_high",
)
"""Numeric columns of a tidy frame."""

TEXTS = {
    "term": "",
    "effect": "fixed",
    "group": "",
    "type": "coef",
    "term2": "",
    "component": "conditional",
    "response": "",
    "label": "",
}
"""Text columns of a tidy frame, with what stands where they are not given."""

SPELLINGS = {
    "std.error": "std_error",
    "se": "std_error",
    "p.value": "p_value",
    "pvalue": "p_value",
    "p": "p_value",
    "conf.low": "conf_low",
    "conf.high": "conf_high",
    "ci95l": "conf_low",
    "ci95u": "conf_high",
    "b": "estimate",
    "t": "statistic",
    "Estimate": "estimate",
    "Std. Error": "std_error",
    "t value": "statistic",
    "Pr(>|t|)": "p_value",
    "2.5%": "conf_low",
    "97.5%": "conf_high",
    "Coefficient": "term",
    "y.level": "response",
}
"""How broom, pyfixest and maketables call our columns."""


@dataclass(frozen=True)
class Statistic:
    """A column of a glance frame: how it is labelled and formatted.

    Parameters
    ----------
    key : str
        The column, or the part before a grouping factor's name if it ends in ``_``.
    label : str
    fmt : int, str, callable or None
        Decimals or another format; None for text.
    shown : bool
        Whether tables show it unasked.
    """

    key: str
    label: str
    fmt: Format | None
    shown: bool = True


STATISTICS = (
    Statistic("nobs", "Num.Obs.", 0),
    Statistic("ngroups_", "Num.Groups: ", 0),
    Statistic("nevents", "Num.Events", 0),
    Statistic("r2", "R2", 3),
    Statistic("r2_adj", "R2 Adj.", 3),
    Statistic("r2_within", "R2 Within", 3),
    Statistic("r2_pseudo", "R2 Pseudo", 3),
    Statistic("r2_marginal", "R2 Marg.", 3),
    Statistic("r2_conditional", "R2 Cond.", 3),
    Statistic("aic", "AIC", 1),
    Statistic("bic", "BIC", 1),
    Statistic("icc", "ICC", 3),
    Statistic("loglik", "Log.Lik.", 3),
    Statistic("f_statistic", "F", 3),
    Statistic("rmse", "RMSE", 2),
    Statistic("vcov_type", "Std.Errors", None),
    Statistic("sigma", "Sigma", 3, shown=False),
    Statistic("deviance", "Deviance", 3, shown=False),
    Statistic("remlcrit", "REML Crit.", 3, shown=False),
    Statistic("df_residual", "Df Resid.", 0, shown=False),
    Statistic("ddf_method", "Df Method", None, shown=False),
    Statistic("estimator", "Estimator", None, shown=False),
    Statistic("depvar", "Dep. Var.", None, shown=False),
    Statistic("reml", "REML", None, shown=False),
    Statistic("converged", "Converged", None, shown=False),
    Statistic("singular", "Singular", None, shown=False),
)
"""The statistics that are known, in the order in which tables show them."""


def check_tidy(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """A tidy frame with our column names, all key columns, and unique rows.

    Parameters
    ----------
    frame : DataFrame
        With the terms in a column or in the index.
    source : str
        Where it comes from, for messages.

    Raises
    ------
    ValueError
        If ``term`` or ``estimate`` is missing, or two rows have the same key.
    """
    out = with_our_names(frame)
    for column in ("term", "estimate"):
        if column not in out.columns:
            raise ValueError(f"the tidy frame of {source} has no column {column!r}.")
    columns: dict[str, Any] = {"term": _texts(out, "term")}
    columns |= {name: _numbers(out, name) for name in NUMBERS}
    columns |= {name: _texts(out, name) for name in TEXTS}
    others = [c for c in out.columns if c not in columns]
    columns |= {name: out[name].to_numpy() for name in others}
    out = pd.DataFrame(columns)
    clashes = out[out.duplicated(list(KEY), keep=False)]
    if len(clashes):
        names = ", ".join(dict.fromkeys(clashes["term"]))
        raise ValueError(
            f"the tidy frame of {source} has several rows for {names}; tell them apart "
            "by a column response, component or group."
        )
    return out


def _texts(frame: pd.DataFrame, name: str) -> NDArray[np.object_]:
    """A text column, with its default where it says nothing."""
    default = TEXTS[name]
    if name not in frame.columns:
        return np.full(len(frame), default, dtype=object)
    values = frame[name].to_numpy(dtype=object)
    missing = pd.isna(values)
    texts = [
        default if gone else str(v) for v, gone in zip(values, missing, strict=True)
    ]
    return np.array(texts, dtype=object)


def _numbers(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A numeric column, nan where it is not given."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    return pd.to_numeric(frame[name]).to_numpy(dtype=np.float64, na_value=np.nan)


def with_our_names(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose columns have our names, and whose terms are in a column.

    A column of another package is renamed only if ours is not there, too, and only
    the first of several that mean the same.
    """
    names = {
        column: SPELLINGS[column]
        for column in reversed([c for c in frame.columns if c in SPELLINGS])
        if SPELLINGS[column] not in frame.columns
    }
    first = {ours: column for column, ours in names.items()}
    out = frame.rename(columns={column: ours for ours, column in first.items()})
    labelled = not isinstance(out.index, pd.RangeIndex | pd.MultiIndex)
    if "term" not in out.columns and labelled:
        out = out.rename_axis("term").reset_index()
    return out


def check_glance(values: Any, source: str) -> dict[str, Any]:
    """A glance frame of one row, or a mapping, as a dict without missing values."""
    if isinstance(values, pd.DataFrame):
        if len(values) != 1:
            raise ValueError(
                f"the glance frame of {source} has {len(values)} rows; it must have "
                "one."
            )
        values = values.iloc[0].to_dict()
    return {
        str(key): value for key, value in dict(values).items() if not _missing(value)
    }


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def statistic_of(key: str) -> Statistic:
    """How a column of a glance frame is shown; one that is not known as it is."""
    for known in STATISTICS:
        if key == known.key:
            return known
        if known.key.endswith("_") and key.startswith(known.key):
            rest = key[len(known.key) :]
            return Statistic(key, known.label + rest, known.fmt, known.shown)
    return Statistic(key, key, 3)


def statistic_position(key: str) -> int:
    """Where tables show a column of a glance frame; unknown ones come last."""
    for position, known in enumerate(STATISTICS):
        if key == known.key or (known.key.endswith("_") and key.startswith(known.key)):
            return position
    return len(STATISTICS)
