"""Tests of terms and contrasts against lmerTest and pbkrtest."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import registry
from numpy.testing import assert_allclose
from scipy import stats

import sm_lmer.api as sml
from sm_lmer.compat.terms import fixed_part
from sm_lmer.inference.anova import effects

CASES = {case["name"]: case for case in registry.reference("anova")["cases"]}
GROUPS = ("temperature", "service", "dept", "s", "d")


def case_data(case):
    inline = registry.reference("anova")["inline"]
    if case["data"] not in inline:
        return registry.dataset(case["data"])
    frame = pd.DataFrame(inline[case["data"]])
    return frame.astype({c: str for c in GROUPS if c in frame})


def fit(case, data=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        warnings.simplefilter("ignore", sml.DroppedColumnsWarning)
        data = case_data(case) if data is None else data
        model = sml.lmer(case["formula"], data, weights=case["weights"])
        return model.fit(reml=case["reml"])


@cache
def case_fit(name):
    return fit(CASES[name])


def agrees(found, reference):
    assert_allclose(found["F"], reference["F"], rtol=1e-5)
    assert_allclose(found["df_denom"], reference["df_denom"], rtol=1e-5)
    assert_allclose(found["sum_sq"], reference["sum_sq"], rtol=1e-5)
    assert_allclose(found["mean_sq"], reference["mean_sq"], rtol=1e-5)
    assert_allclose(found["PR(>F)"], reference["p"], rtol=2e-4, atol=1e-12)
    assert list(found["df"]) == reference["df"]


# -- lmerTest --------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_lmertest(name):
    for typ, reference in CASES[name]["tests"].items():
        agrees(case_fit(name).anova(int(typ)), reference)


@pytest.mark.parametrize(
    "name", ["nine_boolean", "two_way_late", "three_way_partial", "holes_covariate"]
)
def test_lmertest_under_both_engines(name, formula_engine):
    results = fit(CASES[name])
    for typ, reference in CASES[name]["tests"].items():
        agrees(results.anova("I" * int(typ)), reference)


@pytest.mark.skipif(
    find_spec("sm_lmer.inference.kenward_roger") is None, reason="no Kenward-Roger yet"
)
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case["kr"]])
def test_pbkrtest(name):
    for typ, reference in CASES[name]["kr"].items():
        agrees(case_fit(name).anova(int(typ), "kenward-roger"), reference)


# -- the other methods -----------------------------------------------------------------


def test_normal_and_residual():
    results = case_fit("cake_thin")
    normal, residual = (results.anova(3, m) for m in ("normal", "residual"))
    assert_allclose(normal["F"], results.anova(3)["F"])
    assert np.isinf(normal["df_denom"]).all()
    chi2 = stats.chi2.sf(normal["F"] * normal["df"], normal["df"])
    assert_allclose(normal["PR(>F)"], chi2)
    assert (residual["df_denom"] == results.df_resid).all()
    tail = stats.f.sf(residual["F"], residual["df"], results.df_resid)
    assert_allclose(residual["PR(>F)"], tail)


def test_layout():
    table = case_fit("oats").anova()
    columns = ["sum_sq", "mean_sq", "df", "df_denom", "F", "PR(>F)"]
    assert list(table.columns) == columns
    assert list(table.index) == ["nitro", "Variety", "nitro:Variety"]
    assert table["df"].dtype == np.int64
    heading = "Type III tests with Satterthwaite's degrees of freedom"
    assert table.attrs == {"heading": heading, "notes": ()}
    assert case_fit("oats").anova("I", "normal").attrs["heading"].startswith("Type I ")


def test_bad_arguments():
    with pytest.raises(ValueError, match="unknown typ 4"):
        case_fit("oats").anova(4)
    with pytest.raises(ValueError, match="unknown ddf 'lmer'"):
        case_fit("oats").anova(ddf="lmer")


# -- invariances -----------------------------------------------------------------------


@pytest.mark.parametrize("typ", [1, 2, 3])
def test_scales_and_row_order(typ):
    case = CASES["two_way"]
    data = case_data(case)
    changed = data.assign(y=1e5 * data["y"] + 3, x=1e-3 * data["x"])
    table = fit(case, changed.sample(frac=1.0, random_state=3)).anova(typ)
    expected = case_fit("two_way").anova(typ)
    assert_allclose(table["F"], expected["F"], rtol=1e-6)
    assert_allclose(table["df_denom"], expected["df_denom"], rtol=1e-6)
    assert_allclose(table["sum_sq"], 1e10 * expected["sum_sq"], rtol=1e-6)


@pytest.mark.parametrize("coding", ["C({}, Sum)", "C({}, Helmert)", "C({}, Poly)"])
def test_type_3_does_not_depend_on_the_coding(coding):
    case = CASES["two_way"]
    A, B = coding.format("A"), coding.format("B")
    coded = {**case, "formula": f"y ~ {A} * {B} + x + {A}:x + (1 | g)"}
    table, expected = fit(coded).anova(3), case_fit("two_way").anova(3)
    assert_allclose(table.to_numpy(), expected.to_numpy(), rtol=1e-7, atol=1e-12)


# -- what cannot be estimated ----------------------------------------------------------


def aliased():
    data = case_data(CASES["nine_cells"])
    data = data.assign(copy=data["A"], twice=2.0 * data["x"])
    formula = "y ~ A + copy + x + twice + (1 | g)"
    return fit({**CASES["nine_cells"], "formula": formula}, data)


@pytest.mark.parametrize("typ", [1, 2, 3])
def test_a_term_without_estimable_contrasts(typ):
    table = aliased().anova(typ)
    assert list(table["df"]) == [2, 0, 1, 0]
    assert table.loc[["copy", "twice"]].drop(columns="df").isna().all(axis=None)
    assert table.loc[["A", "x"]].notna().all(axis=None)


def test_estimability_of_a_contrast(formula_engine):
    results = aliased()
    whole = results.contest("x + 2 * twice = 0.5", joint=False)
    kept = results.contest("x = 0.5", joint=False)
    assert_allclose(whole, kept)
    names = ["Intercept", "A", "A", "copy", "copy", "x", "twice"]
    full = np.array([[float(n == "x") + 2 * (n == "twice") for n in names]])
    assert_allclose(results.contest(full), results.contest("x = 0"))
    with pytest.raises(ValueError, match=r"row 0 .* not estimable: column 'twice'"):
        results.contest("twice = 0")


# -- contest and show_tests ------------------------------------------------------------


def test_contest_of_a_term_is_its_row():
    results = case_fit("cake_thin")
    table = results.anova(3)
    for term, L in results.show_tests(3).items():
        assert_allclose(results.contest(L).iloc[0], table.loc[term])


def test_contest_of_single_rows():
    results = case_fit("sleepstudy")
    table = results.contest([[0, 1], [1, 2]], [10.0, 0.0], joint=False, alpha=0.1)
    test = results.t_test(([[0, 1], [1, 2]], [10.0, 0.0]))
    assert_allclose(table["t value"], test.tvalue)
    assert_allclose(table["Pr(>|t|)"], test.pvalue)
    half = stats.t.ppf(0.95, table["df"]) * table["Std. Error"]
    assert_allclose(table["upper"] - table["Estimate"], half)
    assert_allclose(table["Estimate"] - table["lower"], half)
    squared = results.contest([[0, 1]], 10.0)
    assert_allclose(squared["F"], table["t value"].iloc[0] ** 2)
    assert_allclose(squared["df_denom"], table["df"].iloc[0])


def test_contest_counts_dependent_rows_once():
    results = case_fit("cake_temp")
    once = results.contest("temp = 0.1, recipe[T.B] = 1")
    L = np.eye(6)[[3, 1]]
    twice = results.contest(np.vstack([L, L.sum(axis=0)]), [0.1, 1.0, 1.1])
    assert_allclose(once[["F", "df"]], twice[["F", "df"]])


def test_contest_with_wrong_right_hand_sides():
    with pytest.raises(ValueError, match="rhs has shape"):
        case_fit("sleepstudy").contest(np.eye(2), [1.0, 2.0, 3.0])


def test_show_tests_names_rows_and_columns():
    tests = case_fit("nine_cells").show_tests(3)
    names = case_fit("nine_cells").model.exog_names
    assert list(tests["A"].columns) == names
    assert list(tests["A"].index) == ["A[T.b]", "A[T.c]"]
    assert tests["A"].loc["A[T.b]", "A[T.b]:B[T.c]"] == pytest.approx(1 / 3)


# -- effects for statsmodels' anova_lm ---------------------------------------------------


@pytest.mark.parametrize("name", ["two_way_late", "nine_sum", "holes", "sleepstudy"])
def test_effects_add_up_to_type_1(name):
    results = case_fit(name)
    table = results.anova(1)
    squares = effects(results) ** 2
    for term in fixed_part(results.model).terms:
        total = squares[term.columns].sum()
        assert total == pytest.approx(table.loc[term.name, "sum_sq"], rel=1e-9)
