"""A nested factor

Each cask belongs to one batch, so that the rows make a staircase, three steps a batch,
with two rows on each.
"""

import sm_lmer.api as sml
from sm_lmer.graphics.structure import plot_design

data = sml.datasets.load_pastes()
fig = plot_design(sml.lmer("strength ~ 1 + (1 | batch/cask)", data))
