"""Residuals against normal quantiles.

Normal samples stay inside the band as a whole 19 times in 20. The tails of the sleep
study are longer than normal.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_resid_qq()
