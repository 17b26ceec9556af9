"""Shrinkage and trellis: coefficients and lines against R and other routes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import registry
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

import sm_lmer.api as sml
from sm_lmer.components import by_factor, covariances
from sm_lmer.graphics.group_lines import group_term, pooling
from sm_lmer.graphics.group_predictions import axis_of, group_predictions
from sm_lmer.graphics.pooling import plot_shrinkage, plot_trellis
from sm_lmer.graphics.trellis import spread_sample


def fit(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **options).fit()


@pytest.fixture(scope="module")
def crossed():
    """Slopes over g, slopes without correlation over h, weights and an offset."""
    rng = np.random.default_rng(5)
    n = 240
    data = pd.DataFrame({"x": rng.normal(3, 1, n), "z": rng.normal(size=n)})
    data["g"] = rng.integers(0, 15, n)
    data["h"] = rng.choice(list("pqrst"), n)
    data["w"], data["o"] = rng.uniform(0.5, 2, n), rng.normal(size=n)
    b, c = rng.normal(size=(15, 2)), rng.normal(size=5)
    own = b[data["g"], 0] + b[data["g"], 1] * data["x"]
    others = c[data["h"].map("pqrst".index)] + data["z"] + data["o"]
    data["y"] = 2 + own + others + rng.normal(size=n)
    return fit("y ~ x + z + (x | g) + (1 | h)", data, weights="w", offset="o")


def shown_caption(fig):
    return " ".join(fig._supxlabel.get_text().split())


# -- shrinkage -------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["sleepstudy", "sleepstudy_weights"])
def test_coefficients_agree_with_r(case, fits, data):
    if case == "sleepstudy":
        res = fits("sleepstudy")
    else:
        frame = data("sleepstudy")
        frame = frame.assign(w=0.5 + np.arange(1, len(frame) + 1) % 5 / 4)
        res = fit("Reaction ~ Days + (Days | Subject)", frame, weights="w")
    expected = registry.reference("group_lines")[case]
    found = pooling(res)
    assert_allclose(found.none, expected["none"], rtol=1e-9)
    assert_allclose(found.partial, expected["partial"], rtol=2e-6)
    assert_allclose(
        found.partial, res.coef()["Subject"][list(found.columns)], rtol=1e-9
    )
    assert_allclose(found.population, res.params, rtol=1e-9)


@pytest.mark.parametrize("group", ["g", "h"])
def test_partial_pooling_is_the_weighted_mean(crossed, group):
    res = crossed._results
    found, term = pooling(res, group), group_term(res, group)
    Sigma = covariances(res)[by_factor(res)[group][0]]
    for k in np.flatnonzero(found.estimable):
        own = term.factor.codes == k
        Z, w = term.Z[own], res.model.weights[own]
        error = res.scale * np.linalg.inv(Z.T @ (w[:, None] * Z))
        shrunken = Sigma @ np.linalg.solve(
            Sigma + error, found.none[k] - found.population
        )
        assert_allclose(
            found.partial[k] - found.population, shrunken, rtol=1e-7, atol=1e-9
        )


def test_own_regressions_do_not_depend_on_units(data):
    frame = data("sleepstudy")
    frame = frame.assign(Y=2010.0 + frame["Days"], R=1e6 + frame["Reaction"] * 1e3)
    one = pooling(fit("Reaction ~ Days + (Days | Subject)", frame))
    other = pooling(fit("R ~ Y + (Y | Subject)", frame))
    slopes = other.none[:, 1]
    assert_allclose(slopes, 1e3 * one.none[:, 1], rtol=1e-8)
    starts = other.none[:, 0] + 2010 * slopes
    assert_allclose(starts, 1e6 + 1e3 * one.none[:, 0], rtol=1e-9)


def test_other_coding_of_a_factor_has_group_means(data):
    machines = data("machines")
    found = pooling(fit("score ~ Machine + (0 + Machine | Worker)", machines))
    means = machines.pivot_table(
        index="Worker", columns="Machine", values="score", observed=True
    )
    assert_allclose(found.none, means.loc[found.levels], rtol=1e-10)
    population = machines.groupby("Machine", observed=True)["score"].mean()
    assert_allclose(found.population, population, rtol=1e-8)


def test_arrows_go_from_own_to_partial(fits):
    res = fits("sleepstudy")
    found = pooling(res)
    (ax,) = plot_shrinkage(res).axes
    arrows = ax.collections[0]
    assert_allclose(arrows.get_offsets(), found.none)
    moved = np.column_stack([arrows.U, arrows.V])
    assert_allclose(found.none + moved, found.partial)
    open_marks, full_marks, population = ax.collections[1:]
    assert_allclose(open_marks.get_offsets(), found.none)
    assert_allclose(full_marks.get_offsets(), found.partial)
    assert_allclose(population.get_offsets()[0], res.params)
    texts = [t.get_text() for t in ax.figure.legends[0].get_texts()]
    assert texts == ["no pooling", "partial pooling", "population"]
    swapped = plot_shrinkage(res, x="Days").axes[0]
    assert (swapped.get_xlabel(), swapped.get_ylabel()) == ("Days", "Intercept")


def test_one_column_is_sorted_by_own_regressions(fits, data):
    (ax,) = plot_shrinkage(fits("dyestuff")).axes
    means = (
        data("dyestuff").groupby("Batch", observed=True)["Yield"].mean().sort_values()
    )
    assert_allclose(ax.collections[0].get_offsets()[:, 0], means)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(means.index)
    zero = plot_shrinkage(fits("dyestuff2")).axes[0]
    assert_allclose(
        zero.collections[2].get_offsets()[:, 0], fits("dyestuff2").params.iloc[0]
    )


def test_groups_without_regression_are_counted(rng):
    data = pd.DataFrame({"g": np.r_[np.repeat(np.arange(8), 6), np.arange(8, 13)]})
    data["x"] = rng.normal(size=len(data))
    data.loc[data["g"] == 7, "x"] = 2.0
    data["y"] = rng.normal(size=13)[data["g"]] + data["x"] + rng.normal(size=len(data))
    res = fit("y ~ x + (x | g)", data)
    found = pooling(res)
    assert list(np.flatnonzero(~found.estimable)) == [7, 8, 9, 10, 11, 12]
    fig = plot_shrinkage(res)
    assert len(fig.axes[0].collections[0].get_offsets()) == 7
    assert "6 of 13 levels have no regression of their own" in shown_caption(fig)


def test_dependent_columns_have_no_shrinkage(data):
    res = fit("score ~ Machine + (Machine || Worker)", data("machines"))
    with pytest.raises(
        ValueError, match=r"no level of Worker has a regression of its own"
    ):
        plot_shrinkage(res)


def test_shrinkage_on_given_axes(fits):
    ax = Figure().subplots()
    assert plot_shrinkage(fits("penicillin"), "sample", ax=ax) is ax.figure
    assert ax.get_legend().get_texts()[0].get_text() == "no pooling"
    assert "held at their estimates" in ax.get_xlabel()
    with pytest.raises(ValueError, match=r"x='Day' is no random effect of Subject"):
        plot_shrinkage(fits("sleepstudy"), x="Day")
    with pytest.raises(ValueError, match="choose two columns"):
        plot_shrinkage(fits("sleepstudy"), x="Days", y="Days")


def test_many_levels(fits):
    fig = plot_shrinkage(fits("insteval"), "d")
    (ax,) = fig.axes
    assert len(ax.collections[0].get_offsets()) == 1128
    assert list(ax.get_yticks()) == []
    assert "1,128 levels are not labelled" in shown_caption(fig)


# -- trellis ---------------------------------------------------------------------------


def lines_of(res, group, x=None, codes=None):
    res = res._results
    term = group_term(res, group)
    axis = axis_of(res, term, x)
    every = np.arange(term.factor.n_levels)
    return group_predictions(res, term, axis, every if codes is None else codes)


def test_lines_agree_with_r():
    expected = registry.reference("group_lines")["simulated"]
    res = fit("y ~ x + z + (1 | g)", pd.DataFrame(expected["data"]))
    lines = lines_of(res, "g")
    assert lines.axis.name == "x"
    for k, level in enumerate(lines.term.factor.levels):
        r = expected["lines"][level]
        assert_allclose(lines.own_grid[k][[0, -1]], r["x"], rtol=1e-12)
        assert_allclose(lines.own[k][[0, -1]], r["own"], rtol=1e-6)
        at = [
            np.interp(r["x"], lines.grid, y[k])
            for y in (lines.partial, lines.population)
        ]
        assert_allclose(at, [r["partial"], r["population"]], rtol=1e-5)


def test_lines_of_random_slopes_are_their_coefficients(fits):
    res = fits("sleepstudy")
    lines, found = lines_of(res, "Subject"), pooling(res)
    for y, coefficients in ((lines.partial, found.partial), (lines.own, found.none)):
        expected = coefficients[:, :1] + coefficients[:, 1:] * lines.grid
        assert_allclose(y, expected, rtol=1e-8)
    assert_allclose(lines.population, np.tile(lines.population[0], (18, 1)))


def test_partial_line_at_the_means_is_the_mean_fit(crossed):
    lines = lines_of(crossed, "g")
    model = crossed.model
    fitted = np.asarray(crossed.fittedvalues) - model.offset
    x, z = lines.axis.values, model.exog[:, 2]
    others = lines.term.others
    for k, code in enumerate(lines.codes):
        own = lines.term.factor.codes == code
        means = [v[own].mean() for v in (x, z, others)]
        weighted = np.average(others[own], weights=model.weights[own])
        at_mean = fitted[own].mean() + model.offset[own].mean() - means[2] + weighted
        assert_allclose(
            np.interp(means[0], lines.grid, lines.partial[k]), at_mean, rtol=1e-8
        )


def test_categorical_variable(data):
    machines = data("machines")
    res = fit("score ~ Machine + (Machine | Worker)", machines)
    lines = lines_of(res, "Worker")
    assert lines.axis.levels == ("A", "B", "C")
    means = machines.pivot_table(
        index="Worker", columns="Machine", values="score", observed=True
    )
    assert_allclose(lines.own, means.loc[lines.term.factor.levels], rtol=1e-9)
    fitted = (
        pd.Series(np.asarray(res.fittedvalues))
        .groupby([machines["Worker"], machines["Machine"]], observed=True)
        .mean()
        .unstack()
    )
    assert_allclose(lines.partial, fitted.loc[lines.term.factor.levels], rtol=1e-9)
    ax = plot_trellis(res).axes[-1]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["A", "B", "C"]


def test_other_labels_are_averaged_as_they_occur(data):
    machines = data("machines").assign(t=np.arange(54) % 7)
    res = fit("score ~ Machine + t + (1 | Worker)", machines)
    lines = lines_of(res, "Worker", "t")
    fitted = pd.Series(np.asarray(res.fittedvalues))
    for k, level in enumerate(lines.term.factor.levels):
        own = (machines["Worker"] == level).to_numpy()
        mean = machines["t"][own].mean()
        at_mean = np.interp(mean, lines.grid, lines.partial[k])
        assert_allclose(at_mean, fitted[own].mean(), rtol=1e-9)


def test_own_regressions_are_of_the_data_as_they_are(data):
    machines = data("machines")
    res = fit("score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", machines)
    lines = lines_of(res, "Worker")
    means = machines.pivot_table(
        index="Worker", columns="Machine", values="score", observed=True
    )
    assert_allclose(lines.own, means.loc[lines.term.factor.levels], rtol=1e-9)


@pytest.mark.parametrize("x", ["x", "nonlinear"])
def test_functions_of_the_variable_move_with_it(rng, x):
    data = registry.small_frame()
    formula = "y ~ x + (1 | g)" if x == "x" else "y ~ np.exp(x) + x + (1 | g)"
    res = fit(formula, data)
    lines = lines_of(res, "g", "x")
    new = pd.DataFrame({"x": lines.grid, "g": "c"})
    assert_allclose(lines.partial[2], res.predict(new), rtol=1e-9)


def test_models_from_arrays_have_the_same_lines(data):
    frame = data("sleepstudy")
    X = np.column_stack([np.ones(180), np.arange(180) % 7, frame["Days"]])
    arrays = sml.LMER(
        frame["Reaction"].to_numpy(), X, groups=frame["Subject"], exog_re=X[:, [0, 2]]
    ).fit()
    formula = fit("Reaction ~ t + Days + (Days | Subject)", frame.assign(t=X[:, 1]))
    one = lines_of(arrays, "Subject")
    two = lines_of(formula, "Subject")
    for name in ("population", "partial", "own", "own_grid"):
        assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-7)
    assert plot_trellis(arrays).axes[0].get_title() == "308"


def test_constant_variable_has_no_own_line(rng):
    data = pd.DataFrame({"g": np.repeat(np.arange(6), 5), "x": rng.normal(size=30)})
    data.loc[data["g"] == 4, "x"] = 0.5
    data["y"] = rng.normal(size=6)[data["g"]] + rng.normal(size=30)
    lines = lines_of(fit("y ~ x + (1 | g)", data), "g")
    assert np.isnan(lines.own[4]).all()
    assert lines.without_own == 1
    assert np.isfinite(lines.own[[0, 1, 2, 3, 5]]).all()


def test_trellis_draws_data_and_lines(fits, data):
    res = fits("sleepstudy")
    frame = data("sleepstudy")
    fig = plot_trellis(res, groups=["309", "337"])
    lines = lines_of(res, "Subject")
    levels = list(lines.term.factor.levels)
    for ax in fig.axes:
        own = frame[frame["Subject"] == ax.get_title()]
        assert_allclose(ax.collections[0].get_offsets(), own[["Days", "Reaction"]])
        k = levels.index(ax.get_title())
        for line, y in zip(
            ax.lines, (lines.population, lines.own, lines.partial), strict=True
        ):
            assert_allclose(line.get_ydata(), y[k])
    texts = [t.get_text() for t in fig.legends[0].get_texts()]
    assert texts == ["data", "no pooling", "partial pooling", "population"]
    styles = {line.get_linestyle() for line in fig.axes[0].lines}
    assert len(styles) > 1


def test_order_of_panels(fits):
    res = fits("sleepstudy")
    titles = [ax.get_title() for ax in plot_trellis(res, order="Days").axes]
    assert titles == list(res.ranef()["Subject"]["Days"].sort_values().index)
    with pytest.raises(ValueError, match="order='days' is no random effect of Subject"):
        plot_trellis(res, order="days")
    with pytest.raises(
        ValueError, match="groups names levels that Subject does not have: 1"
    ):
        plot_trellis(res, groups=[1])


def test_a_sample_of_many_levels(fits):
    fig = plot_trellis(fits("insteval"), group="s", max_groups=6)
    modes = fits("insteval").ranef()["s"]["Intercept"]
    ranks = modes.rank().to_numpy()
    shown = [str(level) for level in modes.index].index
    codes = [shown(ax.get_title()) for ax in fig.axes if ax.axison]
    assert sorted(ranks[codes]) == pytest.approx(np.linspace(1, 2972, 6), abs=1)
    assert "6 of the 2,972 levels of s" in shown_caption(fig)
    assert list(spread_sample(np.array([3.0, 1.0, 2.0]), 1)) == [2]


def test_default_variable(fits, data):
    assert (
        plot_trellis(fits("hsb"), max_groups=2).axes[0].figure._supxlabel.get_text()
        == "SES"
    )
    with pytest.raises(ValueError, match="needs a variable for the horizontal axis"):
        plot_trellis(fits("dyestuff"))
    with pytest.raises(ValueError, match="x='sampel' is no column"):
        plot_trellis(fits("penicillin"), x="sampel")
    fig = plot_trellis(fits("penicillin"), x="sample", group="plate", groups=["a"])
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == list("ABCDEF")
    nested = fit(
        "score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", data("machines")
    )
    assert plot_trellis(nested).axes[0].get_title() == "6"


def test_without_rows_it_says_so(data):
    res = fit("Yield ~ 1 + (1 | Batch)", data("dyestuff"))
    res.remove_data()
    with pytest.raises(ValueError, match="remove_data"):
        plot_shrinkage(res)
