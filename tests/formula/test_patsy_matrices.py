"""Columns in the form patsy is quick with: what it makes of them is the same."""

import numpy as np
import pandas as pd
import patsy
import pytest

import sm_lmer.api as sml
from sm_lmer.compat.patsy_matrices import KEEP, matrices
from sm_lmer.formula.groups import factor_codes
from sm_lmer.formula.namespace import evaluation_namespace

N = 24


def upper(x):
    return x.str.upper()


def lag(x):
    return x.shift(1).fillna(0.0)


def backwards(x):
    return x.iloc[::-1]


NAMES = {
    "upper": upper,
    "lag": lag,
    "backwards": backwards,
    "k": 2.0,
}


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)

    def words(labels, dtype=object):
        values = np.array([*labels, *rng.choice(labels, N - len(labels))], dtype=object)
        return pd.Series(rng.permutation(values)).astype(dtype).to_numpy()

    data = pd.DataFrame(
        {
            "y": rng.standard_normal(N),
            "x": rng.standard_normal(N),
            "n": rng.integers(0, 4, N),
            "flag": rng.random(N) < 0.5,
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(N) % 3, "D"),
            "level": pd.Categorical.from_codes(np.arange(N) % 3, ["mid", "low", "top"]),
        },
        index=pd.Index(np.arange(N)[::-1] * 2, name="row"),
    )
    data["f"] = pd.Series(words(["b", "a", "Z", "é", "_"]), data.index, dtype=object)
    data["g"] = pd.Series(words(["10", "9", "x y"]), data.index, dtype=object)
    data["my col"] = pd.Series(words(["p", "q"]), data.index, dtype=object)
    mixed = np.array(["a", 1, 2.5, "b"] * (N // 4), dtype=object)
    data["mixed"] = pd.Series(mixed, data.index, dtype=object)
    data["odd"] = pd.Series([True, "yes"] * (N // 2), data.index, dtype=object)
    return data


RIGHT_SIDES = [
    "1",
    "0 + x",
    "x + n + flag + level + f",
    "0 + f + g",
    "f * g + x:f",
    "level * x + f:level",
    "mixed + x",
    "odd",
    "when + x",
    "C(n) + x",
    "C(n) * n",
    "C(f)",
    "C(f) + x",
    "f + C(g, Sum)",
    "C(f, Treatment(reference='é')) * x",
    "C(f, contrast=Treatment('b'))",
    "C(f, levels=['_', 'a', 'b', 'é', 'Z'])",
    "C(f, Sum, ['_', 'a', 'b', 'é', 'Z']) + x",
    "C(level, Poly)",
    "C(n, Diff) + level",
    'Q("my col") + x',
    'C(Q("my col")) + Q("my col"):x',
    "f + upper(f)",
    "f + upper(g)",
    "g + I(np.where(f == 'a', 1, 0))",
    "np.where(f == 'a', 'yes', 'no') + g",
    "f.str.len() + f",
    "f + x + np.log(x**2) + n",
    "lag(x) + x + f",
    "scale(x) + poly(n, 2) + g",
    "bs(x, df=4) + f",
    "x + I(k * x)",
    "f:g:level",
]


@pytest.mark.parametrize("right", RIGHT_SIDES)
@pytest.mark.parametrize("left", ["y ~ ", "np.exp(y) ~ ", ""])
def test_columns_and_names_are_those_of_patsy(frame, left, right):
    if right == "1" and not left:
        pytest.skip("patsy itself counts the rows of the frame")
    scope = evaluation_namespace(NAMES)
    formula = left + right
    environment = patsy.EvalEnvironment([scope])
    arguments = formula, frame, environment, KEEP, "dataframe"
    expected = patsy.dmatrices(*arguments) if left else [patsy.dmatrix(*arguments)]
    found_left, found_right, specification = matrices(formula, frame, scope)
    found = [found_left, found_right] if left else [found_right]
    for ours, theirs in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
        assert ours.index.name == theirs.index.name
    theirs = expected[-1].design_info
    assert specification.column_names == theirs.column_names
    assert specification.term_name_slices == theirs.term_name_slices
    for factor, info in theirs.factor_infos.items():
        own = specification.factor_infos[factor]
        assert (own.type, own.categories) == (info.type, info.categories)
        assert list(map(type, own.categories or ())) == list(
            map(type, info.categories or ())
        )


@pytest.mark.parametrize("right", RIGHT_SIDES)
def test_the_specification_evaluates_new_rows_as_patsys_does(frame, right):
    scope = evaluation_namespace(NAMES)
    environment = patsy.EvalEnvironment([scope])
    _, theirs = patsy.dmatrices(f"y ~ {right}", frame, environment, KEEP)
    _, _, ours = matrices(f"y ~ {right}", frame, scope)
    new = frame.iloc[5:20]
    expected, found = (
        patsy.dmatrix(info, new, NA_action=KEEP, return_type="dataframe")
        for info in (theirs.design_info, ours)
    )
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + nowhere",
        "y ~ x + k",
        "y ~ backwards(x)",
        "y ~ x + backwards(x) + f",
        "y ~ upper(x)",
        "y ~ C(f, levels=['a', 'b'])",
        "y ~ C(f, Treatment('none'))",
    ],
)
def test_what_patsy_refuses_is_refused_in_its_words(frame, formula):
    scope = evaluation_namespace(NAMES)
    with pytest.raises(patsy.PatsyError) as expected:
        patsy.dmatrices(formula, frame, patsy.EvalEnvironment([scope]), KEEP)
    with pytest.raises(patsy.PatsyError) as found:
        matrices(formula, frame, scope)
    assert str(found.value) == str(expected.value)


def test_other_meanings_of_c_and_q_get_the_columns_as_they_are(frame):
    seen = []

    def code(x):
        seen.append(x.dtype)
        return x == "a"

    scope = evaluation_namespace({"C": code})
    _, X, _ = matrices("y ~ C(f) + x", frame, scope)
    assert set(seen) == {np.dtype(object)}
    assert X["C(f)[T.True]"].sum() == (frame["f"] == "a").sum()


def test_a_frame_with_labels_that_repeat(frame):
    frame = frame.set_axis([0, 0, *range(2, N)], axis=0)
    left, right, _ = matrices("y ~ x + f", frame, {})
    assert list(left.index) == list(right.index) == list(frame.index)
    assert (right["x"].to_numpy() == frame["x"].to_numpy()).all()


def test_the_frame_is_left_as_it_is(frame):
    before = frame.copy()
    matrices("y ~ f + C(g) + x", frame, {})
    matrices("y ~ f + np.log(x**2)", frame, {"np": np})
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("dtype", [object, "string", "category", "str"])
@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
def test_models_of_strings_do_not_depend_on_how_strings_are_kept(
    formula_engine, dtype, gap
):
    if dtype == "str" and pd.Series(["a"], dtype=dtype).dtype == object:
        pytest.skip("before pandas 3 it makes strings of missing values")
    data = sml.datasets.load_machines()
    plain = data.astype({"Machine": str, "Worker": str}).astype(object)
    plain["score"] = plain["score"].astype(float)
    plain.loc[3, "Machine"] = plain.loc[7, "Worker"] = gap
    kept = {"Machine": dtype, "Worker": dtype}
    formula = "score ~ Machine + (1 | Worker) + (1 | Worker:Machine)"
    expected = sml.lmer(formula, plain)
    found = sml.lmer(formula, plain.astype(kept))
    assert found.exog_names == expected.exog_names
    assert found.dropped_rows == expected.dropped_rows == {"Machine": 1, "Worker": 1}
    np.testing.assert_array_equal(found.exog, expected.exog)
    for ours, theirs in zip(found.re_terms, expected.re_terms, strict=True):
        np.testing.assert_array_equal(ours.factor.codes, theirs.factor.codes)
        assert list(ours.factor.levels) == list(theirs.factor.levels)
    new = pd.DataFrame({"Machine": ["C", "A"], "Worker": ["6", "6"]})
    res, other = found.fit(), expected.fit()
    np.testing.assert_allclose(res.predict(new), other.predict(new), rtol=1e-12)
    with pytest.raises(ValueError, match="'Machine' has levels the model has not seen"):
        res.predict(new.assign(Machine=["C", "D"]))


def test_codes_of_strings_in_every_type():
    labels = ["b", "a", "Z", "é", "10", "9", "日本", "a b", "", "b", "é"]
    expected = sorted(set(labels))
    for dtype in (object, "string", "str"):
        factor = factor_codes(pd.Series(labels, dtype=dtype))
        assert list(factor.levels) == expected
        assert all(type(level) is str for level in factor.levels)
        assert [factor.levels[k] for k in factor.codes] == labels
    gaps = factor_codes(pd.Series(["b", None, "a"], dtype="string"))
    assert list(gaps.codes) == [1, -1, 0]
