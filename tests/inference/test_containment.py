from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from registry import dataset, reference

import sm_lmer.api as sml
from sm_lmer.inference.containment import inner_outer

CASES = range(17)


def fit(formula, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data).fit()


def data_of(name):
    if name == "hsb":
        data = dataset("hsb")
        return data.assign(sector=(data["Sector"] == "Catholic").astype(float))
    inline = reference("containment")["inline"]
    return pd.DataFrame(inline[name]) if name in inline else dataset(name)


def test_all_cases_are_tested():
    assert len(reference("containment")["cases"]) == len(CASES)


@pytest.mark.parametrize("number", CASES)
def test_nested_factors_have_nlmes_degrees_of_freedom(number):
    case = reference("containment")["cases"][number]
    inference = fit(case["formula"], data_of(case["data"])).inference("inner-outer")
    assert_array_equal(inference.df, case["df"])
    assert inference.notes == ()


def test_terms_have_nlmes_degrees_of_freedom():
    res = fit("yield ~ Variety * nitro + (1 | Block/Variety)", dataset("oats"))
    cases = reference("containment")["cases"]
    terms = next(c["terms"] for c in cases if "Variety * nitro" in c["formula"])
    L = np.eye(6)
    inference = res.inference("containment")
    assert inference.joint(L[1:3]) == (terms["Variety"], 1.0)
    assert inference.joint(L[4:]) == (
        terms["nitro:Variety" if "nitro:Variety" in terms else "Variety:nitro"],
        1.0,
    )


def crossed_data(cells=2):
    """Six plates crossed with four samples, with columns of every stratum."""
    rng = np.random.default_rng(2)
    a, b = (i.ravel() for i in np.indices((6, 4 * cells)))
    data = pd.DataFrame({"a": a, "b": b % 4})
    n = len(data)
    data["ab"] = data["a"] * 4 + data["b"]
    data["x"] = rng.normal(size=n)
    data["za"], data["zb"] = (
        rng.normal(size=6)[data["a"]],
        rng.normal(size=4)[data["b"]],
    )
    data["zab"] = rng.normal(size=24)[data["ab"]]
    data["y"] = rng.normal(size=n) + rng.normal(size=6)[data["a"]]
    data["y"] += rng.normal(size=4)[data["b"]]
    return data


def test_crossed_factors():
    res = fit("y ~ x + za + zb + (1 | a) + (1 | b)", crossed_data())
    # 48 rows: the mean 1, a 5, b 3, so the residual 39
    assert_array_equal(res.inference("inner-outer").df, [38, 38, 4, 2])


def test_crossed_factors_with_their_interaction():
    formula = "y ~ x + za + zb + zab + (1 | a) + (1 | b) + (1 | ab)"
    res = fit(formula, crossed_data())
    # 48 rows: the mean 1, a 5, b 3, a by b 15, so the residual 24
    assert_array_equal(res.inference("inner-outer").df, [23, 23, 4, 2, 14])


def test_a_column_outer_to_two_crossed_factors_has_the_smaller_number():
    data = pd.concat([crossed_data(), crossed_data()], keys=[0.0, 1.0], names=["half"])
    data = data.reset_index(level=0).reset_index(drop=True)
    for g in ("a", "b"):
        data[g] = data[g].astype(str) + data["half"].astype(str)
    res = fit("y ~ x + half + (1 | a) + (1 | b)", data)
    # half divides the 12 levels of a and the 8 of b
    assert res.inference("inner-outer").df[2] == min(12, 8) - 1 - 1


def test_contrasts_have_the_smallest_number_involved():
    data = crossed_data()
    inference = fit("y ~ x + za + zb + (1 | a) + (1 | b)", data).inference(
        "inner-outer"
    )
    L = np.array([[0, 1.0, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0.5], [0, 1, 1e-16, 0]])
    assert_array_equal(inference.each(L), [38, 4, 2, 38])
    assert inference.joint(L) == (2.0, 1.0)
    assert np.isnan(inference.each(np.zeros((1, 4)))[0])


def test_terms_on_one_factor_count_once():
    data = dataset("sleepstudy")
    together = fit("Reaction ~ Days + (Days | Subject)", data)
    apart = fit("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", data)
    for res in (together, apart):
        assert_array_equal(res.inference("inner-outer").df, [161, 161])


def test_no_degrees_of_freedom_left():
    data = dataset("hsb")
    some = data[data["School"].isin(data["School"].unique()[:3])]
    some = some.assign(
        sector=(some["Sector"] == "Catholic").astype(float),
        School=some["School"].astype(str),
    )
    if some["sector"].nunique() == 1:
        some["sector"] = (some["School"] == some["School"].iloc[0]).astype(float)
    res = fit("MathAch ~ SES + MEANSES + sector + (1 | School)", some)
    inference = res.inference("inner-outer")
    assert_array_equal(inference.df[2:], [1, 1])
    assert "MEANSES, sector; 1 is used" in inference.notes[0]


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_scale_order_and_rounding_do_not_matter(scale, rng):
    data = crossed_data()
    # constant within levels but for rounding
    data["za"] = scale * (data["za"] + 1e-15 * rng.normal(size=len(data)))
    data["x"] = scale * data["x"] + 1e6 * scale
    data["y"] = scale * data["y"]
    shuffled = data.sample(frac=1.0, random_state=1)
    for frame in (data, shuffled):
        res = fit("y ~ x + za + zb + (1 | a) + (1 | b)", frame)
        assert_array_equal(inner_outer(res).df, [38, 38, 4, 2])


def test_tests_use_them(data):
    res = sml.lmer("yield ~ Variety + nitro + (1 | Block/Variety)", data("oats")).fit(
        ddf="inner-outer"
    )
    assert_allclose(res.ddf, [53, 10, 10, 53])
    assert res.wald_test(np.eye(4)[1:3]).df_denom == 10
