"""LMERResults: fixed effects by any inference, variance components, statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...core.fitted import solve_at
from ...inference.ddf import Inference
from ...inference.profile_parameters import (
    correlation_name,
    deviation_name,
    sigma_name,
)
from ...inference.robust import (
    KINDS,
    ClusterRobust,
    ClusterSatterthwaite,
    robust_inference,
)
from ...inference.rsquared import variances
from ...results import LMERResults
from ..covariance import as_matrix, named_with_groups, std_errors_name
from ..dispatch import Extractor, Request, unwrapped
from ..random_labels import RESIDUAL

SCALES = {"sd": ("sdcor",), "var": ("vcov",), "both": ("sdcor", "vcov")}
"""Columns of ``varcorr`` that ``re_scale=`` shows."""

TYPES = {"sdcor": ("sd", "cor"), "vcov": ("var", "cov")}
"""What the rows of one and of two columns of Z have in a column of ``varcorr``."""

CI_METHODS = ("wald", "profile", "boot")
"""What ``ci_method=`` takes."""

REPLICATES, SEED = 999, 1
"""Of the bootstrap behind ``ci_method="boot"``, so that tables can be made again."""

DDF_NAMES = {
    "satterthwaite": "Satterthwaite",
    "kenward-roger": "Kenward-Roger",
    "residual": "residual",
    "inner-outer": "inner-outer",
    "normal": "infinite",
}
"""Methods for degrees of freedom as notes name them."""


def _tidy(res: Any, request: Request) -> pd.DataFrame:
    results: LMERResults = unwrapped(res)
    if request.ci_method not in CI_METHODS:
        raise ValueError(
            f"unknown ci_method {request.ci_method!r}; choose one of "
            f"{', '.join(CI_METHODS)}."
        )
    check_scale(request.re_scale)
    rows = [] if request.effects == "random" else list(_fixed_rows(results, request))
    if request.effects != "fixed":
        rows += random_rows(results.varcorr(), request.re_scale)
    if request.ci_method != "wald" and request.conf_level is not None:
        rows = list(_with_ends(rows, results, request))
    return pd.DataFrame(rows, columns=None if rows else ["term", "estimate"])


def _with_ends(
    rows: Iterable[dict[str, Any]], results: LMERResults, request: Request
) -> Iterator[dict[str, Any]]:
    """The rows with intervals of the profile likelihood or of a bootstrap.

    Those of variances are the squares of those of standard deviations; covariances
    have none.
    """
    assert request.conf_level is not None
    fixed = [str(name) for name in results.model.exog_names]
    alpha = 1.0 - request.conf_level
    ends = _ends(results, alpha, request)
    for row in rows:
        one, two, group = row["term"], row.get("term2", ""), row.get("group", "")
        kind = row.get("type", "coef")
        name = one
        if group == RESIDUAL:
            name = sigma_name(fixed)
        elif kind == "cor":
            name = correlation_name(one, two, group, fixed)
        elif kind != "coef":
            name = deviation_name(one, group, fixed)
        power = 2.0 if kind == "var" else 1.0
        if kind != "cov" and name in ends:
            low, high = (end**power for end in ends[name])
            row = {**row, "conf_low": low, "conf_high": high}
        yield row


def _ends(
    results: LMERResults, alpha: float, request: Request
) -> dict[str, tuple[float, float]]:
    """Ends of intervals by the names of the profiles."""
    names = [str(name) for name in results.model.exog_names]
    if request.ci_method == "boot":
        found = results._bootstrap_ends(alpha, REPLICATES, SEED)
        return dict(zip(found.index, map(tuple, found.to_numpy()), strict=True))
    ends: dict[str, tuple[float, float]] = {}
    if request.effects != "random":
        own = np.asarray(results.conf_int(alpha, method="profile"))
        ends |= dict(zip(names, map(tuple, own), strict=True))
    if request.effects != "fixed":
        found = results.conf_int_re(alpha)
        ends |= dict(zip(found.index, map(tuple, found.to_numpy()), strict=True))
    return ends


def _fixed_rows(results: LMERResults, request: Request) -> Iterator[dict[str, Any]]:
    inference = _inference(results, request)
    df = inference.each(np.eye(len(results.params)))
    vcov = inference.vcov
    if request.vcov is not None and not _is_named(request.vcov):
        vcov = as_matrix(results, request.vcov, len(results.params))
    for row in zip(
        map(str, results.model.exog_names),
        np.asarray(results.params),
        np.sqrt(vcov.diagonal()),
        df,
        strict=True,
    ):
        yield dict(zip(("term", "estimate", "std_error", "df"), row, strict=True))


def check_scale(re_scale: str) -> None:
    """Raise ValueError for a scale of the random part that there is not."""
    if re_scale not in SCALES:
        raise ValueError(
            f"unknown re_scale {re_scale!r}; choose one of {', '.join(SCALES)}."
        )


def random_rows(varcorr: pd.DataFrame, scale: str) -> Iterator[dict[str, Any]]:
    """Rows of the random part: by group, deviations first, then correlations.

    Parameters
    ----------
    varcorr : DataFrame
        Columns grp, var1, var2, vcov, sdcor, as ``LMERResults.varcorr``.
    scale : {"sd", "var", "both"}
    """
    for column in SCALES[scale]:
        for row in varcorr.itertuples(index=False):
            two = isinstance(row.var2, str)
            yield {
                "term": row.var1 if isinstance(row.var1, str) else "Observation",
                "term2": row.var2 if two else "",
                "estimate": getattr(row, column),
                "effect": "random",
                "group": row.grp,
                "type": TYPES[column][two],
            }


def _is_named(vcov: Any) -> bool:
    return isinstance(vcov, str | Mapping)


def _inference(results: LMERResults, request: Request) -> Inference:
    """Degrees of freedom, and the covariance that is asked for unless it is a matrix.

    Another covariance does not change the degrees of freedom of the fit's method.
    """
    if not _is_named(request.vcov):
        return results.inference(request.ddf)
    kind, groups = named_with_groups(request.vcov)
    if kind not in KINDS:
        raise ValueError(
            f"vcov={kind!r} is not available for LMER, whose rows depend on each "
            f"other; choose one of {', '.join(KINDS)}, or pass a matrix."
        )
    return robust_inference(results, groups, kind, request.ddf)


def _glance(res: Any, request: Request) -> Mapping[str, Any]:
    results: LMERResults = unwrapped(res)
    llf = _llf(results, request.likelihood)
    out = {
        "nobs": int(results.nobs),
        **{f"ngroups_{name}": int(k) for name, k in results.n_groups.items()},
        **_from_rows(results),
        "aic": 2.0 * results.df - 2.0 * llf,
        "bic": float(np.log(results.nobs)) * results.df - 2.0 * llf,
        "sigma": results.sigma,
        "reml": bool(results.reml),
        "estimator": f"LMER ({results.method})",
        "ddf_method": _method(_inference(results, request)),
        "converged": bool(results.converged),
        "singular": bool(results.singular),
        "depvar": str(results.model.endog_names),
    }
    if results.cov_type != "nonrobust":
        out["vcov_type"] = str(results.cov_kwds["kind"])
    if request.metrics == "all":
        out["loglik"] = llf
        out["deviance"] = results.deviance
        out["remlcrit"] = results.remlcrit
        out["df_residual"] = results.df_resid
    return out


def _llf(results: LMERResults, likelihood: str | None) -> float:
    """The log-likelihood, restricted or not, at the estimate of theta."""
    if likelihood in (None, results.method):
        return results.llf
    if likelihood not in ("REML", "ML"):
        raise ValueError(f"likelihood is 'REML' or 'ML', not {likelihood!r}.")
    results.model.require_rows("another likelihood")
    reml = likelihood == "REML"
    return -0.5 * solve_at(results._likelihood(), results.theta, reml).value


def _from_rows(results: LMERResults) -> dict[str, float]:
    """Statistics that need the rows; none after ``remove_data()``."""
    if results.model._likelihood_data is None:
        return {}
    shares = variances(results)
    r2 = shares.rsquared
    return {
        "r2_marginal": r2.marginal,
        "r2_conditional": r2.conditional,
        "icc": shares.between / (shares.between + shares.residual),
        "rmse": float(np.sqrt(np.mean(np.square(results.resid)))),
    }


def _method(inference: Inference) -> str:
    """The method for degrees of freedom, also of a robust covariance."""
    if isinstance(inference, ClusterSatterthwaite):
        return "satterthwaite"
    return inference.method


def _notes(res: Any, request: Request) -> tuple[str, ...]:
    results: LMERResults = unwrapped(res)
    inference = _inference(results, request)
    method = "REML" if results.reml else "maximum likelihood"
    out = [f"Fitted by {method}.", f"Degrees of freedom: {_ddf_name(inference)}."]
    given = request.vcov is not None and not _is_named(request.vcov)
    if isinstance(inference, ClusterRobust) and not given:
        kind, count = inference.kind, inference.n_groups
        out.append(f"Standard errors: {kind}, robust to {count} clusters.")
    elif request.vcov is not None:
        out.append(f"Standard errors: {std_errors_name(request.vcov)}.")
    elif results.cov_type != "nonrobust":
        out.append(f"Standard errors: {results.cov_kwds['kind']}.")
    if request.likelihood not in (None, results.method):
        kind = "restricted" if request.likelihood == "REML" else "full"
        out.append(f"AIC, BIC: by the {kind} likelihood at these estimates.")
    if results.singular:
        out.append("Singular fit.")
    if not results.converged:
        out.append("The fit did not converge.")
    return (*out, *inference.notes)


def _ddf_name(inference: Inference) -> str:
    method = _method(inference)
    if method in DDF_NAMES:
        return DDF_NAMES[method]
    assert isinstance(inference, ClusterRobust)
    if inference.df == inference.n_groups - 1.0:
        return "number of clusters less one"
    return DDF_NAMES["residual" if inference.use_t else "normal"]


def _augment(res: Any) -> pd.DataFrame:
    results: LMERResults = unwrapped(res)
    model = results.model
    fixed = np.asarray(model.predict(np.asarray(results.params)))
    own = {".fitted": results.fittedvalues, ".resid": results.resid, ".fixed": fixed}
    if model._design is not None:
        frame = model._design.frame
    else:
        frame = pd.DataFrame(model.exog, columns=model.exog_names)
        frame.insert(0, str(model.endog_names), model.endog)
    return frame.assign(**own)


EXTRACTOR = Extractor(
    "sm_lmer", _tidy, _glance, _notes, takes_vcov=True, augment=_augment
)

CLASSES = {"sm_lmer.results:LMERResults": EXTRACTOR}
