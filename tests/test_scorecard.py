"""The tables of the notebook on accuracy."""

import pandas as pd
import pytest

from planner import scorecard
from planner.display import TABLE


def test_summary_by_hand():
    rows = pd.DataFrame(
        {
            "group": ["a", "a", "b"],
            "status": ["ok", "ok", "ok"],
            "value": [10.0, 10.0, 4.0],
            "low": [8.0, 11.0, 1.0],
            "high": [12.0, 13.0, 9.0],
            "error_pct": [10.0, -30.0, 0.0],
        }
    )
    got = scorecard.summary(rows, "group").set_index("group")
    assert got.loc["a", "median"] == pytest.approx(20)
    assert got.loc["a", "within_25"] == got.loc["a", "inside"] == 50
    assert got.loc["b", "rows"] == 1 and got.loc["b", "inside"] == 100


@pytest.mark.parametrize("by", ["", "kind", "engine"])
def test_held_back_errors_are_shown_by(by):
    content = scorecard.held_back("device", by).data[TABLE]
    assert len(content["rows"]) >= 5
    assert len(content["columns"]) == 5 + ["", "kind", "engine"].index(by)


def test_nearly_every_measurement_gets_an_answer():
    for kind in ("speed", "memory"):
        rows = scorecard.answered(kind)
        assert (rows["status"] == "ok").mean() >= 0.98
        assert (rows.loc[rows["status"] != "ok", "reason"].str.len() > 0).all()


def test_every_table_of_the_notebook_has_rows():
    for shown in (
        scorecard.families(),
        scorecard.memory(),
        scorecard.worst(),
        scorecard.excluded(),
    ):
        assert shown.data[TABLE]["rows"]
    assert "off by" in scorecard.answer().plain


def test_the_score_is_shown_with_and_without_what_is_left_out():
    frame = scorecard.with_and_without()
    assert (frame["excluded"] > 0).all()
    assert frame["excluded"].sum() <= 20  # a short list
    assert scorecard.doubtful().data[TABLE]["rows"]
