"""Plain text, Markdown and CSV: alignment, escaping, golden files, speed."""

import csv
import io
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables.examples import HOSTILE_TEXTS, TABLES, large
from tables.regenerate import FORMATS, GOLDEN

from sm_lmer.tables.render.alignment import aligned, display_width
from sm_lmer.tables.render.csv import to_csv
from sm_lmer.tables.render.headers import flattened
from sm_lmer.tables.render.markdown import escaped, to_markdown
from sm_lmer.tables.render.symbols import identifier, minus, printable
from sm_lmer.tables.render.text import to_text
from sm_lmer.tables.table import EMPTY, Cell, Row, Section, Span, Table

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


def one_by_one(text, header="y", **more):
    """A table of one cell with a label and a header."""
    row = Row((text,), (Cell(prefix=text),))
    return Table(((Span(header),),), (Section((row,)),), **more)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", TABLES)
def test_golden_file(name, suffix):
    expected = (GOLDEN / f"{name}.{suffix}").read_bytes().decode("utf-8")
    assert FORMATS[suffix](TABLES[name]) == expected


@pytest.mark.parametrize("suffix", FORMATS)
def test_speed(suffix):
    table = large(50, 30)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        FORMATS[suffix](table)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1


# -- alignment ------------------------------------------------------------------


def test_points_of_a_column_are_below_each_other():
    numbers = ["11.728", "-0.885", "1234.5", "0.25", ".042"]
    cells = [Cell(n, "(", ")", "*" * k) for k, n in enumerate(numbers)]
    texts = aligned(cells, "d")
    assert len({text.index(".") for text in texts}) == 1
    assert len({len(text) for text in texts}) == 1


def test_an_integer_ends_at_the_point_and_so_does_a_mantissa():
    texts = aligned([Cell("686"), Cell("1.5"), Cell("1e-10"), Cell("1,024")], "d")
    point = texts[1].index(".")
    assert texts[0][point - 1] == "6"
    assert texts[2][point] == "e"
    assert texts[3][point - 1] == "4"


def test_intervals_are_a_block_of_their_own():
    cells = [
        Cell("1.5"),
        Cell(prefix="[10.25, 13.1]", numeric=True),
        Cell(prefix="[-0.5, 3.8]", numeric=True),
    ]
    number, first, second = aligned(cells, "d")
    assert first.index(".") == second.index(".")
    assert number == "     1.5     "


def test_stars_hang_over_a_right_aligned_column():
    texts = aligned([Cell("1.5", stars="**"), Cell("10"), Cell(prefix="no")], "r")
    assert texts == ["1.5**", " 10  ", " no  "]


def test_wide_and_combining_characters_count_as_a_terminal_shows_them():
    assert display_width("日本語") == 6
    assert display_width("e\u0301") == 1
    assert display_width("R²τ₀₀") == 5
    lines = to_text(TABLES["hostile"]).splitlines()
    header = next(line for line in lines if line.startswith("R² "))
    wide = next(line for line in lines if "(-1.5)" in line and "日本語" in line)
    other = next(line for line in lines if "(-1.5)" in line and line.startswith("=1+1"))
    place = display_width(wide[: wide.index("(-1.5)")])
    assert place == display_width(other[: other.index("(-1.5)")])
    assert display_width(header) <= display_width(lines[1])


@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from("dlcr"))
def test_texts_of_a_column_have_one_width(texts, align):
    cells = [Cell("1.5", text, text) for text in texts]
    cells += [Cell(prefix=text, numeric=True) for text in texts]
    assert len({display_width(t) for t in aligned(cells, align, least=5)}) == 1


# -- symbols --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Cell("-1.5"), "\u22121.5"),
        (Cell("1.2e-05"), "1.2e\u221205"),
        (Cell("-1", "a-b "), "a-b \u22121"),
        (Cell(prefix="x-1"), "x-1"),
        (Cell(prefix="[-.5, 1e-3]", numeric=True), "[\u2212.5, 1e\u22123]"),
        (Cell(prefix="x-1 to -1", numeric=True), "x-1 to \u22121"),
        (Cell(prefix="HC1-robust 2020-01", numeric=True), "HC1-robust 2020-01"),
    ],
)
def test_minus_signs(cell, expected):
    assert minus(cell).text == expected


def test_text_keeps_ascii_unless_asked():
    table = TABLES["ordinary"]
    assert "\u2212" not in to_text(table)
    assert "[\u22122.368, 0.598]" in to_text(table, unicode_minus=True)
    assert "\u2212" not in to_markdown(table, unicode_minus=False)
    assert "\u22120.885" in to_markdown(table)


def test_control_characters_do_not_reach_a_terminal():
    text = one_by_one("\x1b[2J\x9bx\r\ny\ud800")
    for suffix, render in FORMATS.items():
        out = render(text)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
        mark = (
            "?" if suffix == "tex" else "\N{REPLACEMENT CHARACTER}"
        )  # pdfLaTeX has none
        assert out.count(mark) >= 3


@given(st.text())
def test_printable_texts_can_be_written(text):
    assert printable(text).encode("utf-8").decode("utf-8") == printable(text)


def test_labels_become_identifiers():
    assert identifier("tbl-a") == "tbl-a"
    assert identifier('x" onload="y') == "tbl-x-onload-y"


# -- plain text -----------------------------------------------------------------


def test_headers_stand_over_their_columns():
    lines = to_text(TABLES["ordinary"]).splitlines()
    spanner, rule, models = lines[2:5]
    start, end = rule.index("-"), len(rule)
    assert start <= spanner.index("Mixed") < end
    assert start <= models.index("REML") < models.index("ML", start + 20) < end
    assert models.index("OLS") < start


def test_a_wide_header_widens_its_columns():
    table = replace(
        TABLES["two_stubs"],
        headers=((Span("w" * 60, 2),), (Span("a"), Span("b"))),
    )
    lines = to_text(table).splitlines()
    assert max(map(len, lines)) == len(lines[0]) == len("Num.Obs.  Outcome  ") + 60


def test_lines_have_no_space_at_their_end():
    for table in TABLES.values():
        assert not re.search(r"[ \t]$", to_text(table), re.M)


def test_long_notes_are_wrapped_at_the_width_of_the_table():
    table = one_by_one("x", notes=("word " * 40,))
    lines = to_text(table).splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(lines).count("word") == 40


def test_a_text_of_several_lines_takes_as_many():
    text = to_text(TABLES["hostile"])
    first, second = text.splitlines()[-13:-11]
    assert first.startswith("line one ")
    assert first.split()[-2:] == ["x", "1e-10"]
    assert re.fullmatch(r"line two +y", second)


def test_a_table_without_rows():
    empty = Table(headers=((Span("OLS"),),), sections=())
    assert "OLS" in to_text(empty)
    assert to_markdown(empty).count("\n") == 2
    assert to_csv(empty) == ",OLS\n"


# -- Markdown -------------------------------------------------------------------


def unescaped(text):
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def cells_of(line):
    """Cells of a row of a pipe table, as GitHub splits it."""
    pieces = re.findall(r"(?:\\.|[^\\|])*", line.strip()[1:-1])
    kept = [p for k, p in enumerate(pieces) if p or (k and pieces[k - 1] == "")]
    return [unescaped(piece.strip()) for piece in kept]


def test_every_row_of_a_pipe_table_has_all_cells():
    for table in TABLES.values():
        block = to_markdown(table).split("\n\n")[0].splitlines()
        bars = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in block}
        assert bars == {len(table.stub) + table.width + 1}
        assert len({display_width(line) for line in block}) == 1


def test_hostile_texts_come_back_from_markdown():
    block = to_markdown(TABLES["hostile"]).split("\n\n")[0].splitlines()
    for text, line in zip(HOSTILE_TEXTS, block[3:], strict=False):
        assert cells_of(line)[0] == text


@given(TEXTS)
def test_no_character_of_markdown_is_left_bare(text):
    out = escaped(text)
    assert unescaped(out) == text
    assert not re.search(r"[\\`*_\[\]{}<>#|$~^&@]", re.sub(r"\\.", "", out))


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("+ p < 0.1", r"\+ p \< 0.1"),
        ("- item", r"\- item"),
        ("1. first", r"1\. first"),
        ("(a) first", r"(a\) first"),
        (": term", r"\: term"),
        ("Table: a caption", r"Table\: a caption"),
        ("# heading", r"\# heading"),
        ("Standard errors: HC1.", "Standard errors: HC1."),
    ],
)
def test_a_note_is_a_paragraph(note, expected):
    assert to_markdown(one_by_one("x", notes=(note,))).endswith(f"\n\n{expected}\n")


def test_caption_and_label():
    assert "\n\n: A\\_b {#tbl-c}\n" in to_markdown(
        one_by_one("x", title="A_b", label="c")
    )
    assert "\n\n: A\n" in to_markdown(one_by_one("x", title="A"))
    assert ":" not in to_markdown(one_by_one("x")).splitlines()[0]


def test_a_markdown_parser_reads_the_texts_as_they_were():
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    for name, table in TABLES.items():
        tokens = parser.parse(to_markdown(table))
        kinds = {c.type for t in tokens for c in t.children or ()}
        assert kinds <= {"text", "strong_open", "strong_close", "text_special"}, name
        read = [
            "".join(c.content for c in token.children)
            for token in tokens
            if token.type == "inline"
        ]
        for section in table.sections:
            for row in section.rows:
                for text in (*row.stub, *(minus(c).text for c in row.cells)):
                    assert text.replace("\n", " ") in read


# -- CSV ------------------------------------------------------------------------


def test_csv_is_a_rectangle_that_holds_every_cell():
    for table in TABLES.values():
        rows = list(csv.reader(io.StringIO(to_csv(table))))
        assert {len(row) for row in rows} == {len(table.stub) + table.width}
        read = [text.lstrip("'") for row in rows for text in row]
        for section in table.sections:
            for row in section.rows:
                assert all(cell.text in read for cell in row.cells)
        assert all(note in read for note in table.notes)


def test_csv_without_annotations_is_header_and_rows():
    table = TABLES["ordinary"]
    count = sum(len(section.rows) for section in table.sections)
    rows = list(csv.reader(io.StringIO(to_csv(table, annotations=False))))
    assert len(rows) == 1 + count
    assert rows[0] == ["", "OLS", "Mixed models / REML", "Mixed models / ML"]
    assert flattened(table) == rows[0][1:]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " ="])
def test_no_text_is_a_formula_of_a_spreadsheet(start):
    rows = list(csv.reader(io.StringIO(to_csv(one_by_one(f"{start}1+cmd|' /C x'!A0")))))
    assert all(text.startswith("'") for text in rows[1])


def test_a_number_is_no_formula():
    cells = (
        Cell("-1.5", stars="*"),
        Cell(prefix="-1.5 (0.2)", numeric=True),
        Cell(prefix="[-1, 2]", numeric=True),
        EMPTY,
        Cell("1", "=SUM(", ")"),
    )
    table = Table((tuple(Span("y") for _ in cells),), (Section((Row(("x",), cells),)),))
    (row,) = list(csv.reader(io.StringIO(to_csv(table))))[1:]
    assert row[1:] == ["-1.5*", "-1.5 (0.2)", "[-1, 2]", "", "'=SUM(1)"]
