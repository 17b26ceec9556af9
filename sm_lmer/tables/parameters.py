"""Rows of parameters: merged over models, ordered, labelled, filled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .contract import KEY, NUMBERS
from .models import Key, Model
from .numbers import Formats, chosen
from .options import Options
from .random_labels import RESIDUAL, random_label
from .selection import CoefMap, coefficient_labels, merged
from .stars import levels, mark
from .table import EMPTY, Cell
from .templates import Form, Template, template

Rows = Sequence[Mapping[Key, Mapping[str, Any]]]
"""The rows of each model, by their keys."""

RANK = {"sd": 0, "var": 1, "cor": 2, "cov": 3}
"""Order of the kinds of rows within a group of random effects."""


@dataclass(frozen=True)
class Line:
    """A labelled parameter with its cells: one row a template, one cell a model."""

    label: str
    group: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Stack:
    """The templates of one model: the estimate's and those of the lines below it.

    Attributes
    ----------
    fixed, random : tuple of Template
    """

    fixed: tuple[Template, ...]
    random: tuple[Template, ...]


def statistics_below(options: Options) -> list[str]:
    """Templates of the lines below the estimate."""
    estimate = options.estimate
    more = list(estimate.values())[1:] if isinstance(estimate, Mapping) else []
    return more + _listed(options.statistic)


def _listed(given: Any) -> list[str]:
    if given is None:
        return []
    if isinstance(given, str):
        return [given]
    return list(given.values() if isinstance(given, Mapping) else given)


def estimates(options: Options, count: int) -> list[str]:
    """The template of each model's estimate.

    Raises
    ------
    ValueError
        If there are neither one nor as many as models.
    """
    given = options.estimate
    found = [given] if isinstance(given, str) else _listed(given)
    if isinstance(given, Mapping):
        found = found[:1]
    if len(found) not in (1, count):
        raise ValueError(
            f"estimate has {len(found)} templates for {count} models; pass one for all "
            "or one a model."
        )
    return found * count if len(found) == 1 else found


def stacks(options: Options, count: int) -> list[Stack]:
    """The templates of each model, parsed."""
    lone = options.shape == "statistics_in_columns"
    below = tuple(template(text, alone=lone) for text in statistics_below(options))
    behind = not any(t.has_stars for t in below)
    own = tuple(template(text, alone=lone) for text in _listed(options.re_statistic))
    texts = estimates(options, count)
    firsts = {text: template(text, stars=behind, alone=True) for text in texts}
    return [Stack((firsts[text], *below), (firsts[text], *own)) for text in texts]


def columns_named(options: Options, count: int) -> set[str]:
    """Columns of tidy frames that the templates show."""
    return {
        column
        for stack in stacks(options, count)
        for shown in (*stack.fixed, *stack.random)
        for column in shown.columns
    }


def cutoffs(options: Options, count: int) -> dict[str, float]:
    """The marks of significance; the usual ones if only a template asks for them."""
    asked = any(
        "{stars}" in text
        for text in (*estimates(options, count), *statistics_below(options))
    )
    return levels(True if asked and options.stars is False else options.stars)


def check_columns(models: Sequence[Model], options: Options) -> None:
    """Raise ValueError if a template names a column that no model has."""
    known = {str(name) for model in models for name in model.tidy.columns}
    for name in sorted(columns_named(options, len(models))):
        if name not in known:
            raise ValueError(
                f"a template names {name!r}, which no tidy frame has; there are "
                f"{', '.join(NUMBERS)} and conf_int."
            )


def lines(models: Sequence[Model], options: Options, random: bool) -> list[Line]:
    """All parameters of the random part, or all others, labelled and filled.

    Parameters
    ----------
    models : sequence of Model
    options : Options
    random : bool
    """
    rows, keys, names = _named(models, options, random)
    groups = [""] * len(keys) if random else _groups(keys)
    kept = _grouped(_selected(names, options, random), groups, options)
    filler = _Filler(
        rows,
        [s.random if random else s.fixed for s in stacks(options, len(models))],
        options.fmt,
        {} if random else cutoffs(options, len(models)),
        random,
    )
    found = []
    for (label, group), own in _joined(kept, keys, rows).items():
        cells = filler.cells([keys[k] for k in own], names[own[0]])
        if any(any(row) for row in cells):
            found.append(Line(str(label[0]), str(group), cells))
    return found


def check_coef_map(models: Sequence[Model], options: Options) -> None:
    """Raise ValueError if a coef_map names no parameter of any model."""
    names = [own for part in (False, True) for own in _named(models, options, part)[2]]
    if options.coef_map and not _names_some(options.coef_map, names):
        raise ValueError(
            "coef_map names no parameter of the models; there are "
            f"{', '.join(own[0] for own in names)}."
        )


def _named(
    models: Sequence[Model], options: Options, random: bool
) -> tuple[Rows, list[Key], list[tuple[str, ...]]]:
    """The rows of each model, the keys of all in order, and their names."""
    rows = [model.part(random) for model in models]
    keys = merged([list(own) for own in rows])
    if not random:
        return rows, keys, _fixed_names(keys, rows)
    ordered = _random_order(keys)
    return rows, ordered, _random_names(ordered, options)


# -- order, labels ---------------------------------------------------------------------


def _random_order(keys: Sequence[Key]) -> list[Key]:
    """Group by group: deviations, then correlations; the residual last."""
    named = [dict(zip(KEY, key, strict=True)) for key in keys]
    groups = list(dict.fromkeys(n["group"] for n in named))
    groups.sort(key=lambda g: g == RESIDUAL)

    def rank(k: int) -> tuple[int, int, int]:
        return groups.index(named[k]["group"]), RANK.get(named[k]["type"], 4), k

    return [keys[k] for k in sorted(range(len(keys)), key=rank)]


def _random_names(keys: Sequence[Key], options: Options) -> list[tuple[str, ...]]:
    """The label of each row, then what lme4 calls it."""
    named = [dict(zip(KEY, key, strict=True)) for key in keys]
    numbers: dict[tuple[str, str], int] = {}
    for row in named:
        if row["type"] in ("sd", "var"):
            count = sum(group == row["group"] for group, _ in numbers)
            numbers.setdefault((row["group"], row["term"]), count)
    return [
        tuple(
            random_label(row, style, numbers) for style in (options.re_labels, "lme4")
        )
        for row in named
    ]


def _fixed_names(keys: Sequence[Key], rows: Rows) -> list[tuple[str, ...]]:
    """The label of each row, if it has one, and its term."""
    labels: dict[Key, str] = {}
    for own in rows:
        for key, row in own.items():
            labels.setdefault(key, row["label"])
    term = KEY.index("term")
    return [tuple(filter(None, (labels[key], key[term]))) for key in keys]


def _groups(keys: Sequence[Key]) -> list[str]:
    """What the second stub column says: the response's level, or the component.

    The component is said only where a term occurs in several.
    """
    named = [dict(zip(KEY, key, strict=True)) for key in keys]
    places: dict[tuple[str, ...], set[str]] = {}
    for row in named:
        place = row["response"], row["group"], row["term"]
        places.setdefault(place, set()).add(row["component"])
    several = any(len(found) > 1 for found in places.values())
    usual = "conditional" if several else None
    return [
        " ".join(
            text
            for text in (
                row["component"] if several and row["component"] != usual else "",
                row["response"],
                row["group"],
            )
            if text
        )
        for row in named
    ]


def _selected(
    names: Sequence[tuple[str, ...]], options: Options, random: bool
) -> list[tuple[int, str]]:
    """Rows to show with their labels.

    A coef_map that names no row of the random part leaves that part alone; functions
    that rename are for coefficients.
    """
    coef_map: CoefMap = options.coef_map
    rename = options.coef_rename
    if random:
        if coef_map is not None and not _names_some(coef_map, names):
            coef_map = None
        rename = rename if isinstance(rename, Mapping) else None
    return coefficient_labels(names, coef_map, options.coef_omit, rename)


def _names_some(coef_map: Iterable[str], names: Sequence[tuple[str, ...]]) -> bool:
    return any(name in own for name in coef_map for own in names)


def _grouped(
    selected: Sequence[tuple[int, str]], groups: Sequence[str], options: Options
) -> list[tuple[int, str, str]]:
    """The rows with their groups, as group_map selects, orders and names those."""
    given = options.group_map
    if given is None:
        return [(k, label, groups[k]) for k, label in selected]
    new = given if isinstance(given, Mapping) else {name: name for name in given}
    places = {name: place for place, name in enumerate(new, start=1)}
    kept = [(k, label) for k, label in selected if not groups[k] or groups[k] in places]
    kept.sort(key=lambda row: places.get(groups[row[0]], 0))
    return [(k, label, new.get(groups[k], groups[k])) for k, label in kept]


def _joined(
    kept: Sequence[tuple[int, str, str]], keys: Sequence[Key], rows: Rows
) -> dict[tuple[tuple[str, int], str], list[int]]:
    """Rows that are called the same and that no model has both of are one row."""
    found: dict[tuple[tuple[str, int], str], list[int]] = {}
    for k, label, group in kept:
        copy = 0
        while any(
            keys[k] in own and keys[other] in own
            for other in found.get(((label, copy), group), ())
            for own in rows
        ):
            copy += 1
        found.setdefault(((label, copy), group), []).append(k)
    return found


# -- cells -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Filler:
    """Makes the cells of parameters; formats are looked up once."""

    rows: Rows
    templates: Sequence[Sequence[Template]]
    fmt: Formats
    marks: Mapping[str, float]
    random: bool
    _formats: dict[tuple[str, tuple[str, ...]], Callable[[float], str]] = field(
        default_factory=dict
    )

    def cells(
        self, keys: Sequence[Key], names: tuple[str, ...]
    ) -> tuple[tuple[Cell, ...], ...]:
        """One row a template, one cell a model."""
        form = self._form(names)
        columns = []
        for own, templates in zip(self.rows, self.templates, strict=True):
            row = next((own[key] for key in keys if key in own), None)
            if row is None:
                columns.append([EMPTY] * len(templates))
            else:
                columns.append(self._column(row, templates, form))
        return tuple(zip(*columns, strict=True))

    def _column(
        self, row: Mapping[str, Any], templates: Sequence[Template], form: Form
    ) -> list[Cell]:
        """The cells of a model; a random row without errors shows its estimate."""
        stars = mark(row["p_value"], self.marks) if self.marks else ""
        cells = [t.cell(row, form, stars if t.has_stars else "") for t in templates]
        if self.random and not cells[0]:
            cells[0] = templates[0].first("estimate").cell(row, form)
        return cells

    def _form(self, names: tuple[str, ...]) -> Form:
        own = names if isinstance(self.fmt, Mapping) else ()

        def form(column: str) -> Callable[[float], str]:
            if (column, own) not in self._formats:
                self._formats[column, own] = chosen(self.fmt, column, own)
            return self._formats[column, own]

        return form


__all__ = [
    "Line",
    "check_coef_map",
    "check_columns",
    "columns_named",
    "cutoffs",
    "estimates",
    "lines",
    "stacks",
    "statistics_below",
]
