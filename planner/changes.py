"""What has changed since a team's last report, and what that did to its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from planner import display, inputs, prices, words
from planner.language import say, term
from planner.phrases import day, money
from planner.plan import Plan

MOST = 12  # changes that are listed one by one
# Fields that are prices: in words, and how often their unit fits into the one that is said.
PRICES = {
    "price": ("price", 1.0), "price_low": ("lowest price", 1.0),
    "price_high": ("highest price", 1.0),
    "input": ("a million prompt tokens", 1e6), "output": ("a million output tokens", 1e6),
    "cached_input": ("a million cached prompt tokens", 1e6),
}  # fmt: skip
DEMAND = ("workload.", "growth.")
KINDS = {
    "demand": "Demand: {what}",
    "requirement": "Requirement: {what}",
    "price": "Price: {what}",
    "model": "Model: {what}",
    "assumption": "Assumption: {what}",
    "facts": "Facts of the catalogue: {what}",
    "code": "Program: {what}",
}
TURNED = "{field} from {before} to {after}"
CAME, WENT = "{name} came in", "{name} fell out"
OTHER_FACTS = "{name} is described differently"
WHOLE = {
    "constants": ("facts", "measured constants and bands"),
    "code": ("code", "the code that plans and writes"),
    "environment": ("code", "the packages that compute and draw"),
}
FIRST = "This is the first report of this team."
SAME = "Nothing that this report depends on has changed since the one of {date}."
LAPSED = "{what} has become stale, after {limit:.0f} days; ask for a quote before signing"
SINCE = "**Since the report of {date}:**"
MORE = "and {number} more"
STAYS = "The decision stays the same: {decision}."
TURNS = "The decision was to {before}; now it is to {after}."
COST_STAYS = "The cost stays at {after}."
COSTS = "The cost goes from {before} to {after}."


class Change(NamedTuple):
    """
    One thing that is not as it was.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    what : str
        In words.
    """

    kind: str
    what: str


def between(before: Mapping, after: Mapping, names: Mapping | None = None) -> list[Change]:
    """
    How the inputs of two reports differ.

    Parameters
    ----------
    before, after : mapping
        From `inputs.of`.
    names : mapping of str to str, optional
        What people call a record, by its id.

    Returns
    -------
    changes : list of Change
        Demand and requirement first, then prices, models, assumptions, facts and the program.
    """
    found = list(_differences(before, after, names or {}))
    return sorted(found, key=lambda change: list(KINDS).index(change.kind))


def _differences(before, after, names) -> Iterator[Change]:
    for part in dict.fromkeys([*after, *before]):
        old, new = before.get(part, {}), after.get(part, {})
        if old == new:
            continue
        if part in WHOLE:
            kind, what = WHOLE[part]
            yield Change(kind, say(what))
        elif isinstance(old, dict) and isinstance(new, dict):
            for key in dict.fromkeys([*new, *old]):
                if old.get(key) != new.get(key):
                    yield from _record(part, key, old.get(key), new.get(key), names)


def _record(part, key, old, new, names) -> Iterator[Change]:
    """Changes of one record, or of one field of the team."""
    name = term(names.get(key, key))
    if part == "team":
        kind = "demand" if key.startswith(DEMAND) else "requirement"
        yield Change(kind, _turned(key, old, new))
        return
    if part == "refused":  # the models and servers themselves say that they came or went
        return
    kind = {"models": "model", "assumptions": "assumption"}.get(part, "facts")
    if old is None or new is None:
        kind = "price" if part in ("rentals", "api_prices") else kind
        yield Change(kind, say(WENT if new is None else CAME, name=name))
    elif not isinstance(old, dict):
        yield Change(kind, say(OTHER_FACTS, name=name))
    else:
        fields = [
            field for field in dict.fromkeys([*new, *old]) if old.get(field) != new.get(field)
        ]
        priced = [field for field in fields if field in PRICES]
        for field in priced:
            words, scale = PRICES[field]
            ends = [None if r.get(field) is None else scale * r[field] for r in (old, new)]
            unit = f" [{new.get('currency', '')}]"
            yield Change("price", f"{name}, " + _turned(say(words) + unit, *ends))
        if kind == "assumption" and "value" in fields:
            yield Change(kind, _turned(name, old.get("value"), new.get("value")))
        elif fields and not priced:
            yield Change(kind, say(OTHER_FACTS, name=name))


def _turned(field, old, new) -> str:
    return say(TURNED, field=field, before=_written(old), after=_written(new))


def _written(value) -> str:
    if isinstance(value, bool) or value is None:
        return say({True: "yes", False: "no", None: "not stated"}[value])
    if isinstance(value, int | float):
        return display.number(value)
    words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return display.clean(words)[:80] or say("not stated")


def since(plan: Plan, known: tuple[dict, dict] | None) -> display.Shown:
    """
    What has changed since the last report.

    Parameters
    ----------
    plan : Plan
        Of the new report.
    known : tuple of dict, or None
        Inputs and summary of the last one (`inputs.earlier`); None: this is the first.

    Returns
    -------
    shown : Shown
    """
    if known is None:
        return display.text(FIRST)
    before, summary = known
    records = (plan.catalogue.servers, plan.catalogue.models, plan.catalogue.devices)
    names = {id: record.name for kind in records for id, record in kind.items()}
    changes = between(before, json.loads(json.dumps(inputs.of(plan.team, plan.catalogue))), names)
    found = prices.validity(plan)
    if found and inputs.lapsed(summary, plan.made):
        changes.append(Change("price", say(LAPSED, what=found["what"], limit=found["limit"])))
    date = day(summary["date"])
    if not changes:
        return display.text(say(SAME, date=date))
    lines = [say(KINDS[change.kind], what=display.escape(change.what)) for change in changes]
    if len(lines) > MOST:
        lines = [*lines[: MOST - 1], say(MORE, number=len(lines) - MOST + 1)]
    listed = "\n".join(f"- {line}" for line in lines)
    return display.text(
        f"{say(SINCE, date=date)}\n\n{listed}\n\n{' '.join(_effect(plan, summary))}"
    )


def _effect(plan, summary) -> Iterator[str]:
    """What became of the decision and of its cost."""
    now, then = words.decision(plan), display.escape(summary.get("buy", ""))
    if summary.get("language", "en") == plan.team.language:  # else the words cannot be compared
        if summary.get("buy") == now:
            yield say(STAYS, decision=now)
        else:
            yield say(TURNS, before=then, after=now)
    cost = summary.get("three_year_cost") or {}
    if plan.chosen is not None and isinstance(cost.get("mid"), int | float):
        before = money(cost["mid"], cost["currency"])
        after = money(plan.chosen["total"], plan.team.currency)
        yield say(COST_STAYS if before == after else COSTS, before=before, after=after)
