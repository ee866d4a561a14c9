"""A team's best ways to serve, priced again for a dial: other load, lengths, prices, assumptions.

The plan is made once for a team. What is kept of it are the machines that are cheapest at some
load, so that the cheapest machine follows the load; they are priced by the formulas of the plan.
Where lengths change, the closed forms carry what a replica was found to carry over to them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from planner import draws, judge, options, pricing, uncertainty
from planner import plan as planning
from planner.draws import END, LEVEL, World
from planner.plan import Plan
from planner.team_plans import planned, recommended
from planner.terms import Terms

LOADS = np.geomspace(1e-3, 1e3, 25)  # at which a machine must be cheapest to be kept [ratio]
ENDS = np.array([0.0, -1.0, 1.0])  # cost as planned, low and high
DECLINE = "API price decline"
JUDGED = ["model_id", "weight_format", "engine", "server_id", "device_id", "kind", "tp",
          "n_devices", "sockets", "per_server", "quality", "memory"]  # fmt: skip
RATES = ["rate", "rate_low", "rate_high", "rate_peak"]
KINDS = ("own", "rent", "api", "nothing")


class Dialled(NamedTuple):
    """
    What the dials say; 1 and the defaults are what the team's file and the assumptions say.

    Parameters
    ----------
    team : str
        Name of its file.
    calls_factor, prompt_factor, output_factor : float
        Relative to the team's own. [ratio]
    years : int
        Of the plan. [year]
    price_factor, rent_factor, api_factor, tariff_factor, staff_factor : float
        Prices of servers, of rented hours, of APIs and of electricity, and hours of staff, relative
        to what is planned. [ratio]
    pue, discount_rate : float
        [ratio], [1/year]
    economic_life : int
        Of a server. [year]
    """

    team: str
    calls_factor: float = 1.0
    prompt_factor: float = 1.0
    output_factor: float = 1.0
    years: int = 3
    price_factor: float = 1.0
    rent_factor: float = 1.0
    api_factor: float = 1.0
    tariff_factor: float = 1.0
    staff_factor: float = 1.0
    pue: float = 1.54
    economic_life: int = 5
    discount_rate: float = 0.08


class Priced(NamedTuple):
    """
    One way to serve.

    Parameters
    ----------
    option : Series
        A row of the plan, with the machines of the dialled load.
    table : dict of ndarray
        From `draws.price`: as planned, at the low and at the high end of the cost.
    """

    option: pd.Series
    table: dict

    @property
    def total(self) -> tuple[float, float, float]:
        """As planned, low, high. [currency]"""
        return tuple(float(x) for x in self.table["total"])

    def line(self, name: str) -> float:
        """One cost line over the plan, as planned. [currency]"""
        return float(self.table[name][0].sum()) if name in self.table else 0.0


def turned(plan: Plan, dials: Dialled) -> Plan:
    """
    A plan with the team and the assumptions of the dials; its options stay as they were.

    Parameters
    ----------
    plan : Plan
        Of a team.
    dials : Dialled

    Returns
    -------
    plan : Plan
        For `draws.price`.
    """
    team, terms = plan.team, plan.terms
    asked = lengths(team.workload, dials.prompt_factor, dials.output_factor)
    calls = asked.calls_per_day * dials.calls_factor
    figures = dict(team.assumptions)
    for key in ("pue", "economic_life", "discount_rate"):
        if getattr(dials, key) != plan.catalogue.assumptions[key].value:
            figures[key] = getattr(dials, key)
    tariff = f"electricity_tariff_{team.policy.region}"
    figures[tariff] = terms(tariff) * dials.tariff_factor
    for key in ("staff_hours_fixed", "staff_hours_per_server"):
        figures[key] = terms(key) * dials.staff_factor
    team = team.model_copy(update={
        "workload": asked.model_copy(update={"calls_per_day": calls}),
        "growth": team.growth.model_copy(update={"years": dials.years}),
        "assumptions": figures,
    })  # fmt: skip
    return replace(plan, team=team, terms=Terms(team, plan.catalogue))


def lengths(asked, prompt_factor: float, output_factor: float):
    """
    A workload with longer or shorter calls; its context grows with them where it must.

    Parameters
    ----------
    asked : Workload
        Of a team.
    prompt_factor, output_factor : float
        [ratio]

    Returns
    -------
    workload : Workload
    """
    prompt = max(asked.prompt_tokens * prompt_factor, 1.0)
    output = max(asked.output_tokens * output_factor, 2.0)
    changes = {"prompt_tokens": prompt, "output_tokens": output}
    changes["context_tokens"] = max(asked.context_tokens, int(np.ceil(prompt + output)))
    how = asked.arrivals
    if how.kind == "sessions":  # its turns grow in proportion
        first = how.first_prompt_tokens * prompt_factor
        system = int(how.system_tokens * prompt_factor)
        grown = {"first_prompt_tokens": first, "system_tokens": system}
        changes["arrivals"] = how.model_copy(update=grown)
    return asked.model_copy(update=changes)


@lru_cache(maxsize=8)
def kept(team: str) -> tuple[pd.Series, ...]:
    """
    Machines that are cheapest at some load, the recommendation, and the APIs beside them.

    Parameters
    ----------
    team : str
        Name of its file.

    Returns
    -------
    options : tuple of Series
        Rows of the plan.
    """
    plan = planned(team)
    table = plan.options
    usable = table[
        table["limit"].isin(uncertainty.SOLVABLE) & np.isfinite(table["npv"])
        & (table["certain"] | (table["limit"] == "policy"))
    ].sort_values("npv", kind="stable")  # fmt: skip
    found = {}
    for kind in ("own", "rent"):
        part = usable[usable["sourcing"] == kind].drop_duplicates(["device_id", "server_id"])
        if part.empty:
            continue
        world = World(len(LOADS), figures={LEVEL: LOADS})
        costs = np.array([draws.price(row, plan, world)["npv"] for _, row in part.iterrows()])
        served = np.isfinite(costs).any(axis=0)
        rows = [int(i) for i in np.unique(costs[:, served].argmin(axis=0))]
        best = uncertainty.best_of(plan, kind)
        found |= dict.fromkeys([best.name, *part.index[rows]])
    models = {table.loc[name, "model_id"] for name in found}
    apis = usable[usable["sourcing"] == "api"]
    found |= dict.fromkeys(apis.index[:1])
    found |= dict.fromkeys(apis.index[apis["model_id"].isin(models)][:1])
    return tuple(table.loc[name] for name in found)


@lru_cache(maxsize=64)
def carried(team: str, prompt_factor: float, output_factor: float) -> tuple[pd.Series, ...]:
    """
    The same options with what they carry of longer or shorter calls.

    Parameters
    ----------
    team : str
        Name of its file.
    prompt_factor, output_factor : float
        [ratio]

    Returns
    -------
    options : tuple of Series
        The plan's own rates times what the closed forms say of both lengths; without those that
        miss a limit at the new ones.
    """
    usual = kept(team)
    if prompt_factor == output_factor == 1.0:
        return usual
    hosted = [option for option in usual if option["sourcing"] in ("own", "rent")]
    if not hosted:
        return usual
    asked = planned(team).team
    longer = asked.model_copy(
        update={"workload": lengths(asked.workload, prompt_factor, output_factor)}
    )
    before, after = _closed(team), judge.judge(_described(team), longer, careful=True)
    made = {}
    for place, option in enumerate(hosted):
        new, old = after.iloc[place], before.iloc[place]
        option = option.copy()
        if new["limit"] != "none" or not new["rate"] > 0:
            continue
        for name in RATES:
            option[name] = option[name] * (new[name] / old[name] if old[name] > 0 else 0.0)
        for name in ("tpot_alone", "ttft_alone"):
            for end in ("", "_low", "_high"):
                option[name + end] = new[name + end]
        made[option.name] = option
    others = {option.name: option for option in usual if option["sourcing"] == "api"}
    return tuple((made | others).values())


@lru_cache(maxsize=8)
def _described(team):
    hosted = [option[JUDGED] for option in kept(team) if option["sourcing"] in ("own", "rent")]
    return options.described(pd.DataFrame(hosted).infer_objects().reset_index(drop=True))


@lru_cache(maxsize=8)
def _closed(team):
    return judge.judge(_described(team), planned(team).team, careful=True)


def world(option, dials, levels=None):
    """
    The sets of figures of the dials: cost as planned, at its low and at its high end.

    Parameters
    ----------
    option : Series
        A row of the plan.
    dials : Dialled
    levels : ndarray, optional
        Calls relative to those of the team's file, each with all three ends. [ratio]

    Returns
    -------
    world : World
        For `draws.price`.
    """
    ends = ENDS if levels is None else np.repeat(ENDS, len(levels))
    figures = {} if levels is None else {LEVEL: np.tile(levels, 3)}
    positions = {DECLINE: -ends} if option["sourcing"] == "api" else {}
    if option["sourcing"] in ("own", "rent"):
        positions = {draws.speed_name(option): -END * ends, draws.price_name(option): ends}
    prices = {"own": dials.price_factor, "rent": dials.rent_factor, "api": dials.api_factor}
    return World(len(ends), positions, figures, prices)


@lru_cache(maxsize=64)
def priced(dials: Dialled) -> dict[str, Priced]:
    """
    The best of every way to serve under the dials.

    Parameters
    ----------
    dials : Dialled

    Returns
    -------
    best : dict of str to Priced
        own, rent, api where the team's catalogue has one that serves it, and nothing.
    """
    plan, chosen = turned(planned(dials.team), dials), recommended(dials.team)
    rows = []
    for option in carried(dials.team, dials.prompt_factor, dials.output_factor):
        table = draws.price(option, plan, world(option, dials))
        sure = bool(np.isfinite(table["total"]).all())
        rows.append((option, table, float(table["npv"][0]), sure))
    best = {}
    for kind in ("own", "rent", "api"):
        found = [row for row in rows if row[0]["sourcing"] == kind and np.isfinite(row[2])]
        if not found:
            continue
        frame = pd.DataFrame({
            "npv": [row[2] for row in found],
            "certain": [row[3] or row[0]["limit"] == "policy" for row in found],
            **{name: [row[0][name] for row in found] for name in ("quality", "bits")},
        })  # fmt: skip
        ours = chosen is not None and chosen["sourcing"] == kind
        place = planning.choice(frame).name if ours else frame["npv"].idxmin()
        option, table, _, _ = found[place]
        best[kind] = Priced(_machines(option, table, plan), table)
    nothing = pricing.added_up((3, dials.years), plan.terms)
    best["nothing"] = Priced(pd.Series({"sourcing": "nothing"}), nothing)
    return best


def _machines(option, table, plan):
    """The row with the machines of this load, for words."""
    if option["sourcing"] not in ("own", "rent"):
        return option
    policy, option = plan.team.policy, option.copy()
    peak = pricing.demand(plan.team).peak
    working = pricing.working(np.array([option["rate"]]), peak)[0]
    each = option["per_server"] if option["sourcing"] == "own" else 1
    option["working"] = working[-1]
    option["replicas"] = working[-1] + policy.spare_replicas + policy.spare_servers * each
    option["devices"] = option["replicas"] * option["n_devices"]
    if option["sourcing"] == "own":
        owned = table["owned"][0]
        option["servers"], option["servers_1"] = owned[-1], owned[0]
    return option
