"""Blocks, HTML and PDF of one notebook: the same figures, and hostile text as text."""

import io
import itertools
import json
import re

import altair as alt
import pandas as pd
import pypdf
import pytest

from planner import display, document, drawings, markup, report, table_layout, team

HOSTILE = (
    '#panic("x") <script>alert(1)</script> `a` *b* $x$ ](http://e) \u202eexe {{ 7*7 }} 🚀 שלום 中文'
)
SEEN = '#panic("x") <script>alert(1)</script> `a` *b* $x$ ](http://e) exe {{ 7*7 }}'
CHART = alt.Chart(pd.DataFrame({"a": ["<b>x</b>"], "b": [2]}), description="A bar").mark_bar()
CHART = CHART.encode(x="b:Q", y="a:N")
META = {"team": "Team A", "date": "2026-11-24", "details": [["Valid until", "2027-02-22"]]}


def words(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def shown(*objects, tags=()):
    outputs = [{"output_type": "display_data", "data": thing.data} for thing in objects]
    # Through JSON, as in a file.
    return json.loads(
        json.dumps(
            {
                "cell_type": "code",
                "metadata": {"tags": list(tags)},
                "source": "secret_code()",
                "outputs": outputs,
            }
        )
    )


def notebook(*cells):
    return {"cells": [*cells, shown(display.end())]}


def pages(content):
    return pypdf.PdfReader(io.BytesIO(content)).pages


def flat(content):
    """The words of a PDF, without the places where lines and words may break."""
    found = " ".join(page.extract_text() for page in pages(content))
    return re.sub(r"\s+", " ", found.replace("\u200b", ""))


def test_one_notebook_gives_numbered_blocks():
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1234.5, None]})
    found = document.blocks(
        notebook(
            words("# Title\n\n## First\n\nWords **bold**\n\n- one\n- two\n\n#### Skips a level"),
            shown(display.table(frame, caption="A table")),
            shown(display.figure(CHART, "A chart"), display.callout("note", "*care*")),
            words("## Second\n\n### Part"),
            shown(display.key_figures([display.KeyFigure("Cost", "186", "k USD", "150 to 240")])),
            shown(display.text("hidden"), tags=["hide"]),
        )
    )
    kinds = [block["kind"] for block in found]
    assert kinds == [
        *["heading", "heading", "paragraph", "list", "heading", "table", "figure", "callout"],
        *["heading", "heading", "key_figures"],
    ]
    headings = [(b["level"], b.get("number")) for b in found if b["kind"] == "heading"]
    assert headings == [(1, None), (2, "1"), (3, "1.1"), (2, "2"), (3, "2.1")]
    table = found[5]
    assert [cell["text"] for row in table["rows"] for cell in row["cells"]] == [
        *["x", "1,234", "y", display.MISSING]
    ]
    assert [head["align"] for head in table["columns"]] == ["left", "right"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            {"output_type": "error", "ename": "KeyError", "evalue": "'a'"},
            "cell 1 stopped: KeyError",
        ),
        ({"output_type": "stream", "name": "stdout", "text": "hi"}, "cell 1 prints"),
        ({"output_type": "execute_result", "data": {"text/plain": "3"}}, "cell 1 shows text/plain"),
        ({"output_type": "display_data", "data": {"text/html": "<b>"}}, "planner.display or tag"),
    ],
)
def test_outputs_a_document_cannot_hold_are_refused(cell, message):
    code = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [cell]}
    with pytest.raises(document.DocumentError, match=message):
        document.blocks(notebook(code))


def test_a_notebook_that_did_not_end_is_refused():
    with pytest.raises(document.DocumentError, match="no end marker"):
        document.blocks({"cells": [words("# Half")]})


def test_summary_is_the_only_one():
    one = shown(display.summary({"cost": 3}))
    assert document.summary(notebook(one)) == {"cost": 3}
    with pytest.raises(document.DocumentError, match="2 summaries"):
        document.summary(notebook(one, one))
    with pytest.raises(ValueError, match="None instead of NaN"):
        display.summary({"cost": float("nan")})


def hostile_notebook():
    frame = pd.DataFrame({"name": [HOSTILE, "A" * 90, "line\nbreak"], "value": [1, 2, 3]})
    return notebook(
        words(f"# {display.escape(HOSTILE)}\n\n## S1 {display.escape(HOSTILE)}\n\n## S2\n\n## S3"),
        words("<script>alert(2)</script> ![i](http://evil/x.png) [bad](javascript:alert(3))"),
        shown(display.text(display.escape(HOSTILE))),
        shown(display.callout("warning", display.escape(HOSTILE))),
        shown(display.key_figures([display.KeyFigure(*[HOSTILE] * 5)])),
        shown(display.table(frame, {"name": HOSTILE, "value": "v"}, HOSTILE, HOSTILE)),
        shown(display.figure(CHART, HOSTILE, HOSTILE)),
    )


def test_hostile_text_prints_as_text():
    meta = dict.fromkeys(("team", "date", "subtitle", "footer"), HOSTILE)
    meta["details"] = [[HOSTILE, HOSTILE]]
    found = document.blocks(hostile_notebook())
    page = document.html(found, meta)
    assert "<script" not in page and "javascript:" not in re.sub(r">[^<]*<", "><", page)
    assert not re.search(r"<(img|iframe|link|object|embed)\b", page)
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "{{ 7*7 }}" in page
    assert "\u202e" not in page and "secret_code" not in page
    text = flat(document.pdf(found, meta))
    assert SEEN in text and "AAAA" in text


def test_html_needs_nothing_else():
    found = document.blocks(
        notebook(words("# T\n\n## A\n\n[m](https://e.org)"), shown(display.figure(CHART)))
    )
    page = document.html(found, META)
    assert "default-src 'none'" in page and 'aria-label="A bar"' in page and 'lang="en"' in page
    assert set(re.findall(r"https?://[^\s\"')<]+", page)) <= {
        *("http://www.w3.org/2000/svg", "https://e.org")
    }
    assert set(re.findall(r"url\((\w+):", page)) == {"data"}  # the fonts


def test_contents_lead_to_their_sections():
    page = document.html(document.blocks(notebook(words("## A\n\n## B\n\n## C"))), META)
    anchors = re.findall(r'href="#([\w-]+)"', page)
    assert anchors == ["section-1", "section-2", "section-3"]
    assert all(f'id="{anchor}"' in page for anchor in anchors)


def test_pdf_is_tagged_titled_and_numbered():
    body = "\n\n".join(f"## Section {number}\n\n" + "word " * 700 for number in range(1, 5))
    frame = pd.DataFrame({"a": range(80), "b": "words"})
    cells = [
        words(f"# A title\n\n{body}"),
        shown(display.table(frame)),
        shown(display.figure(CHART)),
    ]
    content = document.pdf(document.blocks(notebook(*cells)), META)
    reader = pypdf.PdfReader(io.BytesIO(content))
    assert reader.metadata.title == "A title"
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"] and b"pdfuaid" in content
    assert [entry.title.split()[-1] for entry in reader.outline] == ["1", "2", "3", "4"]
    last = len(reader.pages)
    assert f"{last} / {last}" in reader.pages[-1].extract_text()
    assert "Team A" in reader.pages[2].extract_text()
    assert sum("a b" in re.sub(r"\s+", " ", page.extract_text()) for page in reader.pages) >= 2
    fonts = {
        str(font.get_object()["/BaseFont"])
        for page in reader.pages
        for font in page["/Resources"]["/Font"].values()
    }
    assert any("SourceSans" in font for font in fonts), "the text font is not installed"


def test_html_and_pdf_show_the_same_figures():
    frame = pd.DataFrame(
        {"a": [f"row {i}" for i in range(30)], "b": [1000 / 7 * i for i in range(30)]}
    )
    found = document.blocks(notebook(words("# T"), shown(display.table(frame))))
    text = flat(document.pdf(found, META))
    cells = re.findall(r'<span class="cell">([^<]*)</span>', document.html(found, META))
    assert len(cells) == 60 and all(cell in text for cell in cells)


@pytest.mark.parametrize("columns", [2, 6, 14, 20])
def test_tables_stay_on_their_page(columns):
    frame = pd.DataFrame(
        [
            [f"Qwen/Qwen2.5-72B-Instruct-AWQ-{row}", *[12345.678 * row] * (columns - 1)]
            for row in range(3)
        ],
        columns=[f"c{i}" for i in range(columns)],
    )
    content = document.pdf(
        document.blocks(notebook(words("# T"), shown(display.table(frame)))), META
    )
    right = []

    def visit(text, _, matrix, *__):
        if "24,691" in text:
            right.append(matrix[4] + 22)

    for page in pages(content):
        page.extract_text(visitor_text=visit)
        width = float(page.mediabox.width)
        assert all(place < width - 50 for place in right)
    laid = table_layout.layout(json.loads(json.dumps(display.table(frame).data[display.TABLE])))
    assert laid["sideways"] == (columns > 14) and len(laid["widths"]) == columns


def test_svg_keeps_shapes_and_words_only():
    svg = markup.safe_svg(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink" width="9">'
        '<script>alert(1)</script><foreignObject/><image x:href="http://e/"/><a href="http://e">l</a>'
        '<g onclick="x()" style="fill:url(http://e)" clip-path="url(#c)" fill="url(http://e)">'
        '<text x="1">words</text></g></svg>'
    )
    assert "words" in svg and "url(#c)" in svg
    assert not re.search("script|foreign|image|onclick|style|http://e|<a", svg)
    with pytest.raises(document.DocumentError, match="cannot be read"):
        markup.safe_svg("<svg")
    with pytest.raises(document.DocumentError, match="width"):
        markup.safe_svg('<svg xmlns="http://www.w3.org/2000/svg" width="100%"/>')


def test_drawings_do_not_share_names():
    found = document.blocks(notebook(shown(display.figure(CHART), display.figure(CHART))))
    names = [set(re.findall(r'\bid="([^"]+)"', block["svg"])) for block in found]
    assert not names[0] & names[1]


def test_display_formats_and_refuses():
    frame = pd.DataFrame(
        {"v": [2e9, float("inf")], "l": [1e9, 1], "h": [3e9, 2], "ok": [True, False]}
    )
    column = display.Column("Memory", "GB", ",.1f", scale=1e-9, low="l", high="h")
    data = display.table(frame, {"v": column, "ok": "OK"}, strong="ok", total=True).data
    rows = data[display.TABLE]["rows"]
    assert rows[0]["cells"][0] == {"text": "2.0", "band": "1.0 to 3.0"}
    assert rows[1]["cells"][0]["text"] == "unlimited" and rows[1]["cells"][1]["text"] == "no"
    assert [row["emphasis"] for row in rows] == ["strong", "total"]
    listed = frame.to_dict("records")
    assert display.table(listed, {"v": column, "ok": "OK"}, strong="ok", total=True).data == data
    for table in (frame, listed):
        with pytest.raises(ValueError, match="no column 'x'"):
            display.table(table, {"x": "X"})
    assert not display.table([], {"x": "X"}).data[display.TABLE]["rows"]
    with pytest.raises(ValueError, match="use one of"):
        display.callout("shout", "x")
    with pytest.raises(ValueError, match="no alt text"):
        display.figure({"mark": "bar"})
    assert len(drawings.font_directories()) >= 1


def structure(node, depth=0):
    """Type, depth and alternative text of every element of a tagged PDF, in reading order."""
    node = node.get_object()
    if not isinstance(node, dict):
        return
    if "/S" in node:
        yield node["/S"], depth, str(node.get("/Alt", ""))
    children = node.get("/K", [])
    children = children.get_object() if hasattr(children, "get_object") else children
    for child in children if isinstance(children, list) else [children]:
        yield from structure(child, depth + 1)


@pytest.mark.slow
def test_the_report_of_a_team_is_accessible_and_short(tmp_path):
    report.render(team.TEAMS / "coding_assistant.toml", tmp_path)
    path = tmp_path / "coding_assistant" / "report.pdf"
    reader = pypdf.PdfReader(path)
    root = reader.trailer["/Root"].get_object()
    assert root["/MarkInfo"]["/Marked"] and str(root["/Lang"]).startswith("en")
    assert reader.metadata.title and root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert b"pdfuaid" in root["/Metadata"].get_object().get_data()
    assert all(page.get("/Tabs", "/S") == "/S" for page in reader.pages)
    found = list(structure(root["/StructTreeRoot"]))
    figures = [alt for kind, _, alt in found if kind == "/Figure"]
    assert len(figures) >= 4 and all(len(alt) > 40 for alt in figures)
    levels = [int(kind[2:]) for kind, *_ in found if re.fullmatch(r"/H[1-6]", kind)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    kinds = [kind for kind, *_ in found]
    assert kinds.count("/Table") == kinds.count("/THead") >= 10 and "/TH" in kinds
    titles = [re.sub(r"\s+", " ", entry.title) for entry in reader.outline if entry != []]
    numbers = [re.match(r"\d+|[A-E]", title)[0] for title in titles]
    assert numbers == [*map(str, range(1, 13)), *"ABCDE"]
    first = reader.outline[numbers.index("A")]
    assert reader.get_destination_page_number(first) <= 8, "the body has more than eight pages"
