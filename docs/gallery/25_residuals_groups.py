"""Residuals by group.

Subjects sorted by their medians: 332 and 308 are far more variable than 309 and 372,
which one common residual variance does not show.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_resid_groups()
