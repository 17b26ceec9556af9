"""What all pictures share: colours, symbols, figures that pyplot does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#000000",
    "#E69F00",
    "#56B4E9",
)
"""Of Okabe and Ito (2008), which the colour-blind can tell apart; yellow left out."""

MARKERS = "osD^vP"
"""Symbols, so that lines differ without colours, too."""

DATA, LINE, OTHER, MUTED = "0.55", COLOURS[0], COLOURS[1], "0.75"
"""Points of the data; the model's estimate; what it is compared with; the rest."""


def new_figure(what: str, width: float, height: float) -> Figure:
    """A figure in inches.

    Parameters
    ----------
    what : str
        What is to be drawn, for the message.
    width, height : float

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    try:
        from .figure import DisplayedFigure
    except ImportError:
        raise ImportError(
            f"{what} needs matplotlib: install it with pip install 'sm_lmer[plot]'."
        ) from None
    return DisplayedFigure(figsize=(width, height), layout="constrained", dpi=200)


def figure_for(fig: Figure | None, what: str, width: float, height: float) -> Figure:
    """The user's figure, which must be empty, or a new one.

    Raises
    ------
    ValueError
        If the figure has axes already.
    """
    if fig is None:
        return new_figure(what, width, height)
    if fig.axes:
        raise ValueError("fig= has axes already: pass an empty figure, or ax=.")
    return fig


def axes_for(ax: Axes | None, what: str, width: float, height: float) -> Axes:
    """The user's axes, or those of a new figure."""
    return new_figure(what, width, height).subplots() if ax is None else ax


def caption(fig: Figure, text: str) -> None:
    """Say below a figure what it does not show: samples, bins, rows left out."""
    fig.supxlabel(text, fontsize=8, color="0.35")
