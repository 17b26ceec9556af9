"""Effects of two factors: an interaction plot.

Points are the means of each recipe at each temperature of baking, with 95% intervals.
The lines run beside each other, so the recipes do not need different ovens.
"""

import sm_lmer.api as sml

data = sml.datasets.load_cake()
model = sml.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", data)
fig = model.fit().plot_effects("temperature:recipe")
