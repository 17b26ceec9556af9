"""Public names: ``import sm_lmer.api as sml``."""

from sm_lmer import datasets
from sm_lmer.allfit import all_fit
from sm_lmer.core.terms import RandomTerm
from sm_lmer.errors import DroppedColumnsWarning, SingularFitWarning
from sm_lmer.formula.grammar import FormulaError
from sm_lmer.graphics.modelplot import modelplot
from sm_lmer.inference.boot_ci import boot_ci
from sm_lmer.inference.boundary import exact_lrt, exact_rlrt
from sm_lmer.inference.comparison import anova_lmer
from sm_lmer.inference.power import power
from sm_lmer.inference.ranova import ranova
from sm_lmer.linalg import Krylov
from sm_lmer.many import ManyFits, lmer_many
from sm_lmer.model import LMER
from sm_lmer.results import LMERResults
from sm_lmer.tables.dispatch import register_override, register_tidier
from sm_lmer.tables.models import TidyModel
from sm_lmer.tables.modelsummary import modelsummary
from sm_lmer.tables.numbers import fmt_decimal, fmt_p, fmt_sci, fmt_significant
from sm_lmer.tables.options import AddRow, options
from sm_lmer.tables.tidy import augment, glance, tidy

lmer = LMER.from_formula
mixedlm = LMER.from_formula

__all__ = [
    "LMER",
    "AddRow",
    "DroppedColumnsWarning",
    "FormulaError",
    "Krylov",
    "LMERResults",
    "ManyFits",
    "RandomTerm",
    "SingularFitWarning",
    "TidyModel",
    "all_fit",
    "anova_lmer",
    "augment",
    "boot_ci",
    "datasets",
    "exact_lrt",
    "exact_rlrt",
    "fmt_decimal",
    "fmt_p",
    "fmt_sci",
    "fmt_significant",
    "glance",
    "lmer",
    "lmer_many",
    "mixedlm",
    "modelplot",
    "modelsummary",
    "options",
    "power",
    "ranova",
    "register_override",
    "register_tidier",
    "tidy",
]
