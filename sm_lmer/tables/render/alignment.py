"""Columns whose decimal points stand below each other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from ..table import Cell

CENTRED = -1
"""The block of cells that are centred by themselves."""

NUMBERS = 0
"""The block of cells with a number."""

TEXTS = 1
"""The block of numeric texts, such as intervals."""

Halves = tuple[int, str, str]
"""A block, and what stands left and right of the line that its cells share."""

_INTEGER = re.compile(r"[-+\u2212]?[\d,]*")
_FIRST = re.compile(r"\.\d|\d+(?:,\d{3})*")


def display_width(text: str) -> int:
    """Columns that a text takes in a terminal.

    East Asian wide characters take two, combining marks and format characters none.

    Examples
    --------
    >>> [display_width(text) for text in ("R²", "日本", "e\u0301")]
    [2, 4, 1]
    """
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def halves(cell: Cell, align: str) -> Halves:
    """Where a cell is split by the line that it shares with others of its column.

    That is the decimal point (the end of a number without one) in a column aligned by
    "d"; the first one of a numeric text. Stars hang over the end of "r".

    Parameters
    ----------
    cell : Cell
    align : {"d", "l", "c", "r"}

    Returns
    -------
    block, left, right : int, str, str
        Cells of a block share a line; those of the block ``CENTRED`` do not.

    Examples
    --------
    >>> halves(Cell("-11.728", "(", ")", "*"), "d")
    (0, '(-11', '.728)*')
    >>> halves(Cell("-11.728", stars="*"), "r")
    (0, '-11.728', '*')
    """
    if align == "l":
        return NUMBERS, "", cell.text
    if align == "r":
        return NUMBERS, f"{cell.prefix}{cell.number}{cell.suffix}", cell.stars
    if align == "d" and cell.number:
        found = _INTEGER.match(cell.number)
        at = found.end() if found else 0
        return (
            NUMBERS,
            cell.prefix + cell.number[:at],
            f"{cell.number[at:]}{cell.suffix}{cell.stars}",
        )
    text = cell.text
    first = _FIRST.search(text) if align == "d" and cell.numeric else None
    if first is None:
        return CENTRED, text, ""
    at = first.start() if first.group().startswith(".") else first.end()
    return TEXTS, text[:at], text[at:]


def reach(
    column: Iterable[Halves], width: Callable[[str], int]
) -> dict[int, tuple[int, int]]:
    """How far each block of a column reaches to the left and right of its line.

    Parameters
    ----------
    column : iterable of (block, left, right)
    width : callable
        Measures a text.
    """
    extents: dict[int, tuple[int, int]] = {}
    for block, left, right in column:
        before, behind = extents.get(block, (0, 0))
        extents[block] = max(before, width(left)), max(behind, width(right))
    return extents


def aligned(
    cells: Sequence[Cell],
    align: str,
    shown: Callable[[str], str] = str,
    least: int = 0,
) -> list[str]:
    """The cells of a column as texts of one width.

    Parameters
    ----------
    cells : sequence of Cell
    align : {"d", "l", "c", "r"}
    shown : callable
        Turns plain text into that of the format, before it is measured.
    least : int
        Least width, of a header for instance.

    Examples
    --------
    >>> aligned([Cell("11.728", stars="*"), Cell("0.670", "(", ")"), Cell("686")], "d")
    [' 11.728*', ' (0.670)', '686     ']
    >>> aligned([Cell("-1.5"), Cell(prefix="yes")], "d", least=7)
    [' -1.5  ', '  yes  ']
    """
    column = [halves(cell, align) for cell in cells]
    column = [(block, shown(left), shown(right)) for block, left, right in column]
    extents = reach(column, display_width)
    total = max([least, *map(sum, extents.values())])
    out = []
    for block, left, right in column:
        if block == CENTRED:
            out.append(centred(left, total))
            continue
        before, behind = extents[block]
        spare = total - before - behind
        indent = {"l": 0, "r": spare}.get(align, spare // 2)
        left = " " * (indent + before - display_width(left)) + left
        out.append(ljust(left + right, total))
    return out


def ljust(text: str, width: int) -> str:
    """Like ``str.ljust``, by the width in a terminal."""
    return text + " " * (width - display_width(text))


def rjust(text: str, width: int) -> str:
    """Like ``str.rjust``, by the width in a terminal."""
    return " " * (width - display_width(text)) + text


def centred(text: str, width: int) -> str:
    """The text in the middle of a width; odd space goes behind it."""
    spare = max(width - display_width(text), 0)
    return " " * (spare // 2) + text + " " * (spare - spare // 2)


def justified(text: str, align: str, width: int) -> str:
    """A text alone, such as a header, in a column of some alignment."""
    place = {"l": ljust, "r": rjust}.get(align, centred)
    return place(text, width)


__all__ = [
    "CENTRED",
    "NUMBERS",
    "TEXTS",
    "aligned",
    "centred",
    "display_width",
    "halves",
    "justified",
    "ljust",
    "reach",
    "rjust",
]
