"""Pictures of influence: index plots, dfbetas, leverage against residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..inference.influence import Influence, extremes
from .labels import short
from .style import DATA, LINE, OTHER, axes_for, caption, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "cooks_d": "Cook's distance",
    "mdffits": "MDFFITS",
    "covratio": "COVRATIO",
    "covtrace": "COVTRACE",
    "hat_diag": "leverage",
    "hat_marginal": "leverage of the fixed part",
    "cooks_conditional": "conditional Cook's distance",
    "standard_resid": "standardised residual",
    "n_rows": "rows",
}
"""What axes call the measures."""

NOTHING = {"covratio": 1.0}
"""Where a measure is when nothing changes, if not at 0."""

MOST_DRAWN = 5_000
"""Units up to which every one has a stem; beyond, points alone, as pixels."""

HOW = {
    "exact": "exact refits",
    "one-step": "one Newton step",
    "fixed": "variances held",
}


def _title(column: str) -> str:
    if column.startswith("dfb_"):
        return f"change of {short(column[4:], 30)} (SE)"
    if column.startswith("rvc_"):
        return f"relative change of\n{short(column[4:], 34)}"
    return TITLES.get(column, column)


def _beyond(values: pd.Series, bounds: tuple[float, float]) -> np.ndarray:
    numbers = values.to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        return np.asarray((numbers < bounds[0]) | (numbers > bounds[1]))


def _draw_index(ax: Axes, found: Influence, measure: str, label: int) -> None:
    """Stems of one measure; the most extreme units beyond the cutoffs are labelled."""
    values = found.measure(measure)
    column = str(values.name)
    base = NOTHING.get(column, 0.0)
    bounds = found.cutoff(column)
    x, y = np.arange(len(values)), values.to_numpy(dtype=float)
    beyond = _beyond(values, bounds)
    many = len(values) > MOST_DRAWN
    if not many:
        ax.vlines(x, base, y, color="0.8", linewidth=0.7, zorder=1)
    size = 3.0 if many else 5.0 if len(values) > 500 else 12.0
    ax.scatter(
        x[~beyond],
        y[~beyond],
        s=size,
        color=DATA,
        linewidths=0,
        rasterized=many,
        zorder=2,
    )
    ax.scatter(
        x[beyond],
        y[beyond],
        s=5.0 if many else size + 4.0,
        marker="D",
        color=OTHER,
        linewidths=0,
        rasterized=many,
        zorder=3,
    )
    ax.axhline(base, color="0.6", linewidth=0.6, zorder=0)
    ax.margins(x=0.04)
    _limits(ax, np.append(y, base))
    for bound in bounds:
        if ax.get_ylim()[0] < bound < ax.get_ylim()[1]:
            ax.axhline(bound, color="0.35", linewidth=0.8, linestyle="--", zorder=1)
    ax.tick_params(labelsize=8)
    ax.set_ylabel(_title(column), fontsize=9)
    positions = dict(zip(values.index, x, strict=True))
    if values.index.is_unique:
        worst = [k for k in extremes(values, column, label) if beyond[positions[k]]]
        _annotate(
            ax, [(positions[k], values[k], short(k, 18)) for k in worst], len(values)
        )


def _limits(ax: Axes, y: np.ndarray) -> None:
    """Room above the data for names, and below it where there is something."""
    y = y[np.isfinite(y)]
    low, high = float(y.min()), float(y.max())
    room = (high - low) or 1.0
    ax.set_ylim(low - room * (0.04 if low == 0.0 else 0.12), high + 0.16 * room)


def _annotate(ax: Axes, points: Sequence[tuple[int, float, str]], count: int) -> None:
    """Names beside points, none over another: later ones in the way are left out."""
    taken: list[tuple[float, float, float]] = []
    low, high = ax.get_ylim()
    width = ax.get_window_extent().width
    for x, y, text in points:
        reach = count * (len(text) * 9.5 + 14.0) / max(width, 1.0)
        left = x > 0.6 * count
        span = (x - reach, x) if left else (x, x + reach)
        level = (y - low) / (high - low)
        crowded = any(
            span[0] < end and start < span[1] and abs(level - other) < 0.07
            for start, end, other in taken
        )
        if crowded:
            continue
        taken.append((*span, level))
        ax.annotate(
            text,
            (x, y),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=7,
            zorder=4,
        )


def _name_units(ax: Axes, found: Influence) -> None:
    """Ticks with the units' own names where there is room, else their numbers."""
    labels = [short(label, 12) for label in found.labels]
    longest = max((len(text) for text in labels), default=0)
    ax.set_xlabel(short(found.unit, 40), fontsize=9)
    if found.group is not None and len(labels) <= 30:
        upright = len(labels) * longest > 30
        ax.set_xticks(
            range(len(labels)), labels, rotation=90 if upright else 0, fontsize=7
        )
    elif found.group is not None:
        ax.set_xlabel(f"{short(found.unit, 40)} (in their order)", fontsize=9)


def _say(fig: Figure, found: Influence) -> None:
    text = f"Left out one by one; {HOW[found.method]}. Diamonds: beyond the cutoff."
    missing = int(found.cooks_distance.isna().sum())
    if missing:
        text += f" {missing} units are not shown: the model needs them."
    caption(fig, text)


def plot_index(
    found: Influence,
    measure: str = "cooks_distance",
    *,
    label: int = 5,
    ax: Axes | None = None,
) -> Figure:
    """Draw one measure of influence against the units in their order.

    Dashed lines are at the cutoffs (:meth:`Influence.cutoff`); diamonds lie beyond.

    Parameters
    ----------
    found : Influence
    measure : str
        An attribute or a column of ``summary_frame()``.
    label : int
        How many of the units beyond the cutoffs have their names shown.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure
    """
    own = ax is None
    ax = axes_for(ax, "an index plot", 7.0, 3.2)
    _draw_index(ax, found, measure, label)
    _name_units(ax, found)
    fig: Any = ax.figure
    if own:
        _say(fig, found)
    return fig


def plot_measures(
    found: Influence,
    measures: Sequence[str] = ("cooks_d", "mdffits", "covratio", "covtrace"),
    *,
    label: int = 5,
    fig: Figure | None = None,
) -> Figure:
    """Draw several measures of influence, a panel each.

    Parameters
    ----------
    found : Influence
    measures : sequence of str
        Columns of ``summary_frame()``.
    label : int
        How many units beyond the cutoffs have their names shown in each panel.
    fig : matplotlib Figure, optional

    Returns
    -------
    matplotlib Figure
    """
    rows = -(-len(measures) // 2)
    fig = figure_for(fig, "a plot of influence", 7.0, 0.6 + 2.2 * rows)
    axes = fig.subplots(rows, min(2, len(measures)), squeeze=False, sharex=True).ravel()
    for ax, measure in zip(axes, measures, strict=False):
        _draw_index(ax, found, measure, label)
    for ax in axes[len(measures) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(measures) - 2) : len(measures)]:
        _name_units(ax, found)
        ax.xaxis.set_tick_params(labelbottom=True)
    _say(fig, found)
    return fig


def plot_dfbetas(
    found: Influence, *, label: int = 4, fig: Figure | None = None
) -> Figure:
    """Draw the change of every fixed effect in standard errors, a panel each.

    Parameters
    ----------
    found : Influence
    label : int
        How many units beyond 2 / sqrt(G) have their names shown in each panel.
    fig : matplotlib Figure, optional

    Returns
    -------
    matplotlib Figure
    """
    names = [f"dfb_{name}" for name in found.dfbetas]
    return plot_measures(found, names, label=label, fig=fig)


def plot_influence(
    found: Influence, *, label: int = 5, ax: Axes | None = None
) -> Figure:
    """Draw leverage against what does not fit, the areas by Cook's distance.

    For single rows that is the standardised residual, as in statsmodels; for groups
    it is the relative change of the residual variance without the group, or COVRATIO
    where variances were held.

    Parameters
    ----------
    found : Influence
    label : int
        How many units of the largest Cook's distances have their names shown.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure
    """
    own = ax is None
    ax = axes_for(ax, "an influence plot", 5.0, 3.8)
    across = "rvc_sigma2" if found.method != "fixed" else "covratio"
    across = "standard_resid" if found.group is None else across
    x, y = found.measure("hat_diag"), found.measure(across)
    d = found.measure("cooks_d").fillna(0.0)
    share = d / d.max() if d.max() > 0 else d
    many = len(x) > MOST_DRAWN
    ax.scatter(
        x,
        y,
        s=4.0 + (120.0 if many else 260.0) * share,
        facecolor=LINE,
        alpha=0.35,
        edgecolor="0.2",
        linewidths=0.4,
        rasterized=many,
    )
    ax.axhline(NOTHING.get(across, 0.0), color="0.6", linewidth=0.7, zorder=0)
    ax.margins(x=0.12, y=0.12)
    ax.tick_params(labelsize=8)
    title = "leverage" if found.group is None else "mean leverage"
    ax.set_xlabel(title, fontsize=9)
    ax.set_ylabel(_title(across), fontsize=9)
    if d.index.is_unique:
        _label_bubbles(ax, x, y, extremes(d[d > 0], "cooks_d", label))
    fig: Any = ax.figure
    if own:
        caption(fig, f"Areas: Cook's distance without each {short(found.unit, 30)}.")
    return fig


def _label_bubbles(ax: Axes, x: pd.Series, y: pd.Series, which: Any) -> None:
    middle = float(np.mean(ax.get_xlim()))
    placed: list[tuple[float, float]] = []
    for k in which:
        here = ax.transData.transform((x[k], y[k]))
        if any(abs(here[0] - a) < 120 and abs(here[1] - b) < 22 for a, b in placed):
            continue
        placed.append((float(here[0]), float(here[1])))
        left = x[k] > middle
        ax.annotate(
            short(k, 18),
            (x[k], y[k]),
            xytext=(-7 if left else 7, 5),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=7,
        )
