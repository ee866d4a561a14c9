r"""Event simulation of continuous batching: every request, every step, on one or more replicas.

A step decodes one token of every running sequence and prefills as much of the waiting prompts as
the token budget leaves. It costs what ``throughput`` says: ``d(n, K)`` for n sequences of mean
context K, plus each prompt's work in the share that this step computes, plus the launch of a
prefill pass. Requests are admitted first come, first served, where a place and the cache are free;
where the cache runs out, the newest running request gives its blocks back and is computed again.
llama.cpp's server is the same with its slots as places and a cache that never runs out.

Runs of steps in which nobody comes, goes or is prefilled are summed in closed form; the result is
that of stepping.
"""

from typing import NamedTuple

import numpy as np

from planner.workload import NONE, POOL

__all__ = ["NONE", "POOL", "Engine", "Outcome", "Requests", "prepared", "simulate"]


class Engine(NamedTuple):
    """
    One replica as the scheduler sees it.

    Parameters
    ----------
    step_time : ndarray, shape (B, C)
        Decode step of 1 to B sequences at each mean context. [s]
    contexts : ndarray, shape (C,)
        Mean contexts, rising; linear between and beyond them. [token]
    launch_time : float
        Added to every step that prefills. [s]
    sharing : float
        Part of a prompt's work that a step with decoding sequences waits for. [1]
    curvature : float
        Attention's share: the work of the first x tokens grows as x + curvature x^2. [1/token]
    max_num_batched_tokens : int
        Tokens of one step. [token]
    blocks : int
        Blocks of the KV cache; 0 = it never runs out (fixed slots). [block]
    block_tokens : int
        Their size. [token]
    whole_prompt : bool
        Admit a request only if its whole prompt fits now (vLLM's default), not its first chunk.
    """

    step_time: np.ndarray
    contexts: np.ndarray
    launch_time: float
    sharing: float
    curvature: float
    max_num_batched_tokens: int
    blocks: int
    block_tokens: int
    whole_prompt: bool


class Requests(NamedTuple):
    """
    What is asked, one entry per request.

    Parameters
    ----------
    arrival : ndarray
        When it comes; NaN where the end of another request releases it. [s]
    prompt, output : ndarray of int
        [token]
    cached : ndarray of int
        First tokens of the prompt that are always found in the prefix cache. [token]
    history : ndarray of int
        First tokens that the predecessor leaves in the cache, until they are overwritten;
        equal to ``cached`` where there is no predecessor. [token]
    work, work_after : ndarray
        Prefill of the tokens after ``cached``, and after ``history``, alone on the replica. [s]
    successor : ndarray of int
        Request that its end releases; ``NONE``, or ``POOL`` for the next that has no arrival.
    pause : ndarray
        From the end of the predecessor to this request. [s]
    """

    arrival: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    cached: np.ndarray
    history: np.ndarray
    work: np.ndarray
    work_after: np.ndarray
    successor: np.ndarray
    pause: np.ndarray


class Outcome(NamedTuple):
    """
    What happened, one entry per request or per replica.

    Parameters
    ----------
    arrival, admitted, first_token, finished : ndarray, shape (N,)
        NaN where it did not happen. [s]
    replica, preemptions, restarts : ndarray of int, shape (N,)
        Where it ran, how often it lost its cache and was computed again, and how often its replica
        failed. [1]
    hit : ndarray of int, shape (N,)
        Prompt tokens found in the cache. [token]
    rejected : ndarray of bool, shape (N,)
        It can never fit.
    busy : ndarray, shape (R,)
        Time in steps. [s]
    steps : ndarray of int, shape (R,)
        [step]
    running_time, system_time : ndarray, shape (R,)
        Integrals over time of requests that run, and that run or wait. [request s]
    prefilled, decoded : ndarray of int, shape (R,)
        Tokens computed, those computed again included. [token]
    peak_blocks : ndarray of int, shape (R,)
        Most blocks in use at once; 0 where every request has its slot. [block]
    """

    arrival: np.ndarray
    admitted: np.ndarray
    first_token: np.ndarray
    finished: np.ndarray
    replica: np.ndarray
    preemptions: np.ndarray
    restarts: np.ndarray
    hit: np.ndarray
    rejected: np.ndarray
    busy: np.ndarray
    steps: np.ndarray
    running_time: np.ndarray
    system_time: np.ndarray
    prefilled: np.ndarray
    decoded: np.ndarray
    peak_blocks: np.ndarray


def _record(times, counts):
    return np.dtype([*((x, "f8") for x in times.split()), *((x, "i8") for x in counts.split())])


# what is asked, read only: `prepared` makes it once for many runs
ASKED = _record(
    "arrival work work_after pause", "prompt output cached history successor predecessor"
)
# `behind` it waits another; `todo`: prompt tokens still to compute; `held` in the cache and
# `generated`: tokens, in decode less the steps of the replica; `left` in the cache for a successor
# by an ended request. Who runs is in a list from `older` to `newer`, so is who has left something.
# Written when a request comes, not before.
CALL = _record("", "behind todo held generated left older newer")
# `last` of the list of who runs: only it may be prefilled in part; `context`: tokens in the cache
# of all that decode; `soonest`: steps after which one of them ends; blocks `used` by who runs, and
# `kept` of who has ended, the oldest overwritten first; `cell` of the step table between whose
# contexts the last step was
REPLICA = _record(
    "clock busy running_time system_time",
    "steps prefilled decoded peak_blocks alive running decoding waiting head tail last context "
    "soonest used kept oldest newest cell",
)
RELEASE = _record("time", "call")


class State(NamedTuple):
    """Arrays that the compiled scheduler changes; what is named as in `Outcome` is handed out."""

    asked: np.ndarray  # N of ASKED, unchanged
    calls: np.ndarray  # N of CALL
    arrival: np.ndarray
    admitted: np.ndarray
    first_token: np.ndarray
    finished: np.ndarray
    replica: np.ndarray
    preemptions: np.ndarray
    restarts: np.ndarray
    hit: np.ndarray
    rejected: np.ndarray
    replicas: np.ndarray  # R of REPLICA
    # R x B: steps of the replica after which who decodes has all its tokens, and which request that
    # is; the next to end last, the older behind
    ends: np.ndarray
    phase: np.ndarray  # R x block: sequences in decode by the place of their last token in a block
    pool: np.ndarray  # 1: next request of the pool
    release: np.ndarray  # N + 1: a heap of requests that come when others have ended, and its size


def simulate(requests, engine, *, replicas=1, wanted=None, outages=(), skip=True, **other):
    """
    Serve requests until all have ended.

    Parameters
    ----------
    requests : Requests or ndarray
        N requests, or what `prepared` made of them.
    engine : Engine
        Every replica is one of these.
    replicas : int
        Behind one router. Requests that release others need 1: a session stays on its replica.
    wanted : ndarray of int, shape (N,), optional
        Replica of each request while it is up; by default the one with fewest requests. [1]
    outages : sequence of (replica, begin, end)
        When a replica is down; what it was doing starts again elsewhere. [1, s, s]
    skip : bool
        Sum runs of equal steps; False takes every step by itself, for checks.
    **other : numeric
        Fields of prepared requests that are others this time, such as arrival. [s]

    Returns
    -------
    outcome : Outcome
        Times [s] and counts of every request and replica.

    Raises
    ------
    ValueError
        Where a number is out of range, with its name and the remedy.

    References
    ----------
    .. [1] Yu et al., "Orca", OSDI 2022 (iteration-level scheduling).
    .. [2] Kwon et al., "Efficient memory management for LLM serving with PagedAttention", SOSP 2023
       (blocks, preemption by recomputation).
    .. [3] Agrawal et al., "Sarathi-Serve", OSDI 2024 (chunked prefill under a token budget).

    Examples
    --------
    One user: the first token after its prefill, then one token per step.

    >>> table, contexts = np.full((4, 2), 0.02), np.array([0.0, 1e6])
    >>> engine = Engine(table, contexts, 0.01, 1.0, 0.0, 8192, 0, 16, True)
    >>> one = np.array([1])
    >>> alone = Requests(np.zeros(1), 1000 * one, 101 * one, 0 * one, 0 * one,
    ...                  np.array([0.5]), np.array([0.5]), NONE * one, np.zeros(1))
    >>> done = simulate(alone, engine)
    >>> done.first_token.round(6), done.finished.round(6)
    (array([0.51]), array([2.51]))
    """
    asked = requests if isinstance(requests, np.ndarray) else prepared(requests)
    engine = _checked_engine(engine)
    arrival = np.empty(len(asked))
    arrival[:] = other.pop("arrival", asked["arrival"])
    if np.isinf(arrival).any():
        raise ValueError("arrival = inf; give a time, or NaN where another request releases it")
    if other:
        asked = asked.copy()
        for name, values in other.items():
            asked[name] = values
    count, places = len(asked), len(engine.step_time)
    if replicas > 1 and np.any(asked["successor"] != NONE):
        raise ValueError(
            f"replicas = {replicas} with requests that release others; simulate each replica's "
            "sessions by themselves"
        )
    if replicas < 1:
        raise ValueError(f"replicas = {replicas}; give one or more")
    for replica, begin, end in outages:
        if not (0 <= replica < replicas and 0 <= begin < end):
            raise ValueError(
                f"outage of replica {replica} from {begin} to {end}; name one of {replicas} "
                "replicas, and an end after the beginning"
            )
    changes = sorted(
        (time, replica, up)
        for replica, begin, end in outages
        for time, up in ((begin, 0), (end, 1))
    )
    wanted = np.full(count, -1) if wanted is None else np.array(wanted, dtype=np.int64)
    if wanted.shape != (count,):
        raise ValueError(
            f"wanted has {wanted.size} entries for {count} requests; give one for each"
        )
    if wanted.max(initial=-1) >= replicas:
        raise ValueError(f"wanted = {wanted.max()} is no replica; give 0 to {replicas - 1}")
    # compiled: who only asks closed forms need not wait
    from planner.scheduler import ENDLESS, run

    each = np.zeros(replicas, REPLICA)
    each["alive"], each["soonest"] = 1, ENDLESS
    each["last"] = each["oldest"] = each["newest"] = -1
    ends = np.empty((replicas, places), dtype=np.int64)
    phase = np.zeros((replicas, engine.block_tokens), dtype=np.int64)
    opened = np.arange(count)
    # no comparison holds where one is not a number, and one alone is compared with itself
    if not (arrival[-1:] >= arrival[:1]).all() or not (arrival[1:] >= arrival[:-1]).all():
        opened = np.flatnonzero(~np.isnan(arrival))
        opened = opened[np.argsort(arrival[opened], kind="stable")]
    release = np.empty(count + 1, RELEASE)
    release[0] = -np.inf, 0
    counts = np.zeros((3, count), dtype=np.int64)
    state = State(
        asked, np.empty(count, CALL), arrival, *np.full((3, count), np.nan), np.full(count, NONE),
        *counts, np.zeros(count, dtype=bool), each, ends, phase,
        np.zeros(1, dtype=np.int64), release,
    )  # fmt: skip
    run(state, engine, opened, wanted, np.array(changes, dtype=float).reshape(-1, 3), skip)
    names = Outcome._fields
    return Outcome(*(getattr(state, x) if x in State._fields else each[x].copy() for x in names))


def prepared(requests):
    """
    Requests checked and laid out for `simulate`, which takes a third of a short run.

    Parameters
    ----------
    requests : Requests
        As for `simulate`.

    Returns
    -------
    asked : ndarray of ASKED, shape (N,)
        Served as often as wanted; times in [s].
    """
    requests = _checked_requests(requests)
    asked = np.empty(len(requests.arrival), ASKED)
    for name, values in requests._asdict().items():
        asked[name] = values
    asked["predecessor"] = NONE
    named = np.flatnonzero(requests.successor >= 0)
    asked["predecessor"][requests.successor[named]] = named
    return asked


def _checked_requests(requests):
    """One type for the compiled code, and lengths that can be served."""
    whole = ("prompt", "output", "cached", "history", "successor")
    arrays = {
        name: np.asarray(value, dtype=np.int64 if name in whole else np.float64)
        for name, value in requests._asdict().items()
    }
    lengths = {name: array.shape for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"requests have different lengths {lengths}; give one entry per request")
    for name in ("prompt", "output", "cached", "work", "work_after", "pause"):
        least = 1 if name in ("prompt", "output") else 0
        array = arrays[name]
        # not a number is no less and no more, and fails too
        if array.size and not (array.min() >= least and array.max() < np.inf):
            value = array[~((array >= least) & (array < np.inf))][0]
            raise ValueError(f"{name} = {value} is no length or time; give {least} or more")
    least, most = arrays["successor"].min(initial=NONE), arrays["successor"].max(initial=NONE)
    named = arrays["successor"][arrays["successor"] >= 0] if most >= 0 else np.arange(0)
    known = named[named < len(arrays["prompt"])]
    once = len(known) == len(named) and np.bincount(known).max(initial=0) <= 1
    if not once or least < POOL or not np.isnan(arrays["arrival"][known]).all():
        raise ValueError(
            f"successor = {most}: name each request once at most, "
            "among those whose arrival is NaN; or give NONE or POOL"
        )
    wrong = (arrays["history"] >= arrays["prompt"]) | (arrays["history"] < arrays["cached"])
    if wrong.any():
        r = int(np.argmax(wrong))
        raise ValueError(
            f"history = {arrays['history'][r]} of request {r} must lie between cached = "
            f"{arrays['cached'][r]} and prompt = {arrays['prompt'][r]}; leave one token to compute"
        )
    return Requests(**arrays)


def _checked_engine(engine):
    table = np.ascontiguousarray(engine.step_time, dtype=np.float64)
    contexts = np.ascontiguousarray(engine.contexts, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(contexts) or len(contexts) < 2:
        raise ValueError(
            f"step_time of shape {table.shape} does not go with {len(contexts)} contexts; give one "
            "row per batch size and one column per context, at least two"
        )
    if not (table.min(initial=np.inf) > 0 and (contexts[1:] > contexts[:-1]).all()):
        raise ValueError("step_time must be positive and contexts must rise; correct the table")
    for name, least in (
        ("launch_time", 0), ("sharing", 0), ("curvature", 0), ("blocks", 0), ("block_tokens", 1)
    ):  # fmt: skip
        value = getattr(engine, name)
        if not least <= value < np.inf:
            raise ValueError(f"{name} = {value} is too small; give {least} or more")
    if engine.block_tokens & (int(engine.block_tokens) - 1):
        raise ValueError(f"block_tokens = {engine.block_tokens} is no power of two; give 16 or 32")
    budget = int(engine.max_num_batched_tokens)
    if budget < len(table):
        raise ValueError(
            f"max_num_batched_tokens = {budget} is less than the {len(table)} sequences of a step; "
            "raise it, or give fewer rows of step_time"
        )
    return Engine(
        table, contexts, float(engine.launch_time), float(engine.sharing), float(engine.curvature),
        budget, int(engine.blocks), int(engine.block_tokens), bool(engine.whole_prompt),
    )  # fmt: skip
