"""Warnings of this package; errors are Python's and statsmodels' own."""

from __future__ import annotations


class SingularFitWarning(UserWarning):
    """The estimate is on the boundary: some combination of random effects has no
    variance."""


class DroppedColumnsWarning(UserWarning):
    """Columns of the fixed part depend on earlier ones and were left out."""
