"""Where the memory of each deployment goes: weights, what the engine sets aside, cache."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from planner import catalogue, memory, overhead
from planner.estimate import Replicas
from planner.profile import Profile

PATH = Path(__file__).resolve().parent.parent / "data" / "constants" / "memory.csv"
LATEST = "0.21"  # vLLM: the newest regime of the constants


@cache
def _constants() -> pd.DataFrame:
    return pd.read_csv(PATH, dtype={"version_from": str, "version_to": str})


def _number(version: str | float) -> float:
    """0.9 comes before 0.17: versions compare by part, not as decimals."""
    parts = str(version).split(".")
    return int(parts[0]) + (int(parts[1]) / 1000 if len(parts) > 1 else 0.0)


@cache
def constant(name: str, scope: str, version: str = LATEST) -> float:
    """
    A memory constant of an engine.

    Parameters
    ----------
    name, scope : str
        As in ``data/constants/memory.csv``.
    version : str
        Version of the engine; the row whose range holds it applies.

    Returns
    -------
    value : float
        In the unit of its row.

    Raises
    ------
    KeyError
        When no row applies.

    Examples
    --------
    >>> constant("kv_pool_bytes.utilisation", "vllm")
    0.9
    """
    for row in _constants().itertuples():
        if row.name != name or row.scope != scope:
            continue
        first, last = row.version_from, row.version_to
        after = pd.isna(first) or _number(first) <= _number(version)
        before = pd.isna(last) or _number(version) < _number(last)
        if after and before:
            return float(row.value)
    raise KeyError(f"{name} of {scope} {version} is not in data/constants/memory.csv; add a row")


def _arguments(function: str, scope: str, version: str, *names: str) -> dict[str, float]:
    return {name: constant(f"{function}.{name}", scope, version) for name in names}


@cache
def dimensions(model_id: str) -> dict[str, float]:
    """
    Widths of a model that engine overheads depend on.

    Parameters
    ----------
    model_id : str
        In the catalogue.

    Returns
    -------
    widths : dict
        ffn_size, expert_ffn_size [element], experts_per_token, query_heads, latent_rank,
        rope_dim, nope_dim [1]; zero where the model has none.
    """
    model = catalogue.load().models[model_id]
    shape = model.architecture
    config = model.config.get("text_config", model.config)

    def widest(part):
        return max((t.rows for t in shape.tensors if t.part == part and "up" in t.name), default=0)

    routed = 0 if shape.model_type == "gpt_oss" else shape.experts_per_token
    return {
        "ffn_size": float(widest("ffn") or widest("experts")),
        "expert_ffn_size": float(widest("experts")),
        "experts_per_token": float(routed if shape.experts > 1 else 0),
        "query_heads": float(shape.query_heads),
        "latent_rank": float(config.get("kv_lora_rank") or 0),
        "rope_dim": float(config.get("qk_rope_head_dim") or 0),
        "nope_dim": float(config.get("qk_nope_head_dim") or 0),
        "vision": float(model.vision_parameters > 0),
        "gpt_oss": float(shape.model_type == "gpt_oss"),
    }


def _usable(device_id: str) -> float:
    """Memory that a device hands out: as logged, or its label less a common share. [B]"""
    device = catalogue.load().devices.get(device_id)
    if device is None:
        return np.nan
    label = (device.memory or np.nan) * constant("usable_memory.share.gpu", "any")
    return device.usable_memory or label


def memory_budget(group: Replicas, *, max_num_seqs, max_num_batched_tokens=8192,
                  max_model_len=8192, memory_size=None, utilisation=None,
                  version=LATEST) -> dict[str, np.ndarray]:  # fmt: skip
    """
    Divide the memory of one device (GPU) or one server (CPU, unified memory) of each replica.

    Parameters
    ----------
    group : Replicas
        N replicas.
    max_num_seqs, max_num_batched_tokens, max_model_len : numeric
        Engine settings; llama.cpp reserves ``max_num_seqs`` slots of ``max_model_len``.
        [sequence], [token], [token]
    memory_size : ndarray, shape (N,), optional
        Memory of the server; NaN or left out: the device's own. [B]
    utilisation : numeric, optional
        Share of the device that the engine may take; by default the engine's own.
    version : str
        Version of vLLM.

    Returns
    -------
    budget : dict of ndarray
        memory_bytes (what the engine may use), weight_bytes, overhead_bytes, pool_bytes (left
        for the cache; negative where the rest does not fit). [B]
    """
    number = len(group)
    engine = group.labels["engine"].to_numpy()
    kind = group.labels["kind"].to_numpy()
    size = np.full(number, np.nan) if memory_size is None else np.asarray(memory_size, float)
    device_codes, devices = pd.factorize(group.labels["device_id"])
    own = np.array([_usable(device) for device in devices])[device_codes]
    share = np.where(kind == "apu", constant("usable_memory.share.unified", "any"), 1.0)
    reserve = np.where(kind == "cpu", constant("usable_memory.reserve.cpu", "any"), 0.0)
    server = memory.usable_memory(np.nan_to_num(size), share, reserve)
    usable = np.where(np.isnan(size), own, server)
    sequences = np.broadcast_to(np.asarray(max_num_seqs, float), (number,))
    batched = np.broadcast_to(np.asarray(max_num_batched_tokens, float), (number,))
    cells = np.broadcast_to(np.asarray(max_model_len, float), (number,))
    codes, models = pd.factorize(group.labels["model_id"])
    known = catalogue.load().models
    widths = pd.DataFrame([dimensions(m if m in known else next(iter(known))) for m in models])
    width = {name: widths[name].to_numpy()[codes] for name in widths}
    setting, aside, free = np.ones(number), np.zeros(number), np.ones(number)
    for name in dict.fromkeys(engine):
        rows = engine == name
        scope = name if name in ("vllm", "sglang", "tensorrt-llm", "ik_llama.cpp") else "llama.cpp"
        setting[rows] = constant("kv_pool_bytes.utilisation", scope)
        free[rows] = constant("kv_pool_bytes.free_fraction", scope)
        part = {key: value[rows] for key, value in width.items()}
        model = Profile(*(field[rows] for field in group.profile))
        names = "tensor_parallel", "link_bandwidth", "cpu"
        device = {key: group.hardware[key][rows] for key in names}
        aside[rows] = _aside(
            scope, model, device, part, sequences[rows], batched[rows], cells[rows], version
        )
    if utilisation is not None:
        setting = np.where(np.isin(engine, ["vllm", "sglang"]), utilisation, setting)
    weights = group.profile.weight_bytes_rank
    room = memory.kv_pool_bytes(usable, setting, weights, aside, free_fraction=free)
    return {
        "memory_bytes": usable * setting,
        "weight_bytes": weights,
        "overhead_bytes": aside,
        "pool_bytes": room,
    }


def _aside(scope, model, device, width, sequences, batched, cells, version):
    """What one engine sets aside on each device. [B]"""
    tensor = device["tensor_parallel"]
    if scope == "vllm":
        nvlink = device["link_bandwidth"] > 3e11
        activation = overhead.vllm_activation_bytes(
            sequences, model.vocab_size, batched, model.hidden_size, width["ffn_size"],
            width["experts_per_token"], width["expert_ffn_size"], tensor,
            width["vision"] * constant("vllm_activation_bytes.extra_bytes.vision", scope, version),
            **_arguments("vllm_activation_bytes", scope, version, "logits_bytes", "hidden_factor",
                         "expert_factor", "fixed_bytes", "forward_bytes"),
        )  # fmt: skip
        other = overhead.vllm_non_torch_bytes(
            tensor, 1, nvlink,
            **_arguments("vllm_non_torch_bytes", scope, version, "single_bytes", "nvlink_bytes",
                         "other_bytes", "pipeline_bytes"),
        )  # fmt: skip
        graphs = overhead.vllm_graph_bytes(
            model.layers, model.hidden_size, sequences, model.moe_layers > 0, tensor, 1,
            width["gpt_oss"] * constant("vllm_graph_bytes.extra_bytes.gpt_oss", scope, version),
            **_arguments("vllm_graph_bytes", scope, version, "fixed_bytes", "layer_bytes",
                         "element_bytes", "mixture_bytes", "tensor_saving", "pipeline_saving"),
        )  # fmt: skip
        taken = constant("kv_pool_bytes.graph_bytes.share", scope, version)
        return activation + other + taken * graphs
    if scope in ("sglang", "tensorrt-llm"):
        fixed = _arguments("kv_pool_bytes", scope, version, "activation_bytes", "non_torch_bytes")
        return np.full(len(tensor), sum(fixed.values()))
    gpu = ~device["cpu"]
    ubatch = constant("llamacpp.ubatch", scope)
    fixed = constant("llamacpp_compute_bytes.fixed_bytes", scope)
    common = (cells, ubatch, model.hidden_size, model.vocab_size, width["query_heads"])
    plain = overhead.llamacpp_compute_bytes(*common, gpu=gpu, fixed_bytes=fixed)
    latent = overhead.llamacpp_latent_compute_bytes(
        *common, width["latent_rank"], width["rope_dim"], width["nope_dim"], gpu=gpu
    )
    return np.where(width["latent_rank"] > 0, np.maximum(plain, latent), plain)
