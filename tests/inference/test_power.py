"""Power by simulation: an exact case, stretched data, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sm_lmer.api as sml
from sm_lmer.inference.power import stretched


@pytest.fixture(scope="module")
def pilot():
    """Eight groups of four rows, every other group treated; variances 1 and 1."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 4)
    data = pd.DataFrame({"g": g, "treated": g % 2, "x": rng.normal(size=32)})
    data["y"] = data["x"] + rng.normal(size=8)[g] + rng.normal(size=32)
    return sml.lmer("y ~ treated + x + (1 | g)", data).fit()


@pytest.mark.filterwarnings("ignore:singular fit")
def test_power_of_a_balanced_design_is_that_of_the_t_test_of_group_means(pilot):
    """Without x the test of treated is a t test of group means with J - 2 df."""
    data = pilot.model._design.frame
    res = sml.lmer("y ~ treated + (1 | g)", data).fit()
    found = sml.power(
        res,
        "treated",
        levels=12,
        params={"treated": 1.5},
        theta=[1.0],
        sigma=1.0,
        nsim=400,
        rng=3,
    )
    sd = np.sqrt((1.0 + 1.0 / 4) * (2 / 6))
    shift, df = 1.5 / sd, 10
    cutoff = stats.t.ppf(0.975, df)
    exact = stats.nct.sf(cutoff, df, shift) + stats.nct.cdf(-cutoff, df, shift)
    (row,) = found.frame.to_dict("records")
    assert row["lower"] - 0.02 < exact < row["upper"] + 0.02
    assert (row["levels"], row["rows"], row["failed"]) == (12, 48, 0)


def test_same_numbers_whatever_n_jobs_and_more_power_with_more_groups(pilot):
    settings = {"levels": [4, 16], "params": {"x": 0.4}, "nsim": 40, "rng": 1}
    alone = sml.power(pilot, "x", **settings)
    both = sml.power(pilot, "x", n_jobs=2, **settings)
    pd.testing.assert_frame_equal(alone.frame, both.frame)
    assert alone.frame["power"].is_monotonic_increasing
    assert "satterthwaite" in repr(alone)


def test_a_term_of_several_coefficients(data):
    res = sml.lmer("angle ~ recipe + temp + (1|recipe:replicate)", data("cake")).fit()
    found = sml.power(res, "recipe", along="replicate", levels=3, nsim=10, rng=1)
    assert found.frame["rows"].item() == 3 * 18


def test_stretched_data():
    frame = pd.DataFrame(
        {
            "a": ["u", "u", "v"],
            "b": ["p", "q", "r"],
            "c": ["k", "l", "k"],
            "x": [1, 2, 3],
        }
    )
    out = stretched(frame, "a", ["a", "b", "c"], levels=3, size=2)
    assert out["a"].to_list() == ["u", "u", "v", "v", "u.2", "u.2"]
    assert out["b"].to_list() == ["p", "q", "r", "r", "p.2", "q.2"]  # nested in a
    assert out["c"].to_list() == ["k", "l", "k", "k", "k", "l"]  # crossed with a
    assert out["x"].to_list() == [1, 2, 3, 3, 1, 2]


def test_plot(pilot):
    pytest.importorskip("matplotlib", reason="plots need the extra plot")
    found = sml.power(pilot, "x", levels=[4, 8], size=[2, 4], nsim=10, rng=1)
    figure = found.plot()
    lines = figure.axes[0].containers
    assert [c.get_label() for c in lines] == ["2 rows a level", "4 rows a level"]
    drawn = lines[1].lines[0].get_ydata()
    four = found.frame["size"] == 4
    np.testing.assert_allclose(
        np.asarray(drawn, dtype=float), found.frame.loc[four, "power"]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"effect": "treted"}, "neither a coefficient nor a term"),
        ({"along": "h"}, "along='h' is no column of a grouping factor"),
        ({"levels": 0}, "levels must be positive integers"),
        ({"params": {"z": 1.0}}, "params names 'z', which is no coefficient"),
        ({"sigma": -1.0}, "sigma must be positive"),
        ({"alpha": 1.5}, "between 0 and 1"),
        ({"nsim": 0}, "nsim is a number of draws"),
    ],
)
def test_bad_input(pilot, changes, message):
    arguments = {"effect": "treated", "nsim": 5} | changes
    with pytest.raises(ValueError, match=message):
        sml.power(pilot, **arguments)
