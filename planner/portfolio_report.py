"""The report of all teams together: its notebook run, and its files put in their place."""

from __future__ import annotations

from pathlib import Path

from planner import phrases, placement, report
from planner.display import clean
from planner.team import TEAMS

NOTEBOOK = report.ROOT / "notebooks" / "portfolio.ipynb"
NAME = "portfolio"
TIME_LIMIT = 1800.0  # hundreds of teams on a busy machine [s]


def render(
    folder: str | Path = TEAMS, out: str | Path = report.ROOT / "reports", currency: str = "USD"
) -> dict:
    """
    Make the report of all teams of a folder.

    Parameters
    ----------
    folder : str or Path
        With the teams' files.
    out : str or Path
        Folder of all reports; this one lies in `NAME` below it.
    currency : str
        Of all sums.

    Returns
    -------
    summary : dict
        What the report's summary.json says.
    """
    asked = {"teams": report.shown(Path(folder).resolve()), "currency": currency}
    executed = report.execute(NOTEBOOK, asked, TIME_LIMIT)
    made = report.files({"executed": executed, "run": "", "inputs": None})
    with placement.locked(Path(out), "of the portfolio"):
        placement.place(made["files"], Path(out), NAME)
    return made["summary"]


def line(summary: dict, out: str | Path) -> str:
    """What to buy, its cost, what pooling saves and where the report is, for the terminal."""
    cost, folder = summary["three_year_cost"], Path(out) / NAME
    if cost is None:
        return f"{summary['team']}: no team has a feasible option; {folder}"
    total, saved = (
        phrases.money(value, cost["currency"]) for value in (cost["mid"], summary["saved"]["mid"])
    )
    return f"{summary['team']}: {clean(summary['buy'])}; {total}, pooling saves {saved}; {folder}"
