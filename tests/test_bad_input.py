"""Unusable input: one sentence that names the column, the term and the remedy."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from registry import small_frame as frame
from statsmodels.tools.sm_exceptions import MissingDataError

import sm_lmer.api as sml
from sm_lmer.formula.grammar import FormulaError

N = 40
FORMULA = "y ~ x + (z | g)"


def with_value(column: str, value: object) -> pd.DataFrame:
    data = frame()
    if value is None:
        data[column] = data[column].astype(object)
    data.loc[3, column] = value
    return data


def arrays(**changes):
    """Arguments of LMER for the same data as arrays."""
    data = frame()
    ones = np.ones(N)
    arguments = {
        "endog": data["y"].to_numpy().copy(),
        "exog": np.column_stack([ones, data["x"]]),
        "groups": data["g"].to_numpy().copy(),
        "exog_re": np.column_stack([ones, data["z"]]),
        "weights": data["w"].to_numpy().copy(),
        "offset": data["o"].to_numpy().copy(),
    }
    return {**arguments, **changes}


def poked(role: str, value: object) -> dict:
    """The array arguments with a value put into one role."""
    arguments = arrays()
    array = arguments[role].astype(object) if value is None else arguments[role]
    array[(3, 1) if array.ndim == 2 else 3] = value
    return {**arguments, role: array}


# role: how its messages name it, by formula and by arrays
FORMULA_ROLES = {
    "y": {"formula": "y ~ 1 + (1 | g)"},
    "x": {"formula": "y ~ x + (1 | g)"},
    "z": {"formula": "y ~ 1 + (z | g)"},
    "w": {"formula": "y ~ 1 + (1 | g)", "weights": "w"},
    "o": {"formula": "y ~ 1 + offset(o) + (1 | g)"},
}
ARRAY_ROLES = {
    "endog": "the response",
    "exog": "column '1'",
    "exog_re": "column 'x2' of (1 + x2 | Group)",
    "weights": "weights",
    "offset": "offset",
}


@pytest.mark.parametrize("column", FORMULA_ROLES)
def test_missing_values_are_refused_or_dropped(column):
    data = with_value(column, np.nan)
    message = rf"missing values in column '{column}' \(1 row\); use missing='drop'"
    with pytest.raises(MissingDataError, match=message):
        sml.lmer(data=data, missing="raise", **FORMULA_ROLES[column])
    model = sml.lmer(data=data, **FORMULA_ROLES[column])
    assert model.nobs == N - 1
    assert model.dropped_rows == {column: 1}


def test_missing_group_is_refused_or_dropped():
    data = with_value("g", None)
    with pytest.raises(MissingDataError, match="missing values in column 'g'"):
        sml.lmer(FORMULA, data, missing="raise")
    assert sml.lmer(FORMULA, data).dropped_rows == {"g": 1}


@pytest.mark.parametrize("missing", ["drop", "raise"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("column", FORMULA_ROLES)
def test_infinite_values_are_refused(column, value, missing):
    message = rf"infinite values in column '{column}' \(1 row\); remove these rows"
    with pytest.raises(ValueError, match=message):
        sml.lmer(
            data=with_value(column, value), missing=missing, **FORMULA_ROLES[column]
        )


@pytest.mark.parametrize("role", ["weights", "offset"])
def test_missing_and_infinite_values_of_array_arguments(role):
    values = frame()["w"].to_numpy().copy()
    values[[3, 5]] = np.nan
    with pytest.raises(MissingDataError, match=rf"in {role} \(argument\) \(2 rows\)"):
        sml.lmer(FORMULA, frame(), missing="raise", **{role: values})
    assert sml.lmer(FORMULA, frame(), **{role: values}).nobs == N - 2
    values[3] = np.inf
    with pytest.raises(ValueError, match=rf"infinite values in {role} \(argument\)"):
        sml.lmer(FORMULA, frame(), **{role: values})


@pytest.mark.parametrize("missing", ["none", "raise"])
@pytest.mark.parametrize("role", ARRAY_ROLES)
def test_missing_values_in_arrays(role, missing):
    message = re.escape(f"missing values in {ARRAY_ROLES[role]} (1 row); use missing=")
    with pytest.raises(MissingDataError, match=message):
        sml.LMER(**poked(role, np.nan), missing=missing)
    model = sml.LMER(**poked(role, np.nan), missing="drop")
    assert model.nobs == N - 1
    assert list(model.dropped_rows.values()) == [1]


@pytest.mark.parametrize("role", ARRAY_ROLES)
def test_infinite_values_in_arrays(role):
    message = re.escape(f"infinite values in {ARRAY_ROLES[role]} (1 row)")
    with pytest.raises(ValueError, match=message):
        sml.LMER(**poked(role, np.inf), missing="drop")


def test_missing_group_in_arrays():
    with pytest.raises(
        MissingDataError, match="missing values in the grouping 'Group'"
    ):
        sml.LMER(**poked("groups", None))
    assert sml.LMER(**poked("groups", None), missing="drop").nobs == N - 1


def double(data: pd.DataFrame, column: str) -> pd.DataFrame:
    return pd.concat([data, data[[column]]], axis=1)


DATA = {
    "constant": (
        FORMULA,
        lambda d: d.assign(y=3.0),
        r"the response is constant \(3 in all 40 rows\)",
    ),
    "constant bool": (FORMULA, lambda d: d.assign(y=True), "the response is constant"),
    "one level": (
        FORMULA,
        lambda d: d.assign(g="a"),
        r"grouping factor 'g' of \(1 \+ z \| g\) has only one level",
    ),
    "levels = n": (
        "y ~ x + (1 | g)",
        lambda d: d.assign(g=np.arange(N)),
        r"as many levels \(40\) as there are observations.*coarser factor",
    ),
    "more effects than rows": (
        "y ~ x + (x + z | g)",
        lambda d: d.assign(g=np.arange(N) // 2),
        r"\(1 \+ x \+ z \| g\) has 60 random effects \(20 levels of 'g' x 3",
    ),
    "empty": (FORMULA, lambda d: d.iloc[:0], "the data have no rows"),
    "one row": (
        "y ~ 1 + (1 | g)",
        lambda d: d.iloc[:1],
        r"too few data \(1 row\) for 1 fixed effects",
    ),
    "too few rows": (
        "y ~ C(h) * C(g) + (1 | g)",
        lambda d: d,
        r"too few data \(40 rows\) for 40 fixed effects; drop terms",
    ),
    "string response": (
        FORMULA,
        lambda d: d.assign(y="a"),
        r"the response 'y' is not numeric \(its dtype is .*pandas\.to_numeric",
    ),
    "digits as response": (
        FORMULA,
        lambda d: d.assign(y=d["y"].astype(str)),
        "the response 'y' is not numeric",
    ),
    "categorical response": (
        FORMULA,
        lambda d: d.assign(y=d["h"].astype("category")),
        "the response 'y' is not numeric",
    ),
    "datetime response": (
        FORMULA,
        lambda d: d.assign(y=pd.date_range("2020", periods=N)),
        "the response 'y' is not numeric",
    ),
    "complex response": (
        FORMULA,
        lambda d: d.assign(y=d["y"] + 1j),
        "column 'y' is complex; use real numbers",
    ),
    "two response columns": (
        "poly(x, 2) ~ z + (1 | g)",
        lambda d: d,
        r"the response 'poly\(x, 2\)' has 2 columns; it must be one numeric column",
    ),
    "no complete row": (
        FORMULA,
        lambda d: d.assign(x=np.nan),
        "no row is complete; rows with missing values, of 40: column 'x' 40",
    ),
    "no number by function": (
        "y ~ np.log(w) + (1 | g)",
        lambda d: d.assign(w=-1.0),
        r"np\.log\(w\) is not a number in any row",
    ),
    "infinite by function": (
        "y ~ np.log(w) + (1 | g)",
        lambda d: d.assign(w=[0.0] + [1.0, 2.0, 3.0] * 13),
        r"infinite values in np\.log\(w\) \(1 row\)",
    ),
    "columns of one name": (
        FORMULA,
        lambda d: double(d, "x"),
        "the data have 2 columns named 'x'; rename all but one",
    ),
    "number as name": (
        'y ~ Q("0") + (1 | g)',
        lambda d: d.rename(columns={"x": 0}),
        r"unknown column '0' in the fixed part; its name is not a string; .*columns={0:",
    ),
    "no column names": (
        FORMULA,
        lambda d: pd.DataFrame(d.to_numpy()),
        "unknown column 'y' in the response; the data have 0, 1, 2",
    ),
    "unevaluable fixed": (
        "y ~ np.log(h) + (1 | g)",
        lambda d: d,
        r"the fixed part \(y ~ np\.log\(h\)\) cannot be evaluated: ",
    ),
    "unevaluable random": (
        "y ~ x + (np.log(h) | g)",
        lambda d: d,
        r"the random term \(np\.log\(h\) \| g\) .*cannot be evaluated: ",
    ),
    "unknown function": (
        "y ~ nofunction(x) + (1 | g)",
        lambda d: d,
        "cannot be evaluated: name 'nofunction' is not defined",
    ),
    "unevaluable grouping": (
        "y ~ x + (1 | nofunction(g))",
        lambda d: d,
        r"the grouping 'nofunction\(g\)' cannot be evaluated",
    ),
    "grouping of two columns": (
        "y ~ x + (1 | poly(x, 2))",
        lambda d: d,
        r"has shape \(40, 2\); it must give one label to each of the 40 rows",
    ),
    "no random term": (
        "y ~ x",
        lambda d: d,
        r"no random-effects term such as \(1 \| group\); .*statsmodels\.formula\.api\.ols",
    ),
}


@pytest.mark.parametrize("case", DATA)
def test_unusable_data(case):
    formula, change, message = DATA[case]
    with pytest.raises(ValueError, match=message):
        sml.lmer(formula, change(frame()))


@pytest.mark.parametrize(
    ("formula", "arguments", "message"),
    [
        ("yy ~ x + (z | g)", {}, "'yy' in the response; did you mean 'y'"),
        ("y ~ xx + (z | g)", {}, "'xx' in the fixed part; did you mean 'x'"),
        ("y ~ x + (zz | g)", {}, r"'zz' in the random term \(zz \| g\); did you mean"),
        ("y ~ x + (z | gg)", {}, r"'gg' in the grouping of \(z \| gg\); did you mean"),
        (FORMULA, {"weights": "ww"}, r"'ww' in weights \(argument\); did you mean 'w'"),
        (FORMULA, {"offset": "oo"}, r"'oo' in offset \(argument\); did you mean 'o'"),
        (FORMULA + " + offset(oo)", {}, r"'oo' in offset\(\); did you mean 'o'"),
        (
            "y ~ Reaction + (1 | g)",
            {},
            "'Reaction' in the fixed part; the data have y,",
        ),
    ],
)
def test_unknown_columns(formula, arguments, message):
    with pytest.raises(ValueError, match="unknown column " + message):
        sml.lmer(formula, frame(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"weights": np.ones(3)},
            r"weights \(argument\) has shape \(3,\), but the data",
        ),
        ({"offset": np.ones(3)}, r"offset \(argument\) has shape \(3,\), but the data"),
        ({"weights": 2.0}, r"weights \(argument\) has shape \(\)"),
        ({"weights": ["a"] * N}, r"weights \(argument\) must be numbers"),
        ({"weights": "h"}, r"weights \(argument\) 'h' must be one numeric column"),
        ({"offset": "h"}, r"offset \(argument\) 'h' must be one numeric column"),
        (
            {"weights": pd.Series(np.ones(N), index=range(1, N + 1))},
            r"the index of weights \(argument\) is not that of the data; align it",
        ),
        (
            {"subset": np.ones(3, bool)},
            "subset has 3 entries, but the data have 40 rows",
        ),
        ({"subset": np.zeros(N, bool)}, "subset leaves no rows"),
        ({"subset": [1, 2, 999]}, "subset does not select rows of the data.*999"),
        ({"subset": "x > 0"}, "subset does not select rows of the data.*booleans"),
        (
            {"subset": pd.array([None] + [True] * (N - 1), dtype="boolean")},
            "booleans without missing values",
        ),
        ({"missing": "ignore"}, "missing must be 'drop' or 'raise', not 'ignore'"),
    ],
)
def test_unusable_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        sml.lmer(FORMULA, frame(), **arguments)


@pytest.mark.parametrize(("value", "kind"), [(-1.0, "negative"), (0.0, "zero")])
def test_weights_must_be_positive(value, kind):
    message = rf"the weights are {kind} in 1 row \(first at row 3\).*must be positive"
    with pytest.raises(ValueError, match=message):
        sml.lmer(FORMULA, with_value("w", value), weights="w")
    with pytest.raises(ValueError, match=message):
        sml.LMER(**poked("weights", value))


@pytest.mark.parametrize("data", [None, [1, 2], np.ones((3, 3)), "file.csv"])
def test_data_that_are_no_frame(data):
    with pytest.raises(TypeError, match="data must be a data frame or a mapping"):
        sml.lmer(FORMULA, data)


@pytest.mark.parametrize(
    ("formula", "message", "caret"),
    [
        ("y ~ x + (1 | g", r"unclosed '\('", 8),
        ("y ~ I(x^2) + (1 | g)", r"Python's power is '\*\*'", 7),
        ("y ~ x + 1 | g", "a random term needs parentheses", 10),
        ("x + (1 | g)", "the response is missing", 0),
        ("y ~ x + (1 | g) + (1 | g)", r"\(1 \| g\) occurs twice; remove one", 21),
    ],
)
def test_malformed_formulas_show_the_place(formula, message, caret):
    with pytest.raises(FormulaError, match=message) as caught:
        sml.lmer(formula, frame())
    *_, shown, marker = str(caught.value).splitlines()
    assert shown == "  " + formula
    assert marker == "  " + " " * caret + "^"


def test_formula_is_a_string():
    with pytest.raises(TypeError, match="a formula is a string, not NoneType"):
        sml.lmer(None, frame())


def test_perfect_fit_of_the_fixed_part():
    data = frame().assign(y=lambda d: 2 * d["x"] + 1)
    with pytest.raises(ValueError, match="perfect fit: the fixed effects reproduce"):
        sml.lmer(FORMULA, data).fit()
    with pytest.raises(ValueError, match=r"perfect fit.*among the predictors"):
        sml.lmer("y ~ y + (1 | g)", frame()).fit()
    with pytest.raises(ValueError, match="perfect fit: the fixed effects reproduce"):
        sml.LMER(**arrays(endog=np.arange(N), exog=np.arange(N), offset=None)).fit()


def test_perfect_fit_of_the_random_part():
    data = frame().assign(y=np.repeat(np.arange(8.0) ** 2, 5))
    with pytest.raises(ValueError, match="perfect fit: the random effects reproduce"):
        sml.lmer("y ~ 1 + (1 | g)", data).fit()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "newton"}, "unknown method 'newton'; choose one of bfgs"),
        ({"solver": "magic"}, "unknown solver 'magic'; choose one of auto"),
        ({"ddf": "magic"}, "unknown ddf 'magic'; choose one of"),
        ({"start_params": [1.0]}, "theta has 1 entries; this model has 3"),
    ],
)
def test_unknown_settings_of_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        sml.lmer(FORMULA, frame()).fit(**arguments)


def test_theta_of_wrong_length():
    model = sml.lmer(FORMULA, frame())
    for evaluate in (model.criterion, model.gradient):
        with pytest.raises(ValueError, match="theta has 2 entries; this model has 3"):
            evaluate([1.0, 2.0])


def test_cov_type_is_not_available():
    with pytest.raises(NotImplementedError, match="cov_type='HC0' is not available"):
        sml.lmer(FORMULA, frame()).fit(cov_type="HC0")


def test_unknown_keywords():
    with pytest.raises(TypeError, match="LMER got unknown arguments: wheights"):
        sml.lmer(FORMULA, frame(), wheights="w")
    with pytest.raises(TypeError, match="LMER got unknown arguments: wheights"):
        sml.LMER(**arrays(wheights=1))


TERM = sml.RandomTerm(np.repeat(np.arange(8), 5), name="g")
ARRAYS = {
    "constant": ({"endog": np.ones(N)}, "the response is constant"),
    "one level": ({"groups": np.ones(N)}, "has only one level"),
    "levels = n": (
        {"groups": np.arange(N), "exog_re": None},
        "has as many levels",
    ),
    "more effects than rows": (
        {"groups": np.arange(N) // 2, "exog_re": np.ones((N, 3)) + np.eye(N, 3)},
        "has 60 random effects",
    ),
    "empty": (
        {"endog": [], "exog": np.ones((0, 1)), "groups": [], "exog_re": None},
        "the data have no rows",
    ),
    "strings": ({"endog": ["a"] * N}, "the response is not numeric"),
    "digits": ({"endog": ["1"] * N}, "the response is not numeric"),
    "complex": ({"endog": np.ones(N) * 1j}, "the response is not numeric"),
    "dates": (
        {"endog": pd.date_range("2020", periods=N)},
        "the response is not numeric",
    ),
    "no response": ({"endog": None}, "the response must be one column of numbers"),
    "two columns": (
        {"endog": np.ones((N, 2))},
        r"the response must be one column of numbers; it has shape \(40, 2\)",
    ),
    "string exog": ({"exog": ["a"] * N}, "exog is not numeric"),
    "no exog": ({"exog": None}, "exog is missing"),
    "3-d exog": ({"exog": np.ones((N, 1, 1))}, "exog must have rows and columns"),
    "string columns": ({"exog_re": ["a"] * N}, "exog_re is not numeric"),
    "string weights": ({"weights": ["a"] * N}, "weights is not numeric"),
    "short exog": (
        {"exog": np.ones((3, 1))},
        "exog has 3 rows, but the response has 40",
    ),
    "short groups": (
        {"groups": list("aab"), "exog_re": None},
        r"the term \(1 \| Group\) has 3 rows, but the response has 40",
    ),
    "short columns": (
        {"exog_re": np.ones(3)},
        "'Group' has 40 groups but 3 rows of Z",
    ),
    "short weights": ({"weights": np.ones(3)}, "weights has 3 rows, but the response"),
    "short offset": ({"offset": [1.0]}, "offset has 1 row, but the response has 40"),
    "2-d groups": ({"groups": np.ones((N, 2))}, "groups must be one-dimensional"),
    "no random term": ({"groups": None}, "no random-effects term.*statsmodels' OLS"),
    "empty terms": (
        {"groups": None, "exog_re": None, "re_terms": []},
        "no random-effects term",
    ),
    "both": ({"re_terms": [TERM]}, "groups and exog_re or as re_terms, not both"),
    "duplicated": (
        {"groups": None, "exog_re": None, "re_terms": [TERM, TERM]},
        r"the term \(1 \| g\) stands twice",
    ),
    "one name": (
        {
            "groups": None,
            "exog_re": None,
            "re_terms": [TERM, sml.RandomTerm(np.arange(N) % 5, name="g")],
        },
        "two grouping factors are named 'g'; give each RandomTerm its own name",
    ),
    "unknown missing": ({"missing": "ignore"}, "missing must be 'drop' or 'raise'"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_unusable_arrays(case):
    changes, message = ARRAYS[case]
    with pytest.raises(ValueError, match=message):
        sml.LMER(**arrays(**changes))


def test_terms_that_are_no_terms():
    with pytest.raises(
        TypeError, match=r"re_terms holds a ndarray; wrap each grouping"
    ):
        sml.LMER(frame()["y"], np.ones(N), re_terms=[np.arange(N) % 4])


@pytest.mark.parametrize("role", ["exog", "groups", "exog_re", "weights", "offset"])
def test_indexes_must_agree(role):
    data = frame()
    roles = {"exog": "x", "groups": "g", "exog_re": "z", "weights": "w", "offset": "o"}
    arguments = {name: data[column] for name, column in roles.items()}
    arguments[role] = arguments[role].sort_index(ascending=False)
    with pytest.raises(
        ValueError, match=f"the index of {role} is not that of the data"
    ):
        sml.LMER(data["y"], **arguments)


def test_index_of_a_term_must_agree():
    data = frame()
    term = sml.RandomTerm(data["g"].sort_index(ascending=False), name="g")
    with pytest.raises(ValueError, match="the index of the grouping 'g'"):
        sml.LMER(data["y"], data["x"], re_terms=[term])


def test_boolean_response_is_taken_as_zero_and_one():
    data = frame()
    by_bool = sml.lmer("y ~ x + (1 | g)", data.assign(y=data["y"] > 0))
    by_number = sml.lmer("y ~ x + (1 | g)", data.assign(y=(data["y"] > 0) * 1.0))
    assert by_bool.criterion([0.7]) == by_number.criterion([0.7])
