"""Marks of significance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Stars = bool | Mapping[str, float] | Sequence[float]
"""What ``stars=`` takes."""

USUAL = {"+": 0.1, "*": 0.05, "**": 0.01, "***": 0.001}
"""R modelsummary's four levels."""


def levels(stars: Stars) -> dict[str, float]:
    """Marks with the p-values below which they stand, the largest first.

    Parameters
    ----------
    stars : bool, mapping or sequence of float
        True for R's four levels; a mapping from marks to p-values; or p-values, which
        get one star, two stars, ...

    Examples
    --------
    >>> levels([0.05, 0.01])
    {'*': 0.05, '**': 0.01}
    """
    if isinstance(stars, bool):
        return dict(USUAL) if stars else {}
    if not isinstance(stars, Mapping):
        if isinstance(stars, (str, float, int)):
            raise TypeError(
                f"stars is {stars!r}; use True, cutoffs such as [0.05, 0.01], or a "
                "mapping from marks to cutoffs."
            )
        ordered = sorted(stars, reverse=True)
        stars = {"*" * (k + 1): cutoff for k, cutoff in enumerate(ordered)}
    for mark, cutoff in stars.items():
        if not 0 < cutoff <= 1:
            raise ValueError(
                f"the cutoff of stars {mark!r} is {cutoff}, not in (0, 1]."
            )
    return dict(sorted(stars.items(), key=lambda item: -item[1]))


def mark(p_value: float, cutoffs: Mapping[str, float]) -> str:
    """The mark of the smallest cutoff that the p-value is below."""
    found = ""
    for symbol, cutoff in cutoffs.items():
        if p_value < cutoff:
            found = symbol
    return found


def note(cutoffs: Mapping[str, float]) -> str:
    """The line that explains the marks."""
    return ", ".join(f"{symbol} p < {cutoff:g}" for symbol, cutoff in cutoffs.items())
