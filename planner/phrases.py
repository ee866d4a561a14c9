"""Numbers as people say them."""

from __future__ import annotations

import math

GIB = 2**30


def money(amount: float, currency: str) -> str:
    """
    An amount as people say it: three significant figures, and the currency.

    Parameters
    ----------
    amount : float
        [currency]
    currency : str
        Its code.

    Returns
    -------
    text : str

    Examples
    --------
    >>> money(1234567, "USD"), money(412345, "EUR"), money(812, "CNY"), money(float("inf"), "USD")
    ('1.23 million USD', '412,000 EUR', '812 CNY', 'without limit')
    """
    if not math.isfinite(amount):
        return "without limit"
    if abs(amount) >= 1e6:
        return f"{amount / 1e6:,.3g} million {currency}"
    digits = 0 if amount == 0 else max(0, int(math.log10(abs(amount))) - 2)
    return f"{round(amount, -digits):,.0f} {currency}"


def seconds(time: float) -> str:
    """
    A time as people say it.

    Parameters
    ----------
    time : float
        [s]

    Returns
    -------
    text : str

    Examples
    --------
    >>> seconds(0.0213), seconds(2.345), seconds(250), seconds(float("inf"))
    ('21 ms', '2.3 s', '250 s', 'no limit')
    """
    if not math.isfinite(time):
        return "no limit"
    if time < 0.9995:  # what would be written as 1000 ms is a second
        return f"{time * 1e3:.2g} ms" if time < 0.1 else f"{time * 1e3:.0f} ms"
    return f"{time:.1f} s" if time < 100 else f"{time:.0f} s"


def gib(size: float) -> str:
    """
    A size in GiB and GB, so that nobody takes one for the other.

    Parameters
    ----------
    size : float
        [B]

    Returns
    -------
    text : str

    Examples
    --------
    >>> gib(80e9)
    '74.5 GiB (80.0 GB)'
    """
    return f"{size / GIB:,.1f} GiB ({size / 1e9:,.1f} GB)"


def count(number: float, thing: str) -> str:
    """
    A number with its noun.

    Parameters
    ----------
    number : float
        [1]
    thing : str
        Singular.

    Returns
    -------
    text : str

    Examples
    --------
    >>> count(1, "server"), count(3, "replica")
    ('1 server', '3 replicas')
    """
    return f"{number:,.0f} {thing}{'' if number == 1 else 's'}"


def several(number: float, thing: str) -> str:
    """
    2 x thing; a thing that begins with a number of its own stands in brackets.

    Parameters
    ----------
    number : float
        [1]
    thing : str
        Its name.

    Returns
    -------
    text : str

    Examples
    --------
    >>> several(2, "DGX B200"), several(2, "8x H100 server"), several(1, "8x H100 server")
    ('2 x DGX B200', '2 x (8x H100 server)', '8x H100 server')
    """
    if not math.isfinite(number) or number <= 1:
        return thing
    return f"{number:.0f} x ({thing})" if thing[0].isdigit() else f"{number:.0f} x {thing}"
