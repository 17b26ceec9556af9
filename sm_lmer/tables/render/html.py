"""Tables in HTML: accessible, in the colours of the page, without other files."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from ..table import Row, Span, Table
from .alignment import CENTRED, Halves, display_width, halves, reach
from .headers import placed, underlined
from .symbols import identifier, minus, one_line, printable

THEMES = ("booktabs", "striped", "plain")
"""What ``theme=`` takes: rules, rules and shaded rows, or neither."""

FIGURE_SPACE = "\N{FIGURE SPACE}"
"""As wide as a digit; it aligns numbers where styles are taken away."""

QUARTO = 'data-quarto-disable-processing="true"'
"""Keeps Quarto from making a table of its own style of it."""

_WIDE = "\u2212+<>=\u2264\u2265\u00b1\u00d7%"

_STYLE = """\
table.sm-table{border:0;border-collapse:collapse;margin:1em auto;width:auto;\
table-layout:auto;color:inherit;background:none;font-size:inherit;line-height:1.35;\
font-variant-numeric:lining-nums tabular-nums}
table.sm-table caption{caption-side:top;padding:.4em 0;color:inherit;text-align:center}
table.sm-table tr:nth-child(n){background:none;border:0}
table.sm-table th,table.sm-table td{padding:.1em .7em;border:0;color:inherit;\
background:none;font-weight:normal;text-align:center;vertical-align:top;\
white-space:nowrap}
table.sm-table thead th{vertical-align:bottom;padding:.25em .7em}
table.sm-table tbody th,table.sm-table tfoot td{text-align:left}
table.sm-table thead .sm-left,table.sm-table tbody .sm-left{text-align:left}
table.sm-table thead .sm-right,table.sm-table tbody .sm-right{text-align:right}
table.sm-table th[scope=rowgroup]{font-style:italic}
table.sm-table tfoot td{white-space:normal;font-size:.875em}
table.sm-table tbody span{display:inline-block;text-align:left}
table.sm-table tbody .sm-before{text-align:right}
table.sm-table .sm-over{display:block;padding-bottom:.15em;\
border-bottom:1px solid currentColor}
table.sm-table thead,table.sm-table tbody{border:0}
table.sm-rules.sm-table thead{border-top:2px solid currentColor}
table.sm-rules.sm-table tbody{border-top:1px solid currentColor}
table.sm-rules.sm-table tbody:last-of-type{border-bottom:2px solid currentColor}
table.sm-table tbody tr:first-child>*,table.sm-table tfoot tr:first-child>*\
{padding-top:.35em}
table.sm-table tbody tr:last-child>*{padding-bottom:.35em}
table.sm-table tr.sm-shaded:nth-child(n){background:rgba(127,127,127,.14)}
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>{title}</title>
<style>
:root{{color-scheme:light dark}}
body{{margin:1.5em;font-family:system-ui,sans-serif}}
</style>
</head>
<body>
{table}</body>
</html>
"""


def to_html(
    table: Table, *, theme: str = "booktabs", unicode_minus: bool = True
) -> str:
    """The table as a fragment of HTML with its own style.

    Lines and text have the colour of the page around them, so that it does in dark and
    in light. A label covers the rows that continue it, and is their header for screen
    readers; each section is a ``tbody``. The fragment is well-formed XML too.

    Parameters
    ----------
    table : Table
    theme : {"booktabs", "striped", "plain"}
        Rules, rules and every second parameter shaded, or neither.
    unicode_minus : bool
        Whether minus signs are U+2212 instead of ASCII hyphens.

    Raises
    ------
    ValueError
        If there is no such theme.

    Examples
    --------
    >>> from sm_lmer.tables.table import Cell, Section
    >>> rows = (Row(("Days",), (Cell("10.467"),)),)
    >>> text = to_html(Table(((Span("REML"),),), (Section(rows),)))
    >>> '<th scope="row">Days</th>' in text, '<th scope="col">REML</th>' in text
    (True, True)
    """
    if theme not in THEMES:
        raise ValueError(
            f"unknown theme {theme!r} of HTML; choose one of {', '.join(THEMES)}."
        )
    columns, widths = _value_columns(table, unicode_minus)
    own = f' id="{_attribute(identifier(table.label))}"' if table.label else ""
    rules = "" if theme == "plain" else " sm-rules"
    return "\n".join(
        [
            '<div class="sm-table-box" style="overflow-x:auto">',
            f"<style>\n{_STYLE}{_width_rules(widths)}</style>",
            f'<table{own} class="sm-table{rules}" {QUARTO}>',
            *_caption(table),
            _colgroups(table),
            *_head(table),
            *_bodies(table, columns, shade=theme == "striped"),
            *_foot(table),
            "</table>",
            "</div>\n",
        ]
    )


def to_html_document(
    table: Table,
    *,
    theme: str = "booktabs",
    unicode_minus: bool = True,
    language: str = "en",
) -> str:
    """A page with the table alone, light or dark as the reader has it.

    Parameters
    ----------
    table : Table
    theme, unicode_minus
        As in :func:`to_html`.
    language : str
        Language of the text, as in "en" or "de-CH".

    Examples
    --------
    >>> from sm_lmer.tables.table import Cell, Section
    >>> rows = (Row(("Days",), (Cell("10.467"),)),)
    >>> page = to_html_document(Table(((Span("REML"),),), (Section(rows),)))
    >>> page.splitlines()[0]
    '<!DOCTYPE html>'
    """
    return _PAGE.format(
        language=_attribute(language),
        title=_attribute(table.title) or "Table",
        table=to_html(table, theme=theme, unicode_minus=unicode_minus),
    )


def _escaped(text: str) -> str:
    return html.escape(printable(text)).replace("\n", "<br/>")


def _attribute(text: str) -> str:
    return html.escape(one_line(text))


# -- around the body -------------------------------------------------------------------


def _caption(table: Table) -> list[str]:
    return [f"<caption>{_escaped(table.title)}</caption>"] if table.title else []


def _colgroups(table: Table) -> str:
    """One group for the labels, one for each header over several columns."""
    groups = [len(table.stub), *(span.width for span in _grouping(table))]
    return "".join(
        f'<colgroup span="{width}"></colgroup>'
        if width > 1
        else "<colgroup></colgroup>"
        for width in groups
    )


def _grouping(table: Table) -> tuple[Span, ...]:
    """The row of headers whose spans are the groups of columns."""
    for spans in table.headers:
        if underlined(spans):
            return spans
    return (Span("", table.width),)


def _head(table: Table) -> list[str]:
    if not table.headers:
        return []
    depth = len(table.headers)
    deep = f' rowspan="{depth}"' if depth > 1 else ""
    rows = []
    for level, spans in enumerate(table.headers):
        cells = []
        if level == 0:
            cells = [_header(text, deep, "col", "l") for text in table.stub]
        ruled = level < depth - 1 and underlined(spans)
        for start, span in placed(spans):
            wide = f' colspan="{span.width}"' if span.width > 1 else ""
            group = span.width > 1 and spans == _grouping(table)
            align = table.alignments[start] if span.width == 1 else "c"
            scope = "colgroup" if group else "col"
            cells.append(_header(span.text, wide, scope, align, ruled))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return ["<thead>", *rows, "</thead>"]


def _header(
    text: str, attributes: str, scope: str, align: str, ruled: bool = False
) -> str:
    if not text:
        return f"<td{attributes}></td>"
    content = _escaped(text)
    if ruled:
        content = f'<span class="sm-over">{content}</span>'
    return f'<th scope="{scope}"{attributes}{_class(align)}>{content}</th>'


def _class(align: str) -> str:
    name = {"l": "sm-left", "r": "sm-right"}.get(align)
    return f' class="{name}"' if name else ""


def _foot(table: Table) -> list[str]:
    width = len(table.stub) + table.width
    rows = [
        f'<tr><td colspan="{width}">{_escaped(note)}</td></tr>' for note in table.notes
    ]
    return ["<tfoot>", *rows, "</tfoot>"] if rows else []


# -- the body --------------------------------------------------------------------------


def _bodies(table: Table, columns: Sequence[Sequence[str]], shade: bool) -> list[str]:
    width = len(table.stub) + table.width
    values = iter(zip(*columns, strict=True))
    lines = []
    for section in table.sections:
        lines.append("<tbody>")
        if section.title:
            lines.append(
                f'<tr><th scope="rowgroup" colspan="{width}">'
                f"{_escaped(section.title)}</th></tr>"
            )
        shaded = False
        for row, labels in zip(section.rows, _labels(section.rows), strict=True):
            shaded = shaded != bool(row.stub and row.stub[0]) if shade else False
            opened = '<tr class="sm-shaded">' if shaded else "<tr>"
            lines.append(f"{opened}{labels}{''.join(next(values))}</tr>")
        lines.append("</tbody>")
    return lines


def _labels(rows: Sequence[Row]) -> list[str]:
    """The labels of each row; one covers the rows below whose labels are empty."""
    out = [""] * len(rows)
    for j in range(len(rows[0].stub) if rows else 0):
        length = 1
        for k in reversed(range(len(rows))):
            if k > 0 and not any(rows[k].stub[: j + 1]):
                length += 1
                continue
            out[k] += _label(rows[k].stub[j], length)
            length = 1
    return out


def _label(text: str, length: int) -> str:
    spanned = f' rowspan="{length}"' if length > 1 else ""
    if not text:
        return f"<td{spanned}></td>"
    return f'<th scope="row"{spanned}>{_escaped(text)}</th>'


def _value_columns(
    table: Table, unicode_minus: bool
) -> tuple[list[list[str]], set[int]]:
    """The cells of each column as HTML, and the widths that they name."""
    rows = [row.cells for section in table.sections for row in section.rows]
    columns, widths = [], set()
    for k, align in enumerate(table.alignments):
        cells = [minus(row[k]) if unicode_minus else row[k] for row in rows]
        column = [halves(cell, align) for cell in cells]
        extents = reach(column, _half_digits)
        columns.append([_value(part, align, extents) for part in column])
        if align == "d":
            widths |= {w for extent in extents.values() for w in extent}
        if align == "r":
            widths |= {behind for _, behind in extents.values()}
    return columns, widths - {0}


def _value(part: Halves, align: str, extents: Mapping[int, tuple[int, int]]) -> str:
    block, left, right = part
    opened = f"<td{_class(align)}>"
    if block == CENTRED or align == "l":
        return f"{opened}{_escaped(left + right)}</td>"
    before, behind = extents[block]
    text = _escaped(left)
    if align == "d" and before:
        padding = FIGURE_SPACE * ((before - _half_digits(left)) // 2)
        text = f'<span class="sm-before sm-w{before}">{padding}{text}</span>'
    if behind:
        text += f'<span class="sm-w{behind}">{_escaped(right)}</span>'
    return f"{opened}{text}</td>"


def _half_digits(text: str) -> int:
    """Halves of a digit's width that are enough for a text in most fonts."""
    return 2 * display_width(text) + sum(map(text.count, _WIDE))


def _width_rules(widths: Iterable[int]) -> str:
    """Classes named by their width, the same in all tables of a page."""
    return "".join(
        f"table.sm-table .sm-w{width}{{min-width:{width / 2:g}ch}}\n"
        for width in sorted(widths)
    )


__all__ = ["FIGURE_SPACE", "THEMES", "to_html", "to_html_document"]
