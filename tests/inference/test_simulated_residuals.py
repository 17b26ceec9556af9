"""Simulated residuals: definitions, tests, what they find."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from registry import dataset
from scipy import stats

import sm_lmer.api as sml
from sm_lmer.inference.simulate import simulated_responses
from sm_lmer.inference.simulated_residuals import simulated_residuals


def made(n_groups=40, size=10, seed=1, curve=0.0, transform=None):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(n_groups), size)
    x, c = rng.uniform(-1, 1, len(g)), rng.choice(list("abc"), len(g))
    y = 1 + x + curve * x**2 + rng.normal(0, 0.5, n_groups)[g]
    y = y + rng.normal(size=len(g))
    data = pd.DataFrame({"y": y, "x": x, "g": g, "c": c})
    data["y"] = data["y"] if transform is None else transform(data["y"])
    data["w"] = rng.uniform(0.2, 4.0, len(g))
    return data


@pytest.fixture(scope="module")
def residuals():
    res = sml.lmer("y ~ x + (1 | g)", made()).fit()
    return simulated_residuals(res, nsim=99, rng=3)


def columns(found):
    """The observed response and the simulated ones, shape (n, nsim + 1)."""
    return np.column_stack([found.observed, found.simulated])


# Definitions -------------------------------------------------------------------------


def test_scaled_residuals_are_randomised_ranks(residuals):
    below = [
        (row < y).sum()
        for row, y in zip(residuals.simulated, residuals.observed, strict=True)
    ]
    assert_array_equal(residuals.ranks, below)
    size = residuals.nsim + 1
    assert (residuals.scaled * size > residuals.ranks).all()
    assert (residuals.scaled * size < residuals.ranks + 1).all()
    dharma = residuals.ranks / residuals.nsim
    assert np.abs(residuals.scaled - dharma).max() <= 1 / size
    assert_allclose(stats.norm.cdf(residuals.normal), residuals.scaled)


def test_simulated_responses_are_those_of_the_fit(residuals):
    expected = simulated_responses(residuals.results, 99, np.random.default_rng(3))
    assert_array_equal(residuals.simulated, expected)


def test_marginal_residuals_approach_normal_probabilities():
    res = sml.lmer("y ~ x + (1 | g)", made(), weights="w").fit()
    found = simulated_residuals(res, nsim=4000, rng=1)
    tau2 = res.varcorr()["vcov"].iloc[0]
    sd = np.sqrt(tau2 + res.scale / res.model.weights)
    expected = stats.norm.cdf((res.model.endog - res.predict(re_form=False)) / sd)
    assert np.abs(found.scaled - expected).max() < 0.04


def test_conditional_residuals_approach_those_of_pearson():
    res = sml.lmer("y ~ x + (1 | g)", made(), weights="w").fit()
    found = simulated_residuals(res, nsim=4000, rng=1, re_form=None)
    assert np.abs(found.scaled - stats.norm.cdf(res.resid_pearson)).max() < 0.04
    assert_allclose(found.fitted, res.fittedvalues)


def test_some_random_effects_may_be_held(fits):
    res = fits("penicillin")
    found = simulated_residuals(res, nsim=2000, rng=1, re_form="~ (1 | plate)")
    assert_allclose(found.fitted, res.predict(re_form="~ (1 | plate)"))
    assert_allclose(found.simulated.mean(axis=1), found.fitted, atol=0.3)


def test_units_of_the_response_do_not_matter():
    data = made()
    own = sml.lmer("y ~ x + (1 | g)", data).fit()
    other = sml.lmer("y ~ x + (1 | g)", data.assign(y=1e4 * data["y"] - 7)).fit()
    a, b = (simulated_residuals(r, nsim=60, rng=5) for r in (own, other))
    assert np.mean(a.ranks == b.ranks) > 0.999


def test_seed_generator_and_wrapper(residuals):
    res = residuals.results
    again = simulated_residuals(res, nsim=99, rng=np.random.default_rng(3))
    assert_array_equal(again.scaled, residuals.scaled)
    other = simulated_residuals(res, nsim=99, rng=4)
    assert (other.scaled != residuals.scaled).all()
    frame = res.simulated_residuals(nsim=20).frame()
    assert list(frame.columns) == ["observed", "fitted", "scaled", "normal", "outlying"]
    assert_array_equal(frame.index, np.arange(400))


def test_rows_keep_the_labels_of_the_data():
    data = made(10).set_index(pd.Index([f"r{i}" for i in range(100)]))
    data.loc["r3", "x"] = np.nan
    frame = sml.lmer("y ~ x + (1 | g)", data).fit().simulated_residuals(nsim=9).frame()
    assert_array_equal(frame.index, data.index.drop("r3"))


# Tests -------------------------------------------------------------------------------


def test_uniformity_by_scipy_and_by_brute_force(residuals):
    found = residuals.test_uniformity()
    expected = stats.kstest(residuals.scaled, "uniform")
    assert_allclose(
        [found.statistic, found.p_value], [expected.statistic, expected.pvalue]
    )
    ranks = stats.rankdata(columns(residuals), axis=1) - 1
    grid = np.arange(residuals.nsim + 1)
    shares = (ranks[:, :, None] <= grid).mean(axis=0)
    distances = np.abs(shares - (grid + 1) / len(grid)).max(axis=1)
    assert_allclose(found.p_simulated, np.mean(distances >= distances[0] - 1e-12))


def test_dispersion_by_brute_force(residuals):
    found = residuals.test_dispersion()
    variances = np.var(columns(residuals) - residuals.fitted[:, None], axis=0, ddof=1)
    assert_allclose(found.statistic, variances[0] / variances[1:].mean())
    sides = [np.sum(variances <= variances[0]), np.sum(variances >= variances[0])]
    assert_allclose(found.p_value, min(1, 2 * min(sides) / 100))


def test_outliers_are_binomial(residuals):
    found = residuals.test_outliers()
    low, high = residuals.simulated.min(axis=1), residuals.simulated.max(axis=1)
    outside = (residuals.observed < low) | (residuals.observed > high)
    assert found.statistic == outside.sum() > 0
    assert_array_equal(residuals.outlying, outside)
    probabilities = stats.binom.pmf(np.arange(401), 400, 0.02)
    as_rare = probabilities <= probabilities[outside.sum()] * (1 + 1e-7)
    assert_allclose(found.p_value, probabilities[as_rare].sum())


@pytest.mark.parametrize("x", ["x", "c"])
def test_quantiles_by_generalised_least_squares(x):
    data = made()
    res = sml.lmer("y ~ x + c + (1 | g)", data).fit()
    found = simulated_residuals(res, nsim=49, rng=1)
    taus = np.array([0.25, 0.5, 0.75])
    if x == "x":
        B = np.vander(stats.rankdata(data["x"]) / 400, 4)
    else:
        B = pd.get_dummies(data["c"]).to_numpy(dtype=float)
    K = np.minimum.outer(taus, taus) - np.outer(taus, taus)
    s = (B.T @ ((found.scaled[:, None] <= taus) - taus)).ravel()
    expected = s @ np.linalg.solve(np.kron(B.T @ B, K), s)
    test = found.test_quantiles(x)
    assert_allclose(test.statistic, expected, rtol=1e-6)
    assert_allclose(test.p_value, stats.chi2.sf(expected, 3 * B.shape[1]), rtol=1e-5)


def test_simulated_p_values_of_quantiles_by_brute_force(residuals):
    taus = (0.5, 0.9)
    ranks = stats.rankdata(columns(residuals), axis=1) - 1
    B = np.linalg.qr(
        np.vander(stats.rankdata(residuals.results.model.exog[:, 1]) / 400, 4)
    )[0]
    shares = np.ceil(np.array(taus) * 100) / 100
    K = np.minimum.outer(shares, shares) - np.outer(shares, shares)
    scores = []
    for own in ranks.T:
        sums = B.T @ ((own[:, None] < np.array(taus) * 100) - shares)
        scores.append(np.trace(sums @ np.linalg.solve(K, sums.T)))
    test = residuals.test_quantiles("x", taus)
    assert_allclose(test.p_simulated, np.mean(np.array(scores) >= scores[0] - 1e-9))


def test_summary_has_all_tests(residuals):
    frame = residuals.summary()
    assert list(frame.index) == [
        "uniformity",
        "dispersion",
        "outliers",
        "quantiles ~ fitted",
    ]
    assert frame["p_value"].between(0, 1).all()
    assert frame["p_simulated"].between(0.01, 1).all()
    assert "99 simulated" in repr(residuals)


def test_good_models_pass():
    least = []
    for seed in range(8):
        res = sml.lmer("y ~ x + (1 | g)", made(20, 6, seed=100 + seed)).fit()
        found = simulated_residuals(res, nsim=60, rng=seed)
        least.append(found.summary()["p_simulated"].min())
    assert np.median(least) > 0.1


def test_simulated_p_value_is_valid_where_groups_are_few_and_large():
    """Rows of a group go together, so the test of independent rows cannot be."""
    rng, ps = np.random.default_rng(2), []
    g = np.repeat(np.arange(5), 40)
    for seed in range(12):
        data = pd.DataFrame(
            {"y": rng.normal(0, 3, 5)[g] + rng.normal(size=200), "g": g}
        )
        found = simulated_residuals(sml.lmer("y ~ 1 + (1 | g)", data).fit(), 60, seed)
        test = found.test_uniformity()
        ps.append((test.p_value, test.p_simulated))
    naive, simulated = np.array(ps).T
    assert np.mean(naive < 0.05) > 0.5
    assert np.mean(simulated < 0.05) < 0.2


def test_skewed_responses_are_found():
    res = sml.lmer("y ~ x + (1 | g)", made(transform=np.exp)).fit()
    frame = simulated_residuals(res, rng=1).summary()
    assert (frame.loc["uniformity", ["p_value", "p_simulated"]] < 0.01).all()
    assert (frame.loc["outliers", ["p_value", "p_simulated"]] < 0.01).all()


def test_missed_curves_are_found():
    res = sml.lmer("y ~ x + (1 | g)", made(curve=2.0)).fit()
    test = simulated_residuals(res, rng=1).test_quantiles("x")
    assert test.name == "quantiles ~ x"
    assert max(test.p_value, test.p_simulated) < 0.01
    straight = simulated_residuals(sml.lmer("y ~ x + (1 | g)", made()).fit(), rng=1)
    assert straight.test_quantiles("x").p_simulated > 0.05


def test_missed_groups_are_found():
    data = made()
    data["y"] += np.where(data["c"] == "b", 1.5, 0.0)
    found = simulated_residuals(sml.lmer("y ~ x + (1 | g)", data).fit(), rng=1)
    assert found.test_quantiles(data["c"]).p_simulated < 0.01


def test_rows_without_the_variable_are_left_out(residuals):
    x = residuals.results.model.exog[:, 1].copy()
    x[:100] = np.nan
    some = residuals.test_quantiles(x)
    assert np.isfinite(some.statistic)
    assert some.statistic != residuals.test_quantiles("x").statistic


# Refusals ----------------------------------------------------------------------------


def test_refusals(residuals):
    res = residuals.results
    with pytest.raises(ValueError, match="at least 2"):
        simulated_residuals(res, nsim=1)
    with pytest.raises(ValueError, match="quantiles are between"):
        residuals.test_quantiles("x", (0.5, 1.5))
    with pytest.raises(ValueError, match="does not use a column 'z'"):
        residuals.test_quantiles("z")
    with pytest.raises(ValueError, match="missing in all rows"):
        residuals.test_quantiles(np.full(400, np.nan))
    with pytest.raises(ValueError, match="has 7 values"):
        residuals.test_quantiles(np.zeros(7))


def test_refusal_without_rows():
    res = sml.lmer("Yield ~ 1 + (1 | Batch)", dataset("dyestuff")).fit()
    res.remove_data()
    with pytest.raises(ValueError, match="remove_data"):
        simulated_residuals(res)
