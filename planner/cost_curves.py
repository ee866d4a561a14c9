"""Cost of a team's ways to serve along a line: against calls a day, and against use."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import draws, money, pricing, repricing
from planner.catalogue import load
from planner.repricing import Dialled, Priced
from planner.team_plans import planned

CALLS = np.geomspace(1.0, 1e6, 49)  # of the curves [call/day]
YEAR = 8760 * 3600.0  # [s]


@lru_cache(maxsize=64)
def curves(dials: Dialled) -> pd.DataFrame:
    """
    Cost of the best of every way to serve against calls a day.

    Parameters
    ----------
    dials : Dialled
        Its ``calls_factor`` does not matter.

    Returns
    -------
    curves : DataFrame
        kind (own, rent, or the provider of an API), calls [call/day], cost, low, high (present
        value) [currency]; NaN where no machine of the plan serves so many.
    """
    plan = repricing.turned(planned(dials.team), dials._replace(calls_factor=1.0))
    levels = CALLS / plan.team.workload.calls_per_day
    parts: dict[str, list] = {}
    for option in repricing.carried(dials.team, dials.prompt_factor, dials.output_factor):
        table = draws.price(option, plan, repricing.world(option, dials, levels))
        kind = option["sourcing"] if option["sourcing"] != "api" else option["provider"]
        parts.setdefault(kind, []).append(table["npv"].reshape(3, -1))
    frames = []
    for kind, tables in parts.items():
        costs = np.array(tables)  # option, end, calls
        best = np.take_along_axis(costs, costs[:, :1].argmin(axis=0)[None], axis=0)[0]
        cost, low, high = best
        frames.append(
            pd.DataFrame({"kind": kind, "calls": CALLS, "cost": cost, "low": low, "high": high})
        )
    if not frames:
        return pd.DataFrame(columns=["kind", "calls", "cost", "low", "high"])
    return pd.concat(frames, ignore_index=True).replace(np.inf, np.nan)


def guide_api(name: str, dials: Dialled, calls: np.ndarray) -> np.ndarray:
    """
    Present value of one of the guide's APIs at the price of its day, which does not fall.

    Parameters
    ----------
    name : str
        ``gpt4`` or ``claude``, with the prices of ``data/published.csv``.
    dials : Dialled
        Lengths and years.
    calls : ndarray
        In the first year. [call/day]

    Returns
    -------
    cost : ndarray
        [currency]
    """
    plan = repricing.turned(planned(dials.team), dials._replace(calls_factor=1.0))
    price = load().published[f"{name}:price"]
    prompt, output = (plan.terms.money(1e-3 * end, "USD") for end in (price.low, price.high))
    demand = pricing.demand(plan.team, calls / plan.team.workload.calls_per_day)
    ones = np.ones(len(calls))
    prices = [prompt * ones, output * ones, prompt * ones]
    return pricing.api(prices, demand.calls, plan.team, plan.terms, decline=0.0)["npv"]


def crossings(calls: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[float]:
    """
    Loads at which two curves cross, interpolated between points along the logarithm.

    Parameters
    ----------
    calls : ndarray
        Increasing. [call/day]
    first, second : ndarray
        Costs; where one is missing nothing crosses. [currency]

    Returns
    -------
    crossings : list of float
        [call/day]

    Examples
    --------
    >>> crossings(np.array([1.0, 100.0]), np.array([10.0, 10.0]), np.array([1.0, 100.0]))
    [10.0]
    """
    gap = np.log(first) - np.log(second)
    found = []
    for at in np.flatnonzero(np.sign(gap[1:]) * np.sign(gap[:-1]) < 0):
        share = gap[at] / (gap[at] - gap[at + 1])
        found.append(float(calls[at] * (calls[at + 1] / calls[at]) ** share))
    return found


def against_use(way: Priced, dials: Dialled, use: np.ndarray) -> tuple[np.ndarray, float]:
    """
    Cost of a million tokens if the same machines worked more or less.

    Parameters
    ----------
    way : Priced
        From `priced`, owned, rented or an API.
    dials : Dialled
        The same.
    use : ndarray
        Share of the year in which every replica is full. [fraction]

    Returns
    -------
    cost : ndarray, shape (3, uses)
        As planned, at the low and at the high end. [currency/Mtoken]
    now : float
        Share as planned, a mean over the years; NaN for an API. [fraction]
    """
    plan, option = repricing.turned(planned(dials.team), dials), way.option
    asked, demand = plan.team.workload, pricing.demand(plan.team)
    each = 1e-6 * (asked.prompt_tokens + asked.output_tokens)
    if option["sourcing"] == "api":
        cost = way.table["total"] / (demand.calls.sum() * each)
        return np.repeat(cost[:, None], len(use), axis=1), np.nan
    ends = np.array([option[name] / option["rate"] for name in ("rate", "rate_high", "rate_low")])
    peak = np.repeat(option["rate_peak"] * ends, len(use))  # no tokens at an end that carries none
    if option["sourcing"] == "rent":
        machines = np.full(dials.years, option["replicas"])
    else:
        machines = way.table["owned"][0] * option["per_server"]
    calls = (np.tile(use, 3) * peak)[:, None] * machines * YEAR
    if option["sourcing"] == "rent":
        total = np.repeat(way.table["total"], len(use))
    else:
        total = _owned_at(option, plan, dials, peak, calls, len(use))
    with np.errstate(divide="ignore", invalid="ignore"):
        made = (total / (calls.sum(axis=1) * each)).reshape(3, -1)
    now = pricing.utilisation(demand.calls, np.array([option["rate_peak"]]), machines[None]).mean()
    return made, float(now)


def _owned_at(option, plan, dials, peak, calls, uses):
    """Servers that stay as many as planned while their use, and their electricity, change."""
    team, terms = plan.team, plan.terms
    server = plan.catalogue.servers[option["server_id"]]
    quote = team.quotes.get(server.id)
    if quote:
        prices = 3 * [terms.money(quote.price, quote.currency)]
    else:
        ends = (server.price, server.price_low, server.price_high)
        prices = [terms.money(price, server.currency) for price in ends]
    working = np.full(calls.shape, option["working"])
    price = np.repeat(np.array(prices) * dials.price_factor, uses)
    return pricing.own(
        working, option["per_server"], np.maximum(peak, 1e-12), price, money.machine(server), calls,
        team, terms,
    )["total"]  # fmt: skip
