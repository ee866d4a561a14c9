"""The law of a step by hand, in its limits, and in what must never decrease."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import roofline, throughput

# Llama-3.1-8B in BF16 on one H100: 16.06 GB, 8.03e9 parameters, 131,072 B of cache per token.
LLAMA = (16.06e9, 131072, 8.03e9, 3.35e12, 989e12)


def test_one_sequence_reads_every_weight_once():
    step = throughput.decode_step_time(1, 0, *LLAMA)
    assert step == pytest.approx(16.06e9 / 3.35e12, rel=1e-4)


def test_context_adds_its_bytes():
    empty, full = throughput.decode_step_time(1, [0, 8192], *LLAMA)
    assert full - empty == pytest.approx(8192 * 131072 / 3.35e12)


def test_a_huge_batch_is_bound_by_arithmetic():
    step = throughput.decode_step_time(1e6, 0, *LLAMA)
    assert step == pytest.approx(2 * 8.03e9 * 1e6 / 989e12, rel=1e-4)


def test_infinite_bandwidth_leaves_arithmetic():
    step = throughput.decode_step_time(8, 1000, 16e9, 131072, 8e9, np.inf, 1e15)
    assert step == pytest.approx(2 * 8e9 * 8 / 1e15)


def test_integer_input_and_arrays_equal_scalars():
    batch = np.array([1, 2, 64])
    together = throughput.decode_step_time(batch, 100, *LLAMA)
    alone = [float(throughput.decode_step_time(float(n), 100.0, *LLAMA)) for n in batch]
    np.testing.assert_allclose(together, alone)


def test_a_faster_host_is_hidden_and_a_slower_one_counts():
    step = throughput.decode_step_time(1, 0, *LLAMA)
    hidden = throughput.decode_step_time(1, 0, *LLAMA, host_time=step / 100)
    bound = throughput.decode_step_time(1, 0, *LLAMA, host_time=100 * step)
    assert hidden == pytest.approx(step, rel=1e-4)
    assert bound == pytest.approx(100 * step, rel=1e-4)


def test_expert_union_from_one_token_to_all():
    read = roofline.expert_bytes_read([1, 1e9], 160e9, 128, 8)
    assert read == pytest.approx([10e9, 160e9])
    assert roofline.expert_bytes_read(7, 0, 1, 1) == 0


def test_two_tokens_share_experts():
    # E = 4, k = 2: the second token misses half of the half that the first left.
    assert roofline.expert_bytes_read(2, 4e9, 4, 2) == pytest.approx(3e9)


def test_one_accelerator_does_not_communicate():
    assert roofline.all_reduce_time(64, 8192, 80, 1, 900e9, latency=1e-5) == 0


def test_all_reduce_by_hand():
    # 2 x 10 layers, 4 ranks: 2 steps of 5 us, and 3 times 2 B x 1000 x 8 over 50 GB/s.
    few = roofline.all_reduce_time(8, 1000, 10, 4, 100e9, latency=5e-6)
    assert few == pytest.approx(20 * (2 * 5e-6 + 3 * 2 * 1000 * 8 / 50e9))
    # A large message goes in parts: twice the steps, 2 x 3/4 of the bytes.
    many = roofline.all_reduce_time(8000, 1000, 10, 4, 100e9, latency=5e-6)
    assert many == pytest.approx(20 * (4 * 5e-6 + 1.5 * 2 * 1000 * 8000 / 50e9))


def test_cpu_bandwidth_in_its_limits():
    assert roofline.cpu_bandwidth(76.8e9, 1, 14) == pytest.approx(76.8e9)
    few = roofline.cpu_bandwidth(76.8e9, 1, 1, thread_bandwidth=1e9)
    assert few == pytest.approx(1e9, rel=1e-3)
    two = roofline.cpu_bandwidth(76.8e9, 2, 28, numa_efficiency=0.7)
    assert two == pytest.approx(1.4 * 76.8e9)


def test_window_bounds_the_cache():
    assert roofline.cache_bytes_read(5000, 0, 100, 1024) == 102_400
    assert roofline.cache_bytes_read(500, 10, 100, 1024, 7) == 55_007


def test_prefill_by_hand():
    # 2 x 8e9 x 1000 operations at half of 1e15, 16 GB at 1e30 B/s.
    time = throughput.prefill_time(1000, 0, 16e9, 8e9, 1e30, 1e15, compute_efficiency=0.5)
    assert time == pytest.approx(0.032)
    attention = throughput.prefill_time(
        1000, 0, 0, 0, 1e30, 1e15, attention_flops=1e6, attention_peak=1e12
    )
    assert attention == pytest.approx(1000 * 500 * 1e6 / 1e12)


def test_stages_fill_like_a_pipeline():
    one = throughput.prefill_time(4096, 0, 1e9, 8e9, 1e12, 1e14)
    four = throughput.prefill_time(4096, 0, 1e9, 8e9, 1e12, 1e14, stages=4)
    short = throughput.prefill_time(100, 0, 1e9, 8e9, 1e12, 1e14, stages=4)
    assert four == pytest.approx(one * 11 / 32)
    assert short == pytest.approx(throughput.prefill_time(100, 0, 1e9, 8e9, 1e12, 1e14))


def test_one_user_alone():
    loop = throughput.closed_loop(1, 101, lambda n: 0.01 + 0 * n, 0.2)
    assert loop["tpot"] == pytest.approx(0.01)
    assert loop["ttft"] == pytest.approx(0.2)
    assert loop["output_rate"] == pytest.approx(101 / 1.2)


def test_little_law_holds_in_the_loop():
    users = np.array([1, 4, 16, 300])
    loop = throughput.closed_loop(users, 200, lambda n: 0.01 + 1e-4 * n, 0.05, sequences_limit=64)
    np.testing.assert_allclose(
        loop["request_rate"] * (loop["ttft"] + 199 * loop["tpot"]), users, rtol=1e-9
    )


def test_users_beyond_the_cache_wait_for_a_place():
    loop = throughput.closed_loop([64, 128], 100, lambda n: 0.01 + 0 * n, 0.0, sequences_limit=64)
    assert loop["output_rate"][0] == pytest.approx(loop["output_rate"][1])
    assert loop["ttft"][1] - loop["ttft"][0] == pytest.approx(loop["cycle"][0])


def test_saturated_rate_without_prefill_is_the_batch_over_its_time():
    assert throughput.saturated_rate(64, 100, 0.02, 0) == pytest.approx(32.0)


positive = st.floats(1e9, 1e13)


@settings(max_examples=60, deadline=None)
@given(positive, positive, st.integers(1, 512), st.integers(0, 100_000), st.integers(1, 128))
def test_more_bandwidth_never_slower_and_floor_holds(bandwidth, expert_bytes, batch, context, k):
    arguments = {"expert_bytes": expert_bytes, "experts": 128, "experts_per_token": k}
    slow, fast = throughput.decode_step_time(
        batch, context, 1e10, 1e5, 5e9, np.array([1, 2]) * bandwidth, 1e15, **arguments
    )
    assert fast <= slow
    read = 1e10 + expert_bytes * (1 - (1 - k / 128) ** batch) + batch * context * 1e5
    assert slow >= read / bandwidth * (1 - 1e-9)
    assert slow >= 2 * 5e9 * batch / 1e15 * (1 - 1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 1000), st.integers(0, 50_000))
def test_more_sequences_slow_each_but_not_the_total(batch, context):
    one, two = throughput.decode_step_time([batch, batch + 1], context, *LLAMA)
    assert two >= one
    assert (batch + 1) / two >= batch / one * (1 - 1e-9)
