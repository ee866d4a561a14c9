"""Can this deployment do it: memory first, then speed alone, then speed under the team's load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from planner import bands, budget, concurrency, estimate, memory
from planner.team import Team

MOST_SEQUENCES = {
    "vllm": 256, "sglang": 256, "tensorrt-llm": 256, "llama.cpp": 32, "ik_llama.cpp": 32,
}  # fmt: skip
STATIC = ("llama.cpp", "ik_llama.cpp")  # a fixed number of slots, each with its whole context
JUDGED = (
    "weight_bytes", "overhead_bytes", "memory_bytes", "pool_bytes", "sequence_bytes", "sequences",
    "missing_bytes", "limit", "batch", "ttft_alone", "ttft_alone_low", "ttft_alone_high",
    "tpot_alone", "tpot_alone_low", "tpot_alone_high", "rate", "rate_low", "rate_high", "rate_peak",
)  # fmt: skip
STEP_TOKENS = 8192  # tokens of one step: the default of vLLM's chunked prefill
# Where a paged cache holds fewer sequences than this, queueing for it is not predicted well
# (`concurrency.VALIDITY`), so sizing stays where hardly anybody queues.
FEW_SEQUENCES, FEW_UTILISATION = 30, 0.5


def judge(table: pd.DataFrame, team: Team) -> pd.DataFrame:
    """
    Add memory, speed and load to deployments, and the limit that stops each.

    Parameters
    ----------
    table : DataFrame
        From `options.grid`.
    team : Team
        Its workload, limits of response time and highest utilisation.

    Returns
    -------
    judged : DataFrame
        The same rows with: weight_bytes, overhead_bytes, pool_bytes, memory_bytes, missing_bytes
        (of one device or server) [B], sequences (of the full context) [sequence]; ttft_alone,
        tpot_alone [s]; rate, rate_low, rate_high (within the limits, one replica) [1/s];
        rate_peak (unlimited waiting) [1/s]; batch [sequence]; limit (memory, kv_cache, ttft, tpot,
        load or none).
    """
    if table.empty:
        return table.reindex(columns=[*table.columns, *JUDGED])
    group = estimate.replicas(table)
    judged = _memory(table, group, team)
    fits = np.flatnonzero((judged["limit"] == "none") & (group.reason == ""))
    answered = _speed(judged.iloc[fits], group.take(fits), team)
    for name in answered.columns:
        if name not in judged:
            judged[name] = np.nan
        judged.iloc[fits, judged.columns.get_loc(name)] = answered[name].to_numpy()
    return judged


def _memory(table, group, team):
    """Weights, overheads and cache of one device (GPU) or server (CPU, unified memory)."""
    divided = budget.memory_budget(
        group,
        max_num_seqs=table["engine"].map(MOST_SEQUENCES).to_numpy(),
        max_num_batched_tokens=STEP_TOKENS,
        max_model_len=team.workload.context_tokens,
        memory_size=table["memory"].to_numpy(),
    )
    model = group.profile
    one = _cache(model, team.workload.context_tokens)
    room = divided["pool_bytes"]
    return table.assign(
        weight_bytes=divided["weight_bytes"],
        overhead_bytes=divided["overhead_bytes"],
        memory_bytes=divided["memory_bytes"],
        pool_bytes=room,
        sequence_bytes=one,
        sequences=np.floor(np.maximum(room, 0) / one),
        missing_bytes=np.maximum(one - room, 0),
        limit=np.select([room <= 0, room < one], ["memory", "kv_cache"], "none"),
    )


def _cache(model, context):
    return memory.cache_bytes_per_sequence(
        context, model.kv_bytes, model.sliding_bytes, model.window, model.state_bytes
    )


@dataclass(frozen=True)
class Service:
    """
    What the closed forms of `concurrency` need to know about each deployment.

    Parameters
    ----------
    step_time : callable
        Decode step of a batch size. [s]
    keywords : dict
        Remaining arguments of `concurrency.latency`. [s, token, sequence]
    alone : ndarray
        TTFT of a request that finds nobody. [s]
    headroom : ndarray
        Highest utilisation at which the closed forms are trusted. [fraction]
    """

    step_time: Callable
    keywords: dict
    alone: np.ndarray
    headroom: np.ndarray

    def slower(self, step, prefill):
        """The same service with every step and prefill slower by these factors."""
        keywords = self.keywords | {
            "prefill_time": self.keywords["prefill_time"] * prefill,
            "prefill_alone": self.keywords["prefill_alone"] * prefill,
        }
        return replace(
            self,
            step_time=lambda n: self.step_time(n) * step,
            keywords=keywords,
            alone=self.alone * prefill,
        )

    def rate(self, team):
        """Largest rate within the team's limits. [1/s]"""
        return concurrency.rate_within_slo(
            self.step_time,
            ttft_limit=team.slo.ttft_p95,
            tpot_limit=team.slo.tpot_p95,
            utilisation_limit=np.minimum(team.policy.highest_utilisation, self.headroom),
            **self.keywords,
        )

    def latency(self, rate):
        """Latencies at a rate. [s]"""
        return concurrency.latency(rate, self.step_time, **self.keywords)


def service(group: estimate.Replicas, pool_bytes: np.ndarray, team: Team) -> Service:
    """
    Describe deployments under a team's workload for the closed forms.

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
    service : Service
    """
    load = team.workload
    context = concurrency.mean_context(load.prompt_tokens, load.output_tokens, load.variation)
    fresh = load.prompt_tokens * (1 - load.cached_prompt_share)
    engine = group.labels["engine"]
    slots = engine.map(MOST_SEQUENCES).to_numpy(float)
    static = engine.isin(STATIC).to_numpy()
    # llama.cpp reserves the whole context of every slot; the others page the cache
    whole = np.floor(pool_bytes / _cache(group.profile, load.context_tokens))
    tokens = context * pool_bytes / _cache(group.profile, context)
    slots = np.where(static, np.minimum(slots, whole), slots)
    limit = concurrency.batch_limit(
        np.where(static, np.inf, tokens), context, slots,
        input_tokens=fresh, output_tokens=load.output_tokens,
        max_num_batched_tokens=np.where(static, np.inf, STEP_TOKENS),
    )  # fmt: skip
    work, launch = estimate.prefill_parts(group, fresh, load.prompt_tokens - fresh)
    sharing = np.where(static, 1.0, group.coefficient["prefill_sharing"])
    law = concurrency.tabulated(lambda n: estimate.decode_step_time(group, n, context), limit)
    keywords = {
        "prefill_time": work * sharing + launch,
        "prefill_alone": work + launch,
        "output_tokens": load.output_tokens,
        "batch_limit": limit,
        "chunks": np.where(static, 0.0, fresh / STEP_TOKENS),
        "input_cv": load.variation,
        "output_cv": load.variation,
    }
    few = ~static & (limit < FEW_SEQUENCES)
    return Service(law, keywords, work + launch, np.where(few, FEW_UTILISATION, 1.0))


def _bands(group):
    """
    Factors from predicted times to the ends of their bands.

    The speed of llama.cpp was measured one sequence at a time, in tokens a second: there a slow
    end of speed is a long end of time.
    """
    labels = group.labels[["kind", "engine", "device_id"]]
    distinct = labels.drop_duplicates()
    found = {}
    for key in distinct.itertuples(index=False, name=None):
        if key[1] in STATIC:
            speeds = bands.band("decode_tok_s_per_seq", *key), bands.band("prefill_tok_s", *key)
            pairs = [(1 / high, 1 / low) for low, high in speeds]
        else:
            pairs = [bands.band("tpot_ms", *key), bands.band("ttft_ms", *key)]
        found[key] = (*pairs[0], *pairs[1])
    rows = [found[key] for key in labels.itertuples(index=False, name=None)]
    step_low, step_high, first_low, first_high = np.array(rows, dtype=float).reshape(-1, 4).T
    return (step_low, first_low), (step_high, first_high)


def _speed(rows, group, team):
    offered = service(group, rows["pool_bytes"].to_numpy(), team)
    limit = offered.keywords["batch_limit"]
    alone, step = offered.alone, offered.step_time(np.ones(len(rows)))
    fast, slow = _bands(group)
    floor = estimate.decode_step_time(group.ideal(), 1, 0)
    rate = offered.rate(team)
    low, high = np.zeros_like(rate), np.zeros_like(rate)
    able = np.flatnonzero(rate > 0)
    if able.size:
        part = service(group.take(able), rows["pool_bytes"].to_numpy()[able], team)
        low[able] = part.slower(slow[0][able], slow[1][able]).rate(team)
        high[able] = part.slower(fast[0][able], fast[1][able]).rate(team)
    peak = concurrency.capacity(
        offered.step_time, offered.keywords["prefill_time"], team.workload.output_tokens, limit
    )
    return pd.DataFrame(
        {
            "batch": limit,
            "ttft_alone": alone,
            "ttft_alone_low": alone * fast[1],
            "ttft_alone_high": alone * slow[1],
            "tpot_alone": step,
            "tpot_alone_low": np.maximum(step * fast[0], floor),
            "tpot_alone_high": step * slow[0],
            "rate": rate,
            "rate_low": np.minimum(low, rate),
            "rate_high": np.maximum(high, rate),
            "rate_peak": peak,
            "limit": np.select(
                [alone > team.slo.ttft_p95, step > team.slo.tpot_p95, rate <= 0],
                ["ttft", "tpot", "load"],
                "none",
            ),
        }
    )


def mean_cache(option: pd.Series, team: Team) -> float:
    """Cache of one sequence of the team's mean context, on one device of an option. [B]"""
    load = team.workload
    context = concurrency.mean_context(load.prompt_tokens, load.output_tokens, load.variation)
    group = estimate.replicas(option.to_frame().T.infer_objects())
    return float(_cache(group.profile, context)[0])


def serve(option: pd.Series, team: Team, times: int = 1) -> Service:
    """
    One option of a plan under its team's workload, to be asked at several rates.

    Parameters
    ----------
    option : Series
        A row of ``plan.options`` that is owned or rented.
    team : Team
        Its workload.
    times : int
        Number of rates to be asked at once.

    Returns
    -------
    service : Service
    """
    rows = pd.concat([option.to_frame().T.infer_objects()] * times, ignore_index=True)
    return service(estimate.replicas(rows), rows["pool_bytes"].to_numpy(float), team)
