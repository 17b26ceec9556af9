"""Which terms and statistics a table shows, in which order, under which names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .contract import STATISTICS, Statistic, statistic_of, statistic_position

CoefMap = Mapping[str, str] | Sequence[str] | None
CoefRename = Mapping[str, str] | Callable[[str], str] | bool | None
GofMap = Sequence[Any] | Mapping[str, Any] | str | None


def merged(orders: Iterable[Sequence[Any]]) -> list[Any]:
    """One order of all keys: a new one goes before its successor that is known.

    Parameters
    ----------
    orders : iterable of sequences
        The keys of each model; the order of earlier ones goes before later ones.

    Examples
    --------
    >>> merged([["a", "b"], ["a", "x", "b", "c"], ["a", "d"]])
    ['a', 'x', 'b', 'c', 'd']
    """
    out: list[Any] = []
    known: set[Any] = set()
    for keys in orders:
        new: list[Any] = []
        for key in keys:
            if key not in known:
                new.append(key)
            elif new:
                at = out.index(key)
                out[at:at] = new
                new = []
        out += new
        known.update(keys)
    return out


def coefficient_labels(
    names: Sequence[tuple[str, ...]],
    coef_map: CoefMap,
    coef_omit: str | Sequence[str] | None,
    coef_rename: CoefRename,
) -> list[tuple[int, str]]:
    """Positions of the rows to show, in order, with their labels.

    Parameters
    ----------
    names : sequence of tuple of str
        Of each row: its label first, then other names it goes by, as its term.
    coef_map : mapping or sequence of str, optional
        The rows to show, in this order; a mapping renames them too.
    coef_omit : str or sequence of str, optional
        Regular expressions; a row with a name that matches one is left out.
    coef_rename : mapping, callable or bool, optional
        New labels; True for readable ones, as ``recipe: B`` for ``recipe[T.B]``.
    """
    omitted = _matcher(coef_omit, "coef_omit")
    kept = [k for k, own in enumerate(names) if not any(map(omitted, own))]
    if coef_map is not None:
        new = coef_map if isinstance(coef_map, Mapping) else {n: n for n in coef_map}
        found: dict[int, str] = {}
        for name, label in new.items():
            for k in kept:
                if name in names[k]:
                    found.setdefault(k, label)
        return list(found.items())
    return [(k, _renamed(names[k], coef_rename)) for k in kept]


def _matcher(
    patterns: str | Sequence[str] | None, argument: str
) -> Callable[[str], bool]:
    """Whether a name matches one of some regular expressions."""
    given = [patterns] if isinstance(patterns, str) else list(patterns or ())
    try:
        compiled = [re.compile(pattern) for pattern in given]
    except (re.error, TypeError) as error:
        raise ValueError(
            f"{argument} is {patterns!r}, which is no regular expression: {error}."
        ) from None
    return lambda name: any(pattern.search(name) for pattern in compiled)


def _renamed(names: tuple[str, ...], rename: CoefRename) -> str:
    if rename is None or rename is False:
        return names[0]
    if rename is True:
        return readable(names[0])
    if isinstance(rename, Mapping):
        return next((rename[n] for n in names if n in rename), names[0])
    return rename(names[0])


def readable(term: str) -> str:
    """A coefficient's name without the engine's notation.

    Examples
    --------
    >>> readable("C(recipe)[T.B]:temp"), readable("np.log(x)")
    ('recipe: B × temp', 'np.log(x)')
    """
    parts = re.split(r":(?![^\[(]*[\])])", term)
    return " × ".join(map(_readable_part, parts))  # noqa: RUF001


def _readable_part(part: str) -> str:
    found = re.fullmatch(r"(?:C\((\w+)[^)]*\)|([^\[]+))\[(?:T\.|S\.)?([^\]]*)\]", part)
    if found is None:
        return part
    return f"{found.group(1) or found.group(2)}: {found.group(3)}"


def statistics_shown(
    keys: Iterable[str], gof_map: GofMap, gof_omit: str | Sequence[str] | None
) -> list[Statistic]:
    """The statistics to show, in order.

    Parameters
    ----------
    keys : iterable of str
        Those that some model has.
    gof_map : "all", sequence or mapping, optional
        Keys; (key, label) or (key, label, fmt) tuples; mappings with ``raw``,
        ``clean`` and ``fmt``; or a mapping from keys to labels. None for the usual
        ones.
    gof_omit : str or sequence of str, optional
        Regular expressions on keys and labels.
    """
    present = sorted(dict.fromkeys(keys), key=statistic_position)
    if gof_map is None:
        shown = [s for s in map(statistic_of, present) if s.shown]
    elif isinstance(gof_map, str) and gof_map == "all":
        shown = [statistic_of(key) for key in present]
    else:
        shown = _mapped(present, gof_map)
    omitted = _matcher(gof_omit, "gof_omit")
    return [s for s in shown if not (omitted(s.key) or omitted(s.label))]


def _mapped(present: Sequence[str], gof_map: Any) -> list[Statistic]:
    if isinstance(gof_map, str):
        gof_map = [gof_map]
    entries = gof_map.items() if isinstance(gof_map, Mapping) else gof_map
    out = []
    for entry in entries:
        wanted = _entry(entry)
        if wanted.key in ("ngroups", "ngroups_"):
            out += [statistic_of(k) for k in present if k.startswith("ngroups_")]
        elif wanted.key in present:
            out.append(wanted)
        elif statistic_position(wanted.key) == len(STATISTICS):
            raise ValueError(
                f"gof_map names {wanted.key!r}, which no model has; there are "
                f"{', '.join(present)}."
            )
    return out


def _entry(entry: Any) -> Statistic:
    if isinstance(entry, str):
        return statistic_of(entry)
    if isinstance(entry, Mapping):
        entry = (entry.get("raw"), entry.get("clean"), entry.get("fmt"))
    key, label, fmt = (*entry, None, None)[:3]
    if not isinstance(key, str):
        raise ValueError(
            f"{entry!r} is no entry of gof_map; use a key, (key, label, fmt), or a "
            "mapping with raw, clean and fmt."
        )
    usual = statistic_of(key)
    return Statistic(
        key,
        usual.label if label is None else label,
        usual.fmt if fmt is None else fmt,
    )
