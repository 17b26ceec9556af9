"""Observed against fitted.

The smooth follows the line of equality; the vertical distances are the residuals.
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
res = sml.lmer("MathAch ~ SES + (SES | School)", data).fit()
fig = res.plot_observed()
