"""Where a text contradicts itself: claims that cannot all be true, found by rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from planner import api_claims
from planner.catalogue import Catalogue, Claim, convert
from planner.claim_facts import subject

ROUNDING = 0.05  # two figures that differ by less say the same
SAME = ("memory_gb", "disk_gb", "memory_saving", "quality_loss", "speed_gain", "parameters",
        "active_parameters", "decode_tok_s", "programming_languages", "languages")  # fmt: skip
MONTHS, YEARS = 36, 3


def _apart(first, second) -> bool:
    """Two ranges that do not meet, beyond rounding."""
    return first[1] < second[0] * (1 - ROUNDING) or second[1] < first[0] * (1 - ROUNDING)


def _range(low, high, unit=""):
    shown = f"{low:,.3g}" if np.isclose(low, high) else f"{low:,.3g} to {high:,.3g}"
    return f"{shown} {unit}".strip()


def _by_metric(claims, *metrics) -> dict[str, list[Claim]]:
    return {m: [c for c in claims if c.metric == m] for m in metrics}


def same_quantity(claims, catalogue) -> Iterator[tuple]:
    """One quantity under the same conditions, with two values."""
    for first, second in combinations([c for c in claims if c.metric in SAME], 2):
        keys = [
            (subject(c), c.metric, c.weight_format, c.server, c.users, c.context_tokens)
            for c in (first, second)
        ]
        ends = [(c.low, c.high) for c in (first, second)]
        if keys[0] == keys[1] and _apart(*ends):
            words = f"{_range(*ends[0], first.unit)} in one place, {_range(*ends[1])} in another"
            yield (first, second), words


def smaller_than_its_parameters(claims, catalogue) -> Iterator[tuple]:
    """Memory or files below the parameters times the bits of the format."""
    sizes = _by_metric(claims, "parameters", "memory_gb", "disk_gb")
    counts = {c.model_id: c for c in sizes["parameters"] if c.model_id}
    for claim in sizes["memory_gb"] + sizes["disk_gb"]:
        count = counts.get(claim.model_id)
        if count is None or not claim.weight_format:
            continue
        bits = catalogue.formats[claim.weight_format].bits
        size = count.low * bits / 8
        if claim.high < size * (1 - ROUNDING):
            words = (
                f"{count.low:g} billion parameters of {bits:g} bits are {size:,.0f} GB, not "
                f"{_range(claim.low, claim.high)}"
            )
            yield (count, claim), words


def saving_of_the_table(claims, catalogue) -> Iterator[tuple]:
    """Memory in two formats against the saving that is claimed for the format."""
    found = _by_metric(claims, "memory_gb", "memory_saving")
    exact = {(c.model_id, c.weight_format): c for c in found["memory_gb"]
             if c.low == c.high and not c.users}  # fmt: skip
    for saving in found["memory_saving"]:
        for (model, name), small in exact.items():
            full = exact.get((model, "bf16"))
            if name == saving.weight_format and full:
                share = 100 * (1 - small.low / full.low)
                if abs(share - saving.low) > 5:
                    words = (
                        f"{small.low:g} of {full.low:g} GB save {share:.0f} %, not {saving.low:g} %"
                    )
                    yield (small, full, saving), words


def time_and_speed(claims, catalogue) -> Iterator[tuple]:
    """Time of an answer against first token and speed of the same model and machine."""
    found = _by_metric(claims, "task_s", "decode_tok_s", "ttft_s")
    speeds, firsts = (
        {(c.model_id, c.server): c for c in found[m]} for m in ("decode_tok_s", "ttft_s")
    )
    for task in found["task_s"]:
        key = (task.model_id, task.server)
        speed, first = speeds.get(key), firsts.get(key)
        if speed is None or first is None:
            continue
        low = first.low + task.output_tokens / speed.high
        high = first.high + task.output_tokens / speed.low
        if task.high < low or task.low > high:
            words = (
                f"first token and {task.output_tokens} tokens at the claimed speed take "
                f"{_range(low, high)} s, not {_range(task.low, task.high)} s"
            )
            yield (task, speed, first), words


def memory_that_is_needed(claims, catalogue) -> Iterator[tuple]:
    """Memory that is enough in one place and too little in another."""
    found = _by_metric(claims, "fits_gb", "needs_gb", "memory_gb")
    for fits in found["fits_gb"]:
        needs = [
            need for need in found["needs_gb"] + found["memory_gb"]
            if (need.model_id, need.weight_format) == (fits.model_id, fits.weight_format)
            and (need.users or 1) <= (fits.users or 1)
        ]  # fmt: skip
        most = max(needs, key=lambda need: need.low, default=fits)
        if fits.low < most.low * (1 - ROUNDING / 2):
            who = f" for {most.users} users" if most.users else ""
            words = f"{fits.low:g} GB are said to be enough, and {most.low:g} GB to be needed{who}"
            yield (fits, most), words


def sums_of_an_api(claims, catalogue) -> Iterator[tuple]:
    """Two sums at one price that mean calls of different lengths."""
    by_id = {c.id: c for c in claims}
    for row in api_claims.tokens_per_call(catalogue).itertuples():
        parts = [c for c in by_id.values() if subject(c) == row.api and c.unit.startswith("USD")]
        if row.contradiction > 1 + ROUNDING and len(parts) > 1:
            words = (
                f"at the stated price the one sum means calls of {row.tokens_100k:,.0f} tokens, "
                f"the other of {row.tokens_year:,.0f}"
            )
            yield tuple(parts), words


def price_over_time(claims, catalogue) -> Iterator[tuple]:
    """A month or a year of a server against its price over three years."""
    found = _by_metric(claims, "price", "monthly_cost", "own_cost_per_year")
    prices = {c.server: c for c in found["price"] if c.server}
    for claim in found["monthly_cost"] + found["own_cost_per_year"]:
        price = prices.get(claim.server)
        times = MONTHS if claim.metric == "monthly_cost" else YEARS
        if price and _apart((times * claim.low,) * 2, (price.low,) * 2):
            words = f"{times} times {claim.low:,g} is {times * claim.low:,g}, not {price.low:,g}"
            yield (claim, price), words


def break_even_of_its_sums(claims, catalogue) -> Iterator[tuple]:
    """The calls a day above which owning is cheaper, from the text's own sums."""
    found = _by_metric(claims, "break_even_calls_per_day", "own_cost_per_year", *api_claims.CALLS)
    for claim in found["break_even_calls_per_day"]:
        for own in found["own_cost_per_year"]:
            sums = [c for metric in api_claims.CALLS for c in found[metric]]
            yearly = convert(own.low, "CNY", "USD", catalogue)
            calls = [yearly * api_claims.CALLS[c.metric] / c.low / 365 for c in sums]
            if sums and all(_apart((claim.low,) * 2, (n,) * 2) for n in calls):
                shown = ", ".join(f"{n:,.0f}" for n in sorted(calls))
                words = (
                    f"its own sums give {shown} calls a day by API and length, not {claim.low:g}"
                )
                yield (claim, *sums), words


def date_of_the_text(claims, catalogue) -> Iterator[tuple]:
    """An edition that is later than the last change."""
    found = _by_metric(claims, "updated", "edition")
    for edition in found["edition"]:
        for updated in found["updated"]:
            if edition.value_text > updated.value_text:
                words = f"edition of {edition.value_text}, last updated {updated.value_text}"
                yield (edition, updated), words


RULES = {
    "one quantity, two values": same_quantity,
    "smaller than its parameters": smaller_than_its_parameters,
    "saving and sizes": saving_of_the_table,
    "time and speed": time_and_speed,
    "enough and needed memory": memory_that_is_needed,
    "sums of an API": sums_of_an_api,
    "price and rate": price_over_time,
    "break-even and sums": break_even_of_its_sums,
    "date of the text": date_of_the_text,
}


def found(catalogue: Catalogue) -> pd.DataFrame:
    """
    Every contradiction among claims of one source.

    Parameters
    ----------
    catalogue : Catalogue
        Its claims, bits of formats and exchange rates.

    Returns
    -------
    contradictions : DataFrame
        rule, ids (tuple of the claims that cannot all be true), reason.
    """
    rows = []
    for source in dict.fromkeys(claim.source for claim in catalogue.claims):
        these = [claim for claim in catalogue.claims if claim.source == source]
        for rule, function in RULES.items():
            for parts, reason in function(these, catalogue):
                rows.append((rule, tuple(part.id for part in parts), reason))
    return pd.DataFrame(rows, columns=["rule", "ids", "reason"])
