"""Functions of formulas that learn from all rows: ``center(x)`` and its like.

patsy's protocol shows rows to a transform before it is used. Means and standard
deviations add up over batches, so ``center``, ``standardize`` and ``scale`` can learn
in a pass of their own (one more for each level of nesting); splines and polynomials
cannot, as they need all values at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import patsy
from patsy.state import Center, Standardize
from patsy.util import atleast_2d_column_default

from ..compat import statsmodels as compat
from ..core.terms import FloatArray
from ..formula.namespace import Scale
from .first_pass import Request, kept_rows

REFUSED = (
    "{what} needs all rows at once, which a source read batch by batch does not give; "
    "center(), standardize() and scale() work (with patsy), other columns have to be "
    "in the data, or fit a data frame."
)


@dataclass
class Moments:
    """Number, mean and sum of squares about the mean of columns; they add up."""

    n: float = 0.0
    mean: FloatArray | float = 0.0
    M2: FloatArray | float = 0.0

    def add(self, other: Moments) -> Moments:
        """Of both sets of rows (Chan, Golub and LeVeque 1983)."""
        n = self.n + other.n
        if n == 0:
            return self
        delta = np.asarray(other.mean) - self.mean
        mean = self.mean + delta * (other.n / n)
        M2 = self.M2 + other.M2 + delta**2 * (self.n * other.n / n)
        return Moments(n, mean, M2)


@dataclass
class _Listener:
    """Stands for a transform while it learns; keeps the arguments it is called with."""

    moments: Moments
    options: dict[str, Any]
    arguments: tuple[Any, ...] = ()

    def memorize_chunk(self, x: Any, *args: Any, **options: Any) -> None:
        values = np.asarray(atleast_2d_column_default(x), dtype=np.float64)
        if len(values):
            mean = values.mean(axis=0)
            M2 = ((values - mean) ** 2).sum(axis=0)
            self.moments = self.moments.add(Moments(float(len(values)), mean, M2))
        self.arguments, self.options = args, options


Learnt = dict[tuple[int, str], tuple[Moments, tuple[Any, ...], dict[str, Any]]]
"""By factor and name of the transform: moments, and the arguments of the call."""


@dataclass(frozen=True)
class Learning:
    """One pass in which transforms learn.

    Attributes
    ----------
    request : Request
    specifications : tuple of DesignInfo
    number : int
        Which of the passes of patsy's protocol this is.
    """

    request: Request
    specifications: tuple[Any, ...]
    number: int

    def __getstate__(self) -> dict[str, Any]:
        whole = tuple(map(compat.portable, self.specifications))
        return {**self.__dict__, "specifications": whole}

    def __setstate__(self, state: dict[str, Any]) -> None:
        names = state["request"].namespace
        plain = state["specifications"]
        whole = tuple(compat.restored(s, names) for s in plain)
        self.__dict__.update(state, specifications=whole)

    def __call__(self, batch: pd.DataFrame) -> Learnt:
        """What a batch has to say."""
        frame = kept_rows(self.request, batch).frame if len(batch) else batch
        found: Learnt = {}
        if len(frame) == 0:
            return found
        for k, (factor, state) in enumerate(_stateful(self.specifications)):
            for name in _bin(state, self.number):
                listener = _Listener(Moments(), {})
                transforms = {**state["transforms"], name: listener}
                code = state["memorize_code"][name]
                factor._eval(code, {**state, "transforms": transforms}, frame)
                found[k, name] = listener.moments, listener.arguments, listener.options
        return found


def _stateful(specifications: Sequence[Any]) -> list[tuple[Any, dict[str, Any]]]:
    """patsy's factors that hold transforms, and their states."""
    return [
        (factor, info.state)
        for specification in specifications
        if isinstance(specification, patsy.DesignInfo)
        for factor, info in specification.factor_infos.items()
        if info.state.get("transforms")
    ]


def _bin(state: dict[str, Any], number: int) -> Sequence[str]:
    bins = state["pass_bins"]
    return sorted(bins[number]) if number < len(bins) else ()


def added(a: Learnt, b: Learnt) -> Learnt:
    """What two sets of rows have to say together."""
    both = {**a, **b}
    for key in a.keys() & b.keys():
        both[key] = (a[key][0].add(b[key][0]), *b[key][1:])
    return both


def memorised(
    specifications: Sequence[Any],
    request: Request,
    batches: Callable[[Callable[[pd.DataFrame], Learnt], Any], Learnt],
) -> None:
    """Let the transforms of specifications made on a sample learn from all rows.

    Raises
    ------
    ValueError
        For a transform that cannot learn batch by batch.
    """
    for specification in specifications:
        if getattr(specification, "transform_state", None):
            what = next(iter(specification.transform_state))
            raise ValueError(REFUSED.format(what=f"{what} (under formulaic)"))
    factors = _stateful(specifications)
    for factor, state in factors:
        for transform in state["transforms"].values():
            if not isinstance(transform, (Center, Standardize, Scale)):
                raise ValueError(REFUSED.format(what=factor.code))
    passes = max((len(state["pass_bins"]) for _, state in factors), default=0)
    for number in range(passes):
        learnt = batches(Learning(request, tuple(specifications), number), added)
        for (k, name), (moments, args, options) in learnt.items():
            _teach(factors[k][1]["transforms"][name], moments, args, options)


def _teach(
    transform: Any, moments: Moments, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Give a transform what it would have learnt from all rows in memory."""
    n, mean, M2 = moments.n, np.asarray(moments.mean), np.asarray(moments.M2)
    if isinstance(transform, Center):
        transform._sum, transform._count = mean * n, n
    elif isinstance(transform, Standardize):
        transform.current_n, transform.current_mean = n, mean
        transform.current_M2 = M2
    else:
        asked = dict(zip(("center", "scale"), args, strict=False)) | options
        center, scale = asked.get("center", True), asked.get("scale", True)
        transform.center = float(mean[0]) if center is True else float(center)
        if scale is True:
            squares = float(M2[0] + n * (mean[0] - transform.center) ** 2)
            transform.divisor = float(np.sqrt(squares / (n - 1.0)))
        else:
            transform.divisor = float(scale) if scale else 1.0
