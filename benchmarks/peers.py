"""The packages that are timed, behind one interface.

A peer is prepared once for each case, which is not timed, and then fits it again and
again. `available` returns those that are installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import pandas as pd

import sm_lmer.api as sml

from .cases import Case

R_SERVER = Path(__file__).with_name("lme4.R")


class Peer(Protocol):
    """A package that fits the cases.

    Attributes
    ----------
    name : str
    versions : dict of str
        Of the package and of what it runs on.
    pid : int
        Of the process that fits.
    """

    name: str
    versions: dict[str, str]
    pid: int

    def prepare(self, case: Case) -> None:
        """Load the data of a case."""

    def fit(self) -> tuple[dict[str, float], float]:
        """Fit the prepared case: seconds by what was timed, and the REML criterion."""

    def forget(self) -> None:
        """Let go of the data of the case."""

    def close(self) -> None:
        """End."""


class SmLmer:
    """This package; `fit` alone is timed on a model that has not been fitted."""

    name = "sm_lmer"

    def __init__(self) -> None:
        packages = ("sm_lmer", "numpy", "scipy", "pandas", "statsmodels")
        self.versions = {name: version(name) for name in packages}
        self.pid = os.getpid()

    def prepare(self, case: Case) -> None:
        self.formula, self.data = case.formula, case.load()

    def forget(self) -> None:
        del self.data

    def fit(self) -> tuple[dict[str, float], float]:
        start = perf_counter()
        model = sml.lmer(self.formula, self.data)
        built = perf_counter()
        results = model.fit()
        end = perf_counter()
        return {"formula and fit": end - start, "fit": end - built}, results.remlcrit

    def close(self) -> None:
        pass


class MixedLm:
    """mixedlm of PyPI: lme4's interface in Python, its engine in Rust."""

    name = "mixedlm"

    def __init__(self) -> None:
        import mixedlm

        self.lmer = mixedlm.lmer
        self.versions = {"mixedlm": version("mixedlm")}
        self.pid = os.getpid()

    def prepare(self, case: Case) -> None:
        self.formula, self.data = case.formula, case.load()

    def forget(self) -> None:
        del self.data

    def fit(self) -> tuple[dict[str, float], float]:
        start = perf_counter()
        results = self.lmer(self.formula, self.data)
        seconds = perf_counter() - start
        return {"formula and fit": seconds}, float(results.REMLcrit())

    def close(self) -> None:
        pass


class Lme4:
    """R's lme4 in one R process, which times the calls of ``lmer`` itself."""

    name = "lme4"

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["Rscript", "--vanilla", str(R_SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self.directory = tempfile.TemporaryDirectory()
        try:
            self.versions: dict[str, str] = self._ask("versions")
        except (EOFError, BrokenPipeError):
            self.close()
            raise PackageNotFoundError("R's package lme4") from None

    def _ask(self, *words: str) -> Any:
        """Send one line to R and read its answer, which is JSON."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise EOFError("R ended.")
        return json.loads(answer)

    def prepare(self, case: Case) -> None:
        data = case.load()
        path = Path(self.directory.name) / f"{case.name}.csv"
        data.to_csv(path, index=False)
        kinds = data.dtypes.map(lambda t: isinstance(t, pd.CategoricalDtype))
        factors = ",".join(str(name) for name in data.columns[kinds])
        self._ask("load_data", case.formula, str(path), factors)

    def fit(self) -> tuple[dict[str, float], float]:
        answer = self._ask("fit")
        return {"formula and fit": answer["seconds"]}, answer["criterion"]

    def forget(self) -> None:
        self._ask("forget")

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self.process.communicate()
        self.directory.cleanup()


def available() -> tuple[list[Peer], list[str]]:
    """The peers that are installed, and a line on each that is not."""
    peers: list[Peer] = [SmLmer()]
    absent = []
    try:
        peers.append(MixedLm())
    except ImportError:
        absent.append("mixedlm is not installed (pip install '.[benchmark]').")
    try:
        if shutil.which("Rscript") is None:
            raise PackageNotFoundError("Rscript")
        peers.append(Lme4())
    except PackageNotFoundError as error:
        absent.append(f"lme4 is left out: {error.name} is not installed.")
    return peers, absent


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which fits do not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
