"""Bits and bytes of formats against logged sizes and by hand."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from planner import formats, gguf
from planner.architecture import read
from planner.quantisation import ALIASES, RULES

DATA = Path(__file__).resolve().parent.parent / "data"
MODELS = {m["id"]: m for m in json.loads((DATA / "models.json").read_text(encoding="utf-8"))}
ROWS = list(csv.DictReader((DATA / "formats.csv").read_text(encoding="utf-8").splitlines()))
GIB = 2**30
LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
TIED_BUT_STORED_TWICE = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "tiiuae/falcon-7b")
SHAPES = {}


def shape(identity):
    if identity not in SHAPES:
        model = MODELS[identity]
        SHAPES[identity] = read(
            model["config"],
            vision_parameters=model["vision_parameters"],
            mtp_parameters=model["mtp_parameters"],
        )
    return SHAPES[identity]


def resident(identity, format_id, tensor_parallel=1):
    parts = formats.weight_bytes_by_part(shape(identity), format_id, tensor_parallel)
    return sum(value for part, value in parts.items() if part != "mtp") / GIB


def tensor(identity, name):
    return next(t for t in shape(identity).tensors if t.name == name)


@pytest.mark.parametrize("identity", sorted(MODELS))
def test_bf16_is_two_bytes_per_parameter(identity):
    stored = formats.tensor_bytes(shape(identity), "bf16").sum()
    assert stored == pytest.approx(2 * shape(identity).total_parameters, rel=1e-9)
    published = MODELS[identity]["total_parameters"]
    if identity in TIED_BUT_STORED_TWICE:
        published -= shape(identity).parameters["embedding"]
    assert stored == pytest.approx(2 * published, rel=0.005)


# Weights per GPU that vLLM 0.19 logged on H100 (llm-d-planner, pull request 205). [GiB]
@pytest.mark.parametrize(
    ("identity", "format_id", "tensor_parallel", "logged", "band"),
    [
        (LLAMA_8B, "bf16", 1, 14.99, 0.002),
        (LLAMA_8B, "bf16", 2, 7.51, 0.002),
        (LLAMA_8B, "bf16", 4, 3.77, 0.003),
        (LLAMA_8B, "fp32", 1, 29.98, 0.002),
        (LLAMA_8B, "fp8", 1, 8.49, 0.003),
        (LLAMA_8B, "int8-w8a8", 1, 8.49, 0.003),
        (LLAMA_8B, "gptq-int4", 1, 5.38, 0.004),
        ("meta-llama/Llama-3.3-70B-Instruct", "fp8", 4, 16.96, 0.003),
        ("moonshotai/Kimi-Dev-72B", "bf16", 4, 34.01, 0.003),
        ("google/gemma-3-27b-it", "bf16", 1, 51.45, 0.003),
        ("mistralai/Mistral-Small-3.1-24B-Instruct-2503", "bf16", 4, 11.86, 0.003),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "bf16", 4, 21.76, 0.003),
        ("Qwen/Qwen3-30B-A3B", "bf16", 4, 14.25, 0.003),
        ("microsoft/phi-4", "bf16", 2, 13.77, 0.003),
        ("openai/gpt-oss-20b", "mxfp4", 1, 13.64, 0.006),
        ("openai/gpt-oss-20b", "mxfp4", 2, 7.01, 0.02),
    ],
)
def test_logged_weights_per_device(identity, format_id, tensor_parallel, logged, band):
    assert resident(identity, format_id, tensor_parallel) == pytest.approx(logged, rel=band)


# Sizes that llama.cpp and ik_llama.cpp print for GGUF files (llama.cpp perplexity README,
# llama-bench logs, ik_llama.cpp issues). [GiB]
@pytest.mark.parametrize(
    ("identity", "format_id", "logged"),
    [
        ("meta-llama/Meta-Llama-3-8B", "gguf-fp16", 14.97),
        ("meta-llama/Meta-Llama-3-8B", "q5_k_m", 5.33),
        ("meta-llama/Meta-Llama-3-8B", "q4_k_m", 4.58),
        ("meta-llama/Meta-Llama-3-8B", "iq4_xs", 4.14),
        ("meta-llama/Meta-Llama-3-8B", "q4_0", 4.34),
        ("meta-llama/Meta-Llama-3-8B", "q3_k_l", 4.03),
        ("meta-llama/Meta-Llama-3-8B", "q3_k_m", 3.74),
        ("meta-llama/Meta-Llama-3-8B", "q3_k_s", 3.41),
        ("meta-llama/Meta-Llama-3-8B", "iq3_m", 3.53),
        ("meta-llama/Meta-Llama-3-8B", "iq3_xxs", 3.05),
        ("meta-llama/Meta-Llama-3-70B", "iq1_s", 14.29),
        ("meta-llama/Meta-Llama-3-70B", "iq2_xs", 19.69),
        ("meta-llama/Meta-Llama-3-70B", "iq3_xs", 27.29),
        ("meta-llama/Meta-Llama-3-70B", "q3_k_m", 31.91),
        ("google/gemma-3-27b-it", "q4_k_m", 15.404),
        ("google/gemma-3-4b-it", "q3_k_s", 1.80),
        ("deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", "q4_k_m", 9.649),
        ("deepseek-ai/DeepSeek-R1", "q8_0", 664.295),
        ("zai-org/GLM-Z1-32B-0414", "iq4_xs", 16.382),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "q6_k", 82.35),
        ("openai/gpt-oss-20b", "gguf-mxfp4", 11.27),
        ("Qwen/Qwen3.5-35B-A3B", "gguf-bf16", 64.60),
    ],
)
def test_logged_gguf_sizes(identity, format_id, logged):
    stored = formats.tensor_bytes(shape(identity), format_id).sum() / GIB
    assert stored == pytest.approx(logged, rel=0.004)


def test_rows_that_fill_no_block_fall_back():
    # 29,568 is a multiple of 32 but not of 256, so Q4_K and Q6_K become Q5_0 and Q8_0.
    model = shape("Qwen/Qwen2.5-72B-Instruct")
    down = tensor("Qwen/Qwen2.5-72B-Instruct", "ffn_down")
    assert {gguf.block_type(down, "q4_k_m", model, layer, 80) for layer in range(80)} == {
        "Q5_0", "Q8_0",
    }  # fmt: skip
    whole = 8 * formats.tensor_bytes(model, "q4_k_m").sum() / model.main_parameters
    assert whole == pytest.approx(5.22, abs=0.01)  # logged for this file


def test_wide_classes_stay_wide():
    model = shape("openai/gpt-oss-20b")
    bits = {
        t.name: formats.bits_per_weight(t, "mxfp4", model) for t in model.tensors if t.columns > 1
    }
    assert bits["attn_q"] == bits["token_embd"] == bits["ffn_gate_inp"] == 16
    assert bits["ffn_up_exps"] == 4.25
    assert formats.bits_per_weight(tensor(LLAMA_8B, "output"), "awq-int4", shape(LLAMA_8B)) == 16


def test_scales_by_hand():
    model, up = shape(LLAMA_8B), tensor(LLAMA_8B, "ffn_up")
    assert formats.bits_per_weight(up, "awq-int4", model) == 4 + 16 / 128 + 4 / 128
    assert formats.bits_per_weight(up, "int8-w8a8", model) == 8 + 16 / 4096
    assert formats.bits_per_weight(up, "fp8", model) == 8 + 32 / 16384
    assert formats.bits_per_weight(up, "nvfp4", model) == 4 + 8 / 16


def test_nvfp4_keeps_latent_attention_wide():
    model = shape("deepseek-ai/DeepSeek-R1")
    query = tensor("deepseek-ai/DeepSeek-R1", "attn_q_b")
    assert formats.bits_per_weight(query, "nvfp4", model) == 16


def test_ranks_share_and_repeat():
    model = shape("Qwen/Qwen2.5-7B-Instruct")  # four key-value heads
    names = [t.name for t in model.tensors]
    key = [formats.shard_shares(model, n)[names.index("attn_k")] for n in (1, 2, 4, 8, 16)]
    assert key == [1, 0.5, 0.25, 0.25, 0.25]
    latent = shape("deepseek-ai/DeepSeek-V3")
    names = [t.name for t in latent.tensors]
    assert formats.shard_shares(latent, 8)[names.index("attn_kv_a")] == 1
    assert formats.shard_shares(latent, 8)[names.index("attn_kv_b")] == 1 / 8


@pytest.mark.parametrize("identity", [LLAMA_8B, "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3.5-27B"])
def test_more_ranks_hold_less_each_and_no_less_together(identity):
    held = np.array([resident(identity, "fp8", n) for n in (1, 2, 4, 8)])
    assert np.all(np.diff(held) < 0)
    assert np.all(np.diff(held * [1, 2, 4, 8]) > -0.01 * held[0])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_catalogue_bits_are_those_of_the_rules(row):
    record = formats.Format(**row)
    if record.family == "gguf":
        assert record.bits == gguf.BLOCK_BITS[gguf.BASE_TYPE[record.id]]
    else:
        assert record.bits == pytest.approx(RULES[record.id].bits, abs=0.011)
    assert set(record.engines) and formats.is_gguf(record.id) == (record.family == "gguf")
    assert record.compute_precision in ("fp32", "bf16", "fp16", "fp8", "int8", "fp4")


def test_every_native_format_has_a_row():
    assert {m["native_format"] for m in MODELS.values()} <= {row["id"] for row in ROWS}


def test_known_mixes():
    assert set(ALIASES.values()) <= set(gguf.BASE_TYPE) | set(RULES)
    model = shape("moonshotai/Kimi-K2-Instruct")
    stored = 8 * formats.tensor_bytes(model, "other:iq2_kl").sum() / model.main_parameters
    assert stored == pytest.approx(2.892)
    dynamic = shape("deepseek-ai/DeepSeek-R1")
    stored = formats.tensor_bytes(dynamic, "other:ud-q2_k_xl").sum() / 1e9
    assert 212 < stored < 251  # GB, the first and the last file published under this name


def test_file_kind_follows_the_engine():
    assert formats.for_engine("bf16", "ik_llama.cpp") == "gguf-bf16"
    assert formats.for_engine("q4_k_m", "llama.cpp") == "q4_k_m"
    assert formats.for_engine("bf16", "sglang") == "bf16"


@pytest.mark.parametrize(
    ("label", "size"),
    [("auto", 2), ("", 2), (None, 2), (float("nan"), 2), ("fp8_e4m3", 1), ("fp32", 4),
     ("q8_0 (MLA latent)", 1.0625), ("iq4_nl/f16", 1.28125)],
)  # fmt: skip
def test_cache_element(label, size):
    assert formats.cache_element_bytes(label) == size


def test_automatic_cache_follows_fp32_weights():
    assert formats.cache_element_bytes("auto", "fp32") == 4


def test_refusals():
    model = shape(LLAMA_8B)
    with pytest.raises(ValueError, match=r"other:thireus-mix.*formats\.csv"):
        formats.tensor_bytes(model, "other:thireus-mix")
    with pytest.raises(ValueError, match=r"int3.*use one of"):
        formats.cache_element_bytes("int3")
    for ranks in (0, -1, 1.5):
        with pytest.raises(ValueError, match="tensor_parallel"):
            formats.shard_shares(model, ranks)
