"""Every optimiser, side by side."""

from __future__ import annotations

import numpy as np
import pytest

import sm_lmer.api as sml


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin_ml"])
def test_all_methods_agree(fits, name):
    res = fits(name)
    table = sml.all_fit(res)
    assert table["converged"].all()
    assert not table["singular"].any()
    np.testing.assert_allclose(table["criterion"], -2 * res.llf, atol=1e-6)
    found = table[res.theta_names].to_numpy()
    np.testing.assert_allclose(
        found, np.tile(res.theta, (len(found), 1)), rtol=1e-3, atol=1e-4
    )


def test_singular_fits_are_marked_not_warned_of(fits):
    table = sml.all_fit(fits("dyestuff2"), ["bfgs", "bobyqa"])
    assert table["singular"].all()
    assert list(table.index) == ["bfgs", "bobyqa"]


def test_unknown_method(fits):
    with pytest.raises(ValueError, match="unknown method 'magic'"):
        sml.all_fit(fits("dyestuff"), ["magic"])
