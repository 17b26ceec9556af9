"""Formula interface: ``import sm_lmer.formula.api as smlf``."""

from sm_lmer.model import LMER

lmer = LMER.from_formula
mixedlm = LMER.from_formula

__all__ = ["lmer", "mixedlm"]
