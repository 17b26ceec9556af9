"""What a table says, and how to read it back from LaTeX and Typst."""

import re
import unicodedata

from sm_lmer.tables.render.halving import shown
from sm_lmer.tables.render.latex_text import _SIGNS
from sm_lmer.tables.render.symbols import MINUS


def bare(text):
    """Without spaces; hyphens and minus signs are not told apart."""
    text = unicodedata.normalize("NFC", text).replace(MINUS, "-")
    return re.sub(r"\s+", "", text)


def words(table):
    """Every text of the table, without spaces."""
    said = [table.title, *table.stub, *table.notes]
    said += [span.text for spans in table.headers for span in spans]
    for section in table.sections:
        said.append(section.title)
        for row in section.rows:
            said += [*row.stub, *map(shown, row.cells)]
    return [bare(text) for text in said if text.strip()]


_MACROS = {
    "\\textbackslash{}": "\\",
    "\\textless{}": "<",
    "\\textgreater{}": ">",
    "\\textbar{}": "|",
    "\\textasciicircum{}": "^",
    "\\textasciigrave{}": "`",
    "\\symbol{34}": '"',
    "$\\sim$": "~",
}
_ABOVE = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_BELOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def _maths(text):
    text = re.sub(r"\\sqrt\{(.*)\}", r"√\1", text)
    text = re.sub(r"\^\{(\d+)\}", lambda m: m[1].translate(_ABOVE), text)
    text = re.sub(r"_\{(\d+)\}", lambda m: m[1].translate(_BELOW), text)
    for sign, macro in _SIGNS.items():
        text = text.replace(macro.strip(), sign)
    return text


_TOKEN = re.compile(
    r"(\\textbackslash\{\}|\\text\w+\{\}|\\symbol\{34\}|\$\\sim\$)"
    r"|\\([{}#$%&_])"
    r"|\\phantom\{(?:[^{}]|\{[^{}]*\})*\}"
    r"|\$([^$]*)\$"
    r"|\\(?:llap|rlap|textit)(?=\{)"
    r"|[{}]"
)


def unlatex(source):
    """The texts of a LaTeX source without spaces, one after the other."""

    def plain(match):
        macro, escaped, maths = match.groups()
        if macro:
            return _MACROS[macro]
        if escaped:
            return escaped
        if maths is not None:
            return _maths(maths)
        return ""

    return bare(_TOKEN.sub(plain, source))


_LITERAL = r'"((?:[^"\\]|\\.)*)"'
_STRINGS = re.compile(rf"d\(\d+, {_LITERAL}, {_LITERAL}\)|{_LITERAL}")


def untypst(source):
    """The texts of a Typst source without spaces, one a line; halves are joined."""
    found = ("".join(parts) for parts in _STRINGS.findall(source))
    return "\n".join(bare(re.sub(r"\\(.)", r"\1", text)) for text in found)


def outside_strings(source):
    """What Typst takes for code."""
    return re.sub(_LITERAL, '""', source)
