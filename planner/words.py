"""Sentences made from the numbers of a plan: each takes a row of its options, the plan, or both."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from planner.display import RANGE
from planner.language import say, term
from planner.phrases import GIB, TIMES, count, gib, money, seconds, several
from planner.plan import Plan

NEVER = "never at this size"
RENTED = {True: "Reserve {machines}", False: "Rent {machines}"}
RENTING = {True: "reserve {machines}", False: "rent {machines}"}
BOUGHT = {True: "lease {machines}", False: "buy {machines}"}
OUT = {
    "nothing": "serves none of the {calls:,.0f} calls a day",
    "policy": "the team's policy allows only {sourcing}",
    "quality": "no score in {benchmark} that is high enough is published for it",
    "score": "no score that is high enough is published for it",
    "ttft": "first token after {time} with nobody else waiting; {limit} is the limit",
    "tpot": "{speed:.2g} tokens a second for a single user; {needed:.3g} are needed",
    "budget": "costs {total}, over the budget",
    "second": "misses a response-time limit as soon as a second user calls",
    "load": "needs {servers}; the policy allows {most}",
    "device": (
        "one sequence of {tokens:,} tokens needs {needed} on a device that offers {offered}: "
        "{missing:,.3g} GiB missing"
    ),
    "server": (
        "one sequence of {tokens:,} tokens needs {needed} on a server that offers {offered}: "
        "{missing:,.3g} GiB missing"
    ),
}
NO_OPTION = (
    "No option of the catalogue meets the requirement. The nearest, {option}, fell out: {why}."
)
HEADLINE = "{decision}: {cost} over {years} ({low} to {high})."


def rows(options: pd.DataFrame) -> list[dict]:
    """Options as the functions of this module take them too; quicker than rows of the table."""
    return [dict(zip(options, row, strict=True)) for row in options.to_numpy(object).tolist()]


def name(option: pd.Series, plan: Plan) -> str:
    """An option in one line: machine, model, format."""
    if option["sourcing"] == "nothing":
        return say("Do nothing")
    if option["sourcing"] == "api":
        return say("API {provider}", provider=option["provider"])
    model = plan.catalogue.models[option["model_id"]].name
    what = f"{model} {option['weight_format']}"
    split = f", tp {option['tp']:.0f}" if option["tp"] > 1 else ""
    if option["sourcing"] == "rent":
        device = plan.catalogue.devices[option["device_id"]].name
        rented = _rented(RENTED, option, several(option["devices"], device))
        return say("{machine}: {model}", machine=rented, model=what + split)
    server = term(plan.catalogue.servers[option["server_id"]].name)
    machines = several(option["servers"], server)
    return say("{machine}: {model}", machine=machines, model=what + split)


def _rented(templates, option, machines):
    return say(templates[option.get("contract") == "reserved"], machines=machines)


def short(option: pd.Series, plan: Plan) -> str:
    """An option in a few words, for the axis of a chart."""
    if option["sourcing"] in ("nothing", "api"):
        return name(option, plan)
    model = plan.catalogue.models[option["model_id"]].name.removesuffix("-Instruct")
    if option["sourcing"] == "rent":
        device = plan.catalogue.devices[option["device_id"]].name.removeprefix("NVIDIA ")
        rented = _rented(RENTED, option, several(option["devices"], device))
        return say("{machine}: {model}", machine=rented, model=model)
    server = term(plan.catalogue.servers[option["server_id"]].name)
    server = re.sub(r" \(.*?\)|,.*|（.*?）|，.*", "", server)
    return say("{machine}: {model}", machine=several(option["servers"], server), model=model)


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
        return say("meets every limit")
    if option["sourcing"] == "nothing":
        return say(OUT["nothing"], calls=team.workload.calls_per_day)
    if limit == "policy":
        return say(OUT["policy"], sourcing=say(" or ").join(map(say, team.policy.sourcing)))
    if limit == "quality":
        if team.quality is None:
            return say(OUT["score"])
        return say(OUT["quality"], benchmark=team.quality.benchmark)
    if limit in ("memory", "kv_cache"):
        return _memory(option, team)
    if limit == "ttft":
        return say(
            OUT["ttft"], time=seconds(option["ttft_alone"]), limit=seconds(team.slo.ttft_p95)
        )
    if limit == "tpot":
        return say(OUT["tpot"], speed=1 / option["tpot_alone"], needed=1 / team.slo.tpot_p95)
    if limit == "budget":
        return say(OUT["budget"], total=money(option["total"], team.currency))
    if not option["rate"] > 0:
        return say(OUT["second"])
    servers = count(option["servers"], "server")
    return say(OUT["load"], servers=servers, most=team.policy.most_servers)


def _memory(option, team):
    needed = option["weight_bytes"] + option["overhead_bytes"] + option["sequence_bytes"]
    return say(
        OUT["server" if option["kind"] in ("cpu", "unified") else "device"],
        tokens=team.workload.context_tokens, needed=gib(needed),
        offered=gib(option["memory_bytes"]), missing=option["missing_bytes"] / GIB,
    )  # fmt: skip


def band(low: float, high: float, write) -> str:
    """A range in words."""
    return say(RANGE, low=write(low), high=write(high))


def purchase(option: pd.Series, plan: Plan) -> str:
    """What to buy, rent or pay for, in words."""
    if option["sourcing"] == "api":
        return say("pay {provider} per token", provider=option["provider"])
    if option["sourcing"] == "rent":
        device = plan.catalogue.devices[option["device_id"]].name
        return _rented(RENTING, option, say(TIMES, number=option["devices"], thing=device))
    server = term(plan.catalogue.servers[option["server_id"]].name)
    first = option["servers_1"]
    bought = several(option["servers"], server)
    if option["servers"] <= 1 and not server[0].isdigit():
        bought = say("one {machine}", machine=server)
    if first != option["servers"]:
        staged = "{machines} ({first:.0f} now, the rest as demand grows)"
        bought = say(staged, machines=bought, first=first)
    return say(BOUGHT[option.get("contract") == "lease"], machines=bought)


def decision(plan: Plan) -> str:
    """What to do, without the cost."""
    option = plan.chosen
    if option is None:
        return say("no option meets the requirement")
    model = plan.catalogue.models[option["model_id"]].name
    hosted = option["sourcing"] in ("own", "rent")
    return say(
        "{purchase} for {model} in {format}" if hosted else "{purchase} for {model}",
        purchase=purchase(option, plan), model=model, format=option["weight_format"],
    )  # fmt: skip


def headline(plan: Plan) -> str:
    """The answer in one sentence."""
    option, team = plan.chosen, plan.team
    if option is None:
        nearest = plan.options[plan.options["sourcing"] != "nothing"].iloc[0]
        return say(NO_OPTION, option=name(nearest, plan), why=why(nearest, plan))
    cost, low, high = (
        money(option[column], team.currency) for column in ("total", "total_low", "total_high")
    )
    years = count(team.growth.years, "year")
    what = upper(decision(plan))
    return say(HEADLINE, decision=what, cost=cost, years=years, low=low, high=high)


def upper(text: str) -> str:
    """A sentence begins with a capital."""
    return text[:1].upper() + text[1:]


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
    way = options["sourcing"].to_numpy()
    first = options["model_id"][(way == "own") | (way == "rent")].drop_duplicates()
    first = first[~first.isin(plan.feasible["model_id"].unique())]
    found = [
        {
            "model_id": option["model_id"],
            "option": name(option, plan),
            "limit": option["limit"],
            "reason": why(option, plan),
        }
        for option in rows(options.loc[first.index])
    ]
    if plan.team.candidates.models and "model_id" in plan.refused:
        refused = plan.refused[["model_id", "limit", "reason"]].dropna(subset=["model_id"])
        found += refused.to_dict("records")
    return pd.DataFrame(found, columns=["model_id", "option", "limit", "reason"])
