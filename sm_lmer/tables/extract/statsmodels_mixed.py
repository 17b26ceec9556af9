"""MixedLM of statsmodels: variance components in the units of the response.

``params`` of MixedLM has covariances over the residual variance, and standard errors
of these are printed as if they were of the covariances. Neither is shown here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..covariance import as_matrix
from ..dispatch import Extractor, Request, unwrapped
from .lmer import check_scale, random_rows
from .statsmodels_common import (
    FloatArray,
    augmented,
    check_name,
    coefficients,
    common_statistics,
    likelihood_statistics,
    notes,
    root_mean_square,
)


def _tidy(res: Any, request: Request) -> pd.DataFrame:
    inner = unwrapped(res)
    check_scale(request.re_scale)
    k = inner.k_fe
    names = [str(name) for name in inner.model.exog_names[:k]]
    cov, vcov = np.asarray(inner.cov_params())[:k, :k], request.vcov
    if isinstance(vcov, str | Mapping):
        check_name(inner, str(vcov), ())
    if vcov is not None:
        whole = np.shape(vcov) == (len(inner.params),) * 2
        cov = as_matrix(res, np.asarray(vcov)[:k, :k] if whole else vcov, k)
    fixed = coefficients(names, inner.fe_params, cov, np.inf)
    random = pd.DataFrame(random_rows(varcorr(inner), request.re_scale))
    return pd.concat([fixed, random], ignore_index=True)


# -- the random part -------------------------------------------------------------------


def varcorr(inner: Any) -> pd.DataFrame:
    """Variance components of MixedLM in the shape of ``LMERResults.varcorr``.

    A variance component over indicator columns is that of an intercept which varies
    over a grouping factor of its name; others are those of columns that vary over the
    groups of the model.

    Parameters
    ----------
    inner : MixedLMResults
    """
    rows = [*_unstructured(inner), *_components(inner)]
    rows.append(("Residual", None, None, inner.scale, float(np.sqrt(inner.scale))))
    return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])


def _unstructured(inner: Any) -> Iterator[tuple[Any, ...]]:
    model = inner.model
    if not inner.k_re:
        return
    group, cov = _group_name(model), np.atleast_2d(np.asarray(inner.cov_re))
    constant = _constant_column(model)
    names = [
        "Intercept" if k == constant else str(name)
        for k, name in enumerate(model.data.exog_re_names)
    ]
    sd = np.sqrt(cov.diagonal())
    for name, variance, deviation in zip(names, cov.diagonal(), sd, strict=True):
        yield group, name, None, variance, deviation
    for j in range(len(names)):
        for i in range(j + 1, len(names)):
            product = sd[i] * sd[j]
            cor = cov[i, j] / product if product > 0 else np.nan
            yield group, names[j], names[i], cov[i, j], cor


def _components(inner: Any) -> Iterator[tuple[Any, ...]]:
    model = inner.model
    for name, mats, variance in zip(
        model.exog_vc.names, model.exog_vc.mats, inner.vcomp, strict=True
    ):
        indicator = _is_indicator(mats)
        group = str(name) if indicator else _group_name(model)
        term = "Intercept" if indicator else str(name)
        yield group, term, None, float(variance), float(np.sqrt(variance))


def _dense(mat: Any) -> FloatArray:
    return np.asarray(mat.todense() if hasattr(mat, "todense") else mat)


def _is_indicator(mats: Any) -> bool:
    """Whether every row has one 1 and nothing else."""
    return all(
        np.isin(dense, (0.0, 1.0)).all() and (dense.sum(axis=1) == 1.0).all()
        for dense in map(_dense, mats)
    )


def _constant_column(model: Any) -> int | None:
    """Position of the column of ones among those with random effects."""
    if not model.k_re:
        return None
    ones = (np.asarray(model.exog_re) == 1.0).all(axis=0)
    return int(np.argmax(ones)) if ones.any() else None


def _group_name(model: Any) -> str:
    """What the groups are called: MixedLM keeps it as that of their intercept."""
    frame = getattr(model.data, "frame", None)
    constant = _constant_column(model)
    if constant is not None and frame is not None:
        return str(model.data.exog_re_names[constant])
    if frame is not None and len(frame) == len(model.groups):
        for column in frame.columns:
            if np.array_equal(frame[column].to_numpy(), model.groups):
                return str(column)
    return "Group"


# -- statistics ------------------------------------------------------------------------


def _glance(res: Any, request: Request) -> Mapping[str, Any]:
    inner = unwrapped(res)
    fixed = float(np.var(np.asarray(inner.model.exog) @ inner.fe_params, ddof=1))
    between, residual = _between(inner), float(inner.scale)
    total = fixed + between + residual
    out = {
        **common_statistics(inner, f"MixedLM ({inner.method})"),
        **_group_counts(inner),
        "reml": bool(inner.model.reml),
        "r2_marginal": fixed / total,
        "r2_conditional": (fixed + between) / total,
        "icc": between / (between + residual),
        **likelihood_statistics(inner),
        "rmse": _rmse(inner),
        "sigma": float(np.sqrt(residual)),
    }
    if request.metrics != "all":
        del out["loglik"]
    return out


def _between(inner: Any) -> float:
    """Mean over the rows of the variance of the random part."""
    model, total = inner.model, 0.0
    if inner.k_re:
        Z, cov = np.asarray(model.exog_re), np.atleast_2d(np.asarray(inner.cov_re))
        total += float(np.einsum("ni,ij,nj->", Z, cov, Z))
    for mats, variance in zip(model.exog_vc.mats, inner.vcomp, strict=True):
        total += variance * sum(float(np.square(_dense(mat)).sum()) for mat in mats)
    return total / len(model.endog)


def _rmse(inner: Any) -> float:
    """Of conditional residuals; nan where MixedLM cannot predict random effects."""
    try:
        return root_mean_square(inner.resid)
    except ValueError:
        return np.nan


def _group_counts(inner: Any) -> dict[str, int]:
    """Numbers of groups, and of levels of components that are grouping factors."""
    model, out = inner.model, {}
    if len(model.group_labels) > 1:
        out[f"ngroups_{_group_name(model)}"] = len(model.group_labels)
    for name, mats in zip(model.exog_vc.names, model.exog_vc.mats, strict=True):
        if _is_indicator(mats):
            used = [(_dense(mat) != 0).any(axis=0).sum() for mat in mats]
            out[f"ngroups_{name}"] = int(sum(used))
    return out


def _notes(res: Any, request: Request) -> tuple[str, ...]:
    inner = unwrapped(res)
    method = "REML" if inner.model.reml else "maximum likelihood"
    return (
        f"Fitted by {method}.",
        "Degrees of freedom: infinite.",
        *notes(res, request),
    )


def _augment(res: Any) -> pd.DataFrame:
    inner = unwrapped(res)
    fixed = np.asarray(inner.model.exog) @ inner.fe_params
    return augmented(res, inner.fittedvalues, inner.resid, **{".fixed": fixed})


CLASSES = {
    "statsmodels.regression.mixed_linear_model:MixedLMResults": Extractor(
        "statsmodels", _tidy, _glance, _notes, takes_vcov=True, augment=_augment
    )
}
"""Extractors by the classes that they read."""
