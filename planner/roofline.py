"""The pieces of a step: bytes to read, operations to do, what memory and links deliver.

Numbers in, numbers out: SI units, broadcasting, no catalogue. ``throughput`` puts them together.
"""

import numpy as np


def _floats(*values):
    return tuple(np.asarray(value, dtype=float) for value in values)


def expert_bytes_read(tokens, expert_bytes, experts, experts_per_token):
    r"""
    Bytes of routed experts that a batch of tokens reads together.

    Parameters
    ----------
    tokens : numeric
        Tokens that pass the layer together: sequences in decode, prompt tokens in prefill. [token]
    expert_bytes : numeric
        All routed experts of the model. [B]
    experts : numeric
        Routed experts per layer, 1 for a dense model. [1]
    experts_per_token : numeric
        Experts that each token is sent to. [1]

    Returns
    -------
    bytes_read : numeric
        :math:`B (1 - (1 - k/E)^n)`, the expected union of even, independent routing. [B]

    References
    ----------
    .. [1] S. Rajbhandari et al., "DeepSpeed-MoE", ICML 2022, section 5 (experts read by a batch).

    Examples
    --------
    >>> expert_bytes_read([1, 2, 10_000], 128e9, 128, 8).round(-7)
    array([8.00e+09, 1.55e+10, 1.28e+11])
    """
    tokens, expert_bytes, experts, experts_per_token = _floats(
        tokens, expert_bytes, experts, experts_per_token
    )
    missed = np.maximum(1.0 - experts_per_token / experts, 1e-300)
    return expert_bytes * -np.expm1(tokens * np.log(missed))


def cpu_bandwidth(
    bandwidth,
    sockets,
    threads,
    *,
    efficiency=1.0,
    numa_efficiency=1.0,
    thread_bandwidth=np.inf,
    socket_ceiling=np.inf,
):
    r"""
    Memory bandwidth that the cores of a server really draw.

    Parameters
    ----------
    bandwidth : numeric
        Nameplate bandwidth of one socket. [B/s]
    sockets : numeric
        Sockets that work on one model. [1]
    threads : numeric
        Threads in all. [1]
    efficiency : numeric
        Share of the nameplate that one socket reaches. [1]
    numa_efficiency : numeric
        What remains of each socket's share when there are several. [1]
    thread_bandwidth : numeric
        What one thread can draw alone. [B/s]
    socket_ceiling : numeric
        What the fabric of one socket delivers to its cores at most. [B/s]

    Returns
    -------
    bandwidth : numeric
        The smallest of three limits with rounded corners, :math:`(\sum b_i^{-3})^{-1/3}`. [B/s]

    References
    ----------
    .. [1] J. D. McCalpin, "Memory bandwidth and machine balance", IEEE TCCA, 1995 (STREAM).

    Examples
    --------
    >>> cpu_bandwidth(76.8e9, 2, 28, efficiency=0.65, numa_efficiency=0.7).round(-8)
    np.float64(69900000000.0)
    """
    bandwidth, sockets, threads = _floats(bandwidth, sockets, threads)
    loss = np.where(sockets > 1, numa_efficiency, 1.0)
    memory = 1.0 / (bandwidth * efficiency)
    fabric = 1.0 / np.asarray(socket_ceiling, dtype=float)
    cores = loss * sockets / (threads * np.asarray(thread_bandwidth, dtype=float))
    return loss * sockets / np.cbrt(memory**3 + fabric**3 + cores**3)


def roofline_time(memory_time, compute_time, sharpness=3):
    r"""
    Time of work that reads memory and computes at once.

    Parameters
    ----------
    memory_time : numeric
        Time of the reads alone. [s]
    compute_time : numeric
        Time of the arithmetic alone. [s]
    sharpness : int
        2 and 3 round the corner where neither side hides the other completely; larger values
        approach the maximum. [1]

    Returns
    -------
    time : numeric
        :math:`(t_m^p + t_c^p)^{1/p}`, never less than either. [s]

    References
    ----------
    .. [1] S. Williams, A. Waterman, D. Patterson, "Roofline", CACM 52(4), 2009.

    Examples
    --------
    >>> roofline_time([1.0, 1.0, 0.0], [0.0, 1.0, 2.0]).round(3)
    array([1.  , 1.26, 2.  ])
    """
    memory_time, compute_time = _floats(memory_time, compute_time)
    if sharpness == 3:
        return np.cbrt(
            memory_time * memory_time * memory_time + compute_time * compute_time * compute_time
        )
    larger = np.maximum(memory_time, compute_time)
    ratio = np.minimum(memory_time, compute_time) / np.where(larger > 0, larger, 1.0)
    return larger * (1.0 + ratio**sharpness) ** (1.0 / sharpness)


def matrix_flops(tokens, dense_parameters, expert_parameters, experts, experts_per_token):
    """
    Arithmetic of the matrix products, experts counted per token.

    Parameters
    ----------
    tokens : numeric
        Tokens that pass. [token]
    dense_parameters : numeric
        Parameters that every token uses. [1]
    expert_parameters : numeric
        All routed experts. [1]
    experts : numeric
        Routed experts per layer, 1 for a dense model. [1]
    experts_per_token : numeric
        Experts that each token is sent to. [1]

    Returns
    -------
    dense : numeric
        Two operations per dense parameter and token. [FLOP]
    routed : numeric
        The same for the experts that the tokens reach. [FLOP]

    References
    ----------
    .. [1] J. Kaplan et al., "Scaling laws for neural language models", 2020, table 1.

    Examples
    --------
    >>> matrix_flops(10, 7e9, 0, 1, 1)
    (np.float64(140000000000.0), np.float64(0.0))
    """
    tokens, dense_parameters, expert_parameters, experts, experts_per_token = _floats(
        tokens, dense_parameters, expert_parameters, experts, experts_per_token
    )
    share = experts_per_token / experts
    return 2.0 * tokens * dense_parameters, 2.0 * tokens * expert_parameters * share


def cache_bytes_read(context, kv_bytes, sliding_bytes=0.0, window=0.0, state_bytes=0.0):
    """
    Cache that one sequence reads in one decode step.

    Parameters
    ----------
    context : numeric
        Tokens in the cache. [token]
    kv_bytes : numeric
        Layers that keep the whole context, per token and rank. [B/token]
    sliding_bytes : numeric
        Layers that keep a window, per token and rank. [B/token]
    window : numeric
        Length of that window. [token]
    state_bytes : numeric
        Constant state of linear-attention layers, per rank. [B]

    Returns
    -------
    bytes_read : numeric
        Bytes per sequence. [B]

    References
    ----------
    .. [1] R. Pope et al., "Efficiently scaling transformer inference", MLSys 2023, section 2.

    Examples
    --------
    >>> cache_bytes_read(1000, 131072)
    np.float64(131072000.0)
    """
    context, kv_bytes, sliding_bytes, window, state_bytes = _floats(
        context, kv_bytes, sliding_bytes, window, state_bytes
    )
    return context * kv_bytes + np.minimum(context, window) * sliding_bytes + state_bytes


def all_reduce_time(
    tokens,
    hidden_size,
    layers,
    tensor_parallel,
    link_bandwidth,
    *,
    latency=0.0,
    efficiency=1.0,
    per_layer=2.0,
):
    r"""
    Time of the all-reduces of every layer under tensor parallelism.

    Parameters
    ----------
    tokens : numeric
        Tokens in the step. [token]
    hidden_size : numeric
        Width of the activations, two bytes each. [1]
    layers : numeric
        Layers. [1]
    tensor_parallel : numeric
        Accelerators in the group; 1 costs nothing. [1]
    link_bandwidth : numeric
        Nameplate of one accelerator's links, both directions together. [B/s]
    latency : numeric
        Start of one all-reduce between two accelerators. [s]
    efficiency : numeric
        Share of the link that a large all-reduce reaches. [1]
    per_layer : numeric
        All-reduces of one layer: after attention and after the feed-forward block. [1]

    Returns
    -------
    time : numeric
        The faster of sending every rank everything, per all-reduce
        :math:`\lambda \log_2 p + (p-1) m`, and of reducing parts and sending those,
        :math:`2 \lambda \log_2 p + 2 (p-1)/p \cdot m`, with :math:`m = 2 n h / (B e / 2)`. [s]

    References
    ----------
    .. [1] R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective communication
       operations in MPICH", IJHPCA 19(1), 2005, section 4.
    .. [2] M. Shoeybi et al., "Megatron-LM", 2019, section 3 (two all-reduces per layer).

    Examples
    --------
    >>> all_reduce_time(1, 8192, 80, [1, 8], 900e9, latency=5e-6).round(6)
    array([0.      , 0.002441])
    """
    tokens, hidden_size, layers, tensor_parallel, link_bandwidth = _floats(
        tokens, hidden_size, layers, tensor_parallel, link_bandwidth
    )
    start = latency * np.log2(tensor_parallel)
    message = tokens * 2.0 * hidden_size / (0.5 * link_bandwidth * efficiency)
    gathered = start + (tensor_parallel - 1.0) * message
    scattered = 2.0 * start + 2.0 * (1.0 - 1.0 / tensor_parallel) * message
    return per_layer * layers * np.minimum(gathered, scattered)
