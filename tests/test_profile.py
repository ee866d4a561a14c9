"""Profiles: cache bytes against published figures, limits of sharding, and relations."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.architecture import read
from planner.profile import Profile, architecture_profile, profile

DATA = Path(__file__).resolve().parent.parent / "data"


def _model(record):
    shape = read(
        record["config"],
        vision_parameters=record["vision_parameters"],
        mtp_parameters=record["mtp_parameters"],
    )
    return SimpleNamespace(id=record["id"], architecture=shape)


RECORDS = json.loads((DATA / "models.json").read_text(encoding="utf-8"))
MODELS = {record["id"]: _model(record) for record in RECORDS}


@pytest.mark.parametrize(
    ("identity", "kv_bytes"),
    [
        ("Qwen/Qwen2.5-72B-Instruct", 327_680),
        ("Qwen/Qwen3-30B-A3B", 98_304),
        ("Qwen/Qwen2.5-Coder-32B-Instruct", 262_144),
        ("meta-llama/Llama-3.1-8B-Instruct", 131_072),
        ("deepseek-ai/DeepSeek-V3", 70_272),
        ("moonshotai/Kimi-K2-Instruct", 70_272),
    ],
)
def test_cache_bytes_per_token(identity, kv_bytes):
    assert profile(MODELS[identity], "bf16").kv_bytes == kv_bytes
    assert profile(MODELS[identity], "bf16", "fp8").kv_bytes == kv_bytes / 2


# KV buffers that llama.cpp allocates up front. [MiB]
@pytest.mark.parametrize(
    ("identity", "label", "cells", "logged"),
    [
        ("deepseek-ai/DeepSeek-R1", "q8_0 (MLA latent)", 65536, 2333.25),
        ("deepseek-ai/DeepSeek-R1", "f16 (MLA latent)", 163840, 10980.0),
        ("deepseek-ai/DeepSeek-V3", "f16 (MLA latent K 576 + V 512)", 16384, 2074.0),
        ("deepseek-ai/DeepSeek-R1", "f16 (expanded)", 512, 2440.0),
        ("google/gemma-3-27b-it", "fp16", 32768, 15872.0),
        ("zai-org/GLM-Z1-32B-0414", "q8_0", 5120, 162.03),
        ("meta-llama/Llama-3.1-8B-Instruct", "iq4_nl/f16", 1024, 82.0),
    ],
)
def test_logged_cache_buffers(identity, label, cells, logged):
    figures = profile(MODELS[identity], "q8_0", label)
    held = (figures.kv_bytes + figures.sliding_bytes) * cells / 2**20
    assert held == pytest.approx(logged, rel=1e-4)


def test_grouped_heads_stop_shrinking_and_latents_never_shrink():
    grouped = [profile(MODELS["Qwen/Qwen2.5-7B-Instruct"], "bf16", "auto", n) for n in (1, 2, 4, 8)]
    assert [p.kv_bytes for p in grouped] == [57344, 28672, 14336, 14336]
    latent = [profile(MODELS["deepseek-ai/DeepSeek-V3"], "fp8", "auto", n) for n in (1, 2, 4, 8)]
    assert {p.kv_bytes for p in latent} == {70272}


def test_linear_layers_hold_a_constant_state():
    figures = profile(MODELS["Qwen/Qwen3-Next-80B-A3B-Instruct"], "bf16")
    assert figures.linear_layers == 36
    assert figures.kv_bytes == 12 * 2 * 2 * 256 * 2  # full-attention layers only
    mixed = 2 * 16 * 128 + 32 * 128
    assert figures.state_bytes == 36 * (3 * mixed * 2 + 32 * 128 * 128 * 4)
    half = profile(MODELS["Qwen/Qwen3-Next-80B-A3B-Instruct"], "bf16", "auto", 2)
    assert half.state_bytes == figures.state_bytes / 2


def test_windowed_layers_are_kept_apart():
    figures = profile(MODELS["openai/gpt-oss-120b"], "mxfp4")
    assert figures.window == 128
    assert figures.kv_bytes == figures.sliding_bytes == 18 * 2 * 8 * 64 * 2
    whole = profile(MODELS["bigcode/starcoder2-15b"], "bf16")
    assert (whole.kv_bytes, whole.attention_flops, whole.window) == (0, 0, 4096)


def test_image_layers_hold_no_text_cache():
    figures = profile(MODELS["meta-llama/Llama-3.2-11B-Vision"], "bf16")
    assert figures.kv_bytes == 32 * 2 * 8 * 128 * 2


def test_attention_operations_by_hand():
    assert profile(MODELS["meta-llama/Llama-3.1-8B-Instruct"], "bf16").attention_flops == (
        32 * 4 * 32 * 128
    )
    assert profile(MODELS["deepseek-ai/DeepSeek-V3"], "fp8").attention_flops == (
        61 * 2 * 128 * (2 * 512 + 64)
    )
    # A sparse model scores every token with the indexer and attends to the best 2,048.
    sparse = profile(MODELS["deepseek-ai/DeepSeek-V3.2"], "fp8")
    assert sparse.attention_flops == 61 * 2 * 64 * 128
    assert (sparse.window, sparse.sliding_bytes) == (2048, 0)
    assert sparse.kv_bytes == 70272 + 61 * 132


def test_dense_model_has_no_experts():
    figures = profile(MODELS["Qwen/Qwen3-32B"], "bf16")
    assert (figures.experts, figures.experts_per_token) == (1, 1)
    assert (figures.expert_bytes, figures.expert_parameters, figures.moe_layers) == (0, 0, 0)
    table = 151936 * 5120
    assert figures.weight_bytes == 2 * 32762123264
    assert figures.dense_bytes == figures.weight_bytes - 2 * table
    assert figures.dense_parameters == 32762123264 - table


def test_tied_head_is_read_once():
    figures = profile(MODELS["Qwen/Qwen3-4B"], "bf16")
    assert figures.dense_bytes == figures.weight_bytes


def test_experts_are_counted_apart():
    figures = profile(MODELS["Qwen/Qwen3-30B-A3B"], "bf16")
    assert figures.expert_bytes == 2 * 28991029248
    assert (figures.experts, figures.experts_per_token, figures.moe_layers) == (128, 8, 48)
    active = figures.dense_parameters + figures.expert_parameters * 8 / 128
    assert active == pytest.approx(3.35e9 - 151936 * 2048, rel=0.01)


def test_checkpoint_holds_vision_and_mtp():
    # Bytes of safetensors files (medgemma-27b-it, same shape; Muse-Glimmer-30B; MiniMax-M2).
    for identity, form, size in (
        ("google/gemma-3-27b-it", "bf16", 54_864_813_280),
        ("meta-models/Muse-Glimmer-30B", "bf16", 59_553_253_376),
        ("MiniMaxAI/MiniMax-M2", "fp8", 230_121_630_720),
        ("Qwen/Qwen3.8-2.4T-A95B", "fp8", 2_496_154_358_768),
    ):
        assert profile(MODELS[identity], form).checkpoint_bytes == pytest.approx(size, rel=1e-3)
    mtp = profile(MODELS["deepseek-ai/DeepSeek-V3"], "fp8")
    assert mtp.checkpoint_bytes - mtp.weight_bytes == pytest.approx(13_463_426_304)


identities = st.sampled_from(sorted(MODELS))
weight_formats = st.sampled_from(
    ["bf16", "fp8", "int8-w8a8", "awq-int4", "nvfp4", "q4_k_m", "q8_0"]
)


@settings(max_examples=60, deadline=None)
@given(identities, weight_formats, st.sampled_from([1, 2, 4, 8]))
def test_relations(identity, form, ranks):
    figures = profile(MODELS[identity], form, "auto", ranks)
    assert isinstance(figures, Profile) and all(isinstance(value, float) for value in figures)
    assert all(value >= 0 for value in figures)
    assert figures.weight_bytes_rank <= profile(MODELS[identity], form).weight_bytes_rank
    assert figures.weight_bytes_rank * ranks >= 0.999 * figures.weight_bytes
    assert figures.checkpoint_bytes >= figures.weight_bytes
    assert figures.kv_bytes + figures.sliding_bytes + figures.state_bytes > 0
    assert profile(MODELS[identity], form, "fp8", ranks).kv_bytes <= figures.kv_bytes


def test_thousands_of_profiles_are_cheap():
    shapes = [model.architecture for model in MODELS.values()]
    architecture_profile.cache_clear()
    started = time.perf_counter()
    count = 0
    for shape in shapes:
        for form in ("bf16", "fp8", "awq-int4", "q4_k_m"):
            for ranks in (1, 2, 4, 8):
                architecture_profile(shape, form, "fp8", ranks)
                count += 1
    # About 0.2 ms each; the bound leaves room for a busy machine.
    assert (time.perf_counter() - started) / count < 2e-3


def test_refusals():
    with pytest.raises(ValueError, match="format_id"):
        profile(MODELS["Qwen/Qwen3-32B"], "q7_k")
    with pytest.raises(ValueError, match="kv_format"):
        profile(MODELS["Qwen/Qwen3-32B"], "bf16", "int3")
    with pytest.raises(ValueError, match="tensor_parallel"):
        profile(MODELS["Qwen/Qwen3-32B"], "bf16", "auto", 0)
