"""A caterpillar of 2,972 levels.

Ratings of lectures at ETH Zurich by students (s) and lecturers (d), crossed. With
many levels the lines are thin and only the extremes are labelled. Lecturers differ
more than students do, and many of their intervals miss zero.
"""

import sm_lmer.api as sml

data = sml.datasets.load_insteval()
res = sml.lmer("y ~ service + (1 | s) + (1 | d)", data).fit()
fig = res.plot_caterpillar()
