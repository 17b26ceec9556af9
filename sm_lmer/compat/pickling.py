"""patsy's specifications as they can be pickled, which patsy itself refuses."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import patsy


@dataclass(frozen=True)
class _Plain:
    """An object of patsy: its class and its attributes, made plain too."""

    kind: type
    attributes: Any


@dataclass(frozen=True)
class _Pairs:
    """A mapping by its pairs, as plain keys need not be hashable."""

    kind: type
    pairs: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class _Names:
    """The place of an environment; its names come from outside."""


def plain(value: Any) -> Any:
    """A copy in which no object of patsy is left; see :func:`whole`.

    What stateful transforms have learnt is kept, so that no data are needed to make
    the specification whole. The names that its functions were found under are not.
    """
    if isinstance(value, patsy.EvalEnvironment):
        return _Names()
    if isinstance(value, dict):
        pairs = tuple((plain(k), plain(v)) for k, v in value.items())
        return _Pairs(type(value), pairs)
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(plain(v) for v in value)
    if type(value).__module__.split(".")[0] == "patsy":
        return _Plain(type(value), plain(vars(value)))
    return value


def whole(value: Any, namespace: Mapping[str, Any]) -> Any:
    """The object that :func:`plain` took apart, with names from a namespace."""
    builtins = {name: getattr(patsy.builtins, name) for name in patsy.builtins.__all__}
    return _whole(value, patsy.EvalEnvironment([dict(namespace), builtins]))


def _whole(value: Any, environment: patsy.EvalEnvironment) -> Any:
    if isinstance(value, _Names):
        return environment
    if isinstance(value, _Pairs):
        pairs = [
            (_whole(k, environment), _whole(v, environment)) for k, v in value.pairs
        ]
        return value.kind(pairs)
    if isinstance(value, _Plain):
        made: Any = object.__new__(value.kind)
        attributes = _whole(value.attributes, environment)
        # names of attributes are shared, so that the next pickle is no longer
        vars(made).update({sys.intern(k): v for k, v in attributes.items()})
        return made
    if isinstance(value, (list, tuple)):
        return type(value)(_whole(v, environment) for v in value)
    return value


__all__ = ["plain", "whole"]
