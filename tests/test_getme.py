"""get_me against lme4's getME."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from registry import reference

import sm_lmer.api as sml
from sm_lmer.getme import COMPONENTS

CASES = {case["id"]: case for case in reference("lmm_predict")["getme"]}

# every name of lme4's getME for linear models
LME4_NAMES = [
    "X",
    "Z",
    "Zt",
    "Ztlist",
    "mmList",
    "y",
    "mu",
    "u",
    "b",
    "Gp",
    "Tp",
    "L",
    "Lambda",
    "Lambdat",
    "Lind",
    "Tlist",
    "A",
    "RX",
    "RZX",
    "sigma",
    "flist",
    "fixef",
    "beta",
    "theta",
    "ST",
    "REML",
    "is_REML",
    "n_rtrms",
    "n_rfacs",
    "N",
    "n",
    "p",
    "q",
    "p_i",
    "l_i",
    "q_i",
    "k",
    "m_i",
    "m",
    "cnms",
    "devcomp",
    "offset",
    "lower",
    "devfun",
]


def dense(matrix) -> np.ndarray:
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)


@pytest.fixture(params=CASES)
def pair(request, fits):
    """A fit and what lme4 says of it."""
    return fits(request.param), CASES[request.param]


def values(entry) -> list:
    return list(entry.values()) if isinstance(entry, dict) else entry


@pytest.mark.parametrize("name", LME4_NAMES)
def test_every_name_is_there(name, fits):
    assert fits("penicillin").get_me(name) is not None


def test_unknown_names_are_refused_with_the_known_ones(fits):
    message = r"unknown component 'Lamda'; the names are \['A', 'Gp'.*'theta'.*\]"
    with pytest.raises(ValueError, match=message):
        fits("penicillin").get_me("Lamda")
    assert set(LME4_NAMES) < set(COMPONENTS)


@pytest.mark.parametrize(
    "name", ["theta", "beta", "sigma", "u", "b", "Lambda", "Lambdat", "RX"]
)
def test_estimates(name, pair):
    res, case = pair
    expected = np.array(values(case[name]), dtype=float)
    ours = dense(res.get_me(name))
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["Tlist", "ST"])
def test_factors_by_term(name, pair):
    res, case = pair
    ours = values(res.get_me(name))
    assert len(ours) == len(case[name])
    for mine, theirs in zip(ours, case[name].values(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["Lind", "Tp", "Gp"])
def test_indexes(name, pair):
    res, case = pair
    np.testing.assert_array_equal(res.get_me(name), case[name])


def test_lambda_is_filled_from_theta_by_lind(pair):
    res, _ = pair
    Lambdat = res.get_me("Lambdat").tocsc()
    Lambdat.sort_indices()
    filled = res.get_me("theta")[res.get_me("Lind") - 1]
    np.testing.assert_array_equal(Lambdat.data, filled)


def test_lambda_stores_zeros_of_theta(fits):
    res = fits("dyestuff2")
    assert res.theta == 0
    assert res.get_me("Lambdat").nnz == len(res.get_me("Lind")) == 6


def test_lower_bounds(pair):
    res, case = pair
    expected = [
        -np.inf if bound in (None, "-Inf") else bound for bound in case["lower"]
    ]
    np.testing.assert_array_equal(res.get_me("lower"), expected)


@pytest.mark.parametrize("name", ["X", "Z"])
def test_design_matrices(name, pair):
    res, case = pair
    matrix = dense(res.get_me(name))
    assert list(matrix.shape) == case[f"{name}_dim"]
    np.testing.assert_array_equal(matrix[:3], case[f"{name}_head"])


@pytest.mark.parametrize("name", ["Ztlist", "mmList"])
def test_matrices_by_term(name, pair):
    res, case = pair
    expected = list(case[f"{name}_dim"].values())
    if name == "Ztlist":  # lme4 has one a column, not one a term
        q = [len(columns) for _, columns in res.get_me("cnms")]
        rows = [
            [dims[0] for dims in expected][sum(q[:k])] * q[k] for k in range(len(q))
        ]
        expected = [[rows[k], res.nobs] for k in range(len(q))]
    assert [list(m.shape) for m in res.get_me(name)] == expected


def test_random_effects_matrices_fit_together(pair):
    res, _ = pair
    Z, Zt = res.get_me("Z"), res.get_me("Zt")
    np.testing.assert_array_equal(Z.toarray(), Zt.toarray().T)
    stacked = np.vstack([part.toarray() for part in res.get_me("Ztlist")])
    np.testing.assert_array_equal(stacked, Zt.toarray())
    fitted = res.get_me("X") @ res.get_me("beta") + Z @ res.get_me("b")
    np.testing.assert_allclose(fitted, res.get_me("mu"))
    np.testing.assert_allclose(res.get_me("Lambda") @ res.get_me("u"), res.get_me("b"))


def test_cholesky_factors(pair):
    res, case = pair
    L, A = res.get_me("L"), res.get_me("A").toarray()
    np.testing.assert_allclose(L @ L.T, A @ A.T + np.eye(len(A)), atol=1e-10)
    assert 2 * np.log(L.diagonal()).sum() == pytest.approx(case["L_logdet"], rel=1e-5)
    # the rows of RZX follow the fill-reducing order, which their product does not
    RZX, theirs = res.get_me("RZX"), np.array(case["RZX"], dtype=float)
    np.testing.assert_allclose(RZX.T @ RZX, theirs.T @ theirs, rtol=1e-4)
    X, RX = res.get_me("X"), res.get_me("RX")
    np.testing.assert_allclose(RZX.T @ RZX + RX.T @ RX, X.T @ X, rtol=1e-8)


@pytest.mark.parametrize("name", ["mu", "y", "offset"])
def test_vectors(name, pair):
    res, case = pair
    np.testing.assert_allclose(res.get_me(name)[:10], case[name], rtol=1e-5)


def test_names_of_columns_and_levels(pair):
    res, case = pair
    assert [name for name, _ in res.get_me("cnms")] == list(case["cnms"])
    columns = [
        ["(Intercept)" if c == "Intercept" else c for c in cs]
        for _, cs in res.get_me("cnms")
    ]
    assert columns == list(case["cnms"].values())
    for name, levels in case["flist"].items():
        assert res.get_me("flist")[name].categories.tolist() == levels


def test_fixef(pair):
    res, case = pair
    fixef = res.get_me("fixef")
    assert [re.sub("Intercept", "(Intercept)", n) for n in fixef.index] == list(
        case["fixef"]
    )
    np.testing.assert_allclose(fixef, list(case["fixef"].values()), rtol=1e-7)


SCALARS = ["REML", "is_REML", "n", "N", "p", "q", "n_rtrms", "n_rfacs", "k", "m"]


@pytest.mark.parametrize("name", SCALARS)
def test_sizes(name, pair):
    res, case = pair
    assert res.get_me(name) == case[name]


@pytest.mark.parametrize("name", ["p_i", "l_i", "q_i", "m_i"])
def test_sizes_by_term(name, pair):
    res, case = pair
    assert res.get_me(name) == list(case[name].values())


def test_devcomp(pair):
    res, case = pair
    cmp, dims = case["devcomp"]["cmp"], case["devcomp"]["dims"]
    ours = res.get_me("devcomp")
    for name, expected in cmp.items():
        if expected is None:
            assert np.isnan(ours["cmp"][name]), name
        else:
            assert ours["cmp"][name] == pytest.approx(expected, rel=2e-5), name
    assert ours["dims"] == {name: dims[name] for name in ours["dims"]}


def test_devcomp_of_a_maximum_likelihood_fit(fits):
    res = fits("sleepstudy_ml")
    cmp = res.get_me("devcomp")["cmp"]
    assert cmp["dev"] == pytest.approx(-2 * res.llf)
    assert np.isnan(cmp["REML"])
    assert res.get_me("devcomp")["dims"]["REML"] == res.get_me("REML") == 0
    assert cmp["sigmaML"] == pytest.approx(res.sigma)


def test_deviance_function(fits):
    for name in ("sleepstudy", "sleepstudy_ml"):
        res = fits(name)
        assert res.get_me("devfun")(res.theta) == pytest.approx(-2 * res.llf)


def test_weights_are_in_the_factors(data):
    weights = np.linspace(1, 3, 180)
    res = sml.lmer(
        "Reaction ~ Days + (1 | Subject)", data("sleepstudy"), weights=weights
    ).fit()
    X, RX, RZX = (res.get_me(name) for name in ("X", "RX", "RZX"))
    np.testing.assert_allclose(RZX.T @ RZX + RX.T @ RX, (X.T * weights) @ X)
    cmp = res.get_me("devcomp")["cmp"]
    assert cmp["wrss"] == pytest.approx(weights @ np.asarray(res.resid) ** 2)
    assert cmp["ldW"] == pytest.approx(np.log(weights).sum())
    assert cmp["pwrss"] == pytest.approx(cmp["wrss"] + cmp["ussq"])


def test_large_factors_are_not_formed(fits, monkeypatch):
    monkeypatch.setattr("sm_lmer.getme.DENSE_FACTOR_LIMIT", 20)
    with pytest.raises(
        ValueError, match="L has 36 columns; it is formed up to 20 only"
    ):
        fits("sleepstudy").get_me("L")


def test_groups_of_the_rows(fits, data):
    flist = fits("sleepstudy").get_me("flist")["Subject"]
    assert (
        pd.Series(flist).astype(str).tolist()
        == data("sleepstudy")["Subject"].astype(str).tolist()
    )
