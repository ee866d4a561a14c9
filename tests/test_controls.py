"""Dials: what the parameters cell says, what they bind, and what follows them."""

import asyncio
import itertools
import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner import controls, dials, display, live, ranges, turns

CELL = """# The machine
server: str = "hgx_h100_x8_2026"  # machine, one of servers
model: str = "Qwen/Qwen2.5-Coder-32B-Instruct"  # model, one of models
weight_format: str = "bf16"  # format of the weights, one of formats
split: int = 1  # accelerators of one replica, one of splits
# What is asked
users: int = 60  # people at once [user], 1 to 5000, log
share: float = 0.25  # share of the prompt in the cache [1], 0 to 0.9, by 0.05
context_tokens: int = 8000  # context of each [token], 500 to model_context, log
simulate: bool = False  # let the simulation decide
task: str = "chat"  # what for, one of code | chat
"""
LOOK = {"mark": "point", "data": {"name": "rows"}, "params": [{"name": "share", "value": 0.1}]}
NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("[0-9]*.ipynb"))


def here(**changes):
    values = {}
    exec(CELL, values)
    return controls.here("30_speed", {**values, **changes, "In": ["", CELL, "users = 5"]})


@pytest.fixture
def page(monkeypatch):
    """Somebody looks on."""
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    return here()


def points(users, share):
    rows = pd.DataFrame({"users": [users], "missing": [float("nan")]})
    return display.drawing(LOOK, {"rows": rows}, f"{users} users", "one point", {"share": share})


def test_a_parameters_cell_says_all_that_a_dial_needs():
    found = {parameter.name: parameter for parameter in controls.read(CELL)}
    users, share = found["users"], found["share"]
    assert (users.label, users.unit, users.group) == ("people at once", "user", "What is asked")
    assert (users.kind, users.default, users.limits({}), users.log) == ("int", 60, (1, 5000), True)
    assert (share.step, share.log, share.limits({})) == (0.05, False, (0, 0.9))
    assert found["task"].options({}) == [("code", "code"), ("chat", "chat")]
    assert found["server"].group == "The machine" and found["simulate"].kind == "bool"


@pytest.mark.parametrize("line", ["users = 60", "users: list = [1]", "print(1)"])
def test_a_line_that_is_no_parameter_is_refused_with_what_to_write(line):
    with pytest.raises(controls.ControlError, match=r"line 1 .* write `name: int = 60"):
        controls.read(line)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"users": 0}, "parameter users: 0 lies outside 1 to 5000 user"),
        ({"task": "dance"}, "parameter task: 'dance' is none of code, chat"),
        ({"weight_format": "q4_k_m"}, "parameter weight_format: 'q4_k_m' is none of bf16"),
        ({"server": "abacus"}, "parameter server: 'abacus' is none of"),
    ],
)
def test_a_value_that_the_dial_does_not_offer_is_refused(changes, words):
    with pytest.raises(controls.ControlError, match=words):
        here(**changes)


def test_without_a_parameters_cell_the_reader_is_told():
    with pytest.raises(controls.ControlError, match="first cell"):
        controls.here("30_speed", {"In": ["", "1 + 1"]})


@given(
    st.floats(0.01, 10), st.floats(20, 1e6), st.lists(st.floats(10, 20), max_size=2), st.booleans()
)
def test_steps_of_a_logarithmic_dial_are_ordered_and_never_far_apart(least, most, also, whole):
    steps = dials.series(least, most, also, whole)
    assert steps == sorted(set(steps)) and all(least <= step <= most for step in steps)
    if not whole:
        assert steps[0] == least and steps[-1] == most
        assert all(b / a <= 1.34 for a, b in itertools.pairwise(steps))
    assert set(also) <= set(steps) or whole


def test_what_nobody_looks_at_is_shown_as_it_stands():
    asked = here()
    shown = asked.live(points)
    assert isinstance(shown, display.Drawing) and shown.rows == {
        "rows": [{"users": 60, "missing": None}]
    }
    assert "<svg" in shown.data["image/svg+xml"]
    assert "people at once" in str(asked._repr_mimebundle_())


def test_several_things_of_one_cell_come_one_after_the_other(capsys):
    last = here().live(lambda users: [display.text(f"{users} users"), points(users, 0.1)])
    assert isinstance(last, display.Drawing) and "60 users" in capsys.readouterr().out


def test_a_slider_patches_the_rows_and_leaves_the_look(page):
    view = page.live(points)
    chart = view.parts[0].chart
    spec = chart.spec
    page.panel.widgets["users"].value = 100
    assert chart.spec is spec and chart.data["rows"][0]["users"] == 100
    assert "100 users" in view.parts[0].words.value


def test_another_look_draws_the_chart_anew(page):
    def other(task):
        return display.drawing({**LOOK, "mark": task}, {"rows": pd.DataFrame({"a": [1]})}, "", task)

    chart = page.live(other).parts[0].chart
    page.panel.widgets["task"].value = "code"
    assert chart.spec["mark"] == "code"


def test_only_what_names_a_dial_follows_it(page):
    calls = []
    page.live(lambda share: calls.append(share) or display.text("x"))
    page.panel.widgets["users"].value = 100
    assert calls == [0.25]
    page.panel.widgets["share"].value = 0.5
    assert calls == [0.25, 0.5]


def test_a_signal_moves_without_python(page):
    calls = []

    def counted(users, share):
        calls.append(share)
        return points(users, share)

    chart = page.live(counted, signals=("share",)).parts[0].chart
    page.panel.widgets["share"].value = 0.5
    assert calls == [0.25]
    slider = page.panel.widgets["share"]
    assert chart.links == {"share": f"IPY_MODEL_{slider.model_id}"}


def test_only_dials_move_a_chart_inside_the_browser(page):
    with pytest.raises(controls.ControlError, match="no dial"):
        page.compute(lambda users: users).live(display.text, signals=("users",))


def test_what_is_computed_is_followed_in_turn(page):
    double = page.compute(lambda users: 2 * users)
    view = double.live(lambda number: display.text(f"**{number}**"))
    page.panel.widgets["users"].value = 100
    assert double.value == 200 and "<strong>200</strong>" in view.parts[0].words.value


def test_a_machine_without_accelerators_offers_its_own_formats_and_no_split(page):
    page.panel.widgets["split"].value = 8
    page.panel.widgets["server"].value = "e5_2680v4_used_mem"
    assert page.value["split"] == 1 and page.panel.widgets["split"].options == (("1", 1),)
    assert "q4_k_m" in dict(map(reversed, page.panel.widgets["weight_format"].options))
    page.panel.widgets["weight_format"].value = "q4_k_m"
    page.panel.widgets["server"].value = "hgx_h100_x8_2026"
    assert page.value["weight_format"] == "bf16"


def test_a_model_with_a_shorter_context_holds_the_dial_back(page):
    page.panel.widgets["model"].value = "Qwen/Qwen3-Coder-30B-A3B-Instruct"
    page.panel.widgets["context_tokens"].value = 200_000
    page.panel.widgets["model"].value = "bigcode/starcoder2-15b"
    assert page.value["context_tokens"] == 16384


def test_trouble_is_said_in_place_and_forgotten_when_it_is_over(page):
    def picky(users):
        if users > 90:
            raise ValueError("users: <too many>; take fewer")
        return display.text(f"{users} are fine")

    view = page.live(picky)
    page.panel.widgets["users"].value = 100
    assert "&lt;too many&gt;" in view.box.children[0].value
    page.panel.widgets["users"].value = 80
    assert "80 are fine" in view.box.children[0].value


def test_reset_and_the_command_line(page):
    page.panel.widgets["users"].value = 100
    page.panel.widgets["task"].value = "code"
    words = shlex.split(page.command())
    assert words[:3] == ["papermill", "notebooks/30_speed.ipynb", "reports/30_speed.ipynb"]
    assert words[3:] == ["-p", "users", "100", "-p", "task", "code"]
    page.panel.reset()
    assert page.value["users"] == 60 and shlex.split(page.command())[3:] == []


def test_saving_says_where_it_went_or_why_not(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    asked = here()
    saved = []

    def save(values, name, again):
        if not name:
            raise ValueError("give it a name")
        saved.append((values["users"], name, again))
        return Path("data/teams") / f"{name}.toml"

    asked.save = save
    panel = dials.Panel(asked)
    panel._save("", False)
    assert "give it a name" in panel.said.value and not saved
    panel._save("night_shift", True)
    assert saved == [(60, "night_shift", True)]
    assert "data/teams/night_shift.toml" in panel.said.value


def test_an_unknown_list_names_those_there_are():
    with pytest.raises(KeyError, match="servers"):
        ranges.choices("abacuses", {})


def test_the_library_is_offline_and_kept(tmp_path, monkeypatch):
    script = live.bundle()
    assert "plannerVega" in script and live.bundle() is script
    assert "<script src" not in script


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_states_its_parameters_with_range_or_list(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    source = next(
        "".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])
    )
    values = {}
    exec(source, values)
    for parameter in controls.read(source):
        assert (parameter.label and parameter.label != parameter.name) or parameter.choices
        parameter.check(values[parameter.name], values)
        assert parameter.kind == "bool" or parameter.choices or parameter.least, parameter.name


def test_while_a_dial_moves_only_the_first_chart_follows(page, monkeypatch):
    """Inside an event loop what comes after the first chart waits until the dial rests."""
    monkeypatch.setattr(turns, "AT_ONCE", 0.0)
    monkeypatch.setattr(turns, "REST", 0.05)
    order = []

    def showing(name, what):
        def show(users):
            order.append((name, users))
            return what(users)

        return show

    page.live(showing("before", str))
    for name in ("chart", "after", "last"):
        page.live(showing(name, lambda users: points(users, 0.1)))
    order.clear()
    dial = page.panel.widgets["users"]

    async def drag():
        dial.value = 80
        dial.value = 100
        seen = list(order)
        await asyncio.sleep(0.3)
        return seen

    seen = asyncio.run(drag())
    assert seen == [("before", 80), ("chart", 80), ("before", 100), ("chart", 100)]
    assert order[4:] == [("after", 100), ("last", 100)]
    assert "planner-busy" not in page.panel.box._dom_classes
