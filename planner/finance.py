"""
Money over time: interest, present value, depreciation, and when one way becomes cheaper.

All money is in one currency, and costs are positive; only `net_present_value` speaks of
benefits, and says so. Rates and shares are fractions (0.08, not 8). Periods are the last axis.
"""

from typing import NamedTuple

import numpy as np

DAYS_PER_YEAR = 365.0
MONTHS_PER_YEAR = 12


def _amounts(**values):
    """Cast to float arrays; refuse negative and missing values by name."""
    arrays = []
    for name, value in values.items():
        array = np.asarray(value, float)
        if array.size and not array.min() >= 0:  # nor where one is missing
            wrong = array[~(array >= 0)]
            raise ValueError(
                f"{name} = {wrong.flat[0]:g} is not an amount; give zero or a positive number"
            )
        arrays.append(array)
    return arrays


def _shares(**values):
    """Cast to float arrays; refuse percentages and what is outside 0 to 1 by name."""
    arrays = _amounts(**values)
    for name, array in zip(values, arrays, strict=True):
        if array.size and array.max() > 1:
            raise ValueError(
                f"{name} = {array.max():g} is above 1; write a fraction such as 0.08 for 8 %"
            )
    return arrays[0] if len(arrays) == 1 else arrays


def capital_recovery_factor(rate, years):
    """
    Share of an investment to be paid at every year's end so that it is repaid with interest.

    Parameters
    ----------
    rate : numeric
        Discount rate; zero gives 1 / years. [1/year]
    years : numeric
        Life of the investment; infinity gives the rate. [year]

    Returns
    -------
    factor : numeric
        Yearly payment over investment. [1/year]

    References
    ----------
    .. [1] W. Short et al., NREL/TP-462-5173, 1995: r (1 + r)^n / ((1 + r)^n - 1).

    Examples
    --------
    >>> capital_recovery_factor([0.1, 0, 0.1], [3, 4, np.inf])
    array([0.402..., 0.25      , 0.1       ])
    """
    rate = _shares(rate=rate)
    years = np.asarray(years, float)
    if not np.all(years > 0):
        raise ValueError(f"years must be positive, not {years.min()}; write a life such as 3")
    rate, years = np.broadcast_arrays(rate, years)
    growing = np.where(rate > 0, rate, 1.0)
    with_interest = growing / -np.expm1(-years * np.log1p(growing))
    return np.where(rate > 0, with_interest, 1.0 / years)[()]


def present_value(yearly, rate, first=1):
    """
    Value today of yearly payments of either sign.

    Parameters
    ----------
    yearly : array_like, shape (..., years)
        Payments. [currency/year]
    rate : numeric
        Discount rate; shape (...). [1/year]
    first : int
        When the first payment falls: 1 at the end, 0 at the start of the first year. [year]

    Returns
    -------
    value : numeric
        Sum of payment / (1 + rate)^t. [currency]

    References
    ----------
    .. [1] HM Treasury, The Green Book, 2022, annex A6 (discounting).

    Examples
    --------
    >>> present_value([[100, 100, 100]] * 2, [0, 0.1])
    array([300.  , 248.685...])
    """
    yearly = np.atleast_1d(np.asarray(yearly, float))
    time = first + np.arange(yearly.shape[-1])
    return np.sum(yearly / (1.0 + _shares(rate=rate)[..., None]) ** time, axis=-1)


def net_present_value(investment, yearly_benefit, rate, residual=0):
    """
    Value today of an investment and what it brings; benefits are positive here.

    Parameters
    ----------
    investment : numeric
        Paid at the start. [currency]
    yearly_benefit : array_like, shape (..., years)
        Saving less running cost, at every year's end. [currency/year]
    rate : numeric
        Discount rate. [1/year]
    residual : numeric
        Received at the end of the last year. [currency]

    Returns
    -------
    value : numeric
        -investment + sum of benefit / (1 + r)^t + residual / (1 + r)^n. [currency]

    References
    ----------
    .. [1] HM Treasury, The Green Book, 2022, annex A6 (discounting).

    Examples
    --------
    >>> print(net_present_value(250, [100, 100, 100], 0, residual=20))
    70.0
    """
    years = np.shape(np.atleast_1d(yearly_benefit))[-1]
    investment, residual = _amounts(investment=investment, residual=residual)
    at_end = residual / (1.0 + _shares(rate=rate)) ** years
    return present_value(yearly_benefit, rate) + at_end - investment


def straight_line_depreciation(price, life, residual=0):
    """
    Book cost per period of an asset written off evenly.

    Parameters
    ----------
    price, residual : numeric
        What it costs, and what it is worth at the end of its life. [currency]
    life : numeric
        Book life, in the period of the result (36 for months). [period]

    Returns
    -------
    depreciation : numeric
        (price - residual) / life. [currency/period]

    References
    ----------
    .. [1] IAS 16, Property, Plant and Equipment, paragraph 62.

    Examples
    --------
    >>> straight_line_depreciation([8000, 15000, 30000], 36).round()
    array([222., 417., 833.])
    """
    price, life, residual = _amounts(price=price, life=life, residual=residual)
    if not np.all(life > 0):
        raise ValueError("life must be positive, not 0; write a book life such as 36 months")
    return (price - residual) / life


def residual_value(price, age, share, share_age=3):
    """
    What used hardware fetches, falling by the same factor every year.

    Parameters
    ----------
    price : numeric
        Price when new. [currency]
    age : numeric
        Years in use. [year]
    share, share_age : numeric
        Share of the price left at an age; 38 % at 3 years follows a price-performance trend [1]_.
        [fraction], [year]

    Returns
    -------
    value : numeric
        price x share^(age / share_age). [currency]

    References
    ----------
    .. [1] Epoch AI, Trends in machine learning hardware (price-performance), 2024.

    Examples
    --------
    >>> residual_value(1000, [0, 3, 6], 0.38)
    array([1000. ,  380. ,  144.4])
    """
    price, age, share_age = _amounts(price=price, age=age, share_age=share_age)
    return price * np.power(_shares(share=share), age / share_age, order="F")


def cost_per_million_tokens(yearly_cost, tokens_served):
    """
    Unit cost over the tokens that were served, not those that could have been.

    Parameters
    ----------
    yearly_cost : numeric
        [currency/year]
    tokens_served : numeric
        Input plus output; with output at k times the price of input, input + k x output gives the
        price of input. None served costs infinity each. [token/year]

    Returns
    -------
    cost : numeric
        [currency/Mtoken]

    References
    ----------
    .. [1] arXiv 2606.11690, 2026: low load costs 2.5 to 24 times more per token than saturation.

    Examples
    --------
    >>> cost_per_million_tokens(87_500, [153.3e9, 0])
    array([0.570...,   inf])
    """
    cost, served = np.broadcast_arrays(*_amounts(yearly_cost=yearly_cost, tokens=tokens_served))
    return np.divide(cost * 1e6, served, out=np.full(cost.shape, np.inf), where=served > 0)[()]


def break_even(fixed, alternative, own=0):
    """
    Units (hours, calls) after which a fixed cost has paid for itself; with years, simple payback.

    Parameters
    ----------
    fixed : numeric
        Paid whatever the use. [currency]
    alternative, own : numeric
        What a unit costs with the alternative, and with the fixed cost paid. [currency/unit]

    Returns
    -------
    units : numeric
        fixed / (alternative - own); infinity where the alternative is not dearer. [unit]

    References
    ----------
    .. [1] Lenovo Press LP2225, On-premise vs cloud: generative AI TCO, 2025 (per hour).

    Examples
    --------
    >>> break_even(833_806, [98.32, 0.5], 0.87).round()
    array([8556.,   inf])
    >>> print(break_even(300, 100))
    3.0
    """
    saving = np.asarray(alternative, float) - np.asarray(own, float)
    fixed, saving = np.broadcast_arrays(*_amounts(fixed=fixed), saving)
    return np.divide(fixed, saving, out=np.full(fixed.shape, np.inf), where=saving > 0)[()]


class BreakEvenCalls(NamedTuple):
    """Calls per day (infinity where never), and whether the answer is never at this size."""

    calls: np.ndarray
    never: np.ndarray


def break_even_calls_per_day(fixed, price_per_call, own_per_call=0, capacity=np.inf):
    """
    Load from which owning is cheaper than paying per call, if the hardware can serve it.

    Parameters
    ----------
    fixed : numeric
        Yearly cost of owning at no load. [currency/year]
    price_per_call, own_per_call : numeric
        What a call costs at the API, and what it adds to the cost of owning. [currency/call]
    capacity : numeric
        Most calls that the hardware serves within the SLO. [call/day]

    Returns
    -------
    result : BreakEvenCalls
        `calls` [call/day], infinity where `never` is set: above the capacity, or no saving per
        call, "never at this size". [call/day]

    References
    ----------
    .. [1] C. Manning, Rearchitecting LLMs, section 12.9 (hours instead of years).

    Examples
    --------
    >>> break_even_calls_per_day(7300, 0.004, 0.002, capacity=[20_000, 5_000])
    BreakEvenCalls(calls=array([10000.,    inf]), never=array([False,  True]))
    """
    (capacity,) = _amounts(capacity=capacity)
    calls = break_even(fixed, price_per_call, own_per_call) / DAYS_PER_YEAR
    never = ~np.isfinite(calls) | (calls > capacity)
    return BreakEvenCalls(np.where(never, np.inf, calls)[()], never[()])


def by_month(yearly, upfront=0):
    """
    Spread a cost per year over months.

    Parameters
    ----------
    yearly : array_like, shape (..., years)
        Paid evenly over each year. [currency/year]
    upfront : array_like, shape (..., years)
        Paid in the first month of each year, such as capex. [currency/year]

    Returns
    -------
    monthly : ndarray, shape (..., 12 years)
        [currency/month]

    References
    ----------
    .. [1] Definition.

    Examples
    --------
    >>> by_month([120, 240], [50, 0])[[0, 1, 12]]
    array([60., 10., 20.])
    """
    yearly, upfront = np.broadcast_arrays(np.atleast_1d(np.asarray(yearly, float)), upfront)
    monthly = np.repeat(yearly / MONTHS_PER_YEAR, MONTHS_PER_YEAR, axis=-1)
    monthly[..., ::MONTHS_PER_YEAR] += upfront
    return monthly


class BreakEvenMonths(NamedTuple):
    """First month at which owning is no dearer, and every month at which the order changes."""

    first: np.ndarray
    crossings: np.ndarray


def break_even_month(own, alternative):
    """
    Months in which the cheaper of two ways changes, by cumulative cost.

    Parameters
    ----------
    own, alternative : array_like, shape (..., months)
        Cost of each month, what is bought at the start in the first. [currency/month]

    Returns
    -------
    result : BreakEvenMonths
        `first`, shape (...): first month whose end finds cumulative own <= cumulative alternative;
        infinity if none. `crossings`, shape (..., months): true where the order changes. Owning
        begins behind, so that odd crossings are gains and even ones losses: with a falling API
        price there may be none, one or two. Month m stands at index m - 1. [month]

    References
    ----------
    .. [1] Gundlach et al., Epoch AI, LLM inference prices have fallen rapidly, March 2025: why the
       alternative must not be held flat.

    Examples
    --------
    >>> own = by_month([120, 120, 120], upfront=[100, 0, 0])
    >>> result = break_even_month(own, [20] * 14 + [5] * 22)
    >>> print(result.first, np.flatnonzero(result.crossings) + 1)
    10.0 [10 23]
    """
    own, alternative = np.broadcast_arrays(np.asarray(own, float), np.asarray(alternative, float))
    lead = np.cumsum(alternative, axis=-1) - np.cumsum(own, axis=-1)
    # Sums of decimal money are inexact: a tie counts as a tie within a billionth of the total.
    ahead = lead >= -1e-9 * np.cumsum(np.abs(own), axis=-1)
    before = np.zeros_like(ahead)
    before[..., 1:] = ahead[..., :-1]
    first = np.where(ahead.any(axis=-1), ahead.argmax(axis=-1) + 1.0, np.inf)
    return BreakEvenMonths(first[()], ahead != before)
