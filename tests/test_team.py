"""Team files: what is read, what is refused, and in which words."""

from pathlib import Path

import pytest

from planner import team

GOOD = Path(team.TEAMS / "coding_assistant.toml").read_text(encoding="utf-8")


def refused(tmp_path, records, old, new):
    path = tmp_path / "broken.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(team.TeamError) as caught:
        team.read(path, records)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(team.TEAMS.glob("*.toml")), ids=lambda p: p.stem)
def test_every_team_is_valid(path, records):
    assert team.read(path, records).slug == path.stem


def test_there_are_four_teams_of_the_guide_and_four_for_gpus():
    names = [path.stem for path in team.TEAMS.glob("*.toml")]
    assert sum(name.startswith("guide_") for name in names) == 4
    assert len(names) >= 8


def test_rates_by_hand(records):
    read = team.read("coding_assistant", records)
    assert read.workload.busiest_hour_rate == pytest.approx(7200 * 0.16 / 3600)
    assert read.peak_rate == pytest.approx(7200 * 0.16 / 3600 * 1.15**2)


def test_shrinking_demand_is_sized_for_today(records):
    read = team.read("coding_assistant", records)
    shrinking = read.model_copy(update={"growth": team.Growth(yearly=-0.5, years=3)})
    assert shrinking.peak_rate == pytest.approx(read.workload.busiest_hour_rate)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("users = 60", 'users = "sixty"', ["workload.users", "'sixty'", "whole number"]),
        ("users = 60", "users = -60", ["workload.users", "-60", "greater than 0"]),
        ("users = 60", "user = 60", ["workload.user", "unknown key", "users"]),
        ("users = 60\n", "", ["workload.users", "missing; add it"]),
        ("calls_per_day = 7200", "calls_per_day = nan", ["workload.calls_per_day", "finite"]),
        ("calls_per_day = 7200", "calls_per_day = inf", ["workload.calls_per_day", "inf"]),
        ("calls_per_day = 7200", "calls_per_day = 1e308", ["workload.calls_per_day", "1e+308"]),
        ("busiest_hour_share = 0.16", "busiest_hour_share = 16", ["busiest_hour_share", "16"]),
        ('task = "code"', 'task = "sing"', ["task", "'sing'", "'code'"]),
        ("context_tokens = 32768", "context_tokens = 512", ["context_tokens", "6400", "raise"]),
        ("[slo]", "[slos]", ["slos", "unknown key", "slo"]),
        ("name = ", "name = 5 #", ["field name", "5", "text in quotes"]),
        ("[growth]", "[growth]\nyearly = 1", ["not valid TOML", "correct that line"]),
        ("[growth]", '[candidates]\nmodels = ["Qwen/Qwen9"]\n[growth]',
         ["candidates.models", "'Qwen/Qwen9'", "did you mean"]),
        ("[growth]", "[assumptions]\npues = 1.2\n[growth]", ["assumptions", "'pues'", "pue"]),
        ("[growth]", "[assumptions]\npue = 0.9\n[growth]", ["assumptions.pue", "0.9", "1.5"]),
        ("[growth]", "[assumptions]\ndiscount_rate = 8\n[growth]", ["discount_rate: 8", "0.08"]),
        ("[growth]", "[assumptions]\nprice_age_limit = 1e9\n[growth]", ["price_age_limit", "days"]),
        ("[growth]", "[assumptions]\nfx_cny_per_usd = 0\n[growth]", ["fx_cny_per_usd", "above"]),
        ('currency = "USD"', 'currency = "CHF"', ["field currency", "'CHF'", "catalogue"]),
        ("minimum = 40", 'minimum = 40\nslug = "x"', ["quality.slug", "unknown key"]),
        ('benchmark = "live', 'benchmark = "life', ["quality.benchmark", "livecodebench"]),
        ("rack_only = true", 'licences = ["MIT-ish"]', ["policy.licences", "'MIT-ish'", "MIT"]),
        ("task = ", 'slug = "../x"\ntask = ', ["field slug", "the file's name says it"]),
        ("name = ", 'name = "a\\nb" #', ["field name", "'a\\nb'", "one line"]),
        ("name = ", 'name = " " #', ["field name", "shows nothing"]),
    ],
)  # fmt: skip
def test_errors_name_file_field_value_and_remedy(tmp_path, records, old, new, words):
    message = refused(tmp_path, records, old, new)
    assert "broken.toml" in message
    for word in words:
        assert word in message


def test_all_problems_of_a_file_come_at_once(tmp_path, records):
    path = tmp_path / "broken.toml"
    text = GOOD.replace("users = 60", "users = -1").replace("prompt_tokens = 6000", "prompts = 1")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(team.TeamError) as caught:
        team.read(path, records)
    assert len(str(caught.value).splitlines()) == 3  # one too small, one unknown, one missing


def test_files_that_are_none(tmp_path):
    with pytest.raises(team.TeamError, match="no such team file; the teams are agent_platform"):
        team.read("nobody")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(team.TeamError, match="UTF-8"):
        team.read(binary)


def test_a_team_cannot_be_changed_afterwards(records):
    read = team.read("coding_assistant", records)
    with pytest.raises(ValueError, match="frozen"):
        read.name = "other"
