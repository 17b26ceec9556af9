"""Word: an editable table with the rules of a printed one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..table import Span, Table
from .halving import column, padded, widest, width
from .headers import placed, underlined
from .symbols import one_line

if TYPE_CHECKING:
    from docx.document import Document

THICK, THIN = "8", "4"
"""Widths of the rules in eighths of a point."""

SIZE = 10
"""Of text in cells, in points."""

HALF_DIGIT, MARGINS = 3.2, 12.0
"""Points that half a digit of text takes, and both margins of a cell."""


def to_docx(table: Table, document: Document | None = None) -> Document:
    """The table in Word.

    Parameters
    ----------
    table : Table
    document : docx.document.Document, optional
        Where the table goes, at the end; a new document if None.

    Returns
    -------
    docx.document.Document
        With a caption, the table and its notes added. Headers repeat on each page,
        and spaces as wide as digits align decimal points.

    Raises
    ------
    ImportError
        If the package ``python-docx`` is not there.
    """
    try:
        import docx
    except ImportError:
        raise ImportError(
            "tables in Word need the package python-docx; install it by "
            "pip install 'sm_lmer[docx]'."
        ) from None
    if document is None:
        document = docx.Document()
        _plain_caption(document)
    if table.title:
        style = "Caption" if "Caption" in document.styles else None
        caption = document.add_paragraph(one_line(table.title), style=style)
        caption.paragraph_format.keep_with_next = True
    _fill(table, document)
    for note in table.notes:
        _note(document, one_line(note))
    return document


def _plain_caption(document: Document) -> None:
    """Captions in black, as journals print them."""
    from docx.shared import Pt, RGBColor

    font: Any = document.styles["Caption"].font  # type: ignore[attr-defined]
    font.color.rgb = RGBColor(0, 0, 0)
    font.bold = False
    font.size = Pt(11)


def _note(document: Document, text: str) -> None:
    from docx.shared import Pt

    paragraph = document.add_paragraph()
    paragraph.paragraph_format.space_after = Pt(0)
    paragraph.add_run(text).font.size = Pt(9)


def _fill(table: Table, document: Document) -> None:
    from docx.enum.table import WD_TABLE_ALIGNMENT

    head = _header(table)
    body = list(_body(table))
    across = len(table.stub) + table.width
    grid = document.add_table(len(head) + len(body), across)
    grid.alignment = WD_TABLE_ALIGNMENT.CENTER
    letters = "l" * len(table.stub) + table.alignments
    rows = [list(row.cells) for row in grid.rows]
    for cells, spans in zip(rows, head, strict=False):
        _header_row(cells, spans, letters, len(table.stub))
    for row in grid.rows[: len(head)]:
        _property(row._tr.get_or_add_trPr(), "w:tblHeader")
    for row in grid.rows:
        _property(row._tr.get_or_add_trPr(), "w:cantSplit")
    for cells, (texts, ruled, title) in zip(rows[len(head) :], body, strict=True):
        if title:
            _write(cells[0].merge(cells[-1]), texts[0], "l", italic=True)
        else:
            for cell, text, letter in zip(cells, texts, letters, strict=True):
                _write(cell, text, letter)
        if ruled:
            _rule(cells, "top", THIN)
    _widen(table, grid, document)
    _rule(rows[0], "top", THICK)
    _rule(rows[-1], "bottom", THICK)
    if head and body:
        _rule(rows[len(head)], "top", THIN)


def _widen(table: Table, grid: Any, document: Document) -> None:
    """Columns as wide as their texts, or in that proportion if that is too wide."""
    from docx.shared import Pt

    rows = [row for section in table.sections for row in section.rows]
    texts = [
        [name, *(row.stub[k] for row in rows)] for k, name in enumerate(table.stub)
    ]
    texts += [padded(column(table, k), a) for k, a in enumerate(table.alignments)]
    for spans in table.headers:
        for start, span in placed(spans):
            if span.width == 1:
                texts[len(table.stub) + start].append(span.text)
    wanted = [HALF_DIGIT * width(widest(own)) + MARGINS for own in texts]
    page = document.sections[-1]
    paper, left, right = page.page_width, page.left_margin, page.right_margin
    room = (paper - left - right) / Pt(1) if paper and left and right else sum(wanted)
    scale = min(1.0, room / sum(wanted))
    lengths = [Pt(own * scale) for own in wanted]
    for target, length in zip(grid.columns, lengths, strict=True):
        target.width = length


# -- rows as texts ---------------------------------------------------------------

Line = tuple[list[str], bool, bool]
"""Texts of a row, whether a rule goes over it, whether it is a section's title."""


def _header(table: Table) -> list[tuple[tuple[str, ...], tuple[Span, ...], bool]]:
    """Stub texts and headers of each row, and whether headers are underlined."""
    rows = table.headers or (((Span("", table.width),),) if any(table.stub) else ())
    last = len(rows) - 1
    return [
        (
            table.stub if k == last else ("",) * len(table.stub),
            spans,
            k < last and underlined(spans),
        )
        for k, spans in enumerate(rows)
    ]


def _body(table: Table) -> Iterator[Line]:
    columns = [padded(column(table, k), a) for k, a in enumerate(table.alignments)]
    values = zip(*columns, strict=True)
    for k, section in enumerate(table.sections):
        if section.title:
            yield [one_line(section.title)], k > 0, True
        for at, row in enumerate(section.rows):
            texts = [*map(one_line, row.stub), *next(values)]
            yield texts, k > 0 and at == 0 and not section.title, False


# -- Word's elements -------------------------------------------------------------


def _header_row(
    cells: list[Any],
    row: tuple[tuple[str, ...], tuple[Span, ...], bool],
    letters: str,
    offset: int,
) -> None:
    stub, spans, ruled = row
    for cell, text in zip(cells, stub, strict=False):
        _write(cell, one_line(text), "l")
    for start, span in placed(spans):
        own = cells[offset + start : offset + start + span.width]
        letter = letters[offset + start] if span.width == 1 else "c"
        _write(own[0].merge(own[-1]), one_line(span.text), letter)
        if ruled and span.text:
            _rule(own, "bottom", THIN)


def _write(cell: Any, text: str, letter: str, italic: bool = False) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    places = {"l": WD_ALIGN_PARAGRAPH.LEFT, "r": WD_ALIGN_PARAGRAPH.RIGHT}
    paragraph = cell.paragraphs[0]
    paragraph.alignment = places.get(letter, WD_ALIGN_PARAGRAPH.CENTER)
    paragraph.paragraph_format.space_before = Pt(1)
    paragraph.paragraph_format.space_after = Pt(1)
    paragraph.paragraph_format.line_spacing = 1.0
    if text:
        run = paragraph.add_run(text)
        run.font.size = Pt(SIZE)
        run.italic = italic or None


def _rule(cells: Sequence[Any], side: str, size: str) -> None:
    """A line at one side of cells."""
    from docx.oxml.ns import qn

    for cell in cells:
        properties = cell._tc.get_or_add_tcPr()
        borders = properties.find(qn("w:tcBorders"))
        if borders is None:
            borders = _property(properties, "w:tcBorders")
        line = borders.find(qn(f"w:{side}"))
        if line is None:
            line = _property(borders, f"w:{side}")
        line.set(qn("w:val"), "single")
        line.set(qn("w:sz"), size)
        line.set(qn("w:space"), "0")
        line.set(qn("w:color"), "auto")


def _property(parent: Any, name: str) -> Any:
    from docx.oxml import OxmlElement

    element = OxmlElement(name)
    parent.append(element)
    return element


__all__ = ["to_docx"]
