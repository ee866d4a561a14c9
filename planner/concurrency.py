r"""Load on one replica: what users wait for, and the rate that a service level allows.

Closed forms of continuous batching, vectorised over deployments; plain numbers and arrays in SI.
``step_time(batch) -> [s]`` is the decode step of a batch size, broadcast over deployments; wrap a
slow law in ``occupancy.tabulated``. llama.cpp's server is the same with its slots as batch limit
and the whole prefill as ``prefill_time``, since prefill stops decode there.

Above a utilisation of ``STABLE_BELOW`` no percentile is given: latencies are infinite and
``stable`` is False; use ``backlog``. ``VALIDITY`` holds the errors against an event simulation.
"""

from typing import NamedTuple

import numpy as np

from planner.occupancy import (
    _checked,
    batch_limit,
    capacity,
    closed_rate,
    decode_batch,
    mean_context,
    tabulated,
    waiting_probability,
)

__all__ = [
    "STABLE_BELOW", "VALIDITY", "Latency", "backlog", "batch_limit", "capacity", "closed_rate",
    "decode_batch", "latency", "mean_context", "peak_rate", "rate_within_slo", "replicas_needed",
    "tabulated", "waiting_probability",
]  # fmt: skip

STABLE_BELOW = 0.9
_Z95 = 1.6448536269514722
# shares fitted to the event simulation: how much of an occupancy swing one request feels, and
# how much prefills in clusters widen the occupancy
_MEMORY, _CLUSTER = 0.6, 0.5

# absolute errors [%], median and 90th percentile, against an event simulation of continuous
# batching with chunked prefill and Poisson arrivals: 240 random cases that set no constant
VALIDITY = {
    "utilisation 0.3-0.5": {"ttft_p50": (5, 24), "ttft_p95": (4, 18), "tpot_mean": (0, 5),
                            "tpot_p95": (2, 13), "cases": 82},
    "utilisation 0.5-0.75": {"ttft_p50": (10, 30), "ttft_p95": (6, 17), "tpot_mean": (1, 8),
                             "tpot_p95": (4, 32), "cases": 127},
    "utilisation 0.75-0.85": {"ttft_p50": (25, 40), "ttft_p95": (9, 36), "tpot_mean": (1, 11),
                              "tpot_p95": (4, 47), "cases": 31},
    "8 places or fewer": {"ttft_p50": (14, 35), "ttft_p95": (10, 23), "tpot_mean": (2, 12),
                          "tpot_p95": (9, 50), "cases": 85},
}  # fmt: skip


class Latency(NamedTuple):
    """What users of one replica see; times [s], batch [sequence], infinite when not stable."""

    ttft_mean: np.ndarray
    ttft_p50: np.ndarray
    ttft_p95: np.ndarray
    tpot_mean: np.ndarray
    tpot_p50: np.ndarray
    tpot_p95: np.ndarray
    batch: np.ndarray
    waiting_probability: np.ndarray
    utilisation: np.ndarray
    stable: np.ndarray


def _shifted_gamma(floor, mean, variance, z):
    """Quantile of floor + gamma by Wilson and Hilferty's cube; z is the normal quantile."""
    excess = np.maximum(mean - floor, 1e-12)
    # past this spread the cube of an upper quantile would fall again
    spread = np.minimum(variance / (9 * excess**2), np.where(z > 0, (z / 2) ** 2, 1.0))
    return floor + excess * np.maximum(0.0, 1 - spread + z * np.sqrt(spread)) ** 3


def _normal_quantile(probability):
    """Normal quantile to 5e-4 (Hastings 1955, as in Abramowitz and Stegun 26.2.23)."""
    tail = np.clip(np.minimum(probability, 1 - probability), 1e-9, 0.5)
    t = np.sqrt(-2 * np.log(tail))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    z = t - top / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    return np.where(probability < 0.5, -z, z)


def _latency(rate, batch, step_time, prefill, output, limit, chunks, alone, input_cv, output_cv,
             stable_below):  # fmt: skip
    load = rate * (prefill + (output - 1) * step_time(limit) / limit)
    stable = load <= stable_below
    rate = np.where(stable, rate, 0.0)
    tagged = np.clip(batch + 1, 1.0, limit)
    step, single = step_time(tagged), step_time(np.ones_like(tagged))
    nudge = np.maximum(0.5, 0.1 * tagged)
    slope = np.where(limit > 1, np.maximum(0.0, step_time(tagged + nudge) - step) / nudge, 0.0)
    share = rate * prefill
    # others are prefilled while one decodes, except that its own place is taken
    interrupting = rate * (1 - np.minimum(1.0, load) ** np.maximum(0.0, limit - 1) / limit)
    interrupted = 1 - interrupting * prefill
    tpot = step / interrupted
    growth = np.minimum(0.9, rate * (output - 1) * slope / (1 - share))
    scatter = batch / (1 - growth)
    square = prefill**2 * (1 + input_cv**2)
    each = (1 + output_cv**2) / np.maximum(1.0, output - 1)

    # cumulants of an iteration X = d + prompts that arrived in the one before (gated service)
    cycle = step / (1 - share)
    second = rate * square * cycle / (1 - share**2)
    third = rate * prefill**3 * (1 + input_cv**2) ** 3 * cycle + 3 * share * rate * square * second
    third = third / (1 - share**3)
    seen = (second + cycle**2) / cycle
    seen_square = (third + 3 * cycle * second + cycle**3) / cycle
    budget = rate * (prefill + chunks * step)
    extra = rate * chunks * step * (2 * prefill + chunks * step) * (1 + input_cv**2)
    extra = extra / (2 * np.maximum(0.05, 1 - budget))

    # whoever gets a first token leaves prompts behind that are prefilled into the next steps
    left = np.maximum(0.0, step + prefill + share * seen + extra - cycle) * share / (1 - share)
    left = left * prefill / np.maximum(prefill + chunks * step, 1e-12)
    left = np.minimum(left, 0.5 * (limit - 1) * prefill) * each
    tpot_variance = _MEMORY * scatter * (slope / interrupted) ** 2
    tpot_variance += interrupting * square * (tpot + left) * each / (1 - share) ** 2

    own = np.maximum(1.0, np.ceil(chunks)) * step + prefill
    busy_mean = own + (0.5 + share) * seen + extra
    busy_variance = (
        (1 / 3 + share + share**2) * seen_square
        - ((0.5 + share) * seen) ** 2
        + rate * square * seen
        + (input_cv * prefill) ** 2
        + scatter * (1.5 * slope) ** 2
        + extra**2
    )
    empty = np.where(growth > 1e-6, np.log1p(-growth) / np.maximum(growth, 1e-6), -1.0)
    idle = np.exp(batch * (1 - growth) * empty) * np.maximum(0.0, 1 - rate * alone)
    busy = np.maximum(1 - idle, 1e-9)
    floor = np.minimum(alone, own) * np.maximum(0.2, 1 - 1.5 * input_cv)

    dispersion = 1 + _CLUSTER * (1 - 1 / limit) * share * (1 + input_cv**2)
    waiting = waiting_probability(rate, step_time, prefill, output, limit, dispersion)
    work = prefill + (output - 1) * step_time(limit) / limit
    work_cv = np.hypot(output_cv * (1 - prefill / work), input_cv * prefill / work)
    slow = (1 - rate * work) / work / dispersion
    drain = slow * 2 / (1 + work_cv**2)

    mean = idle * alone + busy * busy_mean
    variance = idle * (input_cv * alone) ** 2 + busy * busy_variance
    variance += idle * busy * (busy_mean - alone) ** 2

    def raised(level):
        # those who queue are above the quantile: it lies higher among the others
        return level + (1 - level) / 2 * np.minimum(1.0, waiting / (1 - level))

    def queue_above(level):
        # short waits end at the slow rate, long ones at the rate that the mean requires
        depth = np.log(np.maximum(waiting / (1 - level), 1.0))
        return depth / (slow + (drain - slow) * depth**2 / (1 + depth**2))

    # the upper quantile is that of the busy law at the level where it lies in the mixture
    upper = 1 - (1 - raised(0.95)) / busy
    quiet = _shifted_gamma(floor, alone, (input_cv * prefill) ** 2, _Z95)
    loaded = _shifted_gamma(floor, busy_mean, busy_variance, _normal_quantile(upper))
    high = np.maximum(quiet, np.where(upper > 0, loaded, 0.0))
    median = _shifted_gamma(floor, mean, variance, _normal_quantile(raised(0.5)))
    whole = tpot + left
    median = median + queue_above(0.5)
    answers = (
        mean + waiting / drain,
        median,
        np.maximum(np.maximum(high, mean + queue_above(0.95)), median),
        whole,
        np.maximum(
            _shifted_gamma(single, tpot, np.minimum(tpot_variance, (tpot - single) ** 2), 0.0),
            _shifted_gamma(single, whole, tpot_variance + left**2, 0.0),
        ),
        _shifted_gamma(single, whole, tpot_variance + left**2, _Z95),
    )
    answers = [np.where(stable, answer, np.inf) for answer in answers]
    return Latency(*answers, np.minimum(batch, limit), waiting, load, stable)


def latency(rate, step_time, prefill_time, output_tokens, batch_limit, *, chunks=0.0,
            prefill_alone=None, input_cv=0.0, output_cv=1.0,
            stable_below=STABLE_BELOW):  # fmt: skip
    r"""
    Time to first token and time per output token of one replica under a Poisson load.

    Parameters
    ----------
    rate : numeric
        Arrivals. [request/s]
    step_time : callable
        Decode step of a batch size. [s]
    prefill_time : numeric
        Time that one prompt adds to the steps it shares. [s]
    output_tokens : numeric
        Mean output. [token]
    batch_limit : numeric
        From ``batch_limit``, or the slots of llama.cpp. [sequence]
    chunks : numeric
        Prompt over ``max_num_batched_tokens``; 0 when a prompt is never cut. [-]
    prefill_alone : numeric
        Time to first token on an idle replica; ``prefill_time`` when not given. [s]
    input_cv, output_cv : numeric
        Coefficients of variation of prompt and output. [-]
    stable_below : numeric
        Largest utilisation for which latencies are given. [-]

    Returns
    -------
    latency : Latency
        Mean, median and 95th percentile of TTFT and TPOT [s], mean batch [sequence], probability
        to queue for a place, utilisation, and whether the replica is stable [-].

    Notes
    -----
    Prompts that arrive during an iteration are served in the next: an iteration is
    :math:`X = d + \sum s_i`, whose first three cumulants give the length-biased iteration that an
    arrival falls into. TTFT is its residue, the next iteration and, beyond the batch limit, a
    birth-death queue. TPOT is :math:`d(n+1)/(1 - \lambda s)` plus the prompts left behind at the
    first token. Percentiles are those of shifted gamma laws with these moments. Left out:
    preemption, bursts, prefix caching, priorities. Weak below about 30 sequences of cache with
    outputs of very unequal length, and where prefill is over 60 % of the work.

    References
    ----------
    .. [1] Takagi, "Queueing Analysis" 1, 1991, chapter 2 (gated service and vacations).
    .. [2] Wilson and Hilferty, "The distribution of chi-square", PNAS 17, 1931.

    Examples
    --------
    >>> quiet = latency(1e-9, lambda n: 0.01 + 0.001 * n, 0.2, 101, 64)
    >>> round(float(quiet.ttft_p95), 4), round(float(quiet.tpot_p95), 4)
    (0.2, 0.011)
    """
    output, limit = _checked(1, output_tokens=output_tokens, batch_limit=batch_limit)
    rate, prefill, chunks, input_cv, output_cv = _checked(
        0, rate=rate, prefill_time=prefill_time, chunks=chunks, input_cv=input_cv,
        output_cv=output_cv,
    )  # fmt: skip
    alone = prefill if prefill_alone is None else _checked(0, prefill_alone=prefill_alone)
    batch = decode_batch(rate, step_time, prefill, output, limit)
    return _latency(rate, batch, step_time, prefill, output, limit, chunks, alone, input_cv,
                    output_cv, stable_below)  # fmt: skip


def rate_within_slo(step_time, prefill_time, output_tokens, batch_limit, *, ttft_limit=np.inf,
                    tpot_limit=np.inf, utilisation_limit=0.8, halvings=14, **workload):  # fmt: skip
    """
    Largest rate whose 95th percentiles stay within the limits.

    Parameters
    ----------
    step_time : callable
        Decode step of a batch size. [s]
    prefill_time : numeric
        Time that one prompt adds to the steps it shares. [s]
    output_tokens : numeric
        Mean output. [token]
    batch_limit : numeric
        From ``batch_limit``. [sequence]
    ttft_limit, tpot_limit : numeric
        Service level at the 95th percentile; infinite = none. [s]
    utilisation_limit : numeric
        Headroom; at most ``STABLE_BELOW``. [-]
    halvings : int
        Steps of the bisection; 14 give the rate to 0.01 % of capacity. [-]
    **workload
        ``chunks``, ``prefill_alone``, ``input_cv``, ``output_cv`` as in ``latency``.

    Returns
    -------
    rate : numeric
        0 when even an idle replica misses the limits. [request/s]

    References
    ----------
    .. [1] Zhong et al., "DistServe", OSDI 2024, section 2 (goodput: rate within the SLO).

    Examples
    --------
    >>> law = lambda n: 0.01 + 0.001 * n
    >>> rate_within_slo(law, 0.1, 101, 64, tpot_limit=[0.012, 0.05, 9]).round(2)
    array([0.09, 3.31, 3.71])
    """
    ttft, tpot = _checked(0, ttft_limit=ttft_limit, tpot_limit=tpot_limit)
    headroom = np.minimum(_checked(0, utilisation_limit=utilisation_limit), STABLE_BELOW)
    top = headroom * capacity(step_time, prefill_time, output_tokens, batch_limit)
    top = top * np.ones(np.broadcast_shapes(top.shape, ttft.shape, tpot.shape))

    def within(rate):
        seen = latency(rate, step_time, prefill_time, output_tokens, batch_limit,
                       stable_below=1 - 1e-9, **workload)  # fmt: skip
        return (seen.ttft_p95 <= ttft) & (seen.tpot_p95 <= tpot)

    low, high = np.where(within(top), top, 0.0), top
    for _ in range(halvings):
        middle = (low + high) / 2
        good = within(middle)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return low


def peak_rate(calls_per_day, busiest_hour_share):
    """
    Rate of the busiest hour.

    Parameters
    ----------
    calls_per_day : numeric
        Requests of a day. [request/day]
    busiest_hour_share : numeric
        Part of them in the busiest hour; 1/24 when even. [-]

    Returns
    -------
    rate : numeric
        Mean over that hour. [request/s]

    References
    ----------
    .. [1] ITU-T E.600, 1993, "busy hour".

    Examples
    --------
    >>> float(peak_rate(36_000, 0.2))
    2.0
    """
    calls, share = _checked(0, calls_per_day=calls_per_day, busiest_hour_share=busiest_hour_share)
    if np.any(share > 1):
        raise ValueError(f"busiest_hour_share = {share.max():g} exceeds 1; give a fraction")
    return calls * share / 3600


def replicas_needed(peak_rate, rate_per_replica, spare=1):
    """
    Replicas for a peak rate, with spares (N+1).

    Parameters
    ----------
    peak_rate : numeric
        Rate of all users. [request/s]
    rate_per_replica : numeric
        Rate within the service level, from ``rate_within_slo``. [request/s]
    spare : numeric
        Replicas that may fail without harm. [replica]

    Returns
    -------
    replicas : numeric
        Infinite when one replica serves nothing. GPUs = replicas x tensor parallel. [replica]

    References
    ----------
    .. [1] Definition of N+1 redundancy.

    Examples
    --------
    >>> replicas_needed([0.9, 2.1], 1.0)
    array([2., 4.])
    """
    peak, each, spare = _checked(
        0, peak_rate=peak_rate, rate_per_replica=rate_per_replica, spare=spare
    )
    # a rounding error of the division must not buy a server
    needed = np.ceil(peak / np.where(each > 0, each, np.nan) - 1e-9)
    return np.where(each > 0, np.maximum(needed, 1.0) + spare, np.inf)


def backlog(rate, capacity, duration, later_rate=0.0):
    """
    What piles up while more arrives than can be served, and how long it takes to drain.

    Parameters
    ----------
    rate, capacity, later_rate : numeric
        Arrivals, what is served at most, and arrivals afterwards. [request/s]
    duration : numeric
        Length of the overload. [s]

    Returns
    -------
    growth, queued, drain_time : numeric
        Backlog per second [request/s], at the end [request], and time to work it off [s].

    References
    ----------
    .. [1] Newell, "Applications of Queueing Theory", 1982, chapter 2 (fluid approximation).

    Examples
    --------
    >>> [float(x) for x in backlog(3.0, 2.0, 3600, 1.0)]
    [1.0, 3600.0, 3600.0]
    """
    rate, capacity, duration, later = _checked(
        0, rate=rate, capacity=capacity, duration=duration, later_rate=later_rate
    )
    growth = np.maximum(0.0, rate - capacity)
    queued, room = growth * duration, capacity - later
    drain = np.where(room > 0, queued / np.where(room > 0, room, 1.0), np.inf)
    return growth, queued, np.where(queued > 0, drain, 0.0)
