"""Normal quantiles of random effects, with intervals.

Points along the line speak for normal random effects. The students' (s) follow it; the
upper tail of the lecturers' (d) bends below it: the best lecturers stand out less than
those of a normal distribution would.
"""

import sm_lmer.api as sml

data = sml.datasets.load_insteval()
res = sml.lmer("y ~ service + (1 | s) + (1 | d)", data).fit()
fig = res.plot_ranef_qq()
