"""Word, Excel and Great Tables: content, structure, nothing that is run."""

import re
import sys
import zipfile
from html.parser import HTMLParser

import docx
import openpyxl
import pytest
from tables.examples import HOSTILE_TEXTS, TABLES, large
from tables.words import bare, words

from sm_lmer.tables.render.docx import to_docx
from sm_lmer.tables.render.gt import to_gt
from sm_lmer.tables.render.xlsx import to_xlsx
from sm_lmer.tables.table import Cell, Row, Section, Span, Table


def sheet_of(table, tmp_path):
    path = tmp_path / "table.xlsx"
    to_xlsx(table, path)
    return openpyxl.load_workbook(path).active


def one_row(*cells, align="d"):
    spans = tuple(Span(f"m{k}") for k in range(len(cells)))
    return Table((spans,), (Section((Row(("x",), cells),)),), align=align)


def as_shown(value, form):
    """A cell's value in its number format."""
    if value is None or isinstance(value, str):
        return bare(value or "")
    form = re.sub(r"_.", "", form.partition(";")[0])
    decimals = len(form.partition(".")[2].partition("E")[0])
    if "E" in form:
        return bare(f"{value:.{decimals}e}")
    return bare(f"{value:{',' * ('#,' in form)}.{decimals}f}")


def said_by_sheet(sheet):
    return {
        as_shown(c.value, c.number_format) for row in sheet.iter_rows() for c in row
    }


def said_by_document(document):
    cells = [c.text for t in document.tables for row in t.rows for c in row.cells]
    return {bare(text) for text in [*cells, *(p.text for p in document.paragraphs)]}


# -- Word -----------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_word_says_everything(name, tmp_path):
    path = tmp_path / "table.docx"
    to_docx(TABLES[name]).save(path)
    said = said_by_document(docx.Document(path))
    assert set(words(TABLES[name])) <= said


def test_word_merges_spanners_and_titles():
    grid = to_docx(TABLES["ordinary"]).tables[0]
    top = grid.rows[0].cells
    assert top[2]._tc is top[3]._tc
    assert top[2].text == "Mixed models"
    title = next(row for row in grid.rows if row.cells[0].text == "Random effects")
    assert title.cells[0]._tc is title.cells[-1]._tc


def test_word_repeats_the_header_and_rules_the_table():
    grid = to_docx(TABLES["ordinary"]).tables[0]
    headers = ["tblHeader" in row._tr.xml for row in grid.rows]
    assert headers[:3] == [True, True, False]
    sizes = [set(re.findall(r'<w:top [^>]*w:sz="(\d+)"', r._tr.xml)) for r in grid.rows]
    assert sizes[0] == {"8"}
    assert sizes[2] == {"4"}
    assert sum(bool(own) for own in sizes) == 4
    assert re.search(r'<w:bottom [^>]*w:sz="8"', grid.rows[-1]._tr.xml)


def test_word_goes_into_a_document():
    document = docx.Document()
    document.add_paragraph("before")
    assert to_docx(TABLES["panels"], document) is document
    assert [p.text for p in document.paragraphs][:2] == ["before", "Panels"]
    to_docx(TABLES["untitled"], document)
    assert len(document.tables) == 2


def test_word_in_a_document_without_a_caption_style():
    document = docx.Document()
    style = document.styles["Caption"]
    style.element.getparent().remove(style.element)
    to_docx(TABLES["panels"], document)
    assert document.paragraphs[0].text == "Panels"


def test_word_fits_the_page():
    document = to_docx(large(20, 2))
    page = document.sections[0]
    room = page.page_width - page.left_margin - page.right_margin
    assert sum(c.width for c in document.tables[0].columns) <= room * 1.001


def test_word_texts_are_no_elements(tmp_path):
    path = tmp_path / "table.docx"
    to_docx(TABLES["hostile"]).save(path)
    source = zipfile.ZipFile(path).read("word/document.xml").decode("utf-8")
    assert "<script" not in source
    assert "instrText" not in source
    assert "&lt;script&gt;" in source


# -- Excel ------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_excel_says_everything(name, tmp_path):
    said = said_by_sheet(sheet_of(TABLES[name], tmp_path))
    assert set(words(TABLES[name])) <= said


@pytest.mark.parametrize(
    ("number", "value", "form"),
    [
        ("-0.885", -0.885, "0.000"),
        ("686", 686, "0"),
        ("1,234.5", 1234.5, "#,##0.0"),
        ("1.2e-05", 1.2e-05, "0.0E+00"),
        ("007", "007", "@"),
        ("+1.5", "+1.5", "@"),
        ("1,2", "1,2", "@"),
        ("1234567890123456", "1234567890123456", "@"),
        ("nan", "nan", "@"),
    ],
)
def test_excel_numbers(number, value, form, tmp_path):
    cell = sheet_of(one_row(Cell(number), align="r"), tmp_path)["B2"]
    assert (cell.value, cell.number_format) == (value, form)


def test_excel_numbers_with_something_around_are_text(tmp_path):
    cells = Cell("0.5", "(", ")"), Cell("0.5", stars="*"), Cell(prefix="12")
    sheet = sheet_of(one_row(*cells), tmp_path)
    assert [c.value for c in sheet[2]] == ["x", "(0.5)", "0.5*", "12"]


def test_excel_leaves_room_for_stars(tmp_path):
    rows = (Row(("x",), (Cell("-1.5"),)), Row(("",), (Cell("10.5", stars="**"),)))
    sheet = sheet_of(Table(((Span("y"),),), (Section(rows),)), tmp_path)
    assert sheet["B2"].number_format == "0.0_0_0"
    assert sheet["B3"].number_format == "@"


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, "+1", "-1+2", "@SUM(A1)", "=cmd|' '"])
def test_excel_has_no_formulas(text, tmp_path):
    row = Row((text,), (Cell(prefix=text), Cell("1", text)))
    table = Table(
        ((Span(text), Span(text)),),
        (Section((row,), text),),
        stub=(text,),
        title=text,
        notes=(text,),
    )
    cells = [c for row in sheet_of(table, tmp_path).iter_rows() for c in row]
    assert {c.data_type for c in cells if c.value is not None} == {"s"}
    assert all("@" in c.number_format for c in cells if c.value is not None)
    source = zipfile.ZipFile(tmp_path / "table.xlsx").read("xl/worksheets/sheet1.xml")
    assert b"<f>" not in source


# -- Great Tables -------------------------------------------------------------------


class Texts(HTMLParser):
    """Texts of table cells and notes, and the tags that were met."""

    def __init__(self):
        super().__init__()
        self.said, self.tags = [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.said.append("")

    def handle_data(self, data):
        if self.said:
            self.said[-1] += data


@pytest.mark.parametrize("name", TABLES)
def test_great_tables_says_everything(name):
    pytest.importorskip("great_tables", reason="great_tables is not installed")
    page = Texts()
    page.feed(to_gt(TABLES[name]).as_raw_html())
    assert set(words(TABLES[name])) <= {bare(text) for text in page.said}
    assert "script" not in page.tags


# -- packages that are not there -------------------------------------------------


@pytest.mark.parametrize(
    ("package", "extra", "render"),
    [
        ("docx", "docx", to_docx),
        ("openpyxl", "excel", lambda table: to_xlsx(table, "table.xlsx")),
        ("great_tables", "gt", to_gt),
    ],
)
def test_missing_package_names_the_extra(package, extra, render, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"sm_lmer\[{extra}\]"):
        render(TABLES["panels"])
