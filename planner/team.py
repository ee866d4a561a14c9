"""What a team needs: its file read once, checked once, in SI units afterwards."""

from __future__ import annotations

import math
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator

from planner.catalogue import Catalogue
from planner.demand import (
    KINDS,
    Finite,
    Line,
    NotNegative,
    Part,
    Positive,
    TeamError,
    Trace,
    Workload,
    attach_trace,
)

TEAMS = Path(__file__).resolve().parent.parent / "data" / "teams"


class Slo(Part):
    """Limits that 50, 95 or 99 % of the calls keep; leave out where nobody waits. [s]"""

    ttft_p50: Annotated[Finite, Field(gt=0)] = math.inf
    ttft_p95: Annotated[Finite, Field(gt=0)] = math.inf
    ttft_p99: Annotated[Finite, Field(gt=0)] = math.inf
    tpot_p50: Annotated[Finite, Field(gt=0)] = math.inf
    tpot_p95: Annotated[Finite, Field(gt=0)] = math.inf
    tpot_p99: Annotated[Finite, Field(gt=0)] = math.inf

    def tightest(self, what: str) -> float:
        """What a call must keep that meets no other: ttft or tpot at any percentile. [s]"""
        return min(getattr(self, f"{what}_{q}") for q in ("p50", "p95", "p99"))

    def tail(self, what: str) -> float:
        """What 95 % of the calls must keep at least. [s]"""
        return min(getattr(self, f"{what}_p95"), getattr(self, f"{what}_p99"))


class Quality(Part):
    """The least score that a model must have in one benchmark."""

    benchmark: Line
    minimum: Annotated[Finite, Field(ge=0, le=100)]


class Policy(Part):
    """What the house allows."""

    sourcing: Annotated[tuple[Literal["own", "rent", "api"], ...], Field(min_length=1)] = (
        "own",
        "rent",
        "api",
    )
    spare_replicas: Annotated[int, Field(ge=0, le=10)] = 1
    spare_servers: Annotated[int, Field(ge=0, le=10)] = 0
    highest_utilisation: Annotated[Finite, Field(gt=0, le=0.9)] = 0.8
    smallest_weight_bits: Annotated[Finite, Field(ge=1, le=32)] = 4.0
    memory_limit_gb: Annotated[Finite, Field(gt=0)] = math.inf
    licences: tuple[Line, ...] = ()
    used_hardware: bool = True
    rack_only: bool = False
    claimed_prices: bool = False
    most_servers: Annotated[int, Field(ge=1, le=100_000)] = 64
    region: Literal["us", "eu", "cn"] = "us"
    hosting: Literal["own_room", "colocation"] = "own_room"
    purchase: Literal["cash", "lease"] = "cash"
    licensed_software: bool = False  # a licence for every accelerator
    rented_hours_per_year: Annotated[int, Field(ge=1, le=8760)] = 8760  # on demand


class Growth(Part):
    """Demand over the years of the plan."""

    yearly: Annotated[Finite, Field(ge=-0.9, le=10)] = 0.0
    years: Annotated[int, Field(ge=1, le=10)] = 3


class Budget(Part):
    """The most that the whole period may cost, in the team's currency."""

    total: Positive


class Candidates(Part):
    """Restricts the search; an empty list means everything in the catalogue."""

    models: tuple[Line, ...] = ()
    servers: tuple[Line, ...] = ()
    server_kinds: tuple[Literal["cpu", "gpu", "unified"], ...] = ()
    weight_formats: tuple[Line, ...] = ()
    engines: tuple[Literal["vllm", "sglang", "tensorrt-llm", "llama.cpp", "ik_llama.cpp"], ...] = ()


class Quote(Part):
    """A price the team was offered; it replaces the catalogue's and the report says so."""

    price: Positive
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    date: date
    reference: Line


class Team(Part):
    """One team's requirement, as its file states it."""

    slug: str
    name: Line
    owner: Line
    purpose: Annotated[str, Field(min_length=1, max_length=2000)]
    task: Literal["code", "chat", "agent", "documents"]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    data_class: Line = "internal"
    today: Literal["nothing", "api"] = "nothing"
    language: Literal["en", "zh"] = "en"  # of the report
    workload: Workload
    slo: Slo = Slo()
    quality: Quality | None = None
    policy: Policy = Policy()
    growth: Growth = Growth()
    budget: Budget | None = None
    candidates: Candidates = Candidates()
    quotes: dict[str, Quote] = Field(default_factory=dict)
    assumptions: dict[str, NotNegative] = Field(default_factory=dict)

    @field_validator("assumptions", mode="after")
    @classmethod
    def whole_life(cls, figures: dict[str, float]) -> dict[str, float]:
        life = figures.get("economic_life", 1)
        if life < 1 or life != int(life):
            raise ValueError(f"economic_life = {life:g} must be a whole number of years, such as 5")
        return figures

    @field_validator("name", "owner", mode="after")
    @classmethod
    def one_line(cls, text: str) -> str:
        if any(ord(character) < 32 for character in text):
            raise ValueError("must be one line without control characters; remove them")
        return text

    def at_load(self, factor: float) -> Team:
        """The same team with so many times its calls."""
        calls = self.workload.calls_per_day * factor
        return self.model_copy(
            update={"workload": self.workload.model_copy(update={"calls_per_day": calls})}
        )

    @property
    def peak_rate(self) -> float:
        """Calls per second in the busiest hour of the last year. [1/s]"""
        return self.workload.busiest_hour_rate * max(
            1.0, (1 + self.growth.yearly) ** (self.growth.years - 1)
        )


REMEDIES = {
    "extra_forbidden": "unknown key; remove it or correct its spelling (known: {known})",
    "missing": "missing; add it",
    "int_type": "must be a whole number such as 60, without quotes",
    "float_type": "must be a number such as 0.15, without quotes",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "union_tag_not_found": f"kind is missing; give one of {', '.join(KINDS)}",
    "union_tag_invalid": f"kind must be one of {', '.join(KINDS)}",
}


def read(path: str | Path, catalogue: Catalogue | None = None) -> Team:
    """
    Read and check one team file.

    Parameters
    ----------
    path : str or Path
        A TOML file; a bare name such as ``coding_assistant`` means a file of ``data/teams``.
    catalogue : Catalogue, optional
        When given, the models, servers, formats and quotes that the file names must be in it.

    Returns
    -------
    team : Team

    Raises
    ------
    TeamError
        With every problem of the file, each with field, value and remedy.
    """
    path = find(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in TEAMS.glob("*.toml")))
        raise TeamError(f"{path}: no such team file; the teams are {known}") from None
    except UnicodeDecodeError:
        raise TeamError(f"{path}: not a text file in UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise TeamError(f"{path}: not valid TOML: {error}; correct that line") from None
    except OSError as error:
        raise TeamError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        team = Team.model_validate({"slug": path.stem, **_tuples(content)})
    except ValidationError as error:
        lines = [_explain(problem, content) for problem in error.errors()]
        raise TeamError("\n".join(f"{path.name}, {line}" for line in lines)) from None
    if isinstance(team.workload.arrivals, Trace):
        attach_trace(team.workload, path)
    if catalogue is not None:
        problems = list(_unknown(team, catalogue))
        if problems:
            raise TeamError("\n".join(f"{path.name}, {line}" for line in problems))
    return team


def find(path: str | Path) -> Path:
    """The file that a team name or a path means."""
    path = Path(path)
    named = TEAMS / f"{path.name}.toml"
    if path.suffix != ".toml" and named.exists():
        return named
    inside = TEAMS.parent.parent / path  # a notebook runs in its own folder
    return inside if not path.exists() and inside.is_file() else path


def _tuples(content):
    """TOML has lists only; the records are frozen and hold tuples."""
    if isinstance(content, list):
        return tuple(_tuples(item) for item in content)
    if isinstance(content, dict):
        return {key: _tuples(item) for key, item in content.items()}
    return content


def _explain(problem: dict, content: dict) -> str:
    where = [str(step) for step in problem["loc"]]
    fields = where[:2] + where[3:] if where[:2] == ["workload", "arrivals"] else where
    field = ".".join(fields) or "the file"  # the kind of arrivals is no field
    remedy = REMEDIES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    if "{known}" in remedy:
        remedy = remedy.format(known=", ".join(_known_keys(where[:-1])))
    if problem["type"] == "missing" or isinstance(problem["input"], dict):
        return f"field {field}: {remedy}"
    shown = repr(problem["input"])
    return f"field {field}: {shown[:80]}{'...' if len(shown) > 80 else ''}: {remedy}"


def _known_keys(where: list[str]) -> list[str]:
    record = Team
    for step in where:
        if step in KINDS:
            record = KINDS[step]
            continue
        kind = record.model_fields[step].annotation if step in record.model_fields else None
        kinds = [kind, *getattr(kind, "__args__", ())]
        record = next((k for k in kinds if isinstance(k, type) and issubclass(k, Part)), Quote)
    return [key for key in record.model_fields if key != "slug"]


def _unknown(team: Team, catalogue: Catalogue):
    named = {
        "candidates.models": (team.candidates.models, catalogue.models),
        "candidates.servers": (team.candidates.servers, catalogue.servers),
        "candidates.weight_formats": (team.candidates.weight_formats, catalogue.formats),
        "quotes": (tuple(team.quotes), catalogue.servers),
        "assumptions": (tuple(team.assumptions), catalogue.assumptions),
    }
    for field, (names, records) in named.items():
        for name in names:
            if name not in records:
                close = _closest(name, records)
                yield f"field {field}: {name[:80]!r} is not in the catalogue; {close}"


def _closest(name: str, records) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(records), n=3, cutoff=0.4)
    return f"did you mean {', '.join(close)}?" if close else "add it to data/ or remove it"
