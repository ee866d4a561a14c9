"""
What a report costs in a run of many, and what it cost one by one: processor time and wall time.

    python benchmarks/bench.py reports checked flat

Times of other work on the machine get into the wall time, hardly into the processor time.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthetic_teams import write

from planner import catalogue, inputs, placement, report, run_record, team, workers
from planner.team import TEAMS

JOBS = min(2, os.cpu_count() or 1)
# Runs a command and says how long it and all that it started kept the processors busy; what
# outlives its parent (a browser does) becomes a child of this process, so that it is counted.
COUNTED = """import ctypes, os, resource, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime if done.returncode == 0 else done.stderr[-600:])"""


def counted(command, **more):
    """Processor time and wall time of a command. [s]"""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", COUNTED, *command], capture_output=True, text=True,
                          check=True, cwd=report.ROOT, env={**os.environ, **more})  # fmt: skip
    wall = time.perf_counter() - start
    try:
        return float(done.stdout), wall
    except ValueError:
        raise RuntimeError(done.stdout) from None


def browsers(folder):
    """A folder of Playwright's browsers in which the system's Chromium stands; "" if there is none.

    Playwright's own browser has to be downloaded; nbconvert does not let another one be named.
    """
    code = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as p:\n"
        "    try: p.chromium.launch()\n"
        "    except Exception as error: print(error)"
    )
    more = {"PLAYWRIGHT_BROWSERS_PATH": str(folder)}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=False, env={**os.environ, **more}).stdout  # fmt: skip
    wanted = re.search(r"Executable doesn't exist at (\S+)", told)
    chromium = Path("/usr/bin/chromium")
    if not wanted or not chromium.exists():
        return ""
    Path(wanted[1]).parent.mkdir(parents=True)
    Path(wanted[1]).symlink_to(chromium)
    return str(folder)


def one_by_one(folder, paths):
    """The usual way: papermill with its kernel, then nbconvert's webpdf, per team."""
    times = []
    known = browsers(folder / "browsers")
    convert = ["--to", "webpdf", "--disable-chromium-sandbox"] if known else ["--to", "html"]
    for path in paths:
        out = folder / f"{path.stem}.ipynb"
        run = ["papermill", str(report.NOTEBOOK), str(out), "-p", "team_path", str(path)]
        parts = [
            counted([sys.executable, "-m", *run, "-k", "python3", "--cwd", str(report.ROOT)]),
            counted([sys.executable, "-m", "nbconvert", *convert, str(out)],
                    **({"PLAYWRIGHT_BROWSERS_PATH": known} if known else {})),
        ]  # fmt: skip
        times.append([sum(part[place] for part in parts) for place in (0, 1)])
    return times, bool(known)


def reported(teams, out):
    """Processor time and wall time of the whole command for a folder of teams. [s]"""
    command = [sys.executable, "-m", "planner", "report", "--all", "--jobs", str(JOBS)]
    return counted([*command, "--teams", str(teams), "--out", str(out)])


def bench_reports(few=16, many=48, compared=2):
    """Runs of few and of many teams, what another team costs, and the usual way for some of them.

    All processes count, those too that start, load and end others.
    """
    with tempfile.TemporaryDirectory() as place:
        folder, spent = Path(place), {}
        for number in (few, many):
            teams, out = folder / f"teams-{number}", folder / f"reports-{number}"
            teams.mkdir()
            write(teams, number)
            spent[number] = reported(teams, out)
        record = json.loads((out / run_record.LAST).read_text("utf-8"))
        made = [one for one in record["teams"].values() if one["status"] == "rendered"]
        print(f"reports: {len(made)} of {many} teams, {JOBS} at a time")
        for number, (cpu, wall) in spent.items():
            print(f"  {number} teams               {cpu:>14,.1f} s of a core, {wall:.1f} s wall")
        each, took_each = (
            (spent[many][place] - spent[few][place]) / (many - few) for place in (0, 1)
        )
        for stage, words in {"notebook": "notebook", "pages": "charts, PDF, files"}.items():
            middle = statistics.median(one["cpu"][stage] for one in made)
            print(f"    {words:<22}{middle:>12,.2f} s of a core, median")
        print(f"  each, marginal          {each:>12,.2f} s of a core, {took_each:.2f} s wall")
        paths = sorted(teams.glob("*.toml"))[:compared]
        times, printed = one_by_one(folder, paths)
        cpu, took = map(statistics.mean, zip(*times, strict=True))
        how = "nbconvert webpdf" if printed else "nbconvert html (no Chromium)"
        print(f"  papermill + {how}, per team, {compared} teams")
        print(f"    of a core             {cpu:>12,.2f} s, {cpu / each:.1f} times as long")
        print(f"    wall time             {took:>12,.2f} s, {took / took_each:.1f} times as long")


def bench_checked(number=300):
    """So many teams of which none has changed."""
    records = catalogue.load()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "teams").mkdir()
        write(folder / "teams", number)
        for path in (folder / "teams").glob("*.toml"):
            content = inputs.of(team.read(path, records), records)
            made = dict.fromkeys(placement.NAMES, b"made")
            summary = {"files": list(made), "inputs": inputs.digest(content), "buy": "something"}
            made |= {"inputs.json": json.dumps(content, indent=1).encode(),
                     "summary.json": json.dumps(summary).encode()}  # fmt: skip
            placement.place(made, folder / "reports", report.slug(path.stem))
        command = [sys.executable, "-m", "planner", "report", "--all", "--teams",
                   str(folder / "teams"), "--out", str(folder / "reports")]  # fmt: skip
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        wall = time.perf_counter() - start
        assert f"\n{number:,} unchanged\n" in done.stdout, done.stdout[-500:]
        cpu, _ = counted(command)
    print(f"checked: {number:,} teams, nothing changed")
    print(f"  the whole command       {wall:>12,.2f} s ({cpu:.2f} s of a core)")


def resident(process):
    """Resident memory of a process. [MiB]"""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def bench_flat(marks=(1, 30, 100, 300)):
    """Memory of the two processes that live as long as a run, after so many reports."""
    executed = [
        report.execute(report.NOTEBOOK, {"team_path": f"data/teams/{path.name}"})
        for path in sorted(TEAMS.glob("*.toml"))
    ]
    found = {}
    for number in range(1, max(marks) + 1):
        asked = {"executed": executed[number % len(executed)], "run": "x", "inputs": None}
        workers.kept(report.files, asked, time.monotonic() + 300, 300, "its pages")
        if number in marks:
            found[number] = resident(workers._idle[-1].process.pid), resident(os.getpid())
    print("flat: resident memory of what lives as long as a run")
    for number, (pages, mine) in found.items():
        print(f"  after {number:>4} reports       {pages:>8,.0f} MiB pages {mine:>8,.0f} MiB run")
    pages, mine = (100 * (found[300][place] / found[30][place] - 1) for place in (0, 1))
    print(f"  300 against 30          {pages:>+8.1f} % pages    {mine:>+8.1f} % run")
