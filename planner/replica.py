"""One replica of the chosen option: what it loads, with which settings, and how many there are.

Every setting comes from where the sizing takes it, so that what is started is what was judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil

import pandas as pd

from planner import budget, serving
from planner.catalogue import Device, Model
from planner.plan import Plan
from planner.remembered import remembered

# What starts each engine. TensorRT-LLM has no files yet: its options were not looked up.
START = {
    "vllm": ("vllm", "serve"),
    "sglang": ("python3", "-m", "sglang.launch_server"),
    "llama.cpp": ("llama-server",),
    "ik_llama.cpp": ("llama-server",),
}
# The tool as data/engine_options.csv calls it.
TOOL = {
    "vllm": "serve", "sglang": "launch_server", "llama.cpp": "llama-server",
    "ik_llama.cpp": "llama-server",
}  # fmt: skip
PORT = 8000
# The variable that names the accelerators of a process, by vendor.
VISIBLE = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "HIP_VISIBLE_DEVICES"}
# Engines make these from a 16-bit checkpoint while they load it; other formats are read as such.
MADE_ON_LOAD = {"fp8": "fp8"}
# What may stand in a command as the name of a published checkpoint: never an option or a path.
PUBLISHED = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
WIDE = {"bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Replica:
    """
    One replica of the chosen option, and how many there are.

    Parameters
    ----------
    engine, model_id, weight_format : str
        As in the catalogue.
    model : str
        What the engine loads: the published checkpoint, or a path below `models/`.
    flags : tuple of (str, str)
        Options in the order of the command; an empty value means a switch.
    device : Device
        What it runs on.
    devices, replicas, servers, on_one : int
        Accelerators of one replica; replicas, servers, replicas of one server. [1]
    """

    engine: str
    model_id: str
    weight_format: str
    model: str
    flags: tuple[tuple[str, str], ...]
    device: Device
    devices: int
    replicas: int
    servers: int
    on_one: int

    def command(self, root: str = "models/") -> list[str]:
        """Arguments that start it, a local checkpoint below `root`."""
        model = self.model.replace("models/", root, 1) if self.local else self.model
        named = {"vllm": [model], "sglang": ["--model-path", model]}
        words = [word for flag in self.flags for word in flag if word]
        return [*START[self.engine], *named.get(self.engine, ["--model", model]), *words]

    @property
    def composed(self) -> bool:
        """A compose file can name its accelerators: others have a runtime of their own, or none."""
        return self.device.kind == "cpu" or self.device.vendor in VISIBLE

    @property
    def local(self) -> bool:
        """The checkpoint is a file of the house, not a published one."""
        return self.model.startswith("models/")


@remembered
def replica(plan: Plan) -> Replica | None:
    """
    One replica of what a plan recommends.

    Parameters
    ----------
    plan : Plan
        From `planner.plan.plan`.

    Returns
    -------
    replica : Replica or None
        None where nothing is started: an API, no option, or an engine without files.
    """
    option = plan.chosen
    if option is None or option["sourcing"] not in ("own", "rent") or option["engine"] not in START:
        return None
    model = plan.catalogue.models[option["model_id"]]
    device = plan.catalogue.devices[option["device_id"]]
    replicas = int(option["replicas"])
    # Rented replicas fail alone, so each is a machine of its own.
    servers = int(option["servers"]) if option["sourcing"] == "own" else replicas
    engine = option["engine"]
    make = {"vllm": _vllm, "sglang": _sglang}.get(engine, _llama)
    return Replica(
        engine, model.id, option["weight_format"], checkpoint(model, option), make(plan, option),
        device, int(option["n_devices"]), replicas, servers, ceil(replicas / servers),
    )  # fmt: skip


def checkpoint(model: Model, option: pd.Series) -> str:
    """
    What the engine loads.

    Parameters
    ----------
    model : Model
        Of the catalogue.
    option : Series
        Its engine and weight format.

    Returns
    -------
    name : str
        The published id where it has the wanted format or becomes it on loading; otherwise a path
        below `models/` where the house puts a checkpoint of that format.
    """
    wanted = option["weight_format"]
    if option["engine"] not in serving.STATIC and PUBLISHED.fullmatch(model.id):
        native = model.native_format
        on_load = wanted in MADE_ON_LOAD and native in WIDE
        if wanted == native or on_load or (wanted in WIDE and native in WIDE):
            return model.id
    name = f"models/{served_name(model.id).rsplit('/', 1)[-1]}-" + re.sub(r"[^\w-]+", "-", wanted)
    return f"{name}.gguf" if option["engine"] in serving.STATIC else name


def served_name(model_id: str) -> str:
    """
    The name under which a model is asked for: its id, where that is a plain one.

    Examples
    --------
    >>> served_name("openai/gpt-oss-120b"), served_name("--help; id")
    ('openai/gpt-oss-120b', 'help-id')
    """
    if PUBLISHED.fullmatch(model_id):
        return model_id
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model_id).strip("-.") or "model"


def _precision(plan, option):
    """Flags for the weights: the type of wide ones, the method of those made on loading."""
    wanted = option["weight_format"]
    native = plan.catalogue.models[option["model_id"]].native_format
    if wanted in WIDE:
        return (("--dtype", WIDE[wanted]),)
    made = wanted in MADE_ON_LOAD and native in WIDE
    return (("--quantization", MADE_ON_LOAD[wanted]),) if made else ()


def _vllm(plan, option):
    load = plan.team.workload
    prefix = "--enable-prefix-caching" if load.cached_prompt_share else "--no-enable-prefix-caching"
    return (
        ("--served-model-name", served_name(option["model_id"])),
        ("--tensor-parallel-size", f"{option['tp']:.0f}"),
        ("--max-model-len", str(load.context_tokens)),
        ("--max-num-seqs", str(serving.MOST_SEQUENCES["vllm"])),
        ("--max-num-batched-tokens", str(serving.STEP_TOKENS)),
        ("--enable-chunked-prefill", ""),
        ("--gpu-memory-utilization", f"{budget.constant('kv_pool_bytes.utilisation', 'vllm'):g}"),
        ("--kv-cache-dtype", "auto"),
        *_precision(plan, option),
        (prefix, ""),
        ("--host", "0.0.0.0"),
        ("--port", str(PORT)),
    )


def _sglang(plan, option):
    load = plan.team.workload
    return (
        ("--served-model-name", served_name(option["model_id"])),
        ("--tensor-parallel-size", f"{option['tp']:.0f}"),
        ("--context-length", str(load.context_tokens)),
        ("--max-running-requests", str(serving.MOST_SEQUENCES["sglang"])),
        ("--chunked-prefill-size", str(serving.STEP_TOKENS)),
        ("--mem-fraction-static", f"{budget.constant('kv_pool_bytes.utilisation', 'sglang'):g}"),
        ("--kv-cache-dtype", "auto"),
        *_precision(plan, option),
        *(() if load.cached_prompt_share else (("--disable-radix-cache", ""),)),
        ("--host", "0.0.0.0"),
        ("--port", str(PORT)),
    )


@remembered
def slots(plan: Plan) -> int:
    """Sequences that one replica of the chosen option holds at once. [sequence]"""
    return int(serving.hosted(plan.chosen, plan.team).places[0])


@remembered
def placement(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Options of llama.cpp that the server and its benchmark share: memory, threads, batches."""
    option, device = plan.chosen, plan.catalogue.devices[plan.chosen["device_id"]]
    engine, places = option["engine"], slots(plan)
    flags = [
        ("--ctx-size", str(places * plan.team.workload.context_tokens)),
        ("--batch-size", str(serving.STATIC_STEP_TOKENS)),
        ("--ubatch-size", f"{budget.constant('llamacpp.ubatch', engine):.0f}"),
        ("--cache-type-k", "f16"),
        ("--cache-type-v", "f16"),
        ("--flash-attn", "on"),
    ]
    if option["kind"] == "cpu":
        cores = int(device.cores * option["sockets"])
        flags += [("--threads", str(cores)), ("--threads-batch", str(cores))]
        flags += [("--numa", "distribute")] if option["sockets"] > 1 else []
    else:
        flags += [("--gpu-layers", "all" if engine == "llama.cpp" else "999")]
    # The sizing counts the weights once: a mapped file whose tensors are repacked lies there twice.
    locked = [("--load-mode", "mlock")]
    return (*flags, *(locked if engine == "llama.cpp" else [("--mlock", ""), ("--no-mmap", "")]))


def _llama(plan, option):
    reused = "--cache-prompt" if plan.team.workload.cached_prompt_share else "--no-cache-prompt"
    # Neither the prompt cache in host memory nor a fit to it is in the sizing.
    own = (("--no-kv-unified", ""), (reused, ""), ("--fit", "off"))
    return (
        ("--alias", served_name(option["model_id"])),
        ("--parallel", str(slots(plan))),
        *placement(plan),
        ("--cache-ram", "0"),
        *(own if option["engine"] == "llama.cpp" else ()),
        ("--host", "0.0.0.0"),
        ("--port", str(PORT)),
    )
