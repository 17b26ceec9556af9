"""The formula language: what lme4 takes, what it means, and what is refused."""

import re

import numpy as np
import pandas as pd
import patsy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_lmer.formula.grammar import (
    FormulaError,
    ParsedFormula,
    RandomSpec,
    parse,
    variables,
)

COLUMNS = ["y", "x", "my col", "Informed.liking", "g", "a", "class", "Mass..kg."]


def shown(formula, columns=None):
    """Response, fixed part and random terms as short texts."""
    parsed = parse(formula, columns)
    random = [(r.columns, " ".join(r.factors), r.name) for r in parsed.random]
    return parsed.fixed_formula, random


def test_every_field_is_filled():
    text = "log(y) ~ x + offset(log(t)) + diag(z | batch/`my cask`)"
    assert parse(text) == ParsedFormula(
        text=text,
        response="log(y)",
        fixed="x",
        random=(
            RandomSpec("1 + z", ("batch",), "batch", True, "diag(1 + z | batch)"),
            RandomSpec(
                columns="1 + z",
                factors=('Q("my cask")', "batch"),
                name="my cask:batch",
                diagonal=True,
                text="diag(1 + z | my cask:batch)",
            ),
        ),
        offsets=("log(t)",),
    )


@pytest.mark.parametrize(
    ("formula", "fixed"),
    [
        ("y ~ 1", "1"),
        ("y ~ (1|g)", "1"),
        ("y ~ 0 + (1|g)", "0"),
        ("y ~ 1 + x", "x"),
        ("y ~ x - 1 + (1|g)", "0 + x"),
        ("y ~ -1 + x", "0 + x"),
        ("y ~ x + 0 + 1", "x"),
        ("y ~ 0 + x - 0", "x"),
        ("y ~ x + (z - 1)", "0 + x + z"),
        ("y ~ x - (1 + z)", "0 + x - z"),
        ("y ~ ((1|g) + x)", "x"),
        ("y ~ ( x\n + (1|g) )", "x"),
        ("y ~ x + (1|g) + z", "x + z"),
        ("y ~ (1|g) - x", "1"),
        ("y ~ a*b - a", "a * b - a"),
        ("y ~ a + (b - a)", "a + (b - a)"),
        ("y ~ a - (b - a)", "a - (b - a)"),
        ("y ~ a/b", "a / b"),
        ("y ~ a/(b*c)", "a / (b * c)"),
        ("y ~ (a + b):c", "(a + b):c"),
        ("y ~ a:(b:c)", "a:b:c"),
        ("y ~ a %in% b", "a:b"),
        ("y ~ (a + b)^2", "(a + b)**2"),
        ("y ~ (a + b)**2", "(a + b)**2"),
        ("y ~ (a:b)^2", "(a:b)**2"),
        ("y ~ (1 + x)*z", "x * z"),
        ("y ~ I(x**2) + np.log( x )", "I(x**2) + np.log(x)"),
        ("y ~ log (x)", "log(x)"),
        ("y ~ bs(x, df = 4)", "bs(x, df = 4)"),
        ("y ~ poly(x, 2, raw = TRUE)", "poly(x, 2, raw = True)"),
        ("y ~ factor(a) + as.factor(b)", "C(a) + C(b)"),
        ("y ~ I(factor(a))", "I(C(a))"),
        ("y ~ x.clip(0, 1)[0].real", "x.clip(0, 1)[0].real"),
        ("y ~ I(x if z else 0)", "I(x if z else 0)"),
        ("y ~ I((x > 1) | (z > 2))", "I((x > 1) | (z > 2))"),
        ("y ~ f('a|b', \"(\")", "f('a|b', \"(\")"),
        ("y ~ `a|b` + `x`", 'Q("a|b") + x'),
        ('y ~ `say "hi"`', r'Q("say \"hi\"")'),
        ("y ~ log(`my col`)", 'log(Q("my col"))'),
        ("y ~ log(class) + class", 'log(Q("class")) + Q("class")'),
        ("y ~ x.1 + a.class", 'Q("x.1") + Q("a.class")'),
        ("y ~ Informed.liking", "Informed.liking"),
        ("y ~ diag(x) + us", "diag(x) + us"),
        ("y ~ été", "été"),
    ],
)
def test_fixed_part(formula, fixed):
    assert parse(formula).fixed == fixed


@pytest.mark.parametrize(
    ("formula", "fixed_formula"),
    [
        ("y ~ Informed.liking", 'y ~ Q("Informed.liking")'),
        ("y ~ Informed.liking.abs()", 'y ~ Q("Informed.liking").abs()'),
        ("y ~ log(Informed.liking)", 'y ~ log(Q("Informed.liking"))'),
        ("y ~ Informed.other + np.log(x)", "y ~ Informed.other + np.log(x)"),
        ("Informed.liking ~ x", 'Q("Informed.liking") ~ x'),
        ("y ~ Mass..kg.", 'y ~ Q("Mass..kg.")'),
        ("y ~ `Informed.liking`", 'y ~ Q("Informed.liking")'),
    ],
)
def test_dotted_names_that_are_columns(formula, fixed_formula):
    assert parse(formula, COLUMNS).fixed_formula == fixed_formula


def test_longest_dotted_column_wins():
    assert parse("y ~ a.b.c", ["a", "a.b"]).fixed == 'Q("a.b").c'
    assert parse("y ~ a.b.c", ["a", "a.b", "a.b.c"]).fixed == 'Q("a.b.c")'


@pytest.mark.parametrize(
    ("formula", "response"),
    [
        ("y ~ x", "y"),
        ("log(y) ~ x", "log(y)"),
        ("I(y/10) ~ x", "I(y/10)"),
        ("y/10 ~ x", "I(y/10)"),
        ("(y) ~ x", "y"),
        ("y[0] ~ x", "y[0]"),
        ("yield ~ nitro + (1|Block)", 'Q("yield")'),
        ("`my col` ~ x", 'Q("my col")'),
        ("I(~y) ~ x", "I(~y)"),
    ],
)
def test_response(formula, response):
    assert parse(formula).response == response


@pytest.mark.parametrize(
    ("formula", "fixed"),
    [
        ("y ~ . + (1|g)", "u + v + w"),
        ("y ~ . + (u|v/g)", "u + w"),
        ("log(y) ~ .", "u + v + w + g"),
        ("y ~ .^2 + (1|g)", "(u + v + w)**2"),
        ("y ~ . - u + (1|g)", "u + v + w - u"),
        ("y ~ .:u + (1|g)", "(u + v + w):u"),
        ("y ~ u + . + (1|g)", "u + u + v + w"),
        ("y ~ 0 + .  + (1|g)", "0 + u + v + w"),
    ],
)
def test_dot_is_all_columns_not_in_use(formula, fixed):
    assert parse(formula, ["u", "y", "v", "w", "g"]).fixed == fixed


def test_dot_quotes_unusual_names():
    fixed = 'x + Q("my col") + Q("Informed.liking") + a + Q("class") + Q("Mass..kg.")'
    assert parse("y ~ . + (1|g)", COLUMNS).fixed == fixed


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("(1|g)", [("1", "g", "g")]),
        ("(x|g)", [("1 + x", "g", "g")]),
        ("(1 + x|g)", [("1 + x", "g", "g")]),
        ("(0 + x|g)", [("0 + x", "g", "g")]),
        ("(x - 1|g)", [("0 + x", "g", "g")]),
        ("(-1 + x|g)", [("0 + x", "g", "g")]),
        ("(x*z|g)", [("1 + x * z", "g", "g")]),
        ("((x + z)^2|g)", [("1 + (x + z)**2", "g", "g")]),
        ("(log(x)|g)", [("1 + log(x)", "g", "g")]),
        ("us(x|g)", [("1 + x", "g", "g")]),
        ("(1|factor(g))", [("1", "g", "g")]),
        ("(1|as.factor(g):h)", [("1", "g h", "g:h")]),
        ("(1|cut(x, 3))", [("1", "cut(x, 3)", "cut(x, 3)")]),
        ("(1|`my g`)", [("1", 'Q("my g")', "my g")]),
        ("(1|Q('my g'))", [("1", "Q('my g')", "my g")]),
        ("(1|class)", [("1", 'Q("class")', "class")]),
        ("(1|(g))", [("1", "g", "g")]),
        ("(x|g) + (0 + z|g)", [("1 + x", "g", "g"), ("0 + z", "g", "g")]),
        # names as lme4 1.1-31 gives them, which writes c:(b:a) for c:b:a
        ("(1|a/b)", [("1", "a", "a"), ("1", "b a", "b:a")]),
        ("(1|a/b/c)", [("1", "a", "a"), ("1", "b a", "b:a"), ("1", "c b a", "c:b:a")]),
        (
            "(1|a/(b/c))",
            [("1", "a", "a"), ("1", "b a", "b:a"), ("1", "c b a", "c:b:a")],
        ),
        ("(1|a:b)", [("1", "a b", "a:b")]),
        ("(1|a %in% b)", [("1", "a b", "a:b")]),
        ("(1|a/b:c)", [("1", "a", "a"), ("1", "b c a", "b:c:a")]),
        ("(1|a:b/c)", [("1", "a b", "a:b"), ("1", "c a b", "c:a:b")]),
        ("(1|a*b)", [("1", "a", "a"), ("1", "b", "b"), ("1", "a b", "a:b")]),
        ("(1|a/(b + c))", [("1", "a", "a"), ("1", "b a", "b:a"), ("1", "c a", "c:a")]),
        ("(1|a:a)", [("1", "a", "a")]),
        # || as lme4 1.1-31's findbars expands it
        ("(x||g)", [("1", "g", "g"), ("0 + x", "g", "g")]),
        ("(0 + f||g)", [("0 + f", "g", "g")]),
        ("(1||g)", [("1", "g", "g")]),
        (
            "(1 + f*z||g)",
            [("1", "g", "g"), *((f"0 + {t}", "g", "g") for t in ("f", "z", "f:z"))],
        ),
        (
            "(a*b - a||g)",
            [("1", "g", "g"), ("0 + b", "g", "g"), ("0 + a:b", "g", "g")],
        ),
        (
            "(z:f + f||g)",
            [("1", "g", "g"), ("0 + f", "g", "g"), ("0 + z:f", "g", "g")],
        ),
        (
            "(b + a + a:b||g)",
            [("1", "g", "g"), *((f"0 + {t}", "g", "g") for t in ("b", "a", "b:a"))],
        ),
        (
            "(x||a/b)",
            [
                *[("1", "a", "a"), ("1", "b a", "b:a")],
                *[("0 + x", "a", "a"), ("0 + x", "b a", "b:a")],
            ],
        ),
    ],
)
def test_random_terms(term, expected):
    parsed = parse(f"y ~ x + {term}")
    assert shown(f"y ~ x + {term}") == ("y ~ x", expected)
    assert not any(spec.diagonal for spec in parsed.random)


@pytest.mark.parametrize(
    ("term", "texts"),
    [
        ("(Days|Subject)", ["Days | Subject"]),
        ("(0 + `my col`|g)", ["0 + my col | g"]),
        ("(x||a/b)", ["1 | a", "1 | b:a", "0 + x | a", "0 + x | b:a"]),
        ("diag(x|g)", ["diag(1 + x | g)"]),
    ],
)
def test_texts_for_messages(term, texts):
    assert [spec.text for spec in parse(f"y ~ {term}").random] == texts


def test_offsets_are_taken_out_in_order():
    parsed = parse("y ~ offset(log(x)) + z + (offset(2 * w)) + (1|g)")
    assert parsed.offsets == ("log(x)", "2 * w")
    assert parsed.fixed == "z"


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("Days", ("Days",)),
        ("0 + x + x:z", ("x", "z")),
        ("(a + b:c)**2", ("a", "b", "c")),
        ("log(Q(\"my col\")) + Q('b c')", ("my col", "b c")),
        ("np.log(x) + 2*z", ("x", "z")),
        ("np.pi * x", ("x",)),
        ("x.clip(0, 1)", ("x",)),
        ("x.str.len()", ("x",)),
        ("np.clip(x, 0, k)", ("x", "k")),
        ('Q("a b").abs()', ("a b",)),
        ("bs(x, df=k)", ("x", "k")),
        ("C(g, Treatment('a'))", ("g",)),
        ("f(f)", ("f",)),
        ("math + x.real", ("math", "x")),
        ("f(lambda v: v + w)", ("w",)),
        ("1", ()),
    ],
)
def test_variables(expression, names):
    assert variables(expression) == names


# In each formula ! stands before the character that the caret must point to.
ERRORS = [
    ("!~ x + (1|g)", "response is missing"),
    ("!x + (1|g)", "response is missing"),
    ("!", "response is missing"),
    ("!1 ~ x", "response is a constant"),
    ("(1!|g) + y ~ x", "belongs on the right"),
    ("!y + ~ x", "not a Python expression"),
    ("y!^2 ~ x", "I(x**2)"),
    ("y ~ x !~ z", "one '~'"),
    ("y ~ (x !~ z)", "one '~'"),
    ("y !~ ", "right side is empty"),
    ("y ~ (!|g)", "no columns before the bar"),
    ("y ~ (1!|)", "no grouping factor after the bar"),
    ("y ~ (1!||)", "no grouping factor after the bar"),
    ("y ~ ( !| )", "no columns before the bar"),
    ("y ~ !()", "missing after '('"),
    ("y ~ x !+ ", "missing after '+'"),
    ("y ~ (x !+)", "missing after '+'"),
    ("y ~ !*x", "missing before '*'"),
    ("y ~ x + !(1 | g", "unclosed '('"),
    ("y ~ diag!(x|g", "unclosed '('"),
    ("y ~ log!(x", "unclosed '('"),
    ("y ~ f(x![1)", "unclosed '['"),
    ("y!) ~ x", "')' has no partner"),
    ("log!(y ~ x", "unclosed '('"),
    ("y ~ x!)", "')' has no partner"),
    ("y ~ f!(x]", "unclosed '('"),
    ("y ~ x!]", "']' has no partner"),
    ("y ~ !`x", "unclosed `"),
    ("y ~ log(!'x)", "unclosed '"),
    ("y ~ !``", "no name between the backticks"),
    ("y ~ (1|g!|h)", "one bar; write (1 | g) + (1 | h)"),
    ("y ~ ((1!|g)|h)", "one bar"),
    ("y ~ x*(1!|g)", "can only be added"),
    ("y ~ (1!|g):x", "can only be added"),
    ("y ~ x - (1!|g)", "can only be added"),
    ("y ~ -(1!|g)", "can only be added"),
    ("y ~ (x + (1!|g))^2", "can only be added"),
    ("y ~ x + 1!|g", "needs parentheses"),
    ("y ~ (1|g) !| h", "needs parentheses"),
    ("y ~ x !(1|g)", "operator is missing"),
    ("y ~ x !z", "operator is missing"),
    ("y ~ d!$x", "no meaning"),
    ("y ~ x + !@", "no meaning"),
    ("y ~ !€", "no meaning"),
    ("y ~ I(x!^2)", "I(x**2)"),
    ("y ~ (log(x!^2)|g)", "I(x**2)"),
    ("y ~ I(x !%in% z)", "isin"),
    ("y ~ I(x !|| z)", "(a) | (b)"),
    ("y ~ !f(x y)", "not a Python expression"),
    ("y ~ !as.numeric(x)", "not a Python function"),
    ("y ~ !'x'", "use backticks"),
    ("y ~ !2*x", "I(2 * x)"),
    ("y ~ x / !10", "I(2 * x)"),
    ("y ~ 1!:x", "cannot interact"),
    ("y ~ !2x", "begin with a digit"),
    ("y ~ x !== 1", "I(x > 0)"),
    ("y ~ x!^z", "positive whole number"),
    ("y ~ x!^0", "positive whole number"),
    ("y ~ !.", "columns that '.' stands for are unknown"),
    ("y ~ (!.|g)", "cannot be used in a random term"),
    ("y ~ (1|!.)", "not a grouping factor"),
    ("y ~ log(!.)", "outside of functions"),
    ("y ~ (1|a !+ b)", "(1 | a) + (1 | b)"),
    ("y ~ (1|(a !+ b)/c)", "(1 | a) + (1 | b)"),
    ("y ~ (1|a !- b)", "not a grouping factor"),
    ("y ~ (1|!1)", "not a grouping factor"),
    ("y ~ (1|(1!|g))", "not a grouping factor"),
    ("y ~ (0!|g)", "needs columns"),
    ("y ~ (0!||g)", "needs columns"),
    ("y ~ (x|g) + (1 + x!|g)", "(x | g) occurs twice"),
    ("y ~ (1|a/b) + (1!|b:a)", "(1 | b:a) occurs twice"),
    ("y ~ diag(1|g) + (1!|g)", "(1 | g) occurs twice"),
    ("y ~ !offset(x, z)", "one expression"),
    ("y ~ !offset()", "one expression"),
    ("y ~ x*!offset(z)", "can only be added"),
    ("y ~ x - !offset(z)", "can only be added"),
    ("y ~ (!offset(z)|g)", "can only be added"),
    ("y ~ !cs(x|g)", "use (x | g) or diag(x | g)"),
    ("y ~ !diag(x||g)", "one bar"),
    ("y ~ x +\n  !(1|g", "unclosed"),
]


@pytest.mark.parametrize(("marked", "message"), ERRORS)
def test_errors_point_at_the_place_and_name_the_remedy(marked, message):
    formula = marked.replace("!", "", 1)
    with pytest.raises(FormulaError) as caught:
        parse(formula)
    sentence, line, caret = str(caught.value).split("\n")
    assert message in sentence
    assert sentence.endswith(".")
    assert line == "  " + formula.replace("\n", " ")
    assert caret == "  " + " " * marked.index("!") + "^"


def test_message_is_as_documented():
    expected = (
        "unclosed '(' in the formula; add the matching ')'.\n"
        "  y ~ x + (1 | g\n"
        "          ^"
    )
    with pytest.raises(FormulaError) as caught:
        parse("y ~ x + (1 | g")
    assert str(caught.value) == expected


def test_dot_with_nothing_left_or_odd_names():
    with pytest.raises(FormulaError, match="not in use"):
        parse("y ~ . + (1|g)", ["y", "g"])
    with pytest.raises(FormulaError, match="named by strings"):
        parse("y ~ . + (1|g)", ["y", "g", 3])


def test_formula_must_be_text():
    with pytest.raises(TypeError, match="a formula is a string, not int"):
        parse(3)


def test_long_formulas_do_not_exhaust_the_stack():
    names = [f"x{i}" for i in range(3000)]
    assert parse("y ~ " + " + ".join(names) + " + (1|g)").fixed == " + ".join(names)
    assert parse("y ~ . + (1|g)", ["y", "g", *names]).fixed == " + ".join(names)


# Properties --------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "f", "x", "z"])
SPACES = st.sampled_from(["", " ", "\n", "  "])


def operators(*ops):
    """Trees of formula text over `NAMES`, every operand in parentheses or not."""

    def joined(children):
        operand = children | children.map(lambda text: f"({text})")
        return st.tuples(operand, SPACES, st.sampled_from(ops), SPACES, operand).map(
            "".join
        )

    return st.recursive(NAMES, joined, max_leaves=6)


@st.composite
def random_terms(draw):
    """Text of a random term, and what `shown` must give for it."""
    intercept = draw(st.booleans())
    columns = draw(st.lists(NAMES, unique=True, min_size=not intercept, max_size=3))
    nesting = draw(st.lists(st.sampled_from("ghjk"), unique=True, min_size=1))
    double = draw(st.booleans())
    pieces = ["1" if intercept else "0", *columns]
    space = draw(SPACES)
    bar = f"{space}||{space}" if double else f"{space}|{space}"
    text = f"({f'{space}+'.join(pieces)}{bar}{f'{space}/{space}'.join(nesting)})"
    groups = [nesting[k::-1] for k in range(len(nesting))]
    wholes = ["1"] * intercept + [f"0 + {c}" for c in columns]
    wholes = wholes if double else [" + ".join(pieces)]
    return text, [(w, " ".join(g), ":".join(g)) for w in wholes for g in groups]


@given(random_terms(), st.sampled_from(["x", "0 + x", "1"]), st.booleans())
def test_random_terms_are_read_as_written_anywhere(term, fixed, first):
    text, expected = term
    formula = f"y ~ {text} + {fixed}" if first else f"y ~ {fixed} + ({text})"
    assert shown(formula) == (f"y ~ {fixed}", expected)


@given(random_terms())
def test_random_terms_round_trip(term):
    once = parse(f"y ~ {term[0]}").random
    again = " + ".join(f"({r.columns} | {':'.join(r.factors)})" for r in once)
    assert parse(f"y ~ {again}").random == once


@given(operators("+", "-", "*", ":", "/", "%in%"))
def test_double_bar_gives_patsys_terms_one_by_one(text):
    patsy_text = text.replace("%in%", ":")
    desc = patsy.ModelDesc.from_formula(patsy_text)
    expected = {frozenset(f.name() for f in term.factors) for term in desc.rhs_termlist}
    specs = parse(f"y ~ ({text} || g)").random
    terms = [s.columns.removeprefix("0 + ").split(":") for s in specs]
    assert {frozenset(t) - {"1"} for t in terms} == expected
    assert len(terms) == len(expected)
    degrees = [len(set(t) - {"1"}) for t in terms]
    assert degrees == sorted(degrees)


@given(operators("+", "-", "*", ":", "/"), st.sampled_from(["", "^2", "^3"]))
def test_fixed_part_means_what_was_written(text, power):
    def terms(formula):
        rhs = patsy.ModelDesc.from_formula(formula).rhs_termlist
        return [frozenset(f.name() for f in term.factors) for term in rhs]

    written = f"({text}){power.replace('^', '**')}"
    assert terms(parse(f"y ~ ({text}){power} + (1|g)").fixed) == terms(written)


def bars_outside_calls(text):
    without_strings = re.sub(r"\"[^\"]*\"|'[^']*'", "", text)
    calls = re.compile(r"(?<=\w)\([^()]*\)")
    while calls.search(without_strings):
        without_strings = calls.sub("", without_strings)
    return "|" in without_strings


FRAGMENTS = ["x", "g", "1", "0", "y", "I(", "`a b`", "'s'", "%in%", "||", "offset("]
FUZZ = st.lists(st.sampled_from([*FRAGMENTS, *"()|+-*:/^~. ,=[]"]), max_size=14)


@given(FUZZ.map("".join))
def test_any_text_is_read_without_bars_or_refused_with_a_caret(text):
    try:
        parsed = parse(f"y ~ {text}", ["y", "x", "g", "w"])
    except FormulaError as error:
        _, line, caret = str(error).split("\n")
        assert caret.strip() == "^"
        assert len(caret) <= len(line) + 1
        return
    texts = [parsed.fixed, *(spec.columns for spec in parsed.random)]
    assert not any(map(bars_outside_calls, texts))
    assert parse(parsed.fixed_formula).fixed == parsed.fixed


@given(operators("+", "*", ":", "/", "|", "||"))
def test_no_bar_leaks_from_nested_terms(text):
    try:
        parsed = parse(f"y ~ {text}")
    except FormulaError:
        return
    assert "|" not in parsed.fixed
    assert not any("|" in spec.columns for spec in parsed.random)


# Both engines ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "right",
    [
        "1",
        "0 + x",
        "`my col` + yield",
        "Informed.liking",
        "log(`Mass (kg)`)",
        "f*x - x",
        "factor(f):x",
        "f %in% h",
        "(f + x)^2",
        "f/x + (x - z)",
        ".^2 - f:h",
        "I(x**2) + np.log(Informed.liking) + bs(x, df = 4)",
    ],
)
def test_patsy_and_formulaic_build_the_same_columns(right):
    manager = pytest.importorskip("statsmodels.formula._manager")
    pytest.importorskip("formulaic")
    rng = np.random.default_rng(1)
    names = ["y", "x", "z", "my col", "yield", "Informed.liking", "Mass (kg)"]
    data = pd.DataFrame(rng.uniform(1, 2, (24, len(names))), columns=names)
    data = data.assign(f=list("abcd") * 6, h=list("uvw") * 8)
    parsed = parse(f"y ~ {right}", list(data))
    by_patsy, by_formulaic = (
        np.asarray(
            manager.FormulaManager(engine=engine).get_matrices(
                parsed.fixed_formula, data, eval_env={"log": np.log, "np": np}
            )[1],
            float,
        )
        for engine in ("patsy", "formulaic")
    )
    assert by_patsy.shape == by_formulaic.shape
    order, other = (np.lexsort(m.round(9)) for m in (by_patsy, by_formulaic))
    np.testing.assert_allclose(by_patsy[:, order], by_formulaic[:, other], atol=1e-12)
