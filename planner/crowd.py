"""Some users on one machine at once: response time, speed of each, speed of all, memory.

What a table of concurrency should say. The users wait for their answers and ask again at once, as
benchmarks do; the event simulation serves them. `guide` answers the table of the guide, for each of
its models on the machine that it names, beside what was claimed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import catalogue as records
from planner import judge, load, options, sizing
from planner.catalogue import Catalogue
from planner.team import Team

USERS = (1, 2, 5, 10, 20)
CALLS = 300  # of a run, at least; users repeat themselves
# The guide states no lengths; its response times and rates multiply to about 100 tokens.
PROMPT, OUTPUT, CONTEXT = 200, 100, 4096
VARIATION = 0.5  # of lengths: equal ones would keep all users in step
CLAIMED = {"response_s": "claimed_response", "tok_s_per_user": "claimed_speed",
           "memory_gb": "claimed_memory"}  # fmt: skip


def _team(prompt, output, context, users):
    """A requirement that only says how long calls are and that users wait for answers."""
    return Team.model_validate({
        "slug": "crowd", "name": "crowd", "owner": "-", "purpose": "-", "task": "chat",
        "workload": {
            "users": users, "calls_per_day": 1.0, "busiest_hour_share": 1.0, "variation": VARIATION,
            "prompt_tokens": float(prompt), "output_tokens": float(output),
            "context_tokens": context, "arrivals": {"kind": "users", "think_time": 0.0},
        },
    })  # fmt: skip


def crowd(
    model_id: str,
    server_id: str,
    weight_format: str = "bf16",
    *,
    users: tuple[int, ...] = USERS,
    prompt: int = PROMPT,
    output: int = OUTPUT,
    context: int = CONTEXT,
    tensor_parallel: int = 1,
    catalogue: Catalogue | None = None,
) -> pd.DataFrame:
    """
    Users on one replica of a model on one server.

    Parameters
    ----------
    model_id, server_id, weight_format : str
        Ids of the catalogue.
    users : tuple of int
        Numbers to be answered. [user]
    prompt, output, context : int
        Of every call, and the context that a slot holds. [token]
    tensor_parallel : int
        Accelerators of the replica. [1]
    catalogue : Catalogue, optional
        By default the one in ``data/``.

    Returns
    -------
    table : DataFrame
        users, response, response_low, response_high (mean time of a whole answer), ttft (mean)
        [s], speed, speed_low, speed_high (one user while the answer is written), total [token/s],
        memory [B], reason: why there is no answer, or that some wait for a place.

    Raises
    ------
    KeyError
        For an unknown id.
    """
    catalogue = catalogue or records.load()
    server = catalogue.servers[server_id]
    team = _team(prompt, output, context, max(users))
    row = pd.DataFrame([{
        "model_id": catalogue.models[model_id].id, "weight_format": weight_format,
        "engine": options.ENGINES[server.kind][0], "server_id": server_id,
        "device_id": server.device, "kind": server.kind, "tp": tensor_parallel,
        "n_devices": tensor_parallel, "sockets": server.sockets if server.kind == "cpu" else 1,
        "per_server": 1, "quality": np.nan,
        "memory": server.memory if server.kind != "gpu" else np.nan,
    }])  # fmt: skip
    option = judge.judge(row, team).iloc[0]
    fixed = float(option["weight_bytes"] + option["overhead_bytes"])
    if option["limit"] in ("memory", "kv_cache"):
        reason = (
            f"does not fit: weights and buffers take {fixed / 1e9:,.0f} GB, the machine has "
            f"{option['memory_bytes'] / 1e9:,.0f} GB"
        )
        return pd.DataFrame({"users": users, "memory": fixed, "reason": reason})
    ends = [sizing.one(option, team, end=end) for end in ("", "_low", "_high")]
    jobs = [(one, number) for number in users for one in ends]
    seen = sizing.threads(lambda job: _serve(*job, output), jobs)
    answers = []
    for position, number in enumerate(users):
        middle, fast, slow = seen[3 * position : 3 * position + 3]
        places = len(ends[0].engine.step_time)
        answers.append({
            "users": number, "response": middle[0], "response_low": fast[0],
            "response_high": slow[0], "ttft": middle[1], "speed": middle[2], "speed_low": slow[2],
            "speed_high": fast[2], "total": middle[3],
            "memory": fixed + min(number, places) * float(option["sequence_bytes"]),
            "reason": f"{number - places} wait for a place" if number > places else "",
        })  # fmt: skip
    return pd.DataFrame(answers)


def _serve(one, number, output):
    """Mean response and first token [s], speed of one user and of all [token/s]."""
    one = one.first(max(CALLS, 12 * number))
    done = one.at(number)
    ttft, tpot, rate = load.latencies(done, one.calls.output, one.handling(done))
    response = float(np.mean(ttft) + np.mean(tpot) * (output - 1))
    return response, float(np.mean(ttft)), float(1 / np.mean(tpot)), rate * output


def guide(catalogue: Catalogue | None = None, users: tuple[int, ...] = USERS) -> pd.DataFrame:
    """
    The guide's table of concurrency, for each of its models on the machine it names.

    Parameters
    ----------
    catalogue : Catalogue, optional
        By default the one in ``data/``.
    users : tuple of int
        Numbers to be answered. [user]

    Returns
    -------
    table : DataFrame
        model_id, server_id, weight_format, the columns of `crowd`, and claimed_response [s],
        claimed_speed [token/s], claimed_memory [B] where the guide says something.
    """
    catalogue = catalogue or records.load()
    claims = [c for c in catalogue.claims if c.model_id in catalogue.models]
    places = {c.model_id: (c.server, c.weight_format or "bf16") for c in claims if c.server}
    # the machine of its own table of concurrency, else of its other speeds, else one that holds it
    places |= {
        c.model_id: (c.server, c.weight_format or "bf16") for c in claims if c.users and c.server
    }
    machines = sorted(
        (s for s in catalogue.servers.values() if s.price_status == "claim" and s.kind == "cpu"),
        key=lambda server: server.memory,
    )
    for model_id in dict.fromkeys(c.model_id for c in claims if c.model_id not in places):
        weights = 2 * catalogue.models[model_id].total_parameters
        enough = [server for server in machines if server.memory > 1.05 * weights]
        places[model_id] = ((enough or machines[-1:])[0].id, "bf16")
    said = {
        (c.model_id, c.users, CLAIMED[c.metric]): 1e9 * c.low if c.unit == "GB" else c.low
        for c in claims
        if c.users and c.metric in CLAIMED
    }
    parts = []
    for model_id, (server_id, weight_format) in places.items():
        part = crowd(model_id, server_id, weight_format, users=users, catalogue=catalogue)
        for name in CLAIMED.values():
            part[name] = [said.get((model_id, number, name), np.nan) for number in users]
        parts.append(
            part.assign(model_id=model_id, server_id=server_id, weight_format=weight_format)
        )
    return pd.concat(parts, ignore_index=True)
