"""Terms, grouping blocks, and the way between a user's theta and the engine's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sm_lmer.api as sml
from sm_lmer.core.conditioning import orthonormal_basis, project
from sm_lmer.core.likelihood import Likelihood, LikelihoodData
from sm_lmer.core.terms import (
    Factor,
    RandomTerm,
    grouping_blocks,
    lme4_order,
    template,
)


def labelled(levels, n=24):
    return RandomTerm(np.arange(n) % levels, name=f"f{levels}")


def test_factor_from_labels_is_sorted_and_marks_missing_ones():
    factor = Factor.from_labels(np.array(["b", None, "a", "b"], dtype=object))
    assert factor.levels.tolist() == ["a", "b"]
    assert factor.codes.tolist() == [1, -1, 0, 1]
    assert Factor.from_labels([2.0, np.nan, 1.0]).codes.tolist() == [1, -1, 0]


def test_interaction_tells_levels_apart_by_codes():
    """Pasted labels a:b + c and a + b:c would be one level."""
    first = Factor.from_labels(np.array(["a:b", "a", "a"]))
    second = Factor.from_labels(np.array(["c", "b:c", "b:c"]))
    both = Factor.interaction([first, second])
    assert both.n_levels == 2
    assert both.levels.tolist() == ["a:b:c", "a:b:c"]
    assert both.codes[0] != both.codes[1] == both.codes[2]


@given(
    codes=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 2)), min_size=1
    )
)
@settings(deadline=None, derandomize=True)
def test_interaction_agrees_with_unique_rows(codes):
    rows = np.array(codes)
    both = Factor.interaction([Factor.from_labels(rows[:, j]) for j in range(3)])
    expected, inverse = np.unique(rows, axis=0, return_inverse=True)
    assert both.codes.tolist() == inverse.reshape(-1).tolist()
    assert both.levels.tolist() == [":".join(map(str, row)) for row in expected]
    for j in range(3):
        part = both.parts[j][both.combinations[:, j]]
        assert part.tolist() == expected[:, j].tolist()


def test_subset_forgets_unused_levels():
    factor = Factor.from_labels(np.array(["a", "b", "c", "b"]))
    some = factor.subset(np.array([True, False, True, False]))
    assert some.levels.tolist() == ["a", "c"]
    assert some.codes.tolist() == [0, 1]


def test_positions_are_column_major():
    Z = np.random.default_rng(0).normal(size=(24, 3))
    full, diagonal = (RandomTerm(np.arange(24) % 4, Z, diagonal=d) for d in (0, 1))
    assert [*zip(*full.positions(), strict=True)] == [
        (0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2),
    ]  # fmt: skip
    assert [*zip(*diagonal.positions(), strict=True)] == [(0, 0), (1, 1), (2, 2)]
    assert (full.n_theta, diagonal.n_theta) == (6, 3)


def test_term_names_its_columns():
    codes = np.arange(24) % 4
    frame = pd.DataFrame({"u": np.arange(24.0), "v": np.arange(24.0) ** 2})
    assert RandomTerm(codes).columns == ("Intercept",)
    assert RandomTerm(codes, frame).columns == ("u", "v")
    assert RandomTerm(codes, frame.to_numpy()).columns == ("x1", "x2")
    with pytest.raises(ValueError, match="2 columns of Z but 1 column names"):
        RandomTerm(codes, frame, columns=["u"])
    with pytest.raises(ValueError, match="24 groups but 23 rows"):
        RandomTerm(codes, frame.iloc[1:])


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([6, 4, 2], [6, 4, 2]),
        ([2, 4, 6], [6, 4, 2]),
        ([4, 6, 2], [6, 4, 2]),
        ([4, 4, 4], [4, 4, 4]),
    ],
)
def test_lme4_order(levels, expected):
    terms = [labelled(k) for k in levels]
    assert [terms[k].factor.n_levels for k in lme4_order(terms)] == expected


def test_lme4_order_reverses_ties_only_when_it_reorders():
    terms = [labelled(k) for k in (4, 4, 3)]
    assert lme4_order(terms) == [0, 1, 2]
    terms = [labelled(k) for k in (3, 4, 4)]
    assert lme4_order(terms) == [2, 1, 0]


def test_blocks_merge_terms_on_equal_factors():
    g, h = np.arange(24) % 6, np.arange(24) // 6
    x = np.random.default_rng(1).normal(size=24)
    terms = [
        RandomTerm(h, name="h"),
        RandomTerm(g, name="g"),
        RandomTerm(g.copy(), x, name="g"),
    ]
    large, small = grouping_blocks(terms)
    assert (large.terms, large.q, large.n_levels, large.size) == ((1, 2), 2, 6, 12)
    assert (small.terms, small.q, small.n_levels) == ((0,), 1, 4)
    theta = np.array([5.0, 7.0, 9.0])
    np.testing.assert_array_equal(template(large, theta), np.diag([7.0, 9.0]))
    np.testing.assert_array_equal(template(small, theta), [[5.0]])


def test_blocks_keep_equal_codes_of_other_labels_apart():
    codes = np.arange(24) % 6
    terms = [RandomTerm(codes, name="g"), RandomTerm(codes + 100, name="h")]
    assert len(grouping_blocks(terms)) == 2


# -- conditioning ---------------------------------------------------------------


@st.composite
def matrices(draw):
    """Columns of any origin and scale, a constant among them or not, weights."""
    n, p = draw(st.integers(8, 40)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n, p))
    for j in range(p):
        X[:, j] = 10.0 ** draw(st.integers(-9, 9)) * X[:, j]
    where = draw(st.integers(-1, p - 1))
    if where >= 0:
        X[:, where] = draw(st.sampled_from([1.0, -3.0, 1e6]))
        shift = draw(st.sampled_from([0.0, 1e3, 1e6]))
        others = np.delete(np.arange(p), where)
        X[:, others] += shift * np.abs(X[:, others]).max(axis=0, initial=0.0)
    weights = rng.uniform(0.2, 5.0, n) if draw(st.booleans()) else None
    return X, weights


@given(case=matrices())
@settings(deadline=None, derandomize=True, max_examples=200)
def test_basis_is_orthonormal_and_spans_the_columns(case):
    X, weights = case
    root = None if weights is None else np.sqrt(weights)
    basis = orthonormal_basis(X, root)
    Q, C = basis.Q, basis.C
    assert len(basis.dropped) == 0
    np.testing.assert_allclose(Q.T @ Q, np.eye(X.shape[1]), atol=1e-13)
    weighted = X if root is None else root[:, None] * X
    left = weighted - Q @ (Q.T @ weighted)
    norms = np.linalg.norm(weighted, axis=0)
    assert (np.linalg.norm(left, axis=0) <= 1e-13 * norms).all()
    # X C = Q, up to the digits that cancel in the product
    size = np.abs(weighted) @ np.abs(C)
    assert (np.abs(weighted @ C - Q) <= 1e-13 * np.maximum(size, 1.0)).all()
    slog = np.linalg.slogdet(C)[1]
    assert basis.logdet == pytest.approx(-slog)


@pytest.mark.parametrize("factor", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_aliased_columns_are_the_later_ones(factor, shift):
    rng = np.random.default_rng(2)
    x, z = rng.normal(size=(2, 50)) * factor
    x = x + shift * factor
    X = np.column_stack([np.ones(50), x, z, x + z, np.full(50, 2.0), np.zeros(50)])
    basis = orthonormal_basis(X, None)
    assert basis.kept.tolist() == [0, 1, 2]
    assert basis.dropped.tolist() == [3, 4, 5]


def test_residual_is_orthogonal_to_working_precision():
    """A response that the fixed part explains but for one part in 1e10."""
    rng = np.random.default_rng(3)
    X = np.column_stack([np.ones(60), rng.normal(size=(60, 3))])
    noise = rng.normal(size=60)
    fixed = project(orthonormal_basis(X, None), X, X @ np.full(4, 1e10) + noise, None)
    size = np.linalg.norm(fixed.residual)
    assert np.abs(fixed.basis.Q.T @ fixed.residual).max() < 1e-14 * size
    np.testing.assert_allclose(fixed.ols, 1e10, rtol=1e-10)


def random_likelihood(rng, scale, shift, weights):
    n = 60
    g, h = np.arange(n) % 8, rng.integers(4, size=n)
    x, z = scale * (rng.normal(size=(2, n)) + shift)
    Z = np.column_stack([np.ones(n), x, z])
    terms = (
        RandomTerm(g, Z, "g"),
        RandomTerm(g, scale * rng.normal(size=(n, 2)), "g", diagonal=True),
        RandomTerm(h, Z[:, :2], "h"),
    )
    w = rng.uniform(0.5, 2.0, n) if weights else None
    return Likelihood(LikelihoodData(rng.normal(size=n), Z, terms, w))


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize(
    ("scale", "shift"), [(1.0, 0.0), (1e4, 0.0), (1e-4, 0.0), (1.0, 100.0)]
)
def test_inner_and_user_coordinates(scale, shift, weights):
    """theta -> inner -> theta is the identity, and the criterion is the same."""
    rng = np.random.default_rng(7)
    likelihood = random_likelihood(rng, scale, shift, weights)
    for Z, q in zip(likelihood.Zs, (5, 2), strict=True):
        assert Z.shape[1] == q
    whitened = likelihood.Zs[0][:, :3]
    np.testing.assert_allclose(whitened.T @ whitened / 60, np.eye(3), atol=1e-12)
    scaled = likelihood.Zs[0][:, 3:]
    np.testing.assert_allclose((scaled**2).sum(axis=0) / 60, 1.0, rtol=1e-12)
    for zeros in (0, 1, 3):
        inner = rng.normal(size=likelihood.k_theta)
        diagonal = np.flatnonzero(likelihood.diagonal)
        inner[diagonal] = rng.uniform(0.2, 2.0, len(diagonal))
        inner[rng.permutation(diagonal)[:zeros]] = 0.0
        theta, Ts = likelihood.to_user(inner)
        assert (theta[likelihood.diagonal] >= 0).all()
        value = likelihood.value(inner, reml=True, inner=True)
        at_Ts = likelihood.evaluate(Ts, reml=True).value + likelihood.constant(True)
        assert at_Ts == pytest.approx(value, rel=1e-10)
        assert likelihood.value(theta, reml=True) == pytest.approx(value, rel=1e-8)
        again, _ = likelihood.to_user(likelihood.to_inner(theta))
        np.testing.assert_allclose(again, theta, rtol=1e-7, atol=1e-8 * scale**-1)


@pytest.mark.parametrize("weights", [False, True])
def test_principal_axes_are_the_same_point(weights):
    """Turning the axes moves neither the criterion nor theta, and makes T diagonal."""
    rng = np.random.default_rng(9)
    likelihood = random_likelihood(rng, 10.0, 2.0, weights)
    inner = rng.normal(size=likelihood.k_theta)
    for _ in range(2):
        turned, moved = likelihood.on_principal_axes(inner)
        value = likelihood.value(inner, reml=True, inner=True)
        again = turned.value(moved, reml=True, inner=True)
        assert again == pytest.approx(value, rel=1e-12)
        theta, _ = likelihood.to_user(inner)
        np.testing.assert_allclose(turned.to_user(moved)[0], theta, atol=1e-10)
        np.testing.assert_allclose(
            np.abs(turned.to_inner(theta)), np.abs(moved), rtol=1e-7, atol=1e-8
        )
        assert not moved[~likelihood.diagonal].any()
        likelihood, inner = turned, moved + 0.3 * rng.normal(size=len(moved))


def test_the_criterion_is_even_in_every_column_of_a_template():
    rng = np.random.default_rng(8)
    likelihood = random_likelihood(rng, 1.0, 0.0, True)
    inner = rng.normal(size=likelihood.k_theta)
    value = likelihood.value(inner, reml=True)
    for j, column in {(j, c) for j, _, c in likelihood.positions}:
        signs = [
            -1.0 if (block, c) == (j, column) else 1.0
            for block, _, c in likelihood.positions
        ]
        flipped = likelihood.value(inner * signs, reml=True)
        assert flipped == pytest.approx(value, rel=1e-13)


def test_theta_names_and_models_follow_lme4s_order():
    data = sml.datasets.load_penicillin()
    model = sml.lmer("diameter ~ 1 + (1 | sample) + (1 | plate)", data)
    assert [term.name for term in model.re_terms] == ["plate", "sample"]
    assert model.fit().theta_names == ["plate.Intercept", "sample.Intercept"]
