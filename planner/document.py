"""An executed notebook becomes blocks, and the same blocks become HTML and PDF, so the two can
show no different figure. Code is never shown; what a cell shows is read from its mime types.
"""

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import jinja2
import typst
from markupsafe import Markup

from planner import display, drawings, phrases, table_layout
from planner import language as languages
from planner.language import say
from planner.markup import DocumentError, markdown, safe_svg

TEMPLATES = Path(__file__).parent / "templates"
HIDDEN_TAGS = {"parameters", "injected-parameters", "hide"}
PASSIVE = {display.SUMMARY, display.END}
# What a document says beside its content.
FURNITURE = ("Date", "Contents", "Decision", "Note", "Warning")
NUMBERED = {"table": "Table {number}", "figure": "Figure {number}"}


def blocks(notebook: Mapping) -> list[dict]:
    """The content of an executed notebook, in order.

    Parameters
    ----------
    notebook : mapping
        Executed notebook (nbformat 4).

    Returns
    -------
    blocks : list of dict
        Each with `kind`: heading, paragraph, list, quote, code, rule, table, figure, key_figures
        or callout. Headings, tables and figures carry their number.
    """
    found: list[dict] = []
    ended = False
    for position, cell in enumerate(notebook["cells"], 1):
        hidden = HIDDEN_TAGS & set(cell.get("metadata", {}).get("tags", []))
        if cell["cell_type"] == "markdown" and not hidden:
            found += markdown(_joined(cell["source"]))
        for output in cell.get("outputs", []) if cell["cell_type"] == "code" else []:
            where = f"cell {position}"
            if output["output_type"] == "error":
                raise DocumentError(f"{where} stopped: {output['ename']}: {output['evalue']}")
            data = output.get("data", {})
            ended = ended or display.END in data
            if not hidden:
                found += _output_blocks(output, data, where)
    if not ended:
        raise DocumentError(
            "the notebook has no end marker: it did not run to its end, or its last cell is not "
            "planner.display.end()"
        )
    return _numbered(found)


def summary(notebook: Mapping) -> dict:
    """The machine-readable summary that the notebook left; exactly one is expected."""
    found = _summaries(notebook)
    if len(found) != 1:
        raise DocumentError(
            f"the notebook shows {len(found)} summaries; show one with planner.display.summary()"
        )
    return found[0]


def _summaries(notebook: Mapping) -> list[dict]:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [
        out["data"][display.SUMMARY] for out in outputs if display.SUMMARY in out.get("data", {})
    ]


def translated(notebook: Mapping) -> dict:
    """An executed notebook with its markdown cells in the language that its summary names."""
    language = next((found.get("language", "en") for found in _summaries(notebook)), "en")
    if language == "en":
        return dict(notebook)
    cells = [dict(cell) for cell in notebook["cells"]]
    with languages.speaking(language):
        for cell in cells:
            if cell["cell_type"] == "markdown":
                cell["source"] = languages.label(_joined(cell["source"]))
    return {**notebook, "cells": cells}


def drawn(notebook: Mapping) -> dict:
    """An executed notebook whose charts, described in it, are vector drawings."""
    cells = [dict(cell) for cell in notebook["cells"]]
    for cell in cells:
        if any(drawings.DRAWING in output.get("data", {}) for output in cell.get("outputs", [])):
            cell["outputs"] = [_drawn(output) for output in cell["outputs"]]
    return {**notebook, "cells": cells}


def _drawn(output: Mapping) -> dict:
    data = dict(output.get("data", {}))
    described = data.pop(drawings.DRAWING, None)
    if described is None:
        return dict(output)
    with languages.speaking(described["language"]):
        drawing = drawings.svg(described["look"])
    return {**output, "data": {"image/svg+xml": drawing.splitlines(keepends=True), **data}}


def _output_blocks(output: Mapping, data: Mapping, where: str) -> list[dict]:
    if output["output_type"] == "stream":
        # A library's remark on stderr stays in the notebook; a print would be lost, so it fails.
        if output["name"] == "stdout" and _joined(output["text"]).strip():
            raise DocumentError(f"{where} prints; show words with planner.display.text()")
        return []
    if display.TABLE in data:
        return [{"kind": "table", **data[display.TABLE]}]
    if drawings.FIGURE in data and "image/svg+xml" in data:
        svg = safe_svg(_joined(data["image/svg+xml"]), where)
        return [{"kind": "figure", "svg": svg, **data[drawings.FIGURE]}]
    if display.KEY_FIGURES in data:
        return [{"kind": "key_figures", **data[display.KEY_FIGURES]}]
    if display.CALLOUT in data:
        content = data[display.CALLOUT]
        inside = markdown(content["markdown"])
        return [{"kind": "callout", "style": content["kind"], "blocks": inside}]
    if display.APPENDIX in data:
        return [{"kind": "appendix"}]
    if PASSIVE & set(data):
        return []
    if "text/markdown" in data:
        return markdown(_joined(data["text/markdown"]))
    known = ", ".join(sorted(data)) or output["output_type"]
    raise DocumentError(
        f"{where} shows {known}, which a document cannot hold; show it through planner.display "
        "or tag the cell `hide`"
    )


def _joined(source: str | Iterable[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _numbered(found: list[dict]) -> list[dict]:
    """Numbers for sections, tables and figures; levels that skip none, as PDF/UA requires."""
    counts = {"table": 0, "figure": 0}
    section, part, deepest, lettered = 0, 0, 1, False
    for block in found:
        kind = block["kind"]
        if kind == "heading" and block["level"] > 1:
            block["level"] = level = min(block["level"], deepest + 1, 4)
            deepest = level
            if level == 2:
                section, part = section + 1, 0
                block["number"] = named = chr(64 + section) if lettered else str(section)
            elif level == 3:
                part += 1
                block["number"] = f"{named}.{part}"
            else:
                block["number"] = ""
            anchor = block["number"].replace(".", "-")
            block["id"] = f"section-{anchor}" if anchor else ""
        elif kind == "appendix":
            section, part, lettered = 0, 0, True
        elif kind in counts:
            counts[kind] += 1
            block["number"] = str(counts[kind])
            if kind == "figure":
                for name in (' id="', "url(#"):
                    new = f"{name}figure-{counts[kind]}-"
                    block["svg"] = block["svg"].replace(name, new)
    return found


# ---- HTML --------------------------------------------------------------------------------------


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = Markup
    return environment


def _title(found: list[dict], meta: Mapping) -> tuple[str, list[dict]]:
    """The title (the first heading of level 1, unless meta says otherwise) and what remains."""
    titles = [block["text"] for block in found if block.get("level") == 1]
    title = meta.get("title") or (titles[0] if titles else "Report")
    return title, [block for block in found if block.get("level") != 1]


def _meta(meta: Mapping, title: str) -> dict:
    """The keys a template reads, all present and all text."""
    details = [[display.clean(name), display.clean(value)] for name, value in meta["details"]]
    language = meta.get("language", "en")
    with languages.speaking(language):
        words = {word.lower(): say(word) for word in FURNITURE}
        words |= {kind: say(text, number="").strip() for kind, text in NUMBERED.items()}
        date = phrases.day(meta.get("date", ""))
    texts = {name: display.clean(meta.get(name, "")) for name in ("team", "subtitle", "footer")}
    texts |= {"date": display.clean(date), "language": language}
    title = display.clean(title)
    # A running head is one line; a longer one would grow into the page.
    running = " · ".join(part for part in (texts["team"], title) if part)
    heads = {"running": _short(running, 90), "day": _short(texts["date"], 24)}
    return {**texts, **heads, "title": title, "details": details, "words": words}


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def html(found: list[dict], meta: Mapping) -> str:
    """One HTML file that needs nothing else: no script, no request, readable on a phone.

    Parameters
    ----------
    found : list of dict
        What `blocks` returned.
    meta : mapping
        `team`, `date`, `details` (pairs of label and text for the title block) and, optionally,
        `title`, `subtitle`, `footer` and `language` (en, zh).
    """
    title, rest = _title(found, meta)
    style = Markup(_font_faces() + (TEMPLATES / "report.css").read_text(encoding="utf-8"))
    template = _environment().get_template("report.html.j2")
    return template.render(
        meta=_meta(meta, title), lead=_lead(rest), body=_body(rest), sections=rest, style=style
    )


@cache
def _font_faces() -> str:
    """The text font inside the style, so that words and charts are as wide as they were drawn."""
    faces = []
    for directory in drawings.font_directories():
        for name, weight in (("Regular", 400), ("Semibold", 600)):
            for path in Path(directory).glob(f"files/SourceSansPro-{name}.otf"):
                content = base64.b64encode(_woff(path.read_bytes())).decode()
                faces.append(
                    f"@font-face {{ font-family: '{drawings.FONT}'; font-weight: {weight}; "
                    f"src: url(data:font/woff;base64,{content}) format('woff'); }}\n"
                )
    return "".join(faces)


def _woff(font: bytes) -> bytes:
    """An OpenType font in the compressed container of the web (W3C, WOFF 1.0), nothing left out."""
    flavour, count = struct.unpack(">4sH", font[:6])
    position = 44 + 20 * count
    directory, tables, whole = [], [], 12 + 16 * count
    for index in range(count):
        tag, checksum, start, length = struct.unpack_from(">4sLLL", font, 12 + 16 * index)
        content = font[start : start + length]
        packed = min(zlib.compress(content, 9), content, key=len)
        directory.append(struct.pack(">4sLLLL", tag, position, len(packed), length, checksum))
        tables.append(packed + bytes(-len(packed) % 4))
        position += len(tables[-1])
        whole += length + -length % 4
    head = struct.pack(">4s4sLHHLHHLLLLL", b"wOFF", flavour, position, count, 0, whole, *[0] * 7)
    return head + b"".join(directory) + b"".join(tables)


def _lead(rest: list[dict]) -> list[dict]:
    """What stands before the first section: the answer, on the first page."""
    return rest[: _first_section(rest)]


def _body(rest: list[dict]) -> list[dict]:
    return rest[_first_section(rest) :]


def _first_section(rest: list[dict]) -> int:
    """Where the first page ends: at the first section, or after it where it opens the report."""
    for position, block in enumerate(rest):
        if block["kind"] == "heading" and position > 0:
            return position
    return len(rest)


def _paired(blocks: list[dict]) -> list[dict]:
    """Two half figures that follow each other become one block, side by side."""
    found: list[dict] = []
    for block in blocks:
        before = found[-1] if found else {}
        if block.get("half") and before.get("half"):
            found[-1] = {"kind": "pair", "figures": [before, block]}
        else:
            found.append(block)
    return found


# ---- PDF ---------------------------------------------------------------------------------------


def pdf(found: list[dict], meta: Mapping) -> bytes:
    """The same blocks as a tagged PDF (PDF/UA-1 where the fonts have every character).

    Parameters
    ----------
    found, meta
        As in `html`.
    """
    compiler = _compiler(found, meta)
    try:
        return compiler.compile(format="pdf", pdf_standards=["ua-1"])
    except typst.TypstError as error:
        if "could not be displayed" not in str(error):
            raise DocumentError(f"the PDF cannot be set: {error}") from None
    # A character that no installed font has prints as a box; PDF/UA does not allow that.
    return compiler.compile(format="pdf")


def picture(found: list[dict], meta: Mapping, resolution: float = 110) -> bytes:
    """The first page of the PDF as a PNG picture.

    Parameters
    ----------
    found, meta
        As in `html`.
    resolution : float
        Picture elements per inch. [1/inch]
    """
    pages = _compiler(found, meta).compile(format="png", ppi=resolution)
    return pages[0] if isinstance(pages, list) else pages


def _compiler(found: list[dict], meta: Mapping) -> typst.Compiler:
    title, rest = _title(found, meta)
    content = {
        "meta": _meta(meta, title),
        "lead": _paired([_printable(block) for block in _lead(rest)]),
        "body": _paired([_printable(block) for block in _body(rest)]),
    }
    data = json.dumps(content, ensure_ascii=False)
    # Chinese has a font here, all else beyond Latin, Greek and Cyrillic looks for one among the
    # system's; that takes longer.
    foreign = [sign for sign in set(data) if ord(sign) > 0x2E7F or 0x590 <= ord(sign) <= 0x1DFF]
    chinese = any(map(table_layout.is_wide, foreign))
    beyond = any(not table_layout.in_chinese_font(sign) for sign in foreign)
    return typst.Compiler(
        str(TEMPLATES / "report.typ"),
        root=str(TEMPLATES),
        font_paths=_fonts(chinese, beyond),
        sys_inputs={"data": data},
    )


@cache
def _fonts(chinese: bool, beyond: bool) -> typst.Fonts:
    """Fonts of a PDF, read from their files once."""
    directories = list(drawings.font_directories(chinese))
    return typst.Fonts(include_system_fonts=beyond, font_paths=directories)


def _printable(block: Mapping) -> dict:
    if block["kind"] == "table":
        return {**block, **table_layout.layout(block)}
    if block["kind"] == "figure":
        return {**block, "width": float(re.search(r'<svg[^>]*? width="([\d.]+)"', block["svg"])[1])}
    return dict(block)
