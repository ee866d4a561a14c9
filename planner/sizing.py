"""The most that a deployment carries within a team's limits.

`carried` answers for one replica, `decide` for the best options of a plan. The closed forms give
the first guess, the simulation the answer.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd

from planner import estimate, load, serving
from planner.load import QUANTILES, Replica, Seen
from planner.team import Team

LEAST_CALLS, MOST_CALLS = 5000, 15_000
MEAN_LATENCIES = 50  # a run lasts at least so many
TOLERANCE = 0.02  # of the rate
QUIET = 0.02  # of a load: hardly anybody meets another call
LIMITS = tuple(f"{what}_{q}" for what in ("ttft", "tpot") for q in QUANTILES)


class Carried(NamedTuple):
    """
    The most that one replica carries.

    Parameters
    ----------
    load, rate : float
        Largest load within the limits, and its calls a second. [1/s or user, 1/s]
    saturated : float
        Calls a second with everybody waiting. [1/s]
    binds : str
        What stops more: a limit such as ttft_p95, or headroom (the highest utilisation).
    wall : str
        What saturation is made of: kv_cache, sequences or compute.
    seen : Seen
        At that load.
    """

    load: float
    rate: float
    saturated: float
    binds: str
    wall: str
    seen: Seen


def broken(seen: Seen, team: Team) -> tuple[float, str]:
    """
    How far a load is beyond the limits.

    Parameters
    ----------
    seen : Seen
        At some load.
    team : Team
        Its limits.

    Returns
    -------
    excess : float
        Largest time over its limit; up to 1 all are kept. [1]
    binds : str
        Which one that is.
    """
    over = {name: getattr(seen, name) / getattr(team.slo, name) for name in LIMITS}
    over["headroom"] = seen.utilisation / team.policy.highest_utilisation
    binds = max(over, key=over.get)
    return over[binds], binds


def carried(one: Replica, team: Team, guess: float = np.nan) -> Carried:
    """
    The largest load at which every percentile keeps its limit.

    Parameters
    ----------
    one : Replica
        From `load.replica`.
    team : Team
        Its limits and highest utilisation.
    guess : float
        Where to begin, such as the closed forms' answer. [1/s]

    Returns
    -------
    carried : Carried
        Rate 0 where a single call misses a limit.

    Notes
    -----
    The same calls at every load (common random numbers).
    """
    top = team.policy.highest_utilisation * one.saturated
    start = min(guess, top) if guess > 0 else 0.5 * top
    if np.isfinite(one.think_time):
        start, top = max(start * (one.think_time + 1.0), 1.0), np.inf
    most, seen, binds = _search(one, team, start, top, TOLERANCE)
    rate = seen.rate if np.isfinite(one.think_time) and most > 0 else most
    return Carried(most, rate, one.saturated, binds, one.wall, seen)


def _search(one, team, start, top, tolerance):
    """Largest load within the limits: along the slope of log excess, then between two loads."""
    whole = np.isfinite(one.think_time)
    tried, low, high, binds = {}, 0.0, np.inf, "headroom"
    load = min(start, top)
    for _ in range(16):
        load = max(round(load), 1) if whole else load
        if load in tried:
            break
        seen = one.see(load)
        excess, limit = broken(seen, team)
        tried[load] = excess, seen
        if excess <= 1:
            low = load
            if load >= top or excess > 1 - tolerance:
                binds = limit
                break
        else:
            high, binds = load, limit
        if high <= low * (1 + tolerance) or high <= QUIET * start:
            break
        load = min(_next(tried, low, high), top)
    return low, tried[low if low > 0 else min(tried)][1], binds


def _next(tried, low, high):
    if low > 0 and np.isfinite(high):
        below, above = np.log(tried[low][0]), np.log(tried[high][0])
        if not np.isfinite(above):
            return np.sqrt(low * high)
        if len(tried) % 3 == 0:  # where latency rises late, the chord alone would creep
            return np.sqrt(low * high)
        share = (below + 0.005) / (below - above)  # a hair inside the limit
        return low * (high / low) ** np.clip(share, 0.1, 0.9)
    load = low if low > 0 else high
    excess = tried[load][0]
    if len(tried) == 2 and load == high and excess > 1.05:
        return QUIET * max(tried)  # is it ever kept, with nobody else there?
    if not np.isfinite(excess):
        return load / 2
    slope = 1.0
    if len(tried) > 1:
        a, b = sorted(tried)[-2:] if low > 0 else sorted(tried)[:2]
        slope = np.log(tried[b][0] / tried[a][0]) / np.log(b / a)
    if not slope > 0.3:  # flat latencies rise late: go further
        return load * (2.0 if low > 0 else 0.5)
    return load * np.clip((0.99 / excess) ** (1 / min(slope, 3.0)), 0.4, 2.5)


def calls_needed(served: serving.Serving, rate: np.ndarray) -> np.ndarray:
    """Calls of a run that lasts long enough: by Little's law, so many times those inside. [call]"""
    inside = serving.closed(served).latency(np.nan_to_num(rate)).batch
    rounded = 1000 * np.ceil(MEAN_LATENCIES * inside / 1000)  # runs of one length share their calls
    return np.clip(rounded, LEAST_CALLS, MOST_CALLS).astype(int)


def threads(work, jobs) -> list:
    """Results of many simulations; the compiled code runs on every core at once."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, jobs))


def one(option: pd.Series, team: Team, seed: int = 0, end: str = "") -> Replica:
    """
    One replica of an option of a plan, with the team's calls.

    Parameters
    ----------
    option : Series
        A row that is owned or rented.
    team : Team
        Its workload.
    seed : int
        Of the calls.
    end : str
        ``_high`` for the long end of the band of times, ``_low`` for the short one.

    Returns
    -------
    replica : Replica
    """
    row = option.to_frame().T.infer_objects().reset_index(drop=True)
    pool = row["pool_bytes"].to_numpy(float)
    served = serving.describe(estimate.replicas(row), pool, team)
    decided = option.get("decided_by") == "simulation"
    rate = float(option["rate_closed"] if decided else option["rate"])
    calls = load.stream(team, calls_needed(served, np.array([rate]))[0], seed)
    return load.replica(served, 0, calls, *_factors(option, end))


def _factors(option, end):
    """From the middle of the band of steps and of prefills to one of its ends."""
    if not end:
        return 1.0, 1.0
    return tuple(float(option[f"{t}_alone{end}"] / option[f"{t}_alone"]) for t in ("tpot", "ttft"))


KEYS = ["model_id", "weight_format", "engine", "device_id", "tp", "pool_bytes"]
DECIDED = (
    "rate", "rate_low", "rate_high", "rate_closed", "saturated", "binds", "wall", "decided_by",
)  # fmt: skip


def decide(options: pd.DataFrame, team: Team, seed: int = 0) -> pd.DataFrame:
    """
    Rates of options by simulation.

    Parameters
    ----------
    options : DataFrame
        Rows of a plan that are owned or rented and whose limits hold alone.
    team : Team
        Its workload and limits.
    seed : int
        Of the calls.

    Returns
    -------
    decided : DataFrame
        One row per distinct replica with `KEYS` and `DECIDED`: rate within the limits in the
        middle and at both ends of the band of speed, what the closed forms said, rate when
        saturated [1/s], binds and wall as in `Carried`.
    """
    distinct = options.drop_duplicates(KEYS).reset_index(drop=True)
    pool = distinct["pool_bytes"].to_numpy(float)
    served = serving.describe(estimate.replicas(distinct), pool, team)
    needed = calls_needed(served, distinct["rate"].to_numpy(float))
    streams = {n: load.stream(team, n, seed) for n in {LEAST_CALLS, *needed.tolist()}}

    def answer(i):
        row = distinct.iloc[i]
        one = load.replica(served, i, streams[int(needed[i])])
        middle = carried(one, team, row["rate"])
        # the slow end decides whether an option is certain; the fast end only bounds the cost
        # below. Where the closed forms missed the middle, they miss the slow end likewise.
        missed = middle.rate / row["rate"] if row["rate"] > 0 and middle.rate > 0 else 1.0
        slow = load.replica(served, i, streams[LEAST_CALLS], *_factors(row, "_high"))
        return middle, carried(slow, team, row["rate_low"] * missed)

    found = threads(answer, range(len(distinct)))
    rows = []
    for i in range(len(distinct)):
        middle, slow = found[i]
        before = distinct.iloc[i]
        fast = before["rate_high"] / before["rate"] if before["rate"] > 0 else 1.0
        rows.append({
            "rate": middle.rate, "rate_low": min(slow.rate, middle.rate),
            "rate_high": middle.rate * max(fast, 1.0), "rate_closed": before["rate"],
            "saturated": middle.saturated, "binds": middle.binds, "wall": middle.wall,
            "decided_by": "simulation",
        })  # fmt: skip
    return pd.concat([distinct[KEYS], pd.DataFrame(rows)], axis=1)
