"""Profile zeta plot

Signed root deviance of each parameter of the sleepstudy model. A straight line means a
quadratic deviance and a good Wald interval; those of the standard deviations bend, so
that their intervals, the vertical lines, are not symmetric about the estimate.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.profile().plot_zeta()
