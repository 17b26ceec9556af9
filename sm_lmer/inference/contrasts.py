r"""The contrasts that the tests of the terms of a fixed part are of.

Type 1 contrasts are the rows of the unit upper triangular factor U of
:math:`X'X = U'DU`, unweighted (Doolittle; Goodnight 1979), so that a term is tested
after the terms before it. Type 2 contrasts are these with the columns in another
order: first all terms that do not contain the term, then its own, then those that do.
Type 3 contrasts are SAS's (Goodnight 1978): estimable functions of the
over-parametrised model that involve the term and terms that contain it only, and are
orthogonal to the estimable functions of the latter. A term contains another if it has
all its factors and more, and the same numeric variables.

With the indicators D = T P, where T holds columns of D that span it, those of first
levels last, the row of P for a column of T is its coefficient as an estimable function;
what is left of the term's rows after projection on those of the terms that contain it
is its type 3 contrast.

The rows matter, not only their span: the denominator degrees of freedom that are
pooled over the principal components of the rows' estimates depend on them. They are
lmerTest's.

References
----------
Goodnight, J. H. (1978). Tests of hypotheses in fixed effects linear models. SAS
Technical Report R-101.
Goodnight, J. H. (1979). A tutorial on the SWEEP operator. The American Statistician 33.
Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017). lmerTest package:
tests in linear mixed effects models. Journal of Statistical Software 82(13).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import qr

from ..compat.terms import FixedPart, IntArray, Term, fixed_part
from ..core.terms import FloatArray

if TYPE_CHECKING:
    from ..model import LMER

TYPES = {"1": 1, "2": 2, "3": 3, "I": 1, "II": 2, "III": 3}
"""What ``typ=`` takes."""

ROUNDING = 1e-9
"""Share of a row below which an entry is rounding error."""

SPANNED = 1e-6
"""Share of an indicator outside the columns of X beyond which it is not spanned."""

DEPENDENT = 1e-7
"""Share of an indicator that is left by earlier ones if it depends on them."""


def contrast_type(typ: int | str) -> int:
    """1, 2 or 3.

    Raises
    ------
    ValueError
        If there is no such type.
    """
    if str(typ) not in TYPES:
        raise ValueError(
            f"unknown typ {typ!r}; choose 1, 2 or 3 (or 'I', 'II', 'III')."
        )
    return TYPES[str(typ)]


def term_contrasts(results_or_model: Any, typ: int | str = 3) -> dict[str, FloatArray]:
    """The contrast matrix of each term of the fixed part, but the intercept.

    Parameters
    ----------
    results_or_model : LMERResults or LMER
    typ : {1, 2, 3} or {"I", "II", "III"}

    Returns
    -------
    dict of ndarray, shape (df, p)
        By the term's name, in the order written, main effects first. A term of which
        nothing is estimable has no rows.

    Raises
    ------
    ValueError
        If there is no such type.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_oats()
    >>> model = sml.lmer("yield ~ nitro * Variety + (1 | Block)", data)
    >>> model.exog_names[1:3]
    ['Variety[T.Marvellous]', 'Variety[T.Victory]']
    >>> term_contrasts(model, 3)["nitro"].round(4)
    array([[0.    , 0.    , 0.    , 1.    , 0.3333, 0.3333]])
    """
    model: LMER = getattr(results_or_model, "model", results_or_model)
    typ = contrast_type(typ)
    part = fixed_part(model)
    if len(part.terms) == 0:
        return {}
    X = np.asarray(np.linalg.inv(model._basis.C), dtype=np.float64)  # in basis Q
    if typ == 1 or len(part.terms) == 1:
        found = _sequential(part, X)
    elif typ == 2:
        found = _marginal(part, X)
    else:
        found = _estimable(part, X, model._basis.Q)
    norms = np.linalg.norm(X, axis=0)
    return {
        term.name: _without_rounding(L, norms)
        for term, L in zip(part.terms, found, strict=True)
    }


def contains(larger: Term, term: Term) -> bool:
    """Whether a term contains another: more factors, but no more numeric variables.

    Numeric factors of several columns, as ``poly(x, 2)``, do not count as numeric
    variables, as in lmerTest.
    """
    own, others = set(_names(term.factors)), set(_names(larger.factors))
    return own < others and _variables(term) == _variables(larger)


def _names(factors: Any) -> list[str]:
    return [factor.name for factor in factors]


def _variables(term: Term) -> set[str]:
    return {f.name for f in term.numeric if f.values.shape[1] == 1}


def _without_rounding(L: FloatArray, norms: FloatArray) -> FloatArray:
    """Set entries to zero that are rounding error in units of the columns of X."""
    share = np.abs(L) / norms
    largest = share.max(axis=1, keepdims=True, initial=0.0)
    return np.where(share > ROUNDING * largest, L, 0.0)


# -- types 1 and 2 -----------------------------------------------------------------


def _doolittle(X: FloatArray, order: IntArray) -> FloatArray:
    """Rows of the unit upper triangular factor of X'X, its columns in some order."""
    R = qr(X[:, order], mode="r")[0]
    rows = np.empty_like(R)
    rows[np.ix_(order, order)] = R / R.diagonal()[:, None]
    return rows


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.intp), *parts])


def _sequential(part: FixedPart, X: FloatArray) -> list[FloatArray]:
    order = _joined([part.intercept, *(term.columns for term in part.terms)])
    rows = _doolittle(X, order)
    return [rows[term.columns] for term in part.terms]


def _marginal(part: FixedPart, X: FloatArray) -> list[FloatArray]:
    found = []
    for term in part.terms:
        above = [other for other in part.terms if contains(other, term)]
        if not above:
            found.append(np.eye(len(X))[term.columns])
            continue
        before = [t.columns for t in part.terms if t is not term and t not in above]
        after = [term.columns, *(other.columns for other in above)]
        rows = _doolittle(X, _joined([part.intercept, *before, *after]))
        found.append(rows[term.columns])
    return found


# -- type 3 ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Design:
    """The over-parametrised columns of a term, in an orthonormal basis.

    Attributes
    ----------
    columns : ndarray, shape (p, k)
    preference : ndarray of int, shape (k,)
        The order in which columns are taken for the basis T.
    whole : bool
        Whether these are indicators rather than the term's own columns.
    """

    columns: FloatArray
    preference: IntArray
    whole: bool


def _estimable(part: FixedPart, X: FloatArray, Q: FloatArray) -> list[FloatArray]:
    designs = [_term_design(term, X, Q) for term in part.terms]
    chosen = _spanning(X[:, part.intercept], designs)
    if sum(map(len, chosen)) + len(part.intercept) != len(X):
        designs = [_own_columns(term, X) for term in part.terms]
        chosen = [np.arange(len(term.columns)) for term in part.terms]
    columns = [d.columns[:, c] for d, c in zip(designs, chosen, strict=True)]
    T = np.hstack([X[:, part.intercept], *columns])
    starts = np.cumsum([len(part.intercept), *map(len, chosen)])
    rows = [np.arange(*ends) for ends in pairwise(starts)]
    to_model = np.linalg.solve(T, X)
    found = []
    for j, term in enumerate(part.terms):
        L = np.eye(len(X))[rows[j]]
        above = [k for k, t in enumerate(part.terms) if contains(t, term)]
        above = [k for k in above if designs[k].whole and designs[j].whole]
        if above:
            alike = [
                d
                for d, t in zip(designs, part.terms, strict=True)
                if _variables(t) == _variables(term)
            ]
            P = _estimable_functions(T, np.hstack([d.columns for d in alike]))
            higher = np.concatenate([rows[k] for k in above])
            share, *_ = np.linalg.lstsq(P[higher].T, P[rows[j]].T, rcond=None)
            L[:, higher] -= share.T
        found.append(L @ to_model)
    return found


def _estimable_functions(T: FloatArray, D: FloatArray) -> FloatArray:
    """P of D = T P, whose rows are the coefficients of T as functions of those of D."""
    P = np.asarray(np.linalg.solve(T, D), dtype=np.float64)
    share = np.abs(P) * np.linalg.norm(T, axis=0)[:, None]
    return np.where(share < ROUNDING * np.linalg.norm(D, axis=0), 0.0, P)


def _term_design(term: Term, X: FloatArray, Q: FloatArray) -> _Design:
    """Indicators, or the term's own columns if indicators are not in the model."""
    if not term.factors:
        return _own_columns(term, X)
    indicators = term.indicators()
    columns = indicators.crossproducts(Q)
    norms = indicators.column_norms()
    if np.any(np.linalg.norm(columns, axis=0) ** 2 < (1.0 - SPANNED) * norms**2):
        return _own_columns(term, X)
    preference = np.argsort(indicators.references, kind="stable")
    return _Design(columns, preference, True)


def _own_columns(term: Term, X: FloatArray) -> _Design:
    return _Design(X[:, term.columns], np.arange(len(term.columns)), False)


def _spanning(constant: FloatArray, designs: list[_Design]) -> list[IntArray]:
    """Columns of each term, in their order, that do not depend on earlier ones."""
    p = len(constant)
    basis = np.zeros((p, p))
    rank = constant.shape[1]
    basis[:, :rank] = constant / np.linalg.norm(constant, axis=0)
    start = basis[:, :rank]
    chosen = []
    for design in designs:
        centred = design.columns - start @ (start.T @ design.columns)
        sizes = np.linalg.norm(centred, axis=0)
        floor = DEPENDENT * np.linalg.norm(design.columns, axis=0)
        kept = []
        for j in design.preference:
            if rank == p or sizes[j] <= floor[j]:
                continue
            left = centred[:, j]
            for _ in range(2):
                left = left - basis[:, :rank] @ (basis[:, :rank].T @ left)
            size = np.linalg.norm(left)
            if size > DEPENDENT * sizes[j]:
                basis[:, rank] = left / size
                rank += 1
                kept.append(j)
        chosen.append(np.sort(np.array(kept, dtype=np.intp)))
    return chosen
