"""The scheduler of `simulation`, compiled: what runs in each step, on which replica, for how long.

Plain loops over the records of `simulation.State`, which are changed in place; `simulation` checks
what goes in and explains what comes out. A sequence that decodes gains one token in every step of
its replica, so its counts are kept less the steps: a step then costs the same however many
sequences it has. Compiled at first use, then read from the cache on disk.
"""

import numpy as np
from numba import njit

from planner.heap import PLAIN, SOURCE, inlined, link, pop, push, unlink

NONE, POOL = -1, -2  # no successor; the next request of the pool that nobody has asked yet
ENDLESS = 1 << 60
# an end and whose it is are one number, half as much to move: 2^26 requests, 2^37 steps
BITS, WHO = 26, (1 << 26) - 1


@inlined
def _blocks(tokens, shift):
    """Blocks are powers of two: a shift is much quicker than a division."""
    return (tokens + (1 << shift) - 1) >> shift


@inlined
def _steps_until(engine, here, n, context, most, room):
    """Steps of n sequences, at most `most` and none begun after `room` seconds; and their time."""
    row, contexts = engine.step_time[n - 1], engine.contexts
    steps, spent, cell = 0, 0.0, here.cell  # where the last step was, which is not far
    while cell > 0 and context < contexts[cell]:
        cell -= 1
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
    here.cell = cell
    return steps, spent


@inlined
def _forget(calls, here, r):
    """Take what an ended request left out of the list of what may be found again."""
    before, after = unlink(calls, r)
    if before < 0:
        here.oldest = after
    if after < 0:
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
def _drop(calls, here, r):
    """A request runs no more."""
    before, after = unlink(calls, r)
    if after < 0:
        here.last = before
    here.running -= 1


@inlined
def _decode(here, phase, ends, call, r, output):
    """A request's prompt is computed: it decodes. Who ends next stands last, the older behind."""
    here.context += call.held
    call.held -= here.steps
    call.generated -= here.steps
    phase[call.held & (len(phase) - 1)] += 1
    i, end = here.decoding, output - call.generated
    while i > 0 and ends[i - 1] <= (end << BITS | WHO):
        ends[i] = ends[i - 1]
        i -= 1
    ends[i] = end << BITS | r
    here.decoding += 1
    here.soonest = min(here.soonest, end)


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
    here, ends = state.replicas[q], state.ends[q]
    r = here.last
    call = state.calls[r]
    if here.decoding == here.running:
        _leave(here, state.phase[q], call)
        i = 0
        while ends[i] & WHO != r:
            i += 1
        for j in range(i, here.decoding):
            ends[j] = ends[j + 1]
    _drop(state.calls, here, r)
    here.used -= _blocks(call.held, shift)
    call.held = 0
    state.preemptions[r] += 1
    call.behind = here.head
    here.head = r
    if here.waiting == 0:
        here.tail = r
    here.waiting += 1


@inlined
def _prefill(here, call, asked, hit, curve, chunk, shift):
    """Compute the prompt tokens that come next; their share of the whole prompt's work."""
    prompt, begin = float(asked.prompt), call.held
    if hit >= asked.history:
        start, work = float(asked.history), asked.work_after
    else:
        start, work = float(asked.cached), asked.work
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
        call, asked = calls[r], state.asked[r]
        total = asked.prompt + call.generated
        ended = asked.predecessor
        found = asked.cached
        if ended >= 0:
            found = max(found, min(asked.history, calls[ended].left))
        chunk = min(total - found, budget)
        room = total if engine.whole_prompt else found + chunk
        if engine.blocks > 0 and _blocks(room, shift) > engine.blocks - here.used:
            break
        if ended >= 0 and calls[ended].left > 0:
            here.kept -= calls[ended].left >> shift
            _forget(calls, here, ended)
        here.head = call.behind
        here.waiting -= 1
        here.last = link(calls, here.last, r)
        here.running += 1
        if np.isnan(state.admitted[r]):
            state.admitted[r] = here.clock
        state.hit[r] = found
        call.held = found
        call.todo = total - found
        here.used += _blocks(found, shift)
        work += _prefill(here, call, asked, found, engine.curvature, chunk, shift)
        budget -= chunk
    return work


@inlined
def _finish(state, q, r, shift):
    calls, asked, here = state.calls, state.asked, state.replicas[q]
    call = calls[r]
    state.finished[r] = here.clock
    here.used -= _blocks(call.held, shift)
    following = asked[r].successor
    if following == NONE:
        return False
    if following >= 0 and asked[following].history > asked[following].cached:
        call.left = call.held >> shift << shift
        here.kept += call.left >> shift
        if here.newest < 0:
            here.oldest = r
        here.newest = link(calls, here.newest, r)
    if following == POOL:
        following = state.pool[0]
        while following < len(calls) and not np.isnan(state.arrival[following]):
            following += 1
        state.pool[0] = following + 1
        if following >= len(calls):
            return False
    push(state.release, here.clock + asked[following].pause, following)
    return True


@inlined
def _advance(state, engine, q, until, skip, shift):
    """Run a replica until its clock reaches `until`, it is idle, or an end releases a request."""
    calls, here = state.calls, state.replicas[q]
    phase, inside = state.phase[q], (1 << shift) - 1
    while here.clock < until and here.running + here.waiting > 0:
        # what runs: one token of each sequence, then the chunk of a prompt that was cut
        budget = engine.max_num_batched_tokens - here.decoding
        new, need, preempted = 0, phase[-here.steps & inside], False
        cut = here.running > here.decoding
        if cut:
            last = here.last
            call = calls[last]
            new = min(call.todo, budget)
            need += _blocks(call.held + new, shift) - _blocks(call.held, shift)
        while engine.blocks > 0 and need > engine.blocks - here.used:
            _preempt(state, q, shift)
            need, preempted, cut = phase[-here.steps & inside], True, False
        decoding, context, work = here.decoding, here.context, 0.0
        here.used += phase[-here.steps & inside]
        if cut:
            work += _prefill(
                here, call, state.asked[last], state.hit[last], engine.curvature, new, shift
            )
        if not preempted:
            work += _admit(state, engine, q, budget - new, shift)
        prefilling = decoding < here.running

        steps, spent = 1, 0.0
        if prefilling or preempted or not skip:
            if decoding > 0:
                _, spent = _steps_until(engine, here, decoding, context / decoding, 1, np.inf)
            if prefilling:
                spent += work * (engine.sharing if decoding > 0 else 1.0) + engine.launch_time
        else:
            most = here.soonest - here.steps
            if engine.blocks > 0:
                free = engine.blocks - here.used
                most = min(most, 1 + (free // decoding << shift))
            steps, spent = _steps_until(
                engine, here, decoding, context / decoding, most, until - here.clock
            )
            if engine.blocks > 0:
                grown, more = decoding * ((steps - 1) >> shift), (steps - 1) & inside
                before = -here.steps - 1
                for at in range(len(phase)):  # of all, which is quicker than to stop somewhere
                    grown += phase[at] * (((before - at) & inside) < more)
                here.used += grown
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
        if changed and _ended(state, q, shift):
            return True
    return False


@inlined
def _ended(state, q, shift):
    """Requests with all their tokens end, those with their first decode; is another released?"""
    here, calls, released = state.replicas[q], state.calls, False
    ends, phase = state.ends[q], state.phase[q]
    if here.steps >= here.soonest:
        while here.decoding > 0 and ends[here.decoding - 1] >> BITS <= here.steps:
            r = ends[here.decoding - 1] & WHO
            _leave(here, phase, calls[r])
            _drop(calls, here, r)
            released |= _finish(state, q, r, shift)
        here.soonest = ends[here.decoding - 1] >> BITS if here.decoding > 0 else ENDLESS
    prefilled, r = here.running - here.decoding, here.last
    for _ in range(prefilled - 1):
        r = calls[r].older
    for _ in range(prefilled):
        call, after = calls[r], calls[r].newer
        if call.todo == 0:
            output = state.asked[r].output
            call.generated += 1
            if np.isnan(state.first_token[r]):
                state.first_token[r] = here.clock
            if call.generated >= output:
                _drop(calls, here, r)
                released |= _finish(state, q, r, shift)
            else:
                _decode(here, phase, ends, call, r, output)
        r = after
    return released


@inlined
def _fail(state, q, time):
    """A replica is lost: everything on it starts again elsewhere."""
    here = state.replicas[q]
    here.alive = 0
    for i in range(here.running + here.waiting):
        if i < here.running:
            lost = here.last
            here.last = state.calls[lost].older
        else:
            lost = here.head
            here.head = state.calls[lost].behind
        push(state.release, time, lost)
        state.restarts[lost] += 1
        state.first_token[lost] = np.nan
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
    calls, asked, replicas, release = state.calls, state.asked, state.replicas, state.release
    position, change, end, shift = 0, 0, len(opened), 0
    while (1 << shift) < engine.block_tokens:
        shift += 1
    while True:
        time = state.arrival[opened[position]] if position < end else np.inf
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
        if np.isnan(state.arrival[r]):
            state.arrival[r] = time
        q = _route(replicas, wanted[r])
        total = asked[r].prompt + asked[r].output
        if q < 0 and change < len(changes):
            push(state.release, changes[change, 0], r)
            continue
        if q < 0 or (engine.blocks > 0 and _blocks(total, shift) > engine.blocks):
            state.rejected[r] = True
            continue
        state.replica[r] = q
        calls[r].generated, calls[r].left = 0, 0
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
