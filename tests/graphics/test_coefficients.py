"""Coefficient plots, and standardised coefficients against R."""

from __future__ import annotations

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import dataset, reference

import sm_lmer.api as sml
from sm_lmer.graphics.coefficients import plot_coefficients
from sm_lmer.inference.standardised import standardised_coefficients

Figure = pytest.importorskip("matplotlib.figure").Figure
REF = reference("effects")


@cache
def frame(name):
    if name != "pupils":
        return dataset(name)
    data = pd.DataFrame(REF["data"]["pupils"])
    data["funding"] = pd.Categorical(data["funding"], ["low", "mid", "high"])
    return data.assign(late=data["late"].astype(bool))


@cache
def fit(name):
    model = REF["models"][name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        data = frame(model["data"])
        return sml.lmer(model["formula"], data, weights=model["weights"]).fit()


def in_r(term):
    """R's name of a coefficient."""
    term = re.sub(r"\[T\.([^]]*)\]", r"\1", term).replace("lateTrue", "lateTRUE")
    return {"Intercept": "(Intercept)"}.get(term, term)


@pytest.mark.parametrize("case", REF["standardised"], ids=lambda c: c["model"])
@pytest.mark.parametrize("how", ["basic", "refit"])
def test_as_r(case, how):
    table = standardised_coefficients(fit(case["model"]), how)
    order = [case["terms"].index(in_r(term)) for term in table["term"]]
    assert len(order) == len(case["terms"]) - (how == "basic")
    for ours, theirs in (("estimate", how), ("std_error", f"{how}_se")):
        expected = np.array(case[theirs])[order]
        assert_allclose(table[ours], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("how", ["basic", "refit"])
def test_units_do_not_matter(how):
    data = frame("pupils")
    formula = "score ~ motiv * age + sex + (motiv | school)"
    ours = standardised_coefficients(sml.lmer(formula, data).fit(), how)
    other = data.assign(score=1e3 * data["score"], motiv=data["motiv"] / 50)
    theirs = standardised_coefficients(sml.lmer(formula, other).fit(), how)
    for column in ("estimate", "std_error", "conf_low"):
        assert_allclose(theirs[column], ours[column], rtol=1e-5, atol=1e-9)


def test_both_agree_where_the_columns_are_the_variables():
    basic = standardised_coefficients(fit("sleep"), "basic", ddf="kenward-roger")
    refit = standardised_coefficients(fit("sleep"), "refit", ddf="kenward-roger")
    days = refit[refit["term"] == "Days"].reset_index(drop=True)
    pd.testing.assert_frame_equal(basic, days, rtol=1e-5)


def test_drawn():
    res = fit("school")
    figure = plot_coefficients(res, alpha=0.1)
    (ax,) = figure.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [n for n in res.model.exog_names if n != "Intercept"]
    keep = [n != "Intercept" for n in res.model.exog_names]
    marks = ax.collections[1].get_offsets()
    assert_allclose(marks[:, 0], np.asarray(res.params)[keep])
    ends = np.array([s[:, 0] for s in ax.collections[0].get_segments()])
    assert_allclose(ends, np.asarray(res.conf_int(alpha=0.1))[keep])
    assert ax.get_xlabel() == "Coefficient with 90% interval"


@pytest.mark.parametrize("how", [True, "basic"])
def test_standardised_drawn(how):
    res = fit("weights")
    (ax,) = res.plot_coefficients(standardized=how, sort=True).axes
    table = standardised_coefficients(res, "refit" if how is True else how)
    table = table[table["term"] != "Intercept"]
    table = table.sort_values("estimate", ascending=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == table["term"].tolist()
    assert_allclose(ax.collections[1].get_offsets()[:, 0], table["estimate"])
    assert ax.get_xlabel().startswith("Standardised coefficient (")


def test_intercept_and_labels():
    (ax,) = plot_coefficients(fit("sleep"), intercept=True).axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Intercept", "Days"]
    ax = Figure().subplots()
    plot_coefficients(fit("sleep"), coef_rename={"Days": "days awake"}, ax=ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["days awake"]
    empty = sml.lmer("Reaction ~ 1 + (1 | Subject)", frame("sleepstudy")).fit()
    with pytest.raises(ValueError, match="nothing but an intercept"):
        plot_coefficients(empty)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("logged", r"response 'np.log\(positive\)' is an expression"),
        ("offset", "a model with an offset"),
        ("log", r"not a number in \d+ rows of standardised data"),
    ],
)
def test_what_cannot_be_fitted_again(model, message):
    with pytest.raises(ValueError, match=message):
        standardised_coefficients(fit(model), "refit")
    assert standardised_coefficients(fit(model), "basic")["estimate"].notna().all()


def test_other_refusals():
    data = frame("sleepstudy")
    with pytest.raises(ValueError, match="unknown standardisation 'posthoc'"):
        plot_coefficients(fit("sleep"), standardized="posthoc")
    arrays = sml.LMER(data["Reaction"], data[["Days"]], groups=data["Subject"]).fit()
    with pytest.raises(ValueError, match="built from arrays"):
        standardised_coefficients(arrays, "refit")
    assert len(standardised_coefficients(arrays, "basic")) == 1
    robust = fit("sleep").get_robustcov_results("cluster", groups="Subject")
    with pytest.raises(ValueError, match="lose the robust covariance"):
        standardised_coefficients(robust, "refit")


def test_weights_by_a_column_are_kept():
    data = frame("pupils")
    named = sml.lmer("score ~ motiv + (1 | school)", data, weights="w").fit()
    array = sml.lmer("score ~ motiv + (1 | school)", data, weights=data["w"]).fit()
    pd.testing.assert_frame_equal(
        standardised_coefficients(named), standardised_coefficients(array)
    )
