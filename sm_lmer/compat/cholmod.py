"""CHOLMOD's fill-reducing ordering through scikit-sparse 0.4 or 0.5.

The two versions have different interfaces. Only the ordering is taken from them: the
numbers are factored block by block with LAPACK (:mod:`sm_lmer.linalg.multifrontal`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

try:
    from sksparse import cholmod as _cholmod
except ImportError:
    _cholmod = None

HAS_CHOLMOD = _cholmod is not None


def ordering(S: sparse.csc_array) -> NDArray[Any]:
    """Order of elimination of a symmetric sparse matrix, by its pattern alone.

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
        return _ordering05(S)
    return _ordering04(S)


def _ordering04(S: sparse.csc_array) -> NDArray[Any]:
    """scikit-sparse 0.4: ``analyze``, which works with 64-bit indices."""
    matrix = sparse.csc_matrix(S)
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    factor = _cholmod.analyze(matrix, mode="auto", ordering_method="amd")
    return np.asarray(factor.P())


def _ordering05(S: sparse.csc_array) -> NDArray[Any]:
    """scikit-sparse 0.5: ``CholeskyFactor``, which keeps the given order by default."""
    factor = _cholmod.CholeskyFactor(S, lower=True, order="amd")
    return np.asarray(factor.get_perm())
