"""Which variables effects are of, and at which of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..compat.engine_terms import evaluated_terms
from ..core.terms import FloatArray
from ..formula.frames import suggestion
from ..formula.grammar import variables
from .effect_rows import Typical, is_factor, occurring, rounded_grid
from .nesting import unwrapped
from .reference_grid import combinations

if TYPE_CHECKING:
    from ..formula.design import Design
    from ..results import LMERResults

FIXED = "the fixed part"

LARGEST = 1_000_000
"""Most rows of a grid."""

# -- what is asked for -----------------------------------------------------------


def design_of(results: LMERResults) -> Design:
    """How the model of a fit came about.

    Raises
    ------
    ValueError
        If it was built from arrays, or its rows are gone.
    """
    model = results.model
    if model._design is None:
        raise ValueError(
            "effects need a model built from a formula; from arrays nobody knows which "
            "columns belong to one variable."
        )
    model.require_rows("an effect")
    return model._design


def fixed_variables(design: Design) -> list[str]:
    """Columns of the data in the fixed part, in order."""
    names = dict.fromkeys(variables(design.parsed.fixed))
    return [name for name in names if name in design.frame.columns]


def all_variables(design: Design) -> list[str]:
    """Those of the columns that vary over groups, too."""
    texts = [design.parsed.fixed, *(spec.columns for spec in design.parsed.random)]
    names = dict.fromkeys(name for text in texts for name in variables(text))
    return [name for name in names if name in design.frame.columns]


def term_variables(design: Design) -> list[tuple[str, ...]]:
    """Variables of each term of the fixed part."""
    terms = evaluated_terms(design.specification)
    terms.sort(key=lambda term: len(term.factors))
    columns = design.frame.columns
    found = [
        tuple(dict.fromkeys(v for e in t.factors for v in variables(e) if v in columns))
        for t in terms
    ]
    return [own for own in found if own]


def focal_variables(results: Any, term: str | Sequence[str]) -> tuple[str, ...]:
    """The variables of the fixed part that a term names, each once.

    Raises
    ------
    ValueError
        If it names none, or one that is not in the fixed part.
    """
    known = fixed_variables(design_of(unwrapped(results)))
    parts = [term] if isinstance(term, str) else list(term)
    names = [n for p in parts for n in ((p,) if p in known else _named_in(p))]
    if not names:
        raise ValueError(
            f"the term {term!r} names no variable; the fixed part has "
            f"{', '.join(known) or 'nothing but an intercept'}."
        )
    for name in names:
        require_known(name, known, "the term names")
    return tuple(dict.fromkeys(names))


def _named_in(text: str) -> tuple[str, ...]:
    try:
        return variables(text.replace("*", ":") if "**" not in text else text)
    except ValueError:  # not a formula
        return (text,)


def require_known(name: str, known: list[str], what: str) -> None:
    """Refuse a name that is not a variable of the fixed part."""
    if name not in known:
        hint = suggestion(name, known).replace("the data have", "it has")
        if not known:
            hint = "it has nothing but an intercept."
        raise ValueError(
            f"{what} {name!r}, which is not a variable of the fixed part; {hint}"
        )


def wanted_values(
    focal: tuple[str, ...], at: Mapping[str, Any], xlevels: int | Mapping[str, Any]
) -> dict[str, Any]:
    """Values, or a number of points, for each variable in focus."""
    if not isinstance(xlevels, Mapping):
        wanted: dict[str, Any] = dict.fromkeys(focal, xlevels)
    else:
        for name in xlevels:
            if name not in focal:
                raise ValueError(
                    f"xlevels names {name!r}, which is not in focus; it takes "
                    f"{', '.join(focal)}."
                )
        wanted = {name: xlevels.get(name, 5) for name in focal}
    for name, points in wanted.items():
        if np.ndim(points) == 0 and (
            isinstance(points, (bool, str)) or points != int(points) or points < 2
        ):
            raise ValueError(
                f"xlevels of {name!r} is a number of points, at least 2, or the values "
                f"themselves, not {points!r}."
            )
    values = {
        name: [v] if isinstance(v, str) or np.ndim(v) == 0 else list(v)
        for name, v in at.items()
        if name in focal
    }
    return {**wanted, **values}


def held_value(design: Design, name: str, value: Any) -> Any:
    """The one value at which a variable stands that is not in focus."""
    values = [value] if isinstance(value, str) or np.ndim(value) == 0 else list(value)
    if len(values) != 1:
        raise ValueError(
            f"at gives {len(values)} values of {name!r}, which is not in focus; give "
            "one, or name it in the term."
        )
    return _converted(design, name, values)[0]


def _converted(design: Design, name: str, values: list[Any]) -> list[Any]:
    """Values in the form of the model's data, each once."""
    if not values:
        raise ValueError(f"at gives no value of {name!r}.")
    series = pd.Series(list(dict.fromkeys(values)))
    if series.isna().any():
        raise ValueError(f"at gives a missing value of {name!r}.")
    new = design.columns[name].convert(name, series)
    if new.dtype.kind == "f" and not np.isfinite(new).all():
        raise ValueError(f"at gives a value of {name!r} that is not a finite number.")
    return list(new)


def mean_offset(results: LMERResults) -> float:
    """The mean of the model's offsets over its rows; zero without any."""
    offset = results.model.offset
    return 0.0 if offset is None else float(np.mean(offset))


# -- the grid -------------------------------------------------------------------


def grid_of(typical: Typical, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """All combinations of values, the first variable fastest.

    Parameters
    ----------
    typical : Typical
        Where the other variables stand.
    wanted : mapping
        Values, or a number of points, of each variable in focus.
    """
    design = typical.design
    levels = {name: _levels(design, name, wanted[name]) for name in wanted}
    size = int(np.prod([len(v) for v in levels.values()]))
    if size > LARGEST:
        raise ValueError(
            f"the grid of {', '.join(levels)} would have {size} rows; take fewer "
            "values by xlevels= or at=."
        )
    free = [
        n for n, v in wanted.items() if np.ndim(v) == 0 and not is_factor(design, n)
    ]
    if free and not _inside(typical, levels):
        for name in free:
            column = design.frame[name].to_numpy(np.float64)
            pulled = np.clip(levels[name], column.min(), column.max())
            levels[name] = tuple(np.unique(pulled))
    grid = combinations(dict(reversed(levels.items())))[list(levels)]
    for name in grid:
        grid[name] = design.columns[name].convert(name, grid[name])
    return grid


def _inside(typical: Typical, levels: Mapping[str, tuple[Any, ...]]) -> bool:
    """Whether the formula can be evaluated at the ends of rounded grids.

    A spline cannot outside its knots, nor a logarithm of less than zero.
    """
    ends = {name: (values[0], values[-1]) for name, values in levels.items()}
    specification = typical.design.specification
    try:
        rows = typical.rows(specification, combinations(ends), FIXED)
    except ValueError:
        return False
    return bool(np.isfinite(rows).all())


def _levels(design: Design, name: str, wanted: Any) -> tuple[Any, ...]:
    if np.ndim(wanted) > 0:
        return tuple(_converted(design, name, list(wanted)))
    if is_factor(design, name):
        return occurring(design, name)[0]
    column = design.frame[name].to_numpy(dtype=np.float64)
    return tuple(rounded_grid(column.min(), column.max(), int(wanted)))


def nearest(values: FloatArray, grid: pd.Series) -> FloatArray:
    """The value of a grid that is nearest to each of some values."""
    points = np.unique(grid.to_numpy(dtype=np.float64))
    middles = (points[1:] + points[:-1]) / 2.0
    return points[np.searchsorted(middles, values)]
