"""Standardised coefficients.

The same model fitted to standardised data: slopes are in standard deviations of the
response for one of the predictor, so that predictors in other units can be compared.
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
model = sml.lmer("MathAch ~ SES * Sector + MEANSES + Minority + (SES | School)", data)
fig = model.fit().plot_coefficients(standardized=True, sort=True, coef_rename=True)
