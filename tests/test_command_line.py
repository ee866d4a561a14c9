"""The command line, as a user types it."""

import json

import pandas as pd
import pytest

from planner.__main__ import main


def test_check_is_clean(capsys):
    assert main(["check"]) == 0
    assert "data/ is valid" in capsys.readouterr().out


def test_plan_prints_ranked_options(capsys):
    assert main(["plan", "guide_limited", "--top", "3"]) == 0
    out = capsys.readouterr().out
    assert "options judged" in out and "tok/s" in out


def test_an_unknown_team_is_one_clear_line(capsys):
    assert main(["plan", "nobody"]) == 2
    assert "no such team file" in capsys.readouterr().err


def test_estimate_answers_and_explains(tmp_path, capsys):
    cases = pd.DataFrame(
        {
            "model_id": ["Qwen/Qwen2.5-Coder-32B-Instruct", "nobody/knows"],
            "device_id": ["xeon-e5-2680-v4"] * 2,
            "engine": ["llama.cpp"] * 2,
            "weight_format": ["bf16"] * 2,
            "sockets": [2, 2],
            "output_tokens": [128, 128],
            "depth": [0, 0],
            "concurrency": [1, 1],
            "metric": ["decode_tok_s_per_seq"] * 2,
        }
    )
    path, out = tmp_path / "cases.csv", tmp_path / "answers.csv"
    cases.to_csv(path, index=False)
    assert main(["estimate", str(path), "--out", str(out)]) == 0
    answers = pd.read_csv(out)
    assert answers["status"].tolist()[0] == "ok"
    low, mid, high = answers.loc[0, ["low", "predicted", "high"]]
    assert 0.3 < low <= mid <= high < 2.4  # near 1, never above what the memory allows
    assert 0.6 < mid < 2.0
    assert "nobody/knows" in answers["reason"][1]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a CSV file"), (b"\xff\xfe\x00", "UTF-8"), (b"a,b\n1,2\n", "model_id is missing")],
)
def test_files_that_hold_no_cases_are_named(tmp_path, capsys, content, words):
    path = tmp_path / "cases.csv"
    path.write_bytes(content)
    assert main(["estimate", str(path)]) == 2
    told = capsys.readouterr().err
    assert "cases.csv" in told and words in told


def test_a_missing_file_is_one_clear_line(tmp_path, capsys):
    assert main(["estimate", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_audit_counts_its_verdicts(capsys):
    assert main(["audit"]) == 0
    assert "impossible" in capsys.readouterr().out


def test_import_model_counts_and_refuses(tmp_path, capsys):
    from planner import catalogue

    config = catalogue.load().models["Qwen/Qwen2.5-72B-Instruct"].config
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    assert main(["import-model", str(path), "--total", "72706203648"]) == 0
    assert "72,706,203,648" in capsys.readouterr().out
    path.write_text(json.dumps(config | {"model_type": "never_seen"}), encoding="utf-8")
    assert main(["import-model", str(path)]) == 2
    assert "never_seen" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[1", "[1]", "\x00"])
def test_import_model_names_a_file_that_is_none(tmp_path, capsys, text):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    assert main(["import-model", str(path)]) == 2
    assert "config.json" in capsys.readouterr().err


def test_report_of_nobody_names_the_teams(tmp_path, capsys):
    assert main(["report", "nobody", "--out", str(tmp_path)]) == 1
    assert "nobody: no such team file; the teams are agent_platform" in capsys.readouterr().out


@pytest.mark.slow
def test_one_broken_team_stops_no_other(tmp_path, capsys):
    from planner import team

    good = (team.TEAMS / "guide_limited.toml").read_text(encoding="utf-8")
    folder = tmp_path / "teams"
    folder.mkdir()
    (folder / "good.toml").write_text(good, encoding="utf-8")
    (folder / "negative.toml").write_text(good.replace("users = 1", "users = -1"), encoding="utf-8")
    (folder / "unknown.toml").write_text(good + "\n[extra]\nkey = 1\n", encoding="utf-8")
    out = tmp_path / "reports"
    assert main(["report", "--all", "--teams", str(folder), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "workload.users" in printed and "greater than 0" in printed
    assert "extra" in printed and "unknown key" in printed
    assert sorted(path.name for path in (out / "good").iterdir()) == [
        "deploy", "inputs.json", "report.html", "report.ipynb", "report.pdf", "report.xlsx",
        "summary.json",
    ]  # fmt: skip
    assert not (out / "negative").exists() and not (out / "unknown").exists()
    page = (out / "good" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")
    summary = json.loads((out / "good" / "summary.json").read_text(encoding="utf-8"))
    assert summary["team"] in page and summary["chosen"]["model_id"].split("/")[1] in page
