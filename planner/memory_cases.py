"""Memory questions in the columns of a measurements file: one row, one answer.

Engine settings decide more than the model does, so a blank setting takes the engine's default
and the notes of a row are read for what has no column (flash attention, ``mla``, ``amb``).
"""

import re

import numpy as np

from planner import budget, catalogue, formats, memory, overhead
from planner.profile import architecture_profile

GIB, MIB = 2.0**30, 2.0**20
HEADERS = 1e5  # names and shapes at the start of a checkpoint's files [B]
BANDS = {  # widest plausible factors, by metric: from residuals, wider where one source dominates
    "weights_gib_per_device": (0.97, 1.03), "weights_gib_total": (0.97, 1.04),
    "bits_per_weight": (0.97, 1.04), "checkpoint_bytes": (0.99, 1.01),
    "kv_cache_gib_per_device": (0.80, 1.12), "kv_cache_tokens": (0.80, 1.12),
    "max_concurrency": (0.80, 1.12), "kv_cache_mib": (0.99, 1.01),
    "compute_buffer_mib": (0.40, 2.0), "activation_gib": (0.75, 1.35),
    "non_torch_gib": (0.5, 1.9), "cuda_graph_gib": (0.5, 1.6),
}  # fmt: skip
METRICS = (*BANDS, "oom")
DYNAMIC = "other:ud-"
WEIGHTS = ("weights_gib_per_device", "weights_gib_total", "bits_per_weight")
CACHE_ONLY = ("kv_cache_mib", "compute_buffer_mib")


def _value(row, name, default=np.nan):
    try:
        number = float(row.get(name, ""))
    except (TypeError, ValueError):
        return default
    return default if np.isnan(number) else number


def _noted(notes, pattern, default=0.0):
    found = re.search(pattern, notes)
    return float(found.group(1)) if found else default


class Question:
    """
    One row with everything its formulas need.

    Parameters
    ----------
    row : mapping of str to str
        Columns of a measurements file.
    """

    def __init__(self, row):
        records = catalogue.load()
        for name, known in (("model_id", records.models), ("device_id", records.devices)):
            if (row.get(name) and row[name] not in known) or not row.get("model_id"):
                raise ValueError(f"{name} {row.get(name)!r} is not in data/; add it or correct it")
        self.engine, self.notes = row.get("engine", ""), row.get("notes", "")
        self.model = records.models[row["model_id"]]
        self.widths = budget.dimensions(row["model_id"])
        self.devices = max(_value(row, "n_devices", 1.0), 1.0)
        self.tensor = int(max(_value(row, "tp", 1.0), 1.0))
        self.stages = max(_value(row, "pp", 1.0), 1.0)
        self.kv = row.get("kv_dtype", "").lower()
        kv = self.kv.split(" ")[0].split("/")[0]
        weight_format = formats.for_engine(row.get("weight_format") or "bf16", self.engine)
        if row["metric"] == "oom" and "bf16 checkpoint" in self.notes:
            weight_format = "bf16"  # quantised while loading: the wide tensors have to fit first
        if row["metric"] in CACHE_ONLY and not formats.is_gguf(weight_format):
            weight_format = "q4_k_m"  # the answer does not depend on it
        shape = self.model.architecture
        self.profile = architecture_profile(shape, weight_format, kv or "auto", self.tensor)
        self.by_part = formats.weight_bytes_by_part(shape, weight_format, self.tensor)
        parameters = shape.parameters
        self.parameters = sum(v for k, v in parameters.items() if k not in ("mtp", "vision"))
        device = row.get("device_id", "")
        self.kind = records.devices[device].kind if device else "gpu"
        self.apple = bool(device) and records.devices[device].vendor == "apple"
        self.nvlink = not device or (records.devices[device].link_bandwidth or 0) > 3e11
        self.memory = _value(row, "device_mem_gib") * GIB
        if np.isnan(self.memory) and device:
            self.memory = budget._usable(device)
        large = self.memory >= 70 * GIB and not device.startswith("a100")
        size = "large_device" if large else "small_device"
        self.sequences = _value(
            row, "max_num_seqs", budget.constant(f"max_num_seqs.{size}", "vllm")
        )
        self.batched = _value(
            row, "max_num_batched_tokens", budget.constant(f"max_num_batched_tokens.{size}", "vllm")
        )
        self.length = _value(row, "max_model_len", float(self.model.context))
        self.utilisation = _value(row, "gpu_mem_util", 0.9)
        self.version = self._version(row.get("engine_version", ""))
        if budget._number(self.version) < budget._number("0.8"):  # V0 read a prompt in one step
            self.sequences = _value(row, "max_num_seqs", 256.0)
            whole = self.length if self.length <= 32768 else 2048.0
            self.batched = _value(row, "max_num_batched_tokens", whole)
        if "before MLA support" in self.notes:
            self.profile = self.profile._replace(kv_bytes=self._unpacked_bytes())

    def _version(self, text):
        found = re.match(r"(\d+\.\d+)", text)
        if found:
            return found.group(1)
        if "pre-v0.17" in self.notes:
            return "0.15"
        if re.search(r"\bV0\b|2024|early 2025|Jan 2025", self.notes + text):
            return "0.6"
        return budget.LATEST

    def _unpacked_bytes(self):
        """Latent attention as plain heads, values as wide as keys. [B/token]"""
        width = self.widths["nope_dim"] + self.widths["rope_dim"]
        heads = self.widths["query_heads"]
        return float(
            memory.kv_bytes_per_token(self.profile.layers, heads, width, width, 2, self.tensor)
        )

    @property
    def llama(self):
        """Whether the engine is of the llama.cpp family."""
        return self.engine in formats.LLAMA_CPP

    def weights(self):
        """Weights on the heaviest device. [B]"""
        if self.llama:
            return self.profile.weight_bytes / self.devices
        parts = {key: value for key, value in self.by_part.items() if key != "mtp"}
        ends = [parts.pop("embedding", 0.0), parts.pop("head", 0.0)]
        edge = sum(ends) if self.stages == 1 else max(ends)
        return sum(parts.values()) / self.stages + edge

    def _constants(self, function, *names):
        return budget._arguments(function, "vllm", self.version, *names)

    def activation(self):
        """Activation peak of vLLM. [B]"""
        extra = self.widths["vision"] * budget.constant(
            "vllm_activation_bytes.extra_bytes.vision", "vllm", self.version
        )
        if self.stages > 1:
            extra += budget.constant(
                "vllm_activation_bytes.extra_bytes.pipeline", "vllm", self.version
            )
        names = ["logits_bytes", "hidden_factor", "expert_factor", "fixed_bytes", "forward_bytes"]
        return overhead.vllm_activation_bytes(
            self.sequences, self.profile.vocab_size, self.batched, self.profile.hidden_size,
            self.widths["ffn_size"], self.widths["experts_per_token"],
            self.widths["expert_ffn_size"], self.tensor, extra,
            **self._constants("vllm_activation_bytes", *names),
        )  # fmt: skip

    def non_torch(self):
        """Memory outside PyTorch. [B]"""
        names = ("single_bytes", "nvlink_bytes", "other_bytes", "pipeline_bytes")
        constants = self._constants("vllm_non_torch_bytes", *names)
        extra = 0.0
        if self.kind == "apu":
            boxes = "two_boxes" if self.devices > 1 else "one_box"
            extra = budget.constant(f"vllm_non_torch_bytes.unified_bytes.{boxes}", "vllm")
        return extra + overhead.vllm_non_torch_bytes(
            self.tensor, self.stages, self.nvlink, **constants
        )

    def graphs(self):
        """CUDA graphs. [B]"""
        names = ["fixed_bytes", "layer_bytes", "element_bytes", "mixture_bytes", "tensor_saving"]
        extra = self.widths["gpt_oss"] * budget.constant(
            "vllm_graph_bytes.extra_bytes.gpt_oss", "vllm", self.version
        )
        return overhead.vllm_graph_bytes(
            self.profile.layers / self.stages, self.profile.hidden_size, self.sequences,
            self.profile.moe_layers > 0, self.tensor, self.stages, extra,
            **self._constants("vllm_graph_bytes", *names, "pipeline_saving"),
        )  # fmt: skip

    def pool(self):
        """Memory for the cache on one device. [B]"""
        if self.engine == "vllm":
            share = budget.constant("kv_pool_bytes.graph_bytes.share", "vllm", self.version)
            aside = self.activation() + self.non_torch() + share * self.graphs()
            free = 1.0
        else:
            scope = self.engine if self.engine in ("sglang", "tensorrt-llm") else "sglang"
            names = ("activation_bytes", "non_torch_bytes")
            aside = sum(budget._arguments("kv_pool_bytes", scope, self.version, *names).values())
            free = budget.constant("kv_pool_bytes.free_fraction", scope)
        return memory.kv_pool_bytes(
            self.memory, self.utilisation, self.weights(), aside, free_fraction=free
        )

    def concurrency(self):
        """Requests of the full length that the pool holds. [request]"""
        kinds = dict.fromkeys(("full", "sliding"), 0)
        for cache in self.model.architecture.caches:
            if cache.kind in kinds:
                kinds[cache.kind] += len(cache.layers)
        return memory.max_concurrency(
            self.pool(), self.length, self.profile.kv_bytes / self.stages,
            self.profile.sliding_bytes / self.stages, self.profile.window,
            self.profile.state_bytes / self.stages, max_num_batched_tokens=self.batched,
            full_layers=kinds["full"], sliding_layers=kinds["sliding"],
        )  # fmt: skip

    def tokens(self):
        """Tokens that the pool holds, as the log prints them. [token]"""
        hybrid = self.profile.sliding_bytes + self.profile.state_bytes > 0
        if hybrid and budget._number(self.version) >= budget._number("0.20"):
            return self.concurrency() * self.length
        each = (self.profile.kv_bytes + self.profile.sliding_bytes) / self.stages
        return np.floor(self.pool() / each / 16) * 16

    def cache(self):
        """Cache of llama.cpp: every cell allocated at start. [B]"""
        cells = memory.blocks(self.length, 32)
        model = self.profile
        total = cells * (model.kv_bytes + model.sliding_bytes) + model.state_bytes
        rank = self.widths["latent_rank"]
        if rank and "MLA" not in self.kv.upper():
            config = self.model.config.get("text_config", self.model.config)
            element = formats.cache_element_bytes(self.kv.split(" ")[0] or "f16")
            width = config["qk_nope_head_dim"] + config["qk_rope_head_dim"] + config["v_head_dim"]
            return cells * model.layers * self.widths["query_heads"] * width * element
        if rank and ("transposed" in self.kv or "512" in self.kv):
            total += cells * model.layers * rank * 2.0
        return total

    def compute(self):
        """Largest compute buffer of llama.cpp. [B]"""
        model, ik = self.profile, self.engine == "ik_llama.cpp"
        flash = "flash_attn 0" not in self.notes
        gpu = bool(re.search(r"CUDA0|ROCm0|Vulkan0|Metal", self.notes)) or "CPU " not in self.notes
        ubatch = self.batched if self.batched <= 8192 else 512.0
        ubatch = _noted(self.notes, r"n_ubatch (\d+)", ubatch)
        cells = memory.blocks(self.length, 32)
        common = (cells, ubatch, model.hidden_size, model.vocab_size, self.widths["query_heads"])
        limit = _noted(self.notes, r"attn_max_batch (\d+)", np.inf) * MIB
        if self.widths["latent_rank"] and re.search(r"mla [123]", self.notes) and flash:
            return overhead.llamacpp_latent_compute_bytes(
                *common, self.widths["latent_rank"], self.widths["rope_dim"],
                self.widths["nope_dim"], ik=ik, gpu=gpu, attention_limit=limit,
                element_bytes=formats.cache_element_bytes(self.kv.split(" ")[0] or "f16"),
                fixed_bytes=0.0 if gpu else 75 * MIB,
            )  # fmt: skip
        scope = self.engine if self.engine == "ik_llama.cpp" else "llama.cpp"
        return overhead.llamacpp_compute_bytes(
            *common, flash_attention=flash, ik=ik, gpu=gpu, devices=self.devices,
            fixed_bytes=budget.constant("llamacpp_compute_bytes.fixed_bytes", scope),
        )  # fmt: skip

    def missing(self):
        """How far beyond its memory a start goes; negative when it fits. [B]"""
        if self.llama:
            context = budget.constant("offload_bytes.device_bytes", "llama.cpp")
            per_device = 0.0 if self.kind == "apu" else context
            need = overhead.offload_bytes(
                self.profile.weight_bytes, self.cache(), self.compute(), self.devices, per_device
            )
            size = "apple_small" if self.memory <= 36 * GIB else "apple_large"
            share = budget.constant(f"usable_memory.share.{size}", "any") if self.apple else 1.0
            return float(need - self.devices * self.memory * share)
        if self.concurrency() < 1:
            return float(self.length * self.profile.kv_bytes / self.stages - self.pool())
        if self.engine == "vllm" and budget._number(self.version) < budget._number("0.21"):
            # Graphs and the sampler's warm-up come after the pool is taken.
            slack = (1 - self.utilisation) * self.memory - float(self.graphs())
            margin = budget.constant("start_margin_bytes", "vllm", self.version)
            if slack < margin:
                return float(margin - slack)
        return -float(self.pool())


def predict(row):
    """
    Answer one memory question.

    Parameters
    ----------
    row : mapping of str to str
        Columns of a measurements file.

    Returns
    -------
    predicted, low, high : float
        In the unit that the metric's name says; ``oom`` is 0 or 1.
    """
    question, metric = Question(row), row["metric"]
    if metric == "oom":
        missing, size = question.missing(), question.devices * question.memory
        if np.isnan(missing):
            raise ValueError("device_mem_gib and device_id are missing; give one of them")
        answer = float(missing > 0)
        close = abs(missing) < 0.03 * size
        return answer, (0.0 if close else answer), (1.0 if close else answer)
    formulas = {
        "weights_gib_per_device": lambda q: q.weights() / GIB,
        "weights_gib_total": lambda q: q.profile.weight_bytes / GIB,
        "bits_per_weight": lambda q: 8 * q.profile.weight_bytes / q.parameters,
        "checkpoint_bytes": lambda q: q.profile.checkpoint_bytes + HEADERS,
        "kv_cache_gib_per_device": lambda q: q.pool() / GIB,
        "kv_cache_tokens": lambda q: q.tokens(),
        "max_concurrency": lambda q: q.concurrency(),
        "kv_cache_mib": lambda q: q.cache() / MIB,
        "compute_buffer_mib": lambda q: q.compute() / MIB,
        "activation_gib": lambda q: q.activation() / GIB,
        "non_torch_gib": lambda q: q.non_torch() / GIB,
        "cuda_graph_gib": lambda q: q.graphs() / GIB,
    }
    answer = float(formulas[metric](question))
    if np.isnan(answer):
        raise ValueError("device_mem_gib and device_id are missing; give one of them")
    low, high = BANDS[metric]
    if str(row.get("weight_format", "")).startswith(DYNAMIC) and metric in WEIGHTS:
        low, high = min(low, 0.85), max(high, 1.2)
    return answer, answer * low, answer * high
