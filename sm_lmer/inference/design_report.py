"""Which grouping factors are nested, which are crossed, and with what counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ..core.terms import Factor, IntArray
from .nesting import unwrapped

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults

NESTED, CROSSED, PARTIAL, SAME = (
    "nested in",
    "fully crossed",
    "partially crossed",
    "same groups",
)
"""The relations of two factors."""

COUNTED = 20_000_000
"""Combinations of levels up to which rows are counted, not sorted."""


@dataclass(frozen=True, eq=False)
class GroupingFactor:
    """A grouping factor of a model, whatever the number of terms on it.

    Attributes
    ----------
    name : str
    factor : Factor
    counts : ndarray of int, shape (levels,)
        Rows of each level.
    """

    name: str
    factor: Factor
    counts: IntArray

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.factor.n_levels


@dataclass(frozen=True, eq=False)
class Crossing:
    """Two grouping factors, that with more levels first, and the cells they share.

    Attributes
    ----------
    first, second : GroupingFactor
    rows, cols : ndarray of int, shape (cells,)
        Levels of the first and of the second factor in each cell that has rows.
    counts : ndarray of int, shape (cells,)
        Its rows.
    """

    first: GroupingFactor
    second: GroupingFactor
    rows: IntArray
    cols: IntArray
    counts: IntArray

    @property
    def relation(self) -> str:
        """Nested in, fully crossed, partially crossed, or the same groups."""
        cells = len(self.counts)
        if cells == self.first.n_levels:
            return SAME if cells == self.second.n_levels else NESTED
        return CROSSED if cells == self.possible else PARTIAL

    @property
    def possible(self) -> int:
        """Number of cells of a full crossing."""
        return self.first.n_levels * self.second.n_levels

    def levels_within(self) -> IntArray:
        """Levels of the first factor in each level of the second."""
        return np.bincount(self.cols, minlength=self.second.n_levels)

    def parts(self) -> tuple[int, IntArray, IntArray]:
        """How many parts the levels fall into, and each level's part.

        Levels are in one part if a path of cells leads from one to the other.
        """
        return self._parts

    @cached_property
    def _parts(self) -> tuple[int, IntArray, IntArray]:
        total, part = _linked(
            [(self.rows, self.first.n_levels + self.cols)],
            self.first.n_levels + self.second.n_levels,
        )
        return total, part[: self.first.n_levels], part[self.first.n_levels :]


def grouping_factors(model: LMER) -> list[GroupingFactor]:
    """The grouping factors of a model, in the order of its terms.

    Raises
    ------
    ValueError
        If the rows of the model have been removed.
    """
    model.require_rows("a report on its design")
    factors = {term.name: term.factor for term in model.re_terms}
    return [
        GroupingFactor(name, factor, np.bincount(factor.codes))
        for name, factor in factors.items()
    ]


def crossings(factors: Sequence[GroupingFactor]) -> list[Crossing]:
    """Every pair of grouping factors."""
    return [_crossing(one, other) for one, other in combinations(factors, 2)]


def _crossing(one: GroupingFactor, other: GroupingFactor) -> Crossing:
    first, second = (one, other) if one.n_levels >= other.n_levels else (other, one)
    codes = first.factor.codes.astype(np.int64) * second.n_levels + second.factor.codes
    if first.n_levels * second.n_levels <= COUNTED:
        every = np.bincount(codes)
        cells = np.flatnonzero(every)
        counts = every[cells]
    else:
        cells, counts = np.unique(codes, return_counts=True)
    rows, cols = np.divmod(cells, second.n_levels)
    return Crossing(first, second, rows, cols, counts)


def _linked(
    edges: Sequence[tuple[IntArray, IntArray]], nodes: int
) -> tuple[int, IntArray]:
    """Number of connected components of a graph, and the component of each node."""
    rows = np.concatenate([tail for tail, _ in edges])
    cols = np.concatenate([head for _, head in edges])
    graph = sparse.coo_array((np.ones(len(rows), np.int8), (rows, cols)), (nodes,) * 2)
    total, part = connected_components(graph, directed=False)
    return int(total), part


@dataclass(frozen=True, eq=False)
class DesignReport:
    """The grouping factors of a design; see :func:`design_report`.

    Attributes
    ----------
    nobs : int
        Number of rows.
    factors : DataFrame
        A row a grouping factor: ``levels``, ``rows_min``, ``rows_median`` and
        ``rows_max`` of a level, ``singletons`` (levels with one row), and for an
        interaction of factors ``possible``, the number of combinations of its parts
        that occur in the data (missing otherwise).
    pairs : DataFrame
        A row a pair: ``first`` (the factor with more levels) and ``second``,
        ``relation`` of the first to the second ("nested in", "fully crossed",
        "partially crossed", "same groups"), ``cells`` with rows, ``possible`` cells,
        ``rows_min``, ``rows_median`` and ``rows_max`` of a cell with rows,
        ``levels_min`` and ``levels_max``, the levels of the first factor that occur in
        a level of the second, and ``components``, the number of parts without a common
        level that the levels of both fall into; those of a nested factor are the
        levels of the factor that it is nested in.
    clusters : int
        Number of sets of rows that share no level of any factor, and hence are
        independent of each other.
    """

    nobs: int
    factors: pd.DataFrame
    pairs: pd.DataFrame
    clusters: int

    def __str__(self) -> str:
        lines = [_count(self.nobs, "row")]
        lines += [_of_factor(name, row) for name, row in self.factors.iterrows()]
        lines += [_of_pair(row, self.pairs) for _, row in self.pairs.iterrows()]
        if self.clusters > 1:
            lines.append(f"The rows form {self.clusters:,} independent clusters.")
        elif len(self.factors) > 1:
            lines.append(
                "There are no independent clusters: all rows are linked by levels "
                "that they share."
            )
        return "\n".join(lines)

    __repr__ = __str__


def design_report(model: LMER | LMERResults) -> DesignReport:
    """Report on the grouping factors of a model: levels, nesting, crossing.

    Parameters
    ----------
    model : LMER or LMERResults
        From a formula or from arrays.

    Returns
    -------
    DesignReport
        ``print`` says it in words; its frames have the numbers.

    Raises
    ------
    ValueError
        If the rows of the model have been removed.

    Notes
    -----
    A factor is nested in another if each of its levels occurs with one level of the
    other only, fully crossed with it if all combinations of their levels occur, and
    partially crossed otherwise. What counts are the rows of the model, not the
    formula: labels used again in each group make a nested factor look crossed.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.inference.design_report import design_report
    >>> data = sml.datasets.load_pastes()
    >>> model = sml.lmer("strength ~ 1 + (1 | batch/cask)", data)
    >>> print(design_report(model))
    60 rows
    cask:batch: 30 levels, 2 rows each; 30 of 30 combinations occur.
    batch: 10 levels, 6 rows each.
    cask:batch is nested in batch: 3 levels of cask:batch in each of batch.
    The rows form 10 independent clusters.
    """
    owner = unwrapped(model)
    lmer: LMER = getattr(owner, "model", owner)
    factors = grouping_factors(lmer)
    pairs = crossings(factors)
    starts = np.cumsum([0, *(f.n_levels for f in factors)])
    edges = [
        (starts[0] + factors[0].factor.codes, start + f.factor.codes)
        for start, f in zip(starts[:-1], factors, strict=True)
    ]
    return DesignReport(
        nobs=lmer.nobs,
        factors=_factors_frame(factors),
        pairs=_pairs_frame(pairs),
        clusters=_linked(edges, int(starts[-1]))[0],
    )


def _spread(counts: IntArray) -> dict[str, float]:
    return {
        "rows_min": int(counts.min()),
        "rows_median": float(np.median(counts)),
        "rows_max": int(counts.max()),
    }


def _factors_frame(factors: Sequence[GroupingFactor]) -> pd.DataFrame:
    rows = [
        {
            "levels": f.n_levels,
            **_spread(f.counts),
            "singletons": int((f.counts == 1).sum()),
            "possible": _possible(f.factor),
        }
        for f in factors
    ]
    index = pd.Index([f.name for f in factors], name="factor")
    return pd.DataFrame(rows, index=index).astype({"possible": "Int64"})


def _possible(factor: Factor) -> int | None:
    """Combinations of the levels of an interaction's parts that occur."""
    if factor.combinations is None:
        return None
    return prod(len(np.unique(part)) for part in factor.combinations.T)


def _pairs_frame(pairs: Sequence[Crossing]) -> pd.DataFrame:
    columns = ["first", "second", "relation", "cells", "possible"]
    columns += ["rows_min", "rows_median", "rows_max"]
    columns += ["levels_min", "levels_max", "components"]
    rows = [
        {
            "first": pair.first.name,
            "second": pair.second.name,
            "relation": pair.relation,
            "cells": len(pair.counts),
            "possible": pair.possible,
            **_spread(pair.counts),
            "levels_min": int(pair.levels_within().min()),
            "levels_max": int(pair.levels_within().max()),
            "components": pair.parts()[0],
        }
        for pair in pairs
    ]
    return pd.DataFrame(rows, columns=columns)


# -- in words --------------------------------------------------------------------------


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def rows_in_words(low: float, median: float, high: float) -> str:
    """Say "2 rows each", or "1 to 5 rows, median 2"."""
    if low == high:
        return f"{_count(int(low), 'row')} each"
    return f"{low:,.0f} to {high:,.0f} rows, median {median:,g}"


def _of_factor(name: Any, row: pd.Series) -> str:
    said = rows_in_words(row["rows_min"], row["rows_median"], row["rows_max"])
    text = f"{name}: {row['levels']:,} levels, {said}"
    if 0 < row["singletons"] < row["levels"]:
        text += f"; {row['singletons']:,} with one row only"
    if not pd.isna(row["possible"]):
        text += f"; {row['levels']:,} of {row['possible']:,} combinations occur"
    return f"{text}."


def _of_pair(row: pd.Series, pairs: pd.DataFrame) -> str:
    first, second, relation = row["first"], row["second"], row["relation"]
    said = rows_in_words(row["rows_min"], row["rows_median"], row["rows_max"])
    cells = f"{row['cells']:,} of {row['possible']:,} combinations occur"
    if relation == SAME:
        return (
            f"{first} and {second} have the same groups: their variances cannot be "
            "told apart; drop one of them."
        )
    if relation == NESTED:
        low, high = row["levels_min"], row["levels_max"]
        levels = _count(low, "level") if low == high else f"{low:,} to {high:,} levels"
        return (
            f"{first} is nested in {second}: {levels} of {first} in each of {second}."
        )
    text = f"{first} and {second} are {relation}: {cells}, {said}"
    if row["components"] == 1:
        return f"{text}."
    common = _common_parent(row, pairs)
    if common is not None:
        return f"{text}; they cross within levels of {common}."
    return (
        f"{text}; the design is disconnected: it falls into {row['components']:,} "
        "parts without a common level."
    )


def _common_parent(pair: pd.Series, pairs: pd.DataFrame) -> str | None:
    """The factor whose levels are the parts that a pair's levels fall into."""
    nested = pairs[pairs["relation"] == NESTED]
    parents = [
        set(nested.loc[nested["first"] == pair[side], "second"])
        for side in ("first", "second")
    ]
    parts = {
        row["second"]
        for _, row in nested.iterrows()
        if row["components"] == pair["components"]
    }
    return next(iter(sorted(parents[0] & parents[1] & parts)), None)
