"""The calls of several teams in one hour, merged into one stream and served by one pool.

Every call keeps its own length and arrival. Turns of a session come as calls that find the turns
before them in the cache, and users who wait for their answers as calls that come by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from planner import concurrency, estimate, load, pooling, serving, simulation, sizing, workload
from planner.team import Slo, Team

LEAST_CALLS, MOST_CALLS = 6000, 15_000  # of a merged run
LEAST_OF_EACH = 60  # calls of a team, however small its share of the pool
SEEDS_APART = 10  # a stream takes a few seeds one after another


@dataclass(frozen=True)
class Crowd:
    """
    The calls of several teams in one hour, before it is known how many replicas serve them.

    Parameters
    ----------
    one : load.Replica
        The deployment and the merged calls at their own times.
    whose : ndarray of int
        Team of each call.
    teams : tuple of Team
        With their limits.
    rate : float
        All calls. [1/s]
    """

    one: load.Replica
    whose: np.ndarray
    teams: tuple[Team, ...]
    rate: float

    @property
    def headroom(self) -> float:
        """The highest utilisation that every team allows, and at which percentiles hold. [1]"""
        allowed = min(team.policy.highest_utilisation for team in self.teams)
        return min(allowed, concurrency.STABLE_BELOW)

    def least(self) -> int:
        """Replicas below which the load itself is too much. [replica]"""
        return max(
            int(np.ceil(self.rate / (self.headroom * self.one.saturated) - pooling.WHOLE)), 1
        )

    def kept(self, replicas: int) -> bool:
        """Whether every team's limits are kept on its own calls. [replica]"""
        return replicas >= self.least() and self.see(replicas)["excess"].max() <= 1

    def see(self, replicas: int) -> pd.DataFrame:
        """
        What each team sees of its own calls.

        Parameters
        ----------
        replicas : int
            [replica]

        Returns
        -------
        seen : DataFrame
            One row per team that calls: team, calls, the percentiles of `sizing.LIMITS` [s],
            excess (largest time over its limit) [1], binds (which), and seconds (of a replica,
            per call) [s].
        """
        done = self.one.at(1.0, replicas=replicas)
        handling, output = self.one.handling(done), self.one.calls.output
        seconds = pooling.busy_seconds(done, self.one.calls, self.one.engine.sharing)
        rows = []
        for team in np.unique(self.whose):
            mine = self.whose == team
            own = done._replace(**{
                name: getattr(done, name)[mine] for name in ("arrival", "first_token", "finished")
            })  # fmt: skip
            if done.rejected[mine].any():  # a call that can never fit keeps no limit
                times = dict.fromkeys(sizing.LIMITS, np.inf)
            else:
                ttft, tpot, _ = load.latencies(own, output[mine], handling[mine])
                times = dict(zip(sizing.LIMITS, _percentiles(ttft, tpot), strict=True))
            excess, binds = over(times, self.teams[team].slo)
            rows.append({
                "team": team, "calls": int(mine.sum()), **times, "excess": excess, "binds": binds,
                "seconds": float(seconds[mine].mean()),
            })  # fmt: skip
        return pd.DataFrame(rows)


def _percentiles(*times):
    """Of each kind of time, none of which need be known; in the order of `sizing.LIMITS`. [s]"""
    shares = list(load.QUANTILES.values())
    return [float(x) for part in times for x in np.quantile(part if part.size else [0.0], shares)]


def over(times: dict, slo: Slo) -> tuple[float, str]:
    """
    How far times are beyond their limits.

    Parameters
    ----------
    times : dict
        By the names of `sizing.LIMITS`. [s]
    slo : Slo
        [s]

    Returns
    -------
    excess : float
        Largest time over its limit. [1]
    binds : str
        Which one that is.
    """
    ratio = {name: times[name] / getattr(slo, name) for name in sizing.LIMITS}
    binds = max(ratio, key=ratio.get)
    return ratio[binds], binds


def crowd(
    option: pd.Series, together: Team, teams: Sequence[Team], rates: np.ndarray, end: str = ""
) -> Crowd:
    """
    Join a deployment to the calls that several teams have in one hour.

    Parameters
    ----------
    option : Series
        A row of a plan's options that is owned or rented.
    together : Team
        The teams as one, for the engine's settings.
    teams : sequence of Team
        The members.
    rates : ndarray
        Calls of each in that hour. [1/s]
    end : str
        ``_high`` for the long end of the band of times, ``_low`` for the short one.

    Returns
    -------
    crowd : Crowd
    """
    stream, whose = merged(teams, rates)
    row = option.to_frame().T.infer_objects().reset_index(drop=True)
    pool = row["pool_bytes"].to_numpy(float)
    served = serving.describe(estimate.replicas(row), pool, together)
    one = load.replica(served, 0, stream, *sizing.factors(option, end))
    return Crowd(one, whose, tuple(teams), float(np.sum(rates)))


def merged(teams: Sequence[Team], rates: np.ndarray) -> tuple[workload.Stream, np.ndarray]:
    """
    Calls of several teams as one stream, each team at its own rate.

    Parameters
    ----------
    teams : sequence of Team
        Their lengths and arrivals.
    rates : ndarray
        [1/s]

    Returns
    -------
    stream : workload.Stream
        With arrivals in seconds, in their order; each team comes at least `LEAST_OF_EACH` times.
    whose : ndarray of int
        Team of each call.
    """
    rates = np.asarray(rates, float)
    some = np.flatnonzero(rates > 0)
    total = rates.sum()
    span = np.clip(
        LEAST_OF_EACH / rates[some].min(), LEAST_CALLS / total, MOST_CALLS / total
    )  # [s]
    parts, whose = [], []
    for team in some:
        count = max(round(float(rates[team] * span)), LEAST_OF_EACH)
        calls = _by_themselves(load.stream(teams[team], count, SEEDS_APART * int(team)), int(team))
        calls = workload.Stream(*(part[:count] for part in calls))
        parts.append(calls._replace(arrival=calls.arrival * (span / count)))
        whose.append(np.full(count, team))
    joined = [np.concatenate(values) for values in zip(*parts, strict=True)]
    order = np.argsort(joined[0], kind="stable")
    return workload.Stream(*(part[order] for part in joined)), np.concatenate(whose)[order]


def _by_themselves(calls, seed):
    """Calls that release no others: a session's turns find what they would have found."""
    if (calls.successor == simulation.NONE).all():
        return calls
    count = len(calls.prompt)
    return calls._replace(
        arrival=workload.arrivals(count, seed=SEEDS_APART * seed + 5),
        cached=calls.history, successor=np.full(count, simulation.NONE), pause=np.zeros(count),
    )  # fmt: skip
