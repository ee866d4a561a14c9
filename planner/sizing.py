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
NEAR = 0.9  # of the highest load: try that first
at_once = os.cpu_count()  # threads cost a sixth more: 1 where other processes use the cores
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
    top = team.policy.highest_utilisation * one.saturated * (1 - 1e-9)  # no rounding above it
    start = min(guess, top) if guess > 0 else 0.5 * top
    full = one.saturated
    if np.isfinite(one.think_time):
        full *= one.think_time + 1.0
        start, top = max(start * (one.think_time + 1.0), 1.0), np.inf
    most, seen, binds = _search(one, team, top if start > NEAR * top else start, top, full)
    rate = seen.rate if np.isfinite(one.think_time) and most > 0 else most
    return Carried(most, rate, one.saturated, binds, one.wall, seen)


def _search(one, team, start, top, full):
    """Largest load within the limits, by secants of log excess over log load."""
    whole = np.isfinite(one.think_time)
    tried, low, high, binds = {}, 0.0, np.inf, "headroom"
    load = start
    for _ in range(16):
        load = max(round(load), 1) if whole else load
        if load in tried:
            break
        seen = one.see(load)
        excess, limit = broken(seen, team)
        tried[load] = excess, limit, seen
        if excess <= 1:
            low = load
            near = excess > 1 - TOLERANCE * (_slope(tried, load) or 1.0)
            if load >= top or (near and load > QUIET * start):
                binds = limit
                break
        else:
            high, binds = load, limit
        if high <= low * (1 + TOLERANCE) or high <= QUIET * start:
            break
        load = min(_next(tried, low, high, full, QUIET * start), top)
    return low, tried[low if low > 0 else min(tried)][-1], binds


def _slope(tried, load):
    """Of log excess over log load, to the nearest load with the same limit; None without one."""
    excess, limit, _ = tried[load]
    others = [x for x in tried if x != load and tried[x][1] == limit and np.isfinite(tried[x][0])]
    if not others or not np.isfinite(excess):
        return None
    near = min(others, key=lambda x: abs(np.log(x / load)))
    slope = np.log(tried[near][0] / excess) / np.log(near / load)
    return float(np.clip(slope, 0.3, 4.0))  # where noise or a flat latency hides it


def _next(tried, low, high, full, quiet):
    load = min(tried, key=lambda x: abs(np.log(tried[x][0])))
    excess, used = tried[load][0], min(load / full, 0.8)
    if low > 0 and np.isfinite(high):
        # another limit at each end is a knee, which misleads secants; and none may creep
        if tried[low][1] != tried[high][1] or len(tried) % 4 == 0:
            return np.sqrt(low * high)
    elif low == 0 and quiet not in tried and excess * (1 - used * (len(tried) < 3)) > 1.05:
        return quiet  # more than a queue explains: is it ever kept, with nobody else there?
    if not np.isfinite(excess):
        return load / 2
    slope = _slope(tried, load) or max(3.0 * used, 0.3)  # as 144 searches had it
    load *= np.clip(excess ** (-1 / slope), 0.4, 2.5) * (1 - TOLERANCE / 2)
    margin = 1 + TOLERANCE / 2
    return np.clip(load, min(low * margin, np.sqrt(low * high)), high / margin) if low > 0 else load


def calls_needed(served: serving.Serving, rate: np.ndarray) -> np.ndarray:
    """Calls of a run that lasts long enough: by Little's law, so many times those inside. [call]"""
    inside = serving.closed(served).latency(np.nan_to_num(rate)).batch
    rounded = 1000 * np.ceil(MEAN_LATENCIES * inside / 1000)  # runs of one length share their calls
    return np.clip(rounded, LEAST_CALLS, MOST_CALLS).astype(int)


def threads(work, jobs) -> list:
    """Results of many simulations; the compiled code runs on as many cores as `at_once` says."""
    if at_once == 1:
        return [work(job) for job in jobs]
    with ThreadPoolExecutor(at_once) as pool:
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
    served = serving.hosted(option, team)
    decided = option.get("decided_by") == "simulation"
    rate = float(option["rate_closed"] if decided else option["rate"])
    calls = load.stream(team, calls_needed(served, np.array([rate]))[0], seed)
    return load.replica(served, 0, calls, *factors(option, end))


def factors(option, end):
    """Factors on decode steps and prefills: from the middle of the band to one of its ends. [1]"""
    if not end:
        return 1.0, 1.0
    return tuple(float(option[f"{t}_alone{end}"] / option[f"{t}_alone"]) for t in ("tpot", "ttft"))


TIMES = [f"{what}_alone{end}" for what in ("tpot", "ttft") for end in ("", "_low", "_high")]
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
    needed = [*estimate.COLUMNS, "pool_bytes", "rate", "rate_low", "rate_high", *TIMES]
    distinct = options[[name for name in needed if name in options]]
    distinct = distinct.drop_duplicates(KEYS).reset_index(drop=True)
    pool = distinct["pool_bytes"].to_numpy(float)
    served = serving.describe(estimate.replicas(distinct), pool, team)
    needed = calls_needed(served, distinct["rate"].to_numpy(float))
    asked = distinct.to_dict("records")
    streams = {n: load.stream(team, n, seed) for n in {LEAST_CALLS, *needed.tolist()}}

    def answer(i):
        row = asked[i]
        one = load.replica(served, i, streams[int(needed[i])])
        middle = carried(one, team, row["rate"])
        # the slow end decides whether an option is certain; the fast end only bounds the cost
        # below. Where the closed forms missed the middle, they miss the slow end likewise.
        missed = middle.rate / row["rate"] if row["rate"] > 0 and middle.rate > 0 else 1.0
        if needed[i] > LEAST_CALLS:
            one = one.asked(streams[LEAST_CALLS])
        slow = one.slower(*factors(row, "_high"))
        return middle, carried(slow, team, row["rate_low"] * missed)

    rows = []
    for before, (middle, slow) in zip(asked, threads(answer, range(len(asked))), strict=True):
        fast = before["rate_high"] / before["rate"] if before["rate"] > 0 else 1.0
        rows.append({
            "rate": middle.rate, "rate_low": min(slow.rate, middle.rate),
            "rate_high": middle.rate * max(fast, 1.0), "rate_closed": before["rate"],
            "saturated": middle.saturated, "binds": middle.binds, "wall": middle.wall,
            "decided_by": "simulation",
        })  # fmt: skip
    return pd.concat([distinct[KEYS], pd.DataFrame(rows)], axis=1)
