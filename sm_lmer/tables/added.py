"""Rows and columns of the caller's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from .goodness import own_cell
from .options import AddRow, Options
from .table import EMPTY, Cell, Row, Section, Span, Table


def added_rows(given: Any) -> list[AddRow]:
    """What ``add_rows=`` stands for.

    Parameters
    ----------
    given : sequence of AddRow, mapping, DataFrame or None
        A mapping holds the values by the label. The first column of a frame has the
        labels, one of the name ``where`` the places, and the others the values.

    Examples
    --------
    >>> added_rows({"Controls": ["no", "yes"]})[0].values
    ['no', 'yes']
    """
    if given is None:
        return []
    if isinstance(given, AddRow):
        return [given]
    if isinstance(given, Mapping):
        return [AddRow(str(label), list(values)) for label, values in given.items()]
    if isinstance(given, pd.DataFrame):
        return _of_frame(given)
    wrong = [item for item in given if not isinstance(item, AddRow)]
    if wrong:
        raise TypeError(
            f"add_rows holds {wrong[0]!r}; use AddRow(label, values), a mapping from "
            "labels to values, or a DataFrame with the labels in the first column."
        )
    return list(given)


def _of_frame(frame: pd.DataFrame) -> list[AddRow]:
    places = frame["where"] if "where" in frame.columns else ["gof_end"] * len(frame)
    values = frame.drop(columns="where", errors="ignore").to_numpy(dtype=object)
    return [
        AddRow(str(row[0]), list(row[1:]), where)
        for row, where in zip(values, places, strict=True)
    ]


def with_rows(table: Table, options: Options, depth: int = 1) -> Table:
    """The table with the caller's own rows at their places.

    Parameters
    ----------
    table : Table
    options : Options
    depth : int
        Columns of a model; a row with one value a model fills the first of each.
    """
    for row in added_rows(options.add_rows):
        cells = [own_cell(value, options.fmt) for value in row.values]
        if len(cells) * depth == table.width:
            cells = [c for cell in cells for c in (cell, *[EMPTY] * (depth - 1))]
        if len(cells) != table.width:
            raise ValueError(
                f"the added row {row.label!r} has {len(row.values)} values for "
                f"{table.width} columns."
            )
        stub = (row.label, *[""] * (len(table.stub) - 1))
        own = Row(stub, tuple(cells), "added")
        table = replace(table, sections=_placed(table.sections, own, row.where))
    return table


def _placed(sections: tuple[Section, ...], row: Row, where: str) -> tuple[Section, ...]:
    statistics = [k for k, part in enumerate(sections) if part.kind == "gof"]
    others = [k for k, part in enumerate(sections) if part.kind != "gof"]
    fixed = [k for k in others if sections[k].kind != "random"] or others
    if where in ("gof_start", "gof_end"):
        if not statistics:
            return (*sections, Section((row,), kind="gof"))
        place = statistics[-1], 0 if where == "gof_start" else None
    elif where in ("coef_start", "coef_end"):
        if not fixed:
            return (Section((row,)), *sections)
        place = (fixed[0], 0) if where == "coef_start" else (fixed[-1], None)
    else:
        place = _behind(sections, where)
    part, at = place
    rows = list(sections[part].rows)
    rows.insert(len(rows) if at is None else at, row)
    changed = replace(sections[part], rows=tuple(rows))
    return (*sections[:part], changed, *sections[part + 1 :])


def _behind(sections: Sequence[Section], label: str) -> tuple[int, int]:
    """The place below a row of that label and the lines that continue it."""
    for k, part in enumerate(sections):
        for at, row in enumerate(part.rows):
            if row.stub[0] == label:
                while at + 1 < len(part.rows) and not part.rows[at + 1].stub[0]:
                    at += 1
                return k, at + 1
    raise ValueError(
        f"an added row is to follow {label!r}, which is no row of the table; use a "
        "row's label or coef_start, coef_end, gof_start, gof_end."
    )


def with_columns(table: Table, options: Options) -> Table:
    """The table with the caller's own columns behind it."""
    if not options.add_columns:
        return table
    rows = [row for section in table.sections for row in section.rows]
    columns = [
        _column_cells(name, values, rows, options)
        for name, values in options.add_columns.items()
    ]
    cells = iter(zip(*columns, strict=True))
    sections = tuple(
        replace(
            part,
            rows=tuple(replace(r, cells=(*r.cells, *next(cells))) for r in part.rows),
        )
        for part in table.sections
    )
    count = len(columns)
    above = [(*spans, Span("", count)) for spans in table.headers[:-1]]
    names = tuple(Span(str(name)) for name in options.add_columns)
    return replace(
        table,
        headers=(*above, (*table.headers[-1], *names)),
        sections=sections,
        align=table.align + "d" * count if len(table.align) > 1 else table.align,
    )


def _column_cells(
    name: str, values: Any, rows: Sequence[Row], options: Options
) -> list[Cell]:
    """The cells of an added column, from values by label or from the top."""
    if isinstance(values, Mapping):
        unknown = [label for label in values if label not in {r.stub[0] for r in rows}]
        if unknown:
            raise ValueError(
                f"the added column {name!r} has a value for {unknown[0]!r}, which is "
                "no row of the table."
            )
        values = [values.get(row.stub[0]) if row.stub[0] else None for row in rows]
    given = list(values)
    if len(given) > len(rows):
        raise ValueError(
            f"the added column {name!r} has {len(given)} values for {len(rows)} rows."
        )
    given += [None] * (len(rows) - len(given))
    return [own_cell(value, options.fmt) for value in given]


__all__ = ["added_rows", "with_columns", "with_rows"]
