"""Other covariances of coefficients: matrices, functions that give one, names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ASYMMETRY = 1e-6
"""Relative difference of entries above which a matrix is no covariance."""


def as_matrix(res: Any, vcov: Any, size: int) -> NDArray[np.float64]:
    """The covariance that a matrix, or a function of the results, stands for.

    Parameters
    ----------
    res : object
        What a function is called with.
    vcov : callable or array_like
    size : int
        Number of coefficients.

    Returns
    -------
    ndarray, shape (size, size)

    Raises
    ------
    ValueError
        If it is not a covariance of that many coefficients.
    """
    found = vcov(res) if callable(vcov) else vcov
    try:
        matrix = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "vcov must be a name, a matrix of numbers or a function that gives one, "
            f"not {type(found).__name__}."
        ) from None
    if matrix.shape != (size, size):
        raise ValueError(
            f"vcov has the shape {matrix.shape}, but the model has {size} coefficients."
        )
    scale = np.sqrt(np.abs(np.outer(matrix.diagonal(), matrix.diagonal())))
    if np.any(np.abs(matrix - matrix.T) > ASYMMETRY * scale):
        raise ValueError("vcov is not symmetric, so it is no covariance matrix.")
    if np.any(matrix.diagonal() < 0):
        raise ValueError("vcov has negative variances on its diagonal.")
    return matrix


def std_errors_name(vcov: Any) -> str:
    """What a covariance is called in a table.

    Examples
    --------
    >>> std_errors_name("HC1"), std_errors_name({"cluster": [1, 1, 2]})
    ('HC1', 'cluster')
    >>> std_errors_name(np.eye(2))
    'custom'
    """
    if isinstance(vcov, str):
        return vcov
    if isinstance(vcov, Mapping):
        return ", ".join(map(str, vcov))
    return "custom"


def named_with_groups(vcov: str | Mapping[str, Any]) -> tuple[str, Any]:
    """A covariance's name and its groups, None if there are none.

    Raises
    ------
    ValueError
        If a mapping has several names.
    """
    if isinstance(vcov, str):
        return vcov, None
    if len(vcov) != 1:
        raise ValueError(
            "vcov as a mapping has one name with its groups, as {'cluster': groups}."
        )
    return next(iter(vcov.items()))
