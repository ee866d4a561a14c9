"""Looks of the charts about money: costs, a purchase, other circumstances.

Each is Vega-Lite that names its tables; their rows come apart (`display.drawing`). `currency` is
what stands on its axes.
"""

from functools import cache

import altair as alt

from planner.looks import (
    DASHED,
    LOG,
    SHORT,
    TIGHT,
    colours,
    dotted,
    halo,
    layered,
    look,
    names,
    rows,
    tips,
)
from planner.theme import BLUE, GREEN, INK, ORANGE, PALETTE, PURPLE, QUIET, SKY, VERMILION, WIDTH

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
LINES = dict(zip(GROUPS, (BLUE, ORANGE, "#8C6D31", SKY, GREEN, PURPLE, VERMILION), strict=True))
WAYS = {"bought": BLUE, "rented": ORANGE, "paid per token": GREEN}
CALLED = dict(zip(("own", "rent", "api"), WAYS, strict=True))  # a way to serve, by its sourcing
WIDE, BARS = 640, 290  # of curves, and of bars with words on either side [px]
PANEL = 405  # width of one of two panels side by side [px]
BAR, NAMES = 24, 430  # height of a row of words, and room for the words beside it [px]
RING = {"size": 230, "color": INK, "strokeWidth": 2}
SCALE = alt.Scale(type="log", nice=False, padding=14)
# Thousands are written k, but what is below one is not written in thousandths.
THOUSANDS = "datum.value >= 1000 ? format(datum.value, '~s') : format(datum.value, '~r')"
TICKS = alt.Axis(labelExpr=THOUSANDS, tickCount=6)
DECADES = alt.Axis(labelExpr=THOUSANDS, values=[10.0**power for power in range(-4, 12)])
LEGEND = alt.Legend(columns=2, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3,
                    labelLimit=420)  # fmt: skip
BY_WAY = alt.Color("way:N", scale=alt.Scale(range=PALETTE), legend=LEGEND,
                   sort=alt.EncodingSortField("place", op="min"))  # fmt: skip


def _over_the_plan(currency):
    return f"Cost over the plan [{currency}]"


def _band(currency, name="Cost"):
    return tips({"cost": f"{name} [{currency}]", "low": "Low", "high": "High"}, ",.4~g")


def _curves(x, y, shown):
    """Lines by way with their bands, where these have both ends."""
    base = rows("curves").encode(x=x, y=y, color=BY_WAY)
    both = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
    band = both.mark_area(opacity=0.12).encode(y="low:Q", y2="high:Q")
    return band, *dotted(base, shown, 24)


def _said(chart):
    """Words at points, every second one above, since neighbours come close."""
    return [
        layer
        for side, dy in ((0, 13), (1, -13))
        for layer in halo(chart.transform_filter(f"datum.side == {side}"), "words:N",
                          align="left", dx=9, dy=dy)
    ]  # fmt: skip


@cache
def by_line(currency: str) -> dict:
    """
    Cost of every way to serve, stacked by what is paid for.

    Tables ``parts``: way, place, line, order, cost [currency], source. ``sums``: way, place,
    cost, low, high [currency], words, at (where they begin) [currency].
    """
    y = names("way", labelLimit=420)
    bars = rows("parts").mark_bar(height={"band": 0.6}).encode(
        x=alt.X("sum(cost):Q", title=f"Cost over the years of the plan [{currency}]", axis=TICKS),
        y=y, order=alt.Order("order:Q"), color=colours("line", LINES, columns=4),
        tooltip=tips({"way": "Way", "line": "For", "cost": (f"Cost [{currency}]", ",.0f"),
                      "source": "Price"}),
    )  # fmt: skip
    sums = rows("sums").encode(y=y)
    bands = sums.mark_rule(color=INK, strokeWidth=1.6).encode(
        x="low:Q", x2="high:Q", tooltip=tips({"way": "Way"}) + _band(currency, "Sum")
    )
    texts = sums.mark_text(align="left", dx=7).encode(x="at:Q", text="words:N")
    return look(layered((bars, bands, texts), BARS, 190))


@cache
def against_calls(currency: str) -> dict:
    """
    Cost of every way against calls a day, with the crossings and the team's own calls.

    Tables ``curves``: way, place, calls [call/day], cost, low, high [currency]. ``cross``:
    calls, cost, words, side (0 or 1). ``marks``: own (of the team), claim (of the guide)
    [call/day]. Signal ``calls_factor``.
    """
    x = alt.X("calls:Q", title="Calls a day in the first year", scale=LOG, axis=DECADES)
    y = alt.Y("cost:Q", title=f"Cost at present value [{currency}]", axis=DECADES, scale=LOG)
    shown = tips({"way": "Way", "calls": ("Calls a day", ",.3~r")}) + _band(currency)
    band, *lines = _curves(x, y, shown)
    now = "datum.own * calls_factor"
    rules = []
    for calls, words, shade, place in (
        (now, f"format({now}, ',.3~r') + ' calls a day'", INK, 2),
        ("datum.claim", "'the guide: ' + datum.claim + ' a day'", VERMILION, 18),
    ):
        mark = rows("marks").transform_calculate(calls=calls, words=words).encode(x="calls:Q")
        rules.append(mark.mark_rule(color=shade, **DASHED, strokeWidth=1.5))
        rules += halo(mark.encode(y=alt.value(place)), "words:N", shade, align="left",
                      baseline="top", dx=4)  # fmt: skip
    cross = rows("cross").encode(x=x, y=y)
    rings = cross.mark_point(size=110, color=INK, strokeWidth=2)
    layers = band, *rules, *lines, rings, *_said(cross)
    return look(layered(layers, WIDE, 360), calls_factor=1)


@cache
def by_month(currency: str) -> dict:
    """
    Cumulative cost month by month.

    Table ``months``: way, place, month, cost [currency].
    """
    title = f"Paid so far [{currency}]"
    base = rows("months").encode(
        x=alt.X("month:Q", title="Month", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=8)),
        y=alt.Y("cost:Q", title=title, axis=TICKS), color=BY_WAY,
    )  # fmt: skip
    shown = tips({"way": "Way", "month:Q": "Month", "cost": (title, ",.0f")})
    return look(layered(dotted(base, shown, 22, {"interpolate": "step-after"}), WIDE, 250))


@cache
def against_use(currency: str) -> dict:
    """
    Cost of a million tokens against the share of the year in which the machines work.

    Tables ``curves``: way, place, use [%], cost, low, high [currency/Mtoken]. ``now``: way,
    place, use [%], cost [currency/Mtoken], words, side (0 or 1).
    """
    x = alt.X("use:Q", title="Share of the year in which the machines are full [%]", scale=LOG,
              axis=DECADES)  # fmt: skip
    y = alt.Y("cost:Q", title=f"Cost [{currency}/million tokens]", scale=LOG, axis=DECADES)
    curves = _curves(x, y, tips({"way": "Way", "use": ("Use [%]", ".3~r")}) + _band(currency))
    now = rows("now").encode(x=x, y=y)
    rings = now.mark_point(size=120, strokeWidth=2.5, filled=False).encode(color=BY_WAY)
    return look(layered((*curves, rings, *_said(now)), WIDE, 280))


@cache
def cost_against_speed(currency: str) -> dict:
    """
    Cost of every option against its first token, and beside it against its writing speed.

    Table ``options``: name, way (one of `WAYS`), cost, cost_low, cost_high [currency], first,
    first_low, first_high [s], speed, speed_low, speed_high [token/s] (missing where the
    provider states none), score [%], quickest, fastest (not beaten on cost and first token, or
    on cost and speed), chosen, source.
    """
    panels = (
        _panel(currency, "first", "First token with nobody else waiting [s]", "quickest", True),
        _panel(currency, "speed", "Writing speed of one answer [token/s]", "fastest", False),
    )
    return look(alt.hconcat(*panels, spacing=24))


def _panel(currency, field, title, front, first):
    axis = alt.Axis(title=_over_the_plan(currency) if first else None, format="~s")
    base = rows("options").encode(y=alt.Y("cost:Q", scale=SCALE, axis=axis))
    x = alt.X(f"{field}:Q", title=title, scale=SCALE, axis=alt.Axis(format="~g"))
    colour = colours("way", WAYS, **{"symbolType": "circle"} if first else {})
    shown = tips({
        "name": "Option", "cost": (f"Cost [{currency}]", ",.3s"),
        "cost_low": ("Cost, low", ",.3s"), "cost_high": ("Cost, high", ",.3s"),
        "first": ("First token [s]", ".3g"), "first_low": ("at the fast end", ".3g"),
        "first_high": ("at the slow end", ".3g"), "speed": ("Speed [token/s]", ".3g"),
        "speed_low": ("at the slow end", ".3g"), "speed_high": ("at the fast end", ".3g"),
        "score": ("Score [%]", ".1f"), "source:N": "Price from",
    })  # fmt: skip
    timed, chosen = f"isValid(datum.{field})", base.transform_filter("datum.chosen")
    points = base.transform_filter(timed).mark_circle(size=55, opacity=0.75)
    untimed = base.transform_filter(f"!{timed}").mark_tick(
        thickness=3, size=16, orient="horizontal"
    )
    line = base.transform_filter(f"datum.{front}").mark_line(
        interpolate="step-after" if first else "step-before", color=QUIET, **DASHED,
        strokeWidth=1.3,
    )  # fmt: skip
    edge = alt.value(PANEL - 4)
    layers = [
        line.encode(x=x, order=f"{field}:Q"),
        points.encode(x=x, color=colour, tooltip=shown),
        untimed.encode(x=edge, color=colour, tooltip=shown),
        chosen.transform_filter(timed).mark_point(**RING).encode(x=x),
        chosen.transform_filter(f"!{timed}").mark_point(**RING).encode(x=edge),
    ]
    if first:
        named = chosen.transform_calculate(words="'Recommended: ' + datum.name").mark_text(
            align="left", baseline="top", fontWeight=600, limit=2 * PANEL
        )
        layers.append(named.encode(x=alt.value(8), y=alt.value(-16), text="words:N"))
    return layered(layers, PANEL, 320)


@cache
def ranking(currency: str) -> dict:
    """
    Options by cost, with their band and what they cost as planned.

    Table ``options``: name, way (one of `WAYS`), cost, low, high, planned [currency],
    score [%], chosen; in the order shown.
    """
    base = rows("options").encode(
        x=alt.X("cost:Q", title=_over_the_plan(currency), scale=SCALE, axis=SHORT),
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=NAMES)),
    )
    colour = colours("way", WAYS, symbolType="circle")
    shown = tips({
        "name": "Option", "cost": (f"Cost [{currency}]", ",.3s"), "low": ("Cost, low", ",.3s"),
        "high": ("Cost, high", ",.3s"), "planned": ("Cost as planned", ",.3s"),
        "score": ("Score [%]", ".1f"),
    })  # fmt: skip
    layers = [
        base.mark_rule(strokeWidth=1.6).encode(x="low:Q", x2="high:Q", color=colour),
        base.transform_filter("isValid(datum.planned)")
        .mark_tick(color=QUIET, thickness=2.5, size=15)
        .encode(x="planned:Q"),
        base.mark_circle(size=90, opacity=1).encode(color=colour, tooltip=shown),
        base.transform_filter("datum.chosen").mark_point(**RING),
    ]
    return look(layered(layers, WIDTH - 60, alt.Step(BAR)))


@cache
def tornado(currency: str) -> dict:
    """
    What moves a cost most, one figure at a time.

    Table ``factors``: factor, left, right, base [currency], label; widest first.
    """
    y = alt.Y("factor:N", sort=None, title=None, axis=alt.Axis(labelLimit=NAMES))
    x = alt.X("left:Q", title=_over_the_plan(currency), axis=SHORT,
              scale=alt.Scale(zero=False, nice=False, padding=20))  # fmt: skip
    base = rows("factors").encode(y=y)
    shown = tips({"factor": "Figure", "label": "Cost"})
    layers = [
        base.mark_bar(height={"band": 0.62}, color=BLUE).encode(x=x, x2="right:Q", tooltip=shown),
        base.mark_rule(color=INK).encode(x="mean(base):Q", y=alt.Y()),
        base.mark_text(align="left").encode(x=alt.value(WIDTH + 8), text="label:N"),
    ]
    return look(layered(layers, WIDTH, alt.Step(BAR)))


@cache
def by_load(currency: str) -> dict:
    """
    Cost of each way against the calls a day.

    Tables ``costs``: way, name, calls [call/day], cost [currency]; ``planned``: calls.
    """
    base = rows("costs").encode(
        x=alt.X("calls:Q", title="Calls a day in the first year", axis=SHORT, scale=TIGHT),
        y=alt.Y("cost:Q", title=_over_the_plan(currency), axis=SHORT,
                scale=alt.Scale(type="log", nice=False, padding=10)),
    )  # fmt: skip
    colour = colours("way", WAYS, symbolType="stroke")
    shown = tips({"name": "Option", "calls": ("Calls a day", ",.3s"),
                  "cost": (f"Cost [{currency}]", ",.3s")})  # fmt: skip
    layers = [
        rows("planned").mark_rule(**DASHED, color=QUIET).encode(x="calls:Q"),
        base.mark_line(strokeWidth=2.2).encode(color=colour),
        base.mark_circle(size=60, opacity=0).encode(tooltip=shown),
    ]
    return look(layered(layers, WIDTH + 160, 300))


@cache
def by_year(currency: str) -> dict:
    """
    Cost of every year by what is paid for.

    Tables ``costs``: year, item, cost [currency]; ``years``: year, top [currency], label.
    """
    y = alt.Y("year:O", title="Year", sort=None)
    bars = rows("costs").mark_bar(height={"band": 0.55}).encode(
        x=alt.X("cost:Q", title=f"Paid in the year [{currency}]", axis=SHORT, stack=True), y=y,
        color=alt.Color("item:N", scale=alt.Scale(range=PALETTE), legend=alt.Legend(columns=4)),
        tooltip=tips({"year:O": "Year", "item": "For", "cost": (f"Cost [{currency}]", ",.3s")}),
    )  # fmt: skip
    texts = halo(rows("years").encode(x="top:Q", y=y), "label:N", align="left", dx=8)
    return look(layered((bars, *texts), WIDTH + 160, alt.Step(44)))
