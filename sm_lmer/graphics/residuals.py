"""Residuals against fitted values, covariates, normal quantiles and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.terms import Factor, FloatArray, IntArray
from ..inference.nesting import unwrapped
from ..inference.prediction import predict
from ..inference.row_values import RowValues, row_labels, row_values
from .group_boxes import draw_boxes, draw_group_ribbons, group_quantiles
from .marks import (
    POINT,
    cloud,
    draw_smooth,
    dress,
    extremes,
    finish,
    flat_legend,
    label_points,
    reference,
)
from .normal_quantiles import plotting_positions, quantile_band, quartile_line
from .smooth import thinned
from .style import COLOURS, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results import LMERResults

KINDS = ("pearson", "response", "standardized", "marginal")
"""What ``kind=`` takes."""

BOXES = 40
"""Levels of a covariate up to which each has a box; more are drawn as ribbons."""

SHAPE = (3.5, 2.8)
"""Inches of a single panel."""


def residual_values(results: Any, kind: str = "pearson") -> FloatArray:
    """Residuals at the rows used, shape (n,).

    Parameters
    ----------
    results : LMERResults
    kind : {"pearson", "response", "standardized", "marginal"}
        "response": less the conditional fitted values, in units of the response.
        "pearson": these over their standard deviation, ``sqrt(w) r / sigma``.
        "standardized": Pearson residuals over ``sqrt(1 - h)``, `h` the leverages.
        "marginal": the response less the fixed part, random effects included.

    Raises
    ------
    ValueError
        For another kind.
    """
    results = unwrapped(results)
    results.model.require_rows("a residual")
    if kind == "pearson":
        return np.asarray(results.resid_pearson)
    if kind == "response":
        return np.asarray(results.resid)
    if kind == "marginal":
        fixed = results.model.predict(np.asarray(results.params))
        return np.asarray(results.model.endog - fixed)
    if kind == "standardized":
        from ..inference.leverage import hat_values

        left = 1.0 - hat_values(results)
        free = left > 1e-10
        return np.where(
            free, results.resid_pearson / np.sqrt(np.where(free, left, 1)), 0
        )
    raise ValueError(f"unknown kind {kind!r} of residuals; choose one of {KINDS}.")


def residual_label(results: LMERResults, kind: str) -> str:
    """What residuals of a kind are called on an axis."""
    response = results.model.endog_names
    return {
        "pearson": "Pearson residual",
        "standardized": "Standardized residual",
        "response": f"{response}: residual",
        "marginal": f"{response}: marginal residual",
    }[kind]


# -- against fitted values or a covariate ------------------------------------------


def plot_resid(
    results: Any,
    x: Any = None,
    *,
    kind: str = "pearson",
    smooth: bool | float = True,
    label: int = 3,
    name: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Residuals against fitted values or a covariate, with a smooth.

    A smooth that leaves zero shows a mean that the model misses; a width that changes
    shows unequal variances. Levels of a factor have a box each, more than 40 of them
    a ribbon; more than 20,000 rows are hexagons shaded by their number.

    Parameters
    ----------
    results : LMERResults
    x : str or array_like, optional
        The conditional fitted values by default; a column of the data, in the model
        or, as a Series or array of the rows used, not in it.
    kind : {"pearson", "response", "standardized", "marginal"}
        See :func:`residual_values`.
    smooth : bool or float
        Lowess with span 2/3, or with this span; no smooth if False.
    label : int
        How many rows with the largest residuals are labelled, by the data's index.
    name : str, optional
        What to call an `x` that has no name.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        If the model does not use a column of that name, or lengths differ.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> fig = res.plot_resid("Days", kind="response")
    >>> fig.axes[0].get_xlabel(), fig.axes[0].get_ylabel()
    ('Days', 'Reaction: residual')
    """
    results = unwrapped(results)
    residuals = residual_values(results, kind)
    variable = fitted_values(results) if x is None else None
    if variable is None:
        variable = row_values(results.model, x, name)
    panel = axes_for(ax, "plot_resid", *SHAPE)
    notes = draw_resid(panel, results, variable, residuals, smooth, label)
    dress(panel, variable.name, residual_label(results, kind))
    return finish(panel, ax is None, notes)


def fitted_values(results: LMERResults) -> RowValues:
    """The conditional fitted values, as a variable to draw along."""
    name = f"Fitted {results.model.endog_names}"
    return RowValues(name, np.asarray(results.fittedvalues), None)


def draw_resid(
    ax: Axes,
    results: LMERResults,
    variable: RowValues,
    residuals: FloatArray,
    smooth: bool | float = True,
    label: int = 3,
) -> list[str | None]:
    """Draw residuals along a variable; notes of what is not shown."""
    known = variable.known
    notes: list[str | None] = []
    missing = int((~known).sum())
    if missing:
        notes.append(f"{missing:,} rows left out in which {variable.name} is missing")
    if not known.any():
        raise ValueError(f"{variable.name} is missing in all rows.")
    if variable.factor is not None:
        factor = variable.factor.subset(known) if missing else variable.factor
        notes.append(_along_levels(ax, factor, residuals[known]))
        reference(ax)
        return notes
    x = np.asarray(variable.numbers)
    notes.append(cloud(ax, x[known], residuals[known]))
    reference(ax)
    draw_smooth(ax, x[known], residuals[known], smooth)
    if variable.times:
        ax.xaxis_date()
        ax.tick_params(axis="x", rotation=30)
    rows = np.flatnonzero(known)
    rows = rows[extremes(np.abs(residuals[known]), label)]
    label_points(ax, x, residuals, rows, row_labels(results.model)[rows])
    return notes


def _along_levels(ax: Axes, factor: Factor, residuals: FloatArray) -> str | None:
    if factor.n_levels > BOXES:
        return draw_group_ribbons(ax, group_quantiles(factor, residuals))
    draw_boxes(ax, factor, residuals, np.arange(factor.n_levels), False)
    return None


# -- spread ------------------------------------------------------------------------


def plot_scale_location(
    results: Any,
    x: Any = None,
    *,
    smooth: bool | float = True,
    label: int = 3,
    name: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Root absolute Pearson residuals along fitted values or a number, with a smooth.

    A smooth that rises or falls shows variances that change; the dashed line is the
    mean of all.

    Parameters
    ----------
    results : LMERResults
    x : str or array_like, optional
        As in :func:`plot_resid`.
    smooth, label, name, ax
        As in :func:`plot_resid`.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ temp + (1 | recipe:replicate)", data).fit()
    >>> res.plot_scale_location().axes[0].get_xlabel()
    'Fitted angle'
    """
    results = unwrapped(results)
    results.model.require_rows("a residual")
    variable = fitted_values(results)
    if x is not None:
        variable = row_values(results.model, x, name)
    panel = axes_for(ax, "plot_scale_location", *SHAPE)
    notes = draw_scale_location(panel, results, variable, smooth, label)
    return finish(panel, ax is None, notes)


def draw_scale_location(
    ax: Axes,
    results: LMERResults,
    variable: RowValues,
    smooth: bool | float = True,
    label: int = 3,
) -> list[str | None]:
    """Draw root absolute residuals along a variable; notes of what is not shown."""
    roots = np.sqrt(np.abs(np.asarray(results.resid_pearson)))
    notes = draw_resid(ax, results, variable, roots, smooth, label)
    level = float(roots.mean())
    ax.lines[0].set_ydata([level, level])
    dress(ax, variable.name, "Root |Pearson residual|")
    return notes


# -- normal quantiles --------------------------------------------------------------


def resid_qq_frame(
    results: Any,
    kind: str = "pearson",
    band: str | None = "simultaneous",
    level: float = 0.95,
) -> pd.DataFrame:
    """What :func:`plot_resid_qq` draws, in increasing order of the residuals.

    Returns
    -------
    DataFrame
        Columns normal (expected normal order statistic), residual, line (through the
        quartiles), lower and upper (of the band; nan without one); with the data's
        index. Of more than 2,000 rows the 500 at each end and 1,000 between.
    """
    results = unwrapped(results)
    residuals = residual_values(results, kind)
    order = np.argsort(residuals, kind="stable")
    intercept, slope = quartile_line(residuals[order])
    at = thinned(len(order))
    z = plotting_positions(len(order), at)
    limits: tuple[Any, Any] = (np.nan, np.nan)
    if band is not None:
        lower, upper = quantile_band(len(order), at, band, level)
        limits = (intercept + slope * lower, intercept + slope * upper)
    rows = order[at]
    columns = {
        "normal": z,
        "residual": residuals[rows],
        "line": intercept + slope * z,
        "lower": limits[0],
        "upper": limits[1],
    }
    return pd.DataFrame(columns, index=row_labels(results.model)[rows])


def plot_resid_qq(
    results: Any,
    *,
    kind: str = "pearson",
    band: str | None = "simultaneous",
    level: float = 0.95,
    label: int = 3,
    ax: Axes | None = None,
) -> Figure:
    """Residuals against normal quantiles, with a band and labels.

    The line goes through the quartiles. A sample of independent normal values stays
    within the simultaneous band as a whole with probability `level`; residuals are
    neither quite independent nor of one variance, so take it as a guide.

    Parameters
    ----------
    results : LMERResults
    kind : {"pearson", "response", "standardized", "marginal"}
        See :func:`residual_values`.
    band : {"simultaneous", "pointwise", None}
        See :func:`sm_lmer.graphics.normal_quantiles.quantile_band`.
    level : float
    label : int
        How many rows farthest from the line are labelled, by the data's index.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> fig = res.plot_resid_qq(label=2)
    >>> [text.get_text() for text in fig.axes[0].texts]
    ['56', '59']
    """
    results = unwrapped(results)
    frame = resid_qq_frame(results, kind, band, level)
    panel = axes_for(ax, "plot_resid_qq", *SHAPE)
    notes = draw_resid_qq(panel, frame, results.model.nobs, band, level, label)
    dress(panel, "Normal quantile", residual_label(results, kind))
    return finish(panel, ax is None, notes)


def draw_resid_qq(
    ax: Axes,
    frame: pd.DataFrame,
    n: int,
    band: str | None = "simultaneous",
    level: float = 0.95,
    label: int = 3,
    wide: bool = True,
) -> list[str | None]:
    """Draw a frame of :func:`resid_qq_frame`; notes of what is not shown."""
    notes: list[str | None] = []
    z, residual, line = (frame[c].to_numpy() for c in ("normal", "residual", "line"))
    ax.plot(z, line, color=COLOURS[0], linewidth=0.9, linestyle="--", label="normal")
    if band is not None:
        name = f"{100 * level:g}% {band}" if wide else f"{100 * level:g}% band"
        lower, upper = frame["lower"].to_numpy(), frame["upper"].to_numpy()
        ax.fill_between(z, lower, upper, color="0.88", linewidth=0, label=name)
    size = float(np.clip(1_500.0 / len(z), 3.0, 11.0))
    ax.scatter(z, residual, s=size, color=POINT, linewidths=0, zorder=3)
    far = extremes(np.abs(residual - line), label)
    label_points(ax, z, residual, far, frame.index[far])
    if band is not None:
        flat_legend(ax, 2)
    if len(frame) < n:
        notes.append(f"{n:,} rows, thinned between the 500 at each end")
    return notes


# -- groups ------------------------------------------------------------------------


def plot_resid_groups(
    results: Any,
    group: str | None = None,
    *,
    kind: str = "pearson",
    most: int = BOXES,
    ax: Axes | None = None,
) -> Figure:
    """Residuals of each group as boxes, sorted by their medians.

    Boxes of unequal lengths show groups with variances of their own. The medians
    rise because they are sorted; shrinkage leaves them on the side of the group's
    random effect. More groups than `most` are drawn as ribbons of quartiles.

    Parameters
    ----------
    results : LMERResults
    group : str, optional
        A grouping factor, by default the one with most levels; or another factor
        among the columns of the data.
    kind : {"pearson", "response", "standardized", "marginal"}
        See :func:`residual_values`.
    most : int
        Largest number of boxes.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> fig = res.plot_resid_groups()
    >>> [tick.get_text() for tick in fig.axes[0].get_yticklabels()][-3:]
    ['352', '308', '331']
    """
    results = unwrapped(results)
    residuals = residual_values(results, kind)
    name, factor = group_factor(results, group)
    boxes = factor.n_levels <= most
    height = min(9.0, 0.7 + 0.145 * factor.n_levels) if boxes else SHAPE[1]
    panel = axes_for(ax, "plot_resid_groups", SHAPE[0], max(height, 1.8))
    label = residual_label(results, kind)
    if not boxes:
        note = draw_group_ribbons(panel, group_quantiles(factor, residuals))
        reference(panel)
        dress(panel, f"{name}, sorted by median", label)
        return finish(panel, ax is None, [note])
    quantiles = group_quantiles(factor, residuals)
    order: IntArray = quantiles["level"].to_numpy()
    draw_boxes(panel, factor, residuals, order, True)
    panel.axvline(0.0, color=COLOURS[0], linewidth=0.9, linestyle="--", zorder=2)
    dress(panel, label, f"{name}, sorted by median")
    return finish(panel, ax is None, [])


def group_factor(results: LMERResults, group: str | None) -> tuple[str, Factor]:
    """A grouping factor by its name, the one with most levels by default."""
    if group is None:
        term = results.model.re_terms[0]
        return term.name, term.factor
    variable = row_values(results.model, group)
    if variable.factor is not None:
        return variable.name, variable.factor
    return variable.name, Factor.from_labels(np.asarray(variable.numbers))


# -- observed against fitted -------------------------------------------------------


def plot_observed(
    results: Any,
    *,
    re_form: Any = None,
    smooth: bool | float = True,
    label: int = 3,
    ax: Axes | None = None,
) -> Figure:
    """Observed response against fitted values, with the line where they are equal.

    Parameters
    ----------
    results : LMERResults
    re_form : None, False or str
        Random effects in the fitted values: all (None), none, or some.
    smooth, label, ax
        As in :func:`plot_resid`; the rows labelled are the farthest from the line.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_sleepstudy()
    >>> res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> res.plot_observed().axes[0].get_ylabel()
    'Observed Reaction'
    """
    results = unwrapped(results)
    model = results.model
    model.require_rows("a fitted value")
    fitted = np.asarray(predict(results, None, True, re_form, False, None))
    y = np.asarray(model.endog)
    panel = axes_for(ax, "plot_observed", *SHAPE)
    note = cloud(panel, fitted, y)
    ends = np.array([fitted.min(), fitted.max()])
    panel.plot(
        ends, ends, color=COLOURS[0], linewidth=0.9, linestyle="--", label="equal"
    )
    draw_smooth(panel, fitted, y, smooth)
    rows = extremes(np.abs(y - fitted), label)
    label_points(panel, fitted, y, rows, row_labels(model)[rows])
    flat_legend(panel)
    part = " (fixed part)" if re_form is False else ""
    dress(panel, f"Fitted {model.endog_names}{part}", f"Observed {model.endog_names}")
    return finish(panel, ax is None, [note])
