"""A team's calls on one replica: what its users see at any load, by the event simulation.

`stream` makes the calls of the busiest hour, `replica` joins them to a deployment, `Replica.see`
serves them at a load. Above a utilisation of `concurrency.STABLE_BELOW` no percentile is given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    saturated : float
        Calls a second with everybody waiting. [1/s]
    wall : str
        What makes that limit.
    """

    engine: simulation.Engine
    calls: simulation.Requests
    stream: workload.Stream
    served: serving.Serving
    prefill: float
    request_time: float
    think_time: float
    saturated: float
    wall: str

    def requests(self, stream: workload.Stream) -> simulation.Requests:
        """Other calls with the prefill work that they are to this replica."""
        return serving.requests(self.served, 0, stream, self.prefill)

    def asked(self, stream: workload.Stream) -> Replica:
        """The same with other calls of the same team."""
        return self._again(stream=stream, calls=self.requests(stream))

    def slower(self, step: float, prefill: float) -> Replica:
        """The same with factors on every decode step and prefill. [1]"""
        engine, calls = self.engine, self.calls
        return self._again(
            engine=engine._replace(
                step_time=engine.step_time * step, launch_time=engine.launch_time * prefill
            ),
            calls=calls._replace(work=calls.work * prefill, work_after=calls.work_after * prefill),
            prefill=self.prefill * prefill,
        )

    def _again(self, **changes):
        changed = replace(self, **changes)
        rate, wall = saturated(changed.engine, changed.calls)
        return replace(changed, saturated=rate, wall=wall)

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
            calls = self.calls._replace(
                arrival=asked.arrival, successor=asked.successor, pause=asked.pause
            )
        else:
            calls = self.calls._replace(arrival=self.calls.arrival / load)
        return simulation.simulate(calls, self.engine, replicas=replicas, **options)

    def handling(self, done: simulation.Outcome) -> np.ndarray:
        """What the server adds to each first token of a run. [s]"""
        found = done.hit >= self.calls.history
        work = np.where(found, self.calls.work_after, self.calls.work)
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
        span = np.nanmax(done.finished) - np.nanmin(done.arrival)
        blocks = self.engine.blocks
        closed = np.isfinite(self.think_time)
        rate = rate if closed else load  # sessions that are slow call later, but do call
        utilisation = rate / self.saturated
        stable = closed or utilisation <= concurrency.STABLE_BELOW
        shares = [np.quantile(times, list(QUANTILES.values())) if stable else np.full(3, np.inf)
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
    begin, end = np.nanquantile(done.arrival, [WARM_UP, 1 - COOL_DOWN])
    counted = (done.arrival >= begin) & (done.arrival <= end) & ~np.isnan(done.finished)
    ttft = (done.first_token - done.arrival + handling)[counted]
    several = counted & (output > 1)
    tpot = (done.finished - done.first_token)[several] / (output[several] - 1)
    return ttft, tpot, counted.sum() / max(end - begin, 1e-12)


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
    engine = serving.engine(served, i, step, prefill)
    requests = serving.requests(served, i, calls, prefill)
    rate, wall = saturated(engine, requests)
    think = getattr(served.team.workload.arrivals, "think_time", np.nan)
    request_time = float(served.group.coefficient["request_time"][i])
    part = serving.take(served, i)
    return Replica(engine, requests, calls, part, prefill, request_time, think, rate, wall)


def saturated(engine: simulation.Engine, requests: simulation.Requests) -> tuple[float, str]:
    """
    Rate with everybody waiting, and what makes it.

    Parameters
    ----------
    engine, requests
        Replica and calls; what a session finds in the cache is found.

    Returns
    -------
    rate : float
        [1/s]
    wall : str
        kv_cache, sequences or compute.
    """
    places = len(engine.step_time)
    count = min(len(requests.prompt), int(np.clip(8 * places, 600, 3000)))
    part = simulation.Requests(*(values[:count] for values in requests))
    every = np.arange(count)
    part = part._replace(
        arrival=np.zeros(count), cached=part.history, work=part.work_after,
        successor=np.full(count, simulation.NONE), pause=0.0 * every,
    )  # fmt: skip
    done = simulation.simulate(part, engine)
    begin, end = np.nanquantile(done.finished, [0.3, 0.9])
    running = float(done.running_time[0] / done.busy[0])
    if running > 0.9 * places:
        wall = "sequences"
    elif engine.blocks and done.peak_blocks[0] > 0.9 * engine.blocks:
        wall = "kv_cache"
    else:
        wall = "compute"
    return float(0.6 * count / (end - begin)), wall


def compiled() -> simulation.Outcome:
    """Serve one call, so that the scheduler is compiled now and nobody waits for it later."""
    one, zero = np.array([1]), np.zeros(1)
    table, contexts = np.full((1, 2), 0.01), np.array([0.0, 1.0])
    engine = simulation.Engine(table, contexts, 0.0, 1.0, 0.0, 1, 0, 16, True)
    none = np.array([simulation.NONE])
    call = simulation.Requests(zero, one, one, 0 * one, 0 * one, zero, zero, none, zero)
    return simulation.simulate(call, engine)
