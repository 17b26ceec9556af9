"""Matrices of a nested design

Z', the relative factor Lambda, A = Lambda'Z'Z Lambda + I and its Cholesky factor L for
casks within batches. Eliminating the finer factor first leaves no fill-in.
"""

import sm_lmer.api as sml

data = sml.datasets.load_pastes()
res = sml.lmer("strength ~ 1 + (1 | batch/cask)", data).fit()
fig = res.plot_structure()
