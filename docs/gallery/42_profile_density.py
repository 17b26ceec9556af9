"""Profile densities

The densities for which zeta is standard normal. Those of standard deviations are skewed
to the right, which symmetric intervals do not show.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.profile().plot_density()
