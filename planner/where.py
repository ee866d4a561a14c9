"""The deployment that dials point at, and the machines of the catalogue, in words."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
import pandas as pd

from planner import guide, survey
from planner import team as teams
from planner.catalogue import convert, load
from planner.survey import Survey
from planner.team_plans import SCENARIOS

NO_FORMAT = "{model} has no weight format that {machine} runs; choose another of the two."


def deployment(model: str, server: str, weight_format: str, split: int) -> Survey:
    """
    What the dials point at.

    Parameters
    ----------
    model, server, weight_format : str
        Ids.
    split : int
        Accelerators that hold it together; of no effect on processors. [1]

    Returns
    -------
    one : Survey
        Of one row.

    Raises
    ------
    ValueError
        Where the model does not run there at all.
    """
    one = survey.survey((model,), (server,), (weight_format,), (split,))
    if one.table.empty or one.group.reason[0]:
        names = {"model": load().models[model].name, "machine": load().servers[server].name}
        raise ValueError(one.group.reason[0] if len(one.table) else NO_FORMAT.format(**names))
    return one


@lru_cache(maxsize=64)
def alone(
    model: str, server: str, weight_format: str, split: int, context_tokens: int,
    memory_limit: float = np.inf,
) -> pd.Series:  # fmt: skip
    """
    What the dials point at, with one user; several charts ask for it at every move of a dial.

    Parameters
    ----------
    model, server, weight_format, split
        As in `deployment`.
    context_tokens : int
        Of the user. [token]
    memory_limit : float
        Of a CPU server or of unified memory. [GB]

    Returns
    -------
    row : Series
        Of `Survey.at`; not to be changed.
    """
    one = deployment(model, server, weight_format, split)
    return one.at(1, context_tokens=context_tokens, memory=memory_limit * 1e9).iloc[0]


def unit(row: pd.Series) -> str:
    """What the memory of a deployment belongs to, in words."""
    if row["kind"] != "gpu":
        return "the server"
    name = load().devices[row["device_id"]].name
    return f"each of {row['tp']} x {name}" if row["tp"] > 1 else f"one {name}"


@cache
def scenarios() -> pd.DataFrame:
    """
    The four scenarios of the guide: its model, users, context and memory on its own machine.

    Returns
    -------
    scenarios : DataFrame
        scenario, machine, model, model_id, users [user], context, prompt (of its team) [token];
        allowed, weights, cache, need, free (negative: missing) in BF16 [B], fits; and of the widest
        format that fits (or of the nearest miss): format, room (its sequences), and the speeds of
        `Survey.at`.
    """
    catalogue = load()
    boxes = [s for s in catalogue.servers.values() if s.price_status == "claim" and s.kind == "cpu"]
    rows = []
    for slug, claim_id in SCENARIOS.items():
        claim = catalogue.claim(claim_id)
        allowed, prompt = claim.low * 1e9, teams.read(slug).workload.prompt_tokens
        box = min((s for s in boxes if s.memory >= allowed), key=lambda server: server.memory)
        there = survey.survey((claim.model_id,), (box.id,))
        table = there.at(claim.users, prompt, claim.context_tokens, allowed)
        full = table[table["weight_format"] == claim.weight_format].iloc[0]
        best = survey.widest(table).iloc[0]
        speeds = [name for name in best.index if name.startswith(("speed", "total", "ttft"))]
        rows.append({
            "scenario": guide.scenario(slug), "machine": box.name, "model_id": claim.model_id,
            "model": catalogue.models[claim.model_id].name, "users": claim.users,
            "context": claim.context_tokens, "prompt": prompt, "allowed": allowed,
            "weights": full["weight_bytes"], "cache": full["cache_bytes"],
            "need": allowed - full["free_bytes"], "free": full["free_bytes"],
            "fits": bool(full["fits"]), "format": best["weight_format"] if best["fits"] else "none",
            "room": best["sequences"], **best[speeds],
        })  # fmt: skip
    return pd.DataFrame(rows)


def distinct(best: pd.DataFrame, memory: bool = True) -> pd.DataFrame:
    """
    One row where several machines hold the same devices: the cheapest.

    Parameters
    ----------
    best : DataFrame
        A row per machine, as from `survey.widest`.
    memory : bool
        Whether processors with another size of memory count as another machine.

    Returns
    -------
    rows : DataFrame
        With machine: its devices, or its name where it has no accelerator.
    """
    called = names()
    gpu = best["kind"] == "gpu"
    machine = np.where(
        gpu, [f"{n} x {called[d]}" for n, d in zip(best["tp"], best["device_id"], strict=True)],
        best["server_id"].map(called),
    )  # fmt: skip
    named = best.assign(machine=machine, price=best["server_id"].map(_prices()))
    named = named.sort_values("price", kind="stable")
    same = ["device_id", "tp", "sockets", "weight_format"] + ["memory"] * memory
    return named.drop_duplicates(same)


@cache
def names() -> dict[str, str]:
    """Of every device and server."""
    catalogue = load()
    records = (*catalogue.devices.values(), *catalogue.servers.values())
    return {record.id: record.name for record in records}


@cache
def _prices():
    """Of every machine, to be ordered by. [USD]"""
    servers = load().servers.values()
    return {server.id: convert(server.price, server.currency, "USD") for server in servers}
