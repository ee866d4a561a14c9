"""The simulation of continuous batching: by hand, classical queues, conservation laws, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import simulation, workload
from planner.simulation import NONE, POOL, Engine, Requests, prepared, simulate

COUNTS = ("replica", "preemptions", "restarts", "hit", "rejected", "steps", "prefilled", "decoded",
          "peak_blocks")  # fmt: skip
TIMES = ("arrival", "admitted", "first_token", "finished", "busy", "running_time", "system_time")


def engine(fixed=0.02, each=0.0, token=0.0, places=8, *, launch=0.0, sharing=1.0, curvature=0.0,
           budget=8192, blocks=0, size=16, whole=True):  # fmt: skip
    """A step of fixed + n (each + token K) seconds, given at three contexts."""
    contexts = np.array([0.0, 100.0, 1000.0])
    batch = np.arange(1.0, places + 1)[:, None]
    table = fixed + batch * (each + token * contexts)
    return Engine(table, contexts, launch, sharing, curvature, budget, blocks, size, whole)


def asked(arrival, prompt, output, work=0.0, cached=0, history=None, successor=NONE, pause=0.0):
    """Requests from numbers or sequences; work is that of one token."""
    arrival = np.atleast_1d(np.asarray(arrival, float))
    prompt, output, cached, successor = (
        np.broadcast_to(x, arrival.shape).astype(np.int64)
        for x in (prompt, output, cached, successor)
    )
    history = cached if history is None else np.broadcast_to(history, arrival.shape)
    pause = np.broadcast_to(np.asarray(pause, float), arrival.shape)
    spans = [work * (prompt - found) for found in (cached, history)]
    return Requests(arrival, prompt, output, cached, history, *spans, successor, pause)


def poisson(rate, count, prompt, output, work=0.0, seed=0, variation=0.0, output_variation=None):
    wide = variation if output_variation is None else output_variation
    return asked(
        workload.arrivals(count, seed=seed) / rate,
        workload.lengths(count, prompt, variation, seed=seed + 1),
        workload.lengths(count, output, wide, seed=seed + 2),
        work,
    )


# ---- by hand


@pytest.mark.parametrize("skip", [True, False])
def test_one_user_by_hand(skip):
    # prefill, launch, then one step for each further token, each with one token more of context
    step = engine(0.02, 0.001, 1e-6, launch=0.01)
    done = simulate(asked(5.0, 1000, 101, 1e-4), step, skip=skip)
    assert done.first_token[0] == pytest.approx(5 + 0.1 + 0.01, abs=1e-12)
    decode = sum(0.021 + 1e-6 * (1000 + i) for i in range(100))
    assert done.finished[0] == pytest.approx(5.11 + decode, abs=1e-9)
    assert done.busy[0] == pytest.approx(0.11 + decode, abs=1e-9)
    assert (done.steps[0], done.prefilled[0], done.decoded[0]) == (101, 1000, 100)


def test_the_step_is_linear_between_contexts_and_beyond():
    bent = engine()._replace(
        step_time=np.array([[0.01, 0.02, 0.02]]), contexts=np.array([0.0, 100.0, 1000.0])
    )
    done = simulate(asked(0.0, 51, 101), bent)
    decode = sum(0.01 + 0.0001 * min(51 + i, 100) for i in range(100))
    assert done.finished[0] == pytest.approx(decode, abs=1e-9)


def test_one_token_answers_end_with_their_prefill():
    done = simulate(asked([0.0, 0.0], 100, 1, 1e-3), engine())
    assert done.finished == pytest.approx([0.2, 0.2]) and done.decoded[0] == 0


@pytest.mark.parametrize(("prompt", "budget"), [(1000, 1000), (1001, 1000), (4096, 512), (5, 8)])
def test_a_prompt_takes_as_many_steps_as_the_budget_says(prompt, budget):
    done = simulate(asked(0.0, prompt, 1, 1e-4), engine(launch=0.01, budget=budget))
    chunks = -(-prompt // budget)
    assert done.steps[0] == chunks
    assert done.first_token[0] == pytest.approx(1e-4 * prompt + 0.01 * chunks)


def test_decoding_sequences_leave_the_rest_of_the_budget():
    # one decodes: 15 of 16 tokens are left for the second prompt, 30 tokens in 2 steps
    two = asked([0.0, 0.05], [1, 30], [100, 1])
    done = simulate(two, engine(0.02, budget=16))
    assert done.first_token[1] - done.admitted[1] == pytest.approx(0.04)


def test_sharing_counts_only_beside_decoding():
    two = asked([0.0, 1.0], 1000, 200, 1e-3)
    done = simulate(two, engine(0.02, sharing=0.5))
    assert done.first_token[0] == pytest.approx(1.0)
    assert done.first_token[1] == pytest.approx(1.0 + 0.02 + 0.5)


def test_attention_costs_late_chunks_more():
    done = simulate(asked(0.0, 1000, 1, 1e-3), engine(budget=500, curvature=1e-3))
    # the first half is 500 (1 + 0.5) of 1000 (1 + 1)
    assert done.first_token[0] == pytest.approx(1.0)
    two = simulate(asked([0.0, 0.0], [1000, 500], [1, 1], 1e-3), engine(budget=500, curvature=1e-3))
    assert two.first_token == pytest.approx([1.0, 1.5])


def test_preemption_computes_again():
    # 8 blocks of 4: two prompts of 12 fill 6; both grow by a block, then one more does not fit
    done = simulate(asked([0.0, 0.0], 12, 9, 1e-3), engine(blocks=8, size=4))
    assert done.preemptions.tolist() == [0, 1]
    assert done.finished[0] < done.finished[1]
    # 12 and 12, then the second's prompt with the 5 tokens that it had
    assert done.prefilled[0] == 24 + 12 + 5
    assert done.peak_blocks[0] <= 8 and not done.rejected.any()


def test_what_never_fits_is_reported():
    done = simulate(asked([0.0, 0.0], [100, 10], 5), engine(blocks=2, size=16))
    assert done.rejected.tolist() == [True, False]
    assert np.isnan(done.finished[0]) and done.finished[1] > 0


def test_history_is_found_when_there_is_room():
    # an answer of 17 leaves 4 whole blocks of 16: 49 + 16 tokens are in the cache, 65 -> 64
    turns = asked([0.0, np.nan], [49, 100], 17, 1e-3, history=[0, 65], successor=[1, NONE])
    ample = simulate(turns, engine(blocks=100))
    assert ample.hit.tolist() == [0, 64]
    assert simulate(turns, engine(blocks=0)).hit.tolist() == [0, 64]  # never runs out
    # another prompt of 16 x 9 tokens runs in between in a cache of 10 blocks
    turns = asked(
        [0.0, np.nan, 0.5], [49, 100, 144], [17, 17, 2], 1e-3, history=[0, 65, 0],
        successor=[1, NONE, NONE], pause=[0.0, 5.0, 0.0],
    )  # fmt: skip
    tight = simulate(turns, engine(blocks=10))
    assert tight.hit[1] < 64 and tight.prefilled[0] > ample.prefilled[0]
    assert tight.first_token[1] - tight.arrival[1] > ample.first_token[1] - ample.arrival[1]


def test_a_failed_replica_hands_over_its_work():
    wanted = poisson(2.0, 300, 100, 50, 1e-3, variation=0.5)
    calm = simulate(wanted, engine(places=4), replicas=2)
    out = simulate(wanted, engine(places=4), replicas=2, outages=[(0, 20.0, 60.0)])
    assert np.isfinite(out.finished).all() and not out.rejected.any()
    lost = out.restarts > 0
    assert lost.any() and np.all(out.finished[lost] > 20)
    during = (out.arrival > 20) & (out.arrival < 60)
    assert np.all(out.replica[during] == 1)
    assert np.median((out.finished - out.arrival)[during]) > np.median(
        (calm.finished - calm.arrival)[during]
    )


def test_with_all_replicas_down_requests_wait_or_are_refused():
    late = asked([0.0, 2.0], 10, 5)
    back = simulate(late, engine(), outages=[(0, 1.0, 3.0)])
    assert back.first_token[1] >= 3.0 and not back.rejected.any()


def test_fewest_requests_beats_chance():
    load = poisson(5.0, 4000, 50, 50, 1e-3, variation=1.0)
    random = np.random.default_rng(1).integers(0, 2, 4000)
    means = [
        np.mean(out.first_token - out.arrival)
        for out in (
            simulate(load, engine(0.02, places=4), replicas=2, wanted=wanted)
            for wanted in (None, random)
        )
    ]
    assert means[0] < 0.8 * means[1]


def saturated(whole, prompt, output, blocks, work=1e-5):
    load = asked(np.zeros(600), prompt, output, work)
    done = simulate(load, engine(0.02, places=64, blocks=blocks, budget=2048, whole=whole))
    return 600 / np.max(done.finished)


def test_admission_of_first_chunks_thrashes():
    # vLLM's default asks for room for the whole prompt; first-chunk admission starts prompts that
    # do not fit and throws them away: the reference says tens of per cent of throughput
    kept = saturated(True, 12_000, 300, 3000, 2e-4)
    thrown = saturated(False, 12_000, 300, 3000, 2e-4)
    assert kept > 1.2 * thrown


# ---- classical queues as limits


def test_one_place_is_the_mm1_queue():
    # output-only work, nearly exponential: 1 / (mu - lambda)
    count, mean, step, load = 60_000, 200, 0.005, 0.6
    random = np.random.default_rng(3)
    strata = random.permutation((np.arange(count) + 0.5) / count)
    output = 1 + np.rint(-mean * np.log1p(-strata)).astype(int)
    rate = load / (mean * step)
    done = simulate(
        asked(workload.arrivals(count, seed=5) / rate, 1, output), engine(step, places=1)
    )
    sojourn = np.mean(done.finished - done.arrival)
    assert sojourn == pytest.approx(1 / (1 / (mean * step) - rate), rel=0.05)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_place_with_equal_lengths_is_the_md1_queue(load):
    count, service = 60_000, 1.0
    done = simulate(
        asked(workload.arrivals(count, seed=2) * service / load, 1, 101), engine(0.01, places=1)
    )
    wait = np.mean(done.admitted - done.arrival)
    assert wait == pytest.approx(load * service / (2 * (1 - load)), rel=0.05)


@pytest.mark.parametrize("variation", [0.0, 0.5, 1.5])
def test_steps_in_proportion_to_the_batch_are_processor_sharing(variation):
    # whatever the law of the lengths, the mean sojourn is that alone over 1 - rho
    count, load, mean, each = 20_000, 0.6, 400, 0.001
    output = 1 + workload.lengths(count, mean, variation, seed=4)
    rate = load / (mean * each)
    sharing = engine(1e-12, each, places=200)
    done = simulate(asked(workload.arrivals(count, seed=6) / rate, 1, output), sharing)
    sojourn = np.mean(done.finished - done.first_token)
    assert sojourn == pytest.approx(mean * each / (1 - load), rel=0.06)


# ---- properties on random cases


@st.composite
def scenes(draw):
    """Everything at once: chunks, preemption, sessions, pools, replicas, outages, static slots."""
    count = draw(st.integers(1, 60))
    seed = draw(st.integers(0, 10_000))
    random = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["open", "open", "pool", "session", "batch"]))
    replicas = draw(st.integers(1, 3)) if kind in ("open", "batch") else 1
    size = draw(st.sampled_from([1, 4, 16]))
    blocks = draw(st.sampled_from([0, 40, 90, 400]))
    whole = draw(st.booleans())
    places = draw(st.sampled_from([1, 3, 8]))
    sort = engine(
        draw(st.sampled_from([0.01, 0.05])), draw(st.sampled_from([0.0, 0.003])),
        draw(st.sampled_from([0.0, 1e-5])), places, launch=draw(st.sampled_from([0.0, 0.01])),
        sharing=draw(st.sampled_from([0.7, 1.0])), curvature=draw(st.sampled_from([0.0, 1e-3])),
        budget=draw(st.sampled_from([8, 64, 4096])), blocks=blocks, size=size, whole=whole,
    )  # fmt: skip
    prompt = random.integers(1, draw(st.sampled_from([8, 150])), count)
    output = random.integers(1, draw(st.sampled_from([3, 120])), count)
    cached = np.minimum(random.integers(0, 40, count) * (random.random(count) < 0.3), prompt - 1)
    history, successor = cached.copy(), np.full(count, NONE)
    arrival = np.cumsum(random.exponential(draw(st.sampled_from([0.01, 0.3, 2.0])), count))
    if kind == "batch":
        arrival[:] = 0.0
    elif kind == "pool":
        arrival[min(3, count) :] = np.nan
        successor[:] = POOL
    elif kind == "session":
        for r in range(count - 1):
            if r % 4 != 3:
                successor[r], arrival[r + 1] = r + 1, np.nan
                prompt[r + 1] = prompt[r] + output[r] + random.integers(1, 20)
                history[r + 1] = max(prompt[r] + output[r] - 1, cached[r + 1])
    cached = np.minimum(cached, prompt - 1)
    history = np.maximum(np.minimum(history, prompt - 1), cached)
    pause = random.exponential(0.2, count)
    load = asked(arrival, prompt, output, 1e-3, cached, history, successor, pause)
    outages = ()
    if replicas > 1 and draw(st.booleans()):
        begin = draw(st.floats(0.0, 3.0))
        outages = [(0, begin, begin + 2.0)]
    return load, sort, {"replicas": replicas, "outages": outages}


@settings(max_examples=150, deadline=None)
@given(scenes())
def test_skipping_is_stepping(scene):
    load, sort, more = scene
    quick, slow = (simulate(load, sort, skip=skip, **more) for skip in (True, False))
    for name in COUNTS:
        np.testing.assert_array_equal(getattr(quick, name), getattr(slow, name), err_msg=name)
    for name in TIMES:
        np.testing.assert_allclose(
            getattr(quick, name), getattr(slow, name), rtol=1e-9, atol=1e-9, err_msg=name
        )


@settings(max_examples=150, deadline=None)
@given(scenes())
def test_conservation(scene):
    load, sort, more = scene
    done = simulate(load, sort, **more)
    served = ~done.rejected & ~np.isnan(done.arrival)
    # every request ends or is reported; who was never released is neither
    assert np.isfinite(done.finished[served]).all()
    needed = -(-(load.prompt + load.output) // sort.block_tokens)
    fits = np.full(len(needed), True) if sort.blocks == 0 else needed <= sort.blocks
    assert np.all(~done.rejected | ~fits)
    if sort.blocks:
        assert done.peak_blocks.max() <= sort.blocks
    arrival, admitted, first, finished = (
        getattr(done, name)[served] for name in ("arrival", "admitted", "first_token", "finished")
    )
    assert np.all(arrival <= admitted + 1e-9) and np.all(first <= finished + 1e-9)
    # no token before its prefill could have ended, none faster than a step of its own
    calm = done.restarts[served] == 0
    share = load.work_after if np.any(done.hit > load.cached) else load.work
    least = sort.sharing * share[served] + sort.launch_time
    if not np.any(done.hit > load.cached):
        assert np.all((first - admitted)[calm] >= least[calm] - 1e-9)
    assert np.all(
        (finished - first)[calm] >= (load.output[served][calm] - 1) * sort.step_time.min() - 1e-9
    )
    # Little's law, exactly
    if not done.restarts.any():
        assert done.system_time.sum() == pytest.approx(np.sum(finished - arrival), abs=1e-7)
    if not (done.restarts.any() or done.preemptions.any()):
        assert done.running_time.sum() == pytest.approx(np.sum(finished - admitted), abs=1e-7)
        assert done.prefilled.sum() == np.sum((load.prompt - done.hit)[served])
        assert done.decoded.sum() == np.sum(load.output[served] - 1)
    # first come, first served on each replica
    for q in range(more["replicas"]):
        here = (done.replica[served] == q) & calm
        order = np.argsort(arrival[here], kind="stable")
        if not done.restarts.any():
            assert np.all(np.diff(admitted[here][order]) >= -1e-9)


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_work_is_conserved_and_nobody_waits_beside_an_idle_replica(scene):
    load, sort, more = scene
    flat = sort._replace(
        step_time=np.full_like(sort.step_time, 0.02), sharing=1.0, curvature=0.0, launch_time=0.0
    )
    if np.any(load.successor != NONE) or more["outages"]:
        return
    done = simulate(load, flat, **more)
    served = ~done.rejected
    if not done.preemptions.any():
        # steps in which somebody decodes cost 20 ms each, prompts their work and nothing else
        decode = done.busy.sum() - load.work[served].sum()
        steps = decode / 0.02
        assert steps == pytest.approx(round(steps), abs=1e-6) and steps <= done.steps.sum() + 1e-6
    for q in range(more["replicas"]):
        here = served & (done.replica == q)
        spans = sorted(zip(done.arrival[here], done.finished[here], strict=True))
        covered, until = 0.0, -np.inf
        for begin, end in spans:
            covered += max(0.0, end - max(begin, until))
            until = max(until, end)
        # busy exactly while somebody is there
        assert done.busy[q] == pytest.approx(covered, abs=1e-7)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1000), st.floats(1.1, 2.0), st.sampled_from([0, 300]),
    st.sampled_from([0.0, 1.0]),
)  # fmt: skip
def test_more_load_never_lowers_latency(seed, factor, blocks, variation):
    sort = engine(0.02, 0.001, places=16, launch=0.005, blocks=blocks)
    load = poisson(2.0, 1500, 150, 60, 2e-4, seed, variation)
    load = load._replace(
        prompt=np.minimum(load.prompt, 2000),
        history=np.zeros(1500),
        output=np.minimum(load.output, 1500),
    )
    few, many = (simulate(load._replace(arrival=load.arrival / x), sort) for x in (1.0, factor))
    for until in ("first_token", "finished"):
        less, more = (np.nanmean(getattr(x, until) - x.arrival) for x in (few, many))
        assert more >= less * 0.98, until


# ---- refusals


def changed(**fields):
    return lambda: simulate(asked([0.0, 1.0], 100, 10)._replace(**fields), engine())


def built(**fields):
    return lambda: simulate(asked(0.0, 100, 10), engine()._replace(**fields))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (changed(prompt=np.array([0, 5])), "prompt = 0"),
        (changed(output=np.array([1, 0])), "output = 0"),
        (changed(work=np.array([-1.0, 0])), "work = -1"),
        (changed(work_after=np.array([-1.0, 0])), "work_after = -1"),
        (changed(work=np.array([np.nan, 0])), "work = nan"),
        (changed(arrival=np.array([np.inf, 0])), "arrival = inf"),
        (changed(pause=np.array([-1.0, 0])), "pause = -1"),
        (changed(cached=np.array([-1, 0])), "cached = -1"),
        (changed(history=np.array([100, 0])), "history = 100"),
        (changed(prompt=np.array([5])), "different lengths"),
        (changed(successor=np.array([7, NONE])), "successor = 7"),
        (changed(successor=np.array([0, NONE])), "successor"),
        (built(step_time=np.ones((4, 5))), "step_time of shape"),
        (built(step_time=np.zeros((4, 3))), "must be positive"),
        (built(contexts=np.array([0.0, 0.0, 1.0])), "contexts must rise"),
        (built(max_num_batched_tokens=3), "max_num_batched_tokens = 3"),
        (built(block_tokens=0), "block_tokens = 0"),
        (built(block_tokens=24), "block_tokens = 24 is no power of two"),
        (built(blocks=-1), "blocks = -1"),
        (built(launch_time=-0.1), "launch_time = -0.1"),
        (built(sharing=-0.1), "sharing = -0.1"),
        (built(curvature=-1e-6), "curvature = -1e-06"),
        (lambda: simulate(asked(0.0, 9, 9), engine(), replicas=0), "replicas = 0"),
        (lambda: simulate(asked(0.0, 9, 9), engine(), wanted=[1]), "wanted = 1"),
        (lambda: simulate(asked([0.0, 1.0], 9, 9), engine(), wanted=[0]), "wanted"),
        (lambda: simulate(asked(0.0, 9, 9), engine(), outages=[(2, 0.0, 1.0)]), "outage"),
        (lambda: simulate(asked(0.0, 9, 9), engine(), outages=[(0, 2.0, 1.0)]), "outage"),
        (lambda: simulate(asked([0, np.nan], 9, 9, successor=[1, NONE]), engine(), replicas=2),
         "replicas = 2"),
    ],
)  # fmt: skip
def test_refusals_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_asked_is_nothing_done():
    none = simulate(asked(np.zeros(0), np.zeros(0), np.zeros(0)), engine())
    assert len(none.arrival) == 0 and none.busy[0] == 0


def test_the_caller_keeps_its_arrays():
    load = asked([0.0, np.nan], 10, 5, successor=[1, NONE])
    simulate(load, engine())
    assert np.isnan(load.arrival[1]) and simulation.NONE == -1


def test_whom_nobody_releases_never_comes():
    never = simulate(asked(np.nan, 10, 5), engine())
    assert np.isnan([never.arrival[0], never.finished[0]]).all() and never.replica[0] == NONE
    first = simulate(asked([np.nan, 1.0], 10, 5), engine())
    assert np.isnan(first.finished[0]) and first.finished[1] > 1


def test_prepared_requests_are_served_again_and_again():
    asked_for = asked(workload.arrivals(400, seed=6) / 3, 900, 60, 1e-3)
    ready, sort = prepared(asked_for), engine(0.02, places=16, blocks=500)
    first = simulate(ready, sort)
    kept = [values.copy() for values in first]
    for factor in (1.0, 2.0, 1.0):
        again = simulate(ready, sort, arrival=asked_for.arrival / factor)
        fresh = simulate(asked_for._replace(arrival=asked_for.arrival / factor), sort)
        for name, values in fresh._asdict().items():
            np.testing.assert_array_equal(getattr(again, name), values, err_msg=name)
    with pytest.raises(ValueError, match="arrival = inf"):
        simulate(ready, sort, arrival=np.inf)
    for values, before in zip(first, kept, strict=True):  # what was handed out is left alone
        np.testing.assert_array_equal(values, before)
