"""What a team needs: its file read once, checked once, in SI units afterwards."""

from __future__ import annotations

import math
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from planner.catalogue import Catalogue
from planner.concurrency import peak_rate

TEAMS = Path(__file__).resolve().parent.parent / "data" / "teams"

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[Finite, Field(gt=0)]
NotNegative = Annotated[Finite, Field(ge=0)]
Share = Annotated[Finite, Field(ge=0, le=1)]
Line = Annotated[str, Field(min_length=1, max_length=200)]


class TeamError(ValueError):
    """A team file that cannot be used; the message names file, field, value and remedy."""


class Part(BaseModel):
    """One table of a team file: unknown keys are refused, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Workload(Part):
    """The load: who calls, how often, with how many tokens. [call/day, token]"""

    users: Annotated[int, Field(gt=0, le=10_000_000)]
    calls_per_day: Annotated[Finite, Field(gt=0, le=1e9)]
    busiest_hour_share: Annotated[Finite, Field(ge=1 / 24, le=1)]
    days_per_year: Annotated[int, Field(ge=1, le=366)] = 365
    prompt_tokens: Annotated[Finite, Field(ge=1, le=10_000_000)]
    output_tokens: Annotated[Finite, Field(ge=2, le=1_000_000)]
    variation: Annotated[Finite, Field(ge=0, le=5)] = 1.0
    context_tokens: Annotated[int, Field(ge=16, le=10_000_000)]
    cached_prompt_share: Annotated[Finite, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def fits_its_own_context(self):
        if self.prompt_tokens + self.output_tokens > self.context_tokens:
            raise ValueError(
                f"context_tokens: {self.context_tokens} is less than prompt_tokens + output_tokens "
                f"= {self.prompt_tokens + self.output_tokens:g}; raise context_tokens"
            )
        return self

    @property
    def busiest_hour_rate(self) -> float:
        """Calls per second in the busiest hour. [1/s]"""
        return float(peak_rate(self.calls_per_day, self.busiest_hour_share))


class Slo(Part):
    """Limits that 95 % of the calls keep; leave a limit out where nobody waits. [s]"""

    ttft_p95: Annotated[Finite, Field(gt=0)] = math.inf
    tpot_p95: Annotated[Finite, Field(gt=0)] = math.inf


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
    workload: Workload
    slo: Slo = Slo()
    quality: Quality | None = None
    policy: Policy = Policy()
    growth: Growth = Growth()
    budget: Budget | None = None
    candidates: Candidates = Candidates()
    quotes: dict[str, Quote] = {}
    assumptions: dict[str, NotNegative] = {}

    @field_validator("name", "owner", mode="after")
    @classmethod
    def one_line(cls, text: str) -> str:
        if any(ord(character) < 32 for character in text):
            raise ValueError("must be one line without control characters; remove them")
        return text

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
    if catalogue is not None:
        problems = list(_unknown(team, catalogue))
        if problems:
            raise TeamError("\n".join(f"{path.name}, {line}" for line in problems))
    return team


def find(path: str | Path) -> Path:
    """The file that a team name or a path means."""
    path = Path(path)
    named = TEAMS / f"{path.name}.toml"
    return named if path.suffix != ".toml" and named.exists() else path


def _tuples(content):
    """TOML has lists only; the records are frozen and hold tuples."""
    if isinstance(content, list):
        return tuple(_tuples(item) for item in content)
    if isinstance(content, dict):
        return {key: _tuples(item) for key, item in content.items()}
    return content


def _explain(problem: dict, content: dict) -> str:
    where = [str(step) for step in problem["loc"]]
    field = ".".join(where) or "the file"
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
