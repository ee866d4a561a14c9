"""Looks of the charts that help to choose a model; their rows come apart (`display.drawing`)."""

from functools import cache

import altair as alt

from planner.theme import BLUE, HELD_BACK, VERMILION, WIDTH

HALO = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}


@cache
def score_against_speed(benchmark: str) -> dict:
    """
    Every model that fits: its score against the speed of one user, the unbeaten ones named.

    Parameters
    ----------
    benchmark : str
        On the axis.

    Returns
    -------
    look : dict
        Table ``models``: name, format, speed, low, high, limit [token/s], score [%], front (not
        beaten on both), source. Signal ``speed``: what one user needs. [token/s]
    """
    base = alt.Chart(alt.NamedData("models"))
    x = alt.X("speed:Q", title="Speed of one user [token/s]", scale=alt.Scale(type="log"))
    y = alt.Y("score:Q", title=f"Score in {benchmark} [%]", scale=alt.Scale(zero=False))
    tips = [
        alt.Tooltip("name:N", title="Model"),
        alt.Tooltip("format:N", title="Format"),
        alt.Tooltip("score:Q", title="Score [%]", format=".1f"),
        alt.Tooltip("speed:Q", title="Speed [token/s]", format=".3g"),
        alt.Tooltip("low:Q", title="Slow end", format=".3g"),
        alt.Tooltip("high:Q", title="Fast end", format=".3g"),
        alt.Tooltip("limit:Q", title="Physics allows", format=".3g"),
        alt.Tooltip("source:N", title="Score from"),
    ]
    needed = alt.param(name="speed", value=10)
    colour = alt.condition("datum.low >= speed", alt.value(BLUE), alt.value(HELD_BACK))
    bands = base.mark_rule(strokeWidth=1.2, opacity=0.5).encode(
        x="low:Q", x2="high:Q", y=y, color=colour
    )
    points = base.mark_circle(size=80, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips)
    named = base.transform_filter("datum.front")
    texts = [
        named.mark_text(align="left", dx=8, dy=-8, **style).encode(x=x, y=y, text="name:N")
        for style in (HALO, {})
    ]
    wall = alt.Chart(alt.NamedData("one")).mark_rule(color=VERMILION, strokeWidth=1.4)
    wall = wall.transform_calculate(needed="speed").encode(x="needed:Q")
    chart = alt.layer(wall, bands, *texts, points).add_params(needed)
    return chart.properties(width=WIDTH, height=340).to_dict()
