"""Pictures of profiles of the likelihood: zeta, densities, pairs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..inference.profile_parameters import choose
from .style import LINE, OTHER, caption, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..inference.profile import Profile

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Levels of intervals and regions, as in lme4."""

SCALES = ("value", "zeta")
"""Scales of a picture of pairs: below and above the diagonal."""

POINTS = 200
"""Points of a curve."""

MOST_PAIRED = 8
"""Parameters of a picture of pairs, at most."""

FONT = 7.5
"""Points of names and numbers."""

Which = str | int | Iterable[str | int] | None


def plot_zeta(
    profile: Profile,
    which: Which = None,
    *,
    absolute: bool = False,
    levels: Sequence[float] = LEVELS,
    fig: Figure | None = None,
) -> Figure:
    """The profile zeta of each parameter, and its intervals, as lme4's ``xyplot``.

    Parameters
    ----------
    profile : Profile
    which : str, int or sequence of these, optional
        The parameters, as :func:`sm_lmer.inference.profile.profile` takes them; all
        that were profiled by default.
    absolute : bool
        Draw abs(zeta), which has the intervals as horizontal lines, rather than zeta,
        which is a straight line where the deviance is quadratic.
    levels : sequence of float
        Levels of the intervals.
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        For a parameter that was not profiled, or a level not between 0 and 1.

    References
    ----------
    Bates, D. M. (2010). lme4: Mixed-effects Modeling with R, section 1.5.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.profiles import plot_zeta
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> fig = plot_zeta(res.profile())
    >>> [ax.get_xlabel() for ax in fig.axes]
    ['sd Intercept|Batch', 'sigma', 'Intercept']
    """
    names, levels = _names(profile, which), _levels(levels)
    ends = interval_ends(profile, names, levels)
    fig = _figure(fig, len(names))
    axes = _panels(fig, len(names))
    for ax, name in zip(axes, names, strict=True):
        curve = zeta_curve(profile, name)
        zeta = np.abs(curve["zeta"]) if absolute else curve["zeta"]
        ax.plot(curve["value"], zeta, color=LINE, linewidth=1.4)
        ax.axhline(0.0, color="0.6", linewidth=0.6, zorder=0)
        own = ends[ends["parameter"] == name]
        height = own["zeta"].abs() if absolute else own["zeta"]
        ax.vlines(own["value"], 0.0, height, color=OTHER, linewidth=0.9)
        if absolute:
            _bars(ax, own)
        _dress(ax, name)
    _label_rows(axes, "|ζ|" if absolute else "ζ")
    what = "Bars" if absolute else "Vertical lines"
    caption(fig, f"{what}: the {_percentages(levels)} intervals.")
    return fig


def plot_density(
    profile: Profile, which: Which = None, *, fig: Figure | None = None
) -> Figure:
    """The density that goes with each profile, as lme4's ``densityplot``.

    Parameters
    ----------
    profile : Profile
    which : str, int or sequence of these, optional
        The parameters; all that were profiled by default.
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        For a parameter that was not profiled.

    Notes
    -----
    It is the density of the parameter that would make zeta standard normal, see
    :meth:`sm_lmer.inference.profile.Profile.density`. It ends where the profile ends,
    at the bound of a standard deviation or correlation or beyond its 99% interval.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.profiles import plot_density
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> fig = plot_density(res.profile(), ["sigma", "Intercept"])
    >>> [ax.get_xlabel() for ax in fig.axes]
    ['sigma', 'Intercept']
    """
    names = _names(profile, which)
    density = profile.density(POINTS)
    fig = _figure(fig, len(names))
    axes = _panels(fig, len(names), share=False)
    for ax, name in zip(axes, names, strict=True):
        own = density[density["parameter"] == name]
        ax.plot(own["value"], own["density"], color=LINE, linewidth=1.4)
        ax.fill_between(own["value"], own["density"], color=LINE, alpha=0.15, lw=0)
        ax.axvline(profile.estimates[name], color=OTHER, linewidth=0.9, linestyle="--")
        ax.set_ylim(bottom=0.0)
        ax.yaxis.set_major_locator(_few(3))
        _dress(ax, name)
    _label_rows(axes, "density")
    caption(fig, "Dashed: the estimate.")
    return fig


def plot_pairs(
    profile: Profile,
    which: Which = None,
    *,
    levels: Sequence[float] = LEVELS,
    fig: Figure | None = None,
) -> Figure:
    """Profile traces and likelihood regions of each pair, as lme4's ``splom``.

    Below the diagonal are the parameters themselves, above it their zetas, on which
    scale the regions of a quadratic deviance are ellipses about the origin.

    Parameters
    ----------
    profile : Profile
    which : str, int or sequence of these, optional
        The parameters; all that were profiled by default, at least 2 and at most 8.
    levels : sequence of float
        Levels of the regions.
    fig : matplotlib Figure, optional
        An empty figure to draw on.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        For a parameter that was not profiled, too few or too many of them, or a level
        not between 0 and 1.

    Notes
    -----
    Regions that reach a bound of a parameter, or beyond the profile, are left out, and
    the caption says so.

    References
    ----------
    Bates, D. M. and Watts, D. G. (1988). Nonlinear Regression Analysis and Its
    Applications, section 6.1.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.profiles import plot_pairs
    >>> data = sml.datasets.load_dyestuff()
    >>> res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
    >>> len(plot_pairs(res.profile()).axes)
    9
    """
    names, levels = _names(profile, which), _levels(levels)
    if not 2 <= len(names) <= MOST_PAIRED:
        raise ValueError(
            f"a picture of pairs takes 2 to {MOST_PAIRED} parameters, not "
            f"{len(names)}; choose them with which=."
        )
    k = len(names)
    side = max(7.0, 1.05 * k) if k > 2 else 4.5
    fig = figure_for(fig, "a picture of a profile", side, side)
    axes = fig.subplots(k, k)
    cut = 0
    for row, down in enumerate(names):
        _write_name(axes[row, row], down, side / k)
        for col, across in enumerate(names[:row]):
            pair = pair_curves(profile, across, down, levels)
            _draw_pair(axes[row, col], pair, across, down, "value")
            _draw_pair(axes[col, row], pair, down, across, "zeta")
            _dress_pair(axes[row, col], row, col, k)
            _dress_pair(axes[col, row], col, row, k)
            cut += len(levels) - pair.loc[pair["level"] > 0, "level"].nunique()
    _share_limits(axes)
    said = [
        "Below: parameters; above: their ζ. Closed curves: the "
        f"{_percentages(levels)} regions; crossing lines: profile traces."
    ]
    if cut:
        said.append("Regions that a bound or the end of a profile cuts are left out.")
    caption(fig, "\n".join(said))
    return fig


# -- what is drawn ---------------------------------------------------------------------


def zeta_curve(profile: Profile, name: str) -> pd.DataFrame:
    """Columns ``value`` and ``zeta`` along a profile, its own points among them."""
    frame = profile.to_frame()
    nodes = frame.loc[frame["parameter"] == name, "value"].to_numpy(float)
    between = np.linspace(nodes.min(), nodes.max(), POINTS)[1:-1]
    values = np.unique(np.concatenate([nodes, between]))
    zeta = profile.zeta(name, values)
    at = np.searchsorted(values, nodes)
    zeta[at] = frame.loc[frame["parameter"] == name, "zeta"]
    return pd.DataFrame({"value": values, "zeta": zeta})


def interval_ends(
    profile: Profile, names: Sequence[str], levels: Sequence[float]
) -> pd.DataFrame:
    """Ends of the intervals of several levels.

    Returns
    -------
    DataFrame
        ``parameter``, ``level``, ``side`` (-1 or 1), ``value`` and ``zeta``: plus or
        minus a normal quantile or, where the end is a bound, zeta at the bound.
    """
    rows = []
    for level in levels:
        table = profile.conf_int(1.0 - level)
        for name in names:
            for side, column in ((-1, "lower"), (1, "upper")):
                value = float(table.loc[name, column])
                zeta = float(profile.zeta(name, value))
                if np.isnan(zeta):
                    zeta = side * float(norm.ppf(0.5 + level / 2.0))
                rows.append((name, level, side, value, zeta))
    return pd.DataFrame(rows, columns=["parameter", "level", "side", "value", "zeta"])


def pair_curves(
    profile: Profile, first: str, second: str, levels: Sequence[float]
) -> pd.DataFrame:
    """Profile traces of two parameters and the boundaries of their regions.

    Returns
    -------
    DataFrame
        ``curve``, the name of the parameter that a trace holds or "region"; ``level``
        of a region, nan for a trace; ``value first``, ``value second``, ``zeta first``
        and ``zeta second`` with the names of the parameters.
    """
    both = replace(profile, curves={n: profile.curves[n] for n in (first, second)})
    traces = both.pairs(first, second)
    columns = [f"{scale} {name}" for scale in SCALES for name in (first, second)]
    frames = [
        pd.DataFrame(
            traces[[first, second, "zeta_first", "zeta_second"]].to_numpy(float),
            columns=columns,
        ).assign(curve=traces["along"].to_numpy(), level=np.nan)
    ]
    for level in levels:
        found = both.contour(first, second, level)
        if len(found) == 0 or found.isna().to_numpy().any():
            continue
        zeta = [both.zeta(name, found[name]) for name in (first, second)]
        curve = np.column_stack([found[[first, second]], *zeta])
        frame = pd.DataFrame(curve, columns=columns)
        frames.append(frame.assign(curve="region", level=level))
    return pd.concat(frames, ignore_index=True)


# -- panels ----------------------------------------------------------------------------


def _draw_pair(
    ax: Axes, pair: pd.DataFrame, across: str, down: str, scale: str
) -> None:
    """Draw the regions and the traces of two parameters on one of the scales."""
    x, y = f"{scale} {across}", f"{scale} {down}"
    for _, region in pair.dropna(subset="level").groupby("level"):
        ax.plot(region[x], region[y], color=LINE, linewidth=0.8)
    for name, style in ((across, "-"), (down, "--")):
        held = pair[pair["level"].isna() & (pair["curve"] == name)]
        ax.plot(held[x], held[y], color=OTHER, linewidth=0.9, linestyle=style)


def _dress_pair(ax: Axes, row: int, col: int, k: int) -> None:
    """Numbers on the outer sides only: below and left, of the zetas above and right."""
    below, left = row == k - 1, col == 0
    above, right = row == 0, col == k - 1
    zeta = row < col
    ax.tick_params(
        labelsize=7,
        length=2,
        bottom=below and not zeta,
        labelbottom=below and not zeta,
        left=left and not zeta,
        labelleft=left and not zeta,
        top=above and zeta,
        labeltop=above and zeta,
        right=right and zeta,
        labelright=right and zeta,
    )
    ax.xaxis.set_major_locator(_few(3, "both"))
    ax.yaxis.set_major_locator(_few(3, "both"))


def _share_limits(axes: np.ndarray) -> None:
    """One range a column and a row below the diagonal, one for all zetas above it."""
    k = len(axes)
    lower = {(r, c): axes[r, c] for r in range(k) for c in range(r)}
    for j in range(k):
        limits = [ax.get_xlim() for (_, c), ax in lower.items() if c == j]
        limits += [ax.get_ylim() for (r, _), ax in lower.items() if r == j]
        low, high = min(a for a, _ in limits), max(b for _, b in limits)
        for (r, c), ax in lower.items():
            if c == j:
                ax.set_xlim(low, high)
            if r == j:
                ax.set_ylim(low, high)
    upper = [axes[r, c] for r in range(k) for c in range(r + 1, k)]
    ends = [abs(v) for ax in upper for v in (*ax.get_xlim(), *ax.get_ylim())]
    for ax in upper:
        ax.set(xlim=(-max(ends), max(ends)), ylim=(-max(ends), max(ends)))


def _write_name(ax: Axes, name: str, inches: float) -> None:
    """The name of a parameter in its panel on the diagonal."""
    ax.set(xticks=[], yticks=[], facecolor="0.95")
    text = wrapped(name, max(8, int(inches / 0.075)))
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", size=FONT)


def wrapped(name: str, width: int) -> str:
    """A parameter's name in lines of about a width, broken at spaces and signs."""
    pieces = re.findall(r"[^ ,|:]*[ ,|:]?", name)
    lines = [""]
    for piece in pieces:
        for start in range(0, len(piece), width):
            part = piece[start : start + width]
            if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return "\n".join(line.strip() for line in lines).replace("$", r"\$")


def _bars(ax: Axes, ends: pd.DataFrame) -> None:
    """Horizontal lines from end to end of each interval, at its quantile."""
    for level, own in ends.groupby("level"):
        low, high = own.sort_values("side")["value"]
        at = float(norm.ppf(0.5 + float(level) / 2.0))  # type: ignore[arg-type]
        ax.hlines(at, low, high, color=OTHER, linewidth=0.9)


def _dress(ax: Axes, name: str) -> None:
    ax.set_xlabel(wrapped(name, 26), fontsize=FONT)
    ax.tick_params(labelsize=7)
    ax.xaxis.set_major_locator(_few(4))
    ax.margins(x=0.03)


def _few(count: int, prune: str | None = None) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, min_n_ticks=2, prune=prune)  # type: ignore[arg-type]


def _label_rows(axes: Sequence[Axes], label: str) -> None:
    """The label of the ordinates, left of each row."""
    for ax in axes:
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel(label, fontsize=FONT)


def _grid(count: int) -> tuple[int, int]:
    """Rows and columns of panels."""
    columns = min(count, 2 if count == 4 else 3)
    return -(-count // columns), columns


def _figure(fig: Figure | None, count: int) -> Figure:
    rows, columns = _grid(count)
    width = 3.5 if columns == 1 else 7.0
    return figure_for(fig, "a picture of a profile", width, 2.0 * rows + 0.4)


def _panels(fig: Figure, count: int, share: bool = True) -> list[Axes]:
    rows, columns = _grid(count)
    axes = fig.subplots(rows, columns, sharey=share, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.remove()
    return list(axes[:count])


# -- arguments -------------------------------------------------------------------------


def _names(profile: Profile, which: Which) -> list[str]:
    """Names of the parameters to draw."""
    profiled = [p for p in profile.known if p.name in profile.curves]
    if which is None:
        return [p.name for p in profiled]
    return [p.name for p in choose(profiled, which, reml=False)]


def _levels(levels: Sequence[float]) -> list[float]:
    found = sorted({float(level) for level in levels})
    if not found or not all(0.0 < level < 1.0 for level in found):
        raise ValueError(f"levels are between 0 and 1, not {list(levels)!r}.")
    return found


def _percentages(levels: Sequence[float]) -> str:
    texts = [f"{100 * level:g}" for level in levels]
    head = ", ".join(texts[:-1])
    return f"{head} and {texts[-1]}%" if head else f"{texts[-1]}%"
