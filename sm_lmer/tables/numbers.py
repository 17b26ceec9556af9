"""How numbers become text: decimals, significant digits, p-values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Format = int | str | Callable[[float], str]
"""Decimals, a format such as ".2f" or "%.2f", or a function."""

Formats = Format | Mapping[str, Any] | None
"""One format, or several by column, statistic or term; None for full precision."""

_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def fmt_decimal(digits: int = 3) -> Callable[[float], str]:
    """A fixed number of decimals.

    Examples
    --------
    >>> fmt_decimal(2)(-0.001)
    '0.00'
    """

    def shown(value: float) -> str:
        return _without_negative_zero(f"{value:.{digits}f}")

    return shown


def fmt_significant(digits: int = 3) -> Callable[[float], str]:
    """A number of significant digits, without an exponent where that is short.

    Examples
    --------
    >>> [fmt_significant(3)(x) for x in (1234.6, 0.012345, 2.0)]
    ['1235', '0.0123', '2.00']
    """

    def shown(value: float) -> str:
        if value == 0:
            return f"{0:.{digits - 1}f}"
        magnitude = math.floor(math.log10(abs(value)))
        if not -5 <= magnitude < 15:
            return f"{value:.{digits - 1}e}"
        return f"{value:.{max(digits - 1 - magnitude, 0)}f}"

    return shown


def fmt_sci(digits: int = 3) -> Callable[[float], str]:
    """Scientific notation.

    Examples
    --------
    >>> fmt_sci(2)(12345)
    '1.23e+04'
    """

    def shown(value: float) -> str:
        return f"{value:.{digits}e}"

    return shown


def fmt_p(digits: int = 3, style: str = "plain") -> Callable[[float], str]:
    """A p-value, with "<" below the smallest that the digits can show.

    Parameters
    ----------
    digits : int
    style : {"plain", "apa"}
        "apa" leaves out the zero before the point.

    Examples
    --------
    >>> fmt_p()(0.0004), fmt_p(style="apa")(0.0421)
    ('<0.001', '.042')
    """
    if style not in ("plain", "apa"):
        raise ValueError(f"unknown style {style!r} of fmt_p; use 'plain' or 'apa'.")

    def shown(value: float) -> str:
        least = 10.0**-digits
        text = f"<{least:.{digits}f}" if value < least else f"{value:.{digits}f}"
        return text.replace("0.", ".", 1) if style == "apa" and value < 1 else text

    return shown


def formatter(fmt: Format | None) -> Callable[[float], str]:
    """The function that a format stands for.

    Raises
    ------
    TypeError, ValueError
        If it is no format.
    """
    if fmt is None:
        return repr
    if isinstance(fmt, bool) or not (isinstance(fmt, int | str) or callable(fmt)):
        raise TypeError(
            f"fmt is a number of decimals, a format such as '.2f' or a function, "
            f"not {fmt!r}."
        )
    if isinstance(fmt, int):
        if fmt < 0:
            raise ValueError(f"fmt is {fmt}; the number of decimals is 0 or more.")
        return fmt_decimal(fmt)
    if callable(fmt):
        return fmt
    return _by_specification(fmt)


def _by_specification(spec: str) -> Callable[[float], str]:
    percent = spec.startswith("%")
    own = "{:" + spec.lstrip("%") + "}" if not percent else spec
    try:
        _ = own % 1.5 if percent else own.format(1.5)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{spec!r} is no format of a number ({error}); use one such as '.2f'."
        ) from None

    def shown(value: float) -> str:
        text = own % value if percent else own.format(value)
        return _without_negative_zero(text)

    return shown


def chosen(
    fmt: Formats, column: str, names: tuple[str, ...] = (), default: Format | None = 3
) -> Callable[[float], str]:
    """The format of a value by its column, its term's names, or for all.

    Parameters
    ----------
    fmt : format or mapping
    column : str
        "estimate", "p_value", ..., or the key of a statistic.
    names : tuple of str
        Names of the term; they go before the column.
    default : format
        Where a mapping says nothing.
    """
    own: Any = fmt
    if isinstance(fmt, Mapping):
        own = next((fmt[name] for name in (*names, column) if name in fmt), default)
    if column == "p_value" and isinstance(own, int) and not isinstance(own, bool):
        return fmt_p(own)
    return formatter(own)


def _without_negative_zero(text: str) -> str:
    if text.startswith("-") and not text.strip("-0.,%"):
        return text[1:]
    return text


def split_number(text: str) -> tuple[str, str, str]:
    """What stands before the first number of a text, the number, and the rest.

    Examples
    --------
    >>> split_number("<0.001"), split_number("yes")
    (('<', '0.001', ''), ('yes', '', ''))
    """
    found = _NUMBER.search(text)
    if found is None:
        return text, "", ""
    return text[: found.start()], found.group(), text[found.end() :]
