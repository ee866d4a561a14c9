"""
How sure the money of a plan is: percentiles, odds, regret, and what matters most.

Options are compared by net present cost, as the plan ranks them; percentiles are of the plain sum
over the years, the figure of the first page. Servers are bought as load and speed turn out to need.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from planner import draws
from planner.draws import World
from planner.plan import Plan

PERCENTILES = (10, 50, 90)
WORST = 95  # percentile of regret that stands for a bad end
# The register of the report names these, though it stands before what uses them.
LATER = ("book_life", "lease_rate", "lease_residual_3y")
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
        frame = pd.DataFrame(index=self.options.index)
        for percent in PERCENTILES:
            frame[f"p{percent}"] = percentile(self.total, percent)
            frame[f"servers_p{percent}"] = percentile(self.servers, percent)
        frame["mean"] = self.total.mean(axis=1)
        frame["fails"] = np.isinf(self.total).mean(axis=1)
        allowed = (self.options["limit"] == "none").to_numpy()
        for column in ("cheapest", "regret", "regret_worst"):
            frame[column] = np.nan
        if allowed.any():
            npv = self.npv[allowed]
            least = npv.min(axis=0)
            served = np.isfinite(least)  # where nothing holds the limits there is nothing to regret
            vain = self.options.loc[allowed, "npv"].to_numpy(float)[:, None]
            regret = np.where(np.isinf(npv), vain + least, npv)[:, served] - least[served]
            first = np.bincount(npv.argmin(axis=0), minlength=len(npv)) / npv.shape[1]
            frame.loc[allowed, "cheapest"] = first
            if served.any():
                frame.loc[allowed, "regret"] = regret.mean(axis=1)
                frame.loc[allowed, "regret_worst"] = percentile(regret, WORST)
        return frame

    def least_regret(self, column: str = "regret"):
        """Label of the allowed option of least mean (or worst) regret; None if none is allowed."""
        regret = self.table[column].dropna()
        return None if regret.empty else regret.idxmin()

    def cheaper(self, first, second) -> float:
        """Share of the draws in which one option costs less than another, by their labels."""
        rows = self.options.index.get_indexer([first, second])
        return float(np.mean(self.npv[rows[0]] < self.npv[rows[1]]))


def percentile(values: np.ndarray, percent: float) -> np.ndarray:
    """Value that so many per cent of each row do not exceed; an infinite one stays infinite."""
    return np.quantile(values, percent / 100, axis=-1, method="inverted_cdf")


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
    table = plan.options
    usable = table[
        table["limit"].isin(SOLVABLE) & np.isfinite(table["npv"]) & (table["sourcing"] != "nothing")
    ]
    if plan.chosen is not None:
        usable = usable[usable["certain"] | (usable["limit"] == "policy")]
    usable = usable.sort_values("npv", kind="stable")
    keys, picked = ["sourcing", "device_id", "provider", "model_id"], []
    if plan.chosen is not None:  # not once more in another format
        picked = [plan.chosen.name]
        same = usable[keys].fillna("") == plan.chosen[keys].fillna("")
        usable = usable[~same.all(axis=1)]
    machines, models = usable.drop_duplicates(keys[:-1]), usable.drop_duplicates(keys)
    known = machines.groupby("sourcing", sort=False)
    best = machines[
        (known.cumcount() == 0) | ((known.cumcount() == 1) & (machines["limit"] == "none"))
    ]
    allowed = [part.index[part["limit"] == "none"] for part in (machines, models)]
    picked = dict.fromkeys([*picked, *best.index, *allowed[0], *allowed[1]])
    return table.loc[list(picked)[:most]]


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
    world = draws.draw(plan, options, size, seed)
    total, npv, servers = (np.zeros((len(options), size)) for _ in range(3))
    for at, (_, option) in enumerate(options.iterrows()):
        table = draws.price(option, plan, world)
        total[at], npv[at] = table["total"], table["npv"]
        if option["sourcing"] == "own":
            servers[at] = np.where(np.isfinite(total[at]), table["owned"][:, -1], np.inf)
    return Outcome(options, total, npv, servers)


def best_of(plan: Plan, sourcing: str) -> pd.Series | None:
    """The cheapest option of one way of sourcing, allowed or not; None without one."""
    table = plan.options
    kind = table[
        (table["sourcing"] == sourcing)
        & table["limit"].isin(SOLVABLE)
        & np.isfinite(table["npv"])
        & (table["certain"] | (table["limit"] == "policy"))
    ]
    if plan.chosen is not None and plan.chosen["sourcing"] == sourcing:
        return plan.chosen
    return None if kind.empty else kind.sort_values("npv", kind="stable").iloc[0]


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
    moved = (frame["high"] - frame["low"]).abs() > least * option["total"]
    return frame[moved & np.isfinite(frame["low"]) & np.isfinite(frame["high"])]
