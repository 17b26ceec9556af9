"""Effects with the groups: a spaghetti plot.

Every thin line is a subject's own prediction, by its conditional modes, over the data;
the band is for the mean of the population. Nearly all grow slower without sleep, but
some hardly do.
"""

import sm_lmer.api as sml

data = sml.datasets.load_sleepstudy()
model = sml.lmer("Reaction ~ Days + (Days | Subject)", data)
fig = model.fit().plot_effects("Days", groups="Subject", data=True)
