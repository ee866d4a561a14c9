"""All teams of a folder together: each by itself, pools that save, and who pays what.

Teams may share replicas where the text of their ``data_class`` is the same and where their files
name the same region, way of hosting, way of buying and number of years; both must allow the way of
sourcing. The closed forms of the teams' own plans say who should go together on what
(`planner.pool_members`); the event simulation of the merged calls counts the replicas.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from planner import catalogue as records
from planner import plan as planning
from planner import pool, pool_members, pooling, sizing
from planner import team as teams
from planner.catalogue import Catalogue, convert
from planner.plan import Plan
from planner.pool import Pool
from planner.team import Team
from planner.terms import Terms

ROOT = Path(__file__).resolve().parent.parent
FEW = 12  # teams up to which every plan is decided by the simulation
TRIES_FEW, TRIES_MANY = 3, 1  # ways of serving that are simulated for a pool


@dataclass(frozen=True)
class Portfolio:
    """
    The plans of many teams, and what they do together.

    Parameters
    ----------
    plans : dict of str to Plan
        By the name of the team's file; of the options only the recommendation is kept, or the
        nearest where none is feasible.
    failed : dict of str to str
        Files that cannot be used, and why.
    tried : tuple of Pool
        Every pool that was simulated, those that do not pay too.
    given_up : tuple of str
        Teams that the closed forms would pool and the simulation does not: no number of replicas
        keeps their limits at the slow end of the band of speed too, or nobody is left to share.
    simulated : bool
        Whether the simulation decided the teams' own plans; otherwise the closed forms.
    currency : str
        Of every sum below.
    catalogue : Catalogue
        Prices and exchange rates.
    made : date
        When.
    seconds : float
        How long it took. [s]
    """

    plans: dict[str, Plan]
    failed: dict[str, str]
    tried: tuple[Pool, ...]
    given_up: tuple[str, ...]
    simulated: bool
    currency: str
    catalogue: Catalogue
    made: date
    seconds: float = field(compare=False, default=0.0)

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """Pools that cost less than their members by themselves."""
        return tuple(pool for pool in self.tried if pool.saved["mid"] > 0)

    @cached_property
    def pooled(self) -> dict[str, Pool]:
        """The pool of each team that has one."""
        return {member: pool for pool in self.pools for member in pool.members}

    @cached_property
    def chosen(self) -> dict[str, pd.Series]:
        """Recommendations of the teams that have one, each by itself, by the name of its file."""
        found = {name: plan.chosen for name, plan in self.plans.items()}
        return {name: option for name, option in found.items() if option is not None}

    def amount(self, name: str, column: str = "total") -> float:
        """A sum of a team's recommendation. [currency]"""
        value, currency = float(self.chosen[name][column]), self.plans[name].team.currency
        return convert(value, currency, self.currency, self.catalogue)

    def cost(self, column: str = "total", pools: bool = True) -> float:
        """Of all teams over their plans: middle, total_low or total_high. [currency]"""
        alone = sum(
            self.amount(name, column) for name in self.chosen if not (pools and name in self.pooled)
        )
        return alone + sum(float(each.option[column]) for each in self.pools if pools)

    @cached_property
    def charges(self) -> pd.DataFrame:
        """
        What every team pays; the sum is the portfolio's cost in whole units of its currency.

        Returns
        -------
        charges : DataFrame
            team (name of its file), name, where (own, rent, api or the name of a pool), share (of
            the pool's use) [fraction], charge, alone (by itself) [currency].
        """
        rows = []
        for name, option in self.chosen.items():
            mine = self.pooled.get(name)
            alone = self.amount(name)
            row = {"team": name, "name": self.plans[name].team.name, "where": option["sourcing"],
                   "share": np.nan, "weight": alone, "alone": alone}  # fmt: skip
            if mine is not None:
                at = mine.members.index(name)
                row |= {"where": mine.name, "share": mine.share[at]}
                row["weight"] = float(mine.option["total"]) * mine.share[at]
            rows.append(row)
        columns = ["team", "name", "where", "share", "weight", "alone"]
        frame = pd.DataFrame(rows, columns=columns)
        parts = pooling.share_out(self.cost(), frame["weight"]) if len(frame) else 0.0
        return frame.drop(columns="weight").assign(charge=parts)


# ---- each team by itself -----------------------------------------------------------------------


def _kept(plan: Plan) -> tuple[Plan, pd.DataFrame]:
    """A plan with the one row that the portfolio names, and its ways of serving."""
    chosen = plan.chosen
    rows = plan.options if chosen is None else plan.options.loc[[chosen.name]]
    if chosen is None:
        rows = rows[rows["sourcing"] != "nothing"].head(1)
    return replace(plan, options=rows, refused=plan.refused.head(0)), pool_members.ways(plan)


def _plans(asked: Sequence[Team], simulate: bool, made: date) -> list:
    """Plans without the catalogue, which every process has, and ways of serving."""
    catalogue = records.load()
    found = []
    for team in asked:
        plan, ways = _kept(planning.plan(team, catalogue, made, simulate))
        found.append((replace(plan, catalogue=None, terms=None), ways))
    return found


def work() -> None:
    """Plans of the teams that come in, put out: one of several processes of `join`."""
    out, sys.stdout = sys.stdout, sys.stderr  # nothing else may come between
    pickle.dump(_plans(*pickle.load(sys.stdin.buffer)), out.buffer)


def _elsewhere(asked, simulate, made):
    # A process that needs nothing of this one but its pipe: this one may be allowed no children
    # of multiprocessing, or have no main module that could be imported again.
    call = [sys.executable, "-c", "from planner import portfolio; portfolio.work()"]
    content = pickle.dumps((asked, simulate, made))
    done = subprocess.run(call, input=content, capture_output=True, cwd=ROOT, check=False)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise ValueError(f"the plans of {len(asked)} teams could not be made: {last}")
    return pickle.loads(done.stdout)


def _by_themselves(asked, simulate, made, jobs):
    """Plan and ways of every team, by the name of its file."""
    if simulate or jobs == 1 or len(asked) <= FEW:
        parts, found = [asked], [_plans(asked, simulate, made)]
    else:
        # teams with the same candidates one after another: what depends on those alone is kept
        order = sorted(asked, key=lambda team: (repr(team.candidates), team.slug))
        parts = [order[at::jobs] for at in range(jobs)]
        with ThreadPoolExecutor(jobs) as threads:
            found = list(threads.map(lambda part: _elsewhere(part, simulate, made), parts))
    pairs = zip(chain.from_iterable(parts), chain.from_iterable(found), strict=True)
    return {team.slug: pair for team, pair in pairs}


# ---- together ----------------------------------------------------------------------------------


def join(
    folder: str | Path = teams.TEAMS,
    currency: str = "USD",
    *,
    made: date | None = None,
    simulate: bool | None = None,
    jobs: int = 0,
) -> Portfolio:
    """
    Plan all teams of a folder, and find the pools that save.

    Parameters
    ----------
    folder : str or Path
        With a .toml file for each team.
    currency : str
        Of all sums.
    made : date, optional
        The date of the plans; today by default.
    simulate : bool, optional
        Whether the simulation decides the teams' own plans; by default where they are `FEW`.
    jobs : int
        Processes for the plans; as many as cores by default.

    Returns
    -------
    portfolio : Portfolio
    """
    start = time.perf_counter()
    catalogue, made = records.load(), made or date.today()
    asked, failed = _read(folder, catalogue)
    simulate = len(asked) <= FEW if simulate is None else simulate
    found = _by_themselves(asked, simulate, made, jobs or os.cpu_count() or 1)
    plans, ways = {}, {}
    for team in asked:  # in the order of their files
        plan, ways[team.slug] = found[team.slug]
        plans[team.slug] = replace(plan, catalogue=catalogue, terms=Terms(team, catalogue))
    groups = [
        group
        for names in pool_members.sharing(plans)
        for group in pool_members.candidates(names, plans, ways, currency, catalogue)
    ]
    tries = TRIES_FEW if simulate else TRIES_MANY

    def work(group):
        return pool.best(group, plans, ways, currency, catalogue, tries)

    tried, recounted = [], {}
    answers = sizing.threads(work, groups)
    for each, counted in answers:
        recounted |= counted
        if each is not None:
            tried.append(replace(each, name=f"Pool {len(tried) + 1}"))
    together = {name for each in tried for name in each.members}
    given_up = [name for group in groups for name in group.members if name not in together]
    return Portfolio(
        plans | recounted, failed, tuple(tried), tuple(given_up), simulate, currency, catalogue,
        made, time.perf_counter() - start,
    )  # fmt: skip


def _read(folder, catalogue):
    paths = sorted(teams.find(folder).glob("*.toml"))
    if not paths:
        raise ValueError(f"{folder}: no .toml file; name the folder of the teams' files")
    asked, failed = [], {}
    for path in paths:
        try:
            asked.append(teams.read(path, catalogue))
        except teams.TeamError as error:
            failed[path.name] = str(error)
    return asked, failed
