"""What the looks of charts are made of."""

from planner import looks


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
