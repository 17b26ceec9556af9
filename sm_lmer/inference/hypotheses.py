"""t, F and chi-square tests of contrasts of the fixed effects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from ..core.terms import FloatArray
from .ddf import Inference

RANK = 1e-10
"""Eigenvalue, relative to the largest, below which a contrast adds nothing."""


class Rows(NamedTuple):
    """t tests of the rows of a contrast matrix; every field has shape (q,)."""

    estimate: FloatArray
    se: FloatArray
    df: FloatArray
    statistic: FloatArray
    pvalue: FloatArray


class Joint(NamedTuple):
    """An F test; a chi-square test over its degrees of freedom if df_denom is inf."""

    statistic: float
    df_num: int
    df_denom: float
    pvalue: float


def each_row(
    beta: FloatArray, L: FloatArray, inference: Inference, rhs: FloatArray | float = 0.0
) -> Rows:
    """Test each row of ``L beta = rhs`` by itself.

    Parameters
    ----------
    beta : ndarray, shape (p,)
    L : ndarray, shape (q, p)
    inference : Inference
    rhs : ndarray, shape (q,), optional
    """
    estimate = L @ beta
    se = np.sqrt(np.einsum("ij,jk,ik->i", L, inference.vcov, L))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (estimate - rhs) / se
    df = inference.each(L)
    return Rows(estimate, se, df, statistic, 2.0 * t_tail(np.abs(statistic), df))


def jointly(
    beta: FloatArray, L: FloatArray, inference: Inference, rhs: FloatArray | float = 0.0
) -> Joint:
    """Test ``L beta = rhs``, all rows at once; dependent rows count once.

    Parameters
    ----------
    beta : ndarray, shape (p,)
    L : ndarray, shape (q, p)
    inference : Inference
    rhs : ndarray, shape (q,), optional
    """
    gap = L @ beta - rhs
    M, kept = independent_rows(L, inference.vcov)
    if len(M) == 0:
        return Joint(np.nan, 0, np.nan, np.nan)
    z = kept @ gap
    wald = float(z @ np.linalg.solve(M @ inference.vcov @ M.T, z)) / len(M)
    df_denom, scale = inference.joint(M)
    statistic = scale * wald
    return Joint(statistic, len(M), df_denom, f_tail(statistic, len(M), df_denom))


def independent_rows(L: FloatArray, vcov: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rows that span those of L and are independent, and the map from L to them.

    The rows of L are scaled by their standard errors first, so that the units of the
    predictors do not matter.
    """
    se = np.sqrt(np.einsum("ij,jk,ik->i", L, vcov, L))
    estimable = se > 0
    if not estimable.any():
        return L[:0], np.zeros((0, len(L)))
    scaled = L[estimable] / se[estimable, None]
    values, vectors = np.linalg.eigh(scaled @ vcov @ scaled.T)
    kept = np.zeros((len(values), len(L)))
    kept[:, estimable] = vectors.T / se[estimable]
    kept = kept[values > RANK * values.max()]
    if len(kept) == len(L):
        return L, np.eye(len(L))
    return kept @ L, kept


def t_tail(statistic: FloatArray, df: FloatArray) -> FloatArray:
    """Upper tail of the t distribution; of the normal one where df is infinite."""
    finite = np.where(np.isinf(df), 1.0, df)
    tail = stats.t.sf(statistic, finite)
    return np.where(np.isinf(df), stats.norm.sf(statistic), tail)


def t_quantile(probability: float, df: FloatArray) -> FloatArray:
    """Quantile of the t distribution; of the normal one where df is infinite."""
    finite = np.where(np.isinf(df), 1.0, df)
    quantile = stats.t.ppf(probability, finite)
    return np.where(np.isinf(df), stats.norm.ppf(probability), quantile)


def f_tail(statistic: float, df_num: float, df_denom: float) -> float:
    """Upper tail of the F distribution, chi-square over df_num if df_denom is inf."""
    if np.isinf(df_denom):
        return float(stats.chi2.sf(statistic * df_num, df_num))
    return float(stats.f.sf(statistic, df_num, df_denom))
