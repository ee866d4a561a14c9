"""reports/index.html: every team's last report on one page, which can be searched and sorted."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import jinja2

from planner import run_record
from planner.display import clean
from planner.phrases import day
from planner.team import APART

TEMPLATES = Path(__file__).parent / "templates"
REVIEW = timedelta(days=91)  # the reports themselves ask for one every quarter
DOCUMENTS = ("report.html", "report.pdf", "report.xlsx")
PORTFOLIO = "portfolio"


def rows(out: Path) -> list[dict]:
    """
    What is known of every team.

    Parameters
    ----------
    out : Path
        Folder of all reports.

    Returns
    -------
    rows : list of dict
        name, team, status, error, date, review, decision, cost (text), amount, currency, changed
        (what changed in the last rendering), documents (file names), by name.
    """
    known = run_record.last(out)
    folders = {path.parent.name for path in out.glob("*/summary.json")}
    names = sorted((set(known) | folders) - APART)
    return [_row(out / name, known.get(name, {})) for name in names]


def _row(folder: Path, known: Mapping) -> dict:
    summary = _read(folder / "summary.json")
    cost = summary.get("three_year_cost") or {}
    made = _date(summary.get("date"))
    return {
        "name": folder.name,
        "team": clean(summary.get("team", folder.name)),
        "status": clean(known.get("status", "rendered")),
        "error": clean(known.get("error", "")),
        "date": made.isoformat() if made else "",
        "written": day(made.isoformat()) if made else "",
        "review": _review(made, summary),
        "decision": clean(summary.get("buy", "")),
        "cost": run_record.cost(cost),
        "range": _range(cost),
        "amount": cost["mid"] if isinstance(cost.get("mid"), int | float) else "",
        "documents": [name for name in DOCUMENTS if (folder / name).is_file()],
    }


def _review(made, summary):
    """Every quarter, and when the price that decides becomes stale."""
    if made is None:
        return ""
    until = _date(summary.get("valid_until"))
    due = made + REVIEW
    return (min(due, until) if until and until >= made else due).isoformat()


def _range(cost):
    if not all(isinstance(cost.get(end), int | float) for end in ("low", "high")):
        return ""
    return f"{run_record.rounded(cost['low'])} to {run_record.rounded(cost['high'])}"


def _date(text) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def page(out: Path) -> str:
    """
    The page of all teams.

    Parameters
    ----------
    out : Path
        Folder of all reports.

    Returns
    -------
    page : str
        HTML that asks no other machine for anything; the ages are counted when it is opened.
    """
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    script = (TEMPLATES / "overview.js").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    run = _read(out / run_record.LAST)
    return environment.get_template("overview.html.j2").render(
        rows=rows(out),
        run={"id": clean(run.get("id", "")), "ended": clean(run.get("ended", ""))[:16]},
        script=jinja2.filters.do_mark_safe(script),
        allowed=allowed,
        portfolio=(out / PORTFOLIO / "report.html").is_file(),
    )


def write(out: Path) -> Path:
    """
    Write the page beside and rename it.

    Parameters
    ----------
    out : Path
        Folder of all reports.

    Returns
    -------
    path : Path
    """
    path, draft = out / "index.html", out / f".index-{os.getpid()}"
    try:
        draft.write_text(page(out), encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path
