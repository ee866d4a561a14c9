"""From a requirement to ranked options, each with the limit that stopped it or with none."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import count

import numpy as np
import pandas as pd

from planner import catalogue as records
from planner import judge, money, options, pressure, sizing
from planner.catalogue import Catalogue
from planner.team import Team
from planner.terms import Terms

SIMULATED = 20  # distinct replicas whose load the event simulation decides, at least
CLOSE = 0.02  # costs that differ by less are equal: prices are not known better than that
BLOCK = 64  # points of a Pareto front that are compared with all others at once
CRITERIA = ["certain", "npv", "quality", "bits"]  # what `choice` looks at
# The order in which limits are tried; the last one that an option reaches is the one it shows.
ORDER = ("policy", "quality", "memory", "kv_cache", "ttft", "tpot", "load", "budget", "none")


@dataclass(frozen=True)
class Plan:
    """
    The answer to one requirement.

    Parameters
    ----------
    team : Team
        The requirement.
    catalogue : Catalogue
        What was known.
    options : DataFrame
        Every option, feasible ones first by net present cost, the others by how far they came;
        ``limit`` is none for the feasible. Columns as in `judge.judge` and `money`, with option
        (a short name), certain (the limits hold at the slow end of the band too), pareto, rank.
    refused : DataFrame
        Models and servers that policy or quality excluded: model_id, server_id, limit, reason.
    terms : Terms
        The assumptions used.
    made : date
        When.
    seconds : float
        How long it took. [s]
    """

    team: Team
    catalogue: Catalogue
    options: pd.DataFrame
    refused: pd.DataFrame
    terms: Terms
    made: date
    seconds: float = field(compare=False, default=0.0)

    @cached_property
    def feasible(self) -> pd.DataFrame:
        """Options without a limit, cheapest first."""
        return self.options[self.options["limit"] == "none"]

    @cached_property
    def chosen(self) -> pd.Series | None:
        """
        The recommendation, None where no option is feasible.

        Options that hold the limits even at the slow end of their band come first. Among them,
        what costs within `CLOSE` of the cheapest counts as equally cheap, and the best score
        decides, then the weights with most bits (a score is measured at full precision), then
        cost.
        """
        return choice(self.feasible)

    @cached_property
    def kept(self) -> dict:
        """What a page has made of this plan and others need too, by name and language."""
        return {}

    @cached_property
    def pressure(self) -> pressure.Study | None:
        """The recommendation under other loads; None where nothing is hosted."""
        option = self.chosen
        if option is None or option["sourcing"] not in ("own", "rent"):
            return None
        return pressure.study(option, self.team)


def choice(feasible: pd.DataFrame) -> pd.Series | None:
    """
    The option to recommend among those that meet every limit; see `Plan.chosen`.

    Parameters
    ----------
    feasible : DataFrame
        With certain, npv, quality and bits.

    Returns
    -------
    option : Series or None
    """
    if feasible.empty:
        return None
    certain = feasible[feasible["certain"]]
    sound = certain if len(certain) else feasible
    close = sound[sound["npv"] <= (1 + CLOSE) * sound["npv"].min()]
    return close.sort_values(
        ["quality", "bits", "npv"], ascending=[False, False, True], kind="stable"
    ).iloc[0]


def plan(
    team: Team,
    catalogue: Catalogue | None = None,
    made: date | None = None,
    simulate: bool = True,
) -> Plan:
    """
    Judge every option of the catalogue against a team's requirement.

    The closed forms judge all of them; the event simulation decides what the best ones carry.

    Parameters
    ----------
    team : Team
        From `planner.team.read`.
    catalogue : Catalogue, optional
        By default the one in ``data/``.
    made : date, optional
        The date of the plan; today by default.
    simulate : bool
        Without it the closed forms have the last word: quicker, for exploring.

    Returns
    -------
    plan : Plan
    """
    start = time.perf_counter()
    catalogue = catalogue or records.load()
    terms = Terms(team, catalogue)
    models, refused_models = options.models(team, catalogue)
    servers, refused_servers = options.servers(team, catalogue)
    every = options.deployments(team, catalogue, models, servers)
    judged = judge.judge(every, team, careful=not simulate).assign(decided_by="closed forms")
    benchmark = team.quality.benchmark if team.quality else ""
    scores = {m.id: getattr(m.score(benchmark), "value", np.nan) for m in models}
    priced = [
        *_priced(judged, team, catalogue, terms),
        money.apis(team, catalogue, terms, scores),
        money.nothing(team, terms),
    ]
    table = _final_limits(_joined(priced, catalogue), team)
    if simulate:
        table = _simulated(table, judged, team, catalogue, terms)
    return Plan(
        team, catalogue, _rank(table), pd.concat([refused_models, refused_servers]), terms,
        made or date.today(), time.perf_counter() - start,
    )  # fmt: skip


def _priced(judged, team, catalogue, terms):
    return [
        money.owned(judged, team, catalogue, terms),
        money.rented(judged, team, catalogue, terms),
    ]


def _joined(parts, catalogue):
    columns = list(dict.fromkeys(name for part in parts for name in part.columns))
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table = table.reindex(columns=columns)
    bits = [*(record.bits for record in catalogue.formats.values()), np.nan]
    place = pd.Index(list(catalogue.formats)).get_indexer(table["weight_format"])
    return table.assign(bits=np.array(bits, float)[place])


def _simulated(table, judged, team, catalogue, terms):
    """Let the simulation decide the best options, price them again, until the best are decided."""
    for turn in count():  # every turn decides at least one more
        good = table["limit"].eq("none") & table["sourcing"].isin(["own", "rent"])
        rows = _order(table)
        rows = rows[good.to_numpy()[rows]]
        good = table[["sourcing", "decided_by", *CRITERIA, *sizing.KEYS]].iloc[rows]
        open_ = good[good["decided_by"] != "simulation"]
        # what would be recommended, and what is cheapest, must not rest on a formula
        best = {good.index[0], choice(good).name} if len(good) else set()
        best = open_.loc[[row for row in open_.index if row in best]]
        if turn == 0:
            distinct = open_.drop_duplicates(sizing.KEYS)
            kinds = distinct.drop_duplicates(["sourcing", "device_id"])
            open_ = pd.concat([best, distinct.head(SIMULATED // 2), kinds])
            open_ = open_.drop_duplicates(sizing.KEYS).head(SIMULATED)
        else:
            open_ = best
        if open_.empty:
            return table
        decided = sizing.decide(table.loc[open_.index], team)
        again = _updated(judged, decided)
        stale = _same(table, decided) >= 0
        parts = [table[~stale], *_priced(again, team, catalogue, terms)]
        table = _final_limits(_joined(parts, catalogue), team)


def _same(table, decided):
    """Which row of those decided each row of a table is of the same replica as; -1 for none."""
    few = np.flatnonzero(table["pool_bytes"].isin(decided["pool_bytes"]))
    known = zip(*(decided[key].tolist() for key in sizing.KEYS), strict=True)
    known = {key: row for row, key in enumerate(known)}
    asked = zip(*(table[key].iloc[few].tolist() for key in sizing.KEYS), strict=True)
    place = np.full(len(table), -1)
    place[few] = [known.get(key, -1) for key in asked]
    return place


def _updated(judged, decided):
    """The deployments that were decided, with the rates of the simulation."""
    place = _same(judged, decided)
    found = decided.iloc[place[place >= 0]]
    again = judged[place >= 0].assign(**{name: found[name].to_numpy() for name in sizing.DECIDED})
    limit = again["limit"].mask(~(again["rate"] > 0), "load")
    return again.assign(rate_peak=again["saturated"], limit=limit)


def _final_limits(table, team):
    """Limits that only money and the house's rules can set."""
    limit = table["limit"].to_numpy(object)
    stops = {
        "load": table["servers"] > team.policy.most_servers,
        "budget": table["total"] > (team.budget.total if team.budget else np.inf),
        "policy": ~table["sourcing"].isin([*team.policy.sourcing, "nothing"]),
    }
    free = limit == "none"
    limit = np.select([free & stop for stop in stops.values()], list(stops), limit)
    held = table["sourcing"] == "api"  # an API's speed is its provider's promise, not predicted
    # at the slow end of the band too, and without more servers than the policy allows
    many = table["servers_high"] > team.policy.most_servers
    sure = np.isfinite(table["total_high"]) & ~many
    return table.assign(limit=limit, certain=(limit == "none") & (held | sure))


def _order(table):
    """Rows as they are ranked: by the limit that they reached, then by cost."""
    reached = pd.Index(ORDER).get_indexer(table["limit"])
    last = -table["quality"], table["missing_bytes"], table["npv"], -reached  # the last comes first
    return np.lexsort(last)


def _rank(table):
    table = table.iloc[_order(table)].reset_index(drop=True)
    feasible = table[: np.count_nonzero(table["limit"] == "none")]
    rank, pareto = np.zeros(len(table), int), np.zeros(len(table), bool)
    rank[: len(feasible)] = np.arange(1, len(feasible) + 1)
    pareto[: len(feasible)] = front(
        feasible[["npv", "tpot_alone"]].fillna(np.inf).to_numpy(),
        -feasible[["quality"]].fillna(-np.inf).to_numpy(),
    )
    return table.assign(rank=rank, pareto=pareto)


def front(*criteria: np.ndarray) -> np.ndarray:
    """
    Which rows no other row beats in every criterion at once (the Pareto front).

    Parameters
    ----------
    *criteria : ndarray, shape (N, k)
        Smaller is better.

    Returns
    -------
    on_front : ndarray of bool, shape (N,)

    Examples
    --------
    >>> front(np.array([[1, 5], [2, 2], [3, 3], [5, 1]]))
    array([ True,  True, False,  True])
    """
    points = np.hstack(criteria)
    on_front = np.zeros(len(points), bool)
    open_ = np.lexsort(points.T[::-1])  # a row can only be beaten by one that comes before it
    while open_.size:
        first, open_ = open_[:BLOCK], open_[BLOCK:]
        first = first[~_beaten(points[first], points[first])]
        on_front[first] = True
        open_ = open_[~_beaten(points[open_], points[first])]
    return on_front


def _beaten(points, by):
    """Which points another one is no worse than in anything and better in something."""
    points = points[:, None]
    return ((by <= points).all(axis=-1) & (by < points).any(axis=-1)).any(axis=-1)
