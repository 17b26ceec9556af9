"""Matrices of a crossed design

The same for plates crossed with samples. Every plate meets every sample, so that the
block of samples, diagonal in A, is filled in L.
"""

import sm_lmer.api as sml

data = sml.datasets.load_penicillin()
res = sml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data).fit()
fig = res.plot_structure()
