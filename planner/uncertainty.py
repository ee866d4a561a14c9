"""
How sure the money of a plan is: percentiles, odds, regret, and what matters most.

Options are compared by net present cost, as the plan ranks them; percentiles are of the plain sum
over the years, the figure of the first page. Servers are bought as load and speed turn out to need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from planner import draws
from planner.draws import World
from planner.plan import Plan
from planner.remembered import remembered

PERCENTILES = (10, 50, 90)
WORST = 95  # percentile of regret that stands for a bad end
# The register of the report names these, though it stands before what uses them.
LATER = ("book_life", "lease_rate", "lease_residual_3y")
SAME = ["sourcing", "device_id", "provider", "model_id"]  # and another format: the same option
SOLVABLE = ("none", "policy")  # limits under which an option has a cost worth comparing


@dataclass(frozen=True)
class Outcome:
    """
    Cost of a team's top options under the same draws.

    Parameters
    ----------
    options : DataFrame, K rows
        Rows of ``plan.options``, the recommendation first.
    total, npv, servers : ndarray, shape (K, draws)
        Sum and present value over the plan; infinite where the limits cannot be held. [currency]
        Servers in the last year, of one's own. [server]
    """

    options: pd.DataFrame
    total: np.ndarray
    npv: np.ndarray
    servers: np.ndarray

    @cached_property
    def table(self) -> pd.DataFrame:
        """
        One row per option, in the order and with the index of ``options``.

        p10, p50, p90 of the cost and mean [currency]; servers_p10, servers_p50, servers_p90
        [server]; fails: share of draws in which the limits cannot be held; cheapest: share in which
        it is the cheapest of what is allowed; regret, regret_worst: mean and `WORST`th percentile
        of what it costs more than the best allowed option of the same draw [currency], NaN for what
        is not allowed.
        """
        columns = {}
        for name, values in (("p", self.total), ("servers_p", self.servers)):
            found = percentile(values, PERCENTILES)
            columns |= {f"{name}{at}": row for at, row in zip(PERCENTILES, found, strict=True)}
        columns |= {"mean": self.total.mean(axis=1), "fails": np.isinf(self.total).mean(axis=1)}
        allowed = (self.options["limit"] == "none").to_numpy()
        for column in ("cheapest", "regret", "regret_worst"):
            columns[column] = np.full(len(self.options), np.nan)
        if allowed.any():
            npv = self.npv[allowed]
            least = npv.min(axis=0)
            served = np.isfinite(least)  # where nothing holds the limits there is nothing to regret
            vain = self.options.loc[allowed, "npv"].to_numpy(float)[:, None]
            regret = np.where(np.isinf(npv), vain + least, npv)[:, served] - least[served]
            first = np.bincount(npv.argmin(axis=0), minlength=len(npv)) / npv.shape[1]
            columns["cheapest"][allowed] = first
            if served.any():
                columns["regret"][allowed] = regret.mean(axis=1)
                columns["regret_worst"][allowed] = percentile(regret, WORST)
        return pd.DataFrame(columns, index=self.options.index)

    def least_regret(self, column: str = "regret"):
        """Label of the allowed option of least mean (or worst) regret; None if none is allowed."""
        regret = self.table[column].dropna()
        return None if regret.empty else regret.idxmin()

    def cheaper(self, first, second) -> float:
        """Share of the draws in which one option costs less than another, by their labels."""
        rows = self.options.index.get_indexer([first, second])
        return float(np.mean(self.npv[rows[0]] < self.npv[rows[1]]))


def percentile(values: np.ndarray, percent: float | Sequence[float]) -> np.ndarray:
    """Value that so many per cent of each row do not exceed; an infinite one stays infinite."""
    return np.quantile(values, np.asarray(percent) / 100, axis=-1, method="inverted_cdf")


@remembered
def solvable(plan: Plan) -> dict[str, np.ndarray]:
    """
    Options that have a cost worth comparing, cheapest first.

    Parameters
    ----------
    plan : Plan
        With its options.

    Returns
    -------
    columns : dict of ndarray
        label, limit, sourcing, device_id, provider and model_id, empty where there is none; and
        sure: whether nothing but the policy is against it, at the slow end of the band of speed
        too.
    """
    table = plan.options
    limit, npv = table["limit"].to_numpy(), table["npv"].to_numpy(float)
    known = np.logical_or.reduce([limit == one for one in SOLVABLE]) & np.isfinite(npv)
    rows = np.flatnonzero(known & (table["sourcing"].to_numpy() != "nothing"))
    rows = rows[npv[rows].argsort(kind="stable")]
    columns = {name: table[name].to_numpy()[rows] for name in ("limit", *SAME)}
    columns = {name: np.where(ids == ids, ids, "") for name, ids in columns.items()}
    sure = table["certain"].to_numpy(bool)[rows] | (columns["limit"] == "policy")
    return {"label": table.index.to_numpy()[rows], "sure": sure, **columns}


def candidates(plan: Plan, most: int = 10) -> pd.DataFrame:
    """
    The options that deserve draws: every way of sourcing, each machine once.

    Parameters
    ----------
    plan : Plan
        With its options.
    most : int
        How many at most.

    Returns
    -------
    options : DataFrame
        The recommendation first; then the best of each way of sourcing (the two best of what the
        team's policy allows), then what is cheapest.
    """
    usable, first = solvable(plan), []
    if plan.chosen is not None:  # not once more in another format
        here = ["" if x != x else x for x in plan.chosen[SAME]]
        same = [usable[name] == x for name, x in zip(SAME, here, strict=True)]
        other = usable["sure"] & ~np.logical_and.reduce(same)
        usable, first = {name: column[other] for name, column in usable.items()}, [plan.chosen.name]
    label, allowed, ways = usable["label"], usable["limit"] == "none", Counter()
    machines, models = (
        _different(*(usable[name] for name in names)) for names in (SAME[:-1], SAME)
    )
    for row in machines:
        way = usable["sourcing"][row]
        ways[way] += 1
        if ways[way] == 1 or (ways[way] == 2 and allowed[row]):
            first.append(label[row])
    rows = [row for row in (*machines, *models) if allowed[row]]
    picked = dict.fromkeys([*first, *label[rows]])
    return plan.options.loc[list(picked)[:most]]


def _different(*columns):
    """Rows that are like none before them."""
    keys = list(zip(*columns, strict=True))
    return sorted(dict(zip(reversed(keys), reversed(range(len(keys))), strict=True)).values())


def outcome(plan: Plan, size: int = 10_000, seed: int = 1, most: int = 10) -> Outcome:
    """
    Price a team's top options under draws of everything uncertain.

    Parameters
    ----------
    plan : Plan
        The requirement and its options.
    size, seed : int
        As in `draws.draw`.
    most : int
        How many options at most.

    Returns
    -------
    outcome : Outcome
    """
    found = priced(plan, candidates(plan, most), size, seed)
    for key in LATER:
        plan.terms(key)
    return found


def priced(plan: Plan, options: pd.DataFrame, size: int = 10_000, seed: int = 1) -> Outcome:
    """
    Price given options under draws; those of one thing are the same in every call.

    Parameters
    ----------
    plan : Plan
        The requirement.
    options : DataFrame
        Rows of ``plan.options`` whose limit is one of `SOLVABLE`.
    size, seed : int
        As in `draws.draw`.

    Returns
    -------
    outcome : Outcome
    """
    kept = _costs(plan, size, seed)
    total, npv, servers = found = np.zeros((3, len(options), size))
    for at, label in enumerate(options.index):
        if label in kept:
            found[:, at] = kept[label]
    new = [at for at, label in enumerate(options.index) if label not in kept]
    rows = options.iloc[new]
    world = draws.draw(plan, rows, size, seed) if new else None
    for at, row in zip(new, rows.to_numpy(object).tolist(), strict=True):
        option = dict(zip(rows, row, strict=True))
        total[at], npv[at], servers[at] = _one(option, plan, world, _drawn(plan, size, seed))
        kept[options.index[at]] = found[:, at]
    return Outcome(options, total, npv, servers)


def _one(option, plan, world, terms):
    """Sums, present values and servers of one option; its lines, many arrays, end here."""
    table = draws.price(option, plan, world, terms=terms)
    if option["sourcing"] != "own":
        return table["total"], table["npv"], 0.0
    servers = np.where(np.isfinite(table["total"]), table["owned"][:, -1], np.inf)
    return table["total"], table["npv"], servers


@remembered
def _costs(plan, size, seed):
    """Sums, present values and servers under draws that were asked for, by label of the option."""
    return {}


@remembered
def _drawn(plan, size, seed):
    """The assumptions under the draws, which are the same for every option."""
    return draws.Drawn(plan, draws.draw(plan, plan.options[:0], size, seed))


@remembered
def best_of(plan: Plan, sourcing: str) -> pd.Series | None:
    """The cheapest option of one way of sourcing, allowed or not; None without one."""
    if plan.chosen is not None and plan.chosen["sourcing"] == sourcing:
        return plan.chosen
    usable = solvable(plan)
    rows = np.flatnonzero(usable["sure"] & (usable["sourcing"] == sourcing))
    return plan.options.loc[usable["label"][rows[0]]] if rows.size else None


@remembered
def sensitivity(plan: Plan, least: float = 1e-3) -> pd.DataFrame:
    """
    The recommendation's cost with one thing at a time at the ends of its range.

    Parameters
    ----------
    plan : Plan
        With a chosen option.
    least : float
        What moves the cost by a smaller share is left out. [fraction]

    Returns
    -------
    factors : DataFrame
        factor, low, high: the cost at the low and the high end of each; a slow machine is low.
        [currency]
    """
    option = plan.chosen
    named = {label: label for label in draws.FACTORS}
    ends = dict.fromkeys(named, 1.0)
    if option["sourcing"] in ("own", "rent"):
        named[draws.speed_name(option)], named[draws.price_name(option)] = (
            "Speed of the machine", "Price of the server" if option["sourcing"] == "own"
            else "Rent of an hour",
        )  # fmt: skip
        ends |= {draws.speed_name(option): draws.END, draws.price_name(option): 1.0}
    size = 2 * len(named)
    positions = {name: np.zeros(size) for name in named}
    for at, name in enumerate(named):
        positions[name][2 * at : 2 * at + 2] = -ends[name], ends[name]
    total = draws.price(option, plan, World(size, positions))["total"].reshape(-1, 2)
    frame = pd.DataFrame({"factor": list(named.values()), "low": total[:, 0], "high": total[:, 1]})
    known = np.isfinite(total).all(axis=1)
    moved = np.abs(np.diff(np.where(known[:, None], total, 0.0)))[:, 0] > least * option["total"]
    return frame[moved]
