"""Plans by the name of a team, made once; and what the guide advises in its own scenarios."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from planner import plan as planning
from planner import team as teams
from planner.catalogue import load
from planner.guide_purchases import SCENARIOS
from planner.plan import Plan


@lru_cache(maxsize=8)
def planned(team: str) -> Plan:
    """
    The simulated plan of a team.

    Parameters
    ----------
    team : str
        Name of its file in ``data/teams``, without ending.

    Returns
    -------
    plan : Plan
    """
    catalogue = load()
    return planning.plan(teams.read(team, catalogue), catalogue)


@lru_cache(maxsize=8)
def recommended(team: str) -> pd.Series | None:
    """
    The recommendation of `planned`, looked up once.

    Parameters
    ----------
    team : str
        As in `planned`.

    Returns
    -------
    option : Series or None
    """
    return planned(team).chosen


def guide_plans() -> tuple[Plan, ...]:
    """
    The plans of the guide's four scenarios.

    Returns
    -------
    plans : tuple of Plan
    """
    return tuple(planned(slug) for slug in SCENARIOS)


def advised(plan: Plan) -> pd.Series:
    """
    The guide's model, machine and format among the options of one of its scenarios.

    Parameters
    ----------
    plan : Plan
        Of a team of `SCENARIOS`.

    Returns
    -------
    option : Series
        A row of ``plan.options``, most often one that misses a limit.
    """
    claims = plan.catalogue.claims
    advice = next(claim for claim in claims if claim.id == SCENARIOS[plan.team.slug])
    server = next(
        claim.server
        for claim in claims
        if claim.metric == "price" and claim.model_id == advice.model_id
    )
    rows = plan.options
    same = (rows["model_id"] == advice.model_id) & (rows["server_id"] == server)
    return rows[same & (rows["weight_format"] == advice.weight_format)].iloc[0]
