"""The page on cost: dials price a team's best options again, by the formulas of the plan."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from planner import controls, cost_charts, cost_curves, cost_lab, cost_tables, ranges, repricing
from planner.catalogue import load
from planner.claim_money import outlay
from planner.pricing import LINES
from planner.repricing import Dialled
from planner.team_plans import planned, recommended

TEAM = "coding_assistant"
NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "50_cost.ipynb"
START = {**Dialled(TEAM)._asdict(), "currency": "USD"}


def cells():
    return ["".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]]


# ---- dials that stand where they began ---------------------------------------------------------


def test_the_cell_begins_where_the_assumptions_stand():
    parameters = {p.name: p for p in controls.read(cells()[1])}
    assert set(parameters) == {*Dialled._fields, "currency"}
    for name, value in Dialled(TEAM)._asdict().items():
        assert parameters[name].default == value
    for key in ("pue", "economic_life", "discount_rate"):
        record = load().assumptions[key]
        assert parameters[key].default == record.value
        assert parameters[key].limits({}) == (record.low, record.high)


@pytest.mark.parametrize("team", [TEAM, "support_chat", "guide_one_developer"])
def test_dials_at_rest_say_what_the_plan_says(team):
    option, best = recommended(team), repricing.priced(Dialled(team))
    way = best[option["sourcing"]]
    assert way.option.name == option.name
    assert way.total[0] == pytest.approx(option["total"], rel=1e-6)
    assert sum(way.line(line) for line in LINES) == pytest.approx(way.total[0], rel=1e-9)
    assert best["nothing"].total == (0.0, 0.0, 0.0)
    for kind in set(best) - {"nothing"}:
        cost, low, high = best[kind].total
        assert low <= cost <= high


def test_every_line_is_in_one_group():
    members = [line for group in cost_charts.GROUPS.values() for line in group]
    assert sorted(members) == sorted(LINES)


# ---- dials that move ---------------------------------------------------------------------------


def test_dearer_figures_cost_more_and_only_where_they_are_paid():
    base = repricing.priced(Dialled(TEAM))
    for name, value in (("tariff_factor", 4.0), ("staff_factor", 3.0), ("pue", 2.0),
                        ("price_factor", 2.0)):  # fmt: skip
        dear = repricing.priced(Dialled(TEAM)._replace(**{name: value}))
        assert dear["own"].total[0] > base["own"].total[0], name
        assert dear["api"].total == base["api"].total, name
    dear = repricing.priced(Dialled(TEAM, api_factor=10.0))
    assert dear["api"].total[0] == pytest.approx(10 * base["api"].total[0])
    assert dear["own"].total == base["own"].total


def test_the_electricity_of_four_times_the_tariff_is_four_times_as_dear():
    base, dear = (repricing.priced(Dialled(TEAM, tariff_factor=f))["own"] for f in (1.0, 4.0))
    assert dear.line("energy") == pytest.approx(4 * base.line("energy"))
    assert dear.line("capex") == base.line("capex")


def test_more_calls_take_more_machines_and_longer_ones_carry_less():
    base, more = (repricing.priced(Dialled(TEAM, calls_factor=f))["own"] for f in (1.0, 50.0))
    assert more.total[0] > base.total[0]
    api = [repricing.priced(Dialled(TEAM, calls_factor=f))["api"].total[0] for f in (1.0, 50.0)]
    assert api[1] == pytest.approx(50 * api[0])
    short = {option.name: option["rate"] for option in repricing.kept(TEAM)}
    for option in repricing.carried(TEAM, 2.0, 2.0):
        if option["sourcing"] != "api":
            assert option["rate"] < short[option.name]


def test_sessions_keep_the_shape_of_their_turns():
    asked = planned("agent_platform").team.workload
    longer = repricing.lengths(asked, 2.0, 1.0)
    assert longer.prompt_tokens == 2 * asked.prompt_tokens
    assert longer.arrivals.first_prompt_tokens == 2 * asked.arrivals.first_prompt_tokens
    assert longer.context_tokens >= longer.prompt_tokens + longer.output_tokens


# ---- curves ------------------------------------------------------------------------------------


def test_curves_cross_where_they_were_built_to():
    calls = np.array([1.0, 10.0, 100.0])
    rising, flat = calls.copy(), np.full(3, 30.0)
    assert cost_curves.crossings(calls, flat, rising) == pytest.approx([30.0])
    assert cost_curves.crossings(calls, flat, np.full(3, 40.0)) == []
    assert cost_curves.crossings(calls, flat, np.array([1.0, np.nan, 100.0])) == []


def test_cost_never_falls_with_calls_and_meets_the_bars():
    dials = Dialled(TEAM)
    curves = cost_curves.curves(dials)
    for _, part in curves.groupby("kind"):
        cost = part["cost"].dropna().to_numpy()
        assert (np.diff(cost) >= -1e-9 * cost[1:]).all()
        low, high = part["low"].dropna(), part["high"].dropna()
        assert (low <= part["cost"].loc[low.index] * (1 + 1e-9)).all()
        assert (high >= part["cost"].loc[high.index] * (1 - 1e-9)).all()
    api = curves[curves["kind"].str.contains("/")]
    calls = planned(TEAM).team.workload.calls_per_day
    there = np.interp(calls, api["calls"], api["cost"])
    assert there == pytest.approx(repricing.priced(dials)["api"].table["npv"][0], rel=0.01)


def test_a_busier_machine_is_cheaper_a_token_and_an_api_is_not():
    dials, use = Dialled(TEAM), np.array([0.01, 0.1, 1.0])
    best = repricing.priced(dials)
    (cost, low, high), now = cost_curves.against_use(best["own"], dials, use)
    assert (np.diff(cost) < 0).all() and cost[0] / cost[2] > 50
    assert 0 < now < 1 and (low < cost).all() and (cost < high).all()
    same, _ = cost_curves.against_use(best["api"], dials, use)
    assert np.ptp(same[0]) == 0


# ---- what is shown -----------------------------------------------------------------------------


@pytest.mark.parametrize("page", [cost_lab.bars, cost_lab.months, cost_lab.use])
def test_a_dial_moves_rows_and_no_look(page):
    first, second = page(**START), page(**{**START, "price_factor": 2.0, "years": 5})
    assert first.spec == second.spec and first.rows != second.rows
    assert "L40S" in first.alt


def test_break_even_names_each_rival_and_the_guides_claim():
    chart, words = cost_lab.break_even(**START)
    claim = next(c for c in load().claims if c.metric == "break_even_calls_per_day")
    assert f"**{claim.low:g}** calls a day" in words.plain
    assert all(rival in words.plain for rival in ("renting", "GPT-4", "Claude", "API"))
    assert chart.signals == {"calls_factor": 1.0}
    assert cost_lab.break_even(**{**START, "calls_factor": 10.0})[0].rows == chart.rows


def test_the_answer_names_machine_sum_and_currency():
    option = recommended(TEAM)
    model = load().models[option["model_id"]].name
    shown = cost_lab.answer(**START).plain
    assert model in shown and "139,000 USD" in shown and "7,200 calls a day" in shown
    euro = cost_lab.answer(**{**START, "currency": "EUR"}).plain
    rate = load().assumptions["fx_eur_per_usd"].value
    assert f"{round(option['total'] * rate, -3):,.0f} EUR" in euro


def test_what_a_dial_moves_is_bold_and_dated():
    rest, moved = (cost_tables.prices(**{**START, "tariff_factor": f}) for f in (1.0, 2.0))
    bold = [row["cells"][0]["text"] for row in _rows(moved) if row["emphasis"] == "strong"]
    assert bold == ["Electricity"]
    assert not any(row["emphasis"] for row in _rows(rest))
    assert all(re.search(r"\d{4}|team file", row["cells"][-1]["text"]) for row in _rows(rest))


def _rows(shown):
    return next(value for key, value in shown.data.items() if "table" in key)["rows"]


def test_the_guides_machines_cost_what_its_claims_are_judged_by():
    names = ("years", "price_factor", "tariff_factor", "staff_factor", "pue", "economic_life",
             "discount_rate")  # fmt: skip
    shown = cost_tables.guide_machines(**{name: START[name] for name in names}, currency="CNY")
    for row, claim in zip(_rows(shown), (c for c in load().claims if c.metric == "price"
                                         and c.server), strict=True):  # fmt: skip
        texts = [cell["text"] for cell in row["cells"]]
        month = outlay(claim.server, claim.model_id, load())["total"][0] / 36
        assert texts[2] == f"{claim.low:,.0f}" and texts[4] == f"{claim.low / 36:,.0f}"
        assert f"{month:,.0f}" in texts
        assert month > claim.low / 36


def test_api_sums_grow_with_the_calls():
    one, two = (
        cost_tables.apis(TEAM, factor, factor, 1.0, "USD").data["text/html"]
        for factor in (1.0, 2.0)
    )
    assert (
        "20,400" in one and "40,800" in two
    )  # 6,000 x 30 + 400 x 60 USD per million, 100,000 times
    assert "100 or 10,000" in one


def test_all_ten_models_have_a_machine_or_a_reason():
    table = cost_tables.cheapest("guide_one_developer")
    assert len(table) == len(ranges.guide_models()) == 10
    for prefix in ("one", "all"):
        priced = table[f"{prefix}_total"].notna()
        assert priced.any() and not priced.all()
        assert table.loc[~priced, f"{prefix}_machine"].str.len().gt(10).all()
    both = table.dropna(subset=["one_total", "all_total"])
    assert (both["one_total"] <= both["all_total"] * 1.001).all()


def test_the_scenarios_wait_for_their_plans():
    assert "few seconds" in cost_tables.scenarios(None).plain
    plan = planned("guide_one_developer")
    shown = cost_tables.scenarios((plan,)).data["text/html"]
    assert plan.team.name in shown and f"{plan.chosen['total']:,.0f}" in shown


def test_a_team_that_nothing_serves_is_told_so(monkeypatch):
    monkeypatch.setattr(repricing, "carried", lambda *asked: ())
    far = {**START, "price_factor": 1.2345}  # not priced before in this process
    assert "Nothing in the catalogue" in cost_lab.answer(**far).plain
    assert "breaks even nowhere" in cost_lab.break_even(**far)[1].plain
    assert "nobody is served" in cost_lab.bars(**far).alt
