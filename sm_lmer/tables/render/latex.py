r"""LaTeX: booktabs, siunitx's S columns, longtable.

A document that holds the table loads ``booktabs``, ``siunitx`` (version 3) for decimal
alignment by S columns, and ``longtable`` if that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, zip_longest

from ..table import Cell, Span, Table
from .alignment import CENTRED
from .halving import column, cut, shapes, shown, widest, width
from .headers import placed, underlined
from .latex_text import at_line_start, latex_text
from .symbols import MINUS

SETUP = "table-align-text-before=false,table-align-text-after=false,group-digits=none"
"""What S columns are told: texts stand next to their numbers, digits ungrouped."""

_WHOLE = re.compile(r"(?:[1-9]\d*|\d)$")
_BARE = re.compile(r"[-+]?\.\d")
_FRACTION = re.compile(r"\.\d+")


def to_latex(
    table: Table,
    tabular_only: bool = False,
    siunitx: bool = True,
    longtable: bool = False,
) -> str:
    r"""The table in LaTeX.

    Parameters
    ----------
    table : Table
    tabular_only : bool
        The ``tabular`` environment alone; caption, label and notes are then left to
        the document that inputs it.
    siunitx : bool
        Columns of alignment "d" as siunitx's S columns. Without it they are centred
        columns in which ``\phantom`` brings the points below each other.
    longtable : bool
        A ``longtable``, which breaks over pages.

    Returns
    -------
    str
        Every text is escaped. In the label, characters that LaTeX cannot refer to are
        hyphens.

    Raises
    ------
    ValueError
        If a longtable is to be a tabular only.

    Examples
    --------
    >>> from sm_lmer.tables.table import Cell, Row, Section, Span, Table
    >>> rows = (Row(("x_1",), (Cell("-0.5"),)), Row(("",), (Cell("0.2", "(", ")"),)))
    >>> table = Table(((Span("OLS"),),), (Section(rows),))
    >>> print(to_latex(table, tabular_only=True, siunitx=False))
    \begin{tabular}{lc}
    \toprule
     & {OLS} \\
    \midrule
    x\_1 & \phantom{$-$0}\llap{$-$0}\rlap{.5}\phantom{.0)} \\
     & \phantom{$-$0}\llap{(0}\rlap{.2)}\phantom{.0)} \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    """
    if longtable and tabular_only:
        raise ValueError(
            "a longtable has its caption inside; use either longtable or tabular_only."
        )
    columns, cells = _columns(table, siunitx)
    head = "".join(f"{line}\n" for line in _header(table))
    joined = "\\\\*" if longtable else "\\\\"
    body = "".join(f"{line}\n" for line in _body(table, cells, joined))
    setup = f"\\sisetup{{{SETUP}}}\n" if "S[" in columns else ""
    if longtable:
        return _grouped(setup, _longtable(table, columns, head, body))
    tabular = (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head}{body}"
        "\\bottomrule\n\\end{tabular}"
    )
    if tabular_only:
        return _grouped(setup, f"{tabular}\n")
    return _float(table, setup, tabular)


def latex_label(label: str) -> str:
    """A label with hyphens for what LaTeX cannot refer to.

    Examples
    --------
    >>> latex_label("tab:a_b {x}")
    'tab:a_b-x'
    """
    return re.sub(r"[^\w:./+-]+", "-", label, flags=re.ASCII).strip("-")


# -- environments ----------------------------------------------------------------


def _caption(table: Table) -> str:
    caption = f"\\caption{{{latex_text(table.title)}}}" if table.title else ""
    label = f"\\label{{{latex_label(table.label)}}}" if table.label else ""
    return "\n".join(filter(None, (caption, label)))


def _notes(table: Table, room: str) -> str:
    """Notes as lines of a box as wide as `room`; empty if there are none."""
    if not table.notes:
        return ""
    lines = "\\par\n".join(latex_text(note) for note in table.notes)
    return (
        f"\\begin{{minipage}}{{{room}}}\n\\footnotesize\\setlength{{\\parindent}}{{0pt}}"
        f"\\raggedright\n{lines}\\par\n\\end{{minipage}}"
    )


def _grouped(setup: str, text: str) -> str:
    """With settings that end behind the table."""
    return f"{{{setup}{text}}}\n" if setup else text


def _float(table: Table, setup: str, tabular: str) -> str:
    parts = ["\\begin{table}[htbp]", "\\centering", setup.rstrip(), _caption(table)]
    parts += ["\\setlength{\\abovetopsep}{1ex}"] if table.title else []
    if table.notes:
        parts += [f"\\sbox0{{%\n{tabular}}}%", "\\usebox0\\par\\smallskip"]
        parts += [_notes(table, "\\wd0")]
    else:
        parts += [tabular]
    return "\n".join([*filter(None, parts), "\\end{table}", ""])


def _longtable(table: Table, columns: str, head: str, body: str) -> str:
    caption = _caption(table)
    first = f"{caption}\\\\\n" if caption else ""
    notes = _notes(table, "\\linewidth")
    below = f"\\par\\nopagebreak\\noindent\n{notes}\\par\n" if notes else ""
    return (
        f"\\begin{{longtable}}{{{columns}}}\n{first}"
        f"\\toprule\n{head}\\endfirsthead\n\\toprule\n{head}\\endhead\n"
        f"\\bottomrule\n\\endfoot\n{body}\\end{{longtable}}\n{below}"
    )


# -- lines -----------------------------------------------------------------------


def _header(table: Table) -> Iterator[str]:
    """The rows of headers with their rules, and the rule below them."""
    rows = table.headers or (((Span("", table.width),),) if any(table.stub) else ())
    for spans, below in zip_longest(rows, rows[1:]):
        stub = table.stub if below is None else ("",) * len(table.stub)
        yield _line(stub, map(_span, spans), "\\\\")
        if below is not None and underlined(spans):
            yield " ".join(_span_rules(spans, len(table.stub)))
    if rows:
        yield "\\midrule"


def _line(stub: Sequence[str], cells: Iterable[str], end: str) -> str:
    first, *others = map(latex_text, stub)
    return " & ".join([at_line_start(first), *others, *cells]) + f" {end}"


def _span(span: Span) -> str:
    text = latex_text(span.text)
    if span.width == 1:
        return f"{{{text}}}" if text else ""
    return f"\\multicolumn{{{span.width}}}{{c}}{{{text}}}"


def _span_rules(spans: tuple[Span, ...], offset: int) -> Iterator[str]:
    for start, span in placed(spans):
        if span.text:
            first = offset + start + 1
            yield f"\\cmidrule(lr){{{first}-{first + span.width - 1}}}"


def _body(table: Table, columns: list[list[str]], joined: str) -> Iterator[str]:
    """Sections with rules between them; `joined` ends a row that its next continues."""
    across = len(table.stub) + table.width
    values = zip(*columns, strict=True)
    for k, section in enumerate(table.sections):
        if k:
            yield "\\midrule"
        if section.title:
            title = latex_text(section.title)
            yield f"\\multicolumn{{{across}}}{{l}}{{\\textit{{{title}}}}} {joined}"
        for row, after in zip_longest(section.rows, section.rows[1:]):
            end = joined if after and after.kind == "statistic" else "\\\\"
            yield _line(row.stub, next(values), end)


# -- columns ---------------------------------------------------------------------


def _columns(table: Table, siunitx: bool) -> tuple[str, list[list[str]]]:
    """The specification of the columns, and the cells of each value column."""
    letters = ["l"] * len(table.stub)
    columns: list[list[str]] = []
    for position, letter in enumerate(table.alignments):
        cells = column(table, position)
        if letter != "d":
            own = letter, [_plain(cell) for cell in cells]
        elif siunitx and any(cell.number for cell in cells):
            own = _siunitx_column(cells)
        else:
            own = "c", _padded(cells)
        letters.append(own[0])
        columns.append(own[1])
    runs = [(letter, len(list(same))) for letter, same in groupby(letters)]
    text = "".join(
        letter * count
        if len(letter) == 1 or count == 1
        else f"*{{{count}}}{{{letter}}}"
        for letter, count in runs
    )
    return text, columns


def _plain(cell: Cell) -> str:
    return latex_text(shown(cell))


def _padded(cells: Sequence[Cell]) -> list[str]:
    """Cells that all are as wide as the widest halves: centred, their points meet."""
    room = {
        block: (latex_text(widest(left)), latex_text(widest(right)))
        for block, (left, right) in shapes(cells).items()
    }
    out = []
    for block, left, right in map(cut, cells):
        text = latex_text(left)
        if block != CENTRED:
            before, behind = room[block]
            text = (
                f"\\phantom{{{before}}}\\llap{{{text}}}"
                f"\\rlap{{{latex_text(right)}}}\\phantom{{{behind}}}"
            )
        out.append(text)
    return out


def _siunitx_column(cells: Sequence[Cell]) -> tuple[str, list[str]]:
    """The specification of an S column and its cells."""
    bare = any(_BARE.match(cell.number) for cell in cells)
    parsed = [_parsed(cell, bare) if cell.number else None for cell in cells]
    options = _format([parts for parts in parsed if parts])
    options += ",print-zero-integer=false" if bare else ""
    texts = [
        _in_siunitx(*(parts or (shown(cell), "", "")))
        for cell, parts in zip(cells, parsed, strict=True)
    ]
    return f"S[{options}]", texts


def _parsed(cell: Cell, bare: bool) -> tuple[str, str, str]:
    """Text before, a number that siunitx keeps as it is, text behind.

    It would drop a plus, leading zeros and separators of thousands, so these go into
    the texts. In a column with a bare point (``.042``) it sets no zeros before points,
    so they go there too.
    """
    _, left, right = cut(cell)
    found, fraction = _WHOLE.search(left), _FRACTION.match(right)
    if found is None and fraction is None:
        return left, "", right
    if found is None or (bare and fraction and found.group() == "0"):
        whole, before = "", left
    else:
        whole, before = found.group(), left[: found.start()]
    if before.endswith(MINUS) and cell.number.startswith("-"):
        before, whole = before[:-1], f"-{whole}"
    digits = fraction.group() if fraction else ""
    return before, whole + digits, right[len(digits) :]


def _in_siunitx(before: str, number: str, behind: str) -> str:
    """A cell of an S column; one without a number is text in braces."""
    if not number:
        before, behind = before + behind, ""
    texts = (f"{{{latex_text(text)}}}" if text else "" for text in (before, behind))
    return number.join(texts)


def _format(parsed: Sequence[tuple[str, str, str]]) -> str:
    """The format of an S column with room for its widest cells."""
    split = [(text, *number.partition("."), end) for text, number, end in parsed]
    signed = any(whole.startswith("-") for _, whole, *_ in split)
    digits = max(len(whole.lstrip("-")) for _, whole, *_ in split)
    decimals = max(len(fraction) for *_, fraction, _ in split)
    room = width("-" * signed + "0" * digits), width("." + "0" * decimals)
    before = max(split, key=lambda own: width(own[0] + own[1]))
    behind = max(split, key=lambda own: width(f".{own[3]}{own[4]}"))
    prefix = before[0] if width(before[0] + before[1]) > room[0] else ""
    suffix = behind[4] if width(f".{behind[3]}{behind[4]}") > room[1] else ""
    texts = [f"{{{latex_text(text)}}}" if text else "" for text in (prefix, suffix)]
    point = f".{decimals}" if decimals else ""
    return f"table-format={texts[0]}{'-' * signed}{digits or 1}{point}{texts[1]}"


__all__ = ["latex_label", "to_latex"]
