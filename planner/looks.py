"""
What the looks of charts are made of.

A look is Vega-Lite that names its tables. Their rows come apart from it (`display.drawing`), so
that a chart follows a dial without being made anew. The look of a report's chart is `filled`: it
holds no word and no figure of a team, so that it is made once for all teams and languages.
"""

from collections.abc import Mapping

import altair as alt

from planner.drawings import records
from planner.theme import INK, theme

HALO = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
DASHED = {"strokeDash": [4, 3]}
LOG, TIGHT = alt.Scale(type="log"), alt.Scale(type="log", nice=False)
SHORT = alt.Axis(format="~s")  # thousands as k
CIRCLES = {"symbolType": "circle", "symbolOpacity": 1}


def rows(table: str) -> alt.Chart:
    """A chart whose rows come later, under this name."""
    return alt.Chart(alt.NamedData(table))


def tips(fields: dict, form: str = "") -> list:
    """
    What is shown where the pointer rests.

    Parameters
    ----------
    fields : dict
        Field to title, or to title and format of d3; a field without a type is a number where it
        has a format, else a word.
    form : str
        Of all that have none of their own.

    Returns
    -------
    tips : list of altair.Tooltip
    """
    made = []
    for field, title in fields.items():
        title, own = (title, form) if isinstance(title, str) else title
        typed = field if ":" in field else f"{field}:{'Q' if own else 'N'}"
        made.append(alt.Tooltip(typed, title=title, **({"format": own} if own else {})))
    return made


def names(field: str, **axis) -> alt.Y:
    """Words on the vertical axis, a row each, in the order of the field ``place``."""
    by = alt.EncodingSortField("place", op="min")
    return alt.Y(f"{field}:N", sort=by, title=None, **({"axis": alt.Axis(**axis)} if axis else {}))


def colours(field: str, kinds: dict, **legend) -> alt.Color:
    """Colour by kind; a legend only where it is described."""
    scale = alt.Scale(domain=list(kinds), range=list(kinds.values()))
    return alt.Color(f"{field}:N", scale=scale, legend=alt.Legend(**legend) if legend else None)


def halo(chart: alt.Chart, words: str, color: str = INK, **style) -> list:
    """Words, a field, that stay legible on whatever they cross."""
    texts = chart.mark_text(**style, **HALO), chart.mark_text(**style, color=color)
    return [text.encode(text=words) for text in texts]


def dotted(
    chart: alt.Chart, shown: list, size: float, line: dict | None = None, **dot
) -> list:  # fmt: skip
    """A line with a dot at every point, which says its tips."""
    dots = chart.mark_circle(size=size, **dot).encode(tooltip=shown)
    return [chart.mark_line(**line or {}), dots]


def layered(layers, width, height) -> alt.LayerChart:
    """Layers over each other, the lowest first. [px]"""
    return alt.layer(*layers).properties(width=width, height=height)


def look(chart, **dials) -> dict:
    """The look of a chart, with the values that its signals have before a dial moves."""
    params = [alt.param(name=name, value=value) for name, value in dials.items()]
    return (chart.add_params(*params) if params else chart).to_dict()


def filled(look: Mapping, tables: Mapping, description: str, **values) -> dict:
    """
    A whole chart from a look that was made once.

    Parameters
    ----------
    look : mapping
        Vega-Lite that names its tables; a text ``$name`` in it stands for a value.
    tables : mapping of str to list of dict
        Rows of each name. A layer whose table has none is left out.
    description : str
        The chart in words.
    values
        Titles, ends of scales and whatever else stands for ``$name``.

    Returns
    -------
    chart : dict
        Vega-Lite with its rows, in the font of the language that is spoken.
    """

    def fill(part):
        if isinstance(part, str):
            return values[part[1:]] if part.startswith("$") else part
        if isinstance(part, list):
            return [fill(item) for item in part if drawn(item)]
        return {k: fill(v) for k, v in part.items()} if isinstance(part, dict) else part

    def drawn(layer):
        named = isinstance(layer, dict) and layer.get("data")
        return not named or tables[named["name"]]

    rows = {name: records(table) for name, table in tables.items()}
    return {**fill(look), **theme(), "datasets": rows, "description": description}


def either(test: str, yes, no):
    """One value where a test of Vega holds, another elsewhere."""
    return alt.condition(test, alt.value(yes), alt.value(no))


def reserved(table: str, x: float, words: str) -> alt.Chart:
    """Room for the longest words that may come beside a row, since a chart is not laid out anew."""
    unseen = rows(table).mark_text(align="left", dx=8, opacity=0)
    return unseen.encode(x=alt.value(x), y=alt.value(10), text=alt.value(words))
