"""What a notebook cell shows: one object per kind of content, in the mime types that document.py
reads back. JupyterLab shows the HTML or SVG of the same object, so the analyst, the HTML file and
the PDF see the same strings: every figure is formatted here, once.
"""

import html
import importlib.util
import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner import language
from planner.language import label, say, term

TABLE = "application/vnd.planner.table+json"
FIGURE = "application/vnd.planner.figure+json"
DRAWING = "application/vnd.planner.drawing+json"
KEY_FIGURES = "application/vnd.planner.key-figures+json"
CALLOUT = "application/vnd.planner.callout+json"
SUMMARY = "application/vnd.planner.summary+json"
APPENDIX = "application/vnd.planner.appendix+json"
END = "application/vnd.planner.end+json"

CALLOUT_KINDS = ("decision", "note", "warning")
FONT, CHINESE_FONT = "Source Sans Pro", "Noto Sans SC"
# Where the fonts are looked for that a page may use; a browser takes the first one it has.
FALLBACKS = {"en": "sans-serif", "zh": "PingFang SC, Microsoft YaHei, Noto Sans CJK SC, sans-serif"}
FONTS = Path(__file__).parent / "fonts"
MISSING = "–"
_deferred = False  # charts stay as they are described until another process draws them
RANGE = "{low} to {high}"
# Characters that reverse the reading order of what follows could make a figure read backwards.
_REORDERING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Shown:
    """An object that Jupyter shows in several mime types; `data` maps mime type to content."""

    def __init__(self, data: Mapping[str, object], plain: str):
        self.data = dict(data)
        self.plain = plain

    def __repr__(self) -> str:
        return self.plain

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.plain, **self.data}


@dataclass(frozen=True)
class Column:
    """How one column of a table is written.

    Parameters
    ----------
    label : str
        Header in words.
    unit : str
        Unit under the header, for example ``"k USD"`` or ``"token/s"``.
    format : str or callable
        Format specification such as ``",.0f"``, or a function from value to text. Empty: three
        significant figures for numbers, the text itself for everything else.
    align : str
        ``"left"`` or ``"right"``. Empty: right for numbers, left for text.
    scale : float
        Factor from the value in the table to the unit shown, for example 1e-9 for B to GB. [-]
    low, high : str
        Fields that hold the band around the value; shown small, as ``low to high``.
    """

    label: str
    unit: str = ""
    format: str | Callable[[object], str] = ""
    align: str = ""
    scale: float = 1.0
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class KeyFigure:
    """One large figure on the first page: `value` is the formatted text, `band` its range."""

    label: str
    value: str
    unit: str = ""
    band: str = ""
    note: str = ""


def clean(value: object) -> str:
    """Text without control characters, lone surrogates and reordering marks.

    Examples
    --------
    >>> clean("a\\x00b\\u202ec")
    'abc'
    """
    characters = unicodedata.normalize("NFC", _REORDERING.sub("", str(value)))
    return "".join(
        character
        for character in characters
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs", "Cn")
    )


def escape(value: object) -> str:
    """Text from outside (a team's name, a file's path) so that markdown prints it as it is.

    Examples
    --------
    >>> escape("*team* #1 <b>")
    '\\\\*team\\\\* \\\\#1 \\\\<b\\\\>'
    """
    flat = re.sub(r"\s+", " ", clean(value)).strip()
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$&:])", r"\\\1", flat)


def number(value: float, significant: int = 3) -> str:
    """A number with thousands separators and about `significant` figures, never an exponent.

    Examples
    --------
    >>> number(1234.5), number(0.012345), number(12), number(7.5)
    ('1,234', '0.0123', '12', '7.5')
    """
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    places = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}" if places == 0 else f"{value:,.{places}f}".rstrip("0").rstrip(".")


def band(low: float, high: float, format: str | Callable = "", scale: float = 1.0) -> str:
    """A range as text, for example ``"1.2 to 1.9"``; empty when either end is missing."""
    if _missing(low) or _missing(high):
        return ""
    first, last = _written(low, format, scale), _written(high, format, scale)
    return first if first == last else say(RANGE, low=first, high=last)


def _missing(value: object) -> bool:
    if value is None or value == "":
        return True
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except TypeError:  # pandas.NA refuses to be a truth value
        return True


def _is_number(value: object) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, str | bool)


def _written(value: object, format: str | Callable, scale: float = 1.0) -> str:
    if _missing(value):
        return MISSING
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return say("yes") if value else say("no")
    if callable(format):
        return clean(format(value))
    if not _is_number(value):
        return clean(format(value, format) if format else value)
    scaled = float(value) * scale
    if math.isinf(scaled):
        return say("unlimited") if scaled > 0 else MISSING
    return f"{scaled:{format}}" if format else number(scaled)


def table(
    frame,
    columns: Mapping[str, Column | str] | None = None,
    caption: str = "",
    note: str = "",
    *,
    strong: str = "",
    muted: str = "",
    total: bool = False,
) -> Shown:
    """A table for the report.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per row of the table.
    columns : mapping
        Field to `Column` (or to a bare label), in the order shown. Empty: every field.
    caption, note : str
        Title above and remark below; plain text.
    strong, muted : str
        Boolean fields: rows to stress (the recommendation) and rows to hold back (rejected).
    total : bool
        True when the last row is the sum of the others.

    Returns
    -------
    shown : Shown
        HTML for the notebook and the formatted strings for the documents.
    """
    columns = columns or {field: str(field) for field in frame.columns}
    chosen = {
        field: column if isinstance(column, Column) else Column(column)
        for field, column in columns.items()
    }
    fields = [*chosen, *(c.low for c in chosen.values()), *(c.high for c in chosen.values())]
    absent = [field for field in [*fields, strong, muted] if field and field not in frame.columns]
    if absent:
        raise ValueError(
            f"table has no column {absent[0]!r}; name one of {', '.join(map(str, frame.columns))}"
        )
    heads = []
    for field, column in chosen.items():
        values = [value for value in frame[field] if not _missing(value)]
        numeric = bool(values) and all(_is_number(value) for value in values)
        align = column.align or ("right" if numeric else "left")
        words = {"label": clean(label(column.label)), "unit": clean(term(column.unit))}
        heads.append({**words, "align": align})
    rows = []
    records = frame.to_dict("records")
    for position, record in enumerate(records):
        cells = []
        for field, column in chosen.items():
            text = _written(record[field], column.format, column.scale)
            around = ""
            if column.low and column.high and text != MISSING:
                around = band(record[column.low], record[column.high], column.format, column.scale)
            cells.append({"text": text, "band": around if around != text else ""})
        emphasis = ""
        if total and position == len(records) - 1:
            emphasis = "total"
        elif strong and record[strong] is not None and bool(record[strong]):
            emphasis = "strong"
        elif muted and bool(record[muted]):
            emphasis = "muted"
        rows.append({"cells": cells, "emphasis": emphasis})
    caption, note = clean(label(caption)), clean(label(note))
    content = {"columns": heads, "rows": rows, "caption": caption, "note": note}
    return Shown({TABLE: content, "text/html": _table_html(content)}, f"table: {caption}")


def _table_html(content: dict) -> str:
    """The table as JupyterLab shows it."""

    def row(cells: Sequence[str], tag: str, style: str = "") -> str:
        parts = [
            f'<{tag} style="text-align:{head["align"]};{style}">{cell}</{tag}>'
            for head, cell in zip(content["columns"], cells, strict=True)
        ]
        return f"<tr>{''.join(parts)}</tr>"

    heads = [
        html.escape(head["label"]) + (f"<br>[{html.escape(head['unit'])}]" if head["unit"] else "")
        for head in content["columns"]
    ]
    styles = {"strong": "font-weight:600", "total": "font-weight:600", "muted": "opacity:.6"}
    body = [
        row(
            [
                html.escape(cell["text"]).replace("\n", "<br>")
                + (f"<br><small>{html.escape(cell['band'])}</small>" if cell["band"] else "")
                for cell in line["cells"]
            ],
            "td",
            styles.get(line["emphasis"], ""),
        )
        for line in content["rows"]
    ]
    return (
        f"<table><caption>{html.escape(content['caption'])}</caption>"
        f"<thead>{row(heads, 'th')}</thead><tbody>{''.join(body)}</tbody></table>"
        + (f"<p><small>{html.escape(content['note'])}</small></p>" if content["note"] else "")
    )


def text(markdown: str) -> Shown:
    """Words computed by a cell; pass anything that comes from a file through `escape` first."""
    words = clean(label(markdown))
    return Shown({"text/markdown": words}, words)


class Drawing(Shown):
    """
    A chart as its look and its rows, so that a page can replace the rows while it is shown.

    Parameters
    ----------
    specification : mapping
        Vega-Lite, its rows under ``datasets``.
    caption, alt : str
        Title and alternative text.
    half : bool
        Two that follow each other and are both half stand side by side on paper.
    signals : mapping of str to number
        Values of the look's ``params``, where no dial drives them.
    """

    def __init__(
        self,
        specification: Mapping,
        caption: str,
        alt: str,
        half: bool = False,
        signals: Mapping | None = None,
    ):
        self.caption, self.alt = caption, alt
        self.half, self.plain = half, f"figure: {alt}"
        self.spec, self.rows = _apart(specification)
        self.signals = dict(signals or {})

    @property
    def data(self):
        """The drawing as it stands on paper, made when it is asked for."""
        content = {"caption": self.caption, "alt": self.alt, "half": self.half}
        whole = {**self.spec, "datasets": self.rows}
        if self.signals:
            whole["params"] = [
                {**param, "value": self.signals.get(param["name"], param.get("value"))}
                for param in self.spec["params"]
            ]
        if _deferred:
            return {DRAWING: {"language": language.current(), "look": whole}, FIGURE: content}
        return {"image/svg+xml": svg(whole), FIGURE: content}


def defer_drawings(yes: bool) -> bool:
    """Leave the drawing of charts to `document.drawn`, or no longer; what was so before."""
    global _deferred
    before, _deferred = _deferred, yes
    return before


def figure(chart, caption: str = "", alt: str = "", *, half: bool = False) -> Drawing:
    """A chart; `alt` defaults to its own description. On paper it is a vector drawing.

    Two that follow each other and are both `half` stand side by side on paper.
    """
    specification = chart if isinstance(chart, Mapping) else chart.to_dict()
    alt = clean(label(alt or specification.get("description", "")))
    if not alt:
        raise ValueError("figure has no alt text; set alt or the chart's description")
    return Drawing(specification, clean(label(caption)), alt, half)


def drawing(
    look: Mapping, tables: Mapping, caption: str, alt: str, signals: Mapping | None = None
) -> Drawing:
    """
    A chart whose look is made once and whose rows come apart from it, quick enough for a slider.

    Parameters
    ----------
    look : mapping
        Vega-Lite that refers to its tables by name.
    tables : mapping of str to DataFrame
        Rows of each name.
    caption, alt : str
        Title and alternative text.
    signals : mapping of str to number
        Values of its ``params``; on a page the dials of these names drive them.
    """
    rows = {name: _records(frame) for name, frame in tables.items()}
    whole = {**look, "datasets": rows}
    return Drawing(whole, clean(label(caption)), clean(label(alt)), signals=signals)


def _records(frame):
    """Rows as JSON holds them: what is no finite number is missing."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def _apart(specification):
    """Look and rows. Altair names a table after its content; here it is named by its place, so that
    the look stays the same when only rows change."""
    tables = specification.get("datasets", {})
    rows = {}

    def named(part):
        if isinstance(part, list):
            return [named(item) for item in part]
        if not isinstance(part, Mapping):
            return part
        if set(part) == {"name"} and part["name"] in tables:
            made = part["name"].startswith("data-")
            place = f"table {len(rows)}" if made else part["name"]
            rows[place] = tables[part["name"]]
            return {"name": place}
        return {key: named(value) for key, value in part.items()}

    look = {k: v for k, v in specification.items() if k not in ("datasets", "description")}
    return named(look), rows


def key_figures(figures: Sequence[KeyFigure]) -> Shown:
    """A few large figures for the first page."""
    items = [
        {
            "label": clean(label(item.label)),
            "value": clean(item.value),
            "unit": clean(term(item.unit)),
            "band": clean(label(item.band)),
            "note": clean(label(item.note)),
        }
        for item in figures
    ]
    cards = "".join(
        "<td style='text-align:left;padding-right:2em'><small>{label}</small><br>"
        "<b style='font-size:150%'>{value}</b> {unit}<br><small>{band}</small></td>".format(
            **{name: html.escape(value) for name, value in item.items()}
        )
        for item in items
    )
    plain = "; ".join(f"{i['label']}: {i['value']} {i['unit']}".strip() for i in items)
    shown = {KEY_FIGURES: {"items": items}, "text/html": f"<table><tr>{cards}</tr></table>"}
    return Shown(shown, plain)


def callout(kind: str, markdown: str) -> Shown:
    """A boxed remark: the decision, a note or a warning."""
    if kind not in CALLOUT_KINDS:
        raise ValueError(f"kind {kind!r} is unknown; use one of {', '.join(CALLOUT_KINDS)}")
    words = clean(label(markdown))
    head = say(kind.capitalize())
    quoted = "\n".join(f"> {line}" for line in f"**{head}.** {words}".split("\n"))
    return Shown({CALLOUT: {"kind": kind, "markdown": words}, "text/markdown": quoted}, words)


def summary(values: Mapping[str, object]) -> Shown:
    """The machine-readable summary of the report; a notebook shows exactly one."""
    try:
        content = json.loads(json.dumps(values, default=_plain_value, allow_nan=False))
    except ValueError as error:
        raise ValueError(
            f"the summary holds a value that JSON cannot ({error}); use None instead of NaN"
        ) from None
    return Shown({SUMMARY: content}, "summary")


def appendix() -> Shown:
    """The mark after which sections are lettered, on a new page."""
    return Shown({APPENDIX: {}}, "appendix")


def end() -> Shown:
    """The mark that the notebook ran to its end; without it no document is made."""
    return Shown({END: {"complete": True}}, "end of the report")


def _plain_value(value: object) -> object:
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    return str(value)


def font() -> str:
    """The font of charts in the language that is spoken."""
    return CHINESE_FONT if language.current() == "zh" else FONT


@cache
def font_directories(chinese: bool = False) -> tuple[str, ...]:
    """Folders of the text font, installed as a package, and of the Chinese one, where wanted."""
    module = importlib.util.find_spec("font_source_sans_pro")
    known = module is not None and module.submodule_search_locations
    text = (str(Path(module.submodule_search_locations[0])),) if known else ()
    return (*text, str(FONTS)) if chinese else text


@cache
def _converter():
    """vl-convert with the report's fonts, so that labels are measured in the font they get."""
    import vl_convert

    for directory in font_directories(chinese=True):  # whatever was drawn before
        files = Path(directory) / "files"
        vl_convert.register_font_directory(str(files if files.is_dir() else directory))
    return vl_convert


def svg(specification: Mapping) -> str:
    """A chart as a vector drawing, in the font of the language that is spoken."""
    now = language.current()
    drawing = _converter().vegalite_to_svg(json.dumps(specification), allowed_base_urls=[])
    # Vega counts its clips on from chart to chart; here each chart begins anew.
    found = dict.fromkeys(re.findall(r'\bid="([a-z_]+\d+)"', drawing))
    names = {name: re.sub(r"\d+", str(place), name) for place, name in enumerate(found, 1)}
    drawing = re.sub(
        r'(\bid="|url\(#)([a-z_]+\d+)', lambda m: m[1] + names.get(m[2], m[2]), drawing
    )
    # A browser without the font would fall back to one with serifs.
    name = font()
    return drawing.replace(f'font-family="{name}"', f'font-family="{name}, {FALLBACKS[now]}"')
