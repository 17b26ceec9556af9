"""The gallery's page is what its scripts say, and has a picture of each."""

from __future__ import annotations

from runpy import run_path

import pages

MAKE = run_path(str(pages.DOCS / "gallery" / "make.py"))


def test_page_is_up_to_date():
    written = (pages.DOCS / "gallery.md").read_text(encoding="utf-8")
    assert MAKE["page"](MAKE["scripts"]()) == written, "run docs/gallery/make.py"


def test_every_script_has_its_picture():
    folder = pages.DOCS / "gallery"
    pictures = {path.stem for path in folder.glob("*.png")}
    assert pictures == {script.stem for script in MAKE["scripts"]()}
