"""The coefficient plot: what it shows, and where it draws."""

from __future__ import annotations

import io
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose
from registry import dataset

from sm_lmer.graphics.modelplot import modelplot
from sm_lmer.graphics.style import COLOURS, MARKERS
from sm_lmer.tables.models import TidyModel
from sm_lmer.tables.tidy import tidy


@pytest.fixture(scope="module")
def plain():
    return smf.ols("Reaction ~ Days", dataset("sleepstudy")).fit()


@pytest.fixture
def models(fits, plain):
    return {"OLS": plain, "Mixed": fits("sleepstudy")}


def logits():
    data = dataset("sleepstudy").assign(slow=lambda d: (d.Reaction > 300).astype(int))
    logit, ols = smf.logit("slow ~ Days", data), smf.ols("slow ~ Days", data)
    return logit.fit(disp=0), ols.fit()


# The numbers -------------------------------------------------------------------------


def test_frame_has_the_rows_of_the_tidy_frames(models):
    frame = modelplot(models, draw=False, conf_level=0.9)
    assert frame.label.to_list() == ["Intercept", "Intercept", "Days", "Days"]
    assert frame.model.to_list() == ["OLS", "Mixed"] * 2
    for name, res in models.items():
        own = frame[frame.model == name]
        expected = tidy(res, conf_level=0.9, effects="fixed")
        columns = ["estimate", "std_error", "conf_low", "conf_high"]
        assert_allclose(own[columns], expected[columns])


def test_methods_of_inference_by_a_word(fits):
    res = fits("sleepstudy")
    frame = modelplot(res, ddf=["normal", "kenward-roger"], draw=False)
    assert list(dict.fromkeys(frame.model)) == ["(1)", "(2)"]
    expected = tidy(res, ddf="kenward-roger", conf_level=0.95, effects="fixed")
    assert_allclose(frame[frame.model == "(2)"].conf_low, expected.conf_low)


def test_selection(models):
    labels = {"Days": "Day", "SD (Observations)": "Residual"}
    frame = modelplot(models, coef_map=labels, effects="all", draw=False)
    assert frame.label.to_list() == ["Day", "Day", "Residual"]
    left = modelplot(models, coef_omit="Intercept", draw=False)
    assert left.label.unique().tolist() == ["Days"]
    renamed = modelplot(models, coef_rename=str.upper, draw=False)
    assert renamed.label.unique().tolist() == ["INTERCEPT", "DAYS"]


def test_random_part_comes_last_and_has_no_intervals(models):
    reverse = dict(reversed(models.items()))
    frame = modelplot(reverse, effects="all", draw=False)
    labels = frame.label.drop_duplicates().to_list()
    assert labels == [
        "Intercept",
        "Days",
        "SD (Intercept Subject)",
        "SD (Days Subject)",
        "Cor (Intercept~Days Subject)",
        "SD (Observations)",
    ]
    random = frame[frame.effect == "random"]
    assert random.conf_low.isna().all()
    greek = modelplot(models, effects="random", re_labels="greek", draw=False)
    assert greek.label.to_list()[:2] == ["√τ₀₀ Subject", "√τ₁₁ Subject.Days"]


def test_levels_of_an_outcome_are_told_apart():
    table = pd.DataFrame(
        {
            "term": ["x", "x"],
            "response": ["b", "c"],
            "estimate": [1.0, 2.0],
            "conf_low": [0.0, 1.0],
            "conf_high": [2.0, 3.0],
        }
    )
    frame = modelplot(TidyModel(table), draw=False)
    assert frame.label.to_list() == ["b: x", "c: x"]
    assert frame.conf_low.to_list() == [0.0, 1.0]


def test_ratios():
    logit, ols = logits()
    frame = modelplot({"Logit": logit}, exponentiate="auto", draw=False)
    assert_allclose(frame.estimate, np.exp(logit.params))
    with pytest.raises(ValueError, match="some models are exponentiated"):
        modelplot({"Logit": logit, "OLS": ols}, exponentiate="auto", draw=False)
    with pytest.raises(ValueError, match="use effects='fixed'"):
        modelplot(logit, exponentiate=True, effects="all", draw=False)


def test_ratios_leave_out_what_has_none():
    table = pd.DataFrame(
        {
            "term": ["x", "0/1"],
            "component": ["conditional", "threshold"],
            "estimate": [1.0, -2.0],
        }
    )
    frame = modelplot(TidyModel(table), exponentiate=True, draw=False)
    assert frame.label.to_list() == ["x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"facet": "group"}, "unknown facet 'group'; choose None, 'term' or 'model'"),
        ({"facet": "term", "ax": 1}, "facets need a figure of their own"),
        ({"coef_omit": "."}, "no row is left to draw; there are Intercept, Days:"),
        ({"effects": "both"}, "unknown effects 'both'"),
    ],
)
def test_wrong_arguments(models, arguments, message):
    with pytest.raises(ValueError, match=message):
        modelplot(models, draw=False, **arguments)


def test_panels_are_refused(models):
    with pytest.raises(ValueError, match="takes no panels of models"):
        modelplot({"A": models, "B": models}, draw=False)


def test_numbers_need_no_matplotlib(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "sm_lmer.graphics.figure", raising=False)
    model = TidyModel(pd.DataFrame({"term": ["x"], "estimate": [1.0]}))
    assert len(modelplot(model, draw=False)) == 1
    with pytest.raises(ImportError, match=r"pip install 'sm_lmer\[plot\]'"):
        modelplot(model)


# The picture -------------------------------------------------------------------------


@pytest.fixture
def figure_module():
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    return pytest.importorskip("matplotlib.figure")


def intervals(ax):
    """The ends of the drawn intervals, from the top."""
    found = [
        (y, low, high)
        for lines in ax.collections
        if hasattr(lines, "get_segments")
        for (low, y), (high, _) in lines.get_segments()
    ]
    return [ends[1:] for ends in sorted(found)]


def test_marks_are_the_frame(models, figure_module):
    frame = modelplot(models, draw=False)
    figure = modelplot(models)
    assert isinstance(figure, figure_module.Figure)
    (ax,) = figure.axes
    assert_allclose(intervals(ax), frame[["conf_low", "conf_high"]])
    marks = sorted(tuple(p) for c in ax.collections for p in c.get_offsets() if any(p))
    assert_allclose(sorted(x for x, _ in marks), sorted(frame.estimate))
    ticks = [text.get_text() for text in ax.get_yticklabels()]
    assert ticks == ["Intercept", "Days"]
    low, high = ax.get_ylim()
    assert low > high  # the first row is at the top
    assert ax.get_xlabel() == "Coefficient with 95% interval"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == list(models)


def test_one_model_has_no_legend(plain, figure_module):
    figure = modelplot(plain)
    assert not figure.legends
    assert figure.axes[0].get_legend() is None


def test_facets_by_term_have_their_own_scales(models, figure_module):
    figure = modelplot(models, facet="term")
    assert [ax.get_title() for ax in figure.axes] == ["Intercept", "Days"]
    intercept, days = figure.axes
    assert intercept.get_xlim()[0] > 200  # no room wasted down to zero
    assert days.get_xlim()[1] < 30
    assert [t.get_text() for t in intercept.get_yticklabels()] == list(models)


def test_facets_by_model_share_their_scale(models, figure_module):
    figure = modelplot(models, facet="model", coef_omit="Intercept")
    first, second = figure.axes
    assert [first.get_title(), second.get_title()] == list(models)
    assert first.get_xlim() == second.get_xlim()
    assert len(intervals(first)) == len(intervals(second)) == 1


def test_empty_places_of_a_grid_show_nothing(plain, figure_module):
    figure = modelplot([plain] * 4, facet="model")
    assert [ax.axison for ax in figure.axes] == [True] * 4 + [False] * 2


def test_ratios_are_on_a_logarithmic_axis(figure_module):
    figure = modelplot(logits()[0], exponentiate=True)
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel().startswith("Exponentiated coefficient")
    assert [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata())] == [1.0]


def test_rows_without_intervals_are_hollow(fits, figure_module):
    figure = modelplot(fits("sleepstudy"), effects="random")
    marks = figure.axes[0].collections[-1]
    assert np.all(marks.get_facecolors() == 1.0)
    assert intervals(figure.axes[0]) == []


def test_given_axes_are_drawn_on(models, figure_module):
    figure = figure_module.Figure()
    left, right = figure.subplots(1, 2)
    assert modelplot(models, ax=right) is figure
    assert not left.collections
    assert [t.get_text() for t in right.get_legend().get_texts()] == list(models)


def test_pyplot_is_left_alone(models, figure_module):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    modelplot(models)
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_figure_saves_itself(models, figure_module, form):
    out = io.BytesIO()
    modelplot(models, effects="all").savefig(out, format=form)
    assert out.tell() > 1000


def test_many_models_differ_in_marks(plain, figure_module):
    count = len(COLOURS) * len(MARKERS)
    colours, markers = COLOURS * len(MARKERS), MARKERS * len(COLOURS)
    marks = set(zip(colours, markers, strict=True))
    assert len(marks) == count
    figure = modelplot([plain] * 9)
    assert len(figure.legends[0].get_texts()) == 9


def test_text_in_the_picture_is_not_markup(figure_module):
    matplotlib = pytest.importorskip("matplotlib")
    name, wrong = "a_b $x$ & <i>", "$\\frac{$"
    model = TidyModel(pd.DataFrame({"term": [name], "estimate": [1.0]}))
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        modelplot({name: model, wrong: model}).savefig(out, format="svg")
    texts = [e.text for e in ElementTree.fromstring(out.getvalue()).iter() if e.text]
    assert texts.count(name) == 2
    assert wrong in texts
