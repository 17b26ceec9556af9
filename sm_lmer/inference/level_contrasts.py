"""Coefficients of contrasts among levels, as emmeans' contrast functions have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..core.terms import FloatArray

METHODS = {
    "pairwise": "tukey",
    "revpairwise": "tukey",
    "trt.vs.ctrl": "dunnettx",
    "trt.vs.ctrlk": "dunnettx",
    "eff": "fdr",
    "del.eff": "fdr",
    "consec": "mvt",
    "mean_chg": "mvt",
    "poly": "none",
    "identity": "none",
}
"""The methods, each with the adjustment it comes with."""

ALIASES = {"dunnett": "trt.vs.ctrl", "trt.vs.ctrl1": "trt.vs.ctrl", "tukey": "pairwise"}

DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


class Coefficients(NamedTuple):
    """Contrasts of k levels: coefficients (m, k), their names and adjustment."""

    C: FloatArray
    names: list[str]
    adjust: str
    pairwise: bool


def coefficients(
    method: Any, levels: Sequence[str], ref: Any = None, reverse: bool = False
) -> Coefficients:
    """The contrasts of a method among levels.

    Parameters
    ----------
    method : str, mapping or array_like
        One of :data:`METHODS`; or coefficients of one's own: a mapping of names to
        rows of k numbers, or such rows.
    levels : sequence of str
        Labels of the k levels.
    ref : str or int, optional
        For "trt.vs.ctrl" the control: a label, or a position from 0.
    reverse : bool
        Whether differences are taken the other way round.

    Raises
    ------
    ValueError
        For an unknown method or control, or rows of another length.
    """
    if not isinstance(method, str):
        return _custom(method, levels)
    name = ALIASES.get(method, method)
    if name not in METHODS:
        raise ValueError(
            f"unknown contrast method {method!r}; choose one of {', '.join(METHODS)}, "
            "or give coefficients."
        )
    if name == "trt.vs.ctrlk" and ref is None:
        ref = len(levels) - 1
    if name == "revpairwise" or (name == "pairwise" and reverse):
        C, names = _pairs(levels, reversed_=True)
    elif name == "pairwise":
        C, names = _pairs(levels)
    elif name.startswith("trt.vs.ctrl"):
        C, names = _against(levels, _position(ref, levels), reverse)
    elif name == "consec":
        C, names = _consecutive(levels, reverse)
    elif name == "mean_chg":
        C, names = _mean_changes(levels, reverse)
    elif name == "poly":
        C, names = _polynomials(len(levels))
    else:
        C, names = _effects(levels, name)
    return Coefficients(C, names, METHODS[name], name.endswith("pairwise"))


def _pairs(
    levels: Sequence[str], reversed_: bool = False
) -> tuple[FloatArray, list[str]]:
    k = len(levels)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    if reversed_:
        pairs = [(i, j) for i in range(k) for j in range(i)]
    C = np.zeros((len(pairs), k))
    for row, (i, j) in zip(C, pairs, strict=True):
        row[i], row[j] = 1.0, -1.0
    return C, [f"{levels[i]} - {levels[j]}" for i, j in pairs]


def _position(ref: Any, levels: Sequence[str]) -> int:
    if ref is None:
        return 0
    if str(ref) in levels:
        return levels.index(str(ref))
    if isinstance(ref, (int, np.integer)) and -len(levels) <= ref < len(levels):
        return int(ref) % len(levels)
    raise ValueError(f"ref {ref!r} is none of the levels {', '.join(levels)}.")


def _against(
    levels: Sequence[str], ref: int, reverse: bool
) -> tuple[FloatArray, list[str]]:
    others = [i for i in range(len(levels)) if i != ref]
    C = np.eye(len(levels))[others]
    C[:, ref] = -1.0
    if reverse:
        return -C, [f"{levels[ref]} - {levels[i]}" for i in others]
    return C, [f"{levels[i]} - {levels[ref]}" for i in others]


def _consecutive(levels: Sequence[str], reverse: bool) -> tuple[FloatArray, list[str]]:
    C = np.diff(np.eye(len(levels)), axis=0)
    steps = list(pairwise(levels))
    if reverse:
        return -C, [f"{a} - {b}" for a, b in steps]
    return C, [f"{b} - {a}" for a, b in steps]


def _mean_changes(levels: Sequence[str], reverse: bool) -> tuple[FloatArray, list[str]]:
    k = len(levels)
    C = np.array(
        [[-1.0 / i] * i + [1.0 / (k - i)] * (k - i) for i in range(1, k)]
    ).reshape(k - 1, k)
    names = [f"{a}|{b}" for a, b in pairwise(levels)]
    return (-C if reverse else C), names


def _effects(levels: Sequence[str], name: str) -> tuple[FloatArray, list[str]]:
    k = len(levels)
    if name == "identity":
        return np.eye(k), list(levels)
    C = np.eye(k) - 1.0 / k
    if name == "del.eff" and k > 1:
        C = C * (k / (k - 1.0))
    return C, [f"{level} effect" for level in levels]


def _polynomials(k: int) -> tuple[FloatArray, list[str]]:
    """Orthogonal polynomials in the order of the levels, as small whole numbers."""
    degree = min(len(DEGREES), k - 1)
    x = np.arange(k) - (k - 1) / 2.0
    Q, R = np.linalg.qr(np.vander(x, degree + 1, increasing=True))
    C = (Q * np.sign(np.diag(R))).T[1:]
    for row in C:
        row /= row[row > 0.01].min()
        while (gap := np.abs(row - np.round(row)).max()) > 0.05:
            row /= gap
    return np.round(C) + 0.0, list(DEGREES[:degree])


def _custom(method: Any, levels: Sequence[str]) -> Coefficients:
    if isinstance(method, Mapping):
        names, rows = [str(name) for name in method], list(method.values())
    else:
        rows = list(np.atleast_2d(np.asarray(method, dtype=np.float64)))
        names = [f"C{i + 1}" for i in range(len(rows))]
    for name, row in zip(names, rows, strict=True):
        if np.shape(row) != (len(levels),):
            raise ValueError(
                f"contrast {name!r} has {np.size(row)} coefficients, but there are "
                f"{len(levels)} levels ({', '.join(levels)})."
            )
    C = np.array(rows, dtype=np.float64).reshape(len(names), len(levels))
    if not names or not np.isfinite(C).all():
        raise ValueError("the coefficients of contrasts must be finite numbers.")
    return Coefficients(C, names, "none", False)
