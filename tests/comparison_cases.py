"""The cases of tests/reference/comparison.json as data and fits."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
from registry import dataset, reference

import sm_lmer.api as sml

TABLES = reference("comparison")


@cache
def frame(name: str) -> pd.DataFrame:
    """A shipped data set, or one of those in the JSON file."""
    if name in TABLES["data"]:
        return pd.DataFrame(TABLES["data"][name])
    return dataset(name)


def fit(case: dict, formula: str | None = None, **settings):
    """The fit of a case; singular ones do not warn here."""
    roles = {name: case.get(name) for name in ("weights", "offset")}
    settings.setdefault("reml", case.get("reml", True))
    return fit_of(formula or case["formula"], frame(case["data"]), roles, **settings)


def fit_of(formula: str, data: pd.DataFrame, roles: dict | None = None, **settings):
    """A fit that does not warn of being singular."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **(roles or {})).fit(**settings)


def label(case: dict) -> str:
    """A name for pytest."""
    return f"{case['data']}: {case.get('formula') or case['formulas'][0]}"


def column(table: dict, name: str) -> np.ndarray:
    """A column of an R table, NA as nan."""
    return np.array([np.nan if v is None else v for v in table[name]], dtype=float)
