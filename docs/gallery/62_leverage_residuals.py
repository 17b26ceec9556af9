"""Leverage against residuals

Areas are Cook's distances without each observation. A large residual matters where
leverage is high: row 59 (the last day of subject 332) does, while the largest residual
of all, three days earlier, has little leverage.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.influence().plot_influence()
