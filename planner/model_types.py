"""What tells one model family's layers from another's: a table of traits per ``model_type``.

A trait is listed only where it differs from the common case: RMS norms before attention and
feed-forward, three feed-forward matrices, grouped-query attention without biases.
"""

import re
from dataclasses import dataclass

from planner.tensors import UnknownArchitecture

STRUCTURAL = re.compile(
    "layer|head|hidden|intermediate|expert|lora|latent|window|vocab|size|dim|rank|mtp|nextn"
    "|kv|moe|ssm|mamba|linear|conv|shared|block|groups|pattern|ratio|compress|mult|^index_"
)


@dataclass(frozen=True)
class Traits:
    """Differences from a Llama layer."""

    norms: int = 2  # of width hidden_size, per layer
    norm_bias: bool = False  # LayerNorm with an offset
    inner_norms: bool = False  # norms inside the attention and feed-forward blocks
    gated: bool = True  # three feed-forward matrices, not two
    fused: bool = False  # query, key and value (gate and up) stored as one matrix
    query_key_norm: str = ""  # "head": one norm per head width; "whole": over all heads
    query_gate: str = ""  # "folded" into the query matrix, or a "separate" one
    sinks: int = 0  # learned attention sinks per head
    bias_query: bool = False
    bias_output: bool = False
    bias_feed_forward: bool = False
    bias_experts: bool = False
    bias_from_config: str = "all"  # what the key attention_bias turns on: "all" or "query"
    head_bias: bool = False
    router_bias: bool = False
    router_scale: bool = False  # a scale per input and per expert
    shared_experts: int = 0  # where no key tells
    shared_gate: bool = False
    tied: bool = False  # where no key tells
    extra_embedding_rows: int = 0
    full_period: int = 0  # every n-th layer is full attention when a window is set; 0 = none
    rotary_share: float = 1.0  # rows of the position table, in head widths
    mtp_keys: tuple[str, ...] = ()
    mtp_copies: bool = False  # the checkpoint repeats embedding and head in the MTP block
    vision_replicated: bool = False
    must_be_off: tuple[str, ...] = ()

    def router_extra(self, experts, hidden_size):
        """Router parameters beside its matrix. [parameter]"""
        return experts * self.router_bias + (experts + hidden_size) * self.router_scale


LATENT = {"router_bias": True, "mtp_keys": ("num_nextn_predict_layers",)}
GEMMA = {"norms": 4, "tied": True}
HYBRID = {"query_key_norm": "head", "query_gate": "folded", "rotary_share": 0.25}
HYBRID_MTP = {**HYBRID, "mtp_keys": ("mtp_num_hidden_layers",)}

MODEL_TYPES = {
    "llama": Traits(),
    "granite": Traits(tied=True),
    "mistral": Traits(vision_replicated=True),
    "ministral3": Traits(vision_replicated=True),
    "mixtral": Traits(),
    "phi3": Traits(fused=True),
    "qwen2": Traits(bias_query=True),
    "qwen2_moe": Traits(bias_query=True, shared_gate=True),
    "qwen3": Traits(query_key_norm="head"),
    "qwen3_moe": Traits(query_key_norm="head"),
    "qwen3_next": Traits(**HYBRID, shared_gate=True),
    "qwen3_5_text": Traits(**HYBRID_MTP),
    "qwen3_5_moe_text": Traits(**HYBRID_MTP, shared_gate=True),
    "glm4": Traits(norms=4, rotary_share=0.5),
    "glm4_moe": Traits(
        **LATENT,
        query_key_norm="head",
        bias_from_config="query",
        mtp_copies=True,
        rotary_share=0.5,
    ),
    "glm4_moe_lite": Traits(**LATENT, mtp_copies=True),
    "glm_moe_dsa": Traits(**LATENT),
    "deepseek_v2": Traits(),
    "deepseek_v3": Traits(**LATENT, mtp_copies=True),
    "deepseek_v32": Traits(**LATENT, mtp_copies=True),
    "kimi_k2": Traits(**LATENT, mtp_copies=True),
    "minimax_m2": Traits(
        query_key_norm="whole",
        router_bias=True,
        rotary_share=0.5,
        must_be_off=("shared_intermediate_size",),
    ),
    "gpt_oss": Traits(
        sinks=1, bias_query=True, bias_output=True, bias_experts=True, router_bias=True
    ),
    "llama4_text": Traits(shared_experts=1, full_period=4),
    "gemma": Traits(tied=True),
    "gemma2": Traits(**GEMMA, full_period=2),
    # The global table spans eight times the positions; the local one comes on top.
    "gemma3_text": Traits(**GEMMA, query_key_norm="head", full_period=6, rotary_share=9.0),
    "gemma4_text": Traits(
        **GEMMA,
        query_key_norm="head",
        router_scale=True,
        rotary_share=3.0,
        must_be_off=("num_kv_shared_layers", "hidden_size_per_layer_input"),
    ),
    "muse_glimmer_text": Traits(norms=4, query_gate="separate"),
    "starcoder2": Traits(gated=False, norm_bias=True, bias_feed_forward=True, tied=True),
    "gptj": Traits(
        norms=1,
        norm_bias=True,
        gated=False,
        bias_feed_forward=True,
        head_bias=True,
        rotary_share=0.25,
    ),
    "phi": Traits(
        norms=1,
        norm_bias=True,
        gated=False,
        bias_query=True,
        bias_output=True,
        bias_feed_forward=True,
        head_bias=True,
        rotary_share=0.4,
    ),
    "falcon": Traits(norms=1, norm_bias=True, gated=False, tied=True, fused=True),
    "mpt": Traits(gated=False, tied=True, fused=True, rotary_share=0.0),
    "bitnet": Traits(inner_norms=True, tied=True),
    "mllama_text_model": Traits(extra_embedding_rows=8),
    # The config gives a pattern for the MTP block but not all its sizes: the record states it.
    "nemotron_h": Traits(norms=1, gated=False, rotary_share=0.0),
}

# Keys that match a structural word and do not change what is stored.
HARMLESS_TEXT = """
hidden_act hidden_activation hidden_dropout hidden_dropout_prob attention_dropout head_dropout
layer_norm_eps layer_norm_epsilon layernorm_epsilon rms_norm_eps max_window_layers
use_sliding_window sliding_window sliding_window_pattern attention_chunk_size
norm_topk_prob n_group topk_group num_experts_per_tok output_router_logits layer_types
intermediate_size intermediate_size_mlp mlp_hidden_act mamba_hidden_act mamba_ssm_dtype
mamba_ssm_cache_dtype mamba_proj_bias chunk_size expand time_step_rank initializer_range
parallel_attn multi_query num_ln_in_parallel_attn new_decoder_architecture alibi attn_config
lm_head_bias embedding_multiplier residual_multiplier attention_multiplier logits_scaling
final_logit_softcapping attn_logit_softcapping query_pre_attn_scalar no_rope_layers
mtp_hybrid_override_pattern num_nextn_predict_layers mtp_num_hidden_layers num_mtp_modules
mtp_transformer_layers mtp_use_dedicated_embeddings pretraining_tp qk_layernorm use_conv_bias
use_mamba_kernels rope_parameters rope_interleave rotary_dim partial_rotary_factor head_dim
num_key_value_heads qk_head_dim scoring_func topk_method ep_size index_topk_freq
max_position_embeddings attention_k_eq_v moe_router_activation_func routed_scaling_factor
router_aux_loss_coef residual_in_fp32 rescale_prenorm_residual expert_dtype
embd_pdrop index_topk_pattern indexer_rope_interleave use_bidirectional_attention
hidden_size_per_layer_input num_kv_shared_layers shared_intermediate_size enable_moe_block
output_hidden_states chunk_size_feed_forward
vocab_size_per_layer_input num_global_key_value_heads global_head_dim use_double_wide_mlp
"""
HARMLESS_KEYS = frozenset(HARMLESS_TEXT.split())


class ConfigKeys:
    """Reads a config, checks every number, and remembers which keys were understood."""

    def __init__(self, config):
        self.config = config
        self.seen = {"model_type", "layer_types", *HARMLESS_KEYS}

    def number(self, *names, default=None, least=1):
        """First of ``names`` that is set, as an integer; refuse when absent and no default."""
        self.seen.update(names)
        for name in names:
            value = self.config.get(name)
            if value is None or value is False:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or value % 1 or value < least:
                raise UnknownArchitecture(
                    f"config key {name!r}: {value!r} is not a whole number of at least {least}; "
                    "copy the value from the published config.json"
                )
            return int(value)
        if default is None:
            raise UnknownArchitecture(
                f"config of model_type {self.config['model_type']!r} has no key {names[0]!r}; "
                "copy it from the published config.json"
            )
        return default

    def flag(self, name, default=False):
        """A true-or-false key."""
        self.seen.add(name)
        value = self.config.get(name)
        return default if value is None else bool(value)

    def sequence(self, name, default=()):
        """A list or a string of one entry per layer."""
        self.seen.add(name)
        return self.config.get(name) or default

    def refuse_unknown(self):
        """Refuse keys that look structural and were not read."""
        for name, value in self.config.items():
            if name not in self.seen and value and STRUCTURAL.search(name):
                raise UnknownArchitecture(
                    f"config key {name!r} (value {str(value)[:60]}) of model_type "
                    f"{self.config['model_type']!r} is not understood; if it does not change the "
                    "shape of the weights, add it to HARMLESS_KEYS in planner/model_types.py"
                )
