"""Looks of the charts on speed; their rows come apart (`display.drawing`)."""

from functools import cache

import altair as alt

from planner.theme import (
    BLUE,
    GREEN,
    HELD_BACK,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    SKY,
    VERMILION,
)

HALO = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
PANEL = 310  # width of one of two panels side by side [px]
WIDE = 700  # of charts with figures on the vertical axis; fits beside the files of JupyterLab [px]
BARS = 245  # width of rows with words on both sides [px]
KINDS = {"accelerators": BLUE, "unified memory": GREEN, "processors": ORANGE}
# Where the time of a step goes, in the order of a bar.
PARTS = {
    "reading the weights": BLUE, "reading the cache": SKY, "arithmetic": ORANGE,
    "communication": PURPLE, "fixed costs of the engine": HELD_BACK,
}  # fmt: skip
CIRCLES = alt.Legend(columns=3, symbolType="circle", symbolOpacity=1)
LONGEST = "awq-int4, 0.123 to 1,234"  # what stands beside a row
LIMIT = "what physics allows"


def _tips(*fields):
    names = {
        "users": "Users at once", "prompt": "Prompt [token]", "middle": "Expected",
        "low": "Lower end of the band", "high": "Upper end of the band", "limit": "Physics allows",
    }  # fmt: skip
    return [alt.Tooltip(f"{field}:Q", title=names[field], format=",.3~r") for field in fields]


def _curve(table, x, y, tips):
    """Band, middle and physical limit of a curve."""
    base = alt.Chart(alt.NamedData(table))
    return [
        base.mark_area(color=BLUE, opacity=0.18).encode(x=x, y=y.copy(), y2="high:Q"),
        base.mark_line(color=VERMILION, strokeDash=[5, 3], strokeWidth=1.6).encode(
            x=x, y="limit:Q"
        ),
        base.mark_line(color=BLUE).encode(x=x, y="middle:Q"),
        base.mark_circle(size=26, color=BLUE, opacity=1).encode(x=x, y="middle:Q", tooltip=tips),
    ]


def _named(table, x, field, words, colour, dy):
    """Words at the last point of a curve, in the table of its ends."""
    base = alt.Chart(alt.NamedData(table))
    return [
        base.mark_text(align="right", dy=dy, text=words, **style).encode(x=x, y=f"{field}:Q")
        for style in (HALO, {"color": colour})
    ]


def _dial(table, name, words):
    """A line at a dial, with its value, moved inside the browser."""
    base = alt.Chart(alt.NamedData(table)).transform_calculate(
        here=name, said=f"format({name}, ',') + '{words}'"
    )
    line = base.mark_rule(color=INK, strokeWidth=1.4).encode(x="here:Q")
    texts = [
        base.mark_text(align="left", baseline="top", dx=5, **style).encode(
            x="here:Q", y=alt.value(2), text="said:N"
        )
        for style in (HALO, {})
    ]
    return [line, *texts]


@cache
def users() -> dict:
    """
    Speed of one user and of all against users at once.

    Returns
    -------
    look : dict
        Tables ``one`` and ``all``: users, middle, low, high, limit [token/s]; table ``end``:
        users (the most that run at once), words. Signal ``users``. [user]
    """
    x = alt.X("users:Q", title="Users at once", scale=alt.Scale(type="log", nice=False))
    panels = []
    for table, title, scale, height in (
        ("one", "Speed of one user [token/s]", alt.Scale(zero=True, nice=True), 36),
        ("all", "All users together [token/s]", alt.Scale(type="log"), 258),
    ):
        y = alt.Y("low:Q", title=title, scale=scale)
        end = alt.Chart(alt.NamedData("end"))
        stop = end.mark_rule(color=QUIET, strokeDash=[4, 3]).encode(x="users:Q")
        said = end.mark_text(align="right", baseline="bottom", dx=-4, color=QUIET)
        layers = [
            *_curve(table, x, y, _tips("users", "middle", "low", "high", "limit")),
            stop, said.encode(x="users:Q", y=alt.value(height), text="words:N"),
            *_dial("end", "users", " users"),
        ]  # fmt: skip
        panels.append(alt.layer(*layers).properties(width=PANEL, height=260))
    chart = alt.hconcat(*panels, spacing=30).add_params(alt.param(name="users", value=1))
    return chart.to_dict()


@cache
def prompts() -> dict:
    """
    Time to the first token against the length of the prompt.

    Returns
    -------
    look : dict
        Table ``curve``: prompt [token], middle, low, high, limit [s]; table ``end``: the row of
        its longest prompt. Signal ``prompt_tokens``. [token]
    """
    x = alt.X("prompt:Q", title="Prompt [token]", axis=alt.Axis(format="~s"),
              scale=alt.Scale(type="log", nice=False))  # fmt: skip
    y = alt.Y("low:Q", title="Time to first token [s]", scale=alt.Scale(type="log"))
    layers = [
        *_curve("curve", x, y, _tips("prompt", "middle", "low", "high", "limit")),
        *_named("end", "prompt:Q", "limit", LIMIT, VERMILION, 48),
        *_dial("end", "prompt_tokens", " tokens"),
    ]
    chart = alt.layer(*layers).add_params(alt.param(name="prompt_tokens", value=1000))
    return chart.properties(width=WIDE, height=280).to_dict()


@cache
def splits() -> dict:
    """
    Speed against the accelerators that share the model.

    Returns
    -------
    look : dict
        Tables ``one`` and ``all``: split, middle, low, high, limit [token/s], words, fits.
    """
    panels = []
    x = alt.X("split:O", title="Accelerators that share the model", axis=alt.Axis(labelAngle=0))
    for table, title in (
        ("one", "Speed of one user [token/s]"), ("all", "All users together [token/s]"),
    ):  # fmt: skip
        base = alt.Chart(alt.NamedData(table))
        y = alt.Y("middle:Q", title=title, scale=alt.Scale(zero=True))
        shown = base.transform_filter("datum.fits")
        tips = _tips("middle", "low", "high", "limit")
        layers = [
            shown.mark_line(color=BLUE, strokeWidth=1.2).encode(x=x, y=y),
            shown.mark_rule(color=BLUE, opacity=0.45, strokeWidth=6).encode(
                x=x, y="low:Q", y2="high:Q"
            ),
            shown.mark_tick(color=VERMILION, thickness=2.5, size=26, opacity=1).encode(
                x=x, y="limit:Q", tooltip=tips
            ),
            shown.mark_circle(size=90, color=BLUE, opacity=1).encode(x=x, y=y, tooltip=tips),
            base.mark_text(baseline="bottom", fontSize=12, color=QUIET).encode(
                x=x, y=alt.value(238), text="words:N"
            ),
        ]
        panels.append(alt.layer(*layers).properties(width=PANEL, height=240))
    return alt.hconcat(*panels, spacing=30).to_dict()


@cache
def machines() -> dict:
    """
    Speed of one user on every machine where the model fits.

    Returns
    -------
    look : dict
        Table ``machines``: place, machine, kind (a key of `KINDS`), middle, low, high, limit
        [token/s], words, server, deployment; table ``end`` of one row.
    """
    base = alt.Chart(alt.NamedData("machines"))
    y = alt.Y("machine:N", sort=alt.EncodingSortField("place", op="min"), title=None,
              axis=alt.Axis(minExtent=335))  # fmt: skip
    x = alt.X("middle:Q", title="Speed of one user [token/s]", scale=alt.Scale(type="log"))
    colour = alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values())),
                       legend=CIRCLES)  # fmt: skip
    tips = [
        alt.Tooltip("server:N", title="Cheapest machine with it"),
        alt.Tooltip("deployment:N", title="Deployment"),
        *_tips("middle", "low", "high", "limit"),
    ]
    layers = [
        base.mark_rule(strokeWidth=4, opacity=0.45).encode(x="low:Q", x2="high:Q", y=y,
                                                           color=colour),
        base.mark_tick(color=VERMILION, thickness=2.5, size=14, opacity=1).encode(
            x="limit:Q", y=y, tooltip=tips
        ),
        base.mark_circle(size=80, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips),
        base.mark_text(align="left", dx=8).encode(x=alt.value(BARS), y=y, text="words:N"),
        alt.Chart(alt.NamedData("end")).mark_text(align="left", dx=8, opacity=0).encode(
            x=alt.value(BARS), y=alt.value(10), text=alt.value(LONGEST)
        ),
    ]  # fmt: skip
    return alt.layer(*layers).properties(width=BARS, height={"step": 21}).to_dict()


@cache
def roofline() -> dict:
    """
    Arithmetic intensity against arithmetic rate, under the roof of the machine.

    Returns
    -------
    look : dict
        Table ``roof``: intensity [FLOP/B], rate (the most at it) [FLOP/s]; table ``peak``: rate of
        the format's own precision; table ``dots``: intensity, rate, share (of the roof) [%], words,
        label (words, or several), what (decode, prefill or now), room (whether the users have it).
    """
    x = alt.X("intensity:Q", title="Arithmetic intensity [FLOP/byte]", axis=alt.Axis(format="~s"),
              scale=alt.Scale(type="log", nice=False))  # fmt: skip
    y = alt.Y("rate:Q", title="Arithmetic rate [FLOP/s]", axis=alt.Axis(format="~s"),
              scale=alt.Scale(type="log"))  # fmt: skip
    kinds = {"decode": BLUE, "at the dials": VERMILION, "prefill": GREEN}
    colour = alt.Color("what:N", scale=alt.Scale(domain=list(kinds), range=list(kinds.values())),
                       legend=CIRCLES)  # fmt: skip
    dots = alt.Chart(alt.NamedData("dots"))
    tips = [
        alt.Tooltip("words:N", title="Step"),
        alt.Tooltip("intensity:Q", title="Intensity [FLOP/B]", format=",.3~r"),
        alt.Tooltip("rate:Q", title="Rate [FLOP/s]", format=".3~s"),
        alt.Tooltip("roof:Q", title="Roof there [FLOP/s]", format=".3~s"),
        alt.Tooltip("share:Q", title="Reached of the roof [%]", format=".0f"),
    ]
    held = alt.condition("datum.room", alt.value(1), alt.value(0.35))
    layers = [
        alt.Chart(alt.NamedData("roof")).mark_line(color=INK).encode(x=x, y=y),
        alt.Chart(alt.NamedData("peak")).mark_rule(color=QUIET, strokeDash=[4, 3]).encode(
            y="rate:Q"
        ),
        alt.Chart(alt.NamedData("peak")).mark_text(
            align="left", baseline="top", dx=4, dy=4, color=QUIET
        ).encode(x=alt.value(0), y="rate:Q", text="words:N"),
        dots.mark_rule(strokeDash=[2, 3], opacity=0.6).encode(x=x, y=y, y2="roof:Q", color=colour),
        dots.mark_circle(size=110).encode(x=x, y=y, color=colour, opacity=held, tooltip=tips),
        *(
            dots.mark_text(align="left", dx=9, dy=8, **style).encode(x=x, y=y, text="label:N")
            for style in (HALO, {})
        ),
    ]  # fmt: skip
    return alt.layer(*layers).properties(width=WIDE, height=340).to_dict()


@cache
def parts() -> dict:
    """
    Where the time of a decode step goes.

    Returns
    -------
    look : dict
        Table ``parts``: place, step (in words), part (a key of `PARTS`), order, time [ms], share
        [%]; table ``totals``: place, step, time (of the whole step), words.
    """
    y = alt.Y("step:N", sort=alt.EncodingSortField("place", op="min"), title=None,
              axis=alt.Axis(minExtent=110))  # fmt: skip
    x = alt.X("time:Q", title="Time of one step, a token for every user [ms]")
    bars = alt.Chart(alt.NamedData("parts")).mark_bar(height={"band": 0.66})
    colour = alt.Color("part:N", scale=alt.Scale(domain=list(PARTS), range=list(PARTS.values())),
                       legend=alt.Legend(columns=3))  # fmt: skip
    tips = [
        alt.Tooltip("step:N", title="Step"),
        alt.Tooltip("part:N", title="Part"),
        alt.Tooltip("time:Q", title="Time [ms]", format=",.3~r"),
        alt.Tooltip("share:Q", title="Share of the step [%]", format=".0f"),
    ]
    totals = alt.Chart(alt.NamedData("totals"))
    layers = [
        bars.encode(x=x, y=y, color=colour, order="order:Q", tooltip=tips),
        totals.mark_text(align="left", dx=6).encode(x="time:Q", y=y, text="words:N"),
        totals.transform_calculate(room="1.15 * datum.time").mark_point(opacity=0).encode(
            x="room:Q", y=y
        ),
    ]  # fmt: skip
    return alt.layer(*layers).properties(width=WIDE - 140, height={"step": 32}).to_dict()
