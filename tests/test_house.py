"""The rules that hold the house together."""

import ast
import importlib
import inspect
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(path.stem for path in (ROOT / "planner").glob("*.py"))
NUMBERS = {
    "memory", "overhead", "roofline", "throughput", "steps", "occupancy", "response", "concurrency",
    "workload", "heap", "scheduler", "simulation", "finance", "outlay", "cost",
}  # fmt: skip
LAYERS = [
    NUMBERS,
    {
        "tensors", "model_types", "architecture", "gguf", "quantisation", "formats", "profile",
        "language", "phrases", "reading", "records", "tables", "catalogue", "import_model",
        "traces", "demand", "team", "scenario", "terms", "run_formats", "runs", "remembered",
    },
    {
        "coefficients", "bands", "scatter", "estimate", "budget", "memory_cases", "case_files",
        "cases",
    },
    {
        "accuracy", "calibrate", "replay", "claims", "api_claims", "verdicts", "claim_facts",
        "claim_sizes", "claim_speeds", "claim_money", "contradictions", "intervals", "options",
        "judge", "serving", "load", "sizing", "pressure", "crowd", "replica", "steps_apart",
        "prices", "pricing", "money", "plan", "ranges", "survey", "standings", "decision_tree",
        "team_plans", "repricing", "cost_curves", "cashflow", "draws", "uncertainty", "switching",
        "pooling", "merged_calls", "pool_members", "pool", "portfolio", "growth_plan", "what_if",
    },
    {
        "theme", "charts", "load_charts", "comparisons", "display", "drawings", "shown", "markup",
        "table_layout", "document", "words", "sections", "assumptions", "choices", "reasons",
        "under_load", "looks", "purchase_lab", "what_if_lab", "live", "dials", "turns", "views",
        "controls", "choose_lab", "choose_charts", "choose_scatter", "choose_tables", "where",
        "memory_lab", "memory_guide", "memory_charts", "speed_lab", "speed_guide", "speed_charts",
        "load_lab", "load_tables", "cost_lab", "cost_tables", "cost_charts", "guide",
        "guide_charts", "business", "outlook", "acceptance", "deploy", "changes", "overview",
        "evidence", "scorecard", "spreadsheet", "spreadsheet_labels", "spreadsheet_inputs",
        "spreadsheet_lines", "spreadsheet_book", "spreadsheet_sheets", "spreadsheet_money",
        "report", "execution", "inputs", "placement", "run_record", "runner", "warm", "workers",
        "portfolio_charts", "portfolio_pages", "pool_pages", "growth_pages", "portfolio_report",
        "schedules", "doctor", "__init__", "__main__",
    },
]  # fmt: skip
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def imports(module):
    tree = ast.parse((ROOT / "planner" / f"{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == "planner":
                yield from (f"planner.{alias.name}" for alias in node.names)


def layer(module):
    return next(i for i, members in enumerate(LAYERS) if module in members)


def test_every_module_has_its_layer():
    assert set(MODULES) == set().union(*LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    for name in imports(module):
        if name and name.startswith("planner."):
            assert layer(name.split(".")[1]) <= layer(module), f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(NUMBERS & set(MODULES)))
def test_number_modules_know_only_numbers(module):
    allowed = {
        "__future__",
        "math",
        "numpy",
        "collections.abc",
        "functools",
        "typing",
        "statistics",
    }
    if module in ("heap", "scheduler"):  # those that are compiled
        allowed |= {"numba", "numba.core.cpu", "pathlib", "zlib"}
    outside = {name for name in imports(module) if not name.startswith("planner")} - allowed
    inside = {name.split(".")[1] for name in imports(module) if name.startswith("planner.")}
    assert not outside
    assert inside <= NUMBERS


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module):
    lines = (ROOT / "planner" / f"{module}.py").read_text(encoding="utf-8").count("\n")
    assert lines <= 400, f"planner/{module}.py has {lines} lines"


def public_functions(module):
    loaded = importlib.import_module(f"planner.{module}")
    for name, thing in vars(loaded).items():
        if (
            inspect.isfunction(thing)
            and thing.__module__ == loaded.__name__
            and not name.startswith("_")
        ):
            yield name, thing


@pytest.mark.parametrize("module", sorted(NUMBERS & set(MODULES)))
def test_number_functions_document_arguments_units_and_sources(module):
    for name, function in public_functions(module):
        text = inspect.getdoc(function) or ""
        assert "Parameters\n---" in text and "Returns\n---" in text, f"{module}.{name}"
        assert re.search(r"\[[^\]]+\]", text), f"{module}.{name} states no unit"
        head = text.split("Parameters\n")[1].split("Returns\n")[0]
        for argument in inspect.signature(function).parameters:
            assert re.search(rf"(^|[\s,*]){argument}([\s,:]|$)", head), (
                f"{module}.{name}: {argument}"
            )


def requirement(line):
    return re.match(r"([A-Za-z0-9_.-]+)\s*(.*)", line.strip()).groups()


def test_environment_follows_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    conda = re.findall(
        r"^\s*-\s+([a-z0-9][^\s:]*)\s*$", (ROOT / "environment.yml").read_text(), re.M
    )
    listed = dict(requirement(line) for line in conda if ">=" in line)
    assert listed.pop("python") == project["requires-python"]
    assert listed == dict(requirement(line) for line in wanted)


def locked(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return text, dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", text, re.M))


def test_lock_follows_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    _, versions = locked("requirements.lock")
    for line in project["dependencies"] + project["optional-dependencies"]["test"]:
        name, bound = requirement(line)
        assert name.lower() in versions, f"{name} is not in the lock; run `make lock`"
        least = tuple(int(part) for part in re.findall(r"\d+", bound))
        have = tuple(int(part) for part in re.findall(r"\d+", versions[name.lower()]))
        assert have[: len(least)] >= least, (
            f"{name} {versions[name.lower()]} in the lock, {bound} asked"
        )


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-tools.lock"])
def test_lock_is_hashed_and_holds_no_address(name):
    text, versions = locked(name)
    assert "://" not in text and "--index" not in text
    assert "rfc3987-syntax" not in versions and "lark" not in versions
    for block in re.split(r"\n(?=[a-z0-9])", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_thin_and_stripped(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown"
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        assert not cell["outputs"] and cell["execution_count"] is None, f"cell {number} has outputs"
        kinds = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda)
        assert not any(isinstance(node, kinds) for node in ast.walk(ast.parse(source)))
        if "parameters" not in cell["metadata"].get("tags", []):
            assert sum(bool(line.strip()) for line in source.splitlines()) <= 8, f"cell {number}"


def test_readme_names_only_commands_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?m)(?:^|`)make ([a-z][a-z-]*)", readme)) <= targets
    from planner.__main__ import _parser

    commands = set(_parser()._subparsers._group_actions[0].choices)
    assert set(re.findall(r"`planner ([a-z-]+)", readme)) <= commands
