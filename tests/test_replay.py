"""Measured load tests served again by the simulation."""

import numpy as np
import pandas as pd
import pytest

from planner import accuracy, cases, estimate, replay, scorecard, serving, throughput


def question(metric="ttft_ms", **columns):
    row = {
        "model_id": "Qwen/Qwen3-32B", "device_id": "h100-sxm", "engine": "vllm",
        "weight_format": "fp8", "concurrency": 1, "input_tokens": 1024, "output_tokens": 128,
        "metric": metric,
    }  # fmt: skip
    return row | columns


def asked(*rows):
    table = pd.DataFrame(list(rows)).astype(str).replace("nan", "")
    parts, reasons = cases.speed_parts(table)
    assert (reasons == "").all()
    return parts, table


def simulated(*rows):
    return replay.predict(*asked(*rows))


@pytest.fixture(scope="module")
def measured():
    rows = accuracy.measurements()
    parts, _ = cases.speed_parts(rows)
    return rows, parts, replay.predict(parts, rows)


def test_one_user_waits_for_handling_and_prefill_then_one_step_per_token():
    rows = [question(), question("tpot_ms"), question("req_s")]
    parts, table = asked(*rows)
    ttft, tpot, rate = replay.predict(parts, table)
    group = parts[0].group.take(np.array([0]))
    work, launch = estimate.prefill_parts(group, 1024)
    handling = group.coefficient["request_time"][0]
    assert ttft == pytest.approx(1e3 * (handling + work[0] + launch[0]), rel=1e-9)
    # the 127 tokens after the first find 1,024 to 1,150 tokens in the cache
    steps = estimate.decode_step_time(group, 1, np.arange(1024, 1151)[None])
    assert tpot == pytest.approx(1e3 * steps.mean(), rel=1e-4)
    assert rate == pytest.approx(1e3 / (ttft + 127 * tpot), rel=1e-9)


@pytest.mark.parametrize("metric", ["ttft_ms", "tpot_ms", "req_s", "total_tok_s"])
def test_one_user_is_where_closed_form_and_simulation_agree(metric):
    parts, table = asked(question(metric))
    assert replay.predict(parts, table) == pytest.approx(
        accuracy.predict(parts, len(table)), rel=2e-3
    )


def test_many_users_reach_the_saturated_rate():
    # users who never think keep every place busy: the rate is that of a batch that never runs dry
    parts, table = asked(question("req_s", concurrency=64, notes="4000 prompts",
                                  source="aiconfigurator"))  # fmt: skip
    group = parts[0].group.take(np.array([0]))
    work, launch = estimate.prefill_parts(group, 1024)
    step = estimate.decode_step_time(group, 64, 1024 + 64)
    bound = throughput.saturated_rate(
        64, 128, step, work, launch, prefill_sharing=group.coefficient["prefill_sharing"]
    )
    assert replay.predict(parts, table)[0] == pytest.approx(bound[0], rel=0.08)


def test_more_users_wait_longer_and_get_more_done():
    many = [1, 2, 8, 32, 128]
    rows = [question(m, concurrency=n, source="aiconfigurator")
            for m in ("ttft_ms", "tpot_ms", "output_tok_s_total") for n in many]  # fmt: skip
    ttft, tpot, rate = simulated(*rows).reshape(3, -1)
    assert (np.diff(ttft) > 0).all() and (np.diff(tpot) > 0).all() and (np.diff(rate) > 0).all()


def test_percentiles_stand_in_order():
    rows = [question(f"ttft_ms_{s}", concurrency=32) for s in replay.QUANTILES]
    times = simulated(*rows)
    assert (np.diff(times) >= 0).all()


def test_where_the_cache_is_short_users_queue():
    free, short = simulated(
        question(concurrency=64, input_tokens=8192, source="aiconfigurator"),
        question(concurrency=64, input_tokens=8192, source="aiconfigurator", weight_format="bf16"),
    )
    assert short > 2 * free


def test_a_burst_is_served_all_at_once():
    burst = question(concurrency=50, input_tokens=100, notes="50 requests sent at once")
    first, last = simulated(
        question("ttft_ms_p50", **{k: v for k, v in burst.items() if k != "metric"}),
        question("ttft_ms_p99", **{k: v for k, v in burst.items() if k != "metric"}),
    )
    assert first == pytest.approx(last)  # 5,000 tokens fit into one step of 8,192


def test_open_arrivals_at_a_low_rate_find_an_idle_server():
    alone = simulated(question())[0]
    open_loop = simulated(question(concurrency="", request_rate=0.01))[0]
    assert open_loop == pytest.approx(alone, rel=0.02)
    assert simulated(question(concurrency="", request_rate=4))[0] > 1.1 * alone


def test_what_servers_add_is_the_fitted_wait_less_the_simulated_one():
    parts, _ = asked(question(concurrency=8))
    group, work = parts[0].group, parts[0].work.iloc[0]
    lengths = np.array([1024]), np.array([128])
    served = replay._serving(group, work, 8, *lengths)
    engine = serving.engine(served, 0)
    known = group.coefficient
    none = serving.server_wait(served, 0, engine, 8, np.zeros(1))
    step = estimate.decode_step_time(group, 8, served.context)
    assert none == pytest.approx((known["steps_waited"] - serving.SIMULATED_STEPS) * step, rel=1e-3)
    one = serving.server_wait(served, 0, engine, 8, np.ones(1))
    assert one - none == pytest.approx(1 - known["prefill_sharing"])
    slots = serving.Serving(group, served.team, served.places, served.tokens, np.array([True]), 0)
    assert serving.server_wait(slots, 0, engine, 8, np.ones(1)) == 0


def test_how_a_test_was_run_is_read_from_its_row():
    rows = pd.DataFrame({
        "concurrency": ["8", "50", "16", "", "1"],
        "source": ["x/aiconfigurator @1", "blog", "blog", "blog", "blog"],
        "notes": ["", "50 requests sent at once", "300 prompts; max_tokens was 128", "", ""],
    })  # fmt: skip
    how = replay.protocol(rows)
    assert how["count"].tolist() == [80, 50, 300, replay.OPEN_REQUESTS, replay.LEAST_REQUESTS]
    assert how["prompts"].tolist() == [replay.SPREAD, 0, 0, 0, 0]
    assert np.isnan(how["answers"][2]) and how["answers"][0] == replay.SPREAD


def test_lengths_are_spread_evenly_about_their_mean():
    tokens = replay._lengths(1000, 922, replay.SPREAD, seed=0)
    assert tokens.mean() == pytest.approx(922, abs=1)
    assert tokens.min() == pytest.approx(0.8 * tokens.max(), rel=2e-3)


def test_every_measured_row_under_load_is_answered(measured):
    rows, parts, predicted = measured
    under_load = np.concatenate([p.rows for p in parts if p.regime in replay.REGIMES])
    assert len(under_load) > 850
    assert (predicted[under_load] > 0).all()
    others = np.setdiff1d(np.arange(len(rows)), under_load)
    assert np.isnan(predicted[others]).all()


def test_published_errors_by_load_follow_from_the_stored_constants(measured):
    rows, _, predicted = measured
    closed = accuracy.errors()
    users = pd.to_numeric(rows["concurrency"], errors="coerce")
    loads = np.where(np.isfinite(predicted), replay.level(users), "")
    fresh = accuracy.by_load({"nothing": closed.assign(load=loads, simulated=predicted)})
    kept = pd.read_csv(accuracy.DATA / "accuracy_by_load.csv", keep_default_na=False)
    kept = kept[kept["held_back"] == "nothing"].reset_index(drop=True)
    keys = ["metric", "load", "latency", "rows"]
    pd.testing.assert_frame_equal(fresh[keys], kept[keys], check_dtype=False)
    for column in ("median", "bias"):
        assert np.allclose(fresh[column], kept[column], atol=0.5)


def test_the_simulation_is_about_as_good_as_the_form_that_was_fitted_to_these_rows():
    kept = pd.read_csv(accuracy.DATA / "accuracy_by_load.csv", keep_default_na=False)
    every = kept[kept["load"] == ""].set_index(["held_back", "metric", "latency"])["median"]
    for held_back in accuracy.GROUPS:
        for metric, most in (("ttft", 5), ("tpot", 2), ("throughput", 3)):
            both = every[held_back, metric]
            assert both["simulation"] < both["closed form"] + most


def test_readme_and_notebook_show_errors_by_load():
    readme = (accuracy.DATA.parent / "README.md").read_text(encoding="utf-8")
    assert scorecard.by_load_text() in readme
    kept = pd.read_csv(accuracy.DATA / "accuracy_by_load.csv", keep_default_na=False)
    kept = kept[(kept["held_back"] == "source") & (kept["metric"] == "ttft")]
    kept = kept.set_index(["latency", "load"])
    told = " ".join(readme.split())
    assert f"TTFT is off by {kept.at[('simulation', ''), 'median']:.0f} % in the median" in told
    assert f"closed form's is off by {kept.at[('closed form', ''), 'median']:.0f} %" in told
    assert f"{kept.at[('closed form', 'above 64'), 'bias']:.0f} % too high above 64 users" in told
    assert kept.loc["simulation"].loc[["2-8", "9-64", "above 64"], "bias"].between(-24, -16).all()
    assert len(scorecard.by_load().data[scorecard.display.TABLE]["rows"]) >= 12
