"""Charts that set figures beside each other: claims and physics, predictions and measurements."""

from functools import cache

import altair as alt
import pandas as pd

from planner.display import RANGE
from planner.language import label, say
from planner.looks import colours, filled, layered, look, rows
from planner.theme import BLUE, ORANGE, QUIET, ROW_WIDTH, VERMILION, figure, finish, require

WHAT = ("claimed", "predicted", "physical limit")
LANES = {"claimed": -6, "predicted": 6}  # distance from the middle of the row [px]


def claims_against_physics(claims: pd.DataFrame, *, quantity: str, unit: str) -> dict:
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
    data = require(claims, "claim", *fields)[["claim", *fields]].to_dict("records")
    quantity, named = label(quantity), {name: say(name) for name in WHAT}
    tables = {
        name: [{"claim": row["claim"], "what": named[name],
                "low": row[f"{name}_low"], "high": row[f"{name}_high"]} for row in data]
        for name in LANES
    }  # fmt: skip
    tables["limit"] = [
        {"claim": row["claim"], "what": named["physical limit"], "limit": row["limit"]}
        for row in data
    ]
    parts = say("; ").join(
        say(
            "{claim}: claimed {claimed}, predicted {predicted}, physical limit {limit}",
            claim=row["claim"], limit=figure(row["limit"]),
            **{name: say(RANGE, low=figure(row[f"{name}_low"]), high=figure(row[f"{name}_high"]))
               for name in LANES},
        )
        for row in data
    )  # fmt: skip
    description = say(
        "{quantity} in {unit}, logarithmic. {parts}.", quantity=quantity, unit=unit, parts=parts
    )
    return filled(_claims(), tables, description, title=f"{quantity} [{unit}]", **named)


@cache
def _claims():
    x = alt.X("low:Q", title="$title", scale=alt.Scale(type="log"))
    kinds = dict(zip((f"${name}" for name in WHAT), (ORANGE, BLUE, VERMILION), strict=True))
    y, colour = alt.Y("claim:N", sort=None, title=None), colours("what", kinds, symbolOpacity=1)
    layers = [
        rows(name).mark_rule(strokeWidth=7, yOffset=lane, strokeCap="round")
        .encode(x=x, x2="high:Q", y=y, color=colour)
        for name, lane in LANES.items()
    ]  # fmt: skip
    limit = rows("limit").mark_tick(thickness=2.5, size=26, opacity=1)
    layers.append(limit.encode(x="limit:Q", y=y, color=colour))
    return look(layered(layers, ROW_WIDTH, alt.Step(38)))


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
