"""What the notebook on memory shows: what fills a machine, who has room, what fits where."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import display, memory_charts, memory_guide, phrases, ranges, serving, survey, where
from planner.catalogue import load
from planner.display import number
from planner.theme import figure

GB = 1e9
POINTS = 40  # of the curve of contexts
SHORTEST = 256  # context where it begins [token]
ROOM = "room for {number}"
MISSING = "{size} GB missing"
ANSWER_YES = (
    "**Yes: {model} in {format} fits on {machine}.** Its weights take {weights} GB of the {memory} "
    "GB that the engine may use on {unit}, its buffers {engine} GB, and {users} of {context} "
    "tokens {cache} GB; {free} GB are left. At this context there is room for {most}, and the "
    "engine runs {engine_most} at once."
)
ANSWER_NO = (
    "**No: {model} in {format} does not fit on {machine}.** {missing} GB are missing on {unit}: "
    "weights take {weights} GB, buffers {engine} GB, and {users} of {context} tokens {cache} GB, "
    "of the {memory} GB that the engine may use. {remedy}"
)
GUIDE = (
    "\n\nThe guide claims less than the weights alone take in BF16 for **{low} of its {all} "
    "models**, and in **{wrong} of its {scenarios} scenarios** its model does not fit in its "
    "memory with the users and the context that it sets."
)


def fill_chart(
    model: str, server: str, weight_format: str, split: int, context_tokens: int,
    memory_limit: float,
) -> display.Drawing:  # fmt: skip
    """What fills one device: weights, buffers, cache, and what is left."""
    row = where.alone(model, server, weight_format, split, context_tokens, memory_limit)
    installed = load().devices[row["device_id"]].memory if row["kind"] == "gpu" else row["memory"]
    figures = {
        "weights": row["weight_bytes"], "engine": row["overhead_bytes"], "one": row["cache_bytes"],
        "memory": row["memory_bytes"], "installed": max(installed, row["memory_bytes"]),
    }  # fmt: skip
    figures = {name: float(value) / GB for name, value in figures.items()}
    rows = pd.DataFrame({"place": range(5), "part": memory_charts.PARTS, **figures})
    said = {name: figure(value) for name, value in figures.items()}
    return display.drawing(
        memory_charts.fill(),
        {"parts": rows},
        f"What fills {where.unit(row)}: {load().models[model].name} in {weight_format}, "
        f"{number(context_tokens)} tokens for every user; dashed: what the engine may use",
        f"Memory of {where.unit(row)}: the engine may use {said['memory']} GB of "
        f"{said['installed']} GB; weights {said['weights']} GB, buffers {said['engine']} GB, "
        f"cache {said['one']} GB for every user.",
    )


def room_chart(
    model: str, server: str, weight_format: str, split: int, context_tokens: int,
    memory_limit: float,
) -> display.Drawing:  # fmt: skip
    """Users with room against the context of each."""
    curve = contexts(model, server, weight_format, split, memory_limit)
    row = where.alone(model, server, weight_format, split, context_tokens, memory_limit)
    most = int(row["sequences"])
    words = f"{number(context_tokens)} tokens: {ROOM.format(number=f'{most:,}')}"
    now = pd.DataFrame(
        {"context": [context_tokens], "sequences": [most], "words": [words],
         "engine": [serving.MOST_SEQUENCES[row["engine"]]]}
    )  # fmt: skip
    ends = curve.iloc[[0, -1]] if len(curve) else curve
    listed = "; ".join(f"{r.context:,} tokens {r.sequences:,} users" for r in ends.itertuples())
    none = f"no context has room: {figure(-row['free_bytes'] / GB)} GB are missing for one user"
    return display.drawing(
        memory_charts.room(),
        {"curve": curve, "now": now},
        "How many users have room, by the length of their contexts"
        + ("" if most else f" - {none}"),
        f"Users with room against context: {listed or none}. At {words}.",
    )


@lru_cache(maxsize=32)
def contexts(
    model: str, server: str, weight_format: str, split: int, memory_limit: float = np.inf
) -> pd.DataFrame:
    """
    Sequences that have room at contexts up to what the model holds.

    Parameters
    ----------
    model, server, weight_format, split
        As in `where.deployment`.
    memory_limit : float
        Of a CPU server or of unified memory. [GB]

    Returns
    -------
    curve : DataFrame
        context [token], sequences (whole, above zero) [sequence].
    """
    most = max(load().models[model].context, 2 * SHORTEST)
    lengths = np.unique(np.geomspace(SHORTEST, most, POINTS).round().astype(int))
    many = where.deployment(model, server, weight_format, split).take(np.zeros(len(lengths), int))
    held = many.at(1, context_tokens=lengths, memory=memory_limit * GB)["sequences"].astype(int)
    curve = pd.DataFrame({"context": lengths, "sequences": held})
    return curve[curve["sequences"] > 0].reset_index(drop=True)


def heat_map(
    server: str, split: int, users: int, context_tokens: int, memory_limit: float, model: str,
    weight_format: str,
) -> display.Drawing:  # fmt: skip
    """The guide's models in every format of one machine."""
    catalogue, first = load(), ranges.guide_models()
    models = first if model in first else (*first, model)
    there = survey.survey(models, (server,), (), (split,))
    table = there.at(users, context_tokens=context_tokens, memory=memory_limit * GB)
    some = table["sequences"].gt(0)
    cells = pd.DataFrame({
        "model": [catalogue.models[m].name for m in table["model_id"]],
        "place": [models.index(m) for m in table["model_id"]],
        "format": table["weight_format"], "bits": table["bits"],
        "size": [f"{figure(size / GB)} GB" for size in table["weight_bytes"]],
        "room": [_room(row) for row in table.itertuples()],
        "stands": np.select([table["fits"], some], list(memory_charts.STANDS)[:2], "does not fit"),
        "current": (table["model_id"] == model) & (table["weight_format"] == weight_format),
        "weights": table["weight_bytes"] / GB, "engine": table["overhead_bytes"] / GB,
        "memory": table["memory_bytes"] / GB, "free": table["free_bytes"] / GB,
        "sequences": table["sequences"],
    })  # fmt: skip
    good = sorted(set(cells.loc[table["fits"], "model"]), key=list(cells["model"]).index)
    machine = where.unit(table.iloc[0])
    return display.drawing(
        memory_charts.heat(),
        {"cells": cells},
        f"Weights on {machine}, and for how many users of {number(context_tokens)} tokens there is "
        "room beside them",
        f"Table of {len(models)} models by format on {catalogue.servers[server].name}. Room for "
        f"{phrases.users(users)} in some format: {', '.join(good) or 'none'}.",
    )


def _room(row):
    if row.sequences >= 1:
        return ROOM.format(number=f"{int(row.sequences):,}")
    missing = -(row.free_bytes + row.cache_bytes)  # without any user
    return MISSING.format(size=figure(missing / GB)) if missing > 0 else "room for none"


def machines(model: str, users: int, context_tokens: int, memory_limit: float) -> pd.DataFrame:
    """
    One model on every machine, in the widest format that fits there, on as few devices as hold it.

    Parameters
    ----------
    model : str
        Id.
    users, context_tokens : int
        That are to have room. [user], [token]
    memory_limit : float
        Of CPU servers and unified memory. [GB]

    Returns
    -------
    best : DataFrame
        A row for every different machine, as from `Survey.at`, with machine (in words); those
        that fit first, widest format and most room first.
    """
    table = survey.survey((model,)).at(
        users, context_tokens=context_tokens, memory=memory_limit * GB
    )
    return where.distinct(survey.widest(table, "server_id")).sort_values(
        ["fits", "bits", "sequences", "free_bytes"], ascending=False, kind="stable"
    ).reset_index(drop=True)  # fmt: skip


def machines_chart(
    model: str, users: int, context_tokens: int, memory_limit: float
) -> display.Drawing:
    """One model on every machine of the catalogue."""
    best = machines(model, users, context_tokens, memory_limit)
    one = 100 / best["memory_bytes"]
    weights = best["weight_bytes"] * one
    engine = weights + best["overhead_bytes"] * one
    words = [
        f"{row.weight_format}: " + (_room(row) if row.fits else _short(row))
        for row in best.itertuples()
    ]
    rows = pd.DataFrame({
        "place": range(len(best)), "machine": best["machine"], "kind": best["kind"], "words": words,
        "weights": weights, "engine": engine, "cache": engine + best["cache_bytes"] * one,
        "fits": best["fits"], "server": best["server_id"].map(where.names()),
        "free": best["free_bytes"] / GB,
    })  # fmt: skip
    fit = rows[rows["fits"]]
    return display.drawing(
        memory_charts.machines(),
        {"machines": rows, "full": pd.DataFrame({"full": [100]})},
        f"{load().models[model].name} with {phrases.users(users)} of {number(context_tokens)} "
        "tokens on every machine: weights (dark), buffers (grey), cache (light)",
        f"Bars of {len(rows)} machines; it fits on {len(fit)}: "
        + "; ".join(f"{row.machine} {row.words}" for row in fit.head(8).itertuples()) + ".",
    )  # fmt: skip


def _short(row):
    return MISSING.format(size=figure(-row.free_bytes * row.tp / GB))


def answer(
    model: str, server: str, weight_format: str, split: int, users: int, context_tokens: int,
    memory_limit: float,
) -> display.Shown:  # fmt: skip
    """The question of the notebook, answered."""
    catalogue = load()
    one = where.deployment(model, server, weight_format, split)
    row = one.at(users, context_tokens=context_tokens, memory=memory_limit * GB).iloc[0]
    sizes = {
        "weights": row["weight_bytes"], "engine": row["overhead_bytes"],
        "cache": row["cache_bytes"], "memory": row["memory_bytes"], "free": row["free_bytes"],
        "missing": -row["free_bytes"],
    }  # fmt: skip
    words = {name: figure(size / GB) for name, size in sizes.items()} | {
        "model": catalogue.models[model].name, "format": weight_format,
        "machine": catalogue.servers[server].name, "unit": where.unit(row),
        "users": phrases.users(users),
        "context": number(context_tokens), "most": phrases.users(int(row["sequences"])),
        "engine_most": serving.MOST_SEQUENCES[row["engine"]],
    }  # fmt: skip
    claims, fits = memory_guide.claims(), where.scenarios()["fits"]
    said = GUIDE.format(
        low=(claims["high"] < claims["bf16"]).sum(), all=len(claims), wrong=(~fits).sum(),
        scenarios=len(fits),
    )  # fmt: skip
    if row["fits"]:
        return display.text(ANSWER_YES.format(**words) + said)
    remedy = _remedy(model, server, users, context_tokens, memory_limit)
    return display.text(ANSWER_NO.format(**words, remedy=remedy) + said)


def _remedy(model, server, users, context_tokens, memory_limit):
    """What would fit on the same machine, or that nothing does."""
    there = survey.survey((model,), (server,))
    table = there.at(users, context_tokens=context_tokens, memory=memory_limit * GB)
    best = survey.widest(table).iloc[0]
    if not best["fits"]:
        return "In no format and on no number of its devices does it fit there."
    return f"The widest that fits is {best['weight_format']} on {where.unit(best)}."
