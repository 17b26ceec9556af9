"""The columns of a table from what the caller passes as models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PER_MODEL = ("vcov", "ddf", "exponentiate")
"""Arguments that can differ from model to model."""

CLUSTERED = ("cluster", "CR0", "CR1", "CR1S", "CR2")
"""Covariances that come with groups, as ``{"CR2": "School"}``."""


@dataclass(frozen=True)
class Column:
    """One model of a table with what is asked of it alone.

    Attributes
    ----------
    name : str
    result : object
    vcov : str, array, callable or None
    ddf : str or None
    exponentiate : bool or "auto"
    """

    name: str
    result: Any
    vcov: Any = None
    ddf: str | None = None
    exponentiate: bool | str = False


def gathered(models: Any, settings: Mapping[str, Any]) -> dict[str, list[Column]]:
    """Panels of columns; models that are in no panels are in one without a name.

    Parameters
    ----------
    models : result, sequence, mapping, or mapping of those
    settings : mapping
        The arguments of :data:`PER_MODEL`.

    Raises
    ------
    ValueError
        If there are no models, names are repeated, or settings and models differ in
        number.
    """
    if isinstance(models, Mapping) and _holds_panels(models):
        panels = {str(name): _columns(own, settings) for name, own in models.items()}
        if len(panels) < len(models):
            raise ValueError("two panels have the same name; give each its own.")
        return panels
    return {"": _columns(models, settings)}


def _holds_panels(models: Mapping[Any, Any]) -> bool:
    nested = [isinstance(own, (Mapping, list, tuple)) for own in models.values()]
    if any(nested) and not all(nested):
        raise ValueError(
            "some values of the models' dict are dicts and some are models; use "
            "panels of models, or models, for all."
        )
    return any(nested)


def _columns(models: Any, settings: Mapping[str, Any]) -> list[Column]:
    named = _named(models)
    if not named:
        raise ValueError(
            "there are no models; pass a fitted model, or a list or dict of them."
        )
    if len(named) == 1:
        several = {n: v for n, v in settings.items() if _count(v, named[0][0]) > 1}
        if several:
            return _repeated(named[0], settings, several)
    each = {name: _spread(settings[name], name, named) for name in PER_MODEL}
    return [
        Column(name, result, **{key: values[k] for key, values in each.items()})
        for k, (name, result) in enumerate(named)
    ]


def _named(models: Any) -> list[tuple[str, Any]]:
    if isinstance(models, Mapping):
        named = [(str(name), model) for name, model in models.items()]
        if len({name for name, _ in named}) < len(named):
            raise ValueError("two models have the same name; give each its own.")
        return named
    if isinstance(models, (list, tuple, Iterator)):
        return [(f"({k})", model) for k, model in enumerate(models, start=1)]
    return [("(1)", models)]


def _clustered(setting: Any, names: Sequence[str]) -> bool:
    """Whether a mapping is a covariance with its groups, not one of models."""
    if not isinstance(setting, Mapping) or len(setting) != 1:
        return False
    name, groups = next(iter(setting.items()))
    return name in CLUSTERED and name not in names and not isinstance(groups, Mapping)


def _count(setting: Any, name: str) -> int:
    """How many columns a setting makes of one model of that name."""
    if isinstance(setting, (list, tuple)):
        return len(setting)
    if not isinstance(setting, Mapping) or _clustered(setting, [name]):
        return 1
    return 1 if name in setting else len(setting)


def _spread(setting: Any, argument: str, named: Sequence[tuple[str, Any]]) -> list[Any]:
    """One value for each model."""
    names = [name for name, _ in named]
    if isinstance(setting, Mapping) and not _clustered(setting, names):
        unknown = [name for name in setting if name not in names]
        if unknown:
            raise ValueError(
                f"{argument} names the model {unknown[0]!r}, but there are "
                f"{', '.join(names)}."
            )
        usual = False if argument == "exponentiate" else None
        return [setting.get(name, usual) for name in names]
    if not isinstance(setting, (list, tuple)):
        return [setting] * len(named)
    if len(setting) != len(named):
        raise ValueError(
            f"{argument} has {len(setting)} values for {len(named)} models; pass one "
            "for all or one a model."
        )
    return list(setting)


def _repeated(
    named: tuple[str, Any], settings: Mapping[str, Any], several: Mapping[str, Any]
) -> list[Column]:
    """One model in as many columns as it is given covariances, or other settings."""
    name, result = named
    counts = {argument: len(values) for argument, values in several.items()}
    if len(set(counts.values())) > 1:
        said = " and ".join(f"{n} {argument}" for argument, n in counts.items())
        raise ValueError(f"one model with {said}: pass as many of each.")
    count = next(iter(counts.values()))
    values = {
        argument: list(v.values()) if isinstance(v, Mapping) else list(v)
        for argument, v in several.items()
    }
    constant = {
        argument: _spread(settings[argument], argument, [named])[0]
        for argument in PER_MODEL
        if argument not in several
    }
    return [
        Column(column, result, **constant, **{a: v[k] for a, v in values.items()})
        for k, column in enumerate(_column_names(name, several, count))
    ]


def _column_names(name: str, several: Mapping[str, Any], count: int) -> list[str]:
    """Keys of a mapping; else the model's name and what is special of the column."""
    for values in several.values():
        if isinstance(values, Mapping):
            return [str(key) for key in values]
    if name == "(1)":
        return [f"({k + 1})" for k in range(count)]
    specials = next(iter(several.values()))
    said = [s if isinstance(s, str) else str(k) for k, s in enumerate(specials, 1)]
    if len(set(said)) < count:
        said = [str(k) for k in range(1, count + 1)]
    return [
        name if special is None else f"{name} ({text})"
        for special, text in zip(specials, said, strict=True)
    ]


__all__ = ["PER_MODEL", "Column", "gathered"]
