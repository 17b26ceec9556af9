"""Copies of models and results: pickle, copy, save and load, in both engines."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pandas as pd
import pytest
from registry import dataset

import sm_lmer.api as sml


def halved(values):
    """A function of this module, which can be pickled by its name."""
    return values / 2


def sleep() -> pd.DataFrame:
    return dataset("sleepstudy").assign(
        w=np.linspace(1, 2, 180),
        o=np.arange(180.0),
        shift=np.tile(list("xyz"), 60),
    )


def plain():
    return sml.lmer("Reaction ~ Days + (Days | Subject)", sleep())


def transformed():
    return sml.lmer(
        "Reaction ~ poly(Days, 2) + C(shift) + offset(o) + (scale(Days) | Subject)",
        sleep(),
        weights="w",
        drop_cols=["C(shift)"],
    )


def local_names():
    extra, number = np.linspace(0, 1, 180) ** 2, 2.0
    text = (
        "Reaction ~ extra + I(Days**number) + halved(Days) + np.log(w) + (1 | Subject)"
    )
    model = sml.lmer(text, sleep())
    assert len(extra) > number
    return model


def nested():
    return sml.lmer("strength ~ 1 + (1 | batch/cask)", dataset("pastes"))


def by_arrays():
    data = sleep()
    X = data[["Days"]].assign(one=1.0)
    return sml.LMER(data["Reaction"], X, data["Subject"], X)


def saved(res):
    buffer = io.BytesIO()
    res.save(buffer)
    buffer.seek(0)
    return type(res._results).load(buffer)


COPIES = {
    "pickle": lambda res: pickle.loads(pickle.dumps(res)),
    "twice": lambda res: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(res)))),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "save": saved,
}
MODELS = (plain, transformed, local_names, nested, by_arrays)


def new_data(build) -> pd.DataFrame:
    if build is nested:
        return dataset("pastes").iloc[[3, 40]]
    data = sleep()
    return data if build is local_names else data.iloc[[3, 100]]


@pytest.mark.parametrize("make", COPIES)
@pytest.mark.parametrize("build", MODELS)
def test_copies_of_results(build, make, formula_engine):
    res = build().fit()
    twin = COPIES[make](res)
    pd.testing.assert_series_equal(twin.params, res.params)
    pd.testing.assert_series_equal(twin.fittedvalues, res.fittedvalues)
    assert twin.llf == res.llf
    assert twin.summary().as_text() == res.summary().as_text()
    assert twin.ranef().keys() == res.ranef().keys()
    assert twin.refit_ml().llf == pytest.approx(res.refit_ml().llf, rel=1e-12)
    y = res.model.endog[::-1]
    assert twin.refit(y).llf == pytest.approx(res.refit(y).llf, rel=1e-12)
    if build is not by_arrays:
        new = new_data(build)
        if build is local_names:
            new = new.assign(extra=0.5)
        np.testing.assert_allclose(twin.predict(new), res.predict(new), rtol=1e-12)
        assert twin.update(reml=False).llf == pytest.approx(
            res.refit_ml().llf, rel=1e-8
        )


@pytest.mark.parametrize("build", MODELS)
def test_copies_of_models(build, formula_engine):
    model = build()
    twin = pickle.loads(pickle.dumps(model))
    theta = np.full(model.k_theta, 0.3)
    assert twin.criterion(theta) == pytest.approx(model.criterion(theta), rel=1e-13)
    assert twin.exog_names == model.exog_names
    assert [t.text for t in twin.re_terms] == [t.text for t in model.re_terms]


def test_copies_have_no_part_in_the_original():
    res = plain().fit()
    twin = copy.deepcopy(res)
    twin.model.endog[:] = 0.0
    assert (res.model.endog != 0).all()


def test_a_pickle_made_under_one_engine_predicts_under_the_other(formula_engine):
    formula_options = pytest.importorskip("statsmodels.formula").__dict__.get("options")
    if formula_options is None:
        pytest.skip("statsmodels 0.14 has one engine")
    pytest.importorskip("formulaic")
    data = sleep().assign(flag=lambda d: d["Days"] > 4)
    res = sml.lmer("Reaction ~ flag + poly(Days, 2) + (flag | Subject)", data).fit()
    content = pickle.dumps(res)
    other = "formulaic" if formula_engine == "patsy" else "patsy"
    before, formula_options.formula_engine = formula_options.formula_engine, other
    try:
        twin = pickle.loads(content)
        np.testing.assert_allclose(twin.predict(data.head(7)), res.fittedvalues.head(7))
        np.testing.assert_allclose(
            twin.predict(data.head(7), re_form="~ (flag | Subject)"),
            res.fittedvalues.head(7),
        )
    finally:
        formula_options.formula_engine = before


def test_functions_that_pickle_cannot_name_are_refused():
    def local(values):
        return values / 2

    res = sml.lmer("Reaction ~ local(Days) + (1 | Subject)", sleep()).fit()
    with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
        pickle.dumps(res)
    twin = copy.deepcopy(res)
    np.testing.assert_allclose(twin.predict(sleep()), res.fittedvalues)


@pytest.mark.parametrize("build", [plain, transformed, nested])
def test_prediction_after_remove_data(build, formula_engine):
    res = build().fit()
    new = new_data(build)
    expected = res.predict(new)
    res.remove_data()
    np.testing.assert_allclose(res.predict(new), expected, rtol=1e-12)
    twin = pickle.loads(pickle.dumps(res))
    np.testing.assert_allclose(twin.predict(new), expected, rtol=1e-12)
