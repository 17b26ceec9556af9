"""Fits that start from another fit: refit, refit_ml and update."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from registry import dataset, reference

import sm_lmer.api as sml
from sm_lmer.formula.grammar import FormulaError
from sm_lmer.refit import updated

CASES = {case["id"]: case for case in reference("lmm_predict")["refits"]}
SLEEP = "Reaction ~ Days + (Days | Subject)"


def assert_agrees(res, expected):
    assert -2 * res.llf == pytest.approx(expected["criterion"], abs=1e-6)
    np.testing.assert_allclose(res.theta, expected["theta"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(res.params, list(expected["beta"].values()), rtol=1e-6)
    assert res.sigma == pytest.approx(expected["sigma"], rel=1e-5)


# refit -------------------------------------------------------------------------------


@pytest.mark.parametrize("case_id", CASES)
def test_refit_of_the_reversed_response(case_id, fits):
    res = fits(case_id)
    before = res.model.endog.copy()
    again = res.refit(res.model.endog[::-1])
    assert_agrees(again, CASES[case_id]["reversed_response"])
    np.testing.assert_array_equal(res.model.endog, before)
    np.testing.assert_array_equal(again.model.endog, before[::-1])


@pytest.mark.parametrize("case_id", CASES)
def test_refit_ml(case_id, fits):
    assert_agrees(fits(case_id).refit_ml(), CASES[case_id]["ml"])


def test_refit_ml_of_an_ml_fit_is_the_same(fits):
    res = fits("sleepstudy_ml")
    assert res.refit_ml().llf == res.llf


def test_refit_starts_at_the_optimum(fits):
    res = fits("sleepstudy")
    again = res.refit(res.model.endog)
    np.testing.assert_allclose(again.theta, res.theta, rtol=1e-5)
    assert len(again.fit_log) <= 2  # there, and at the usual start to compare


def test_refit_keeps_method_weights_and_offset():
    sleep = dataset("sleepstudy").assign(w=np.linspace(1, 2, 180), o=np.arange(180.0))
    res = sml.lmer(SLEEP, sleep, weights="w", offset="o").fit(reml=False)
    again = res.refit(res.model.endog)
    assert again.method == "ML"
    assert again.llf == pytest.approx(res.llf, rel=1e-12)


def test_refit_takes_series_and_frames(fits):
    res = fits("sleepstudy")
    doubled = 2 * dataset("sleepstudy")["Reaction"]
    for response in (doubled, doubled.to_frame(), doubled.tolist()):
        np.testing.assert_allclose(
            res.refit(response).params, 2 * res.params, rtol=1e-6
        )


def test_a_refit_predicts(fits):
    res = fits("sleepstudy")
    again = res.refit(res.model.endog[::-1])
    np.testing.assert_allclose(
        again.predict(dataset("sleepstudy")), again.fittedvalues, rtol=1e-12
    )
    assert again.refit_ml().method == "ML"


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (np.ones(3), "the new response has 3 entries, but the model uses 180 rows"),
        (np.full(180, np.nan), "the new response has missing or infinite values"),
        (np.ones(180), "the response is constant"),
        (["a"] * 180, "the new response is not numeric"),
        (np.arange(180.0)[::-1] % 10, "perfect fit"),
        (
            pd.Series(np.arange(180.0), index=range(180, 0, -1)),
            "the index of the new response is not that of the data",
        ),
    ],
)
def test_unusable_responses(response, message, fits):
    if message == "perfect fit":
        response = 3 * dataset("sleepstudy")["Days"] + 1
    with pytest.raises(ValueError, match=message):
        fits("sleepstudy").refit(response)


# update ------------------------------------------------------------------------------


def cake() -> pd.DataFrame:
    return dataset("cake")


FORMULA = "angle ~ recipe + temp + (1 | recipe:replicate)"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (". ~ . - temp", ["Intercept", "recipe[T.B]", "recipe[T.C]"]),
        (". ~ . - recipe", ["Intercept", "temp"]),
        ("~ . - 1 - recipe", ["temp"]),
        (
            ". ~ . + np.log(temp)",
            ["Intercept", "recipe[T.B]", "recipe[T.C]", "temp", "np.log(temp)"],
        ),
        ("log(.) ~ temp + (1 | recipe:replicate)", ["Intercept", "temp"]),
    ],
)
@pytest.mark.parametrize("with_data", [True, False])
def test_update_of_the_formula(change, names, with_data, formula_engine):
    res = sml.lmer(FORMULA, cake()).fit()
    new = res.update(change, **({"data": cake()} if with_data else {}))
    assert new.params.index.tolist() == names
    direct = sml.lmer(updated(FORMULA, change), cake()).fit()
    assert new.llf == pytest.approx(direct.llf, rel=1e-10)


@pytest.mark.parametrize(
    ("change", "terms"),
    [
        (
            ". ~ . + (1 | batch)",
            ["(1 | plate)", "(1 | sample)", "(1 | batch)"],
        ),
        (". ~ . - (1 | sample)", ["(1 | plate)"]),
        (". ~ . - (1|plate) - ( 1 | sample ) + (1 | batch)", ["(1 | batch)"]),
    ],
)
def test_update_of_the_random_part(change, terms):
    data = dataset("penicillin").assign(batch=np.arange(144) % 5)
    res = sml.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    new = sml.lmer(updated(res.lmer_formula, change, list(data.columns)), data)
    assert [term.text for term in new.re_terms] == terms


@pytest.mark.parametrize(
    ("old", "change", "new"),
    [
        ("y ~ x + (1 | g)", ". ~ . + z", "y ~ (x + (1 | g)) + z"),
        ("y ~ x + (1 | g)", "~ . + z", "y ~ (x + (1 | g)) + z"),
        ("y ~ x + (1 | g)", "log(.) ~ .", "log(y) ~ (x + (1 | g))"),
        ("y ~ a.b + (1 | g)", ". ~ . - a.b", "y ~ (a.b + (1 | g)) - a.b"),
        ("y ~ x + (x | g)", ". ~ . - (x | g) + (1 | g)", "y ~ (x) + (1 | g)"),
        ("y ~ x + (x || g)", ". ~ . - (0 + x | g)", "y ~ (x + (1 | g))"),
        ("y ~ (1 | a/b)", ". ~ . - (1 | a:b)", "y ~ (1 + (1 | a))"),
        (
            "y ~ 0 + x + diag(x | g)",
            ". ~ . - diag(x | g) + (1 | g)",
            "y ~ (0 + x) + (1 | g)",
        ),
        (
            "y ~ offset(o) + (1 | g) + (log(x) | h)",
            ". ~ . - (log(x) | h)",
            "y ~ (1 + offset(o) + (1 | g))",
        ),
    ],
)
def test_updated(old, change, new):
    assert " ".join(updated(old, change, ["a.b", "y", "g"]).split()) == new


def test_a_dot_of_the_old_formula_stays_a_dot():
    data = cake()[["angle", "temp", "recipe", "replicate"]]
    res = sml.lmer("angle ~ . + (1 | recipe:replicate)", data).fit()
    assert res.params.index.tolist() == ["Intercept", "temp"]
    for changes in ({}, {"data": data}, {"weights": np.full(270, 2.0)}):
        again = res.update(". ~ .", **changes)
        assert again.params.index.tolist() == ["Intercept", "temp"]
        weighted = again.update(". ~ . - temp")
        assert weighted.params.index.tolist() == ["Intercept"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("temp", FormulaError, "update needs a formula with one '~', not 'temp'"),
        (
            ". ~ . - (1 | g)",
            FormulaError,
            r"no random term \(1 \| g\) to take away; it has \(1 \| recipe:replicate\)",
        ),
        (
            ". ~ . + other",
            ValueError,
            r"only the columns that it uses, and 'other' .*update\(\.\.\., data=data\)",
        ),
    ],
)
def test_unusable_changes(change, error, message):
    res = sml.lmer(FORMULA, cake()).fit()
    with pytest.raises(error, match=message):
        res.update(change)


def test_update_with_unknown_column_of_new_data():
    res = sml.lmer(FORMULA, cake()).fit()
    with pytest.raises(ValueError, match="unknown column 'other' in the fixed part"):
        res.update(". ~ . + other", data=cake())
    with pytest.raises(TypeError, match="LMER got unknown arguments: wheights"):
        res.update(wheights="temp")


def test_update_of_data_and_settings(fits):
    res = fits("sleepstudy")
    sleep = dataset("sleepstudy")
    assert res.update().llf == pytest.approx(res.llf, rel=1e-10)
    assert res.update(reml=False).llf == pytest.approx(res.refit_ml().llf, rel=1e-10)
    assert fits("sleepstudy_ml").update().method == "ML"
    first = sleep["Days"] < 8
    for new in (
        res.update(subset=first),
        res.update(data=sleep, subset=first),
        res.update(data=sleep[first]),
    ):
        assert new.nobs == first.sum()
        assert new.llf == pytest.approx(
            sml.lmer(SLEEP, sleep[first]).fit().llf, rel=1e-9
        )


@pytest.mark.parametrize("given", ["name", "array"])
def test_update_keeps_weights_and_offset(given, formula_engine):
    sleep = dataset("sleepstudy").assign(w=np.linspace(1, 2, 180), o=np.arange(180.0))
    sleep["Days"] = sleep["Days"].where(sleep.index != 3)
    extras = {"weights": "w", "offset": "o"}
    if given == "array":
        extras = {role: sleep[name].to_numpy() for role, name in extras.items()}
    res = sml.lmer(SLEEP, sleep, **extras).fit()
    again = res.update(". ~ .")
    assert again.llf == pytest.approx(res.llf, rel=1e-10)
    half = res.update(subset=np.arange(179) < 90)
    np.testing.assert_array_equal(half.model.weights, res.model.weights[:90])
    assert res.update(weights=None).model.weights is None
    if given == "name":
        assert res.update(data=sleep).llf == pytest.approx(res.llf, rel=1e-10)
    else:
        with pytest.raises(ValueError, match=r"an array of weights.*pass weights= too"):
            res.update(data=sleep)


def test_update_keeps_the_names_of_the_caller():
    extra, number = np.linspace(0, 1, 180) ** 2, 2.0
    sleep = dataset("sleepstudy")
    res = sml.lmer(
        "Reaction ~ Days + extra + I(Days**number) + (1 | Subject)", sleep
    ).fit()
    assert res.update(". ~ . - Days").params.index.tolist() == [
        "Intercept",
        "extra",
        "I(Days ** number)",
    ]
    assert len(extra) == res.nobs
    assert number == 2.0


def test_update_needs_a_formula():
    sleep = dataset("sleepstudy")
    res = sml.LMER(sleep["Reaction"], np.ones(180), sleep["Subject"]).fit()
    with pytest.raises(
        ValueError, match="update needs a model that was built from a form"
    ):
        res.update(". ~ . + Days")


def test_warnings_point_at_the_users_line():
    model = sml.lmer("Yield ~ 1 + (1 | Batch)", dataset("dyestuff2"))
    with pytest.warns(sml.SingularFitWarning, match="estimated as zero") as caught:
        model.fit().refit_ml()
    assert [Path(w.filename).name for w in caught] == [Path(__file__).name] * 2
