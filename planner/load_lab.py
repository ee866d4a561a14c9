"""What the notebook on load shows beyond the report: days, callers, failures, other limits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import display, draws, load_charts, phrases, pressure, pricing, words
from planner import plan as planning
from planner.display import Column
from planner.draws import World
from planner.sizing import LIMITS
from planner.team_plans import planned, recommended
from planner.under_load import BINDS, NOT_HOSTED

NO_PROFILE = "The team's file states no profile: add `hourly` (24 shares) or a trace of its calls."
PROVIDER = "The calls go to a provider; how many it serves is in its contract."
NOBODY = "No option meets the requirement, so nobody is served."
NOTHING = (
    "**Nothing is carried within these limits**: even a nearly idle replica misses one, because "
    "{binds}. Loosen the limit, or look below for another machine."
)
ANSWER = (
    "**{users} users** of these habits are carried by {working} with 95 % of first tokens and of "
    "times per token within {limits}. The team has {team}; at {factor} times the load, and with "
    "the growth until the last year, it is as if it had {peak}, which takes {needed}, spares "
    "included: {cost} over {years}. More than one replica carries would fail because {binds}."
)
READ = (
    "One replica is read off the simulated curve by straight lines; replicas are the busiest hour "
    "over what one carries, rounded up."
)
LADDER = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # limits of the first token [s]
# Loads of the chart of replicas, relative to the team's own.
LOADS = tuple(float(x) for x in np.unique(np.append(np.geomspace(0.1, 10.0, 41), 1.0)))
DIALLED = ("ttft_p95", "tpot_p95")  # limits that have a dial


@lru_cache(maxsize=8)
def reach(team: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One replica of the recommendation, simulated once: its curve, and that in pieces."""
    asked = planned(team).team
    curve, saturated = pressure.reach(recommended(team), asked)
    stated = {name: getattr(asked.slo, name) for name in LIMITS}
    stay = {n: x for n, x in stated.items() if n not in DIALLED and np.isfinite(x)}
    pieces = pressure.segments(curve, stay, asked.policy.highest_utilisation * saturated)
    own = pieces["name"].map({name: stated[name] for name in DIALLED}).fillna(0.0)
    return curve, pieces.assign(own=own)[np.isfinite(own)]


@lru_cache(maxsize=64)
def within(team: str, ttft_factor: float, tpot_factor: float) -> tuple[float, str]:
    """What one replica carries within the limits [1/s], and what stops more."""
    limits, _ = dialled(team, ttft_factor, tpot_factor)
    return pressure.within(reach(team)[1], {n: x for n, x in limits.items() if np.isfinite(x)})


def dialled(team: str, ttft_factor: float, tpot_factor: float) -> tuple[dict, str]:
    """The limits of the dials [s], also in words."""
    slo = planned(team).team.slo
    limits = {"ttft_p95": slo.ttft_p95 * ttft_factor, "tpot_p95": slo.tpot_p95 * tpot_factor}
    said = " and ".join(phrases.seconds(limit) for limit in limits.values())
    return limits, said


def _hosted(team):
    option = recommended(team)
    return option is not None and option["sourcing"] in ("own", "rent")


def _absent(team):
    """Why there is no machine whose load could be shown."""
    return NOBODY if recommended(team) is None else NOT_HOSTED


def filling(team: str, load_factor: float, ttft_factor: float, tpot_factor: float) -> display.Shown:
    """One replica of the recommendation filling up."""
    if not _hosted(team):
        return display.text(_absent(team))
    curve, pieces = reach(team)
    asked, right = planned(team).team, float(curve["asked"].max())
    planned_ = asked.peak_rate / float(recommended(team)["working"])
    scale = np.where(pieces["name"] == "tpot_p95", 1e3, 1.0)
    pieces = pieces.assign(right=right, **{n: pieces[n] * scale for n in ("y0", "y1", "own")})
    one = {"right": right, "planned": planned_, "ttft": asked.slo.ttft_p95,
           "tpot": 1e3 * asked.slo.tpot_p95}  # fmt: skip
    carried, binds = within(team, ttft_factor, tpot_factor)
    return display.drawing(
        load_charts.filling(),
        {"curve": _long(curve), "pieces": pieces, "plan": pd.DataFrame([one])},
        "What users wait for as one replica fills up, to the end of what can be said (90 % of "
        "saturation); pale: to the slow end of the band, for 95 % of the calls",
        f"Time to first token and per token against the load of one replica. Within "
        f"{dialled(team, ttft_factor, tpot_factor)[1]} it carries {carried:.3g} calls a second; "
        f"the busiest hour brings {planned_ * load_factor:.3g}. More fails because {BINDS[binds]}.",
        {"load_factor": load_factor, "ttft_factor": ttft_factor, "tpot_factor": tpot_factor},
    )


def _long(curve):
    """Middle of the band at every percentile, the slow end beside the 95th."""
    middle, slow = (curve[curve["end"] == end].reset_index(drop=True) for end in ("middle", "slow"))
    parts = []
    for what, scale in (("ttft", 1.0), ("tpot", 1e3)):
        for share, p in load_charts.PERCENTILES.items():
            late = scale * slow[f"{what}_{p}"] if p == "p95" else np.nan
            parts.append(pd.DataFrame({
                "what": what, "share": share, "asked": middle["asked"], "slow": late,
                "time": scale * middle[f"{what}_{p}"], "used": middle["utilisation"],
                "last": middle.index == len(middle) - 1,
            }))  # fmt: skip
    return pd.concat(parts).replace(np.inf, np.nan)


@lru_cache(maxsize=64)
def needed(
    team: str, loads: tuple[float, ...], ttft_factor: float, tpot_factor: float
) -> pd.DataFrame:
    """
    Replicas and cost of the recommended machine under other loads and limits.

    Parameters
    ----------
    team : str
        Name of its file.
    loads, ttft_factor, tpot_factor : float
        Loads and limits relative to the team's own. [ratio]

    Returns
    -------
    table : DataFrame
        factor, working, replicas [replica], low, cost, high (over the plan) [currency]; NaN where
        a replica carries nothing.
    """
    plan, option = planned(team), recommended(team).copy()
    carried, _ = within(team, ttft_factor, tpot_factor)
    factors = np.array(loads)
    if not carried > 0:
        names = ["working", "replicas", "low", "cost", "high"]
        return pd.DataFrame({"factor": factors, **dict.fromkeys(names, np.nan)})
    for name in ("rate_low", "rate_high", "rate"):
        option[name] *= carried / recommended(team)["rate"]
    ends = np.repeat([0.0, -1.0, 1.0], len(factors))  # cost as planned, low and high
    world = World(
        len(ends), figures={draws.LEVEL: np.tile(factors, 3)},
        positions={draws.speed_name(option): -draws.END * ends, draws.price_name(option): ends},
    )  # fmt: skip
    cost, low, high = draws.price(option, plan, world)["total"].reshape(3, -1)
    policy = plan.team.policy
    working = pricing.working(
        np.full(len(factors), carried), plan.team.peak_rate * factors[:, None]
    )
    each = option["per_server"] if option["sourcing"] == "own" else 1  # a rented replica is alone
    spare = policy.spare_replicas + policy.spare_servers * each
    return pd.DataFrame({
        "factor": factors, "working": working[:, -1], "replicas": working[:, -1] + spare,
        "low": low, "cost": cost, "high": high,
    }).replace(np.inf, np.nan)  # fmt: skip


def now(team: str, load_factor: float, ttft_factor: float, tpot_factor: float) -> display.Shown:
    """The team's own load and limits beside those of the dials, on the recommended machine."""
    if not _hosted(team):
        return display.text(_absent(team))
    plan, option = planned(team), recommended(team)
    carried, binds = within(team, ttft_factor, tpot_factor)
    limits, _ = dialled(team, ttft_factor, tpot_factor)
    slo, peak = plan.team.slo, plan.team.peak_rate
    own = {
        "case": "The team's own, simulated", "ttft": slo.ttft_p95, "tpot": slo.tpot_p95,
        "rate": option["rate"], "peak": peak, "binds": BINDS[option["binds"]],
        "cost": option["total"], "low": option["total_low"], "high": option["total_high"],
        "working": option["working"], "replicas": option["replicas"],
    }  # fmt: skip
    turned = {
        "case": "With the dials", "ttft": limits["ttft_p95"], "tpot": limits["tpot_p95"],
        "rate": carried, "peak": peak * load_factor, "binds": BINDS[binds],
        **needed(team, (load_factor,), ttft_factor, tpot_factor).iloc[0],
    }  # fmt: skip
    return display.table(
        pd.DataFrame([own, turned]),
        {
            "case": Column("Load and limits"),
            "ttft": Column("TTFT 95 %", "s", ".3g"),
            "tpot": Column("TPOT 95 %", "ms", ".3g", scale=1e3),
            "rate": Column("One replica carries", "call/s", ".3g"),
            "peak": Column("Busiest hour", "call/s", ".3g"),
            "working": Column("Working replicas", "", ",.0f"),
            "replicas": Column("With spares", "", ",.0f"),
            "cost": Column("Cost", plan.team.currency, ",.0f", low="low", high="high"),
            "binds": Column("More would fail because"),
        },
        "What the load takes on the recommended machine",
        READ,
    )


def against_load(
    team: str, ttft_factor: float, tpot_factor: float, load_factor: float
) -> display.Shown:
    """Replicas and cost of the recommended machine against the load."""
    if not _hosted(team):
        return display.text(_absent(team))
    table = needed(team, LOADS, ttft_factor, tpot_factor)
    if table["working"].isna().any():
        return display.text(NOTHING.format(binds=BINDS[within(team, ttft_factor, tpot_factor)[1]]))
    first, last = table.iloc[0], table.iloc[-1]
    return display.drawing(
        load_charts.against_load(planned(team).team.currency),
        {"steps": table, "one": pd.DataFrame({"one": [1]})},
        "Replicas and cost of the recommended machine as the load grows; pale: the band of speed "
        "and price",
        f"From {first['replicas']:.0f} replicas at {first['factor']:g} times the load to "
        f"{last['replicas']:.0f} at {last['factor']:g} times.",
        {"load_factor": load_factor},
    )


def day(team: str, ttft_factor: float) -> display.Shown:
    """A day of the team, hour by hour, on one working replica."""
    if not _hosted(team):
        return display.text(_absent(team))
    asked = planned(team).team
    hours = pressure.day(recommended(team), asked)
    if hours.empty:
        return display.text(NO_PROFILE)
    whole, hours = hours[hours["hour"] < 0].iloc[0], hours[hours["hour"] >= 0]
    waits = pd.concat([
        pd.DataFrame({"hour": hours["hour"], "share": share, "time": hours[f"ttft_{p}"],
                      "last": hours["hour"] == hours["hour"].max()})
        for share, p in load_charts.PERCENTILES.items()
    ])  # fmt: skip
    worst = hours.loc[hours["ttft_p99"].idxmax()]
    return display.drawing(
        load_charts.hours(),
        {
            "calls": hours[["hour", "calls"]],
            "waits": waits,
            "one": pd.DataFrame({"ttft": [asked.slo.ttft_p95]}),
        },
        f"First token by the hour; over the whole day the mean is "
        f"{phrases.seconds(whole['ttft_mean'])} and the 99th percentile "
        f"{phrases.seconds(whole['ttft_p99'])}",
        f"Calls and time to first token by the hour. Worst hour {worst['hour']:.0f}: "
        f"{phrases.seconds(worst['ttft_p99'])} at the 99th percentile.",
        {"ttft_factor": ttft_factor},
    )


@lru_cache(maxsize=8)
def limits_priced(team: str) -> pd.DataFrame:
    """What would be bought under each limit of the first token, by the closed forms."""
    plan, rows = planned(team), []
    for limit in sorted({*LADDER, *([own] if np.isfinite(own := plan.team.slo.ttft_p95) else [])}):
        slo = plan.team.slo.model_copy(update={"ttft_p95": limit})
        asked = plan.team.model_copy(update={"slo": slo})
        made = plan if limit == own else planning.plan(asked, plan.catalogue, plan.made, False)
        option = made.chosen
        rows.append({"limit": limit, "decision": words.decision(made), "own": made is plan})
        if option is not None:
            rows[-1] |= {"cost": option["total"], "low": option["total_low"],
                         "high": option["total_high"], "rate": option["rate"]}  # fmt: skip
    names = ["limit", "decision", "own", "cost", "low", "high", "rate"]
    return pd.DataFrame(rows, columns=names).replace(np.inf, np.nan)


def other_limit(team: str, ttft_factor: float) -> list[display.Shown]:
    """What a stricter or looser limit of the first token costs."""
    plan, table = planned(team), limits_priced(team)
    currency = plan.team.currency
    if table["cost"].isna().all():
        return [display.text(words.headline(plan))]
    priced = table.dropna(subset=["cost"])
    strict, loose = priced.iloc[0], priced.iloc[-1]
    chart = display.drawing(
        load_charts.price_of_a_limit(currency),
        {"limits": priced[["limit", "decision", "cost", "low", "high"]],
         "one": pd.DataFrame({"ttft": [plan.team.slo.ttft_p95]})},
        "Cost of what would be bought under each limit of the first token",
        f"From {phrases.money(strict['cost'], currency)} at {strict['limit']:g} s to "
        f"{phrases.money(loose['cost'], currency)} at {loose['limit']:g} s.",
        {"ttft_factor": ttft_factor},
    )  # fmt: skip
    columns = {
        "limit": Column("95 % of first tokens within", "s", "g"),
        "decision": Column("Decision"),
        "cost": Column("Cost", currency, ",.0f", low="low", high="high"),
        "rate": Column("One replica carries", "call/s", ".3g"),
    }
    return [chart, display.table(
        table, columns, "What the limit of the first token costs",
        "Bold: the team's own limit, simulated. The others by the closed forms, on their careful "
        "side.", strong="own",
    )]  # fmt: skip


def answer(team: str, load_factor: float, ttft_factor: float, tpot_factor: float) -> display.Shown:
    """The question of the notebook, answered."""
    option, asked = recommended(team), planned(team).team
    if option is None:
        return display.text(NOBODY)
    if not _hosted(team):
        return display.text(PROVIDER)
    carried, binds = within(team, ttft_factor, tpot_factor)
    if not carried > 0:
        return display.text(NOTHING.format(binds=BINDS[binds]))
    row = needed(team, (load_factor,), ttft_factor, tpot_factor).iloc[0]
    factor = carried * option["working"] / asked.workload.busiest_hour_rate
    grown = load_factor * asked.peak_rate / asked.workload.busiest_hour_rate
    return display.text(
        ANSWER.format(
            limits=dialled(team, ttft_factor, tpot_factor)[1],
            users=f"{int(asked.workload.users * factor):,}", team=f"{asked.workload.users:,}",
            working=phrases.count(option["working"], "working replica"),
            peak=f"{round(asked.workload.users * grown):,}", binds=BINDS[binds],
            factor=f"{load_factor:g}", needed=phrases.count(row["replicas"], "replica"),
            cost=phrases.money(row["cost"], asked.currency),
            years=phrases.count(asked.growth.years, "year"),
        )
    )  # fmt: skip
