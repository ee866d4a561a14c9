"""Tables of the notebook on load that no dial moves: callers, failures, the guide's claims."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import display, phrases, pressure, words
from planner.catalogue import load
from planner.display import Column
from planner.plan import Plan
from planner.team_plans import advised
from planner.under_load import BINDS, NOT_HOSTED

SOON = "This is being simulated; it will stand here in a few seconds."
ONE_ONLY = "There is one replica: when it fails, the service stops."
CASES = {
    "all": "every replica up, fewest calls first",
    "one fails": "{lost} of {number} away for a while",
    "random": "every replica up, router at random",
}
BLANK = "\u2003"
KINDS = {"independent": "independently", "bursty": "in bursts (gaps vary threefold)",
         "users": "from users who wait, then think for 30 s"}  # fmt: skip


LATENCIES = {
    "ttft_p50": Column("TTFT 50 %", "s", ".2f"),
    "ttft_p95": Column("95 %", "s", ".2f"),
    "ttft_p99": Column("99 %", "s", ".2f"),
    "tpot_p95": Column("TPOT 95 %", "ms", ".0f", scale=1e3),
}


def callers(plan: Plan) -> display.Shown:
    """The same rate, coming in different ways."""
    if plan.pressure is None:
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
    if plan.pressure is None:
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


def guide_table(table: pd.DataFrame | None) -> display.Shown:
    """Users at once on the guide's machines, beside what the guide claims; from `crowd.guide`."""
    if table is None:
        return display.text(SOON)
    catalogue = load()
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


def scenarios(plans: tuple[Plan, ...] | None) -> display.Shown:
    """Users whom the guide's advice and the recommendation carry, in each of its scenarios."""
    if plans is None:
        return display.text(SOON)
    rows = [row for plan in plans for row in _scenario(plan)]
    return display.table(
        pd.DataFrame(rows),
        {
            "scenario": Column("Scenario of the guide"),
            "who": Column("Machine and model"),
            "users": Column("Users it has", "", ",.0f"),
            "rate": Column("Carries", "call/h", ",.1f", scale=3600),
            "carried": Column("Users it carries", "", ",.0f", low="carried_low",
                              high="carried_high"),
            "why": Column("Why not more"),
        },
        "The four scenarios of the guide: users they have, users that are carried",
        "Bold: the recommendation of `planner plan`, simulated. Above it the guide's advice on the "
        "guide's machine, by the closed forms.",
        strong="ours",
    )  # fmt: skip


def _scenario(plan):
    """The guide's advice for a team, then the plan's."""
    option, team = plan.chosen, plan.team
    each = team.workload.busiest_hour_rate / team.workload.users  # of one user in that hour [1/s]
    guide = advised(plan)
    rows = [{"scenario": team.name, "who": words.name(guide.fillna({"servers": 1.0}), plan),
             "row": guide, "why": words.why(guide, plan), "ours": False}]  # fmt: skip
    if option is not None:
        why = BINDS[option["binds"]]
        rows.append({"scenario": BLANK, "who": words.name(option, plan), "row": option,
                     "why": why, "ours": True})  # fmt: skip
    for row in rows:
        found, good = row.pop("row"), True
        good = found["limit"] == "none"
        replicas = float(found["working"]) if good else 0.0
        row |= {"users": team.workload.users, "rate": replicas * found["rate"] if good else 0.0}
        for end, name in (("", "rate"), ("_low", "rate_low"), ("_high", "rate_high")):
            row[f"carried{end}"] = np.floor(replicas * found[name] / each + 1e-9) if good else 0.0
    return rows
