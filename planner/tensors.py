"""Records of a model's shape: its weight tensors and the caches its layers keep."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


class UnknownArchitecture(ValueError):
    """The config describes something this module cannot count."""


@dataclass(frozen=True)
class Tensor:
    """One weight matrix (or vector: ``columns`` 1), the same in every layer of ``layers``."""

    name: str
    part: str
    rows: int
    columns: int
    copies: int
    layers: tuple[int, ...]
    split: str

    @property
    def parameters(self):
        """Parameters over all layers. [parameter]"""
        return self.rows * self.columns * self.copies * max(1, len(self.layers))


@dataclass(frozen=True)
class CacheLayers:
    """Layers whose cache has one shape; ``state_bytes`` is per sequence over all of them. [B]

    ``index_dim`` is the width of the one-byte keys of a sparse-attention indexer.
    """

    kind: str
    layers: tuple[int, ...]
    kv_heads: int = 0
    key_dim: int = 0
    value_dim: int = 0
    query_heads: int = 0
    window: int = 0
    state_bytes: int = 0
    index_dim: int = 0
    index_heads: int = 0


@dataclass(frozen=True, eq=False)
class Architecture:
    """Everything the memory and speed laws need to know about a model's shape."""

    model_type: str
    hidden_size: int
    layers: int
    vocab_size: int
    query_heads: int
    kv_heads: int
    max_position: int
    experts: int
    experts_per_token: int
    moe_layers: int
    linear_layers: int
    tied: bool
    rotary_width: float
    tensors: tuple[Tensor, ...]
    caches: tuple[CacheLayers, ...]

    @cached_property
    def parameters(self):
        """Parameters by part. [parameter]"""
        counts = {}
        for tensor in self.tensors:
            counts[tensor.part] = counts.get(tensor.part, 0) + tensor.parameters
        return counts

    @property
    def total_parameters(self):
        """All parameters, vision tower and MTP block included. [parameter]"""
        return sum(self.parameters.values())

    @property
    def main_parameters(self):
        """Parameters of the language model itself. [parameter]"""
        return self.total_parameters - sum(self.parameters.get(p, 0) for p in ("vision", "mtp"))

    @property
    def active_parameters(self):
        """Parameters a token passes through, embedding and head included. [parameter]"""
        idle = 1 - self.experts_per_token / self.experts
        return round(self.main_parameters - idle * self.parameters.get("experts", 0))

    @cached_property
    def arrays(self):
        """The tensors as arrays, for the vectorised laws in ``formats``."""
        rows = np.array([t.rows for t in self.tensors], float)
        columns = np.array([t.columns for t in self.tensors], float)
        copies = np.array([t.copies for t in self.tensors], float)
        instances = np.array([max(1, len(t.layers)) for t in self.tensors], float)
        return {
            "rows": rows,
            "columns": columns,
            "size": rows * columns * copies,
            "instances": instances,
            "part": np.array([t.part for t in self.tensors]),
            "split": np.array([t.split for t in self.tensors]),
        }

    @cached_property
    def value_layers(self):
        """Layers with a value matrix, in order: layer -> position among them."""
        names = ("attn_v", "attn_qkv", "attn_kv_b")
        layers = sorted({i for t in self.tensors if t.name in names for i in t.layers})
        return {layer: position for position, layer in enumerate(layers)}
