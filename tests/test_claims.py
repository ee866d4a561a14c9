"""Claims of the guide against physics, vendors and each other."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from planner import (
    catalogue,
    claim_money,
    claim_sizes,
    claim_speeds,
    claims,
    contradictions,
    language,
)
from planner.catalogue import Claim
from planner.verdicts import VERDICTS, agrees

CODER = "Qwen/Qwen2.5-Coder-32B-Instruct"
FIGURES = Path(__file__).parent / "guide_figures.csv"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def claim(metric, low, high=None, **fields):
    high = low if high is None else high
    fixed = {"id": f"text.{metric}", "unit": "GB", "source": "text", "source_date": "2024"}
    return Claim(metric=metric, low=low, high=high, where="here", **fixed | fields)


@pytest.fixture(scope="module")
def verdicts(records):
    return claims.audit(records).set_index("id")


@pytest.fixture(scope="module")
def figures():
    with FIGURES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -- every figure of the guide ---------------------------------------------------------------------


def test_every_figure_of_the_guide_is_a_claim_or_says_why_not(figures, records):
    known = {claim.id for claim in records.claims}
    assert len(figures) > 230
    for row in figures:
        assert bool(row["claim"]) != bool(row["no_claim"]), row
        assert set(row["claim"].split()) <= known, row
    assert len([row for row in figures if not row["claim"]]) < 20


def test_every_claim_stands_in_the_guide(figures, records):
    assert {claim.id for claim in records.claims} == {
        name for row in figures for name in row["claim"].split()
    }


def numbers(text):
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def test_every_figure_is_in_its_claim(figures, records):
    """As its value, or as a condition of it."""
    by_id = {claim.id: claim for claim in records.claims}
    for row in figures:
        for name in row["claim"].split():
            one = by_id[name]
            fields = (one.low, one.high, one.users, one.context_tokens, one.output_tokens)
            said = [float(value) for value in fields if value is not None]
            said += numbers(one.conditions) + numbers(one.value_text)
            scale = {"K": 1000, "10,000 calls": 1e4}.get(row["unit"], 1)
            for number in numbers(row["figure"]):
                close = [abs(scale * number - other) <= 0.025 * other for other in said]
                assert any(close) if row["unit"] == "K" else scale * number in said, row


def test_the_extract_holds_no_sentences(figures):
    for row in figures:
        assert all(text.isascii() for text in row.values()), row
        assert len(row["figure"]) < 12 and len(row["section"]) < 32


# -- verdicts --------------------------------------------------------------------------------------


def test_every_claim_has_a_verdict_a_reason_and_a_better_source(verdicts):
    assert set(verdicts["verdict"]) <= set(VERDICTS)
    assert (verdicts["reason"].str.len() > 0).all()
    assert (verdicts["better_source"].str.len() > 0).all()
    assert set(verdicts["kind"]) == set(claims.KINDS)


def test_only_prices_of_used_servers_stay_unchecked(verdicts):
    unchecked = verdicts[verdicts["verdict"] == "not checked"]
    assert set(unchecked["metric"]) == {"price"} and len(unchecked) == 3
    assert unchecked["reason"].str.contains("no dated offer").all()


def test_whatever_is_judged_has_a_better_value(verdicts):
    judged = verdicts[verdicts["verdict"] != "not checked"]
    known = judged["predicted"].notna() | (judged["predicted_text"] != "")
    assert known.all(), judged[~known].index.tolist()
    assert (judged["predicted_low"].dropna() <= judged["predicted"].dropna() + 1e-9).all()
    assert (judged["predicted_high"].dropna() >= judged["predicted"].dropna() - 1e-9).all()


def test_the_factor_is_claimed_over_computed(verdicts):
    row = verdicts.loc["guide.coder32b.decode_tok_s"]
    assert row["factor"] == pytest.approx(10 / row["predicted"])


def test_the_guides_speed_of_a_dense_32b_is_excluded_by_physics(verdicts):
    row = verdicts.loc["guide.coder32b.decode_tok_s"]
    assert row["verdict"] == "impossible"
    assert (row["claimed_low"], row["claimed_high"]) == (8, 12)
    assert 2.2 < row["limit"] < 2.5  # 2 x 76.8 GB/s over 64 GB
    assert row["predicted"] < row["limit"]


def test_deepseek_v3_does_not_fit_where_the_guide_puts_it(verdicts):
    assert verdicts.loc["guide.v3.memory_gb.bf16", "verdict"] == "impossible"
    assert verdicts.loc["guide.v3.memory_gb.bf16", "limit"] == pytest.approx(1342, rel=0.01)
    assert verdicts.loc["guide.v3.needs_gb", "verdict"] == "impossible"


EXPECTED = {
    "consistent": [
        "guide.v3.parameters", "guide.coder30b.active_parameters", "guide.yi.memory_gb",
        "guide.coder30b.experts", "guide.coder30b.active_ratio", "guide.air.license",
        "guide.lite.score_humaneval", "guide.general.memory_saving.int8",
        "guide.lite.tok_s_per_user.1users", "guide.lite.fits_gb.team-B", "guide.general.clock_ghz",
        "guide.q72b.context", "guide.general.price.gpt4",
    ],
    "off": [
        "guide.coder30b.release_date", "guide.coder30b.context", "guide.coder30b.modes",
        "guide.lite.programming_languages", "guide.q72b.score_gsm8k", "guide.lite.score_mbpp",
        "guide.general.quality_loss.awq", "guide.lite.response_s.5users",
        "guide.coder32b.monthly_cost", "guide.q72b.fits_gb.performance",
    ],
    "contradicts itself": [
        "guide.general.api_cost_per_year.gpt4", "guide.general.break_even_calls_per_day",
        "guide.general.memory_saving.awq-scenario", "guide.coder32b.fits_gb.tree-40-80",
    ],
    "impossible": [
        "guide.general.updated", "guide.general.cores", "guide.coder32b.fits_gb.single-developer",
        "guide.coder32b.disk_gb", "guide.coder32b.response_s.10users",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("verdict", "name"), [(v, n) for v, names in EXPECTED.items()
                                               for n in names])  # fmt: skip
def test_verdicts(verdicts, verdict, name):
    assert verdicts.loc[name, "verdict"] == verdict, verdicts.loc[name, "reason"]


def test_what_is_impossible_lies_beyond_the_limit(verdicts):
    rows = verdicts[(verdicts["verdict"] == "impossible") & verdicts["limit"].notna()]
    most = rows["metric"].isin(["decode_tok_s", "tok_s_per_user", "cores"])
    beyond = np.where(
        most, rows["claimed_low"] > rows["limit"], rows["claimed_high"] < rows["limit"]
    )
    assert beyond.all() and len(rows) > 40


def test_claims_of_some_models_and_metrics_only(records):
    some = claims.audit(records, (CODER,), ("memory_gb",))
    assert set(some["model_id"]) == {CODER} and set(some["metric"]) == {"memory_gb"}
    assert "claims:" in claims.text(some)


def test_counts_add_up(verdicts):
    counts = claims.counts(verdicts.reset_index())
    assert list(counts["kind"]) == list(claims.KINDS)
    assert counts["claims"].sum() == len(verdicts)
    assert (counts[list(VERDICTS)].sum(axis=1) == counts["claims"]).all()


# -- against measurements --------------------------------------------------------------------------


def measured(metric):
    rows = pd.read_csv(catalogue.DATA / "measurements" / "speed.csv", dtype={"engine_version": str})
    return rows[rows["metric"] == metric]


def test_no_measured_speed_of_a_cpu_is_called_impossible(records):
    rows = measured("decode_tok_s_per_seq")
    kinds = rows["device_id"].map(lambda name: records.devices[name].kind)
    alone = rows["concurrency"].fillna(1) == 1
    rows = rows[(kinds == "cpu") & alone & rows["weight_format"].isin(list(records.formats))]
    found = []
    for row in rows.itertuples():
        depth = row.depth if row.depth == row.depth else row.input_tokens
        made = claim(
            "decode_tok_s", row.value, unit="tok/s", model_id=row.model_id, device=row.device_id,
            sockets=int(row.sockets) if row.sockets == row.sockets else 1,
            weight_format=row.weight_format, context_tokens=int(max(depth, 1)) if depth > 0 else 1,
        )  # fmt: skip
        found.append(claim_speeds.decode(made, records).verdict)
    assert len(found) > 20 and "impossible" not in found
    assert np.mean([verdict == "consistent" for verdict in found]) > 0.6


def test_no_measured_weights_are_called_impossible(records):
    rows = pd.read_csv(catalogue.DATA / "measurements" / "memory.csv")
    whole = rows["metric"].eq("weights_gib_total") | (
        rows["metric"].eq("weights_gib_per_device") & rows["n_devices"].eq(1)
    )
    rows = rows[whole & rows["weight_format"].isin(["bf16", "awq-int4", "gptq-int4"])]
    # llama.cpp keeps the part that sees pictures in a file of its own
    text = rows["model_id"].map(lambda name: not records.models[name].vision_parameters)
    for row in rows[text].itertuples():
        size = row.value * 2**30 / 1e9
        made = claim("memory_gb", size, model_id=row.model_id, weight_format=row.weight_format)
        assert claim_sizes.memory(made, records).verdict != "impossible", row.id
    assert text.sum() > 20


def test_the_gain_of_a_format_is_below_what_was_measured_at_best(records, verdicts):
    """Qwen2.5-32B on one A100: AWQ over BF16 with vLLM gains more than the guide says, too."""
    rows = measured("decode_tok_s_per_seq")
    rows = rows[(rows["model_id"] == "Qwen/Qwen2.5-32B-Instruct") & (rows["engine"] == "vllm")]
    speeds = rows.groupby("weight_format")["value"].max()
    gain = 100 * (speeds["awq-int4"] / speeds["bf16"] - 1)
    row = verdicts.loc["guide.general.speed_gain.awq"]
    assert row["claimed_high"] < gain and row["verdict"] == "off"


# -- the checks by hand ----------------------------------------------------------------------------


def test_more_users_and_context_need_more(records):
    one = claim_sizes.parts(CODER, "bf16", 1, 4096)
    many = claim_sizes.parts(CODER, "bf16", 10, 16384)
    assert one[0] == many[0] == pytest.approx(65.5e9, rel=1e-3)
    assert one[1] == pytest.approx(4096 * 2 * 64 * 8 * 128 * 2)  # tokens, K and V, layers, heads
    assert many[1] == pytest.approx(40 * one[1]) and many[2] >= one[2]


@pytest.mark.parametrize(
    ("memory", "verdict"), [(60, "impossible"), (70, "off"), (90, "consistent")]
)
def test_memory_that_holds_a_model(records, memory, verdict):
    made = claim("fits_gb", memory, model_id=CODER, weight_format="bf16")
    assert claim_sizes.fits(made, records).verdict == verdict


def test_without_a_format_nothing_is_impossible(records):
    made = claim("memory_gb", 20, model_id=CODER)
    assert claim_sizes.memory(made, records).verdict == "off"
    made = claim("memory_gb", 20, model_id=CODER, weight_format="bf16")
    assert claim_sizes.memory(made, records).verdict == "impossible"


def test_a_claim_without_a_machine_or_a_check_is_not_checked(records):
    assert (
        claim_speeds.decode(claim("decode_tok_s", 5, model_id=CODER), records)[0] == "not checked"
    )
    odd = replace(records, claims=(claim("stars", 5),))
    assert claims.audit(odd)["verdict"].tolist() == ["not checked"]


def test_owning_costs_more_than_the_price_over_its_months(records):
    found = claim_money.outlay("guide_e5_128gb", CODER, records)
    middle, low, high = found["total"]
    assert 15000 < low < middle < high  # even where the server is bought at half the price
    assert 100 < found["per_day"] < 1000


def test_an_api_call_by_hand(records):
    # 500 prompt tokens at 0.03 and 300 answer tokens at 0.06 USD per thousand
    assert claim_money.call_price("gpt4", records) == pytest.approx(0.015 + 0.018)


def test_ranges_that_touch_agree():
    made = claim("memory_gb", 10, 12)
    assert agrees(made, 11, 30) and agrees(made, 12.5, 30) and not agrees(made, 13, 30)


# -- contradictions --------------------------------------------------------------------------------


def contradicting(records, *some):
    return contradictions.found(replace(records, claims=some))["rule"].tolist()


def test_one_quantity_with_two_values(records):
    first = claim("memory_saving", 70, id="a", weight_format="awq-int4", unit="%")
    other = first.model_copy(update={"id": "b", "low": 40.0, "high": 40.0})
    same = first.model_copy(update={"id": "b", "low": 71.0, "high": 71.0})
    apart = other.model_copy(update={"weight_format": "gptq-int4"})
    elsewhere = other.model_copy(update={"source": "another text"})
    assert contradicting(records, first, other) == ["one quantity, two values"]
    for fine in (same, apart, elsewhere):
        assert contradicting(records, first, fine) == []


def test_time_against_speed(records):
    where = {"model_id": CODER, "server": "guide_e5_128gb"}
    speed = claim("decode_tok_s", 10, unit="tok/s", **where)
    first = claim("ttft_s", 2, unit="s", **where)
    good, bad = (claim("task_s", t, unit="s", output_tokens=100, **where) for t in (12, 10))
    assert contradicting(records, speed, first, good) == []
    assert contradicting(records, speed, first, bad) == ["time and speed"]


def test_parameters_against_memory(records):
    count = claim("parameters", 32, unit="1e9", model_id=CODER, id="count")
    sizes = [claim("memory_gb", s, model_id=CODER, weight_format="bf16") for s in (64, 45)]
    assert contradicting(records, count, sizes[0]) == []
    assert contradicting(records, count, sizes[1]) == ["smaller than its parameters"]


def test_a_month_against_the_price(records):
    price = claim("price", 15000, server="guide_e5_128gb", unit="CNY")
    good, bad = (claim("monthly_cost", m, server="guide_e5_128gb", unit="CNY/month")
                 for m in (417, 222))  # fmt: skip
    assert contradicting(records, price, good) == []
    assert contradicting(records, price, bad) == ["price and rate"]


def test_enough_and_needed_memory(records):
    enough = claim("fits_gb", 40, model_id=CODER, weight_format="bf16")
    needed = claim("needs_gb", 50, model_id=CODER, weight_format="bf16")
    assert contradicting(records, enough, needed) == ["enough and needed memory"]
    assert contradicting(records, enough.model_copy(update={"low": 50.0}), needed) == []


def test_the_guides_contradictions_are_found(records):
    found = contradictions.found(records)
    quiet = {"price and rate"}  # its months and years do add up to its prices
    assert set(found["rule"]) == set(contradictions.RULES) - quiet


def test_a_contradiction_leaves_better_verdicts_alone(verdicts):
    rows = verdicts[verdicts["contradicts"].str.len() > 0]
    assert {"impossible", "contradicts itself", "consistent"} <= set(rows["verdict"])
    assert not set(rows["verdict"]) & {"off", "not checked"}
    alone = verdicts[verdicts["contradicts"].str.len() == 0]
    assert "contradicts itself" not in set(alone["verdict"])


def test_verdicts_are_kept_for_one_catalogue_only(records, verdicts):
    name = verdicts.index[(verdicts["verdict"] == "consistent") & (verdicts["unit"] == "GB")][0]
    changed = [
        one.model_copy(update={"low": 9 * one.low, "high": 9 * one.high}) if one.id == name else one
        for one in records.claims
    ]
    other = claims.audit(replace(records, claims=tuple(changed))).set_index("id")
    assert other["verdict"][name] != "consistent"
    assert claims.audit(records)["verdict"].tolist() == verdicts["verdict"].tolist()


def test_verdicts_are_kept_in_the_language_they_are_asked_in(records, verdicts):
    with language.speaking("zh"):
        chinese = claims.audit(records)["reason"]
    assert chinese.map(language.is_chinese).any()
    assert claims.audit(records)["reason"].tolist() == verdicts["reason"].tolist()
