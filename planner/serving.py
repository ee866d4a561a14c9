"""A deployment under a team's workload, described once for both engines of latency.

The closed forms of ``concurrency`` prune and cross-check thousands of deployments; the event
simulation decides among the best. Both take places, cache, token budget and step costs from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from planner import coefficients, concurrency, estimate, memory, simulation, workload
from planner.steps import Steps
from planner.team import Team

MOST_SEQUENCES = {
    "vllm": 256, "sglang": 256, "tensorrt-llm": 256, "llama.cpp": 32, "ik_llama.cpp": 32,
}  # fmt: skip
STATIC = ("llama.cpp", "ik_llama.cpp")  # a fixed number of slots, each with its whole context
STEP_TOKENS = 8192  # tokens of one step: the default of vLLM's chunked prefill
STATIC_STEP_TOKENS = 2048  # llama.cpp's --batch-size, its default
BLOCK_TOKENS = 16  # vLLM's block of the KV cache
# Where a paged cache holds fewer sequences than this, the closed forms do not predict the queue for
# it well (`concurrency.VALIDITY`), so they are held to where hardly anybody queues.
FEW_SEQUENCES, FEW_UTILISATION = 30, 0.5
CONTEXT_POINTS = 14  # of the step table; between them the step is linear in the context
# A request that finds others at work waits half a step on average for the running one to end, and
# its own step decodes the others too: this part of the fitted `steps_waited` the simulation has.
SIMULATED_STEPS = 1.5


@dataclass(frozen=True)
class Serving:
    """
    N deployments that fit, under one workload.

    Parameters
    ----------
    group : Replicas
        N replicas.
    team : Team
        Whose workload.
    places : ndarray
        Sequences at once: engine setting, or llama.cpp's slots. [sequence]
    tokens : ndarray
        Cache of one replica at the mean context; infinite where every slot has its own. [token]
    static : ndarray of bool
        Slots instead of a paged cache.
    context : float
        Mean context of a sequence in decode. [token]
    """

    group: estimate.Replicas
    team: Team
    places: np.ndarray
    tokens: np.ndarray
    static: np.ndarray
    context: float


def most_sequences(group):
    """Sequences that the engine of each replica runs at once by its own setting. [sequence]"""
    engines = group.labels["engine"].to_numpy()
    return np.array([MOST_SEQUENCES.get(name, np.nan) for name in engines])


def cache(model, context):
    """Cache of one sequence of a context, on one device. [B]"""
    return memory.cache_bytes_per_sequence(
        context, model.kv_bytes, model.sliding_bytes, model.window, model.state_bytes
    )


def describe(group: estimate.Replicas, pool_bytes: np.ndarray, team: Team) -> Serving:
    """
    Describe deployments under a team's workload.

    Parameters
    ----------
    group : Replicas
        N deployments that fit.
    pool_bytes : ndarray, shape (N,)
        Memory for the cache of each device. [B]
    team : Team
        Its workload.

    Returns
    -------
    serving : Serving
    """
    load = team.workload
    context = float(
        concurrency.mean_context(load.prompt_tokens, load.output_tokens, load.variation)
    )
    places = most_sequences(group)
    static = group.labels["engine"].isin(STATIC).to_numpy()
    # llama.cpp reserves the whole context of every slot; the others page the cache
    whole = np.floor(pool_bytes / cache(group.profile, load.context_tokens))
    tokens = np.where(static, np.inf, context * pool_bytes / cache(group.profile, context))
    places = np.where(static, np.clip(whole, 1.0, places), places)
    return Serving(group, team, places, tokens, static, context)


def hosted(option: pd.Series, team: Team) -> Serving:
    """One option of a plan that is owned or rented, under a team's workload."""
    known = tuple((name, option[name]) for name in estimate.COLUMNS if name in option.index)
    group = _replica(known, coefficients.load())
    return describe(group, np.array([option["pool_bytes"]], float), team)


@lru_cache(maxsize=64)
def _replica(known, constants):
    return estimate.replicas(pd.DataFrame({name: [value] for name, value in known}), constants)


def take(serving: Serving, i: int) -> Serving:
    """One of the deployments."""
    if len(serving.group) == 1:
        return serving
    rows = np.array([i])
    return replace(
        serving, group=serving.group.take(rows), places=serving.places[rows],
        tokens=serving.tokens[rows], static=serving.static[rows],
    )  # fmt: skip


@dataclass(frozen=True)
class Service:
    """
    What the closed forms of `concurrency` need to know about each deployment.

    Parameters
    ----------
    step_time : Steps
        Decode step of a batch size. [s]
    keywords : dict
        Remaining arguments of `concurrency.latency`. [s, token, sequence]
    alone : ndarray
        TTFT of a request that finds nobody. [s]
    request_time : ndarray
        Handling outside the accelerator, in every TTFT. [s]
    late_steps, late_work : ndarray
        Decode steps and prefill time that a first token waits for beside that, once others are
        at work; see `server_wait`. [step, s]
    headroom : ndarray
        Highest utilisation at which the closed forms are trusted. [fraction]
    """

    step_time: Steps
    keywords: dict
    alone: np.ndarray
    request_time: np.ndarray
    late_steps: np.ndarray
    late_work: np.ndarray
    headroom: np.ndarray

    def take(self, rows):
        """Some of the deployments."""
        arrays = {name: value[rows] for name, value in vars(self).items() if name not in
                  ("step_time", "keywords")}  # fmt: skip
        keywords = {
            name: value[rows] if np.ndim(value) else value for name, value in self.keywords.items()
        }
        return Service(self.step_time.take(rows, len(self.alone)), keywords, **arrays)

    def slower(self, step, prefill):
        """The same service with every step and prefill slower by these factors."""
        keywords = self.keywords | {
            "prefill_time": self.keywords["prefill_time"] * prefill,
            "prefill_alone": self.keywords["prefill_alone"] * prefill,
            "launch_time": self.keywords["launch_time"] * prefill,
            "recompute_time": self.keywords["recompute_time"] * prefill,
        }
        return replace(
            self,
            step_time=self.step_time.slower(step),
            keywords=keywords,
            alone=self.request_time + (self.alone - self.request_time) * prefill,
            late_work=self.late_work * prefill,
        )

    def rate(self, team, careful=True):
        """Largest rate within the limits; careful: only where the forms are trusted. [1/s]"""
        headroom = self.headroom if careful else 1.0
        middle = np.maximum(self.keywords["batch_limit"] / 2, 1.0)
        added = self.request_time + self.late_work + self.late_steps * self.step_time(middle)
        return concurrency.rate_within_slo(
            self.step_time,
            ttft_limit=np.maximum(team.slo.tail("ttft") - added, 0.0),
            tpot_limit=team.slo.tail("tpot"),
            utilisation_limit=np.minimum(team.policy.highest_utilisation, headroom),
            **self.keywords,
        )

    def peak(self):
        """Rate with everybody waiting. [1/s]"""
        return concurrency.saturated_rate(self.step_time, **self.keywords)

    def latency(self, rate):
        """Latencies at a rate. [s]"""
        seen = concurrency.latency(rate, self.step_time, **self.keywords)
        late = self.late_work + self.late_steps * self.step_time(np.maximum(seen.batch, 1.0))
        busy = 1 - np.exp(-seen.batch)  # somebody else is at work
        shares = {"mean": busy, "p50": busy > 0.5, "p95": busy > 0.05}
        return seen._replace(
            **{
                f"ttft_{q}": getattr(seen, f"ttft_{q}") + self.request_time + late * share
                for q, share in shares.items()
            }
        )


def closed(serving: Serving) -> Service:
    """
    The closed forms' view.

    Parameters
    ----------
    serving : Serving
        From `describe`.

    Returns
    -------
    service : Service
    """
    load, group, static = serving.team.workload, serving.group, serving.static
    fresh = load.prompt_tokens * (1 - load.cached_prompt_share)
    limit = batch_limit(serving)
    work, launch = estimate.prefill_parts(group, fresh, load.prompt_tokens - fresh)
    sharing = np.where(static, 1.0, group.coefficient["prefill_sharing"])
    context = serving.context
    crowded = serving.tokens / context < serving.places
    law = concurrency.tabulated(lambda n: estimate.decode_step_time(group, n, context), limit)
    keywords = {
        "prefill_time": work * sharing + launch,
        "prefill_alone": work + launch,
        "launch_time": launch,
        "attention": _attention(group, load.prompt_tokens, fresh),
        # a full cache preempts: each output pushes out as many tokens, whose prefill is lost
        "recompute_time": crowded * work * sharing * load.output_tokens / load.prompt_tokens,
        "cache_cv": crowded
        * concurrency.context_variation(
            load.prompt_tokens, load.output_tokens, load.variation, load.variation
        ),
        "output_tokens": load.output_tokens,
        "batch_limit": limit,
        "chunks": np.where(static, 0.0, fresh / STEP_TOKENS),
        "input_cv": load.variation,
        "output_cv": load.variation,
    }
    request_time = group.coefficient["request_time"]
    headroom = np.where(~static & (limit < FEW_SEQUENCES), FEW_UTILISATION, 1.0)
    alone = work + launch + request_time
    steps, share = _late(group.coefficient, slice(None))
    late = (np.where(static, 0.0, part) for part in (steps, share * work))
    return Service(law, keywords, alone, request_time, *late, headroom)


def batch_limit(serving: Serving) -> np.ndarray:
    """Sequences that decode together at most, by the closed forms. [sequence]"""
    load = serving.team.workload
    fresh = load.prompt_tokens * (1 - load.cached_prompt_share)
    return concurrency.batch_limit(
        serving.tokens, serving.context, serving.places,
        input_tokens=fresh, output_tokens=load.output_tokens,
        max_num_batched_tokens=np.where(serving.static, np.inf, STEP_TOKENS),
    )  # fmt: skip


def engine(serving: Serving, i: int, step: float = 1.0, prefill: float = 1.0) -> simulation.Engine:
    """
    The simulation's view of one deployment.

    Parameters
    ----------
    serving : Serving
        From `describe`.
    i : int
        Which.
    step, prefill : float
        Factors on every decode step and prefill, for the ends of a band. [1]

    Returns
    -------
    engine : simulation.Engine
        The step table holds what `estimate.decode_step_time` says for every batch size.
    """
    group, static = take(serving, i).group, bool(serving.static[i])
    load = serving.team.workload
    contexts = np.geomspace(64.0, max(load.context_tokens, 128.0), CONTEXT_POINTS - 1)
    window = float(group.profile.window[0])
    knots = [0.0, *contexts, *([window] if 0 < window < contexts[-1] else [])]
    contexts = np.unique(knots)
    batches = np.arange(1, int(serving.places[i]) + 1)[:, None]
    table = estimate.decode_step_time(group, batches, contexts[None])
    work, launch = estimate.prefill_parts(group, load.prompt_tokens * np.array([[1.0, 2.0]]))
    return simulation.Engine(
        table * step,
        contexts,
        float(launch[0, 0]) * prefill,
        1.0 if static else float(group.coefficient["prefill_sharing"][0]),
        _curvature(*work[0].tolist(), load.prompt_tokens),
        STATIC_STEP_TOKENS if static else STEP_TOKENS,
        0 if static else int(serving.tokens[i] // BLOCK_TOKENS),
        BLOCK_TOKENS,
        True,
    )


def server_wait(
    serving: Serving, i: int, engine: simulation.Engine, running: float, work: np.ndarray
) -> np.ndarray:
    """
    What a server adds to the first token of a request that finds others at work.

    Scheduling one step ahead, sampling, detokenising and streaming come after what the simulation
    knows; and the prompt's own first token waits for all of its work, of which the others notice
    only the share that the simulation counts.

    Parameters
    ----------
    serving : Serving
        From `describe`.
    i : int
        Which.
    engine : simulation.Engine
        Of that deployment.
    running : float
        Sequences that run, on average. [sequence]
    work : ndarray
        Prefill of each request, alone on the replica. [s]

    Returns
    -------
    wait : ndarray
        Beside ``request_time``; 0 for fixed slots. [s]
    """
    if serving.static[i]:
        return np.zeros(len(work))
    row = engine.step_time[min(max(round(running), 1), len(engine.step_time)) - 1]
    step = np.interp(serving.context, engine.contexts, row)
    steps, share = _late(serving.group.coefficient, i)
    return steps * step + share * work


def _late(known, i):
    """Steps, and share of its prefill, that a first token waits for once its prefill has begun."""
    steps = np.maximum(known["steps_waited"][i] - SIMULATED_STEPS, 0.0)
    return steps, 1.0 - np.minimum(known["prefill_sharing"][i], 1.0)


def _attention(group, prompt, fresh):
    """Part of the prefill that grows as the square of the prompt, over that which grows with it."""
    short, long = (
        estimate.prefill_parts(group, x * fresh, x * (prompt - fresh))[0] for x in (1.0, 2.0)
    )
    ratio = np.clip(long / short, 2.0, 3.5)
    return (ratio - 2) / (4 - ratio)


def _curvature(short, long, prompt):
    """How much faster than its length the work of a prompt grows: attention's share. [1/token]"""
    ratio = min(max(long / short, 2.0), 3.5)
    return (ratio - 2) / (prompt * (4 - ratio))


def requests(serving: Serving, i: int, stream: workload.Stream, prefill: float = 1.0):
    """
    A stream with the prefill work that one deployment has with it.

    Parameters
    ----------
    serving : Serving
        From `describe`.
    i : int
        Which.
    stream : workload.Stream
        What is asked, at one request a second; divide ``arrival`` by a rate.
    prefill : float
        Factor on every prefill. [1]

    Returns
    -------
    requests : simulation.Requests
    """
    group = take(serving, i).group

    def work(found):
        parts = estimate.prefill_parts(group, (stream.prompt - found)[None], found[None])
        return parts[0][0] * prefill

    first = work(stream.cached)
    same = np.array_equal(stream.cached, stream.history)
    return simulation.Requests(
        stream.arrival, stream.prompt, stream.output, stream.cached, stream.history,
        first, first if same else work(stream.history), stream.successor, stream.pause,
    )  # fmt: skip
