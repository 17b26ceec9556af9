"""Shrinkage of group means.

With one random effect a level the picture has one dimension. The mean of each batch of
dyestuff is drawn towards the mean of all batches, by the same share of its distance
because the data are balanced.
"""

import sm_lmer.api as sml

data = sml.datasets.load_dyestuff()
res = sml.lmer("Yield ~ 1 + (1 | Batch)", data).fit()
fig = res.plot_shrinkage()
