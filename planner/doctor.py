"""Is this machine ready for the next run? One line a check, each with what to do about it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker

from planner import bands, catalogue, drawings, placement, prices, team
from planner.phrases import count

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NEEDED_FONTS = ("SourceSansPro-Regular", "SourceSansPro-Semibold")
MARKS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
SHOWN = 3  # names of a list that is longer


class Check(NamedTuple):
    """
    What was found.

    Parameters
    ----------
    name : str
        What was looked at.
    state : str
        ok, note (a run works, but know this) or problem.
    words : str
        What is so.
    remedy : str
        What to do; empty where nothing is to be done.
    """

    name: str
    state: str
    words: str
    remedy: str = ""


def checks(out: Path, today: date | None = None) -> list[Check]:
    """
    Every check, in the order in which to mend.

    Parameters
    ----------
    out : Path
        Folder of all reports.
    today : date, optional
        For the age of prices.

    Returns
    -------
    checks : list of Check
    """
    return [
        _python(), _environment(), _fonts(), _data(), _prices(today or date.today()),
        _calibration(), _folder(out), _space(out), _left(out), _compiled(), _browser(),
    ]  # fmt: skip


def text(found: list[Check]) -> str:
    """The checks as lines.

    Examples
    --------
    >>> print(text([Check("disk", "ok", "room"), Check("data", "problem", "wrong", "go")]))
    ok      disk: room
    PROBLEM data: wrong; go
    1 problem
    """
    lines = [f"{MARKS[c.state]} {c.name}: {'; '.join(filter(None, c[2:]))}" for c in found]
    problems = sum(check.state == "problem" for check in found)
    return "\n".join([*lines, count(problems, "problem")])


def as_json(found: list[Check]) -> str:
    """The checks for a program: a list of objects."""
    return json.dumps([check._asdict() for check in found], indent=1, ensure_ascii=False)


def _several(names) -> str:
    names = sorted(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


# ---- the environment ---------------------------------------------------------------------------


def _python() -> Check:
    wanted = metadata.metadata("planner")["Requires-Python"]
    least = tuple(map(int, re.findall(r"\d+", wanted)))
    have = platform.python_version()
    if tuple(map(int, re.findall(r"\d+", have)))[: len(least)] < least:
        return Check("python", "problem", f"{have}, but {wanted} is needed", "set up a newer one")
    return Check("python", "ok", f"{have}, {wanted} is needed")


def _environment() -> Check:
    """Installed versions against the lock: what the tests ran with."""
    name, remedy = "environment", "run `rm .venv/.ready` and `make .venv/.ready`"
    if not LOCK.is_file():
        return Check(name, "note", "no requirements.lock lies here, so nothing can be compared")
    wanted, absent, other = dict(locked(LOCK.read_text(encoding="utf-8"))), [], []
    for package, version in wanted.items():
        try:
            have = metadata.version(package)
        except metadata.PackageNotFoundError:
            absent.append(package)
            continue
        if have != version:
            other.append(f"{package} {have} instead of {version}")
    if absent:
        words = f"{len(absent)} of {count(len(wanted), 'locked package')} not installed: "
        return Check(name, "problem", words + _several(absent), remedy)
    if other:
        words = f"{count(len(other), 'package')} not as in requirements.lock: {_several(other)}"
        return Check(name, "note", words, f"figures may differ from what was tested; {remedy}")
    return Check(name, "ok", f"all {len(wanted)} packages are those of requirements.lock")


def locked(text: str) -> Iterator[tuple[str, str]]:
    """
    Packages and versions of a lock that this machine should have.

    Examples
    --------
    >>> list(locked("a==1.0 \\\\\\n  --hash=x\\nb==2 ; python_version < '3'\\nc==3"))
    [('a', '1.0'), ('c', '3')]
    """
    for line in text.split("\n"):
        found = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)(?: *; *(.*?))?(?: *\\)?", line)
        if found and (not found[3] or Marker(found[3]).evaluate()):
            yield found[1], found[2]


def _fonts() -> Check:
    inside = [Path(folder) for folder in drawings.font_directories()]
    have = {path.stem for folder in inside for path in folder.glob("files/*.otf")}
    absent = [name for name in NEEDED_FONTS if name not in have]
    if not any(drawings.FONTS.glob("*.[ot]tf")):
        absent.append(drawings.CHINESE_FONT)
    if absent:
        words = f"{', '.join(absent)} not found; a PDF would be set in another font"
        return Check("fonts", "problem", words, "run `rm .venv/.ready` and `make .venv/.ready`")
    return Check("fonts", "ok", f"{drawings.FONT} and {drawings.CHINESE_FONT} are there")


def _compiled() -> Check:
    """Compiled code of the simulation, which a first report otherwise waits for."""
    source = Path(__file__).with_name("scheduler.py")
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or source.parent / "__pycache__")
    kept = list(folder.rglob(f"{source.stem}.*.nbi"))
    if any(path.stat().st_mtime >= source.stat().st_mtime for path in kept):
        return Check("compiled code", "ok", "the simulation is compiled")
    return Check(
        "compiled code", "note", "the simulation is not compiled yet, so the first report waits",
        "run `python -c 'from planner import load; load.compiled()'`",
    )  # fmt: skip


def _browser() -> Check:
    if any(map(shutil.which, BROWSERS)):
        return Check("browser", "ok", "Chromium is there for the tests in a browser")
    words = "no Chromium, so the tests in a browser are skipped; reports do not need it"
    return Check("browser", "note", words, "on Debian: apt install chromium")


# ---- data --------------------------------------------------------------------------------------


def _data() -> Check:
    problems = catalogue.check()
    files = sorted(team.TEAMS.glob("*.toml"))
    if not problems:
        records = catalogue.load()
        for path in files:
            try:
                team.read(path, records)
            except team.TeamError as error:
                problems += str(error).split("\n")
    if problems:
        words = f"{count(len(problems), 'problem')} in data/, the first: {problems[0]}"
        return Check("data", "problem", words, "run `planner check` for all of them")
    return Check("data", "ok", f"the catalogue and {count(len(files), 'team')} are valid")


def _prices(today: date) -> Check:
    if catalogue.check():
        return Check("prices", "note", "not looked at, since data/ is not valid")
    records = catalogue.load()
    found = [
        (prices.age(dated, today), what)
        for what, dated, limit in dated_prices(records)
        if prices.stale(dated, today, limit)
    ]
    number = len(list(dated_prices(records)))
    if not found:
        return Check("prices", "ok", f"none of {number} is stale")
    oldest, what = max(found, key=lambda pair: pair[0].most)
    words = f"{len(found)} of {number} are stale; the oldest, of {what}, is {oldest} old"
    remedy = "look them up again (CONTRIBUTING.md), or put quotes into the team files"
    return Check("prices", "note", words, remedy)


def dated_prices(records: catalogue.Catalogue) -> Iterator[tuple[str, str, float]]:
    """Every price of the catalogue: what it is of, its date, and the age that it may have. [day]"""
    plain, heavy = (
        records.assumptions[key].value for key in ("price_age_limit", "price_age_limit_memory")
    )
    for server in records.servers.values():
        limit = heavy if prices.memory_heavy(server, records) else plain
        yield server.id, server.price_date, limit
    for offer in (*records.rentals.values(), *records.api_prices.values()):
        yield offer.id, offer.source_date, plain


def _calibration() -> Check:
    path = catalogue.calibration_path()
    if not path.is_file():
        words = "none of your own machines: predictions have the band of their class"
        return Check("calibration", "note", words, "run `planner calibrate` on your own runs")
    try:
        rows = len(bands.read_calibration(path))
    except ValueError as error:
        return Check("calibration", "problem", str(error), "calibrate again, or remove the file")
    return Check("calibration", "ok", f"{count(rows, 'row')} in {path.name}")


# ---- the folder of reports ---------------------------------------------------------------------


def _there(out: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())


def _folder(out: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=_there(out)):
            pass
    except OSError as error:
        words = f"{out} cannot be written ({error.strerror})"
        return Check("reports folder", "problem", words, "name another folder with --out")
    return Check("reports folder", "ok", f"{out} can be written")


def _space(out: Path) -> Check:
    """Room for a report of every team beside the old one, each as large as those that are here."""
    number = max(1, len(list(team.TEAMS.glob("*.toml"))))
    sizes = [_size(path.parent) for path in out.glob("*/summary.json")]
    if not sizes:
        sizes = [_size(path.parent) for path in (ROOT / "reports").glob("*/summary.json")]
    if not sizes:
        return Check("disk", "note", "no report is here to measure, so no need can be stated")
    free, need = shutil.disk_usage(_there(out)).free, number * max(sizes)
    words = f"{free / 2**30:,.1f} GiB are free; {count(number, 'new report')} "
    words += f"of {max(sizes) / 2**20:.1f} MiB each "
    words += f"{'needs' if number == 1 else 'need'} {need / 2**30:,.2f} GiB"
    if free < need:
        return Check("disk", "problem", words, "free some space, or name another disk with --out")
    return Check("disk", "ok", words)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _left(out: Path) -> Check:
    name = "earlier runs"
    if _held(out / placement.RUNS / "lock"):
        return Check(name, "note", "a run is writing into this folder now", "wait until it ends")
    prefixes = (placement.DRAFT, placement.OLD)
    left = [path.name for prefix in prefixes for path in out.glob(f"{prefix}*")]
    if left:
        words = f"{count(len(left), 'draft')} of a run that was stopped: {_several(left)}"
        return Check(name, "note", words, "the next `planner report` completes or removes them")
    return Check(name, "ok", "nothing half-done is left, and no run is going on")


def _held(lock: Path) -> bool:
    """Whether a run holds the lock; the file alone means nothing, it stays."""
    try:
        with open(lock, "rb") as file:
            placement._take(file.fileno())
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
