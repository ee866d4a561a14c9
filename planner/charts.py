"""Table in, Vega-Lite out. Each function documents the columns it reads, converts SI to the unit
on its axis, labels directly where it can, and sets `description`, the text made from the data."""

from collections.abc import Mapping
from functools import cache
from itertools import combinations

import altair as alt
import numpy as np
import pandas as pd

from planner.display import RANGE
from planner.language import label, say
from planner.looks import either, filled, layered, look, rows
from planner.theme import BLUE, HELD_BACK, INK, ROW_WIDTH, figure, money, require

PAIR = "{name}: {value}"
BAR = {"height": {"band": 0.62}}
HALF = 240, 200  # of what is drawn of a chart beside another [px]
NARROW = 175  # the same with words on the vertical axis [px]
MOST_FACTORS = 8  # that are drawn


def ranked_costs(options: pd.DataFrame, currency: str, *, title: str = "Three-year cost") -> dict:
    """Bars of cost with their band, in the order given.

    Parameters
    ----------
    options : pandas.DataFrame
        Columns ``option``, ``cost``, ``cost_low``, ``cost_high`` [currency] and, optionally,
        ``recommended`` (true for the option to stress).
    currency : str
        Currency code on the axis.
    """
    ends = ["cost", "cost_low", "cost_high"]
    data = require(options, "option", *ends).to_dict("records")
    factor, unit = money(max(row["cost_high"] for row in data), currency)
    data = [row | {end: float(row[end]) * factor for end in ends} for row in data]
    for row in data:
        row["label"] = figure(row["cost"])
    title = label(title)
    parts = say("; ").join(
        say(
            "{name}: {value} ({low} to {high}), recommended"
            if row.get("recommended")
            else "{name}: {value} ({low} to {high})",
            name=row["option"], value=row["label"],
            low=figure(row["cost_low"]), high=figure(row["cost_high"]),
        )
        for row in data
    )  # fmt: skip
    description = say(
        "Bar chart of {title} in {unit}. {parts}.", title=title.lower(), unit=unit, parts=parts
    )
    return filled(
        _ranked(), {"options": data}, description, title=f"{title} [{unit}]",
        least=min(0.0, *(row["cost_low"] for row in data)),
        most=1.12 * max(row["cost_high"] for row in data) or 1.0,  # room for the label
    )  # fmt: skip


@cache
def _ranked():
    scale = alt.Scale(domain=["$least", "$most"], nice=False)
    base = rows("options").encode(y=alt.Y("option:N", sort=None, title=None))
    layers = [
        base.mark_bar(**BAR).encode(
            x=alt.X("cost:Q", title="$title", scale=scale),
            color=either("datum.recommended", BLUE, HELD_BACK),
        ),
        base.mark_rule(strokeWidth=1.6, color=INK).encode(x="cost_low:Q", x2="cost_high:Q"),
        base.mark_text(align="left", dx=8).encode(x="cost_high:Q", text="label:N"),
    ]
    return look(layered(layers, ROW_WIDTH, alt.Step(24)))


def cumulative(paths: Mapping, currency: str) -> dict:
    """Cumulative cost of each way over the months.

    Parameters
    ----------
    paths : mapping of str to sequence
        Cost until the end of each month, by what it is called. [currency]
    currency : str
        Currency code on the axis.
    """
    factor, unit = money(max(max(path) for path in paths.values()), currency)
    paths = {label(name): factor * np.asarray(path, float) for name, path in paths.items()}
    data = [
        {"month": month, "option": name, "cost": cost}
        for name, path in paths.items()
        for month, cost in enumerate(path.tolist(), 1)
    ]
    last = data[-1]["month"]
    ends = sorted((row for row in data if row["month"] == last), key=lambda row: row["cost"])
    # Labels closer than a line of text are pushed apart.
    gap, floor = 0.065 * max(row["cost"] for row in data), -float("inf")
    for row in ends:
        row["place"] = floor = max(row["cost"], floor + gap)
    apart = [one - other for one, other in combinations(paths.values(), 2)]
    crossed = any(gap.min() < 0 < gap.max() for gap in apart)
    description = say(
        "Cumulative cost in {unit} over {months:.0f} months. At the end {listed}. {words}",
        unit=unit, months=last,
        listed=say("; ").join(
            say(PAIR, name=row["option"], value=figure(row["cost"])) for row in ends
        ),
        words=say("The lines cross." if crossed else "The lines do not cross."),
    )  # fmt: skip
    return filled(
        _cumulative(), {"paths": data, "ends": ends}, description, last=last, month=say("Month"),
        title=f"{say('Cumulative cost')} [{unit}]",
    )  # fmt: skip


@cache
def _cumulative():
    x = alt.X("month:Q", title="$month", scale=alt.Scale(domain=[0, "$last"], nice=False))
    y = alt.Y("cost:Q", title="$title", scale=alt.Scale(domainMin=0))
    colour = alt.Color("option:N", legend=None, sort=None)
    lines = rows("paths").mark_line().encode(x=x, y=y, color=colour)
    names = rows("ends").mark_text(align="left", dx=8, limit=170)
    names = names.encode(x="month:Q", y="place:Q", text="option:N", color=colour)
    return look(layered((lines, names), *HALF))


def tornado(
    factors: pd.DataFrame, currency: str, *, base: float, title: str = "Three-year cost"
) -> dict:
    """What moves the cost most, one assumption at a time.

    Parameters
    ----------
    factors : pandas.DataFrame
        Columns ``factor``, ``low`` and ``high`` [currency]: the cost with that assumption at its
        low and its high end.
    currency : str
        Currency code on the axis.
    base : float
        Cost with every assumption in the middle. [currency]
    """
    data = require(factors, "factor", "low", "high").to_dict("records")
    data = sorted(data, key=lambda row: -abs(row["high"] - row["low"]))[:MOST_FACTORS]
    factor, unit = money(max(max(row["low"], row["high"]) for row in data), currency)
    for row in data:
        row["factor"] = label(row["factor"])
        row["left"], row["right"] = (factor * end for end in sorted((row["low"], row["high"])))
        row["label"] = say(RANGE, low=figure(row["left"]), high=figure(row["right"]))
    left, right = min(row["left"] for row in data), max(row["right"] for row in data)
    title = label(title)
    listed = say("; ").join(say(PAIR, name=row["factor"], value=row["label"]) for row in data)
    description = say(
        "Range of {title} in {unit} per assumption around {middle}: {listed}.",
        title=title.lower(), unit=unit, middle=figure(base * factor), listed=listed,
    )  # fmt: skip
    return filled(
        _tornado(), {"factors": data, "middle": [{"base": base * factor}]}, description,
        title=f"{title} [{unit}]", left=left - 0.05 * (right - left),
        right=right + 0.3 * (right - left),
    )  # fmt: skip


@cache
def _tornado():
    scale = alt.Scale(domain=["$left", "$right"], zero=False, nice=False)
    x = alt.X("left:Q", title="$title", scale=scale, axis=alt.Axis(tickCount=4))
    base = rows("factors").encode(y=alt.Y("factor:N", sort=None, title=None))
    layers = [
        base.mark_bar(**BAR).encode(x=x, x2="right:Q"),
        base.mark_text(align="left", dx=6).encode(x="right:Q", text="label:N"),
        rows("middle").mark_rule().encode(x="base:Q"),
    ]
    return look(layered(layers, NARROW, HALF[1]))
