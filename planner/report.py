"""Reports: one executed notebook per team becomes report.ipynb, report.html, report.pdf,
report.xlsx, summary.json, inputs.json and, in deploy/, files that start what was chosen.

The notebook runs in a process of its own; another one, which is kept, draws its charts and sets
its pages from nothing but the executed notebook.
"""

import ast
import base64
import hashlib
import json
import os
import re
import socket
import time
import unicodedata
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from pathlib import Path

from planner import placement, workers
from planner.display import clean
from planner.placement import FOLDERS
from planner.team import TEAMS
from planner.workers import ReportError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "report.ipynb"
BINARY = ("report.xlsx",)  # files that the summary carries in base64
NEEDED = ("team", "date", "buy", "three_year_cost")
TIME_LIMIT = 300.0  # of one report [s]


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
    from planner import document

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
    timeout: float = TIME_LIMIT,
) -> dict:
    """
    One report, whether or not anything has changed.

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
        Longest time of the whole report. [s]

    Returns
    -------
    result : dict
        `name` (the slug), `folder`, `files`, `summary` and `seconds` (per stage).
    """
    made = make(job(team_path, name=name, notebook=notebook, parameters=parameters, time=timeout))
    if made["error"]:
        raise ReportError(made["error"])
    with placement.locked(Path(out), "of one report"):
        placement.place(made["files"], Path(out), made["name"])
    return {
        "name": made["name"],
        "folder": str(Path(out) / made["name"]),
        "files": list(made["files"]),
        "summary": made["summary"],
        "seconds": made["seconds"],
    }


def job(
    team_path: str | Path,
    *,
    name: str = "",
    notebook: str | Path = NOTEBOOK,
    parameters: Mapping[str, object] | None = None,
    time: float = TIME_LIMIT,
    memory: float = 0.0,
    run: str = "",
    inputs: Mapping | None = None,
    code: str = "",
    earlier: Mapping | None = None,
) -> dict:
    """
    All that `make` needs, as plain data that another machine with the same checkout can use.

    Parameters
    ----------
    team_path, name, notebook, parameters
        As in `render`.
    time : float
        Longest time of the whole report. [s]
    memory : float
        Most private memory of the notebook; 0 for no limit. [GiB]
    run : str
        Name of the run, for the summary.
    inputs : mapping
        What the report depends on, kept beside it.
    code : str
        Digest of the code that is to make it; empty: whichever there is.
    earlier : mapping
        `inputs` and `summary` of the report that it replaces.
    """
    # realpath: a link that leads to itself is found out when it is read
    path, notebook = Path(os.path.realpath(team_path)), Path(notebook).resolve()
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in TEAMS.glob("*.toml")))
        raise ReportError(f"{path.name}: no such team file; the teams are {known}")
    # A relative path keeps machine-dependent folders out of the notebook that is kept.
    return {
        "name": slug(name or path.stem),
        "notebook": shown(notebook),
        "parameters": {"team_path": shown(path), **(parameters or {})},
        "team": hashlib.sha256(path.read_bytes()).hexdigest(),
        "time": time,
        "memory": memory,
        "run": run,
        "inputs": inputs,
        "code": code,
        "earlier": earlier,
    }


def shown(path: Path) -> str:
    """A path as it stands in what is kept: in this checkout relative to it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def make(job: Mapping) -> dict:
    """
    One report as files in memory, made in processes of its own; whatever happens, it returns.

    Parameters
    ----------
    job : mapping
        From `job`.

    Returns
    -------
    made : dict
        `name`, `error` (one line, empty when all went well), `files`, `summary`, `seconds` (per
        stage) and `cpu` (processor time per stage). [s]
    """
    made = {"name": job["name"], "error": "", "files": {}, "summary": {}, "seconds": {}, "cpu": {}}
    began = time.monotonic()
    until = began + job["time"]
    try:
        _same_as_asked(job)
        executed, cpu = workers.once(_executed, job, until, job["time"], job["memory"])
        made["seconds"]["notebook"] = time.monotonic() - began
        made["cpu"]["notebook"] = cpu
        asked = {"executed": executed, "run": job["run"], "inputs": job["inputs"]}
        done, cpu = workers.kept(files, asked, until, job["time"], "its charts and pages")
        made["cpu"] |= {"pages": cpu}
        made["seconds"] |= done["seconds"]
        made |= {"files": done["files"], "summary": done["summary"]}
    except (ValueError, OSError) as error:
        made["error"] = clean(error).strip() or type(error).__name__
    except Exception as error:  # whatever it is, the other teams' reports go on
        made["error"] = clean(f"{type(error).__name__}: {error}")
    made["seconds"] = {stage: round(value, 3) for stage, value in made["seconds"].items()}
    return made


def _same_as_asked(job: Mapping) -> None:
    """On another machine: the same code and the same team file as where the job was made."""
    from planner import inputs

    if job["code"] and job["code"] != inputs.code():
        raise ReportError(
            f"the checkout on {socket.gethostname()} has other code; bring it to the same "
            "commit and start its workers again"
        )
    path = ROOT / job["parameters"]["team_path"]
    if hashlib.sha256(path.read_bytes()).hexdigest() != job["team"]:
        raise ReportError(f"{path.name} has changed since the run began; run again")


def _executed(job: Mapping, tell: Callable[[str], None]) -> dict:
    """The notebook of a job, run in this process, its charts described and not yet drawn."""
    from planner import document, drawings, execution, inputs, language

    path = ROOT / job["notebook"]
    if not path.is_file():
        raise ReportError(f"{path} is not a file; name the notebook of the report")
    unknown = set(job["parameters"]) - declared_parameters(json.loads(path.read_text("utf-8")))
    if unknown:
        raise ReportError(
            f"the notebook declares no parameter {sorted(unknown)[0]!r}; add it to the cell "
            "tagged `parameters` or leave it out"
        )
    drawings.defer_drawings(True)
    language.use("en")
    inputs.remember(job.get("earlier"))

    def at(cell: int) -> None:
        tell(f"cell {cell} of the notebook")

    return document.translated(execution.execute(path, job["parameters"], ROOT, at))


def execute(
    notebook: str | Path, parameters: Mapping[str, object], timeout: float = TIME_LIMIT
) -> dict:
    """A notebook, run in a process of its own; its charts are described, not drawn."""
    job = {"notebook": str(Path(notebook).resolve()), "parameters": dict(parameters)}
    return workers.once(_executed, job, time.monotonic() + timeout, timeout)[0]


def files(asked: Mapping) -> dict:
    """
    Everything that lies in the folder of a report, made from its executed notebook alone.

    Parameters
    ----------
    asked : mapping
        `executed`, `run` and `inputs`, as JSON.

    Returns
    -------
    done : dict
        `files`, `summary` and `seconds` (charts, pdf, files). [s]
    """
    from planner import document

    started = time.perf_counter()
    executed = document.drawn(asked["executed"])
    drawn = time.perf_counter()
    found, summary = document.blocks(executed), document.summary(executed)
    absent = [key for key in NEEDED if key not in summary]
    if absent:
        raise ReportError(f"the notebook's summary lacks {absent[0]!r}; it needs {NEEDED}")
    meta = _about(summary)
    pages = document.pdf(found, meta)
    set_ = time.perf_counter()
    made = {
        **_more_files(summary),
        "report.ipynb": _json(executed),
        "report.html": document.html(found, meta).encode(),
        "report.pdf": pages,
    }
    if asked["inputs"] is not None:
        made["inputs.json"] = _json(asked["inputs"])
    summary = {**summary, "files": sorted([*made, placement.SUMMARY]), **_named(asked, summary)}
    made[placement.SUMMARY] = _json(summary)
    ended = time.perf_counter()
    seconds = {"charts": drawn - started, "pdf": set_ - drawn, "files": ended - set_}
    return {"files": made, "summary": summary, "seconds": seconds}


def _named(asked: Mapping, summary: Mapping) -> dict:
    """Which run made it of which inputs; what the report itself is called stays its identity."""
    from planner import inputs

    named = {"identity": summary["run"]} if "run" in summary and asked["run"] else {}
    named |= {"run": asked["run"]} if asked["run"] else {}
    return named | ({"inputs": inputs.digest(asked["inputs"])} if asked["inputs"] else {})


def _json(content: object) -> bytes:
    return (_indented(content, "\n") + "\n").encode()


def _indented(content: object, edge: str) -> str:
    """JSON with an indent of 1, as `json` writes it; that takes several times as long.

    Examples
    --------
    >>> content = {"a": [1, 2.5, None, "é\\n"], "b": {"c": [], "d": {}}}
    >>> _indented(content, "\\n") == json.dumps(content, indent=1, ensure_ascii=False)
    True
    """
    if isinstance(content, str):
        return encode_basestring(content)
    inner = edge + " "
    if isinstance(content, list) and content:
        items = [_indented(item, inner) for item in content]
        return f"[{inner}{f',{inner}'.join(items)}{edge}]"
    if isinstance(content, dict) and content:
        items = [f"{encode_basestring(k)}: {_indented(v, inner)}" for k, v in content.items()]
        return f"{{{inner}{f',{inner}'.join(items)}{edge}}}"
    return json.dumps(content)


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
