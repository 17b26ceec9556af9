"""A trellis over the levels of a factor.

Scores of six workers on three machines. Each worker has a pattern of their own, worker
6 above all; with three scores a cell, the model's estimates are close to the means.
"""

import sm_lmer.api as sml

data = sml.datasets.load_machines()
res = sml.lmer("score ~ Machine + (Machine | Worker)", data).fit()
fig = res.plot_trellis()
