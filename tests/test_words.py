"""Sentences and sections made from plans."""

from dataclasses import replace

import numpy as np
import pytest

from planner import (
    assumptions,
    business,
    choices,
    evidence,
    language,
    outlook,
    phrases,
    reasons,
    sections,
    team,
    uncertainty,
    under_load,
    words,
)
from planner.display import Shown

TEAMS = sorted(path.stem for path in team.TEAMS.glob("*.toml"))
SECTIONS = [
    *(getattr(sections, name) for name in (
        "decision", "figures", "requirement",
    )),
    *(getattr(choices, name) for name in ("options", "cost_chart", "stopped", "rejected")),
    *(getattr(reasons, name) for name in ("others", "questions", "memory", "stopped")),
    *(getattr(under_load, name) for name in ("argument", "curve", "levels")),
    assumptions.short,
    assumptions.full,
    *(getattr(business, name) for name in (
        "bill", "yearly_table", "books", "cumulative_chart", "tornado",
    )),
    outlook.break_even,
    outlook.switches,
    *(getattr(evidence, name) for name in (
        "scores", "claims_table", "claims_chart", "acceptance", "risks", "approvals",
        "identity", "summary",
    )),
]  # fmt: skip


@pytest.mark.parametrize("name", ["coding_assistant", "support_chat", "guide_one_developer"])
@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_section_shows_something_for_every_kind_of_answer(planned, name, section):
    shown = section(planned(name))
    assert isinstance(shown, Shown) and shown.data


def test_sections_survive_a_requirement_that_nothing_meets(records):
    from planner import plan

    base = team.read("coding_assistant", records)
    hard = base.model_copy(update={"slo": team.Slo(ttft_p95=0.001, tpot_p95=0.0001)})
    made = plan.plan(hard, records)
    assert made.chosen is None
    for section in SECTIONS:
        assert isinstance(section(made), Shown)
    assert "fell out" in words.headline(made)


@pytest.mark.parametrize("name", TEAMS)
def test_headline_and_terminal_say_what_was_chosen(planned, name):
    made = planned(name)
    text = words.terminal(made)
    assert words.headline(made) in text
    assert made.team.currency in words.headline(made)
    assert "nan" not in words.headline(made)


def test_the_memory_that_is_missing_is_named(planned):
    made = planned("guide_one_developer")
    misses = words.nearest(made).set_index("model_id")
    reason = misses.loc["deepseek-ai/DeepSeek-V3", "reason"]
    assert "GiB missing" in reason and "on a server that offers" in reason


def test_years_add_up_to_the_total(planned):
    for name in ("coding_assistant", "support_chat", "agent_platform"):
        made = planned(name)
        assert business.by_year(made)["cost"].sum() == pytest.approx(made.chosen["total"])


def test_cumulative_cost_ends_at_the_total_without_the_residual(planned):
    option = planned("coding_assistant").chosen
    residual = sum(option[f"residual_{year}"] for year in (1, 2, 3))
    assert business.monthly(option, 3).sum() == pytest.approx(option["total"] - residual)


def test_sensitivity_holds_the_total_between_its_ends(planned):
    made = planned("coding_assistant")
    frame = business.sensitivity(made)
    assert len(frame) >= 5
    ends = frame[["low", "high"]]
    total = made.chosen["total"]
    assert (ends.min(axis=1) <= total * 1.0001).all()
    assert (ends.max(axis=1) >= total * 0.9999).all()


def test_what_is_compared_has_every_way_and_its_range(planned):
    made = planned("coding_assistant")
    found = choices.compared(made)
    assert set(found["sourcing"]) == {"own", "rent", "api", "nothing"}
    assert found.index[found["chosen"]].tolist() == [made.chosen.name]
    assert made.feasible.index[0] in found.index
    for out, part in found.groupby("out"):
        assert part["npv"].is_monotonic_increasing and out == (part["limit"] != "none").all()
    hosted = found[np.isfinite(found["p10"])]
    drawn = uncertainty.priced(made, hosted).table
    np.testing.assert_array_equal(hosted[["p10", "p90"]], drawn[["p10", "p90"]])
    assert (found.loc[found["sourcing"] == "nothing", ["p10", "p90"]].isna()).all(axis=None)


def test_what_is_compared_is_kept_for_one_plan_and_language(planned):
    made = planned("coding_assistant")
    english = choices.compared(made)
    assert choices.compared(made) is english
    with language.speaking("zh"):
        chinese = choices.compared(made)
    assert (chinese["option"] != english["option"]).any()
    dearer = replace(made, options=made.options.assign(total=2 * made.options["total"]))
    assert choices.compared(dearer)["total"].max() > english["total"].max()


def test_the_peak_of_the_chosen_option_keeps_the_limits(planned):
    made = planned("coding_assistant")
    seen = sections.at_peak(made)
    assert seen["ttft_p95"] <= made.team.slo.ttft_p95
    assert seen["tpot_p95"] <= made.team.slo.tpot_p95


def test_the_summary_is_json_and_complete(planned):
    data = next(iter(evidence.summary(planned("coding_assistant")).data.values()))
    assert {"team", "date", "buy", "three_year_cost", "chosen", "run"} <= set(data)
    cost = data["three_year_cost"]
    assert cost["low"] <= cost["mid"] <= cost["high"]


def test_the_run_is_identified_by_its_inputs(planned, records):
    first, second = planned("coding_assistant"), planned("agent_platform")
    assert evidence.run_id(first) == evidence.run_id(first) != evidence.run_id(second)


def test_money_and_times_are_rounded_not_invented():
    assert phrases.money(0, "USD") == "0 USD"
    assert phrases.money(999.6, "USD") == "1,000 USD"
    assert phrases.seconds(0.9999) == "1.0 s" and phrases.seconds(0.999) == "999 ms"
    assert phrases.money(np.inf, "USD") == "without limit"
