"""Matrices of correlated slopes

Two random effects a subject, an intercept and a slope, make 2 x 2 blocks in Lambda; the
rows of Z' for the slopes grow darker with the days of the study.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.plot_structure()
