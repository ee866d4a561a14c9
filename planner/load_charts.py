"""Charts of latency under load: percentiles against the load of one replica, and hour by hour."""

from functools import cache

import altair as alt
import pandas as pd

from planner.language import say
from planner.theme import (
    BLUE,
    GREEN,
    INK,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    figure,
    require,
)

PANEL = 236  # width of one of two panels side by side [px]
HEIGHT = 250
WIDE, TWIN = 620, 305  # alone, and one of two side by side; both fit beside a file list [px]
SHADES = [SKY, BLUE, PURPLE]  # of the percentiles
PERCENTILES = {"50 %": "p50", "95 %": "p95", "99 %": "p99"}
TITLES = {"ttft": "Time to first token [s]", "tpot": "Time per output token [ms]"}
PANELS = (
    "Two panels against the load of one replica in {unit}: time to first token and time per output "
    "token at the 50th, 95th and 99th percentile. Planned {planned}, within the limits up to "
    "{carried}, unstable from {wall}; {said}."
)


def latency_curves(
    curve: pd.DataFrame,
    *,
    limits: dict,
    planned: float,
    carried: float,
    wall: float,
    unit: str = "call/s",
):
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
    unit : str
        Of the load.
    """
    data = require(curve, "asked", "end", *(f"ttft_{p}" for p in PERCENTILES.values()))
    right = max(float(data["asked"].max()), 1.05 * planned, 1.05 * carried)
    panels = [_panel(data, what, limits, planned, carried, wall, right, unit) for what in TITLES]
    said = say("; ").join(
        say("limit of {name} {value} s", name=name.replace("_", " "), value=figure(value))
        for name, value in limits.items()
    )
    description = say(
        PANELS, unit=say(unit), planned=figure(planned), carried=figure(carried),
        wall=figure(wall), said=said or say("no limits"),
    )  # fmt: skip
    return alt.hconcat(*panels, spacing=26).properties(description=description)


def _panel(data, what, limits, planned, carried, wall, right, unit):
    scale = 1e3 if what == "tpot" else 1.0
    long = pd.concat([
        data[["asked", "end"]].assign(time=data[f"{what}_{p}"] * scale, share=words)
        for words, p in PERCENTILES.items()
    ])  # fmt: skip
    long = long.replace(float("inf"), float("nan")).dropna()
    here = {
        p: limits[f"{what}_{p}"] * scale for p in PERCENTILES.values() if f"{what}_{p}" in limits
    }
    top = 2.2 * max(here.values()) if here else 1.1 * float(long["time"].quantile(0.9))
    middle = long[long["end"] == "middle"]
    x = alt.X("asked:Q", title=f"{say('Load')} [{say(unit)}]", axis=alt.Axis(tickCount=5),
              scale=alt.Scale(domain=[0, right], nice=False))  # fmt: skip
    y = alt.Y("time:Q", title=say(TITLES[what]), scale=alt.Scale(domain=[0, top], nice=False))
    names = list(PERCENTILES)
    lines = (
        alt.Chart(middle)
        .mark_line(clip=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color("share:N", scale=alt.Scale(domain=names, range=[SKY, BLUE, PURPLE]),
                            legend=alt.Legend(symbolType="stroke", columns=3)),
            strokeDash=alt.StrokeDash("share:N", legend=None, scale=alt.Scale(
                domain=names, range=[[2, 2], [1, 0], [6, 3]])),
        )
    )  # fmt: skip
    both = long[long["share"] == "95 %"].pivot(index="asked", columns="end", values="time")
    both = both.reset_index()
    layers = []
    if wall < right:
        shade = pd.DataFrame({"from": [wall], "to": [right]})
        layers.append(
            alt.Chart(shade)
            .mark_rect(color=PALE, opacity=0.6)
            .encode(x=alt.X("from:Q", scale=alt.Scale(domain=[0, right])), x2="to:Q")
        )
    if "slow" in both:
        both["slow"] = both["slow"].fillna(10 * top)
        both = both.dropna(subset=["middle"])
        layers.append(
            alt.Chart(both)
            .mark_area(color=BLUE, opacity=0.14, clip=True)
            .encode(x=x, y=alt.Y("middle:Q", title=say(TITLES[what])), y2="slow:Q")
        )
    layers.append(lines)
    for percentile, value in here.items():
        rule = pd.DataFrame(
            {"time": [value], "words": [f"{say('limit')} {percentile[1:]} % {figure(value)}"]}
        )
        base = alt.Chart(rule).encode(y="time:Q")
        layers.append(base.mark_rule(color=VERMILION, strokeWidth=1.4))
        layers.append(
            base.mark_text(color=VERMILION, align="left", dx=3, baseline="bottom", dy=-3).encode(
                x=alt.value(0), text="words:N"
            )
        )
    for value, words, colour, offset in (
        (carried, "within limits", GREEN, 0), (planned, "peak", INK, 15),
    ):  # fmt: skip
        mark = alt.Chart(
            pd.DataFrame({"asked": [value], "words": [f"{say(words)} {figure(value)}"]})
        ).encode(x="asked:Q")
        left = value < 0.55 * right
        place = {"align": "left" if left else "right", "dx": 4 if left else -4}
        layers.append(mark.mark_rule(color=colour, strokeDash=[4, 3], strokeWidth=1.4))
        for outline in ({"stroke": "white", "strokeWidth": 4, "color": "white"}, {"color": colour}):
            text = mark.mark_text(baseline="top", dy=offset, **place, **outline)
            layers.append(text.encode(y=alt.value(2), text="words:N"))
    return alt.layer(*layers).properties(width=PANEL, height=HEIGHT)


@cache
def filling() -> dict:
    """
    One replica filling up, in two panels whose limits, busiest hour and capacity follow dials.

    Returns
    -------
    look : dict
        Tables ``curve``: what (ttft, tpot), share (50 %, 95 %, 99 %), asked [call/s], time, slow
        (95 % at the slow end of the band) [s, ms], last. ``pieces``: as from `pressure.segments`,
        tpot in ms, with own (the team's limit) and right (end of the curve) [call/s]. ``plan``:
        planned, right [call/s], ttft [s], tpot [ms] (the team's limits). Signals ``ttft_factor``,
        ``tpot_factor``, ``load_factor``: all three relative to what the team states.
    """
    dials = [
        alt.param(name=name, value=1) for name in ("ttft_factor", "tpot_factor", "load_factor")
    ]
    panels = [_filling(what, title) for what, title in TITLES.items()]
    return alt.hconcat(*panels, spacing=24).add_params(*dials).to_dict()


def _filling(what, title):
    x = alt.X("asked:Q", title="Load of one replica [call/s]", axis=alt.Axis(tickCount=5))
    y = alt.Y("time:Q", title=title, scale=alt.Scale(type="log"))
    base = alt.Chart(alt.NamedData("curve")).transform_filter(f"datum.what == '{what}'")
    shares = list(PERCENTILES)
    colour = alt.Color("share:N", legend=None, scale=alt.Scale(domain=shares, range=SHADES))
    unit = "s" if what == "ttft" else "ms"
    tips = [
        alt.Tooltip("share:N", title="Of the calls"),
        alt.Tooltip("asked:Q", title="Load [call/s]", format=".3g"),
        alt.Tooltip("time:Q", title=f"Time [{unit}]", format=".3g"),
        alt.Tooltip("slow:Q", title=f"Slow end of the band [{unit}]", format=".3g"),
        alt.Tooltip("used:Q", title="Of the saturated rate", format=".0%"),
    ]
    band = base.transform_filter("isValid(datum.slow)").mark_area(color=BLUE, opacity=0.13)
    lines = base.mark_line().encode(x=x, y=y, color=colour)
    points = base.mark_circle(size=40, opacity=0.9).encode(x=x, y=y, color=colour, tooltip=tips)
    ends = base.transform_filter("datum.last")
    names = [
        ends.transform_filter(f"datum.share {which} '99 %'").mark_text(align="left", dx=6, dy=dy)
        for which, dy in (("==", -6), ("!=", 3))
    ]
    limit = _limit(alt.Chart(alt.NamedData("plan")), what, unit)
    rule = limit.mark_rule(color=VERMILION, strokeWidth=1.6).encode(y=y)
    said = limit.mark_text(color=VERMILION, align="left", baseline="bottom", dx=3, dy=-3)
    planned, *words = _upright("plan", _planned, INK, 17)
    carried, *more = _upright("pieces", _carried, GREEN, 2)
    chart = alt.layer(
        band.encode(x=x, y=y, y2="slow:Q"), rule, planned, carried, lines, points, *words, *more,
        *(name.encode(x=x, y=y, text="share:N", color=colour) for name in names),
        said.encode(x=alt.value(0), y=y, text="words:N"),
    )  # fmt: skip
    return chart.properties(width=TWIN, height=280)


def _limit(chart, what, unit):
    """The team's limit as the dial has moved it; none where the team states none."""
    return chart.transform_filter(f"isValid(datum.{what})").transform_calculate(
        time=f"datum.{what} * {what}_factor",
        words=f"'limit ' + format(datum.{what} * {what}_factor, '.3~g') + ' {unit}'",
    )


def _upright(table, steps, colour, place):
    """An upright line with its label, on whichever side of it there is room."""
    base = steps(alt.Chart(alt.NamedData(table)))
    layers = [base.mark_rule(color=colour, strokeDash=[4, 3], strokeWidth=1.6).encode(x="asked:Q")]
    for side, align, dx in (("<", "left", 4), (">=", "right", -4)):
        part = base.transform_filter(f"datum.asked {side} 0.5 * datum.right")
        for style in ({"stroke": "white", "strokeWidth": 4}, {"color": colour}):
            text = part.mark_text(align=align, dx=dx, baseline="top", **style)
            layers.append(text.encode(x="asked:Q", y=alt.value(place), text="words:N"))
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

    Returns
    -------
    look : dict
        Tables ``calls``: hour, calls. ``waits``: hour, share (50 %, 95 %, 99 %), time [s], last.
        ``one``: ttft (the team's limit) [s]. Signal ``ttft_factor``.
    """
    x = alt.X("hour:O", title="Hour of the day", axis=alt.Axis(labelAngle=0))
    bars = alt.Chart(alt.NamedData("calls")).mark_bar(color=PALE)
    bars = bars.encode(x=x, y=alt.Y("calls:Q", title="Calls [call/h]", axis=alt.Axis(tickCount=3)),
                       tooltip=["hour:O", alt.Tooltip("calls:Q", format=",d")])  # fmt: skip
    base = alt.Chart(alt.NamedData("waits"))
    scale = alt.Scale(domain=list(PERCENTILES), range=SHADES)
    y = alt.Y("time:Q", title=TITLES["ttft"], scale=alt.Scale(type="log"))
    tips = ["hour:O", alt.Tooltip("share:N", title="Of the calls"),
            alt.Tooltip("time:Q", title="Time to first token [s]", format=".3g")]  # fmt: skip
    lines = base.mark_line(point=True).encode(
        x=x, y=y, color=alt.Color("share:N", legend=None, scale=scale), tooltip=tips
    )
    names = base.transform_filter("datum.last").mark_text(align="left", dx=9).encode(
        x=x, y=y, text="share:N", color=alt.Color("share:N", legend=None, scale=scale)
    )  # fmt: skip
    limit = _limit(alt.Chart(alt.NamedData("one")), "ttft", "s")
    rule = limit.mark_rule(color=VERMILION, strokeWidth=1.4).encode(y=y)
    said = limit.mark_text(color=VERMILION, align="left", baseline="bottom", dx=3, dy=-3).encode(
        x=alt.value(0), y=y, text="words:N"
    )
    stack = alt.vconcat(
        bars.properties(width=WIDE, height=80),
        alt.layer(rule, lines, names, said).properties(width=WIDE, height=240),
    )
    return stack.add_params(alt.param(name="ttft_factor", value=1)).to_dict()


@cache
def against_load(currency: str) -> dict:
    """
    Replicas and cost of one machine against the load.

    Parameters
    ----------
    currency : str
        Of the cost.

    Returns
    -------
    look : dict
        Table ``steps``: factor, working, replicas, low, cost, high [currency]. Signal
        ``load_factor``.
    """
    base = alt.Chart(alt.NamedData("steps"))
    x = alt.X("factor:Q", title="Load, times the team's own", scale=alt.Scale(type="log"),
              axis=alt.Axis(values=[0.1, 0.2, 0.5, 1, 2, 5, 10], format="~g"))  # fmt: skip
    tips = [
        alt.Tooltip("factor:Q", title="Load, times the team's own", format=".3~g"),
        alt.Tooltip("working:Q", title="Working replicas"),
        alt.Tooltip("replicas:Q", title="With spares"),
        alt.Tooltip("cost:Q", title=f"Cost [{currency}]", format=",.0f"),
        alt.Tooltip("low:Q", title="Low", format=",.0f"),
        alt.Tooltip("high:Q", title="High", format=",.0f"),
    ]
    now = alt.Chart(alt.NamedData("one")).transform_calculate(factor="load_factor")
    rule = now.mark_rule(color=INK, strokeDash=[4, 3], strokeWidth=1.6).encode(x="factor:Q")
    panels = []
    for field, title in (("replicas", "Replicas, spares included"), ("cost", f"Cost [{currency}]")):
        axis = alt.Axis(tickMinStep=1) if field == "replicas" else alt.Axis(format="~s")
        y = alt.Y(f"{field}:Q", title=title, axis=axis)
        line = base.mark_line(interpolate="step-after").encode(x=x, y=y)
        points = base.mark_circle(size=30).encode(x=x, y=y, tooltip=tips)
        layers = [rule, line, points]
        if field == "cost":
            band = base.mark_area(interpolate="step-after", color=BLUE, opacity=0.13)
            layers.insert(0, band.encode(x=x, y="low:Q", y2="high:Q"))
        panels.append(alt.layer(*layers).properties(width=TWIN, height=220))
    dial = alt.param(name="load_factor", value=1)
    return alt.hconcat(*panels, spacing=24).add_params(dial).to_dict()


@cache
def price_of_a_limit(currency: str) -> dict:
    """
    Cost of what would be bought under each limit of the first token.

    Parameters
    ----------
    currency : str
        Of the cost.

    Returns
    -------
    look : dict
        Tables ``limits``: limit [s], low, cost, high [currency], decision; ``one``: ttft (the
        team's limit) [s]. Signal ``ttft_factor``.
    """
    base = alt.Chart(alt.NamedData("limits"))
    x = alt.X("limit:Q", title="95 % of first tokens within [s]", scale=alt.Scale(type="log"))
    y = alt.Y("cost:Q", title=f"Cost [{currency}]", axis=alt.Axis(format="~s"),
              scale=alt.Scale(zero=True))  # fmt: skip
    tips = [
        alt.Tooltip("limit:Q", title="First tokens within [s]", format=".3~g"),
        alt.Tooltip("decision:N", title="Decision"),
        alt.Tooltip("cost:Q", title=f"Cost [{currency}]", format=",.0f"),
        alt.Tooltip("low:Q", title="Low", format=",.0f"),
        alt.Tooltip("high:Q", title="High", format=",.0f"),
    ]
    line = base.mark_line(interpolate="step-after").encode(x=x, y=y)
    bands = base.mark_rule(color=BLUE, opacity=0.5).encode(x=x, y="low:Q", y2="high:Q")
    points = base.mark_circle(size=70, opacity=1).encode(x=x, y=y, tooltip=tips)
    now = _limit(alt.Chart(alt.NamedData("one")), "ttft", "s")
    rule = now.mark_rule(color=VERMILION, strokeWidth=1.6).encode(x="time:Q")
    chart = alt.layer(rule, bands, line, points).properties(width=WIDE, height=220)
    return chart.add_params(alt.param(name="ttft_factor", value=1)).to_dict()
