"""Capacity planning for self-hosted language models."""

from __future__ import annotations

from pathlib import Path


def plan_team(team: str | Path, simulate: bool = True):
    """
    Judge every option of the catalogue against a team's requirement.

    Parameters
    ----------
    team : str or Path
        A team file, or the name of one in ``data/teams``.
    simulate : bool
        Without it closed forms have the last word: quicker, for looking around.

    Returns
    -------
    plan : planner.plan.Plan
        Its ``options`` are a DataFrame, its ``chosen`` the recommendation.

    Examples
    --------
    >>> import planner
    >>> planner.plan_team("guide_limited").chosen["sourcing"]
    'own'
    """
    from planner import catalogue, plan
    from planner import team as teams

    records = catalogue.load()
    return plan.plan(teams.read(team, records), records, simulate=simulate)


def answer(cases):
    """
    Answer questions in the columns of a measurements file.

    Parameters
    ----------
    cases : DataFrame
        model_id, device_id, engine, weight_format, tp, ..., metric.

    Returns
    -------
    answers : DataFrame
        The same rows with predicted, low, high, status and reason.
    """
    from planner import cases as answering

    return answering.answer(cases)
