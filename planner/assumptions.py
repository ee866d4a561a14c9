"""The assumptions register: what each figure is, how far to trust it, and who answers for it."""

from __future__ import annotations

import re

from planner import bands, display, draws, phrases, prices, uncertainty
from planner.display import Column
from planner.language import say, term
from planner.plan import Plan

REGIONAL = re.compile(r"(electricity_tariff|staff_rate)_(us|eu|cn)")
MOST = 10  # figures in the body of the report
LABELS = {
    "api_price_decline": "Fall of API prices",
    "book_life": "Life in the books",
    "colocation_per_kw_month": "Colocation",
    "colocation_per_kw_month_cn": "Colocation",
    "contingency_rate": "Contingency",
    "decommission_rate": "Removal and data destruction",
    "demand_growth_factor": "Growth against the forecast",
    "demand_level": "Calls against the forecast",
    "discount_rate": "Discount rate",
    "economic_life": "Economic life",
    "electricity_tariff_cn": "Electricity tariff",
    "electricity_tariff_eu": "Electricity tariff",
    "electricity_tariff_us": "Electricity tariff",
    "electricity_tariff_growth": "Rise of the tariff",
    "fx_cny_per_usd": "Yuan for a dollar",
    "fx_eur_per_usd": "Euro for a dollar",
    "installation_rate": "Installation",
    "insurance_rate": "Insurance",
    "lease_rate": "Interest of a lease",
    "lease_residual_3y": "Residual value of a lease, 3 years",
    "network_adder": "Network and cables",
    "price_age_limit": "Age that a price may have",
    "price_age_limit_memory": "The same, where memory decides",
    "pue": "PUE",
    "rack_per_unit": "Rack, for a unit",
    "remote_hands_hours": "Remote hands, hours",
    "remote_hands_rate": "Remote hands, for an hour",
    "rental_price_decline": "Fall of rents",
    "rental_reserved_discount": "Discount for reserving",
    "residual_3y": "Residual value after 3 years",
    "spares_rate": "Spare parts",
    "staff_hours_fixed": "Hours of staff for the service",
    "staff_hours_per_server": "Hours of staff for a server",
    "staff_rate_cn": "Cost of an hour of staff",
    "staff_rate_eu": "Cost of an hour of staff",
    "staff_rate_us": "Cost of an hour of staff",
    "storage_per_server": "Storage of a server",
    "support_rate": "Support contract",
    "tax_rate": "Tax that is not recovered",
}  # fmt: skip
# Who answers for a figure, by what its key begins with; everything else is the team's.
FACILITIES = ("pue", "electricity", "colocation", "rack", "remote_hands", "installation", "network")
FINANCE = ("api_price", "book", "contingency", "decommission", "discount", "economic", "fx",
           "insurance", "lease", "price_age", "rental", "residual", "support", "tax")  # fmt: skip
FACILITIES_OWNER, FINANCE_OWNER, PRICE_OWNER = "Facilities", "Finance", "Procurement"
HIGH, MEDIUM, LOW = "high", "medium", "low"
OLD = 365  # of a source, above which confidence is no longer high [day]
SPEED, SPEED_UNIT = "Speed of one replica within the limits", "call/s"
SPEED_MEASURED = "prediction; device measured (section 4)"
SPEED_UNSEEN = "prediction; device not measured (section 4)"
OUR_GUESS = "assumption, not looked up"
NO_FIGURE = "No figure within its range moves the cost by more than 0.1 %."
SHORT_TITLE = "The figures that move the cost most"
SHORT_NOTE = (
    "Moves: the {years}-year cost in thousand {currency} with the figure at the ends of its range, "
    "everything else as planned. No.: the row of the full register in appendix A. "
    "Of {all} figures, {guesses} are assumptions without a source and {own} come from the team's "
    "own file."
)
FULL_TITLE = "Assumptions register"
FULL_NOTE = (
    "{all} figures: {guesses} are assumptions without a source, {own} come from the team's own "
    "file, the others are sourced. Confidence: high for the team's own figures, quotes and sources "
    "of the last twelve months, medium for older sources and for prices from lists, low for "
    "assumptions, estimates and stale prices."
)
ENDS = "{low} to {high}"
NUMBER = "A{number}"
DATED, BRIEFLY = "{source} ({date})", "{source}, {date}"
PRICE, STALE_PRICE = "{status}, {age} old", "{status}, {age} old: stale"


def rows(plan: Plan) -> list[dict]:
    """
    Every figure that the report used so far, prices first.

    Parameters
    ----------
    plan : Plan
        Its terms remember what was looked up.

    Returns
    -------
    register : list of dict
        number (of the row, as printed), key, assumption (in words), value, low, high, unit, status,
        source, date, confidence and owner of each.
    """
    found = [
        price | {
            "key": "", "assumption": price["what"], "owner": say(PRICE_OWNER),
            "confidence": _of_price(price),
            "status": say(STALE_PRICE if price["stale"] else PRICE, status=say(price["status"]),
                          age=price["age"]),
        }
        for price in prices.used(plan)
    ]  # fmt: skip
    found += [
        figure | {
            "assumption": label(figure["key"]), "owner": owner(figure["key"], plan),
            "confidence": _of_term(figure, plan), "date": figure["source_date"],
        }
        for figure in plan.terms.register()
    ]  # fmt: skip
    return [row | {"number": say(NUMBER, number=at)} for at, row in enumerate(found, 1)]


def label(key: str) -> str:
    """
    An assumption in words.

    Examples
    --------
    >>> label("residual_3y"), label("some_new_rate")
    ('Residual value after 3 years', 'Some new rate')
    """
    return say(LABELS.get(key) or key.replace("_", " ").capitalize())


def owner(key: str, plan: Plan) -> str:
    """Who answers for an assumption."""
    if key.startswith(FACILITIES):
        return say(FACILITIES_OWNER)
    return say(FINANCE_OWNER) if key.startswith(FINANCE) else plan.team.owner


def _of_term(row, plan):
    if row["status"] == "team file":
        return say(HIGH)
    if row["status"] != "sourced":
        return say(LOW)
    return say(HIGH if not prices.stale(row["source_date"], plan.made, OLD) else MEDIUM)


def _of_price(row):
    if row["stale"] or row["status"] in ("estimate", "assumption", "claim"):
        return say(LOW)
    return say(HIGH if row["status"] in (prices.QUOTED, "quote") else MEDIUM)


def _counts(register):
    status = [row["status"] for row in register if row["key"]]
    return {
        "all": len(status),
        "guesses": status.count("assumption"),
        "own": status.count("team file"),
    }


def full(plan: Plan) -> display.Shown:
    """The whole register, for the appendix."""
    register = rows(plan)
    written = [
        row | {
            "origin": _origin(row), "status": term(row["status"]),
            "unit": phrases.measure(row["unit"]),
        }
        for row in register
    ]  # fmt: skip
    columns = {
        "number": Column("No."),
        "assumption": Column("Figure"),
        "value": Column("Value", low="low", high="high"),
        "unit": Column("Unit"),
        "status": Column("Status"),
        "origin": Column("Source"),
        "confidence": Column("Trust"),
        "owner": Column("Owner"),
    }
    note = say(" ").join([say(FULL_NOTE, **_counts(register)), prices.remark(prices.used(plan))])
    return display.table(written, columns, FULL_TITLE, note)


def _origin(row):
    source = (
        say(OUR_GUESS)
        if row["source"] == "assumption of this catalogue, not looked up"
        else row["source"]
    )
    return say(DATED, source=source, date=phrases.day(row["date"])) if row["date"] else source


def short(plan: Plan) -> display.Shown:
    """The figures that move the cost most, for the body."""
    if plan.chosen is None:
        return display.text("No option, no cost.")
    moved = uncertainty.sensitivity(plan)
    if moved.empty:
        return display.text(NO_FIGURE)
    span = (moved["high"] - moved["low"]).abs()
    moved = moved.loc[span.sort_values(ascending=False).index]
    register, found = rows(plan), []
    for factor, *ends in zip(moved["factor"], moved["low"], moved["high"], strict=True):
        moves = say(ENDS, low=_rounded(min(ends)), high=_rounded(max(ends)))
        for position, figure in enumerate(_behind(factor, register, plan)):
            found.append(figure | {"moves": moves if position == 0 else ""})
    columns = {
        "assumption": Column("Figure"),
        "value": Column("Value", low="low", high="high"),
        "unit": Column("Unit"),
        "moves": Column("Moves", phrases.thousands(plan.team.currency)["unit"], align="right"),
        "origin": Column("Source and date"),
        "confidence": Column("Trust"),
        "owner": Column("Owner"),
        "number": Column("No."),
    }
    note = say(
        SHORT_NOTE, years=plan.team.growth.years, currency=phrases.unit(plan.team.currency),
        **_counts(register),
    )  # fmt: skip
    return display.table(found[:MOST], columns, SHORT_TITLE, note)


def _rounded(amount):
    scale = phrases.thousands("")["scale"]
    return f"{amount * scale:{',.0f' if scale == 1e-3 else ',.1f'}}"


def _behind(factor, register, plan):
    """The rows of the register that a factor of the sensitivity stands for."""
    option = plan.chosen
    if factor == "Speed of the machine":
        seen = option["device_id"] in bands.measured_devices()
        return [{
            "assumption": say(SPEED), "value": option["rate"], "low": option["rate_low"],
            "high": option["rate_high"], "unit": term(SPEED_UNIT), "owner": plan.team.owner,
            "origin": say(SPEED_MEASURED if seen else SPEED_UNSEEN),
            "confidence": say(MEDIUM if seen else LOW), "number": "",
        }]  # fmt: skip
    if factor in ("Price of the server", "Rent of an hour"):
        named = [row for row in register if row["key"] == "" and row["unit"]][:1]
    else:
        # A tariff or a wage of another region was looked up for another option.
        named = [
            row for row in register
            if row["key"] in draws.FACTORS.get(factor, ())
            and (not REGIONAL.fullmatch(row["key"])
                 or row["key"].endswith(f"_{plan.team.policy.region}"))
        ]  # fmt: skip
    return [row | {"origin": _briefly(row), "unit": phrases.measure(row["unit"])} for row in named]


def _briefly(row):
    """The first words of a source; the whole of it stands in the appendix."""
    if row["status"] == "assumption":
        return say(BRIEFLY, source=say(OUR_GUESS), date=phrases.day(row["date"]))
    first = re.split(r"[;:(]| via |, ", row["source"])[0].strip()
    if row["key"] == "" and row["status"] != prices.QUOTED:
        first = row["status"]
    elif len(first) > 44:
        first = first[:43].rsplit(" ", 1)[0] + "…"
    return say(BRIEFLY, source=first, date=phrases.day(row["date"])) if row["date"] else first
