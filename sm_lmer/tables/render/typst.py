"""Typst: a figure with a table, in code mode, where texts are strings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from ..table import Cell, Section, Span, Table
from .alignment import CENTRED
from .halving import column, cut, shapes, shown
from .headers import placed, underlined
from .symbols import one_line

THICK, THIN = "0.08em", "0.05em"
"""Widths of the rules, as those of LaTeX's booktabs."""

ALIGNMENTS = {"d": "center", "l": "left", "c": "center", "r": "right"}

Room = dict[tuple[int, int], int]
"""Which of the measured widths a block of a column has."""


def to_typst(table: Table) -> str:
    r"""The table in Typst.

    Parameters
    ----------
    table : Table

    Returns
    -------
    str
        Every text is a string literal, so that nothing in it is markup or code.
        Decimal points are aligned by boxes that are as wide as the widest halves.
        Figures do not break over pages unless the document says
        ``#show figure: set block(breakable: true)``.

    Examples
    --------
    >>> from sm_lmer.tables.table import Cell, Row, Section, Span, Table
    >>> rows = (Row(("x_1",), (Cell("-0.5"),)), Row(("",), (Cell("0.2", "(", ")"),)))
    >>> source = to_typst(Table(((Span("OLS"),),), (Section(rows),)))
    >>> print(*[line for line in source.splitlines() if "x_1" in line])
          "x_1", d(0, "−0", ".5"),
    """
    caption = (
        f"  caption: figure.caption(position: top, {string(table.title)}),\n"
        if table.title
        else "  numbering: none,\n" * (not table.label)
    )
    label = f" #label({string(table.label)})" if table.label else ""
    body = "\n".join(f"  {line}" for line in drawn(table))
    return f"#figure(\n{body},\n  kind: table,\n{caption}){label}\n"


def drawn(table: Table, title: str = "") -> Iterator[str]:
    """Lines of code for the table, its notes, and a title over it if there is one.

    Parameters
    ----------
    table : Table
    title : str
        For a table that is not in a figure with a caption.
    """
    room, widths = _widths(table)
    yield "layout(size => {"
    if widths:
        yield "  let widest(..all) = calc.max(..all.pos().map(t => measure(t).width))"
        yield "  let room = ("
        for left, right in widths:
            yield f"    (widest({_strings(left)}), widest({_strings(right)})),"
        yield "  )"
        yield "  let d(k, left-half, right-half) = {"
        yield "    let (before, behind) = room.at(k)"
        yield "    box(width: before + behind, {"
        yield "      box(width: before, align(right, left-half))"
        yield "      box(width: behind, align(left, right-half))"
        yield "    })"
        yield "  }"
    yield "  let body = table("
    yield from (f"    {line}" for line in _table(table, room))
    yield "  )"
    if title or table.notes:
        yield "  let natural = calc.max(measure(body).width, 18em.to-absolute())"
        yield "  let width = calc.min(size.width, natural)"
    if title:
        yield f"  block(width: width, align(center, {string(title)}))"
    yield "  body"
    if table.notes:
        notes = "; linebreak(); ".join(string(note) for note in table.notes)
        yield "  block(above: 0.6em, width: width, align(left, text(size: 0.85em, {"
        yield f"    {notes}"
        yield "  })))"
    yield "})"


def string(text: str) -> str:
    r"""A string literal of Typst, on one line.

    Examples
    --------
    >>> print(string('a "b" \\ #eval(c)'))
    "a \"b\" \\ #eval(c)"
    """
    return _quoted(one_line(text))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _strings(texts: list[str]) -> str:
    return ", ".join(map(_quoted, texts))


def _widths(table: Table) -> tuple[Room, list[tuple[list[str], list[str]]]]:
    """The distinct shapes of halves, and which of them each block of a column has."""
    room: Room = {}
    widths: list[tuple[list[str], list[str]]] = []
    for position, letter in enumerate(table.alignments):
        if letter != "d":
            continue
        for block, own in shapes(column(table, position)).items():
            if own not in widths:
                widths.append(own)
            room[position, block] = widths.index(own)
    return room, widths


def _table(table: Table, room: Room) -> Iterator[str]:
    across = len(table.stub) + table.width
    aligned = ["left"] * len(table.stub) + [ALIGNMENTS[a] for a in table.alignments]
    yield f"columns: {across},"
    yield f"align: ({', '.join(aligned)},),"
    yield "stroke: none,"
    yield "column-gutter: 0.6em,"
    yield "inset: (x: 0.2em, y: 0.3em),"
    yield from _header(table)
    for k, section in enumerate(table.sections):
        if k:
            yield f"table.hline(stroke: {THIN}),"
        yield from _section(section, table, room, across)
    yield f"table.hline(stroke: {THICK}),"


def _header(table: Table) -> Iterator[str]:
    rows = table.headers or (((Span("", table.width),),) if any(table.stub) else ())
    if not rows:
        yield f"table.hline(stroke: {THICK}),"
        return
    yield "table.header("
    yield f"  table.hline(stroke: {THICK}),"
    for spans, below in zip_longest(rows, rows[1:]):
        stub = [string(text if below is None else "") for text in table.stub]
        yield f"  {', '.join([*stub, *map(_span, spans)])},"
        if below is not None and underlined(spans):
            yield from (f"  {rule}" for rule in _span_rules(spans, len(table.stub)))
    yield f"  table.hline(stroke: {THIN}),"
    yield "),"


def _span(span: Span) -> str:
    text = string(span.text)
    if span.width == 1:
        return text
    return f"table.cell(colspan: {span.width}, align: center, {text})"


def _span_rules(spans: tuple[Span, ...], offset: int) -> Iterator[str]:
    """Rules below headers; the gutter between columns keeps neighbours apart."""
    for start, span in placed(spans):
        if span.text:
            first = offset + start
            reach = f"start: {first}, end: {first + span.width}"
            yield f"table.hline({reach}, stroke: {THIN}),"


def _section(section: Section, table: Table, room: Room, across: int) -> Iterator[str]:
    if section.title:
        title = f"emph({string(section.title)})"
        yield f"table.cell(colspan: {across}, align: left, {title}),"
    for row in section.rows:
        stub = [string(text) for text in row.stub]
        cells = [
            _cell(cell, position, letter, room)
            for position, (cell, letter) in enumerate(
                zip(row.cells, table.alignments, strict=True)
            )
        ]
        yield f"{', '.join([*stub, *cells])},"


def _cell(cell: Cell, position: int, letter: str, room: Room) -> str:
    if letter != "d" or not cell:
        return _quoted(shown(cell))
    block, left, right = cut(cell)
    if block == CENTRED:
        return _quoted(left)
    return f"d({room[position, block]}, {_quoted(left)}, {_quoted(right)})"


__all__ = ["drawn", "string", "to_typst"]
