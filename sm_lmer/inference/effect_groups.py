"""Effects of single groups: conditional modes added to the mean of the fixed part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.terms import Factor, FloatArray
from ..formula.columns import some
from ..formula.groups import level_codes
from .effect_rows import is_factor
from .re_form import term_design

if TYPE_CHECKING:
    from ..model import LMER
    from .effects import Effects


def group_fits(
    effects: Effects, group: str | None, levels: Sequence[Any] | None
) -> pd.DataFrame:
    """See :meth:`sm_lmer.inference.effects.Effects.by_group`."""
    model = effects.results.model
    name, factor = grouping_factor(model, group)
    codes = chosen_levels(name, factor, levels)
    places = [_places(effects, rows) for rows in _rows_of(factor, codes)]
    values = pd.concat(places, ignore_index=True)
    member = np.repeat(codes, [len(p) for p in places])
    fit = effects._rows(values) @ np.asarray(effects.results.params) + effects.offset
    for k, term in enumerate(model.re_terms):
        outer = _level_within(factor, term.factor)
        if outer is None:
            continue
        how = term_design(model, k)
        role = f"the random term ({how.spec.text})"
        Z = effects.typical.rows(how.specification, values, role)
        b = effects.results._solution.b[k]
        fit = fit + np.einsum("mq,mq->m", Z, b[outer[member]])
    return pd.concat(
        [pd.Series(factor.levels[member], name=name), values.assign(fit=fit)], axis=1
    )


def grouping_factor(model: LMER, group: str | None) -> tuple[str, Factor]:
    """A grouping factor by its name, ``a:b`` also as ``b:a``.

    Raises
    ------
    ValueError
        If there is none of that name, or several and no name.
    """
    factors = {term.name: term.factor for term in model.re_terms}
    shown = ", ".join(factors)
    if group is None:
        if len(factors) > 1:
            raise ValueError(f"name one of the grouping factors: {shown}.")
        return next(iter(factors.items()))
    for name, factor in factors.items():
        if sorted(name.split(":")) == sorted(str(group).split(":")):
            return name, factor
    raise ValueError(
        f"{group!r} is not a grouping factor of the model; it has {shown}."
    )


def chosen_levels(
    name: str, factor: Factor, levels: Sequence[Any] | None
) -> np.ndarray:
    """Codes of levels given by their labels; of all by default.

    Raises
    ------
    ValueError
        If one does not exist.
    """
    if levels is None:
        return np.arange(factor.n_levels)
    wanted = [levels] if isinstance(levels, str) or np.ndim(levels) == 0 else levels
    asked = pd.Series(list(wanted), dtype=object)
    codes = level_codes(factor.levels, asked)
    if (codes < 0).any():
        raise ValueError(
            f"{name!r} has no level {some(asked[codes < 0], 5)}; it has "
            f"{some(factor.levels, 10)}."
        )
    if len(codes) == 0:
        raise ValueError(f"no level of {name!r} is given.")
    return np.asarray(codes)


def _level_within(inner: Factor, outer: Factor) -> np.ndarray | None:
    """The outer factor's level of each inner one's; None if it is not nested."""
    level = np.zeros(inner.n_levels, dtype=np.intp)
    level[inner.codes] = outer.codes
    return level if np.array_equal(level[inner.codes], outer.codes) else None


def _rows_of(factor: Factor, codes: np.ndarray) -> list[np.ndarray]:
    """Positions of the observations of some levels, level by level."""
    order = np.argsort(factor.codes, kind="stable")
    ends = np.cumsum(np.bincount(factor.codes, minlength=factor.n_levels))
    return [order[(ends[code - 1] if code else 0) : ends[code]] for code in codes]


def _places(effects: Effects, rows: np.ndarray) -> pd.DataFrame:
    """Points of the grid where a group has data, which are these rows."""
    numeric = [n for n in effects.variables if not is_factor(effects.design, n)]
    x = numeric[0] if numeric else None
    own = effects.observed(x, rows)
    grid = effects.grid
    factors = [n for n in effects.variables if n not in numeric]
    if factors:
        cells = set(own[factors].astype(object).itertuples(index=False, name=None))
        labels = grid[factors].astype(object).itertuples(index=False, name=None)
        grid = grid[[label in cells for label in labels]]
    for name in numeric[1:]:
        if own[name].nunique() == 1:
            grid = grid[grid[name].to_numpy() == own[name].iloc[0]]
    if x is not None:
        values: FloatArray = own[x].to_numpy(dtype=np.float64)
        within = np.clip(grid[x].to_numpy(np.float64), values.min(), values.max())
        grid = grid.assign(**{x: within}).drop_duplicates()
    return grid
