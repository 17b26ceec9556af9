"""The moment estimates that a search starts from, and what its last step leaves out."""

import numpy as np
import pytest

import sm_lmer.api as sml
from sm_lmer.core.fitted import solve_at
from sm_lmer.core.moments import (
    _dense_products,
    _dense_squares,
    _diagonal_blocks,
    _product_matrix,
    _responses,
    _squares,
    moments_start,
)
from sm_lmer.core.optimize import estimate
from sm_lmer.linalg.dense import DenseFactor, EntriesFactor
from sm_lmer.linalg.leading import MapUpdate

BALANCED = {
    "Reaction ~ Days + (Days | Subject)": sml.datasets.load_sleepstudy,
    "diameter ~ 1 + (1 | plate) + (1 | sample)": sml.datasets.load_penicillin,
    "strength ~ 1 + (1 | batch/cask)": sml.datasets.load_pastes,
    "Yield ~ 1 + (1 | Batch)": sml.datasets.load_dyestuff,
}


def crossed(seed, q=2, trailing=2, n=300):
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    g, h = rng.integers(40, size=n), rng.integers(9, size=n)
    k = rng.integers(5, size=n)
    y = rng.normal(size=40)[g] + X[:, 1] * rng.normal(size=9)[h] + rng.normal(size=n)
    terms = [
        sml.RandomTerm(g, X[:, :q], name="g"),
        sml.RandomTerm(h, X[:, :trailing], name="h"),
        sml.RandomTerm(k, name="k"),
    ]
    return sml.LMER(y, X, re_terms=terms)


@pytest.mark.parametrize("formula", BALANCED)
def test_moments_are_reml_in_balanced_data(formula):
    model = sml.lmer(formula, BALANCED[formula]())
    likelihood = model.likelihood()
    gradient = likelihood.gradient(moments_start(likelihood), True, inner=True)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-8)
    assert len(model.fit().fit_log) == 1


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("trailing", [1, 2])
def test_sparse_and_dense_sums_agree(q, trailing):
    likelihood = crossed(5, q, trailing).likelihood()
    squares, B = _diagonal_blocks(likelihood), _responses(likelihood)
    N, p = _dense_products(likelihood, squares, B), likelihood.criterion.p
    for j in range(3):
        w = np.linspace(1.0, 2.0, len(B[j]))
        for k in range(3):
            A = _product_matrix(likelihood, squares, j, k)
            sums = _squares(A, w, B[j][:, :, :p], B[k][:, :, :p])
            np.testing.assert_allclose(sums, _dense_squares(N[j][k], w), atol=1e-8)


def test_moments_have_their_expectation():
    """Averaged over responses they come near the covariances these were drawn with."""
    rng = np.random.default_rng(8)
    model = crossed(1, 1, 1, n=600)
    likelihood = model.likelihood()
    truth = np.array([0.8, 0.5, 1.2])
    found = []
    for _ in range(40):
        y = rng.normal(size=600)
        for term, size in zip(likelihood.terms, truth, strict=True):
            y += size * rng.normal(size=term.factor.n_levels)[term.factor.codes]
        found.append(moments_start(likelihood.with_response(y)) ** 2)
    np.testing.assert_allclose(np.mean(found, axis=0), truth**2, rtol=0.3)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("diagonal", [True, False])
def test_the_last_evaluation_gives_the_estimates(reml, diagonal):
    data = sml.datasets.load_sleepstudy()
    bars = "||" if diagonal else "|"
    likelihood = sml.lmer(f"Reaction ~ Days + (Days {bars} Subject)", data).likelihood()
    optimum, solution = estimate(likelihood, reml)
    theta, Ts = optimum.point.to_user(likelihood)
    expected = solve_at(likelihood, theta, reml, Ts)
    np.testing.assert_allclose(solution.theta, theta, rtol=1e-13)
    assert solution.value == pytest.approx(expected.value, rel=1e-13)
    np.testing.assert_allclose(solution.beta, expected.beta, rtol=1e-12)
    for one, other in zip(solution.u, expected.u, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)
    for one, other in zip(solution.b, expected.b, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_a_far_start_does_not_hide_the_optimum():
    data = sml.datasets.load_sleepstudy()
    model = sml.lmer("Reaction ~ Days + (Days || Subject)", data)
    best = model.fit()
    for size in (1e-3, 1e3):
        again = model.fit(start_params=size * best.theta)
        assert again.remlcrit == pytest.approx(best.remlcrit, abs=1e-6)


@pytest.mark.parametrize("q", [1, 2])
def test_entries_and_full_matrices_give_the_same_factor(q):
    """EntriesFactor keeps what DenseFactor has in full, also when buffers come back."""
    likelihood = crossed(3, q, 1).likelihood("dense")
    solver, cross = likelihood.solver, likelihood.cross
    parts = [rows for rows, _, _ in likelihood.layout.parts]
    solver.update = MapUpdate(cross.A21, q, cross.A22, parts)
    rng = np.random.default_rng(1)
    for _ in range(3):
        K = rng.normal(size=(cross.A11.shape[0], q, q))
        K = 1e-4 * (K @ K.transpose(0, 2, 1))
        Ts = [np.array([[t]]) for t in rng.normal(size=len(parts))]
        G = cross.A22.toarray() - solver.update.gram(K)
        full, entries = DenseFactor(solver, G, Ts), EntriesFactor(solver, K, Ts)
        H = rng.normal(size=(len(G), 3))
        U, F = full.solve(H), np.cov(rng.normal(size=(3, 9)))
        assert entries.logdet == pytest.approx(full.logdet, rel=1e-12)
        np.testing.assert_allclose(entries.solve(H), U, rtol=1e-9, atol=1e-12)
        one, other = full.gradient(U, F, H), entries.gradient(U, F, H)
        np.testing.assert_allclose(other[0], one[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(other[1], one[1], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(other[2], one[2], rtol=1e-9)
        blocks = zip(full.inverse_blocks()[0], entries.inverse_blocks()[0], strict=True)
        for a, b in blocks:
            np.testing.assert_allclose(b, a, rtol=1e-9)
        np.testing.assert_allclose(
            entries.inverse_blocks()[1], full.inverse_blocks()[1], rtol=1e-9, atol=1e-9
        )
        np.testing.assert_allclose(entries.solve(H), U, rtol=1e-9, atol=1e-12)
