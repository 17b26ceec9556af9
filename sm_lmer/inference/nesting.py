"""Whether one model is a special case of another, and by how many variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from statsmodels.regression.linear_model import RegressionResults

from ..core.conditioning import orthonormal_basis
from ..core.terms import Factor, FloatArray, RandomTerm

if TYPE_CHECKING:
    from ..results import LMERResults

SPAN = 1e-7
"""Share of a column that may lie outside a space that holds it."""


@dataclass(frozen=True, eq=False)
class Structure:
    """What decides whether one model is a special case of another.

    Attributes
    ----------
    X : ndarray, shape (n, p)
    terms : tuple of RandomTerm
    weights, offset : ndarray, shape (n,)
    """

    X: FloatArray
    terms: tuple[RandomTerm, ...]
    weights: FloatArray
    offset: FloatArray

    @property
    def sqrt_weights(self) -> FloatArray:
        """Roots of the weights."""
        roots: FloatArray = np.sqrt(self.weights)
        return roots


def structure(results: LMERResults | RegressionResults) -> Structure:
    """The structure of a mixed model or of a regression."""
    model = results.model
    X = np.asarray(model.exog, dtype=np.float64)
    n = len(X)
    terms = getattr(model, "re_terms", ())
    weights, offset = (getattr(model, name, None) for name in ("weights", "offset"))
    return Structure(
        X,
        tuple(terms),
        np.broadcast_to(1.0 if weights is None else np.asarray(weights), n),
        np.broadcast_to(0.0 if offset is None else np.asarray(offset), n),
    )


def added_variances(small: Structure, big: Structure) -> int | str:
    """How many variances are zero in the smaller model and free in the bigger one.

    Returns
    -------
    int or str
        The number; or the reason why the smaller model is no special case.
    """
    if not same_numbers(small.weights, big.weights):
        return "the weights differ"
    if not same_numbers(small.offset, big.offset):
        return "the offsets differ"
    if not spanned(small.X, big.X):
        return "the fixed parts are not nested"
    for term in small.terms:
        if not any(holds(other, term) for other in big.terms):
            return f"{term.text} is no part of a term of the larger model"
    return sum(t.q for t in big.terms) - sum(t.q for t in small.terms)


def same_numbers(a: FloatArray, b: FloatArray) -> bool:
    """Whether two columns are equal up to rounding."""
    size = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    return bool(np.abs(a - b).max(initial=0.0) <= 1e-12 * size)


def spanned(columns: FloatArray, by: FloatArray) -> bool:
    """Whether columns lie in the space of others."""
    Q = orthonormal_basis(by, None).Q
    own = orthonormal_basis(columns, None).Q
    return bool(np.abs(own - Q @ (Q.T @ own)).max(initial=0.0) < SPAN)


def holds(big: RandomTerm, small: RandomTerm) -> bool:
    """Whether a term without some of its random effects can be the other."""
    if not _same_groups(big.factor, small.factor):
        return False
    Z, columns = np.asarray(big.Z), np.asarray(small.Z)
    if big.q == 1 or not big.diagonal:
        return spanned(columns, Z)
    if small.q > 1 and not small.diagonal:
        return False
    return all(
        any(spanned(columns[:, [i]], Z[:, [j]]) for j in range(big.q))
        for i in range(small.q)
    )


def _same_groups(a: Factor, b: Factor) -> bool:
    """Whether two factors group the rows alike, whatever they call the groups."""
    if a.n_levels != b.n_levels:
        return False
    pairs = a.codes.astype(np.int64) * b.n_levels + b.codes
    return len(np.unique(pairs)) == a.n_levels


def unwrapped(results: Any) -> Any:
    """Results themselves rather than statsmodels' wrapper of them."""
    return getattr(results, "_results", results)


def linear_criterion(design: Structure, y: FloatArray, reml: bool) -> float:
    """The REML criterion or deviance of the linear model, offset taken off `y`."""
    basis = orthonormal_basis(design.X, design.sqrt_weights)
    z = design.sqrt_weights * (y - design.offset)
    residual = z - basis.Q @ (basis.Q.T @ z)
    df = len(y) - (basis.Q.shape[1] if reml else 0)
    r2 = float(residual @ residual)
    value = df * (1.0 + np.log(2.0 * np.pi * r2 / df)) - np.log(design.weights).sum()
    return float(value + (2.0 * basis.logdet if reml else 0.0))
