"""The options of a plan side by side, and what stopped the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import charts, display, phrases, uncertainty, words
from planner.display import Column
from planner.language import say, term
from planner.plan import Plan
from planner.remembered import remembered

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
IN_THOUSANDS = "{p10} to {p90}"
FAILS_THEN = "{p10} to failure"
COPIES = "{working:.0f} + {spare:.0f}"
BARRED = "{option} (not allowed)"
OPTIONS_TITLE = "Options over {years} years"
OPTIONS_NOTE = (
    "One user and first token: with nobody else waiting. Contexts: of full length, in the cache of "
    "one replica. Carries: what the working replicas serve within the limits of response time; "
    "{peak:.3g} call/s are needed. Replicas: working + spare. P10 to P90: eight of ten draws of "
    "demand, speed and prices lie there; to failure: in more than one of ten the limits cannot be "
    "held. If not slow: the limits hold as predicted, not at the slow end. The speed of an API is "
    "its provider's promise."
)
ALL_MEET = (
    "Every model that is good enough meets the limits on some machine. {models} of the catalogue "
    "fell out before, for its score, its context or the policy."
)
COST_CHART = "Cost as planned (bar) and from P10 to P90 (line) of what was compared"


@remembered
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
        kind is feasible, its nearest miss. With p10, p90 [currency] and range, the two in words.
    """
    table, chosen = plan.options, plan.chosen
    good = plan.feasible
    label, way = good.index.to_numpy(), good["sourcing"].to_numpy()
    picked = [] if chosen is None else [chosen.name]
    if chosen is not None and chosen["sourcing"] == "own":
        same = good["server_id"].to_numpy() == chosen["server_id"]
        picked += list(label[same & (good["model_id"].to_numpy() != chosen["model_id"])][:1])
    picked += list(label[:1])  # the cheapest, though it may miss a limit at its slow end
    device, provider = good["device_id"].to_numpy(), good["provider"].to_numpy()
    certain = good["certain"].to_numpy(bool)
    for sourcing, number in (("own", 3), ("rent", 2), ("api", 2)):
        first = {}
        for row in np.flatnonzero((way == sourcing) & (certain | (sourcing == "api"))):
            first.setdefault((device[row], provider[row]), label[row])
            if len(first) == number:
                break
        picked += first.values()
    known = set(table["sourcing"][picked])
    ways, total = table["sourcing"].to_numpy(), table["total"].to_numpy(float)
    for sourcing in ("own", "rent", "api", "nothing"):
        if sourcing not in known:
            kind = (ways == sourcing) & np.isfinite(total)
            allowed = kind & (table["limit"].to_numpy() == "policy")
            npv = table["npv"][allowed if allowed.any() else kind]
            picked += list(npv.sort_values(kind="stable").index[:1])
    picked = list(dict.fromkeys(picked))
    out, npv = (table["limit"][picked] != "none").to_numpy(), table["npv"][picked].to_numpy(float)
    best = table.loc[[picked[row] for row in np.lexsort((npv, out))]]
    usable = best["limit"].isin(uncertainty.SOLVABLE) & (best["sourcing"] != "nothing")
    usable &= np.isfinite(best["npv"])
    ends = np.full((2, len(best)), np.nan)
    ends[:, usable] = uncertainty.percentile(uncertainty.priced(plan, best[usable]).total, (10, 90))
    rows = [
        row | {"p10": low, "p90": high}
        for row, low, high in zip(words.rows(best), *ends.tolist(), strict=True)
    ]
    return best.assign(
        option=[words.brief(option, plan) for option in rows],
        holds=[_holds(option) for option in rows],
        chosen=[chosen is not None and label == chosen.name for label in best.index],
        out=best["limit"] != "none",
        speed=1 / best["tpot_alone"],
        carries=best["rate"] * best["working"],
        copies=[_copies(option) for option in rows],
        p10=ends[0],
        p90=ends[1],
        range=[_thousands(option) for option in rows],
    )


def _holds(option):
    if option["limit"] != "none":
        return say("no: {limit}", limit=term(option["limit"]))
    return say("yes") if option["certain"] else say("if not slow")


def _copies(option):
    if option["sourcing"] not in ("own", "rent") or not np.isfinite(option["replicas"]):
        return display.MISSING
    return say(COPIES, working=option["working"], spare=option["replicas"] - option["working"])


def _thousands(option):
    if not np.isfinite(option["p10"]):
        return display.MISSING
    written = phrases.thousands("")
    ends = {
        name: f"{option[name] * written['scale']:{written['format']}}" for name in ("p10", "p90")
    }
    template = IN_THOUSANDS if np.isfinite(option["p90"]) else FAILS_THEN
    return say(template, **ends)


def options(plan: Plan) -> display.Shown:
    """The options side by side, doing nothing, renting and paying per token among them."""
    currency = plan.team.currency
    return display.table(
        compared(plan),
        {
            "option": Column("Option"),
            "quality": Column("Score", "", ".1f"),
            "speed": Column("One user", "token/s", ".0f"),
            "ttft_alone": Column("First token", "s", ".2f"),
            "sequences": Column("Contexts", "", ",.0f"),
            "carries": Column("Carries", "call/s", ".2f"),
            "copies": Column("Replicas", align="right"),
            "total": Column("Cost", **phrases.thousands(currency)),
            "range": Column("P10 to P90", phrases.thousands(currency)["unit"], align="right"),
            "holds": Column("Limits kept"),
        },
        say(OPTIONS_TITLE, years=plan.team.growth.years),
        say(OPTIONS_NOTE, peak=plan.team.peak_rate),
        strong="chosen",
        muted="out",
    )  # fmt: skip


def cost_chart(plan: Plan) -> display.Shown:
    """Cost of the compared options with their bands."""
    options = [
        option
        for option in words.rows(compared(plan))
        if option["sourcing"] != "nothing" and np.isfinite(option["p90"])
    ]
    if not options:
        return display.text("No option has a cost that can be drawn.")
    labels = [words.short(option, plan) for option in options]
    bars = {}
    for option, label in zip(options, labels, strict=True):
        if labels.count(label) > 1:
            label = words.brief(option, plan)
        if option["limit"] == "policy":
            label = say(BARRED, option=label)
        # One bar a name: of several memory sizes the recommended, else the cheapest, is drawn.
        if option["chosen"]:
            bars.pop(label, None)
        bars.setdefault(label, (label, option["total"], option["p10"], option["p90"],
                                option["chosen"]))  # fmt: skip
    columns = ["option", "cost", "cost_low", "cost_high", "recommended"]
    chart = charts.ranked_costs(
        pd.DataFrame(bars.values(), columns=columns), plan.team.currency,
        title=say("{years}-year cost", years=plan.team.growth.years),
    )  # fmt: skip
    return display.figure(chart, COST_CHART)


def stopped(plan: Plan) -> display.Shown:
    """What stopped the options that fell out: how many, and the nearest miss of each limit."""
    limit, way = (plan.options[name].to_numpy() for name in ("limit", "sourcing"))
    limits = plan.options["limit"][(limit != "none") & (way != "nothing")]
    nearest = words.rows(plan.options.loc[limits.drop_duplicates().index])
    number = limits.value_counts()
    found = [
        {
            "limit": say(LIMIT_WORDS[option["limit"]]),
            "number": int(number[option["limit"]]),
            "option": words.brief(option, plan),
            "reason": words.why(option, plan),
        }
        for option in nearest
    ]
    return display.table(
        found,
        {
            "limit": Column("Limit"),
            "number": Column("Options", "", ",.0f"),
            "option": Column("Nearest miss"),
            "reason": Column("By how much"),
        },
        say("What stopped {out:,} of {all:,} options", out=len(limits), all=len(plan.options)),
    )


def rejected(plan: Plan) -> display.Shown:
    """Why the other models fell out, each by its nearest miss."""
    misses = words.nearest(plan)
    if misses.empty:
        refused = plan.refused["model_id"].nunique() if "model_id" in plan.refused else 0
        return display.text(say(ALL_MEET, models=phrases.count(refused, "other model")))
    misses = misses.assign(stopped=[say(LIMIT_WORDS[limit]) for limit in misses["limit"]])
    misses["model"] = [
        plan.catalogue.models[model].name if model in plan.catalogue.models else model
        for model in misses["model_id"]
    ]
    return display.table(
        misses.head(16),
        {"model": "Model", "stopped": "What stopped it", "reason": "By how much"},
        "Why other models fell out: the nearest miss of each",
    )
