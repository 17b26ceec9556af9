"""The Krylov solver against dense Cholesky factors, and its Monte Carlo errors."""

from __future__ import annotations

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import sm_lmer.api as sml
from sm_lmer.core.fitted import conditional_covariances, solve_at
from sm_lmer.core.likelihood import FIVE_POINT
from sm_lmer.linalg import choice, make_solver
from sm_lmer.linalg.lanczos import conjugate_gradients, lanczos
from sm_lmer.linalg.layout import Layout
from sm_lmer.linalg.operators import Assembled, MatrixFree
from sm_lmer.linalg.preconditioners import BlockJacobi

EXACT = sml.Krylov(probes="all")

FORMULAS = {
    "two crossed": "y ~ x + (1 | a) + (1 | b)",
    "three crossed": "y ~ x + (1 | a) + (1 | b) + (1 | c)",
    "leading slopes": "y ~ x + (x | a) + (1 | b)",
    "crossed slopes": "y ~ x + (x | a) + (x | b)",
    "diagonal slopes": "y ~ x + diag(x | a) + (x || b) + (1 | c)",
    "nested": "y ~ x + (1 | c/b)",
}
FITTED = ["two crossed", "three crossed", "crossed slopes", "diagonal slopes"]


@cache
def frame():
    rng = np.random.default_rng(21)
    n = 400
    data = pd.DataFrame(rng.normal(size=(n, 2)), columns=["y", "x"])
    for factor, levels in {"a": 25, "b": 12, "c": 6}.items():
        data[factor] = rng.integers(levels, size=n)
        data["y"] += rng.normal(size=levels)[data[factor]]
        data["y"] += 0.7 * rng.normal(size=levels)[data[factor]] * data["x"]
    data["w"] = rng.uniform(0.5, 2.0, n)
    return data


@cache
def model(name, weighted=False):
    return sml.lmer(FORMULAS[name], frame(), weights="w" if weighted else None)


def matrix_free(likelihood):
    """The same likelihood with products through A21."""
    solver = likelihood.solver
    solver.operator = MatrixFree(likelihood.cross, solver.A21t, likelihood.layout)
    return likelihood


def thetas(m, seed):
    """One inside, one with a vanished diagonal at the end."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.2, 1.5, m.k_theta)
    yield theta
    theta = theta.copy()
    theta[-1] = 0.0
    yield theta


# -- the parts --------------------------------------------------------------------


def positive_definite(rng, m, condition):
    Q, _ = np.linalg.qr(rng.normal(size=(m, m)))
    return (Q * np.geomspace(1.0, condition, m)) @ Q.T


def test_conjugate_gradients_solve_each_column():
    rng = np.random.default_rng(1)
    A = positive_definite(rng, 60, 200.0)
    B = rng.normal(size=(60, 5)) * 10.0 ** np.arange(-4, 6, 2)
    B[:, 2] = 0.0
    X, iterations = conjugate_gradients(lambda V: A @ V, B, 1e-11, 500)
    exact = np.linalg.solve(A, B)
    error = np.linalg.norm(X - exact, axis=0) / np.maximum(
        np.linalg.norm(exact, axis=0), 1e-300
    )
    assert error.max() < 1e-8
    assert 0 < iterations < 200


def test_conjugate_gradients_tell_what_they_cannot_solve():
    A = np.diag([1.0, -1.0])
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        conjugate_gradients(lambda V: A @ V, np.ones((2, 1)), 1e-10, 10)
    A = np.diag(np.geomspace(1.0, 1e4, 50))
    with pytest.raises(np.linalg.LinAlgError, match="not converged in 3 iterations"):
        conjugate_gradients(lambda V: A @ V, np.ones((50, 1)), 1e-10, 3)


@pytest.mark.parametrize(("m", "condition"), [(1, 1.0), (18, 100.0), (120, 1e3)])
def test_quadratic_forms_of_the_logarithm_and_their_derivatives(m, condition):
    """Against the Daleckii-Krein formula with all eigenvectors."""
    rng = np.random.default_rng(2)
    A = positive_definite(rng, m, condition)
    E = rng.normal(size=(m, m))
    E = E + E.T
    Z = rng.integers(0, 2, (m, 3)) * 2.0 - 1.0
    basis = lanczos(lambda V: A @ V, Z, 1e-7, 1000)
    forms, C = basis.log_forms()
    values, Y = np.linalg.eigh(A)
    turned = Y.T @ Z
    np.testing.assert_allclose(forms, np.log(values) @ turned**2, atol=1e-9 * m)
    gap = values[:, None] - values + np.eye(m)
    divided = (np.log(values)[:, None] - np.log(values)) / gap + np.diag(1.0 / values)
    derivative = Y @ (divided * (Y.T @ E @ Y)) @ Y.T
    exact = np.einsum("mc,mn,nc->c", Z, derivative, Z)
    Q = basis.Q
    found = np.einsum("cjk,jmc,mn,knc->c", C, Q, E, Q, optimize=True)
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-8 * m)


def test_vectors_end_apart_from_each_other():
    """An eigenvector needs one step, whatever the others of its batch need."""
    A = np.diag(np.geomspace(1.0, 100.0, 30))
    Z = np.ones((30, 2))
    Z[1:, 0] = 0.0
    forms, C = lanczos(lambda V: A @ V, Z, 1e-8, 100).log_forms()
    alone, _ = lanczos(lambda V: A @ V, Z[:, 1:], 1e-8, 100).log_forms()
    assert forms[0] == pytest.approx(0.0, abs=1e-14)
    assert forms[1] == pytest.approx(alone[0], rel=1e-12)
    assert np.isfinite(C).all()


def test_lanczos_refuses_what_is_not_positive_definite():
    A = np.diag([1.0, 2.0, -1.0])
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        lanczos(lambda V: A @ V, np.ones((3, 1)), 1e-10, 10)


def test_the_adjoint_of_the_preconditioner_against_differences():
    """Of tr(C L^-1 S L^-T) in the blocks of P alone, with S held."""
    rng = np.random.default_rng(3)
    layout = Layout([(4, 3), (5, 1)])
    S, C = positive_definite(rng, layout.m, 50.0), rng.normal(size=(layout.m,) * 2)
    C = C + C.T

    def value(blocks):
        P = BlockJacobi(layout, blocks)
        return float((C * P.lower(P.lower(S).T)).sum())

    blocks = layout.diagonal_blocks(S)
    P = BlockJacobi(layout, blocks)
    A = P.lower(P.lower(S).T)
    assert np.linalg.slogdet(A)[1] + P.logdet == pytest.approx(np.linalg.slogdet(S)[1])
    for k, B in enumerate(layout.diagonal_blocks(C @ A)):
        found = P.adjoint(k, B)
        for _ in range(3):
            move = rng.normal(size=blocks[k].shape)
            move = move + move.transpose(0, 2, 1)
            h = 1e-6
            ends = []
            for sign in (1.0, -1.0):
                moved = list(blocks)
                moved[k] = blocks[k] + sign * h * move
                ends.append(value(moved))
            slope = (ends[0] - ends[1]) / (2.0 * h)
            assert float((found * move).sum()) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_both_operators_are_the_dense_matrix(name):
    m = model(name, weighted=True)
    likelihood = m.likelihood("dense")
    cross, layout = likelihood.cross, likelihood.layout
    A21t = cross.A21.T.tocsr()
    rng = np.random.default_rng(4)
    L, q, _ = cross.A11.shape
    K = rng.normal(size=(L, q, q))
    K = K + K.transpose(0, 2, 1)
    A21 = cross.A21.toarray()
    change = A21 @ sparse.block_diag(list(K)).toarray() @ A21.T
    assembled = make_solver(EXACT, cross, layout, ()).operator
    assert isinstance(assembled, Assembled | MatrixFree)
    for operator in (assembled, MatrixFree(cross, A21t, layout)):
        for found, full in (
            (operator.at(K), cross.A22.toarray() - change),
            (operator.change(K), change),
        ):
            tolerance = 1e-12 * np.abs(full).max()
            product = found.product(np.eye(layout.m))
            np.testing.assert_allclose(product, full, rtol=0, atol=tolerance)
            blocks = layout.diagonal_blocks(full)
            for a, b in zip(found.blocks, blocks, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


# -- exact with all unit vectors ----------------------------------------------------


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_all_unit_vectors_give_the_exact_criterion(name, reml, free):
    m = model(name, weighted=True)
    dense, krylov = m.likelihood("dense"), m._make_likelihood(EXACT)
    if free:
        krylov = matrix_free(krylov)
    for theta in thetas(m, 5):
        exact = dense.value(theta, reml)
        assert krylov.value(theta, reml) == pytest.approx(exact, rel=1e-12)
        slope = dense.gradient(theta, reml)
        np.testing.assert_allclose(
            krylov.gradient(theta, reml), slope, rtol=1e-7, atol=1e-7
        )
        a, b = solve_at(dense, theta, reml), solve_at(krylov, theta, reml)
        np.testing.assert_allclose(b.beta, a.beta, rtol=1e-8)
        np.testing.assert_allclose(b.vcov_unscaled, a.vcov_unscaled, rtol=1e-8)
        for x, y in zip(a.b, b.b, strict=True):
            np.testing.assert_allclose(y, x, rtol=0, atol=1e-8 * np.abs(x).max())
        for x, y in zip(
            conditional_covariances(dense, a),
            conditional_covariances(krylov, b),
            strict=True,
        ):
            np.testing.assert_allclose(y, x, rtol=0, atol=1e-8 * np.abs(x).max())


def test_a_fit_with_all_unit_vectors_is_the_exact_fit():
    m = model("three crossed")
    exact, found = m.fit(solver="dense"), m.fit(solver=EXACT)
    assert found.converged
    assert found.llf == pytest.approx(exact.llf, abs=1e-7)
    np.testing.assert_allclose(found.theta, exact.theta, rtol=1e-4)
    np.testing.assert_allclose(found.ddf, exact.ddf, rtol=1e-3)
    assert found.llf_mcse == 0.0
    assert not found.theta_mcse.any()


# -- random probes ------------------------------------------------------------------


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_estimate_is_within_its_error(name, free):
    m = model(name, weighted=True)
    dense = m.likelihood("dense")
    krylov = m._make_likelihood(sml.Krylov(probes=60, rng=11))
    if free:
        krylov = matrix_free(krylov)
    for theta in thetas(m, 6):
        exact = dense.evaluate(dense.templates(theta), True)
        found = krylov.evaluate(krylov.templates(theta), True)
        error = found.factor.logdet - exact.factor.logdet
        assert abs(error) < 4.0 * found.factor.logdet_mcse + 1e-9
        assert found.value - exact.value == pytest.approx(error, abs=1e-7)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_gradient_is_that_of_the_estimated_criterion(name, reml, free):
    """Few probes, so that a gradient of the exact one would not do."""
    m = model(name)
    krylov = m._make_likelihood(sml.Krylov(probes=3, rng=2))
    if free:
        krylov = matrix_free(krylov)
    for theta in thetas(m, 7):
        differences = krylov._differences(theta, reml, inner=False)
        slope = krylov.gradient(theta, reml)
        np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-5)


@given(
    seed=st.integers(0, 2**31),
    levels=st.tuples(st.integers(2, 12), st.integers(2, 8), st.integers(2, 5)),
    reml=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_random_designs(seed, levels, reml):
    """Exact with unit vectors, and derivatives by each probe against differences."""
    rng = np.random.default_rng(seed)
    n = 80
    x = rng.normal(size=n)
    terms = [
        sml.RandomTerm(rng.integers(levels[0], size=n), name="g"),
        sml.RandomTerm(
            rng.integers(levels[1], size=n), np.column_stack([np.ones(n), x]), "h"
        ),
        sml.RandomTerm(rng.integers(levels[2], size=n), name="k"),
    ]
    m = sml.LMER(rng.normal(size=n), np.column_stack([np.ones(n), x]), re_terms=terms)
    theta = rng.uniform(0.1, 2.0, m.k_theta)
    dense, exact = m.likelihood("dense"), m.likelihood(EXACT)
    assert exact.value(theta, reml) == pytest.approx(
        dense.value(theta, reml), rel=1e-11
    )
    krylov = m.likelihood(sml.Krylov(probes=4, rng=seed))
    inner = krylov.to_inner(theta)
    at = krylov.evaluate(krylov.inner_templates(inner), reml)
    by_probe = krylov.criterion.trace_gradients(at, at.factor)
    for k in range(m.k_theta):
        step = np.zeros(m.k_theta)
        step[k] = FIVE_POINT.step
        slope = np.zeros(4)
        for times, weight in FIVE_POINT.weights:
            ends = [
                krylov.evaluate(krylov.inner_templates(inner + sign * step), reml)
                for sign in (times, -times)
            ]
            logs = [end.factor.estimates for end in ends]
            slope += weight * (logs[0] - logs[1]) / FIVE_POINT.step
        j, r, c = krylov.positions[k]
        found = by_probe[j][:, r, c]
        if j == 0:  # the leading block has a determinant of its own, without error
            found, slope = found - found.mean(), slope - slope.mean()
        np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", FITTED)
def test_fits_are_within_their_errors(name, weighted, reml):
    m = model(name, weighted)
    exact = m.fit(reml, solver="dense")
    found = m.fit(reml, solver=sml.Krylov(probes=50, rng=4))
    assert found.solver == "krylov"
    assert found.converged
    assert 0.0 < found.llf_mcse < 1.0
    assert abs(found.llf - exact.llf) < 4.0 * found.llf_mcse
    assert (np.abs(found.theta - exact.theta) < 4.0 * found.theta_mcse).all()
    np.testing.assert_allclose(found.params, exact.params, atol=0.02 * exact.bse.max())
    np.testing.assert_allclose(found.bse, exact.bse, rtol=0.03)
    np.testing.assert_allclose(found.ddf, exact.ddf, rtol=0.1)


def test_the_errors_are_the_spread_over_seeds():
    m = model("crossed slopes")
    exact = m.fit(solver="dense")
    z, errors = [], []
    for seed in range(25):
        solver = sml.Krylov(probes=40, rng=seed)
        res = m.fit(solver=solver)
        del m._likelihoods[solver]
        z.append([(res.llf - exact.llf) / res.llf_mcse])
        z[-1] += list((res.theta - exact.theta) / res.theta_mcse)
        errors.append(res.llf_mcse)
    spread = np.sqrt(np.mean(np.square(z), axis=0))
    assert ((spread > 0.5) & (spread < 1.6)).all()
    assert np.std(errors) < 0.3 * np.mean(errors)


def test_more_probes_have_smaller_errors():
    m = model("two crossed")
    few = m.fit(solver=sml.Krylov(probes=20, rng=1))
    many = m.fit(solver=sml.Krylov(probes=500, rng=1))
    assert many.llf_mcse == pytest.approx(0.2 * few.llf_mcse, rel=0.5)
    assert many.theta_mcse[0] == pytest.approx(0.2 * few.theta_mcse[0], rel=0.5)


def test_a_seed_fixes_the_numbers():
    data = frame()
    fits = [
        sml.lmer(FORMULAS["two crossed"], data).fit(solver=sml.Krylov(rng=seed))
        for seed in (3, 3, 4)
    ]
    assert fits[0].llf == fits[1].llf
    np.testing.assert_array_equal(fits[0].theta, fits[1].theta)
    assert fits[0].llf != fits[2].llf
    first, second = (sml.Krylov(rng=np.random.default_rng(9)) for _ in range(2))
    assert first == second


def test_a_singular_fit():
    rng = np.random.default_rng(5)
    data = frame().assign(y=lambda d: d["x"] + rng.normal(size=len(d)))
    data["y"] += rng.normal(size=25)[data["a"]]
    m = sml.lmer("y ~ x + (1 | a) + (1 | c) + (1 | b)", data)
    with pytest.warns(sml.SingularFitWarning):
        exact = m.fit(solver="dense")
    with pytest.warns(sml.SingularFitWarning):
        found = m.fit(solver=sml.Krylov(probes=50, rng=1))
    np.testing.assert_array_equal(found.theta == 0.0, exact.theta == 0.0)
    assert found.theta[0] == pytest.approx(exact.theta[0], abs=0.01)
    assert found.converged


# -- for users ----------------------------------------------------------------------


def test_the_summary_tells_the_errors():
    res = model("two crossed").fit(solver=sml.Krylov(probes=30, rng=1))
    text = res.summary().as_text()
    assert "Solver for the trailing grouping factors: krylov." in text
    assert "Monte Carlo standard errors from 30 probes:" in text
    again = pickle.loads(pickle.dumps(res))
    assert again.llf_mcse == res.llf_mcse
    assert again.refit(np.asarray(res.model.endog)).llf == pytest.approx(res.llf)


def test_settings_that_make_no_sense():
    for probes in (1, 0, 2.5, "some", True):
        with pytest.raises(ValueError, match="probes"):
            sml.Krylov(probes=probes)
    for rng in ("x", 1.5, True):
        with pytest.raises(TypeError, match="rng"):
            sml.Krylov(rng=rng)
    with pytest.raises(ValueError, match="negative"):
        sml.Krylov(rng=-1)


def test_auto_never_chooses_it_but_names_it(monkeypatch):
    m = model("three crossed")
    assert m.likelihood("auto").solver.name == "dense"
    monkeypatch.setattr(choice, "available_bytes", lambda: 1000.0)
    with pytest.raises(MemoryError, match="solver='krylov'"):
        make_solver(
            "dense",
            m.likelihood("auto").cross,
            m.likelihood("auto").layout,
            [block.codes for block in m.likelihood("auto").blocks],
        )


def test_one_grouping_factor_needs_no_solver():
    res = sml.lmer("y ~ x + (x | a)", frame()).fit(solver="krylov")
    assert res.solver == "none"
    assert res.llf_mcse == 0.0


def test_what_it_cannot_give_is_refused_before_the_fit(monkeypatch):
    monkeypatch.setattr("sm_lmer.linalg.krylov.INVERTED_UP_TO", 5)
    monkeypatch.setattr("sm_lmer.fitting.INVERTED_UP_TO", 5)
    m = model("two crossed")
    with pytest.raises(NotImplementedError, match="ddf='kenward-roger' needs entries"):
        m.fit(solver="krylov", ddf="kenward-roger")
    res = m.fit(solver="krylov")
    assert np.isfinite(res.pvalues).all()
    with pytest.raises(NotImplementedError, match="variances of single random effects"):
        res.ranef(cond_var=True)
