"""The scheduler of `simulation`, compiled: what runs in each step, on which replica, for how long.

Plain loops over the records of `simulation.State`, which are changed in place; `simulation` checks
what goes in and explains what comes out. A sequence that decodes gains one token in every step of
its replica, so its counts are kept less the steps: a step then costs the same however many
sequences it has. Compiled at first use, then read from the cache on disk.
"""

import numpy as np
from numba import njit

from planner.heap import PLAIN, SOURCE, inlined, pop, push

NONE, POOL = -1, -2  # no successor; the next request of the pool that nobody has asked yet
ENDLESS = 1 << 60


@inlined
def _blocks(tokens, shift):
    """Blocks are powers of two: a shift is much quicker than a division."""
    return (tokens + (1 << shift) - 1) >> shift


@inlined
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


@inlined
def _forget(calls, here, r):
    """Take what an ended request left out of the list of what may be found again."""
    before, after = calls[r].older, calls[r].newer
    if before >= 0:
        calls[before].newer = after
    else:
        here.oldest = after
    if after >= 0:
        calls[after].older = before
    else:
        here.newest = before
    calls[r].left = 0


@inlined
def _overwrite(calls, here, blocks, shift):
    """Blocks in use push out what ended requests left: the oldest first, its last tokens first."""
    while here.used + here.kept > blocks and here.oldest >= 0:
        call = calls[here.oldest]
        over = min(here.used + here.kept - blocks, call.left >> shift)
        here.kept -= over
        call.left -= over << shift
        if call.left < 1 << shift:
            _forget(calls, here, here.oldest)


@inlined
def _decode(here, phase, call):
    """A request's prompt is computed: it decodes."""
    here.decoding += 1
    here.context += call.held
    call.held -= here.steps
    call.generated -= here.steps
    phase[call.held & (len(phase) - 1)] += 1
    here.soonest = min(here.soonest, call.output - call.generated)


@inlined
def _leave(here, phase, call):
    """A request decodes no more."""
    phase[call.held & (len(phase) - 1)] -= 1
    call.held += here.steps
    call.generated += here.steps
    here.context -= call.held
    here.decoding -= 1


@inlined
def _preempt(state, q, shift):
    """The newest running request gives its cache back and waits in front."""
    here = state.replicas[q]
    here.running -= 1
    r = state.place[q, here.running]
    call = state.calls[r]
    if here.decoding > here.running:
        _leave(here, state.phase[q], call)
    here.used -= _blocks(call.held, shift)
    call.held = 0
    call.preemptions += 1
    call.behind = here.head
    here.head = r
    if here.waiting == 0:
        here.tail = r
    here.waiting += 1


@inlined
def _prefill(here, call, curve, chunk, shift):
    """Compute the prompt tokens that come next; their share of the whole prompt's work."""
    prompt, begin = float(call.prompt), call.held
    if call.hit >= call.history:
        start, work = float(call.history), call.work_after
    else:
        start, work = float(call.cached), call.work
    whole = (prompt - start) * (1.0 + curve * (prompt + start))
    here.used += _blocks(begin + chunk, shift) - _blocks(begin, shift)
    here.prefilled += chunk
    call.held += chunk
    call.todo -= chunk
    return work * chunk * (1.0 + curve * (2 * begin + chunk)) / whole


@inlined
def _admit(state, engine, q, budget, shift):
    """Start waiting requests while place, cache and budget last; time of their first chunks."""
    calls, here, work = state.calls, state.replicas[q], 0.0
    while budget > 0 and here.running < len(engine.step_time) and here.waiting > 0:
        r = here.head
        call = calls[r]
        total = call.prompt + call.generated
        ended = call.predecessor
        found = call.cached
        if ended >= 0:
            found = max(found, min(call.history, calls[ended].left))
        chunk = min(total - found, budget)
        asked = total if engine.whole_prompt else found + chunk
        if engine.blocks > 0 and _blocks(asked, shift) > engine.blocks - here.used:
            break
        if ended >= 0 and calls[ended].left > 0:
            here.kept -= calls[ended].left >> shift
            _forget(calls, here, ended)
        here.head = call.behind
        here.waiting -= 1
        state.place[q, here.running] = r
        here.running += 1
        if np.isnan(call.admitted):
            call.admitted = here.clock
        call.hit = found
        call.held = found
        call.todo = total - found
        here.used += _blocks(found, shift)
        work += _prefill(here, call, engine.curvature, chunk, shift)
        budget -= chunk
    return work


@inlined
def _finish(state, q, r, shift):
    calls, here = state.calls, state.replicas[q]
    call = calls[r]
    call.finished = here.clock
    here.used -= _blocks(call.held, shift)
    following = call.successor
    if following == NONE:
        return False
    if following >= 0 and calls[following].history > calls[following].cached:
        call.left = call.held >> shift << shift
        here.kept += call.left >> shift
        call.older, call.newer = here.newest, -1
        if here.newest >= 0:
            calls[here.newest].newer = r
        else:
            here.oldest = r
        here.newest = r
    if following == POOL:
        following = state.pool[0]
        while following < len(calls) and not np.isnan(calls[following].arrival):
            following += 1
        state.pool[0] = following + 1
        if following >= len(calls):
            return False
    push(state.release, here.clock + calls[following].pause, following)
    return True


@inlined
def _advance(state, engine, q, until, skip, shift):
    """Run a replica until its clock reaches `until`, it is idle, or an end releases a request."""
    calls, here = state.calls, state.replicas[q]
    place, phase = state.place[q], state.phase[q]
    inside = (1 << shift) - 1
    while here.clock < until and here.running + here.waiting > 0:
        # what runs: one token of each sequence, then the chunk of a prompt that was cut
        budget = engine.max_num_batched_tokens - here.decoding
        new, need, preempted = 0, phase[-here.steps & inside], False
        cut = here.running > here.decoding
        if cut:
            call = calls[place[here.running - 1]]
            new = min(call.todo, budget)
            need += _blocks(call.held + new, shift) - _blocks(call.held, shift)
        while engine.blocks > 0 and need > engine.blocks - here.used:
            _preempt(state, q, shift)
            need, preempted, cut = phase[-here.steps & inside], True, False
        decoding, context, work = here.decoding, here.context, 0.0
        here.used += phase[-here.steps & inside]
        if cut:
            work += _prefill(here, call, engine.curvature, new, shift)
        if not preempted:
            work += _admit(state, engine, q, budget - new, shift)
        prefilling = decoding < here.running

        steps, spent = 1, 0.0
        if prefilling or preempted or not skip:
            if decoding > 0:
                _, spent = _steps_until(engine, decoding, context / decoding, 1, np.inf)
            if prefilling:
                spent += work * (engine.sharing if decoding > 0 else 1.0) + engine.launch_time
        else:
            most = here.soonest - here.steps
            if engine.blocks > 0:
                free = engine.blocks - here.used
                most = min(most, 1 + (free // decoding << shift))
            steps, spent = _steps_until(
                engine, decoding, context / decoding, most, until - here.clock
            )
            if engine.blocks > 0:
                here.used += decoding * ((steps - 1) >> shift)
                for j in range(1, 1 + ((steps - 1) & inside)):
                    here.used += phase[-(here.steps + j) & inside]
        if engine.blocks > 0:
            _overwrite(calls, here, engine.blocks, shift)
            here.peak_blocks = max(here.peak_blocks, here.used)

        here.clock += spent
        here.busy += spent
        here.steps += steps
        here.context += steps * decoding
        here.running_time += here.running * spent
        here.system_time += (here.running + here.waiting) * spent
        here.decoded += steps * decoding

        changed = prefilling or here.steps >= here.soonest
        if changed and _ended(state, q, decoding, shift):
            return True
    return False


@inlined
def _ended(state, q, decoding, shift):
    """Requests with all their tokens end, those with their first decode; is another released?"""
    here, place, phase = state.replicas[q], state.place[q], state.phase[q]
    ends = state.ends[q]
    released, kept, soonest = False, 0, here.soonest
    if here.steps >= soonest:
        here.soonest = ENDLESS
        for i in range(decoding):
            end = ends[i]
            if end > here.steps:
                here.soonest = min(here.soonest, end)
                place[kept], ends[kept] = place[i], end
                kept += 1
            else:
                _leave(here, phase, state.calls[place[i]])
                released |= _finish(state, q, place[i], shift)
    else:
        kept = decoding
    for i in range(decoding, here.running):
        r = place[i]
        call = state.calls[r]
        if call.todo == 0:
            call.generated += 1
            if np.isnan(call.first_token):
                call.first_token = here.clock
            if call.generated >= call.output:
                released |= _finish(state, q, r, shift)
                continue
            _decode(here, phase, call)
            ends[kept] = call.output - call.generated
        place[kept] = r
        kept += 1
    here.running = kept
    return released


@inlined
def _fail(state, q, time):
    """A replica is lost: everything on it starts again elsewhere."""
    here = state.replicas[q]
    here.alive = 0
    r = here.head
    for i in range(here.running + here.waiting):
        if i < here.running:
            lost = state.place[q, i]
        else:
            lost, r = r, state.calls[r].behind
        push(state.release, time, lost)
        call = state.calls[lost]
        call.restarts += 1
        call.first_token = np.nan
        call.held, call.generated = 0, 0
    here.running, here.decoding, here.waiting, here.used, here.context = 0, 0, 0, 0, 0
    here.soonest = ENDLESS
    state.phase[q] = 0


@inlined
def _route(replicas, wanted):
    """The replica that was wanted, else the one with fewest requests; -1 when none is alive."""
    if wanted >= 0 and replicas[wanted].alive == 1:
        return wanted
    best, least = -1, ENDLESS
    for q in range(len(replicas)):
        here = replicas[q].running + replicas[q].waiting
        if replicas[q].alive == 1 and here < least:
            best, least = q, here
    return best


@njit(cache=True, **PLAIN)
def run(state, engine, opened, wanted, changes, skip, source=SOURCE):
    calls, replicas, release = state.calls, state.replicas, state.release
    position, change, end, shift = 0, 0, len(opened), 0
    while (1 << shift) < engine.block_tokens:
        shift += 1
    while True:
        time = calls[opened[position]].arrival if position < end else np.inf
        if release[0].call > 0:
            time = min(time, release[1].time)
        changing = change < len(changes) and changes[change, 0] <= time
        if changing:
            time = changes[change, 0]
        again = False
        for q in range(len(replicas)):
            again |= _advance(state, engine, q, time, skip, shift)
        if again:
            continue
        if changing:
            q = int(changes[change, 1])
            if changes[change, 2] > 0:
                replicas[q].alive = 1
                replicas[q].clock = max(replicas[q].clock, time)
            else:
                _fail(state, q, time)
            change += 1
            continue
        if time == np.inf:
            return
        if release[0].call > 0 and release[1].time <= time:
            r = pop(release)
        else:
            r = opened[position]
            position += 1
        call = calls[r]
        if np.isnan(call.arrival):
            call.arrival = time
        q = _route(replicas, wanted[r])
        total = call.prompt + call.output
        if q < 0 and change < len(changes):
            push(state.release, changes[change, 0], r)
            continue
        if q < 0 or (engine.blocks > 0 and _blocks(total, shift) > engine.blocks):
            call.rejected = 1
            continue
        call.replica = q
        here = replicas[q]
        if here.running + here.waiting == 0:
            here.clock = max(here.clock, time)
        here.system_time += here.clock - time
        if here.waiting == 0:
            here.head = r
        else:
            calls[here.tail].behind = r
        here.tail = r
        here.waiting += 1
