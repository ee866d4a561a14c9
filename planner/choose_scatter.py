"""Score against speed of every model that fits on a machine, each named where it has room."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import choose_charts, display, ranges, standings, survey
from planner.catalogue import load
from planner.choose_lab import GB, NAMES, name
from planner.plan import front


def scored(
    server: str, benchmark: str, users: int, context_tokens: int, memory: float = np.inf
) -> pd.DataFrame:
    """
    Every scored model on one machine, in its widest format that fits.

    Parameters
    ----------
    server, benchmark : str
        Ids.
    users : int
        At once. [user]
    context_tokens : int
        That each may fill. [token]
    memory : float
        That may be used, of a CPU server or unified memory. [B]

    Returns
    -------
    models : DataFrame
        As the chart `choose_charts.score_against_speed` reads it, without sides.
    """
    models = load().models
    table = fitting(server, memory, users, context_tokens)
    table = table[table["fits"]]
    scores = [models[model].score(benchmark) for model in table["model_id"]]
    table = table.assign(
        name=[name(model) for model in table["model_id"]],
        score=[score.value if score else np.nan for score in scores],
        source=[score.source if score else "" for score in scores],
        harness=[score.harness if score else "" for score in scores],
        alone=[score is not None and score.harness != standings.COMMON for score in scores],
        kind=np.where(table["model_id"].isin(ranges.guide_models()), *choose_charts.KINDS),
        format=table["weight_format"].str.upper(),
        low=table["speed_low"],
        high=table["speed_high"],
        limit=table["speed_limit"],
    ).dropna(subset=["score"])
    ranked = ~table["alone"]
    table["front"] = False
    table.loc[ranked, "front"] = front(-table.loc[ranked, ["speed", "score"]].to_numpy())
    names = ["model_id", "name", "format", "speed", "low", "high", "limit", "score", "front",
             "kind", "harness", "alone", "source"]  # fmt: skip
    return table[names].reset_index(drop=True)


@lru_cache(maxsize=32)
def fitting(server: str, memory: float, users: int, context_tokens: int) -> pd.DataFrame:
    """
    Of every model the widest format that fits, or the nearest miss.

    Parameters
    ----------
    server : str
        Id.
    memory : float
        That may be used, of a CPU server or unified memory. [B]
    users, context_tokens : int
        As in `survey.Survey.at`. [user], [token]

    Returns
    -------
    models : DataFrame
        As `survey.widest`.
    """
    own = standings.own_memory(server, memory)
    there = standings.standing(server, users, context_tokens, own)
    table = there.table  # of accelerators each one is full by itself
    free = np.minimum(table["free_bytes"], (own - there.needs) / table["tp"])
    return survey.widest(table.assign(fits=there.fits, free_bytes=free))


def sides(models: pd.DataFrame, speed: float) -> list[str]:
    """
    Where the name of each model finds room: beside its band, clear of other bands and names.

    Parameters
    ----------
    models : DataFrame
        From `scored`.
    speed : float
        Of the line in the chart. [token/s]

    Returns
    -------
    sides : list of str
        left, right, or empty where there is no room; unbeaten models and the guide's come first.
    """
    width, height = choose_charts.SCATTER
    low, high = min(models["low"].min(), speed), max(models["high"].max(), speed)
    across = (width - 2 * choose_charts.ROOM) / np.log(high / low)
    x0, x1 = (np.log(models[end].to_numpy() / low) * across for end in ("low", "high"))
    y = models["score"].to_numpy() / 100 * height
    found, taken = [""] * len(models), []
    order = np.lexsort((models["kind"] != choose_charts.KINDS[0], ~models["front"]))
    for i in order:
        long = 7.2 * len(models["name"].iloc[i]) + 12
        for side, (a, b) in (("right", (x1[i], x1[i] + long)), ("left", (x0[i] - long, x0[i]))):
            inside = a > -choose_charts.ROOM - 30 and b < width - choose_charts.ROOM + 10
            clear = not ((np.abs(y - y[i]) < 8) & (x0 < b) & (x1 > a))[np.arange(len(y)) != i].any()
            if inside and clear and all(abs(y[i] - v) > 14 or a > q or b < p for p, q, v in taken):
                found[i] = side
                taken.append((a, b, y[i]))
                break
    return found


def score_chart(
    server: str, benchmark: str, users: int, context_tokens: int, speed: float, memory: float
) -> display.Shown:
    """Score against speed of every model that fits."""
    models = scored(server, benchmark, users, context_tokens, memory * GB)
    words = NAMES.get(benchmark, benchmark)
    if models.empty:
        return display.text(f"No model with a score in {words} fits.")
    best = ", ".join(models.loc[models["front"], "name"])
    return display.drawing(
        choose_charts.score_against_speed(f"{words} [{'point' if 'index' in benchmark else '%'}]"),
        {"models": models.assign(side=sides(models, speed)), "one": pd.DataFrame({"one": [1]})},
        "Score against speed on this machine. Blue: fast enough at the slow end of the band; "
        "hollow: another harness measured it, so its score compares with no other",
        f"Scatter of {len(models)} models. Not beaten on score and speed: {best}.",
        {"speed": speed},
    )
