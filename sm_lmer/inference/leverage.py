"""Leverage: how strongly a row's response pulls its own fitted value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..components import templates
from ..core.criterion import Evaluation
from ..core.likelihood import Likelihood
from ..core.row_covariance import RowCovariance, weighted_rows
from ..core.terms import FloatArray
from .nesting import unwrapped

KINDS = ("conditional", "marginal", "random", "unconfounded")
"""What ``kind=`` takes: H, its fixed and its random part, and Z D Z'."""


def at_estimates(results: Any) -> tuple[Likelihood, Evaluation]:
    """The likelihood of a fit, evaluated at its optimum."""
    point = results._optimum.point
    likelihood = results._likelihood().rotated(point.rotations)
    at = likelihood.evaluate(likelihood.inner_templates(point.inner), results.reml)
    return likelihood, at


def hat_values(results: Any, kind: str = "conditional") -> FloatArray:
    """Diagonal of a hat matrix.

    With ``V = Cov(y)``, ``H1 = X (X'V^-1 X)^-1 X'V^-1`` takes y to the fitted fixed
    part, ``H2 = Z D Z'V^-1 (I - H1)`` to the fitted random part, and ``H = H1 + H2`` to
    the fitted values.

    Parameters
    ----------
    results : LMERResults
    kind : str
        ``"conditional"``: the diagonal of H, lme4's ``hatvalues``;
        ``"marginal"``: of H1 (HLMdiag's ``"fixef"``);
        ``"random"``: of H2 (its ``"ranef"``);
        ``"unconfounded"``: of ``Z D Z'`` with ``D = Cov(b)`` (its ``"ranef.uc"``), the
        variance of the random part, in squared units of the response.

    Returns
    -------
    ndarray, shape (nobs,)

    Raises
    ------
    ValueError
        For an unknown kind, and after ``remove_data()``.

    References
    ----------
    Demidenko, E. and Stukel, T. A. (2005). Influence analysis for linear mixed-effects
    models. Statistics in Medicine 24(6).

    Loy, A. and Hofmann, H. (2014). HLMdiag: a suite of diagnostics for hierarchical
    linear models in R. J. Stat. Software 56(5), section 4.3.

    Nobre, J. S. and Singer, J. M. (2011). Leverage analysis for linear mixed models.
    J. Appl. Statist. 38(5).

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.leverage import hat_values
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> print(hat_values(res)[:3].round(4))
    [0.2293 0.1697 0.1268]
    """
    results = unwrapped(results)
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; choose one of {', '.join(KINDS)}.")
    results.model.require_rows("leverage")
    if kind == "unconfounded":
        return _unconfounded(results)
    likelihood, at = at_estimates(results)
    VQ, _ = weighted_rows(likelihood, at)
    half = VQ @ at.Fxx_inverse
    marginal: FloatArray = np.einsum("np,np->n", likelihood.fixed.basis.Q, half)
    if kind == "marginal":
        return marginal
    full: FloatArray = np.einsum("np,np->n", VQ, half)
    full += RowCovariance(likelihood, at).diagonal()
    return full if kind == "conditional" else full - marginal


def _unconfounded(results: Any) -> FloatArray:
    """Diagonal of Z D Z'."""
    out = np.zeros(results.model.nobs)
    for term, T in zip(results.model.re_terms, templates(results), strict=True):
        ZT = np.asarray(term.Z) @ T
        out += np.einsum("nq,nq->n", ZT, ZT)
    return out * results.scale


def leverage(results: Any) -> pd.DataFrame:
    """All four leverages of every row, as HLMdiag's ``leverage``.

    Parameters
    ----------
    results : LMERResults

    Returns
    -------
    DataFrame
        Columns conditional, marginal, random, unconfounded; see :func:`hat_values`.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.leverage import leverage
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> print(leverage(res).iloc[0].round(3).to_list())
    [0.164, 0.033, 0.13, 1764.05]
    """
    results = unwrapped(results)
    conditional, marginal = hat_values(results), hat_values(results, "marginal")
    return pd.DataFrame(
        {
            "conditional": conditional,
            "marginal": marginal,
            "random": conditional - marginal,
            "unconfounded": hat_values(results, "unconfounded"),
        },
        index=row_labels(results),
    )


def row_labels(results: Any) -> pd.Index:
    """Labels of the rows that the model uses."""
    labels = results.model.data.row_labels
    return pd.RangeIndex(results.model.nobs) if labels is None else pd.Index(labels)


def cooks_conditional(results: Any, h: FloatArray | None = None) -> FloatArray:
    """Cook's distance of the rows by the conditional residuals, as lme4's.

    lme4's ``cooks.distance(m)`` takes the formula of linear regression,
    ``(e / (1 - h))^2 h / (sigma^2 p)`` with the weighted conditional residual e and the
    conditional leverage h. Deleting rows gives another one, see
    :func:`sm_lmer.inference.influence.influence`.

    Parameters
    ----------
    results : LMERResults
    h : ndarray, shape (nobs,), optional
        The conditional leverages, if they are at hand.

    Returns
    -------
    ndarray, shape (nobs,)
        nan where h is 1.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.leverage import cooks_conditional
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> print(cooks_conditional(res)[:3].round(4))
    [0.005  0.0402 0.2261]
    """
    results = unwrapped(results)
    if h is None:
        h = hat_values(results)
    p = len(np.asarray(results.params))
    e = np.asarray(results.resid_pearson)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = (e / (1.0 - h)) ** 2 * h / p
    return np.where(np.isfinite(d), d, np.nan)
