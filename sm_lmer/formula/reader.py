"""Read a formula: from its text to a tree.

The text goes through two small steps: `_tokens` cuts it up, and `Reader` builds a tree
of `Node` with R's precedence. What the tree means is for `sm_lmer.formula.grammar`.
Inside a function call the text is Python, not formula, and is only translated name by
name. Whatever cannot be read raises `FormulaError`, with a caret under the place.
"""

from __future__ import annotations

import ast
import json
import keyword
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NoReturn

__all__ = [
    "BARS",
    "ONE_BAR",
    "FormulaError",
    "Node",
    "Reader",
    "plain_text",
    "sole_argument",
    "walk",
]


class FormulaError(ValueError):
    """A formula that cannot be read; the message shows where, with a caret."""


# Python's side: names and expressions ------------------------------------------------

_R_CONSTANTS = {"TRUE": "True", "FALSE": "False", "NULL": "None"}
_IN_EXPRESSIONS = {"and", "or", "not", "in", "is", "if", "else", "for", "lambda"}
_IN_EXPRESSIONS |= {"True", "False", "None"}
_NOT_IN_CALLS = {
    "^": "Python's power is '**', as in I(x**2)",
    "%in%": "write x.isin([...])",
    "||": "write (a) | (b)",
    "&&": "write (a) & (b)",
    ".": "'.' stands for all columns only outside of functions",
}
_QUOTED = re.compile(r"""\bQ\(("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\)""")


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _reference(name: str) -> str:
    """Engine-ready text for a column: its name, or ``Q("name")``."""
    return name if _is_plain(name) else f"Q({json.dumps(name, ensure_ascii=False)})"


def plain_text(text: str) -> str:
    """The text with ``Q("my col")`` shown as ``my col``."""
    return _QUOTED.sub(lambda match: str(ast.literal_eval(match[1])), text)


def sole_argument(text: str, function: str) -> str | None:
    """The argument of ``function(argument)``, None for any other expression."""
    match ast.parse(text, mode="eval").body:
        case ast.Call(func=ast.Name(id=name), args=[only], keywords=[]):
            return ast.get_source_segment(text, only) if name == function else None
    return None


# Tokens ------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
  | (?P<quoted>`[^`]*`)
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>\.*[^\W\d][\w.]*)
  | (?P<op>\|\||\*\*|%in%|[=!<>]=|&&|//|<<|>>|\S)
  | (?P<end>\Z))""",
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    pos: int
    end: int

    def is_op(self, *ops: str) -> bool:
        return self.kind == "op" and self.text in ops


def _fail(message: str, formula: str, pos: int) -> NoReturn:
    """Raise FormulaError with the formula on one line and a caret under `pos`."""
    line = re.sub(r"\s", " ", formula)
    raise FormulaError(f"{message}.\n  {line}\n  {' ' * pos}^")


def _tokens(formula: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(formula):
        kind = match.lastgroup or "end"
        token = _Token(kind, match[kind], match.start(kind), match.end())
        if message := _bad_token(token, formula[token.end :]):
            _fail(message, formula, token.pos)
        yield token
        if kind == "end":
            return


def _bad_token(token: _Token, rest: str) -> str | None:
    text = token.text
    if token.kind == "number" and rest[:1].isidentifier():
        return "a name cannot begin with a digit; put the name in backticks"
    if text == "``":
        return "there is no name between the backticks; remove them"
    if token.is_op("'", '"', "`"):
        return f"unclosed {text} in the formula; add the matching {text}"
    if token.is_op(*"$@#?;!\\") or (token.kind == "op" and not text.isascii()):
        remedy = "name columns alone, and put unusual names in backticks"
        return f"'{text}' has no meaning in a formula; {remedy}"
    return None


# The tree ----------------------------------------------------------------------------

_LEVELS = (("+", "-"), ("*", "/"), ("%in%",), (":",))
BARS = ("|", "||", "diag")
ONE_BAR = "a random term has one bar; write (1 | g) + (1 | h)"
_STRUCTURES = {"cs", "ar1", "zerocorr"}


@dataclass(frozen=True)
class Node:
    """An operator and its operands, or a leaf: atom, number, dot or offset.

    A random term is an operator of `BARS` on its columns and its grouping. Sums have
    any number of operands. `text` is a leaf's text, and the exponent of ``**``.
    """

    op: str
    pos: int
    args: tuple[Node, ...] = ()
    text: str = ""


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in order of appearance."""
    yield node
    for arg in node.args:
        yield from walk(arg)


class Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, formula: str, columns: Collection[str] | None) -> None:
        self.formula = formula
        self.columns = columns
        self.known = frozenset(columns or ())
        self.tokens = list(_tokens(formula))
        self.at = 0

    def fail(self, message: str, pos: int) -> NoReturn:
        _fail(message, self.formula, pos)

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    # Python expressions

    def response(self) -> str:
        """The text before ``~``; arithmetic is wrapped in ``I()``, as R reads it."""
        tilde = self.tilde()
        if tilde is None or tilde is self.next:
            self.fail("the response is missing; write 'response ~ terms'", 0)
        start = self.next.pos
        text = self.python(until=tilde)
        self.take()
        tree = self.check_python(text, start)
        if isinstance(tree, ast.Constant):
            self.fail("the response is a constant; name a column", start)
        if isinstance(tree, (ast.Name, ast.Call, ast.Attribute, ast.Subscript)):
            return ast.get_source_segment(text, tree) or text
        if bar := next((t for t in self.tokens[: self.at] if t.is_op("|")), None):
            self.fail("a random term belongs on the right of '~'; move it", bar.pos)
        return f"I({text})"

    def tilde(self) -> _Token | None:
        """The first ``~`` outside of brackets, or else the first of all."""
        depth, tildes = 0, []
        for token in self.tokens:
            depth += token.is_op(*_CLOSING) - token.is_op(*_CLOSING.values())
            if token.is_op("~"):
                tildes.append((depth > 0, token))
        return min(tildes, key=lambda pair: pair[0], default=(0, None))[1]

    def check_python(self, text: str, pos: int) -> ast.expr:
        try:
            return ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError):  # ValueError: null characters
            what = f"'{plain_text(text)}' is not a Python expression"
            self.fail(f"{what}; inside functions write Python", pos)

    def python(self, until: _Token | None = None) -> str:
        """Translate Python up to `until`, or else one bracket and what it holds."""
        text, brackets = "", list[_Token]()
        while self.next is not until and self.next.kind != "end":
            token = self.take()
            text += self.gap(token) + self.translate(token)
            if token.is_op(*_CLOSING):
                brackets.append(token)
            elif token.is_op(*_CLOSING.values()):
                self.close(brackets, token)
                if until is None and not brackets:
                    break
        if brackets:
            self.fail_unclosed(brackets[-1])
        return text.strip()

    def close(self, brackets: list[_Token], token: _Token) -> None:
        if not brackets:
            self.fail(f"'{token.text}' has no partner; remove it", token.pos)
        if _CLOSING[(bracket := brackets.pop()).text] != token.text:
            self.fail_unclosed(bracket)

    def fail_unclosed(self, bracket: _Token) -> NoReturn:
        remedy = f"add the matching '{_CLOSING[bracket.text]}'"
        self.fail(f"unclosed '{bracket.text}' in the formula; {remedy}", bracket.pos)

    def gap(self, token: _Token) -> str:
        """The space to write before a token of a Python expression."""
        before = self.tokens[self.at - 2]
        tight = before.is_op("(", "[") or token.is_op(")", "]", ",")
        return "" if tight or before.end == token.pos else " "

    def translate(self, token: _Token) -> str:
        """One token inside a function call, in Python's spelling."""
        if token.kind == "quoted":
            return _reference(token.text[1:-1])
        if token.kind == "name":
            return self.name(token, called_in=True)
        if token.kind == "op" and token.text in _NOT_IN_CALLS:
            what = f"'{token.text}' cannot be used in a Python expression"
            self.fail(f"{what}; {_NOT_IN_CALLS[token.text]}", token.pos)
        return token.text

    def name(self, token: _Token, called_in: bool = False) -> str:
        """A name as Python spells it; the longest dotted part that is a column wins."""
        text, called = token.text, self.next.is_op("(")
        if called_in and (self.next.is_op("=") or self.is_attribute(self.at - 1)):
            return text
        if called and text in ("factor", "as.factor"):
            return "C"
        parts = text.split(".")
        for k in range(len(parts) - called, 0, -1):
            if (column := ".".join(parts[:k])) in self.known:
                return ".".join((_reference(column), *parts[k:]))
        if called_in and (text in _R_CONSTANTS or text in _IN_EXPRESSIONS):
            return _R_CONSTANTS.get(text, text)
        if all(map(_is_plain, parts)):
            return text
        if called:
            self.fail(f"'{text}' is not a Python function; use Python's", token.pos)
        return _reference(text)

    def is_attribute(self, at: int) -> bool:
        """Whether token `at` is an attribute of what is written just before it."""
        before, token = self.tokens[at - 1], self.tokens[at]
        has_attributes = before.kind != "op" or before.is_op(")", "]")
        adjacent = before.end == token.pos and has_attributes
        return adjacent and token.kind == "name" and token.text[0] == "."

    # Formula terms

    def right_side(self) -> Node:
        """All of the remaining text as one sum."""
        node = self.binary()
        if self.next.is_op("|", "||"):
            self.fail("a random term needs parentheses; write (1 | g)", self.next.pos)
        if self.next.kind != "end":
            self.fail_unexpected(self.next)
        return node

    def fail_unexpected(self, token: _Token) -> NoReturn:
        text = token.text
        if text == "~":
            self.fail("a formula has one '~'; remove the other", token.pos)
        if token.is_op(*_CLOSING.values()):
            self.fail(f"'{text}' has no partner; remove it", token.pos)
        if token.kind == "op" and text != "(":
            remedy = "put arithmetic in I(), as in I(x > 0)"
            self.fail(f"'{text}' does not join terms; {remedy}", token.pos)
        self.fail(f"an operator is missing before '{text}'; write '+'", token.pos)

    def binary(self, level: int = 0) -> Node:
        """Operands joined by the operators of one level of precedence."""
        if level == len(_LEVELS):
            return self.power()
        node = self.operand(level)
        while self.next.is_op(*_LEVELS[level]):
            op = self.take()
            pair: tuple[Node, ...] = (node, self.operand(level))
            if op.text == "+":
                pair = sum((n.args if n.op == "+" else (n,) for n in pair), ())
            node = Node(":" if op.text == "%in%" else op.text, op.pos, pair)
        return node

    def operand(self, level: int) -> Node:
        if level > 0 or not self.next.is_op("+", "-"):
            return self.binary(level + 1)
        sign = self.take()
        node = self.operand(level)
        return node if sign.text == "+" else Node("negative", sign.pos, (node,))

    def power(self) -> Node:
        node = self.primary()
        while self.next.is_op("^", "**"):
            op, exponent = self.take(), self.take()
            if not exponent.text.isdecimal() or int(exponent.text) == 0:
                what = "the power of terms is a positive whole number"
                self.fail(f"{what}; put arithmetic in I(), as in I(x**z)", op.pos)
            node = Node("**", op.pos, (node,), exponent.text)
        return node

    def primary(self) -> Node:
        token = self.next
        if token.kind not in ("name", "quoted", "number") and not token.is_op("(", "."):
            self.fail_missing_term(self.tokens[self.at - 1], token)
        self.take()
        if token.text == "(":
            return self.parenthesis(token)
        if token.text == ".":
            return Node("dot", token.pos)
        if token.kind != "number":
            return self.structure(token) or self.atom(token)
        if token.text not in ("0", "1"):
            remedy = "put arithmetic in I(), as in I(2 * x)"
            self.fail(f"of numbers only 0 and 1 are terms; {remedy}", token.pos)
        return Node("number", token.pos, text=token.text)

    def fail_missing_term(self, before: _Token, token: _Token) -> NoReturn:
        if token.kind == "string":
            self.fail("a string is not a term; use backticks for names", token.pos)
        if token.is_op("|", "||"):
            self.fail("no columns before the bar; write (1 | g)", token.pos)
        if before.is_op("|", "||"):
            self.fail("no grouping factor after the bar; write (1 | g)", before.pos)
        if before.is_op("(") and token.kind == "end":
            self.fail_unclosed(before)
        if before.is_op("~") and token.kind == "end":
            self.fail("the right side is empty; write 'response ~ 1'", before.pos)
        if token.kind == "end" or token.is_op(")"):
            self.fail(f"a term is missing after '{before.text}'; add it", before.pos)
        self.fail(f"a term is missing before '{token.text}'; add it", token.pos)

    def atom(self, token: _Token) -> Node:
        """A column or a function call, with any indexing or attribute after it."""
        apart = self.next.pos > token.end or token.text in self.known
        if apart and self.holds_bar():
            self.fail("an operator is missing before '('; write '+'", self.next.pos)
        quoted = token.kind == "quoted"
        text = _reference(token.text[1:-1]) if quoted else self.name(token)
        while self.is_attribute(self.at) or self.next.is_op("(", "["):
            text += self.python() if self.next.kind == "op" else self.take().text
        self.check_python(text, token.pos)
        if not text.startswith("offset("):
            return Node("atom", token.pos, text=text)
        if inner := sole_argument(text, "offset"):
            return Node("offset", token.pos, text=inner)
        self.fail("offset() takes one expression, as in offset(log(x))", token.pos)

    def parenthesis(self, bracket: _Token) -> Node:
        """A sum in parentheses, or a random term."""
        node = self.binary()
        if self.next.is_op("|", "||"):
            bar = self.take()
            node = Node(bar.text, bar.pos, (node, self.binary()))
        if self.next.kind == "end":
            self.fail_unclosed(bracket)
        if self.next.is_op("|", "||"):
            self.fail(ONE_BAR, self.next.pos)
        if not self.next.is_op(")"):
            self.fail_unexpected(self.next)
        self.take()
        return node

    def holds_bar(self) -> bool:
        """Whether a parenthesis with a bar in it is next."""
        depth = 0
        for token in self.tokens[self.at :]:
            depth += token.is_op("(") - token.is_op(")")
            if depth == 0 or token.is_op("|", "||"):
                return depth > 0
        return False

    def structure(self, name: _Token) -> Node | None:
        """A random term such as ``diag(x | g)``, None if `name` begins none."""
        if name.text not in {"us", "diag"} | _STRUCTURES or not self.holds_bar():
            return None
        if name.text in _STRUCTURES:
            what = f"there is no covariance structure {name.text}()"
            self.fail(f"{what}; use (x | g) or diag(x | g)", name.pos)
        node = self.parenthesis(self.take())
        if node.op != "|":
            self.fail(f"{name.text}() takes one term with one bar, x | g", name.pos)
        return node if name.text == "us" else Node("diag", node.pos, node.args)

    def dot(self, tree: Node, used: set[str]) -> str:
        """The text that ``.`` stands for: the columns that are not in `used`."""
        pos = next((node.pos for node in walk(tree) if node.op == "dot"), None)
        if pos is None:
            return ""
        if self.columns is None:
            self.fail("the columns that '.' stands for are unknown; name them", pos)
        names = [name for name in self.columns if name not in used]
        if not names or not all(isinstance(name, str) for name in names):
            what = "'.' stands for columns named by strings and not in use elsewhere"
            self.fail(f"{what}; rename them, or write 1 if none is left", pos)
        return " + ".join(map(_reference, names))
