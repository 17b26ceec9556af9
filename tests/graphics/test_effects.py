"""Plots of effects: the lines, points and words that are drawn."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from registry import dataset, reference

import sm_lmer.api as sml
from sm_lmer.graphics.effects import draw_effects, moderator_values, plot_effects
from sm_lmer.inference.effects import effects

Figure = pytest.importorskip("matplotlib.figure").Figure

LONG = "a rather long name of forty characters $"


@cache
def pupils():
    data = pd.DataFrame(reference("effects")["data"]["pupils"])
    return data.assign(funding=pd.Categorical(data["funding"], ["low", "mid", "high"]))


@cache
def fit(name):
    formulas = {
        "school": "score ~ motiv * funding * sex + age * motiv + (motiv | school)",
        "cake": "angle ~ recipe * temperature + (1 | recipe:replicate)",
        "sleep": "Reaction ~ Days + (Days | Subject)",
    }
    data = {"school": pupils, "cake": lambda: dataset("cake")}
    frame = data.get(name, lambda: dataset("sleepstudy"))()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sml.SingularFitWarning)
        return sml.lmer(formulas[name], frame).fit()


def lines(ax):
    """The lines of an axes by label."""
    found = {line.get_label(): line.get_xydata() for line in ax.lines}
    for bars in ax.containers:
        found[bars.get_label()] = bars.lines[0].get_xydata()
    return found


def words(figure):
    figure.draw_without_rendering()
    legends = [*figure.legends, *(a.get_legend() for a in figure.axes)]
    return [t.get_text() for one in legends if one for t in one.get_texts()]


def texts_inside(figure):
    """No text is cut off, no two names on an axis overlap."""
    figure.draw_without_rendering()
    texts = [t for one in figure.legends for t in one.get_texts()]
    texts += [one.get_title() for one in figure.legends] + [figure._supxlabel]
    for ax in figure.axes:
        texts += [ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            texts += [t.label1 for t in ticks if low <= t.get_loc() <= high]
    page = figure.bbox
    for text in texts:
        if not (text.get_visible() and text.get_text()):
            continue
        box = text.get_window_extent()
        assert box.x0 >= page.x0 - 1, text.get_text()
        assert box.x1 <= page.x1 + 1, text.get_text()
        assert box.y0 >= page.y0 - 1, text.get_text()
        assert box.y1 <= page.y1 + 1, text.get_text()
        assert text.get_fontsize() >= 7


# Lines and points ---------------------------------------------------------------------


def test_a_line_with_its_band():
    figure = fit("sleep").plot_effects("Days", ddf="residual")
    (ax,) = figure.axes
    found = effects(fit("sleep"), "Days", at={"Days": np.linspace(0, 9, 100)})
    (line,) = ax.lines
    assert_allclose(line.get_xydata(), found.frame[["Days", "fit"]])
    (band,) = ax.collections
    ends = effects(fit("sleep"), "Days", at={"Days": [0.0, 9.0]}, ddf="residual").frame
    vertices = band.get_paths()[0].vertices
    for at, row in ends.set_index("Days").iterrows():
        own = vertices[np.isclose(vertices[:, 0], at), 1]
        assert_allclose([own.min(), own.max()], row[["lower", "upper"]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Days", "Reaction")
    assert figure.get_supxlabel() == "Bands: 95% confidence intervals."
    assert not figure.legends


def test_a_line_a_level_with_its_own_marker_and_style():
    figure = plot_effects(fit("school"), "motiv:funding")
    (ax,) = figure.axes
    assert words(figure) == ["low", "mid", "high"]
    assert figure.legends[0].get_title().get_text() == "funding"
    for label, own in lines(ax).items():
        at = {"funding": label, "motiv": own[:, 0]}
        found = effects(fit("school"), "motiv:funding", at=at).frame
        assert_allclose(own[:, 1], found["fit"])
    for what in ("get_color", "get_marker"):
        assert len({getattr(line, what)() for line in ax.lines}) == 3
    assert [line.is_dashed() for line in ax.lines] == [False, True, True]


def test_factors_are_points_with_intervals_beside_each_other():
    figure = plot_effects(fit("cake"), "temperature:recipe", alpha=0.1)
    (ax,) = figure.axes
    table = effects(fit("cake"), "temperature:recipe", alpha=0.1).frame
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        *map(str, sorted(dataset("cake")["temperature"].unique()))
    ]
    for k, (recipe, own) in enumerate(table.groupby("recipe", observed=True)):
        bars = ax.containers[k]
        drawn = bars.lines[0].get_xydata()
        assert bars.get_label() == recipe
        assert_allclose(drawn[:, 0], np.arange(6) + (k - 1) * 0.5 / 3)
        assert_allclose(drawn[:, 1], own["fit"])
        ends = np.array([s[:, 1] for s in bars.lines[2][0].get_segments()])
        assert_allclose(ends, own[["lower", "upper"]])
    assert figure.get_supxlabel() == "Bars: 90% confidence intervals."


def test_a_single_factor_is_not_joined():
    (ax,) = plot_effects(fit("school"), "funding").axes
    assert ax.containers[0].lines[0].get_linestyle() == "None"


def test_a_panel_a_level_of_the_third_variable():
    figure = plot_effects(fit("school"), "motiv:funding:sex")
    assert [ax.get_title() for ax in figure.axes] == ["sex = f", "sex = m"]
    for ax, sex in zip(figure.axes, "fm", strict=True):
        at = {"motiv": [0.0], "funding": "mid", "sex": sex}
        own = lines(ax)["mid"]
        found = effects(fit("school"), "motiv:funding:sex", at=at).frame["fit"]
        _slope, intercept = np.polyfit(*own.T, 1)
        assert intercept == pytest.approx(found[0])
    assert len(figure.legends) == 1


def test_which_variable_is_on_the_axis():
    res = fit("school")
    assert plot_effects(res, "funding:motiv").axes[0].get_xlabel() == "motiv"
    assert plot_effects(res, "funding:sex").axes[0].get_xlabel() == "funding"
    figure = plot_effects(res, "funding:motiv", x="funding")
    assert figure.axes[0].get_xlabel() == "funding"
    assert words(figure)[1].endswith("(mean)")


# Moderators ---------------------------------------------------------------------------


def test_a_numeric_moderator_at_mean_and_sd():
    age = pupils()["age"]
    figure = plot_effects(fit("school"), "motiv:age")
    places = age.mean() + age.std() * np.array([-1, 0, 1])
    names = ["mean - SD", "mean", "mean + SD"]
    expected = [f"{v:.1f} ({n})" for v, n in zip(places, names, strict=True)]
    assert words(figure) == expected
    at = {"age": places[0], "motiv": 5.0}
    value = effects(fit("school"), "motiv:age", at=at).frame["fit"][0]
    own = lines(figure.axes[0])[expected[0]]
    assert np.interp(5.0, *own.T) == pytest.approx(value)


def test_a_numeric_moderator_at_quantiles_or_given_values():
    quantiles = moderator_values(pupils()["age"].to_numpy(), "quantiles")
    assert_allclose(list(quantiles), pupils()["age"].quantile([0.1, 0.5, 0.9]))
    figure = plot_effects(fit("school"), "motiv:age", moderator="quantiles")
    assert [w.split(" ", 1)[1] for w in words(figure)] == [
        "(10% quantile)",
        "(50% quantile)",
        "(90% quantile)",
    ]
    figure = plot_effects(fit("school"), "motiv:age", at={"age": [12, 16.5]})
    assert words(figure) == ["12", "16.5"]


def test_moderator_values_stay_within_the_data():
    skewed = np.r_[np.zeros(90), 1.0, 2.0, 50.0, 60.0]
    assert next(iter(moderator_values(skewed, "sd").values())).endswith("(mean)")
    assert moderator_values(np.array([0.0, 1.0, 1.0]), "sd") == {0.0: "0", 1.0: "1"}


@pytest.mark.parametrize(
    ("unit", "text"), [(1e-3, "0.0008"), (1.0, "0.8"), (1e3, "840"), (-1.0, "-5.2")]
)
def test_moderator_values_are_rounded_to_their_spread(unit, text):
    found = moderator_values(unit * np.array([1.0, 2.0, 3.0, 6.0]), "sd")
    assert next(iter(found.values())) == f"{text} (mean - SD)"


def test_a_variable_of_two_values_is_drawn_as_points():
    data = pupils().assign(late=pupils()["late"].astype(int))
    res = sml.lmer("score ~ late + motiv + (1 | school)", data).fit()
    (ax,) = plot_effects(res, "late").axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1"]


# Beside the effects -------------------------------------------------------------------


def test_partial_residuals_and_data():
    res = fit("school")
    for options, y in (
        ({"partial_residuals": True}, None),
        ({"data": True}, pupils()["score"]),
    ):
        (ax,) = plot_effects(res, "motiv:funding", **options).axes
        clouds = [c for c in ax.collections if len(c.get_offsets()) > 1]
        for cloud, level in zip(clouds, ["low", "mid", "high"], strict=True):
            rows = (pupils()["funding"] == level).to_numpy()
            if y is None:
                table = effects(res, "motiv:funding").partial_residuals()
                expected = table[["motiv", "partial"]][rows]
            else:
                expected = np.column_stack([pupils()["motiv"], y])[rows]
            assert_allclose(cloud.get_offsets(), expected)


def test_lines_of_groups():
    figure = plot_effects(fit("sleep"), "Days", groups="Subject")
    (ax,) = figure.axes
    assert len(ax.lines) == 19
    coef = fit("sleep").coef()["Subject"]
    for line, (_, own) in zip(ax.lines, coef.iterrows(), strict=False):
        x, y = line.get_xydata().T
        assert_allclose(y, own["Intercept"] + own["Days"] * x)
    assert "Thin lines: each Subject." in figure.get_supxlabel().replace("\n", " ")


@pytest.mark.parametrize(
    "groups", [["308", "335"], {"Subject": ["308", "335"]}, {"Subject": [308, 335]}]
)
def test_named_groups(groups):
    figure = plot_effects(fit("sleep"), "Days", groups=groups)
    assert sorted(words(figure)) == ["Subject 308", "Subject 335", "mean"]
    x, y = lines(figure.axes[0])["Subject 335"].T
    own = fit("sleep").coef()["Subject"].loc["335"]
    assert_allclose(y, own["Intercept"] + own["Days"] * x)


def test_groups_are_drawn_with_their_own_line_and_panel():
    figure = plot_effects(fit("school"), "motiv:funding", groups="school")
    (ax,) = figure.axes
    counts = pupils().groupby("funding", observed=True)["school"].nunique()
    main = {line.get_label(): line for line in ax.lines}
    for level, count in counts.items():
        colour = main[level].get_color()
        same = [line for line in ax.lines if line.get_color() == colour]
        assert len(same) == count + 1


def test_groups_without_a_common_place_of_a_factor():
    data = dataset("machines")
    res = sml.lmer("score ~ Machine + (Machine | Worker)", data).fit()
    (ax,) = plot_effects(res, "Machine", groups="Worker").axes
    levels = {line.get_label(): line.get_xydata() for line in ax.lines}
    assert len([line for line in ax.lines if len(line.get_xdata()) == 3]) >= 6
    assert levels


def test_much_data_is_sampled(rng):
    n, groups = 12_000, 1_500
    g = np.arange(n) % groups
    data = pd.DataFrame({"x": rng.normal(size=n), "g": g})
    data["y"] = data["x"] + rng.normal(size=groups)[g] + rng.normal(size=n)
    res = sml.lmer("y ~ x + (1 | g)", data).fit()
    figure = plot_effects(res, "x", data=True, groups="g")
    (ax,) = figure.axes
    assert len(ax.lines) == 151
    assert max(len(c.get_offsets()) for c in ax.collections) == 5_000
    said = figure.get_supxlabel().replace("\n", " ")
    assert "Points: data, 5,000 of 12,000." in said
    assert "Thin lines: 150 of 1,500 g." in said
    again = plot_effects(res, "x", data=True, groups="g").axes[0]
    assert_allclose(again.lines[0].get_xydata(), ax.lines[0].get_xydata())


def test_transformed_response():
    res = sml.lmer("np.log(positive) ~ motiv + (1 | school)", pupils()).fit()
    (ax,) = plot_effects(res, "motiv", transform=np.exp, data=True).axes
    assert ax.get_ylabel() == "positive"
    assert_allclose(ax.collections[0].get_offsets()[:, 1], pupils()["positive"])


# Names, sizes, places -----------------------------------------------------------------


def test_long_and_strange_names_fit():
    data = pupils().rename(columns={"score": "score_%", "motiv": "motivation of all"})
    long = data["funding"].astype(str) + " " + LONG[:36]
    data = data.assign(**{LONG: long})
    res = sml.lmer(
        f'Q("score_%") ~ Q("motivation of all") * Q("{LONG}") + (1 | school)', data
    ).fit()
    for term in (["motivation of all", LONG], LONG, [LONG, "motivation of all"]):
        for x in (None, term[-1] if isinstance(term, list) else term):
            texts_inside(plot_effects(res, term, x=x))


@pytest.mark.parametrize("term", ["motiv:funding:sex", "motiv:age", "funding", "motiv"])
def test_nothing_is_cut(term):
    texts_inside(plot_effects(fit("school"), term, partial_residuals=True))


def test_a_factor_of_many_levels_has_some_labels(rng):
    data = pd.DataFrame({"f": np.repeat(np.arange(150), 4).astype(str)})
    data["g"] = np.arange(len(data)) % 40
    data["y"] = rng.normal(size=len(data)) + rng.normal(size=40)[data["g"]]
    res = sml.lmer("y ~ f + (1 | g)", data).fit()
    figure = plot_effects(res, "f", ddf="normal")
    texts_inside(figure)
    assert len(figure.axes[0].get_xticklabels()) < 60
    assert len(lines(figure.axes[0])["_"]) == 150


def test_own_axes_and_figure():
    figure = Figure()
    ax = figure.subplots(1, 2)[1]
    assert plot_effects(fit("school"), "motiv:funding", ax=ax) is figure
    assert ax.get_legend() is not None
    assert figure.get_supxlabel() == ""
    empty = Figure(layout="constrained")
    assert plot_effects(fit("school"), "motiv:funding:sex", fig=empty) is empty
    assert len(empty.axes) == 2


def test_effects_draw_themselves():
    found = effects(fit("sleep"), "Days")
    (line,) = found.plot().axes[0].lines
    assert_allclose(line.get_xydata(), found.frame[["Days", "fit"]])


# Bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": "age"}, "x is 'age', which the term does not name"),
        ({"moderator": "mean"}, "unknown moderator 'mean'"),
        ({"groups": "class"}, "'class' is not a grouping factor"),
        ({"groups": {"school": ["s01"], "b": []}}, "groups names one grouping factor"),
        ({"groups": ["s99"]}, "'school' has no level s99"),
        ({"xlevels": 1}, "xlevels is a number of points"),
        ({"partial_residuals": "working"}, "unknown kind 'working'"),
        ({"at": {"funding": "top"}}, "levels the model has not seen: top"),
        (
            {"partial_residuals": True, "transform": np.exp},
            "partial residuals are on the model's scale",
        ),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        plot_effects(fit("school"), "motiv:funding", **options)


def test_bad_places():
    res, ax = fit("school"), Figure().subplots()
    with pytest.raises(ValueError, match="sex makes 2 panels"):
        plot_effects(res, "motiv:funding:sex", ax=ax)
    with pytest.raises(ValueError, match="give ax= or fig="):
        draw_effects(effects(res, "motiv"), ax=ax, fig=Figure())
    with pytest.raises(ValueError, match="'motiv' would make 30 lines"):
        plot_effects(res, "age:motiv", x="age", at={"motiv": np.arange(30)})
    with pytest.raises(ValueError, match="age would make 13 panels"):
        plot_effects(res, "motiv:sex:age", at={"age": np.arange(13)})
