"""Effects of three variables: a panel a level of the third.

Status of the pupil, of the school (at its mean and a standard deviation to either side)
and sector. The slopes differ between the panels more than within them.
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
model = sml.lmer("MathAch ~ SES * MEANSES * Sector + (1 | School)", data)
fig = model.fit().plot_effects("SES:MEANSES:Sector")
