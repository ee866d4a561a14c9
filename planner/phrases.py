"""Numbers as people say them, in the language that is spoken."""

from __future__ import annotations

import math
from datetime import date

from planner import language
from planner.language import say

GIB = 2**30
TIMES, IN_BRACKETS = "{number:.0f} x {thing}", "{number:.0f} x ({thing})"
IN_FULL = 1e5  # Chinese money below it is written in full, above it in units of ten thousand
CHINESE_STEPS = ((1e8, "亿"), (1e4, "万"))
CURRENCIES = {"CNY": "元", "USD": "美元", "EUR": "欧元", "GBP": "英镑", "JPY": "日元"}


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
        return say("without limit")
    if language.current() == "zh":
        return _chinese_money(amount, currency)
    if abs(amount) >= 1e6:
        return f"{amount / 1e6:,.3g} million {currency}"
    digits = 0 if amount == 0 else max(0, int(math.log10(abs(amount))) - 2)
    return f"{round(amount, -digits):,.0f} {currency}"


def _chinese_money(amount, currency):
    """By ten thousand and a hundred million; yuan in full carry their sign.

    >>> _chinese_money(139e3, "USD"), _chinese_money(59500, "CNY"), _chinese_money(1.234e8, "CNY")
    ('13.9 万美元', '¥59,500', '1.23 亿元')
    """
    amount, name = float(f"{amount:.3g}"), CURRENCIES.get(currency, currency)
    if abs(amount) < IN_FULL:
        sign = "-" if amount < 0 else ""
        whole = f"{abs(amount):,.0f}"
        return f"{sign}¥{whole}" if currency == "CNY" else f"{sign}{whole} {name}"
    factor, word = next(step for step in CHINESE_STEPS if abs(amount) >= step[0])
    return f"{amount / factor:,.4g} {word}{name}"


def unit(currency: str) -> str:
    """
    A currency as the unit of a column or an axis.

    Parameters
    ----------
    currency : str
        Its code.

    Returns
    -------
    unit : str
        The code in English, the word in Chinese.

    Examples
    --------
    >>> unit("USD")
    'USD'
    """
    return CURRENCIES.get(currency, currency) if language.current() == "zh" else currency


def measure(text: str) -> str:
    """
    The unit of a figure in a data file, its currency and its nouns in words.

    Parameters
    ----------
    text : str
        Such as ``CNY/kWh`` or ``h/server/year``.

    Returns
    -------
    unit : str

    Examples
    --------
    >>> with language.speaking("zh"):
    ...     measure("CNY/kWh"), measure("h/server/year"), measure("")
    ('元/kWh', '小时/服务器/年', '')
    """
    return "/".join(language.term(unit(part)) for part in str(text).split("/"))


def thousands(currency: str) -> dict:
    """
    How a column of money is written: by thousand in English, by ten thousand in Chinese.

    Parameters
    ----------
    currency : str
        Its code.

    Returns
    -------
    settings : dict
        unit, scale [1/currency] and format of a `planner.display.Column`.

    Examples
    --------
    >>> thousands("EUR")
    {'unit': 'k EUR', 'scale': 0.001, 'format': ',.1f'}
    """
    if language.current() == "zh":
        return {"unit": f"万{unit(currency)}", "scale": 1e-4, "format": ",.2f"}
    return {"unit": f"k {currency}", "scale": 1e-3, "format": ",.1f"}


def day(when: date | str) -> str:
    """
    A date, to the day, the month or the year, as it is known.

    Parameters
    ----------
    when : date or str
        ISO 8601; anything else stays as it is.

    Returns
    -------
    text : str

    Examples
    --------
    >>> day(date(2026, 11, 24))
    '2026-11-24'
    >>> with language.speaking("zh"):
    ...     day("2026-11-24"), day("2026-06"), day("2025"), day("spring")
    ('2026年11月24日', '2026年6月', '2025年', 'spring')
    """
    text = str(when)
    parts = text.split("-")
    known = len(parts) <= 3 and len(parts[0]) == 4 and all(map(str.isdecimal, parts))
    if language.current() != "zh" or not known:
        return text
    return "".join(f"{int(part)}{word}" for part, word in zip(parts, "年月日", strict=False))


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
        return say("no limit")
    if time < 0.9995:  # what would be written as 1000 ms is a second
        return say("{time} ms", time=f"{time * 1e3:.2g}" if time < 0.1 else f"{time * 1e3:.0f}")
    return say("{time} s", time=f"{time:.1f}" if time < 100 else f"{time:.0f}")


def minutes(time: float) -> str:
    """
    A longer time as people say it.

    Parameters
    ----------
    time : float
        [s]

    Returns
    -------
    text : str

    Examples
    --------
    >>> minutes(90), minutes(7200), minutes(float("inf"))
    ('2 minutes', '2 hours', 'never')
    """
    if not math.isfinite(time):
        return say("never")
    if time < 5400:
        return count(math.ceil(time / 60), "minute")
    return count(round(time / 3600), "hour")


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
    if language.current() == "zh":
        return say(f"{{number}} {thing}", number=f"{number:,.0f}")  # with its measure word
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
    return say(IN_BRACKETS if thing[0].isdigit() else TIMES, number=number, thing=thing)


def users(number: float) -> str:
    """So many users, with the noun."""
    return count(number, "user")
