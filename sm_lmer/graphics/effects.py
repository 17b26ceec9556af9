"""Effects drawn: lines with bands, points with intervals, a panel a third variable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..formula.frames import suggestion
from ..inference.effect_grid import focal_variables
from ..inference.effect_rows import is_factor
from ..inference.effects import Effects, effects
from ..inference.nesting import unwrapped
from .effect_panels import Beside, EffectPlot, Layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..formula.design import Design

POINTS = 100
"""Points of a line."""

FEW = 3
"""A numeric moderator with at most so many values is drawn at each of them."""

MODERATORS = ("sd", "quantiles")
"""What ``moderator=`` takes."""

QUANTILES = (0.1, 0.5, 0.9)

SHARE = 0.05
"""Of a range; values of a moderator that are so near its ends are still inside."""

MOST_LINES, MOST_PANELS = 21, 12
"""Lines that can be told apart; panels that can be read."""

Labels = dict[str, dict[Any, str]]
"""What values of some variables are called."""


def plot_effects(
    results: Any,
    term: str | Sequence[str],
    *,
    x: str | None = None,
    at: Mapping[str, Any] | None = None,
    moderator: str = "sd",
    xlevels: int = POINTS,
    alpha: float = 0.05,
    ddf: str | None = None,
    average: str = "proportional",
    typical: Callable[[Any], Any] = np.mean,
    offset: float | None = None,
    transform: Callable[[Any], Any] | None = None,
    partial_residuals: bool | str = False,
    groups: Any = None,
    data: bool = False,
    rng: Any = 0,
    ax: Axes | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw the model's mean over the variables of a term, the others typical.

    A numeric x gives lines with bands, a factor points with intervals. The next
    variable makes lines, with markers and line styles of their own, further ones make
    panels.

    Parameters
    ----------
    results : LMERResults
    term : str or sequence of str
        The variables, see :func:`sm_lmer.inference.effects.effects`.
    x : str, optional
        The variable on the axis: the first numeric one by default, else the first.
    at : mapping, optional
        Values of some variables, instead of those drawn by default.
    moderator : {"sd", "quantiles"}
        At which values numeric variables besides x are drawn: mean and a standard
        deviation to either side, or the quantiles .1, .5 and .9. Those with at most
        three values keep them.
    xlevels : int
        Points of a line.
    alpha, ddf, average, typical, offset, transform
        See :func:`sm_lmer.inference.effects.effects`.
    partial_residuals : bool or {"conditional", "marginal"}
        Also draw effect plus residual of every observation, the residual from the
        conditional mean (True), or from the fixed part.
    groups : str, sequence or mapping, optional
        Also draw the means of single groups, by their conditional modes: of all levels
        of the grouping factor of this name; of a list of levels, if there is one
        factor; or of ``{"factor": [levels]}``.
    data : bool
        Also draw the observations.
    rng : int or Generator
        Chooses what is drawn where there is too much: observations over 5,000, groups
        over 150.
    ax : matplotlib Axes, optional
        For a picture of one panel.
    fig : matplotlib Figure, optional
        An empty one, for any number of panels.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        For a variable that is not in the fixed part, or more lines or panels than
        can be read.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.effects import plot_effects
    >>> data = sml.datasets.load_cake()
    >>> res = sml.lmer("angle ~ recipe * temp + (1|recipe:replicate)", data).fit()
    >>> fig = plot_effects(res, "temp:recipe")
    >>> [ax.get_xlabel() for ax in fig.axes]
    ['temp']
    """
    results = unwrapped(results)
    names = focal_variables(results, term)
    design = results.model._design
    x = _on_axis(design, names, x)
    given = dict(at or {})
    labels: Labels = {}
    if moderator not in MODERATORS:
        raise ValueError(
            f"unknown moderator {moderator!r}; choose 'sd' or 'quantiles', or give "
            "values by at=."
        )
    points = {}
    for name in names:
        if name in given or is_factor(design, name):
            continue
        values = np.asarray(design.frame[name], dtype=np.float64)
        if name == x:
            points[name] = axis_points(values, xlevels)
        else:
            labels[name] = moderator_values(values, moderator)
            points[name] = list(labels[name])
    made = effects(
        results,
        names,
        at={**given, **points},
        alpha=alpha,
        ddf=ddf,
        average=average,
        typical=typical,
        offset=offset,
        transform=transform,
    )
    return draw_effects(
        made,
        x=x,
        labels=labels,
        partial_residuals=partial_residuals,
        groups=groups,
        data=data,
        rng=rng,
        ax=ax,
        fig=fig,
    )


def draw_effects(
    effects: Effects,
    *,
    x: str | None = None,
    labels: Labels | None = None,
    partial_residuals: bool | str = False,
    groups: Any = None,
    data: bool = False,
    rng: Any = 0,
    ax: Axes | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw effects that have been computed, at the points of their grid.

    Parameters
    ----------
    effects : Effects
    x, partial_residuals, groups, data, rng, ax, fig
        See :func:`plot_effects`.
    labels : dict of dict, optional
        What values of some variables are called.

    Returns
    -------
    matplotlib Figure
    """
    if ax is not None and fig is not None:
        raise ValueError("give ax= or fig=, not both.")
    x = _on_axis(effects.design, effects.variables, x)
    others = [name for name in effects.variables if name != x]
    layout = Layout(
        x=x,
        lines=others[0] if others else None,
        panels=tuple(others[1:]),
        continuous=not is_factor(effects.design, x) and effects.grid[x].nunique() > 2,
        labels={} if labels is None else labels,
    )
    _check_size(effects, layout)
    kind = "conditional" if partial_residuals is True else partial_residuals
    beside = Beside(kind or None, groups, data, rng)
    return EffectPlot(effects, layout, beside).drawn(ax, fig)


# -- where variables are drawn ---------------------------------------------------------


def axis_points(values: np.ndarray, n: int) -> list[float]:
    """Points of the axis: over the range, or the two values of a variable of two."""
    found = np.unique(values)
    return [float(v) for v in (found if len(found) <= 2 else _spaced(found, n))]


def _spaced(found: np.ndarray, n: int) -> np.ndarray:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 2:
        raise ValueError(f"xlevels is a number of points, at least 2, not {n!r}.")
    return np.linspace(found[0], found[-1], n)


def moderator_values(values: np.ndarray, how: str) -> dict[float, str]:
    """Values of a numeric moderator, each with what it is called.

    Of mean and standard deviation those within the range of the data are taken.

    Examples
    --------
    >>> import numpy as np
    >>> list(moderator_values(np.array([1.0, 2.0, 3.0, 6.0]), "sd").values())
    ['0.8 (mean - SD)', '3.0 (mean)', '5.2 (mean + SD)']
    """
    found = np.unique(values)
    if len(found) <= FEW:
        return {float(v): f"{v:.4g}" for v in found}
    spread = float(np.std(values, ddof=1))
    if how == "quantiles":
        names = [f"{100 * q:g}% quantile" for q in QUANTILES]
        places = np.quantile(values, QUANTILES)
    else:
        names = ["mean - SD", "mean", "mean + SD"]
        places = values.mean() + spread * np.array([-1.0, 0.0, 1.0])
    slack = SHARE * (found[-1] - found[0])
    return {
        float(place): f"{_to_scale(float(place), spread)} ({name})"
        for place, name in zip(places, names, strict=True)
        if found[0] - slack <= place <= found[-1] + slack
    }


def _to_scale(value: float, spread: float) -> str:
    """A number to the second digit of a standard deviation."""
    exponent = int(np.floor(np.log10(spread)))
    if not -4 <= exponent <= 6:
        return f"{value:.3g}"
    return f"{value:.{max(1 - exponent, 0)}f}"


def _on_axis(design: Design, names: Sequence[str], x: str | None) -> str:
    if x is None:
        numeric = [name for name in names if not is_factor(design, name)]
        return next(iter([*numeric, *names]))
    if x not in names:
        hint = suggestion(x, names).replace("the data have", "it names")
        raise ValueError(f"x is {x!r}, which the term does not name; {hint}")
    return x


def _check_size(effects: Effects, layout: Layout) -> None:
    counts = {name: effects.grid[name].nunique() for name in effects.variables}
    if layout.lines is not None and counts[layout.lines] > MOST_LINES:
        raise ValueError(
            f"{layout.lines!r} would make {counts[layout.lines]} lines, which nobody "
            f"can tell apart; put it on the axis by x=, or choose up to {MOST_LINES} "
            "of its values by at=."
        )
    panels = int(np.prod([counts[name] for name in layout.panels]))
    if panels > MOST_PANELS:
        raise ValueError(
            f"{', '.join(layout.panels)} would make {panels} panels; choose up to "
            f"{MOST_PANELS} of the values by at=."
        )


__all__ = ["axis_points", "draw_effects", "moderator_values", "plot_effects"]
