"""A trellis of twelve of 160 schools, sorted by their slopes.

Mathematics achievement against socio-economic status. The schools are evenly spaced in
the order of their conditional modes. Their own slopes (dashed) go from flat to steep;
the model takes most of that for noise and draws them to the population's (dotted).
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
res = sml.lmer("MathAch ~ SES + Sex + (SES | School)", data).fit()
fig = res.plot_trellis(max_groups=12, order="SES")
