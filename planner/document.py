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

from planner import display
from planner.markup import DocumentError, markdown, safe_svg

TEMPLATES = Path(__file__).parent / "templates"
HIDDEN_TAGS = {"parameters", "injected-parameters", "hide"}
PASSIVE = {display.SUMMARY, display.END}
# Widest line of a table in characters by font size [pt], on an upright page and on its side.
UPRIGHT = {9: 98, 8.5: 104, 8: 111, 7.5: 119}
GAP = 2.8  # room between columns [character]
SIDEWAYS = {8.5: 160, 8: 171, 7.5: 182, 7: 195, 6: 228, 5: 273}


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
    found = [
        output["data"][display.SUMMARY]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if display.SUMMARY in output.get("data", {})
    ]
    if len(found) != 1:
        raise DocumentError(
            f"the notebook shows {len(found)} summaries; show one with planner.display.summary()"
        )
    return found[0]


def _output_blocks(output: Mapping, data: Mapping, where: str) -> list[dict]:
    if output["output_type"] == "stream":
        # A library's remark on stderr stays in the notebook; a print would be lost, so it fails.
        if output["name"] == "stdout" and _joined(output["text"]).strip():
            raise DocumentError(f"{where} prints; show words with planner.display.text()")
        return []
    if display.TABLE in data:
        return [{"kind": "table", **data[display.TABLE]}]
    if display.FIGURE in data and "image/svg+xml" in data:
        svg = safe_svg(_joined(data["image/svg+xml"]), where)
        return [{"kind": "figure", "svg": svg, **data[display.FIGURE]}]
    if display.KEY_FIGURES in data:
        return [{"kind": "key_figures", **data[display.KEY_FIGURES]}]
    if display.CALLOUT in data:
        content = data[display.CALLOUT]
        inside = markdown(content["markdown"])
        return [{"kind": "callout", "style": content["kind"], "blocks": inside}]
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
    section, part, deepest = 0, 0, 1
    for block in found:
        kind = block["kind"]
        if kind == "heading" and block["level"] > 1:
            block["level"] = level = min(block["level"], deepest + 1, 4)
            deepest = level
            if level == 2:
                section, part = section + 1, 0
                block["number"] = str(section)
            elif level == 3:
                part += 1
                block["number"] = f"{section}.{part}"
            else:
                block["number"] = ""
            anchor = block["number"].replace(".", "-")
            block["id"] = f"section-{anchor}" if anchor else ""
        elif kind in counts:
            counts[kind] += 1
            block["number"] = str(counts[kind])
            if kind == "figure":
                block["svg"] = re.sub(
                    r'(\bid="|url\(#)', rf"\g<1>figure-{counts[kind]}-", block["svg"]
                )
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
    texts = {
        name: display.clean(meta.get(name, "")) for name in ("team", "date", "subtitle", "footer")
    }
    title = display.clean(title)
    # A running head is one line; a longer one would grow into the page.
    running = " · ".join(part for part in (texts["team"], title) if part)
    heads = {"running": _short(running, 90), "day": _short(texts["date"], 24)}
    return {**texts, **heads, "title": title, "details": details}


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
        `title`, `subtitle` and `footer`.
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
    for directory in display.font_directories():
        for name, weight in (("Regular", 400), ("Semibold", 600)):
            for path in Path(directory).glob(f"files/SourceSansPro-{name}.otf"):
                content = base64.b64encode(_woff(path.read_bytes())).decode()
                faces.append(
                    f"@font-face {{ font-family: '{display.FONT}'; font-weight: {weight}; "
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
    for position, block in enumerate(rest):
        if block["kind"] == "heading":
            return position
    return len(rest)


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
        "lead": [_printable(block) for block in _lead(rest)],
        "body": [_printable(block) for block in _body(rest)],
    }
    data = json.dumps(content, ensure_ascii=False)
    # Text beyond Latin, Greek and Cyrillic looks for a font among the system's; that takes longer.
    beyond = any(ord(character) > 0x2E7F or 0x590 <= ord(character) <= 0x1DFF for character in data)
    return typst.Compiler(
        str(TEMPLATES / "report.typ"),
        root=str(TEMPLATES),
        font_paths=list(display.font_directories()),
        ignore_system_fonts=not beyond,
        sys_inputs={"data": data},
    )


def _printable(block: Mapping) -> dict:
    if block["kind"] == "table":
        return {**block, **_layout(block)}
    if block["kind"] == "figure":
        return {**block, "width": float(re.search(r'<svg[^>]*? width="([\d.]+)"', block["svg"])[1])}
    return dict(block)


def _layout(block: Mapping) -> dict:
    """Font size, page direction and relative widths with which a table stays on its page."""
    columns = []
    for position, head in enumerate(block["columns"]):
        cells = [row["cells"][position] for row in block["rows"]]
        lines = [line for cell in cells for line in (*cell["text"].split("\n"), cell["band"])]
        words = [word for line in lines for word in _pieces(line, head["align"])]
        labels = [*head["label"].split(), head["unit"] and f"[{head['unit']}]"]
        least = max(map(_length, [*words, *labels, ""]))
        wanted = [*map(_length, lines), min(_length(head["label"]), 18)]
        columns.append((least, max(least, *wanted)))
    needed = sum(least for least, _ in columns) + GAP * len(columns)
    sizes = [(size, room, False) for size, room in UPRIGHT.items()]
    sizes += [(size, room, True) for size, room in SIDEWAYS.items()]
    size, room, sideways = next((choice for choice in sizes if choice[1] >= needed), sizes[-1])
    widths = [least + GAP for least, _ in columns]
    slack = max(0.0, room - needed)
    # The columns that want least are satisfied first; the long ones share what is left.
    order = sorted(range(len(columns)), key=lambda i: columns[i][1] - columns[i][0])
    for done, position in enumerate(order):
        least, most = columns[position]
        given = min(most - least, slack / (len(order) - done))
        widths[position] += given
        slack -= given
    weights = [4 if head["align"] == "left" else 1 for head in block["columns"]]
    widths = [w + slack * weight / sum(weights) for w, weight in zip(widths, weights, strict=True)]
    return {"size": size, "sideways": sideways, "widths": widths}


def _length(text: str) -> float:
    """Width in average characters; capitals and wide letters take more."""
    return len(text) + sum(0.3 for sign in text if sign.isupper() or sign in "mw%@") + 0.2


def _pieces(line: str, align: str) -> list[str]:
    """The parts of a line that may not be broken; the template breaks longer ones anywhere."""
    if align == "right":
        return [line[:24]]
    words = line.split()
    pieces = [word for word in words if len(word) <= 14]
    for word in words:
        if len(word) > 14:
            pieces += [piece[:16] for piece in re.split(r"(?<=[/_\-.:@,])", word)]
    return pieces
