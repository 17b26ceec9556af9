"""Plots of simulated residuals and of simulated responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.terms import FloatArray
from ..inference.nesting import unwrapped
from ..inference.row_values import RowValues
from ..inference.simulate import RandomSource, generator, number_of_draws
from ..inference.simulated_residuals import QUANTILES, SimulatedTest, draws
from .group_boxes import draw_boxes, draw_group_ribbons, group_quantiles
from .marks import POINT, TICKS, cloud, dress, finish, flat_legend, say
from .residuals import BOXES, SHAPE
from .smooth import bandwidth, density, quantile_curves, rounding, thinned
from .style import COLOURS, OTHER, axes_for, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..inference.simulated_residuals import SimulatedResiduals
    from ..results import LMERResults

NUMBERS = 5_000_000
"""Simulated values up to which all of nsim responses are drawn."""

GRID = 512

MARKED = 100
"""Rows outside the simulated range up to which they are marked."""


def plot_simulated_residuals(
    simulated: SimulatedResiduals,
    x: Any = None,
    *,
    tests: bool = True,
    fig: Figure | None = None,
) -> Figure:
    """Scaled residuals against uniform quantiles, and along a variable.

    Left, points off the diagonal show a distribution that is not the model's. Right,
    the quartiles of the residuals (full lines) should stay at the dashed ones; rows
    outside the range of all simulated responses are marked.

    Parameters
    ----------
    simulated : SimulatedResiduals
    x : str or array_like, optional
        A variable as :func:`sm_lmer.inference.row_values.row_values` takes it. By
        default the predictions in the residuals, as ranks; the order of the rows
        where these are all equal.
    tests : bool
        Whether to write the p-values above the panels: those by simulation, which
        hold also where rows of a group depend on each other.
    fig : matplotlib Figure, optional
        An empty one.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> fig = res.simulated_residuals(nsim=50).plot("Days", tests=False)
    >>> [ax.get_xlabel() for ax in fig.axes]
    ['Uniform quantile', 'Days']
    """
    figure = figure_for(fig, "a plot of simulated residuals", 7.0, 3.2)
    left, right = figure.subplots(1, 2)
    draw_uniform_qq(left, simulated)
    variable = along(simulated, x)
    note = draw_quantiles_along(right, simulated, variable)
    dress(left, "Uniform quantile", "Scaled residual")
    dress(right, variable.name, "Scaled residual")
    if tests:
        found = [simulated.test_uniformity(), simulated.test_dispersion()]
        found.append(simulated.test_outliers())
        left.set_title(_p_values(found), fontsize=TICKS, loc="left")
        trend = simulated.test_quantiles(x)
        right.set_title(_p_values([trend]), fontsize=TICKS, loc="left", pad=16)
    say(figure, fig is None, [note], 110)
    return figure


def _p_values(tests: list[SimulatedTest]) -> str:
    parts = []
    for test in tests:
        name = test.name.split(" ~ ")[0]
        parts.append(f"{name} p = {test.p_simulated:.2g}")
    return ",  ".join(parts)


def along(simulated: SimulatedResiduals, x: Any = None) -> RowValues:
    """What the residuals are drawn along; by default the ranks of the predictions."""
    if x is not None:
        return simulated.variable(x)
    n = len(simulated.fitted)
    if np.ptp(simulated.fitted) <= 1e-10 * np.abs(simulated.fitted).max():
        return RowValues("Row (all predictions are equal)", np.arange(1.0, n + 1), None)
    from scipy.stats import rankdata

    shares = (rankdata(simulated.fitted) - 0.5) / n
    return RowValues("Prediction (rank, from 0 to 1)", shares, None)


def draw_uniform_qq(ax: Axes, simulated: SimulatedResiduals) -> None:
    """Draw sorted scaled residuals against uniform quantiles."""
    n = len(simulated.scaled)
    at = thinned(n)
    expected = (np.arange(n) + 0.5) / n
    ordered = np.sort(simulated.scaled)
    ax.plot([0, 1], [0, 1], color=COLOURS[0], linewidth=0.9, linestyle="--")
    size = float(np.clip(1_500.0 / n, 3.0, 11.0))
    ax.scatter(expected[at], ordered[at], s=size, color=POINT, linewidths=0, zorder=3)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def draw_quantiles_along(
    ax: Axes, simulated: SimulatedResiduals, variable: RowValues
) -> str | None:
    """Draw scaled residuals along a variable with their quartiles; a note, or None."""
    known = variable.known
    scaled = simulated.scaled[known]
    for share in QUANTILES:
        ax.axhline(share, color=COLOURS[0], linewidth=0.9, linestyle="--", zorder=2)
    ax.set_ylim(-0.04, 1.04)
    if variable.factor is not None:
        factor = variable.factor.subset(known)
        if factor.n_levels > BOXES:
            return draw_group_ribbons(ax, group_quantiles(factor, scaled))
        draw_boxes(ax, factor, scaled, np.arange(factor.n_levels), False)
        return None
    x = np.asarray(variable.numbers)[known]
    note = cloud(ax, x, scaled)
    bins = int(np.clip(len(x) // 25, 2, 20))
    at, found = quantile_curves(x, scaled, np.array(QUANTILES), bins)
    for k, curve in enumerate(found.T):
        label = "quartiles" if k == 0 else None
        ax.plot(at, curve, color=OTHER, linewidth=1.4, zorder=4, label=label)
    ax.plot([], [], color=COLOURS[0], linewidth=0.9, linestyle="--", label="expected")
    outlying = simulated.outlying[known]
    count = int(outlying.sum())
    if count > MARKED:
        left = f"{count:,} rows outside all simulated responses are not marked"
        note = left if note is None else f"{note}; {left}"
    elif count:
        ax.scatter(
            x[outlying],
            scaled[outlying],
            s=22,
            marker="D",
            facecolors="none",
            edgecolors=COLOURS[4],
            linewidths=0.8,
            zorder=5,
            label="outside all simulated",
        )
    if variable.times:
        ax.xaxis_date()
        ax.tick_params(axis="x", rotation=30)
    flat_legend(ax)
    return note


# -- densities of simulated responses ------------------------------------------------


def predictive_densities(
    results: Any, nsim: int = 50, rng: RandomSource = 0, re_form: Any = False
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Densities of the response and of simulated ones, by one Gaussian kernel.

    Parameters
    ----------
    results : LMERResults
    nsim : int
        Number of simulated responses.
    rng : int, Generator, RandomState or None
    re_form : False, None or str
        Random effects that are held; all are drawn anew by default.

    Returns
    -------
    grid : ndarray, shape (512,)
        In units of the response.
    observed : ndarray, shape (512,)
    simulated : ndarray, shape (nsim, 512)
    """
    results, nsim = unwrapped(results), number_of_draws(nsim)
    results.model.require_rows("a simulated response")
    y, numbers = np.asarray(results.model.endog), generator(rng)
    drawn = [draws(results, 1, re_form, numbers)[:, 0] for _ in range(nsim)]
    h = max(bandwidth(y), rounding(y) / 2.0)
    low = min(y.min(), *(draw.min() for draw in drawn)) - 3.0 * h
    high = max(y.max(), *(draw.max() for draw in drawn)) + 3.0 * h
    grid = np.linspace(low, high, GRID)
    others = np.array([density(draw, grid, h) for draw in drawn])
    return grid, density(y, grid, h), others


def plot_predictive(
    results: Any,
    nsim: int = 50,
    rng: RandomSource = 0,
    *,
    re_form: Any = False,
    ax: Axes | None = None,
) -> Figure:
    """Density of the response over those of responses simulated from the fit.

    Where the observed density leaves the simulated ones, the data have a shape that
    the model does not produce: skewness, bounds, several modes.

    Parameters
    ----------
    results : LMERResults
    nsim : int
        Number of simulated responses; fewer, at least 5, where they would have more
        than 5 million values.
    rng : int, Generator, RandomState or None
    re_form : False, None or str
        Random effects that are held; all are drawn anew by default.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> fig = res.plot_predictive(nsim=20)
    >>> len(fig.axes[0].collections[0].get_segments()), len(fig.axes[0].lines)
    (20, 1)
    """
    results = unwrapped(results)
    panel = axes_for(ax, "plot_predictive", *SHAPE)
    notes = draw_predictive(panel, results, nsim, rng, re_form)
    dress(panel, results.model.endog_names, "Density")
    return finish(panel, ax is None, notes)


def draw_predictive(
    ax: Axes,
    results: LMERResults,
    nsim: int = 50,
    rng: RandomSource = 0,
    re_form: Any = False,
) -> list[str | None]:
    """Draw densities of simulated responses and the observed one; notes."""
    from matplotlib.collections import LineCollection

    drawn = min(number_of_draws(nsim), max(5, NUMBERS // results.model.nobs))
    grid, own, others = predictive_densities(results, drawn, rng, re_form)
    lines = [np.column_stack([grid, other]) for other in others]
    ax.add_collection(
        LineCollection(
            lines, colors="0.7", linewidths=0.5, alpha=0.8, label=f"{drawn} simulated"
        )
    )
    ax.plot(grid, own, color=OTHER, linewidth=1.6, label="observed")
    shown = np.flatnonzero(np.maximum(own, others.max(axis=0)) > 1e-4 * own.max())
    ax.set_xlim(grid[shown[0]], grid[shown[-1]])
    ax.set_ylim(0.0, 1.05 * max(own.max(), others.max()))
    flat_legend(ax, 2)
    if drawn < nsim:
        rows = f"{results.model.nobs:,} rows"
        return [f"{drawn} simulated responses instead of {nsim}, of {rows}"]
    return []
