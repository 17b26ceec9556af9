"""A trellis: data, own regressions, partial pooling, population.

Where the three lines agree, pooling costs nothing. Subjects 309, 310 and 335 depart
from the population and nearly keep their own lines; the steep slopes of 350 and 370 are
moderated.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_trellis()
