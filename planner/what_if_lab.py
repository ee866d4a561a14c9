"""What the notebook on other circumstances shows of a plan from `what_if`."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from planner import (
    business,
    cost_charts,
    display,
    draws,
    outlook,
    phrases,
    pricing,
    sections,
    uncertainty,
    what_if,
    words,
)
from planner.cost_charts import CALLED
from planner.draws import World
from planner.plan import CLOSE, Plan
from planner.uncertainty import Outcome

ROWS = 10  # options of the ranking
BARS = 10  # figures of the tornado
GRID = 81  # loads at which ways are compared, from a hundredth to a hundred times the planned one
NO_OPTION = "No option keeps every limit at these dials, so there is nothing to draw."
ALIKE = "**The answer stays**: {decision}, {cost} over {years}{before}."
OTHER = "**The answer changes**: {decision}, {cost} over {years}; as planned it is to {planned}."
BEFORE = " instead of {cost} as planned"
NONE_NOW = "**Nothing keeps every limit at these dials.** As planned the answer is to {planned}."
NONE_EVER = "**Nothing keeps every limit**, neither at these dials nor as planned."
SHARE = (
    "In {share:.0f} % of {draws:,} draws of what no dial has fixed, nothing that is allowed is "
    "more than {close:.0f} % cheaper than the recommendation."
)
GROWS = "It begins with {first} and ends with {last} in year {year}."
PAYS = "The calls grow from {first:,.0f} to {last:,.0f} a day by year {year}."


def decision(plan: Plan) -> display.Shown:
    """Whether the answer stays as planned."""
    now, usual = plan.chosen, what_if.as_planned(plan)
    planned = None if usual.chosen is None else display.escape(words.decision(usual))
    if now is None:
        text = NONE_EVER if planned is None else NONE_NOW.format(planned=planned)
        return display.callout("warning", text)
    cost, decided = phrases.money(now["total"], plan.team.currency), words.decision(plan)
    said = {
        "decision": display.escape(decided), "cost": cost,
        "years": phrases.count(plan.team.growth.years, "year"),
    }  # fmt: skip
    if planned is not None and _same(now, usual.chosen):
        before = phrases.money(usual.chosen["total"], plan.team.currency)
        moved = BEFORE.format(cost=before) if before != cost else ""
        return display.callout("decision", ALIKE.format(**said, before=moved))
    nothing = "buy nothing, since nothing keeps every limit"
    return display.callout("decision", OTHER.format(**said, planned=planned or nothing))


KEYS = ["sourcing", "provider", "server_id", "device_id", "model_id", "weight_format", "tp",
        "engine", "contract"]  # fmt: skip


def _same(first, second):
    """Whether two options are the same purchase, however many machines it takes."""
    return bool((first[KEYS].fillna("") == second[KEYS].fillna("")).all())


def ranked(plan: Plan) -> pd.DataFrame:
    """
    The best option of each machine, cheapest first, with what it costs as planned.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    options : DataFrame
        As `cost_charts.ranking` reads them.
    """
    table = uncertainty.candidates(plan, ROWS).sort_values("npv", kind="stable")
    usual = what_if.as_planned(plan).options
    usual = usual[usual["device_id"].isin(table["device_id"]) | usual["device_id"].isna()]
    known = dict(zip(_keys(usual), usual["total"], strict=True))
    chosen = plan.chosen
    return pd.DataFrame(
        {
            "name": [
                words.brief(row, plan) + (" (not allowed)" if row["limit"] == "policy" else "")
                for _, row in table.iterrows()
            ],
            "way": table["sourcing"].map(CALLED),
            "cost": table["total"],
            "low": table["total_low"],
            "high": table["total_high"],
            "planned": [known.get(key, np.nan) for key in _keys(table)],
            "score": table["quality"],
            "chosen": [chosen is not None and label == chosen.name for label in table.index],
        }
    ).reset_index(drop=True)


def _keys(table):
    return zip(*(map(str, table[name]) for name in KEYS), strict=True)


def ranking(plan: Plan) -> display.Shown:
    """Cost of the best options at the dials, beside what they cost as planned."""
    rows = ranked(plan)
    if rows.empty:
        return display.text(NO_OPTION)
    listed = "; ".join(
        f"{row.name}: {phrases.money(row.cost, plan.team.currency)}"
        for row in rows.head(5).itertuples(index=False, name="Row")
    )
    return display.drawing(
        cost_charts.ranking(plan.team.currency),
        {"options": rows},
        "The best options at these dials (dot, with its band) and as planned (bar); ringed: "
        "recommended",
        f"Dots of {len(rows)} options by cost. {listed}.",
    )


def tornado(plan: Plan) -> display.Shown:
    """What moves the cost of the recommendation most, around where the dials stand."""
    if plan.chosen is None:
        return display.text(NO_OPTION)
    found = uncertainty.sensitivity(plan)
    if found.empty:
        return display.text("Nothing that is uncertain moves the cost of the recommendation.")
    ends = found[["low", "high"]].to_numpy(float)
    rows = pd.DataFrame(
        {
            "factor": found["factor"], "left": ends.min(axis=1), "right": ends.max(axis=1),
            "base": float(plan.chosen["total"]),
        }
    )  # fmt: skip
    rows = rows.loc[(rows["left"] - rows["right"]).sort_values(kind="stable").index].head(BARS)
    write = partial(phrases.money, currency=plan.team.currency)
    rows["label"] = [display.band(row.left, row.right, write) for row in rows.itertuples()]
    widest = rows.iloc[0]
    return display.drawing(
        cost_charts.tornado(plan.team.currency),
        {"factors": rows},
        "Cost of the recommendation with one thing at a time at the ends of its range",
        f"Bars of {len(rows)} figures around {write(widest['base'])}; the widest, "
        f"{widest['factor']}, from {widest['label']}.",
    )


def by_load(plan: Plan) -> display.Shown:
    """Cost of the best purchase, rental and API against the calls a day."""
    found = {way: uncertainty.best_of(plan, way) for way in ("own", "rent", "api")}
    found = {way: option for way, option in found.items() if option is not None}
    if not found:
        return display.text(NO_OPTION)
    planned = plan.team.workload.calls_per_day
    levels = np.geomspace(0.01, 100, GRID)
    parts = []
    for way, option in found.items():
        cost = draws.price(option, plan, World(GRID, figures={draws.LEVEL: levels}))["total"]
        kept = np.isfinite(cost)
        name = words.brief(option, plan)
        barred = " (not allowed)" if option["limit"] == "policy" else ""
        parts.append(
            pd.DataFrame(
                {
                    "way": CALLED[way],
                    "name": name + barred, "calls": levels[kept] * planned, "cost": cost[kept],
                }
            )
        )  # fmt: skip
    rows = pd.concat(parts, ignore_index=True)
    listed = "; ".join(f"{option['sourcing']}: {words.brief(option, plan)}"
                       for option in found.values())  # fmt: skip
    return display.drawing(
        cost_charts.by_load(plan.team.currency),
        {"costs": rows, "planned": pd.DataFrame({"calls": [planned]})},
        "Cost of the best of each way against the calls a day; dashed: the calls at these dials",
        f"Lines of cost against calls a day from {levels[0] * planned:,.3g} to "
        f"{levels[-1] * planned:,.3g}. {listed}.",
    )


def switches(plan: Plan) -> display.Shown:
    """Which single figure would make something else cheaper, and at which value."""
    return outlook.switches(plan)


def machines(plan: Plan) -> list[str]:
    """What the recommendation needs in every year, in words."""
    option, years = plan.chosen, range(1, plan.team.growth.years + 1)
    if option["sourcing"] == "own":
        return [phrases.count(option[f"servers_{year}"], "server") for year in years]
    if option["sourcing"] == "rent":
        working = pricing.working(np.array([option["rate"]]), pricing.demand(plan.team).peak)[0]
        spare = option["replicas"] - option["working"]
        return [phrases.count((copies + spare) * option["tp"], "accelerator") for copies in working]
    return ["paid per token"] * len(years)


def by_year(plan: Plan) -> display.Shown:
    """Machines and money of every year of the plan."""
    if plan.chosen is None:
        return display.text(NO_OPTION)
    rows = business.by_year(plan)
    calls = pricing.demand(plan.team).calls / plan.team.workload.days_per_year
    needed = machines(plan)
    above = rows["cost"].clip(lower=0).groupby(rows["year"]).sum()
    notes = pd.DataFrame(
        {
            "year": above.index, "top": above.to_numpy(),
            "label": [f"{what}, {display.number(round(call))} calls a day"
                      for what, call in zip(needed, calls, strict=True)],
        }
    )  # fmt: skip
    paid = rows.groupby("year")["cost"].sum()
    listed = "; ".join(
        f"year {year}: {what}, {phrases.money(cost, plan.team.currency)}"
        for (year, cost), what in zip(paid.items(), needed, strict=True)
    )
    return display.drawing(
        cost_charts.by_year(plan.team.currency),
        {"costs": rows.reset_index(drop=True), "years": notes},
        "What is needed and paid in each year; the residual value, an income, hangs below zero",
        f"Stacked bars of cost by year. {listed}.",
    )


def drawn(plan: Plan) -> tuple[Plan, Outcome]:
    """The top options under draws of all that no dial has fixed."""
    return plan, uncertainty.outcome(plan)


def stays(plan: Plan, outcome: Outcome) -> float:
    """
    Share of the draws in which the recommendation costs as little as anything allowed.

    Parameters
    ----------
    plan : Plan
        With a chosen option.
    outcome : Outcome
        Of its top options.

    Returns
    -------
    share : float
        Costs that differ by less than `plan.CLOSE` are equal, as in the plan itself.
    """
    allowed = (outcome.options["limit"] == "none").to_numpy()
    own = outcome.npv[outcome.options.index.get_loc(plan.chosen.name)]
    least = outcome.npv[allowed].min(axis=0)
    return float(np.mean(np.isfinite(own) & (own <= (1 + CLOSE) * least)))


def sure(case: tuple[Plan, Outcome]) -> list[display.Shown]:
    """Odds and regret in words and as a table, and how it was drawn."""
    return [outlook.sure(*case), outlook.uncertain(*case), outlook.drawn()]


def answer(case: tuple[Plan, Outcome]) -> display.Shown:
    """All of it in a few sentences."""
    plan, outcome = case
    if plan.chosen is None:
        return decision(plan)
    option, said = plan.chosen, [decision(plan).plain]
    calls, year = pricing.demand(plan.team).calls, plan.team.growth.years
    needed, calls = machines(plan), calls / plan.team.workload.days_per_year
    if needed[0] != needed[-1]:
        said.append(GROWS.format(first=needed[0], last=needed[-1], year=year))
    elif calls[0] != calls[-1]:
        said.append(PAYS.format(first=calls[0], last=calls[-1], year=year))
    share = 100 * stays(plan, outcome)
    said.append(SHARE.format(share=share, draws=outcome.total.shape[1], close=100 * CLOSE))
    if option["sourcing"] != "api" and option["rate_low"] < option["rate"]:  # no dial has fixed it
        said.append(sections.at_the_slow_end(option))
    said += outlook.turning(plan, 2) or [outlook.NO_SWITCH]
    return display.text(" ".join(filter(None, said)))
