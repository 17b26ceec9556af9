"""Conditional modes with their intervals: caterpillar plots and normal quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.terms import FloatArray
from .conditional_modes import Modes, chosen_columns, conditional_modes, z_value
from .labels import short
from .panels import (
    NARROW,
    SIZE,
    SMALL,
    WIDE,
    and_list,
    caption,
    few_ticks,
    legend_above,
    spread,
    wrapped,
    zero_line,
)
from .random_pairs import plot_ranef_pairs
from .style import LINE, OTHER, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results import LMERResults

IntArray = NDArray[np.intp]

MANY = 500
"""Levels from which on lines are thin, and pixels in vector graphics."""

EXTREMES = 3
"""Levels labelled at each end of a column where not all can be."""

ACROSS = 4
"""Panels side by side."""

UNLABELLED = 3.2
"""Inches of the height of panels without a label a level."""


def plot_caterpillar(
    results: LMERResults,
    group: str | None = None,
    *,
    level: float = 0.95,
    sort: bool | str = True,
    columns: str | Sequence[str] | None = None,
    max_labels: int = 50,
    fig: Figure | None = None,
) -> Figure:
    """Conditional modes of the random effects with intervals, a panel a column.

    The intervals are those of lme4's ``dotplot(ranef(m, condVar = TRUE))``: the mode
    -+ z times its conditional standard deviation (Bates et al. 2015, eq. 58), which
    takes the fixed effects and the variances as known.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        A grouping factor. By default all of them, one below the other.
    level : float
        Of the intervals.
    sort : bool or str
        True: levels in ascending order of the first column's modes, the same in all
        panels, as lme4 has it. A column's name: of that column's modes; factors
        without it go by their first one. "each": each panel in an order of its own.
        False: the factor's order, from the top.
    columns : str or sequence of str, optional
        Which random effects; all by default.
    max_labels : int
        Factors with more levels are drawn in thin lines, and only the lowest and
        highest modes of each panel are labelled.
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        For a factor or column that the model does not have.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.random_effects import plot_caterpillar
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> fig = plot_caterpillar(res)
    >>> [ax.get_xlabel() for ax in fig.axes]
    ['Intercept', 'Days']
    """
    z_value(level)
    whole = conditional_modes(results, group)
    found = chosen_columns(whole, columns)
    orders = {
        modes.group: orders_of(modes, before, sort, whole)
        for modes, before in zip(found, _same_factors(whole, found), strict=True)
    }
    heights = [_height(modes, max_labels) for modes in found]
    widest = max(min(len(modes.columns), ACROSS) for modes in found)
    width = NARROW if widest == 1 else WIDE
    figure = figure_for(fig, "a caterpillar plot", width, 0.5 + sum(heights))
    grid = figure.add_gridspec(len(found), 1, height_ratios=heights)
    for k, modes in enumerate(found):
        across = min(len(modes.columns), ACROSS)
        rows = -(-len(modes.columns) // across)
        inner = grid[k].subgridspec(rows, across)
        labelled = len(modes.levels) <= max_labels
        for j, order in enumerate(orders[modes.group]):
            ax = figure.add_subplot(inner[j // across, j % across])
            own_order = j == 0 or sort == "each"
            _caterpillar(
                ax,
                modes,
                j,
                order,
                level,
                heights[k] / rows - 0.45,
                labelled,
                own_order or j % across == 0,
            )
            ax.set_xlabel(
                wrapped(modes.columns[j], width / across - 0.5), fontsize=SIZE
            )
            if j % across == 0:
                ax.set_ylabel(wrapped(modes.group, heights[k] / rows), fontsize=SIZE)
    caption(figure, _about(results, level, found, max_labels))
    return figure


def _same_factors(whole: list[Modes], found: list[Modes]) -> list[Modes]:
    """The factors with all their columns, of those found."""
    by_name = {modes.group: modes for modes in whole}
    return [by_name[modes.group] for modes in found]


def orders_of(
    modes: Modes, before: Modes, sort: bool | str, whole: Sequence[Modes]
) -> list[IntArray]:
    """Levels from the bottom to the top, for each column drawn.

    Parameters
    ----------
    modes : Modes
        The columns to draw.
    before : Modes
        The same factor with all its columns, any of which may be sorted by.
    sort : bool or str
    whole : sequence of Modes
        All factors.
    """
    m, q = len(modes.levels), len(modes.columns)
    if sort is False:
        return [np.arange(m)[::-1]] * q
    if sort == "each":
        return [np.argsort(modes.values[:, j], kind="stable") for j in range(q)]
    key = modes.values[:, 0]
    if sort is not True:
        if not any(sort in other.columns for other in whole):
            known = dict.fromkeys(c for other in whole for c in other.columns)
            raise ValueError(
                f"sort={sort!r} is not a column of the random effects; it is True, "
                f"False, 'each' or one of {', '.join(known)}."
            )
        if sort in before.columns:
            key = before.values[:, before.columns.index(sort)]
    return [np.argsort(key, kind="stable")] * q


def _height(modes: Modes, max_labels: int) -> float:
    """Inches of all panels of a factor."""
    rows = -(-len(modes.columns) // ACROSS)
    m = len(modes.levels)
    return rows * (0.55 + (0.14 * m if m <= max_labels else UNLABELLED))


def _caterpillar(
    ax: Axes,
    modes: Modes,
    j: int,
    order: IntArray,
    level: float,
    height: float,
    labelled: bool,
    with_labels: bool,
) -> None:
    """One column's modes, from the bottom to the top in the order given."""
    m = len(order)
    many = m > MANY
    low, high = (ends[order, j] for ends in modes.ends(level))
    centre, y = modes.values[order, j], np.arange(m)
    zero_line(ax)
    lines = ax.hlines(
        y,
        low,
        high,
        color=LINE,
        linewidth=0.4 if many else 1.0,
        alpha=0.5 if many else 1.0,
        zorder=2,
    )
    points = ax.scatter(
        centre,
        y,
        s=1.0 if many else 12,
        color="black" if many else LINE,
        linewidths=0,
        zorder=3,
    )
    lines.set_rasterized(many)
    points.set_rasterized(many)
    few_ticks(ax)
    pad = max(0.7, 0.02 * m)
    ax.set_ylim(-pad, m - 1 + pad)
    if labelled:
        names = [short(modes.levels[k]) for k in order] if with_labels else []
        ax.set_yticks(y if with_labels else [], names, fontsize=SMALL)
        ax.tick_params(axis="y", length=0)
    else:
        _label_extremes(ax, modes, j, order, (low, high), height)


def _label_extremes(
    ax: Axes,
    modes: Modes,
    j: int,
    order: IntArray,
    ends: tuple[FloatArray, FloatArray],
    height: float,
) -> None:
    """Labels of the lowest and highest modes, led to where they are."""
    m = len(order)
    ranked = np.argsort(modes.values[order, j], kind="stable")
    extreme = np.sort(np.concatenate([ranked[:EXTREMES], ranked[-EXTREMES:]]))
    gap = m * 0.14 / max(height, 0.5)
    places = spread(extreme.astype(np.float64), gap, 0.0, m - 1.0)
    names = [short(modes.levels[order[k]], 14) for k in extreme]
    ax.set_yticks(places, names, fontsize=SMALL)
    ax.tick_params(axis="y", length=0)
    left, right = ax.get_xlim()
    ax.set_xlim(left, right)
    ax.hlines(
        extreme,
        ends[0][extreme],
        ends[1][extreme],
        color=OTHER,
        linewidth=1.2,
        zorder=4,
    )
    for place, k in zip(places, extreme, strict=True):
        ax.plot(
            [left, ends[0][k]],
            [place, k],
            color=OTHER,
            linewidth=0.4,
            solid_capstyle="butt",
            zorder=2,
        )


def _about(
    results: Any, level: float, found: Sequence[Modes], max_labels: int | None
) -> list[str]:
    """What the intervals are, and which labels are left out."""
    response = results.model.endog_names
    names = and_list([modes.group for modes in found])
    said = [
        f"Conditional modes of the effects of {names} on {response}, with "
        f"{100 * level:g}% intervals"
    ]
    cut = [m for m in found if max_labels is not None and len(m.levels) > max_labels]
    if cut:
        sizes = and_list([f"{len(m.levels):,} of {m.group}" for m in cut])
        said.append(
            f"Of the levels ({sizes}) only the {EXTREMES} lowest and highest of a "
            "panel are labelled"
        )
    return said


# -- normal quantiles ------------------------------------------------------------------


def plot_ranef_qq(
    results: LMERResults,
    group: str | None = None,
    *,
    level: float = 0.95,
    columns: str | Sequence[str] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Conditional modes with intervals against normal quantiles, a panel a column.

    As lme4's ``qqmath(ranef(m, condVar = TRUE))``, but with the quantiles on the
    horizontal axis, where statsmodels has them: the i-th smallest of m modes is at
    the normal quantile of (i - 1/2) / m. The line goes through the quartiles.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        A grouping factor; all of them by default.
    level : float
        Of the intervals; see :func:`plot_caterpillar`.
    columns : str or sequence of str, optional
        Which random effects; all by default.
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        For a factor or column that the model does not have.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.random_effects import plot_ranef_qq
    >>> data = sml.datasets.load_pastes()
    >>> res = sml.lmer("strength ~ 1 + (1 | batch/cask)", data).fit()
    >>> [ax.get_title() for ax in plot_ranef_qq(res).axes]
    ['cask:batch: Intercept', 'batch: Intercept']
    """
    z_value(level)
    found = chosen_columns(conditional_modes(results, group), columns)
    panels = [(modes, j) for modes in found for j in range(len(modes.columns))]
    across = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = -(-len(panels) // across)
    width = NARROW if across == 1 else WIDE
    tall = {1: 2.7, 2: 2.8, 3: 2.3}[across]
    figure = figure_for(fig, "a plot of quantiles", width, 0.6 + tall * rows)
    grid = figure.add_gridspec(rows, across)
    for k, (modes, j) in enumerate(panels):
        ax = figure.add_subplot(grid[k // across, k % across])
        _quantiles(ax, modes, j, level)
        named = len(found) > 1
        title = f"{modes.group}: {modes.columns[j]}" if named else modes.columns[j]
        ax.set_title(wrapped(title, width / across - 0.4), fontsize=SIZE)
        if k + across >= len(panels):
            ax.set_xlabel("standard normal quantile", fontsize=SIZE)
        if k % across == 0:
            ax.set_ylabel("conditional mode", fontsize=SIZE)
    caption(figure, _about(results, level, found, None))
    from matplotlib.lines import Line2D

    legend_above(
        figure,
        [
            Line2D(
                [],
                [],
                color=LINE,
                marker="o",
                markersize=3.5,
                markerfacecolor="black",
                markeredgecolor="black",
                label="mode",
            ),
            Line2D([], [], color=OTHER, linewidth=1.0, label="through the quartiles"),
        ],
    )
    return figure


def _quantiles(ax: Axes, modes: Modes, j: int, level: float) -> None:
    """One column's modes, in ascending order, with their intervals."""
    order, x = modes.quantiles()
    many = len(x) > MANY
    at = order[:, j]
    low, high = (ends[at, j] for ends in modes.ends(level))
    y = modes.values[at, j]
    zero_line(ax, along="y")
    lines = ax.vlines(
        x,
        low,
        high,
        color=LINE,
        linewidth=0.4 if many else 0.8,
        alpha=0.5 if many else 1.0,
        zorder=2,
    )
    points = ax.scatter(
        x,
        y,
        s=1.0 if many else 10,
        color="black",
        linewidths=0,
        zorder=3,
    )
    lines.set_rasterized(many)
    points.set_rasterized(many)
    if len(x) > 1:
        slope, start = _through_quartiles(x, y)
        ends_x = x[[0, -1]]
        ax.plot(ends_x, start + slope * ends_x, color=OTHER, linewidth=1.0, zorder=4)
    few_ticks(ax)


def _through_quartiles(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Slope and intercept of the line through the quartiles, as R's qqline."""
    low, high = np.quantile(y, [0.25, 0.75])
    at = z_value(0.5)
    slope = (high - low) / (2.0 * at)
    return float(slope), float(0.5 * (low + high))


__all__ = ["plot_caterpillar", "plot_ranef_pairs", "plot_ranef_qq"]
