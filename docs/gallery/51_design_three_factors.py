"""Three grouping factors

Students are partially crossed with lecturers and with departments, whereas every
lecturer is nested in one department.
"""

import sm_lmer.api as sml
from sm_lmer.graphics.structure import plot_design

data = sml.datasets.load_insteval()
fig = plot_design(sml.lmer("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data))
