"""Cells with typographic signs, cut in halves, and how wide halves are set in type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..table import Cell, Table
from .alignment import CENTRED, Halves, halves
from .symbols import minus, printable

FIGURE_SPACE = "\N{FIGURE SPACE}"
PUNCTUATION_SPACE = "\N{PUNCTUATION SPACE}"
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
"""Spaces as wide as a digit, as a point, and one that holds words together."""

_NARROW = frozenset(".,:;'!|()[]{}il ")


def cut(cell: Cell) -> Halves:
    """The block of the cell in a column aligned by "d", and its halves, on one line.

    Examples
    --------
    >>> cut(Cell("-0.670", "(", ")", "*"))
    (0, '(−0', '.670)*')
    """
    block, left, right = halves(minus(cell), "d")
    return block, _on_one_line(left), _on_one_line(right)


def shown(cell: Cell) -> str:
    """The cell as one line of text with signs of minus.

    Examples
    --------
    >>> shown(Cell(prefix="[-2.368, 0.598]", numeric=True))
    '[−2.368, 0.598]'
    """
    return _on_one_line(minus(cell).text)


def _on_one_line(text: str) -> str:
    """As :func:`symbols.one_line`, but with the spaces at the ends kept."""
    return printable(text).replace("\n", " ")


def column(table: Table, position: int) -> list[Cell]:
    """The cells of a value column."""
    return [row.cells[position] for part in table.sections for row in part.rows]


def shapes(cells: Sequence[Cell]) -> dict[int, tuple[list[str], list[str]]]:
    """Left and right halves of each block, each shape once: their digits are zeros.

    Examples
    --------
    >>> shapes([Cell("0.670", "(", ")"), Cell("11.728"), Cell("10.670")])
    {0: (['(0', '00'], ['.000)', '.000'])}
    """
    found: dict[int, tuple[dict[str, None], dict[str, None]]] = {}
    for cell in cells:
        block, left, right = cut(cell)
        if block == CENTRED:
            continue
        before, behind = found.setdefault(block, ({}, {}))
        before[_zeros(left)] = None
        behind[_zeros(right)] = None
    return {block: (list(left), list(right)) for block, (left, right) in found.items()}


@lru_cache(maxsize=4096)
def _zeros(text: str) -> str:
    return re.sub(r"\d", "0", text)


@lru_cache(maxsize=4096)
def width(text: str) -> int:
    """About how wide the text is set, in halves of a digit.

    Examples
    --------
    >>> width("(0.67)"), width("10.67")
    (9, 9)
    """
    return sum(1 if letter in _NARROW else 2 for letter in text)


def widest(texts: Iterable[str]) -> str:
    """The widest of the texts; empty if there is none."""
    return max(texts, key=width, default="")


def padded(cells: Sequence[Cell], letter: str) -> list[str]:
    """The cells of a column, for formats that centre it and break long lines.

    Parameters
    ----------
    cells : sequence of Cell
    letter : {"d", "l", "c", "r"}
        For "d" with spaces as wide as digits and points at both sides, so that the
        decimal points meet.

    Returns
    -------
    list of str
        Spaces within cells of numbers do not break.

    Examples
    --------
    >>> [ascii(text) for text in padded([Cell("11.5"), Cell("2.5", "(", ")")], "d")]
    ["'11.5\\\\u2008'", "'\\\\u2008(2.5)'"]
    """
    room = {
        block: (width(widest(left)), width(widest(right)))
        for block, (left, right) in (shapes(cells) if letter == "d" else {}).items()
    }
    out = []
    for cell in cells:
        text = shown(cell)
        if cell.number or cell.numeric:
            text = text.replace(" ", NO_BREAK_SPACE)
        block, left, right = cut(cell)
        if block in room:
            before, behind = room[block]
            text = _space(before - width(left)) + text + _space(behind - width(right))
        out.append(text)
    return out


def _space(half_digits: int) -> str:
    return PUNCTUATION_SPACE * (half_digits % 2) + FIGURE_SPACE * (half_digits // 2)


__all__ = ["column", "cut", "padded", "shapes", "shown", "widest", "width"]
