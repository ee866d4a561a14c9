"""What the users of one option see when the load is not what was planned.

`study` asks the simulation once, for the report and for the notebooks: the curve of latency against
load, the rate under other seeds, other loads at the planned number of replicas, and one replica
failing in the busiest hour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from planner import concurrency, load, simulation, sizing, workload
from planner.demand import Bursty, Independent, Users
from planner.team import Team

SEEDS = 5
POINTS = 13  # of the curve, for each end of the band
FACTORS = (0.5, 1.0, 1.25, 1.5, 2.0)  # of the last year's peak
OUTAGE = 600.0  # how long a failed server is away, at least [s]
MOST_TOGETHER = 16  # replicas that are simulated behind one router
HOUR = 3600.0


@dataclass(frozen=True)
class Study:
    """
    One option under several loads.

    Parameters
    ----------
    rate, rate_least, rate_most : float
        Within the limits, one replica: median and range over the seeds. [1/s]
    saturated : float
        With everybody waiting. [1/s]
    binds, wall : str
        What stops more calls, and what saturation is made of; see `sizing.Carried`.
    peak : load.Seen
        One working replica in the busiest hour of the last year, every spare lost.
    curve : DataFrame
        Columns of `load.Seen` with end: middle, or slow (of the band of speed).
    levels : DataFrame
        factor, rate [1/s], columns of `load.Seen`, kept, growth [1/s], queued [call],
        drain [s]: what piles up in an hour and how long it takes to be gone, where nothing
        can be said about percentiles.
    outage : DataFrame
        case (all, one fails, random), ttft_p50, ttft_p95, ttft_p99, tpot_p95 [s] of the calls
        of the outage, restarted [call], replicas, lost [replica]; empty where there is one
        replica only, and without times where all stand in one server.
    """

    rate: float
    rate_least: float
    rate_most: float
    saturated: float
    binds: str
    wall: str
    peak: load.Seen
    curve: pd.DataFrame
    levels: pd.DataFrame
    outage: pd.DataFrame


def study(option: pd.Series, team: Team) -> Study:
    """
    Ask the simulation about one option.

    Parameters
    ----------
    option : Series
        A row of a plan's options that is owned or rented.
    team : Team
        Its workload and limits.

    Returns
    -------
    study : Study
    """
    planned = team.peak_rate / option["working"]
    middle = sizing.one(option, team)
    slow = middle.slower(*sizing.factors(option, "_high"))
    count = len(middle.calls.prompt)

    def search(seed):
        one = middle.asked(load.stream(team, count, seed)) if seed else middle
        return sizing.carried(one, team, float(option["rate"]))

    found = sizing.threads(search, range(SEEDS))
    rates = np.array([each.rate for each in found])
    best = found[int(np.argsort(rates)[SEEDS // 2])]
    curve = _curve(middle, slow, np.linspace(0.04, 1.0, POINTS) * _widest(middle, best, planned))
    seen = sizing.threads(lambda factor: middle.see_rate(factor * planned), FACTORS)
    levels = [_level(middle, team, planned, *each) for each in zip(FACTORS, seen, strict=True)]
    return Study(
        float(np.median(rates)), float(rates.min()), float(rates.max()), middle.saturated,
        best.binds, best.wall, seen[FACTORS.index(1.0)], curve, pd.DataFrame(levels),
        _outage(middle, option, team),
    )  # fmt: skip


def _curve(middle, slow, rates):
    """What users see at some rates, for both ends of the band of speed."""
    jobs = [(one, rate) for one in (middle, slow) for rate in rates]
    seen = sizing.threads(lambda job: job[0].see_rate(job[1]), jobs)
    ends = np.repeat(["middle", "slow"], len(rates))
    return pd.DataFrame(seen).assign(end=ends, asked=[*rates] * 2)


def reach(option: pd.Series, team: Team) -> tuple[pd.DataFrame, float]:
    """
    One replica from nearly idle to the last load about which anything can be said.

    Parameters
    ----------
    option : Series
        A row of a plan's options that is owned or rented.
    team : Team
        Its workload.

    Returns
    -------
    curve : DataFrame
        As `Study.curve`, from a fiftieth of that load to all of it.
    saturated : float
        With everybody waiting. [1/s]
    """
    middle, slow = (sizing.one(option, team, end=end) for end in ("", "_high"))
    most = 0.999 * concurrency.STABLE_BELOW * middle.saturated
    return _curve(middle, slow, most * np.linspace(0.02, 1.0, POINTS)), middle.saturated


def segments(curve: pd.DataFrame, limits: dict, highest: float) -> pd.DataFrame:
    """
    A simulated curve in pieces, for limits that are still to be chosen.

    Parameters
    ----------
    curve : DataFrame
        From `reach`; only the middle of the band is used.
    limits : dict
        Limits that stay, such as ttft_p99. [s]
    highest : float
        The largest load that the policy allows. [1/s]

    Returns
    -------
    pieces : DataFrame
        name (ttft_p95 or tpot_p95; in one last row what stops more calls besides, such as headroom,
        whatever is chosen), x0, x1 [1/s], y0, y1 [s].
    """
    middle = curve[curve["end"] == "middle"].sort_values("asked")
    loads, found, fixed = middle["asked"].to_numpy(float), [], {"headroom": highest}
    for name in dict.fromkeys(("ttft_p95", "tpot_p95", *limits)):
        times = middle[name].to_numpy(float)
        pieces = pd.DataFrame({
            "name": name,
            # fewer calls than the first wait no less: where those miss a limit, none keeps it
            "x0": np.append(0.0, loads[:-1]), "x1": np.append(0.0, loads[1:]),
            "y0": np.append(0.0, times[:-1]), "y1": times,
        })  # fmt: skip
        if name in limits:
            fixed[name] = crossing(pieces, limits[name])
        else:
            found.append(pieces)
    binds = min(fixed, key=fixed.get)
    last = {"name": binds, "x0": fixed[binds], "x1": fixed[binds], "y0": 0.0, "y1": np.inf}
    return pd.concat([*found, pd.DataFrame([last])], ignore_index=True)


def within(pieces: pd.DataFrame, limits: dict) -> tuple[float, str]:
    """
    What a simulated curve carries within chosen limits.

    Parameters
    ----------
    pieces : DataFrame
        From `segments`.
    limits : dict
        Of ttft_p95 and tpot_p95. [s]

    Returns
    -------
    load : float
        Zero where even a nearly idle replica misses one. [1/s]
    binds : str
        What stops more calls.
    """
    loads = {name: crossing(pieces[pieces["name"] == name], limits[name]) for name in limits}
    loads[pieces["name"].iloc[-1]] = float(pieces["x0"].iloc[-1])
    binds = min(loads, key=loads.get)
    return loads[binds], binds


def crossing(pieces: pd.DataFrame, limit: float) -> float:
    """
    Load at which a time first passes its limit, interpolated between two simulated loads.

    Parameters
    ----------
    pieces : DataFrame
        Rows of `segments` of one time.
    limit : float
        [s]

    Returns
    -------
    load : float
        Infinite where it never does. [1/s]
    """
    over = pieces[(pieces["y0"] <= limit) & (limit < pieces["y1"])]
    if over.empty:
        return np.inf
    piece = over.iloc[0]
    share = (limit - piece["y0"]) / (piece["y1"] - piece["y0"])
    return float(piece["x0"] + share * (piece["x1"] - piece["x0"]))


def _widest(one, best, planned):
    """The right end of the curve: past the rate within the limits, up to where it is stable."""
    stable = concurrency.STABLE_BELOW * one.saturated
    return min(stable, max(2.0 * best.rate, 1.6 * planned, 0.05 * stable))


def _level(one, team, planned, factor, seen):
    rate = factor * planned
    usual = planned / team.workload.busiest_hour_share / 24  # the mean hour of a day
    growth, queued, drain = concurrency.backlog(rate, one.saturated, HOUR, usual)
    return {
        "factor": factor, **seen._asdict(), "rate": rate, "utilisation": rate / one.saturated,
        "kept": sizing.broken(seen._replace(utilisation=0.0), team)[0] <= 1,
        "growth": float(growth), "queued": float(queued), "drain": float(drain),
    }  # fmt: skip


def _outage(one, option, team):
    """All replicas in the busiest hour, then one of them away in the middle of it."""
    number = int(option["replicas"])
    if not 2 <= number <= MOST_TOGETHER:
        return pd.DataFrame()
    # a server takes all of its replicas with it; a rented replica goes alone
    lost = int(option["per_server"]) if option["sourcing"] == "own" else 1
    if lost >= number:
        return pd.DataFrame({"case": ["all"], "lost": [lost], "replicas": [number]})
    calls = single_calls(one.calls)
    count = int(np.clip(0.5 * HOUR * team.peak_rate, 2000, len(calls.arrival)))
    away = max(OUTAGE, 100 / team.peak_rate)  # long enough to be told from chance
    calls = simulation.Requests(*(part[:count] for part in calls))
    calls = calls._replace(arrival=workload.arrivals(count, seed=3) / team.peak_rate)
    served = replace(one, calls=calls)
    begin = 0.4 * calls.arrival[-1]
    end = min(begin + away, 0.9 * calls.arrival[-1])
    scattered = np.random.default_rng(4).integers(number, size=count)
    cases = {
        "all": {}, "one fails": {"outages": [(number - 1 - k, begin, end) for k in range(lost)]},
        "random": {"wanted": scattered},
    }  # fmt: skip

    def see(case):
        done = simulation.simulate(calls, one.engine, replicas=number, **cases[case])
        during = (calls.arrival >= begin) & (calls.arrival <= end)
        ttft = (done.first_token - calls.arrival + served.handling(done))[during]
        tpot = ((done.finished - done.first_token) / np.maximum(calls.output - 1, 1))[during]
        quantiles = np.nanquantile(ttft, [0.5, 0.95, 0.99])
        return {
            "case": case, "ttft_p50": quantiles[0], "ttft_p95": quantiles[1],
            "ttft_p99": quantiles[2], "tpot_p95": float(np.nanquantile(tpot, 0.95)),
            "restarted": int((done.restarts > 0).sum()), "replicas": number,
            "lost": lost,
        }  # fmt: skip

    return pd.DataFrame(sizing.threads(see, cases))


def callers(option: pd.Series, team: Team) -> pd.DataFrame:
    """
    The planned rate on one working replica, coming in different ways.

    Parameters
    ----------
    option : Series
        A row of a plan's options that is owned or rented.
    team : Team
        Its lengths and peak.

    Returns
    -------
    table : DataFrame
        kind (independent, bursty, users) and the columns of `load.Seen`.
    """
    ways = (Independent(), Bursty(kind="bursty", variation=3.0), Users(kind="users", think_time=30))

    def see(way):
        asked = team.workload.model_copy(update={"arrivals": way})
        one = sizing.one(option, team.model_copy(update={"workload": asked}))
        return {"kind": way.kind, **one.see_rate(team.peak_rate / option["working"])._asdict()}

    return pd.DataFrame(sizing.threads(see, ways))


def single_calls(calls: simulation.Requests) -> simulation.Requests:
    """Calls that release no others: a session's turns find what they would have found."""
    return calls._replace(
        cached=calls.history, work=calls.work_after, pause=np.zeros(len(calls.pause)),
        successor=np.full(len(calls.successor), simulation.NONE),
    )  # fmt: skip


def day(option: pd.Series, team: Team, seed: int = 0) -> pd.DataFrame:
    """
    A whole day on one working replica, by the hour.

    Parameters
    ----------
    option : Series
        A row of a plan's options that is owned or rented.
    team : Team
        With ``workload.hourly`` or a trace.
    seed : int
        Of moments and lengths.

    Returns
    -------
    hours : DataFrame
        hour, calls, ttft_p50, ttft_p95, ttft_p99, tpot_p95 [s]; the last row, hour -1, is the
        whole day. Empty where the team states neither.
    """
    how, load_ = team.workload.arrivals, team.workload
    share = (1 + team.growth.yearly) ** (team.growth.years - 1) / option["working"]
    one = sizing.one(option, team)
    if how.kind == "trace":
        calls = how.calls
        # the trace keeps its shape; its busiest hour is that of the plan
        first, last, length = workload.busiest_hour(calls.arrival)
        planned = team.peak_rate / option["working"] * length
        random = np.random.default_rng(seed)
        copies = random.poisson(planned / (last - first), len(calls.arrival))
        rows = np.repeat(np.arange(len(calls.arrival)), copies)
        moments = np.sort(calls.arrival[rows] + random.uniform(-0.5, 0.5, len(rows)))
        order = np.argsort(calls.arrival[rows], kind="stable")
        prompt, output = calls.prompt[rows][order], calls.output[rows][order]
        arrival = np.maximum(moments, 0.0)
    elif load_.hourly is not None:
        count = max(int(load_.calls_per_day * share), 24)
        arrival = workload.day(count, load_.hourly, seed)
        prompt, output = load.drawn_lengths(load_, len(arrival), seed)
    else:
        return pd.DataFrame()
    stream = workload.independent(arrival, prompt, output, load_.cached_prompt_share)
    requests = one.requests(stream)
    done = simulation.simulate(requests, one.engine)
    handling = replace(one, calls=requests).handling(done)
    frame = pd.DataFrame({
        "hour": (arrival // HOUR).astype(int),
        "ttft": done.first_token - arrival + handling,
        "tpot": (done.finished - done.first_token) / np.maximum(output - 1, 1),
    })  # fmt: skip
    whole = frame.assign(hour=-1)
    grouped = pd.concat([frame, whole]).groupby("hour")
    table = pd.DataFrame({"calls": grouped.size()})
    for name, share_ in load.QUANTILES.items():
        table[f"ttft_{name}"] = grouped["ttft"].quantile(share_)
    table["ttft_mean"] = grouped["ttft"].mean()
    table["tpot_p95"] = grouped["tpot"].quantile(0.95)
    return table.reset_index()
