"""Checks of a model's arrays, each failing with one sentence and its remedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.tools.sm_exceptions import MissingDataError

from .core.terms import FloatArray, RandomTerm


def rows(count: int) -> str:
    """A number of rows, for messages."""
    return f"{count} row" if count == 1 else f"{count} rows"


NEARLY_PERFECT = 1e-6
"""Share of the response's spread, below which residuals are looked at closely."""

PERFECT = 1e-10
"""Share of the response's spread below which a residual counts as none."""


def check_lengths(
    n: int,
    exog: ArrayLike,
    terms: Sequence[RandomTerm],
    extras: dict[str, FloatArray | None],
) -> None:
    """All roles have one entry a row."""
    if n == 0:
        raise ValueError("the data have no rows.")
    lengths = {"exog": np.shape(exog)[0]}
    lengths |= {f"the term {t.text}": len(t.factor.codes) for t in terms}
    lengths |= {k: v.shape[0] for k, v in extras.items() if v is not None}
    for role, length in lengths.items():
        if length != n:
            raise ValueError(f"{role} has {rows(length)}, but the response has {n}.")


def all_present(arrays: Sequence[FloatArray], terms: Sequence[RandomTerm]) -> bool:
    """Whether nothing is missing or infinite, which is the usual case."""
    return all(np.isfinite(values).all() for values in arrays) and all(
        np.isfinite(np.asarray(term.Z)).all() and term.factor.codes.min(initial=0) >= 0
        for term in terms
    )


def missing_rows(
    y: FloatArray,
    X: FloatArray,
    terms: Sequence[RandomTerm],
    extras: dict[str, FloatArray | None],
    names: Sequence[str],
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Rows in which some role is missing, and the number of them by column."""
    mask = np.zeros(len(y), dtype=bool)
    if all_present([y, X, *(v for v in extras.values() if v is not None)], terms):
        return mask, {}
    columns = {"the response": y}
    columns |= {f"column {name!r}": X[:, j] for j, name in enumerate(names)}
    for term in terms:
        Z = np.asarray(term.Z)
        for j, name in enumerate(term.columns or ()):
            columns[f"column {name!r} of {term.text}"] = Z[:, j]
        columns[f"the grouping {term.name!r}"] = np.where(
            term.factor.codes < 0, np.nan, 0.0
        )
    columns |= {role: v for role, v in extras.items() if v is not None}
    counts = {}
    for name, values in columns.items():
        if np.isfinite(values).all():
            continue
        if np.isinf(values).any():
            raise infinite(name, int(np.isinf(values).sum()))
        where = np.isnan(values)
        mask |= where
        counts[name] = int(where.sum())
    return mask, counts


def refuse_missing(counts: dict[str, int]) -> None:
    """Raise if something is missing."""
    for name, count in counts.items():
        raise MissingDataError(
            f"missing values in {name} ({rows(count)}); "
            "use missing='drop' to leave these rows out."
        )


def infinite(name: str, count: int) -> ValueError:
    """The error for infinite values."""
    return ValueError(
        f"infinite values in {name} ({rows(count)}); "
        "remove these rows or replace the values."
    )


def check_response(y: FloatArray, p: int) -> None:
    """The response varies, and there are enough rows."""
    if len(y) <= p:
        raise ValueError(
            f"too few data ({rows(len(y))}) for {p} fixed effects; "
            "drop terms or add data."
        )
    if (y == y[0]).all():
        raise ValueError(
            f"the response is constant ({y[0]:g} in all {len(y)} rows), "
            "so there is no variance to explain."
        )


FIXED_PERFECT = (
    "perfect fit: the fixed effects reproduce the response exactly, so no variance is "
    "left to estimate; check for the response among the predictors."
)

RANDOM_PERFECT = (
    "perfect fit: the random effects reproduce the response exactly, so no residual "
    "variance is left to estimate; the response does not vary within the groups."
)


def check_residual(residual: FloatArray, spread: float, perfect: str) -> None:
    """Something of the response is left; `perfect` is what to say if not."""
    if np.linalg.norm(residual) <= PERFECT * spread:
        raise ValueError(perfect)


def check_weights(weights: FloatArray) -> None:
    """Precision weights are positive."""
    for kind, bad in (("negative", weights < 0), ("zero", weights == 0)):
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"the weights are {kind} in {rows(int(bad.sum()))} (first at row "
                f"{row}); precision weights must be positive: drop rows of no weight."
            )


def check_term(term: RandomTerm, n: int | None = None) -> None:
    """A variance can be estimated for the term, of n rows if it holds none itself."""
    n, levels = len(term.factor.codes) if n is None else n, term.factor.n_levels
    if levels == 1:
        raise ValueError(
            f"the grouping factor {term.name!r} of {term.text} has only one level; "
            "a random effect needs at least two, better six or more."
        )
    if levels >= n:
        raise ValueError(
            f"the grouping factor {term.name!r} of {term.text} has as many levels "
            f"({levels}) as there are observations, so its variance cannot be told "
            "from the residual variance; use a coarser factor."
        )
    if levels * term.q >= n:
        raise ValueError(
            f"the term {term.text} has {levels * term.q} random effects ({levels} "
            f"levels of {term.name!r} x {term.q} columns) for {n} observations; "
            "drop columns or use a coarser factor."
        )


def check_distinct(terms: Sequence[RandomTerm]) -> None:
    """No term stands twice, and no name stands for two grouping factors."""
    for k, term in enumerate(terms):
        for earlier in terms[:k]:
            if earlier.name != term.name:
                continue
            if not np.array_equal(earlier.factor.codes, term.factor.codes):
                raise ValueError(
                    f"two grouping factors are named {term.name!r}; "
                    "give each RandomTerm its own name=."
                )
            if earlier.columns == term.columns:
                raise ValueError(
                    f"the term {term.text} stands twice; remove one of them."
                )
