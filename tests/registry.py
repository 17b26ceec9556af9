"""The registry of named data sets and fits; each is made once a session."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import sm_lmer.api as sml

REFERENCE = Path(__file__).parent / "reference"

# name: (data set, formula); fits are by REML unless the name ends in _ml
MODELS = {
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "sleepstudy_ri": ("sleepstudy", "Reaction ~ Days + (1 | Subject)"),
    "dyestuff": ("dyestuff", "Yield ~ 1 + (1 | Batch)"),
    "dyestuff2": ("dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    "penicillin": ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "pastes": ("pastes", "strength ~ 1 + (1 | batch/cask)"),
    "cake": ("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
    "machines": ("machines", "score ~ Machine + (Machine | Worker)"),
    "oats": ("oats", "yield ~ nitro * Variety + (1 | Block/Variety)"),
    "hsb": ("hsb", "MathAch ~ SES + (SES | School)"),
    "insteval": ("insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)"),
}


@cache
def reference(name: str) -> dict:
    """A JSON file that an R script in tests/reference wrote."""
    return json.loads((REFERENCE / f"{name}.json").read_text())


@cache
def dataset(name: str) -> pd.DataFrame:
    """A shipped data set."""
    return getattr(sml.datasets, f"load_{name}")()


@cache
def fitted(name: str):
    """The fit of that name; singular ones do not warn here."""
    data, formula = MODELS[name.removesuffix("_ml")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, dataset(data)).fit(reml=not name.endswith("_ml"))


def small_frame() -> pd.DataFrame:
    """Forty rows of made-up data: 8 groups g crossed with 5 groups h."""
    n = 40
    rng = np.random.default_rng(1)
    data = pd.DataFrame(rng.normal(size=(n, 4)), columns=["y", "x", "z", "o"])
    data["w"] = rng.uniform(1, 2, n)
    data["g"] = np.repeat(list("abcdefgh"), 5)
    data["h"] = np.tile(list("pqrst"), 8)
    data["y"] += np.repeat(rng.normal(size=8), 5)
    return data
