"""Schedules: what each file says, and, where the real tool is on this machine, what that says."""

import ast
import configparser
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from planner import schedules
from planner.__main__ import _parser, main

ROOT = Path(__file__).resolve().parent.parent
ODD = Path("/srv/plan 100% 'of' $all")


def lines(content):
    """Without comments and blank lines."""
    return [line for line in content.split("\n") if line.strip() and not line.startswith("#")]


@pytest.fixture(params=[ROOT, ODD], ids=["here", "odd"])
def checkout(request):
    return request.param


def made(kind, checkout):
    return schedules.files(kind, checkout, checkout / ".venv")


def command(checkout, codes):
    """What the shared command does when `report` and `portfolio` end with these codes."""
    run = schedules.RUN.format(planner=checkout)
    return subprocess.run(["sh", "-e", "-c", run], env={"CODES": codes, "PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True)  # fmt: skip


@pytest.mark.parametrize(
    ("codes", "asked", "code"),
    [("0 0", 2, 0), ("1 0", 2, 1), ("0 1", 2, 1), ("1 2", 2, 2), ("2 0", 1, 2), ("130 0", 1, 130)],
)
def test_the_command_runs_both_and_gives_the_worse_code(tmp_path, codes, asked, code):
    planner = tmp_path / "planner"
    planner.write_text('#!/bin/sh\necho "$@"\nset -- $1 $CODES\n'
                       '[ $1 = report ] && exit $2\nexit $3\n')  # fmt: skip
    planner.chmod(stat.S_IRWXU)
    ended = command(planner, codes)
    assert ended.stdout.split("\n")[:-1] == ["report --all", "portfolio"][:asked]
    assert ended.returncode == code


def test_the_commands_exist():
    known = set(_parser()._subparsers._group_actions[0].choices)
    named = set(re.findall(r"\{planner\} (\w+)", schedules.RUN))
    assert named == {"report", "portfolio"}
    assert "report" in known


def test_cron_has_five_fields_and_one_line(checkout):
    (content,) = made("cron", checkout).values()
    *settings, entry = lines(content)
    assert all(re.fullmatch(r"[A-Z]+=\S+", line) for line in settings)
    fields = entry.split(" ", 5)
    assert fields[:5] == ["0", "6", "*", "*", "1"]
    assert not re.search(r"(?<!\\)%", fields[5])  # a bare one ends the command
    words = shlex.split(fields[5].replace(r"\%", "%"))
    assert words[:2] == ["cd", str(checkout)]
    assert ".venv/bin/planner" in words and "reports/cron.log" in words


def test_systemd_units_are_complete(checkout):
    found = {}
    for name, content in made("systemd", checkout).items():
        found[name] = configparser.ConfigParser(interpolation=None, comment_prefixes="#")
        found[name].optionxform = str
        found[name].read_string(content)
    service, timer, alert = (found[name] for name in schedules.FILES["systemd"])
    assert timer["Timer"]["OnCalendar"] == "Mon *-*-* 06:00:00"
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert service["Unit"]["OnFailure"] == "planner-alert.service" and alert["Service"]["ExecStart"]
    assert service["Service"]["WorkingDirectory"].replace("%%", "%") == str(checkout)
    started = service["Service"]["ExecStart"]
    assert "code=$$?" in started and not re.search(r"(?<!\$)\$(?!\$)", started.replace("$$", ""))
    assert shlex.split(started)[:2] == ["/bin/sh", "-c"]


def test_github_workflow_is_complete(checkout):
    (content,) = made("github", checkout).values()
    workflow = yaml.safe_load(content)
    assert workflow[True]["schedule"] == [{"cron": "0 6 * * 1"}]  # YAML reads the key `on` as true
    (job,) = workflow["jobs"].values()
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", use) for use in uses)
    runs = [step["run"].strip() for step in job["steps"] if "run" in step]
    assert schedules.RUN.format(planner=".venv/bin/planner") in runs
    targets = re.findall(r"make (\S+)", " ".join(runs))
    assert targets == [".venv/.ready"]
    assert str(checkout) in content


def test_airflow_dag_maps_teams_to_notebooks(checkout):
    (content,) = made("airflow", checkout).values()
    tree = ast.parse(content)
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert {"PapermillOperator.partial", "BashOperator"} <= calls
    values = {
        node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)
    }  # fmt: skip
    assert ast.literal_eval(values["CHECKOUT"].args[0]) == str(checkout)
    run = ast.literal_eval(values["RUN"])
    assert run == schedules.RUN.format(planner=".venv/bin/planner")
    # the parameter is the one that the notebook declares
    cells = yaml.safe_load((ROOT / "notebooks" / "report.ipynb").read_text(encoding="utf-8"))
    assert "team_path: str = " in str(cells) and '"team_path": str(path)' in content


def test_an_environment_elsewhere_is_named_in_full():
    (content,) = schedules.files("cron", Path("/srv/plan"), Path("/opt/conda/envs/p")).values()
    assert "/opt/conda/envs/p/bin/planner report --all" in content


def test_a_path_that_no_schedule_can_hold_is_refused():
    with pytest.raises(ValueError, match="rename it"):
        schedules.files("cron", Path("/srv/two\nlines"))


def test_the_command_prints_or_writes_and_never_overwrites(tmp_path, capsys):
    assert main(["schedule", "systemd"]) == 0
    assert "# ======== planner.timer ========" in capsys.readouterr().out
    assert main(["schedule", "systemd", "--out", str(tmp_path / "units")]) == 0
    assert {path.name for path in (tmp_path / "units").iterdir()} == {*schedules.FILES["systemd"]}
    assert main(["schedule", "systemd", "--out", str(tmp_path / "units")]) == 2
    assert "remove it or name another folder" in capsys.readouterr().err


def test_the_texts_are_part_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["planner"]
    inside = [path for pattern in patterns for path in (ROOT / "planner").glob(pattern)]
    assert set((ROOT / "planner" / "templates").rglob("*.*")) <= set(inside)
    names = {name for kind in schedules.FILES.values() for name in kind}
    assert {path.stem for path in schedules.TEMPLATES.iterdir()} == names


# ---- the real tools ----------------------------------------------------------------------------


def written(kind, checkout, folder):
    return schedules.write(made(kind, checkout), folder)


def tool(name):
    """Where a tool is, or a skip that says how to have it."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine: its files were only parsed, not checked by it")
    return found


@pytest.mark.slow
def test_systemd_accepts_the_units(checkout, tmp_path):
    verify = tool("systemd-analyze")
    paths = written("systemd", checkout, tmp_path)
    ended = subprocess.run([verify, "verify", *paths], capture_output=True, text=True)
    said = ended.stdout + ended.stderr
    assert (ended.returncode, [line for line in said.split("\n") if "planner" in line]) == (0, [])
    paths[0].write_text(paths[0].read_text().replace("Type=oneshot", "Typ=oneshot"))
    ended = subprocess.run([verify, "verify", *paths], capture_output=True, text=True)
    assert "Typ" in ended.stderr  # it would have said so


@pytest.mark.slow
def test_cron_accepts_the_table(checkout, tmp_path):
    """`crontab -n` checks without installing; not every cron knows it."""
    crontab = tool("crontab")
    (path,) = written("cron", checkout, tmp_path)
    ended = subprocess.run([crontab, "-n", path], capture_output=True, text=True)
    if "invalid option" in ended.stderr or "usage" in ended.stderr.lower():
        pytest.skip("this crontab cannot check without installing: the table was only parsed")
    assert ended.returncode == 0, ended.stderr
    path.write_text(path.read_text().replace("0 6 * * 1 ", "99 6 * * 1 "))
    assert subprocess.run([crontab, "-n", path], capture_output=True).returncode != 0


@pytest.mark.slow
def test_github_schema_accepts_the_workflow(checkout, tmp_path):
    check = tool("check-jsonschema")
    (path,) = written("github", checkout, tmp_path)
    schema = ["--builtin-schema", "vendor.github-workflows"]
    ended = subprocess.run([check, *schema, path], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.slow
def test_airflow_parses_the_dag(tmp_path):
    pytest.importorskip(
        "airflow", reason="Airflow is not in this environment: its DAG was only parsed as Python"
    )
    from airflow.dag_processing.dagbag import DagBag

    written("airflow", ROOT, tmp_path)
    bag = DagBag(str(tmp_path))
    assert bag.import_errors == {} and list(bag.dags) == ["planner_reports"]
