"""CHOLMOD through scikit-sparse 0.4 or 0.5, whose interfaces differ."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]

try:
    from sksparse import cholmod as _cholmod
except ImportError:
    _cholmod = None

HAS_CHOLMOD = _cholmod is not None


class Cholesky(Protocol):
    """A factorisation whose symbolic analysis serves many matrices of one pattern."""

    def refactor(self, S: sparse.csc_array) -> None:
        """Factor another matrix of the same pattern."""

    def logdet(self) -> float:
        """log|S|."""

    def solve(self, R: FloatArray) -> FloatArray:
        """S^-1 R."""


class _Cholmod04:
    """scikit-sparse 0.4: ``analyze`` and ``Factor``."""

    def __init__(self, S: sparse.csc_array) -> None:
        self._factor = _cholmod.analyze(_long(S), mode="auto")

    def refactor(self, S: sparse.csc_array) -> None:
        self._factor.cholesky_inplace(_long(S))

    def logdet(self) -> float:
        return float(self._factor.logdet())

    def solve(self, R: FloatArray) -> FloatArray:
        solution: FloatArray = self._factor(R)
        return solution


def _long(S: sparse.csc_array) -> sparse.csc_matrix:
    """The matrix with the 64-bit indices that scikit-sparse 0.4 works with."""
    matrix = sparse.csc_matrix(S)
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


class _Cholmod05:
    """scikit-sparse 0.5: ``CholeskyFactor``, in the manner of SciPy."""

    def __init__(self, S: sparse.csc_array) -> None:
        self._factor: Any = _cholmod.CholeskyFactor(S, lower=True)

    def refactor(self, S: sparse.csc_array) -> None:
        self._factor.factorize(S)

    def logdet(self) -> float:
        return float(self._factor.logdet())

    def solve(self, R: FloatArray) -> FloatArray:
        solution: FloatArray = np.asarray(self._factor.solve(R))
        return solution


def analyze(S: sparse.csc_array) -> Cholesky:
    """Symbolic analysis of a symmetric sparse matrix.

    Raises
    ------
    ImportError
        If scikit-sparse is not installed; the message names the extra.
    """
    if _cholmod is None:
        raise ImportError(
            "the CHOLMOD solver needs scikit-sparse: "
            "install it with pip install 'sm_lmer[cholmod]', or use solver='superlu'."
        )
    if hasattr(_cholmod, "CholeskyFactor"):
        return _Cholmod05(S)
    return _Cholmod04(S)


def not_positive_definite() -> tuple[type[Exception], ...]:
    """The exceptions by which CHOLMOD says that a matrix is not positive definite."""
    if _cholmod is None:
        return ()
    return (_cholmod.CholmodNotPositiveDefiniteError,)
