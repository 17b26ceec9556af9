"""modelsummary from fitted models to files, against the published tables."""

import io
import pickle
import re
import time
import warnings
from functools import cache
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from registry import dataset, fitted
from tables.examples import HOSTILE_TEXTS
from tables.models_golden import (
    GOLDEN,
    SUFFIXES,
    models,
    others_installed,
    rendered,
    table,
    with_others,
)

import sm_lmer.api as sml
from sm_lmer.tables.models import TidyModel
from sm_lmer.tables.modelsummary import modelsummary
from sm_lmer.tables.modeltable import FORMATS, ModelTable
from sm_lmer.tables.options import AddRow, options

SCHOOLS = (
    "2030 2990 3999 4325 4931 5761 5838 7101 8150 8188 8193 8800 9104 9158 9198 9508"
)


def cells(found):
    """The texts of the rows by their labels, with the lines below them."""
    out = {}
    label = ""
    for section in found.table.sections:
        for row in section.rows:
            label = row.stub[0] or label
            out.setdefault(label, []).append([cell.text for cell in row.cells])
    return out


@cache
def hsb():
    """The published subset of High School & Beyond, fitted by REML and ML."""
    data = dataset("hsb")
    data = data[data["School"].astype(str).isin(SCHOOLS.split())]
    id_ = data["School"].astype(str)
    data = pd.DataFrame(
        {
            "mathach": data["MathAch"],
            "meanses": data["MEANSES"],
            "sector": (data["Sector"] == "Catholic").astype(int),
            "ses_cmc": data["SES"] - data["SES"].groupby(id_).transform("mean"),
            "id": id_,
        }
    )
    model = sml.lmer("mathach ~ meanses + sector*ses_cmc + (ses_cmc | id)", data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return {"REML": model.fit(), "ML": model.fit(reml=False)}


# -- published tables --------------------------------------------------------------------


def test_published_table_of_reml_and_ml():
    found = modelsummary(
        hsb(),
        gof_map=["nobs", "r2_marginal", "r2_conditional", "aic", "bic", "icc", "rmse"],
        fmt={"icc": 2},
        likelihood="REML",
    )
    assert [span.text for span in found.table.headers[-1]] == ["REML", "ML"]
    own = cells(found)
    assert list(own) == [
        "Intercept",
        "meanses",
        "sector",
        "ses_cmc",
        "sector:ses_cmc",
        "SD (Intercept id)",
        "SD (ses_cmc id)",
        "Cor (Intercept~ses_cmc id)",
        "SD (Observations)",
        "Num.Obs.",
        "R2 Marg.",
        "R2 Cond.",
        "AIC",
        "BIC",
        "ICC",
        "RMSE",
    ]
    assert own["Intercept"] == [["11.728", "11.728"], ["(0.670)", "(0.605)"]]
    assert own["meanses"] == [["6.633", "6.492"], ["(1.139)", "(1.035)"]]
    assert own["sector"] == [["1.890", "1.901"], ["(0.903)", "(0.815)"]]
    assert own["ses_cmc"] == [["2.860", "2.862"], ["(0.464)", "(0.459)"]]
    assert own["sector:ses_cmc"] == [["-0.885", "-0.888"], ["(0.661)", "(0.655)"]]
    # published as 1.317 where lme4 stops; the optimum is at 1.317504
    assert own["SD (Intercept id)"] == [["1.520", "1.318"]]
    assert own["SD (ses_cmc id)"] == [["0.354", "0.311"]]
    assert own["Cor (Intercept~ses_cmc id)"] == [["1.000", "1.000"]]
    assert own["SD (Observations)"] == [["5.698", "5.689"]]
    assert own["Num.Obs."] == [["686", "686"]]
    assert own["R2 Marg."] == [["0.248", "0.247"]]
    assert own["R2 Cond."] == [["0.299", "0.286"]]
    assert own["AIC"] == [["4365.1", "4365.4"]]
    assert own["BIC"] == [["4405.9", "4406.2"]]
    assert own["ICC"] == [["0.07", "0.05"]]
    assert own["RMSE"] == [["5.64", "5.64"]]


def test_published_intervals_by_kenward_roger():
    found = modelsummary(
        hsb()["REML"], statistic="conf_int", ddf="kenward-roger", effects="fixed"
    )
    own = cells(found)
    published = {
        "Intercept": (10.282, 13.174),
        "meanses": (3.998, 9.267),
        "sector": (-0.062, 3.842),
        "ses_cmc": (1.767, 3.954),
        "sector:ses_cmc": (-2.368, 0.598),
    }
    for name, interval in published.items():
        (text,) = own[name][1]
        ours = [float(end) for end in text.strip("[]").split(", ")]
        # at this singular fit pbkrtest depends on where lme4 stops
        np.testing.assert_allclose(ours, interval, atol=0.0011)
    assert [own[n][1] for n in ("Intercept", "ses_cmc", "sector:ses_cmc")] == [
        ["[10.282, 13.174]"],
        ["[1.767, 3.954]"],
        ["[-2.368, 0.598]"],
    ]
    assert "Degrees of freedom: Kenward-Roger." in found.table.notes


def test_notes_of_the_published_table():
    assert modelsummary(hsb(), ddf={"ML": "normal"}).table.notes == (
        "Fitted by REML (REML).",
        "Fitted by maximum likelihood (ML).",
        "Degrees of freedom: Satterthwaite (REML).",
        "Degrees of freedom: infinite (ML).",
        "Singular fit.",
        "AIC and BIC of fits by REML and by maximum likelihood do not compare.",
    )


# -- tables of many packages ---------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_golden_files(suffix):
    expected = (GOLDEN / f"models.{suffix}").read_bytes().decode("utf-8")
    assert rendered(table(models()), suffix) == expected


@pytest.mark.skipif(not others_installed(), reason="needs pyfixest and linearmodels")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_golden_files_with_other_packages(suffix):
    expected = (GOLDEN / f"packages.{suffix}").read_bytes().decode("utf-8")
    assert rendered(table(with_others()), suffix) == expected


def test_random_part_of_the_packages():
    own = cells(table(models()))
    random = [label for label in own if label.startswith(("SD", "Cor"))]
    assert random == [
        "SD (Intercept Subject)",
        "SD (Days Subject)",
        "Cor (Intercept~Days Subject)",
        "SD (Intercept week)",
        "SD (Observations)",
    ]
    res = models()["MixedLM"]
    sd = np.sqrt(np.diag(res.cov_re))
    assert [own[label][0][3] for label in random[:2]] == [f"{v:.2f}" for v in sd]
    for label in random:
        assert len(own[label]) == 1, "no line of errors below"
        assert not re.search("[*+(-]", "".join(own[label][0]))
    assert own["SD (Observations)"][0][:3] == ["", "", ""]


def test_random_part_follows_the_scale_of_the_response():
    data = dataset("sleepstudy").assign(tenfold=lambda d: 10 * d["Reaction"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = [
            smf.mixedlm(f"{y} ~ Days", data, groups="Subject").fit()
            for y in ("Reaction", "tenfold")
        ]
    raw = modelsummary(both, re_scale="both").raw
    once, tenfold = (raw[raw["model"] == name] for name in ("(1)", "(2)"))
    power = np.where(once["type"] == "var", 100, 10)
    np.testing.assert_allclose(tenfold["estimate"], power * once["estimate"], rtol=1e-4)


# -- models ------------------------------------------------------------------------------


def ols():
    return smf.ols("Reaction ~ Days", dataset("sleepstudy")).fit()


def test_one_model_a_sequence_a_mapping():
    for given, names in [
        (ols(), ["(1)"]),
        ([ols(), ols()], ["(1)", "(2)"]),
        ((m for m in [ols()]), ["(1)"]),
        ({"A": ols(), 2: ols()}, ["A", "2"]),
    ]:
        found = modelsummary(given)
        assert [span.text for span in found.table.headers[-1]] == names
        assert list(dict.fromkeys(found.raw["model"])) == names
        assert list(found.gof["model"]) == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "there are no models"),
        ({}, "there are no models"),
        ({"P": {}}, "there are no models"),
        ({1: "a", "1": "b"}, "two models have the same name"),
        ({1: ["a"], "1": ["b"]}, "two panels have the same name"),
        ({"P": ["a"], "m": "b"}, "some values of the models' dict"),
    ],
)
def test_models_that_make_no_table(given, message):
    with pytest.raises(ValueError, match=message):
        modelsummary(given)


@pytest.mark.parametrize("thing", ["text", 3, None, object(), pd.DataFrame()])
def test_what_is_no_model(thing):
    with pytest.raises(TypeError, match=type(thing).__name__):
        modelsummary(thing)


def test_several_covariances_of_a_model():
    found = modelsummary({"OLS": ols()}, vcov=[None, "HC1", "HC3"])
    names = [span.text for span in found.table.headers[-1]]
    assert names == ["OLS", "OLS (HC1)", "OLS (HC3)"]
    own = cells(found)
    assert own["Std.Errors"] == [["", "HC1", "HC3"]]
    assert own["Days"][1][1] == f"({ols().HC1_se['Days']:.3f})"
    found = modelsummary(ols(), vcov={"classic": None, "mine": np.eye(2)})
    assert [span.text for span in found.table.headers[-1]] == ["classic", "mine"]
    assert cells(found)["Days"][1][1] == "(1.000)"
    assert len(modelsummary(ols(), vcov=["HC0", "HC0"]).gof) == 2


def test_covariances_of_several_models():
    two = {"a": ols(), "b": ols()}
    by_list = modelsummary(two, vcov=[None, "HC1"])
    assert repr(by_list) == repr(modelsummary(two, vcov={"b": "HC1"}))
    assert cells(by_list)["Std.Errors"] == [["", "HC1"]]
    with pytest.raises(ValueError, match="vcov has 3 values for 2 models"):
        modelsummary(two, vcov=[None] * 3)
    with pytest.raises(ValueError, match="vcov names the model 'c'"):
        modelsummary(two, vcov={"c": "HC1"})


def test_clustered_covariance_by_name_and_groups():
    res = fitted("sleepstudy")
    one = modelsummary(res, vcov={"CR2": "Subject"})
    assert cells(one)["Std.Errors"] == [["CR2"]]
    two = modelsummary([res, res], vcov={"CR2": "Subject"})
    assert cells(two)["Std.Errors"] == [["CR2", "CR2"]]


def test_several_degrees_of_freedom_of_a_model():
    found = modelsummary(
        fitted("sleepstudy"), ddf=["satterthwaite", "kr"], statistic="df"
    )
    assert [span.text for span in found.table.headers[-1]] == ["(1)", "(2)"]
    assert "Degrees of freedom: Kenward-Roger (2)." in found.table.notes
    with pytest.raises(ValueError, match="one model with 3 vcov and 2 ddf"):
        modelsummary(ols(), ddf=["kr", "normal"], vcov=[None] * 3)


def test_exponentiated_coefficients_are_noted():
    logit = models()["Logit"]
    found = modelsummary({"L": logit, "O": ols()}, exponentiate="auto", statistic=None)
    assert found.table.notes == ("Coefficients are exponentiated (L).",)
    assert cells(found)["Days"][0] == [f"{np.exp(logit.params['Days']):.3f}", "10.467"]


def test_effects():
    res = fitted("sleepstudy")
    kinds = {
        effects: [s.kind for s in modelsummary(res, effects=effects).table.sections]
        for effects in ("all", "fixed", "random")
    }
    assert kinds == {
        "all": ["coefficients", "random", "gof"],
        "fixed": ["coefficients", "gof"],
        "random": ["random", "gof"],
    }


def test_only_what_a_template_names_is_computed():
    assert modelsummary(ols()).raw["conf_low"].isna().all()
    assert modelsummary(ols(), statistic="conf_int").raw["conf_low"].notna().all()
    assert modelsummary(ols(), conf_level=None).raw["conf_low"].isna().all()
    with pytest.raises(ValueError, match="names conf_high, but conf_level is None"):
        modelsummary(ols(), statistic="conf_int", conf_level=None)


def test_gof_map_reaches_statistics_that_are_not_usual():
    own = cells(modelsummary(fitted("sleepstudy"), gof_map=["remlcrit", "sigma"]))
    assert own["REML Crit."] == [["1743.628"]]
    assert own["Sigma"] == [["25.592"]]


def test_gof_function():
    own = cells(
        modelsummary(
            ols(), gof_function=[lambda res: {"Mean": res.fittedvalues.mean()}]
        )
    )
    assert own["Mean"] == [["298.508"]]


# -- models by their numbers -----------------------------------------------------------------


def numbers(size=2, seed=1):
    rng = np.random.default_rng(seed)
    return TidyModel(
        pd.DataFrame(
            {
                "term": [f"x{k}" for k in range(size)],
                "estimate": rng.normal(size=size),
                "std.error": 0.5,
                "p.value": rng.uniform(size=size),
            }
        ),
        {"nobs": 10, "r2": 0.5},
        "Simulated.",
    )


def test_tidy_model():
    found = modelsummary(numbers(), stars=True)
    assert found.table.notes[0] == "Simulated."
    assert cells(found)["x1"][1] == ["(0.500)"]
    again = pickle.loads(pickle.dumps(numbers()))
    assert repr(modelsummary(again, stars=True)) == repr(found)
    raised = modelsummary(numbers(), exponentiate=True).raw["estimate"]
    np.testing.assert_allclose(raised, np.exp(numbers().tidy["estimate"]))


def test_a_tidy_model_of_a_result_is_the_result():
    res = fitted("sleepstudy")
    from sm_lmer.tables.tidy import glance, notes_of, tidy

    own = TidyModel(tidy(res), glance(res), notes_of(res))
    assert repr(modelsummary(own)) == repr(modelsummary(res))
    assert repr(modelsummary(own, effects="random")) == repr(
        modelsummary(res, effects="random")
    )


def test_a_tidy_model_that_is_none():
    with pytest.raises(ValueError, match="has no column 'estimate'"):
        TidyModel(pd.DataFrame({"term": ["x"]}))
    with pytest.raises(ValueError, match="several rows for x"):
        TidyModel(pd.DataFrame({"term": ["x", "x"], "estimate": 1.0}))
    with pytest.raises(ValueError, match="which has no other covariance"):
        modelsummary(numbers(), vcov="HC1")


def test_speed():
    many = {f"m{k}": numbers(30, k) for k in range(50)}
    seconds = []
    for _ in range(3):
        start = time.process_time()
        text = modelsummary(many, stars=True).to_text()
        seconds.append(time.process_time() - start)
    assert text.count("\n") > 60
    assert min(seconds) < 0.3


# -- options -------------------------------------------------------------------------------


def test_options_nest_and_end():
    usual = repr(modelsummary(ols()))
    with options(fmt=1, stars=True):
        with options(fmt=2):
            assert "10.47***" in repr(modelsummary(ols()))
        assert "10.5***" in repr(modelsummary(ols()))
        assert repr(modelsummary(ols(), fmt=3, stars=False)) == usual
    assert repr(modelsummary(ols())) == usual


def test_options_end_with_an_error():
    with pytest.raises(RuntimeError), options(fmt=1):
        raise RuntimeError
    assert "10.467" in repr(modelsummary(ols()))


def test_options_of_another_name():
    with pytest.raises(TypeError, match="no argument 'digits'"), options(digits=2):
        pass


# -- output --------------------------------------------------------------------------------


def test_table_shows_itself():
    found = modelsummary(ols(), title="T")
    assert isinstance(found, ModelTable)
    assert (
        repr(found) == found.to_text() == modelsummary(ols(), title="T", output="text")
    )
    bundle = found._repr_mimebundle_()
    assert bundle["text/html"] == found._repr_html_() == found.to_html()
    markdown = bundle["text/markdown"]
    for block in (
        "{=html}",
        "{=latex}",
        "{=typst}",
        found.to_typst(),
        found.to_markdown(),
    ):
        assert block in markdown
    with pytest.raises(AttributeError):
        found.theme = "plain"


@pytest.mark.parametrize("name", [f for f in FORMATS if f not in ("docx", "gt")])
def test_formats_of_text(name):
    found = modelsummary(ols(), output=name)
    if name == "dataframe":
        assert found.loc[found["term"] == "Days", "(1)"].tolist() == [
            "10.467",
            "(1.238)",
        ]
    else:
        assert "467" in found


def test_frame_of_texts():
    frame = modelsummary({"P": [ols()], "Q": [ols()]}).to_frame()
    assert list(frame.columns) == ["panel", "part", "term", "line", "(1)"]
    own = frame[(frame["panel"] == "Q") & (frame["term"] == "Days")]
    assert own["line"].tolist() == ["estimate", "statistic"]
    assert set(frame["part"]) == {"coefficients", "gof"}


@pytest.mark.parametrize("suffix", ["txt", "md", "html", "tex", "typ", "csv"])
@pytest.mark.parametrize("as_text", [True, False])
def test_files(suffix, as_text, tmp_path):
    path = tmp_path / f"table.{suffix.upper() if as_text else suffix}"
    found = modelsummary(ols(), title="R² é", output=str(path) if as_text else path)
    assert isinstance(found, ModelTable)
    written = path.read_bytes().decode("utf-8")
    assert written.endswith("\n")
    assert "10.467" in written or "467" in written
    if suffix == "csv":
        assert pd.read_csv(io.StringIO(written), header=None, on_bad_lines="skip").size
    if suffix == "html":
        assert written.lower().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("suffix", "package", "start"),
    [
        ("docx", "docx", b"PK"),
        ("xlsx", "openpyxl", b"PK"),
        ("png", "typst", b"\x89PNG"),
        ("pdf", "typst", b"%PDF"),
        ("svg", "typst", b"<svg"),
    ],
)
def test_files_of_optional_formats(suffix, package, start, tmp_path):
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    path = tmp_path / f"table.{suffix}"
    modelsummary(ols(), output=path)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("output", ["word", "table.rtf", "table", ""])
def test_unknown_outputs(output):
    with pytest.raises(ValueError, match="unknown output"):
        modelsummary("is not looked at", output=output)
    with pytest.raises(ValueError, match="does not say its format"):
        modelsummary(ols()).save(output or "x")


# -- hostile texts ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_texts_come_through(text):
    model = TidyModel(
        pd.DataFrame({"term": [text], "estimate": [1.0], "label": [text]}),
        {text: text, "depvar": text},
        [text],
    )
    found = modelsummary(
        {text: model},
        statistic=None,
        header=["depvar", "model"],
        title=text,
        label=text,
        notes=text,
        add_rows=[AddRow(text + "!", [text])],
        add_columns={text: [text]},
    )
    own = cells(found)
    assert own[text] == [["1.000", text], [text, ""]]
    assert own[text + "!"] == [[text, ""]]
    assert found.table.notes == (text, text)
    for name in FORMATS:
        if name not in ("docx", "gt"):
            assert len(found.as_format(name)) > 0
    html = found.to_html()
    assert "<script>alert" not in html
    bundle = found._repr_mimebundle_()["text/markdown"]
    fences = re.findall(r"^(`{3,})\{=html\}$", bundle, flags=re.MULTILINE)
    assert len(fences) == 1
    assert fences[0] not in html


def test_braces_in_terms_are_no_templates():
    model = TidyModel(
        pd.DataFrame({"term": ["{estimate.__class__}"], "estimate": [1.0]})
    )
    assert list(cells(modelsummary(model))) == ["{estimate.__class__}"]
