"""The functions that formulas may use without import, R's names among them.

`poly` and `scale` are stateful: they remember the data they were fitted on, so that
predictions use the training data's polynomials and means. Both speak the protocols
of patsy and of formulaic, so a formula means the same under either engine:

- patsy has no ``poly``; formulaic's agrees with this one.
- R's and formulaic's ``scale`` divide by the standard deviation with n - 1, patsy's
  by that with n. Formulas of this package mean R's. ``standardize`` (n) and ``center``
  are the engines' own, and agree.
- ``C``, ``I``, ``Q``, ``bs``, ``cr``, ``cc`` are the engines' own too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FUNCTIONS", "Poly", "Scale", "evaluation_namespace"]

_Array: TypeAlias = NDArray[np.float64]


class _Transform(Protocol):
    """patsy's protocol for stateful transforms; an instance serves one variable."""

    def memorize_chunk(self, x: ArrayLike, *args: Any, **kwargs: Any) -> None: ...

    def memorize_finish(self) -> None: ...

    def transform(self, x: ArrayLike, *args: Any, **kwargs: Any) -> _Array: ...


class _Stateful:
    """A function of formulas that fits a transform at first use and then keeps it.

    patsy looks for ``__patsy_stateful_transform__`` and makes its own instances;
    formulaic looks for ``__is_stateful_transform__`` and passes ``_state``. Called by
    hand, the function fits its argument anew.
    """

    __is_stateful_transform__ = True

    def __init__(self, transform: Callable[[], _Transform]) -> None:
        self.__patsy_stateful_transform__ = transform
        self.__doc__ = transform.__doc__

    def get_required_variables(self, *args: Any, **kwargs: Any) -> tuple[()]:
        """Formulaic asks for variables that are not in the text; there are none."""
        return ()

    def __call__(
        self,
        x: ArrayLike,
        *args: Any,
        _state: MutableMapping[str, Any] | None = None,
        _metadata: Any = None,
        _spec: Any = None,
        _context: Any = None,
        **kwargs: Any,
    ) -> _Array:
        state = {} if _state is None else _state
        if "transform" not in state:
            transform = self.__patsy_stateful_transform__()
            transform.memorize_chunk(x, *args, **kwargs)
            transform.memorize_finish()
            state["transform"] = transform
        fitted: _Transform = state["transform"]
        return fitted.transform(x, *args, **kwargs)


def _vector(x: ArrayLike, function: str) -> _Array:
    """The argument of a function as floats, missing values as nan."""
    to_numpy = getattr(x, "to_numpy", None)  # pandas' nullable dtypes hold pd.NA
    values = to_numpy(float, na_value=np.nan) if to_numpy else np.asarray(x, float)
    if values.ndim != 1:
        raise ValueError(f"{function}() takes one variable, not {values.ndim}-d data.")
    result: _Array = values
    return result


class Poly:
    """R's ``poly(x, degree=1, raw=False)``: orthonormal polynomials of a variable.

    The polynomials p_k are orthogonal over the training data by the three-term
    recurrence (Kennedy and Gentle 1980, pp. 343-344), with x centred,

        p_{k+1}(x) = (x - alpha_k) p_k(x) - (norm2_k / norm2_{k-1}) p_{k-1}(x),

    and column k is p_k / sqrt(norm2_k), norm2_k = sum p_k^2. With `raw` the columns are
    x, x^2, ... Missing values give missing rows.

    Raises
    ------
    ValueError
        If the degree is below 1 or not below the number of distinct values.

    Examples
    --------
    >>> FUNCTIONS["poly"]([1.0, 2.0, 3.0], 2).round(4)
    array([[-0.7071,  0.4082],
           [ 0.    , -0.8165],
           [ 0.7071,  0.4082]])
    """

    def __init__(self) -> None:
        self.chunks: list[_Array] = []
        self.degree = 0
        self.center = 0.0
        self.alpha: list[float] = []
        self.norm2: list[float] = []

    def memorize_chunk(self, x: ArrayLike, degree: int = 1, raw: bool = False) -> None:
        """Take in some rows of the training data."""
        if degree < 1:
            raise ValueError(f"poly() needs a degree of at least 1, not {degree}.")
        values = _vector(x, "poly")
        self.chunks.append(values[~np.isnan(values)])
        self.degree = 0 if raw else degree

    def memorize_finish(self) -> None:
        """Compute the coefficients alpha and norm2 from all of the training data."""
        x = np.concatenate(self.chunks)
        self.chunks = []
        n_distinct = len(np.unique(x))
        if self.degree >= max(n_distinct, 1):
            raise ValueError(
                f"poly() of degree {self.degree} needs more than {self.degree} "
                f"distinct values, and there are {n_distinct}."
            )
        if self.degree:
            self._orthogonalise(x)

    def _orthogonalise(self, x: _Array) -> None:
        self.center = float(x.mean())
        x = x - self.center
        before, p = np.zeros_like(x), np.ones_like(x)
        self.norm2 = [float(p @ p)]
        for k in range(self.degree):
            self.alpha.append(float(x @ p**2) / self.norm2[k])
            before, p = p, self._next(k, x, p, before)
            self.norm2.append(float(p @ p))

    def _next(self, k: int, x: _Array, p: _Array, before: _Array) -> _Array:
        """p_{k+1} from p_k and p_{k-1}, at centred x."""
        ratio = self.norm2[k] / self.norm2[k - 1] if k else 0.0
        return (x - self.alpha[k]) * p - ratio * before

    def transform(self, x: ArrayLike, degree: int = 1, raw: bool = False) -> _Array:
        """The columns, shape (n, degree), at these or at new data."""
        values = _vector(x, "poly")
        if raw:
            powers: _Array = values[:, None] ** np.arange(1, degree + 1)
            return powers
        values = values - self.center
        columns = [np.zeros_like(values), np.ones_like(values)]
        for k in range(degree):
            columns.append(self._next(k, values, columns[-1], columns[-2]))
        result: _Array = np.column_stack(columns[2:]) / np.sqrt(self.norm2[1:])
        return result


class Scale:
    """R's ``scale(x, center=True, scale=True)`` of one variable.

    `center` is True for the mean, False for none, or a number to subtract. `scale` is
    True for the root mean square with n - 1 of what that leaves (the standard deviation
    if centred by the mean), False for none, or a number to divide by.

    Examples
    --------
    >>> FUNCTIONS["scale"]([1.0, 2.0, 3.0])
    array([-1.,  0.,  1.])
    """

    def __init__(self) -> None:
        self.chunks: list[_Array] = []
        self.options: tuple[bool | float, bool | float] = (True, True)
        self.center = 0.0
        self.divisor = 1.0

    def memorize_chunk(
        self, x: ArrayLike, center: bool | float = True, scale: bool | float = True
    ) -> None:
        """Take in some rows of the training data."""
        values = _vector(x, "scale")
        self.chunks.append(values[~np.isnan(values)])
        self.options = (center, scale)

    def memorize_finish(self) -> None:
        """Compute what to subtract and to divide by from all of the training data."""
        x = np.concatenate(self.chunks)
        self.chunks = []
        center, scale = self.options
        self.center = float(x.mean()) if center is True else float(center)
        if scale is True:
            x = x - self.center
            self.divisor = float(np.sqrt(x @ x / max(len(x) - 1, 1)))
        elif scale is not False:
            self.divisor = float(scale)

    def transform(
        self, x: ArrayLike, center: bool | float = True, scale: bool | float = True
    ) -> _Array:
        """The scaled variable, at these or at new data."""
        return (_vector(x, "scale") - self.center) / self.divisor


FUNCTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "np": np,
        "abs": np.abs,
        "ceil": np.ceil,
        "ceiling": np.ceil,
        "cos": np.cos,
        "exp": np.exp,
        "expm1": np.expm1,
        "floor": np.floor,
        "log": np.log,
        "log10": np.log10,
        "log1p": np.log1p,
        "log2": np.log2,
        "poly": _Stateful(Poly),
        "scale": _Stateful(Scale),
        "sin": np.sin,
        "sqrt": np.sqrt,
        "tan": np.tan,
    }
)
"""Read-only: name -> function, and ``np`` -> NumPy."""


def evaluation_namespace(caller: Mapping[str, Any] | None) -> dict[str, Any]:
    """The names a formula is evaluated in: `FUNCTIONS`, overlaid by the caller's.

    Examples
    --------
    >>> names = evaluation_namespace({"log": abs, "k": 3})
    >>> names["log"] is abs, names["k"], "poly" in names
    (True, 3, True)
    """
    return {**FUNCTIONS, **(caller or {})}
