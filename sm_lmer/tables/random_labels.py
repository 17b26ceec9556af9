"""What variances, standard deviations and correlations are called in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

LABELS = ("lme4", "greek", "texreg", "broom")
"""What ``re_labels=`` takes besides a function of the row."""

RESIDUAL = "Residual"
"""The group of the residual in a tidy frame."""

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def random_label(
    row: Mapping[str, str],
    style: str | Callable[[Mapping[str, str]], str],
    numbers: Mapping[tuple[str, str], int],
) -> str:
    """The label of a row of the random part.

    Parameters
    ----------
    row : mapping
        ``group``, ``type`` ("sd", "var", "cor", "cov"), ``term`` and ``term2``.
    style : {"lme4", "greek", "texreg", "broom"} or callable
        Labels of modelsummary, of sjPlot, of texreg, of broom; or a function.
    numbers : mapping
        Position of each (group, term), from 0, for the subscripts of "greek".

    Examples
    --------
    >>> row = {"group": "id", "type": "sd", "term": "ses", "term2": ""}
    >>> for style in LABELS:
    ...     print(random_label(row, style, {("id", "ses"): 1}))
    SD (ses id)
    √τ₁₁ id.ses
    SD: id ses
    sd__ses id
    """
    if callable(style):
        return style(row)
    try:
        named = {"lme4": _lme4, "texreg": _texreg, "broom": _broom}[style]
    except KeyError:
        if style == "greek":
            return _greek(row, numbers)
        raise ValueError(
            f"unknown re_labels {style!r}; choose one of {', '.join(LABELS)} or pass a "
            "function of the row."
        ) from None
    return named(row)


_SYMBOLS = {"sd": "√τ", "var": "τ", "cov": "τ", "cor": "ρ"}  # noqa: RUF001

_SHORT = {"sd": "SD", "var": "Var", "cor": "Cor", "cov": "Cov"}


def _lme4(row: Mapping[str, str]) -> str:
    kind = _SHORT.get(row["type"], row["type"])
    if row["group"] == RESIDUAL:
        return f"{kind} (Observations)"
    terms = row["term"] + (f"~{row['term2']}" if row["term2"] else "")
    return f"{kind} ({terms} {row['group']})"


def _texreg(row: Mapping[str, str]) -> str:
    kind = _SHORT.get(row["type"], row["type"])
    if row["group"] == RESIDUAL:
        return f"{kind}: Residual"
    terms = row["term"] + (f" {row['term2']}" if row["term2"] else "")
    return f"{kind}: {row['group']} {terms}"


def _broom(row: Mapping[str, str]) -> str:
    if row["group"] == RESIDUAL:
        return f"{row['type']}__Observation"
    terms = row["term"] + (f".{row['term2']}" if row["term2"] else "")
    return f"{row['type']}__{terms} {row['group']}"


def _greek(row: Mapping[str, str], numbers: Mapping[tuple[str, str], int]) -> str:
    kind = row["type"]
    if row["group"] == RESIDUAL:
        return "σ" if kind == "sd" else "σ²"  # noqa: RUF001
    first = numbers.get((row["group"], row["term"]), 0)
    second = numbers.get((row["group"], row["term2"]), first)
    low, high = sorted((first, second))
    index = f"{low}{high}".translate(_SUBSCRIPTS)
    symbol = _SYMBOLS.get(kind, kind)
    slopes = [t for t in (row["term"], row["term2"]) if t not in ("", "Intercept")]
    return f"{symbol}{index} {'.'.join([row['group'], '~'.join(slopes)]).strip('.')}"
