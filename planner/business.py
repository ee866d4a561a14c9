"""The part of a sizing report that procurement signs: bill, cost by year, what would change it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import cashflow, charts, display, money, phrases, prices, uncertainty
from planner.display import Column
from planner.language import say, term
from planner.plan import Plan
from planner.sections import LINE_WORDS

SOURCE_IN_APPENDIX = "first row of the register in appendix A"
INSIDE = "{devices} {device}, {memory:,.0f} GiB of memory"
PRICED = "{price} ({date}, {status})"
QUOTED = "{price} ({date}, quote {reference})"
POWER = "{idle:,.0f} W idle, {load:,.0f} W loaded, each"
IN_USE = "{replicas} x tensor parallel {tp:.0f} = {used:.0f} of {all:.0f}"
EACH_ITS_OWN = "{number:.0f}, one on each server"
NET_PRESENT = (
    "Net present cost at {rate:.0f} % a year: {npv}. Per million tokens served: {each}."
)  # fmt: skip
CHEAPEST = {
    "own": "cheapest way to buy",
    "rent": "cheapest way to rent",
    "api": "cheapest API",
}
NOTHING_IN_THE_BOOKS = "Nothing is bought, so nothing stands in the books and nothing is leased."
IN_THE_BOOKS = (
    "**In the books**: {first} is written off in the first year, evenly over {life:.0f} years; at "
    "the end of the plan {book} is left, against a market value of {market} that the residual "
    "value assumes."
)
CUMULATIVE = "Cumulative cost, without the residual value"
TORNADO = "What moves the cost most, one thing at a time"
LEASE = (
    "**Leased** at {rate:.1f} % until the end of the plan, with the machines going back to the "
    "lessor, the same servers would cost {lease_total} ({lease_npv} at present value; {payment} "
    "is the first year's instalment) against {buy_total} ({buy_npv}) bought."
)


def bill(plan: Plan) -> display.Shown:
    """Bill of materials of the recommendation."""
    option, team = plan.chosen, plan.team
    if option is None or option["sourcing"] != "own":
        return display.text("Nothing is bought, so there is no bill of materials.")
    server = plan.catalogue.servers[option["server_id"]]
    device = plan.catalogue.devices[server.device]
    quote = team.quotes.get(server.id)
    what = "socket" if server.kind == "cpu" else "accelerator"
    number = option["servers"]
    rows = [
        ("Server", phrases.several(number, term(server.name))),
        ("Inside each", say(INSIDE, devices=phrases.count(server.devices, what),
                            device=device.name, memory=server.memory / phrases.GIB)),
        ("Includes", term(server.includes) or say("not stated")),
        ("Price of one", say(QUOTED if quote else PRICED,
                             price=phrases.money(option["price"], team.currency),
                             date=phrases.day(quote.date if quote else server.price_date),
                             reference=quote.reference if quote else "",
                             status=say(server.price_status))),
        ("Age of the price", prices.of_server(plan, server)),
        ("Power", say(POWER, idle=server.power_idle, load=server.power_load)),
        ("Rack", say("{units} in all", units=phrases.count(server.rack_units * number, "rack unit"))
                 if server.rack_units else say("desktop machine")),
        ("Lead time", say("{low:.0f} to {high:.0f} weeks", low=server.lead_time_weeks_low,
                          high=server.lead_time_weeks_high)),
        ("Accelerators in use" if server.kind != "cpu" else "Replicas",
         say(IN_USE if server.kind != "cpu" else EACH_ITS_OWN, tp=option["tp"],
             replicas=phrases.count(option["replicas"], "replica"), number=option["replicas"],
             used=option["devices"], all=number * server.devices)),
        ("Price source", quote.reference if quote else say(SOURCE_IN_APPENDIX)),
    ]  # fmt: skip
    known = [{"item": say(item), "value": value} for item, value in rows]
    return display.table(known, {"item": "Item", "value": "What"}, "Bill of materials")


def by_year(plan: Plan) -> pd.DataFrame:
    """Cost lines of the recommendation by year: year, item, cost. [currency]"""
    rows = [
        (year, item, cost)
        for item, costs in _lines(plan).items()
        for year, cost in enumerate(costs, 1)
    ]
    return pd.DataFrame(rows, columns=["year", "item", "cost"])


def _lines(plan):
    """The lines that are not zero throughout, in words, with their cost of every year."""
    years = range(1, plan.team.growth.years + 1)
    lines = {
        LINE_WORDS[line]: [float(plan.chosen[f"{line}_{year}"]) for year in years]
        for line in money.LINES
    }
    return {item: costs for item, costs in lines.items() if any(costs)}


def yearly_table(plan: Plan) -> display.Shown:
    """The cost of the recommendation, line by line and year by year."""
    if plan.chosen is None:
        return display.text("No option, no cost.")
    currency, lines = phrases.unit(plan.team.currency), _lines(plan)
    lines["Total"] = [sum(costs) for costs in zip(*lines.values(), strict=True)]
    rows = [
        {"item": say(item), **{str(year): cost for year, cost in enumerate(costs, 1)},
         "total": sum(costs)}
        for item, costs in lines.items()
    ]  # fmt: skip
    columns = {"item": Column("Cost")}
    columns |= {
        str(year): Column(say("Year {year}", year=year), currency, ",.0f")
        for year in range(1, plan.team.growth.years + 1)
    }
    columns["total"] = Column("Total", currency, ",.0f")
    rate = 100 * plan.terms("discount_rate")
    return display.table(
        rows, columns, "What is paid in each year",
        say(NET_PRESENT, rate=rate, npv=phrases.money(plan.chosen["npv"], plan.team.currency),
            each=f"{money.per_million_tokens(plan.chosen['total'], plan.team):,.2f} {currency}"),
        total=True,
    )  # fmt: skip


def books(plan: Plan) -> display.Shown:
    """Servers in the books, and leased instead of bought."""
    option = plan.chosen
    if option is None or option["sourcing"] != "own":
        return display.text(NOTHING_IN_THE_BOOKS)
    ledger = cashflow.book_values(option, plan)
    costs = cashflow.lease_or_buy(option, plan)
    currency, last = plan.team.currency, ledger.iloc[-1]
    amounts = {name: phrases.money(value, currency) for name, value in costs.items()}
    if option["contract"] == "lease":  # what is leased stands in the lessor's books
        return display.text(say(LEASE, rate=100 * plan.terms("lease_rate"), **amounts))
    return display.text(
        say(
            IN_THE_BOOKS,
            first=phrases.money(ledger["depreciation"].iloc[0], currency),
            life=plan.terms("book_life"),
            book=phrases.money(last["book_value"], currency),
            market=phrases.money(last["market_value"], currency),
        )
        + say(" ")
        + say(LEASE, rate=100 * plan.terms("lease_rate"), **amounts)
    )


def monthly(option: pd.Series, years: int) -> np.ndarray:
    """Cost of every month, purchases at the start of their year, no residual. [currency/month]"""
    return cashflow.monthly(option, years)


def cumulative_chart(plan: Plan) -> display.Shown:
    """Cumulative cost of the recommendation and its rivals over the months."""
    option = plan.chosen
    if option is None:
        return display.text("No option, no cost.")
    years, decline = plan.team.growth.years, plan.terms("api_price_decline")
    lines, options = {"recommended": option}, plan.options
    usable = ~options["limit"].isin(["quality", "memory", "kv_cache", "ttft", "tpot"])
    usable &= np.isfinite(options["npv"])
    for kind in ("own", "rent", "api"):
        others = options["npv"][usable & (options["sourcing"] == kind)]
        if len(others) and kind != option["sourcing"]:
            lines[CHEAPEST[kind]] = options.loc[others.idxmin()]
    paths = {
        label: np.cumsum(cashflow.monthly(line, years, decline)) for label, line in lines.items()
    }
    return display.figure(charts.cumulative(paths, plan.team.currency), CUMULATIVE, half=True)


def sensitivity(plan: Plan) -> pd.DataFrame:
    """The recommendation's cost with one thing at a time at the ends of its range. [currency]"""
    return uncertainty.sensitivity(plan)


def tornado(plan: Plan) -> display.Shown:
    """What moves the cost most."""
    if plan.chosen is None:
        return display.text("No option, no cost.")
    frame = sensitivity(plan)
    if frame.empty:
        return display.text("Nothing within its range moves the cost by more than 0.1 %.")
    chart = charts.tornado(
        frame, plan.team.currency, base=float(plan.chosen["total"]),
        title=say("{years}-year cost", years=plan.team.growth.years),
    )  # fmt: skip
    return display.figure(chart, TORNADO, half=True)
