"""What a run did: a log line for every stage of every report, and run.json for the last run."""

from __future__ import annotations

import json
import os
import secrets
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from planner.display import clean, number
from planner.placement import RUNS

LAST = "run.json"
LOGS = 100  # kept of earlier runs
STAGES = ("wait", "notebook", "charts", "pdf", "files")
STATUSES = ("rendered", "unchanged", "failed")
COLUMNS = (("team", 32), ("status", 9), ("decision", 44), ("three-year cost", 18), ("seconds", 7))


def new_id() -> str:
    """Name of a run: when it began and a few random signs."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Record:
    """
    The record of one run.

    Parameters
    ----------
    out : Path
        Folder of all reports.
    run : str
        From `new_id`.
    """

    def __init__(self, out: Path, run: str):
        self.out, self.run, self.started = out, run, _now()
        self.teams: dict[str, dict] = {}
        self.trouble = ""  # why the record itself could not be written
        self._log = out / RUNS / f"{run}.jsonl"
        self.note("", "run", "started")

    def note(self, team: str, stage: str, outcome: str, seconds: float = 0.0, error: str = ""):
        """One line of the log."""
        line = {"time": _now(), "run": self.run, "team": team, "stage": stage,
                "seconds": round(seconds, 3), "outcome": outcome, "error": error}  # fmt: skip
        try:
            with open(self._log, "a", encoding="utf-8") as log:
                log.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            self.trouble = f"{self._log} cannot be written ({error.strerror})"

    def add(self, team: str, status: str, **more) -> None:
        """What became of a team: rendered, unchanged or failed."""
        self.teams[team] = {"status": status, "run": self.run, **more}
        seconds = more.get("seconds", {})
        for stage in STAGES:
            if stage in seconds:
                self.note(team, stage, "done", seconds[stage])
        self.note(team, "report", status, spent(seconds), more.get("error", ""))

    def content(self) -> dict:
        """What run.json says; teams that this run was not asked for keep what was known."""
        earlier = {
            name: known for name, known in last(self.out).items() if (self.out / name).is_dir()
        }
        return {
            "id": self.run,
            "started": self.started,
            "ended": _now(),
            "teams": dict(sorted({**earlier, **self.teams}.items())),
        }

    def write(self) -> dict:
        """Write run.json beside and rename it; the content."""
        self.note("", "run", "ended", error=self.trouble)
        content = self.content()
        draft, place = self.out / RUNS / LAST, self.out / LAST
        try:
            draft.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
            os.replace(draft, place)
        except OSError as error:
            draft.unlink(missing_ok=True)
            self.trouble = f"{place} cannot be written ({error.strerror})"
        for old in sorted((self.out / RUNS).glob("*.jsonl"))[:-LOGS]:
            old.unlink(missing_ok=True)
        return content

    def failed(self) -> bool:
        """Whether anything went wrong."""
        return bool(self.trouble) or any(t["status"] == "failed" for t in self.teams.values())


def spent(seconds: Mapping[str, float]) -> float:
    """Time of one report, without its wait for a place. [s]"""
    return sum(took for stage, took in seconds.items() if stage != "wait")


def last(out: Path) -> dict[str, dict]:
    """What is known of each team from the last run; nothing where there was none."""
    try:
        teams = json.loads((out / LAST).read_text(encoding="utf-8"))["teams"]
        return {name: known for name, known in teams.items() if isinstance(known["status"], str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


# ---- in the terminal ---------------------------------------------------------------------------


def table(teams: Mapping[str, Mapping]) -> str:
    """A line per team, and after them what went wrong, in full."""
    rows = [[name for name, _ in COLUMNS]]
    for name, one in sorted(teams.items()):
        seconds = spent(one.get("seconds", {}))
        took = f"{seconds:.1f}" if seconds else ""
        rows.append([name, one["status"], one.get("decision", ""), cost(one.get("cost")), took])
    widths = [
        min(most, max(_width(row[place]) for row in rows))
        for place, (_, most) in enumerate(COLUMNS)
    ]
    lines = [
        "  ".join(_fitted(text, width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    counts = {s: sum(t["status"] == s for t in teams.values()) for s in STATUSES}
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)
    wrong = [f"{name}: {one['error']}" for name, one in sorted(teams.items()) if one.get("error")]
    return "\n".join([*lines, told or "no team", *wrong])


def cost(found: Mapping | None) -> str:
    """A cost in three figures with its currency.

    >>> cost({"mid": 186_432.0, "currency": "USD"})
    '186,000 USD'
    """
    if not found or found.get("mid") is None:
        return ""
    return f"{rounded(found['mid'])} {found['currency']}"


def rounded(value: float) -> str:
    """Three figures."""
    return number(float(f"{float(value):.3g}"))


def _width(text: str) -> int:
    """Columns that a text takes in a terminal; Chinese characters take two."""
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


def _fitted(text: str, width: int) -> str:
    text = clean(text).replace("\n", " ")
    if _width(text) > width:
        while _width(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))
