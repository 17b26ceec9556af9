"""Coefficients with their intervals.

All fixed effects but the intercept, each in its own units, by size.
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
model = sml.lmer("MathAch ~ SES * Sector + MEANSES + Minority + (SES | School)", data)
fig = model.fit().plot_coefficients(sort=True, coef_rename=True)
