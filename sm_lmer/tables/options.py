"""What a table can be asked for, and defaults for a block of code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from .numbers import Formats

SHAPES = (
    "models_in_columns",
    "statistics_in_columns",
    "models_in_rows",
    "rbind",
    "rcollapse",
    "cbind",
)
"""What ``shape=`` takes; the last three are for models in panels."""

THEMES = ("booktabs", "striped", "plain")
"""What ``theme=`` takes."""

HEADERS = ("number", "model", "depvar", "estimator")
"""What ``header=`` stacks."""


@dataclass(frozen=True)
class AddRow:
    """A row of the caller's own.

    Parameters
    ----------
    label : str
    values : sequence
        One a value column, or one a model: text, numbers, or None for nothing.
    where : str
        "coef_start", "coef_end", "gof_start", "gof_end", or the label of the row
        that it follows.

    Examples
    --------
    >>> AddRow("Controls", ["no", "yes"], where="coef_end").label
    'Controls'
    """

    label: str
    values: Sequence[Any]
    where: str = "gof_end"


@dataclass(frozen=True)
class Options:
    """The arguments of :func:`sm_lmer.tables.modelsummary.modelsummary`."""

    estimate: Any = "estimate"
    statistic: Any = "std_error"
    fmt: Formats = 3
    stars: Any = False
    conf_level: float | None = 0.95
    vcov: Any = None
    exponentiate: Any = False
    effects: str = "all"
    re_scale: str = "sd"
    re_labels: Any = "lme4"
    re_section: bool | str = True
    re_statistic: Any = None
    ci_method: str = "wald"
    ddf: Any = None
    coef_map: Any = None
    coef_omit: Any = None
    coef_rename: Any = None
    gof_map: Any = None
    gof_omit: Any = None
    gof_function: Any = None
    metrics: Any = "default"
    likelihood: str | None = None
    shape: str = "models_in_columns"
    header: str | Sequence[str] = ("model",)
    spanners: Any = None
    group_map: Mapping[str, str] | Sequence[str] | None = None
    add_rows: Any = ()
    add_columns: Mapping[str, Any] | None = None
    title: str | None = None
    label: str | None = None
    notes: str | Sequence[str] | None = None
    auto_notes: bool = True
    align: str = "d"
    theme: str = "booktabs"

    def __post_init__(self) -> None:
        _one_of("shape", self.shape, SHAPES)
        _one_of("effects", self.effects, ("all", "fixed", "random"))
        _one_of("re_scale", self.re_scale, ("sd", "var", "both"))
        if self.re_section not in (True, False, "gof"):
            raise ValueError(
                f"re_section is {self.re_section!r}; use True for a section of its "
                "own, False for none, or 'gof' for rows among the statistics."
            )
        if self.conf_level is not None and not 0 < self.conf_level < 1:
            raise ValueError(
                f"conf_level is {self.conf_level!r}; it lies between 0 and 1, as 0.95."
            )
        _one_of("theme", self.theme, THEMES)
        for name in ("title", "label"):
            text = getattr(self, name)
            if not (text is None or isinstance(text, str)):
                raise TypeError(f"{name} is a text, not {text!r}.")
        for name in self.headers:
            _one_of("header", name, HEADERS)
        if not self.align or set(self.align) - set("dlcr"):
            raise ValueError(
                f"align is {self.align!r}; use the letters d, l, c and r, one for all "
                "value columns or one for each."
            )

    @property
    def headers(self) -> tuple[str, ...]:
        """Names of the rows of headers."""
        return (self.header,) if isinstance(self.header, str) else tuple(self.header)


def _one_of(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(
            f"unknown {name} {value!r}; choose one of {', '.join(choices)}."
        )


_DEFAULTS: ContextVar[Mapping[str, Any]] = ContextVar(
    "sm_lmer_tables",
    default=MappingProxyType({}),
)


@contextmanager
def options(**defaults: Any) -> Iterator[None]:
    """Other defaults of modelsummary's arguments inside a ``with`` block.

    They hold in the thread or task that sets them; inner blocks go before outer ones,
    and arguments of a call before both.

    Parameters
    ----------
    **defaults
        Arguments of :func:`sm_lmer.tables.modelsummary.modelsummary`, except the
        models and ``output``.

    Raises
    ------
    TypeError
        If there is no such argument.

    Examples
    --------
    >>> with options(stars=True):
    ...     print(requested(fmt=2).stars)
    True
    """
    _check_names(defaults)
    token = _DEFAULTS.set({**_DEFAULTS.get(), **defaults})
    try:
        yield
    finally:
        _DEFAULTS.reset(token)


def requested(**arguments: Any) -> Options:
    """The arguments of a call over the defaults of the enclosing blocks."""
    _check_names(arguments)
    return Options(**{**_DEFAULTS.get(), **arguments})


def _check_names(arguments: Mapping[str, Any]) -> None:
    known = [field.name for field in fields(Options)]
    for name in arguments:
        if name not in known:
            raise TypeError(
                f"modelsummary has no argument {name!r} with a default; "
                f"there are {', '.join(known)}."
            )


__all__ = ["HEADERS", "SHAPES", "THEMES", "AddRow", "Options", "options", "requested"]
