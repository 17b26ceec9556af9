"""Shrinkage of intercepts and slopes.

Each arrow leads from a subject's own regression to the model's estimate. Estimates far
from the population are moved most, and along the direction that the data say least
about: in a regression, a lower intercept and a steeper slope trade off.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_shrinkage()
