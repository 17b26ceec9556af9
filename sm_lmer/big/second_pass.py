"""The second pass: cross-products of the scaled columns, added up batch by batch.

:class:`Sums` holds what the likelihood needs of any set of rows, in the scaled columns
of :mod:`sm_lmer.big.scaling`; two of them add up. Their size is that of the levels and
of the pairs of levels that occur together, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from ..core.crossproducts import between, diagonal_blocks
from ..core.terms import FloatArray, GroupingBlock
from .plan import Batch, Plan


@dataclass(eq=False)
class Response:
    """What checks need to know of the response less the offset.

    Attributes
    ----------
    low, high : float
    sum, weighted, squares : float
        Sums of d, w d and w d^2 for the distance d from the sample's mean.
    weight : float
        Sum of the weights.
    """

    low: float = np.inf
    high: float = -np.inf
    sum: float = 0.0
    weighted: float = 0.0
    squares: float = 0.0
    weight: float = 0.0

    def add(self, other: Response) -> None:
        """Take in other rows."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.sum += other.sum
        self.weighted += other.weighted
        self.squares += other.squares
        self.weight += other.weight

    def spread(self, n: int) -> float:
        """Norm of the weighted response about its mean over n rows."""
        mean = self.sum / max(n, 1)
        square = self.squares - 2.0 * mean * self.weighted + mean**2 * self.weight
        return float(np.sqrt(max(square, 0.0)))


@dataclass(eq=False)
class Pairs:
    """A sparse matrix that others are added to, a few at a time.

    What is added waits until it has as many entries as half of the sum, so that the
    work is in proportion to all entries together, and the memory to the sum.
    """

    total: sparse.csr_array
    waiting: list[sparse.csr_array] = field(default_factory=list)

    def add(self, part: sparse.csr_array) -> None:
        """Take in a part."""
        self.waiting.append(part)
        if sum(p.nnz for p in self.waiting) > self.total.nnz // 2:
            self.sum()

    def sum(self) -> sparse.csr_array:
        """The sum of all parts."""
        while len(self.waiting) > 1:  # as a tree, smallest first
            self.waiting.sort(key=lambda p: -p.nnz)
            self.waiting.append(self.waiting.pop() + self.waiting.pop())
        if self.waiting:
            part = self.waiting.pop()
            self.total = self.total + part if self.total.nnz else part
        return self.total


@dataclass(eq=False)
class Sums:
    """Sums over rows, in scaled columns W of X, U of Z, and the residual r.

    Attributes
    ----------
    n_data, n : int
        Rows read, and rows used.
    lost : dict
        Rows left out as something evaluated was not a number.
    diagonals : list of ndarray, shape (levels, q, q)
        U'wU by level, one a grouping block.
    sums : list of ndarray, shape (levels * q, p + 1)
        U'w[W r].
    pairs : dict of Pairs
        U_j'wU_k of two blocks, (levels_j * q_j, levels_k * q_k), j < k.
    C : ndarray, shape (p + 1, p + 1)
        [W r]'w[W r].
    column_sums : ndarray, shape (p,)
        1'W.
    gram : ndarray, shape (p, p), or None
        W'W, where there are weights.
    seen : list of ndarray of bool
        Levels that have rows.
    log_weights : float
    response : Response
    """

    n_data: int
    n: int
    lost: dict[str, int]
    diagonals: list[FloatArray]
    sums: list[FloatArray]
    pairs: dict[tuple[int, int], Pairs]
    C: FloatArray
    column_sums: FloatArray
    gram: FloatArray | None
    seen: list[NDArray[np.bool_]]
    log_weights: float
    response: Response

    def add(self, other: Sums) -> Sums:
        """Take in the sums over other rows; returns itself."""
        self.n_data += other.n_data
        self.n += other.n
        for name, count in other.lost.items():
            self.lost[name] = self.lost.get(name, 0) + count
        for mine, more in zip(self.diagonals, other.diagonals, strict=True):
            mine += more
        for mine, more in zip(self.sums, other.sums, strict=True):
            mine += more
        for key, pairs in other.pairs.items():
            self.pairs[key].add(pairs.sum())
        self.C += other.C
        self.column_sums += other.column_sums
        if self.gram is not None and other.gram is not None:
            self.gram += other.gram
        for known, met in zip(self.seen, other.seen, strict=True):
            known |= met
        self.log_weights += other.log_weights
        self.response.add(other.response)
        return self


def empty_sums(plan: Plan, blocks: Sequence[GroupingBlock]) -> Sums:
    """The sums over no rows."""
    p = len(plan.names)
    return Sums(
        n_data=0,
        n=0,
        lost={},
        diagonals=[np.zeros((b.n_levels, b.q, b.q)) for b in blocks],
        sums=[np.zeros((b.size, p + 1)) for b in blocks],
        pairs={
            (j, k): Pairs(sparse.csr_array((blocks[j].size, blocks[k].size)))
            for j, k in combinations(range(len(blocks)), 2)
        },
        C=np.zeros((p + 1, p + 1)),
        column_sums=np.zeros(p),
        gram=None if plan.request.weights is None else np.zeros((p, p)),
        seen=[np.zeros(b.n_levels, dtype=bool) for b in blocks],
        log_weights=0.0,
        response=Response(),
    )


@dataclass(frozen=True, eq=False)
class Summing:
    """The second pass over a batch; it can be sent to another process."""

    plan: Plan
    blocks: list[GroupingBlock]
    keys: list[tuple[str, ...]]

    def __call__(self, frame: pd.DataFrame) -> Sums:
        """The sums over the rows of a batch."""
        batch = self.plan.batch(frame)
        sums = empty_sums(self.plan, self.blocks)
        sums.n_data = len(frame)
        if batch is not None:
            sums.lost = batch.lost
            if len(batch.y):
                self._add(sums, batch)
        return sums

    def _add(self, sums: Sums, batch: Batch) -> None:
        plan = self.plan
        w = batch.weights
        root = None if w is None else np.sqrt(w)
        W = plan.scaling.columns(batch.X)
        r = plan.scaling.residual(W, batch.y)
        sums.n = len(r)
        sums.column_sums = W.sum(axis=0)
        centred = batch.y - plan.scaling.level
        total = centred if w is None else w * centred
        sums.response = Response(
            float(batch.y.min()),
            float(batch.y.max()),
            float(centred.sum()),
            float(total.sum()),
            float(total @ centred),
            float(len(r) if w is None else w.sum()),
        )
        WR = np.column_stack([W, r])
        if root is not None and w is not None:
            sums.gram = W.T @ W
            sums.log_weights = float(np.log(w).sum())
            WR *= root[:, None]
        sums.C = WR.T @ WR
        own = []
        for k, (block, key) in enumerate(zip(self.blocks, self.keys, strict=True)):
            Z = self._columns(block, batch, root)
            block = with_codes(block, batch.codes[key])
            own.append((block, Z))
            sums.seen[k][block.codes] = True
            sums.diagonals[k] = diagonal_blocks(block, Z)
            sums.sums[k] = _sums(block, Z, WR, self._ones(block) and root is None)
        for j, k in combinations(range(len(own)), 2):
            sums.pairs[j, k] = Pairs(between(*own[j], *own[k]))

    def _ones(self, block: GroupingBlock) -> bool:
        """Whether the block is an intercept alone."""
        hows = self.plan.design.term_designs
        return block.q == 1 and hows[block.terms[0]].specification is None

    def _columns(
        self, block: GroupingBlock, batch: Batch, root: FloatArray | None
    ) -> FloatArray:
        """Scaled and weighted columns of a block, shape (n, q)."""
        pieces = []
        for k in block.terms:
            Z = batch.Zs[k]
            if Z is None:
                Z = np.ones((len(batch.y), 1))
            else:
                Z = self.plan.term_scalings[k].columns(Z)
            pieces.append(Z)
        columns = pieces[0] if len(pieces) == 1 else np.hstack(pieces)
        return columns if root is None else columns * root[:, None]


def with_codes(block: GroupingBlock, codes: NDArray[np.integer]) -> GroupingBlock:
    """A block whose rows are others."""
    return GroupingBlock(
        codes,
        block.n_levels,
        block.terms,
        block.q,
        block.starts,
        block.rows,
        block.cols,
        block.index,
    )


def _sums(
    block: GroupingBlock, Z: FloatArray, WR: FloatArray, ones: bool
) -> FloatArray:
    """Z'[W r], shape (levels * q, p + 1)."""
    sums = np.empty((block.n_levels, block.q, WR.shape[1]))
    for c in range(WR.shape[1]):
        column = np.ascontiguousarray(WR[:, c])
        for r in range(block.q):
            values = column if ones else Z[:, r] * column
            sums[:, r, c] = np.bincount(block.codes, values, block.n_levels)
    return sums.reshape(block.size, -1)
