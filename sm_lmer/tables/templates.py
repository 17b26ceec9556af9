"""Templates such as ``"{estimate} [{conf_low}, {conf_high}]{stars}"``.

Only names of columns can stand between the braces, with a format behind a colon if
need be: no attributes, no indexes, no conversions.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .contract import SPELLINGS
from .numbers import formatter, split_number
from .table import EMPTY, Cell

Piece = tuple[str, str | None, str]
"""A literal text, then a column and its own format; None where no column follows."""

Form = Callable[[str], Callable[[float], str]]
"""The format of a column."""

HEADINGS = {
    "estimate": "Est.",
    "std_error": "S.E.",
    "statistic": "Statistic",
    "df": "df",
    "p_value": "p",
    "conf_low": "Lower",
    "conf_high": "Upper",
    "stars": "",
}
"""What columns are called in the header of a table."""

_SPECIFICATION = re.compile(r"[-+ ]?[,_]?(?:\.\d{1,2})?[eEfFgG%]?")


@dataclass(frozen=True)
class Template:
    """A parsed template.

    Attributes
    ----------
    text : str
    pieces : tuple of (literal, column or None, format)
    """

    text: str
    pieces: tuple[Piece, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it shows, ``stars`` apart."""
        return tuple(c for _, c, _ in self.pieces if c is not None and c != "stars")

    @property
    def has_stars(self) -> bool:
        """Whether it says where the stars go."""
        return any(column == "stars" for _, column, _ in self.pieces)

    @property
    def heading(self) -> str:
        """A header for a column of it, as ``Est. (S.E.)``."""
        return "".join(
            literal + HEADINGS.get(column or "", column or "")
            for literal, column, _ in self.pieces
        ).strip()

    def first(self, column: str) -> Template:
        """A template of one of the columns alone, in the format it has here."""
        spec = next((s for _, c, s in self.pieces if c == column), "")
        return Template(f"{{{column}}}", (("", column, spec),))

    def cell(self, values: Mapping[str, Any], form: Form, stars: str = "") -> Cell:
        """The template filled; empty if a value is missing.

        Parameters
        ----------
        values : mapping
            A value, or nan or None, for each column.
        form : callable
            The format of a column.
        stars : str
        """
        if any(_missing(values.get(column)) for column in self.columns):
            return EMPTY
        texts = [
            (literal, column, _text(column, spec, values, form, stars))
            for literal, column, spec in self.pieces
        ]
        trailing = ""
        if texts and texts[-1][1] == "stars":
            literal, _, trailing = texts.pop()
            texts.append((literal, None, ""))
        if len(self.columns) == 1 and all(c != "stars" for _, c, _ in texts):
            return _one_number(texts, trailing)
        whole = "".join(literal + text for literal, _, text in texts)
        return Cell(prefix=_once(whole), stars=trailing, numeric=True)


def template(text: str, stars: bool = False, alone: bool = False) -> Template:
    """Parse a template, or the name of a column.

    Parameters
    ----------
    text : str
        A column's name goes into parentheses unless it is the estimate;
        ``conf_int`` is an interval in brackets, here and between braces.
    stars : bool
        Whether stars follow a column's name.
    alone : bool
        Whether a column's name goes without parentheses.

    Raises
    ------
    TypeError, ValueError
        If it is no text, or something other than a column's name stands between
        braces.

    Examples
    --------
    >>> template("std_error").text
    '({std_error})'
    >>> template("{estimate} {conf_int}").columns
    ('estimate', 'conf_low', 'conf_high')
    >>> template("{estimate.__class__}")
    Traceback (most recent call last):
    ...
    ValueError: '{estimate.__class__}': only names of columns can stand between braces.
    """
    if not isinstance(text, str):
        raise TypeError(
            "a template is a text such as '{estimate} ({std_error})', not "
            f"{text!r}."
        )
    if "{" not in text and "}" not in text:
        text = _of_name(text, alone) + ("{stars}" if stars else "")
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is no template: {error}.") from None
    pieces: list[Piece] = []
    for literal, column, spec, conversion in parsed:
        name = column and SPELLINGS.get(column, column)
        if name is not None and (not name.isidentifier() or conversion):
            raise ValueError(
                f"{text!r}: only names of columns can stand between braces."
            )
        if spec and not _SPECIFICATION.fullmatch(spec):
            raise ValueError(
                f"{text!r}: {spec!r} is no format of a number; use one such as '.2f'."
            )
        pieces += _pieces(literal, name, spec or "")
    return Template(text, tuple(pieces))


def _of_name(text: str, alone: bool) -> str:
    if not SPELLINGS.get(text, text).isidentifier():
        raise ValueError(
            f"{text!r} is neither the name of a column nor a template such as "
            "'{estimate} ({std_error})'."
        )
    bare = alone or text in ("conf_int", "estimate")
    return f"{{{text}}}" if bare else f"({{{text}}})"


def _pieces(literal: str, column: str | None, spec: str) -> list[Piece]:
    if column != "conf_int":
        return [(literal, column, spec)]
    return [
        (literal + "[", "conf_low", spec),
        (", ", "conf_high", spec),
        ("]", None, ""),
    ]


def _text(
    column: str | None,
    spec: str,
    values: Mapping[str, Any],
    form: Form,
    stars: str,
) -> str:
    if column is None:
        return ""
    if column == "stars":
        return stars
    value = values[column]
    if isinstance(value, str):
        return value
    return (formatter(spec) if spec else form(column))(float(value))


def _one_number(texts: list[tuple[str, str | None, str]], stars: str) -> Cell:
    before = after = number = ""
    seen = False
    for literal, column, text in texts:
        if seen:
            after += literal
        else:
            before += literal
        if column is not None:
            first, number, rest = split_number(text)
            before, after, seen = before + first, after + rest, True
    return Cell(number, _once(before), after, stars)


def _once(text: str) -> str:
    """``p < 0.001`` where a template says ``p = {p_value}``."""
    return text.replace("= <", "< ")


def _missing(value: Any) -> bool:
    return value is None or (not isinstance(value, str) and value != value)


__all__ = ["HEADINGS", "Form", "Template", "template"]
