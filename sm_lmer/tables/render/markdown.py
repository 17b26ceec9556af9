"""Tables in Markdown, as GitHub and Quarto (Pandoc) read it."""

from __future__ import annotations

import re

from ..table import EMPTY, Cell, Section, Table
from .alignment import aligned, display_width, justified, ljust
from .headers import flattened
from .symbols import identifier, minus, one_line, printable

_SPECIAL = re.compile(r"""[\\`*_{}\[\]<>#|$~^&@"']|-(?=-)|(?<=-)-|\.(?=\.)|(?<=\.)\.""")
_BEGINNING = re.compile(r"(\(?\w+(?=[.)](?:\s|$))|[Tt]able(?=:))?([-+:.)])")


def to_markdown(table: Table, *, unicode_minus: bool = True) -> str:
    """The table as a pipe table, with its title as Quarto's caption.

    A pipe table has one row of headers: those over several columns are repeated before
    the header of each. Titles of sections are rows in bold face.

    Parameters
    ----------
    table : Table
    unicode_minus : bool
        Whether minus signs are U+2212 instead of ASCII hyphens.

    Returns
    -------
    str
        Blocks with blank lines between: table, caption, notes; a newline at the end.

    Examples
    --------
    >>> from sm_lmer.tables.table import Row, Section, Span
    >>> rows = Row(("Days",), (Cell("10.467"),)), Row(("",), (Cell("1.546", "(", ")"),))
    >>> headers = ((Span("REML"),),)
    >>> print(to_markdown(Table(headers, (Section(rows),), title="Sleep", label="s")))
    |      |  REML   |
    |:-----|:-------:|
    | Days | 10.467  |
    |      | (1.546) |
    <BLANKLINE>
    : Sleep {#tbl-s}
    <BLANKLINE>
    """
    blocks = ["\n".join(_pipe_table(table, unicode_minus))]
    caption = escaped(one_line(table.title))
    if table.label:
        caption = f"{caption} {{#{identifier(table.label)}}}".strip()
    if caption:
        blocks.append(f": {caption}")
    blocks += [_paragraph(note) for note in table.notes if note.strip()]
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    r"""The text with backslashes before what Markdown reads as its own.

    Runs of hyphens and points, and quotes, are escaped because Pandoc makes dashes,
    an ellipsis and curly quotes of them.

    Examples
    --------
    >>> print(escaped("a_b [x]* -- 5% (-1.5)"))
    a\_b \[x\]\* \-\- 5% (-1.5)
    """
    return _SPECIAL.sub(r"\\\g<0>", text)


def _paragraph(text: str) -> str:
    """A text that does not begin as a list, a definition or a caption does."""
    text = escaped(one_line(text))
    found = _BEGINNING.match(text)
    if found is None:
        return text
    return f"{text[: found.end() - 1]}\\{text[found.end() - 1 :]}"


def _pipe_table(table: Table, unicode_minus: bool) -> list[str]:
    """Header, rule and rows, padded so that the source can be read as well."""
    columns = []
    for header, labels in zip(table.stub, _labels(table), strict=True):
        texts = [_flat(header), *labels]
        width = max(1, *map(display_width, texts))
        columns.append(_column([ljust(text, width) for text in texts], "l"))
    rows = [row for section in table.sections for row in _value_rows(section)]
    for k, header in enumerate(map(_flat, flattened(table))):
        align = table.alignments[k]
        cells = [row[k] if row else EMPTY for row in rows]
        if unicode_minus:
            cells = [minus(cell) for cell in cells]
        least = max(1, display_width(header))
        texts = aligned(cells, align, _piece, least)
        width = display_width(texts[0]) if texts else least
        columns.append(_column([justified(header, align, width), *texts], align))
    return [f"|{'|'.join(texts)}|" for texts in zip(*columns, strict=True)]


def _labels(table: Table) -> list[list[str]]:
    """The stub columns; titles of sections are in the first."""
    columns: list[list[str]] = [[] for _ in table.stub]
    for section in table.sections:
        if section.title:
            for k, column in enumerate(columns):
                column.append(f"**{_flat(section.title)}**" if k == 0 else "")
        for row in section.rows:
            for column, label in zip(columns, row.stub, strict=True):
                column.append(_flat(label))
    return columns


def _value_rows(section: Section) -> list[tuple[Cell, ...]]:
    """The cells of each row; nothing for the title of the section."""
    title: list[tuple[Cell, ...]] = [()] if section.title else []
    return title + [row.cells for row in section.rows]


def _column(texts: list[str], align: str) -> list[str]:
    """Texts of one width as the cells of a column, the rule below the first."""
    padded = [f" {text} " for text in texts]
    width = display_width(padded[0])
    left = "-" if align == "r" else ":"
    right = "-" if align == "l" else ":"
    padded.insert(1, f"{left}{'-' * (width - 2)}{right}")
    return padded


def _flat(text: str) -> str:
    return escaped(one_line(text))


def _piece(text: str) -> str:
    return escaped(printable(text).replace("\n", " "))


__all__ = ["escaped", "to_markdown"]
