"""Scenarios: fields of a team turned one by one, and files that say exactly what was turned."""

import math
import os
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner import scenario, team, terms
from planner.demand import Bursty, Users
from planner.scenario import save
from planner.team import Budget, Quote, TeamError

PATHS = sorted(team.TEAMS.glob("*.toml"))
SAFE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def coding(records):
    return team.read("coding_assistant", records)


def same(first, second):
    return first.model_dump() | {"slug": ""} == second.model_dump() | {"slug": ""}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_team_survives_its_file(path, records, tmp_path):
    read = team.read(path, records)
    written = save(read, path.stem, directory=tmp_path)
    assert same(team.read(written, records), read)
    assert written.read_text(encoding="utf-8").startswith("# Made in notebook 60 on ")
    assert list(tmp_path.iterdir()) == [written]


def test_everything_a_team_may_hold_survives(coding, records, tmp_path):
    full = scenario.scenario(
        coding,
        arrivals={"kind": "bursty", "variation": 3.5},
        total=2.5e5,
        quotes={"hgx_h100_x8_2026": {"price": 1e5, "currency": "EUR", "date": date(2026, 11, 2),
                                     "reference": 'line "7" \\ of 2'}},
        assumptions={"pue": 1.25, "staff_rate_us": 70},
        memory_limit_gb=512.0,
        models=("openai/gpt-oss-120b",),
        ttft_p99=9.0,
        today="api",
    )  # fmt: skip
    assert full.budget == Budget(total=2.5e5)
    assert full.workload.arrivals == Bursty(kind="bursty", variation=3.5)
    back = team.read(save(full, "full", directory=tmp_path), records)
    assert same(back, full)
    assert back.quotes["hgx_h100_x8_2026"].reference == 'line "7" \\ of 2'


@SAFE
@given(
    name=st.text(min_size=1, max_size=60),
    purpose=st.text(min_size=1, max_size=200),
    reference=st.text(min_size=1, max_size=60),
    calls=st.floats(1e-3, 1e9),
    think=st.floats(0, 86_400),
)
def test_any_text_and_number_survives(coding, records, tmp_path, name, purpose, reference, calls,
                                      think):  # fmt: skip
    try:
        made = scenario.scenario(
            coding, name=name, purpose=purpose, calls_per_day=calls,
            arrivals={"kind": "users", "think_time": think},
            quotes={"hgx_h100_x8_2026": {"price": calls, "currency": "USD",
                                         "date": date(2026, 1, 2), "reference": reference}},
        )  # fmt: skip
    except TeamError as error:
        # of several lines, or of none
        assert "must be one line" in str(error) or "shows nothing" in str(error)
        return
    back = team.read(save(made, "any", again=True, directory=tmp_path), records)
    assert same(back, made)
    assert (back.workload.arrivals, back.purpose) == (
        Users(kind="users", think_time=think),
        purpose,
    )
    assert isinstance(back.quotes["hgx_h100_x8_2026"], Quote)


@SAFE
@given(name=st.text(max_size=80) | st.from_regex(r"(\.\.?[/\\]|[a-z]|con|nul\.| |\x00){1,6}"))
def test_no_name_leaves_the_folder(coding, tmp_path, name):
    folder = tmp_path / "teams"
    folder.mkdir(exist_ok=True)
    try:
        path = save(coding, name, again=True, directory=folder)
    except TeamError as error:
        assert "name" in str(error)
        return
    assert path.parent == folder and path.suffix == ".toml"
    assert set(path.stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert [file.name for file in tmp_path.iterdir()] == ["teams"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Latin letters"), ("../up", "without slashes"), ("a/b", "without slashes"),
        ("..", "Latin letters"), (".hidden", "leading"), ("团队", "Latin letters"),
        ("CON", "add a word"), ("example", "add a word"), ("a" * 61, "60 at most"),
        ("c:\\x", "without slashes"), ("two\nlines", "without"),
    ],
)  # fmt: skip
def test_names_that_are_refused_say_what_to_write(name, words):
    with pytest.raises(TeamError, match=words):
        scenario.slug(name)


def test_a_saved_scenario_is_replaced_only_when_asked(coding, records, tmp_path):
    path = save(coding, "Mine", directory=tmp_path)
    more = scenario.scenario(coding, users=99)
    with pytest.raises(TeamError, match="exists; choose another name, or tick"):
        save(more, "mine", directory=tmp_path)
    assert same(team.read(path, records), coding)
    save(more, "mine", again=True, directory=tmp_path)
    assert team.read(path, records).workload.users == 99


def test_a_file_that_a_person_wrote_is_never_replaced(coding, tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text("# ours\n", encoding="utf-8")
    with pytest.raises(TeamError, match="not made by a notebook"):
        save(coding, "ours", again=True, directory=tmp_path)
    assert path.read_text(encoding="utf-8") == "# ours\n"


def test_nothing_half_written_is_left(coding, tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", broken)
    with pytest.raises(TeamError, match="No space left on device; nothing was saved"):
        save(coding, "mine", directory=tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(TeamError, match="cannot be written"):
        save(coding, "mine", directory=tmp_path / "absent")


def test_what_would_be_refused_when_read_is_not_saved(coding, tmp_path):
    unknown = coding.model_copy(update={"assumptions": {"no_such_figure": 1.0}})
    with pytest.raises(TeamError, match="not in the catalogue"):
        save(unknown, "mine", directory=tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_what_is_named_changes(coding):
    made = scenario.scenario(coding, yearly=0.3, sourcing=("own", "api"), ttft_p95=math.inf)
    assert made.growth.yearly == 0.3 and made.growth.years == coding.growth.years
    assert made.policy.sourcing == ("own", "api") and made.policy.rack_only
    assert made.slo.ttft_p95 == math.inf and made.slo.tpot_p95 == coding.slo.tpot_p95
    assert made.workload == coding.workload


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"users": -1}, "workload.users: -1"), ({"user": 3}, "user: a team has no such field"),
        ({"context_tokens": 500}, "raise context_tokens"),
        ({"benchmark": "x", "minimum": 200}, "minimum"),
        ({"sourcing": ()}, "policy.sourcing"), ({"yearly": 99.0}, "growth.yearly"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_field(coding, fields, words):
    with pytest.raises(TeamError, match=words):
        scenario.scenario(coding, **fields)


def test_floor_and_budget_can_be_taken_away(coding):
    rich = scenario.scenario(coding, total=1e6)
    assert scenario.scenario(rich, total=None).budget is None
    assert scenario.scenario(coding, minimum=None, benchmark="mmlu_pro").quality is None


def test_a_profile_that_contradicts_its_busiest_hour_goes(coding):
    assert scenario.scenario(coding, busiest_hour_share=0.161).workload.hourly is not None
    assert scenario.scenario(coding, busiest_hour_share=0.25).workload.hourly is None


def test_a_session_keeps_its_shape(records):
    agents = team.read("agent_platform", records)
    longer = scenario.scenario(agents, prompt_tokens=28_000.0)
    assert longer.workload.arrivals.first_prompt_tokens == 8000
    assert longer.workload.arrivals.system_tokens == 4000
    with pytest.raises(TeamError, match="cached_prompt_share: follows from the session"):
        scenario.scenario(agents, cached_prompt_share=0.1)


def test_money_follows_the_currency_and_quotes_stay(coding, records):
    quote = {"price": 1e5, "currency": "USD", "date": date(2026, 11, 2), "reference": "a"}
    rich = scenario.scenario(
        coding, total=1e6, assumptions={"staff_rate_us": 70, "pue": 1.3},
        quotes={"hgx_h100_x8_2026": quote},
    )  # fmt: skip
    euro = scenario.scenario(rich, currency="EUR")
    rate = terms.Terms(euro, records).money(1.0, "USD")
    assert rate != 1
    assert euro.budget.total == pytest.approx(1e6 * rate)
    assert euro.assumptions == pytest.approx({"staff_rate_us": 70 * rate, "pue": 1.3})
    assert euro.quotes == rich.quotes


def test_the_calls_of_a_trace_stay(coding, tmp_path, records):
    rows = ["timestamp,prompt_tokens,output_tokens", *(f"{9 * n},6000,400" for n in range(400))]
    (tmp_path / "calls.csv").write_text("\n".join(rows), encoding="utf-8")
    text = (team.TEAMS / "coding_assistant.toml").read_text(encoding="utf-8")
    text = text.replace("[slo]", '[workload.arrivals]\nkind = "trace"\nfile = "calls.csv"\n[slo]')
    path = tmp_path / "logged.toml"
    path.write_text(text, encoding="utf-8")
    logged = team.read(path, records)
    made = scenario.scenario(logged, users=70)
    assert made.workload.arrivals.calls is logged.workload.arrivals.calls
    assert save(made, "other", directory=tmp_path).exists()
    with pytest.raises(TeamError, match="give the mean of the trace"):
        scenario.scenario(logged, prompt_tokens=9000.0)
