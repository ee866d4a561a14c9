"""The page on a purchase: dials to a requirement and back, and what is shown of its plan."""

import json
import math

import numpy as np
import pytest

from planner import controls, cost_charts, display, purchase_lab, scenario, sections, team
from planner import plan as planning

SMALL = "guide_one_developer"  # few options: quick
NAMES = sorted(path.stem for path in team.TEAMS.glob("*.toml"))
NOTEBOOK = team.TEAMS.parent.parent / "notebooks" / "60_plan_purchase.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
PARAMETERS = controls.read("".join(CELLS[1]["source"]))
DEFAULTS = {parameter.name: parameter.default for parameter in PARAMETERS}


def dialled(name, **turned):
    return {**DEFAULTS, "team": name, **purchase_lab.preset(name), **turned}


@pytest.fixture(scope="module")
def made():
    return purchase_lab.plan(**dialled(SMALL))


@pytest.fixture(scope="module")
def impossible():
    return purchase_lab.plan(**dialled(SMALL, score=100))


@pytest.fixture(scope="module")
def paid_per_token():
    return purchase_lab.plan(**dialled(SMALL, sourcing="api"))


def test_the_notebook_begins_with_the_team_that_it_names():
    assert dialled(DEFAULTS["team"]) == DEFAULTS


@pytest.mark.parametrize("name", NAMES)
def test_every_team_fits_the_dials_and_comes_back_exactly(name, records):
    values = dialled(name)
    for parameter in PARAMETERS:
        parameter.check(values[parameter.name], values)
    assert purchase_lab.requirement(**values).model_dump() == team.read(name, records).model_dump()


@pytest.mark.parametrize(
    ("turned", "table", "field", "value"),
    [
        ({"users": 70}, "workload", "users", 70),
        ({"busiest_hour": 20.0}, "workload", "busiest_hour_share", 0.2),
        ({"cached": 50}, "workload", "cached_prompt_share", 0.5),
        ({"speed": 25.0}, "slo", "tpot_p95", 0.04),
        ({"first_token": 2.0}, "slo", "ttft_p95", 2.0),
        ({"waits": False}, "slo", "ttft_p95", math.inf),
        ({"waits": False, "speed": 25.0}, "slo", "tpot_p95", math.inf),
        ({"score": 55}, "quality", "minimum", 55),
        ({"benchmark": "mmlu_pro"}, "quality", "benchmark", "mmlu_pro"),
        ({"sourcing": "rent or api"}, "policy", "sourcing", ("rent", "api")),
        ({"memory_limit": 128.0}, "policy", "memory_limit_gb", 128.0),
        ({"growth": 30}, "growth", "yearly", 0.3),
        ({"budget": 2e5}, "budget", "total", 2e5),
    ],
)
def test_a_dial_turns_its_field_and_no_other(turned, table, field, value, records):
    before = team.read("coding_assistant", records)
    after = purchase_lab.requirement(**dialled("coding_assistant", **turned))
    assert getattr(getattr(after, table), field) == value
    others = {name for name in before.model_fields_set if name != table}
    assert all(getattr(after, name) == getattr(before, name) for name in others)


def test_what_follows_from_a_session_cannot_be_turned():
    with pytest.raises(team.TeamError, match="follows from the turns of its sessions; set the"):
        purchase_lab.requirement(**dialled("agent_platform", cached=10))


def test_a_score_of_zero_is_no_floor():
    assert purchase_lab.requirement(**dialled("coding_assistant", score=0)).quality is None


def test_waiting_where_nobody_waited_takes_the_limits_of_the_dials():
    slo = purchase_lab.requirement(**dialled("document_pipeline", waits=True)).slo
    assert slo.ttft_p95 == purchase_lab.LOOSEST["first_token"]
    assert slo.tpot_p95 == 1 / purchase_lab.LOOSEST["speed"]


def test_a_budget_is_meant_in_the_currency_that_is_shown():
    made = purchase_lab.requirement(**dialled("coding_assistant", currency="CNY", budget=5e5))
    assert (made.budget.total, made.currency) == (5e5, "CNY")


def test_saved_dials_are_a_team(tmp_path, monkeypatch, records):
    whole = scenario.save

    def save(made, name, again):
        return whole(made, name, again, tmp_path)

    monkeypatch.setattr(purchase_lab.scenario, "save", save)
    path = purchase_lab.save(dialled("coding_assistant", users=75), " Seventy-five ", False)
    read = team.read(path, records)
    assert (path.name, read.name, read.workload.users) == ("seventy_five.toml", "Seventy-five", 75)
    with pytest.raises(team.TeamError, match="slashes"):
        purchase_lab.save(dialled("coding_assistant"), "../x", False)


def test_the_chart_shows_the_front_and_the_recommendation(made):
    rows = purchase_lab.drawn(made)
    assert len(rows) <= 300 and rows["chosen"].sum() == 1
    good = made.feasible
    for row in rows[rows["fastest"]].itertuples():
        cheaper = good[good["total"] <= row.cost]
        assert (1 / cheaper["tpot_alone"]).max() <= row.speed * (1 + 1e-9)
    for row in rows[rows["quickest"]].itertuples():
        assert not (good.loc[good["total"] < row.cost, "ttft_alone"] <= row.first).any()
    assert (rows["cost_low"] <= rows["cost"]).all() and (rows["cost"] <= rows["cost_high"]).all()
    assert (rows["speed_low"] <= rows["speed"]).all()
    assert rows["source"].str.contains(r"\(.*\d").all()


def test_a_chart_is_patched_while_its_currency_stays(made):
    other = purchase_lab.plan(**dialled(SMALL, calls_per_day=900, context_tokens=16_384))
    for show in (purchase_lab.chart, purchase_lab.memory):
        assert show(other).spec == show(made).spec
        assert show(other).rows != show(made).rows
    assert cost_charts.cost_against_speed("EUR") != cost_charts.cost_against_speed("CNY")


def test_alternative_text_names_recommendation_and_money(made):
    alt = purchase_lab.chart(made).alt
    assert "Qwen3-Coder-30B-A3B q8_0" in alt and "CNY" in alt
    parts = sections.memory_parts(made)["memory"].sum() / 1e9
    assert f"{parts:,.1f} GB in all" in purchase_lab.memory(made).alt


def test_memory_adds_up(made):
    rows = purchase_lab.memory(made).rows["parts"]
    assert rows[-1]["end"] == pytest.approx(made.chosen["memory_bytes"] / 1e9)
    assert [row["start"] for row in rows[1:]] == pytest.approx([row["end"] for row in rows[:-1]])


def test_without_an_option_every_cell_says_so(impossible):
    assert impossible.chosen is None
    assert purchase_lab.chart(impossible).plain == purchase_lab.NO_OPTION
    for show in (purchase_lab.figures, purchase_lab.memory, purchase_lab.answer):
        assert show(impossible).plain
    assert "No option of the catalogue" in purchase_lab.decision(impossible)[0].plain


def test_an_api_has_no_memory_and_no_speed(paid_per_token):
    assert paid_per_token.chosen["sourcing"] == "api"
    assert purchase_lab.memory(paid_per_token).plain == sections.NO_MEMORY
    rows = purchase_lab.drawn(paid_per_token)
    assert rows["speed"].isna().all() and not rows["fastest"].any()
    assert "states no speed" in purchase_lab.chart(paid_per_token).caption
    assert "token/s" not in purchase_lab.figures(paid_per_token).plain


def test_the_answer_says_what_how_much_and_what_policy_bars(made):
    said = purchase_lab.answer(made).plain.replace("\\", "")
    assert "Qwen3-Coder-30B-A3B-Instruct in q8_0" in said and "CNY over 3 years" in said
    assert "Next in cost on another machine" in said
    assert "The policy allows only buying" in said


def test_the_closed_forms_say_that_they_decided(made):
    assert not purchase_lab.simulated(made)
    assert "let the simulation decide" in purchase_lab.decision(made)[1].plain


@pytest.mark.slow
def test_the_simulation_has_the_last_word_when_asked(records):
    made = purchase_lab.plan(**dialled(SMALL, simulate=True))
    usual = planning.plan(team.read(SMALL, records), records)
    assert purchase_lab.simulated(made)
    assert made.chosen["total"] == pytest.approx(usual.chosen["total"])
    said = purchase_lab.decision(made)[1].plain
    assert "event simulation" in said and "The closed forms alone would have said" in said
    assert "busiest hour" in purchase_lab.figures(made).plain


def of_notebook(**given):
    values = DEFAULTS | given
    return controls.Dials(
        PARAMETERS, values, "60_plan_purchase", preset=purchase_lab.preset, stated=given
    )


def test_another_team_brings_its_dials_and_what_is_stated_stays():
    dials = of_notebook(team="support_chat", users=700)
    assert dials.value == dialled("support_chat", users=700)
    assert dials.command().endswith("-p team support_chat -p users 700")


def test_papermill_states_values_in_a_cell_of_its_own():
    source = "".join(CELLS[1]["source"])
    cells = ["", source, '# Parameters\nteam = "support_chat"\nusers = 60\n']
    values = DEFAULTS | {"In": cells, "team": "support_chat"}
    dials = controls.here("60_plan_purchase", values, preset=purchase_lab.preset)
    assert dials.value == dialled("support_chat", users=60)


def test_what_cannot_be_planned_is_said_and_forgotten_once_it_can():
    dials = of_notebook()
    made = dials.compute(purchase_lab.requirement)
    dials.set(context_tokens=500)
    with pytest.raises(team.TeamError, match="raise context_tokens"):
        made.live(lambda team: display.text(team.name))
    dials.set(context_tokens=50_000)
    assert made.value.workload.context_tokens == 50_000
    assert np.isfinite(made.value.slo.ttft_p95) and made.trouble is None


def test_a_page_follows_the_team_and_says_that_it_computes(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    dials, seen = of_notebook(), []
    panel = dials.panel
    dials.compute(lambda users: seen.append("planner-busy" in panel.box._dom_classes))
    panel.widgets["team"].value = "support_chat"
    assert seen == [False, True] and "planner-busy" not in panel.box._dom_classes
    assert dials.value == dialled("support_chat")
    assert {name: widget.value for name, widget in panel.widgets.items()} == dials.value
    panel.reset()
    assert dials.value == DEFAULTS
