"""Which deployments a team may consider: policy and quality decide, physics comes later."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd

from planner import coefficients, estimate
from planner.catalogue import Catalogue, Model, Server
from planner.estimate import Replicas
from planner.language import say
from planner.team import Team

# Engines by kind of server; the first is used unless the team names others.
ENGINES = {
    "gpu": ("vllm", "sglang", "tensorrt-llm"),
    "cpu": ("llama.cpp", "ik_llama.cpp"),
    "unified": ("llama.cpp",),
}
# Formats commonly run there, widest first. A team names others under candidates.
MENU = {
    "gpu": ("bf16", "fp8", "int8-w8a8", "awq-int4", "mxfp4", "nvfp4"),
    "cpu": ("bf16", "q8_0", "q6_k", "q4_k_m", "mxfp4"),
    "unified": ("bf16", "q8_0", "q6_k", "q4_k_m", "mxfp4"),
}
# A checkpoint published in one of these exists in no wider form.
NATIVE_ONLY = ("mxfp4", "nvfp4")
TENSOR_PARALLEL = (1, 2, 4, 8, 16)
VERSIONS = {"tensorrt-llm": "1.2"}  # where an engine's versions differ in what was measured


def models(team: Team, catalogue: Catalogue) -> tuple[list[Model], pd.DataFrame]:
    """
    The models that a team may use, and why it may not use the others.

    Parameters
    ----------
    team : Team
        The requirement.
    catalogue : Catalogue
        All models.

    Returns
    -------
    allowed : list of Model
    refused : DataFrame
        model_id, limit (policy or quality), reason.
    """
    considered = _models(team, catalogue)
    reasons = {model.id: _objection(model, team) for model in considered}
    allowed = [model for model in considered if not reasons[model.id]]
    refused = [
        {"model_id": model, "limit": objection[0], "reason": objection[1]}
        for model, objection in reasons.items()
        if objection
    ]
    return allowed, pd.DataFrame(refused, columns=["model_id", "limit", "reason"])


def _models(team, catalogue):
    named = team.candidates.models
    return [m for m in catalogue.models.values() if (m.id in named if named else m.instruct)]


def _objection(model: Model, team: Team) -> tuple[str, str] | None:
    workload, policy, quality = team.workload, team.policy, team.quality
    if policy.licences and model.license not in policy.licences:
        allowed = say(", ").join(policy.licences)
        return "policy", say(
            "licence {licence}; allowed are {allowed}", licence=model.license, allowed=allowed
        )
    if model.context < workload.context_tokens:
        return "quality", say(
            "holds a context of {held:,} tokens; {needed:,} are needed",
            held=model.context, needed=workload.context_tokens,
        )  # fmt: skip
    if quality is None:
        return None
    score = model.score(quality.benchmark)
    if score is None:
        return "quality", say(
            "no published score in {benchmark}, so its quality is not shown",
            benchmark=quality.benchmark,
        )
    if score.value < quality.minimum:
        return "quality", say(
            "scores {score:g} in {benchmark}; {needed:g} are needed",
            score=score.value, benchmark=quality.benchmark, needed=quality.minimum,
        )  # fmt: skip
    return None


def servers(team: Team, catalogue: Catalogue) -> tuple[list[Server], pd.DataFrame]:
    """
    The servers that a team may buy, and why it may not buy the others.

    Parameters
    ----------
    team : Team
        The requirement.
    catalogue : Catalogue
        All servers.

    Returns
    -------
    allowed : list of Server
    refused : DataFrame
        server_id, limit (policy), reason.
    """
    allowed, refused = [], []
    for server in _servers(team, catalogue):
        reason = ""
        if server.price_status == "claim" and not team.policy.claimed_prices:
            reason = "its price is a published claim, not an offer; set policy.claimed_prices"
        elif "used" in server.name.lower() and not team.policy.used_hardware:
            reason = "used hardware is not allowed (policy.used_hardware)"
        elif server.rack_units == 0 and team.policy.rack_only:
            reason = "a desktop machine does not go into the data centre (policy.rack_only)"
        if reason:
            refused.append({"server_id": server.id, "limit": "policy", "reason": say(reason)})
        else:
            allowed.append(server)
    return allowed, pd.DataFrame(refused, columns=["server_id", "limit", "reason"])


def _servers(team, catalogue):
    named, kinds = team.candidates.servers, team.candidates.server_kinds
    return [
        server
        for server in catalogue.servers.values()
        if (not named or server.id in named) and (not kinds or server.kind in kinds)
    ]


def engines(kind: str, team: Team) -> tuple[str, ...]:
    """
    The engines to consider on a kind of server.

    Parameters
    ----------
    kind : str
        cpu, gpu or unified.
    team : Team
        Its candidates.

    Returns
    -------
    names : tuple of str
    """
    named = team.candidates.engines
    return tuple(e for e in ENGINES[kind] if e in named) if named else ENGINES[kind][:1]


def formats(
    model: Model, engine: str, kind: str, peak: dict, team: Team, catalogue: Catalogue
) -> list[str]:
    """
    The weight formats in which a model can run on a device under an engine.

    Parameters
    ----------
    model : Model
        Its native format is the widest on offer.
    engine, kind : str
        Serving engine, and kind of server.
    peak : dict
        Peak by precision of the device; a format needs its own.
    team : Team
        Candidates and the smallest number of bits allowed.
    catalogue : Catalogue
        The formats.

    Returns
    -------
    names : list of str
    """
    wanted = team.candidates.weight_formats or MENU[kind]
    records = catalogue.formats
    native = records.get(model.native_format)
    most = native.bits if native else 16.0
    names = []
    for name in wanted:
        record = records[name]
        fixed = name in NATIVE_ONLY or model.native_format in NATIVE_ONLY
        known = engine.removeprefix("ik_") in record.engines
        if not known or (fixed and name != model.native_format):
            continue
        if record.bits > most + 0.6 or record.bits < team.policy.smallest_weight_bits:
            continue  # GGUF's 8.5-bit form of an 8-bit checkpoint is no widening
        if record.compute_precision in ("fp8", "fp4") and record.compute_precision not in peak:
            continue
        if name == "int8-w8a8" and "fp8" in peak:
            continue  # where FP8 runs, it is as small and loses less
        names.append(name)
    return names


def grid(team: Team, catalogue: Catalogue, allowed: list[Model], buyable: list[Server]):
    """
    Every deployment of the allowed models on the buyable servers.

    Parameters
    ----------
    team : Team
        The requirement.
    catalogue : Catalogue
        Devices and formats.
    allowed : list of Model
        From `models`.
    buyable : list of Server
        From `servers`.

    Returns
    -------
    deployments : DataFrame
        model_id, weight_format, engine, server_id, device_id, kind, tp, n_devices (of one
        replica), sockets, per_server (replicas that one server holds) [1], memory (of one
        replica's host or unified memory, NaN on GPUs) [B], quality [score].
    """
    benchmark = team.quality.benchmark if team.quality else ""
    rows = []
    scores = {model.id: model.score(benchmark) if benchmark else None for model in allowed}
    for server in buyable:
        device = catalogue.devices[server.device]
        memory = min(server.memory, team.policy.memory_limit_gb * 1e9)
        splits = [n for n in TENSOR_PARALLEL if n <= server.devices]
        for engine, model in product(engines(server.kind, team), allowed):
            quality = scores[model.id].value if scores[model.id] else np.nan
            for name in formats(model, engine, server.kind, device.peak, team, catalogue):
                if server.kind == "gpu":
                    rows += [
                        (model.id, name, engine, server.id, device.id, "gpu", n, n, 1,
                         server.devices // n, np.nan, quality) for n in splits
                    ]  # fmt: skip
                else:
                    rows.append(
                        (model.id, name, engine, server.id, device.id, server.kind, 1, 1,
                         server.sockets, 1, memory, quality)
                    )  # fmt: skip
    table = pd.DataFrame(
        rows,
        columns=[
            "model_id", "weight_format", "engine", "server_id", "device_id", "kind", "tp",
            "n_devices", "sockets", "per_server", "memory", "quality",
        ],
    )  # fmt: skip
    return table.assign(engine_version=table["engine"].map(VERSIONS).fillna(""))


@dataclass(frozen=True)
class Deployments:
    """
    N deployments and the M distinct replicas that they are made of.

    The same replica runs on many servers; what it can do is worked out once.

    Parameters
    ----------
    table : DataFrame
        N rows, as from `grid`.
    group : Replicas
        What the laws need of M replicas.
    first : ndarray, shape (M,)
        A row of the table that runs each.
    replica : ndarray, shape (N,)
        Which one each row runs.
    key : hashable
        All that they depend on; None where nothing made from them is to be kept.
    """

    table: pd.DataFrame
    group: Replicas
    first: np.ndarray
    replica: np.ndarray
    key: Hashable | None = None

    def take(self, rows: np.ndarray) -> Deployments:
        """Some of the deployments, in their order."""
        used, first, replica = np.unique(self.replica[rows], return_index=True, return_inverse=True)
        table = self.table.iloc[rows].reset_index(drop=True)
        return Deployments(table, self.group.take(used), first, replica)


def described(table: pd.DataFrame) -> Deployments:
    """
    Deployments with what the laws need of their replicas.

    Parameters
    ----------
    table : DataFrame
        As from `grid`.

    Returns
    -------
    deployments : Deployments
    """
    names = [name for name in table if name not in ("server_id", "per_server", "quality")]
    replica = table.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    first = np.unique(replica, return_index=True)[1]
    group = replace(estimate.replicas(table.iloc[first]), index={})  # which only a fit asks for
    return Deployments(table, group, first, replica)


@dataclass(frozen=True)
class Question:
    """
    What a kept answer is found again by.

    Parameters
    ----------
    key : tuple
        All that the answer depends on.
    needs : tuple
        What it is worked out from: kept with the answer, so that an identity in the key stays
        what it was.
    """

    key: tuple
    needs: tuple = field(compare=False)


@lru_cache(maxsize=4)
def _whole(question):
    """Deployments of all models on all servers, and places of their models and servers."""
    team, catalogue, _ = question.needs
    policy = team.policy.model_copy(update={"memory_limit_gb": np.inf, "smallest_weight_bits": 0})
    free = team.model_copy(update={"policy": policy, "quality": None})
    models, servers = list(catalogue.models.values()), list(catalogue.servers.values())
    every = described(grid(free, catalogue, models, servers))
    model = pd.Index([m.id for m in models]).get_indexer(every.table["model_id"])
    server = pd.Index([s.id for s in servers]).get_indexer(every.table["server_id"])
    bits = every.table["weight_format"].map({n: f.bits for n, f in catalogue.formats.items()})
    return every, models, model, servers, server, bits.to_numpy(float)


def deployments(
    team: Team, catalogue: Catalogue, allowed: list[Model], buyable: list[Server]
) -> Deployments:
    """
    The deployments of `grid`, from those of every model on every server.

    Each team asks for some of them, and whoever moves a slider for nearly the same again: what
    depends on the candidates' engines and formats, the catalogue and the measured constants alone
    is kept.

    Parameters
    ----------
    team, catalogue, allowed, buyable
        As in `grid`.

    Returns
    -------
    deployments : Deployments
    """
    constants = coefficients.load()
    # the records are frozen: the same object is the same content
    known = team.candidates
    key = (known.engines, known.weight_formats, id(catalogue), id(constants))
    question = Question(key, (team, catalogue, constants))
    every, models, model, servers, server, bits = _whole(question)
    may, can = frozenset(one.id for one in allowed), frozenset(one.id for one in buyable)
    rows = np.array([one.id in may for one in models], bool)[model]
    rows &= np.array([one.id in can for one in servers], bool)[server]
    least = team.policy.smallest_weight_bits
    rows &= bits >= least
    if not rows.all():
        every, model = every.take(np.flatnonzero(rows)), model[rows]
    benchmark = team.quality.benchmark if team.quality else ""
    score = [getattr(one.score(benchmark), "value", np.nan) for one in models]
    most = team.policy.memory_limit_gb * 1e9
    memory = np.minimum(every.table["memory"], most)
    table = every.table.assign(memory=memory, quality=np.array(score, float)[model])
    return replace(every, table=table, key=(question, may, can, least, most, benchmark))
