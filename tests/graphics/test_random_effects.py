"""Caterpillars, normal quantiles and pairs: the numbers, and that they are drawn."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import registry
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from scipy.stats import norm

import sm_lmer.api as sml
from sm_lmer.graphics.conditional_modes import conditional_modes, ranef_frame
from sm_lmer.graphics.panels import spread
from sm_lmer.graphics.random_effects import (
    plot_caterpillar,
    plot_ranef_pairs,
    plot_ranef_qq,
)
from sm_lmer.graphics.random_pairs import ellipse

Z95 = norm.ppf(0.975)


def fit(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **options).fit()


@pytest.fixture(scope="module")
def machines():
    data = registry.dataset("machines")
    return fit("score ~ Machine + (0 + Machine | Worker)", data)


def segments(ax):
    """Ends of the first collection of lines, shape (m, 2, 2)."""
    return np.array(ax.collections[0].get_segments())


def shown_caption(fig):
    return " ".join(fig._supxlabel.get_text().split())


# -- numbers ---------------------------------------------------------------------------


def r_modes(case):
    frame = pd.DataFrame(registry.reference("group_lines")[case]["modes"])
    term = frame["term"].str.replace(r"\W", "", regex=True)
    return {
        (g, t, level): (value, sd)
        for g, t, level, value, sd in zip(
            frame["grpvar"],
            term,
            frame["grp"],
            frame["condval"],
            frame["condsd"],
            strict=True,
        )
    }


@pytest.mark.parametrize(
    "case", ["sleepstudy", "sleepstudy_weights", "machines", "pastes"]
)
def test_ranef_frame_agrees_with_r(case, machines):
    if case == "sleepstudy_weights":
        data = registry.dataset("sleepstudy")
        data = data.assign(w=0.5 + np.arange(1, len(data) + 1) % 5 / 4)
        res = fit("Reaction ~ Days + (Days | Subject)", data, weights="w")
    else:
        res = machines if case == "machines" else registry.fitted(case)
    expected = r_modes(case)
    frame = ranef_frame(res)
    assert len(frame) == len(expected)
    for row in frame.itertuples():
        term = "".join(c for c in row.term if c.isalnum())
        value, sd = expected[row.grpvar, term, str(row.grp)]
        assert_allclose(row.condval, value, rtol=2e-5, atol=2e-5)
        assert_allclose(row.condsd, sd, rtol=2e-5)
        assert_allclose(
            [row.lower, row.upper], value + Z95 * np.array([-sd, sd]), 1e-4, 1e-4
        )


def test_terms_of_one_factor_have_no_covariance():
    data = registry.dataset("sleepstudy")
    res = fit("Reaction ~ Days + (Days || Subject)", data)
    (modes,) = conditional_modes(res)
    assert modes.columns == ("Intercept", "Days")
    assert modes.covariance[0, 1] == 0.0
    assert_allclose(modes.covariance.diagonal(), res.varcorr()["vcov"][:2])


def test_factors_are_found_in_any_order_of_their_parts(fits):
    assert conditional_modes(fits("pastes"), "batch:cask")[0].group == "cask:batch"
    with pytest.raises(
        ValueError, match=r"no grouping factor 'casks'; it has cask:batch"
    ):
        plot_caterpillar(fits("pastes"), "casks")


# -- caterpillar -----------------------------------------------------------------------


def test_caterpillar_draws_modes_and_intervals_in_order(fits):
    res = fits("sleepstudy")
    modes = res.ranef()["Subject"]
    order = modes["Intercept"].sort_values().index
    left, right = plot_caterpillar(res, level=0.9).axes
    frame = ranef_frame(res, level=0.9).set_index(["term", "grp"])
    for ax, column in ((left, "Intercept"), (right, "Days")):
        assert ax.get_xlabel() == column
        assert_allclose(ax.collections[1].get_offsets()[:, 0], modes.loc[order, column])
        own = frame.loc[column].loc[order]
        assert_allclose(segments(ax)[:, :, 0], own[["lower", "upper"]])
        assert_allclose(ax.lines[0].get_xdata(), 0.0)
    assert [t.get_text() for t in left.get_yticklabels()] == list(order)
    assert [t.get_text() for t in right.get_yticklabels()] == []
    assert left.get_ylabel() == "Subject"


@pytest.mark.parametrize("sort", ["Days", "each", False])
def test_sort(fits, sort):
    res = fits("sleepstudy")
    modes = res.ranef()["Subject"]
    axes = plot_caterpillar(res, sort=sort).axes
    for ax in axes:
        drawn = ax.collections[1].get_offsets()[:, 0]
        own = modes[ax.get_xlabel()]
        if sort == "each":
            assert_allclose(drawn, np.sort(own))
            assert len(ax.get_yticklabels()) == 18
        elif sort is False:
            assert_allclose(drawn, own[::-1])
        else:
            assert_allclose(drawn, own[modes["Days"].sort_values().index])
    with pytest.raises(ValueError, match="sort='Day' is not a column"):
        plot_caterpillar(res, sort="Day")


def test_columns_and_a_given_figure(fits):
    fig = Figure()
    assert (
        plot_caterpillar(fits("sleepstudy"), columns="Days", sort="Intercept", fig=fig)
        is fig
    )
    modes = fits("sleepstudy").ranef()["Subject"].sort_values("Intercept")
    (ax,) = fig.axes
    assert_allclose(ax.collections[1].get_offsets()[:, 0], modes["Days"])
    with pytest.raises(ValueError, match=r"columns names 'Day'.*did you mean 'Days'"):
        plot_caterpillar(fits("sleepstudy"), columns=["Day"])
    with pytest.raises(ValueError, match="has axes already"):
        plot_caterpillar(fits("sleepstudy"), fig=fig)


def test_all_factors_one_below_the_other(fits):
    fig = plot_caterpillar(fits("penicillin"))
    assert [ax.get_ylabel() for ax in fig.axes] == ["plate", "sample"]
    assert [len(segments(ax)) for ax in fig.axes] == [24, 6]
    assert [
        ax.get_ylabel() for ax in plot_caterpillar(fits("penicillin"), "sample").axes
    ] == ["sample"]


def test_many_levels_have_their_extremes_labelled(fits):
    fig = plot_caterpillar(fits("insteval"), "s")
    (ax,) = fig.axes
    modes = fits("insteval").ranef()["s"]["Intercept"].sort_values()
    extreme = [str(k) for k in [*modes.index[:3], *modes.index[-3:]]]
    assert [t.get_text() for t in ax.get_yticklabels()] == extreme
    assert len(segments(ax)) == 2972
    assert ax.collections[0].get_rasterized()
    ends = [line.get_ydata()[1] for line in ax.lines[1:]]
    assert ends == [0, 1, 2, 2969, 2970, 2971]
    assert np.diff(ax.get_yticks()).min() > 50
    assert "2,972 of s" in shown_caption(fig)


def test_names_are_shown_as_they_are(rng):
    data = registry.small_frame()
    data["cost_$_in_%$"] = data["x"]
    data["g"] = data["g"].map(lambda k: f"{k}_{'long' * 10}_$")
    data["y"] += np.repeat(rng.normal(size=8), 5) * data["x"] * 2
    res = fit('y ~ Q("cost_$_in_%$") + (Q("cost_$_in_%$") | g)', data)
    fig = plot_caterpillar(res)
    assert r"cost_\$_in_%\$" in fig.axes[1].get_xlabel()
    labels = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert all(len(label) <= 23 and label.endswith(r"\$") for label in labels)
    fig.savefig("/dev/null", format="png")


def test_spread_keeps_gaps_and_limits(rng):
    for _ in range(20):
        places = np.sort(rng.uniform(0, 100, 6))
        out = spread(places, 8.0, 0.0, 100.0)
        assert np.diff(out).min() >= 8.0 - 1e-9
        assert out.min() >= 0.0
        assert out.max() <= 100.0
    apart = np.array([0.0, 50.0, 100.0])
    assert_allclose(spread(apart, 8.0, 0.0, 100.0), apart)


# -- quantiles -------------------------------------------------------------------------


def test_quantiles_are_those_of_qqmath(fits):
    res = fits("sleepstudy")
    fig = plot_ranef_qq(res)
    for ax in fig.axes:
        own = res.ranef()["Subject"][ax.get_title()].sort_values()
        x, y = ax.collections[1].get_offsets().T
        assert_allclose(x, norm.ppf((np.arange(18) + 0.5) / 18))
        assert_allclose(y, own)
        low, high = segments(ax)[:, :, 1].T
        frame = ranef_frame(res).query("term == @ax.get_title()").set_index("grp")
        assert_allclose(low, frame.loc[own.index, "lower"])
        assert_allclose(high, frame.loc[own.index, "upper"])
        line = ax.lines[1]
        slope = np.diff(line.get_ydata()) / np.diff(line.get_xdata())
        quartiles = np.quantile(own, [0.25, 0.75])
        assert_allclose(slope, np.diff(quartiles) / (2 * norm.ppf(0.75)))
    legend = [t.get_text() for t in fig.legends[0].get_texts()]
    assert legend == ["mode", "through the quartiles"]


def test_quantiles_of_all_factors(fits):
    titles = [ax.get_title() for ax in plot_ranef_qq(fits("penicillin")).axes]
    assert titles == ["plate: Intercept", "sample: Intercept"]


# -- pairs -----------------------------------------------------------------------------


def test_pairs_draw_modes_and_ellipses(fits):
    res = fits("sleepstudy")
    fig = plot_ranef_pairs(res, levels=(0.95, 0.5))
    (ax,) = fig.axes
    assert_allclose(ax.collections[0].get_offsets(), res.ranef()["Subject"])
    inner, outer = ax.lines[2:]
    inverse = np.linalg.inv(res.cov_re)
    for line, share in ((inner, 0.5), (outer, 0.95)):
        xy = np.array(line.get_data()).T
        distance = np.einsum("ki,ij,kj->k", xy, inverse, xy)
        assert_allclose(distance, -2 * np.log(1 - share))  # chi-squared with 2 df
    legend = [t.get_text() for t in fig.legends[0].get_texts()]
    assert legend == ["Subject", "50% ellipse", "95% ellipse"]


def test_more_columns_make_a_matrix(machines):
    fig = plot_ranef_pairs(machines)
    shown = [ax for ax in fig.axes if ax.axison]
    assert len(shown) == 3
    modes = machines.ranef()["Worker"].to_numpy()
    for ax, (j, i) in zip(shown, [(0, 1), (0, 2), (1, 2)], strict=True):
        assert_allclose(ax.collections[0].get_offsets(), modes[:, [j, i]])
    two = plot_ranef_pairs(
        machines, columns=list(machines.ranef()["Worker"].columns[:2])
    )
    assert len(two.axes) == 1


def test_a_singular_ellipse_is_a_line(rng):
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(12), 8), "x": np.tile(np.arange(8.0), 12)}
    )
    b = rng.normal(size=12)
    data["y"] = b[data["g"]] * (1 + data["x"]) + rng.normal(size=96)
    data["y"] -= np.tile(rng.normal(size=8), 12) * 0.1
    res = fit("y ~ x + (x | g)", data)
    assert res.singular
    fig = plot_ranef_pairs(res)
    path = np.array(fig.axes[0].lines[2].get_data()).T
    assert path.shape == (2, 2)
    sd = np.sqrt(np.diag(res.cov_re))
    assert_allclose(path[1] / sd, np.sqrt(-2 * np.log(0.5)), rtol=1e-6)
    assert "singular" in shown_caption(fig)


def test_ellipse_without_variance():
    assert ellipse(np.zeros((2, 2)), 0.5).shape == (1, 2)
    assert_allclose(ellipse(np.diag([4.0, 0.0]), 0.95)[:, 1], 0.0)


def test_pairs_need_two_columns(fits):
    with pytest.raises(ValueError, match="needs two random effects of one grouping"):
        plot_ranef_pairs(fits("penicillin"))
    with pytest.raises(ValueError, match="needs two random effects"):
        plot_ranef_pairs(fits("sleepstudy"), columns=["Days"])
    with pytest.raises(ValueError, match="at most 4 ellipses"):
        plot_ranef_pairs(fits("sleepstudy"), levels=[0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        plot_ranef_qq(fits("sleepstudy"), level=95)


@pytest.mark.parametrize("plot", [plot_caterpillar, plot_ranef_qq, plot_ranef_pairs])
def test_pyplot_knows_nothing(fits, plot):
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    fig = plot(fits("sleepstudy")._results)
    fig.draw_without_rendering()
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
