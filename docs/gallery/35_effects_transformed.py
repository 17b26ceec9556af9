"""Effects of a curve, back on the scale of the data.

The model is for the logarithm of the wages that were simulated here, with a spline of
age; `transform=` takes mean and ends of the band back, so that the axis is in money.
"""

import numpy as np
import pandas as pd

import sm_lmer.api as sml

rng = np.random.default_rng(8)
firm = rng.integers(0, 40, 800)
age = rng.uniform(18, 65, 800)
log_wage = 2.5 + 0.7 * np.log(age - 15) / 4 - 0.0003 * (age - 45) ** 2
log_wage = log_wage + rng.normal(0, 0.1, 40)[firm] + rng.normal(0, 0.15, 800)
data = pd.DataFrame({"wage": np.exp(log_wage), "age": age, "firm": firm})

res = sml.lmer("np.log(wage) ~ bs(age, df=5) + (1 | firm)", data).fit()
fig = res.plot_effects("age", transform=np.exp, data=True)
