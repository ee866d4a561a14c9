"""Every model on one machine with some users and some memory, and the best of them.

Scores are ranked only where the same harness measured them. No words for a reader here.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from planner import ranges, survey
from planner.catalogue import load

PROMPT = 1000  # whose first token is timed where a page asks no length [token]
COMMON = "Artificial Analysis"  # the one harness that measured most models: only it is ranked
WIDELY = 5  # of its six benchmarks


class Standing(NamedTuple):
    """
    Every deployment of one machine with some users and some memory.

    Parameters
    ----------
    server : str
        Id.
    memory : float
        The most that may be used: of the server, or of accelerators together. [B]
    context_tokens : int
        Of each user. [token]
    table : DataFrame
        As from `survey.Survey.at` with all the memory of the machine, and needs (memory that the
        machine must have) [B].
    fits : ndarray of bool
        Into this memory, where the model holds the context.
    slow : ndarray
        Speed of one user at the slow end of its band. [token/s]
    needs : ndarray
        As in the table. [B]
    columns : dict of str to ndarray
        Of the table.
    """

    server: str
    memory: float
    context_tokens: int
    table: pd.DataFrame
    fits: np.ndarray
    slow: np.ndarray
    needs: np.ndarray
    columns: dict[str, np.ndarray]

    def row(self, number: int) -> dict:
        """One row of the table; a slider asks for dozens, and pandas is slow at them."""
        return {name: column[number] for name, column in self.columns.items()}


class Found(NamedTuple):
    """
    The best model of a standing, or why there is none.

    Parameters
    ----------
    row : int
        Of the standing's table; without a best one the fastest that fits, or the smallest.
    score : float
        In the benchmark. [%]
    missing : str
        Empty; context (no model holds it), memory (nothing fits), speed (nothing that fits keeps
        it) or machine (which has no such amount of memory).
    """

    row: int
    score: float
    missing: str


def least_memory(server: str) -> float:
    """
    What a machine cannot go below: one accelerator.

    Parameters
    ----------
    server : str
        Id.

    Returns
    -------
    memory : float
        0 for a CPU server or unified memory. [B]
    """
    record = load().servers[server]
    return load().devices[record.device].memory if record.kind == "gpu" else 0.0


def own_memory(server: str, limit: float = np.inf) -> float:
    """
    Memory that models may use on a machine.

    Parameters
    ----------
    server : str
        Id.
    limit : float
        Of a CPU server or unified memory; accelerators are used whole. [B]

    Returns
    -------
    memory : float
        Of all accelerators together, or of the server. [B]
    """
    record = load().servers[server]
    if record.kind != "gpu":
        return min(record.memory, limit)
    return record.devices * least_memory(server)


def standing(
    server: str, users: int, context_tokens: int, memory: float, prompt_tokens: int = PROMPT
) -> Standing:
    """
    The deployments of a machine with some users and some memory.

    Parameters
    ----------
    server : str
        Id.
    users, context_tokens, prompt_tokens : int
        As in `survey.Survey.at`. [user], [token], [token]
    memory : float
        The most that may be used: of the server, or of accelerators together. [B]

    Returns
    -------
    standing : Standing
    """
    table, held, columns = _at(server, users, context_tokens, prompt_tokens)
    slow, needs = columns["speed_low"], columns["needs"]
    memory = min(memory, own_memory(server))
    least = table["tp"].to_numpy() * least_memory(server)  # accelerators are used whole
    fits = held & (needs <= memory) & (least <= memory)
    return Standing(server, memory, context_tokens, table, fits, slow, needs, columns)


@cache
def _models():
    """All that answer people, and of the others those that the guide speaks of."""
    answering = (model.id for model in load().models.values() if model.instruct)
    return tuple(dict.fromkeys((*answering, *ranges.guide_models())))


@lru_cache(maxsize=64)
def _at(server, users, context_tokens, prompt_tokens):
    """All of a standing that no limit of memory changes."""
    record = load().servers[server]
    table = survey.survey(_models(), (server,)).at(users, prompt_tokens, context_tokens)
    table = table.assign(needs=_needs(table, record))
    held = _contexts(server) >= context_tokens
    if record.kind == "gpu":
        held &= table["fits"].to_numpy()  # on each device, which a limit does not change
    return table, held, {name: table[name].to_numpy() for name in table}


def _needs(table, record):
    """What a machine must have, its operating system and what engines leave alone included. [B]"""
    if record.kind == "cpu":
        return record.memory - table["free_bytes"]
    used = table["weight_bytes"] + table["overhead_bytes"] + table["cache_bytes"]
    if record.kind == "gpu":
        return table["tp"] * used * least_memory(record.id) / table["memory_bytes"]
    return used * record.memory / table["memory_bytes"]


@lru_cache(maxsize=64)
def _contexts(server):
    table, models = survey.survey(_models(), (server,)).table, load().models
    return np.array([models[model].context for model in table["model_id"]])


@lru_cache(maxsize=256)
def _ranked(server, benchmark):
    """Rows with a score of the common harness, the best first, then widest, on fewest devices."""
    table = survey.survey(_models(), (server,)).table
    score = {model: common(model, benchmark) for model in table["model_id"].unique()}
    scores = table["model_id"].map(score).to_numpy()
    order = np.lexsort((table["tp"], -table["bits"], -scores))
    known = table["model_id"].isin(proven()).to_numpy()
    return order[np.isfinite(scores[order])], scores, known


def common(model_id: str, benchmark: str) -> float:
    """
    Score of a model that may be compared with others.

    Parameters
    ----------
    model_id, benchmark : str
        Ids.

    Returns
    -------
    score : float
        By the common harness, NaN where it measured none. [%]
    """
    score = load().models[model_id].score(benchmark)
    return score.value if score and score.harness == COMMON else np.nan


@cache
def proven() -> frozenset[str]:
    """
    Models that are a year old and widely measured; what "stable in production" can mean here.

    Returns
    -------
    models : frozenset of str
        Released a year before the newest entry of the catalogue, with `WIDELY` scores of the
        common harness or more.
    """
    models = load().models.values()
    newest = max(model.source_date for model in models)
    before = f"{int(newest[:4]) - 1}{newest[4:]}"
    return frozenset(
        model.id for model in models
        if model.released <= before and sum(s.harness == COMMON for s in model.scores) >= WIDELY
    )  # fmt: skip


@lru_cache(maxsize=256)
def rows(server: str, model_id: str, weight_format: str) -> np.ndarray:
    """
    Deployments of a model in a format, or in the one of nearest width that runs on the machine.

    Parameters
    ----------
    server, model_id, weight_format : str
        Ids.

    Returns
    -------
    rows : ndarray of int
        Of the standings of that machine.
    """
    table = survey.survey(_models(), (server,)).table
    own = np.flatnonzero(table["model_id"] == model_id)
    away = np.abs(table["bits"].to_numpy()[own] - load().formats[weight_format].bits)
    return own[away == away.min(initial=np.inf)]


def smallest(there: Standing, model_id: str, weight_format: str) -> int:
    """
    Which deployment of a model in a format (or the nearest) asks for the least memory, fitting
    ones first: more accelerators hold what one cannot.

    Parameters
    ----------
    there : Standing
    model_id, weight_format : str
        Ids.

    Returns
    -------
    row : int
        Of the standing's table; -1 where no format of the model runs on the machine.
    """
    found = rows(there.server, model_id, weight_format)
    found = found[there.fits[found]] if there.fits[found].any() else found
    return int(found[np.argmin(there.needs[found])]) if found.size else -1


def holds(there: Standing, row: int) -> bool:
    """
    Whether the model of a row was published for the context that is asked for.

    Parameters
    ----------
    there : Standing
    row : int
        Of its table.

    Returns
    -------
    holds : bool
    """
    return bool(_contexts(there.server)[row] >= there.context_tokens)


def best(there: Standing, benchmark: str, speed: float = 0.0, only_proven: bool = False) -> Found:
    """
    The model with the best score that fits and keeps a speed.

    Parameters
    ----------
    there : Standing
    benchmark : str
        That ranks.
    speed : float
        Of one user at the slow end of the band. [token/s]
    only_proven : bool
        Only models of `proven`.

    Returns
    -------
    found : Found
    """
    order, scores, known = _ranked(there.server, benchmark)
    order = order[known[order]] if only_proven else order
    fits = order[there.fits[order]]
    able = fits[there.slow[fits] >= speed]
    if able.size:
        return Found(int(able[0]), float(scores[able[0]]), "")
    if fits.size:
        row = fits[np.argmax(there.slow[fits])]
        return Found(int(row), float(scores[row]), "speed")
    held = order[_contexts(there.server)[order] >= there.context_tokens]
    if not held.size:
        return Found(-1, np.nan, "context")
    row = held[np.argmin(there.needs[held])]
    return Found(int(row), float(scores[row]), "memory")


def lightest(there: Standing, benchmark: str, minimum: float) -> Found:
    """
    The smallest weights that fit and score no less than a minimum.

    Parameters
    ----------
    there : Standing
    benchmark : str
        That is measured.
    minimum : float
        Least score. [%]

    Returns
    -------
    found : Found
    """
    order, scores, _ = _ranked(there.server, benchmark)
    able = order[there.fits[order] & (scores[order] >= minimum)]
    if not able.size:
        return best(there, benchmark, np.inf)
    weights = (there.table["weight_bytes"] * there.table["tp"]).to_numpy()
    row = able[np.argmin(weights[able])]
    return Found(int(row), float(scores[row]), "")
