"""Claims about money: servers, what they cost a month, APIs, and where one beats the other.

Each check takes a claim and the catalogue and returns a `verdicts.Finding` in the claim's unit.
"""

from __future__ import annotations

import numpy as np

from planner import api_claims, claim_facts, cost, money, pricing
from planner import team as teams
from planner.catalogue import GIB, Catalogue, Claim, Server, convert
from planner.claim_sizes import replica
from planner.claim_speeds import CONTEXT, ENGINE
from planner.estimate import decode_step_time, prefill_time
from planner.team import Team
from planner.terms import Terms
from planner.verdicts import Finding, compared, unchecked

TEAM = "guide_one_developer"  # whose calls and assumptions are used where a claim states none
YEARS, MONTHS = 3, 36  # over which the guide writes its servers off
LONGER = (0.5, 1.0, 2.0)  # calls as long as the team's, half and twice that
LEFT_OUT = "delivery, network, electricity, support, the hours of whoever runs it, and its resale"


def outlay(server_id: str, model_id: str, catalogue: Catalogue, name: str = TEAM) -> dict:
    """
    All that owning one server costs over three years, as reports reckon it.

    Parameters
    ----------
    server_id, model_id : str
        Ids of the catalogue; the model runs in BF16.
    catalogue : Catalogue
        Prices and assumptions.
    name : str
        Team whose calls and assumptions are used.

    Returns
    -------
    outlay : dict of ndarray
        total, middle, low and high by the price of the server [CNY]; per_day: calls of the team
        that the server answers in a day without a pause [call/day].
    """
    team = teams.read(name, catalogue)
    table, call = owned(catalogue.servers[server_id], model_id, team, Terms(team, catalogue))
    return {"total": table["total"], "per_day": 86400 / call[0]}


def owned(
    server: Server, model_id: str, team: Team, terms: Terms, price_factor: float = 1.0
) -> tuple[dict, np.ndarray]:  # fmt: skip
    """
    One server that answers the calls of a team one after the other, over the years of its plan.

    Parameters
    ----------
    server : Server
        Runs the model in BF16.
    model_id : str
        Id of the catalogue.
    team : Team
        Whose calls and years.
    terms : Terms
        Whose assumptions.
    price_factor : float
        Price of the server relative to the catalogue's. [ratio]

    Returns
    -------
    lines : dict of ndarray
        From `pricing.own`, for the middle, low and high price. [currency of the team]
    call : ndarray
        Time that a call takes. [s]
    """
    asked, years = team.workload, team.growth.years
    group = replica(model_id, server.device, ENGINE, "bf16", server.sockets)
    call = prefill_time(group, asked.prompt_tokens)
    call = call + asked.output_tokens * decode_step_time(group, 1, CONTEXT)
    prices = [terms.money(price_factor * price, server.currency)
              for price in (server.price, server.price_low, server.price_high)]  # fmt: skip
    lines = pricing.own(
        np.ones((3, years)), 1, 1 / call, np.array(prices), money.machine(server),
        np.full(years, asked.calls_per_day * asked.days_per_year), team, terms,
    )  # fmt: skip
    return lines, call


def server_price(claim: Claim, catalogue: Catalogue) -> Finding:
    """No dated offer is known: only what the memory alone costs today can be said."""
    memory = catalogue.assumptions["memory_price"]
    server = catalogue.servers[claim.server]
    size = server.memory / GIB
    low, high = (size * convert(end, "USD", "CNY", catalogue) for end in (memory.low, memory.high))
    words = (
        "neither seller nor date is named and no dated offer of such a used server is on file; at "
        f"the price of new DDR5 of {memory.source_date} its memory alone is {low:,.0f} to "
        f"{high:,.0f} CNY"
    )
    for other in catalogue.servers.values():
        same = (other.device, other.sockets) == (server.device, server.sockets)
        if same and other.price_status == "assumption":
            low, high = (
                convert(end, other.currency, "CNY", catalogue)
                for end in (other.price_low, other.price_high)
            )
            words += (
                f"; {other.name}, {low:,.0f} to {high:,.0f} CNY, is from memory and decides nothing"
            )
    return unchecked(words, source=memory.source)


def price(claim: Claim, catalogue: Catalogue) -> Finding:
    """Of a server, or of an API's tokens."""
    if claim.server:
        return server_price(claim, catalogue)
    return claim_facts.published(claim, catalogue)


def owning(claim: Claim, catalogue: Catalogue) -> Finding:
    """A month or a year of a server, against all that it costs."""
    total = outlay(claim.server, claim.model_id, catalogue)["total"]
    parts = MONTHS if claim.metric == "monthly_cost" else YEARS
    value, low, high = total / parts
    words = (
        f"all in all {value:,.0f} {claim.unit} ({low:,.0f} to {high:,.0f} with the price of the "
        f"server) over {YEARS} years; the claim leaves out {LEFT_OUT}"
    )
    source = f"computed as for the team {TEAM}, in its own room"
    return compared(claim, value, words, source, low=low, high=high)


def call_price(name: str, catalogue: Catalogue, longer=1.0) -> np.ndarray:
    """
    Price of one call of the guide's developer.

    Parameters
    ----------
    name : str
        ``gpt4`` or ``claude``, with the prices of `data/published.csv`.
    catalogue : Catalogue
        The prices.
    longer : numeric
        Tokens relative to those of the team. [ratio]

    Returns
    -------
    price : ndarray
        [USD/call]
    """
    load = teams.read(TEAM, catalogue).workload
    other = catalogue.published[f"{name}:price"]  # prompt and answer
    each = load.prompt_tokens * other.low + load.output_tokens * other.high
    return np.asarray(longer) * each * 1e-3


def api_sum(claim: Claim, catalogue: Catalogue) -> Finding:
    """What so many calls cost, for calls as long as those of the guide's developer."""
    name = claim_facts.subject(claim)
    calls = api_claims.CALLS[claim.metric]
    low, value, high = calls * call_price(name, catalogue, LONGER)
    load = teams.read(TEAM, catalogue).workload
    other = catalogue.published[f"{name}:price"]
    words = (
        f"{value:,.0f} USD for calls of {load.prompt_tokens:.0f} prompt and "
        f"{load.output_tokens:.0f} answer tokens, {low:,.0f} to {high:,.0f} for half and twice "
        "that; the claim states no length"
    )
    return compared(claim, value, words, f"{other.source}, {other.source_date}", low=low, high=high)


def break_even(claim: Claim, catalogue: Catalogue) -> Finding:
    """Calls a day above which the guide's server is cheaper than the guide's APIs."""
    own = next(c for c in catalogue.claims if c.metric == "own_cost_per_year")
    found = outlay(own.server, own.model_id, catalogue)
    yearly = convert(found["total"][0] / YEARS, "CNY", "USD", catalogue)
    calls = cost.break_even_calls_per_day(yearly, call_price("gpt4", catalogue, LONGER)).calls
    high, value, low = (float(number) for number in calls)
    same = [offer for offer in catalogue.api_prices.values() if offer.model_id == own.model_id]
    load = teams.read(TEAM, catalogue).workload
    cheap = min(convert(load.prompt_tokens * o.input + load.output_tokens * o.output,
                        o.currency, "USD", catalogue) for o in same)  # fmt: skip
    other = float(cost.break_even_calls_per_day(yearly, cheap).calls)
    words = (
        f"{low:,.0f} to {high:,.0f} calls a day against GPT-4 once all costs of owning count; "
        f"against an API of the same model {other:,.0f}, and the server answers "
        f"{found['per_day']:,.0f} a day at most"
    )
    return compared(claim, value, words, "computed from prices of both", low=low, high=high)
