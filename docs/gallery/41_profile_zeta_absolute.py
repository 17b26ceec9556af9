"""Absolute profile zeta

The same on the absolute scale for the dyestuff data: each bar is an interval, and the
profile of the standard deviation between batches reaches zero within the 99% one.
"""

import sm_lmer.api as sml

data = sml.datasets.load_dyestuff()
res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
fig = res.profile().plot_zeta(absolute=True)
