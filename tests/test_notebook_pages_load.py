"""The page on load: dials read the simulated curve, and every chart keeps its look."""

import numpy as np
import pandas as pd
import pytest

from planner import load_charts, load_lab, load_tables, pressure, ranges, team_plans
from planner.catalogue import load

TEAM = "coding_assistant"
# One replica: its first token doubles between 1 and 2 calls/s, its time per token does not move.
CURVE = pd.DataFrame({
    "end": "middle", "asked": [1.0, 2.0, 3.0], "ttft_p95": [1.0, 2.0, 9.0],
    "tpot_p95": [0.01, 0.01, 0.01], "ttft_p99": [1.0, 5.0, 20.0],
})  # fmt: skip


def test_a_limit_between_two_points_is_met_between_their_loads():
    pieces = pressure.segments(CURVE, {}, highest=2.9)
    assert pressure.within(pieces, {"ttft_p95": 1.5, "tpot_p95": 1.0}) == (1.5, "ttft_p95")
    assert pressure.within(pieces, {"ttft_p95": 99.0, "tpot_p95": 1.0}) == (2.9, "headroom")


def test_what_even_an_idle_replica_misses_is_not_carried():
    pieces = pressure.segments(CURVE, {}, highest=2.9)
    assert pressure.within(pieces, {"ttft_p95": 0.9, "tpot_p95": 1.0}) == (0.0, "ttft_p95")
    assert pressure.within(pieces, {"ttft_p95": 9.0, "tpot_p95": 0.001}) == (0.0, "tpot_p95")


def test_a_limit_without_a_dial_still_stops():
    pieces = pressure.segments(CURVE, {"ttft_p99": 3.0}, highest=2.9)
    assert pressure.within(pieces, {"ttft_p95": 99.0, "tpot_p95": 1.0}) == (1.5, "ttft_p99")


def test_dials_at_one_say_what_the_plan_says():
    option = team_plans.recommended(TEAM)
    carried, binds = load_lab.within(TEAM, 1.0, 1.0)
    assert carried == pytest.approx(option["rate"], rel=0.05)  # one simulates, one interpolates
    assert binds == option["binds"]
    row = load_lab.needed(TEAM, (1.0,), 1.0, 1.0).iloc[0]
    assert (row["working"], row["replicas"]) == (option["working"], option["replicas"])
    assert row["cost"] == pytest.approx(option["total"], rel=0.001)
    assert row["low"] < row["cost"] < row["high"]


def test_more_load_and_stricter_limits_never_take_less():
    table = load_lab.needed(TEAM, load_lab.LOADS, 1.0, 1.0)
    assert table["replicas"].is_monotonic_increasing and table["cost"].is_monotonic_increasing
    carried = [load_lab.within(TEAM, factor, 1.0)[0] for factor in (0.1, 0.5, 1.0, 3.0, 10.0)]
    assert carried == sorted(carried) and carried[0] == 0.0 < carried[-1]
    assert load_lab.needed(TEAM, (1.0,), 0.1, 1.0)["cost"].isna().all()
    assert "Nothing is carried" in load_lab.answer(TEAM, 1.0, 0.1, 1.0).plain


def test_a_dial_moves_rows_and_signals_but_no_look():
    first, second = load_lab.filling(TEAM, 1.0, 1.0, 1.0), load_lab.filling(TEAM, 3.0, 0.5, 2.0)
    assert first.spec == second.spec and first.rows == second.rows
    assert (first.signals["load_factor"], second.signals["load_factor"]) == (1.0, 3.0)
    assert "3.0 s and 50 ms" in first.alt and "1.5 s and 100 ms" in second.alt
    first, second = (load_lab.against_load(TEAM, factor, 1.0, 1.0) for factor in (1.0, 0.7))
    assert first.spec == second.spec and first.rows != second.rows


@pytest.mark.parametrize("look", [load_charts.filling(), load_charts.hours(),
                                  load_charts.against_load("USD"),
                                  load_charts.price_of_a_limit("USD")])  # fmt: skip
def test_looks_hold_no_rows_and_name_their_signals(look):
    assert "datasets" not in look and look["params"]
    assert "values" not in str(look.get("data", ""))


def test_the_answer_follows_the_load():
    assert "takes 2 replicas" in load_lab.answer(TEAM, 1.0, 1.0, 1.0).plain
    option = load_lab.needed(TEAM, (10.0,), 1.0, 1.0).iloc[0]
    assert f"takes {option['replicas']:.0f} replicas" in load_lab.answer(TEAM, 10.0, 1.0, 1.0).plain


def test_a_team_without_limits_is_stopped_by_headroom():
    assert load_lab.within("document_pipeline", 1.0, 1.0)[1] == "headroom"
    assert load_lab.within("document_pipeline", 0.1, 0.1) == load_lab.within(
        "document_pipeline", 1.0, 1.0
    )


def test_where_a_provider_serves_it_is_said():
    for page in (load_lab.filling, load_lab.now, load_lab.answer):
        assert "provider" in page("support_chat", 1.0, 1.0, 1.0).plain


@pytest.mark.slow
def test_every_scenario_of_the_guide_says_whom_it_carries():
    shown = load_tables.scenarios(team_plans.guide_plans()).data["text/html"]
    for plan in team_plans.guide_plans():
        assert plan.team.name in shown
        assert team_plans.advised(plan)["limit"] != "none"  # the guide's own purchase falls out
        rate = plan.chosen["rate"] * plan.chosen["working"]
        assert rate >= plan.team.peak_rate


def test_the_guides_table_waits_and_then_names_all_ten_models():
    assert "few seconds" in load_tables.guide_table(None).plain
    models = list(ranges.guide_models())
    table = pd.DataFrame({"model_id": models, "users": 1, "reason": "does not fit"})
    numbers = ["response", "response_low", "response_high", "claimed_response", "speed",
               "speed_low", "speed_high", "claimed_speed", "total", "memory",
               "claimed_memory"]  # fmt: skip
    shown = load_tables.guide_table(table.assign(**dict.fromkeys(numbers, np.nan)))
    catalogue = load()
    assert all(catalogue.models[model].name in shown.data["text/html"] for model in models)
