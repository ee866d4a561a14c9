"""Tables of the notebook on the choice of a model: models side by side, scores, scenarios."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import pandas as pd

from planner import decision_tree, display, phrases, ranges, standings
from planner.catalogue import load
from planner.choose_lab import GB, NAMES, SITUATIONS, TASKS, name, result
from planner.choose_scatter import fitting
from planner.display import MISSING, Column
from planner.theme import figure

SPEEDS = ["speed", "speed_low", "speed_high", "speed_limit", "ttft", "ttft_low", "ttft_high"]
NO_BREAK = "\u2011"  # a hyphen at which no line ends
SCORED = 3  # of the guide's models that must have a score before a benchmark gets a column
WHO = {
    "one": "1 One developer", "small, plan A": "2 Small team, plan A",
    "small, plan B": "2 Small team, plan B", "performance": "3 Performance first",
    "limited": "4 Little memory",
}  # fmt: skip
UNSAID = (
    "The catalogue names licences and does not judge them: what one allows a business stands in "
    "the licence. Thinking modes and programming languages are shown where a source was found. "
    "Function calling, streaming and quality in Chinese have no sourced field and are left out."
)
OTHER = (
    f"From {standings.COMMON}, one harness for all, where there is no mark. * By the vendor or "
    "another harness: not comparable with any other score, not even in its own column. A dash: no "
    "published score in the catalogue. AA index: the Artificial Analysis Intelligence Index."
)
NEEDS = (
    "The widest format that fits; where none does, the smallest one, and how much memory it needs. "
    "The first token is that of a prompt of {prompt:,} tokens, alone on the machine."
)


@lru_cache(maxsize=64)
def shown(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int, first: str
) -> tuple[str, ...]:
    """
    The models that are compared.

    Parameters
    ----------
    server, memory, task, speed, users, context_tokens, first
        The dials.

    Returns
    -------
    models : tuple of str
        Those that the numbers choose, then the guide's ten.
    """
    asked = (speed, users, context_tokens)
    found = [(there, pick) for _, there, pick in
             decision_tree.quick(server, memory * GB, *asked)]  # fmt: skip
    leaves = decision_tree.leaves(server, memory * GB, task, *asked, first == "speed")
    found += [(leaf.there, leaf.found) for leaf in leaves if leaf.yours]
    chosen = sorted({
        there.columns["model_id"][pick.row] for there, pick in found if not pick.missing
    })  # fmt: skip
    guide = ranges.guide_models()
    return (*(model for model in chosen if model not in guide), *guide)


def _published(model_id, metric):
    found = load().published.get(f"{model_id}:{metric}")
    if found is None:
        return MISSING
    return found.value_text or display.band(found.low, found.high, ",.0f")


def compared(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int, first: str
) -> display.Shown:
    """What the models are, side by side."""
    return _compared(shown(server, memory, task, speed, users, context_tokens, first))


@lru_cache(maxsize=16)
def _compared(models):
    records, guide = load().models, ranges.guide_models()
    rows = [
        {
            "name": name(model), "released": records[model].released.replace("-", NO_BREAK),
            "licence": records[model].license, "total": records[model].total_parameters,
            "active": records[model].active_parameters, "context": records[model].context,
            "modes": _published(model, "modes"),
            "languages": _published(model, "programming_languages"),
            "chosen": model not in guide,
        }
        for model in models
    ]  # fmt: skip
    return display.table(
        pd.DataFrame(rows),
        {
            "name": Column("Model"), "released": Column("Released"), "licence": Column("Licence"),
            "total": Column("Parameters", "10⁹", ",.1f", scale=1e-9),
            "active": Column("of them active", "10⁹", ",.1f", scale=1e-9),
            "context": Column("Context", "token", ",.0f"),
            "modes": Column("Thinking"), "languages": Column("Programming languages"),
        },
        "What they are; strong: chosen by the numbers, the others are the guide's ten",
        UNSAID, strong="chosen",
    )  # fmt: skip


def here(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int,
    first: str,
) -> display.Shown:  # fmt: skip
    """What the same models need and give on this machine."""
    models = shown(server, memory, task, speed, users, context_tokens, first)
    own = standings.own_memory(server, memory * GB)
    table = fitting(server, memory * GB, users, context_tokens).set_index("model_id")
    table = table.reindex(list(models))
    fits = table["fits"].eq(True).to_numpy()
    seen = np.where(fits[:, None], table[SPEEDS].to_numpy(), np.nan)  # without room, no speed
    rows = pd.DataFrame({
        "name": [name(model) for model in models],
        "format": table["weight_format"].str.upper().to_numpy(),
        "needs": table["needs"].to_numpy(), "fits": np.where(fits, "yes", "no"),
        **dict(zip(SPEEDS, seen.T, strict=True)),
        "keeps": [("yes" if low >= speed else "no") if good else MISSING
                  for low, good in zip(table["speed_low"], fits, strict=True)],
        "chosen": [model not in ranges.guide_models() for model in models], "out": ~fits,
    })  # fmt: skip
    return display.table(
        rows,
        {
            "name": Column("Model"), "format": Column("Format"),
            "needs": Column("It needs", "GB", ",.1f", scale=1 / GB), "fits": Column("Fits"),
            "speed": Column("Speed of one user", "token/s", ",.3g", low="speed_low",
                            high="speed_high"),
            "speed_limit": Column("Physics allows", "token/s", ",.3g"),
            "keeps": Column(f"Keeps {figure(speed)} token/s"),
            "ttft": Column("First token", "s", ",.3g", low="ttft_low", high="ttft_high"),
        },
        f"What they need and give with {phrases.users(users)} at once, {context_tokens:,} tokens "
        f"of context and {figure(own / GB)} GB",
        NEEDS.format(prompt=standings.PROMPT), strong="chosen", muted="out",
    )  # fmt: skip


@cache
def columns() -> tuple[str, ...]:
    """
    Benchmarks in which several of the guide's models have a score.

    Returns
    -------
    benchmarks : tuple of str
        The most measured first.
    """
    models = load().models
    seen = Counter(
        benchmark for model in ranges.guide_models()
        for benchmark in dict.fromkeys(score.benchmark for score in models[model].scores)
    )  # fmt: skip
    return tuple(benchmark for benchmark, number in seen.most_common() if number >= SCORED)


def _score(model_id, benchmark):
    score = load().models[model_id].score(benchmark)
    if score is None:
        return MISSING
    return f"{score.value:.1f}{'' if score.harness == standings.COMMON else ' *'}"


def scores(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int, first: str
) -> list[display.Shown]:
    """Several benchmarks side by side."""
    return _scores(shown(server, memory, task, speed, users, context_tokens, first))


@lru_cache(maxsize=16)
def _scores(models):
    rows = pd.DataFrame([
        {"name": name(model), "chosen": model not in ranges.guide_models(),
         **{benchmark: _score(model, benchmark) for benchmark in columns()}}
        for model in models
    ])  # fmt: skip
    measured = {score.benchmark for model in load().models.values() for score in model.scores
                if score.harness == standings.COMMON}  # fmt: skip
    return [
        display.table(
            rows,
            {"name": Column("Model")} | {
                benchmark: Column(
                    NAMES.get(benchmark, benchmark), "" if "index" in benchmark else "%",
                    align="right",
                )
                for benchmark in columns() if (benchmark in measured) == common
            },
            caption, note, strong="chosen",
        )
        for common, caption, note in (
            (True, f"Published scores in benchmarks that {standings.COMMON} runs", OTHER),
            (False, "Published scores in the other benchmarks, by vendors and other harnesses", ""),
        )
    ]  # fmt: skip


def sources(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int,
    first: str, benchmark: str,
) -> display.Shown:  # fmt: skip
    """Where the scores in one benchmark come from."""
    models = shown(server, memory, task, speed, users, context_tokens, first)
    return _sources(models, benchmark)


@lru_cache(maxsize=16)
def _sources(models, benchmark):
    found = {model: load().models[model].score(benchmark) for model in models}
    rows = [
        {"name": name(model), "score": score.value if score else np.nan,
         "harness": score.harness if score else MISSING,
         "compares": ("yes" if score.harness == standings.COMMON else "no") if score else MISSING,
         "source": score.source if score else MISSING}
        for model, score in found.items()
    ]  # fmt: skip
    return display.table(
        pd.DataFrame(rows),
        {
            "name": Column("Model"), "score": Column("Score", "", ".1f"),
            "harness": Column("Measured by"), "compares": Column("Compares with the others"),
            "source": Column("Source"),
        },
        f"Where the scores in {NAMES.get(benchmark, benchmark)} come from",
    )  # fmt: skip


def _option(there, found, missing=""):
    if found.missing in ("context", "memory"):
        nothing = dict.fromkeys(("score", "speed", "low", "high"), np.nan)
        return {"model": "nothing scored fits", **nothing}
    row = there.row(found.row)
    words = f"{name(row['model_id'])}, {row['weight_format'].upper()}"
    return {"model": missing * bool(found.missing) + words, "score": found.score,
            "speed": row["speed"], "low": row["speed_low"], "high": row["speed_high"]}  # fmt: skip


def verdict(scenario: decision_tree.Scenario) -> str:
    """
    Whether what the guide advises in a scenario holds.

    Parameters
    ----------
    scenario : Scenario

    Returns
    -------
    verdict : str
        Too big, too slow or holds.
    """
    if not scenario.guide.fits:
        return "too big"
    slow = scenario.there.slow[scenario.guide.row]
    return "holds" if slow >= 1 / scenario.team.slo.tightest("tpot") else "too slow"


def scenarios(server: str) -> list[display.Shown]:
    """The guide's scenarios: what was asked, what it advises, what the numbers choose."""
    rows = []
    for one in decision_tree.scenarios(server):
        load_, row = one.team.workload, one.there.row(one.guide.row)
        kept = _option(one.there, one.kept, "none; fastest ")
        best = _option(one.there, one.best)
        rows.append({
            "who": WHO[one.key],
            "asked": f"{figure(one.there.memory / GB)} GB, {phrases.users(load_.users)}, "
                     f"{load_.context_tokens:,} tokens, {1 / one.team.slo.tightest('tpot'):.3g} "
                     "token/s",
            "guide": f"{name(one.guide.model_id)}, {one.guide.weight_format.upper()}",
            "needs": one.guide.needs, "verdict": verdict(one),
            "speed": row["speed"] if one.guide.fits else np.nan,
            "low": row["speed_low"], "high": row["speed_high"],
            **{f"kept_{field}": value for field, value in kept.items()},
            **{f"best_{field}": value for field, value in best.items()},
            "benchmark": NAMES[one.team.quality.benchmark],
        })  # fmt: skip
    table, rate = pd.DataFrame(rows), Column("Speed", "token/s", ",.3g")
    return [
        display.table(
            table,
            {
                "who": Column("Scenario"), "asked": Column("Asks for"),
                "guide": Column("The guide chooses"),
                "needs": Column("It needs", "GB", ",.0f", scale=1 / GB),
                "speed": replace(rate, low="low", high="high"), "verdict": Column("Verdict"),
            },
            f"The guide's scenarios on {load().servers[server].name}",
            "Speeds are those of one user with the whole team calling at once and every context "
            "full; the verdict is taken at the slow end.",
        ),
        display.table(
            table,
            {
                "who": Column("Scenario"), "benchmark": Column("Scored in"),
                "kept_model": Column("Best that keeps the speed"),
                "kept_score": Column("Score", "", ".1f"),
                "kept_speed": replace(rate, low="kept_low", high="kept_high"),
                "best_model": Column("Best at any speed"),
                "best_score": Column("Score", "", ".1f"),
                "best_speed": replace(rate, low="best_low", high="best_high"),
            },
            "What the numbers choose within the same memory",
        ),
    ]  # fmt: skip


ANSWER = (
    "On {server} with {memory} GB, for {task}, {people} at once and {context} tokens of context "
    "each: {result}\n\n"
    "Quick choice. {quick}.\n\n"
    "The guide's tree gives {all} answers at {leaves} leaves; {fit} of them fit into the memory of "
    "their branch with the users of their leaf. Of its {number} recommendations for its four "
    "scenarios {holds} on this machine ({bad})."
)


def answer(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int, first: str
) -> display.Shown:
    """The question of the notebook, answered."""
    asked = (speed, users, context_tokens)
    leaves = decision_tree.leaves(server, memory * GB, task, *asked, first == "speed")
    mine = next(leaf for leaf in leaves if leaf.yours)
    picks = [
        f"{SITUATIONS[one.name].format(limit=one.limit / GB)}: "
        + ("nothing" if found.missing else name(there.columns["model_id"][found.row]))
        for one, there, found in decision_tree.quick(server, memory * GB, *asked)
    ]  # fmt: skip
    said = [advice.fits for leaf in leaves for advice in leaf.guide]
    verdicts = Counter(verdict(one) for one in decision_tree.scenarios(server))
    bad = [f"{verdicts[kind]} {'is' if verdicts[kind] == 1 else 'are'} {kind}"
           for kind in ("too big", "too slow") if verdicts[kind]]  # fmt: skip
    holds = verdicts["holds"]
    return display.text(ANSWER.format(
        server=load().servers[server].name, memory=figure(mine.memory / GB), task=TASKS[mine.task],
        people=phrases.users(users), context=f"{context_tokens:,}", result=result(mine, speed),
        quick="; ".join(picks), all=len(said), leaves=len(leaves), fit=sum(said),
        number=verdicts.total(), holds=f"{holds or 'none'} hold{'s' * (holds < 2)}",
        bad=" and ".join(bad) or "all of them",
    ))  # fmt: skip
