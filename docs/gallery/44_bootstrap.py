"""Bootstrap distributions

Replicates of the slope and of its standard deviation over subjects, with the estimate
and the ends of the percentile interval, and against normal quantiles. Points on
the line mean that a normal interval will do.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
boot = res.bootstrap(nsim=999, rng=1)
fig = boot.plot(["Days", "sd Days|Subject"])
