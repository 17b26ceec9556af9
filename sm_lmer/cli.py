"""The command line: fit models to a shipped data set or to a file.

``python -m sm_lmer fit sleepstudy "Reaction ~ Days + (Days | Subject)"`` prints the
summary, and ``python -m sm_lmer table`` with several formulas puts their models side by
side in one table, in any format. What is wrong with the data or the formula is said in
one sentence on standard error, and the exit status is then 2.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from statsmodels.tools.sm_exceptions import MissingDataError

from . import datasets
from ._version import __version__
from .core.optimize import METHODS
from .inference.ddf import METHODS as DDF
from .linalg import SOLVERS
from .model import LMER
from .tables.modelsummary import modelsummary
from .tables.modeltable import SUFFIXES

EXPECTED = (ValueError, MissingDataError, OSError, ImportError, MemoryError)
"""What unusable input raises: shown as a sentence, not as a traceback."""

SHIPPED = tuple(name.removeprefix("load_") for name in datasets.__all__)

READERS = {
    ".csv": pd.read_csv,
    ".csv.gz": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".dta": pd.read_stata,
}


DATA_HELP = (
    "a shipped data set "
    f"({', '.join(SHIPPED)}), or a file that ends in {', '.join(READERS)}"
)

PRINTED = ("text", "markdown", "html", "latex", "latex_tabular", "typst", "csv")
"""Formats of tables that are text."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, or 2 if the input cannot be used.
    """
    arguments = _parser().parse_args(argv)
    try:
        with _one_line_warnings():
            text = arguments.run(arguments)
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if text:
        print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sm_lmer",
        description="Linear mixed models with lme4's formulas.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_fit(commands)
    _add_table(commands)
    return parser


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser("fit", help="fit a model and print its summary")
    fit.set_defaults(run=_summary)
    fit.add_argument("data", help=DATA_HELP)
    fit.add_argument("formula", help='such as "y ~ x + (x | group)"')
    fit.add_argument("--ml", action="store_true", help="fit by ML instead of REML")
    fit.add_argument(
        "--weights", metavar="EXPR", help="precision weights, from the data's columns"
    )
    fit.add_argument("--method", choices=METHODS, default="bfgs", help="optimiser")
    fit.add_argument(
        "--solver", choices=SOLVERS, default="auto", help="linear algebra to use"
    )
    fit.add_argument(
        "--correlation",
        action="store_true",
        help="show the correlation of the fixed effects",
    )
    fit.add_argument(
        "--disp", action="store_true", help="print every evaluation of the criterion"
    )


def _add_table(commands: Any) -> None:
    table = commands.add_parser("table", help="fit models and put them in one table")
    table.set_defaults(run=_table)
    table.add_argument("data", help=DATA_HELP)
    table.add_argument(
        "formulas",
        nargs="+",
        metavar="formula",
        help='one a model, such as "y ~ x + (1 | group)"',
    )
    table.add_argument("--ml", action="store_true", help="fit by ML instead of REML")
    table.add_argument(
        "--names", nargs="+", metavar="NAME", help="headers, one a model"
    )
    table.add_argument("--ddf", choices=DDF, help="method for degrees of freedom")
    table.add_argument("--stars", action="store_true", help="mark significance")
    table.add_argument(
        "--statistic",
        nargs="+",
        default=["std_error"],
        metavar="COLUMN",
        help="what stands below estimates: std_error (the usual), conf_int, p_value, "
        '..., a template such as "p = {p_value}", or none',
    )
    table.add_argument(
        "--conf-level", type=float, default=0.95, metavar="LEVEL", help="of intervals"
    )
    table.add_argument(
        "--fmt",
        type=_format,
        default=3,
        metavar="FORMAT",
        help="decimals, or a format such as .3g",
    )
    table.add_argument("--title", help="caption")
    where = table.add_mutually_exclusive_group()
    where.add_argument(
        "--format", choices=PRINTED, default="text", help="what is printed"
    )
    where.add_argument(
        "--output",
        metavar="FILE",
        help=f"write a file instead; it must end in {', '.join(SUFFIXES)}",
    )


def _format(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _summary(arguments: argparse.Namespace) -> str:
    """What ``fit`` prints."""
    model = LMER.from_formula(
        arguments.formula,
        read_data(arguments.data),
        weights=arguments.weights,
        eval_env=-1,
    )
    results = model.fit(
        reml=not arguments.ml,
        method=arguments.method,
        solver=arguments.solver,
        disp=arguments.disp,
    )
    return str(results.summary(correlation=arguments.correlation))


def _table(arguments: argparse.Namespace) -> str:
    """What ``table`` prints; nothing if it writes a file."""
    names, formulas = arguments.names, arguments.formulas
    if names is not None and len(names) != len(formulas):
        raise ValueError(
            f"--names gives {len(names)} names for {len(formulas)} formulas."
        )
    if names is not None and len(set(names)) < len(names):
        raise ValueError("two models have the same name; give each its own.")
    data = read_data(arguments.data)
    fits = [
        LMER.from_formula(formula, data, eval_env=-1).fit(reml=not arguments.ml)
        for formula in formulas
    ]
    statistic = [name for name in arguments.statistic if name != "none"]
    made = modelsummary(
        fits if names is None else dict(zip(names, fits, strict=True)),
        output=Path(arguments.output) if arguments.output else arguments.format,
        statistic=statistic or None,
        conf_level=arguments.conf_level,
        fmt=arguments.fmt,
        stars=arguments.stars,
        ddf=arguments.ddf,
        title=arguments.title,
    )
    return "" if arguments.output else str(made).rstrip("\n")


def read_data(source: str) -> pd.DataFrame:
    """Load a shipped data set by its name, or else read a file.

    Parameters
    ----------
    source : str
        A name such as "sleepstudy", or a path whose ending tells the format.

    Raises
    ------
    ValueError
        If there is neither, or if the file is in a format that cannot be read.
    """
    if source.lower() in SHIPPED:
        frame: pd.DataFrame = getattr(datasets, f"load_{source.lower()}")()
        return frame
    ending = _ending(source)
    if ending is None:
        raise ValueError(_not_data(source))
    if not Path(source).is_file():
        raise ValueError(f"there is no file {source!r}.")
    if ending == ".parquet" and find_spec("pyarrow") is None:
        raise ValueError(
            "reading Parquet files needs pyarrow: install it with pip install pyarrow."
        )
    table: pd.DataFrame = READERS[ending](source)
    return table


def _ending(source: str) -> str | None:
    return next((e for e in READERS if source.lower().endswith(e)), None)


def _not_data(source: str) -> str:
    """Why `source`, which is no shipped data set, is no file of a known format."""
    if Path(source).exists():
        return f"{source!r} cannot be read; a file must end in {', '.join(READERS)}."
    close = difflib.get_close_matches(source.lower(), SHIPPED, n=1)
    hint = (
        f"did you mean {close[0]!r}?" if close else f"there are {', '.join(SHIPPED)}."
    )
    return f"{source!r} is neither a shipped data set nor a file; {hint}"


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Warnings for the user go to standard error, one line each."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


__all__ = ["main", "read_data"]
