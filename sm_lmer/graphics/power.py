"""Simulated power against the number of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .style import COLOURS, MARKERS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..inference.power import Power


def plot_power(power: Power, ax: Any = None) -> Figure:
    """Draw power with its 95% intervals, a line a size of the groups.

    Parameters
    ----------
    power : Power
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure
    """
    if ax is None:
        ax = new_figure("a plot of power", 5.5, 3.8).subplots()
    sizes = power.frame["size"].unique()
    for k, size in enumerate(sizes):
        same = (
            power.frame["size"].isna()
            if np.isnan(size)
            else power.frame["size"] == size
        )
        own = power.frame[same].sort_values("levels")
        ends = [own["power"] - own["lower"], own["upper"] - own["power"]]
        ax.errorbar(
            own["levels"].to_numpy(),
            own["power"].to_numpy(),
            yerr=np.array(ends),
            marker=MARKERS[k % len(MARKERS)],
            color=COLOURS[k % len(COLOURS)],
            capsize=3,
            label=None if np.isnan(size) else f"{size:.0f} rows a level",
        )
    ax.axhline(0.8, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(
        xlabel=f"levels of {power.along}",
        ylabel=f"power of the test of {power.effect}",
        ylim=(-0.02, 1.02),
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    if not np.isnan(sizes).all():
        ax.legend(frameon=False)
    return ax.figure
