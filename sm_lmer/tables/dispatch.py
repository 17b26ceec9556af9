"""Who knows how to read a result: registrations, hooks, built-ins, plug-ins.

The order in which :func:`extractor_of` asks is one of trust: what the user registered,
what the result says of itself, what this package knows of other packages, what
installed plug-ins know, then conventions of others, and guessing last. Nothing of
another package is imported: a class is known by its name, and a result of it exists
only when its module is loaded.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import pandas as pd

from .contract import KEY, check_glance, check_tidy, with_our_names

ENTRY_POINTS = "sm_lmer.tidiers"
"""Group of the entry points of plug-ins."""

PACKAGES = {
    "sm_lmer": "lmer",
    "statsmodels": "statsmodels",
    "linearmodels": "linearmodels",
    "pyfixest": "pyfixest",
    "lifelines": "lifelines",
}
"""Modules of :mod:`sm_lmer.tables.extract` by the package whose results they read."""


@dataclass(frozen=True)
class Request:
    """What is asked of an extractor; see :func:`sm_lmer.tables.tidy.tidy`.

    Extractors of models that have no such thing ignore `ci_method`, `re_scale` and
    `ddf`. Effects are selected and estimates exponentiated after the extractor; `vcov`
    is applied there, too, unless the extractor says that it takes it.
    """

    effects: str = "all"
    conf_level: float | None = None
    ci_method: str = "wald"
    re_scale: str = "sd"
    ddf: str | None = None
    vcov: Any = None
    metrics: str = "default"
    likelihood: str | None = None


def _nothing(res: Any, request: Request) -> tuple[str, ...]:
    return ()


def _no_link(res: Any) -> str:
    return ""


@dataclass(frozen=True)
class Extractor:
    """How results of a class are read.

    Attributes
    ----------
    name : str
        Where it comes from, for messages.
    tidy : callable
        ``tidy(res, request)``: a frame in the sense of
        :func:`sm_lmer.tables.contract.check_tidy`. Coefficients that have an estimate,
        a std_error and a df (infinite for normal tests) need no more: statistics, p
        values and intervals are worked out from them where they are missing.
    glance : callable
        ``glance(res, request)``: a mapping from statistics to values; nan and None
        are left out.
    notes : callable
        ``notes(res, request)``: what a reader of the numbers must know.
    takes_vcov : bool
        Whether ``tidy`` heeds ``request.vcov`` itself: a name, a callable or a matrix.
    vcov : callable, optional
        For others, ``vcov(res, name)``: the covariance of the fixed rows by its name
        ("HC1"), shape (p, p) in their order.
    link : callable
        ``link(res)``: name of the link between coefficients and mean, or "".
    augment : callable, optional
        ``augment(res)``: columns by the rows used.
    """

    name: str
    tidy: Callable[[Any, Request], pd.DataFrame]
    glance: Callable[[Any, Request], Mapping[str, Any]]
    notes: Callable[[Any, Request], tuple[str, ...]] = _nothing
    takes_vcov: bool = False
    vcov: Callable[[Any, str], Any] | None = None
    link: Callable[[Any], str] = _no_link
    augment: Callable[[Any], pd.DataFrame] | None = None


# -- registrations ---------------------------------------------------------------------

ClassName = type | str
Function = Callable[..., Any]


@dataclass(frozen=True)
class _Entry:
    """What someone registered for a class, or for the class of that name."""

    of: ClassName
    tidy: Function | None
    glance: Function | None


@dataclass
class Registry:
    """All that is registered in this process."""

    tidiers: list[_Entry] = field(default_factory=list)
    overrides: list[_Entry] = field(default_factory=list)
    plugins: list[_Entry] | None = None

    def forget(self, of: ClassName) -> None:
        """Forget what the user registered for a class."""
        self.tidiers[:] = [e for e in self.tidiers if e.of != of]
        self.overrides[:] = [e for e in self.overrides if e.of != of]

    def loaded_plugins(self) -> list[_Entry]:
        """What the entry points register, which are loaded once."""
        if self.plugins is None:
            found: list[_Entry] = []

            def register(
                of: ClassName, tidy: Function | None = None, glance: Any = None
            ) -> None:
                found.append(_Entry(_checked(of), tidy, glance))

            for point in entry_points(group=ENTRY_POINTS):
                point.load()(register)
            self.plugins = found
        return self.plugins


REGISTRY = Registry()
"""The one registry."""


def register_tidier(
    of: ClassName,
    tidy: Function | None = None,
    glance: Function | None = None,
    *,
    registry: Registry = REGISTRY,
) -> Function:
    """Say how results of a class are read; it goes before all else.

    Parameters
    ----------
    of : type or str
        A class, or "package.module:Class" if it is not to be imported. Results of its
        subclasses count, too.
    tidy : callable, optional
        ``tidy(res)`` gives a frame with columns term and estimate and any others of
        :data:`sm_lmer.tables.contract.NUMBERS`. It is passed those arguments of
        :func:`sm_lmer.tables.tidy.tidy` that it names; one that gives intervals should
        name conf_level.
    glance : callable, optional
        ``glance(res)`` gives a mapping, or a frame of one row.

    Returns
    -------
    callable
        A decorator for `tidy`, if that is not given.

    Examples
    --------
    >>> import pandas as pd
    >>> from sm_lmer.tables.dispatch import REGISTRY, register_tidier
    >>> from sm_lmer.tables.tidy import tidy
    >>> class Mean:
    ...     value = 2.5
    >>> @register_tidier(Mean, glance=lambda res: {"nobs": 4})
    ... def tidy_mean(res):
    ...     return pd.DataFrame({"term": ["mean"], "estimate": [res.value]})
    >>> tidy(Mean())[["term", "estimate"]].values.tolist()
    [['mean', 2.5]]
    >>> REGISTRY.forget(Mean)
    """
    return _register(registry.tidiers, _checked(of), tidy, glance)


def register_override(
    of: ClassName,
    tidy: Function | None = None,
    glance: Function | None = None,
    *,
    registry: Registry = REGISTRY,
) -> Function:
    """Add or replace columns of what the usual extractor says of a class.

    Parameters
    ----------
    of : type or str
        See :func:`register_tidier`.
    tidy : callable, optional
        ``tidy(res)`` gives a frame with the column term (and group, response, ... if
        that is needed to tell rows apart) and the columns to add or to replace. What
        the extractor worked out of a column that is replaced stays as it was.
    glance : callable, optional
        ``glance(res)`` gives the statistics to add or to replace.

    Returns
    -------
    callable
        A decorator for `tidy`, if that is not given.
    """
    return _register(registry.overrides, _checked(of), tidy, glance)


def _register(
    entries: list[_Entry], of: ClassName, tidy: Function | None, glance: Function | None
) -> Function:
    def keep(function: Function) -> Function:
        entries.append(_Entry(of, function, None))
        return function

    if glance is not None:
        entries.append(_Entry(of, None, glance))
    return keep if tidy is None else keep(tidy)


def _checked(of: ClassName) -> ClassName:
    if isinstance(of, str) and of.count(":") != 1:
        raise ValueError(
            f"{of!r} names no class; write it as 'package.module:Class' or pass the "
            "class."
        )
    return of


def is_class(cls: type, of: ClassName) -> bool:
    """Whether a class is that one, or the one of that name in a loaded module.

    Examples
    --------
    >>> import collections
    >>> is_class(collections.OrderedDict, "collections:OrderedDict")
    True
    """
    if not isinstance(of, str):
        return cls is of
    module, _, name = of.partition(":")
    return getattr(sys.modules.get(module), name, None) is cls


# -- dispatch --------------------------------------------------------------------------


def unwrapped(res: Any) -> Any:
    """The results in statsmodels' wrapper, which says less about their class."""
    return vars(res).get("_results", res) if hasattr(res, "__dict__") else res


def extractor_of(res: Any, registry: Registry = REGISTRY) -> Extractor:
    """How a result is read.

    Parameters
    ----------
    res : object
        Results of a fitted model; statsmodels' wrappers are taken off.
    registry : Registry

    Raises
    ------
    TypeError
        If nothing knows it.

    Examples
    --------
    >>> import sm_lmer.api as sml
    >>> data = sml.datasets.load_dyestuff()
    >>> extractor_of(sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()).name
    'sm_lmer'
    """
    inner = unwrapped(res)
    extractor = _layered(
        registry.tidiers, res, lambda: _hooked(inner, lambda: _known(res, registry))
    )
    return _overridden(extractor, registry, res)


def _classes(res: Any) -> tuple[type, ...]:
    """The classes by which a result is known, the nearest first."""
    inner = unwrapped(res)
    wrapper = () if inner is res else (type(res),)
    return (*wrapper, *type(inner).__mro__)


def _known(res: Any, registry: Registry) -> Extractor:
    """Built-ins, plug-ins, then conventions of others and guessing."""
    found = built_in(type(unwrapped(res)))
    if found is not None:
        return found
    return _layered(registry.loaded_plugins(), res, lambda: _conventional(res))


def _conventional(res: Any) -> Extractor:
    """By the conventions of other packages, or by guessing; else a TypeError."""
    from .extract.generic import extractor_of

    return extractor_of(res)


def built_in(cls: type) -> Extractor | None:
    """What this package knows of a class or the nearest of its bases."""
    for base in cls.__mro__:
        name = PACKAGES.get(base.__module__.partition(".")[0])
        if name is None:
            continue
        module = import_module(f"{__package__}.extract.{name}")
        for of, extractor in module.CLASSES.items():
            if is_class(base, of):
                return extractor
    return None


def _layered(
    entries: list[_Entry], res: Any, base: Callable[[], Extractor]
) -> Extractor:
    """The functions registered for a class; what they leave open is the base's."""
    tidy = _nearest([(e.of, e.tidy) for e in entries], res)
    glance = _nearest([(e.of, e.glance) for e in entries], res)
    return _own(
        None if tidy is None else _asked(tidy),
        None if glance is None else _asked(glance),
        type(unwrapped(res)).__name__,
        base,
    )


def _hooked(inner: Any, base: Callable[[], Extractor]) -> Extractor:
    """The result's own ``__sm_tidy__`` and ``__sm_glance__``."""
    tidy = _of_itself(getattr(inner, "__sm_tidy__", None))
    glance = _of_itself(getattr(inner, "__sm_glance__", None))
    return _own(tidy, glance, type(inner).__name__, base)


def _of_itself(method: Function | None) -> Callable[[Any, Request], Any] | None:
    """A bound method as a function of the result that it is bound to."""
    if method is None:
        return None
    return lambda res, request: method(**named_parts(method, request))


def _own(
    tidy: Callable[[Any, Request], Any] | None,
    glance: Callable[[Any, Request], Any] | None,
    name: str,
    base: Callable[[], Extractor],
) -> Extractor:
    """An extractor of two functions; without `tidy`, the base's with that glance."""
    if tidy is None:
        return base() if glance is None else replace(base(), glance=glance)
    return Extractor(name, tidy, glance or _no_statistics)


def _no_statistics(res: Any, request: Request) -> Mapping[str, Any]:
    return {}


def _nearest(
    registered: list[tuple[ClassName, Function | None]], res: Any
) -> Function | None:
    """The last function for the class of a result, or for the nearest of its bases."""
    for base in _classes(res):
        for of, function in reversed(registered):
            if function is not None and is_class(base, of):
                return function
    return None


def _asked(function: Function) -> Callable[[Any, Request], Any]:
    """The function with those parts of a request that it names."""
    return lambda res, request: function(res, **named_parts(function, request))


def named_parts(function: Function, request: Request) -> dict[str, Any]:
    """Those parts of a request that a function has parameters for."""
    parameters = inspect.signature(function).parameters
    given = {f.name: getattr(request, f.name) for f in fields(request)}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return given
    return {name: value for name, value in given.items() if name in parameters}


# -- overrides -------------------------------------------------------------------------


def _overridden(extractor: Extractor, registry: Registry, res: Any) -> Extractor:
    """The extractor with the columns and statistics that the user put over it."""
    bases = _classes(res)
    entries = [e for e in registry.overrides if any(is_class(b, e.of) for b in bases)]
    if not entries:
        return extractor

    def tidy(res: Any, request: Request) -> pd.DataFrame:
        frame = check_tidy(extractor.tidy(res, request), extractor.name)
        for entry in entries:
            if entry.tidy is not None:
                frame = put_over(frame, _asked(entry.tidy)(res, request))
        return frame

    def glance(res: Any, request: Request) -> Mapping[str, Any]:
        values = check_glance(extractor.glance(res, request), extractor.name)
        for entry in entries:
            if entry.glance is not None:
                own = check_glance(_asked(entry.glance)(res, request), "an override")
                values = {**values, **own}
        return values

    return replace(extractor, tidy=tidy, glance=glance)


def put_over(frame: pd.DataFrame, columns: Any) -> pd.DataFrame:
    """A tidy frame with columns added or replaced where their keys agree.

    Parameters
    ----------
    frame : DataFrame
    columns : DataFrame
        Key columns, ``term`` at least, and others. Rows of `frame` that it does not
        name keep what they have.

    Raises
    ------
    ValueError
        If it has no column term, or names a row twice.
    """
    new = with_our_names(pd.DataFrame(columns))
    keys = [c for c in KEY if c in new.columns]
    if "term" not in keys:
        raise ValueError("the frame of an override has no column 'term'.")
    if new.duplicated(keys).any():
        raise ValueError(
            "the frame of an override has several rows for one parameter; tell them "
            "apart by a column response, component or group."
        )
    own = new.set_index(keys).reindex(
        pd.MultiIndex.from_frame(frame[keys]) if len(keys) > 1 else frame["term"]
    )
    out = frame.copy()
    for column in own.columns:
        values = pd.Series(own[column].to_numpy(), index=out.index)
        old = out[column] if column in out.columns else pd.Series(None, out.index)
        out[column] = values.where(values.notna(), old)
    return out
