"""Reports: one executed notebook per team becomes report.ipynb, report.html, report.pdf,
report.xlsx, summary.json and, in deploy/, files that start what was chosen. A report appears whole
or not at all, and one team's failure stops no other.
"""

import ast
import base64
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from subprocess import DEVNULL

from tqdm import tqdm

from planner import document
from planner.display import clean, number
from planner.team import TEAMS

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "report.ipynb"
FOLDERS = ("deploy",)  # that a report may have beside its files
BINARY = ("report.xlsx",)  # files that the summary carries in base64
NEEDED = ("team", "date", "buy", "three_year_cost")
# The errors of the planner explain themselves; of any other the name helps.
SPEAKING = {"ValueError", "TeamError", "CatalogueError", "UnknownArchitecture", "DocumentError"}


class ReportError(ValueError):
    """A report that could not be made; the message is for the person who asked for it."""


def slug(name: str) -> str:
    """A folder name made of a file name; nothing in it can leave the folder it is put in.

    Examples
    --------
    >>> slug("../../Équipe n° 1"), slug("团队")
    ('equipe-n-1', 'team-acdf17f4')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    short = "-".join(re.findall(r"[a-z0-9_]+", plain))[:80].strip("-_")
    return short or f"team-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def declared_parameters(notebook: Mapping) -> set[str]:
    """Names assigned in the one cell tagged `parameters`; nothing else may be passed in."""
    cells = [
        cell
        for cell in notebook["cells"]
        if "parameters" in cell.get("metadata", {}).get("tags", [])
    ]
    if len(cells) != 1:
        raise ReportError(f"{len(cells)} cells are tagged `parameters`; the notebook needs one")
    names = set()
    for node in ast.parse("".join(cells[0]["source"])).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def example(team_path: str | Path, out: str | Path) -> dict:
    """The report that is committed: into `out`/example, with a picture of its first page."""
    result = render(team_path, out, name="example")
    folder = Path(result["folder"])
    executed = json.loads((folder / "report.ipynb").read_text(encoding="utf-8"))
    picture = document.picture(document.blocks(executed), _about(result["summary"]))
    (folder / "first-page.png").write_bytes(picture)
    return result


def _about(summary: Mapping) -> dict:
    """What the title block and the running header say."""
    meta = {"details": [], **summary.get("document", {})}
    language = summary.get("language", "en")
    return meta | {"team": summary["team"], "date": summary["date"], "language": language}


def render(
    team_path: str | Path,
    out: str | Path,
    *,
    name: str = "",
    notebook: str | Path = NOTEBOOK,
    parameters: Mapping[str, object] | None = None,
    timeout: float = 120,
) -> dict:
    """
    One report.

    Parameters
    ----------
    team_path : str or Path
        The team's file; its name, as a slug, names the folder under `out`.
    out : str or Path
        Folder of all reports.
    name : str
        Folder of this one; by default made of the file's name.
    notebook : str or Path
        Notebook to run. It declares `team_path` in its `parameters` cell.
    parameters : mapping
        Further parameters; names that the notebook does not declare are refused.
    timeout : float
        Longest time of one cell. [s]

    Returns
    -------
    result : dict
        `ok`, `name` (the slug), `folder`, `files`, `summary` and `seconds` (per stage).
    """
    started = time.perf_counter()
    team_path, out = Path(team_path).resolve(), Path(out)
    if not team_path.is_file():
        known = ", ".join(sorted(path.stem for path in TEAMS.glob("*.toml")))
        raise ReportError(f"{team_path.name}: no such team file; the teams are {known}")
    # A relative path keeps machine-dependent folders out of the notebook that is kept.
    shown = team_path.relative_to(ROOT) if team_path.is_relative_to(ROOT) else team_path
    executed = execute(notebook, {"team_path": str(shown), **(parameters or {})}, timeout)
    executed = document.translated(executed)
    ran = time.perf_counter()
    found, summary = document.blocks(executed), document.summary(executed)
    absent = [key for key in NEEDED if key not in summary]
    if absent:
        raise ReportError(f"the notebook's summary lacks {absent[0]!r}; it needs {NEEDED}")
    meta = _about(summary)
    pages = document.pdf(found, meta)
    set_ = time.perf_counter()
    more = _more_files(summary)
    files = {
        **more,
        "report.ipynb": (json.dumps(executed, indent=1, ensure_ascii=False) + "\n").encode(),
        "report.html": document.html(found, meta).encode(),
        "report.pdf": pages,
        # Last: whoever sees a new summary finds the files it belongs to.
        "summary.json": (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode(),
    }
    name = slug(name or team_path.stem)
    _place(files, out, name)
    ended = time.perf_counter()
    seconds = {"notebook": ran - started, "pdf": set_ - ran, "total": ended - started}
    return {
        "ok": True,
        "name": name,
        "folder": str(out / name),
        "files": list(files),
        "summary": summary,
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
    }


def _more_files(summary: dict) -> dict[str, bytes]:
    """Files that the notebook left in its summary, taken out of it; names are known or plain.

    Examples
    --------
    >>> _more_files({"files": {"deploy/serve.sh": "exec"}})
    {'deploy/serve.sh': b'exec'}
    """
    found = summary.pop("files", None) or {}
    for name in found.keys() - BINARY:
        folder, _, file = name.partition("/")
        if folder not in FOLDERS or not re.fullmatch(r"[a-z][a-z0-9_-]*(\.[a-z0-9]+)*", file):
            raise ReportError(
                f"the notebook's summary names a file {clean(name)!r}; files lie in "
                f"{', '.join(FOLDERS)}, in small letters"
            )
    return {
        name: base64.b64decode(content) if name in BINARY else content.encode()
        for name, content in found.items()
    }


def _place(files: Mapping[str, bytes], out: Path, name: str) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=out))
    except OSError as error:
        raise ReportError(
            f"{out} cannot be written ({error.strerror}); name another folder with --out"
        ) from None
    try:
        for file, content in files.items():
            (draft / file).parent.mkdir(exist_ok=True)
            (draft / file).write_bytes(content)
            if file.endswith(".sh"):
                (draft / file).chmod(0o755)
        (out / name).mkdir(exist_ok=True)
        # A folder changes as a whole, so that nothing of an earlier choice stays in it.
        for folder in FOLDERS:
            if os.path.lexists(out / name / folder):
                os.replace(out / name / folder, draft / f".old-{folder}")
            if (draft / folder).is_dir():
                os.replace(draft / folder, out / name / folder)
        for file in files:
            if "/" not in file:
                os.replace(draft / file, out / name / file)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def execute(notebook: str | Path, parameters: Mapping[str, object], timeout: float = 120) -> dict:
    """The notebook, run by papermill in a fresh kernel of this same interpreter."""
    import nbformat
    import papermill
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    class Kernel(AsyncKernelManager):
        """This interpreter, whatever kernels are installed; without a history file to lock."""

        @property
        def kernel_spec(self):
            from jupyter_client.kernelspec import KernelSpec

            launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(
                argv=[*launch, "--HistoryManager.enabled=False"],
                display_name="Python 3",
                language="python",
                metadata={"supported_encryption": ["curve"]},
            )

        def start_kernel(self, **options):
            # What the kernel says about itself belongs in no log of reports.
            return super().start_kernel(stdout=DEVNULL, stderr=DEVNULL, **options)

    path = Path(notebook)
    if not path.is_file():
        raise ReportError(f"{path} is not a file; name the notebook of the report")
    unknown = set(parameters) - declared_parameters(json.loads(path.read_text(encoding="utf-8")))
    if unknown:
        raise ReportError(
            f"the notebook declares no parameter {sorted(unknown)[0]!r}; add it to the cell "
            "tagged `parameters` or leave it out"
        )
    try:
        executed = papermill.execute_notebook(
            str(path),
            None,
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(ROOT),
            execution_timeout=timeout,
            kernel_manager_class=Kernel,
            record_timing=False,
            shutdown_kernel="immediate",  # it holds nothing that would have to be kept
        )
    except papermill.PapermillExecutionError as error:
        name = "" if error.ename in SPEAKING else f"{error.ename}: "
        raise ReportError(f"{name}{clean(error.evalue).strip()}") from None
    except CellTimeoutError:
        raise ReportError(f"a cell ran longer than {timeout:g} s; raise the timeout") from None
    except DeadKernelError:
        raise ReportError(
            "the kernel died, most often for lack of memory; run fewer jobs at a time"
        ) from None
    executed.metadata.pop("papermill", None)
    for position, cell in enumerate(executed.cells):
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = f"injected-{position}"  # papermill's own is random
    return json.loads(nbformat.writes(executed, version=4))


# ---- many reports ------------------------------------------------------------------------------


def _attempt(team_path: Path, out: Path, options: Mapping) -> dict:
    try:
        return render(team_path, out, **options)
    except (ValueError, OSError) as error:
        return _failure(team_path, str(error))
    except Exception as error:  # whatever it is, the other teams' reports go on
        return _failure(team_path, f"{type(error).__name__}: {error}")


def _failure(team_path: Path, error: str) -> dict:
    return {"ok": False, "name": slug(Path(team_path).stem), "error": clean(error)}


def render_all(
    team_paths: Iterable[str | Path], out: str | Path, jobs: int = 2, **options
) -> list[dict]:
    """
    Reports of many teams, `jobs` at a time, each in its own process.

    Parameters
    ----------
    team_paths : iterable of str or Path
        Team files.
    out : str or Path
        Folder of all reports.
    jobs : int
        Reports at a time.
    options : dict
        Passed on to `render`.

    Returns
    -------
    results : list of dict
        In the order of `team_paths`: what `render` returned, or `ok` false with `error`.
    """
    paths, out = [Path(path) for path in team_paths], Path(out)
    results: dict[int, dict] = {}
    taken: dict[str, Path] = {}
    for position, path in enumerate(paths):
        first = taken.setdefault(slug(path.stem), path)
        if first is not path:
            error = f"{path} and {first} would both be written to {out / slug(path.stem)}"
            results[position] = _failure(path, f"{error}; rename one of them")
    waiting = [position for position in range(len(paths)) if position not in results]
    with tqdm(total=len(waiting), unit="report", disable=None, file=sys.stderr) as bar:
        if jobs == 1 or len(waiting) == 1:
            for position in waiting:
                results[position] = _attempt(paths[position], out, options)
                bar.update()
        else:
            _run(waiting, paths, out, options, min(jobs, len(waiting)), results, bar)
            # A worker that is killed takes its pool along: what it left is tried once more, each
            # report in a process of its own, so that only the guilty one fails.
            for position in [position for position in waiting if position not in results]:
                _run([position], paths, out, options, 1, results, bar)
                if position not in results:
                    error = "the process died, most often for lack of memory; run fewer jobs"
                    results[position] = _failure(paths[position], error)
    ordered = [results[position] for position in range(len(paths))]
    for result in ordered:
        print(line(result))
    return ordered


def _run(waiting, paths, out, options, jobs, results, bar) -> None:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":  # the workers find the slow imports done
        context.set_forkserver_preload(["papermill", "nbclient", "planner.document"])
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures: dict[Future, int] = {
            pool.submit(_attempt, paths[position], out, options): position for position in waiting
        }
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                bar.update()
        except BrokenProcessPool:
            pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def line(result: Mapping) -> str:
    """One line per team: what to buy, its cost and where the report is, or what went wrong."""
    if not result["ok"]:
        return f"{result['name']}: FAILED: {result['error']}"
    summary = result["summary"]
    cost = summary["three_year_cost"] or {}
    words = "no cost"
    if cost.get("mid") is not None:
        low, mid, high = (_rounded(cost[key]) for key in ("low", "mid", "high"))
        words = f"three-year cost {mid} {cost['currency']} ({low} to {high})"
    return f"{result['name']}: {clean(summary['buy'])}; {words}; {result['folder']}"


def _rounded(value: float | None) -> str:
    return "no figure" if value is None else number(float(f"{float(value):.3g}"))
