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


def batch_limit(kv_tokens, context, max_num_seqs, *, fill=0.9, input_tokens=0.0,
                output_tokens=1.0, max_num_batched_tokens=np.inf):  # fmt: skip
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
    fill : numeric
        Part of the pool in use when requests start to queue for it. [-]
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
    :math:`\min(S, f C / K, (O-1) b / (I + O - 1))`. The last term: with b tokens per step no more
    prompts are admitted than keep that many sequences decoding.

    References
    ----------
    .. [1] Agrawal et al., "Sarathi-Serve", OSDI 2024, section 4 (token budget of a step).

    Examples
    --------
    >>> batch_limit([10_000, 1e6], 1000, 256)
    array([  9., 256.])
    """
    tokens, prompt = _checked(0, kv_tokens=kv_tokens, input_tokens=input_tokens)
    context, slots, output, budget = _checked(
        1, context=context, max_num_seqs=max_num_seqs, output_tokens=output_tokens,
        max_num_batched_tokens=max_num_batched_tokens,
    )  # fmt: skip
    limit = np.minimum(slots, fill * tokens / context)
    decodes = np.maximum(1.0, output - 1)
    fed = np.where(np.isfinite(budget), decodes * budget / (prompt + decodes), np.inf)
    return np.maximum(1.0, np.minimum(limit, fed))


def tabulated(step_time, batch_limit, points=16):
    """
    A step law by interpolation: slow laws are evaluated a few times only.

    Parameters
    ----------
    step_time : callable
        Decode step of a batch size. [s]
    batch_limit : numeric
        Largest batch that will be asked for. [sequence]
    points : int
        Batch sizes evaluated, geometric from 1 to the limit. [-]

    Returns
    -------
    step_time : callable
        Linear between the points; the ends are held beyond them. [s]

    References
    ----------
    .. [1] Any text on numerical analysis, linear interpolation.

    Examples
    --------
    >>> law = tabulated(lambda n: 0.01 + 0.001 * n, np.array([64.0, 256.0]))
    >>> law(np.array([10.0, 20.0])).round(6)
    array([0.02, 0.03])
    """
    top = np.maximum(_checked(1, batch_limit=batch_limit), 1.0 + 1e-9)
    last = points - 1
    table = np.stack([
        np.broadcast_to(np.asarray(step_time(top ** (i / last)), dtype=float), top.shape)
        for i in range(points)
    ])  # fmt: skip
    column = np.arange(top.size).reshape(top.shape)
    flat, log_top = table.ravel(), np.log(top)

    def law(batch):
        batch = np.clip(batch, 1.0, top)
        lower = np.minimum((np.log(batch) / log_top * last).astype(int), last - 1)
        left, right = top ** (lower / last), top ** ((lower + 1) / last)
        index = lower * top.size + column
        low, high = flat[index], flat[index + top.size]
        return low + (high - low) * (batch - left) / (right - left)

    return law


def capacity(step_time, prefill_time, output_tokens, batch_limit):
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

    Returns
    -------
    rate : numeric
        Largest sustained rate. [request/s]

    Notes
    -----
    :math:`1 / (s + (O-1) d(B) / B)`; d(n)/n must not grow with n.

    References
    ----------
    .. [1] Little, "A Proof for the Queuing Formula L = lambda W", Operations Research 9, 1961.

    Examples
    --------
    >>> float(capacity(lambda n: 0.01 + 0.001 * n, 0.1, 101, 10))
    3.333...
    """
    output, limit = _checked(1, output_tokens=output_tokens, batch_limit=batch_limit)
    prefill = _checked(0, prefill_time=prefill_time)
    work = prefill + (output - 1) * step_time(limit) / limit
    if np.any(work <= 0):
        raise ValueError("prefill_time = 0 with output_tokens = 1 costs nothing; give one of them")
    return 1 / work


def decode_batch(rate, step_time, prefill_time, output_tokens, batch_limit, iterations=40):
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
    iterations : int
        Steps of the bracketed root search. [-]

    Returns
    -------
    batch : numeric
        Stays at the limit from capacity on. [sequence]

    Notes
    -----
    The root of :math:`n = \lambda (O-1)\, d(\min(n+1, B)) / (1 - \lambda s)`: a request that
    arrives finds n others. Exact for an affine d (negative binomial occupancy).

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
    shape = np.broadcast_shapes(rate.shape, prefill.shape, output.shape, limit.shape)
    low, high = np.zeros(shape), np.broadcast_to(limit, shape) * 1.0

    def excess(batch):
        step = step_time(np.minimum(batch + 1, limit))
        return batch * (1 - rate * prefill) - rate * (output - 1) * step

    at_low, at_high = excess(low), excess(high)
    over = at_high <= 0
    for _ in range(iterations):
        # Illinois: a secant that halves the end which has not moved, so that it cannot stall
        spread = np.where(at_high > at_low, at_high - at_low, 1.0)
        middle = np.clip(low - at_low * (high - low) / spread, low, high)
        value = excess(middle)
        below = value < 0
        at_low, at_high = np.where(below, value, at_low / 2), np.where(below, at_high / 2, value)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
        if np.all(high - low <= 1e-9 * high) or np.all(np.abs(value) <= 1e-12):
            break
    return np.where(over, limit, np.clip(middle, 0, limit))


def waiting_probability(
    rate, step_time, prefill_time, output_tokens, batch_limit, dispersion=1.0, jumps=24
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
    size = np.maximum(1.0, limit / jumps)
    taken, inverse = 0.0, 0.0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for _ in range(jumps):
            width = np.clip(limit - taken, 0.0, size)
            taken = taken + width
            # the mean batch of a jump; whole steps when the limit is small
            batch = np.maximum(1.0, taken - (width - np.minimum(1.0, width)) / 2)
            slowed = 1 - rate * prefill * (1 - 1 / batch)
            ratio = prefill + (output - 1) * step_time(batch) / np.maximum(slowed, 1e-9)
            ratio = np.maximum(rate * ratio / batch, 1e-12)
            ratio = ratio ** (1 / dispersion)
            power = ratio**-width
            even = np.abs(1 - ratio) < 1e-9
            grown = np.where(even, width, (power - 1) / np.where(even, 1.0, 1 - ratio))
            inverse = np.minimum(inverse * power + grown, 1e250)
    load = rate * (prefill + (output - 1) * step_time(limit) / limit)
    return np.where(
        load >= 1, 1.0, 1 / (1 + np.maximum(0.0, 1 - load ** (1 / dispersion)) * inverse)
    )


def closed_rate(users, think_time, step_time, prefill_time, output_tokens, batch_limit):
    r"""
    Request rate of users who each wait for an answer, think, and ask again.

    Parameters
    ----------
    users : numeric
        Users on the replica. [user]
    think_time : numeric
        Pause between answer and next question. [s]
    step_time : callable
        Decode step of a batch size. [s]
    prefill_time : numeric
        Time that one prompt adds to the steps it shares. [s]
    output_tokens : numeric
        Mean output. [token]
    batch_limit : numeric
        From ``batch_limit``. [sequence]

    Returns
    -------
    rate : numeric
        The response time is ``users / rate - think_time``. [request/s]

    Notes
    -----
    The root of :math:`\lambda = 1/w(N - \lambda Z)`, mean-field; exact for one user and without
    think time.

    References
    ----------
    .. [1] Lazowska et al., "Quantitative System Performance", 1984, section 3.3 (interactive law).

    Examples
    --------
    >>> closed_rate([1, 10], [4.0, 0.0], lambda n: 0.01 + 0 * n, 0.0, 101, 64)
    array([ 0.2, 10. ])
    """
    users, think, prefill = _checked(
        0, users=users, think_time=think_time, prefill_time=prefill_time
    )
    output, limit = _checked(1, output_tokens=output_tokens, batch_limit=batch_limit)
    high = capacity(step_time, prefill, output, limit) * np.ones_like(users * think)
    low = np.zeros_like(high)
    for _ in range(40):
        middle = (low + high) / 2
        present = np.clip(users - middle * think, 0.0, limit)
        active = np.maximum(present, 1.0)
        served = np.minimum(present, 1.0) / (prefill + (output - 1) * step_time(active) / active)
        low, high = np.where(served > middle, middle, low), np.where(served > middle, high, middle)
    return (low + high) / 2
