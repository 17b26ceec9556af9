"""HTML: well-formed, accessible, nothing injected, decimal points aligned."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables.examples import HOSTILE, HOSTILE_TEXTS, TABLES

from sm_lmer.tables.render.html import (
    FIGURE_SPACE,
    THEMES,
    to_html,
    to_html_document,
)
from sm_lmer.tables.render.symbols import minus
from sm_lmer.tables.table import Cell, Row, Section, Span, Table

ALLOWED = {
    *("div", "style", "table", "caption", "colgroup", "thead", "tbody", "tfoot"),
    *("tr", "th", "td", "span", "br"),
}


class Tags(HTMLParser):
    """Names, attributes and text of a fragment as a browser would take it."""

    def __init__(self, text):
        super().__init__()
        self.names, self.attributes, self.texts = set(), set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def parsed(table, **options):
    return ElementTree.fromstring(to_html(table, **options)).find("table")


def text_of(element):
    lines = ElementTree.tostring(element, "unicode").replace("<br />", "\n")
    text = "".join(ElementTree.fromstring(lines).itertext())
    return text.lstrip(FIGURE_SPACE)


def grid(table):
    """Texts of the body with what spans several rows or columns repeated."""
    out = []
    for body in parsed(table).findall("tbody"):
        pending = {}
        for tr in body.findall("tr"):
            row, cells = {}, iter(tr)
            for column in range(len(table.stub) + table.width):
                if pending.get(column, (0, ""))[0]:
                    left, text = pending[column]
                    pending[column] = left - 1, text
                    row[column] = text
                elif column not in row and (cell := next(cells, None)) is not None:
                    pending[column] = int(cell.get("rowspan", 1)) - 1, text_of(cell)
                    for k in range(int(cell.get("colspan", 1))):
                        row[column + k] = text_of(cell)
            assert next(cells, None) is None
            out.append([row[k] for k in sorted(row)])
    return out


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_is_where_it_belongs(name):
    table = TABLES[name]
    expected = []
    for section in table.sections:
        if section.title:
            expected.append([section.title] * (len(table.stub) + table.width))
        above = ("",) * len(table.stub)
        for row in section.rows:
            above = tuple(
                above[j] if not any(row.stub[: j + 1]) else row.stub[j]
                for j in range(len(row.stub))
            )
            expected.append([*above, *(minus(cell).text for cell in row.cells)])
    assert grid(table) == expected


@pytest.mark.parametrize("name", TABLES)
def test_accessible(name):
    table = TABLES[name]
    root = parsed(table)
    caption = root.find("caption")
    assert (caption is None) == (not table.title)
    if caption is not None:
        assert text_of(caption) == table.title
    assert len(root.findall("tbody")) == len(table.sections)
    scopes = {th.get("scope") for th in root.iter("th")}
    assert scopes <= {"col", "colgroup", "row", "rowgroup"}
    assert all(text_of(th).strip() for th in root.iter("th"))
    for th in root.iter("th"):
        assert (th.get("scope") == "row") == (th in list(rows_of_labels(root)))
    groups = [int(group.get("span", 1)) for group in root.findall("colgroup")]
    assert sum(groups) == len(table.stub) + table.width
    notes = [text_of(td) for td in root.iterfind("tfoot/tr/td")]
    assert notes == list(table.notes)


def rows_of_labels(root):
    for tr in root.iterfind("tbody/tr"):
        yield from (th for th in tr.findall("th") if th.get("scope") != "rowgroup")


def test_headers_cover_their_columns():
    rows = parsed(TABLES["ordinary"]).findall("thead/tr")
    first = [(text_of(c), c.get("colspan"), c.get("scope")) for c in rows[0]]
    assert first == [
        ("", None, None),
        ("", None, None),
        ("Mixed models", "2", "colgroup"),
    ]
    assert rows[0][0].get("rowspan") == "2"
    assert [text_of(c) for c in rows[1]] == ["OLS", "REML", "ML"]


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_is_injected(theme):
    table = TABLES["hostile"]
    for text in (to_html(table, theme=theme), to_html_document(table, theme=theme)):
        tags = Tags(text)
        assert tags.names <= ALLOWED | {"html", "head", "meta", "title", "body"}
        assert not [a for a in tags.attributes if a.startswith("on")]
        assert "".join(tags.texts).count(HOSTILE) >= 5
        assert text.count("</style>") == text.count("<style>")


def test_hostile_texts_come_back():
    read = grid(TABLES["hostile"])
    assert [row[0] for row in read[1:9]] == list(HOSTILE_TEXTS)
    assert [row[2] for row in read[1:9]] == list(HOSTILE_TEXTS)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=15))
def test_any_text_comes_back(text):
    row = Row(("x",), (Cell(prefix=text),))
    table = Table(((Span("y"),),), (Section((row,)),), title="t" + text, label=text)
    assert grid(table)[0][1].strip() == text.lstrip(FIGURE_SPACE).strip()
    assert text_of(parsed(table).find("caption")) == "t" + text


def test_no_colour_and_nothing_from_elsewhere():
    for theme in THEMES:
        text = to_html(TABLES["ordinary"], theme=theme)
        colours = re.findall(r"(?:color|background|fill)[-a-z]*:([^;}]+)", text)
        assert set(colours) == {"inherit", "none", "rgba(127,127,127,.14)"}
        assert set(re.findall(r"solid ([^;}]+)", text)) == {"currentColor"}
        assert not re.search(r"https?:|url\(|@import|src=|href=", text)
        assert "1px solid currentColor" in text


def test_decimal_points_stand_at_one_line():
    root = parsed(TABLES["ordinary"])
    before = [cell[0] for cell in root.iterfind("tbody/tr/td") if len(cell) == 2]
    assert len(before) > 20
    named = dict(
        re.findall(r"\.sm-w(\d+)\{min-width:([\d.]+)ch\}", to_html(TABLES["ordinary"]))
    )
    assert all(float(size) == int(name) / 2 for name, size in named.items())
    for span in before:
        width = float(named[re.search(r"sm-w(\d+)", span.get("class")).group(1)])
        assert len(span.text) <= width
        assert span.text[-1].isdigit()


def test_label_is_the_id():
    assert parsed(TABLES["ordinary"]).get("id") == "tbl-hsb"
    assert parsed(TABLES["hostile"]).get("id") == "tbl-a_b-x-y"
    assert parsed(TABLES["untitled"]).get("id") is None


def test_themes():
    table = TABLES["ordinary"]
    assert "sm-shaded" not in to_html(table).split("</style>")[1]
    striped = parsed(table, theme="striped")
    shaded = [tr.get("class") for tr in striped.find("tbody").findall("tr")]
    assert shaded == [*["sm-shaded"] * 2, None, None, *["sm-shaded"] * 2, *[None] * 3]
    assert "sm-rules" not in parsed(table, theme="plain").get("class")
    with pytest.raises(ValueError, match="unknown theme 'dark' of HTML; choose one of"):
        to_html(table, theme="dark")


def test_ascii_minus_on_request():
    assert "\u2212" not in to_html(TABLES["ordinary"], unicode_minus=False)
    assert "[\u22122" in to_html(TABLES["ordinary"])


def test_page():
    page = to_html_document(TABLES["ordinary"], language="en-GB")
    assert page.startswith('<!DOCTYPE html>\n<html lang="en-GB">')
    assert "<title>Mathematics achievement</title>" in page
    assert "<title>Table</title>" in to_html_document(TABLES["untitled"])
    assert ElementTree.fromstring(page.split("\n", 1)[1]).tag == "html"
