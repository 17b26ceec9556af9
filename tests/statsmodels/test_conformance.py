"""What statsmodels' users rely on beyond its generic test classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from registry import small_frame
from scipy import stats
from statsmodels.tools.sm_exceptions import MissingDataError

import sm_lmer.api as sml
from sm_lmer.compat import statsmodels as compat

TEXT = "y ~ x + z + (1 | g)"


def doubled(values):
    return 2 * values


def test_the_wrapper_says_what_the_results_say(fits):
    for name in ("sleepstudy", "cake", "penicillin"):
        res = fits(name)
        inner = res._results
        np.testing.assert_array_equal(res.conf_int(), inner.conf_int())
        np.testing.assert_array_equal(res.pvalues, inner.pvalues)
        np.testing.assert_array_equal(res.bse, inner.bse)
        assert list(res.params.index) == res.model.exog_names
        assert list(res.bse_fe.index) == list(res.fe_params.index)


def test_degrees_of_freedom_are_those_of_each_contrast(fits):
    """Also for as many rows as coefficients that are not the coefficients."""
    res = fits("cake")
    p = len(res.params)
    L = np.eye(p) + np.diag(np.ones(p - 1), 1)
    together = res.t_test(L)
    for k in range(p):
        alone = res.t_test(L[k])
        assert together.df_denom[k] == pytest.approx(alone.df_denom[0], rel=1e-10)
        t = together.tvalue[k]
        expected = 2 * stats.t.sf(abs(t), together.df_denom[k])
        assert together.pvalue[k] == pytest.approx(expected, rel=1e-8)
    assert np.ptp(together.df_denom) > 1
    np.testing.assert_allclose(res.t_test(np.eye(p)).df_denom, res.ddf)


def test_hypotheses_in_words_and_in_numbers(fits):
    res = fits("sleepstudy")
    for test in (res.t_test, res.f_test, res.wald_test):
        a = test("Days = 10, Intercept = 250")
        b = test((np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([10.0, 250.0])))
        np.testing.assert_allclose(a.pvalue, b.pvalue)
    single = res.t_test("Days = 10")
    assert np.squeeze(single.tvalue) == pytest.approx(0.46729 / 1.545790, rel=1e-4)
    assert res.f_test("Days = 10").pvalue == pytest.approx(float(single.pvalue))


def test_use_t_chooses_the_distribution(fits):
    res = fits("sleepstudy")
    t, z = res.t_test("Days", use_t=True), res.t_test("Days", use_t=False)
    assert t.pvalue > z.pvalue
    expected = 2 * stats.norm.sf(np.abs(np.squeeze(t.tvalue)))
    assert float(z.pvalue) == pytest.approx(expected, rel=1e-8)
    chi2 = res.wald_test("Days = 0, Intercept = 0", use_f=False, scalar=True)
    F = res.wald_test("Days = 0, Intercept = 0", use_f=True, scalar=True)
    assert chi2.statistic == pytest.approx(2 * F.statistic)
    normal = res.model.fit(ddf="normal")
    assert normal.use_t is False
    assert "P>|z|" in normal.summary().as_text()
    assert np.shape(res.wald_test("Days = 0", scalar=False).statistic) == (1, 1)
    inner = res._results  # statsmodels' wrapper labels all rows, whatever cols is
    np.testing.assert_array_equal(inner.conf_int(cols=[1]), inner.conf_int()[[1]])


def test_terms_are_tested_with_their_own_degrees_of_freedom(fits, formula_engine):
    res = fits("cake")
    found = res.wald_test_terms(scalar=True)
    labels = list(found.table.index)
    L = np.eye(18)
    rows = {"recipe": L[1:3], "temperature": L[3:8], "recipe:temperature": L[8:]}
    for name, term in rows.items():
        k, alone = labels.index(name), res.wald_test(term)
        assert found.df_denom[k] == pytest.approx(alone.df_denom)
        assert found.pvalues[k] == pytest.approx(alone.pvalue)
    assert len(set(np.round(np.asarray(found.df_denom, dtype=float), 3))) > 1


def test_a_clone_through_init_keywords_is_the_same_model(formula_engine):
    data = small_frame()
    text = TEXT + " + offset(o)"
    model = sml.lmer(text, data, weights="w")
    keywords = model._get_init_kwds()
    arrays = type(model)(model.endog, model.exog, **keywords)
    theta = [0.7]
    assert arrays.criterion(theta) == pytest.approx(model.criterion(theta), rel=1e-13)
    assert arrays.exog_names == model.exog_names
    again = type(model).from_formula(data=model.data.frame, **keywords)
    assert again.criterion(theta) == pytest.approx(model.criterion(theta), rel=1e-13)
    assert again.lmer_formula == model.lmer_formula
    less = type(model)(model.endog, model.exog[:, :2], **keywords)
    direct = sml.lmer("y ~ x + offset(o) + (1 | g)", data, weights="w")
    assert less.criterion(theta) == pytest.approx(direct.criterion(theta), rel=1e-12)


def test_a_clone_on_rows_without_variation_predicts_only(formula_engine):
    """Mediation analyses set a variable to one value in all rows."""
    model = sml.lmer("y ~ scale(x) + z + (1 | g)", small_frame(), weights="w")
    frame = model.data.frame.assign(x=1.0)
    clone = type(model).from_formula(data=frame, **model._get_init_kwds())
    expected = frame["x"].sub(small_frame()["x"].mean()) / small_frame()["x"].std()
    np.testing.assert_allclose(clone.exog[:, 1], expected, rtol=1e-12)
    assert clone.exog.shape == model.exog.shape
    with pytest.raises(ValueError, match="can predict but not be fitted"):
        clone.fit()


@pytest.mark.parametrize("role", ["y", "x", "g", "w", "o"])
def test_missing_values_of_any_role_are_as_dropped_before(role, formula_engine):
    data = small_frame()
    gaps = data.copy()
    gaps[role] = gaps[role].astype(object if role == "g" else float)
    gaps.loc[[3, 17], role] = None
    text = TEXT + " + offset(o)"
    found = sml.lmer(text, gaps, weights="w")
    direct = sml.lmer(text, data.drop([3, 17]), weights="w")
    assert found.criterion([0.5]) == pytest.approx(direct.criterion([0.5]), rel=1e-12)
    with pytest.raises(MissingDataError, match=f"column '{role}' \\(2 rows\\)"):
        sml.lmer(text, gaps, weights="w", missing="raise")


def test_subset_duplicated_index_and_unused_categories(formula_engine):
    data = small_frame()
    data["g"] = pd.Categorical(data["g"], categories=list("zabcdefgh"))
    rows = data["z"] > -0.5
    direct = sml.lmer(TEXT, data[rows].reset_index(drop=True))
    found = sml.lmer(TEXT, data, subset=rows)
    assert found.nobs == rows.sum() < len(data)
    assert found.criterion([0.5]) == pytest.approx(direct.criterion([0.5]), rel=1e-12)
    double = data.set_axis(np.repeat(np.arange(20), 2), axis=0)
    twice = sml.lmer(TEXT, double)
    assert twice.criterion([0.5]) == pytest.approx(
        sml.lmer(TEXT, data).criterion([0.5]), rel=1e-12
    )
    pd.testing.assert_index_equal(twice.fit().fittedvalues.index, double.index)
    assert "z" not in found.re_terms[0].factor.levels


def test_drop_cols_and_prediction(formula_engine):
    data = small_frame()
    found = sml.lmer(TEXT, data, drop_cols=["z"]).fit()
    direct = sml.lmer("y ~ x + (1 | g)", data).fit()
    np.testing.assert_allclose(found.params, direct.params, rtol=1e-10)
    np.testing.assert_allclose(found.predict(data), direct.predict(data), rtol=1e-10)


def test_names_are_found_where_eval_env_says(formula_engine):
    data = small_frame()

    def tripled(values):
        return 3 * values

    text = "y ~ tripled(x) + (1 | g)"
    expected = sml.lmer(text, data).criterion([0.5])
    for env in (0, 1, None, {"tripled": tripled}):
        model = sml.LMER.from_formula(text, data, eval_env=env)
        assert model.criterion([0.5]) == pytest.approx(expected, rel=1e-13)
    for env in (-1, {}):
        with pytest.raises(ValueError, match="tripled"):
            sml.LMER.from_formula(text, data, eval_env=env)
    assert sml.lmer("y ~ doubled(x) + (1 | g)", data).exog_names[1] == "doubled(x)"


def test_an_unseen_level_is_refused(formula_engine, fits, data):
    res = sml.lmer("score ~ Machine + (1 | Worker)", data("machines")).fit()
    with pytest.raises(ValueError, match="'Machine' has levels the model has not seen"):
        res.predict(pd.DataFrame({"Machine": ["D"], "Worker": ["1"]}))


def test_inputs_that_cannot_be_written(formula_engine):
    data = small_frame()
    y, X = data["y"].to_numpy(copy=True), data[["x", "z"]].to_numpy(copy=True)
    for array in (y, X):
        array.flags.writeable = False
    res = sml.LMER(y, X, data["g"].to_numpy()).fit()
    direct = sml.lmer("y ~ 0 + x + z + (1 | g)", data).fit()
    np.testing.assert_allclose(res.params, direct.params, rtol=1e-10)


def test_start_params_of_generic_code_are_fixed_effects(fits):
    """MICE passes the params of the last fit; beta needs no start."""
    res = fits("penicillin")
    again = res.model.fit(start_params=res.params)
    np.testing.assert_allclose(again.theta, res.theta, rtol=1e-6)
    assert res.model.fit(start_params=res.theta).llf == pytest.approx(res.llf)


def test_what_the_model_cannot_do_is_refused(fits):
    model = fits("sleepstudy").model
    with pytest.raises(NotImplementedError, match="regularised"):
        model.fit_regularized()
    with pytest.raises(TypeError, match="no_such_argument"):
        model.fit(no_such_argument=1)
    with pytest.raises(TypeError, match="no_such_argument"):
        sml.LMER(model.endog, model.exog, model.re_terms, no_such_argument=1)


def test_attributes_of_generic_code(fits):
    res = fits("sleepstudy")
    assert res.cov_type == "nonrobust"
    assert res.use_t is True
    assert res.mle_settings["optimizer"]
    assert res.mle_retvals["converged"] is True
    assert isinstance(res.nobs, int)
    assert res.df_resid == 178
    assert res.df_model == 1
    assert res.k_constant == 1
    assert res.model.formula == "Reaction ~ Days"
    assert res.model.data.cov_names == ["Intercept", "Days"]
    assert hasattr(res.model.data, compat.SPEC)
    assert res.aic == pytest.approx(1755.628, abs=2e-3)
    assert res.bic == pytest.approx(1774.786, abs=2e-3)


def test_titles_and_names_of_summaries(fits):
    text = (
        fits("sleepstudy")
        .summary(title="Sleep", xname_fe=["one", "days"], xname_re=["r1", "r2"])
        .as_text()
    )
    for word in ("Sleep", "one", "days", "r1", "r2"):
        assert word in text
