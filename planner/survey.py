"""Models side by side on machines, before any team asks: does it fit, and how fast is it.

A survey is made once for a set of models, machines, formats and splits; `Survey.at` answers it for
a number of users and lengths, quickly enough for a slider.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from planner import budget, estimate, judge, options, ranges, serving
from planner.catalogue import load
from planner.estimate import Replicas
from planner.team import Team


@dataclass(frozen=True)
class Survey:
    """
    N deployments.

    Parameters
    ----------
    table : DataFrame
        As `options.grid` makes it, with ``bits`` of the format.
    group : Replicas
        What the laws need of them.
    ideal : Replicas
        The same without a loss.
    fast, slow : tuple of ndarray
        Ends of the band of a step and of a first token, as factors.
    """

    table: pd.DataFrame
    group: Replicas
    ideal: Replicas
    fast: tuple[np.ndarray, np.ndarray]
    slow: tuple[np.ndarray, np.ndarray]

    def take(self, rows: np.ndarray) -> Survey:
        """Some of the deployments, or some several times, in that order."""
        ends = {name: tuple(end[rows] for end in getattr(self, name)) for name in ("fast", "slow")}
        table = self.table.iloc[rows].reset_index(drop=True)
        return replace(
            self, table=table, group=self.group.take(rows), ideal=self.ideal.take(rows), **ends
        )

    def at(
        self,
        users: int = 1,
        prompt_tokens: float = 512,
        context_tokens: float = 4096,
        memory: float = np.inf,
    ) -> pd.DataFrame:
        """
        Memory and speed with some users at once.

        Parameters
        ----------
        users : int
            Sequences that are decoded together. [sequence]
        prompt_tokens : float
            Of the request whose first token is timed, alone on the machine. [token]
        context_tokens : float
            That every user may fill; steps are timed at it. [token]
        memory : float
            The most that may be used of a CPU server or of unified memory; a GPU has its own. [B]

        Returns
        -------
        table : DataFrame
            The deployments with weight_bytes, overhead_bytes, cache_bytes, memory_bytes (offered),
            free_bytes (negative: missing), of one device or server [B]; fits; sequences (that have
            room) [sequence]; speed, speed_low, speed_high, speed_limit (the best that physics
            allows) of one user, total of all [token/s]; ttft, ttft_low, ttft_high, ttft_limit [s].
        """
        group = self.group
        static = self.table["engine"].isin(serving.STATIC).to_numpy()
        divided = budget.memory_budget(
            group,
            max_num_seqs=np.where(static, users, serving.MOST_SEQUENCES["vllm"]),
            max_num_batched_tokens=serving.STEP_TOKENS,
            max_model_len=context_tokens,
            memory_size=np.minimum(self.table["memory"].to_numpy(), memory),
        )
        one = serving.cache(group.profile, context_tokens)
        room = divided["pool_bytes"]
        step = estimate.decode_step_time(group, users, context_tokens)
        floor = estimate.decode_step_time(self.ideal, users, context_tokens)
        first = estimate.prefill_time(group, prompt_tokens) + group.coefficient["request_time"]
        soonest = estimate.prefill_time(self.ideal, prompt_tokens)
        return self.table.assign(
            weight_bytes=divided["weight_bytes"],
            overhead_bytes=divided["overhead_bytes"],
            memory_bytes=divided["memory_bytes"],
            cache_bytes=users * one,
            free_bytes=room - users * one,
            fits=(room >= users * one) & (group.reason == ""),
            sequences=np.floor(np.maximum(room, 0) / one),
            speed=1 / step,
            speed_low=1 / (step * self.slow[0]),
            speed_high=1 / np.maximum(step * self.fast[0], floor),
            speed_limit=1 / floor,
            total=users / step,
            ttft=first,
            ttft_low=np.maximum(first * self.fast[1], soonest),
            ttft_high=first * self.slow[1],
            ttft_limit=soonest,
        )


@lru_cache(maxsize=32)
def survey(
    models: tuple[str, ...] = (),
    servers: tuple[str, ...] = (),
    formats: tuple[str, ...] = (),
    splits: tuple[int, ...] = (),
) -> Survey:
    """
    Deployments of models on machines.

    Parameters
    ----------
    models : tuple of str
        Empty: all that answer people.
    servers : tuple of str
        Empty: all.
    formats : tuple of str
        Empty: all that run there.
    splits : tuple of int
        Accelerators of one replica; empty: every split of the machine.

    Returns
    -------
    survey : Survey
    """
    catalogue = load()
    chosen = {key: value for key, value in (("models", models), ("servers", servers),
                                            ("weight_formats", formats)) if value}  # fmt: skip
    team = Team.model_validate({**ranges.ANYBODY, "candidates": chosen})
    asked = [m for m in catalogue.models.values() if (m.id in models if models else m.instruct)]
    there = [s for s in catalogue.servers.values() if not servers or s.id in servers]
    table = options.grid(team, catalogue, asked, there)
    if splits:
        table = table[table["tp"].isin(splits) | (table["kind"] != "gpu")].reset_index(drop=True)
    bits = {name: record.bits for name, record in catalogue.formats.items()}
    group = estimate.replicas(table)
    return Survey(
        table.assign(bits=table["weight_format"].map(bits)), group, group.ideal(),
        *judge._bands(group),
    )  # fmt: skip


def widest(table: pd.DataFrame, by: str | list[str] = "model_id") -> pd.DataFrame:
    """
    Of every model the fitting deployment with most bits, on as few devices as hold it.

    Parameters
    ----------
    table : DataFrame
        From `Survey.at`.
    by : str or list of str
        What is to have one row.

    Returns
    -------
    best : DataFrame
        Where nothing fits, the nearest miss.
    """
    short = np.where(table["fits"], 0.0, -table["free_bytes"] * table["tp"])
    order = np.lexsort((table["tp"], -table["bits"], short))
    return table.iloc[order].drop_duplicates(by).reset_index(drop=True)
