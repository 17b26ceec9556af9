"""Rows of a design at chosen values of some variables and typical ones of the others.

A numeric variable that is not chosen stands at its mean, so that what the formula makes
of it (a polynomial, a spline, a logarithm) is evaluated there. A factor that is not
chosen is averaged over: the columns of each term are averaged over its levels, those of
several factors crossed, which is the same as replacing its columns by their means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..compat.engine_terms import evaluated_terms
from ..compat.new_data import evaluate_new
from ..core.terms import FloatArray
from ..formula.grammar import variables
from .reference_grid import combinations

if TYPE_CHECKING:
    from ..formula.design import Design

AVERAGES = ("proportional", "equal")
"""What ``average=`` takes."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Levels of a factor with their weights in an average.

    Attributes
    ----------
    levels : tuple
        Those that occur in the rows of the model.
    weights : ndarray, shape (len(levels),)
        They sum to one.
    """

    levels: tuple[Any, ...]
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class Typical:
    """Where the variables stand that are not in focus.

    Attributes
    ----------
    design : Design
    values : dict
        Variables that stand at one value.
    shares : dict of Shares
        Factors that are averaged over.
    """

    design: Design
    values: dict[str, Any]
    shares: dict[str, Shares]

    def rows(self, specification: Any, focal: pd.DataFrame, role: str) -> FloatArray:
        """Rows of a design, shape (m, P), columns that were dropped among them.

        Parameters
        ----------
        specification : object or None
            The engine's; None for a constant.
        focal : DataFrame, m rows
            Values of the variables in focus.
        role : str
            What the design is, for messages.

        Raises
        ------
        ValueError
            If the formula cannot be evaluated at these values.
        """
        if specification is None:
            return np.ones((len(focal), 1))
        out = np.empty((len(focal), len(specification.column_names)))
        for averaged, positions in self._blocks(specification, focal).items():
            shares = [self.shares[name] for name in averaged]
            cells = combinations({n: self.shares[n].levels for n in averaged})
            X = self._evaluated(specification, focal, cells, role)[:, positions]
            products = [share.weights for share in shares]
            weights = reduce(np.multiply.outer, products, np.ones(())).reshape(-1)
            X = X.reshape(len(focal), len(cells), len(positions))
            out[:, positions] = np.einsum("k,mkc->mc", weights, X)
        return out

    def _blocks(
        self, specification: Any, focal: pd.DataFrame
    ) -> dict[tuple[str, ...], list[int]]:
        """Positions of columns by the factors that they are averaged over."""
        blocks: dict[tuple[str, ...], list[int]] = {}
        for term in evaluated_terms(specification):
            names = dict.fromkeys(v for e in term.factors for v in variables(e))
            averaged = [n for n in names if n in self.shares and n not in focal]
            blocks.setdefault(tuple(averaged), []).extend(term.positions)
        return blocks

    def _evaluated(
        self, specification: Any, focal: pd.DataFrame, cells: pd.DataFrame, role: str
    ) -> FloatArray:
        """All columns at each row of `focal` crossed with each cell, cells fastest."""
        m, k = len(focal), len(cells)
        kinds = self.design.columns
        columns = {name: [value] * (m * k) for name, value in self.values.items()}
        for name, share in self.shares.items():
            columns[name] = [share.levels[0]] * (m * k)
        crossed = pd.DataFrame(columns, index=pd.RangeIndex(m * k))
        for name in focal:
            crossed[name] = focal[name].take(np.repeat(np.arange(m), k)).to_numpy()
        for name in cells:
            crossed[name] = cells[name].take(np.tile(np.arange(k), m)).to_numpy()
        used = {name: kinds[name].convert(name, crossed[name]) for name in crossed}
        names = list(specification.column_names)
        with np.errstate(invalid="ignore", divide="ignore"):
            X = evaluate_new(
                specification, pd.DataFrame(used), self.design.namespace, role
            )
        values = np.asarray(X[names], dtype=np.float64)
        return np.broadcast_to(values, (m * k, len(names)))


def typical_values(
    design: Design,
    names: Iterable[str],
    average: str,
    typical: Callable[[FloatArray], Any],
    given: Mapping[str, Any],
) -> Typical:
    """Where variables stand: at given values, else at typical ones.

    Parameters
    ----------
    design : Design
    names : iterable of str
        All variables of all designs to be evaluated.
    average : {"proportional", "equal"}
        Weights of a factor's levels.
    typical : callable
        Makes one number of a numeric variable's values.
    given : mapping
        Values of some variables instead.

    Raises
    ------
    ValueError
        If there is no such average.
    """
    if average not in AVERAGES:
        raise ValueError(
            f"unknown average {average!r}; choose 'proportional' (to the frequencies "
            "of a factor's levels) or 'equal'."
        )
    values, shares = dict(given), {}
    for name in names:
        if name in given:
            continue
        if not is_factor(design, name):
            column = design.frame[name].to_numpy(dtype=np.float64)
            values[name] = float(typical(column))
            continue
        levels, counts = occurring(design, name)
        weights = counts if average == "proportional" else np.ones(len(counts))
        shares[name] = Shares(levels, weights / weights.sum())
    return Typical(design, values, shares)


def is_factor(design: Design, name: str) -> bool:
    """Whether a variable stands for levels: labels, booleans, numbers in ``C()``."""
    kind = design.columns[name]
    return kind.levels is not None or kind.dtype.kind == "b"


def occurring(design: Design, name: str) -> tuple[tuple[Any, ...], FloatArray]:
    """The levels of a factor in the rows of the model, and how often each occurs."""
    counts = design.frame[name].value_counts(sort=False).to_dict()
    kind = design.columns[name]
    if kind.categorical and kind.levels is not None:
        levels = [level for level in kind.levels if counts.get(level, 0) > 0]
    else:
        levels = list(counts)
        try:
            levels.sort()
        except TypeError:  # labels of several types
            levels.sort(key=str)
    return tuple(levels), np.array([counts[level] for level in levels], dtype=float)


def rounded_grid(low: float, high: float, n: int) -> FloatArray:
    """About `n` equally spaced numbers, rounded as R's effects rounds its grids.

    All are rounded to one significant digit, or to as many as keep them apart.
    """
    exact = np.linspace(low, high, n)
    for digits in range(1, 17):
        found = np.array([_significant(value, digits) for value in exact])
        if len(np.unique(found)) == len(np.unique(exact)):
            break
    return np.unique(found)


def _significant(value: float, digits: int) -> float:
    if value == 0.0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - digits + 1)
    return float(np.sign(value) * np.rint(abs(value) / unit) * unit)
