"""Intercepts against slopes, with the estimated ellipses.

Each point is a subject's conditional mode; the ellipses hold 50% and 95% of the normal
distribution that the model estimates. They are nearly upright: the correlation is 0.07.
Modes are shrunken, so that they fill less than the ellipses.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_ranef_pairs()
