"""Cases as people type them: every row gets an answer or a reason, and nothing stops the others."""

import numpy as np
import pandas as pd

from planner import bands, case_files, cases, catalogue, memory_cases


def test_faulty_numbers_are_named_and_blanked():
    table = pd.DataFrame({"tp": ["2", "abc", "", "-1", "inf"], "metric": ["tpot_ms"] * 5})
    checked, faults = case_files.checked(table)
    assert checked["tp"].tolist() == ["2", "", "", "", ""]
    assert faults[0] == faults[2] == ""
    assert "tp = 'abc' is not a number" in faults[1] and "correct it" in faults[4]


def test_a_row_with_a_fault_is_not_answered():
    row = {"model_id": "Qwen/Qwen3-32B", "device_id": "h100-sxm", "metric": "tpot_ms"}
    row |= {"input_tokens": "100", "output_tokens": "100", "concurrency": "4"}
    answers = cases.answer(pd.DataFrame([row, row | {"tp": "two"}]))
    assert answers["status"].tolist() == ["ok", "unanswered"]
    assert "tp = 'two'" in answers["reason"][1] and np.isnan(answers["predicted"][1])


def test_any_mixture_of_words_and_numbers_is_answered_or_explained():
    records, draw, rows = catalogue.load(), np.random.default_rng(5), 1500

    def some(*choices):
        return draw.choice(np.array(choices, dtype=object), rows)

    def number():
        return some("", "", "", "0", "1", "1", "2", "4", "8", "64", "1024", "8192", "0.5", "x")

    table = {
        "model_id": some(*records.models, "x/y", ""),
        "device_id": some(*records.devices, "zzz", ""),
        "engine": some("vllm", "sglang", "tensorrt-llm", "llama.cpp", "other", ""),
        "engine_version": some("", "0.19.0", "0.6.3", "nightly"),
        "weight_format": some(*records.formats, "weird", ""),
        "kv_dtype": some("", "fp8", "zzz"),
        "metric": some(*bands.FAMILIES, "ttft_ms_p99", *memory_cases.METRICS, "", "e2e_ms"),
        "request_rate": some("", "inf", "1", "abc"),
        "gpu_mem_util": some("", "0.9", "1.5"),
        "value": number(),
    }
    table |= {name: number() for name in case_files.NUMBERS if name not in table}
    answers = cases.answer(pd.DataFrame(table))
    good = answers["status"] == "ok"
    assert 0.1 < good.mean() < 1
    assert (answers.loc[~good, "reason"].str.len() > 0).all()
    low, predicted, high = (answers.loc[good, name] for name in ("low", "predicted", "high"))
    assert (low >= 0).all() and np.isfinite(high).all()
    assert (low <= predicted * 1.0001).all() and (predicted <= high * 1.0001).all()
