"""Looks of the charts on speed; Vega-Lite that names its tables."""

from functools import cache

import altair as alt

from planner.looks import (
    CIRCLES,
    DASHED,
    HALO,
    LOG,
    SHORT,
    TIGHT,
    colours,
    dotted,
    either,
    halo,
    layered,
    look,
    names,
    reserved,
    rows,
    tips,
)
from planner.theme import BLUE, GREEN, HELD_BACK, INK, ORANGE, PURPLE, QUIET, SKY, VERMILION

PANEL = 310  # width of one of two panels side by side [px]
WIDE = 700  # of charts with figures on the vertical axis; fits beside the files of JupyterLab [px]
BARS = 245  # width of rows with words on both sides [px]
KINDS = {"accelerators": BLUE, "unified memory": GREEN, "processors": ORANGE}
# Where the time of a step goes, in the order of a bar.
PARTS = {
    "reading the weights": BLUE, "reading the cache": SKY, "arithmetic": ORANGE,
    "communication": PURPLE, "fixed costs of the engine": HELD_BACK,
}  # fmt: skip
STEPS = {"decode": BLUE, "at the dials": VERMILION, "prefill": GREEN}
LONGEST = "awq-int4, 0.123 to 1,234"  # what stands beside a row
LIMIT = "what physics allows"


def _tips(**first):
    """Of the band, after a field of one's own."""
    band = {"middle": "Expected", "low": "Lower end of the band", "high": "Upper end of the band",
            "limit": "Physics allows"}  # fmt: skip
    return tips(first | band, ",.3~r")


def _curve(table, x, y, shown):
    """Band, middle and physical limit of a curve."""
    base = rows(table).encode(x=x)
    middle = base.encode(y="middle:Q")
    return [
        base.mark_area(color=BLUE, opacity=0.18).encode(y=y, y2="high:Q"),
        base.mark_line(color=VERMILION, strokeDash=[5, 3], strokeWidth=1.6).encode(y="limit:Q"),
        *dotted(middle, shown, 26, {"color": BLUE}, color=BLUE, opacity=1),
    ]


def _dial(table, name, words):
    """A line at a dial, with its value, moved inside the browser."""
    base = rows(table).transform_calculate(here=name, said=f"format({name}, ',') + '{words}'")
    base = base.encode(x="here:Q")
    line = base.mark_rule(color=INK, strokeWidth=1.4)
    return [line, *halo(base.encode(y=alt.value(2)), "said:N", align="left", baseline="top", dx=5)]


@cache
def users() -> dict:
    """
    Speed of one user and of all against users at once.

    Tables ``one`` and ``all``: users, middle, low, high, limit [token/s]; table ``end``:
    users (the most that run at once), words. Signal ``users``. [user]
    """
    x = alt.X("users:Q", title="Users at once", scale=TIGHT)
    end, panels = rows("end").encode(x="users:Q"), []
    shown = _tips(users="Users at once")
    for table, title, scale, height in (
        ("one", "Speed of one user [token/s]", alt.Scale(zero=True, nice=True), 36),
        ("all", "All users together [token/s]", LOG, 258),
    ):
        said = end.mark_text(align="right", baseline="bottom", dx=-4, color=QUIET)
        layers = [
            *_curve(table, x, alt.Y("low:Q", title=title, scale=scale), shown),
            end.mark_rule(color=QUIET, **DASHED),
            said.encode(y=alt.value(height), text="words:N"),
            *_dial("end", "users", " users"),
        ]
        panels.append(layered(layers, PANEL, 260))
    return look(alt.hconcat(*panels, spacing=30), users=1)


@cache
def prompts() -> dict:
    """
    Time to the first token against the length of the prompt.

    Table ``curve``: prompt [token], middle, low, high, limit [s]; table ``end``: the row of
    its longest prompt. Signal ``prompt_tokens``. [token]
    """
    x = alt.X("prompt:Q", title="Prompt [token]", axis=SHORT, scale=TIGHT)
    y = alt.Y("low:Q", title="Time to first token [s]", scale=LOG)
    named = rows("end").encode(x="prompt:Q", y="limit:Q")
    layers = [
        *_curve("curve", x, y, _tips(prompt="Prompt [token]")),
        *(named.mark_text(align="right", dy=48, text=LIMIT, **style)
          for style in (HALO, {"color": VERMILION})),
        *_dial("end", "prompt_tokens", " tokens"),
    ]  # fmt: skip
    return look(layered(layers, WIDE, 280), prompt_tokens=1000)


@cache
def splits() -> dict:
    """
    Speed against the accelerators that share the model.

    Tables ``one`` and ``all``: split, middle, low, high, limit [token/s], words, fits.
    """
    panels = []
    x = alt.X("split:O", title="Accelerators that share the model", axis=alt.Axis(labelAngle=0))
    for table, title in (
        ("one", "Speed of one user [token/s]"), ("all", "All users together [token/s]"),
    ):  # fmt: skip
        base = rows(table).encode(x=x, y=alt.Y("middle:Q", title=title, scale=alt.Scale(zero=True)))
        shown = base.transform_filter("datum.fits")
        layers = [
            shown.mark_line(color=BLUE, strokeWidth=1.2),
            shown.mark_rule(color=BLUE, opacity=0.45, strokeWidth=6).encode(y="low:Q", y2="high:Q"),
            shown.mark_tick(color=VERMILION, thickness=2.5, size=26, opacity=1).encode(
                y="limit:Q", tooltip=_tips()
            ),
            shown.mark_circle(size=90, color=BLUE, opacity=1).encode(tooltip=_tips()),
            base.mark_text(baseline="bottom", fontSize=12, color=QUIET).encode(
                y=alt.value(238), text="words:N"
            ),
        ]
        panels.append(layered(layers, PANEL, 240))
    return look(alt.hconcat(*panels, spacing=30))


@cache
def machines() -> dict:
    """
    Speed of one user on every machine where the model fits.

    Table ``machines``: place, machine, kind (a key of `KINDS`), middle, low, high, limit
    [token/s], words, server, deployment; table ``end`` of one row.
    """
    base = rows("machines").encode(y=names("machine", minExtent=335))
    x = alt.X("middle:Q", title="Speed of one user [token/s]", scale=LOG)
    coloured = base.encode(color=colours("kind", KINDS, columns=3, **CIRCLES))
    shown = tips({"server": "Cheapest machine with it", "deployment": "Deployment"}) + _tips()
    layers = [
        coloured.mark_rule(strokeWidth=4, opacity=0.45).encode(x="low:Q", x2="high:Q"),
        base.mark_tick(color=VERMILION, thickness=2.5, size=14, opacity=1).encode(
            x="limit:Q", tooltip=shown
        ),
        coloured.mark_circle(size=80, opacity=1).encode(x=x, tooltip=shown),
        base.mark_text(align="left", dx=8).encode(x=alt.value(BARS), text="words:N"),
        reserved("end", BARS, LONGEST),
    ]
    return look(layered(layers, BARS, {"step": 21}))


@cache
def roofline() -> dict:
    """
    Arithmetic intensity against arithmetic rate, under the roof of the machine.

    Table ``roof``: intensity [FLOP/B], rate (the most at it) [FLOP/s]; table ``peak``: rate of
    the format's own precision; table ``dots``: intensity, rate, share (of the roof) [%], words,
    label (words, or several), what (a key of `STEPS`), room (whether the users have it).
    """
    x = alt.X("intensity:Q", title="Arithmetic intensity [FLOP/byte]", axis=SHORT, scale=TIGHT)
    y = alt.Y("rate:Q", title="Arithmetic rate [FLOP/s]", axis=SHORT, scale=LOG)
    peak, dots = rows("peak").encode(y="rate:Q"), rows("dots").encode(x=x, y=y)
    coloured = dots.encode(color=colours("what", STEPS, columns=3, **CIRCLES))
    shown = tips({
        "words": "Step", "intensity": ("Intensity [FLOP/B]", ",.3~r"),
        "rate": ("Rate [FLOP/s]", ".3~s"), "roof": ("Roof there [FLOP/s]", ".3~s"),
        "share": ("Reached of the roof [%]", ".0f"),
    })  # fmt: skip
    layers = [
        rows("roof").mark_line(color=INK).encode(x=x, y=y),
        peak.mark_rule(color=QUIET, **DASHED),
        peak.mark_text(align="left", baseline="top", dx=4, dy=4, color=QUIET).encode(
            x=alt.value(0), text="words:N"
        ),
        coloured.mark_rule(strokeDash=[2, 3], opacity=0.6).encode(y2="roof:Q"),
        coloured.mark_circle(size=110).encode(opacity=either("datum.room", 1, 0.35), tooltip=shown),
        *halo(dots, "label:N", align="left", dx=9, dy=8),
    ]
    return look(layered(layers, WIDE, 340))


@cache
def parts() -> dict:
    """
    Where the time of a decode step goes.

    Table ``parts``: place, step (in words), part (a key of `PARTS`), order, time [ms], share
    [%]; table ``totals``: place, step, time (of the whole step), words.
    """
    y = names("step", minExtent=110)
    bars = rows("parts").mark_bar(height={"band": 0.66}).encode(
        x=alt.X("time:Q", title="Time of one step, a token for every user [ms]"), y=y,
        color=colours("part", PARTS, columns=3), order="order:Q",
        tooltip=tips({"step": "Step", "part": "Part", "time": ("Time [ms]", ",.3~r"),
                      "share": ("Share of the step [%]", ".0f")}),
    )  # fmt: skip
    totals = rows("totals").encode(y=y)
    words = totals.mark_text(align="left", dx=6).encode(x="time:Q", text="words:N")
    room = totals.transform_calculate(room="1.15 * datum.time").mark_point(opacity=0)
    return look(layered((bars, words, room.encode(x="room:Q")), WIDE - 140, {"step": 32}))
