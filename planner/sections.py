"""The first sections of a sizing report, one function each: plan in, something to show out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import display, judge, money, phrases, uncertainty, words
from planner.display import KeyFigure
from planner.language import say, term
from planner.plan import CLOSE, Plan
from planner.remembered import remembered

LINE_WORDS = {
    "capex": "Purchase, spares, installation",
    "lease": "Lease",
    "energy": "Electricity",
    "colocation": "Colocation with electricity",
    "support": "Support and insurance",
    "software": "Licences",
    "staff": "Staff",
    "other": "Remote hands",
    "rent": "Rent",
    "api": "API",
    "decommissioning": "Removal, data destruction",
    "residual": "Residual value",
}


NO_FIGURES = "No figures are shown, since no option meets the requirement."
NO_MEMORY = "Nothing is hosted, so no memory is planned."
HEADLINE = "{decision}: {cost} over {years}"
RANGE = "P10 to P90: {low} to {high}"
NO_P90 = "P10: {low}; in more than one of ten draws the limits cannot be held"
FOR = (
    "For {users:,} users and {calls:,.0f} calls a day, growing by {growth:.0f} % a year."
)  # fmt: skip
SLOW_MISSES = "At the slow end of the predicted speed a limit is missed: test before buying."
SLOW_HOLDS = "The response times hold at the slow end of the predicted speed too."
SLOW_MORE = (
    "At the slow end of the predicted speed {more} would be needed instead of {working:.0f}; the "
    "range of the cost includes them."
)


CHEAPEST = (
    "It is the cheapest of {sure:,} options that keep every limit, at the slow end of the "
    "predicted speed too."
)
BEST_OF_EQUALS = (
    "Of {sure:,} options that keep every limit, at the slow end of the predicted speed too, it "
    "costs at most {close:.0f} % more than the cheapest, and among those the better score and then "
    "the wider weight format decide."
)
UNSURE = (
    "No option keeps every limit at the slow end of the predicted speed; of those that keep them "
    "as predicted it is the cheapest, or equally cheap and better."
)

HEAD = "{headline} ({range})."
CALLS = "{calls:,.0f} a day, {days} days a year"
BUSIEST = (
    "{share:.0f} % of the day's calls: {now:.3g} a second now, {later:.3g} in year {year}"
)  # fmt: skip
ONE_CALL = (
    "{prompt:,.0f} prompt tokens ({cached:.0f} % of them cached) and {output:,.0f} output tokens "
    "on average; coefficient of variation {variation:g}"
)
RESPONSE = "95 % of first tokens within {ttft}, {tpot} per token after that"
FLOOR = "at least {minimum:g} in {benchmark}"
GROWTH = "{growth:.0f} % a year over {years} years"
SPARE = "{replicas} and {servers} beyond what the peak needs"


def rule(plan: Plan) -> str:
    """Why the recommendation came out first, in one sentence."""
    option, good = plan.chosen, plan.feasible
    if not option["certain"]:
        return say(UNSURE)
    sure = good["npv"][good["certain"]]
    cheapest = option["npv"] <= sure.min() * (1 + 1e-9)
    template = CHEAPEST if cheapest else BEST_OF_EQUALS
    return say(template, sure=len(sure), close=100 * CLOSE)


@remembered
def spread(plan: Plan) -> dict:
    """P10, P50, P90 [currency] and share of failures of the recommendation, number of draws."""
    found = uncertainty.priced(plan, plan.options.loc[[plan.chosen.name]])
    (total,) = found.total
    ends = uncertainty.percentile(total, uncertainty.PERCENTILES).tolist()
    names = (f"p{percent}" for percent in uncertainty.PERCENTILES)
    fails = float(np.isinf(total).mean())
    return dict(zip(names, ends, strict=True)) | {"fails": fails, "draws": total.size}


def cost_range(plan: Plan) -> str:
    """The range of the recommendation's cost in words; the one range that the report shows."""
    found, currency = spread(plan), plan.team.currency
    low, high = (phrases.money(found[name], currency) for name in ("p10", "p90"))
    return say(RANGE if np.isfinite(found["p90"]) else NO_P90, low=low, high=high)


def decision(plan: Plan) -> display.Shown:
    """The decision asked, in a box: one sentence, why, and for whom."""
    option = plan.chosen
    if option is None:
        return display.callout("warning", display.escape(words.headline(plan)))
    team = plan.team
    headline = say(HEADLINE, decision=words.upper(words.decision(plan)),
        cost=phrases.money(option["total"], team.currency),
        years=phrases.count(team.growth.years, "year"),
    )  # fmt: skip
    below = say(FOR, users=team.workload.users, calls=team.workload.calls_per_day,
        growth=100 * team.growth.yearly,
    )  # fmt: skip
    head = display.escape(say(HEAD, headline=headline, range=cost_range(plan)))
    return display.callout("decision", f"**{head}** {rule(plan)}{say(' ')}{below}")


def at_the_slow_end(option: pd.Series) -> str:
    """Whether the limits hold at the slow end of the band of speed."""
    if not option["certain"]:
        return say(SLOW_MISSES)
    if option["working_high"] <= option["working"]:
        return say(SLOW_HOLDS)
    more = phrases.count(option["working_high"], "working replica")
    return say(SLOW_MORE, more=more, working=option["working"])


def figures(plan: Plan) -> display.Shown:
    """The few figures that the first page stands on."""
    option, team = plan.chosen, plan.team
    if option is None:
        return display.text(NO_FIGURES)
    own = option["sourcing"] != "api"
    amount = phrases.money(option["total"], team.currency)
    cost = KeyFigure(
        say("Cost over {years}", years=phrases.count(team.growth.years, "year")),
        amount.removesuffix(f" {team.currency}"),
        team.currency if amount.endswith(f" {team.currency}") else "",
        band=cost_range(plan).replace(f" {team.currency}", ""),
    )
    per_token = KeyFigure(
        "Cost per million tokens served",
        f"{money.per_million_tokens(option['total'], team):,.2f}",
        phrases.unit(team.currency),
        note="prompt and output together",
    )
    if not own:
        return display.key_figures([cost, per_token])
    speed = KeyFigure(
        "Speed of one answer",
        f"{1 / option['tpot_alone']:,.0f}",
        "token/s",
        band=display.band(1 / option["tpot_alone_high"], 1 / option["tpot_alone_low"], ",.0f"),
    )
    seen = at_peak(plan)
    wait = KeyFigure(
        "First token at the busiest hour",
        phrases.seconds(seen["ttft_p95"]),
        band="95 % of calls are faster",
    )
    used = KeyFigure(
        "Load at the last year's peak",
        f"{100 * team.peak_rate / (option['rate'] * option['working']):.0f} %",
        note="of what the limits allow, spare not counted",
    )
    return display.key_figures([cost, per_token, speed, wait, used])


def at_peak(plan: Plan) -> dict:
    """Latencies of a working replica in the busiest hour of the last year, spares lost. [s]"""
    return plan.pressure.peak._asdict()


def requirement(plan: Plan) -> display.Shown:
    """What the team needs, line by line."""
    team, load = plan.team, plan.team.workload
    quality = team.quality
    rows = [
        ("Purpose", team.purpose),
        ("Users", f"{load.users:,}"),
        ("Calls", say(CALLS, calls=load.calls_per_day, days=load.days_per_year)),
        ("Busiest hour", say(BUSIEST, share=100 * load.busiest_hour_share,
                             now=load.busiest_hour_rate, later=team.peak_rate,
                             year=team.growth.years)),
        ("One call", say(ONE_CALL, prompt=load.prompt_tokens,
                         cached=100 * load.cached_prompt_share, output=load.output_tokens,
                         variation=load.variation)),
        ("Longest context", say("{tokens:,} tokens", tokens=load.context_tokens)),
        ("Response time", say(RESPONSE, ttft=phrases.seconds(team.slo.ttft_p95),
                              tpot=phrases.seconds(team.slo.tpot_p95))),
        ("Quality", say(FLOOR, minimum=quality.minimum, benchmark=quality.benchmark)
                    if quality else say("no floor")),
        ("Growth", say(GROWTH, growth=100 * team.growth.yearly, years=team.growth.years)),
        ("Spare", say(SPARE, replicas=phrases.count(team.policy.spare_replicas, "replica"),
                      servers=phrases.count(team.policy.spare_servers, "server"))),
        ("Allowed", say(", ").join(map(say, team.policy.sourcing))),
        ("Data", term(team.data_class)),
        ("Budget", phrases.money(team.budget.total, team.currency) if team.budget
                   else say("not stated")),
    ]  # fmt: skip
    known = [{"what": say(what), "need": need} for what, need in rows]
    return display.table(known, {"what": "Requirement", "need": "Value"}, "What the team needs")


def memory_of(plan: Plan) -> str:
    """Whose memory the recommendation fills: one server's, or one accelerator's."""
    if plan.chosen["kind"] in ("cpu", "unified"):
        return say("server")
    return plan.catalogue.devices[plan.chosen["device_id"]].name


def memory_parts(plan: Plan) -> pd.DataFrame:
    """Weights, engine, cache in use and what stays free of the recommendation. [B]"""
    option = plan.chosen
    used = option["batch"] * judge.mean_cache(option, plan.team)
    used = min(used, option["pool_bytes"])
    return pd.DataFrame(
        {
            "part": ["weights", "engine overhead", "KV cache in use at most", "free"],
            "memory": [
                option["weight_bytes"],
                option["overhead_bytes"],
                used,
                option["pool_bytes"] - used,
            ],
        }
    )
