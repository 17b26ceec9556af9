"""Predictions: against R, new data of every kind, new levels, both engines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from registry import dataset, reference

import sm_lmer.api as sml
from sm_lmer.formula.grammar import FormulaError

CASES = {case["id"]: case for case in reference("lmm_predict")["predictions"]}
RE_FORM = {"conditional": None, "fixed": False}
N = 40


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    data = pd.DataFrame(rng.normal(size=(N, 4)), columns=["y", "x", "z", "o"])
    data["w"] = rng.uniform(1, 2, N)
    data["g"] = np.repeat(list("abcdefgh"), 5)
    data["h"] = np.tile(list("pqrst"), 8)
    data["c"] = pd.Categorical(data["h"], list("tsrqp"))
    data["k"] = np.arange(N) % 3
    data["b"] = data["z"] > 0
    data["y"] += np.repeat(rng.normal(size=8), 5)
    return data


def new_sleep(**changes) -> pd.DataFrame:
    return pd.DataFrame(
        {"Days": [0.0, 4.5, 7.0], "Subject": ["308", "335", "372"], **changes}
    )


# against R ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case_id", "k"), [(c, k) for c in CASES for k in range(len(CASES[c]["predict"]))]
)
def test_predictions_agree_with_lme4(case_id, k, fits):
    case, res = CASES[case_id], fits(case_id)
    expected = case["predict"][k]
    re_form = RE_FORM.get(expected["re_form"], expected["re_form"])
    scale = np.abs(expected["original"]).max()
    own = res.predict(re_form=re_form)
    np.testing.assert_allclose(own.iloc[:12], expected["original"], atol=2e-6 * scale)
    again = res.predict(dataset(case_id), re_form=re_form)
    np.testing.assert_allclose(again, own, rtol=1e-12)
    new = pd.DataFrame(case["newdata"])
    ours = res.predict(new, re_form=re_form, allow_new_levels=True)
    np.testing.assert_allclose(ours, expected["new"], atol=2e-6 * scale)


@pytest.mark.parametrize("case_id", CASES)
def test_new_levels_are_refused_as_in_lme4(case_id, fits):
    assert CASES[case_id]["error_without_allow_new_levels"]
    with pytest.raises(ValueError, match=r"levels the model has not seen: .*allow_new"):
        fits(case_id).predict(pd.DataFrame(CASES[case_id]["newdata"]))


# random effects ----------------------------------------------------------------------


def test_own_rows_are_the_fitted_values(fits):
    res = fits("sleepstudy")
    pd.testing.assert_series_equal(
        res.predict(), res.fittedvalues, check_names=False, rtol=1e-12
    )


@pytest.mark.parametrize("none", [False, "~0", "~ 0", "0", np.nan])
def test_marginal_means(none, fits):
    res = fits("sleepstudy")
    expected = res.params["Intercept"] + res.params["Days"] * new_sleep()["Days"]
    np.testing.assert_allclose(res.predict(new_sleep(), re_form=none), expected)


def test_marginal_means_need_no_groups(fits):
    new = new_sleep()[["Days"]]
    assert np.isfinite(fits("sleepstudy").predict(new, re_form=False)).all()


def test_all_terms_written_out_are_all_terms(fits):
    res = fits("sleepstudy")
    for text in ("~ (Days | Subject)", "~ (1 | Subject) + (0 + Days | Subject)"):
        np.testing.assert_allclose(
            res.predict(new_sleep(), re_form=text), res.predict(new_sleep())
        )
    res = fits("pastes")
    data = dataset("pastes")
    whole = res.predict(data, re_form="~ (1 | batch/cask)")
    np.testing.assert_allclose(whole, res.fittedvalues)


def test_a_partial_form_needs_its_own_groups_only(fits):
    res = fits("pastes")
    by_batch = res.predict(pd.DataFrame({"batch": ["A"]}), re_form="~ (1 | batch)")
    mode = res.ranef()["batch"].loc["A", "Intercept"]
    assert by_batch[0] == pytest.approx(res.params["Intercept"] + mode)


@pytest.mark.parametrize(
    ("re_form", "error", "message"),
    [
        (
            "~ (1 | Batch)",
            ValueError,
            r"names \(1 \| Batch\), which the model does not",
        ),
        (
            "~ (Dayz | Subject)",
            ValueError,
            r"names \(Dayz \| Subject\), which the model",
        ),
        ("~ Days", ValueError, "re_form '~ Days' has no random term; use a formula"),
        ("~ (1 | Subject", FormulaError, r"unclosed '\('"),
        (3, TypeError, "re_form is None, False or a formula such as"),
    ],
)
def test_unusable_re_form(re_form, error, message, formula_engine):
    res = sml.lmer("Reaction ~ Days + (Days | Subject)", dataset("sleepstudy")).fit()
    with pytest.raises(error, match=message):
        res.predict(new_sleep(), re_form=re_form)


def test_missing_groups(fits):
    new = new_sleep(Subject=["308", None, "372"])
    res = fits("sleepstudy")
    with pytest.raises(
        ValueError, match="'Subject' is missing in 1 row of the new data"
    ):
        res.predict(new)
    mean = res.predict(new, allow_new_levels=True)
    marginal = res.predict(new, re_form=False)
    assert mean[1] == pytest.approx(marginal[1])
    assert mean[0] != pytest.approx(marginal[0])


def test_new_combinations_of_known_parts(fits):
    res = fits("pastes")
    new = pd.DataFrame({"batch": ["A", "A"], "cask": ["a", "zz"]})
    with pytest.raises(ValueError, match=r"'cask:batch' has levels .* not seen: zz:A;"):
        res.predict(new)
    mean = res.predict(new, allow_new_levels=True)
    batch = res.ranef()["batch"].loc["A", "Intercept"]
    assert mean[1] == pytest.approx(res.params["Intercept"] + batch)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(N) // 5,
        (np.arange(N) // 5).astype(float),
        (np.arange(N) // 5).astype(str),
        pd.Categorical((np.arange(N) // 5).astype(str)),
        pd.array(np.arange(N) // 5, dtype="Int64"),
    ],
    ids=["int", "float", "str", "categorical", "Int64"],
)
@pytest.mark.parametrize("trained", ["int", "str"])
def test_labels_match_by_value_or_text(trained, labels):
    data = frame().assign(g=(np.arange(N) // 5).astype(trained))
    res = sml.lmer("y ~ x + (1 | g)", data).fit()
    again = res.predict(data.assign(g=labels))
    np.testing.assert_allclose(again, res.fittedvalues, rtol=1e-12)


# kinds of new data -------------------------------------------------------------------


def test_index_is_kept(fits):
    new = new_sleep().set_axis(["a", "b", "a"])
    assert fits("sleepstudy").predict(new).index.tolist() == ["a", "b", "a"]


def test_mappings_rows_and_scalars(fits):
    res = fits("sleepstudy")
    expected = res.predict(new_sleep())
    pd.testing.assert_series_equal(res.predict(new_sleep().to_dict("list")), expected)
    row = res.predict(new_sleep().iloc[1])
    assert row.index.tolist() == [1]
    assert row[1] == pytest.approx(expected[1])
    scalars = res.predict({"Days": 4.5, "Subject": "335"})
    assert scalars.tolist() == pytest.approx([expected[1]])
    mixed = res.predict({"Days": [4.5, 4.5], "Subject": "335"})
    assert mixed.tolist() == pytest.approx([expected[1]] * 2)


def test_nullable_new_data(fits):
    new = new_sleep(Days=[0, 4, 7], Subject=["308", None, "372"]).convert_dtypes()
    new.loc[2, "Days"] = pd.NA
    mean = fits("sleepstudy").predict(new, allow_new_levels=True)
    assert mean.isna().tolist() == [False, False, True]


@pytest.mark.parametrize("kind", ["frame", "lazy", "categorical"])
def test_polars_new_data(kind, fits):
    pl = pytest.importorskip("polars")
    new = pl.DataFrame(
        {"Days": [0.0, 4.5, 7.0, None], "Subject": ["308", "335", "372", None]}
    )
    if kind == "categorical":
        new = new.with_columns(pl.col("Subject").cast(pl.Categorical))
    mean = fits("sleepstudy").predict(
        new.lazy() if kind == "lazy" else new, allow_new_levels=True
    )
    np.testing.assert_allclose(mean[:3], fits("sleepstudy").predict(new_sleep()))
    assert np.isnan(mean[3])


def test_rows_with_missing_values_are_nan(fits):
    new = new_sleep(Days=[0.0, np.nan, 7.0])
    mean = fits("sleepstudy").predict(new)
    assert mean.isna().tolist() == [False, True, False]
    whole = fits("sleepstudy").predict(new_sleep())
    np.testing.assert_allclose(mean[[0, 2]], whole[[0, 2]])
    assert fits("sleepstudy").predict(new.iloc[[1]]).isna().all()
    assert len(fits("sleepstudy").predict(new.iloc[:0])) == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["Subject"], "no column 'Days', which the fixed part needs"),
        (["Days"], r"no column 'Subject', which the grouping of \(Days \| Subject\)"),
    ],
)
def test_missing_columns(columns, message, fits):
    with pytest.raises(ValueError, match=message):
        fits("sleepstudy").predict(new_sleep()[columns])


def test_misspelt_columns_get_a_suggestion(fits):
    new = new_sleep().rename(columns={"Subject": "subject"})
    with pytest.raises(
        ValueError, match=r"no column 'Subject'.*did you mean 'subject'"
    ):
        fits("sleepstudy").predict(new)


@pytest.mark.parametrize("days", [["0", "4.5", "7"], [{}, {}, {}]])
def test_numbers_must_be_numbers(days, fits):
    with pytest.raises(
        ValueError, match="column 'Days' of the new data is not numeric"
    ):
        fits("sleepstudy").predict(new_sleep(Days=days))


def test_numbers_as_categories_or_booleans(fits):
    res = fits("sleepstudy")
    for days in (pd.Categorical([0, 1, 1]), [False, True, True]):
        expected = res.predict(new_sleep(Days=[0, 1, 1]))
        np.testing.assert_allclose(res.predict(new_sleep(Days=days)), expected)


# arrays ------------------------------------------------------------------------------


def test_bare_arrays_give_marginal_means(fits):
    res = fits("sleepstudy")
    rows = [[1.0, 0.0], [1.0, 4.5], [1.0, 7.0]]
    expected = res.predict(new_sleep(), re_form=False)
    np.testing.assert_allclose(res.predict(np.array(rows)), expected)
    np.testing.assert_allclose(res.predict(rows), expected)
    np.testing.assert_allclose(res.predict(np.array(rows[1])), expected[[1]])
    named = pd.DataFrame(rows, columns=["Intercept", "Days"], index=list("abc"))
    by_frame = res.predict(named, transform=False)
    assert by_frame.index.tolist() == list("abc")
    np.testing.assert_allclose(by_frame, expected)
    with pytest.raises(
        ValueError, match=r"3 columns, but the fixed part has 2 \(Inter"
    ):
        res.predict(np.ones((2, 3)))


def test_models_of_arrays(data):
    sleep = data("sleepstudy")
    columns = pd.DataFrame({"one": 1.0, "Days": sleep["Days"]})
    res = sml.LMER(sleep["Reaction"], columns, sleep["Subject"], columns).fit()
    np.testing.assert_allclose(res.predict(), res.fittedvalues)
    marginal = columns @ res.params
    np.testing.assert_allclose(res.predict(re_form=False), marginal)
    np.testing.assert_allclose(res.predict(columns), marginal)
    np.testing.assert_allclose(res.predict(columns[["Days", "one"]]), marginal)
    np.testing.assert_allclose(res.predict(columns.assign(other="a")), marginal)
    row = res.predict(columns.iloc[3])
    assert row.index.tolist() == [3]
    assert row[3] == pytest.approx(marginal[3])
    modes = res.ranef()["Subject"].loc[sleep["Subject"], "Days"].to_numpy()
    np.testing.assert_allclose(
        res.predict(re_form="~ (0 + Days | Subject)"), marginal + sleep["Days"] * modes
    )
    with pytest.raises(
        ValueError, match="columns of the fixed part alone have no groups"
    ):
        res.predict(columns, re_form="~ (0 + Days | Subject)")


def test_the_model_predicts_the_fixed_part(fits):
    res = fits("sleepstudy")
    marginal = res.predict(re_form=False)
    np.testing.assert_allclose(res.model.predict(res.params), marginal)
    np.testing.assert_allclose(res.model.predict(res.params, [[1, 2]]), marginal[2])


# formulas ----------------------------------------------------------------------------

FORMULAS = (
    "y ~ x + (1 | g)",
    "y ~ c + (1 | g)",
    "y ~ h + (1 | g)",
    "y ~ x:h + (1 | g)",
    "y ~ C(k) + b + (1 | g)",
    "y ~ 0 + h + (1 | g)",
    "y ~ 0 + (1 | g)",
    "y ~ poly(x, 2) + scale(z) + center(o) + standardize(w) + (1 | g)",
    "y ~ bs(x, df=4) + (1 | g)",
    "y ~ np.log(w) + offset(scale(o)) + (1 | g)",
)


@pytest.mark.parametrize("formula", FORMULAS)
def test_rows_of_the_model_in_any_order_and_number(formula, formula_engine):
    data = frame()
    res = sml.lmer(formula, data).fit()
    for rows in (np.arange(N), np.arange(N)[::-1], [7], [3, 3, 11]):
        expected = res.fittedvalues.iloc[rows]
        np.testing.assert_allclose(res.predict(data.iloc[rows]), expected, rtol=1e-9)
    recoded = data.assign(c=data["h"], h=data["c"], k=data["k"] * 1.0, b=data["b"] * 1)
    np.testing.assert_allclose(res.predict(recoded), res.fittedvalues, rtol=1e-9)


def test_functions_of_random_terms(formula_engine):
    sleep = dataset("sleepstudy")
    res = sml.lmer("Reaction ~ scale(Days) + (scale(Days) | Subject)", sleep).fit()
    np.testing.assert_allclose(
        res.predict(sleep.iloc[:3]), res.fittedvalues.iloc[:3], rtol=1e-10
    )
    np.testing.assert_allclose(
        res.predict(sleep.iloc[:3], re_form="~ (scale(Days) | Subject)"),
        res.fittedvalues.iloc[:3],
        rtol=1e-10,
    )


@pytest.mark.parametrize("column", ["c", "h", "k"])
def test_unseen_levels_of_fixed_factors(column, formula_engine):
    data = frame()
    text = "C(k)" if column == "k" else column
    new = data.head(2).assign(**{column: 99 if column == "k" else "zz"})
    for formula in (f"y ~ {text} + (1 | g)", f"y ~ x + {text}:z + (1 | g)"):
        res = sml.lmer(formula, data).fit()
        with pytest.raises(
            ValueError, match=f"column '{column}' has levels the model ha"
        ):
            res.predict(new)


def test_unseen_levels_in_a_random_term(formula_engine):
    machines = dataset("machines")
    res = sml.lmer("score ~ 1 + (Machine | Worker)", machines).fit()
    new = machines.head(2).assign(Machine="Z")
    with pytest.raises(ValueError, match=r"column 'Machine' has levels .* not seen: Z"):
        res.predict(new)


def test_a_flag_must_be_a_flag(formula_engine):
    res = sml.lmer("y ~ b + (1 | g)", frame()).fit()
    with pytest.raises(
        ValueError, match="column 'b' of the new data is not true or fal"
    ):
        res.predict(frame().assign(b=2))


def test_offsets(formula_engine):
    data = frame()
    res = sml.lmer("y ~ x + offset(o) + (1 | g)", data, offset=np.full(N, 2.0)).fit()
    np.testing.assert_allclose(res.predict(data, offset=2.0), res.fittedvalues)
    np.testing.assert_allclose(
        res.predict(data, offset=np.full(N, 2.0)), res.fittedvalues
    )
    np.testing.assert_allclose(res.predict(data), res.fittedvalues - 2.0)
    assert np.isnan(res.predict(data.assign(o=np.nan))).all()
    with pytest.raises(ValueError, match="no column 'o', which the offset needs"):
        res.predict(data.drop(columns="o"))
    with pytest.raises(
        ValueError, match=r"offset has shape \(3,\), but the data have 40"
    ):
        res.predict(data, offset=[1, 2, 3])
    with pytest.raises(ValueError, match="the index of offset is not that of the data"):
        res.predict(data, offset=data["o"].iloc[::-1])
    with pytest.raises(ValueError, match="offset goes with new data"):
        res.predict(offset=1.0)


def test_an_offset_named_by_argument_is_that_of_the_new_data(formula_engine):
    data = frame()
    res = sml.lmer("y ~ x + (1 | g)", data, offset="o * 2").fit()
    np.testing.assert_allclose(res.predict(data), res.fittedvalues)
    shifted = res.predict(data.assign(o=data["o"] + 1))
    np.testing.assert_allclose(shifted, res.fittedvalues + 2)


def test_functions_undefined_at_new_data(formula_engine):
    res = sml.lmer("y ~ np.log(w) + (1 | g)", frame()).fit()
    mean = res.predict(frame().head(3).assign(w=[-1.0, 0.0, 1.0]))
    assert np.isnan(mean[0])
    assert np.isinf(mean[1])
    assert np.isfinite(mean[2])


def test_columns_left_out_as_aliased(formula_engine):
    data = frame()
    with pytest.warns(sml.DroppedColumnsWarning, match=r"I\(2 \* x\)"):
        model = sml.lmer("y ~ x + I(2 * x) + z + (1 | g)", data)
    res = model.fit()
    np.testing.assert_allclose(res.predict(data), res.fittedvalues)
