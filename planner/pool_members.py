"""Which teams may share replicas, which should by the closed forms, and what they ask together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from planner import pooling
from planner.catalogue import Catalogue, convert
from planner.demand import Independent
from planner.plan import Plan
from planner.team import Candidates, Growth, Slo, Team

# What makes two ways of serving the same one.
WAY = [
    "sourcing", "contract", "provider", "server_id", "device_id", "model_id", "weight_format",
    "engine", "tp",
]  # fmt: skip
MOST_WAYS = 150  # of each kind of promise
# Which of the members' policies holds for all.
STRICTEST = {
    "spare_replicas": max, "spare_servers": max, "highest_utilisation": min,
    "smallest_weight_bits": max, "memory_limit_gb": min, "used_hardware": all, "rack_only": any,
    "claimed_prices": all, "most_servers": min, "licensed_software": any,
    "rented_hours_per_year": max,
}  # fmt: skip


def rule(team: Team) -> tuple:
    """What teams must have in common before they may share replicas."""
    policy = team.policy
    return team.data_class, policy.region, policy.hosting, policy.purchase, team.growth.years


def sharing(plans: Mapping[str, Plan]) -> list[list[str]]:
    """Names of teams that may share, those that may share with none left out."""
    found: dict[tuple, list[str]] = {}
    for name, plan in plans.items():
        if plan.chosen is not None:
            found.setdefault(rule(plan.team), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def ways(plan: Plan) -> pd.DataFrame:
    """
    How a team could be served by replicas that it may share.

    Parameters
    ----------
    plan : Plan
        With all its options.

    Returns
    -------
    ways : DataFrame
        Options that keep every limit at the slow end too: `WAY`, rate [1/s], per_machine
        [replica], fixed and each (machine, over the plan) [currency of the team].
    """
    team, rows = plan.team, plan.options
    rows = rows[
        (rows["limit"] == "none") & rows["certain"] & rows["sourcing"].isin(["own", "rent"])
    ]
    own = (rows["sourcing"] == "own").to_numpy()
    hours = plan.terms("staff_hours_fixed") * plan.terms(f"staff_rate_{team.policy.region}")
    fixed = hours * team.growth.years
    machines = np.where(own, rows["servers"], rows["replicas"])
    known = [name for name in WAY if name in rows]
    frame = rows[known].astype({name: object for name in known if name != "tp"}).fillna("")
    return frame.reindex(columns=WAY).assign(
        rate=rows["rate"].to_numpy(float), per_machine=np.where(own, rows["per_server"], 1.0),
        fixed=fixed, each=(rows["total"].to_numpy(float) - fixed) / machines,
    )  # fmt: skip


class Group(NamedTuple):
    """
    Teams that the closed forms would put together.

    Parameters
    ----------
    members : tuple of str
        Names of their files.
    ranked : DataFrame
        `WAY` of the ways that serve all of them, the cheapest first.
    """

    members: tuple[str, ...]
    ranked: pd.DataFrame


def candidates(
    names: Sequence[str],
    plans: Mapping[str, Plan],
    offered: Mapping[str, pd.DataFrame],
    currency: str,
    catalogue: Catalogue,
) -> list[Group]:
    """
    Who of some teams that may share should share, by the closed forms.

    Parameters
    ----------
    names : sequence of str
        Teams that may share.
    plans, offered : mapping
        Plan and `ways` of each.
    currency : str
        In which costs are compared.
    catalogue : Catalogue
        Exchange rates.

    Returns
    -------
    groups : list of Group
    """
    asked = [plans[name].team for name in names]
    rates = np.array([pooling.by_hour(team) * max(pooling.grown(team)) for team in asked])
    rates = rates[:, pooling.telling_hours(rates)]
    rows = pd.concat(
        [offered[name].assign(team=at) for at, name in enumerate(names)], ignore_index=True
    )
    code = rows.groupby(WAY, sort=False).ngroup().to_numpy()
    common = np.bincount(code) > 1 if len(code) else np.array([], bool)
    rows = rows[common[code]] if len(code) else rows
    if rows.empty:
        return []
    code, _ = pd.factorize(code[common[code]])
    first = rows.iloc[np.unique(code, return_index=True)[1]]
    units = np.array([convert(1.0, team.currency, currency, catalogue) for team in asked])
    unit = units[first["team"]]
    carried = np.zeros((len(names), len(first)))
    carried[rows["team"], code] = rows["rate"]
    price = pooling.Price(
        unit * first["fixed"].to_numpy(float), unit * first["each"].to_numpy(float),
        first["per_machine"].to_numpy(float),
    )  # fmt: skip
    with np.errstate(divide="ignore"):
        seconds = np.where(carried > 0, 1.0 / carried, np.inf)
    kept = pooling.promising(seconds * rates.max(axis=1)[:, None], price, MOST_WAYS)
    first, price = first.iloc[kept], pooling.Price(*(part[kept] for part in price))
    # a way that a team cannot use is infinite in every hour, those without calls too
    use = np.maximum(rates, 1e-12)[:, None, :] * seconds[:, kept, None]
    alone = units * [float(plans[name].chosen["total"]) for name in names]
    spares = [(team.policy.spare_replicas, team.policy.spare_servers) for team in asked]
    most = np.array([team.policy.most_servers for team in asked])
    groups = []
    for members, cost in pooling.merge(use, alone, price, np.array(spares), most):
        order = np.argsort(cost, kind="stable")
        order = order[np.isfinite(cost[order])]
        groups.append(Group(tuple(names[at] for at in sorted(members)), first.iloc[order][WAY]))
    return groups


def common(members: Sequence[Team], currency: str) -> Team:
    """
    Several teams as one, with the load of their last year.

    Parameters
    ----------
    members : sequence of Team
        That may share.
    currency : str
        Of the result.

    Returns
    -------
    team : Team
        The strictest limit and policy of any, the longest context; lengths as a mean over calls.
        An assumption or a quote of the teams' own counts where all state the same.
    """
    first, policies = members[0], [team.policy for team in members]
    loads = [team.workload for team in members]
    calls = np.array([
        each.calls_per_day * max(pooling.grown(team))
        for each, team in zip(loads, members, strict=True)
    ])  # fmt: skip
    rates = np.array([pooling.by_hour(team) * max(pooling.grown(team)) for team in members])

    def mean(name):
        return float(np.average([getattr(each, name) for each in loads], weights=calls))

    prompt = mean("prompt_tokens")
    squares = [(1 + each.variation**2) * each.prompt_tokens**2 for each in loads]
    spread = np.sqrt(max(np.average(squares, weights=calls) / prompt**2 - 1, 0.0))
    cached = [each.cached_prompt_share * each.prompt_tokens for each in loads]
    licences = [set(policy.licences) for policy in policies if policy.licences]
    workload = loads[0].model_copy(update={
        "users": sum(each.users for each in loads),
        "calls_per_day": float(calls.sum()),
        "busiest_hour_share": float(rates.sum(axis=0).max() * 3600 / calls.sum()),
        "days_per_year": max(each.days_per_year for each in loads),
        "prompt_tokens": prompt, "output_tokens": mean("output_tokens"),
        "variation": float(min(spread, 5.0)),
        "context_tokens": max(each.context_tokens for each in loads),
        "cached_prompt_share": float(np.average(cached, weights=calls) / prompt),
        "arrivals": Independent(), "hourly": None,
    })  # fmt: skip
    policy = policies[0].model_copy(update={
        "sourcing": tuple(
            way for way in ("own", "rent", "api") if all(way in each.sourcing for each in policies)
        ),
        "licences": tuple(sorted(set.intersection(*licences))) if licences else (),
        **{name: strictest(getattr(each, name) for each in policies)
           for name, strictest in STRICTEST.items()},
    })  # fmt: skip
    limits = {name: min(getattr(team.slo, name) for team in members) for name in Slo.model_fields}
    return first.model_copy(update={
        "name": "A pool", "currency": currency, "language": "en", "workload": workload,
        "policy": policy, "slo": Slo().model_copy(update=limits), "quality": None, "budget": None,
        "growth": Growth(years=first.growth.years), "candidates": Candidates(),
        "quotes": _agreed([team.quotes for team in members]),
        "assumptions": _agreed([team.assumptions for team in members]),
    })  # fmt: skip


def _agreed(stated):
    """Entries that all state, and state alike."""
    found = {}
    for key in set().union(*stated):
        values = [each[key] for each in stated if key in each]
        if len(values) == len(stated) and all(value == values[0] for value in values):
            found[key] = values[0]
    return found
