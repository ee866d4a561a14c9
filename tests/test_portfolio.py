"""Teams together: who shares, how many replicas that takes, who pays, and what is bought when."""

import io
import json
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import (
    document,
    growth_pages,
    growth_plan,
    merged_calls,
    plan,
    pool,
    pool_members,
    pool_pages,
    pooling,
    portfolio,
    portfolio_charts,
    portfolio_pages,
    portfolio_report,
    report,
    simulation,
    team,
)

MORNING = tuple(float(hour in (8, 9, 10, 11)) for hour in range(24))
EVENING = tuple(float(hour in (18, 19, 20, 21)) for hour in range(24))
GUIDE = (team.TEAMS / "guide_one_developer.toml").read_text(encoding="utf-8")


def coders(records, *, hourly=None, factor=1.0, name="coders", **policy):
    """The coding assistant on one machine and model, with other hours and calls."""
    base = team.read("coding_assistant", records)
    share = max(hourly) / sum(hourly) if hourly else base.workload.busiest_hour_share
    load = base.workload.model_copy(update={
        "hourly": hourly, "busiest_hour_share": share,
        "calls_per_day": base.workload.calls_per_day * factor / share * 0.16,
    })  # fmt: skip
    only = team.Candidates(models=("openai/gpt-oss-20b",), servers=("l40s_x2_calc",))
    return base.model_copy(update={
        "slug": name, "workload": load, "candidates": only, "growth": team.Growth(years=3),
        "policy": base.policy.model_copy(update=policy),
    })  # fmt: skip


def shared(records, *teams):
    """The pool of some teams on the way that serves the first one cheapest."""
    full = {one.slug: plan.plan(one, records, simulate=False) for one in teams}
    offered = {name: pool_members.ways(each) for name, each in full.items()}
    mine = full[teams[0].slug].chosen
    rows = offered[teams[0].slug]
    same = (rows["weight_format"] == mine["weight_format"]) & (rows["tp"] == mine["tp"])
    return pool.shared(rows[same].iloc[0], full, offered, "USD", records), full


def alone(option, one, factor=1.0):
    """Replicas of one team by itself, counted as those of a pool are."""
    crowd = merged_calls.crowd(option, one, [one], np.array([one.peak_rate * factor]))
    return pooling.fewest(crowd.kept, crowd.least())


# ---- how many ----------------------------------------------------------------------------------


def test_disjoint_hours_need_the_larger_and_not_the_sum(records):
    early = coders(records, hourly=MORNING, factor=20, name="early")
    late = coders(records, hourly=EVENING, factor=14, name="late")
    found, full = shared(records, early, late)
    needed = alone(full["early"].chosen, early), alone(full["late"].chosen, late)
    assert needed[0] > needed[1] > 1
    assert found.working[-1] == max(needed)
    assert sorted(found.seen["hour"]) == [MORNING.index(1.0), EVENING.index(1.0)]
    # by the closed forms: the busiest hour is that of one team alone
    assert found.level[-1] == pytest.approx(found.use[0].max())


def test_coinciding_peaks_share_the_spare_and_little_else(records):
    one, two = (coders(records, factor=20, name=name, spare_servers=1) for name in ("a", "b"))
    found, full = shared(records, one, two)
    each = alone(full["a"].chosen, one)
    crowd = merged_calls.crowd(found.option, found.plan.team, [one, two], np.full(2, one.peak_rate))
    assert crowd.least() <= found.working[-1] <= 2 * each
    assert found.working[-1] > each  # their busiest hours coincide
    per_server = found.option["per_server"]
    assert found.option["replicas"] == found.working[-1] + per_server  # one spare server, not two
    assert found.share == pytest.approx([0.5, 0.5], abs=0.03)
    assert found.saved["low"] <= found.saved["mid"] <= found.saved["high"]


def test_a_team_alone_in_a_pool_needs_what_its_own_plan_says(planned):
    for name in ("coding_assistant", "document_pipeline"):
        mine = planned(name)
        assert alone(mine.chosen, mine.team) == mine.chosen["working"]
        # a router does a little better than each replica with its own part of the calls
        for factor in (1.5, 2.5):
            by_rate = np.ceil(factor)
            load = factor * mine.chosen["rate"] / mine.team.peak_rate
            assert by_rate - 1 <= alone(mine.chosen, mine.team, load) <= by_rate


def test_more_calls_never_need_fewer_replicas(records):
    asked = coders(records)
    option = plan.plan(asked, records, simulate=False).chosen
    numbers = [alone(option, asked, factor) for factor in (0.5, 5, 20, 60)]
    assert numbers == sorted(numbers) and numbers[0] == 1 and numbers[-1] > 2


def test_counting_again_never_needs_more(records):
    own = plan.plan(coders(records, factor=40), records, simulate=False)
    fewer = pool.recount(own)
    if fewer is not None:
        assert fewer.chosen["working"] < own.chosen["working"]
        assert fewer.chosen["total"] <= own.chosen["total"]
    assert pool.recount(plan.plan(coders(records), records, simulate=False)) is None


def test_merged_calls_keep_each_teams_rate_and_lengths(records):
    one, two = coders(records), team.read("agent_platform", records)
    rates = np.array([3.0, 1.0])
    stream, whose = merged_calls.merged([one, two], rates)
    assert (np.diff(stream.arrival) >= 0).all() and (stream.successor == simulation.NONE).all()
    counts = np.bincount(whose)
    assert counts[0] / counts[1] == pytest.approx(3.0, rel=0.01)
    assert counts.sum() / stream.arrival[-1] == pytest.approx(4.0, rel=0.05)
    for at, mine in enumerate((one, two)):
        mean = stream.prompt[whose == at].mean()
        assert mean == pytest.approx(mine.workload.prompt_tokens, rel=0.1)
    small = merged_calls.merged([one, two], np.array([3.0, 1e-4]))[1]
    assert np.bincount(small)[1] == merged_calls.LEAST_OF_EACH


@given(st.integers(1, 400), st.integers(1, 50))
def test_fewest_is_the_first_that_holds(limit, start):
    assert pooling.fewest(lambda number: number >= limit, start) == max(limit, start)


def test_who_cannot_be_kept_is_left_out(records):
    early, late, strict = (
        coders(records, hourly=MORNING, factor=4, name=name) for name in ("early", "late", "strict")
    )
    # long answers of the others make its own first token late, however many replicas there are
    strict = strict.model_copy(update={"slo": strict.slo.model_copy(update={"ttft_p99": 0.3})})
    full = {one.slug: plan.plan(one, records, simulate=False) for one in (early, late)}
    full["strict"] = replace(full["early"], team=strict)
    offered = {name: pool_members.ways(each) for name, each in full.items()}
    group = pool_members.Group(("early", "late", "strict"), offered["early"][pool_members.WAY])
    with pytest.raises(pool.Misfit, match="strict") as refused:
        pool.shared(group.ranked.iloc[0], full, offered, "USD", records)
    assert refused.value.members == ("strict",)
    found, _ = pool.best(group, full, offered, "USD", records, 1)
    assert found.members == ("early", "late")


# ---- who shares --------------------------------------------------------------------------------


def test_only_equal_classes_share(records):
    a = coders(records, name="a")
    b = a.model_copy(update={"slug": "b", "data_class": "internal"})
    c = a.model_copy(update={"slug": "c"})
    abroad = a.policy.model_copy(update={"region": "eu"})
    d = a.model_copy(update={"slug": "d", "policy": abroad})
    full = {one.slug: plan.plan(one, records, simulate=False) for one in (a, b, c, d)}
    assert pool_members.sharing(full) == [["a", "c"]]


def test_the_strictest_member_counts(records):
    a = coders(records, name="a", spare_servers=0, highest_utilisation=0.8)
    b = coders(records, name="b", spare_servers=2, highest_utilisation=0.6)
    tight = a.slo.model_copy(update={"ttft_p95": 0.7})
    both = pool_members.common([a.model_copy(update={"slo": tight}), b], "EUR")
    assert both.slo.ttft_p95 == 0.7 and both.slo.tpot_p95 == b.slo.tpot_p95
    assert both.policy.spare_servers == 2 and both.policy.highest_utilisation == 0.6
    assert both.workload.calls_per_day == pytest.approx(2 * a.workload.calls_per_day)
    assert both.workload.busiest_hour_rate == pytest.approx(2 * a.peak_rate)
    assert both.currency == "EUR"


def priced(ways=1, per=1.0):
    return pooling.Price(np.zeros(ways), np.full(ways, 10.0), np.full(ways, per))


def test_merging_by_hand():
    # two machines' work at different hours fits one machine; what cannot share stays alone
    use = np.array([[[0.9, 0.0]], [[0.0, 0.9]], [[np.inf, np.inf]]])
    none = np.zeros((3, 2))
    groups = pooling.merge(use, np.array([10.0, 10.0, 10.0]), priced(), none, np.full(3, 64))
    assert [members for members, _ in groups] == [(0, 1)]
    assert groups[0][1] == pytest.approx([10.0])
    # the same hours: nothing is saved
    use = np.array([[[1.9]], [[1.9]]])
    assert not pooling.merge(use, np.full(2, 19.0), priced(), none[:2], np.full(2, 64))
    # a spare each, one together
    spare = np.array([[1, 0], [1, 0]])
    groups = pooling.merge(use, np.full(2, 29.0), priced(), spare, np.full(2, 64))
    assert groups[0][1] == pytest.approx([48.0])
    # the policy allows no machine more
    assert not pooling.merge(use, np.full(2, 29.0), priced(), spare, np.array([64, 4]))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 7), st.integers(0, 10_000))
def test_a_group_never_costs_more_than_its_teams(number, seed):
    random = np.random.default_rng(seed)
    use = random.uniform(0.1, 3.0, (number, 4, 3))
    use[random.random((number, 4)) < 0.3] = np.inf
    cost = random.uniform(5.0, 60.0, number)
    spares, most = random.integers(0, 2, (number, 2)), np.full(number, 64)
    groups = pooling.merge(use, cost, priced(4, 2.0), spares, most)
    inside = [at for members, _ in groups for at in members]
    assert len(inside) == len(set(inside))
    for members, ways in groups:
        assert ways.min() <= cost[list(members)].sum() + 1e-6


def test_promising_ways_leave_out_what_nobody_would_take():
    random = np.random.default_rng(1)
    use, each = random.uniform(0.2, 2.0, (5, 400)), random.uniform(10.0, 90.0, 400)
    use[0, 7], use[1:, 7], each[7] = 0.01, np.inf, 95.0  # dear, but by far the best for one team
    use[:, 8], each[8] = 2.5, 99.0  # worse in everything than any other
    price = pooling.Price(np.zeros(400), each, np.ones(400))
    kept = pooling.promising(use, price, 60)
    assert 7 in kept and 8 not in kept and int(np.argmin(each)) in kept
    assert len(kept) < 200
    assert pooling.promising(use, price, 400).tolist() == list(range(400))


@given(st.integers(1, 5), st.integers(0, 10_000))
def test_telling_hours_hold_the_busiest(number, seed):
    random = np.random.default_rng(seed)
    rates = random.integers(0, 4, (number, 24)).astype(float)
    some = random.random(number) < 0.5
    told = rates[:, pooling.telling_hours(rates)]
    assert told[some].sum(axis=0).max() == rates[some].sum(axis=0).max()


# ---- who pays ----------------------------------------------------------------------------------


@given(
    st.floats(0, 1e9, allow_nan=False),
    st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=40).filter(
        lambda weights: sum(weights) > 1e-3
    ),
)
def test_parts_add_up_exactly(total, weights):
    parts = pooling.share_out(total, np.array(weights))
    assert parts.sum() == round(total)
    exact = round(total) * np.array(weights) / sum(weights)
    assert (np.abs(parts - exact) < 1 + 1e-6 * max(total, 1)).all()


def test_parts_of_nothing_are_refused():
    with pytest.raises(ValueError, match="weights"):
        pooling.share_out(10, np.zeros(2))


def test_seconds_of_calls_add_up_and_a_heavier_call_has_more():
    table, contexts = np.full((8, 2), 0.02), np.array([0.0, 1e6])
    engine = simulation.Engine(table, contexts, 0.01, 1.0, 0.0, 8192, 0, 16, True)
    ones = np.ones(3, int)
    work = np.array([0.1, 0.1, 1.0])
    calls = simulation.Requests(
        np.zeros(3), 1000 * ones, np.array([50, 100, 100]), 0 * ones, 0 * ones, work, work,
        simulation.NONE * ones, np.zeros(3),
    )  # fmt: skip
    done = simulation.simulate(calls, engine)
    seconds = pooling.busy_seconds(done, calls, 1.0)
    assert seconds.sum() == pytest.approx(done.busy.sum())
    assert seconds[0] < seconds[1] < seconds[2]
    assert seconds[2] - seconds[1] == pytest.approx(0.9, rel=0.15)


# ---- a folder of teams -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three small teams that may share, one that nothing serves, and a file that is none."""
    place = tmp_path_factory.mktemp("teams")
    names = ('<script>alert(1)</script> #panic("x")', "=cmd() *late* team", "Third team")
    for at, name in enumerate(names):
        shown = name.replace('"', '\\"')
        text = GUIDE.replace('"One developer with 50 GB"', f'"{shown}"')
        text = text.replace("calls_per_day = 100", f"calls_per_day = {100 * (at + 1)}")
        if at == 1:
            text += "\n[budget]\ntotal = 50000\n"
        if at == 2:
            text += "\n[growth]\nyearly = 0.4\nyears = 3\n"
        (place / f"team_{at}.toml").write_text(text, encoding="utf-8")
    hopeless = GUIDE.replace("tpot_p95 = 0.2", "tpot_p95 = 0.000001")
    (place / "hopeless.toml").write_text(hopeless, encoding="utf-8")
    (place / "broken.toml").write_text("name = ", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def joined(folder):
    return portfolio.join(folder, "EUR", made=date(2026, 11, 30), simulate=False)


def test_folder_is_joined(joined):
    assert set(joined.failed) == {"broken.toml"} and "TOML" in joined.failed["broken.toml"]
    assert set(joined.plans) - set(joined.chosen) == {"hopeless"}
    assert [each.members for each in joined.pools] == [("team_0", "team_1", "team_2")]
    mine = joined.pools[0]
    assert mine.seen["excess"].max() <= 1 and (mine.share > 0).all()
    assert np.diff(mine.share).min() > 0  # they call 100, 200 and more than 300 times a day
    assert joined.cost() < joined.cost(pools=False)
    apart = joined.cost(pools=False)
    assert apart - joined.cost() == pytest.approx(mine.saved["mid"])


def test_charges_add_up_exactly(joined):
    charges = joined.charges
    assert charges["charge"].sum() == round(joined.cost())
    assert charges["alone"].sum() == pytest.approx(joined.cost(pools=False))


def test_a_pool_that_does_not_pay_is_not_bought(joined):
    dear = replace(joined.tried[0], alone=dict.fromkeys(("low", "mid", "high"), 1.0))
    apart = replace(joined, tried=(dear,))
    assert not apart.pools and apart.cost() == pytest.approx(apart.cost(pools=False))
    assert set(apart.charges["where"]) == {"own"}
    text = portfolio_pages.decision(apart).plain
    assert "No pool pays" in text
    assert portfolio_pages.pays(replace(joined, tried=())).startswith("No pool pays: no two teams")


def test_quarters_add_up_to_the_plans(joined):
    table = growth_plan.quarterly(joined)
    assert table["spend"].sum() == pytest.approx(joined.cost())
    last = table[table["quarter"] == table["quarter"].max()]
    servers = growth_plan.machines(joined)["servers"].sum()
    assert last["servers"].sum() == table["bought"].sum() == servers
    for _, unit in table.groupby("unit"):
        assert (unit["servers"].diff().dropna() >= 0).all()
    orders = growth_plan.orders(joined)
    assert orders["number"].sum() == servers
    assert (orders["order_by"] < orders["needed"]).all()
    total = growth_plan.budgets(joined)
    assert total["team"].tolist() == ["team_1"] and total["charge"].iloc[0] > 0


def test_each_unit_ends_with_the_servers_of_its_plan(records, planned):
    for name in ("agent_platform", "coding_assistant"):
        mine = planned(name)
        whole = portfolio.Portfolio(
            {name: mine}, {}, (), (), True, "USD", records, date(2026, 11, 30)
        )
        unit = growth_plan.units(whole)[0]
        number = growth_plan.machines_by_quarter(unit)
        assert number[-1] == mine.chosen["servers"] and number[0] == mine.chosen["servers_1"]


def test_replicas_come_when_demand_needs_them():
    def unit(level, working):
        return growth_plan.Unit("x", None, None, np.array(level), np.array(working), 1.0, 1.0)

    growing = growth_plan.working_by_quarter(unit([1.0, 2.0], [1.0, 2.0]))
    assert growing.tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    later = growth_plan.working_by_quarter(unit([1.5, 2.4], [2.0, 3.0]))
    assert later.tolist() == [2, 2, 2, 2, 2, 2, 3, 3]
    assert growth_plan.begins(date(2026, 12, 31), 0) == date(2027, 1, 1)


def test_processes_answer_as_this_one_does(records):
    one = team.read("guide_limited", records)
    here = portfolio._plans([one], False, date(2026, 11, 30))[0]
    there = portfolio._elsewhere([one], False, date(2026, 11, 30))[0]
    pd.testing.assert_frame_equal(here[0].options, there[0].options)
    pd.testing.assert_frame_equal(here[1], there[1])


def test_folder_without_teams_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no \.toml file"):
        portfolio.join(tmp_path)


# ---- pages -------------------------------------------------------------------------------------


PAGES = [
    portfolio_pages.decision, portfolio_pages.figures, portfolio_pages.first_charges,
    portfolio_pages.bill, portfolio_pages.other_ways, pool_pages.rule, pool_pages.pools,
    pool_pages.savings_chart, pool_pages.saved_lines, pool_pages.days, growth_pages.spend_chart,
    growth_pages.quarters, growth_pages.orders, growth_pages.budget, portfolio_pages.charged,
    portfolio_pages.charges, portfolio_pages.unserved, portfolio_pages.rests_on,
    portfolio_pages.answer, pool_pages.kept, portfolio_pages.summary,
]  # fmt: skip


def notebook(joined):
    shown = [page(joined).data for page in PAGES] + [portfolio_pages.display.end().data]
    outputs = [{"output_type": "display_data", "data": data} for data in shown]
    return json.loads(json.dumps({"cells": [
        {"cell_type": "markdown", "metadata": {}, "source": "# Portfolio report"},
        {"cell_type": "code", "metadata": {}, "source": "", "outputs": outputs},
    ]}))  # fmt: skip


def test_hostile_names_stay_text(joined):
    executed = notebook(joined)
    summary = document.summary(executed)
    assert all(key in summary for key in report.NEEDED)
    assert sum(summary["charges"].values()) == round(summary["three_year_cost"]["mid"])
    meta = {"team": summary["team"], "date": summary["date"], **summary["document"]}
    found = document.blocks(executed)
    page = document.html(found, meta)
    assert "<script" not in page and "&lt;script&gt;" in page
    pages = pypdf.PdfReader(io.BytesIO(document.pdf(found, meta))).pages
    text = " ".join(each.extract_text() for each in pages)
    assert "#panic(" in text and "=cmd()" in text and "Saved by pooling" in text


def test_pages_of_nobody(records):
    nobody = portfolio.Portfolio({}, {"x.toml": "bad"}, (), (), True, "USD", records, date.today())
    text = " ".join(page(nobody).plain for page in PAGES)
    assert "nan" not in text.lower().replace("finance", "")
    assert "feasible" in text


def test_charts_have_their_fields():
    pools = pd.DataFrame({"pool": ["Pool 1"], "apart": [2e5], "pooled": [1e5]})
    chart = portfolio_charts.savings(pools, "USD").to_dict()
    assert "200 apart, 100 together" in chart["description"]
    use = pd.DataFrame(
        [{"team": f"t{n}", "hour": h, "use": 0.1 * n} for n in range(9) for h in range(24)]
    )
    chart = portfolio_charts.day(use, 4.0).to_dict()
    rows = next(rows for rows in chart["datasets"].values() if "hour" in rows[0])
    assert {row["team"] for row in rows} == {"all other teams", *(f"t{n}" for n in range(3, 9))}
    assert sum(row["use"] for row in rows) == pytest.approx(24 * 3.6)
    spent = pd.DataFrame({"quarter": ["a", "b"], "kind": ["k", "k"], "cost": [1.0, 2.0]})
    assert "a: 1; b: 2" in portfolio_charts.spend(spent, "USD").to_dict()["description"]


@pytest.mark.slow
def test_the_report_is_rendered(folder, tmp_path):
    summary = portfolio_report.render(folder, tmp_path, "CNY")
    names = {path.name for path in (tmp_path / "portfolio").iterdir()}
    assert names == {"report.html", "report.pdf", "report.ipynb", "summary.json"}
    assert summary["pools"][0]["pays"] and summary["three_year_cost"]["currency"] == "CNY"
    assert "pooling saves" in portfolio_report.line(summary, tmp_path)
