"""How the grouping factors of a model cross or nest, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.terms import FloatArray, IntArray
from ..inference.design_report import (
    NESTED,
    SAME,
    Crossing,
    GroupingFactor,
    crossings,
    grouping_factors,
    rows_in_words,
)
from ..inference.nesting import unwrapped
from .labels import short
from .style import LINE, caption, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..model import LMER
    from ..results import LMERResults

MOST = 150
"""Levels up to which each has cells of its own."""

FONT = 7.5
"""Points of names of levels and factors."""


def plot_design(
    results_or_model: LMERResults | LMER, *, fig: Figure | None = None
) -> Figure:
    """How the grouping factors are crossed or nested: the rows of every combination.

    Parameters
    ----------
    results_or_model : LMERResults or LMER
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure
        A panel a pair of factors; for a single factor the rows of its levels.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        If the rows of the model have been removed.

    Notes
    -----
    Levels are in their own order, but those that share no level of the other factor
    stand apart, so that a nested factor makes a staircase. Where a factor has more
    levels than an image can show, cells stand for several combinations. See
    :func:`sm_lmer.inference.design_report.design_report` for the same in words.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.structure import plot_design
    >>> data = sml.datasets.load_pastes()
    >>> model = sml.lmer("strength ~ 1 + (1 | batch/cask)", data)
    >>> print(plot_design(model).axes[0].get_title())
    nested in batch
    30 of 300 combinations
    2 rows each
    """
    owner = unwrapped(results_or_model)
    factors = grouping_factors(getattr(owner, "model", owner))
    pairs = crossings(factors)
    if not pairs:
        fig = figure_for(fig, "a picture of the design", 7.0, 2.6)
        _draw_levels(fig.subplots(), factors[0])
        return fig
    columns = min(len(pairs), 3)
    down = -(-len(pairs) // columns)
    fewest = max(pair.second.n_levels for pair in pairs)
    height = np.clip(1.2 + 0.17 * fewest, 2.3, 4.0) if columns == 1 else 3.0
    fig = figure_for(fig, "a picture of the design", 7.0, height * down + 0.3)
    axes = fig.subplots(down, columns, squeeze=False).ravel()
    binned = [
        _draw_crossing(ax, pair, 7.0 / columns - 0.75, height - 1.1)
        for ax, pair in zip(axes, pairs, strict=False)
    ]
    for ax in axes[len(pairs) :]:
        ax.remove()
    said = []
    if any(binned) or any(len(np.unique(pair.counts)) > 1 for pair in pairs):
        said.append("Darker: more rows.")
    if any(binned):
        said.append("Cells of factors with many levels stand for several combinations.")
    if said:
        caption(fig, " ".join(said))
    return fig


def crossing_counts(pair: Crossing) -> tuple[FloatArray, IntArray, IntArray]:
    """Rows of each combination of levels, and the order that the levels are in.

    Returns
    -------
    ndarray, shape (levels of the second, levels of the first)
        Of as many cells as an image can show.
    ndarray of int, ndarray of int
        The levels of the first and of the second factor in the order of the cells.
    """
    _, first, second = pair.parts()
    rank = np.argsort(np.unique(second, return_index=True)[1]).argsort()
    first, second = rank[first], rank[second]
    across = np.lexsort((np.arange(len(first)), first))
    down = np.lexsort((np.arange(len(second)), second))
    shape = (len(down), len(across))
    cells = (min(shape[0], MOST), min(shape[1], MOST))
    rows = np.argsort(down)[pair.cols] * cells[0] // shape[0]
    cols = np.argsort(across)[pair.rows] * cells[1] // shape[1]
    at = rows * cells[1] + cols
    counts = np.bincount(at, pair.counts, cells[0] * cells[1]).astype(np.float64)
    return counts.reshape(cells), across, down


def _draw_crossing(ax: Axes, pair: Crossing, width: float, height: float) -> bool:
    """Draw a pair; whether cells stand for several combinations."""
    counts, across, down = crossing_counts(pair)
    shape = (len(down), len(across))
    cells = np.where(counts > 0, counts, np.nan)
    image(ax, cells, LINE, shape, "auto")
    ax.set_title(_relation(pair), fontsize=8)
    ax.tick_params(length=0, labelsize=FONT)
    binned = counts.shape != shape
    if not binned:
        _separate(ax, shape, width, height)
        _write_counts(ax, counts, width, height)
    _name_levels(ax.xaxis, pair.first, across, width)
    _name_levels(ax.yaxis, pair.second, down, height)
    return binned


def _relation(pair: Crossing) -> str:
    relation = pair.relation
    if relation == NESTED:
        relation = f"nested in {short(pair.second.name, 20)}"
    counts = pair.counts
    rows = rows_in_words(counts.min(), float(np.median(counts)), counts.max())
    cells = f"{len(counts):,} of {pair.possible:,} combinations"
    parts = pair.parts()[0]
    if pair.relation not in (NESTED, SAME) and parts > 1:
        relation += f", {parts:,} separate parts"
    return f"{relation}\n{cells}\n{rows}"


def _separate(ax: Axes, shape: tuple[int, int], width: float, height: float) -> None:
    """Draw white lines between cells that are large enough."""
    if width / shape[1] > 0.08:
        ax.vlines(np.arange(1, shape[1]), 0, shape[0], color="white", linewidth=0.7)
    if height / shape[0] > 0.08:
        ax.hlines(np.arange(1, shape[0]), 0, shape[1], color="white", linewidth=0.7)


def _write_counts(ax: Axes, counts: FloatArray, width: float, height: float) -> None:
    """Counts on the cells, where there is space for them."""
    down, across = counts.shape
    if height / down < 0.13 or width / across < 0.03 + 0.07 * len(
        f"{counts.max():.0f}"
    ):
        return
    dark = 0.6 * counts.max()
    for row, col in zip(*np.nonzero(counts), strict=True):
        ax.text(
            col + 0.5,
            row + 0.5,
            f"{counts[row, col]:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if counts[row, col] >= dark else "black",
        )


def _name_levels(
    axis: Any, factor: GroupingFactor, order: IntArray, inches: float
) -> None:
    """Names of the levels where there is space, else their number alone."""
    name, L = short(factor.name, 24), factor.n_levels
    if inches / L < 0.13:
        axis.set_ticks([])
        axis.set_label_text(f"{name} ({L:,} levels)", fontsize=FONT)
        return
    labels = [short(factor.factor.levels[k], 12) for k in order]
    horizontal = axis.axis_name == "y" or (
        0.02 + 0.058 * max(map(len, labels)) < inches / L
    )
    axis.set_ticks(
        np.arange(L) + 0.5, labels, rotation=0 if horizontal else 90, fontsize=FONT
    )
    axis.set_label_text(name, fontsize=FONT)


def _draw_levels(ax: Axes, factor: GroupingFactor) -> None:
    """The rows of each level of a single factor."""
    L = factor.n_levels
    if L <= MOST:
        ax.bar(np.arange(L) + 0.5, factor.counts, width=0.8, color=LINE)
        ax.set_xlim(0, L)
        _name_levels(ax.xaxis, factor, np.arange(L), 6.0)
        ax.set_ylabel("rows", fontsize=FONT)
    else:
        ax.hist(factor.counts, bins=list(_whole_bins(factor.counts)), color=LINE)
        ax.set_xlabel(f"rows of a level of {short(factor.name, 24)}", fontsize=FONT)
        ax.set_ylabel("levels", fontsize=FONT)
    ax.tick_params(labelsize=FONT)
    counts = factor.counts
    said = rows_in_words(counts.min(), float(np.median(counts)), counts.max())
    ax.set_title(f"one grouping factor: {L:,} levels, {said}", fontsize=8)


def _whole_bins(counts: IntArray) -> FloatArray:
    """Edges of at most 40 bins that hold equally many whole numbers."""
    low, high = int(counts.min()), int(counts.max())
    step = -(-(high - low + 1) // 40)
    return np.arange(low, high + step + 1, step, dtype=np.float64) - 0.5


def image(
    ax: Axes, cells: FloatArray, colour: str, shape: tuple[int, int], aspect: Any
) -> None:
    """Draw cells in shades of a colour, the axes in units of the matrix they show.

    Parameters
    ----------
    ax : matplotlib Axes
    cells : ndarray
        nan where there is nothing.
    colour : str
    shape : (int, int)
        Of the matrix.
    aspect : {"auto", "equal"}
    """
    ax.imshow(
        cells,
        cmap=_shades(colour),
        norm=_norm(cells),
        extent=(0, shape[1], shape[0], 0),
        aspect=aspect,
        interpolation="nearest",
    )


def _shades(colour: str) -> Any:
    """From a light shade of a colour, which is still seen, to the colour."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    full = np.array(to_rgb(colour))
    shades = np.vstack([0.6 + 0.4 * full, full])
    return LinearSegmentedColormap.from_list("shades", shades)


def _norm(cells: FloatArray) -> Any:
    """From 0 to the largest, or logarithmic where sizes differ much."""
    from matplotlib.colors import LogNorm, Normalize

    least, most = float(np.nanmin(cells)), float(np.nanmax(cells))
    return LogNorm(least, most) if 0 < least < 0.02 * most else Normalize(0.0, most)
