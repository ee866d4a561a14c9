"""Speed as the guide claims it beside what is computed: its ten models and its four scenarios."""

from __future__ import annotations

from functools import cache

import pandas as pd

from planner import claim_speeds, display, memory_guide, phrases, ranges, survey, where
from planner.catalogue import load
from planner.display import Column, number
from planner.theme import figure

SHOWN = ["speed", "speed_low", "speed_high", "speed_limit", "total", "ttft", "ttft_low",
         "ttft_high"]  # fmt: skip
SPEEDS = {
    "speed": Column("One user", "token/s", figure, low="speed_low", high="speed_high"),
    "speed_limit": Column("At most", "token/s", figure),
    "total": Column("All", "token/s", figure),
    "ttft": Column("First token", "s", figure, low="ttft_low", high="ttft_high"),
}


@cache
def claims() -> pd.DataFrame:
    """
    Decode speeds that the guide claims, computed on the machine that it names.

    Returns
    -------
    claims : DataFrame
        One row per model, indexed by model_id: claimed (in words), low, high (claimed), machine,
        computed, computed_low, computed_high, limit [token/s]; fits (its weights do).
    """
    rows = {}
    for claim in load().claims:
        known = claim.metric == "decode_tok_s" and claim.model_id in load().models
        if not known or claim.model_id in rows:
            continue
        found, server = claim_speeds.decode(claim, load()), load().servers[claim.server]
        weights = memory_guide.weights(claim.model_id)[claim.weight_format]
        rows[claim.model_id] = {
            "claimed": display.band(claim.low, claim.high), "low": claim.low, "high": claim.high,
            "machine": server.name, "computed": found.value, "computed_low": found.low,
            "computed_high": found.high, "limit": found.limit, "fits": weights <= server.memory,
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def models_table(
    server: str, users: int, prompt_tokens: int, context_tokens: int
) -> display.Shown:  # fmt: skip
    """The guide's models on one machine, and what the guide claims on its own."""
    models = ranges.guide_models()
    there = survey.survey(models, (server,))
    best = survey.widest(there.at(users, prompt_tokens, context_tokens)).set_index("model_id")
    best = best.loc[list(models), [*SHOWN, "weight_format", "tp", "fits"]]
    said = claims().reindex(models)
    table = best[SHOWN].where(best["fits"])
    split = [f" x {tp}" if tp > 1 else "" for tp in best["tp"]]
    table = table.assign(
        model=[load().models[m].name for m in models],
        format=[name + many if fits else "does not fit" for name, many, fits in
                zip(best["weight_format"], split, best["fits"], strict=True)],
        held=~best["fits"], claimed=said["claimed"].fillna(display.MISSING),
        there=said["computed"].where(said["fits"] == True),  # noqa: E712
        there_low=said["computed_low"], there_high=said["computed_high"], allows=said["limit"],
    )  # fmt: skip
    return display.table(
        table,
        {
            "model": Column("Model"),
            "format": Column("Format"),
            **SPEEDS,
            "claimed": Column("The guide claims", "token/s", align="right"),
            "there": Column("Its machine gives", "token/s", figure, low="there_low",
                            high="there_high"),
            "allows": Column("and at most", "token/s", figure),
        },
        f"The guide's models on {where.names()[server]}, with {phrases.users(users)}",
        f"Left: the widest format that fits, {number(context_tokens)} tokens for every user, a "
        f"prompt of {number(prompt_tokens)}. Right: one user in BF16 on the machine that the guide "
        "names; a dash: it claims nothing, or the model does not fit there.",
        muted="held",
    )  # fmt: skip


def scenarios_table() -> display.Shown:
    """The four scenarios of the guide: speed at its users on its machine."""
    table = where.scenarios()
    said = claims()["claimed"]
    table = table.assign(claimed=table["model_id"].map(said))
    return display.table(
        table,
        {
            "scenario": Column("Scenario"),
            "model": Column("Model"),
            "format": Column("Format"),
            "users": Column("Users", "user", ",.0f"),
            **SPEEDS,
            "claimed": Column("Claimed", "token/s", align="right"),
        },
        "The guide's four scenarios, at its users and its context",
        "On its dual E5-2680 v4, in the widest format that fits in the memory of the scenario. "
        "First token: the prompt of the team that stands for the scenario, nobody else at work.",
    )  # fmt: skip
