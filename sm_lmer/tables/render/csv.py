"""Tables as comma-separated values."""

from __future__ import annotations

import csv
import io
import re

from ..table import Cell, Table
from .headers import flattened
from .symbols import printable

FORMULA = ("=", "+", "-", "@")
"""Beginnings of a text that a spreadsheet takes for a formula."""

_SIGNED = re.compile(r"[-+]?\.?\d")


def to_csv(table: Table, *, annotations: bool = True) -> str:
    """The table as comma-separated values, one row of headers.

    Minus signs are ASCII. A text that a spreadsheet would run as a formula gets an
    apostrophe before it; numbers stay as they are.

    Parameters
    ----------
    table : Table
    annotations : bool
        Whether the titles of sections are rows of their own, and the table's title
        and notes rows at the end, in the first column.

    Returns
    -------
    str
        Every row has the same number of fields; lines end with a newline.

    Examples
    --------
    >>> from sm_lmer.tables.table import Row, Section, Span
    >>> row = Row(("Days",), (Cell("10.467", stars="*"),))
    >>> print(to_csv(Table(((Span("REML"),),), (Section((row,)),), title="Sleep")))
    ,REML
    Days,10.467*
    Sleep,
    <BLANKLINE>
    """
    rows = [[*map(_text, table.stub), *map(_text, flattened(table))]]
    rest = [""] * (len(table.stub) + table.width - 1)
    for section in table.sections:
        if annotations and section.title:
            rows.append([_text(section.title), *rest])
        rows += [
            [*map(_text, row.stub), *map(_value, row.cells)] for row in section.rows
        ]
    if annotations:
        below = (table.title, *table.notes)
        rows += [[_text(text), *rest] for text in below if text]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _text(text: str) -> str:
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _value(cell: Cell) -> str:
    text = printable(cell.text)
    if (cell.number or cell.numeric) and _SIGNED.match(text):
        return text
    return _text(text)


__all__ = ["to_csv"]
