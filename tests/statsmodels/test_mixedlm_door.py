"""A MixedLM script runs after changing one import, and means the same."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose
from statsmodels.regression.mixed_linear_model import MixedLMParams

import sm_lmer.api as sml
from sm_lmer import mixedlm_names as names
from sm_lmer.inference.ddf import METHODS

mixedlm = sml.LMER.from_formula


GROUPS = list("abcdefghijkl")


def small_data(seed: int = 3, n: int = 216) -> pd.DataFrame:
    """Twelve groups g, three levels a and two levels b within each, x and z numbers.

    Every random term of the tests has a variance of its own.
    """
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
            "g": np.repeat(GROUPS, n // 12),
            "a": np.tile([1, 2, 3], n // 3),
            "b": np.tile(["p", "q"], n // 2),
        }
    )
    data["first"] = (data["a"] == 1) * rng.uniform(1, 2, n)
    data["second"] = (data["a"] == 2) * rng.uniform(1, 2, n)
    data["flag"] = data["a"] == 1
    g = np.repeat(np.arange(12), n // 12)
    cells = 3 * g + data["a"].to_numpy() - 1
    slopes = rng.normal(size=(12, 2))
    data["y"] = data["x"] + 1.5 * rng.normal(size=12)[g] + rng.normal(size=n)
    data["y"] += 1.2 * slopes[g, 0] * data["z"] + slopes[g, 1] * data["x"]
    data["y"] += 1.5 * rng.normal(size=36)[cells]
    data["y"] += rng.normal(size=36)[cells] * data["z"]
    data["y"] += rng.normal(size=72)[2 * cells + (data["b"] == "p")]
    return data


DATA = small_data()
ONES = np.ones(len(DATA))

# what MixedLM is given: the random terms
TRANSLATIONS = [
    ({"groups": "g"}, "(1 | g)"),
    ({"groups": "g", "re_formula": "1"}, "(1 | g)"),
    ({"groups": "g", "re_formula": "~z"}, "(z | g)"),
    ({"groups": "g", "re_formula": "1 + z"}, "(1 + z | g)"),
    ({"groups": "g", "re_formula": "0 + z"}, "(0 + z | g)"),
    ({"groups": "g", "re_formula": "~ z - 1"}, "(z - 1 | g)"),
    ({"groups": "g", "vc_formula": {}}, "(1 | g)"),
    ({"groups": "g", "vc_formula": {"v": "1"}}, "(1 | g)"),
    ({"groups": "g", "vc_formula": {"v": "0 + z"}}, "(0 + z | g)"),
    ({"groups": "g", "vc_formula": {"v": "0 + C(a)"}}, "(1 | g:a)"),
    ({"groups": "g", "vc_formula": {"v": "0 + C(a, Treatment(2))"}}, "(1 | g:a)"),
    ({"groups": "g", "vc_formula": {"v": "~ C(a) - 1"}}, "(1 | g:a)"),
    ({"groups": "g", "vc_formula": {"v": "0 + b"}}, "(1 | g:b)"),
    ({"groups": "g", "vc_formula": {"v": "0 + C(g)"}}, "(1 | g)"),
    ({"groups": "g", "vc_formula": {"v": "0 + C(a):z"}}, "(0 + z | g:a)"),
    ({"groups": "g", "vc_formula": {"v": "0 + z:C(a):C(b)"}}, "(0 + z | g:a:b)"),
    ({"groups": "g", "vc_formula": {"v": "0 + z:x"}}, "(0 + z:x | g)"),
    ({"groups": "g", "vc_formula": {"v": "0 + I(z**2)"}}, "(0 + I(z**2) | g)"),
    (
        {"groups": "g", "re_formula": "1", "vc_formula": {"v": "0 + C(a)"}},
        "(1 | g) + (1 | g:a)",
    ),
    (
        {"groups": "g", "re_formula": "0", "vc_formula": {"v": "0 + C(a)"}},
        "(1 | g:a)",
    ),
    (
        {"groups": "g", "vc_formula": {"v": "0 + z", "u": "0 + C(a)"}},
        "(1 | g:a) + (0 + z | g)",
    ),
    (
        {"groups": ONES, "vc_formula": {"v": "0 + C(a)", "w": "0 + C(g)"}},
        "(1 | a) + (1 | g)",
    ),
    ({"groups": ONES, "vc_formula": {"v": "0 + C(g):z"}}, "(0 + z | g)"),
]


@pytest.mark.parametrize(("arguments", "bars"), TRANSLATIONS, ids=lambda v: str(v)[:60])
def test_the_lme4_formula(arguments, bars, formula_engine):
    model = mixedlm("y ~ x", DATA, **arguments)
    assert model.lmer_formula == f"y ~ x + {bars}"
    written = sml.lmer(f"y ~ x + {bars}", DATA)
    assert [t.text for t in model.re_terms] == [t.text for t in written.re_terms]
    for one, other in zip(model.re_terms, written.re_terms, strict=True):
        np.testing.assert_array_equal(one.factor.codes, other.factor.codes)
        np.testing.assert_array_equal(one.Z, other.Z)


def test_booleans_are_what_the_engine_makes_of_them(formula_engine):
    model = mixedlm("y ~ x", DATA, groups="g", vc_formula={"v": "0 + flag"})
    bars = "(1 | g:flag)" if formula_engine == "patsy" else "(0 + flag | g)"
    assert model.lmer_formula == f"y ~ x + {bars}"
    model = mixedlm("y ~ x", DATA, groups="g", vc_formula={"v": "0 + I(a == 1)"})
    bars = "(1 | g:np.asarray(a == 1))"
    if formula_engine != "patsy":
        bars = "(0 + I(a == 1) | g)"
    assert model.lmer_formula == f"y ~ x + {bars}"


def test_levels_may_be_computed(formula_engine):
    vc = {"v": "0 + C(a + 10)"}
    model = mixedlm("y ~ x", DATA, groups="g", vc_formula=vc)
    assert model.lmer_formula == "y ~ x + (1 | g:np.asarray(a + 10))"
    expected = sml.lmer("y ~ x + (1 | g:a)", DATA).fit()
    assert_allclose(model.fit().theta, expected.theta, rtol=1e-7)


# -- the meaning ----------------------------------------------------------------------

MEANINGS = [
    {"groups": "g"},
    {"groups": DATA["g"], "re_formula": "~z"},
    {"groups": "g", "re_formula": "0 + x + z"},
    {"groups": "g", "re_formula": "1", "vc_formula": {"v": "0 + C(a)"}},
    {"groups": "g", "vc_formula": {"v": "0 + C(a)", "s": "0 + z", "i": "1"}},
    {"groups": "g", "re_formula": "~z", "vc_formula": {"v": "0 + C(a):z"}},
    {"groups": "g", "vc_formula": {"v": "0 + first + second"}},
    {"groups": "g", "re_formula": "1", "vc_formula": {"v": "0 + C(a):b"}},
    {"groups": ONES, "vc_formula": {"v": "0 + C(g)", "w": "0 + C(g):C(a)"}},
]


def both(arguments, reml):
    """The model of this package and statsmodels' own, fitted here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = mixedlm("y ~ x", DATA, **arguments).fit(reml=reml)
        theirs = smf.mixedlm("y ~ x", DATA, **arguments)
    theirs.reml, theirs.cov_pen, theirs._cov_sing = reml, None, 0
    return results, theirs


def packed(results):
    """The estimates as MixedLM's parameters, which are in units of the scale."""
    return MixedLMParams.from_components(
        fe_params=np.asarray(results.params),
        cov_re=np.asarray(names.cov_re_unscaled(results)),
        vcomp=np.asarray(names.vcomp(results)) / results.scale,
    )


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("arguments", MEANINGS, ids=lambda v: str(list(v.values())[1:]))
def test_the_likelihood_is_mixedlms(arguments, reml):
    """At the estimates, and again at other parameters."""
    results, theirs = both(arguments, reml)
    at = packed(results)
    assert_allclose(theirs.loglike(at), results.llf, rtol=1e-7)
    for factor in (0.5, 3.0):
        elsewhere = at.copy()
        elsewhere.cov_re, elsewhere.vcomp = factor * at.cov_re, factor * at.vcomp
        value = results.model.criterion(np.sqrt(factor) * results.theta, reml=reml)
        assert_allclose(theirs.loglike(elsewhere), -value / 2, rtol=1e-7)
    assert_allclose(
        theirs.get_fe_params(at.cov_re, at.vcomp)[0], results.params, rtol=1e-6
    )


@pytest.mark.parametrize(
    "arguments",
    [case for k, case in enumerate(MEANINGS) if k != 5],
    ids=lambda v: str(list(v.values())[1:]),
)
def test_the_results_are_mixedlms(arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results, theirs = both(arguments, True)
        reference = theirs.fit(gtol=1e-8)
    assert results.llf >= reference.llf - 1e-6
    scale = results.scale
    assert_allclose(results.fe_params, reference.fe_params, atol=1e-3)
    # MixedLM's are from the observed Hessian of all parameters
    assert_allclose(results.bse_fe, reference.bse_fe, rtol=5e-2)
    assert_allclose(results.scale, reference.scale, rtol=2e-3)
    cov_re, theirs_cov = names.cov_re(results), reference.cov_re
    assert_allclose(cov_re, theirs_cov, atol=5e-3 * scale)
    assert_allclose(names.vcomp(results), reference.vcomp, atol=2e-2 * scale)
    if len(cov_re):
        assert list(cov_re.index) == list(theirs_cov.index)
    assert list(names.vcomp(results).index) == theirs.exog_vc.names


@pytest.mark.parametrize("arguments", MEANINGS, ids=lambda v: str(list(v.values())[1:]))
def test_the_random_effects_are_mixedlms(arguments, formula_engine):
    """By label; their conditional covariance against the formula, dense."""
    results, theirs = both(arguments, True)
    modes, spreads = names.random_effects(results), names.random_effects_cov(results)
    assert list(modes) == list(spreads) == theirs.group_labels
    labels = list(theirs.data.exog_re_names)
    for k, group in enumerate(theirs.group_labels):
        expected = list(labels)
        for name, columns in zip(
            theirs.exog_vc.names, theirs.exog_vc.colnames, strict=True
        ):
            expected += [f"{name}[{column}]" for column in columns[k]]
        assert set(modes[group].index) <= set(expected)
        assert list(spreads[group].index) == list(modes[group].index)
        Z, rows = theirs._aex_r[k], theirs.row_indices[group]
        occurring = [expected.index(label) for label in modes[group].index]
        assert not np.delete(Z, occurring, axis=1).any()  # empty cells have no effect
        Z = Z[:, occurring]
        G = np.zeros((Z.shape[1], Z.shape[1]))
        G[: theirs.k_re, : theirs.k_re] = names.cov_re(results)
        for j, label in enumerate(modes[group].index[theirs.k_re :], theirs.k_re):
            G[j, j] = names.vcomp(results)[label.partition("[")[0]]
        V = Z @ G @ Z.T + results.scale * np.eye(len(rows))
        gain = G @ Z.T @ np.linalg.inv(V)
        residual = (theirs.endog - theirs.exog @ results.params)[rows]
        assert_allclose(modes[group], gain @ residual, atol=1e-9)
        assert_allclose(spreads[group], G - gain @ Z @ G, atol=1e-9)


def test_weights_count_in_the_conditional_covariance():
    data = DATA.assign(w=np.linspace(0.5, 2, len(DATA)))
    arguments = {"groups": "g", "re_formula": "~z", "vc_formula": {"v": "0 + C(a)"}}
    results = mixedlm("y ~ x", data, weights="w", **arguments).fit()
    bars = sml.lmer("y ~ x + (z | g) + (1 | g:a)", data, weights="w").fit()
    spread = names.random_effects_cov(results)["c"].iloc[:2, :2]
    assert_allclose(spread, bars.random_effects_cov["g"]["c"], rtol=1e-6)


# -- the names ------------------------------------------------------------------------


def test_names_of_the_model():
    vc = {"v": "0 + C(a)", "s": "0 + z"}
    model = mixedlm("y ~ x", DATA, groups="g", re_formula="~x", vc_formula=vc)
    theirs = smf.mixedlm("y ~ x", DATA, groups="g", re_formula="~x", vc_formula=vc)
    assert model.group_labels == theirs.group_labels
    assert model.n_groups == theirs.n_groups == 12
    assert (model.k_fe, model.k_re) == (theirs.k_fe, theirs.k_re) == (2, 2)
    assert (model.k_re2, model.k_vc) == (theirs.k_re2, theirs.k_vc)
    assert model.exog_names == theirs.exog_names
    assert model.n_totobs == theirs.n_totobs


def test_names_of_a_crossed_model():
    vc = {"v": "0 + C(g)", "w": "0 + C(g):C(a)"}
    model = mixedlm("y ~ x", DATA, groups=ONES, vc_formula=vc)
    assert (model.n_groups, model.group_labels) == (1, [1.0])
    assert (model.k_re, model.k_re2, model.k_vc) == (0, 0, 2)
    results = model.fit()
    assert names.cov_re(results).shape == (0, 0)
    assert list(names.vcomp(results).index) == ["v", "w"]


def test_names_of_a_model_of_bars():
    results = sml.lmer("y ~ x + (z | g) + (1 | g:a)", DATA).fit()
    model = results.model
    assert model.mixedlm_roles is None
    assert list(names.vcomp(results).index) == ["g:a", "g[Intercept]", "g[z]"]
    covariance = results.cov_re
    assert_allclose(
        names.vcomp(results), [*np.diag(covariance["g:a"]), *np.diag(covariance["g"])]
    )
    assert model.n_groups == {"g:a": 36, "g": 12}
    assert model.group_labels["g"] == GROUPS
    assert (model.k_re, model.k_re2, model.k_vc) == (3, 4, 0)
    assert names.cov_re(results).keys() == covariance.keys()
    unscaled = names.cov_re_unscaled(results)["g"]
    assert_allclose(unscaled * results.scale, covariance["g"])
    assert names.random_effects(results)["g"].keys() == set(GROUPS)
    assert names.random_effects_cov(results)["g"]["a"].shape == (2, 2)
    single = sml.lmer("y ~ x + (1 | g)", DATA)
    assert single.n_groups == 12
    assert single.group_labels == GROUPS


def test_the_intercept_is_named_as_the_groups():
    by_name = mixedlm("y ~ x", DATA, groups="g", re_formula="~z").fit()
    by_values = mixedlm("y ~ x", DATA, groups=DATA["g"], re_formula="~z").fit()
    assert list(names.cov_re(by_name).index) == ["g", "z"]
    assert list(names.cov_re(by_values).index) == ["Group", "z"]
    assert by_values.model.lmer_formula == by_name.model.lmer_formula


# -- the groups -----------------------------------------------------------------------


def as_polars(column):
    return pytest.importorskip("polars").Series("g", column.to_list())


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (lambda d: d["g"], "g"),
        (lambda d: d["g"].rename("other"), "other"),
        (lambda d: d["g"].to_numpy(), "Group"),
        (lambda d: d["g"].to_list(), "Group"),
        (lambda d: pd.Categorical(d["g"]), "Group"),
        (lambda d: d["g"].str.upper(), "Group"),
        (lambda d: d["g"].map(ord).to_numpy(), "Group"),
        (lambda d: as_polars(d["g"]), "Group"),
    ],
)
def test_groups_of_every_kind(given, name):
    results = mixedlm("y ~ x", DATA, groups=given(DATA)).fit()
    expected = sml.lmer("y ~ x + (1 | g)", DATA).fit()
    assert results.model.lmer_formula == f"y ~ x + (1 | {name})"
    assert_allclose(results.theta, expected.theta, rtol=1e-8)
    assert list(names.cov_re(results).index) == ["Group"]


def test_unusual_names(formula_engine):
    if formula_engine == "formulaic":
        odd, column = "my group", "my_a"
    else:
        odd, column = "my group", "my a"
    data = DATA.rename(columns={"g": odd, "a": column})
    vc = {"v": f'0 + C(Q("{column}"))', "i": f'0 + C(Q("{odd}"))'}
    model = mixedlm("y ~ x", data, groups=odd, vc_formula=vc)
    assert [term.name for term in model.re_terms] == [f"{odd}:{column}", odd]
    taken = DATA.assign(Group=0)
    model = mixedlm("y ~ x", taken, groups=DATA["g"].to_numpy())
    assert model.re_terms[0].name == "Group_"


def test_a_missing_group_drops_its_rows():
    groups = DATA["g"].astype(object).to_numpy().copy()
    groups[[0, 17]] = None
    model = mixedlm("y ~ x", DATA, groups=groups, missing="drop")
    assert model.nobs == len(DATA) - 2
    assert model.dropped_rows == {"Group": 2}


def test_subset_and_other_arguments_go_on():
    arguments = {"groups": DATA["g"].to_numpy(), "re_formula": "~z"}
    chosen = (DATA["a"] < 3).to_numpy()
    whole = mixedlm("y ~ x + b", DATA, subset=chosen, drop_cols=["b"], **arguments)
    part = mixedlm("y ~ x", DATA[chosen], groups="g", re_formula="~z")
    assert whole.nobs == chosen.sum()
    assert_allclose(whole.fit().params, part.fit().params, rtol=1e-8)


def test_functions_of_the_caller():
    def twice(values):
        return 2 * values

    results = mixedlm(
        "y ~ twice(x)",
        DATA,
        groups="g",
        re_formula="0 + twice(z)",
        vc_formula={"v": "0 + twice(x)", "w": "0 + C(twice(a))"},
    ).fit()
    once = mixedlm(
        "y ~ x",
        DATA,
        groups="g",
        re_formula="0 + z",
        vc_formula={"v": "0 + x", "w": "0 + C(a)"},
    ).fit()
    assert_allclose(2 * results.params.iloc[1], once.params["x"], rtol=1e-6)
    factors = names.vcomp(once) / names.vcomp(results)
    assert_allclose(factors, [4, 1], rtol=1e-4)


def test_predictions_need_the_groups_column():
    vc = {"v": "0 + C(a)"}
    results = mixedlm(
        "y ~ x", DATA, groups=DATA["g"], re_formula="~z", vc_formula=vc
    ).fit()
    assert_allclose(results.predict(DATA), results.fittedvalues)
    marginal = DATA.drop(columns=["g", "a"])
    assert_allclose(
        results.predict(marginal, re_form=False),
        results.model.predict(results.params),
    )


def test_columns_that_never_meet_predict_too(formula_engine):
    vc = {"v": "0 + first + second"}
    results = mixedlm("y ~ x", DATA, groups="g", vc_formula=vc).fit()
    assert_allclose(results.predict(DATA), results.fittedvalues)
    effects = names.random_effects(results)["b"]
    assert list(effects.index) == ["v[first]", "v[second]"]


def test_pickled_models_keep_their_names():
    vc = {"v": "0 + C(a)"}
    arguments = {"groups": "g", "re_formula": "~z", "vc_formula": vc}
    results = mixedlm("y ~ x", DATA, **arguments).fit()
    again = pickle.loads(pickle.dumps(results))
    pd.testing.assert_frame_equal(names.cov_re(again), names.cov_re(results))
    pd.testing.assert_series_equal(names.vcomp(again), names.vcomp(results))
    pd.testing.assert_series_equal(
        names.random_effects(again)["a"], names.random_effects(results)["a"]
    )


def test_rows_in_another_order():
    vc = {"v": "0 + C(a)"}
    arguments = {"groups": "g", "re_formula": "~z", "vc_formula": vc}
    mixed = DATA.sample(frac=1, random_state=1)
    one = mixedlm("y ~ x", DATA, **arguments).fit()
    other = mixedlm("y ~ x", mixed, **arguments).fit()
    assert_allclose(other.params, one.params, rtol=1e-7)
    effects = names.random_effects(one)
    for group, found in names.random_effects(other).items():
        assert_allclose(found[effects[group].index], effects[group], 1e-4)


def test_units_of_the_response():
    vc = {"v": "0 + C(a)"}
    arguments = {"groups": "g", "re_formula": "~z", "vc_formula": vc}
    one = mixedlm("y ~ x", DATA, **arguments).fit()
    other = mixedlm("y ~ x", DATA.assign(y=1e3 * DATA["y"]), **arguments).fit()
    assert_allclose(names.vcomp(other), 1e6 * names.vcomp(one), rtol=1e-5)
    assert_allclose(names.cov_re(other), 1e6 * names.cov_re(one), rtol=1e-5)
    effects = names.random_effects(one)["b"]
    assert_allclose(names.random_effects(other)["b"], 1e3 * effects, rtol=1e-4)


def test_updates_are_of_the_bars():
    results = mixedlm("y ~ x + b", DATA, groups=DATA["g"].to_numpy()).fit()
    smaller = results.update(". ~ . - b")
    assert smaller.model.lmer_formula.endswith("(1 | Group)) - b")
    expected = mixedlm("y ~ x", DATA, groups="g").fit()
    assert_allclose(smaller.params, expected.params, rtol=1e-7)


# -- what is refused ------------------------------------------------------------------

REFUSED = [
    ({"re_formula": "~z"}, ValueError, r"need groups=.*write the random terms"),
    ({"vc_formula": {"v": "0 + z"}}, ValueError, "need groups="),
    ({"groups": "flog"}, ValueError, "unknown column 'flog' in groups; did you mean"),
    ({"groups": ONES[:5]}, ValueError, r"groups has shape \(5,\).*216 rows"),
    ({"groups": np.ones((216, 2))}, ValueError, r"groups has shape \(216, 2\)"),
    ({"groups": DATA["g"][::-1]}, ValueError, "the index of groups is not that of"),
    ({"groups": ONES * np.nan}, ValueError, "groups is missing in all rows"),
    ({"groups": "g", "re_formula": 1}, TypeError, "re_formula is a string, not int"),
    ({"groups": "g", "re_formula": "0"}, ValueError, "without a random effect"),
    ({"groups": "g", "re_formula": "(1 | a)"}, ValueError, "re_formula=.* has bars"),
    ({"groups": "g", "re_formula": "z +"}, ValueError, r"re_formula='z \+' cannot be"),
    ({"groups": "g", "vc_formula": ["0 + z"]}, TypeError, "is a mapping .*not list"),
    ({"groups": "g", "vc_formula": {"v": 3}}, TypeError, r"vc_formula\['v'\] is a str"),
    ({"groups": "g", "vc_formula": {"v": "0"}}, ValueError, "needs columns"),
    ({"groups": "g", "vc_formula": {"v": "C(a)"}}, ValueError, r"write '0 \+ C\(a\)'"),
    ({"groups": "g", "vc_formula": {"v": "0 + x + z"}}, ValueError, "of its own"),
    ({"groups": "g", "vc_formula": {"v": "z"}}, ValueError, "share one variance"),
    ({"groups": "g", "vc_formula": {"v": "0 + C(a) + b"}}, ValueError, "share one"),
    ({"groups": "g", "vc_formula": {"v": "0 + C(a, Sum)"}}, ValueError, "contrasts"),
    ({"groups": "g", "vc_formula": {"v": "0 + center(z)"}}, ValueError, "within each"),
    ({"groups": "g", "vc_formula": {"v": "0 + scale(z)"}}, ValueError, "within each"),
    (
        {"groups": "g", "vc_formula": {"v": "0 + I(z - z.mean())"}},
        ValueError,
        "evaluates within each group",
    ),
    (
        {"groups": "g", "vc_formula": {"v": "0 + C(pd.qcut(z, 2))"}},
        ValueError,
        "evaluates within each group",
    ),
    ({"groups": "g", "vc_formula": {"v": "0 + zz"}}, ValueError, "unknown column 'zz'"),
    ({"groups": "g", "subset": "~z"}, TypeError, "third argument .* is subset"),
    ({"groups": "g", "use_sqrt": False}, TypeError, r"use_sqrt \(leave it out"),
    ({"groups": "g", "exog_vc": {}}, TypeError, r"exog_vc \(write vc_formula="),
    ({"groups": ONES}, ValueError, "has only one level"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED)
def test_refused(arguments, error, message, formula_engine):
    with pytest.raises(error, match=message) as raised:
        mixedlm("y ~ x", DATA, **arguments)
    assert "\n" not in str(raised.value).strip() or "^" in str(raised.value)


def test_bars_and_groups_are_refused():
    with pytest.raises(ValueError, match="has random terms already; leave out groups="):
        mixedlm("y ~ x + (1 | a)", DATA, groups="g")


# -- the fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["bfgs", "lbfgs", "cg", "nm", "powell", "LBFGS", ["cg"], None]
)
def test_methods_of_mixedlm(method):
    model = mixedlm("y ~ x", DATA, groups="g", re_formula="~z")
    results = model.fit(method=method, full_output=True, maxiter=200)
    assert_allclose(results.llf, model.fit().llf, rtol=1e-8)


def test_methods_are_tried_in_turn():
    model = mixedlm("y ~ x", DATA, groups="g", re_formula="~z")
    first = model.fit(method=["bfgs", "nm"])
    assert first.optimizer == "bfgs"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = model.fit(method="nm", maxiter=0)
        second = model.fit(method=["nm", "nm"], maxiter=0)
    assert not alone.converged
    assert second.optimizer == "nm"
    with pytest.raises(ValueError, match="unknown method 'newton'; choose one of"):
        model.fit(method=["bfgs", "newton"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"free": None}, r"free \(write diag\(x | g\)"),
        ({"niter_sa": 0}, "niter_sa .leave it out"),
        ({"do_cg": False}, "do_cg .evaluate model.criterion"),
        ({"fe_pen": None, "cov_pen": None}, "cov_pen .* fe_pen .*no penalised"),
        ({"ftol": 1e-8}, "ftol .use gtol= and maxiter="),
        ({"nonsense": 1}, "LMER.fit got unknown arguments: nonsense."),
    ],
)
def test_arguments_without_a_meaning(arguments, message):
    model = mixedlm("y ~ x", DATA, groups="g")
    with pytest.raises(TypeError, match=message):
        model.fit(**arguments)


def test_start_values_are_not_reml():
    model = mixedlm("y ~ x", DATA, groups="g")
    with pytest.raises(TypeError, match="reml is True or False, not ndarray"):
        model.fit(np.ones(3))


@pytest.mark.parametrize("ddf", METHODS)
def test_use_t(ddf):
    model = mixedlm("y ~ x", DATA, groups="g")
    if ddf != "kenward-roger":
        assert model.fit(ddf=ddf).use_t == (ddf != "normal")
    assert not model.fit(ddf=ddf, use_t=False).use_t
    if ddf == "normal":
        with pytest.raises(ValueError, match="use_t=True needs another ddf"):
            model.fit(ddf=ddf, use_t=True)


def test_use_t_is_honoured():
    """MixedLM ignores it."""
    model = mixedlm("y ~ x", DATA, groups="g")
    assert "P>|z|" in str(model.fit(use_t=False).summary())
    assert "P>|t|" in str(model.fit(use_t=True).summary())
    assert model.fit(use_t=False).pvalues["x"] < model.fit(use_t=True).pvalues["x"]


# -- statsmodels' documentation -------------------------------------------------------


def test_nested_components():
    """Notebook "Variance Component Analysis": group 2 nested within group 1."""
    rng = np.random.default_rng(3123)
    n1, n2, n_rep = 60, 8, 5
    group1 = np.repeat(np.arange(n1), n2 * n_rep)
    group2 = np.tile(np.repeat(np.arange(n2), n_rep), n1)
    y = np.repeat(2 * rng.normal(size=n1), n2 * n_rep)
    y += np.repeat(3 * rng.normal(size=n1 * n2), n_rep)
    y += 4 * rng.normal(size=len(y))
    data = pd.DataFrame({"y": y, "group1": group1, "group2": group2})
    vc = {"group2": "0 + C(group2)"}
    arguments = {"groups": "group1", "re_formula": "1", "vc_formula": vc}
    results = mixedlm("y ~ 1", data, **arguments).fit()
    assert results.model.lmer_formula == "y ~ 1 + (1 | group1) + (1 | group1:group2)"
    reference = smf.mixedlm("y ~ 1", data, **arguments).fit(gtol=1e-7)
    assert_allclose(results.llf, reference.llf, rtol=1e-8)
    assert_allclose(results.scale, reference.scale, rtol=1e-4)
    assert_allclose(names.cov_re(results), reference.cov_re, rtol=1e-3)
    assert_allclose(names.vcomp(results), reference.vcomp, rtol=1e-3)


def test_crossed_components():
    """The same notebook: one group, and both factors as variance components."""
    rng = np.random.default_rng(3123)
    n1, n2 = 15, 12
    group1 = rng.permutation(np.repeat(np.arange(n1), n2 * 2))
    group2 = rng.permutation(np.tile(np.arange(n2), n1 * 2))
    y = 2 * rng.normal(size=n1)[group1] + 3 * rng.normal(size=n2)[group2]
    y += 4 * rng.normal(size=len(y))
    data = pd.DataFrame({"y": y, "group1": group1, "group2": group2})
    vc = {"g1": "0 + C(group1)", "g2": "0 + C(group2)"}
    arguments = {"groups": np.ones(len(data)), "vc_formula": vc}
    results = mixedlm("y ~ 1", data, use_sparse=True, **arguments).fit()
    assert results.model.lmer_formula == "y ~ 1 + (1 | group1) + (1 | group2)"
    reference = smf.mixedlm("y ~ 1", data, **arguments).fit(gtol=1e-7)
    assert_allclose(results.llf, reference.llf, rtol=1e-8)
    assert_allclose(names.vcomp(results), reference.vcomp, rtol=1e-3)
    effects, theirs = names.random_effects(results)[1.0], reference.random_effects[1.0]
    assert list(effects.index) == list(theirs.index)
    assert_allclose(effects, theirs, atol=1e-3)
