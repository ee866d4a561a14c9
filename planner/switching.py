"""What would change the answer: break-even, and where one figure turns the order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from planner import draws, finance, pricing
from planner.draws import World
from planner.plan import Plan
from planner.remembered import remembered
from planner.uncertainty import best_of


@dataclass(frozen=True)
class Knob:
    """
    One figure that is turned until the cheaper of two options changes.

    Parameters
    ----------
    name : str
        calls, growth, tariff, api_price_decline, rental_price_decline, api_price, rent, price or
        speed.
    planned, low, high : float
        The figure as planned, and how far it is turned; in the unit of the figure.
    world : callable
        Values to the world in which the figure has them.
    """

    name: str
    planned: float
    low: float
    high: float
    world: Callable[[np.ndarray], World]

    def grid(self, count: int) -> np.ndarray:
        """Values to try, finer near zero where all are positive, the planned one among them."""
        if self.low > 0:
            values = np.geomspace(self.low, self.high, count)
        else:
            values = np.linspace(self.low, self.high, count)
        return np.unique(np.append(values, self.planned))


def knobs(plan: Plan, option: pd.Series, rival: pd.Series) -> list[Knob]:
    """The figures that matter between two options."""
    team, terms = plan.team, plan.terms
    by_kind = {row["sourcing"]: row for row in (option, rival)}

    def figure(key, scale=1.0):
        return lambda values: World(len(values), figures={key: values * scale})

    def price_of(sourcing, planned):
        return lambda values: World(len(values), prices={sourcing: values / planned})

    calls = team.workload.calls_per_day
    found = [
        Knob("calls", calls, 1e-3 * calls, 100 * calls, figure(draws.LEVEL, 1 / calls)),
        Knob("growth", team.growth.yearly, -0.5, 3.0, figure("growth")),
    ]
    for kind, name in (("own", "price"), ("rent", "rent")):
        if kind in by_kind:
            price = float(by_kind[kind]["price"])
            found.append(Knob(name, price, price / 20, 20 * price, price_of(kind, price)))
    if "own" in by_kind and team.policy.hosting == "own_room":
        key = f"electricity_tariff_{team.policy.region}"
        unit = terms.money(1.0, plan.catalogue.assumptions[key].unit)  # the file's currency
        tariff = terms(key)
        found.append(Knob("tariff", tariff, 0.0, max(20 * tariff, unit), figure(key, 1 / unit)))
    if "rent" in by_kind:
        key = "rental_price_decline"
        found.append(Knob(key, terms(key), 0.0, 0.95, figure(key)))
    if "api" in by_kind:
        key = "api_price_decline"
        found.append(Knob(key, terms(key), 0.0, 0.99, figure(key)))
        found.append(Knob("api_price", 1.0, 0.01, 1000.0, price_of("api", 1.0)))
    return found


def margin(plan: Plan, option: Mapping, rival: Mapping, world: World) -> np.ndarray:
    """What a rival costs more than an option, in every set of a world; NaN if neither serves."""
    terms = draws.Drawn(plan, world)
    other, own = (draws.price(row, plan, world, terms=terms)["npv"] for row in (rival, option))
    with np.errstate(invalid="ignore"):
        return other - own


def crossings(values: list[np.ndarray], ahead) -> list[list[tuple[float, bool]]]:
    """
    Where a margin changes its sign along each of several figures.

    Parameters
    ----------
    values : list of ndarray
        Of each figure, increasing.
    ahead : callable
        From such a list to the margins at each of its values, in one array; ahead where they are
        zero or above.

    Returns
    -------
    crossings : list of list of (float, bool)
        For each figure the values, and whether the option is ahead above them.
    """

    def sides(tried):
        ends = np.cumsum([grid.size for grid in tried])[:-1]
        parts = np.split(ahead([grid.ravel() for grid in tried]) >= 0, ends)
        return [part.reshape(grid.shape) for part, grid in zip(parts, tried, strict=True)]

    found = []
    for grid, side in zip(values, sides(values), strict=True):
        at = np.flatnonzero(side[1:] != side[:-1])
        found.append((grid[at], grid[at + 1], side[at + 1]))
    for _ in range(3 if any(low.size for low, *_ in found) else 0):  # close in on all of them
        finer = [np.linspace(low, high, 33) for low, high, _ in found]
        for place, (grid, side) in enumerate(zip(finer, sides(finer), strict=True)):
            upwards, column = found[place][2], np.arange(grid.shape[1])
            last = (side == upwards).argmax(axis=0)
            found[place] = grid[np.maximum(last - 1, 0), column], grid[last, column], upwards
    return [
        list(zip(np.where(up, high, low).tolist(), up.tolist(), strict=True))
        for low, high, up in found
    ]


@remembered
def switches(plan: Plan, count: int = 120) -> pd.DataFrame:
    """
    Values at which something else becomes cheaper than the recommendation, one figure at a time.

    Parameters
    ----------
    plan : Plan
        With a chosen option.
    count : int
        Values tried for every figure.

    Returns
    -------
    switches : DataFrame
        knob, planned, value (nearest to the planned one), below (whether the order changes below
        it or above), rival (label of ``plan.options``), now (whether the recommendation is the
        cheaper one as planned).
    """
    option, rows = plan.chosen, []
    for sourcing in ("own", "rent", "api"):
        rival = best_of(plan, sourcing)
        if rival is None or sourcing == option["sourcing"]:
            continue
        turned, pair = knobs(plan, option, rival), (option.to_dict(), rival.to_dict())

        def ahead(values, turned=turned, pair=pair):
            worlds = [knob.world(grid) for knob, grid in zip(turned, values, strict=True)]
            return margin(plan, *pair, draws.together(worlds))

        now = bool(rival["npv"] >= option["npv"])
        found = crossings([knob.grid(count) for knob in turned], ahead)
        for knob, turns in zip(turned, found, strict=True):
            if turns:  # one beyond another is not where the planned order ends
                value = min((value for value, _ in turns), key=lambda x: abs(x - knob.planned))
                rows.append((knob.name, knob.planned, value, value < knob.planned, rival.name, now))
    return pd.DataFrame(rows, columns=["knob", "planned", "value", "below", "rival", "now"])


@dataclass(frozen=True)
class BreakEven:
    """
    Where an option becomes cheaper than a rival.

    Parameters
    ----------
    calls, until : float
        Calls a day of the first year from which, and up to which, it is cheaper; calls is infinite
        if it never is, until where it stays so. [call/day]
    tokens : float
        Prompt and output tokens of so many calls. [token/month]
    served : float
        What the machines of the plan carry within the limits, as calls a day of the first year;
        beyond it the question is another plan's. [call/day]
    months : tuple of (int, bool)
        Months in which the cumulative costs cross, and whether the option is ahead afterwards:
        none, one or several. [month]
    """

    calls: float
    until: float
    tokens: float
    served: float
    months: tuple

    @property
    def never(self) -> bool:
        """Whether there is no such load at this size."""
        return not np.isfinite(self.calls)


def served(option: pd.Series, plan: Plan) -> float:
    """Calls a day of the first year that the machines bought or rented for it carry. [call/day]"""
    team, years = plan.team, plan.team.growth.years
    if option["sourcing"] == "own":
        servers = np.array([option[f"servers_{year}"] for year in range(1, years + 1)], float)
        replicas = (servers - team.policy.spare_servers) * option["per_server"]
        replicas = replicas - team.policy.spare_replicas
    elif option["sourcing"] == "rent":
        replicas = pricing.working(np.array([option["rate"]]), pricing.demand(team).peak)[0]
    else:
        return float("inf")
    growth = (1.0 + team.growth.yearly) ** np.arange(years)
    rate = np.min(replicas * option["rate"] / growth)
    return float(rate * 3600 / team.workload.busiest_hour_share)


def break_even(plan: Plan, option: pd.Series, rival: pd.Series, months=None) -> BreakEven:
    """
    Load and month from which an option is cheaper than a rival.

    Parameters
    ----------
    plan : Plan
        The requirement.
    option, rival : Series
        Rows of ``plan.options``.
    months : tuple of two ndarray, optional
        Their cost of every month, for the months in which the cumulative costs cross. [currency]

    Returns
    -------
    result : BreakEven
        Each load has the machines that it needs, up to those of the plan.
    """
    load, most = plan.team.workload, served(option, plan)
    highest = most if np.isfinite(most) else 100 * load.calls_per_day
    pair = option.to_dict(), rival.to_dict()

    def ahead(values):
        (calls,) = values
        world = World(len(calls), figures={draws.LEVEL: calls / load.calls_per_day})
        return margin(plan, *pair, world)

    values = np.geomspace(min(1.0, highest / 1e3), highest, 200)
    (found,) = crossings([values], ahead)
    upwards = [value for value, up in found if up]
    if not upwards and ahead([values[:1]])[0] >= 0:
        upwards = [values[0]]
    calls = max(upwards, default=np.inf)
    until = min((value for value, up in found if not up and value > calls), default=np.inf)
    tokens = calls * load.days_per_year / 12 * (load.prompt_tokens + load.output_tokens)
    crossed = ()
    if months is not None:
        where = np.flatnonzero(finance.break_even_month(*months).crossings) + 1
        # The option begins behind, so that every odd crossing is a gain.
        crossed = tuple((int(month), number % 2 == 0) for number, month in enumerate(where))
    return BreakEven(float(calls), float(until), float(tokens), most, crossed)
