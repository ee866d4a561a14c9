"""What inference engines set aside beside weights and cache: activations, contexts, graphs.

Plain numbers and arrays in SI. Every coefficient is a keyword argument whose value, evidence and
date is a row of ``data/constants/memory.csv``, one row per argument, engine and version range.
"""

import numpy as np

from planner.memory import _at_least_one, _floats


def vllm_activation_bytes(max_num_seqs, vocab_size, max_num_batched_tokens, hidden_size,
                          ffn_size, experts_per_token=0, expert_ffn_size=0, tensor_parallel=1,
                          extra_bytes=0.0, *, logits_bytes, hidden_factor, expert_factor,
                          fixed_bytes, forward_bytes):  # fmt: skip
    r"""
    Peak activation memory that vLLM measures at start-up, on one rank.

    Parameters
    ----------
    max_num_seqs : numeric
        Largest batch; the sampler is profiled with it. [sequence]
    vocab_size : numeric
        Rows of the head. [token]
    max_num_batched_tokens : numeric
        Tokens of one step. [token]
    hidden_size, ffn_size, expert_ffn_size : numeric
        Widths of the model, of a dense FFN and of one expert. [element]
    experts_per_token : numeric
        Routed experts per token; 0 for dense models and for gpt-oss. [expert]
    tensor_parallel : numeric
        Ranks. [rank]
    extra_bytes : numeric
        Vision tower or pipeline stage, where present. [B]
    logits_bytes : numeric
        Sampler bytes per sequence and vocabulary entry. [B]
    hidden_factor, expert_factor : numeric
        Copies of the hidden states and of the expert buffers alive at the peak. [-]
    fixed_bytes, forward_bytes : numeric
        Constants of the sampler peak and of the forward peak. [B]

    Returns
    -------
    activation : numeric
        The larger of the sampler peak and the forward peak. [B]

    Notes
    -----
    Sampler: :math:`c s V + f b d \cdot 2 + g b k \cdot 2 (\max(2 F_e/tp, d) + F_e/tp) + a`;
    forward: :math:`2 b (3 F/tp + 3 d) + a_f`. Seen at 1,024 sequences only: fewer is extrapolated.

    References
    ----------
    .. [1] llm-d-incubation/llm-d-planner, accuracy/results (start-up logs), pull request 205.

    Examples
    --------
    >>> peak = vllm_activation_bytes(1024, 128256, 8192, 4096, 14336, logits_bytes=14.57,
    ...     hidden_factor=1.27, expert_factor=1.34, fixed_bytes=25.8e6, forward_bytes=85.9e6)
    >>> round(float(peak) / 2**30, 2)
    1.89
    """
    tp = _at_least_one(tensor_parallel=tensor_parallel)
    s, vocab, batched, hidden, ffn, k, expert, extra = _floats(
        max_num_seqs=max_num_seqs, vocab_size=vocab_size,
        max_num_batched_tokens=max_num_batched_tokens, hidden_size=hidden_size,
        ffn_size=ffn_size, experts_per_token=experts_per_token,
        expert_ffn_size=expert_ffn_size, extra_bytes=extra_bytes,
    )  # fmt: skip
    routed = 2 * batched * k * (np.maximum(2 * expert / tp, hidden) + expert / tp)
    sampler = logits_bytes * s * vocab + hidden_factor * 2 * batched * hidden + fixed_bytes
    forward = 2 * batched * (3 * ffn / tp + 3 * hidden) + forward_bytes
    return np.maximum(sampler + expert_factor * routed + extra, forward)


def vllm_non_torch_bytes(tensor_parallel, pipeline_parallel=1, nvlink=True, *, single_bytes,
                         nvlink_bytes, other_bytes, pipeline_bytes):  # fmt: skip
    """
    Memory outside PyTorch's allocator: driver context and communication buffers, per rank.

    Parameters
    ----------
    tensor_parallel, pipeline_parallel : numeric
        Ranks and stages. [-]
    nvlink : bool or array of bool
        Whether the ranks talk over NVLink. [-]
    single_bytes, nvlink_bytes, other_bytes, pipeline_bytes : numeric
        One rank; several over NVLink; several over another link; pipeline stages only. [B]

    Returns
    -------
    non_torch : numeric
        Bytes per rank. [B]

    References
    ----------
    .. [1] llm-d-incubation/llm-d-planner, accuracy/results (start-up logs), pull request 205.

    Examples
    --------
    >>> vllm_non_torch_bytes([1, 2], nvlink=[True, False], single_bytes=1, nvlink_bytes=8,
    ...     other_bytes=5, pipeline_bytes=0.3)
    array([1., 5.])
    """
    tp = _at_least_one(tensor_parallel=tensor_parallel)
    stages = _at_least_one(pipeline_parallel=pipeline_parallel)
    alone = np.where(stages > 1, pipeline_bytes, single_bytes)
    return np.where(tp > 1, np.where(nvlink, nvlink_bytes, other_bytes), alone) * 1.0


def vllm_graph_bytes(layers, hidden_size, max_num_seqs, mixture=False, tensor_parallel=1,
                     pipeline_parallel=1, extra_bytes=0.0, *, fixed_bytes, layer_bytes,
                     element_bytes, mixture_bytes, tensor_saving, pipeline_saving):  # fmt: skip
    r"""
    Memory of the captured CUDA graphs, per rank.

    Parameters
    ----------
    layers : numeric
        Layers of one pipeline stage. [layer]
    hidden_size : numeric
        Width of the model. [element]
    max_num_seqs : numeric
        Largest batch; batches up to twice that, at most 512, are captured. [sequence]
    mixture : bool or array of bool
        Mixture of experts. [-]
    tensor_parallel, pipeline_parallel : numeric
        Ranks and stages. [-]
    extra_bytes : numeric
        Surcharge of a model family (gpt-oss). [B]
    fixed_bytes, layer_bytes, element_bytes, mixture_bytes : numeric
        Once; per layer; per layer and hidden element; per layer of a mixture model. [B]
    tensor_saving, pipeline_saving : numeric
        Subtracted with several ranks, with several stages. [B]

    Returns
    -------
    graphs : numeric
        Bytes per rank. [B]

    Notes
    -----
    A linear fit at 51 captured sizes, scaled by the number of captured sizes.

    References
    ----------
    .. [1] llm-d-incubation/llm-d-planner, accuracy/results (start-up logs), pull request 205.
    .. [2] vLLM, vllm/config/vllm.py, capture sizes 1, 2, 4, 8 ... 248 by 8, 256 ... 512 by 16.

    Examples
    --------
    >>> vllm_graph_bytes(10, 4096, [1024, 8], fixed_bytes=100, layer_bytes=1, element_bytes=0,
    ...     mixture_bytes=0, tensor_saving=0, pipeline_saving=0).round(1)
    array([110. ,  10.8])
    """
    layers, hidden, extra = _floats(layers=layers, hidden_size=hidden_size, extra_bytes=extra_bytes)
    s, tp, stages = _at_least_one(
        max_num_seqs=max_num_seqs, tensor_parallel=tensor_parallel,
        pipeline_parallel=pipeline_parallel,
    )  # fmt: skip
    largest = np.minimum(2 * s, 512)
    captured = 1.0 + (largest >= 2) + (largest >= 4) + np.floor(np.minimum(largest, 248) / 8)
    captured = captured + (largest >= 256) * (np.floor((largest - 256) / 16) + 1)
    per_layer = layer_bytes + element_bytes * hidden + mixture_bytes * np.asarray(mixture)
    full = fixed_bytes + layers * per_layer + extra
    full = full - tensor_saving * (tp > 1) - pipeline_saving * (stages > 1)
    return np.maximum(0.0, full) * captured / 51


def llamacpp_compute_bytes(cells, ubatch, hidden_size, vocab_size, query_heads, *,
                           flash_attention=True, ik=False, gpu=True, devices=1, fixed_bytes=0.0,
                           expert_matrix_bytes=0.0):  # fmt: skip
    r"""
    Largest compute buffer of llama.cpp on one device, for models without latent attention.

    Parameters
    ----------
    cells : numeric
        Cache cells (``n_ctx``, all slots together). [token]
    ubatch : numeric
        Tokens of one physical batch. [token]
    hidden_size, vocab_size, query_heads : numeric
        Shape of the model. [element], [token], [head]
    flash_attention, ik, gpu : bool or array of bool
        Flash attention on; ik_llama.cpp instead of mainline; buffer of a GPU. [-]
    devices : numeric
        GPUs that share the layers; several keep pipeline copies. [device]
    fixed_bytes : numeric
        Constant of mainline's output stage. [B]
    expert_matrix_bytes : numeric
        One expert matrix of one layer when experts stay in host memory, else 0. [B]

    Returns
    -------
    compute : numeric
        Bytes on the device with the largest buffer. [B]

    Notes
    -----
    The largest of the output stage :math:`4 u (V + d)` (a GPU adds :math:`4 u d`, mainline flash
    attention :math:`2 n u`), of the score matrix without flash attention
    :math:`4 u (h n + n + 4 d)`, and of two copied expert matrices.

    References
    ----------
    .. [1] ggml-org/llama.cpp, src/llama-graph.cpp and start-up logs ("compute buffer size").

    Examples
    --------
    >>> float(llamacpp_compute_bytes(8192, 512, 4096, 128256, 32, flash_attention=False)) / 2**20
    560.0
    """
    cells, hidden, vocab, heads, fixed, expert = _floats(
        cells=cells, hidden_size=hidden_size, vocab_size=vocab_size, query_heads=query_heads,
        fixed_bytes=fixed_bytes, expert_matrix_bytes=expert_matrix_bytes,
    )  # fmt: skip
    u, devices = _at_least_one(ubatch=ubatch, devices=devices)
    flash, ik, gpu = (np.asarray(flag, dtype=bool) for flag in (flash_attention, ik, gpu))
    hidden_copy = 4 * u * hidden
    output = 4 * u * vocab + hidden_copy * (1 + gpu)
    output = output + np.where(flash & ~ik, 2 * cells * u + fixed, 0.0)
    pipelined = (devices > 1) * (3 * (4 * cells * u + hidden_copy) + hidden_copy)
    scores = 4 * u * (heads * cells + cells + 4 * hidden) + pipelined
    return np.maximum(np.maximum(output, np.where(flash, 0.0, scores)), 2 * expert)


def llamacpp_latent_compute_bytes(cells, ubatch, hidden_size, vocab_size, query_heads,
                                  latent_rank, rope_dim, nope_dim, *, ik=False, gpu=True,
                                  attention_limit=np.inf, element_bytes=2.0,
                                  fixed_bytes=0.0):  # fmt: skip
    r"""
    Largest compute buffer of llama.cpp for latent attention (MLA) with flash attention.

    Parameters
    ----------
    cells, ubatch : numeric
        Cache cells and tokens of one physical batch. [token]
    hidden_size, vocab_size, query_heads : numeric
        Shape of the model. [element], [token], [head]
    latent_rank, rope_dim, nope_dim : numeric
        ``kv_lora_rank``, ``qk_rope_head_dim``, ``qk_nope_head_dim`` (also the value). [element]
    ik, gpu : bool or array of bool
        ik_llama.cpp instead of mainline; buffer of a GPU instead of the CPU. [-]
    attention_limit : numeric
        ``-amb`` of ik_llama.cpp; infinite when not given. [B]
    element_bytes : numeric
        Bytes of one cache element (ik_llama.cpp on the CPU). [B/element]
    fixed_bytes : numeric
        Constant of ik_llama.cpp on the CPU. [B]

    Returns
    -------
    compute : numeric
        Bytes on the device with the largest buffer. [B]

    Notes
    -----
    Mainline: :math:`4 u h (2 r + 2 r_{rope} + n_{ope}) + 2 n u + 16 u d`. ik_llama.cpp unpacks
    keys and values of all heads: at 160 k cells this exceeds the cache itself.

    References
    ----------
    .. [1] ikawrakow/ik_llama.cpp, start-up logs of discussions 1 to 600, 2025.

    Examples
    --------
    >>> ik = llamacpp_latent_compute_bytes(65536, 512, 7168, 129280, 128, 512, 64, 128, ik=True,
    ...     attention_limit=512 * 2**20)
    >>> float(ik) / 2**20
    6080.0
    """
    n, hidden, vocab, heads, rank, rope, nope, limit, element, fixed = _floats(
        cells=cells, hidden_size=hidden_size, vocab_size=vocab_size, query_heads=query_heads,
        latent_rank=latent_rank, rope_dim=rope_dim, nope_dim=nope_dim,
        attention_limit=attention_limit, element_bytes=element_bytes, fixed_bytes=fixed_bytes,
    )  # fmt: skip
    u = _at_least_one(ubatch=ubatch)
    unpacked = 2 * (2 * nope + rope) * heads * n
    scores = 1024 * heads * n
    # with a limit the scores are computed in pieces, and one and a half pieces are alive
    pieces = np.where(np.isfinite(limit), 1.5 * np.minimum(scores, limit) + 6 * n * u,
                      scores + 2 * n * u)  # fmt: skip
    on_cpu = np.minimum(scores, limit) + unpacked / 2 * element + fixed
    mainline = 4 * u * heads * (2 * rank + 2 * rope + nope) + 2 * n * u + 16 * u * hidden
    attention = np.where(ik, np.where(gpu, unpacked + pieces, on_cpu), mainline)
    output = 4 * u * (vocab + hidden * (1 + np.asarray(gpu)))
    return np.maximum(attention, output)


def offload_bytes(weight_bytes, cache_bytes, compute_bytes, devices=1, device_bytes=0.0):
    r"""
    Memory that llama.cpp needs when every layer sits on the GPUs.

    Parameters
    ----------
    weight_bytes, cache_bytes : numeric
        Whole model; all cells. [B]
    compute_bytes, device_bytes : numeric
        Compute buffer and driver context, once per device. [B]
    devices : numeric
        GPUs. [device]

    Returns
    -------
    needed : numeric
        Over all devices; compare with devices times usable memory. [B]

    Notes
    -----
    :math:`W + C + g (B + D)`; layers are taken to split evenly.

    References
    ----------
    .. [1] ggml-org/llama.cpp, start-up logs; 31 of 32 logged outcomes are over 2 GiB apart.

    Examples
    --------
    >>> float(offload_bytes(40e9, 4e9, 1e9, 2, 0.5e9))
    47000000000.0
    """
    weights, cache, compute, device = _floats(
        weight_bytes=weight_bytes, cache_bytes=cache_bytes, compute_bytes=compute_bytes,
        device_bytes=device_bytes,
    )  # fmt: skip
    return weights + cache + _at_least_one(devices=devices) * (compute + device)
