"""Evaluate formulas with patsy, and hand it columns in the form it is quick with.

patsy takes a pandas Series apart anew at every step, and looks at strings one by one.
A column that the formula uses by its bare name, not within a function, can as well be
an array, or a categorical with the levels that patsy would find; what patsy makes of
it is the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import patsy
from patsy.util import SortAnythingKey

KEEP = patsy.NAAction(on_NA="drop", NA_types=[])
"""Missing values stay where they are."""

_OWN = {"C": patsy.builtins.C, "Q": patsy.builtins.Q}
"""What these names stand for, if the caller has not given them another meaning."""


@dataclass(frozen=True)
class _Uses:
    """How a formula uses names.

    Attributes
    ----------
    bare : frozenset of str
        Factors of their own, as ``x`` and ``Q("x")``.
    coded : frozenset of str
        First argument of a ``C()`` that does not list the levels.
    within : frozenset of str
        Anything else: names and strings of all other expressions.
    """

    bare: frozenset[str]
    coded: frozenset[str]
    within: frozenset[str]


@lru_cache(maxsize=128)
def _read(formula: str) -> tuple[patsy.ModelDesc, _Uses]:
    """What a formula says; patsy never changes its description once made."""
    description = patsy.ModelDesc.from_formula(formula)
    terms = [*description.lhs_termlist, *description.rhs_termlist]
    return description, _uses({f.code for term in terms for f in term.factors})


def _uses(expressions: Iterable[str]) -> _Uses:
    bare, coded, within = set[str](), set[str](), set[str]()
    for expression in expressions:
        tree = ast.parse(expression.strip(), mode="eval").body
        column, contrast = _coding(tree)
        if (name := _column(tree)) is not None:
            bare.add(name)
        elif column is not None:
            coded.add(column)
            within |= _mentioned(contrast)
        else:
            within |= _mentioned([tree])
    return _Uses(frozenset(bare), frozenset(coded), frozenset(within))


def _column(node: ast.expr) -> str | None:
    """The name of a column, if an expression is no more than that."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Call(
            func=ast.Name("Q"), args=[ast.Constant(value=str(name))], keywords=[]
        ):
            return name
    return None


def _coding(node: ast.expr) -> tuple[str | None, list[ast.expr]]:
    """Column and contrast of ``C(column, contrast)``; it must not list the levels."""
    match node:
        case ast.Call(func=ast.Name("C"), args=[first, *others], keywords=keywords):
            if len(others) < 2 and all(k.arg == "contrast" for k in keywords):
                return _column(first), [*others, *(k.value for k in keywords)]
    return None, []


def _mentioned(trees: Iterable[ast.expr]) -> set[str]:
    """All names, and all strings, as Q() may make names of them."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    values = {node.value for node in nodes if isinstance(node, ast.Constant)}
    return names | {value for value in values if isinstance(value, str)}


def matrices(
    formula: str, frame: pd.DataFrame, namespace: Mapping[str, Any]
) -> tuple[pd.DataFrame | None, pd.DataFrame, patsy.DesignInfo]:
    """Both sides of a formula, None for the left one if there is none."""
    description, uses = _read(formula)
    environment = patsy.EvalEnvironment([dict(namespace)])
    two_sided = "~" in formula
    build = patsy.dmatrices if two_sided else patsy.dmatrix
    if not all(namespace.get(k, f) is f for k, f in _OWN.items()):
        uses = _Uses(frozenset(), frozenset(), frozenset())
    columns = _columns(frame, uses)
    if columns is None:
        data = _with_levels(frame, uses)
        found = build(description, data, environment, KEEP, "dataframe")
        left, right = found if two_sided else (None, found)
        return left, right, right.design_info
    found = build(description, columns, environment, KEEP, "matrix")
    sides = found if two_sided else [found]
    *left, right = (_framed(side, frame.index) for side in sides)
    return left[0] if left else None, right, right.design_info


def _columns(frame: pd.DataFrame, uses: _Uses) -> dict[str, Any] | None:
    """The columns as arrays; None if they have to be Series of one frame.

    A function may rely on a Series, and what it returns is held against the frame's
    index.
    """
    names = uses.bare | uses.coded
    if uses.within or not names or not names.issubset(frame.columns):
        return None
    columns = {name: _coded(frame[name], uses) for name in names}
    return {
        name: column if name in uses.coded else _array(column)
        for name, column in columns.items()
    }


def _array(column: pd.Series) -> Any:
    """The values, where patsy takes them for the same as the Series."""
    if column.dtype.kind in "iuf":
        return column.to_numpy()
    return column.array if isinstance(column.dtype, pd.CategoricalDtype) else column


def _with_levels(frame: pd.DataFrame, uses: _Uses) -> pd.DataFrame:
    """The frame with categoricals for strings."""
    names = (uses.bare | uses.coded) - uses.within
    columns = {name: frame[name] for name in names.intersection(frame.columns)}
    coded = {name: _coded(column, uses) for name, column in columns.items()}
    changed = {k: v for k, v in coded.items() if v is not columns[k]}
    return frame.assign(**changed) if changed else frame


def _coded(column: pd.Series, uses: _Uses) -> pd.Series:
    """A column of strings as a categorical with the levels that patsy gives it."""
    if column.dtype != object:
        return column
    codes, labels = pd.factorize(column.to_numpy())
    if (codes < 0).any() or not all(type(label) is str for label in labels):
        return column
    order = sorted(range(len(labels)), key=lambda k: SortAnythingKey(labels[k]))
    rank = np.empty(len(labels), dtype=np.intp)
    rank[order] = np.arange(len(labels))
    values = pd.Categorical.from_codes(rank[codes], categories=labels[order])
    return pd.Series(values, index=column.index, name=column.name)


def _framed(matrix: patsy.DesignMatrix, index: pd.Index) -> pd.DataFrame:
    """A matrix under the names of its columns; it is not copied."""
    info = matrix.design_info
    frame = pd.DataFrame(
        np.asarray(matrix), index=index, columns=info.column_names, copy=False
    )
    frame.design_info = info
    return frame


__all__ = ["KEEP", "matrices"]
