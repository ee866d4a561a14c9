"""What the notebook on the choice of a model shows: the tree walked, and the quick choice."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd

from planner import choose_charts, decision_tree, display, phrases, standings
from planner.catalogue import load
from planner.decision_tree import CROWD, CROWDED, EDGES, Advice, Leaf
from planner.display import Column
from planner.theme import figure

GB = 1e9
NAMES = {
    "livecodebench": "LiveCodeBench", "tau2": "τ²-Bench", "mmlu_pro": "MMLU-Pro",
    "gpqa_diamond": "GPQA Diamond", "scicode": "SciCode", "humaneval": "HumanEval",
    "aa_intelligence_index": "AA index", "swe_bench_verified": "SWE-bench Verified",
    "mbpp": "MBPP", "mmlu": "MMLU", "humaneval_plus": "HumanEval+", "gsm8k": "GSM8K",
}  # fmt: skip
TASKS = {"code": "code", "agent": "agents", "other": "text"}
PLACES = ("below {:.0f} GB", "{:.0f} to {:.0f} GB", "above {:.0f} GB")
SITUATIONS = {
    "code": "Writing code", "agent": "Agents that call tools", "quality": "Top quality",
    "little memory": "Little memory ({limit:.0f} GB)", "stable": "Stable in production",
    "quick": "Quick test",
}  # fmt: skip
DECIDES = {
    "quality": "best score, at any speed", "quick": "smallest weights that score as much",
    "stable": "best score that keeps the speed, a year old, measured in "
    f"{standings.WIDELY} benchmarks or more",
}  # fmt: skip
MISSED = {
    "": "", "speed": "none keeps {speed} token/s; the fastest has ",
    "memory": "no scored model fits", "context": "no scored model holds this context",
    "machine": "one accelerator alone has more memory",
}  # fmt: skip
NOTE = (
    "Every leaf is computed on this machine: among the models with a score by one and the same "
    "harness ({harness}; {code} for code, {agent} for agents, {other} for text), the best that "
    "fits with {context} tokens of context for every user. Where speed comes first it must keep "
    "{speed} token/s for every user at the slow end of its band; *token/s* is that slow end. A "
    "branch is counted with its upper end and above {last} GB with the whole machine, up to "
    "{crowd} users as {crowd} and more as {crowded}; your own branch with your own numbers "
    "({memory} GB, {users}). Of the guide's answers those marked ✓ fit into your memory, or "
    "elsewhere into the branch as the guide names it, at most {last} GB; those marked ✗ do not "
    "(Lite is DeepSeek-Coder-V2-Lite, Coder-32B and 72B are Qwen2.5)."
)
PATH = "Your path: {memory} GB, {task}, {first}, {users}. {result} The guide says {guide}."
FOUND = (
    "**{model}** in {format} is the best that {asked}: {score:.1f} in {benchmark}, {speed} token/s "
    "({low} to {high}) for every user, {needs} GB of memory."
)
FIRST = {True: "{speed} token/s before the score", False: "the score before speed"}


def name(model_id: str) -> str:
    """A model as a page names it: without the ending that only says that it answers people."""
    return load().models[model_id].name.removesuffix("-Instruct")


def _brief(model_id):
    return load().models[model_id].name.replace("-Instruct", "")


def _trouble(leaf: Leaf, speed: float) -> str:
    """Why a leaf names no model, in the room that a leaf has."""
    found = leaf.found
    if found.missing == "machine":
        least = standings.least_memory(leaf.there.server)
        if least > leaf.memory:
            return f"one accelerator has {least / GB:.0f} GB"
        return f"the machine has {leaf.memory / GB:.0f} GB"
    if found.missing == "context":
        return "no scored model holds this context"
    row = leaf.there.row(found.row)
    if found.missing == "memory":
        short = figure((row["needs"] - leaf.memory) / GB)
        return f"none fits; {short} GB missing for {_brief(row['model_id'])}"
    slow = figure(row["speed_low"])
    return f"none keeps {figure(speed)}; fastest {slow}, {_brief(row['model_id'])}"


def _said(advice: Advice) -> str:
    """What the guide says, in the room that a leaf has; its tree names three models."""
    words = name(advice.model_id).split("-")
    short = "-".join(words[-2:]) if words[-2] == "Coder" else words[-1]
    needs = "context" if np.isnan(advice.needs) else figure(advice.needs / GB)
    return f"{'✓' if advice.fits else '✗'} {short} {needs}"


def _row(leaf, y, speed):
    found, row = leaf.found, leaf.there.row(leaf.found.row)
    said = [(_said(advice), advice.fits) for advice in leaf.guide] + [("", True)]
    score = load().models[row["model_id"]].score(leaf.benchmark)
    return {
        "y": y, "top": y - 0.5, "bottom": y + 0.5, "yours": leaf.yours,
        "trouble": _trouble(leaf, speed) if found.missing else "",
        "model": f"{_brief(row['model_id'])}, {row['weight_format'].upper()}",
        "slow": row["speed_low"], "score": found.score, "first": said[0][0],
        "first_fits": said[0][1], "second": said[1][0], "second_fits": said[1][1],
        "task": TASKS[leaf.task], "memory": leaf.memory / GB, "users": leaf.users,
        "needs": row["needs"] / GB, "speed": row["speed"], "high": row["speed_high"],
        "limit": row["speed_limit"], "source": score.source if score else "",
    }  # fmt: skip


@cache
def _places() -> tuple[tuple[float, ...], ...]:
    """Rows of the answers to each question; those to the last are the leaves. [row]"""
    last = tuple(i + 0.9 * (i // 12) + 0.3 * (i // 4) for i in range(36))
    levels = [last]
    for each in (2, 2, 3):
        below = levels[0]
        groups = [below[i : i + each] for i in range(0, len(below), each)]
        levels.insert(0, tuple(sum(group) / each for group in groups))
    return tuple(levels)


@cache
def _lines(*words: tuple[str, ...]) -> pd.DataFrame:
    """Every line of the tree, from an answer to those of the next question, by way of a fork."""
    levels, lines = ((_places()[0][1],), *_places()), []
    forks, answers = choose_charts.FORKS, choose_charts.ANSWERS
    for depth, (above, below) in enumerate(pairwise(levels)):
        for i, y in enumerate(below):
            begun = i // (len(below) // len(above))
            start, fork = 0, forks[depth]
            if depth:  # behind the words of the answer above, as wide as a browser may set them
                text = words[depth - 1][begun % len(words[depth - 1])]
                start = min(answers[depth - 1] + 8 * len(text), fork)
            ends = ((start, above[begun]), (fork, above[begun]), (fork, y), (answers[depth] - 4, y))
            lines += [
                {"line": f"{depth} {i}", "order": n, "x": across, "y": down}
                for n, (across, down) in enumerate(ends)
            ]
    return pd.DataFrame(lines)


@cache
def _heads():
    y = choose_charts.ROWS[0] + 0.5
    names = ["x", "align", "words"]
    return pd.DataFrame(choose_charts.HEADS, columns=names).assign(y=y)


def _answers(leaves, speed):
    """The answers to the four questions with their places, all lines, and those of the path."""
    sizes = [leaf.memory for leaf in leaves[::12]]
    mine = next(i for i, leaf in enumerate(leaves) if leaf.yours)
    edges = [edge / GB for edge in EDGES]
    texts = (
        [PLACES[0].format(*edges), PLACES[1].format(*edges), PLACES[2].format(edges[1])],
        list(TASKS.values()), [f"{figure(speed)} token/s", "best score"],
        [f"up to {CROWD}", f"above {CROWD}"],
    )  # fmt: skip
    rows = []
    for level, (places, words) in enumerate(zip(_places(), texts, strict=True)):
        each = len(leaves) // len(places)
        for i, y in enumerate(places):
            yours = mine // each == i
            counted = ""
            if level == 0:
                size = f"{sizes[i] / GB:.0f} GB"
                counted = f"yours: {size}" if yours else f"as {size}"
            rows.append({"x": choose_charts.ANSWERS[level], "y": y, "yours": yours,
                         "words": words[i % len(words)], "counted": counted})  # fmt: skip
    path = {f"{level} {mine // (len(leaves) // len(p))}" for level, p in enumerate(_places())}
    lines = _lines(*(tuple(words) for words in texts[:-1]))
    return pd.DataFrame(rows), lines, lines[lines["line"].isin(path)]


def tree(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int, first: str
) -> display.Drawing:
    """The decision tree on one machine."""
    leaves = decision_tree.leaves(
        server, memory * GB, task, speed, users, context_tokens, first == "speed"
    )
    mine = next(leaf for leaf in leaves if leaf.yours)
    answers, lines, path = _answers(leaves, speed)
    rows = [_row(leaf, y, speed) for leaf, y in zip(leaves, _places()[-1], strict=True)]
    words = _path(mine, speed)
    return display.drawing(
        choose_charts.tree(),
        {"heads": _heads(), "branches": lines, "path": path, "answers": answers,
         "leaves": pd.DataFrame(rows)},
        f"The tree for {load().servers[server].name}; blue: your own path",
        f"Decision tree with {len(leaves)} leaves. {words.replace('**', '')}",
    )  # fmt: skip


def walked(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int, first: str
) -> list[display.Shown]:
    """Where the person's own path leads, and how the tree was counted."""
    leaves = decision_tree.leaves(
        server, memory * GB, task, speed, users, context_tokens, first == "speed"
    )
    mine = next(leaf for leaf in leaves if leaf.yours)
    how = NOTE.format(
        harness=standings.COMMON, speed=figure(speed), context=f"{context_tokens:,}",
        last=f"{EDGES[1] / GB:.0f}", crowd=CROWD, crowded=CROWDED, users=phrases.users(users),
        memory=figure(mine.memory / GB),
        **{task: NAMES[benchmark] for task, benchmark in decision_tree.BENCHMARKS.items()},
    )  # fmt: skip
    return [display.text(_path(mine, speed)), display.text(how)]


def _path(leaf, speed):
    said = [
        f"{name(advice.model_id)} in {advice.weight_format.upper()}, which "
        + ("does not hold this context" if np.isnan(advice.needs) else
           f"needs {figure(advice.needs / GB)} GB and {'fits' if advice.fits else 'does not fit'}")
        for advice in leaf.guide
    ]  # fmt: skip
    return PATH.format(
        memory=figure(leaf.memory / GB), task=TASKS[leaf.task],
        first=FIRST[leaf.keeps].format(speed=figure(speed)), users=phrases.users(leaf.users),
        result=result(leaf, speed), guide=", or ".join(said),
    )  # fmt: skip


def result(leaf: Leaf, speed: float) -> str:
    """What a leaf recommends and why, or why it recommends nothing."""
    if leaf.found.missing:
        return f"**No model is recommended**: {_trouble(leaf, speed)}."
    row = leaf.there.row(leaf.found.row)
    return FOUND.format(
        model=name(row["model_id"]), format=row["weight_format"].upper(), score=leaf.found.score,
        asked="fits and keeps the speed" if leaf.keeps else "fits",
        benchmark=NAMES[leaf.benchmark], speed=figure(row["speed"]),
        low=figure(row["speed_low"]), high=figure(row["speed_high"]),
        needs=figure(row["needs"] / GB),
    )  # fmt: skip


def quick(
    server: str, memory: float, speed: float, users: int, context_tokens: int
) -> display.Shown:
    """The guide's quick choice beside what the numbers choose on this machine."""
    rows = []
    for situation, there, found in decision_tree.quick(
        server, memory * GB, speed, users, context_tokens
    ):
        guide = standings.smallest(there, situation.model_id, "bf16")
        row, absent = there.row(found.row), found.missing not in ("", "speed")
        index = situation.benchmark == "aa_intelligence_index"
        said = f"{found.score:.1f}{'' if index else ' %'} in {NAMES[situation.benchmark]}"
        if situation.name == "quick":
            weights = row["weight_bytes"] * row["tp"] / GB
            said = f"{figure(weights)} GB of weights, {said}"
        rows.append({
            "situation": SITUATIONS[situation.name].format(limit=situation.limit / GB),
            "guide": name(situation.model_id),
            "guide_needs": there.needs[guide] if guide >= 0 else np.nan,
            "fits": "yes" if guide >= 0 and there.fits[guide] else "no",
            "guide_score": standings.common(situation.model_id, situation.benchmark),
            "model": display.MISSING if absent
            else f"{name(row['model_id'])}, {row['weight_format'].upper()}",
            "decided": MISSED[found.missing].format(speed=figure(speed)) + said * (not absent),
            "why": DECIDES.get(situation.name, "best score that keeps the speed"),
            "speed": np.nan if absent else row["speed"],
            "low": row["speed_low"], "high": row["speed_high"],
        })  # fmt: skip
    return display.table(
        pd.DataFrame(rows),
        {
            "situation": Column("Situation"),
            "why": Column("Asked for"),
            "model": Column("The numbers choose"),
            "decided": Column("What decided"),
            "speed": Column("Speed of one user", "token/s", low="low", high="high"),
            "guide": Column("The guide chooses"),
            "guide_score": Column("Its score in the same", "", ".1f"),
            "guide_needs": Column("It needs", "GB", ",.0f", scale=1 / GB),
            "fits": Column("Fits"),
        },
        "Quick choice on this machine",
        "The guide's models in BF16, or the widest format that runs here.",
    )
