"""Everything that a team's report depends on, in parts, so that a report is made again only when
one of them has changed, and can say which.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib import metadata
from pathlib import Path

from planner import catalogue as records
from planner import options
from planner.catalogue import Catalogue
from planner.team import Team

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "report.ipynb"
# The files of the code that makes reports; the charts that move are not in one.
CODE = ("planner/*.py", "planner/templates/*", "planner/locales/*", "planner/fonts/*")
# The packages that compute and draw.
PACKAGES = (
    "altair", "font-source-sans-pro", "ipython", "jinja2", "mistune", "nbformat", "numba", "numpy",
    "pandas", "papermill", "planner", "pydantic", "scipy", "typst", "vl-convert-python",
    "xlsxwriter",
)  # fmt: skip
version = cache(metadata.version)  # which reads a file of the package
CONSTANTS = ("bands.csv", "constants", "published.csv", "engine_options.csv")


def of(team: Team, catalogue: Catalogue) -> dict:
    """
    What the report of a team depends on.

    Parameters
    ----------
    team : Team
        Its file's values.
    catalogue : Catalogue
        Of it only the records that this team may use.

    Returns
    -------
    parts : dict
        Values or digests by part and id, as JSON holds them: team, models, refused (models and
        servers that it may not use, and why), servers, rentals, api_prices, assumptions, formats,
        devices, claims, constants, code, environment.
    """
    models, refused_models = options.models(team, catalogue)
    servers, refused_servers = options.servers(team, catalogue)
    allowed = {model.id for model in models}
    named = allowed | set(team.candidates.models)  # of these the report shows what is claimed
    claims = [one for one in catalogue.claims if not one.model_id or one.model_id in named]
    devices = {one.device for one in (*servers, *claims)}
    refused = dict(zip(refused_models["model_id"], refused_models["reason"], strict=True))
    refused |= dict(zip(refused_servers["server_id"], refused_servers["reason"], strict=True))
    calls = getattr(team.workload.arrivals, "calls", None)
    content = team.model_dump(mode="json")
    return {
        "team": dict(_flat(content)) | ({"trace": calls.digest} if calls else {}),
        "models": {one.id: _named(one) for one in models},
        "refused": refused,
        "servers": {one.id: _values(one) for one in servers},
        "rentals": {k: _values(r) for k, r in catalogue.rentals.items() if r.device in devices},
        "api_prices": {
            k: _values(p) for k, p in catalogue.api_prices.items() if p.model_id in allowed
        },
        "assumptions": {
            key: {"value": team.assumptions.get(key, record.value), "low": record.low,
                  "high": record.high, "unit": record.unit, "source_date": record.source_date}
            for key, record in catalogue.assumptions.items()
        },
        "formats": {k: _record(record) for k, record in catalogue.formats.items()},
        "devices": {k: _record(d) for k, d in catalogue.devices.items() if k in devices},
        "claims": {claim.id: _record(claim) for claim in claims},
        "constants": constants(catalogue.directory),
        "code": code(),
        "environment": environment(),
    }  # fmt: skip


_earlier: tuple[dict, dict] | None = None


def earlier() -> tuple[dict, dict] | None:
    """Inputs and summary of the report that this one will replace; None where it is the first."""
    return _earlier


def remember(known: Mapping | None) -> None:
    """Take in, before the notebook runs, what `earlier` is to say."""
    global _earlier
    _earlier = (known["inputs"], known["summary"]) if known else None


def of_file(path: Path, notebook: Path, parameters: Mapping[str, object]) -> dict:
    """What the report of another notebook depends on, which may read anything of a file."""
    catalogue = records.load()
    return {
        "team": {"file": _hash(path.read_bytes()), "notebook": _hash(notebook.read_bytes())},
        "parameters": {name: str(value) for name, value in parameters.items()},
        "catalogue": catalogue.digest,
        "code": code(),
        "environment": environment(),
    }


def digest(inputs: Mapping) -> str:
    """
    One short name for all of it.

    Examples
    --------
    >>> digest({"team": {"users": 5}}) == digest({"team": {"users": 6}})
    False
    """
    return _hash(json.dumps(inputs, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace"))


def lapsed(summary: Mapping, today: date) -> bool:
    """
    Whether the deciding price has become stale since a report was made, so that it says too much.

    Parameters
    ----------
    summary : mapping
        Of the report: the `date` it was made and `valid_until`, if it has one.
    today : date

    Examples
    --------
    >>> made = {"date": "2026-11-24", "valid_until": "2026-11-30"}
    >>> lapsed(made, date(2026, 11, 30)), lapsed(made, date(2026, 12, 1))
    (False, True)
    """
    until = summary.get("valid_until")
    return isinstance(until, str) and str(summary["date"]) <= until < today.isoformat()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _flat(content: object, at: str = "") -> Iterator[tuple[str, object]]:
    """Leaves of nested tables by their dotted name.

    >>> dict(_flat({"workload": {"users": 5}, "models": ["a"]}))
    {'workload.users': 5, 'models': ['a']}
    """
    if isinstance(content, dict) and (content or not at):
        for key, value in content.items():
            yield from _flat(value, f"{at}.{key}" if at else str(key))
    else:
        yield at, content


_known: dict[int, tuple[object, object]] = {}


def _kept(record, make):
    """What is made of a record, once: records are frozen, the same object is the same content."""
    key = id(record)
    if key not in _known or _known[key][0] is not record:
        _known[key] = record, make(record)
    return _known[key][1]


def _plain(record) -> dict:
    return record.model_dump(mode="json")


def _values(record) -> dict:
    return _kept(record, _plain)


def _record(record) -> str:
    return _kept(record, lambda one: _hash(json.dumps(_plain(one), sort_keys=True).encode()))


def _named(model) -> dict:
    def made(one):
        whole = _hash(json.dumps(_plain(one), sort_keys=True).encode())
        return {"name": one.name, "license": one.license, "context": one.context, "record": whole}

    return _kept(model, made)


def _files(*paths: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:32]


@cache
def constants(directory: Path = records.DATA) -> str:
    """Digest of constants, bands, published figures and the team's own calibration."""
    found = [directory / name for name in CONSTANTS]
    inside = [path for folder in found if folder.is_dir() for path in folder.glob("*.csv")]
    return _files(*found, *inside, records.calibration_path(directory))


@cache
def code() -> str:
    """Digest of the code and the notebook that make a report."""
    return _files(NOTEBOOK, *(path for pattern in CODE for path in ROOT.glob(pattern)))


@cache
def environment() -> str:
    """Digest of the versions of Python and of the packages that compute and draw."""
    versions = {"python": platform.python_version(), "system": platform.machine()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    return digest(versions)
