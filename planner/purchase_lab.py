"""What the notebook on a purchase shows: a requirement as dials, and its plan."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from planner import (
    choices,
    cost_charts,
    display,
    memory_charts,
    money,
    phrases,
    prices,
    reasons,
    scenario,
    sections,
    words,
)
from planner import plan as planning
from planner import team as teams
from planner.catalogue import load
from planner.demand import Sessions
from planner.display import KeyFigure
from planner.plan import Plan, front
from planner.team import Team, TeamError

SHOWN = 250  # options of the chart at most, besides those on a front
LOOSEST = {"first_token": 600.0, "speed": 0.5}  # where a team states no limit [s, token/s]
QUICK = (
    "The closed forms judged {all:,} options in {seconds:.2f} s; {good:,} keep every limit. Tick "
    "*let the simulation decide* for the last word."
)
SLOW = (
    "{all:,} options were judged in {seconds:.1f} s; {good:,} keep every limit, and the event "
    "simulation of batching, queues and bursts has decided what the best of them carry."
)
ALIKE = " The closed forms alone would have said the same."
OTHER = " The closed forms alone would have said: {decision}"
SESSION = (
    "cached: of this team's prompts {share:.0f} % are found in the cache, which follows from the "
    "turns of its sessions; set the dial back, or begin with another team"
)
NO_OPTION = "No option keeps every limit, so there is nothing to draw; the table below says why."
NO_API_SPEED = " Ticks at the right edge: the provider states no speed."
SECOND = "Next in cost on another machine: {option}, {cost} ({more} more)."


def preset(team: str) -> dict:
    """
    The dials as one team has them.

    Parameters
    ----------
    team : str
        Name of its file.

    Returns
    -------
    values : dict
        By dial, in its unit and as exactly as it shows them; no benchmark where the team has no
        floor of quality.
    """
    read = teams.read(team, load())
    asked, slo, house = read.workload, read.slo, read.policy
    first, token = slo.ttft_p95, slo.tpot_p95
    values = {
        "users": asked.users,
        "calls_per_day": max(round(asked.calls_per_day), 1),
        "busiest_hour": max(round(100 * asked.busiest_hour_share, 2), 4.2),
        "days_per_year": asked.days_per_year,
        "prompt_tokens": round(asked.prompt_tokens),
        "output_tokens": round(asked.output_tokens),
        "context_tokens": asked.context_tokens,
        "cached": round(100 * asked.cached_prompt_share),
        "waits": math.isfinite(first) or math.isfinite(token),
        "first_token": min(first, LOOSEST["first_token"]),
        "speed": max(1 / token, LOOSEST["speed"]),
        "score": round(read.quality.minimum) if read.quality else 0,
        "sourcing": " or ".join(house.sourcing),
        "spare_servers": house.spare_servers,
        "rack_only": house.rack_only,
        "used_hardware": house.used_hardware,
        "memory_limit": house.memory_limit_gb if math.isfinite(house.memory_limit_gb) else 0.0,
        "growth": round(100 * read.growth.yearly),
        "years": read.growth.years,
        "budget": read.budget.total if read.budget else 0.0,
        "currency": read.currency,
    }
    return values | ({"benchmark": read.quality.benchmark} if read.quality else {})


# From a dial to a field of a team file, and what its value is there.
FIELDS = {
    "users": ("users", int),
    "calls_per_day": ("calls_per_day", float),
    "busiest_hour": ("busiest_hour_share", lambda percent: percent / 100),
    "days_per_year": ("days_per_year", int),
    "prompt_tokens": ("prompt_tokens", float),
    "output_tokens": ("output_tokens", float),
    "context_tokens": ("context_tokens", int),
    "cached": ("cached_prompt_share", lambda percent: percent / 100),
    "first_token": ("ttft_p95", float),
    "speed": ("tpot_p95", lambda speed: 1 / speed),
    "sourcing": ("sourcing", lambda ways: tuple(ways.split(" or "))),
    "spare_servers": ("spare_servers", int),
    "rack_only": ("rack_only", bool),
    "used_hardware": ("used_hardware", bool),
    "memory_limit": ("memory_limit_gb", lambda size: size or math.inf),
    "growth": ("yearly", lambda percent: percent / 100),
    "years": ("years", int),
    "budget": ("total", lambda amount: amount or None),
    "currency": ("currency", str),
}


def requirement(**dials) -> Team:
    """
    The team that the dials describe.

    Parameters
    ----------
    **dials
        All of the notebook. What stands as the base team has it stays exactly as its file says.

    Returns
    -------
    team : Team

    Raises
    ------
    TeamError
        With field, value and remedy.
    """
    base, usual = teams.read(dials["team"], load()), preset(dials["team"])
    turned = {name for name, value in dials.items() if usual.get(name) != value}
    if "cached" in turned and isinstance(base.workload.arrivals, Sessions):
        raise TeamError(SESSION.format(share=100 * base.workload.cached_prompt_share))
    if "waits" in turned or not dials["waits"]:
        turned = (turned | {"first_token", "speed"}) if dials["waits"] else turned - {*LOOSEST}
    if "currency" in turned:
        turned.add("budget")  # the dial shows it in the currency chosen
    fields = {
        FIELDS[name][0]: FIELDS[name][1](dials[name]) for name in sorted(turned & FIELDS.keys())
    }
    if not dials["waits"]:
        fields |= dict.fromkeys(teams.Slo.model_fields, math.inf)
    if turned & {"benchmark", "score"}:
        floor = dials["score"] or None
        fields |= {"minimum": floor, "benchmark": dials["benchmark"]}
    return scenario.scenario(base, **fields)


def save(values: dict, name: str, again: bool) -> Path:
    """The requirement as a team file; see `scenario.save`."""
    made = scenario.slug(name)  # refuses a name before anything else
    team = scenario.scenario(requirement(**values), name=name.strip()[:200] or made)
    return scenario.save(team, name, again)


def plan(simulate: bool, **dials) -> Plan:
    """The plan of the requirement; by closed forms, or with the event simulation's last word."""
    return planning.plan(requirement(**dials), load(), simulate=simulate)


def simulated(plan: Plan) -> bool:
    """Whether the event simulation had the last word."""
    return bool(plan.options["decided_by"].eq("simulation").any())


def decision(plan: Plan) -> list[display.Shown]:
    """What to do, and who said so."""
    template = SLOW if simulated(plan) else QUICK
    said = template.format(all=len(plan.options), seconds=plan.seconds, good=len(plan.feasible))
    if simulated(plan):
        quick = planning.plan(plan.team, plan.catalogue, simulate=False)
        decided = words.headline(quick)
        same = words.decision(quick) == words.decision(plan)
        said += ALIKE if same else OTHER.format(decision=display.escape(decided))
    return [sections.decision(plan), display.text(said)]


def drawn(plan: Plan) -> pd.DataFrame:
    """
    The options of the chart: those on a front, and the cheapest of every machine and model.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    options : DataFrame
        As `cost_charts.cost_against_speed` reads them.
    """
    good = plan.feasible
    speed = 1 / good["tpot_alone"].to_numpy(float)
    cost, first = good["total"].to_numpy(float), good["ttft_alone"].to_numpy(float)
    ends = {
        name: np.isfinite(value) & front(np.column_stack([cost, np.nan_to_num(value, nan=np.inf)]))
        for name, value in (("quickest", first), ("fastest", -speed))
    }
    good = good.assign(**ends, chosen=good.index == plan.chosen.name)
    marked = good[["quickest", "fastest", "chosen"]].any(axis=1)
    keys = ["sourcing", "device_id", "provider", "model_id"]
    rest = good[~good.duplicated(keys)].head(SHOWN)
    shown = good.loc[good.index[marked | good.index.isin(rest.index)]]
    return pd.DataFrame(
        {
            "name": [words.brief(row, plan) for _, row in shown.iterrows()],
            "way": shown["sourcing"].map(cost_charts.CALLED),
            "cost": shown["total"],
            "cost_low": shown["total_low"],
            "cost_high": shown["total_high"],
            "first": shown["ttft_alone"],
            "first_low": shown["ttft_alone_low"],
            "first_high": shown["ttft_alone_high"],
            "speed": 1 / shown["tpot_alone"],
            "speed_low": 1 / shown["tpot_alone_high"],
            "speed_high": 1 / shown["tpot_alone_low"],
            "score": shown["quality"],
            "quickest": shown["quickest"],
            "fastest": shown["fastest"],
            "chosen": shown["chosen"],
            "source": _sources(shown, plan),
        }
    )


def _sources(options, plan):
    """Where the price of each option is from, and of when."""
    records, rents = plan.catalogue, money.rental_offers(plan.catalogue)
    for row in options[["sourcing", "server_id", "device_id", "provider"]].itertuples(index=False):
        if row.server_id in plan.team.quotes:
            quote = plan.team.quotes[row.server_id]
            yield f"{quote.reference} ({quote.date})"
        elif row.sourcing == "own":
            server = records.servers[row.server_id]
            yield f"{server.source} ({server.price_date})"
        else:
            rented = row.sourcing == "rent"
            price = rents[row.device_id] if rented else records.api_prices[row.provider]
            yield f"{price.source} ({price.source_date})"


def chart(plan: Plan) -> display.Shown:
    """Cost against first token and writing speed of what keeps every limit."""
    if plan.chosen is None:
        return display.text(NO_OPTION)
    rows = drawn(plan)
    api = NO_API_SPEED if rows["first"].isna().any() else ""
    best = rows[rows["chosen"]].iloc[0]
    listed = "; ".join(rows.loc[rows["quickest"], "name"].head(6))
    return display.drawing(
        cost_charts.cost_against_speed(plan.team.currency),
        {"options": rows},
        "Cost against first token and against writing speed; ringed: the recommendation; dashed: "
        f"not beaten on both.{api}",
        f"Two scatters of {len(rows)} options that keep every limit. The recommendation, "
        f"{best['name']}, costs {phrases.money(best['cost'], plan.team.currency)}. Not beaten on "
        f"cost and first token: {listed or 'none has a stated first token'}.",
    )


def figures(plan: Plan) -> display.Shown:
    """The few figures of the recommendation; under load only where the simulation was asked."""
    option, team = plan.chosen, plan.team
    if option is None or simulated(plan):
        return sections.figures(plan)
    shown = [
        KeyFigure(f"Cost over {phrases.count(team.growth.years, 'year')}",
                  phrases.money(option["total"], team.currency), band=sections.cost_range(plan)),
        KeyFigure("Cost per million tokens served",
                  f"{money.per_million_tokens(option['total'], team):,.2f}", team.currency),
    ]  # fmt: skip
    if option["sourcing"] != "api":
        used = team.peak_rate / (option["rate"] * option["working"])
        shown += [
            KeyFigure("Speed of one answer", f"{1 / option['tpot_alone']:,.0f}", "token/s",
                      band=display.band(1 / option["tpot_alone_high"],
                                        1 / option["tpot_alone_low"], ",.0f")),
            KeyFigure("First token, nobody else waiting", phrases.seconds(option["ttft_alone"]),
                      band=display.band(option["ttft_alone_low"], option["ttft_alone_high"],
                                        phrases.seconds)),
            KeyFigure("Load at the last year's peak", f"{100 * used:.0f} %",
                      band="of what the limits allow"),
        ]  # fmt: skip
    return display.key_figures(shown)


def memory(plan: Plan) -> display.Shown:
    """Where the memory of one device of the recommendation goes."""
    option = plan.chosen
    if option is None or option["sourcing"] == "api":
        return display.text(sections.NO_MEMORY)
    parts = sections.memory_parts(plan)
    size = parts["memory"] / 1e9
    kind = ["used"] * (len(parts) - 1) + ["free" if size.iloc[-1] >= 0 else "missing"]
    rows = parts.assign(
        memory=size, end=size.cumsum(), start=size.cumsum() - size, kind=kind,
        label=[f"{value:,.3g} GB" for value in size],
    )  # fmt: skip
    device = sections.memory_of(plan)
    listed = ", ".join(f"{row.part} {row.label}" for row in rows.itertuples())
    return display.drawing(
        memory_charts.device(),
        {"parts": rows},
        f"Memory of one {device} under the recommendation",
        f"Bars of the memory of one {device}, {size.sum():,.1f} GB in all: {listed}.",
    )


def fell_out(plan: Plan) -> list[display.Shown]:
    """What stopped the other options, and the other models."""
    return [choices.stopped(plan), choices.rejected(plan)]


def answer(plan: Plan) -> display.Shown:
    """The purchase in words, what comes next, and what the house's rules cost."""
    option, team = plan.chosen, plan.team
    said = [sections.decision(plan).plain]
    if option is None:
        return display.text(said[0])
    others = plan.feasible[plan.feasible["certain"] & (plan.feasible["npv"] > option["npv"])]
    machine = (
        others[["sourcing", "device_id", "provider"]]
        .fillna("")
        .ne(option[["sourcing", "device_id", "provider"]].fillna(""))
    )
    others = others[machine.any(axis=1)]
    if len(others):
        second = others.iloc[0]
        said.append(SECOND.format(
            option=display.escape(words.brief(second, plan)),
            cost=phrases.money(second["total"], team.currency),
            more=phrases.money(second["total"] - option["total"], team.currency),
        ))  # fmt: skip
    said += [reasons.cheaper(plan), reasons.barred(plan)]
    valid = prices.validity(plan)
    if valid is not None:
        until = valid | {"until": phrases.day(valid["until"])}
        said.append((reasons.STALE if valid["stale"] else reasons.FRESH).format(**until))
    return display.text(" ".join(filter(None, said)))
