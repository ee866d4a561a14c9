"""Memory: by hand, against start-up logs, limiting cases, refusals, properties."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner import memory, overhead
from planner.memory import GIB, MIB

CONSTANTS = Path(__file__).parent.parent / "data" / "constants" / "memory.csv"


def version(text):
    return tuple(int(part) for part in text.split("."))


def coefficients(function, engine, release):
    """The rows of the constants file that hold for one engine release, by argument."""
    found = {}
    with CONSTANTS.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            name, _, argument = row["name"].partition(".")
            after = not row["version_from"] or version(release) >= version(row["version_from"])
            before = not row["version_to"] or version(release) < version(row["version_to"])
            if name == function and row["scope"] == engine and after and before:
                assert argument not in found, f"two rows of {row['name']} hold for {release}"
                found[argument] = float(row["value"])
    return found


def only(table, *names):
    return {name: table[name] for name in names}


ACTIVATION = ("logits_bytes", "hidden_factor", "expert_factor", "fixed_bytes", "forward_bytes")
NON_TORCH = ("single_bytes", "nvlink_bytes", "other_bytes", "pipeline_bytes")
GRAPHS = ("fixed_bytes", "layer_bytes", "element_bytes", "mixture_bytes", "tensor_saving",
          "pipeline_saving")  # fmt: skip


@pytest.mark.parametrize(
    ("model", "layers", "heads", "dim", "expected"),
    [
        # llama.cpp and vLLM logs, and the models' own papers: 2 x layers x heads x dim x 2 B
        ("Llama-3.1-8B", 32, 8, 128, 131_072),
        ("Llama-3.1-70B", 80, 8, 128, 327_680),
        ("Qwen2.5-7B", 28, 4, 128, 57_344),
    ],
)
def test_published_cache_sizes(model, layers, heads, dim, expected):
    assert memory.kv_bytes_per_token(layers, heads, dim, dim, 2) == expected, model


def test_latent_of_deepseek_v3():
    # 576 elements x 61 layers x 2 B; the paper compares it with 516 kB of Llama-3.1-405B
    assert memory.latent_bytes_per_token(61, 512, 64, 2) == 70_272
    assert memory.kv_bytes_per_token(126, 8, 128, 128, 2) == 516_096


def test_heads_are_replicated_beyond_their_number():
    ranks = np.array([1, 2, 4, 8])
    cache = memory.kv_bytes_per_token(10, 2, 64, 64, 2, ranks)
    assert cache[1] == cache[2] == cache[3] == cache[0] / 2


def test_sliding_window_holds_at_most_the_window():
    held = memory.cache_bytes_per_sequence([100, 1024, 50_000], 0, 10, 1024, 7)
    assert held.tolist() == [1007, 10_247, 10_247]
    assert memory.cache_bytes_per_sequence(5000, 1, 10, 0) == 5000 * 11


def test_nothing_to_hold():
    assert memory.cache_bytes_per_sequence(0, 131_072) == 0
    assert memory.cache_bytes_per_sequence(0, 131_072, state_bytes=5) == 5
    assert memory.kv_bytes_per_token(0, 8, 128, 128, 2) == 0
    assert memory.kv_bytes_per_token(32, 0, 128, 128, 2) == 0
    assert memory.sequences_that_fit(0, 10) == 0
    assert memory.kv_bytes_per_token([], 8, 128, 128, 2).size == 0


class Log(NamedTuple):
    release: str
    rows: str
    weights: float
    vocab: int
    hidden: int
    ffn: int
    layers: int
    tp: int
    pool: float
    activation: float
    graphs: float | None
    requests: float
    tokens: int


# start-up logs of vLLM on H100 (79.19 GiB usable, 0.95 of it) from the repository
# llm-d-incubation/llm-d-planner, pull request 205; rows of data/measurements/memory.csv
LOGS = [
    # m0120-m0126: Llama-3.1-8B bf16
    Log(release="0.19.0", rows="m0120-m0126", weights=14.99, vocab=128_256, hidden=4096,
        ffn=14_336, layers=32, tp=1, pool=58.11, activation=1.89, graphs=0.91, requests=58.11,
        tokens=476_000),
    # m0022-m0028: Llama-3.3-70B fp8, tensor parallel 4
    Log(release="0.19.0", rows="m0022-m0028", weights=16.96, vocab=128_256, hidden=8192,
        ffn=28_672, layers=80, tp=4, pool=54.09, activation=1.97, graphs=1.66, requests=86.55,
        tokens=708_992),
    # m0540-m0545: Qwen3-14B bf16, the release whose sampler takes most
    Log(release="0.15.0", rows="m0540-m0545", weights=27.52, vocab=151_936, hidden=5120,
        ffn=17_408, layers=40, tp=1, pool=41.94, activation=5.64, graphs=None, requests=33.55,
        tokens=274_848),
]  # fmt: skip


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.rows)
def test_pool_of_logged_runs(log):
    names = coefficients("vllm_activation_bytes", "vllm", log.release)
    activation = overhead.vllm_activation_bytes(
        1024, log.vocab, 8192, log.hidden, log.ffn, tensor_parallel=log.tp,
        **only(names, *ACTIVATION),
    )  # fmt: skip
    assert activation / GIB == pytest.approx(log.activation, rel=0.03)
    names = coefficients("vllm_non_torch_bytes", "vllm", log.release)
    context = overhead.vllm_non_torch_bytes(log.tp, **only(names, *NON_TORCH))
    share = coefficients("kv_pool_bytes", "vllm", log.release)["graph_bytes.share"]
    assert share == 0
    if log.graphs:
        names = coefficients("vllm_graph_bytes", "vllm", log.release)
        graphs = overhead.vllm_graph_bytes(
            log.layers, log.hidden, 1024, tensor_parallel=log.tp, **only(names, *GRAPHS)
        )
        assert graphs / GIB == pytest.approx(log.graphs, abs=0.35)
    pool = memory.kv_pool_bytes(79.19 * GIB, 0.95, log.weights * GIB, activation, context)
    assert pool / GIB == pytest.approx(log.pool, rel=0.005)
    kv = memory.kv_bytes_per_token(log.layers, 8, 128, 128, 2, log.tp)
    assert memory.max_concurrency(pool, 8192, kv) == pytest.approx(log.requests, rel=0.005)
    assert pool / kv == pytest.approx(log.tokens, rel=0.005)


def test_graphs_are_deducted_from_version_0_21():
    assert coefficients("kv_pool_bytes", "vllm", "0.20.1")["graph_bytes.share"] == 0
    assert coefficients("kv_pool_bytes", "vllm", "0.21.0")["graph_bytes.share"] == 1


@pytest.mark.parametrize("release", ["0.5.3", "0.8.0", "0.11.0", "0.16.2", "0.17.0", "0.30.0"])
def test_every_coefficient_has_exactly_one_value(release):
    for function, names in (
        ("vllm_activation_bytes", ACTIVATION),
        ("vllm_non_torch_bytes", NON_TORCH),
        ("vllm_graph_bytes", GRAPHS),
    ):
        assert set(names) <= set(coefficients(function, "vllm", release)), function


def test_constants_are_marked_and_inside_their_range():
    with CONSTANTS.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            assert row["status"] in {"measured", "theory", "assumption"}, row["name"]
            assert row["source"] and row["unit"], row["name"]
            low, high = row["low"] or row["value"], row["high"] or row["value"]
            assert float(low) <= float(row["value"]) <= float(high), row["name"]


def test_captured_graph_sizes():
    one = dict.fromkeys(GRAPHS, 0.0) | {"fixed_bytes": 51.0}
    # 1, 2, 4, 8, 16; then 32 batches up to 256; 51 up to 512 and no more
    sizes = overhead.vllm_graph_bytes(1, 1, [8, 128, 256, 1024], **one)
    assert sizes.tolist() == [5, 35, 51, 51]


def test_llamacpp_compute_buffers_of_logs():
    # m1253: Llama-3-8B, 8,192 cells, no flash attention; m1257: the same on several GPUs
    shape = (8192, 512, 4096, 128_256, 32)
    alone = overhead.llamacpp_compute_bytes(*shape, flash_attention=False)
    shared = overhead.llamacpp_compute_bytes(*shape, flash_attention=False, devices=2)
    assert alone / MIB == 560 and shared / MIB == 640
    # m1082: GLM-Z1-32B, 32,768 cells, flash attention, mainline
    glm = overhead.llamacpp_compute_bytes(32_768, 512, 6144, 151_552, 48, fixed_bytes=MIB)
    assert glm / MIB == 353
    # m0878 and m1098: DeepSeek-R1 in ik_llama.cpp with -amb 512
    latent = (512, 7168, 129_280, 128, 512, 64, 128)
    r1 = [
        overhead.llamacpp_latent_compute_bytes(n, *latent, ik=True, attention_limit=512 * MIB)
        for n in (65_536, 32_768)
    ]
    assert np.allclose(np.array(r1) / MIB, [6081, 3425], rtol=0.001)


def test_full_offload():
    needed = overhead.offload_bytes(40e9, 5e9, 1e9, devices=2, device_bytes=0.5e9)
    assert needed == 48e9
    assert memory.missing_bytes(needed, 2 * 23e9) == 2e9
    assert memory.missing_bytes(needed, 2 * 25e9) == 0
    assert memory.missing_bytes(10, -5) == 15


def test_usable_memory():
    assert memory.usable_memory(64e9, 0.75, 8e9) == 40e9
    assert memory.usable_memory(4e9, 1, 8e9) == 0


def test_free_fraction_and_overdrawn_pool():
    assert memory.kv_pool_bytes(100, 1, 40, 10, free_fraction=0.9) == 45
    # what is missing is not scaled
    assert memory.kv_pool_bytes(100, 1, 120, 10, free_fraction=0.9) == -30


def test_layer_groups_pay_for_padding():
    # 10 full and 52 windowed layers: groups of 10, so 70 layers are paid for 62
    plain = memory.max_concurrency(1e9, 1024, 10, 52, 1024, max_num_batched_tokens=1024)
    padded = memory.max_concurrency(
        1e9, 1024, 10, 52, 1024, max_num_batched_tokens=1024, full_layers=10, sliding_layers=52
    )
    assert padded / plain == pytest.approx((10 * 1024 + 52 * 1040) / (10 * 1024 + 60 * 1040))


def test_arrays_equal_scalars():
    ranks = [1, 2, 4, 16]
    whole = memory.kv_bytes_per_token(61, 8, 128, 96, 1.0625, ranks)
    assert whole.tolist() == [memory.kv_bytes_per_token(61, 8, 128, 96, 1.0625, n) for n in ranks]
    pools = np.array([-1e9, 1e9, 30e9])
    whole = memory.max_concurrency(pools, 4096, 131_072)
    assert whole.tolist() == [memory.max_concurrency(pool, 4096, 131_072) for pool in pools]


def test_integers_are_not_truncated():
    assert memory.usable_memory(3, 0.5) == 1.5
    assert memory.max_concurrency(10, 16, 1) == 0.625
    assert memory.kv_bytes_per_token(1, 1, 1, 1, 1).dtype == float


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: memory.kv_bytes_per_token(-1, 8, 1, 1, 2), "layers = -1"),
        (lambda: memory.kv_bytes_per_token(1, 8, 1, 1, 2, 0), "tensor_parallel = 0"),
        (lambda: memory.kv_pool_bytes(80e9, 90, 1e9), "utilisation = 90"),
        (lambda: memory.usable_memory(80e9, 98), "share = 98"),
        (lambda: memory.sequences_that_fit(1e9, 0), "bytes_per_sequence = 0"),
        (lambda: memory.max_concurrency(1e9, 0, 1), "max_model_len = 0"),
        (lambda: memory.blocks(10, 0), "block = 0"),
    ],
)
def test_refusals_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


positive = st.floats(1, 1e6)


@given(positive, positive, positive, st.integers(1, 64))
def test_more_memory_never_holds_less(pool, more, size, context):
    less = memory.sequences_that_fit(pool, size * context)
    assert memory.sequences_that_fit(pool + more, size * context) >= less
    assert memory.max_concurrency(pool + more, context, size) >= memory.max_concurrency(
        pool, context, size
    )


@given(st.integers(1, 128), st.integers(1, 64), st.integers(1, 64))
def test_more_ranks_never_hold_more_each(heads, few, more):
    few, more = sorted((few, more))
    one = memory.kv_bytes_per_token(4, heads, 64, 64, 2, few)
    other = memory.kv_bytes_per_token(4, heads, 64, 64, 2, more)
    assert other <= one
    assert other * more >= memory.kv_bytes_per_token(4, heads, 64, 64, 2)
