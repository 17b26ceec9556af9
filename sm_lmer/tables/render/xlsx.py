"""Excel: numbers as numbers, everything else as text that is no formula."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from ..table import Cell, Span, Table
from .halving import column, cut, shapes, widest, width
from .headers import placed, underlined
from .symbols import one_line

PLACES = {"l": "left", "c": "center", "r": "right", "d": "center"}

TEXT = "@"
"""Excel's format of cells that are text, also when they are edited."""

_NUMBER = re.compile(r"-?(\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d+))?(?:e[-+](\d+))?", re.I)

PRECISION = 15
"""Digits that Excel keeps of a number."""


def to_xlsx(table: Table, path: str | Path) -> None:
    """Write the table to a workbook.

    Parameters
    ----------
    table : Table
    path : str or Path
        A file that ends in ``.xlsx``.

    Notes
    -----
    A cell that is only a number becomes a number with as many decimals as it shows;
    one with parentheses, brackets or stars stays text, and so does everything that
    looks like a formula. Number formats leave room behind numbers for what others
    have there, so that decimal points are aligned.

    Raises
    ------
    ImportError
        If the package ``openpyxl`` is not there.
    """
    try:
        import openpyxl
        from openpyxl.worksheet.properties import PageSetupProperties
    except ImportError:
        raise ImportError(
            "tables in Excel need the package openpyxl; install it by "
            "pip install 'sm_lmer[excel]'."
        ) from None
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Table"
    sheet.sheet_view.showGridLines = False
    row = 1
    if table.title:
        _text(sheet.cell(row, 1), table.title)
        row += 1
    top = row
    row = _header(table, sheet, row)
    _rule(sheet, top, table, top="medium")
    row = _body(table, sheet, row)
    _rule(sheet, row - 1, table, bottom="medium")
    for note in table.notes:
        _text(sheet.cell(row, 1), note)
        row += 1
    _widths(table, sheet)
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.page_setup.fitToHeight = 0
    book.save(path)


def _header(table: Table, sheet: Any, row: int) -> int:
    """Write the rows of headers; the row below them."""
    offset = len(table.stub)
    rows = table.headers or (((Span("", table.width),),) if any(table.stub) else ())
    for k, spans in enumerate(rows):
        last = k == len(rows) - 1
        for j, text in enumerate(table.stub if last else ()):
            _text(sheet.cell(row, 1 + j), text)
        for start, span in placed(spans):
            first = offset + start + 1
            final = first + span.width - 1
            letter = table.alignments[start] if span.width == 1 else "c"
            _text(sheet.cell(row, first), span.text, PLACES[letter])
            if not last and underlined(spans) and span.text:
                _rule(sheet, row, table, range(first, final + 1), bottom="thin")
            if span.width > 1:
                sheet.merge_cells(
                    start_row=row, end_row=row, start_column=first, end_column=final
                )
        row += 1
    return row


def _body(table: Table, sheet: Any, row: int) -> int:
    offset = len(table.stub)
    formats = [
        _Column(column(table, k), letter) for k, letter in enumerate(table.alignments)
    ]
    for section in table.sections:
        if row > 1:
            _rule(sheet, row, table, top="thin")
        if section.title:
            _text(sheet.cell(row, 1), section.title, italic=True)
            row += 1
        for own in section.rows:
            for j, text in enumerate(own.stub):
                _text(sheet.cell(row, 1 + j), text)
            for j, (cell, form) in enumerate(zip(own.cells, formats, strict=True)):
                if cell:
                    form.write(sheet.cell(row, offset + 1 + j), cell)
            row += 1
    return row


class _Column:
    """How the cells of a value column are written."""

    def __init__(self, cells: Sequence[Cell], letter: str) -> None:
        self.place = PLACES[letter]
        self.room = {
            block: (width(widest(left)), width(widest(right)))
            for block, (left, right) in (shapes(cells) if letter == "d" else {}).items()
        }

    def write(self, target: Any, cell: Cell) -> None:
        before, behind = self._room(cell)
        number = _number(cell)
        if number is None:
            _text(target, cell.text, self.place, form=f"{before}{TEXT}{behind}")
            return
        from openpyxl.styles import Alignment

        value, form = number
        target.value = value
        shown, negative = f"{before}{form}{behind}", f"{before}-{form}{behind}"
        target.number_format = f"{shown};{negative}" if before else shown
        target.alignment = Alignment(horizontal=self.place)

    def _room(self, cell: Cell) -> tuple[str, str]:
        """What number formats hold before and behind the cell."""
        block, left, right = cut(cell)
        if block not in self.room:
            return "", ""
        before, behind = self.room[block]
        return _room(before - width(left)), _room(behind - width(right))


def _room(spare: int) -> str:
    """Room in a number format: ``_0`` is as wide as a digit, ``_.`` as a point."""
    return "_0" * (spare // 2) + "_." * (spare % 2)


def _number(cell: Cell) -> tuple[int | float, str] | None:
    """The value and the number format of a cell that is only a number."""
    if cell.prefix or cell.suffix or cell.stars:
        return None
    found = _NUMBER.fullmatch(cell.number)
    if found is None:
        return None
    whole, fraction, exponent = found.groups()
    digits = (whole + (fraction or "")).replace(",", "")
    if len(digits.lstrip("0")) > PRECISION or (len(whole) > 1 and whole[0] == "0"):
        return None
    form = "#,##0" if "," in whole else "0"
    form += f".{'0' * len(fraction)}" if fraction else ""
    text = cell.number.replace(",", "")
    if exponent:
        return float(text), f"{form}E+{'0' * len(exponent)}"
    return (float(text) if fraction else int(text)), form


def _text(
    target: Any,
    text: str,
    place: str = "left",
    italic: bool = False,
    form: str = TEXT,
) -> None:
    """Text that stays text, whatever it begins with."""
    from openpyxl.styles import Alignment

    if not text:
        return
    target.value = one_line(text)
    target.data_type = "s"
    target.number_format = form
    target.alignment = Alignment(horizontal=place)
    target.quotePrefix = True
    if italic:
        font = copy(target.font)
        font.italic = True
        target.font = font


def _rule(
    sheet: Any,
    row: int,
    table: Table,
    columns: range | None = None,
    top: str | None = None,
    bottom: str | None = None,
) -> None:
    """A line over or under the cells of a row, with what lines they have."""
    from openpyxl.styles import Border, Side

    for k in columns or range(1, len(table.stub) + table.width + 1):
        target = sheet.cell(row, k)
        before = target.border
        target.border = Border(
            top=Side(top) if top and not before.top.style else before.top,
            bottom=Side(bottom) if bottom else before.bottom,
        )


def _widths(table: Table, sheet: Any) -> None:
    """Columns as wide as their texts; titles and notes run over them."""
    from openpyxl.utils import get_column_letter

    for k, texts in enumerate(_texts(table)):
        letters = max((len(one_line(text)) for text in texts), default=0)
        sheet.column_dimensions[get_column_letter(k + 1)].width = letters + 2


def _texts(table: Table) -> Iterator[list[str]]:
    rows = [row for section in table.sections for row in section.rows]
    for k, name in enumerate(table.stub):
        yield [name, *(row.stub[k] for row in rows)]
    for k in range(table.width):
        headers = [
            span.text
            for spans in table.headers
            for start, span in placed(spans)
            if start == k and span.width == 1
        ]
        yield [*headers, *(cell.text for cell in column(table, k))]


__all__ = ["to_xlsx"]
