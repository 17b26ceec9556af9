"""tidy, glance and augment of LMERResults, dispatch, and the contract of their frames."""

from __future__ import annotations

import functools
import sys
import types
import warnings

import numpy as np
import pandas as pd
import pytest
import registry
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose

import sm_lmer.api as sml
from sm_lmer.tables import dispatch
from sm_lmer.tables.contract import (
    KEY,
    NUMBERS,
    STATISTICS,
    check_glance,
    check_tidy,
    statistic_of,
)
from sm_lmer.tables.dispatch import Extractor, Registry, extractor_of
from sm_lmer.tables.tidy import augment, glance, notes_of, tidy

REFERENCE = {case["id"]: case for case in registry.reference("tidy")["mixed"]}


def keyed(rows):
    """broom.mixed's rows by (group, type, term, term2)."""
    out = {}
    for group, name, estimate in zip(
        rows["group"], rows["term"], rows["estimate"], strict=True
    ):
        kind, _, terms = name.rpartition("__")
        first, _, second = terms.replace("(Intercept)", "Intercept").partition(".")
        group = ":".join(sorted(group.split(":")))
        out[group, kind or "coef", first.replace("Machine", ""), second] = estimate
    return out


def ours(frame):
    out = {}
    for row in frame.itertuples():
        group = ":".join(sorted(row.group.split(":")))
        first, second = (
            name.replace("Machine[T.", "").replace("]", "")
            for name in (row.term, row.term2)
        )
        out[group, row.type, first, second] = row.estimate
    return out


# -- against broom.mixed and performance -----------------------------------------------


@pytest.mark.parametrize("name", ["sleepstudy", "sleepstudy_ml", "penicillin", "oats"])
@pytest.mark.parametrize(("scale", "theirs"), [("sd", "sdcor"), ("var", "vcov")])
def test_random_rows_are_those_of_broom_mixed(fits, name, scale, theirs):
    found = ours(tidy(fits(name), effects="random", re_scale=scale))
    expected = {k: v for k, v in keyed(REFERENCE[name][theirs]).items() if k[0]}
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert_allclose(found[key], value, rtol=2e-5)


def test_rows_of_several_slopes(fits):
    found = ours(tidy(fits("machines"), effects="random"))
    theirs = keyed(REFERENCE["machines"]["sdcor"])
    for first, second in [("B", ""), ("C", ""), ("Intercept", "")]:
        key = ("Worker", "sd", first, second)
        assert_allclose(found[key], theirs[key], rtol=1e-4)
    assert sum(key[1] == "cor" for key in found) == 3
    assert list(tidy(fits("machines"))["type"].iloc[3:]) == [
        *["sd"] * 3,
        *["cor"] * 3,
        "sd",
    ]


@pytest.mark.parametrize("name", list(REFERENCE))
def test_fixed_rows_and_statistics_are_those_of_r(fits, name):
    case, res = REFERENCE[name], fits(name)
    frame = tidy(res, effects="fixed")
    k = len(frame)
    expected = {c: np.array(case["sdcor"][c][:k], float) for c in ("estimate",)}
    if name != "oats":  # R orders factor levels and interactions otherwise
        assert_allclose(frame["estimate"], expected["estimate"], rtol=1e-6)
        assert_allclose(frame["std_error"], case["sdcor"]["std.error"][:k], rtol=2e-5)
        assert_allclose(frame["statistic"], case["sdcor"]["statistic"][:k], rtol=2e-5)
    row = glance(res, metrics="all").iloc[0]
    for key in ("rmse", "aic", "bic", "loglik", "sigma", "nobs"):
        assert_allclose(row[key], case[key], rtol=2e-5)


# -- the published table ---------------------------------------------------------------

SCHOOLS = [
    "2030",
    "2990",
    "3999",
    "4325",
    "4931",
    "5761",
    "5838",
    "7101",
    "8150",
    "8188",
    "8193",
    "8800",
    "9104",
    "9158",
    "9198",
    "9508",
]


@functools.cache
def high_school(reml):
    d = registry.dataset("hsb")
    d = d[d["School"].astype(str).isin(SCHOOLS)].copy()
    d["School"] = d["School"].astype(str)
    d["catholic"] = (d["Sector"] == "Catholic").astype(int)
    d["ses_cmc"] = d["SES"] - d.groupby("School")["SES"].transform("mean")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        formula = "MathAch ~ MEANSES + catholic * ses_cmc + (ses_cmc | School)"
        return sml.lmer(formula, d).fit(reml=reml)


PUBLISHED = {
    True: """11.728 0.670 6.633 1.139 1.890 0.903 2.860 0.464 -0.885 0.661
        1.520 0.354 1.000 5.698 686 0.248 0.299 4365.1 4405.9 0.07 5.64""",
    False: """11.728 0.605 6.492 1.035 1.901 0.815 2.862 0.459 -0.888 0.655
        1.317 0.311 1.000 5.689 686 0.247 0.286 4365.4 4406.2 0.05 5.64""",
}


@pytest.mark.parametrize("reml", [True, False])
def test_published_table(reml):
    res = high_school(reml)
    frame, row = tidy(res), glance(res, likelihood="REML").iloc[0]
    order = ["Intercept", "MEANSES", "catholic", "ses_cmc", "catholic:ses_cmc"]
    fixed = frame[frame["effect"] == "fixed"].set_index("term").loc[order]
    numbers = [
        *fixed[["estimate", "std_error"]].to_numpy().ravel(),
        *frame.loc[frame["effect"] == "random", "estimate"],
        *(row[k] for k in ("nobs", "r2_marginal", "r2_conditional", "aic", "bic")),
        *(row[k] for k in ("icc", "rmse")),
    ]
    texts = PUBLISHED[reml].split()
    for number, text in zip(numbers, texts, strict=True):
        half = 0.5 * 10.0 ** -len(text.partition(".")[2])  # lme4 stops 1e-5 short
        assert abs(number - float(text)) <= half + 1e-5 * abs(number)
    assert "Singular fit." in notes_of(res)


def test_published_kenward_roger_intervals():
    frame = tidy(
        high_school(True), effects="fixed", ddf="kenward-roger", conf_level=0.95
    ).set_index("term")
    published = {
        "Intercept": (10.282, 13.174),
        "MEANSES": (3.998, 9.267),
        "catholic": (-0.062, 3.842),
        "ses_cmc": (1.767, 3.954),
        "catholic:ses_cmc": (-2.368, 0.598),
    }
    for term, ends in published.items():
        found = [frame.loc[term, c] for c in ("conf_low", "conf_high")]
        assert_allclose(found, ends, atol=6e-4)


def test_likelihoods():
    """R 4.2.2, lme4 1.1-31: logLik(m, REML = ) of both fits."""
    reference = {True: (-2173.563, -2175.761), False: (-2173.702, -2175.612)}
    for reml, values in reference.items():
        for kind, value in zip(("REML", "ML"), values, strict=True):
            row = glance(high_school(reml), metrics="all", likelihood=kind)
            assert_allclose(row["loglik"].item(), value, atol=2e-3)
    own = glance(high_school(False), metrics="all")
    assert_allclose(own["loglik"].item(), high_school(False).llf)
    assert_allclose(own["aic"].item(), high_school(False).aic)
    assert_allclose(own["bic"].item(), high_school(False).bic)
    with pytest.raises(ValueError, match="likelihood is"):
        glance(high_school(False), likelihood="OLS")


# -- LMERResults -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "ddf", ["satterthwaite", "kenward-roger", "residual", "normal"]
)
def test_fixed_rows_follow_the_inference(fits, ddf):
    res = fits("sleepstudy")
    frame = tidy(res, effects="fixed", ddf=ddf, conf_level=0.9)
    test = res.t_test(np.eye(2), ddf=ddf)
    assert_allclose(frame["std_error"], np.ravel(test.sd))
    assert_allclose(frame["df"], res.inference(ddf).each(np.eye(2)))
    assert_allclose(frame["p_value"], test.pvalue)
    ends = test.conf_int(alpha=0.1)
    assert_allclose(frame[["conf_low", "conf_high"]], ends, rtol=1e-10)
    assert glance(res, ddf=ddf)["ddf_method"].item() == ddf


def test_default_is_the_fit(fits):
    res = fits("cake")
    frame = tidy(res, effects="fixed")
    assert list(frame["term"]) == list(res.params.index)
    assert_allclose(frame["p_value"], res.pvalues)
    assert frame[["conf_low", "conf_high"]].isna().all(axis=None)


def test_random_rows_have_no_tests_whatever_is_asked(fits):
    frame = tidy(fits("sleepstudy"), effects="random", conf_level=0.95, vcov="CR0")
    assert frame[list(NUMBERS[1:])].isna().all(axis=None)


def test_scales_agree_and_both_has_both(fits):
    res = fits("sleepstudy")
    sd, var, both = (
        tidy(res, effects="random", re_scale=s) for s in ("sd", "var", "both")
    )
    assert len(both) == len(sd) + len(var)
    deviations = sd.loc[sd["type"] == "sd", "estimate"].to_numpy()
    variances = var.loc[var["type"] == "var", "estimate"].to_numpy()
    assert_allclose(deviations**2, variances)


def test_scale_of_the_response(data):
    d = data("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    base = tidy(sml.lmer(formula, d).fit())
    times = tidy(sml.lmer(formula, d.assign(Reaction=10 * d["Reaction"])).fit())
    factor = np.where(base["type"] == "cor", 1.0, 10.0)
    assert_allclose(times["estimate"], factor * base["estimate"], rtol=1e-5)
    assert_allclose(times["p_value"], base["p_value"], rtol=1e-5)


def test_no_fixed_effects(data):
    res = sml.lmer("Yield ~ 0 + (1 | Batch)", data("dyestuff")).fit()
    assert list(tidy(res)["type"]) == ["sd", "sd"]
    assert len(tidy(res, effects="fixed")) == 0


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S", "CR2"])
def test_robust_covariances_by_name(fits, kind):
    res = fits("sleepstudy")
    robust = res.get_robustcov_results("cluster", groups="Subject", kind=kind)
    for frame in (
        tidy(res, vcov=kind),
        tidy(res, vcov={kind: "Subject"}),
        tidy(robust),
    ):
        fixed = frame[frame["type"] == "coef"]
        assert_allclose(fixed["std_error"], robust.bse)
        assert_allclose(fixed["p_value"], robust.pvalues)
        assert_allclose(fixed["df"], robust.ddf)
    assert glance(res, vcov=kind)["vcov_type"].item() == kind
    assert glance(robust)["vcov_type"].item() == kind
    assert any(f"{kind}, robust to 18 clusters" in note for note in notes_of(robust))
    assert notes_of(res, vcov=kind) == notes_of(robust)


def test_covariance_as_matrix_or_function(fits):
    res = fits("sleepstudy")
    V = 4.0 * np.asarray(res.cov_params())
    usual = tidy(res, effects="fixed")
    for vcov in (V, pd.DataFrame(V), lambda r: 4.0 * np.asarray(r.cov_params())):
        frame = tidy(res, effects="fixed", vcov=vcov)
        assert_allclose(frame["std_error"], 2.0 * usual["std_error"])
        assert_allclose(frame["statistic"], 0.5 * usual["statistic"])
        assert_allclose(frame["df"], usual["df"])
        assert glance(res, vcov=vcov)["vcov_type"].item() == "custom"
        assert "Standard errors: custom." in notes_of(res, vcov=vcov)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vcov": "HC1"}, "not available for LMER"),
        ({"vcov": np.eye(3)}, r"shape \(3, 3\)"),
        ({"vcov": np.array([[1.0, 0.0], [0.5, 1.0]])}, "not symmetric"),
        ({"vcov": -np.eye(2)}, "negative variances"),
        ({"vcov": [["a", "b"]]}, "a matrix of numbers"),
        ({"vcov": {"CR0": "Subject", "CR1": "Subject"}}, "one name"),
        ({"ci_method": "exact"}, "unknown ci_method 'exact'"),
        ({"re_scale": "sdcor"}, "unknown re_scale"),
        ({"effects": "ran_vals"}, "unknown effects"),
        ({"conf_level": 95}, "between 0 and 1"),
        ({"exponentiate": "yes"}, "exponentiate is"),
        ({"ddf": "guess"}, "unknown ddf"),
    ],
)
def test_bad_settings(fits, settings, message):
    with pytest.raises(ValueError, match=message):
        tidy(fits("sleepstudy"), **settings)


def test_glance_of_mixed_models(fits):
    row = glance(fits("penicillin")).iloc[0]
    assert (row["ngroups_plate"], row["ngroups_sample"]) == (24, 6)
    assert row["reml"]
    assert row["estimator"] == "LMER (REML)"
    assert row["depvar"] == "diameter"
    assert "loglik" not in row
    assert "vcov_type" not in row
    assert_allclose(row["icc"], fits("penicillin").icc().adjusted)
    assert glance(fits("sleepstudy_ml"))["estimator"].item() == "LMER (ML)"
    assert list(glance(fits("penicillin"), metrics=["aic", "nobs"])) == ["aic", "nobs"]
    with pytest.raises(ValueError, match="unknown metrics"):
        glance(fits("penicillin"), metrics="some")


def test_all_statistics_are_known(fits):
    known = {s.key for s in STATISTICS}
    for key in glance(fits("pastes"), metrics="all").columns:
        assert key in known or key.startswith("ngroups_")


def test_notes(fits):
    assert notes_of(fits("dyestuff2"))[-1] == "Singular fit."
    assert "Fitted by maximum likelihood." in notes_of(fits("sleepstudy_ml"))
    assert "Degrees of freedom: Kenward-Roger." in notes_of(
        fits("dyestuff"), "kenward-roger"
    )
    assert glance(fits("dyestuff2"))["singular"].item()


def test_without_rows(data):
    res = sml.lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff")).fit()
    before, whole = tidy(res), glance(res)
    res.remove_data()
    pd.testing.assert_frame_equal(tidy(res), before)
    kept = glance(res)
    assert set(whole) - set(kept) == {"r2_marginal", "r2_conditional", "icc", "rmse"}


def test_augment(data):
    d = data("sleepstudy").set_axis([f"r{k}" for k in range(180)])
    d.loc["r3", "Reaction"] = np.nan
    res = sml.lmer("Reaction ~ Days + (Days | Subject)", d).fit()
    for frame in (augment(res), augment(res, d), augment(res, d.drop("r3"))):
        assert len(frame) == 179
        assert_allclose(frame[".fitted"] + frame[".resid"], frame["Reaction"])
        assert_allclose(frame[".fixed"], res.predict(re_form=False))
    with pytest.raises(ValueError, match="pass the data of the fit"):
        augment(res, d.head(10))


def test_exponentiate_leaves_random_rows_alone(fits):
    res = fits("dyestuff")
    frame, usual = tidy(res, exponentiate=True), tidy(res)
    assert_allclose(frame["estimate"].iloc[1:], usual["estimate"].iloc[1:])
    assert np.isinf(frame["estimate"].iloc[0])  # exp of about 1500
    pd.testing.assert_frame_equal(tidy(res, exponentiate="auto"), usual)


# -- dispatch --------------------------------------------------------------------------


class Plain:
    """A result that nothing knows."""


@pytest.fixture
def own():
    """A registry of its own, without plug-ins."""
    return Registry(plugins=[])


def line(estimate, **more):
    return pd.DataFrame({"term": ["a"], "estimate": [estimate], **more})


def read(extractor, res, **settings):
    return extractor.tidy(res, dispatch.Request(**settings))


def test_unknown_classes(own):
    with pytest.raises(TypeError, match="nothing knows how to read"):
        extractor_of(Plain(), own)


def test_registrations_go_first_and_the_nearest_class_counts(own, fits):
    class Child(Plain):
        pass

    dispatch.register_tidier(Plain, lambda res: line(1.0), registry=own)

    @dispatch.register_tidier(Child, glance=lambda res: {"nobs": 7}, registry=own)
    def of_child(res, conf_level):
        return line(conf_level)

    assert read(extractor_of(Plain(), own), Plain())["estimate"].item() == 1.0
    extractor = extractor_of(Child(), own)
    assert read(extractor, Child(), conf_level=0.5)["estimate"].item() == 0.5
    assert extractor.glance(Child(), dispatch.Request()) == {"nobs": 7}
    name = "sm_lmer.results:LMERResults"
    dispatch.register_tidier(name, lambda res, **kw: line(len(kw)), registry=own)
    found = read(extractor_of(fits("dyestuff"), own), fits("dyestuff"))
    assert found["estimate"].item() == len(dispatch.fields(dispatch.Request))
    own.forget(name)
    assert extractor_of(fits("dyestuff"), own).name == "sm_lmer"


def test_wrapper_classes_can_be_registered(own, data):
    res = smf.ols("Reaction ~ Days", data("sleepstudy")).fit()
    dispatch.register_tidier(type(res), lambda r: line(3.0), registry=own)
    assert read(extractor_of(res, own), res)["estimate"].item() == 3.0


def test_a_registered_glance_leaves_tidy_alone(own, fits):
    res = fits("dyestuff")
    dispatch.register_tidier(
        type(res._results), glance=lambda r: {"k": 1}, registry=own
    )
    extractor = extractor_of(res, own)
    assert len(read(extractor, res)) == 3
    assert extractor.glance(res, dispatch.Request()) == {"k": 1}


def test_names_of_classes_are_checked():
    with pytest.raises(ValueError, match=r"package\.module:Class"):
        dispatch.register_tidier("Class", lambda res: line(1.0))


def test_hooks_of_the_result():
    class Hooked:
        def __init__(self):
            self.params = self.bse = self.pvalues = None

        def __sm_tidy__(self, conf_level=None):
            return line(2.0, std_error=[0.5], df=[np.inf])

        def __sm_glance__(self):
            return pd.DataFrame({"nobs": [3], "other": ["x"], "aic": [np.nan]})

    frame = tidy(Hooked(), conf_level=0.95, vcov=[[4.0]])
    assert frame["std_error"].item() == 2.0
    assert_allclose(frame["conf_high"].item(), 2.0 + 1.959964 * 2.0, rtol=1e-6)
    assert glance(Hooked()).to_dict("records") == [{"nobs": 3, "other": "x"}]
    assert notes_of(Hooked()) == ()
    with pytest.raises(ValueError, match="vcov='HC1' is not available for Hooked"):
        tidy(Hooked(), vcov="HC1")
    with pytest.raises(TypeError, match="augment does not know"):
        augment(Hooked())


def test_overrides_add_and_replace(own, fits):
    res = fits("sleepstudy")
    dispatch.register_override(
        "sm_lmer.results:LMERResults",
        lambda r: pd.DataFrame(
            {"term": ["Days"], "effect": ["fixed"], "p_value": [0.5], "vif": [1.0]}
        ),
        glance=lambda r: {"nobs": 1, "mine": 2.0},
        registry=own,
    )
    extractor = extractor_of(res, own)
    frame, usual = read(extractor, res), read(extractor_of(res), res)
    assert frame.loc[1, "p_value"] == 0.5
    assert frame["vif"].notna().tolist() == [False, True, False, False, False, False]
    assert_allclose(frame["estimate"], usual["estimate"])
    values = extractor.glance(res, dispatch.Request())
    assert (values["nobs"], values["mine"]) == (1, 2.0)
    assert "aic" in values


def test_override_frames_are_checked():
    frame = check_tidy(line(1.0), "x")
    with pytest.raises(ValueError, match="no column 'term'"):
        dispatch.put_over(frame, pd.DataFrame({"p_value": [1.0]}))
    with pytest.raises(ValueError, match="several rows"):
        dispatch.put_over(frame, pd.DataFrame({"term": ["a", "a"], "vif": [1, 2]}))


def test_plugins_are_loaded_on_a_miss_and_once(monkeypatch, fits):
    loaded = []

    class Point:
        def load(self):
            def plug_in(register):
                loaded.append(1)
                register(Plain, lambda res: line(9.0), lambda res: {"nobs": 2})

            return plug_in

    monkeypatch.setattr(dispatch, "entry_points", lambda group: [Point()])
    registry_ = Registry()
    extractor_of(fits("dyestuff"), registry_)
    assert not loaded
    for _ in range(2):
        found = read(extractor_of(Plain(), registry_), Plain())
        assert found["estimate"].item() == 9.0
    assert loaded == [1]


def test_built_ins_are_found_without_importing(monkeypatch):
    """A class counts by its name in a loaded module; its package is never imported."""
    module = types.ModuleType("linearmodels.panel.results")
    Results = type("PanelResults", (), {"__module__": module.__name__})
    module.PanelResults = Results
    assert dispatch.built_in(Results) is None
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found = dispatch.built_in(type("Child", (Results,), {}))
    assert isinstance(found, Extractor)
    assert found.name == "linearmodels"


# -- the contract ----------------------------------------------------------------------


def test_names_of_other_packages():
    frame = pd.DataFrame(
        {
            "Estimate": [1.0, 2.0],
            "Std. Error": [0.1, 0.2],
            "Pr(>|t|)": [0.5, 0.6],
            "2.5%": [0.0, 0.0],
        },
        index=pd.Index(["a", "b"], name="Coefficient"),
    )
    out = check_tidy(frame, "x")
    assert out["term"].tolist() == ["a", "b"]
    assert_allclose(out["std_error"], [0.1, 0.2])
    assert_allclose(out["p_value"], [0.5, 0.6])
    assert out["type"].tolist() == ["coef", "coef"]
    assert list(out.columns[:8]) == ["term", *NUMBERS]
    again = check_tidy(out, "x")
    pd.testing.assert_frame_equal(again, out)


def test_our_names_win_over_other_names():
    frame = pd.DataFrame(
        {"term": ["a"], "estimate": [1.0], "p": [0.1], "p_value": [0.2]}
    )
    assert check_tidy(frame, "x")["p_value"].item() == 0.2
    two = pd.DataFrame({"term": ["a"], "estimate": [1.0], "p": [0.1], "pvalue": [0.2]})
    assert check_tidy(two, "x")["p_value"].item() == 0.1


def test_terms_can_be_an_index_without_a_name():
    frame = pd.DataFrame({"b": [1.0, 2.0]}, index=["a", "c"])
    assert check_tidy(frame, "x")["term"].tolist() == ["a", "c"]


def test_missing_columns_and_equal_rows():
    with pytest.raises(ValueError, match="of mine has no column 'estimate'"):
        check_tidy(pd.DataFrame({"term": ["a"]}), "mine")
    twice = pd.DataFrame({"term": ["a", "a"], "estimate": [1.0, 2.0]})
    with pytest.raises(ValueError, match="several rows for a; tell them apart"):
        check_tidy(twice, "mine")
    check_tidy(twice.assign(response=["u", "v"]), "mine")
    missing = check_tidy(twice.assign(response=["u", None]), "mine")
    assert missing["response"].tolist() == ["u", ""]


def test_glance_frames_have_one_row():
    assert check_glance({"a": 1, "b": np.nan, "c": None, "d": "x"}, "s") == {
        "a": 1,
        "d": "x",
    }
    with pytest.raises(ValueError, match="has 2 rows"):
        check_glance(pd.DataFrame({"a": [1, 2]}), "s")


def test_labels_of_statistics():
    assert statistic_of("ngroups_Subject").label == "Num.Groups: Subject"
    assert statistic_of("mine").label == "mine"


@pytest.mark.parametrize("name", ["pastes", "penicillin", "machines", "oats", "cake"])
def test_keys_are_unique(fits, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = tidy(fits(name), re_scale="both")
    assert not frame.duplicated(list(KEY)).any()


def test_two_terms_on_a_factor_have_keys_of_their_own(data):
    res = sml.lmer("Reaction ~ Days + (Days || Subject)", data("sleepstudy")).fit()
    twice = sml.lmer(
        "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", data("sleepstudy")
    ).fit()
    for fit in (res, twice):
        frame = tidy(fit, effects="random")
        assert frame["term"].tolist() == ["Intercept", "Days", "Observation"]


def test_profile_intervals_of_both_parts(fits):
    res = fits("sleepstudy")
    frame = tidy(res, conf_level=0.9, ci_method="profile", re_scale="both")
    fixed = np.asarray(res.conf_int(0.1, method="profile"))
    own = frame[frame["type"] == "coef"][["conf_low", "conf_high"]]
    np.testing.assert_allclose(own, fixed)
    ends = res.conf_int_re(0.1)
    sd = frame[(frame["type"] == "sd") & (frame["term"] == "Days")]
    expected = ends.loc["sd Days|Subject"]
    np.testing.assert_allclose(sd[["conf_low", "conf_high"]].iloc[0], expected)
    var = frame[(frame["type"] == "var") & (frame["term"] == "Days")]
    np.testing.assert_allclose(var[["conf_low", "conf_high"]].iloc[0], expected**2)
    cor = frame[frame["type"] == "cor"][["conf_low", "conf_high"]].iloc[0]
    np.testing.assert_allclose(cor, ends.loc["cor Intercept,Days|Subject"])
    sigma = frame[(frame["group"] == "Residual") & (frame["type"] == "sd")]
    np.testing.assert_allclose(
        sigma[["conf_low", "conf_high"]].iloc[0], ends.loc["sigma"]
    )
    assert frame.loc[frame["type"] == "cov", "conf_low"].isna().all()
