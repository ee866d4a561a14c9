"""
Runs of many reports, killed at random moments, and what they leave.

    python benchmarks/kills.py [KILLS] [TEAMS] [SEED]

Every kill takes the whole process group. After each one, every report that is there must be whole:
the old one or the new one. After the last, one more run completes the rest. The notebook is a small
one; nine runs of ten do not even execute it but place files that are at hand, so that most kills
meet a report being placed, which is the only time when the folder changes.
"""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import nbformat

from planner import inputs, placement, run_record

ROOT = Path(__file__).resolve().parent.parent
CELLS = (
    "import base64, json, pathlib\nimport pandas as pd\nfrom planner import charts, display",
    "users = int(pathlib.Path(team_path).read_text().split('=')[1])",
    "words = display.text(f'{users} users. ' * 2000)\nwords",
    "frame = pd.DataFrame({'option': ['buy'], 'cost': [1e5 + users], 'cost_low': [9e4], "
    "'cost_high': [3e5]})\ndisplay.figure(charts.ranked_costs(frame, 'USD'), 'Cost')",
    "display.summary({'team': team_path, 'date': '2026-11-24', 'buy': f'for {users}', "
    "'three_year_cost': None, 'files': {'deploy/serve.sh': f'exec {users}'}})",
    "display.end()",
)
COMMAND = """import json, sys
from pathlib import Path
from planner import inputs, report, runner
folder, at_hand = Path(sys.argv[1]), sys.argv[2] == "True"
known = {path.relative_to(folder / "made").as_posix(): path.read_bytes()
         for path in (folder / "made").rglob("*") if path.is_file()}
def make(job):
    users = int(Path(job["parameters"]["team_path"]).read_text().split("=")[1])
    digest = inputs.digest(job["inputs"])
    more = {"buy": f"for {users}", "inputs": digest, "run": job["run"]}
    summary = {**json.loads(known["summary.json"]), **more}
    files = {**known, "inputs.json": json.dumps(job["inputs"]).encode(),
             "summary.json": json.dumps(summary).encode(),
             "deploy/serve.sh": f"exec {users}".encode()}
    return {"files": files, "summary": summary, "error": "", "seconds": {}, "cpu": {}}
if at_hand:
    report.make = make
teams, out = folder / "teams", folder / "reports"
record = runner.run(sorted(teams.glob("*.toml")), out, notebook=folder / "small.ipynb", jobs=2)
sys.exit(record.failed())"""


def prepare(folder, teams):
    """A notebook and files of so many teams."""
    code = nbformat.v4.new_code_cell
    cells = [code("team_path = ''", metadata={"tags": ["parameters"]}), *map(code, CELLS)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "small.ipynb")
    (folder / "teams").mkdir()
    change(folder, teams, 1)


def change(folder, teams, users):
    """Give every team another number of users, so that all reports are made again."""
    for number in range(teams):
        path = folder / "teams" / f"team-{number:03}.toml"
        path.write_text(f"users = {users}\n", encoding="utf-8")


def start(folder, at_hand=False):
    """A run in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(folder), str(at_hand)],
        cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def faults(folder, users=None):
    """What is wrong with the report in a folder; `users` is what it must have been made for."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        content = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
        executed = json.loads((folder / "report.ipynb").read_text(encoding="utf-8"))
        page = (folder / "report.html").read_text(encoding="utf-8")
        pages = (folder / "report.pdf").read_bytes()
        made = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for name in summary["files"]:
            if name.endswith(".xlsx"):
                zipfile.ZipFile(io.BytesIO((folder / name).read_bytes())).testzip()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        return [f"{folder.name}: {type(error).__name__}: {error}"]
    found = []
    if made - {"note.txt"} != set(summary["files"]):
        found.append(f"{folder.name}: other files than its summary names")
    if inputs.digest(content) != summary["inputs"]:
        found.append(f"{folder.name}: made of other inputs than those beside it")
    if not executed["cells"] or not page.rstrip().endswith("</html>"):
        found.append(f"{folder.name}: half a notebook or page")
    if not (pages.startswith(b"%PDF-") and pages.rstrip().endswith(b"%%EOF")):
        found.append(f"{folder.name}: half a PDF")
    told = summary["buy"].removeprefix("for ")
    if users is not None:
        wanted = hashlib.sha256(f"users = {users}\n".encode()).hexdigest()[:32]
        if told != str(users) or content["team"]["file"] != wanted:
            found.append(f"{folder.name}: of {told} users, not of {users}")
    script = folder / "deploy" / "serve.sh"
    if f"exec {told}" not in script.read_text(encoding="utf-8"):
        found.append(f"{folder.name}: deploy/ of another report")
    return found


def reports(folder):
    """Folders of reports that anybody sees."""
    out = folder / "reports"
    return sorted(p for p in out.iterdir() if p.is_dir() and not p.name.startswith("."))


def trial(folder, kills, teams, seed, seconds=None):
    """
    Kill runs, then let one end.

    Returns
    -------
    result : dict
        kills, faults (what was wrong after any kill or at the end), placed (reports placed by runs
        that were killed), left (drafts and old reports that kills left for the next run).
    """
    prepare(folder, teams)
    choice, began = random.Random(seed), time.monotonic()
    result = {"kills": 0, "faults": [], "placed": 0, "left": 0}
    assert start(folder).wait() == 0
    shutil.copytree(folder / "reports" / "team-000", folder / "made")
    note = folder / "reports" / "team-000" / "note.txt"
    note.write_text("ours", encoding="utf-8")
    users = 1
    while result["kills"] < kills and (seconds is None or time.monotonic() - began < seconds):
        users += 1
        change(folder, teams, users)
        before = time.monotonic()
        at_hand = result["kills"] % 10 != 0
        run = start(folder, at_hand)
        logs = folder / "reports" / placement.RUNS
        known = set(logs.glob("*.jsonl"))
        new = set()
        while not new and time.monotonic() - before < 60:  # until it writes its first report
            time.sleep(0.01)
            fresh = set(logs.glob("*.jsonl")) - known
            new = {path for path in fresh if '"rendered"' in path.read_text(encoding="utf-8")}
        time.sleep(choice.uniform(0.0, 0.6 if at_hand else 2.0))
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        result["kills"] += 1
        result["left"] += sum(1 for path in (folder / "reports").glob(".*-team*"))
        for path in new:
            result["placed"] += path.read_text(encoding="utf-8").count('"rendered"')
        there = reports(folder)
        if len(there) != teams:
            result["faults"].append(f"{teams - len(there)} reports are missing")
        result["faults"] += [fault for path in there for fault in faults(path)]
    assert start(folder).wait() == 0
    there = reports(folder)
    result["faults"] += [fault for path in there for fault in faults(path, users)]
    left = [path.name for path in (folder / "reports").glob(".*") if path.name != placement.RUNS]
    result["faults"] += [f"{name} was left" for name in left]
    if len(there) != teams or note.read_text(encoding="utf-8") != "ours":
        result["faults"].append("a report or a note is missing at the end")
    status = {one["status"] for one in run_record.last(folder / "reports").values()}
    if not status <= {"rendered", "unchanged"}:
        result["faults"].append(f"run.json says {status}")
    return result


def main(kills=200, teams=50, seed=7):
    """The trial in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = trial(Path(folder), kills, teams, seed)
    print(
        f"{found['kills']} kills of a run of {teams} reports in {time.monotonic() - began:,.0f} s"
    )
    print(f"  placed meanwhile        {found['placed']:>12,}")
    print(f"  left for the next run   {found['left']:>12,}")
    print(f"  corrupt or missing      {len(found['faults']):>12,}")
    for fault in found["faults"][:20]:
        print(f"    {fault}")
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
