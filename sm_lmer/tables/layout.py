"""From tidy and glance frames to a table: its shapes and its panels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from .added import with_columns, with_rows
from .contract import Statistic
from .goodness import statistic_rows
from .headings import header_texts, headers, notes, statistic_headings
from .models import Model, absent
from .options import SHAPES, AddRow, Options
from .parameters import Line, check_coef_map, check_columns, lines
from .selection import merged, statistics_shown
from .table import EMPTY, Cell, Row, Section, Span, Table

RANDOM_TITLE = "Random effects"
"""Heading of the random part."""

ALL_PANELS = "All panels"
"""Heading of statistics that are the same in all panels."""


@dataclass(frozen=True)
class _Parts:
    """The rows of a panel before they are laid out."""

    fixed: list[Line]
    random: list[Line]
    gof: list[Row]
    statistics: list[Statistic]


def lay_out(models: Sequence[Model], options: Options) -> Table:
    """The table of models side by side, or one below the other.

    Parameters
    ----------
    models : sequence of Model
    options : Options

    Raises
    ------
    ValueError
        If an option does not go with the models, or no row is left.

    Examples
    --------
    >>> import pandas as pd
    >>> from sm_lmer.tables.contract import check_tidy
    >>> frame = pd.DataFrame({"term": ["x"], "estimate": [1.5], "std_error": [0.25]})
    >>> model = Model("OLS", check_tidy(frame, "OLS"), {"nobs": 20})
    >>> sections = lay_out([model], Options()).sections
    >>> [row.cells[0].text for section in sections for row in section.rows]
    ['1.500', '(0.250)', '20']
    """
    if options.shape in ("rbind", "rcollapse", "cbind"):
        raise ValueError(
            f"shape={options.shape!r} is for panels; pass a dict of dicts of models."
        )
    check_columns(models, options)
    check_coef_map(models, options)
    return _shaped(models, _parts(models, options), options)


def lay_out_panels(panels: Mapping[str, Sequence[Model]], options: Options) -> Table:
    """The table of panels of models, one below the other or side by side.

    Parameters
    ----------
    panels : mapping from titles to sequences of Model
    options : Options
        Of shape "rbind", "rcollapse" (statistics that all panels share stand once, at
        the end) or "cbind" (the titles are headers over the models).
    """
    models = [model for own in panels.values() for model in own]
    if not isinstance(options.estimate, str | Mapping):
        raise ValueError("estimate has one template a model; with panels, pass one.")
    check_columns(models, options)
    check_coef_map(models, options)
    if options.shape == "cbind":
        return _side_by_side(panels, options)
    if options.shape not in ("models_in_columns", "rbind", "rcollapse"):
        raise ValueError(
            f"shape={options.shape!r} does not go with panels; use 'rbind', "
            "'rcollapse' or 'cbind'."
        )
    names = merged([[model.name for model in own] for own in panels.values()])
    filled = {panel: _at_names(own, names) for panel, own in panels.items()}
    parts = {panel: _parts(models, options) for panel, models in filled.items()}
    shared = _shared([p.gof for p in parts.values()]) if _collapses(options) else []
    depth = max(map(_stub_depth, parts.values()))
    sections: list[Section] = []
    for panel, own in parts.items():
        rest = replace(own, gof=[row for row in own.gof if row not in shared])
        sections += _titled(_sections(rest, options, _one_below_other(depth)), panel)
    if shared:
        gof = tuple(_with_stub(row, depth) for row in shared)
        sections.append(Section(gof, ALL_PANELS, "gof"))
    statistics = list(chain.from_iterable(p.statistics for p in parts.values()))
    first = _headed(filled, options)
    table = _table(headers(first, options), sections, depth, options)
    noted = replace(table, notes=notes(filled, options, statistics))
    return with_columns(with_rows(noted, options), options)


def _collapses(options: Options) -> bool:
    return options.shape == "rcollapse"


def _parts(models: Sequence[Model], options: Options) -> _Parts:
    statistics = statistics_shown(
        [key for model in models for key in model.glance],
        options.gof_map,
        options.gof_omit,
    )
    parts = _Parts(
        lines(models, options, random=False),
        lines(models, options, random=True),
        statistic_rows(models, statistics, options.fmt),
        statistics,
    )
    if not (parts.fixed or parts.random or parts.gof):
        raise ValueError(
            "no row is left; coef_map, coef_omit, effects and gof_map leave out all "
            "that the models have."
        )
    return parts


def _shaped(models: Sequence[Model], parts: _Parts, options: Options) -> Table:
    shapes = {
        "models_in_columns": _in_columns,
        "statistics_in_columns": _statistics_in_columns,
        "models_in_rows": _in_rows,
    }
    table, depth = shapes[options.shape](models, parts, options)
    noted = replace(table, notes=notes({"": models}, options, parts.statistics))
    return with_columns(with_rows(noted, options, depth), options)


# -- panels ----------------------------------------------------------------------------


def _at_names(models: Sequence[Model], names: Sequence[str]) -> list[Model]:
    """The models of a panel in the columns of all; those it lacks are empty."""
    known = {model.name: model for model in models}
    return [known.get(name) or absent(name) for name in names]


def _headed(panels: Mapping[str, Sequence[Model]], options: Options) -> list[Model]:
    """A model for each column with those headers that all its panels share."""
    columns = []
    for own in zip(*panels.values(), strict=True):
        present = [model for model in own if len(model.tidy)]
        glance = {
            key: value
            for key, value in present[0].glance.items()
            if all(model.glance.get(key) == value for model in present)
        }
        columns.append(replace(present[0], glance=glance))
    return columns


def _shared(statistics: Sequence[Sequence[Row]]) -> list[Row]:
    """Rows that are the same in all panels."""
    first, *others = statistics
    return [row for row in first if all(row in rows for rows in others)]


def _titled(sections: list[Section], title: str) -> list[Section]:
    """The sections of a panel, the first with the panel's title."""
    if not sections:
        return []
    first = sections[0]
    own = f"{title}: {first.title}" if first.title else title
    kind = "gof" if first.kind == "gof" else "panel"
    return [replace(first, title=own, kind=kind), *sections[1:]]


def _side_by_side(panels: Mapping[str, Sequence[Model]], options: Options) -> Table:
    models = [model for own in panels.values() for model in own]
    spanners = [(title, len(own)) for title, own in panels.items()]
    parts = _parts(models, options)
    named = [
        replace(model, name=f"{title}: {model.name}")
        for title, own in panels.items()
        for model in own
    ]
    depth = _stub_depth(parts)
    table = _table(
        headers(models, replace(options, spanners=_above(spanners, options))),
        _sections(parts, options, _one_below_other(depth)),
        depth,
        options,
    )
    noted = replace(table, notes=notes({"": named}, options, parts.statistics))
    return with_columns(with_rows(noted, options), options)


def _above(spanners: list[tuple[str, int]], options: Options) -> list[object]:
    """The titles of panels below the caller's own spanners."""
    own = options.spanners
    if own is None:
        return [spanners]
    return [own, spanners] if isinstance(own, Mapping) else [*own, spanners]


# -- sections --------------------------------------------------------------------------


Rows = Callable[[Sequence[Line]], list[Row]]
"""How parameters become rows."""


def _sections(parts: _Parts, options: Options, rows: Rows) -> list[Section]:
    fixed, random = rows(parts.fixed), rows(parts.random)
    depth = len((fixed or random)[0].stub) if fixed or random else 1
    gof = [_with_stub(row, depth) for row in parts.gof]
    if options.re_section == "gof":
        found = [Section(tuple(fixed)), Section((*random, *gof), kind="gof")]
    elif not options.re_section:
        found = [Section((*fixed, *random)), Section(tuple(gof), kind="gof")]
    else:
        found = [
            Section(tuple(fixed)),
            Section(tuple(random), RANDOM_TITLE, "random"),
            Section(tuple(gof), kind="gof"),
        ]
    return [part for part in found if part.rows]


def _stub_depth(parts: _Parts) -> int:
    """Number of stub columns: a second one where terms come in groups."""
    return 2 if any(line.group for line in parts.fixed) else 1


def _with_stub(row: Row, depth: int) -> Row:
    """The row with as many labels as the table has stub columns."""
    return replace(row, stub=(*row.stub, *[""] * (depth - len(row.stub))))


def _table(
    spans: tuple[tuple[Span, ...], ...],
    sections: Sequence[Section],
    depth: int,
    options: Options,
) -> Table:
    width = sum(span.width for span in spans[-1])
    if len(options.align) not in (1, width):
        raise ValueError(
            f"align has {len(options.align)} letters for {width} value columns; use "
            "one for all or one for each."
        )
    return Table(
        headers=spans,
        sections=tuple(sections),
        stub=("",) * depth,
        title=options.title or "",
        label=options.label or "",
        align=options.align,
    )


# -- shapes ----------------------------------------------------------------------------


def _one_below_other(depth: int) -> Rows:
    """Rows of an estimate and, below it, its statistics."""

    def rows(found: Sequence[Line]) -> list[Row]:
        return [
            Row(
                (line.label, line.group)[:depth] if k == 0 else ("",) * depth,
                cells,
                "estimate" if k == 0 else "statistic",
            )
            for line in found
            for k, cells in enumerate(line.rows)
            if k == 0 or any(cells)
        ]

    return rows


def _in_columns(
    models: Sequence[Model], parts: _Parts, options: Options
) -> tuple[Table, int]:
    depth = _stub_depth(parts)
    sections = _sections(parts, options, _one_below_other(depth))
    return _table(headers(models, options), sections, depth, options), 1


def _statistics_in_columns(
    models: Sequence[Model], parts: _Parts, options: Options
) -> tuple[Table, int]:
    """Estimate and statistics of a model side by side, under its name."""
    names = statistic_headings(models, options)
    stub = _stub_depth(parts)

    def spread(cells: Sequence[Sequence[Cell]]) -> tuple[Cell, ...]:
        filled = [(*own, *[EMPTY] * (len(names) - len(own))) for own in cells]
        return tuple(chain.from_iterable(filled))

    def rows(found: Sequence[Line]) -> list[Row]:
        return [
            Row(
                (line.label, line.group)[:stub],
                spread(list(zip(*line.rows, strict=True))),
            )
            for line in found
        ]

    gof = [
        replace(row, cells=spread([(cell,) for cell in row.cells])) for row in parts.gof
    ]
    above = headers(models, options, len(names))
    own = tuple(Span(name) for _ in models for name in names)
    sections = _sections(replace(parts, gof=gof), options, rows)
    return _table((*above, own), sections, stub, options), len(names)


def _in_rows(
    models: Sequence[Model], parts: _Parts, options: Options
) -> tuple[Table, int]:
    """One row a model (and a statistic), one column a parameter or statistic."""
    found = [*parts.fixed, *parts.random]
    stubs = list(zip(*header_texts(models, options), strict=True))
    rows = []
    for position in range(len(models)):
        columns = [[row[position] for row in line.rows] for line in found]
        columns += [[row.cells[position]] for row in parts.gof]
        for k in range(max(map(len, columns))):
            cells = tuple(own[k] if k < len(own) else EMPTY for own in columns)
            if k == 0:
                rows.append(Row(stubs[position], cells))
            elif any(cells):
                rows.append(Row(("",) * len(stubs[position]), cells, "statistic"))
    labels = [" ".join(filter(None, (line.group, line.label))) for line in found]
    labels += [row.stub[0] for row in parts.gof]
    spans = (tuple(Span(label) for label in labels),)
    return _table(spans, [Section(tuple(rows))], len(stubs[0]), options), 1


__all__ = ["SHAPES", "AddRow", "Model", "Options", "lay_out", "lay_out_panels"]
