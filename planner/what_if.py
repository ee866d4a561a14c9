"""A team's plan in other circumstances: other calls, prices, running costs, and speed.

What is turned is taken as known; everything else stays as uncertain as it was. The whole catalogue
is judged and priced again, by the closed forms.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd

from planner import judge, money, options, scenario
from planner import plan as planning
from planner import team as teams
from planner.catalogue import Catalogue, load
from planner.plan import Plan
from planner.team import Team
from planner.terms import Terms

ENDS = {"as predicted": "", "slow end": "low", "fast end": "high"}


def preset(team: str) -> dict:
    """Growth and years as one team has them. [%/year], [year]"""
    growth = teams.read(team, load()).growth
    return {"growth": round(100 * growth.yearly), "years": growth.years}


def plan(
    team: str, calls: float, growth: int, years: int, tariff: float, staff: float,
    servers: float, rents: float, apis: float, speed: str,
) -> Plan:  # fmt: skip
    """
    A team's plan in other circumstances, by closed forms.

    Parameters
    ----------
    team : str
        Name of its file.
    calls : float
        Relative to the file. [ratio]
    growth : int
        [%/year]
    years : int
        [year]
    tariff, staff, servers, rents, apis : float
        Electricity tariff, cost of an hour of staff, prices of servers, rents and APIs, relative to
        the planned ones. [ratio]
    speed : str
        One of `ENDS`: where in their bands all machines turn out.

    Returns
    -------
    plan : Plan
        With the catalogue at these prices.
    """
    base = teams.read(team, load())
    fields = {"yearly": growth / 100} if growth != preset(team)["growth"] else {}
    turned = scenario.scenario(
        base, years=years, calls_per_day=base.workload.calls_per_day * calls, **fields,
        assumptions=base.assumptions | _figures(base, tariff, staff),
    )  # fmt: skip
    return circumstances(turned, prices(servers, rents, apis), ENDS[speed])


def _figures(team, tariff, staff):
    """Assumptions that are turned, by id; what is left at 1 stays uncertain. [various]"""
    terms, region = Terms(team, load()), team.policy.region
    turned = {f"electricity_tariff_{region}": tariff, f"staff_rate_{region}": staff}
    return {key: terms(key) * factor for key, factor in turned.items() if factor != 1}


def prices(servers: float, rents: float, apis: float) -> Catalogue:
    """
    The catalogue at other prices.

    Parameters
    ----------
    servers, rents, apis : float
        Relative to those of the files. [ratio]
    """
    catalogue = load()
    kinds = {
        "servers": (servers, ("price", "price_low", "price_high")),
        "rentals": (rents, ("price", "price_low", "price_high")),
        "api_prices": (apis, ("input", "output", "cached_input")),
    }
    turned = {
        kind: {
            key: record.model_copy(
                update={
                    name: getattr(record, name) * factor
                    for name in fields
                    if getattr(record, name) is not None
                }
            )
            for key, record in getattr(catalogue, kind).items()
        }
        for kind, (factor, fields) in kinds.items()
        if factor != 1
    }
    return replace(catalogue, **turned)


def circumstances(team: Team, priced: Catalogue, end: str = "") -> Plan:
    """
    A plan by closed forms at other prices and at one end of the bands of speed.

    Parameters
    ----------
    team : Team
        The requirement.
    priced : Catalogue
        From `prices`.
    end : {"", "low", "high"}
        Where all machines turn out; empty: as predicted.

    Returns
    -------
    plan : Plan
    """
    catalogue, terms = load(), Terms(team, priced)
    models, refused_models = options.models(team, catalogue)
    servers, refused_servers = options.servers(team, catalogue)
    every = options.deployments(team, catalogue, models, servers)
    judged = judge.judge(every, team, careful=True).assign(decided_by="closed forms")
    if end:
        judged = at_end(judged, team, end)
    benchmark = team.quality.benchmark if team.quality else ""
    scores = {m.id: getattr(m.score(benchmark), "value", np.nan) for m in models}
    parts = [
        *planning._priced(judged, team, priced, terms),
        money.apis(team, priced, terms, scores),
        money.nothing(team, terms),
    ]
    table = planning._rank(planning._final_limits(planning._joined(parts, priced), team))
    refused = pd.concat([refused_models, refused_servers])
    return Plan(team, priced, table, refused, terms, date.today())


def at_end(judged: pd.DataFrame, team: Team, end: str) -> pd.DataFrame:
    """
    Judged deployments as they are where the speed turns out at one end of its band.

    Parameters
    ----------
    judged : DataFrame
        From `judge.judge`.
    team : Team
        Its limits of response time.
    end : {"low", "high"}
        The slow or the fast end.

    Returns
    -------
    judged : DataFrame
        Without a band; the limits are those of this end.
    """
    time = "high" if end == "low" else "low"
    rate = judged[f"rate_{end}"].to_numpy(float)
    before = judged["rate"].to_numpy(float)
    faster = np.divide(rate, before, out=np.ones(len(rate)), where=(before > 0) & (rate > 0))
    found = dict.fromkeys(("rate", "rate_low", "rate_high"), rate)
    found["rate_peak"] = judged["rate_peak"].to_numpy(float) * faster
    late = {}
    for name in ("ttft", "tpot"):
        alone = judged[f"{name}_alone_{time}"]
        found |= {f"{name}_alone{which}": alone for which in ("", "_low", "_high")}
        late[name] = (alone > team.slo.tightest(name)).to_numpy()
    limit = judged["limit"].to_numpy(object)
    timed = np.isin(limit, ["none", *late, "load"])
    cases = [timed & late["ttft"], timed & late["tpot"], timed & (rate > 0), timed]
    limit = np.select(cases, ["ttft", "tpot", "none", "load"], limit)
    return judged.assign(**found, limit=limit)


@lru_cache(maxsize=8)
def _as_planned(slug, changed):
    return circumstances(teams.read(slug, load()), load())


def as_planned(plan: Plan) -> Plan:
    """The plan of the same team with nothing turned."""
    return _as_planned(plan.team.slug, teams.find(plan.team.slug).stat().st_mtime_ns)
