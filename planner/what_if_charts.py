"""Looks of the charts of other circumstances; their rows come apart (`display.drawing`)."""

from functools import cache

import altair as alt

from planner.purchase_charts import COLOURS, HALO, WAYS
from planner.theme import BLUE, INK, PALETTE, QUIET, WIDTH

BAR = 24  # height of a row of words [px]
NAMES = 430  # room for the words beside it [px]
WAY = alt.Scale(domain=list(WAYS), range=list(COLOURS))


@cache
def ranking(currency: str) -> dict:
    """
    Options by cost, with their band and what they cost as planned.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Table ``options``: name, way (one of `purchase_charts.WAYS`), cost, low, high, planned
        [currency], score [%], chosen; in the order shown.
    """
    base = alt.Chart(alt.NamedData("options")).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=NAMES))
    )
    scale = alt.Scale(type="log", nice=False, padding=14)
    x = alt.X("cost:Q", title=f"Cost over the plan [{currency}]", scale=scale,
              axis=alt.Axis(format="~s"))  # fmt: skip
    colour = alt.Color("way:N", scale=WAY, legend=alt.Legend(symbolType="circle"))
    tips = [
        alt.Tooltip("name:N", title="Option"),
        alt.Tooltip("cost:Q", title=f"Cost [{currency}]", format=",.3s"),
        alt.Tooltip("low:Q", title="Cost, low", format=",.3s"),
        alt.Tooltip("high:Q", title="Cost, high", format=",.3s"),
        alt.Tooltip("planned:Q", title="Cost as planned", format=",.3s"),
        alt.Tooltip("score:Q", title="Score [%]", format=".1f"),
    ]
    bands = base.mark_rule(strokeWidth=1.6).encode(x="low:Q", x2="high:Q", color=colour)
    before = base.transform_filter("isValid(datum.planned)").mark_tick(
        color=QUIET, thickness=2.5, size=15
    )
    points = base.mark_circle(size=90, opacity=1).encode(x=x, color=colour, tooltip=tips)
    ring = base.transform_filter("datum.chosen").mark_point(size=230, color=INK, strokeWidth=2)
    layers = bands, before.encode(x="planned:Q"), points, ring.encode(x=x)
    return alt.layer(*layers).properties(width=WIDTH - 60, height=alt.Step(BAR)).to_dict()


@cache
def tornado(currency: str) -> dict:
    """
    What moves a cost most, one figure at a time.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Table ``factors``: factor, left, right, base [currency], label; widest first.
    """
    base = alt.Chart(alt.NamedData("factors")).encode(
        y=alt.Y("factor:N", sort=None, title=None, axis=alt.Axis(labelLimit=NAMES))
    )
    scale = alt.Scale(zero=False, nice=False, padding=20)
    x = alt.X("left:Q", title=f"Cost over the plan [{currency}]", scale=scale,
              axis=alt.Axis(format="~s"))  # fmt: skip
    tips = [alt.Tooltip("factor:N", title="Figure"), alt.Tooltip("label:N", title="Cost")]
    bars = base.mark_bar(height={"band": 0.62}, color=BLUE).encode(x=x, x2="right:Q", tooltip=tips)
    middle = base.mark_rule(color=INK).encode(x="mean(base):Q", y=alt.Y())
    texts = base.mark_text(align="left").encode(x=alt.value(WIDTH + 8), text="label:N")
    return alt.layer(bars, middle, texts).properties(width=WIDTH, height=alt.Step(BAR)).to_dict()


@cache
def by_load(currency: str) -> dict:
    """
    Cost of each way against the calls a day.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Tables ``costs``: way, name, calls [call/day], cost [currency]; ``planned``: calls.
    """
    base = alt.Chart(alt.NamedData("costs"))
    x = alt.X("calls:Q", title="Calls a day in the first year", axis=alt.Axis(format="~s"),
              scale=alt.Scale(type="log", nice=False))  # fmt: skip
    y = alt.Y("cost:Q", title=f"Cost over the plan [{currency}]", axis=alt.Axis(format="~s"),
              scale=alt.Scale(type="log", nice=False, padding=10))  # fmt: skip
    colour = alt.Color("way:N", scale=WAY, legend=alt.Legend(symbolType="stroke"))
    tips = [
        alt.Tooltip("name:N", title="Option"),
        alt.Tooltip("calls:Q", title="Calls a day", format=",.3s"),
        alt.Tooltip("cost:Q", title=f"Cost [{currency}]", format=",.3s"),
    ]
    lines = base.mark_line(strokeWidth=2.2).encode(x=x, y=y, color=colour)
    points = base.mark_circle(size=60, opacity=0).encode(x=x, y=y, tooltip=tips)
    wall = alt.Chart(alt.NamedData("planned")).mark_rule(strokeDash=[4, 3], color=QUIET)
    layers = wall.encode(x="calls:Q"), lines, points
    return alt.layer(*layers).properties(width=WIDTH + 160, height=300).to_dict()


@cache
def by_year(currency: str) -> dict:
    """
    Cost of every year by what is paid for.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Tables ``costs``: year, item, cost [currency]; ``years``: year, top [currency], label.
    """
    x = alt.X("cost:Q", title=f"Paid in the year [{currency}]", axis=alt.Axis(format="~s"),
              stack=True)  # fmt: skip
    y = alt.Y("year:O", title="Year", sort=None)
    colour = alt.Color("item:N", scale=alt.Scale(range=PALETTE), legend=alt.Legend(columns=4))
    tips = [
        alt.Tooltip("year:O", title="Year"),
        alt.Tooltip("item:N", title="For"),
        alt.Tooltip("cost:Q", title=f"Cost [{currency}]", format=",.3s"),
    ]
    bars = alt.Chart(alt.NamedData("costs")).mark_bar(height={"band": 0.55})
    notes = alt.Chart(alt.NamedData("years"))
    texts = [
        notes.mark_text(align="left", dx=8, **style).encode(x="top:Q", y=y, text="label:N")
        for style in (HALO, {})
    ]
    layers = bars.encode(x=x, y=y, color=colour, tooltip=tips), *texts
    return alt.layer(*layers).properties(width=WIDTH + 160, height=alt.Step(44)).to_dict()
