"""A panel a group: its data, its own line, the model's, the population's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..formula.columns import some
from ..formula.groups import level_codes
from .conditional_modes import unwrapped
from .group_lines import GroupTerm, default_factor, group_term
from .group_predictions import Axis, GroupPredictions, axis_of, group_predictions
from .labels import short
from .panels import NARROW, SIZE, SMALL, WIDE, caption, few_ticks, legend_above, wrapped
from .style import DATA, LINE, OTHER, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results import LMERResults

IntArray = NDArray[np.intp]

POINTS = 400
"""Most rows of the data drawn in a panel, evenly spaced among its rows."""

POPULATION: dict[str, Any] = {
    "color": "black",
    "linewidth": 0.9,
    "linestyle": (0, (1, 1.2)),
}
OWN: dict[str, Any] = {"color": OTHER, "linewidth": 1.1, "linestyle": (0, (4, 2))}
PARTIAL: dict[str, Any] = {"color": LINE, "linewidth": 1.4, "linestyle": "-"}


def plot_trellis(
    results: LMERResults,
    x: str | None = None,
    group: str | None = None,
    *,
    groups: Sequence[Any] | None = None,
    max_groups: int = 24,
    order: str | None = None,
    fig: Figure | None = None,
) -> Figure:
    """A panel a group: its data, its own regression, the model's line, the population.

    The population's line is the fixed part. The line of partial pooling adds the
    group's conditional modes. The group's own regression ("no pooling"), drawn over
    its own range, is least squares on all columns in which `x` enters and on those of
    the factor's random terms.

    Other numeric covariates are at their means over the group's rows, categorical
    ones are averaged over as often as they occur there; their fixed effects are the
    model's in all three lines. Random effects of other factors are at their mean over
    the group's rows in the line of partial pooling, absent from the population's, and
    left in the data of the group's own regression.

    Parameters
    ----------
    results : LMERResults
    x : str, optional
        A column of the data, numeric or categorical; by default the first numeric
        one of the random slopes, else the first numeric covariate that varies within
        groups, else a categorical one. For a model from arrays the name of a column
        of `exog`; columns made of it are not known to be.
    group : str, optional
        A grouping factor; by default the first with several columns, else the first
        that the model has a covariate for.
    groups : sequence, optional
        Which levels, in this order.
    max_groups : int
        Of more levels so many are drawn, evenly spaced among all in the order of
        their conditional modes (of the first column).
    order : str, optional
        A column of the random effects by whose modes the panels are sorted; by
        default they are in the order of the levels.
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        For an unknown column, factor or level; if the model has no covariate.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.pooling import plot_trellis
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> fig = plot_trellis(res, groups=["308", "309"])
    >>> [ax.get_title() for ax in fig.axes]
    ['308', '309']
    """
    results = unwrapped(results)
    term, axis = _term_and_axis(results, x, group)
    codes = _chosen(term, groups, max_groups, order)
    lines = group_predictions(results, term, axis, codes)
    across = _across(len(codes))
    rows = -(-len(codes) // across)
    width = NARROW if across == 1 else WIDE
    figure = figure_for(fig, "a trellis", width, 1.0 + _tall(across) * rows)
    inner: Any = figure.subfigures(1, 1)
    axes = inner.subplots(rows, across, sharex=True, sharey=True, squeeze=False)
    y = np.asarray(results.model.endog, dtype=np.float64)
    counts = np.bincount(term.factor.codes, minlength=len(term.b))[codes]
    size, sampled = (9.0 if np.median(counts) < 30 else 4.0), 0
    for k, ax in enumerate(axes.flat):
        if k >= len(codes):
            ax.set_axis_off()
            continue
        sampled += _panel(ax, lines, k, y, size)
        title = short(term.factor.levels[codes[k]], int(17 * width / across) - 2)
        ax.set_title(title, fontsize=SMALL, pad=2.5)
        ax.tick_params(labelbottom=k + across >= len(codes), labelleft=k % across == 0)
    _ticks(axes[0, 0], axis, width / across)
    inner.supxlabel(wrapped(axis.name, width - 1.0), fontsize=SIZE)
    response = results.model.endog_names
    inner.supylabel(wrapped(response, 0.8 * _tall(across) * rows), fontsize=SIZE)
    legend_above(figure, _legend())
    caption(figure, _about(term, lines, sampled, groups is not None))
    return figure


def _term_and_axis(
    results: LMERResults, x: str | None, group: str | None
) -> tuple[GroupTerm, Axis]:
    """The grouping factor and the variable; by default the first pair there is."""
    first = default_factor(results, group)
    rest = [] if group is not None else [t.name for t in results.model.re_terms]
    for name in dict.fromkeys([first, *rest]):
        term = group_term(results, name)
        axis = axis_of(results, term, x)
        if axis is not None:
            return term, axis
    raise ValueError(
        "a trellis needs a variable for the horizontal axis, but the model has no "
        f"covariate beside {first}; plot_shrinkage shows its levels, or name a column "
        "by x=."
    )


# -- which groups ----------------------------------------------------------------------


def _chosen(
    term: GroupTerm, groups: Sequence[Any] | None, max_groups: int, order: str | None
) -> IntArray:
    """Codes of the levels to draw, in the order of their panels."""
    if order is not None and order not in term.columns:
        raise ValueError(
            f"order={order!r} is no random effect of {term.group}, which has "
            f"{', '.join(term.columns)}."
        )
    if max_groups < 1:
        raise ValueError(f"max_groups must be at least 1, not {max_groups!r}.")
    if groups is not None:
        codes = _given(term, groups)
    else:
        codes = spread_sample(term.b[:, 0], max_groups)
    if order is not None:
        modes = term.b[codes, term.columns.index(order)]
        codes = codes[np.argsort(modes, kind="stable")]
    return codes


def _given(term: GroupTerm, groups: Sequence[Any]) -> IntArray:
    labels = [groups] if isinstance(groups, str) else list(groups)
    if not labels:
        raise ValueError(f"groups names no level of {term.group}.")
    codes = level_codes(term.factor.levels, pd.Series(labels, dtype=object))
    if (codes < 0).any():
        unknown = [label for label, c in zip(labels, codes, strict=True) if c < 0]
        raise ValueError(
            f"groups names levels that {term.group} does not have: "
            f"{some(unknown, 5)}; it has {some(term.factor.levels, 10)}."
        )
    return np.asarray(codes, dtype=np.intp)


def spread_sample(values: NDArray[np.float64], most: int) -> IntArray:
    """Positions of at most so many values, evenly spaced among them by rank.

    Examples
    --------
    >>> import numpy as np
    >>> spread_sample(np.array([5.0, 1.0, 4.0, 2.0, 3.0]), 3)
    array([0, 1, 4])
    """
    m = len(values)
    if m <= most:
        return np.arange(m)
    ranks = np.round(np.linspace(0, m - 1, most) if most > 1 else [(m - 1) / 2])
    return np.sort(np.argsort(values, kind="stable")[ranks.astype(np.intp)])


# -- drawing ---------------------------------------------------------------------------


def _across(count: int) -> int:
    """Panels side by side, so that few places stay empty."""
    if count <= 4:
        return count
    choices = (3, 4) if count <= 9 else (4, 5) if count <= 16 else (5, 6)
    return min(choices, key=lambda k: (-count % k, -k))


def _tall(across: int) -> float:
    """Inches of a row of panels."""
    return {1: 2.8, 2: 2.6, 3: 2.0, 4: 1.65, 5: 1.45}.get(across, 1.35)


def _panel(
    ax: Axes, lines: GroupPredictions, k: int, y: NDArray[np.float64], size: float
) -> int:
    """One level; whether only some of its rows are drawn."""
    rows = np.flatnonzero(lines.term.factor.codes == lines.codes[k])
    shown = rows
    if len(rows) > POINTS:
        shown = rows[np.linspace(0, len(rows) - 1, POINTS).astype(np.intp)]
    points = ax.scatter(
        lines.axis.values[shown],
        y[shown],
        s=size,
        color=DATA,
        linewidths=0,
        zorder=2,
    )
    points.set_rasterized(len(shown) > 200)
    marker = "." if lines.axis.levels else None
    ax.plot(lines.grid, lines.population[k], marker=marker, zorder=3, **POPULATION)
    own = np.isfinite(lines.own[k])
    ax.plot(lines.own_grid[k][own], lines.own[k][own], marker=marker, zorder=4, **OWN)
    ax.plot(lines.grid, lines.partial[k], marker=marker, zorder=5, **PARTIAL)
    few_ticks(ax, 4)
    return int(len(shown) < len(rows))


def _ticks(ax: Axes, axis: Axis, width: float) -> None:
    """Labels of levels on the shared horizontal axis."""
    if not axis.levels:
        return
    count = len(axis.levels)
    room = int(17 * width / count)
    longest = max(len(str(level)) for level in axis.levels)
    names = [short(level, 14) for level in axis.levels]
    upright = longest > room
    ax.set_xticks(
        np.arange(count), names, rotation=90 if upright else 0, fontsize=SMALL
    )
    ax.set_xlim(-0.5, count - 0.5)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [], [], linestyle="", marker="o", color=DATA, markersize=3, label="data"
        ),
        Line2D([], [], label="no pooling", **OWN),
        Line2D([], [], label="partial pooling", **PARTIAL),
        Line2D([], [], label="population", **POPULATION),
    ]


def _about(
    term: GroupTerm, lines: GroupPredictions, sampled: int, given: bool
) -> list[str]:
    shown, every = len(lines.codes), term.factor.n_levels
    said = [f"A panel a level of {term.group}"]
    if shown < every and not given:
        said = [
            f"{shown} of the {every:,} levels of {term.group}, evenly spaced in the "
            f"order of their conditional modes of {term.columns[0]}"
        ]
    said.append("No pooling is a level's own regression")
    if lines.without_own:
        said.append(f"{lines.without_own} of these levels have none")
    if sampled:
        said.append(f"At most {POINTS} rows of a panel are drawn")
    return said


__all__ = ["plot_trellis"]
