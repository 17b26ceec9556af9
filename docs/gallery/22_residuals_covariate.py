"""Residuals against a covariate.

The model has one linear trend in temperature; the means of the residuals at the six
temperatures go up and down without a bend, so that no curve is missing.
"""

import sm_lmer.api as sml

data = sml.datasets.load_cake()
res = sml.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", data).fit()
fig = res.plot_resid("temp", label=2)
