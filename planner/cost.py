"""
Money of one option: capital and yearly cost of owning, of renting, and of an API.

Plain numbers in, plain numbers out. All money is in one currency, and costs are positive; an income
in a table of costs, such as the residual value, is negative. Rates and shares are fractions: 0.08,
not 8. Years are the last axis: N options over 3 years have the shape (N, 3). `planner.outlay` holds
the items of one year, `planner.finance` interest and break-even.
"""

import numpy as np

from planner.finance import (  # noqa: F401  (one name for all questions of money)
    MONTHS_PER_YEAR,
    _amounts,
    _shares,
    break_even,
    break_even_calls_per_day,
    break_even_month,
    by_month,
    capital_recovery_factor,
    cost_per_million_tokens,
    net_present_value,
    present_value,
    residual_value,
    straight_line_depreciation,
)
from planner.outlay import (  # noqa: F401
    HOURS_PER_YEAR,
    WATTS_PER_KILOWATT,
    book_value,
    capex,
    energy_cost,
    facility_cost,
    lease_payment,
    yearly_operating_cost,
)


def owned_cost(
    needed, price, capital, *, power_idle, power_load, utilisation, tariff=None, pue=1,
    colocation_price=None, metered_tariff=0, tariff_growth=0, residual_share=0, residual_age=3,
    rate=0, life=np.inf, decommission_share=0, lease_rate=None, lease_residual=0, **operating,
):  # fmt: skip
    """
    Cost of owning, year by year, of many options at once; servers are bought in the year needed.

    Parameters
    ----------
    needed : array_like, shape (..., years)
        Servers that the load of each year needs, spare included. None is sold before its life
        ends, and each replaced at its end fetches nothing. [server]
    price : numeric, shape (...)
        List price: the base of support and residual value. [currency/server]
    capital : numeric, shape (...)
        All that is paid per server, from `capex`. [currency/server]
    power_idle, power_load : numeric, shape (...)
        As in `facility_cost`. [W]
    utilisation : numeric, shape (..., years) or scalar
        Share of the year under load, mean over the servers owned. [fraction]
    tariff, pue, colocation_price : numeric or None, shape (...)
        As in `facility_cost`, in the first year. [currency/kWh], [ratio], [currency/kW/month]
    metered_tariff : numeric, shape (...)
        What the landlord of a colocation charges for the electricity that he meters, as part of
        the line colocation; zero where the rent includes it. [currency/kWh]
    tariff_growth : numeric, shape (...)
        Yearly rise of the tariff or of the colocation price. [1/year]
    residual_share, residual_age : numeric, shape (...)
        As in `residual_value`, taken at the last year's end. [fraction], [year]
    rate : numeric, shape (...)
        Discount rate: purchases count at each year's start, all else at its end. [1/year]
    life : float
        Whole years after which a server is replaced: its economic life. [year]
    decommission_share : numeric, shape (...)
        Removal and destruction of data, at the end of every server's use. [fraction of price]
    lease_rate : numeric or None, shape (...)
        Interest of a lease, as in `lease_payment`, until the end of the plan or of the server's
        life; None where the servers are bought. [1/year]
    lease_residual : numeric, shape (...)
        Share of the price that the lessor reckons with after `residual_age` years. [fraction]
    **operating : numeric, shape (...)
        As in `yearly_operating_cost`.

    Returns
    -------
    table : dict of ndarray
        bought and owned [server]; capex, lease, energy, colocation, support, software, staff,
        other, decommissioning, residual (negative) and their sum yearly, all of shape
        (..., years) [currency/year]; total and npv (present value of the costs, positive), of
        shape (...). [currency]

    References
    ----------
    .. [1] HM Treasury, The Green Book, 2022, annex A6 (discounting).

    Examples
    --------
    >>> table = owned_cost([[1, 2, 2]], 100, 120, power_idle=500, power_load=1000, utilisation=0,
    ...                    tariff=0.1, residual_share=0.38)
    >>> print(table["capex"][0], table["energy"][0], table["residual"][0].round(2))
    [120. 120.   0.] [438. 876. 876.] [  0.     0.   -90.46]
    """
    (price, capital, idle, load, tariff, growth, pue, colocation_price, metered, share, share_age,
     removal, interest, lessor) = (
        value if value is None else np.asarray(value, float)[..., None]
        for value in (price, capital, power_idle, power_load, tariff, tariff_growth, pue,
                      colocation_price, metered_tariff, residual_share, residual_age,
                      decommission_share, lease_rate, lease_residual)
    )  # fmt: skip
    operating = {name: np.asarray(value, float)[..., None] for name, value in operating.items()}
    _amounts(capital=capital)
    bought, owned = purchases(needed, life)
    year = np.arange(bought.shape[-1])
    age = year.size - year
    used = np.minimum(age, life)  # years until the end of the plan or of a server's life
    dearer = np.power(1 + growth, year, order="F")  # options side by side: quicker than years
    tariff, rent = (p if p is None else p * dearer for p in (tariff, colocation_price))
    energy, colocation = facility_cost(
        owned, idle, load, utilisation, tariff=tariff, pue=pue, colocation_price=rent
    )
    if rent is not None:
        colocation = colocation + energy_cost(owned, idle, load, utilisation, metered * dearer, pue)
    lines = {"energy": energy, "colocation": colocation}
    lines |= yearly_operating_cost(owned, price=price, **operating)
    removed = bought * price * removal
    lines["decommissioning"] = _in_year(removed, used, last=True)
    if lease_rate is None:
        at_start = bought * capital
        left = (bought * residual_value(price, age, share, share_age) * (age <= life)).sum(axis=-1)
        lines["lease"] = np.zeros(())
    else:
        at_start, left = np.zeros_like(bought), np.zeros(bought.shape[:-1])
        returned = residual_value(price, used, lessor, share_age)
        lines["lease"] = _in_year(bought * lease_payment(capital, returned, interest, used), used)
    at_start, at_end = np.broadcast_arrays(at_start, sum(lines.values()))
    residual = np.zeros_like(at_end)
    residual[..., -1] = -left
    yearly = at_start + at_end + residual
    npv = present_value(at_start, rate, first=0) + present_value(at_end + residual, rate)
    table = {"bought": bought, "owned": owned, "capex": at_start, **lines, "residual": residual}
    for name, line in table.items():
        if line.shape != yearly.shape:
            table[name] = np.broadcast_to(line, yearly.shape)
    return {**table, "yearly": yearly, "total": yearly.sum(axis=-1), "npv": npv}


def _in_year(amounts, used, last=False):
    """What purchases of each year cost in every year of their use, or in the last one only."""
    spread = np.zeros_like(amounts)
    for year, years in enumerate(used.astype(int)):
        first = year + years - 1 if last else year
        spread[..., first : year + years] += amounts[..., year, None]
    return spread


def purchases(needed, life=np.inf):
    """
    Servers bought and owned when each is kept until its life ends.

    Parameters
    ----------
    needed : array_like, shape (..., years)
        Servers that the load of each year needs. [server]
    life : float
        Whole years after which a server is replaced. [year]

    Returns
    -------
    bought, owned : ndarray, shape (..., years)
        Bought at each year's start, and owned then. [server]

    References
    ----------
    .. [1] Definition.

    Examples
    --------
    >>> purchases([2, 1, 3, 3], life=3)
    (array([2., 0., 1., 2.]), array([2., 2., 3., 3.]))
    """
    if not (life >= 1 and (np.isinf(life) or life == int(life))):
        raise ValueError(f"life = {life:g} must be a whole number of years, 1 or more")
    (needed,) = _amounts(needed=np.atleast_1d(needed))
    bought, owned = np.zeros_like(needed), np.zeros_like(needed)
    for year in range(needed.shape[-1]):
        in_use = owned[..., year - 1] if year else 0.0
        if year >= life:
            in_use = in_use - bought[..., year - int(life)]
        owned[..., year] = np.maximum(needed[..., year], in_use)
        bought[..., year] = owned[..., year] - in_use
    return bought, owned


def rented_cost(accelerators, price, hours=HOURS_PER_YEAR, reserved_discount=0):
    """
    Rent of accelerators in one year.

    Parameters
    ----------
    accelerators, price : numeric
        Rented at a time, and the price on demand. [accelerator], [currency/accelerator/h]
    hours : numeric
        Hours billed; a reservation bills all 8760, used or not. [h/year]
    reserved_discount : numeric
        Off the list price. [fraction]

    Returns
    -------
    cost : numeric
        [currency/year]

    References
    ----------
    .. [1] Lenovo Press LP2225, 2025: on demand, 1-year and 3-year reservation, same hours.

    Examples
    --------
    >>> print(rented_cost(64, 2, hours=0.7 * 8760))
    784896.0
    """
    accelerators, price, hours = _amounts(accelerators=accelerators, price=price, hours=hours)
    if np.any(hours > HOURS_PER_YEAR):
        raise ValueError(f"hours = {hours.max():g} exceeds the 8760 of a year; give hours per year")
    return accelerators * price * hours * (1 - _shares(reserved_discount=reserved_discount))


def api_cost(
    input_tokens, output_tokens, input_price, output_price, *,
    cached_tokens=0, cached_price=None, yearly_decline=0, monthly=False,
):  # fmt: skip
    """
    Cost of an API paid per token whose price falls a little every month.

    Parameters
    ----------
    input_tokens, output_tokens, cached_tokens : array_like, shape (..., years)
        Prompt tokens (cached ones included), generated tokens, and the part of the prompt that
        is read from the provider's cache. [token/year]
    input_price, output_price, cached_price : numeric, shape (...)
        Today's prices; cached as input when None. [currency/token]
    yearly_decline : numeric, shape (...)
        0.9 for a tenth after a year; negative when the price rises. [fraction/year]
    monthly : bool
        Return months, for `break_even_month`, instead of years. [-]

    Returns
    -------
    cost : ndarray, shape (..., years) or (..., 12 years)
        Month m (from 0) is paid at price x (1 - decline)^(m / 12). [currency/year or month]

    References
    ----------
    .. [1] Epoch AI, LLM inference prices, March 2025: 9 to 900 times cheaper per year.

    Examples
    --------
    >>> api_cost([1e6, 1e6], [1e5, 1e5], 1e-6, 1e-5, yearly_decline=0.5).round(3)
    array([1.485, 0.742])
    """
    fresh, output, cached = _amounts(
        input_tokens=np.atleast_1d(input_tokens), output_tokens=output_tokens,
        cached_tokens=cached_tokens,
    )  # fmt: skip
    if np.any(cached > fresh):
        raise ValueError("cached_tokens exceeds input_tokens, of which it is a part")
    decline = np.asarray(yearly_decline, float)[..., None]
    if not np.all(decline <= 1):
        raise ValueError(f"yearly_decline = {decline.max():g} is above 1; 0.9 is ten times cheaper")
    cached_price = input_price if cached_price is None else cached_price
    prices = _amounts(input_price=input_price, output_price=output_price, cached=cached_price)
    tokens = (fresh - cached, output, cached)
    yearly = sum(n * price[..., None] for n, price in zip(tokens, prices, strict=True))
    if monthly:
        flat = by_month(yearly)
        return flat * (1 - decline) ** (np.arange(flat.shape[-1]) / MONTHS_PER_YEAR)
    falling = np.polyval(np.ones(MONTHS_PER_YEAR), (1 - decline) ** (1 / MONTHS_PER_YEAR))
    falling = falling * np.power(1 - decline, np.arange(yearly.shape[-1]), order="F")
    return yearly / MONTHS_PER_YEAR * falling
