"""What a check of a published figure answers, and the comparison that most checks end with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from planner.catalogue import Claim

VERDICTS = ("impossible", "contradicts itself", "off", "consistent", "not checked")
TOLERANCE = 0.05  # figures are rounded; closer than this is agreement


class Finding(NamedTuple):
    """
    What one check found.

    Parameters
    ----------
    verdict : str
        One of `VERDICTS`.
    reason : str
        Why, in words.
    value, low, high : float
        Computed or better-sourced figure and its range, in the unit of the claim.
    limit : float
        The best that physics allows, in the unit of the claim.
    limit_4_bits : float
        The same if the weights had 4 bits, where the format of a speed is assumed.
    text : str
        The better value where it is no number.
    source : str
        Where the better value is from.
    """

    verdict: str
    reason: str
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    limit: float = np.nan
    limit_4_bits: float = np.nan
    text: str = ""
    source: str = ""


def unchecked(reason: str, **figures) -> Finding:
    """A claim that nothing decides; `reason` says why."""
    return Finding("not checked", reason, **figures)


def agrees(claim: Claim, low: float, high: float, tolerance: float = TOLERANCE) -> bool:
    """Whether a claimed range and a better one overlap, as far as rounding goes."""
    return claim.low * (1 - tolerance) <= high and low <= claim.high * (1 + tolerance)


def compared(claim, value, words, source, *, low=None, high=None, tolerance=TOLERANCE) -> Finding:
    """
    A claim beside a better value: consistent where the ranges overlap, else off.

    Parameters
    ----------
    claim : Claim
        With `low` and `high`.
    value, low, high : float
        Better value and its range, in the unit of the claim; the value alone where no range is
        known.
    words : str
        What the better value is.
    source : str
        Where it is from.
    tolerance : float
        Of rounding. [1]

    Returns
    -------
    finding : Finding
    """
    low, high = value if low is None else low, value if high is None else high
    verdict = "consistent" if agrees(claim, low, high, tolerance) else "off"
    return Finding(verdict, words, value, low, high, source=source)


WORDS = {"1e9": "billion", "1e12 token": "trillion tokens", "language": "languages",
         "token": "tokens", "1": ""}  # fmt: skip


def figure(value: float) -> str:
    """
    Three significant figures.

    Examples
    --------
    >>> figure(1234.5), figure(0.05678)
    ('1,230', '0.0568')
    """
    return f"{float(f'{value:.3g}'):,g}"


def span(low: float, high: float, unit: str = "") -> str:
    """
    A figure or a range with its unit, in words.

    Examples
    --------
    >>> span(0.1, 4.2, "%"), span(36, 36, "1e12 token")
    ('0.1 to 4.2 %', '36 trillion tokens')
    """
    shown = f"{low:,.10g}" if low == high else f"{low:,.10g} to {high:,.10g}"
    return f"{shown} {WORDS.get(unit, unit)}".strip()


def brief(source: str) -> str:
    """The first work that a source names, for a table."""
    return source.replace(" (", "; (").split(";")[0].strip()
