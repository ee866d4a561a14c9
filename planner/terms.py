"""The assumptions as one team uses them: its own figures first, money in its currency."""

from __future__ import annotations

import re

from planner.catalogue import Catalogue, convert
from planner.team import Team

MONEY = re.compile(r"[A-Z]{3}(?=/|$)")


class Terms:
    """
    Looks assumptions up and remembers which ones were used, for the register of the report.

    Parameters
    ----------
    team : Team
        Its ``assumptions`` table overrides the catalogue.
    catalogue : Catalogue
        Source of everything else.

    Examples
    --------
    >>> from planner import catalogue, team
    >>> records = catalogue.load()
    >>> terms = Terms(team.read("coding_assistant", records), records)
    >>> terms("pue") > 1
    True
    """

    def __init__(self, team: Team, catalogue: Catalogue):
        self.team, self.catalogue, self._used = team, catalogue, {}

    def __call__(self, key: str, which: str = "value") -> float:
        """
        One figure.

        Parameters
        ----------
        key : str
            An id of ``data/assumptions.csv``.
        which : {"value", "low", "high"}
            The figure itself or an end of its range.

        Returns
        -------
        figure : float
            In the unit of the file, money in the team's currency.
        """
        record = self.catalogue.assumptions[key]
        own = self.team.assumptions.get(key)
        self._used[key] = record
        if own is not None:
            return own
        figure = getattr(record, which)
        return figure if key.startswith("fx_") else self.money(figure, record.unit)

    def money(self, amount: float, unit: str) -> float:
        """
        An amount in the team's currency.

        Parameters
        ----------
        amount : float
            In ``unit``.
        unit : str
            Begins with a currency where it is money, such as USD/kWh; else nothing changes.

        Returns
        -------
        amount : float
        """
        found = MONEY.match(unit)
        if not found or found.group() == self.team.currency:
            return amount
        return amount * (self._per_dollar(self.team.currency) / self._per_dollar(found.group()))

    def _per_dollar(self, currency: str) -> float:
        """Exchange rate, the team's own before the catalogue's. [currency/USD]"""
        key = f"fx_{currency.lower()}_per_usd"
        if currency == "USD" or key not in self.catalogue.assumptions:
            return convert(1.0, "USD", currency, self.catalogue)
        return self(key)

    def register(self) -> list[dict]:
        """
        Every assumption used so far.

        Returns
        -------
        register : list of dict
            key, value, low, high, unit, status, source, source_date and note of each.
        """
        rows = []
        for key, record in self._used.items():
            own = self.team.assumptions.get(key)
            rows.append(
                {
                    "key": key,
                    "value": self(key),
                    "low": own if own is not None else self(key, "low"),
                    "high": own if own is not None else self(key, "high"),
                    "unit": record.unit
                    if key.startswith("fx_")
                    else MONEY.sub(self.team.currency, record.unit, count=1),
                    "status": "team file" if own is not None else record.status,
                    "source": f"{self.team.owner}" if own is not None else record.source,
                    "source_date": "" if own is not None else record.source_date,
                    "note": record.note,
                }
            )
        return rows
