"""Why this and not the others: the rule that decided, the next better model, the next cheaper
option, and the four lines that whoever signs asks for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import (
    choices,
    display,
    outlook,
    phrases,
    prices,
    sections,
    sizing,
    uncertainty,
    under_load,
    words,
)
from planner.language import say
from planner.plan import CLOSE, Plan
from planner.remembered import remembered

BETTER_LOAD = (
    "**{model}** scores higher ({score:.1f} against {chosen:.1f}), but on the same {machine} one "
    "replica carries only {rate} of the {peak} call/s within the limits{because}; it would need "
    "{needed} and cost {cost}."
)
BETTER_UNSURE = (
    "**{option}** scores higher ({score:.1f} against {chosen:.1f}), but at the slow end of its "
    "predicted speed it misses a limit: one replica then carries {rate} of the {peak} call/s "
    "within the limits{because}."
)
BECAUSE = ", because beyond that {binds}"
BECAUSE_SLOW = ", because {binds}"
BETTER_DEARER = (
    "**{option}** scores higher ({score:.1f} against {chosen:.1f}), but costs {cost}, {more} more."
)
BETTER_OUT = (
    "**{model}** scores higher ({score:.1f} against {chosen:.1f}), but on the same {machine}: "
    "{why}."
)
BETTER_BARRED = (
    "**{option}** scores higher ({score:.1f} against {chosen:.1f}), but the policy allows only "
    "{allowed}."
)
NO_BETTER = "No model of the catalogue that fits anywhere scores higher in {benchmark}."
CHEAPER_WORSE = (
    "**{option}** would cost {less} less, but scores {score:.1f} against {chosen:.1f}{needed}."
)
CHEAPER_FORMAT = "**{option}** would cost {less} less, with narrower weights."
CHEAPER_UNSURE = (
    "**{option}** would cost {cost}, but misses a limit at the slow end of its predicted speed: "
    "worth a test before the purchase."
)
BARRED = "The policy allows only {allowed}; otherwise {options}."
BARRED_ONE = "{option} would cost {cost}"
NOTHING = "Doing nothing costs nothing and serves none of the {calls:,.0f} calls a day."
OWN, RENT, API = "buying", "renting", "an API"
WAYS = {"own": OWN, "rent": RENT, "api": API}

ASKED = (
    "**What is asked.** {users:,} users, {calls:,.0f} calls a day growing by {growth:.0f} % a "
    "year, {peak} call/s in the busiest hour of year {year}; 95 % of the first tokens within "
    "{ttft}, then {tpot} a token; {quality}; allowed: {allowed}."
)
FLOOR = "at least {minimum:g} in {benchmark}"
NO_FLOOR = "no floor of quality"
WHY = "**Why this and not the others.** {reasons}"
CHANGE = "**What would change the answer.** {switches}"
SURE = "**How sure.** {reasons}"
EIGHT_OF_TEN = (
    "In eight of ten of {draws:,} draws of demand, speed and prices the cost lies between {p10} "
    "(P10) and {p90} (P90)."
)
FAILS_OFTEN = (
    "In one of ten of {draws:,} draws of demand, speed and prices it costs less than {p10} (P10); "
    "in {fails:.0f} % the limits cannot be held."
)
STALE = (
    "{what} is {age} old and stale after {limit:.0f} days: **ask for a quote before signing**."
)  # fmt: skip
FRESH = "Prices hold until {until}, when {what} is older than {limit:.0f} days."
MEMORY = (
    "Of the {offered:,.1f} GB that one {device} offers, weights take {weights:,.1f}, the engine "
    "{engine:,.1f} and the cache up to {cache:,.1f}; {free:,.1f} GB stay free."
)
OUT = (
    "{out:,} of {all:,} options fell out: {limits}. Appendix C names the nearest miss of each "
    "limit and of each model."
)
OUT_ONE = "{number:,} {limit}"


@remembered
def better(plan: Plan) -> str:
    """The next better model, and why it was not chosen; in terms of load where that is why."""
    option, table = plan.chosen, plan.options
    if plan.team.quality is None:
        return ""
    limit = table["limit"].to_numpy()
    higher = table["quality"].to_numpy() > option["quality"]
    higher &= table["sourcing"].to_numpy() != "nothing"
    beside = np.flatnonzero(higher & _beside(option, table))
    other = np.flatnonzero(higher & ((limit == "none") | (limit == "policy")))
    if not beside.size and not other.size:
        return say(NO_BETTER, benchmark=plan.team.quality.benchmark)
    found = table.iloc[(beside if beside.size else other)[0]]
    scores = {"score": found["quality"], "chosen": option["quality"]}
    costs = {
        "cost": phrases.money(found["total"], plan.team.currency),
        "more": phrases.money(found["total"] - option["total"], plan.team.currency),
    }
    if not beside.size:
        if found["limit"] == "policy":
            return say(BETTER_BARRED, option=_named(found, plan), allowed=_allowed(plan), **scores)
        return say(BETTER_DEARER, option=_named(found, plan), **scores, **costs)
    model = display.escape(plan.catalogue.models[found["model_id"]].name)
    machine = say("server" if option["sourcing"] == "own" else "accelerator")
    crowded = found["limit"] in ("none", "load") and found["servers"] > option["servers"]
    if option["sourcing"] == "rent":
        crowded = found["limit"] in ("none", "load") and found["devices"] > option["devices"]
    if crowded and found["rate"] > 0:
        binds = _binds(found, plan)
        needed = (
            phrases.count(found["servers"], "server") if option["sourcing"] == "own"
            else phrases.count(found["devices"], "accelerator")
        )  # fmt: skip
        return say(
            BETTER_LOAD, model=model, machine=machine, rate=f"{found['rate']:.2g}", needed=needed,
            peak=f"{plan.team.peak_rate:.2g}", cost=costs["cost"], **scores,
            because=say(BECAUSE, binds=say(under_load.BINDS[binds])) if binds else "",
        )  # fmt: skip
    if found["limit"] == "none" and not found["certain"] and option["certain"]:
        return say(
            BETTER_UNSURE, option=_named(found, plan), rate=f"{found['rate_low']:.2g}", **scores,
            peak=f"{plan.team.peak_rate:.2g}",
            because=say(BECAUSE_SLOW, binds=say(under_load.BINDS[_binds(found, plan)])),
        )  # fmt: skip
    if found["limit"] == "none":
        return say(BETTER_DEARER, option=_named(found, plan), **scores, **costs)
    return say(BETTER_OUT, model=model, machine=machine, why=words.why(found, plan), **scores)


def _beside(option, table):
    """Which rows are on the same machine, got in the same way."""
    if option["sourcing"] == "api":
        return np.zeros(len(table), bool)
    machine = "server_id" if option["sourcing"] == "own" else "device_id"
    same = [table[name].to_numpy() == option[name] for name in ("sourcing", machine)]
    return same[0] & same[1] & (table["limit"].to_numpy() != "quality")


def _binds(option, plan):
    """What stops more calls on an option; asked of the simulation where nobody asked yet."""
    if isinstance(option["binds"], str) and option["binds"]:
        return option["binds"]
    one = sizing.one(option, plan.team, 0, "")
    return sizing.carried(one, plan.team, float(option["rate"])).binds


@remembered
def cheaper(plan: Plan) -> str:
    """The next cheaper option that is allowed, and why it was not chosen; empty without one."""
    option, currency = plan.chosen, plan.team.currency
    good = plan.feasible
    npv, certain = good["npv"].to_numpy(), good["certain"].to_numpy(bool)
    other = np.flatnonzero((npv < option["npv"]) & (good.index != option.name))
    if not other.size:
        return ""
    sure = other[certain[other]]
    if not sure.size and npv[other[0]] > (1 - CLOSE) * option["npv"]:
        return ""  # hardly cheaper
    found = good.iloc[(sure if sure.size else other)[0]]
    if not found["certain"]:
        cost = phrases.money(found["total"], currency)
        return say(CHEAPER_UNSURE, option=_named(found, plan), cost=cost)
    less = phrases.money(option["total"] - found["total"], currency)
    if found["quality"] < option["quality"]:
        return say(CHEAPER_WORSE, option=_named(found, plan), less=less, score=found["quality"],
            chosen=option["quality"], needed="",
        )  # fmt: skip
    return say(CHEAPER_FORMAT, option=_named(found, plan), less=less)


def barred(plan: Plan) -> str:
    """What the policy does not allow, though it would cost less; empty without such a thing."""
    found = []
    for sourcing in ("rent", "api", "own"):
        best = uncertainty.best_of(plan, sourcing)
        if best is not None and best["limit"] == "policy" and best["total"] < plan.chosen["total"]:
            cost = phrases.money(best["total"], plan.team.currency)
            found.append(say(BARRED_ONE, option=_named(best, plan), cost=cost))
    return say(BARRED, allowed=_allowed(plan), options=say(", and ").join(found)) if found else ""


def _allowed(plan):
    return say(" and ").join(say(WAYS[way]) for way in plan.team.policy.sourcing)


def _named(option, plan):
    return display.escape(words.brief(option, plan))


def others(plan: Plan) -> display.Shown:
    """Why not the others: next better model, next cheaper option, what the policy bars."""
    if plan.chosen is None:
        return display.text(sections.NO_FIGURES)
    nothing = say(NOTHING, calls=plan.team.workload.calls_per_day)
    parts = [sections.rule(plan), better(plan), cheaper(plan), barred(plan), nothing]
    return display.text(say(" ").join(filter(None, parts)))


def questions(plan: Plan) -> display.Shown:
    """What whoever signs asks: what, why, what would change it, how sure."""
    team, load, option = plan.team, plan.team.workload, plan.chosen
    quality = team.quality
    lines = [
        say(ASKED, users=load.users, calls=load.calls_per_day, growth=100 * team.growth.yearly,
            peak=f"{team.peak_rate:.3g}", year=team.growth.years,
            ttft=phrases.seconds(team.slo.ttft_p95), tpot=phrases.seconds(team.slo.tpot_p95),
            quality=say(FLOOR, minimum=quality.minimum, benchmark=quality.benchmark)
            if quality else say(NO_FLOOR),
            allowed=_allowed(plan),
        )
    ]  # fmt: skip
    if option is not None:
        reasons = [better(plan), cheaper(plan) or barred(plan)]
        lines.append(say(WHY, reasons=say(" ").join(filter(None, reasons))))
        lines.append(
            say(CHANGE, switches=say(" ").join(outlook.turning(plan, 2)) or say(outlook.NO_SWITCH))
        )
        lines.append(say(SURE, reasons=say(" ").join(_sure(plan))))
    return display.text("\n\n".join(lines))


def _sure(plan):
    spread = sections.spread(plan)
    amounts = {name: phrases.money(spread[name], plan.team.currency) for name in ("p10", "p90")}
    template = EIGHT_OF_TEN if np.isfinite(spread["p90"]) else FAILS_OFTEN
    yield say(template, draws=spread["draws"], fails=100 * spread["fails"], **amounts)
    if plan.chosen["sourcing"] != "api":
        yield sections.at_the_slow_end(plan.chosen)
    valid = prices.validity(plan)
    if valid is not None:
        words_of = valid | {"until": phrases.day(valid["until"])}
        yield say(STALE if valid["stale"] else FRESH, **words_of)


def memory(plan: Plan) -> display.Shown:
    """Where the memory of one device goes, in one sentence."""
    option = plan.chosen
    if option is None or option["sourcing"] == "api":
        return display.text("")
    weights, engine, cache, free = sections.memory_parts(plan)["memory"] / 1e9
    return display.text(
        say(MEMORY, offered=weights + engine + cache + free, device=sections.memory_of(plan),
            weights=weights, engine=engine, cache=cache, free=free,
        )
    )  # fmt: skip


def stopped(plan: Plan) -> display.Shown:
    """How many options each limit stopped, in one sentence."""
    limit = plan.options["limit"]
    out = limit[(limit != "none") & (plan.options["sourcing"] != "nothing")]
    counts: pd.Series = out.value_counts()
    limits = say("; ").join(
        say(OUT_ONE, number=number, limit=say(choices.LIMIT_WORDS[limit]))
        for limit, number in counts.items()
    )
    return display.text(say(OUT, out=len(out), all=len(plan.options), limits=limits))
