"""Tables of the notebook on cost: prices and their dates, the guide's sums, models, scenarios."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import (
    api_claims,
    display,
    money,
    phrases,
    pricing,
    ranges,
    repricing,
    uncertainty,
    words,
)
from planner import plan as planning
from planner import team as teams
from planner.catalogue import convert, load
from planner.claim_money import LEFT_OUT, MONTHS, owned
from planner.claim_money import TEAM as DEVELOPER
from planner.cost_charts import GROUPS
from planner.cost_lab import GUIDE_APIS, rate, read
from planner.display import Column
from planner.load_tables import SOON
from planner.plan import Plan
from planner.repricing import Dialled
from planner.team import Candidates
from planner.team_plans import advised, planned, recommended

HUNDRED_THOUSAND, YEARLY = 100_000, 100 * 365  # calls of the guide's two sums
APIS = 6  # of today beside the guide's two
BLANK = "\u2003"
ASSUMED = {
    "pue": "PUE: all power over that of the servers",
    "staff_hours_per_server": "Staff for each server", "staff_hours_fixed": "Staff for the service",
    "economic_life": "A server is used for", "discount_rate": "Discount rate",
    "residual_3y": "Value of a server after 3 years, share of its price",
    "api_price_decline": "API prices fall by, share of the price",
    "rental_price_decline": "Rents fall by, share of the price",
}  # fmt: skip


def prices(**dials) -> display.Shown:
    """What the dials mean: each figure as planned, its range and date, and as dialled."""
    asked, _ = read(dials)
    plan = planned(asked.team)
    now = repricing.turned(plan, asked)
    load_, asks, ways = plan.team.workload, now.team.workload, repricing.priced(asked)
    file = f"team file {asked.team}"
    rows = [
        ("Calls a day", load_.calls_per_day, "", "", asks.calls_per_day, "call/day", file),
        ("Prompt", load_.prompt_tokens, "", "", asks.prompt_tokens, "token", file),
        ("Answer", load_.output_tokens, "", "", asks.output_tokens, "token", file),
    ]
    records, currency = plan.catalogue, plan.team.currency
    if "own" in ways:
        option = ways["own"].option
        server = records.servers[option["server_id"]]
        quote = plan.team.quotes.get(server.id)
        ends = [plan.terms.money(x, server.currency)
                for x in (server.price, server.price_low, server.price_high)]  # fmt: skip
        if quote:
            ends = 3 * [plan.terms.money(quote.price, quote.currency)]
        said = f"quote, {quote.date}" if quote else f"{server.price_status}, {server.price_date}"
        rows.append((f"Server: {server.name}", *ends, ends[0] * asked.price_factor, currency, said))
    if "rent" in ways:
        option = ways["rent"].option
        offer = money.rental_offers(records)[option["device_id"]]
        ends = [plan.terms.money(x, offer.currency)
                for x in (offer.price, offer.price_low, offer.price_high)]  # fmt: skip
        what = f"Rent, on demand: {records.devices[option['device_id']].name}"
        rows.append((what, *ends, ends[0] * asked.rent_factor, f"{currency}/h", offer.source_date))
    if "api" in ways:
        offer = records.api_prices[ways["api"].option["provider"]]
        for what, price in (("prompt", offer.input), ("answer", offer.output)):
            each = 1e6 * plan.terms.money(price, offer.currency)
            rows.append((f"API {offer.id}: {what}", each, "", "", each * asked.api_factor,
                         f"{currency}/million tokens", offer.source_date))  # fmt: skip
    tariff = f"electricity_tariff_{plan.team.policy.region}"
    for key, what in {tariff: "Electricity", **ASSUMED}.items():
        record = records.assumptions[key]
        own = key in plan.team.assumptions
        low, high = ("", "") if own else (plan.terms(key, "low"), plan.terms(key, "high"))
        unit = {"1": BLANK}.get(record.unit, record.unit)
        unit = f"{currency}/kWh" if key == tariff else unit
        date = file if own else f"{record.status}, {record.source_date}"
        rows.append((what, plan.terms(key), low, high, now.terms(key), unit, date))
    names = ["what", "planned", "low", "high", "now", "unit", "date"]
    table = pd.DataFrame(rows, columns=names)
    table["changed"] = ~np.isclose(table["now"].astype(float), table["planned"].astype(float))
    table["range"] = [display.band(row.low, row.high) or BLANK for row in table.itertuples()]
    columns = {
        "what": Column("Figure"), "now": Column("With the dials", align="right"),
        "planned": Column("As planned", align="right"), "range": Column("Range", align="right"),
        "unit": Column("Unit"), "date": Column("Standing and date"),
    }  # fmt: skip
    return display.table(
        table, columns, "What is reckoned with, and of which date the prices are",
        "Bold: moved by a dial.", strong="changed",
    )  # fmt: skip


def guide_machines(
    years: int, price_factor: float, tariff_factor: float, staff_factor: float, pue: float,
    economic_life: int, discount_rate: float, currency: str,
) -> display.Shown:  # fmt: skip
    """The guide's three machines: its sums beside all that owning them costs."""
    asked = Dialled(
        DEVELOPER, years=years, price_factor=price_factor, tariff_factor=tariff_factor, pue=pue,
        staff_factor=staff_factor, economic_life=economic_life, discount_rate=discount_rate,
    )  # fmt: skip
    plan = repricing.turned(_developer(), asked)
    scale = 1.0 / plan.terms.money(1.0, currency)
    claims, rows = {(c.model_id, c.metric): c for c in plan.catalogue.claims}, []
    for claim in (c for c in plan.catalogue.claims if c.metric == "price" and c.server):
        server = plan.catalogue.servers[claim.server]
        table, _ = owned(server, claim.model_id, plan.team, plan.terms, price_factor)
        total = table["total"]
        months = 12 * years
        memory = plan.terms("memory_price") * server.memory / 1e9
        rows.append({
            "machine": server.name.removesuffix(" (guide)"),
            "model": plan.catalogue.models[claim.model_id].name,
            "price": scale * claim.low, "month": scale * claim.low / MONTHS,
            "claimed": scale * claims[claim.model_id, "monthly_cost"].low,
            **{line: scale * sum(table[m][0].sum() for m in members if m in table) / months
               for line, members in GROUPS.items()},
            "all": scale * total[0] / months, "low": scale * total[1] / months,
            "high": scale * total[2] / months, "memory": scale * memory,
        })  # fmt: skip
    unit = f"{currency}/month"
    lines = [line for line in GROUPS if any(row[line] for row in rows)]
    return display.table(
        pd.DataFrame(rows),
        {
            "machine": Column("Machine of the guide"),
            "model": Column("For"),
            "price": Column("Its price", currency, ",.0f"),
            "claimed": Column("Its monthly cost", unit, ",.0f"),
            "month": Column(f"Price over {MONTHS} months", unit, ",.0f"),
            **{line: Column(line, unit, ",.0f") for line in lines},
            "all": Column("All in all", unit, ",.0f", low="low", high="high"),
            "memory": Column("New memory alone today", currency, ",.0f"),
        },
        "The guide's hardware table, and what the same machines cost all in all",
        f"The guide leaves out {LEFT_OUT}. Its prices are of {server.price_date}; today's price of "
        f"memory is of {plan.catalogue.assumptions['memory_price'].source_date}.",
    )


@lru_cache(maxsize=1)
def _developer():
    """The guide's developer with terms, but no simulation: its options are not asked for."""
    return planning.plan(teams.read(DEVELOPER, load()), load(), simulate=False)


def apis(
    team: str, prompt_factor: float, output_factor: float, api_factor: float, currency: str
) -> display.Shown:
    """The guide's sums for two APIs beside what calls cost at dated prices."""
    plan = planned(team)
    asked = repricing.lengths(plan.team.workload, prompt_factor, output_factor)
    scale, records, rows = rate(team, currency), plan.catalogue, []
    sums = api_claims.tokens_per_call(records).set_index("api")
    for key, label in GUIDE_APIS.items():
        price, claimed = records.published[f"{key}:price"], sums.loc[key]
        prompt, answer = (scale * plan.terms.money(1e3 * x, "USD") for x in (price.low, price.high))
        guide = scale * plan.terms.money(1.0, "USD")
        rows.append({
            "api": label.split(" (")[0], "date": _unbroken(price.source_date), "prompt": prompt,
            "answer": answer, "claim_many": guide * claimed["per_100k_calls"],
            "claim_year": guide * claimed["per_year"],
            "tokens": f"{claimed['tokens_100k']:,.0f} or {claimed['tokens_year']:,.0f}",
        })  # fmt: skip
    guide = ranges.guide_models()
    offers = [offer for offer in records.api_prices.values() if offer.model_id in guide]
    best, chosen = uncertainty.best_of(plan, "api"), {}
    if best is not None:
        chosen[best["model_id"]] = records.api_prices[best["provider"]]
    for offer in sorted(offers, key=_each(asked, records)):
        chosen.setdefault(offer.model_id, offer)
    for offer in list(chosen.values())[:APIS]:
        prompt, answer, _ = pricing.api_prices(offer, asked)
        rows.append({
            "api": offer.id, "date": _unbroken(offer.source_date), "tokens": BLANK,
            **{n: 1e6 * scale * api_factor * plan.terms.money(x, offer.currency)
               for n, x in (("prompt", prompt), ("answer", answer))},
        })  # fmt: skip
    table = pd.DataFrame(rows)
    each = 1e-6 * (asked.prompt_tokens * table["prompt"] + asked.output_tokens * table["answer"])
    table = table.assign(many=HUNDRED_THOUSAND * each, year=YEARLY * each)
    return display.table(
        table,
        {
            "api": Column("API"), "date": Column("Price of"),
            "prompt": Column("Prompt", f"{currency}/Mtoken", ",.3g"),
            "answer": Column("Answer", f"{currency}/Mtoken", ",.3g"),
            "many": Column("100,000 calls", currency, ",.0f"),
            "claim_many": Column("the guide says", currency, ",.0f"),
            "year": Column("100 calls a day, a year", currency, ",.0f"),
            "claim_year": Column("the guide says", currency, ",.0f"),
            "tokens": Column("which means a call of", "token", align="right"),
        },
        "The guide's sums for APIs, and what the same number of calls costs at dated prices",
        f"For calls of {asked.prompt_tokens:,.0f} prompt and {asked.output_tokens:,.0f} answer "
        "tokens, nothing cached. The guide states no length; its two sums for one API mean calls "
        "of different lengths, so both cannot be true.",
    )  # fmt: skip


def _unbroken(when):
    return str(when).replace("-", "\u2011")


def _each(asked, records):
    """What one call costs at an offer, in one currency."""

    def price(offer):
        each = offer.input * asked.prompt_tokens + offer.output * asked.output_tokens
        return convert(each, offer.currency, "USD", records)

    return price


@lru_cache(maxsize=8)
def cheapest(team: str) -> pd.DataFrame:
    """
    The cheapest machine of one's own for each model of the guide, by the closed forms.

    Parameters
    ----------
    team : str
        Whose lengths, limits and policy hold; its quality floor does not.

    Returns
    -------
    table : DataFrame
        model; for one user (one_) and for the team (all_): machine, or why there is none; total,
        low, high. [currency]
    """
    plan = planned(team)
    asked = plan.team.workload
    one = asked.model_copy(update={"users": 1, "calls_per_day": asked.calls_per_day / asked.users})
    rows = {model: {"model": plan.catalogue.models[model].name} for model in ranges.guide_models()}
    for prefix, workload in (("one", one), ("all", asked)):
        candidates = Candidates(
            models=ranges.guide_models(), server_kinds=plan.team.candidates.server_kinds,
            servers=plan.team.candidates.servers,
        )  # fmt: skip
        changes = {"workload": workload, "quality": None, "candidates": candidates}
        made = planning.plan(
            plan.team.model_copy(update=changes), plan.catalogue, plan.made, simulate=False
        )
        owned = made.options[made.options["sourcing"] == "own"]
        reasons = made.refused.dropna(subset=["model_id"]).set_index("model_id")["reason"]
        for model, row in rows.items():
            part = owned[owned["model_id"] == model]
            if part.empty:
                row[f"{prefix}_machine"] = reasons.get(model, "no format runs on a machine allowed")
                continue
            option = part.iloc[0]
            good = option["limit"] == "none"
            said = f"none: {words.why(option, made)}"
            if good:
                machine = words.short(option, made).split(": ")[0]
                said = f"{machine}, {option['weight_format']}"
            row[f"{prefix}_machine"] = said
            if good:
                row |= {f"{prefix}_total": option["total"], f"{prefix}_low": option["total_low"],
                        f"{prefix}_high": option["total_high"]}  # fmt: skip
    ends = [f"{prefix}_{end}" for prefix in ("one", "all") for end in ("total", "low", "high")]
    table = pd.DataFrame(rows.values())
    return table.reindex(columns=[*table.columns, *(n for n in ends if n not in table)])


def models(team: str, currency: str) -> display.Shown:
    """Each of the guide's ten models on the cheapest machine that serves it."""
    table, scale = cheapest(team).replace(np.inf, np.nan), rate(team, currency)
    return display.table(
        table,
        {
            "model": Column("Model of the guide"),
            "one_machine": Column("Cheapest machine for one user"),
            "one_total": Column("Cost", f"k {currency}", ",.1f", scale=scale * 1e-3,
                                low="one_low", high="one_high"),
            "all_machine": Column("Cheapest machine for the team"),
            "all_total": Column("Cost", f"k {currency}", ",.1f", scale=scale * 1e-3,
                                low="all_low", high="all_high"),
        },
        f"The ten models of the guide on machines of one's own, over "
        f"{phrases.count(planned(team).team.growth.years, 'year')}",
        "With the lengths and limits of the team, whatever the model scores; by the closed forms, "
        "as planned, not with the dials. No range: at the slow end a limit is missed.",
    )  # fmt: skip


def scenarios(plans: tuple[Plan, ...] | None) -> display.Shown:
    """The guide's four scenarios: its purchase, what it costs all in all, what is needed."""
    if plans is None:
        return display.text(SOON)
    rows, currency = [], plans[0].team.currency
    for plan in plans:
        option = recommended(plan.team.slug)
        guide = advised(plan)
        server = plan.catalogue.servers[guide["server_id"]]
        total = owned(server, guide["model_id"], plan.team, plan.terms)[0]["total"]
        api = uncertainty.best_of(plan, "api")
        said = words.why(guide, plan) if guide["limit"] != "none" else "meets every limit"
        rows.append({
            "scenario": plan.team.name, "who": words.name(guide.fillna({"servers": 1.0}), plan),
            "price": server.price, "total": total[0], "low": total[1],
            "high": total[2], "holds": said, "ours": False, "api": np.nan,
        })  # fmt: skip
        row = {"scenario": BLANK, "ours": True, "holds": "meets every limit",
               "api": np.nan if api is None else api["total"]}  # fmt: skip
        if option is None:
            rows.append(row | {"who": "nothing in the catalogue", "holds": words.headline(plan)})
            continue
        amounts = {"price": "price", "total": "total", "low": "total_low", "high": "total_high"}
        row |= {key: option[field] for key, field in amounts.items()}
        rows.append(row | {"who": words.name(option, plan)})
    return display.table(
        pd.DataFrame(rows).replace(np.inf, np.nan),
        {
            "scenario": Column("Scenario of the guide"),
            "who": Column("Machine and model"),
            "price": Column("Price of one", currency, ",.0f"),
            "total": Column("Cost of three years", currency, ",.0f", low="low", high="high"),
            "api": Column("The same calls at an API", currency, ",.0f"),
            "holds": Column("Within the team's limits"),
        },
        "The four scenarios of the guide: its purchase, and (bold) what is recommended instead",
        "As planned, not with the dials. The API is the cheapest of a model that scores enough; "
        "the scenarios allow only machines of one's own.",
        strong="ours",
    )
