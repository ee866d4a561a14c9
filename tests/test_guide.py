"""The notebook on the guide's claims: its words, tables and charts."""

import numpy as np
import pandas as pd
import pytest

from planner import claims, display, guide, guide_charts, team_plans
from planner.verdicts import VERDICTS


@pytest.fixture(scope="module")
def verdicts(records):
    return guide.audit(catalogue=records)


@pytest.fixture(scope="module")
def purchases():
    return guide.purchases()


def rows(shown):
    return [[cell["text"] for cell in row["cells"]] for row in shown.data[display.TABLE]["rows"]]


def test_every_claim_has_words_of_its_own(verdicts):
    repeated = verdicts[verdicts["claim"].duplicated(keep=False)]
    assert repeated.empty, repeated[["id", "claim"]].to_string()
    for name in ("claim", "claimed", "computed", "why", "source"):
        assert (verdicts[name].str.len() > 0).all(), name
        assert not verdicts[name].str.contains("nan|1e9|1e12|e\\+0", case=False).any(), name


def test_kinds_and_models_are_chosen(records):
    assert set(guide.audit("cost", catalogue=records)["kind"]) == {"cost"}
    some = guide.audit(model="glm", catalogue=records)
    assert set(some["model_id"]) == {"zai-org/GLM-4.5-Air"}
    with pytest.raises(ValueError, match="use `all`, or one of: model facts"):
        guide.audit("costs", catalogue=records)


def test_summary_ends_with_all(verdicts):
    last = rows(guide.summary(verdicts))[-1]
    assert last[0] == "all" and int(last[-1]) == len(verdicts)
    assert sum(int(cell) for cell in last[1:-1]) == len(verdicts)


@pytest.mark.parametrize("kind", claims.KINDS)
def test_tables_begin_with_the_worst(verdicts, kind):
    shown = [row[4] for row in rows(guide.table(verdicts, kind))]
    assert shown == sorted(shown, key=VERDICTS.index)
    assert len(shown) == (verdicts["kind"] == kind).sum()


def test_nothing_left_is_said(verdicts):
    none = verdicts[verdicts["kind"] == "dates"]
    assert guide.table(none, "cost").plain == guide.NONE
    assert guide.ranges(none, "speed").plain == guide.NONE
    assert guide.factors(none).plain == guide.NONE
    facts = verdicts[verdicts["id"] == "guide.air.license"]
    assert guide.contradicting(facts).plain == guide.NO_CONTRADICTION


def test_verdict_bars(verdicts):
    counts = claims.counts(verdicts)
    chart = guide_charts.verdict_bars(counts).to_dict()
    assert chart["encoding"]["color"]["scale"]["domain"] == list(VERDICTS)
    assert len(set(chart["encoding"]["color"]["scale"]["range"])) == len(VERDICTS)
    assert "quantisation: 1 contradicts itself" in chart["description"]


def test_factors_tell_claimed_computed_and_source(verdicts):
    chart = guide_charts.factors(verdicts).to_dict()
    points = chart["layer"][1]
    assert points["encoding"]["x"]["scale"]["type"] == "log"
    assert [tip["field"] for tip in points["encoding"]["tooltip"]] == list(guide_charts.TIPS)
    assert "within 25 %" in chart["description"]


def test_ranges_are_relative_to_the_computed_value():
    table = pd.DataFrame({
        "claim": ["speed"], "predicted": [2.0], "claimed_low": [8], "claimed_high": [12],
        "predicted_low": [1.0], "predicted_high": [3.0], "limit": [4.0],
    })  # fmt: skip
    chart = guide_charts.ranges(table).to_dict()
    data = [row for rows in chart["datasets"].values() for row in rows if "claim" in row]
    assert {(row["low"], row["high"]) for row in data if "low" in row} == {(4.0, 6.0), (0.5, 1.5)}
    assert {row["limit"] for row in data} == {2.0}
    assert "claimed 4 to 6" in chart["description"]


@pytest.mark.parametrize("chart", [guide_charts.verdict_bars, guide_charts.factors,
                                   guide_charts.ranges])  # fmt: skip
def test_charts_say_what_they_need(chart):
    with pytest.raises(ValueError, match="lacks the column"):
        chart(pd.DataFrame({"x": [1]}))


def test_purchases_of_every_scenario(purchases, records):
    assert len(purchases) == len(team_plans.SCENARIOS)
    for one in purchases:
        assert one.option["model_id"] == one.advice.model_id
        assert one.option["weight_format"] == "bf16"
        server = records.servers[one.option["server_id"]]
        assert server.price == one.price and server.price_status == "claim"
        assert one.total > one.price
        assert one.plan.chosen is not None
        assert one.plan.team.policy.memory_limit_gb >= one.advice.low


def test_no_advice_of_the_guide_meets_the_limits(purchases):
    assert not [one for one in purchases if one.option["limit"] == "none"]
    limits = {one.plan.team.slug: one.option["limit"] for one in purchases}
    assert limits["guide_one_developer"] == "memory" and limits["guide_performance"] == "ttft"


def test_the_table_of_purchases(purchases):
    shown = rows(guide.bought(purchases))
    assert len(shown) == 2 * len(purchases)
    assert all(row[-1].startswith("no: ") for row in shown[::2])
    assert all(row[-1] == "yes" for row in shown[1::2])
    assert not any("inf" in cell or "nan" in cell for row in shown for cell in row)


def test_the_answer_counts(verdicts, purchases):
    text = guide.answer(verdicts, purchases).plain
    consistent = (verdicts["verdict"] == "consistent").sum()
    assert f"{consistent} of {len(verdicts)} claims hold" in text
    assert "In none of its 4 scenarios" in text
    assert text.count("\n- ") == len(purchases)
    assert not np.isnan(verdicts["factor"].median())
