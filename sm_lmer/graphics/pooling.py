"""Shrinkage: what partial pooling does to each group's own regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.terms import FloatArray
from .conditional_modes import unwrapped
from .group_lines import Pooling, pooling
from .labels import plain, short
from .panels import (
    NARROW,
    SIZE,
    SMALL,
    caption,
    few_ticks,
    figure_of,
    label_points,
    legend_above,
    wrapped,
    zero_line,
)
from .style import LINE, OTHER, axes_for
from .trellis import plot_trellis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results import LMERResults

LABELLED = 4
"""Levels labelled in two dimensions: those moved farthest."""

MANY = 100
"""Groups from which on marks are small and single outliers do not set the scale."""

TRIMMED = 0.01
"""Share of own regressions that may be outside at each end of an axis of many."""


def plot_shrinkage(
    results: LMERResults,
    group: str | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    max_labels: int = 50,
    ax: Axes | None = None,
) -> Figure:
    """Arrows from each group's own regression to the model's estimate for it.

    An own regression ("no pooling") is weighted least squares of the group's
    response, less its offset, on the columns of the factor's random terms. Fixed
    effects of other columns and random effects of other factors are held at their
    estimates in both. Groups in which these columns depend on each other have no
    regression of their own; they are left out, and counted below the figure.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        A grouping factor; by default the first with several columns, else the first.
    x, y : str, optional
        The columns on the two axes; by default the first two. A factor with one
        column has a dot and an arrow a level, sorted by their own regressions.
    max_labels : int
        Most levels that are labelled where there is one column.
    ax : matplotlib Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If no group has a regression of its own; for a factor or column that the
        model does not have.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.pooling import plot_shrinkage
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> ax = plot_shrinkage(res).axes[0]
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Intercept', 'Days')
    """
    results = unwrapped(results)
    found = pooling(results, group)
    kept = np.flatnonzero(found.estimable)
    if len(kept) == 0:
        raise ValueError(
            f"no level of {found.group} has a regression of its own on "
            f"{', '.join(found.columns)}, which depend on each other in each of them; "
            "plot_caterpillar shows the random effects."
        )
    axes = _axes_of(found, x, y)
    own_figure = ax is None
    labelled = len(axes) > 1 or len(kept) <= max_labels
    if len(axes) == 1:
        height = 1.2 + (0.15 * len(kept) if labelled else 3.2)
        ax = axes_for(ax, "a plot of shrinkage", NARROW, height)
        outside = _one_column(ax, found, axes[0], kept, labelled)
    else:
        ax = axes_for(ax, "a plot of shrinkage", 4.5, 4.7)
        outside = _two_columns(ax, found, axes, kept)
    said = _about(found, outside, labelled)
    if own_figure:
        legend_above(figure_of(ax), _legend())
        effects = f"{found.group}: effects on {results.model.endog_names}, from "
        caption(
            figure_of(ax),
            [
                f"{effects}each level's own regression (no pooling) to the model's "
                "estimate (partial pooling)",
                *said,
            ],
        )
    else:
        ax.legend(
            handles=_legend(),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=3,
            frameon=False,
            fontsize=SMALL,
        )
        ax.set_xlabel("\n".join([ax.get_xlabel(), *map(plain, said)]), fontsize=SIZE)
    return figure_of(ax)


def _about(found: Pooling, outside: int, labelled: bool) -> list[str]:
    """What is held, and what is left out."""
    said = []
    if found.held:
        said.append("All other effects are held at their estimates")
    every, kept = len(found.levels), int(found.estimable.sum())
    if kept < every:
        said.append(
            f"{every - kept:,} of {every:,} levels have no regression of their own"
        )
    if outside:
        said.append(f"{outside:,} own regressions are outside the picture")
    if not labelled:
        said.append(f"The {kept:,} levels are not labelled")
    return said


def _axes_of(found: Pooling, x: str | None, y: str | None) -> list[int]:
    """Positions of the columns on the axes."""
    columns = found.columns
    for role, name in (("x", x), ("y", y)):
        if name is not None and name not in columns:
            raise ValueError(
                f"{role}={name!r} is no random effect of {found.group}, which has "
                f"{', '.join(columns)}."
            )
    if len(columns) == 1:
        return [0]
    if x is not None and x == y:
        raise ValueError(f"x and y are both {x!r}; choose two columns.")
    taken = [columns.index(name) for name in (x, y) if name is not None]
    rest = [j for j in range(len(columns)) if j not in taken]
    first = rest.pop(0) if x is None else columns.index(x)
    return [first, rest[0] if y is None else columns.index(y)]


def _two_columns(
    ax: Axes, found: Pooling, axes: list[int], kept: NDArray[np.intp]
) -> int:
    """Arrows in the plane of two columns; how many start outside."""
    start, stop = found.none[kept][:, axes], found.partial[kept][:, axes]
    centre = found.population[axes]
    many = len(kept) > MANY
    outside = _limits(ax, start, stop, centre, many)
    _arrows(ax, start, stop, many)
    for points, filled in ((start, False), (stop, True)):
        _dots(ax, points, filled, many)
    ax.scatter(
        [centre[0]],
        [centre[1]],
        s=55,
        marker="D",
        color="black",
        edgecolors="white",
        zorder=6,
    )
    few_ticks(ax, 6)
    width, height = figure_of(ax).get_size_inches()
    ax.set_xlabel(wrapped(found.columns[axes[0]], width - 1.0), fontsize=SIZE)
    ax.set_ylabel(wrapped(found.columns[axes[1]], height - 1.5), fontsize=SIZE)
    if not many:
        _label_farthest(ax, found.levels[kept], start, stop)
    return outside


def _one_column(
    ax: Axes, found: Pooling, j: int, kept: NDArray[np.intp], labelled: bool
) -> int:
    """An arrow a level, in the order of their own regressions."""
    kept = kept[np.argsort(found.none[kept, j], kind="stable")]
    places = np.arange(len(kept), dtype=np.float64)
    start = np.column_stack([found.none[kept, j], places])
    stop = np.column_stack([found.partial[kept, j], places])
    many = len(kept) > MANY
    zero_line(ax, float(found.population[j]))
    _arrows(ax, start, stop, many)
    for points, filled in ((start, False), (stop, True)):
        _dots(ax, points, filled, many)
    ax.scatter(
        [found.population[j]],
        [-1.0 if labelled else -0.03 * len(kept)],
        s=40,
        marker="D",
        color="black",
        edgecolors="white",
        zorder=6,
        clip_on=False,
    )
    few_ticks(ax, 6)
    names = [short(found.levels[k]) for k in kept] if labelled else []
    ax.set_yticks(places if labelled else [], names, fontsize=SMALL)
    ax.tick_params(axis="y", length=0)
    low = -1.6 if labelled else -0.06 * len(kept)
    ax.set_ylim(low, len(kept) - 1 + max(0.6, 0.02 * len(kept)))
    width = figure_of(ax).get_size_inches()[0]
    ax.set_xlabel(wrapped(found.columns[j], width - 1.0), fontsize=SIZE)
    ax.set_ylabel(wrapped(found.group, 2.5), fontsize=SIZE)
    return 0


def _arrows(ax: Axes, start: FloatArray, stop: FloatArray, many: bool) -> None:
    arrows = ax.quiver(
        *start.T,
        *(stop - start).T,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        units="inches",
        width=0.004 if many else 0.009,
        headwidth=5.0,
        headlength=6.0,
        headaxislength=5.0,
        color="0.5" if many else "0.3",
        minlength=0.0,
        zorder=2 if many else 5,
    )
    arrows.set_rasterized(len(start) > 500)


def _dots(ax: Axes, points: FloatArray, filled: bool, many: bool) -> None:
    """Open marks for own regressions, full ones for the model's estimates."""
    marks = ax.scatter(
        points[:, 0],
        points[:, 1],
        s=5 if many else 18,
        marker="o" if filled else "s",
        facecolors=LINE if filled else "white",
        edgecolors=LINE if filled else OTHER,
        linewidths=0.5 if many else 1.0,
        zorder=4 if filled else 3,
    )
    marks.set_rasterized(len(points) > 500)


def _limits(
    ax: Axes, start: FloatArray, stop: FloatArray, centre: FloatArray, many: bool
) -> int:
    """Limits of the axes, and how many of the many own regressions are outside."""
    if many:
        inner = np.quantile(start, [TRIMMED, 1.0 - TRIMMED], axis=0)
    else:
        inner = start
    shown = np.vstack([inner, stop, centre])
    low, high = shown.min(axis=0), shown.max(axis=0)
    pad = 0.08 * (high - low)
    pad[pad == 0.0] = np.maximum(0.05 * np.abs(low), 0.05)[pad == 0.0]
    low, high = low - pad, high + pad
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    return int(((start < low) | (start > high)).any(axis=1).sum())


def _label_farthest(
    ax: Axes, levels: NDArray[np.object_], start: FloatArray, stop: FloatArray
) -> None:
    """Labels of the levels that are moved farthest, away from where they go."""
    spread = np.ptp(np.vstack([start, stop]), axis=0)
    spread[spread == 0.0] = 1.0
    moved = ((start - stop) / spread) ** 2
    order = np.argsort(-moved.sum(axis=1), kind="stable")[: 3 * LABELLED]
    up = (start >= stop)[order, 1]
    label_points(ax, start[order], levels[order], up, LABELLED)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(marker: str, face: str, edge: str, label: str) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="",
            marker=marker,
            markersize=5,
            markerfacecolor=face,
            markeredgecolor=edge,
            label=label,
        )

    return [
        mark("s", "white", OTHER, "no pooling"),
        mark("o", LINE, LINE, "partial pooling"),
        mark("D", "black", "black", "population"),
    ]


__all__ = ["plot_shrinkage", "plot_trellis"]
