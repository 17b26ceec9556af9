"""The package as a whole: its page, its documentation, its imports."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from graphlib import TopologicalSorter
from importlib.metadata import requires, version
from pathlib import Path

import pandas as pd
import pytest
from registry import fitted

import sm_lmer
import sm_lmer.api as sml
from sm_lmer.formula.grammar import FormulaError, parse

ROOT = Path(__file__).parent.parent
PACKAGE = Path(sm_lmer.__file__).parent
PAGES = [
    "README.md",
    *(
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if "_build" not in path.parts
    ),
]


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(
        rf"^```{language}\n(.*?)^```", text(page), re.DOTALL | re.MULTILINE
    )


def output_of(code):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "<documentation>", "exec"), {})
    return out.getvalue()


def words(summary):
    """A summary without its spacing, and without what may differ between machines."""
    return re.sub(r"\(\d+ evaluations?\)", "", summary).replace("=", "").split()


def test_examples_of_the_readme_print_what_is_shown():
    code, shown = blocks("README.md", "python"), blocks("README.md", "text")
    assert words(output_of(code[0])) == words(shown[0])
    assert words(output_of("\n".join(code))) == words("\n".join(shown))


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(page))
    assert all(((ROOT / page).parent / link).exists() for link in links)


def test_every_extra_is_in_the_readme():
    extras = set(re.findall(r"extra == ['\"](\w+)['\"]", " ".join(requires("sm_lmer"))))
    install = text("README.md").split("## Install")[1].split("##")[0]
    assert set(re.findall(r"`(\w+)`", install)) >= extras


def test_every_data_set_has_a_section():
    headings = re.findall(
        r"^\| `(load_\w+)\(\)` \|", text("docs/datasets.md"), re.MULTILINE
    )
    assert sorted(headings) == sorted(sml.datasets.__all__)


def rows(page, section):
    """The code in the first two columns of the table under a heading."""
    (body,) = [p for p in text(page).split("\n## ") if p.startswith(section)]
    lines = [line for line in body.splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\)\|", line)[1:3] for line in lines]
    return [
        [re.findall(r"`([^`]+)`", cell.replace("\\|", "|")) for cell in row]
        for row in cells
    ]


@pytest.mark.parametrize(
    "cells", rows("docs/formulas.md", "Random terms"), ids=lambda c: c[0]
)
def test_random_terms_of_the_formula_page_stand_for_what_it_says(cells):
    (form,), expected = cells
    specs = parse(f"y ~ {form}").random
    assert [s.text if s.diagonal else f"({s.text})" for s in specs] == expected


@pytest.mark.parametrize(
    "cells", rows("docs/formulas.md", "Refused"), ids=lambda c: c[0]
)
def test_forms_that_the_formula_page_calls_errors(cells):
    with pytest.raises(FormulaError, match=r"\^$"):
        parse(f"y ~ {cells[0][0]}", ["y", "x", "g"])


def test_names_for_users_of_lme4_exist():
    names = set(re.findall(r"\bm\.(\w+)", text("docs/from-lme4.md")))
    assert [name for name in names if not hasattr(fitted("sleepstudy"), name)] == []


def test_changelog_is_about_this_version():
    assert version("sm_lmer") == sm_lmer.__version__
    assert "## Unreleased" in text("CHANGELOG.md")


def test_public_names_exist_and_the_package_is_typed():
    assert all(hasattr(sml, name) for name in sml.__all__)
    assert all(hasattr(sm_lmer, name) for name in sm_lmer.__all__)
    assert (PACKAGE / "py.typed").exists()


# Imports -----------------------------------------------------------------------------


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(module):
    """Modules that a module imports when it is itself imported."""
    path = MODULES[module]
    package = (
        module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    )
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return found


def test_imports_run_one_way():
    ours = {module: imported(module) & set(MODULES) - {"sm_lmer"} for module in MODULES}
    assert list(TopologicalSorter(ours).static_order())  # raises CycleError


@pytest.mark.parametrize(
    "module", [m for m in MODULES if ".core." in m or ".linalg" in m]
)
def test_numerics_know_nothing_of_data_frames(module):
    roots = {name.split(".")[0] for name in imported(module)}
    assert roots.isdisjoint({"pandas", "patsy", "formulaic", "statsmodels"})


def test_no_data_frame_of_a_loader_is_shared():
    first = sml.datasets.load_pastes()
    first.loc[0, "strength"] = 0.0
    assert not pd.DataFrame.equals(first, sml.datasets.load_pastes())
