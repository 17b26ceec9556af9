"""Matrices of a large crossed design

73,421 ratings of 1,128 lecturers by 2,972 students. The students' block of L is
diagonal and never filled; that of the lecturers fills completely and takes most of
the work.
"""

import sm_lmer.api as sml

data = sml.datasets.load_insteval()
res = sml.lmer("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data).fit()
fig = res.plot_structure()
