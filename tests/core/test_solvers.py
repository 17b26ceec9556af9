"""The solvers of the trailing matrix agree with each other, and are chosen sensibly."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from registry import MODELS, dataset
from scipy import sparse

import sm_lmer.api as sml
from sm_lmer.compat.cholmod import HAS_CHOLMOD
from sm_lmer.core.fitted import conditional_covariances, solve_at
from sm_lmer.linalg.leading import DenseUpdate, MapUpdate, leading_update

SPARSE = ["superlu"] + ["cholmod"] * HAS_CHOLMOD


@cache
def simulated(name):
    rng = np.random.default_rng(21)
    n = 400
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["y", "x"])
    for factor, levels in {"a": 25, "b": 12, "c": 6}.items():
        frame[factor] = rng.integers(levels, size=n)
        frame["y"] += rng.normal(size=levels)[frame[factor]]
        frame["y"] += 0.7 * rng.normal(size=levels)[frame[factor]] * frame["x"]
    formulas = {
        "three crossed": "y ~ x + (1 | a) + (1 | b) + (1 | c)",
        "crossed slopes": "y ~ x + (x | a) + (x | b)",
        "diagonal slopes": "y ~ x + diag(x | a) + (x || b) + (1 | c)",
        "nested": "y ~ x + (1 | c/b)",
    }
    return sml.lmer(formulas[name], frame)


def model(name):
    if name in MODELS:
        data, formula = MODELS[name]
        return sml.lmer(formula, dataset(data))
    return simulated(name)


CROSSED = [
    "penicillin",
    "pastes",
    "oats",
    "three crossed",
    "crossed slopes",
    "diagonal slopes",
    "nested",
]


NESTED = ["pastes", "oats", "nested"]
PAIRS = [(name, solver) for name in CROSSED for solver in SPARSE]
PAIRS += [(name, "nested") for name in NESTED]


@pytest.mark.parametrize(("name", "solver"), PAIRS)
def test_solvers_reach_the_same_fit(name, solver):
    m = model(name)
    expected = m.fit(solver="dense")
    res = m.fit(solver=solver)
    assert (expected.solver, res.solver) == ("dense", solver)
    assert res.converged
    assert expected.converged
    assert res.llf == pytest.approx(expected.llf, abs=1e-7)
    np.testing.assert_allclose(res.theta, expected.theta, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(res.params, expected.params, rtol=1e-5, atol=1e-6)
    for frame, other in zip(
        res.ranef().values(), expected.ranef().values(), strict=True
    ):
        np.testing.assert_allclose(frame, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "solver"), PAIRS)
def test_solvers_agree_at_the_same_theta(name, solver):
    """Values, estimates and conditional covariances, to rounding."""
    m = model(name)
    dense, other = m.likelihood("dense"), m.likelihood(solver)
    rng = np.random.default_rng(0)
    for zero in (False, True):
        theta = rng.uniform(0.2, 1.5, m.k_theta)
        theta[-1] *= not zero
        a, b = solve_at(dense, theta, True), solve_at(other, theta, True)
        assert b.value == pytest.approx(a.value, rel=1e-12)
        np.testing.assert_allclose(b.beta, a.beta, rtol=1e-9, atol=1e-12)
        for x, y in zip(a.b, b.b, strict=True):
            np.testing.assert_allclose(
                y, x, rtol=0, atol=1e-10 * np.abs(x).max() + 1e-14
            )
        for x, y in zip(
            conditional_covariances(dense, a),
            conditional_covariances(other, b),
            strict=True,
        ):
            np.testing.assert_allclose(
                y, x, rtol=0, atol=1e-11 * np.abs(x).max() + 1e-14
            )


@pytest.mark.parametrize("solver", SPARSE)
def test_symbolic_analysis_is_not_reused_for_another_pattern(solver):
    """With theta = (1, 1, 0) and (1, 0, 1) S has the same number of entries, elsewhere.

    S is large enough here that CHOLMOD factors it by supernodes, which drops what
    the analysis did not expect, without a word.
    """
    rng = np.random.default_rng(3)
    n = 3000
    h, k = rng.integers(100, size=(2, n))
    g = rng.integers(200, size=n)
    frame = pd.DataFrame({
        "g": np.tile(g, 2),
        "h": np.concatenate([h, k]),
        "k": np.concatenate([k, h]),
        "y": rng.normal(size=2 * n),
    })  # fmt: skip
    m = sml.lmer("y ~ 1 + (1 | g) + (1 | h) + (1 | k)", frame)
    for theta in ([1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 1]):
        expected = m.likelihood("dense").value(np.array(theta, float), True)
        value = m.likelihood(solver).value(np.array(theta, float), True)
        assert value == pytest.approx(expected, rel=1e-11), theta


def test_one_grouping_factor_needs_no_solver(fits):
    assert fits("sleepstudy").solver == "none"
    assert fits("penicillin").solver == "dense"


def test_unknown_solver():
    with pytest.raises(ValueError, match="unknown solver 'qr'; choose one of auto"):
        model("penicillin").fit(solver="qr")


# -- nested designs ---------------------------------------------------------------


@cache
def nested(outer, inner, rows):
    """`inner` levels nested in each of `outer`, `rows` rows in each."""
    rng = np.random.default_rng(17)
    school = np.repeat(np.arange(outer), inner * rows)
    room = np.repeat(np.arange(outer * inner), rows)
    x = rng.normal(size=len(room))
    y = 2.0 + x + rng.normal(size=outer)[school] + 0.5 * rng.normal(size=len(room))
    y += 0.8 * rng.normal(size=outer * inner)[room]
    terms = [sml.RandomTerm(room, name="room"), sml.RandomTerm(school, name="school")]
    X = np.column_stack([np.ones_like(x), x])
    return sml.LMER(y, X, re_terms=terms)


@pytest.mark.parametrize("solver", ["auto", "sparse"])
def test_large_nested_design(solver):
    """20,000 rooms in 4,000 schools, where a dense S would take 128 MB."""
    m = nested(4000, 5, 3)
    res = m.fit(solver=solver)
    assert res.solver == ("nested" if solver == "auto" else SPARSE[-1])
    assert res.converged
    assert len(res.fit_log) < 100
    assert res.varcorr()["sdcor"].to_list() == pytest.approx([0.8, 1.0, 0.5], rel=0.03)
    assert m.likelihood(solver).solver.layout.m == 4000
    theta = np.array([0.9, 1.1])
    closed_form = nested_deviance(m, theta, rows=3, inner=5)
    value = m.likelihood(solver).value(theta, reml=False)
    assert value == pytest.approx(closed_form, rel=1e-10)


def test_the_nested_solver_refuses_crossed_factors():
    with pytest.raises(ValueError, match="solver='nested' needs each grouping factor"):
        model("penicillin").fit(solver="nested")


def nested_deviance(m, theta, rows, inner):
    """The deviance of a balanced nested design by its three error strata."""
    a, b = theta**2
    strata = np.array([1.0, 1.0 + rows * a, 1.0 + rows * a + rows * inner * b])
    n = m.nobs

    def parts(v):
        v = v.reshape(n, -1)
        rooms = v.reshape(-1, rows, v.shape[1]).mean(axis=1)
        schools = rooms.reshape(-1, inner, v.shape[1]).mean(axis=1)
        in_room = v - np.repeat(rooms, rows, axis=0)
        in_school = np.repeat(rooms - np.repeat(schools, inner, axis=0), rows, axis=0)
        return [in_room, in_school, np.repeat(schools, rows * inner, axis=0)]

    yX = parts(np.column_stack([m.endog, m.exog]))
    G = sum(part.T @ part / v for part, v in zip(yX, strata, strict=True))
    r2 = G[0, 0] - G[0, 1:] @ np.linalg.solve(G[1:, 1:], G[1:, 0])
    rooms = n // rows
    schools = rooms // inner
    counts = np.array([n - rooms, rooms - schools, schools])
    return counts @ np.log(strata) + n * (1.0 + np.log(2.0 * np.pi * r2 / n))


@pytest.mark.parametrize("solver", [*SPARSE, "nested"])
def test_small_nested_design_agrees_with_the_dense_solver(solver):
    m = nested(40, 5, 3)
    auto, dense, other = (m.fit(solver=s) for s in ("auto", "dense", solver))
    assert auto.solver == "dense"  # 40 columns: nothing to gain
    assert other.llf == pytest.approx(dense.llf, abs=1e-7)
    np.testing.assert_allclose(other.theta, dense.theta, rtol=1e-4)
    theta = np.array([0.9, 1.1])
    closed_form = nested_deviance(m, theta, rows=3, inner=5)
    for name in ("dense", solver):
        value = m.likelihood(name).value(theta, reml=False)
        assert value == pytest.approx(closed_form, rel=1e-11)


def test_chained_design_is_solved_sparsely():
    """Each of 600 trailing levels meets two neighbours: S is tridiagonal."""
    rng = np.random.default_rng(8)
    link = np.repeat(np.arange(1200), 4)
    node = (link // 2 + link % 2 * np.tile([0, 0, 1, 1], 1200)) % 600
    y = rng.normal(size=1200)[link] + rng.normal(size=600)[node]
    y += rng.normal(size=len(link))
    terms = [sml.RandomTerm(link, name="link"), sml.RandomTerm(node, name="node")]
    m = sml.LMER(y, np.ones((len(y), 1)), re_terms=terms)
    assert m.likelihood().solver.name == SPARSE[-1]
    theta = np.array([0.8, 1.2])
    expected = m.likelihood("dense").value(theta, reml=True)
    assert m.criterion(theta) == pytest.approx(expected, rel=1e-12)


def test_filled_design_is_solved_densely():
    """400 trailing levels that all meet: a sparse factor would hold no zeros."""
    rng = np.random.default_rng(2)
    n = 20_000
    terms = [
        sml.RandomTerm(rng.permutation(np.arange(n) % levels), name=str(levels))
        for levels in (500, 400)
    ]
    m = sml.LMER(rng.normal(size=n), np.ones((n, 1)), re_terms=terms)
    assert m.likelihood().solver.name == "dense"


def test_cholmod_is_asked_for_by_name_only_if_there():
    m = model("penicillin")
    if HAS_CHOLMOD:
        assert m.fit(solver="cholmod").solver == "cholmod"
        assert m.fit(solver="sparse").solver == "cholmod"
    else:
        assert m.fit(solver="sparse").solver == "superlu"
        with pytest.raises(ImportError, match="scikit-sparse"):
            m.fit(solver="cholmod")


# -- the leading block's update -----------------------------------------------------


def random_A21(q, density, m=13, L=9):
    rng = np.random.default_rng(q)
    A21 = sparse.random_array((m, L * q), density=density, rng=rng, format="csr")
    A21.data += 0.1
    return sparse.csr_array(A21)


def symmetric(rng, *shape):
    A = rng.normal(size=shape)
    return A + np.swapaxes(A, -1, -2)


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("q", [1, 2, 3])
def test_map_and_dense_update_are_the_sum_over_levels(q, density):
    rng = np.random.default_rng(31)
    A21 = random_A21(q, density)
    m, L = A21.shape[0], A21.shape[1] // q
    levels = A21.toarray().reshape(m, L, q).transpose(1, 0, 2)
    K, G = symmetric(rng, L, q, q), symmetric(rng, m, m)
    gram = sum(A @ k @ A.T for A, k in zip(levels, K, strict=True))
    adjoint = np.array([A.T @ G @ A for A in levels])
    for update in (MapUpdate(A21, q), DenseUpdate(A21.toarray(), q)):
        np.testing.assert_allclose(update.gram(K), gram, atol=1e-12)
        np.testing.assert_allclose(update.adjoint(G), adjoint, atol=1e-12)
        # each is the other's transpose: <gram(K), G> = <K, adjoint(G)>
        left, right = (update.gram(K) * G).sum(), (K * update.adjoint(G)).sum()
        assert left == pytest.approx(right, abs=1e-11 * (1.0 + abs(right)))


def test_the_cheaper_update_is_chosen():
    assert isinstance(leading_update(random_A21(1, 1.0), 1), DenseUpdate)
    sparse_one = random_A21(1, 0.01, m=400, L=3000)
    assert isinstance(leading_update(sparse_one, 1), MapUpdate)
    filled = random_A21(2, 0.9, m=120, L=150)
    assert isinstance(leading_update(filled, 2), DenseUpdate)
