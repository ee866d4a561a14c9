"""The report in Chinese: nothing left in English, numbers as Chinese write them, a font for all."""

import ast
import io
import json
import re
from datetime import date
from pathlib import Path
from string import Formatter

import pandas as pd
import pypdf
import pytest

from planner import display, document, drawings, language, phrases, team
from planner.language import say

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = json.loads((ROOT / "notebooks" / "report.ipynb").read_text(encoding="utf-8"))
CHINESE = language.translations("zh")
TEAMS = sorted(path.stem for path in team.TEAMS.glob("*.toml"))
CHINESE_TEAM = "guide_small_team"
SPEAKING = sorted(
    path.stem
    for path in (ROOT / "planner").glob("*.py")
    if re.search(r"^from planner.language import .*\bsay\b", path.read_text(), re.M)
    and path.stem != "display"  # its constants are names of fonts and types
)


@pytest.fixture(autouse=True)
def english_again():
    yield
    language.use("en")


@pytest.fixture
def spoken(monkeypatch):
    """The report notebook, run here in a language; returns it with its outputs."""
    read = team.read

    def run(name, tongue):
        def asked(*arguments):
            return read(*arguments).model_copy(update={"language": tongue})

        names, cells = {}, []
        with monkeypatch.context() as patch:
            patch.setattr(team, "read", asked)
            for cell in NOTEBOOK["cells"]:
                code = cell["cell_type"] == "code"
                cells.append({**cell, "outputs": ran(cell, names, name)} if code else cell)
        return {"cells": cells}

    return run


def ran(cell, names, name):
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if "parameters" in cell["metadata"].get("tags", []):
        names["team_path"] = f"data/teams/{name}.toml"
    shown = None
    if last is not None:
        shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    data = getattr(shown, "data", None)
    return json.loads(json.dumps([{"output_type": "display_data", "data": data}] if data else []))


def pdf(notebook):
    summary = document.summary(notebook)
    meta = {"details": [], **summary["document"], "team": summary["team"], "date": summary["date"]}
    meta["language"] = summary.get("language", "en")
    return document.pdf(document.blocks(document.translated(notebook)), meta), meta


def check_all_is_said(notebook):
    document.translated(notebook)
    assert not language.missing(), "\n".join(
        ["planner/locales/zh.toml lacks:", *sorted(map(repr, language.missing()))]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TEAMS if name != CHINESE_TEAM])
def test_nothing_stays_english(spoken, name):
    check_all_is_said(spoken(name, "zh"))


def test_report_in_chinese(spoken):
    notebook = spoken(CHINESE_TEAM, "zh")
    check_all_is_said(notebook)
    content, meta = pdf(notebook)
    assert b"pdfuaid" in content  # PDF/UA refuses a character without a glyph
    reader = pypdf.PdfReader(io.BytesIO(content))
    text = re.sub(r"\s+", "", "".join(page.extract_text() for page in reader.pages))
    assert re.sub(r"\s+", "", CHINESE["Contents"]) in text
    assert re.search(r"\d{4}年\d{1,2}月\d{1,2}日", text) and "万" in text
    fonts = [
        font.get_object()
        for page in reader.pages
        for font in page["/Resources"]["/Font"].get_object().values()
    ]
    names = {str(font["/BaseFont"]) for font in fonts}
    assert any("NotoSansSC-Regular" in name for name in names)
    for font in fonts:
        inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        description = inner["/FontDescriptor"].get_object()
        assert any(f"/FontFile{kind}" in description for kind in ("", "2", "3"))
    page = document.html(document.blocks(document.translated(notebook)), meta)
    assert '<html lang="zh-CN">' in page and "表" in page


@pytest.mark.slow
def test_english_is_what_it_was(spoken):
    first = spoken(CHINESE_TEAM, "en")
    assert document.translated(first) == first and "language" not in document.summary(first)
    spoken(CHINESE_TEAM, "zh")
    texts = [json.dumps(made) for made in (first, spoken(CHINESE_TEAM, "en"))]
    # The drawings of one process number their clips on.
    assert len({re.sub(r"\bclip\d+", "clip", text) for text in texts}) == 1
    named = json.dumps(first, ensure_ascii=False).replace("五至十人小团队，100 GB 内存", "")
    named = re.sub("小团队|八名成员.*?场景 2。", "", named)
    assert not re.search("[\u3400-\u9fff]", named)


def test_english_loads_no_chinese_font(monkeypatch):
    asked = []
    known = drawings.font_directories

    def seen(chinese=False):
        asked.append(chinese)
        return known(chinese)

    monkeypatch.setattr(drawings, "font_directories", seen)
    document._fonts.cache_clear()
    notebook = {"cells": [
        {"cell_type": "markdown", "metadata": {}, "source": "# T\n\nwords"},
        {"cell_type": "code", "metadata": {}, "source": "", "outputs": [
            {"output_type": "display_data", "data": display.end().data}]},
    ]}  # fmt: skip
    document.pdf(document.blocks(notebook), {"details": []})
    assert asked == [False]
    document.pdf(document.blocks(notebook), {"details": [], "team": "研发团队"})
    assert asked == [False, True]


def test_hostile_name_stays_text_in_chinese():
    hostile = '#panic("x") <script>alert(1)</script> {decision} {0} `a` 鑫 龘 中文'
    language.use("zh")
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": f"# {display.escape(hostile)}"},
        {"cell_type": "code", "metadata": {}, "source": "", "outputs": [
            {"output_type": "display_data", "data": shown.data} for shown in (
                display.text(say("{rival} (not allowed)", rival=display.escape(hostile))),
                display.table(pd.DataFrame({"a": [hostile]}), {"a": "Option"}, hostile),
                display.end(),
            )]},
    ]  # fmt: skip
    meta = {"team": hostile, "date": "2026-11-24", "details": [], "language": "zh"}
    found = document.blocks({"cells": cells})
    page = document.html(found, meta)
    assert "<script" not in page and "&lt;script&gt;" in page and "{decision}" in page
    text = " ".join(p.extract_text() for p in pypdf.PdfReader(
        io.BytesIO(document.pdf(found, meta))).pages)  # fmt: skip
    assert "#panic(" in text and "{0}" in text and "鑫" in text
    assert "2026年11月24日" in re.sub(r"\s+", "", text)


def test_money_and_numbers():
    with language.speaking("zh"):
        written = [phrases.money(*pair) for pair in (
            (139_012, "USD"), (59_512, "CNY"), (-59_512, "CNY"), (812, "EUR"), (99_960, "USD"),
            (1.234e8, "CNY"), (5e6, "SEK"), (0, "CNY"), (float("inf"), "CNY"),
        )]  # fmt: skip
        assert written == [
            "13.9 万美元", "¥59,500", "-¥59,500", "812 欧元", "10 万美元", "1.23 亿元", "500 万SEK",
            "¥0", "无上限",
        ]  # fmt: skip
        assert phrases.day(date(2026, 3, 4)) == "2026年3月4日"
        assert phrases.thousands("CNY")["unit"] == "万元"
        assert phrases.thousands("CNY")["scale"] == pytest.approx(1e-4)
        assert phrases.seconds(0.25) == "250 毫秒" and phrases.count(3, "server") == "3 台服务器"
        assert phrases.several(2, "DGX B200") == "2 × DGX B200"
    assert phrases.money(139_012, "USD") == "139,000 USD"
    with pytest.raises(ValueError, match="use one of en, zh"):
        language.use("fr")


def test_a_text_without_translation_is_shown_and_remembered(monkeypatch):
    monkeypatch.setattr(language, "_missing", set())
    with language.speaking("zh"):
        assert say("nobody said {this:.1f}", this=2) == "nobody said 2.0"
        assert language.label("12 %") == "12 %" and language.label("三年") == "三年"
        assert language.label("Nobody either") == "Nobody either"
        assert language.term("NVIDIA L40S") == "NVIDIA L40S"
    assert language.missing() == {"nobody said {this:.1f}", "Nobody either"}


def fields(template):
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def test_translations_keep_their_fields():
    for english, chinese in CHINESE.items():
        extra = fields(chinese) - fields(english)
        assert not extra, f"{english!r}: the translation has the field {extra}"
        lost = fields(english) - fields(chinese)
        assert not lost, f"{english!r}: the translation lacks the field {lost}"
        bold = re.search(r"\*\*[^*]+\*\*(?=\w)", chinese)
        assert not bold, f"{english!r}: put a space after the bold words"


def templates(path):
    """Texts that a module says: what it gives to `say`, and its constants of several words."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
            first = node.args[0]
            yield from [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from (part for part in ast.walk(node.value) if " " in str(value(part)))


def value(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("module", SPEAKING)
def test_every_text_has_its_translation(module):
    said = {value(node) for node in templates(ROOT / "planner" / f"{module}.py")}
    lacking = sorted(text for text in said - set(CHINESE) if re.search("[A-Za-z]", text))
    assert not lacking, "\n".join(["planner/locales/zh.toml lacks:", *lacking])


def test_every_translation_is_used():
    """What is no constant of the code, no cell, no name of the catalogue can never be shown."""
    said = {"{number} " + thing for thing in counted()} | {"".join(c["source"]) for c in
                                                          NOTEBOOK["cells"]}  # fmt: skip
    for path in (ROOT / "planner").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said |= {node.value, node.value.capitalize(), *node.value.split("/")}
    for name in ("servers", "rentals", "assumptions"):
        frame = pd.read_csv(ROOT / "data" / f"{name}.csv", dtype=str, keep_default_na=False)
        for text in frame.to_numpy().ravel():
            said |= {text, *text.split("/")}
    said |= {f"{{name}}, {word} tokens" for word in ("input", "output")}
    stale = sorted(set(CHINESE) - said)
    assert not stale, "\n".join(["planner/locales/zh.toml has texts nobody says:", *stale])


def counted():
    """Nouns that `phrases.count` is given."""
    for path in (ROOT / "planner").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
