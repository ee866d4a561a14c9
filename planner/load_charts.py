"""Charts of latency under load: percentiles against the load of one replica, and hour by hour."""

import altair as alt
import pandas as pd

from planner.language import say
from planner.theme import (
    BLUE,
    GREEN,
    INK,
    LINE,
    PALE,
    PURPLE,
    QUIET,
    SKY,
    VERMILION,
    figure,
    require,
)

PANEL = 236  # width of one of two panels side by side [px]
HEIGHT = 250
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


def hours(table: pd.DataFrame, *, limit: float | None = None):
    """A day hour by hour: calls as bars, percentiles of the first token as lines.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``hour``, ``calls``, ``ttft_p50``, ``ttft_p95``, ``ttft_p99`` [s].
    limit : float
        Of the 95th percentile. [s]
    """
    data = require(table, "hour", "calls", "ttft_p50", "ttft_p95", "ttft_p99")
    x = alt.X("hour:O", title=say("Hour"), axis=alt.Axis(labelAngle=0))
    bars = (
        alt.Chart(data).mark_bar(color=PALE).encode(x=x, y=alt.Y("calls:Q", title=say("Calls")))
    ).properties(width=2 * PANEL, height=80)
    long = pd.concat([
        data[["hour"]].assign(time=data[f"ttft_{p}"], share=words)
        for words, p in PERCENTILES.items()
    ])  # fmt: skip
    lines = (
        alt.Chart(long)
        .mark_line(point=True)
        .encode(
            x=x,
            y=alt.Y("time:Q", title=say(TITLES["ttft"]),
                    scale=alt.Scale(type="symlog", constant=0.5)),
            color=alt.Color("share:N", scale=alt.Scale(
                domain=list(PERCENTILES), range=[SKY, BLUE, PURPLE])),
        )
    )  # fmt: skip
    if limit is not None:
        rule = alt.Chart(
            pd.DataFrame(
                {"time": [limit], "words": [say(LINE, words=say("limit"), value=figure(limit))]}
            )
        )
        lines += rule.mark_rule(color=VERMILION).encode(y="time:Q")
        lines += rule.mark_text(color=QUIET, align="left", dy=-6).encode(
            x=alt.value(2), y="time:Q", text="words:N"
        )
    worst = data.loc[data["ttft_p99"].idxmax()]
    description = say(
        "Calls and time to first token by the hour. Worst hour {hour:.0f}: {time} s at the 99th "
        "percentile.",
        hour=worst["hour"], time=figure(worst["ttft_p99"]),
    )  # fmt: skip
    return alt.vconcat(bars, lines.properties(width=2 * PANEL, height=220)).properties(
        description=description
    )
