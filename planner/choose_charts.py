"""Looks of the charts that help to choose a model; their rows come apart (`display.drawing`)."""

from functools import cache

import altair as alt

from planner.theme import BLUE, GREEN, HELD_BACK, PALE, QUIET, SKY, VERMILION

HALO = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
SCATTER = (720, 400)  # width and height [px]
ROOM = 70  # for names at both ends of its axis of speed [px]
KINDS = ["of the guide", "other"]
# The tree: where the answers of each question begin and the lines fork, and a leaf's columns. [px]
ANSWERS = (14, 110, 168, 262)
FORKS = (5, 104, 162, 256)
LEAF = {"model": 330, "slow": 562, "score": 600, "first": 606, "second": 720}
TREE = (824, 790)
ROWS = (-1.8, 39.2)  # of its vertical scale, with room for the heads
HEADS = (
    (ANSWERS[0], "left", "Memory"), (ANSWERS[1], "left", "Task"),
    (ANSWERS[2], "left", "What is first"), (ANSWERS[3], "left", "Users"),
    (LEAF["model"], "left", "The numbers choose"), (LEAF["slow"], "right", "token/s"),
    (LEAF["score"], "right", "score"), (LEAF["first"], "left", "The guide says, and needs [GB]"),
)  # fmt: skip
SMALL = 12


@cache
def tree() -> dict:
    """
    The decision tree from left to right, the person's own path strong.

    Returns
    -------
    look : dict
        Tables ``heads``: x, y, words, align; ``branches`` and ``path``: line, x [px], y [row], in
        the order of drawing; ``answers``: x, y, words, counted (what it is counted with), yours;
        ``leaves``: y, model (and format), slow [token/s], score, trouble (instead of them), first,
        second (of the guide), first_fits, second_fits, yours, and for the tooltip task, memory,
        users, speed, high, limit, needs, source.
    """
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=list(ROWS), nice=False, reverse=True))
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, TREE[0]], nice=False))
    yours = alt.Chart(alt.NamedData("leaves")).transform_filter("datum.yours")
    stripe = yours.mark_rect(color=SKY, opacity=0.2).encode(
        x=alt.value(ANSWERS[0] - 6),
        x2=alt.value(TREE[0]),
        y=alt.Y("top:Q", axis=None),
        y2="bottom:Q",
    )
    lines = [
        alt.Chart(alt.NamedData(name))
        .mark_line(color=colour, strokeWidth=width)
        .encode(x=x, y=y, detail="line:N", order="order:Q")
        for name, colour, width in (("branches", PALE, 1.2), ("path", BLUE, 2.6))
    ]
    answers = alt.Chart(alt.NamedData("answers")).encode(x=x, y=y)
    ink = alt.condition("datum.yours", alt.value(BLUE), alt.value(QUIET))
    words = answers.mark_text(align="left", fontSize=SMALL + 1).encode(text="words:N", color=ink)
    counted = answers.transform_filter("datum.counted").mark_text(
        align="left", fontSize=SMALL - 1, dy=15, color=QUIET
    )
    layers = [stripe, *lines, words, counted.encode(text="counted:N"), *_leaf(y), *_heads(x, y)]
    return alt.layer(*layers).properties(width=TREE[0], height=TREE[1], padding=5).to_dict()


def _leaf(y):
    leaves = alt.Chart(alt.NamedData("leaves"))
    tips = [
        alt.Tooltip(f"{field}:{'Q' if form else 'N'}", title=title, format=form)
        for field, title, form in (
            ("model", "Model", ""), ("task", "Task", ""),
            ("memory", "Counted with [GB]", ".0f"), ("users", "Users at once", ".0f"),
            ("needs", "It needs [GB]", ".1f"), ("slow", "Speed, slow end [token/s]", ".3g"),
            ("speed", "Speed, middle", ".3g"), ("high", "Speed, fast end", ".3g"),
            ("limit", "Physics allows", ".3g"), ("score", "Score", ".1f"),
            ("source", "Score from", ""),
        )
    ]  # fmt: skip
    tips = [tip if tip.format else alt.Tooltip(tip.shorthand, title=tip.title) for tip in tips]
    colour = alt.condition("datum.yours", alt.value(BLUE), alt.value(QUIET))
    weight = {"fontSize": SMALL, "align": "left"}
    found, none = (leaves.transform_filter(f"{sign}datum.trouble") for sign in ("!", ""))

    def column(place, field, base=found, colour=colour, **style):
        return base.mark_text(**{**weight, **style}).encode(
            x=alt.value(LEAF[place]), y=y, text=field, color=colour, tooltip=tips
        )

    texts = [
        column("model", "model:N", limit=200),
        column("slow", alt.Text("slow:Q", format=".2~g"), align="right"),
        column("score", alt.Text("score:Q", format=".1f"), align="right"),
        column("model", "trouble:N", none, alt.condition(
            "datum.yours", alt.value(VERMILION), alt.value(QUIET)), limit=276),
    ]  # fmt: skip
    for place in ("first", "second"):
        fits = alt.condition(f"datum.{place}_fits", alt.value(GREEN), alt.value(VERMILION))
        texts.append(column(place, f"{place}:N", leaves, fits))
    return texts


def _heads(x, y):
    for align in ("left", "right"):
        some = alt.Chart(alt.NamedData("heads")).transform_filter(f"datum.align == '{align}'")
        style = {"color": QUIET, "fontSize": SMALL + 1, "fontStyle": "italic"}
        yield some.mark_text(align=align, **style).encode(x=x, y=y, text="words:N")


@cache
def score_against_speed(benchmark: str) -> dict:
    """
    Every model that fits: its score against the speed of one user, as many named as have room.

    Parameters
    ----------
    benchmark : str
        In words and with its unit, for the axis.

    Returns
    -------
    look : dict
        Table ``models``: name, format, speed, low, high, limit [token/s], score [%], kind (of
        `KINDS`), harness, alone (the harness is not the common one), side (of its name: left,
        right or empty), source. Table ``one``: one row. Signal ``speed``: what one user needs.
        [token/s]
    """
    base = alt.Chart(alt.NamedData("models"))
    scale = alt.Scale(type="log", nice=False, padding=ROOM)
    x = alt.X("speed:Q", title="Speed of one user [token/s]", scale=scale)
    y = alt.Y("score:Q", title=f"Score in {benchmark}", scale=alt.Scale(domain=[0, 100]))
    tips = [
        alt.Tooltip("name:N", title="Model"),
        alt.Tooltip("format:N", title="Format"),
        alt.Tooltip("score:Q", title="Score", format=".1f"),
        alt.Tooltip("harness:N", title="Measured by"),
        alt.Tooltip("speed:Q", title="Speed [token/s]", format=".3g"),
        alt.Tooltip("low:Q", title="Slow end", format=".3g"),
        alt.Tooltip("high:Q", title="Fast end", format=".3g"),
        alt.Tooltip("limit:Q", title="Physics allows", format=".3g"),
        alt.Tooltip("source:N", title="Score from"),
    ]
    needed = alt.param(name="speed", value=10)
    colour = alt.condition("datum.low >= speed", alt.value(BLUE), alt.value(HELD_BACK))
    bands = base.mark_rule(strokeWidth=1.2, opacity=0.45).encode(
        x="low:Q", x2="high:Q", y=y, color=colour
    )
    shape = alt.Shape(
        "kind:N", scale=alt.Scale(domain=KINDS, range=["diamond", "circle"]), legend=alt.Legend()
    )
    filled = base.transform_filter("!datum.alone").mark_point(size=90, opacity=1, strokeWidth=0)
    hollow = base.transform_filter("datum.alone").mark_point(size=70, opacity=1, strokeWidth=1.8)
    points = [
        filled.encode(x=x, y=y, shape=shape, fill=colour, tooltip=tips),
        hollow.encode(x=x, y=y, shape=shape, stroke=colour, fill=alt.value("white"), tooltip=tips),
    ]
    texts = []
    for side, end, shift in (("left", "low", -6), ("right", "high", 6)):
        named = base.transform_filter(f"datum.side == '{side}'")
        align = "right" if side == "left" else "left"
        texts += [
            named.mark_text(align=align, dx=shift, fontSize=SMALL, **style).encode(
                x=alt.X(f"{end}:Q"), y=y, text="name:N"
            )
            for style in (HALO, {})
        ]
    wall = alt.Chart(alt.NamedData("one")).mark_rule(color=VERMILION, strokeWidth=1.4)
    wall = wall.transform_calculate(needed="speed").encode(x="needed:Q")
    said = alt.Chart(alt.NamedData("one")).transform_calculate(
        needed="speed", words="format(speed, '~g') + ' token/s'"
    )
    style = {"align": "left", "dx": 4, "dy": -7, "fontSize": SMALL, "color": VERMILION}
    said = said.mark_text(**style).encode(x="needed:Q", y=alt.value(0), text="words:N")
    chart = alt.layer(wall, said, bands, *texts, *points).add_params(needed)
    return chart.properties(width=SCATTER[0], height=SCATTER[1]).to_dict()
