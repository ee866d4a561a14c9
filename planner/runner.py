"""Runs: the reports of many teams, only those that something has changed for, some at a time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from tqdm import tqdm

from planner import catalogue as records
from planner import inputs, placement, report, run_record, workers
from planner import team as teams
from planner.display import clean
from planner.report import NOTEBOOK, ReportError
from planner.run_record import Record

LARGEST = 1_000_000  # of a team file [B]


def run(
    team_paths: Iterable[str | Path],
    out: str | Path,
    *,
    jobs: int = 2,
    force: bool = False,
    only_failed: bool = False,
    time_limit: float = report.TIME_LIMIT,
    memory_limit: float = 0.0,
    cluster: str = "",
    notebook: str | Path = NOTEBOOK,
    parameters: Mapping[str, object] | None = None,
) -> Record:
    """
    Reports of many teams; one team's failure stops no other.

    Parameters
    ----------
    team_paths : iterable of str or Path
        Team files.
    out : str or Path
        Folder of all reports.
    jobs : int
        Reports at a time.
    force : bool
        Also where nothing has changed.
    only_failed : bool
        Only teams that failed in the last run or have no whole report.
    time_limit : float
        Longest time of one report. [s]
    memory_limit : float
        Most private memory of one notebook; 0 for no limit. [GiB]
    cluster : str
        Address of a Dask scheduler that the work goes to; empty: processes of this machine.
    notebook, parameters
        As in `report.render`.

    Returns
    -------
    record : Record
        What became of each team, also in run.json.
    """
    if jobs < 1:
        raise ReportError(f"{jobs} reports at a time make none; give --jobs 1 or more")
    if not time_limit > 0 or not memory_limit >= 0:
        raise ReportError("a limit must be above 0; leave it out for none")
    out, notebook = Path(out), Path(notebook).resolve()
    more, name = dict(parameters or {}), run_record.new_id()
    catalogue = records.load()
    with placement.locked(out, name):
        record = Record(out, name)
        for restored in placement.recover(out):
            record.note(restored, "recover", "restored")
        try:
            waiting = []
            limits = {"notebook": notebook, "parameters": more, "time": time_limit,
                      "memory": memory_limit, "run": name, "code": inputs.code()}  # fmt: skip
            earlier = run_record.last(out)
            for path in _distinct(team_paths, out, record):
                at = out / report.slug(path.stem)
                failed = earlier.get(at.name, {}).get("status") == "failed"
                if only_failed and not failed and placement.whole(at):
                    continue
                found = _asked(path, limits, catalogue, record)
                if found is None:
                    continue
                digest, known = inputs.digest(found["inputs"]), placement.summary(at)
                same = known is not None and known.get("inputs") == digest
                same = same and not inputs.lapsed(known, date.today())
                if same and not force and not only_failed:
                    _add(record, at.name, "unchanged", known, digest=digest)
                else:
                    waiting.append({**found, "digest": digest})
            _render(waiting, record, jobs, cluster)
        finally:
            record.write()
            _listed(record)
    return record


def _listed(record: Record) -> None:
    """The page of all teams, as they are now."""
    from planner import overview

    try:
        overview.write(record.out)
    except OSError as error:
        record.trouble = f"{record.out / 'index.html'} cannot be written ({error.strerror})"


def _distinct(team_paths, out: Path, record: Record) -> Iterator[Path]:
    """Paths of which no two are written to one folder; a second one fails."""
    taken: dict[str, Path] = {}
    for path in map(Path, team_paths):
        name = report.slug(path.stem)
        first = taken.setdefault(name, path)
        if first is path:
            yield path
        elif os.path.realpath(first) != os.path.realpath(path):
            error = f"{path} and {first} would both be written to {out / name}; rename one of them"
            key = f"{name} ({path.name})"
            record.add(clean(key), "failed", error=clean(error))


def _asked(path: Path, limits: Mapping, catalogue, record: Record) -> dict | None:
    """The job of a team, or None where its file is no use."""
    name = report.slug(path.stem)
    try:
        if name in teams.APART:
            raise ReportError(
                f"{path.name}: reports/{name} is not a team's folder; rename the file"
            )
        found = report.job(path, **limits)
        if path.stat().st_size > LARGEST:
            raise ReportError(f"{path.name}: larger than {LARGEST:,} bytes; that is no team file")
        if limits["notebook"] == NOTEBOOK:
            content = inputs.of(teams.read(path, catalogue), catalogue)
        else:
            content = inputs.of_file(path, limits["notebook"], limits["parameters"])
        return {**found, "inputs": content}
    except (ValueError, OSError) as error:
        record.add(name, "failed", error=clean(error))
    except (RecursionError, MemoryError):
        record.add(name, "failed", error=f"{clean(path.name)}: nested too deeply; simplify it")
    return None


def _earlier(folder: Path) -> dict | None:
    """Inputs and summary of the report that will be replaced, if it is whole."""
    known = placement.summary(folder)
    try:
        content = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return {"inputs": content, "summary": known} if known and isinstance(content, dict) else None


def _add(record: Record, name: str, status: str, summary: Mapping, **more) -> None:
    record.add(
        name, status, decision=clean(summary.get("buy", "")), cost=summary.get("three_year_cost"),
        date=summary.get("date"), **more,
    )  # fmt: skip


def _render(waiting: list[dict], record: Record, jobs: int, cluster: str) -> None:
    """Make what waits and place it; never more at a time than there are places."""
    began = time.monotonic()
    running: dict[Future, tuple[dict, float]] = {}
    if not waiting:
        return
    own = waiting[0]["notebook"] != report.shown(NOTEBOOK)  # which nothing can be rehearsed for
    workers.prepare(0 if own else len(waiting))
    bar = tqdm(total=len(waiting), unit="report", disable=None, file=sys.stderr)
    with bar, _cluster(cluster) if cluster else _pool(jobs) as (executor, places):
        while waiting or running:
            while waiting and len(running) < places:
                job = waiting.pop(0)
                asked = {**job, "earlier": _earlier(record.out / job["name"])}
                running[executor.submit(report.make, asked)] = job, time.monotonic() - began
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                _settle(future, *running.pop(future), record)
                bar.update()


def _settle(future: Future, job: Mapping, waited: float, record: Record) -> None:
    """Place what was made and say what became of it."""
    name, digest = job["name"], job["digest"]
    try:
        made = future.result()
    except Exception as error:  # a worker of a cluster that was lost, among others
        made = {"error": clean(f"{type(error).__name__}: {error}"), "seconds": {}, "cpu": {}}
    seconds, error = {"wait": round(waited, 3), **made["seconds"]}, made["error"]
    if not error:
        start = time.perf_counter()
        try:
            placement.place(made["files"], record.out, name)
            spent = seconds.get("files", 0.0) + time.perf_counter() - start
            seconds["files"] = round(spent, 3)
        except (ValueError, OSError) as problem:
            error = clean(problem)
    cpu = {stage: round(value, 3) for stage, value in made["cpu"].items()}
    if error:
        record.add(name, "failed", error=error, seconds=seconds, cpu=cpu, digest=digest)
    else:
        _add(record, name, "rendered", made["summary"], seconds=seconds, cpu=cpu, digest=digest)


@contextmanager
def _pool(jobs: int) -> Iterator[tuple[Executor, int]]:
    """Threads that each wait for the processes of one report."""
    executor = ThreadPoolExecutor(jobs)
    try:
        yield executor, jobs
    except BaseException:
        with workers.stopped():
            executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()


@contextmanager
def _cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """The workers of a Dask cluster that is already there, each with the same checkout."""
    try:
        from distributed import Client
    except ImportError:
        raise ReportError(
            "Dask is not installed; install the package with its extra: pip install '.[dask]'"
        ) from None
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ReportError(f"no Dask scheduler answers at {clean(address)} ({error})") from None
    with client:
        _same_code(client)
        places = sum(
            one["nthreads"] for one in client.scheduler_info(n_workers=-1)["workers"].values()
        )
        # two for each place, so that none of them waits for the next
        yield client.get_executor(pure=False, retries=0), 2 * places


def _code() -> str:
    """Digest of the code where it is called; sent to a worker by name."""
    return inputs.code()


def _same_code(client) -> None:
    """Every worker has the code of this checkout, or it is said which has not."""
    try:
        found = client.run(_code)
    except Exception as error:
        raise ReportError(
            f"a Dask worker cannot use this checkout ({clean(f'{type(error).__name__}: {error}')})"
        ) from None
    if not found:
        raise ReportError("the Dask cluster has no worker; start one with this checkout")
    other = sorted(worker for worker, code in found.items() if code != inputs.code())
    if other:
        raise ReportError(
            f"the checkout of Dask worker {other[0]} has other code "
            f"({len(other)} of {len(found)} workers); bring it to the same commit, start it again"
        )
