"""Mixtures of chi-square distributions and exact tests of a variance of zero."""

from __future__ import annotations

import comparison_cases as cases
import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.regression.linear_model import OLS

import sm_lmer.api as sml
from sm_lmer.core.conditioning import orthonormal_basis
from sm_lmer.inference.boundary import (
    exact_lrt,
    exact_rlrt,
    mixture_tail,
    null_distribution,
    reduced_eigenvalues,
)
from sm_lmer.inference.comparison import anova_lmer

PROBABILITIES = np.array(cases.TABLES["probabilities"])


def mixture_row(small, large):
    table = anova_lmer(small, large, test="mixture")
    return table.iloc[1], table.attrs["notes"]


def test_one_variance_halves_the_p_value():
    small = cases.fit({"data": "penicillin"}, "diameter ~ 1 + (1 | sample)")
    large = cases.fit(
        {"data": "penicillin"}, "diameter ~ 1 + (1 | plate) + (1 | sample)"
    )
    row, notes = mixture_row(small, large)
    assert_allclose(row["Pr(>mixture)"], 0.5 * row["Pr(>Chisq)"])
    assert notes == ()
    pastes = {"data": "pastes"}
    row, _ = mixture_row(
        cases.fit(pastes, "strength ~ 1 + (1 | batch:cask)"),
        cases.fit(pastes, "strength ~ 1 + (1 | batch/cask)"),
    )
    assert_allclose(row["Pr(>mixture)"], 0.5 * stats.chi2.sf(row["Chisq"], 1))


def test_a_correlated_slope_mixes_one_and_two_degrees(fits):
    row, _ = mixture_row(fits("sleepstudy_ri"), fits("sleepstudy"))
    tails = stats.chi2.sf(row["Chisq"], [1, 2])
    assert_allclose(row["Pr(>mixture)"], tails.mean())
    slope = cases.fit({"data": "sleepstudy"}, "Reaction ~ Days + (Days || Subject)")
    row, _ = mixture_row(fits("sleepstudy_ri"), slope)
    assert_allclose(row["Pr(>mixture)"], 0.5 * row["Pr(>Chisq)"])


def test_covariances_and_fixed_effects_alone_keep_the_chi_square(fits):
    case = {"data": "sleepstudy"}
    row, _ = mixture_row(
        cases.fit(case, "Reaction ~ Days + (Days || Subject)"), fits("sleepstudy")
    )
    assert_allclose(row["Pr(>mixture)"], row["Pr(>Chisq)"])
    row, _ = mixture_row(
        cases.fit(case, "Reaction ~ 1 + (1 | Subject)"), fits("sleepstudy_ri")
    )
    assert_allclose(row["Pr(>mixture)"], row["Pr(>Chisq)"])


def test_a_fixed_effect_beside_the_variance_counts_among_the_free(fits):
    data = cases.frame("sleepstudy")
    ols = OLS(data["Reaction"], np.ones(len(data))).fit()
    row, _ = mixture_row(ols, fits("sleepstudy_ri"))
    assert_allclose(row["Pr(>mixture)"], stats.chi2.sf(row["Chisq"], [1, 2]).mean())


def test_reasons_for_no_mixture(fits):
    data = cases.frame("sleepstudy_extra")
    ols = OLS(data["Reaction"], sm.add_constant(data["Days"])).fit()
    row, notes = mixture_row(ols, fits("sleepstudy"))
    assert np.isnan(row["Pr(>mixture)"])
    assert "2 variances are tested at once" in notes[0]
    x = sml.lmer("Reaction ~ x + (1 | Subject)", data).fit()
    row, notes = mixture_row(x, fits("sleepstudy"))
    assert np.isnan(row["Pr(>mixture)"])
    assert "the fixed parts are not nested" in notes[0]
    f = cases.fit({"data": "sleepstudy_extra"}, "Reaction ~ Days + (1 | f)")
    _, notes = mixture_row(f, fits("sleepstudy"))
    assert "(1 | f) is no part of a term of the larger model" in notes[0]
    weighted = sml.lmer("Reaction ~ Days + (1 | Subject)", data, weights="w").fit()
    assert "the weights differ" in mixture_row(weighted, fits("sleepstudy"))[1][0]
    moved = sml.lmer("Reaction ~ Days + (1 | Subject)", data, offset="o").fit()
    assert "the offsets differ" in mixture_row(moved, fits("sleepstudy"))[1][0]


def test_the_origin_of_a_slope_does_not_hide_the_nesting(fits):
    data = cases.frame("sleepstudy").assign(Year=lambda d: 2010 + d["Days"])
    large = sml.lmer("Reaction ~ Year + (Year | Subject)", data).fit()
    row, _ = mixture_row(fits("sleepstudy_ri"), large)
    own, _ = mixture_row(fits("sleepstudy_ri"), fits("sleepstudy"))
    assert_allclose(row["Pr(>mixture)"], own["Pr(>mixture)"], rtol=1e-5)


def test_the_mixture_is_a_distribution():
    assert mixture_tail(0.0, 1, 1) == 1.0
    assert_allclose(mixture_tail(1e-12, 1, 1), 0.5, atol=1e-5)
    grid = [mixture_tail(x, 3, 1) for x in np.linspace(0.01, 30, 50)]
    assert np.all(np.diff(grid) < 0)


# Exact tests --------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases.TABLES["exact"], ids=cases.label)
@pytest.mark.parametrize("kind", ["rlrt", "lrt"])
def test_quantiles_of_rlrsim(case, kind, rng):
    model = cases.fit(case).model
    Q = orthonormal_basis(np.asarray(model.exog), None).Q
    term = model.re_terms[0]
    Z = np.zeros((len(Q), term.factor.n_levels))
    Z[np.arange(len(Q)), term.factor.codes] = np.asarray(term.Z)[:, 0]
    q = case["q"] if kind == "lrt" else 0
    sample = null_distribution(
        len(Q), Z.T @ Q, (Z**2).sum(axis=0), kind == "rlrt", q, 40_000, rng
    )
    for probability, quantile in zip(PROBABILITIES, case[kind], strict=True):
        share = np.mean(sample <= quantile + 1e-9)
        error = 5 * np.sqrt(probability * (1 - probability) / 40_000)
        if quantile > 0:
            assert abs(share - probability) < 1.2 * error
        else:
            assert share > probability - 1.2 * error


def test_simulated_fits_have_the_simulated_distribution(rng):
    data = cases.frame("sleepstudy_extra")
    res = sml.lmer(
        "Reaction ~ Days + (1 | Subject)", data, weights="w", offset="o"
    ).fit()
    exact = exact_rlrt(res, rng=rng).sample
    model, ratios = res.model, []
    for _ in range(300):
        y = data["o"].to_numpy() + rng.standard_normal(180) / np.sqrt(model.weights)
        other = model.with_response(y)
        grid = [other.criterion([t], True) for t in np.linspace(0, 0.6, 25)]
        ratios.append(grid[0] - min(grid))
    for quantile in (0.5, 1.5, 3.0):
        share, expected = (
            np.mean(np.array(ratios) > quantile),
            np.mean(exact > quantile),
        )
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 300)


def test_statistics_and_p_values(fits):
    test = exact_rlrt(fits("dyestuff"), rng=1)
    assert_allclose(test.statistic, fits("dyestuff").ranova()["LRT"].iloc[1], rtol=1e-9)
    assert_allclose(test.pvalue, 0.0047, atol=0.003)  # RLRsim from 2e5 draws: 0.00466
    assert len(test.sample) == 10_000
    again = exact_rlrt(fits("dyestuff_ml"), rng=1)
    assert_allclose(again.statistic, test.statistic, rtol=1e-8)
    assert exact_rlrt(fits("dyestuff2"), rng=1)[:2] == (0.0, 1.0)
    by_ml = exact_lrt(fits("dyestuff"), rng=1)
    assert_allclose(by_ml.statistic, 5.402826, rtol=1e-6)


def test_of_a_balanced_one_way_layout_is_the_f_test(fits):
    data = cases.frame("dyestuff")
    groups = [y.to_numpy() for _, y in data.groupby("Batch", observed=True)["Yield"]]
    test = exact_rlrt(fits("dyestuff"), nsim=200_000, rng=4)
    assert_allclose(test.pvalue, stats.f_oneway(*groups).pvalue, rtol=0.12)


def test_fixed_effects_are_tested_with_the_variance(fits):
    data = cases.frame("sleepstudy")
    ols = OLS(data["Reaction"], np.ones(len(data))).fit()
    test = exact_lrt(fits("sleepstudy_ri"), ols, rng=2)
    expected = 2 * (fits("sleepstudy_ri").refit_ml().llf - ols.llf)
    assert_allclose(test.statistic, expected, rtol=1e-9)
    alone = exact_lrt(fits("sleepstudy_ri"), rng=2)
    assert np.median(test.sample) > np.median(alone.sample) + 0.2
    with pytest.raises(ValueError, match="the fixed parts differ"):
        exact_rlrt(fits("sleepstudy_ri"), ols)


def test_one_of_several_components(fits):
    null = cases.fit({"data": "penicillin"}, "diameter ~ 1 + (1 | plate)")
    test = exact_rlrt(fits("penicillin"), null, rng=3)
    row = fits("penicillin").ranova().loc["(1 | sample)"]
    assert_allclose(test.statistic, row["LRT"], rtol=1e-8)
    alone = cases.fit({"data": "penicillin"}, "diameter ~ 1 + (1 | sample)")
    np.testing.assert_array_equal(test.sample, exact_rlrt(alone, rng=3).sample)


def test_what_exact_tests_refuse(fits):
    with pytest.raises(ValueError, match=r"2 random terms .* pass the model without"):
        exact_rlrt(fits("penicillin"))
    with pytest.raises(ValueError, match="has 2 columns"):
        exact_rlrt(fits("sleepstudy"))
    with pytest.raises(ValueError, match="null is a model without random terms"):
        exact_lrt(fits("dyestuff"), fits("dyestuff"))
    with pytest.raises(ValueError, match="uses 144 rows, the null model 30"):
        exact_rlrt(fits("penicillin"), fits("dyestuff"))
    with pytest.raises(ValueError, match="must differ by one random term"):
        exact_rlrt(fits("penicillin"), fits("penicillin"))
    with pytest.raises(
        ValueError, match="nsim is a number of draws, at least 1, not 0"
    ):
        exact_rlrt(fits("dyestuff"), nsim=0)
    data = cases.frame("dyestuff")
    with pytest.raises(TypeError, match="pass its results first"):
        exact_rlrt(OLS(data["Yield"], np.ones(30)).fit())


@pytest.mark.parametrize("p", [0, 1, 3])
@pytest.mark.parametrize("sizes", [[4.0] * 7, [1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 5.5]])
def test_eigenvalues_by_groups_of_equal_size(p, sizes, rng):
    sizes = np.array(sizes)
    n = 30
    Q = np.linalg.qr(rng.normal(size=(n, max(p, 1))))[0][:, :p]
    Z = np.linalg.qr(rng.normal(size=(n, 7)))[0] * np.sqrt(sizes)
    dense = np.linalg.eigvalsh(Z.T @ Z - Z.T @ Q @ Q.T @ Z)
    assert_allclose(reduced_eigenvalues(sizes, Z.T @ Q), dense, atol=1e-10)
