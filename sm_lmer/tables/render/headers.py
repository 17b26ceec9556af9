"""Rows of headers: where each stands, and all of them in one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..table import Span, Table


def placed(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Each header with the value column where it starts.

    Examples
    --------
    >>> [start for start, _ in placed([Span("a", 2), Span("b")])]
    [0, 2]
    """
    start = 0
    for span in spans:
        yield start, span
        start += span.width


def underlined(spans: Sequence[Span]) -> bool:
    """Whether rules belong below the headers of a row: one covers several columns."""
    return any(span.width > 1 and span.text for span in spans)


def flattened(table: Table, separator: str = " / ") -> list[str]:
    """One header a value column: what stands above it, from the top.

    Examples
    --------
    >>> from sm_lmer.tables.table import Cell, Row, Section
    >>> row = Row(("x",), (Cell("1"), Cell("2")))
    >>> headers = (Span("y", 2),), (Span("OLS"), Span("REML"))
    >>> flattened(Table(headers, (Section((row,)),)))
    ['y / OLS', 'y / REML']
    """
    columns: list[list[str]] = [[] for _ in range(table.width)]
    for spans in table.headers:
        for start, span in placed(spans):
            for column in columns[start : start + span.width]:
                if span.text:
                    column.append(span.text)
    return [separator.join(column) for column in columns]


__all__ = ["flattened", "placed", "underlined"]
