"""The analytic gradient and the average information against independent forms."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pandas as pd
import pytest

import sm_lmer.api as sml
from sm_lmer.core.terms import template
from sm_lmer.linalg.leading import MapUpdate

STRUCTURES = {
    "intercept": "y ~ x + (1 | a)",
    "slope": "y ~ x + (x | a)",
    "uncorrelated": "y ~ x + (x || a)",
    "diagonal": "y ~ x + diag(x | a)",
    "three columns": "y ~ x + z + (x + z | a)",
    "two terms on one factor": "y ~ (1 | a) + (0 + x + z | a)",
    "crossed": "y ~ x + (1 | a) + (1 | b)",
    "three crossed": "y ~ x + (1 | a) + (1 | b) + (1 | c)",
    "nested": "y ~ x + (1 | a/c)",
    "nested slopes": "y ~ x + (x | b/c)",
    "nested three deep": "y ~ x + (1 | b/c/d)",
    "nested, unlike widths": "y ~ x + (x + z | b) + (1 | b:c)",
    "nested, several terms": "y ~ x + (x || c) + (z | b:c) + diag(x + z | b:c:d)",
    "crossed slopes": "y ~ x + (x | a) + (x + z | b)",
    "diagonal slopes": "y ~ x + diag(x + z | a) + (x | b)",
    "unlike widths": "y ~ x + (1 | a) + (z | b) + (0 + x | c)",
    "terms on both factors": "y ~ (x || a) + (z || b) + (0 + z | a)",
    "shifted and scaled": "y ~ I(x + 10) + (I(x + 10) | a) + (I(10 * z) | b)",
    "no fixed part": "y ~ 0 + (x | a) + (1 | b)",
}
CROSSED = [
    name
    for name in STRUCTURES
    if any(word in name for word in ("crossed", "nested", "slopes", "widths", "both"))
]
NESTED = [name for name in STRUCTURES if "nested" in name]


@cache
def frame():
    rng = np.random.default_rng(11)
    n = 120
    data = pd.DataFrame(rng.normal(size=(n, 3)), columns=["y", "x", "z"])
    for name, levels in {"a": 9, "b": 6, "c": 3, "d": 2}.items():
        data[name] = rng.permutation(np.arange(n) ** 2 % (levels * 7) % levels)
        data["y"] += rng.normal(size=levels)[data[name]]
    data["w"] = rng.uniform(0.4, 2.5, n)
    return data


@cache
def model(name, weights=False):
    return sml.lmer(STRUCTURES[name], frame(), weights="w" if weights else None)


def points(likelihood):
    """Regular points, and singular ones."""
    rng = np.random.default_rng(5)
    regular = np.where(
        likelihood.diagonal,
        rng.uniform(0.3, 1.6, likelihood.k_theta),
        rng.normal(scale=0.7, size=likelihood.k_theta),
    )
    one_zero = regular.copy()
    one_zero[np.flatnonzero(likelihood.diagonal)[-1]] = 0.0
    all_diagonals = np.where(likelihood.diagonal, 0.0, regular)
    return {
        "regular": regular,
        "negative": -regular,
        "one zero": one_zero,
        "zero diagonals": all_diagonals,
        "origin": np.zeros_like(regular),
    }


def coordinates(name, weights):
    """The likelihood in its own inner coordinates, and along other axes."""
    likelihood = model(name, weights).likelihood()
    turned, _ = likelihood.on_principal_axes(points(likelihood)["regular"])
    return [likelihood, turned]


def differences(function, at, step=1e-3):
    """Central differences with one step of Richardson's extrapolation."""
    out = np.empty(len(at))
    for k in range(len(at)):
        e = step * max(1.0, abs(at[k])) * np.eye(len(at))[k]
        wide = (function(at + e) - function(at - e)) / (2.0 * e[k])
        narrow = (function(at + e / 2) - function(at - e / 2)) / e[k]
        out[k] = (4.0 * narrow - wide) / 3.0
    return out


def close(actual, desired, tolerance):
    size = np.abs(desired).max(initial=1.0)
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_gradient_in_theta(name, reml):
    m = model(name)
    step = 1e-4 if "scaled" in name else 1e-3  # large columns bend the surface
    for theta in points(m.likelihood()).values():
        expected = differences(lambda t: m.criterion(t, reml), theta, step)
        close(m.gradient(theta, reml), expected, 1e-6)


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("weights", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_gradient_in_inner_coordinates(name, weights, reml):
    for likelihood in coordinates(name, weights):
        for inner in points(likelihood).values():
            expected = differences(
                partial(likelihood.value, reml=reml, inner=True), inner
            )
            close(likelihood.gradient(inner, reml, inner=True), expected, 1e-7)


@pytest.mark.parametrize("name", CROSSED)
def test_gradient_through_the_sparse_map(name):
    m = sml.lmer(STRUCTURES[name], frame())
    likelihood = m.likelihood("dense")
    inner = points(likelihood)["regular"]
    before = likelihood.gradient(inner, reml=True, inner=True)
    cross = likelihood.cross
    likelihood.solver.update = MapUpdate(cross.A21, cross.A11.shape[1])
    close(likelihood.gradient(inner, reml=True, inner=True), before, 1e-12)


@pytest.mark.parametrize("name", CROSSED)
def test_gradient_of_the_sparse_solver(name):
    m = model(name)
    for theta in points(m.likelihood()).values():
        for inner in (True, False):
            exact = m.likelihood("dense").gradient(theta, True, inner)
            sparse = m.likelihood("superlu").gradient(theta, True, inner)
            close(sparse, exact, 1e-5)


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("name", NESTED)
def test_gradient_of_the_nested_solver(name, reml):
    m = model(name)
    nested, dense = m.likelihood("nested"), m.likelihood("dense")
    assert (nested.solver.name, dense.solver.name) == ("nested", "dense")
    for theta in points(dense).values():
        expected = dense.value(theta, reml)
        assert nested.value(theta, reml) == pytest.approx(expected, rel=1e-12)
        for inner in (True, False):
            exact = dense.gradient(theta, reml, inner)
            close(nested.gradient(theta, reml, inner), exact, 1e-10)


def test_gradient_vanishes_at_the_optimum(fits):
    for name in ("sleepstudy", "penicillin", "pastes", "machines", "sleepstudy_ml"):
        res = fits(name)
        gradient = res.model.gradient(res.theta, reml=res.reml)
        assert np.abs(gradient * np.maximum(np.abs(res.theta), 0.1)).max() < 1e-4


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("weights", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_average_information(name, weights, reml):
    """y'P V_j P V_k P y / sigma^2 with y projected out of the working variates.

    Gilmour, Thompson and Cullis (1995), eq. 5. In units of the profiled sigma^2,
    profiling sigma is one more fixed column, y itself: with q_j = V_j P y the entry is
    q_j'P q_k - (q_j'P y)(y'P q_k) / (y'P y).
    """
    m = model(name, weights)
    scale = np.ones(m.nobs) if m.weights is None else np.sqrt(m.weights)
    y, X = scale * m.endog, scale[:, None] * m.exog
    for likelihood in coordinates(name, weights):
        blocks, Z = likelihood.blocks, []
        for block, A, V in zip(
            blocks, likelihood.As, likelihood.rotations, strict=True
        ):
            raw = np.hstack([m.re_terms[k].Z for k in block.terms]) @ A @ V
            member = block.codes[:, None] == np.arange(block.n_levels)
            Z.append(np.einsum("n,nl,nq->nlq", scale, member, raw))
        for inner in points(likelihood).values():
            expected = dense_information(y, X, Z, blocks, inner, reml)
            at = likelihood.evaluate(likelihood.inner_templates(inner), reml)
            information = likelihood.criterion.average_information(
                at, likelihood.positions, likelihood.rotations
            )
            close(information, expected, 1e-9)


def dense_information(y, X, Z, blocks, inner, reml):
    """The matrix of test_average_information, with all of V, V_j and P formed."""
    n = len(y)
    V, dV = np.eye(n), np.zeros((len(inner), n, n))
    for block, Zj in zip(blocks, Z, strict=True):
        T = template(block, inner)
        ZT = Zj @ T
        V += np.einsum("nlr,mlr->nm", ZT, ZT)
        for k in block.index:
            half = np.einsum(
                "nlr,mlr->nm", Zj @ template(block, np.eye(len(inner))[k]), ZT
            )
            dV[k] = half + half.T
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    Py = P @ y
    q = dV @ Py
    qPy = q @ Py
    sigma2 = y @ Py / (n - X.shape[1] * reml)
    return (q @ P @ q.T - np.outer(qPy, qPy) / (y @ Py)) / sigma2
