"""The command line: what it prints, and how it fails."""

from __future__ import annotations

import subprocess
import sys

import pytest
from registry import dataset, fitted

from sm_lmer import cli

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture
def run(capsys):
    """``run("fit", ...)`` gives exit status, standard output and standard error."""

    def call(*arguments):
        status = cli.main(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_module_runs_as_a_program():
    command = [sys.executable, "-m", "sm_lmer", "fit", "sleepstudy", FORMULA]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{fitted('sleepstudy').summary()}\n"
    assert done.stderr == ""


def test_ml(run):
    status, out, err = run("fit", "sleepstudy", FORMULA, "--ml")
    assert (status, err) == (0, "")
    assert "Deviance: 1751.9393" in " ".join(out.split())


def test_name_of_a_data_set_in_any_case(run):
    assert run("fit", "SleepStudy", FORMULA)[0] == 0


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "dta"])
def test_file(run, tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"sleep.{ending}"
    data = dataset("sleepstudy")
    if ending == "dta":
        data.to_stata(path, write_index=False)
    elif ending == "parquet":
        data.to_parquet(path)
    else:
        data.to_csv(path, index=False)
    status, out, _ = run("fit", str(path), FORMULA)
    assert status == 0
    assert "REML Criterion: 1743.6283" in " ".join(out.split())


def test_weights_are_an_expression_of_columns(run):
    _, out, err = run("fit", "sleepstudy", FORMULA, "--weights", "1 + Days")
    assert err == ""
    assert "Precision weights" in out


def test_solver_method_correlation_and_trace(run):
    options = ("--solver", "superlu", "--method", "lbfgs", "--correlation", "--disp")
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"
    status, out, _ = run("fit", "penicillin", formula, *options)
    assert status == 0
    assert out.startswith("   1  ")
    assert "superlu" in out
    assert "lbfgs" in out
    assert "330.8606" in out
    assert (
        "Correlation of fixed effects"
        in run("fit", "sleepstudy", FORMULA, options[4])[1]
    )


def test_warnings_are_one_line_each(run):
    status, out, err = run("fit", "dyestuff2", "Yield ~ 1 + (1 | Batch)")
    assert status == 0
    assert "REML Criterion" in out
    assert err.startswith("warning: singular fit: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("sleepstdy", FORMULA),
            "'sleepstdy' is neither a shipped data set nor a file; did you mean 'sleepstudy'?",
        ),
        (
            ("zzz", FORMULA),
            "'zzz' is neither a shipped data set nor a file; there are cake, ",
        ),
        (("absent.csv", FORMULA), "there is no file 'absent.csv'."),
        (
            ("sleepstudy", "Reaction ~ Dayz + (1 | Subject)"),
            "unknown column 'Dayz' in the fixed part; did you mean 'Days'?",
        ),
        (
            ("sleepstudy", "Reaction ~ Days"),
            "the formula 'Reaction ~ Days' has no random-effects term",
        ),
        (
            ("sleepstudy", FORMULA, "--weights", "-1 - Days"),
            "the weights are negative in 180 rows",
        ),
        (
            ("sleepstudy", "Reaction ~ warnings + (1 | Subject)"),
            "unknown column 'warnings'",
        ),
    ],
)
def test_unusable_input_is_one_sentence(run, arguments, message):
    status, out, err = run("fit", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_formula_errors_show_the_place(run):
    status, _, err = run("fit", "sleepstudy", "Reaction ~ Days + (Days | Subject")
    _, formula, caret = err.splitlines()
    assert status == 2
    assert formula[caret.index("^")] == "("


def test_file_of_an_unknown_format(run, tmp_path):
    path = tmp_path / "sleep.xlsx"
    path.touch()
    status, _, err = run("fit", str(path), FORMULA)
    assert status == 2
    assert "cannot be read; a file must end in .csv, .csv.gz, .parquet, .dta." in err


def test_empty_file(run, tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()
    status, _, err = run("fit", str(path), FORMULA)
    assert (status, err) == (2, "error: No columns to parse from file\n")


def test_parquet_without_pyarrow(run, tmp_path, monkeypatch):
    path = tmp_path / "sleep.parquet"
    path.touch()
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    status, _, err = run("fit", str(path), FORMULA)
    assert status == 2
    assert err.endswith("needs pyarrow: install it with pip install pyarrow.\n")


def test_wrong_option_shows_the_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "sleepstudy", FORMULA, "--method", "newton"])
    assert stopped.value.code == 2
    assert "usage: python -m sm_lmer fit" in capsys.readouterr().err


# Tables ------------------------------------------------------------------------------

FORMULAS = ("Reaction ~ Days + (1 | Subject)", FORMULA)


def test_table_of_several_formulas(run):
    status, out, err = run("table", "sleepstudy", *FORMULAS, "--names", "One", "Two")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["One", "Two"] in lines
    assert ["Days", "10.467", "10.467"] in lines
    assert ["(0.804)", "(1.546)"] in lines
    assert ["SD", "(Observations)", "30.991", "25.592"] in lines
    assert "Fitted by REML." in out


def test_options_of_a_table(run):
    options = ("--ml", "--fmt", "1", "--stars", "--ddf", "normal", "--title", "Sleep")
    below = ("--statistic", "conf_int", "--conf-level", "0.5")
    _, out, _ = run("table", "sleepstudy", FORMULA, *options, *below)
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["Sleep"]
    assert ["Days", "10.5***"] in lines
    assert ["[9.5,", "11.5]"] in lines
    assert "Fitted by maximum likelihood." in out


def test_table_without_statistics_below(run):
    _, out, _ = run("table", "sleepstudy", FORMULA, "--statistic", "none")
    assert "6.825" not in out
    assert "251.405" in out


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("markdown", "| Intercept "),
        ("latex_tabular", "\nIntercept & 251.405 "),
        ("csv", "\nIntercept,251.405\n"),
    ],
)
def test_format_of_a_table(run, name, row):
    _, out, _ = run("table", "sleepstudy", FORMULA, "--format", name)
    assert row in out


def test_table_to_a_file(run, tmp_path):
    path = tmp_path / "table.tex"
    status, out, _ = run("table", "sleepstudy", FORMULA, "--output", str(path))
    assert (status, out) == (0, "")
    assert "\\toprule" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--names", "A", "B"), "--names gives 2 names for 1 formulas."),
        (("--output", "table.zip"), "unknown output 'table.zip'"),
        (("--output", "latex"), "unknown output 'latex'"),
        (("--fmt", "q"), "'q' is no format of a number"),
        (("--statistic", "{x.y}"), "'{x.y}': only names of columns"),
        (("--conf-level", "95", "--statistic", "conf_int"), "conf_level"),
    ],
)
def test_unusable_options_of_a_table_are_one_sentence(run, options, message):
    status, out, err = run("table", "sleepstudy", FORMULA, *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_names_of_a_table_differ(run):
    status, _, err = run("table", "sleepstudy", *FORMULAS, "--names", "A", "A")
    assert (status, err.count("\n")) == (2, 1)
    assert "same name" in err
