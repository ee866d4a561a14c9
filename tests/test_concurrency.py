"""Load: by hand, classical queues as limits, light load, refusals, properties."""

import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import concurrency, occupancy

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def affine(first=0.01, more=0.0005):
    return lambda batch: first + more * batch


def flat(step):
    return lambda batch: step + 0.0 * batch


# ---- by hand


def test_mean_context():
    assert concurrency.mean_context(1000, 200) == 1100
    # exponential outputs: those found running are twice as long on average
    assert concurrency.mean_context(1000, 200, 1) == 1200


def test_batch_limit_names_the_smallest():
    # of 100 sequences of cache, the room for 0.6 stays free
    assert concurrency.batch_limit(100_000, 1000, 256) == pytest.approx(99.4)
    assert concurrency.batch_limit(1e9, 1000, 256) == 256
    assert concurrency.batch_limit(np.inf, 1000, 4) == 4
    # 2,048 tokens a step admit prompts of 4,096 every second step: 101 x 2048 / (4096 + 101 - 1)
    fed = concurrency.batch_limit(
        1e9, 1000, 256, input_tokens=4096, output_tokens=101, max_num_batched_tokens=2048
    )
    assert fed == pytest.approx(100 * 2048 / 4196)
    # a place is taken for one step of prefill and 99 of decode
    placed = concurrency.batch_limit(
        1e9, 1000, 50, input_tokens=100, output_tokens=100, max_num_batched_tokens=2048
    )
    assert placed == pytest.approx(50 * 0.99)
    assert concurrency.batch_limit(10, 1000, 256) == 1


def test_capacity():
    # 0.1 s of prefill and 100 steps of 20 ms shared by 10
    assert concurrency.capacity(affine(0.01, 0.001), 0.1, 101, 10) == pytest.approx(1 / 0.3)


def test_batch_under_load():
    # 1/s x 100 steps of 10 ms, half of the time goes to prefill
    assert concurrency.decode_batch(1.0, flat(0.01), 0.5, 101, 64) == pytest.approx(2)
    # affine step: n = a (d0 + d1 (n + 1)), a = 100, so n = (a d0 + a d1) / (1 - a d1)
    exact = 100 * 0.0105 / (1 - 100 * 0.0005)
    assert concurrency.decode_batch(1.0, affine(), 0.0, 101, 64) == pytest.approx(exact)


def test_sizing():
    assert concurrency.peak_rate(86_400, 0.1) == pytest.approx(2.4)
    assert concurrency.replicas_needed(2.4, 1.0) == 4
    assert concurrency.replicas_needed(2.4, 1.0, spare=0) == 3
    # three tenths over one tenth is three, whatever the binary fractions say
    assert concurrency.replicas_needed(0.1 + 0.2, 0.1, spare=0) == 3
    assert concurrency.replicas_needed(1.0, 0.0) == np.inf
    assert concurrency.replicas_needed(0.0, 1.0, spare=0) == 1


def test_backlog():
    growth, queued, drain = concurrency.backlog(3, 2, 3600, later_rate=1)
    assert (growth, queued, drain) == (1, 3600, 3600)
    assert concurrency.backlog(3, 2, 3600, later_rate=2)[2] == np.inf
    assert [float(x) for x in concurrency.backlog(1, 2, 3600, later_rate=2)] == [0, 0, 0]


# ---- limiting cases


@pytest.mark.parametrize("limit", [1, 4, 256])
def test_light_load_is_an_idle_replica(limit):
    quiet = concurrency.latency(
        1e-9, affine(), 0.2, 101, limit, prefill_alone=0.23, input_cv=0, output_cv=1
    )
    for name in ("ttft_mean", "ttft_p50", "ttft_p95"):
        assert getattr(quiet, name) == pytest.approx(0.23, rel=1e-4), name
    for name in ("tpot_mean", "tpot_p50", "tpot_p95"):
        assert getattr(quiet, name) == pytest.approx(0.0105, rel=1e-4), name
    assert quiet.stable and quiet.batch < 1e-6


def test_free_prompts_wait_half_a_step_and_one():
    # many in decode, prompts that cost nothing: half of the running step, then one step
    busy = concurrency.latency(50.0, flat(0.02), 0.0, 101, 400)
    assert busy.ttft_mean == pytest.approx(1.5 * 0.02, rel=0.01)
    assert busy.ttft_p95 == pytest.approx(1.95 * 0.02, rel=0.1)
    assert busy.tpot_mean == pytest.approx(0.02)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_one_slot_is_the_single_server_queue(load):
    # one slot, outputs of 101 tokens at 10 ms: service of 1 s; M/D/1 waits rho / (2 (1 - rho)),
    # M/M/1 twice that
    assert concurrency.waiting_probability(load, flat(0.01), 0, 101, 1) == pytest.approx(load)
    fixed = concurrency.latency(load, flat(0.01), 0.0, 101, 1, output_cv=0)
    varied = concurrency.latency(load, flat(0.01), 0.0, 101, 1, output_cv=1)
    wait = load / (2 * (1 - load))
    assert fixed.ttft_mean == pytest.approx(wait, rel=0.1, abs=0.03)
    assert varied.ttft_mean == pytest.approx(2 * wait, rel=0.1, abs=0.03)
    assert fixed.tpot_mean == pytest.approx(0.01)


@pytest.mark.parametrize(("servers", "load"), [(2, 0.7), (8, 0.8), (20, 0.9)])
def test_steps_that_do_not_slow_down_are_erlang_c(servers, load):
    # a step that takes as long for many as for one: independent servers
    traffic = servers * load
    terms = np.cumprod(np.concatenate(([1.0], traffic / np.arange(1, servers + 1))))
    erlang = terms[-1] / (terms[-1] + (1 - load) * terms[:-1].sum())
    found = concurrency.waiting_probability(traffic, flat(0.01), 0.0, 101, servers)
    assert found == pytest.approx(erlang, rel=1e-6)


def test_jumps_follow_the_exact_chain():
    exact = occupancy.waiting_probability(29.0, affine(0.01, 0.0001), 0.01, 101, 64, jumps=64)
    quick = occupancy.waiting_probability(29.0, affine(0.01, 0.0001), 0.01, 101, 64)
    assert quick == pytest.approx(exact, abs=0.05)


def test_steps_proportional_to_the_batch_are_processor_sharing():
    # d(n) = n c: one processor shared by all; M/G/1-PS stays 1 / (1 - rho) times longer
    for load in (0.3, 0.5, 0.7):
        seen = concurrency.latency(load, lambda n: 0.01 * n, 0.0, 101, 1000)
        assert seen.tpot_mean == pytest.approx(0.01 / (1 - load), rel=0.01)
        assert seen.batch == pytest.approx(load / (1 - load), rel=0.01)


def test_simulated_replicas():
    """Means and percentiles of an event simulation of continuous batching, 10,000 requests."""
    # step 10 ms + 0.05 ms per sequence, 20,000 prompt tokens/s, prompts of 500, outputs of 200
    # with log-normal spread of cv 1 (prompts 0.5), at most 128: load 0.3, 0.6 and 0.8 of capacity
    law, prefill = affine(0.010, 0.00005), 500 / 20_000
    peak = concurrency.capacity(law, prefill, 200, 128)
    for load, ttft95, tpot in SIMULATED:
        seen = concurrency.latency(
            load * peak, law, prefill, 200, 128, chunks=500 / 8192, prefill_alone=0.035,
            input_cv=0.5, output_cv=1.0,
        )  # fmt: skip
        assert seen.ttft_p95 == pytest.approx(ttft95, rel=0.1), load
        assert seen.tpot_mean == pytest.approx(tpot, rel=0.1), load


# from the simulation described in `concurrency.VALIDITY`, one run of 10,000 requests each
SIMULATED = [(0.3, 0.0830, 0.01273), (0.6, 0.1131, 0.01727), (0.8, 0.1445, 0.0226)]


@pytest.mark.parametrize(
    ("load", "change"),
    [
        (0.95, {}),
        (0.6, {"batch_limit": 4}),
        (0.3, {"output_tokens": 8}),
        (0.3, {"prefill_time": 3.0}),
        (0.7, {"chunks": 60.0}),
    ],
)
def test_a_flag_says_where_the_closed_forms_break(load, change):
    shape = {"prefill_time": 0.1, "output_tokens": 201, "batch_limit": 64, "chunks": 0.2}
    for words, expected in ((shape, True), (shape | change, False)):
        at = load if not expected else 0.3
        limits = {key: words[key] for key in ("prefill_time", "output_tokens", "batch_limit")}
        rate = at * concurrency.capacity(affine(), **limits)
        seen = concurrency.latency(rate, affine(), **words)
        assert seen.trusted == expected, words


@pytest.mark.slow
def test_trusted_answers_against_the_simulation():
    spec = importlib.util.spec_from_file_location("closed_forms", BENCHMARKS / "closed_forms.py")
    closed_forms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(closed_forms)
    _, _, errors, seen = closed_forms.main(60, 3)
    errors = np.abs(errors[np.asarray(seen.trusted)])
    assert len(errors) > 15
    # the targets: TTFT p50 and p95, TPOT p50, capacity
    medians = np.median(errors, axis=0)
    for column, target in ((0, 0.05), (1, 0.12), (2, 0.04), (4, 0.03)):
        assert medians[column] <= target, closed_forms.FIGURES[column]
    assert np.quantile(errors[:, 4], 0.9) <= 0.15


# ---- shape of the answers


def test_arrays_equal_scalars():
    rate, limit = np.array([0.2, 2.0, 6.0]), np.array([1.0, 32.0, 256.0])
    first, prefill = np.array([0.05, 0.01, 0.02]), np.array([0.5, 0.1, 0.03])
    whole = concurrency.latency(rate, lambda n: first + 0.0002 * n, prefill, 51, limit)
    for i in range(3):
        one = concurrency.latency(rate[i], affine(first[i], 0.0002), prefill[i], 51, limit[i])
        for name, value in zip(one._fields, one, strict=True):
            assert getattr(whole, name)[i] == pytest.approx(value, rel=1e-3), name


def test_integers_are_not_truncated():
    assert concurrency.capacity(lambda n: n, 1, 3, 2) == pytest.approx(1 / 3)
    assert concurrency.decode_batch(1, flat(0.005), 0, 101, 8) == pytest.approx(0.5)
    assert concurrency.mean_context(1, 1, 0) == 1.5


def test_overload_is_said_not_estimated():
    seen = concurrency.latency([0.1, 100.0], affine(), 0.1, 101, 16)
    assert seen.stable.tolist() == [True, False]
    assert np.isfinite(seen.ttft_p95[0]) and np.isinf(seen.ttft_p95[1])
    assert np.isinf(seen.tpot_p50[1]) and seen.utilisation[1] > 1
    assert not any(np.isnan(np.asarray(field, dtype=float)).any() for field in seen)


def test_one_token_answers():
    seen = concurrency.latency(1.0, affine(), 0.1, 1, 16)
    assert seen.batch == 0 and np.isfinite(seen.ttft_p95)
    assert concurrency.rate_within_slo(affine(), 0.1, 1, 16) == pytest.approx(8, rel=1e-3)


def test_rate_within_slo():
    law = affine()
    peak = concurrency.capacity(law, 0.1, 101, 64)
    free = concurrency.rate_within_slo(law, 0.1, 101, 64)
    assert free == pytest.approx(0.8 * peak)
    none = concurrency.rate_within_slo(law, 0.1, 101, 64, ttft_limit=0.05)
    assert none == 0
    tight = concurrency.rate_within_slo(law, 0.1, 101, 64, tpot_limit=0.03, ttft_limit=1)
    seen = concurrency.latency(tight, law, 0.1, 101, 64)
    assert 0 < tight < free
    assert seen.tpot_p95 == pytest.approx(0.03, rel=1e-3) and seen.ttft_p95 < 1


def test_tabulated_law():
    top = np.array([1.0, 17.0, 512.0])
    law = concurrency.tabulated(affine(), top)
    for batch in (1.0, 3.3, 17.0, 400.0):
        asked = np.minimum(batch, top)
        assert law(np.full(3, batch)) == pytest.approx(affine()(asked), rel=1e-9)
    assert concurrency.tabulated(affine(), 64)(8.0) == pytest.approx(0.014)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: concurrency.latency(-1, affine(), 0.1, 101, 64), "rate = -1"),
        (lambda: concurrency.latency(1, affine(), 0.1, 0, 64), "output_tokens = 0"),
        (lambda: concurrency.capacity(affine(), 0.1, 101, 0), "batch_limit = 0"),
        (lambda: concurrency.capacity(affine(), 0, 1, 8), "prefill_time = 0"),
        (lambda: concurrency.peak_rate(1000, 12), "busiest_hour_share = 12"),
        (lambda: concurrency.mean_context(-5, 1), "input_mean = -5"),
    ],
)
def test_refusals_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- properties

replica = st.fixed_dictionaries(
    {
        "first": st.floats(0.005, 0.1),
        "more": st.floats(1e-5, 5e-4),
        "prefill": st.floats(0.001, 0.5),
        "output": st.integers(20, 800),
        "limit": st.integers(1, 300),
        "input_cv": st.sampled_from([0.0, 0.5, 1.0]),
        "output_cv": st.sampled_from([0.0, 0.5, 1.0]),
    }
)


def respond(case, load, limit=None):
    law = affine(case["first"], case["more"])
    shape = (law, case["prefill"], case["output"], limit or case["limit"])
    rate = load * concurrency.capacity(law, case["prefill"], case["output"], case["limit"])
    spread = {name: case[name] for name in ("input_cv", "output_cv")}
    return concurrency.latency(rate, *shape, **spread)


MONOTONE = ("ttft_mean", "ttft_p50", "ttft_p95", "tpot_mean", "tpot_p95", "batch")


@settings(max_examples=60, deadline=None)
@given(replica)
def test_more_load_never_lowers_latency(case):
    seen = respond(case, np.linspace(0.01, 0.89, 40))
    for name in MONOTONE:
        values = getattr(seen, name)
        assert np.all(np.diff(values) >= -1e-3 * values[:-1]), name
    assert np.all(seen.tpot_p95 >= seen.tpot_p50)
    assert np.all(seen.ttft_p95 >= seen.ttft_p50)


@settings(max_examples=60, deadline=None)
@given(replica, st.floats(1, 4))
def test_more_cache_never_lowers_capacity(case, factor):
    law = affine(case["first"], case["more"])
    context = 1000
    few = concurrency.batch_limit(case["limit"] * context, context, 1000)
    many = concurrency.batch_limit(factor * case["limit"] * context, context, 1000)
    less = concurrency.capacity(law, case["prefill"], case["output"], few)
    assert concurrency.capacity(law, case["prefill"], case["output"], many) >= less * (1 - 1e-12)


@settings(max_examples=30, deadline=None)
@given(replica, st.floats(0.02, 0.3), st.floats(1, 3))
def test_a_looser_level_never_allows_less(case, tpot, factor):
    law = affine(case["first"], case["more"])
    rates = concurrency.rate_within_slo(
        law, case["prefill"], case["output"], case["limit"], tpot_limit=[tpot, tpot * factor],
        ttft_limit=5.0, input_cv=case["input_cv"], output_cv=case["output_cv"],
    )  # fmt: skip
    assert rates[1] >= rates[0] * (1 - 4e-3)  # the search ends within 0.2 %


@settings(max_examples=60, deadline=None)
@given(replica, st.floats(0.01, 0.89))
def test_nothing_is_faster_than_alone(case, load):
    seen = respond(case, load)
    single = case["first"] + case["more"]
    assert seen.tpot_p50 >= single * (1 - 1e-9)
    assert seen.ttft_mean >= case["prefill"] * (1 - 1e-9)
    assert np.isfinite(np.array(seen[:8], dtype=float)).all()


def test_speed():
    number = 20_000
    first = np.linspace(0.005, 0.03, number)
    law, limit = affine(first, first / 100), np.full(number, 128.0)
    rate = 0.6 * concurrency.capacity(law, 0.05, 200, limit)
    start = time.perf_counter()
    concurrency.latency(rate, law, 0.05, 200, limit)
    # 300,000 a second on a quiet core; this only notices a loop over deployments
    assert number / (time.perf_counter() - start) > 20_000
