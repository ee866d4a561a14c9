"""Claims about memory and disk: at least the weights, and what the stated users add.

Each check takes a claim and the catalogue and returns a `verdicts.Finding` in the claim's unit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import budget, estimate, serving
from planner.catalogue import Catalogue, Claim
from planner.language import say
from planner.verdicts import TOLERANCE, Finding, brief, compared

CONTEXT, MOST_CONTEXT = 4096, 16384  # of one user where none is stated: the guide's own settings
MOST_USERS = 10  # where no number is stated: the most that the guide serves
SMALLER = ("int8-w8a8", "awq-int4")  # formats that are tried when a claim does not fit in its own
TOO_SMALL = (
    "the weights alone take {weights:,.1f} GB in {format}, {ratio:.3g} times what is claimed"
)
UNSTATED = (
    "no format is stated: the weights take {weights:,.1f} GB in {format}, {smaller:,.1f} GB in "
    "8 bits and {smallest:,.1f} GB in 4 bits"
)
WEIGHTS = "the weights take {weights:,.1f} GB in {format}"
WEIGHTS_AND_CACHE = "the weights take {weights:,.1f} GB in {format}; the rest is cache"


@lru_cache(maxsize=4096)
def replica(model_id, device_id, engine, weight_format, sockets=1):
    """
    One deployment; claims repeat the same few.

    Parameters
    ----------
    model_id, device_id, engine, weight_format : str
        Ids of the catalogue.
    sockets : int
        Of a CPU server. [1]

    Returns
    -------
    replica : Replicas
        Of length one.
    """
    row = {"model_id": model_id, "device_id": device_id, "engine": engine, "sockets": sockets}
    return estimate.replicas(pd.DataFrame([row | {"weight_format": weight_format}]))


@lru_cache(maxsize=4096)
def parts(model_id, weight_format, users, context):
    """
    Weights, cache and buffers of a model that serves some users.

    Parameters
    ----------
    model_id, weight_format : str
        Ids of the catalogue.
    users, context : int
        Sequences that are held at once, and tokens of each. [1], [token]

    Returns
    -------
    weights, cache, buffers : float
        [B]
    """
    # weights and cache do not depend on the machine; the buffers are those of a CPU server
    model = replica(model_id, "h100-sxm", "vllm", weight_format).profile
    server = replica(model_id, "xeon-e5-2680-v4", "llama.cpp", "bf16", 2)
    buffers = budget.memory_budget(server, max_num_seqs=users, max_model_len=context,
                                   memory_size=np.array([1e13]))["overhead_bytes"][0]  # fmt: skip
    cache = users * serving.cache(model, context)[0]
    return float(model.weight_bytes[0]), float(cache), float(buffers)


def memory(claim: Claim, catalogue: Catalogue) -> Finding:
    """Memory that a model takes: from the weights alone to the most users of the guide."""
    name = claim.weight_format or "bf16"
    settings = ((claim.users or 1, claim.context_tokens or CONTEXT),
                (claim.users or MOST_USERS, claim.context_tokens or MOST_CONTEXT))  # fmt: skip
    (weights, *rest), most = (parts(claim.model_id, name, *ends) for ends in settings)
    weights /= 1e9
    figures = {
        "value": weights + sum(rest) / 1e9, "low": weights, "high": sum(most) / 1e9,
        "limit": weights, "source": _source(claim, catalogue),
    }  # fmt: skip
    if claim.high < weights * (1 - TOLERANCE / 2):
        if not claim.weight_format:
            eight, four = (parts(claim.model_id, f, 1, CONTEXT)[0] / 1e9 for f in SMALLER)
            sizes = {"weights": weights, "smaller": eight, "smallest": four}
            return Finding("off", say(UNSTATED, format=name, **sizes), **figures)
        ratio = weights / claim.high
        words = say(TOO_SMALL, weights=weights, format=name, ratio=ratio)
        return Finding("impossible", words, **figures)
    if claim.low > figures["high"] * (1 + TOLERANCE):
        return Finding("off", say(WEIGHTS, weights=weights, format=name), **figures)
    words = say(WEIGHTS_AND_CACHE, weights=weights, format=name)
    return Finding("consistent", words, **figures)


def _source(claim, catalogue):
    model = catalogue.models[claim.model_id]
    return f"computed from the configuration: {brief(model.source)}, {model.source_date}"


def disk(claim: Claim, catalogue: Catalogue) -> Finding:
    """Files of the weights."""
    name = claim.weight_format or "bf16"
    size = parts(claim.model_id, name, 1, CONTEXT)[0] / 1e9
    bits = 8e9 * claim.high / catalogue.models[claim.model_id].total_parameters
    words = (
        f"the files take {size:,.1f} GB in {name}; {claim.high:g} GB are {bits:.1f} bits a weight"
    )
    found = compared(claim, size, words, _source(claim, catalogue))
    if claim.high < size * (1 - TOLERANCE / 2):
        return found._replace(verdict="impossible", limit=size)
    return found


def fits(claim: Claim, catalogue: Catalogue) -> Finding:
    """Whether this much memory holds the model with so many users of so much context."""
    name, users = claim.weight_format or "bf16", claim.users or 1
    context = claim.context_tokens or CONTEXT
    weights, cache, buffers = (part / 1e9 for part in parts(claim.model_id, name, users, context))
    system = budget.constant("usable_memory.reserve.cpu", "any") / 1e9
    need = weights + cache + buffers + system
    figures = {"value": need, "low": need, "high": need, "limit": weights}
    figures["source"] = _source(claim, catalogue)
    who = f"{users} x {context:,} tokens" if users > 1 else f"one user of {context:,} tokens"
    words = (
        f"{need:,.0f} GB are needed in {name} for {who}: {weights:,.0f} of weights, "
        f"{cache + buffers:,.0f} of cache and buffers, {system:,.0f} for the system"
    )
    if need <= claim.low:
        return Finding("consistent", words, **figures)
    if need <= claim.high:
        return Finding("off", f"{words}; it fits only from there on", **figures)
    words += _smaller(claim, users, context, system, claim.high)
    return Finding("impossible" if weights > claim.high else "off", words, **figures)


def _smaller(claim, users, context, system, memory):
    """The widest format in which it would fit. [GB]"""
    for name in SMALLER:
        need = system + sum(parts(claim.model_id, name, users, context)) / 1e9
        if need <= memory:
            return f"; it would fit in {name}, which needs {need:,.0f} GB"
    return "; it fits in no format of 8 or 4 bits"


def saving(claim: Claim, catalogue: Catalogue) -> Finding:
    """Memory that a format saves against BF16, over the models of the claims."""
    shares = []
    for model_id in dict.fromkeys(c.model_id for c in catalogue.claims if c.model_id):
        full, small = (parts(model_id, f, 1, CONTEXT)[0] for f in ("bf16", claim.weight_format))
        shares.append(100 * (1 - small / full))
    low, value, high = np.quantile(shares, [0, 0.5, 1])
    words = (
        f"the weights of the guide's {len(shares)} models shrink by {low:.0f} to {high:.0f} %; "
        "embeddings stay as they are"
    )
    bits = catalogue.formats[claim.weight_format]
    source = f"computed from bits and tensors; {brief(bits.source)}, {bits.source_date}"
    return compared(claim, value, words, source, low=low, high=high, tolerance=TOLERANCE / 2)
