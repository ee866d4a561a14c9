"""What a reader of the guide would have bought in each of its scenarios, and what is needed."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from planner import catalogue as records
from planner import claim_money, claims, plan
from planner import team as teams
from planner.catalogue import Catalogue, Claim
from planner.plan import Plan

# The team that asks for each scenario, and the claim that says what the guide advises there.
SCENARIOS = {
    "guide_one_developer": "guide.coder32b.fits_gb.single-developer",
    "guide_small_team": "guide.coder32b.fits_gb.team-A",
    "guide_performance": "guide.q72b.fits_gb.performance",
    "guide_limited": "guide.lite.fits_gb.small-memory",
}


class Purchase(NamedTuple):
    """
    One scenario of the guide.

    Parameters
    ----------
    plan : Plan
        Of the team that asks for it; ``plan.chosen`` is what it needs.
    advice : Claim
        Model, users, context and memory of the guide.
    option : Series
        The guide's model, server and format among the options of the plan.
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


def purchase(slug: str, catalogue: Catalogue | None = None) -> Purchase:
    """
    The guide's advice in one scenario beside the plan of the team that asks for it.

    Parameters
    ----------
    slug : str
        One of `SCENARIOS`.
    catalogue : Catalogue, optional
        By default the one in ``data/``.

    Returns
    -------
    purchase : Purchase
    """
    catalogue = catalogue or records.load()
    advice = next(claim for claim in catalogue.claims if claim.id == SCENARIOS[slug])
    model = advice.model_id
    price = next(c for c in catalogue.claims if c.metric == "price" and c.model_id == model)
    verdicts = claims.audit(catalogue, (model,), ("fits_gb", "decode_tok_s")).set_index("id")
    made = plan.plan(teams.read(slug, catalogue), catalogue)
    rows = made.options
    same = (rows["model_id"] == model) & (rows["server_id"] == price.server)
    option = rows[same & (rows["weight_format"] == advice.weight_format)].iloc[0]
    total = claim_money.outlay(price.server, model, catalogue, slug)["total"][0]
    speed = verdicts[verdicts["metric"] == "decode_tok_s"].iloc[0]
    return Purchase(made, advice, option, price.low, total, verdicts.loc[advice.id], speed)
