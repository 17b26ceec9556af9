"""From frames to a table: rows, sections, shapes, panels, headers, notes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm_lmer.tables.contract import check_tidy
from sm_lmer.tables.layout import AddRow, Model, Options, lay_out, lay_out_panels


def model(name, terms, glance=None, notes=(), **columns):
    """A model of terms with estimates 1, 2, ... and standard errors of a tenth."""
    size = len(terms)
    frame = pd.DataFrame({"term": terms, "estimate": np.arange(1.0, size + 1.0)})
    frame["std_error"] = frame["estimate"] / 10
    frame["p_value"] = 0.03
    for column, values in columns.items():
        frame[column] = values
    return Model(name, check_tidy(frame, name), glance or {"nobs": 10 * size}, notes)


RANDOM = {
    "term": ["Observation", "Intercept", "Intercept", "x"],
    "term2": ["", "", "x", ""],
    "estimate": [4.0, 1.0, 0.5, 2.0],
    "effect": "random",
    "group": ["Residual", "g", "g", "g"],
    "type": ["sd", "sd", "cor", "sd"],
    "p_value": 0.001,
}


def mixed(name, terms, group="g", **kwargs):
    """A mixed model, the rows of its random part in no order."""
    fixed = model(name, terms, **kwargs)
    random = pd.DataFrame(RANDOM).replace({"group": {"g": group}})
    both = pd.concat([fixed.tidy, random], ignore_index=True)
    glance = {"nobs": 5, f"ngroups_{group}": 2, "reml": True, "aic": 7.0}
    return Model(name, check_tidy(both, name), glance, fixed.notes)


def texts(table):
    """The labels and cells of all rows; titles of sections alone in theirs."""
    out = []
    for section in table.sections:
        out += [[section.title]] if section.title else []
        out += [[*row.stub, *(c.text for c in row.cells)] for row in section.rows]
    return out


def shown(*models, **kwargs):
    return texts(lay_out(models, Options(**kwargs)))


def headers(table):
    return [[(span.text, span.width) for span in spans] for spans in table.headers]


# -- parameters ------------------------------------------------------------------------


def test_rows_of_two_models():
    assert shown(model("a", ["x", "z"]), model("b", ["x", "y", "z"]), fmt=1) == [
        ["x", "1.0", "1.0"],
        ["", "(0.1)", "(0.1)"],
        ["y", "", "2.0"],
        ["", "", "(0.2)"],
        ["z", "2.0", "3.0"],
        ["", "(0.2)", "(0.3)"],
        ["Num.Obs.", "20", "30"],
    ]


def test_random_part_is_ordered_starless_and_without_errors():
    own = shown(mixed("m", ["x"]), model("o", ["x"]), stars=True, fmt=1)
    assert own[:2] == [["x", "1.0*", "1.0*"], ["", "(0.1)", "(0.1)"]]
    assert own[2:7] == [
        ["Random effects"],
        ["SD (Intercept g)", "1.0", ""],
        ["SD (x g)", "2.0", ""],
        ["Cor (Intercept~x g)", "0.5", ""],
        ["SD (Observations)", "4.0", ""],
    ]


def test_different_grouping_factors_have_their_own_rows():
    labels = [r[0] for r in shown(mixed("a", ["x"], "g"), mixed("b", ["x"], "h"))]
    random = [label for label in labels if label.startswith(("SD", "Cor"))]
    assert [label.rstrip(")")[-1] for label in random] == [*"ggghhh", "s"]


def test_random_rows_survive_templates_of_tests():
    found = shown(mixed("m", ["x"]), estimate="{estimate:.1f} [{df}]{stars}")
    assert ["SD (x g)", "2.0"] in found
    found = shown(mixed("m", ["x"]), estimate="conf_int", statistic="estimate")
    assert ["SD (x g)", "2.000"] in found


def test_random_statistics_on_request():
    wide = mixed("m", ["x"])
    wide.tidy.loc[wide.tidy["type"] == "sd", ["conf_low", "conf_high"]] = [1.0, 9.0]
    found = shown(wide, re_statistic="conf_int", fmt=0)
    at = found.index(["SD (Intercept g)", "1"])
    assert found[at + 1] == ["", "[1, 9]"]
    assert found[found.index(["Cor (Intercept~x g)", "0"]) + 1][0]


def test_places_of_the_random_part():
    parts = {
        place: [
            (section.kind, len(section.rows))
            for section in lay_out(
                [mixed("m", ["x"])], Options(re_section=place)
            ).sections
        ]
        for place in (True, False, "gof")
    }
    assert parts[True] == [("coefficients", 2), ("random", 4), ("gof", 3)]
    assert parts[False] == [("coefficients", 6), ("gof", 3)]
    assert parts["gof"] == [("coefficients", 2), ("gof", 7)]


def test_coef_map_leaves_the_random_part_alone_unless_it_names_it():
    own = shown(mixed("m", ["x", "z"]), coef_map={"z": "Z"}, gof_map=[], statistic=None)
    assert own[0] == ["Z", "2.000"]
    assert len(own) == 6
    both = {"x": "X", "SD (x g)": "SD of X"}
    own = shown(mixed("m", ["x", "z"]), coef_map=both, gof_map=[], statistic=None)
    assert own == [["X", "1.000"], ["Random effects"], ["SD of X", "2.000"]]


def test_coef_map_that_names_nothing():
    with pytest.raises(ValueError, match="no parameter of the models; there are x, SD"):
        shown(mixed("m", ["x"]), coef_map=["X"])
    with pytest.raises(ValueError, match="coef_map names no parameter"):
        lay_out_panels(PANELS, Options(coef_map={"y": "Y"}))
    assert shown(model("m", ["x"]), coef_map=[]) == [["Num.Obs.", "10"]]


def test_coefficients_that_are_called_the_same_share_a_row():
    rename = {"x1": "X", "x2": "X"}
    first, second = model("a", ["x1"]), model("b", ["z", "x2"])
    own = shown(first, second, coef_rename=rename, statistic=None, gof_map=[])
    assert own == [["X", "1.000", "2.000"], ["z", "", "1.000"]]


def test_but_not_if_a_model_has_both():
    rename = {"x1": "X", "x2": "X"}
    own = shown(
        model("a", ["x1", "x2"]), coef_rename=rename, statistic=None, gof_map=[]
    )
    assert own == [["X", "1.000"], ["X", "2.000"]]


def test_labels_of_the_frame_and_terms_both_name_a_row():
    labelled = model("a", ["x"], label=["Income"])
    assert shown(labelled, coef_map=["x"])[0][0] == "x"
    assert shown(labelled)[0][0] == "Income"
    assert shown(labelled, coef_rename={"x": "X"})[0][0] == "X"


def test_responses_stand_in_a_second_stub_column():
    outcomes = model("a", ["x", "x", "x"], response=["low", "mid", "high"])
    own = shown(outcomes, statistic=None, fmt=0)
    assert own == [
        ["x", "low", "1"],
        ["x", "mid", "2"],
        ["x", "high", "3"],
        ["Num.Obs.", "", "30"],
    ]
    own = shown(outcomes, statistic=None, fmt=0, group_map={"high": "H", "low": "L"})
    assert own[:2] == [["x", "H", "3"], ["x", "L", "1"]]
    assert len(own) == 3


def test_components_are_said_where_terms_are_ambiguous():
    component = ["conditional", "threshold"]
    plain = model("a", ["x", "0/1"], component=component)
    assert shown(plain, statistic=None)[1] == ["0/1", "2.000"]
    inflated = model("a", ["x", "x"], component=["conditional", "zi"])
    own = shown(inflated, statistic=None)
    assert own[:2] == [["x", "", "1.000"], ["x", "zi", "2.000"]]


def test_lines_that_are_empty_everywhere_are_left_out():
    nothing = model("a", ["x"], std_error=np.nan)
    assert shown(nothing, gof_map=[]) == [["x", "1.000"]]


def test_one_template_a_model():
    two = [model("a", ["x"]), model("b", ["x"])]
    own = shown(*two, estimate=["{estimate:.0f}", "estimate"], gof_map=[])
    assert own[0] == ["x", "1", "1.000"]
    with pytest.raises(ValueError, match="3 templates for 2 models"):
        shown(*two, estimate=["estimate"] * 3)


def test_a_column_that_no_frame_has():
    with pytest.raises(ValueError, match="'odds', which no tidy frame has"):
        shown(model("a", ["x"]), statistic="odds")
    other = model("b", ["x"], odds=[5.0])
    own = shown(model("a", ["x"]), other, statistic="odds", fmt=0, gof_map=[])
    assert own == [["x", "1", "1"], ["", "", "(5)"]]


def test_no_rows():
    with pytest.raises(ValueError, match="no row is left"):
        shown(model("a", ["x"]), coef_omit="x", gof_map=[])


# -- stars -----------------------------------------------------------------------------


def test_stars_and_their_note():
    table = lay_out([model("a", ["x"])], Options(stars=[0.05]))
    assert table.sections[0].rows[0].cells[0].stars == "*"
    assert table.notes == ("* p < 0.05",)


def test_a_template_with_stars_needs_no_argument():
    table = lay_out([model("a", ["x"])], Options(statistic="({std_error}){stars}"))
    estimate, error = (row.cells[0].text for row in table.sections[0].rows)
    assert (estimate, error) == ("1.000", "(0.100)*")
    assert table.notes[0].startswith("+ p < 0.1")


def test_models_without_p_values():
    without = model("b", ["x"], p_value=np.nan)
    table = lay_out([model("a", ["x"]), without], Options(stars=True))
    assert table.notes[0] == "No p-values (b)."
    with pytest.raises(ValueError, match="stars need p-values"):
        lay_out([without], Options(stars=True))


# -- statistics of models --------------------------------------------------------------


def test_values_of_any_kind():
    glance = {"nobs": 5.0, "aic": -0.04, "a": "two words", "b": True, "c": np.True_}
    found = dict(shown(model("m", ["x"], {**glance, "d": np.int64(3), "e": np.nan})))
    assert found["Num.Obs."] == "5"
    assert found["AIC"] == "0.0"
    assert (found["a"], found["b"], found["c"]) == ("two words", "yes", "yes")
    assert found["d"] == "3.000"
    assert "e" not in found


def test_formats_of_statistics():
    found = dict(shown(model("m", ["x"], {"aic": 1.25, "own": 2.0}), fmt={"aic": 2}))
    assert found["AIC"] == "1.25"
    assert found["own"] == "2.000"


# -- shapes ----------------------------------------------------------------------------


def test_statistics_in_columns():
    options = Options(
        shape="statistics_in_columns",
        statistic={"SE": "std_error", "Test": "{p_value}{stars}"},
        fmt=1,
    )
    table = lay_out([mixed("m", ["x"]), model("o", ["x"])], options)
    assert headers(table) == [
        [("m", 3), ("o", 3)],
        [(text, 1) for text in ("Est.", "SE", "Test") * 2],
    ]
    own = texts(table)
    assert own[0] == ["x", "1.0", "0.1", "<0.1*", "1.0", "0.1", "<0.1*"]
    assert ["SD (x g)", "2.0", "", "", "", "", ""] in own
    assert ["Num.Obs.", "5", "", "", "10", "", ""] in own


def test_headings_of_statistics():
    frame = model("m", ["x"], df=np.inf, conf_low=0.0, conf_high=1.0)
    statistic = ["std_error", "statistic", "conf_int", "{estimate} ({std_error})"]
    kwargs = {"statistic": statistic, "conf_level": 0.9}
    options = Options(shape="statistics_in_columns", **kwargs)
    names = [name for name, _ in headers(lay_out([frame], options))[1]]
    assert names == ["Est.", "S.E.", "z", "90% CI", "Est. (S.E.)"]
    options = Options(
        shape="statistics_in_columns", estimate={"b": "estimate"}, **kwargs
    )
    assert headers(lay_out([frame], options))[1][0] == ("b", 1)


def test_models_in_rows():
    table = lay_out(
        [model("a", ["x", "z"]), mixed("m", ["x"])],
        Options(shape="models_in_rows", header=["number", "model"], fmt=0),
    )
    assert [span.text for span in table.headers[0]][:3] == [
        "x",
        "z",
        "SD (Intercept g)",
    ]
    own = texts(table)
    assert own[0][:4] == ["(1)", "a", "1", "2"]
    assert own[1][:4] == ["", "", "(0)", "(0)"]
    assert own[2][:4] == ["(2)", "m", "1", ""]


# -- panels ----------------------------------------------------------------------------

PANELS = {
    "One": [model("a", ["x"]), model("b", ["x", "z"])],
    "Two": [model("b", ["z"])],
}


def test_panels_below_each_other():
    table = lay_out_panels(PANELS, Options(fmt=0, statistic=None, shape="rbind"))
    assert headers(table) == [[("a", 1), ("b", 1)]]
    assert texts(table) == [
        ["One"],
        ["x", "1", "1"],
        ["z", "", "2"],
        ["Num.Obs.", "10", "20"],
        ["Two"],
        ["z", "", "1"],
        ["Num.Obs.", "", "10"],
    ]


def test_shared_statistics_stand_once():
    panels = {
        k: [model("a", [k], {"nobs": 9, "aic": float(i)})] for i, k in enumerate("xz")
    }
    table = lay_out_panels(panels, Options(fmt=0, statistic=None, shape="rcollapse"))
    assert texts(table) == [
        ["x"],
        ["x", "1"],
        ["AIC", "0.0"],
        ["z"],
        ["z", "1"],
        ["AIC", "1.0"],
        ["All panels"],
        ["Num.Obs.", "9"],
    ]


def test_panels_side_by_side():
    table = lay_out_panels(PANELS, Options(fmt=0, statistic=None, shape="cbind"))
    assert headers(table) == [
        [("One", 2), ("Two", 1)],
        [("a", 1), ("b", 1), ("b", 1)],
    ]
    assert texts(table)[1] == ["z", "", "2", "1"]


def test_panels_of_random_parts_alone():
    panels = {"P": [Model("m", mixed("m", []).tidy)]}
    own = texts(lay_out_panels(panels, Options()))
    assert own[0] == ["P: Random effects"]


def test_notes_of_panels_name_them():
    panels = {
        "P": [model("a", ["x"], notes=("Singular fit.",))],
        "Q": [model("a", ["x"])],
    }
    assert lay_out_panels(panels, Options()).notes == ("Singular fit (P: a).",)
    side = lay_out_panels(panels, Options(shape="cbind"))
    assert side.notes == ("Singular fit (P: a).",)


def test_shapes_that_do_not_go_with_the_models():
    with pytest.raises(ValueError, match="is for panels"):
        shown(model("a", ["x"]), shape="rbind")
    with pytest.raises(ValueError, match="does not go with panels"):
        lay_out_panels(PANELS, Options(shape="models_in_rows"))
    with pytest.raises(ValueError, match="with panels, pass one"):
        lay_out_panels(PANELS, Options(estimate=["estimate"] * 3))


# -- headers, notes --------------------------------------------------------------------


def test_headers_merge_above_the_last_row():
    two = [model(n, ["x"], {"depvar": "y", "estimator": "OLS"}) for n in "ab"]
    table = lay_out(two, Options(header=["depvar", "estimator"]))
    assert headers(table) == [[("y", 2)], [("OLS", 1), ("OLS", 1)]]


@pytest.mark.parametrize(
    "spanners",
    [{"L": 1, " ": 1}, [("L", 1), ("", 1)], [{"L": 1, "": 1}]],
)
def test_spanners(spanners):
    table = lay_out([model("a", ["x"]), model("b", ["x"])], Options(spanners=spanners))
    assert headers(table)[0] == [("L", 1), ("", 1)]
    with pytest.raises(ValueError, match="cover 2 models, but the table has 1"):
        lay_out([model("a", ["x"])], Options(spanners=spanners))


def test_notes_name_the_models_that_they_hold_for():
    table = lay_out(
        [
            model("(1)", ["x"], notes=("Fitted by REML.", "Singular fit.")),
            model("(2)", ["x"], notes=("Fitted by maximum likelihood.",)),
            model("c", ["x"], notes=("Fitted by REML.",)),
        ],
        Options(notes="Mine."),
    )
    assert table.notes == (
        "Mine.",
        "Fitted by REML (1, c).",
        "Fitted by maximum likelihood (2).",
        "Singular fit (1).",
    )


def test_notes_can_be_left_out():
    own = model("a", ["x"], notes=("Singular fit.",))
    assert lay_out([own], Options(auto_notes=False, notes=["A", "B"])).notes == (
        "A",
        "B",
    )


def test_covariance_is_said_once():
    said = ("Standard errors: HC1.",)
    robust = model("a", ["x"], {"vcov_type": "HC1"}, said)
    assert lay_out([robust], Options()).notes == ()
    assert lay_out([robust], Options(gof_omit="vcov")).notes == said


def test_criteria_that_do_not_compare():
    reml, ml = mixed("a", ["x"]), mixed("b", ["x"])
    ml.glance["reml"] = False
    assert "by maximum likelihood do not" in lay_out([reml, ml], Options()).notes[0]
    assert lay_out([reml, ml], Options(gof_map=["nobs"])).notes == ()
    other = mixed("b", ["x", "z"])
    assert "different fixed effects" in lay_out([reml, other], Options()).notes[0]
    assert lay_out([reml, mixed("c", ["x"])], Options()).notes == ()


# -- the caller's own rows and columns ---------------------------------------------------


@pytest.mark.parametrize(
    ("where", "position"),
    [
        ("coef_start", 0),
        ("x", 2),
        ("coef_end", 2),
        ("SD (x g)", 4),
        ("gof_start", 6),
        ("Num.Obs.", 7),
        ("gof_end", 9),
    ],
)
def test_places_of_added_rows(where, position):
    row = AddRow("Own", ["v"], where)
    table = lay_out([mixed("m", ["x"])], Options(add_rows=[row]))
    own = [r for r in texts(table) if len(r) > 1]
    assert own.index(["Own", "v"]) == position
    kinds = {r.stub[0]: s.kind for s in table.sections for r in s.rows}
    places = {"coef_start": "x", "coef_end": "x", "gof_start": "AIC", "gof_end": "AIC"}
    assert kinds["Own"] == kinds[places.get(where, where)]


@pytest.mark.parametrize(
    "rows",
    [
        {"A": ["yes", 1], "B": [None, 0.5]},
        [AddRow("A", ["yes", 1]), AddRow("B", [np.nan, 0.5])],
        pd.DataFrame(
            {"t": ["A", "B"], "m": ["yes", None], "o": [1, 0.5]}, dtype=object
        ),
    ],
)
def test_added_rows_in_all_their_forms(rows):
    own = shown(model("a", ["x"]), model("b", ["x"]), add_rows=rows, fmt=1)
    assert own[-2:] == [["A", "yes", "1"], ["B", "", "0.5"]]


def test_added_rows_one_value_a_model():
    kwargs = {"shape": "statistics_in_columns", "add_rows": {"A": ["u", "v"]}}
    own = shown(model("a", ["x"]), model("b", ["x"]), **kwargs)
    assert own[-1] == ["A", "u", "", "v", ""]


def test_added_rows_in_all_shapes():
    assert shown(model("a", ["x"]), shape="models_in_rows", add_rows={"A": [1, 2]})[
        -1
    ] == ["A", "1", "2"]
    table = lay_out_panels(PANELS, Options(add_rows={"A": [1, 2]}))
    assert texts(table)[-1] == ["A", "1", "2"]


def test_added_rows_that_do_not_fit():
    with pytest.raises(ValueError, match="'A' has 3 values for 1 columns"):
        shown(model("a", ["x"]), add_rows={"A": [1, 2, 3]})
    with pytest.raises(ValueError, match="'y', which is no row"):
        shown(model("a", ["x"]), add_rows=[AddRow("A", [1], "y")])
    with pytest.raises(TypeError, match="add_rows holds"):
        shown(model("a", ["x"]), add_rows=[["A", 1]])


def test_numbers_among_added_texts_keep_their_signs():
    table = lay_out(
        [model("a", ["x"])], Options(add_rows={"p": ["<0.001"], "b": ["1.5**"]})
    )
    p, b = (row.cells[0] for row in table.sections[-1].rows[-2:])
    assert (p.prefix, p.number) == ("<", "0.001")
    assert (b.number, b.stars) == ("1.5", "**")


def test_added_columns():
    options = Options(add_columns={"By label": {"x": "+"}, "From top": [1, None, "z"]})
    table = lay_out([model("a", ["x"])], options)
    assert texts(table) == [
        ["x", "1.000", "+", "1"],
        ["", "(0.100)", "", ""],
        ["Num.Obs.", "10", "", "z"],
    ]
    with pytest.raises(ValueError, match="4 values for 3 rows"):
        shown(model("a", ["x"]), add_columns={"A": [1, 2, 3, 4]})
    with pytest.raises(ValueError, match="a value for 'y'"):
        shown(model("a", ["x"]), add_columns={"A": {"y": 1}})


# -- options ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", "wide"),
        ("effects", "ran"),
        ("re_scale", "std"),
        ("re_section", "top"),
        ("conf_level", 95),
        ("header", ["title"]),
        ("align", "x"),
        ("align", ""),
        ("theme", "dark"),
    ],
)
def test_options_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        Options(**{name: value})


@pytest.mark.parametrize("name", ["title", "label"])
def test_texts_are_texts(name):
    with pytest.raises(TypeError, match=f"{name} is a text, not 3"):
        Options(**{name: 3})


def test_alignment_of_another_number_of_columns():
    with pytest.raises(ValueError, match="align has 2 letters for 1 value columns"):
        shown(model("a", ["x"]), align="dd")


# -- properties ------------------------------------------------------------------------

TERMS = st.lists(st.sampled_from("abcdef"), unique=True)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(TERMS, st.booleans()), min_size=1, max_size=4),
    st.sampled_from(["models_in_columns", "statistics_in_columns", "models_in_rows"]),
    st.sampled_from([True, False, "gof"]),
)
def test_every_estimate_is_in_every_shape(designs, shape, place):
    models = [
        (mixed if random else model)(str(k), terms)
        for k, (terms, random) in enumerate(designs)
    ]
    options = Options(shape=shape, re_section=place, statistic=None, gof_map=["nobs"])
    table = lay_out(models, options)
    cells = [c.text for s in table.sections for row in s.rows for c in row.cells]
    estimates = [f"{v:.3f}" for m in models for v in m.tidy["estimate"]]
    statistics = [str(m.glance["nobs"]) for m in models]
    assert sorted(filter(None, cells)) == sorted(estimates + statistics)
