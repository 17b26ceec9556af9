"""LMER built from arrays, as statsmodels' MixedLM is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sm_lmer.api as sml


def sleepstudy(data):
    frame = data("sleepstudy")
    return frame, np.column_stack([np.ones(len(frame)), frame["Days"]])


def assert_same_fit(res, other):
    assert res.llf == pytest.approx(other.llf, rel=1e-10)
    np.testing.assert_allclose(res.theta, other.theta, rtol=1e-5)
    np.testing.assert_allclose(res.params, other.params, rtol=1e-7)
    np.testing.assert_allclose(res.fittedvalues, other.fittedvalues, rtol=1e-6)


def test_numpy_arrays_agree_with_the_formula(data, fits):
    frame, X = sleepstudy(data)
    res = sml.LMER(
        frame["Reaction"].to_numpy(), X, groups=frame["Subject"].to_numpy(), exog_re=X
    ).fit()
    assert_same_fit(res, fits("sleepstudy"))
    assert res.model.exog_names == ["const", "x1"]
    assert res.model.re_terms[0].columns == ("Intercept", "x2")
    assert res.n_groups == {"Group": 18}


def test_pandas_names_are_in_all_output(data, fits):
    frame, X = sleepstudy(data)
    columns = pd.DataFrame(X, columns=["one", "Days"], index=frame.index)
    res = sml.LMER(
        frame["Reaction"], columns, groups=frame["Subject"], exog_re=columns
    ).fit()
    assert_same_fit(res, fits("sleepstudy"))
    assert res.params.index.tolist() == ["one", "Days"]
    assert res.model.endog_names == "Reaction"
    assert res.model.lmer_formula is None
    assert res.varcorr()["grp"].tolist() == ["Subject"] * 3 + ["Residual"]
    assert res.varcorr()["var1"].tolist()[:2] == ["one", "Days"]
    assert res.ranef()["Subject"].columns.tolist() == ["one", "Days"]
    assert res.fittedvalues.index.equals(frame.index)
    text = res.summary().as_text()
    for name in ("Reaction", "Subject", "Days"):
        assert name in text


def test_several_terms(data, fits):
    frame = data("penicillin")
    terms = [
        sml.RandomTerm(frame["sample"], name="sample"),
        sml.RandomTerm(frame["plate"], name="plate"),
    ]
    res = sml.LMER(frame["diameter"], np.ones(len(frame)), re_terms=terms).fit()
    assert_same_fit(res, fits("penicillin"))
    assert [term.name for term in res.model.re_terms] == ["plate", "sample"]


def test_a_single_term_needs_no_list(data, fits):
    frame = data("dyestuff")
    term = sml.RandomTerm(frame["Batch"], name="Batch")
    res = sml.LMER(frame["Yield"], np.ones(len(frame)), re_terms=term).fit()
    assert_same_fit(res, fits("dyestuff"))


def test_diagonal_term(data):
    frame, X = sleepstudy(data)
    term = sml.RandomTerm(frame["Subject"], X, "Subject", diagonal=True)
    res = sml.LMER(frame["Reaction"], X, re_terms=[term]).fit()
    assert_same_fit(res, sml.lmer("Reaction ~ Days + (Days || Subject)", frame).fit())


def test_weights_and_offset(data, rng):
    frame, X = sleepstudy(data)
    weights, offset = rng.uniform(1, 2, 180), rng.normal(size=180)
    extras = {"weights": weights, "offset": offset}
    res = sml.LMER(frame["Reaction"], X, groups=frame["Subject"], **extras).fit()
    other = sml.lmer("Reaction ~ Days + (1 | Subject)", frame, **extras).fit()
    assert_same_fit(res, other)
    weights[0] = offset[0] = 99.0
    assert res.model.weights[0] != 99.0
    assert res.model.offset[0] != 99.0


def test_missing_rows_are_dropped_jointly(data):
    frame, X = sleepstudy(data)
    roles = {
        "endog": frame["Reaction"].to_numpy().copy(),
        "exog": X.copy(),
        "groups": frame["Subject"].to_numpy(dtype=object).copy(),
        "exog_re": X.copy(),
        "weights": np.linspace(1, 2, 180),
        "offset": np.linspace(0, 1, 180),
    }
    for row, role in enumerate(roles):
        values = roles[role]
        values[(row, 1) if values.ndim == 2 else row] = (
            None if role == "groups" else np.nan
        )
    res = sml.LMER(**roles, missing="drop").fit()
    assert res.nobs == 174
    assert res.model.dropped_rows == {
        "the response": 1,
        "column '1'": 1,
        "column 'x2' of (1 + x2 | Group)": 1,
        "the grouping 'Group'": 1,
        "weights": 1,
        "offset": 1,
    }
    kept = {role: values[6:] for role, values in roles.items()}
    assert_same_fit(res, sml.LMER(**kept).fit())
    assert "6 of 180 rows are not used" in res.summary().as_text()


def test_dropped_rows_keep_their_labels(data):
    frame, X = sleepstudy(data)
    frame = frame.set_axis([f"r{i}" for i in range(180)])
    response = frame["Reaction"].where(frame.index != "r3")
    columns = pd.DataFrame(X, columns=["one", "Days"], index=frame.index)
    res = sml.LMER(response, columns, frame["Subject"], missing="drop").fit()
    assert res.resid.index.tolist() == [f"r{i}" for i in range(180) if i != 3]


LABELS = np.repeat(list("abcdefgh"), 5)
GROUPS = {
    "list": LABELS.tolist(),
    "categorical": pd.Categorical(LABELS, list("zhgfedcba")),
    "series": pd.Series(LABELS, dtype="category"),
    "string": pd.Series(LABELS, dtype="string"),
    "datetime": pd.date_range("2020", periods=8).repeat(5),
    "boolean": np.arange(40) % 2 == 0,
    "mixed": np.array([1, "a", 2.5, "b", 3, "c", 4, "d"] * 5, dtype=object),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_kinds_of_groups(kind, rng):
    model = sml.LMER(rng.normal(size=40), np.ones(40), GROUPS[kind])
    factor = model.re_terms[0].factor
    labels = pd.Series(GROUPS[kind]).astype(object)
    assert factor.levels[factor.codes].tolist() == labels.tolist()
    assert set(factor.levels) == set(labels)


MISSING = {
    "None": [None, *LABELS[1:]],
    "nan among strings": [np.nan, *LABELS[1:]],
    "float": np.where(np.arange(40) == 0, np.nan, np.arange(40) // 5),
    "NA": pd.Series([pd.NA, *LABELS[1:]], dtype="string"),
    "Int64": pd.array([None, *(np.arange(1, 40) // 5)], dtype="Int64"),
    "NaT": pd.DatetimeIndex([pd.NaT, *pd.date_range("2020", periods=8).repeat(5)[1:]]),
    "categorical": pd.Categorical([None, *LABELS[1:]]),
}


@pytest.mark.parametrize("kind", MISSING)
def test_kinds_of_missing_groups(kind, rng):
    model = sml.LMER(rng.normal(size=40), np.ones(40), MISSING[kind], missing="drop")
    assert model.nobs == 39
    assert model.re_terms[0].factor.n_levels == 8


def test_categorical_groups_keep_their_order(rng):
    groups = pd.Categorical(LABELS, list("zhgfedcba"))
    model = sml.LMER(rng.normal(size=40), np.ones(40), groups)
    assert model.re_terms[0].factor.levels.tolist() == list("hgfedcba")


@pytest.mark.parametrize("missing", [False, True])
def test_nullable_columns(data, missing):
    frame, _ = sleepstudy(data)
    frame = frame[["Reaction", "Days"]].convert_dtypes()
    if missing:
        frame.loc[3, "Days"] = pd.NA
    frame["one"] = pd.array(np.ones(180), dtype="Int64")
    groups = data("sleepstudy")["Subject"]
    res = sml.LMER(
        frame["Reaction"],
        frame[["one", "Days"]],
        groups,
        weights=frame["one"],
        missing="drop",
    ).fit()
    rows = data("sleepstudy").drop(index=[3] if missing else [])
    assert_same_fit(res, sml.lmer("Reaction ~ Days + (1 | Subject)", rows).fit())


def test_read_only_arrays(data, fits):
    frame, X = sleepstudy(data)
    y = frame["Reaction"].to_numpy().copy()
    y.setflags(write=False)
    X.setflags(write=False)
    assert_same_fit(sml.LMER(y, X, frame["Subject"], X).fit(), fits("sleepstudy"))


def test_fortran_order_and_integer_columns(data, fits):
    frame, X = sleepstudy(data)
    X = np.asfortranarray(X.astype(int))
    assert_same_fit(
        sml.LMER(frame["Reaction"].tolist(), X, frame["Subject"], X).fit(),
        fits("sleepstudy"),
    )


def test_polars(data, fits):
    pl = pytest.importorskip("polars")
    frame, X = sleepstudy(data)
    table = pl.DataFrame(
        {
            "Reaction": frame["Reaction"].to_numpy(),
            "one": X[:, 0],
            "Days": X[:, 1],
            "Subject": frame["Subject"].astype(str).tolist(),
        }
    )
    columns = table.select("one", "Days")
    res = sml.LMER(table["Reaction"], columns, table["Subject"], columns).fit()
    assert_same_fit(res, fits("sleepstudy"))
    assert res.params.index.tolist() == ["one", "Days"]
    assert list(res.n_groups) == ["Subject"]
    assert res.model.re_terms[0].columns == ("one", "Days")


def test_bool_response_and_one_column_frames(rng):
    y = rng.normal(size=40) > 0
    by_vector = sml.LMER(y, np.ones(40), LABELS)
    by_frame = sml.LMER(pd.DataFrame({"y": y * 1.0}), pd.Series(np.ones(40)), LABELS)
    assert by_vector.criterion([0.5]) == by_frame.criterion([0.5])
