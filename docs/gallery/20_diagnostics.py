"""Six standard plots of a fit.

Residuals against fitted values, their spread and quantiles, quantiles of the random
effects, residuals by group, and densities of simulated responses. In the sleep study
three days of two subjects are far outside the band; nothing else stands out.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_diagnostics()
