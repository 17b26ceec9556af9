"""A disconnected design

Raters 1 to 4 saw items 1 to 5 only and the others the rest. The two parts share no
level, so that only the assumption of random effects makes raters of one comparable
with those of the other.
"""

import numpy as np
import pandas as pd

import sm_lmer.api as sml
from sm_lmer.graphics.structure import plot_design

rng = np.random.default_rng(1)
data = pd.DataFrame({"rater": rng.integers(1, 9, 150), "item": rng.integers(1, 6, 150)})
data["item"] += 5 * (data["rater"] > 4)
data["score"] = rng.normal(size=150)
fig = plot_design(sml.lmer("score ~ 1 + (1 | rater) + (1 | item)", data))
