"""Which rows are shown, in which order, under which names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_lmer.tables.random_labels import LABELS, random_label
from sm_lmer.tables.selection import (
    coefficient_labels,
    merged,
    readable,
    statistics_shown,
)

NAMES = [("Intercept",), ("recipe[T.B]",), ("Temperature", "temp"), ("x:z",)]


def labels(coef_map=None, coef_omit=None, coef_rename=None):
    return coefficient_labels(NAMES, coef_map, coef_omit, coef_rename)


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ([["a", "b"], ["a", "c"]], "abc"),
        ([["a", "c"], ["a", "b", "c"]], "abc"),
        ([["x"], ["a", "x"]], "ax"),
        ([["a", "b"], ["b", "n", "a"]], "nab"),
        ([[], ["a"]], "a"),
    ],
)
def test_merged(orders, expected):
    assert merged(orders) == list(expected)


@given(st.lists(st.lists(st.integers(0, 20), unique=True), min_size=1))
def test_merged_keeps_all_and_the_first_order(orders):
    out = merged(orders)
    assert sorted(out) == sorted(set().union(*orders))
    assert [key for key in out if key in orders[0]] == orders[0]


def test_omit_by_any_name():
    assert labels(coef_omit="^temp$|:") == [(0, "Intercept"), (1, "recipe[T.B]")]
    assert len(labels(coef_omit=["Inter", "recipe"])) == 2


def test_map_orders_selects_and_renames():
    assert labels({"temp": "T", "Intercept": "1", "absent": "?"}) == [
        (2, "T"),
        (0, "1"),
    ]
    assert labels(["x:z", "Temperature"]) == [(3, "x:z"), (2, "Temperature")]
    assert labels({"Temperature": "A", "temp": "B"}) == [(2, "A")]


def test_rename():
    assert labels(coef_rename={"temp": "T"})[2] == (2, "T")
    assert labels(coef_rename=str.upper)[2] == (2, "TEMPERATURE")
    assert labels(coef_rename=True)[1] == (1, "recipe: B")
    assert labels(coef_rename=False)[1] == (1, "recipe[T.B]")


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("C(recipe)[T.B]:temp", "recipe: B × temp"),  # noqa: RUF001
        ("recipe[T.A:1]:x", "recipe: A:1 × x"),  # noqa: RUF001
        ("np.log(x + 1)", "np.log(x + 1)"),
        ("a[S.b]", "a: b"),
    ],
)
def test_readable(term, text):
    assert readable(term) == text


@pytest.mark.parametrize("pattern", ["x(", ["[", "a"], [3]])
def test_bad_patterns(pattern):
    with pytest.raises(ValueError, match="coef_omit is"):
        labels(coef_omit=pattern)
    with pytest.raises(ValueError, match="gof_omit is"):
        statistics_shown(["aic"], None, pattern)


# -- statistics ------------------------------------------------------------------------

KEYS = ["rmse", "own", "nobs", "ngroups_b", "ngroups_a", "aic", "sigma"]


def shown(gof_map=None, gof_omit=None):
    return [s.label for s in statistics_shown(KEYS, gof_map, gof_omit)]


def test_usual_statistics():
    assert shown() == [
        "Num.Obs.",
        "Num.Groups: b",
        "Num.Groups: a",
        "AIC",
        "RMSE",
        "own",
    ]
    assert shown("all")[-2:] == ["Sigma", "own"]
    assert shown(gof_omit="Num|aic|own") == ["RMSE"]


def test_gof_map_selects_orders_renames():
    assert shown(["aic", "nobs"]) == ["AIC", "Num.Obs."]
    assert shown({"aic": "A", "nobs": "N"}) == ["A", "N"]
    assert shown(["ngroups", "bic"]) == ["Num.Groups: b", "Num.Groups: a"]
    assert shown([]) == []
    entry = {"raw": "own", "clean": "Own", "fmt": 1}
    found = statistics_shown(KEYS, [entry, ("aic", None, 4), ("rmse", "R")], None)
    assert [(s.label, s.fmt) for s in found] == [("Own", 1), ("AIC", 4), ("R", 2)]


def test_gof_map_of_no_statistic():
    with pytest.raises(ValueError, match="'aicc', which no model has"):
        shown(["aicc"])
    with pytest.raises(ValueError, match="no entry of gof_map"):
        shown([{"clean": "x"}])


# -- random effects --------------------------------------------------------------------


def row(kind, term="Intercept", term2="", group="id"):
    return {"group": group, "type": kind, "term": term, "term2": term2}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            row("sd"),
            ["SD (Intercept id)", "√τ₀₀ id", "SD: id Intercept", "sd__Intercept id"],
        ),
        (
            row("cor", "Intercept", "x"),
            [
                "Cor (Intercept~x id)",
                "ρ₀₁ id.x",
                "Cor: id Intercept x",
                "cor__Intercept.x id",
            ],
        ),
        (
            row("cov", "x", "z"),
            ["Cov (x~z id)", "τ₁₂ id.x~z", "Cov: id x z", "cov__x.z id"],
        ),
        (
            row("var", "Observation", group="Residual"),
            ["Var (Observations)", "σ²", "Var: Residual", "var__Observation"],
        ),
    ],
)
def test_labels_of_random_effects(found, expected):
    numbers = {("id", "Intercept"): 0, ("id", "x"): 1, ("id", "z"): 2}
    assert [random_label(found, style, numbers) for style in LABELS] == expected


def test_labels_by_a_function_or_an_unknown_name():
    assert random_label(row("sd"), lambda r: f"{r['type']}!", {}) == "sd!"
    with pytest.raises(ValueError, match="unknown re_labels 'apa'"):
        random_label(row("sd"), "apa", {})
