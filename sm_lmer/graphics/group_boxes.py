"""Values of many groups: a box each, or ribbons of their quartiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core.terms import Factor, FloatArray, IntArray
from .labels import short
from .marks import POINT, RASTERED, TICKS, flat_legend
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = ("low", "lower", "median", "upper", "high")

POINTS_ALONE = 5
"""Rows up to which a group is shown by its points rather than by a box."""

RIBBONS = 150
"""Groups up to which ribbons go through each; more are averaged by neighbours."""


def group_quantiles(factor: Factor, values: FloatArray) -> pd.DataFrame:
    """Quantiles of the values of each level, sorted by the median.

    Quantiles are R's type 7, as numpy's.

    Returns
    -------
    DataFrame
        Indexed by the levels' labels: level (its code), rows, and the 5, 25, 50, 75
        and 95 per cent quantiles low, lower, median, upper, high.
    """
    small = factor.codes.astype(np.min_scalar_type(factor.n_levels))
    ordered = values[np.argsort(small, kind="stable")]
    counts = np.bincount(factor.codes, minlength=factor.n_levels)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for start, count in zip(starts, counts, strict=True):
        ordered[start : start + count].sort()
    columns = {"level": np.arange(factor.n_levels), "rows": counts}
    for name, share in zip(NAMES, SHARES, strict=True):
        place = share * (counts - 1)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, counts - 1)
        low, high = ordered[starts + below], ordered[starts + above]
        columns[name] = low + (place - below) * (high - low)
    index = pd.Index(factor.levels, dtype=object)
    return pd.DataFrame(columns, index=index).sort_values("median", kind="stable")


def draw_boxes(
    ax: Axes, factor: Factor, values: FloatArray, order: IntArray, lying: bool
) -> None:
    """Draw a box a level, in that order from the left, or lying from below.

    Whiskers end at the last values within 1.5 times the box's length of the box;
    those beyond are points, and so are all values of groups of up to five rows.
    """
    from matplotlib.collections import LineCollection, PolyCollection

    frame = group_quantiles(factor, values).sort_values("level")
    place = np.empty(factor.n_levels)
    place[order] = np.arange(factor.n_levels)
    lower, middle, upper = (frame[c].to_numpy() for c in ("lower", "median", "upper"))
    boxed = frame["rows"].to_numpy() > POINTS_ALONE
    reach = np.where(boxed, 1.5 * (upper - lower), -np.inf)[factor.codes]
    within = (values >= lower[factor.codes] - reach) & (
        values <= upper[factor.codes] + reach
    )
    ends = _ends(factor.codes[within], values[within], factor.n_levels)
    across = slice(None, None, -1) if lying else slice(None)

    def path(*corners: tuple[FloatArray, FloatArray]) -> FloatArray:
        """Corners at (place, value) for each level that has a box."""
        points = np.array([[at[boxed], value[boxed]] for at, value in corners])
        return points[:, across].transpose(2, 0, 1)

    left, right = place - 0.32, place + 0.32
    boxes = path((left, lower), (right, lower), (right, upper), (left, upper))
    ax.add_collection(
        PolyCollection(list(boxes), facecolors="0.88", edgecolors=POINT, linewidths=0.7)
    )
    whiskers = [
        *path((place, lower), (place, ends[0])),
        *path((place, upper), (place, ends[1])),
    ]
    ax.add_collection(LineCollection(whiskers, colors=POINT, linewidths=0.7))
    medians = path((left, middle), (right, middle))
    ax.add_collection(LineCollection(list(medians), colors=COLOURS[1], linewidths=1.5))
    points = np.array([place[factor.codes[~within]], values[~within]])[across]
    ax.scatter(
        points[0],
        points[1],
        s=5.0,
        color=POINT,
        linewidths=0,
        rasterized=points.shape[1] > RASTERED,
    )
    ax.autoscale_view()
    _name_levels(ax, [factor.levels[level] for level in order], lying)


def _ends(codes: IntArray, values: FloatArray, count: int) -> tuple[FloatArray, ...]:
    """Smallest and largest of the values of each level."""
    lowest, highest = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(lowest, codes, values)
    np.maximum.at(highest, codes, values)
    return lowest, highest


def _name_levels(ax: Axes, levels: list[object], lying: bool) -> None:
    names = [short(level, 18) for level in levels]
    places = range(len(names))
    if lying:
        ax.set_yticks(places, names, fontsize=TICKS)
        ax.set_ylim(-0.7, len(names) - 0.3)
        return
    room = ax.get_window_extent().width * 72.0 / ax.figure.dpi / len(names)
    upright = max(map(len, names)) * 0.6 * TICKS > room
    each = int(np.ceil(1.2 * TICKS / room)) if upright else 1
    ax.set_xticks(
        places[::each], names[::each], fontsize=TICKS, rotation=90 if upright else 0
    )
    ax.set_xlim(-0.7, len(names) - 0.3)


def draw_group_ribbons(ax: Axes, quantiles: pd.DataFrame) -> str:
    """Draw ribbons of quantiles along groups sorted by median, and say what is drawn.

    Of many groups, quantiles of neighbours are averaged.
    """
    count = len(quantiles)
    bins = np.arange(count) * min(count, RIBBONS) // count
    means = quantiles[list(NAMES)].groupby(bins).mean()
    at = pd.Series(np.arange(1, count + 1)).groupby(bins).mean().to_numpy()
    drawn = {name: means[name].to_numpy() for name in NAMES}
    ax.fill_between(
        at, drawn["low"], drawn["high"], color="0.88", linewidth=0, label="90%"
    )
    ax.fill_between(
        at, drawn["lower"], drawn["upper"], color="0.68", linewidth=0, label="50%"
    )
    ax.plot(at, drawn["median"], color=COLOURS[1], linewidth=1.4, label="median")
    ax.set_xlim(1, count)
    flat_legend(ax)
    together = count / min(count, RIBBONS)
    averaged = f", averaged over {together:.0f} neighbours" if together >= 2 else ""
    return f"{count:,} groups by their medians: central 90% and 50%{averaged}"
