"""Labels and panels of the pictures of groups."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..core.terms import FloatArray
from . import style
from .labels import in_lines, plain, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = 8.0
"""Points of text."""

SMALL = 7.0
"""Points of the labels of levels, and of panels where there are many."""

WIDE, NARROW = 7.0, 3.5
"""Inches of a figure over two columns of a journal, and over one."""

CHARACTERS_AN_INCH = 16
"""Of a caption, with some room to spare."""


def wrapped(text: Any, width: float, size: float = SIZE) -> str:
    """A long name in lines that fit so many inches, as plain text."""
    return in_lines(text, int(width * 120.0 / size))


def caption(fig: Figure, sentences: Sequence[str]) -> None:
    """Sentences below a figure, in lines as wide as it is."""
    width = int(fig.get_figwidth() * CHARACTERS_AN_INCH)
    text = " ".join(f"{sentence}." for sentence in sentences if sentence)
    style.caption(fig, plain(textwrap.fill(text, width)))


def legend_above(fig: Figure, handles: Sequence[Any]) -> None:
    """What the marks mean, above the panels; the caption is below them."""
    wide = fig.get_figwidth() > NARROW
    fig.legend(
        handles=list(handles),
        loc="outside upper center",
        ncols=min(len(handles), 5 if wide else 3),
        frameon=False,
        fontsize=SIZE if wide else SMALL,
        handlelength=2.2,
        handletextpad=0.5,
        columnspacing=1.2,
    )


def few_ticks(ax: Axes, most: int = 5) -> None:
    """Few round numbers on both axes, so that narrow panels stay legible."""
    from matplotlib.ticker import MaxNLocator

    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_fontsize(SMALL)
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    tidy_axes(ax)


def tidy_axes(ax: Axes) -> None:
    """Small ticks, and no frame on top and on the right."""
    ax.tick_params(labelsize=SMALL, length=2.5, width=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["bottom", "left"]].set_linewidth(0.6)


def label_points(
    ax: Axes, points: FloatArray, names: ArrayLike, up: ArrayLike, most: int
) -> None:
    """Labels above or below points, but those that would run into earlier ones.

    Parameters
    ----------
    ax : Axes
        With its final limits.
    points : ndarray, shape (k, 2)
        The most important first.
    names : array_like, shape (k,)
    up : array_like of bool, shape (k,)
        Whether the label is above its point.
    most : int
        Of labels.
    """
    from matplotlib.patheffects import withStroke

    size = np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1)
    placed: list[FloatArray] = []
    for point, name, above in zip(
        points, np.asarray(names, dtype=object), np.asarray(up), strict=True
    ):
        if len(placed) == most:
            return
        away = [np.abs(point - other) / size for other in placed]
        if any(gap[0] < 0.25 and gap[1] < 0.09 for gap in away):
            continue
        placed.append(point)
        ax.annotate(
            short(name, 12),
            (float(point[0]), float(point[1])),
            xytext=(0, 4 if above else -4),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=SMALL,
            path_effects=[withStroke(linewidth=2.0, foreground="white")],
            zorder=7,
        )


def figure_of(ax: Axes) -> Figure:
    """The figure of axes that may be in a figure within it."""
    figure: Figure = ax.figure.figure
    return figure


def and_list(names: Sequence[str]) -> str:
    """Names in a sentence.

    Examples
    --------
    >>> and_list(["s", "d", "dept"])
    's, d and dept'
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def zero_line(ax: Axes, value: float = 0.0, along: str = "x") -> None:
    """A dashed line at a value of x or y."""
    draw = ax.axvline if along == "x" else ax.axhline
    draw(value, color="0.4", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)


def spread(places: FloatArray, gap: float, low: float, high: float) -> FloatArray:
    """The nearest places in ascending order that are a gap apart and within limits.

    Parameters
    ----------
    places : ndarray, shape (k,)
        In ascending order.
    gap, low, high : float
        If there is too little room, they leave the lower limit.

    Examples
    --------
    >>> import numpy as np
    >>> spread(np.array([0.0, 1.0, 9.0]), 3.0, 0.0, 10.0)
    array([0., 3., 9.])
    """
    out = np.maximum(places, low)
    for k in range(1, len(out)):
        out[k] = max(out[k], out[k - 1] + gap)
    if len(out):
        out[-1] = min(out[-1], high)
    for k in range(len(out) - 2, -1, -1):
        out[k] = min(out[k], out[k + 1] - gap)
    return out
