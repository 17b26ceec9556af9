"""Simulated responses.

Densities of 50 responses simulated from the fit, and of the scores observed: these are
flatter and end sharply at the largest possible score, which the normal model does not.
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
res = sml.lmer("MathAch ~ SES + (SES | School)", data).fit()
fig = res.plot_predictive()
