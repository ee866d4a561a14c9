"""What the notebook on load shows beyond the report: days, callers, failures, other limits."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import crowd, display, load_charts, phrases, pressure, words
from planner import plan as planning
from planner.catalogue import Catalogue
from planner.display import Column
from planner.plan import Plan
from planner.under_load import BINDS, NOT_HOSTED

NO_PROFILE = "The team's file states no profile: add `hourly` (24 shares) or a trace of its calls."
ONE_ONLY = "There is one replica: when it fails, the service stops."
NO_DIFFERENCE = "At the limit of {limit} the purchase is the same."
NOBODY = "No option meets the requirement, so nobody is served."
PROVIDER = "The calls go to a provider; how many it serves is in its contract."
ANSWER = (
    "**{users} users** of these habits are carried within every limit by {working} ({team} are "
    "planned, {peak} at the last year's peak): {decision}. More would fail because {binds}."
)
CASES = {
    "all": "every replica up, fewest calls first",
    "one fails": "{lost} of {number} away for a while",
    "random": "every replica up, router at random",
}
BLANK = "\u2003"
KINDS = {"independent": "independently", "bursty": "in bursts (gaps vary threefold)",
         "users": "from users who wait, then think for 30 s"}  # fmt: skip


def _hosted(plan):
    return plan.pressure is not None


def day(plan: Plan) -> display.Shown:
    """A day of the team, hour by hour, on one working replica."""
    if not _hosted(plan):
        return display.text(NOT_HOSTED)
    hours = pressure.day(plan.chosen, plan.team)
    if hours.empty:
        return display.text(NO_PROFILE)
    whole = hours[hours["hour"] < 0].iloc[0]
    limit = plan.team.slo.ttft_p95
    chart = load_charts.hours(
        hours[hours["hour"] >= 0], limit=limit if np.isfinite(limit) else None
    )
    return display.figure(
        chart,
        f"First token by the hour; over the whole day the mean is "
        f"{phrases.seconds(whole['ttft_mean'])} and the 99th percentile "
        f"{phrases.seconds(whole['ttft_p99'])}",
    )


LATENCIES = {
    "ttft_p50": Column("TTFT 50 %", "s", ".2f"),
    "ttft_p95": Column("95 %", "s", ".2f"),
    "ttft_p99": Column("99 %", "s", ".2f"),
    "tpot_p95": Column("TPOT 95 %", "ms", ".0f", scale=1e3),
}


def callers(plan: Plan) -> display.Shown:
    """The same rate, coming in different ways."""
    if not _hosted(plan):
        return display.text(NOT_HOSTED)
    table = pressure.callers(plan.chosen, plan.team)
    table["kind"] = table["kind"].map(KINDS)
    return display.table(
        table.replace(np.inf, np.nan),
        {"kind": Column("Calls come"), **LATENCIES, "waiting": Column("Waiting", "calls", ".2f")},
        "The busiest hour on one working replica, by who calls",
    )


def failure(plan: Plan) -> display.Shown:
    """Routing, and a failure in the busiest hour."""
    if not _hosted(plan):
        return display.text(NOT_HOSTED)
    table = plan.pressure.outage
    if table.empty or "ttft_p95" not in table:
        return display.text(ONE_ONLY)
    table = table.assign(
        case=[
            CASES[row.case].format(lost=row.lost, number=phrases.count(row.replicas, "replica"))
            for row in table.itertuples()
        ]
    )
    return display.table(
        table,
        {
            "case": Column("Case"),
            **LATENCIES,
            "restarted": Column("Started again", "calls", ",.0f"),
        },
        "All replicas in the busiest hour",
    )


def other_limit(plan: Plan, ttft_limit: float) -> display.Shown:
    """The purchase under another limit of the first token, beside the present one."""
    slo = plan.team.slo.model_copy(update={"ttft_p95": float(ttft_limit)})
    other = planning.plan(plan.team.model_copy(update={"slo": slo}), plan.catalogue, plan.made)
    rows = []
    for made in (plan, other):
        option = made.chosen
        hosted = option is not None and option["sourcing"] in ("own", "rent")
        rows.append(
            {
                "limit": made.team.slo.ttft_p95,
                "decision": words.decision(made),
                "total": np.nan if option is None else option["total"],
                "rate": option["rate"] if hosted else np.nan,
                "binds": BINDS[option["binds"]] if hosted else "",
            }
        )
    return display.table(
        pd.DataFrame(rows).replace(np.inf, np.nan),
        {
            "limit": Column("95 % of first tokens within", "s", ".2f"),
            "decision": Column("Decision"),
            "total": Column("Cost", plan.team.currency, ",.0f"),
            "rate": Column("One replica carries", "call/s", ".2f"),
            "binds": Column("More would fail because"),
        },
        "What the limit of the first token costs",
    )


def guide_table(catalogue: Catalogue) -> display.Shown:
    """Users at once on the guide's machines, beside what the guide claims."""
    table = crowd.guide(catalogue)
    first = ~table.duplicated("model_id")
    table["model"] = [
        catalogue.models[row.model_id].name if new else BLANK
        for row, new in zip(table.itertuples(), first, strict=True)
    ]
    # one line is enough for a model that does not fit
    table = table[first | table["speed"].notna()]
    table["reason"] = table["reason"].replace("", BLANK)
    return display.table(
        table,
        {
            "model": Column("Model"),
            "users": Column("Users"),
            "response": Column("Answer", "s", ".0f", low="response_low", high="response_high"),
            "claimed_response": Column("claimed", "s", ".0f"),
            "speed": Column("Each", "token/s", ".2f", low="speed_low", high="speed_high"),
            "claimed_speed": Column("claimed", "token/s", ".0f"),
            "total": Column("All", "token/s", ".1f"),
            "memory": Column("Memory", "GB", ",.0f", scale=1e-9),
            "claimed_memory": Column("claimed", "GB", ",.0f", scale=1e-9),
            "reason": Column("Remark"),
        },
        "Users at once on the guide's machines, in the guide's format",
    )


def answer(plan: Plan) -> display.Shown:
    """The question of the notebook, answered."""
    option, team = plan.chosen, plan.team
    if option is None:
        return display.text(NOBODY)
    if not _hosted(plan):
        return display.text(PROVIDER)
    factor = option["rate"] * option["working"] / team.workload.busiest_hour_rate
    grown = team.peak_rate / team.workload.busiest_hour_rate
    return display.text(
        ANSWER.format(
            users=f"{int(team.workload.users * factor):,}", team=f"{team.workload.users:,}",
            working=phrases.count(option["working"], "working replica"),
            peak=f"{round(team.workload.users * grown):,}",
            decision=words.decision(plan), binds=BINDS[plan.pressure.binds],
        )
    )  # fmt: skip
