"""Plans: limits in the right order, relations between options, and named baselines."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import judge, money, options, plan, pricing, sizing, team, words
from planner.team import Team
from planner.terms import Terms

TEAMS = sorted(path.stem for path in team.TEAMS.glob("*.toml"))


def changed(base: Team, part: str, **values) -> Team:
    return base.model_copy(update={part: getattr(base, part).model_copy(update=values)})


@pytest.mark.parametrize("name", TEAMS)
def test_every_team_gets_an_answer_and_every_option_a_limit(planned, name):
    made = planned(name)
    assert set(made.options["limit"]) <= set(plan.ORDER)
    assert made.chosen is not None
    assert made.chosen["limit"] == "none"
    assert {"own", "api", "nothing"} <= set(made.options["sourcing"])


@pytest.mark.parametrize("name", TEAMS)
def test_what_is_feasible_keeps_its_limits(planned, name):
    made = planned(name)
    team_, hosted = made.team, made.feasible[made.feasible["sourcing"].isin(["own", "rent"])]
    assert (hosted["ttft_alone"] <= team_.slo.ttft_p95).all()
    assert (hosted["tpot_alone"] <= team_.slo.tpot_p95).all()
    assert (hosted["pool_bytes"] >= hosted["sequence_bytes"]).all()
    assert (hosted["working"] * hosted["rate"] >= team_.peak_rate * (1 - 1e-9)).all()
    if team_.quality:
        assert (hosted["quality"] >= team_.quality.minimum).all()


@pytest.mark.parametrize("name", TEAMS)
def test_bands_hold_their_middle(planned, name):
    made = planned(name)
    priced = made.options[made.options["total"].notna()]
    assert (priced["total_low"] <= priced["total"] * (1 + 1e-9)).all()
    assert (priced["total"] <= priced["total_high"] * (1 + 1e-9)).all()
    hosted = priced[priced["rate"].notna()]
    assert (hosted["rate_low"] <= hosted["rate"]).all()
    assert (hosted["rate"] <= hosted["rate_high"]).all()
    assert (hosted["rate"] <= hosted["rate_peak"] * 0.9 + 1e-12).all()


def test_no_shown_speed_is_below_its_physical_floor(planned):
    made = planned("coding_assistant")
    from planner import estimate

    hosted = made.options[made.options["tpot_alone_low"].notna()].reset_index(drop=True)
    floor = estimate.decode_step_time(estimate.replicas(hosted).ideal(), 1, 0)
    assert (hosted["tpot_alone"] >= floor * (1 - 1e-9)).all()
    assert (hosted["tpot_alone_low"] >= floor * (1 - 1e-9)).all()


def test_deepseek_v3_is_refused_on_the_guides_boxes_with_the_missing_gib(records):
    base = team.read("guide_performance", records)
    only = base.model_copy(
        update={
            "candidates": base.candidates.model_copy(
                update={
                    "models": ("deepseek-ai/DeepSeek-V3",),
                    "servers": ("guide_e5_64gb", "guide_e5_256gb"),
                }
            )
        }
    )
    made = plan.plan(only, records)
    owned = made.options[made.options["sourcing"] == "own"]
    assert set(owned["limit"]) == {"memory"}
    reason = words.why(owned.iloc[0], made)
    assert "GiB missing" in reason and "671" not in reason
    least = owned["missing_bytes"].min() / 2**30
    assert 100 < least < 500  # 4 bits of 671 B parameters are 350 GiB and more, the box has 256


def test_doing_nothing_serves_nobody(planned):
    made = planned("coding_assistant")
    row = made.options[made.options["sourcing"] == "nothing"].iloc[0]
    assert row["total"] == 0 and row["limit"] == "load"
    assert "none of the 7,200 calls" in words.why(row, made)


def test_policy_stops_a_cheaper_api_and_says_so(planned):
    made = planned("coding_assistant")
    apis = made.options[(made.options["sourcing"] == "api") & (made.options["limit"] == "policy")]
    assert len(apis) and apis["total"].min() < made.chosen["total"]
    assert "allows only own" in words.why(apis.iloc[0], made)


def test_more_load_never_costs_less(records):
    base = team.read("support_chat", records)
    own = changed(base, "policy", sourcing=("own",))
    costs = []
    for calls in (2_000, 24_000, 200_000, 2_000_000):
        made = plan.plan(changed(own, "workload", calls_per_day=float(calls)), records)
        costs.append(made.feasible["npv"].min())
    assert costs == sorted(costs) and costs[-1] > costs[0]


def test_a_tighter_limit_never_costs_less(records):
    base = changed(team.read("coding_assistant", records), "policy", sourcing=("own", "rent"))
    costs = [
        plan.plan(changed(base, "slo", tpot_p95=tpot), records).feasible["npv"].min()
        for tpot in (0.1, 0.02, 0.008)
    ]
    assert costs == sorted(costs)


def test_budget_stops_what_is_too_dear(records):
    base = team.read("coding_assistant", records)
    poor = base.model_copy(update={"budget": team.Budget(total=1000.0)})
    made = plan.plan(poor, records)
    assert made.chosen is None
    assert "budget" in set(made.options["limit"])
    assert "No option" in words.headline(made)


def test_a_quote_replaces_the_catalogue(records, planned):
    made = planned("coding_assistant")
    server = made.chosen["server_id"]
    quote = team.Quote(price=1.0, currency="USD", date=date(2026, 11, 1), reference="Q-1")
    quoted = made.team.model_copy(update={"quotes": {server: quote}})
    again = plan.plan(quoted, records)
    rows = again.options[again.options["server_id"] == server]
    assert set(rows["price"]) == {1.0}


def test_currencies_agree(records):
    base = team.read("support_chat", records)
    euros = plan.plan(base, records).options.set_index("provider")["total"]
    yuan = plan.plan(base.model_copy(update={"currency": "CNY"}), records)
    rate = records.assumptions["fx_cny_per_usd"].value / records.assumptions["fx_eur_per_usd"].value
    api = "novita/openai/gpt-oss-120b"
    assert yuan.options.set_index("provider")["total"][api] / euros[api] == pytest.approx(rate)


def test_an_assumption_of_the_team_overrides_and_is_registered(records):
    base = team.read("coding_assistant", records)
    own = base.model_copy(update={"assumptions": {"pue": 1.1}})
    made = plan.plan(own, records)
    row = next(row for row in made.terms.register() if row["key"] == "pue")
    assert row["value"] == 1.1 and row["status"] == "team file"
    assert made.chosen["energy_1"] < plan.plan(base, records).chosen["energy_1"]


def test_growth_buys_servers_in_the_year_they_are_needed(records):
    base = team.read("agent_platform", records)
    rate = np.array([base.workload.busiest_hour_rate])
    fast = base.model_copy(update={"growth": team.Growth(yearly=1.0, years=3)})
    peak = money.load_by_year(fast)
    assert pricing.working(rate, peak).tolist() == [[1, 2, 4]]
    assert np.isinf(pricing.working(np.array([0.0]), peak)).all()


def test_formats_follow_the_checkpoint_and_the_device(records):
    base = team.read("coding_assistant", records)
    gpt, v3, qwen = (
        records.models[name]
        for name in ("openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-32B")
    )
    h100, a100 = records.devices["h100-sxm"].peak, records.devices["a100-sxm-80"].peak
    assert options.formats(gpt, "vllm", "gpu", h100, base, records) == ["mxfp4"]
    assert "bf16" not in options.formats(v3, "vllm", "gpu", h100, base, records)
    assert "fp8" in options.formats(qwen, "vllm", "gpu", h100, base, records)
    assert "fp8" not in options.formats(qwen, "vllm", "gpu", a100, base, records)
    wide = changed(base, "policy", smallest_weight_bits=8.0)
    assert "awq-int4" not in options.formats(qwen, "vllm", "gpu", h100, wide, records)


def test_a_floor_that_no_model_reaches_is_an_answer_too(records):
    base = team.read("coding_assistant", records)
    high = base.model_copy(
        update={"quality": team.Quality(benchmark="livecodebench", minimum=99.0)}
    )
    made = plan.plan(high, records)
    assert made.chosen is None and len(made.refused)
    assert "No option" in words.headline(made) and words.terminal(made)


def test_a_team_may_name_its_engines(records):
    base = team.read("coding_assistant", records)
    only = base.model_copy(update={"candidates": team.Candidates(engines=("sglang",))})
    hosted = plan.plan(only, records).options
    assert set(hosted.loc[hosted["sourcing"] == "own", "engine"]) == {"sglang"}


def test_front_by_hand():
    points = np.array([[1, 5], [2, 2], [3, 3], [5, 1], [5, 1]])
    assert plan.front(points).tolist() == [True, True, False, True, True]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=30))
def test_front_keeps_exactly_what_nothing_beats(points):
    points = np.array(points)
    kept = plan.front(points)
    for i, point in enumerate(points):
        beaten = ((points <= point).all(axis=1) & (points < point).any(axis=1)).any()
        assert kept[i] == (not beaten)


SERVER = "hgx_h100_x8_2026"
MOVES = {
    "users": ("workload", {"users": 5}),  # the closed forms count calls
    "calls": ("workload", {"calls_per_day": 250_000.0}),
    "prompt": ("workload", {"prompt_tokens": 9_000.0}),
    "output": ("workload", {"output_tokens": 1_500.0}),
    "variation": ("workload", {"variation": 0.3}),
    "cached": ("workload", {"cached_prompt_share": 0.1}),
    "context": ("workload", {"context_tokens": 16_384}),
    "long": ("workload", {"context_tokens": 131_072}),
    "ttft": ("slo", {"ttft_p95": 0.4}),
    "tpot": ("slo", {"tpot_p95": 0.012}),
    "floor": ("quality", {"minimum": 20.0}),
    "benchmark": ("quality", {"benchmark": "gpqa_diamond"}),
    "memory": ("policy", {"memory_limit_gb": 70.0}),
    "bits": ("policy", {"smallest_weight_bits": 8.0}),
    "utilisation": ("policy", {"highest_utilisation": 0.5}),
    "spare": ("policy", {"spare_replicas": 3}),
    "used": ("policy", {"used_hardware": False}),
    "growth": ("growth", {"yearly": 1.0}),
    "years": ("growth", {"years": 5}),
    "budget": (None, {"budget": team.Budget(total=50_000.0)}),
    "assumption": (None, {"assumptions": {"discount_rate": 0.2}}),
    "quote": (None, {"quotes": {SERVER: team.Quote(
        price=1.0, currency="USD", date=date(2026, 11, 1), reference="Q-1"
    )}}),
    "candidates": (None, {"candidates": team.Candidates(server_kinds=("cpu",))}),
}  # fmt: skip


def fresh(asked, records):
    options._whole.cache_clear()
    judge._judged.cache_clear()
    return plan.plan(asked, records, simulate=False)


@pytest.fixture(scope="module")
def unmoved(records):
    return plan.plan(team.read("coding_assistant", records), records, simulate=False)


@pytest.mark.parametrize("move", MOVES)
def test_what_is_kept_between_plans_never_changes_one(records, unmoved, move):
    part, values = MOVES[move]
    base = unmoved.team
    moved = changed(base, part, **values) if part else base.model_copy(update=values)
    plan.plan(base, records, simulate=False)
    after, again = (plan.plan(asked, records, simulate=False) for asked in (moved, base))
    alone = fresh(moved, records)
    pd.testing.assert_frame_equal(after.options, alone.options, check_exact=True)
    pd.testing.assert_frame_equal(after.refused, alone.refused)
    pd.testing.assert_frame_equal(again.options, unmoved.options, check_exact=True)
    assert after.options.equals(unmoved.options) == (move == "users")


def test_another_benchmark_of_the_same_model_is_not_taken_for_the_first(records):
    base = team.read("coding_assistant", records)
    model = records.models["Qwen/Qwen3-32B"]
    for name in ("livecodebench", "gpqa_diamond"):
        floor = team.Quality(benchmark=name, minimum=1.0)
        only = team.Candidates(models=(model.id,))
        asked = base.model_copy(update={"candidates": only, "quality": floor})
        own = plan.plan(asked, records, simulate=False).options.query("sourcing == 'own'")
        assert set(own["quality"]) == {model.score(name).value}


def test_another_catalogue_is_not_taken_for_the_first(records, unmoved):
    server = records.servers[SERVER]
    dear = server.model_copy(update={"price": 9e6, "price_low": 9e6, "price_high": 9e6})
    less = {name: model for name, model in records.models.items() if "gpt-oss" not in name}
    other = replace(records, servers=records.servers | {SERVER: dear}, models=less)
    made = plan.plan(unmoved.team, other, simulate=False)
    assert set(made.options.loc[made.options["server_id"] == SERVER, "price"]) == {9e6}
    assert not made.options["model_id"].str.contains("gpt-oss").all()
    own = made.options[made.options["sourcing"] == "own"]
    assert not own["model_id"].str.contains("gpt-oss").any()
    again = plan.plan(unmoved.team, records, simulate=False)
    pd.testing.assert_frame_equal(again.options, unmoved.options, check_exact=True)


def test_a_plan_does_not_depend_on_what_else_is_asked(unmoved, records):
    chosen = unmoved.chosen
    only = team.Candidates(models=(chosen["model_id"],), servers=(chosen["server_id"],))
    alone = plan.plan(unmoved.team.model_copy(update={"candidates": only}), records, simulate=False)
    own = alone.options[alone.options["sourcing"] == "own"]
    keys = ["model_id", "weight_format", "server_id", "engine", "tp"]
    both = own.merge(unmoved.options, on=keys, suffixes=("", "_beside_others"))
    assert len(both) == len(own) > 1
    for name in ("rate", "rate_low", "rate_high", "rate_peak", "npv"):
        beside = both[f"{name}_beside_others"]
        assert ((both[name] == beside) | (both[name].isna() & beside.isna())).all(), name


def test_one_replica_is_judged_once_for_all_its_servers(records):
    base = team.read("support_chat", records)
    models, _ = options.models(base, records)
    servers, _ = options.servers(base, records)
    every = options.deployments(base, records, models, servers)
    pd.testing.assert_frame_equal(every.table, options.grid(base, records, models, servers))
    assert len(every.group) < 0.8 * len(every.table)
    together = judge.judge(every, base)
    apart = judge.judge(every.table.iloc[::7].reset_index(drop=True), base)
    pd.testing.assert_frame_equal(
        together.iloc[::7].reset_index(drop=True), apart, check_exact=True
    )
    bold = judge.judge(every, base, careful=False)["rate"] / together["rate"]
    assert bold.min() > 0.99 and bold.max() > 1.1  # the search itself ends within 0.2 %


def test_serving_an_option_again_gives_the_same_rate(planned):
    made = planned("coding_assistant")
    closed = judge.serve(made.chosen, made.team).rate(made.team, careful=False)[0]
    assert closed == pytest.approx(made.chosen["rate_closed"], rel=1e-3)
    again = sizing.carried(sizing.one(made.chosen, made.team), made.team, closed)
    assert again.rate == pytest.approx(made.chosen["rate"], rel=1e-6)


def test_terms_speak_the_teams_currency(records):
    base = team.read("support_chat", records)
    terms = Terms(base, records)
    tariff = records.assumptions["electricity_tariff_us"]
    rate = records.assumptions["fx_eur_per_usd"].value
    assert terms("electricity_tariff_us") == pytest.approx(tariff.value * rate)
    assert terms("pue") == records.assumptions["pue"].value
    assert {"electricity_tariff_us", "pue"} <= {row["key"] for row in terms.register()}


def test_a_front_of_more_rows_than_are_compared_at_once():
    """Against every pair, with equal rows."""
    random = np.random.default_rng(5)
    points = random.integers(0, 12, (300, 3)).astype(float)
    points[:, 2] = random.integers(0, 3, 300) - points[:, :2].sum(axis=1)
    no_worse = (points[:, None] >= points).all(axis=2)
    beaten = (no_worse & ~no_worse.T).any(axis=1)
    assert (plan.front(points[:, :2], points[:, 2:]) == ~beaten).all()
    assert plan.BLOCK < (~beaten).sum() < len(points)
