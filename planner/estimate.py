"""One deployment -> its speed and memory, for one or a hundred thousand deployments at once.

``replicas`` gathers what the laws need into arrays, looking each distinct combination up once.
The other functions broadcast over the replicas; a batch, context or prompt with a trailing axis
gives one column per value. Nothing here reads a measurement.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from planner import catalogue, throughput
from planner.coefficients import (
    device_class,
    load,
    peak_precision,
    replica_words,
)
from planner.formats import for_engine
from planner.profile import Profile, profile
from planner.roofline import all_reduce_time, cpu_bandwidth

# What a table says of a deployment, and what is meant where it says nothing.
COLUMNS = {
    "model_id": "", "device_id": "", "engine": "vllm", "weight_format": "bf16",
    "kv_dtype": "auto", "tp": 0, "n_devices": 1, "sockets": 1, "threads": 0, "pp": 0,
    "engine_version": "",
}  # fmt: skip
LABELS = ["model_id", "device_id", "engine", "kind", "device_class"]
HOST_LINK = 64e9  # PCIe 4 x16, both directions, where the catalogue names no link [B/s]
USABLE = 0.98  # of the label, where no start-up log was read [1]
STAGED = ("llama.cpp", "ik_llama.cpp", "transformers", "autoawq")  # layer split, not tensor split
PARTS = ("bandwidth", "peak", "ceiling_peak", "attention_peak", "link_bandwidth", "usable_memory",
         "cores", "sockets", "threads", "prefill_attention", "cache_copies",
         "microbatch", "all_reduces")  # fmt: skip


class Unanswerable(ValueError):
    """A deployment that cannot be described; its message is the reason shown."""


@dataclass(frozen=True)
class Replicas:
    """
    Everything the laws need about N replicas, as arrays of length N.

    Parameters
    ----------
    profile : Profile
        Model side, in SI, an array per field.
    hardware : dict of str to ndarray
        ``bandwidth`` [B/s], ``peak``, ``ceiling_peak``, ``attention_peak`` [FLOP/s],
        ``link_bandwidth`` [B/s], ``usable_memory`` [B], ``cores``, ``sockets``, ``threads``,
        ``tensor_parallel``, ``stages``, ``cache_copies``, ``all_reduces`` [1], ``microbatch``
        [token], and whether it is a ``cpu``.
    coefficient : dict of str to ndarray
        Measured constants, resolved. [unit of each]
    labels : DataFrame
        ``kind``, ``device_class``, ``engine``, ``model_id``, ``device_id``.
    reason : ndarray of str
        Why a replica cannot be described; empty where it can.
    index : dict of str to ndarray
        Rows of the constants that made ``coefficient``.
    """

    profile: Profile
    hardware: Mapping
    coefficient: Mapping
    labels: pd.DataFrame
    reason: np.ndarray
    index: Mapping

    def __len__(self):
        return len(self.reason)

    def take(self, rows):
        """
        Some of the replicas, or some several times.

        Parameters
        ----------
        rows : array of int or bool
            Which.

        Returns
        -------
        replicas : Replicas
            In that order.
        """
        return replace(
            self,
            profile=Profile(*(field[rows] for field in self.profile)),
            hardware={key: value[rows] for key, value in self.hardware.items()},
            coefficient={key: value[rows] for key, value in self.coefficient.items()},
            labels=self.labels.iloc[rows].reset_index(drop=True),
            reason=self.reason[rows],
            index={key: value[rows] for key, value in self.index.items()},
        )

    def ideal(self):
        """
        The same replicas without a loss: the physical floor of every time.

        Returns
        -------
        replicas : Replicas
            Nameplate bandwidth and peak, no launches, no communication latency.
        """
        neutral = {
            name: np.ones_like(value)
            if name.endswith(("efficiency", "margin"))
            else np.full_like(value, np.inf if name.endswith(("bandwidth", "ceiling")) else 0.0)
            for name, value in self.coefficient.items()
        }
        hardware = {**self.hardware, "peak": self.hardware["ceiling_peak"]}
        hardware["attention_peak"] = self.hardware["ceiling_peak"]
        return replace(self, coefficient=neutral, hardware=hardware)


def _unabsorbed_share(model):
    """Operations of latent attention in prefill, which unpacks the heads, over decode's."""
    text = model.config.get("text_config", model.config)
    rank, rope = text.get("kv_lora_rank"), text.get("qk_rope_head_dim", 0)
    if not rank:
        return 1.0
    return (text["qk_nope_head_dim"] + rope + text["v_head_dim"]) / (2 * rank + rope)


@lru_cache(maxsize=65536)
def _describe(model_id, device_id, engine, weight_format, kv_format, tensor, devices, sockets,
              threads, stages, version):  # fmt: skip
    records = catalogue.load()
    if model_id not in records.models:
        raise Unanswerable(f"model_id {model_id!r} is not in data/models.json")
    if device_id not in records.devices:
        raise Unanswerable(f"device_id {device_id!r} is not in data/devices.csv")
    device = records.devices[device_id]
    kind = device_class(device.id, device.kind)
    if kind == "cpu":
        tensor, stages = 1, 1
    elif not tensor:
        tensor = 1 if engine in STAGED else devices
    stages = stages or max(devices // tensor, 1)
    cores = (device.cores or np.nan) * sockets
    threads = min(threads or cores, cores) if kind == "cpu" else 1
    try:
        stored = for_engine(weight_format, engine)
        model = profile(records.models[model_id], stored, kv_format, tensor)
    except (ValueError, KeyError) as error:
        raise Unanswerable(f"{model_id} in {weight_format}: {error}") from error
    fp32 = device.peak.get("fp32") or np.nan
    if kind == "cpu":
        scale = sockets * threads / cores
        peak = attention = fp32 * scale
        ceiling = scale * max(4 * fp32, *(v for v in device.peak.values()))
    else:
        wide = device.peak.get("bf16") or device.peak.get("fp16") or fp32
        peak = peak_precision(weight_format, device.peak, engine)
        attention = wide
        if engine == "llama.cpp" and kind == "gddr" and device.vendor.lower() == "nvidia":
            peak = max(wide, 4 * fp32)  # FP16 accumulation runs at twice the listed FP32 one
        ceiling = max([*device.peak.values(), peak])
    # transformers on cores copies grouped keys and values out to every query head
    expanded = engine == "autoawq" and kind == "cpu" and model.kv_bytes > 0
    copies = max(model.attention_flops / model.kv_bytes, 1.0) if expanded else 1.0
    words = replica_words(device, kind, engine, version, weight_format, model.moe_layers > 0)
    hardware = (
        device.bandwidth, peak, ceiling, attention, device.link_bandwidth or HOST_LINK,
        device.usable_memory or USABLE * (device.memory or np.nan), cores, sockets, threads,
        _unabsorbed_share(records.models[model_id]), copies,
        512.0 if engine in STAGED else 8192.0, 2.0, tensor, stages,
    )  # fmt: skip
    return model, hardware, words, (device.kind, kind)


def replicas(table, constants=None):
    """
    Gather what the laws need about each deployment.

    Parameters
    ----------
    table : DataFrame
        ``model_id``, ``device_id``, ``engine``, ``weight_format`` and, where known,
        ``kv_dtype``, ``tp``, ``n_devices``, ``sockets``, ``threads``, ``pp``. [1]
    constants : Constants, optional
        Measured constants; by default those of ``data/constants/speed.csv``.

    Returns
    -------
    replicas : Replicas
        One per row; a row that cannot be described carries a reason and NaN.
    """
    constants = load() if constants is None else constants
    keys = {name: _column(table, name, default) for name, default in COLUMNS.items()}
    keys["n_devices"] = np.maximum.reduce(
        [keys["n_devices"], keys["tp"], [1] * len(table)]
    ).tolist()
    keys["sockets"] = [max(number, 1) for number in keys["sockets"]]
    distinct: dict[tuple, int] = {}
    codes = [distinct.setdefault(row, len(distinct)) for row in zip(*keys.values(), strict=True)]
    blank = Profile(*[np.nan] * len(Profile._fields)), (np.nan,) * 15, frozenset(), ("", "")
    described, reasons = [], []
    for row in distinct:
        try:
            described.append(_describe(*row))
            reasons.append("")
        except Unanswerable as error:
            described.append(blank)
            reasons.append(str(error))
    profiles, hardware, words, kinds = zip(*described, strict=True) if described else [()] * 4
    names = [*PARTS, "tensor_parallel", "stages"]
    index = constants.index(words)
    named = [(*row[:3], *kind) for row, kind in zip(distinct, kinds, strict=True)]
    labels = pd.DataFrame(named, columns=LABELS)
    hardware = dict(zip(names, np.array(hardware, dtype=float).reshape(-1, 15).T, strict=True))
    result = Replicas(
        profile=Profile(*np.array(profiles, dtype=float).reshape(-1, len(Profile._fields)).T),
        hardware=hardware | {"cpu": labels["device_class"].to_numpy() == "cpu"},
        coefficient=constants.resolve(index),
        labels=labels,
        reason=np.array(reasons, dtype=object),
        index=index,
    )
    return result if len(distinct) == len(codes) else result.take(np.array(codes))


def _column(table, name, default):
    """Values of a column, the default where it says nothing. Lists: a table is often one row."""
    if name not in table:
        return [default] * len(table)
    given = table[name]
    if isinstance(default, str):
        said = zip(given.isna().tolist(), map(str, given.tolist()), strict=True)
        return [default if no or text in ("", "nan") else text for no, text in said]
    if given.dtype.kind not in "iuf":
        given = pd.to_numeric(given, errors="coerce")
    numbers = given.to_numpy(float, na_value=np.nan)
    return np.maximum(np.where(np.isnan(numbers), default, numbers), 0).astype(int).tolist()


def _axes(group, *workload):
    """Workload as arrays and a function that lines replica arrays up with their last axis."""
    workload = [np.asarray(value, dtype=float) for value in workload]
    wide = max(value.ndim for value in workload) > 1
    return workload, (lambda values: values[:, None]) if wide else (lambda values: values)


def memory_bandwidth(group):
    """
    Bandwidth of one accelerator, or of the whole CPU server, as far as it is reached.

    Parameters
    ----------
    group : Replicas
        N replicas.

    Returns
    -------
    bandwidth : ndarray
        Never above the nameplate. [B/s]
    """
    part, c = group.hardware, group.coefficient
    efficiency = np.minimum(c["bandwidth_efficiency"], 1.0)
    server = cpu_bandwidth(
        part["bandwidth"], part["sockets"], part["threads"],
        efficiency=efficiency, numa_efficiency=np.minimum(c["numa_efficiency"], 1.0),
        thread_bandwidth=c["thread_bandwidth"], socket_ceiling=c["socket_ceiling"],
    )  # fmt: skip
    return np.where(part["cpu"], server, part["bandwidth"] * efficiency)


def _shared(group, up):
    """Arguments that decode and prefill have in common."""
    model, part, c = group.profile, group.hardware, group.coefficient
    crossing = np.where(part["sockets"] > 1, np.minimum(c["numa_efficiency"], 1.0), 1.0)
    crossing = crossing / (1.0 + c["thread_loss"] * part["threads"])
    peak = np.minimum(c["compute_efficiency"] * part["peak"] * crossing, part["ceiling_peak"])
    attention = np.minimum(c["attention_efficiency"] * part["attention_peak"], part["ceiling_peak"])
    names = ["expert_bytes", "expert_parameters", "experts", "experts_per_token", "window"]
    names += ["attention_flops", "sliding_flops"]
    return {name: up(getattr(model, name)) for name in names} | {
        "weight_bytes": up(model.dense_bytes),
        "active_parameters": up(model.dense_parameters),
        "memory_bandwidth": up(memory_bandwidth(group)),
        "peak_flops": up(peak),
        "tensor_parallel": up(part["tensor_parallel"]),
        "attention_peak": up(attention),
        "expert_bandwidth_efficiency": up(np.minimum(c["expert_bandwidth_efficiency"], 1.0)),
        "expert_compute_efficiency": up(np.minimum(c["expert_compute_efficiency"], 1.0)),
    }


def _communication(group, tokens, up):
    model, part, c = group.profile, group.hardware, group.coefficient
    return all_reduce_time(
        tokens, up(model.hidden_size), up(model.layers), up(part["tensor_parallel"]),
        up(part["link_bandwidth"]), latency=up(c["all_reduce_time"]),
        efficiency=up(np.minimum(c["link_efficiency"], 1.0)), per_layer=up(part["all_reduces"]),
    )  # fmt: skip


def decode_step_time(group, batch, context):
    """
    Time of one decode step of each replica.

    Parameters
    ----------
    group : Replicas
        N replicas.
    batch : numeric
        Sequences; a scalar, N values, or N x B. [sequence]
    context : numeric
        Mean tokens in their caches, likewise. [token]

    Returns
    -------
    step_time : ndarray
        N or N x B. [s]

    Examples
    --------
    >>> table = pd.DataFrame({"model_id": ["Qwen/Qwen3-32B"], "device_id": ["h100-sxm"],
    ...                       "weight_format": ["fp8"]})
    >>> bool(0.010 < decode_step_time(replicas(table), 1, 1024)[0] < 0.025)
    True
    """
    (batch, context), up = _axes(group, batch, context)
    model, part, c = group.profile, group.hardware, group.coefficient
    overhead = c["step_time"] + model.layers * c["layer_time"]
    overhead = overhead + model.moe_layers * c["expert_layer_time"]
    overhead = overhead + (part["stages"] - 1.0) * c["hop_time"]
    host = c["host_layer_time"] * (model.layers + model.moe_layers * c["host_expert_layers"])
    shared = _shared(group, up)
    shared["peak_flops"] = shared["peak_flops"] * up(np.minimum(c["decode_efficiency"], 1.0))
    return throughput.decode_step_time(
        batch, context, kv_bytes=up(model.kv_bytes * part["cache_copies"]),
        sliding_bytes=up(model.sliding_bytes), state_bytes=up(model.state_bytes),
        kv_bandwidth_efficiency=up(np.minimum(c["kv_bandwidth_efficiency"], 1.0)),
        communication_time=_communication(group, batch, up), overhead_time=up(overhead),
        host_time=up(host), **shared,
    )  # fmt: skip


def prefill_time(group, prompt, cached=0):
    """
    Time from the start of a prompt's pass to its first token.

    Parameters
    ----------
    group : Replicas
        N replicas.
    prompt : numeric
        Tokens that are not cached; a scalar, N values, or N x B. [token]
    cached : numeric
        Tokens whose cache exists already, likewise. [token]

    Returns
    -------
    time : ndarray
        Work and launches. [s]
    """
    work, launch = prefill_parts(group, prompt, cached)
    return work + launch


def prefill_parts(group, prompt, cached=0):
    """
    Work of a prompt and launches of its pass, apart: only the work slows neighbours down.

    Parameters
    ----------
    group : Replicas
        N replicas.
    prompt : numeric
        Tokens that are not cached; a scalar, N values, or N x B. [token]
    cached : numeric
        Tokens whose cache exists already, likewise. [token]

    Returns
    -------
    work, launch : ndarray
        [s]
    """
    (prompt, cached), up = _axes(group, prompt, cached)
    model, c = group.profile, group.coefficient
    launch = c["prefill_time"] + model.layers * c["prefill_layer_time"]
    shared = _shared(group, up)
    head = model.hidden_size * model.vocab_size  # only the last token of a prompt needs it
    for name in ("attention_flops", "sliding_flops"):
        shared[name] = shared[name] * up(group.hardware["prefill_attention"])
    shared["active_parameters"] = up(np.maximum(model.dense_parameters - head, 0.0))
    work = throughput.prefill_time(
        prompt, cached, stages=up(group.hardware["stages"]),
        microbatch=up(group.hardware["microbatch"]),
        communication_time=_communication(group, prompt, up), **shared,
    )  # fmt: skip
    return work, np.broadcast_to(up(launch), work.shape)
