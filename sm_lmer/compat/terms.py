"""The terms of a fixed part: names, columns and factors, under both formula engines.

Beside the columns that the model has, each term has an *over-parametrised* design, as
SAS's GLM writes it: an indicator of every level of a factor, and for an interaction
the products of its factors' columns. It does not depend on how the factors are coded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import patsy
from numpy.typing import NDArray
from scipy import sparse

from . import statsmodels as compat
from .engine_terms import written_terms

if TYPE_CHECKING:
    from ..formula.design import Design
    from ..model import LMER

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CategoricalFactor:
    """A factor of the fixed part that stands for levels.

    Attributes
    ----------
    name : str
        The expression, as ``C(f, Sum)``.
    levels : tuple
        In their order; the first is the reference of treatment contrasts.
    codes : ndarray of int, shape (n,)
        Level of each row.
    """

    name: str
    levels: tuple[Any, ...]
    codes: IntArray


@dataclass(frozen=True, eq=False)
class NumericFactor:
    """A factor of the fixed part that stands for numbers, as ``poly(x, 2)``.

    Attributes
    ----------
    name : str
    values : ndarray, shape (n, m)
    """

    name: str
    values: FloatArray


Factor: TypeAlias = CategoricalFactor | NumericFactor


@dataclass(frozen=True, eq=False)
class Term:
    """A term of the fixed part.

    Attributes
    ----------
    name : str
    columns : ndarray of int
        Its columns among those the model has kept.
    factors : tuple of CategoricalFactor or NumericFactor
        Empty for the intercept, and for a column that was given as an array.
    """

    name: str
    columns: IntArray
    factors: tuple[Factor, ...] = ()

    @property
    def categorical(self) -> tuple[CategoricalFactor, ...]:
        """The factors that stand for levels."""
        return tuple(f for f in self.factors if isinstance(f, CategoricalFactor))

    @property
    def numeric(self) -> tuple[NumericFactor, ...]:
        """The factors that stand for numbers."""
        return tuple(f for f in self.factors if isinstance(f, NumericFactor))

    def indicators(self) -> Indicators:
        """The over-parametrised design of a term that has factors."""
        cells = np.zeros((1, 0), dtype=np.intp)
        codes = np.zeros(len(_data_of(self.factors[0])), dtype=np.intp)
        for factor in reversed(self.categorical):  # the first one varies fastest
            joint = codes * len(factor.levels) + factor.codes
            found, codes = _distinct(joint, len(cells) * len(factor.levels))
            before, level = np.divmod(found, len(factor.levels))
            cells = np.column_stack([level, cells[before]])
        values = np.ones((len(codes), 1))
        for factor_ in self.numeric:
            product = factor_.values[:, :, None] * values[:, None, :]
            values = product.reshape(len(values), -1, order="F")
        return Indicators(cells, codes, values)


@dataclass(frozen=True, eq=False)
class Indicators:
    """The over-parametrised design of a term: numeric columns in each of its cells.

    Attributes
    ----------
    cells : ndarray of int, shape (k, number of categorical factors)
        The combinations of levels that occur.
    codes : ndarray of int, shape (n,)
        Cell of each row.
    values : ndarray, shape (n, m)
        Products of the numeric factors' columns; ones if there are none.
    """

    cells: IntArray
    codes: IntArray
    values: FloatArray

    @property
    def references(self) -> IntArray:
        """How many of each column's levels are first levels, shape (m k,)."""
        count = (self.cells == 0).sum(axis=1)
        return np.tile(count, self.values.shape[1])

    def column_norms(self) -> FloatArray:
        """Euclidean norms of the columns, shape (m k,)."""
        squares = [
            np.bincount(self.codes, column**2, len(self.cells))
            for column in self.values.T
        ]
        return np.sqrt(np.concatenate(squares))

    def crossproducts(self, Q: FloatArray) -> FloatArray:
        """``Q'D`` with the design D, shape (p, m k), from sums over cells."""
        n, k = len(self.codes), len(self.cells)
        at = np.arange(n + 1)
        products = [
            (sparse.csr_array((column, self.codes, at), shape=(n, k)).T @ Q).T
            for column in self.values.T
        ]
        return np.hstack(products)


@dataclass(frozen=True, eq=False)
class FixedPart:
    """The terms of a fixed part.

    Attributes
    ----------
    intercept : ndarray of int
        Position of the constant among the model's columns; empty if there is none.
    terms : tuple of Term
        In the order they are written, main effects first, as R has them.
    """

    intercept: IntArray
    terms: tuple[Term, ...]


def fixed_part(model: LMER) -> FixedPart:
    """The terms of a model's fixed part; single columns if it was built from arrays."""
    if model._design is None:
        return _columns_as_terms(model)
    design = model._design
    position = {name: j for j, name in enumerate(model.exog_names)}
    columns = {
        name: np.array([position[c] for c in own if c in position], dtype=np.intp)
        for name, own in compat.term_columns(design.specification)
    }
    names = _written_order(design)
    known = _factors(design)
    intercept = np.zeros(0, dtype=np.intp)
    terms = []
    for name, positions in columns.items():
        factors = names.get(name, ())
        if not factors:
            intercept = positions
            continue
        terms.append(Term(name, positions, tuple(known[f] for f in factors)))
    order = list(names)
    terms.sort(key=lambda term: (len(term.factors), order.index(term.name)))
    return FixedPart(intercept, tuple(terms))


def _columns_as_terms(model: LMER) -> FixedPart:
    constant = model.data.const_idx
    terms = [
        Term(str(name), np.array([j]))
        for j, name in enumerate(model.exog_names)
        if j != constant
    ]
    found = [] if constant is None else [constant]
    return FixedPart(np.array(found, dtype=np.intp), tuple(terms))


def _written_order(design: Design) -> dict[str, tuple[str, ...]]:
    """The names of the terms in the order they are written, each with its factors."""
    engine = compat.engine_of(design.specification)
    return {
        term.name: term.factors
        for term in written_terms(design.parsed.fixed_formula, engine)
    }


def _factors(design: Design) -> dict[str, Factor]:
    if compat.engine_of(design.specification) == "patsy":
        return _patsy_factors(design.specification, design.frame)
    return _formulaic_factors(design.specification, design.frame, design.namespace)


def _patsy_factors(
    specification: patsy.DesignInfo, frame: pd.DataFrame
) -> dict[str, Factor]:
    keep = patsy.NAAction(on_NA="drop", NA_types=[])
    found: dict[str, Factor] = {}
    for factor, info in specification.factor_infos.items():
        name = factor.name()
        values = factor.eval(info.state, frame)
        if info.type == "categorical":
            codes = patsy.categorical.categorical_to_int(values, info.categories, keep)
            found[name] = CategoricalFactor(
                name, tuple(info.categories), np.asarray(codes, dtype=np.intp)
            )
        else:
            found[name] = NumericFactor(name, _two_dimensional(values))
    return found


def _formulaic_factors(
    specification: Any, frame: pd.DataFrame, namespace: Mapping[str, Any]
) -> dict[str, Factor]:
    found: dict[str, Factor] = {}
    for name, (_, state) in specification.encoder_state.items():
        _, full, _ = compat.build_matrices(f"0 + {name}", frame, namespace, "formulaic")
        if _boolean(name, full, frame):
            codes = full.to_numpy(dtype=np.intp)[:, 0]
            found[name] = CategoricalFactor(name, (False, True), codes)
        elif "categories" in state:
            codes = full.to_numpy().argmax(axis=1)
            found[name] = CategoricalFactor(name, tuple(state["categories"]), codes)
        else:
            found[name] = NumericFactor(name, _two_dimensional(full))
    return found


def _boolean(name: str, full: pd.DataFrame, frame: pd.DataFrame) -> bool:
    """Whether a factor is boolean; formulaic makes integers of booleans."""
    if name in frame.columns:
        return bool(frame[name].dtype == bool)
    integers = full.shape[1] == 1 and full.dtypes.iloc[0].kind == "i"
    return bool(integers and full.isin([0, 1]).to_numpy().all())


def _two_dimensional(values: Any) -> FloatArray:
    numbers = np.asarray(values, dtype=np.float64)
    return numbers.reshape(len(numbers), -1)


def _data_of(factor: Factor) -> NDArray[Any]:
    return factor.codes if isinstance(factor, CategoricalFactor) else factor.values


def _distinct(codes: IntArray, bound: int) -> tuple[IntArray, IntArray]:
    """The values that occur, and the position of each code among them."""
    if bound > 4 * len(codes) + 1000:
        return np.unique(codes, return_inverse=True)
    occurs = np.bincount(codes, minlength=bound) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[codes]
