"""Satterthwaite's degrees of freedom: lmerTest, a dense computation, invariances."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import reference
from test_reference import CASES as FITS
from test_reference import fit, r_name

import sm_lmer.api as sml
from sm_lmer.components import covariances
from sm_lmer.inference.ddf import pooled
from sm_lmer.inference.hypotheses import jointly

CASES = {case["id"]: case for case in reference("satterthwaite")["cases"]}


@pytest.mark.parametrize("case_id", CASES)
def test_agrees_with_lmertest(case_id):
    case, res = CASES[case_id], fit(case_id)
    assert res.ddf_method == "satterthwaite"
    theirs = [name for name, b in FITS[case_id]["beta"].items() if b is not None]
    order = [theirs.index(r_name(name)) for name in res.model.exog_names]
    np.testing.assert_allclose(res.ddf, np.array(case["df"])[order], rtol=1e-5)
    np.testing.assert_allclose(res.pvalues, np.array(case["p"])[order], rtol=1e-3)
    if case["joint"]:
        rows = np.eye(len(res.params))[1:]
        test = res.wald_test(rows)
        assert test.fvalue == pytest.approx(case["joint"]["F"], rel=1e-5)
        assert test.df_num == case["joint"]["df"]
        assert test.df_denom == pytest.approx(case["joint"]["df_denom"], rel=1e-5)


def design(seed, weighted, structure):
    """A small random data set with crossed factors, and a formula."""
    rng = np.random.default_rng(seed)
    n = 60
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    data["g"] = rng.integers(0, 8, n)
    data["h"] = rng.integers(0, 5, n)
    effects = rng.normal(size=(8, 2)) @ np.array([[1.0, 0.3], [0.0, 0.7]])
    data["y"] = 1 + data["x"] + effects[data["g"], 0] + rng.normal(size=n)
    data["y"] += effects[data["g"], 1] * data["x"] + rng.normal(size=5)[data["h"]]
    data["w"] = rng.uniform(0.5, 2.0, n) if weighted else 1.0
    return data, f"y ~ x + z + {structure}"


def dense(res, data):
    """1/nu by second derivatives of the dense unprofiled criterion in (Sigma, s2)."""
    n, X, y = len(data), np.asarray(res.model.exog), np.asarray(res.model.endog)
    units = []
    for term in res.model.re_terms:
        Z = np.zeros((n, term.factor.n_levels, term.q))
        Z[np.arange(n), term.factor.codes] = term.Z
        for a in range(term.q):
            for b in range(a + 1):
                if term.diagonal and a != b:
                    continue
                unit = Z[:, :, a] @ Z[:, :, b].T
                units.append(unit if a == b else unit + unit.T)
    units.append(np.diag(1 / data["w"].to_numpy()))
    gamma = []
    for term, cov in zip(res.model.re_terms, covariances(res), strict=True):
        for a in range(term.q):
            gamma += [cov[a, b] for b in range(a + 1) if not term.diagonal or a == b]
    gamma.append(res.scale)
    V = sum(g * unit for g, unit in zip(gamma, units, strict=True))
    Vi = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ Vi @ X)
    P = Vi - Vi @ X @ Phi @ X.T @ Vi
    inner = P if res.reml else Vi
    k = len(units)
    H = np.empty((k, k))
    for r, s in np.ndindex(k, k):
        PVP = P @ units[r] @ P @ units[s] @ P
        H[r, s] = 2 * y @ PVP @ y - np.trace(inner @ units[r] @ inner @ units[s])
    A = 2 * np.linalg.inv(H)
    gradient = np.array([Phi @ X.T @ Vi @ u @ Vi @ X @ Phi for u in units])
    nu = []
    for j in range(X.shape[1]):
        g = gradient[:, j, j]
        nu.append(2 * Phi[j, j] ** 2 / (g @ A @ g))
    return np.array(nu)


@given(
    seed=st.integers(0, 10_000),
    weighted=st.booleans(),
    reml=st.booleans(),
    structure=st.sampled_from(
        ["(1|g) + (1|h)", "(x|g) + (1|h)", "(x||g)", "(x|g)", "(1|g/h)"]
    ),
)
@settings(max_examples=30, deadline=None)
def test_agrees_with_a_dense_computation(seed, weighted, reml, structure):
    data, formula = design(seed, weighted, structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        res = sml.lmer(formula, data, weights="w").fit(reml=reml)
    if res.is_singular(1e-2):
        return  # the Hessian in Sigma is another one on the boundary
    np.testing.assert_allclose(res.ddf, dense(res, data), rtol=1e-4)


def test_does_not_depend_on_units_order_or_solver():
    data, formula = design(3, True, "(x|g) + (1|h)")
    res = sml.lmer(formula, data, weights="w").fit()
    other = data.sample(frac=1, random_state=1)
    other = other.assign(y=1e6 * other["y"], x=1e-4 * other["x"] + 10)
    moved = sml.lmer(formula, other, weights="w").fit()
    np.testing.assert_allclose(moved.ddf[1:], res.ddf[1:], rtol=1e-5)
    for solver in ("superlu", "dense"):
        again = sml.lmer(formula, data, weights="w").fit(solver=solver)
        np.testing.assert_allclose(again.ddf, res.ddf, rtol=1e-4)


def test_a_vanished_variance_costs_nothing(fits):
    """At a variance of zero the model is OLS, and so are its degrees of freedom."""
    res = fits("dyestuff2")
    assert res.singular
    np.testing.assert_allclose(res.ddf, [len(res.model.endog) - 1])


def test_joint_test_of_dependent_rows_counts_them_once(fits):
    res = fits("cake")
    rows = np.zeros((3, len(res.params)))
    rows[0, 1] = rows[1, 2] = 1
    rows[2] = rows[0] + rows[1]
    beta = np.asarray(res.params)
    once = jointly(beta, rows[:2], res.inference())
    thrice = jointly(beta, rows, res.inference())
    assert thrice.df_num == 2
    assert thrice.statistic == pytest.approx(once.statistic)
    assert thrice.df_denom == pytest.approx(once.df_denom)
    scaled = jointly(beta, np.array([1e-9, 1e9, 1.0])[:, None] * rows, res.inference())
    assert scaled.df_num == 2
    assert scaled.statistic == pytest.approx(once.statistic)


def test_another_covariance_leaves_the_degrees_of_freedom(fits):
    res = fits("sleepstudy")
    V = np.asarray(res.cov_params())
    test = res.t_test(np.eye(2), cov_p=4 * V)
    np.testing.assert_allclose(test.sd, 2 * res.bse)
    np.testing.assert_allclose(test.df_denom, res.ddf)
    joint = res.wald_test(np.eye(2), cov_p=4 * V)
    assert joint.df_denom == pytest.approx(res.wald_test(np.eye(2)).df_denom)


def test_a_row_of_zeros_has_no_test(fits):
    res = fits("sleepstudy")
    test = jointly(np.asarray(res.params), np.zeros((1, 2)), res.inference())
    assert test.df_num == 0
    assert np.isnan(test.statistic)


@pytest.mark.parametrize(
    ("nu", "expected"),
    [([7.0], 7.0), ([5.0, 5.0], 5.0), ([1.5, 40.0], 2.0), ([4.0, 8.0], 5.0)],
)
def test_pooling_follows_lmertest(nu, expected):
    """For 4 and 8, E = 4/2 + 8/6 = 10/3 and 2 E / (E - 2) = 5."""
    assert pooled(np.array(nu)) == pytest.approx(expected)
