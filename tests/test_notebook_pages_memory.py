"""The notebook on memory: its figures, its charts and its words."""

import json

import numpy as np
import pytest

from planner import display, memory_charts, memory_guide, memory_lab, ranges, survey, where

MODEL, BOX, HGX = "Qwen/Qwen2.5-Coder-32B-Instruct", "guide_e5_128gb", "hgx_h100_x8_2026"
HERE = (MODEL, BOX, "bf16", 1)
LIMIT = 2000.0  # no limit [GB]


def words(shown):
    return shown.data["text/markdown"]


def rows(drawing, name):
    return drawing.rows[name]


@pytest.mark.parametrize("users", [1, 8, 200])
@pytest.mark.parametrize("place", [HERE, (MODEL, HGX, "bf16", 2), (MODEL, HGX, "bf16", 1)])
def test_waterfall_adds_up_to_what_the_survey_says(place, users):
    context = 8000
    row = rows(memory_lab.fill_chart(*place, context, LIMIT), "parts")[0]
    free = row["memory"] - row["weights"] - row["engine"] - users * row["one"]
    whole = where.deployment(*place).at(users, context_tokens=context).iloc[0]
    assert free == pytest.approx(whole["free_bytes"] / 1e9)
    assert row["installed"] >= row["memory"]


def test_cache_of_a_user_by_hand():
    # 64 layers, 8 key-value heads of 128, keys and values in two bytes
    row = rows(memory_lab.fill_chart(*HERE, 1000, LIMIT), "parts")[0]
    assert row["one"] == pytest.approx(64 * 8 * (128 + 128) * 2 * 1000 / 1e9)


def test_memory_limit_binds_processors_only():
    open_box = rows(memory_lab.fill_chart(*HERE, 8000, LIMIT), "parts")[0]
    tight = rows(memory_lab.fill_chart(*HERE, 8000, 100.0), "parts")[0]
    assert tight["memory"] < open_box["memory"] - 30
    card = (MODEL, HGX, "bf16", 1)
    assert (
        memory_lab.fill_chart(*card, 8000, 16.0).rows
        == memory_lab.fill_chart(*card, 8000, LIMIT).rows
    )


def test_users_with_room_halve_where_the_context_doubles():
    curve = memory_lab.contexts(MODEL, HGX, "bf16", 4)
    assert curve["sequences"].is_monotonic_decreasing
    tokens = curve["sequences"] * curve["context"]
    assert (tokens + curve["context"] > 0.999 * tokens.max()).all()  # one more has no room


def test_point_at_the_dials_lies_on_the_curve():
    drawing = memory_lab.room_chart(*HERE, 8000, LIMIT)
    point = rows(drawing, "now")[0]
    near = [r["sequences"] for r in rows(drawing, "curve") if 7000 < r["context"] < 9000]
    assert min(near) <= point["sequences"] <= max(near) + 1
    assert f"room for {point['sequences']}" in drawing.alt


def test_nothing_fits_and_the_page_says_so():
    place = ("deepseek-ai/DeepSeek-V3", HGX, "fp8", 1)
    drawing = memory_lab.room_chart(*place, 8000, LIMIT)
    assert not rows(drawing, "curve") and "missing" in drawing.caption
    assert words(memory_lab.answer(*place, 8, 8000, LIMIT)).startswith("**No:")
    assert "awq-int4 on each of 8" in words(memory_lab.answer(*place, 8, 8000, LIMIT))


def test_model_that_runs_nowhere_is_refused_in_words():
    with pytest.raises(ValueError, match="no weight format"):
        where.deployment("microsoft/bitnet-b1.58-2B-4T", HGX, "ternary", 1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda c: memory_lab.fill_chart(*HERE, c, LIMIT),
        lambda c: memory_lab.room_chart(*HERE, c, LIMIT),
        lambda c: memory_lab.heat_map(BOX, 1, 8, c, LIMIT, MODEL, "bf16"),
        lambda c: memory_lab.machines_chart(MODEL, 8, c, LIMIT),
        memory_guide.claims_chart,
    ],
)
def test_a_slider_changes_rows_and_words_but_no_look(draw):
    short, long = draw(1000), draw(20000)
    assert short.spec == long.spec and short.rows != long.rows
    assert short.alt and long.caption
    json.dumps(short.rows, allow_nan=False)


def test_all_models_of_the_guide_are_on_the_heat_map_and_one_more():
    other = "Qwen/Qwen3-8B"
    cells = rows(memory_lab.heat_map(HGX, 1, 8, 8000, LIMIT, other, "fp8"), "cells")
    assert len({cell["model"] for cell in cells}) == len(ranges.guide_models()) + 1
    assert [cell["format"] for cell in cells if cell["current"]] == ["fp8"]
    assert {cell["stands"] for cell in cells} == set(memory_charts.STANDS)


def test_every_machine_is_shown_once_and_those_that_fit_come_first():
    best = memory_lab.machines(MODEL, 8, 8000, LIMIT)
    assert best["machine"].is_unique
    assert best["fits"].is_monotonic_decreasing
    assert set(survey.survey((MODEL,)).table["device_id"]) == set(best["device_id"])


def test_formats_save_what_their_bits_say():
    stored = memory_guide.weights(MODEL)
    assert stored["bf16"] == pytest.approx(2 * 32.76e9, rel=0.002)
    assert stored["q8_0"] / stored["bf16"] == pytest.approx(8.5 / 16, rel=0.002)
    saved = 1 - stored["int8-w8a8"] / stored["bf16"]
    assert 0.44 < saved < 0.5  # embeddings stay wide
    table = memory_guide.formats_table(MODEL).data[display.TABLE]
    strong = [row for row in table["rows"] if row["emphasis"] == "strong"]
    assert [row["cells"][0]["text"] for row in strong] == ["BF16"]


def test_claims_of_the_guide_against_the_weights():
    claims = memory_guide.claims().set_index("model_id")
    assert list(claims.index) == list(ranges.guide_models())
    assert (
        claims.loc["deepseek-ai/DeepSeek-V3", "bf16"]
        > 16 * claims.loc["deepseek-ai/DeepSeek-V3", "high"]
    )
    assert (claims["int4"] < claims["int8"]).all() and (claims["int8"] < claims["bf16"]).all()


def test_the_four_scenarios_are_answered():
    table = where.scenarios()
    assert list(table["scenario"]) == ["One developer", "Small team", "Performance", "Limited"]
    assert list(table["users"]) == [5, 10, 8, 8]
    assert np.allclose(table["allowed"] - table["need"], table["free"])
    for row in table[table["format"] != "none"].itertuples():
        assert row.room >= row.users
    assert not table["fits"].any()
    text = words(memory_lab.answer(*HERE, 8, 8000, LIMIT))
    assert text.startswith("**Yes: Qwen2.5-Coder-32B-Instruct in bf16 fits")
    assert "**4 of its 4 scenarios**" in text
