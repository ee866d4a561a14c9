"""The part of a sizing report that says how sure its money is, and what would change the answer."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from planner import api_claims, cashflow, display, phrases, switching, words
from planner.display import Column
from planner.language import say
from planner.plan import Plan
from planner.remembered import remembered
from planner.uncertainty import WORST, Outcome, best_of

# Every text is a whole sentence with named fields, so that it can be looked up for translation.
PERCENTILES = (
    "The recommendation is planned at **{planned}**. In {draws:,} draws it costs **{p50}** in the "
    "middle (P50), less than {p10} in one of ten (P10) and more than {p90} in one of ten (P90)."
)
NO_P90 = (
    "The recommendation is planned at **{planned}**. In {draws:,} draws it costs **{p50}** in the "
    "middle (P50) and less than {p10} in one of ten (P10); more than one in ten fails, so that P90 "
    "has no figure."
)
ABOVE = (
    "P50 lies above the planned figure because most ranges reach further up than down; the planned "
    "figure takes the middle of each."
)
BELOW = "P50 lies below the planned figure because most ranges reach further down than up."
SERVERS = "It needs {low:.0f} to {high:.0f} servers in the last year (P10 to P90)."
FAILS = (
    "In {share:.0f} % of the draws it is so much slower or the load so much higher that it cannot "
    "hold the limits within the {most:,} servers of the policy; a test before the purchase decides."
)
FAILED = "fails"
ODDS = "It is cheaper than {rival} in {share:.0f} % of the draws."
ODDS_OWN = "Owning ({own}) is cheaper than {rival} in {share:.0f} % of the draws."
BARRED = "{rival} (not allowed)"
REGRET_SAME = "No allowed option has a smaller regret, neither on average nor at the bad end."
REGRET_MEAN = (
    "**{option}** has the least regret on average: {least} against {chosen} for the recommendation."
)
REGRET_WORST = (
    "At the bad end **{option}** has the least regret: {least} against {chosen} for the "
    "recommendation."
)
REGRET_BOTH = (
    "**{option}** has the least regret, on average ({least} against {chosen} for the "
    "recommendation) and at the bad end ({worst} against {chosen_worst})."
)
TABLE_NOTE = (
    "Sum over {years:.0f} years. Cheapest: share of the draws in which nothing else that is "
    "allowed costs less. Regret: what an option costs more, at present value, than the best "
    "allowed one of the same draw; at the bad end, its {worst} % percentile. Appendix D "
    "says what is drawn."
)
DRAWN = (
    "The same draws of demand, growth, speed, prices, tariff, staff, residual value and price "
    "declines hold for every option. A range of the register is triangular on either side of the "
    "planned figure; a band of speed holds 90 % of the errors measured and is lognormal. Servers "
    "are bought as load and speed turn out to need; where an option cannot hold the limits, its "
    "planned cost is paid in vain and counts as regret."
)
NO_OPTION = "No option, no cost."

FIGURES = {
    "calls": "{value:,.0f} calls a day (planned: {planned:,.0f})",
    "growth": "a growth of {value:.0f} % a year (planned: {planned:.0f} %)",
    "price": "a price of {value:,.0f} {currency} for a server (planned: {planned:,.0f})",
    "rent": "{value:,.2f} {currency} for an hour of an accelerator (planned: {planned:,.2f})",
    "tariff": "a tariff of {value:.2f} {currency}/kWh (planned: {planned:.2f})",
    "api_price_decline": "an API price falling by {value:.0f} % a year (planned: {planned:.0f} %)",
    "rental_price_decline": "rents falling by {value:.0f} % a year (planned: {planned:.0f} %)",
    "api_price": "{value:,.3g} times today's API price",
}
PERCENT = ("growth", "api_price_decline", "rental_price_decline")
SIDE = {True: "below {figure}", False: "above {figure}"}
WINS = {
    True: "**{rival}** wins {sides}.",
    False: "**{rival}** is cheaper as planned, and loses only {sides}.",
}
NO_SWITCH = (
    "No single figure changes which is cheaper, within a thousandth and a hundred times the calls, "
    "a twentieth and twenty times the prices, and any fall of prices."
)
MOST_SWITCHES = 6
SMALL = 0.005  # of the planned cost: a smaller difference of regret is none

ANY_LOAD = "at any load"
CALLS = "{calls:,.0f}"
CALLS_UNTIL = "{calls:,.0f} to {until:,.0f}"
NO_CROSSING = "never"
RESIDUAL_ONLY = "only by the residual value"
ONE_CROSSING = "month {first:.0f}"
TWO_CROSSINGS = "month {first:.0f}; behind again in month {second:.0f}"
MORE_CROSSINGS = "{count:.0f} times, first in month {first:.0f}"
BREAK_EVEN = "Owning ({own}) against renting and paying per token"
BREAK_EVEN_NOTE = (
    "At present value; {planned:,.0f} calls a day are planned for the first year. Each load gets "
    "the machines that it needs; no answer is valid beyond what the machines of this plan carry. "
    "Months compare payments without the residual value. API prices fall by {decline:.0f} % a year."
)
NO_OWN = "No server of one's own meets the requirement, so there is no break-even."
NO_RIVAL = "Nothing can be rented or paid per token instead, so there is no break-even."
CONTRADICTION = (
    "The published sums for API {api} contradict each other: at its price, the cost of 100,000 "
    "calls means {tokens_100k:,.0f} tokens a call and the cost of a year means "
    "{tokens_year:,.0f}, so that the threshold drawn from them is not used."
)


def uncertain(plan: Plan, outcome: Outcome, rows: int = 5) -> display.Shown:
    """Percentiles, odds and regret of the top options."""
    if outcome.options.empty:
        return display.text(NO_OPTION)
    frame = pd.concat([outcome.options, outcome.table], axis=1).head(rows)
    chosen = None if plan.chosen is None else plan.chosen.name
    frame = frame.assign(
        option=[words.short(option, plan) for _, option in frame.iterrows()],
        chosen=[label == chosen for label in frame.index],
        barred=(frame["limit"] != "none").to_numpy(),
    )
    unit = phrases.thousands(plan.team.currency)["unit"]
    money = {"unit": unit, "format": _thousands, "align": "right"}
    columns = {"option": Column("Option"), "total": Column("Planned", **money)}
    columns |= {f"p{percent}": Column(f"P{percent}", **money) for percent in (10, 50, 90)}
    columns |= {
        "cheapest": Column("Cheapest", "%", ".0f", scale=100),
        "regret": Column("Regret", **money),
        "regret_worst": Column("Regret, bad end", **money),
    }
    note = say(TABLE_NOTE, years=plan.team.growth.years, worst=WORST)
    title = "Cost under uncertainty"
    return display.table(frame, columns, title, note, strong="chosen", muted="barred")


def drawn() -> display.Shown:
    """How the draws are made."""
    return display.text(say(DRAWN))


def _thousands(amount):
    written = phrases.thousands("")
    known = np.isfinite(amount)
    return f"{amount * written['scale']:{written['format']}}" if known else say(FAILED)


def sure(plan: Plan, outcome: Outcome) -> display.Shown:
    """The same in sentences: percentiles, odds against renting and APIs, least regret."""
    if plan.chosen is None:
        return display.text(NO_OPTION)
    return display.text(say(" ").join([*_spread(plan, outcome), *_odds(plan, outcome),
                                  *_regret(plan, outcome)]))  # fmt: skip


def _spread(plan, outcome):
    currency, option = plan.team.currency, plan.chosen
    row = outcome.table.loc[option.name]
    amounts = {name: phrases.money(row[name], currency) for name in ("p10", "p50", "p90")}
    known = np.isfinite(row["p90"])
    yield say(
        PERCENTILES if known else NO_P90,
        planned=phrases.money(option["total"], currency),
        draws=outcome.total.shape[1],
        **amounts,
    )
    if row["fails"] >= 0.005:
        yield say(FAILS, share=100 * row["fails"], most=plan.team.policy.most_servers)
    if abs(row["p50"] - option["total"]) > 0.02 * option["total"]:
        yield say(ABOVE if row["p50"] > option["total"] else BELOW)
    if known and row["servers_p90"] > row["servers_p10"]:
        yield say(SERVERS, low=row["servers_p10"], high=row["servers_p90"])


def _odds(plan, outcome):
    own = best_of(plan, "own")
    for sourcing in ("rent", "api"):
        rival = best_of(plan, sourcing)
        if own is None or rival is None or not {own.name, rival.name} <= set(outcome.options.index):
            continue
        template = ODDS if own.name == plan.chosen.name else ODDS_OWN
        share = 100 * outcome.cheaper(own.name, rival.name)
        yield say(template, own=_named(own, plan), rival=_rival(rival, plan), share=share)


def _regret(plan, outcome):
    chosen, table, currency = plan.chosen.name, outcome.table, plan.team.currency
    least = {}
    for column in ("regret", "regret_worst"):
        label = outcome.least_regret(column)
        gain = table.loc[chosen, column] - table.loc[label, column]
        least[column] = chosen if gain <= SMALL * plan.chosen["total"] else label
    mean, worst = least.values()

    def named(label, column):
        amounts = {"least": table.loc[label, column], "chosen": table.loc[chosen, column]}
        amounts = {name: phrases.money(value, currency) for name, value in amounts.items()}
        return {"option": _named(outcome.options.loc[label], plan, words.brief), **amounts}

    if {mean, worst} == {chosen}:
        yield say(REGRET_SAME)
    elif mean == worst:
        bad = named(worst, "regret_worst")
        yield say(
            REGRET_BOTH, **named(mean, "regret"), worst=bad["least"], chosen_worst=bad["chosen"]
        )
    else:
        if mean != chosen:
            yield say(REGRET_MEAN, **named(mean, "regret"))
        if worst != chosen:
            yield say(REGRET_WORST, **named(worst, "regret_worst"))


def _named(option, plan, write=words.short):
    return display.escape(write(option, plan))


def _rival(option, plan, write=_named):
    """An option as a rival, with a word where the policy does not allow it."""
    name = write(option, plan)
    return say(BARRED, rival=name) if option["limit"] == "policy" else name


def switches(plan: Plan) -> display.Shown:
    """Values at which something else becomes cheaper, in words."""
    if plan.chosen is None:
        return display.text(NO_OPTION)
    lines = turning(plan)
    return display.text("\n".join(f"- {line}" for line in lines) or say(NO_SWITCH))


def turning(plan: Plan, most: int = MOST_SWITCHES) -> list[str]:
    """The figures that must change least to make something else cheaper, a sentence a rival."""
    found = switching.switches(plan).to_dict("records")
    lines = {}
    for row in sorted(found, key=_far)[:most]:  # what must change least is the likeliest to do so
        scale = 100 if row["knob"] in PERCENT else 1
        figure = say(
            FIGURES[row["knob"]],
            value=scale * row["value"],
            planned=scale * row["planned"],
            currency=phrases.unit(plan.team.currency),
        )
        sides = lines.setdefault((row["rival"], row["now"]), [])
        sides.append(say(SIDE[row["below"]], figure=figure))
    return [
        say(WINS[now], rival=_rival(plan.options.loc[rival], plan), sides=say("; ").join(sides))
        for (rival, now), sides in lines.items()
    ]


def _far(row):
    """How far a figure is from turning the order: as a ratio where both are positive."""
    planned, value = row["planned"], row["value"]
    if planned > 0 and value > 0:
        return abs(math.log(value / planned))
    return abs(value - planned)


@remembered
def rivals(plan: Plan) -> list[tuple[pd.Series, switching.BreakEven]]:
    """The best server of one's own against the best rented and the best API."""
    own, years = best_of(plan, "own"), plan.team.growth.years
    decline, found = plan.terms("api_price_decline"), []
    for sourcing in ("api", "rent"):
        rival = best_of(plan, sourcing)
        if own is None or rival is None:
            continue
        months = [cashflow.monthly(option, years, decline) for option in (own, rival)]
        found.append((rival, switching.break_even(plan, own, rival, months)))
    return found


def break_even(plan: Plan) -> display.Shown:
    """From which load and month owning is cheaper than renting and than an API, if ever."""
    own, found = best_of(plan, "own"), rivals(plan)
    if own is None or not found:
        return display.text(NO_OWN if own is None else NO_RIVAL)
    load = plan.team.workload
    frame = pd.DataFrame(
        {
            "rival": [_rival(rival, plan, words.short) for rival, _ in found],
            "total": [rival["total"] for rival, _ in found],
            "calls": [_from(result) for _, result in found],
            "tokens": [result.tokens if result.calls > 1 else np.nan for _, result in found],
            "served": [result.served for _, result in found],
            "crossed": [_crossed(result, own["total"] < rival["total"]) for rival, result in found],
        }
    ).replace(np.inf, np.nan)
    note = say(
        BREAK_EVEN_NOTE, planned=load.calls_per_day, decline=100 * plan.terms("api_price_decline")
    )
    if plan.team.policy.claimed_prices:
        sums = api_claims.tokens_per_call(plan.catalogue).head(1).to_dict("records")
        note = say(" ").join([note, *(say(CONTRADICTION, **row) for row in sums)])
    return display.table(
        frame,
        {
            "rival": Column("Against"),
            "total": Column("Its cost", **phrases.thousands(plan.team.currency)),
            "calls": Column("Owning is cheaper from", "call/day", align="right"),
            "tokens": Column("That is", "M token/month", ",.0f", scale=1e-6, align="right"),
            "served": Column("Valid up to", "call/day", ",.0f"),
            "crossed": Column("Owning ahead from"),
        },
        say(BREAK_EVEN, own=words.short(own, plan)),
        note,
    )


def _from(result):
    if result.never:
        return say(words.NEVER)
    if np.isfinite(result.until):
        return say(CALLS_UNTIL, calls=result.calls, until=result.until)
    return say(ANY_LOAD) if result.calls <= 1 else say(CALLS, calls=result.calls)


def _crossed(result, cheaper):
    months = [month for month, _ in result.months]
    if not months:
        return say(RESIDUAL_ONLY if cheaper else NO_CROSSING)
    template = {1: ONE_CROSSING, 2: TWO_CROSSINGS}.get(len(months), MORE_CROSSINGS)
    return say(template, first=months[0], second=months[-1], count=len(months))


def figures(plan: Plan, outcome: Outcome) -> dict:
    """
    What `evidence.summary` says of all this, for programs; None stands for never and for infinite.

    Parameters
    ----------
    plan : Plan
        With or without a chosen option.
    outcome : Outcome
        Its draws.

    Returns
    -------
    figures : dict
        uncertainty: draws, p10, p50, p90 of the recommendation [currency], servers_p10,
        servers_p90, fails, own_cheaper_than_rent, own_cheaper_than_api [fraction], least_regret,
        least_worst_regret (options in words), options (the table); break_even: by rent and api,
        with calls_per_day, tokens_per_month, valid_up_to_calls_per_day, never_at_this_size and
        months (month, owning_ahead); switch_values: figure, planned, value, below, rival.
    """
    option, own = plan.chosen, best_of(plan, "own")
    table = outcome.table

    def plain(value):
        return float(value) if np.isfinite(value) else None

    uncertainty = {"draws": int(outcome.total.shape[1])}
    if option is not None:
        row = table.loc[option.name]
        names = ("p10", "p50", "p90", "servers_p10", "servers_p90", "fails")
        uncertainty |= {name: plain(row[name]) for name in names}
    for sourcing in ("rent", "api"):
        rival = best_of(plan, sourcing)
        known = own is not None and rival is not None
        known = known and {own.name, rival.name} <= set(outcome.options.index)
        odds = outcome.cheaper(own.name, rival.name) if known else None
        uncertainty[f"own_cheaper_than_{sourcing}"] = odds
    for name, column in (("least_regret", "regret"), ("least_worst_regret", "regret_worst")):
        label = outcome.least_regret(column)
        known = label is not None
        uncertainty[name] = words.brief(outcome.options.loc[label], plan) if known else None
    columns = ["p10", "p50", "p90", "mean", "fails", "cheapest", "regret", "regret_worst"]
    uncertainty["options"] = [
        {"option": words.brief(one, plan), **dict(zip(columns, map(plain, row), strict=True))}
        for one, row in zip(words.rows(outcome.options), table[columns].to_numpy(), strict=True)
    ]
    crossing = {
        rival["sourcing"]: {
            "own": words.brief(own, plan), "rival": words.brief(rival, plan),
            "calls_per_day": plain(result.calls), "tokens_per_month": plain(result.tokens),
            "valid_up_to_calls_per_day": plain(result.served),
            "never_at_this_size": result.never,
            "months": [{"month": month, "owning_ahead": ahead} for month, ahead in result.months],
        }
        for rival, result in rivals(plan)
    }  # fmt: skip
    turning = [] if option is None else [
        {"figure": row.knob, "planned": plain(row.planned), "value": plain(row.value),
         "below": bool(row.below), "rival": words.brief(plan.options.loc[row.rival], plan)}
        for row in switching.switches(plan).itertuples()
    ]  # fmt: skip
    return {"uncertainty": uncertainty, "break_even": crossing, "switch_values": turning}
