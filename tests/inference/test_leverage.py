"""Leverage against R, dense matrices and invariances."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import registry
from numpy.testing import assert_allclose

import sm_lmer.api as sml
from sm_lmer.core import row_covariance
from sm_lmer.inference.leverage import (
    at_estimates,
    cooks_conditional,
    hat_values,
    leverage,
)

REFERENCE = registry.reference("influence")
CASES = {case["id"]: case for case in REFERENCE["cases"]}


def frame(case):
    name = case["data"]
    inline = REFERENCE["inline"]
    return pd.DataFrame(inline[name]) if name in inline else registry.dataset(name)


def fitted(case):
    weights = case["weights"]
    data = frame(case)
    model = sml.lmer(case["formula"], data, weights=weights)
    return model.fit(reml=case["reml"], gtol=1e-16)


def simulated(seed, weighted=True):
    rng = np.random.default_rng(seed)
    n = 60
    data = pd.DataFrame({"x": rng.normal(size=n), "g": rng.integers(0, 8, n)})
    data["h"] = rng.integers(0, 5, n)
    data["c"] = data.g // 3
    data["w"] = rng.uniform(0.4, 2.0, n) if weighted else 1.0
    b = rng.normal(size=(8, 2))
    data["y"] = data.x + b[data.g, 0] + b[data.g, 1] * data.x + rng.normal(size=n)
    data["y"] += rng.normal(size=5)[data.h] + 1.5 * rng.normal(size=3)[data.c]
    return data


def fit(formula, data, **kwargs):
    settings = {k: kwargs.pop(k) for k in ("reml", "solver") if k in kwargs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formula, data, **kwargs).fit(**settings)


def dense(res):
    """H1, H2 and Z D Z' from n by n matrices."""
    res = res._results
    model = res.model
    n = model.nobs
    w = np.ones(n) if model.weights is None else model.weights
    ZDZ, start = np.zeros((n, n)), 0
    for term in model.re_terms:
        T = term.template(res.theta[start : start + term.n_theta])
        start += term.n_theta
        ZT = np.asarray(term.Z) @ T
        same = term.factor.codes[:, None] == term.factor.codes
        ZDZ += res.scale * (ZT @ ZT.T) * same
    V = ZDZ + np.diag(res.scale / w)
    X = np.asarray(model.exog)
    VX = np.linalg.solve(V, X)
    H1 = X @ np.linalg.solve(X.T @ VX, VX.T)
    H2 = ZDZ @ np.linalg.solve(V, np.eye(n) - H1)
    return H1.diagonal(), H2.diagonal(), ZDZ.diagonal()


@pytest.mark.parametrize("name", CASES)
def test_lme4_hatvalues_and_cooks_distance(name):
    res = fitted(CASES[name])
    assert_allclose(hat_values(res), CASES[name]["hat"], rtol=1e-6)
    expected = np.array(CASES[name]["cooks_conditional"])
    assert_allclose(cooks_conditional(res), expected, rtol=1e-6, atol=1e-10)


FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (1 | g) + (0 + x | g) + (1 | h)",
    "y ~ x + (x | g) + (x | h)",
    "y ~ 1 + (1 | g) + (1 | c)",
    "y ~ x + (x | g) + (x | c)",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("solver", ["dense", "sparse", "auto"])
def test_parts_against_dense_matrices(formula, solver):
    res = fit(formula, simulated(3), weights="w", solver=solver)
    H1, H2, ZDZ = dense(res)
    assert_allclose(hat_values(res, "marginal"), H1, atol=1e-9)
    assert_allclose(hat_values(res, "random"), H2, atol=1e-9)
    assert_allclose(hat_values(res), H1 + H2, atol=1e-9)
    assert_allclose(hat_values(res, "unconfounded"), ZDZ, rtol=1e-9)


@pytest.mark.parametrize("formula", ["y ~ x + (x | g) + (1 | c)", "y ~ x + (1 | g/c)"])
def test_nested_solver(formula):
    data = simulated(5)
    nested = fit(formula, data, solver="nested")
    assert nested.solver == "nested"
    H1, H2, _ = dense(nested)
    assert_allclose(hat_values(nested), H1 + H2, atol=1e-9)


def test_chunks_do_not_matter(monkeypatch):
    res = fit("y ~ x + (x | g) + (x | h)", simulated(4), solver="sparse")
    nested = fit("y ~ x + (x | g) + (1 | c)", simulated(4), solver="nested")
    whole = hat_values(res), hat_values(nested)
    monkeypatch.setattr(row_covariance, "COLUMNS_AT_ONCE", 3)
    monkeypatch.setattr(row_covariance, "NUMBERS_AT_ONCE", 20)
    monkeypatch.setattr(row_covariance, "TRAILING_TOGETHER", 0)
    assert_allclose(hat_values(res), whole[0], atol=1e-12)
    assert_allclose(hat_values(nested), whole[1], atol=1e-12)


def test_blocks_among_rows_agree_on_all_routes(monkeypatch):
    res = fit("y ~ x + (x | g) + (x | h)", simulated(4), solver="sparse")._results
    rows = np.array([[0, 1, 2, 3], [10, 20, 30, 40]])
    together = row_covariance.RowCovariance(*at_estimates(res)).among(rows)
    monkeypatch.setattr(row_covariance, "TOGETHER", 0)
    own = row_covariance.RowCovariance(*at_estimates(res))
    assert_allclose(own.among(rows), together, atol=1e-12)
    monkeypatch.setattr(row_covariance, "TRAILING_TOGETHER", 0)
    own = row_covariance.RowCovariance(*at_estimates(res))
    assert_allclose(own.among(rows), together, atol=1e-12)
    diagonal = own.diagonal()
    assert_allclose(np.einsum("bss->bs", together), diagonal[rows], atol=1e-12)


def test_scale_and_order_of_rows_do_not_matter():
    data = simulated(6)
    h = hat_values(fit("y ~ x + (x | g)", data))
    other = data.assign(y=1e6 * data.y + 3e7, x=1e4 * data.x + 5.0)
    assert_allclose(hat_values(fit("y ~ x + (x | g)", other)), h, atol=2e-6)
    order = np.random.default_rng(0).permutation(len(data))
    moved = hat_values(fit("y ~ x + (x | g)", data.iloc[order]))
    assert_allclose(moved, h[order], atol=1e-7)


def test_singular_fit_has_the_leverage_of_least_squares(fits):
    res = fits("dyestuff2")
    assert_allclose(hat_values(res), 1.0 / 30.0)
    assert_allclose(hat_values(res, "random"), 0.0, atol=1e-15)


def test_frame_has_labels_of_the_rows():
    data = simulated(7).iloc[::2]
    frame_ = leverage(fit("y ~ x + (1 | g)", data))
    assert frame_.index.equals(data.index)
    assert list(frame_) == ["conditional", "marginal", "random", "unconfounded"]
    assert_allclose(frame_.conditional, frame_.marginal + frame_.random)


def test_unknown_kind(fits):
    with pytest.raises(ValueError, match="conditional, marginal"):
        hat_values(fits("dyestuff"), "full")
