"""Sentences made from the numbers of a plan: each takes a row of its options, the plan, or both."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from planner.phrases import GIB, count, gib, money, seconds, several
from planner.plan import Plan

NEVER = "never at this size"


def name(option: pd.Series, plan: Plan) -> str:
    """An option in one line: machine, model, format."""
    if option["sourcing"] == "nothing":
        return "Do nothing"
    if option["sourcing"] == "api":
        return f"API {option['provider']}"
    model = plan.catalogue.models[option["model_id"]].name
    what = f"{model} {option['weight_format']}"
    split = f", tp {option['tp']:.0f}" if option["tp"] > 1 else ""
    if option["sourcing"] == "rent":
        device = plan.catalogue.devices[option["device_id"]].name
        return f"Rent {several(option['devices'], device)}: {what}{split}"
    server = plan.catalogue.servers[option["server_id"]].name
    return f"{several(option['servers'], server)}: {what}{split}"


def short(option: pd.Series, plan: Plan) -> str:
    """An option in a few words, for the axis of a chart."""
    if option["sourcing"] in ("nothing", "api"):
        return name(option, plan)
    model = plan.catalogue.models[option["model_id"]].name.removesuffix("-Instruct")
    if option["sourcing"] == "rent":
        device = plan.catalogue.devices[option["device_id"]].name.removeprefix("NVIDIA ")
        return f"Rent {several(option['devices'], device)}: {model}"
    server = re.sub(r" \(.*?\)|,.*", "", plan.catalogue.servers[option["server_id"]].name)
    return f"{several(option['servers'], server)}: {model}"


def brief(option: pd.Series, plan: Plan) -> str:
    """An option for a narrow column: as `short`, with format and split."""
    if option["sourcing"] in ("nothing", "api"):
        return name(option, plan)
    split = f", tp {option['tp']:.0f}" if option["tp"] > 1 else ""
    return f"{short(option, plan)} {option['weight_format']}{split}"


def why(option: pd.Series, plan: Plan) -> str:
    """Why an option fell out, with the number that is missing."""
    team, limit = plan.team, option["limit"]
    if limit == "none":
        return "meets every limit"
    if option["sourcing"] == "nothing":
        return f"serves none of the {team.workload.calls_per_day:,.0f} calls a day"
    if limit == "policy":
        return f"the team's policy allows only {' or '.join(team.policy.sourcing)}"
    if limit == "quality":
        bench = f" in {team.quality.benchmark}" if team.quality else ""
        return f"no score{bench} that is high enough is published for it"
    if limit in ("memory", "kv_cache"):
        return _memory(option, team)
    if limit == "ttft":
        return (
            f"first token after {seconds(option['ttft_alone'])} with nobody else waiting; "
            f"{seconds(team.slo.ttft_p95)} is the limit"
        )
    if limit == "tpot":
        return (
            f"{1 / option['tpot_alone']:.2g} tokens a second for a single user; "
            f"{1 / team.slo.tpot_p95:.3g} are needed"
        )
    if limit == "budget":
        return f"costs {money(option['total'], team.currency)}, over the budget"
    if not option["rate"] > 0:
        return "misses a response-time limit as soon as a second user calls"
    return (
        f"needs {count(option['servers'], 'server')}; the policy allows {team.policy.most_servers}"
    )


def _memory(option, team):
    where = "server" if option["kind"] in ("cpu", "unified") else "device"
    needed = option["weight_bytes"] + option["overhead_bytes"] + option["sequence_bytes"]
    return (
        f"one sequence of {team.workload.context_tokens:,} tokens needs {gib(needed)} on a {where} "
        f"that offers {gib(option['memory_bytes'])}: "
        f"{option['missing_bytes'] / GIB:,.3g} GiB missing"
    )


def band(low: float, high: float, write) -> str:
    """A range in words."""
    return f"{write(low)} to {write(high)}"


def purchase(option: pd.Series, plan: Plan) -> str:
    """What to buy, rent or pay for, in words."""
    if option["sourcing"] == "api":
        return f"pay {option['provider']} per token"
    if option["sourcing"] == "rent":
        device = plan.catalogue.devices[option["device_id"]].name
        return f"rent {option['devices']:.0f} x {device}"
    server = plan.catalogue.servers[option["server_id"]]
    first = option["servers_1"]
    staged = "" if first == option["servers"] else f" ({first:.0f} now, the rest as demand grows)"
    one = server.name if server.name[0].isdigit() else f"one {server.name}"
    bought = several(option["servers"], server.name) if option["servers"] > 1 else one
    return f"buy {bought}{staged}"


def decision(plan: Plan) -> str:
    """What to do, without the cost."""
    option = plan.chosen
    if option is None:
        return "no option meets the requirement"
    model = plan.catalogue.models[option["model_id"]].name
    return f"{purchase(option, plan)} for {model}{_in_format(option)}"


def headline(plan: Plan) -> str:
    """The answer in one sentence."""
    option, team = plan.chosen, plan.team
    if option is None:
        nearest = plan.options[plan.options["sourcing"] != "nothing"].iloc[0]
        return (
            f"No option of the catalogue meets the requirement. The nearest, "
            f"{name(nearest, plan)}, fell out: {why(nearest, plan)}."
        )
    cost, low, high = (
        money(option[column], team.currency) for column in ("total", "total_low", "total_high")
    )
    return (
        f"{_upper(decision(plan))}: {cost} over "
        f"{count(team.growth.years, 'year')} ({low} to {high})."
    )


def _upper(text):
    return text[:1].upper() + text[1:]


def _in_format(option):
    return f" in {option['weight_format']}" if option["sourcing"] in ("own", "rent") else ""


def terminal(plan: Plan, top: int = 10) -> str:
    """A plan for the terminal: the answer, the ranked options, and why the models fell out."""
    team = plan.team
    lines = [team.name, headline(plan), ""]
    shown = plan.feasible.head(top)
    if len(shown):
        lines.append(
            f"{'':>3} {'total':>10} {'low':>10} {'high':>10} {team.currency:4} "
            f"{'quality':>7} {'TTFT':>7} {'tok/s':>6}  option"
        )
    for _, option in shown.iterrows():
        speed = 1 / option["tpot_alone"] if option["tpot_alone"] > 0 else np.nan
        lines.append(
            f"{option['rank']:>3} {option['total']:>10,.0f} {option['total_low']:>10,.0f} "
            f"{option['total_high']:>10,.0f} {'':4} {option['quality']:>7.1f} "
            f"{option['ttft_alone']:>7.2f} {speed:>6.1f}  {name(option, plan)}"
        )
    lines.append("")
    lines.append(
        f"{len(plan.options):,} options judged in {plan.seconds:.1f} s; "
        f"{len(plan.feasible):,} meet every limit. What stopped the others:"
    )
    stopped = plan.options["limit"].value_counts()
    lines += [f"  {limit:<9} {n:>7,}" for limit, n in stopped.items() if limit != "none"]
    misses = nearest(plan).itertuples()
    lines += [f"  {miss.limit:<9} {miss.model_id}: {miss.reason}" for miss in misses]
    return "\n".join(lines)


def nearest(plan: Plan) -> pd.DataFrame:
    """For each model that fell out, its nearest miss."""
    options = plan.options
    alive = set(plan.feasible["model_id"])
    stopped = options[~options["model_id"].isin(alive) & options["sourcing"].isin(["own", "rent"])]
    rows = [
        {
            "model_id": option["model_id"],
            "option": name(option, plan),
            "limit": option["limit"],
            "reason": why(option, plan),
        }
        for _, option in stopped.drop_duplicates("model_id").iterrows()
    ]
    refused = plan.refused.dropna(subset=["model_id"]) if "model_id" in plan.refused else None
    if refused is not None and plan.team.candidates.models:
        rows += refused[["model_id", "limit", "reason"]].to_dict("records")
    return pd.DataFrame(rows, columns=["model_id", "option", "limit", "reason"])
