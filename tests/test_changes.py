"""What changed since the last report, and the page of all reports."""

import copy
import json
import re

import pytest

from planner import changes, inputs, overview, run_record, team


@pytest.fixture(scope="module")
def known(records):
    found = inputs.of(team.read("coding_assistant", records), records)
    return json.loads(json.dumps(found))


def altered(known, part, key, **fields):
    after = copy.deepcopy(known)
    if fields:
        after[part][key].update(fields)
    else:
        del after[part][key]
    return after


def test_the_same_inputs_have_not_changed(known):
    assert changes.between(known, copy.deepcopy(known)) == []


def test_a_price_is_named_with_both_figures(known):
    server = next(iter(known["servers"]))
    price = known["servers"][server]["price"]
    after = altered(known, "servers", server, price=2 * price)
    (found,) = changes.between(known, after, {server: "Big machine"})
    assert found.kind == "price" and found.what.startswith("Big machine, price [")
    assert found.what.endswith(f"from {price:,.0f} to {2 * price:,.0f}")


def test_api_prices_are_said_per_million_tokens(known):
    api = next(iter(known["api_prices"]))
    after = altered(known, "api_prices", api, input=2.5e-6)
    (found,) = changes.between(known, after)
    assert "a million prompt tokens" in found.what and found.what.endswith("to 2.5")


def test_demand_comes_before_prices_and_both_before_the_program(known):
    after = altered(known, "servers", next(iter(known["servers"])), price=1.0)
    after["team"]["workload.users"] = 90
    after["team"]["policy.rack_only"] = False
    after["code"] = "other"
    kinds = [change.kind for change in changes.between(known, after)]
    assert kinds == ["demand", "requirement", "price", "code"]
    first = changes.between(known, after)[0]
    assert first.what == "workload.users from 60 to 90"


def test_models_come_and_go(known):
    model = next(iter(known["models"]))
    less = altered(known, "models", model)
    assert changes.between(known, less, {model: "Llama"})[0].what == "Llama fell out"
    assert changes.between(less, known, {model: "Llama"})[0].what == "Llama came in"


def test_the_first_report_says_so(planned):
    shown = changes.since(planned("coding_assistant"), None)
    assert shown.plain == changes.FIRST


def test_since_says_what_changed_and_what_became_of_the_decision(planned, known):
    plan = planned("coding_assistant")
    before = copy.deepcopy(known)
    before["team"]["workload.users"] = 50
    summary = {"date": "2026-10-01", "buy": "rent a *castle*", "language": "en",
               "three_year_cost": {"mid": 1000.0, "currency": "USD"}}  # fmt: skip
    text = changes.since(plan, (before, summary)).data["text/markdown"]
    assert "Demand: workload\\.users from 50 to 60" in text
    assert "rent a \\*castle\\*; now it is to buy" in text and "from 1,000 USD to" in text
    lapsed = {**summary, "valid_until": "2026-10-02"}
    text = changes.since(plan, (known, lapsed)).plain
    assert "has become stale, after" in text and "Nothing" not in text
    same = changes.since(plan, (known, summary)).plain
    assert same == "Nothing that this report depends on has changed since the one of 2026-10-01."


EVIL = '"><script>alert(1)</script>=cmd\u202e'


def test_the_page_of_all_teams_lists_links_and_escapes(tmp_path):
    for name, cost in (("alpha", 1234567.0), ("beta", None)):
        folder = tmp_path / name
        folder.mkdir()
        summary = {"team": EVIL if name == "beta" else "Alpha", "date": "2026-10-01", "buy": EVIL}
        summary["three_year_cost"] = {"mid": cost, "low": 1e6, "high": 2e6, "currency": "USD"}
        (folder / "summary.json").write_text(json.dumps(summary))
        (folder / "report.html").write_text("x")
    teams = {"beta": {"status": "failed", "error": EVIL}}
    (tmp_path / run_record.LAST).write_text(json.dumps({"id": EVIL, "ended": "", "teams": teams}))
    path = overview.write(tmp_path)
    page = path.read_text(encoding="utf-8")
    assert page.count("<script>") == 1 and "alert(1)</script>" not in page and "\u202e" not in page
    assert 'href="alpha/report.html"' in page and "1,230,000 USD" in page
    assert "2026-12-31" in page and "failed" in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert [p.name for p in tmp_path.glob(".index*")] == []


def test_a_price_that_decides_brings_the_review_forward(tmp_path):
    for name, until in (("soon", "2026-10-20"), ("late", "2027-02-01"), ("past", "2026-09-01")):
        (tmp_path / name).mkdir()
        summary = {"team": name, "date": "2026-10-01", "valid_until": until}
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    due = {row["name"]: row["review"] for row in overview.rows(tmp_path)}
    assert due == {"soon": "2026-10-20", "late": "2026-12-31", "past": "2026-12-31"}


def test_a_folder_without_runs_makes_an_empty_page(tmp_path):
    assert "<tbody>" in overview.page(tmp_path)
