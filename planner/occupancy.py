r"""How many sequences one replica runs at once: batch limit, occupancy, capacity, waiting.

Plain numbers and arrays in SI, vectorised over deployments. The speed of the hardware enters as a
callable ``step_time(batch) -> [s]`` (decode step with that many sequences, broadcast over
deployments) and as seconds of prefill per request.

With :math:`\lambda` requests/s, :math:`O` output tokens, :math:`d(n)` the decode step, :math:`s`
the time that a prompt adds to the steps it is prefilled in, and :math:`B` the batch limit, a
request costs :math:`w(n) = s + (O-1)\,d(n)/n` seconds of the replica when n share it. Hence
capacity :math:`1/w(B)` and utilisation :math:`\rho = \lambda w(B)`.
"""

import numpy as np

from planner.steps import tabulated

_UNUSED = 0.6  # mean contexts of cache that stay free, fitted to the saturated simulation


def _checked(minimum, **values):
    """Cast to float arrays and refuse, by name, what lies below the minimum."""
    arrays = []
    for name, value in values.items():
        array = np.asarray(value, dtype=float)
        if np.any(array < minimum):
            raise ValueError(
                f"{name} = {array[array < minimum].flat[0]:g} is too small; "
                f"give a number of {minimum:g} or more"
            )
        arrays.append(array)
    return arrays[0] if len(arrays) == 1 else arrays


def mean_context(input_mean, output_mean, output_cv=0.0):
    r"""
    Mean context of a sequence found in decode at a random moment.

    Parameters
    ----------
    input_mean, output_mean : numeric
        Mean prompt and output. [token]
    output_cv : numeric
        Coefficient of variation of the output length. [-]

    Returns
    -------
    context : numeric
        Prompt plus the part of the output that exists by then. [token]

    Notes
    -----
    :math:`E[I] + E[O^2] / (2 E[O])`: long outputs are found more often (length bias).

    References
    ----------
    .. [1] Kleinrock, "Queueing Systems" I, 1975, section 5.2 (residual life).

    Examples
    --------
    >>> mean_context(1000, 200, [0, 1])
    array([1100., 1200.])
    """
    prompt, output, cv = _checked(
        0, input_mean=input_mean, output_mean=output_mean, output_cv=output_cv
    )
    return prompt + output * (1 + cv**2) / 2


def batch_limit(kv_tokens, context, max_num_seqs, *, input_tokens=0.0, output_tokens=1.0,
                max_num_batched_tokens=np.inf):  # fmt: skip
    r"""
    Most sequences that decode together: by cache, by setting, by prefill budget.

    Parameters
    ----------
    kv_tokens : numeric
        Tokens that the KV pool holds; infinite for llama.cpp's fixed slots. [token]
    context : numeric
        Mean context from ``mean_context``. [token]
    max_num_seqs : numeric
        Engine setting, or the slots of llama.cpp (``--parallel``). [sequence]
    input_tokens, output_tokens : numeric
        Prompt and output; used only with a step budget. [token]
    max_num_batched_tokens : numeric
        Tokens of one step; infinite = no budget. [token]

    Returns
    -------
    limit : numeric
        Not below 1. [sequence]

    Notes
    -----
    :math:`\min(S, C / K - 0.6, (O-1) b / (I + O - 1))`: a part of the cache stays free because the
    next prompt does not fit. With b tokens per step, no more prompts are admitted than keep that
    many sequences decoding; and for the steps of its prefill a sequence takes a place, but does
    not decode. Who finds the cache full costs more besides: ``recompute_time`` of ``capacity``.

    References
    ----------
    .. [1] Agrawal et al., "Sarathi-Serve", OSDI 2024, section 4 (token budget of a step).

    Examples
    --------
    >>> batch_limit([10_000, 1e6], 1000, 256)
    array([  9.4, 256. ])
    """
    tokens, prompt = _checked(0, kv_tokens=kv_tokens, input_tokens=input_tokens)
    context, slots, output, budget = _checked(
        1, context=context, max_num_seqs=max_num_seqs, output_tokens=output_tokens,
        max_num_batched_tokens=max_num_batched_tokens,
    )  # fmt: skip
    limit = np.minimum(slots, tokens / context - _UNUSED)
    decodes, chunks = np.maximum(1.0, output - 1), prompt / budget
    steps = np.maximum(1.0, chunks + 0.5 * (chunks > 1))
    bounded = np.isfinite(budget)
    fed = np.where(bounded, decodes * budget / (prompt + decodes), np.inf)
    limit = np.where(bounded, limit * decodes / (decodes + steps), limit)
    return np.maximum(1.0, np.minimum(limit, fed))


def context_variation(input_mean, output_mean, input_cv=0.0, output_cv=0.0):
    r"""
    Coefficient of variation of the tokens that a running sequence holds.

    Parameters
    ----------
    input_mean, output_mean : numeric
        Mean prompt and output. [token]
    input_cv, output_cv : numeric
        Coefficients of variation; lengths are lognormal. [-]

    Returns
    -------
    variation : numeric
        [-]

    Notes
    -----
    Variance of the prompt, plus that of the age of a running output:
    :math:`E[O^3] / (3 E[O]) - (E[O^2] / (2 E[O]))^2`.

    References
    ----------
    .. [1] Kleinrock, "Queueing Systems" I, 1975, section 5.2 (residual life).

    Examples
    --------
    An output of equal length is uniformly old.

    >>> round(float(context_variation(0, 100)), 4)
    0.5774
    """
    prompt, output, spread, cv = _checked(
        0, input_mean=input_mean, output_mean=output_mean, input_cv=input_cv, output_cv=output_cv
    )
    square = 1 + cv**2
    variance = (prompt * spread) ** 2 + output**2 * (square**3 / 3 - square**2 / 4)
    return np.sqrt(variance) / mean_context(prompt, output, cv)


def capacity(step_time, prefill_time, output_tokens, batch_limit, recompute_time=0.0):
    r"""
    Request rate that a replica cannot exceed.

    Parameters
    ----------
    step_time : callable
        Decode step of a batch size. [s]
    prefill_time : numeric
        Time that one prompt adds to the steps. [s]
    output_tokens : numeric
        Mean output. [token]
    batch_limit : numeric
        From ``batch_limit``. [sequence]
    recompute_time : numeric
        Prefill that a request loses where the cache is what limits; 0 where places do. [s]

    Returns
    -------
    rate : numeric
        Largest sustained rate. [request/s]

    Notes
    -----
    :math:`1 / (s + r + (O-1) d(B) / B)`; d(n)/n must not grow with n. Where a full cache preempts,
    a request grows by O tokens, which pushes out O / I others, each of which prefills I tokens
    again: whatever the lengths, r is the prefill time of about O tokens.

    References
    ----------
    .. [1] Little, "A Proof for the Queuing Formula L = lambda W", Operations Research 9, 1961.

    Examples
    --------
    >>> float(capacity(lambda n: 0.01 + 0.001 * n, 0.1, 101, 10))
    3.333...
    """
    output, limit = _checked(1, output_tokens=output_tokens, batch_limit=batch_limit)
    prefill, lost = _checked(0, prefill_time=prefill_time, recompute_time=recompute_time)
    work = prefill + lost + (output - 1) * step_time(limit) / limit
    if np.any(work <= 0):
        raise ValueError("prefill_time = 0 with output_tokens = 1 costs nothing; give one of them")
    return 1 / work


def decode_batch(rate, step_time, prefill_time, output_tokens, batch_limit):
    r"""
    Mean number of sequences in decode under load.

    Parameters
    ----------
    rate : numeric
        Arrivals. [request/s]
    step_time : callable
        Decode step of a batch size. [s]
    prefill_time : numeric
        Time that one prompt adds to the steps. [s]
    output_tokens : numeric
        Mean output. [token]
    batch_limit : numeric
        From ``batch_limit``. [sequence]

    Returns
    -------
    batch : numeric
        Stays at the limit from capacity on. [sequence]

    Notes
    -----
    The root of :math:`n = \lambda (O-1)\, d(\min(n+1, B)) / (1 - \lambda s)`: a request that
    arrives finds n others. Exact for an affine d (negative binomial occupancy). Solved without
    iterations: d is tabulated, and the root lies in the piece in which n / d reaches the sequences
    that a second of steps is fed, so that no answer depends on what else is asked for.

    References
    ----------
    .. [1] Kelly, "Reversibility and Stochastic Networks", 1979, section 3.3 (processor sharing).

    Examples
    --------
    >>> float(decode_batch(1.0, lambda n: 0.01 + 0 * n, 0.5, 101, 64))
    2.0
    """
    output, limit = _checked(1, output_tokens=output_tokens, batch_limit=batch_limit)
    rate, prefill = _checked(0, rate=rate, prefill_time=prefill_time)
    return _batch(rate, tabulated(step_time, limit), prefill, output, limit)


def _batch(rate, law, prefill, output, limit):
    with np.errstate(divide="ignore", invalid="ignore"):
        # sequences that a second of steps is fed: the batch over its step
        fed = np.where(rate * prefill < 1, rate * (output - 1) / (1 - rate * prefill), np.inf)
        turn = law.turn.reshape(len(law.turn), *(1,) * (fed.ndim - law.top.ndim), *law.top.shape)
        piece = (turn < fed).sum(axis=0, dtype=np.int16).astype(np.intp) - 1
        start, slope = law.piece(np.clip(piece, 0, len(law.start) - 1))
        level = piece == len(law.start)  # past the last point the step stays
        slope, start = np.where(level, 0.0, slope), np.where(level, start + slope * law.top, start)
        batch = np.where(fed > 0, fed * (start + slope) / (1 - fed * slope), 0.0)
    return np.where(batch < limit, batch, limit)


def waiting_probability(
    rate, step_time, prefill_time, output_tokens, batch_limit, dispersion=1.0, jumps=24, load=None
):
    r"""
    Share of requests that find every place taken and queue for cache or slots.

    Parameters
    ----------
    rate : numeric
        Arrivals. [request/s]
    step_time : callable
        Decode step of a batch size. [s]
    prefill_time : numeric
        Time that one prompt adds to the steps. [s]
    output_tokens : numeric
        Mean output. [token]
    batch_limit : numeric
        From ``batch_limit``. [sequence]
    dispersion : numeric
        Variance of the occupancy over that of the chain (arrivals in clusters). [-]
    jumps : int
        Steps from an empty replica to the limit; exact up to that limit. [-]
    load : numeric, optional
        Utilisation, where a request costs more at the limit than these times say. [-]

    Returns
    -------
    probability : numeric
        1 at and beyond capacity. [-]

    Notes
    -----
    Birth-death chain. A place is held for :math:`s + (O-1) d(k) / (1 - \lambda s (1 - 1/k))`, so
    :math:`\rho_k` is :math:`\lambda/k` times that. The recursion
    :math:`S_k = (S_{k-1} + 1)/\rho_k` (the inverse Erlang formula) gives
    :math:`1/(1 + (1-\rho) S_B)`; larger limits are crossed in jumps of constant ratio.

    References
    ----------
    .. [1] Kleinrock, "Queueing Systems" I, 1975, chapter 3 (birth-death queues).

    Examples
    --------
    >>> round(float(waiting_probability(0.5, lambda n: 0.01 + 0 * n, 0, 101, 1)), 6)
    0.5
    """
    output, limit = _checked(1, output_tokens=output_tokens, batch_limit=batch_limit)
    rate, prefill = _checked(0, rate=rate, prefill_time=prefill_time)
    if load is None:
        load = rate * (prefill + (output - 1) * step_time(limit) / limit)
    chain = _chain(step_time, output, limit, jumps)
    return _waiting(rate, prefill, chain, dispersion, load)


def _chain(step_time, output, limit, jumps):
    """What of the birth-death chain does not depend on the rate: widths, batches, decode times."""
    size, taken, chain = np.maximum(1.0, limit / jumps), 0.0, []
    for _ in range(jumps):
        width = np.clip(limit - taken, 0.0, size)
        taken = taken + width
        # the mean batch of a jump; whole steps when the limit is small
        batch = np.maximum(1.0, taken - (width - np.minimum(1.0, width)) / 2)
        chain.append((width, 1 / batch, (output - 1) * step_time(batch)))
        if np.all(taken >= limit):
            break
    return chain


def _waiting(rate, prefill, chain, dispersion, load):
    inverse, share, narrower = 0.0, rate * prefill, 1 / dispersion
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for width, part, decode in chain:
            slowed = np.maximum(1 - share * (1 - part), 1e-9)
            slope = np.log(np.maximum((share + rate * decode / slowed) * part, 1e-12)) * narrower
            slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
            power = np.exp(-width * slope)
            inverse = np.minimum(inverse * power + (1 - power) / np.expm1(slope), 1e250)
        room = np.maximum(0.0, 1 - np.minimum(load, 1.0) ** narrower)
    return np.where(load >= 1, 1.0, 1 / (1 + room * inverse))
