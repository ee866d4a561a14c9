"""Charts that set figures beside each other: claims and physics, predictions and measurements."""

import altair as alt
import pandas as pd

from planner.display import RANGE
from planner.language import label, say
from planner.theme import BLUE, ORANGE, QUIET, ROW_WIDTH, VERMILION, figure, finish, require

WHAT = ("claimed", "predicted", "physical limit")


def claims_against_physics(claims: pd.DataFrame, *, quantity: str, unit: str):
    """Published ranges beside the predicted band and the physical limit, on a log scale.

    Parameters
    ----------
    claims : pandas.DataFrame
        Columns ``claim``, ``claimed_low``, ``claimed_high``, ``predicted_low``,
        ``predicted_high`` and ``limit`` (the best that physics allows), all in `unit`.
    quantity, unit : str
        Words for the axis.
    """
    fields = ("claimed_low", "claimed_high", "predicted_low", "predicted_high", "limit")
    data = require(claims, "claim", *fields)
    quantity, named = label(quantity), {name: say(name) for name in WHAT}
    lanes = {"claimed": -6, "predicted": 6}  # distance from the middle of the row [px]
    x = alt.X("low:Q", title=f"{quantity} [{unit}]", scale=alt.Scale(type="log"))
    y = alt.Y("claim:N", sort=None, title=None)
    colour = alt.Color(
        "what:N",
        legend=alt.Legend(symbolOpacity=1),
        scale=alt.Scale(domain=list(named.values()), range=[ORANGE, BLUE, VERMILION]),
    )
    layers = []
    for name, lane in lanes.items():
        ends = {f"{name}_low": "low", f"{name}_high": "high"}
        part = data[["claim", *ends]].rename(columns=ends).assign(what=named[name])
        layers.append(
            alt.Chart(part)
            .mark_rule(strokeWidth=7, yOffset=lane, strokeCap="round")
            .encode(x=x, x2="high:Q", y=y, color=colour)
        )
    layers.append(
        alt.Chart(data[["claim", "limit"]].assign(what=named["physical limit"]))
        .mark_tick(thickness=2.5, size=26, opacity=1)
        .encode(x="limit:Q", y=y, color=colour)
    )
    parts = say("; ").join(
        say(
            "{claim}: claimed {claimed}, predicted {predicted}, physical limit {limit}",
            claim=row.claim, limit=figure(row.limit),
            claimed=say(RANGE, low=figure(row.claimed_low), high=figure(row.claimed_high)),
            predicted=say(RANGE, low=figure(row.predicted_low), high=figure(row.predicted_high)),
        )
        for row in data.itertuples()
    )  # fmt: skip
    description = say(
        "{quantity} in {unit}, logarithmic. {parts}.", quantity=quantity, unit=unit, parts=parts
    )
    return finish(alt.layer(*layers), description, 38 * len(data), ROW_WIDTH)


def predicted_against_measured(rows: pd.DataFrame, *, quantity: str, unit: str):
    """Every measurement against its prediction, both logarithmic, with the lines of 25 % error.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns ``measured``, ``predicted`` [`unit`] and ``kind`` (the colour).
    quantity, unit : str
        Words for the axes.
    """
    data = require(rows, "measured", "predicted", "kind")
    ends = [
        data[["measured", "predicted"]].min(axis=None),
        data[["measured", "predicted"]].max(axis=None),
    ]
    scale = alt.Scale(type="log", domain=ends, nice=False)
    x = alt.X("measured:Q", title=f"{quantity}, measured [{unit}]", scale=scale)
    y = alt.Y("predicted:Q", title=f"predicted [{unit}]", scale=scale)
    points = (
        alt.Chart(data)
        .mark_circle(size=26, opacity=0.55)
        .encode(x=x, y=y, color=alt.Color("kind:N"))
    )
    lines = [
        alt.Chart(pd.DataFrame({"measured": ends, "predicted": [factor * end for end in ends]}))
        .mark_line(color=QUIET, strokeWidth=1.2, strokeDash=dash, clip=True)
        .encode(x=x, y=y)
        for factor, dash in ((1.0, [1, 0]), (0.75, [4, 3]), (1.25, [4, 3]))
    ]
    error = (data["predicted"] / data["measured"] - 1).abs()
    description = (
        f"{quantity}: {len(data):,} predictions against measurements, logarithmic; median error "
        f"{100 * error.median():.1f} %, {100 * (error <= 0.25).mean():.0f} % within 25 %."
    )
    return finish(alt.layer(*lines, points), description, 400, 440)
