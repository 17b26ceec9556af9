"""Index plot of 2,972 students

Each student of InstEval is left out by the closed formulas with one Newton step, which
takes seconds where refits would take an hour. One relative change of a variance is
shown; no student changes the variance of the students by more than a percent.
"""

import sm_lmer.api as sml

data = sml.datasets.load_insteval()
res = sml.lmer("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data).fit()
fig = res.influence("s", method="one-step").plot_index("rvc_var Intercept|s")
