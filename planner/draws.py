"""
One option priced under many sets of figures at once: draws, ends of ranges, or a grid.

Everything uncertain has a position. At 0 it is the planned figure, and equally likely to turn out
above and below it. Ranges of prices and assumptions are the ends of what is held plausible: their
position is triangular from -1 (low) to 1 (high), linear in the figure on either side. Bands of
speed hold 90 % of the errors that were measured: their position is a standard normal deviate, and
speed is lognormal on either side (a split lognormal), with 5 % below the low end and 5 % above the
high one. What is the same thing has one position, whichever option it is asked for: the speed of a
device with an engine, the market price of a device, demand.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.special import ndtri

from planner import money, pricing
from planner.plan import Plan
from planner.terms import Terms

END = float(ndtri(0.95))  # deviate at the ends of a 90 % band
LEVEL, GROWTH = "demand_level", "demand_growth_factor"
# What is uncertain beside the speed and the price of each machine: words, and the assumptions that
# move together because they are one thing.
FACTORS = {
    "Calls a day": (LEVEL,),
    "Growth of demand": (GROWTH,),
    "Electricity tariff": tuple(f"electricity_tariff_{region}" for region in ("us", "eu", "cn")),
    "Rise of the tariff": ("electricity_tariff_growth",),
    "PUE": ("pue",),
    "Colocation price": ("colocation_per_kw_month", "colocation_per_kw_month_cn"),
    "Remote hands": ("remote_hands_hours", "remote_hands_rate"),
    "Residual value": ("residual_3y",),
    "Support contract": ("support_rate",),
    "Hours of staff": ("staff_hours_fixed", "staff_hours_per_server"),
    "Cost of an hour of staff": tuple(f"staff_rate_{region}" for region in ("us", "eu", "cn")),
    "Network": ("network_adder",),
    "Installation and rack": ("installation_rate", "rack_per_unit"),
    "Spares": ("spares_rate",),
    "Contingency that is spent": ("contingency_rate",),
    "Interest of the lease": ("lease_rate",),
    "API price decline": ("api_price_decline",),
    "Rental price decline": ("rental_price_decline",),
    "Discount for reserving": ("rental_reserved_discount",),
    "Exchange rate of the euro": ("fx_eur_per_usd",),
    "Exchange rate of the yuan": ("fx_cny_per_usd",),
}
FACTOR_OF = {key: label for label, keys in FACTORS.items() for key in keys}


@dataclass(frozen=True)
class World:
    """
    Sets of figures; what is not named stays as planned.

    Parameters
    ----------
    size : int
        Number of sets.
    positions : dict of str to ndarray, shape (size,)
        By name: a key of `FACTORS`, or a name from `speed_name` or `price_name`. [1]
    figures : dict of str to ndarray, shape (size,)
        Assumptions themselves, in the unit of their file, and growth [1/year]; they go before
        positions, except where they are NaN. [various]
    prices : dict of str to ndarray, shape (size,)
        Price relative to the planned one, by sourcing: own, rent or api. [ratio]
    speed : ndarray, shape (size,)
        Speed of every hosted option relative to the planned one. [ratio]
    """

    size: int
    positions: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)
    prices: dict = field(default_factory=dict)
    speed: np.ndarray | float = 1.0

    def position(self, name: str) -> np.ndarray:
        """Position of one thing in every set; zero where it is not named. [1]"""
        return self.positions.get(name, np.zeros(self.size))


def together(worlds: Sequence[World]) -> World:
    """
    Worlds without positions as one, to price in all of them at once.

    Parameters
    ----------
    worlds : sequence of World
        In the order of their sets.

    Returns
    -------
    world : World
        A figure is as planned in the sets of a world that does not name it.
    """

    def joined(name, usual):
        named = dict.fromkeys(key for world in worlds for key in getattr(world, name))
        return {
            key: np.concatenate(
                [np.full(world.size, getattr(world, name).get(key, usual)) for world in worlds]
            )
            for key in named
        }

    size = sum(world.size for world in worlds)
    return World(size, {}, joined("figures", np.nan), joined("prices", 1.0))


class Drawn(Terms):
    """
    Assumptions with one figure for every set of a world.

    Parameters
    ----------
    plan : Plan
        Its terms register what is used here.
    world : World
        A figure that the team's own file states is not drawn.
    """

    def __init__(self, plan: Plan, world: World):
        super().__init__(plan.team, plan.catalogue)
        self.world, self._used, self._known = world, plan.terms._used, {}

    @cached_property
    def load(self) -> pricing.Demand:
        """Load of every year, in every set of the world."""
        ones = np.ones(self.world.size)
        growth = np.maximum(self.team.growth.yearly * self(GROWTH), -0.95) * ones
        stated = self.world.figures.get("growth", growth)
        growth = np.where(np.isnan(stated), growth, stated)
        return pricing.demand(self.team, self(LEVEL) * ones, growth)

    def __call__(self, key: str, which: str = "value"):
        drawn = key in self.world.figures or FACTOR_OF.get(key) in self.world.positions
        if which != "value" or not drawn:
            return super().__call__(key, which)
        if key not in self._known:
            self._known[key] = self._figure(key)
        return self._known[key]

    def _figure(self, key):
        planned, name = super().__call__(key), FACTOR_OF.get(key)
        record, stated = self.catalogue.assumptions[key], self.world.figures.get(key)
        exchange = key.startswith("fx_")
        if key not in self.team.assumptions and name in self.world.positions:
            figure = between(self.world.position(name), record.low, record.value, record.high)
            planned = figure if exchange else self.money(figure, record.unit)
        if stated is None:
            return planned
        return np.where(
            np.isnan(stated), planned, stated if exchange else self.money(stated, record.unit)
        )


def between(position, low, middle, high):
    """
    Figure at a position of its range.

    Parameters
    ----------
    position : numeric
        -1 is low, 0 the middle, 1 high; linear on either side, and beyond the ends. [1]
    low, middle, high : numeric
        [any unit]

    Returns
    -------
    figure : numeric
        In the same unit.

    Examples
    --------
    >>> between(np.array([-1, -0.5, 0, 0.5, 1]), 8, 10, 20)
    array([ 8.,  9., 10., 15., 20.])
    """
    position = np.asarray(position, float)
    below, above = np.minimum(position, 0.0), np.maximum(position, 0.0)
    return middle + below * (middle - low) + above * (high - middle)


def rate_between(position, low, middle, high, stops=-END):
    """
    Rate of one replica at a position of its 90 % band.

    Parameters
    ----------
    position : ndarray, shape (N,)
        Standard normal deviate of speed; the ends of the band are at -1.645 and 1.645. [1]
    low, middle, high : float
        Rates at the slow end, as predicted, and at the fast end. [1/s]
    stops : float
        Where the slow end carries nothing: the position at which a limit is missed even without
        load. Towards it the rate falls linearly. [1]

    Returns
    -------
    rate : ndarray, shape (N,)
        [1/s]

    Examples
    --------
    >>> rate_between(np.array([-1.645, 0, 1.645]), 1, 2, 8).round(2)
    array([1., 2., 8.])
    >>> rate_between(np.array([-1.0, -0.5, 0]), 0, 2, 8, stops=-1.0)
    array([0., 1., 2.])
    """
    position = np.asarray(position, float)
    if not middle > 0:
        return np.zeros_like(position)
    faster = middle * (max(high, middle) / middle) ** (np.maximum(position, 0.0) / END)
    below = np.minimum(position, 0.0)
    if low > 0:
        return faster * (min(low, middle) / middle) ** (-below / END)
    return faster * np.clip(1.0 - below / stops, 0.0, 1.0)


def speed_name(option: Mapping) -> str:
    """Name of the position of a hosted option's speed: shared by device and engine."""
    return f"speed of {option['device_id']} with {option['engine']}"


def price_name(option: Mapping) -> str:
    """Name of the position of its price: shared by what is sold with one accelerator."""
    return f"price of {option['sourcing']} {option['device_id']}"


def draw(plan: Plan, options: pd.DataFrame, size: int = 10_000, seed: int = 1) -> World:
    """
    Draw everything uncertain: the same draws for every option.

    Parameters
    ----------
    plan : Plan
        The requirement and what is known.
    options : DataFrame
        Rows of ``plan.options``.
    size : int
        Number of draws.
    seed : int
        Draws of one thing depend on its name and on this only.

    Returns
    -------
    world : World
    """
    rows = options[["sourcing", "device_id", "engine"]].to_dict("records")
    rows = [row for row in rows if row["sourcing"] in ("own", "rent")]
    names = dict.fromkeys([*FACTORS, *map(price_name, rows)])
    positions = {name: _drawn(name, size, seed, triangular) for name in names}
    positions |= {speed_name(row): _drawn(speed_name(row), size, seed, ndtri) for row in rows}
    return World(size, positions)


@lru_cache(maxsize=128)  # every team's draws of one thing are the same
def _drawn(name, size, seed, shape):
    position = shape(uniform(name, size, seed))
    position.flags.writeable = False
    return position


def uniform(name: str, size: int, seed: int) -> np.ndarray:
    """Stratified draws between 0 and 1: one in each of as many equal parts, in random order."""
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return (random.permutation(size) + random.random(size)) / size


def triangular(share: np.ndarray) -> np.ndarray:
    """
    Position between -1 and 1 below which a share of a symmetric triangle lies.

    Examples
    --------
    >>> triangular(np.array([0, 0.125, 0.5, 1]))
    array([-1. , -0.5,  0. ,  1. ])
    """
    left, right = np.minimum(share, 0.5), np.maximum(share, 0.5)
    return np.sqrt(2 * left) - np.sqrt(2 * (1 - right))


def speeds(option: Mapping, plan: Plan, world: World) -> np.ndarray:
    """What one replica carries within the limits, in every set of a world. [1/s]"""
    stops, slo = -END, plan.team.slo
    for name, limit in (("tpot_alone", slo.tpot_p95), ("ttft_alone", slo.ttft_p95)):
        wide = np.log(option[f"{name}_high"] / option[name])
        if np.isfinite(limit) and wide > 0:
            stops = max(stops, -END * np.log(max(limit / option[name], 1 + 1e-9)) / wide)
    return world.speed * rate_between(
        world.position(speed_name(option)), option["rate_low"], option["rate"],
        option["rate_high"], stops,
    )  # fmt: skip


def price(
    option: Mapping,
    plan: Plan,
    world: World,
    purchase: str | None = None,
    terms: Drawn | None = None,
) -> dict:
    """
    Cost of one option in every set of a world.

    Parameters
    ----------
    option : Series or dict
        A row of ``plan.options``.
    plan : Plan
        Requirement, prices and assumptions.
    world : World
        Sets of figures.
    purchase : {"cash", "lease"}, optional
        Of owned servers, instead of the team's policy.
    terms : Drawn, optional
        The assumptions of this world, where several options are priced in it.

    Returns
    -------
    table : dict of ndarray
        Cost lines, shape (size, years); total and npv, shape (size,), infinite where the limits
        cannot be held, or only with more servers than the policy allows. [currency]
    """
    team, terms = plan.team, terms or Drawn(plan, world)
    load, ones = terms.load, np.ones(world.size)
    factor = world.prices.get(option["sourcing"], 1.0)
    if option["sourcing"] == "api":
        prices = money.api_prices(plan.catalogue.api_prices[option["provider"]], team, terms)
        return pricing.api([p * factor * ones for p in prices], load.calls, team, terms)
    if option["sourcing"] == "nothing":
        return pricing.added_up(load.calls.shape, terms)
    rate = speeds(option, plan, world) * ones
    working = pricing.working(rate, load.peak)
    at = world.position(price_name(option))
    if option["sourcing"] == "rent":
        offer = money.rental_offers(plan.catalogue)[option["device_id"]]
        amount = terms.money(between(at, offer.price_low, offer.price, offer.price_high),
                             offer.currency)  # fmt: skip
        reserved = np.full(world.size, option["contract"] == "reserved")
        return pricing.rent(
            working, option["tp"] * ones, amount * factor * ones, reserved, team, terms
        )
    server = plan.catalogue.servers[option["server_id"]]
    quote = team.quotes.get(server.id)
    amount = (
        terms.money(quote.price, quote.currency) if quote
        else terms.money(between(at, server.price_low, server.price, server.price_high),
                         server.currency)
    )  # fmt: skip
    machine = money.machine(server)
    peak = option["rate_peak"] * np.where(rate > 0, rate / option["rate"], 1.0)
    table = pricing.own(
        working, option["per_server"], peak, amount * factor * ones, machine, load.calls, team,
        terms, purchase,
    )  # fmt: skip
    too_many = table["owned"].max(axis=-1) > team.policy.most_servers
    return table | {name: np.where(too_many, np.inf, table[name]) for name in ("total", "npv")}


def planned(option: pd.Series, plan: Plan, purchase: str | None = None) -> SimpleNamespace:
    """
    Cost of one option as planned.

    Parameters
    ----------
    option, plan, purchase
        As in `price`.

    Returns
    -------
    cost : namespace
        Every line by year, shape (years,); total and npv. [currency]
    """
    table = price(option, plan, World(1), purchase)
    return SimpleNamespace(**{name: values[0] for name, values in table.items()})
