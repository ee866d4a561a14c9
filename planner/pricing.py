"""
Cost lines of one way of serving: owned, rented, or paid per token.

The leading axis is whatever is compared: many options under one set of assumptions, or one option
under many sets. Years are the last axis. `planner.money` asks for options, `planner.uncertainty`
for draws, so that both price by the same formulas.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from planner import concurrency, cost, finance
from planner.team import Team
from planner.terms import Terms

RESERVED_YEARS = 3  # a reservation keeps its price so long, then the market's price of that year
# What is paid, in the order of a report; the residual value, an income, is last.
LINES = (
    "capex", "lease", "energy", "colocation", "support", "software", "staff", "other", "rent",
    "api", "decommissioning", "residual",
)  # fmt: skip


class Demand(NamedTuple):
    """
    Load of every year of a plan.

    Parameters
    ----------
    peak : ndarray, shape (..., years)
        Calls per second in the busiest hour. [1/s]
    calls : ndarray, shape (..., years)
        Calls in the year. [call/year]
    """

    peak: np.ndarray
    calls: np.ndarray


def demand(team: Team, level=1.0, growth=None) -> Demand:
    """
    Load of every year.

    Parameters
    ----------
    team : Team
        Workload and growth.
    level : numeric, shape (...)
        Calls relative to those of the team's file. [ratio]
    growth : numeric, shape (...)
        Yearly growth instead of the team's own. [1/year]

    Returns
    -------
    demand : Demand
    """
    growth = team.growth.yearly if growth is None else growth
    years = np.arange(team.growth.years)
    factor = np.asarray(level, float)[..., None]
    # options lie side by side in memory: few years make short rows, which are slow to work through
    factor = factor * np.power(1.0 + np.asarray(growth, float)[..., None], years, order="F")
    load = team.workload
    return Demand(load.busiest_hour_rate * factor, load.calls_per_day * load.days_per_year * factor)


def working(rate, peak) -> np.ndarray:
    """
    Replicas that the load of each year needs, without spares.

    Parameters
    ----------
    rate : ndarray, shape (N,)
        What one replica carries within the limits; zero or NaN means never enough. [1/s]
    peak : ndarray, shape (years,) or (N, years)
        Load of the busiest hour. [1/s]

    Returns
    -------
    replicas : ndarray, shape (N, years)
        Infinite where one replica carries nothing. [replica]
    """
    each = np.nan_to_num(np.asarray(rate, float))[:, None]
    return np.asfortranarray(concurrency.replicas_needed(peak, each, spare=0))


def own(
    replicas, per_server, rate_peak, price, machine, calls, team: Team, terms: Terms, purchase=None
) -> dict:
    """
    Cost of servers of one's own, or leased.

    Parameters
    ----------
    replicas : ndarray, shape (N, years)
        Working replicas, as from `working`. [replica]
    per_server : numeric, shape (N,) or scalar
        Replicas on one server. [replica/server]
    rate_peak : ndarray, shape (N,)
        What one replica serves if waiting has no limit: the base of utilisation. [1/s]
    price : ndarray, shape (N,)
        Price of a server. [currency]
    machine : mapping of numeric, shape (N,) or scalar
        idle, load [W], devices [accelerator/server], rack_units, software (whether its
        accelerators need the licence). [1]
    calls : ndarray, shape (years,) or (N, years)
        [call/year]
    team, terms
        Policy and assumptions; a term may be one figure or one for each of N.
    purchase : {"cash", "lease"}, optional
        Instead of the team's own policy.

    Returns
    -------
    table : dict of ndarray
        As from `cost.owned_cost`; infinite cost where nothing is carried.
    """
    policy, region = team.policy, team.policy.region
    per_server = np.asarray(per_server, float)[..., None]
    needed = np.ceil((replicas + policy.spare_replicas) / per_server) + policy.spare_servers
    possible = np.where(np.isfinite(needed), needed, 0.0)
    life = terms("economic_life")
    owned = cost.purchases(possible, life)[1]  # more than needed where the load has fallen
    busy = utilisation(calls, rate_peak, owned * per_server)
    own_room = policy.hosting == "own_room"
    rack = terms("rack_per_unit") * machine["rack_units"] if own_room else 0.0
    capital = cost.capex(
        price,
        price * terms("network_adder"),
        storage=terms("storage_per_server"),
        rack=rack,
        spares_rate=terms("spares_rate"),
        installation_rate=terms("installation_rate"),
        tax_rate=terms("tax_rate"),
        contingency_rate=terms("contingency_rate"),
    )["total"]
    tariff = terms(f"electricity_tariff_{region}")
    if own_room:
        place = {"tariff": tariff}
        hands = 0.0
    else:
        rent = "colocation_per_kw_month_cn" if region == "cn" else "colocation_per_kw_month"
        place = {"colocation_price": terms(rent)}
        place["metered_tariff"] = tariff * terms("colocation_metered")
        hands = terms("remote_hands_hours") * terms("remote_hands_rate")
    lease = {}
    if (purchase or policy.purchase) == "lease":
        lease = {"lease_rate": terms("lease_rate"), "lease_residual": terms("lease_residual_3y")}
    licensed = policy.licensed_software * np.asarray(machine["software"], float)
    table = cost.owned_cost(
        possible, price, capital, power_idle=machine["idle"], power_load=machine["load"],
        utilisation=busy, **place, **lease, pue=terms("pue"),
        tariff_growth=terms("electricity_tariff_growth"), residual_share=terms("residual_3y"),
        rate=terms("discount_rate"), life=life,
        decommission_share=terms("decommission_rate"),
        support_rate=terms("support_rate") + terms("insurance_rate"),
        accelerators=machine["devices"] * licensed,
        software=terms("software_per_gpu_year") if policy.licensed_software else 0.0,
        staff_rate=terms(f"staff_rate_{region}"), staff_hours=terms("staff_hours_per_server"),
        staff_hours_fixed=terms("staff_hours_fixed"), other=hands,
    )  # fmt: skip
    return unless_never(needed, table)


def utilisation(calls, rate_peak, replicas) -> np.ndarray:
    """
    Share of the year that replicas work, as a mean over all of them.

    Parameters
    ----------
    calls : ndarray, shape (years,) or (N, years)
        [call/year]
    rate_peak : ndarray, shape (N,)
        What one replica serves at most. [1/s]
    replicas : ndarray, shape (N, years)
        Switched on. [replica]

    Returns
    -------
    share : ndarray, shape (N, years)
        [fraction]
    """
    seconds = np.divide(calls, np.asarray(rate_peak, float)[:, None], order="F")
    share = seconds / (np.maximum(replicas, 1.0) * cost.HOURS_PER_YEAR * 3600)
    return np.clip(np.nan_to_num(share), 0.0, 1.0)


def rent(replicas, devices_each, price, reserved, team: Team, terms: Terms) -> dict:
    """
    Cost of rented accelerators.

    Parameters
    ----------
    replicas : ndarray, shape (N, years)
        Working replicas; spares of the policy are added. [replica]
    devices_each : ndarray, shape (N,)
        Accelerators of one replica. [accelerator]
    price : ndarray, shape (N,)
        On demand, today. [currency/accelerator/h]
    reserved : ndarray of bool, shape (N,)
        Reserved: cheaper at a price that holds for `RESERVED_YEARS`, but billed around the clock.
    team, terms
        Policy and assumptions.

    Returns
    -------
    table : dict of ndarray
        rent, staff, yearly, total, npv. [currency]
    """
    policy = team.policy
    reserved = np.asarray(reserved, bool)[:, None]
    needed = replicas + policy.spare_replicas + policy.spare_servers  # each replica fails alone
    devices = np.where(np.isfinite(needed), needed, 0) * np.asarray(devices_each, float)[:, None]
    year = np.arange(needed.shape[-1])
    falling = 1 - np.asarray(terms("rental_price_decline"), float)[..., None]
    falling = np.power(falling, year, order="F")
    falling = np.where(reserved, falling[..., year // RESERVED_YEARS * RESERVED_YEARS], falling)
    discount = np.asarray(terms("rental_reserved_discount"), float)[..., None] * reserved
    hours = np.where(reserved, cost.HOURS_PER_YEAR, policy.rented_hours_per_year)
    yearly = cost.rented_cost(devices, np.asarray(price, float)[:, None], hours, discount) * falling
    staff = terms("staff_hours_fixed") * terms(f"staff_rate_{policy.region}")
    staff = np.broadcast_to(np.asarray(staff, float)[..., None], yearly.shape)
    return unless_never(needed, added_up(yearly.shape, terms, rent=yearly, staff=staff))


def api_prices(offer, load) -> tuple[float, float, float]:
    """
    Mean prices of an API over a team's day: prompt, output and cached prompt.

    Parameters
    ----------
    offer : ApiPrice
        Its prices hold off-peak where it has a peak price.
    load : Workload
        Share of its calls in the provider's dear hours; by default as long as those last.

    Returns
    -------
    prices : tuple of float
        [currency/token]

    Examples
    --------
    >>> from planner import catalogue, team
    >>> load = team.read("guide_limited").workload
    >>> offer = catalogue.load().api_prices["deepseek/deepseek-v4-flash"]
    >>> dear = load.model_copy(update={"peak_price_share": 1.0})
    >>> api_prices(offer, dear)[1] / api_prices(offer, dear.model_copy(
    ...     update={"peak_price_share": 0.0}))[1]
    2.0
    """
    share = load.peak_price_share
    share = offer.peak_hours / 24 if share is None else share
    factor = 1 + (offer.peak_factor - 1) * share
    cached = offer.input if offer.cached_input is None else offer.cached_input
    return offer.input * factor, offer.output * factor, cached * factor


def api(prices, calls, team: Team, terms: Terms, decline=None) -> dict:
    """
    Cost of paying per token.

    Parameters
    ----------
    prices : sequence of three numeric, shape (N,)
        Prompt, output and cached prompt, from `api_prices`. [currency/token]
    calls : ndarray, shape (years,) or (N, years)
        [call/year]
    team, terms
        Workload and assumptions.
    decline : numeric, optional
        Yearly fall of the price instead of the assumed one. [1/year]

    Returns
    -------
    table : dict of ndarray
        api, yearly, total, npv. [currency]
    """
    load = team.workload
    prompt = calls * load.prompt_tokens
    decline = terms("api_price_decline") if decline is None else decline
    yearly = cost.api_cost(
        prompt, calls * load.output_tokens, prices[0], prices[1],
        cached_tokens=prompt * load.cached_prompt_share, cached_price=prices[2],
        yearly_decline=decline,
    )  # fmt: skip
    return added_up(yearly.shape, terms, api=yearly)


def added_up(shape, terms, **lines) -> dict:
    """
    Cost lines of an option that owns nothing, in the form of `cost.owned_cost`.

    Parameters
    ----------
    shape : tuple of int
        (N, years).
    terms : Terms
        Holds the discount rate.
    **lines : ndarray
        [currency/year]

    Returns
    -------
    table : dict of ndarray
        The lines, yearly, total, npv. [currency]
    """
    table = {name: np.broadcast_to(np.asarray(line, float), shape) for name, line in lines.items()}
    yearly = np.broadcast_to(np.asarray(sum(table.values()), float), shape)
    npv = finance.present_value(yearly, terms("discount_rate"))
    return {**table, "yearly": yearly, "total": yearly.sum(axis=-1), "npv": npv}


def unless_never(replicas, table) -> dict:
    """
    Infinite cost where one replica carries nothing.

    Parameters
    ----------
    replicas : ndarray, shape (N, years)
        Infinite where nothing is carried. [replica]
    table : dict of ndarray
        From `cost.owned_cost` or `added_up`. [currency]

    Returns
    -------
    table : dict of ndarray
        The same with total and npv infinite there. [currency]
    """
    never = ~np.isfinite(replicas).all(axis=-1)
    return {**table, **{name: np.where(never, np.inf, table[name]) for name in ("total", "npv")}}
