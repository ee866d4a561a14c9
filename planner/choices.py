"""The options of a plan side by side, and what stopped the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import charts, display, phrases, uncertainty, words
from planner.display import Column
from planner.language import say, term
from planner.plan import Plan

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
        holds=[_holds(option) for _, option in best.iterrows()],
        chosen=[chosen is not None and label == chosen.name for label in best.index],
        out=best["limit"] != "none",
        speed=1 / best["tpot_alone"],
        carries=best["rate"] * best["working"],
        copies=[_copies(option) for _, option in best.iterrows()],
    )
    usable = best["limit"].isin(uncertainty.SOLVABLE) & (best["sourcing"] != "nothing")
    usable &= np.isfinite(best["npv"])
    best[["p10", "p90"]] = np.nan
    if usable.any():
        best.loc[usable, ["p10", "p90"]] = uncertainty.priced(plan, best[usable]).table[
            ["p10", "p90"]
        ]
    best["range"] = [_thousands(row) for _, row in best.iterrows()]
    return best.sort_values(["out", "npv"], kind="stable")


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
    frame = compared(plan)
    frame = frame[(frame["sourcing"] != "nothing") & np.isfinite(frame["p90"])]
    frame = frame.reset_index(drop=True)
    if frame.empty:
        return display.text("No option has a cost that can be drawn.")
    labels = pd.Series([words.short(option, plan) for _, option in frame.iterrows()])
    brief = pd.Series([words.brief(option, plan) for _, option in frame.iterrows()])
    frame = pd.DataFrame(
        {
            "option": [
                say(BARRED, option=label) if limit == "policy" else label
                for label, limit in zip(
                    labels.where(~labels.duplicated(keep=False), brief), frame["limit"], strict=True
                )
            ],
            "cost": frame["total"],
            "cost_low": frame["p10"],
            "cost_high": frame["p90"],
            "recommended": frame["chosen"],
        }
    )
    # One bar a name: of several memory sizes the recommended, else the cheapest, is drawn.
    frame = frame.sort_values("recommended", ascending=False, kind="stable")
    frame = frame.drop_duplicates("option").sort_index()
    title = say("{years}-year cost", years=plan.team.growth.years)
    chart = charts.ranked_costs(frame, plan.team.currency, title=title)
    return display.figure(chart.properties(height=24 * len(frame)), COST_CHART)


def stopped(plan: Plan) -> display.Shown:
    """What stopped the options that fell out: how many, and the nearest miss of each limit."""
    out = plan.options[(plan.options["limit"] != "none") & (plan.options["sourcing"] != "nothing")]
    first = out.drop_duplicates("limit")
    frame = pd.DataFrame(
        {
            "limit": [say(LIMIT_WORDS[limit]) for limit in first["limit"]],
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
        say("What stopped {out:,} of {all:,} options", out=len(out), all=len(plan.options)),
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
