"""Typst and pictures: texts are strings, the source compiles, golden files."""

import sys
import time
from dataclasses import replace

import pytest
import typst
from hypothesis import given
from hypothesis import strategies as st
from tables.examples import HOSTILE_TEXTS, TABLES, large
from tables.regenerate import GOLDEN
from tables.words import bare, outside_strings, untypst, words

from sm_lmer.tables.render.image import FORMATS, image_source, to_image
from sm_lmer.tables.render.symbols import MINUS
from sm_lmer.tables.render.typst import string, to_typst
from sm_lmer.tables.table import Cell, Row, Section, Span, Table

SIGNATURES = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<svg"}


@pytest.mark.parametrize("name", TABLES)
def test_golden_file(name):
    assert to_typst(TABLES[name]) == (GOLDEN / f"{name}.typ").read_text("utf-8")


def test_speed():
    table = large(50, 30)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        to_typst(table)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1


@pytest.mark.parametrize("name", TABLES)
def test_every_text_is_there(name):
    said = untypst(to_typst(TABLES[name])).splitlines()
    for text in words(TABLES[name]):
        assert text in said, text


def test_every_table_compiles_in_one_document():
    sources = "\n".join(map(to_typst, TABLES.values()))
    document = f"#set page(width: 60cm, height: auto)\n{sources}\nSee @hsb."
    assert typst.compile(document.encode(), format="pdf").startswith(b"%PDF")


def test_label_of_any_text_can_be_referred_to():
    table = TABLES["hostile"]
    document = f"{to_typst(table)} #ref(label({string(table.label)}))"
    assert typst.compile(document.encode(), format="svg").startswith(b"<svg")


def test_hostile_texts_are_no_code():
    plain = replace(TABLES["hostile"], title="t", notes=("n",) * 9, label="l")
    hostile = replace(plain, title='#read("/etc/passwd")', notes=HOSTILE_TEXTS + ("",))
    assert outside_strings(to_typst(hostile)) == outside_strings(to_typst(plain))


@given(st.text(min_size=1, max_size=12))
def test_any_text_is_a_string(text):
    row = Row((text,), (Cell(prefix=text),))
    table = Table(((Span(text),),), (Section((row,)),))
    same = Table(((Span(""),),), (Section((Row(("",), (Cell(prefix=" "),)),)),))
    assert outside_strings(to_typst(table)) == outside_strings(to_typst(same))


def test_neighbouring_spanners_have_rules_of_their_own():
    source = to_typst(TABLES["hostile"])
    assert "table.hline(start: 1, end: 3, stroke: 0.05em)" in source
    assert "table.hline(start: 3, end: 4, stroke: 0.05em)" in source


def test_numbers_are_cut_at_the_point():
    source = to_typst(TABLES["ordinary"])
    assert f'd(1, "{MINUS}0", ".885")' in source
    assert 'd(0, "(0", ".406)")' in source


# -- pictures -------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_picture_formats(suffix, tmp_path):
    path = tmp_path / f"table.{suffix}"
    picture = to_image(TABLES["hostile"], path)
    assert picture.startswith(SIGNATURES[suffix])
    assert path.read_bytes() == picture
    assert to_image(TABLES["panels"], suffix).startswith(SIGNATURES[suffix])


def test_picture_has_title_and_notes_but_no_number():
    table = TABLES["ordinary"]
    said = untypst(image_source(table))
    assert bare(table.title) in said
    assert all(bare(note) in said for note in table.notes)
    assert "figure(" not in image_source(table)


def test_resolution_makes_pictures_larger():
    low, high = (to_image(TABLES["panels"], "png", ppi=ppi) for ppi in (72, 144))
    widths = [int.from_bytes(png[16:20], "big") for png in (low, high)]
    assert widths[1] == pytest.approx(2 * widths[0], abs=2)


@pytest.mark.parametrize("name", ["table.bmp", "table", "jpeg"])
def test_other_pictures_are_refused(name):
    with pytest.raises(ValueError, match="use one of png, pdf, svg"):
        to_image(TABLES["panels"], name)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(ImportError, match=r"sm_lmer\[image\]"):
        to_image(TABLES["panels"], "png")
