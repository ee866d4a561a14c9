r"""What one replica's users wait for, as laws: the time to first token is a mixture of three.

Who finds the replica idle waits for the own prompt only. Who finds it busy waits for the rest of
the running iteration and for the next one, which holds the own prompt and all that came in the same
iteration (gated service). Who finds every place taken waits for one as well. Each law is a
lognormal above a floor, with the mean and the variance of the parts: a prompt's work is nearly
lognormal, and so is its sum with what else there is. `concurrency` puts it in words and units.
"""

from typing import NamedTuple

import numpy as np

from planner.occupancy import _batch, _chain, _waiting
from planner.steps import Steps, tabulated

_Z95 = 1.6448536269514722
# shares fitted to the event simulation: how much of an occupancy swing one request feels, and
# how much prefills in clusters widen the occupancy
_MEMORY, _CLUSTER = 0.6, 0.5
_JUMPS = 16  # of the birth-death chain


class Load(NamedTuple):
    """What does not depend on the rate: times [s], lengths [token], the rest as in `latency`."""

    step_time: Steps
    output: np.ndarray
    limit: np.ndarray
    chunks: np.ndarray
    launch: np.ndarray
    passes: np.ndarray  # steps that a prompt is prefilled in
    shared: np.ndarray  # prompt's mean work in the steps that it shares
    relative: np.ndarray  # its variance over the square of its mean
    spread: np.ndarray  # of the prompt's length, E[I^2] / E[I]^2
    parts: tuple  # of a prompt at its median and 95th percentile: work, further steps, work alone
    work: np.ndarray  # time of the replica that a request costs at capacity
    at_limit: np.ndarray  # step
    alone: np.ndarray
    output_cv: np.ndarray
    cache_cv: np.ndarray
    first: np.ndarray  # step of one sequence
    chain: list

    def take(self, rows, shape):
        """Some deployments of an array of this shape, counted through."""

        def some(value):
            value = np.asarray(value)
            if not value.ndim:
                return value
            return (value if value.shape == shape else np.broadcast_to(value, shape)).take(rows)

        fields = {name: some(value) for name, value in zip(self._fields, self, strict=True)
                  if name not in ("step_time", "parts", "chain")}  # fmt: skip
        parts = tuple(map(some, self.parts))
        chain = [tuple(map(some, jump)) for jump in self.chain]
        return Load(step_time=self.step_time.take(rows, shape), parts=parts, chain=chain, **fields)


class Response(NamedTuple):
    """At one rate; the mixture has one row per component: weight [-], floor [s], mu, sigma."""

    weight: tuple
    floor: tuple
    mu: tuple
    sigma: tuple
    single: np.ndarray
    tpot: np.ndarray
    left: np.ndarray
    tpot_variance: np.ndarray
    batch: np.ndarray
    waiting: np.ndarray
    load: np.ndarray
    fed: np.ndarray  # part of the step budget in use


def _launches(steps):
    """Launches per prompt: prompts that share a step share its launch."""
    return -np.expm1(-steps) / np.maximum(steps, 1e-12)


def _describe(step_time, prefill, output, limit, chunks, alone, launch, attention, recompute,
              cache_cv, input_cv, output_cv):  # fmt: skip
    sigma = np.sqrt(np.log1p(input_cv**2))
    median = np.exp(-0.5 * sigma**2)
    high = median * np.exp(_Z95 * sigma)

    def grown(length):  # work over that of the mean prompt: attention's share grows as its square
        return length * (1 + attention * length) / (1 + attention)

    middle, upper = grown(median), grown(high)
    scale = np.log(upper / middle) / _Z95
    mean = middle * np.exp(scale**2 / 2)
    passes = np.maximum(1.0, chunks + 0.5 * (chunks > 1))
    further = [np.maximum(1.0, np.ceil(chunks * x)) - 1 for x in (median, high)]
    own, apart = prefill - launch, alone - launch
    parts = (own * middle, own * upper, *further, apart * middle, apart * upper)
    step_time = tabulated(step_time, limit)
    at_limit = step_time(limit)
    decodes = np.maximum(output - 1, 1e-9)
    shared = own * mean
    launched = launch * passes * _launches(limit / decodes * passes)
    work = shared + launched + recompute + (output - 1) * at_limit / limit
    return Load(
        step_time, output, limit, chunks, launch, passes, shared, np.expm1(scale**2),
        1 + input_cv**2, parts, work, at_limit, apart * mean + launch, output_cv, cache_cv,
        step_time(np.ones_like(limit)), _chain(step_time, output, limit, _JUMPS),
    )  # fmt: skip


def _lognormal(low, high):
    """Mean and variance of the lognormal law with this median and 95th percentile."""
    low = np.maximum(low, 1e-12)
    scale = np.log(np.maximum(high, low) / low) / _Z95
    mean = low * np.exp(scale**2 / 2)
    return mean, mean**2 * np.expm1(scale**2)


def _fitted(mean, variance):
    """Parameters of the lognormal law with this mean and variance."""
    mean = np.maximum(mean, 1e-12)
    square = np.maximum(np.log1p(variance / mean**2), 1e-10)
    return np.log(mean) - square / 2, np.sqrt(square)


def _respond(rate, of):
    step_time, output, limit, chunks = of.step_time, of.output, of.limit, of.chunks
    load = rate * of.work
    # batch of a step that grows evenly up to the limit, to tell how many prompts share a launch
    first = of.first
    even = (of.at_limit - first) / np.maximum(limit - 1, 1.0)
    turn = rate * (output - 1) / np.maximum(1 - rate * (of.shared + of.launch), 0.05)
    guess = np.minimum(turn * first / np.maximum(1 - turn * even, 0.01), limit)
    guess = (first + even * guess) / np.maximum(1 - rate * (of.shared + of.launch), 0.05)
    prefill = of.shared + of.launch * of.passes * _launches(rate * guess * of.passes)

    batch = _batch(rate, step_time, prefill, output, limit)
    tagged = np.clip(batch + 1, 1.0, limit)
    step = step_time(tagged)
    nudge = np.maximum(0.5, 0.1 * tagged)
    upper = np.minimum(tagged + nudge, limit)  # beyond the limit there is no batch
    lower = np.maximum(upper - nudge, 1.0)
    rise = np.maximum(0.0, step_time(upper) - step_time(lower))
    slope = np.where(limit > 1, rise / np.maximum(upper - lower, 1e-9), 0.0)
    share = np.minimum(rate * prefill, 0.95)
    # others are prefilled while one decodes, except that its own place is taken
    interrupting = rate * (1 - np.minimum(1.0, load) ** np.maximum(0.0, limit - 1) / limit)
    interrupted = np.maximum(1 - interrupting * prefill, 0.05)
    tpot = step / interrupted
    growth = np.minimum(0.9, rate * (output - 1) * slope / (1 - share))
    scatter = batch / (1 - growth)
    square = prefill**2 + of.shared**2 * of.relative
    each = (1 + of.output_cv**2) / np.maximum(1.0, output - 1)

    # cumulants of an iteration X = d + prompts that arrived in the one before (gated service)
    cycle = step / (1 - share)
    second = rate * square * cycle / (1 - share**2)
    third = rate * prefill**3 * (1 + of.relative) ** 3 * cycle + 3 * share * rate * square * second
    third = third / (1 - share**3)
    seen = (second + cycle**2) / cycle
    seen_square = (third + 3 * cycle * second + cycle**3) / cycle
    # prompts queue for the token budget as for a server that holds each for its part of a step
    held = prefill + chunks * step
    fed = np.minimum(rate * held, 0.95)
    extra = rate * (held**2 - prefill**2) * of.spread / (2 * (1 - fed))
    extra_variance = extra**2 + rate * (held**3 - prefill**3) * of.spread**3 / (3 * (1 - fed))

    # whoever gets a first token leaves prompts behind that are prefilled into the next steps
    left = np.maximum(0.0, step + prefill + share * seen + extra - cycle) * share / (1 - share)
    left = left * prefill / np.maximum(held, 1e-12)
    left = np.minimum(left, 0.5 * (limit - 1) * prefill) * each
    tpot_variance = _MEMORY * scatter * (slope / interrupted) ** 2
    tpot_variance += interrupting * square * (tpot + left) * each / (1 - share) ** 2

    low, high, more, most, quiet, slow = of.parts
    floor = step + of.launch
    own, own_variance = _lognormal(low + more * floor, high + most * floor)
    busy_mean = own + (0.5 + rate * of.shared) * seen + extra
    busy_variance = own_variance + extra_variance + rate * square * seen
    busy_variance += (1 / 3 + share + share**2) * seen_square - ((0.5 + share) * seen) ** 2
    busy_variance += scatter * (1.5 * slope) ** 2
    empty = np.where(growth > 1e-6, np.log1p(-growth) / np.maximum(growth, 1e-6), -1.0)
    idle = np.exp(batch * (1 - growth) * empty) * np.maximum(0.0, 1 - rate * of.alone)

    # sequences of unequal size fill the cache less evenly than sequences of one size fill places
    dispersion = 1 + _CLUSTER * (1 - 1 / limit) * share * of.spread + of.cache_cv**2
    waiting = _waiting(rate, prefill, of.chain, dispersion, load)
    work_square = (of.output_cv * (1 - prefill / of.work)) ** 2
    work_square += (prefill / of.work) ** 2 * (of.spread - 1)
    wait = of.work * dispersion * (1 + work_square) / (2 * np.maximum(1 - load, 1e-6))

    idle = np.minimum(idle, 1 - waiting)
    laws = (
        _lognormal(quiet + more * of.launch, slow + most * of.launch),
        (busy_mean, busy_variance),
        (busy_mean + wait, busy_variance + wait**2),
    )
    mu, sigma = zip(*[_fitted(*law) for law in laws], strict=True)
    return Response(
        (idle, 1 - idle - waiting, waiting), (of.launch, floor, floor), mu, sigma,
        first, tpot, left, tpot_variance, np.minimum(batch, limit), waiting, load, fed,
    )  # fmt: skip


def _below(time, weight, floor, mu, sigma):
    """Probability that the first token comes within a time."""
    total = 0.0
    for part, least, middle, scale in zip(weight, floor, mu, sigma, strict=True):
        z = (np.log(np.maximum(time - least, 1e-12)) - middle) / scale
        z = np.clip(z, -8.0, 8.0)
        # the normal law to 3e-4 (Page, Applied Statistics 26, 1977)
        total = total + part * (0.5 + 0.5 * np.tanh(z * (0.7978845608 + 0.0356774081 * z * z)))
    return total


def _quantile(probability, z, seen):
    """Time within which a part of the first tokens come; z is the normal quantile of that part."""
    shape = np.broadcast_shapes(*(np.shape(x) for row in seen[:4] for x in row))
    law = np.array([[np.broadcast_to(x, shape).ravel() for x in row] for row in seen[:4]])
    weight, floor, mu, sigma = law
    times = floor + np.exp(mu + z * sigma)
    # it lies between the least and the largest quantile of the components that have some weight
    some = weight > 1e-9
    low = np.log(np.where(some, times, np.inf).min(axis=0))
    high = np.log(np.where(some, times, 0.0).max(axis=0))
    odds = np.log(probability / (1 - probability))
    answer, live, side = high.copy(), np.arange(high.size), np.zeros(high.size)

    def excess(log_time):  # log odds: nearly a straight line in the logarithm of time
        below = np.clip(_below(np.exp(log_time), *law), 1e-12, 1 - 1e-12)
        return np.log(below / (1 - below)) - odds

    at_low, at_high = excess(low), excess(high)
    for _ in range(40):
        # Illinois: a secant; an end that has stayed twice counts half, so that it cannot stall
        spread = np.where(at_high > at_low, at_high - at_low, 1.0)
        middle = np.clip(low - at_low * (high - low) / spread, low, high)
        value = excess(middle)
        answer[live] = middle
        under = value < 0
        at_low, at_high = (
            np.where(under, value, np.where(side > 0, at_low / 2, at_low)),
            np.where(under, np.where(side < 0, at_high / 2, at_high), value),
        )
        low, high = np.where(under, middle, low), np.where(under, high, middle)
        side = np.where(under, -1.0, 1.0)
        left = np.flatnonzero((np.abs(value) > 1e-4) & (high - low > 1e-5))
        if left.size == 0:
            break
        if left.size < 0.7 * live.size:
            live, law, low, high = live[left], law[:, :, left], low[left], high[left]
            at_low, at_high, side = at_low[left], at_high[left], side[left]
    return np.exp(answer).reshape(shape)


def _ttft_mean(seen):
    return sum(
        weight * (floor + np.exp(mu + sigma**2 / 2))
        for weight, floor, mu, sigma in zip(*seen[:4], strict=True)
    )


def _tpot_quantile(seen, z):
    """TPOT: a shifted gamma law, its quantile by Wilson and Hilferty's cube."""
    mean = seen.tpot + seen.left
    excess = np.maximum(mean - seen.single, 1e-12)
    spread = (seen.tpot_variance + seen.left**2) / (9 * excess**2)
    # past this spread the cube of an upper quantile would fall again
    spread = np.minimum(spread, (z / 2) ** 2 if z > 0 else 1.0)
    return seen.single + excess * np.maximum(0.0, 1 - spread + z * np.sqrt(spread)) ** 3


def _tpot_median(seen):
    excess = np.maximum(seen.tpot - seen.single, 1e-12)
    variance = np.minimum(seen.tpot_variance, excess**2)
    typical = seen.single + excess * np.maximum(0.0, 1 - variance / (9 * excess**2)) ** 3
    return np.maximum(typical, _tpot_quantile(seen, 0.0))
