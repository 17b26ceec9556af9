"""The check of a fit: its numbers against R, and what it says of known illnesses."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import dataset, reference
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import sm_lmer.api as sml
from sm_lmer.inference.health import _breusch_pagan
from sm_lmer.inference.random_pca import vanishing
from sm_lmer.inference.vif import vif

CASES = {case["id"]: case for case in reference("health")["cases"]}


@cache
def fit(name):
    case = CASES[name]
    return sml.lmer(case["formula"], dataset(case["data"])).fit()


def quietly(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **options).fit()


def verdicts(report):
    return dict(zip(report.frame["topic"], report.frame["verdict"], strict=True))


def simulated(n=600, levels=60, seed=1):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": np.arange(n) % levels, "x": rng.standard_normal(n)})
    data["z"] = rng.standard_normal(n)
    data["y"] = data["x"] + rng.standard_normal(levels)[data["g"]]
    data["y"] += rng.standard_normal(n)
    return data


# Numbers --------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_against_r(name):
    case, res = CASES[name], fit(name)
    for group, sizes in case["sdev"].items():
        assert_allclose(res.pca()[group]["sd"], sizes, rtol=1e-6)
    found = _breusch_pagan(np.asarray(res.fittedvalues), np.asarray(res.resid))
    assert_allclose(found, case["breusch_pagan"], rtol=1e-4)
    if "vif" in case:
        frame = vif(res)
        assert dict(frame["df"]) == case["df"]
        for term, value in case["vif"].items():
            assert_allclose(frame.loc[term, "gvif"], value, rtol=1e-7)


def test_loadings_rebuild_the_covariance():
    res = fit("machines")
    frame = res.pca()["Worker"]
    loadings = frame.iloc[:, 3:].to_numpy()
    built = loadings.T @ np.diag(frame["sd"] ** 2) @ loadings * res.scale
    assert_allclose(built, res.cov_re, rtol=1e-9, atol=1e-9)
    assert_allclose(frame["cumulative"].iloc[-1], 1.0)


def test_vif_of_a_model_from_arrays_and_of_one_term():
    data = dataset("hsb")
    X = np.column_stack([np.ones(len(data)), data["SES"], data["MEANSES"]])
    res = sml.LMER(data["MathAch"], X, groups=data["School"]).fit()
    written = sml.lmer("MathAch ~ SES + MEANSES + (1 | School)", data).fit()
    assert_allclose(vif(res)["gvif"], vif(written)["gvif"])
    with pytest.raises(ValueError, match="two terms"):
        vif(fit("sleepstudy"))


# Words ----------------------------------------------------------------------------


def test_a_healthy_fit_is_called_so():
    report = quietly("y ~ x + (1 | g)", simulated()).check()
    assert report.healthy
    assert set(report.frame["verdict"]) == {"ok"}
    text = str(report)
    assert text.startswith("Check of y ~ x + (1 | g)\n")
    assert max(map(len, text.splitlines())) <= 79


def test_singular_fits_name_the_combination():
    said = {}
    for name, formula, data in (
        ("zero", "Yield ~ 1 + (1 | Batch)", dataset("dyestuff2")),
        ("one", "MathAch ~ SES * Sector + SES * MEANSES + (SES | School)", "hsb"),
    ):
        frame = dataset(data) if isinstance(data, str) else data
        report = quietly(formula, frame).check()
        assert verdicts(report)["Singularity"] == "look"
        said[name] = report.frame.set_index("topic")["text"]["Singularity"]
    assert "Intercept does not vary (over Batch)" in said["zero"]
    assert "Intercept and SES are correlated by +1 (over School)" in said["one"]


def test_combinations_of_three_columns_do_not_depend_on_units():
    rng = np.random.default_rng(2)
    half = rng.standard_normal((3, 2))
    for units in np.array([[1.0, 1.0, 1.0], [1e4, 1.0, 1e-3]]):
        own = half * units[:, None]
        (words,) = vanishing(["a", "b", "c"], own @ own.T, 1 / units, 1e-4)
        assert words.startswith("the combination")
        assert all(f" {name}" in words for name in "abc")
    ones = np.ones(2)
    assert vanishing(["a", "b"], np.diag([1.0, 2.0]), ones, 1e-4) == []
    assert vanishing(["a", "b"], np.diag([1, 0.0]), ones, 1e-4) == ["b does not vary"]
    assert vanishing(["a"], np.zeros((1, 1)), ones[:1], 1e-4) == ["a does not vary"]


@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e6])
def test_verdicts_do_not_depend_on_the_unit_of_the_response(factor):
    data = dataset("sleepstudy").assign(Reaction=lambda d: factor * d.Reaction)
    report = quietly("Reaction ~ Days + (Days | Subject)", data).check()
    assert verdicts(report) == verdicts(fit("sleepstudy").check())


def test_illnesses_are_found():
    rng = np.random.default_rng(3)
    base = simulated()
    few = base.assign(g=base["g"] % 4)
    extreme = base.assign(y=base["y"] + 12.0 * (base["g"] == 7))
    spread = base.assign(y=base["y"] * np.exp(0.4 * base["y"].clip(-4, 4)))
    outliers = base.assign(y=base["y"] + 9.0 * (rng.random(len(base)) < 0.02))
    collinear = base.assign(z=base["x"] + 0.05 * base["z"])
    lever = base.assign(x=base["x"] + 40.0 * (base.index == 3))
    single = simulated(90, 80)
    for data, topic in (
        (few, "Levels"),
        (extreme, "Extreme levels"),
        (spread, "Spread"),
        (outliers, "Normality"),
        (collinear, "Collinearity"),
        (lever, "Leverage"),
        (single, "Levels"),
    ):
        report = quietly("y ~ x + z + (1 | g)", data).check()
        row = report.frame.set_index("topic").loc[topic]
        assert row["verdict"] == "look", topic
        assert row["advice"]
    assert " 7." in quietly("y ~ x + (1 | g)", extreme).check().frame["text"].str.cat()


def test_levels_with_fewer_rows_than_random_effects():
    data = simulated(300, 60)
    data["g"] = np.where(data.index < 240, data["g"] % 15, data.index)
    text = str(quietly("y ~ x + (x | g)", data).check())
    assert "fewer rows than the 2 random effects" in text


def test_a_search_that_did_not_end():
    model = sml.lmer("Reaction ~ Days + (Days | Subject)", dataset("sleepstudy"))
    with pytest.warns(ConvergenceWarning):
        res = model.fit(maxiter=1, start_params=[30.0, 5.0, 9.0])
    report = res.check()
    assert verdicts(report)["Convergence"] == "problem"
    assert "maxiter=" in str(report)


def test_dropped_columns_are_named():
    data = simulated().assign(twice=lambda d: 2 * d["x"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.DroppedColumnsWarning)
        report = sml.lmer("y ~ x + twice + (1 | g)", data).fit().check()
    assert "twice" in str(report)


def test_without_rows():
    res = quietly("Yield ~ 1 + (1 | Batch)", dataset("dyestuff"))
    res.remove_data()
    with pytest.raises(ValueError, match="check of the fit"):
        res.check()
