"""A table of models as data: cells, rows, sections, headers, notes.

Everything that a renderer shows is here, as plain text in Unicode; nothing is escaped
and nothing is aligned. Numbers are formatted once, with an ASCII hyphen for minus; a
renderer turns that, and signs such as the superscript two, into what its format has.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """One value: a number between texts, or text alone.

    Parameters
    ----------
    number : str
        Digits with an optional sign, point and exponent; empty for text alone. The
        cells of a column are aligned at its decimal point.
    prefix, suffix : str
        What stands directly before and behind, as the parentheses of ``(0.670)``.
    stars : str
        Marks of significance; they follow the suffix and do not count in alignment.
    numeric : bool
        Whether hyphens before digits in `prefix` and `suffix` are minus signs, as in
        the interval ``[-2.37, 0.60]``.
    """

    number: str = ""
    prefix: str = ""
    suffix: str = ""
    stars: str = ""
    numeric: bool = False

    @property
    def text(self) -> str:
        """The whole, in plain text."""
        return f"{self.prefix}{self.number}{self.suffix}{self.stars}"

    def __bool__(self) -> bool:
        return bool(self.text)


EMPTY = Cell()
"""A cell of nothing."""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Parameters
    ----------
    stub : tuple of str
        Its labels, one a stub column; a label that is empty continues the row above.
    cells : tuple of Cell
        One a value column.
    kind : {"estimate", "statistic", "gof", "added"}
    """

    stub: tuple[str, ...]
    cells: tuple[Cell, ...]
    kind: str = "estimate"


@dataclass(frozen=True)
class Section:
    """Rows that belong together; a rule separates it from the next.

    Parameters
    ----------
    rows : tuple of Row
    title : str
        Heading over the rows; empty for none.
    kind : {"coefficients", "random", "gof", "panel"}
    """

    rows: tuple[Row, ...]
    title: str = ""
    kind: str = "coefficients"


@dataclass(frozen=True)
class Span:
    """A header over neighbouring value columns; empty text for no header there."""

    text: str
    width: int = 1


@dataclass(frozen=True)
class Table:
    """A table ready to be rendered.

    Parameters
    ----------
    headers : tuple of tuple of Span
        Rows of headers, from the top; the widths of each add up to the number of
        value columns. In the last row every span has width one.
    sections : tuple of Section
    stub : tuple of str
        Headers of the stub columns, usually one that is empty.
    title : str
        Caption; empty for none.
    label : str
        Name by which LaTeX and Typst documents refer to the table; empty for none.
    notes : tuple of str
        Lines below the table.
    align : str
        How value columns are aligned: "d" at the decimal point, "l", "c" or "r";
        one letter for all, or one a column.
    """

    headers: tuple[tuple[Span, ...], ...]
    sections: tuple[Section, ...]
    stub: tuple[str, ...] = ("",)
    title: str = ""
    label: str = ""
    notes: tuple[str, ...] = ()
    align: str = "d"
    _width: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        rows = [row for section in self.sections for row in section.rows]
        widths = {len(row.cells) for row in rows}
        widths |= {sum(span.width for span in spans) for spans in self.headers}
        if len(widths) != 1:
            raise ValueError(f"rows and headers have different widths: {widths}.")
        if any(len(row.stub) != len(self.stub) for row in rows):
            raise ValueError("a row has another number of labels than the table.")
        object.__setattr__(self, "_width", widths.pop())

    @property
    def width(self) -> int:
        """Number of value columns."""
        return self._width

    @property
    def alignments(self) -> str:
        """One letter a value column."""
        return self.align * self.width if len(self.align) == 1 else self.align


__all__ = ["EMPTY", "Cell", "Row", "Section", "Span", "Table"]
