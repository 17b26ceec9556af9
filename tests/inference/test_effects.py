"""Effects against R's effects, against emmeans, and against themselves."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import dataset, reference

import sm_lmer.api as sml
from sm_lmer.inference.effects import all_effects, effects, predictor_effects

REF = reference("effects")


@cache
def frame(name):
    if name != "pupils":
        return dataset("sleepstudy" if name == "sleepstudy" else name)
    data = pd.DataFrame(REF["data"]["pupils"])
    data["funding"] = pd.Categorical(data["funding"], ["low", "mid", "high"])
    return data.assign(late=data["late"].astype(bool))


@cache
def fit(name):
    model = REF["models"][name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        data = frame(model["data"])
        return sml.lmer(model["formula"], data, weights=model["weights"]).fit()


def labels(values):
    if values.dtype == bool:
        return values.map({True: "TRUE", False: "FALSE"}).to_numpy(dtype=object)
    return values.astype(str).to_numpy(dtype=object)


# Against R ----------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(len(REF["cases"])))
def test_as_r(k):
    case = REF["cases"][k]
    found = effects(
        fit(case["model"]),
        case["focal"],
        at=case["at"],
        ddf="kenward-roger" if case["kr"] else "residual",
    )
    table = found.frame
    for name, values in case["grid"].items():
        if pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool:
            assert_allclose(table[name], values, rtol=1e-13)
        else:
            assert labels(table[name]).tolist() == values
    assert_allclose(table["fit"], case["fit"], rtol=1e-6)
    assert_allclose(table["se"], case["se"], rtol=1e-6)
    if not case["kr"]:  # effects has residual degrees of freedom for both
        size = np.abs(case["fit"]).max()
        assert_allclose(table["lower"], case["lower"], rtol=1e-6, atol=1e-7 * size)
        assert_allclose(table["upper"], case["upper"], rtol=1e-6, atol=1e-7 * size)


@pytest.mark.parametrize("model", REF["sets"])
def test_terms_of_all_effects_as_r(model):
    found = [list(e.variables) for e in all_effects(fit(model)).values()]
    assert sorted(map(sorted, found)) == sorted(map(sorted, REF["sets"][model]))


@pytest.mark.parametrize("case", REF["predictor"])
def test_predictor_effects_as_r(case):
    found = predictor_effects(fit(case["model"]), case["predictor"])
    assert list(found.variables) == case["variables"]


def test_marginal_partial_residuals_as_r():
    # on balanced data generalised least squares is R's ordinary least squares
    found = effects(fit("cake_numeric"), "temp:recipe").partial_residuals("marginal")
    assert_allclose(found["resid"], REF["residuals"]["residuals"], atol=1e-9)


# Two routes ---------------------------------------------------------------------------


def test_emmeans_with_outer_weights_is_the_same(formula_engine):
    data = frame("pupils")
    formula = "score ~ motiv * funding * sex + sex * urban + late + (1 | school)"
    res = sml.lmer(formula, data).fit()
    for average, weights in (("proportional", "outer"), ("equal", "equal")):
        for term in ("funding", "sex", "urban:sex", "funding:sex"):
            ours = effects(res, term, average=average)
            keys = list(ours.variables)
            other = res.emmeans(keys, weights=weights, cov_keep=0).frame
            both = ours.frame.merge(other, on=keys, suffixes=("", "_emm"))
            assert len(both) == len(other) == len(ours.frame)
            assert_allclose(both["fit"], both["emmean"], rtol=1e-10)
            assert_allclose(both["se"], both["SE"], rtol=1e-10)
            for column in ("df", "lower", "upper"):
                assert_allclose(both[column], both[f"{column}_emm"], rtol=1e-8)


def test_average_of_predictions_where_factors_do_not_interact():
    res = fit("log")
    found = effects(res, "age:funding", at={"age": [12.0, 16.5]})
    rows = frame("pupils")
    for k, point in found.grid.iterrows():
        # urban and sex interact, but are weighted as if they were independent
        total = 0.0
        for urban, share in rows["urban"].value_counts(normalize=True).items():
            for sex, other in rows["sex"].value_counts(normalize=True).items():
                new = pd.DataFrame([{**point, "urban": urban, "sex": sex}])
                total += share * other * float(res.predict(new, re_form=False).iloc[0])
        assert total == pytest.approx(found.frame["fit"][k], rel=1e-12)


def test_standard_errors_are_of_the_rows():
    found = effects(fit("three"), "motiv:sex", ddf="kenward-roger")
    V = fit("three").inference("kenward-roger").vcov
    assert_allclose(found.vcov, found.rows @ V @ found.rows.T)
    assert_allclose(found.frame["se"], np.sqrt(np.diag(found.vcov)))
    table = fit("three").contest(found.rows, joint=False, ddf="kenward-roger")
    for ours, theirs in (("fit", "Estimate"), ("df", "df"), ("upper", "upper")):
        assert_allclose(found.frame[ours], table[theirs])


def test_units_and_row_order_do_not_matter(formula_engine, rng):
    data = frame("pupils")
    formula = "score ~ motiv * funding + sex + (1 | school)"
    ours = effects(sml.lmer(formula, data).fit(), "motiv:funding").frame
    other = data.assign(motiv=1e6 * data["motiv"], score=1e-4 * data["score"])
    other = other.iloc[rng.permutation(len(data))]
    grid = {"motiv": 1e6 * ours["motiv"].unique()}
    theirs = effects(sml.lmer(formula, other).fit(), "motiv:funding", at=grid).frame
    for column in ("fit", "se", "lower", "upper"):
        assert_allclose(1e4 * theirs[column], ours[column], rtol=1e-6)


@pytest.mark.parametrize("coding", ["C(funding, Sum)", "C(funding, Treatment('mid'))"])
def test_coding_of_a_factor_does_not_matter(coding):
    data = frame("pupils")
    plain = sml.lmer("score ~ motiv * funding + (1 | school)", data).fit()
    coded = sml.lmer(f"score ~ motiv * {coding} + (1 | school)", data).fit()
    for term in ("motiv", "motiv:funding"):
        ours, theirs = plain.effect(term).frame, coded.effect(term).frame
        assert_allclose(theirs[["fit", "se"]], ours[["fit", "se"]], rtol=1e-6)


def test_numbers_as_labels_and_expressions_as_terms():
    data = dataset("oats")
    res = sml.lmer("yield ~ C(nitro) + Variety + (1 | Block)", data).fit()
    found = effects(res, "C(nitro)")
    assert found.variables == ("nitro",)
    assert found.grid["nitro"].tolist() == [0.0, 0.2, 0.4, 0.6]
    means = data.groupby("nitro")["yield"].mean()  # the design is balanced
    assert_allclose(found.frame["fit"], means, rtol=1e-9)
    assert effects(fit("log"), "np.log(age):funding").variables == ("age", "funding")


def test_a_level_without_data_is_left_out():
    data = dataset("machines")
    data = data.assign(Machine=pd.Categorical(data["Machine"], list("ABCD")))
    res = sml.lmer("score ~ Machine + (1 | Worker)", data).fit()
    assert effects(res, "Machine").grid["Machine"].tolist() == ["A", "B", "C"]


def test_means_that_the_data_do_not_determine_are_nan():
    data = frame("pupils")
    data = data[(data["funding"] != "high") | (data["sex"] != "m")]
    with pytest.warns(sml.DroppedColumnsWarning):
        res = sml.lmer("score ~ funding * sex + motiv + (1 | school)", data).fit()
    found = effects(res, "funding:sex").frame
    gap = (found["funding"] == "high") & (found["sex"] == "m")
    assert found["fit"].isna().tolist() == gap.tolist()
    assert found[["se", "df", "lower"]][gap].isna().all(axis=None)
    assert effects(res, "motiv").frame["fit"].isna().all()


# Settings -----------------------------------------------------------------------------


def test_held_variables():
    res = fit("three")
    found = effects(res, "motiv", at={"sex": "f", "urban": "city", "funding": "mid"})
    values = {"sex": "f", "urban": "city", "funding": "mid"}
    expected = res.predict(found.grid.assign(**values), re_form=False)
    assert_allclose(found.frame["fit"], expected)
    median = effects(fit("school"), "funding", typical=np.median, at={"age": 15})
    assert median.typical.values == {
        "motiv": frame("pupils")["motiv"].median(),
        "age": 15.0,
    }


def test_levels_of_the_grid():
    res = fit("school")
    assert len(effects(res, "motiv", xlevels=9).grid) == 9
    two = effects(res, "motiv:age", xlevels={"age": [12, 15.5]})
    assert sorted(two.grid["age"].unique()) == [12.0, 15.5]
    assert two.grid["motiv"].nunique() == 5
    assert effects(res, "funding", at={"funding": "mid"}).grid.to_dict("list") == {
        "funding": ["mid"]
    }


def test_a_spline_is_not_evaluated_outside_its_knots():
    age = frame("pupils")["age"]
    found = effects(fit("spline"), "age").frame
    assert found["age"].between(age.min(), age.max()).all()
    assert np.isfinite(found["fit"]).all()


def test_offset():
    res, data = fit("offset"), frame("pupils")
    free = effects(res, "funding", offset=0.0).frame["fit"]
    assert_allclose(effects(res, "funding").frame["fit"] - free, data["o"].mean())
    as_array = sml.lmer(
        "score ~ motiv + funding + (1 | school)", data, offset=data["o"]
    )
    other = effects(as_array.fit(), "funding").frame["fit"]
    assert_allclose(other, effects(res, "funding").frame["fit"], rtol=1e-8)


def test_transform():
    raw = effects(fit("logged"), "motiv").frame
    found = effects(fit("logged"), "motiv", transform=np.exp)
    for column in ("fit", "lower", "upper"):
        assert_allclose(found.frame[column], np.exp(raw[column]))
    down = effects(fit("logged"), "motiv", transform=lambda v: 1 / np.exp(v)).frame
    assert (down["lower"] < down["fit"]).all()
    assert "se is on the scale of np.log(positive)" in str(found)


def test_alpha_and_normal_intervals():
    found = effects(fit("sleep"), "Days", alpha=0.2, ddf="normal").frame
    half = 1.2815515655446004 * found["se"]
    assert_allclose(found["upper"] - found["fit"], half)
    assert np.isinf(found["df"]).all()


def test_printed():
    text = str(effects(fit("school"), "motiv:funding", alpha=0.1))
    assert text.startswith("Effect of motiv:funding on score\n")
    assert "Averaged over: sex, late (in proportion to their frequencies)" in text
    assert "Held at: age = " in text
    assert text.endswith("Intervals: 90%, ddf satterthwaite")
    numbers = [line for line in text.splitlines() if " high " in f" {line} "]
    assert len(numbers) == 5


# Groups and residuals -----------------------------------------------------------------


def test_groups_are_predictions():
    res = fit("sleep")
    found = effects(res, "Days", at={"Days": range(10)}).by_group()
    assert len(found) == 180
    assert_allclose(found["fit"], res.predict(found[["Days", "Subject"]]))
    assert_allclose(found["fit"], res.fittedvalues)
    some = effects(res, "Days").by_group("Subject", ["309", "308"])
    assert some["Subject"].unique().tolist() == ["309", "308"]


def test_groups_of_nested_factors_hold_the_outer_ones():
    res = sml.lmer("yield ~ nitro + Variety + (1 | Block/Variety)", dataset("oats"))
    res = res.fit()
    grid = effects(res, "nitro:Variety", at={"nitro": [0.0, 0.6]})
    found = grid.by_group("Block:Variety")
    name = found.columns[0]
    assert len(found) == 36  # a variety has a plot in each block
    place = name.split(":").index("Block")
    block = [label.split(":")[place] for label in found[name]]
    new = found[["nitro", "Variety"]].assign(Block=block)
    assert_allclose(found["fit"], res.predict(new))
    outer = effects(res, "nitro:Variety").by_group("Block")
    assert_allclose(
        outer["fit"],
        res.predict(outer, re_form="~ (1 | Block)"),
    )


def test_groups_are_drawn_where_they_have_data():
    res, data = fit("school"), frame("pupils")
    grid = {"motiv": np.linspace(-5.0, 15.0, 41)}
    found = effects(res, "motiv:funding", at=grid).by_group("school")
    for school, rows in data.groupby("school"):
        own = found[found["school"] == school]
        assert own["funding"].unique().tolist() == rows["funding"].unique().tolist()
        assert own["motiv"].min() == rows["motiv"].min()
        assert own["motiv"].max() == rows["motiv"].max()


def test_random_columns_of_other_variables_are_typical():
    data = frame("pupils")
    res = sml.lmer("score ~ motiv + sex + (motiv + sex | school)", data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        res = res.fit()
    found = effects(res, "motiv").by_group()
    shares = data["sex"].value_counts(normalize=True)
    each = [res.predict(found.assign(sex=s)) * shares[s] for s in shares.index]
    assert_allclose(found["fit"], sum(each))


def test_partial_residuals():
    res, data = fit("school"), frame("pupils")
    found = effects(res, "motiv:age:funding", xlevels={"age": [12, 17]})
    table = found.partial_residuals()
    assert_allclose(table["resid"], res.resid)
    assert_allclose(table["motiv"], data["motiv"])
    assert table["age"].tolist() == np.where(data["age"] <= 14.5, 12.0, 17.0).tolist()
    assert_allclose(table["partial"], found.at(table)["fit"] + res.resid)
    few = found.partial_residuals("marginal", x="age", rows=[3, 5])
    assert_allclose(few["age"], data["age"].iloc[[3, 5]])
    fixed = res.predict(data, re_form=False)
    assert_allclose(few["resid"], (data["score"] - fixed).iloc[[3, 5]])


# Bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "options", "message"),
    [
        ("motiv:funds", {}, "'funds', which is not a variable .*mean 'funding'"),
        ("school", {}, "'school', which is not .*; it has motiv, funding, sex"),
        ("1", {}, "names no variable; the fixed part has motiv, funding"),
        ("no formula (", {}, "'no formula \\(', which is not a variable"),
        ("motiv", {"at": {"funds": 1}}, "at names 'funds'.*mean 'funding'"),
        ("motiv", {"at": {"funding": "top"}}, "'funding' has levels .* top; it knows"),
        ("motiv", {"at": {"age": [1, 2]}}, "2 values of 'age', which is not in focus"),
        ("motiv", {"at": {"motiv": []}}, "no value of 'motiv'"),
        ("motiv", {"at": {"motiv": [np.nan]}}, "missing value of 'motiv'"),
        ("motiv", {"at": {"motiv": [np.inf]}}, "'motiv' that is not a finite"),
        ("motiv", {"xlevels": {"age": 3}}, "xlevels names 'age', .* takes motiv"),
        ("motiv", {"xlevels": 1}, "xlevels of 'motiv' is a number of points"),
        ("motiv", {"average": "outer"}, "unknown average 'outer'"),
        ("motiv", {"alpha": 95}, "alpha must lie between 0 and 1"),
        ("motiv", {"ddf": "barnard"}, "unknown ddf 'barnard'"),
    ],
)
def test_bad_input(term, options, message):
    with pytest.raises(ValueError, match=message):
        effects(fit("school"), term, **options)


def test_bad_groups_and_residuals():
    found = effects(fit("school"), "motiv")
    with pytest.raises(ValueError, match=r"no level 'x'|no level x; it has s01"):
        found.by_group("school", ["x"])
    with pytest.raises(ValueError, match="'class' is not a grouping factor"):
        found.by_group("class")
    with pytest.raises(ValueError, match="choose 'conditional' or 'marginal'"):
        found.partial_residuals("working")
    with pytest.raises(ValueError, match="name one of the grouping factors: "):
        effects(fit("oats"), "nitro").by_group()


def test_models_without_formula_or_rows():
    data = dataset("sleepstudy")
    X = np.column_stack([np.ones(180), data["Days"]])
    arrays = sml.LMER(data["Reaction"], X, groups=data["Subject"]).fit()
    with pytest.raises(ValueError, match="effects need a model built from a formula"):
        effects(arrays, "x1")
    res = sml.lmer("Reaction ~ Days + (1 | Subject)", data).fit()
    res.remove_data()
    with pytest.raises(ValueError, match="so that an effect cannot be had"):
        effects(res, "Days")
    empty = sml.lmer("Reaction ~ 1 + (1 | Subject)", data).fit()
    with pytest.raises(ValueError, match="nothing but an intercept"):
        effects(empty, "Days")


def test_a_variable_by_the_name_of_a_column_is_refused():
    data = frame("pupils").rename(columns={"age": "se"})
    res = sml.lmer("score ~ se + motiv + (1 | school)", data).fit()
    with pytest.raises(ValueError, match="the variable 'se' has the name of a column"):
        effects(res, "se")
    assert "Held at: se = " in str(effects(res, "motiv"))
