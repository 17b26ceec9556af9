"""Random effects with their intervals: the caterpillar plot.

Conditional modes of the 18 subjects' intercepts and slopes with 95% intervals, sorted
by the slopes. Intervals that miss the dashed line are of subjects who differ from the
population: 308 and 337 suffer most from lost sleep, 309 and 335 hardly at all.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_caterpillar(sort="Days")
