"""remove_data, save and load, pickles: what stays, what goes, what says so."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from registry import dataset

import sm_lmer.api as sml


def halved(values):
    """A function of this module, which can be pickled by its name."""
    return values / 2


def frame() -> pd.DataFrame:
    """96 rows: 8 groups g, in each 3 of h, with intercepts and slopes of their own."""
    rng = np.random.default_rng(8)
    n, g, h = 96, np.repeat(np.arange(8), 12), np.tile(np.repeat(np.arange(3), 4), 8)
    data = pd.DataFrame(rng.normal(size=(n, 4)), columns=["y", "x", "z", "o"])
    intercepts = np.array([-3.0, -1, 2, 4, -2, 1, 3, -4])
    slopes = 2 * np.array([1.0, -1, 1, -1, -1, 1, -1, 1])
    data["y"] += intercepts[g] + slopes[g] * data["x"]
    data["y"] += 2 * rng.normal(size=24)[3 * g + h] + [-1, 1, 3] @ np.eye(3)[h].T
    data["g"], data["h"] = np.array(list("abcdefgh"))[g], np.array(list("pqr"))[h]
    data["f"] = np.tile(list("uvwu"), 24)
    data["k"] = pd.Categorical(np.tile(list("ba"), 48), categories=["b", "a"])
    data["p"], data["w"] = np.exp(data["z"]), rng.uniform(1, 2, n)
    return data


FORMULAS = {
    "slopes": "y ~ x * k + f + (1 + x | g)",
    "nested": "y ~ x + (1 | g/h)",
    "learnt": "y ~ poly(x, 2) + center(z) + offset(scale(o)) + (scale(x) | g)",
    "coded": "y ~ C(f, Sum) + C(k, Treatment('a')) + halved(x) + bs(p, df=4) + (1 | g)",
}


def fitted(name: str, **arguments):
    return sml.lmer(FORMULAS[name], frame(), **arguments).fit()


def new_rows() -> pd.DataFrame:
    return frame().iloc[[3, 11, 26]].assign(x=[0.1, 0.2, 0.3])


def answers(res, new: pd.DataFrame) -> dict:
    """What a fit can say without its rows."""
    eye = np.eye(len(res.params))
    return {
        "predict": res.predict(new),
        "marginal": res.predict(new, re_form=False),
        "summary": res.summary().as_text(),
        "summary2": res.summary2().as_text(),
        "pvalues": res.pvalues,
        "t_test": res.t_test(eye).summary_frame(),
        "wald": res.wald_test(eye[1:]).pvalue,
        "terms": res.wald_test_terms(scalar=True).table,
        "conf_int": res.conf_int(),
        "ranef": res.ranef(),
        "coef": res.coef(),
        "varcorr": res.varcorr(),
        "theta": res.theta,
        "llf": res.llf,
        "infos": {k: f(res) for k, f in res.default_model_infos.items()},
    }


@pytest.mark.parametrize("name", FORMULAS)
def test_what_stays_after_remove_data(name, formula_engine):
    res, new = fitted(name, weights="w"), new_rows()
    before = answers(res, new)
    res.remove_data()
    twin = pickle.loads(pickle.dumps(res))
    after = answers(copy.deepcopy(twin) if name == "coded" else twin, new)
    pd.testing.assert_series_equal(res.predict(new), before["predict"], rtol=1e-12)
    for what in ("summary", "summary2"):  # but for the time of day
        for found in (before, after):
            lines = found[what].splitlines()
            found[what] = [x for x in lines if "Time:" not in x and "Date:" not in x]
    for what, value in before.items():
        same(after[what], value, what)


def same(found, expected, what: str) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), what
        for key, value in expected.items():
            same(found[key], value, what)
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, rtol=1e-12)
    elif isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected, rtol=1e-12)
    elif isinstance(expected, (str, list)):
        assert found == expected, what
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=what)


NEED_ROWS = {
    "fittedvalues": lambda res: res.fittedvalues,
    "resid": lambda res: res.resid,
    "resid_pearson": lambda res: res.resid_pearson,
    "fit_log": lambda res: res.fit_log,
    "refit": lambda res: res.refit(np.zeros(96)),
    "refit_ml": lambda res: res.refit_ml(),
    "update": lambda res: res.update(". ~ . + z"),
    "criterion": lambda res: res.model.criterion(res.theta),
    "fit": lambda res: res.model.fit(),
    "cond_var": lambda res: res.ranef(cond_var=True),
    "distribution": lambda res: res.get_distribution(),
}


@pytest.mark.parametrize("what", NEED_ROWS)
def test_what_needs_rows_says_so(what):
    res = fitted("slopes")
    res.remove_data()
    with pytest.raises(ValueError, match=r"remove_data\(\) has taken the data"):
        NEED_ROWS[what](res)


def test_update_with_data_goes_on():
    res = fitted("slopes")
    expected = res.update(". ~ . + z", data=frame())
    res.remove_data()
    found = res.update(". ~ . + z", data=frame())
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-10)


def test_remove_data_leaves_other_fits_of_the_model_alone():
    model = sml.lmer(FORMULAS["slopes"], frame())
    one, two = model.fit(), model.fit(reml=False)
    one.remove_data()
    assert one.model.endog is None
    assert one.model.exog is None
    assert len(two.resid) == len(model.endog) == 96
    np.testing.assert_allclose(model.fit().params, one.params, rtol=1e-8)
    one.remove_data()  # a second time changes nothing
    assert len(one.ranef()["g"]) == 8


@pytest.mark.parametrize("ddf", ["satterthwaite", "residual", "normal"])
def test_inference_is_computed_before_the_data_go(ddf):
    expected = sml.lmer(FORMULAS["slopes"], frame()).fit(ddf=ddf).pvalues
    res = sml.lmer(FORMULAS["slopes"], frame()).fit(ddf=ddf)
    res.remove_data()  # nothing was asked before
    np.testing.assert_allclose(res.pvalues, expected, rtol=1e-9)
    lines = res.summary().as_text()
    assert ("P>|z|" if ddf == "normal" else "P>|t|") in lines


def test_arrays_of_an_array_model_go_too():
    data = frame()
    X = data[["x"]].assign(one=1.0)
    res = sml.LMER(
        data["y"], X, data["g"], X, weights=data["w"], offset=data["o"]
    ).fit()
    new = X.head(3)
    expected = res.predict(new), res.summary().as_text()
    res.remove_data()
    twin = pickle.loads(pickle.dumps(res))
    pd.testing.assert_series_equal(twin.predict(new), expected[0])
    assert twin.model.exog_names == ["x", "one"]
    assert "Precision weights" in twin.summary().as_text()
    assert len(twin.ranef()["g"]) == 8


def test_vectors_of_the_caller_go_too():
    outside = np.linspace(0.0, 1.0, 19_200) ** 2
    data = pd.concat([frame()] * 200, ignore_index=True)
    res = sml.lmer("y ~ x + outside + (1 | g)", data).fit()
    assert len(outside) == len(data)
    new = data.head(2).assign(outside=[0.25, 0.5])
    expected = res.predict(new)
    res.remove_data()
    content = pickle.dumps(res)
    assert len(content) < 40_000
    pd.testing.assert_series_equal(pickle.loads(content).predict(new), expected)


def test_a_million_rows_take_less_than_a_megabyte():
    n, levels = 1_000_000, 3000
    rng = np.random.default_rng(5)
    groups = rng.integers(0, levels, n)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = X @ [1.0, 2.0] + rng.normal(size=levels)[groups] + rng.normal(size=n)
    res = sml.LMER(y, X, groups).fit()
    res.remove_data()
    content = pickle.dumps(res)
    assert len(content) < 100_000
    twin = pickle.loads(content)
    np.testing.assert_allclose(twin.predict(X[:5]), X[:5] @ res.params)
    assert twin.pvalues.max() < 1e-10
    assert twin.ranef()["Group"].shape == (levels, 1)


def test_pickles_of_many_rows_hold_no_rows(formula_engine):
    """The size does not depend on the number of rows, for formulas of all kinds."""
    sizes = []
    for times in (1, 30):
        data = pd.concat([frame()] * times, ignore_index=True)
        text = FORMULAS["coded"] + " + (1 | h) + offset(scale(o))"
        res = sml.lmer(text, data, weights=data["w"].to_numpy()).fit()
        res.remove_data()
        sizes.append(len(pickle.dumps(res)))
    assert abs(sizes[1] - sizes[0]) < 300


def test_save_and_load_by_path_and_file(tmp_path, formula_engine):
    res = fitted("learnt")
    expected = res.predict(new_rows())
    path = tmp_path / "fit.pickle"
    res.save(path)
    full = path.stat().st_size
    for load in (type(res).load, sml.LMERResults.load):
        twin = load(path)
        assert type(twin) is type(res)
        pd.testing.assert_series_equal(twin.predict(new_rows()), expected)
        pd.testing.assert_series_equal(twin.resid, res.resid)
    with open(path, "wb") as file:
        res.save(file, remove_data=True)
    assert path.stat().st_size < full
    with open(path, "rb") as file:
        twin = type(res).load(file)
    pd.testing.assert_series_equal(twin.predict(new_rows()), expected)


@pytest.mark.parametrize("package", ["cloudpickle", "joblib"])
def test_other_picklers(package, tmp_path, formula_engine):
    module = pytest.importorskip(package, reason=f"{package} is not installed")
    local = 2.0

    def scaled(values):
        return values / local

    text = "y ~ x + (1 | g)" if package == "joblib" else "y ~ scaled(x) + (1 | g)"
    res = sml.lmer(text, frame()).fit()
    assert scaled(local) == 1.0
    for remove in (False, True):
        if remove:
            res.remove_data()
        if package == "joblib":
            module.dump(res, tmp_path / "fit.joblib")
            twin = module.load(tmp_path / "fit.joblib")
        else:
            twin = pickle.loads(module.dumps(res))
        pd.testing.assert_series_equal(
            twin.predict(new_rows()), res.predict(new_rows())
        )


def test_pickles_are_the_same_twice():
    res = fitted("coded")
    res.remove_data()
    first = pickle.dumps(res)
    assert len(pickle.dumps(pickle.loads(first))) == pytest.approx(len(first), rel=0.02)


def test_unpickled_specifications_need_no_data_and_forget_nothing(formula_engine):
    """What scale, poly and center have learnt is the training data's."""
    data = frame()
    res = sml.lmer("y ~ center(x) + scale(z) + (1 | g)", data).fit()
    twin = pickle.loads(pickle.dumps(res))
    new = new_rows()
    a, b, c = np.asarray(res.params)
    z = (new["z"] - data["z"].mean()) / data["z"].std()
    expected = a + b * (new["x"] - data["x"].mean()) + c * z
    np.testing.assert_allclose(twin.predict(new, re_form=False), expected, rtol=1e-10)


def test_unseen_levels_are_refused_after_remove_data(formula_engine):
    res = fitted("slopes")
    res.remove_data()
    with pytest.raises(ValueError, match="'f' has levels the model has not seen"):
        res.predict(new_rows().assign(f="new"))
    with pytest.raises(ValueError, match="'g' has levels the model has not seen"):
        res.predict(new_rows().assign(g="new"))
    found = res.predict(new_rows().assign(g="new"), allow_new_levels=True)
    np.testing.assert_allclose(found, res.predict(new_rows(), re_form=False))


def test_a_loaded_fit_of_insteval_is_small():
    res = sml.lmer("y ~ service + (1 | d)", dataset("insteval")).fit()
    res.remove_data()
    assert len(pickle.dumps(res)) < 100_000
