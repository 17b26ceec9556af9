"""The likelihood against a dense multivariate-normal density, on random designs.

With V = W^-1 + Z Lambda Lambda' Z', both criteria and all that follows from theta are
a dozen lines of NumPy (Bates et al. 2015, section 3). The oracle is handed the
design by the strategy, not by the model it checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sm_lmer.api as sml
from sm_lmer.compat.cholmod import HAS_CHOLMOD
from sm_lmer.core.fitted import conditional_covariances, solve_at

SOLVERS = ["dense", "superlu"] + ["cholmod"] * HAS_CHOLMOD
TOLERANCE = 1e-8

# what stands left of the bar, the columns of its terms, and whether they are diagonal
SHAPES = {
    "(1 | {})": [(("Intercept",), False)],
    "(0 + x | {})": [(("x",), False)],
    "(x | {})": [(("Intercept", "x"), False)],
    "(x || {})": [(("Intercept",), False), (("x",), False)],
    "diag(x | {})": [(("Intercept", "x"), True)],
    "(x + z | {})": [(("Intercept", "x", "z"), False)],
    "diag(0 + x + z | {})": [(("x", "z"), True)],
    "(1 | {0}) + (0 + x + z | {0})": [(("Intercept",), False), (("x", "z"), False)],
    "(1 | {0}) + (0 + z | {0})": [(("Intercept",), False), (("z",), False)],
}


@dataclass(frozen=True)
class Term:
    """A random-effects term of the oracle: group labels, columns of Z, template T."""

    name: str
    labels: np.ndarray
    columns: tuple[str, ...]
    Z: np.ndarray
    diagonal: bool
    T: np.ndarray

    @property
    def theta(self):
        if self.diagonal:
            return self.T.diagonal()
        return np.concatenate([self.T[j:, j] for j in range(len(self.T))])

    @property
    def levels(self):
        return np.unique(self.labels)

    @property
    def expanded(self):
        """The dense Z of the term, level by level."""
        member = self.labels[:, None] == self.levels
        return np.einsum("nl,nq->nlq", member, self.Z).reshape(len(self.Z), -1)

    @property
    def Lambda(self):
        return np.kron(np.eye(len(self.levels)), self.T)


@dataclass(frozen=True)
class Problem:
    """A design with data, as a formula and as arrays, and a point theta."""

    formula: str
    frame: pd.DataFrame
    X: np.ndarray
    terms: tuple[Term, ...]
    weights: np.ndarray | None
    offset: np.ndarray | None
    by_formula: bool
    reml: bool
    nested: bool = False

    def model(self):
        extras = {"weights": self.weights, "offset": self.offset}
        if self.by_formula:
            return sml.lmer(self.formula, self.frame, **extras)
        terms = [
            sml.RandomTerm(t.labels, t.Z, t.name, t.columns, t.diagonal)
            for t in self.terms
        ]
        return sml.LMER(self.frame["y"], self.X, re_terms=terms, **extras)

    def in_order_of(self, model):
        """The oracle's terms in the order of the model's."""
        found = {(t.name, t.columns): t for t in self.terms}
        return [found[term.name, tuple(term.columns)] for term in model.re_terms]


def factor(rng, n, levels):
    """Random codes, unbalanced, in which every level occurs."""
    return rng.permutation(
        np.concatenate([np.arange(levels), rng.integers(levels, size=n - levels)])
    )


def random_template(draw, rng, q, diagonal):
    """A template with zeros on its diagonal now and then, any sign off it."""
    T = np.tril(rng.normal(scale=1.5, size=(q, q)))
    if diagonal:
        T = np.diag(T.diagonal())
    keep = [draw(st.sampled_from([1.0, 1.0, 0.0, -1.0])) for _ in range(q)]
    T[np.diag_indices(q)] = np.abs(T.diagonal()) * keep
    return T


@st.composite
def problems(draw):
    names = draw(
        st.lists(
            st.sampled_from(["g", "h", "nested"]), min_size=1, max_size=3, unique=True
        ).filter(lambda names: not {"g", "nested"} <= set(names))
    )
    sizes = {f: draw(st.integers(2, 6)) for f in "gh"} | {"k": draw(st.integers(2, 3))}
    n = draw(st.integers(20, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frame = pd.DataFrame({v: rng.normal(size=n) for v in ["y", "x", "z", "v"]})
    frame["y"] *= 3.0
    for f, size in sizes.items():
        frame[f] = pd.Categorical([f"{f}{code}" for code in factor(rng, n, size)])
    columns = {"Intercept": np.ones(n)} | {v: frame[v].to_numpy() for v in "xzv"}
    labels = {f: frame[f].to_numpy(dtype=str) for f in sizes}
    labels["k:g"] = np.char.add(np.char.add(labels["k"], ":"), labels["g"])

    pieces, terms = [], []
    for name in names:
        factors = ["k:g", "g"] if name == "nested" else [name]
        widest = max(len(np.unique(labels[f])) for f in factors)
        shapes = [
            s
            for s, parts in SHAPES.items()
            if max(len(c) for c, _ in parts) * widest < n
        ]
        if name == "nested":  # a / within two terms at once is not what is meant
            shapes = [s for s in shapes if "{0}" not in s and "||" not in s]
        shape = draw(st.sampled_from(shapes))
        pieces.append(shape.format("g/k" if name == "nested" else name))
        for f in factors:
            for of, diagonal in SHAPES[shape]:
                T = random_template(draw, rng, len(of), diagonal)
                Z = np.column_stack([columns[c] for c in of])
                terms.append(Term(f, labels[f], of, Z, diagonal, T))

    fixed = draw(st.lists(st.sampled_from(list(columns)), max_size=4, unique=True))
    fixed = sorted(fixed, key=list(columns).index)
    written = ["1" if c == "Intercept" else c for c in fixed]
    if "Intercept" not in fixed:
        written.insert(0, "0")
    return Problem(
        formula=f"y ~ {' + '.join(written + pieces)}",
        frame=frame,
        X=np.column_stack([np.empty((n, 0)), *(columns[c] for c in fixed)]),
        terms=tuple(terms),
        weights=rng.uniform(0.3, 3.0, n) if draw(st.booleans()) else None,
        offset=rng.normal(scale=5.0, size=n) if draw(st.booleans()) else None,
        by_formula=draw(st.booleans()),
        reml=draw(st.booleans()),
        nested=names == ["nested"],
    )


@dataclass(frozen=True)
class Dense:
    """What the dense density says at theta."""

    value: float
    beta: np.ndarray
    sigma2: float
    vcov: np.ndarray
    modes: np.ndarray
    covariance: np.ndarray
    logdet_L: float
    logdet_RX: float


def dense(problem, terms):
    """The criterion and the estimates by a dense multivariate-normal density."""
    y = problem.frame["y"].to_numpy()
    y = y if problem.offset is None else y - problem.offset
    w = np.ones(len(y)) if problem.weights is None else problem.weights
    X, (n, p) = problem.X, problem.X.shape
    Z = np.hstack([t.expanded for t in terms])
    Lambda = np.zeros((Z.shape[1], Z.shape[1]))
    start = 0
    for t in terms:
        stop = start + len(t.Lambda)
        Lambda[start:stop, start:stop] = t.Lambda
        start = stop
    ZL = Z @ Lambda
    V = np.diag(1.0 / w) + ZL @ ZL.T
    Vi = np.linalg.inv(V)
    XVX = X.T @ Vi @ X
    beta = np.linalg.solve(XVX, X.T @ Vi @ y)
    r = y - X @ beta
    df = n - p if problem.reml else n
    r2 = r @ Vi @ r
    logdet_RX = np.linalg.slogdet(XVX)[1]
    value = np.linalg.slogdet(V)[1] + df * (1.0 + np.log(2.0 * np.pi * r2 / df))
    M = ZL.T @ (w[:, None] * ZL) + np.eye(len(Lambda))
    return Dense(
        value=value + (logdet_RX if problem.reml else 0.0),
        beta=beta,
        sigma2=r2 / df,
        vcov=np.linalg.inv(XVX) * r2 / df,
        modes=Lambda @ ZL.T @ Vi @ r,
        covariance=Lambda @ np.linalg.solve(M, Lambda.T) * r2 / df,
        logdet_L=np.linalg.slogdet(M)[1],
        logdet_RX=logdet_RX,
    )


def close(actual, desired):
    """Agreement relative to the largest entry."""
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape
    size = np.abs(desired).max(initial=1.0)
    np.testing.assert_allclose(actual, desired, rtol=0, atol=TOLERANCE * size)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(problem=problems())
def test_criterion(problem):
    model = problem.model()
    terms = problem.in_order_of(model)
    theta = np.concatenate([t.theta for t in terms])
    expected = dense(problem, terms).value
    close(model.criterion(theta, reml=problem.reml), expected)
    for solver in SOLVERS + ["nested"] * problem.nested:
        close(model.likelihood(solver).value(theta, problem.reml), expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problem=problems(), solver=st.sampled_from(SOLVERS))
def test_estimates_at_theta(problem, solver):
    model = problem.model()
    solver = "nested" if problem.nested else solver
    terms = problem.in_order_of(model)
    theta = np.concatenate([t.theta for t in terms])
    expected = dense(problem, terms)
    likelihood = model.likelihood(solver)
    solution = solve_at(likelihood, theta, problem.reml)
    close(solution.value, expected.value)
    close(solution.beta, expected.beta)
    close(solution.sigma2, expected.sigma2)
    close(solution.sigma2 * solution.vcov_unscaled, expected.vcov)
    close(np.concatenate([b.ravel() for b in solution.b]), expected.modes)
    close(solution.logdet_L, expected.logdet_L)
    close(solution.logdet_RX, expected.logdet_RX)
    penalty = sum((u * u).sum() for u in solution.u)
    close(solution.ussq, penalty)
    for t, u, b in zip(terms, solution.u, solution.b, strict=True):
        close(u @ t.T.T, b)

    where = {}  # columns of the dense covariance, term by term
    start = 0
    for k, t in enumerate(terms):
        size = len(t.levels) * len(t.columns)
        where[k] = np.arange(start, start + size).reshape(len(t.levels), -1)
        start += size
    covariances = conditional_covariances(likelihood, solution)
    assert len(covariances) == len({t.name for t in terms})
    for block, covariance in zip(likelihood.blocks, covariances, strict=True):
        of_level = np.hstack([where[k] for k in block.terms])
        close(covariance, [expected.covariance[np.ix_(i, i)] for i in of_level])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problem=problems())
def test_log_likelihood_is_a_density(problem):
    """The deviance at theta is -2 log of the normal density at the profiled beta."""
    model = problem.model()
    terms = problem.in_order_of(model)
    theta = np.concatenate([t.theta for t in terms])
    y = problem.frame["y"].to_numpy()
    mean = 0.0 if problem.offset is None else problem.offset
    solution = solve_at(model.likelihood(), theta, reml=False)
    ZL = np.hstack([t.expanded @ t.Lambda for t in terms])
    w = 1.0 if problem.weights is None else problem.weights
    V = solution.sigma2 * (np.diag(np.ones(len(y)) / w) + ZL @ ZL.T)
    r = y - mean - problem.X @ solution.beta
    minus_two_log = len(y) * np.log(2 * np.pi) + np.linalg.slogdet(V)[1]
    close(model.criterion(theta, reml=False), minus_two_log + r @ np.linalg.solve(V, r))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", ["(1 | {})", "diag(x | {})", "(x | {})"])
def test_zeros_that_move_about(solver, shape):
    """A solver that keeps a symbolic analysis must not keep it for another pattern.

    Two trailing factors of the same sizes: S has as many entries when the first
    vanishes as when the second does, in other places.
    """
    rng = np.random.default_rng(3)
    rows = np.stack(np.meshgrid(range(7), range(4), range(4)), -1).reshape(-1, 3)
    names = ["g", "h", "k"]
    frame = pd.DataFrame(rows[rng.permutation(len(rows))[:80]], columns=names)
    frame["x"], frame["y"] = rng.normal(size=(2, len(frame)))
    X = np.column_stack([np.ones(len(frame)), frame["x"]])
    columns, diagonal = SHAPES[shape][0]
    Z = X[:, : len(columns)]
    formula = "y ~ x + " + " + ".join(shape.format(f) for f in names)
    model = sml.lmer(formula, frame)
    likelihood = model.likelihood(solver)
    for on in product([1.0, 0.0], repeat=len(names) * len(columns)):
        terms = [
            Term(name, frame[name].to_numpy(), columns, Z, diagonal, np.diag(part))
            for name, part in zip(
                names, 1.3 * np.reshape(on, (len(names), -1)), strict=True
            )
        ]
        problem = Problem(formula, frame, X, tuple(terms), None, None, True, True)
        terms = problem.in_order_of(model)
        theta = np.concatenate([t.theta for t in terms])
        close(likelihood.value(theta, reml=True), dense(problem, terms).value)
