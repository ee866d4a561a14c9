"""Can this deployment do it: memory first, then speed alone, then speed under the team's load."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import bands, budget, concurrency, estimate, options, serving
from planner.options import Deployments, Question
from planner.serving import STATIC, STEP_TOKENS, Service
from planner.team import Team

JUDGED = (
    "weight_bytes", "overhead_bytes", "memory_bytes", "pool_bytes", "sequence_bytes", "sequences",
    "missing_bytes", "limit", "batch", "ttft_alone", "ttft_alone_low", "ttft_alone_high",
    "tpot_alone", "tpot_alone_low", "tpot_alone_high", "rate", "rate_low", "rate_high", "rate_peak",
)  # fmt: skip


def judge(table: pd.DataFrame | Deployments, team: Team, careful: bool = True) -> pd.DataFrame:
    """
    Add memory, speed and load to deployments, and the limit that stops each.

    Parameters
    ----------
    table : DataFrame or Deployments
        From `options.grid` or `options.deployments`.
    team : Team
        Its workload, limits of response time and highest utilisation.
    careful : bool
        Keep deployments with little cache at half their load, where the closed forms hold; not
        needed where a simulation decides afterwards.

    Returns
    -------
    judged : DataFrame
        The same rows with: weight_bytes, overhead_bytes, pool_bytes, memory_bytes, missing_bytes
        (of one device or server) [B], sequences (of the full context) [sequence]; ttft_alone,
        tpot_alone [s]; rate, rate_low, rate_high (within the limits, one replica) [1/s];
        rate_peak (unlimited waiting) [1/s]; batch [sequence]; limit (memory, kv_cache, ttft, tpot,
        load or none).
    """
    given = table if isinstance(table, Deployments) else options.described(table)
    if given.key is None:
        return _judge(given, team, careful)
    load = team.workload
    key = (
        given.key, careful, team.slo, team.policy.highest_utilisation, load.prompt_tokens,
        load.output_tokens, load.variation, load.context_tokens, load.cached_prompt_share,
    )  # fmt: skip
    return _judged(Question(key, (given, team, careful))).copy(deep=False)


@lru_cache(maxsize=4)
def _judged(question):
    """Calls, growth, prices and budget change nothing here: whoever moves those need not wait."""
    return _judge(*question.needs)


def _judge(given, team, careful):
    if given.table.empty:
        return given.table.reindex(columns=[*given.table.columns, *JUDGED])
    found = _memory(given, team)
    fits = np.flatnonzero((found["limit"] == "none") & (given.group.reason == ""))
    answered = _speed(found["pool_bytes"][fits], given.group.take(fits), team, careful)
    for name, values in answered.items():
        whole = found.setdefault(name, np.full(len(given.group), np.nan))
        whole[fits] = values
    return given.table.assign(**{name: values[given.replica] for name, values in found.items()})


def _memory(given, team):
    """Weights, overheads and cache of one device (GPU) or server (CPU, unified memory)."""
    group, context = given.group, team.workload.context_tokens
    divided = budget.memory_budget(
        group,
        max_num_seqs=serving.most_sequences(group),
        max_num_batched_tokens=STEP_TOKENS,
        max_model_len=context,
        memory_size=given.table["memory"].to_numpy()[given.first],
    )
    one, room = serving.cache(group.profile, context), divided["pool_bytes"]
    return {
        "weight_bytes": divided["weight_bytes"],
        "overhead_bytes": divided["overhead_bytes"],
        "memory_bytes": divided["memory_bytes"],
        "pool_bytes": room,
        "sequence_bytes": one,
        "sequences": np.floor(np.maximum(room, 0) / one),
        "missing_bytes": np.maximum(one - room, 0),
        "limit": np.select([room <= 0, room < one], ["memory", "kv_cache"], "none"),
    }


def _bands(group):
    """
    Factors from predicted times to the ends of their bands.

    The speed of llama.cpp was measured one sequence at a time, in tokens a second: there a slow
    end of speed is a long end of time.
    """
    names, place = ("kind", "engine", "device_id"), {}
    keys = zip(*(group.labels[name].to_numpy() for name in names), strict=True)
    row = np.array([place.setdefault(key, len(place)) for key in keys], int)
    found = []
    for key in place:
        if key[1] in STATIC:
            speeds = bands.band("decode_tok_s_per_seq", *key), bands.band("prefill_tok_s", *key)
            pairs = [(1 / high, 1 / low) for low, high in speeds]
        else:
            pairs = [bands.band("tpot_ms", *key), bands.band("ttft_ms", *key)]
        found.append((*pairs[0], *pairs[1]))
    ends = np.array(found, dtype=float).reshape(-1, 4)[row]
    step_low, step_high, first_low, first_high = ends.T
    return (step_low, first_low), (step_high, first_high)


def _speed(pool, group, team, careful):
    offered = serving.closed(serving.describe(group, pool, team))
    alone, step = offered.alone, offered.step_time(np.ones(len(pool)))
    fast, slow = _bands(group)
    floor = estimate.decode_step_time(group.ideal(), 1, 0)
    rate = offered.rate(team, careful)
    low, high = np.zeros_like(rate), np.zeros_like(rate)
    able = np.flatnonzero(rate > 0)
    # both ends at once: for a few hundred deployments numpy's calls cost more than its work
    factors = (np.append(*(end[able] for end in ends)) for ends in zip(slow, fast, strict=True))
    both = offered.take(np.tile(able, 2)).slower(*factors)
    low[able], high[able] = both.rate(team, careful).reshape(2, -1)
    return {
        "batch": offered.keywords["batch_limit"],
        "ttft_alone": alone,
        "ttft_alone_low": alone * fast[1],
        "ttft_alone_high": alone * slow[1],
        "tpot_alone": step,
        "tpot_alone_low": np.maximum(step * fast[0], floor),
        "tpot_alone_high": step * slow[0],
        "rate": rate,
        "rate_low": np.minimum(low, rate),
        "rate_high": np.maximum(high, rate),
        "rate_peak": offered.peak(),
        "limit": np.select(
            [alone > team.slo.tightest("ttft"), step > team.slo.tightest("tpot"), rate <= 0],
            ["ttft", "tpot", "load"],
            "none",
        ),
    }


def mean_cache(option: pd.Series, team: Team) -> float:
    """Cache of one sequence of the team's mean context, on one device of an option. [B]"""
    load = team.workload
    context = concurrency.mean_context(load.prompt_tokens, load.output_tokens, load.variation)
    group = serving.hosted(option, team).group
    return float(serving.cache(group.profile, context)[0])


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
        The closed forms; `load` has the simulation.
    """
    group = serving.hosted(option, team).group.take(np.zeros(times, int))
    pool = np.full(times, option["pool_bytes"], float)
    return serving.closed(serving.describe(group, pool, team))
