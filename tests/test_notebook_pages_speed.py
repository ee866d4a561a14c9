"""The notebook on speed: its figures, its charts and its words."""

import json

import numpy as np
import pandas as pd
import pytest

from planner import display, estimate, ranges, speed_guide, speed_lab, steps_apart, survey, where

MODEL, BOX, HGX = "Qwen/Qwen2.5-Coder-32B-Instruct", "guide_e5_128gb", "hgx_h100_x8_2026"
MIXTURE = "Qwen/Qwen3-Coder-30B-A3B-Instruct"
HERE = (MODEL, HGX, "bf16", 2)
CONTEXT = 8000


def words(shown):
    return shown.data["text/markdown"]


def frame(drawing, name):
    return pd.DataFrame(drawing.rows[name])


@pytest.fixture(scope="module")
def everything():
    """Every guide model on every machine in every format and split."""
    return survey.survey(ranges.guide_models())


@pytest.mark.parametrize("place", [HERE, (MIXTURE, HGX, "fp8", 1), (MIXTURE, BOX, "q8_0", 1)])
def test_parts_of_a_step_add_up_and_none_is_negative(place):
    group = where.deployment(*place).group
    for batch in (1, 64):
        parts = steps_apart.decode_parts(group, batch, CONTEXT)
        step = estimate.decode_step_time(group, batch, CONTEXT)
        assert sum(parts.values())[0] == pytest.approx(step[0])
        assert all(part[0] >= -1e-12 for part in parts.values())
    assert (parts["communication"][0] > 0) == (place[3] > 1)


@pytest.mark.parametrize("batch", [1, 16, 256])
def test_no_rate_is_above_the_roof(everything, batch):
    group = everything.group
    bandwidth, peak, own = steps_apart.roof(group)
    assert (own <= peak).all()
    decode = steps_apart.decode_work(group, batch, CONTEXT)
    prompt = steps_apart.prefill_work(group, 100 * batch)
    times = (
        estimate.decode_step_time(group, batch, CONTEXT),
        estimate.prefill_time(group, 100 * batch),
    )
    known = group.reason == ""
    for (work, read), time in zip((decode, prompt), times, strict=True):
        roof = np.minimum(peak, bandwidth * work / read)
        assert (work / time <= roof * (1 + 1e-9))[known].all()


def test_work_of_one_token_by_hand():
    group = where.deployment(*HERE).group
    work, read = steps_apart.decode_work(group, 1, 0)
    assert work[0] == pytest.approx(2 * 31.98e9, rel=0.01)  # without the table of the inputs
    assert work[0] / read[0] == pytest.approx(1.0, rel=0.01)  # two operations per two bytes


def test_band_encloses_and_physics_bounds(everything):
    table = everything.at(8, 1000, CONTEXT)
    table = table[table["fits"]]
    assert (table["speed_low"] <= table["speed"]).all()
    assert (table["speed"] <= table["speed_high"] * (1 + 1e-9)).all()
    assert (table["speed_high"] <= table["speed_limit"] * (1 + 1e-9)).all()
    assert (table["ttft_limit"] <= table["ttft_low"]).all()
    assert (table["ttft_low"] <= table["ttft"]).all()


def test_some_rows_of_a_survey_answer_as_the_whole(everything):
    rows = np.array([5, 3, 5])
    some, whole = everything.take(rows).at(4, 700, 3000), everything.at(4, 700, 3000)
    for name in ("free_bytes", "speed_high", "ttft_low"):
        assert np.allclose(some[name], whole[name].to_numpy()[rows], equal_nan=True)


def test_users_are_shown_up_to_the_room():
    drawing = speed_lab.users_chart(*HERE, CONTEXT)
    one, every = frame(drawing, "one"), frame(drawing, "all")
    most = frame(drawing, "end")["users"][0]
    room = where.deployment(*HERE).at(1, context_tokens=CONTEXT)["sequences"].iloc[0]
    assert most == room == one["users"].max()
    assert one["middle"].is_monotonic_decreasing and every["middle"].is_monotonic_increasing
    assert np.allclose(every["limit"], one["limit"] * one["users"])


def test_first_token_of_a_longer_prompt_comes_later():
    curve = frame(speed_lab.prompt_chart(*HERE), "curve")
    assert curve["middle"].is_monotonic_increasing
    assert (curve["limit"] < curve["low"]).all()


def test_more_accelerators_are_faster_but_never_in_proportion():
    each = frame(speed_lab.splits_chart(MODEL, HGX, "bf16", 8, CONTEXT), "one")
    assert list(each["split"]) == [1, 2, 4, 8]
    assert each["words"][0] == "no room"
    fitting = each[each["fits"]]
    gain = fitting["middle"].to_numpy()[1:] / fitting["middle"].to_numpy()[:-1]
    assert ((gain > 1) & (gain < 2)).all()
    assert "not split" in speed_lab.splits_chart(MODEL, BOX, "bf16", 8, CONTEXT).caption


def test_machines_are_sorted_and_named_once():
    rows = frame(speed_lab.machines_chart(MODEL, 8, CONTEXT), "machines")
    assert rows["middle"].is_monotonic_decreasing
    assert rows["machine"].is_unique
    assert set(rows["kind"]) == {"accelerators", "unified memory", "processors"}


@pytest.mark.parametrize(
    "draw",
    [
        lambda c: speed_lab.users_chart(*HERE, c),
        lambda c: speed_lab.splits_chart(MODEL, HGX, "bf16", 8, c),
        lambda c: speed_lab.machines_chart(MODEL, 8, c),
        lambda c: speed_lab.roofline_chart(*HERE, 8, 1000, c),
        lambda c: speed_lab.parts_chart(*HERE, 8, c),
    ],
)
def test_a_slider_changes_rows_and_words_but_no_look(draw):
    short, long = draw(1000), draw(20000)
    assert short.spec == long.spec and short.rows != long.rows
    assert short.alt and long.caption
    json.dumps(short.rows, allow_nan=False)


def test_what_does_not_fit_has_no_curve_and_says_why():
    place = ("deepseek-ai/DeepSeek-V3", HGX, "fp8", 1)
    for drawing, name in (
        (speed_lab.users_chart(*place, CONTEXT), "one"), (speed_lab.prompt_chart(*place), "curve"),
    ):  # fmt: skip
        assert not drawing.rows[name] and "does not fit" in drawing.caption
    assert words(speed_lab.answer(*place, 8, 1000, CONTEXT)).startswith("**No speed:")


def test_the_guide_claims_more_than_physics_allows():
    claims = speed_guide.claims()
    assert len(claims) == 6 and set(claims.index) <= set(ranges.guide_models())
    impossible = claims[claims["low"] > claims["limit"]].index
    assert MODEL in impossible and MIXTURE not in impossible
    table = speed_guide.models_table(HGX, 8, 1000, CONTEXT).data[display.TABLE]
    assert len(table["rows"]) == 10
    assert table["rows"][3]["cells"][6]["text"] == "8 to 12"


def test_scenarios_table_has_the_four():
    table = speed_guide.scenarios_table().data[display.TABLE]
    assert [row["cells"][0]["text"] for row in table["rows"]] == list(where.scenarios()["scenario"])


def test_answer_names_the_limit():
    text = words(speed_lab.answer(*HERE, 8, 1000, CONTEXT))
    assert "each of 8 users" in text and "**memory-bound**" in text
    assert "runs 32 at once" in words(speed_lab.answer(MODEL, BOX, "q4_k_m", 1, 40, 1000, 1000))
