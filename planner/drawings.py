"""Charts: a look and rows, drawn as vectors on paper and kept alive on a page."""

import importlib.util
import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from planner import language
from planner.language import label
from planner.shown import Shown, clean

FIGURE = "application/vnd.planner.figure+json"
DRAWING = "application/vnd.planner.drawing+json"
FONT, CHINESE_FONT = "Source Sans Pro", "Noto Sans SC"
# Where the fonts are looked for that a page may use; a browser takes the first one it has.
FALLBACKS = {"en": "sans-serif", "zh": "PingFang SC, Microsoft YaHei, Noto Sans CJK SC, sans-serif"}
FONTS = Path(__file__).parent / "fonts"
_deferred = False  # charts stay as they are described until another process draws them


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
    rows = {name: records(frame.to_dict("records")) for name, frame in tables.items()}
    whole = {**look, "datasets": rows}
    return Drawing(whole, clean(label(caption)), clean(label(alt)), signals=signals)


def records(rows: list[dict]) -> list[dict]:
    """Rows as JSON holds them: what is no finite number is missing."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in rows
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
    """vl-convert with the report's fonts, so that labels are measured in the font they get.

    It reads no file and no address; what is drawn is all in the description.
    """
    import vl_convert

    vl_convert.configure(base_url=False, allowed_base_urls=[])

    for directory in font_directories(chinese=True):  # whatever was drawn before
        files = Path(directory) / "files"
        vl_convert.register_font_directory(str(files if files.is_dir() else directory))
    return vl_convert


def svg(specification: Mapping) -> str:
    """A chart as a vector drawing, in the font of the language that is spoken."""
    now = language.current()
    drawing = _converter().vegalite_to_svg(json.dumps(specification))
    # Vega counts its clips on from chart to chart; here each chart begins anew.
    found = dict.fromkeys(re.findall(r' id="([a-z_]+\d+)"', drawing))
    names = {name: re.sub(r"\d+", str(place), name) for place, name in enumerate(found, 1)}
    drawing = re.sub(r'( id="|url\(#)([a-z_]+\d+)', lambda m: m[1] + names.get(m[2], m[2]), drawing)
    # A browser without the font would fall back to one with serifs.
    name = font()
    return drawing.replace(f'font-family="{name}"', f'font-family="{name}, {FALLBACKS[now]}"')
