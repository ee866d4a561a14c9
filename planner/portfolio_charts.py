"""Charts of the portfolio: what pools save, when their teams call, what is spent when."""

import altair as alt
import pandas as pd

from planner.theme import (
    BLUE,
    HELD_BACK,
    INK,
    ORANGE,
    PALETTE,
    SKY,
    VERMILION,
    WIDTH,
    figure,
    finish,
    money,
    require,
)  # fmt: skip

MOST_TEAMS = 6  # that have a colour of their own
ROW = 44  # height of a pool's two bars [px]
ROOM = 330  # for bars, beside their words [px]


def savings(pools: pd.DataFrame, currency: str):
    """Two bars for each pool: its teams by themselves, and together.

    Parameters
    ----------
    pools : pandas.DataFrame
        Columns ``pool``, ``apart`` and ``pooled`` [currency].
    currency : str
        Currency code on the axis.
    """
    data = require(pools, "pool", "apart", "pooled")
    factor, unit = money(data[["apart", "pooled"]].max().max(), currency)
    rows = data.melt("pool", ["apart", "pooled"], "way", "cost")
    rows["cost"] = rows["cost"].astype(float) * factor
    rows["label"] = rows["cost"].map(figure)
    rows["way"] = rows["way"].map({"apart": "each team by itself", "pooled": "together"})
    top = 1.15 * float(rows["cost"].max()) or 1.0
    base = alt.Chart(rows).encode(
        y=alt.Y("pool:N", sort=None, title=None),
        yOffset=alt.YOffset("way:N", sort=["each team by itself", "together"]),
        x=alt.X("cost:Q", title=f"Cost over the plan [{unit}]", scale=alt.Scale(domain=[0, top])),
    )
    colour = alt.Color(
        "way:N",
        sort=["each team by itself", "together"],
        scale=alt.Scale(domain=["each team by itself", "together"], range=[HELD_BACK, BLUE]),
    )
    labels = base.mark_text(align="left", dx=6).encode(text="label:N")
    listed = "; ".join(
        f"{row.pool}: {figure(row.apart * factor)} apart, {figure(row.pooled * factor)} together"
        for row in data.itertuples()
    )
    words = f"Cost of each pool's teams apart and together, in {unit}. {listed}."
    return finish(base.mark_bar().encode(color=colour) + labels, words, ROW * len(data), ROOM)


def day(use: pd.DataFrame, replicas: float):
    """Replicas that teams keep busy through the day, on top of each other, and those that work.

    Parameters
    ----------
    use : pandas.DataFrame
        Columns ``team``, ``hour`` and ``use`` [replica].
    replicas : float
        Working replicas of the pool. [replica]
    """
    data = require(use, "team", "hour", "use")
    largest = data.groupby("team", sort=False)["use"].max().nlargest(MOST_TEAMS).index.tolist()
    if data["team"].nunique() > MOST_TEAMS:
        rest = ~data["team"].isin(largest)
        data.loc[rest, "team"] = "all other teams"
        data = data.groupby(["team", "hour"], as_index=False, sort=False)["use"].sum()
        largest = [*largest, "all other teams"]
    bars = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=alt.X("hour:O", title="Hour of the day", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("use:Q", title="Replicas kept busy"),
            color=alt.Color(
                "team:N",
                sort=largest,
                scale=alt.Scale(
                    domain=largest, range=[*PALETTE[:MOST_TEAMS], HELD_BACK][: len(largest)]
                ),
                legend=alt.Legend(columns=2, labelLimit=260),
            ),
            order=alt.Order("rank:Q"),
        )
    )
    data["rank"] = data["team"].map(largest.index)
    bars.data = data
    line = pd.DataFrame({"y": [float(replicas)], "words": [f"{replicas:.0f} working replicas"]})
    mark = alt.Chart(line).encode(y="y:Q")
    rule = mark.mark_rule(color=VERMILION, strokeWidth=1.4) + mark.mark_text(
        align="right", baseline="bottom", dy=-4, color=VERMILION
    ).encode(x=alt.value(WIDTH), text="words:N")
    total = data.groupby("hour")["use"].sum()
    words = (
        f"Replicas that {len(largest)} teams or groups of teams keep busy in each hour of the last "
        f"year's day; together at most {figure(total.max())} at {total.idxmax()} o'clock, with "
        f"{replicas:.0f} replicas at work."
    )
    return finish(bars + rule, words, 230)


def spend(quarters: pd.DataFrame, currency: str):
    """What is spent in every quarter, by kind.

    Parameters
    ----------
    quarters : pandas.DataFrame
        Columns ``quarter`` (words, in order), ``kind`` and ``cost`` [currency].
    currency : str
        Currency code on the axis.
    """
    data = require(quarters, "quarter", "kind", "cost")
    whole = data.groupby("quarter", sort=False)["cost"].sum()
    factor, unit = money(whole.max(), currency)
    data["cost"] = data["cost"].astype(float) * factor
    kinds = data["kind"].unique().tolist()
    chart = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=alt.X("quarter:O", sort=None, title=None, axis=alt.Axis(labelAngle=-45)),
            y=alt.Y("cost:Q", title=f"Spend in the quarter [{unit}]"),
            color=alt.Color(
                "kind:N",
                sort=kinds,
                scale=alt.Scale(domain=kinds, range=[BLUE, SKY, ORANGE, INK][: len(kinds)]),
            ),
        )
    )
    listed = "; ".join(f"{name}: {figure(value * factor)}" for name, value in whole.items())
    return finish(chart, f"Spend by quarter in {unit}. {listed}.", 230)
