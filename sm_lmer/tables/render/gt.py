"""A Great Tables object, for those who go on to style it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..table import Table
from .halving import column, padded
from .headers import placed
from .symbols import one_line

if TYPE_CHECKING:
    from great_tables import GT

PLACES = {"d": "center", "c": "center", "l": "left", "r": "right"}


def to_gt(table: Table) -> GT:
    """The table as an object of the package Great Tables.

    Parameters
    ----------
    table : Table

    Returns
    -------
    great_tables.GT
        With the columns ``stub1``, ``stub2``, ... and ``value1``, ``value2``, ...;
        titles of sections are rows in italics, headers above the last row spanners.

    Raises
    ------
    ImportError
        If the package ``great_tables`` is not there.
    """
    try:
        from great_tables import GT, loc, style
    except ImportError:
        raise ImportError(
            "to_gt needs the package great_tables; install it by "
            "pip install 'sm_lmer[gt]'."
        ) from None
    import pandas as pd

    stubs = [f"stub{k + 1}" for k in range(len(table.stub))]
    values = [f"value{k + 1}" for k in range(table.width)]
    lines = list(_lines(table))
    frame = pd.DataFrame(
        [texts for texts, _, _ in lines], columns=[*stubs, *values], dtype=object
    )
    names = dict(zip(stubs, map(one_line, table.stub), strict=True))
    for spans in table.headers[-1:]:
        names |= {values[start]: one_line(span.text) for start, span in placed(spans)}
    out = GT(frame, auto_align=False).cols_label(**names).cols_align("left", stubs)
    for name, letter in zip(values, table.alignments, strict=True):
        out = out.cols_align(PLACES[letter], name)
    out = _with_spanners(out, table, values)
    out = out.tab_options(table_body_hlines_style="none", data_row_padding="2px")
    ruled = [k for k, (_, ruled, _) in enumerate(lines) if ruled]
    if ruled:
        rule = style.borders(sides="top", color="#a8a8a8", weight="1px")
        out = out.tab_style(rule, loc.body(rows=ruled))
    titles = [k for k, (_, _, title) in enumerate(lines) if title]
    if titles:
        out = out.tab_style(style.text(style="italic"), loc.body(rows=titles))
    if table.title:
        out = out.tab_header(one_line(table.title))
    for note in table.notes:
        out = out.tab_source_note(one_line(note))
    return out


def _lines(table: Table) -> Iterator[tuple[list[str], bool, bool]]:
    """Texts of each row, whether a rule goes over it, whether it is a title."""
    columns = [padded(column(table, k), a) for k, a in enumerate(table.alignments)]
    values = zip(*columns, strict=True)
    for k, section in enumerate(table.sections):
        if section.title:
            empty = [""] * (len(table.stub) + table.width - 1)
            yield [one_line(section.title), *empty], k > 0, True
        for at, row in enumerate(section.rows):
            ruled = k > 0 and at == 0 and not section.title
            yield [*map(one_line, row.stub), *next(values)], ruled, False


def _with_spanners(out: GT, table: Table, values: list[str]) -> GT:
    """The headers above the last row, from the lowest up."""
    above = table.headers[:-1]
    for level, spans in enumerate(reversed(above)):
        for start, span in placed(spans):
            if span.text:
                own = values[start : start + span.width]
                name = f"spanner-{level}-{start}"
                out = out.tab_spanner(
                    one_line(span.text), own, id=name, level=level, gather=False
                )
    return out


__all__ = ["to_gt"]
