"""The figures that the formulas of a workbook name: value, range, unit, status, source, date."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planner import money, pricing
from planner.language import say, term
from planner.plan import Plan
from planner.spreadsheet_labels import (
    AS_PRICED,
    GROUPS,
    MACHINE,
    PREDICTED,
    PREDICTION,
    PRICES,
    STATUS,
    TEAM,
    TERMS,
)
from planner.terms import MONEY

# Figures that are shares, shown and typed in per cent, though their unit reads 1 or 1/year.
NOT_SHARES = {"pue", "colocation_metered"}


@dataclass(frozen=True)
class Figure:
    """
    One input.

    Parameters
    ----------
    name : str
        As formulas call it.
    label, unit, status, source, date, note, group : str
        Unit as in the source; group is a key of `spreadsheet_labels.GROUPS`.
    value, low, high : float
        In that unit; NaN where no range is known.
    used : float
        The value in the team's currency.
    factor : str
        What turns the unit's currency into the team's, in the words of a formula; or empty.
    kind : str
        share, whole or number: how it is shown and what may be typed.
    """

    name: str
    label: str
    unit: str
    status: str
    source: str
    date: str
    note: str
    group: str
    value: float
    low: float
    high: float
    used: float
    factor: str = ""
    kind: str = "number"


class Figures:
    """
    Collects the figures that formulas name, each once.

    Parameters
    ----------
    plan : Plan
        Where they come from.
    """

    def __init__(self, plan: Plan):
        self.plan, self._found = plan, {}

    def __iter__(self):
        """In the order of the groups, and within a group as they were first named."""
        order = list(GROUPS)
        return iter(sorted(self._found.values(), key=lambda figure: order.index(figure.group)))

    def __getitem__(self, name: str) -> Figure:
        return self._found[name]

    @cached_property
    def demand(self) -> pricing.Demand:
        """Calls and peak of every year."""
        return pricing.demand(self.plan.team)

    def _add(self, figure: Figure) -> str:
        return self._found.setdefault(figure.name, figure).name

    def team(self, field: str) -> str:
        """A figure of the team's file, by the name of its field."""
        if f"team_{field}" in self._found:
            return f"team_{field}"
        team = self.plan.team
        parts = (team.workload, team.growth, team.policy)
        if field == "growth":
            value = team.growth.yearly
        elif field == "budget":
            value = team.budget.total
        else:
            value = next(getattr(part, field) for part in parts if hasattr(part, field))
        label, unit = TEAM[field]
        group = "policy" if hasattr(team.policy, field) or field == "budget" else "team"
        kind = "share" if unit in ("1", "1/year") else "number"
        source, made = f"{team.slug}.toml, {team.owner}", self.plan.made.isoformat()
        return self._add(
            Figure(f"team_{field}", label, unit.format(currency=team.currency), STATUS["team"],
                   source, made, "", group, value, np.nan, np.nan, value, kind=kind)
        )  # fmt: skip

    def term(self, key: str) -> str:
        """An assumption of the catalogue, the team's own figure before it."""
        if key in self._found:
            return key
        terms, team = self.plan.terms, self.plan.team
        value, record = terms(key), self.plan.catalogue.assumptions[key]
        own, rate = key in team.assumptions, key.startswith("fx_")
        unit = record.unit if rate else MONEY.sub(team.currency, record.unit, count=1)
        low = high = value
        factor = ""
        if not own:
            low, high, unit = record.low, record.high, record.unit
            factor = "" if rate else self._factor(unit)
        share = record.unit in ("1", "1/year") and key not in NOT_SHARES
        kind = "share" if share else "whole" if key == "economic_life" else "number"
        return self._add(
            Figure(key, TERMS[key], unit, STATUS["team"] if own else record.status,
                   f"{team.slug}.toml, {team.owner}" if own else record.source,
                   self.plan.made.isoformat() if own else record.source_date, record.note,
                   "fx" if rate else "general", value if own else record.value, low, high, value,
                   factor, kind)
        )  # fmt: skip

    def _factor(self, unit: str) -> str:
        found = MONEY.match(unit)
        if not found or found.group() == self.plan.team.currency:
            return ""
        there, here = (self._rate(code) for code in (found.group(), self.plan.team.currency))
        return f"*({here or 1}/{there or 1})"

    def _rate(self, currency: str) -> str:
        key = f"fx_{currency.lower()}_per_usd"
        known = currency != "USD" and key in self.plan.catalogue.assumptions
        return self.term(key) if known else ""

    def predicted(self, field: str, letter: str, option) -> str:
        """A figure of an option that the planner predicted or derived."""
        column = {"each": "tp"}.get(field, field)
        value = float(option[column])
        low, high = (
            float(option.get(f"{column}_{end}", np.nan)) if field == "rate" else np.nan
            for end in ("low", "high")
        )
        label, unit = PREDICTED[field]
        by = option["decided_by"] if isinstance(option.get("decided_by"), str) else ""
        return self._add(
            Figure(f"{field}_{letter.lower()}", say(label, letter=letter), unit,
                   STATUS["predicted"], say(PREDICTION, by=term(by)),
                   self.plan.made.isoformat(), "",
                   "speed", value, low, high, value)
        )  # fmt: skip

    def server(self, server) -> str:
        """Price of a server: the team's quote, or the catalogue's."""
        quote, terms = self.plan.team.quotes.get(server.id), self.plan.terms
        if quote:
            low = value = high = quote.price
            unit, status, source, date = (
                quote.currency, "quote", quote.reference, quote.date.isoformat()
            )  # fmt: skip
        else:
            low, value, high = server.price_low, server.price, server.price_high
            unit, status, source, date = (
                server.currency, server.price_status, server.source, server.price_date
            )  # fmt: skip
        return self._add(
            Figure(f"price_{slug(server.id)}", say(PRICES["server"], name=term(server.name)), unit,
                   status, source, date, server.note, "price", value, low, high,
                   terms.money(value, unit), self._factor(unit))
        )  # fmt: skip

    def end(self, name: str, case: str) -> str:
        """A figure in a case: as planned, or one end of its range in the team's currency."""
        return f"{name}{case}{self[name].factor}" if case else name

    def machine(self, field: str, server) -> str:
        """What the catalogue says of a server besides its price."""
        label, unit = MACHINE[field]
        value = float(money.machine(server)[field])
        return self._add(
            Figure(f"{field}_{slug(server.id)}", say(label, name=term(server.name)), unit,
                   STATUS["catalogue"], AS_PRICED, server.source_date, "", "machine", value,
                   np.nan, np.nan, value)
        )  # fmt: skip

    def rental(self, offer) -> str:
        """Price of an accelerator and hour on demand."""
        name = self.plan.catalogue.devices[offer.device].name
        return self._add(
            Figure(f"rent_{slug(offer.id)}", say(PRICES["rent"], name=name, tier=term(offer.tier)),
                   f"{offer.currency}/h", STATUS["market"], offer.source, offer.source_date,
                   offer.note, "price", offer.price, offer.price_low, offer.price_high,
                   self.plan.terms.money(offer.price, offer.currency), self._factor(offer.currency))
        )  # fmt: skip

    def api(self, offer, field: str) -> str:
        """A price of an API per million tokens; its peak price and how long that holds."""
        if field == "peak_factor":
            value, unit, factor = offer.peak_factor, "ratio", ""
        elif field == "peak_share":
            value, unit, factor = offer.peak_hours / 24, "1", ""
        else:
            price = getattr(offer, {"cached": "cached_input"}.get(field, field))
            value, unit = price * 1e6, f"{offer.currency}/Mtoken"
            factor = self._factor(offer.currency)
        used = self.plan.terms.money(value, offer.currency) if factor else value
        return self._add(
            Figure(f"{field}_{slug(offer.id)}", say(PRICES[field], name=offer.id), unit,
                   STATUS["listed"], offer.source, offer.source_date, offer.note, "price", value,
                   np.nan, np.nan, used, factor, "share" if unit == "1" else "number")
        )  # fmt: skip


def slug(name: str) -> str:
    """
    A name that a formula can use.

    Examples
    --------
    >>> slug("novita/openai/gpt-oss-120b")
    'novita_openai_gpt_oss_120b'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
