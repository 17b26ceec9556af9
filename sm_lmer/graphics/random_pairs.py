"""Random effects of a grouping factor against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from ..core.terms import FloatArray
from .conditional_modes import (
    Modes,
    chosen_columns,
    conditional_modes,
    factor_named,
    unwrapped,
    z_value,
)
from .labels import short
from .panels import (
    NARROW,
    SIZE,
    WIDE,
    caption,
    few_ticks,
    label_points,
    legend_above,
    wrapped,
    zero_line,
)
from .style import LINE, OTHER, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results import LMERResults

DEGENERATE = 1e-6
"""1 - |correlation| below which an ellipse is a line."""

MOST = 8
"""Columns of a matrix of pairs that is still legible."""

LABELLED = 3
"""Levels labelled in a panel: those farthest from zero."""

STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
"""Lines of the ellipses, the smallest first."""


def plot_ranef_pairs(
    results: LMERResults,
    group: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    levels: Sequence[float] = (0.5, 0.95),
    labels: bool = True,
    fig: Figure | None = None,
) -> Figure:
    """Conditional modes against each other, with the estimated normal's ellipses.

    An ellipse holds the given share of random effects if they are normal with the
    estimated covariance. Conditional modes are shrunken and vary less. A singular
    covariance has a line in its place, or a point.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        A grouping factor; by default the first that has several columns.
    columns : sequence of str, optional
        Which of its random effects; all by default. Two give one panel, more a
        matrix of panels.
    levels : sequence of float
        Shares that the ellipses hold; at most four.
    labels : bool
        Whether the levels farthest from zero are labelled where there is one panel.
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If there are not two columns, or more than eight; for a factor or column that
        the model does not have.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.random_effects import plot_ranef_pairs
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> ax = plot_ranef_pairs(res).axes[0]
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Intercept', 'Days')
    """
    results = unwrapped(results)
    shares = _shares(levels)
    modes = _with_pairs(results, group, columns)
    q = len(modes.columns)
    width = NARROW if q == 2 else WIDE
    height = {2: 3.6, 3: 5.4}.get(q, 7.2)
    figure = figure_for(fig, "a plot of pairs", width, height)
    axes = figure.subplots(q - 1, q - 1, sharex="col", sharey="row", squeeze=False)
    for i in range(1, q):
        for j in range(q - 1):
            ax = axes[i - 1, j]
            if j >= i:
                ax.set_axis_off()
                continue
            _pair(ax, modes, j, i, shares, labels and q == 2)
            if i == q - 1:
                label = wrapped(modes.columns[j], width / (q - 1) - 0.4)
                ax.set_xlabel(label, fontsize=SIZE)
            if j == 0:
                label = wrapped(modes.columns[i], height / (q - 1) - 0.4)
                ax.set_ylabel(label, fontsize=SIZE)
    legend_above(figure, _legend(modes, shares))
    caption(figure, _about(results, modes))
    return figure


def ellipse(covariance: FloatArray, share: float, points: int = 121) -> FloatArray:
    """Where a normal's density ellipse of a given share runs, shape (k, 2).

    Parameters
    ----------
    covariance : ndarray, shape (2, 2)
        Of rank two for an ellipse; of rank one for the two ends of a line; zero for
        the point.
    share : float
    points : int

    Examples
    --------
    >>> import numpy as np
    >>> ellipse(np.array([[4.0, -2.0], [-2.0, 1.0]]), 0.95).round(3)
    array([[-4.895,  2.448],
           [ 4.895, -2.448]])
    """
    radius = np.sqrt(chi2.ppf(share, 2))
    sd = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    product = sd[0] * sd[1]
    if product == 0.0:
        ends = radius * np.array([-sd, sd])
        return ends if sd.any() else ends[:1]
    correlation = float(np.clip(covariance[0, 1] / product, -1.0, 1.0))
    if 1.0 - abs(correlation) < DEGENERATE:
        direction = sd * np.array([1.0, np.sign(correlation)])
        return radius * np.array([-direction, direction])
    turn = np.linspace(0.0, 2.0 * np.pi, points)
    rest = np.sqrt(1.0 - correlation**2)
    x = np.cos(turn)
    y = correlation * x + rest * np.sin(turn)
    return radius * np.column_stack([sd[0] * x, sd[1] * y])


def _shares(levels: Sequence[float]) -> list[float]:
    shares = sorted(float(level) for level in levels)
    for share in shares:
        z_value(share)
    if len(shares) > len(STYLES):
        raise ValueError(
            f"levels has {len(shares)} shares; at most {len(STYLES)} ellipses are "
            "told apart."
        )
    return shares


def _with_pairs(
    results: LMERResults, group: str | None, columns: Sequence[str] | None
) -> Modes:
    """The factor to draw, with two to eight columns."""
    if isinstance(columns, str):
        columns = [columns]
    if group is not None:
        group = factor_named(results, group)
    found = chosen_columns(conditional_modes(results, group), columns)
    several = [modes for modes in found if len(modes.columns) > 1]
    if not several:
        names = " and ".join(modes.group for modes in found)
        raise ValueError(
            f"a plot of pairs needs two random effects of one grouping factor, but "
            f"there is only one a level of {names}; plot_caterpillar shows it."
        )
    modes = several[0]
    if len(modes.columns) > MOST:
        raise ValueError(
            f"{modes.group} has {len(modes.columns)} random effects a level, too many "
            f"for a legible matrix of pairs; choose at most {MOST} by columns=."
        )
    return modes


def _pair(
    ax: Axes, modes: Modes, j: int, i: int, shares: Sequence[float], labels: bool
) -> None:
    """Column i against column j."""
    many = len(modes.levels) > 300
    x, y = modes.values[:, j], modes.values[:, i]
    zero_line(ax)
    zero_line(ax, along="y")
    points = ax.scatter(
        x,
        y,
        s=4 if many else 14,
        color=LINE,
        alpha=0.4 if many else 0.9,
        linewidths=0,
        zorder=3,
    )
    points.set_rasterized(len(modes.levels) > 2000)
    covariance = modes.covariance[np.ix_([j, i], [j, i])]
    for share, style in zip(shares, STYLES, strict=False):
        path = ellipse(covariance, share)
        marker = "x" if len(path) == 1 else None
        ax.plot(*path.T, color=OTHER, linestyle=style, marker=marker, linewidth=1.2)
    few_ticks(ax)
    ax.margins(0.15 if labels else 0.05)
    if labels:
        _label_farthest(ax, modes, x, y)


def _label_farthest(ax: Axes, modes: Modes, x: FloatArray, y: FloatArray) -> None:
    """Labels of the levels farthest from zero."""
    scale = np.array([np.abs(x).max() or 1.0, np.abs(y).max() or 1.0])
    distance = (x / scale[0]) ** 2 + (y / scale[1]) ** 2
    order = np.argsort(-distance, kind="stable")[: 4 * LABELLED]
    points = np.column_stack([x, y])[order]
    label_points(ax, points, modes.levels[order], y[order] >= 0, LABELLED)


def _legend(modes: Modes, shares: Sequence[float]) -> list[Any]:
    from matplotlib.lines import Line2D

    name = short(modes.group)
    dots = Line2D(
        [], [], color=LINE, marker="o", markersize=4, linestyle="", label=name
    )
    return [
        dots,
        *(
            Line2D(
                [], [], color=OTHER, linestyle=style, label=f"{100 * share:g}% ellipse"
            )
            for share, style in zip(shares, STYLES, strict=False)
        ),
    ]


def _about(results: LMERResults, modes: Modes) -> list[str]:
    said = [
        f"Conditional modes of the effects of {modes.group} on "
        f"{results.model.endog_names}, and ellipses of their estimated covariance"
    ]
    q = len(modes.columns)
    flat = [
        len(ellipse(modes.covariance[np.ix_([j, i], [j, i])], 0.5)) < 3
        for i in range(q)
        for j in range(i)
    ]
    if any(flat):
        said.append("The estimate is singular, so that an ellipse has become a line")
    return said


__all__ = ["ellipse", "plot_ranef_pairs"]
