"""The command line: fit a model to a shipped data set or to a file.

``python -m sm_lmer fit sleepstudy "Reaction ~ Days + (Days | Subject)"`` prints the
summary. What is wrong with the data or the formula is said in one sentence on
standard error, and the exit status is then 2.
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
from .linalg import SOLVERS
from .model import LMER
from .results import LMERResults

EXPECTED = (ValueError, MissingDataError, OSError, ImportError, MemoryError)
"""What unusable input raises: shown as a sentence, not as a traceback."""

SHIPPED = tuple(name.removeprefix("load_") for name in datasets.__all__)

READERS = {
    ".csv": pd.read_csv,
    ".csv.gz": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".dta": pd.read_stata,
}


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
            results = _fit(arguments)
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(results.summary(correlation=arguments.correlation))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sm_lmer",
        description="Linear mixed models with lme4's formulas.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="fit a model and print its summary")
    fit.add_argument(
        "data",
        help="a shipped data set "
        f"({', '.join(SHIPPED)}), or a file that ends in {', '.join(READERS)}",
    )
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
    return parser


def _fit(arguments: argparse.Namespace) -> LMERResults:
    model = LMER.from_formula(
        arguments.formula,
        read_data(arguments.data),
        weights=arguments.weights,
        eval_env=-1,
    )
    return model.fit(
        reml=not arguments.ml,
        method=arguments.method,
        solver=arguments.solver,
        disp=arguments.disp,
    )


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
