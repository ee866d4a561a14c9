"""
The closed forms of `concurrency` against the event simulation, on random deployments.

    python benchmarks/closed_forms.py [cases] [seed]

Cases of even seeds may set constants of the formulas; those of odd seeds test them.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from planner import concurrency, simulation, workload

CASES, SEED, REPEATS = 240, 1, 3
REQUESTS, LATENCIES, WARM_UP = 5_600, 55, 0.1
LONGEST = 8.0  # of the mean: no prompt and no output is longer
BLOCK = 16
FIGURES = ("ttft_p50", "ttft_p95", "tpot_p50", "tpot_p95", "capacity")


class Case(NamedTuple):
    """A deployment and its load: times [s], lengths [token], `load` as part of capacity [-]."""

    fixed: float
    per_sequence: float
    per_token: float
    prefill_token: float
    curvature: float
    launch: float
    sharing: float
    budget: int
    places: int
    pool: float
    prompt: float
    output: float
    prompt_law: float  # coefficients of variation before clipping, and after
    output_law: float
    prompt_cv: float
    output_cv: float
    cached: float
    load: float
    seed: int

    @property
    def context(self):
        return concurrency.mean_context(self.prompt, self.output, self.output_cv)

    def step_time(self, batch):
        return self.fixed + batch * (self.per_sequence + self.per_token * self.context)

    def work(self, prompt, cached):
        """Prefill of the tokens after the cached ones: linear, and a share for attention. [s]"""
        return self.prefill_token * (prompt - cached) * (1 + self.curvature * (prompt + cached))


def draw(count, seed):
    """Deployments from small models to the 70B class, from an ample to a tight cache."""
    random = np.random.default_rng(seed)

    def between(low, high):
        return float(np.exp(random.uniform(np.log(low), np.log(high))))

    for number in range(count):
        prompt, output = between(200, 16_000), between(20, 2_000)
        prompt_cv, output_cv = random.choice([0.0, 0.3, 0.6, 1.0, 1.5], 2)
        case = Case(
            fixed=between(3e-3, 0.04), per_sequence=between(1e-5, 2e-4),
            per_token=between(1e-8, 1.5e-7), prefill_token=between(1e-5, 2e-4),
            curvature=between(1e-6, 2e-5), launch=random.uniform(0, 0.016),
            sharing=float(random.choice([0.7664, 1.0])), budget=int(random.choice([2048, 8192])),
            places=round(between(8, 256)), pool=between(0.15, 3), prompt=prompt, output=output,
            prompt_law=float(prompt_cv), output_law=float(output_cv),
            prompt_cv=variation(prompt, prompt_cv), output_cv=variation(output, output_cv),
            cached=float(random.choice([0.0, 0.0, 0.5])), load=random.uniform(0.1, 0.9),
            seed=1000 * seed + number,
        )  # fmt: skip
        # an engine refuses a cache that cannot hold one request
        longest = longest_of(prompt, prompt_cv) + longest_of(output, output_cv)
        tokens = max(case.pool * case.places * case.context, 1.05 * longest + 64)
        yield case._replace(pool=float(tokens))


def longest_of(mean, cv):
    return mean * (LONGEST if cv > 0.5 else 1 + 4 * cv)


def variation(mean, cv):
    """Coefficient of variation of the lengths that are asked, which are clipped. [-]"""
    tokens = workload.lengths(2001, mean, cv, most=longest_of(mean, cv))
    return float(tokens.std() / tokens.mean())


def stream(case, count, repeat):
    seed = 10 * case.seed + 3 * repeat
    prompt, output = (
        workload.lengths(count, mean, cv, most=longest_of(mean, cv), seed=seed + i)
        for i, (mean, cv) in enumerate(
            ((case.prompt, case.prompt_law), (case.output, case.output_law))
        )
    )
    return workload.independent(
        workload.arrivals(count, seed=seed + 2), prompt, output, case.cached
    )


def engine(case):
    contexts = np.array([0.0, 2e5])
    batches = np.arange(1.0, case.places + 1)[:, None]
    step = case.fixed + batches * (case.per_sequence + case.per_token * contexts)
    return simulation.Engine(
        step, contexts, case.launch, case.sharing, case.curvature, case.budget,
        int(case.pool // BLOCK), BLOCK, True,
    )  # fmt: skip


def requests(case, asked, rate):
    work = case.work(asked.prompt, asked.cached)
    return simulation.Requests(
        asked.arrival / rate, asked.prompt, asked.output, asked.cached, asked.history,
        work, work, asked.successor, asked.pause,
    )  # fmt: skip


def saturated(case):
    """Throughput while everybody waits. [request/s]"""
    asked = stream(case, max(3000, 24 * case.places), 0)
    done = simulation.simulate(requests(case, asked, np.inf), engine(case))
    begin, end = np.quantile(done.admitted, [0.2, 1.0])
    ended = np.count_nonzero((done.finished > begin) & (done.finished <= end))
    return ended / (end - begin)


def simulated(case):
    """Medians over the repeats of what the simulation says, and the rate that it was asked at."""
    capacity = saturated(case)
    rate = case.load * capacity
    most = max(REQUESTS, int(LATENCIES * case.places / (1 - WARM_UP)))
    found = []
    for repeat in range(REPEATS):
        asked = requests(case, stream(case, most, repeat), rate)
        done = simulation.simulate(asked, engine(case))
        late = np.arange(most) >= WARM_UP * most
        first = (done.first_token - done.arrival)[late]
        gaps = ((done.finished - done.first_token) / np.maximum(asked.output - 1, 1))[
            late & (asked.output > 1)
        ]
        found.append(
            [*np.quantile(first, [0.5, 0.95]), *np.quantile(gaps, [0.5, 0.95]),
             done.preemptions.sum() / most]
        )  # fmt: skip
    return [*np.median(found, axis=0)[:4], capacity, rate, np.mean(found, axis=0)[4]]


def answered(cases, rate):
    """The closed forms, given what `serving.closed` gives them; and their capacity."""
    of = Case(*(np.array(column) for column in zip(*cases, strict=True)))
    fresh = of.prompt * (1 - of.cached)
    work = of.work(of.prompt, of.prompt - fresh)
    tokens = of.pool // BLOCK * BLOCK
    limit = concurrency.batch_limit(
        tokens, of.context, of.places,
        input_tokens=fresh, output_tokens=of.output, max_num_batched_tokens=of.budget,
    )  # fmt: skip
    shared, crowded = work * of.sharing, tokens / of.context < of.places
    recompute = np.where(crowded, shared * of.output / of.prompt, 0.0)
    held = concurrency.context_variation(of.prompt, of.output, of.prompt_cv, of.output_cv)
    shape = (of.step_time, shared + of.launch, of.output, limit)
    keywords = {
        "chunks": fresh / of.budget, "prefill_alone": work + of.launch, "launch_time": of.launch,
        "attention": of.curvature * of.prompt * (1 + of.cached), "recompute_time": recompute,
        "cache_cv": np.where(crowded, held, 0.0),
        "input_cv": of.prompt_cv, "output_cv": of.output_cv,
    }  # fmt: skip
    seen = concurrency.latency(rate, *shape, **keywords)
    return seen, rate / seen.utilisation, limit


def table(errors, groups):
    """Median and 90th percentile of the absolute errors of each group. [%]"""
    print(f"{'':24}{'cases':>6}{'none':>5}" + "".join(f"{name:>14}" for name in FIGURES))
    for name, group in groups.items():
        some = np.abs(errors[group])
        told = some[np.isfinite(some).all(axis=1)]
        cells = "".join(
            f"{100 * np.median(column):>7.1f} /{100 * np.quantile(column, 0.9):>5.1f}"
            for column in told.T
        )
        print(f"{name:24}{group.sum():>6}{len(some) - len(told):>5}{cells}")


def main(count=CASES, seed=SEED):
    """Errors by utilisation, few places and prefill; of what is trusted and what is flagged."""
    start = time.perf_counter()
    cases = list(draw(count, seed))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        truth = np.array(list(pool.map(simulated, cases)))
    seen, capacity, limit = answered(cases, truth[:, 5])
    told = [seen.ttft_p50, seen.ttft_p95, seen.tpot_p50, seen.tpot_p95, capacity]
    errors = np.transpose(told) / truth[:, :5] - 1
    load = np.array([case.load for case in cases])
    prefill = [case.work(case.prompt, case.prompt * case.cached) for case in cases]
    heavy = np.array(prefill) * [case.sharing for case in cases] * truth[:, 4] > 0.6
    groups = {"all": load > 0, "trusted": seen.trusted, "flagged": ~seen.trusted}
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.75), (0.75, 0.9)):
        groups[f"utilisation {low}-{high}"] = (load >= low) & (load < high) & ~heavy
    groups |= {"fewer than 30 places": (limit < 30) & ~heavy, "prefill over 60 %": heavy}
    print(f"closed forms: {count} random cases, {time.perf_counter() - start:.0f} s; errors [%]")
    table(errors, groups)
    return cases, truth, errors, seen


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
