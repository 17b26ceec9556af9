"""The sparse solver against dense algebra, on random patterns and designs."""

from __future__ import annotations

import numpy as np
import pytest

import sm_lmer.api as sml
from sm_lmer.compat.cholmod import HAS_CHOLMOD
from sm_lmer.linalg import choice
from sm_lmer.linalg.multifrontal import Cholesky
from sm_lmer.linalg.ordering import ordering
from sm_lmer.linalg.structure import Structure

LIBRARIES = ["superlu"] + ["cholmod"] * HAS_CHOLMOD


def random_matrix(seed, library):
    """A random sparse matrix of small blocks, and the structure of its factor."""
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(1, 150))
    edges = int(rng.integers(0, 3 * nodes))
    rows, columns = rng.integers(nodes, size=(2, edges))
    if seed % 3 == 2:  # one node that meets all others
        rows = np.concatenate([rows, np.zeros(nodes, dtype=int)])
        columns = np.concatenate([columns, np.arange(nodes)])
    widths = rng.integers(1, 4 if seed % 2 else 2, size=nodes)
    order = ordering(rows, columns, nodes, library)
    assert sorted(order) == list(range(nodes))
    structure = Structure(order, rows, columns, widths)
    A = np.zeros((structure.size, structure.size))
    own = np.arange(nodes)
    for i, j in zip([*rows, *own], [*columns, *own], strict=True):
        a = slice(structure.place[i], structure.place[i] + widths[i])
        b = slice(structure.place[j], structure.place[j] + widths[j])
        block = rng.normal(size=(widths[i], widths[j]))
        A[a, b] += block
        A[b, a] += block.T
    A += np.eye(len(A)) * (1.0 + np.abs(A).sum(axis=1).max())
    return structure, A


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("seed", range(24))
def test_factor_and_selected_inverse(seed, library):
    structure, A = random_matrix(seed, library)
    i, j = np.nonzero(np.tril(A))
    at = structure.positions(i, j)
    assert len(np.unique(at)) == len(at)
    panels = np.zeros(structure.entries)
    panels[at] = A[i, j]
    factor = Cholesky(structure, panels)
    assert factor.logdet == pytest.approx(np.linalg.slogdet(A)[1], rel=1e-13)
    R = np.random.default_rng(seed).normal(size=(len(A), 3))
    np.testing.assert_allclose(factor.solve(R), np.linalg.solve(A, R), atol=1e-13)
    inverse = np.linalg.inv(A)
    np.testing.assert_allclose(factor.inverse()[at], inverse[i, j], atol=1e-14)


def test_an_indefinite_matrix_is_an_error():
    structure, A = random_matrix(4, "superlu")
    i, j = np.nonzero(np.tril(A))
    panels = np.zeros(structure.entries)
    panels[structure.positions(i, j)] = -A[i, j]
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        Cholesky(structure, panels)


def design(seed):
    """Two or three partly crossed factors, some with slopes."""
    rng = np.random.default_rng(seed)
    n = 300
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    a = rng.integers(60, size=n)
    near = (a // 4 + rng.integers(2, size=n)) % 15
    terms = [
        sml.RandomTerm(a, X if seed % 2 else None, name="a"),
        sml.RandomTerm(near, X if seed % 3 else None, name="b", diagonal=seed == 4),
    ]
    if seed > 2:
        terms.append(sml.RandomTerm(rng.integers(6, size=n), name="c"))
    return sml.LMER(rng.normal(size=n) + near, X, re_terms=terms)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("seed", range(6))
def test_gradient_is_the_dense_one(seed, library):
    m = design(seed)
    rng = np.random.default_rng(seed)
    sparse, dense = m.likelihood(library), m.likelihood("dense")
    for zero in (False, True):
        theta = rng.uniform(0.2, 1.5, m.k_theta)
        theta[-1] *= not zero
        value = sparse.value(theta, True)
        assert value == pytest.approx(dense.value(theta, True), rel=1e-12)
        expected = dense.gradient(theta, True)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            sparse.gradient(theta, True), expected, rtol=1e-9, atol=1e-11 * scale
        )


def test_a_fit_that_would_not_fit_in_memory_is_refused(monkeypatch):
    m = design(0)
    monkeypatch.setattr(choice, "available_bytes", lambda: 1000.0)
    for solver in ("dense", "superlu"):
        with pytest.raises(MemoryError, match=r"GiB are free: drop or pool levels"):
            m.likelihood(solver)


def test_free_memory_is_known():
    assert choice.available_bytes() > 1e7
