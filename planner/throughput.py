"""Time of prefill and decode on one replica, and what users of a closed loop see.

Numbers in, numbers out: SI units, broadcasting, no catalogue. A step is the slower of reading
the weights and computing with them, then the KV cache, attention, communication between
accelerators and the launches that no roofline shows. Efficiencies have a neutral default; their
measured values live in ``data/constants/speed.csv``.
"""

import numpy as np

from planner.roofline import cache_bytes_read, expert_bytes_read, matrix_flops, roofline_time


def _floats(*values):
    return tuple(np.asarray(value, dtype=float) for value in values)


def decode_step_time(
    batch_size,
    context_length,
    weight_bytes,
    kv_bytes,
    active_parameters,
    memory_bandwidth,
    peak_flops,
    *,
    tensor_parallel=1.0,
    expert_bytes=0.0,
    expert_parameters=0.0,
    experts=1.0,
    experts_per_token=1.0,
    sliding_bytes=0.0,
    window=0.0,
    state_bytes=0.0,
    attention_flops=0.0,
    sliding_flops=0.0,
    attention_peak=np.inf,
    expert_bandwidth_efficiency=1.0,
    kv_bandwidth_efficiency=1.0,
    compute_efficiency=1.0,
    expert_compute_efficiency=1.0,
    communication_time=0.0,
    overhead_time=0.0,
    host_time=0.0,
):
    r"""
    Time of one decode step, which is also the time per output token of every sequence in it.

    Parameters
    ----------
    batch_size : numeric
        Sequences decoded together. [sequence]
    context_length : numeric
        Mean tokens already in their caches. [token]
    weight_bytes : numeric
        Weights that every step reads, whole replica, routed experts apart. [B]
    kv_bytes : numeric
        Cache of the full-context layers per token and rank. [B/token]
    active_parameters : numeric
        Parameters that every token uses, routed experts apart. [1]
    memory_bandwidth : numeric
        One accelerator (or the whole CPU server), as far as it is reached. [B/s]
    peak_flops : numeric
        Dense (not sparse) peak of one accelerator at the format's precision. [FLOP/s]
    tensor_parallel : numeric
        Accelerators that share the weights. [1]
    expert_bytes : numeric
        All routed experts. [B]
    expert_parameters : numeric
        All routed experts. [1]
    experts : numeric
        Routed experts per layer. [1]
    experts_per_token : numeric
        Experts per token. [1]
    sliding_bytes : numeric
        Cache of the windowed layers per token and rank. [B/token]
    window : numeric
        Their window. [token]
    state_bytes : numeric
        Constant state per sequence and rank. [B]
    attention_flops : numeric
        Attention per query token and context token, whole replica. [FLOP]
    sliding_flops : numeric
        The same for windowed layers. [FLOP]
    attention_peak : numeric
        Rate of attention on one accelerator. [FLOP/s]
    expert_bandwidth_efficiency : numeric
        Bandwidth of expert reads over that of dense reads. [1]
    kv_bandwidth_efficiency : numeric
        Bandwidth of cache reads over that of weights. [1]
    compute_efficiency : numeric
        Share of the peak that matrix products reach. [1]
    expert_compute_efficiency : numeric
        The experts' share of that. [1]
    communication_time : numeric
        All-reduces and hops. [s]
    overhead_time : numeric
        Launches and scheduling that add to the work. [s]
    host_time : numeric
        Launches by a host that runs ahead, so that the slower of host and device counts. [s]

    Returns
    -------
    step_time : numeric
        Time per output token. [s]

    Notes
    -----
    ``max(weights, arithmetic)`` with a rounded corner, then the cache, attention, communication
    and overhead one after the other. Left out: speculative decoding, expert parallelism,
    uneven routing beyond ``expert_bandwidth_efficiency``.

    References
    ----------
    .. [1] R. Pope et al., "Efficiently scaling transformer inference", MLSys 2023, section 2.

    Examples
    --------
    >>> decode_step_time([1, 64], 2048, 16.06e9, 131072, 8.03e9, 3.35e12, 989e12).round(4)
    array([0.0049, 0.0099])
    """
    tokens, tensor_parallel = _floats(batch_size, tensor_parallel)
    routed = expert_bytes_read(tokens, expert_bytes, experts, experts_per_token)
    read = np.asarray(weight_bytes, dtype=float) + routed / expert_bandwidth_efficiency
    dense, experts_flops = matrix_flops(
        tokens, active_parameters, expert_parameters, experts, experts_per_token
    )
    compute = (dense + experts_flops / expert_compute_efficiency) / (
        tensor_parallel * peak_flops * compute_efficiency
    )
    cache = tokens * cache_bytes_read(context_length, kv_bytes, sliding_bytes, window, state_bytes)
    attention = tokens * cache_bytes_read(context_length, attention_flops, sliding_flops, window)
    step = (
        roofline_time(read / (tensor_parallel * memory_bandwidth), compute)
        + cache / (memory_bandwidth * kv_bandwidth_efficiency)
        + attention / (tensor_parallel * attention_peak)
        + communication_time
        + overhead_time
    )
    return roofline_time(step, host_time) if np.any(np.asarray(host_time) > 0) else step


def prefill_time(
    prompt_tokens,
    cached_tokens,
    weight_bytes,
    active_parameters,
    memory_bandwidth,
    peak_flops,
    *,
    tensor_parallel=1.0,
    expert_bytes=0.0,
    expert_parameters=0.0,
    experts=1.0,
    experts_per_token=1.0,
    window=0.0,
    attention_flops=0.0,
    sliding_flops=0.0,
    attention_peak=np.inf,
    expert_bandwidth_efficiency=1.0,
    compute_efficiency=1.0,
    expert_compute_efficiency=1.0,
    stages=1.0,
    microbatch=512.0,
    communication_time=0.0,
):
    r"""
    Work of reading a prompt before its first token, launches apart.

    Parameters
    ----------
    prompt_tokens : numeric
        Tokens of the prompt that are not cached. [token]
    cached_tokens : numeric
        Tokens before them whose cache exists already. [token]
    weight_bytes : numeric
        Weights that every pass reads, routed experts apart. [B]
    active_parameters : numeric
        Parameters that every token uses, routed experts apart. [1]
    memory_bandwidth : numeric
        One accelerator (or the whole CPU server), as far as it is reached. [B/s]
    peak_flops : numeric
        Dense peak of one accelerator at the format's precision. [FLOP/s]
    tensor_parallel : numeric
        Accelerators that share the weights. [1]
    expert_bytes : numeric
        All routed experts. [B]
    expert_parameters : numeric
        All routed experts. [1]
    experts : numeric
        Routed experts per layer. [1]
    experts_per_token : numeric
        Experts per token. [1]
    window : numeric
        Window of the sliding layers. [token]
    attention_flops : numeric
        Attention per query token and context token, whole replica. [FLOP]
    sliding_flops : numeric
        The same for windowed layers. [FLOP]
    attention_peak : numeric
        Rate of attention on one accelerator. [FLOP/s]
    expert_bandwidth_efficiency : numeric
        Bandwidth of expert reads over that of dense reads. [1]
    compute_efficiency : numeric
        Share of the peak that matrix products reach. [1]
    expert_compute_efficiency : numeric
        The experts' share of that. [1]
    stages : numeric
        Accelerators that hold consecutive layers (layer split). [1]
    microbatch : numeric
        Prompt tokens per pass of a stage. [token]
    communication_time : numeric
        All-reduces of the whole prompt. [s]

    Returns
    -------
    work : numeric
        Time of the prompt. [s]

    Notes
    -----
    A causal prompt attends to half of itself on average. Stages fill like a pipeline:
    :math:`(m + p - 1) / (m p)` of the work of one accelerator.

    References
    ----------
    .. [1] T. Dao, "FlashAttention-2", 2023, section 4 (operations of causal attention).
    .. [2] Y. Huang et al., "GPipe", NeurIPS 2019, section 2.3 (bubble of a pipeline).

    Examples
    --------
    >>> prefill_time(1000, 0, 16e9, 8e9, 3.35e12, 1e15, compute_efficiency=0.5).round(4)
    np.float64(0.032)
    """
    tokens, cached, tensor_parallel, stages = _floats(
        prompt_tokens, cached_tokens, tensor_parallel, stages
    )
    together = np.minimum(tokens, microbatch)
    routed = expert_bytes_read(together, expert_bytes, experts, experts_per_token)
    read = np.asarray(weight_bytes, dtype=float) + routed / expert_bandwidth_efficiency
    dense, experts_flops = matrix_flops(
        tokens, active_parameters, expert_parameters, experts, experts_per_token
    )
    compute = (dense + experts_flops / expert_compute_efficiency) / (
        tensor_parallel * peak_flops * compute_efficiency
    )
    attention = tokens * cache_bytes_read(
        cached + 0.5 * tokens, attention_flops, sliding_flops, window
    )
    passes = np.maximum(np.ceil(tokens / microbatch), 1.0)
    return (
        roofline_time(read / (tensor_parallel * memory_bandwidth), compute)
        + attention / (tensor_parallel * attention_peak)
    ) * (passes + stages - 1.0) / (passes * stages) + communication_time


def closed_loop(
    users,
    output_tokens,
    step_time,
    prefill_work,
    launch_time=0.0,
    *,
    sequences_limit=np.inf,
    prefill_sharing=1.0,
    request_time=0.0,
    steps_waited=0.5,
    bunching=0.0,
):
    r"""
    Latency and throughput that a fixed number of users without thinking time see.

    Parameters
    ----------
    users : numeric
        Requests in the system at any moment. [request]
    output_tokens : numeric
        Tokens per answer. [token]
    step_time : callable
        Sequences decoded together -> decode step time. [sequence] -> [s]
    prefill_work : numeric
        Work of one prompt. [s]
    launch_time : numeric
        Launches of one prefill pass. [s]
    sequences_limit : numeric
        Sequences that fit in the KV cache. [sequence]
    prefill_sharing : numeric
        Part of a prompt's work that decoding neighbours wait for. [1]
    request_time : numeric
        Handling of a request outside the accelerator. [s]
    steps_waited : numeric
        Decode steps between arrival and the start of the prefill. [step]
    bunching : numeric
        Share of the other users whose prompts arrive at the same moment. [1]

    Returns
    -------
    result : dict of numeric
        ``tpot``, ``ttft``, ``queue`` (the part of ttft spent behind others) and ``cycle`` [s],
        ``running`` [sequence], ``output_rate`` [token/s], ``request_rate`` [request/s].

    Notes
    -----
    With N users at work, N - 1 prompts arrive while one answer of O tokens is written: each step
    carries (N - 1)/O of a prompt. Throughput is Little's law. Beyond ``sequences_limit`` users
    queue for a place and the result turns into a statement about the queue.

    References
    ----------
    .. [1] J. D. C. Little, "A proof for the queuing formula L = lambda W", Oper. Res. 9(3), 1961.
    .. [2] A. Agrawal et al., "Sarathi-Serve", OSDI 2024, section 3 (prefill stalls decode).

    Examples
    --------
    >>> loop = closed_loop([1, 8], 101, lambda n: 0.01 + 0 * n, 0.1, steps_waited=0)
    >>> loop["tpot"].round(4), loop["output_rate"].round(0)
    (array([0.01  , 0.0169]), array([ 92., 442.]))
    """
    users, output_tokens, prefill_work, launch_time = _floats(
        users, output_tokens, prefill_work, launch_time
    )
    running = np.minimum(users, np.maximum(sequences_limit, 1.0))
    prompts = (running - 1.0) / output_tokens
    shared = prefill_sharing * prefill_work * prompts
    stall = shared + launch_time * np.minimum(prompts, 1.0)
    decoding = running
    gaps = np.maximum(output_tokens - 1.0, 0.0)
    for _ in range(3):
        step = step_time(decoding)
        tpot = step + stall
        occupied = np.minimum(shared / tpot, 0.95)
        behind = bunching * (running - 1.0) + 0.5 * occupied / (1.0 - occupied)
        waits = steps_waited * np.where(users > 1, 1.0, 0.0)
        queue = prefill_sharing * prefill_work * behind
        first = request_time + prefill_work + launch_time + waits * step + queue
        cycle = first + gaps * tpot
        decoding = np.maximum(running * gaps * tpot / cycle, np.minimum(running, 1.0))
    ttft = first + (users - running) * cycle / running
    return {
        "tpot": tpot,
        "ttft": ttft,
        "queue": ttft - request_time - prefill_work - launch_time,
        "cycle": cycle,
        "running": running,
        "output_rate": running * output_tokens / cycle,
        "request_rate": running / cycle,
    }


def saturated_rate(
    batch_size, output_tokens, step_time, prefill_work, launch_time=0.0, *, prefill_sharing=1.0
):
    """
    Requests per second that a full batch sustains when there is always a next request.

    Parameters
    ----------
    batch_size : numeric
        Sequences that fit. [sequence]
    output_tokens : numeric
        Tokens per answer. [token]
    step_time : numeric
        Decode step of that batch. [s]
    prefill_work : numeric
        Work of one prompt. [s]
    launch_time : numeric
        Launches of one prefill pass. [s]
    prefill_sharing : numeric
        Part of a prompt's work that is not hidden behind decoding. [1]

    Returns
    -------
    request_rate : numeric
        Batch over the time of one generation of it. [request/s]

    References
    ----------
    .. [1] G.-I. Yu et al., "Orca", OSDI 2022 (iteration-level scheduling).

    Examples
    --------
    >>> saturated_rate(10, 100, 0.01, 0.1)
    np.float64(5.0)
    """
    batch_size, output_tokens, step_time, prefill_work, launch_time = _floats(
        batch_size, output_tokens, step_time, prefill_work, launch_time
    )
    prefill = batch_size * prefill_sharing * prefill_work
    prefill = prefill + launch_time * np.minimum(batch_size, output_tokens)
    return batch_size / (prefill + output_tokens * step_time)
