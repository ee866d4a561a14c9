"""Memory as the guide claims it beside what is computed: formats, models, scenarios."""

from __future__ import annotations

from functools import cache

import pandas as pd

from planner import budget, display, memory_charts, ranges, serving, survey, where
from planner.catalogue import load
from planner.display import Column, number
from planner.formats import for_engine
from planner.profile import profile
from planner.theme import figure

GB = 1e9
# Formats that are compared, widest first, with the engine that reads them.
COMPARED = {
    "bf16": "vllm", "q8_0": "llama.cpp", "int8-w8a8": "vllm", "fp8": "vllm", "q6_k": "llama.cpp",
    "q4_k_m": "llama.cpp", "nvfp4": "vllm", "gptq-int4": "vllm", "awq-int4": "vllm",
}  # fmt: skip


@cache
def weights(model: str) -> dict[str, float]:
    """
    Weights of a model in every format that is compared.

    Parameters
    ----------
    model : str
        Id.

    Returns
    -------
    weights : dict of str to float
        Of the whole model. [B]
    """
    record = load().models[model]
    native = load().formats.get(record.native_format)
    names = dict(COMPARED)
    if native and native.id not in names:
        names[native.id] = native.engines[0]
    return {n: profile(record, for_engine(n, e)).weight_bytes for n, e in names.items()}


def formats_table(model: str) -> display.Shown:
    """Formats of one model: bytes, bits, and what they save, beside the guide's claims."""
    catalogue = load()
    record, stored = catalogue.models[model], weights(model)
    claims = {}
    for claim in catalogue.claims:
        if claim.metric == "memory_saving":
            claims.setdefault(claim.weight_format, []).append(f"{claim.low:g}")
    parameters = record.architecture
    rows = pd.DataFrame({
        "format": [catalogue.formats[name].name for name in stored], "id": list(stored),
        "size": list(stored.values()),
        "bits": [8 * size / _parameters(parameters) for size in stored.values()],
        "saving": [100 * (1 - size / stored["bf16"]) for size in stored.values()],
        "claimed": [" or ".join(claims.get(name, ())) or display.MISSING for name in stored],
        "native": [name == record.native_format for name in stored],
    }).sort_values("size", ascending=False)  # fmt: skip
    return display.table(
        rows,
        {
            "format": Column("Format"),
            "size": Column("Weights", "GB", ",.1f", scale=1 / GB),
            "bits": Column("Stored", "bit/parameter", ".2f"),
            "saving": Column("Saved against BF16", "%", ".1f"),
            "claimed": Column("The guide claims", "%", align="right"),
            "native": Column("Published in it"),
        },
        f"{record.name} in every format",
        "Embeddings and norms stay wide in the small formats, so the whole model saves less than "
        "its matrices do.",
        strong="native",
    )


def _parameters(shape):
    arrays = shape.arrays
    return float((arrays["size"] * arrays["instances"])[arrays["part"] != "mtp"].sum())


@cache
def claims() -> pd.DataFrame:
    """
    Memory that the guide claims for each of its models, beside the computed weights.

    Returns
    -------
    models : DataFrame
        model_id, low, high (claimed for BF16 or without a format), bf16, int8, int4 (weights) [B].
    """
    rows = []
    for model in ranges.guide_models():
        said = [
            c for c in load().claims
            if c.model_id == model and c.metric == "memory_gb" and not c.users
            and c.weight_format in ("", "bf16")
        ]  # fmt: skip
        stored = weights(model)
        rows.append({
            "model_id": model, "low": min(c.low for c in said) * GB,
            "high": max(c.high for c in said) * GB, "bf16": stored["bf16"],
            "int8": stored["int8-w8a8"], "int4": stored["awq-int4"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def claims_chart(context_tokens: int) -> display.Drawing:
    """The guide's models: claimed memory beside the weights and the cache of the users."""
    table = claims()
    group = survey.survey(ranges.guide_models(), ("h100pcie_x2_calc",), (), (1,))
    one = dict(zip(group.table["model_id"], serving.cache(group.group.profile, context_tokens),
                   strict=True))  # fmt: skip
    names = ("low", "high", "bf16", "int8", "int4")
    rows = table[list(names)] / GB
    rows = rows.assign(
        model=[load().models[m].name for m in table["model_id"]], place=range(len(table)),
        one=table["model_id"].map(one) / GB,
        claim=[f"{row.low / GB:g} to {row.high / GB:g} GB" for row in table.itertuples()],
    )  # fmt: skip
    said = "; ".join(
        f"{row.model} claimed {row.claim}, weights {figure(row.bf16)} GB"
        for row in rows.itertuples()
    )
    return display.drawing(
        memory_charts.claimed(),
        {"models": rows},
        f"The guide's models: claimed memory, and what the weights and every user's "
        f"{number(context_tokens)} tokens take",
        f"Claimed and computed memory of {len(rows)} models. {said}.",
    )


def scenarios_table() -> display.Shown:
    """The four scenarios of the guide, computed."""
    gb = {"unit": "GB", "format": ",.0f", "scale": 1 / GB}
    reserve = budget.constant("usable_memory.reserve.cpu", "any")
    return display.table(
        where.scenarios(),
        {
            "scenario": Column("Scenario"),
            "model": Column("Model"),
            "users": Column("Users", "user", ",.0f"),
            "context": Column("Context", "token", ",.0f"),
            "weights": Column("Weights", **gb),
            "cache": Column("Cache", **gb),
            "need": Column("Needed", **gb),
            "allowed": Column("Allowed", **gb),
            "fits": Column("BF16 fits"),
            "format": Column("Widest that fits"),
            "room": Column("Room in that", "user", ",.0f"),
        },
        "The guide's four scenarios, with its model in BF16",
        "Users and context as its max-num-seqs and max-model-len. Needed: weights, cache of all "
        f"users, buffers, and {reserve / GB:.0f} GB for the operating system.",
    )
