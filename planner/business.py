"""The part of a sizing report that procurement signs: bill, cost by year, what would change it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from planner import charts, concurrency, display, finance, money, phrases, words
from planner.display import Column
from planner.plan import Plan
from planner.sections import LINE_WORDS, at_peak
from planner.terms import Terms


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
        ("Server", phrases.several(number, server.name)),
        ("Inside each", f"{phrases.count(server.devices, what)} {device.name}, "
                        f"{server.memory / phrases.GIB:,.0f} GiB of memory"),
        ("Includes", server.includes or "not stated"),
        ("Price of one", f"{phrases.money(option['price'], team.currency)} "
                         f"({quote.date if quote else server.price_date}, "
                         f"{'quote ' + quote.reference if quote else server.price_status})"),
        ("Power", f"{server.power_idle:,.0f} W idle, {server.power_load:,.0f} W loaded, each"),
        ("Rack", f"{phrases.count(server.rack_units * number, 'rack unit')} in all"
                 if server.rack_units else "desktop machine"),
        ("Lead time", f"{server.lead_time_weeks_low:.0f} to "
                      f"{server.lead_time_weeks_high:.0f} weeks"),
        ("Accelerators in use" if server.kind != "cpu" else "Replicas",
         f"{phrases.count(option['replicas'], 'replica')} x tensor parallel {option['tp']:.0f} = "
         f"{option['devices']:.0f} of {number * server.devices:.0f}"
         if server.kind != "cpu" else f"{option['replicas']:.0f}, one on each server"),
        ("Price source", server.source),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["item", "value"])
    return display.table(frame, {"item": "Item", "value": "What"}, "Bill of materials")


def by_year(plan: Plan) -> pd.DataFrame:
    """Cost lines of the recommendation by year: year, item, cost. [currency]"""
    option = plan.chosen
    rows = [
        {"year": year, "item": LINE_WORDS[line], "cost": float(option[f"{line}_{year}"])}
        for line in money.LINES
        for year in range(1, plan.team.growth.years + 1)
    ]
    frame = pd.DataFrame(rows)
    used = frame.groupby("item")["cost"].transform(lambda costs: costs.abs().sum()) > 0
    return frame[used]


def yearly_table(plan: Plan) -> display.Shown:
    """The cost of the recommendation, line by line and year by year."""
    if plan.chosen is None:
        return display.text("No option, no cost.")
    currency = plan.team.currency
    frame = by_year(plan).pivot(index="item", columns="year", values="cost")
    frame = frame.reindex([word for word in LINE_WORDS.values() if word in frame.index])
    frame["total"] = frame.sum(axis=1)
    frame.loc["Total"] = frame.sum()
    frame = frame.rename(columns=str).reset_index()
    columns = {"item": Column("Cost")}
    columns |= {
        str(year): Column(f"Year {year}", currency, ",.0f")
        for year in range(1, plan.team.growth.years + 1)
    }
    columns["total"] = Column("Total", currency, ",.0f")
    rate = 100 * plan.terms("discount_rate")
    return display.table(
        frame, columns, "What is paid in each year",
        f"Net present cost at {rate:.0f} % a year: {phrases.money(plan.chosen['npv'], currency)}. "
        f"Per million tokens served: "
        f"{money.per_million_tokens(plan.chosen['total'], plan.team):,.2f} {currency}.",
        total=True,
    )  # fmt: skip


def yearly_chart(plan: Plan) -> display.Shown:
    """The same, drawn."""
    if plan.chosen is None:
        return display.text("No option, no cost.")
    chart = charts.yearly_costs(by_year(plan), plan.team.currency)
    return display.figure(chart, "What the recommendation costs in each year")


def rival(plan: Plan) -> pd.Series | None:
    """The cheapest API that serves a model good enough, allowed or not; None without one."""
    apis = plan.options[(plan.options["sourcing"] == "api") & (plan.options["limit"] != "quality")]
    return None if apis.empty else apis.sort_values("npv").iloc[0]


def break_even(plan: Plan) -> display.Shown:
    """Owning against the cheapest API: in calls a day, and in months."""
    option, api = plan.chosen, rival(plan)
    if option is None or option["sourcing"] != "own" or api is None:
        return display.text(_no_rival(plan, api))
    calls = break_even_calls(plan)
    served = option["rate"] * option["working"] * 3600 / plan.team.workload.busiest_hour_share
    if calls <= served:
        size = f"from **{calls:,.0f} calls a day** on (planned are "
        size += f"{plan.team.workload.calls_per_day:,.0f}; these servers carry {served:,.0f})"
    elif np.isfinite(calls):
        size = f"**{words.NEVER}**: it would take {calls:,.0f} calls a day, and these servers "
        size += f"carry {served:,.0f} within the limits"
    else:
        size = f"**{words.NEVER}**: a call costs less there than its electricity here"
    month = break_even_month(plan)
    when = f"cross in month {month:.0f}" if np.isfinite(month) else "do not cross within the plan"
    return display.text(
        f"Against {display.escape(api['provider'])}, the cheapest API that serves a model good "
        f"enough ({phrases.money(api['total'], plan.team.currency)} over the plan), owning is "
        f"cheaper {size}. The cumulative costs {when}, with the API's price falling by "
        f"{100 * plan.terms('api_price_decline'):.0f} % a year."
    )


def _no_rival(plan, api):
    if api is None:
        return "No API of the catalogue serves a model good enough, so there is no break-even."
    return (
        f"Nothing is bought, so there is no break-even; the cheapest API, "
        f"{display.escape(api['provider'])}, costs "
        f"{phrases.money(api['total'], plan.team.currency)}."
    )


def break_even_calls(plan: Plan) -> float:
    """Calls per day from which the chosen servers are cheaper than the cheapest API. [call/day]"""
    team, option, api = plan.team, plan.chosen, rival(plan)
    years = team.growth.years
    per_call = api["total"] / money.calls_by_year(team).sum()
    fixed = (option["total"] - sum(option[f"energy_{y}"] for y in range(1, years + 1))) / years
    energy = sum(option[f"energy_{y}"] for y in range(1, years + 1))
    own_per_call = energy / money.calls_by_year(team).sum()
    yearly = finance.break_even(fixed, per_call, own_per_call)
    return float(yearly / team.workload.days_per_year)


def monthly(option: pd.Series, years: int) -> np.ndarray:
    """Cost of every month, purchases at the start of their year, no residual. [currency/month]"""
    running = [
        sum(option[f"{line}_{year}"] for line in money.LINES[1:-1]) for year in range(1, years + 1)
    ]
    return finance.by_month(running, [option[f"capex_{year}"] for year in range(1, years + 1)])


def break_even_month(plan: Plan) -> float:
    """First month in which owning has cost no more than the API; infinite if never. [month]"""
    years = plan.team.growth.years
    own, api = monthly(plan.chosen, years), monthly(rival(plan), years)
    return float(finance.break_even_month(own, api).first)


def cumulative_chart(plan: Plan) -> display.Shown:
    """Cumulative cost of the recommendation and its rivals over the months."""
    option = plan.chosen
    if option is None:
        return display.text("No option, no cost.")
    years = plan.team.growth.years
    lines = {"recommended": option}
    for kind in ("own", "rent", "api"):
        others = plan.options[
            (plan.options["sourcing"] == kind)
            & ~plan.options["limit"].isin(["quality", "memory", "kv_cache", "ttft", "tpot"])
            & np.isfinite(plan.options["npv"])
        ]
        if len(others) and kind != option["sourcing"]:
            words_for = {"own": "buy", "rent": "rent", "api": "API"}[kind]
            lines[f"cheapest way to {words_for}" if kind != "api" else "cheapest API"] = (
                others.sort_values("npv").iloc[0]
            )
    paths = pd.concat(
        [
            pd.DataFrame({"month": np.arange(12 * years) + 1, "option": label,
                          "cost": np.cumsum(monthly(line, years))})
            for label, line in lines.items()
        ]
    )  # fmt: skip
    chart = charts.break_even(paths, plan.team.currency)
    return display.figure(chart, "Cumulative cost; the residual value at the end is not shown")


SENSITIVE = {
    "Electricity tariff": ("electricity_tariff_{region}",),
    "PUE": ("pue",),
    "Residual value": ("residual_3y",),
    "Support contract": ("support_rate",),
    "Staff": ("staff_hours_fixed", "staff_hours_per_server"),
    "Contingency": ("contingency_rate",),
    "API price decline": ("api_price_decline",),
    "Rental price decline": ("rental_price_decline",),
}


def sensitivity(plan: Plan) -> pd.DataFrame:
    """
    The recommendation's cost with one thing at a time at the ends of its range.

    Parameters
    ----------
    plan : Plan
        With a chosen option.

    Returns
    -------
    factors : DataFrame
        factor, low, high: the cost at the low and the high end of each. [currency]
    """
    option, team = plan.chosen, plan.team
    row = option.to_frame().T.infer_objects()
    rows = []

    def total(team=team, terms=None, **changed):
        terms = terms or Terms(team, plan.catalogue)
        return _again(row.assign(**changed), team, plan.catalogue, terms)

    for factor, keys in SENSITIVE.items():
        ends = []
        for end in ("low", "high"):
            own = {key.format(region=team.policy.region): None for key in keys}
            own = {key: plan.terms(key, end) for key in own}
            changed = team.model_copy(update={"assumptions": {**team.assumptions, **own}})
            ends.append(total(changed))
        rows.append((factor, *ends))
    if option["sourcing"] != "api":
        rows.append(("Speed of the machine", total(rate=option["rate_high"]),
                     total(rate=option["rate_low"])))  # fmt: skip
        rows.append(_price(plan, total))
    for share, label in ((0.25, "Calls a day, 25 % fewer or more"),):
        ends = []
        for factor in (1 - share, 1 + share):
            load = team.workload.model_copy(
                update={"calls_per_day": team.workload.calls_per_day * factor}
            )
            ends.append(total(team.model_copy(update={"workload": load})))
        rows.append((label, *ends))
    frame = pd.DataFrame(rows, columns=["factor", "low", "high"])
    moved = (frame["high"] - frame["low"]).abs() > 1e-3 * option["total"]
    return frame[moved & np.isfinite(frame["low"]) & np.isfinite(frame["high"])]


def _price(plan, total):
    option, catalogue, team = plan.chosen, plan.catalogue, plan.team
    if option["sourcing"] == "own":
        record = catalogue.servers[option["server_id"]]
        if record.id in team.quotes:
            return ("Price of the server", option["total"], option["total"])
        ends = [
            replace(catalogue, servers={record.id: record.model_copy(update={"price": price})})
            for price in (record.price_low, record.price_high)
        ]
    else:
        ends = [
            replace(catalogue, rentals={
                key: offer.model_copy(update={"price": getattr(offer, end)})
                for key, offer in catalogue.rentals.items()
            }) for end in ("price_low", "price_high")
        ]  # fmt: skip
    row = option.to_frame().T.infer_objects()
    return ("Price", *(_again(row, team, end, Terms(team, plan.catalogue)) for end in ends))


def _again(row, team, catalogue, terms):
    """The cost of one option under changed conditions. [currency]"""
    sourcing = row["sourcing"].iloc[0]
    row = row.drop(columns=[c for c in row if c.split("_")[0] in money.LINES] + ["total", "npv"])
    if sourcing == "own":
        return float(money.owned(row, team, catalogue, terms)["total"].iloc[0])
    if sourcing == "rent":
        return float(money.rented(row, team, catalogue, terms)["total"].iloc[0])
    priced = money.apis(team, catalogue, terms, {})
    return float(priced.set_index("provider")["total"].loc[row["provider"].iloc[0]])


def tornado(plan: Plan) -> display.Shown:
    """What moves the cost most."""
    if plan.chosen is None:
        return display.text("No option, no cost.")
    frame = sensitivity(plan)
    if frame.empty:
        return display.text("Nothing within its range moves the cost by more than 0.1 %.")
    chart = charts.tornado(
        frame, plan.team.currency, base=float(plan.chosen["total"]),
        title=f"{plan.team.growth.years}-year cost",
    )  # fmt: skip
    return display.figure(chart, "What moves the cost most, one thing at a time")


def _overload(option, team, factor):
    """An hour above what is served at all, and how long it takes to work it off afterwards."""
    served = option["rate_peak"] * option["working"]
    usual = team.peak_rate / team.workload.busiest_hour_share / 24
    _, queued, drain = concurrency.backlog(team.peak_rate * factor, served, 3600.0, usual)
    if queued == 0:
        return "too close to saturation for a percentile"
    return f"unstable: {queued:,.0f} calls wait after an hour, gone {drain / 60:,.0f} min later"


def stress(plan: Plan) -> display.Shown:
    """What happens when the load is higher than forecast."""
    option, team = plan.chosen, plan.team
    if option is None or option["sourcing"] == "api":
        return display.text("The provider carries the load; its limits are in its contract.")
    rows = []
    for factor in (0.5, 1.0, 1.25, 1.5, 2.0):
        seen = at_peak(plan, factor)
        stable = bool(seen["stable"])
        kept = seen["ttft_p95"] <= team.slo.ttft_p95 and seen["tpot_p95"] <= team.slo.tpot_p95
        rows.append(
            {
                "load": f"{factor:g} x the last year's peak",
                "rho": 100 * seen["utilisation"],
                "ttft": seen["ttft_p95"] if stable else np.nan,
                "tpot": seen["tpot_p95"] * 1e3 if stable else np.nan,
                "verdict": "within the limits" if stable and kept
                else "misses a limit" if stable else _overload(option, team, factor),
            }
        )  # fmt: skip
    return display.table(
        pd.DataFrame(rows),
        {
            "load": Column("Load"),
            "rho": Column("Utilisation", "%", ".0f"),
            "ttft": Column("First token, 95 %", "s", ".2f"),
            "tpot": Column("Per token, 95 %", "ms", ".0f"),
            "verdict": Column("Verdict"),
        },
        "If the load is not what was forecast, with every spare replica lost",
    )
