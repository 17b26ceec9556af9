"""Pictures of bootstrap distributions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..core.terms import FloatArray
from .labels import short
from .style import COLOURS, DATA, LINE, MUTED, OTHER, caption, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..inference.bootstrap import Bootstrap

KINDS = {"both": ("hist", "qq"), "hist": ("hist",), "qq": ("qq",)}
"""What ``kind=`` takes, and the panels of a statistic."""

FONT = 7.5
"""Points of names and numbers."""

DRAWN = 2_000
"""Points of a panel beyond which they are drawn as pixels in vector formats."""


def plot_bootstrap(
    boot: Bootstrap,
    which: str | int | Iterable[str | int] | None = None,
    *,
    kind: str = "both",
    alpha: float = 0.05,
    fig: Figure | None = None,
) -> Figure:
    """Histograms and normal quantile plots of replicates, as R's ``plot.boot``.

    Parameters
    ----------
    boot : Bootstrap
    which : str, int or sequence of these, optional
        The statistics, by name or by position from 0; all by default.
    kind : {"both", "hist", "qq"}
    alpha : float
        One less the level of the percentile intervals in the histograms.
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure
        The histograms are densities with the estimate and the ends of the percentile
        interval; the line of a quantile plot has the mean and the standard deviation
        of the replicates, those of a normal distribution.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        For an unknown statistic or kind, or one without finite replicates.

    References
    ----------
    Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and Their Application.
    Cambridge University Press, section 2.3.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> fig = res.bootstrap(nsim=99, rng=1).plot(["Intercept", "sigma"])
    >>> [ax.get_xlabel() for ax in fig.axes]
    ['Intercept', 'normal quantile', 'sigma', 'normal quantile']
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; choose one of {', '.join(KINDS)}.")
    names = _names(boot, which)
    draws = {name: finite_draws(boot, name) for name in names}
    ends = boot.conf_int(alpha, "perc")
    rows, columns = _grid(len(names), kind)
    width = 3.5 if columns == 1 else 7.0
    fig = figure_for(fig, "a picture of a bootstrap", width, 1.9 * rows + 0.6)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    panels = [(name, what) for name in names for what in KINDS[kind]]
    for ax, (name, what) in zip(axes, panels, strict=False):
        estimate = float(boot.estimate[name])
        if what == "hist":
            limits = ends.loc[name, ["lower", "upper"]].to_numpy(float)
            _draw_histogram(ax, name, draws[name], estimate, limits)
        else:
            _draw_quantiles(ax, name, draws[name], estimate)
    for ax in axes[len(panels) :]:
        ax.remove()
    _tidy(axes[: len(panels)], 5 if columns < 4 else 3)
    _legend(fig, kind, alpha)
    _say_failures(fig, boot, names)
    return fig


# -- what is drawn ---------------------------------------------------------------------


def finite_draws(boot: Bootstrap, name: str) -> FloatArray:
    """The finite replicates of a statistic, ascending.

    Raises
    ------
    ValueError
        If there are none.
    """
    values = boot.replicates[name].to_numpy(float)
    found = np.sort(values[np.isfinite(values)])
    if len(found) == 0:
        raise ValueError(
            f"{name!r} has no finite replicate to draw; choose others with which=."
        )
    return found


def histogram(draws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Density and edges of the bins: as many as R's, one for 25 draws, 10 to 100."""
    bins = int(np.clip(np.ceil(len(draws) / 25), 10, 100))
    low, high = draws[0], draws[-1]
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        half = max(abs(low), 1.0) * 1e-3
        low, high = low - half, high + half
    return np.histogram(draws, bins=bins, range=(low, high), density=True)


def normal_quantiles(count: int) -> FloatArray:
    """Normal quantiles that ascending draws are drawn against, as R's ``qqnorm``."""
    a = 0.375 if count <= 10 else 0.5
    quantiles: FloatArray = norm.ppf(
        (np.arange(1, count + 1) - a) / (count + 1 - 2 * a)
    )
    return quantiles


# -- panels ----------------------------------------------------------------------------


def _draw_histogram(
    ax: Axes, name: str, draws: FloatArray, estimate: float, ends: FloatArray
) -> None:
    density, edges = histogram(draws)
    ax.stairs(density, edges, fill=True, color=MUTED)
    ax.stairs(density, edges, color="0.45", linewidth=0.6)
    ax.axvline(estimate, color=LINE, linewidth=1.8)
    for end in ends:
        ax.axvline(end, color=OTHER, linewidth=1.2, linestyle="--")
    ax.set_xlabel(short(name, 40), fontsize=FONT)
    ax.set_ylabel("density", fontsize=FONT)


def _draw_quantiles(ax: Axes, name: str, draws: FloatArray, estimate: float) -> None:
    quantiles = normal_quantiles(len(draws))
    ax.plot(
        quantiles,
        draws,
        "o",
        color=DATA,
        markersize=2.5,
        markeredgewidth=0,
        rasterized=len(draws) > DRAWN,
    )
    if len(draws) > 1:
        line = draws.mean() + draws.std(ddof=1) * quantiles[[0, -1]]
        ax.plot(quantiles[[0, -1]], line, color=COLOURS[4], linewidth=1.0)
    ax.axhline(estimate, color=LINE, linewidth=1.2)
    ax.set_xlabel("normal quantile", fontsize=FONT)
    ax.set_ylabel(short(name, 28), fontsize=FONT)


def _tidy(axes: Iterable[Axes], ticks: int) -> None:
    from matplotlib.ticker import MaxNLocator

    for ax in axes:
        ax.tick_params(labelsize=7)
        ax.xaxis.set_major_locator(MaxNLocator(ticks))
        ax.yaxis.set_major_locator(MaxNLocator(4))


def _legend(fig: Figure, kind: str, alpha: float) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=LINE, linewidth=1.8, label="estimate")]
    if kind != "qq":
        label = f"ends of the {100 * (1 - alpha):g}% percentile interval"
        handles.append(Line2D([], [], color=OTHER, linestyle="--", label=label))
    if kind != "hist":
        label = "normal, of their mean and sd"
        handles.append(Line2D([], [], color=COLOURS[4], linewidth=1.0, label=label))
    fig.legend(
        handles=handles,
        loc="outside upper center",
        ncols=1 if fig.get_figwidth() < 5 else len(handles),
        frameon=False,
        fontsize=FONT,
    )


def _say_failures(fig: Figure, boot: Bootstrap, names: list[str]) -> None:
    """Below the figure: how many replicates there are, and how many are missing."""
    kept = np.isfinite(boot.replicates[names].to_numpy(float)).sum(axis=0)
    text = f"{boot.nsim:,} replicates ({boot.type.replace('_', ' ')} bootstrap)"
    missing = int(boot.nsim - kept.min())
    if missing:
        text += f"; {missing:,} failed or are not finite and are left out"
    caption(fig, f"{text}.")


def _grid(count: int, kind: str) -> tuple[int, int]:
    """Rows and columns of panels: both of a statistic stand side by side."""
    if kind == "both":
        columns = 2 if count <= 4 else 4
        return -(-2 * count // columns), columns
    columns = min(count, 2 if count == 4 else 3)
    return -(-count // columns), columns


def _names(boot: Bootstrap, which: Any) -> list[str]:
    """Names of the statistics to draw."""
    known = list(boot.estimate.index)
    if which is None:
        return known
    asked = [which] if isinstance(which, (str, int, np.integer)) else list(which)
    found = []
    for one in asked:
        if one in known:
            found.append(one)
        elif isinstance(one, (int, np.integer)) and -len(known) <= one < len(known):
            found.append(known[int(one)])
        else:
            raise ValueError(
                f"there is no statistic {one!r}; the bootstrap has "
                f"{', '.join(map(repr, known))}."
            )
    if not found:
        raise ValueError(f"which= names none of {', '.join(map(repr, known))}.")
    return list(pd.unique(pd.Series(found, dtype=object)))
