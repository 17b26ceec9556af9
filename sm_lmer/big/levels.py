"""Levels of a grouping factor, met batch by batch.

Every level has an *id* that never changes while levels are added: the number itself
for integers, the order of appearance for all other labels. Interactions are sets of
ids. At the end the levels are sorted as those of data in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..formula.groups import _sorted_order as sorted_order
from ..formula.groups import factor_codes

Ids = NDArray[np.int64]

SPAN = 1 << 26
"""Largest range of integers for which one flag a number is kept (64 MB)."""


class IntegerLevels:
    """Integers, by one flag for each number of their range, or as a sorted array."""

    def __init__(self) -> None:
        self.low = 0
        self.present: NDArray[np.bool_] | None = np.zeros(0, dtype=bool)
        self.wide: Ids = np.zeros(0, dtype=np.int64)

    def add(self, values: NDArray[np.integer[Any]]) -> Ids:
        """Take in the values of a batch; they are their own ids."""
        ids = values.astype(np.int64, copy=False)
        if len(ids) == 0:
            return ids
        if self.present is not None:
            self._grow(int(ids.min()), int(ids.max()))
        if self.present is not None:
            self.present[ids - self.low] = True
        else:
            self.wide = np.union1d(self.wide, pd.unique(ids))
        return ids

    def _grow(self, low: int, high: int) -> None:
        """Make room for a range; give the flags up where it is too wide."""
        assert self.present is not None
        if len(self.present):
            low = min(low, self.low)
            high = max(high, self.low + len(self.present) - 1)
            if low == self.low and high < self.low + len(self.present):
                return
        if high - low >= SPAN:
            self.wide, self.present = self.ids(), None
            return
        present = np.zeros(high - low + 1, dtype=bool)
        start = self.low - low
        if len(self.present):
            present[start : start + len(self.present)] = self.present
        self.low, self.present = low, present

    def ids(self) -> Ids:
        """All levels, ascending."""
        if self.present is None:
            return self.wide
        return np.flatnonzero(self.present).astype(np.int64) + self.low

    def merge(self, other: IntegerLevels) -> None:
        """Take in the levels of other rows; ids mean the same in both."""
        self.add(other.ids())

    def finished(
        self, listed: Sequence[Any] | None = None
    ) -> tuple[NDArray[np.object_], Ids]:
        """Labels in their order, and their ids."""
        ids = self.ids()
        return ids.astype(object), ids


class LabelLevels:
    """Labels of any other kind; of a categorical too."""

    def __init__(self) -> None:
        self.index = pd.Index([], dtype=object)
        self.occurs = np.zeros(0, dtype=bool)

    def add(self, values: pd.Series) -> Ids:
        """Take in the values of a batch without missing ones; returns their ids."""
        if isinstance(values.dtype, pd.CategoricalDtype):
            codes, labels = values.cat.codes.to_numpy(), values.cat.categories
        else:
            factor = factor_codes(values)
            codes, labels = factor.codes, pd.Index(factor.levels, dtype=object)
        at = self._add_labels(pd.Index(labels, dtype=object))
        used = np.bincount(codes, minlength=len(labels)) > 0
        self.occurs[at[used]] = True
        return at[codes]

    def _add_labels(self, labels: pd.Index) -> Ids:
        at = self.index.get_indexer(labels)
        if (at < 0).any():
            new = labels[at < 0]
            at[at < 0] = len(self.index) + np.arange(len(new))
            self.index = self.index.append(new)
            self.occurs = np.append(self.occurs, np.zeros(len(new), dtype=bool))
        return at.astype(np.int64)

    def merge(self, other: LabelLevels) -> Ids:
        """Take in the levels of other rows; returns the ids of the other's here."""
        at = self._add_labels(other.index)
        self.occurs[at[other.occurs]] = True
        return at

    def finished(
        self, listed: Sequence[Any] | None = None
    ) -> tuple[NDArray[np.object_], Ids]:
        """Labels in their order (that of `listed`, if given), and their ids."""
        ids = np.flatnonzero(self.occurs).astype(np.int64)
        labels = self.index.to_numpy()[ids]
        if listed is not None:
            order = np.argsort(pd.Index(listed, dtype=object).get_indexer(labels))
        else:
            numbers = pd.Series(labels).infer_objects().to_numpy()
            order = sorted_order(numbers if numbers.dtype.kind in "iub" else labels)
        return labels[order].astype(object), ids[order]


Levels = IntegerLevels | LabelLevels


def levels_for(values: pd.Series) -> Levels:
    """An empty set of levels for groups of this type."""
    return IntegerLevels() if _are_integers(values) else LabelLevels()


def _are_integers(values: pd.Series) -> bool:
    return isinstance(values.dtype, np.dtype) and values.dtype.kind in "iu"


def add(levels: Levels, values: pd.Series) -> tuple[Levels, Ids]:
    """Take in the groups of a batch, none of them missing.

    Returns
    -------
    levels : IntegerLevels or LabelLevels
        Another object if integers are joined by labels of other kinds.
    ids : ndarray, shape (n,)
    """
    if isinstance(levels, IntegerLevels):
        if _are_integers(values):
            return levels, levels.add(values.to_numpy())
        raise TypeError("integers are followed by labels of another type")
    return levels, levels.add(values)


class Crossings:
    """The combinations of levels that occur, as rows of ids."""

    def __init__(self, parts: int) -> None:
        self.ids = np.zeros((0, parts), dtype=np.int64)
        self.waiting: list[Ids] = []

    def add(self, ids: Ids) -> None:
        """Take in combinations, shape (n, parts); repetitions do no harm."""
        self.waiting.append(unique_rows(ids))
        if sum(map(len, self.waiting)) > len(self.ids):
            self.found()

    def found(self) -> Ids:
        """All combinations, each once."""
        if self.waiting:
            self.ids = unique_rows(np.concatenate([self.ids, *self.waiting]))
            self.waiting = []
        return self.ids


def unique_rows(ids: Ids) -> Ids:
    """Rows of a matrix of integers, each once."""
    key = np.zeros(len(ids), dtype=np.int64)
    for column in ids.T:
        codes, labels = pd.factorize(column)
        # numbered anew at every step, so that the key never overflows
        key = pd.factorize(key * len(labels) + codes)[0]
    _, first = np.unique(key, return_index=True)
    return ids[first]
