r"""Load on one replica: what users wait for, and the rate that a service level allows.

Closed forms of continuous batching, vectorised over deployments; plain numbers and arrays in SI.
``step_time(batch) -> [s]`` is the decode step of a batch size, broadcast over deployments; wrap a
slow law in ``tabulated``. llama.cpp's server is the same with its slots as batch limit
and the whole prefill as ``prefill_time``, since prefill stops decode there.

Above a utilisation of ``STABLE_BELOW`` no percentile is given: latencies are infinite and
``stable`` is False; use ``backlog``. ``VALIDITY`` holds the errors against an event simulation.
"""

from typing import NamedTuple

import numpy as np

from planner import response
from planner.occupancy import (
    _checked,
    batch_limit,
    capacity,
    context_variation,
    decode_batch,
    mean_context,
    waiting_probability,
)
from planner.steps import tabulated

__all__ = [
    "STABLE_BELOW", "VALIDITY", "Latency", "backlog", "batch_limit", "capacity",
    "context_variation", "decode_batch", "latency", "mean_context", "peak_rate", "rate_within_slo",
    "replicas_needed", "saturated_rate", "tabulated", "waiting_probability",
]  # fmt: skip

STABLE_BELOW = 0.9
# where `VALIDITY` ends: share that queues, prefill in the work, step budget used, tokens asked
_QUEUEING, _HEAVY, _FED, _SHORT = 0.03, 0.6, 0.8, 16

# absolute errors [%], median and 90th percentile, against the event simulation with Poisson
# arrivals: 400 random cases that set no constant (benchmarks/closed_forms.py, seed 1)
VALIDITY = {
    "trusted": {"ttft_p50": (2, 6), "ttft_p95": (6, 15), "tpot_p50": (0, 2), "tpot_p95": (2, 11),
                "capacity": (1, 5), "cases": 179},
    "utilisation 0.1-0.3": {"ttft_p50": (1, 5), "ttft_p95": (4, 16), "tpot_p50": (0, 2),
                            "tpot_p95": (1, 7), "capacity": (1, 5), "cases": 74},
    "utilisation 0.3-0.5": {"ttft_p50": (2, 5), "ttft_p95": (6, 16), "tpot_p50": (0, 1),
                            "tpot_p95": (2, 10), "capacity": (1, 4), "cases": 64},
    "utilisation 0.5-0.75": {"ttft_p50": (2, 20), "ttft_p95": (15, 50), "tpot_p50": (0, 3),
                             "tpot_p95": (4, 28), "capacity": (2, 5), "cases": 88},
    "utilisation 0.75-0.9": {"ttft_p50": (8, 63), "ttft_p95": (15, 62), "tpot_p50": (1, 8),
                             "tpot_p95": (5, 31), "capacity": (1, 8), "cases": 62},
    "fewer than 30 places": {"ttft_p50": (2, 25), "ttft_p95": (11, 49), "tpot_p50": (0, 3),
                             "tpot_p95": (2, 17), "capacity": (2, 6), "cases": 190},
    "prefill over 60 %": {"ttft_p50": (5, 19), "ttft_p95": (12, 29), "tpot_p50": (4, 26),
                          "tpot_p95": (10, 63), "capacity": (1, 4), "cases": 112},
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
    trusted: np.ndarray


def latency(rate, step_time, prefill_time, output_tokens, batch_limit, *,
            stable_below=STABLE_BELOW, **workload):  # fmt: skip
    r"""
    Time to first token and time per output token of one replica under a Poisson load.

    Parameters
    ----------
    rate : numeric
        Arrivals. [request/s]
    step_time : callable
        Decode step of a batch size. [s]
    prefill_time : numeric
        Time that a prompt of mean length adds to the steps it shares, with its launch. [s]
    output_tokens : numeric
        Mean output. [token]
    batch_limit : numeric
        From ``batch_limit``, or the slots of llama.cpp. [sequence]
    stable_below : numeric
        Largest utilisation for which latencies are given. [-]
    **workload
        ``chunks``: prompt over ``max_num_batched_tokens``, 0 when a prompt is never cut [-];
        ``prefill_alone``: time to first token on an idle replica, ``prefill_time`` when not given
        [s]; ``launch_time``: part of both that prompts in one step share [s]; ``attention``: part
        of the work that grows as the square of the prompt, over the part that grows with it [-];
        ``recompute_time``: as in ``capacity`` [s]; ``cache_cv``: ``context_variation`` where the
        cache is what limits, 0 where places do [-]; ``input_cv``, ``output_cv``: coefficients of
        variation of prompt and output, 0 and 1 when not given [-].

    Returns
    -------
    latency : Latency
        Mean, median and 95th percentile of TTFT and TPOT [s], mean batch [sequence], probability
        to queue for a place, utilisation, whether the replica is stable, and whether the errors in
        ``VALIDITY`` hold for it [-].

    Notes
    -----
    Prompts that arrive during an iteration are served in the next: an iteration is
    :math:`X = d + \sum s_i`, whose first three cumulants give the length-biased iteration that an
    arrival falls into. TTFT is its residue, the next iteration and, beyond the batch limit, a
    birth-death queue: a mixture of lognormal laws (``response``). TPOT is
    :math:`d(n+1)/(1 - \lambda s)` plus the prompts left behind at the first token. Left out:
    bursts, priorities, sessions. Not ``trusted``: above ``STABLE_BELOW``, where more than
    ``_QUEUEING`` of the requests queue for a place (few sequences of cache), where prefill is over
    ``_HEAVY`` of the work or prompts fill ``_FED`` of the step budget, and answers below
    ``_SHORT`` tokens. Bursts and closed users are not seen here: simulate them.

    References
    ----------
    .. [1] Takagi, "Queueing Analysis" 1, 1991, chapter 2 (gated service and vacations).
    .. [2] Fenton, "The sum of log-normal probability distributions", IRE Transactions 8, 1960.
    .. [3] Wilson and Hilferty, "The distribution of chi-square", PNAS 17, 1931.

    Examples
    --------
    >>> quiet = latency(1e-9, lambda n: 0.01 + 0.001 * n, 0.2, 101, 64)
    >>> round(float(quiet.ttft_p95), 4), round(float(quiet.tpot_p95), 4)
    (0.2, 0.011)
    """
    of = _load(step_time, prefill_time, output_tokens, batch_limit, **workload)
    rate = _checked(0, rate=rate)
    stable = rate * of.work <= stable_below
    seen = response._respond(np.where(stable, rate, 0.0), of)
    load = rate * of.work
    median = response._quantile(0.5, 0.0, seen)
    answers = (
        response._ttft_mean(seen),
        median,
        np.maximum(response._quantile(0.95, response._Z95, seen), median),
        seen.tpot + seen.left,
        response._tpot_median(seen),
        np.maximum(response._tpot_quantile(seen, response._Z95), response._tpot_median(seen)),
    )
    answers = [np.where(stable, answer, np.inf) for answer in answers]
    trusted = (load <= STABLE_BELOW) & (seen.waiting <= _QUEUEING) & (seen.fed <= _FED)
    trusted &= (of.shared + of.launch <= _HEAVY * of.work) & (of.output >= _SHORT)
    batch = np.where(stable, seen.batch, of.limit)
    waiting = np.where(load >= 1, 1.0, seen.waiting)
    return Latency(*answers, batch, waiting, load, stable, trusted)


def _load(step_time, prefill_time, output_tokens, batch_limit, *, chunks=0.0, prefill_alone=None,
          launch_time=0.0, attention=0.0, recompute_time=0.0, cache_cv=0.0, input_cv=0.0,
          output_cv=1.0):  # fmt: skip
    output, limit = _checked(1, output_tokens=output_tokens, batch_limit=batch_limit)
    prefill, *rest = _checked(
        0, prefill_time=prefill_time, chunks=chunks,
        prefill_alone=prefill_time if prefill_alone is None else prefill_alone,
        launch_time=launch_time, attention=attention, recompute_time=recompute_time,
        cache_cv=cache_cv, input_cv=input_cv, output_cv=output_cv,
    )  # fmt: skip
    return response._describe(step_time, prefill, output, limit, *rest)


def rate_within_slo(step_time, prefill_time, output_tokens, batch_limit, *, ttft_limit=np.inf,
                    tpot_limit=np.inf, utilisation_limit=0.8, iterations=24,
                    **workload):  # fmt: skip
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
    iterations : int
        Most steps of the bracketed secant search; it ends when all are within 0.2 %. [-]
    **workload
        As in ``latency``.

    Returns
    -------
    rate : numeric
        0 when even an idle replica misses the limits. [request/s]

    References
    ----------
    .. [1] Zhong et al., "DistServe", OSDI 2024, section 2 (goodput: rate within the SLO).
    .. [2] Dowell and Jarratt, "A modified regula falsi method", BIT 11, 1971 (Illinois).

    Examples
    --------
    >>> law = lambda n: 0.01 + 0.001 * n
    >>> rate_within_slo(law, 0.1, 101, 64, tpot_limit=[0.012, 0.05, 9]).round(2)
    array([0.09, 3.31, 3.71])
    """
    ttft, tpot = _checked(0, ttft_limit=ttft_limit, tpot_limit=tpot_limit)
    of = _load(step_time, prefill_time, output_tokens, batch_limit, **workload)
    headroom = np.minimum(_checked(0, utilisation_limit=utilisation_limit), STABLE_BELOW)
    shape = np.broadcast_shapes(*map(np.shape, (of.work, of.limit, headroom, ttft, tpot)))
    ttft, tpot, top = (np.broadcast_to(x, shape) for x in (ttft, tpot, headroom / of.work))

    def excess(rate):
        """How far the tail of TTFT or TPOT is beyond its limit, in logarithms: rises with rate."""
        seen = response._respond(rate, of)
        late = np.log(np.maximum(1 - response._below(ttft, *seen[:4]), 1e-9) / 0.05)
        late = np.where(np.isfinite(ttft), late, -20.0)
        slow = np.log(
            np.maximum(response._tpot_quantile(seen, response._Z95), response._tpot_median(seen))
            / tpot
        )
        return np.maximum(late, 4 * slow)

    def only(rows, *more):
        """Go on with some of the deployments."""
        nonlocal of, ttft, tpot
        of = of.take(rows, ttft.shape)
        ttft, tpot, *more = (each.ravel()[rows] for each in (ttft, tpot, *more))
        return more

    with np.errstate(divide="ignore"):
        at_high = excess(top)
        live = np.flatnonzero(at_high > 0)
        answer, (high, at_high) = top.flatten(), only(live, top, at_high)
        low = np.zeros_like(high)
        at_low = excess(low)
        side, done = np.zeros_like(low), at_low > 0
        answer[live] = 0.0
        for _ in range(iterations):
            if done.all():
                break
            rows = np.flatnonzero(~done)
            if rows.size < 0.7 * done.size:
                live, low, high, at_low, at_high, side, done = only(
                    rows, live, low, high, at_low, at_high, side, done
                )
            spread = np.where(at_high > at_low, at_high - at_low, 1.0)
            part = np.clip(-at_low / spread, 0.02, 0.98)
            middle = low + part * (high - low)
            value = excess(middle)
            good = value <= 0
            # an end that has stayed twice counts half, so that the other cannot crawl
            at_high = np.where(good, np.where(side > 0, at_high / 2, at_high), value)
            at_low = np.where(good, value, np.where(side < 0, at_low / 2, at_low))
            side = np.where(good, 1.0, -1.0)
            low, high = np.where(good, middle, low), np.where(good, high, middle)
            near = (high - low <= 2e-3 * high) | (np.abs(value) < 5e-3)
            found = np.where(np.abs(value) < 5e-3, middle, low)
            answer[live] = np.where(done, answer[live], found)
            done |= near
    return answer.reshape(shape)


def saturated_rate(step_time, prefill_time, output_tokens, batch_limit, **workload):
    """
    Rate with everybody waiting: `capacity`, where prompts that share a step share its launch.

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
    **workload
        As in ``latency``.

    Returns
    -------
    rate : numeric
        At a utilisation of one. [request/s]

    References
    ----------
    .. [1] As of ``capacity``.

    Examples
    --------
    >>> float(saturated_rate(lambda n: 0.01 + 0.001 * n, 0.1, 101, 10))
    3.333...
    """
    return 1 / _load(step_time, prefill_time, output_tokens, batch_limit, **workload).work


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
