"""Images of Z', Lambda, A and L; of crossing and nesting in the module `design`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.terms import FloatArray, IntArray
from ..inference.nesting import unwrapped
from .design import FONT, image, plot_design
from .labels import short
from .matrices import Blocks, Entries, Structure, structure
from .panels import spread
from .style import COLOURS, LINE, MUTED, caption, figure_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results import LMERResults

__all__ = ["plot_design", "plot_structure"]

MATRICES = ("Zt", "Lambda", "A", "L")
"""What ``which=`` takes."""

SQUARE, WIDE = 150, 600
"""Rows and columns up to which each has cells of its own in an image."""

FILL = COLOURS[5]
"""Fill-in of L; lighter than other entries in grey print, too."""


def plot_structure(
    results: LMERResults,
    which: str | Iterable[str] = MATRICES,
    *,
    fig: Figure | None = None,
) -> Figure:
    """Images of Z', Lambda, A = Lambda'Z'WZ Lambda + I and its Cholesky factor L.

    Parameters
    ----------
    results : LMERResults
    which : str or sequence of str
        Of "Zt", "Lambda", "A" and "L".
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
        For an unknown matrix.

    Notes
    -----
    The random effects are in the order of elimination, in which ``L`` is computed; its
    fill-in are the entries that A does not have. Where a matrix has more rows or
    columns than an image can show, cells stand for several, and are the darker the
    more of their entries are not zero. See Bates et al. (2015, section 3) and Bates
    (2010), lme4: Mixed-effects Modeling with R, chapter 2.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> from sm_lmer.graphics.structure import plot_structure
    >>> data = sml.datasets.load_penicillin()
    >>> res = sml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data).fit()
    >>> print(plot_structure(res).axes[3].get_title())
    L
    189 entries, 15 of fill-in
    """
    results = unwrapped(results)
    chosen = _chosen(which)
    squares = [name for name in chosen if name != "Zt"]
    heights = [1.9] * (len(squares) < len(chosen))
    heights += [7.0 / max(len(squares), 2) + 0.3] * bool(squares)
    fig = figure_for(fig, "an image of the matrices", 7.0, sum(heights) + 0.6)
    grid = fig.add_gridspec(len(heights), 1, height_ratios=heights)
    panels = {"Zt": fig.add_subplot(grid[0])} if "Zt" in chosen else {}
    if squares:
        below = grid[-1].subgridspec(1, len(squares))
        panels |= {n: fig.add_subplot(below[k]) for k, n in enumerate(squares)}
    images = Images(structure(results), results.model.weights is not None)
    for name, ax in panels.items():
        images.draw(ax, name, named_rows=name == "Zt" or name == squares[0])
        if name != "Zt":
            _name_columns(ax, images.structure.blocks, 5.6 / len(squares))
    images.finish(fig)
    return fig


def _chosen(which: str | Iterable[str]) -> list[str]:
    asked = [which] if isinstance(which, str) else list(which)
    for name in asked:
        if name not in MATRICES:
            raise ValueError(
                f"there is no matrix {name!r} to draw; which= takes "
                f"{', '.join(map(repr, MATRICES))}."
            )
    if not asked:
        raise ValueError(f"which= names none of {', '.join(map(repr, MATRICES))}.")
    return [name for name in MATRICES if name in asked]


@dataclass(frozen=True, eq=False)
class Layer:
    """Cells of an image that have one colour, in several shades.

    Attributes
    ----------
    label : str
        What they are.
    colour : str
    cells : ndarray, shape (rows, columns)
        Between 0 and 1, nan where the layer has nothing: size relative to the largest
        entry or, where a cell stands for several entries, the share of its entries
        that are not zero.
    """

    label: str
    colour: str
    cells: FloatArray


class Images:
    """Draws the matrices of a structure.

    Parameters
    ----------
    found : Structure
    weighted : bool
        Whether the model has weights, for the title of A.
    """

    def __init__(self, found: Structure, weighted: bool) -> None:
        self.structure = found
        self.cross = "Λ'Z'WZΛ + I" if weighted else "Λ'Z'ZΛ + I"
        self._drawn: dict[str, str] = {}
        self._binned = self._sized = False

    def layers(self, name: str) -> list[Layer]:
        """The layers of a matrix's image."""
        if name == "L":
            return self._factor_layers()
        matrix: Entries = getattr(self.structure, name)
        shape = _cells(matrix.shape, name)
        if shape != matrix.shape:
            every = _counts(matrix.rows, matrix.cols, matrix.shape, shape)
            self._binned = True
            return [Layer("not zero", LINE, _share(every, matrix.shape))]
        size, zero = np.full(shape, np.nan), np.full(shape, np.nan)
        values = np.abs(matrix.values)
        vanish = values == 0
        size[matrix.rows, matrix.cols] = values / (values.max(initial=0.0) or 1.0)
        size[matrix.rows[vanish], matrix.cols[vanish]] = np.nan
        zero[matrix.rows[vanish], matrix.cols[vanish]] = 1.0
        self._sized = self._sized or len(np.unique(values[~vanish])) > 1
        return [
            Layer("not zero", LINE, size),
            Layer("zero at these estimates", MUTED, zero),
        ]

    def _factor_layers(self) -> list[Layer]:
        A, columns = self.structure.A, self.structure.factor_pattern()
        shape = _cells(A.shape, "L")
        lower = A.rows >= A.cols
        own = _counts(A.rows[lower], A.cols[lower], A.shape, shape)
        every = np.zeros(shape)
        for j, rows in enumerate(columns):
            below = np.append(rows, j) * shape[0] // A.shape[0]
            every[:, j * shape[1] // A.shape[1]] += np.bincount(below, None, shape[0])
        self._entries = sum(map(len, columns)) + len(columns)
        self._fill = self._entries - int(lower.sum())
        self._binned = self._binned or shape != A.shape
        filled = every - own > own
        share = _share(every, A.shape)
        return [
            Layer("not zero", LINE, np.where(filled, np.nan, share)),
            Layer("fill-in of L", FILL, np.where(filled, share, np.nan)),
        ]

    def draw(self, ax: Axes, name: str, named_rows: bool) -> None:
        """Draw one matrix."""
        rows, cols = self.structure.Zt.shape if name == "Zt" else self.structure.A.shape
        for layer in self.layers(name):
            if np.isnan(layer.cells).all():
                continue
            self._drawn.setdefault(layer.label, layer.colour)
            aspect = "auto" if name == "Zt" else "equal"
            image(ax, layer.cells, layer.colour, (rows, cols), aspect)
        ax.set_title(self._title(name), fontsize=8)
        borders = self.structure.blocks.borders[1:-1]
        for at in borders:
            ax.axhline(at, color="0.4", linewidth=0.6)
            if name != "Zt":
                ax.axvline(at, color="0.4", linewidth=0.6)
        ax.tick_params(length=0, labelsize=FONT)
        ax.set_xticks([])
        ax.set_yticks([])
        if name == "Zt":
            ax.set_xlabel(f"{cols:,} rows of the data", fontsize=FONT)
        if named_rows:
            height = 1.4 if name == "Zt" else 1.7
            blocks = self.structure.blocks
            middles = (blocks.borders[:-1] + blocks.borders[1:]) / 2.0
            ax.set_yticks(
                spread(middles, 0.14 * rows / height, 0.0, rows), _block_labels(blocks)
            )

    def _title(self, name: str) -> str:
        if name == "L":
            fill = f"{self._fill:,} of fill-in" if self._fill else "no fill-in"
            return f"L\n{self._entries:,} entries, {fill}"
        matrix: Entries = getattr(self.structure, name)
        head = {"Zt": "Z'", "Lambda": "Λ", "A": f"A = {self.cross}"}[name]
        rows, cols = matrix.shape
        if name == "Zt":
            return f"{head}: {rows:,} x {cols:,}, {len(matrix.rows):,} entries"
        return f"{head}\n{rows:,} x {cols:,}, {len(matrix.rows):,} entries"

    def finish(self, fig: Figure) -> None:
        """Add the legend, and what the shades mean."""
        from matplotlib.patches import Patch

        handles = [Patch(color=c, label=label) for label, c in self._drawn.items()]
        if len(handles) > 1:
            fig.legend(
                handles=handles,
                loc="outside upper center",
                ncols=len(handles),
                frameon=False,
                fontsize=FONT,
            )
        said = []
        if self._sized:
            said.append("Darker: larger entries.")
        if self._binned:
            said.append("Cells stand for several entries: darker, fewer zeros.")
        if said:
            caption(fig, " ".join(said))


def _cells(shape: tuple[int, int], name: str) -> tuple[int, int]:
    """Rows and columns of cells in the image of a matrix."""
    return min(shape[0], SQUARE), min(shape[1], WIDE if name == "Zt" else SQUARE)


def _counts(
    rows: IntArray, cols: IntArray, shape: tuple[int, int], cells: tuple[int, int]
) -> FloatArray:
    """Entries in each cell."""
    at = (rows.astype(np.int64) * cells[0] // shape[0]) * cells[1]
    at += cols.astype(np.int64) * cells[1] // shape[1]
    counts = np.bincount(at, minlength=cells[0] * cells[1])
    return counts.reshape(cells).astype(np.float64)


def _share(counts: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Share of each cell's entries that are counted, nan if none."""
    sizes = [
        np.bincount(np.arange(n, dtype=np.int64) * k // n, minlength=k)
        for n, k in zip(shape, counts.shape, strict=True)
    ]
    share = counts / np.outer(*sizes)
    return np.where(counts > 0, share, np.nan)


def _block_labels(blocks: Blocks) -> list[str]:
    return [
        f"{short(name, 18)} ({L:,}{f' x {q}' if q > 1 else ''})"
        for name, L, q in zip(blocks.names, blocks.levels, blocks.columns, strict=True)
    ]


def _name_columns(ax: Axes, blocks: Blocks, inches: float) -> None:
    """Names of the blocks below an image, upright where they are too wide."""
    labels, total = _block_labels(blocks), int(blocks.borders[-1])
    middles = (blocks.borders[:-1] + blocks.borders[1:]) / 2.0
    widths = np.array([0.06 * len(label) for label in labels])
    ends = middles * inches / total
    fits = (ends[1:] - widths[1:] / 2 > ends[:-1] + widths[:-1] / 2).all()
    fits = fits and (widths < inches).all()
    gap = 0.0 if fits else 0.14 * total / inches
    ax.set_xticks(
        spread(middles, gap, 0.0, total),
        labels,
        rotation=0 if fits else 90,
        fontsize=FONT,
    )
