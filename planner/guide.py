"""What the notebook on the guide's claims shows: verdicts, tables, charts, purchases."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import budget, claims, contradictions, display, guide_charts, team_plans, words
from planner import catalogue as records
from planner.catalogue import Catalogue, Claim
from planner.display import Column
from planner.team_plans import Purchase
from planner.verdicts import VERDICTS, WORDS

LABELS = {
    "active_parameters": "active parameters", "experts_per_token": "experts of a token",
    "query_heads": "query heads", "kv_heads": "key-value heads", "training_tokens": "training data",
    "programming_languages": "programming languages", "active_ratio": "QwQ-32B's active parameters",
    "context_yarn": "context, extended", "modes": "thinking modes", "license": "licence",
    "release_date": "release", "updated": "last update of the guide",
    "edition": "edition of the guide", "memory_gb": "memory", "disk_gb": "disk",
    "fits_gb": "enough memory", "needs_gb": "needed memory", "decode_tok_s": "speed",
    "task_s": "whole answer", "ttft_s": "first token", "cores": "cores of the server",
    "clock_ghz": "clock of the E5-2680", "response_s": "response",
    "tok_s_per_user": "speed of each", "memory_saving": "memory saved",
    "quality_loss": "quality lost", "speed_gain": "speed gained", "price": "price",
    "monthly_cost": "cost of a month", "own_cost_per_year": "own server, a year",
    "api_cost_per_100k_calls": "100,000 calls", "api_cost_per_year": "100 calls a day for a year",
    "break_even_calls_per_day": "owning is cheaper above",
}  # fmt: skip
NAMES = {"gpt4": "GPT-4", "claude": "Claude", "qwq-32b": "QwQ-32B"}
NONE = "No claim of this kind in the selection."
EMPTY = "No claim fits the selection; use `all`, or one of: {known}."
NO_CONTRADICTION = "No two claims of the selection contradict each other."
ANSWER = (
    "**{consistent} of {all} claims hold** ({share:.0f} %); {impossible} are physically "
    "impossible, {itself} contradict another claim of the same text, {off} are off, {unchecked} "
    "cannot be checked. Memory and disk are claimed at {memory:.2g} times the computed value and "
    "speeds at {speed:.2g} times (medians of the claims). The guide runs BF16; of its {fast} "
    "impossible speeds and times {still} would be impossible in 4 bits, too.\n\n"
    "In {met} of its {scenarios} scenarios do the guide's own machine, model and format meet the "
    "limits of the team. What is needed instead:\n\n{needs}"
)
NEED = "- {scenario}: {decision}."


def audit(kind: str = "all", model: str = "all", catalogue: Catalogue | None = None):
    """
    The claims of the guide with their verdicts and words for them.

    Parameters
    ----------
    kind : str
        One of `claims.KINDS`, or all.
    model : str
        Part of a model's id, or all.
    catalogue : Catalogue, optional
        By default the one in ``data/``.

    Returns
    -------
    verdicts : DataFrame
        As from `claims.audit`, with claim, claimed, computed, why (texts for tables and charts).

    Raises
    ------
    ValueError
        When nothing is left.
    """
    catalogue = catalogue or records.load()
    table = claims.audit(catalogue)
    chosen = pd.Series(True, index=table.index)
    if kind != "all":
        chosen &= table["kind"] == kind
    if model != "all":
        chosen &= table["model_id"].str.contains(model, case=False, regex=False)
    table = table[chosen].reset_index(drop=True)
    if table.empty:
        raise ValueError(EMPTY.format(known=", ".join(claims.KINDS)))
    order = table["kind"].map(claims.KINDS.index)
    table = table.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
    rows = list(table.itertuples())
    return table.assign(
        claim=[label(catalogue.claim(row.id), catalogue) for row in rows],
        claimed=[_claimed(row) for row in rows],
        computed=[_computed(row) for row in rows],
        why=table["reason"].map(words.upper),
        source=table["better_source"],
    )


def label(claim: Claim, catalogue: Catalogue) -> str:
    """A claim in a few words: what of which model, in which format, for whom."""
    last = claim.id.rsplit(".")[-1]
    metric = claim.metric.removeprefix("score_").replace("_", " ")
    parts = [LABELS.get(claim.metric, metric)]
    if claim.metric in ("memory_gb", "memory_saving", "quality_loss", "speed_gain", "fits_gb"):
        parts.append(claim.weight_format or "no format")
    if claim.users and claim.metric in ("memory_gb", "response_s", "tok_s_per_user", "fits_gb"):
        parts.append(f"{claim.users} user" + "s" * (claim.users > 1))
    if claim.metric == "fits_gb":
        parts.append(last.replace("-", " "))
    if claim.output_tokens:
        parts.append(f"{claim.output_tokens} tokens")
    if last == "awq-scenario":
        parts.append("scenario 4")
    if "table" in last:
        parts.append("table")
    model = catalogue.models.get(claim.model_id)
    name = model.name if model else NAMES.get(last, "")
    for ending in ("-hf", "-Instruct", "-Chat"):
        name = name.removesuffix(ending)
    return ", ".join([f"{name}: {parts[0]}" if name else parts[0], *parts[1:]])


def _unit(row):
    return WORDS.get(row.unit, row.unit) if row.unit not in ("date", "text") else ""


def _claimed(row):
    if row.claimed_text:
        return row.claimed_text
    return f"{display.band(row.claimed_low, row.claimed_high)} {_unit(row)}".strip()


def _number(value):
    return display.number(float(f"{value:.3g}") if abs(value) < 1e4 else round(value))


def _computed(row):
    if row.predicted_text:
        return row.predicted_text
    if np.isnan(row.predicted):
        return display.MISSING
    low, high = _number(row.predicted_low), _number(row.predicted_high)
    band = f" ({low} to {high})" if low != high else ""
    return f"{_number(row.predicted)}{band} {_unit(row)}".strip()


def summary(verdicts: pd.DataFrame) -> display.Shown:
    """Verdicts by kind of claim."""
    counts = claims.counts(verdicts)
    total = counts.sum(numeric_only=True).to_frame().T.assign(kind="all")
    table = pd.concat([counts, total], ignore_index=True)
    columns = {name: Column(words.upper(name), "", ",.0f") for name in (*VERDICTS, "claims")}
    return display.table(
        table, {"kind": Column("Kind of claim"), **columns}, "Verdicts by kind of claim", total=True
    )


def summary_chart(verdicts: pd.DataFrame) -> display.Shown:
    """The same as bars."""
    chart = guide_charts.verdict_bars(claims.counts(verdicts))
    return display.figure(chart, "Claims of the guide by kind and verdict")


def factors(verdicts: pd.DataFrame) -> display.Shown:
    """Every claim that is a number against its computed value."""
    if verdicts["factor"].isna().all():
        return display.text(NONE)
    chart = guide_charts.factors(verdicts)
    return display.figure(chart, "Claimed over computed; left of the line is too little")


def ranges(verdicts: pd.DataFrame, kind: str) -> display.Shown:
    """Claims of one kind with band and physical limit."""
    part = verdicts[(verdicts["kind"] == kind) & verdicts["predicted"].notna()]
    if part.empty:
        return display.text(NONE)
    part = part.drop_duplicates("claim").sort_values("claim")
    return display.figure(
        guide_charts.ranges(part),
        f"{words.upper(kind)}: claimed, computed and the limit, over the computed middle",
    )


def table(verdicts: pd.DataFrame, kind: str) -> display.Shown:
    """Claims of one kind, the worst first."""
    part = verdicts[verdicts["kind"] == kind]
    if part.empty:
        return display.text(NONE)
    order = part["verdict"].map(VERDICTS.index).sort_values(kind="stable").index
    return display.table(
        part.loc[order],
        {
            "claim": Column("Claim"),
            "claimed": Column("Claimed"),
            "computed": Column("Computed or published"),
            "factor": Column("Claimed over it", "", lambda value: f"{value:.2g}", "right"),
            "verdict": Column("Verdict"),
            "why": Column("Why"),
            "source": Column("Better source"),
        },
        f"Claims about {kind}",
    )


def contradicting(verdicts: pd.DataFrame, catalogue: Catalogue | None = None) -> display.Shown:
    """Claims of the selection that cannot all be true."""
    catalogue = catalogue or records.load()
    found = contradictions.found(catalogue)
    chosen = set(verdicts["id"])
    found = found[[bool(chosen & set(ids)) for ids in found["ids"]]]
    if found.empty:
        return display.text(NO_CONTRADICTION)
    rows = []
    for (rule, _), part in found.groupby(["rule", found["ids"].str[0]], sort=False):
        ids = dict.fromkeys(name for names in part["ids"] for name in names)
        rows.append({
            "rule": rule,
            "reason": words.upper("; ".join(dict.fromkeys(part["reason"]))),
            "claims": "; ".join(label(catalogue.claim(name), catalogue) for name in ids),
        })  # fmt: skip
    return display.table(
        pd.DataFrame(rows),
        {"rule": Column("Rule"), "reason": Column("What does not go together"),
         "claims": Column("Claims")},
        "Where the guide contradicts itself",
    )  # fmt: skip


def purchases() -> tuple[Purchase, ...]:
    """The four scenarios of the guide, planned."""
    return tuple(team_plans.purchase(plan) for plan in team_plans.guide_plans())


def bought(made: tuple[Purchase, ...]) -> display.Shown:
    """What a reader of the guide would have bought, and what the team needs instead."""
    rows = [row for one in made for row in (_advised(one), _needed(one))]
    return display.table(
        pd.DataFrame(rows),
        {
            "scenario": Column("Scenario"),
            "machine": Column("Machine and model"),
            "memory": Column("Memory it needs", "GB", ",.0f"),
            "allowed": Column("allowed", "GB", ",.0f"),
            "claimed": Column("Claimed speed", "token/s"),
            "speed": Column("Computed", "token/s", ".2f", low="speed_low", high="speed_high"),
            "price": Column("Price", "k CNY", ",.1f", scale=1e-3),
            "total": Column("3 years", "k CNY", ",.1f", scale=1e-3),
            "holds": Column("Within the team's limits"),
        },
        "The guide's purchase and what is needed instead",
        "The second row of a scenario is the recommendation of `planner plan` for that team.",
        strong="needed",
    )


def _advised(one):
    option, speed = one.option, one.speed
    good = option["limit"] == "none"
    return {
        "scenario": scenario(one.plan.team.slug), "machine": words.name(_one(option), one.plan),
        "memory": one.memory["predicted"], "allowed": one.memory["claimed_high"],
        "claimed": display.band(speed["claimed_low"], speed["claimed_high"]),
        "speed": speed["predicted"], "speed_low": speed["predicted_low"],
        "speed_high": speed["predicted_high"], "price": one.price, "total": one.total,
        "holds": "yes" if good else f"no: {words.why(option, one.plan)}", "needed": False,
    }  # fmt: skip


def _one(option):
    """An option that carries nothing has no number of servers: its reader buys one."""
    return option.where(option.index != "servers", 1.0)


def _needed(one):
    option = one.plan.chosen
    row = {"scenario": "\u2003", "needed": True, "allowed": np.nan, "claimed": "", "memory": np.nan}
    if option is None:
        return {**row, "machine": "nothing in the catalogue", "speed": np.nan, "speed_low": np.nan,
                "speed_high": np.nan, "price": np.nan, "total": np.nan,
                "holds": words.headline(one.plan)}  # fmt: skip
    used = option["weight_bytes"] + option["overhead_bytes"]
    used += one.plan.team.workload.users * option["sequence_bytes"]
    used += budget.constant("usable_memory.reserve.cpu", "any")
    return {
        **row, "machine": words.name(option, one.plan), "memory": used / 1e9,
        "allowed": one.plan.team.policy.memory_limit_gb or np.nan,
        "speed": 1 / option["tpot_alone"], "speed_low": 1 / option["tpot_alone_high"],
        "speed_high": 1 / option["tpot_alone_low"], "price": option["price"],
        "total": option["total"], "holds": "yes",
    }  # fmt: skip


def scenario(slug: str) -> str:
    """A scenario of the guide in words."""
    return words.upper(slug.removeprefix("guide_").replace("_", " "))


def answer(verdicts: pd.DataFrame, made: tuple[Purchase, ...]) -> display.Shown:
    """The question of the notebook, answered."""
    number = verdicts["verdict"].value_counts()
    medians = verdicts.groupby("kind")["factor"].median()
    rates = verdicts[verdicts["metric"].isin(("decode_tok_s", "tok_s_per_user"))]["factor"].median()
    fast = verdicts[(verdicts["verdict"] == "impossible") & verdicts["limit_4_bits"].notna()]
    speeds = fast["unit"] == "tok/s"
    still = np.where(
        speeds, fast["claimed_low"] > fast["limit_4_bits"],
        fast["claimed_high"] < fast["limit_4_bits"],
    )  # fmt: skip
    met = sum(one.option["limit"] == "none" for one in made)
    needs = "\n".join(
        NEED.format(scenario=scenario(one.plan.team.slug), decision=words.decision(one.plan))
        for one in made
    )
    return display.text(
        ANSWER.format(
            consistent=number.get("consistent", 0), all=len(verdicts),
            share=100 * number.get("consistent", 0) / len(verdicts),
            impossible=number.get("impossible", 0), itself=number.get("contradicts itself", 0),
            off=number.get("off", 0), unchecked=number.get("not checked", 0),
            fast=len(fast), still=int(still.sum()), speed=rates,
            memory=medians.get("memory and disk", np.nan),
            met=met or "none", scenarios=len(made), needs=needs,
        )
    )  # fmt: skip
