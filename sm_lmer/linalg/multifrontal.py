"""Cholesky factor and selected inverse of a sparse matrix, block by block with LAPACK.

The multifrontal method (Liu 1992, SIAM Review 34): eliminating the columns of a block
leaves an update of the rows below, which is added to what the parent has of them.
Down the same tree come the entries of the inverse on the factor's pattern: with the
rows below numbered 2 and Y = L21 L11^-1,

    Z21 = -Z22 Y        Z11 = L11^-T L11^-1 - Y'Z21

where Z22 is part of what the parent knows (Takahashi, Fagan and Chin 1973; Erisman and
Tinney 1975, CACM 18). All matrices are Fortran-ordered with a valid lower triangle, so
that LAPACK and BLAS work in place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from .structure import Block, Index, Structure

FloatArray = NDArray[np.float64]


class Cholesky:
    """The Cholesky factor of a sparse matrix in the order of elimination.

    Parameters
    ----------
    structure : Structure
    panels : ndarray, shape (structure.entries,)
        The entries of the matrix at ``structure.positions``, zeros elsewhere; they
        are overwritten by the factor's.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite to working precision.
    """

    def __init__(self, structure: Structure, panels: FloatArray) -> None:
        self.structure, self._panels = structure, panels
        self.logdet = 0.0
        updates: list[FloatArray | None] = [None] * len(structure.blocks)
        for number, block in enumerate(structure.blocks):
            square, below = block.panels(panels)
            update = np.zeros((block.s, block.s), order="F")
            for child in structure.children[number]:
                taken = updates[child]
                assert taken is not None
                _add(taken, structure.blocks[child], square, below, update)
                updates[child] = None
            _, info = lapack.dpotrf(square, lower=1, clean=0, overwrite_a=1)
            if info != 0:
                raise np.linalg.LinAlgError(
                    "the trailing matrix is not positive definite"
                )
            self.logdet += 2.0 * float(np.log(square.diagonal()).sum())
            if block.s:
                blas.dtrsm(
                    1.0, square, below, side=1, lower=1, trans_a=1, overwrite_b=1
                )
                updates[number] = blas.dsyrk(
                    -1.0, below, beta=1.0, c=update, lower=1, overwrite_c=1
                )

    def solve(self, R: FloatArray) -> FloatArray:
        """The solution for right-hand sides in the order of elimination, (size, c)."""
        X = R.copy()
        for block in self.structure.blocks:
            square, below = block.panels(self._panels)
            x, _ = lapack.dtrtrs(square, X[block.columns], lower=1)
            X[block.columns] = x
            if block.s:
                X[block.below] -= below @ x
        for block in reversed(self.structure.blocks):
            square, below = block.panels(self._panels)
            x = X[block.columns]
            if block.s:
                x = x - below.T @ X[block.below]
            X[block.columns], _ = lapack.dtrtrs(square, x, lower=1, trans=1)
        return X

    def inverse(self) -> FloatArray:
        """Panels of the inverse: its entries on the factor's pattern."""
        structure = self.structure
        Z = np.empty_like(self._panels)
        among: list[FloatArray | None] = [None] * len(structure.blocks)
        for number in range(len(structure.blocks) - 1, -1, -1):
            block = structure.blocks[number]
            square, below = block.panels(self._panels)
            own, Z21 = block.panels(Z)
            own[:] = lapack.dpotri(square, lower=1)[0]
            if block.s == 0:
                continue
            Z22 = _gathered(block, structure.blocks[block.parent], Z, among)
            Y = blas.dtrsm(1.0, square, below, side=1, lower=1)
            Z21[:] = blas.dsymm(-1.0, Z22, Y, lower=1)
            blas.dgemm(-1.0, Y, Z21, beta=1.0, c=own, trans_a=1, overwrite_c=1)
            if structure.children[number]:
                among[number] = Z22
            if structure.children[block.parent][0] == number:
                among[block.parent] = None  # no other child is still to come
        return Z


def _add(
    taken: FloatArray,
    child: Block,
    square: FloatArray,
    below: FloatArray,
    update: FloatArray,
) -> None:
    """Add a child's update to the parent's panels and to the parent's own update."""
    k, inner, outer = child.split, child.inner, child.outer
    _add_at(square, inner, inner, taken[:k, :k])
    if k < child.s:
        _add_at(below, outer, inner, taken[k:, :k])
        _add_at(update, outer, outer, taken[k:, k:])


def _add_at(
    M: FloatArray, rows: Index | slice, columns: Index | slice, values: FloatArray
) -> None:
    """M[rows, columns] += values, along the columns of Fortran-ordered matrices."""
    if isinstance(rows, slice) or isinstance(columns, slice):
        M.T[columns, rows] += values.T
    else:
        M.T[columns[:, None], rows] += values.T


def _taken_from(
    M: FloatArray, rows: Index | slice, columns: Index | slice
) -> FloatArray:
    """M[rows, columns] of a Fortran-ordered matrix."""
    if isinstance(rows, slice) or isinstance(columns, slice):
        return M.T[columns, rows].T
    return M.T[columns[:, None], rows].T


def _gathered(
    block: Block, parent: Block, Z: FloatArray, among: list[FloatArray | None]
) -> FloatArray:
    """Z22: the inverse among a block's rows below, from what the parent knows."""
    k, inner, outer = block.split, block.inner, block.outer
    own, Z21 = parent.panels(Z)
    out = np.empty((block.s, block.s), order="F")
    out[:k, :k] = _taken_from(own, inner, inner)
    if k < block.s:
        known = among[block.parent]
        assert known is not None
        out[k:, :k] = _taken_from(Z21, outer, inner)
        out[k:, k:] = _taken_from(known, outer, outer)
    return out
