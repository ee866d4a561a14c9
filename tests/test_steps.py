"""Tabulated steps: by hand, inverted against a search, parts of them alone."""

import numpy as np
import pytest

from planner import concurrency, steps


def roofline(batch):
    """Weights are read whatever the batch, then the products take longer than reading."""
    return np.maximum(0.02 + 1e-4 * batch, 4e-4 * batch)


def searched(law, fed, limit):
    """Where n over the step of n + 1 sequences reaches what is fed, by halving."""
    low, high = np.zeros_like(limit), limit.copy()
    for _ in range(80):
        middle = (low + high) / 2
        under = middle < fed * law(np.minimum(middle + 1, limit))
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return low


@pytest.mark.parametrize("law", [lambda n: 0.01 + 5e-4 * n, lambda n: 0.02 + 0.0 * n, roofline])
def test_occupancy_is_the_root_that_a_search_finds(law):
    random = np.random.default_rng(3)
    limit = np.concatenate([[1.0, 1.0, 2.0], random.uniform(1, 256, 500)])
    output, prefill = random.uniform(2, 900, limit.size), random.uniform(0, 0.4, limit.size)
    table = steps.tabulated(law, limit)
    rate = random.uniform(0, 1.1, limit.size) * concurrency.capacity(table, prefill, output, limit)
    found = concurrency.decode_batch(rate, table, prefill, output, limit)
    free = np.maximum(1 - rate * prefill, 1e-12)
    assert found == pytest.approx(searched(table, rate * (output - 1) / free, limit), rel=1e-9)
    assert 0 < (found == limit).sum() < limit.size


def test_one_law_serves_many_rates():
    rates = np.array([0.0, 0.1, 0.5, 50.0])
    found = concurrency.decode_batch(rates, roofline, 0.1, 201, 64)
    each = [concurrency.decode_batch(rate, roofline, 0.1, 201, 64) for rate in rates]
    assert found.tolist() == each and found[0] == 0 and found[-1] == 64


def test_parts_and_slower_laws():
    top = np.array([[8.0, 16.0], [32.0, 64.0]])
    law = steps.tabulated(roofline, top)
    part = law.take([3, 0], top.shape)
    assert (
        part(np.array([40.0, 3.0])).tolist()
        == law(np.array([[3.0, 1], [1, 40.0]])).ravel()[[3, 0]].tolist()
    )
    assert law.slower(2.0)(top) == pytest.approx(2 * roofline(top))
    double = concurrency.decode_batch(0.5, law.slower(2.0), 0.0, 51, top)
    assert double == pytest.approx(concurrency.decode_batch(1.0, law, 0.0, 51, top))


def test_a_search_for_one_deployment_does_not_depend_on_the_others():
    random = np.random.default_rng(5)
    limit, prefill = random.uniform(1, 256, 300), random.uniform(0.01, 0.5, 300)
    slo = {"ttft_limit": random.uniform(0.1, 3, 300), "tpot_limit": random.uniform(0.02, 0.1, 300)}
    together = concurrency.rate_within_slo(roofline, prefill, 300, limit, **slo)
    for i in range(0, 300, 23):
        own = {name: value[i] for name, value in slo.items()}
        alone = concurrency.rate_within_slo(roofline, prefill[i], 300, limit[i], **own)
        assert alone == pytest.approx(together[i], rel=1e-12)
    assert 0 < (together == 0).sum() < 300
