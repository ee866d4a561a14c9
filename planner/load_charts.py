"""Charts of latency under load: percentiles against the load of one replica, and hour by hour.

All are looks, Vega-Lite that names its tables. Those of the notebook get their rows apart
(`display.drawing`); `currency` is what stands on their axes. That of the report is filled.
"""

from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from planner.language import say
from planner.looks import (
    DASHED,
    LOG,
    SHORT,
    colours,
    dotted,
    filled,
    halo,
    layered,
    look,
    rows,
    tips,
)  # fmt: skip
from planner.theme import BLUE, GREEN, INK, PALE, PURPLE, SKY, VERMILION, figure, require

PANEL = 236  # width of one of two panels side by side [px]
HEIGHT = 250
WIDE, TWIN = 620, 305  # alone, and one of two side by side; both fit beside a file list [px]
PERCENTILES = {"50 %": "p50", "95 %": "p95", "99 %": "p99"}
SHADES = dict(zip(PERCENTILES, (SKY, BLUE, PURPLE), strict=True))
TITLES = {"ttft": "Time to first token [s]", "tpot": "Time per output token [ms]"}
PANELS = (
    "Two panels against the load of one replica in {unit}: time to first token and time per output "
    "token at the 50th, 95th and 99th percentile. Planned {planned}, within the limits up to "
    "{carried}, unstable from {wall}; {said}."
)


def latency_curves(
    curve: pd.DataFrame, *, limits: dict, planned: float, carried: float, wall: float
) -> dict:
    """First token and time per token against the load of one replica, with limits and wall.

    Parameters
    ----------
    curve : pandas.DataFrame
        Columns ``asked`` (load), ``end`` (middle or slow), ``ttft_p50`` to ``tpot_p99`` [s].
    limits : dict
        Limit of each of those columns that has one. [s]
    planned : float
        Load of the busiest hour. [call/s]
    carried : float
        Largest load within the limits. [call/s]
    wall : float
        Load above which nothing can be said about percentiles. [call/s]
    """
    data = require(curve, "asked", "end", *(f"ttft_{p}" for p in PERCENTILES.values()))
    right = max(float(data["asked"].max()), 1.05 * planned, 1.05 * carried)
    tables = {
        "wall": [{"from": wall, "to": right}] if wall < right else [],
        "carried": [_mark("within limits", carried, right)],
        "planned": [_mark("peak", planned, right)],
    }
    unit = say("call/s")
    values = {"right": right, "load": f"{say('Load')} [{unit}]"}
    for what, title in TITLES.items():
        times, top = _times(data, what, limits)
        tables |= times
        values |= {what: say(title), f"{what} top": top}
    said = say("; ").join(
        say("limit of {name} {value} s", name=name.replace("_", " "), value=figure(value))
        for name, value in limits.items()
    )
    description = say(
        PANELS, unit=unit, planned=figure(planned), carried=figure(carried), wall=figure(wall),
        said=said or say("no limits"),
    )  # fmt: skip
    return filled(_curves(), tables, description, **values)


def _mark(words, asked, right):
    left = asked < 0.55 * right
    return {"asked": asked, "words": f"{say(words)} {figure(asked)}",
            "align": "left" if left else "right", "dx": 4 if left else -4}  # fmt: skip


def _times(data, what, limits):
    """Rows of one panel and the upper end of its axis, both in the unit of that axis."""
    scale = 1e3 if what == "tpot" else 1.0
    times = [
        {"asked": asked, "time": scale * time, "share": share, "end": end}
        for share, p in PERCENTILES.items()
        for asked, end, time in zip(data["asked"], data["end"], data[f"{what}_{p}"], strict=True)
        if np.isfinite(time)
    ]
    own = {
        p: scale * limits[f"{what}_{p}"] for p in PERCENTILES.values() if f"{what}_{p}" in limits
    }
    top = 2.2 * max(own.values()) if own else 1.1 * np.quantile([row["time"] for row in times], 0.9)
    at = {"middle": {}, "slow": {}}
    for row in times:
        if row["share"] == "95 %":
            at[row["end"]][row["asked"]] = row["time"]
    return {
        f"{what} times": [row for row in times if row["end"] == "middle"],
        f"{what} slow": [
            {"asked": asked, "middle": time, "slow": at["slow"].get(asked, 10 * top)}
            for asked, time in at["middle"].items()
            if at["slow"]
        ],
        f"{what} limits": [
            {"time": value, "words": f"{say('limit')} {p[1:]} % {figure(value)}"}
            for p, value in own.items()
        ],
    }, float(top)


@cache
def _curves():
    panels = [_panel(what) for what in TITLES]
    return look(alt.hconcat(*panels, spacing=26))


def _panel(what):
    across = alt.Scale(domain=[0, "$right"], nice=False)
    x = alt.X("asked:Q", title="$load", axis=alt.Axis(tickCount=5), scale=across)
    y = alt.Y("time:Q", title=f"${what}",
              scale=alt.Scale(domain=[0, f"${what} top"], nice=False))  # fmt: skip
    key = {"symbolType": "stroke", "columns": 3}
    dashes = alt.Scale(domain=list(PERCENTILES), range=[[2, 2], [1, 0], [6, 3]])
    limit = rows(f"{what} limits").encode(y="time:Q")
    layers = [
        rows("wall").mark_rect(color=PALE, opacity=0.6).encode(
            x=alt.X("from:Q", scale=across), x2="to:Q"
        ),
        rows(f"{what} slow").mark_area(color=BLUE, opacity=0.14, clip=True).encode(
            x=x, y=alt.Y("middle:Q", title=f"${what}"), y2="slow:Q"
        ),
        rows(f"{what} times").mark_line(clip=True).encode(
            x=x, y=y, color=colours("share", SHADES, **key),
            strokeDash=alt.StrokeDash("share:N", scale=dashes, legend=alt.Legend(**key)),
        ),
        limit.mark_rule(color=VERMILION, strokeWidth=1.4),
        limit.mark_text(color=VERMILION, align="left", dx=3, baseline="bottom", dy=-3).encode(
            x=alt.value(0), text="words:N"
        ),
    ]  # fmt: skip
    side = {name: alt.ExprRef(f"datum.{name}") for name in ("align", "dx")}
    for table, colour, dy in (("carried", GREEN, 0), ("planned", INK, 15)):
        mark = rows(table).encode(x="asked:Q")
        layers.append(mark.mark_rule(color=colour, **DASHED, strokeWidth=1.4))
        for outline in ({"stroke": "white", "strokeWidth": 4, "color": "white"}, {"color": colour}):
            text = mark.mark_text(**side, baseline="top", dy=dy, **outline)
            layers.append(text.encode(y=alt.value(2), text="words:N"))
    return layered(layers, PANEL, HEIGHT)


@cache
def filling() -> dict:
    """
    One replica filling up, in two panels whose limits, busiest hour and capacity follow dials.

    Tables ``curve``: what (ttft, tpot), share (50 %, 95 %, 99 %), asked [call/s], time, slow
    (95 % at the slow end of the band) [s, ms], last. ``pieces``: as from `pressure.segments`,
    tpot in ms, with own (the team's limit) and right (end of the curve) [call/s]. ``plan``:
    planned, right [call/s], ttft [s], tpot [ms] (the team's limits). Signals ``ttft_factor``,
    ``tpot_factor``, ``load_factor``: all three relative to what the team states.
    """
    panels = [_filling(what, title) for what, title in TITLES.items()]
    return look(alt.hconcat(*panels, spacing=24), ttft_factor=1, tpot_factor=1, load_factor=1)


def _filling(what, title):
    unit = "s" if what == "ttft" else "ms"
    y = alt.Y("time:Q", title=title, scale=LOG)
    base = rows("curve").transform_filter(f"datum.what == '{what}'").encode(
        x=alt.X("asked:Q", title="Load of one replica [call/s]", axis=alt.Axis(tickCount=5)), y=y
    )  # fmt: skip
    coloured = base.encode(color=colours("share", SHADES))
    times = {"asked": "Load [call/s]", "time": f"Time [{unit}]",
             "slow": f"Slow end of the band [{unit}]",
             "used": ("Of the saturated rate", ".0%")}  # fmt: skip
    shown = tips({"share": "Of the calls"}) + tips(times, ".3g")
    band = base.transform_filter("isValid(datum.slow)").mark_area(color=BLUE, opacity=0.13)
    ends = coloured.transform_filter("datum.last")
    rule, said = _limit("plan", what, unit, y, 1.6)
    planned, *words = _upright("plan", _planned, INK, 17)
    carried, *more = _upright("pieces", _carried, GREEN, 2)
    layers = [
        band.encode(y2="slow:Q"), rule, planned, carried,
        *dotted(coloured, shown, 40, opacity=0.9), *words, *more,
        *(ends.transform_filter(f"datum.share {which} '99 %'")
          .mark_text(align="left", dx=6, dy=dy).encode(text="share:N")
          for which, dy in (("==", -6), ("!=", 3))),
        said,
    ]  # fmt: skip
    return layered(layers, TWIN, 280)


def _limit(table, what, unit, y, width):
    """The team's limit, a line and words, as the dial has moved it; none where none is stated."""
    base = _moved(table, what).transform_calculate(
        words=f"'limit ' + format(datum.{what} * {what}_factor, '.3~g') + ' {unit}'"
    ).encode(y=y)  # fmt: skip
    said = base.mark_text(color=VERMILION, align="left", baseline="bottom", dx=3, dy=-3)
    rule = base.mark_rule(color=VERMILION, strokeWidth=width)
    return rule, said.encode(x=alt.value(0), text="words:N")


def _moved(table, what):
    return (
        rows(table)
        .transform_filter(f"isValid(datum.{what})")
        .transform_calculate(time=f"datum.{what} * {what}_factor")
    )


def _upright(table, steps, colour, place):
    """An upright line with its label, on whichever side of it there is room."""
    base = steps(rows(table)).encode(x="asked:Q")
    layers = [base.mark_rule(color=colour, **DASHED, strokeWidth=1.6)]
    for side, align, dx in (("<", "left", 4), (">=", "right", -4)):
        part = base.transform_filter(f"datum.asked {side} 0.5 * datum.right")
        layers += halo(part.encode(y=alt.value(place)), "words:N", colour, align=align, dx=dx,
                       baseline="top")  # fmt: skip
    return layers


def _planned(chart):
    """The busiest hour at the dialled load; beyond the curve it stands at its end."""
    return chart.transform_calculate(
        asked="min(datum.planned * load_factor, datum.right)",
        words="'busiest hour ' + format(datum.planned * load_factor, '.3~g')",
    )


def _carried(chart):
    """What is carried within the dialled limits, by the same interpolation as `pressure.within`."""
    chart = chart.transform_calculate(
        limit="datum.own * (datum.name == 'ttft_p95' ? ttft_factor : tpot_factor)"
    ).transform_filter(
        "!isValid(datum.y1) || (datum.y0 <= datum.limit && datum.limit < datum.y1)"
    ).transform_calculate(
        at="isValid(datum.y1) ? datum.x0 + (datum.limit - datum.y0) / (datum.y1 - datum.y0)"
        " * (datum.x1 - datum.x0) : datum.x0"
    )  # fmt: skip
    chart = chart.transform_aggregate(asked="min(at)", groupby=["right"])
    return chart.transform_calculate(words="'carries ' + format(datum.asked, '.3~g')")


@cache
def hours() -> dict:
    """
    A day hour by hour: calls as bars, percentiles of the first token as lines.

    Tables ``calls``: hour, calls. ``waits``: hour, share (50 %, 95 %, 99 %), time [s], last.
    ``one``: ttft (the team's limit) [s]. Signal ``ttft_factor``.
    """
    x = alt.X("hour:O", title="Hour of the day", axis=alt.Axis(labelAngle=0))
    bars = rows("calls").mark_bar(color=PALE).encode(
        x=x, y=alt.Y("calls:Q", title="Calls [call/h]", axis=alt.Axis(tickCount=3)),
        tooltip=["hour:O", alt.Tooltip("calls:Q", format=",d")],
    )  # fmt: skip
    y = alt.Y("time:Q", title=TITLES["ttft"], scale=LOG)
    base = rows("waits").encode(x=x, y=y, color=colours("share", SHADES))
    shown = tips({"share": "Of the calls", "time": ("Time to first token [s]", ".3g")})
    rule, said = _limit("one", "ttft", "s", y, 1.4)
    layers = [
        rule,
        base.mark_line(point=True).encode(tooltip=["hour:O", *shown]),
        base.transform_filter("datum.last").mark_text(align="left", dx=9).encode(text="share:N"),
        said,
    ]
    stack = bars.properties(width=WIDE, height=80), layered(layers, WIDE, 240)
    return look(alt.vconcat(*stack), ttft_factor=1)


@cache
def against_load(currency: str) -> dict:
    """
    Replicas and cost of one machine against the load.

    Table ``steps``: factor, working, replicas, low, cost, high [currency]. Signal
    ``load_factor``.
    """
    step = {"interpolate": "step-after"}
    base = rows("steps").encode(
        x=alt.X("factor:Q", title="Load, times the team's own", scale=LOG,
                axis=alt.Axis(values=[0.1, 0.2, 0.5, 1, 2, 5, 10], format="~g")),
    )  # fmt: skip
    shown = tips({"factor": ("Load, times the team's own", ".3~g"),
                  "working:Q": "Working replicas", "replicas:Q": "With spares",
                  **_band(currency)})  # fmt: skip
    now = rows("one").transform_calculate(factor="load_factor").encode(x="factor:Q")
    rule = now.mark_rule(color=INK, **DASHED, strokeWidth=1.6)
    count = base.encode(y=alt.Y("replicas:Q", title="Replicas, spares included",
                                axis=alt.Axis(tickMinStep=1)))  # fmt: skip
    cost = base.encode(y=alt.Y("cost:Q", title=f"Cost [{currency}]", axis=SHORT))
    band = base.mark_area(**step, color=BLUE, opacity=0.13).encode(y="low:Q", y2="high:Q")
    panels = [
        layered((rule, *dotted(count, shown, 30, step)), TWIN, 220),
        layered((band, rule, *dotted(cost, shown, 30, step)), TWIN, 220),
    ]
    return look(alt.hconcat(*panels, spacing=24), load_factor=1)


def _band(currency):
    return {"cost": (f"Cost [{currency}]", ",.0f"), "low": ("Low", ",.0f"),
            "high": ("High", ",.0f")}  # fmt: skip


@cache
def price_of_a_limit(currency: str) -> dict:
    """
    Cost of what would be bought under each limit of the first token.

    Tables ``limits``: limit [s], low, cost, high [currency], decision; ``one``: ttft (the
    team's limit) [s]. Signal ``ttft_factor``.
    """
    base = rows("limits").encode(
        x=alt.X("limit:Q", title="95 % of first tokens within [s]", scale=LOG),
        y=alt.Y("cost:Q", title=f"Cost [{currency}]", axis=SHORT, scale=alt.Scale(zero=True)),
    )
    shown = tips({"limit": ("First tokens within [s]", ".3~g"), "decision": "Decision",
                  **_band(currency)})  # fmt: skip
    layers = [
        _moved("one", "ttft").mark_rule(color=VERMILION, strokeWidth=1.6).encode(x="time:Q"),
        base.mark_rule(color=BLUE, opacity=0.5).encode(y="low:Q", y2="high:Q"),
        *dotted(base, shown, 70, {"interpolate": "step-after"}, opacity=1),
    ]
    return look(layered(layers, WIDE, 220), ttft_factor=1)
