"""Rows of the fixed part at all combinations of levels: emmeans' reference grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..compat import statsmodels as compat
from ..core.terms import FloatArray
from ..formula.frames import suggestion
from ..formula.grammar import variables

if TYPE_CHECKING:
    from ..formula.design import Design
    from ..model import LMER

LARGEST = 100_000
"""Most rows of a grid."""

ESTIMABLE = 1e-8
"""Share of a row's squared length outside the design's row space that is tolerated."""

STEP = 1e-4
"""Step of derivatives, relative to the range of the variable."""

WEIGHTS = ("equal", "proportional", "outer", "cells", "flat")
"""What ``weights=`` takes, as emmeans defines them."""


@dataclass(frozen=True, eq=False)
class RowSpace:
    """Which linear functions of all columns of the fixed part have an estimate.

    Attributes
    ----------
    kept : ndarray of int, shape (p,)
        Positions of the model's columns among all P columns of the formula.
    scale : ndarray, shape (P,)
        Lengths of the columns.
    null : ndarray, shape (P, P - p)
        Orthonormal directions, in columns of unit length, that the data are silent on.
    """

    kept: np.ndarray
    scale: FloatArray
    null: FloatArray

    def estimable(self, rows: FloatArray) -> np.ndarray:
        """Whether each row lies in the row space of the design, shape (n,)."""
        scaled = rows / self.scale
        outside = ((scaled @ self.null) ** 2).sum(axis=1)
        inside = (scaled**2).sum(axis=1)
        return (outside <= ESTIMABLE * inside) & np.isfinite(inside)

    @classmethod
    def of(cls, model: LMER) -> RowSpace:
        """Of a model built from a formula."""
        design = design_of(model)
        names = list(design.specification.column_names)
        kept = np.array([names.index(name) for name in model.exog_names])
        scale = np.ones(len(names))
        if len(kept) == len(names):
            return cls(kept, scale, np.zeros((len(names), 0)))
        X = _columns(design, design.frame)
        scale = np.linalg.norm(X, axis=0)
        scale[scale == 0.0] = 1.0
        R = np.linalg.qr(X / scale, mode="r")
        _, _, Vt = np.linalg.svd(R, full_matrices=True)
        return cls(kept, scale, Vt[len(kept) :].T)


@dataclass(frozen=True, eq=False)
class ReferenceGrid:
    """All combinations of the levels of the fixed part's variables.

    Attributes
    ----------
    levels : dict of tuple
        Levels of each variable, in the order of the formula.
    rows : ndarray, shape (number of levels of each variable ..., P)
        All P columns of the formula, those that were dropped too.
    offset : ndarray, shape (number of levels of each variable ...)
    counts : ndarray, shape (number of levels of each variable ...)
        Rows of the data in each combination of the factors.
    space : RowSpace
    terms : tuple of tuple of str
        Variables of each term of the fixed part.
    """

    levels: dict[str, tuple[Any, ...]]
    rows: FloatArray
    offset: FloatArray
    counts: FloatArray
    space: RowSpace
    terms: tuple[tuple[str, ...], ...]

    def axes(self, names: Sequence[str]) -> list[int]:
        """Positions of variables among the levels.

        Raises
        ------
        ValueError
            If a variable is not in the fixed part.
        """
        order = list(self.levels)
        for name in names:
            if name not in order:
                known = ", ".join(order) or "nothing but an intercept"
                raise ValueError(
                    f"{name!r} is not a variable of the fixed part, which has {known}; "
                    "marginal means are over variables of the fixed part."
                )
        return [order.index(name) for name in names]

    def averaged(
        self, names: Sequence[str], weights: str
    ) -> tuple[FloatArray, FloatArray]:
        """Rows and offsets at the levels of some variables, averaged over the others.

        Parameters
        ----------
        names : sequence of str
        weights : str
            One of :data:`WEIGHTS`.

        Returns
        -------
        rows : ndarray, shape (m, P)
            The first variable varies fastest.
        offset : ndarray, shape (m,)
        """
        kept = self.axes(names)[::-1]
        others = [axis for axis in range(self.offset.ndim) if axis not in kept]

        def arranged(values: FloatArray) -> FloatArray:
            last = list(range(self.offset.ndim, values.ndim))
            moved = values.transpose([*kept, *others, *last])
            sizes = [self.offset.shape[axis] for axis in kept]
            return moved.reshape(int(np.prod(sizes)), -1, *values.shape[values.ndim :])

        cells = arranged(self.offset).shape
        w = _cell_weights(arranged(self.counts), self.counts, others, weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            w = w / w.sum(axis=1, keepdims=True)
        rows = arranged(self.rows).reshape(*cells, -1)
        return np.einsum("mc,mcp->mp", w, rows), (w * arranged(self.offset)).sum(axis=1)

    def averaged_over(self, names: Sequence[str]) -> tuple[str, ...]:
        """The other variables that have several levels."""
        return tuple(
            name
            for name, levels in self.levels.items()
            if name not in names and len(levels) > 1
        )

    def in_larger_term(self, names: Sequence[str]) -> bool:
        """Whether some term holds these variables and another one."""
        return bool(names) and any(set(names) < set(term) for term in self.terms)


def _cell_weights(
    here: FloatArray, counts: FloatArray, others: list[int], weights: str
) -> FloatArray:
    """Weights of the cells averaged over, shape (m, cells)."""
    if weights not in WEIGHTS:
        raise ValueError(
            f"unknown weights {weights!r}; choose one of {', '.join(WEIGHTS)}."
        )
    if weights == "cells":
        return here
    if weights == "flat":
        return (here > 0).astype(np.float64)
    if weights == "proportional":
        return np.broadcast_to(here.sum(axis=0), here.shape)
    if weights == "outer":
        margins = np.ones(())
        for axis in others:
            rest = tuple(a for a in range(counts.ndim) if a != axis)
            margins = np.multiply.outer(margins, counts.sum(axis=rest))
        return np.broadcast_to(margins.reshape(-1), here.shape)
    return np.ones(here.shape)


# -- building ------------------------------------------------------------------------


def design_of(model: LMER) -> Design:
    """How the model came about.

    Raises
    ------
    ValueError
        If it was built from arrays.
    """
    if model._design is None:
        raise ValueError(
            "marginal means need a model built from a formula; from arrays nobody "
            "knows which columns make a factor."
        )
    return model._design


def reference_grid(
    model: LMER,
    at: Mapping[str, Any] | None = None,
    cov_keep: int = 2,
    slope_of: str | None = None,
    delta_var: float | None = None,
) -> ReferenceGrid:
    """All levels of the factors, numeric variables at their means.

    Parameters
    ----------
    model : LMER
    at : mapping, optional
        Levels of some variables instead.
    cov_keep : int
        Numeric variables with at most so many values keep them, as a factor does.
    slope_of : str, optional
        Rows become derivatives with respect to this numeric variable.
    delta_var : float, optional
        Step of a one-sided difference quotient in place of the derivative.

    Raises
    ------
    ValueError
        If `at` names an unknown variable, or a level the model has not seen.
    """
    design = design_of(model)
    names = _variables(design)
    at = {} if at is None else dict(at)
    for name in at:
        if name not in names:
            raise ValueError(
                f"at names {name!r}, which is not a variable of the fixed part; "
                f"{suggestion(name, names).replace('the data have', 'it has')}"
            )
    levels = {
        name: _given(design, name, at[name]) if name in at else found
        for name in names
        for found in [_levels(design, name, cov_keep)]
    }
    size = int(np.prod([len(v) for v in levels.values()]))
    if size > LARGEST:
        raise ValueError(
            f"the reference grid would have {size} rows; restrict its variables "
            f"({', '.join(levels)}) by at=."
        )
    frame = combinations(levels)
    shape = tuple(len(v) for v in levels.values())
    if slope_of is None:
        rows, offset = _columns(design, frame), _offset(model, frame)
    else:
        rows = _slopes(design, frame, slope_of, delta_var)
        offset = np.zeros(len(frame))
    kept = [n for n in names if _is_kept(design, n, n in at, cov_keep)]
    return ReferenceGrid(
        levels=levels,
        rows=rows.reshape(*shape, -1),
        offset=offset.reshape(shape),
        counts=_counts(design, frame, kept).reshape(shape),
        space=RowSpace.of(model),
        terms=tuple(
            variables(name)
            for name, _ in compat.term_columns(design.specification)
            if name not in ("1", "Intercept")
        ),
    )


def _variables(design: Design) -> list[str]:
    """Columns of the data in the fixed part and its offsets, in order."""
    texts = [design.parsed.fixed, *design.offsets]
    names = dict.fromkeys(name for text in texts for name in variables(text))
    return [name for name in names if name in design.frame.columns]


def _is_factor(design: Design, name: str) -> bool:
    return design.columns[name].levels is not None or design.frame[name].dtype == bool


def _is_kept(design: Design, name: str, given: bool, cov_keep: int) -> bool:
    """Whether the cells of the data differ in this variable."""
    few = design.frame[name].nunique() <= cov_keep
    return _is_factor(design, name) or (few and not given)


def _levels(design: Design, name: str, cov_keep: int) -> tuple[Any, ...]:
    column, kind = design.frame[name], design.columns[name]
    if kind.categorical:
        return tuple(kind.levels if kind.levels is not None else ())
    if _is_factor(design, name) or column.nunique() <= cov_keep:
        found = list(pd.unique(column))
        try:
            return tuple(sorted(found))
        except TypeError:  # labels of several types
            return tuple(sorted(found, key=str))
    return (column.mean(),)


def _given(design: Design, name: str, values: Any) -> tuple[Any, ...]:
    """Levels given by the user, each once."""
    if isinstance(values, str) or np.ndim(values) == 0:
        values = [values]
    values = tuple(dict.fromkeys(values))
    if not values:
        raise ValueError(f"at gives no level of {name!r}.")
    new = design.columns[name].convert(name, pd.Series(list(values)))
    if new.dtype.kind == "f" and not np.isfinite(new).all():
        raise ValueError(f"at gives a level of {name!r} that is not a finite number.")
    return tuple(new)


def combinations(levels: dict[str, tuple[Any, ...]]) -> pd.DataFrame:
    """A row a combination; the last variable varies fastest."""
    if not levels:
        return pd.DataFrame(index=pd.RangeIndex(1))
    sizes = [len(v) for v in levels.values()]
    index = np.indices(sizes).reshape(len(sizes), -1)
    columns = {
        name: pd.Series(list(values)).take(codes).reset_index(drop=True)
        for (name, values), codes in zip(levels.items(), index, strict=True)
    }
    return pd.DataFrame(columns)


def _as_in_model(design: Design, frame: pd.DataFrame) -> pd.DataFrame:
    columns = {name: design.columns[name].convert(name, frame[name]) for name in frame}
    return pd.DataFrame(columns, index=frame.index)


def _columns(design: Design, frame: pd.DataFrame) -> FloatArray:
    """All columns of the fixed part, shape (n, P)."""
    used = _as_in_model(design, frame)
    X = compat.apply_specification(design.specification, used, design.namespace)
    names = list(design.specification.column_names)
    values = np.asarray(X[names], dtype=np.float64)
    return np.broadcast_to(values, (len(frame), len(names)))


def _offset(model: LMER, frame: pd.DataFrame) -> FloatArray:
    """Offsets of the formula at the grid; of an array, its mean over the data."""
    design = design_of(model)
    total = np.zeros(len(frame))
    if isinstance(design.arguments.get("offset"), np.ndarray):
        total += np.mean(np.asarray(design.arguments["offset"], dtype=np.float64))
    used = _as_in_model(design, frame)
    for specification in design.offset_specifications:
        value = compat.apply_specification(specification, used, design.namespace)
        total += np.asarray(value, dtype=np.float64)[:, 0]
    return total


def _counts(design: Design, frame: pd.DataFrame, kept: list[str]) -> FloatArray:
    """Rows of the data in the cell of each row of the grid."""
    if not kept:
        return np.ones(len(frame))
    cells = design.frame[kept].astype(object).value_counts(sort=False).to_dict()
    found = frame[kept].astype(object).itertuples(index=False, name=None)
    return np.array([cells.get(tuple(cell), 0) for cell in found], dtype=np.float64)


def _slopes(
    design: Design, frame: pd.DataFrame, name: str, delta_var: float | None
) -> FloatArray:
    """Derivatives of the columns with respect to a variable.

    By central differences of two steps, extrapolated (exact for polynomials up to
    the fourth degree); or by one one-sided difference.
    """
    if name not in frame or _is_factor(design, name):
        numeric = [n for n in frame if not _is_factor(design, n)]
        raise ValueError(
            f"var {name!r} is not a numeric variable of the fixed part; its numeric "
            f"variables are {', '.join(numeric) or 'none'}."
        )
    x = frame[name].astype(np.float64)

    def at(step: float) -> FloatArray:
        return _columns(design, frame.assign(**{name: x + step}))

    if delta_var is not None:
        if not np.isfinite(delta_var) or delta_var == 0:
            raise ValueError(f"delta_var must be a nonzero number, not {delta_var!r}.")
        return (at(delta_var) - at(0.0)) / delta_var
    column = design.frame[name].astype(np.float64)
    h = STEP * (float(column.max() - column.min()) or 1.0)

    def central(step: float) -> FloatArray:
        return (at(step) - at(-step)) / (2.0 * step)

    rows = (4.0 * central(h / 2.0) - central(h)) / 3.0
    if not np.isfinite(rows).all():
        raise ValueError(
            f"the fixed part has no slope in {name!r} at some points of the grid; "
            f"choose others by at={{{name!r}: ...}}."
        )
    return rows
