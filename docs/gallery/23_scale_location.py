"""Spread against fitted values.

Roots of absolute Pearson residuals with a smooth: a rising line shows variances that
grow with the mean, which was simulated here. A model of the logarithm would mend it.
"""

import numpy as np
import pandas as pd

import sm_lmer.api as sml

rng = np.random.default_rng(8)
plot, dose = np.repeat(np.arange(30), 10), np.tile(np.arange(10), 30)
mean = 20 + 4 * dose + rng.normal(0, 4, 30)[plot]
weight = mean * rng.lognormal(0, 0.12, 300)
data = pd.DataFrame({"weight": weight, "dose": dose, "plot": plot})
res = sml.lmer("weight ~ dose + (1 | plot)", data).fit()
fig = res.plot_scale_location()
