"""statsmodels' reference problems for MixedLM: R's numbers, shipped in its wheel."""

from __future__ import annotations

import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sm_lmer.api as sml
from sm_lmer import mixedlm_names

REFERENCE = import_module("statsmodels.regression.tests.results.lme_r_results")
FOLDER = Path(inspect.getfile(REFERENCE)).parent
SOURCE = inspect.getsource(REFERENCE)
CASES = sorted(re.findall(r"^coef_(r?e?ml_[di]rf_\d+) =", SOURCE, re.MULTILINE))

LAST_DIGITS = 1.0
"""Units of R's last printed digit, the seventh: half of one for rounding, and as much
for R's optimiser, which stops a little short of the optimum."""


@cache
def frame(number: int) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"lme{number:02d}.csv")


def columns(data: pd.DataFrame, prefix: str) -> list[str]:
    return [c for c in data.columns if c.startswith(prefix)]


@cache
def fitted(case: str):
    """The fit through MixedLM's arguments."""
    method, structure, number = case.split("_")
    data = frame(int(number))
    slopes = columns(data, "exog_re")
    arguments = {"re_formula": "0 + " + " + ".join(slopes)}
    if structure == "irf":
        arguments = {"vc_formula": {name: f"0 + {name}" for name in slopes}}
    fixed = " + ".join(columns(data, "exog_fe"))
    model = sml.LMER.from_formula(
        f"endog ~ 0 + {fixed}", data, groups="groups", **arguments
    )
    return model.fit(reml=method == "reml")


def expected(kind: str, case: str) -> np.ndarray:
    return np.asarray(getattr(REFERENCE, f"{kind}_{case}"))


def covariance(results) -> np.ndarray:
    """Of the random effects, whichever arguments they came through."""
    variances = mixedlm_names.vcomp(results)
    return np.diag(variances) if len(variances) else mixedlm_names.cov_re(results)


def test_all_cases_are_there():
    """Twelve data sets by ML and REML, six of them with diagonal covariances too."""
    assert len(CASES) == 2 * (12 + 6)
    assert {int(case.split("_")[2]) for case in CASES} == set(range(12))


def assert_as_printed(actual, expected, least: float = 0.0) -> None:
    """Agreement to the digits that R printed; `least` is what counts as zero."""
    expected = np.asarray(expected, dtype=float)
    size = np.maximum(np.abs(expected), max(least, 1e-3 * np.abs(expected).max()))
    unit = 10.0 ** (np.floor(np.log10(size)) - 6)
    difference = np.abs(np.asarray(actual, dtype=float) - expected)
    assert (difference <= LAST_DIGITS * unit).all(), difference / unit


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
@pytest.mark.parametrize("case", CASES)
def test_fixed_effects(case):
    results = fitted(case)
    assert results.converged
    assert_as_printed(results.params, expected("coef", case))
    assert_as_printed(results.fe_params, expected("coef", case))
    assert_as_printed(results.cov_params(), expected("vcov", case))
    assert_as_printed(results.llf, expected("loglike", case)[0])


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
@pytest.mark.parametrize("case", CASES)
def test_variances(case):
    results = fitted(case)
    assert_as_printed(results.scale, expected("scale", case)[0])
    assert_as_printed(covariance(results), expected("cov_re", case), results.scale)


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
@pytest.mark.parametrize("case", [case for case in CASES if "drf" in case])
def test_random_effects(case):
    results = fitted(case)
    modes = mixedlm_names.random_effects(results)[0.0]
    assert_as_printed(modes, expected("ranef_mean", case), results.sigma)
    spread = mixedlm_names.random_effects_cov(results)[0.0]
    assert_as_printed(spread, expected("ranef_condvar", case), results.scale)


@pytest.mark.filterwarnings("ignore::sm_lmer.errors.SingularFitWarning")
@pytest.mark.parametrize("case", [case for case in CASES if "drf" in case])
def test_arrays_fit_as_formulas(case):
    """``LMER(endog, exog, groups, exog_re)``, as MixedLM's own tests call it."""
    method, _, number = case.split("_")
    data = frame(int(number))
    model = sml.LMER(
        data["endog"].to_numpy(),
        data[columns(data, "exog_fe")].to_numpy(),
        data["groups"].to_numpy(),
        data[columns(data, "exog_re")].to_numpy(),
    )
    results = model.fit(reml=method == "reml")
    np.testing.assert_allclose(results.params, fitted(case).params, rtol=1e-9)
    np.testing.assert_allclose(results.theta, fitted(case).theta, atol=1e-6)


@cache
def shipped(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv")


DIETOX = {  # lme4's numbers in statsmodels' test_lme.py: test_dietox, ..._slopes
    (None, True): {
        "params": [15.723523, 6.942505],
        "bse": [0.78805374, 0.03338727],
        "scale": 11.36692,
        "cov_re": [40.39395],
        "llf": -2404.775,
    },
    (None, False): {
        "params": [15.723517, 6.942506],
        "bse": [0.7829397, 0.0333661],
        "scale": 11.35251,
        "cov_re": [39.82097],
        "llf": -2402.932,
    },
    ("1 + Time", True): {
        "params": [15.738650, 6.939014],
        "bse": [0.5501253, 0.0798254],
        "scale": 6.03745,
        "cov_re": [19.4934552, 0.2938323, 0.2938323, 0.4160620],
        "llf": -2217.047,
    },
    ("1 + Time", False): {
        "params": [15.73863, 6.93902],
        "bse": [0.54629282, 0.07926954],
        "scale": 6.037441,
        "cov_re": [19.190922, 0.293568, 0.293568, 0.409695],
        "llf": -2215.753,
    },
}


@pytest.mark.parametrize(("re_formula", "reml"), DIETOX)
def test_dietox(re_formula, reml, formula_engine):
    expected = DIETOX[re_formula, reml]
    model = sml.LMER.from_formula(
        "Weight ~ Time", shipped("dietox"), groups="Pig", re_formula=re_formula
    )
    results = model.fit(reml=reml)
    # lme4's random-slope fits stop short: their covariance agrees to four digits
    rtol = 1e-6 if re_formula is None else 1e-4
    np.testing.assert_allclose(results.params, expected["params"], rtol=1e-6)
    np.testing.assert_allclose(results.bse, expected["bse"], rtol=rtol)
    np.testing.assert_allclose(results.scale, expected["scale"], rtol=rtol)
    cov_re = np.ravel(mixedlm_names.cov_re(results))
    np.testing.assert_allclose(cov_re, expected["cov_re"], rtol=rtol)
    np.testing.assert_allclose(results.llf, expected["llf"], atol=5.1e-4)


PASTES = {  # lme4's numbers in statsmodels' test_lme.py: test_pastes_vcomp
    True: {"bse": 0.6769, "cov_re": 1.657, "llf": -123.49},
    False: {"bse": 0.642, "cov_re": 1.199, "llf": -123.997},
}


@pytest.mark.parametrize("reml", PASTES)
def test_pastes(reml, formula_engine):
    expected = PASTES[reml]
    model = sml.LMER.from_formula(
        "strength ~ 1",
        shipped("pastes"),
        groups="batch",
        re_formula="1",
        vc_formula={"cask": "0 + cask"},
    )
    results = model.fit(reml=reml)
    np.testing.assert_allclose(results.params["Intercept"], 60.0533, atol=5.1e-5)
    np.testing.assert_allclose(results.bse["Intercept"], expected["bse"], atol=5.1e-4)
    cov_re = mixedlm_names.cov_re(results)
    np.testing.assert_allclose(cov_re.iloc[0, 0], expected["cov_re"], atol=5.1e-4)
    np.testing.assert_allclose(results.scale, 0.678, atol=5.1e-4)
    np.testing.assert_allclose(results.llf, expected["llf"], atol=6e-3)
    if not reml:
        np.testing.assert_allclose(results.aic, 255.9944, atol=5.1e-5)
        np.testing.assert_allclose(results.bic, 264.3718, atol=5.1e-5)
        return
    fitted = [62.62866, 62.62866, 61.18663, 61.18663, 62.82094]
    np.testing.assert_allclose(results.fittedvalues[:5], fitted, atol=1e-4)
    resid = [0.17133538, -0.02866462, -1.08662875, 1.11337125, -0.12093607]
    np.testing.assert_allclose(results.resid[:5], resid, atol=1e-4)


def test_two_nested_components(formula_engine):
    """statsmodels' test_vcomp_2: the numbers are lme4's."""
    rng = np.random.RandomState(6241)
    n = 1600
    exog = rng.normal(size=(n, 2))
    exog_re = rng.normal(size=(n, 2))
    slopes = np.repeat(rng.normal(size=(n // 16, 2)), 16, axis=0)
    errors = (slopes * exog_re).sum(axis=1)
    errors += np.repeat(2 * rng.normal(size=n // 4), 4)
    errors += np.repeat(2 * rng.normal(size=n // 2), 2)
    errors += rng.normal(size=n)
    data = pd.DataFrame(
        {
            "y": exog.sum(axis=1) + errors,
            "x1": exog[:, 0],
            "x2": exog[:, 1],
            "z1": exog_re[:, 0],
            "z2": exog_re[:, 1],
            "v1": np.repeat(np.arange(n // 4), 4),
            "v2": np.repeat(np.arange(n // 2), 2),
        }
    )
    model = sml.LMER.from_formula(
        "y ~ x1 + x2",
        data,
        groups=np.repeat(np.arange(n // 16), 16),
        re_formula="0+z1+z2",
        vc_formula={"a": "0 + C(v1)", "b": "0 + C(v2)"},
    )
    results = model.fit()
    fixed = [0.16527, 0.99911, 0.96217]
    np.testing.assert_allclose(results.params, fixed, atol=2e-5)
    np.testing.assert_allclose(results.bse, [0.12610, 0.03938, 0.03848], atol=2e-5)
    cov_re = [[1.244, 0.146], [0.146, 1.371]]
    np.testing.assert_allclose(mixedlm_names.cov_re(results), cov_re, atol=1e-3)
    vcomp = mixedlm_names.vcomp(results)
    assert list(vcomp.index) == ["a", "b"]
    np.testing.assert_allclose(vcomp, [4.024, 3.997], atol=1e-3)


def test_slopes_alone(formula_engine):
    """statsmodels' test_vcomp_3: a variance component without a random intercept."""
    rng = np.random.RandomState(4279)
    x1 = rng.normal(size=400)
    groups = np.repeat(np.arange(100), 4)
    y = np.repeat(rng.normal(size=100), 4) * x1 + rng.normal(size=400)
    data = pd.DataFrame({"y": y, "x1": x1, "groups": groups})
    model = sml.LMER.from_formula(
        "y ~ 1", data, groups="groups", vc_formula={"a": "0 + x1"}
    )
    assert model.lmer_formula == "y ~ 1 + (0 + x1 | groups)"
    results = model.fit()
    resid = [-1.180753, 0.279966, 0.578576, -0.667916]
    fitted = [-0.101549, 0.028613, -0.224621, -0.126295]
    np.testing.assert_allclose(results.resid[:4], resid, atol=1e-5)
    np.testing.assert_allclose(results.fittedvalues[:4], fitted, atol=1e-5)
