"""The panels of a picture of effects."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from ..core.terms import FloatArray
from ..formula.grammar import variables
from ..inference.effect_groups import chosen_levels, grouping_factor
from ..inference.effects import Effects
from ..inference.simulate import generator
from .labels import short
from .panels import NARROW, SIZE, SMALL, WIDE, caption, tidy_axes, wrapped
from .style import COLOURS, DATA, MARKERS, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = ("-", (0, (5, 2)), (0, (1.2, 1.2)), (0, (6, 2, 1.2, 2)), (0, (8, 3)), "--")
"""Of lines, so that they differ without colours, too."""

MOST_POINTS, MOST_GROUPS, NAMED = 5_000, 150, 6
"""Observations and groups that are drawn; groups that are named."""

MARKED = 6
"""Markers along a line."""

WHAT = "a plot of effects"

MEAN = "mean"
"""What the line is called beside those of named groups."""

CHARACTER = 0.066
"""Inches of a character of a tick label or legend."""


@dataclass(frozen=True)
class Layout:
    """Which variable is drawn how.

    Attributes
    ----------
    x : str
    lines : str or None
    panels : tuple of str
    continuous : bool
        Whether x is drawn as lines rather than points.
    labels : dict of dict
        What values of some variables are called.
    """

    x: str
    lines: str | None
    panels: tuple[str, ...]
    continuous: bool
    labels: dict[str, dict[Any, str]] = field(default_factory=dict)

    def label(self, name: str, value: Any) -> str:
        """What a value of a variable is called."""
        known = self.labels.get(name, {})
        if value in known:
            return known[value]
        number = isinstance(value, (float, np.floating))
        return f"{value:.4g}" if number else str(value)


@dataclass(frozen=True)
class Beside:
    """What is drawn beside the effects.

    Attributes
    ----------
    residuals : str or None
        Kind of partial residuals.
    groups : str, sequence, mapping or None
    data : bool
    rng : int or Generator
    """

    residuals: str | None
    groups: Any
    data: bool
    rng: Any


@dataclass(frozen=True, eq=False)
class EffectPlot:
    """The numbers of a picture, and how they are drawn."""

    effects: Effects
    layout: Layout
    beside: Beside

    # -- numbers -------------------------------------------------------------------

    @cached_property
    def line_values(self) -> list[Any]:
        """Values of the variable that makes lines; one nameless line without it."""
        name = self.layout.lines
        return [None] if name is None else list(self.effects.grid[name].unique())

    @cached_property
    def panel_values(self) -> list[tuple[Any, ...]]:
        """Combinations of values of the variables that make panels."""
        if not self.layout.panels:
            return [()]
        own = self.effects.grid[list(self.layout.panels)].drop_duplicates()
        return list(own.itertuples(index=False, name=None))

    @cached_property
    def x_values(self) -> list[Any]:
        """Values on the axis, for one that is drawn as points."""
        return list(self.effects.grid[self.layout.x].unique())

    def place(self, values: pd.Series) -> FloatArray:
        """Where values of x are on the axis; nan where they are not."""
        if self.layout.continuous:
            return np.asarray(values, dtype=np.float64)
        places = {value: float(k) for k, value in enumerate(self.x_values)}
        return np.array([places.get(value, np.nan) for value in values])

    def shift(self, k: int) -> float:
        """How far the k-th line is beside the place on the axis."""
        count = len(self.line_values)
        return 0.0 if self.layout.continuous else 0.5 * (k - 0.5 * (count - 1)) / count

    def part(self, frame: pd.DataFrame, panel: tuple[Any, ...], line: Any) -> Any:
        """Rows of a panel and line."""
        here = np.ones(len(frame), dtype=bool)
        for name, value in zip(self.layout.panels, panel, strict=True):
            here &= (frame[name] == value).to_numpy()
        if self.layout.lines is not None:
            here &= (frame[self.layout.lines] == line).to_numpy()
        return frame[here]

    @cached_property
    def sampled(self) -> np.ndarray | None:
        """Positions of the observations drawn; None for all."""
        n = self.effects.results.model.nobs
        if n <= MOST_POINTS:
            return None
        drawn = generator(self.beside.rng).choice(n, MOST_POINTS, replace=False)
        return np.sort(drawn)

    @cached_property
    def points(self) -> pd.DataFrame | None:
        """Observations or partial residuals: the variables, and y."""
        effects, rows = self.effects, self.sampled
        if self.beside.residuals is not None:
            found = effects.partial_residuals(
                self.beside.residuals, self.layout.x, rows
            )
            return found.assign(y=found["partial"])
        if not self.beside.data:
            return None
        effects.results.model.require_rows("a plot of the data")
        y = np.asarray(effects.results.model.endog)
        y = effects._transformed(y if rows is None else y[rows])
        return effects.observed(self.layout.x, rows).assign(y=y)

    @cached_property
    def group(self) -> tuple[str, list[Any], bool, int]:
        """The grouping factor, the levels drawn, whether asked for, of all."""
        asked, levels = self.beside.groups, None
        if isinstance(asked, Mapping):
            if len(asked) != 1:
                raise ValueError(
                    "groups names one grouping factor, {'factor': levels}."
                )
            asked, levels = next(iter(asked.items()))
        elif asked is not None and not isinstance(asked, str):
            asked, levels = None, asked
        model = self.effects.results.model
        name, factor = grouping_factor(model, asked)
        codes = chosen_levels(name, factor, levels)
        count = len(codes)
        if count > MOST_GROUPS:
            chosen = generator(self.beside.rng).choice(count, MOST_GROUPS, False)
            codes = codes[np.sort(chosen)]
        return name, list(factor.levels[codes]), levels is not None, count

    @cached_property
    def group_lines(self) -> pd.DataFrame | None:
        """Means of the groups."""
        if self.beside.groups is None:
            return None
        name, levels, _, _ = self.group
        found = self.effects.by_group(name, levels)
        return found.set_axis(["group", *found.columns[1:]], axis=1)

    # -- drawing -------------------------------------------------------------------

    def drawn(self, ax: Axes | None, fig: Figure | None) -> Figure:
        """The picture, in the user's axes or figure, or in a new one."""
        count = len(self.panel_values)
        if ax is not None:
            if count > 1:
                raise ValueError(
                    f"{', '.join(self.layout.panels)} makes {count} panels, which do "
                    "not fit into ax=; pass fig=, or name fewer variables."
                )
            self._panel(ax, self.panel_values[0])
            self._dress(ax)
            self._legend(ax, cast("Figure", ax.get_figure()), False)
            return cast("Figure", ax.get_figure())
        columns = min(count, 3)
        rows = -(-count // columns)
        wide = count > 1 or len(self.x_values) * self._longest() * CHARACTER > 12.0
        width = WIDE if wide and not (self.layout.continuous and count == 1) else NARROW
        fig = figure_for(fig, WHAT, width, 0.9 + 2.2 * rows)
        axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for k, one in enumerate(axes.flat):
            if k >= count:
                one.set_visible(False)
                continue
            self._panel(one, self.panel_values[k])
            self._dress(one, k % columns == 0, k + columns >= count)
            if count > 1:
                one.set_title(self._title(k, width / columns), fontsize=SIZE)
        self._legend(axes[0, 0], fig, True)
        caption(fig, list(self._sentences()))
        return fig

    def _title(self, k: int, width: float) -> str:
        parts = [
            f"{name} = {self.layout.label(name, value)}"
            for name, value in zip(
                self.layout.panels, self.panel_values[k], strict=True
            )
        ]
        return wrapped(", ".join(parts), width - 0.4)

    def _panel(self, ax: Axes, panel: tuple[Any, ...]) -> None:
        for k, line in enumerate(self.line_values):
            if self.points is not None:
                self._draw_points(ax, self.part(self.points, panel, line), k)
            if self.group_lines is not None:
                self._draw_groups(ax, self.part(self.group_lines, panel, line), k)
            own = self.part(self.effects.frame, panel, line)
            draw = self._draw_line if self.layout.continuous else self._draw_marks
            draw(ax, own.sort_values(self.layout.x), k)

    def _draw_line(self, ax: Axes, own: pd.DataFrame, k: int) -> None:
        colour, style, marker = _look(k)
        x = self.place(own[self.layout.x])
        lower, upper = own["lower"].to_numpy(), own["upper"].to_numpy()
        ax.fill_between(
            x, lower, upper, color=colour, alpha=0.16, linewidth=0, zorder=2
        )
        step = max(len(x) // MARKED, 1)
        several = self.layout.lines is not None
        ax.plot(
            x,
            own["fit"].to_numpy(),
            color=colour,
            linestyle=style,
            linewidth=1.4,
            marker=marker if several else None,
            markersize=4,
            markevery=(min(step // 2 + k * step // 4, len(x) - 1), step),
            zorder=4,
            label=self._line_label(k),
        )

    def _draw_marks(self, ax: Axes, own: pd.DataFrame, k: int) -> None:
        colour, style, marker = _look(k)
        x = self.place(own[self.layout.x]) + self.shift(k)
        order = np.argsort(x)
        x, own = x[order], own.iloc[order]
        fit = own["fit"].to_numpy()
        ends = np.array([fit - own["lower"], own["upper"] - fit])
        joined = self.layout.lines is not None
        small = len(x) > 60
        ax.errorbar(
            x,
            fit,
            yerr=ends,
            color=colour,
            linestyle=style if joined else "none",
            linewidth=0.9,
            elinewidth=0.6 if small else 1.2,
            marker=marker,
            markersize=2 if small else 4.5,
            capsize=0 if small else 2.5,
            zorder=4,
            label=self._line_label(k),
        )

    def _draw_points(self, ax: Axes, own: pd.DataFrame, k: int) -> None:
        x = self.place(own[self.layout.x])
        if not self.layout.continuous:
            spread = 0.16 / len(self.line_values)
            jitter = np.random.default_rng(k).uniform(-spread, spread, len(x))
            x = x + self.shift(k) + jitter
        several = self.layout.lines is not None
        n = 0 if self.points is None else len(self.points)
        ax.scatter(
            x,
            own["y"].to_numpy(),
            s=9 if n < 500 else 4,
            marker=_look(k)[2] if several else "o",
            color=_look(k)[0] if several else DATA,
            alpha=0.5 if n < 500 else 0.25,
            linewidths=0,
            rasterized=n > 1000,
            zorder=1,
        )

    def _draw_groups(self, ax: Axes, own: pd.DataFrame, k: int) -> None:
        _, levels, asked, _ = self.group
        named = self._groups_named
        many = len(levels) > 40
        places = {level: j for j, level in enumerate(levels)}
        for level, group in own.groupby("group", sort=False):
            j = places[level]
            x = self.place(group[self.layout.x]) + self.shift(k)
            order = np.argsort(x)
            colour = _look(k)[0] if self.layout.lines is not None else "0.45"
            ax.plot(
                x[order],
                group["fit"].to_numpy()[order],
                color=_look(j + 1)[0] if named else colour,
                linestyle=_look(j + 1)[1] if named else "-",
                linewidth=1.0 if asked else 0.35 if many else 0.6,
                alpha=1.0 if asked else 0.5,
                marker="." if len(group) == 1 or not self.layout.continuous else None,
                markersize=2.5,
                zorder=3,
                label=f"{self.group[0]} {level}" if named else "_",
            )

    @property
    def _groups_named(self) -> bool:
        """Whether single groups are in the legend."""
        if self.beside.groups is None:
            return False
        _, levels, asked, _ = self.group
        return asked and len(levels) <= NAMED and self.layout.lines is None

    # -- words -----------------------------------------------------------------------

    def _line_label(self, k: int) -> str:
        if self.layout.lines is None:
            return MEAN if self._groups_named else "_"
        return short(self.layout.label(self.layout.lines, self.line_values[k]), 40)

    def _legend(self, ax: Axes, fig: Figure, own_figure: bool) -> None:
        """Lines by their names, above the panels."""
        found = ax.get_legend_handles_labels()
        if not found[1]:
            return
        order = sorted(zip(*found, strict=True), key=lambda own: own[1] != MEAN)
        handles, labels = zip(*order, strict=True)
        name = self.layout.lines
        title = "" if name is None else wrapped(name, NARROW - 0.5)
        inches = fig.get_figwidth() if own_figure else _width(ax)
        column = CHARACTER * (max(map(len, labels)) + 7)
        options = {
            "ncols": int(np.clip(inches / column, 1, min(len(labels), 6))),
            "frameon": False,
            "fontsize": SIZE,
            "title": title or None,
            "title_fontsize": SIZE,
        }
        if own_figure:
            fig.legend(handles, labels, loc="outside upper center", **options)
        else:
            where = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
            ax.legend(handles, labels, **where, **options)

    def _dress(self, ax: Axes, left: bool = True, bottom: bool = True) -> None:
        tidy_axes(ax)
        if left:
            ax.set_ylabel(wrapped(self._response(), 2.2), fontsize=SIZE)
        if bottom:
            ax.set_xlabel(wrapped(self.layout.x, NARROW - 0.7), fontsize=SIZE)
            ax.tick_params(labelbottom=True)
        if not self.layout.continuous:
            self._name_places(ax)

    def _name_places(self, ax: Axes) -> None:
        """Ticks with names; slanted where they are long, some where they are many."""
        count, inches = len(self.x_values), _width(ax)
        step = max(1, -(-count // max(int(inches / 0.13), 1)))
        names = [
            short(self.layout.label(self.layout.x, value), 26)
            for value in self.x_values[::step]
        ]
        ax.set_xticks(range(0, count, step), names)
        ax.set_xlim(-0.6, count - 0.4)
        if CHARACTER * sum(len(name) + 2 for name in names) <= inches:
            return
        room = int(inches / len(names) / CHARACTER) - 1
        broken = ["\n".join(textwrap.wrap(name, max(room, 1))) for name in names]
        if room >= 8 and max(text.count("\n") for text in broken) <= 2:
            ax.set_xticklabels(broken)
            return
        for label in ax.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor", fontsize=SMALL)

    def _longest(self) -> int:
        names = (self.layout.label(self.layout.x, v) for v in self.x_values[:50])
        return max(map(len, names)) + 2

    def _response(self) -> str:
        text = self.effects.response
        names = variables(text)
        quoted = len(names) == 1 and text in (f'Q("{names[0]}")', f"Q('{names[0]}')")
        if quoted or (self.effects.transform is not None and len(names) == 1):
            return names[0]
        return text if self.effects.transform is None else f"{text}, transformed"

    def _sentences(self) -> Iterator[str]:
        """What the marks are, for a caption."""
        level = f"{100 * (1 - self.effects.alpha):g}% confidence intervals"
        yield f"{'Bands' if self.layout.continuous else 'Bars'}: {level}"
        if self.points is not None:
            kind = self.beside.residuals
            what = "data" if kind is None else f"effect + {kind} residual"
            shown, n = len(self.points), self.effects.results.model.nobs
            some = f", {shown:,} of {n:,}" if shown < n else ""
            yield f"Points: {what}{some}"
        if self.group_lines is not None and not self._groups_named:
            name, levels, _, count = self.group
            some = f"{len(levels):,} of {count:,}" if len(levels) < count else "each"
            yield f"Thin lines: {some} {name}"


def _look(k: int) -> tuple[str, Any, str]:
    """Colour, line style and marker of the k-th line."""
    return (
        COLOURS[k % len(COLOURS)],
        STYLES[(k + k // len(COLOURS)) % len(STYLES)],
        MARKERS[k % len(MARKERS)],
    )


def _width(ax: Axes) -> float:
    """Inches of a panel, about."""
    figure = cast("Figure", ax.get_figure())
    return float(ax.get_position().width * figure.get_figwidth())


__all__ = ["Beside", "EffectPlot", "Layout"]
