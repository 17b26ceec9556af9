"""The first pass: which rows are kept, which levels and categories there are.

What is found in two sets of rows adds up (:meth:`Found.merge`), so that batches can be
looked at one after the other or on several machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..checks import refuse_missing
from ..compat import statsmodels as compat
from ..formula.grammar import ParsedFormula
from ..formula.groups import evaluate_group
from ..formula.rows import complete_rows
from .levels import Crossings, Levels, add, levels_for
from .sources import NUMERIC, kind_of

SAMPLE = 8_192
"""Rows that are kept for a first idea of scales, at most twice as many."""

A_BATCH = 1_024
"""Rows of a batch that go into the sample."""

CATEGORIES = 10_000
"""Values from which on a number is no factor."""


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked of the rows, whatever they hold.

    Attributes
    ----------
    parsed : ParsedFormula
    names : tuple of str
        The columns in use.
    weights, offset, subset : str or None
        Expressions in the columns.
    missing : {"drop", "raise", "none"}
    namespace : dict
        Names of the caller that the formula uses.
    coded : frozenset of str
        Columns of the design that are factors even where they hold numbers.
    labels : frozenset of str
        Columns of the design, of which those that are no numbers are factors.
    response : str or None
        The column that is the response, if the response is one.
    """

    parsed: ParsedFormula
    names: tuple[str, ...]
    weights: str | None
    offset: str | None
    subset: str | None
    missing: str
    namespace: Mapping[str, Any]
    coded: frozenset[str]
    labels: frozenset[str]
    response: str | None

    def __getstate__(self) -> dict[str, Any]:
        names = compat.portable_names(dict(self.namespace))
        return {**self.__dict__, "namespace": names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        names = compat.restored_names(state["namespace"])
        self.__dict__.update(state, namespace=names)

    @property
    def groups(self) -> list[str]:
        """Expressions of the grouping factors, each once."""
        return list(dict.fromkeys(e for s in self.parsed.random for e in s.factors))

    @property
    def interactions(self) -> list[tuple[str, ...]]:
        """Interactions of grouping factors, each once."""
        keys = (s.factors for s in self.parsed.random if len(s.factors) > 1)
        return list(dict.fromkeys(keys))


@dataclass(frozen=True, eq=False)
class Kept:
    """The rows of a batch that are used.

    Attributes
    ----------
    frame : DataFrame
        The columns in use.
    positions : ndarray of int
        Where the rows are in the batch.
    lost : dict
        Number of rows with missing values, by column.
    """

    frame: pd.DataFrame
    positions: np.ndarray
    lost: dict[str, int]


def kept_rows(request: Request, batch: pd.DataFrame) -> Kept:
    """Leave out the rows outside the subset, and those with missing values.

    Raises
    ------
    ValueError
        For infinite values, or a response that is not numeric.
    MissingDataError
        For missing values, if they are to be refused.
    """
    batch = batch.set_axis(pd.RangeIndex(len(batch)), axis=0)
    at = np.arange(len(batch))
    if request.subset is not None:
        at = _subset(request, batch)
    names = [name for name in request.names if name in batch.columns]
    columns = {name: batch[name] for name in names}
    chosen = batch[names].iloc[at] if len(at) < len(batch) else batch[names]
    missing = {name: chosen[name].isna().to_numpy() for name in names}
    lost = {name: int(k) for name, mask in missing.items() if (k := mask.sum())}
    if lost and request.missing != "drop":
        refuse_missing({f"column {name!r}": count for name, count in lost.items()})
    if len(at) == 0 or (lost and np.any(list(missing.values()), axis=0).all()):
        return Kept(chosen.iloc[:0], at[:0], lost)
    given = at if len(at) < len(batch) else None
    rows = complete_rows(columns, batch.index, given, "drop", request.response)
    return Kept(rows.frame, rows.positions, rows.dropped)


def _subset(request: Request, batch: pd.DataFrame) -> np.ndarray:
    """Positions of the rows for which the condition holds."""
    chosen = evaluate_group(str(request.subset), batch, request.namespace)
    if kind_of(chosen) != "true or false":
        raise ValueError(f"subset {request.subset!r} is not true or false.")
    return np.flatnonzero(chosen.fillna(False).to_numpy(dtype=bool))


@dataclass(eq=False)
class Found:
    """What has been found in some rows.

    Attributes
    ----------
    n_data, n : int
        Rows, and rows kept.
    lost : dict
        Rows with missing values, by column.
    kinds : dict
        What the columns hold: numbers, text, ...
    levels : dict
        Of each grouping expression.
    crossings : dict
        Combinations that occur of the levels of interactions.
    categories : dict
        Values met of each column that is a factor of the design.
    listed : dict
        Categories that a column lists, in their order.
    firsts, sample : list of DataFrame
        The first row of each category, and some rows, evenly spread.
    """

    n_data: int = 0
    n: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    levels: dict[str, Levels] = field(default_factory=dict)
    crossings: dict[tuple[str, ...], Crossings] = field(default_factory=dict)
    categories: dict[str, dict[Any, None]] = field(default_factory=dict)
    listed: dict[str, list[Any]] = field(default_factory=dict)
    firsts: list[pd.DataFrame] = field(default_factory=list)
    sample: list[pd.DataFrame] = field(default_factory=list)

    # -- one more batch ----------------------------------------------------------------

    def add(self, request: Request, batch: pd.DataFrame) -> None:
        """Take in a batch; nothing is taken in if it is refused."""
        if len(batch) == 0:
            return
        self._check_kinds({n: kind_of(batch[n]) for n in request.names})
        kept = kept_rows(request, batch)
        for name in request.names:
            if isinstance(batch[name].dtype, pd.CategoricalDtype):
                self._list_categories(name, batch[name].cat.categories)
        self.n_data += len(batch)
        for name, count in kept.lost.items():
            self.lost[name] = self.lost.get(name, 0) + count
        frame = kept.frame
        if len(frame) == 0:
            return
        frame = self._add_groups(request, frame)
        self.n += len(frame)
        self._add_categories(request, frame)
        chosen = np.unique(np.linspace(0, len(frame) - 1, A_BATCH).astype(np.int64))
        self.sample.append(frame.iloc[chosen])
        self._thin()

    def _check_kinds(self, kinds: Mapping[str, str | None]) -> None:
        for name, kind in kinds.items():
            known = self.kinds.get(name)
            if kind is None or known == kind:
                continue
            if known is not None:
                raise ValueError(
                    f"column {name!r} is {known} in the first rows and {kind} in later "
                    "ones; give it one type."
                )
            self.kinds[name] = kind

    def _add_groups(self, request: Request, frame: pd.DataFrame) -> pd.DataFrame:
        """Take in the levels; rows whose grouping cannot be told are left out."""
        groups = {
            e: evaluate_group(e, frame, request.namespace) for e in request.groups
        }
        missing = {e: g.isna().to_numpy() for e, g in groups.items()}
        gone = np.any(list(missing.values()), axis=0)
        if gone.any():
            frame = frame[~gone]
            groups = {e: g[~gone] for e, g in groups.items()}
        if len(frame) == 0:
            return frame
        ids = {}
        for expression, values in groups.items():
            known = self.levels.get(expression) or levels_for(values)
            try:
                self.levels[expression], ids[expression] = add(known, values)
            except TypeError:
                raise ValueError(
                    f"the labels of the grouping {expression!r} are whole numbers in "
                    "the first rows and of another type in later ones; give them one "
                    "type."
                ) from None
        for key in request.interactions:
            known_crossings = self.crossings.setdefault(key, Crossings(len(key)))
            known_crossings.add(np.column_stack([ids[e] for e in key]))
        return frame

    def _add_categories(self, request: Request, frame: pd.DataFrame) -> None:
        """Remember a row for each category not met before."""
        for name in request.labels:
            column = frame[name]
            if name not in request.coded and self.kinds.get(name) == NUMERIC:
                continue
            known = self.categories.setdefault(name, {})
            codes, labels = pd.factorize(column)
            new = [k for k, label in enumerate(labels) if label not in known]
            if not new:
                continue
            known.update(dict.fromkeys(labels[k] for k in new))
            if len(known) > CATEGORIES:
                raise ValueError(
                    f"column {name!r} has more than {CATEGORIES:,} values as a factor "
                    "of fixed or random columns; take it as a grouping factor, or as a "
                    "number."
                )
            _, first = np.unique(codes, return_index=True)
            self.firsts.append(frame.iloc[first[new]])

    def _list_categories(self, name: str, categories: pd.Index) -> None:
        """Remember categories in the order in which they are first listed."""
        listed = self.listed.setdefault(name, [])
        known = set(listed)
        listed += [label for label in categories if label not in known]

    def _thin(self) -> None:
        """Every second row of the sample, if it has grown too large."""
        if sum(map(len, self.sample)) > 2 * SAMPLE:
            self.sample = [joined(self.sample).iloc[::2]]

    # -- two sets of rows --------------------------------------------------------------

    def merge(self, other: Found) -> Found:
        """Take in what was found in later rows; returns itself."""
        self._check_kinds(other.kinds)
        self.n_data += other.n_data
        self.n += other.n
        for name, count in other.lost.items():
            self.lost[name] = self.lost.get(name, 0) + count
        places = {e: self._merge_levels(e, found) for e, found in other.levels.items()}
        for key, crossings in other.crossings.items():
            ids = crossings.found().copy()
            for j, expression in enumerate(key):
                place = places[expression]
                if place is not None:
                    ids[:, j] = place[ids[:, j]]
            self.crossings.setdefault(key, Crossings(len(key))).add(ids)
        for name, labels in other.categories.items():
            self.categories.setdefault(name, {}).update(labels)
        for name, listed in other.listed.items():
            self._list_categories(name, pd.Index(listed, dtype=object))
        self.firsts += other.firsts
        self.sample += other.sample
        self._thin()
        return self

    def _merge_levels(self, expression: str, other: Levels) -> np.ndarray | None:
        mine = self.levels.get(expression)
        if mine is None:
            self.levels[expression] = other
            return None
        if type(mine) is not type(other):
            raise ValueError(
                f"the labels of the grouping {expression!r} are not of one type in all "
                "parts of the data; give them one type."
            )
        return mine.merge(other)  # type: ignore[arg-type]

    def pilot(self) -> pd.DataFrame:
        """The sample, and a row for every category."""
        frame = joined([*self.firsts, *self.sample])
        for name, listed in self.listed.items():
            if name not in self.categories:
                continue
            used = [label for label in listed if label in self.categories[name]]
            column = pd.Categorical(frame[name].astype(object), categories=used)
            frame[name] = column
        return frame


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames of the same columns below each other."""
    plain = [
        frame.assign(
            **{
                name: frame[name].astype(object)
                for name in frame.columns
                if isinstance(frame[name].dtype, pd.CategoricalDtype)
            }
        )
        for frame in frames
    ]
    return pd.concat(plain, ignore_index=True)
