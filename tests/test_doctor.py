"""The doctor: each check can say that all is well and that something is wrong."""

import json
import os
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from planner import catalogue, doctor, placement, team
from planner.__main__ import main


def state(found):
    return found.state, found.words


def test_every_check_has_one_line_and_a_remedy_where_needed(tmp_path):
    found = doctor.checks(tmp_path)
    assert len({check.name for check in found}) == len(found) == 11
    for check, line in zip(found, doctor.text(found).split("\n"), strict=False):
        assert check.state in doctor.MARKS and line.startswith(doctor.MARKS[check.state])
        assert check.remedy or check.state == "ok" or "not" in check.words or "no " in check.words
    assert json.loads(doctor.as_json(found))[0].keys() == {"name", "state", "words", "remedy"}


def test_the_exit_code_says_whether_there_is_a_problem(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_environment", lambda: doctor.Check("environment", "ok", "same"))
    assert main(["doctor", "--json", "--out", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)
    monkeypatch.setattr(doctor, "_fonts", lambda: doctor.Check("fonts", "problem", "none", "go"))
    assert main(["doctor", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().out.rstrip().endswith("1 problem")


def test_an_environment_is_compared_with_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "LOCK", tmp_path / "lock")
    assert doctor._environment().state == "note"
    have = doctor.metadata.version("numpy")
    for content, state, words in (
        (f"numpy=={have} \\\n    --hash=sha256:0", "ok", "all 1 packages"),
        (f"numpy=={have}.9", "note", f"numpy {have} instead of {have}.9"),
        ("no-such-package-here==1", "problem", "1 locked package not installed"),
        ("no-such-package-here==1 ; sys_platform == 'none'", "ok", "all 0"),
    ):
        (tmp_path / "lock").write_text(content)
        found = doctor._environment()
        assert found.state == state and words in found.words


def test_fonts_that_are_not_there_are_named(tmp_path, monkeypatch):
    assert doctor._fonts().state == "ok"
    monkeypatch.setattr(doctor.drawings, "FONTS", tmp_path)
    found = doctor._fonts()
    assert found.state == "problem" and found.words.startswith("Noto Sans SC not found")
    monkeypatch.setattr(doctor.drawings, "font_directories", lambda: ())
    assert "SourceSansPro-Regular" in doctor._fonts().words


def test_prices_grow_stale(records):
    dates = [dated for _, dated, _ in doctor.dated_prices(records)]
    assert len(dates) == sum(map(len, (records.servers, records.rentals, records.api_prices)))
    newest = max(date.fromisoformat(dated) for dated in dates if len(dated) == 10)
    count = [
        int(doctor._prices(newest + timedelta(days=more)).words.split()[0]) for more in (0, 400)
    ]
    assert count[0] < count[1] == len(dates)
    assert doctor._prices(date(2000, 1, 1)).state == "ok"


def test_data_that_is_not_valid_is_a_problem(tmp_path, monkeypatch):
    assert doctor._data().state == "ok"
    (tmp_path / "x.toml").write_text("name = 1")
    monkeypatch.setattr(team, "TEAMS", tmp_path)
    found = doctor._data()
    assert found.state == "problem" and "x.toml, field" in found.words
    monkeypatch.setattr(catalogue, "check", lambda: ["data/servers.csv is missing"])
    assert "servers.csv" in doctor._data().words
    assert "not looked at" in doctor._prices(date(2026, 1, 1)).words


def test_a_calibration_is_found_and_read(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANNER_CALIBRATION", str(tmp_path / "own.csv"))
    assert doctor._calibration().state == "note"
    (tmp_path / "own.csv").write_text("nothing\n1\n")
    assert doctor._calibration().state == "problem"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    assert doctor._folder(tmp_path).state == "problem"


def test_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    assert doctor._folder(tmp_path / "a" / "b").state == "ok"

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", full)
    found = doctor._folder(tmp_path)
    assert found.state == "problem" and "No space left" in found.words


def test_room_for_the_reports_of_every_team(tmp_path, monkeypatch):
    report = tmp_path / "one"
    report.mkdir()
    (report / "summary.json").write_bytes(b"x" * 2**20)
    found = doctor._space(tmp_path)
    teams = len(list(team.TEAMS.glob("*.toml")))
    assert found.state == "ok" and f"{teams} new reports of 1.0 MiB" in found.words
    usage = shutil._ntuple_diskusage(10, 9, 2**20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert doctor._space(tmp_path).state == "problem"


def test_what_a_stopped_run_left(tmp_path):
    assert doctor._left(tmp_path).state == "ok"
    with placement.locked(tmp_path, "a run"):
        assert "a run is writing" in doctor._left(tmp_path).words
    assert doctor._left(tmp_path).state == "ok"  # the file of the lock stays, the lock does not
    (tmp_path / f"{placement.DRAFT}one").mkdir()
    found = doctor._left(tmp_path)
    assert found.state == "note" and ".draft-one" in found.words


def test_compiled_code_is_older_than_its_source(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert doctor._compiled().state == "note"
    kept = tmp_path / "planner_1" / "scheduler.f-1.py311.nbi"
    kept.parent.mkdir()
    kept.write_bytes(b"")
    assert doctor._compiled().state == "ok"
    os.utime(kept, (0, 0))
    assert doctor._compiled().state == "note"


def test_the_browser_is_optional(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor._browser().state == "note"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: Path("/x"))
    assert doctor._browser().state == "ok"
