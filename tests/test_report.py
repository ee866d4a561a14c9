"""Reports: names, parameters, and what of an executed notebook becomes a report."""

import json

import nbformat
import papermill
import pytest
from IPython.core.formatters import DisplayFormatter

from planner import display, drawings, report

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


def test_one_report_without_a_run(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb")
    team = write_team(tmp_path, "#panic ../é.toml".replace("/", "_"))
    result = report.render(team, tmp_path / "out", notebook=notebook)
    folder = tmp_path / "out" / "panic-_e"
    assert result["folder"] == str(folder) and set(result["seconds"]) == STAGES
    assert sorted(path.name for path in folder.iterdir()) == sorted(result["files"])
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<svg" in page
    kept = (folder / "report.ipynb").read_text(encoding="utf-8")
    assert "papermill" not in json.loads(kept)["metadata"] and "0x7" not in kept
    assert "image/svg+xml" in kept and drawings.DRAWING not in kept


STAGES = {"notebook", "charts", "pdf", "files"}


def test_a_chart_is_drawn_the_same_whatever_was_drawn_before():
    rows = {"rows": [{"x": 1, "y": 2}]}
    axes = {axis: {"field": axis, "type": "quantitative"} for axis in "xy"}
    look = {"data": {"name": "rows"}, "mark": {"type": "area", "clip": True}, "encoding": axes}
    look |= {"datasets": rows}
    first, second = drawings.svg(look), drawings.svg(look)
    assert first == second and "url(#clip1)" in first and 'id="clip1"' in first


def test_what_pages_show_needs_no_formatter(monkeypatch):
    monkeypatch.setattr(drawings, "_deferred", True)
    for shown in (display.text("one"), display.end(), display.figure({"description": "chart"})):
        assert DisplayFormatter().format(shown) == (shown._repr_mimebundle_(), {})


def test_what_a_cell_shows_is_kept_as_a_kernel_would(tmp_path):
    """Order, kinds and texts of the outputs, compared with a kernel's own."""
    cells = [
        "import sys\nprint('one'); print('two'); print('three', file=sys.stderr)",
        "import IPython.display as shows\nshows.display(shows.HTML('<b>x</b>')); print(4)\n5",
        "6;",
        "';'",
        "7 if team_path else None",
        "await __import__('asyncio').sleep(0)",
        "import pandas as pd\npd.DataFrame({'a': [1, 2]})",
    ]
    notebook = write_notebook(tmp_path / "n.ipynb", *cells)
    ours = report.execute(notebook, {"team_path": ""})
    nbformat.validate(nbformat.from_dict(ours))
    theirs = json.loads(
        nbformat.writes(
            papermill.execute_notebook(
                str(notebook),
                None,
                {"team_path": ""},
                kernel_name="python3",
                language="python",
                progress_bar=False,
            )
        )
    )
    for mine, kernels in zip(ours["cells"], theirs["cells"], strict=True):
        assert mine["source"] == kernels["source"]
        kept = [
            one for one in mine.get("outputs", []) if drawings.DRAWING not in one.get("data", {})
        ]
        if len(kept) == len(mine.get("outputs", [])):
            assert kept == kernels.get("outputs", [])
            assert mine.get("execution_count") == kernels.get("execution_count")
