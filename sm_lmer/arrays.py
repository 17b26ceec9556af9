"""The arrays that LMER is built from: what is taken, and how it is brought in shape."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .core.conditioning import Basis
from .core.terms import FloatArray, RandomTerm
from .errors import DroppedColumnsWarning
from .formula.frames import as_pandas, check_index
from .formula.groups import factor_codes


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
