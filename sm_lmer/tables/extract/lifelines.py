"""Results of lifelines: Cox models and parametric models of durations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..dispatch import Extractor, Request

MAIN = "beta_"
"""The parameter of the covariates in Cox models with a parametric baseline."""


def _tidy(res: Any, request: Request) -> pd.DataFrame:
    summary = _fitted(res).summary
    frame = pd.DataFrame(
        {
            "estimate": summary["coef"].to_numpy(),
            "std_error": summary["se(coef)"].to_numpy(),
            "statistic": summary["z"].to_numpy(),
            "df": np.inf,
            "p_value": summary["p"].to_numpy(),
        }
    )
    if summary.index.nlevels == 1:
        return frame.assign(term=[str(name) for name in summary.index])
    parameters = [str(name) for name in summary.index.get_level_values(0)]
    main = getattr(res, "_primary_parameter_name", MAIN)
    return frame.assign(
        term=[str(name) for name in summary.index.get_level_values(1)],
        component=["conditional" if name == main else name for name in parameters],
        effect=["fixed" if name == main else "auxiliary" for name in parameters],
    )


def _glance(res: Any, request: Request) -> Mapping[str, Any]:
    events = np.asarray(_fitted(res).event_observed, dtype=bool)
    loglik = float(res.log_likelihood_)
    size = len(res.summary)
    cox = not _is_parametric(res)
    return {
        "nobs": float(len(events)),
        "nevents": float(events.sum()),
        "aic": 2 * size - 2 * loglik,
        "bic": np.nan if cox else size * np.log(len(events)) - 2 * loglik,
        "loglik": loglik,
        "concordance": float(getattr(res, "concordance_index_", np.nan)),
        "depvar": str(getattr(res, "duration_col", None) or ""),
        "estimator": type(res).__name__.removesuffix("Fitter"),
        "vcov_type": _covariance(res),
    }


def _fitted(res: Any) -> Any:
    """The fitter, which is the model and its results in one.

    Raises
    ------
    ValueError
        If it is not fitted.
    """
    if not hasattr(res, "params_"):
        raise ValueError(
            f"this {type(res).__name__} is not fitted; call its method fit first."
        )
    return res


def _is_parametric(res: Any) -> bool:
    """Whether its likelihood is a full one, which only Cox's usual one is not."""
    return res.summary.index.nlevels > 1 or not hasattr(res, "AIC_partial_")


def _covariance(res: Any) -> str:
    cluster = getattr(res, "cluster_col", None)
    if cluster is not None:
        return f"by: {cluster}"
    return "Robust" if getattr(res, "robust", False) else ""


def _link(res: Any) -> str:
    return "log"


def _no_link(res: Any) -> str:
    return "identity"


CLASSES = {
    "lifelines.fitters:RegressionFitter": Extractor(
        "lifelines", _tidy, _glance, link=_link
    ),
    "lifelines.fitters:ParametricUnivariateFitter": Extractor(
        "lifelines", _tidy, _glance, link=_no_link
    ),
}
"""Extractors by the classes that they read."""
