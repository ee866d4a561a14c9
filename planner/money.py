"""What an option costs: owned, rented, paid per token, in the team's currency."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import finance, pricing
from planner.catalogue import Catalogue
from planner.pricing import LINES
from planner.team import Team
from planner.terms import Terms

TIERS = ("specialty", "median", "hyperscaler", "long-tail")  # the first that lists a device is used
CONTRACTS = ("on demand", "reserved")
CASES = (
    ("", "rate", "price"),
    ("_low", "rate_high", "price_low"),
    ("_high", "rate_low", "price_high"),
)


def load_by_year(team: Team) -> np.ndarray:
    """Calls per second in the busiest hour of every year of the plan. [1/s]"""
    return pricing.demand(team).peak


def calls_by_year(team: Team) -> np.ndarray:
    """Calls in every year of the plan. [call/year]"""
    return pricing.demand(team).calls


def owned(judged: pd.DataFrame, team: Team, catalogue: Catalogue, terms: Terms) -> pd.DataFrame:
    """
    Cost of buying the servers for each judged deployment, or of leasing them.

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
    servers = server_prices(team, catalogue, terms)
    place, known = pd.factorize(judged["server_id"])
    listed = [servers[server] for server in known]
    names = ("price", "price_low", "price_high", *MACHINE)
    row = {name: np.array([one[name] for one in listed], float)[place] for name in names}
    per_server = judged["per_server"].to_numpy(float)
    peak, calls = pricing.demand(team)
    results = {}
    for case, rate, price in CASES:
        working = pricing.working(judged[rate].to_numpy(float), peak)
        table = pricing.own(
            working, per_server, judged["rate_peak"].to_numpy(float),
            row[price], row, calls, team, terms,
        )  # fmt: skip
        results[case] = working, table
    working, table = results[""]
    spare = team.policy.spare_replicas + team.policy.spare_servers * per_server
    replicas = working[:, -1] + spare
    numbers = {
        "working": working[:, -1],
        "working_high": results["_high"][0][:, -1],
        "replicas": replicas,
        "servers": table["owned"][:, -1],
        "price": row["price"],
        "devices": replicas * judged["n_devices"].to_numpy(),
        "total_low": results["_low"][1]["total"],
        "total_high": results["_high"][1]["total"],
        "servers_high": results["_high"][1]["owned"][:, -1],
        **{f"servers_{year}": then for year, then in enumerate(table["owned"].T, 1)},
    }
    priced = judged.assign(sourcing="own", provider="", contract=team.policy.purchase)
    return _with_lines(priced, table, numbers)


def rented(judged: pd.DataFrame, team: Team, catalogue: Catalogue, terms: Terms) -> pd.DataFrame:
    """
    Cost of renting the accelerators for each judged deployment, on demand and reserved.

    Parameters
    ----------
    judged : DataFrame
        Rows from `judge`; servers with the same accelerator count once. Rows that already have a
        ``contract`` are priced under that one only.
    team, catalogue, terms
        Requirement, prices and assumptions.

    Returns
    -------
    priced : DataFrame
        As from `owned`; server_id is empty, provider names the market and contract is on demand
        or reserved.
    """
    offers = rental_offers(catalogue)
    keys = ["model_id", "weight_format", "engine", "device_id", "tp"]
    keys += ["contract"] if "contract" in judged else []
    offered = (judged["kind"] == "gpu") & judged["device_id"].isin(list(offers))
    rows = judged[offered & ~judged.duplicated(keys)].reset_index(drop=True)
    if "contract" not in rows:
        contracts = np.repeat(CONTRACTS, len(rows))
        rows = pd.concat([rows] * len(CONTRACTS), ignore_index=True).assign(contract=contracts)
    if rows.empty:
        return rows
    place, devices = pd.factorize(rows["device_id"])
    listed = [offers[device] for device in devices]
    spare = team.policy.spare_replicas + team.policy.spare_servers  # each replica fails alone
    each, reserved = rows["tp"].to_numpy(float), (rows["contract"] == "reserved").to_numpy()
    peak = load_by_year(team)
    results = {}
    for case, rate, price in CASES:
        working = pricing.working(rows[rate].to_numpy(float), peak)
        rent = np.array([terms.money(getattr(o, price), o.currency) for o in listed])[place]
        table = pricing.rent(working, each, rent, reserved, team, terms)
        results[case] = working, table, rent
    working, table, rent = results[""]
    names = np.array([[f"{o.tier} cloud{end}" for end in ("", ", reserved")] for o in listed])
    discount = np.where(reserved, terms("rental_reserved_discount"), 0.0)
    replicas = working[:, -1] + spare
    numbers = {
        "working": working[:, -1],
        "working_high": results["_high"][0][:, -1],
        "replicas": replicas,
        "servers": np.full(len(rows), np.nan),
        "price": rent * (1 - discount),
        "devices": replicas * rows["n_devices"].to_numpy(),
        "total_low": results["_low"][1]["total"],
        "total_high": results["_high"][1]["total"],
    }
    provider = names[place, reserved.astype(int)]
    priced = rows.assign(sourcing="rent", provider=provider, server_id="")
    return _with_lines(priced, table, numbers)


def rental_offers(catalogue: Catalogue) -> dict:
    """The rental that is used for each accelerator: the first of `TIERS` that lists it."""
    offers = {}
    for tier in reversed(TIERS):
        offers |= {r.device: r for r in catalogue.rentals.values() if r.tier == tier}
    return offers


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
    offers = list(catalogue.api_prices.values())
    prices = [api_prices(offer, team, terms) for offer in offers]
    prices, calls = np.array(prices, float).T, calls_by_year(team)

    def total(end):
        decline = terms("api_price_decline", end)
        return pricing.api(prices, calls, team, terms, decline)["total"]

    priced = pd.DataFrame(
        {
            "sourcing": "api",
            "provider": [offer.id for offer in offers],
            "model_id": [offer.model_id or offer.id for offer in offers],
            "quality": [quality.get(offer.model_id, np.nan) for offer in offers],
            "limit": ["none" if offer.model_id in quality else "quality" for offer in offers],
            "total_low": total("high"),
            "total_high": total("low"),
        }
    )
    return _with_lines(priced, pricing.api(prices, calls, team, terms))


def api_prices(offer, team: Team, terms: Terms) -> list:
    """Prompt, output and cached prompt of an API in the team's currency. [currency/token]"""
    mean = pricing.api_prices(offer, team.workload)
    return [terms.money(price, offer.currency) for price in mean]


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
    return _with_lines(pd.DataFrame([row]), pricing.added_up((1, team.growth.years), terms))


def per_million_tokens(total: float, team: Team) -> float:
    """Cost per million tokens served, prompt and output together. [currency/Mtoken]"""
    return float(finance.cost_per_million_tokens(total, tokens(team)))


def tokens(team: Team) -> float:
    """Tokens served over the plan, prompt and output together. [token]"""
    load = team.workload
    return float(calls_by_year(team).sum() * (load.prompt_tokens + load.output_tokens))


MACHINE = ("idle", "load", "devices", "rack_units", "software")


def server_prices(team: Team, catalogue: Catalogue, terms: Terms) -> dict[str, dict]:
    """
    Servers by id in the team's currency, a quote of the team before the catalogue's price.

    Parameters
    ----------
    team, catalogue, terms
        Quotes, prices and exchange rates.

    Returns
    -------
    servers : dict of dict
        price, price_low, price_high [currency]; idle, load [W]; devices, rack_units, software.
    """
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
        rows[server.id] = {"price": middle, "price_low": low, "price_high": high, **machine(server)}
    return rows


def machine(server) -> dict:
    """What `pricing.own` needs to know of a server besides its price. [W, accelerator]"""
    return {
        "idle": server.power_idle, "load": server.power_load, "devices": server.devices,
        "rack_units": server.rack_units, "software": float(server.kind == "gpu"),
    }  # fmt: skip


def _with_lines(priced, table, numbers=None):
    """Add numbers, total, npv and every line of every year, in the place of older ones."""
    shape = table["yearly"].shape
    numbers = {**(numbers or {}), "total": table["total"], "npv": table["npv"]}
    lines = [np.broadcast_to(table.get(name, 0.0), shape).T for name in LINES]
    names = [*numbers, *(f"{name}_{year + 1}" for name in LINES for year in range(shape[-1]))]
    values = np.vstack([*numbers.values(), *lines])
    paid = pd.DataFrame(values.T, priced.index, names)  # as one block, which is quicker than many
    older = [name for name in names if name in priced]
    return pd.concat([priced.drop(columns=older) if older else priced, paid], axis=1)
