"""Every block of code of the documentation runs, and prints the published numbers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pages
import pytest

PUBLISHED = Path(__file__).parent / "published"
TUTORIALS = sorted(p.stem for p in (pages.DOCS / "tutorials").glob("*.md"))
TUTORIALS.remove("index")


@cache
def printed(page):
    return pages.run(page)


def words(text):
    """A text without its spacing, and without how a version of pandas writes None."""
    return " ".join("NaN" if word == "None" else word for word in text.split())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", pages.pages(), ids=lambda p: p.stem)
def test_code_runs(page):
    printed(page)


@pytest.mark.parametrize("name", TUTORIALS)
def test_tutorial_prints_what_was_published(name):
    numbers = json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf-8"))
    assert numbers
    text = words(printed(pages.DOCS / "tutorials" / f"{name}.md"))
    assert [n for n in numbers if words(n["shows"]) not in text] == []
