"""One step of a deployment apart: its bytes, its operations, and where its time goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner import estimate
from planner.estimate import Replicas
from planner.roofline import cache_bytes_read, expert_bytes_read, matrix_flops

FIXED = ("step_time", "layer_time", "expert_layer_time", "hop_time", "host_layer_time")


def decode_work(group: Replicas, batch, context) -> tuple[np.ndarray, np.ndarray]:
    """
    Operations and bytes of one decode step, all accelerators of a replica together.

    Parameters
    ----------
    group : Replicas
        N replicas.
    batch, context : numeric
        Sequences, and mean tokens in their caches; a scalar or N values. [sequence], [token]

    Returns
    -------
    operations, read : ndarray
        [FLOP], [B]
    """
    model = group.profile
    routed = (model.experts, model.experts_per_token)
    cache = cache_bytes_read(
        context, model.kv_bytes * group.hardware["cache_copies"], model.sliding_bytes, model.window,
        model.state_bytes,
    )  # fmt: skip
    read = model.dense_bytes + expert_bytes_read(batch, model.expert_bytes, *routed)
    read = read + batch * cache * group.hardware["tensor_parallel"]
    matrices = matrix_flops(batch, model.dense_parameters, model.expert_parameters, *routed)
    attention = cache_bytes_read(context, model.attention_flops, model.sliding_flops, model.window)
    return sum(matrices) + batch * attention, read


def prefill_work(group: Replicas, prompt) -> tuple[np.ndarray, np.ndarray]:
    """
    Operations and bytes of one prompt, as `estimate.prefill_time` counts them.

    Parameters
    ----------
    group : Replicas
        N replicas.
    prompt : numeric
        A scalar or N values. [token]

    Returns
    -------
    operations, read : ndarray
        [FLOP], [B]
    """
    model, part = group.profile, group.hardware
    routed = (model.experts, model.experts_per_token)
    together = np.minimum(prompt, part["microbatch"])
    read = model.dense_bytes + expert_bytes_read(together, model.expert_bytes, *routed)
    dense = np.maximum(model.dense_parameters - model.hidden_size * model.vocab_size, 0.0)
    matrices = matrix_flops(prompt, dense, model.expert_parameters, *routed)
    attention = part["prefill_attention"] * cache_bytes_read(
        0.5 * np.asarray(prompt, float), model.attention_flops, model.sliding_flops, model.window
    )
    return sum(matrices) + prompt * attention, read


def roof(group: Replicas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    What the accelerators of a replica deliver together without any loss.

    Parameters
    ----------
    group : Replicas
        N replicas.

    Returns
    -------
    bandwidth, peak, own : ndarray
        Memory [B/s]; the highest dense peak of the chip in any precision, and the peak of the
        format's own precision [FLOP/s].
    """
    ideal, number = group.ideal(), group.hardware["tensor_parallel"]
    return (
        estimate.memory_bandwidth(ideal) * number,
        ideal.hardware["peak"] * number,
        np.minimum(group.hardware["peak"], ideal.hardware["peak"]) * number,
    )


def decode_parts(group: Replicas, batch, context) -> dict[str, np.ndarray]:
    """
    Where the time of a decode step goes: what the step loses when one cost after the other is gone.

    Parameters
    ----------
    group : Replicas
        N replicas.
    batch, context : numeric
        As in `decode_work`. [sequence], [token]

    Returns
    -------
    parts : dict of ndarray
        weights, cache (reads), arithmetic (as far as reads do not hide it), communication, fixed;
        their sum is the step. [s]
    """
    none, never = np.zeros(len(group)), np.full(len(group), np.inf)
    model, part, constants = group.profile, group.hardware, group.coefficient
    no_cache = model._replace(kv_bytes=none, sliding_bytes=none, state_bytes=none)
    ladder = [group, replace(group, profile=no_cache)]
    no_work = no_cache._replace(attention_flops=none, sliding_flops=none)
    fast = {**part, "peak": never, "ceiling_peak": never}
    ladder.append(replace(group, profile=no_work, hardware=fast))
    fast = {**fast, "link_bandwidth": never}
    silent = {**constants, "all_reduce_time": none}
    ladder.append(replace(ladder[-1], hardware=fast, coefficient=silent))
    silent = {**silent, **dict.fromkeys(FIXED, none)}
    ladder.append(replace(ladder[-1], coefficient=silent))
    times = [estimate.decode_step_time(one, batch, context) for one in ladder]
    names = ("cache", "arithmetic", "communication", "fixed")
    lost = {name: times[i] - times[i + 1] for i, name in enumerate(names)}
    return {"weights": times[-1], **lost}
