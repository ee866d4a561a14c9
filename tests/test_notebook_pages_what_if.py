"""The page on other circumstances: what a dial turns, and what then follows."""

import json

import numpy as np
import pandas as pd
import pytest

from planner import controls, cost_charts, phrases, team, uncertainty, what_if, what_if_lab
from planner import plan as planning
from planner.uncertainty import Outcome

SMALL = "guide_one_developer"  # few options: quick
NOTEBOOK = team.TEAMS.parent.parent / "notebooks" / "70_what_if.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
PARAMETERS = controls.read("".join(CELLS[1]["source"]))
DEFAULTS = {parameter.name: parameter.default for parameter in PARAMETERS}


def turned(name=SMALL, **dials):
    return what_if.plan(**{**DEFAULTS, "team": name, **what_if.preset(name), **dials})


@pytest.fixture(scope="module")
def usual():
    return turned()


@pytest.fixture(scope="module")
def agents():
    return turned("agent_platform")


@pytest.mark.parametrize("name", [SMALL, "support_chat"])
def test_with_nothing_turned_it_is_the_plan_itself(name, records):
    plain = planning.plan(team.read(name, records), records, simulate=False)
    pd.testing.assert_frame_equal(turned(name).options, plain.options)


def test_prices_turn_what_they_name_and_no_more(agents):
    other = turned("agent_platform", rents=2.0, apis=3.0)
    for sourcing, factor in (("rent", 2.0), ("api", 3.0), ("own", 1.0)):
        before, after = (
            made.options[made.options["sourcing"] == sourcing] for made in (agents, other)
        )
        lines = [f"{sourcing}_{year}" for year in (1, 2, 3)] if sourcing != "own" else ["capex_1"]
        sums = [np.sort(frame[lines].sum(axis=1).replace(np.inf, 0)) for frame in (before, after)]
        assert sums[1] == pytest.approx(factor * sums[0]), sourcing


def test_servers_at_twice_the_price_have_twice_the_price(agents):
    dear = turned("agent_platform", servers=2.0)
    prices = [
        made.options[made.options["sourcing"] == "own"].groupby("server_id")["price"].first()
        for made in (agents, dear)
    ]
    assert prices[1].to_numpy() == pytest.approx(2 * prices[0].to_numpy())


def test_a_plan_knows_the_prices_that_it_was_made_at(agents):
    dear = turned("agent_platform", servers=2.0)
    server = dear.chosen if dear.chosen["sourcing"] == "own" else uncertainty.best_of(dear, "own")
    assert dear.catalogue.servers[server["server_id"]].price == pytest.approx(
        2 * agents.catalogue.servers[server["server_id"]].price
    )


def test_calls_growth_and_years_are_the_teams(records):
    base = team.read(SMALL, records)
    made = turned(calls=3.0, growth=20, years=5).team
    assert made.workload.calls_per_day == 3 * base.workload.calls_per_day
    assert (made.growth.yearly, made.growth.years) == (0.2, 5)
    assert made.assumptions == base.assumptions


def test_a_machine_at_the_slow_end_keeps_the_limits_it_is_said_to_keep():
    slow, fast, plain = (turned(speed=end) for end in ("slow end", "fast end", "as predicted"))
    for made in (slow, fast):
        hosted = made.feasible[made.feasible["sourcing"].isin(["own", "rent"])]
        assert (hosted["ttft_alone"] <= made.team.slo.ttft_p95).all()
        assert (hosted["tpot_alone"] <= made.team.slo.tpot_p95).all()
        assert (hosted["rate"] > 0).all() and (hosted["rate"] == hosted["rate_low"]).all()
    assert len(slow.feasible) < len(plain.feasible) <= len(fast.feasible)
    assert slow.chosen["total"] >= plain.chosen["total"] >= fast.chosen["total"]


def test_an_end_of_a_band_by_hand():
    judged = pd.DataFrame(
        {
            "limit": ["none", "none", "ttft", "memory"], "rate": [2.0, 2.0, 0.0, np.nan],
            "rate_low": [1.0, 0.0, 0.0, np.nan], "rate_high": [3.0, 3.0, 1.0, np.nan],
            "rate_peak": [4.0, 4.0, 4.0, np.nan],
            "ttft_alone": [1.0, 9.0, 11.0, np.nan], "ttft_alone_low": [0.5, 8.0, 9.0, np.nan],
            "ttft_alone_high": [2.0, 11.0, 12.0, np.nan],
            "tpot_alone": [0.1] * 4, "tpot_alone_low": [0.1] * 4, "tpot_alone_high": [0.1] * 4,
        }
    )  # fmt: skip
    base = team.read("coding_assistant")
    limits = base.model_copy(update={"slo": team.Slo(ttft_p95=10.0, tpot_p95=0.2)})
    slow = what_if.at_end(judged, limits, "low")
    assert list(slow["limit"]) == ["none", "ttft", "ttft", "memory"]
    assert slow.loc[0, ["rate", "rate_high", "rate_peak", "ttft_alone"]].tolist() == [1, 1, 2, 2]
    fast = what_if.at_end(judged, limits, "high")
    assert list(fast["limit"]) == ["none", "none", "none", "memory"]
    assert fast["rate_peak"].tolist()[:3] == [6, 6, 4]


def test_the_answer_stays_or_changes_in_words(agents):
    assert "The answer stays" in what_if_lab.decision(agents).plain
    dear = what_if_lab.decision(turned("agent_platform", servers=3.0)).plain.replace("\\", "")
    assert "The answer changes" in dear and "reserve" in dear and "as planned it is to buy" in dear


def test_at_a_hopeless_load_every_cell_says_so():
    lost = turned(calls=20.0, growth=300, years=5, speed="slow end")
    assert lost.chosen is None
    assert "As planned the answer is to buy" in what_if_lab.decision(lost).plain
    for show in (what_if_lab.ranking, what_if_lab.tornado, what_if_lab.by_load,
                 what_if_lab.switches, what_if_lab.by_year):  # fmt: skip
        assert show(lost).plain
    drawn = what_if_lab.drawn(lost)
    assert all(part.plain for part in what_if_lab.sure(drawn))
    assert what_if_lab.answer(drawn).plain


def test_the_ranking_is_by_cost_and_knows_the_plan(usual):
    rows = what_if_lab.ranked(usual)
    assert rows["cost"].to_numpy() == pytest.approx(rows["planned"].to_numpy())
    assert rows["cost"].is_monotonic_increasing or usual.chosen["total"] in set(rows["cost"])
    assert rows["chosen"].sum() == 1
    dearer = what_if_lab.ranked(turned(servers=2.0))
    bought = dearer[dearer["way"] == "bought"]
    assert (bought["cost"] > bought["planned"]).all()


def test_what_a_dial_fixes_moves_no_more(usual):
    moved = {row["factor"] for row in what_if_lab.tornado(usual).rows["factors"]}
    fixed = {row["factor"] for row in what_if_lab.tornado(turned(tariff=2.0)).rows["factors"]}
    assert "Electricity tariff" in moved and "Electricity tariff" not in fixed
    still = what_if_lab.tornado(turned(speed="slow end")).rows["factors"]
    assert "Speed of the machine" in moved
    assert "Speed of the machine" not in {row["factor"] for row in still}


def test_bars_are_widest_first_around_the_cost(usual):
    rows = pd.DataFrame(what_if_lab.tornado(usual).rows["factors"])
    assert (rows["right"] - rows["left"]).is_monotonic_decreasing
    assert (rows["left"] <= rows["base"] + 1).all() and (rows["base"] <= rows["right"] + 1).all()


def test_years_add_up_to_the_cost(usual):
    rows = pd.DataFrame(what_if_lab.by_year(usual).rows["costs"])
    assert rows["cost"].sum() == pytest.approx(usual.chosen["total"])
    assert what_if_lab.machines(usual) == [phrases.count(1, "server")] * 3


def test_lines_pass_through_the_plan(usual):
    rows = pd.DataFrame(what_if_lab.by_load(usual).rows["costs"])
    bought = rows[rows["way"] == "bought"]
    at = np.interp(usual.team.workload.calls_per_day, bought["calls"], bought["cost"])
    assert at == pytest.approx(usual.chosen["total"])


def test_charts_are_patched_while_a_slider_moves(usual):
    other = turned(calls=2.0, servers=1.5)
    for show in (what_if_lab.ranking, what_if_lab.tornado, what_if_lab.by_load,
                 what_if_lab.by_year):  # fmt: skip
        assert show(other).spec == show(usual).spec
        assert show(other).rows != show(usual).rows
        assert show(usual).alt
    assert cost_charts.ranking("EUR") != cost_charts.ranking("CNY")


def test_share_of_draws_in_which_it_stays_best_by_hand(usual):
    chosen = usual.chosen.name
    options = usual.options.loc[[chosen, next(i for i in usual.feasible.index if i != chosen)]]
    npv = np.array([[100.0, 101.0, 110.0, np.inf], [100.0, 100.0, 100.0, 100.0]])
    outcome = Outcome(options, npv, npv, np.ones((2, 4)))
    assert what_if_lab.stays(usual, outcome) == 0.5  # the second within 2 %


def test_the_answer_says_how_many_draws(usual):
    said = what_if_lab.answer(what_if_lab.drawn(usual)).plain.replace("\\", "")
    assert "10,000 draws" in said and "The answer stays" in said and "q8_0" in said
