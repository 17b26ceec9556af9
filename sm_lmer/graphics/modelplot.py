"""Coefficients of several models with their intervals, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from ..tables.contract import KEY
from ..tables.dispatch import extractor_of
from ..tables.gathering import Column, gathered
from ..tables.random_labels import RESIDUAL, random_label
from ..tables.selection import CoefMap, CoefRename, coefficient_labels, merged
from ..tables.tidy import LOG_LINKS, tidy
from .labels import plain
from .style import COLOURS, MARKERS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FACETS = (None, "term", "model")
"""What ``facet=`` takes."""

NO_RATIOS = ("threshold", "dispersion")
"""Components whose coefficients are not exponentiated."""

COLUMNS = (
    "model",
    "label",
    "estimate",
    "std_error",
    "p_value",
    "conf_low",
    "conf_high",
    *KEY,
)
"""Columns of the frame that is drawn."""


def modelplot(
    models: Any,
    *,
    coef_map: CoefMap = None,
    coef_omit: str | Sequence[str] | None = None,
    coef_rename: CoefRename = None,
    conf_level: float = 0.95,
    ddf: Any = None,
    vcov: Any = None,
    exponentiate: Any = False,
    effects: str = "fixed",
    re_scale: str = "sd",
    re_labels: Any = "lme4",
    facet: str | None = None,
    ax: Axes | None = None,
    draw: bool = True,
) -> Any:
    """Estimates and confidence intervals of one or several models.

    Parameters
    ----------
    models : result, sequence or mapping
        As :func:`sm_lmer.tables.modelsummary.modelsummary` takes them, but not in
        panels; the keys of a mapping are the models' names.
    coef_map : mapping or sequence of str, optional
        The rows to show, from the top; a mapping renames them too.
    coef_omit : str or sequence of str, optional
        Regular expressions; rows whose names match one are left out.
    coef_rename : mapping, callable or bool, optional
        New labels; True for readable ones.
    conf_level : float
    ddf, vcov, exponentiate : optional
        See :func:`sm_lmer.tables.tidy.tidy`; one for all models, or a list or mapping
        with one a model. Exponentiated coefficients are on a logarithmic axis.
    effects : {"fixed", "random", "all"}
        Variance parameters have no Wald intervals and are hollow marks.
    re_scale, re_labels
        How variance parameters are shown and called, as in tables.
    facet : {None, "term", "model"}
        One panel for all; one a term, each with its own scale; or one a model.
    ax : matplotlib Axes, optional
        Where to draw; without it there is a new figure, which pyplot does not know.
    draw : bool
        False for the numbers instead of the picture.

    Returns
    -------
    matplotlib Figure, or DataFrame
        With ``draw=False`` the frame: one row a mark, with columns model, label,
        estimate, std_error, p_value, conf_low, conf_high and those that tell rows of
        tidy frames apart.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        If no row is left, a facet is unknown, or some coefficients are exponentiated
        and others on the same axis are not.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.modelplot import modelplot
    >>> data = sml.datasets.load_sleepstudy()
    >>> models = {
    ...     "Intercepts": sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit(),
    ...     "Slopes": sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit(),
    ... }
    >>> frame = modelplot(models, coef_omit="Intercept", draw=False)
    >>> print(frame[["model", "label", "estimate", "conf_low"]].round(2).to_string())
            model label  estimate  conf_low
    0  Intercepts  Days     10.47      8.88
    1      Slopes  Days     10.47      7.21
    """
    if facet not in FACETS:
        raise ValueError(f"unknown facet {facet!r}; choose None, 'term' or 'model'.")
    if facet is not None and ax is not None:
        raise ValueError("facets need a figure of their own; leave out ax or facet.")
    settings = {"vcov": vcov, "ddf": ddf, "exponentiate": exponentiate}
    columns = _columns(models, settings)
    ratios = _are_ratios(columns, effects)
    frames = [
        tidy(
            column.result,
            effects=effects,
            conf_level=conf_level,
            re_scale=re_scale,
            ddf=column.ddf,
            vcov=column.vcov,
            exponentiate=column.exponentiate,
        ).assign(model=column.name)
        for column in columns
    ]
    if ratios:
        frames = [_ratios_of(frame) for frame in frames]
    labels = _labels(frames, re_labels, coef_map, coef_omit, coef_rename)
    frame = _selected(frames, labels)
    if not draw:
        return frame
    return _Plot(
        frame,
        [column.name for column in columns],
        list(dict.fromkeys(frame["label"])),
        f"{_quantity(ratios, effects)} with {100 * conf_level:g}% interval",
        ratios,
    ).drawn(facet, ax)


# -- what is drawn ---------------------------------------------------------------------


def _columns(models: Any, settings: dict[str, Any]) -> list[Column]:
    panels = gathered(models, settings)
    if list(panels) != [""]:
        raise ValueError(
            "modelplot takes no panels of models; pass a list or a dict of models."
        )
    return panels[""]


def _are_ratios(columns: Sequence[Column], effects: str) -> bool:
    """Whether coefficients are exponentiated, which must be all or none."""
    each = {
        extractor_of(column.result).link(column.result) in LOG_LINKS
        if column.exponentiate == "auto"
        else bool(column.exponentiate)
        for column in columns
    }
    if len(each) > 1:
        raise ValueError(
            "some models are exponentiated and some are not, which one axis cannot "
            "show; draw them apart."
        )
    if each == {True} and effects != "fixed":
        raise ValueError(
            "exponentiated coefficients are on a logarithmic axis, which correlations "
            "do not fit on; use effects='fixed'."
        )
    return each == {True}


def _ratios_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that are exponentiated, which thresholds and the like are not."""
    kept = (frame["effect"] == "fixed") & ~frame["component"].isin(NO_RATIOS)
    return frame[kept]


def _labels(
    frames: Sequence[pd.DataFrame],
    re_labels: Any,
    coef_map: CoefMap,
    coef_omit: str | Sequence[str] | None,
    coef_rename: CoefRename,
) -> dict[tuple[str, ...], str]:
    """Labels of the rows to show by their keys, in order."""
    keys = merged([list(_keys(frame)) for frame in frames])
    keys.sort(key=lambda key: (_part(key, "effect") == "random", _is_residual(key)))
    given = {
        key: label
        for frame in reversed(frames)
        for key, label in zip(_keys(frame), frame["label"], strict=True)
    }
    numbers = _numbers(keys)
    names = [_names(key, given[key], re_labels, numbers) for key in keys]
    chosen = coefficient_labels(names, coef_map, coef_omit, coef_rename)
    if not chosen:
        raise ValueError(
            "no row is left to draw; there are "
            f"{', '.join(own[0] for own in names)}: look at coef_map and coef_omit."
        )
    return {keys[position]: label for position, label in chosen}


def _keys(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(zip(*[frame[column] for column in KEY], strict=True))


def _part(key: tuple[str, ...], column: str) -> str:
    return key[KEY.index(column)]


def _is_residual(key: tuple[str, ...]) -> bool:
    return _part(key, "group") == RESIDUAL


def _numbers(keys: Sequence[tuple[str, ...]]) -> dict[tuple[str, str], int]:
    """Position of each random effect in its group, for subscripts."""
    out: dict[tuple[str, str], int] = {}
    for key in keys:
        if _part(key, "type") in ("sd", "var"):
            group = _part(key, "group")
            count = sum(known == group for known, _ in out)
            out.setdefault((group, _part(key, "term")), count)
    return out


def _names(
    key: tuple[str, ...],
    label: str,
    re_labels: Any,
    numbers: dict[tuple[str, str], int],
) -> tuple[str, ...]:
    """The label of a row first, then what else it is called."""
    row = dict(zip(KEY, key, strict=True))
    if row["effect"] == "random":
        own = random_label(row, re_labels, numbers)
        return own, random_label(row, "lme4", numbers)
    component = "" if row["component"] == "conditional" else row["component"]
    before = " ".join(filter(None, (component, row["response"], row["group"])))
    shown = label or row["term"]
    return (f"{before}: {shown}" if before else shown), row["term"]


def _selected(
    frames: Sequence[pd.DataFrame], labels: dict[tuple[str, ...], str]
) -> pd.DataFrame:
    """The rows with those keys, in their order, model by model within each."""
    whole = pd.concat(
        [frame.assign(key=_keys(frame), column=k) for k, frame in enumerate(frames)],
        ignore_index=True,
    )
    whole = whole[whole["key"].isin(labels)]
    places = {key: place for place, key in enumerate(labels)}
    whole = whole.assign(
        label=whole["key"].map(labels), place=whole["key"].map(places)
    ).sort_values(["place", "column"], kind="stable")
    return whole[list(COLUMNS)].reset_index(drop=True)


def _quantity(ratios: bool, effects: str) -> str:
    if ratios:
        return "Exponentiated coefficient"
    return "Coefficient" if effects == "fixed" else "Estimate"


# -- drawing ---------------------------------------------------------------------------

SIZE = 8.0
"""Points of text; readable where the figure is as wide as it is made."""

GREY = "#767676"


@dataclass(frozen=True)
class _Plot:
    """What is drawn, and how it is named."""

    frame: pd.DataFrame
    models: list[str]
    labels: list[str]
    quantity: str
    ratios: bool

    def drawn(self, facet: str | None, ax: Axes | None) -> Figure:
        if ax is not None:
            self._all_in(ax)
            if len(self.models) > 1:
                ax.legend(frameon=False, fontsize=SIZE)
            return cast("Figure", ax.get_figure())
        if facet == "term":
            return self._by_term()
        if facet == "model":
            return self._by_model()
        return self._together()

    def _together(self) -> Figure:
        rows = len(self.labels) * max(1.0, 0.5 * len(self.models))
        figure = new_figure("modelplot", 5.0, 0.75 + 0.28 * rows)
        self._all_in(figure.add_subplot())
        if len(self.models) > 1:
            figure.legend(
                loc="outside lower center",
                ncols=min(len(self.models), 4),
                frameon=False,
                fontsize=SIZE,
            )
        return figure

    def _all_in(self, ax: Axes) -> None:
        """All terms on one axis; the models of a term next to each other."""
        for k, model in enumerate(self.models):
            own = self.frame[self.frame["model"] == model]
            places = own["label"].map(self.labels.index) + _shift(k, len(self.models))
            self._marks(ax, own, places, k, model)
        _reference(ax, 1.0 if self.ratios else 0.0)
        self._finish(ax, self.labels)
        ax.set_xlabel(self.quantity, fontsize=SIZE)
        for edge in range(1, len(self.labels) if len(self.models) > 1 else 0):
            ax.axhline(edge - 0.5, color="#E5E5E5", linewidth=0.6, zorder=0)

    def _by_model(self) -> Figure:
        columns = min(len(self.models), 3)
        rows = -(-len(self.models) // columns)
        height = 0.5 + rows * (0.45 + 0.28 * len(self.labels))
        figure = new_figure("modelplot", 6.5, height)
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for k, ax in enumerate(axes.flat):
            if k >= len(self.models):
                ax.set_axis_off()
                continue
            own = self.frame[self.frame["model"] == self.models[k]]
            self._marks(ax, own, own["label"].map(self.labels.index), 0, "")
            _reference(ax, 1.0 if self.ratios else 0.0)
            self._finish(ax, self.labels)
            ax.set_title(plain(self.models[k]), fontsize=SIZE + 1)
            ax.tick_params(labelbottom=k + columns >= len(self.models))
        figure.supxlabel(self.quantity, fontsize=SIZE)
        return figure

    def _by_term(self) -> Figure:
        columns = min(len(self.labels), 3)
        rows = -(-len(self.labels) // columns)
        height = 0.5 + rows * (0.6 + 0.24 * len(self.models))
        figure = new_figure("modelplot", 6.5, height)
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for k, ax in enumerate(axes.flat):
            if k >= len(self.labels):
                ax.set_axis_off()
                continue
            own = self.frame[self.frame["label"] == self.labels[k]]
            for m, model in enumerate(self.models):
                rows_of = own[own["model"] == model]
                self._marks(ax, rows_of, pd.Series(m, rows_of.index), m, "")
            self._finish(ax, self.models)
            _reference_if_inside(ax, 1.0 if self.ratios else 0.0)
            ax.set_title(plain(self.labels[k]), fontsize=SIZE + 1)
        figure.supxlabel(self.quantity, fontsize=SIZE)
        return figure

    def _marks(
        self, ax: Axes, rows: pd.DataFrame, places: pd.Series, k: int, name: str
    ) -> None:
        """Marks of a model with their intervals; hollow ones where there are none."""
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        ends = rows[["conf_low", "conf_high"]].to_numpy(dtype=np.float64)
        bare = np.isnan(ends).any(axis=1)
        y = places.to_numpy(dtype=np.float64)
        ax.hlines(y[~bare], *ends[~bare].T, color=colour, linewidth=1.4, zorder=2)
        ax.scatter(
            rows["estimate"],
            y,
            s=22,
            marker=marker,
            edgecolors=colour,
            facecolors=["white" if hollow else colour for hollow in bare],
            linewidths=1.0,
            zorder=3,
        )
        ax.plot([], [], marker=marker, color=colour, markersize=4.5, label=plain(name))

    def _finish(self, ax: Axes, names: Sequence[str]) -> None:
        if self.ratios:
            ax.set_xscale("log")
            _plain_ticks(ax)
        ax.set_yticks(range(len(names)), [plain(name) for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.tick_params(labelsize=SIZE, length=0, axis="y")
        ax.tick_params(labelsize=SIZE, length=3, axis="x")
        ax.spines[["top", "right", "left"]].set_visible(False)


def _shift(k: int, count: int) -> float:
    """Where the k-th of several models is within the row of a term."""
    return 0.65 * (k - 0.5 * (count - 1)) / count


def _reference(ax: Axes, value: float) -> None:
    ax.axvline(value, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)


def _reference_if_inside(ax: Axes, value: float) -> None:
    """The line of no effect where it does not squeeze the marks."""
    low, high = ax.get_xlim()
    if low <= value <= high:
        _reference(ax, value)
        ax.set_xlim(low, high)


def _plain_ticks(ax: Axes) -> None:
    """Numbers such as 0.5 and 2 on a logarithmic axis, not powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    ax.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=8))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


__all__ = ["modelplot"]
