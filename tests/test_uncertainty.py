"""How sure the money is: draws, percentiles, regret, break-even, and what turns the answer."""

import json
import time
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from planner import (
    cashflow,
    cost,
    draws,
    evidence,
    language,
    money,
    outlook,
    switching,
    team,
    uncertainty,
)
from planner.draws import World
from planner.remembered import remembered
from planner.uncertainty import Outcome

TEAMS = ["coding_assistant", "support_chat", "agent_platform", "guide_small_team"]


@pytest.fixture(scope="module")
def outcomes(planned):
    made = {}

    def make(name):
        if name not in made:
            made[name] = uncertainty.outcome(planned(name))
        return made[name]

    return make


# -- figures and their positions -----------------------------------------------------------------


def test_between_by_hand():
    assert draws.between([-1, 0, 1, 2], 8, 10, 20).tolist() == [8, 10, 20, 30]
    assert draws.between(0.3, 5, 5, 5) == 5


def test_bands_of_speed_hold_ninety_per_cent():
    position = draws.ndtri(draws.uniform("speed", 100_000, 1))
    rate = draws.rate_between(position, 1.0, 2.0, 3.0)
    assert_allclose(np.quantile(rate, [0.05, 0.5, 0.95]), [1, 2, 3], rtol=1e-3)
    assert (rate > 0).all()


def test_a_slow_end_that_carries_nothing_fails_only_beyond_its_limit():
    position = np.array([-3.0, -1.0, -0.999, 0.0, 1.0])
    rate = draws.rate_between(position, 0.0, 2.0, 2.0, stops=-1.0)
    assert rate[0] == rate[1] == 0 < rate[2] < 0.01 and rate[3] == rate[4] == 2
    assert draws.rate_between(position, 0.0, 0.0, 0.0).tolist() == [0] * 5


@given(st.floats(0.001, 1), st.floats(1, 10), st.floats(-4, 4), st.floats(-4, 4))
def test_a_faster_machine_never_carries_less(low, high, first, second):
    slow, fast = draws.rate_between(np.array(sorted((first, second))), low, 1.0, high)
    assert slow <= fast


def test_ranges_keep_to_their_ends_and_their_median():
    position = draws.triangular(draws.uniform("tariff", 100_000, 1))
    assert position.min() >= -1 and position.max() <= 1
    figure = draws.between(position, 0.0, 0.3, 0.8)
    assert_allclose(np.quantile(figure, [0.125, 0.5, 0.875]), [0.15, 0.3, 0.55], atol=1e-3)


def test_draws_depend_on_the_name_and_the_seed_only(planned):
    made = planned("support_chat")
    hosted = made.options[made.options["sourcing"] != "api"]
    one, many = draws.draw(made, hosted.head(1), 100), draws.draw(made, hosted.head(40), 100)
    assert set(one.positions) < set(many.positions)
    assert all(np.array_equal(one.positions[name], many.positions[name]) for name in one.positions)
    other = draws.draw(made, hosted.head(1), 100, seed=2)
    assert not np.array_equal(one.position("PUE"), other.position("PUE"))


def test_one_machine_has_one_error_of_speed_however_it_is_paid(planned):
    made = planned("agent_platform")
    pair = made.options[made.options["device_id"] == "h100-sxm"]
    own, rent = (pair[pair["sourcing"] == kind].iloc[0] for kind in ("own", "rent"))
    assert draws.speed_name(own) == draws.speed_name(rent)
    assert draws.price_name(own) != draws.price_name(rent)


def test_a_figure_of_the_team_and_a_quote_are_not_drawn(planned, records):
    made = planned("coding_assistant")
    option, ends = made.chosen, np.array([-1.0, 1.0])
    quote = team.Quote(price=9e3, currency="USD", date=date(2026, 11, 1), reference="Q-1")
    own = made.team.model_copy(
        update={"assumptions": {"pue": 1.1}, "quotes": {option["server_id"]: quote}}
    )
    stated = replace(made, team=own)
    assert draws.Drawn(stated, World(2, {"PUE": ends}))("pue") == 1.1
    record = records.assumptions["pue"]
    assert draws.Drawn(made, World(2, {"PUE": ends}))("pue").tolist() == [record.low, record.high]
    world = World(2, {draws.price_name(option): ends})
    assert np.ptp(draws.price(option, stated, world)["total"]) == 0
    assert np.ptp(draws.price(option, made, world)["total"]) > 0


# -- one option in many worlds -------------------------------------------------------------------


@pytest.mark.parametrize("name", TEAMS)
def test_the_planned_world_is_the_plan(planned, name):
    made = planned(name)
    for _, option in uncertainty.candidates(made).iterrows():
        again = draws.planned(option, made)
        assert_allclose([again.total, again.npv], [option["total"], option["npv"]], rtol=1e-9)


def test_the_ends_of_speed_and_price_are_the_range_of_the_plan(planned):
    made = planned("coding_assistant")
    option = made.chosen
    ends = np.array([1.0, -1.0])
    world = World(2, {draws.speed_name(option): draws.END * ends,
                      draws.price_name(option): -ends})  # fmt: skip
    low, high = draws.price(option, made, world)["total"]
    # The plan keeps the speed that electricity follows in the middle.
    assert_allclose([low, high], [option["total_low"], option["total_high"]], rtol=1e-2)


def test_draws_one_by_one_equal_draws_together(planned):
    made = planned("coding_assistant")
    world = draws.draw(made, made.options.head(1), 8)
    together = draws.price(made.chosen, made, world)
    for at in range(8):
        one = World(1, {name: value[at : at + 1] for name, value in world.positions.items()})
        assert_allclose(draws.price(made.chosen, made, one)["npv"], together["npv"][at])


def test_worlds_priced_together_equal_each_alone(planned):
    made = planned("coding_assistant")
    grid, tariff = np.array([0.5, 1.0, 2.0]), "electricity_tariff_us"
    worlds = [
        World(3, figures={draws.LEVEL: grid}),
        World(2, figures={"growth": np.array([-0.2, 0.5])}),
        World(3, figures={tariff: grid}),
        World(3, prices={"own": grid}),
    ]
    for option in (
        made.chosen,
        uncertainty.best_of(made, "rent"),
        uncertainty.best_of(made, "api"),
    ):
        together = draws.price(option, made, draws.together(worlds))["npv"]
        alone = [draws.price(option, made, world)["npv"] for world in worlds]
        assert_allclose(together, np.concatenate(alone), rtol=1e-12)


def test_an_option_is_priced_once_for_a_plan_and_alike_in_any_company(planned, monkeypatch):
    made, asked = replace(planned("agent_platform")), []
    plain = draws.price

    def price(option, *rest, **named):
        asked.append(option["npv"])
        return plain(option, *rest, **named)

    monkeypatch.setattr(draws, "price", price)
    labels = uncertainty.candidates(made).index
    few = uncertainty.priced(made, made.options.loc[labels[1:3]], size=50)
    many = uncertainty.priced(made, made.options.loc[labels], size=50)
    assert sorted(asked) == sorted(made.options["npv"][labels])
    assert np.array_equal(few.total, many.total[1:3]) and np.array_equal(few.npv, many.npv[1:3])
    again = uncertainty.priced(replace(made), made.options.loc[labels[1:3]], size=50)
    assert len(asked) == len(labels) + 2 and np.array_equal(again.servers, few.servers)
    assert not np.array_equal(uncertainty.priced(made, few.options, 50, seed=2).npv, few.npv)


def test_what_is_remembered_is_of_one_plan_and_one_language(planned):
    made, asked = replace(planned("support_chat")), []

    @remembered
    def answer(plan, way="own"):
        asked.append(way)
        return language.say("month {first:.0f}", first=len(asked))

    assert answer(made) is answer(made) and answer(made, "rent") == "month 2"
    with language.speaking("zh"):
        assert answer(made) == "第 3 个月"
    assert answer(made) == "month 1" and answer(replace(made)) == "month 4"
    assert asked == ["own", "rent", "own", "own"]


# -- percentiles, odds, regret -------------------------------------------------------------------


@pytest.mark.parametrize("name", TEAMS)
def test_percentiles_stand_in_order_around_the_plan(planned, outcomes, name):
    made, result = planned(name), outcomes(name)
    table = result.table
    assert result.options.index[0] == made.chosen.name and len(table) <= 10
    assert (table["p10"] <= table["p50"]).all() and (table["p50"] <= table["p90"]).all()
    assert (table["p10"] <= result.options["total"]).all()
    assert (result.options["total"] <= table["p90"]).all()
    allowed = result.options["limit"] == "none"
    assert_allclose(table.loc[allowed, "cheapest"].sum(), 1)
    assert table.loc[~allowed, "cheapest"].isna().all()
    assert (table.loc[allowed, "regret"] >= 0).all()


def test_nothing_uncertain_leaves_nothing_to_doubt(planned):
    made = planned("coding_assistant")
    total = draws.price(made.chosen, made, World(50))["total"]
    assert_allclose(total, made.chosen["total"])


def test_regret_by_hand():
    options = pd.DataFrame(
        {"limit": ["none", "none", "policy"], "npv": [10.0, 9.0, 1.0]}, index=[7, 3, 5]
    )
    npv = np.array([[10.0, 10, 10, np.inf], [12.0, 6, np.inf, np.inf], [1.0, 1, 1, 1]])
    result = Outcome(options, npv, npv, np.ones_like(npv))
    table = result.table
    assert table["cheapest"].tolist()[:2] == [0.75, 0.25]
    assert_allclose(table.loc[7, "regret"], (0 + 4 + 0) / 3)  # the draw that nobody serves is out
    assert_allclose(table.loc[3, "regret"], (2 + 0 + 9) / 3)  # once, its 9 are paid in vain
    assert result.least_regret() == 7 and result.least_regret("regret_worst") == 7
    assert table["fails"].tolist() == [0.25, 0.5, 0]
    assert np.isnan(table.loc[5, "regret"])
    assert result.cheaper(7, 3) == 0.5 and result.cheaper(5, 7) == 1.0


def test_more_servers_than_the_policy_allows_are_a_failure(planned):
    made = planned("coding_assistant")
    slow = World(2, speed=np.array([1.0, 1e-3]))
    table = draws.price(made.chosen, made, slow)
    assert np.isfinite(table["total"][0]) and table["owned"][1, -1] > made.team.policy.most_servers
    assert np.isinf(table["total"][1]) and np.isinf(table["npv"][1])


def test_percentiles_of_draws_that_fail_are_infinite_not_missing():
    values = np.append(np.arange(10.0), [np.inf] * 10)
    assert uncertainty.percentile(values, 10) == 1
    assert uncertainty.percentile(values, 90) == np.inf


def test_more_draws_change_little(planned):
    made = planned("coding_assistant")
    first, second = (uncertainty.outcome(made, seed=seed, most=1).table for seed in (1, 2))
    names = ["p10", "p50", "p90", "mean"]
    assert_allclose(first[names], second[names], rtol=0.03)


def test_ten_thousand_draws_of_ten_options_take_less_than_a_second(planned):
    made = planned("agent_platform")
    times = []
    for seed in (11, 12, 13):  # the machine may be busy
        start = time.process_time()
        result = uncertainty.outcome(made, size=10_000, seed=seed, most=10)
        times.append(time.process_time() - start)
    assert result.total.shape == (10, 10_000)
    assert min(times) < 1.0


# -- what turns the answer -----------------------------------------------------------------------


def test_crossings_by_hand():
    values = np.linspace(-2, 3, 11)

    def ahead(tried):
        square, above, rising = tried
        return np.concatenate([square**2 - 1.7, above**2 + 1.7, 7 * rising - 3])

    found, never, one = switching.crossings([values, values[:5], values], ahead)
    assert [up for _, up in found] == [False, True] and never == []
    assert_allclose([value for value, _ in found], [-(1.7**0.5), 1.7**0.5], atol=1e-3)
    assert_allclose(one, [(3 / 7, True)], atol=1e-3)
    assert switching.crossings([values], lambda tried: np.ones(11)) == [[]]


@pytest.mark.parametrize("name", TEAMS)
def test_the_order_turns_at_each_switch_value(planned, name):
    made = planned(name)
    found = switching.switches(made)
    assert len(found)
    for row in found.itertuples():
        rival = made.options.loc[row.rival]
        knobs = {knob.name: knob for knob in switching.knobs(made, made.chosen, rival)}
        step = 2e-3 * max(abs(row.value), 0.05)
        around = knobs[row.knob].world(np.array([row.value - step, row.value + step, row.planned]))
        below, above, now = switching.margin(made, made.chosen, rival, around) >= 0
        assert below != above
        assert now == row.now == (above if row.below else below)


@pytest.fixture(scope="module")
def dear(planned):
    """A plan and an API so dear that owning can win against it."""
    made = planned("coding_assistant")
    offer = made.catalogue.api_prices["zai/GLM-4.5-Air"]
    fields = ("input", "output", "cached_input")

    def make(factor, decline=0.3, **policy):
        price = offer.model_copy(update={name: factor * getattr(offer, name) for name in fields})
        records = replace(made.catalogue, api_prices={price.id: price})
        own = made.team.model_copy(update={"assumptions": {"api_price_decline": decline, **policy}})
        terms = money.Terms(own, records)
        changed = replace(made, team=own, catalogue=records, terms=terms)
        row = money.apis(own, records, terms, {}).iloc[0]
        chosen = money.owned(made.chosen.to_frame().T.infer_objects(), own, records, terms).iloc[0]
        return changed, chosen, row

    return make


def test_break_even_is_the_formula_where_the_servers_do_not_change(dear):
    """fixed yearly cost / (API cost per call - own marginal cost per call), without discounting."""
    made, own, api = dear(100.0, discount_rate=0.0)
    load, calls = made.team.workload, money.calls_by_year(made.team)
    nothing, planned = draws.price(own, made, World(2, figures={draws.LEVEL: np.array([0.0, 1])}))[
        "total"
    ]
    expected = cost.break_even(
        nothing, api["total"] / calls.sum(), (planned - nothing) / calls.sum()
    )
    expected *= load.calls_per_day / calls.sum()  # of all the years, to a day of the first
    result = switching.break_even(made, own, api)
    assert result.calls < load.calls_per_day < result.served
    assert_allclose(result.calls, expected, rtol=2e-3)
    tokens = expected * load.days_per_year / 12 * (load.prompt_tokens + load.output_tokens)
    assert_allclose(result.tokens, tokens, rtol=2e-3)


def test_break_even_beyond_the_machines_is_never(dear):
    made, own, api = dear(100.0)
    reached = switching.break_even(made, own, api)
    made, own, api = dear(100.0 * reached.calls / (2 * reached.served))  # twice what they carry
    result = switching.break_even(made, own, api)
    assert (
        not reached.never
        and result.never
        and np.isinf(result.tokens)
        and np.isfinite(result.served)
    )
    assert outlook._from(result) == "never at this size"


def test_a_free_api_is_never_beaten_and_a_very_dear_one_always(dear):
    made, own, free = dear(0.0)
    assert switching.break_even(made, own, free).never
    made, own, api = dear(1e7)
    result = switching.break_even(made, own, api)
    assert result.calls <= 1 and not result.never


def test_a_falling_price_makes_the_lines_cross_twice(dear):
    def months(decline, first):
        """An API whose first month costs so much of the purchase of the servers."""
        made, own, api = dear(1.0, decline)
        factor = first * own["capex_1"] / cashflow.monthly(api, 3, decline)[0]
        made, own, api = dear(factor, decline)
        flows = [cashflow.monthly(row, 3, decline) for row in (own, api)]
        return switching.break_even(made, own, api, flows).months

    assert months(0.3, 0.01) == ()
    once, twice = months(0.0, 0.2), months(0.99, 0.65)
    assert len(once) == 1 and once[0][1]
    assert [ahead for _, ahead in twice] == [True, False] and twice[0][0] < twice[1][0]


def test_served_is_what_the_machines_of_the_plan_carry(planned):
    made = planned("coding_assistant")
    option, load = made.chosen, made.team.workload
    carried = switching.served(option, made)
    assert carried >= load.calls_per_day
    replicas = (option["servers"] - 1) * option["per_server"]
    last = carried * (1 + made.team.growth.yearly) ** 2 * load.busiest_hour_share / 3600
    assert_allclose(last, replicas * option["rate"])


# -- texts and figures ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEAMS)
def test_the_report_says_it_in_words(planned, outcomes, name):
    made, result = planned(name), outcomes(name)
    texts = [outlook.sure(made, result).plain, outlook.switches(made).plain]
    assert all("nan" not in text and "inf" not in text for text in texts)
    assert "P50" in texts[0] and "% of the draws" in texts[0]
    shown = [outlook.uncertain(made, result), outlook.break_even(made)]
    for table in shown:
        content = json.dumps(next(iter(table.data.values())))
        assert "nan" not in content and "unlimited" not in content


def test_the_guide_is_told_that_its_sums_contradict_each_other(planned):
    content = json.dumps(next(iter(outlook.break_even(planned("guide_small_team")).data.values())))
    assert "100 tokens a call" in content and "10,000" in content


@pytest.mark.parametrize("name", ["agent_platform", "support_chat"])
def test_the_summary_carries_percentiles_odds_and_break_even(planned, outcomes, name):
    made = planned(name)
    data = next(iter(evidence.summary(made, outcomes(name)).data.values()))
    row = outcomes(name).table.loc[made.chosen.name]
    assert data["uncertainty"]["p50"] == pytest.approx(row["p50"])
    assert 0 <= data["uncertainty"]["own_cheaper_than_rent"] <= 1
    assert data["uncertainty"]["least_regret"]
    assert {"calls_per_day", "never_at_this_size", "months"} <= set(data["break_even"]["api"])
    assert data["switch_values"]


def test_without_any_option_nothing_is_claimed(planned):
    made = planned("coding_assistant")
    none = replace(made, options=made.options.assign(limit="budget", certain=False))
    result = uncertainty.outcome(none, size=100)
    assert result.options.empty and result.least_regret() is None
    for text in (outlook.sure(none, result), outlook.uncertain(none, result),
                 outlook.switches(none)):  # fmt: skip
        assert text.plain == outlook.NO_OPTION
    assert outlook.figures(none, result)["break_even"] == {}
    assert outlook.break_even(none).plain == outlook.NO_OWN


def test_the_chart_of_one_thing_at_a_time_shows_what_moves_the_cost(planned):
    made = planned("coding_assistant")
    frame = uncertainty.sensitivity(made).set_index("factor")
    tariff, speed = frame.loc["Electricity tariff"], frame.loc["Speed of the machine"]
    assert tariff["low"] < made.chosen["total"] < tariff["high"]
    assert speed["low"] > speed["high"]  # a slow machine needs more of them
    assert frame.loc["Residual value", "low"] > frame.loc["Residual value", "high"]
    assert "API price decline" not in frame.index
