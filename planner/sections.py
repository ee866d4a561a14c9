"""The sections of a sizing report, one function each: plan in, something to show out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import charts, display, judge, money, phrases, words
from planner.display import Column, KeyFigure
from planner.plan import Plan

CHEAPER = 0.7  # of the recommendation's cost: below it, the uncertain option is worth a word
LIMIT_WORDS = {
    "memory": "the weights do not fit",
    "kv_cache": "not one full context fits beside the weights",
    "ttft": "first token too late",
    "tpot": "tokens too slow",
    "load": "cannot carry the load",
    "quality": "model not good enough, or not shown to be",
    "budget": "over the budget",
    "policy": "not allowed by the team's policy",
    "none": "meets every limit",
}
LINE_WORDS = {
    "capex": "Purchase, spares, installation",
    "energy": "Electricity",
    "support": "Support and insurance",
    "staff": "Staff",
    "other": "Other",
    "rent": "Rent",
    "api": "API",
    "residual": "Residual value",
}


def decision(plan: Plan) -> display.Shown:
    """The decision asked, in a box: one sentence and its conditions."""
    option = plan.chosen
    if option is None:
        return display.callout("warning", display.escape(words.headline(plan)))
    words_below = [
        f"Holds for {plan.team.workload.users:,} users and "
        f"{plan.team.workload.calls_per_day:,.0f} calls a day, growing by "
        f"{100 * plan.team.growth.yearly:.0f} % a year."
    ]
    if option["sourcing"] != "api":
        words_below.append(_at_the_slow_end(option))
    cheapest = plan.feasible.iloc[0]
    if option["certain"] and cheapest["npv"] < CHEAPER * option["npv"]:
        words_below.append(
            f"{display.escape(words.short(cheapest, plan))} would cost "
            f"{phrases.money(cheapest['total'], plan.team.currency)}, but misses a limit at the "
            "slow end of its predicted speed: worth a test before the purchase."
        )
    headline = display.escape(words.headline(plan))
    return display.callout("decision", f"**{headline}** {' '.join(words_below)}")


def _at_the_slow_end(option):
    if not option["certain"]:
        return "At the slow end of the predicted speed a limit is missed: test before buying."
    if option["working_high"] <= option["working"]:
        return "The response times hold at the slow end of the predicted speed too."
    more = phrases.count(option["working_high"], "working replica")
    return (
        f"At the slow end of the predicted speed {more} would be needed instead of "
        f"{option['working']:.0f}; the upper end of the cost includes them."
    )


def figures(plan: Plan) -> display.Shown:
    """The few figures that the first page stands on."""
    option, team = plan.chosen, plan.team
    if option is None:
        return display.text("No figures are shown, since no option meets the requirement.")
    own = option["sourcing"] != "api"
    cost = KeyFigure(
        f"Cost over {phrases.count(team.growth.years, 'year')}",
        phrases.money(option["total"], team.currency),
        band=f"{phrases.money(option['total_low'], team.currency)} to "
        f"{phrases.money(option['total_high'], team.currency)}",
    )
    per_token = KeyFigure(
        "Cost per million tokens served",
        f"{money.per_million_tokens(option['total'], team):,.2f}",
        team.currency,
        note="prompt and output together",
    )
    if not own:
        return display.key_figures([cost, per_token])
    speed = KeyFigure(
        "Speed of one answer",
        f"{1 / option['tpot_alone']:,.0f}",
        "token/s",
        band=f"{1 / option['tpot_alone_high']:,.0f} to {1 / option['tpot_alone_low']:,.0f}",
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


def at_peak(plan: Plan, factor: float = 1.0) -> dict:
    """Latencies of the chosen option in the busiest hour of the last year, one spare lost. [s]"""
    rate = plan.team.peak_rate * factor / plan.chosen["working"]
    seen = judge.serve(plan.chosen, plan.team).latency(np.array([rate]))
    return {name: float(values[0]) for name, values in seen._asdict().items()}


def requirement(plan: Plan) -> display.Shown:
    """What the team needs, line by line."""
    team, load = plan.team, plan.team.workload
    quality = team.quality
    rows = [
        ("Purpose", team.purpose),
        ("Users", f"{load.users:,}"),
        ("Calls", f"{load.calls_per_day:,.0f} a day, {load.days_per_year} days a year"),
        (
            "Busiest hour",
            f"{100 * load.busiest_hour_share:.0f} % of the day's calls: "
            f"{load.busiest_hour_rate:.3g} a second now, "
            f"{team.peak_rate:.3g} in year {team.growth.years}",
        ),
        (
            "One call",
            f"{load.prompt_tokens:,.0f} prompt tokens "
            f"({100 * load.cached_prompt_share:.0f} % of them cached) and "
            f"{load.output_tokens:,.0f} output tokens on average; coefficient of variation "
            f"{load.variation:g}",
        ),
        ("Longest context", f"{load.context_tokens:,} tokens"),
        (
            "Response time",
            f"95 % of first tokens within {phrases.seconds(team.slo.ttft_p95)}, "
            f"{phrases.seconds(team.slo.tpot_p95)} per token after that",
        ),
        (
            "Quality",
            f"at least {quality.minimum:g} in {quality.benchmark}" if quality else "no floor",
        ),
        ("Growth", f"{100 * team.growth.yearly:.0f} % a year over {team.growth.years} years"),
        (
            "Spare",
            f"{phrases.count(team.policy.spare_replicas, 'replica')} and "
            f"{phrases.count(team.policy.spare_servers, 'server')} beyond what the peak needs",
        ),
        ("Allowed", ", ".join(team.policy.sourcing)),
        ("Data", team.data_class),
        (
            "Budget",
            phrases.money(team.budget.total, team.currency) if team.budget else "not stated",
        ),
    ]
    frame = pd.DataFrame(rows, columns=["what", "need"])
    return display.table(frame, {"what": "Requirement", "need": "Value"}, "What the team needs")


def compared(plan: Plan) -> pd.DataFrame:
    """
    The options worth a reader's time, cheapest first.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    options : DataFrame
        The recommendation, the cheapest, another model on the same machine, the best of other
        kinds of machine, the best rented and paid per token, and doing nothing; where none of a
        kind is feasible, its nearest miss.
    """
    table, chosen = plan.options, plan.chosen
    good = table[table["limit"] == "none"]
    picked = [] if chosen is None else [chosen.name]
    if chosen is not None and chosen["sourcing"] == "own":
        beside = good[
            (good["server_id"] == chosen["server_id"]) & (good["model_id"] != chosen["model_id"])
        ]
        picked += list(beside.index[:1])
    picked += list(good.index[:1])  # the cheapest, though it may miss a limit at its slow end
    for sourcing, number in (("own", 3), ("rent", 2), ("api", 2)):
        kind = good[(good["sourcing"] == sourcing) & (good["certain"] | (sourcing == "api"))]
        picked += list(kind.drop_duplicates(["device_id", "provider"]).index[:number])
    picked = list(dict.fromkeys(picked))
    for sourcing in ("own", "rent", "api", "nothing"):
        if sourcing not in set(table.loc[picked, "sourcing"]):
            kind = table[(table["sourcing"] == sourcing) & np.isfinite(table["total"])]
            allowed = kind[kind["limit"] == "policy"]
            picked += list((allowed if len(allowed) else kind).sort_values("npv").index[:1])
    best = table.loc[picked]
    best = best.assign(
        option=[words.brief(option, plan) for _, option in best.iterrows()],
        holds=np.select(
            [best["limit"] != "none", ~best["certain"].astype(bool)],
            ["no: " + best["limit"].astype(str), "if not slow"],
            "yes",
        ),
        chosen=[chosen is not None and label == chosen.name for label in best.index],
        out=best["limit"] != "none",
        speed=1 / best["tpot_alone"],
    )
    return best.sort_values(["out", "npv"], kind="stable")


def options(plan: Plan) -> display.Shown:
    """The options side by side, doing nothing, renting and paying per token among them."""
    currency = plan.team.currency
    return display.table(
        compared(plan),
        {
            "option": Column("Option"),
            "quality": Column("Quality", "score", ".1f"),
            "speed": Column("One user", "token/s", ".0f"),
            "ttft_alone": Column("First token", "s", ".2f"),
            "sequences": Column("Contexts", "held", ",.0f"),
            "total": Column("Cost", f"k {currency}", ",.1f", scale=1e-3, low="total_low",
                            high="total_high"),
            "holds": Column("Holds limits"),
        },
        f"Options over {plan.team.growth.years} years",
        "Low and high: speed and price both at the favourable or both at the unfavourable end. "
        "Contexts: full-length contexts that one replica's cache holds at once. If not slow: the "
        "limits hold in the middle of the band of speed, not at its slow end. The speed of an API "
        "is its provider's promise and is not predicted here.",
        strong="chosen",
        muted="out",
    )  # fmt: skip


def cost_chart(plan: Plan) -> display.Shown:
    """Cost of the compared options with their bands."""
    frame = compared(plan)
    frame = frame[(frame["sourcing"] != "nothing") & np.isfinite(frame["total_high"])]
    frame = frame.reset_index(drop=True)
    if frame.empty:
        return display.text("No option has a cost that can be drawn.")
    labels = pd.Series([words.short(option, plan) for _, option in frame.iterrows()])
    brief = pd.Series([words.brief(option, plan) for _, option in frame.iterrows()])
    frame = pd.DataFrame(
        {
            "option": labels.where(~labels.duplicated(keep=False), brief).to_numpy(),
            "cost": frame["total"],
            "cost_low": frame["total_low"],
            "cost_high": frame["total_high"],
            "recommended": frame["chosen"],
        }
    )
    # One bar a name: of several memory sizes the recommended, else the cheapest, is drawn.
    frame = frame.sort_values("recommended", ascending=False, kind="stable")
    frame = frame.drop_duplicates("option").sort_index()
    title = f"{plan.team.growth.years}-year cost"
    chart = charts.ranked_costs(frame, plan.team.currency, title=title)
    return display.figure(chart, "Cost of the best options, with the range that the bands allow")


def stopped(plan: Plan) -> display.Shown:
    """What stopped the options that fell out: how many, and the nearest miss of each limit."""
    out = plan.options[(plan.options["limit"] != "none") & (plan.options["sourcing"] != "nothing")]
    first = out.drop_duplicates("limit")
    frame = pd.DataFrame(
        {
            "limit": [LIMIT_WORDS[limit] for limit in first["limit"]],
            "number": [int((out["limit"] == limit).sum()) for limit in first["limit"]],
            "option": [words.brief(option, plan) for _, option in first.iterrows()],
            "reason": [words.why(option, plan) for _, option in first.iterrows()],
        }
    )
    return display.table(
        frame,
        {
            "limit": Column("Limit"),
            "number": Column("Options", "", ",.0f"),
            "option": Column("Nearest miss"),
            "reason": Column("By how much"),
        },
        f"What stopped {len(out):,} of {len(plan.options):,} options",
    )


def rejected(plan: Plan) -> display.Shown:
    """Why the other models fell out, each by its nearest miss."""
    misses = words.nearest(plan)
    if misses.empty:
        refused = plan.refused["model_id"].nunique() if "model_id" in plan.refused else 0
        return display.text(
            "Every model that is good enough meets the limits on some machine. "
            f"{phrases.count(refused, 'other model')} of the catalogue fell out before, for its "
            "score, its context or the policy."
        )
    misses = misses.assign(stopped=misses["limit"].map(LIMIT_WORDS))
    misses["model"] = [
        plan.catalogue.models[model].name if model in plan.catalogue.models else model
        for model in misses["model_id"]
    ]
    return display.table(
        misses.head(16),
        {"model": "Model", "stopped": "What stopped it", "reason": "By how much"},
        "Why other models fell out: the nearest miss of each",
    )


def load_curve(plan: Plan) -> display.Shown:
    """Latency against load of one replica of the chosen option."""
    option, team = plan.chosen, plan.team
    if option is not None and option["sourcing"] == "api":
        return display.text("The response times of an API are its provider's and not predicted.")
    if option is None or not np.isfinite(team.slo.ttft_p95):
        return display.text("No response-time limit is set, so no curve is drawn.")
    rates = np.linspace(0.02, 0.98, 40) * min(0.9 * option["rate_peak"], 2.2 * option["rate"])
    offered = judge.serve(option, team, len(rates))
    fast, slow = (
        [option[f"{time}_alone_{end}"] / option[f"{time}_alone"] for time in ("tpot", "ttft")]
        for end in ("low", "high")
    )
    curve = pd.DataFrame(
        {
            "load": rates,
            "latency": offered.latency(rates).ttft_p95,
            "latency_low": offered.slower(*fast).latency(rates).ttft_p95,
            "latency_high": offered.slower(*slow).latency(rates).ttft_p95,
        }
    )
    chart = charts.latency_against_load(
        curve.replace(np.inf, np.nan).dropna(subset=["latency"]),
        objective=team.slo.ttft_p95,
        capacity=option["rate"],
        load=team.peak_rate / option["working"],
        load_title="Load of one replica",
        load_unit="call/s",
    )
    return display.figure(chart, "Waiting for the first token as one replica fills up")


def memory_chart(plan: Plan) -> display.Shown:
    """Where the memory of one device of the chosen option goes."""
    option = plan.chosen
    if option is None or option["sourcing"] == "api":
        return display.text("Nothing is hosted, so no memory is planned.")
    device = plan.catalogue.devices[option["device_id"]]
    used = option["batch"] * judge.mean_cache(option, plan.team)
    used = min(used, option["pool_bytes"])
    parts = pd.DataFrame(
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
    host = option["kind"] in ("cpu", "unified")
    what = "server" if host else device.name
    return display.figure(
        charts.memory_waterfall(parts, device=what), f"Memory of one {what} under the chosen option"
    )
