"""Packages that consume statsmodels' models and results, each as it is installed."""

from __future__ import annotations

import inspect
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from statsmodels.imputation.mice import MICE, MICEData
from statsmodels.iolib.summary2 import summary_col
from statsmodels.stats.mediation import Mediation

import sm_lmer.api as sml


def chain() -> pd.DataFrame:
    """t acts on m, both act on y; 30 groups shift m and y."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(30), 10)
    data = pd.DataFrame({"g": g, "t": rng.integers(0, 2, 300) * 1.0})
    data["c"] = rng.normal(size=300)
    shift = rng.normal(size=(2, 30))[:, g]
    data["m"] = 0.5 * data["t"] + 0.3 * data["c"] + shift[0] + rng.normal(size=300)
    data["y"] = data[["m", "t", "c"]] @ [0.8, 0.4, 0.2] + shift[1]
    data["y"] += rng.normal(size=300)
    return data


def seeded(seed: int) -> dict:
    """Mediation's argument for a seed: statsmodels 0.14 knows the global one only."""
    if "rng" in inspect.signature(Mediation.fit).parameters:
        return {"rng": seed}
    np.random.seed(seed)  # noqa: NPY002
    return {}


def test_mice(formula_engine):
    data = chain()
    complete = sml.lmer("y ~ t + m + c + (1 | g)", data).fit()
    data.loc[::7, "c"] = np.nan
    np.random.seed(1)  # noqa: NPY002
    imputed = MICEData(data)
    mice = MICE("y ~ t + m + c + (1 | g)", sml.LMER, imputed)
    found = mice.fit(n_burnin=2, n_imputations=4)
    np.testing.assert_allclose(found.params, complete.params, atol=0.2)
    assert (np.asarray(found.bse)[1:] > 0.9 * np.asarray(complete.bse)[1:]).all()
    assert "MICE" in found.summary().as_text()


@pytest.mark.parametrize("kind", ["lmer", "ols"])
def test_mediation_from_formulas(kind, formula_engine):
    """The effects' means are the products and the coefficient of the linear models."""
    data = chain()
    mediator = sml.lmer("m ~ t + c + (1 | g)", data)
    if kind == "lmer":
        outcome = sml.lmer("y ~ t + m + c + (1 | g)", data)
        path = outcome.fit().params["m"], outcome.fit().params["t"]
    else:
        outcome = smf.ols("y ~ t + m + c", data)
        path = outcome.fit().params["m"], outcome.fit().params["t"]
    found = Mediation(outcome, mediator, "t", "m").fit(n_rep=6, **seeded(4))
    table = found.summary()["Estimate"]
    direct, indirect = path[1], path[0] * mediator.fit().params["t"]
    assert table["ADE (average)"] == pytest.approx(direct, abs=0.2)
    assert table["ACME (average)"] == pytest.approx(indirect, abs=0.3)


def test_mediation_from_arrays():
    data = chain()
    X = sm.add_constant(data[["t", "c"]]).to_numpy()
    XM = sm.add_constant(data[["t", "m", "c"]]).to_numpy()
    mediator = sml.LMER(data["m"].to_numpy(), X, data["g"].to_numpy())
    outcome = sml.LMER(data["y"].to_numpy(), XM, data["g"].to_numpy())
    analysis = Mediation(outcome, mediator, (1, 1), 2)
    table = analysis.fit(n_rep=20, **seeded(4)).summary()["Estimate"]
    expected = outcome.fit().params[2] * mediator.fit().params[1]
    assert table["ACME (average)"] == pytest.approx(expected, abs=0.25)


def test_the_distribution_has_the_models_moments():
    res = sml.lmer("m ~ t + c + (1 + t | g)", chain(), weights=np.tile([1, 2], 150))
    with pytest.warns(sml.SingularFitWarning):
        res = res.fit()
    dist = res.get_distribution()
    draws = dist.rvs((4000, 300), rng=3)
    term, T = res.model.re_terms[0], res.get_me("Tlist")[0]
    Z = np.zeros((300, 60))
    for i, level in enumerate(term.factor.codes):
        Z[i, 2 * level : 2 * level + 2] = np.asarray(term.Z)[i]
    Lambda = np.kron(np.eye(30), T)
    cov = res.scale * (Z @ Lambda @ Lambda.T @ Z.T + np.diag(1 / res.model.weights))
    np.testing.assert_allclose(dist.mean, res.predict(re_form=False), rtol=1e-12)
    np.testing.assert_allclose(dist.var(), cov.diagonal(), rtol=1e-12)
    np.testing.assert_allclose(draws.mean(axis=0), dist.mean, atol=0.15)
    found = np.cov(draws[:, :60].T)
    np.testing.assert_allclose(found, cov[:60, :60], atol=0.35)


def test_the_distribution_moves_with_exog():
    """Slopes are those of the new rows; the same seed gives the same draws."""
    res = sml.lmer("Reaction ~ Days + (Days | Subject)", sml.datasets.load_sleepstudy())
    model, fit = res, res.fit()
    new = np.column_stack([np.ones(180), np.full(180, 20.0)])
    dist = model.get_distribution(fit.params, fit.scale, exog=new)
    cov = fit.cov_re.to_numpy()
    z = np.array([1.0, 20.0])
    np.testing.assert_allclose(dist.var(), z @ cov @ z + fit.scale, rtol=1e-8)
    np.testing.assert_allclose(dist.mean, new @ np.asarray(fit.params))
    np.testing.assert_array_equal(dist.rvs(180, rng=1), dist.rvs(180, random_state=1))
    apart = model.get_distribution(fit.params, fit.scale, new[:7], fit.theta)
    assert apart.rvs(rng=1).shape == (7,)
    with pytest.raises(ValueError, match="size is 8, but the distribution has 7 rows"):
        apart.rvs(8)
    with pytest.raises(ValueError, match="the fixed part has 2 columns"):
        model.get_distribution(fit.params, fit.scale, new[:, :1])


def test_summary_col(fits, data):
    ols = smf.ols("Reaction ~ Days", data("sleepstudy")).fit()
    table = summary_col([ols, fits("sleepstudy")], model_names=["OLS", "LMER"])
    frame = table.tables[0]
    assert list(frame["LMER"].loc[["Intercept", "Days"]]) == ["251.4051", "10.4673"]
    info = {"N": "180", "Groups": "Subject 18", "Residual SD": "25.592"}
    assert frame["LMER"].loc[list(info)].to_dict() == info
    assert not frame["LMER"].astype(str).str.contains("nan").any()
    text = table.as_text()
    assert "AIC" in text
    assert "<table" in table.as_html()
    assert "tabular" in table.as_latex()
    other = summary_col([fits("cake")], info_dict={"n": lambda r: str(r.nobs)})
    assert other.tables[0].loc["n"].iloc[0] == "270"


def test_summaries_in_all_formats(fits):
    for name in ("sleepstudy", "dyestuff", "machines"):
        summary = fits(name).summary()
        assert "Random effects" in summary.as_text()
        assert "<table" in summary.as_html()
        assert "tabular" in summary.as_latex()
        assert "Group" in summary.as_csv() or "Name" in summary.as_csv()
        short = fits(name).summary2()
        assert "<table" in short.as_html()
        assert "tabular" in short.as_latex()
        assert "Scale" in short.as_text()


def test_stargazer(fits, data):
    reason = "stargazer is not installed"
    stargazer = pytest.importorskip("stargazer.stargazer", reason=reason)
    ols = smf.ols("Reaction ~ Days", data("sleepstudy")).fit()
    html = stargazer.Stargazer([ols, fits("sleepstudy")]).render_html()
    assert html.count("251.405") == 2
    assert "(6.825)" in html
    assert "180" in html


def test_maketables(fits, data):
    reason = "maketables is not installed"
    maketables = pytest.importorskip("maketables", reason=reason)
    ols = smf.ols("Reaction ~ Days", data("sleepstudy")).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own and great_tables'
        tex = maketables.ETable([ols, fits("sleepstudy")]).make(type="tex")
    assert tex.count("251.405") == 2
    assert "(1.546)" in tex


def test_marginaleffects(data):
    reason = "marginaleffects (which needs jax) is not installed"
    me = pytest.importorskip("marginaleffects", reason=reason)
    from sm_lmer.compat.marginaleffects import adapter

    text = "angle ~ recipe * poly(temp, 2) + (1 | recipe:replicate)"
    res = sml.lmer(text, data("cake")).fit()
    means = me.predictions(adapter(res), by="recipe")
    frame = data("cake").assign(fit=res.predict(re_form=False))
    expected = frame.groupby("recipe", observed=True)["fit"].mean()
    np.testing.assert_allclose(means["estimate"], expected, rtol=1e-8)
    L = np.array([res.model.exog[frame["recipe"] == r].mean(0) for r in "ABC"])
    se = np.sqrt(np.diag(L @ np.asarray(res.cov_params()) @ L.T))
    np.testing.assert_allclose(means["std_error"], se, rtol=1e-3)
    with pytest.raises(ValueError, match="built from a formula"):
        adapter(sml.LMER(frame["angle"], np.ones((270, 1)), frame["replicate"]).fit())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_marginaleffects_comparisons(data):
    reason = "marginaleffects (which needs jax) is not installed"
    me = pytest.importorskip("marginaleffects", reason=reason)
    import polars

    from sm_lmer.compat.marginaleffects import adapter

    if int(polars.__version__.split(".")[0]) >= 2:
        pytest.skip("marginaleffects 0.6 calls a method that polars 2 has removed")
    res = sml.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", data("cake")).fit()
    table = me.avg_comparisons(adapter(res))
    np.testing.assert_allclose(table["estimate"], res.params.iloc[1:], rtol=1e-6)
    np.testing.assert_allclose(table["std_error"], res.bse.iloc[1:], rtol=1e-3)


def test_joblib_and_processes(fits):
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    res = fits("sleepstudy")
    responses = [res.model.endog + shift for shift in (0.0, 100.0)]
    found = joblib.Parallel(n_jobs=2, prefer="threads")(
        joblib.delayed(res.refit)(y) for y in responses
    )
    assert found[1].params["Days"] == pytest.approx(found[0].params["Days"], rel=1e-9)


def test_pipe_and_groupby(data):
    """A DataFrame method chain, and a fit for each part of the data."""
    frame = data("cake")
    res = (
        frame.assign(hot=lambda d: d["temp"] - 175)
        .query("recipe != 'C'")
        .pipe((sml.lmer, "data"), formula="angle ~ hot + (1 | recipe:replicate)")
        .fit()
    )
    assert res.nobs == 180
    text = "angle ~ temp + (1 | replicate)"
    slopes = {
        name: part.pipe((sml.lmer, "data"), formula=text).fit().params["temp"]
        for name, part in frame.groupby("recipe", observed=True)
    }
    assert list(slopes) == ["A", "B", "C"]


def test_cross_validation_by_group(data):
    """The recipe of docs/pipelines.md: whole groups are left out."""
    frame = data("sleepstudy")
    subjects = np.array(frame["Subject"].unique())
    errors = []
    for held in np.array_split(np.random.default_rng(1).permutation(subjects), 3):
        test = frame["Subject"].isin(held)
        res = sml.lmer("Reaction ~ Days + (Days | Subject)", frame[~test]).fit()
        mean = res.predict(frame[test], allow_new_levels=True)
        pd.testing.assert_series_equal(mean, res.predict(frame[test], re_form=False))
        errors.append(frame.loc[test, "Reaction"] - mean)
    rmse = float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))
    assert 40 < rmse < 60


# -- threads and global state ----------------------------------------------------


def work(model: sml.LMER, reml: bool) -> np.ndarray:
    res = model.fit(reml=reml)
    tests = res.t_test(np.eye(len(res.params)))
    return np.concatenate(
        [res.params, res.bse, res.pvalues, res.theta, tests.df_denom, [res.llf]]
    )


@pytest.mark.parametrize("shared", [True, False])
def test_threads_give_the_serial_numbers(shared, data):
    text = "angle ~ recipe * temp + (1 | recipe:replicate) + (1 | replicate)"

    def build() -> sml.LMER:
        return sml.lmer(text, data("cake"))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        jobs = [True, False, True, False]
        expected = [work(build(), reml) for reml in jobs]
        model = build()
        models = [model if shared else build() for _ in jobs]
        found: list = [None] * len(jobs)

        def run(k: int) -> None:
            found[k] = work(models[k], jobs[k])

        threads = [threading.Thread(target=run, args=(k,)) for k in range(len(jobs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def state() -> tuple:
    found = [np.geterr(), list(warnings.filters)]
    found.append(np.random.get_state()[1].tolist())  # noqa: NPY002
    options = getattr(__import__("statsmodels.formula").formula, "options", None)
    found.append(getattr(options, "formula_engine", None))
    return tuple(found)


def test_no_global_state_is_changed(data, tmp_path):
    before = state()
    res = sml.lmer("Reaction ~ poly(Days, 2) + (Days | Subject)", data("sleepstudy"))
    res = res.fit()
    res.summary(), res.summary2(), res.t_test("Intercept = 0"), res.wald_test_terms()
    res.get_distribution().rvs(rng=1)
    res.predict(data("sleepstudy").head(2))
    res.save(tmp_path / "fit")
    res.remove_data()
    assert state() == before


def test_a_fit_warns_once(data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        res = sml.lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff2")).fit()
        res.summary(), res.t_test("Intercept = 0"), res.remove_data()
    assert [w.category for w in caught] == [sml.SingularFitWarning]
    assert caught[0].filename == __file__  # where fit was called
