"""When the money of an option is paid: months, quarters, the books; leasing instead of buying."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import cost, draws, finance
from planner.plan import Plan
from planner.pricing import LINES

AT_START, AT_END = ("capex",), ("decommissioning", "residual")
QUARTERS = 4


def by_month(option: pd.Series, years: int, api_decline: float = 0.0) -> dict[str, np.ndarray]:
    """
    Every cost line of an option month by month.

    Parameters
    ----------
    option : Series
        A row of ``plan.options``.
    years : int
        Years of the plan.
    api_decline : float
        Yearly fall of the API's price, a little every month. [1/year]

    Returns
    -------
    lines : dict of ndarray, shape (12 years,)
        Purchases in the first month of their year, removal and residual value in the last of
        theirs, the API at the price of the month, all else evenly. The months of a year add up to
        its yearly line. [currency/month]
    """
    months = finance.MONTHS_PER_YEAR
    even = np.full(months, 1.0 / months)
    first, last = np.eye(months)[[0, -1]]
    falling = (1.0 - api_decline) ** (np.arange(months) / months)
    shape = dict.fromkeys(LINES, even) | dict.fromkeys(AT_START, first)
    shape |= dict.fromkeys(AT_END, last) | {"api": falling / falling.sum()}
    return {
        line: np.concatenate(
            [float(option[f"{line}_{year}"]) * shape[line] for year in range(1, years + 1)]
        )
        for line in LINES
    }


def cash_flow(option: pd.Series, plan: Plan) -> pd.DataFrame:
    """
    What an option costs in every quarter, line by line.

    Parameters
    ----------
    option : Series
        A row of ``plan.options``.
    plan : Plan
        Its plan.

    Returns
    -------
    flow : DataFrame
        One row per quarter and line that is not zero throughout: quarter (1 is the first of the
        plan), year (1 to the plan's years), quarter_of_year (1 to 4), line (as in
        `pricing.LINES`), cost [currency; an income is negative]. Purchases fall into the first
        quarter of the year in which the servers are needed, removal and residual value into the
        last quarter of their year. The four quarters of a year add up to the column
        ``{line}_{year}`` of the option.
    """
    lines = by_month(option, plan.team.growth.years, plan.terms("api_price_decline"))
    rows = [
        {
            "quarter": quarter + 1,
            "year": quarter // QUARTERS + 1,
            "quarter_of_year": quarter % QUARTERS + 1,
            "line": line,
            "cost": float(amount),
        }
        for line, months in lines.items()
        if np.any(months)
        for quarter, amount in enumerate(months.reshape(-1, 3).sum(axis=1))
    ]
    columns = ["quarter", "year", "quarter_of_year", "line", "cost"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["quarter"], kind="stable", ignore_index=True
    )


def monthly(option: pd.Series, years: int, api_decline: float = 0.0) -> np.ndarray:
    """Cost of every month without the residual value: what cumulative lines add up. [currency]"""
    lines = by_month(option, years, api_decline)
    return sum(months for line, months in lines.items() if line != "residual")


def book_values(option: pd.Series, plan: Plan) -> pd.DataFrame:
    """
    Owned servers in the books: straight-line over the book life, not the economic one.

    Parameters
    ----------
    option : Series
        A row of ``plan.options`` that is owned.
    plan : Plan
        Its plan.

    Returns
    -------
    books : DataFrame
        year; depreciation of the year, book_value at its end, market_value of the same servers
        then (what the residual value assumes). [currency]
    """
    years, terms = plan.team.growth.years, plan.terms
    life, economic = terms("book_life"), terms("economic_life")
    age = np.arange(years + 1)[:, None] - np.arange(years)  # at the end of year t, of purchase y
    capital = np.array([option[f"capex_{year}"] for year in range(1, years + 1)], float)
    bought = draws.planned(option, plan).bought
    held = (age >= 0) & (age <= economic)
    book = np.where(held, cost.book_value(capital, np.maximum(age, 0), life), 0.0)
    market = np.where(
        held,
        bought * cost.residual_value(option["price"], np.maximum(age, 0), terms("residual_3y")),
        0.0,
    )
    before = book[:-1].sum(axis=1)
    return pd.DataFrame(
        {
            "year": np.arange(1, years + 1),
            "depreciation": before - (book[1:] * (age[1:] > 0)).sum(axis=1),
            "book_value": (book[1:] * (age[1:] > 0)).sum(axis=1),
            "market_value": (market[1:] * (age[1:] > 0)).sum(axis=1),
        }
    )


def lease_or_buy(option: pd.Series, plan: Plan) -> dict[str, float]:
    """
    The same servers bought and leased.

    Parameters
    ----------
    option : Series
        A row of ``plan.options`` that is owned.
    plan : Plan
        Its plan; the lessor keeps the machines at the end.

    Returns
    -------
    costs : dict
        total and npv of each: buy_total, buy_npv, lease_total, lease_npv; payment: the lease in
        the first year. [currency]
    """
    buy, lease = (draws.planned(option, plan, purchase) for purchase in ("cash", "lease"))
    return {
        "buy_total": float(buy.total), "buy_npv": float(buy.npv),
        "lease_total": float(lease.total), "lease_npv": float(lease.npv),
        "payment": float(lease.lease[0]),
    }  # fmt: skip
