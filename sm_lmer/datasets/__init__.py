"""Ten published data sets for mixed models, as pandas data frames."""

from sm_lmer.datasets.loaders import (
    load_cake,
    load_dyestuff,
    load_dyestuff2,
    load_hsb,
    load_insteval,
    load_machines,
    load_oats,
    load_pastes,
    load_penicillin,
    load_sleepstudy,
)

__all__ = [
    "load_cake",
    "load_dyestuff",
    "load_dyestuff2",
    "load_hsb",
    "load_insteval",
    "load_machines",
    "load_oats",
    "load_pastes",
    "load_penicillin",
    "load_sleepstudy",
]
