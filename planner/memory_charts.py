"""Looks of the charts on memory; Vega-Lite that names its tables."""

from functools import cache

import altair as alt

from planner.looks import (
    DASHED,
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
from planner.theme import BLUE, GREEN, HELD_BACK, INK, ORANGE, PALE, QUIET, SKY, VERMILION, WIDTH

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
# How the guide's models are served, and the colour of each.
SERVED = {
    "claimed by the guide": ORANGE, "weights in BF16": VERMILION,
    "BF16 with the users' cache": BLUE, "weights in 8 bits": SKY, "weights in 4 bits": HELD_BACK,
}  # fmt: skip
WIDE = 700  # of charts with figures on the vertical axis; fits beside the files of JupyterLab [px]
ROOM = 215  # for names: a longer one that comes later must not be cut off [px]
BARS = 280  # width of bars with words on both sides [px]
LONGEST = "q4_k_m: 1,000 GB missing"  # what stands beside a bar
MOST_SHARE = 150  # beyond it a bar is cut off [%]


@cache
def device() -> dict:
    """
    Where the memory of one device goes, in a plan.

    Table ``parts``: part, memory, start, end [GB], label, kind (used, free or missing), in
    order.
    """
    base = rows("parts").encode(y=alt.Y("part:N", sort=None, title=None))
    bars = base.mark_bar(height={"band": 0.62}).encode(
        x=alt.X("start:Q", title="Memory of one device [GB]"), x2="end:Q",
        color=colours("kind", {"used": BLUE, "free": PALE, "missing": VERMILION}),
    )  # fmt: skip
    texts = halo(base.encode(x="end:Q"), "label:N", align="left", dx=6)
    return look(layered((bars, *texts), WIDTH - 100, 130))


@cache
def fill() -> dict:
    """
    Where the memory of one device goes, from weights to what is left.

    Table ``parts``: place (0 to 4), part (in words), weights, engine, one (cache of a user),
    memory (for the engine), installed [GB]. Signal ``users``. [user]
    """
    first = "datum.place == 0 ? 0 : datum.place == 1 ? datum.weights : "
    base = (
        rows("parts")
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
    y = names("part")
    title = "Memory of one accelerator, or of the whole server without one [GB]"
    x = alt.X("start:Q", title=title, scale=alt.Scale(nice=False, zero=True))
    shown = {"amount": "Takes [GB]", "used": "All that is used [GB]",
             "memory": "The engine may use [GB]"}  # fmt: skip
    bars = base.mark_bar(height={"band": 0.62}).encode(
        x=x, x2="end:Q", y=y, color=alt.Color("colour:N", scale=None),
        tooltip=tips({"part": "Part"}) + tips(shown, ",.4~r"),
    )  # fmt: skip
    border = base.transform_filter("datum.place == 0").mark_rule(
        strokeWidth=1.4, **DASHED, color=INK
    )
    texts = halo(base.encode(x="right:Q", y=y), "words:N", align="left", dx=6)
    # room for words to the right of the longest bar, wherever it ends
    room = base.mark_point(opacity=0).encode(x="room:Q", y=y)
    layers = border.encode(x="memory:Q"), bars, *texts, room
    return look(layered(layers, WIDE - 120, 34 * len(PARTS)), users=1)


@cache
def room() -> dict:
    """
    Sequences that have room against the context of each.

    Table ``curve``: context [token], sequences; table ``now``: the same at the dial, and
    engine (how many it runs at once), words. [sequence]. Signal ``users``. [user]
    """
    x = alt.X("context:Q", title="Context of each user [token]", scale=TIGHT, axis=SHORT)
    y = alt.Y("sequences:Q", title="Users whose context has room", axis=SHORT,
              scale=alt.Scale(type="log", domainMin=1))  # fmt: skip
    shown = tips({"context": "Context [token]", "sequences": "Users with room"}, ",.0f")
    curve = rows("curve").encode(x=x, y=y)
    now = rows("now").transform_calculate(needed="users")
    here = now.transform_filter("datum.sequences > 0").encode(x=x, y=y)
    colour = either("datum.sequences >= users", BLUE, VERMILION)
    asked_words = (
        now.transform_calculate(said="'users at once: ' + format(users, ',')")
        .mark_text(align="left", baseline="bottom", dy=-3)
        .encode(x=alt.value(230), y="needed:Q", text="said:N")
    )
    engine_words = (
        now.transform_calculate(said="'the engine runs ' + datum.engine + ' at once'")
        .mark_text(align="left", baseline="top", dy=4, color=QUIET)
        .encode(x=alt.value(4), y="engine:Q", text="said:N")
    )
    layers = [
        *dotted(curve, shown, 18, {"color": BLUE}, color=BLUE, opacity=1),
        now.mark_rule(color=QUIET, **DASHED).encode(y="engine:Q"),
        now.mark_rule(color=INK, strokeWidth=1.4).encode(y="needed:Q"),
        engine_words,
        asked_words,
        here.mark_circle(size=130, opacity=1).encode(color=colour, tooltip=shown),
        *halo(here, "words:N", align="left", dx=10, dy=-10),
    ]
    return look(layered(layers, WIDE, 320), users=1)


@cache
def heat() -> dict:
    """
    Models by formats: how large, and whether there is room.

    Table ``cells``: model, place (of the model), format, bits [bit/parameter], size and room
    (in words), stands (a key of `STANDS`), current (the dials point at it), and for the tips
    weights, engine, memory, free [GB], sequences [sequence].
    """
    base = rows("cells").encode(
        x=alt.X("format:N", sort=alt.EncodingSortField("bits", op="max", order="descending"),
                title="Weight format, widest first",
                axis=alt.Axis(orient="top", labelAngle=0)),
        y=names("model", minExtent=ROOM),
    )  # fmt: skip
    shown = tips({
        "model": "Model", "format": "Format", "bits": ("Bits of a weight matrix", ".3~r"),
        "weights": ("Weights [GB]", ",.4~r"), "engine": ("Buffers of the engine [GB]", ",.3~r"),
        "memory": ("The engine may use [GB]", ",.4~r"),
        "free": ("Left with the users [GB]", ",.3~r"), "sequences": ("Users with room", ",.0f"),
    })  # fmt: skip
    layers = [
        base.mark_rect(stroke="white", strokeWidth=2).encode(
            color=colours("stands", STANDS, columns=3), tooltip=shown
        ),
        base.transform_filter("datum.current").mark_rect(
            fill=None, fillOpacity=0, stroke=INK, strokeWidth=2
        ),
        base.mark_text(dy=-7).encode(text="size:N"),
        base.mark_text(dy=8, fontSize=12, color=QUIET).encode(text="room:N"),
    ]
    return look(layered(layers, {"step": 116}, {"step": 38}))


@cache
def machines() -> dict:
    """
    One model on every machine: weights, buffers and cache as shares of the memory.

    Table ``machines``: place, machine, kind, words (format, split, room), weights, engine,
    cache (ends of the stacked parts) [%], fits, and for the tips server, free [GB].
    """
    base = rows("machines").encode(y=names("machine", minExtent=345))
    scale = alt.Scale(domain=[0, MOST_SHARE], nice=False)
    title = "Share of the memory that the engine may use [%]"
    shown = tips({"server": "Machine", "words": "Deployment",
                  "free": ("Left on each device [GB]", ",.3~r")})  # fmt: skip
    layers = [
        base.transform_calculate(none="0")
        .mark_bar(clip=True, height={"band": 0.66}, color=colour)
        .encode(x=alt.X(f"{start}:Q", title=title, scale=scale), x2=f"{end}:Q",
                opacity=either("datum.fits", 1, 0.4), tooltip=shown)
        for end, start, colour in (
            ("weights", "none", BLUE), ("engine", "weights", QUIET), ("cache", "engine", SKY),
        )
    ]  # fmt: skip
    full = rows("full").mark_rule(color=VERMILION, strokeWidth=1.4).encode(x="full:Q")
    words = base.mark_text(align="left", dx=8).encode(
        x=alt.value(BARS), text="words:N", color=either("datum.fits", INK, VERMILION)
    )
    layers += [full, words, reserved("full", BARS, LONGEST)]
    return look(layered(layers, BARS, {"step": 20}))


@cache
def claimed() -> dict:
    """
    Memory that the guide claims for its models, beside what the weights alone take.

    Table ``models``: model, place, low, high (claimed), bf16, int8, int4 (weights), one
    (cache of a user) [GB], claim (in words). Signal ``users``. [user]
    """
    sizes = {
        "bf16": "Weights in BF16 [GB]", "int8": "Weights in 8 bits [GB]",
        "int4": "Weights in 4 bits [GB]", "served": "BF16 with the users' cache [GB]",
    }  # fmt: skip
    base = rows("models").transform_calculate(served="datum.bf16 + users * datum.one").encode(
        y=names("model", minExtent=ROOM), color=colours("what", SERVED, columns=3),
        tooltip=tips({"model": "Model", "claim": "The guide claims"}) + tips(sizes, ",.4~r"),
    )  # fmt: skip
    said, bf16, *parts = (base.transform_calculate(what=f'"{what}"') for what in SERVED)
    layers = [
        said.mark_rule(strokeWidth=7, opacity=0.8).encode(
            x=alt.X("low:Q", title="Memory [GB]", scale=LOG), x2="high:Q"
        ),
        bf16.mark_tick(thickness=3, size=20, opacity=1).encode(x="bf16:Q"),
    ]
    for part, field in zip(parts, ("served", "int8", "int4"), strict=True):
        layers.append(part.mark_circle(size=70, opacity=1).encode(x=f"{field}:Q"))
    return look(layered(layers, WIDE - 140, {"step": 28}), users=1)
