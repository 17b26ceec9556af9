"""Characters: typographic minus signs, and what no document can hold."""

from __future__ import annotations

import re
from dataclasses import replace

from ..table import Cell

MINUS = "\N{MINUS SIGN}"

_HYPHEN = re.compile(r"(?<!\w)-(?=\.?\d)|(?<=\d[eE])-(?=\d)")
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
)
_SPACING = re.compile(r"\r\n?|\t")


def minus(cell: Cell) -> Cell:
    """The cell with U+2212 for the hyphens that are minus signs.

    Those of the number are; those of prefix and suffix are where the cell is numeric
    and they stand before digits, and not between letters or digits.

    Examples
    --------
    >>> minus(Cell("-1.5e-05", "x-1 ")).text
    'x-1 −1.5e−05'
    >>> minus(Cell(prefix="[-2.4, 0.6]", numeric=True)).text
    '[−2.4, 0.6]'
    """
    number = cell.number.replace("-", MINUS)
    prefix, suffix = cell.prefix, cell.suffix
    if cell.numeric:
        prefix, suffix = _HYPHEN.sub(MINUS, prefix), _HYPHEN.sub(MINUS, suffix)
    if (number, prefix, suffix) == (cell.number, cell.prefix, cell.suffix):
        return cell
    return replace(cell, number=number, prefix=prefix, suffix=suffix)


def printable(text: str) -> str:
    r"""The text without control characters; ends of lines are ``\n``.

    A terminal obeys control characters, XML forbids them, and lone surrogates cannot
    be written to a file: U+FFFD stands for each. A tab becomes a space.

    Examples
    --------
    >>> printable("a\x1b[31m\tb\r\nc")
    'a�[31m b\nc'
    """
    if text.isprintable():
        return text
    text = _SPACING.sub(lambda found: " " if found.group() == "\t" else "\n", text)
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    r"""The text on one line, with single spaces.

    Examples
    --------
    >>> one_line(" one\n  two ")
    'one two'
    """
    return " ".join(printable(text).split())


def identifier(label: str) -> str:
    """A table's label with hyphens for what HTML and Markdown identifiers cannot hold.

    Examples
    --------
    >>> identifier("my table {1}"), identifier("tbl-hsb")
    ('tbl-my-table-1', 'tbl-hsb')
    """
    plain = re.sub(r"[^\w:.-]+", "-", label).strip("-")
    return plain if plain.startswith("tbl-") else f"tbl-{plain}"


__all__ = ["MINUS", "identifier", "minus", "one_line", "printable"]
