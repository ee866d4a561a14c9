"""Runs of many teams: nothing half-written, nothing lost, no state from one team to the next."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kills
import pytest
from test_report import write_notebook, write_team

from planner import inputs, options, placement, report, run_record, runner, team, workers
from planner.__main__ import main

PAGE = {"report.html": b"<p>1", "summary.json": b'{"files": ["report.html", "summary.json"]}'}


def visible(out):
    return sorted(path.name for path in out.iterdir() if not path.name.startswith("."))


# ---- placement ---------------------------------------------------------------------------------


def with_script(number):
    names = ["deploy/serve.sh", "report.html", "summary.json"]
    content = json.dumps({"files": names, "number": number}).encode()
    made = {"deploy/serve.sh": b"%d" % number, "report.html": b"%d" % number}
    return {**made, "summary.json": content}


@pytest.mark.parametrize("exchange", [True, False])
def test_a_report_changes_as_a_whole_and_keeps_what_people_add(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(placement, "_exchange", lambda *_: False)
    placement.place(with_script(1), tmp_path, "team")
    folder = tmp_path / "team"
    assert (folder / "deploy" / "serve.sh").stat().st_mode & 0o111
    (folder / "deploy" / "notes.txt").write_text("ours")
    (folder / "offers").mkdir()
    (folder / "offers" / "a.pdf").write_text("offer")
    placement.place(PAGE, tmp_path, "team")
    made = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert made == ["deploy/notes.txt", "offers/a.pdf", "report.html", "summary.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["team"]


STEPS = ("rename", "link", "open", "fsync", "mkdir", "unlink", "rmdir", "replace")


def die_at(step, call):
    """Whether the call ends when a process dies before so many changes of the folder."""
    child = os.fork()
    if child == 0:
        left = [step]

        def counted(real):
            def counting(*arguments, **named):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return real(*arguments, **named)

            return counting

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        placement._exchange = counted(placement._exchange)
        call()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("exchange", [True, False])
def test_whoever_dies_at_any_step_leaves_a_whole_report(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(placement, "_exchange", lambda *_: False)
    ended, step = False, 0
    while not ended:
        out = tmp_path / str(step)
        placement.place(with_script(1), out, "team")
        (out / "team" / "note").write_text("ours")
        ended = die_at(step, lambda out=out: placement.place(with_script(2), out, "team"))
        if exchange:
            assert placement.whole(out / "team")  # before anybody puts anything right
        again = False  # whoever puts it right may die as well
        while not again:
            again = die_at(step, lambda out=out: placement.recover(out))
            step += not again
        placement.recover(out)
        assert visible(out) == ["team"] and [p.name for p in out.iterdir()] == ["team"]
        assert placement.whole(out / "team") and (out / "team" / "note").read_text() == "ours"
        number = json.loads((out / "team" / "summary.json").read_text())["number"]
        assert (out / "team" / "deploy" / "serve.sh").read_text() == str(number)
        step += 1
    assert number == 2 and step > 10


def test_what_a_killed_run_left_is_completed_or_undone(tmp_path):
    placement.place(PAGE, tmp_path, "gone")
    os.rename(tmp_path / "gone", tmp_path / ".old-gone")
    placement.place(PAGE, tmp_path, "there")
    (tmp_path / ".draft-there").mkdir()
    (tmp_path / ".old-there").mkdir()
    (tmp_path / ".old-there" / "late.txt").write_text("ours")
    (tmp_path / ".index-1").write_text("half a page")
    assert placement.recover(tmp_path) == ["gone"]
    assert visible(tmp_path) == ["gone", "there"] and placement.whole(tmp_path / "gone")
    assert (tmp_path / "there" / "late.txt").read_text() == "ours"
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch):
    placement.place(PAGE, tmp_path, "team")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(placement, "_write", full)
    with pytest.raises(placement.PlaceError, match=r"No space left on device\); free some space"):
        placement.place(with_script(2), tmp_path, "team")
    assert (tmp_path / "team" / "report.html").read_bytes() == b"<p>1"
    assert [path.name for path in tmp_path.iterdir()] == ["team"]


def test_a_place_that_is_no_folder_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["report", "guide_limited", "--out", str(tmp_path / "file" / "reports")]) == 2
    told = capsys.readouterr().err
    assert "cannot be written (Not a directory); name another folder" in told
    assert told.count("\n") == 1


HOLD = """import sys, time
from pathlib import Path
from planner import placement
with placement.locked(Path(sys.argv[1]), "first"):
    print("held", flush=True)
    time.sleep(60)"""


def test_one_run_at_a_time(tmp_path, capsys):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        assert main(["report", "guide_limited", "--out", str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert f"run first (process {holder.pid} on " in told and "since 20" in told
        holder.kill()
    with placement.locked(tmp_path, "second"):  # the system has let go
        pass


# ---- what a report depends on ------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(records):
    return team.read("guide_limited", records)


def changed(records, table, key, **values):
    """The catalogue with one record changed."""
    from dataclasses import replace

    known = getattr(records, table)
    return replace(records, **{table: {**known, key: known[key].model_copy(update=values)}})


def test_only_what_a_team_may_use_changes_its_digest(records, limited):
    before = inputs.digest(inputs.of(limited, records))
    assert inputs.digest(json.loads(json.dumps(inputs.of(limited, records)))) == before
    buyable = {server.id for server in options.servers(limited, records)[0]}
    other = next(name for name in records.servers if name not in buyable)
    for name, same in ((other, True), (min(buyable), False)):
        dearer = changed(records, "servers", name, price=1.0 + records.servers[name].price)
        assert (inputs.digest(inputs.of(limited, dearer)) == before) == same
    model = limited.candidates.models[0]
    assert inputs.digest(inputs.of(limited, changed(records, "models", model, context=1))) != before
    longer = limited.model_copy(update={"language": "zh"})
    assert inputs.digest(inputs.of(longer, records)) != before
    key = "pue"
    assert (
        inputs.digest(inputs.of(limited, changed(records, "assumptions", key, low=1.0))) != before
    )


def test_parts_say_which_value_changed(records, limited):
    found = inputs.of(limited, records)
    assert found["team"]["workload.calls_per_day"] == 50
    server = next(iter(found["servers"]))
    assert found["servers"][server]["price"] == records.servers[server].price
    assert found["assumptions"]["staff_hours_fixed"]["value"] == 0  # the team's own
    assert set(found) == {
        "team", "models", "refused", "servers", "rentals", "api_prices", "assumptions", "formats",
        "devices", "claims", "constants", "code", "environment",
    }  # fmt: skip


def test_looking_for_changes_loads_nothing_that_draws():
    code = (
        "import sys; from planner import catalogue, inputs, runner, team\n"
        "inputs.digest(inputs.of(team.read('guide_limited', catalogue.load()), catalogue.load()))\n"
        "print({'altair', 'papermill', 'numba', 'typst', 'scipy', 'IPython'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


# ---- runs --------------------------------------------------------------------------------------

RUDE = """if 'rude' in team_path:
    import builtins, json, os, sys, threading, time
    import numpy, pandas
    from planner import catalogue, display, language, markup
    language.use('zh'); os.environ['LANG'] = 'zh'; os.chdir('/'); numpy.random.seed(1)
    builtins.sum = None; display.number = display.clean = lambda *_: 'rude'; options = 'rude'
    json.dumps = None; catalogue.load().models.clear(); pandas.options.display.precision = 1
    sys.path.clear(); threading.Thread(target=time.sleep, args=(60,)).start()"""
FAULTS = """if 'broken' in team_path:
    raise ValueError('broken.toml, field users: 5 is wrong; write 6')
if 'dying' in team_path:
    import os; os._exit(3)
if 'killed' in team_path:
    import os, signal; os.kill(os.getpid(), signal.SIGKILL)
if 'slow' in team_path:
    import subprocess, time; subprocess.Popen(['sleep', '61']); time.sleep(60)
if 'hungry' in team_path:
    kept = bytearray(4 << 30)
if 'prints' in team_path:
    print('x')"""


def run(folder, names, out, *cells, **more):
    notebook = folder / "n.ipynb"
    if not notebook.exists():  # each time it is written its cells get new names
        write_notebook(notebook, *cells)
    (folder / "teams").mkdir(exist_ok=True)
    paths = [write_team(folder / "teams", f"{name}.toml") for name in names]
    return runner.run(paths, folder / out, notebook=notebook, **more)


def content(folder, without_run=True):
    """Bytes of every file of a report; the run's name is not compared."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*")
             if p.is_file()}  # fmt: skip
    summary = json.loads(found["summary.json"])
    summary.pop("run", None)
    return {**found, "summary.json": summary}


def test_no_state_of_one_team_reaches_the_next(tmp_path):
    record = run(tmp_path, ["a-rude", "polite"], "together", RUDE, jobs=1)
    assert record.teams["polite"]["status"] == "rendered", record.teams
    run(tmp_path, ["polite"], "alone", RUDE, jobs=1)
    together, alone = (content(tmp_path / at / "polite") for at in ("together", "alone"))
    assert together == alone and len(alone) == 5
    assert Path.cwd() != Path("/")


def test_a_system_that_cannot_fork_makes_the_same(tmp_path, monkeypatch):
    run(tmp_path, ["polite"], "forked", RUDE, jobs=1)
    with workers.stopped():
        pass  # what is kept would be used again
    monkeypatch.setattr(workers, "_context", lambda: multiprocessing.get_context("spawn"))
    record = run(tmp_path, ["polite"], "spawned", RUDE, jobs=1)
    assert record.teams["polite"]["status"] == "rendered", record.teams
    assert content(tmp_path / "forked" / "polite") == content(tmp_path / "spawned" / "polite")


def test_whoever_stops_a_run_leaves_no_process(tmp_path):
    write_notebook(tmp_path / "n.ipynb", "import time; time.sleep(300)")
    code = (
        "import sys; from pathlib import Path; from planner import runner\n"
        "folder = Path(sys.argv[1])\n"
        "runner.run([folder / 'a.toml'], folder / 'out', notebook=folder / 'n.ipynb')"
    )
    write_team(tmp_path, "a.toml")
    for how, processes in ((signal.SIGINT, 2), (signal.SIGINT, 3), (signal.SIGKILL, 3)):
        command = [sys.executable, "-c", code, str(tmp_path)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True) as running:
            # the two that belong to forking, and then the report
            wait_for(lambda n=processes, of=running.pid: len(descendants(of)) >= n)
            started = descendants(running.pid)
            os.kill(running.pid, how)
        wait_for(lambda started=started: not any(map(alive, started)))
    runner.run([], tmp_path / "out")  # the lock is free


def wait_for(happens, seconds=60):
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.1)


def table_of_processes():
    told = subprocess.run(["ps", "-eo", "pid,ppid,stat"], capture_output=True, text=True).stdout
    return [line.split() for line in told.splitlines()[1:]]


def descendants(pid):
    found = {str(pid)}
    for _ in range(4):
        found |= {child for child, parent, _ in table_of_processes() if parent in found}
    return found - {str(pid)}


def alive(pid):
    return any(p == pid and not state.startswith("Z") for p, _, state in table_of_processes())


def test_each_failure_is_one_line_and_stops_no_other(tmp_path):
    names = ["broken", "fine", "dying", "killed", "hungry", "prints"]
    record = run(tmp_path, names, "out", FAULTS, memory_limit=3.0, jobs=2)
    told = {name: one.get("error", "") for name, one in record.teams.items()}
    assert told["broken"] == "broken.toml, field users: 5 is wrong; write 6"
    assert "died in cell 9 of the notebook (exit code 3)" in told["dying"]
    assert "(killed by SIGKILL)" in told["killed"]
    assert "more memory than the 3 GiB allowed (in cell 9 of the notebook)" in told["hungry"]
    assert "prints; show words with planner.display.text" in told["prints"]
    assert all("\n" not in line for line in told.values())
    assert told["fine"] == "" and visible(tmp_path / "out") == ["fine", "index.html", "run.json"]
    known = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert known["id"] == record.run and {n: t.get("error", "") for n, t in known["teams"].items()}
    lines = (tmp_path / "out" / ".run" / f"{record.run}.jsonl").read_text(encoding="utf-8")
    logged = [json.loads(line) for line in lines.splitlines()]
    assert {line["run"] for line in logged} == {record.run}
    assert {line["stage"] for line in logged if line["team"] == "fine"} == {
        "wait", "notebook", "charts", "pdf", "files", "report",
    }  # fmt: skip
    assert {line["team"]: line["error"] for line in logged if line["stage"] == "report"} == told
    summary = json.loads((tmp_path / "out" / "fine" / "summary.json").read_text(encoding="utf-8"))
    assert summary["run"] == record.run and summary["inputs"] == known["teams"]["fine"]["digest"]
    assert record.failed()


def test_a_hanging_cell_is_ended_with_what_it_started(tmp_path):
    record = run(tmp_path, ["slow", "fine"], "out", FAULTS, time_limit=15, jobs=2)
    assert record.teams["fine"]["status"] == "rendered", record.teams
    told = record.teams["slow"]["error"]
    assert told.startswith(
        "not done after 15 s, then in cell 9 of the notebook; raise --time-limit"
    )
    sleeping = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 61" not in sleeping.splitlines()


def test_only_what_changed_is_made_again(tmp_path):
    def statuses(**more):
        record = run(tmp_path, ["a", "b"], "out", FAULTS, **more)
        return [record.teams[name]["status"] for name in sorted(record.teams)]

    assert statuses() == ["rendered", "rendered"]
    assert statuses() == ["unchanged", "unchanged"]
    assert statuses(only_failed=True) == []
    assert set(run_record.last(tmp_path / "out")) == {"a", "b"}  # what was known is kept
    assert statuses(force=True) == ["rendered", "rendered"]
    (tmp_path / "out" / "b" / "report.pdf").unlink()
    assert statuses() == ["unchanged", "rendered"]
    summary = tmp_path / "out" / "b" / "summary.json"
    lapsed = json.loads(summary.read_text()) | {"date": "2026-01-01", "valid_until": "2026-01-02"}
    summary.write_text(json.dumps(lapsed))
    assert statuses() == ["unchanged", "rendered"]  # the price that decided has become stale
    (tmp_path / "out" / "a" / "report.pdf").unlink()
    assert statuses(only_failed=True) == ["rendered"]
    (tmp_path / "out" / "a" / "summary.json").write_text("[")
    assert statuses(parameters={"crash": True}) == ["rendered", "rendered"]


def test_a_full_disk_is_one_line_of_that_team(tmp_path, monkeypatch):
    write = placement._write

    def full(path, content):
        if path.parent.name == ".draft-b":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(placement, "_write", full)
    record = run(tmp_path, ["a", "b"], "out", FAULTS)
    assert record.teams["a"]["status"] == "rendered"
    assert "No space left on device" in record.teams["b"]["error"]
    assert visible(tmp_path / "out") == ["a", "index.html", "run.json"] and record.failed()


def test_two_files_of_one_name_do_not_overwrite_each_other(tmp_path):
    record = run(tmp_path, ["a b", "a-b"], "out")
    assert [one["status"] for one in record.teams.values()] == ["failed", "rendered"]
    assert "rename one of them" in record.teams["a-b (a-b.toml)"]["error"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "missing"), ("a = " + "[" * 9999, "deep"), ("#" * 1_000_001, "larger than")],
)
def test_a_team_file_that_is_none(tmp_path, text, words):
    path = tmp_path / "odd.toml"
    path.write_text(text)
    record = runner.run([path], tmp_path / "out")
    assert record.teams["odd"]["status"] == "failed" and words in record.teams["odd"]["error"]


def test_limits_that_are_none(tmp_path, capsys):
    for option, value in (("--jobs", "0"), ("--time-limit", "nan"), ("--memory-limit", "-1")):
        assert main(["report", "guide_limited", "--out", str(tmp_path), option, value]) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_what_programs_read(tmp_path, capsys):
    assert main(["report", "nobody", "--out", str(tmp_path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["teams"]["nobody"]["status"] == "failed" and told["started"] <= told["ended"]
    known = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert known["id"] == told["id"] and known["teams"] == told["teams"]


def test_the_table_of_a_run():
    cost = {"low": 150e3, "mid": 186_432.0, "high": 240e3, "currency": "USD"}
    teams = {
        "b": {"status": "failed", "error": "b.toml: no such team file"},
        "a": {"status": "rendered", "decision": "购买 " * 30, "cost": cost,
              "seconds": {"wait": 5.0, "notebook": 1.0, "files": 0.26}},
    }  # fmt: skip
    lines = run_record.table(teams).split("\n")
    assert lines[0].split() == ["team", "status", "decision", "three-year", "cost", "seconds"]
    told, more = lines[1].split("…")
    assert told.startswith("a     rendered  购买") and more.split() == ["186,000", "USD", "1.3"]
    assert lines[2:] == ["b     failed", "1 rendered, 1 failed", "b: b.toml: no such team file"]


@pytest.mark.slow
def test_kills_leave_every_report_whole(tmp_path):
    found = kills.trial(tmp_path, kills=200, teams=50, seed=os.getpid(), seconds=60)
    assert found["kills"] >= 3 and found["faults"] == []


@pytest.mark.slow
def test_a_cluster_makes_the_same_summaries(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    monkeypatch.setattr(run_record, "new_id", lambda: "one name for both")
    names = ["a", "b", "broken", "dying"]
    run(tmp_path, names, "pool", FAULTS)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        record = run(tmp_path, names, "cluster", FAULTS, cluster=cluster.scheduler_address)
        told = {name: one.get("error", "") for name, one in record.teams.items()}
        assert told["broken"].startswith("broken.toml") and "exit code 3" in told["dying"]
        for name in ("a", "b"):
            pool, other = (tmp_path / at / name / "summary.json" for at in ("pool", "cluster"))
            assert pool.read_bytes() == other.read_bytes()
        monkeypatch.setattr(inputs, "code", lambda: "another commit")
        with pytest.raises(report.ReportError, match="has other code"):
            run(tmp_path, names, "other", cluster=cluster.scheduler_address)
    with pytest.raises(report.ReportError, match="no Dask scheduler answers"):
        run(tmp_path, ["a"], "none", cluster="tcp://127.0.0.1:9", force=True)
