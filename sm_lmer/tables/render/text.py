"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from ..table import EMPTY, Cell, Row, Span, Table
from .alignment import aligned, centred, display_width, justified, ljust
from .headers import placed, underlined
from .symbols import minus, one_line, printable

GAP = "  "
"""Between columns."""

NARROWEST = 60
"""Titles and notes are wrapped at the width of the table, but not below this."""


def to_text(table: Table, *, unicode_minus: bool = False) -> str:
    """The table in plain text, with rules of hyphens and equals signs.

    Parameters
    ----------
    table : Table
    unicode_minus : bool
        Whether minus signs are U+2212 instead of ASCII hyphens.

    Returns
    -------
    str
        Lines without space at their ends; no newline behind the last.

    Examples
    --------
    >>> from sm_lmer.tables.table import Section
    >>> rows = Row(("Days",), (Cell("10.467"),)), Row(("",), (Cell("1.546", "(", ")"),))
    >>> print(to_text(Table(((Span("REML"),),), (Section(rows),))))
    =============
           REML
    -------------
    Days  10.467
          (1.546)
    =============
    """
    sections = [
        (printable(section.title), _physical(section.rows))
        for section in table.sections
    ]
    rows = [row for _, own in sections for row in own]
    stub_widths, stubs = _stubs(table, rows)
    widths, columns = _columns(table, rows, unicode_minus)
    body = [GAP.join(texts) for texts in zip(*stubs, *columns, strict=True)]
    head = _head(table, stub_widths, widths)
    total = max(map(display_width, [*head, *body, *(t for t, _ in sections)]))
    lines = [centred(line, total) for line in _wrapped(table.title, total)]
    lines += ["=" * total, *head]
    taken = 0
    for title, own in sections:
        lines.append("-" * total)
        lines += title.splitlines()
        lines += body[taken : taken + len(own)]
        taken += len(own)
    lines.append("=" * total)
    for note in table.notes:
        lines += _wrapped(note, total)
    return "\n".join(line.rstrip() for line in lines)


def _physical(rows: Sequence[Row]) -> list[Row]:
    """The rows as lines: one whose texts have several becomes as many."""
    return [line for row in rows for line in _lines_of(row)]


def _lines_of(row: Row) -> Iterator[Row]:
    stubs = [printable(text) for text in row.stub]
    if not any("\n" in text for text in (*stubs, *(c.text for c in row.cells))):
        yield Row(tuple(stubs), row.cells, row.kind)
        return
    stub_lines = zip_longest(*(text.split("\n") for text in stubs), fillvalue="")
    cell_lines = zip_longest(*map(_cell_lines, row.cells), fillvalue=EMPTY)
    empty = ("",) * len(stubs), (EMPTY,) * len(row.cells)
    for stub, cells in zip_longest(stub_lines, cell_lines):
        yield Row(stub or empty[0], cells or empty[1], row.kind)


def _cell_lines(cell: Cell) -> list[Cell]:
    text = printable(cell.text)
    if "\n" not in text:
        return [cell]
    return [Cell(prefix=line, numeric=cell.numeric) for line in text.split("\n")]


def _stubs(table: Table, rows: Sequence[Row]) -> tuple[list[int], list[list[str]]]:
    """Widths and texts of the stub columns, at least as wide as their headers."""
    widths, columns = [], []
    for k, header in enumerate(table.stub):
        labels = [row.stub[k] for row in rows]
        width = max(map(display_width, (one_line(header), *labels)))
        widths.append(width)
        columns.append([ljust(label, width) for label in labels])
    return widths, columns


def _columns(
    table: Table, rows: Sequence[Row], unicode_minus: bool
) -> tuple[list[int], list[list[str]]]:
    """Widths and texts of the value columns, wide enough for their headers."""
    least = [0] * table.width
    for spans in table.headers[-1:]:
        least = [display_width(one_line(span.text)) for span in spans]
    columns = []
    for k, align in enumerate(table.alignments):
        cells = [row.cells[k] for row in rows]
        shown = [minus(cell) for cell in cells] if unicode_minus else cells
        columns.append(aligned(shown, align, printable, least[k]))
    widths = [
        display_width(column[0]) if column else width
        for column, width in zip(columns, least, strict=True)
    ]
    wider = _under_spanners(table, widths)
    for k, align in enumerate(table.alignments):
        if wider[k] > widths[k]:
            columns[k] = [justified(text, align, wider[k]) for text in columns[k]]
    return wider, columns


def _under_spanners(table: Table, widths: Sequence[int]) -> list[int]:
    """The widths, raised where a header is wider than the columns below it."""
    out = list(widths)
    for spans in reversed(table.headers[:-1]):
        for start, span in placed(spans):
            covered = range(start, start + span.width)
            room = sum(out[k] for k in covered) + len(GAP) * (span.width - 1)
            lacking = display_width(one_line(span.text)) - room
            for place, k in enumerate(covered):
                if lacking > 0:
                    share, rest = divmod(lacking, span.width)
                    out[k] += share + (place < rest)
    return out


def _head(table: Table, stub_widths: Sequence[int], widths: Sequence[int]) -> list[str]:
    """Lines of headers, with rules below those over several columns."""
    blank = GAP.join(" " * width for width in stub_widths)
    stub = GAP.join(
        ljust(one_line(text), width)
        for text, width in zip(table.stub, stub_widths, strict=True)
    )
    lines = []
    for level, spans in enumerate(table.headers):
        last = level == len(table.headers) - 1
        texts, rules = _header_row(table, spans, widths)
        lines.append(GAP.join((stub if last else blank, *texts)))
        if not last and underlined(spans):
            lines.append(GAP.join((blank, *rules)))
    return lines


def _header_row(
    table: Table, spans: Sequence[Span], widths: Sequence[int]
) -> tuple[list[str], list[str]]:
    texts, rules = [], []
    for start, span in placed(spans):
        room = sum(widths[start : start + span.width]) + len(GAP) * (span.width - 1)
        align = table.alignments[start] if span.width == 1 else "c"
        texts.append(justified(one_line(span.text), align, room))
        rules.append(("-" if span.text else " ") * room)
    return texts, rules


def _wrapped(text: str, width: int) -> list[str]:
    """The paragraphs of a text broken at spaces."""
    room = max(width, NARROWEST)
    out = []
    for paragraph in printable(text).splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if line and display_width(longer) > room:
                out.append(line)
                longer = word
            line = longer
        out.append(line)
    return out


__all__ = ["to_text"]
