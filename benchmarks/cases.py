"""The models that are timed. To add one, add a line to `CASES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from sm_lmer import datasets


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
    large : bool
        Whether one fit takes longer than about 0.1 s in some package: such cases are
        repeated less often.
    """

    name: str
    formula: str
    load: Callable[[], pd.DataFrame]
    large: bool = False


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
        large=True,
    ),
]


def select(names: str) -> list[Case]:
    """The cases of a comma-separated list of names, "small", "large" and "all".

    Raises
    ------
    ValueError
        For an unknown name.
    """
    wanted = names.split(",")
    known = {case.name for case in CASES} | {"small", "large", "all"}
    for name in wanted:
        if name not in known:
            raise ValueError(
                f"no case {name!r}; choose among {', '.join(sorted(known))}."
            )
    return [
        case
        for case in CASES
        if not {"all", case.name, "large" if case.large else "small"}.isdisjoint(wanted)
    ]
