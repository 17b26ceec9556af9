"""Results of statsmodels: least squares, time series, and all that is not special."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..covariance import as_matrix
from ..dispatch import Extractor, Request, unwrapped
from . import statsmodels_discrete, statsmodels_mixed
from .statsmodels_common import (
    ROBUST,
    augmented,
    check_name,
    coefficients,
    common_statistics,
    count,
    likelihood_statistics,
    notes,
    number,
    parameter_names,
    root_mean_square,
    tidy_with,
    with_scales,
)

Glance = Callable[[Any, Request], Mapping[str, Any]]


def _extractor(glance: Glance, **more: Any) -> Extractor:
    settings = {"tidy": tidy_with(()), "notes": notes, "takes_vcov": True, **more}
    return Extractor("statsmodels", glance=glance, **settings)


# -- least squares ---------------------------------------------------------------------


def _glance_linear(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    return {
        **common_statistics(inner),
        "r2": number(inner, "rsquared"),
        "r2_adj": number(inner, "rsquared_adj"),
        **likelihood_statistics(inner),
        "f_statistic": number(inner, "fvalue"),
        "rmse": root_mean_square(inner.resid),
        "sigma": float(np.sqrt(inner.scale)),
        "df_residual": number(inner, "df_resid"),
    }


def _glance_quantile(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    return {
        **common_statistics(inner, f"QuantReg ({inner.q:g})"),
        "r2_pseudo": number(inner, "prsquared"),
        "rmse": root_mean_square(inner.resid),
    }


def _glance_robust(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    return {
        **common_statistics(inner),
        "rmse": root_mean_square(inner.resid),
        "sigma": number(inner, "scale"),
        "df_residual": number(inner, "df_resid"),
    }


def _augment(res: Any) -> pd.DataFrame:
    return augmented(res, res.fittedvalues, res.resid)


def _augment_linear(res: Any) -> pd.DataFrame:
    X = np.asarray(unwrapped(res).model.wexog)
    hat = np.einsum("ij,ji->i", X, np.linalg.pinv(X))
    more = {".hat": hat} if len(hat) == len(res.resid) else {}
    return augmented(res, res.fittedvalues, res.resid, **more)


# -- time series -----------------------------------------------------------------------

_SERIES_COVARIANCES = ("approx", "oim", "opg", "robust", "robust_approx", "robust_oim")


def _tidy_series(res: Any, request: Request) -> pd.DataFrame:
    inner, vcov = unwrapped(res), request.vcov
    if isinstance(vcov, str | Mapping):
        check_name(inner, str(vcov), _SERIES_COVARIANCES)
        cov = getattr(inner, f"cov_params_{vcov}")
    elif vcov is not None:
        cov = as_matrix(inner, vcov, len(inner.params))
    else:
        cov = inner.cov_params()
    names = parameter_names(inner)
    known = set(getattr(inner.model, "exog_names", None) or ())
    scale = np.array([n.startswith("sigma2") and n not in known for n in names])
    return with_scales(
        coefficients(names, inner.params, np.asarray(cov), np.inf), scale
    )


def _glance_series(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    start = getattr(inner, "loglikelihood_burn", 0)
    return {
        **common_statistics(inner),
        **likelihood_statistics(inner),
        "rmse": root_mean_square(np.asarray(inner.resid)[start:]),
    }


# -- what is left ----------------------------------------------------------------------


def _glance_other(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    return {
        **common_statistics(inner),
        **likelihood_statistics(inner),
        "r2_pseudo": number(inner, "prsquared"),
    }


def _glance_hazard(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    return {
        **common_statistics(inner),
        "nobs": len(inner.model.endog),
        "nevents": count(np.sum(inner.model.status)),
        "loglik": number(inner, "llf"),
    }


def _tidy_estimates(res: Any, request: Request) -> pd.DataFrame:
    """Of penalised fits, which have no standard errors."""
    inner = unwrapped(res)
    if request.vcov is not None:
        raise ValueError("penalised fits have no standard errors; leave out vcov.")
    return pd.DataFrame(
        {"term": parameter_names(inner), "estimate": np.asarray(inner.params)}
    )


def _glance_estimates(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    return {**common_statistics(inner), "nobs": len(inner.model.endog)}


def _log(res: Any) -> str:
    return "log"


def _precisions(inner: Any) -> int:
    """Number of coefficients of the model of the precision."""
    return len(inner.params) - inner.model.exog.shape[1]


def _link_beta(res: Any) -> str:
    return type(unwrapped(res).model.link).__name__.lower()


CLASSES = {
    "statsmodels.regression.linear_model:RegressionResults": _extractor(
        _glance_linear, tidy=tidy_with(ROBUST), augment=_augment_linear
    ),
    "statsmodels.regression.quantile_regression:QuantRegResults": _extractor(
        _glance_quantile, augment=_augment
    ),
    "statsmodels.sandbox.regression.gmm:IVRegressionResults": _extractor(
        _glance_linear, augment=_augment
    ),
    "statsmodels.robust.robust_linear_model:RLMResults": _extractor(
        _glance_robust, augment=_augment
    ),
    "statsmodels.tsa.statespace.mlemodel:MLEResults": _extractor(
        _glance_series, tidy=_tidy_series, augment=_augment
    ),
    "statsmodels.tsa.ar_model:AutoRegResults": _extractor(
        _glance_series, augment=_augment
    ),
    "statsmodels.duration.hazard_regression:PHRegResults": _extractor(
        _glance_hazard, link=_log
    ),
    "statsmodels.base.elastic_net:RegularizedResults": _extractor(
        _glance_estimates, tidy=_tidy_estimates
    ),
    "statsmodels.othermod.betareg:BetaResults": _extractor(
        _glance_other, tidy=tidy_with((), _precisions), link=_link_beta
    ),
    "statsmodels.base.model:LikelihoodModelResults": _extractor(_glance_other),
    **statsmodels_discrete.CLASSES,
    **statsmodels_mixed.CLASSES,
}
"""Extractors by the classes that they read."""
