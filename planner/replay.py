"""Measured load tests, run again by the event simulation.

The questions are those of `cases`; the closed form answers them there, the simulation here, with
the same constants and step costs, so that the two can be compared at every level of load. A load
test is more than its load: it sends a certain number of requests of certain lengths, begins with
all users at once, and counts that beginning. `protocol` says how each was run.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd

from planner import load, serving, simulation, workload
from planner.cases import Part
from planner.estimate import Replicas

REGIMES = ("closed", "burst")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
LEVELS = {"1": 1, "2-8": 8, "9-64": 64, "above 64": np.inf}  # most users of each level of load
# InferenceMAX, whose runs are most of the measured ones, sends ten requests per user, with lengths
# between 80 and 100 % of the named ones (README of its repository: --num-prompts CONC * 10,
# RANDOM_RANGE_RATIO 0.8). The constants take the named length for the mean, so it is the mean here.
REQUESTS_PER_USER = 10
VARIED, SPREAD = "aiconfigurator", 1 / 9  # word of the source; most a length is off its mean [1]
LEAST_REQUESTS, OPEN_REQUESTS = 20, 2000


@dataclass(frozen=True)
class Run:
    """
    One load test, simulated.

    Parameters
    ----------
    ttft, tpot : ndarray
        Of the requests that the test counts. [s]
    request_rate, output_rate : float
        Over the whole test. [1/s], [token/s]
    """

    ttft: np.ndarray
    tpot: np.ndarray
    request_rate: float
    output_rate: float


def protocol(rows: pd.DataFrame) -> pd.DataFrame:
    """
    How each measured row was run.

    Parameters
    ----------
    rows : DataFrame
        ``concurrency``, ``request_rate``, ``source`` and ``notes``, as far as known.

    Returns
    -------
    protocol : DataFrame
        ``count`` [request]; ``prompts``, ``answers``: most that a length is off its mean [1]; NaN
        where answers end by themselves, as far from each other as ``length_margin`` says.
    """
    blank = pd.Series("", index=rows.index)
    notes, source = (rows.get(name, blank).fillna("") for name in ("notes", "source"))
    users = pd.to_numeric(rows.get("concurrency", blank), errors="coerce")
    told = pd.to_numeric(notes.str.extract(r"(\d+) prompts")[0])
    count = told.fillna((REQUESTS_PER_USER * users).clip(lower=LEAST_REQUESTS))
    count = count.mask(notes.str.contains("sent at once"), users).fillna(OPEN_REQUESTS)
    spread = np.where(source.str.contains(VARIED), SPREAD, 0.0)
    answers = np.where(notes.str.contains("max_tokens was"), np.nan, spread)
    return pd.DataFrame({"count": count.astype(int), "prompts": spread, "answers": answers})


def level(users) -> np.ndarray:
    """
    Level of load of each row; empty where the number of users is not known.

    Parameters
    ----------
    users : array_like
        [user]

    Returns
    -------
    level : ndarray of str

    Examples
    --------
    >>> level([1, 8, 9, 512, np.nan]).tolist()
    ['1', '2-8', '9-64', 'above 64', '']
    """
    users = np.asarray(users, dtype=float)
    at = np.searchsorted(list(LEVELS.values()), users)
    return np.array([*LEVELS, ""], dtype=object)[np.where(np.isnan(users), len(LEVELS), at)]


def predict(parts: list[Part], rows: pd.DataFrame) -> np.ndarray:
    """
    What the simulation says to every question about latency or throughput at a load.

    Parameters
    ----------
    parts : list of Part
        From ``cases.speed_parts(rows)``.
    rows : DataFrame
        The table they came from.

    Returns
    -------
    predicted : ndarray
        In the unit of each metric; NaN for other questions.
    """
    how = protocol(rows.reset_index(drop=True))
    predicted = np.full(len(rows), np.nan)
    for part in parts:
        if part.regime not in REGIMES:
            continue
        first, same = _distinct(part, how.iloc[part.rows])
        runs = [
            run(part.group.take(np.array([i])), part.work.iloc[i], how.iloc[part.rows[i]],
                burst=part.regime == "burst")
            for i in first
        ]  # fmt: skip
        predicted[part.rows] = [
            _read(runs[k], question)
            for k, question in zip(same, part.work.to_dict("records"), strict=True)
        ]
    return predicted


def _distinct(part, how):
    """First of each distinct test, and which of them every question is about."""
    asked = part.work[["prompt", "output", "users", "arrivals", "limit"]]
    group = part.group
    numbers = [*group.profile, *group.hardware.values(), *group.coefficient.values()]
    table = np.column_stack([*numbers, asked.to_numpy(float), how.to_numpy(float)])
    engine = pd.factorize(group.labels["engine"])[0]
    table = np.column_stack([engine, np.nan_to_num(table, nan=-1.0, posinf=1e300)])
    _, first, same = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return first, same.ravel()


def _read(run, question):
    metric, statistic = question["metric"], question["statistic"]
    if metric in ("req_s", "output_tok_s_total"):
        return run.request_rate if metric == "req_s" else run.output_rate
    if metric == "total_tok_s":
        return run.request_rate * (question["prompt"] + question["output"])
    if metric == "decode_tok_s_per_seq":
        return float(1.0 / run.tpot.mean())
    times = 1e3 * (run.ttft if metric == "ttft_ms" else run.tpot)
    if not len(times):  # answers of one token have no time per token
        return np.nan
    quantile = QUANTILES.get(statistic)
    return float(times.mean() if quantile is None else np.quantile(times, quantile))


def run(group: Replicas, asked: pd.Series, how: pd.Series, burst: bool = False) -> Run:
    """
    Run one load test.

    Parameters
    ----------
    group : Replicas
        One replica.
    asked : Series
        ``prompt``, ``output`` [token], ``users``, ``arrivals`` [1/s], ``limit`` [sequence] of
        ``Part.work``. Users ask again when they have their answer; where ``arrivals`` is a number,
        requests come by themselves.
    how : Series
        From `protocol`.
    burst : bool
        All requests come at once.

    Returns
    -------
    run : Run
    """
    count, rate = int(how["count"]), float(asked["arrivals"])
    open_loop = rate > 0
    users = count if burst else int(asked["users"]) if asked["users"] >= 1 else 1
    margin = float(group.coefficient["length_margin"][0]) - 1.0
    answers = np.clip(margin, 0.0, 0.9) if np.isnan(how["answers"]) else how["answers"]
    prompt = _lengths(count, asked["prompt"], how["prompts"], seed=0)
    output = _lengths(count, asked["output"], answers, seed=1)
    served = _serving(group, asked, np.nan if open_loop else users, prompt, output)
    engine = serving.engine(served, 0)
    calls = workload.independent(np.zeros(count), prompt, output)
    if open_loop:
        calls = calls._replace(arrival=workload.arrivals(count) / rate)
    elif not burst:
        calls = workload.users(calls, users, 0.0)
    requests = serving.requests(served, 0, calls)
    handling = float(group.coefficient["request_time"][0])
    if not open_loop:
        requests = requests._replace(pause=np.full(count, handling))
    done = simulation.simulate(requests, engine)
    running = done.running_time[0] / max(done.busy[0], 1e-12)
    wait = serving.server_wait(served, 0, engine, running, requests.work)
    late = handling + wait * (done.admitted > done.arrival)  # the first token alone, not the last
    if open_loop:  # the middle of a run that goes on
        ttft, tpot, answered = load.latencies(done, output, late)
        return Run(ttft, tpot, answered, answered * output.mean())
    ended = ~np.isnan(done.finished)
    ttft = (done.first_token - done.arrival + late)[ended]
    several = ended & (output > 1)
    tpot = (done.finished - done.first_token)[several] / (output[several] - 1)
    lasted = np.nanmax(done.finished) + handling
    return Run(ttft, tpot, ended.sum() / lasted, output[ended].sum() / lasted)


def _lengths(count, mean, spread, seed):
    """Stratified lengths, evenly spread about their mean. [token]"""
    strata = np.random.default_rng(seed).permutation((np.arange(count) + 0.5) / count)
    return np.maximum(np.rint(mean * (1.0 + spread * (2.0 * strata - 1.0))), 1.0).astype(np.int64)


def _serving(group, asked, users, prompt, output):
    """The deployment as the planner describes one, under this test instead of a team's work."""
    engine, limit = group.labels["engine"].iloc[0], float(asked["limit"])
    places = serving.MOST_SEQUENCES.get(engine, 256) if np.isnan(users) else users
    static = engine in serving.STATIC
    if engine == "tensorrt-llm" or static:  # whole answers are set aside: a place is a cache
        places, limit = max(min(places, limit), 1.0), np.inf
    context = float(asked["prompt"] + 0.5 * asked["output"])  # as `limit` was counted
    longest = float((prompt + output).max() + serving.BLOCK_TOKENS)
    tokens = np.inf if static else np.clip(limit * context, longest, places * longest)
    work = SimpleNamespace(context_tokens=longest, prompt_tokens=float(asked["prompt"]))
    return serving.Serving(
        group, SimpleNamespace(workload=work), np.array([float(int(places))]),
        np.array([tokens]), np.array([static]), context,
    )  # fmt: skip
