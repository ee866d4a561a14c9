"""Table in, Altair chart out. Each function documents the columns it reads, converts SI to the unit
on its axis, labels directly where it can, and sets `description`, the text made from the data."""

import altair as alt
import pandas as pd

from planner.display import RANGE
from planner.language import label, say
from planner.theme import (
    BLUE,
    HELD_BACK,
    INK,
    QUIET,
    ROW_WIDTH,
    WIDTH,
    figure,
    finish,
    money,
    require,
)  # fmt: skip

PAIR = "{name}: {value}"


def ranked_costs(options: pd.DataFrame, currency: str, *, title: str = "Three-year cost"):
    """Bars of cost with their band, in the order given.

    Parameters
    ----------
    options : pandas.DataFrame
        Columns ``option``, ``cost``, ``cost_low``, ``cost_high`` [currency] and, optionally,
        ``recommended`` (true for the option to stress).
    currency : str
        Currency code on the axis.
    """
    data = require(options, "option", "cost", "cost_low", "cost_high")
    if "recommended" not in data:
        data["recommended"] = False
    factor, unit = money(data["cost_high"].max(), currency)
    for field in ("cost", "cost_low", "cost_high"):
        data[field] = data[field].astype(float) * factor
    data["label"] = data["cost"].map(figure)
    base = alt.Chart(data).encode(
        y=alt.Y("option:N", sort=None, title=None),
    )
    top = 1.12 * float(data["cost_high"].max()) or 1.0  # room for the label
    scale = alt.Scale(domain=[min(0.0, float(data["cost_low"].min())), top], nice=False)
    title = label(title)
    axis = alt.X("cost:Q", title=f"{title} [{unit}]", scale=scale)
    bars = base.mark_bar(height={"band": 0.62}).encode(
        x=axis,
        color=alt.condition("datum.recommended", alt.value(BLUE), alt.value(HELD_BACK)),
    )
    bands = base.mark_rule(strokeWidth=1.6, color=INK).encode(x="cost_low:Q", x2="cost_high:Q")
    labels = base.mark_text(align="left", dx=8).encode(x="cost_high:Q", text="label:N")
    parts = say("; ").join(
        say(
            "{name}: {value} ({low} to {high}), recommended"
            if row.recommended
            else "{name}: {value} ({low} to {high})",
            name=row.option, value=row.label, low=figure(row.cost_low), high=figure(row.cost_high),
        )
        for row in data.itertuples()
    )  # fmt: skip
    description = say(
        "Bar chart of {title} in {unit}. {parts}.", title=title.lower(), unit=unit, parts=parts
    )
    return finish(bars + bands + labels, description, 34 * len(data), ROW_WIDTH)


def break_even(paths: pd.DataFrame, currency: str, *, month: float | None = None):
    """Cumulative cost of each way over time and the month in which owning becomes cheaper.

    Parameters
    ----------
    paths : pandas.DataFrame
        Columns ``month``, ``option`` and ``cost`` [currency, cumulative].
    month : float
        Month of break-even; none when the lines never cross. [month]
    """
    data = require(paths, "month", "option", "cost")
    factor, unit = money(data["cost"].max(), currency)
    data["cost"] = data["cost"].astype(float) * factor
    data["option"] = data["option"].map(label)
    names = data["option"].unique().tolist()
    last = data["month"].max()
    colour = alt.Color("option:N", legend=None, scale=alt.Scale(domain=names))
    x = alt.X("month:Q", title=say("Month"), scale=alt.Scale(domain=[0, int(last)], nice=False))
    y = alt.Y("cost:Q", title=f"{say('Cumulative cost')} [{unit}]", scale=alt.Scale(domainMin=0))
    lines = alt.Chart(data).mark_line().encode(x=x, y=y, color=colour)
    ends = data[data["month"] == last].sort_values("cost").copy()
    # Labels closer than a line of text are pushed apart.
    gap, floor = 0.065 * float(data["cost"].max()), -float("inf")
    places = []
    for cost in ends["cost"]:
        floor = max(float(cost), floor + gap)
        places.append(floor)
    ends["place"] = places
    labels = (
        alt.Chart(ends)
        .mark_text(align="left", dx=8, limit=170)
        .encode(x="month:Q", y="place:Q", text="option:N", color=colour)
    )
    chart = lines + labels
    words = say("The lines do not cross.")
    if month is not None:
        mark = alt.Chart(
            pd.DataFrame({"month": [month], "words": [say("month {first:.0f}", first=month)]})
        )
        chart += mark.mark_rule(strokeDash=[4, 3]).encode(x="month:Q")
        chart += mark.mark_text(align="left", dx=5, baseline="top", color=QUIET).encode(
            x="month:Q", y=alt.value(2), text="words:N"
        )
        words = say("Break-even in month {month:.0f}.", month=month)
    listed = say("; ").join(
        say(PAIR, name=row.option, value=figure(row.cost)) for row in ends.itertuples()
    )
    description = say(
        "Cumulative cost in {unit} over {months:.0f} months. At the end {listed}. {words}",
        unit=unit, months=last, listed=listed, words=words,
    )  # fmt: skip
    return finish(chart, description, 280, width=WIDTH - 110)


def tornado(factors: pd.DataFrame, currency: str, *, base: float, title: str = "Three-year cost"):
    """What moves the cost most, one assumption at a time.

    Parameters
    ----------
    factors : pandas.DataFrame
        Columns ``factor``, ``low`` and ``high`` [currency]: the cost with that assumption at its
        low and its high end.
    base : float
        Cost with every assumption in the middle. [currency]
    """
    data = require(factors, "factor", "low", "high")
    data["factor"] = data["factor"].map(label)
    data["span"] = (data["high"] - data["low"]).abs()
    data = data.sort_values("span", ascending=False)
    factor, unit = money(max(data["high"].max(), data["low"].max()), currency)
    data["left"] = data[["low", "high"]].min(axis=1).astype(float) * factor
    data["right"] = data[["low", "high"]].max(axis=1).astype(float) * factor
    data["label"] = [
        say(RANGE, low=figure(row.left), high=figure(row.right)) for row in data.itertuples()
    ]
    title = label(title)
    chart = alt.Chart(data).encode(y=alt.Y("factor:N", sort=None, title=None))
    widest = float(data["right"].max() - data["left"].min())
    ends = [float(data["left"].min()) - 0.05 * widest, float(data["right"].max()) + 0.3 * widest]
    scale = alt.Scale(domain=ends, zero=False, nice=False)
    bars = chart.mark_bar(height={"band": 0.62}).encode(
        x=alt.X("left:Q", title=f"{title} [{unit}]", scale=scale), x2="right:Q"
    )
    labels = chart.mark_text(align="left", dx=6).encode(x="right:Q", text="label:N")
    middle = alt.Chart(pd.DataFrame({"base": [base * factor]})).mark_rule().encode(x="base:Q")
    listed = say("; ").join(
        say(PAIR, name=row.factor, value=row.label) for row in data.itertuples()
    )
    description = say(
        "Range of {title} in {unit} per assumption around {middle}: {listed}.",
        title=title.lower(), unit=unit, middle=figure(base * factor), listed=listed,
    )  # fmt: skip
    return finish(bars + labels + middle, description, 34 * len(data), ROW_WIDTH)
