"""Pairs of several random effects of one factor.

Six workers on three machines, one random effect a machine. Workers who are good on one
machine are good on the others, but worker 6 fails on machine B, outside the inner
ellipses.
"""

import sm_lmer.api as sml

data = sml.datasets.load_machines()
res = sml.lmer("score ~ Machine + (0 + Machine | Worker)", data).fit()
fig = res.plot_ranef_pairs()
