"""Headers over the models, and notes below the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from .contract import Statistic
from .models import Model
from .options import Options
from .parameters import cutoffs, estimates, statistics_below
from .stars import note
from .table import Span
from .templates import template

SPOKEN: Mapping[str, Callable[[int, Model], str]] = {
    "number": lambda position, model: f"({position + 1})",
    "model": lambda position, model: model.name,
    "depvar": lambda position, model: str(model.glance.get("depvar", "")),
    "estimator": lambda position, model: str(model.glance.get("estimator", "")),
}
"""What each kind of header says of a model."""

COMPARABLE = ("aic", "bic", "loglik")
"""Statistics of the likelihood."""


def header_texts(models: Sequence[Model], options: Options) -> list[list[str]]:
    """Rows of headers, from the top, one text a model."""
    return [
        [SPOKEN[name](position, model) for position, model in enumerate(models)]
        for name in options.headers
    ]


def headers(
    models: Sequence[Model], options: Options, width: int = 1
) -> tuple[tuple[Span, ...], ...]:
    """Headers over models of a number of columns each.

    Equal neighbours are one, except in the last row.
    """
    rows = _spanner_rows(options.spanners, len(models), width)
    texts = header_texts(models, options)
    if not texts:
        raise ValueError("header is empty; name at least one row of headers.")
    for level, row in enumerate(texts):
        if level < len(texts) - 1:
            rows.append(
                tuple(Span(text, width * len(list(own))) for text, own in groupby(row))
            )
        else:
            rows.append(tuple(Span(text, width) for text in row))
    return tuple(rows)


def _spanner_rows(spanners: Any, count: int, width: int) -> list[tuple[Span, ...]]:
    """Rows of headers above the models: numbers of models by their common text."""
    if spanners is None:
        return []
    pairs = isinstance(spanners, Mapping) or _is_pair(next(iter(spanners), None))
    rows = []
    for layer in [spanners] if pairs else spanners:
        items = list(layer.items()) if isinstance(layer, Mapping) else list(layer)
        covered = sum(size for _, size in items)
        if covered != count:
            raise ValueError(
                f"the spanners cover {covered} models, but the table has {count}; use "
                "'' for models without one."
            )
        rows.append(tuple(Span(text.strip(), size * width) for text, size in items))
    return rows


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def statistic_headings(models: Sequence[Model], options: Options) -> list[str]:
    """Headers of columns of estimates and statistics."""
    named: list[str | None] = []
    for given in (options.estimate, options.statistic):
        if isinstance(given, Mapping):
            named += list(given)
        elif given is options.statistic:
            named += [None] * (len(statistics_below(options)) - len(named) + 1)
        else:
            named.append(None)
    texts = [estimates(options, len(models))[0], *statistics_below(options)]
    return [
        _heading(text, models, options) if name is None else str(name)
        for name, text in zip(named, texts, strict=True)
    ]


def _heading(text: str, models: Sequence[Model], options: Options) -> str:
    interval = f"{100 * (options.conf_level or 0):g}% CI"
    if text in ("conf_int", "{conf_int}"):
        return interval
    heading = template(text, alone=True).heading.replace("[Lower, Upper]", interval)
    return heading.replace("Statistic", _statistic(models))


def _statistic(models: Sequence[Model]) -> str:
    """What the test statistic is called: t or z, by the degrees of freedom."""
    infinite = {
        row["df"] == float("inf")
        for model in models
        for row in model.part(random=False).values()
        if row["df"] == row["df"]
    }
    return {frozenset({True}): "z", frozenset({False}): "t"}.get(
        frozenset(infinite), "t/z" if infinite else "Statistic"
    )


def notes(
    panels: Mapping[str, Sequence[Model]],
    options: Options,
    statistics: Iterable[Statistic],
) -> tuple[str, ...]:
    """The caller's notes, what must be known of the models, what stars mean."""
    own = options.notes or ()
    out = [own] if isinstance(own, str) else list(own)
    if not options.auto_notes:
        return tuple(out)
    spoken = [
        (f"{panel}: {model.name}" if panel else model.name, model)
        for panel, models in panels.items()
        for model in models
        if len(model.tidy)
    ]
    shown = {statistic.key for statistic in statistics}
    out += _said_of({name: _unsaid(model, shown) for name, model in spoken})
    models = [model for _, model in spoken]
    if shown & set(COMPARABLE):
        out += _not_comparable(models, options.likelihood)
    marks = cutoffs(options, max(len(own) for own in panels.values()))
    if marks:
        unmarked = {name: ("No p-values.",) for name, m in spoken if not m.has_p_values}
        if len(unmarked) == len(spoken):
            raise ValueError(
                "stars need p-values, but no model has any; leave stars out."
            )
        found = {name: unmarked.get(name, ()) for name, _ in spoken}
        out += _said_of(found)
        out.append(note(marks))
    return tuple(out)


def _unsaid(model: Model, shown: Collection[str]) -> list[str]:
    """What must be known of a model and does not stand among its statistics."""
    kind = model.glance.get("vcov_type") if "vcov_type" in shown else None
    return [text for text in model.notes if text != f"Standard errors: {kind}."]


def _said_of(facts: Mapping[str, Sequence[str]]) -> list[str]:
    """Each fact, with the models that it holds for if there are others.

    Facts of the same first word, such as methods of the fit, follow each other.
    """
    found: dict[str, list[str]] = {}
    for name, texts in facts.items():
        for text in dict.fromkeys(texts):
            found.setdefault(text, []).append(name)
    topics = list(dict.fromkeys(text.split()[0] for text in found))
    return [
        text if len(names) == len(facts) else f"{text.rstrip('.')} ({_listed(names)})."
        for text, names in sorted(
            found.items(), key=lambda item: topics.index(item[0].split()[0])
        )
    ]


def _listed(names: Sequence[str]) -> str:
    """Names for parentheses: those of numbered models without their own."""
    return ", ".join(re.sub(r"\((\d+)\)$", r"\1", name) for name in names)


def _not_comparable(models: Sequence[Model], likelihood: str | None) -> list[str]:
    """What to say of criteria of fits by REML, if there are several fits."""
    mixed = [m for m in models if "reml" in m.glance]
    if likelihood == "ML":
        return []
    if likelihood is None and {m.glance["reml"] for m in mixed} == {True, False}:
        return ["AIC and BIC of fits by REML and by maximum likelihood do not compare."]
    by_reml = mixed if likelihood else [m for m in mixed if m.glance["reml"]]
    fixed = {frozenset(m.part(random=False)) for m in by_reml}
    if len(fixed) > 1:
        return [
            "AIC and BIC of fits by REML with different fixed effects do not compare."
        ]
    return []


__all__ = ["header_texts", "headers", "notes", "statistic_headings"]
