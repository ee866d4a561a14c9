"""What a notebook cell shows: one object per kind of content, in the mime types that document.py
reads back. JupyterLab shows the HTML or SVG of the same object, so the analyst, the HTML file and
the PDF see the same strings: every figure is formatted here, once.
"""

import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from planner.drawings import Drawing, drawing, figure
from planner.language import label, say, term
from planner.shown import Shown, clean, escape

__all__ = [
    "Column", "Drawing", "KeyFigure", "Shown", "appendix", "band", "callout", "clean", "drawing",
    "end", "escape", "figure", "key_figures", "number", "summary", "table", "text",
]  # fmt: skip

TABLE = "application/vnd.planner.table+json"
KEY_FIGURES = "application/vnd.planner.key-figures+json"
CALLOUT = "application/vnd.planner.callout+json"
SUMMARY = "application/vnd.planner.summary+json"
APPENDIX = "application/vnd.planner.appendix+json"
END = "application/vnd.planner.end+json"

CALLOUT_KINDS = ("decision", "note", "warning")
MISSING = "–"
RANGE = "{low} to {high}"


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
    frame : pandas.DataFrame or list of dict
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
    listed = isinstance(frame, list)
    known_fields = [*(frame[0] if frame else columns or ())] if listed else frame.columns
    columns = columns or {field: str(field) for field in known_fields}
    chosen = {
        field: column if isinstance(column, Column) else Column(column)
        for field, column in columns.items()
    }
    fields = [*chosen, *(c.low for c in chosen.values()), *(c.high for c in chosen.values())]
    absent = [field for field in [*fields, strong, muted] if field and field not in known_fields]
    if absent:
        raise ValueError(
            f"table has no column {absent[0]!r}; name one of {', '.join(map(str, known_fields))}"
        )
    # plain lists: the rows of a table with columns that are not shown would cost more
    values = {
        field: [row[field] for row in frame] if listed else frame[field].tolist()
        for field in {*fields, strong, muted} if field
    }  # fmt: skip
    heads = []
    for field, column in chosen.items():
        known = [value for value in values[field] if not _missing(value)]
        numeric = bool(known) and all(_is_number(value) for value in known)
        align = column.align or ("right" if numeric else "left")
        words = {"label": clean(label(column.label)), "unit": clean(term(column.unit))}
        heads.append({**words, "align": align})
    rows = []
    for position in range(len(frame)):
        cells = []
        for field, column in chosen.items():
            text, around = _written(values[field][position], column.format, column.scale), ""
            if column.low and column.high and text != MISSING:
                low, high = (values[end][position] for end in (column.low, column.high))
                around = band(low, high, column.format, column.scale)
            cells.append({"text": text, "band": around if around != text else ""})
        emphasis = ""
        if total and position == len(frame) - 1:
            emphasis = "total"
        elif strong and values[strong][position] is not None and bool(values[strong][position]):
            emphasis = "strong"
        elif muted and bool(values[muted][position]):
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
