"""Bits per weight of every tensor in every weight format.

GGUF formats follow llama.cpp tensor by tensor (``gguf``); the others quantise the matrices of
some parts and keep the rest at two bytes.
"""

from dataclasses import dataclass

from planner import gguf

# Same bits in another order of the rows, or another spelling.
ALIASES = {
    "other:iq4_xs_r4": "iq4_xs", "other:iq4_xs_r8": "iq4_xs", "other:q2_k_s": "q2_k_s",
    "other:q4_k_r4": "q4_k_m", "other:mix-q5_k_s": "q5_k_s", "other:ud-q3_k_s": "q3_k_s",
    "other:autoround-int4": "gptq-int4", "mxfp4-gguf": "gguf-mxfp4",
}  # fmt: skip
# Mixes without a public rule: bits per weight of the whole language model, as their makers
# print them (notes in data/measurements); those marked # are from memory.
WHOLE_MODEL_BITS = {
    "other:custom-iq4_k_r4": 4.52, "other:iq2_kl": 2.892, "other:iq3_kt": 3.594,
    "other:smol-iq3_k": 3.813, "other:q4f16_1": 4.5, "other:q8_k_r8": 8.06,
    "other:mix-iq4_k": 4.6,  #
    "other:mix-iq4-iq3": 3.9,  #
    "other:iq2_k_r4": 2.8,  #
    "other:iq2_ks": 2.6,  #
    "other:iq3_k_r4": 3.85,  #
    "other:iq4_k_r4": 4.94,  #
    "other:iq4_ks_r4": 4.7,  #
}  # fmt: skip
# Dynamic mixes: routed experts at one type (down matrices at the next in half of the layers),
# everything else wide. No published rule: expect -15 / +20 % on mixtures of experts.
DYNAMIC = {
    "other:ud-q2_k_xl": ("Q2_K", "Q3_K", "Q6_K", "q2_k"),
    "other:ud-q3_k_xl": ("Q3_K", "Q4_K", "Q6_K", "q3_k_m"),
    "other:ud-q4_k_xl": ("Q4_K", "Q5_K", "Q8_0", "q4_k_m"),
    "other:ud-q5_k_xl": ("Q5_K", "Q6_K", "Q8_0", "q5_k_m"),
    "other:ud-q6_k_xl": ("Q6_K", "Q8_0", "Q8_0", "q6_k"),
    "other:ud-q8_k_xl": ("Q8_0", "F16", "F16", "q8_0"),
}
WIDE_PARTS = frozenset(("embedding", "head", "norm", "router", "vision", "mtp"))
BLOCK_SCALES = 32 / 128**2  # one fp32 scale per 128 x 128 weights
GROUP_SCALES = (16 + 4) / 128  # fp16 scale and 4-bit zero point per 128 weights
GPTQ_INDEX = 0.006  # group index, one int32 per input row


@dataclass(frozen=True)
class Rule:
    """How a format stores the matrices it quantises: bits, bits per row, and what it leaves."""

    bits: float
    row_bits: float = 0.0
    experts_only: bool = False
    wide_bits: float = 16.0
    mtp_bits: float = 16.0
    latent_attention_bits: float | None = None
    linear_attention_bits: float | None = None


RULES = {
    "fp32": Rule(32.0, wide_bits=32.0, mtp_bits=32.0),
    "bf16": Rule(16.0),
    "fp16": Rule(16.0),
    "fp8": Rule(8 + BLOCK_SCALES, mtp_bits=8.0),
    "int8-w8a8": Rule(8.0, row_bits=16.0),
    "gptq-int8": Rule(8 + (16 + 8) / 128),
    "gptq-int4": Rule(4 + GROUP_SCALES + GPTQ_INDEX),
    "awq-int4": Rule(4 + GROUP_SCALES),
    "nvfp4": Rule(4.5, latent_attention_bits=16.0, linear_attention_bits=8.0),
    "mxfp4": Rule(4.25, experts_only=True),
    "other:int4-native": Rule(4.5, experts_only=True),
    "ternary": Rule(2.0),
}


def is_gguf(format_id):
    """True for formats of llama.cpp and its relatives."""
    known = ALIASES.get(format_id, format_id)
    return known in gguf.BASE_TYPE or known in DYNAMIC or known in WHOLE_MODEL_BITS


def bits_per_weight(tensor, format_id, architecture):
    """
    Stored bits per weight of one tensor, scales included.

    Parameters
    ----------
    tensor : Tensor
        The matrix or vector.
    format_id : str
        A format of ``data/formats.csv``, a ``gguf-`` one or a known mix.
    architecture : Architecture
        The model it belongs to: the rules depend on layer, heads and experts.

    Returns
    -------
    float
        Mean over the tensor's layers. [bit/parameter]

    References
    ----------
    .. [1] Fused scales: DeepSeek-V3 technical report, arXiv 2412.19437 (128 x 128 blocks);
       GPTQ arXiv 2210.17323; OCP Microscaling v1.0; NVFP4: E4M3 scale per 16 weights.
    .. [2] llama.cpp ``src/llama-quant.cpp`` for GGUF.
    """
    known = ALIASES.get(format_id, format_id)
    if known in RULES:
        return _rule_bits(tensor, RULES[known], known, architecture)
    if known in gguf.BASE_TYPE:
        return gguf.bits(tensor, known, architecture)
    if known in DYNAMIC:
        return _dynamic_bits(tensor, DYNAMIC[known], architecture)
    if known in WHOLE_MODEL_BITS:
        return 0.0 if tensor.part in ("vision", "mtp") else WHOLE_MODEL_BITS[known]
    raise ValueError(
        f"format_id = {format_id!r} has no rule; use a format of data/formats.csv, or add its bits "
        "per weight to WHOLE_MODEL_BITS in planner/quantisation.py"
    )


def _rule_bits(tensor, rule, format_id, architecture):
    if tensor.part == "mtp":
        return rule.mtp_bits
    if tensor.part in WIDE_PARTS or tensor.columns == 1 or tensor.name == "ssm_conv1d":
        return rule.wide_bits
    # The Qwen hybrids' FP8 checkpoints quantise routed experts only.
    hybrid_experts = format_id == "fp8" and architecture.model_type == "qwen3_5_moe_text"
    if (rule.experts_only or hybrid_experts) and architecture.moe_layers:
        return rule.bits if tensor.part == "experts" else rule.wide_bits
    if tensor.part == "linear_attention" and rule.linear_attention_bits:
        return rule.linear_attention_bits
    latent = architecture.caches[0].kind == "latent"
    if tensor.part in ("attention", "indexer") and latent and rule.latent_attention_bits:
        return rule.latent_attention_bits
    return rule.bits + rule.row_bits / tensor.columns


def _dynamic_bits(tensor, types, architecture):
    base, next_wider, rest, dense = types
    if not architecture.moe_layers or tensor.part in ("vision", "mtp"):
        return gguf.bits(tensor, dense, architecture)
    if gguf.stays_wide(tensor):
        return gguf.BLOCK_BITS["F32"]
    if tensor.part != "experts":
        return gguf.BLOCK_BITS[rest]
    base_bits, wider_bits = gguf.BLOCK_BITS[base], gguf.BLOCK_BITS[next_wider]
    return (base_bits + wider_bits) / 2 if tensor.name.startswith("ffn_down") else base_bits
