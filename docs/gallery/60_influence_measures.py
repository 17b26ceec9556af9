"""Influence of every school

Each of the 160 schools is left out in turn and the model fitted again. Cook's distance
and MDFFITS say how far the fixed effects move, COVRATIO and COVTRACE what happens to
their precision; diamonds lie three quartile ranges beyond the quartiles. School 3427
moves the fixed effects most, but not by much: its Cook's distance is below 0.1.
"""

import sm_lmer.api as sml

data = sml.datasets.load_hsb()
res = sml.lmer("MathAch ~ SES + (SES | School)", data).fit()
fig = res.influence("School").plot()
