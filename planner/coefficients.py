"""Measured constants of the step law: ``data/constants/speed.csv`` read and resolved.

A constant has a name, a scope and a value. A scope is empty or words joined by ``/``; the
constant applies to a replica that carries every one of them (its device class, engine, number
format, instruction set, link). Where several constants of one name apply, they multiply: one
base per device class, and factors of one that say what an engine or a format adds. Where no
base applies, a time is zero, a rate unlimited and a share one.
"""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from planner import bands

PATH = Path(__file__).resolve().parent.parent / "data" / "constants" / "speed.csv"
COLUMNS = (
    "name", "scope", "value", "unit", "prior", "prior_sd", "low", "high", "rows", "remark",
)  # fmt: skip
ABSENT = {"s": 1, "1/thread": 1, "B/s": 2}  # places of 0 and infinity past the table
HBM = ("a100", "a30", "h100", "h200", "h20", "h800", "b200", "b300", "gb", "gh", "v100", "mi",
       "gaudi", "ascend")  # fmt: skip
INT4 = ("awq-int4", "gptq-int4", "other:int4-native", "other:q4f16_1")
GGUF_SIMPLE = ("q4_0", "q5_0", "q8_0", "iq4_nl", "q4_1", "q5_1", "other:q8_k_r8")


@dataclass(frozen=True, eq=False)  # a key of what is made from it
class Constants:
    """
    The table of constants in the order of its file.

    Parameters
    ----------
    table : DataFrame
        Columns of ``data/constants/speed.csv``.
    """

    table: pd.DataFrame

    @cached_property
    def values(self):
        """Values in file order. [unit of each row]"""
        return self.table["value"].to_numpy(dtype=float)

    @cached_property
    def names(self):
        """Distinct names."""
        return tuple(self.table["name"].unique())

    def index(self, words):
        """
        Rows that apply to each replica.

        Parameters
        ----------
        words : sequence of frozenset of str
            What each replica is.

        Returns
        -------
        index : dict of str to ndarray
            Per name, positions in the table; past its end stand the factors 1, 0 and infinity.
        """
        kinds = {have: code for code, have in enumerate(dict.fromkeys(words))}
        codes = np.array([kinds[have] for have in words], dtype=int)
        scopes = [frozenset(s.split("/")) - {""} for s in self.table["scope"]]
        units = self.table["unit"].to_numpy()
        one = len(scopes)
        result = {}
        for name, positions in self.table.groupby("name", sort=False).indices.items():
            based = [p for p in positions if units[p] != "1"]
            absent = [ABSENT[units[based[0]]] + len(scopes)] if based else []
            applying = [[p for p in positions if scopes[p] <= have] for have in kinds]
            applying = [a if set(a) & set(based) else a + absent for a in applying]
            width = max((len(a) for a in applying), default=0) or 1
            padded = [a + [one] * (width - len(a)) for a in applying]
            result[name] = np.array(padded, dtype=int).reshape(len(kinds), width)[codes]
        return result

    def resolve(self, index):
        """
        Value of every coefficient for every replica.

        Parameters
        ----------
        index : dict of str to ndarray
            From ``index``.

        Returns
        -------
        coefficients : dict of str to ndarray
            Product of the rows that apply. [unit of the base row]
        """
        values = np.append(self.values, [1.0, 0.0, np.inf])
        return {name: values[rows].prod(axis=1) for name, rows in index.items()}

    def with_values(self, values):
        """
        The same constants with other values.

        Parameters
        ----------
        values : array
            In file order. [unit of each row]

        Returns
        -------
        constants : Constants
            A copy.
        """
        return replace(self, table=self.table.assign(value=np.asarray(values, dtype=float)))


@lru_cache(maxsize=4)
def load(path=None):
    """
    Read the constants.

    Parameters
    ----------
    path : path, optional
        A file with the columns of ``data/constants/speed.csv``, read alone; by default that file
        and the team's own calibration behind it.

    Returns
    -------
    constants : Constants
        The table.
    """
    table = pd.read_csv(path or PATH, keep_default_na=False, na_values={"low": "", "high": ""})
    if tuple(table.columns) != COLUMNS:
        raise ValueError(f"{path}: columns are {list(table)}, expected {list(COLUMNS)}")
    if not (table[["value", "prior", "prior_sd"]] > 0).all(axis=None):
        raise ValueError(f"{path}: value, prior and prior_sd must be above zero; correct the row")
    return Constants(table if path else bands.with_calibration(table))


def number_format(weight_format):
    """
    Family of weight formats that share a kernel.

    Parameters
    ----------
    weight_format : str
        Identifier of a format.

    Returns
    -------
    family : str
        ``wide``, ``fp8``, ``int8``, ``int4``, ``nvfp4``, ``mxfp4`` or a GGUF family.

    Examples
    --------
    >>> [number_format(f) for f in ("bf16", "awq-int4", "q4_k_m", "iq4_xs", "q8_0")]
    ['wide', 'int4', 'gguf_k', 'gguf_iq', 'gguf_simple']
    """
    weight_format = str(weight_format).lower()
    if weight_format in ("bf16", "fp16", "fp32", "f16", "f32"):
        return "wide"
    if weight_format in INT4 or weight_format.endswith("int4"):
        return "int4"
    if "int8" in weight_format:
        return "int8"
    for family in ("nvfp4", "mxfp4", "fp8"):
        if family in weight_format:
            return family
    if weight_format in GGUF_SIMPLE:
        return "gguf_simple"
    short = weight_format.removeprefix("other:").removeprefix("ud-")
    return "gguf_iq" if "iq" in short else "gguf_k"


def engine_words(engine, version):
    """
    Engine, and its generation where that changes the host's work per step.

    Parameters
    ----------
    engine : str
        Identifier of an engine.
    version : str
        As its maker prints it; empty means a current one.

    Returns
    -------
    words : set of str
        ``vllm-v0`` beside ``vllm`` for versions before 0.8, whose scheduler ran between steps,
        and ``vllm-eager`` before 0.3, without CUDA graphs; ``transformers-v4.47`` up to that
        version, with attention in wrappers; ``tensorrt-llm-v1.2`` from there on.

    Examples
    --------
    >>> sorted(engine_words("vllm", "0.6.3")), sorted(engine_words("vllm", ""))
    (['vllm', 'vllm-v0'], ['vllm'])
    """
    words = {engine}
    if engine == "vllm" and re.search(r"^0\.[0-7](\.|$)|202[34]", version):
        words.add("vllm-v0")
    if engine == "vllm" and re.search(r"^0\.[0-2](\.|$)|2023", version):
        words.add("vllm-eager")
    if engine == "transformers" and re.search(r"^4\.([0-3]|4[0-7])|202[34]", version):
        words.add("transformers-v4.47")
    if engine == "tensorrt-llm" and re.search(r"^1\.[2-9]", version):
        words.add("tensorrt-llm-v1.2")
    return words


def replica_words(device, kind, engine, version, weight_format, routed):
    """
    Everything a replica is, in the words of the scopes.

    Parameters
    ----------
    device : catalogue.Device
        Accelerator or server.
    kind : str
        From ``device_class``.
    engine, version : str
        Engine and its version as its maker prints it.
    weight_format : str
        Identifier of a format.
    routed : bool
        Whether the model has routed experts.

    Returns
    -------
    words : frozenset of str
        Device, its class, link, instruction sets, engine, number format and what follows:
        ``early`` GPUs (before 2022, slower clocks), ``scalar`` accelerators (no matrix units),
        ``narrow`` ones (few cores for their bandwidth), cores with ``integer_dot`` products,
        ``integer`` formats of 4 and 8 bits, experts in products one after the other
        (``unfused``).
    """
    family, fp32 = number_format(weight_format), device.peak.get("fp32") or np.nan
    wide = device.peak.get("bf16") or device.peak.get("fp16") or fp32
    link = "nvlink" if device.link == "nvlink" or (device.link_bandwidth or 0) > 3e11 else "pcie"
    words = {kind, family, link, "device:" + device.id} | set(device.isa.lower().split())
    words |= engine_words(engine, version)
    words |= {"gpu"} if kind in ("hbm", "gddr") else set()
    if kind != "cpu":
        words |= {"accelerator"}
        words |= {"scalar"} if wide <= 1.1 * fp32 else set()
        words |= {"early"} if (device.year or 2022) < 2022 else set()
        words |= {"narrow"} if kind == "hbm" and wide < 60 * device.bandwidth else set()
    words |= {"integer"} if family in ("int4", "int8") else set()
    words |= {"integer_dot"} if words & {"vnni", "neon"} else set()
    looped = ("gptq" in weight_format and engine == "sglang") or (
        family == "wide" and engine == "llama.cpp"
    )
    words |= {"unfused"} if routed and looped else set()
    return frozenset(words)


def device_class(device_id, kind):
    """
    Class of devices that share efficiencies.

    Parameters
    ----------
    device_id : str
        Identifier of a device.
    kind : str
        ``gpu``, ``apu`` or ``cpu``.

    Returns
    -------
    name : str
        ``hbm``, ``gddr``, ``apu`` or ``cpu``.

    Examples
    --------
    >>> device_class("h20", "gpu"), device_class("rtx-4090", "gpu"), device_class("x", "cpu")
    ('hbm', 'gddr', 'cpu')
    """
    if kind != "gpu":
        return kind
    return "hbm" if device_id.startswith(HBM) else "gddr"


def peak_precision(weight_format, peak, engine):
    """
    Peak that a format's matrix products run against.

    Parameters
    ----------
    weight_format : str
        Identifier of a format.
    peak : mapping
        Precision to dense peak of one device; missing means the device lacks it. [FLOP/s]
    engine : str
        Identifier of an engine.

    Returns
    -------
    flops : float
        Peak; 16-bit unless the engine multiplies in the narrow format itself. [FLOP/s]
    """
    wide = peak.get("bf16") or peak.get("fp16") or peak.get("fp32") or np.nan
    family = number_format(weight_format)
    if family == "nvfp4":
        return peak.get("fp4") or wide
    if family == "fp8":
        return peak.get("fp8") or wide
    if family == "mxfp4" and peak.get("fp4") and engine != "llama.cpp":
        return peak.get("fp8") or wide  # Blackwell kernels feed FP8 activations
    if weight_format == "int8-w8a8":
        return peak.get("int8") or wide
    if weight_format == "fp32":
        return peak.get("fp32") or wide
    return wide
