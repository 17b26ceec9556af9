"""Marginal means, slopes and contrasts against R's emmeans and against themselves."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from registry import dataset, reference

import sm_lmer.api as sml
from sm_lmer.inference.ddf import METHODS
from sm_lmer.inference.emmeans import emmeans, emtrends

REF = reference("emmeans")
NUMBERS = {"estimate": 1e-5, "SE": 1e-5, "df": 1e-4, "lower": 2e-5, "upper": 2e-5}


@cache
def frame(name):
    if name not in REF["data"]:
        return dataset(name)
    data = pd.DataFrame(REF["data"][name])
    data["tension"] = pd.Categorical(data["tension"], ["L", "M", "H"])
    return data


@cache
def fit(name, engine="patsy"):
    model = REF["models"][name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.DroppedColumnsWarning)
        return sml.lmer(model["formula"], frame(model["data"])).fit()


@cache
def means_of(k):
    case = REF["cases"][k]
    return fit(case["model"]).emmeans(**asked(case))


def asked(case):
    return {k: v for k, v in case["arguments"].items() if v is not None}


def check(table, expected, p_rtol=1e-5):
    """Rows of our table against R's."""
    table = table.rename(columns={"z": "t", "emmean": "estimate"})
    table = table.rename(columns=lambda c: "estimate" if c.endswith(".trend") else c)
    scale = np.abs(np.nan_to_num(np.array(expected["SE"], dtype=float))).max()
    for column, rtol in NUMBERS.items():
        theirs = np.array(expected[column], dtype=float)
        if column == "df":
            theirs = np.where(np.isnan(theirs), np.inf, theirs)
            theirs = np.where(table["SE"].isna(), np.nan, theirs)
        np.testing.assert_allclose(
            table[column], theirs, rtol=rtol, atol=1e-6 * scale, err_msg=column
        )
    if "p" in table:
        theirs = np.array(expected["p"], dtype=float)
        np.testing.assert_allclose(table["p"], theirs, rtol=p_rtol, atol=2e-8)


@pytest.mark.parametrize("k", range(len(REF["cases"])))
def test_means_as_r(k):
    case = REF["cases"][k]
    check(means_of(k).to_frame(test=True), case["table"], 1e-4)


@pytest.mark.parametrize("case", REF["contrasts"])
def test_contrasts_as_r(case):
    means = REF["cases"][case["case"]]
    found = means_of(case["case"]).contrast(adjust=case["adjust"], **case["arguments"])
    expected = dict(case["table"])
    if case["adjust"] == "dunnettx":  # emmeans solves for its quantile to 5e-4 only
        half = (np.array(expected["upper"]) - np.array(expected["lower"])) / 2
        ours = (found.frame["upper"] - found.frame["lower"]) / 2
        np.testing.assert_allclose(ours, half, rtol=1e-3)
        expected["lower"], expected["upper"] = (
            found.frame["lower"],
            found.frame["upper"],
        )
    # ptukey is off by 3e-7 at few degrees of freedom; beside cells that are not
    # estimable emmeans rounds the degrees of freedom of Tukey's test to whole ones
    holes = means["model"] == "holes" and case["adjust"] == "tukey"
    check(found.frame, expected, 2e-3 if holes else 5e-4)
    if "contrast" in expected:
        assert list(found.frame["contrast"]) == expected["contrast"]


@pytest.mark.parametrize("case", REF["mvt"])
def test_mvt_as_r(case):
    found = means_of(case["case"]).contrast(case["method"], adjust="mvt")
    p = found.test()["p"]
    np.testing.assert_allclose(p, case["p"], rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("case", REF["trends"])
def test_trends_as_r(case):
    found = fit(case["model"]).emtrends(**asked(case))
    check(found.to_frame(test=True), case["table"], 1e-4)
    pairs = found.pairs()
    if case["model"] == "oats_numeric":  # without interaction all slopes are the same
        assert (pairs.estimate == 0).all()
        assert (pairs.se == 0).all()
    else:
        check(pairs.frame, case["pairs"], 1e-4)


@pytest.mark.usefixtures("formula_engine")
@pytest.mark.parametrize("name", ["cake_factor", "oats_factor", "warp", "warp_curve"])
def test_engines_agree(name):
    model = REF["models"][name]
    res = sml.lmer(model["formula"], frame(model["data"])).fit()
    case = next(c for c in REF["cases"] if c["model"] == name)
    check(res.emmeans(**asked(case)).to_frame(test=True), case["table"], 1e-4)


@pytest.mark.usefixtures("formula_engine")
def test_empty_cell_is_flagged():
    model = REF["models"]["holes"]
    with pytest.warns(sml.DroppedColumnsWarning):
        res = sml.lmer(model["formula"], frame("holes")).fit()
    cells = res.emmeans(["wool", "tension"])
    missing = (cells.grid["wool"] == "A") & (cells.grid["tension"] == "H")
    assert list(cells.frame["emmean"].isna()) == list(missing)
    assert "nonEst" in repr(cells)
    pairs = cells.pairs().frame
    assert pairs["p"].isna().sum() == 5


def test_derivatives_are_exact():
    data = frame("warp")
    res = sml.lmer("breaks ~ x + I(x**2) + I(x**3) + (1 | block)", data).fit()
    b, m = res.params, data["x"].mean()
    slope = b.iloc[1] + 2 * b.iloc[2] * m + 3 * b.iloc[3] * m**2
    assert res.emtrends("1", "x").estimate[0] == pytest.approx(slope, rel=1e-8)
    at = res.emtrends("x", "x", at={"x": [5.0, 10.0]})
    expected = b.iloc[1] + 2 * b.iloc[2] * 5 + 3 * b.iloc[3] * 25
    assert at.estimate[0] == pytest.approx(expected, rel=1e-8)


def test_scale_of_response_and_order_of_rows():
    data = frame("warp")
    formula = "breaks ~ wool * tension + x + (1 | block)"
    base = sml.lmer(formula, data).fit().emmeans("tension").pairs().frame
    scaled = data.assign(breaks=1e6 * data["breaks"], x=1e-4 * data["x"])
    shuffled = scaled.sample(frac=1.0, random_state=3)
    other = sml.lmer(formula, shuffled).fit().emmeans("tension").pairs().frame
    np.testing.assert_allclose(other["estimate"], 1e6 * base["estimate"], rtol=1e-6)
    np.testing.assert_allclose(
        other[["df", "t", "p"]], base[["df", "t", "p"]], rtol=1e-4
    )


@pytest.mark.parametrize("coding", ["Treatment", "Sum", "Helmert"])
def test_coding_does_not_matter(coding):
    base = fit("warp").emmeans("tension").frame
    formula = f"breaks ~ wool * C(tension, {coding}) + x + treated + (1 | block)"
    other = sml.lmer(formula, frame("warp")).fit().emmeans("tension").frame
    pd.testing.assert_frame_equal(base, other, rtol=1e-5)


def test_means_of_predictions(fits):
    """The means are averages of marginal predictions."""
    res = fits("cake")
    means = res.emmeans("recipe")
    cells = res.emmeans("recipe * temperature")
    new = cells.grid.assign(replicate="1")
    predicted = res.predict(new, re_form=False)
    np.testing.assert_allclose(cells.estimate, predicted, rtol=1e-10)
    np.testing.assert_allclose(
        means.estimate, predicted.groupby(new["recipe"].to_numpy()).mean(), rtol=1e-10
    )


def test_joint_test_is_that_of_the_anova(fits):
    res = fits("cake")
    means = res.emmeans("recipe", by="temperature")
    joint = means.pairs().test(joint=True)
    assert list(joint["temperature"]) == list(means.grid["temperature"].unique())
    assert (joint["df1"] == 2).all()
    L = means.pairs().L[:2]
    expected = res.wald_test(L)
    assert joint["F"][0] == pytest.approx(expected.statistic, rel=1e-8)
    assert joint["p"][0] == pytest.approx(expected.pvalue, rel=1e-8)


def test_offset_array_counts_at_its_mean():
    data = frame("warp")
    formula = "breaks ~ wool + (1 | block)"
    by_name = sml.lmer(formula, data, offset="o").fit().emmeans("wool").frame
    array = sml.lmer(formula, data, offset=data["o"].to_numpy()).fit()
    pd.testing.assert_frame_equal(array.emmeans("wool").frame, by_name, rtol=1e-6)


@pytest.mark.parametrize("ddf", [m for m in METHODS if m != "inner-outer"])
def test_text(ddf):
    pairs = fit("machines").emmeans("Machine", ddf=ddf).pairs()
    text = repr(pairs)
    assert f"Degrees-of-freedom method: {ddf}" in text
    assert "tukey method for comparing a family of 3 estimates" in text
    assert len(pairs) == 3
    averaged = repr(fit("warp").emmeans("tension | wool"))
    assert "Results are averaged over the levels of: treated" in averaged
    assert "wool = A:" in averaged


def test_custom_contrasts_and_levels(fits):
    means = fits("machines").emmeans("Machine")
    named = means.contrast({"A - rest": [1, -0.5, -0.5]})
    by_rows = means.contrast(np.array([[1, -0.5, -0.5]]))
    assert named.estimate[0] == by_rows.estimate[0]
    wide = means.to_frame(alpha=0.01)
    assert (wide["upper"] > means.frame["upper"]).all()
    shifted = means.test(null=50.0)
    np.testing.assert_allclose(shifted["t"], (means.estimate - 50.0) / means.se)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"specs": "tensoin"}, "'tensoin' is not a variable of the fixed part"),
        ({"specs": "block"}, "'block' is not a variable of the fixed part"),
        ({"specs": ""}, "specs names no variable"),
        ({"specs": []}, "specs names no variable"),
        ({"specs": "wool", "by": "wool"}, "by names all variables of specs"),
        ({"specs": "wool", "at": {"tension": "Q"}}, "levels the model has not seen: Q"),
        ({"specs": "wool", "at": {"z": 1}}, "at names 'z'"),
        ({"specs": "wool", "at": {"x": []}}, "at gives no level of 'x'"),
        (
            {"specs": "wool", "at": {"x": "a"}},
            "column 'x' of the new data is not numeric",
        ),
        ({"specs": "wool", "weights": "none"}, "unknown weights 'none'"),
        ({"specs": "wool", "ddf": "best"}, "unknown ddf 'best'"),
        ({"specs": "pairwise ~ wool"}, r'write .emmeans\("wool"\).contrast'),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        emmeans(fit("warp"), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "pairs"}, "unknown contrast method 'pairs'"),
        ({"method": [1, -1]}, "has 2 coefficients, but there are 3 levels"),
        (
            {"method": "trt.vs.ctrl", "ref": "Z"},
            "ref 'Z' is none of the levels L, M, H",
        ),
        ({"adjust": "tuckey"}, "unknown adjust 'tuckey'"),
        ({"by": "wool"}, "by names 'wool', which is not among tension"),
        ({"by": "tension"}, "nothing is compared"),
    ],
)
def test_bad_contrasts(arguments, message):
    means = fit("warp").emmeans("tension")
    with pytest.raises(ValueError, match=message):
        means.contrast(**arguments)


def test_needs_a_formula_and_a_numeric_variable():
    data = frame("warp")
    arrays = sml.LMER(data["breaks"], data[["x"]], groups=data["block"]).fit()
    with pytest.raises(ValueError, match="need a model built from a formula"):
        emmeans(arrays, "x")
    with pytest.raises(ValueError, match="var 'wool' is not a numeric variable"):
        emtrends(fit("warp"), "tension", "wool")
