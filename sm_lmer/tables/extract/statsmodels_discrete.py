"""Generalised linear models, discrete responses and GEE of statsmodels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..covariance import as_matrix
from ..dispatch import Extractor, Request, unwrapped
from .statsmodels_common import (
    ROBUST,
    FloatArray,
    augmented,
    check_name,
    coefficients,
    common_statistics,
    degrees_of_freedom,
    likelihood_statistics,
    notes,
    number,
    parameter_names,
    root_mean_square,
    tidy_with,
    with_scales,
    with_vcov,
)

# -- generalised linear models ---------------------------------------------------------


def _glance_glm(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    family = type(inner.family).__name__
    out = {
        **common_statistics(inner, f"GLM ({family})"),
        **likelihood_statistics(inner),
        "rmse": root_mean_square(inner.resid_response),
        "deviance": number(inner, "deviance"),
        "df_residual": number(inner, "df_resid"),
    }
    if request.metrics == "all":
        out["r2_pseudo"] = float(inner.pseudo_rsquared(kind="mcf"))
    return out


def _link_glm(res: Any) -> str:
    return type(unwrapped(res).model.family.link).__name__.lower()


def _augment_response(res: Any) -> pd.DataFrame:
    """Of a model for the mean: residuals in units of the response."""
    inner = unwrapped(res)
    return augmented(res, inner.predict(), inner.resid_response)


# -- discrete responses ----------------------------------------------------------------

_ZERO_PARTS = {"inflate_": "zi", "zm_": "zero"}
"""Prefixes of the coefficients of a model of zeros, and the component they are."""


def _tidy_zeros(res: Any, request: Request) -> pd.DataFrame:
    """Of zero-inflated and hurdle models: the model of zeros is a component."""
    inner = unwrapped(res)
    tested, cov = with_vcov(inner, request.vcov, ())
    names, df = parameter_names(inner), degrees_of_freedom(tested)
    frame = coefficients(names, inner.params, cov, df)
    frame = with_scales(frame, _scales_of_zeros(inner))
    for prefix, component in _ZERO_PARTS.items():
        own = frame["term"].str.startswith(prefix)
        frame.loc[own & (frame["effect"] == "fixed"), "component"] = component
        frame.loc[own & (frame["effect"] == "fixed"), "term"] = frame["term"].str[
            len(prefix) :
        ]
    first = list(frame["component"].isin(list(_ZERO_PARTS.values())))
    return frame.iloc[np.argsort(first, kind="stable")]


def _scales_of_zeros(inner: Any) -> NDArray[np.bool_]:
    """Which parameters are those of scale: the last of each part."""
    scale = np.zeros(len(inner.params), dtype=bool)
    if not hasattr(inner, "results_zero"):
        extra = inner.model.k_extra - inner.model.k_inflate
        scale[len(scale) - extra :] = True
        return scale
    stop = 0
    for part in (inner.results_zero, inner.results_count):
        stop += len(part.params)
        scale[stop - part.model.k_extra : stop] = True
    return scale


def _extra(inner: Any) -> int:
    """Number of parameters of scale of a model of counts."""
    return int(getattr(inner.model, "k_extra", 0))


def _glance_discrete(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    return {
        **common_statistics(inner),
        **likelihood_statistics(inner),
        "r2_pseudo": number(inner, "prsquared"),
        "df_residual": number(inner, "df_resid"),
    }


def _glance_mean(res: Any, request: Request) -> Mapping[str, Any]:
    residuals = unwrapped(res).resid_response
    return {**_glance_discrete(res, request), "rmse": root_mean_square(residuals)}


def _logit(res: Any) -> str:
    return "logit"


def _log(res: Any) -> str:
    return "log"


# -- several outcomes ------------------------------------------------------------------


def _tidy_multinomial(res: Any, request: Request) -> pd.DataFrame:
    """Outcome by outcome, in the order of the covariance."""
    inner = unwrapped(res)
    tested, cov = with_vcov(inner, request.vcov)
    params = np.asarray(inner.params)
    terms = parameter_names(inner)
    levels = [_level(inner.model._ynames_map[j]) for j in range(params.shape[1] + 1)]
    frame = coefficients(
        terms * params.shape[1],
        params.ravel(order="F"),
        cov,
        degrees_of_freedom(tested),
    )
    return frame.assign(response=np.repeat(levels[1:], len(terms)))


def _level(value: Any) -> str:
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def _tidy_ordered(res: Any, request: Request) -> pd.DataFrame:
    """Thresholds on the scale of the latent response, by the delta method.

    statsmodels' parameters are the first threshold and the logarithms of the steps to
    the next ones.
    """
    inner = unwrapped(res)
    tested, cov = with_vcov(inner, request.vcov)
    params = np.asarray(inner.params)
    n_thresholds = inner.model.k_levels - 1
    n_terms = len(params) - n_thresholds
    jacobian = np.eye(len(params))
    steps = np.append(1.0, np.exp(params[n_terms + 1 :]))
    jacobian[n_terms:, n_terms:] = np.tril(np.ones((n_thresholds,) * 2)) * steps
    thresholds = np.cumsum(np.append(params[n_terms], steps[1:]))
    frame = coefficients(
        parameter_names(inner),
        np.append(params[:n_terms], thresholds),
        jacobian @ cov @ jacobian.T,
        degrees_of_freedom(tested),
    )
    last = np.arange(len(params)) >= n_terms
    return frame.assign(
        effect=np.where(last, "auxiliary", "fixed"),
        component=np.where(last, "threshold", "conditional"),
    )


_LATENT = {"logistic": "logit", "norm": "probit"}


def _link_ordered(res: Any) -> str:
    return _LATENT.get(getattr(unwrapped(res).model.distr, "name", ""), "")


# -- generalised estimating equations --------------------------------------------------

_GEE_COVARIANCES = {
    "robust": "cov_robust",
    "naive": "cov_naive",
    "bias_reduced": "cov_robust_bc",
}


def _gee_covariance(inner: Any, vcov: Any) -> FloatArray:
    if vcov is None:
        return np.asarray(inner.cov_params())
    if not isinstance(vcov, str | Mapping):
        return as_matrix(inner, vcov, len(inner.params))
    check_name(inner, str(vcov), tuple(_GEE_COVARIANCES))
    found = getattr(inner, _GEE_COVARIANCES[str(vcov)])
    if found is None:
        raise ValueError(
            f"vcov={vcov!r} needs a fit with cov_type={vcov!r}, which works it out."
        )
    return np.asarray(found)


def _tidy_gee(res: Any, request: Request) -> pd.DataFrame:
    inner = unwrapped(res)
    cov = _gee_covariance(inner, request.vcov)
    return coefficients(parameter_names(inner), inner.params, cov, np.inf)


def _glance_gee(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    model = inner.model
    group = getattr(model, "_groups_name", None) or "groups"
    return {
        **common_statistics(inner, f"GEE ({type(model.family).__name__})"),
        f"ngroups_{group}": int(model.num_group),
        "rmse": root_mean_square(inner.resid_response),
    }


def _notes_gee(res: Any, request: Request) -> tuple[str, ...]:
    structure = type(unwrapped(res).model.cov_struct).__name__
    return (*notes(res, request), f"Working correlation: {structure}.")


# -- classes ---------------------------------------------------------------------------

_DISCRETE = "statsmodels.discrete.discrete_model"


def _extractor(glance: Any, **more: Any) -> Extractor:
    settings = {
        "tidy": tidy_with(ROBUST, _extra),
        "notes": notes,
        "takes_vcov": True,
        **more,
    }
    return Extractor("statsmodels", glance=glance, **settings)


_ZEROS = _extractor(_glance_mean, tidy=_tidy_zeros, link=_log)

CLASSES = {
    "statsmodels.genmod.generalized_linear_model:GLMResults": _extractor(
        _glance_glm, link=_link_glm, augment=_augment_response
    ),
    "statsmodels.gam.generalized_additive_model:GLMGamResults": _extractor(
        _glance_glm, tidy=tidy_with(()), link=_link_glm, augment=_augment_response
    ),
    f"{_DISCRETE}:DiscreteResults": _extractor(_glance_discrete),
    f"{_DISCRETE}:LogitResults": _extractor(
        _glance_mean, link=_logit, augment=_augment_response
    ),
    f"{_DISCRETE}:BinaryResults": _extractor(_glance_mean, augment=_augment_response),
    f"{_DISCRETE}:CountResults": _extractor(
        _glance_mean, link=_log, augment=_augment_response
    ),
    f"{_DISCRETE}:MultinomialResults": _extractor(
        _glance_discrete, tidy=_tidy_multinomial, link=_logit
    ),
    "statsmodels.discrete.count_model:ZeroInflatedResults": _ZEROS,
    "statsmodels.discrete.truncated_model:HurdleCountResults": _ZEROS,
    "statsmodels.miscmodels.ordinal_model:OrderedResults": _extractor(
        _glance_discrete, tidy=_tidy_ordered, link=_link_ordered
    ),
    "statsmodels.genmod.generalized_estimating_equations:GEEResults": _extractor(
        _glance_gee,
        tidy=_tidy_gee,
        notes=_notes_gee,
        link=_link_glm,
        augment=_augment_response,
    ),
}
"""Extractors by the classes that they read."""
