"""Many responses of one model: the fits are those made one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import dataset, small_frame

import sm_lmer.api as sml


def responses(data, column, count, seed=1):
    rng = np.random.default_rng(seed)
    y = data[column].to_numpy(dtype=float)[:, None]
    noise = rng.standard_normal((len(data), count)) * rng.uniform(0.2, 2.0, count)
    return pd.DataFrame(
        y + y.std() * noise, index=data.index, columns=[f"r{k}" for k in range(count)]
    )


def one_by_one(right, data, Y, reml=True, **options):
    out = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        for name in Y.columns:
            own = data.assign(_y=Y[name])
            out[name] = sml.lmer(f"_y ~ {right}", own, **options).fit(reml=reml)
    return out


def assert_same(found, fits):
    for name, res in fits.items():
        own = found.coefficients[found.coefficients["response"] == name]
        assert list(own["term"]) == list(res.params.index)
        assert_allclose(own["estimate"], res.params, rtol=1e-5, atol=1e-6)
        assert_allclose(own["std_error"], res.bse, rtol=1e-5)
        assert_allclose(own["df"], res.ddf, rtol=1e-3)
        assert_allclose(own["p_value"], res.pvalues, rtol=1e-3, atol=1e-9)
        row = found.fits.loc[name]
        assert_allclose(row["criterion"], -2 * res.llf, rtol=1e-9)
        assert_allclose(row["sigma"], res.sigma, rtol=1e-5)
        assert row["nobs"] == res.nobs
        assert row["singular"] == res.singular


@pytest.mark.parametrize("reml", [True, False])
def test_fits_are_those_made_one_by_one(reml):
    data = dataset("sleepstudy")
    Y = responses(data, "Reaction", 6)
    right = "Days + (Days | Subject)"
    found = sml.lmer_many(f"~ {right}", data, Y, reml=reml)
    assert_same(found, one_by_one(right, data, Y, reml))
    assert "sd Days|Subject" in found.fits
    assert len(found) == 6


def test_crossed_factors_weights_and_offset():
    data = small_frame()
    Y = responses(data, "y", 4)
    options = {"weights": "w", "offset": "o"}
    right = "x + (1 | g) + (1 | h)"
    found = sml.lmer_many(f"~ {right}", data, Y, **options)
    assert_same(found, one_by_one(right, data, Y, **options))


def test_missing_values_leave_out_rows_of_their_own_response_only():
    data = dataset("sleepstudy")
    Y = responses(data, "Reaction", 4)
    Y.iloc[3, 1] = Y.iloc[7, 1] = Y.iloc[9, 2] = np.nan
    found = sml.lmer_many("~ Days + (1 | Subject)", data, Y)
    assert_same(found, one_by_one("Days + (1 | Subject)", data, Y))
    assert found.fits["nobs"].to_dict() == {"r0": 180, "r3": 180, "r1": 178, "r2": 179}


def test_rows_with_missing_predictors_go_for_all():
    data = small_frame()
    data.loc[[2, 5], "x"] = np.nan
    Y = responses(data, "y", 3)
    found = sml.lmer_many("~ x + (1 | g)", data, Y)
    assert_same(found, one_by_one("x + (1 | g)", data, Y))


def test_names_of_columns_and_several_formulas():
    data = small_frame()
    by_name = sml.lmer_many("~ x + (1 | g)", data, ["y", "z"])
    whole = sml.lmer_many(["y ~ x + (1 | g)", "z ~ x + (1|g)", "y ~ (1 | h)"], data)
    assert len(whole) == 3
    first = whole.coefficients.iloc[:4, 2:].to_numpy(dtype=float)
    assert_allclose(
        first, by_name.coefficients.iloc[:4, 2:].to_numpy(dtype=float), rtol=1e-6
    )
    alone = sml.lmer_many("y ~ x + (1 | g)", data)
    assert list(alone.fits.index) == ["y"]


def test_processes_give_the_same_numbers(monkeypatch):
    pytest.importorskip("joblib", reason="joblib is an extra")
    monkeypatch.setattr("sm_lmer.many.AT_ONCE", 2)
    data = dataset("sleepstudy")
    Y = responses(data, "Reaction", 5)
    one = sml.lmer_many("~ Days + (1 | Subject)", data, Y, ddf="residual")
    two = sml.lmer_many("~ Days + (1 | Subject)", data, Y, ddf="residual", n_jobs=2)
    pd.testing.assert_frame_equal(one.coefficients, two.coefficients, rtol=1e-7)


@pytest.mark.parametrize("ddf", ["normal", "residual", "kenward-roger"])
def test_other_degrees_of_freedom(ddf):
    data = dataset("sleepstudy")
    Y = responses(data, "Reaction", 2)
    found = sml.lmer_many("~ Days + (Days | Subject)", data, Y, ddf=ddf)
    for name in Y.columns:
        own = data.assign(_y=Y[name])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sml.SingularFitWarning)
            res = sml.lmer("_y ~ Days + (Days | Subject)", own).fit(ddf=ddf)
        rows = found.coefficients[found.coefficients["response"] == name]
        assert_allclose(rows["p_value"], res.pvalues, rtol=1e-3, atol=1e-12)
        assert_allclose(rows["std_error"], res.bse, rtol=1e-5)


def test_a_response_that_cannot_be_fitted_says_why_and_spoils_no_other():
    data = dataset("sleepstudy")
    Y = responses(data, "Reaction", 3)
    Y.insert(0, "flat", 1.0)
    Y["line"] = 2.0 * data["Days"]
    found = sml.lmer_many("~ Days + (1 | Subject)", data, Y)
    assert "constant" in found.fits.loc["flat", "message"]
    assert found.fits.loc["line", "message"] != ""
    assert "2 without a fit" in repr(found)
    assert_same(found, one_by_one("Days + (1 | Subject)", data, Y[["r0", "r1", "r2"]]))


def test_none_that_can_be_fitted():
    data = dataset("sleepstudy")
    found = sml.lmer_many("~ Days + (1 | Subject)", data, np.ones((180, 2)))
    assert len(found.coefficients) == 0
    assert list(found.fits.index) == ["y1", "y2"]


@pytest.mark.parametrize(
    ("formula", "given", "message"),
    [
        ("~ x + (1 | g)", None, "give responses="),
        ("y ~ x + (1 | g)", ["z"], "leave out one"),
        (["y ~ (1 | g)"], ["z"], "drop responses="),
        ("~ x + (1 | g)", ["y", "nope"], "no column 'nope'"),
        ("~ x + (1 | g)", np.ones((3, 2)), "3 rows, the data have 40"),
        ("~ x + (1 | g)", ["y", "h"], "'h' is not numeric"),
        ("~ x + (1 | g)", ["y", "y"], "repeat"),
    ],
)
def test_bad_input(formula, given, message):
    with pytest.raises(ValueError, match=message):
        sml.lmer_many(formula, small_frame(), given)


def test_infinite_responses_and_another_index():
    data = small_frame()
    Y = responses(data, "y", 2)
    with pytest.raises(ValueError, match="another index"):
        sml.lmer_many("~ x + (1 | g)", data, Y.set_axis(range(1, 41)))
    Y.iloc[0, 1] = np.inf
    with pytest.raises(ValueError, match="'r1' has infinite"):
        sml.lmer_many("~ x + (1 | g)", data, Y)
