"""
Money of one option: capital and yearly cost of owning, of renting, and of an API.

Plain numbers in, plain numbers out. All money is in one currency, and costs are positive; an income
in a table of costs, such as the residual value, is negative. Rates and shares are fractions: 0.08,
not 8. Years are the last axis: N options over 3 years have the shape (N, 3). Tariffs stay per kWh
and per kW and month, as they are quoted; powers are in W. `planner.finance` does the rest.
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

HOURS_PER_YEAR = 8760.0
WATTS_PER_KILOWATT = 1000.0


def energy_cost(servers, power_idle, power_load, utilisation, tariff, pue=1):
    """
    Electricity of one year: 8760 h x PUE x tariff x N x (idle + (load - idle) x utilisation).

    Parameters
    ----------
    servers : numeric
        Servers switched on. [server]
    power_idle, power_load : numeric
        Power at the wall, idle and under full load. [W]
    utilisation : numeric
        Share of the year under load, as a mean over all servers. [fraction]
    tariff : numeric
        Price of electricity. [currency/kWh]
    pue : numeric
        Power usage effectiveness; survey mean 1.54 [1]_, an office room is worse. [ratio]

    Returns
    -------
    cost : numeric
        [currency/year]

    References
    ----------
    .. [1] Uptime Institute, Global Data Center Survey 2025.
    .. [2] Latif et al., IEEE Access 13, 2025: power of a server is linear in load between the two.

    Examples
    --------
    >>> energy_cost(1, 2000, 8400, [0, 0.5], 0.1, pue=1.5)
    array([2628. , 6832.8])
    """
    servers, idle, load, tariff, pue = _amounts(
        servers=servers, power_idle=power_idle, power_load=power_load, tariff=tariff, pue=pue
    )
    if np.any(idle > load):
        raise ValueError("power_idle is above power_load; check that the two are not swapped")
    if np.any(pue < 1):
        raise ValueError(f"pue must be at least 1, not {pue.min()}; write it as a ratio like 1.5")
    power = idle + (load - idle) * _shares(utilisation=utilisation)
    return HOURS_PER_YEAR * pue * tariff * servers * power / WATTS_PER_KILOWATT


def facility_cost(
    servers, power_idle, power_load, utilisation, *, tariff=None, pue=1, colocation_price=None
):
    """
    Electricity or colocation of one year: exactly one of the two, never both.

    Parameters
    ----------
    servers : numeric
        Servers switched on. [server]
    power_idle, power_load : numeric
        Power at the wall, idle and under full load; colocation contracts the latter. [W]
    utilisation : numeric
        Share of the year under load, as a mean over all servers. [fraction]
    tariff, pue : numeric or None
        Price of electricity, and power usage effectiveness. [currency/kWh], [ratio]
    colocation_price : numeric or None
        Rent; where electricity is billed apart, add it. [currency/kW/month]

    Returns
    -------
    energy, colocation : tuple of numeric
        One of them zero. [currency/year]

    References
    ----------
    .. [1] CBRE, Global Data Center Trends 2025 (rent is quoted per contracted kW and month).

    Examples
    --------
    >>> print(*facility_cost(2, 2000, 8400, 0.5, colocation_price=200))
    0.0 40320.0
    """
    if (tariff is None) == (colocation_price is None):
        raise ValueError(
            f"tariff = {tariff} and colocation_price = {colocation_price}: give exactly one, "
            "or electricity is counted twice or not at all"
        )
    if colocation_price is None:
        energy = energy_cost(servers, power_idle, power_load, utilisation, tariff, pue)
        return energy, energy * 0.0
    servers, power, price = _amounts(
        servers=servers, power_load=power_load, colocation_price=colocation_price
    )
    colocation = servers * power / WATTS_PER_KILOWATT * price * MONTHS_PER_YEAR
    return colocation * 0.0, colocation


def capex(
    hardware, network=0, *, spares_rate=0, installation_rate=0, tax_rate=0, contingency_rate=0
):
    """
    What must be paid before the first request, line by line.

    Parameters
    ----------
    hardware, network : numeric
        Quoted price of the servers, and of switches, optics and cables. [currency]
    spares_rate, installation_rate : numeric
        Spare parts, and freight with installation, of hardware plus network. [fraction]
    tax_rate : numeric
        Tax that is not recovered, on all of the above. [fraction]
    contingency_rate : numeric
        On all of the above; optimism bias x (1 - share mitigated) [1]_. [fraction]

    Returns
    -------
    lines : dict of numeric
        hardware, network, spares, installation, tax, contingency and their total. [currency]

    References
    ----------
    .. [1] HM Treasury, Green Book supplementary guidance: optimism bias (equipment 10 to 200 %).

    Examples
    --------
    >>> print(f"{capex(100, contingency_rate=0.51 * (1 - 0.92))['total']:.2f}")
    104.08
    """
    hardware, network, contingency_rate = _amounts(
        hardware=hardware, network=network, contingency_rate=contingency_rate
    )
    spares_rate, installation_rate, tax_rate = _shares(
        spares_rate=spares_rate, installation_rate=installation_rate, tax_rate=tax_rate
    )
    bought = hardware + network
    spares, installation = bought * spares_rate, bought * installation_rate
    tax = (bought + spares + installation) * tax_rate
    contingency = (bought + spares + installation + tax) * contingency_rate
    lines = {"hardware": hardware, "network": network, "spares": spares}
    lines |= {"installation": installation, "tax": tax, "contingency": contingency}
    return {**lines, "total": sum(lines.values())}


def yearly_operating_cost(
    servers, *, price=0, support_rate=0, accelerators=0, software=0, staff_rate=0, staff_hours=0,
    staff_hours_fixed=0, other=0, other_fixed=0,
):  # fmt: skip
    """
    Running cost of one year, except electricity and colocation, line by line.

    Parameters
    ----------
    servers : numeric
        Servers owned. [server]
    price : numeric
        List price of a server. [currency/server]
    support_rate : numeric
        Support contract (and insurance), as a share of the list price. [fraction/year]
    accelerators : numeric
        Accelerators that need a licence. [accelerator/server]
    software : numeric
        Licence. [currency/accelerator/year]
    staff_rate : numeric
        Full cost of an hour of work. [currency/h]
    staff_hours, staff_hours_fixed : numeric
        Work per server, and for all of them together. [h/server/year], [h/year]
    other, other_fixed : numeric
        Anything else (remote hands), likewise. [currency/server/year], [currency/year]

    Returns
    -------
    lines : dict of numeric
        support, software, staff and other. [currency/year]

    References
    ----------
    .. [1] NVIDIA, AI Enterprise licensing guide (licence per accelerator and year).

    Examples
    --------
    >>> yearly_operating_cost([1, 2], price=1000, support_rate=0.05, staff_rate=60,
    ...                       staff_hours=10)["staff"]
    array([ 600., 1200.])
    """
    servers, price, accelerators, software, rate, hours, hours_fixed, other, other_fixed = _amounts(
        servers=servers, price=price, accelerators=accelerators, software=software,
        staff_rate=staff_rate, staff_hours=staff_hours, staff_hours_fixed=staff_hours_fixed,
        other=other, other_fixed=other_fixed,
    )  # fmt: skip
    return {
        "support": servers * price * _shares(support_rate=support_rate),
        "software": servers * accelerators * software,
        "staff": (servers * hours + hours_fixed) * rate,
        "other": servers * other + other_fixed,
    }


def owned_cost(
    needed, price, capital, *, power_idle, power_load, utilisation, tariff=None, pue=1,
    colocation_price=None, tariff_growth=0, residual_share=0, residual_age=3, rate=0, life=np.inf,
    **operating,
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
    tariff_growth : numeric, shape (...)
        Yearly rise of the tariff or of the colocation price. [1/year]
    residual_share, residual_age : numeric, shape (...)
        As in `residual_value`, taken at the last year's end. [fraction], [year]
    rate : numeric, shape (...)
        Discount rate: purchases count at each year's start, all else at its end. [1/year]
    life : float
        Whole years after which a server is replaced. [year]
    **operating : numeric, shape (...)
        As in `yearly_operating_cost`.

    Returns
    -------
    table : dict of ndarray
        bought and owned [server]; capex, energy, colocation, support, software, staff, other,
        residual (negative) and their sum yearly, all of shape (..., years) [currency/year]; total
        and npv (present value of the costs, positive), of shape (...). [currency]

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
    price, capital, idle, load, tariff, growth, pue, colocation_price, share, share_age = (
        value if value is None else np.asarray(value, float)[..., None]
        for value in (price, capital, power_idle, power_load, tariff, tariff_growth, pue,
                      colocation_price, residual_share, residual_age)
    )  # fmt: skip
    operating = {name: np.asarray(value, float)[..., None] for name, value in operating.items()}
    _amounts(capital=capital)
    bought, owned = _purchases(needed, life)
    year = np.arange(bought.shape[-1])
    age = year.size - year
    tariff, rent = (
        p if p is None else p * (1 + growth) ** year for p in (tariff, colocation_price)
    )
    energy, colocation = facility_cost(
        owned, idle, load, utilisation, tariff=tariff, pue=pue, colocation_price=rent
    )
    left = (bought * residual_value(price, age, share, share_age) * (age <= life)).sum(axis=-1)
    at_start = bought * capital
    lines = {"energy": energy, "colocation": colocation}
    lines |= yearly_operating_cost(owned, price=price, **operating)
    at_end = sum(lines.values())
    residual = np.where(age == 1, -left[..., None], 0.0)
    at_start, at_end, residual = np.broadcast_arrays(at_start, at_end, residual)
    yearly = at_start + at_end + residual
    npv = present_value(at_start, rate, first=0) + present_value(at_end + residual, rate)
    table = {"bought": bought, "owned": owned, "capex": at_start, **lines, "residual": residual}
    table = {name: np.broadcast_to(value, yearly.shape) for name, value in table.items()}
    return {**table, "yearly": yearly, "total": yearly.sum(axis=-1), "npv": npv}


def _purchases(needed, life):
    """Servers bought at each year's start, and servers then owned."""
    if not (life >= 1 and (np.isinf(life) or life == int(life))):
        raise ValueError(f"life = {life:g} must be a whole number of years, 1 or more")
    (needed,) = _amounts(needed=np.atleast_1d(needed))
    bought, owned = np.zeros((2, *needed.shape))
    for year in range(needed.shape[-1]):
        first = 0 if np.isinf(life) else max(0, year - int(life) + 1)
        in_use = bought[..., first:year].sum(axis=-1)
        bought[..., year] = np.maximum(needed[..., year] - in_use, 0)
        owned[..., year] = in_use + bought[..., year]
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
    flat = by_month(sum(n * price[..., None] for n, price in zip(tokens, prices, strict=True)))
    cost = flat * (1 - decline) ** (np.arange(flat.shape[-1]) / MONTHS_PER_YEAR)
    return cost if monthly else cost.reshape(*cost.shape[:-1], -1, MONTHS_PER_YEAR).sum(axis=-1)
