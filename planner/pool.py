"""One pool: what its teams have in common, what it runs on, how many replicas, and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from planner import merged_calls, money, pooling, pricing
from planner import plan as planning
from planner.catalogue import Catalogue, convert
from planner.plan import Plan
from planner.pool_members import WAY, Group, common
from planner.team import Candidates
from planner.terms import Terms

MOST_TRIES = 4  # ways that are simulated for a group at most
CASES = {"mid": "", "low": "_low", "high": "_high"}


@dataclass(frozen=True)
class Pool:
    """
    Replicas of one deployment that several teams share.

    Parameters
    ----------
    name : str
        In the report.
    members : tuple of str
        Names of the teams' files.
    plan : Plan
        Of the members as one (what is common, or strictest) in the portfolio's currency; its only
        option is the deployment that they share.
    working : ndarray, shape (years,)
        Replicas that carry the busiest hour of each year. [replica]
    use : ndarray, shape (T, 24, years)
        Replicas that each member keeps busy in each hour, by the closed forms. [replica]
    hour : int
        The busiest one.
    seen : DataFrame
        What each member sees in the hour in which it calls most: hour, and the columns of
        `merged_calls.Crowd.see`.
    share : ndarray, shape (T,)
        Of the pool's working time, over the plan. [fraction]
    alone : dict of str to float
        Cost of the members by themselves: low, mid, high. [currency]
    """

    name: str
    members: tuple[str, ...]
    plan: Plan
    working: np.ndarray
    use: np.ndarray
    hour: int
    seen: pd.DataFrame
    share: np.ndarray
    alone: Mapping[str, float]

    @property
    def option(self) -> pd.Series:
        """The deployment, as a row of a plan's options."""
        return self.plan.options.iloc[0]

    @property
    def level(self) -> np.ndarray:
        """Replicas that all keep busy in the busiest hour of each year. [replica]"""
        return self.use[:, self.hour].sum(axis=0)

    @cached_property
    def saved(self) -> dict[str, float]:
        """
        What the pool costs less than its members by themselves. [currency]

        The ends are the least and the most of three cases: both sides as planned, both with fast
        machines at low prices, and both with slow machines at high prices.
        """
        each = {
            case: self.alone[case] - float(self.option[f"total{end}"])
            for case, end in CASES.items()
        }
        known = [value for value in each.values() if np.isfinite(value)]
        return {"low": min(known), "mid": each["mid"], "high": max(known)}


class Misfit(ValueError):
    """Members whose limits no number of replicas keeps; `members` names their files."""

    def __init__(self, members: tuple[str, ...]):
        super().__init__(f"no number of replicas keeps every limit of {', '.join(members)}")
        self.members = members


def best(
    group: Group,
    plans: Mapping[str, Plan],
    offered: Mapping[str, pd.DataFrame],
    currency: str,
    catalogue: Catalogue,
    tries: int,
) -> tuple[Pool | None, dict[str, Plan]]:
    """
    The cheapest pool of a group, its replicas counted by the simulation.

    Parameters
    ----------
    group : Group
        Members, and ways of serving all of them.
    plans, offered : mapping
        Plan and `ways` of each team.
    currency : str
        Of the pool.
    catalogue : Catalogue
        Prices.
    tries : int
        Ways that are compared, of those that hold; the cheapest by the closed forms first.

    Returns
    -------
    pool : Pool or None
        Without members whose limits are not kept in any of the ways that were tried; None where
        fewer than two are left.
    recounted : dict of str to Plan
        Plans of members whose own replicas the closed forms had counted and of which the
        simulation needs fewer, so that both sides are counted alike.
    """
    recounted = {}
    for name in group.members:
        fewer = recount(plans[name])
        if fewer is not None:
            recounted[name] = fewer
    mine = {name: recounted.get(name, plans[name]) for name in group.members}
    found: list[Pool] = []
    while len(mine) > 1 and not found:
        out: tuple[str, ...] = ()
        for _, way in group.ranked.head(MOST_TRIES).iterrows():
            try:
                one = shared(way, mine, offered, currency, catalogue)
            except Misfit as misfit:
                out = out or misfit.members
            else:
                found += [] if one is None else [one]
            if len(found) == tries:
                break
        if not out:
            break
        if not found:  # without those that the cheapest way does not serve
            mine = {name: plan for name, plan in mine.items() if name not in out}
    least = min(found, key=lambda one: float(one.option["total"]), default=None)
    return least, recounted


def recount(plan: Plan) -> Plan | None:
    """
    A plan of the closed forms whose replicas the simulation counts again.

    Parameters
    ----------
    plan : Plan
        With a recommendation.

    Returns
    -------
    plan : Plan or None
        With fewer replicas; None where the simulation decided already or needs as many.
    """
    option, team = plan.chosen, plan.team
    hosted = option["sourcing"] in ("own", "rent")
    if not hosted or option["decided_by"] == "simulation" or option["working"] <= 1:
        return None
    crowd = merged_calls.crowd(option, team, [team], np.array([team.peak_rate]))
    number = pooling.fewest(crowd.kept, crowd.least(), int(option["working"]))
    if number is None or number >= option["working"]:
        return None
    row = option.to_frame().T.infer_objects()
    factor = team.peak_rate / number * (1 + 1e-9) / option["rate"]
    for name in ("rate", "rate_low", "rate_high"):
        row[name] *= factor
    price = money.owned if option["sourcing"] == "own" else money.rented
    priced = price(row.assign(decided_by="simulation"), team, plan.catalogue, plan.terms)
    return replace(plan, options=priced)


def shared(
    way: pd.Series,
    plans: Mapping[str, Plan],
    offered: Mapping[str, pd.DataFrame],
    currency: str,
    catalogue: Catalogue,
) -> Pool | None:
    """
    One way of serving, shared: the fewest replicas that keep every member's limits, and the cost.

    Parameters
    ----------
    way : Series
        `WAY`.
    plans, offered : mapping
        Plan and `ways` of the members.
    currency : str
        Of the pool.
    catalogue : Catalogue
        Prices.

    Returns
    -------
    pool : Pool or None
        None where it does not fit, or takes more servers than a member's policy allows.

    Raises
    ------
    Misfit
        Where no number of replicas keeps every limit, at the slow end of the band of speed too.
    """
    members = [plan.team for plan in plans.values()]
    team, made = common(members, currency), next(iter(plans.values())).made
    option = _deployed(way, team, catalogue, made)
    if option is None:
        return None
    carried = np.array([_rate(way, offered[name]) for name in plans])
    day = np.array([pooling.by_hour(one) for one in members])
    growth = np.array([pooling.grown(one) for one in members])
    use = (day / carried[:, None])[:, :, None] * growth[:, None, :]  # team, hour, year [replica]
    hour, peak = np.unravel_index(int(use.sum(axis=0).argmax()), use.shape[1:])
    most = int(np.ceil(use.max(axis=(1, 2))).sum()) + 2  # as many as each needs by itself
    others = [int(row.argmax()) for row, one in zip(day, members, strict=True)
              if one.workload.hourly is not None]  # fmt: skip

    def crowd(at, year, end=""):
        return merged_calls.crowd(option, team, members, day[:, at] * growth[:, year], end)

    number, seen, saturated = 1, {}, 0.0
    for at in dict.fromkeys([int(hour), *others]):
        then = crowd(at, peak)
        number = _enough(then, number, most, tuple(plans))
        seen[at] = then
        saturated = saturated or then.one.saturated
    level = use[:, hour].sum(axis=0)  # of each year [replica]
    working = np.ceil(number * level / level[peak] - pooling.WHOLE)
    if peak > 0:  # what is bought at once is counted, not scaled
        begin = crowd(hour, 0)
        first = pooling.fewest(begin.kept, begin.least(), number) or number
        working = np.clip(working, first, number)
    slow, fast = (crowd(hour, peak, end) for end in ("_high", "_low"))
    more = _enough(slow, number, 2 * most, tuple(plans))  # as a recommendation holds there too
    less = pooling.fewest(fast.kept, fast.least(), number) or number
    cases = {
        case: np.ceil(working * end / number - pooling.WHOLE)
        for case, end in (("mid", number), ("low", less), ("high", more))
    }
    calls = np.array([one.workload.calls_per_day * one.workload.days_per_year for one in members])
    calls = calls[:, None] * growth
    plan = _priced(option, cases, calls.sum(axis=0), saturated, team, catalogue, made)
    if plan.options["servers"].iloc[0] > team.policy.most_servers:
        return None
    table = _seen(seen, number, day)
    weight = table["seconds"].to_numpy() * calls.sum(axis=1)
    return Pool(
        "", tuple(plans), plan, working, use, int(hour), table,
        weight / weight.sum(), _alone(plans, currency, catalogue),
    )  # fmt: skip


def _enough(crowd, start, most, names):
    """Replicas that keep every limit; a misfit where there is no such number. [replica]"""
    start = max(start, crowd.least())
    number = pooling.fewest(crowd.kept, start, max(start, most))
    if number is None:
        seen = crowd.see(max(start, most))
        raise Misfit(tuple(names[at] for at in seen.loc[seen["excess"] > 1, "team"]))
    return number


def _rate(way, rows):
    """What one replica carries of one team. [1/s]"""
    same = (rows[WAY] == way[WAY]).all(axis=1)
    return float(rows.loc[same, "rate"].iloc[0])


def _deployed(way, team, catalogue, made):
    """The way as an option of the members' common plan; None where it does not fit."""
    names = {"models": "model_id", "weight_formats": "weight_format", "engines": "engine"}
    only = {name: (way[column],) for name, column in names.items()}
    if way["server_id"]:
        only["servers"] = (way["server_id"],)
    asked = team.model_copy(update={"candidates": Candidates(**only)})
    rows = planning.plan(asked, catalogue, made, simulate=False).options
    text = [name for name in WAY if name != "tp"]
    same = rows["tp"].eq(way["tp"])
    for name in text:
        same &= rows[name].fillna("").eq(way[name])
    rows = rows[same & ~rows["limit"].isin(["memory", "kv_cache"])]
    return None if rows.empty else rows.iloc[0]


def _seen(crowds, number, day):
    """What each member sees in the hour in which it calls most, of those that were simulated."""
    found = {hour: crowd.see(number).set_index("team") for hour, crowd in crowds.items()}
    hours = list(found)
    busy = [hours[int(row[hours].argmax())] for row in day]
    rows = [{"hour": hour, **found[hour].loc[at]} for at, hour in enumerate(busy)]
    return pd.DataFrame(rows)


def _priced(option, cases, calls, saturated, team, catalogue, made):
    """The pool as a plan of its own."""
    terms, policy = Terms(team, catalogue), team.policy
    own, tables = option["sourcing"] == "own", {}
    server = money.server_prices(team, catalogue, terms)[option["server_id"]] if own else None
    offer = None if own else money.rental_offers(catalogue)[option["device_id"]]
    reserved = option["contract"] == "reserved"
    for case, working in cases.items():
        end = CASES[case]
        if own:
            machine = {name: np.array([float(value)]) for name, value in server.items()}
            tables[case] = pricing.own(
                working[None], np.array([option["per_server"]]), np.array([saturated]),
                machine[f"price{end}"], machine, calls, team, terms,
            )  # fmt: skip
        else:
            rent = terms.money(getattr(offer, f"price{end}"), offer.currency)
            tables[case] = pricing.rent(
                working[None], np.array([option["tp"]]), np.array([rent]), np.array([reserved]),
                team, terms,
            )  # fmt: skip
    table, last = tables["mid"], cases["mid"].max()
    spare = policy.spare_replicas + policy.spare_servers * (option["per_server"] if own else 1)
    row = {
        "limit": "none", "certain": True, "decided_by": "simulation",
        "working": last, "working_high": cases["high"].max(), "replicas": last + spare,
        "devices": (last + spare) * option["n_devices"], "rate_peak": saturated,
        "servers": table["owned"][0].max() if own else np.nan,
        "npv": float(table["npv"][0]),
        **{f"total{end}": float(tables[case]["total"][0]) for case, end in CASES.items()},
    }  # fmt: skip
    years = range(team.growth.years)
    for name in pricing.LINES:
        line = np.broadcast_to(table.get(name, 0.0), table["yearly"].shape)[0]
        row |= {f"{name}_{year + 1}": float(line[year]) for year in years}
    if own:
        row |= {f"servers_{year + 1}": float(table["owned"][0, year]) for year in years}
    options = pd.DataFrame([{**option, **row}])
    return Plan(team, catalogue, options, pd.DataFrame(), terms, made)


def _alone(plans, currency, catalogue):
    """Cost of some teams by themselves, and at both ends. [currency]"""
    return {
        case: sum(
            convert(float(plan.chosen[f"total{end}"]), plan.team.currency, currency, catalogue)
            for plan in plans.values()
        )
        for case, end in CASES.items()
    }
