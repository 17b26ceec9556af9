"""Grouping factors, random-effects terms and the templates of Lambda.

A *term* is what stands in one pair of parentheses of an lme4 formula: a grouping
factor, ``q`` columns of ``Z`` and a ``q x q`` lower-triangular template ``T`` whose
free entries are the term's part of ``theta``. Terms on the same factor share a
:class:`GroupingBlock`, whose template is block diagonal over its terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping factor: one integer code a row, one label a level.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        Level of each row, 0 to ``len(levels) - 1``.
    levels : ndarray of object, shape (n_levels,)
        Labels of the levels.
    parts : tuple of ndarray, optional
        For an interaction of factors, the levels of each; ``(levels,)`` otherwise.
    combinations : ndarray of int, shape (n_levels, len(parts)), optional
        Which level of each part makes up a level, so that interactions are told
        apart by codes and never by pasted labels.
    """

    codes: IntArray
    levels: NDArray[np.object_]
    parts: tuple[NDArray[np.object_], ...] = ()
    combinations: IntArray | None = None

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.levels)

    @classmethod
    def from_labels(cls, labels: ArrayLike) -> Factor:
        """Code an array of labels; missing ones are coded -1.

        Levels are sorted, those of several types by type; a pandas categorical keeps
        the order of its categories.
        """
        coded = getattr(labels, "cat", labels)
        if hasattr(coded, "categories") and hasattr(coded, "codes"):
            codes = np.asarray(coded.codes, dtype=np.int32)
            every = cls(codes, np.asarray(coded.categories, dtype=object))
            return every._of_occurring_levels()
        values = np.asarray(labels)
        if values.dtype.kind in "OUSV" and not isinstance(labels, np.ndarray):
            values = np.array(labels, dtype=object)  # text would swallow a nan
        if values.ndim != 1:
            raise ValueError(
                f"groups must be one-dimensional; got shape {values.shape}."
            )
        codes = np.full(len(values), -1, dtype=np.int32)
        known = ~_is_missing(values)
        try:
            levels, codes[known] = np.unique(values[known], return_inverse=True)
        except TypeError:
            order = sorted(set(values[known]), key=lambda v: (type(v).__name__, str(v)))
            position = {label: k for k, label in enumerate(order)}
            codes[known] = [position[label] for label in values[known]]
            levels = np.array(order, dtype=object)
        return cls(codes, levels.astype(object))

    def _of_occurring_levels(self) -> Factor:
        """The factor without levels that do not occur; missing rows stay -1."""
        known = self.codes >= 0
        used, codes = np.unique(self.codes[known], return_inverse=True)
        out = np.full(len(self.codes), -1, dtype=np.int32)
        out[known] = codes
        return Factor(out, self.levels[used])

    def subset(self, rows: NDArray[np.bool_]) -> Factor:
        """The factor on some rows, without the levels that do not occur there."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        combinations = None if self.combinations is None else self.combinations[used]
        return Factor(
            codes.reshape(-1).astype(np.int32),
            self.levels[used],
            self.parts,
            combinations,
        )

    @classmethod
    def interaction(cls, factors: Sequence[Factor]) -> Factor:
        """Combine factors; only the combinations that occur become levels.

        The first factor varies slowest in the order of the levels, as in R.
        """
        if len(factors) == 1:
            return factors[0]
        key = np.zeros(len(factors[0].codes), dtype=np.int64)
        for factor in factors:
            key = key * factor.n_levels + factor.codes
        observed, codes = np.unique(key, return_inverse=True)
        combinations = np.empty((len(observed), len(factors)), dtype=np.int64)
        for j in range(len(factors) - 1, -1, -1):
            observed, combinations[:, j] = np.divmod(observed, factors[j].n_levels)
        parts = tuple(factor.levels for factor in factors)
        labels = [
            ":".join(str(part[i]) for part, i in zip(parts, row, strict=True))
            for row in combinations
        ]
        return cls(
            codes.reshape(-1).astype(np.int32),
            np.array(labels, dtype=object),
            parts,
            combinations,
        )


def _is_missing(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Which labels are None, nan, NaT or pandas' NA."""
    if labels.dtype.kind == "f":
        return np.isnan(labels)
    if labels.dtype.kind in "mM":
        return np.isnat(labels)
    if labels.dtype.kind != "O":
        return np.zeros(len(labels), dtype=bool)
    return np.array(
        [v is None or type(v).__name__ == "NAType" or v != v for v in labels],
        dtype=bool,
    )


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """One random-effects term: a grouping factor and the columns that vary over it.

    Parameters
    ----------
    groups : array_like, shape (n,), or Factor
        The group of each row.
    Z : array_like, shape (n,) or (n, q), optional
        Columns whose coefficients vary over the groups; an intercept by default.
    name : str, optional
        Name of the grouping factor in all output, "Group" by default.
    columns : sequence of str, optional
        Names of the columns of `Z`.
    diagonal : bool, optional
        Whether the coefficients are independent of each other, as in ``diag(x | g)``.
        By default their covariance is unstructured.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_penicillin()
    >>> plate = sml.RandomTerm(data["plate"], name="plate")
    >>> plate.factor.n_levels, plate.columns
    (24, ('Intercept',))
    """

    groups: ArrayLike | Factor
    Z: ArrayLike | None = None
    name: str = "Group"
    columns: Sequence[str] = ()
    diagonal: bool = False
    factor: Factor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        groups = self.groups
        factor = groups if isinstance(groups, Factor) else Factor.from_labels(groups)
        n = len(factor.codes)
        names = getattr(self.Z, "columns", None)
        Z = np.ones((n, 1)) if self.Z is None else np.array(self.Z, dtype=np.float64)
        if Z.ndim == 1:
            Z = Z[:, None]
        if Z.shape[0] != n:
            raise ValueError(
                f"the term on {self.name!r} has {n} groups but {Z.shape[0]} rows of Z."
            )
        columns = self.columns
        if len(columns) == 0:
            columns = _default_columns(Z) if names is None else list(names)
        if len(columns) != Z.shape[1]:
            raise ValueError(
                f"the term on {self.name!r} has {Z.shape[1]} columns of Z "
                f"but {len(columns)} column names."
            )
        object.__setattr__(self, "Z", Z)
        object.__setattr__(self, "columns", tuple(str(c) for c in columns))
        object.__setattr__(self, "factor", factor)

    @property
    def q(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @property
    def n_theta(self) -> int:
        """Number of free entries of the template."""
        return self.q if self.diagonal else self.q * (self.q + 1) // 2

    @property
    def text(self) -> str:
        """The term as messages and summaries show it."""
        columns = ["1" if c == "Intercept" else c for c in self.columns]
        if "1" not in columns:
            columns.insert(0, "0")
        inside = f"{' + '.join(columns)} | {self.name}"
        return f"diag({inside})" if self.diagonal else f"({inside})"

    def subset(self, rows: NDArray[np.bool_]) -> RandomTerm:
        """The term on some rows."""
        return RandomTerm(
            self.factor.subset(rows),
            np.asarray(self.Z)[rows],
            self.name,
            self.columns,
            self.diagonal,
        )

    def positions(self) -> tuple[IntArray, IntArray]:
        """Rows and columns of the free entries, column-major as in lme4."""
        return self._positions

    def template(self, values: FloatArray) -> FloatArray:
        """The q x q matrix with `values`, shape (n_theta,), at the free entries."""
        T = np.zeros((self.q, self.q))
        T[self._positions] = values
        return T

    @cached_property
    def _positions(self) -> tuple[IntArray, IntArray]:
        if self.diagonal:
            i = np.arange(self.q)
            return i, i
        cols, rows = np.triu_indices(self.q)
        return rows, cols


def _default_columns(Z: FloatArray) -> list[str]:
    """Name unnamed columns: the constant one "Intercept", the others x1, x2, ..."""
    return [
        "Intercept" if j == 0 and np.all(Z[:, 0] == 1) else f"x{j + 1}"
        for j in range(Z.shape[1])
    ]


def theta_parts(terms: Sequence[RandomTerm]) -> list[tuple[RandomTerm, slice]]:
    """The terms and their parts of theta."""
    parts, start = [], 0
    for term in terms:
        parts.append((term, slice(start, start + term.n_theta)))
        start += term.n_theta
    return parts


def lme4_order(terms: Sequence[RandomTerm]) -> list[int]:
    """Order terms by decreasing number of levels, ties as lme4 leaves them.

    lme4 reorders only when the numbers of levels are not decreasing already, and
    then by reversing an ascending stable sort, which reverses ties.
    """
    levels = [term.factor.n_levels for term in terms]
    if all(a >= b for a, b in pairwise(levels)):
        return list(range(len(terms)))
    return sorted(range(len(terms)), key=lambda k: levels[k])[::-1]


@dataclass(frozen=True, eq=False)
class GroupingBlock:
    """All terms on one grouping factor, with a common block-diagonal template.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
    n_levels : int
    terms : tuple of int
        Positions of the block's terms among the model's terms.
    q : int
        Number of columns of the block.
    starts : tuple of int
        First column of each term within the block.
    rows, cols : ndarray of int, shape (k,)
        Positions in the block's ``q x q`` template of its free entries.
    index : ndarray of int, shape (k,)
        Where these entries stand in the model's theta.
    """

    codes: IntArray
    n_levels: int
    terms: tuple[int, ...]
    q: int
    starts: tuple[int, ...]
    rows: IntArray
    cols: IntArray
    index: IntArray

    @property
    def size(self) -> int:
        """Number of random effects of the block."""
        return self.n_levels * self.q


def grouping_blocks(terms: Sequence[RandomTerm]) -> list[GroupingBlock]:
    """Merge terms on equal factors into blocks, the largest block first."""
    offsets = np.concatenate([[0], np.cumsum([t.n_theta for t in terms])])
    members: list[list[int]] = []
    for k, term in enumerate(terms):
        for block in members:
            if _same_factor(terms[block[0]].factor, term.factor):
                block.append(k)
                break
        else:
            members.append([k])
    blocks = [_block(terms, block, offsets) for block in members]
    return sorted(blocks, key=lambda block: -block.size)


def _same_factor(a: Factor, b: Factor) -> bool:
    return a is b or (
        a.n_levels == b.n_levels
        and np.array_equal(a.codes, b.codes)
        and np.array_equal(a.levels, b.levels)
    )


def _block(
    terms: Sequence[RandomTerm], members: list[int], offsets: IntArray
) -> GroupingBlock:
    rows, cols, index, starts = [], [], [], []
    q = 0
    for k in members:
        term = terms[k]
        r, c = term.positions()
        rows.append(r + q)
        cols.append(c + q)
        index.append(np.arange(offsets[k], offsets[k + 1]))
        starts.append(q)
        q += term.q
    factor = terms[members[0]].factor
    return GroupingBlock(
        codes=factor.codes,
        n_levels=factor.n_levels,
        terms=tuple(members),
        q=q,
        starts=tuple(starts),
        rows=np.concatenate(rows),
        cols=np.concatenate(cols),
        index=np.concatenate(index),
    )


def template(block: GroupingBlock, theta: FloatArray) -> FloatArray:
    """The block's template T, shape (q, q), filled from the model's theta."""
    T = np.zeros((block.q, block.q))
    T[block.rows, block.cols] = theta[block.index]
    return T
