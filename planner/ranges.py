"""What a dial may be set to, from the catalogue, and what one dial means for another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from itertools import combinations

from planner import claims, options
from planner import team as teams
from planner.catalogue import load
from planner.team import Team

# A requirement that refuses no format: a dial shows all that a machine runs.
ANYBODY = {
    "slug": "anybody", "name": "Anybody", "owner": "Nobody", "purpose": "Any", "task": "chat",
    "workload": {
        "users": 1, "calls_per_day": 1.0, "busiest_hour_share": 1.0, "prompt_tokens": 1.0,
        "output_tokens": 2.0, "context_tokens": 16,
    },
}  # fmt: skip
# Of one server [GB]: sizes in which memory is sold, and those of the guide's scenarios.
MEMORY_LIMITS = (16, 24, 32, 40, 48, 50, 64, 80, 96, 100, 128, 192, 256, 384, 512, 768, 1024, 2048)
BUDGETS = [step * 10**decade for decade in range(3, 8) for step in (1, 1.5, 2, 3, 5, 7)]
FEW_MODELS = 8  # a benchmark with fewer scores tells nothing apart
SOURCINGS = [ways for n in (1, 2, 3) for ways in combinations(("own", "rent", "api"), n)]
TASKS = {"writing code": "code", "conversation": "chat", "agents": "agent",
         "documents": "documents"}  # fmt: skip


def choices(name: str, values: Mapping) -> list[tuple[str, object]]:
    """
    What a list offers, given the other dials.

    Parameters
    ----------
    name : str
        One of `CHOICES`.
    values : mapping
        All dials.

    Returns
    -------
    offered : list of (str, object)
        Label and value.

    Raises
    ------
    KeyError
        Names the lists there are.
    """
    if name not in CHOICES:
        raise KeyError(f"no list {name!r}; use one of {', '.join(CHOICES)}")
    return CHOICES[name](values)


def limit(name: str, values: Mapping) -> float:
    """
    One end of a range, given the other dials.

    Parameters
    ----------
    name : str
        A number, or one of `LIMITS`.
    values : mapping
        All dials.

    Returns
    -------
    limit : float
        In the unit of the dial.
    """
    return LIMITS[name](values) if name in LIMITS else float(name)


@cache
def guide_models() -> tuple[str, ...]:
    """Models that the guide speaks of, in its order."""
    catalogue = load()
    named = dict.fromkeys(claim.model_id for claim in catalogue.claims)
    return tuple(model for model in named if model in catalogue.models)


@cache
def _models():
    catalogue, first = load(), guide_models()
    others = sorted((m.name, m.id) for m in catalogue.models.values() if m.id not in first)
    return [(catalogue.models[model].name, model) for model in first] + others


@cache
def _servers():
    return [(server.name, server.id) for server in load().servers.values()]


@lru_cache(maxsize=512)
def _formats(model_id, kind, device_id):
    catalogue = load()
    model, device = catalogue.models[model_id], catalogue.devices[device_id]
    anybody = Team.model_validate(ANYBODY)
    engine = options.ENGINES[kind][0]
    found = options.formats(model, engine, kind, device.peak, anybody, catalogue)
    return [(catalogue.formats[name].name, name) for name in found or [model.native_format]]


def _formats_here(values):
    """Formats in which the model of one dial runs on the machine of another."""
    server = load().servers[values["server"]]
    return _formats(values["model"], server.kind, server.device)


def _splits(values):
    """Accelerators that may hold a replica together; a processor is not split."""
    server = load().servers[values["server"]]
    most = server.devices if server.kind == "gpu" else 1
    return [(f"{n}", n) for n in options.TENSOR_PARALLEL if n <= most]


def _teams(values):
    return [(path.stem.replace("_", " "), path.stem) for path in sorted(teams.TEAMS.glob("*.toml"))]


@cache
def _benchmarks():
    """Benchmarks in which enough models that answer people have a published score."""
    scored = Counter(s.benchmark for m in load().models.values() if m.instruct for s in m.scores)
    return [(f"{name} ({n} models)", name) for name, n in scored.most_common() if n >= FEW_MODELS]


def _limits(steps, name, nothing):
    """Round amounts, what the dial shows, and no limit, which is 0."""

    def offered(values):
        amounts = sorted({*map(float, steps), float(values[name])} - {0.0})
        return [(nothing, 0.0), *((f"{amount:,.10g}", amount) for amount in amounts)]

    return offered


CHOICES: dict[str, Callable[[Mapping], list[tuple[str, object]]]] = {
    "models": lambda values: _models(),
    "guide_models": lambda values: [("all", "all"), *_models()[: len(guide_models())]],
    "claim_kinds": lambda values: [(kind, kind) for kind in ("all", *claims.KINDS)],
    "servers": lambda values: _servers(),
    "formats": _formats_here,
    "splits": _splits,
    "teams": _teams,
    "benchmarks": lambda values: _benchmarks(),
    "sourcings": lambda values: [(" or ".join(c), " or ".join(c)) for c in SOURCINGS],
    "tasks": lambda values: list(TASKS.items()),
    "memory_limits": _limits(MEMORY_LIMITS, "memory_limit", "no limit"),
    "budgets": _limits(BUDGETS, "budget", "no budget"),
    "currencies": lambda values: [(c, c) for c in ("USD", "EUR", "CNY")],
}
LIMITS: dict[str, Callable[[Mapping], float]] = {
    "model_context": lambda values: float(load().models[values["model"]].context),
    "prompt_and_output": lambda values: float(values["prompt_tokens"] + values["output_tokens"]),
}
