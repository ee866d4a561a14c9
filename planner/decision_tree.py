"""The guide's decision tree and quick choice, computed from the standings of one machine.

Memory, task, speed and users lead to the model with the best score that fits and, where speed comes
first, keeps it at the slow end of its band. No words for a reader here.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from planner import team as teams
from planner.catalogue import load
from planner.standings import (
    Found,
    Standing,
    best,
    common,
    holds,
    least_memory,
    lightest,
    own_memory,
    smallest,
    standing,
)
from planner.team import Team

EDGES = (40e9, 80e9)  # where the guide parts memory [B]
CROWD = 10  # users where the guide parts them
CROWDED = 2 * CROWD  # how many "more than ten" are, where nobody says
BENCHMARKS = {"code": "livecodebench", "agent": "tau2", "other": "mmlu_pro"}
# The guide's leaves, as its claims are named: under its first question and, where there is one,
# under its second, which may say something else.
BELOW = "guide.lite.fits_gb.tree-below-40"
MIDDLE = {True: "guide.coder32b.fits_gb.tree-40-80", False: "guide.q72b.fits_gb.tree-40-80"}
MIDDLE_SPEED = {True: "guide.lite.fits_gb.tree-40-80", False: MIDDLE[True]}
ABOVE = {
    True: "guide.coder32b.fits_gb.tree-above-80", False: "guide.q72b.fits_gb.tree-above-80",
}  # fmt: skip
ABOVE_USERS = {
    True: "guide.coder32b.fits_gb.tree-many-users", False: "guide.q72b.fits_gb.tree-few-users",
}  # fmt: skip


class Advice(NamedTuple):
    """
    What the guide recommends.

    Parameters
    ----------
    model_id, weight_format : str
        As the guide says.
    row : int
        Of the standing: that format, or the one of nearest width that runs there.
    needs : float
        Memory; NaN where the model does not hold the context. [B]
    fits : bool
        Into the person's own memory, else into what the guide says of its branch.
    """

    model_id: str
    weight_format: str
    row: int
    needs: float
    fits: bool


class Leaf(NamedTuple):
    """
    One end of the tree.

    Parameters
    ----------
    place : int
        Of `branch`.
    memory : float
        That was counted with. [B]
    task, benchmark : str
    keeps, many : bool
        As in `advice`.
    users : int
        That were counted with. [user]
    yours : bool
        Where the person's own answers lead.
    there : Standing
    found : Found
    guide : tuple of Advice
    """

    place: int
    memory: float
    task: str
    benchmark: str
    keeps: bool
    many: bool
    users: int
    yours: bool
    there: Standing
    found: Found
    guide: tuple[Advice, ...]


class Scenario(NamedTuple):
    """
    A scenario of the guide.

    Parameters
    ----------
    key : str
        Of `SCENARIOS`.
    team : Team
        That asks for it.
    there : Standing
        With the memory that the guide names, or one accelerator where that has more.
    guide : Advice
    kept, best : Found
        The best score that keeps the team's speed, and the best at any speed.
    """

    key: str
    team: Team
    there: Standing
    guide: Advice
    kept: Found
    best: Found


class Situation(NamedTuple):
    """
    A line of the guide's quick choice.

    Parameters
    ----------
    name : str
        code, agent, quality, little memory, stable or quick.
    model_id : str
        What the guide chooses.
    benchmark : str
        That decides here.
    limit : float
        Of memory that the guide names, else infinite. [B]
    """

    name: str
    model_id: str
    benchmark: str
    limit: float = np.inf


CODER, LITE = "Qwen/Qwen3-Coder-30B-A3B-Instruct", "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct"
QUICK = (
    Situation("code", CODER, BENCHMARKS["code"]),
    Situation("agent", "zai-org/GLM-4.5-Air", BENCHMARKS["agent"]),
    Situation("quality", "deepseek-ai/DeepSeek-V3", "aa_intelligence_index"),
    Situation("little memory", CODER, BENCHMARKS["code"], 35e9),
    Situation("stable", "Qwen/Qwen2.5-Coder-32B-Instruct", BENCHMARKS["code"]),
    Situation("quick", LITE, BENCHMARKS["code"]),
)

SCENARIOS = {
    "one": ("guide_one_developer", "guide.coder32b.fits_gb.single-developer"),
    "small, plan A": ("guide_small_team", "guide.coder32b.fits_gb.team-A"),
    "small, plan B": ("guide_small_team", "guide.lite.fits_gb.team-B"),
    "performance": ("guide_performance", "guide.q72b.fits_gb.performance"),
    "limited": ("guide_limited", "guide.lite.fits_gb.small-memory"),
}


def branch(memory: float) -> int:
    """
    The guide's branch of an amount of memory.

    Parameters
    ----------
    memory : float
        [B]

    Returns
    -------
    branch : int
        0 below the first edge, 1 between them, 2 above.

    Examples
    --------
    >>> [branch(gigabytes * 1e9) for gigabytes in (39, 40, 80, 81)]
    [0, 1, 1, 2]
    """
    return 0 if memory < EDGES[0] else 1 if memory <= EDGES[1] else 2


def advice(place: int, task: str, keeps: bool, many: bool) -> tuple[str, ...]:
    """
    What the guide's tree says at a leaf: its claims, by id.

    Parameters
    ----------
    place : int
        Of `branch`.
    task : str
        One of `BENCHMARKS`.
    keeps, many : bool
        Speed comes before the score; more than `CROWD` users.

    Returns
    -------
    claims : tuple of str
        Two where its two questions lead to different models.
    """
    if place == 0:
        return (BELOW,)
    if place == 1:
        return tuple(dict.fromkeys((MIDDLE[task == "code"], MIDDLE_SPEED[keeps])))
    asked = (ABOVE[keeps], ABOVE_USERS[many])
    return asked[:1] if keeps == many else asked


def advised(there: Standing, claim_id: str, memory: float | None = None) -> Advice:
    """
    Whether something that the guide advises fits.

    Parameters
    ----------
    there : Standing
    claim_id : str
        Of a claim that a model fits.
    memory : float, optional
        By default what the claim says. [B]

    Returns
    -------
    advice : Advice
    """
    claim = load().claim(claim_id)
    row = smallest(there, claim.model_id, claim.weight_format)
    needs = float(there.needs[row]) if row >= 0 and holds(there, row) else np.nan
    limit = claim.high * claim.scale if memory is None else memory
    return Advice(claim.model_id, claim.weight_format, row, needs, needs <= limit)


def leaves(
    server: str, memory: float, task: str, speed: float, users: int, context_tokens: int,
    keeps: bool,
) -> list[Leaf]:  # fmt: skip
    """
    The whole tree for one machine.

    A branch is counted with its upper end (the whole machine above the last edge, `CROWDED` users
    above `CROWD`), but with the person's own memory and users where those belong to it.

    Parameters
    ----------
    server : str
        Id.
    memory : float
        That may be used, of a CPU server or unified memory. [B]
    task : str
        One of `BENCHMARKS`, or another word for "other".
    speed : float
        That one user needs at the slow end of the band. [token/s]
    users, context_tokens : int
        At once, and what each may fill. [user], [token]
    keeps : bool
        Whether the person puts that speed before the score.

    Returns
    -------
    leaves : list of Leaf
        By memory, task, speed and users.
    """
    own = own_memory(server, memory)
    mine = branch(own), task if task in BENCHMARKS else "other", keeps, users > CROWD
    sizes = [*EDGES, own_memory(server)]
    sizes[mine[0]] = own
    crowd = {False: CROWD, True: CROWDED} | {mine[3]: users}
    found = []
    for place, size in enumerate(sizes):
        absent = size < least_memory(server) or branch(own_memory(server)) < place
        stands = {many: standing(server, crowd[many], context_tokens, size) for many in crowd}
        for name, benchmark in BENCHMARKS.items():
            for fast in (True, False):
                for many, there in stands.items():
                    pick = best(there, benchmark, speed if fast else 0.0)
                    said = [
                        advised(there, claim, own if place == mine[0] else None)
                        for claim in advice(place, name, fast, many)
                    ]
                    found.append(
                        Leaf(place, size, name, benchmark, fast, many, crowd[many],
                             (place, name, fast, many) == mine, there,
                             pick._replace(missing="machine") if absent else pick, tuple(said))
                    )  # fmt: skip
    return found


def quick(
    server: str, memory: float, speed: float, users: int, context_tokens: int
) -> list[tuple[Situation, Standing, Found]]:
    """
    The guide's quick choice, answered by numbers.

    Top quality asks no speed; a quick test asks for the smallest weights that score no less than
    the guide's choice; everything else for the best score that keeps the speed.

    Parameters
    ----------
    server, memory, speed, users, context_tokens
        As in `leaves`.

    Returns
    -------
    answers : list of (Situation, Standing, Found)
    """
    own, answers = own_memory(server, memory), []
    for situation in QUICK:
        size = min(own, situation.limit)
        there = standing(server, users, context_tokens, size)
        if situation.name == "quick":
            found = lightest(there, situation.benchmark, common(LITE, situation.benchmark))
        else:
            asked = 0.0 if situation.name == "quality" else speed
            found = best(there, situation.benchmark, asked, situation.name == "stable")
        if size < least_memory(server):
            found = found._replace(missing="machine")
        answers.append((situation, there, found))
    return answers


def scenarios(server: str) -> list[Scenario]:
    """
    The guide's four scenarios on one machine; its second has two plans.

    Parameters
    ----------
    server : str
        Id.

    Returns
    -------
    scenarios : list of Scenario
    """
    found = []
    for key, (slug, claim_id) in SCENARIOS.items():
        team, claim = _team(slug), load().claim(claim_id)
        size = max(least_memory(server), min(own_memory(server), claim.high * claim.scale))
        there = standing(server, team.workload.users, team.workload.context_tokens, size)
        guide = advised(there, claim_id, size)
        asked, benchmark = 1 / team.slo.tightest("tpot"), team.quality.benchmark
        found.append(
            Scenario(key, team, there, guide, best(there, benchmark, asked), best(there, benchmark))
        )
    return found


@cache
def _team(slug):
    return teams.read(slug, load())
