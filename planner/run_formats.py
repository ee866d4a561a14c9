"""Benchmark files of other tools, one small reader per format -> plain rows.

``FORMATS`` says by which keys a format is recognised and who reads it. Field names are those of
vLLM's and SGLang's serving benchmarks, GuideLLM, llama-bench and llama-batched-bench. A reader
yields one list of rows per run: one invocation, or one line of a sweep.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

COLUMNS = (
    "id", "config_id", "model_id", "device_id", "engine", "engine_version", "weight_format",
    "kv_dtype", "n_devices", "tp", "sockets", "threads", "input_tokens", "output_tokens", "depth",
    "concurrency", "request_rate", "metric", "value", "source", "notes",
)  # fmt: skip
MOST_FAILED = 0.05  # share of failed requests beyond which a load is not what it says
KEPT_UP = 0.9  # share of the offered rate below which a queue grew
SENT_AT_ONCE = 256  # requests that vLLM runs together by default; more saturate it [request]


class RunError(ValueError):
    """A file of runs that cannot be used; the message names file, field and remedy."""


@dataclass(frozen=True)
class Source:
    """One record of a file, with the words that an error about it begins with."""

    record: Mapping
    where: str

    def number(self, *path, positive=True, default=None):
        """Number at a path of keys; refuses one that is missing, text or not above zero."""
        value, name = self.record, ".".join(path)
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None and default is not None:
            return default
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise RunError(
                f"{self.where}, field {name}: is {value!r}, expected a number; "
                "repeat the run with a complete result"
            ) from None
        if not math.isfinite(value) or (positive and value <= 0):
            raise RunError(
                f"{self.where}, field {name}: is {value:g}, expected more than zero; "
                "leave this run out or repeat it"
            )
        return value

    def inner(self, *path):
        """What stands at a path of keys, as a record of its own; empty where there is none."""
        value = self.record
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return Source(value if isinstance(value, Mapping) else {},
                      f"{self.where}, {'.'.join(path)}")  # fmt: skip

    def text(self, *path):
        """Text at a path of keys; empty where there is none."""
        value = self.record
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return "" if value is None or isinstance(value, Mapping | list) else str(value)


def _latencies(source, means, medians):
    """Mean latencies where the file has them, else medians, as (metric, value)."""
    for metric, mean in means.items():
        if source.text(*mean) not in ("", "0", "0.0"):
            yield metric, source.number(*mean)
        elif source.text(*medians[metric]) not in ("", "0", "0.0"):
            yield f"{metric}_p50", source.number(*medians[metric])


def _load(source, concurrency, rate, achieved, requests):
    """Columns that say how requests came, and whether latencies mean anything."""
    if math.isfinite(rate):
        if achieved >= KEPT_UP * rate:
            return {"request_rate": f"{rate:g}"}, True
        if concurrency:
            return {"concurrency": concurrency}, True
        return {"request_rate": "inf"}, False  # a queue that grows until the run ends
    if concurrency and concurrency < requests:
        return {"concurrency": concurrency}, True
    if requests <= SENT_AT_ONCE:
        return {"concurrency": requests, "notes": "sent at once"}, True
    return {"request_rate": "inf"}, False


def _limited(shape):
    """1 where the server limits the throughput, 0 where the offered rate does."""
    return int(shape.get("request_rate", "inf") == "inf")


def _vllm_serve(sources):
    """`vllm bench serve --save-result`, and the benchmark of SGLang made after it."""
    for source in sources:
        completed = source.number("completed")
        failed = source.number("num_prompts", positive=False, default=completed) - completed
        _few_failed(source, "completed", failed, completed)
        rate = source.text("request_rate")
        shape, latencies = _load(
            source, source.number("max_concurrency", default=0.0),
            math.inf if rate in ("", "inf", "Infinity") else source.number("request_rate"),
            source.number("request_throughput"), completed,
        )  # fmt: skip
        base = shape | {
            "input_tokens": source.number("total_input_tokens") / completed,
            "output_tokens": source.number("total_output_tokens") / completed,
            "model_id": source.text("model_id"),
            "engine": source.text("backend").replace("openai-chat", "").replace("openai", ""),
            "tp": source.text("tensor_parallel_size"),
        }
        values = [("output_tok_s_total", source.number("output_throughput"))][: _limited(shape)]
        if latencies:
            names = {f"{m}_ms": m for m in ("ttft", "tpot")}
            values += _latencies(
                source,
                {metric: (f"mean_{name}_ms",) for metric, name in names.items()},
                {metric: (f"median_{name}_ms",) for metric, name in names.items()},
            )
        yield [base | {"metric": metric, "value": value} for metric, value in values]


def _guidellm(sources):
    """GuideLLM: one benchmark per rate; its inter-token latency is our TPOT."""
    for source in sources:
        config = "config" if "config" in source.record else "args"
        plan = source.inner(config, "strategy")
        kind = plan.text("type_") or plan.text("type")
        totals = source.inner("metrics", "request_totals")
        failed = totals.number("errored", positive=False, default=0.0)
        done = totals.number("successful", positive=False, default=1.0)
        _few_failed(source, "metrics.request_totals", failed, done)
        metric = {
            name: ("metrics", field, "successful", "mean")
            for name, field in {
                "input": "prompt_token_count", "output": "output_token_count",
                "ttft_ms": "time_to_first_token_ms", "tpot_ms": "inter_token_latency_ms",
                "tokens": "output_tokens_per_second", "requests": "requests_per_second",
            }.items()
        }  # fmt: skip
        shape, latencies = {"request_rate": "inf"}, False
        if kind == "synchronous":
            shape, latencies = {"concurrency": 1}, True
        elif kind == "concurrent":
            shape, latencies = {"concurrency": plan.number("streams")}, True
        elif kind != "throughput":
            limit = plan.number("max_concurrency", default=0.0)
            achieved = source.number(*metric["requests"])
            shape, latencies = _load(source, limit, plan.number("rate"), achieved, math.inf)
        base = shape | {
            "input_tokens": source.number(*metric["input"]),
            "output_tokens": source.number(*metric["output"]),
            "model_id": source.text(config, "backend", "model") or source.text("model"),
        }
        values = [("output_tok_s_total", source.number(*metric["tokens"]))][: _limited(shape)]
        if latencies:
            means = {name: metric[name] for name in ("ttft_ms", "tpot_ms")}
            medians = {name: (*path[:-1], "median") for name, path in means.items()}
            values += _latencies(source, means, medians)
        yield [base | {"metric": name, "value": value} for name, value in values]


def _llama_bench(sources):
    """`llama-bench -o json`: a prompt or an answer per object, the depth in the cache."""
    for source in sources:
        prompt = source.number("n_prompt", positive=False)
        answer = source.number("n_gen", positive=False)
        if prompt and answer:
            continue  # -pg mixes both speeds into one figure that no law predicts
        cache = source.text("type_k").lower()
        yield [
            {
                "model_id": "", "engine": "llama.cpp", "threads": source.text("n_threads"),
                "engine_version": source.text("build_commit"),
                "kv_dtype": "" if cache in ("f16", "bf16") else cache,
                "weight_format": source.text("model_filename") + " " + source.text("model_type"),
                "input_tokens": prompt, "output_tokens": answer, "concurrency": 1,
                "depth": source.number("n_depth", positive=False, default=0.0),
                "metric": "prefill_tok_s" if prompt else "decode_tok_s_per_seq",
                "value": source.number("avg_ts"), "gpu_layers": source.text("n_gpu_layers"),
                "backends": source.text("backends"),
            }
        ]  # fmt: skip


def _batched_bench(sources):
    """`llama-batched-bench`, JSON lines or table; without a batch, the sweep of ik_llama.cpp."""
    for source in sources:
        prompt, answer = source.number("pp", positive=False), source.number("tg", positive=False)
        batch = source.number("pl", default=1.0)
        shared = source.text("is_pp_shared") in ("1", "true", "True")
        sweep = "pl" not in source.record
        base = {
            "model_id": "", "engine": "ik_llama.cpp" if sweep else "llama.cpp",
            "threads": source.text("n_threads"), "gpu_layers": source.text("n_gpu_layers"),
        }  # fmt: skip
        depth = source.number("n_kv", positive=False) if sweep else 0.0
        rows = []
        if prompt:
            rows.append(base | {
                "input_tokens": prompt, "output_tokens": 0, "depth": depth,
                "concurrency": 1 if shared else batch, "metric": "prefill_tok_s",
                "value": source.number("speed_pp"),
            })  # fmt: skip
        if answer:
            rows.append(base | {
                "input_tokens": prompt, "output_tokens": answer, "concurrency": batch,
                "depth": depth if sweep else prompt, "value": source.number("speed_tg"),
                "metric": "output_tok_s_total" if batch > 1 else "decode_tok_s_per_seq",
            })  # fmt: skip
        yield rows


def _own(sources):
    """Our own CSV; rows with one ``config_id`` are one run."""
    runs = {}
    for number, source in enumerate(sources):
        if not source.text("metric"):
            raise RunError(f"{source.where}, field metric: is empty; name what was measured")
        row = {name: source.text(name) for name in COLUMNS} | {"value": source.number("value")}
        runs.setdefault(row["config_id"] or number, []).append(row)
    yield from runs.values()


def _few_failed(source, field, failed, completed):
    if failed > MOST_FAILED * (failed + completed):
        raise RunError(
            f"{source.where}, field {field}: {failed:.0f} requests failed beside "
            f"{completed:.0f}; repeat the run with a load that the server completes"
        )


@dataclass(frozen=True)
class Format:
    """How a format is called, which keys its records have, and who reads them."""

    name: str
    keys: frozenset
    reader: Callable[[Iterable[Source]], Iterable[list]]


FORMATS = (
    Format("GuideLLM JSON", frozenset({"metrics"}), _guidellm),
    Format("vllm bench serve JSON",
           frozenset({"output_throughput", "total_output_tokens"}), _vllm_serve),
    Format("llama-bench JSON", frozenset({"avg_ts", "n_prompt", "n_gen"}), _llama_bench),
    Format("llama-batched-bench", frozenset({"pp", "tg", "speed_tg"}), _batched_bench),
    Format("CSV in the columns of data/measurements/speed.csv",
           frozenset({"metric", "value"}), _own),
)  # fmt: skip
TABLE = {"PP": "pp", "TG": "tg", "B": "pl", "N_KV": "n_kv", "S_PP t/s": "speed_pp",
         "S_TG t/s": "speed_tg"}  # fmt: skip


def records_of(text):
    """
    Records of a file, whatever holds them: JSON, JSON lines, a Markdown table or CSV.

    Parameters
    ----------
    text : str
        Content of the file.

    Returns
    -------
    records : list of dict
        One per run; of CSV, one per row.
    """
    start = text.lstrip()[:1]
    if start and start in "[{":
        try:
            content = json.loads(text)
        except json.JSONDecodeError:
            lines = [line for line in text.splitlines() if line.strip().startswith("{")]
            content = [json.loads(line) for line in lines]
        if isinstance(content, dict) and isinstance(content.get("benchmarks"), list):
            model = (content.get("args") or {}).get("model", "")
            content = [{"model": model} | b for b in content["benchmarks"] if isinstance(b, dict)]
        records = content if isinstance(content, list) else [content]
        return [record for record in records if isinstance(record, dict)]
    lines = [line.strip() for line in text.splitlines()]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines
            if line.startswith("|") and not set(line) <= set("|-: ")]  # fmt: skip
    if rows and "S_TG t/s" in rows[0]:
        names = [TABLE.get(cell, cell) for cell in rows[0]]
        stated = dict(re.findall(r"(is_pp_shared|n_gpu_layers|n_threads) = (-?\d+)", text))
        return [stated | dict(zip(names, row, strict=False)) for row in rows[1:] if row != rows[0]]
    return list(csv.DictReader(text.lstrip("\ufeff").splitlines()))
