"""A linear mixed model's likelihood: conditioned data behind the user's theta.

:class:`Likelihood` holds everything that does not depend on theta. Optimisation runs
in *inner* coordinates, the templates of the whitened columns of Z; users see *theta*,
the templates of their own columns. With Z* = Z A, a template T of Z is the template
A^-1 T of Z*, so both evaluate through the same criterion, and going from inner to
user coordinates is one QR factorisation a term: A V T* = T O' with O orthogonal. The
rotation V of the whitened columns is free; near a singular estimate the search turns
it to the principal axes, where the vanishing direction is a coordinate of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve

from ..linalg import Krylov, Layout, make_solver
from ..linalg.nested import parents
from .conditioning import (
    Basis,
    FixedPart,
    condition_block,
    orthonormal_basis,
    project,
)
from .criterion import Criterion, Evaluation
from .crossproducts import CrossProducts, accumulate, with_response
from .terms import (
    FloatArray,
    GroupingBlock,
    RandomTerm,
    grouping_blocks,
    lme4_order,
    template,
    theta_parts,
)


class _Stencil(NamedTuple):
    """Step, and the weight of f(x + j h) - f(x - j h) for each j."""

    step: float
    weights: tuple[tuple[int, float], ...]


CENTRAL = _Stencil(1e-4, ((1, 1 / 2),))
FIVE_POINT = _Stencil(2e-3, ((1, 2 / 3), (2, -1 / 12)))


@dataclass(frozen=True)
class LikelihoodData:
    """The data of a model as arrays without missing values.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Response less the offset.
    X : ndarray, shape (n, p)
    terms : tuple of RandomTerm
    weights : ndarray, shape (n,), or None
        Precision weights: the residual variance of row i is sigma^2 / w_i.
    basis : Basis, optional
        Orthonormal basis of the unweighted X, where it is known already.
    """

    y: FloatArray
    X: FloatArray
    terms: tuple[RandomTerm, ...]
    weights: FloatArray | None = None
    basis: Basis | None = None


@dataclass(frozen=True, eq=False)
class LikelihoodStatistics:
    """What a likelihood needs of its data: sums over rows, and no rows.

    Attributes
    ----------
    terms : tuple of RandomTerm
        In lme4's order; their factors may have no rows.
    blocks : sequence of GroupingBlock
        In the order of elimination. Their codes are of any rows by which the factors
        nest if they nest in the data.
    As : sequence of ndarray, shape (q, q)
        Change of the columns of each block, ``Z* = Z A``.
    fixed : FixedPart
    cross : CrossProducts
        Of the changed, weighted columns.
    log_weights : float
        Sum of log w.
    """

    terms: tuple[RandomTerm, ...]
    blocks: Sequence[GroupingBlock]
    As: Sequence[FloatArray]
    fixed: FixedPart
    cross: CrossProducts
    log_weights: float = 0.0


class Likelihood:
    """Everything about the likelihood that does not depend on theta.

    Parameters
    ----------
    data : LikelihoodData
    solver : str or Krylov
        Solver for the trailing grouping factors, see :mod:`sm_lmer.linalg`.

    Attributes
    ----------
    terms : tuple of RandomTerm
        In lme4's order, which is also theta's.
    blocks : list of GroupingBlock
        In the order of elimination.
    """

    def __init__(self, data: LikelihoodData, solver: str | Krylov = "auto") -> None:
        self.data = data
        self.terms = tuple(data.terms[k] for k in lme4_order(data.terms))
        self.blocks = _elimination_order(grouping_blocks(self.terms))
        self.n, self.k_theta = len(data.y), sum(t.n_theta for t in self.terms)
        w = data.weights
        self.sqrt_weights = None if w is None else np.sqrt(w)
        self.log_weights = 0.0 if w is None else float(np.log(w).sum())
        conditioned = [
            condition_block(block, list(self.terms), self.sqrt_weights)
            for block in self.blocks
        ]
        self.Zs = [Z for Z, _ in conditioned]
        self.As = [A for _, A in conditioned]
        self.rotations = [np.eye(block.q) for block in self.blocks]
        basis = None if data.weights is not None else data.basis
        if basis is None:
            basis = orthonormal_basis(data.X, self.sqrt_weights)
        self.fixed: FixedPart = project(basis, data.X, data.y, self.sqrt_weights)
        QY = np.column_stack([self.fixed.basis.Q, self.fixed.residual])
        self.cross = accumulate(self.blocks, self.Zs, QY)
        self._choose(solver)

    @classmethod
    def from_statistics(
        cls, statistics: LikelihoodStatistics, solver: str | Krylov = "auto"
    ) -> Likelihood:
        """The likelihood of data of which only the statistics are known.

        It has no rows: :attr:`data`, :attr:`Zs` and the columns of the basis are
        empty, and there is no likelihood of another response.
        """
        self = cls.__new__(cls)
        terms, fixed = statistics.terms, statistics.fixed
        self.data = LikelihoodData(np.zeros(0), fixed.basis.Q, terms)
        self.terms, self.blocks = terms, list(statistics.blocks)
        self.n = statistics.cross.n
        self.k_theta = sum(term.n_theta for term in terms)
        self.sqrt_weights, self.log_weights = None, statistics.log_weights
        self.Zs = [np.zeros((0, block.q)) for block in self.blocks]
        self.As = list(statistics.As)
        self.rotations = [np.eye(block.q) for block in self.blocks]
        self.fixed, self.cross = fixed, statistics.cross
        self._choose(solver)
        return self

    def _choose(self, solver: str | Krylov) -> None:
        """Set up the solver and the criterion."""
        self.layout = Layout([(b.n_levels, b.q) for b in self.blocks[1:]])
        codes = [block.codes for block in self.blocks]
        self.solver = make_solver(solver, self.cross, self.layout, codes)
        self.criterion = Criterion(self.cross, self.solver)

    def squares(self, j: int) -> FloatArray:
        """Z'Z of a block's conditioned columns, summed over its levels: (q, q)."""
        if j == 0:
            return np.asarray(self.cross.A11.sum(axis=0))
        rows, _, q = self.layout.parts[j - 1]
        own = self.cross.A22[rows, rows].tocoo()
        within = own.row // q == own.col // q
        found = np.zeros((q, q))
        at = own.row[within] % q, own.col[within] % q
        np.add.at(found, at, own.data[within])
        return found

    def rotated(self, rotations: Sequence[FloatArray]) -> Likelihood:
        """The same likelihood with other rotations V of the inner coordinates."""
        other = copy.copy(self)
        other.rotations = list(rotations)
        return other

    def on_principal_axes(self, inner: FloatArray) -> tuple[Likelihood, FloatArray]:
        """Inner coordinates along the principal axes of the estimate, and it there."""
        rotations, moved = [], np.empty(self.k_theta)
        for block, V in zip(self.blocks, self.rotations, strict=True):
            T = template(block, inner)
            V_new, T_new = V.copy(), T.copy()
            for k, start in zip(block.terms, block.starts, strict=True):
                term, part = self.terms[k], slice(start, start + self.terms[k].q)
                if term.q == 1 or term.diagonal:
                    continue
                axes, lengths, _ = np.linalg.svd(T[part, part])
                V_new[part, part] = V[part, part] @ axes
                T_new[part, part] = np.diag(lengths)
            rotations.append(V_new)
            moved[block.index] = T_new[block.rows, block.cols]
        return self.rotated(rotations), moved

    def with_response(self, y: FloatArray) -> Likelihood:
        """The likelihood of another response on the same design."""
        other = copy.copy(self)
        other.data = replace(self.data, y=y)
        other.fixed = project(self.fixed.basis, self.data.X, y, self.sqrt_weights)
        other.cross = with_response(
            self.cross, self.blocks, self.Zs, self.fixed.basis.Q, other.fixed.residual
        )
        other.criterion = Criterion(other.cross, self.solver)
        return other

    @cached_property
    def start(self) -> FloatArray:
        """The identity template in inner coordinates."""
        theta = np.zeros(self.k_theta)
        theta[self.diagonal] = 1.0
        return theta

    @cached_property
    def diagonal(self) -> np.ndarray:
        """Which entries of theta stand on the diagonal of their template."""
        positions = [term.positions() for term in self.terms]
        return np.concatenate([rows == cols for rows, cols in positions])

    @cached_property
    def level_counts(self) -> FloatArray:
        """Number of levels behind each entry of theta."""
        return np.concatenate(
            [np.full(t.n_theta, float(t.factor.n_levels)) for t in self.terms]
        )

    @cached_property
    def parts(self) -> list[tuple[RandomTerm, slice]]:
        """The terms and their parts of theta."""
        return theta_parts(self.terms)

    # -- evaluation ------------------------------------------------------------

    def templates(self, theta: FloatArray) -> list[FloatArray]:
        """Inner templates A^-1 T of the blocks for the user's theta."""
        return [
            solve(A, template(block, theta), check_finite=False)
            for block, A in zip(self.blocks, self.As, strict=True)
        ]

    def inner_templates(self, theta: FloatArray) -> list[FloatArray]:
        """Templates V T* of the blocks for inner coordinates."""
        return [
            V @ template(block, theta)
            for block, V in zip(self.blocks, self.rotations, strict=True)
        ]

    def constant(self, reml: bool) -> float:
        """What conditioning and weights add to the criterion."""
        return (2.0 * self.fixed.basis.logdet if reml else 0.0) - self.log_weights

    def evaluate(self, Ts: Sequence[FloatArray], reml: bool) -> Evaluation:
        """Evaluate the criterion at square templates of the conditioned blocks."""
        return self.criterion.evaluate(Ts, reml)

    def value(self, theta: FloatArray, reml: bool, inner: bool = False) -> float:
        """The criterion (-2 log-likelihood, profiled or REML) at theta."""
        Ts = self.inner_templates(theta) if inner else self.templates(theta)
        return self.evaluate(Ts, reml).value + self.constant(reml)

    def gradient(
        self, theta: FloatArray, reml: bool, inner: bool = False
    ) -> FloatArray:
        """Gradient of the criterion, analytic where the solver has one."""
        if inner:
            at = self.evaluate(self.inner_templates(theta), reml)
            return self.gradient_at(theta, at)
        if not self.criterion.has_gradient:
            return self._differences(theta, reml, inner=False)
        at = self.evaluate(self.templates(theta), reml)
        return self._pick(self.criterion.gradient(at), inner=False)

    def gradient_at(self, inner: FloatArray, at: Evaluation) -> FloatArray:
        """Gradient in inner coordinates from the evaluation there."""
        if not self.criterion.has_gradient:
            return self._differences(inner, at.reml, inner=True)
        return self._pick(self.criterion.gradient(at), inner=True)

    @cached_property
    def positions(self) -> list[tuple[int, int, int]]:
        """Block, row and column of each entry of theta."""
        found: dict[int, tuple[int, int, int]] = {}
        for j, block in enumerate(self.blocks):
            for k, r, c in zip(block.index, block.rows, block.cols, strict=True):
                found[int(k)] = (j, int(r), int(c))
        return [found[k] for k in range(self.k_theta)]

    def inner_entries(self, gradients: Sequence[FloatArray]) -> FloatArray:
        """Derivatives in inner coordinates, from those of the blocks' templates."""
        return self._pick(gradients, inner=True)

    def _pick(self, gradients: Sequence[FloatArray], inner: bool) -> FloatArray:
        """Entries of the template derivatives at theta's positions."""
        out = np.empty(self.k_theta)
        bases = self.rotations if inner else self.As
        for block, base, T_hat in zip(self.blocks, bases, gradients, strict=True):
            # T_int = V T* inside, A^-1 T for the user
            full = base.T @ T_hat if inner else solve(base.T, T_hat, check_finite=False)
            out[block.index] = full[block.rows, block.cols]
        return out

    def _differences(self, theta: FloatArray, reml: bool, inner: bool) -> FloatArray:
        """Differences of the criterion, with steps that are alike inside.

        The search takes central ones, whose error moves the optimum by about 1e-9;
        users, whose columns may be badly scaled, get the five-point formula.
        """
        stencil = CENTRAL if inner else FIVE_POINT
        if inner:
            steps = stencil.step * np.maximum(1.0, np.abs(theta))
        else:
            scale = [1.0 / np.linalg.norm(np.linalg.inv(A), axis=0) for A in self.As]
            steps = stencil.step * np.array([scale[j][r] for j, r, _ in self.positions])
        out = np.zeros(len(theta))
        for k, step in enumerate(steps):
            move = np.zeros(len(theta))
            move[k] = step
            for times, weight in stencil.weights:
                above = self.value(theta + times * move, reml, inner)
                below = self.value(theta - times * move, reml, inner)
                out[k] += weight * (above - below) / step
        return out

    # -- between inner and user coordinates ------------------------------------

    def to_user(self, inner: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
        """The user's theta, and the templates A^-1 T of the blocks at it.

        Diagonals of T are made non-negative. The templates are formed by rotating
        T*, which loses no digits where A is ill-conditioned.
        """
        theta, Ts, _ = self.user_coordinates(inner)
        return theta, Ts

    def user_coordinates(
        self, inner: FloatArray
    ) -> tuple[FloatArray, list[FloatArray], list[FloatArray]]:
        """theta, the templates T* O at it, and the rotations O from T* to them."""
        theta = np.empty(self.k_theta)
        Ts, rotations = [], []
        for block, A, T_star in zip(
            self.blocks, self.As, self.inner_templates(inner), strict=True
        ):
            T, rotation = _lower_factor(A @ T_star, block, self.terms)
            theta[block.index] = T[block.rows, block.cols]
            Ts.append(T_star @ rotation)
            rotations.append(rotation)
        return theta, Ts, rotations

    def to_inner(self, theta: FloatArray) -> FloatArray:
        """Inner coordinates of the user's theta."""
        inner = np.empty(self.k_theta)
        for block, V, T in zip(
            self.blocks, self.rotations, self.templates(theta), strict=True
        ):
            T_star, _ = _lower_factor(V.T @ T, block, self.terms)
            inner[block.index] = T_star[block.rows, block.cols]
        return inner


def _elimination_order(blocks: list[GroupingBlock]) -> list[GroupingBlock]:
    """The largest block first, or the finest factor where all are nested."""
    finest_first = sorted(blocks, key=lambda block: -block.n_levels)
    nested = parents(
        [block.codes for block in finest_first],
        [block.n_levels for block in finest_first],
    )
    return blocks if nested is None else finest_first


def _lower_factor(
    B: FloatArray, block: GroupingBlock, terms: Sequence[RandomTerm]
) -> tuple[FloatArray, FloatArray]:
    """B = T O' with T lower triangular within each term, diag(T) >= 0; returns T, O."""
    T = np.zeros_like(B)
    rotation = np.zeros_like(B)
    for k, start in zip(block.terms, block.starts, strict=True):
        part = slice(start, start + terms[k].q)
        if terms[k].diagonal or terms[k].q == 1:
            signs = np.where(B[part, part].diagonal() < 0, -1.0, 1.0)
            T[part, part] = B[part, part] * signs
            rotation[part, part] = np.diag(signs)
            continue
        Q, R = np.linalg.qr(B[part, part].T)
        signs = np.where(R.diagonal() < 0, -1.0, 1.0)
        T[part, part] = np.tril((R * signs[:, None]).T)
        rotation[part, part] = Q * signs
    return T, rotation
