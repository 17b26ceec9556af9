"""Which rows of the data a model uses, and the columns in use there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..checks import infinite, refuse_missing
from ..core.terms import Factor
from .frames import is_text, plain
from .groups import factor_codes

WEIGHTS, OFFSET = "weights (argument)", "offset (argument)"


@dataclass(frozen=True, eq=False)
class Rows:
    """The complete rows of the columns in use.

    Attributes
    ----------
    columns : dict of Series
        With plain dtypes.
    frame : DataFrame
        The same as a frame.
    positions : ndarray of int
        Where the rows are in the data.
    dropped : dict
        Number of rows with missing values, by column.
    factors : dict of Factor
        Columns of strings as grouping factors, as they have been coded already.
    """

    columns: dict[str, pd.Series]
    frame: pd.DataFrame
    positions: np.ndarray
    dropped: dict[str, int]
    factors: dict[str, Factor] = field(default_factory=dict)


def subset_positions(index: pd.Index, subset: ArrayLike) -> np.ndarray:
    """Positions of the rows that ``data.loc[subset]`` selects.

    Raises
    ------
    ValueError
        If it selects none, or is no selection of rows.
    """
    numbered = pd.Series(np.arange(len(index)), index=index)
    selector: Any = subset
    if not isinstance(subset, (pd.Series, slice)):
        selector = np.asarray(subset)
    if pd.api.types.is_bool_dtype(selector) and len(selector) != len(index):
        raise ValueError(
            f"subset has {len(selector)} entries, but the data have {len(index)} rows."
        )
    try:
        positions = np.asarray(numbered.loc[selector])
    except (KeyError, ValueError, TypeError, pd.errors.IndexingError) as error:
        raise ValueError(
            f"subset does not select rows of the data ({error.args[0]}); "
            "pass booleans without missing values, or labels of the index."
        ) from error
    if len(positions) == 0:
        raise ValueError("subset leaves no rows.")
    return positions


def complete_rows(
    columns: dict[str, pd.Series],
    index: pd.Index,
    positions: np.ndarray | None,
    missing: str,
    response: str | None,
) -> Rows:
    """Drop the rows with a missing value, refuse infinite ones.

    Parameters
    ----------
    columns : dict of Series
        The columns in use, all of them with the data's index.
    index : Index
    positions : ndarray of int, or None
        Rows to begin with; None for all.
    missing : {"drop", "raise", "none"}
    response : str or None
        The column that is the response, if the response is one.
    """
    if positions is None:
        positions = np.arange(len(index))
    else:
        columns, index = _taken(columns, index, positions)
    masks = {name: _missing(column) for name, column in columns.items()}
    lost = {name: int(k) for name, mask in masks.items() if (k := mask.sum())}
    if lost and missing != "drop":
        refuse_missing({_called(name): count for name, count in lost.items()})
    if lost:
        keep = np.flatnonzero(~np.any([masks[name] for name in lost], axis=0))
        if len(keep) == 0:
            raise ValueError(
                f"no row is complete; rows with missing values, of {len(index)}: "
                + ", ".join(f"{_called(k)} {v}" for k, v in lost.items())
                + "."
            )
        columns, index = _taken(columns, index, keep)
        positions = positions[keep]
    factors = {k: factor_codes(v) for k, v in columns.items() if is_text(v.dtype)}
    columns = {
        name: _objects(column, factors[name]) if name in factors else plain(column)
        for name, column in columns.items()
    }
    for name, column in columns.items():
        _refuse_complex_and_infinite(name, column)
    if response in columns:
        columns[response] = _numeric_response(response, columns[response])
    frame = pd.DataFrame(columns, index=index)
    return Rows(columns, frame, positions, lost, factors)


def rows_without(rows: Rows, bad: dict[str, np.ndarray]) -> Rows:
    """Leave out rows in which an evaluated column is not a number."""
    keep = ~np.any(list(bad.values()), axis=0)
    if not keep.any():
        raise ValueError(f"{next(iter(bad))} is not a number in any row.")
    counts = {name: int(where.sum()) for name, where in bad.items()}
    frame = rows.frame[keep].apply(plain)
    columns = {name: frame[name] for name in frame.columns}
    return Rows(columns, frame, rows.positions[keep], rows.dropped | counts)


def _taken(
    columns: Mapping[str, pd.Series], index: pd.Index, positions: np.ndarray
) -> tuple[dict[str, pd.Series], pd.Index]:
    """Some rows of columns that have one index."""
    frame = pd.DataFrame(columns, index=index).iloc[positions]
    return {name: frame[name] for name in columns}, frame.index


def _objects(column: pd.Series, factor: Factor) -> pd.Series:
    """Strings as objects: one object a level, not one a row."""
    values = factor.levels[factor.codes]
    return pd.Series(values, index=column.index, name=column.name, dtype=object)


def _missing(column: pd.Series) -> np.ndarray:
    """Where a column is missing."""
    if isinstance(column.dtype, np.dtype):
        return np.asarray(pd.isna(column.to_numpy()))
    return np.asarray(column.array.isna(), dtype=bool)


def _refuse_complex_and_infinite(name: str, column: pd.Series) -> None:
    if column.dtype.kind == "c":
        raise ValueError(f"{_called(name)} is complex; use real numbers.")
    if column.dtype.kind == "f" and not np.isfinite(column.to_numpy()).all():
        count = int((~np.isfinite(column.to_numpy())).sum())
        raise infinite(_called(name), count)


def _numeric_response(name: str, column: pd.Series) -> pd.Series:
    """Refuse a response of strings before the engine makes dummies of it."""
    if column.dtype == bool:
        return column.astype(np.float64)
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise ValueError(
            f"the response {name!r} is not numeric (its dtype is {column.dtype}); "
            "convert it with pandas.to_numeric."
        )
    return column


def _called(name: str) -> str:
    return name if name in (WEIGHTS, OFFSET) else f"column {name!r}"
