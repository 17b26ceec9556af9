"""The models that are timed. To add one, add a line to `CASES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from sm_lmer import datasets

from . import simulated

SIZES = ("small", "large", "huge")
"""Milliseconds; up to ten seconds; minutes in some package."""


@dataclass(frozen=True)
class Case:
    """A model and its data.

    Attributes
    ----------
    name : str
    formula : str
        For sm_lmer, R and mixedlm alike.
    load : callable
        Makes the data frame; its categoricals become unordered factors in R.
    size : {"small", "large", "huge"}
        Large cases are repeated less often, huge ones are fitted once.
    without : mapping of str
        Peers that are left out, and why.
    """

    name: str
    formula: str
    load: Callable[[], pd.DataFrame]
    size: str = "small"
    without: Mapping[str, str] = field(default_factory=dict)


CASES = [
    Case(
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        datasets.load_sleepstudy,
    ),
    Case(
        "penicillin",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        datasets.load_penicillin,
    ),
    Case(
        "pastes",
        "strength ~ 1 + (1 | batch/cask)",
        datasets.load_pastes,
    ),
    Case(
        "cake",
        "angle ~ recipe * temperature + (1 | recipe:replicate)",
        datasets.load_cake,
    ),
    Case(
        "hsb",
        "MathAch ~ SES + (SES | School)",
        datasets.load_hsb,
    ),
    Case(
        "insteval",
        "y ~ service + (1 | s) + (1 | d) + (1 | dept)",
        datasets.load_insteval,
        "large",
    ),
    Case(
        "insteval-28",
        "y ~ service * dept + (1 | s) + (1 | d)",
        datasets.load_insteval,
        "large",
    ),
    Case(
        "groups",
        "y ~ x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + region + kind + (1 | g)",
        simulated.many_groups,
        "large",
    ),
    Case("slopes", "y ~ x + (x | g)", simulated.slopes, "large"),
    Case(
        "nested",
        "y ~ x + (1 | school) + (1 | klass) + (1 | pupil)",
        simulated.nested,
        "huge",
        {"lme4": "it takes more than 5 minutes"},
    ),
    Case(
        "maximal",
        "y ~ a * b * c + (a * b * c | subj) + (a * b * c | item)",
        simulated.maximal,
        "huge",
    ),
    Case(
        "grades",
        "grade ~ x + (1 | student) + (1 | instructor) + (1 | department)",
        simulated.grades,
        "huge",
        {"lme4": "it takes more than 25 minutes"},
    ),
]


def select(names: str) -> list[Case]:
    """The cases of a comma-separated list of names, of sizes, or "all".

    Raises
    ------
    ValueError
        For an unknown name.
    """
    wanted = names.split(",")
    known = {case.name for case in CASES} | {*SIZES, "all"}
    for name in wanted:
        if name not in known:
            raise ValueError(
                f"no case {name!r}; choose among {', '.join(sorted(known))}."
            )
    return [
        case for case in CASES if not {"all", case.name, case.size}.isdisjoint(wanted)
    ]
