"""Data of every common kind give the fit that plain pandas columns give."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from registry import small_frame as frame
from statsmodels.tools.sm_exceptions import MissingDataError

import sm_lmer.api as sml

N = 40
FORMULA = "y ~ x + (1 | g)"


def with_gaps() -> pd.DataFrame:
    data = frame()
    data.loc[3, "x"] = np.nan
    data["g"] = data["g"].where(data.index != 5)
    data.loc[7, "y"] = np.nan
    return data


def polars():
    return pytest.importorskip("polars")


def to_polars(data: pd.DataFrame):
    columns = {c: [None if v != v else v for v in data[c]] for c in data.columns}
    return polars().DataFrame(columns)


def arrow_dtypes(data: pd.DataFrame) -> pd.DataFrame:
    pytest.importorskip("pyarrow")
    return data.convert_dtypes(dtype_backend="pyarrow")


def cast_group(kind: str):
    def cast(data):
        pl = polars()
        enum = pl.Enum(list("zhgfedcba"))
        dtype = pl.Categorical if kind == "categorical" else enum
        return to_polars(data).with_columns(pl.col("g").cast(dtype))

    return cast


KINDS = {
    "nullable": lambda d: d.convert_dtypes(),
    "arrow dtypes": arrow_dtypes,
    "string": lambda d: d.astype({"g": "string"}),
    "object": lambda d: d.astype(object),
    "categorical": lambda d: d.astype({"g": "category"}),
    "dict": lambda d: {c: d[c].to_numpy() for c in d.columns},
    "dict of lists": lambda d: {c: d[c].tolist() for c in d.columns},
    "records": lambda d: d.to_records(index=False),
    "repeated index": lambda d: d.set_axis(np.zeros(N, int)),
    "multiindex": lambda d: d.set_index(["h", "o"]),
    "polars": to_polars,
    "polars lazy": lambda d: to_polars(d).lazy(),
    "polars categorical": cast_group("categorical"),
    "polars enum": cast_group("enum"),
    "arrow table": lambda d: pytest.importorskip("pyarrow") and to_polars(d).to_arrow(),
}


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_data_agree(kind, gaps, formula_engine):
    data = with_gaps() if gaps else frame()
    model, plain = sml.lmer(FORMULA, KINDS[kind](data)), sml.lmer(FORMULA, data)
    assert model.exog_names == ["Intercept", "x"]
    assert model.nobs == plain.nobs == (N - 3 if gaps else N)
    assert model.dropped_rows == ({"y": 1, "x": 1, "g": 1} if gaps else {})
    assert model.criterion([0.7]) == pytest.approx(plain.criterion([0.7]), rel=1e-12)


def test_read_only_arrays():
    columns = {c: frame()[c].to_numpy().copy() for c in frame()}
    for values in columns.values():
        values.setflags(write=False)
    res = sml.lmer(FORMULA, columns).fit()
    assert res.llf == pytest.approx(sml.lmer(FORMULA, frame()).fit().llf)


def test_the_data_are_left_alone(formula_engine):
    data = with_gaps().assign(c=pd.Categorical(frame()["h"], list("zpqrst")))
    before = data.copy(deep=True)
    sml.lmer("y ~ x + c + np.log(w) + (z | g)", data, weights="w").fit()
    pd.testing.assert_frame_equal(data, before)


# columns of the fixed part -----------------------------------------------------------

MASKED = {
    "k": pd.array([None, *(i % 3 for i in range(1, N))], dtype="Int64"),
    "f": pd.array([None, *np.linspace(0, 1, N - 1)], dtype="Float64"),
    "s": pd.array([None, *("uvw"[i % 3] for i in range(1, N))], dtype="string"),
    "n": [None, *(i % 3 for i in range(1, N))],
}


@pytest.mark.parametrize(
    ("column", "names"),
    [("k", ["k"]), ("f", ["f"]), ("s", ["s[T.v]", "s[T.w]"]), ("n", ["n"])],
)
def test_nullable_predictors(column, names, formula_engine):
    data = frame().assign(**{column: MASKED[column]})
    model = sml.lmer(f"y ~ {column} + (1 | g)", data)
    assert model.exog_names == ["Intercept", *names]
    assert model.dropped_rows == {column: 1}


@pytest.mark.parametrize("dtype", ["boolean", bool, object])
def test_boolean_predictors(dtype, formula_engine):
    data = frame()
    data["b"] = (data["z"] > 0).astype(dtype)
    model = sml.lmer("y ~ b + (1 | g)", data)
    name = "b[T.True]" if formula_engine == "patsy" else "b"
    assert model.exog_names == ["Intercept", name]
    np.testing.assert_array_equal(model.exog[:, 1], data["z"] > 0)


def test_objects_that_are_numbers_are_numbers(formula_engine):
    data = frame().astype({"y": object, "x": object})
    model = sml.lmer(FORMULA, data)
    assert model.exog_names == ["Intercept", "x"]


def unused() -> pd.DataFrame:
    """h as a categorical with an unused level and an order of its own."""
    return frame().assign(c=lambda d: pd.Categorical(d["h"], list("zqprst")))


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        (lambda d: d, {"subset": frame()["h"] != "q"}),
        (lambda d: d.assign(y=d["y"].where(d["h"] != "q")), {}),
        (lambda d: d.assign(w=d["w"].where(d["h"] != "q", -1.0)), {}),
    ],
    ids=["subset", "missing", "function"],
)
def test_levels_that_are_gone_leave_no_column(change, arguments, formula_engine):
    data = change(unused())
    model = sml.lmer("y ~ c + np.log(w) + (1 | c)", data, **arguments)
    assert model.exog_names == ["Intercept", "c[T.r]", "c[T.s]", "c[T.t]", "np.log(w)"]
    assert list(model.re_terms[0].factor.levels) == list("prst")
    assert model.nobs == 32


def test_categoricals_keep_their_order(formula_engine):
    model = sml.lmer("y ~ c + (1 | c)", unused())
    assert model.exog_names[1:] == ["c[T.p]", "c[T.r]", "c[T.s]", "c[T.t]"]
    assert list(model.re_terms[0].factor.levels) == list("qprst")


def test_ordered_categoricals_have_treatment_contrasts(formula_engine):
    data = unused()
    data["c"] = data["c"].cat.as_ordered()
    assert sml.lmer("y ~ c + (1 | g)", data).exog_names[1] == "c[T.p]"


def test_categories_that_are_numbers(formula_engine):
    data = frame().assign(c=pd.Categorical(np.arange(N) % 3, categories=[2, 1, 0]))
    model = sml.lmer("y ~ c + (1 | g)", data)
    assert model.exog_names == ["Intercept", "c[T.1]", "c[T.0]"]


def test_contrasts_by_name(formula_engine):
    model = sml.lmer("y ~ C(h, Sum) + (1 | g)", frame())
    assert model.exog_names[1] == "C(h, Sum)[S.p]"
    model = sml.lmer("y ~ C(h, Treatment('q')) + (1 | g)", frame())
    assert model.exog_names[1] == "C(h, Treatment('q'))[T.p]"


# grouping factors --------------------------------------------------------------------

DAYS = pd.date_range("2020-01-01", periods=8)
GROUPS = {
    "integers": (np.arange(N) // 5, list(range(8))),
    "floats": (np.arange(N) // 5 + 0.5, [i + 0.5 for i in range(8)]),
    "booleans": (np.arange(N) % 2 == 0, [False, True]),
    "dates": (DAYS.repeat(5), list(DAYS)),
    "dates with zone": (
        DAYS.tz_localize("UTC").repeat(5),
        list(DAYS.tz_localize("UTC")),
    ),
    "periods": (DAYS.to_period("D").repeat(5), list(DAYS.to_period("D"))),
    "mixed": (
        pd.Series([10, "b", 2.5, "a", "b", 2, 10, "10"] * 5),
        [2, 2.5, 10, "10", "a", "b"],
    ),
    "tuples": (pd.Series([(i % 4, 1) for i in range(N)]), [(i, 1) for i in range(4)]),
    "nullable": (pd.array(np.arange(N) // 5, dtype="Int64"), list(range(8))),
    "strings": (np.repeat(["b10", "b9", "a", "c"], 10), ["a", "b10", "b9", "c"]),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_labels_of_groups(kind, formula_engine):
    labels, levels = GROUPS[kind]
    data = frame().assign(k=labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        res = sml.lmer("y ~ x + (1 | k)", data).fit()
    assert list(res.ranef()["k"].index) == levels
    np.testing.assert_allclose(res.predict(data), res.fittedvalues, rtol=1e-12)


def test_labels_that_collide_when_pasted(formula_engine):
    data = pd.DataFrame({"a": ["x:y", "x", "q"] * 20, "b": ["z", "y:z", "q"] * 20})
    rng = np.random.default_rng(2)
    data["y"] = np.tile([0.0, 10.0, 5.0], 20) + rng.normal(size=60)
    res = sml.lmer("y ~ 1 + (1 | a:b)", data).fit()
    assert res.n_groups == {"a:b": 3}
    modes = np.sort(res.ranef()["a:b"]["Intercept"].to_numpy())
    assert modes[0] < -4 < 4 < modes[2]
    np.testing.assert_allclose(res.predict(data), res.fittedvalues, rtol=1e-12)


def test_groups_by_expression(formula_engine):
    data = frame()
    for text in ("g.str.upper()", "np.where(g == 'a', 'b', g)", "C(g)"):
        res = sml.lmer(f"y ~ x + (1 | {text})", data).fit()
        np.testing.assert_allclose(res.predict(data), res.fittedvalues, rtol=1e-12)


def test_groups_missing_by_expression(formula_engine):
    data = frame()
    text = "pd.cut(w, [1, 1.2, 1.5])"
    model = sml.lmer(f"y ~ x + (1 | {text})", data)
    assert model.nobs == (data["w"] <= 1.5).sum()
    assert model.dropped_rows == {
        "the grouping pd.cut(w, [1, 1.2, 1.5])": (data["w"] > 1.5).sum()
    }
    crossed = sml.lmer(f"y ~ x + (1 | {text}:h)", data)
    assert crossed.nobs == model.nobs


# names of the caller -----------------------------------------------------------------

MODULE_ARRAY = np.sqrt(np.abs(frame()["z"].to_numpy()))
MODULE_NUMBER = 3.0


def tripled(values):
    return 3 * values


@pytest.mark.parametrize("eval_env", [None, 0, 1])
def test_names_of_the_caller(eval_env, formula_engine):
    array, number, labels = np.arange(float(N)) ** 2, 2.0, np.arange(N) // 8
    a_list, weights = array.tolist(), np.linspace(1, 2, N)

    def half(values):
        return values / 2

    data, scope = frame(), {"eval_env": eval_env}
    text = "y ~ array + half(x) + I(z * number) + (half(w) | labels)"
    model = sml.lmer(text, data, **scope)
    assert model.exog_names[1:] == ["array", "half(x)", "I(z * number)"]
    assert model.re_terms[0].columns == ("Intercept", "half(w)")
    assert model.re_terms[0].factor.n_levels == len(set(labels))
    np.testing.assert_array_equal(model.exog[:, 1], array)
    model = sml.lmer("y ~ a_list + (1 | g)", data, **scope)
    np.testing.assert_array_equal(model.exog[:, 1], a_list)
    text = "y ~ MODULE_ARRAY + tripled(x) + I(o * MODULE_NUMBER) + (1 | g)"
    model = sml.lmer(text, data, **scope)
    np.testing.assert_array_equal(model.exog[:, 2], 3 * data["x"])
    text = "y ~ x + offset(half(z) * number) + (1 | g)"
    model = sml.lmer(text, data, weights="weights * 2", **scope)
    np.testing.assert_allclose(model.offset, data["z"] * number / 2)
    np.testing.assert_array_equal(model.weights, 2 * weights)


def test_names_of_a_frame_further_up():
    hidden = np.arange(float(N)) ** 2

    def build(eval_env):
        return sml.lmer("y ~ hidden + (1 | g)", frame(), eval_env=eval_env)

    with pytest.raises(ValueError, match="unknown column 'hidden'"):
        build(1)
    np.testing.assert_array_equal(build(2).exog[:, 1], hidden)


def test_names_of_a_mapping_only(formula_engine):
    half = {"half": lambda values: values / 2}
    model = sml.lmer("y ~ half(x) + (1 | g)", frame(), eval_env=half)
    np.testing.assert_array_equal(model.exog[:, 1], frame()["x"] / 2)
    with pytest.raises(ValueError, match="name 'tripled' is not defined"):
        sml.lmer("y ~ tripled(x) + (1 | g)", frame(), eval_env=half)


def test_no_names_but_the_package_s(formula_engine):
    model = sml.lmer("y ~ np.exp(x) + poly(z, 2) + (1 | g)", frame(), eval_env=-1)
    np.testing.assert_allclose(model.exog[:, 1], np.exp(frame()["x"]))
    with pytest.raises(ValueError, match="name 'tripled' is not defined"):
        sml.lmer("y ~ tripled(x) + (1 | g)", frame(), eval_env=-1)


def test_patsy_environment():
    import patsy

    number = 2.0
    environment = patsy.EvalEnvironment.capture()
    model = sml.lmer("y ~ I(x**number) + (1 | g)", frame(), eval_env=environment)
    np.testing.assert_allclose(model.exog[:, 1], frame()["x"] ** number)


def test_columns_come_before_names():
    x = np.zeros(N)
    model = sml.lmer(FORMULA, frame())
    assert not (model.exog[:, 1] == x).any()


def test_series_of_the_caller_must_have_the_data_s_index():
    series = frame()["x"].sort_index(ascending=False)
    with pytest.raises(
        ValueError, match="the index of 'series' is not that of the data"
    ):
        sml.lmer("y ~ series + (1 | g)", frame())
    assert len(series) == N


# functions ---------------------------------------------------------------------------


def test_functions_in_both_parts(formula_engine):
    data = frame()
    model = sml.lmer("y ~ poly(x, 2) + scale(z) + log(w) + (scale(x) | g)", data)
    X = model.exog
    np.testing.assert_allclose(X[:, 1:3].T @ X[:, 1:3], np.eye(2), atol=1e-12)
    np.testing.assert_allclose(X[:, 1:4].mean(axis=0), 0, atol=1e-12)
    assert X[:, 3].std(ddof=1) == pytest.approx(1)
    np.testing.assert_allclose(X[:, 4], np.log(data["w"]))
    assert model.re_terms[0].columns == ("Intercept", "scale(x)")


def test_functions_that_give_nan(formula_engine):
    data = frame()
    lost = int((data["z"] < 0).sum())
    model = sml.lmer("y ~ np.sqrt(z) + scale(x) + (1 | g)", data)
    assert model.nobs == N - lost
    assert model.dropped_rows == {"np.sqrt(z)": lost}
    assert np.abs(model.exog[:, 2].mean()) < 1e-12, "scale() of the rows that are left"
    model = sml.lmer("y ~ x + (np.sqrt(z) | g)", data)
    assert model.dropped_rows == {"np.sqrt(z)": lost}
    with pytest.raises(
        MissingDataError, match=rf"np\.sqrt\(z\) is not a number in {lost} rows"
    ):
        sml.lmer("y ~ np.sqrt(z) + (1 | g)", data, missing="raise")


# rows --------------------------------------------------------------------------------

MASK = frame()["x"].to_numpy() > 0
SUBSETS = {
    "array": MASK,
    "list": MASK.tolist(),
    "series": pd.Series(MASK),
    "shuffled series": pd.Series(MASK).sort_index(ascending=False),
    "nullable": pd.array(MASK, dtype="boolean"),
    "labels": np.flatnonzero(MASK),
    "index": pd.Index(np.flatnonzero(MASK)),
}


@pytest.mark.parametrize("kind", SUBSETS)
def test_subset_with_missing_data_and_array_weights(kind, formula_engine):
    data = frame()
    data.loc[np.flatnonzero(MASK)[2], "z"] = np.nan
    data.loc[np.flatnonzero(~MASK)[0], "z"] = np.nan
    weights, offset = data["w"].to_numpy(), data["o"].to_numpy()
    model = sml.lmer(
        "y ~ z + (1 | g)", data, subset=SUBSETS[kind], weights=weights, offset=offset
    )
    used = np.flatnonzero(MASK & data["z"].notna())
    np.testing.assert_array_equal(model.weights, weights[used])
    np.testing.assert_array_equal(model.offset, offset[used])
    np.testing.assert_array_equal(model.data.row_labels, used)
    assert (model.n_data, model.dropped_rows) == (N, {"z": 1})
    by_hand = sml.lmer(
        "y ~ z + (1 | g)",
        data.iloc[used],
        weights=weights[used],
        offset=offset[used],
    )
    assert model.criterion([0.7]) == pytest.approx(by_hand.criterion([0.7]), rel=1e-13)


def test_subset_by_slice_and_by_string_labels():
    labelled = frame().set_axis([f"r{i}" for i in range(N)])
    model = sml.lmer(FORMULA, labelled, subset=[f"r{i}" for i in range(30)])
    assert model.nobs == 30
    assert sml.lmer(FORMULA, frame(), subset=slice(0, 29)).nobs == 30


def test_subset_of_a_repeated_index():
    data = frame().set_axis(np.arange(N) % 2)
    assert sml.lmer(FORMULA, data, subset=[0]).nobs == N // 2
    assert sml.lmer(FORMULA, data, subset=MASK).nobs == MASK.sum()


def test_summary_counts_the_rows_left_out():
    text = sml.lmer(FORMULA, with_gaps()).fit().summary().as_text()
    assert "3 of 40 rows are not used (missing values: y 1, x 1, g 1)." in text
    text = sml.lmer(FORMULA, frame(), subset=slice(0, 29)).fit().summary().as_text()
    assert "10 of 40 rows are not used (subset)." in text


@pytest.mark.parametrize(
    ("drop", "names"),
    [
        (["Intercept", "x"], ["C(h)[T.q]", "C(h)[T.r]", "C(h)[T.s]", "C(h)[T.t]"]),
        ("x", ["Intercept", "C(h)[T.q]", "C(h)[T.r]", "C(h)[T.s]", "C(h)[T.t]"]),
        (["C(h)"], ["Intercept", "x"]),
        (["C(h)[T.q]"], ["Intercept", "C(h)[T.r]", "C(h)[T.s]", "C(h)[T.t]", "x"]),
    ],
)
def test_drop_cols(drop, names, formula_engine):
    data = frame()
    res = sml.lmer("y ~ x + C(h) + (1 | g)", data, drop_cols=drop).fit()
    assert sorted(res.params.index) == sorted(names)
    np.testing.assert_allclose(res.predict(data), res.fittedvalues, rtol=1e-12)


def test_columns_without_a_string_as_name_may_stand_by():
    data = frame().rename(columns={"w": 0, "o": ("a", 1)})
    assert sml.lmer(FORMULA, data).nobs == N


def test_repeated_names_of_columns_that_are_not_used_may_stand_by():
    data = pd.concat([frame(), frame()[["z"]]], axis=1)
    assert sml.lmer(FORMULA, data).nobs == N
