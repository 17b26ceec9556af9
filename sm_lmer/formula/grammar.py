"""The formula language: text in, a fixed formula and random terms out.

`parse` reads lme4's formulas (Bates et al. 2015, section 2; not yet the structures
``cs`` and ``ar1`` of lme4 2) and returns pieces that patsy and formulaic understand
alike. It never looks at data: all it may be told is the column names, which decide
what ``a.b`` and ``.`` mean.

`sm_lmer.formula.reader` turns the text into a tree; this module says what the tree
means. `_Parts` takes random terms, offsets and intercept out of it, `_terms` expands
it as R does, and `_write` turns what is left into text again.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from sm_lmer.formula.reader import (
    BARS,
    ONE_BAR,
    FormulaError,
    Node,
    Reader,
    plain_text,
    sole_argument,
    walk,
)

__all__ = ["FormulaError", "ParsedFormula", "RandomSpec", "parse", "variables"]


@dataclass(frozen=True)
class RandomSpec:
    """One random-effects term, ``(columns | factors)``.

    Attributes
    ----------
    columns : str
        Right-hand side for patsy or formulaic, explicit about the intercept.
    factors : tuple of str
        Expressions of the grouping factors that interact, in lme4's order.
    name : str
        lme4's name of the grouping, as ``"cask:batch"`` for ``batch/cask``.
    diagonal : bool
        True for ``diag(...)``: the columns are independent of each other.
    text : str
        The term as messages show it.
    """

    columns: str
    factors: tuple[str, ...]
    name: str
    diagonal: bool
    text: str


@dataclass(frozen=True)
class ParsedFormula:
    """What `parse` found; everything but `text` is ready for patsy and formulaic.

    Attributes
    ----------
    text : str
        The formula as the user wrote it.
    response : str
        Expression of the response.
    fixed : str
        Right-hand side of the fixed effects, without random terms and offsets.
    random : tuple of RandomSpec
        The random terms in the order written, expanded.
    offsets : tuple of str
        The expressions inside ``offset(...)``.
    """

    text: str
    response: str
    fixed: str
    random: tuple[RandomSpec, ...]
    offsets: tuple[str, ...]

    @property
    def fixed_formula(self) -> str:
        """The formula of the fixed effects, ``response ~ fixed``."""
        return f"{self.response} ~ {self.fixed}"


def parse(formula: str, columns: Collection[str] | None = None) -> ParsedFormula:
    """Read an lme4 formula.

    Parameters
    ----------
    formula : str
        As for R's ``lmer``, with Python inside function calls.
    columns : collection of str, optional
        The names of the data's columns. They decide that ``Informed.liking`` is one
        column and not an attribute, and they are what ``.`` stands for.

    Raises
    ------
    FormulaError
        If the formula is malformed; the message names the remedy.
    TypeError
        If `formula` is not a string.

    Notes
    -----
    ``(x || g)`` separates terms, as lme4's does, so the columns of one factor stay
    correlated; ``diag(x | g)`` separates columns. ``.`` is all columns but those of
    the response and the grouping factors, where R would make the grouping factor a
    fixed effect too. Names with double quotes, backticks or unmatched brackets work
    with patsy only: formulaic's own parser cannot read them.

    Examples
    --------
    >>> p = parse("Reaction ~ Days + (Days | Subject)")
    >>> p.fixed_formula
    'Reaction ~ Days'
    >>> [(r.columns, r.name) for r in p.random]
    [('1 + Days', 'Subject')]
    >>> [r.text for r in parse("y ~ f * z + (f * z || g)").random]
    ['1 | g', '0 + f | g', '0 + z | g', '0 + f:z | g']
    >>> [r.name for r in parse("strength ~ (1 | batch/cask)").random]
    ['batch', 'cask:batch']
    >>> try:
    ...     parse("y ~ x + (1 | g")
    ... except FormulaError as error:
    ...     print(error)
    unclosed '(' in the formula; add the matching ')'.
      y ~ x + (1 | g
              ^
    """
    if not isinstance(formula, str):
        raise TypeError(f"a formula is a string, not {type(formula).__name__}.")
    return _parse(formula, None if columns is None else tuple(columns))


@lru_cache(maxsize=64)
def _parse(formula: str, columns: tuple[str, ...] | None) -> ParsedFormula:
    """Read a formula; what was read lately is not read again."""
    reader = Reader(formula, columns)
    response = reader.response()
    parts = _Parts(reader)
    tree = parts.take(reader.right_side())
    groupings = [factor for spec in parts.random for factor in spec.factors]
    used = {name for text in (response, *groupings) for name in variables(text)}
    fixed = _write(tree, reader.dot(tree, used)) if tree else ""
    return ParsedFormula(
        text=formula,
        response=response,
        fixed=_with_intercept(fixed, parts.intercept, explicit=False),
        random=tuple(parts.random),
        offsets=tuple(parts.offsets),
    )


@lru_cache(maxsize=512)
def variables(expression: str) -> tuple[str, ...]:
    """Names of the data that an expression of a `ParsedFormula` refers to.

    They come in order of appearance, once each. Functions, their keywords and modules
    are not among them; ``x`` of ``x.clip(0, 1)`` is, as no argument refers to data.

    Examples
    --------
    >>> variables('0 + np.log(x):C(f) + Q("my col") + bs(z, df=4)')
    ('x', 'f', 'my col', 'z')
    """
    try:
        trees = [ast.parse(expression.strip(), mode="eval")]
    except SyntaxError:  # the formula language's ':'
        nodes = walk(Reader(expression, None).right_side())
        trees = [ast.parse(n.text, mode="eval") for n in nodes if n.op == "atom"]
    return tuple(dict.fromkeys(name for tree in trees for name in _data_names(tree)))


_MODULES = {"np", "numpy", "pd", "pandas", "math"}


def _data_names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id="Q"), args=[ast.Constant(value=str(name))]):
            yield name
        case ast.Call(func=function, args=args, keywords=keywords):
            values = [*args, *(k.value for k in keywords)]
            names = [name for value in values for name in _data_names(value)]
            if not (names or isinstance(function, ast.Name)):
                yield from _data_names(function)
            yield from names
        case ast.Lambda(args=arguments, body=body):
            bound = {n.arg for n in ast.walk(arguments) if isinstance(n, ast.arg)}
            yield from (name for name in _data_names(body) if name not in bound)
        case ast.Attribute(value=ast.Name(id=root)) if root in _MODULES:
            return
        case ast.Name(id=name):
            yield name
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _data_names(child)


# What is in the tree -----------------------------------------------------------------

_IN_SUMS_ONLY = {
    **dict.fromkeys(BARS, "a random term can only be added, as in x + (1 | g)"),
    "offset": "an offset can only be added to the fixed part, as in x + offset(z)",
}
_NOT_IN_RANDOM = {
    **dict.fromkeys(BARS, ONE_BAR),
    "offset": _IN_SUMS_ONLY["offset"],
    "dot": "'.' cannot be used in a random term; name the columns",
}


@dataclass
class _Parts:
    """Takes random terms, offsets and the intercept out of a tree."""

    reader: Reader
    intercept: bool = True
    random: list[RandomSpec] = field(default_factory=list)
    offsets: list[str] = field(default_factory=list)

    def take(self, node: Node, added: bool = True) -> Node | None:
        """The tree without these parts, None if nothing is left.

        As in R, 0 and 1 act on the intercept wherever they stand in a sum, the last
        one wins, and a minus before them (`added` False) reverses them.
        """
        if node.op == "number":
            self.intercept = (node.text == "1") == added
        elif node.op == "offset":
            self.offsets.append(node.text)
        elif node.op in BARS:
            self.add_random(node)
        elif node.op in ("atom", "dot"):
            return node
        else:
            return self.operator(node, added)
        return None

    def operator(self, node: Node, added: bool) -> Node | None:
        if node.op in ("-", "negative"):
            return self.minus(node, added)
        for arg in node.args if node.op != "+" else ():
            self.forbid(arg, _IN_SUMS_ONLY)
        args = [self.take(arg, added) for arg in node.args]
        left = tuple(arg for arg in args if arg)
        if node.op == "+" and len(left) < 2:
            return left[0] if left else None
        if node.op != "+" and len(left) < len(args):
            remedy = "put arithmetic in I(), as in I(2 * x)"
            self.reader.fail(f"a number cannot interact; {remedy}", node.pos)
        return Node(node.op, node.pos, left, node.text)

    def minus(self, node: Node, added: bool) -> Node | None:
        left = self.take(node.args[0], added) if node.op == "-" else None
        self.forbid(node.args[-1], _IN_SUMS_ONLY)
        right = self.take(node.args[-1], not added)
        return Node("-", node.pos, (left, right)) if left and right else left

    def forbid(self, node: Node, messages: Mapping[str, str]) -> None:
        for part in walk(node):
            if part.op in messages:
                self.reader.fail(messages[part.op], part.pos)

    def add_random(self, node: Node) -> None:
        self.forbid(node.args[0], _NOT_IN_RANDOM)
        self.check_grouping(node.args[1])
        groupings = [
            tuple(sole_argument(factor, "C") or factor for factor in term)
            for term in _terms(node.args[1])
        ]
        for columns in self.columns(node):
            for factors in groupings:
                spec = _random_spec(columns, factors, node.op == "diag")
                if any(_same(spec, other) for other in self.random):
                    what = f"the random term ({spec.text}) occurs twice"
                    self.reader.fail(f"{what}; remove one", node.pos)
                self.random.append(spec)

    def columns(self, node: Node) -> list[str]:
        """Columns of a random term; if ``||``, of each term it stands for."""
        parts = _Parts(self.reader)
        tree = parts.take(node.args[0])
        if tree is None and not parts.intercept:
            self.reader.fail("a random term needs columns; write (1 | g)", node.pos)
        if node.op == "||" and tree:
            return ["1"] * parts.intercept + [f"0 + {t}" for t in _ordered_terms(tree)]
        text = _write(tree) if tree else ""
        return [_with_intercept(text, parts.intercept, explicit=True)]

    def check_grouping(self, node: Node, nested: bool = False) -> None:
        """Refuse all but atoms, ``: * /`` and, right of a slash, ``+``."""
        if node.op == "atom":
            return
        if node.op not in (":", "*", "/") and not (nested and node.op == "+"):
            remedy = "use columns with ':', '/' and '*'"
            if node.op == "+":
                remedy = "write (1 | a) + (1 | b), or (1 | a:b) for the interaction"
            self.reader.fail(f"this is not a grouping factor; {remedy}", node.pos)
        self.check_grouping(node.args[0], nested)
        for arg in node.args[1:]:
            self.check_grouping(arg, nested or node.op == "/")


def _with_intercept(text: str, intercept: bool, explicit: bool) -> str:
    if not text:
        return "1" if intercept else "0"
    if not intercept:
        return f"0 + {text}"
    return f"1 + {text}" if explicit else text


def _random_spec(columns: str, factors: tuple[str, ...], diagonal: bool) -> RandomSpec:
    name = ":".join(map(plain_text, factors))
    shown = plain_text(columns if diagonal else columns.removeprefix("1 + "))
    text = f"diag({shown} | {name})" if diagonal else f"{shown} | {name}"
    return RandomSpec(columns, factors, name, diagonal, text)


def _same(one: RandomSpec, other: RandomSpec) -> bool:
    return one.columns == other.columns and set(one.factors) == set(other.factors)


_BINDING = {"-": 1, "+": 1, "dot": 1, "*": 2, "/": 2, ":": 3, "**": 4}


def _write(node: Node, dot: str = "") -> str:
    """The tree as text that patsy and formulaic read alike."""
    if not node.args:
        return dot if node.op == "dot" else node.text
    level = _BINDING[node.op]
    texts = []
    for arg in node.args:
        loose = _BINDING.get(arg.op, 9) < level + (node.op == "**")
        same = _BINDING.get(arg.op) == level and arg is not node.args[0]
        chained = (node.op, arg.op) in {("+", "+"), ("+", "dot"), (":", ":")}
        text = _write(arg, dot)
        texts.append(f"({text})" if loose or (same and not chained) else text)
    if node.op == "**":
        return f"{texts[0]}**{node.text}"
    return (":" if node.op == ":" else f" {node.op} ").join(texts)


# The algebra of terms ----------------------------------------------------------------

_Term = tuple[str, ...]


def _ordered_terms(tree: Node) -> list[str]:
    """The terms a tree stands for, by degree and then appearance, as R orders them."""
    atoms = [node.text for node in walk(tree) if node.op == "atom"]
    terms = sorted(_terms(tree), key=len)
    return [":".join(sorted(term, key=atoms.index)) for term in terms]


def _terms(node: Node) -> list[_Term]:
    """Expand ``+ - : * / **`` to terms, each the atoms that interact in it.

    ``a/b`` gives ``b:a``, inner before outer, which is how lme4 names nested factors.
    """
    if node.op == "atom":
        return [(node.text,)]
    first, *others = map(_terms, node.args)
    if node.op == "**":
        return _power(first, int(node.text))
    if node.op == "+":
        return _unique(chain(first, *others))
    (second,) = others
    if node.op == "-":
        removed = set(map(frozenset, second))
        return [term for term in first if frozenset(term) not in removed]
    if node.op == "/":
        whole = tuple(chain(*reversed(first)))
        return _unique(first + _products(second, [whole]))
    crossed = _products(first, second)
    return _unique(first + second + crossed if node.op == "*" else crossed)


def _power(base: list[_Term], exponent: int) -> list[_Term]:
    terms: list[_Term] = []
    grown = base
    while exponent > 1 and len(grown) > len(terms):
        terms, exponent = grown, exponent - 1
        grown = _unique(terms + _products(terms, base))
    return grown


def _products(left: list[_Term], right: list[_Term]) -> list[_Term]:
    return [tuple(dict.fromkeys(a + b)) for a in left for b in right]


def _unique(terms: Iterable[_Term]) -> list[_Term]:
    """Each set of atoms once, as first written."""
    seen: dict[frozenset[str], _Term] = {}
    for term in terms:
        seen.setdefault(frozenset(term), term)
    return list(seen.values())
