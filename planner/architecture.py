"""Read a model's config.json into tensors and caches: what there is to store and to move.

One table of traits per ``model_type`` replaces a code path per family. A model type or a
structural key that is not known is refused: a guess would be off by tens of per cent.
"""

from collections.abc import Mapping

from planner.model_types import MODEL_TYPES, ConfigKeys, Traits
from planner.tensors import Architecture, CacheLayers, Tensor, UnknownArchitecture

__all__ = ["Architecture", "CacheLayers", "Tensor", "UnknownArchitecture", "read"]

PATTERN_MIXERS = {"M": "mamba", "*": "full", "E": "none", "-": "none"}
PATTERN_FEED_FORWARDS = {"M": "none", "*": "none", "E": "moe", "-": "dense"}
LAYER_MIXERS = {
    "full_attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "sliding",
    "linear_attention": "linear",
}
EXPERT_KEYS = ("num_experts", "n_routed_experts", "num_local_experts")
SHARED_WIDTH_KEYS = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size")


def read(
    config: Mapping, *, vision_parameters: int = 0, mtp_parameters: int | None = None
) -> Architecture:
    """
    Read a ``config.json`` (its text part) into an Architecture.

    Parameters
    ----------
    config : Mapping
        Keys as in the published ``config.json``.
    vision_parameters : int
        Size of the vision tower and projector, which the text config cannot tell. [parameter]
    mtp_parameters : int, optional
        Size of the multi-token-prediction block where the config cannot tell; when left out it
        is counted as one more layer with its two-to-one projection. [parameter]

    Returns
    -------
    Architecture
        Tensors and caches. [parameter, B]

    References
    ----------
    .. [1] Hugging Face transformers 5.23, modeling files of each model type; the counts agree
       with the published checkpoint sizes listed in ``data/models.json``.

    Examples
    --------
    >>> config = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 16,
    ...           "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 10}
    >>> read(config).total_parameters == 2 * (4 * 8 * 8 + 3 * 8 * 16 + 2 * 8) + 8 + 2 * 10 * 8
    True
    """
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        raise UnknownArchitecture(
            f"model_type {model_type!r} is not known; add its traits to MODEL_TYPES in "
            "planner/model_types.py once its weights are understood"
        )
    traits = MODEL_TYPES[model_type]
    keys = ConfigKeys(config)
    builder = _Builder(keys, traits)
    builder.embedding()
    builder.attention()
    builder.state_space()
    builder.feed_forward()
    builder.norms()
    modules = keys.number(*traits.mtp_keys, default=0, least=0) if traits.mtp_keys else 0
    if mtp_parameters is None:
        mtp_parameters = modules * builder.mtp_module()
    if mtp_parameters:
        builder.add("mtp", "mtp", mtp_parameters, 1, (), "rows")
    if vision_parameters:
        split = "replicated" if traits.vision_replicated else "rows"
        builder.add("vision", "vision", vision_parameters, 1, (), split)
    for name in traits.must_be_off:
        if keys.number(name, default=0, least=0):
            raise UnknownArchitecture(
                f"config key {name!r} is set and its weights are not counted; only {name} = 0 works"
            )
    keys.refuse_unknown()
    return builder.architecture(model_type)


class _Builder:
    """Collects tensors and caches while the config is read."""

    def __init__(self, keys: ConfigKeys, traits: Traits):
        self.keys, self.traits = keys, traits
        self.tensors, self.caches = [], []
        self.hidden = keys.number("hidden_size")
        self.layers = keys.number("num_hidden_layers")
        self.vocab = keys.number("vocab_size")
        self.heads = keys.number("num_attention_heads")
        self.kv_heads = keys.number("num_key_value_heads", default=self.heads)
        if self.heads % self.kv_heads:
            raise UnknownArchitecture(
                f"config key 'num_key_value_heads': {self.kv_heads} does not divide "
                f"{self.heads} attention heads; copy both from the published config.json"
            )
        self.head_dim = keys.number("head_dim", default=0) or self._derived_head_dim()
        self.tied = keys.flag("tie_word_embeddings", traits.tied)
        self.experts = keys.number(*EXPERT_KEYS, default=0, least=0)
        self.experts_per_token = 1
        if self.experts:
            self.experts_per_token = keys.number("num_experts_per_tok", "top_k_experts")
        self.mixers, self.feed_forwards = self._layer_kinds()

    def _derived_head_dim(self):
        if self.hidden % self.heads and not self.keys.config.get("kv_lora_rank"):
            raise UnknownArchitecture(
                f"hidden_size {self.hidden} is not a multiple of num_attention_heads {self.heads} "
                "and there is no head_dim; add head_dim from the published config.json"
            )
        return self.hidden // self.heads

    def _layer_kinds(self):
        """What mixes tokens in each layer, and which feed-forward follows."""
        keys, count = self.keys, self.layers
        pattern = keys.sequence("hybrid_override_pattern")
        types = keys.sequence("layer_types")
        for name, listed in (("hybrid_override_pattern", pattern), ("layer_types", types)):
            if listed and len(listed) != count:
                raise UnknownArchitecture(
                    f"config key {name!r} lists {len(listed)} layers but num_hidden_layers is "
                    f"{count}; copy both from the published config.json"
                )
        try:
            if pattern:
                return (
                    [PATTERN_MIXERS[letter] for letter in pattern],
                    [PATTERN_FEED_FORWARDS[letter] for letter in pattern],
                )
            mixers = [LAYER_MIXERS[kind] for kind in types] or self._unlisted_mixers()
        except KeyError as error:
            raise UnknownArchitecture(
                f"layer kind {error.args[0]!r} in the config is not known; extend LAYER_MIXERS or "
                "PATTERN_MIXERS in planner/architecture.py"
            ) from None
        for layer in keys.sequence("cross_attention_layers"):
            mixers[layer] = "cross"
        return mixers, self._feed_forward_kinds()

    def _unlisted_mixers(self):
        keys, count = self.keys, self.layers
        interval = keys.number("full_attention_interval", default=0)
        if interval:
            return ["full" if (i + 1) % interval == 0 else "linear" for i in range(count)]
        # Without layer_types the period of full attention is a convention of the family.
        window = keys.number("sliding_window", "attention_chunk_size", default=0)
        used = keys.flag("use_sliding_window", True)
        if not window or not used:
            return ["full"] * count
        period = keys.number("sliding_window_pattern", default=self.traits.full_period)
        return ["full" if period and (i + 1) % period == 0 else "sliding" for i in range(count)]

    def _feed_forward_kinds(self):
        keys, count = self.keys, self.layers
        first = keys.number("first_k_dense_replace", default=0, least=0)
        steps = ("moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step")
        step = keys.number(*steps, default=1)
        dense = set(keys.sequence("mlp_only_layers"))
        if not self.experts:
            return ["dense"] * count
        if keys.flag("enable_moe_block"):
            return ["both"] * count
        # DeepSeek counts its period from layer 0, Qwen and Llama 4 from layer 1.
        shift = 0 if keys.config.get("moe_layer_freq") else 1
        return [
            "moe" if i >= first and (i + shift) % step == 0 and i not in dense else "dense"
            for i in range(count)
        ]

    def where(self, *kinds):
        """Layers whose mixer or feed-forward is one of ``kinds``."""
        pairs = enumerate(zip(self.mixers, self.feed_forwards, strict=True))
        return tuple(i for i, pair in pairs if set(pair) & set(kinds))

    def add(self, name, part, rows, columns, layers, split, copies=1):
        """Add a tensor unless it is empty or belongs to no layer."""
        if (
            rows
            and columns
            and (layers or name in ("token_embd", "output", "output_norm", "vision", "mtp"))
        ):
            self.tensors.append(Tensor(name, part, rows, columns, copies, tuple(layers), split))

    def bias(self, name, rows, layers, split):
        """A bias vector of matrix ``name``; it counts with its part's norms."""
        self.add(f"{name}.bias", "norm", rows, 1, layers, split)

    def embedding(self):
        """Token table and output head."""
        rows = self.vocab + self.traits.extra_embedding_rows
        self.add("token_embd", "embedding", rows, self.hidden, (), "vocab")
        if not self.tied:
            self.add("output", "head", self.vocab, self.hidden, (), "vocab")
        if self.traits.head_bias:
            self.add("output", "head", self.vocab, 1, (), "vocab")

    def attention(self):
        """Attention of every kind that the layers ask for."""
        if self.keys.config.get("kv_lora_rank"):
            return self._latent_attention(self.where("full"))
        keys = self.keys
        window = keys.number("sliding_window", "attention_chunk_size", default=0)
        wide_dim = keys.number("global_head_dim", default=self.head_dim)
        wide_kv = keys.number("num_global_key_value_heads", default=self.kv_heads)
        same = keys.flag("attention_k_eq_v")
        full, sliding, cross = (self.where(kind) for kind in ("full", "sliding", "cross"))
        self._grouped_attention(full, wide_kv, wide_dim, values=not same)
        self._grouped_attention(sliding, self.kv_heads, self.head_dim)
        self._grouped_attention(cross, self.kv_heads, self.head_dim, normed=True)
        self.add("cross_gate", "norm", 2, 1, cross, "replicated")
        # Cross-attention layers hold image tokens only: nothing grows with the text.
        for kind, layers, heads, width, length in (
            ("full", full, wide_kv, wide_dim, 0),
            ("sliding", sliding, self.kv_heads, self.head_dim, window),
        ):
            if layers:
                self.caches.append(
                    CacheLayers(kind, layers, heads, width, width, self.heads, length)
                )

    def _grouped_attention(self, layers, kv_heads, head_dim, values=True, normed=False):
        traits, hidden = self.traits, self.hidden
        query, key = self.heads * head_dim, kv_heads * head_dim
        # The Qwen hybrids fold the output gate into the query projection.
        gated = traits.query_gate == "folded" and self.keys.flag("attn_output_gate", True)
        names = ["attn_qkv"] * 3 if traits.fused else ["attn_q", "attn_k", "attn_v"]
        rows = [query * (2 if gated else 1), key, key if values else 0]
        for name, width, split in zip(names, rows, ("rows", "kv", "kv"), strict=True):
            self.add(name, "attention", width, hidden, layers, split)
        if traits.query_gate == "separate":
            self.add("attn_gate", "attention", query, hidden, layers, "rows")
        self.add("attn_output", "attention", hidden, query, layers, "columns")
        biased = self.keys.flag("attention_bias") or self.keys.flag("use_bias")
        if traits.bias_query or (biased and traits.bias_from_config):
            for name, width, split in zip(names, rows, ("rows", "kv", "kv"), strict=True):
                self.bias(name, width, layers, split)
        if traits.bias_output or (biased and traits.bias_from_config == "all"):
            self.bias("attn_output", hidden, layers, "replicated")
        self.add("attn_sinks", "norm", self.heads * traits.sinks, 1, layers, "rows")
        norm = traits.query_key_norm
        if normed or (norm and self.keys.flag("use_qk_norm", True)):
            whole = norm == "whole"
            self.add("attn_q_norm", "norm", query if whole else head_dim, 1, layers, "replicated")
            self.add("attn_k_norm", "norm", key if whole else head_dim, 1, layers, "replicated")

    def _latent_attention(self, layers):
        """Multi-head latent attention, with the sparse indexer where the config has one."""
        keys, hidden, heads = self.keys, self.hidden, self.heads
        latent, low = keys.number("kv_lora_rank"), keys.number("q_lora_rank", default=0)
        nope, rope, value = (
            keys.number(name) for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        )
        self.head_dim = rope
        query = heads * (nope + rope)
        self.add("attn_q_a", "attention", low, hidden, layers, "replicated")
        self.add("attn_q_a_norm", "norm", low, 1, layers, "replicated")
        self.add("attn_q_b" if low else "attn_q", "attention", query, low or hidden, layers, "rows")
        self.add("attn_kv_a", "attention", latent + rope, hidden, layers, "replicated")
        self.add("attn_kv_a_norm", "norm", latent, 1, layers, "replicated")
        self.add("attn_kv_b", "attention", heads * (nope + value), latent, layers, "rows")
        self.add("attn_output", "attention", hidden, heads * value, layers, "columns")
        index_heads = keys.number("index_n_heads", default=0)
        width = keys.number("index_head_dim", default=0)
        top = keys.number("index_topk", default=0)
        types = keys.sequence("indexer_types", ["full"] * self.layers)
        indexed = tuple(i for i in layers if types[i] == "full") if index_heads else ()
        self.add("indexer_q", "indexer", index_heads * width, low, indexed, "replicated")
        self.add("indexer_k", "indexer", width, hidden, indexed, "replicated")
        self.add("indexer_k_norm", "indexer", 2 * width, 1, indexed, "replicated")
        self.add("indexer_proj", "indexer", index_heads, hidden, indexed, "replicated")
        self.caches.append(CacheLayers("latent", layers, 1, latent, rope, heads, top))
        if indexed:
            self.caches.append(
                CacheLayers("index", indexed, index_dim=width, index_heads=index_heads)
            )

    def state_space(self):
        """Gated delta networks (Qwen hybrids) and Mamba-2 mixers (Nemotron)."""
        keys, hidden = self.keys, self.hidden
        if layers := self.where("linear"):
            key_heads, heads = (
                keys.number(f"linear_num_{name}_heads") for name in ("key", "value")
            )
            key_dim, dim = (keys.number(f"linear_{name}_head_dim") for name in ("key", "value"))
            kernel = keys.number("linear_conv_kernel_dim")
            inner, mixed = heads * dim, 2 * key_heads * key_dim + heads * dim
            self._state("attn_qkv", mixed, layers)
            self._state("ssm_gate", inner, layers)
            self._state("ssm_beta_alpha", 2 * heads, layers)
            biases, norm, state = 2 * heads, dim, heads * key_dim * dim
        elif layers := self.where("mamba"):
            heads, dim = keys.number("mamba_num_heads"), keys.number("mamba_head_dim")
            size, groups = keys.number("ssm_state_size"), keys.number("n_groups")
            kernel = keys.number("conv_kernel")
            inner, mixed = heads * dim, heads * dim + 2 * groups * size
            self._state("ssm_in", inner + mixed + heads, layers)
            self.add("ssm_conv1d.bias", "norm", mixed, 1, layers, "rows")
            biases, norm, state = 3 * heads, inner, heads * dim * size
        else:
            return
        self.add("ssm_conv1d", "linear_attention", mixed, kernel, layers, "rows")
        self.add("ssm_out", "linear_attention", hidden, inner, layers, "columns")
        self.add("ssm_a", "norm", biases, 1, layers, "rows")
        self.add("ssm_norm", "norm", norm, 1, layers, "replicated")
        # The convolution keeps its last inputs in two bytes, the recurrent state in four.
        held = len(layers) * ((kernel - 1) * mixed * 2 + state * 4)
        self.caches.append(CacheLayers("state", layers, state_bytes=held))

    def _state(self, name, rows, layers):
        self.add(name, "linear_attention", rows, self.hidden, layers, "rows")

    def _matrices(self, suffix, part, width, hidden, layers, copies=1):
        """Feed-forward matrices: three when gated, else two."""
        if self.traits.gated:
            gate = "ffn_up" if self.traits.fused else "ffn_gate"
            self.add(gate + suffix, part, width, hidden, layers, "rows", copies)
        self.add("ffn_up" + suffix, part, width, hidden, layers, "rows", copies)
        self.add("ffn_down" + suffix, part, hidden, width, layers, "columns", copies)

    def feed_forward(self):
        """Dense, routed and shared feed-forward blocks."""
        keys, traits, hidden = self.keys, self.traits, self.hidden
        dense, moe = self.where("dense", "both"), self.where("moe", "both")
        dense_keys = ("intermediate_size_mlp", "intermediate_size")
        if dense:
            width = keys.number(*dense_keys)
            self._matrices("", "ffn", width, hidden, dense)
            if traits.bias_feed_forward:
                self.bias("ffn_up", width * (2 if traits.gated else 1), dense, "rows")
                self.bias("ffn_down", hidden, dense, "replicated")
        keys.seen.update(dense_keys)
        if not moe:
            return
        width = keys.number("moe_intermediate_size", "intermediate_size")
        inner = keys.number("moe_latent_size", default=hidden)
        count = self.experts
        self._matrices("_exps", "experts", width, inner, moe, count)
        if traits.bias_experts:
            self.add("ffn_exps.bias", "experts", 2 * width + hidden, 1, moe, "rows", count)
        if inner != hidden:
            self.add("ffn_latent_down", "ffn", inner, hidden, moe, "replicated")
            self.add("ffn_latent_up", "ffn", hidden, inner, moe, "replicated")
        self.add("ffn_gate_inp", "router", count, hidden, moe, "replicated")
        extra = traits.router_extra(count, hidden)
        self.add("ffn_gate_inp.bias", "router", extra, 1, moe, "replicated")
        shared = keys.number("n_shared_experts", default=traits.shared_experts, least=0) * width
        shared = keys.number(*SHARED_WIDTH_KEYS, default=shared, least=0)
        self._matrices("_shexp", "shared_experts", shared, hidden, moe)
        if shared and traits.shared_gate:
            self.add("ffn_gate_inp_shexp", "shared_experts", hidden, 1, moe, "replicated")

    def norms(self):
        """Norms before and after the blocks, and the last one."""
        traits, width = self.traits, self.hidden * (2 if self.traits.norm_bias else 1)
        everywhere = tuple(range(self.layers))
        self.add("norm", "norm", width * traits.norms, 1, everywhere, "replicated")
        self.add("norm_moe", "norm", 3 * width, 1, self.where("both"), "replicated")
        if traits.inner_norms:
            inner = self.hidden + self.keys.number("intermediate_size")
            self.add("norm_inner", "norm", inner, 1, everywhere, "replicated")
        self.add("output_norm", "norm", width, 1, (), "replicated")

    def mtp_module(self):
        """One more last layer, a projection of two hidden vectors to one, and three norms."""
        last = max(self.where("full"), default=self.layers - 1)
        in_layer = [t for t in self.tensors if last in t.layers or t.part == "indexer"]
        layer = sum(t.parameters // len(t.layers) for t in in_layer)
        copies = 2 * self.vocab * self.hidden if self.traits.mtp_copies else 0
        return layer + 2 * self.hidden**2 + 3 * self.hidden + copies

    def architecture(self, model_type):
        """The finished record."""
        share = self.keys.config.get("partial_rotary_factor", self.traits.rotary_share)
        return Architecture(
            model_type=model_type,
            hidden_size=self.hidden,
            layers=self.layers,
            vocab_size=self.vocab,
            query_heads=self.heads,
            kv_heads=self.kv_heads,
            max_position=self.keys.number("max_position_embeddings", default=2048),
            experts=max(1, self.experts),
            experts_per_token=self.experts_per_token,
            moe_layers=len(self.where("moe", "both")),
            linear_layers=len(self.where("linear", "mamba")),
            tied=self.tied,
            rotary_width=share * self.head_dim,
            tensors=tuple(self.tensors),
            caches=tuple(self.caches),
        )
