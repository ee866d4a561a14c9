"""Weight and cache formats: bits per weight of each tensor, and bytes on the heaviest rank.

The bits come from ``quantisation``; here they meet the engines: file kinds, shards, padding.
"""

from functools import lru_cache
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from planner.quantisation import bits_per_weight, is_gguf

__all__ = [
    "Format", "bits_per_weight", "cache_element_bytes", "for_engine", "is_gguf", "padding",
    "shard_shares", "tensor_bytes", "weight_bytes_by_part",
]  # fmt: skip

MIB = 2**20
CACHE_BYTES = {
    "auto": 2.0, "bf16": 2.0, "fp16": 2.0, "f16": 2.0, "fp32": 4.0, "f32": 4.0, "fp8": 1.0,
    "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "int8": 1.0, "q8_0": 1.0625, "q4_0": 0.5625,
    "iq4_nl": 0.5625, "nvfp4": 0.5625,
}  # fmt: skip
LLAMA_CPP = ("llama.cpp", "ik_llama.cpp", "ollama", "lm-studio", "llamafile", "koboldcpp")
FUSED = {
    "attn_q": "qkv", "attn_k": "qkv", "attn_v": "qkv", "attn_qkv": "qkv", "ssm_gate": "qkv",
    "ffn_gate": "up", "ffn_up": "up", "ffn_gate_exps": "up_exps", "ffn_up_exps": "up_exps",
    "ffn_gate_shexp": "up_shexp", "ffn_up_shexp": "up_shexp",
}  # fmt: skip


class Format(BaseModel):
    """One row of ``data/formats.csv``; ``bits`` is that of a quantised matrix. [bit/parameter]"""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    family: str
    bits: Annotated[float, Field(gt=0, le=32, allow_inf_nan=False)]
    compute_precision: str
    engines: tuple[str, ...]
    quality_note: str
    source: str
    source_date: str

    @field_validator("engines", mode="before")
    @classmethod
    def _split(cls, value):
        return tuple(value.split()) if isinstance(value, str) else value


def for_engine(format_id, engine):
    """
    Format as the engine stores it: llama.cpp loads bf16 and mxfp4 as GGUF files.

    Parameters
    ----------
    format_id, engine : str
        Ids as in the catalogue.

    Returns
    -------
    str
        Format id for the functions of this module.

    References
    ----------
    .. [1] llama.cpp keeps routers and norms in 32 bits and the vision tower in its own file.

    Examples
    --------
    >>> for_engine("mxfp4", "llama.cpp"), for_engine("mxfp4", "vllm")
    ('gguf-mxfp4', 'mxfp4')
    """
    if engine in LLAMA_CPP and format_id in ("fp32", "fp16", "bf16", "mxfp4"):
        return f"gguf-{format_id}"
    return format_id


def cache_element_bytes(kv_format, weight_format="bf16"):
    """
    Bytes of one cached element, the mean of keys and values where they differ.

    Parameters
    ----------
    kv_format : str
        ``auto``, ``fp8``, ``q8_0``, ``iq4_nl/f16`` (keys/values) ...; text in brackets is ignored.
    weight_format : str
        ``auto`` follows the activations: four bytes for fp32 weights, else two.

    Returns
    -------
    float
        Size. [B/element]

    References
    ----------
    .. [1] ggml block layouts: 34 B per 32 elements for q8_0, 18 B for q4_0.

    Examples
    --------
    >>> cache_element_bytes("q8_0"), cache_element_bytes("iq4_nl/f16")
    (1.0625, 1.28125)
    """
    text = "" if kv_format is None or kv_format != kv_format else str(kv_format)
    names = (text.split("(")[0].strip() or "auto").split("/")
    if names == ["auto"]:
        return 4.0 if weight_format == "fp32" else 2.0
    unknown = [name for name in names if name not in CACHE_BYTES]
    if unknown:
        raise ValueError(
            f"kv_format = {kv_format!r} is not known; use one of {', '.join(sorted(CACHE_BYTES))}"
        )
    return sum(CACHE_BYTES[name] for name in names) / len(names)


@lru_cache(maxsize=4096)
def tensor_bytes(architecture, format_id):
    """
    Stored bytes of every tensor, all layers together.

    Parameters
    ----------
    architecture : Architecture
        The model.
    format_id : str
        Weight format.

    Returns
    -------
    array
        In the order of ``architecture.tensors``. [B]

    References
    ----------
    .. [1] See ``bits_per_weight``.
    """
    bits = np.array([bits_per_weight(t, format_id, architecture) for t in architecture.tensors])
    arrays = architecture.arrays
    stored = arrays["size"] * arrays["instances"] * bits / 8
    stored.setflags(write=False)
    return stored


@lru_cache(maxsize=4096)
def shard_shares(architecture, tensor_parallel):
    """
    Share of every tensor that the heaviest tensor-parallel rank holds.

    Parameters
    ----------
    architecture : Architecture
        The model.
    tensor_parallel : int
        Ranks. [rank]

    Returns
    -------
    array
        Between 1 / tensor_parallel and 1; above for a padded vocabulary. [1]

    References
    ----------
    .. [1] vLLM parallel linear layers: key-value heads are repeated once there are more ranks
       than heads; the vocabulary is padded to 64 rows; down-projections of latent attention,
       routers and norms are held by every rank.
    """
    if tensor_parallel < 1 or tensor_parallel != int(tensor_parallel):
        raise ValueError(f"tensor_parallel = {tensor_parallel} must be a whole number from 1")
    heads = {cache.layers: cache.kv_heads for cache in architecture.caches if cache.kv_heads}
    shares = []
    for tensor in architecture.tensors:
        if tensor.split == "replicated":
            share = 1.0
        elif tensor.split == "kv":
            own = heads.get(tensor.layers, architecture.kv_heads)
            share = max(1, -(-own // tensor_parallel)) / own
        elif tensor.split == "vocab":
            share = -(-tensor.rows // 64) * 64 / tensor.rows / tensor_parallel
        else:
            share = 1.0 / tensor_parallel
        shares.append(share)
    shares = np.array(shares)
    shares.setflags(write=False)
    return shares


@lru_cache(maxsize=4096)
def padding(architecture, format_id, tensor_parallel):
    """
    Growth of every tensor by kernel padding.

    Parameters
    ----------
    architecture : Architecture
        The model.
    format_id : str
        Weight format; only mxfp4 experts are padded.
    tensor_parallel : int
        Ranks. [rank]

    Returns
    -------
    array
        At least 1. [1]

    References
    ----------
    .. [1] vLLM 0.17 and later on Hopper (Marlin): expert width per rank to a multiple of 128,
       hidden size to a multiple of 256.
    """
    growth = np.ones(len(architecture.tensors))
    if format_id != "mxfp4":
        return growth
    for i, tensor in enumerate(architecture.tensors):
        if tensor.part == "experts" and tensor.columns > 1:
            down = tensor.name.startswith("ffn_down")
            width, hidden = (tensor.columns, tensor.rows) if down else (tensor.rows, tensor.columns)
            own = width / tensor_parallel
            growth[i] = np.ceil(own / 128) * 128 / own * np.ceil(hidden / 256) * 256 / hidden
    return growth


@lru_cache(maxsize=256)
def _blocks(architecture):
    """Allocation group of every tensor (fused matrices of one layer), and layers per group."""
    groups = {}
    index = np.array(
        [groups.setdefault((FUSED.get(t.name, i), t.layers), len(groups))
         for i, t in enumerate(architecture.tensors)]
    )  # fmt: skip
    instances = np.array([max(1, len(layers)) for _, layers in groups], float)
    return index, instances


def weight_bytes_by_part(architecture, format_id, tensor_parallel=1):
    r"""
    Weight bytes on the heaviest tensor-parallel rank, by part.

    Parameters
    ----------
    architecture : Architecture
        The model.
    format_id : str
        Weight format.
    tensor_parallel : int
        Ranks. [rank]

    Returns
    -------
    dict
        Part -> bytes, with ``rotary`` for the position table; ``mtp`` is listed though engines
        load it for speculative decoding only. [B]

    Notes
    -----
    The CUDA caching allocator rounds a block of 10 MiB or more up to 2 MiB when no more than
    1 MiB is lost; fused matrices of one layer are one block. GGUF files are mapped as they are.

    References
    ----------
    .. [1] PyTorch CUDA caching allocator; vLLM model loader.
    """
    stored = tensor_bytes(architecture, format_id) * shard_shares(architecture, tensor_parallel)
    parts = architecture.arrays["part"]
    if not is_gguf(format_id):
        stored = stored * padding(architecture, format_id, tensor_parallel)
        index, instances = _blocks(architecture)
        size = np.bincount(index, stored) / instances
        rounded = np.ceil(size / (2 * MIB)) * 2 * MIB
        grows = (size >= 10 * MIB) & (rounded - size <= MIB)
        growth = np.where(grows, rounded / np.maximum(size, 1.0), 1.0)
        lump = np.isin(parts, ("vision", "mtp"))
        stored = stored * np.where(lump, 1.0, growth[index])
    totals = {}
    for part, value in zip(parts, stored, strict=True):
        totals[str(part)] = totals.get(str(part), 0.0) + float(value)
    if not is_gguf(format_id):
        element = 4.0 if format_id == "fp32" else 2.0
        totals["rotary"] = architecture.max_position * architecture.rotary_width * element
    return totals
