"""How old prices are, when that is too old, and where the catalogue differs from a package's data.

Nothing here writes a price: a person looks at the differences and decides.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from planner import phrases
from planner.catalogue import Catalogue, Server, convert
from planner.language import say, term
from planner.plan import Plan
from planner.remembered import remembered

# Prices of servers in which memory is this share of the price move with memory.
MEMORY_SHARE = 0.25
QUOTED = "quote in the team file"
REPLACES = "; replaces the catalogue's {price:,.0f} {currency} of {date}"
STALE = ": stale after {limit:.0f} days; ask for a quote before signing"
STALE_MEMORY = (
    ": stale after {limit:.0f} days, since memory makes much of it; ask for a quote before signing"
)
RENT_OF = "Rent of one {device}, {tier}"
SAME = 0.005  # relative difference below which two prices are equal: packages round


class Age(NamedTuple):
    """
    Age of a price, as exactly as its date tells.

    Parameters
    ----------
    least, most : int
        Equal where the date names a day. [day]
    """

    least: int
    most: int

    def __str__(self) -> str:
        if self.most < 60:
            exact = self.least == self.most
            return say("{days} days" if exact else "up to {days} days", days=self.most)
        exact, months = self.most - self.least < 15, self.most / 30.44
        return say("{months:.0f} months" if exact else "up to {months:.0f} months", months=months)


def age(dated: str, today: date) -> Age:
    """
    Age of a price.

    Parameters
    ----------
    dated : str
        ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``.
    today : date
        When it is used.

    Returns
    -------
    age : Age
        Zero where the price is of a later day than the plan. [day]

    Examples
    --------
    >>> age("2026-11-22", date(2026, 11, 24)), str(age("2026-06", date(2026, 11, 24)))
    (Age(least=2, most=2), 'up to 6 months')
    """
    parts = [int(part) for part in dated.split("-")]
    first = date(parts[0], *([*parts[1:], 1, 1])[:2])
    month = parts[1] if len(parts) > 1 else 12
    last = date(parts[0], month, parts[2] if len(parts) > 2 else monthrange(parts[0], month)[1])
    return Age(max((today - last).days, 0), max((today - first).days, 0))


def stale(dated: str, today: date, limit: float) -> bool:
    """
    Whether a price is older than it may be.

    Parameters
    ----------
    dated : str
        Its date; where only a year or month is known, its first day counts.
    today : date
        When it is used.
    limit : float
        Age that it may have. [day]

    Returns
    -------
    stale : bool

    Examples
    --------
    >>> stale("2026-11-22", date(2026, 11, 24), 60), stale("2026", date(2026, 11, 24), 180)
    (False, True)
    """
    return age(dated, today).most > limit


def memory_heavy(server: Server, catalogue: Catalogue) -> bool:
    """
    Whether memory makes so much of a server's price that the price moves with it.

    Parameters
    ----------
    server : Server
        Of the catalogue.
    catalogue : Catalogue
        Where the price of memory is.

    Returns
    -------
    heavy : bool
    """
    price = catalogue.assumptions["memory_price"].value  # [USD/GB]
    memory = convert(price * server.memory / 1e9, "USD", server.currency, catalogue)
    return memory >= MEMORY_SHARE * server.price


# ---- the prices of one report ------------------------------------------------------------------


@remembered
def used(plan: Plan) -> list[dict]:
    """
    The prices that a report's comparison rests on, each with its age.

    Parameters
    ----------
    plan : Plan
        Its recommendation and the cheapest way to buy, to rent and to pay per token.

    Returns
    -------
    prices : list of dict
        what, value, low, high, unit, status (of the record, or quote of the team), source, date,
        age (in words), limit [day] and stale (bool) of each price. [currency]
    """
    table = plan.options
    limit, npv = table["limit"].to_numpy(), table["npv"].to_numpy(float)
    known = np.flatnonzero((limit != "quality") & ~np.isnan(npv))
    known = known[npv[known].argsort(kind="stable")]
    _, first = np.unique(table["sourcing"].to_numpy(str)[known], return_index=True)
    best = [row for row in known[np.sort(first)] if limit[row] in ("none", "policy", "budget")]
    rows = [] if plan.chosen is None else [plan.chosen]
    rows += [table.iloc[row] for row in best]
    found = {price["what"]: price for row in rows for price in _prices(row, plan)}
    return [
        price | {
            "age": str(age(price["date"], plan.made)),
            "stale": stale(price["date"], plan.made, price["limit"]),
        }
        for price in found.values()
    ]  # fmt: skip


def of_server(plan: Plan, server: Server) -> str:
    """
    Age of the price of a server, whether that is too old, and what a quote replaces.

    Parameters
    ----------
    plan : Plan
        Its team's quotes and its date.
    server : Server
        Of the catalogue.

    Returns
    -------
    words : str
    """
    price = _server_price(server, plan)
    words = say("{age} old", age=age(price["date"], plan.made))
    if server.id in plan.team.quotes:
        was = {"price": server.price, "currency": phrases.unit(server.currency)}
        words += say(REPLACES, **was, date=phrases.day(server.price_date))
    if stale(price["date"], plan.made, price["limit"]):
        heavy = memory_heavy(server, plan.catalogue)
        words += say(STALE_MEMORY if heavy else STALE, limit=price["limit"])
    return words


def validity(plan: Plan) -> dict | None:
    """
    How long the prices of the recommendation hold.

    Parameters
    ----------
    plan : Plan
        With or without a recommendation.

    Returns
    -------
    first : dict or None
        The price that becomes stale first: what, age (in words), limit [day], until (the last day
        on which it is not stale, as ISO date) and stale. None without a price.
    """
    found = []
    for price in [] if plan.chosen is None else _prices(plan.chosen, plan):
        oldest = age(price["date"], plan.made).most
        left = price["limit"] - oldest
        found.append({
            "what": price["what"], "age": str(age(price["date"], plan.made)),
            "limit": price["limit"], "stale": left < 0,
            "until": (plan.made + timedelta(days=int(left))).isoformat(),
        })  # fmt: skip
    return min(found, key=lambda price: price["until"], default=None)


def _prices(option, plan) -> Iterator[dict]:
    """The prices of one option as rows of `used`."""
    catalogue, terms = plan.catalogue, plan.terms
    limit = terms("price_age_limit")
    if option["sourcing"] == "own":
        yield _server_price(catalogue.servers[option["server_id"]], plan)
    elif option["sourcing"] == "rent":
        tier = option["provider"].removesuffix(" cloud")
        for offer in catalogue.rentals.values():
            if offer.device == option["device_id"] and offer.tier == tier:
                device = catalogue.devices[offer.device].name
                yield {
                    "what": say(RENT_OF, device=device, tier=say(tier)),
                    "value": terms.money(offer.price, offer.currency),
                    "low": terms.money(offer.price_low, offer.currency),
                    "high": terms.money(offer.price_high, offer.currency),
                    "unit": f"{phrases.unit(plan.team.currency)}/h", "status": "market price",
                    "source": offer.source, "date": offer.source_date, "limit": limit,
                }  # fmt: skip
    elif option["sourcing"] == "api":
        offer = catalogue.api_prices[option["provider"]]
        for word in ("input", "output"):
            value = terms.money(getattr(offer, word) * 1e6, offer.currency)
            yield {
                "what": say(f"{{name}}, {word} tokens", name=offer.id),
                "value": value, "low": value, "high": value,
                "unit": f"{phrases.unit(plan.team.currency)}/Mtoken", "status": "list price",
                "source": offer.source, "date": offer.source_date, "limit": limit,
            }  # fmt: skip


def remark(prices: list[dict]) -> str:
    """
    How many prices are stale, and what to do about them.

    Parameters
    ----------
    prices : list of dict
        From `used`.

    Returns
    -------
    words : str
        Empty without prices.
    """
    if not prices:
        return ""
    quoted = sum(price["status"] == QUOTED for price in prices)
    old = sum(price["stale"] for price in prices)
    words = say("{count} prices decide: ", count=len(prices))
    none = "none is a quote of the team, "
    words += say("{quoted} quoted to the team, " if quoted else none, quoted=quoted)
    if not old:
        return words + say("none is stale.")
    remedy = "{old} stale; ask for quotes and put them under quotes in the team file."
    return words + say(remedy, old=old)


def _server_price(server, plan) -> dict:
    """The price of a server as a row of `used`; the team's quote takes precedence."""
    terms, quote = plan.terms, plan.team.quotes.get(server.id)
    heavy = memory_heavy(server, plan.catalogue)
    limit = terms("price_age_limit_memory" if heavy else "price_age_limit")
    what = say("Price of {name}", name=term(server.name))
    row = {"what": what, "unit": phrases.unit(plan.team.currency), "limit": limit}
    if quote:
        money = terms.money(quote.price, quote.currency)
        return row | {
            "value": money, "low": money, "high": money, "status": QUOTED,
            "source": quote.reference, "date": quote.date.isoformat(),
        }  # fmt: skip
    low, middle, high = (
        terms.money(amount, server.currency)
        for amount in (server.price_low, server.price, server.price_high)
    )
    return row | {
        "value": middle, "low": low, "high": high, "status": server.price_status,
        "source": server.source, "date": server.price_date,
    }  # fmt: skip


# ---- against another collection ----------------------------------------------------------------


def differences(catalogue: Catalogue, today: date) -> pd.DataFrame:
    """
    The catalogue's API prices beside those that came with the installed package genai-prices.

    Its data are read as installed; nothing is requested.

    Parameters
    ----------
    catalogue : Catalogue
        Whose ``api_prices``.
    today : date
        The day whose prices are compared; at noon UTC, where a price depends on the hour.

    Returns
    -------
    compared : DataFrame
        id, what (input, output, cached input), ours, theirs [USD/Mtoken], percent (theirs above
        ours), ours_date, model (as the package calls it), status (equal, differs, only ours, only
        theirs, unknown there), note.

    References
    ----------
    .. [1] pydantic/genai-prices (MIT), package data.
    """
    from genai_prices.data_snapshot import get_snapshot

    snapshot, noon = get_snapshot(), datetime.combine(today, time(12), UTC)
    rows = []
    for offer in catalogue.api_prices.values():
        base = {"id": offer.id, "ours_date": offer.source_date}
        if offer.currency != "USD":
            base["note"] = f"ours is in {offer.currency}, at the catalogue's rate"
        try:
            reference = offer.id.removeprefix(f"{offer.provider}/")
            _, model = snapshot.find_provider_model(reference, None, offer.provider, None)
        except LookupError:
            rows.append({**base, "status": "unknown there"})
            continue
        theirs = model.get_prices(noon)
        for what, own, name in (
            ("input", offer.input, "input_mtok"),
            ("output", offer.output, "output_mtok"),
            ("cached input", offer.cached_input, "cache_read_mtok"),
        ):
            other = getattr(theirs, name, None)
            other = float(getattr(other, "base", other)) if other is not None else None
            own = None if own is None else convert(own * 1e6, offer.currency, "USD", catalogue)
            if own is not None or other is not None:
                rows.append({**base, "what": what, "model": model.id, **_compared(own, other)})
    columns = ["id", "what", "ours", "theirs", "percent", "ours_date", "model", "status", "note"]
    return pd.DataFrame(rows, columns=columns).fillna({"what": "", "model": "", "note": ""})


def _compared(own, other):
    if own is None or other is None:
        return {"ours": own, "theirs": other, "status": "only ours" if other is None
                else "only theirs"}  # fmt: skip
    percent = 100 * (other / own - 1) if own else (0.0 if other == 0 else float("inf"))
    status = "equal" if abs(percent) <= 100 * SAME else "differs"
    return {"ours": own, "theirs": other, "percent": percent, "status": status}


def text(compared: pd.DataFrame) -> str:
    """
    Differences for the terminal.

    Parameters
    ----------
    compared : DataFrame
        From `differences`.

    Returns
    -------
    words : str
    """
    from importlib.metadata import version

    shown = compared[~compared["status"].isin(["equal", "unknown there"])]
    absent = compared.loc[compared["status"] == "unknown there", "id"]
    lines = [f"API prices against genai-prices {version('genai-prices')}, in USD per Mtoken:"]
    if len(shown):
        lines.append(
            shown.to_string(
                index=False, na_rep="-", columns=[c for c in shown if c != "model"],
                float_format=lambda value: f"{value:,.4g}",
            )
        )  # fmt: skip
    same = int((compared["status"] == "equal").sum())
    lines.append(
        f"{len(shown)} of {len(compared) - len(absent)} differ, {same} are equal; "
        f"{len(absent)} models are not in the package."
    )
    lines.append("Nothing was changed: a new price is a new row of data/api_prices.csv.")
    return "\n".join(lines)
