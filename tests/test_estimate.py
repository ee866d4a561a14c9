"""Deployments to figures: floors, monotony, broken rows, and the server that started it all."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import bands, cases, catalogue, estimate
from planner.coefficients import PATH, load

RECORDS = catalogue.load()
MODELS = ["Qwen/Qwen3-32B", "meta-llama/Llama-3.1-8B-Instruct", "deepseek-ai/DeepSeek-V3",
          "openai/gpt-oss-120b", "google/gemma-3-27b-it", "Qwen/Qwen3-30B-A3B"]  # fmt: skip
DUAL_E5 = {
    "model_id": "Qwen/Qwen2.5-Coder-32B-Instruct", "device_id": "xeon-e5-2680-v4",
    "engine": "llama.cpp", "weight_format": "bf16", "sockets": 2,
}  # fmt: skip


def one(**deployment):
    return estimate.replicas(pd.DataFrame([deployment]))


def test_dual_e5_cannot_serve_a_32b_model_in_sixteen_bits():
    group = one(**DUAL_E5)
    speed = 1 / estimate.decode_step_time(group, 1, 0)[0]
    fastest = 1 / estimate.decode_step_time(group.ideal(), 1, 0)[0]
    assert 0.7 < speed < 1.5
    assert fastest == pytest.approx(2.40, abs=0.02)  # 2 x 76.8 GB/s over 64.0 GB
    _low, high = bands.band("decode", "cpu", "llama.cpp", "xeon-e5-2680-v4")
    assert speed * high < 2.3


def test_threads_default_to_every_core():
    blank, stated = (one(**DUAL_E5, threads=n) for n in (0, 28))
    assert blank.hardware["threads"] == stated.hardware["threads"] == 28
    few = one(**DUAL_E5, threads=2)
    assert estimate.decode_step_time(few, 1, 0) > estimate.decode_step_time(blank, 1, 0)


def test_a_second_socket_helps_less_than_twice():
    single = one(**{**DUAL_E5, "sockets": 1})
    gain = estimate.decode_step_time(single, 1, 0) / estimate.decode_step_time(one(**DUAL_E5), 1, 0)
    assert 1 < gain[0] < 2


def test_unknown_rows_carry_a_reason_and_do_not_stop_others():
    table = pd.DataFrame(
        {
            "model_id": ["Qwen/Qwen3-32B", "nobody/nothing", "Qwen/Qwen3-32B", "Qwen/Qwen3-32B"],
            "device_id": ["h100-sxm", "h100-sxm", "abacus", "h100-sxm"],
            "weight_format": ["fp8", "fp8", "fp8", "no-such-format"],
        }
    )
    group = estimate.replicas(table)
    assert group.reason[0] == ""
    assert "nobody/nothing" in group.reason[1]
    assert "abacus" in group.reason[2]
    assert "no-such-format" in group.reason[3]
    step = estimate.decode_step_time(group, 1, 1000)
    np.testing.assert_array_equal(np.isfinite(step), [True, False, False, False])


def test_a_trailing_axis_gives_one_column_per_batch():
    table = pd.DataFrame({"model_id": MODELS, "device_id": "h200-sxm", "weight_format": "fp8",
                          "tp": 8})  # fmt: skip
    group = estimate.replicas(table)
    batches = np.array([1, 8, 64])
    wide = estimate.decode_step_time(group, batches[None, :], 2000)
    for column, batch in enumerate(batches):
        np.testing.assert_allclose(wide[:, column], estimate.decode_step_time(group, batch, 2000))
    prompts = estimate.prefill_time(group, np.array([[100, 10_000]]))
    assert prompts.shape == (6, 2)
    assert (np.diff(prompts, axis=1) > 0).all()


def test_a_hundred_thousand_deployments_in_seconds():
    table = pd.DataFrame(
        {"model_id": MODELS, "device_id": "h100-sxm", "weight_format": "fp8", "tp": 4}
    )
    table = pd.concat([table] * 5000, ignore_index=True)
    start = time.perf_counter()
    estimate.decode_step_time(estimate.replicas(table), 16, 2000)
    assert time.perf_counter() - start < 3


deployments = st.fixed_dictionaries(
    {
        "model_id": st.sampled_from(MODELS),
        "device_id": st.sampled_from(sorted(RECORDS.devices)),
        "engine": st.sampled_from(["vllm", "sglang", "tensorrt-llm", "llama.cpp", "ik_llama.cpp"]),
        "weight_format": st.sampled_from(["bf16", "fp8", "awq-int4", "q4_k_m", "iq4_xs", "q8_0"]),
        "tp": st.sampled_from([1, 2, 8]),
        "sockets": st.sampled_from([1, 2]),
    }
)


@settings(max_examples=120, deadline=None)
@given(deployments, st.integers(1, 300), st.integers(0, 30_000))
def test_nothing_is_faster_than_physics(deployment, batch, context):
    group = one(**deployment)
    model, part = group.profile, group.hardware
    units = part["tensor_parallel"] * part["sockets"]
    routed = model.expert_bytes * (1 - (1 - model.experts_per_token / model.experts) ** batch)
    cache = context * model.kv_bytes + np.minimum(context, model.window) * model.sliding_bytes
    read = (model.dense_bytes + routed) / units + batch * cache / part["sockets"]
    step = estimate.decode_step_time(group, batch, context)
    if not np.isfinite(step[0]):
        return
    assert step[0] >= read[0] / part["bandwidth"][0] * (1 - 1e-6)
    active = model.expert_parameters * model.experts_per_token / model.experts
    work = 2 * batch * (model.dense_parameters + active) / part["tensor_parallel"]
    assert step[0] >= (work / part["ceiling_peak"])[0] * (1 - 1e-6)
    more = estimate.decode_step_time(group, batch + 1, context)
    assert more[0] >= step[0] * (1 - 1e-9)


CASES = pd.DataFrame(
    {
        "model_id": "Qwen/Qwen3-32B", "device_id": "h100-sxm", "engine": "vllm",
        "weight_format": "fp8", "tp": "2", "n_devices": "2", "input_tokens": "1024",
        "output_tokens": "512", "concurrency": "16",
        "metric": ["tpot_ms", "ttft_ms", "ttft_ms_p50", "ttft_ms_p99", "output_tok_s_total",
                   "total_tok_s", "req_s", "decode_tok_s_per_seq", "prefill_tok_s"],
    }
)  # fmt: skip


def test_every_speed_metric_is_answered_within_its_band():
    answers = cases.answer(CASES)
    assert (answers["status"] == "ok").all(), answers["reason"].tolist()
    assert (answers["low"] <= answers["predicted"]).all()
    assert (answers["predicted"] <= answers["high"]).all()
    by = answers.set_index("metric")["predicted"]
    assert by["ttft_ms_p50"] < by["ttft_ms"] < by["ttft_ms_p99"]
    assert by["total_tok_s"] == pytest.approx(3 * by["output_tok_s_total"])
    assert by["output_tok_s_total"] == pytest.approx(512 * by["req_s"])
    assert by["decode_tok_s_per_seq"] == pytest.approx(1000 / by["tpot_ms"])


def test_memory_metrics_are_answered():
    row = {"model_id": "meta-llama/Llama-3.1-8B-Instruct", "device_id": "h100-sxm",
           "engine": "vllm", "engine_version": "0.19.0", "weight_format": "bf16", "tp": "1",
           "max_model_len": "8192", "gpu_mem_util": "0.95"}  # fmt: skip
    metrics = ["weights_gib_per_device", "kv_cache_gib_per_device", "max_concurrency", "oom",
               "activation_gib", "non_torch_gib", "cuda_graph_gib", "kv_cache_tokens"]  # fmt: skip
    answers = cases.answer(pd.DataFrame([row | {"metric": m} for m in metrics]))
    by = answers.set_index("metric")["predicted"]
    assert by["weights_gib_per_device"] == pytest.approx(14.99, rel=0.01)
    assert by["kv_cache_gib_per_device"] == pytest.approx(58.1, rel=0.02)
    assert by["oom"] == 0
    assert (answers["status"] == "ok").all()


@pytest.mark.parametrize(
    "change",
    [
        {"model_id": "nobody/nothing"}, {"device_id": ""}, {"metric": "beauty"}, {"metric": ""},
        {"input_tokens": "many"}, {"output_tokens": ""}, {"weight_format": "???"},
        {"tp": "three"}, {"concurrency": "-4"}, {"n_devices": "1e9"}, {"engine": ""},
        {"metric": "kv_cache_mib"}, {"metric": "oom", "device_id": ""}, {"request_rate": "1000"},
        {"kv_dtype": "nonsense"},
    ],
)  # fmt: skip
def test_a_broken_row_never_stops_the_others(change):
    good = CASES.iloc[0].to_dict()
    answers = cases.answer(pd.DataFrame([good, good | change, good]).fillna(""))
    assert answers["status"].iloc[0] == answers["status"].iloc[2] == "ok"
    broken = answers.iloc[1]
    assert broken["status"] == "ok" or len(broken["reason"]) > 10
    assert np.isfinite(broken["predicted"]) == (broken["status"] == "ok")


def test_no_columns_beyond_the_metric():
    answers = cases.answer(pd.DataFrame({"metric": ["tpot_ms", "oom"]}))
    assert (answers["status"] == "unanswered").all()
    assert (answers["reason"].str.len() > 10).all()
    assert len(cases.answer(CASES.iloc[:0])) == 0


def test_the_answer_does_not_read_the_value():
    rows = cases.answer(CASES.assign(value="1"))
    np.testing.assert_array_equal(rows["predicted"], cases.answer(CASES)["predicted"])
    assert rows["error_pct"].notna().all()


def test_numbers_and_text_are_read_alike():
    number = CASES.assign(tp=2, n_devices=2, input_tokens=1024, output_tokens=512.0, concurrency=16)
    pd.testing.assert_series_equal(
        cases.answer(number)["predicted"], cases.answer(CASES)["predicted"]
    )


def test_a_low_rate_of_arrivals_is_as_good_as_being_alone():
    slow = CASES.iloc[[0]].assign(concurrency="", request_rate="0.001")
    alone = CASES.iloc[[0]].assign(concurrency="1")
    ratio = cases.answer(slow)["predicted"] / cases.answer(alone)["predicted"]
    assert ratio.iloc[0] == pytest.approx(1, rel=0.01)


def test_bands_widen_for_devices_that_were_not_measured():
    for metric in ("tpot_ms", "ttft_ms", "decode_tok_s_per_seq", "prefill_tok_s"):
        for kind, engine in (("gpu", "vllm"), ("cpu", "llama.cpp"), ("apu", "llama.cpp")):
            low, high = bands.band(metric, kind, engine, True)
            wide_low, wide_high = bands.band(metric, kind, engine, False)
            assert wide_low <= low < 1 < high <= wide_high
    assert bands.band("tpot_ms", "gpu", "vllm", "h100-sxm") == bands.band(
        "tpot_ms", "gpu", "vllm", True
    )
    with pytest.raises(ValueError, match="use one of"):
        bands.band("beauty", "gpu", "vllm", True)


def test_the_law_reads_the_constants_file():
    stored = pd.read_csv(PATH, keep_default_na=False)
    assert len(stored) <= 70
    np.testing.assert_array_equal(load().values, stored["value"])
    group = one(model_id="Qwen/Qwen3-32B", device_id="h100-sxm", weight_format="fp8")
    at = stored.set_index(["name", "scope"])["value"]
    assert group.coefficient["bandwidth_efficiency"][0] == at["bandwidth_efficiency", "hbm"]
    assert group.coefficient["host_layer_time"][0] == 0  # a time without a base is no time
