"""Rows of statistics of whole models."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from .contract import Statistic
from .models import Model
from .numbers import Formats, chosen, split_number
from .table import EMPTY, Cell, Row


def statistic_rows(
    models: Sequence[Model], statistics: Sequence[Statistic], fmt: Formats
) -> list[Row]:
    """A row a statistic that some model has, with one label and one cell a model."""
    rows = []
    for statistic in statistics:
        cells = tuple(
            _cell(statistic, model.glance.get(statistic.key), fmt) for model in models
        )
        if any(cells):
            rows.append(Row((statistic.label,), cells, "gof"))
    return rows


def _cell(statistic: Statistic, value: Any, fmt: Formats) -> Cell:
    own = fmt[statistic.key] if _names(fmt, statistic) else statistic.fmt  # type: ignore[index]
    return value_cell(value, 3 if own is None else own)


def _names(fmt: Formats, statistic: Statistic) -> bool:
    return isinstance(fmt, Mapping) and statistic.key in fmt


def value_cell(value: Any, fmt: Formats) -> Cell:
    """A cell of a value of any kind: text as it is, truth as yes or no, numbers.

    Examples
    --------
    >>> [value_cell(value, 2).text for value in ("<0.001", True, 3.14159, None)]
    ['<0.001', 'yes', '3.14', '']
    """
    if value is None or value != value:
        return EMPTY
    if isinstance(value, str):
        return _text_cell(value)
    if str(value) in ("True", "False"):
        return Cell(prefix="yes" if value else "no")
    before, number, after = split_number(chosen(fmt, "")(float(value)))
    return Cell(number, before, after)


def own_cell(value: Any, fmt: Formats) -> Cell:
    """A cell of the caller's: integers are shown as such."""
    if isinstance(value, (bool, str)) or value is None:
        return value_cell(value, fmt)
    try:
        return Cell(str(operator.index(value)))
    except TypeError:
        return value_cell(value, 3 if isinstance(fmt, Mapping) else fmt)


def _text_cell(text: str) -> Cell:
    """Text, or a number with nothing but signs and brackets about it."""
    before, number, after = split_number(text)
    if number and not before.strip("<>([ ") and not after.strip(")]%*+ "):
        stars = after[len(after.rstrip("*+")) :]
        return Cell(number, before, after[: len(after) - len(stars)], stars)
    return Cell(prefix=text)


__all__ = ["own_cell", "statistic_rows", "value_cell"]
