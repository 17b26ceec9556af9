"""The six standard plots of a fit on one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import components
from ..inference.nesting import unwrapped
from ..inference.simulate import RandomSource
from .group_boxes import draw_boxes, draw_group_ribbons, group_quantiles
from .labels import short
from .marks import SIZE, TICKS, dress, extremes, label_points, reference, say
from .normal_quantiles import plotting_positions
from .residuals import (
    BOXES,
    draw_resid,
    draw_resid_qq,
    draw_scale_location,
    fitted_values,
    group_factor,
    resid_qq_frame,
)
from .simulated_residuals import draw_predictive
from .smooth import thinned
from .style import COLOURS, MARKERS, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results import LMERResults

COLUMNS = 3
"""Columns of random effects that are drawn; more would hide each other."""

NO_VARIANCE = 1e-6
"""Share of a random effect's variance below which its modes are all (almost) zero."""


def plot_diagnostics(
    results: Any,
    *,
    group: str | None = None,
    label: int = 3,
    rng: RandomSource = 0,
    fig: Figure | None = None,
) -> Figure:
    """The six standard plots of a fit.

    1. Residuals against fitted values: a mean that the model misses.
    2. Root absolute residuals against fitted values: unequal variances.
    3. Residuals against normal quantiles: tails, skewness.
    4. Random effects against normal quantiles: conditional modes of the grouping
       factor over the standard deviations that they have under the model, so that
       the line is that of equality; outlying groups, mixtures of groups.
    5. Residuals by group: groups with variances of their own.
    6. Density of the response over those of responses simulated with new random
       effects: shapes that the model as a whole does not produce.

    Residuals are conditional Pearson residuals. Each panel is also a function of its
    own, with more to choose: :func:`~sm_lmer.graphics.residuals.plot_resid` and its
    neighbours, ``plot_ranef_qq`` and ``plot_predictive``.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        The grouping factor of panels 4 and 5; the one with most levels by default.
    label : int
        How many extreme rows and groups are labelled in each panel.
    rng : int, Generator, RandomState or None
        Of the simulated responses.
    fig : matplotlib Figure, optional
        An empty one; otherwise a new one of 7 by 5 inches.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If the model has no such grouping factor, or its data were removed.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> fig = res.plot_diagnostics()
    >>> [ax.get_title(loc="left") for ax in fig.axes][:3]
    ['1. Residuals and fit', '2. Spread', '3. Residual quantiles']
    """
    results = unwrapped(results)
    results.model.require_rows("a residual")
    name = main_factor(results, group)
    figure = figure_for(fig, "plot_diagnostics", 7.0, 5.0)
    axes = figure.subplots(2, 3).ravel()
    fitted, nobs = fitted_values(results), results.model.nobs
    pearson = np.asarray(results.resid_pearson)
    notes = draw_resid(axes[0], results, fitted, pearson, True, label)
    dress(axes[0], fitted.name, "Pearson residual")
    notes += draw_scale_location(axes[1], results, fitted, True, label)
    frame = resid_qq_frame(results)
    notes += draw_resid_qq(axes[2], frame, nobs, label=label, wide=False)
    dress(axes[2], "Normal quantile", "Pearson residual")
    draw_standard_modes(axes[3], standard_modes(results, name), label)
    dress(axes[3], "Normal quantile", f"{name}: mode / its SD")
    notes.append(_by_group(axes[4], results, name, pearson))
    notes += draw_predictive(axes[5], results, rng=rng)
    dress(axes[5], results.model.endog_names, "Density")
    titles = (
        "1. Residuals and fit",
        "2. Spread",
        "3. Residual quantiles",
        "4. Random effect quantiles",
        "5. Residuals by group",
        "6. Simulated responses",
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=SIZE, loc="left", pad=14.0)
    say(figure, fig is None, notes, 115)
    return figure


def main_factor(results: LMERResults, group: str | None) -> str:
    """The grouping factor asked for, or the one with most levels.

    Raises
    ------
    ValueError
        If the model has no such factor.
    """
    names = list(components.by_factor(results))
    if group is None:
        return names[0]
    if group not in names:
        raise ValueError(
            f"the model has no grouping factor {group!r}; choose from "
            f"{', '.join(names)}."
        )
    return group


def standard_modes(results: Any, group: str | None = None) -> pd.DataFrame:
    """Conditional modes over the standard deviations they have under the model.

    The mode of a random effect of variance s^2 and conditional variance c varies
    with variance ``s^2 - c`` from one data set to another (Laird and Ware, 1982, for
    known fixed effects), so that its ratio to the root is standard normal.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        The grouping factor; the one with most levels by default.

    Returns
    -------
    DataFrame
        Levels by columns of the factor's random effects; nan for those without
        variance.
    """
    results = unwrapped(results)
    name = main_factor(results, group)
    modes, conditional = results.ranef(cond_var=True)
    variances = np.concatenate(
        [
            components.covariances(results)[k].diagonal()
            for k in components.by_factor(results)[name]
        ]
    )
    known = np.einsum("lqq->lq", conditional[name])
    left = variances - known
    some = left > NO_VARIANCE * variances
    scale = np.sqrt(np.where(some, left, np.nan))
    frame = modes[name]
    return pd.DataFrame(
        frame.to_numpy() / scale, index=frame.index, columns=frame.columns
    )


def draw_standard_modes(ax: Axes, frame: pd.DataFrame, label: int = 3) -> None:
    """Draw the columns of a frame of :func:`standard_modes` against quantiles."""
    columns = [c for c in range(frame.shape[1]) if frame.iloc[:, c].notna().any()]
    if not columns:
        ax.text(
            0.5,
            0.5,
            "no variance\n(singular fit)",
            ha="center",
            va="center",
            fontsize=TICKS,
            transform=ax.transAxes,
        )
        return
    several = frame.shape[1] > 1
    for k, column in enumerate(columns[:COLUMNS]):
        own = frame.iloc[:, column].dropna().sort_values(kind="stable")
        z, values = plotting_positions(len(own)), own.to_numpy()
        at = thinned(len(own))
        ax.scatter(
            z[at],
            values[at],
            s=float(np.clip(1_200.0 / len(own), 3.0, 12.0)),
            marker=MARKERS[k],
            facecolors="none" if several else "#4D4D4D",
            edgecolors=COLOURS[(0, 4, 2)[k]] if several else "none",
            linewidths=0.8 if several else 0.0,
            zorder=3,
            label=short(frame.columns[column], 16),
        )
        far = extremes(np.abs(values - z), 1 if several else label)
        label_points(ax, z, values, far, own.index[far])
    ends = np.array(ax.get_xlim())
    ax.plot(ends, ends, color=COLOURS[0], linewidth=0.9, linestyle="--", zorder=2)
    ax.set_xlim(*ends)
    if several:
        ax.legend(
            loc="upper left",
            frameon=False,
            fontsize=TICKS,
            handletextpad=0.2,
            borderaxespad=0.1,
        )


def _by_group(
    ax: Axes, results: LMERResults, name: str, residuals: np.ndarray
) -> str | None:
    """Residuals of the groups, sorted by median, as boxes or ribbons; a note."""
    factor = group_factor(results, name)[1]
    quantiles = group_quantiles(factor, residuals)
    reference(ax)
    if factor.n_levels > BOXES:
        note = draw_group_ribbons(ax, quantiles)
        dress(ax, f"{name}, sorted by median", "Pearson residual")
        return note
    draw_boxes(ax, factor, residuals, quantiles["level"].to_numpy(), False)
    dress(ax, f"{name}, sorted by median", "Pearson residual")
    return None
