"""What two published sums of one API's cost say about the call that their author had in mind."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner.catalogue import Catalogue

CALLS = {"api_cost_per_100k_calls": 100_000, "api_cost_per_year": 100 * 365}  # as the claims say


def tokens_per_call(catalogue: Catalogue) -> pd.DataFrame:
    """
    Tokens of one call that each claimed cost of an API implies at the claimed price.

    Parameters
    ----------
    catalogue : Catalogue
        Its claims; only those of an API that has a claimed price per token count.

    Returns
    -------
    sums : DataFrame
        api; price [USD/token]; per_100k_calls, per_year: what is claimed for 100,000 calls and for
        100 calls a day over a year [USD]; tokens_100k, tokens_year: tokens that each implies
        [token/call]; contradiction: the larger over the smaller.
    """
    by_id = {claim.id: claim for claim in catalogue.claims}
    rows = []
    for claim in catalogue.claims:
        start, _, api = claim.id.rpartition(".price.")
        parts = {metric: by_id.get(f"{start}.{metric}.{api}") for metric in CALLS}
        if claim.metric != "price" or not start or None in parts.values():
            continue
        price = claim.low * claim.scale
        cost = {metric: part.low for metric, part in parts.items()}
        tokens = [cost[metric] / calls / price for metric, calls in CALLS.items()]
        rows.append((api, price, *cost.values(), *tokens, np.divide(max(tokens), min(tokens))))
    columns = ["api", "price", "per_100k_calls", "per_year", "tokens_100k", "tokens_year"]
    return pd.DataFrame(rows, columns=[*columns, "contradiction"])
