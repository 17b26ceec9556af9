"""The blocks in which a sparse symmetric matrix is factored, found from its pattern.

Columns that follow each other in a fill-reducing order are eliminated together: w
columns and the s rows below that they touch, which all columns of the block share.
The rows below go to the block of the first of them, its parent in the elimination
tree (Liu 1992, SIAM Review 34). The structure is found once for a pattern, and tells
what a factorisation costs before the first number is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import minimum_spanning_tree

FloatArray = NDArray[np.float64]
Index = NDArray[Any]

TYPICAL_WIDTH = 32
"""Columns of a block that is worth its costs."""

RUNS = 4000
"""The search for blocks begins with single nodes, or at most so many runs of them."""

SECONDS_A_BLOCK = 1.5e-4
SECONDS_A_MULTIPLICATION = 3.3e-11
SECONDS_AN_UPDATE = 2e-8
"""Costs of a block, a multiplication and an entry of an update on one core.

The second follows from timings of LAPACK; the others are rough.

They are for a factorisation with the selected inverse, and set how far blocks are
merged: some zeros more are cheaper than one block more.
"""


def seconds(w: float, s: float) -> float:
    """Estimated time to factor and invert a block of w columns and s rows below."""
    multiplications = w**3 + 3.0 * w * s * (w + s)
    return (
        SECONDS_A_BLOCK
        + SECONDS_A_MULTIPLICATION * multiplications
        + SECONDS_AN_UPDATE * s * s
    )


@dataclass(frozen=True, eq=False)
class Block:
    """Columns that are eliminated together.

    Attributes
    ----------
    first, w, s : int
        First column, number of columns, number of rows below.
    below : ndarray of int, shape (s,)
        The rows below, sorted.
    parent : int
        Number of the block that takes the update of these rows; -1 for a root.
    split : int
        How many of them are among the parent's columns.
    inner, outer : ndarray of int or slice
        Where these are among the parent's columns, and the others among its rows
        below.
    start : int
        Where the block's panels begin in the array of all.
    """

    first: int
    w: int
    s: int
    below: Index
    parent: int
    split: int
    inner: Index | slice
    outer: Index | slice
    start: int

    @property
    def columns(self) -> slice:
        """The block's columns."""
        return slice(self.first, self.first + self.w)

    def panels(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Views of the panels: the columns' square (w, w), the rows below (s, w)."""
        w, s, middle = self.w, self.s, self.start + self.w**2
        square = values[self.start : middle].reshape((w, w), order="F")
        return square, values[middle : middle + s * w].reshape((s, w), order="F")


class Structure:
    """The blocks of a factor, for a matrix of small blocks, the nodes.

    Parameters
    ----------
    order : ndarray of int, shape (nodes,)
        Nodes in the order of elimination.
    rows, columns : ndarray of int, shape (e,)
        Pairs of nodes that meet, each in one direction at least.
    widths : ndarray of int, shape (nodes,)
        Columns of each node.

    Attributes
    ----------
    size : int
        Columns of the matrix.
    place : ndarray of int, shape (nodes,)
        First column of each node in the order of elimination.
    blocks : list of Block
        Each comes before its parent.
    entries : int
        Entries of all panels together.
    seconds : float
        Estimated time of a factorisation with the selected inverse.
    """

    def __init__(
        self, order: Index, rows: Index, columns: Index, widths: Index
    ) -> None:
        order = _postordered(order, rows, columns)
        position = _inverse(order)
        edges = np.sort(np.stack([position[rows], position[columns]]), axis=0)
        found = _with_parents(_Merger(edges, widths[order]).blocks(), widths[order])
        moved = np.concatenate([block.nodes for block in found])
        order = order[moved]
        starts = np.concatenate([[0], np.cumsum(widths[order])])
        self.size = int(starts[-1])
        self.place = starts[_inverse(order)]
        self.seconds = sum(block.seconds for block in found)
        self.blocks = _linked(found, _inverse(moved), widths[order], starts)
        self.entries = sum(block.w * (block.w + block.s) for block in self.blocks)

    @cached_property
    def children(self) -> list[list[int]]:
        """The blocks that each block takes updates from."""
        children: list[list[int]] = [[] for _ in self.blocks]
        for number, block in enumerate(self.blocks):
            if block.parent >= 0:
                children[block.parent].append(number)
        return children

    def updates_at_once(self) -> int:
        """Largest number of entries of updates that are held at a time."""
        held = largest = 0
        for block, children in zip(self.blocks, self.children, strict=True):
            held += block.s**2
            largest = max(largest, held)
            held -= sum(self.blocks[child].s ** 2 for child in children)
        return largest

    def positions(self, rows: Index, columns: Index) -> Index:
        """Where entries (row, column), row >= column, stand in the panels."""
        firsts, w, s, start = (
            np.array([getattr(block, name) for block in self.blocks], dtype=np.int64)
            for name in ("first", "w", "s", "start")
        )
        number = np.searchsorted(firsts, columns, side="right") - 1
        i, j = rows - firsts[number], columns - firsts[number]
        place = start[number] + i + j * w[number]
        below = np.flatnonzero(i >= w[number])
        # (block, row) is a sorted key, as the rows below each block are sorted
        keys = [k * self.size + block.below for k, block in enumerate(self.blocks)]
        begins = np.cumsum(s) - s
        number = number[below]
        row = np.searchsorted(np.concatenate(keys), number * self.size + rows[below])
        row -= begins[number]
        place[below] = start[number] + w[number] ** 2 + row + j[below] * s[number]
        return place


@dataclass(eq=False)
class _Open:
    """A block that may still be merged: its nodes, and those below, sorted."""

    nodes: Index
    below: Index
    w: float
    s: float

    @property
    def seconds(self) -> float:
        """Estimated time for the block."""
        return seconds(self.w, self.s)


class _Merger:
    """Finds the rows below each column, and merges neighbours where it pays.

    Parameters
    ----------
    edges : ndarray of int, shape (2, e)
        Pairs of nodes in the order of elimination, the earlier one first.
    widths : ndarray of int, shape (nodes,)
    """

    def __init__(self, edges: Index, widths: Index) -> None:
        self.widths = widths
        self.starts = np.concatenate([[0], np.cumsum(widths)]).tolist()
        by_first = np.argsort(edges[0], kind="stable")
        self.later = edges[1][by_first]
        counts = np.bincount(edges[0], minlength=len(widths))
        self.begins = np.concatenate([[0], np.cumsum(counts)]).tolist()
        self.marked = np.zeros(len(widths), dtype=bool)

    def blocks(self) -> list[_Open]:
        """The blocks, each before its parent."""
        nodes = len(self.widths)
        run = 1 + (nodes - 1) // RUNS
        waiting: dict[int, list[_Open]] = {}
        done: list[_Open] = []
        first = 0
        while first < nodes:
            stop = min(first + run, nodes)
            reached = [self.later[self.begins[first] : self.begins[stop]]]
            reached += [child.below for child in waiting.pop(first // run, [])]
            below = self._united(reached, stop)
            if len(below) == nodes - stop:  # all that is left has filled up
                stop, below = nodes, below[:0]
            block = self._open(first, stop, below)
            while done:
                merged = self._merged(done[-1], block)
                if not _neighbours_pay(merged, done[-1], block):
                    break
                before = done.pop()
                if len(before.below) and before.below[0] >= stop:
                    waiting[before.below[0] // run].remove(before)
                block = merged
            done.append(block)
            if len(block.below):
                waiting.setdefault(int(block.below[0]) // run, []).append(block)
            first = stop
        return done

    def _united(self, sets: list[Index], stop: int) -> Index:
        """The nodes in any of the sets from `stop` on, sorted."""
        together = np.concatenate(sets) if len(sets) > 1 else sets[0]
        self.marked[together] = True
        found = np.flatnonzero(self.marked[stop:]) + stop
        self.marked[together] = False
        return found

    def _open(self, first: int, stop: int, below: Index) -> _Open:
        w, s = self.starts[stop] - self.starts[first], int(self.widths[below].sum())
        return _Open(np.arange(first, stop), below, w, s)

    def _merged(self, before: _Open, block: _Open) -> _Open:
        first, stop = int(before.nodes[0]), int(block.nodes[-1]) + 1
        below = before.below[np.searchsorted(before.below, stop) :]
        self.marked[block.below] = True
        others = below[~self.marked[below]]
        self.marked[block.below] = False
        below = block.below
        if len(others):
            below = np.sort(np.concatenate([below, others]))
        return self._open(first, stop, below)


def _neighbours_pay(merged: _Open, before: _Open, block: _Open) -> bool:
    """Whether merging two neighbours saves more than the zeros that it brings cost.

    Narrow blocks would find others to merge with, so they save their share only.
    """
    narrow = min(before.w, block.w)
    saved = SECONDS_A_BLOCK * min(1.0, narrow / TYPICAL_WIDTH)
    extra = merged.seconds - before.seconds - block.seconds + SECONDS_A_BLOCK
    return extra <= saved


def _with_parents(blocks: list[_Open], widths: Index) -> list[_Open]:
    """Merge blocks with their parents where that pays.

    A block's rows below are all in its parent or below it, so the merged block has the
    parent's rows below.
    """
    owner = np.repeat(np.arange(len(blocks)), [len(block.nodes) for block in blocks])
    pieces: list[list[Index]] = [[block.nodes] for block in blocks]
    kept = []
    for number, block in enumerate(blocks):
        if len(block.below):
            above = owner[block.below[0]]
            parent = blocks[above]
            joint = seconds(block.w + parent.w, parent.s)
            if joint <= block.seconds + parent.seconds:
                parent.w += block.w
                pieces[above] = pieces[number] + pieces[above]
                continue
        kept.append(number)
    return [
        _Open(np.concatenate(pieces[k]), blocks[k].below, blocks[k].w, blocks[k].s)
        for k in kept
    ]


def _postordered(order: Index, rows: Index, columns: Index) -> Index:
    """The same elimination tree with each node right after its descendants.

    Of its children the one with most descendants comes last: next to it, and likely to
    be merged with it.

    The tree depends on which nodes are connected among the first k alone, for every
    k, and so does the minimum spanning tree for the weights max(i, j): it has the
    same elimination tree, and few edges.
    """
    nodes = len(order)
    position = _inverse(order)
    i, j = position[rows], position[columns]
    low, high = np.minimum(i, j), np.maximum(i, j)
    # the largest of equal entries would be summed, so equal edges are left out
    edges = np.unique((high * nodes + low)[low < high])
    high, low = np.divmod(edges, nodes)
    graph = sparse.csr_array((high + 1.0, (low, high)), shape=(nodes, nodes))
    tree = minimum_spanning_tree(graph).tocoo()
    by_later = np.argsort(tree.col, kind="stable")
    parent, highest = [-1] * nodes, list(range(nodes))
    for k, top in zip(
        tree.row[by_later].tolist(), tree.col[by_later].tolist(), strict=True
    ):
        path = []
        while highest[k] != k:  # up to the root of what is connected so far
            path.append(k)
            k = highest[k]
        for step in path:
            highest[step] = top
        parent[k] = highest[k] = top
    size = [1] * nodes
    for k, above in enumerate(parent):
        if above >= 0:
            size[above] += size[k]
    children: list[list[int]] = [[] for _ in range(nodes)]
    stack: list[int] = []
    for k in sorted(range(nodes), key=size.__getitem__):
        (children[parent[k]] if parent[k] >= 0 else stack).append(k)
    reverse = []
    while stack:
        k = stack.pop()
        reverse.append(k)
        stack.extend(children[k])
    return order[np.array(reverse[::-1], dtype=np.int64)]


def _linked(
    found: list[_Open], position: Index, widths: Index, starts: Index
) -> list[Block]:
    """The blocks with their rows below, and where these are in the parent.

    `position` takes nodes as they were numbered in the search to their final order,
    to which `widths` and `starts` refer.
    """
    counts = [len(block.nodes) for block in found]
    owner = np.repeat(np.arange(len(found)), counts)
    firsts = starts[np.cumsum([0, *counts])]
    nodes = [np.sort(position[block.below]) for block in found]
    below = [_columns_of(rows, widths, starts) for rows in nodes]
    blocks, start = [], 0
    for number, rows in enumerate(below):
        first, s = int(firsts[number]), len(rows)
        w = int(firsts[number + 1]) - first
        parent, split = -1, 0
        inner: Index | slice = slice(0, 0)
        outer: Index | slice = slice(0, 0)
        if s:
            parent = int(owner[nodes[number][0]])
            split = int(np.searchsorted(rows, firsts[parent + 1]))
            inner = _run(rows[:split] - firsts[parent])
            outer = _run(np.searchsorted(below[parent], rows[split:]))
        blocks.append(Block(first, w, s, rows, parent, split, inner, outer, start))
        start += w * (w + s)
    return blocks


def _inverse(order: Index) -> Index:
    """Where each number stands in a permutation."""
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    return position


def _columns_of(nodes: Index, widths: Index, starts: Index) -> Index:
    """All columns of some nodes."""
    w = widths[nodes]
    within = np.arange(w.sum()) - np.repeat(np.cumsum(w) - w, w)
    return np.repeat(starts[nodes], w) + within


def _run(index: Index) -> Index | slice:
    """The index as a slice if it has no gaps."""
    if len(index) == 0:
        return slice(0, 0)
    if index[-1] - index[0] == len(index) - 1:
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
