"""
What one year of servers costs, item by item: purchase, electricity or colocation, running, lease.

Plain numbers in, plain numbers out, in one currency; tariffs stay per kWh and per kW and month, as
they are quoted, and powers are in W. `planner.cost` adds the years up.
"""

import numpy as np

from planner.finance import (
    MONTHS_PER_YEAR,
    _amounts,
    _shares,
    capital_recovery_factor,
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
        return energy, np.zeros(())
    servers, power, price = _amounts(
        servers=servers, power_load=power_load, colocation_price=colocation_price
    )
    colocation = servers * power / WATTS_PER_KILOWATT * price * MONTHS_PER_YEAR
    return np.zeros(()), colocation


def capex(
    hardware, network=0, *, storage=0, rack=0, spares_rate=0, installation_rate=0, tax_rate=0,
    contingency_rate=0,
):  # fmt: skip
    """
    What must be paid before the first request, line by line.

    Parameters
    ----------
    hardware, network : numeric
        Quoted price of the servers, and of switches, optics and cables. [currency]
    storage, rack : numeric
        Shared storage, and rack with its power distribution. [currency]
    spares_rate, installation_rate : numeric
        Spare parts, of hardware plus network; freight and installation, of all bought. [fraction]
    tax_rate : numeric
        Tax that is not recovered, on all of the above. [fraction]
    contingency_rate : numeric
        On all of the above; optimism bias x (1 - share mitigated) [1]_. [fraction]

    Returns
    -------
    lines : dict of numeric
        hardware, network, storage, rack, spares, installation, tax, contingency and their total.
        [currency]

    References
    ----------
    .. [1] HM Treasury, Green Book supplementary guidance: optimism bias (equipment 10 to 200 %).

    Examples
    --------
    >>> print(f"{capex(100, contingency_rate=0.51 * (1 - 0.92))['total']:.2f}")
    104.08
    """
    hardware, network, storage, rack, contingency_rate = _amounts(
        hardware=hardware, network=network, storage=storage, rack=rack,
        contingency_rate=contingency_rate,
    )  # fmt: skip
    spares_rate, installation_rate, tax_rate = _shares(
        spares_rate=spares_rate, installation_rate=installation_rate, tax_rate=tax_rate
    )
    bought = hardware + network + storage + rack
    spares, installation = (hardware + network) * spares_rate, bought * installation_rate
    tax = (bought + spares + installation) * tax_rate
    contingency = (bought + spares + installation + tax) * contingency_rate
    lines = {"hardware": hardware, "network": network, "storage": storage, "rack": rack}
    lines |= {"spares": spares, "installation": installation}
    lines |= {"tax": tax, "contingency": contingency}
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


def lease_payment(capital, residual, rate, years):
    """
    Yearly payment of a lease whose lessor keeps the machine at the end.

    Parameters
    ----------
    capital : numeric
        What the lessor pays at the start. [currency]
    residual : numeric
        What the lessor reckons to get for the machine at the end. [currency]
    rate : numeric
        Interest that the lessor asks for. [1/year]
    years : numeric
        Term. [year]

    Returns
    -------
    payment : numeric
        At every year's end: CRF x (capital - residual / (1 + r)^n), never below zero.
        [currency/year]

    References
    ----------
    .. [1] IFRS 16, Leases, appendix A: the interest rate implicit in the lease.

    Examples
    --------
    >>> print(lease_payment(300, 0, 0, 3), lease_payment(100, 100, 0.1, 3).round(6))
    100.0 10.0
    """
    capital, residual, years = _amounts(capital=capital, residual=residual, years=years)
    kept = capital - residual / (1.0 + _shares(rate=rate)) ** years
    return capital_recovery_factor(rate, years) * np.maximum(kept, 0.0)


def book_value(price, age, life):
    """
    What an asset stands for in the books, written off evenly to nothing.

    Parameters
    ----------
    price : numeric
        What was paid. [currency]
    age, life : numeric
        Years since the purchase, and book life, which need not be the economic one. [year]

    Returns
    -------
    value : numeric
        price x (1 - age / life), zero after the book life. [currency]

    References
    ----------
    .. [1] IAS 16, Property, Plant and Equipment, paragraph 62.

    Examples
    --------
    >>> book_value(900, [0, 1, 3, 5], 3)
    array([900., 600.,   0.,   0.])
    """
    price, age, life = _amounts(price=price, age=age, life=life)
    if not np.all(life > 0):
        raise ValueError("life must be positive, not 0; write a book life such as 3 years")
    return price * np.maximum(1.0 - age / life, 0.0)
