"""The sufficient statistics: dense cross-products, sums over chunks, new responses."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import reduce
from operator import add

import numpy as np
import pytest
from scipy import sparse

from sm_lmer.core.crossproducts import accumulate, block_matrix, with_response
from sm_lmer.core.likelihood import Likelihood, LikelihoodData
from sm_lmer.core.terms import RandomTerm, grouping_blocks

N = 90


def design(name):
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=(2, N))
    a, b, c = np.arange(N) % 11, rng.integers(5, size=N), np.arange(N) % 3
    terms = {
        "one factor": [RandomTerm(a, np.column_stack([np.ones(N), x]), "a")],
        "scalar": [RandomTerm(a, name="a"), RandomTerm(b, name="b")],
        "wide": [
            RandomTerm(a, np.column_stack([np.ones(N), x, z]), "a"),
            RandomTerm(b, np.column_stack([np.ones(N), z]), "b"),
            RandomTerm(c, name="c"),
        ],
        "two terms": [
            RandomTerm(a, name="a"),
            RandomTerm(a, x, "a"),
            RandomTerm(b, np.column_stack([x, z]), "b", diagonal=True),
        ],
    }[name]
    blocks = grouping_blocks(terms)
    Zs = [np.hstack([terms[k].Z for k in block.terms]) for block in blocks]
    return blocks, Zs, rng.normal(size=(N, 4))


DESIGNS = ["one factor", "scalar", "wide", "two terms"]


def dense(values):
    return values.toarray() if sparse.issparse(values) else values


def same(a, b, atol=1e-12):
    for field in fields(a):
        x, y = dense(getattr(a, field.name)), dense(getattr(b, field.name))
        np.testing.assert_allclose(x, y, rtol=0, atol=atol, err_msg=field.name)


@pytest.mark.parametrize("name", DESIGNS)
def test_accumulate_is_the_dense_cross_product(name):
    blocks, Zs, QY = design(name)
    cross = accumulate(blocks, Zs, QY)
    members = [b.codes[:, None] == np.arange(b.n_levels) for b in blocks]
    full = [
        np.einsum("nl,nq->nlq", member, Z).reshape(N, -1)
        for member, Z in zip(members, Zs, strict=True)
    ]
    Z1, Z2 = full[0], np.hstack([np.empty((N, 0)), *full[1:]])
    np.testing.assert_array_equal(block_matrix(blocks[0], Zs[0]).toarray(), Z1)
    L, q = blocks[0].n_levels, blocks[0].q
    square = (Z1.T @ Z1).reshape(L, q, L, q)
    i = np.arange(L)
    np.testing.assert_allclose(cross.A11, square[i, :, i, :], atol=1e-12)
    np.testing.assert_allclose(cross.A21.toarray(), Z2.T @ Z1, atol=1e-12)
    np.testing.assert_allclose(cross.A22.toarray(), Z2.T @ Z2, atol=1e-12)
    np.testing.assert_allclose(cross.B1, Z1.T @ QY, atol=1e-12)
    np.testing.assert_allclose(cross.B2, Z2.T @ QY, atol=1e-12)
    np.testing.assert_allclose(cross.C, QY.T @ QY, atol=1e-12)
    assert cross.n == N


@pytest.mark.parametrize("chunks", [1, 2, 7, 30])
@pytest.mark.parametrize("name", DESIGNS)
def test_chunks_of_rows_add_up(name, chunks):
    """Small chunks hold no row of most levels."""
    blocks, Zs, QY = design(name)
    rows = np.array_split(np.random.default_rng(1).permutation(N), chunks)
    parts = [
        accumulate(
            [replace(b, codes=b.codes[i]) for b in blocks], [Z[i] for Z in Zs], QY[i]
        )
        for i in rows
    ]
    same(reduce(add, parts), accumulate(blocks, Zs, QY))


@pytest.mark.parametrize("name", DESIGNS)
def test_new_response_is_building_anew(name):
    blocks, Zs, QY = design(name)
    y = np.random.default_rng(9).normal(size=N)
    cross = accumulate(blocks, Zs, QY)
    before = [dense(getattr(cross, f.name)).copy() for f in fields(cross)[1:]]
    replaced = with_response(cross, blocks, Zs, QY[:, :-1], y)
    same(replaced, accumulate(blocks, Zs, np.column_stack([QY[:, :-1], y])))
    for field, old in zip(fields(cross)[1:], before, strict=True):
        np.testing.assert_array_equal(dense(getattr(cross, field.name)), old)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("solver", ["dense", "superlu"])
def test_likelihood_of_a_new_response(solver, weights):
    rng = np.random.default_rng(6)
    x = rng.normal(size=N)
    X = np.column_stack([np.ones(N), x])
    terms = (RandomTerm(np.arange(N) % 11, X, "a"), RandomTerm(np.arange(N) // 15))
    w = rng.uniform(0.5, 2.0, N) if weights else None
    old, new = rng.normal(size=N), 1e3 + 5.0 * rng.normal(size=N)
    first = Likelihood(LikelihoodData(old, X, terms, w), solver)
    theta = np.array([0.8, -0.3, 0.5, 1.2])
    value = first.value(theta, reml=True)
    again = first.with_response(new)
    anew = Likelihood(LikelihoodData(new, X, terms, w), solver)
    for reml in (True, False):
        assert again.value(theta, reml) == pytest.approx(anew.value(theta, reml), 1e-12)
    np.testing.assert_allclose(again.fixed.ols, anew.fixed.ols, rtol=1e-12)
    assert first.value(theta, reml=True) == value
