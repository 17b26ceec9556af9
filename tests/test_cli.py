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
