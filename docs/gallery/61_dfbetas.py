"""Change of every fixed effect without each subject

The change is in standard errors, and the dashed lines are at 2 / sqrt(18). Without
subject 335, whose reactions became faster, the slope is half a standard error larger.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
fig = res.influence("Subject").plot_dfbetas()
