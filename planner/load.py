"""A team's calls on one replica: what its users see at any load, by the event simulation.

`stream` makes the calls of the busiest hour, `replica` joins them to a deployment, `Replica.see`
serves them at a load. Above a utilisation of `concurrency.STABLE_BELOW` no percentile is given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from planner import concurrency, serving, simulation, workload
from planner.team import Team

WARM_UP, COOL_DOWN = 0.1, 0.05  # of the calls, left out of every percentile
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Seen(NamedTuple):
    """
    What users see at one load, and how full the replica is.

    Parameters
    ----------
    load : float
        Calls a second, or users where they wait for their answers. [1/s or user]
    rate : float
        Calls answered. [1/s]
    ttft_p50, ttft_p95, ttft_p99, tpot_p50, tpot_p95, tpot_p99 : float
        Infinite above the utilisation at which anything can be said. [s]
    running, waiting : float
        Mean number of requests. [request]
    utilisation : float
        Of the saturated rate. [1]
    cache : float
        Largest share of the KV cache in use; NaN where every slot has its own. [1]
    preempted : float
        Preemptions per call. [1]
    """

    load: float
    rate: float
    ttft_p50: float
    ttft_p95: float
    ttft_p99: float
    tpot_p50: float
    tpot_p95: float
    tpot_p99: float
    running: float
    waiting: float
    utilisation: float
    cache: float
    preempted: float


def stream(team: Team, count: int, seed: int = 0) -> workload.Stream:
    """
    The calls of a team's busiest hour, at one a second.

    Parameters
    ----------
    team : Team
        Its workload.
    count : int
        At least so many. [call]
    seed : int
        The same seed gives the same calls.

    Returns
    -------
    stream : workload.Stream
    """
    load, how = team.workload, team.workload.arrivals
    if how.kind == "trace":
        return _busiest_hour(how.calls, load, count, seed)
    if how.kind == "sessions":
        return workload.sessions(
            count, how.turns, how.first_prompt_tokens, load.session_growth, load.output_tokens,
            how.pause, system=how.system_tokens, variation=load.variation,
            most=load.context_tokens, seed=seed,
        )  # fmt: skip
    prompt, output = drawn_lengths(load, count, seed)
    arrival = workload.arrivals(count, getattr(how, "variation", 1.0), seed + 2)
    return workload.independent(arrival, prompt, output, load.cached_prompt_share)


def drawn_lengths(load, count, seed):
    """Prompts and outputs that fit the team's context together. [token]"""
    most = load.context_tokens
    prompt = workload.lengths(
        count, load.prompt_tokens, load.variation, least=2, most=most - 2, seed=seed
    )
    output = workload.lengths(
        count, load.output_tokens, load.variation, least=2, most=most - prompt, seed=seed + 1
    )
    return prompt, output


def _busiest_hour(calls, load, count, seed):
    """The busiest hour of a trace, repeated with its calls in another order until it is long."""
    first, last, length = workload.busiest_hour(calls.arrival)
    many = last - first
    copies = -(-count // many)
    moments = (calls.arrival[first:last] - calls.arrival[first]) * (many / length)
    arrival = (moments + many * np.arange(copies)[:, None]).ravel()
    random = np.random.default_rng(seed)
    turns = [np.arange(many), *(random.permutation(many) for _ in range(copies - 1))]
    rows = first + np.concatenate(turns)
    prompt, output = calls.prompt[rows], calls.output[rows]
    return workload.independent(arrival, prompt, output, load.cached_prompt_share)


@dataclass(frozen=True)
class Replica:
    """
    One replica and its calls, to be asked at several loads.

    Parameters
    ----------
    engine : simulation.Engine
    calls : simulation.Requests
        At one a second.
    stream : workload.Stream
        The same, before the prefill work was known.
    served : serving.Serving
        The deployment, alone.
    prefill : float
        Factor on prefill times. [1]
    request_time : float
        Handling outside the accelerator, in every TTFT. [s]
    think_time : float
        Of users who wait for their answers; NaN where calls come by themselves. [s]
    """

    engine: simulation.Engine
    calls: simulation.Requests
    stream: workload.Stream
    served: serving.Serving
    prefill: float
    request_time: float
    think_time: float

    @cached_property
    def saturated(self) -> float:
        """Calls a second with everybody waiting. [1/s]"""
        return self._saturated[0]

    @cached_property
    def wall(self) -> str:
        """What makes that limit."""
        return self._saturated[1]

    @cached_property
    def _saturated(self):
        return saturated(self.engine, self._records)

    @cached_property
    def _records(self):
        return simulation.prepared(self.calls)

    def requests(self, stream: workload.Stream) -> simulation.Requests:
        """Other calls with the prefill work that they are to this replica."""
        return serving.requests(self.served, 0, stream, self.prefill)

    def asked(self, stream: workload.Stream) -> Replica:
        """The same with other calls of the same team."""
        return replace(self, stream=stream, calls=self.requests(stream))

    def slower(self, step: float, prefill: float) -> Replica:
        """The same with factors on every decode step and prefill. [1]"""
        engine, calls = self.engine, self.calls
        work = after = calls.work * prefill
        if calls.work_after is not calls.work:
            after = calls.work_after * prefill
        return replace(
            self,
            engine=engine._replace(
                step_time=engine.step_time * step, launch_time=engine.launch_time * prefill
            ),
            calls=calls._replace(work=work, work_after=after),
            prefill=self.prefill * prefill,
        )

    def first(self, count: int) -> Replica:
        """The same with fewer calls."""
        return replace(
            self,
            calls=simulation.Requests(*(part[:count] for part in self.calls)),
            stream=workload.Stream(*(part[:count] for part in self.stream)),
        )

    def at(self, load: float, replicas: int = 1, **options) -> simulation.Outcome:
        """Serve the calls at a load. [1/s or user]"""
        if np.isfinite(self.think_time):
            asked = workload.users(self.stream, max(int(load), 1), self.think_time)
            times = {name: getattr(asked, name) for name in ("arrival", "successor", "pause")}
        else:
            times = {"arrival": self.calls.arrival / load}
        return simulation.simulate(
            self._records, self.engine, replicas=replicas, **times, **options
        )

    def handling(self, done: simulation.Outcome) -> np.ndarray:
        """What the server adds to each first token of a run. [s]"""
        work, after = self.calls.work, self.calls.work_after
        if after is not work:
            work = np.where(done.hit >= self.calls.history, after, work)
        running = done.running_time.sum() / max(done.busy.sum(), 1e-12)
        wait = serving.server_wait(self.served, 0, self.engine, running, work)
        return self.request_time + wait * (done.admitted > done.arrival)

    def see_rate(self, rate: float) -> Seen:
        """What users see at a rate; users who wait for answers are as many as make it. [1/s]"""
        if not np.isfinite(self.think_time):
            return self.see(rate)
        users, seen = max(rate * self.think_time, 1.0), None
        for _ in range(6):
            seen = self.see(users)
            if abs(seen.rate / rate - 1) < 0.03 or (seen.rate > rate and seen.load <= 1):
                break
            users = max(round(users * min(rate / seen.rate, 4.0)), 1)
            if users == seen.load or users > 50 * self.saturated * (self.think_time + 1):
                break
        return seen

    def see(self, load: float) -> Seen:
        """What users see at a load. [1/s or user]"""
        done = self.at(load)
        ttft, tpot, rate = latencies(done, self.calls.output, self.handling(done))
        busy = max(done.busy.sum(), 1e-12)
        span = np.fmax.reduce(done.finished) - np.fmin.reduce(done.arrival)
        blocks = self.engine.blocks
        closed = np.isfinite(self.think_time)
        rate = rate if closed else load  # sessions that are slow call later, but do call
        utilisation = rate / self.saturated
        stable = closed or utilisation <= concurrency.STABLE_BELOW
        shares = [quantiles(times, list(QUANTILES.values())) if stable else np.full(3, np.inf)
                  for times in (ttft, tpot)]  # fmt: skip
        return Seen(
            load, rate, *map(float, np.concatenate(shares)),
            float(done.running_time.sum() / busy),
            float((done.system_time - done.running_time).sum() / max(span, 1e-12)),
            float(utilisation),
            float(done.peak_blocks.max() / blocks) if blocks else np.nan,
            float(done.preemptions.mean()),
        )  # fmt: skip


def latencies(done: simulation.Outcome, output: np.ndarray, handling: np.ndarray | float = 0.0):
    """
    Times of the calls in the middle of a run.

    Parameters
    ----------
    done : simulation.Outcome
        What happened.
    output : ndarray of int
        [token]
    handling : ndarray or float
        Added to every first token. [s]

    Returns
    -------
    ttft, tpot : ndarray
        Of the calls between warm-up and cool-down. [s]
    rate : float
        Calls that arrived in that time. [1/s]
    """
    came = ~np.isnan(done.arrival)
    arrival = done.arrival if came.all() else done.arrival[came]
    begin, end = quantiles(arrival, [WARM_UP, 1 - COOL_DOWN])
    counted = (done.arrival >= begin) & (done.arrival <= end) & ~np.isnan(done.finished)
    rows = np.flatnonzero(counted)
    rate = len(rows) / max(end - begin, 1e-12)
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:  # a slice is not copied
        rows = slice(rows[0], rows[-1] + 1)
    first, tokens = done.first_token[rows], output[rows]
    ttft = first - done.arrival[rows] + (handling[rows] if np.ndim(handling) else handling)
    decode, several = done.finished[rows] - first, tokens > 1
    if not several.all():
        decode, tokens = decode[several], tokens[several]
    return ttft, decode / (tokens - 1), rate


def quantiles(values: np.ndarray, shares: list[float]) -> np.ndarray:
    """
    Quantiles as `numpy.quantile` gives them, without the checks that take longer than the answer.

    Parameters
    ----------
    values : ndarray, shape (N,)
        Numbers; NaN for all where there are none.
    shares : list of float
        [1]

    Returns
    -------
    quantiles : ndarray

    Examples
    --------
    >>> quantiles(np.array([3.0, 1.0, 2.0]), [0.5, 0.75])
    array([2. , 2.5])
    """
    if not len(values):
        return np.full(len(shares), np.nan)
    place = (len(values) - 1) * np.asarray(shares, dtype=float)
    low = place.astype(np.intp)
    both = np.concatenate([low, np.minimum(low + 1, len(values) - 1)])
    if not (values[1:] >= values[:-1]).all():  # as those of arrivals are
        values = np.partition(values, both)
    below, above = values[both].reshape(2, -1)
    part, apart = place - low, above - below
    return np.where(part >= 0.5, above - apart * (1 - part), below + apart * part)


def replica(
    served: serving.Serving, i: int, calls: workload.Stream, step: float = 1.0, prefill: float = 1.0
) -> Replica:
    """
    One deployment as a replica that serves a stream.

    Parameters
    ----------
    served : serving.Serving
        Deployments.
    i : int
        Which.
    calls : workload.Stream
        From `stream`.
    step, prefill : float
        Factors on times, for the ends of a band. [1]

    Returns
    -------
    replica : Replica
    """
    part = serving.take(served, i)
    engine = serving.engine(part, 0, step, prefill)
    requests = serving.requests(part, 0, calls, prefill)
    think = getattr(served.team.workload.arrivals, "think_time", np.nan)
    request_time = float(part.group.coefficient["request_time"][0])
    return Replica(engine, requests, calls, part, prefill, request_time, think)


def saturated(engine: simulation.Engine, calls: np.ndarray) -> tuple[float, str]:
    """
    Rate with everybody waiting, and what makes it.

    Parameters
    ----------
    engine : simulation.Engine
        Of the replica.
    calls : ndarray of simulation.ASKED
        From `simulation.prepared`; what a session finds in the cache is found.

    Returns
    -------
    rate : float
        [1/s]
    wall : str
        kv_cache, sequences or compute.
    """
    places = len(engine.step_time)
    calls = calls[: int(np.clip(8 * places, 600, 3000))]
    done = simulation.simulate(
        calls, engine, arrival=0.0, cached=calls["history"], work=calls["work_after"],
        successor=simulation.NONE, predecessor=simulation.NONE, pause=0.0,
    )  # fmt: skip
    begin, end = quantiles(done.finished[~np.isnan(done.finished)], [0.3, 0.9])
    running = float(done.running_time[0] / done.busy[0])
    if running > 0.9 * places:
        wall = "sequences"
    elif engine.blocks and done.peak_blocks[0] > 0.9 * engine.blocks:
        wall = "kv_cache"
    else:
        wall = "compute"
    return float(0.6 * len(calls) / (end - begin)), wall


def compiled() -> simulation.Outcome:
    """Serve one call, so that the scheduler is compiled now and nobody waits for it later."""
    one, zero = np.array([1]), np.zeros(1)
    table, contexts = np.full((1, 2), 0.01), np.array([0.0, 1.0])
    engine = simulation.Engine(table, contexts, 0.0, 1.0, 0.0, 1, 0, 16, True)
    none = np.array([simulation.NONE])
    call = simulation.Requests(zero, one, one, 0 * one, 0 * one, zero, zero, none, zero)
    return simulation.simulate(call, engine)
