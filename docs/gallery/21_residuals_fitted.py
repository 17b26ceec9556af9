"""Residuals against fitted values.

The smooth stays near zero, so the straight lines of the subjects are enough. The rows
labelled are by the index of the data.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_resid(kind="response")
