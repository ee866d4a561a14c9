"""
Speed of the three things that are repeated: estimates, plans, reports. Measured here, in one run.

    python benchmarks/bench.py [estimates] [answers] [load] [plans] [reports] [checked] [flat]

There are no marks to pass: times depend on the machine, so that ratios are printed beside them.
"""

import itertools
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import types
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from planner import catalogue, estimate, memory, roofline, team, throughput

SEED, ROWS, PLAIN_ROWS = 7, 50_000, 2_000
PROMPT, OUTPUT, MOST_SEQUENCES = 2_000.0, 500.0, 256.0
UTILISATION, OVERHEAD = 0.9, 2 * 2**30  # a flat engine overhead: the speed is in question here [B]
TEAMS = Path(__file__).resolve().parent.parent / "data" / "teams"

# What the laws use of numpy, on single floats.
PLAIN_NUMPY = types.SimpleNamespace(
    asarray=lambda value, dtype=float: float(value),
    where=lambda condition, yes, no: yes if condition else no,
    minimum=min,
    maximum=max,
    any=bool,
    log=math.log,
    log2=math.log2,
    expm1=math.expm1,
    cbrt=math.cbrt,
    sqrt=math.sqrt,
    ceil=math.ceil,
    floor=math.floor,
    inf=math.inf,
)


def timed(call, repeats):
    """Result of the last of several calls, and the median of their times. [s]"""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return result, statistics.median(times)


def random_table(records, rows):
    """Random deployments of the catalogue's models on its accelerators."""
    random = np.random.default_rng(SEED)
    devices = [d.id for d in records.devices.values() if d.kind == "gpu" and d.usable_memory]
    ranks = random.choice([1, 2, 4, 8], rows)
    return pd.DataFrame(
        {
            "model_id": random.choice(list(records.models), rows),
            "device_id": random.choice(devices, rows),
            "engine": random.choice(["vllm", "sglang"], rows),
            "weight_format": random.choice(["bf16", "fp8", "awq-int4"], rows),
            "tp": ranks,
            "n_devices": ranks,
        }
    )


def array_estimate(group):
    """Memory, sequences that fit, prefill, step time and rate of all replicas at once."""
    model = group.profile
    pool = memory.kv_pool_bytes(
        group.hardware["usable_memory"], UTILISATION, model.weight_bytes_rank, OVERHEAD
    )
    each = memory.cache_bytes_per_sequence(
        PROMPT + OUTPUT, model.kv_bytes, model.sliding_bytes, model.window, model.state_bytes
    )
    batch = np.clip(memory.sequences_that_fit(pool, each), 1.0, MOST_SEQUENCES)
    step = estimate.decode_step_time(group, batch, PROMPT + 0.5 * OUTPUT)
    prefill = estimate.prefill_time(group, np.full(len(group), PROMPT))
    return step, prefill, throughput.saturated_rate(batch, OUTPUT, step, prefill)


@contextmanager
def recorded(module, name):
    """The arguments with which a law is called meanwhile."""
    calls, law = [], getattr(module, name)

    def recorder(*values, **named):
        calls.append((values, named))
        return law(*values, **named)

    with mock.patch.object(module, name, recorder):
        yield calls


def plain_laws():
    """The number modules again, from their own source, on plain floats instead of numpy."""
    laws = {}
    with mock.patch.dict(sys.modules, {"numpy": PLAIN_NUMPY}):
        for module in (roofline, memory, throughput):
            plain = types.ModuleType(module.__name__)
            exec(compile(Path(module.__file__).read_text(), module.__file__, "exec"), vars(plain))
            sys.modules[module.__name__] = laws[module] = plain
    return laws[memory], laws[throughput]


def rows_of(call, rows):
    """One (values, named) of plain floats per replica."""
    values, named = call
    columns = [np.broadcast_to(value, rows).tolist() for value in values]
    names = {name: np.broadcast_to(value, rows).tolist() for name, value in named.items()}
    return [
        ([c[i] for c in columns], {name: c[i] for name, c in names.items()}) for i in range(rows)
    ]


def plain_estimates(laws, cache, steps, prefills):
    """The same estimates, one replica after the other."""
    plain_memory, plain_throughput = laws
    results = []
    for (usable, weights, *held), (values, named), (prompt, other) in zip(
        cache, steps, prefills, strict=True
    ):
        pool = plain_memory.kv_pool_bytes(usable, UTILISATION, weights, OVERHEAD)
        each = plain_memory.cache_bytes_per_sequence(PROMPT + OUTPUT, *held)
        batch = min(max(plain_memory.sequences_that_fit(pool, each), 1.0), MOST_SEQUENCES)
        step = plain_throughput.decode_step_time(batch, *values[1:], **named)
        prefill = plain_throughput.prefill_time(*prompt, **other)
        rate = plain_throughput.saturated_rate(batch, OUTPUT, step, prefill)
        results.append((step, prefill, rate))
    return results


def bench_estimates(records):
    """Arrays against a plain loop over the same laws."""
    table = random_table(records, ROWS)
    group, first = timed(lambda: estimate.replicas(table), 1)
    group, again = timed(lambda: estimate.replicas(table), 3)
    usable = np.flatnonzero(group.reason == "")
    group = group.take(usable)
    _, arrays = timed(lambda: array_estimate(group), 5)
    arrays /= len(group)

    some = group.take(np.arange(min(PLAIN_ROWS, len(group))))
    with (
        recorded(throughput, "decode_step_time") as steps,
        recorded(throughput, "prefill_time") as prefills,
    ):
        expected = array_estimate(some)
    model = some.profile
    cache = np.transpose(
        [some.hardware["usable_memory"], model.weight_bytes_rank, model.kv_bytes,
         model.sliding_bytes, model.window, model.state_bytes]
    ).tolist()  # fmt: skip
    steps, prefills = rows_of(steps[0], len(some)), rows_of(prefills[0], len(some))
    laws = plain_laws()
    found, plain = timed(lambda: plain_estimates(laws, cache, steps, prefills), 3)
    plain /= len(some)
    step, prefill, rate = np.transpose(found)
    np.testing.assert_allclose(step, expected[0], rtol=1e-9)
    # Launches are added to the prefill outside the laws: the plain loop leaves them out.
    assert np.all(prefill <= expected[1] * (1 + 1e-9)) and np.all(np.isfinite(rate))

    print(f"estimates: {len(table):,} random deployments, {len(group):,} of them describable")
    print(f"  described, first time   {len(table) / first:>12,.0f} /s")
    print(f"  described again         {len(table) / again:>12,.0f} /s")
    print(f"  estimated in arrays     {1 / arrays:>12,.0f} /s")
    print(f"  estimated one by one    {1 / plain:>12,.0f} /s (plain Python, same laws)")
    both = again / len(table) + arrays
    print(f"  arrays / plain          {plain / arrays:>12,.1f} times as many")
    print(f"  described and estimated {1 / both:>12,.0f} /s")


def bench_answers():
    """Questions in the columns of a measurements file, none like another."""
    from planner import accuracy, cases

    known = accuracy.measurements()
    questions = pd.concat([known] * (100_000 // len(known) + 1), ignore_index=True).head(100_000)
    tokens = pd.to_numeric(questions["output_tokens"]).fillna(0)
    questions["output_tokens"] = tokens + questions.index % 97
    answers, seconds = timed(lambda: cases.answer(questions), 1)
    answered = int((answers["status"] == "ok").sum())
    print(f"answers: {len(questions):,} questions, {answered:,} of them answered")
    print(f"  all together            {seconds:>12,.2f} s")


def bench_plans(records):
    """Every team's plan, first and repeated, and the draws of its money."""
    from planner import plan, uncertainty

    teams = [team.read(path, records) for path in sorted(TEAMS.glob("*.toml"))]
    plans, first = timed(lambda: [plan.plan(one, records) for one in teams], 1)
    plans, again = timed(lambda: [plan.plan(one, records) for one in teams], 3)
    options = sum(len(getattr(one, "options", ())) for one in plans)
    print(f"plans: {len(teams)} teams, {options:,} options")
    print(f"  first time              {len(teams) / first:>12,.2f} /s")
    print(f"  again                   {len(teams) / again:>12,.2f} /s")
    print(f"  first / again           {first / again:>12,.1f} times as long")
    if options:
        print(f"  options judged          {options / again:>12,.0f} /s")
    most = max(plans, key=lambda one: len(uncertainty.candidates(one)))
    seeds = itertools.count()  # each asks anew: what was drawn is kept with the plan
    outcome, drawn = timed(lambda: uncertainty.outcome(most, seed=next(seeds)), 3)
    top, size = outcome.total.shape
    print(f"  {size:,} draws, {top} options {drawn:>10,.2f} s")
    bench_moves(records)


def bench_moves(records, moves=20):
    """A plan over the whole catalogue, again after each move of a slider, without simulation."""
    from planner import plan

    base = team.read("coding_assistant", records)
    base = base.model_copy(update={"candidates": team.Candidates(), "quality": None})
    start, load = plan.plan(base, records, simulate=False), base.workload
    print(f"  re-plan, whole catalogue, after a slider move: {len(start.options):,} options")
    for name in ("calls_per_day", "prompt_tokens"):
        times = []
        for move in range(1, moves + 1):
            value = getattr(load, name) * (1 + move / moves)
            moved = {"workload": load.model_copy(update={name: value})}
            one = plan.plan(base.model_copy(update=moved), records, simulate=False)
            times.append(1e3 * one.seconds)
        middle, late = np.percentile(times, [50, 95])
        print(f"    {name:<22}{middle:>12,.0f} ms (95 % of {moves} moves: {late:,.0f} ms)")


def bench_load():
    """Closed forms of latency under load, and the event simulation, warm and from a new process."""
    from planner import concurrency, simulation

    random, number = np.random.default_rng(SEED), 10_000
    first, limit = random.uniform(0.005, 0.03, number), random.uniform(8, 256, number)
    more, prefill = first * random.uniform(0.002, 0.02, number), random.uniform(0.01, 0.3, number)

    def law(batch):
        return first + more * batch

    shape = (law, prefill, random.uniform(50, 800, number), limit)
    words = {"chunks": 0.3, "launch_time": 0.008, "input_cv": 0.8, "attention": 0.05}
    rate = random.uniform(0.1, 0.85, number) * concurrency.capacity(*shape)
    _, one = timed(lambda: concurrency.latency(rate, *shape, **words), 5)
    limits = {"ttft_limit": 3 * prefill + 0.2, "tpot_limit": 2 * first}
    _, search = timed(lambda: concurrency.rate_within_slo(*shape, **limits, **words), 3)
    print(f"load: {number:,} random deployments")
    print(f"  latency at a rate       {number / one:>12,.0f} /s")
    print(f"  rate within limits      {number / search:>12,.0f} /s")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import bench; bench.seventy_billion()"], check=True,
                   cwd=Path(__file__).parent)  # fmt: skip
    cold = time.perf_counter() - start
    asked, engine = seventy_billion()
    _, warm = timed(lambda: simulation.simulate(asked, engine), 9)
    print(f"  2,000 simulated, warm   {1e3 * warm:>12,.1f} ms (70B class)")
    print(f"  new process, compiled   {cold:>12,.1f} s (with the imports of this file)")


def seventy_billion():
    """2,000 requests for a 70B-class deployment at 3 a second, simulated once."""
    from planner import simulation, workload

    prompt, output = workload.lengths(2000, 2000, 0.7, seed=1), workload.lengths(2000, 300, 1.0)
    stream = workload.independent(workload.arrivals(2000) / 3.0, prompt, output)
    contexts = np.array([0.0, 1e3, 1e5])
    table = 0.02 + np.arange(1.0, 257.0)[:, None] * (1e-4 + 5e-8 * contexts)
    engine = simulation.Engine(table, contexts, 0.01, 0.77, 1e-6, 8192, 20_000, 16, True)
    work = prompt / 15_000
    asked = simulation.Requests(*stream[:5], work, work, *stream[5:])
    simulation.simulate(asked, engine)
    return asked, engine


def main(parts):
    """Run the parts asked for, or all."""
    known = ("estimates", "answers", "load", "plans", "reports", "checked", "flat")
    unknown = set(parts) - set(known)
    if unknown:
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; choose of {', '.join(known)}")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {os.cpu_count()} cores")
    records = catalogue.load()
    if not parts or "estimates" in parts:
        bench_estimates(records)
    if not parts or "answers" in parts:
        bench_answers()
    if not parts or "load" in parts:
        bench_load()
    if not parts or "plans" in parts:
        bench_plans(records)
    import reports

    for name in ("reports", "checked", "flat"):
        if not parts or name in parts:
            getattr(reports, f"bench_{name}")()


if __name__ == "__main__":
    main(sys.argv[1:])
