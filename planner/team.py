"""What a team needs: its file read once, checked once, in SI units afterwards."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterable
from datetime import date
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator

from planner import reading
from planner.catalogue import Catalogue
from planner.demand import (
    KINDS,
    LEAST,
    Finite,
    Line,
    Names,
    NotNegative,
    Part,
    Positive,
    TeamError,
    Trace,
    Workload,
    attach_trace,
)

TEAMS = Path(__file__).resolve().parent.parent / "data" / "teams"
APART = {"example", "portfolio"}  # folders of reports that are no team's
LARGEST = 2**18  # of a team file; those here have 2,000 bytes [B]
DEEPEST = 200  # full stops of one line: the time and memory of a dotted key grow by its square
SAID = 20  # problems of one file that are told


class Slo(Part):
    """Limits that 50, 95 or 99 % of the calls keep; leave out where nobody waits. [s]"""

    ttft_p50: Positive = math.inf
    ttft_p95: Positive = math.inf
    ttft_p99: Positive = math.inf
    tpot_p50: Positive = math.inf
    tpot_p95: Positive = math.inf
    tpot_p99: Positive = math.inf

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
    highest_utilisation: Annotated[Finite, Field(ge=0.01, le=0.9)] = 0.8
    smallest_weight_bits: Annotated[Finite, Field(ge=1, le=32)] = 4.0
    memory_limit_gb: Positive = math.inf
    licences: Names = ()
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

    models: Names = ()
    servers: Names = ()
    server_kinds: tuple[Literal["cpu", "gpu", "unified"], ...] = ()
    weight_formats: Names = ()
    engines: tuple[Literal["vllm", "sglang", "tensorrt-llm", "llama.cpp", "ik_llama.cpp"], ...] = ()


class Quote(Part):
    """A price the team was offered; it replaces the catalogue's and the report says so."""

    price: Positive
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    date: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 1, 1))]
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
    quotes: dict[str, Quote] = Field(default_factory=dict, max_length=500)
    assumptions: dict[str, NotNegative] = Field(default_factory=dict, max_length=500)

    @field_validator("assumptions", mode="after")
    @classmethod
    def whole_life(cls, figures: dict[str, float]) -> dict[str, float]:
        life = figures.get("economic_life", 1)
        if life < 1 or life != int(life):
            raise ValueError(f"economic_life = {life:g} must be a whole number of years, such as 5")
        return figures

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
    name = reading.quoted(path.name)
    content = _toml(path)
    if "slug" in content:
        raise TeamError(f"{name}, field slug: unknown key; remove it: the file's name says it")
    try:
        team = checked({**content, "slug": path.stem})
    except TeamError as error:
        lines = str(error).split("\n")
        raise TeamError("\n".join(f"{name}, {line}" for line in lines)) from None
    if isinstance(team.workload.arrivals, Trace):
        attach_trace(team.workload, path)
    if catalogue is not None:
        problems = _first(chain(_unknown(team, catalogue), _impossible(team, catalogue)))
        if problems:
            raise TeamError("\n".join(f"{name}, {line}" for line in problems))
    return team


def _toml(path):
    """What a file says, as TOML has it; tuples for its lists."""
    shown = reading.quoted(path)
    try:
        text = reading.content(path, LARGEST).decode("utf-8")
        deep = next((n for n, s in enumerate(text.split("\n"), 1) if s.count(".") > DEEPEST), 0)
        if deep:
            raise TeamError(
                f"{shown}: line {deep} has more than {DEEPEST} full stops; break it into lines"
            )
        return _tuples(tomllib.loads(text))
    except FileNotFoundError:
        known = reading.quoted(", ".join(sorted(file.stem for file in TEAMS.glob("*.toml"))), 400)
        raise TeamError(f"{shown}: no such team file; the teams are {known}") from None
    except reading.Unreadable as error:
        raise TeamError(f"{shown}: {error}") from None
    except UnicodeDecodeError:
        raise TeamError(f"{shown}: not a text file in UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        said = reading.quoted(error)
        raise TeamError(f"{shown}: not valid TOML: {said}; correct that line") from None
    except RecursionError:
        raise TeamError(f"{shown}: lists or tables lie too deep in each other; unfold") from None
    except OSError as error:
        raise TeamError(f"{shown}: cannot be read: {error.strerror}; correct it") from None
    except TeamError:
        raise
    except ValueError:  # Python's own limit of digits
        raise TeamError(f"{shown}: a number has thousands of digits; correct it") from None


def checked(content: dict) -> Team:
    """
    A team made of what a file would say.

    Parameters
    ----------
    content : dict
        Tables of a team file, with the slug; tuples where TOML has lists.

    Returns
    -------
    team : Team

    Raises
    ------
    TeamError
        With every problem, each with field, value and remedy.
    """
    try:
        return Team.model_validate(content)
    except ValidationError as error:
        raise TeamError("\n".join(_first(map(_explain, error.errors())))) from None


def find(path: str | Path) -> Path:
    """The file that a team name or a path means."""
    path = Path(path)
    named = TEAMS / f"{path.name}.toml"
    inside = TEAMS.parent.parent / path  # a notebook runs in its own folder
    # os.path, since pathlib raises where a name is too long to be one
    if path.suffix != ".toml" and os.path.exists(named):
        return named
    return inside if not os.path.exists(path) and os.path.isfile(inside) else path


def _tuples(content):
    """TOML has lists only; the records are frozen and hold tuples."""
    if isinstance(content, list):
        return tuple(_tuples(item) for item in content)
    if isinstance(content, dict):
        return {key: _tuples(item) for key, item in content.items()}
    if isinstance(content, int) and content.bit_length() > 10_000:
        raise ValueError  # Python would not write it out where it is refused
    return content


def _first(problems: Iterable[str]) -> list[str]:
    """The first of many problems, and that there are more."""
    problems = iter(problems)
    found = list(islice(problems, SAID))
    more = next(problems, None) is not None
    return found + ["and more problems; correct these first"] * more


def _explain(problem: dict) -> str:
    where = [reading.quoted(step, 60) for step in problem["loc"]]
    fields = where[:2] + where[3:] if where[:2] == ["workload", "arrivals"] else where
    field = ".".join(fields) or "the file"  # the kind of arrivals is no field
    remedy = REMEDIES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    if "{known}" in remedy:
        remedy = remedy.format(known=", ".join(_known_keys(where[:-1])))
    if problem["type"] == "missing" or isinstance(problem["input"], dict):
        return f"field {field}: {remedy}"
    return f"field {field}: {_shown(problem['input'])}: {remedy}"


def _shown(value) -> str:
    """A value in 80 characters or less, and a list by its length."""
    if isinstance(value, tuple):
        return f"a list of {len(value):,}"
    if isinstance(value, int) and abs(value) >= 10**80:
        return "a number of more than 80 digits"
    shown = repr(value)
    return shown[:80] + "..." * (len(shown) > 80)


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
    rates = ["USD", *(key[3:6].upper() for key in catalogue.assumptions if key.startswith("fx_"))]
    models = catalogue.models.values()
    named = {
        "currency": ((team.currency,), rates),
        "quality.benchmark": (
            (team.quality.benchmark,) if team.quality else (),
            list(dict.fromkeys(score.benchmark for model in models for score in model.scores)),
        ),
        "policy.licences": (
            team.policy.licences,
            list(dict.fromkeys(model.license for model in models)),
        ),
        "candidates.models": (team.candidates.models, catalogue.models),
        "candidates.servers": (team.candidates.servers, catalogue.servers),
        "candidates.weight_formats": (team.candidates.weight_formats, catalogue.formats),
        "quotes": (tuple(team.quotes), catalogue.servers),
        "assumptions": (tuple(team.assumptions), catalogue.assumptions),
    }
    for server, quote in team.quotes.items():
        named[f"quotes.{reading.quoted(server, 60)}.currency"] = ((quote.currency,), rates)
    for field, (names, records) in named.items():
        for name in names:
            if name not in records:
                close = _closest(name[:80], records)
                yield f"field {field}: {name[:80]!r} is not in the catalogue; {close}"


def _impossible(team: Team, catalogue: Catalogue):
    """Assumptions of the team's own that no formula can take."""
    for key in team.assumptions.keys() & catalogue.assumptions.keys():
        value, record = team.assumptions[key], catalogue.assumptions[key]
        # a growth may be more than double; what lies below 1 in its whole range else is a share
        share = record.unit in ("1", "1/year") and record.high <= 1
        if share and value > 1 and not key.endswith(("growth", "rise")):
            words = "a share is at most 1; write 0.08 for 8 %"
        elif key == "pue" and value < 1:
            words = "all power is at least that of the servers; write a ratio such as 1.5"
        elif key.startswith("fx_") and value < LEAST:
            words = "a rate is above zero; write what one US dollar costs"
        elif record.unit == "day" and value > 36_500:
            words = "more than a hundred years; write days such as 90"
        else:
            continue
        yield f"field assumptions.{key}: {value:g}: {words}"


def _closest(name: str, records) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(records), n=3, cutoff=0.4)
    return f"did you mean {', '.join(close)}?" if close else "add it to data/ or remove it"
