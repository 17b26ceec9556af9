"""Likelihood-ratio tests of random terms, against lmerTest's ranova."""

from __future__ import annotations

import os
import pickle

import comparison_cases as cases
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import sm_lmer.api as sml
from sm_lmer.inference.ranova import ranova

COLUMNS = ["npar", "logLik", "AIC", "LRT", "Df", "Pr(>Chisq)"]


def agrees(table, expected):
    assert table.columns.to_list() == COLUMNS
    assert table.index.to_list() == expected["rows"]
    for name in ("npar", "Df"):
        np.testing.assert_array_equal(table[name], cases.column(expected, name))
    for name in ("logLik", "AIC"):
        assert_allclose(table[name], cases.column(expected, name), rtol=1e-8)
    assert_allclose(table["LRT"], cases.column(expected, "LRT"), rtol=1e-6, atol=1e-5)
    p = cases.column(expected, "Pr(>Chisq)")
    certain = np.nan_to_num(cases.column(expected, "LRT"), nan=1.0) > 1e-4
    assert_allclose(table["Pr(>Chisq)"][certain], p[certain], rtol=1e-5)


@pytest.mark.parametrize("case", cases.TABLES["ranova"], ids=cases.label)
def test_tables_of_lmertest(case):
    res = cases.fit(case)
    agrees(ranova(res), case["reduced"])
    agrees(ranova(res, reduce_terms=False), case["whole"])


def test_tables_under_both_engines(formula_engine):
    for case in cases.TABLES["ranova"]:
        if case["data"] in ("machines", "tasting"):
            agrees(ranova(cases.fit(case)), case["reduced"])


def test_main_effects_stay_with_their_interaction(formula_engine):
    case = {"data": "sleepstudy_extra"}
    table = ranova(cases.fit(case, "Reaction ~ Days + (Days * f | Subject)"))
    assert table.index.to_list() == ["<none>", "Days:f in (Days * f | Subject)"]
    smaller = cases.fit(case, "Reaction ~ Days + (Days + f | Subject)")
    assert table["npar"].to_list() == [13, 9]
    assert_allclose(table["logLik"].iloc[1], smaller.llf, atol=1e-6)


def test_columns_of_arrays_are_variables_of_their_own(fits):
    full = fits("sleepstudy")
    model = full.model
    Z = np.asarray(model.re_terms[0].Z)
    term = sml.RandomTerm(model.re_terms[0].factor, Z, "Subject", ["Intercept", "Days"])
    res = sml.LMER(model.endog, model.exog, re_terms=[term]).fit()
    by_arrays, by_formula = ranova(res), ranova(full)
    assert by_arrays.index[1] == "Days in (1 + Days | Subject)"
    assert_allclose(by_arrays, by_formula, rtol=1e-9)


def test_a_column_without_intercept_leaves_a_random_intercept(fits):
    model = fits("sleepstudy").model
    factor, Days = model.re_terms[0].factor, np.asarray(model.exog)[:, 1]
    term = sml.RandomTerm(factor, Days, "Subject", ["Days"])
    table = ranova(sml.LMER(model.endog, model.exog, re_terms=[term]).fit())
    assert table["Df"].iloc[1] == 0
    assert np.isnan(table["Pr(>Chisq)"].iloc[1])
    assert_allclose(table["logLik"].iloc[1], fits("sleepstudy_ri").llf, rtol=1e-9)


def test_an_intercept_is_not_added_twice(fits):
    table = ranova(
        sml.lmer(
            "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)",
            cases.frame("sleepstudy"),
        ).fit()
    )
    assert_allclose(table["logLik"].iloc[2], fits("sleepstudy_ri").llf, rtol=1e-9)
    assert table["npar"].to_list() == [5, 4, 4]


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_and_origins_do_not_matter(fits, scale):
    data = cases.frame("sleepstudy").assign(
        Reaction=lambda d: scale * d["Reaction"] + 7.0, Days=lambda d: 2010 + d["Days"]
    )
    res = sml.lmer("Reaction ~ Days + (Days | Subject)", data).fit()
    assert_allclose(ranova(res)["LRT"], ranova(fits("sleepstudy"))["LRT"], rtol=1e-6)


def test_the_table_survives_pickling_of_the_fit(fits):
    res = pickle.loads(pickle.dumps(fits("machines")))
    pd.testing.assert_frame_equal(ranova(res), ranova(fits("machines")))


@pytest.mark.skipif(
    "SM_LMER_CLASSROOM" not in os.environ, reason="SM_LMER_CLASSROOM names no file"
)
def test_published_table_of_the_classroom_data():
    data = pd.read_csv(os.environ["SM_LMER_CLASSROOM"])
    res = sml.lmer("mathgain ~ 1 + (1 | schoolid/classid)", data).fit()
    table = ranova(res)
    assert table.index.to_list()[1:] == ["(1 | classid:schoolid)", "(1 | schoolid)"]
    assert table["LRT"].iloc[1:].round(4).to_list() == [7.9048, 7.8875]
