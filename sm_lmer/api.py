"""Public names: ``import sm_lmer.api as sml``."""

from sm_lmer import datasets
from sm_lmer.allfit import all_fit
from sm_lmer.core.terms import RandomTerm
from sm_lmer.errors import DroppedColumnsWarning, SingularFitWarning
from sm_lmer.formula.grammar import FormulaError
from sm_lmer.inference.boundary import exact_lrt, exact_rlrt
from sm_lmer.inference.comparison import anova_lmer
from sm_lmer.inference.ranova import ranova
from sm_lmer.model import LMER
from sm_lmer.results import LMERResults

lmer = LMER.from_formula
mixedlm = LMER.from_formula

__all__ = [
    "LMER",
    "DroppedColumnsWarning",
    "FormulaError",
    "LMERResults",
    "RandomTerm",
    "SingularFitWarning",
    "all_fit",
    "anova_lmer",
    "datasets",
    "exact_lrt",
    "exact_rlrt",
    "lmer",
    "mixedlm",
    "ranova",
]
