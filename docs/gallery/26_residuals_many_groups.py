"""Residuals of 1,128 lecturers.

Too many groups for boxes: ribbons hold the central half and nine tenths of the ratings
of lecturers with about the same median residual. On the right they end sooner above:
ratings have a top.
"""

import sm_lmer.api as sml

data = sml.datasets.load_insteval()
res = sml.lmer("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data).fit()
fig = res.plot_resid_groups("d")
