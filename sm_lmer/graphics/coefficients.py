"""The fixed effects of a model with their intervals, on request standardised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..inference.nesting import unwrapped
from ..inference.standardised import standardised_coefficients
from ..tables.models import TidyModel
from ..tables.tidy import tidy
from .modelplot import modelplot
from .panels import NARROW, SIZE, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXIS = {
    "refit": "Standardised coefficient (numeric variables and response at SD 1)",
    "basic": "Standardised coefficient (times SD of its column over SD of response)",
}


def plot_coefficients(
    results: Any,
    *,
    standardized: bool | str = False,
    intercept: bool = False,
    sort: bool = False,
    alpha: float = 0.05,
    ddf: str | None = None,
    ax: Axes | None = None,
    **options: Any,
) -> Figure:
    """Draw the fixed effects with their intervals, a row each.

    Parameters
    ----------
    results : LMERResults
    standardized : bool or {"refit", "basic"}
        Coefficients in standard deviations: of a fit to standardised data (True), or
        by the standard deviations of the design's columns; see
        :func:`sm_lmer.inference.standardised.standardised_coefficients`.
    intercept : bool
        Whether to show it; "basic" has none.
    sort : bool
        Largest coefficients on top, rather than the order of the formula.
    alpha : float
        One less the level of the intervals.
    ddf : str, optional
        Method for the degrees of freedom.
    ax : matplotlib Axes, optional
    **options
        ``coef_map``, ``coef_omit``, ``coef_rename`` or ``draw`` of
        :func:`sm_lmer.graphics.modelplot.modelplot`, which draws the picture.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.coefficients import plot_coefficients
    >>> data = sml.datasets.load_machines()
    >>> res = sml.lmer("score ~ Machine + (1 | Worker)", data).fit()
    >>> fig = plot_coefficients(res, standardized="basic")
    >>> [label.get_text() for label in fig.axes[0].get_yticklabels()]
    ['Machine[T.B]', 'Machine[T.C]']
    """
    how = "refit" if standardized is True else standardized
    frame = _frame(unwrapped(results), how, alpha, ddf)
    if not intercept:
        frame = _without_intercept(unwrapped(results), frame)
    if sort:
        frame = frame.sort_values("estimate", ascending=False, kind="stable")
    figure = modelplot(
        {"": TidyModel(frame.reset_index(drop=True))},
        conf_level=1.0 - alpha,
        ax=ax,
        **options,
    )
    if how is not False and options.get("draw", True):
        drawn = figure.axes[0] if ax is None else ax
        text = f"{AXIS[str(how)]}, {100 * (1 - alpha):g}% interval"
        drawn.set_xlabel(wrapped(text, NARROW - 0.4), fontsize=SIZE)
    return figure


def _frame(results: Any, how: bool | str, alpha: float, ddf: str | None) -> Any:
    if how is False:
        return tidy(results, effects="fixed", conf_level=1.0 - alpha, ddf=ddf)
    return standardised_coefficients(results, str(how), alpha=alpha, ddf=ddf)


def _without_intercept(results: Any, frame: Any) -> Any:
    names, constant = list(results.model.exog_names), results.model.data.const_idx
    if constant is not None:
        frame = frame[frame["term"] != names[constant]]
    if len(frame) == 0:
        raise ValueError(
            "the fixed part has nothing but an intercept; use intercept=True."
        )
    return frame


__all__ = ["plot_coefficients"]
