"""Power by simulation

Power of the test of a slope of 5 ms a day against the number of subjects, with its
simulation error. About sixteen subjects reach a power of 80%.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
power = sml.power(
    res, "Days", levels=[4, 8, 12, 16, 24], params={"Days": 5.0}, nsim=100, rng=1
)
fig = power.plot()
