"""Published claims against the models: consistent, off by how much, or impossible, and why."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import bands, estimate
from planner import catalogue as records
from planner.catalogue import Catalogue, Claim
from planner.language import say, term
from planner.phrases import day

VERDICTS = ("impossible", "off", "consistent", "not checked")
TOLERANCE = 0.1  # claims are rounded; closer than this is agreement
WORDS_FOR_FORMAT = {"int8": "gptq-int8", "int4": "awq-int4"}
SPEEDS = ("decode_tok_s", "tok_s_per_user", "task_s")
TOO_SMALL = (
    "the weights alone take {weights:,.1f} GB in {format}, {ratio:.2g} times what is claimed"
)
WEIGHTS = "the weights take {weights:,.1f} GB in {format}"
WEIGHTS_AND_CACHE = "the weights take {weights:,.1f} GB in {format}; the rest is cache"
TOO_LARGE = "the weights take {weights:,.0f} GB in {format}; {server} has {memory:,.0f} GB"
TOO_FAST = (
    "the memory of the server allows {limit:.3g} {unit} at best: every token reads {read:,.1f} GB "
    "and its experts"
)
EXPECTED = "{low:.3g} to {high:.3g} {unit} are expected in {format}"


def audit(catalogue: Catalogue | None = None, models: tuple[str, ...] = ()) -> pd.DataFrame:
    """
    Check every claim of the catalogue that there is a way to check.

    Parameters
    ----------
    catalogue : Catalogue, optional
        By default the one in ``data/``.
    models : tuple of str
        Only claims about these models; empty: all claims.

    Returns
    -------
    verdicts : DataFrame
        id, model_id, metric, claimed_low, claimed_high, unit, predicted, predicted_low,
        predicted_high, limit (the best that physics allows), verdict, reason, where.
    """
    catalogue = catalogue or records.load()
    chosen = [claim for claim in catalogue.claims if not models or claim.model_id in models]
    return pd.DataFrame([_row(claim, *_judge(claim, catalogue)) for claim in chosen])


def _row(claim, verdict, reason, figures=None):
    predicted = {"predicted": np.nan, "predicted_low": np.nan, "predicted_high": np.nan}
    return {
        "id": claim.id,
        "model_id": claim.model_id,
        "metric": claim.metric,
        "claimed_low": claim.low,
        "claimed_high": claim.high,
        "unit": claim.unit,
        **predicted,
        "limit": np.nan,
        **(figures or {}),
        "verdict": verdict,
        "reason": reason,
        "source": claim.source,
        "where": claim.where,
    }


def _judge(claim: Claim, catalogue: Catalogue):
    model = catalogue.models.get(claim.model_id)
    if model is None:
        return "not checked", say("it names no model of the catalogue")
    if claim.metric in SPEEDS:
        return _speed(claim, catalogue)
    if claim.metric in ("memory_gb", "disk_gb"):
        return _size(claim)
    facts = {
        "parameters": model.total_parameters,
        "active_parameters": model.active_parameters,
        "context": model.context,
    }
    if claim.metric in facts:
        return _near(claim, facts[claim.metric] / claim.scale)
    if claim.metric == "release_date":
        same = model.released.startswith(claim.value_text)
        source = model.source[:60]
        reason = say("released {date} ({source})", date=day(model.released), source=source)
        return "consistent" if same else "off", reason
    return "not checked", say("no way to check it from what is stated")


def _near(claim, value):
    figures = {"predicted": value, "predicted_low": value, "predicted_high": value}
    if claim.low * (1 - TOLERANCE / 2) <= value <= claim.high * (1 + TOLERANCE / 2):
        return "consistent", say("as published by the vendor"), figures
    return "off", say("the vendor publishes {value:,.4g}", value=value), figures


def _format(claim):
    return claim.weight_format or next(
        (name for word, name in WORDS_FOR_FORMAT.items() if claim.id.endswith(word)), "bf16"
    )


@lru_cache(maxsize=4096)
def _replica(model_id, device_id, engine, weight_format, sockets=1):
    """One deployment; claims repeat the same few."""
    row = {"model_id": model_id, "device_id": device_id, "engine": engine, "sockets": sockets}
    return estimate.replicas(pd.DataFrame([row | {"weight_format": weight_format}]))


def _size(claim):
    """Memory and disk must at least hold the weights."""
    name = _format(claim)
    group = _replica(claim.model_id, "h100-sxm", "vllm", name)
    weights = group.profile.weight_bytes[0] / 1e9
    figures = {"predicted": weights, "predicted_low": weights, "limit": weights}
    if claim.high < weights * (1 - TOLERANCE / 4):
        ratio = weights / claim.high
        return "impossible", say(TOO_SMALL, weights=weights, format=name, ratio=ratio), figures
    if claim.low > 1.5 * weights:
        return "off", say(WEIGHTS, weights=weights, format=name), figures
    return "consistent", say(WEIGHTS_AND_CACHE, weights=weights, format=name), figures


def _speed(claim, catalogue):
    """Speeds are bounded by the bytes that every token must read."""
    server = catalogue.servers.get(claim.server)
    if server is None:
        return "not checked", say("the machine is not stated")
    name, users = _format(claim), claim.users or 1
    group = _replica(claim.model_id, server.device, "llama.cpp", name, server.sockets)
    step = float(estimate.decode_step_time(group, users, claim.context_tokens or 512)[0])
    floor = float(estimate.decode_step_time(group.ideal(), users, 0)[0])
    below, above = bands.band("decode_tok_s_per_seq", "cpu", "llama.cpp", server.device)
    fast, slow = max(1 / above, floor / step), 1 / below
    tokens = claim.output_tokens or 1
    if claim.metric == "task_s":
        figures = {
            "predicted": tokens * step,
            "predicted_low": tokens * step * fast,
            "predicted_high": tokens * step * slow,
            "limit": tokens * floor,
        }
        possible, off = claim.high >= figures["limit"], claim.high < figures["predicted_low"]
    else:
        figures = {
            "predicted": 1 / step,
            "predicted_low": 1 / (step * slow),
            "predicted_high": 1 / (step * fast),
            "limit": 1 / floor,
        }
        possible, off = claim.low <= figures["limit"], claim.low > figures["predicted_high"]
    weights = group.profile.weight_bytes[0]
    if weights > server.memory:
        return "impossible", say(
            TOO_LARGE, weights=weights / 1e9, format=name, server=term(server.name),
            memory=server.memory / 1e9,
        ), figures  # fmt: skip
    unit = "s" if claim.metric == "task_s" else "tok/s"
    if not possible:
        read = group.profile.dense_bytes[0] / 1e9
        return "impossible", say(TOO_FAST, limit=figures["limit"], unit=unit, read=read), figures
    ends = {"low": figures["predicted_low"], "high": figures["predicted_high"]}
    expected = say(EXPECTED, **ends, unit=unit, format=name)
    low, high = sorted((figures["predicted_low"], figures["predicted_high"]))
    overlaps = claim.low <= high and claim.high >= low
    if off or not overlaps:
        return "off", expected, figures
    return "consistent", expected, figures


def text(verdicts: pd.DataFrame) -> str:
    """
    An audit for the terminal.

    Parameters
    ----------
    verdicts : DataFrame
        From `audit`.

    Returns
    -------
    text : str
    """
    lines = []
    for row in verdicts.sort_values("verdict", key=lambda v: v.map(VERDICTS.index)).itertuples():
        claimed = f"{row.claimed_low:g} to {row.claimed_high:g} {row.unit}"
        if np.isnan(row.claimed_low if row.claimed_low is not None else np.nan):
            claimed = row.unit
        lines.append(f"{row.verdict:<12} {row.id:<44} {claimed:<22} {row.reason}")
    counts = verdicts["verdict"].value_counts()
    total = ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)
    return "\n".join([*lines, f"{len(verdicts)} claims: {total}"])
