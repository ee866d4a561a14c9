"""Looks of the charts on memory; their rows come apart (`display.drawing`)."""

from functools import cache

import altair as alt

from planner.theme import (
    BLUE,
    GREEN,
    HELD_BACK,
    INK,
    ORANGE,
    PALE,
    QUIET,
    SKY,
    VERMILION,
)

HALO = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
FIGURE = "',.3~r'"  # three significant figures, in an expression of Vega
# How a model stands on a machine, and the tint of each.
STANDS = {
    "room for all": "#BFDDEF", "room for fewer": "#FBE3AE", "does not fit": "#F3C7AE",
}  # fmt: skip
PARTS = (
    "weights",
    "buffers of the engine",
    "cache of the users",
    "free or missing",
    "not for the engine",
)
WIDE = 700  # of charts with figures on the vertical axis; fits beside the files of JupyterLab [px]
NAMES = alt.Axis(minExtent=215)  # a longer name that comes later must not be cut off
BARS = 280  # width of bars with words on both sides [px]
LONGEST = "q4_k_m: 1,000 GB missing"  # what stands beside a bar
MOST_SHARE = 150  # beyond it a bar is cut off [%]


@cache
def fill() -> dict:
    """
    Where the memory of one device goes, from weights to what is left.

    Returns
    -------
    look : dict
        Table ``parts``: place (0 to 4), part (in words), weights, engine, one (cache of a user),
        memory (for the engine), installed [GB]. Signal ``users``. [user]
    """
    users = alt.param(name="users", value=1)
    first = "datum.place == 0 ? 0 : datum.place == 1 ? datum.weights : "
    base = (
        alt.Chart(alt.NamedData("parts"))
        .transform_calculate(used="datum.weights + datum.engine + users * datum.one")
        .transform_calculate(
            start=first + "datum.place == 2 ? datum.weights + datum.engine : "
            "datum.place == 3 ? datum.used : datum.memory",
            end="datum.place == 0 ? datum.weights : datum.place == 1 ? datum.weights + datum.engine"
            " : datum.place == 2 ? datum.used : datum.place == 3 ? datum.memory : datum.installed",
        )
        .transform_calculate(
            amount="datum.end - datum.start",
            right="max(datum.start, datum.end)",
            room="1.16 * max(datum.used, datum.installed)",
            missing="datum.place == 3 && datum.end < datum.start",
        )
        .transform_calculate(
            words=f"format(abs(datum.amount), {FIGURE}) + ' GB'"
            " + (datum.place != 3 ? '' : datum.missing ? ' missing' : ' free')",
            colour=f"datum.missing ? '{VERMILION}' : datum.place == 3 ? '{GREEN}'"
            f" : datum.place == 4 ? '{PALE}' : datum.place == 2 ? '{SKY}' : '{BLUE}'",
        )
    )
    y = alt.Y("part:N", sort=alt.EncodingSortField("place", op="min"), title=None)
    x = alt.X(
        "start:Q",
        title="Memory of one accelerator, or of the whole server without one [GB]",
        scale=alt.Scale(nice=False, zero=True),
    )
    tips = [
        alt.Tooltip("part:N", title="Part"),
        alt.Tooltip("amount:Q", title="Takes [GB]", format=",.4~r"),
        alt.Tooltip("used:Q", title="All that is used [GB]", format=",.4~r"),
        alt.Tooltip("memory:Q", title="The engine may use [GB]", format=",.4~r"),
    ]
    bars = base.mark_bar(height={"band": 0.62}).encode(
        x=x, x2="end:Q", y=y, color=alt.Color("colour:N", scale=None), tooltip=tips
    )
    border = base.transform_filter("datum.place == 0").mark_rule(
        strokeWidth=1.4, strokeDash=[4, 3], color=INK
    )
    texts = [
        base.mark_text(align="left", dx=6, **style).encode(x="right:Q", y=y, text="words:N")
        for style in (HALO, {})
    ]
    # room for words to the right of the longest bar, wherever it ends
    room = base.mark_point(opacity=0).encode(x="room:Q", y=y)
    chart = alt.layer(border.encode(x="memory:Q"), bars, *texts, room).add_params(users)
    return chart.properties(width=WIDE - 120, height=34 * len(PARTS)).to_dict()


@cache
def room() -> dict:
    """
    Sequences that have room against the context of each.

    Returns
    -------
    look : dict
        Table ``curve``: context [token], sequences; table ``now``: the same at the dial, and
        engine (how many it runs at once), words. [sequence]. Signal ``users``. [user]
    """
    users = alt.param(name="users", value=1)
    x = alt.X("context:Q", title="Context of each user [token]",
              scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~s"))  # fmt: skip
    y = alt.Y("sequences:Q", title="Users whose context has room",
              scale=alt.Scale(type="log", domainMin=1),
              axis=alt.Axis(format="~s"))  # fmt: skip
    tips = [
        alt.Tooltip("context:Q", title="Context [token]", format=",.0f"),
        alt.Tooltip("sequences:Q", title="Users with room", format=",.0f"),
    ]
    line = alt.Chart(alt.NamedData("curve")).mark_line(color=BLUE)
    points = alt.Chart(alt.NamedData("curve")).mark_circle(size=18, color=BLUE, opacity=1)
    now = alt.Chart(alt.NamedData("now")).transform_calculate(needed="users")
    shown = now.transform_filter("datum.sequences > 0")
    colour = alt.condition("datum.sequences >= users", alt.value(BLUE), alt.value(VERMILION))
    here = shown.mark_circle(size=130, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips)
    texts = [
        shown.mark_text(align="left", dx=10, dy=-10, **style).encode(x=x, y=y, text="words:N")
        for style in (HALO, {})
    ]
    asked = now.mark_rule(color=INK, strokeWidth=1.4).encode(y="needed:Q")
    asked_words = (
        now.transform_calculate(said="'users at once: ' + format(users, ',')")
        .mark_text(align="left", baseline="bottom", dy=-3)
        .encode(x=alt.value(230), y="needed:Q", text="said:N")
    )
    engine = now.mark_rule(color=QUIET, strokeDash=[4, 3]).encode(y="engine:Q")
    engine_words = (
        now.transform_calculate(said="'the engine runs ' + datum.engine + ' at once'")
        .mark_text(align="left", baseline="top", dy=4, color=QUIET)
        .encode(x=alt.value(4), y="engine:Q", text="said:N")
    )
    layers = (line.encode(x=x, y=y), points.encode(x=x, y=y, tooltip=tips), engine, asked)
    chart = alt.layer(*layers, engine_words, asked_words, here, *texts).add_params(users)
    return chart.properties(width=WIDE, height=320).to_dict()


@cache
def heat() -> dict:
    """
    Models by formats: how large, and whether there is room.

    Returns
    -------
    look : dict
        Table ``cells``: model, place (of the model), format, bits [bit/parameter], size and room
        (in words), stands (a key of `STANDS`), current (the dials point at it), and for the tips
        weights, engine, memory, free [GB], sequences [sequence].
    """
    base = alt.Chart(alt.NamedData("cells")).encode(
        x=alt.X("format:N", sort=alt.EncodingSortField("bits", op="max", order="descending"),
                title="Weight format, widest first",
                axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("model:N", sort=alt.EncodingSortField("place", op="min"), title=None, axis=NAMES),
    )  # fmt: skip
    colour = alt.Color(
        "stands:N", scale=alt.Scale(domain=list(STANDS), range=list(STANDS.values())),
        legend=alt.Legend(columns=3),
    )  # fmt: skip
    tips = [
        alt.Tooltip("model:N", title="Model"),
        alt.Tooltip("format:N", title="Format"),
        alt.Tooltip("bits:Q", title="Bits of a weight matrix", format=".3~r"),
        alt.Tooltip("weights:Q", title="Weights [GB]", format=",.4~r"),
        alt.Tooltip("engine:Q", title="Buffers of the engine [GB]", format=",.3~r"),
        alt.Tooltip("memory:Q", title="The engine may use [GB]", format=",.4~r"),
        alt.Tooltip("free:Q", title="Left with the users [GB]", format=",.3~r"),
        alt.Tooltip("sequences:Q", title="Users with room", format=",.0f"),
    ]
    boxes = base.mark_rect(stroke="white", strokeWidth=2).encode(color=colour, tooltip=tips)
    current = base.transform_filter("datum.current").mark_rect(
        fill=None, fillOpacity=0, stroke=INK, strokeWidth=2
    )
    size = base.mark_text(dy=-7).encode(text="size:N")
    rest = base.mark_text(dy=8, fontSize=12, color=QUIET).encode(text="room:N")
    chart = alt.layer(boxes, current, size, rest)
    return chart.properties(width={"step": 116}, height={"step": 38}).to_dict()


@cache
def machines() -> dict:
    """
    One model on every machine: weights, buffers and cache as shares of the memory.

    Returns
    -------
    look : dict
        Table ``machines``: place, machine, kind, words (format, split, room), weights, engine,
        cache (ends of the stacked parts) [%], fits, and for the tips server, free [GB].
    """
    base = alt.Chart(alt.NamedData("machines"))
    y = alt.Y("machine:N", sort=alt.EncodingSortField("place", op="min"), title=None,
              axis=alt.Axis(minExtent=345))  # fmt: skip
    scale = alt.Scale(domain=[0, MOST_SHARE], nice=False)
    title = "Share of the memory that the engine may use [%]"
    tips = [
        alt.Tooltip("server:N", title="Machine"),
        alt.Tooltip("words:N", title="Deployment"),
        alt.Tooltip("free:Q", title="Left on each device [GB]", format=",.3~r"),
    ]
    ends = (("weights", None, BLUE), ("engine", "weights", QUIET), ("cache", "engine", SKY))
    layers = []
    for end, start, colour in ends:
        begin = alt.X(f"{start}:Q" if start else "none:Q", title=title, scale=scale)
        part = base.transform_calculate(none="0").mark_bar(
            clip=True, height={"band": 0.66}, color=colour
        )
        held = alt.condition("datum.fits", alt.value(1), alt.value(0.4))
        layers.append(part.encode(x=begin, x2=f"{end}:Q", y=y, opacity=held, tooltip=tips))
    full = alt.Chart(alt.NamedData("full")).mark_rule(color=VERMILION, strokeWidth=1.4)
    words = base.mark_text(align="left", dx=8).encode(
        x=alt.value(BARS), y=y, text="words:N",
        color=alt.condition("datum.fits", alt.value(INK), alt.value(VERMILION)),
    )  # fmt: skip
    longest = alt.Chart(alt.NamedData("full")).mark_text(align="left", dx=8, opacity=0)
    longest = longest.encode(x=alt.value(BARS), y=alt.value(10), text=alt.value(LONGEST))
    chart = alt.layer(*layers, full.encode(x="full:Q"), words, longest)
    return chart.properties(width=BARS, height={"step": 20}).to_dict()


@cache
def claimed() -> dict:
    """
    Memory that the guide claims for its models, beside what the weights alone take.

    Returns
    -------
    look : dict
        Table ``models``: model, place, low, high (claimed), bf16, int8, int4 (weights), one
        (cache of a user) [GB], claim (in words). Signal ``users``. [user]
    """
    users = alt.param(name="users", value=1)
    base = alt.Chart(alt.NamedData("models")).transform_calculate(
        served="datum.bf16 + users * datum.one"
    )
    y = alt.Y("model:N", sort=alt.EncodingSortField("place", op="min"), title=None, axis=NAMES)
    x = alt.X("low:Q", title="Memory [GB]", scale=alt.Scale(type="log"))
    kinds = {
        "claimed by the guide": ORANGE, "weights in BF16": VERMILION,
        "BF16 with the users' cache": BLUE, "weights in 8 bits": SKY,
        "weights in 4 bits": HELD_BACK,
    }  # fmt: skip
    colour = alt.Color("what:N", legend=alt.Legend(columns=3),
                       scale=alt.Scale(domain=list(kinds), range=list(kinds.values())))  # fmt: skip
    tips = [
        alt.Tooltip("model:N", title="Model"),
        alt.Tooltip("claim:N", title="The guide claims"),
        alt.Tooltip("bf16:Q", title="Weights in BF16 [GB]", format=",.4~r"),
        alt.Tooltip("int8:Q", title="Weights in 8 bits [GB]", format=",.4~r"),
        alt.Tooltip("int4:Q", title="Weights in 4 bits [GB]", format=",.4~r"),
        alt.Tooltip("served:Q", title="BF16 with the users' cache [GB]", format=",.4~r"),
    ]

    def part(what):
        return base.transform_calculate(what=f'"{what}"')

    names = list(kinds)
    layers = [
        part(names[0]).mark_rule(strokeWidth=7, opacity=0.8).encode(x=x, x2="high:Q"),
        part(names[1]).mark_tick(thickness=3, size=20, opacity=1).encode(x="bf16:Q"),
    ]
    for name, field in zip(names[2:], ("served", "int8", "int4"), strict=True):
        layers.append(part(name).mark_circle(size=70, opacity=1).encode(x=f"{field}:Q"))
    layers = [layer.encode(y=y, color=colour, tooltip=tips) for layer in layers]
    chart = alt.layer(*layers).add_params(users)
    return chart.properties(width=WIDE - 140, height={"step": 28}).to_dict()
