"""Plans by the name of a team, made once; and what the guide advises in its own scenarios."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import pandas as pd

from planner import claim_money, claims, decision_tree
from planner import plan as planning
from planner import team as teams
from planner.catalogue import Claim, load
from planner.plan import Plan

# The team that asks for each scenario, and the claim that says what the guide advises there.
SCENARIOS = {
    slug: claim for key, (slug, claim) in decision_tree.SCENARIOS.items() if key != "small, plan B"
}


class Purchase(NamedTuple):
    """
    What a reader of the guide would have bought in one of its scenarios.

    Parameters
    ----------
    plan : Plan
        Of the team that asks for it; ``plan.chosen`` is what it needs.
    advice : Claim
        Model, users, context and memory of the guide.
    option : Series
        From `advised`.
    price : float
        Of that server, as the guide says. [CNY]
    total : float
        All that it costs over three years under the team's assumptions. [CNY]
    memory : Series
        The row of `claims.audit` about the advice: GB that are needed, verdict and reason.
    speed : Series
        The row of `claims.audit` about the speed of the model there. [token/s]
    """

    plan: Plan
    advice: Claim
    option: pd.Series
    price: float
    total: float
    memory: pd.Series
    speed: pd.Series


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
    advice = plan.catalogue.claim(SCENARIOS[plan.team.slug])
    server = _price(plan, advice.model_id).server
    rows = plan.options
    same = (rows["model_id"] == advice.model_id) & (rows["server_id"] == server)
    return rows[same & (rows["weight_format"] == advice.weight_format)].iloc[0]


def _price(plan, model_id):
    """The claim that names the guide's server for a model, and its price."""
    return next(c for c in plan.catalogue.claims if c.metric == "price" and c.model_id == model_id)


def purchase(plan: Plan) -> Purchase:
    """
    The guide's advice in one scenario beside the plan of the team that asks for it.

    Parameters
    ----------
    plan : Plan
        Of a team of `SCENARIOS`.

    Returns
    -------
    purchase : Purchase
    """
    catalogue, slug = plan.catalogue, plan.team.slug
    advice = catalogue.claim(SCENARIOS[slug])
    model, price = advice.model_id, _price(plan, advice.model_id)
    verdicts = claims.audit(catalogue, (model,), ("fits_gb", "decode_tok_s")).set_index("id")
    total = claim_money.outlay(price.server, model, catalogue, slug)["total"][0]
    speed = verdicts[verdicts["metric"] == "decode_tok_s"].iloc[0]
    memory = verdicts.loc[advice.id]
    return Purchase(plan, advice, advised(plan), price.low, total, memory, speed)
