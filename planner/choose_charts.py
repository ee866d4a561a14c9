"""Looks of the charts that help to choose a model; their rows come apart (`display.drawing`)."""

from functools import cache

import altair as alt

from planner.looks import either, halo, layered, look, rows, tips
from planner.theme import BLUE, GREEN, HELD_BACK, PALE, QUIET, SKY, VERMILION

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

    Tables ``heads``: x, y, words, align; ``branches`` and ``path``: line, x [px], y [row], in
    the order of drawing; ``answers``: x, y, words, counted (what it is counted with), yours;
    ``leaves``: y, model (and format), slow [token/s], score, trouble (instead of them), first,
    second (of the guide), first_fits, second_fits, yours, and for the tooltip task, memory,
    users, speed, high, limit, needs, source.
    """
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=list(ROWS), nice=False, reverse=True))
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, TREE[0]], nice=False))
    stripe = rows("leaves").transform_filter("datum.yours").mark_rect(color=SKY, opacity=0.2)
    stripe = stripe.encode(
        x=alt.value(ANSWERS[0] - 6),
        x2=alt.value(TREE[0]),
        y=alt.Y("top:Q", axis=None),
        y2="bottom:Q",
    )
    lines = [
        rows(name)
        .mark_line(color=colour, strokeWidth=width)
        .encode(x=x, y=y, detail="line:N", order="order:Q")
        for name, colour, width in (("branches", PALE, 1.2), ("path", BLUE, 2.6))
    ]
    answers, heads = (rows(name).encode(x=x, y=y) for name in ("answers", "heads"))
    layers = [
        stripe,
        *lines,
        answers.mark_text(align="left", fontSize=SMALL + 1).encode(
            text="words:N", color=either("datum.yours", BLUE, QUIET)
        ),
        answers.transform_filter("datum.counted")
        .mark_text(align="left", fontSize=SMALL - 1, dy=15, color=QUIET)
        .encode(text="counted:N"),
        *_leaf(rows("leaves").encode(y=y)),
    ]
    for align in ("left", "right"):
        some = heads.transform_filter(f"datum.align == '{align}'").encode(text="words:N")
        style = {"color": QUIET, "fontSize": SMALL + 1, "fontStyle": "italic"}
        layers.append(some.mark_text(align=align, **style))
    return look(layered(layers, *TREE).properties(padding=5))


def _leaf(leaves):
    shown = tips({
        "model": "Model", "task": "Task", "memory": ("Counted with [GB]", ".0f"),
        "users": ("Users at once", ".0f"), "needs": ("It needs [GB]", ".1f"),
        "slow": ("Speed, slow end [token/s]", ".3g"), "speed": ("Speed, middle", ".3g"),
        "high": ("Speed, fast end", ".3g"), "limit": ("Physics allows", ".3g"),
        "score": ("Score", ".1f"), "source": "Score from",
    })  # fmt: skip
    found, none = (leaves.transform_filter(f"{sign}datum.trouble") for sign in ("!", ""))

    def column(place, text, base=found, colours=(BLUE, QUIET), test="yours", **style):
        return base.mark_text(**{"fontSize": SMALL, "align": "left", **style}).encode(
            x=alt.value(LEAF[place]), text=text, color=either(f"datum.{test}", *colours),
            tooltip=shown,
        )  # fmt: skip

    return [
        column("model", "model:N", limit=200),
        column("slow", alt.Text("slow:Q", format=".2~g"), align="right"),
        column("score", alt.Text("score:Q", format=".1f"), align="right"),
        column("model", "trouble:N", none, (VERMILION, QUIET), limit=276),
        column("first", "first:N", leaves, (GREEN, VERMILION), "first_fits"),
        column("second", "second:N", leaves, (GREEN, VERMILION), "second_fits"),
    ]


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
    base = rows("models").encode(
        x=alt.X("speed:Q", title="Speed of one user [token/s]",
                scale=alt.Scale(type="log", nice=False, padding=ROOM)),
        y=alt.Y("score:Q", title=f"Score in {benchmark}", scale=alt.Scale(domain=[0, 100])),
    )  # fmt: skip
    shown = tips({
        "name": "Model", "format": "Format", "score": ("Score", ".1f"), "harness": "Measured by",
        "speed": ("Speed [token/s]", ".3g"), "low": ("Slow end", ".3g"),
        "high": ("Fast end", ".3g"), "limit": ("Physics allows", ".3g"), "source": "Score from",
    })  # fmt: skip
    colour = either("datum.low >= speed", BLUE, HELD_BACK)
    bands = base.mark_rule(strokeWidth=1.2, opacity=0.45).encode(
        x="low:Q", x2="high:Q", color=colour
    )
    points = base.encode(
        shape=alt.Shape("kind:N", legend=alt.Legend(),
                        scale=alt.Scale(domain=KINDS, range=["diamond", "circle"])),
        tooltip=shown,
    )  # fmt: skip
    filled = points.transform_filter("!datum.alone").mark_point(size=90, opacity=1, strokeWidth=0)
    hollow = points.transform_filter("datum.alone").mark_point(size=70, opacity=1, strokeWidth=1.8)
    texts = []
    for side, align, end, shift in (("left", "right", "low", -6), ("right", "left", "high", 6)):
        named = base.transform_filter(f"datum.side == '{side}'").encode(x=alt.X(f"{end}:Q"))
        texts += halo(named, "name:N", align=align, dx=shift, fontSize=SMALL)
    wall = rows("one").encode(x="needed:Q").transform_calculate(
        needed="speed", words="format(speed, '~g') + ' token/s'"
    )  # fmt: skip
    style = {"align": "left", "dx": 4, "dy": -7, "fontSize": SMALL, "color": VERMILION}
    layers = [
        wall.mark_rule(color=VERMILION, strokeWidth=1.4),
        wall.mark_text(**style).encode(y=alt.value(0), text="words:N"),
        bands,
        *texts,
        filled.encode(fill=colour),
        hollow.encode(stroke=colour, fill=alt.value("white")),
    ]
    return look(layered(layers, *SCATTER), speed=10)
