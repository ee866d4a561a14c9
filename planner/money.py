"""What an option costs: owned, rented, paid per token, in the team's currency."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import concurrency, cost, finance
from planner.catalogue import Catalogue
from planner.team import Team
from planner.terms import Terms

HOURS_PER_YEAR = 8760.0
TIERS = ("specialty", "median", "hyperscaler", "long-tail")  # the first that lists a device is used
LINES = ("capex", "energy", "support", "staff", "other", "rent", "api", "residual")


def load_by_year(team: Team) -> np.ndarray:
    """Calls per second in the busiest hour of every year of the plan. [1/s]"""
    years = np.arange(team.growth.years)
    return team.workload.busiest_hour_rate * (1 + team.growth.yearly) ** years


def calls_by_year(team: Team) -> np.ndarray:
    """Calls in every year of the plan. [call/year]"""
    years = np.arange(team.growth.years)
    first = team.workload.calls_per_day * team.workload.days_per_year
    return first * (1 + team.growth.yearly) ** years


def working_by_year(rate: np.ndarray, team: Team) -> np.ndarray:
    """
    Replicas that the load of each year needs, without spares.

    Parameters
    ----------
    rate : ndarray, shape (N,)
        What one replica carries within the limits; zero or NaN means never enough. [1/s]
    team : Team
        Load and growth.

    Returns
    -------
    replicas : ndarray, shape (N, years)
        Infinite where one replica carries nothing. [replica]
    """
    each = np.nan_to_num(np.asarray(rate, float))[:, None]
    return concurrency.replicas_needed(load_by_year(team), each, spare=0)


def owned(judged: pd.DataFrame, team: Team, catalogue: Catalogue, terms: Terms) -> pd.DataFrame:
    """
    Cost of buying the servers for each judged deployment.

    Parameters
    ----------
    judged : DataFrame
        Rows from `judge` with a positive ``rate``.
    team, catalogue, terms
        Requirement, prices and assumptions.

    Returns
    -------
    priced : DataFrame
        The rows with replicas, servers, devices, price, capex, total, total_low, total_high, npv
        and one column per line and year.
    """
    servers = _server_prices(team, catalogue, terms)
    row = servers.loc[judged["server_id"]].reset_index(drop=True)
    per_server = judged["per_server"].to_numpy(float)
    results = {}
    for case, rate, price in (
        ("", "rate", "price"),
        ("_low", "rate_high", "price_low"),
        ("_high", "rate_low", "price_high"),
    ):
        working = working_by_year(judged[rate].to_numpy(float), team)
        needed = np.ceil((working + team.policy.spare_replicas) / per_server[:, None])
        needed = needed + team.policy.spare_servers
        busy = _busy(judged, needed * per_server[:, None], team)
        results[case] = working, _owned(needed, row[price].to_numpy(), row, busy, team, terms)
    working, table = results[""]
    spare = team.policy.spare_replicas + team.policy.spare_servers * per_server
    priced = judged.assign(
        sourcing="own",
        provider="",
        working=working[:, -1],
        working_high=results["_high"][0][:, -1],
        replicas=working[:, -1] + spare,
        servers=table["owned"][:, -1],
        price=row["price"].to_numpy(),
    )
    priced["devices"] = priced["replicas"] * priced["n_devices"]
    priced["total_low"] = results["_low"][1]["total"]
    priced["total_high"] = results["_high"][1]["total"]
    priced["servers_high"] = results["_high"][1]["owned"][:, -1]
    for year, owned_then in enumerate(table["owned"].T, 1):
        priced[f"servers_{year}"] = owned_then
    return _with_lines(priced, table)


def rented(judged: pd.DataFrame, team: Team, catalogue: Catalogue, terms: Terms) -> pd.DataFrame:
    """
    Cost of renting the accelerators around the clock for each judged deployment.

    Parameters
    ----------
    judged : DataFrame
        Rows from `judge`; servers with the same accelerator count once.
    team, catalogue, terms
        Requirement, prices and assumptions.

    Returns
    -------
    priced : DataFrame
        As from `owned`; server_id is empty and provider names the market.
    """
    offers = {}
    for tier in reversed(TIERS):
        offers |= {r.device: r for r in catalogue.rentals.values() if r.tier == tier}
    keys = ["model_id", "weight_format", "engine", "device_id", "tp"]
    rows = judged[judged["device_id"].isin(offers)].drop_duplicates(keys).reset_index(drop=True)
    if rows.empty:
        return rows
    offer = [offers[device] for device in rows["device_id"]]
    spare = team.policy.spare_replicas + team.policy.spare_servers  # each replica fails alone
    decline = (1 - terms("rental_price_decline")) ** np.arange(team.growth.years)
    results = {}
    for case, rate, price in (
        ("", "rate", "price"),
        ("_low", "rate_high", "price_low"),
        ("_high", "rate_low", "price_high"),
    ):
        working = working_by_year(rows[rate].to_numpy(float), team)
        replicas = working + spare
        rent = np.array([terms.money(getattr(o, price), o.currency) for o in offer])
        devices = np.where(np.isfinite(replicas), replicas, 0) * rows["tp"].to_numpy()[:, None]
        yearly = cost.rented_cost(devices, rent[:, None], HOURS_PER_YEAR) * decline
        staff = _staff(team, terms, servers=0)
        table = _table(yearly.shape, terms, rent=yearly, staff=staff)
        results[case] = working, _unless_never(replicas, table), rent
    working, table, rent = results[""]
    priced = rows.assign(
        sourcing="rent",
        provider=[f"{o.tier} cloud" for o in offer],
        server_id="",
        working=working[:, -1],
        working_high=results["_high"][0][:, -1],
        replicas=working[:, -1] + spare,
        servers=np.nan,
        price=rent,
    )
    priced["devices"] = priced["replicas"] * priced["n_devices"]
    priced["total_low"] = results["_low"][1]["total"]
    priced["total_high"] = results["_high"][1]["total"]
    return _with_lines(priced, table)


def apis(team: Team, catalogue: Catalogue, terms: Terms, quality: dict) -> pd.DataFrame:
    """
    Cost of paying per token at every API of the catalogue.

    Parameters
    ----------
    team, catalogue, terms
        Requirement, prices and assumptions.
    quality : dict of str to float
        Score of the models that may be used.

    Returns
    -------
    priced : DataFrame
        One row per API price, with limit quality where the model is not one of them.
    """
    load, calls = team.workload, calls_by_year(team)
    offers = list(catalogue.api_prices.values())
    prices = [
        [terms.money(amount, offer.currency) for offer, amount in zip(offers, column, strict=True)]
        for column in (
            [offer.input for offer in offers],
            [offer.output for offer in offers],
            [offer.input if offer.cached_input is None else offer.cached_input for offer in offers],
        )
    ]
    prompt = calls * load.prompt_tokens

    def yearly(decline):
        return cost.api_cost(
            prompt, calls * load.output_tokens, *np.array(prices[:2]),
            cached_tokens=prompt * load.cached_prompt_share, cached_price=np.array(prices[2]),
            yearly_decline=decline,
        )  # fmt: skip

    middle = yearly(terms("api_price_decline"))
    priced = pd.DataFrame(
        {
            "sourcing": "api",
            "provider": [offer.id for offer in offers],
            "model_id": [offer.model_id or offer.id for offer in offers],
            "quality": [quality.get(offer.model_id, np.nan) for offer in offers],
            "limit": ["none" if offer.model_id in quality else "quality" for offer in offers],
            "total_low": yearly(terms("api_price_decline", "high")).sum(axis=-1),
            "total_high": yearly(terms("api_price_decline", "low")).sum(axis=-1),
        }
    )
    return _with_lines(priced, _table(middle.shape, terms, api=middle))


def nothing(team: Team, terms: Terms) -> pd.DataFrame:
    """
    The option of leaving things as they are: no cost here, and nobody served.

    Parameters
    ----------
    team, terms
        Requirement and assumptions.

    Returns
    -------
    priced : DataFrame
        One row.
    """
    row = {"sourcing": "nothing", "provider": "", "model_id": "", "limit": "load"}
    row |= {"total_low": 0.0, "total_high": 0.0}
    return _with_lines(pd.DataFrame([row]), _table((1, team.growth.years), terms))


def per_million_tokens(total: float, team: Team) -> float:
    """Cost per million tokens served, prompt and output together. [currency/Mtoken]"""
    return float(finance.cost_per_million_tokens(total, tokens(team)))


def tokens(team: Team) -> float:
    """Tokens served over the plan, prompt and output together. [token]"""
    load = team.workload
    return float(calls_by_year(team).sum() * (load.prompt_tokens + load.output_tokens))


def _server_prices(team, catalogue, terms):
    """Price per server in the team's currency, a quote of the team before the catalogue's."""
    rows = {}
    for server in catalogue.servers.values():
        quote = team.quotes.get(server.id)
        if quote:
            low = middle = high = terms.money(quote.price, quote.currency)
        else:
            low, middle, high = (
                terms.money(amount, server.currency)
                for amount in (server.price_low, server.price, server.price_high)
            )
        rows[server.id] = {
            "price": middle, "price_low": low, "price_high": high, "idle": server.power_idle,
            "load": server.power_load,
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def _owned(needed, price, row, busy, team, terms):
    possible = np.where(np.isfinite(needed), needed, 0.0)
    capital = cost.capex(
        price,
        price * terms("network_adder"),
        spares_rate=terms("spares_rate"),
        installation_rate=terms("installation_rate"),
        tax_rate=terms("tax_rate"),
        contingency_rate=terms("contingency_rate"),
    )["total"]
    region = team.policy.region
    table = cost.owned_cost(
        possible, price, capital,
        power_idle=row["idle"].to_numpy(), power_load=row["load"].to_numpy(), utilisation=busy,
        tariff=terms(f"electricity_tariff_{region}"),
        tariff_growth=terms("electricity_tariff_growth"), pue=terms("pue"),
        residual_share=terms("residual_3y"), rate=terms("discount_rate"),
        support_rate=terms("support_rate") + terms("insurance_rate"),
        staff_rate=terms(f"staff_rate_{region}"),
        staff_hours=terms("staff_hours_per_server"), staff_hours_fixed=terms("staff_hours_fixed"),
    )  # fmt: skip
    return _unless_never(needed, table)


def _busy(judged, replicas, team):
    """Share of the year that the replicas work, as a mean over all of them. [fraction]"""
    seconds = calls_by_year(team)[:, None] / judged["rate_peak"].to_numpy(float)
    share = seconds.T / (np.maximum(replicas, 1.0) * HOURS_PER_YEAR * 3600)
    return np.clip(np.nan_to_num(share), 0.0, 1.0)


def _staff(team, terms, servers):
    hours = terms("staff_hours_fixed") + terms("staff_hours_per_server") * servers
    return hours * terms(f"staff_rate_{team.policy.region}")


def _table(shape, terms, **lines):
    """Cost lines by year of an option that owns nothing, in the form of `cost.owned_cost`."""
    table = {name: np.broadcast_to(np.asarray(line, float), shape) for name, line in lines.items()}
    yearly = sum(table.values(), np.zeros(shape))
    npv = finance.present_value(yearly, terms("discount_rate"))
    return {**table, "yearly": yearly, "total": yearly.sum(axis=-1), "npv": npv}


def _unless_never(replicas, table):
    """Infinite cost where one replica carries nothing."""
    never = ~np.isfinite(replicas).all(axis=1)
    return {**table, **{name: np.where(never, np.inf, table[name]) for name in ("total", "npv")}}


def _with_lines(priced, table):
    """Add total, npv and, for the chosen rows' tables, every line of every year."""
    years = table["yearly"].shape[-1]
    columns = {"total": table["total"], "npv": table["npv"]}
    for name in LINES:
        line = np.broadcast_to(table.get(name, 0.0), table["yearly"].shape)
        columns |= {f"{name}_{year + 1}": line[:, year] for year in range(years)}
    return pd.concat([priced, pd.DataFrame(columns, index=priced.index)], axis=1)
