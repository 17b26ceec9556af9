"""Components of a fit by the names of lme4's ``getME``.

Random effects are in the order of ``model.re_terms`` (lme4's), level by level within
a term. ``L`` is the lower Cholesky factor of ``Lambda'Z'WZ Lambda + I`` without a
fill-reducing permutation, where lme4 has one; ``RZX`` goes with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg import cholesky, solve_triangular

from .components import templates
from .core.crossproducts import block_matrix
from .core.terms import FloatArray, grouping_blocks

if TYPE_CHECKING:
    from .results import LMERResults

DENSE_FACTOR_LIMIT = 5_000
"""Random effects up to which ``L`` and ``RZX`` are formed."""


def get_me(results: LMERResults, name: str) -> Any:
    """A component of the fit.

    Parameters
    ----------
    results : LMERResults
    name : str
        A name of lme4's ``getME``.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the names.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> res.get_me("Z").shape, res.get_me("q"), res.get_me("p_i")
    ((180, 36), 36, [2])
    """
    if name not in COMPONENTS:
        raise ValueError(
            f"unknown component {name!r}; the names are {sorted(COMPONENTS)}."
        )
    return COMPONENTS[name](results)


def _term_matrices(results: LMERResults) -> list[sparse.csr_array]:
    return [
        block_matrix(grouping_blocks([term])[0], np.asarray(term.Z))
        for term in results.model.re_terms
    ]


def _Z(results: LMERResults) -> sparse.csr_array:
    return sparse.hstack(_term_matrices(results), format="csr")


def _Lambda(results: LMERResults) -> sparse.csr_array:
    """Lambda; entries of theta that are zero are stored too, as in lme4."""
    blocks = []
    for term, T in zip(results.model.re_terms, templates(results), strict=True):
        rows, cols = term.positions()
        first = term.q * np.arange(term.factor.n_levels)[:, None]
        values = np.tile(T[rows, cols], term.factor.n_levels)
        at = (first + rows).ravel(), (first + cols).ravel()
        blocks.append(sparse.coo_array((values, at)))
    return sparse.block_diag(blocks, format="csr")


def _Lind(results: LMERResults) -> np.ndarray:
    """Index into theta (from 1, as in R) of each stored entry of Lambda'."""
    out, start = [], 1
    for term in results.model.re_terms:
        rows, cols = term.positions()
        order = np.lexsort((cols, rows))  # Lambda' by columns is Lambda by rows
        out.append(np.tile(order + start, term.factor.n_levels))
        start += term.n_theta
    return np.concatenate(out)


def _A(results: LMERResults) -> sparse.csr_array:
    """Lambda'Z', with the square roots of the weights."""
    scaled = _Lambda(results).T @ _Z(results).T
    weights = results.model.weights
    if weights is None:
        return scaled.tocsr()
    return (scaled @ sparse.diags_array(np.sqrt(weights))).tocsr()


def _L(results: LMERResults) -> FloatArray:
    A = _A(results)
    if A.shape[0] > DENSE_FACTOR_LIMIT:
        raise ValueError(
            f"L has {A.shape[0]} columns; it is formed up to {DENSE_FACTOR_LIMIT} only."
        )
    M = (A @ A.T).toarray()
    M.flat[:: len(M) + 1] += 1.0
    factor: FloatArray = cholesky(M, lower=True)
    return factor


def _weighted_X(results: LMERResults) -> FloatArray:
    X = np.asarray(results.model.exog)
    weights = results.model.weights
    return X if weights is None else X * np.sqrt(weights)[:, None]


def _RZX(results: LMERResults) -> FloatArray:
    right = _A(results) @ _weighted_X(results)
    solved: FloatArray = solve_triangular(_L(results), right, lower=True)
    return solved


def _RX(results: LMERResults) -> FloatArray:
    inverse = np.linalg.inv(np.asarray(results._solution.vcov_unscaled))
    factor: FloatArray = cholesky(inverse)
    return factor


def _u(results: LMERResults) -> FloatArray:
    return np.concatenate([u.ravel() for u in results._solution.u])


def _b(results: LMERResults) -> FloatArray:
    return np.concatenate([b.ravel() for b in results._solution.b])


def _Gp(results: LMERResults) -> np.ndarray:
    sizes = [t.factor.n_levels * t.q for t in results.model.re_terms]
    return np.concatenate([[0], np.cumsum(sizes)])


def _Tp(results: LMERResults) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([t.n_theta for t in results.model.re_terms])])


def _cnms(results: LMERResults) -> list[tuple[str, list[str]]]:
    return [(t.name, list(t.columns)) for t in results.model.re_terms]


def _lower(results: LMERResults) -> FloatArray:
    bounds = []
    for term in results.model.re_terms:
        rows, cols = term.positions()
        bounds.append(np.where(rows == cols, 0.0, -np.inf))
    return np.concatenate(bounds)


def _flist(results: LMERResults) -> dict[str, pd.Categorical]:
    return {
        t.name: pd.Categorical.from_codes(
            t.factor.codes, [str(level) for level in t.factor.levels]
        )
        for t in results.model.re_terms
    }


def _devcomp(results: LMERResults) -> dict[str, dict[str, float]]:
    solution, model = results._solution, results.model
    n, p = model.nobs, len(results.params)
    wrss = solution.r2 - solution.ussq
    log_weights = 0.0 if model.weights is None else float(np.log(model.weights).sum())
    cmp = {
        "ldL2": solution.logdet_L,
        "ldRX2": solution.logdet_RX,
        "ldW": log_weights,
        "wrss": wrss,
        "ussq": solution.ussq,
        "pwrss": solution.r2,
        "drsum": np.nan,
        "REML": results.remlcrit,
        "dev": np.nan if results.reml else results.deviance,
        "sigmaML": float(np.sqrt(solution.r2 / n)),
        "sigmaREML": float(np.sqrt(solution.r2 / (n - p))),
    }
    dims: dict[str, float] = {
        "N": n,
        "n": n,
        "p": p,
        "nmp": n - p,
        "q": int(_Gp(results)[-1]),
        "nth": len(results.theta),
        "REML": p if results.reml else 0,
    }
    return {"cmp": cmp, "dims": dims}


def _ST(results: LMERResults) -> dict[str, FloatArray]:
    """lme4's S and T packed: standard deviations on the diagonal, unit lower T."""
    out = {}
    for term, T in zip(results.model.re_terms, templates(results), strict=True):
        d = T.diagonal().copy()
        safe = np.where(d == 0, 1.0, d)
        packed = T / safe
        np.fill_diagonal(packed, d)
        out[term.name] = packed
    return out


def _sizes(attribute: Callable[[Any], int]) -> Callable[[LMERResults], list[int]]:
    return lambda results: [attribute(term) for term in results.model.re_terms]


COMPONENTS: dict[str, Callable[[LMERResults], Any]] = {
    "X": lambda r: np.asarray(r.model.exog),
    "Z": _Z,
    "Zt": lambda r: _Z(r).T.tocsr(),
    "Ztlist": lambda r: [Z.T.tocsr() for Z in _term_matrices(r)],
    "mmList": lambda r: [np.asarray(t.Z) for t in r.model.re_terms],
    "y": lambda r: np.asarray(r.model.endog),
    "mu": lambda r: np.asarray(r.fittedvalues),
    "u": _u,
    "b": _b,
    "Gp": _Gp,
    "Tp": _Tp,
    "L": _L,
    "Lambda": _Lambda,
    "Lambdat": lambda r: _Lambda(r).T.tocsr(),
    "Lind": _Lind,
    "Tlist": templates,
    "A": _A,
    "RX": _RX,
    "RZX": _RZX,
    "sigma": lambda r: r.sigma,
    "flist": _flist,
    "fixef": lambda r: r.fixef(),
    "beta": lambda r: np.asarray(r.params),
    "theta": lambda r: r.theta,
    "par": lambda r: r.theta,
    "ST": _ST,
    "REML": lambda r: len(r.params) if r.reml else 0,
    "is_REML": lambda r: r.reml,
    "n_rtrms": lambda r: len(r.model.re_terms),
    "n_rfacs": lambda r: len(r.n_groups),
    "N": lambda r: r.model.nobs,
    "n": lambda r: r.model.nobs,
    "p": lambda r: len(r.params),
    "q": lambda r: int(_Gp(r)[-1]),
    "npar": lambda r: r.df,
    "p_i": _sizes(lambda t: t.q),
    "l_i": _sizes(lambda t: t.factor.n_levels),
    "q_i": _sizes(lambda t: t.factor.n_levels * t.q),
    "k": lambda r: len(r.model.re_terms),
    "m_i": _sizes(lambda t: t.n_theta),
    "m": lambda r: len(r.theta),
    "cnms": _cnms,
    "devcomp": _devcomp,
    "offset": lambda r: (
        np.zeros(r.model.nobs) if r.model.offset is None else r.model.offset
    ),
    "lower": _lower,
    "devfun": lambda r: lambda theta: r.model.criterion(theta, reml=r.reml),
}
