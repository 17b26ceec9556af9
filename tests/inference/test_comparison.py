"""anova_lmer of several models, against lme4 and pbkrtest; simulation of responses."""

from __future__ import annotations

import comparison_cases as cases
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from statsmodels.regression.linear_model import OLS, WLS

import sm_lmer.api as sml
from sm_lmer.inference.comparison import anova_lmer, bootstrap_pvalue, compare_lr_test
from sm_lmer.inference.simulate import generator, simulated_responses

COLUMNS = ["npar", "AIC", "BIC", "logLik", "-2*log(L)", "Chisq", "Df", "Pr(>Chisq)"]


def linear(case):
    """The linear model of a case, its offset taken off the response."""
    data = cases.frame(case["data"])
    response, _, right = (part.strip() for part in case["linear"].partition("~"))
    y = data[response] - (data[case["offset"]] if "offset" in case else 0.0)
    X = np.ones((len(y), 1))
    if right != "1":
        X = sm.add_constant(data[[right]])
    if "weights" in case:
        return WLS(y, X, weights=data[case["weights"]]).fit()
    return OLS(y, X).fit()


@pytest.mark.parametrize("case", cases.TABLES["anova"], ids=cases.label)
@pytest.mark.parametrize("reml", [True, False])
def test_tables_of_lme4(case, reml):
    models = {
        f"m{k + 1}": cases.fit(case, f, reml=reml)
        for k, f in enumerate(case["formulas"])
    }
    table = anova_lmer({**models, "linear": linear(case)})
    expected = case["table"]
    assert table.columns.to_list() == COLUMNS
    assert table.index.to_list() == expected["rows"]
    for name in ("npar", "Df"):
        np.testing.assert_array_equal(table[name], cases.column(expected, name))
    for name in ("AIC", "BIC", "logLik"):
        assert_allclose(table[name], cases.column(expected, name), rtol=1e-8)
    assert_allclose(table["-2*log(L)"], cases.column(expected, "deviance"), rtol=1e-8)
    assert_allclose(
        table["Chisq"], cases.column(expected, "Chisq"), rtol=1e-6, atol=1e-6
    )
    p = cases.column(expected, "Pr(>Chisq)")
    assert_allclose(table["Pr(>Chisq)"], p, rtol=1e-5)
    assert ("fitted again" in table.attrs["heading"]) == reml


def test_published_comparison_of_sleepstudy(fits):
    table = anova_lmer(fits("sleepstudy"), fits("sleepstudy_ri"))
    assert table.index.to_list() == ["model2", "model1"]
    assert_allclose(table["-2*log(L)"], [1794.0787, 1751.9393], atol=1e-3)
    assert_allclose(table["Pr(>Chisq)"].iloc[1], 7.0724e-10, rtol=1e-4)
    assert table.attrs["heading"].splitlines()[1:] == [
        "model1: Reaction ~ Days + (Days | Subject)",
        "model2: Reaction ~ Days + (1 | Subject)",
    ]


def test_one_model_gives_tests_of_its_terms():
    case = {"data": "cake"}
    res = cases.fit(case, "angle ~ recipe + temp + (1 | recipe:replicate)")
    pd.testing.assert_frame_equal(anova_lmer(res, typ=2), res.anova(2))
    with pytest.raises(ValueError, match="compares several models"):
        anova_lmer(res, test="PB")
    with pytest.raises(ValueError, match="at least one"):
        anova_lmer()


def test_restricted_likelihoods_stay_on_request(fits):
    table = anova_lmer(fits("sleepstudy"), fits("sleepstudy_ri"), refit=False)
    assert_allclose(table["Chisq"].iloc[1], 42.8368, atol=1e-3)
    assert "fitted again" not in table.attrs["heading"]
    data = cases.frame("sleepstudy")
    ols = OLS(data["Reaction"], sm.add_constant(data["Days"])).fit()
    both = anova_lmer(fits("sleepstudy_ri"), ols, refit=False)
    ranova = fits("sleepstudy_ri").ranova()
    assert_allclose(both["Chisq"].iloc[1], ranova["LRT"].iloc[1], rtol=1e-9)


def test_likelihoods_that_do_not_compare_warn(fits):
    data = cases.frame("sleepstudy")
    mean = sml.lmer("Reaction ~ 1 + (1 | Subject)", data).fit()
    with pytest.warns(UserWarning, match="different fixed parts"):
        anova_lmer(fits("sleepstudy_ri"), mean, refit=False)
    with pytest.warns(UserWarning, match="only model1 by REML"):
        anova_lmer(fits("sleepstudy_ri"), mean.refit_ml(), refit=False)
    with pytest.raises(ValueError, match="not restricted"):
        anova_lmer(fits("sleepstudy"), fits("sleepstudy_ri"), refit=False, test="PB")


def test_models_of_different_rows_are_refused():
    data = cases.frame("sleepstudy_extra").assign(z=lambda d: d["x"])
    data.loc[[3, 17], "z"] = np.nan
    small = sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit()
    large = sml.lmer("Reaction ~ Days + z + (1 | Subject)", data).fit()
    message = (
        r"model1 uses 180 rows, model2 178.*"
        r"dropna\(subset=\['Reaction', 'Days', 'Subject', 'z'\]\)"
    )
    with pytest.raises(ValueError, match=message):
        anova_lmer(small, large)
    other = sml.lmer("np.log(Reaction) ~ Days + (1 | Subject)", data).fit()
    with pytest.raises(ValueError, match="different responses"):
        anova_lmer(small, other)
    with pytest.raises(TypeError, match="model2 is str"):
        anova_lmer(small, "Reaction")
    with pytest.raises(ValueError, match="unknown test 'Rao'"):
        anova_lmer(small, small, test="Rao")


def test_the_order_of_rows_does_not_matter(fits, rng):
    data = cases.frame("sleepstudy")
    mixed = data.iloc[rng.permutation(len(data))]
    small = sml.lmer("Reaction ~ Days + (1 | Subject)", mixed).fit()
    table = anova_lmer(small, fits("sleepstudy"))
    own = anova_lmer(fits("sleepstudy_ri"), fits("sleepstudy"))
    assert_allclose(table, own, rtol=1e-8)
    with pytest.raises(ValueError, match="different orders"):
        anova_lmer(small, fits("sleepstudy"), test="PB", nsim=2)


def test_models_of_equal_size_have_no_p_value(fits):
    data = cases.frame("sleepstudy_extra")
    one = sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit()
    other = sml.lmer("Reaction ~ x + (1 | Subject)", data).fit()
    table = anova_lmer(one, other, test="PB", nsim=2)
    assert table["Df"].iloc[1] == 0
    assert table[["Pr(>Chisq)", "Pr(>PB)"]].iloc[1].isna().all()


def test_compare_lr_test(fits):
    small, large = fits("sleepstudy_ri"), fits("sleepstudy")
    restricted = compare_lr_test(large, small)
    assert_allclose(restricted, [42.836786, restricted.pvalue, 2.0], rtol=1e-6)
    data = cases.frame("sleepstudy")
    mean = sml.lmer("Reaction ~ 1 + (1 | Subject)", data).fit()
    full = compare_lr_test(small, mean)
    assert_allclose(full.statistic, anova_lmer(small, mean)["Chisq"].iloc[1], rtol=1e-9)
    ols = OLS(data["Reaction"], sm.add_constant(data["Days"])).fit()
    assert_allclose(
        compare_lr_test(small, ols).statistic, small.ranova()["LRT"].iloc[1], rtol=1e-9
    )
    with pytest.raises(ValueError, match="2 parameters more"):
        compare_lr_test(small, large)


# The parametric bootstrap -------------------------------------------------------------


@pytest.mark.parametrize("case", cases.TABLES["pb"], ids=lambda c: str(c["observed"]))
def test_p_values_by_the_rule_of_pbkrtest(case):
    reference = np.array(cases.TABLES["pb_reference"])
    assert bootstrap_pvalue(case["observed"], reference) == pytest.approx(case["p"])


def test_bootstrap_of_a_fixed_effect():
    case = {"data": "machines"}
    small = cases.fit(case, "score ~ 1 + (1 | Worker)")
    large = cases.fit(case, "score ~ Machine + (1 | Worker)")
    table = anova_lmer(small, large, test="PB", nsim=60, rng=3)
    reference = np.array(table.attrs["reference"]["model2"])
    assert table["Pr(>PB)"].iloc[1] == 1 / 61
    assert reference.min() > 0
    assert 1.0 < reference.mean() < 3.5  # chi-square with 2 degrees of freedom: 2
    again = anova_lmer(small, large, test="PB", nsim=60, rng=np.random.default_rng(3))
    pd.testing.assert_frame_equal(table, again)
    assert again.attrs["reference"] == table.attrs["reference"]


def test_bootstrap_ratios_are_those_of_refits():
    case = {"data": "dyestuff"}
    data = cases.frame("dyestuff")
    large = cases.fit(case, "Yield ~ 1 + (1 | Batch)", reml=False)
    ols = OLS(data["Yield"], np.ones(len(data))).fit()
    table = anova_lmer(ols, large, test="PB", nsim=20, rng=8)
    draws = np.random.default_rng(8).standard_normal((20, len(data)))
    sigma = np.sqrt(ols.ssr / len(data))
    for draw, ratio in zip(draws, table.attrs["reference"]["model2"], strict=True):
        y = ols.fittedvalues + sigma * draw
        likelihood = OLS(y, np.ones(len(data))).fit().llf
        grid = large.model.with_response(np.asarray(y))
        best = -0.5 * min(
            grid.criterion([t], reml=False) for t in np.linspace(0, 3, 301)
        )
        assert_allclose(ratio, 2 * (best - likelihood), atol=2e-3)
    assert "are zero and do not count" in table.attrs["notes"][0]


# Simulated responses ------------------------------------------------------------------


def test_simulated_responses_have_the_moments_of_the_model(rng):
    case = cases.TABLES["ranova"][11]
    data = cases.frame(case["data"])
    res = sml.lmer(case["formula"], data, weights="w", offset="o").fit()
    Y = simulated_responses(res, 20_000, rng)
    assert Y.shape == (180, 20_000)
    model, term = res.model, res.model.re_terms[0]
    Z = np.asarray(term.Z)
    same = term.factor.codes[:, None] == term.factor.codes
    V = same * (Z @ np.asarray(res.cov_re) @ Z.T) + np.diag(res.scale / model.weights)
    mean = model.exog @ np.asarray(res.params) + data["o"].to_numpy()
    sd = np.sqrt(np.diag(V))
    assert np.abs((Y.mean(axis=1) - mean) / sd).max() < 5 / np.sqrt(20_000)
    correlations = np.cov(Y / sd[:, None]) - V / np.outer(sd, sd)
    assert np.abs(correlations).max() < 7 / np.sqrt(20_000)


def test_simulations_come_one_after_another(fits):
    source = np.random.default_rng(5)
    parts = [simulated_responses(fits("penicillin"), k, source) for k in (1, 3)]
    whole = simulated_responses(fits("penicillin"), 4, 5)
    np.testing.assert_array_equal(np.hstack(parts), whole)


def test_sources_of_random_numbers(fits):
    state = np.random.RandomState(1)
    assert generator(state) is state
    assert simulated_responses(fits("dyestuff"), 2, state).shape == (30, 2)
    assert isinstance(generator(None), np.random.Generator)
    with pytest.raises(TypeError, match="rng is a non-negative int"):
        generator("seed")
