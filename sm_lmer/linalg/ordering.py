"""Fill-reducing orderings of a symmetric sparse pattern, from CHOLMOD or SuperLU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spilu

from ..compat import cholmod

Index = NDArray[Any]


def ordering(rows: Index, columns: Index, size: int, name: str) -> Index:
    """Order of elimination of the nodes of a graph, by minimum degree.

    Parameters
    ----------
    rows, columns : ndarray of int, shape (e,)
        The edges; each in either direction or both.
    size : int
        Number of nodes.
    name : {"cholmod", "superlu"}

    Returns
    -------
    ndarray of int, shape (size,)
        Nodes in the order of elimination.

    Raises
    ------
    ImportError
        If scikit-sparse is asked for but not installed.
    """
    S = _dominant(rows, columns, size)
    if name == "cholmod":
        return cholmod.ordering(S)
    return _minimum_degree(S)


def _dominant(rows: Index, columns: Index, size: int) -> sparse.csc_array:
    """A matrix with the pattern of the graph, nearly the identity."""
    edges = sparse.coo_array(
        (np.full(len(rows), 1e-9), (rows, columns)), shape=(size, size)
    ).tocsc()
    S = sparse.csc_array(edges + edges.T + sparse.eye_array(size))
    S.sort_indices()
    return S


def _minimum_degree(S: sparse.csc_array) -> Index:
    """SuperLU's minimum degree, with what meets nearly all others set last.

    SciPy hands out the ordering only with a factor. An incomplete one that drops all
    entries off the diagonal costs next to nothing.
    """
    degrees = np.diff(S.indptr)
    last = degrees > 16 + 10.0 * np.sqrt(len(degrees))
    others = np.flatnonzero(~last)
    if len(others) == 0:
        return np.arange(len(degrees))
    factor = spilu(
        sparse.csc_array(S[others][:, others]) if last.any() else S,
        drop_tol=1e-3,
        fill_factor=1.0,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    first = others[np.argsort(factor.perm_c)]
    return np.concatenate([first, np.flatnonzero(last)])
