"""drop1 and step, against lme4 and lmerTest."""

from __future__ import annotations

import comparison_cases as cases
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.regression.linear_model import OLS

import sm_lmer.api as sml
from sm_lmer.inference.drop1 import drop1
from sm_lmer.inference.step import step

F_COLUMNS = ["sum_sq", "mean_sq", "df", "df_denom", "F", "PR(>F)"]
R_COLUMNS = ["Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)"]


@pytest.mark.parametrize("case", cases.TABLES["drop1"], ids=cases.label)
def test_likelihood_ratios_of_lme4(case):
    table, expected = drop1(cases.fit(case)), case["Chisq"]
    assert table.columns.to_list() == ["npar", "AIC", "LRT", "Pr(Chi)"]
    assert table.index.to_list() == expected["rows"]
    np.testing.assert_array_equal(table["npar"], cases.column(expected, "npar"))
    for name, rtol in (("AIC", 1e-8), ("LRT", 1e-5), ("Pr(Chi)", 1e-5)):
        assert_allclose(table[name], cases.column(expected, name), rtol=rtol)


@pytest.mark.parametrize("case", cases.TABLES["drop1"], ids=cases.label)
@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_f_tests_of_lmertest(case, ddf):
    expected = case["F"] if ddf == "satterthwaite" else case.get("KR")
    if expected is None:
        pytest.skip("no reference for weights")
    table = drop1(cases.fit(case), test="F", ddf=ddf)
    assert table.columns.to_list() == F_COLUMNS
    assert table.index.to_list() == expected["rows"]
    for name, in_r in zip(F_COLUMNS, R_COLUMNS, strict=True):
        assert_allclose(table[name], cases.column(expected, in_r), rtol=1e-4)


@pytest.mark.parametrize("coding", ["", ", Sum", ", Treatment('C')"])
def test_f_tests_do_not_depend_on_coding(coding, formula_engine):
    if formula_engine == "formulaic" and coding:
        coding = {", Sum": ", contr.sum", ", Treatment('C')": ", contr.treatment('C')"}[
            coding
        ]
    formula = f"angle ~ C(recipe{coding}) * temp + (1 | recipe:replicate)"
    res = sml.lmer(formula, cases.frame("cake")).fit()
    table = drop1(res, test="F")
    assert len(table) == 1
    assert_allclose(table["F"], 0.0416924, rtol=1e-5)
    assert_allclose(table["df_denom"], 222.0, rtol=1e-6)


def test_scope_names_terms_in_any_form(fits):
    res = cases.fit({"data": "cake"}, "angle ~ recipe * temp + (1|recipe:replicate)")
    by_formula = drop1(res, scope="~ recipe * temp")
    by_names = drop1(res, scope=["recipe", "temp", "temp:recipe"])
    np.testing.assert_array_equal(by_formula, by_names)
    assert by_formula.index.to_list() == ["<none>", "recipe", "temp", "recipe:temp"]
    # lme4's drop1 of the same scope: without temp the interaction takes its place
    assert by_formula["npar"].to_list()[1:] == [2, 0, 2]
    assert_allclose(by_formula["LRT"].iloc[1:], [0.1947798, 0.0, 0.0844958], atol=1e-6)
    assert np.isnan(by_formula.loc["temp", "Pr(Chi)"])
    with pytest.raises(ValueError, match="no term 'oven'; its terms are recipe, temp"):
        drop1(res, scope=["oven"])
    with pytest.raises(ValueError, match="unknown test 'Z'"):
        drop1(res, test="Z")


def test_names_that_are_quoted_in_formulas_are_shown_plain(rng):
    data = cases.frame("sleepstudy").assign(**{"my col": rng.normal(size=180)})
    formula = "Reaction ~ Days + `my col` + (Days + `my col` | Subject)"
    res = cases.fit_of(formula, data)
    assert drop1(res).index.to_list() == ["<none>", "Days", "my col"]
    assert drop1(res, ["my col"], test="F").index.to_list() == ["my col"]
    labels = res.ranova().index.to_list()
    assert labels[2] == "my col in (Days + my col | Subject)"
    found = step(res, keep="my col")
    assert found.formula.startswith("Reaction ~ Days + `my col` + (")
    again = cases.fit_of(found.formula, data)
    assert_allclose(again.llf, found.model().llf, rtol=1e-9)


def test_a_dropped_factor_hands_its_coding_on(formula_engine):
    res = cases.fit({"data": "tasting"}, "liking ~ 0 + size + product + (1 | consumer)")
    table = drop1(res, test="Chisq")
    for term, other in (("size", "product"), ("product", "size")):
        alone = cases.fit({"data": "tasting"}, f"liking ~ 0 + {other} + (1 | consumer)")
        assert_allclose(table.loc[term, "AIC"], alone.refit_ml().aic, rtol=1e-9)


def test_arrays_have_a_term_a_column(fits):
    data = cases.frame("sleepstudy_extra")
    X = data[["Days", "x"]].assign(const=1.0)
    term = sml.RandomTerm(data["Subject"], name="Subject")
    res = sml.LMER(data["Reaction"], X, re_terms=[term]).fit()
    formula = cases.fit(
        {"data": "sleepstudy_extra"}, "Reaction ~ Days + x + (1 | Subject)"
    )
    for test in ("Chisq", "F"):
        assert_allclose(drop1(res, test=test), drop1(formula, test=test), rtol=1e-7)
    assert step(res).formula == "Reaction ~ Days + const + (1 | Subject)"


def test_aliased_columns_are_no_obstacle():
    data = cases.frame("sleepstudy_extra")
    data = data.assign(twice=2 * data["Days"])
    with pytest.warns(sml.DroppedColumnsWarning):
        res = sml.lmer("Reaction ~ Days + twice + x + (1 | Subject)", data).fit()
    table = drop1(res)
    assert table["npar"].to_list()[1:] == [0, 0, 1]
    clean = sml.lmer("Reaction ~ Days + x + (1 | Subject)", data).fit()
    assert_allclose(table.loc["x"], drop1(clean).loc["x"], rtol=1e-8)


@pytest.mark.parametrize("case", cases.TABLES["step"], ids=cases.label)
def test_steps_of_lmertest(case):
    found = step(cases.fit(case), keep=case.get("keep", ()))
    random, fixed = case["random"], case["fixed"]
    assert found.random.index.to_list() == random["rows"]
    for name in ("Eliminated", "npar", "Df"):
        np.testing.assert_array_equal(found.random[name], cases.column(random, name))
    for name in ("logLik", "AIC"):
        assert_allclose(found.random[name], cases.column(random, name), rtol=1e-8)
    assert_allclose(
        found.random["LRT"], cases.column(random, "LRT"), rtol=1e-5, atol=1e-5
    )
    assert found.fixed.index.to_list() == fixed["rows"]
    for name, in_r in (("Eliminated", "Eliminated"), ("df", "NumDF"), ("F", "F value")):
        assert_allclose(found.fixed[name], cases.column(fixed, in_r), rtol=1e-5)
    assert_allclose(found.fixed["PR(>F)"], cases.column(fixed, "Pr(>F)"), rtol=2e-4)
    params = found.model().params
    assert hasattr(found.model(), "theta") == (not case["linear"])
    expected = list(case["coefficients"].values())
    assert_allclose(np.sort(params), np.sort(expected), rtol=1e-5)
    assert found.formula in str(found)


def test_steps_are_taken_under_both_engines(formula_engine):
    case = cases.TABLES["step"][4]
    found = step(cases.fit(case))
    assert found.random.index.to_list() == case["random"]["rows"]
    assert found.fixed.index.to_list() == case["fixed"]["rows"]
    again = cases.fit(case, found.formula)
    assert_allclose(again.llf, found.model().llf, rtol=1e-9)


def test_what_is_not_to_be_reduced_stays():
    case = cases.TABLES["step"][5]
    res = cases.fit(case)
    found = step(res, reduce_random=False, reduce_fixed=False)
    assert found.random.empty
    assert found.fixed.empty
    assert found.formula == case["formula"]
    assert_allclose(found.model().params, res.params)
    only = step(res, reduce_random=False)
    assert only.random.empty
    assert "(x | g)" in only.formula
    with pytest.raises(ValueError, match="no term 'Week'"):
        step(res, keep="Week")


def test_without_random_terms_the_tests_are_those_of_regression():
    case = cases.TABLES["step"][5]
    res = cases.fit({"data": "flat"}, "y ~ Days + x + (1 | Subject)")
    found = step(res, alpha_fixed=1.0)
    assert isinstance(found.model().model, OLS)
    assert found.formula == "y ~ Days + x"
    t = found.model().tvalues
    assert_allclose(found.fixed["F"], t[["Days", "x"]] ** 2, rtol=1e-8)
    tail = stats.f.sf(found.fixed["F"], 1, 177)
    assert_allclose(found.fixed["PR(>F)"], tail, rtol=1e-8)
    assert case["linear"]
