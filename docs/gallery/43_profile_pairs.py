"""Profile pairs

Likelihood regions and profile traces of each pair of parameters, below the diagonal on
their own scales and above it on that of zeta. Regions that are round above the diagonal
belong to parameters about which the data inform separately.
"""

import sm_lmer.api as sml

data = sml.datasets.load_penicillin()
res = sml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data).fit()
fig = res.profile().plot_pairs()
