"""Reports: names, parameters, failures, and one whole notebook through papermill."""

import json
import os

import nbformat
import pytest

from planner import report

SETUP = """import os
import pandas as pd
from planner import charts, display
options = pd.DataFrame({"option": ["buy", "rent"], "cost": [186e3, 310e3],
                        "cost_low": [150e3, 260e3], "cost_high": [240e3, 400e3]})"""
SUMMARY = """display.summary({
    "team": team_path, "date": "2026-11-24", "buy": "2 servers with 4 L40S",
    "three_year_cost": {"low": 150e3, "mid": 186e3, "high": 240e3, "currency": "USD"},
    "document": {"subtitle": "A sample", "details": [["Valid until", "2027-02-22"]]},
})"""


def write_notebook(path, *extra, parameters="team_path = ''\ncrash = False"):
    code, words = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [
        words("# Sizing report"),
        code(parameters, metadata={"tags": ["parameters"]}),
        code(SETUP),
        code("display.callout('decision', f'Buy for **{display.escape(team_path)}**.')"),
        words("## Cost"),
        code("display.figure(charts.ranked_costs(options, 'USD'), 'Cost')"),
        code("display.table(options, {'option': 'Option', 'cost': 'Cost'}, 'Options')"),
        *[code(source) for source in extra],
        code(SUMMARY),
        code("display.end()"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def write_team(folder, name):
    path = folder / name
    path.write_text("users = 5\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "/", "a\0b", "C:\\x", "A  B", "团队", ""]
)
def test_slug_is_one_plain_folder_name(name):
    made = report.slug(name)
    assert made and set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(report.slug("x" * 500)) <= 80


def test_parameters_are_those_the_notebook_declares(tmp_path):
    path = write_notebook(
        tmp_path / "n.ipynb", parameters="team_path = 'x'  # file\nyears: int = 3"
    )
    assert report.declared_parameters(json.loads(path.read_text())) == {"team_path", "years"}
    with pytest.raises(report.ReportError, match="no parameter 'discount'"):
        report.execute(path, {"team_path": "x", "discount": 1})


def test_a_notebook_needs_one_parameters_cell():
    with pytest.raises(report.ReportError, match="0 cells"):
        report.declared_parameters({"cells": []})


def test_missing_files_are_named(tmp_path):
    with pytest.raises(report.ReportError, match=r"none\.toml: no such team file"):
        report.render(tmp_path / "none.toml", tmp_path)
    team = write_team(tmp_path, "a.toml")
    with pytest.raises(report.ReportError, match=r"gone\.ipynb is not a file"):
        report.render(team, tmp_path / "out", notebook=tmp_path / "gone.ipynb")
    assert not (tmp_path / "out").exists()


def test_files_are_placed_whole(tmp_path, monkeypatch):
    report._place({"a": b"1", "summary.json": b"{}"}, tmp_path, "team")
    moved = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(b.name), replace(a, b)))
    report._place({"a": b"2", "summary.json": b"{}"}, tmp_path, "team")
    assert moved == ["a", "summary.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["team"]


def test_two_files_of_one_name_do_not_overwrite_each_other(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "render", lambda path, out, **_: {**DONE, "folder": str(out)})
    teams = [write_team(tmp_path, "a b.toml"), write_team(tmp_path, "a-b.toml")]
    results = report.render_all(teams, tmp_path / "out")
    assert [result["ok"] for result in results] == [True, False]
    assert "rename one" in capsys.readouterr().out


DONE = {
    "ok": True,
    "name": "a",
    "folder": "reports/a",
    "summary": {
        "buy": "2 servers",
        "three_year_cost": {"low": 150e3, "mid": 186_432.0, "high": 240e3, "currency": "USD"},
    },
}


def test_lines():
    assert report.line(DONE) == (
        "a: 2 servers; three-year cost 186,000 USD (150,000 to 240,000); reports/a"
    )
    nothing = {**DONE, "summary": {"buy": "nothing", "three_year_cost": None}}
    assert report.line(nothing) == "a: nothing; no cost; reports/a"
    assert report.line({"ok": False, "name": "b", "error": "x"}) == "b: FAILED: x"


@pytest.mark.slow
def test_whole_reports_beside_failing_ones(tmp_path, capsys):
    notebook = write_notebook(
        tmp_path / "report.ipynb",
        "if 'broken' in team_path:\n"
        "    raise ValueError('broken.toml, field users: 5 is wrong; write 6')",
        "if 'dying' in team_path:\n    os._exit(1)",
        "if 'slow' in team_path:\n    import time; time.sleep(60)",
    )
    names = ["broken.toml", "fine.toml", "dying.toml", "slow.toml", "../#panic.toml"]
    (tmp_path / "teams").mkdir()
    teams = [write_team(tmp_path / "teams", name) for name in names]
    results = report.render_all(teams, tmp_path / "out", notebook=notebook, timeout=8)
    assert [result["ok"] for result in results] == [False, True, False, False, True]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "broken: FAILED: broken.toml, field users: 5 is wrong; write 6"
    assert "three-year cost 186,000 USD" in printed[1]
    assert "kernel died" in printed[2] and "longer than 8 s" in printed[3]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fine", "panic"]
    folder = tmp_path / "out" / "fine"
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert "<script" not in (folder / "report.html").read_text(encoding="utf-8")
    assert json.loads((folder / "summary.json").read_text())["buy"] == "2 servers with 4 L40S"
    kept = (folder / "report.ipynb").read_text(encoding="utf-8")
    assert "papermill" not in json.loads(kept)["metadata"] and "0x7" not in kept
