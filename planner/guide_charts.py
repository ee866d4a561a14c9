"""Charts of the guide's claims: verdicts by kind, claimed over computed, ranges and limits."""

import altair as alt
import pandas as pd

from planner.theme import (
    BLUE,
    HELD_BACK,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    ROW_WIDTH,
    VERMILION,
    WIDTH,
    figure,
    finish,
    require,
)
from planner.verdicts import VERDICTS

COLOURS = (VERMILION, PURPLE, ORANGE, BLUE, HELD_BACK)  # of VERDICTS
SHAPES = ("cross", "diamond", "triangle-up", "circle", "square")
ROW = 22  # height of a claim [px]
TIPS = ("claim", "claimed", "computed", "verdict", "why", "source")


def _verdict(channel, values):
    return channel("verdict:N", scale=alt.Scale(domain=list(VERDICTS), range=list(values)),
                   legend=alt.Legend(columns=5))  # fmt: skip


def _tips(data):
    return [alt.Tooltip(f"{name}:N", title=name) for name in TIPS if name in data]


def verdict_bars(counts: pd.DataFrame):
    """Claims of each kind by verdict, as stacked bars.

    Parameters
    ----------
    counts : pandas.DataFrame
        From `claims.counts`.
    """
    data = require(counts, "kind", *VERDICTS)
    long = data[["kind", *VERDICTS]].melt(
        "kind", list(VERDICTS), var_name="verdict", value_name="claims"
    )
    long = long[long["claims"] > 0].assign(order=long["verdict"].map(VERDICTS.index))
    chart = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("claims:Q", title="Claims", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("kind:N", sort=list(data["kind"]), title=None),
            color=_verdict(alt.Color, COLOURS),
            order="order:Q",
            tooltip=["kind:N", "verdict:N", "claims:Q"],
        )
    )
    said = "; ".join(
        f"{kind}: " + ", ".join(f"{row.claims} {row.verdict}" for row in part.itertuples())
        for kind, part in long.sort_values("order").groupby("kind", sort=False)
    )
    return finish(chart, f"Claims by kind and verdict. {said}.", 28 * len(data), ROW_WIDTH + 120)


def factors(claims: pd.DataFrame):
    """Claimed over computed of every claim, by kind, on a logarithmic axis.

    Parameters
    ----------
    claims : pandas.DataFrame
        ``kind``, ``factor`` [1], ``verdict`` and the texts of `TIPS` that are known.
    """
    data = require(claims, "kind", "factor", "verdict").dropna(subset=["factor"])
    data = data.sort_values(["kind", "factor"])
    data["lane"] = data.groupby("kind").cumcount() % 5
    kinds = list(dict.fromkeys(claims["kind"]))
    points = (
        alt.Chart(data)
        .mark_point(filled=True, size=60, opacity=0.85)
        .encode(
            x=alt.X("factor:Q", title="Claimed over computed (1 is agreement)",
                    scale=alt.Scale(type="log")),
            y=alt.Y("kind:N", sort=kinds, title=None),
            yOffset=alt.YOffset("lane:O"),
            color=_verdict(alt.Color, COLOURS),
            shape=_verdict(alt.Shape, SHAPES),
            tooltip=_tips(data),
        )
    )  # fmt: skip
    line = alt.Chart(pd.DataFrame({"factor": [1.0]})).mark_rule(color=INK, strokeWidth=1.2)
    far = data.loc[data["factor"].map(lambda value: max(value, 1 / value)).idxmax()]
    within = (data["factor"].between(1 / 1.25, 1.25)).mean()
    name = far["claim"] if "claim" in far else far["kind"]
    description = (
        f"Claimed over computed value of {len(data)} claims by kind, logarithmic; "
        f"{100 * within:.0f} % within 25 %; the farthest is {name} with {figure(far['factor'])}."
    )
    chart = alt.layer(line.encode(x="factor:Q"), points)
    return finish(chart, description, 40 * data["kind"].nunique(), WIDTH - 100)


def ranges(claims: pd.DataFrame):
    """Claimed range, computed band and physical limit of each claim, over the computed middle.

    Parameters
    ----------
    claims : pandas.DataFrame
        ``claim``, ``claimed_low``, ``claimed_high``, ``predicted``, ``predicted_low``,
        ``predicted_high``, ``limit`` (of one unit per row), and texts of `TIPS`.
    """
    ends = ("claimed_low", "claimed_high", "predicted_low", "predicted_high", "limit")
    data = require(claims, "claim", "predicted", *ends).dropna(subset=["predicted"])
    for name in ends:
        data[name] = data[name].astype(float) / data["predicted"]
    names = ["claimed", "computed", "physical limit"]
    colour = alt.Color("what:N", scale=alt.Scale(domain=names, range=[ORANGE, BLUE, VERMILION]))
    y = alt.Y("claim:N", sort=None, title=None, axis=alt.Axis(labelLimit=330))
    scale = alt.Scale(type="log")
    title = "Relative to the computed value"
    layers = []
    lanes = {"claimed": ("claimed", -4), "predicted": ("computed", 4)}
    for name, (what, lane) in lanes.items():
        part = data.rename(columns={f"{name}_low": "low", f"{name}_high": "high"})
        part = part.assign(what=what)
        base = alt.Chart(part).encode(
            x=alt.X("low:Q", title=title, scale=scale), y=y, color=colour, tooltip=_tips(part)
        )
        layers.append(base.mark_rule(strokeWidth=5, yOffset=lane).encode(x2="high:Q"))
        layers.append(base.mark_circle(size=26, yOffset=lane, opacity=1))  # a point has no length
    limit = data.dropna(subset=["limit"]).assign(what="physical limit")
    layers.append(
        alt.Chart(limit)
        .mark_tick(thickness=2.5, size=16, opacity=1)
        .encode(x="limit:Q", y=y, color=colour, tooltip=_tips(limit))
    )
    one = alt.Chart(pd.DataFrame({"x": [1.0]})).mark_rule(color=QUIET, strokeDash=[3, 3])
    said = "; ".join(
        f"{row.claim}: claimed {figure(row.claimed_low)} to {figure(row.claimed_high)}"
        for row in data.itertuples()
    )
    description = f"Claims relative to the computed value, logarithmic. {said}."
    chart = alt.layer(one.encode(x="x:Q"), *layers)
    return finish(chart, description, ROW * len(data), ROW_WIDTH)
