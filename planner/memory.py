"""Memory of one replica: cache bytes, engine overheads, the KV pool and what fits in it.

Plain numbers and arrays in SI (bytes, tokens). Coefficients that were measured or assumed are
keyword arguments; their values, evidence and dates are in ``data/constants/memory.csv``.
"""

import numpy as np

GIB = 2.0**30
MIB = 2.0**20


def _floats(**values):
    """Cast every value to a float array and refuse negative ones by name."""
    arrays = []
    for name, value in values.items():
        array = np.asarray(value, dtype=float)
        if np.any(array < 0):
            raise ValueError(
                f"{name} = {array[array < 0].flat[0]:g} is negative; give zero or a positive number"
            )
        arrays.append(array)
    return arrays


def _at_least_one(**values):
    """Cast counts to float arrays and refuse those below one by name."""
    arrays = []
    for name, value in values.items():
        array = np.asarray(value, dtype=float)
        if np.any(array < 1):
            raise ValueError(f"{name} = {array[array < 1].flat[0]:g} must be 1 or more")
        arrays.append(array)
    return arrays[0] if len(arrays) == 1 else arrays


def kv_bytes_per_token(layers, kv_heads, key_dim, value_dim, element_bytes, tensor_parallel=1):
    r"""
    Bytes of keys and values that one token holds on one tensor-parallel rank.

    Parameters
    ----------
    layers : numeric
        Layers with such a cache. [layer]
    kv_heads : numeric
        Key-value heads of the whole model. [head]
    key_dim, value_dim : numeric
        Size of one key and of one value. [element]
    element_bytes : numeric
        2 for bf16, 1 for fp8, 1.0625 for q8_0. [B/element]
    tensor_parallel : numeric
        Ranks that share the heads. [rank]

    Returns
    -------
    kv_bytes : numeric
        Bytes per token and rank. [B/token]

    Notes
    -----
    :math:`L \max(1, \lceil h_{kv} / tp \rceil) (d_k + d_v) e`. With more ranks than heads each
    rank keeps a copy of one head, so the cache stops shrinking.

    References
    ----------
    .. [1] Ainslie et al., "GQA", EMNLP 2023. https://arxiv.org/abs/2305.13245
    .. [2] vLLM, vllm/config/model.py, ``get_num_kv_heads``.

    Examples
    --------
    >>> kv_bytes_per_token(32, 8, 128, 128, 2, [1, 4, 8, 16])
    array([131072.,  32768.,  16384.,  16384.])
    """
    layers, kv_heads, key_dim, value_dim, element_bytes = _floats(
        layers=layers, kv_heads=kv_heads, key_dim=key_dim, value_dim=value_dim,
        element_bytes=element_bytes,
    )  # fmt: skip
    tensor_parallel = _at_least_one(tensor_parallel=tensor_parallel)
    heads = np.maximum(1.0, np.ceil(kv_heads / tensor_parallel)) * (kv_heads > 0)
    return layers * heads * (key_dim + value_dim) * element_bytes


def latent_bytes_per_token(layers, latent_rank, rope_dim, element_bytes):
    r"""
    Bytes of the compressed cache of multi-head latent attention (MLA) per token and rank.

    Parameters
    ----------
    layers : numeric
        Layers with latent attention. [layer]
    latent_rank : numeric
        ``kv_lora_rank``. [element]
    rope_dim : numeric
        ``qk_rope_head_dim``. [element]
    element_bytes : numeric
        Bytes of one element. [B/element]

    Returns
    -------
    latent_bytes : numeric
        Bytes per token, the same on every tensor-parallel rank. [B/token]

    Notes
    -----
    :math:`L (r + d_{rope}) e`. The latent has one head and cannot be split over heads: every rank
    holds a copy. Data-parallel attention or decode context parallel would spread it.

    References
    ----------
    .. [1] DeepSeek-AI, "DeepSeek-V2", 2024, section 2.1. https://arxiv.org/abs/2405.04434

    Examples
    --------
    >>> float(latent_bytes_per_token(61, 512, 64, 2))
    70272.0
    """
    layers, latent_rank, rope_dim, element_bytes = _floats(
        layers=layers, latent_rank=latent_rank, rope_dim=rope_dim, element_bytes=element_bytes
    )
    return layers * (latent_rank + rope_dim) * element_bytes


def cache_bytes_per_sequence(context, kv_bytes, sliding_bytes=0, window=0, state_bytes=0):
    r"""
    Cache that one sequence holds on one rank when it is ``context`` tokens long.

    Parameters
    ----------
    context : numeric
        Prompt and output tokens held. [token]
    kv_bytes : numeric
        Full-context layers, latent included. [B/token]
    sliding_bytes : numeric
        Layers with a sliding window. [B/token]
    window : numeric
        Tokens that those layers keep; 0 means no window. [token]
    state_bytes : numeric
        Constant state of linear-attention layers. [B]

    Returns
    -------
    cache_bytes : numeric
        Bytes per sequence and rank. [B]

    Notes
    -----
    :math:`n\,k + \min(n, w)\,k_s + s`, whole blocks not counted.

    References
    ----------
    .. [1] Beltagy et al., "Longformer", 2020, section 3. https://arxiv.org/abs/2004.05150

    Examples
    --------
    >>> cache_bytes_per_sequence([512, 4096], 1000, 100, 1024)
    array([ 563200., 4198400.])
    """
    context, kv_bytes, sliding_bytes, window, state_bytes = _floats(
        context=context, kv_bytes=kv_bytes, sliding_bytes=sliding_bytes, window=window,
        state_bytes=state_bytes,
    )  # fmt: skip
    held = np.where(window > 0, np.minimum(context, window), context)
    return context * kv_bytes + held * sliding_bytes + state_bytes


def usable_memory(memory, share=1.0, reserve=0.0):
    """
    Memory that an engine may use on one device or host.

    Parameters
    ----------
    memory : numeric
        Installed memory. [B]
    share : numeric
        Part that the driver or the system hands out (unified memory: 0.67 to 0.94). [-]
    reserve : numeric
        Kept for the operating system and other processes. [B]

    Returns
    -------
    usable : numeric
        ``memory * share - reserve``, never below zero. [B]

    References
    ----------
    .. [1] Apple, Metal, ``recommendedMaxWorkingSetSize`` (the share on Apple machines).

    Examples
    --------
    >>> float(usable_memory(128e9, 0.75))
    96000000000.0
    """
    memory, share, reserve = _floats(memory=memory, share=share, reserve=reserve)
    if np.any(share > 1):
        raise ValueError(f"share = {share.max():g} exceeds 1; give a fraction such as 0.94")
    return np.maximum(0.0, memory * share - reserve)


def kv_pool_bytes(usable_memory, utilisation, weight_bytes, activation_bytes=0.0,
                  non_torch_bytes=0.0, graph_bytes=0.0, *, free_fraction=1.0):  # fmt: skip
    r"""
    Memory left for the cache on one rank; negative when the weights do not fit.

    Parameters
    ----------
    usable_memory : numeric
        Memory the device really offers. [B]
    utilisation : numeric
        ``gpu_memory_utilization`` (vLLM), ``mem_fraction_static`` (SGLang), 1 (others). [-]
    weight_bytes : numeric
        Weights on the heaviest rank. [B]
    activation_bytes, non_torch_bytes, graph_bytes : numeric
        What the engine sets aside; graphs only where the engine deducts them. [B]
    free_fraction : numeric
        Part of the remainder given to the cache (TensorRT-LLM: 0.9). [-]

    Returns
    -------
    pool : numeric
        Bytes for the cache per rank. [B]

    Notes
    -----
    :math:`(u M - W - A - N - G) f`. The rank with the heaviest weights sets the pool of all.

    References
    ----------
    .. [1] vLLM, vllm/v1/worker/gpu_worker.py, ``determine_available_memory``.
    .. [2] NVIDIA, TensorRT-LLM, ``KvCacheConfig.free_gpu_memory_fraction``.

    Examples
    --------
    >>> float(kv_pool_bytes(80e9, 0.9, 16e9, 2e9, 0.3e9))
    53700000000.0
    """
    memory, utilisation, weights, activation, non_torch, graphs, free_fraction = _floats(
        usable_memory=usable_memory, utilisation=utilisation, weight_bytes=weight_bytes,
        activation_bytes=activation_bytes, non_torch_bytes=non_torch_bytes,
        graph_bytes=graph_bytes, free_fraction=free_fraction,
    )  # fmt: skip
    for name, value in (("utilisation", utilisation), ("free_fraction", free_fraction)):
        if np.any(value > 1):
            raise ValueError(f"{name} = {value.max():g} exceeds 1; give a fraction such as 0.9")
    left = memory * utilisation - weights - activation - non_torch - graphs
    return np.where(left > 0, left * free_fraction, left)


def blocks(context, block=16):
    """
    Tokens that a sequence occupies when the cache is handed out in whole blocks.

    Parameters
    ----------
    context : numeric
        Tokens of the sequence, or cells asked for. [token]
    block : numeric
        Tokens of one block (vLLM 16, its CPU backend 128, llama.cpp 256). [token]

    Returns
    -------
    occupied : numeric
        Context rounded up to whole blocks. [token]

    References
    ----------
    .. [1] Kwon et al., "PagedAttention", SOSP 2023, section 4.1.

    Examples
    --------
    >>> blocks([0, 1, 16, 17])
    array([ 0., 16., 16., 32.])
    """
    (context,) = _floats(context=context)
    block = _at_least_one(block=block)
    return np.ceil(context / block) * block


def sequences_that_fit(pool, bytes_per_sequence):
    """
    Whole sequences that a pool holds.

    Parameters
    ----------
    pool : numeric
        Bytes for the cache; a negative pool holds none. [B]
    bytes_per_sequence : numeric
        From ``cache_bytes_per_sequence``. [B]

    Returns
    -------
    sequences : numeric
        Rounded down. [sequence]

    References
    ----------
    .. [1] Kwon et al., "PagedAttention", SOSP 2023, section 3.1.

    Examples
    --------
    >>> sequences_that_fit([-1.0, 9.9e9, 10e9], 1e9)
    array([ 0.,  9., 10.])
    """
    needed = np.asarray(bytes_per_sequence, dtype=float)
    if np.any(needed <= 0):
        raise ValueError(
            f"bytes_per_sequence = {needed.min():g} must be positive; give a context above zero"
        )
    return np.floor(np.maximum(0.0, np.asarray(pool, dtype=float)) / needed)


def missing_bytes(needed, available):
    """
    How much memory is short.

    Parameters
    ----------
    needed : numeric
        Weights, cache and overheads together. [B]
    available : numeric
        What may be used; negative when already overdrawn. [B]

    Returns
    -------
    missing : numeric
        0 when it fits. [B]

    References
    ----------
    .. [1] Definition.

    Examples
    --------
    >>> missing_bytes([10e9, 30e9], 24e9)
    array([0.e+00, 6.e+09])
    """
    return np.maximum(0.0, np.asarray(needed, dtype=float) - np.asarray(available, dtype=float))


def max_concurrency(pool, max_model_len, kv_bytes, sliding_bytes=0, window=0, state_bytes=0, *,
                    max_num_batched_tokens=8192, block=16, full_layers=0,
                    sliding_layers=0):  # fmt: skip
    r"""
    Requests of the full model length that vLLM's pool holds, as its log prints it.

    Parameters
    ----------
    pool : numeric
        Bytes for the cache per rank. [B]
    max_model_len : numeric
        Longest sequence. [token]
    kv_bytes, sliding_bytes : numeric
        Full-context and windowed layers, per rank. [B/token]
    window : numeric
        Tokens that the windowed layers see; 0 = none. [token]
    state_bytes : numeric
        Constant state per sequence and rank. [B]
    max_num_batched_tokens : numeric
        Tokens of one step, held beside the window while prefilling. [token]
    block : numeric
        Tokens of one block. [token]
    full_layers, sliding_layers : numeric
        Layers of each kind; if both are given, the padding of layer groups is counted. [layer]

    Returns
    -------
    concurrency : numeric
        Not rounded: below 1 the engine refuses to start. [request]

    Notes
    -----
    Full layers hold :math:`\lceil n/16 \rceil` blocks, windowed ones
    :math:`\lceil \min(w - 1 + b, n)/16 \rceil + 1`. Groups have the size of the rarer kind
    (of the commoner one when they differ by less than half); part-filled groups are paid in full.

    References
    ----------
    .. [1] vLLM, vllm/v1/core/kv_cache_utils.py, ``get_max_concurrency_for_kv_cache_config``.

    Examples
    --------
    >>> round(float(max_concurrency(58.11 * 2**30, 8192, 131072)), 2)
    58.11
    """
    length, kv, sliding, window, state, batched, full_layers, sliding_layers = _floats(
        max_model_len=max_model_len, kv_bytes=kv_bytes, sliding_bytes=sliding_bytes,
        window=window, state_bytes=state_bytes, max_num_batched_tokens=max_num_batched_tokens,
        full_layers=full_layers, sliding_layers=sliding_layers,
    )  # fmt: skip
    small = np.minimum(full_layers, sliding_layers)
    large = np.maximum(full_layers, sliding_layers)
    size = np.maximum(1.0, np.where(large < 1.5 * small, large, small))
    waste = [np.where(small > 0, np.ceil(n / size) * size / np.maximum(1.0, n), 1.0)
             for n in (full_layers, sliding_layers)]  # fmt: skip
    held = np.where(window > 0, np.minimum(window - 1 + batched, length), length)
    windowed = blocks(held, block) + np.where(window > 0, block, 0.0)
    request = blocks(length, block) * kv * waste[0] + windowed * sliding * waste[1] + state
    if np.any(request <= 0):
        raise ValueError("max_model_len = 0 or a model without cache; give a length above zero")
    return np.maximum(0.0, np.asarray(pool, dtype=float)) / request
