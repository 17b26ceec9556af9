"""Linear mixed models for statsmodels: lme4's models, statsmodels' manners."""

from sm_lmer._version import __version__
from sm_lmer.core.terms import RandomTerm
from sm_lmer.model import LMER

lmer = LMER.from_formula

__all__ = ["LMER", "RandomTerm", "__version__", "lmer"]
