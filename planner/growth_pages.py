"""Pages of the portfolio: what is bought, ordered and spent in each quarter, and the budget."""

from __future__ import annotations

import pandas as pd

from planner import display, growth_plan, phrases, portfolio_charts
from planner.display import Column
from planner.portfolio import Portfolio
from planner.portfolio_pages import in_words, years


def _named(portfolio, quarter):
    day = growth_plan.begins(portfolio.made, int(quarter))
    return f"{day.year} Q{(day.month - 1) // 3 + 1}"


def quarters(portfolio: Portfolio) -> display.Shown:
    """Machines and money of every quarter."""
    table = growth_plan.quarterly(portfolio)
    if table.empty:
        return display.text("Nothing is bought, rented or paid for.")
    sums = table.groupby("quarter").sum(numeric_only=True).reset_index()
    sums["name"] = [_named(portfolio, quarter) for quarter in sums["quarter"]]
    sums["other"] = sums["rent"] + sums["api"]
    total = {"name": "All", **sums[["bought", "purchase", "running", "other", "residual",
                                    "spend"]].sum()}  # fmt: skip
    frame = pd.concat([sums, pd.DataFrame([total])], ignore_index=True)
    money = {"unit": portfolio.currency, "format": ",.0f"}
    return display.table(
        frame,
        {
            "name": Column("Quarter"), "servers": Column("Servers", "", ",.0f"),
            "bought": Column("Of them new", "", ",.0f"),
            "rented": Column("Rented accelerators", "", ",.0f"),
            "purchase": Column("Purchases", **money), "running": Column("Running", **money),
            "other": Column("Rent and APIs", **money),
            "residual": Column("Residual value", **money), "spend": Column("Spend", **money),
        },
        "Servers and spend by quarter",
        "Demand of a year is reached in its last quarter, growing evenly from the year before; "
        "purchases come in the quarter in which demand needs them. What else a year costs is "
        "spread evenly, so that the quarters add up to the cost of the plans.",
        total=True,
    )  # fmt: skip


def spend_chart(portfolio: Portfolio) -> display.Shown:
    """Spend by quarter, without the residual value."""
    table = growth_plan.quarterly(portfolio)
    if table.empty:
        return display.text("Nothing is spent.")
    table["other"] = table["rent"] + table["api"]
    kinds = {"purchase": "purchases", "running": "running own servers", "other": "rent and APIs"}
    long = table.melt("quarter", list(kinds), "kind", "cost")
    long = long.groupby(["quarter", "kind"], as_index=False, sort=False)["cost"].sum()
    long = long.assign(kind=long["kind"].map(kinds))
    long["quarter"] = [_named(portfolio, quarter) for quarter in long["quarter"]]
    return display.figure(
        portfolio_charts.spend(long, portfolio.currency), "Spend by quarter, by kind"
    )


def orders(portfolio: Portfolio) -> display.Shown:
    """Purchase orders by quarter, with the day by which each must be placed."""
    table = growth_plan.orders(portfolio)
    if table.empty:
        return display.text("Nothing is bought, so nothing is ordered.")
    servers = portfolio.catalogue.servers
    table["server"] = [servers[name].name for name in table["server_id"]]
    table["quarter"] = [_named(portfolio, quarter) for quarter in table["quarter"]]
    table["day"] = [
        f"at once; here by {row.arrives}" if row.late else f"{row.order_by}"
        for row in table.itertuples()
    ]
    return display.table(
        table,
        {
            "quarter": Column("For"), "server": Column("Server"),
            "number": Column("Number", "", ",.0f"),
            "purchase": Column("Purchase", portfolio.currency, ",.0f"),
            "day": Column("Order by"),
        },
        "Purchase orders",
        "Order by: the long end of the lead time before the quarter begins, where that has not "
        "passed. Purchase: with network, racks, spare parts, installation and contingency.",
    )  # fmt: skip


def budget(portfolio: Portfolio) -> display.Shown:
    """The budgets that are stated, together, against the charges."""
    if not portfolio.chosen:
        return display.text("Nothing is spent, so no budget is needed.")
    table = growth_plan.budgets(portfolio)
    if table.empty:
        whole = in_words(portfolio, portfolio.cost())
        return display.text(
            f"No team states a budget. The line to ask for is {whole} over {years(portfolio)}."
        )
    known = table[table["charge"].notna()]
    over = known[known["charge"] > known["budget"]]
    total, charged = table["budget"].sum(), known["charge"].sum()
    verdict = "within" if charged <= total else "over"
    stating = "states" if len(table) == 1 else "state"
    said = (
        f"{phrases.count(len(table), 'team')} of {len(portfolio.plans):,} {stating} a budget, "
        f"{in_words(portfolio, total)} in all; they are charged "
        f"{in_words(portfolio, charged)}, which is {verdict} it. "
    )
    if len(over):
        names = "; ".join(portfolio.plans[name].team.name for name in over["team"].head(5))
        more = f" and {len(over) - 5} more" if len(over) > 5 else ""
        said += f"Over its own budget: {names}{more}. "
    rest = portfolio.cost() - charged
    said += f"The other teams' charges, {in_words(portfolio, rest)}, have no budget line yet."
    return display.text(display.escape(said))
