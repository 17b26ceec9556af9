"""Plots of residuals: the numbers drawn, against R and by other routes."""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from registry import dataset, reference
from scipy import stats

import sm_lmer.api as sml
from sm_lmer.graphics import residuals as plots
from sm_lmer.graphics.diagnostics import plot_diagnostics, standard_modes
from sm_lmer.graphics.group_boxes import group_quantiles
from sm_lmer.graphics.normal_quantiles import quantile_band
from sm_lmer.graphics.simulated_residuals import plot_predictive, predictive_densities
from sm_lmer.graphics.smooth import density, quantile_curves, smooth_curve, thinned

Figure = pytest.importorskip("matplotlib.figure").Figure

LONG = "a_name_of_forty_characters_with_an_end_x"


@pytest.fixture(scope="module")
def weighted():
    data = dataset("sleepstudy").assign(w=lambda d: 1 + d["Days"] / 10)
    return sml.lmer("Reaction ~ Days + (Days | Subject)", data, weights="w").fit()


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(1)
    n = 60_000
    g = np.arange(n) % 3000
    x = rng.gamma(2, 1, n)
    y = x + rng.normal(size=3000)[g] + rng.normal(size=n)
    return sml.lmer("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g})).fit()


def offsets(ax, k=0):
    return np.asarray(ax.collections[k].get_offsets())


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def caption(figure):
    return figure.get_supxlabel()


# Numbers against R -------------------------------------------------------------------


@pytest.mark.parametrize("kind", plots.KINDS)
def test_kinds_of_residuals_are_those_of_r(weighted, kind):
    expected = np.array(reference("residuals")[kind])
    found = plots.residual_values(weighted, kind)
    assert_allclose(found, expected, atol=1e-6 * np.std(expected))


def test_smooth_is_the_lowess_of_r():
    ref = reference("residuals")
    x, y = np.array(ref["lowess"]["x"]), np.array(ref["pearson"])
    data = dataset("sleepstudy").assign(w=lambda d: 1 + d["Days"] / 10)
    res = sml.lmer("Reaction ~ Days + (Days | Subject)", data, weights="w").fit()
    at, smooth = smooth_curve(np.asarray(res.fittedvalues), y)
    assert_allclose(at, x, rtol=1e-6)
    assert_allclose(smooth, ref["lowess"]["y"], atol=1e-5)


def test_quartile_line_and_group_quantiles_are_those_of_r(weighted):
    ref = reference("residuals")
    frame = plots.resid_qq_frame(weighted, band=None)
    intercept, slope = ref["qqline"]
    assert_allclose(frame["line"], intercept + slope * frame["normal"], atol=1e-6)
    factor = weighted.model.re_terms[0].factor
    found = group_quantiles(factor, np.asarray(weighted.resid_pearson))
    assert found["median"].is_monotonic_increasing
    for label, expected in ref["groups"].items():
        own = found.loc[label, ["low", "lower", "median", "upper", "high"]]
        assert_allclose(own.to_numpy(dtype=float), expected, atol=1e-6)


# Numbers by other routes -------------------------------------------------------------


def test_binned_smooth_is_near_the_truth_and_the_exact_one(rng):
    x = rng.exponential(size=50_000)
    y = np.sin(x) + rng.normal(size=len(x))
    at, smooth = smooth_curve(x, y, 0.1)
    inner = (at > 0.1) & (at < 3)
    assert np.abs(smooth - np.sin(at))[inner].max() < 0.1
    again = smooth_curve(x[:20_000], y[:20_000], 0.1)
    assert np.abs(np.interp(at, *again) - smooth)[inner].max() < 0.15


def test_smooth_of_few_values_is_their_means(rng):
    x = np.repeat([1.0, 2.0, 5.0], 30)
    y = rng.normal(size=90)
    at, smooth = smooth_curve(x, y)
    assert_array_equal(at, [1, 2, 5])
    assert_allclose(smooth, y.reshape(3, 30).mean(axis=1))
    assert len(smooth_curve(np.ones(9), y[:9])[0]) == 0


def test_smooth_where_most_values_are_equal(rng):
    x = np.concatenate([np.zeros(900), rng.uniform(1, 2, 100)])
    at, smooth = smooth_curve(x, 3 * x)
    assert np.isfinite(smooth).all()
    assert_allclose(smooth[0], 0, atol=1e-8)
    assert (np.diff(at) > 0).all()


def test_quantile_curves_by_brute_force(rng):
    x = np.repeat(np.arange(8.0), 20)
    y = rng.normal(size=160)
    at, found = quantile_curves(x, y, np.array([0.25, 0.5]), 8)
    expected = np.quantile(y.reshape(8, 20), [0.25, 0.5], axis=1).T
    assert_array_equal(at, np.arange(8))
    assert_allclose(found, expected)


def test_density_is_scipys(rng):
    values = rng.normal(size=500)
    grid = np.linspace(-6, 6, 1200)
    kernel = stats.gaussian_kde(values, bw_method=0.3 / np.std(values, ddof=1))
    assert_allclose(density(values, grid, 0.3), kernel(grid), atol=1e-4)


def test_pointwise_band_is_that_of_order_statistics(rng):
    lower, upper = quantile_band(50, np.arange(50), "pointwise", 0.9)
    samples = np.sort(rng.normal(size=(20_000, 50)), axis=1)
    inside = ((samples > lower) & (samples < upper)).mean(axis=0)
    assert_allclose(inside, 0.9, atol=0.012)


@pytest.mark.parametrize("n", [5, 40, 1500])
def test_simultaneous_band_holds_whole_samples(rng, n):
    lower, upper = quantile_band(n, np.arange(n), "simultaneous", 0.95)
    samples = np.sort(rng.normal(size=(2_000, n)), axis=1)
    inside = ((samples > lower) & (samples < upper)).all(axis=1).mean()
    assert abs(inside - 0.95) < 0.025


def test_thinning_keeps_the_ends_and_the_shape():
    at = thinned(1_000_000)
    assert len(at) < 2_100
    assert_array_equal(at[:500], np.arange(500))
    assert_array_equal(at[-500:], np.arange(999_500, 1_000_000))
    assert np.diff(stats.norm.ppf((at + 0.5) / 1e6))[500:-500].max() < 0.02
    assert_array_equal(thinned(700), np.arange(700))


def test_standard_modes_have_the_models_variance(fits):
    res = fits("sleepstudy")
    found = standard_modes(res)
    tau = np.sqrt(res.varcorr()["vcov"].iloc[0])
    modes, conditional = res.ranef(cond_var=True)
    known = conditional["Subject"][:, 0, 0]
    expected = modes["Subject"]["Intercept"] / np.sqrt(tau**2 - known)
    assert_allclose(found["Intercept"], expected)
    assert standard_modes(fits("dyestuff2")).isna().all().all()


# What is drawn -----------------------------------------------------------------------


def test_residuals_against_fitted(fits):
    res = fits("sleepstudy")
    figure = plots.plot_resid(res)
    ax = figure.axes[0]
    assert isinstance(figure, Figure)
    assert_allclose(offsets(ax), np.column_stack([res.fittedvalues, res.resid_pearson]))
    assert texts(ax) == [str(i) for i in np.argsort(-np.abs(res.resid_pearson))[:3]]
    at, smooth = smooth_curve(
        np.asarray(res.fittedvalues), np.asarray(res.resid_pearson)
    )
    assert_allclose(ax.lines[-1].get_xydata(), np.column_stack([at, smooth]))
    assert ax.get_xlabel() == "Fitted Reaction"
    assert caption(figure) == ""
    assert len(res.plot_resid(smooth=False, label=0).axes[0].lines) == 1


def test_covariates_of_all_sorts(fits):
    res = fits("sleepstudy")
    ax = res.plot_resid("Days", kind="response").axes[0]
    assert_allclose(
        offsets(ax), np.column_stack([np.tile(np.arange(10), 18), res.resid])
    )
    means = np.asarray(res.resid).reshape(18, 10).mean(axis=0)
    assert_allclose(ax.lines[-1].get_ydata(), means, atol=1e-9)
    other = pd.Series(np.arange(180.0), name="order")
    ax = res.plot_resid(other.sample(frac=1, random_state=1)).axes[0]
    assert ax.get_xlabel() == "order"
    assert_array_equal(offsets(ax)[:, 0], np.arange(180))
    some = np.where(np.arange(180) < 10, np.nan, np.arange(180.0))
    figure = res.plot_resid(some, name="visit")
    assert len(offsets(figure.axes[0])) == 170
    assert caption(figure) == "10 rows left out in which visit is missing."
    when = pd.date_range("2024-01-01", periods=180)
    ax = res.plot_resid(when, name="when").axes[0]
    assert offsets(ax)[0, 0] == 19723


def test_rows_of_the_data_that_the_model_left_out():
    data = dataset("sleepstudy").assign(visit=np.arange(180.0))
    data.loc[[3, 5], "Days"] = np.nan
    res = sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit()
    kept = np.delete(np.arange(180), [3, 5])
    for x in (data["visit"], data["visit"].to_numpy(), kept.astype(float)):
        assert_array_equal(offsets(res.plot_resid(x, name="v").axes[0])[:, 0], kept)


def test_levels_have_boxes(fits):
    res = fits("cake")
    ax = res.plot_resid("recipe").axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["A", "B", "C"]
    medians = [segment[0, 1] for segment in ax.collections[2].get_segments()]
    groups = pd.Series(np.asarray(res.resid_pearson)).groupby(
        dataset("cake")["recipe"].to_numpy()
    )
    assert_allclose(medians, groups.median())
    boxes = [path.get_extents() for path in ax.collections[0].get_paths()]
    assert_allclose([b.y0 for b in boxes], groups.quantile(0.25))
    assert_allclose([b.y1 for b in boxes], groups.quantile(0.75))


def test_whiskers_and_points_as_matplotlibs(fits):
    from matplotlib.cbook import boxplot_stats

    res = fits("sleepstudy")
    ax = res.plot_resid("Subject").axes[0]
    parts = np.asarray(res.resid_pearson).reshape(18, 10)
    expected = boxplot_stats(parts.T)
    whiskers = ax.collections[1].get_segments()
    assert_allclose([s[1, 1] for s in whiskers[:18]], [e["whislo"] for e in expected])
    assert_allclose([s[1, 1] for s in whiskers[18:]], [e["whishi"] for e in expected])
    fliers = np.concatenate([e["fliers"] for e in expected])
    assert_allclose(np.sort(offsets(ax, 3)[:, 1]), np.sort(fliers))


def test_scale_location(fits):
    res = fits("sleepstudy")
    ax = res.plot_scale_location().axes[0]
    roots = np.sqrt(np.abs(res.resid_pearson))
    assert_allclose(offsets(ax)[:, 1], roots)
    assert_allclose(ax.lines[0].get_ydata(), roots.mean())


def test_normal_quantiles(fits):
    res = fits("sleepstudy")
    ax = res.plot_resid_qq(band="pointwise", level=0.9).axes[0]
    points = offsets(ax, 1)
    assert_allclose(points[:, 1], np.sort(res.resid_pearson))
    assert_allclose(points[:, 0], stats.norm.ppf((np.arange(180) + 0.625) / 180.25))
    assert legend(ax) == ["normal", "90% pointwise"]
    assert set(texts(ax)) == {"56", "59", "7"}
    with pytest.raises(ValueError, match="band is"):
        res.plot_resid_qq(band="wide")
    with pytest.raises(ValueError, match="level is"):
        res.plot_resid_qq(level=95)


def test_groups_are_sorted_by_their_medians(fits):
    res = fits("pastes")
    ax = res.plot_resid_groups("batch").axes[0]
    names = [t.get_text() for t in ax.get_yticklabels()]
    medians = (
        pd.Series(np.asarray(res.resid_pearson))
        .groupby(dataset("pastes")["batch"].to_numpy())
        .median()
    )
    assert names == list(medians.sort_values(kind="stable").index)
    drawn = [segment[0, 0] for segment in ax.collections[2].get_segments()]
    assert_allclose(np.sort(drawn), medians.sort_values())
    assert ax.get_ylabel().startswith("batch")
    lone = res.plot_resid_groups().axes[0]  # two rows a cask: points, no boxes
    assert len(lone.collections[0].get_paths()) == 0
    assert len(offsets(lone, 3)) == 60


def test_observed_against_fitted(fits):
    res = fits("sleepstudy")
    ax = res.plot_observed(re_form=False).axes[0]
    expected = np.column_stack(
        [res.predict(re_form=False), dataset("sleepstudy")["Reaction"]]
    )
    assert_allclose(offsets(ax), expected)
    assert_allclose(*ax.lines[0].get_xydata().T)
    assert ax.get_xlabel() == "Fitted Reaction (fixed part)"


def test_many_rows_and_groups_are_cells_and_ribbons(many):
    start = time.process_time()
    cells = many.plot_resid()
    assert caption(cells).startswith("60,000 rows: darker cells")
    mesh = cells.axes[0].collections[0]
    assert mesh.get_array().sum() == 60_000
    assert mesh.get_rasterized()
    figure = many.plot_resid_groups()
    assert "3,000 groups" in caption(figure).replace("\n", " ")
    line = figure.axes[0].lines[0].get_xydata()
    assert len(line) == 150
    assert (np.diff(line[:, 1]) >= 0).all()
    whole = group_quantiles(
        many.model.re_terms[0].factor, np.asarray(many.resid_pearson)
    )
    assert_allclose(line[0, 1], whole["median"].iloc[:20].mean())
    quantiles = many.plot_resid_qq()
    assert len(offsets(quantiles.axes[0], 1)) < 2_100
    assert "thinned" in caption(quantiles)
    assert time.process_time() - start < 5


def test_predictive_densities(fits):
    res = fits("sleepstudy")
    grid, own, others = predictive_densities(res, 30, rng=3)
    step = grid[1] - grid[0]
    assert_allclose(own.sum() * step, 1, atol=1e-6)
    assert_allclose(others.sum(axis=1) * step, 1, atol=1e-3)
    assert others.shape == (30, 512)
    ax = plot_predictive(res, 30, 3).axes[0]
    assert_allclose(ax.lines[0].get_ydata(), own)
    assert_allclose([s[:, 1] for s in ax.collections[0].get_segments()], others)
    assert legend(ax) == ["30 simulated", "observed"]
    again = plot_predictive(res, 30, 3).axes[0]
    assert_array_equal(
        ax.collections[0].get_segments(), again.collections[0].get_segments()
    )


def test_ratings_have_a_wide_kernel():
    data = pd.DataFrame(
        {
            "g": np.repeat(np.arange(20), 10),
            "y": np.tile([1.0, 2, 2, 3, 3, 3, 4, 4, 5, 5], 20),
        }
    )
    data["y"] = np.clip(data["y"] + data["g"] % 2, 1, 5)
    grid, own, _ = predictive_densities(sml.lmer("y ~ 1 + (1 | g)", data).fit(), 5)
    inside = (grid > 2) & (grid < 4)
    assert own[inside].min() > 0.5 * own.max()


# Simulated residuals -----------------------------------------------------------------


def test_plot_of_simulated_residuals(fits):
    found = fits("sleepstudy").simulated_residuals(nsim=50, rng=2)
    figure = found.plot("Days")
    left, right = figure.axes
    assert_allclose(offsets(left)[:, 1], np.sort(found.scaled))
    assert_allclose(
        offsets(right), np.column_stack([np.tile(np.arange(10), 18), found.scaled])
    )
    p = found.test_uniformity().p_simulated
    assert left.get_title(loc="left").startswith(f"uniformity p = {p:.2g},")
    assert "outside all simulated" in legend(right)
    assert_allclose(offsets(right, 1)[:, 1], found.scaled[found.outlying])
    levels = found.plot("Subject", tests=False)
    assert levels.axes[1].get_title(loc="left") == ""
    with pytest.raises(ValueError, match="axes already"):
        found.plot(fig=figure)


def test_equal_predictions_are_drawn_along_the_rows(fits):
    found = fits("dyestuff").simulated_residuals(nsim=20)
    assert found.plot().axes[1].get_xlabel() == "Row (all predictions are equal)"


# The six -----------------------------------------------------------------------------


def test_the_six_standard_plots(fits):
    res = fits("sleepstudy")
    figure = res.plot_diagnostics()
    assert figure.get_figwidth() == 7
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [t[:2] for t in titles] == ["1.", "2.", "3.", "4.", "5.", "6."]
    modes = standard_modes(res)
    for k, column in enumerate(modes):
        assert_allclose(offsets(figure.axes[3], k)[:, 1], np.sort(modes[column]))
    assert legend(figure.axes[3]) == ["Intercept", "Days"]
    with pytest.raises(ValueError, match="no grouping factor 'Days'"):
        plot_diagnostics(res, group="Days")


def test_singular_fits_and_other_factors(fits):
    figure = fits("dyestuff2").plot_diagnostics()
    assert texts(figure.axes[3]) == ["no variance\n(singular fit)"]
    figure = fits("penicillin").plot_diagnostics(group="sample")
    assert figure.axes[3].get_ylabel().startswith("sample")
    assert len(offsets(figure.axes[3])) == 6


def test_models_from_arrays(fits):
    data = dataset("sleepstudy")
    X = np.column_stack([np.ones(180), data["Days"]])
    res = sml.LMER(
        data["Reaction"].to_numpy(), X, groups=data["Subject"].to_numpy()
    ).fit()
    assert len(plot_diagnostics(res).axes) == 6
    ax = res.plot_resid("x1").axes[0]
    assert_array_equal(offsets(ax)[:, 0], data["Days"])
    with pytest.raises(ValueError, match="does not use a column 'Days'"):
        res.plot_resid("Days")


def test_hostile_names_fit_into_the_figure(rng):
    data = pd.DataFrame({LONG: rng.normal(size=200), "g": np.arange(200) % 9})
    data[LONG] += rng.normal(size=9)[data["g"]]
    data["h"] = np.array(["$a_1%", "b$ " + LONG])[rng.integers(0, 2, 200)]
    res = sml.lmer(f"{LONG} ~ h + (1 | g)", data).fit()
    for figure in (res.plot_resid("h", kind="response"), res.plot_diagnostics()):
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        assert box.x0 >= -0.02
        assert box.y0 >= -0.02
        assert box.x1 <= figure.get_figwidth() + 0.02
    labels = res.plot_resid("h").axes[0].get_xticklabels()
    assert labels[0].get_text() == r"\$a_1%"


def test_labels_do_not_lie_on_each_other(fits):
    for name in ("sleepstudy", "machines", "hsb"):
        figure = fits(name).plot_resid(label=6)
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert len(boxes) >= 2
        assert not any(a.overlaps(b) for a, b in pairs)


def test_axes_of_the_user_are_left_as_they_are(many):
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert many.plot_resid(ax=left) is figure
    assert not right.collections
    figure = Figure()
    figure.supxlabel("mine")
    many.plot_resid(ax=figure.subplots())
    assert caption(figure) == "mine"


def test_refusals(fits):
    res = fits("sleepstudy")
    with pytest.raises(ValueError, match="unknown kind 'deviance'"):
        res.plot_resid(kind="deviance")
    with pytest.raises(ValueError, match="did you mean 'Days'"):
        res.plot_resid("days")
    with pytest.raises(ValueError, match="uses 180 rows"):
        res.plot_resid(np.zeros(17))
    with pytest.raises(ValueError, match="smooth is"):
        res.plot_resid(smooth=3.0)
    bare = sml.lmer("Yield ~ 1 + (1 | Batch)", dataset("dyestuff")).fit()
    bare.remove_data()
    for draw in (
        bare.plot_resid,
        bare.plot_resid_groups,
        bare.plot_diagnostics,
        bare.plot_observed,
    ):
        with pytest.raises(ValueError, match="remove_data"):
            draw()


def test_pyplot_is_not_touched(fits):
    fits("dyestuff").plot_diagnostics()
    fits("dyestuff").simulated_residuals(nsim=9).plot()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
