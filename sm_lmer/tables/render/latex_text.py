"""Plain text in Unicode as LaTeX: specials escaped, mathematical signs as macros."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from .symbols import MINUS, printable

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "#": r"\#",
    "$": r"\$",
    "%": r"\%",
    "&": r"\&",
    "_": r"\_",
    "~": r"$\sim$",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "`": r"\textasciigrave{}",
    "-": "-{}",
    "'": "'{}",
    ",": ",{}",
    "\N{REPLACEMENT CHARACTER}": "?",
}

_SCRIPTS = {
    **{sign: f"^{k}" for k, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{sign: f"_{k}" for k, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}

_SMALL = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lamda mu nu xi pi rho "
    "sigma tau upsilon phi chi psi omega"
)
_CAPITAL = "gamma delta theta lamda xi pi sigma phi psi omega"
_MACROS = {"epsilon": "varepsilon", "phi": "varphi", "lamda": "lambda"}


def _greek() -> dict[str, str]:
    """Letters with their macros; capitals that look Latin have none."""
    small = {
        unicodedata.lookup(f"greek small letter {name}"): _MACROS.get(name, name)
        for name in _SMALL.split()
    }
    capital = {
        unicodedata.lookup(f"greek capital letter {name}"): (
            "Lambda" if name == "lamda" else name.title()
        )
        for name in _CAPITAL.split()
    }
    return {letter: f"\\{name} " for letter, name in (small | capital).items()}


_RELATIONS = {
    MINUS: "-",
    "\N{MULTIPLICATION SIGN}": r"\times ",
    "·": r"\cdot ",
    "±": r"\pm ",
    "≤": r"\leq ",
    "≥": r"\geq ",
    "≠": r"\neq ",
    "≈": r"\approx ",
    "∞": r"\infty ",
    "→": r"\to ",
}

_SIGNS = _RELATIONS | _greek()
_MATHS = "".join([*_SCRIPTS, *_SIGNS, "√"])
_SPECIAL = re.compile(
    rf"([-',])(?=\1)|[\\{{}}#$%&_~^<>|\"`\ufffd]|[{re.escape(_MATHS)}]+"
)
_RUN = re.compile(
    f"([⁰¹²³⁴⁵⁶⁷⁸⁹]+)|([₀₁₂₃₄₅₆₇₈₉]+)|(√[^√{re.escape(''.join(_RELATIONS))}]*)|(.)"
)


def _maths(run: str) -> str:
    """A run of mathematical signs, without the dollars around it."""
    out = []
    for above, below, root, sign in _RUN.findall(run):
        if above or below:
            digits = "".join(_SCRIPTS[letter][1] for letter in above or below)
            out.append(f"{'^' if above else '_'}{{{digits}}}")
        elif root:
            out.append(rf"\sqrt{{{_maths(root[1:])}}}")
        else:
            out.append(_SIGNS[sign])
    return re.sub(r" (?=[_^}]|$)", "", "".join(out))


def _escaped(match: re.Match[str]) -> str:
    text = match.group()
    if text in _ESCAPES:  # a hyphen, quote or comma here has another behind it
        return _ESCAPES[text]
    return f"${_maths(text)}$"


@lru_cache(maxsize=4096)
def latex_text(text: str) -> str:
    r"""Text that LaTeX sets as it stands.

    Parameters
    ----------
    text : str
        Any string. Letters that pdfLaTeX's fonts lack (Japanese, say) stay as they
        are: XeLaTeX and LuaLaTeX set them.

    Examples
    --------
    >>> print(latex_text("τ₀₀ a_b"), latex_text(r"\input{x}"), latex_text("R²"))
    $\tau_{00}$ a\_b \textbackslash{}input\{x\} R$^{2}$
    """
    text = printable(text).replace("\n", " ")
    return _SPECIAL.sub(_escaped, unicodedata.normalize("NFC", text))


def at_line_start(text: str) -> str:
    r"""LaTeX that a command before it cannot take for its argument.

    Examples
    --------
    >>> print(at_line_start("[x]"), at_line_start("* p"), at_line_start("x"))
    {[}x] {*} p x
    """
    return f"{{{text[0]}}}{text[1:]}" if text[:1] in ("[", "*") else text


__all__ = ["at_line_start", "latex_text"]
