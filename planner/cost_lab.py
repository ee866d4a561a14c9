"""What the notebook on cost shows as its dials move: bars, break-even, months, use, the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import cashflow, cost_charts, cost_curves, display, money, phrases, repricing, words
from planner.catalogue import load
from planner.cost_curves import CALLS
from planner.pricing import LINES
from planner.repricing import KINDS, Dialled, Priced
from planner.team_plans import planned
from planner.theme import figure

USE = np.geomspace(1e-3, 1.0, 19)  # of a year [fraction]
OWNING, RENTING = "Buy what is cheapest at each load", "Rent what is cheapest at each load"
GUIDE_APIS = {"gpt4": "GPT-4 API of the guide (list price of {date})",
              "claude": "Claude API of the guide (list price of {date})"}  # fmt: skip
BARRED = "{way} (not allowed)"
NO_WAY = "Nothing in the catalogue serves this team at such a load, so there is nothing to price."
ABOVE = "than {rival} above about **{calls}** calls a day"
BELOW = "than {rival} up to about **{calls}** calls a day"
NEVER = "than {rival} at no load that these machines carry"
ALWAYS = "than {rival} at every load"
BREAK_EVEN = "Owning is cheaper {rivals}. The guide says: above **{claim:g}** calls a day."
NO_OWN = "No server of one's own serves this team, so owning breaks even nowhere."
ANSWER = (
    "**{best} is the cheapest that is allowed: {cost} over {years}** ({low} to {high}), "
    "{each} {currency} per million tokens, for {calls} calls a day of {prompt} prompt and {output} "
    "answer tokens. {others}{more}"
)
OTHER = "{way} costs {cost}"
PEAK = "limits missed at the slow end"


def read(dials: dict) -> tuple[Dialled, str]:
    """The dials that move figures, and the currency shown."""
    asked = Dialled(**{name: dials[name] for name in Dialled._fields if name in dials})
    return asked, dials.get("currency", planned(asked.team).team.currency)


def rate(team: str, currency: str) -> float:
    """What one unit of the team's currency is in the one shown. [currency/currency]"""
    return 1.0 / planned(team).terms.money(1.0, currency)


def name(way: Priced, team: str) -> str:
    """A way to serve in a few words."""
    said = words.short(way.option, planned(team))
    if way.option["sourcing"] == "own":
        said = f"Buy {said}"
    return BARRED.format(way=said) if way.option.get("limit") == "policy" else said


def _dates(way, plan):
    """Where the prices of a way come from, by line."""
    option, records = way.option, plan.catalogue
    staff = records.assumptions[f"staff_rate_{plan.team.policy.region}"]
    tariff = records.assumptions[f"electricity_tariff_{plan.team.policy.region}"]
    said = {"Staff": f"{staff.status}, {staff.source_date}",
            "Electricity": f"{tariff.status}, {tariff.source_date}"}  # fmt: skip
    if option["sourcing"] == "own":
        server = records.servers[option["server_id"]]
        quote = plan.team.quotes.get(server.id)
        priced = f"{server.price_status}, {server.price_date}"
        said["Hardware, less its resale"] = f"quote, {quote.date}" if quote else priced
    elif option["sourcing"] == "rent":
        said["Rent"] = str(money.rental_offers(records)[option["device_id"]].source_date)
    elif option["sourcing"] == "api":
        said["API"] = str(records.api_prices[option["provider"]].source_date)
    return said


def bars(**dials) -> display.Shown:
    """Every way to serve, stacked by what is paid for."""
    asked, currency = read(dials)
    plan, ways = planned(asked.team), repricing.priced(asked)
    scale, parts, sums = rate(asked.team, currency), [], []
    for place, kind in enumerate(kind for kind in KINDS if kind in ways):
        way, dates = ways[kind], _dates(ways[kind], plan)
        label = name(way, asked.team)
        for order, (line, members) in enumerate(cost_charts.GROUPS.items()):
            amount = scale * sum(way.line(member) for member in members)
            if abs(amount) > 0:
                parts.append({"way": label, "place": place, "line": line, "order": order,
                              "cost": amount, "source": dates.get(line, "assumption")})  # fmt: skip
        cost, low, high = (scale * end for end in way.total)
        band = display.band(low, high, figure) if np.isfinite(high) else PEAK
        said = f"{figure(cost)} ({band})" if cost else "0: nobody is served"
        end = high if np.isfinite(high) else cost
        sums.append({"way": label, "place": place, "cost": cost, "low": low, "high": high,
                     "at": end, "words": said})  # fmt: skip
    listed = "; ".join(f"{row['way']}: {row['words']}" for row in sums)
    return display.drawing(
        cost_charts.by_line(currency),
        {"parts": pd.DataFrame(parts, columns=["way", "place", "line", "order", "cost", "source"]),
         "sums": pd.DataFrame(sums)},
        f"What each way costs over {phrases.count(asked.years, 'year')}, line by line",
        f"Stacked bars of cost in {currency}. {listed}.",
    )  # fmt: skip


def break_even(**dials) -> list[display.Shown]:
    """Cost against calls a day, and where owning becomes cheaper."""
    asked, currency = read(dials)
    plan, scale = planned(asked.team), rate(asked.team, currency)
    curves = cost_curves.curves(asked._replace(calls_factor=1.0))
    ways = {"own": OWNING, "rent": RENTING}
    tables = {
        ways.get(kind, f"API {kind}"): part for kind, part in curves.groupby("kind", sort=False)
    }
    for key, words_ in GUIDE_APIS.items():
        label = words_.format(date=load().published[f"{key}:price"].source_date)
        cost = cost_curves.guide_api(key, asked, CALLS)
        tables[label] = pd.DataFrame({"calls": CALLS, "cost": cost, "low": None, "high": None})
    rows = pd.concat([part.assign(way=way, place=place)
                      for place, (way, part) in enumerate(tables.items())])  # fmt: skip
    for column in ("cost", "low", "high"):
        rows[column] = rows[column].astype(float) * scale
    own = tables.get(OWNING)
    crossed, said = _crossed(own, tables, scale)
    claim = next(c for c in load().claims if c.metric == "break_even_calls_per_day").low
    calls = plan.team.workload.calls_per_day
    text = NO_OWN if own is None else BREAK_EVEN.format(rivals="; ".join(said), claim=claim)
    chart = display.drawing(
        cost_charts.against_calls(currency),
        {"curves": rows[["way", "place", "calls", "cost", "low", "high"]],
         "cross": pd.DataFrame(crossed, columns=["calls", "cost", "words", "side"]),
         "marks": pd.DataFrame({"own": [calls], "claim": [claim]})},
        f"Cost over {phrases.count(asked.years, 'year')} at present value against calls a day",
        f"Cost in {currency} against calls a day on logarithmic axes. {text}".replace("**", ""),
        {"calls_factor": asked.calls_factor},
    )  # fmt: skip
    return [chart, display.text(text)]


def _crossed(own, tables, scale):
    """Crossings of owning with each rival, and each rival in words."""
    points, said = [], []
    if own is None:
        return points, said
    cost = own["cost"].to_numpy(float)
    for rival, part in tables.items():
        if rival == OWNING:
            continue
        other = part["cost"].to_numpy(float)
        served = np.isfinite(cost) & np.isfinite(other)
        found = cost_curves.crossings(CALLS, cost, other)
        short = "renting" if rival == RENTING else rival
        ahead = cost[served][-1] < other[served][-1] if served.any() else False
        if not found:
            said.append((ALWAYS if ahead else NEVER).format(rival=short))
            continue
        last = found[-1]  # beyond it the order stays
        calls = figure(float(f"{last:.2g}"))
        said.append((ABOVE if ahead else BELOW).format(rival=short, calls=calls))
        level = float(np.exp(np.interp(np.log(last), np.log(CALLS), np.log(other))))
        points.append((last, scale * level, f"{calls} a day", len(points) % 2))
    return points, said


def months(**dials) -> display.Shown:
    """What has been paid by each month."""
    asked, currency = read(dials)
    plan = repricing.turned(planned(asked.team), asked)
    scale, decline, parts = rate(asked.team, currency), plan.terms("api_price_decline"), []
    for place, (kind, way) in enumerate(repricing.priced(asked).items()):
        if kind == "nothing":
            continue
        lines = {
            f"{line}_{year + 1}": float(way.table[line][0][year]) if line in way.table else 0.0
            for line in LINES
            for year in range(asked.years)
        }
        paid = scale * np.cumsum(cashflow.monthly(pd.Series(lines), asked.years, decline))
        parts.append(pd.DataFrame({"way": name(way, asked.team), "place": place,
                                   "month": np.arange(len(paid)) + 1, "cost": paid}))  # fmt: skip
    if not parts:
        return display.text(NO_WAY)
    ends = "; ".join(f"{part['way'].iloc[0]}: {figure(part['cost'].iloc[-1])}" for part in parts)
    return display.drawing(
        cost_charts.by_month(currency),
        {"months": pd.concat(parts)},
        "Paid so far, month by month; what the servers are worth at the end is not taken off",
        f"Cumulative cost in {currency} over {12 * asked.years} months. At the end {ends}.",
    )


def use(**dials) -> display.Shown:
    """Cost of a million tokens against the use of the machines."""
    asked, currency = read(dials)
    scale, parts, here = rate(asked.team, currency), [], []
    for place, (kind, way) in enumerate(repricing.priced(asked).items()):
        if kind == "nothing":
            continue
        (cost, low, high), now = cost_curves.against_use(way, asked, USE)
        label = name(way, asked.team)
        parts.append(pd.DataFrame({"way": label, "place": place, "use": 100 * USE,
                                   "cost": scale * cost, "low": scale * low,
                                   "high": scale * high}))  # fmt: skip
        if np.isfinite(now):
            at = scale * float(np.exp(np.interp(np.log(now), np.log(USE), np.log(cost))))
            here.append({"way": label, "place": place, "use": 100 * now, "cost": at,
                         "side": 1 - len(here) % 2,
                         "words": f"now {figure(100 * now)} %: {figure(at)}"})  # fmt: skip
    if not parts:
        return display.text(NO_WAY)
    return display.drawing(
        cost_charts.against_use(currency),
        {"curves": pd.concat(parts).replace(np.inf, np.nan),
         "now": pd.DataFrame(here, columns=["way", "place", "use", "cost", "words", "side"])},
        "Cost of a million tokens, prompt and answer together, if the same machines worked more",
        "; ".join(f"{row['way']}, {row['words']} {currency} per million tokens" for row in here)
        or "An API costs the same at any use.",
    )  # fmt: skip


def answer(**dials) -> display.Shown:
    """The question of the notebook, answered."""
    asked, currency = read(dials)
    plan = repricing.turned(planned(asked.team), asked)
    ways, scale = dict(repricing.priced(asked)), rate(asked.team, currency)
    ways.pop("nothing")
    open_ = [way for way in ways.values() if way.option["limit"] != "policy"]
    if not open_:
        return display.text(NO_WAY)
    best = min(open_, key=lambda way: float(way.table["npv"][0]))
    cost, low, high = (scale * end for end in best.total)
    rest = "; ".join(
        OTHER.format(way=name(way, asked.team), cost=phrases.money(scale * way.total[0], currency))
        for way in ways.values()
        if way is not best
    )
    asks = plan.team.workload
    return display.text(
        ANSWER.format(
            best=words.upper(name(best, asked.team)), cost=phrases.money(cost, currency),
            years=phrases.count(asked.years, "year"), low=phrases.money(low, currency),
            high=phrases.money(high, currency) if np.isfinite(high) else PEAK, currency=currency,
            each=figure(scale * money.per_million_tokens(best.total[0], plan.team)),
            calls=f"{asks.calls_per_day:,.0f}", prompt=f"{asks.prompt_tokens:,.0f}",
            output=f"{asks.output_tokens:,.0f}", others=f"{rest}. " if rest else "",
            more="Doing nothing costs nothing here, and serves nobody.",
        )
    )  # fmt: skip
