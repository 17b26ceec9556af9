"""The arrays that LMER is built from: what is taken, and how it is brought in shape."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from . import checks
from .core.conditioning import Basis, constant_column
from .core.terms import FloatArray, RandomTerm
from .errors import DroppedColumnsWarning
from .formula.frames import as_pandas, check_index
from .formula.groups import factor_codes

if TYPE_CHECKING:
    from .formula.design import Design

CONSTANT = 1e-8
"""Share of a constant that columns may leave if they add up to it."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """A model's arrays, checked, without missing values.

    Attributes
    ----------
    endog, exog : Series, DataFrame or ndarray
        As they were given, with their names.
    X : ndarray, shape (n, p)
        The numbers of `exog`.
    terms : sequence of RandomTerm
    weights, offset : ndarray, shape (n,), or None
    dropped : dict
        Number of rows left out for missing values, by column.
    n_data : int
        Number of rows given.
    """

    endog: Any
    exog: Any
    X: FloatArray
    terms: Sequence[RandomTerm]
    weights: FloatArray | None
    offset: FloatArray | None
    dropped: dict[str, int]
    n_data: int


def of_design(design: Design) -> Arrays:
    """The arrays of a formula's design, which has checked them."""
    return Arrays(
        endog=design.endog,
        exog=design.exog,
        X=design.exog.to_numpy(dtype=np.float64),
        terms=design.terms,
        weights=vector(design.weights, "weights"),
        offset=vector(design.offset, "offset"),
        dropped=design.dropped,
        n_data=design.n_data,
    )


def checked(
    endog: Any,
    exog: Any,
    groups: ArrayLike | None,
    exog_re: ArrayLike | None,
    re_terms: Sequence[RandomTerm] | RandomTerm | None,
    weights: ArrayLike | None,
    offset: ArrayLike | None,
    missing: str,
) -> Arrays:
    """The arrays that the arguments of LMER stand for."""
    check_indexes(endog, exog, groups, exog_re, re_terms, weights, offset)
    terms = random_terms(groups, exog_re, re_terms)
    endog, exog = as_pandas(endog), two_dimensional(as_pandas(exog))
    extras = {"weights": vector(weights, "weights")}
    extras["offset"] = vector(offset, "offset")
    y = response(endog)
    X = numbers(exog, "exog")
    n = len(y)
    checks.check_lengths(n, exog, terms, extras)
    names = column_names(exog)
    mask, counts = checks.missing_rows(y, X, terms, extras, names)
    if counts:
        if missing != "drop":
            checks.refuse_missing(counts)
        endog, exog, terms, extras = drop_rows(~mask, endog, exog, terms, extras)
        X = X[~mask]
    return Arrays(endog, exog, X, terms, **extras, dropped=counts, n_data=n)


def random_terms(
    groups: ArrayLike | None,
    exog_re: ArrayLike | None,
    re_terms: Sequence[RandomTerm] | RandomTerm | None,
) -> list[RandomTerm]:
    """The random terms that the arguments of LMER stand for."""
    if re_terms is not None:
        if groups is not None or exog_re is not None:
            raise ValueError(
                "give the random effects as groups and exog_re or as re_terms, "
                "not both."
            )
        single = isinstance(re_terms, RandomTerm)
        terms: list[Any] = [re_terms] if single else list(re_terms)  # type: ignore[arg-type]
        for term in terms:
            if not isinstance(term, RandomTerm):
                raise TypeError(
                    f"re_terms holds a {type(term).__name__}; wrap each grouping "
                    "factor as RandomTerm(groups, name=...)."
                )
        if terms:
            return terms
    if groups is None:
        raise ValueError(
            "the model has no random-effects term; give groups= or re_terms=, "
            "or use statsmodels' OLS for a model without one."
        )
    if np.ndim(groups) != 1:
        raise ValueError(
            f"groups must be one-dimensional; got shape {np.shape(groups)}."
        )
    if exog_re is not None:
        exog_re = as_pandas(exog_re)
        numbers(exog_re, "exog_re")
    name = str(getattr(groups, "name", None) or "Group")
    return [RandomTerm(factor_codes(pd.Series(groups)), exog_re, name)]


def check_indexes(
    endog: Any,
    exog: Any,
    groups: Any,
    exog_re: Any,
    re_terms: Sequence[RandomTerm] | RandomTerm | None,
    weights: Any,
    offset: Any,
) -> None:
    """Whatever has an index has the response's, or else that of exog."""
    indexed = [v for v in (endog, exog) if isinstance(v, (pd.Series, pd.DataFrame))]
    if not indexed:
        return
    roles = {"exog": exog, "groups": groups, "exog_re": exog_re}
    roles |= {"weights": weights, "offset": offset}
    for term in re_terms if isinstance(re_terms, Sequence) else ():
        roles[f"the grouping {getattr(term, 'name', '')!r}"] = getattr(
            term, "groups", None
        )
    for role, values in roles.items():
        check_index(values, indexed[0].index, role)


def two_dimensional(exog: Any) -> Any:
    """The columns of the fixed part; a vector is one column."""
    if exog is None or np.ndim(exog) == 0:
        raise ValueError("exog is missing; pass the columns of the fixed part.")
    if np.ndim(exog) == 1:
        return (
            exog.to_frame()
            if isinstance(exog, pd.Series)
            else np.asarray(exog)[:, None]
        )
    if np.ndim(exog) > 2:
        raise ValueError(f"exog must have rows and columns, not {np.ndim(exog)} axes.")
    return exog if isinstance(exog, pd.DataFrame) else np.asarray(exog)


def vector(values: ArrayLike | None, role: str) -> FloatArray | None:
    """A copy of weights or offset, one number a row."""
    return None if values is None else numbers(values, role).reshape(-1).copy()


def response(endog: Any) -> FloatArray:
    """The response as one vector."""
    shape = np.shape(endog)
    if endog is None or len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        raise ValueError(
            f"the response must be one column of numbers; it has shape {shape}."
        )
    return numbers(endog, "the response").reshape(-1)


def numbers(values: Any, role: str) -> FloatArray:
    """Floats, or an error that names the role."""
    values = as_pandas(values)
    raw = np.asarray(values)
    text = raw.dtype == object and any(isinstance(v, str) for v in raw.flat)
    if text or raw.dtype.kind in "USmMc":
        raise ValueError(f"{role} is not numeric; convert it to real numbers.")
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{role} is not numeric; convert it to numbers.") from None


def column_names(exog: Any) -> list[str]:
    """Names of the columns, or their positions."""
    names = getattr(exog, "columns", range(np.shape(exog)[1]))
    return [str(name) for name in names]


def drop_rows(
    keep: np.ndarray,
    endog: Any,
    exog: Any,
    terms: Sequence[RandomTerm],
    extras: dict[str, FloatArray | None],
) -> tuple[Any, Any, list[RandomTerm], dict[str, FloatArray | None]]:
    """The same of the rows to keep."""

    def rows(values: Any) -> Any:
        return values[keep] if hasattr(values, "iloc") else np.asarray(values)[keep]

    return (
        rows(endog),
        rows(exog),
        [term.subset(keep) for term in terms],
        {k: None if v is None else v[keep] for k, v in extras.items()},
    )


def implicit_constant(X: FloatArray, basis: Basis) -> bool | None:
    """Whether columns that all vary add up to a constant, as all levels of a factor do.

    None where a column is constant, which statsmodels sees itself; for sums it would
    compare the ranks of two singular value decompositions.
    """
    if constant_column(X) is not None:
        return None
    sums = basis.Q.sum(axis=0)
    return bool(np.linalg.norm(1.0 - basis.Q @ sums) < CONSTANT * np.sqrt(len(X)))


def full_rank(exog: Any, basis: Basis) -> tuple[Any, list[str]]:
    """Leave out columns of the fixed part that depend on earlier ones, and say so."""
    if not len(basis.dropped):
        return exog, []
    names = [column_names(exog)[j] for j in basis.dropped]
    warnings.warn(
        f"the fixed part is rank deficient: dropped {len(names)} "
        f"column{'s' if len(names) > 1 else ''} that earlier ones determine "
        f"({', '.join(names)}).",
        DroppedColumnsWarning,
        stacklevel=4,
    )
    kept = exog.iloc[:, basis.kept] if hasattr(exog, "iloc") else exog[:, basis.kept]
    return kept, names
