r"""How requests come: lengths and arrivals as teams have them, made so that they can be compared.

Everything is drawn from a seed: two deployments, or two rates, are asked the same things in the
same turns (common random numbers). Lengths are stratified, so that each seed covers the whole law.
Arrivals come at one request a second and are scaled: a higher rate is the same stream in less time.
"""

from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

HOUR = 3600.0
NONE, POOL = -1, -2  # as in `scheduler`


class Stream(NamedTuple):
    """
    Requests before it is known who serves them, and how fast.

    Parameters
    ----------
    arrival : ndarray
        At one request a second; NaN where the end of another request releases it. [s]
    prompt, output, cached, history, successor : ndarray of int
        As in ``simulation.Requests``. [token]
    pause : ndarray
        From the end of the predecessor to this request. [s]
    """

    arrival: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    cached: np.ndarray
    history: np.ndarray
    successor: np.ndarray
    pause: np.ndarray


def lengths(count, mean, variation, *, least=1, most=np.inf, seed=0):
    r"""
    Token counts of a lognormal law, stratified and with the mean that was asked for.

    Parameters
    ----------
    count : int
        [request]
    mean : float
        After clipping, as far as ``least`` and ``most`` allow. [token]
    variation : float
        Coefficient of variation before clipping. [-]
    least, most : numeric
        Bounds; ``most`` may be one per request. [token]
    seed : int
        Order of the strata. [-]

    Returns
    -------
    tokens : ndarray of int, shape (count,)

    Notes
    -----
    One draw at the middle of each of ``count`` strata of equal probability, in random order.

    References
    ----------
    .. [1] Glasserman, "Monte Carlo Methods in Financial Engineering", 2003, section 4.3.

    Examples
    --------
    >>> float(lengths(1000, 500, 1.0).mean().round()), lengths(3, 7, 0)
    (500.0, array([7, 7, 7]))
    """
    if not (count >= 1 and mean > 0 and variation >= 0):
        raise ValueError(
            f"count = {count}, mean = {mean:g}, variation = {variation:g}: give one request or "
            "more, a positive mean and no negative variation"
        )
    normal = np.random.default_rng(seed).permutation(_normal(count))
    tokens = np.exp(np.sqrt(np.log1p(variation**2)) * normal)
    tokens, factor = tokens / tokens.mean(), 1.0
    for _ in range(20):  # what clipping takes away is given to the others
        clipped = np.clip(mean * factor * tokens, least, most)
        factor *= np.clip(mean / clipped.mean(), 0.5, 2.0)
        if abs(clipped.mean() / mean - 1) < 1e-5:
            break
    return np.maximum(np.rint(clipped), least).astype(np.int64)


@lru_cache(maxsize=16)
def _normal(count):
    """The standard normal law at the middle of each of so many strata, rising."""
    below = (np.arange((count + 1) // 2) + 0.5) / count  # the law's other half is its mirror
    half = np.fromiter(map(NormalDist().inv_cdf, below), float, len(below))
    return np.concatenate([half, -half[: count // 2][::-1]])


def arrivals(count, variation=1.0, seed=0):
    """
    Independent arrivals at one request a second.

    Parameters
    ----------
    count : int
        [request]
    variation : float
        Coefficient of variation of the gaps: 1 is Poisson, more comes in bursts (gamma law). [-]
    seed : int
        [-]

    Returns
    -------
    arrival : ndarray, shape (count,)
        Rising, the last at ``count``. [s]

    References
    ----------
    .. [1] Wang et al., "BurstGPT", 2024, section 3 (gamma arrivals of LLM services).

    Examples
    --------
    >>> arrivals(4, 0)
    array([1., 2., 3., 4.])
    """
    random = np.random.default_rng(seed)
    if variation == 1:  # stratified, so that no seed is a busy or an idle day
        gaps = -np.log1p(-random.permutation((np.arange(count) + 0.5) / count))
    elif variation == 0:
        gaps = np.ones(count)
    else:
        gaps = random.gamma(1 / variation**2, 1.0, count)
    return np.cumsum(gaps) * (count / gaps.sum())


def day(calls, hourly, seed=0):
    """
    Arrivals of one day with a profile by the hour.

    Parameters
    ----------
    calls : int
        [request]
    hourly : array_like, shape (24,)
        Weight of each hour. [-]
    seed : int
        [-]

    Returns
    -------
    arrival : ndarray, shape (calls,)
        Poisson within each hour, in seconds since midnight. [s]

    References
    ----------
    .. [1] Ross, "Introduction to Probability Models", section 5.3 (order statistics of arrivals).

    Examples
    --------
    >>> times = day(1000, [0] * 9 + [3, 1] + [0] * 13)
    >>> int((times < 10 * 3600).sum())
    750
    """
    weight = np.asarray(hourly, dtype=float)
    edges = np.concatenate([[0.0], np.cumsum(weight / weight.sum())])
    # the number of each hour is that of the profile, the moments within it are random
    random = np.random.default_rng(seed)
    per_hour = np.diff(np.rint(edges * calls)).astype(int)
    moments = [HOUR * (h + np.sort(random.random(n))) for h, n in enumerate(per_hour)]
    return np.concatenate(moments)


def busiest_hour(arrival):
    """
    The hour in which most requests come.

    Parameters
    ----------
    arrival : ndarray
        Rising. [s]

    Returns
    -------
    first, last : int
        Positions: requests ``first`` to ``last - 1``. [1]
    length : float
        One hour, or the whole span where it is shorter. [s]

    References
    ----------
    .. [1] ITU-T E.600, 1993, "busy hour".

    Examples
    --------
    >>> busiest_hour(np.array([0.0, 4000.0, 4100.0, 9000.0]))
    (1, 3, 3600.0)
    """
    times = np.asarray(arrival, dtype=float)
    last = np.searchsorted(times, times + HOUR)
    best = int(np.argmax(last - np.arange(len(times))))
    span = times[-1] - times[0]
    return best, int(last[best]), min(HOUR, span) if span > 0 else HOUR


def independent(arrival, prompt, output, cached_share=0.0):
    """
    Requests that have nothing to do with each other.

    Parameters
    ----------
    arrival : ndarray
        [s]
    prompt, output : ndarray of int
        [token]
    cached_share : float
        Part of each prompt that is always found in the prefix cache. [-]

    Returns
    -------
    stream : Stream

    References
    ----------
    .. [1] Definition.

    Examples
    --------
    >>> independent(np.zeros(1), np.array([100]), np.array([10]), 0.5).cached
    array([50])
    """
    prompt, output = np.asarray(prompt, np.int64), np.asarray(output, np.int64)
    cached = np.minimum((prompt * cached_share).astype(np.int64), prompt - 1)
    none = np.full(len(prompt), NONE)
    return Stream(arrival, prompt, output, cached, cached, none, np.zeros(len(prompt)))


def users(stream, number, think_time, seed=0):
    """
    The same requests asked by users who each wait for the answer and think before the next.

    Parameters
    ----------
    stream : Stream
        From ``independent``; its arrivals are replaced.
    number : int
        [user]
    think_time : float
        Mean of an exponential law. [s]
    seed : int
        [-]

    Returns
    -------
    stream : Stream
        A user asks whatever is next in the list. [request]

    References
    ----------
    .. [1] Lazowska et al., "Quantitative System Performance", 1984, section 3.3 (interactive law).

    Examples
    --------
    >>> few = independent(np.zeros(3), np.full(3, 9), np.full(3, 9))
    >>> users(few, 2, 0.0).arrival
    array([ 0.,  0., nan])
    """
    if number < 1:
        raise ValueError(f"number = {number} users; give one or more")
    count = len(stream.prompt)
    strata = np.random.default_rng(seed).permutation((np.arange(count) + 0.5) / count)
    pause = -think_time * np.log1p(-strata)
    first = np.arange(count) < number
    arrival = np.where(first, pause, np.nan)
    return stream._replace(arrival=arrival, successor=np.full(count, POOL), pause=pause)


def sessions(count, turns, first_prompt, growth, output, pause, *, system=0, variation=0.0,
             most=np.inf, seed=0):  # fmt: skip
    """
    Agents whose prompt grows turn by turn: each repeats the turns before and adds to them.

    Parameters
    ----------
    count : int
        Requests, rounded up to whole sessions. [request]
    turns : int
        Requests of a session. [1]
    first_prompt : float
        Mean first prompt. [token]
    growth : float
        Mean of what a turn adds besides the answer before (results of tools, questions). [token]
    output : float
        Mean answer. [token]
    pause : float
        Mean time between an answer and the next turn, exponential. [s]
    system : int
        First tokens that all sessions share and that are always cached. [token]
    variation : float
        Coefficient of variation of first prompts, additions and answers. [-]
    most : float
        Longest context; prompts are cut there. [token]
    seed : int
        [-]

    Returns
    -------
    stream : Stream
        Sessions begin as Poisson arrivals; on average one request a second comes.

    References
    ----------
    .. [1] Zheng et al., "SGLang: efficient execution of structured language model programs",
       NeurIPS 2024, section 3 (prefixes reused from turn to turn).

    Examples
    --------
    >>> chat = sessions(3, 3, 100, 20, 10, 1.0)
    >>> chat.prompt, chat.history
    (array([100, 130, 160]), array([  0, 109, 139]))
    """
    number = -(-count // turns)
    shape = (number, turns)
    answers = lengths(number * turns, output, variation, seed=seed).reshape(shape)
    added = lengths(number * turns, max(growth, 1e-9), variation, least=growth > 0, seed=seed + 1)
    start = lengths(number, first_prompt, variation, seed=seed + 2)
    steps = answers[:, :-1] + added.reshape(shape)[:, 1:]
    prompt = np.cumsum(np.column_stack([start, steps]), axis=1)
    answers = np.minimum(answers, np.maximum(most - 1, 1)).astype(np.int64)
    prompt = np.minimum(prompt, np.maximum(most - answers, 1)).astype(np.int64)
    cached = np.minimum(system, prompt - 1)
    before = np.column_stack([cached[:, 0], (prompt + answers - 1)[:, :-1]])
    history = np.clip(before, cached, prompt - 1)
    index = np.arange(number * turns).reshape(shape)
    successor = np.column_stack([index[:, 1:], np.full(number, NONE)])
    begin = np.full(shape, np.nan)
    begin[:, 0] = turns * arrivals(number, seed=seed + 3)
    strata = np.random.default_rng(seed + 4).permutation((index.ravel() + 0.5) / index.size)
    parts = (begin, prompt, answers, cached, history, successor)
    return Stream(*[part.ravel() for part in parts], -pause * np.log1p(-strata))
