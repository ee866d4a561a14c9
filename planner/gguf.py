"""GGUF files: which block type llama.cpp gives each tensor of a mixed format, and its bits.

References
----------
.. [1] llama.cpp, ``src/llama-quant.cpp`` (choice of type by tensor, layer and format, and the
   wider type a matrix falls back to when its rows do not fill whole blocks).
.. [2] ggml block layouts, package ``gguf``, ``GGML_QUANT_SIZES``.
"""

import numpy as np

BLOCK_BITS = {
    "F32": 32.0, "F16": 16.0, "BF16": 16.0, "Q8_0": 8.5, "Q6_K": 6.5625, "Q5_K": 5.5,
    "Q5_1": 6.0, "Q5_0": 5.5, "Q4_K": 4.5, "Q4_0": 4.5, "IQ4_NL": 4.5, "IQ4_XS": 4.25,
    "MXFP4": 4.25, "Q3_K": 3.4375, "IQ3_S": 3.4375, "IQ3_XXS": 3.0625, "Q2_K": 2.625,
    "IQ2_S": 2.5625, "IQ2_XS": 2.3125, "IQ2_XXS": 2.0625, "IQ1_M": 1.75, "IQ1_S": 1.5625,
}  # fmt: skip
SMALL_BLOCK = {"F32": 1, "F16": 1, "BF16": 1} | dict.fromkeys(
    ("Q8_0", "Q5_0", "Q5_1", "Q4_0", "IQ4_NL", "MXFP4"), 32
)
FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}  # every other type: IQ4_NL
BASE_TYPE = {
    "gguf-fp32": "F32", "gguf-fp16": "F16", "gguf-bf16": "BF16", "gguf-mxfp4": "Q8_0",
    "q8_0": "Q8_0", "q6_k": "Q6_K", "q5_k_m": "Q5_K", "q5_k_s": "Q5_K", "q5_0": "Q5_0",
    "q4_k_m": "Q4_K", "q4_k_s": "Q4_K", "q4_0": "Q4_0", "iq4_nl": "IQ4_NL", "iq4_xs": "IQ4_XS",
    "q3_k_l": "Q3_K", "q3_k_m": "Q3_K", "q3_k_s": "Q3_K", "q2_k": "Q2_K", "q2_k_s": "Q2_K",
    "iq3_m": "IQ3_S", "iq3_s": "IQ3_S", "iq3_xs": "IQ3_S", "iq3_xxs": "IQ3_XXS",
    "iq2_m": "IQ2_S", "iq2_s": "IQ2_XS", "iq2_xs": "IQ2_XS", "iq2_xxs": "IQ2_XXS",
    "iq1_m": "IQ1_M", "iq1_s": "IQ1_S",
}  # fmt: skip
FULL_PRECISION = {"F32", "F16", "BF16"}
VERY_LOW = {"iq2_m", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s"}
ROLES = {
    "token_embd": "embedding", "output": "head", "attn_v": "value", "attn_qkv": "value",
    "attn_kv_b": "value", "attn_k": "key", "attn_q": "query", "attn_output": "attention_output",
}  # fmt: skip
# The type of a role in a format where it differs from the base type, whatever the layer.
FIXED = {
    "value": {"q2_k": "Q3_K", "iq3_m": "Q4_K", "q3_k_m": "Q4_K", "q3_k_l": "Q5_K"}
    | dict.fromkeys(VERY_LOW, "Q2_K") | {"iq2_m": "IQ3_S", "iq2_s": "IQ3_S"},
    "key": {"iq3_xs": "IQ3_XXS", "iq3_xxs": "IQ2_S"},
    "query": {"iq3_xs": "IQ3_XXS", "iq3_xxs": "IQ2_S"},
    "down": {"q2_k": "Q3_K", "q3_k_m": "Q4_K", "q3_k_l": "Q5_K"},
    "attention_output": {
        "q2_k": "Q3_K", "iq3_xxs": "IQ3_S", "q3_k_m": "Q4_K", "q3_k_l": "Q5_K", "iq3_m": "Q4_K",
        "iq1_s": "IQ2_XXS", "iq1_m": "IQ2_XXS", "iq2_s": "IQ3_S", "iq2_m": "IQ3_S",
    },
    "embedding": {
        "iq2_xxs": "Q2_K", "iq2_xs": "Q2_K", "iq1_s": "Q2_K", "iq1_m": "Q2_K",
        "iq2_s": "IQ3_S", "iq2_m": "IQ3_S", "iq3_xxs": "IQ3_S",
    },
}  # fmt: skip
# Values shared by four or more query heads are small, so they are stored wider.
SHARED_VALUE = dict.fromkeys(("q2_k", "q2_k_s", "iq3_xxs", "iq3_xs", "iq3_s"), "Q4_K") | {
    "iq4_xs": "Q5_K",
    "iq4_nl": "Q5_K",
}
WIDER_IN_SOME_LAYERS = {"q4_k_m": "Q6_K", "q5_k_m": "Q6_K"}
FIRST_EIGHTH_DOWN = {"q4_k_s": "Q5_K", "q2_k_s": "Q4_K", "iq3_m": "Q4_K"} | {
    **dict.fromkeys(VERY_LOW, "Q2_K"),
    "iq2_m": "IQ3_S",
    "iq2_s": "IQ3_S",
}
EIGHT_EXPERT_OUTPUT = VERY_LOW | {
    "q2_k", "iq3_xs", "iq3_xxs", "q3_k_s", "q3_k_m", "iq4_nl", "q4_k_s", "q4_k_m", "iq3_s",
    "iq3_m", "iq4_xs",
}  # fmt: skip


def role(name):
    """Role of a tensor in the choice of its type; "" takes the base type."""
    for prefix in ("ffn_down", "ffn_gate", "ffn_up"):
        if name.startswith(prefix):
            return prefix.removeprefix("ffn_")
    return ROLES.get(name, "")


def stays_wide(tensor):
    """True for tensors that llama.cpp keeps in 32 bits: vectors, routers, convolutions."""
    return tensor.columns == 1 or tensor.part in ("router", "norm") or tensor.name == "ssm_conv1d"


def _more_bits(position, count):
    """First and last eighth, and every third layer between."""
    return (
        (position < count // 8) | (position >= 7 * count // 8) | ((position - count // 8) % 3 == 2)
    )


def _value_type(format_id, position, count, architecture):
    shared = architecture.query_heads // architecture.kv_heads >= 4
    eight = architecture.experts == 8
    chosen = FIXED["value"].get(format_id, BASE_TYPE[format_id])
    if format_id in VERY_LOW:
        return "Q4_K" if shared or architecture.experts >= 4 else chosen
    if eight:
        return "Q8_0"
    if shared:
        chosen = SHARED_VALUE.get(format_id, chosen)
    if format_id == "q3_k_m" and position < 2:
        chosen = "Q5_K"
    if format_id == "q4_k_s" and position < 4:
        chosen = "Q5_K"
    if format_id in WIDER_IN_SOME_LAYERS and _more_bits(position, count):
        chosen = WIDER_IN_SOME_LAYERS[format_id]
    # llama.cpp calls every dense 80-layer Llama or Qwen a 70B and gives its values five bits.
    seventy = architecture.layers == 80 and architecture.experts == 1
    return "Q5_K" if seventy and chosen in ("Q3_K", "Q4_K") else chosen


def _down_type(format_id, position, count, architecture):
    falcon, eight = architecture.model_type == "falcon", architecture.experts == 8
    more = _more_bits(position, count)
    if format_id in FIRST_EIGHTH_DOWN and position < count // 8 and not falcon:
        return FIRST_EIGHTH_DOWN[format_id]
    if format_id == "q3_k_m" and position < count // 16:
        return "Q5_K"
    if format_id == "iq3_m" and eight and more:
        return "Q4_K"
    if falcon and format_id == "q4_k_m":
        return "Q6_K" if position < count // 16 else ("Q5_K" if more else "Q4_K")
    if format_id in WIDER_IN_SOME_LAYERS and more:
        return WIDER_IN_SOME_LAYERS[format_id]
    return FIXED["down"].get(format_id, BASE_TYPE[format_id])


def block_type(tensor, format_id, architecture, position=0, count=1):
    """
    Block type of one tensor in one layer.

    Parameters
    ----------
    tensor : Tensor
        The matrix.
    format_id : str
        A GGUF format such as ``q4_k_m``.
    architecture : Architecture
        The model it belongs to.
    position, count : int
        Index among the layers (value matrices: among those matrices) and their number. [layer]

    Returns
    -------
    str
        A key of BLOCK_BITS.

    References
    ----------
    .. [1] llama.cpp, ``src/llama-quant.cpp``.
    """
    base, kind = BASE_TYPE[format_id], role(tensor.name)
    if stays_wide(tensor):
        return "F32"
    if base in FULL_PRECISION:
        return base
    eight = architecture.experts == 8
    chosen = FIXED.get(kind, {}).get(format_id, base)
    if kind == "head" or (kind == "embedding" and architecture.tied):
        chosen = "Q5_K" if format_id in VERY_LOW | {"iq3_xxs"} else "Q6_K"
        whole = tensor.columns % SMALL_BLOCK.get(base, 256) == 0
        if base == "Q8_0" or not whole or architecture.model_type == "falcon":
            chosen = "Q8_0"
    elif format_id == "gguf-mxfp4":
        chosen = "MXFP4" if tensor.part == "experts" else "Q8_0"
    elif kind == "value":
        chosen = _value_type(format_id, position, count, architecture)
    elif kind == "key" and eight:
        chosen = "Q4_K" if format_id in VERY_LOW else "Q8_0"
    elif kind == "attention_output" and eight:
        chosen = "Q5_K" if format_id in EIGHT_EXPERT_OUTPUT else base
    elif kind == "down":
        chosen = _down_type(format_id, position, count, architecture)
    elif kind in ("gate", "up") and format_id == "iq3_xs":
        chosen = "IQ3_XXS" if count // 8 <= position < 7 * count // 8 else base
    if tensor.columns % SMALL_BLOCK.get(chosen, 256):
        chosen = FALLBACK.get(chosen, "IQ4_NL")
        if tensor.columns % 32:
            chosen = "F16"
    return chosen


def bits(tensor, format_id, architecture):
    """
    Mean bits per weight of a tensor over its layers, vision and MTP excluded.

    Parameters
    ----------
    tensor : Tensor
        The matrix.
    format_id : str
        A GGUF format.
    architecture : Architecture
        The model it belongs to.

    Returns
    -------
    float
        Stored size. [bit/parameter]

    References
    ----------
    .. [1] llama.cpp, ``src/llama-quant.cpp``.
    """
    if tensor.part in ("vision", "mtp"):
        # The tower is a file of its own; of the MTP blocks only GLM's is kept.
        kept = tensor.part == "mtp" and architecture.model_type == "glm4_moe"
        return BLOCK_BITS[BASE_TYPE[format_id]] if kept else 0.0
    places, count = tensor.layers or (0,), architecture.layers
    if role(tensor.name) == "value":
        order = architecture.value_layers
        places, count = [order[layer] for layer in places], len(order)
    types = [block_type(tensor, format_id, architecture, place, count) for place in places]
    return float(np.mean([BLOCK_BITS[name] for name in types]))
