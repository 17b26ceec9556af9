"""The lines of a trellis: predictions along a variable, one set a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..compat import statsmodels as compat
from ..components import by_factor
from ..core.terms import FloatArray
from ..formula.design import Design
from ..formula.frames import suggestion
from ..formula.grammar import variables
from ..inference import prediction
from ..inference.re_form import term_design
from .group_lines import ESTIMABLE, Basis, GroupTerm

if TYPE_CHECKING:
    from ..model import LMER
    from ..results import LMERResults

POINTS = 41
"""Of a line."""

CELLS = 30
"""Combinations of categorical covariates averaged over, the most frequent ones."""

REACH = 1e-7
"""Share of a row's length outside a group's own row space that is tolerated."""


@dataclass(frozen=True, eq=False)
class Axis:
    """The variable on the horizontal axis.

    Attributes
    ----------
    name : str
    values : ndarray, shape (n,)
        At the model's rows; codes of the levels of a categorical variable.
    levels : tuple
        Of a categorical variable; empty for numbers.
    """

    name: str
    values: FloatArray
    levels: tuple[Any, ...] = ()

    def grid(self) -> FloatArray:
        """Places over the whole range, shape (k,)."""
        if self.levels:
            return np.arange(len(self.levels), dtype=np.float64)
        return np.linspace(self.values.min(), self.values.max(), POINTS)

    def own_grid(self, rows: NDArray[np.bool_]) -> FloatArray:
        """Places over the range of a group, shape (k,); nan where there is none."""
        own = self.values[rows]
        if not self.levels:
            low, high = own.min(), own.max()
            return np.linspace(low, high if high > low else np.nan, POINTS)
        grid = self.grid()
        return np.where(np.isin(grid, own), grid, np.nan)


@dataclass(frozen=True, eq=False)
class GroupPredictions:
    """Lines of some levels of a grouping factor along a variable.

    Attributes
    ----------
    axis : Axis
    term : GroupTerm
    codes : ndarray of int, shape (g,)
        The levels.
    grid : ndarray, shape (k,)
    population : ndarray, shape (g, k)
        Fixed effects alone.
    partial : ndarray, shape (g, k)
        With the level's own conditional mode.
    own_grid, own : ndarray, shape (g, k)
        The level's own regression over its own range; nan where it has none.
    """

    axis: Axis
    term: GroupTerm
    codes: NDArray[np.intp]
    grid: FloatArray
    population: FloatArray
    partial: FloatArray
    own_grid: FloatArray
    own: FloatArray

    @property
    def without_own(self) -> int:
        """Number of the levels that have no regression of their own."""
        return int(np.isnan(self.own).all(axis=1).sum())


@dataclass(frozen=True, eq=False)
class _Rows:
    """What a prediction along the axis is made of, for some places of some levels.

    ``X`` has shape (g, k, p), ``Z`` (g, k, q) and ``offset`` (g, k).
    """

    X: FloatArray
    Z: FloatArray
    offset: FloatArray


Evaluate = Callable[[FloatArray], _Rows]
"""Rows at places of shape (g, k)."""


def group_predictions(
    results: LMERResults, term: GroupTerm, axis: Axis, codes: NDArray[np.intp]
) -> GroupPredictions:
    """Lines of some levels along a variable.

    Other numeric covariates are at their means over the level's rows; categorical
    ones are averaged over as often as they occur there. Random effects of other
    factors are at their mean over the level's rows in the line of partial pooling, and
    stay in the data of the level's own regression.
    A level's own regression is on all columns in which the variable enters, and on
    those of the random terms; other fixed effects are held at their estimates.
    """
    model = results.model
    rows = [term.factor.codes == code for code in codes]
    evaluate = _evaluator(results, term, axis, rows)
    beta = np.asarray(results.params, dtype=np.float64)
    grid = np.tile(axis.grid(), (len(codes), 1))
    at = evaluate(grid)
    population = at.X @ beta + at.offset
    others = np.array([_mean(term.others, model, own) for own in rows])
    partial = population + np.einsum("gkq,gq->gk", at.Z, term.b[codes])
    own_grid = np.array([axis.own_grid(own) for own in rows])
    own_at = evaluate(np.where(np.isnan(own_grid), 0.0, own_grid))
    own = own_at.X @ beta + own_at.offset
    own = own + _own_departures(results, term, axis, rows, own_at)
    return GroupPredictions(
        axis,
        term,
        codes,
        axis.grid(),
        population,
        partial + others[:, None],
        own_grid,
        np.where(np.isnan(own_grid), np.nan, own),
    )


def _mean(values: FloatArray, model: LMER, rows: NDArray[np.bool_]) -> float:
    weights = None if model.weights is None else model.weights[rows]
    return float(np.average(values[rows], weights=weights))


def _own_departures(
    results: LMERResults,
    term: GroupTerm,
    axis: Axis,
    rows: Sequence[NDArray[np.bool_]],
    at: _Rows,
) -> FloatArray:
    """Regressions of what the fixed effects leave, shape (g, k).

    The fixed effects of a regression's own columns are in its space, so that adding
    the population's line makes it the regression of the response.
    """
    model = results.model
    free = _columns_of(model, axis)
    X = np.asarray(model.exog)
    D = np.hstack([term.Z, X[:, free]])
    basis = Basis.of(D)
    D = D @ basis.transform
    grid = np.concatenate([at.Z, at.X[:, :, free]], axis=2) @ basis.transform
    left = model.endog - model.predict(np.asarray(results.params))
    out = np.empty(grid.shape[:2])
    for g, own in enumerate(rows):
        root = 1.0 if model.weights is None else np.sqrt(model.weights[own])[:, None]
        U, s, Vt = np.linalg.svd(root * D[own], full_matrices=False)
        rank = int((s > ESTIMABLE**0.5 * s[0]).sum())
        y = np.reshape(root * left[own][:, None], -1)
        c = Vt[:rank].T @ ((U[:, :rank].T @ y) / s[:rank])
        outside = grid[g] - (grid[g] @ Vt[:rank].T) @ Vt[:rank]
        far = np.linalg.norm(outside, axis=1) > REACH * np.linalg.norm(grid[g], axis=1)
        out[g] = np.where(far, np.nan, grid[g] @ c)
    return out


def _columns_of(model: LMER, axis: Axis) -> NDArray[np.bool_]:
    """Columns of the fixed part in which the variable enters, shape (p,)."""
    if model._design is None:
        return _equal(np.asarray(model.exog), axis.values)
    names = {
        column
        for term, columns in compat.term_columns(model._design.specification)
        if axis.name in variables(term)
        for column in columns
    }
    return np.array([name in names for name in model.exog_names])


def _equal(columns: FloatArray, values: FloatArray) -> NDArray[np.bool_]:
    """Columns that are the variable itself."""
    same: NDArray[np.bool_] = (columns == values[:, None]).all(axis=0)
    return same


# -- the variable ----------------------------------------------------------------------


def axis_of(results: LMERResults, term: GroupTerm, x: str | None) -> Axis | None:
    """The variable of the horizontal axis.

    By default the first one of the random slopes that is numeric and varies within
    levels; else the first such covariate of the fixed part; else the first
    categorical one, in the same order.

    Returns
    -------
    Axis or None
        None if no variable is given, and the model has no covariate but constants
        and the levels themselves.

    Raises
    ------
    ValueError
        If the data have no such variable.
    """
    model, group = results.model, term.group
    known = (
        _columns_of_arrays(model, term)
        if model._design is None
        else _columns_of_data(model._design, results, group)
    )
    if x is not None:
        return _given(model, known, x)
    usable = [axis for axis in known.values() if np.ptp(axis.values) > 0]
    within_levels = [a for a in usable if _varies(a.values, term)] or usable
    found = [a for a in within_levels if not a.levels] or within_levels
    return found[0] if found else None


def _given(model: LMER, known: dict[str, Axis], x: str) -> Axis:
    if x in known:
        return known[x]
    names = list(known)
    if model._design is not None:
        frame = model._design.frame
        if x in frame.columns:
            return _axis(model._design, x)
        names = list(frame.columns)
    hint = suggestion(x, names).replace("the data have", "the model has")
    raise ValueError(f"x={x!r} is no column that the model uses; {hint}")


def _columns_of_arrays(model: LMER, term: GroupTerm) -> dict[str, Axis]:
    """Columns that vary over groups, by their names in exog, then those of exog."""
    exog = np.asarray(model.exog, dtype=np.float64)
    fixed = {str(n): exog[:, j] for j, n in enumerate(model.exog_names)}
    slopes = {}
    for j, own in enumerate(term.columns):
        values = term.Z[:, j]
        same = [name for name, x in fixed.items() if (x == values).all()]
        if same or own not in fixed:
            slopes[same[0] if same else own] = values
    return {name: Axis(name, v) for name, v in {**slopes, **fixed}.items()}


def _columns_of_data(
    design: Design, results: LMERResults, group: str
) -> dict[str, Axis]:
    """Covariates of the random slopes, then those of the fixed part."""
    members = by_factor(results)[group]
    specs = [term_design(results.model, k).spec for k in members]
    texts = [*(spec.columns for spec in specs), design.parsed.fixed]
    own = {name for spec in specs for e in spec.factors for name in variables(e)}
    names = dict.fromkeys(name for text in texts for name in variables(text))
    return {
        name: _axis(design, name)
        for name in names
        if name in design.columns and name not in own
    }


def _axis(design: Design, name: str) -> Axis:
    column, kind = design.frame[name], design.columns[name]
    if kind.dtype.kind in "mM":
        raise ValueError(
            f"x={name!r} is a time, along which no line can be drawn; make a number "
            "of it in the data, days since a date, say."
        )
    if _is_numeric(design, name):
        return Axis(name, column.to_numpy(dtype=np.float64))
    if kind.categorical:
        levels = list(column.cat.remove_unused_categories().cat.categories)
    else:
        levels = list(pd.unique(column))
        try:
            levels = sorted(levels)
        except TypeError:  # labels of several types
            levels = sorted(levels, key=str)
    position = {level: float(k) for k, level in enumerate(levels)}
    return Axis(name, np.array([position[v] for v in column]), tuple(levels))


def _is_numeric(design: Design, name: str) -> bool:
    kind = design.columns[name]
    return kind.levels is None and kind.dtype.kind in "iuf"


def _varies(values: FloatArray, term: GroupTerm) -> bool:
    """Whether a variable has several values in some level."""
    codes = term.factor.codes
    first = np.unique(codes, return_index=True)[1]
    return bool((values != values[first][codes]).any())


# -- rows along the variable -----------------------------------------------------------


def _evaluator(
    results: LMERResults,
    term: GroupTerm,
    axis: Axis,
    rows: Sequence[NDArray[np.bool_]],
) -> Evaluate:
    if results.model._design is None:
        return _along_arrays(results.model, term, axis, rows)
    return _along_formula(results, results.model._design, term.group, axis, rows)


def _along_arrays(
    model: LMER, term: GroupTerm, axis: Axis, rows: Sequence[NDArray[np.bool_]]
) -> Evaluate:
    """Columns that are the variable move; all others stay at their means."""
    exog = np.asarray(model.exog, dtype=np.float64)
    offset = np.zeros(model.nobs) if model.offset is None else model.offset
    means = [np.array([A[own].mean(axis=0) for own in rows]) for A in (exog, term.Z)]
    moving = [_equal(A, axis.values) for A in (exog, term.Z)]
    offsets = np.array([offset[own].mean() for own in rows])

    def evaluate(places: FloatArray) -> _Rows:
        X, Z = (
            np.where(moves, places[:, :, None], mean[:, None, :])
            for moves, mean in zip(moving, means, strict=True)
        )
        return _Rows(X, Z, np.broadcast_to(offsets[:, None], places.shape))

    return evaluate


def _along_formula(
    results: LMERResults,
    design: Design,
    group: str,
    axis: Axis,
    rows: Sequence[NDArray[np.bool_]],
) -> Evaluate:
    """The formula at the variable's places and each level's other covariates."""
    model = results.model
    members = by_factor(results)[group]
    texts = [term_design(model, k).spec.columns for k in members]
    texts += [design.parsed.fixed, *design.offsets]
    names = dict.fromkeys(name for text in texts for name in variables(text))
    used = [n for n in names if n in design.columns and n != axis.name]
    numeric = [n for n in used if _is_numeric(design, n)]
    labels = [n for n in used if n not in numeric]
    cells = [_cells(design.frame, labels, own) for own in rows]
    sizes = [len(first) for first, _ in cells]
    starts = np.cumsum([0, *sizes[:-1]])
    level_of = np.repeat(np.arange(len(rows)), sizes)
    first_rows = np.concatenate([first for first, _ in cells])
    shares = np.concatenate([share for _, share in cells])
    means = {n: design.frame[n].to_numpy(dtype=np.float64) for n in numeric}
    means = {n: np.array([v[own].mean() for own in rows]) for n, v in means.items()}
    argument = design.arguments.get("offset")
    known = argument if isinstance(argument, np.ndarray) else np.zeros(model.nobs)
    extra = np.array([known[own].mean() for own in rows])

    def evaluate(places: FloatArray) -> _Rows:
        k = places.shape[1]
        frame = design.frame.iloc[np.repeat(first_rows, k)].reset_index(drop=True)
        frame = frame.assign(
            **{n: np.repeat(mean[level_of], k) for n, mean in means.items()},
            **{axis.name: _values_at(axis, places[level_of].reshape(-1))},
        )
        found = prediction.evaluate(model, frame, True, None, True, None)
        own = [term.Z for term in found.terms if term.position in members]

        def averaged(values: FloatArray) -> FloatArray:
            shaped = values.reshape(len(level_of), k, -1) * shares[:, None, None]
            return np.add.reduceat(shaped, starts, axis=0)

        offset = averaged(found.offset[:, None])[:, :, 0] + extra[:, None]
        return _Rows(averaged(found.X), averaged(np.hstack(own)), offset)

    return evaluate


def _cells(
    frame: pd.DataFrame, labels: list[str], own: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], FloatArray]:
    """A row of each combination of labels in a level, and the combination's share."""
    at = np.flatnonzero(own)
    if not labels:
        return at[:1], np.ones(1)
    key = frame.iloc[at].groupby(labels, observed=True, sort=False).ngroup()
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:CELLS]
    return at[first[most]], counts[most] / counts[most].sum()


def _values_at(axis: Axis, places: FloatArray) -> Any:
    if not axis.levels:
        return places
    levels = pd.Series(list(axis.levels))
    return levels.take(places.astype(np.intp)).reset_index(drop=True)
