"""The scheduler of `simulation`, compiled: what runs in each step, on which replica, for how long.

Plain loops over arrays that are changed in place; `simulation` checks what goes in and explains
what comes out. Compiled at first use, then read from the cache on disk.
"""

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from numba import njit

NONE, POOL = -1, -2  # no successor; the next request of the pool that nobody has asked yet
ENDLESS = 1 << 60


class State(NamedTuple):
    """Arrays that the compiled functions change: per replica (R), place (R x B), request (N)."""

    clock: np.ndarray
    running: np.ndarray  # R
    waiting: np.ndarray
    head: np.ndarray  # of the queue, a linked list through `behind`
    tail: np.ndarray
    used: np.ndarray  # blocks of running requests
    kept: np.ndarray  # blocks of ended requests that a successor may find, oldest overwritten first
    oldest: np.ndarray
    newest: np.ndarray
    place: np.ndarray  # R x B: running requests, oldest first
    chunk: np.ndarray  # R x B: prompt tokens of this step
    behind: np.ndarray  # N
    newer: np.ndarray
    older: np.ndarray
    left: np.ndarray  # tokens that an ended request has left in the cache
    held: np.ndarray  # tokens in the cache
    todo: np.ndarray  # prompt tokens still to compute
    generated: np.ndarray
    predecessor: np.ndarray
    pool: np.ndarray  # 1: next request of the pool
    alive: np.ndarray  # R


@njit(cache=True, nogil=True)
def _shift(engine):
    """Blocks are powers of two: a shift is much quicker than a division."""
    shift = 0
    while (1 << shift) < engine.block_tokens:
        shift += 1
    return shift


@njit(cache=True, nogil=True)
def _blocks(tokens, shift):
    return (tokens + (1 << shift) - 1) >> shift


@njit(cache=True, nogil=True)
def _steps_until(engine, n, context, most, room):
    """Steps of n sequences, at most `most` and none begun after `room` seconds; and their time."""
    row, contexts = engine.step_time[n - 1], engine.contexts
    steps, spent, cell = 0, 0.0, 0
    while steps < most and spent < room:
        while cell < len(contexts) - 2 and context >= contexts[cell + 1]:
            cell += 1
        slope = (row[cell + 1] - row[cell]) / (contexts[cell + 1] - contexts[cell])
        first = row[cell] + slope * (context - contexts[cell])
        many = most - steps
        if cell < len(contexts) - 2:
            many = min(many, max(1, int(np.ceil(contexts[cell + 1] - context))))
        total = many * first + slope * 0.5 * many * (many - 1.0)
        if spent + total >= room:
            # the smallest j whose j steps last until `room`: a quadratic, then made sure
            need, half = room - spent, first - 0.5 * slope
            root = half * half + 2.0 * slope * need
            j = int(2.0 * need / (half + np.sqrt(root))) - 1 if root > 0 else 1
            j = min(max(j, 1), many)
            while j < many and j * first + slope * 0.5 * j * (j - 1.0) < need:
                j += 1
            many = j
            total = many * first + slope * 0.5 * many * (many - 1.0)
        steps, spent, context = steps + many, spent + total, context + many
    return steps, spent


@njit(cache=True, nogil=True)
def _forget(state, q, r):
    """Take what an ended request left out of the list of what may be found again."""
    before, after = state.older[r], state.newer[r]
    if before >= 0:
        state.newer[before] = after
    else:
        state.oldest[q] = after
    if after >= 0:
        state.older[after] = before
    else:
        state.newest[q] = before
    state.left[r] = 0


@njit(cache=True, nogil=True)
def _overwrite(state, engine, q):
    """Blocks in use push out what ended requests left: the oldest first, its last tokens first."""
    shift = _shift(engine)
    if engine.blocks == 0:
        return
    while state.used[q] + state.kept[q] > engine.blocks and state.oldest[q] >= 0:
        r = state.oldest[q]
        over = min(state.used[q] + state.kept[q] - engine.blocks, state.left[r] >> shift)
        state.kept[q] -= over
        state.left[r] -= over << shift
        if state.left[r] < 1 << shift:
            _forget(state, q, r)


@njit(cache=True, nogil=True)
def _preempt(state, engine, out, q):
    """The newest running request gives its cache back and waits in front."""
    state.running[q] -= 1
    r = state.place[q, state.running[q]]
    state.used[q] -= _blocks(state.held[r], _shift(engine))
    state.held[r] = 0
    out.preemptions[r] += 1
    state.behind[r] = state.head[q]
    state.head[q] = r
    if state.waiting[q] == 0:
        state.tail[q] = r
    state.waiting[q] += 1
    return r


@njit(cache=True, nogil=True)
def _work(requests, engine, out, r, begin, end):
    """Prefill time of a span of a request's tokens: its share of the whole prompt's work."""
    curve, prompt = engine.curvature, float(requests.prompt[r])
    if out.hit[r] >= requests.history[r]:
        start, work = float(requests.history[r]), requests.work_after[r]
    else:
        start, work = float(requests.cached[r]), requests.work[r]
    whole = (prompt - start) * (1.0 + curve * (prompt + start))
    return work * (end - begin) * (1.0 + curve * (end + begin)) / whole


@njit(cache=True, nogil=True)
def _admit(state, requests, engine, out, q, budget):
    """Start waiting requests while place, cache and budget last; time of their first chunks."""
    shift, most, work = _shift(engine), len(engine.step_time), 0.0
    while budget > 0 and state.running[q] < most and state.waiting[q] > 0:
        r = state.head[q]
        total = requests.prompt[r] + state.generated[r]
        ended = state.predecessor[r]
        found = requests.cached[r]
        if ended >= 0:
            found = max(found, min(requests.history[r], state.left[ended]))
        chunk = min(total - found, budget)
        asked = total if engine.whole_prompt else found + chunk
        if engine.blocks > 0 and _blocks(asked, shift) > engine.blocks - state.used[q]:
            break
        if ended >= 0 and state.left[ended] > 0:
            state.kept[q] -= state.left[ended] >> shift
            _forget(state, q, ended)
        state.head[q] = state.behind[r]
        state.waiting[q] -= 1
        state.place[q, state.running[q]] = r
        state.chunk[q, state.running[q]] = chunk
        state.running[q] += 1
        out.hit[r] = found
        if np.isnan(out.admitted[r]):
            out.admitted[r] = state.clock[q]
        state.held[r] = found + chunk
        state.todo[r] = total - found
        state.used[q] += _blocks(state.held[r], shift)
        budget -= chunk
        work += _work(requests, engine, out, r, found, found + chunk)
    return work


@njit(cache=True, nogil=True)
def _finish(state, requests, engine, out, q, r, release):
    out.finished[r] = state.clock[q]
    shift = _shift(engine)
    state.used[q] -= _blocks(state.held[r], shift)
    following = requests.successor[r]
    if following >= 0 and requests.history[following] > requests.cached[following]:
        state.left[r] = state.held[r] >> shift << shift
        state.kept[q] += state.left[r] >> shift
        state.older[r], state.newer[r] = state.newest[q], -1
        if state.newest[q] >= 0:
            state.newer[state.newest[q]] = r
        else:
            state.oldest[q] = r
        state.newest[q] = r
    if following == POOL:
        following = state.pool[0]
        while following < len(requests.arrival) and not np.isnan(requests.arrival[following]):
            following += 1
        state.pool[0] = following + 1
        if following >= len(requests.arrival):
            following = NONE
    if following >= 0:
        heappush(release, (state.clock[q] + requests.pause[following], following))
        return True
    return False


@njit(cache=True, nogil=True)
def _advance(state, requests, engine, out, q, until, skip, release):
    """Run a replica until its clock reaches `until`, it is idle, or an end releases a request."""
    shift = _shift(engine)
    inside = (1 << shift) - 1
    while state.clock[q] < until and state.running[q] + state.waiting[q] > 0:
        # what runs: one token of each sequence, then the chunk of a prompt that was cut
        decoding, context, work, preempted = 0, 0, 0.0, False
        budget = engine.max_num_batched_tokens
        least = ENDLESS
        for i in range(state.running[q]):
            r = state.place[q, i]
            state.chunk[q, i] = 0
            if state.todo[r] == 0:
                budget -= 1
        i = 0
        while i < state.running[q]:
            r = state.place[q, i]
            cut = state.todo[r] > 0
            new = min(state.todo[r], budget) if cut else 1
            need = 1 if state.held[r] & inside == 0 else 0
            if cut:
                need = _blocks(state.held[r] + new, shift) - _blocks(state.held[r], shift)
            while engine.blocks > 0 and need > engine.blocks - state.used[q]:
                preempted = True
                lost = _preempt(state, engine, out, q)
                if lost == r:
                    break
                if state.todo[lost] == 0:
                    budget += 1
            if i >= state.running[q]:
                break
            state.used[q] += need
            if cut:
                work += _work(requests, engine, out, r, state.held[r], state.held[r] + new)
                state.chunk[q, i] = new
                budget -= new
            else:
                decoding += 1
                context += state.held[r]
                least = min(least, requests.output[r] - state.generated[r])
            state.held[r] += new
            i += 1
        admitted_from = state.running[q]
        if not preempted:
            work += _admit(state, requests, engine, out, q, budget)
        _overwrite(state, engine, q)
        out.peak_blocks[q] = max(out.peak_blocks[q], state.used[q])
        prefilling = work > 0.0 or state.running[q] > admitted_from or decoding < state.running[q]

        steps = 1
        if prefilling or preempted or not skip:
            spent = 0.0
            if decoding > 0:
                _, spent = _steps_until(engine, decoding, context / decoding, 1, np.inf)
            if prefilling:
                spent += work * (engine.sharing if decoding > 0 else 1.0) + engine.launch_time
        else:
            most = least
            if engine.blocks > 0:
                free = engine.blocks - state.used[q]
                most = min(most, 1 + (free // decoding << shift))
            steps, spent = _steps_until(
                engine, decoding, context / decoding, most, until - state.clock[q]
            )
            if steps > 1:
                used = 0
                for i in range(state.running[q]):
                    r = state.place[q, i]
                    state.held[r] += steps - 1
                    used += _blocks(state.held[r], shift)
                state.used[q] = used
                _overwrite(state, engine, q)
                out.peak_blocks[q] = max(out.peak_blocks[q], used)

        state.clock[q] += spent
        out.busy[q] += spent
        out.steps[q] += steps
        out.running_time[q] += state.running[q] * spent
        out.system_time[q] += (state.running[q] + state.waiting[q]) * spent
        out.decoded[q] += steps * decoding

        released, kept = False, 0
        for i in range(state.running[q]):
            r, chunk = state.place[q, i], state.chunk[q, i]
            if chunk > 0:
                state.todo[r] -= chunk
                out.prefilled[q] += chunk
            if state.todo[r] == 0:
                state.generated[r] += 1 if chunk > 0 else steps
                if np.isnan(out.first_token[r]):
                    out.first_token[r] = state.clock[q]
                if state.generated[r] >= requests.output[r]:
                    if _finish(state, requests, engine, out, q, r, release):
                        released = True
                    continue
            state.place[q, kept] = r
            kept += 1
        state.running[q] = kept
        if released:
            return True
    return False


@njit(cache=True, nogil=True)
def _fail(state, requests, engine, out, q, time, release):
    """A replica is lost: everything on it starts again elsewhere."""
    state.alive[q] = 0
    r = state.head[q]
    for i in range(state.running[q] + state.waiting[q]):
        if i < state.running[q]:
            lost = state.place[q, i]
        else:
            lost, r = r, state.behind[r]
        heappush(release, (time, lost))
        out.restarts[lost] += 1
        out.first_token[lost] = np.nan
        state.held[lost], state.generated[lost] = 0, 0
    state.running[q], state.waiting[q], state.used[q] = 0, 0, 0


@njit(cache=True, nogil=True)
def _route(state, wanted, r):
    """The replica that was wanted, else the one with fewest requests; -1 when none is alive."""
    if wanted[r] >= 0 and state.alive[wanted[r]] == 1:
        return wanted[r]
    best = -1
    for q in range(len(state.alive)):
        here = state.running[q] + state.waiting[q]
        if state.alive[q] == 1 and (best < 0 or here < state.running[best] + state.waiting[best]):
            best = q
    return best


@njit(cache=True, nogil=True)
def run(state, requests, engine, out, opened, wanted, changes, skip):
    release = [(0.0, 0)]
    heappop(release)
    position, change, end = 0, 0, len(opened)
    while True:
        time = requests.arrival[opened[position]] if position < end else np.inf
        if len(release) > 0:
            time = min(time, release[0][0])
        changing = change < len(changes) and changes[change, 0] <= time
        if changing:
            time = changes[change, 0]
        again = False
        for q in range(len(state.clock)):
            again |= _advance(state, requests, engine, out, q, time, skip, release)
        if again:
            continue
        if changing:
            q = int(changes[change, 1])
            if changes[change, 2] > 0:
                state.alive[q] = 1
                state.clock[q] = max(state.clock[q], time)
            else:
                _fail(state, requests, engine, out, q, time, release)
            change += 1
            continue
        if time == np.inf:
            return
        if len(release) > 0 and release[0][0] <= time:
            _, r = heappop(release)
        else:
            r = opened[position]
            position += 1
        if np.isnan(out.arrival[r]):
            out.arrival[r] = time
        q = _route(state, wanted, r)
        total = requests.prompt[r] + requests.output[r]
        if q < 0 and change < len(changes):
            heappush(release, (changes[change, 0], r))
            continue
        if q < 0 or (engine.blocks > 0 and _blocks(total, _shift(engine)) > engine.blocks):
            out.rejected[r] = True
            continue
        out.replica[r] = q
        if state.running[q] + state.waiting[q] == 0:
            state.clock[q] = max(state.clock[q], time)
        out.system_time[q] += state.clock[q] - time
        if state.waiting[q] == 0:
            state.head[q] = r
        else:
            state.behind[state.tail[q]] = r
        state.tail[q] = r
        state.waiting[q] += 1
