"""What kind a column of the model's data was, to bring new data into the same form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .frames import plain
from .groups import level_codes


@dataclass(frozen=True, eq=False)
class ColumnKind:
    """The type of a column, and its levels if it stands for a factor.

    Both formula engines need new data in this form: patsy refuses categories in
    another order, and formulaic takes a level it has not seen for the reference.

    Attributes
    ----------
    dtype : dtype
        Of the column in the rows the model uses.
    levels : ndarray of object, or None
        The values that occur, where the column is a factor of the fixed part or of
        columns that vary over groups; None for numbers and times.
    """

    dtype: Any
    levels: np.ndarray | None = None

    @property
    def categorical(self) -> bool:
        """Whether the column is a pandas categorical."""
        return isinstance(self.dtype, pd.CategoricalDtype)

    @classmethod
    def of(cls, column: pd.Series, coded: bool) -> ColumnKind:
        """The kind of a column free of missing values.

        Parameters
        ----------
        column : Series
        coded : bool
            Whether its numbers, if it holds numbers, are labels of levels.
        """
        dtype = column.dtype
        if dtype.kind in "mM" or (dtype.kind in "iufb" and not coded):
            return cls(dtype)
        categorical = isinstance(dtype, pd.CategoricalDtype)
        levels = dtype.categories if categorical else pd.unique(column)
        return cls(dtype, np.asarray(levels, dtype=object))

    def convert(self, name: str, new: pd.Series) -> pd.Series:
        """New values, none of them missing, in this column's form.

        Raises
        ------
        ValueError
            If they are of another kind, or hold a level that is not known.
        """
        if self.levels is not None:
            return self._as_levels(name, new, self.levels)
        if self.dtype.kind in "iufb":
            return self._as_numbers(name, plain(new))
        return new

    def _as_numbers(self, name: str, new: pd.Series) -> pd.Series:
        flag = self.dtype.kind == "b"
        if isinstance(new.dtype, pd.CategoricalDtype):
            new = plain(new.astype(object))
        if new.dtype.kind not in "iufb" or (flag and not new.isin([0, 1]).all()):
            expected = "true or false" if flag else "numeric"
            raise ValueError(
                f"column {name!r} of the new data is not {expected}, as it was in the "
                "model's data; convert it."
            )
        return new.astype(bool if flag else np.float64)

    def _as_levels(self, name: str, new: pd.Series, levels: np.ndarray) -> pd.Series:
        codes = level_codes(levels, new)
        if (codes < 0).any():
            unseen = dict.fromkeys(new[codes < 0])
            raise ValueError(
                f"column {name!r} has levels the model has not seen: "
                f"{some(unseen, 5)}; it knows {some(sorted(levels, key=str), 10)}."
            )
        if self.categorical:
            values = pd.Categorical.from_codes(codes, dtype=self.dtype)
            return pd.Series(values, index=new.index)
        return pd.Series(levels[codes], index=new.index).astype(self.dtype)


def some(labels: Iterable[Any], most: int) -> str:
    """The first labels in words."""
    shown = list(map(str, labels))
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


def column_kinds(
    columns: Mapping[str, pd.Series], used: Iterable[str], expressions: Sequence[str]
) -> dict[str, ColumnKind]:
    """Kinds of columns free of missing values.

    Parameters
    ----------
    columns : mapping of Series
    used : iterable of str
        Columns whose levels are looked up; those of grouping factors have their own.
    expressions : sequence of str
        Formulas in which ``C(column)`` makes a factor of numbers.
    """
    wanted = set(used)
    return {
        name: ColumnKind.of(column, _in_c(name, expressions))
        if name in wanted
        else ColumnKind(column.dtype)
        for name, column in columns.items()
    }


def _in_c(name: str, expressions: Sequence[str]) -> bool:
    """Whether a formula holds C(name), or C(Q("name"))."""
    pattern = rf"\bC\(\s*(?:Q\(\s*[\"'])?{re.escape(name)}(?![\w.])\s*[\"']?\s*[,)]"
    return any(re.search(pattern, text) for text in expressions)
