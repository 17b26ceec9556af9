"""Fits against R's lme4: criteria at the same theta, optima and estimates.

The numbers come from tests/reference/lmm_fits.R, whose fits are polished beyond
lme4's own stopping rule.
"""

from __future__ import annotations

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from registry import dataset, reference

import sm_lmer.api as sml

CASES = {case["id"]: case for case in reference("lmm_fits")["cases"]}
IDENTIFIED = [k for k, c in CASES.items() if c["polish"]["identified"]]


def inline(name: str) -> pd.DataFrame:
    columns = {}
    for column, spec in reference("lmm_fits")["inline"][name].items():
        values = spec["values"]
        if spec["type"] == "factor":
            values = pd.Categorical(values, categories=spec["levels"])
        columns[column] = values
    return pd.DataFrame(columns)


@cache
def model(case_id: str) -> sml.LMER:
    case = CASES[case_id]
    data = inline(case["inline"]) if case["inline"] else dataset(case["data"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.DroppedColumnsWarning)
        return sml.lmer(case["formula"], data, weights=case["weights"])


@cache
def fit(case_id: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return model(case_id).fit(reml=CASES[case_id]["reml"])


def r_name(name: str) -> str:
    """patsy's column name as R writes it."""
    name = re.sub(r"C\((\w+)\)", r"\1", name)
    return re.sub(r"\[T?\.?([^\]]*)\]", r"\1", name).replace("Intercept", "(Intercept)")


def our_group(name: str) -> str:
    """lme4 1.1-31 writes c:(b:a) for what later versions call c:b:a."""
    return name.replace("(", "").replace(")", "")


@pytest.mark.parametrize("case_id", CASES)
def test_criterion_at_the_same_theta(case_id):
    case = CASES[case_id]
    for point in case["devfun"]:
        value = model(case_id).criterion(point["theta"], reml=case["reml"])
        assert value == pytest.approx(point["value"], rel=1e-9), point["point"]


@pytest.mark.parametrize("case_id", CASES)
def test_optimum_is_never_above_lme4s(case_id):
    case, res = CASES[case_id], fit(case_id)
    assert res.converged
    assert -2 * res.llf <= case["criterion"] + 1e-6
    assert -2 * res.llf >= case["criterion"] - max(
        1e-6, 1e-4 * (not case["polish"]["identified"])
    )
    assert res.is_singular() == case["is_singular"]


@pytest.mark.parametrize("case_id", IDENTIFIED)
def test_estimates(case_id):
    case, res = CASES[case_id], fit(case_id)
    np.testing.assert_allclose(res.theta, case["theta"], rtol=2e-5, atol=2e-5)
    names = [r_name(n) for n in res.params.index]
    assert sorted(names) == sorted(case["beta"])
    expected = [case["beta"][n] for n in names]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(res.params, expected, rtol=1e-6, atol=1e-7 * scale)
    assert res.sigma == pytest.approx(case["sigma"], rel=1e-5)
    order = [list(case["beta"]).index(n) for n in names]
    vcov = np.array(case["vcov"])[np.ix_(order, order)]
    np.testing.assert_allclose(
        res.cov_params(), vcov, rtol=1e-4, atol=1e-5 * np.abs(vcov).max()
    )


@pytest.mark.parametrize("case_id", IDENTIFIED)
def test_variance_components(case_id):
    case, res = CASES[case_id], fit(case_id)
    ours, theirs = res.varcorr(), pd.DataFrame(case["varcorr"])
    assert ours["grp"].tolist() == [our_group(g) for g in theirs["grp"]]
    top = theirs["vcov"].abs().max()
    np.testing.assert_allclose(
        ours["vcov"], theirs["vcov"].astype(float), rtol=1e-4, atol=1e-6 * top
    )
    known = theirs["sdcor"].notna()
    np.testing.assert_allclose(
        ours["sdcor"][known], theirs["sdcor"][known].astype(float), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("case_id", IDENTIFIED)
def test_information_criteria_and_sizes(case_id):
    case, res = CASES[case_id], fit(case_id)
    assert res.nobs == case["nobs"]
    assert res.n_groups == {our_group(g): k for g, k in case["n_groups"].items()}
    assert res.df == case["n_params"]
    assert res.nobs - res.df == case["df_resid"]
    for ours, theirs in ((res.llf, "logLik"), (res.aic, "AIC"), (res.bic, "BIC")):
        assert ours == pytest.approx(case[theirs], abs=2e-6)


@pytest.mark.parametrize("case_id", [k for k in IDENTIFIED if CASES[k].get("ranef")])
def test_conditional_modes(case_id):
    case, res = CASES[case_id], fit(case_id)
    modes = res.ranef()
    spread = max(float(np.abs(frame.to_numpy()).max()) for frame in modes.values())
    for name, expected in case["ranef"].items():
        frame = modes[our_group(name)]
        assert [str(level) for level in frame.index] == expected["levels"]
        np.testing.assert_allclose(
            frame, expected["values"], rtol=1e-4, atol=2e-5 * max(spread, 1e-3)
        )
    np.testing.assert_allclose(
        res.fittedvalues.iloc[:10], case["fitted"], rtol=1e-5, atol=1e-5 * spread
    )


@pytest.mark.parametrize("case_id", [k for k in IDENTIFIED if CASES[k].get("ranef")])
def test_conditional_variances(case_id):
    case, res = CASES[case_id], fit(case_id)
    _, covariances = res.ranef(cond_var=True)
    for name, expected in case["ranef"].items():
        ours = covariances[our_group(name)]
        theirs = np.array(expected["condvar"], dtype=float).reshape(ours.shape)
        np.testing.assert_allclose(
            ours, theirs, rtol=2e-4, atol=1e-5 * max(np.abs(theirs).max(), 1e-8)
        )
