"""What a portfolio buys, quarter by quarter: machines, orders with their lead time, and spend."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from planner import money, pooling, pricing
from planner.catalogue import convert
from planner.portfolio import Portfolio
from planner.team import Team

QUARTERS = 4  # of a year
RUNNING = tuple(line for line in pricing.LINES if line not in ("capex", "residual", "rent", "api"))


class Unit(NamedTuple):
    """
    A pool, or a team by itself.

    Parameters
    ----------
    name : str
        Of the pool, or of the team's file.
    team : Team
        Who it is, or what its members have in common.
    option : Series
        What is done.
    level : ndarray, shape (years,)
        Demand. [any unit]
    working : ndarray, shape (years,)
        Replicas for it; empty where nothing is hosted. [replica]
    capacity : float
        Demand that one more replica carries. [unit of level]
    unit : float
        Its currency in that of the portfolio. [ratio]
    """

    name: str
    team: Team
    option: pd.Series
    level: np.ndarray
    working: np.ndarray
    capacity: float
    unit: float


def units(portfolio: Portfolio, pools: bool = True) -> list[Unit]:
    """
    Everybody that buys, rents or pays: the pools first, then who is in none.

    Parameters
    ----------
    portfolio : Portfolio
        All teams.
    pools : bool
        False: every team by itself.

    Returns
    -------
    units : list of Unit
    """
    found = []
    for pool in portfolio.pools if pools else ():
        level = pool.level
        found.append(
            Unit(
                pool.name,
                pool.plan.team,
                pool.option,
                level,
                pool.working,
                level.max() / pool.working.max(),
                1.0,
            )
        )
    for name, option in portfolio.chosen.items():
        if pools and name in portfolio.pooled:
            continue
        team = portfolio.plans[name].team
        level = money.load_by_year(team)
        rate, working = np.nan, np.array([])
        if option["sourcing"] != "api":
            rate = float(option["rate"])
            working = pricing.working(np.array([rate]), level)[0]
        unit = convert(1.0, team.currency, portfolio.currency, portfolio.catalogue)
        found.append(Unit(name, team, option, level, working, rate, unit))
    return found


def working_by_quarter(unit: Unit) -> np.ndarray:
    """
    Replicas that demand needs as it grows, spares not counted.

    Parameters
    ----------
    unit : Unit
        That hosts.

    Returns
    -------
    working : ndarray, shape (4 years,)
        Never outside what the years before and after need. [replica]
    """
    exact = np.ceil(pooling.quarters(unit.level) / unit.capacity - pooling.WHOLE)
    after = np.repeat(unit.working, QUARTERS)
    before = np.repeat(np.concatenate([unit.working[:1], unit.working[:-1]]), QUARTERS)
    return np.clip(exact, np.minimum(before, after), np.maximum(before, after))


def machines_by_quarter(unit: Unit) -> np.ndarray:
    """
    Servers of one's own that stand there, or accelerators that are rented, in each quarter.

    Parameters
    ----------
    unit : Unit
        Whatever it does.

    Returns
    -------
    number : ndarray, shape (4 years,)
        [server] or [accelerator]; zero for an API. No server is given back before its life ends.
    """
    option, policy = unit.option, unit.team.policy
    if option["sourcing"] == "api":
        return np.zeros(QUARTERS * unit.team.growth.years)
    working = working_by_quarter(unit)
    if option["sourcing"] == "rent":
        return (working + policy.spare_replicas + policy.spare_servers) * option["n_devices"]
    each = float(option["per_server"])
    needed = np.ceil((working + policy.spare_replicas) / each) + policy.spare_servers
    return np.maximum.accumulate(needed)


def begins(made: date, quarter: int) -> date:
    """
    First day of a quarter of the plan, which starts with the next calendar quarter.

    Parameters
    ----------
    made : date
        When the plan was made.
    quarter : int
        0 for the first.

    Returns
    -------
    day : date

    Examples
    --------
    >>> begins(date(2026, 11, 30), 0), begins(date(2026, 1, 1), 4)
    (datetime.date(2027, 1, 1), datetime.date(2027, 4, 1))
    """
    whole = made.year * QUARTERS + (made.month - 1) // 3 + 1 + quarter
    return date(whole // QUARTERS, whole % QUARTERS * 3 + 1, 1)


def quarterly(portfolio: Portfolio) -> pd.DataFrame:
    """
    Machines, orders and spend of every unit in every quarter.

    Parameters
    ----------
    portfolio : Portfolio
        All teams.

    Returns
    -------
    table : DataFrame
        unit, quarter (0 is the first), server_id, servers, bought [server]; rented [accelerator];
        purchase, running, rent, api, residual, spend (all of them) [currency]. The spend of all
        quarters is the cost of the plans: what a year costs besides purchases is spread evenly.
    """
    parts = []
    for unit in units(portfolio):
        option, years = unit.option, unit.team.growth.years
        own = option["sourcing"] == "own"
        number = machines_by_quarter(unit)
        bought = np.diff(number, prepend=0.0) if own else np.zeros(len(number))
        line = {
            name: unit.unit * np.array([float(option[f"{name}_{y + 1}"]) for y in range(years)])
            for name in pricing.LINES
        }
        spread = {
            "running": sum(line[name] for name in RUNNING), "rent": line["rent"], "api": line["api"]
        }  # fmt: skip
        table = {name: np.repeat(values / QUARTERS, QUARTERS) for name, values in spread.items()}
        # purchases of a year at the quarters in which servers come; replacements at its start
        share = bought.reshape(years, QUARTERS).copy()
        none = share.sum(axis=1) == 0
        share[none, 0] = 1.0
        share = share / share.sum(axis=1, keepdims=True)
        table["purchase"] = (share * line["capex"][:, None]).ravel()
        table["residual"] = np.zeros(len(number))
        table["residual"][-1] = line["residual"].sum()
        parts.append(pd.DataFrame({
            "unit": unit.name, "quarter": np.arange(len(number)),
            "server_id": option["server_id"] if own else "",
            "servers": number if own else 0.0, "bought": bought,
            "rented": number if option["sourcing"] == "rent" else 0.0, **table,
            "spend": sum(table.values()),
        }))  # fmt: skip
    columns = ["unit", "quarter", "server_id", "servers", "bought", "rented", "running", "rent",
               "api", "purchase", "residual", "spend"]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def orders(portfolio: Portfolio) -> pd.DataFrame:
    """
    Purchase orders: which servers, for which quarter, and by when.

    Parameters
    ----------
    portfolio : Portfolio
        All teams.

    Returns
    -------
    orders : DataFrame
        quarter, server_id, number [server], needed, order_by, arrives if ordered at once (dates;
        the long end of the lead time), late (order_by has passed), purchase [currency].
    """
    table = quarterly(portfolio)
    rows = table[table["bought"] > 0].groupby(["quarter", "server_id"], as_index=False)
    found = rows[["bought", "purchase"]].sum().rename(columns={"bought": "number"})
    servers = portfolio.catalogue.servers
    lead = [
        timedelta(weeks=float(servers[name].lead_time_weeks_high)) for name in found["server_id"]
    ]
    found["needed"] = [begins(portfolio.made, quarter) for quarter in found["quarter"]]
    found["order_by"] = [day - time for day, time in zip(found["needed"], lead, strict=True)]
    found["arrives"] = [portfolio.made + time for time in lead]
    return found.assign(late=[day < portfolio.made for day in found["order_by"]])


def machines(portfolio: Portfolio) -> pd.DataFrame:
    """
    Servers by kind, with pools and without.

    Parameters
    ----------
    portfolio : Portfolio
        All teams.

    Returns
    -------
    machines : DataFrame
        server_id, quote (reference of a team's own, empty for the catalogue's price), price, low,
        high (of one) [currency], apart (every team by itself), now (with pools, first quarter),
        servers (with pools, by the end) [server]; the most money first.
    """
    rows = []
    for pools in (False, True):
        for unit in units(portfolio, pools):
            if unit.option["sourcing"] != "own":
                continue
            number = machines_by_quarter(unit)
            server = portfolio.catalogue.servers[unit.option["server_id"]]
            quote = unit.team.quotes.get(server.id)
            prices = (
                [quote.price] * 3 if quote else [server.price, server.price_low, server.price_high]
            )
            price, low, high = (
                convert(amount, (quote or server).currency, portfolio.currency, portfolio.catalogue)
                for amount in prices
            )
            rows.append({
                "server_id": server.id, "quote": quote.reference if quote else "",
                "price": price, "low": low, "high": high,
                "apart": 0.0 if pools else number[-1], "now": number[0] if pools else 0.0,
                "servers": number[-1] if pools else 0.0,
            })  # fmt: skip
    columns = ["server_id", "quote", "price", "low", "high", "apart", "now", "servers"]
    if not rows:
        return pd.DataFrame(columns=columns)
    grouped = pd.DataFrame(rows).groupby(["server_id", "quote"], sort=False)
    table = grouped[["price", "low", "high"]].first().join(grouped[columns[-3:]].sum())
    table = table.reset_index()
    worth = table["price"] * table[["apart", "servers"]].max(axis=1)
    return table.loc[worth.sort_values(ascending=False, kind="stable").index]


def budgets(portfolio: Portfolio) -> pd.DataFrame:
    """
    Budgets of the teams that state one, beside what they are charged.

    Parameters
    ----------
    portfolio : Portfolio
        All teams.

    Returns
    -------
    budgets : DataFrame
        team (name of its file), budget, charge [currency]; NaN where nothing is charged.
    """
    charge = portfolio.charges.set_index("team")["charge"]
    rows = [
        {
            "team": name,
            "budget": convert(plan.team.budget.total, plan.team.currency, portfolio.currency,
                              portfolio.catalogue),
            "charge": float(charge.get(name, np.nan)),
        }
        for name, plan in portfolio.plans.items()
        if plan.team.budget is not None
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["team", "budget", "charge"])
