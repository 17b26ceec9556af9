"""Coefficients of each group with and without the other groups, as numbers.

*No pooling* is a group's own weighted least-squares regression; *partial pooling* is
the model's estimate for the group, the population's plus its conditional mode. All
that is not the group's own, fixed effects of other columns and random effects of other
factors, is held at the model's estimates. Then partial pooling is the matrix-weighted
mean of a group's own estimate and the population's, exactly: with ``D`` the columns of
a group, ``W`` its weights and ``Sigma`` the covariance of the random effects,
``b = Sigma (Sigma + sigma^2 (D'WD)^-1)^-1 (own - population)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..components import by_factor
from ..core.terms import Factor, FloatArray
from .conditional_modes import factor_named, unwrapped

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults

DEPENDENT = 1e-9
"""Singular values, or lengths of residuals, that count as zero, relative."""

ESTIMABLE = 1e-10
"""Smallest relative eigenvalue of a group's cross-products with an own regression."""


@dataclass(frozen=True, eq=False)
class Basis:
    """An orthonormal basis of the space of some columns over all rows.

    Attributes
    ----------
    transform : ndarray, shape (q, rank)
        ``columns @ transform`` is the basis.
    inverse : ndarray, shape (rank, q)
        ``basis @ inverse`` are the columns.
    """

    transform: FloatArray
    inverse: FloatArray

    @classmethod
    def of(cls, columns: FloatArray) -> Basis:
        """By a singular value decomposition of the columns at unit length."""
        scale = np.linalg.norm(columns, axis=0)
        scale[scale == 0.0] = 1.0
        R = np.linalg.qr(columns / scale, mode="r")
        _, s, Vt = np.linalg.svd(R)
        rank = int((s > DEPENDENT * s[0]).sum()) if len(s) else 0
        V, s = Vt[:rank].T, s[:rank]
        return cls(V / s / scale[:, None], (V * s).T * scale)

    @property
    def full_rank(self) -> bool:
        """Whether the columns do not depend on each other."""
        return self.transform.shape[0] == self.transform.shape[1]


@dataclass(frozen=True, eq=False)
class GroupTerm:
    """All random effects of one grouping factor at the model's rows.

    Attributes
    ----------
    group : str
    factor : Factor
    columns : tuple of str
    Z : ndarray, shape (n, q)
        Columns of all terms of the factor.
    b : ndarray, shape (m, q)
        Conditional modes.
    others : ndarray, shape (n,)
        Effects of the other grouping factors.
    """

    group: str
    factor: Factor
    columns: tuple[str, ...]
    Z: FloatArray
    b: FloatArray
    others: FloatArray


def group_term(results: LMERResults, group: str) -> GroupTerm:
    """The random effects of a grouping factor, apart from those of the others."""
    model = results.model
    model.require_rows("a plot of its groups")
    members = by_factor(results)[group]
    terms = [model.re_terms[k] for k in members]
    others = np.zeros(model.nobs)
    for k, term in enumerate(model.re_terms):
        if k not in members:
            b = results._solution.b[k][term.factor.codes]
            others += np.einsum("nq,nq->n", np.asarray(term.Z), b)
    return GroupTerm(
        group,
        terms[0].factor,
        tuple(c for term in terms for c in term.columns),
        np.hstack([np.asarray(term.Z) for term in terms]),
        np.hstack([results._solution.b[k] for k in members]),
        others,
    )


@dataclass(frozen=True, eq=False)
class Pooling:
    """Coefficients of the groups without and with partial pooling.

    Attributes
    ----------
    group : str
    levels : ndarray of object, shape (m,)
    columns : tuple of str
    population : ndarray, shape (q,)
        The part of the fixed effects that lies in the space of the columns.
    none : ndarray, shape (m, q)
        Each group's own regression; nan where it has no unique solution.
    partial : ndarray, shape (m, q)
        Population plus conditional mode: the rows of ``coef()`` where the fixed part
        has the same columns.
    held : bool
        Whether other columns, or other factors, were held at their estimates.
    """

    group: str
    levels: NDArray[np.object_]
    columns: tuple[str, ...]
    population: FloatArray
    none: FloatArray
    partial: FloatArray
    held: bool

    @property
    def estimable(self) -> NDArray[np.bool_]:
        """Groups with a regression of their own, shape (m,)."""
        return np.asarray(np.isfinite(self.none).all(axis=1))

    def frame(self) -> pd.DataFrame:
        """Levels by (kind, column), kind being none and partial."""
        return pd.concat(
            {
                kind: pd.DataFrame(values, self.levels, list(self.columns))
                for kind, values in (("none", self.none), ("partial", self.partial))
            },
            axis=1,
        ).rename_axis(index=self.group)


def pooling(results: Any, group: str | None = None) -> Pooling:
    """Each group's coefficients by its own regression and by partial pooling.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        A grouping factor; by default the first with several columns, else the first.

    Returns
    -------
    Pooling

    Raises
    ------
    ValueError
        If the model has no such factor, or no rows.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.group_lines import pooling
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> found = pooling(res)
    >>> found.columns, found.none[0].round(2), found.partial[0].round(2)
    (('Intercept', 'Days'), array([244.19,  21.76]), array([253.66,  19.67]))
    """
    results = unwrapped(results)
    term = group_term(results, default_factor(results, group))
    model = results.model
    basis = Basis.of(term.Z)
    inside, map_to_columns = within(basis, term.Z, np.asarray(model.exog))
    beta = np.asarray(results.params, dtype=np.float64)
    population = map_to_columns @ beta[inside]
    response = _without_rest(results, term, ~inside) - term.Z @ population
    none = population + own_coefficients(
        basis, term.Z, response, model.weights, term.factor.codes, len(term.b)
    )
    held = bool(term.others.any() or (~inside).any())
    return Pooling(
        term.group,
        np.asarray(term.factor.levels, dtype=object),
        term.columns,
        population,
        none,
        population + term.b,
        held,
    )


def default_factor(results: LMERResults, group: str | None) -> str:
    """The factor of that name; else the first with several columns, else the first."""
    if group is not None:
        return factor_named(results, group)
    sizes = {
        name: sum(results.model.re_terms[k].q for k in members)
        for name, members in by_factor(results).items()
    }
    several = [name for name, size in sizes.items() if size > 1]
    return (several or list(sizes))[0]


def within(
    basis: Basis, Z: FloatArray, X: FloatArray
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Which columns of X are combinations of those of Z, and of what.

    Returns
    -------
    inside : ndarray of bool, shape (p,)
    combination : ndarray, shape (q, number inside)
        ``X[:, inside] = Z @ combination``; of shortest length if columns of Z depend
        on each other.
    """
    U = Z @ basis.transform
    along = U.T @ X
    outside = np.linalg.norm(X - U @ along, axis=0)
    inside = outside <= 10.0 * DEPENDENT * np.linalg.norm(X, axis=0)
    return inside, basis.transform @ along[:, inside]


def _without_rest(
    results: LMERResults, term: GroupTerm, held: NDArray[np.bool_]
) -> FloatArray:
    """The response less offset, held columns, and effects of other factors."""
    model: LMER = results.model
    beta = np.asarray(results.params, dtype=np.float64)
    rest = term.others + np.asarray(model.exog)[:, held] @ beta[held]
    if model.offset is not None:
        rest = rest + model.offset
    out: FloatArray = np.asarray(model.endog, dtype=np.float64) - rest
    return out


def own_coefficients(
    basis: Basis,
    Z: FloatArray,
    response: FloatArray,
    weights: FloatArray | None,
    codes: NDArray[np.integer[Any]],
    m: int,
) -> FloatArray:
    """Weighted least squares within each group.

    Parameters
    ----------
    basis : Basis
        Of the columns `Z` over all rows, in which the normal equations are solved.
    Z : ndarray, shape (n, q)
    response : ndarray, shape (n,)
    weights : ndarray, shape (n,), optional
    codes : ndarray of int, shape (n,)
    m : int
        Number of groups.

    Returns
    -------
    ndarray, shape (m, q)
        nan where a group's columns depend on each other.
    """
    q = Z.shape[1]
    out = np.full((m, q), np.nan)
    if not basis.full_rank:
        return out
    U = Z @ basis.transform
    WU = U if weights is None else weights[:, None] * U
    A = np.empty((m, q, q))
    for i in range(q):
        for j in range(i + 1):
            A[:, i, j] = A[:, j, i] = np.bincount(codes, WU[:, i] * U[:, j], m)
    values = np.linalg.eigvalsh(A)
    good = values[:, 0] > ESTIMABLE * values[:, -1]
    v = [np.bincount(codes, WU[:, j] * response, m) for j in range(q)]
    solved = np.linalg.solve(A[good], np.column_stack(v)[good][:, :, None])
    out[good] = solved[:, :, 0] @ basis.transform.T
    return out
