"""The numbers the laws need about one model in one format on one tensor-parallel group."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from planner import formats, memory

DENSE_PARTS = (
    "attention", "linear_attention", "ffn", "shared_experts", "router", "norm", "indexer", "head",
)  # fmt: skip
INDEX_SCALE_BYTES = 4.0


class Profile(NamedTuple):
    """Bytes, parameters and operations of one (model, format, tensor parallel) in SI units.

    weight_bytes : whole model as stored, without MTP block. [B]
    weight_bytes_rank : heaviest rank as allocated (padding, position table). [B]
    dense_bytes : read in every decode step by all ranks together, replicas counted. [B]
    expert_bytes : all routed experts, over all ranks. [B]
    dense_parameters, expert_parameters : in matrix products, every token / routed. [parameter]
    experts, experts_per_token : 1 and 1 for dense models. [expert]
    layers, moe_layers, linear_layers : number of layers. [layer]
    hidden_size, vocab_size : widths. [element]
    kv_bytes : per token and rank, full-context layers. [B/token]
    sliding_bytes : per token and rank, windowed layers. [B/token]
    window : positions a windowed layer attends to; 0 when none. [token]
    state_bytes : per sequence and rank, linear layers. [B]
    attention_flops, sliding_flops : per query and context token, all ranks. [FLOP]
    checkpoint_bytes : all tensors, vision tower and MTP block too. [B]
    """

    weight_bytes: float
    weight_bytes_rank: float
    dense_bytes: float
    expert_bytes: float
    dense_parameters: float
    expert_parameters: float
    experts: float
    experts_per_token: float
    layers: float
    moe_layers: float
    linear_layers: float
    hidden_size: float
    vocab_size: float
    kv_bytes: float
    sliding_bytes: float
    window: float
    state_bytes: float
    attention_flops: float
    sliding_flops: float
    checkpoint_bytes: float


def profile(model, weight_format, kv_format="auto", tensor_parallel=1):
    """
    Profile of a catalogue model.

    Parameters
    ----------
    model : catalogue.Model
        Anything with an ``architecture``.
    weight_format, kv_format : str
        Format ids; engines of the llama.cpp family go through ``formats.for_engine`` first.
        A latent cache may be labelled ``f16 (expanded)`` (keys and values of every head, as
        llama.cpp without MLA) or ``f16 (latent + transposed)`` (a second copy of the latent).
    tensor_parallel : int
        Ranks that share every layer. [rank]

    Returns
    -------
    Profile
        See its fields. [B, parameter, FLOP]

    References
    ----------
    .. [1] Weights: ``formats``; caches: ``memory``.
    """
    return architecture_profile(model.architecture, weight_format, kv_format, tensor_parallel)


@lru_cache(maxsize=32768)
def architecture_profile(architecture, weight_format, kv_format="auto", tensor_parallel=1):
    """
    Profile of an architecture; the cached worker of ``profile``.

    Parameters
    ----------
    architecture : Architecture
        The model's shape.
    weight_format, kv_format : str
        Format ids.
    tensor_parallel : int
        Ranks that share every layer. [rank]

    Returns
    -------
    Profile
        See its fields. [B, parameter, FLOP]

    References
    ----------
    .. [1] Attention operations: 4 heads x head width per pair of tokens and layer; latent
       attention 2 heads x (2 rank + rope), DeepSeek-V2, arXiv 2405.04434, absorbed form.
    """
    stored = formats.tensor_bytes(architecture, weight_format)
    arrays, dense, experts, mtp = _masks(architecture)
    read = stored * formats.shard_shares(architecture, tensor_parallel) * tensor_parallel
    read = read * formats.padding(architecture, weight_format, tensor_parallel)
    held = formats.weight_bytes_by_part(architecture, weight_format, tensor_parallel)
    held.pop("mtp", None)
    parameters = arrays["size"] * arrays["instances"]
    return Profile(
        weight_bytes=float(stored[~mtp].sum()),
        weight_bytes_rank=sum(held.values()),
        dense_bytes=float(read[dense].sum()),
        expert_bytes=float(read[experts].sum()),
        dense_parameters=float(parameters[dense].sum()),
        expert_parameters=float(parameters[experts].sum()),
        experts=float(architecture.experts),
        experts_per_token=float(architecture.experts_per_token),
        layers=float(architecture.layers),
        moe_layers=float(architecture.moe_layers),
        linear_layers=float(architecture.linear_layers),
        hidden_size=float(architecture.hidden_size),
        vocab_size=float(architecture.vocab_size),
        **_cache_figures(architecture, kv_format, weight_format, tensor_parallel),
        checkpoint_bytes=float(stored.sum()),
    )


@lru_cache(maxsize=256)
def _masks(architecture):
    """Which tensors every token passes through, which are routed, which are the MTP block."""
    arrays = architecture.arrays
    parts = arrays["part"]
    # A tied table is read as the output head; an untied one gives one row per token.
    dense = np.isin(parts, DENSE_PARTS) | ((parts == "embedding") & architecture.tied)
    return arrays, dense, parts == "experts", parts == "mtp"


def _cache_figures(architecture, kv_format, weight_format, tensor_parallel):
    element = formats.cache_element_bytes(kv_format, weight_format)
    kv_bytes = sliding_bytes = window = state_bytes = full_flops = sliding_flops = 0.0
    for cache in architecture.caches:
        layers = len(cache.layers)
        if cache.kind in ("full", "sliding"):
            held = memory.kv_bytes_per_token(
                layers, cache.kv_heads, cache.key_dim, cache.value_dim, element, tensor_parallel
            )
            work = 2.0 * layers * cache.query_heads * (cache.key_dim + cache.value_dim)
            if cache.kind == "full":
                kv_bytes, full_flops = kv_bytes + float(held), full_flops + work
            else:
                sliding_bytes, sliding_flops = sliding_bytes + float(held), sliding_flops + work
                window = max(window, float(cache.window))
        elif cache.kind == "latent":
            held = memory.latent_bytes_per_token(layers, cache.key_dim, cache.value_dim, element)
            kv_bytes += float(held) + _beside_latent(architecture, cache, kv_format, held, element)
            work = 2.0 * layers * cache.query_heads * (2 * cache.key_dim + cache.value_dim)
            # Sparse attention keeps every token but attends to the chosen ones only.
            if cache.window:
                sliding_flops, window = sliding_flops + work, float(cache.window)
            else:
                full_flops += work
        elif cache.kind == "index":
            kv_bytes += layers * (cache.index_dim + INDEX_SCALE_BYTES)
            full_flops += 2.0 * layers * cache.index_heads * cache.index_dim
        else:
            state_bytes += cache.state_bytes / tensor_parallel
    return {
        "kv_bytes": kv_bytes,
        "sliding_bytes": sliding_bytes,
        "window": window,
        "state_bytes": state_bytes,
        "attention_flops": full_flops,
        "sliding_flops": sliding_flops,
    }


def _beside_latent(architecture, cache, kv_format, held, element):
    """What llama.cpp builds keep beside or instead of the latent, told in the cache's label."""
    layers, label = len(cache.layers), str(kv_format)
    if "(expanded" in label:
        matrix = next(t for t in architecture.tensors if t.name == "attn_kv_b")
        return layers * (matrix.rows + cache.query_heads * cache.value_dim) * element - float(held)
    return layers * cache.key_dim * 2.0 if "+" in label else 0.0
