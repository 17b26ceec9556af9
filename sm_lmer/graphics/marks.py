"""Clouds of points, labels of some of them, and the dress of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.terms import FloatArray, IntArray
from .labels import in_lines, plain, short
from .panels import figure_of
from .smooth import EXACT, SPAN, smooth_curve
from .style import COLOURS, OTHER, caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, TICKS = 8.0, 7.0
"""Points of text of labels, and of ticks and marks."""

RASTERED = 2_000
"""Points from which a cloud is a raster image within a vector graphic."""

ROOM = 0.85
"""Share of a panel that is left after the layout has made room for its labels."""

CELLS = (90, 60)
"""Columns and rows of the grid on which more points are counted."""

POINT = "#4D4D4D"


def dress(ax: Axes, xlabel: str, ylabel: str, title: str | None = None) -> None:
    """Labels and ticks of a panel, in sizes that can be read in print."""
    box, letter = ax.get_window_extent(), 0.58 * SIZE * figure_of(ax).dpi / 72.0
    ax.set_xlabel(in_lines(xlabel, int(box.width / letter)), fontsize=SIZE)
    ax.set_ylabel(in_lines(ylabel, int(box.height / letter)), fontsize=SIZE)
    ax.tick_params(labelsize=TICKS, length=3)
    ax.spines[["top", "right"]].set_visible(False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_fontsize(TICKS)
    if title is not None:
        ax.set_title(plain(title), fontsize=SIZE, loc="left")


def finish(ax: Axes, own: bool, notes: Sequence[str | None]) -> Figure:
    """Say what is not shown: below a figure of our own, else where nothing is said."""
    figure = figure_of(ax)
    say(figure, own, notes)
    return figure


def say(
    figure: Figure, own: bool, notes: Sequence[str | None], width: int = 54
) -> None:
    """Write notes below a figure, unless its owner wrote something there."""
    said = list(dict.fromkeys(note for note in notes if note))
    if said and (own or not figure.get_supxlabel()):
        text = " ".join(note[0].upper() + note[1:] + "." for note in said)
        caption(figure, in_lines(text, width))


def cloud(ax: Axes, x: FloatArray, y: FloatArray) -> str | None:
    """Draw points; very many as hexagons shaded by their number, with a note."""
    n = len(x)
    if n > EXACT:
        _shade(ax, x, y)
        return f"{n:,} rows: darker cells hold more of them (log scale)"
    ax.scatter(
        x,
        y,
        s=float(np.clip(3_000.0 / max(n, 1), 2.0, 11.0)),
        color=POINT,
        alpha=0.75 if n < 500 else 0.4,
        linewidths=0,
        rasterized=n > RASTERED,
    )
    return None


def _shade(ax: Axes, x: FloatArray, y: FloatArray) -> None:
    """Draw the number of points in each cell of a grid, logarithmically."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    edges, cells = [], []
    for values, count in zip((x, y), CELLS, strict=True):
        low, high = float(values.min()), float(values.max())
        width = (high - low) / count or 1.0
        edges.append(low + width * np.arange(count + 1))
        inside = ((values - low) / width).astype(np.int64)
        cells.append(np.minimum(inside, count - 1))
    counts = np.bincount(cells[0] + CELLS[0] * cells[1], minlength=CELLS[0] * CELLS[1])
    shown = np.ma.masked_equal(counts.reshape(CELLS[1], CELLS[0]), 0)
    ax.pcolormesh(
        *edges,
        shown,
        cmap=LinearSegmentedColormap.from_list("shades", ["0.88", "0.15"]),
        norm=LogNorm(1, max(2, counts.max())),
        rasterized=True,
    )


def draw_smooth(ax: Axes, x: FloatArray, y: FloatArray, smooth: bool | float) -> None:
    """Draw a smooth through a cloud, with a halo that parts it from dark clouds."""
    if smooth is False or len(x) < 4:
        return
    span = SPAN if smooth is True else float(smooth)
    if not 0.0 < span <= 1.0:
        raise ValueError(f"smooth is True, False or a span up to 1, not {smooth!r}.")
    at, values = smooth_curve(x, y, span)
    if len(x) > RASTERED:
        ax.plot(at, values, color="white", linewidth=3.0, zorder=3)
    ax.plot(at, values, color=OTHER, linewidth=1.5, zorder=4, label="smooth")


def reference(ax: Axes, y: float = 0.0) -> None:
    """The horizontal line around which residuals should lie."""
    ax.axhline(y, color=COLOURS[0], linewidth=0.9, linestyle="--", zorder=2)


def extremes(values: FloatArray, count: int) -> IntArray:
    """Positions of the largest values, largest first."""
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    count = min(count, len(values))
    found = np.argpartition(-values, count - 1)[:count]
    return found[np.argsort(-values[found], kind="stable")]


def label_points(
    ax: Axes, x: FloatArray, y: FloatArray, rows: IntArray, texts: Sequence[Any]
) -> None:
    """Write labels beside some points, each where the fewest other points are.

    A label that finds no place beside those before it is left out.

    Parameters
    ----------
    ax : matplotlib Axes
    x, y : ndarray, shape (n,)
        All points of the panel.
    rows : ndarray of int, shape (k,)
        Those to label.
    texts : sequence, length k
    """
    if len(rows) == 0:
        return
    ax.autoscale_view()
    box = ax.get_window_extent()
    size = ROOM * np.array([box.width, box.height]) * 72.0 / figure_of(ax).dpi
    to_points = ax.transData + ax.transAxes.inverted()
    if len(x) > EXACT:
        x, y, rows = x[rows], y[rows], np.arange(len(rows))
    places = to_points.transform(np.column_stack([x, y])) * size
    taken: list[FloatArray] = []
    for row, text in zip(rows, texts, strict=True):
        label = short(text, 16)
        extent = np.array([0.64 * TICKS * len(label), 1.15 * TICKS])
        offset = _offset(places[row], extent, size, places, taken)
        if offset is None:
            continue
        ax.annotate(
            label,
            (x[row], y[row]),
            xytext=offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=TICKS,
            zorder=5,
        )


def _offset(
    place: FloatArray,
    extent: FloatArray,
    size: FloatArray,
    points: FloatArray,
    taken: list[FloatArray],
) -> tuple[float, float] | None:
    """Where the centre of a label goes, in points from its point, if anywhere."""
    right, up = extent / 2.0 + np.array([3.0, 2.0])
    best, chosen = np.inf, np.zeros(2)
    for dx, dy in (
        (right, 0.0),
        (-right, 0.0),
        (right, up),
        (-right, up),
        (right, -up),
        (-right, -up),
        (0.0, up),
        (0.0, -up),
    ):
        centre = place + np.array([dx, dy])
        corners = np.array([centre - extent / 2.0, centre + extent / 2.0])
        outside = (corners[0] < -2.0).any() or (corners[1] > size + 4.0).any()
        if any(_overlap(corners, other) for other in taken):
            continue
        inside = ((points > corners[0]) & (points < corners[1])).all(axis=1).sum()
        cost = 1e6 * outside + inside
        if cost < best:
            best, chosen = cost, np.array([dx, dy])
    if not np.isfinite(best):
        return None
    centre = place + chosen
    taken.append(np.array([centre - extent / 2.0, centre + extent / 2.0]))
    return float(chosen[0]), float(chosen[1])


def _overlap(a: FloatArray, b: FloatArray) -> bool:
    return bool((a[0] < b[1]).all() and (b[0] < a[1]).all())


def flat_legend(ax: Axes, columns: int = 3) -> None:
    """A legend above the panel, so that it covers no data."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=TICKS,
        handlelength=1.3,
        handletextpad=0.4,
        columnspacing=0.8,
        borderpad=0.1,
        borderaxespad=0.2,
    )
