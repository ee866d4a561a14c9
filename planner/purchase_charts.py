"""Looks of the charts of a purchase; their rows come apart (`display.drawing`)."""

from functools import cache

import altair as alt

from planner.theme import BLUE, GREEN, INK, ORANGE, PALE, QUIET, VERMILION, WIDTH

PANEL = 405  # width of one of two panels side by side [px]
HALO = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
RING = {"size": 230, "color": INK, "strokeWidth": 2}
SCALE = alt.Scale(type="log", nice=False, padding=14)
WAYS = ("bought", "rented", "paid per token")
COLOURS = (BLUE, ORANGE, GREEN)


@cache
def cost_against_speed(currency: str) -> dict:
    """
    Cost of every option against its first token, and beside it against its writing speed.

    Parameters
    ----------
    currency : str
        On the axis.

    Returns
    -------
    look : dict
        Table ``options``: name, way (one of `WAYS`), cost, cost_low, cost_high [currency], first,
        first_low, first_high [s], speed, speed_low, speed_high [token/s] (missing where the
        provider states none), score [%], quickest, fastest (not beaten on cost and first token, or
        on cost and speed), chosen, source.
    """
    panels = (
        _panel(currency, "first", "First token with nobody else waiting [s]", "quickest", True),
        _panel(currency, "speed", "Writing speed of one answer [token/s]", "fastest", False),
    )
    return alt.hconcat(*panels, spacing=24).to_dict()


def _panel(currency, field, title, front, first):
    base = alt.Chart(alt.NamedData("options"))
    axis = alt.Axis(title=f"Cost over the plan [{currency}]" if first else None, format="~s")
    x = alt.X(f"{field}:Q", title=title, scale=SCALE, axis=alt.Axis(format="~g"))
    y = alt.Y("cost:Q", scale=SCALE, axis=axis)
    legend = alt.Legend(symbolType="circle") if first else None
    colour = alt.Color(
        "way:N", scale=alt.Scale(domain=list(WAYS), range=list(COLOURS)), legend=legend
    )
    tips = [
        alt.Tooltip("name:N", title="Option"),
        alt.Tooltip("cost:Q", title=f"Cost [{currency}]", format=",.3s"),
        alt.Tooltip("cost_low:Q", title="Cost, low", format=",.3s"),
        alt.Tooltip("cost_high:Q", title="Cost, high", format=",.3s"),
        alt.Tooltip("first:Q", title="First token [s]", format=".3g"),
        alt.Tooltip("first_low:Q", title="at the fast end", format=".3g"),
        alt.Tooltip("first_high:Q", title="at the slow end", format=".3g"),
        alt.Tooltip("speed:Q", title="Speed [token/s]", format=".3g"),
        alt.Tooltip("speed_low:Q", title="at the slow end", format=".3g"),
        alt.Tooltip("speed_high:Q", title="at the fast end", format=".3g"),
        alt.Tooltip("score:Q", title="Score [%]", format=".1f"),
        alt.Tooltip("source:N", title="Price from"),
    ]
    timed, chosen = f"isValid(datum.{field})", base.transform_filter("datum.chosen")
    points = base.transform_filter(timed).mark_circle(size=55, opacity=0.75)
    untimed = base.transform_filter(f"!{timed}").mark_tick(
        thickness=3, size=16, orient="horizontal"
    )
    line = base.transform_filter(f"datum.{front}").mark_line(
        interpolate="step-after" if first else "step-before", color=QUIET, strokeDash=[4, 3],
        strokeWidth=1.3,
    )  # fmt: skip
    ring = chosen.transform_filter(timed).mark_point(**RING)
    edge = alt.value(PANEL - 4)
    name = chosen.transform_calculate(words="'Recommended: ' + datum.name").mark_text(
        align="left", baseline="top", fontWeight=600, limit=2 * PANEL
    )
    layers = [
        line.encode(x=x, y=y, order=f"{field}:Q"),
        points.encode(x=x, y=y, color=colour, tooltip=tips),
        untimed.encode(x=edge, y=y, color=colour, tooltip=tips),
        ring.encode(x=x, y=y),
        chosen.transform_filter(f"!{timed}").mark_point(**RING).encode(x=edge, y=y),
        name.encode(x=alt.value(8), y=alt.value(-16), text="words:N"),
    ]
    return alt.layer(*(layers if first else layers[:-1])).properties(width=PANEL, height=320)


@cache
def memory() -> dict:
    """
    Where the memory of one device goes.

    Returns
    -------
    look : dict
        Table ``parts``: part, memory, start, end [GB], label, kind (used, free or missing), in
        order.
    """
    base = alt.Chart(alt.NamedData("parts")).encode(y=alt.Y("part:N", sort=None, title=None))
    colour = alt.Color(
        "kind:N", legend=None,
        scale=alt.Scale(domain=["used", "free", "missing"], range=[BLUE, PALE, VERMILION]),
    )  # fmt: skip
    axis = alt.X("start:Q", title="Memory of one device [GB]")
    bars = base.mark_bar(height={"band": 0.62}).encode(x=axis, x2="end:Q", color=colour)
    texts = [
        base.mark_text(align="left", dx=6, **style).encode(x="end:Q", text="label:N")
        for style in (HALO, {})
    ]
    return alt.layer(bars, *texts).properties(width=WIDTH - 100, height=130).to_dict()
