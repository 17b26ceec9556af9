"""Effects with partial residuals.

Each point is an observation without what the other variables and the random effects
explain. The points follow the curve, so a square is enough for nitrogen.
"""

import sm_lmer.api as sml

data = sml.datasets.load_oats()
model = sml.lmer(
    "Q('yield') ~ nitro + I(nitro**2) + Variety + (1 | Block/Variety)", data
)
fig = model.fit().plot_effects("nitro", partial_residuals=True)
