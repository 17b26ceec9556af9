"""Simulated residuals.

Where each response lies among 250 simulated ones. Left: the scores of the pupils
leave the diagonal, flatter than normal. Right: the quartiles rise with the prediction,
because pupils also gain from the mean SES of their schools, which the model lacks.
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
res = sml.lmer("MathAch ~ SES + (SES | School)", data).fit()
fig = res.simulated_residuals().plot()
