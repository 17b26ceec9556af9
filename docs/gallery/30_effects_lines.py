"""Effects: lines with bands.

What the model predicts for pupils of either sector as their socio-economic status
rises, in schools of average status. The lines meet: in Catholic schools achievement
depends less on the home.
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
model = sml.lmer("MathAch ~ SES * Sector + MEANSES + (SES | School)", data)
fig = model.fit().plot_effects("SES:Sector")
