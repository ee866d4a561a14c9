"""Looks of the charts about money; their rows come apart (`display.drawing`)."""

from functools import cache

import altair as alt

from planner.theme import BLUE, GREEN, INK, ORANGE, PALETTE, PURPLE, SKY, VERMILION

# What is paid, in the order of the bars, each a sum of `pricing.LINES`.
GROUPS = {
    "Hardware, less its resale": ("capex", "lease", "decommissioning", "residual"),
    "Electricity": ("energy",),
    "Colocation": ("colocation",),
    "Support, licences": ("support", "software", "other"),
    "Staff": ("staff",),
    "Rent": ("rent",),
    "API": ("api",),
}
COLOURS = [BLUE, ORANGE, "#8C6D31", SKY, GREEN, PURPLE, VERMILION]
WIDE, BARS = 640, 290  # of curves, and of bars with words on either side [px]
HALO = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
# Thousands are written k, but what is below one is not written in thousandths.
SHORT = "datum.value >= 1000 ? format(datum.value, '~s') : format(datum.value, '~r')"
TICKS = alt.Axis(labelExpr=SHORT, tickCount=6)
DECADES = [10.0**power for power in range(-4, 12)]
LOGARITHM = alt.Axis(labelExpr=SHORT, values=DECADES)
LEGEND = alt.Legend(columns=2, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3,
                    labelLimit=420)  # fmt: skip


def _band(currency, name="Cost"):
    return [
        alt.Tooltip("cost:Q", title=f"{name} [{currency}]", format=",.4~g"),
        alt.Tooltip("low:Q", title="Low", format=",.4~g"),
        alt.Tooltip("high:Q", title="High", format=",.4~g"),
    ]


def _by_way():
    return alt.Color("way:N", scale=alt.Scale(range=PALETTE), legend=LEGEND,
                     sort=alt.EncodingSortField("place", op="min"))  # fmt: skip


def _band_of(chart):
    """The area of a band, where it has both ends."""
    both = chart.transform_filter("isValid(datum.low) && isValid(datum.high)")
    return both.mark_area(opacity=0.12)


def _said(chart, x, y):
    """Words at points, every second one above, since neighbours come close."""
    layers = []
    for side, dx, dy in ((0, 9, 13), (1, 9, -13)):
        part = chart.transform_filter(f"datum.side == {side}")
        for style in (HALO, {"color": INK}):
            text = part.mark_text(align="left", dx=dx, dy=dy, **style)
            layers.append(text.encode(x=x, y=y, text="words:N"))
    return layers


@cache
def by_line(currency: str) -> dict:
    """
    Cost of every way to serve, stacked by what is paid for.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Tables ``parts``: way, place, line, order, cost [currency], source. ``sums``: way, place,
        cost, low, high [currency], words, at (where they begin) [currency].
    """
    y = alt.Y("way:N", title=None, sort=alt.EncodingSortField("place", op="min"),
              axis=alt.Axis(labelLimit=420))  # fmt: skip
    bars = alt.Chart(alt.NamedData("parts")).mark_bar(height={"band": 0.6}).encode(
        x=alt.X("sum(cost):Q", title=f"Cost over the years of the plan [{currency}]", axis=TICKS),
        y=y, order=alt.Order("order:Q"),
        color=alt.Color("line:N", scale=alt.Scale(domain=list(GROUPS), range=COLOURS),
                        legend=alt.Legend(columns=4)),
        tooltip=[alt.Tooltip("way:N", title="Way"), alt.Tooltip("line:N", title="For"),
                 alt.Tooltip("cost:Q", title=f"Cost [{currency}]", format=",.0f"),
                 alt.Tooltip("source:N", title="Price")],
    )  # fmt: skip
    sums = alt.Chart(alt.NamedData("sums"))
    tips = [alt.Tooltip("way:N", title="Way"), *_band(currency, "Sum")]
    bands = sums.mark_rule(color=INK, strokeWidth=1.6).encode(
        x="low:Q", x2="high:Q", y=y, tooltip=tips
    )
    texts = sums.mark_text(align="left", dx=7).encode(x="at:Q", y=y, text="words:N")
    return alt.layer(bars, bands, texts).properties(width=BARS, height=190).to_dict()


@cache
def against_calls(currency: str) -> dict:
    """
    Cost of every way against calls a day, with the crossings and the team's own calls.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Tables ``curves``: way, place, calls [call/day], cost, low, high [currency]. ``cross``:
        calls, cost, words, side (0 or 1). ``marks``: own (of the team), claim (of the guide)
        [call/day]. Signal ``calls_factor``.
    """
    base = alt.Chart(alt.NamedData("curves"))
    x = alt.X("calls:Q", title="Calls a day in the first year", scale=alt.Scale(type="log"),
              axis=LOGARITHM)  # fmt: skip
    y = alt.Y("cost:Q", title=f"Cost at present value [{currency}]", axis=LOGARITHM,
              scale=alt.Scale(type="log"))  # fmt: skip
    colour = _by_way()
    band = _band_of(base).encode(x=x, y="low:Q", y2="high:Q", color=colour)
    tips = [
        alt.Tooltip("way:N", title="Way"),
        alt.Tooltip("calls:Q", title="Calls a day", format=",.3~r"),
        *_band(currency),
    ]
    lines = base.mark_line().encode(x=x, y=y, color=colour)
    points = base.mark_circle(size=24).encode(x=x, y=y, color=colour, tooltip=tips)
    marks = alt.Chart(alt.NamedData("marks"))
    now = marks.transform_calculate(
        calls="datum.own * calls_factor",
        words="format(datum.own * calls_factor, ',.3~r') + ' calls a day'",
    )
    claim = marks.transform_calculate(
        calls="datum.claim", words="'the guide: ' + datum.claim + ' a day'"
    )
    rules = []
    for chart, shade, place in ((now, INK, 2), (claim, VERMILION, 18)):
        rules.append(chart.mark_rule(color=shade, strokeDash=[4, 3], strokeWidth=1.5)
                     .encode(x="calls:Q"))  # fmt: skip
        for style in (HALO, {"color": shade}):
            text = chart.mark_text(align="left", baseline="top", dx=4, **style)
            rules.append(text.encode(x="calls:Q", y=alt.value(place), text="words:N"))
    cross = alt.Chart(alt.NamedData("cross"))
    rings = cross.mark_point(size=110, color=INK, strokeWidth=2).encode(x=x, y=y)
    chart = alt.layer(band, *rules, lines, points, rings, *_said(cross, x, y))
    chart = chart.add_params(alt.param(name="calls_factor", value=1))
    return chart.properties(width=WIDE, height=360).to_dict()


@cache
def by_month(currency: str) -> dict:
    """
    Cumulative cost month by month.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Table ``months``: way, place, month, cost [currency].
    """
    base = alt.Chart(alt.NamedData("months"))
    x = alt.X("month:Q", title="Month", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=8))
    y = alt.Y("cost:Q", title=f"Paid so far [{currency}]", axis=TICKS)
    colour = _by_way()
    tips = [alt.Tooltip("way:N", title="Way"), alt.Tooltip("month:Q", title="Month"),
            alt.Tooltip("cost:Q", title=f"Paid so far [{currency}]", format=",.0f")]  # fmt: skip
    lines = base.mark_line(interpolate="step-after").encode(x=x, y=y, color=colour)
    points = base.mark_circle(size=22).encode(x=x, y=y, color=colour, tooltip=tips)
    return alt.layer(lines, points).properties(width=WIDE, height=250).to_dict()


@cache
def against_use(currency: str) -> dict:
    """
    Cost of a million tokens against the share of the year in which the machines work.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Tables ``curves``: way, place, use [%], cost, low, high [currency/Mtoken]. ``now``: way,
        place, use [%], cost [currency/Mtoken], words, side (0 or 1).
    """
    base = alt.Chart(alt.NamedData("curves"))
    x = alt.X("use:Q", title="Share of the year in which the machines are full [%]",
              scale=alt.Scale(type="log"), axis=LOGARITHM)  # fmt: skip
    y = alt.Y("cost:Q", title=f"Cost [{currency}/million tokens]", scale=alt.Scale(type="log"),
              axis=LOGARITHM)  # fmt: skip
    colour = _by_way()
    tips = [alt.Tooltip("way:N", title="Way"), alt.Tooltip("use:Q", title="Use [%]", format=".3~r"),
            *_band(currency)]  # fmt: skip
    band = _band_of(base).encode(x=x, y="low:Q", y2="high:Q", color=colour)
    lines = base.mark_line().encode(x=x, y=y, color=colour)
    points = base.mark_circle(size=24).encode(x=x, y=y, color=colour, tooltip=tips)
    now = alt.Chart(alt.NamedData("now"))
    rings = now.mark_point(size=120, strokeWidth=2.5, filled=False).encode(x=x, y=y, color=colour)
    chart = alt.layer(band, lines, points, rings, *_said(now, x, y))
    return chart.properties(width=WIDE, height=280).to_dict()
