"""Results of linearmodels: panels, instrumental variables, systems of equations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..dispatch import Extractor, Request


def _tidy(res: Any, request: Request) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "term": [str(name) for name in res.params.index],
            "estimate": np.asarray(res.params),
            "std_error": np.asarray(res.std_errors),
            "statistic": np.asarray(res.tstats),
            "df": float(res.df_resid) if res._debiased else np.inf,
            "p_value": np.asarray(res.pvalues),
        }
    )


def _tidy_system(res: Any, request: Request) -> pd.DataFrame:
    """Terms by their names in each equation; those of the system repeat its label."""
    terms = [str(t) for e in res.equations.values() for t in e.params.index]
    labels = [str(name) for name, e in res.equations.items() for _ in e.params.index]
    return _tidy(res, request).assign(term=terms, response=labels)


def _glance_panel(res: Any, request: Request) -> Mapping[str, Any]:
    entity, time = _index_names(res)
    effects = getattr(res, "included_effects", [])
    named = {"Entity": entity, "Time": time}
    return {
        **_common(res),
        f"ngroups_{entity}": float(res.entity_info["total"]),
        "r2_within": _r2_within(res),
        "loglik": float(res.loglik),
        "rmse": _root_mean_square(res.idiosyncratic) if effects else np.nan,
        "depvar": str(res.model.dependent.vars[0]),
        "estimator": res.name,
        "vcov_type": _words(res._cov_type),
        **{f"FE: {_effect(effect, named)}": "X" for effect in effects},
    }


def _effect(name: str, named: Mapping[str, str]) -> str:
    """What an effect is of: of "Other Effect (state)", the column."""
    inside = re.fullmatch(r"Other Effect \((.*)\)", name)
    return inside.group(1) if inside else named.get(name, name)


def _r2_within(res: Any) -> float:
    """Of models with effects of the entities, which decompose the variance."""
    has_effects = hasattr(res, "variance_decomposition")
    return float(res.rsquared_within) if has_effects else np.nan


def _index_names(res: Any) -> tuple[str, str]:
    """What the two levels of the panel's index are called."""
    entity, time = res.model.dependent.index.names
    return str(entity or "entity"), str(time or "time")


def _glance_iv(res: Any, request: Request) -> Mapping[str, Any]:
    return {
        **_common(res),
        "r2_adj": float(res.rsquared_adj),
        "rmse": _root_mean_square(res.resids),
        "depvar": _dependent(res),
        "estimator": str(res.method),
        "vcov_type": _words(res.cov_type),
        **{f"FE: {name}": "X" for name in _absorbed(res)},
    }


def _dependent(res: Any) -> str:
    variable = res.model.dependent
    return str((variable.cols if hasattr(variable, "cols") else variable.columns)[0])


def _absorbed(res: Any) -> list[str]:
    """Columns that AbsorbingLS took out."""
    frame = getattr(res.model, "_absorb", None)
    return [] if frame is None else [str(name) for name in frame.columns]


def _glance_system(res: Any, request: Request) -> Mapping[str, Any]:
    names = [str(name) for name in res.equation_labels]
    return {
        "nobs": float(res.nobs),
        "r2": float(res.rsquared),
        "depvar": ", ".join(names),
        "estimator": res.method,
        "vcov_type": _words(res.cov_estimator),
    }


def _common(res: Any) -> dict[str, Any]:
    return {
        "nobs": float(res.nobs),
        "r2": float(res.rsquared),
        "df_residual": float(res.df_resid),
        "f_statistic": float(res.f_statistic.stat),
        "sigma": float(np.sqrt(res.s2)),
    }


def _root_mean_square(residuals: Any) -> float:
    return float(np.sqrt(np.mean(np.asarray(residuals) ** 2)))


def _words(covariance: Any) -> str:
    """What an estimator of the covariance is called: "Robust", "Clustered", ..."""
    text = str(covariance).splitlines()[0].strip()
    return text[:1].upper() + text[1:]


def _vcov(res: Any, name: str) -> np.ndarray:
    """The covariance after fitting again with another estimator of it.

    Raises
    ------
    ValueError
        If the other fit has other coefficients, as after options of `fit` that the
        results do not keep.
    """
    again = res.model.fit(cov_type=name, debiased=res._debiased)
    if not np.allclose(again.params, res.params, rtol=1e-6):
        raise ValueError(
            f"vcov={name!r} means fitting {res.model.__class__.__name__} again, and "
            "that gives other coefficients; fit the model with cov_type= and pass "
            "those results."
        )
    return np.asarray(again.cov)


CLASSES = {
    "linearmodels.panel.results:PanelResults": Extractor(
        "linearmodels", _tidy, _glance_panel, vcov=_vcov
    ),
    "linearmodels.iv.results:_LSModelResultsBase": Extractor(
        "linearmodels", _tidy, _glance_iv, vcov=_vcov
    ),
    "linearmodels.system.results:SystemResults": Extractor(
        "linearmodels", _tidy_system, _glance_system
    ),
}
"""Extractors by the classes that they read."""
