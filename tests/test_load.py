"""Load: one physics in both engines, searches that find the limit, and what a plan makes of it."""

import numpy as np
import pandas as pd
import pytest

from planner import (
    crowd,
    estimate,
    load,
    load_lab,
    plan,
    pressure,
    serving,
    simulation,
    sizing,
    team,
    under_load,
    workload,
)  # fmt: skip
from planner.demand import Users


def changed(base, part, **values):
    return base.model_copy(update={part: getattr(base, part).model_copy(update=values)})


def one_gpu(asked, model="Qwen/Qwen3-32B", device="h100-sxm", pool=30e9, engine="vllm"):
    row = pd.DataFrame([{"model_id": model, "device_id": device, "engine": engine,
                         "weight_format": "fp8", "tp": 1}])  # fmt: skip
    return serving.describe(estimate.replicas(row), np.array([pool]), asked)


@pytest.fixture(scope="module")
def assistant(records):
    return team.read("coding_assistant", records)


@pytest.fixture(scope="module")
def replica(assistant):
    served = one_gpu(assistant)
    return load.replica(served, 0, load.stream(assistant, 3000))


# ---- one physics -------------------------------------------------------------------------------


def test_the_step_table_is_the_step_law(assistant):
    served = one_gpu(assistant)
    engine = serving.engine(served, 0)
    for batch, context in ((1, 0.0), (7, 3000.0), (64, 9000.0), (256, 30_000.0)):
        law = estimate.decode_step_time(served.group, batch, context)[0]
        table = np.interp(context, engine.contexts, engine.step_time[batch - 1])
        assert table == pytest.approx(law, rel=5e-3)


def test_one_user_waits_for_prefill_and_steps_alone(assistant):
    served = one_gpu(assistant)
    stream = workload.independent(np.zeros(1), np.array([5000]), np.array([300]))
    requests, engine = serving.requests(served, 0, stream), serving.engine(served, 0)
    done = simulation.simulate(requests, engine)
    first = estimate.prefill_time(served.group, 5000.0)[0]
    assert done.first_token[0] == pytest.approx(first, rel=1e-9)
    steps = estimate.decode_step_time(served.group, 1, 5000.0 + np.arange(299)[None]).sum()
    assert done.finished[0] - done.first_token[0] == pytest.approx(steps, rel=5e-3)


@pytest.mark.parametrize("law", ["close", "wide", "few", "signs", "rising", "one"])
def test_quantiles_are_those_of_numpy(law):
    random = np.random.default_rng(5)
    values = {
        "close": 0.02 + 1e-12 * random.random(3000),
        "wide": np.exp(5 * random.normal(size=3000)),
        "few": random.integers(0, 4, 3000).astype(float),
        "signs": random.normal(size=3001),
        "rising": np.arange(50.0),
        "one": np.array([3.0]),
    }[law]
    shares = [0.0, 0.1, 0.5, 0.95, 0.97, 1.0]
    found, kept = load.quantiles(values, shares), values.copy()
    np.testing.assert_array_equal(values, kept)
    np.testing.assert_allclose(found, np.quantile(values, shares), rtol=1e-14)


def test_slots_of_llama_cpp_have_no_common_cache(assistant):
    served = one_gpu(assistant, engine="llama.cpp", pool=80e9)
    engine = serving.engine(served, 0)
    assert engine.blocks == 0 and engine.sharing == 1.0
    assert len(engine.step_time) == min(32, int(80e9 // serving.cache(
        served.group.profile, assistant.workload.context_tokens)[0]))  # fmt: skip


def test_a_slower_end_is_slower(assistant, replica):
    slow = load.replica(one_gpu(assistant), 0, replica.stream, 1.4, 1.3)
    assert slow.saturated < replica.saturated
    rate = 0.3 * slow.saturated
    assert slow.see(rate).ttft_p95 > replica.see(rate).ttft_p95
    assert slow.see(rate).tpot_p95 > 1.3 * replica.see(rate).tpot_p95


def test_above_the_stable_load_no_percentile_is_given(replica):
    seen = replica.see(0.95 * replica.saturated)
    assert np.isinf([seen.ttft_p50, seen.ttft_p95, seen.tpot_p99]).all()


# ---- the search --------------------------------------------------------------------------------


def test_the_search_finds_the_limit_that_a_scan_finds(assistant, replica):
    found = sizing.carried(replica, assistant, guess=0.5 * replica.saturated)
    rates = np.linspace(0.7, 1.3, 25) * found.rate
    kept = [sizing.broken(replica.see(rate), assistant)[0] <= 1 for rate in rates]
    scanned = rates[int(np.argmin(kept)) - 1] if not all(kept) else rates[-1]
    assert found.rate == pytest.approx(scanned, rel=0.05)
    assert sizing.broken(found.seen, assistant)[0] <= 1


@pytest.mark.parametrize("guess", [0.01, 5.0, np.nan])
def test_the_first_guess_hardly_matters(assistant, replica, guess):
    good = sizing.carried(replica, assistant, 0.6 * replica.saturated).rate
    assert sizing.carried(replica, assistant, guess * replica.saturated).rate == pytest.approx(
        good, rel=2 * sizing.TOLERANCE
    )


def test_a_limit_that_one_call_alone_misses_carries_nothing(assistant, replica):
    strict = changed(assistant, "slo", ttft_p99=0.01)
    found = sizing.carried(replica, strict)
    assert found.rate == 0 and found.binds == "ttft_p99"


def test_every_percentile_can_bind(assistant, replica):
    loose = changed(assistant, "slo", ttft_p95=1e3, tpot_p95=1e3)
    assert sizing.carried(replica, loose).binds == "headroom"
    for name, value in (("tpot_p50", 0.022), ("tpot_p99", 0.045), ("ttft_p50", 0.3)):
        asked = changed(loose, "slo", **{name: value})
        found = sizing.carried(replica, asked)
        assert found.binds == name
        assert 0 < found.rate < sizing.carried(replica, loose).rate


def test_users_who_wait_are_counted(assistant):
    asked = changed(assistant, "workload", arrivals=Users(kind="users", think_time=20.0))
    one = load.replica(one_gpu(asked), 0, load.stream(asked, 2500))
    found = sizing.carried(one, asked)
    assert found.load == round(found.load) and found.load > found.rate * 20
    seen = one.see_rate(0.5 * found.rate)
    assert seen.rate == pytest.approx(0.5 * found.rate, rel=0.1)


def test_both_engines_agree_where_the_closed_forms_are_trusted(planned):
    made = planned("support_chat")
    hosted = made.options[made.options["decided_by"] == "simulation"]
    closed = plan.plan(made.team, made.catalogue, simulate=False).options
    keys = [*sizing.KEYS, "sourcing", "server_id", "provider"]
    both = hosted.drop(columns="rate_closed").merge(closed, on=keys, suffixes=("", "_closed"))
    both = both[(both["rate"] > 0) & (both["rate_closed"] > 0) & (both["batch"] > 60)]
    error = (both["rate_closed"] / both["rate"] - 1).abs()
    assert len(error) > 20 and error.median() < 0.15


# ---- plans -------------------------------------------------------------------------------------


def test_what_is_recommended_was_simulated(planned):
    for name in ("coding_assistant", "guide_small_team"):
        made = planned(name)
        assert made.chosen["decided_by"] == "simulation"
        assert made.chosen["binds"] in under_load.BINDS and made.chosen["wall"] in under_load.WALLS
        distinct = made.options[made.options["decided_by"] == "simulation"]
        assert len(distinct.drop_duplicates(sizing.KEYS)) >= 15


def test_halving_a_limit_changes_the_purchase(planned, records):
    made = planned("coding_assistant")
    half = changed(made.team, "slo", ttft_p95=made.team.slo.ttft_p95 / 2)
    other = plan.plan(half, records)
    same = ["model_id", "weight_format", "server_id", "servers", "tp"]
    assert list(made.chosen[same]) != list(other.chosen[same])
    row = other.options.merge(made.chosen.to_frame().T[same].infer_objects(), on=same)
    assert row.empty or (row["rate"] < made.chosen["rate"]).all()


@pytest.fixture(scope="module")
def study(planned):
    return planned("coding_assistant").pressure


def test_the_study_of_a_choice_hangs_together(planned, study):
    made = planned("coding_assistant")
    assert study.rate_least <= study.rate <= study.rate_most
    assert study.rate == pytest.approx(made.chosen["rate"], rel=0.1)
    assert study.peak.ttft_p50 <= study.peak.ttft_p95 <= study.peak.ttft_p99
    middle = study.curve[study.curve["end"] == "middle"]
    slow = study.curve[study.curve["end"] == "slow"]
    assert (slow["tpot_p95"].to_numpy() >= middle["tpot_p95"].to_numpy()).all()
    levels = study.levels.set_index("factor")
    assert levels.loc[1.0, "kept"] and levels["utilisation"].is_monotonic_increasing
    assert levels["tpot_p95"].is_monotonic_increasing


def test_a_load_above_saturation_piles_up_and_drains(planned):
    made = planned("coding_assistant")
    one = sizing.one(made.chosen, made.team)
    level = pressure._level(one, made.team, 10.0, 1.0, one.see_rate(10.0))
    saturated = 10.0 / level["utilisation"]
    assert level["growth"] == pytest.approx(10.0 - saturated)
    assert level["queued"] == pytest.approx(3600 * (10.0 - saturated))
    assert np.isinf(level["ttft_p50"])


def test_a_failed_replica_is_felt_and_everybody_is_served(study):
    cases = study.outage.set_index("case")
    assert cases.loc["one fails", "tpot_p95"] > cases.loc["all", "tpot_p95"]
    assert cases.loc["random", "ttft_p99"] >= 0.9 * cases.loc["all", "ttft_p99"]
    assert cases.loc["all", "restarted"] == 0


def test_the_report_says_what_binds_and_why_so_many(planned):
    text = "".join(map(str, under_load.argument(planned("coding_assistant")).data.values()))
    for words in ("One replica carries", "within the limits", "saturates at", "N+1"):
        assert words in text, text
    assert "%" in str(under_load.levels(planned("coding_assistant")).data)


def test_a_trace_with_one_busy_hour_shows_a_p99_that_the_average_hides(planned, tmp_path, records):
    random = np.random.default_rng(7)
    quiet = np.sort(random.uniform(0, 10 * 3600, 1500))
    burst = np.sort(random.uniform(5 * 3600, 6 * 3600, 2500))
    times = np.sort(np.concatenate([quiet, burst]))
    rows = [f"{t:.2f},{p},{o}" for t, p, o in zip(
        times, workload.lengths(4000, 6000, 1.0, most=30_000),
        workload.lengths(4000, 400, 1.0, most=2000, seed=1), strict=True)]  # fmt: skip
    trace = tmp_path / "burst.csv"
    trace.write_text("\n".join(["timestamp,prompt_tokens,output_tokens", *rows]), "utf-8")
    text = (team.TEAMS / "coding_assistant.toml").read_text("utf-8")
    text = text.replace("[slo]", '[workload.arrivals]\nkind = "trace"\nfile = "burst.csv"\n\n[slo]')
    path = tmp_path / "bursts.toml"
    path.write_text(text, "utf-8")
    asked = team.read(path, records)
    option = planned("coding_assistant").chosen
    # twice the planned load: the average of the day is still far from saturation
    hours = pressure.day(option.replace({option["working"]: 0.5}), asked).set_index("hour")
    whole, calm = hours.loc[-1], hours.loc[2]
    assert hours["calls"].drop(-1).idxmax() == 5
    assert calm["ttft_p99"] < 10 and hours.loc[5, "ttft_p99"] > 3 * calm["ttft_p99"]
    assert whole["ttft_p99"] > 3 * whole["ttft_mean"]


def test_the_profile_of_a_day_is_shown_hour_by_hour(planned):
    made = planned("coding_assistant")
    hours = pressure.day(made.chosen, made.team)
    assert set(hours["hour"]) <= set(range(-1, 24))
    busy = hours.set_index("hour")
    assert busy.loc[10, "tpot_p95"] > busy.loc[7, "tpot_p95"]
    shown = load_lab.day("coding_assistant", 1.0)
    assert "Worst hour" in shown.alt and len(shown.rows["calls"]) == len(busy) - 1


# ---- the guide's table -------------------------------------------------------------------------


def test_the_guides_table_is_answered_for_all_ten_models(records):
    table = crowd.guide(records, users=(1, 5, 10))
    assert table["model_id"].nunique() == 10
    coder = table[table["model_id"] == "Qwen/Qwen2.5-Coder-32B-Instruct"].set_index("users")
    assert coder.loc[1, "claimed_speed"] == 10 and coder.loc[1, "speed_high"] < 2.4
    assert coder.loc[10, "response"] > 4 * coder.loc[10, "claimed_response"]
    answered = table[table["speed"].notna()]
    for _, rows in answered.groupby("model_id"):
        assert rows["response"].is_monotonic_increasing and rows["speed"].is_monotonic_decreasing
        assert rows["total"].is_monotonic_increasing and rows["memory"].is_monotonic_increasing
    refused = table[table["model_id"] == "deepseek-ai/DeepSeek-V3"]
    assert refused["speed"].isna().all() and refused["reason"].str.contains("does not fit").all()


def test_one_user_of_a_crowd_is_the_deployment_alone(records):
    table = crowd.crowd("Qwen/Qwen2.5-14B-Instruct", "guide_e5_64gb", users=(1,))
    group = estimate.replicas(pd.DataFrame([{
        "model_id": "Qwen/Qwen2.5-14B-Instruct", "device_id": "xeon-e5-2680-v4",
        "engine": "llama.cpp", "weight_format": "bf16", "sockets": 2,
    }]))  # fmt: skip
    step = estimate.decode_step_time(group, 1, crowd.PROMPT + 0.5 * crowd.OUTPUT)[0]
    assert table["speed"][0] == pytest.approx(1 / step, rel=0.02)
