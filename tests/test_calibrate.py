"""A team's own runs: read, fitted, stored, and used by nothing but their own machine."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from planner import bands, calibrate, cases, catalogue, coefficients, runs, scatter
from planner.__main__ import main

RUNS = Path(__file__).parent / "runs"
SERVED = runs.Setting("a100-pcie-40", weight_format="bf16", engine="vllm")
LOCAL = runs.Setting("rtx-4090", "Qwen/Qwen3-8B", "q4_k_m")


def shown(rows, *columns):
    return rows[list(columns)].values.tolist()


def test_vllm_serve_by_hand():
    rows = runs.read([RUNS / "vllm_serve.json"], SERVED)
    assert shown(rows, "metric", "value") == [
        ["output_tok_s_total", 950.35], ["ttft_ms", 182.4], ["tpot_ms", 16.02],
    ]  # fmt: skip
    first = rows.iloc[0]
    assert (first["input_tokens"], first["output_tokens"], first["concurrency"]) == (
        "1024", "256", "16",
    )  # fmt: skip
    assert (first["model_id"], first["tp"], first["n_devices"]) == ("Qwen/Qwen3-8B", "1", "1")
    assert (rows["config_id"] == "vllm_serve.json#1").all()


@pytest.mark.parametrize(
    ("change", "load", "metrics"),
    [
        ({"max_concurrency": None}, ("160", ""), 3),  # all sent at once
        ({"max_concurrency": None, "num_prompts": 900, "completed": 900}, ("", "inf"), 1),
        ({"max_concurrency": None, "request_rate": 3.8}, ("", "3.8"), 2),  # the rate limits
        ({"request_rate": 8.0}, ("16", ""), 3),  # fell behind the rate: the limit held
        ({"max_concurrency": None, "request_rate": 8.0}, ("", "inf"), 1),  # a growing queue
    ],
)
def test_vllm_loads(tmp_path, change, load, metrics):
    content = json.loads((RUNS / "vllm_serve.json").read_text()) | change
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    rows = runs.read([path], SERVED)
    assert len(rows) == metrics
    assert tuple(rows.loc[0, ["concurrency", "request_rate"]]) == load


def test_guidellm_by_hand():
    rows = runs.read([RUNS / "guidellm.json"], SERVED)
    assert shown(rows, "config_id", "concurrency", "request_rate", "metric", "value") == [
        ["guidellm.json#1", "8", "", "output_tok_s_total", 504.3],
        ["guidellm.json#1", "8", "", "ttft_ms", 141.0],
        ["guidellm.json#1", "8", "", "tpot_ms", 15.1],  # between tokens, not over all of them
        ["guidellm.json#2", "", "2", "ttft_ms_p50", 117.0],  # no mean: the median
        ["guidellm.json#2", "", "2", "tpot_ms", 15.0],
        ["guidellm.json#3", "", "inf", "output_tok_s_total", 2816.0],
    ]


def test_llama_bench_by_hand():
    rows = runs.read([RUNS / "llama_bench.json"], runs.Setting("epyc-7773x", "Qwen/Qwen3-8B"))
    columns = ("metric", "value", "input_tokens", "output_tokens", "depth", "threads")
    assert shown(rows, *columns) == [
        ["prefill_tok_s", 200.0, "512", "0", "0", "64"],
        ["decode_tok_s_per_seq", 20.0, "0", "128", "4096", "64"],  # -pg is left out
    ]
    assert set(rows["weight_format"]) == {"q4_k_m"} and set(rows["engine"]) == {"llama.cpp"}


def test_batched_bench_by_hand():
    columns = ("metric", "value", "input_tokens", "concurrency", "depth")
    lines = runs.read([RUNS / "batched_bench.jsonl"], LOCAL)
    assert shown(lines, *columns)[1:] == [
        ["decode_tok_s_per_seq", pytest.approx(114.2857, abs=1e-3), "512", "1", "512"],
        ["prefill_tok_s", 6400.0, "512", "8", "0"],
        ["output_tok_s_total", 500.0, "512", "8", "512"],
    ]
    table = runs.read([RUNS / "batched_bench.md"], LOCAL)
    assert shown(table, *columns) == [
        ["prefill_tok_s", 6023.53, "512", "1", "0"],  # one shared prompt
        ["output_tok_s_total", 320.0, "512", "4", "512"],
    ]
    assert set(table["threads"]) == {"8"}


def test_sweep_of_ik_llama_has_its_depth(tmp_path):
    path = tmp_path / "sweep.md"
    path.write_text("|PP|TG|N_KV|T_PP s|S_PP t/s|T_TG s|S_TG t/s|\n|-|-|-|-|-|-|-|\n"
                    "|512|128|1024|1.3|392.3|2.07|61.8|\n")  # fmt: skip
    rows = runs.read([path], LOCAL)
    assert shown(rows, "engine", "depth", "value") == [
        ["ik_llama.cpp", "1024", 392.3], ["ik_llama.cpp", "1024", 61.8],
    ]  # fmt: skip


def test_own_table_by_hand():
    rows = runs.read([RUNS / "own.csv"])
    assert list(rows.groupby("config_id", sort=False).size()) == [2, 1]
    assert set(rows["device_id"]) == {"l40s"} and rows["value"].tolist() == [25.1, 190.0, 49.8]


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("vllm_serve.json", {"engine": ""}, ["engine", "add --engine"]),
        ("vllm_serve.json", {"device": "a100-pcie-4"}, ["device_id", "a100-pcie-40"]),
        ("vllm_serve.json", {"device": ""}, ["vllm_serve.json, run 1", "add --device"]),
        ("vllm_serve.json", {"weight_format": "fp9"}, ["weight_format", "fp8"]),
        ("vllm_serve.json", {"model": "Qwen/Qwen3-32B"}, ["the file says Qwen/Qwen3-8B"]),
        ("llama_bench.json", {"model": "Qwen3-9B"}, ["model_id", "Qwen/Qwen3-8B"]),
        ("llama_bench.json", {"model": "Qwen/Qwen3-8B", "weight_format": ""},
         ["0 of 36 layers", "-ngl 99"]),
    ],
)  # fmt: skip
def test_what_is_not_stated_is_asked_for(name, setting, words):
    given = {"device": "a100-pcie-40", "engine": "vllm", "weight_format": "bf16"} | setting
    if name == "llama_bench.json":
        given |= {"engine": "llama.cpp", "weight_format": ""}
    with pytest.raises(runs.RunError) as caught:
        runs.read([RUNS / name], runs.Setting(**given))
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"total_input_tokens": None}, "field total_input_tokens: is None"),
        ({"output_throughput": -1}, "field output_throughput: is -1, expected more than zero"),
        ({"output_throughput": float("nan")}, "field output_throughput"),
        ({"completed": 100}, "60 requests failed beside 100"),
    ],
)
def test_a_broken_result_names_its_field(tmp_path, change, words):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads((RUNS / "vllm_serve.json").read_text()) | change))
    with pytest.raises(runs.RunError, match=words):
        runs.read([path], SERVED)


def test_a_run_on_a_gpu_is_none_of_a_cpu(tmp_path):
    first = json.loads((RUNS / "llama_bench.json").read_text())[0]
    path = tmp_path / "bench.json"
    path.write_text(json.dumps([first | {"backends": "CUDA", "n_gpu_layers": 99}]))
    with pytest.raises(runs.RunError, match="is a CPU"):
        runs.read([path], runs.Setting("epyc-7773x", "Qwen/Qwen3-8B"))
    assert len(runs.read([path], LOCAL)) == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[1, 2]", "hello", '{"a": 1}', "a,b\n1,2\n", '{"benchmarks": [null]}',
     '{"benchmarks": [{"metrics": 5, "config": null}]}', "\ufffe", "|S_TG t/s|\n|1|\n"],
)  # fmt: skip
def test_a_file_of_no_known_format_is_refused(tmp_path, text):
    path = tmp_path / "odd.txt"
    path.write_bytes(text.encode("utf-16" if text == "\ufffe" else "utf-8"))
    with pytest.raises(runs.RunError, match=r"odd\.txt"):
        runs.read([path], SERVED)


MODELS = (("Qwen/Qwen3-8B", "bf16"), ("Qwen/Qwen3-14B", "fp8"), ("Qwen/Qwen3-8B", "awq-int4"))


def machine(device, loads, slower=1.25, noise=0.03, seed=0, models=MODELS):
    """Runs of a machine whose memory and cores are slower than the catalogue's average."""
    rows = pd.DataFrame([
        {"config_id": f"{m} {f} {u} {p}", "model_id": m, "device_id": device, "engine": "vllm",
         "weight_format": f, "n_devices": "1", "tp": "1", "input_tokens": str(p),
         "output_tokens": "256", "concurrency": str(u), "metric": metric, "value": 1.0, "notes": ""}
        for m, f in models for u, p in loads
        for metric in ("tpot_ms", "ttft_ms", "output_tok_s_total")
    ])  # fmt: skip
    problem = calibrate._Problem(rows, f"device:{device}/vllm")
    logs = -np.log([slower, slower, 1.0, 1.0])
    error = np.random.default_rng(seed).normal(0, noise, len(rows))
    return rows.assign(value=problem.predict(logs) * np.exp(error))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A place for a calibration that is forgotten afterwards."""
    path = tmp_path / "calibration.csv"
    monkeypatch.setenv("PLANNER_CALIBRATION", str(path))
    calibrate.forget()
    yield path
    monkeypatch.undo()
    calibrate.forget()


@pytest.fixture(scope="module")
def slow():
    """Six noisy runs of a machine 20 % slower than the catalogue says, and what they gave."""
    rows = machine("a100-pcie-40", [(4, 1024), (16, 2048)])
    return rows, calibrate.calibrate(rows)[0]


def answers(rows):
    return cases.answer(rows.drop(columns="value"))["predicted"].to_numpy()


def test_a_slower_machine_is_recovered(slow):
    rows, found = slow
    assert rows["config_id"].nunique() == 6 and not found.refused
    factors = found.factors.set_index("name")["value"]
    assert factors["bandwidth_efficiency"] == pytest.approx(0.8, abs=0.1)
    assert factors["compute_efficiency"] == pytest.approx(0.8, abs=0.08)
    errors = found.errors[["before", "after", "left_out"]].div(found.errors["value"], axis=0) - 1
    median = errors.abs().median()
    assert median["before"] > 0.15 and median["after"] < 0.05 and median["left_out"] < 0.06
    assert set(found.factors["scope"]) == {"device:a100-pcie-40/vllm"}


def test_its_band_narrows_and_holds(slow, store):
    _, found = slow
    catalogues = {f: bands.band(f, "gpu", "vllm", "a100-pcie-40") for f in ("tpot", "ttft")}
    calibrate.write([found])
    new = machine("a100-pcie-40", [(1, 512), (8, 4096), (32, 1024)], seed=1,
                  models=(*MODELS, ("meta-llama/Llama-3.1-8B-Instruct", "bf16")))  # fmt: skip
    after = cases.answer(new)
    assert after["value"].between(after["low"], after["high"]).mean() >= 0.9
    assert after["error_pct"].abs().median() < 6
    for family, (low, high) in catalogues.items():
        own = bands.band(family, "gpu", "vllm", "a100-pcie-40")
        assert low < own[0] < 1 < own[1] < high
        assert np.log(own[1] / own[0]) < 0.8 * np.log(high / low)


def test_few_runs_narrow_little():
    ends = (0.7, 1.4)
    widths = [np.log(np.divide(*scatter.blend(ends, 0.06, n)[::-1])) for n in (0, 1, 4, 16)]
    assert widths == sorted(widths, reverse=True)
    assert widths[1] > 0.88 * widths[0] and widths[3] < 0.6 * widths[0]
    assert scatter.evidence(50) < 1 / scatter.SHARED
    low, high = scatter.blend(ends, 0.5, 4)  # runs that disagree widen it
    assert low < 0.7 and high > 1.4


def test_every_run_is_left_out_once():
    rows = machine("a100-pcie-40", [(4, 1024)], noise=0.0, models=MODELS[:2])
    found = calibrate.calibrate(rows)[0].errors
    first = rows["config_id"].iloc[0]
    other = calibrate.calibrate(rows[rows["config_id"] != first])[0]
    factors = other.factors.drop_duplicates("remark").set_index("name")["value"]
    assert len(set(found["run"])) == 2
    mine = found[found["run"] == first]
    # Between the catalogue's answer and the fit that saw the run, on the way to the measurement.
    gap = (mine["left_out"] - mine["before"]) / (mine["after"] - mine["before"])
    assert gap.between(0.3, 1.05).all()
    assert factors["bandwidth_efficiency"] < 1
    alone = calibrate.calibrate(rows[rows["config_id"] == first])[0].errors
    assert alone["left_out"].to_numpy() == pytest.approx(alone["before"].to_numpy())


def test_no_calibration_changes_nothing(store):
    table = coefficients.load().table
    assert table.equals(coefficients.load(coefficients.PATH).table)
    assert catalogue.load().digest == catalogue._digest(catalogue.DATA)


def test_others_stay_as_they_are(slow, store):
    _, found = slow
    loads = [(1, 512), (16, 2048)]
    others = pd.concat([machine(d, loads, noise=0.0) for d in ("a100-pcie-80", "h100-sxm", "l40s")])
    same = machine("a100-pcie-40", loads).assign(engine="sglang")
    others = pd.concat([others, same], ignore_index=True)
    before, own, digest = cases.answer(others), answers(slow[0]), catalogue.load().digest
    calibrate.write([found])
    pd.testing.assert_frame_equal(cases.answer(others), before)
    assert (np.abs(answers(slow[0]) / own - 1) > 0.05).any()
    assert catalogue.load().digest != digest
    assert bands.own_runs("a100-pcie-40", "vllm") == 6
    assert bands.own_runs("a100-pcie-40", "sglang") == bands.own_runs("l40s", "vllm") == 0
    calibrate.write([found])  # a second time replaces, and does not add
    assert len(bands.read_calibration(store)) == len(found.factors) + len(found.bands)
    store.unlink()
    calibrate.forget()
    assert catalogue.load().digest == digest
    assert answers(slow[0]) == pytest.approx(own)


def test_another_device_is_added_to_the_file(slow, store):
    calibrate.write([slow[1]])
    calibrate.write(calibrate.calibrate(machine("l40s", [(4, 1024)], models=MODELS[:1])))
    scopes = set(bands.read_calibration(store)["scope"])
    assert scopes == {"device:a100-pcie-40/vllm", "device:l40s/vllm"}
    assert [path.name for path in store.parent.iterdir()] == ["calibration.csv"]


def test_a_run_beyond_physics_is_refused_by_name():
    rows = machine("a100-pcie-40", [(4, 1024)], noise=0.0)
    impossible = rows["config_id"].iloc[0]
    fast = rows["config_id"].eq(impossible) & rows["metric"].eq("tpot_ms")
    found = calibrate.calibrate(rows.assign(value=rows["value"].mask(fast, 1.0)))[0]
    assert len(found.refused) == 1 and found.refused[0].startswith(impossible)
    assert "better than the device allows" in found.refused[0]
    assert impossible not in set(found.errors["run"])
    with pytest.raises(ValueError, match="no run is left"):
        calibrate.calibrate(rows.assign(value=0.01)[rows["metric"] == "tpot_ms"])


def test_contradictions_are_named():
    rows = machine("a100-pcie-40", [(4, 1024)], noise=0.0)
    again = rows.iloc[:3].assign(config_id="again", value=rows["value"].iloc[:3] * 1.6)
    found = calibrate.calibrate(pd.concat([rows, again], ignore_index=True))[0]
    assert any("again" in note and "contradict" in note for note in found.remarks)


def test_a_broken_file_says_so(store):
    store.write_text("name,scope\n")
    with pytest.raises(ValueError, match="planner calibrate"):
        coefficients.load()
    store.write_text(",".join(bands.COLUMNS) + "\nx,vllm,1,1,1,1,1,1,1,\n")
    with pytest.raises(ValueError, match="scope is not"):
        coefficients.load()


def test_the_command(tmp_path, capsys, monkeypatch):
    out = tmp_path / "mine.csv"
    files = [str(RUNS / "own.csv")]
    assert main(["calibrate", *files, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "l40s with vllm" in printed and "band before" in printed and str(out) in printed
    assert set(bands.read_calibration(out)["name"]) >= {"bandwidth_efficiency", "band:tpot"}
    assert main(["calibrate", str(RUNS / "vllm_serve.json")]) == 2
    assert "add --" in capsys.readouterr().err
