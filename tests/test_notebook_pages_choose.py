"""The page on the choice of a model: standings, the tree, its chart, the tables, the answer."""

import json

import numpy as np
import pytest

from planner import (
    choose_charts,
    choose_lab,
    choose_scatter,
    choose_tables,
    decision_tree,
    display,
    ranges,
    standings,
    survey,
)
from planner.catalogue import load

GUIDE, SPARK, CARDS = "guide_e5_256gb", "dgx_spark", "hgx_h100_x8_2026"
LITE = "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct"
DIALS = {
    "server": GUIDE, "memory": 50, "task": "code", "speed": 5.0, "users": 1,
    "context_tokens": 8192, "first": "speed",
}  # fmt: skip
ASKED = {**DIALS, "memory": 50e9, "keeps": True}
del ASKED["first"]


def leaf(**changes):
    return next(one for one in decision_tree.leaves(**{**ASKED, **changes}) if one.yours)


def cells(shown):
    content = shown.data[display.TABLE]
    heads = [column["label"] for column in content["columns"]]
    return [
        dict(zip(heads, (c["text"] for c in row["cells"]), strict=True)) for row in content["rows"]
    ]


@pytest.mark.parametrize("server", [GUIDE, SPARK])
@pytest.mark.parametrize("memory", [30e9, 60e9, 100e9])
def test_memory_that_is_needed_and_memory_that_is_given_agree(server, memory):
    there = standings.standing(server, 7, 2000, memory)
    models = tuple(dict.fromkeys(there.table["model_id"]))
    divided = survey.survey(models, (server,)).at(7, standings.PROMPT, 2000, memory)
    assert np.array_equal(there.fits, divided["fits"].to_numpy())


def test_a_model_does_not_fit_beyond_its_own_context():
    model = "Qwen/Qwen2.5-Coder-32B-Instruct"
    rows = standings.rows(GUIDE, model, "q4_k_m")
    held = load().models[model].context
    assert standings.standing(GUIDE, 1, held, 2e11).fits[rows].all()
    assert not standings.standing(GUIDE, 1, held + 1, 2e11).fits[rows].any()


def test_accelerators_are_used_whole():
    one = standings.least_memory(CARDS)
    assert standings.own_memory(CARDS, 50e9) == 8 * one
    there = standings.standing(CARDS, 1, 4096, 2.5 * one)
    assert set(there.table["tp"][there.fits]) == {1, 2}
    assert not standings.standing(CARDS, 1, 4096, 0.9 * one).fits.any()


def test_best_is_the_best_score_that_keeps_the_speed_by_hand():
    there = standings.standing(GUIDE, 1, 8192, 50e9)
    found = standings.best(there, "livecodebench", 5.0)
    scores = there.table["model_id"].map(lambda m: standings.common(m, "livecodebench"))
    able = there.fits & (there.slow >= 5.0) & scores.notna()
    assert found.missing == "" and able[found.row] and found.score == scores[able].max()


def test_only_the_common_harness_is_ranked():
    assert np.isnan(standings.common("01-ai/Yi-Coder-9B-Chat", "livecodebench"))
    assert standings.common("Qwen/Qwen2.5-Coder-32B-Instruct", "livecodebench") == 29.5


def test_more_of_everything_never_lowers_the_score():
    def score(memory, speed):
        found = standings.best(standings.standing(GUIDE, 1, 8192, memory), "livecodebench", speed)
        return -1.0 if found.missing else found.score

    assert np.all(np.diff([score(memory * 1e9, 2.0) for memory in (8, 20, 50, 100, 250)]) >= 0)
    assert np.all(np.diff([score(250e9, speed) for speed in (0.0, 2.0, 5.0, 8.0, 500.0)]) <= 0)


def test_proven_models_are_a_year_old():
    newest = max(model.source_date for model in load().models.values())
    assert LITE in standings.proven()
    assert all(
        int(newest[:4]) - int(load().models[model].released[:4]) >= 1
        for model in standings.proven()
    )


def test_every_question_of_the_tree_is_answered_once():
    leaves = decision_tree.leaves(**ASKED)
    assert len(leaves) == 3 * 3 * 2 * 2 and sum(one.yours for one in leaves) == 1
    assert [one.memory for one in leaves[::12]] == [40e9, 50e9, load().servers[GUIDE].memory]
    assert {one.users for one in leaves} == {1, decision_tree.CROWDED}
    assert {one.users for one in decision_tree.leaves(**{**ASKED, "users": 12})} == {10, 12}


def test_the_guide_is_quoted_at_its_own_leaves():
    assert decision_tree.advice(0, "code", True, True) == (decision_tree.BELOW,)
    claims = {claim.id: claim for claim in load().claims}
    said = {
        (place, task, keeps, many): [
            claims[name].model_id.split("/")[1].removesuffix("-Instruct")
            for name in decision_tree.advice(place, task, keeps, many)
        ]
        for place in (1, 2) for task in ("code", "other") for keeps in (True, False)
        for many in (True, False)
    }  # fmt: skip
    assert said[1, "code", False, False] == ["Qwen2.5-Coder-32B"]
    assert said[1, "other", False, True] == ["Qwen2.5-72B", "Qwen2.5-Coder-32B"]
    assert said[2, "code", False, False] == ["Qwen2.5-72B"]
    assert said[2, "code", True, True] == ["Qwen2.5-Coder-32B"]
    assert said[2, "code", False, True] == ["Qwen2.5-72B", "Qwen2.5-Coder-32B"]


def test_the_guide_s_72b_in_bf16_does_not_fit_just_above_80_gb():
    said = [a for one in decision_tree.leaves(**ASKED) for a in one.guide if "72B" in a.model_id]
    above = [a for a in said if a.weight_format == "bf16"]
    assert above and not any(a.fits for a in above)
    weights = 2 * load().models["Qwen/Qwen2.5-72B-Instruct"].total_parameters
    assert all(a.needs > weights for a in above)


def test_what_is_missing_is_said():
    assert leaf(memory=8e9, context_tokens=60_000, users=9).found.missing == "memory"
    assert leaf(speed=199.0).found.missing == "speed"
    assert leaf(context_tokens=20_000_000, memory=2e11).found.missing == "context"
    small = decision_tree.leaves(**{**ASKED, "server": "guide_e5_64gb"})
    assert {one.found.missing for one in small if one.place == 2} == {"machine"}


def test_troubles_are_shown_in_words():
    for server, changes in (
        (GUIDE, {"memory": 8, "context_tokens": 60_000, "users": 9}), (GUIDE, {"speed": 199.0}),
        (GUIDE, {"context_tokens": 190_000}), (CARDS, {}), ("guide_e5_64gb", {}),
    ):  # fmt: skip
        asked = {**DIALS, **changes, "server": server}
        drawn, words = choose_lab.tree(**asked), choose_lab.walked(**asked)[0]
        assert all(row["trouble"] or row["model"] for row in drawn.rows["leaves"])
        assert "nan" not in words.plain and "nan" not in json.dumps(drawn.rows)


def test_the_tree_s_look_is_the_same_whatever_the_dials_say():
    first = choose_lab.tree(**DIALS)
    for changes in ({"memory": 200}, {"users": 50}, {"speed": 40.0}, {"server": CARDS},
                    {"task": "chat", "first": "score"}):  # fmt: skip
        other = choose_lab.tree(**{**DIALS, **changes})
        assert other.spec == first.spec and other.rows != first.rows


def test_the_path_leads_to_the_person_s_leaf():
    drawn, words = choose_lab.tree(**DIALS), choose_lab.walked(**DIALS)[0]
    mine = [row for row in drawn.rows["leaves"] if row["yours"]]
    lines = {row["line"] for row in drawn.rows["path"]}
    assert len(mine) == 1 and len(lines) == 4
    assert max(drawn.rows["path"], key=lambda row: row["x"])["y"] == mine[0]["y"]
    assert [row["words"] for row in drawn.rows["answers"] if row["yours"]] == [
        "40 to 80 GB", "code", "5 token/s", "up to 10",
    ]  # fmt: skip
    assert mine[0]["model"].split(",")[0] in words.plain and words.plain.replace("**", "") in (
        drawn.alt
    )


def test_nothing_is_shown_faster_than_physics_allows():
    for row in choose_lab.tree(**DIALS).rows["leaves"]:
        assert row["slow"] <= row["speed"] <= row["high"] <= row["limit"] * (1 + 1e-9)


def test_scatter_keeps_its_look_and_marks_other_harnesses():
    asked = {"server": GUIDE, "benchmark": "livecodebench", "users": 1, "context_tokens": 8192}
    one = choose_scatter.score_chart(**asked, speed=5.0, memory=50)
    two = choose_scatter.score_chart(**{**asked, "users": 3}, speed=9.0, memory=200)
    assert one.spec == two.spec and one.rows != two.rows and one.signals == {"speed": 5.0}
    rows = {row["name"]: row for row in one.rows["models"]}
    assert rows["Yi-Coder-9B-Chat"]["alone"] and not rows["gpt-oss-20b"]["alone"]
    assert rows["Yi-Coder-9B-Chat"]["kind"] == choose_charts.KINDS[0]
    assert rows["gpt-oss-20b"]["kind"] == choose_charts.KINDS[1]
    assert "gpt-oss-20b" in one.alt


@pytest.mark.parametrize("server", [GUIDE, SPARK, CARDS])
def test_the_scatter_leaves_out_no_scored_model_that_fits(server):
    shown = choose_scatter.scored(server, "livecodebench", 8, 8192, 100e9)
    there = standings.standing(server, 8, 8192, standings.own_memory(server, 100e9))
    fitting = set(there.table["model_id"][there.fits])
    assert set(shown["model_id"]) == {
        model for model in fitting if load().models[model].score("livecodebench")
    }


def test_names_in_the_scatter_do_not_lie_on_each_other():
    models = choose_scatter.scored(GUIDE, "livecodebench", 1, 8192, 200e9)
    sides = choose_scatter.sides(models, 5.0)
    assert set(sides) <= {"left", "right", ""} and any(sides)
    named = models[np.array(sides) == "right"].sort_values("score")
    close = np.diff(named["score"]) / 100 * choose_charts.SCATTER[1] < 8
    assert all(
        a > 1.05 * b or b > 1.05 * a for a, b, near in
        zip(named["high"], named["high"][1:], close, strict=False) if near
    )  # fmt: skip


def test_all_ten_models_of_the_guide_are_compared():
    names = {choose_lab.name(model) for model in ranges.guide_models()}
    asked = {**DIALS, "benchmark": "livecodebench"}
    tables = [choose_tables.compared(**DIALS), choose_tables.here(**DIALS),
              *choose_tables.scores(**DIALS), choose_tables.sources(**asked)]  # fmt: skip
    for shown in tables:
        rows = cells(shown)
        assert names <= {row["Model"] for row in rows}
        assert "gpt-oss-20b" in {row["Model"] for row in rows}


def test_missing_scores_are_dashes_and_other_harnesses_are_marked():
    common, other = choose_tables.scores(**DIALS)
    rows = {row["Model"]: row for row in cells(common)}
    assert rows["CodeLlama-34b-Instruct-hf"]["LiveCodeBench"] == display.MISSING
    assert rows["Yi-Coder-9B-Chat"]["LiveCodeBench"] == "20.5 *"
    assert rows["Qwen2.5-Coder-32B"]["LiveCodeBench"] == "29.5"
    marked = {value for row in cells(other) for head, value in row.items() if head != "Model"}
    assert all(value == display.MISSING or value.endswith("*") for value in marked)


def test_every_situation_and_scenario_of_the_guide_is_answered():
    quick = cells(choose_lab.quick(GUIDE, 50, 5.0, 1, 8192))
    assert len(quick) == 6 and all(row["What decided"] for row in quick)
    advised, chosen = choose_tables.scenarios(GUIDE)
    assert {row["Scenario"][0] for row in cells(advised)} == set("1234")
    assert {row["Verdict"] for row in cells(advised)} <= {"too big", "too slow", "holds"}
    assert len(cells(chosen)) == len(cells(advised)) == len(decision_tree.SCENARIOS)


def test_the_answer_names_the_model_of_the_path():
    said = choose_tables.answer(**DIALS).plain
    mine = leaf()
    model = choose_lab.name(mine.there.columns["model_id"][mine.found.row])
    assert f"**{model}** in MXFP4" in said
    assert "No model is recommended" in choose_tables.answer(**{**DIALS, "speed": 199.0}).plain
