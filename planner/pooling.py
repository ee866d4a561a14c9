"""Teams that share replicas: whose hours add up to what, who goes with whom, who uses how much.

A pool is one deployment behind a router that sends each call to the replica with the fewest;
`planner.merged_calls` serves it, `planner.pool` prices it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from planner import simulation
from planner.team import Team

HOURS = 24
MOST_REPLICAS = 512
WHOLE = 1e-9  # a sum that is a whole number but for rounding


def by_hour(team: Team) -> np.ndarray:
    """
    Calls a second in each hour of a day of the first year.

    Parameters
    ----------
    team : Team
        Its profile by the hour, if it states one.

    Returns
    -------
    rates : ndarray, shape (24,)
        Without a profile the busiest hour may be any, so it counts as every one. [1/s]
    """
    peak, profile = team.workload.busiest_hour_rate, team.workload.hourly
    if profile is None:
        return np.full(HOURS, peak)
    return peak * np.array(profile, float) / max(profile)


def grown(team: Team) -> np.ndarray:
    """Demand of each year of a team's plan relative to the first. [ratio]"""
    return (1.0 + team.growth.yearly) ** np.arange(team.growth.years)


def telling_hours(rates: np.ndarray) -> np.ndarray:
    """
    The hours of which none is as busy for every team as another one.

    Parameters
    ----------
    rates : ndarray, shape (T, 24)
        Calls of each team. [1/s]

    Returns
    -------
    hours : ndarray of int
        In one of them any sum of teams is at its largest.

    Examples
    --------
    >>> telling_hours(np.array([[0, 2, 1, 1], [3, 0, 3, 1]]))
    array([1, 2])
    """
    kept: list[int] = []
    for hour in np.argsort(-rates.sum(axis=0), kind="stable"):
        if not any((rates[:, hour] <= rates[:, other]).all() for other in kept):
            kept.append(int(hour))
    return np.sort(kept)


class Price(NamedTuple):
    """
    What ways of serving cost, as far as the choice of a pool needs it.

    Parameters
    ----------
    fixed : ndarray, shape (D,)
        However many machines there are. [currency]
    each : ndarray, shape (D,)
        One machine over the plan. [currency]
    per_machine : ndarray, shape (D,)
        Replicas of one machine. [replica]
    """

    fixed: np.ndarray
    each: np.ndarray
    per_machine: np.ndarray

    def of(self, use, spare_replicas, spare_machines, most):
        """
        Cost with so many replicas busy; infinite beyond `most` machines. [currency]

        One replica and one machine are the least; above that parts of them count, since how many
        whole ones it takes is for the simulation to say.
        """
        machines = (np.maximum(use, 1.0) + spare_replicas) / self.per_machine
        machines = np.maximum(machines, 1.0) + spare_machines
        return np.where(machines <= most, self.fixed + self.each * machines, np.inf)


def promising(use: np.ndarray, price: Price, most: int) -> np.ndarray:
    """
    The ways of serving that a pool could want, where there are more than can be tried.

    Parameters
    ----------
    use : ndarray, shape (T, D)
        Replicas of each way that each team keeps busy at most; infinite where it cannot use that
        way. [replica]
    price : Price
        Of the ways.
    most : int
        Of each kind of promise: so many that most teams can use and of which one machine is cheap,
        so many of which a busy replica is, and a few for each team.

    Returns
    -------
    ways : ndarray of int
        Rising.
    """
    usable = np.isfinite(use)
    busy = np.where(usable, use, 0.0).sum(axis=0) / np.maximum(usable.sum(axis=0), 1)
    entry, filled = price.fixed + price.each, price.each / price.per_machine * busy
    kept = [np.lexsort((cost, -usable.sum(axis=0)))[:most] for cost in (entry, filled)]
    own = np.where(usable, price.each / price.per_machine * np.where(usable, use, 1.0), np.inf)
    few = max(most // 50, 1)
    for cost in (np.where(usable, entry, np.inf), own):
        best = np.argsort(cost, axis=1, kind="stable")[:, :few]
        kept.append(best[np.isfinite(np.take_along_axis(cost, best, axis=1))])
    return np.unique(np.concatenate(kept))


def merge(
    use: np.ndarray, alone: np.ndarray, price: Price, spares: np.ndarray, most: np.ndarray
) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """
    Who goes with whom: the two groups whose union saves most are joined, until none saves.

    Parameters
    ----------
    use : ndarray, shape (T, D, H)
        Replicas of each way of serving that each team keeps busy in each hour; infinite where the
        team cannot use that way. [replica]
    alone : ndarray, shape (T,)
        Cost of what each team would do by itself. [currency]
    price : Price
        Of the ways.
    spares : ndarray, shape (T, 2)
        Spare replicas and spare machines that each team's policy asks for: the largest of a group
        counts, once. [1]
    most : ndarray, shape (T,)
        Machines that each policy allows: the least of a group counts. [1]

    Returns
    -------
    groups : list of (members, cost)
        Teams of each group of two and more, and the cost of every way for it, shape (D,).
        [currency]

    References
    ----------
    .. [1] Clarke and Wright, "Scheduling of vehicles from a central depot to a number of delivery
       points", Operations Research 12, 1964 (joining by the largest saving).
    """
    members = [(team,) for team in range(len(use))]
    loads, cost = np.array(use, float), np.array(alone, float)
    spares, most = np.array(spares, float), np.array(most, float)

    def together(one, others):
        """Cost of every way for one group joined with each of others. [currency]"""
        busy = (loads[one] + loads[others]).max(axis=-1)
        spare = np.maximum(spares[one], spares[others])[:, :, None]
        limit = np.minimum(most[one], most[others])[:, None]
        return price.of(busy, spare[:, 0], spare[:, 1], limit)

    def savings(one, others):
        least = together(one, others).min(axis=-1, initial=np.inf)
        return cost[one] + cost[others] - least

    number = len(use)
    saved = np.full((number, number), -np.inf)
    for one in range(number - 1):
        saved[one, one + 1 :] = savings(one, np.arange(one + 1, number))
    alive = np.ones(number, bool)
    while number > 1 and saved.max() > WHOLE:
        one, other = np.unravel_index(int(saved.argmax()), saved.shape)
        cost[one] = together(one, np.array([other])).min()
        members[one] += members[other]
        loads[one] += loads[other]
        spares[one] = np.maximum(spares[one], spares[other])
        most[one] = min(most[one], most[other])
        alive[other] = False
        saved[other], saved[:, other] = -np.inf, -np.inf
        rest = np.flatnonzero(alive & (np.arange(number) != one))
        if rest.size:
            new = savings(one, rest)
            before = rest < one
            saved[rest[before], one], saved[one, rest[~before]] = new[before], new[~before]
    groups = []
    for one in np.flatnonzero(alive):
        if len(members[one]) > 1:
            busy = loads[one].max(axis=-1)
            groups.append((members[one], price.of(busy, *spares[one], most[one])))
    return groups


def busy_seconds(
    done: simulation.Outcome, calls: simulation.Requests, sharing: float
) -> np.ndarray:
    """
    Working time of the replicas that each call has caused; together all of it.

    Parameters
    ----------
    done : simulation.Outcome
        What happened.
    calls : simulation.Requests
        What was asked.
    sharing : float
        Part of a prompt's work that the step waits for, as in `simulation.Engine`. [1]

    Returns
    -------
    seconds : ndarray
        Its own prefill, and a part of every other moment that its replica works: as much as each
        of those that run in that moment. [s]
    """
    prefill = np.where(done.hit >= calls.history, calls.work_after, calls.work) * min(sharing, 1.0)
    share = np.zeros(len(prefill))
    for replica in np.unique(done.replica):
        mine = np.flatnonzero(done.replica == replica)
        times = np.concatenate([done.admitted[mine], done.finished[mine]])
        change = np.repeat([1, -1], len(mine))
        order = np.argsort(times, kind="stable")
        moments, running = times[order], np.cumsum(change[order])
        parts = np.diff(moments) / np.maximum(running[:-1], 1) * (running[:-1] > 0)
        passed = np.append(0.0, np.cumsum(parts))
        begin, end = (
            np.searchsorted(moments, part[mine]) for part in (done.admitted, done.finished)
        )
        share[mine] = passed[end] - passed[begin]
    busy = done.busy.sum()
    prefill *= min(1.0, busy / max(prefill.sum(), WHOLE))
    return prefill + (busy - prefill.sum()) * share / max(share.sum(), WHOLE)


def fewest(kept: Callable[[int], bool], start: int = 1, most: int = MOST_REPLICAS) -> int | None:
    """
    The least whole number from which something holds.

    Parameters
    ----------
    kept : callable
        Whether it holds; once it does, it does for every larger number.
    start, most : int
        Where to begin and to give up.

    Returns
    -------
    number : int or None
        None where even `most` is too few.

    Examples
    --------
    >>> fewest(lambda number: number >= 11), fewest(lambda number: number > 99, most=64)
    (11, None)
    """
    low, high, step = start - 1, start, 1
    while not kept(high):
        if high >= most:
            return None
        low, high, step = high, min(high + step, most), 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if kept(middle) else (middle, high)
    return high


def share_out(total: float, weights: np.ndarray) -> np.ndarray:
    """
    A sum of money divided by weights into whole units that add up to it exactly.

    Parameters
    ----------
    total : float
        Rounded to a whole unit first. [currency]
    weights : ndarray
        Of each, not negative. [1]

    Returns
    -------
    parts : ndarray
        Whole units; those cut most by rounding down get one more. [currency]

    References
    ----------
    .. [1] Balinski and Young, "Fair Representation", 1982, chapter 3 (method of Hamilton).

    Examples
    --------
    >>> share_out(100, np.array([1, 1, 1])), share_out(10, np.array([3.0, 0.0, 1.0]))
    (array([34., 33., 33.]), array([8., 0., 2.]))
    """
    weights = np.asarray(weights, float)
    if not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(f"weights = {weights}; give numbers that are not negative, one above zero")
    whole = round(float(total))
    exact = whole * weights / weights.sum()
    parts = np.floor(exact)
    missing = int(whole - parts.sum())
    parts[np.argsort(parts - exact, kind="stable")[:missing]] += 1
    return parts


def quarters(yearly: np.ndarray) -> np.ndarray:
    """
    A figure of every year, such as demand, as it is reached quarter by quarter.

    Parameters
    ----------
    yearly : ndarray, shape (..., years)
        What each year is planned for.

    Returns
    -------
    quarterly : ndarray, shape (..., 4 years)
        The first year's throughout the first; later it rises or falls evenly, as a constant rate
        of growth does, and is what the year is planned for in its last quarter.

    Examples
    --------
    >>> quarters(np.array([1.0, 16.0]))
    array([ 1.,  1.,  1.,  1.,  2.,  4.,  8., 16.])
    """
    yearly = np.asarray(yearly, float)
    before = np.concatenate([yearly[..., :1], yearly[..., :-1]], axis=-1)[..., None]
    ratio = yearly[..., None] / np.where(before > 0, before, 1.0)
    return (before * ratio ** (np.arange(1, 5) / 4)).reshape(*yearly.shape[:-1], -1)
