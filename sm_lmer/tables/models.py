"""Models as a table sees them, and models that are frames and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from .contract import KEY, check_glance, check_tidy

Key = tuple[str, ...]
"""The values of :data:`sm_lmer.tables.contract.KEY` of a row."""


@dataclass(frozen=True)
class Model:
    """What a table knows of one model.

    Attributes
    ----------
    name : str
    tidy : DataFrame
        Checked by :func:`sm_lmer.tables.contract.check_tidy`.
    glance : dict
    notes : tuple of str
        What a reader of the numbers must know.
    """

    name: str
    tidy: pd.DataFrame
    glance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> dict[Key, dict[str, Any]]:
        """The rows of the tidy frame by their keys."""
        names = [str(name) for name in self.tidy.columns]
        values = self.tidy.to_numpy(dtype=object).tolist()
        records = [dict(zip(names, own, strict=True)) for own in values]
        return {tuple(row[column] for column in KEY): row for row in records}

    def part(self, random: bool) -> dict[Key, dict[str, Any]]:
        """The rows of the random part, or all others."""
        return {
            key: row
            for key, row in self.rows.items()
            if (row["effect"] == "random") == random
        }

    @cached_property
    def has_p_values(self) -> bool:
        """Whether there is a p-value at all."""
        return bool(self.tidy["p_value"].notna().any())


def absent(name: str) -> Model:
    """A model that a panel does not have: nothing but its column's name."""
    return Model(name, check_tidy(pd.DataFrame({"term": [], "estimate": []}), name))


@dataclass(frozen=True)
class TidyModel:
    """A model given by its numbers: light, picklable, of any source.

    Parameters
    ----------
    tidy : DataFrame
        One row a parameter: ``term``, ``estimate`` and what else there is of
        ``std_error``, ``statistic``, ``df``, ``p_value``, ``conf_low``, ``conf_high``,
        ``effect``, ``group``, ``type``, ``term2``, ``component``, ``response`` and
        ``label``. Names of broom (``std.error``) are understood.
    glance : DataFrame of one row, or mapping, optional
        Statistics of the model, as ``nobs``.
    notes : sequence of str
        What a reader must know.

    Raises
    ------
    ValueError
        If ``term`` or ``estimate`` is missing, or two rows name the same parameter.

    Examples
    --------
    >>> model = TidyModel(
    ...     pd.DataFrame({"term": ["x"], "estimate": [1.5], "std.error": [0.25]}),
    ...     {"nobs": 20},
    ... )
    >>> model.tidy[["term", "std_error"]].to_dict("records")
    [{'term': 'x', 'std_error': 0.25}]
    """

    tidy: pd.DataFrame
    glance: Any = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        notes = (self.notes,) if isinstance(self.notes, str) else tuple(self.notes)
        object.__setattr__(self, "tidy", check_tidy(self.tidy, "the TidyModel"))
        glance = {} if self.glance is None else self.glance
        object.__setattr__(self, "glance", check_glance(glance, "the TidyModel"))
        object.__setattr__(self, "notes", notes)

    def __sm_tidy__(self, effects: str = "all", **_: Any) -> pd.DataFrame:
        """The frame, for :func:`sm_lmer.tables.tidy.tidy`."""
        return self.part(effects)

    def __sm_glance__(self, **_: Any) -> dict[str, Any]:
        """The statistics, for :func:`sm_lmer.tables.tidy.glance`."""
        return dict(self.glance)

    def part(self, effects: str) -> pd.DataFrame:
        """The rows of the "fixed" or "random" part, or "all"."""
        if effects == "all":
            return self.tidy
        random = self.tidy["effect"] == "random"
        return self.tidy[random == (effects == "random")].reset_index(drop=True)


__all__ = ["Key", "Model", "TidyModel", "absent"]
