"""What the notebook on the choice of a model shows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import choose_charts, display, survey
from planner.catalogue import load
from planner.plan import front

PROMPT = 1000  # whose first token is timed where the notebook asks no length [token]


def scored(server: str, benchmark: str, users: int, context_tokens: int) -> pd.DataFrame:
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

    Returns
    -------
    models : DataFrame
        As the chart `choose_charts.score_against_speed` reads it.
    """
    catalogue = load()
    there = survey.survey(servers=(server,)).at(users, PROMPT, context_tokens)
    table = survey.widest(there)
    table = table[table["fits"]]
    scores = [catalogue.models[model].score(benchmark) for model in table["model_id"]]
    table = table.assign(
        name=[catalogue.models[model].name for model in table["model_id"]],
        score=[score.value if score else np.nan for score in scores],
        source=[score.source if score else "" for score in scores],
        format=table["weight_format"],
        low=table["speed_low"],
        high=table["speed_high"],
        limit=table["speed_limit"],
    ).dropna(subset=["score"])
    table["front"] = front(-table[["speed", "score"]].to_numpy())
    names = ["name", "format", "speed", "low", "high", "limit", "score", "front", "source"]
    return table[names].reset_index(drop=True)


def score_chart(
    server: str, benchmark: str, users: int, context_tokens: int, speed: float
) -> display.Drawing:
    """Score against speed of every model that fits."""
    models = scored(server, benchmark, users, context_tokens)
    best = ", ".join(models.loc[models["front"], "name"])
    return display.drawing(
        choose_charts.score_against_speed(benchmark),
        {"models": models, "one": pd.DataFrame({"one": [1]})},
        "Score against speed on this machine; blue: fast enough at the slow end of the band",
        f"Scatter of {len(models)} models. Not beaten on score and speed: {best}.",
        {"speed": speed},
    )
