"""Counts against published totals, by hand for one tiny model per family, and refusals."""

import json
from pathlib import Path

import pytest

from planner import architecture, import_model
from planner.architecture import UnknownArchitecture, read

DATA = Path(__file__).resolve().parent.parent / "data"
MODELS = {m["id"]: m for m in json.loads((DATA / "models.json").read_text(encoding="utf-8"))}
# Published figures that are rounded, count quantisation scales or buffers, or store a tied
# output matrix a second time; every other model is counted to the last parameter.
NOT_EXACT = {
    "EleutherAI/gpt-j-6b", "MiniMaxAI/MiniMax-M2.5", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B",
    "deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-V3.1", "google/gemma-4-26B-A4B-it",
    "google/gemma-4-31B-it", "meta-llama/Llama-2-13b-hf", "meta-llama/Llama-2-70b-hf",
    "meta-llama/Llama-2-7b-hf", "mistralai/Devstral-2-123B-Instruct-2512",
    "mistralai/Devstral-Small-2-24B-Instruct-2512",
    "mistralai/Mistral-Small-3.2-24B-Instruct-2506", "moonshotai/Kimi-K2-Instruct",
    "moonshotai/Kimi-K2-Thinking", "moonshotai/Kimi-VL-A3B-Instruct",
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", "tiiuae/falcon-7b",
}  # fmt: skip
STORED_TWICE = {"Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "tiiuae/falcon-7b"}
TINY = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 10,
}


def shape(identity):
    model = MODELS[identity]
    return read(
        model["config"],
        vision_parameters=model["vision_parameters"],
        mtp_parameters=model["mtp_parameters"],
    )


def tiny(model_type, **changes):
    config = {"model_type": model_type, **TINY, **changes}
    return read({key: value for key, value in config.items() if value != "absent"})


@pytest.mark.parametrize("identity", sorted(MODELS))
def test_counts_equal_the_published_total(identity):
    counted = shape(identity)
    published = MODELS[identity]["total_parameters"]
    total = counted.total_parameters
    if identity in STORED_TWICE:
        total += counted.parameters["embedding"]
    if identity in NOT_EXACT:
        assert total == pytest.approx(published, rel=0.0005)
    else:
        assert total == published


@pytest.mark.parametrize(
    ("identity", "label"),
    [
        ("Qwen/Qwen3-30B-A3B", 3.3e9),
        ("Qwen/Qwen3-235B-A22B", 22e9),
        ("deepseek-ai/DeepSeek-V3", 37e9),
        ("moonshotai/Kimi-K2-Instruct", 32e9),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 12.9e9),
        ("Qwen/Qwen1.5-MoE-A2.7B", 2.7e9),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 17e9),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", 17e9),
        ("openai/gpt-oss-120b", 5.7e9),  # 5.1 in the vendor's count, which leaves the table out
    ],
)
def test_active_parameters_are_near_the_vendors_label(identity, label):
    assert shape(identity).active_parameters == pytest.approx(label, rel=0.05)


def test_dense_model_by_hand():
    # Layer: q and o 8x8, k and v 8x4 (two heads of two), three 8x16 matrices, two norms.
    layer = 2 * 64 + 2 * 32 + 3 * 128 + 2 * 8
    assert tiny("llama").total_parameters == 2 * layer + 8 + 2 * 80
    assert tiny("llama", tie_word_embeddings=True).total_parameters == 2 * layer + 8 + 80
    assert tiny("qwen2").total_parameters == 2 * (layer + 16) + 8 + 160  # bias 8 + 4 + 4
    assert tiny("qwen3").total_parameters == 2 * (layer + 4) + 8 + 160  # two norms of width 2


def test_two_matrix_families_by_hand():
    layer = 2 * 64 + 2 * 32 + 2 * 128
    assert tiny("mpt").total_parameters == 2 * (layer + 16) + 8 + 80
    assert tiny("falcon").total_parameters == 2 * (layer + 16) + 16 + 80
    biased = layer + 16 + 8 + (8 + 4 + 4) + 8 + 16  # feed-forward, query to value, output, norm
    assert tiny("phi").total_parameters == 2 * biased + 16 + 80 + 80 + 10


def test_experts_by_hand():
    moe = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 6}
    counted = tiny("qwen3_moe", **moe)
    assert counted.parameters["experts"] == 2 * 4 * 3 * 8 * 6
    assert counted.parameters["router"] == 2 * 4 * 8
    assert counted.active_parameters == counted.total_parameters - 2 * 2 * 3 * 8 * 6
    shared = tiny("qwen2_moe", **moe, shared_expert_intermediate_size=5)
    assert shared.parameters["shared_experts"] == 2 * (3 * 8 * 5 + 8)
    every_second = tiny("qwen3_moe", **moe, decoder_sparse_step=2)
    assert every_second.moe_layers == 1
    assert every_second.parameters["ffn"] == 3 * 8 * 16


def test_latent_attention_by_hand():
    latent = {
        "kv_lora_rank": 6, "q_lora_rank": 5, "qk_nope_head_dim": 3, "qk_rope_head_dim": 2,
        "v_head_dim": 4, "num_key_value_heads": 4,
    }  # fmt: skip
    counted = tiny("deepseek_v3", **latent)
    # q_a, q_b, kv_a, kv_b, o
    assert counted.parameters["attention"] == 2 * (
        5 * 8 + 4 * 5 * 5 + 8 * 8 + 4 * 7 * 6 + 8 * 4 * 4
    )
    assert counted.parameters["norm"] == 2 * (16 + 5 + 6) + 8
    without = tiny("deepseek_v2", **{**latent, "q_lora_rank": None})
    assert without.parameters["attention"] == 2 * (4 * 5 * 8 + 8 * 8 + 4 * 7 * 6 + 8 * 16)
    sparse = tiny("deepseek_v32", **latent, index_n_heads=2, index_head_dim=3, index_topk=7)
    assert sparse.parameters["indexer"] == 2 * (6 * 5 + 3 * 8 + 6 + 2 * 8)
    assert sparse.caches[0].window == 7


def test_linear_attention_by_hand():
    counted = tiny(
        "qwen3_next",
        layer_types=["linear_attention", "full_attention"],
        head_dim=2,
        linear_num_key_heads=1,
        linear_num_value_heads=2,
        linear_key_head_dim=3,
        linear_value_head_dim=4,
        linear_conv_kernel_dim=4,
    )
    mixed = 2 * 3 + 8
    assert counted.parameters["linear_attention"] == 8 * (mixed + 8 + 4) + mixed * 4 + 8 * 8
    assert counted.parameters["attention"] == 8 * (16 + 4 + 4) + 8 * 8  # gate doubles the query
    state = next(cache for cache in counted.caches if cache.kind == "state")
    assert state.layers == (0,)
    assert state.state_bytes == 3 * mixed * 2 + 2 * 3 * 4 * 4


def test_mamba_by_hand():
    counted = tiny(
        "nemotron_h",
        num_hidden_layers=3,
        hybrid_override_pattern="M*E",
        mamba_num_heads=2,
        mamba_head_dim=3,
        ssm_state_size=4,
        n_groups=1,
        conv_kernel=4,
        n_routed_experts=2,
        num_experts_per_tok=1,
        n_shared_experts=1,
        moe_intermediate_size=5,
        moe_shared_expert_intermediate_size=7,
        moe_latent_size=4,
    )
    mixed = 6 + 2 * 4
    assert counted.parameters["linear_attention"] == 8 * (6 + mixed + 2) + mixed * 4 + 6 * 8
    assert counted.parameters["experts"] == 2 * 2 * 4 * 5
    assert counted.parameters["shared_experts"] == 2 * 8 * 7
    assert counted.parameters["ffn"] == 2 * 8 * 4
    assert counted.linear_layers == 1 and counted.moe_layers == 1


def test_sliding_layers():
    kinds = {cache.kind: cache for cache in shape("google/gemma-3-27b-it").caches}
    assert len(kinds["sliding"].layers) == 52 and len(kinds["full"].layers) == 10
    assert kinds["sliding"].window == 1024
    wide = {cache.kind: cache for cache in shape("google/gemma-4-26B-A4B-it").caches}
    assert (wide["full"].kv_heads, wide["full"].key_dim) == (2, 512)
    assert (wide["sliding"].kv_heads, wide["sliding"].key_dim) == (8, 256)
    # Off by the config's own switch.
    assert [
        cache.kind for cache in tiny("qwen2", sliding_window=4, use_sliding_window=False).caches
    ] == ["full"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model_type": "deepseek_v4"}, "deepseek_v4"),
        ({"model_type": None}, "None"),
        ({"hidden_size": "absent"}, "hidden_size"),
        ({"num_hidden_layers": -2}, "num_hidden_layers"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_attention_heads": 2.5}, "num_attention_heads"),
        ({"num_attention_heads": "four"}, "num_attention_heads"),
        ({"num_attention_heads": float("nan")}, "num_attention_heads"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"hidden_size": 9}, "head_dim"),
        ({"attention_lora_rank": 4}, "attention_lora_rank"),
        ({"num_hash_layers": 3}, "num_hash_layers"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"layer_types": ["full_attention", "wave"]}, "wave"),
        ({"num_experts": 4}, "num_experts_per_tok"),
    ],
)
def test_refuses_what_it_cannot_count(changes, word):
    with pytest.raises(UnknownArchitecture, match=word):
        tiny(**{"model_type": "llama", **changes})


def test_refuses_weights_it_does_not_count():
    with pytest.raises(UnknownArchitecture, match="num_kv_shared_layers"):
        tiny("gemma4_text", num_kv_shared_layers=1)


def test_harmless_keys_pass():
    noise = {"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_scaling": {"factor": 8.0}}
    assert tiny("llama", **noise).total_parameters == tiny("llama").total_parameters


def test_every_model_type_in_the_data_has_traits():
    assert {m["config"]["model_type"] for m in MODELS.values()} <= set(architecture.MODEL_TYPES)


def test_import_model_prints_the_count_and_a_record(tmp_path):
    path = tmp_path / "config.json"
    nested = {"text_config": MODELS["Qwen/Qwen3-VL-32B-Instruct"]["config"], "vision_config": {}}
    path.write_text(json.dumps(nested), encoding="utf-8")
    text = import_model.import_model(path, stated_total=33357390064)
    assert "+1.78 % off the stated total" in text
    record = json.loads(text[text.index("{") :])
    assert record["vision_parameters"] == 595266800
    table = import_model.count(nested)
    assert table.set_index("part").loc["total", "parameters"] == 32762123264
