"""Templates of cells, and numbers as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_lmer.tables.numbers import (
    chosen,
    fmt_decimal,
    fmt_p,
    fmt_sci,
    fmt_significant,
    formatter,
    split_number,
)
from sm_lmer.tables.stars import levels, mark, note
from sm_lmer.tables.table import EMPTY, Cell
from sm_lmer.tables.templates import template

ROW = {
    "estimate": 1.2345,
    "std_error": 0.5,
    "p_value": 0.0004,
    "conf_low": -0.25,
    "conf_high": 2.0,
    "df": math.nan,
    "term": "x",
}


def form(column):
    return chosen(3, column)


def filled(text, stars="", **kwargs):
    return template(text, **kwargs).cell(ROW, form, stars)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("estimate", Cell("1.234")),
        ("std_error", Cell("0.500", "(", ")")),
        ("p_value", Cell("0.001", "(<", ")")),
        ("conf_int", Cell(prefix="[-0.250, 2.000]", numeric=True)),
        ("t = {estimate:.1f}", Cell("1.2", "t = ")),
        ("p = {p_value}", Cell("0.001", "p < ")),
        ("p = {p.value}", Cell("0.001", "p < ")),
        ("{estimate:.1f} {conf_int}", Cell(prefix="1.2 [-0.250, 2.000]", numeric=True)),
        ("{{{estimate}}}", Cell("1.234", "{", "}")),
        ("{term}", Cell(prefix="x")),
        ("{df}", EMPTY),
        ("{estimate} ({df})", EMPTY),
        ("{absent}", EMPTY),
    ],
)
def test_cells(text, cell):
    assert filled(text) == cell


def test_stars_stand_where_the_template_says():
    assert filled("{estimate}{stars}", "**") == Cell("1.234", stars="**")
    whole = filled("{estimate}{stars} ({std_error})", "**")
    assert whole == Cell(prefix="1.234** (0.500)", numeric=True)
    behind = filled("{estimate} ({std_error}){stars}", "**")
    assert behind == Cell(prefix="1.234 (0.500)", stars="**", numeric=True)


@pytest.mark.parametrize(
    "text",
    [
        "{estimate.__class__}",
        "{estimate[0]}",
        "{estimate!r}",
        "{}",
        "{0}",
        "{estimate:{std_error}}",
        "{estimate:>1000000000f}",
        "{estimate:.999f}",
        "{estimate.__init__.__globals__}",
        "{estimate",
        "}",
        "no column",
        "",
    ],
)
def test_nothing_but_columns_between_braces(text):
    with pytest.raises(ValueError, match=r"\.$"):
        template(text)


@pytest.mark.parametrize("text", [3, None, b"estimate", len])
def test_a_template_is_text(text):
    with pytest.raises(TypeError, match="a template is a text"):
        template(text)


@given(st.text(max_size=30))
def test_any_text_is_a_template_or_a_clear_error(text):
    try:
        parsed = template(text)
    except ValueError as error:
        message = str(error)
    else:
        message = "."
        assert all(column.isidentifier() for column in parsed.columns)
    assert message.endswith(".")


def test_headings():
    assert template("{estimate} ({std_error}){stars}").heading == "Est. (S.E.)"


# -- numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "value", "text"),
    [
        (3, 1.23456, "1.235"),
        (0, 1234.4, "1234"),
        (2, -0.001, "0.00"),
        (2, -0.006, "-0.01"),
        (".2e", 12345.0, "1.23e+04"),
        (",.1f", 12345.67, "12,345.7"),
        ("%.1f", 2.25, "2.2"),
        ("%.1f%%", -0.01, "0.0%"),
        (None, 0.1, "0.1"),
        (fmt_significant(2), 0.00012345, "0.00012"),
        (fmt_significant(2), 1.5e-12, "1.5e-12"),
        (fmt_significant(3), 0.0, "0.00"),
        (fmt_sci(1), 0.00123, "1.2e-03"),
        (fmt_decimal(1), -3.14, "-3.1"),
        (fmt_p(), 0.001, "0.001"),
        (fmt_p(), 0.0, "<0.001"),
        (fmt_p(2), 1.0, "1.00"),
        (fmt_p(3, "apa"), 0.0004, "<.001"),
        (fmt_p(3, "apa"), 1.0, "1.000"),
    ],
)
def test_formats(fmt, value, text):
    assert formatter(fmt)(value) == text


@pytest.mark.parametrize("fmt", [True, 1.5, [], "%d items %s", ".2q", "%", -1])
def test_bad_formats(fmt):
    with pytest.raises((TypeError, ValueError), match=r"\.$"):
        formatter(fmt)


def test_format_by_term_goes_before_that_by_column():
    fmt = {"estimate": 1, "x": 2}
    assert chosen(fmt, "estimate", ("x",))(1.234) == "1.23"
    assert chosen(fmt, "estimate", ("z",))(1.234) == "1.2"
    assert chosen(fmt, "std_error", ("z",))(1.234) == "1.234"
    assert chosen(fmt, "p_value", ("x",))(0.001) == "<0.01"


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 6))
def test_a_number_is_split_whole(value, digits):
    text = fmt_decimal(digits)(value)
    assert split_number(f"({text})") == ("(", text, ")")


# -- stars -----------------------------------------------------------------------------


def test_levels():
    assert levels(True) == {"+": 0.1, "*": 0.05, "**": 0.01, "***": 0.001}
    assert levels(False) == {}
    assert list(levels({"b": 0.01, "a": 0.1})) == ["a", "b"]
    assert note(levels([0.01, 0.05])) == "* p < 0.05, ** p < 0.01"


@pytest.mark.parametrize(
    ("p_value", "stars"),
    [(0.5, ""), (0.1, ""), (0.099, "+"), (0.02, "*"), (0.0, "***"), (math.nan, "")],
)
def test_marks(p_value, stars):
    assert mark(p_value, levels(True)) == stars


@pytest.mark.parametrize("stars", ["*", 0.05, {"*": 2.0}, [0.0]])
def test_bad_stars(stars):
    with pytest.raises((TypeError, ValueError), match="stars"):
        levels(stars)
