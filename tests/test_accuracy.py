"""How far the predictions are off: a baseline that changes of the law must not lose."""

import numpy as np
import pandas as pd
import pytest

from planner import accuracy, bands, cases
from planner.coefficients import load

# Median absolute error of the stored constants on all measurements, and the most it may become.
MARKS = {"decode": 0.08, "decode_batch": 0.13, "prefill": 0.17, "throughput": 0.12,
         "tpot": 0.10, "ttft": 0.18}  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return accuracy.errors()


@pytest.mark.parametrize("metric", MARKS)
def test_median_errors_hold(result, metric):
    found = result.loc[result["metric"] == metric, "error"]
    assert found.notna().all()
    assert found.median() < MARKS[metric]


def test_cpu_decode_holds(result):
    chosen = (result["metric"] == "decode") & (result["kind"] == "cpu")
    assert result.loc[chosen, "error"].median() < 0.15


def test_published_errors_beat_the_marks():
    shown = bands.published("device").set_index("prediction")["median"]
    assert shown["Decode of one sequence"] < 10
    assert shown["Throughput"] < 18
    assert shown["Prefill"] < 23
    assert shown["TPOT"] < 13
    assert shown["TTFT"] < 25
    assert set(bands.published("model")["prediction"]) == set(bands.NAMES.values())
    assert "device" in bands.text()


def test_bands_hold_nine_of_ten_measurements():
    answers = cases.answer(accuracy.measurements())
    inside = answers["value"].between(answers["low"], answers["high"])
    assert inside.mean() > 0.88


def test_bands_hold_on_rows_that_were_kept_out_and_are_not_wider_than_that():
    for held_back in ("configuration", "device", "model"):
        shown = bands.published(held_back).set_index("prediction")["covered"]
        assert shown.drop("Decode of a fixed batch").between(75, 98).all()
    answers = cases.answer(accuracy.measurements())
    decode = answers[answers["metric"] == "decode_tok_s_per_seq"]
    assert np.sqrt(decode["high"] / decode["low"]).median() < 1.5


def test_memory_predictions_hold():
    answers = cases.answer(accuracy.measurements("memory"))
    error = answers["error_pct"].abs().groupby(answers["metric"]).median()
    for metric in ("weights_gib_per_device", "kv_cache_gib_per_device", "kv_cache_mib"):
        assert error[metric] < 0.5
    oom = answers[answers["metric"] == "oom"]
    assert (oom["predicted"] == oom["value"]).mean() > 0.9


def test_a_fresh_step_leaves_the_constants_where_they_are():
    before = load()
    after = accuracy.fit(steps=2)
    moved = np.abs(np.log(after.values / before.values)) / before.table["prior_sd"]
    assert moved.max() < 0.25


def test_a_fit_follows_measurements():
    rows = accuracy.measurements().query("device_id == 'h100-sxm' and metric == 'tpot_ms'")
    rows = rows.iloc[:40]
    slower = accuracy.fit(rows.assign(value=3 * rows["value"]), steps=3)
    faster = accuracy.fit(rows, steps=3)
    name = ("bandwidth_efficiency", "hbm")
    where = (slower.table["name"] == name[0]) & (slower.table["scope"] == name[1])
    assert slower.values[where] < faster.values[where]


def test_folds_keep_groups_together():
    rows = accuracy.measurements()
    for held_back, column in accuracy.GROUPS.items():
        fold = pd.Series(accuracy.folds(rows, held_back))
        assert (fold.groupby(rows[column]).nunique() == 1).all()
        assert fold.nunique() == accuracy.FOLDS


def test_exclusions_name_rows_and_reasons():
    stored = pd.read_csv(accuracy.DATA / "measurements" / "exclusions.csv")
    assert stored.notna().all(axis=None)
    for name, group in stored.groupby("file"):
        rows = pd.read_csv(accuracy.DATA / "measurements" / name, dtype=str)
        assert set(group["id"]) <= set(rows["id"])


def test_table_counts_by_hand():
    errors = pd.DataFrame({"metric": ["a", "a", "b"], "error": [0.1, 0.3, 0.5]})
    shown = accuracy.table(errors).set_index("metric")
    assert shown.loc["a", "median"] == 20
    assert shown.loc["a", "within_25"] == 50
    assert shown.loc["b", "rows"] == 1


def test_readme_shows_the_table_that_the_command_prints():
    readme = (accuracy.DATA.parent / "README.md").read_text(encoding="utf-8")
    assert bands.text() in readme


@pytest.mark.slow
def test_a_fresh_fit_reproduces_what_is_committed(tmp_path):
    (tmp_path / "constants").mkdir()
    accuracy.publish(tmp_path)
    for name, column in (("constants/speed.csv", "value"), ("bands.csv", "high")):
        fresh, kept = (pd.read_csv(folder / name) for folder in (tmp_path, accuracy.DATA))
        assert np.allclose(fresh[column], kept[column], rtol=0.02), name
    for name in ("accuracy.csv", "accuracy_by_load.csv"):
        fresh, kept = (pd.read_csv(folder / name) for folder in (tmp_path, accuracy.DATA))
        assert np.allclose(fresh["median"], kept["median"], atol=0.5), name
