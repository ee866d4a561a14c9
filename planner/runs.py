"""A team's own benchmark files -> rows in the columns of a measurements file.

The readers are in ``planner.run_formats``. What a file does not state (device, model, weight
format, engine) is taken from a ``Setting``; nothing is guessed, and every identifier is checked
against the catalogue.
"""

import csv
import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from planner import catalogue
from planner.run_formats import COLUMNS, FORMATS, RunError, Source, records_of

LAYERED = ("llama.cpp", "ik_llama.cpp", "ollama")  # several devices hold layers, not shares
GPU = re.compile("CUDA|ROCm|HIP|Vulkan|Metal|MTL|SYCL|OpenCL")  # as llama-bench names backends
SHORT = {"f16": "fp16", "f32": "fp32"}  # as llama.cpp writes them


@dataclass(frozen=True)
class Setting:
    """
    What the files do not state; empty and 0 mean not given.

    Parameters
    ----------
    device, model, weight_format, engine : str
        Identifiers of the catalogue.
    sockets, threads, tensor_parallel : int
        CPU sockets, threads, and accelerators of one replica. [1]
    """

    device: str = ""
    model: str = ""
    weight_format: str = ""
    engine: str = ""
    sockets: int = 0
    threads: int = 0
    tensor_parallel: int = 0


def read(paths, setting=None, records=None):
    """
    Runs of benchmark files as rows of a measurements file.

    Parameters
    ----------
    paths : sequence of path
        Files of any of the ``FORMATS``.
    setting : Setting, optional
        What the files do not state.
    records : Catalogue, optional
        Where identifiers are looked up.

    Returns
    -------
    rows : DataFrame
        Columns ``COLUMNS`` as text, ``value`` as number (token/s, request/s or ms, as the metric
        says); ``config_id`` names the run.

    Raises
    ------
    RunError
        With file, field and remedy.
    """
    setting, records = setting or Setting(), records or catalogue.load()
    rows = []
    for path in map(Path, paths):
        try:
            found = records_of(path.read_text(encoding="utf-8-sig"))
        except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
            raise RunError(f"{path}: is not whole ({error}); save the result again") from None
        known = [f for f in FORMATS if found and f.keys <= set(found[0])]
        if not known:
            raise RunError(
                f"{path}: is none of {'; '.join(f.name for f in FORMATS)}; save it in one of them"
            )
        sources = [Source(record, f"{path}, run {i}") for i, record in enumerate(found, 1)]
        for number, run in enumerate(known[0].reader(sources), 1):
            name = f"{path.name}#{number}"
            rows += [_complete(row, name, f"{path}, run {number}", setting, records) for row in run]
    if not rows:
        raise RunError("the files hold no run that can be compared; llama-bench needs -p or -n")
    lines = [{name: _written(row.get(name, "")) for name in COLUMNS} for row in rows]
    ids = [f"R{number:04d}" for number in range(1, len(rows) + 1)]
    values = [float(row["value"]) for row in rows]
    return pd.DataFrame(lines, columns=list(COLUMNS)).assign(id=ids, value=values)


def _written(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def _complete(row, name, where, setting, records):
    """The row with what the setting adds, every identifier one of the catalogue."""
    engines = sorted({engine for f in records.formats.values() for engine in f.engines})
    engine = setting.engine or row.get("engine", "")
    stated = row.get("weight_format", "")
    row = row | {
        "config_id": f"{name} {row['config_id']}" if row.get("config_id") else name,
        "source": name.rsplit("#", 1)[0],
        "engine": _identifier(engine, "", engines, where, "engine", "--engine"),
        "model_id": _identifier(
            row.get("model_id", ""), setting.model, records.models, where, "model_id", "--model"
        ),
        "device_id": _identifier(
            row.get("device_id", ""), setting.device, records.devices, where, "device_id",
            "--device",
        ),
        "weight_format": _identifier(
            format_named(stated, records.formats), setting.weight_format, records.formats, where,
            "weight_format", "--weight-format",
        ),
    }  # fmt: skip
    device = records.devices[row["device_id"]]
    layers = str(row.get("gpu_layers", ""))
    total = records.models[row["model_id"]].config.get("num_hidden_layers", 0)
    if device.kind != "cpu" and layers.isdigit() and int(layers) < total:
        raise RunError(
            f"{where}, field n_gpu_layers: {layers} of {total} layers ran on {device.id}; "
            "a run split with the CPU cannot calibrate it: repeat it with -ngl 99"
        )
    if device.kind == "cpu" and layers != "0" and GPU.search(row.get("backends", "")):
        raise RunError(
            f"{where}, field backends: {row['backends']} ran layers, {device.id} is a CPU; "
            "name the accelerator with --device, or repeat the run with -ngl 0"
        )
    devices = setting.tensor_parallel or row.get("n_devices") or row.get("tp") or 1
    row["n_devices"] = devices
    row["tp"] = "" if row["engine"] in LAYERED else (row.get("tp") or devices)
    if setting.tensor_parallel and row["tp"]:
        row["tp"] = setting.tensor_parallel
    row["sockets"] = setting.sockets or row.get("sockets") or 1
    row["threads"] = setting.threads or row.get("threads") or ""
    return row


def format_named(text, formats):
    """
    Weight format that a file name or description names.

    Parameters
    ----------
    text : str
        Such as ``models/Qwen3-8B-Q4_K_M.gguf``; an identifier is returned as it is.
    formats : collection of str
        Identifiers of formats.

    Returns
    -------
    identifier : str
        The longest one that stands in the text as a word; else the text without a file name.

    Examples
    --------
    >>> format_named("models/qwen3-8b-Q4_K_M.gguf qwen3 8B Q4_K - Medium", ["q4_k_m", "q4_0"])
    'q4_k_m'
    """
    if text in formats or text.startswith("other:"):
        return text
    words = re.sub(r"[^a-z0-9_]+", " ", text.lower()).split()
    words = [SHORT.get(word, word) for word in words]
    found = [name for name in formats if name in words]
    return max(found, key=len, default="" if " " in text or "." in text else text)


def _identifier(stated, given, known, where, field, option):
    """The identifier that file and option agree on."""
    stated = stated.strip()
    other = field == "weight_format" and (given or stated).startswith("other:")
    if given and stated in known and stated != given:
        raise RunError(
            f"{where}, field {field}: the file says {stated}, {option} says {given}; "
            "drop the option or read the file on its own"
        )
    chosen = given or stated
    if chosen in known or other:
        return chosen
    if not chosen:
        raise RunError(f"{where}, field {field}: the file does not say; add {option} ID")
    short = {name.split("/")[-1].lower(): name for name in known}
    close = difflib.get_close_matches(chosen.rstrip("/").split("/")[-1].lower(), short, 3, 0.5)
    advice = " or ".join(short[name] for name in close) or "one of data/"
    raise RunError(f"{where}, field {field}: {chosen!r} is not in the catalogue; "
                   f"use {option} {advice}")  # fmt: skip
