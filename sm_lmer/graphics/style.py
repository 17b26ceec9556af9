"""What all pictures share: colours, symbols, figures that pyplot does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            f"{what} needs matplotlib: install it with pip install 'sm_lmer[plot]'."
        ) from None
    return Figure(figsize=(width, height), layout="constrained", dpi=200)
