"""What the looks of charts are made of."""

import copy

import altair as alt
import pytest

from planner import language, looks, theme


def test_a_tip_with_a_format_is_a_number_and_one_without_a_word():
    shown = [tip.to_dict() for tip in looks.tips({"a": "A", "b": ("B [s]", ".3g"), "c:O": "C"})]
    assert [tip["type"] for tip in shown] == ["nominal", "quantitative", "ordinal"]
    assert ["format" in tip for tip in shown] == [False, True, False]
    assert [tip.to_dict()["format"] for tip in looks.tips({"a": "A", "b": ("B", "d")}, "g")] == [
        "g", "d",
    ]  # fmt: skip


def test_the_outline_lies_below_the_words():
    made = looks.look(looks.layered(looks.halo(looks.rows("t"), "said:N", dx=3), 10, 10))
    below, above = (layer["mark"] for layer in made["layer"])
    assert below["stroke"] == "white" and "stroke" not in above and below["dx"] == above["dx"] == 3


def test_a_look_names_its_table_and_holds_no_rows():
    made = looks.look(looks.layered([looks.rows("t").mark_bar()], 10, 10), users=1)
    assert "t" in str(made) and "datasets" not in made
    assert made["params"] == [{"name": "users", "value": 1}]


def test_a_filled_look_has_its_values_its_rows_and_the_font_of_the_language():
    x = alt.X("a:Q", title="$title", scale=alt.Scale(domain=[0, "$most"]))
    layers = [looks.rows(name).mark_bar().encode(x=x) for name in ("some", "none")]
    made = looks.look(looks.layered(layers, 10, 10))
    before = copy.deepcopy(made)
    tables = {"some": [{"a": float("nan")}], "none": []}
    with language.speaking("zh"):
        whole = looks.filled(made, tables, "Said.", title="$5 each", most=2.5)
        assert whole["config"]["font"] == theme.font() != before["config"]["font"]
    (layer,) = whole["layer"]  # the one that has rows
    assert layer["encoding"]["x"]["title"] == "$5 each"
    assert layer["encoding"]["x"]["scale"]["domain"] == [0, 2.5]
    assert whole["datasets"]["some"] == [{"a": None}] and whole["description"] == "Said."
    assert made == before, "a look that is kept was changed"
    with pytest.raises(KeyError, match="most"):
        looks.filled(made, tables, "Said.", title="t")
