"""Questions in the columns of a measurements file -> answers with band, status and reason."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from planner import bands, case_files, estimate, memory_cases, throughput
from planner.estimate import Replicas

STATIC = ("llama.cpp", "ik_llama.cpp", "autoawq", "transformers", "mlc", "exllamav2", "ollama")
TIMES = ("ttft_ms", "tpot_ms")
RATES = ("decode_tok_s_per_seq", "prefill_tok_s", "output_tok_s_total", "total_tok_s", "req_s")
P50_BUNCHING, P99_BUNCHING = 0.5, 4.0
MOST_SEQUENCES = 2048.0  # what engines run at once under unlimited load


@dataclass(frozen=True)
class Part:
    """
    Speed questions of one regime.

    Parameters
    ----------
    regime : str
        ``single``, ``static``, ``prefill``, ``closed``, ``burst`` or ``saturated``.
    rows : ndarray of int
        Positions in the table of cases.
    group : Replicas
        One per question.
    work : DataFrame
        ``prompt``, ``output``, ``depth`` [token], ``users`` [request], ``limit`` [sequence],
        ``metric``, ``statistic``.
    """

    regime: str
    rows: np.ndarray
    group: Replicas
    work: pd.DataFrame


def split_metric(metric):
    """
    Metric without its statistic, and the statistic, ``mean`` where none is given.

    Examples
    --------
    >>> split_metric("ttft_ms_p99"), split_metric("tpot_ms")
    (('ttft_ms', 'p99'), ('tpot_ms', 'mean'))
    """
    for statistic in ("mean", "p50", "p90", "p95", "p99"):
        if metric.endswith("_" + statistic):
            return metric.removesuffix("_" + statistic), statistic
    return metric, "mean"


def _number(cases, name):
    if name not in cases:
        return np.full(len(cases), np.nan)
    return pd.to_numeric(cases[name], errors="coerce").to_numpy(dtype=float)


def _text(cases, name):
    if name not in cases:
        return pd.Series([""] * len(cases), dtype=object)
    return cases[name].fillna("").astype(str).reset_index(drop=True)


def deployments(cases):
    """
    The deployment of each case, with blanks filled by what engines do.

    Parameters
    ----------
    cases : DataFrame
        Columns of a measurements file.

    Returns
    -------
    table : DataFrame
        Columns that ``estimate.replicas`` reads.
    """
    table = pd.DataFrame({name: _text(cases, name) for name in
                          ("model_id", "device_id", "engine", "weight_format")})  # fmt: skip
    kv = _text(cases, "kv_dtype").str.lower().str.split(" ").str[0].str.split("/").str[0]
    kv = kv.replace({"fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "iq4_nl": "q4_0"})
    # What public recipes do for narrow weights when a source does not say: TensorRT-LLM's
    # checkpoints carry an FP8 cache; vLLM is started with one on devices later than the H100.
    later = table["device_id"].str.startswith(("h200", "b200", "b300", "gb"))
    narrow = table["weight_format"].isin(["fp8", "nvfp4"])
    usual = (table["engine"] == "tensorrt-llm") | ((table["engine"] == "vllm") & later)
    table["kv_dtype"] = kv.mask((kv == "") & narrow & usual, "fp8")
    table["engine_version"] = _text(cases, "engine_version")
    for name in ("tp", "n_devices", "sockets", "threads", "pp"):
        table[name] = _number(cases, name)
    return table


def speed_parts(cases, constants=None):
    """
    Sort speed questions into regimes, each with its replicas.

    Parameters
    ----------
    cases : DataFrame
        Columns of a measurements file; other metrics are left out.
    constants : Constants, optional
        Measured constants.

    Returns
    -------
    parts : list of Part
        The questions that can be described.
    reasons : ndarray of str
        One per case; empty where it can be answered.
    """
    cases = cases.reset_index(drop=True)
    group = estimate.replicas(deployments(cases), constants)
    work = pd.DataFrame(map(split_metric, _text(cases, "metric")), columns=["metric", "statistic"])
    output, prompt = _number(cases, "output_tokens"), _number(cases, "input_tokens")
    depth = _number(cases, "depth")
    blank = np.where(_text(cases, "metric") == "prefill_tok_s", 0.0, np.nan_to_num(prompt))
    work["depth"] = np.maximum(np.where(np.isnan(depth), blank, depth), 0.0)
    work["output"], work["prompt"] = np.nan_to_num(output), np.nan_to_num(prompt)
    users, rate = _number(cases, "concurrency"), _text(cases, "request_rate").str.lower()
    work["users"] = users
    work["limit"] = _sequences_limit(group, work, cases)
    work["arrivals"] = pd.to_numeric(rate.mask(rate == "inf"), errors="coerce")
    metric, static = work["metric"], _text(cases, "engine").isin(STATIC)
    alone = metric == "decode_tok_s_per_seq"
    regime = np.select(
        [
            metric == "prefill_tok_s",
            alone & (np.nan_to_num(users, nan=1.0) == 1),
            static & metric.isin(["output_tok_s_total", "decode_tok_s_per_seq"]),
            _text(cases, "notes").str.contains("sent at once"),
            np.isnan(users) & ((rate == "inf") | (rate == "")),
        ],
        ["prefill", "single", "static", "burst", "saturated"],
        "closed",
    )
    known = metric.isin(TIMES + RATES).to_numpy()
    reasons = np.where(known, group.reason, "no metric of this name: " + metric).astype(object)
    loaded = np.isin(regime, ["closed", "burst", "saturated"])
    for wrong, text in (
        (users < 1, "concurrency must be 1 or more; correct it"),
        ((loaded | (regime == "prefill")) & ~(work["prompt"].to_numpy() > 0),
         "input_tokens is missing; give the prompt length"),
        (loaded & ~(work["output"].to_numpy() > 0),
         "output_tokens is missing; give the answer length"),
        ((regime == "saturated") & metric.isin(TIMES).to_numpy(),
         "latency at unlimited load has no value; give concurrency or request_rate"),
        (loaded & (work["limit"].to_numpy() < 1),
         "does not fit: not one request's cache beside the weights"),
    ):  # fmt: skip
        reasons = np.where((reasons == "") & wrong, text, reasons)
    parts = []
    for name in np.unique(regime):
        rows = np.flatnonzero((regime == name) & (reasons == ""))
        if rows.size:
            selected = work.iloc[rows].reset_index(drop=True)
            parts.append(Part(str(name), rows, group.take(rows), selected))
    return parts, reasons


def _sequences_limit(group, work, cases):
    """Sequences whose cache fits beside the weights."""
    model, part = group.profile, group.hardware
    full = np.where(group.labels["engine"] == "tensorrt-llm", 1.0, 0.5)
    context = work["prompt"].to_numpy() + full * work["output"].to_numpy()
    each = context * model.kv_bytes + np.minimum(context, model.window) * model.sliding_bytes
    # The budget needs engine settings that speed questions seldom give; this is its usual size:
    # TensorRT-LLM takes a share of what the weights leave, the others a share of the device.
    stages, usable = part["stages"], part["usable_memory"]
    held = model.weight_bytes_rank / stages + 2 * 2**30
    pool = np.where(full == 1.0, 0.92 * (usable - held), 0.92 * usable - held)
    limit = pool * stages / np.maximum(each + model.state_bytes, 1.0)
    return np.where(np.isnan(limit), np.inf, limit)


def rebind(parts, constants):
    """
    The same questions under other constants.

    Parameters
    ----------
    parts : list of Part
        From ``speed_parts``.
    constants : Constants
        Measured constants.

    Returns
    -------
    parts : list of Part
        With coefficients resolved again.
    """
    return [
        replace(p, group=replace(p.group, coefficient=constants.resolve(p.group.index)))
        for p in parts
    ]


def loop(group, work, burst=False):
    """
    Closed loop of each question.

    Parameters
    ----------
    group : Replicas
        N replicas.
    work : DataFrame
        As in ``Part``.
    burst : bool
        All requests arrive at once, so no prompt interrupts a decode.

    Returns
    -------
    result : dict of ndarray
        As from ``throughput.closed_loop``. [s], [token/s]
    """
    c = group.coefficient
    prompt, output = work["prompt"].to_numpy(), work["output"].to_numpy()
    statistic = work["statistic"].map({"p50": P50_BUNCHING, "p99": P99_BUNCHING}).fillna(1.0)
    bunching, sharing = c["bunching"] * statistic.to_numpy(), c["prefill_sharing"]
    prefill, launch = estimate.prefill_parts(group, prompt)
    if burst:
        bunching = np.where(work["statistic"] == "p99", 1.0, 0.5)
    context = prompt + 0.5 * output
    users = np.where(np.isnan(work["users"]), 1.0, work["users"])
    arrivals = work["arrivals"].to_numpy()
    for _ in range(30 if (arrivals > 0).any() else 1):
        result = throughput.closed_loop(
            users, output, lambda n: estimate.decode_step_time(group, n, context),
            prefill, launch, sequences_limit=work["limit"].to_numpy(),
            prefill_sharing=sharing, request_time=c["request_time"],
            steps_waited=c["steps_waited"], bunching=bunching,
        )  # fmt: skip
        users = np.where(arrivals > 0, np.maximum(arrivals * result["cycle"], 1.0), users)
    if burst:
        step = estimate.decode_step_time(group, result["running"], context)
        result["tpot"] = step
        longest = output * c["length_margin"]
        result["cycle"] = prefill * sharing * result["running"] + launch + longest * step
        result["output_rate"] = result["running"] * output / result["cycle"]
        result["request_rate"] = result["running"] / result["cycle"]
    return result


def predict_part(part):
    """
    Predictions of one regime.

    Parameters
    ----------
    part : Part
        Questions.

    Returns
    -------
    predicted : ndarray
        In the metric's unit.
    """
    group, work = part.group, part.work
    prompt, output = work["prompt"].to_numpy(), work["output"].to_numpy()
    users = np.where(np.isnan(work["users"]), 1.0, work["users"])
    if part.regime in ("single", "static"):
        each = 1.0 / estimate.decode_step_time(group, users, work["depth"] + 0.5 * output)
        return np.where(work["metric"] == "output_tok_s_total", users * each, each)
    if part.regime == "prefill":
        work_time, launch = estimate.prefill_parts(group, prompt, work["depth"])
        return prompt * users / (work_time * users + launch)
    if part.regime == "saturated":
        rate = _saturated(group, work, prompt, output)
        return np.select(
            [work["metric"] == "req_s", work["metric"] == "total_tok_s"],
            [rate, rate * (prompt + output)],
            rate * output,
        )
    result = loop(group, work, burst=part.regime == "burst")
    return np.select(
        [work["metric"] == name for name in (*TIMES, "req_s", "total_tok_s",
                                             "decode_tok_s_per_seq")],
        [
            1e3 * result["ttft"], 1e3 * result["tpot"], result["request_rate"],
            result["request_rate"] * (prompt + output), 1.0 / result["tpot"],
        ],
        result["output_rate"],
    )  # fmt: skip


def _saturated(group, work, prompt, output):
    c, stages = group.coefficient, group.hardware["stages"]
    # TensorRT-LLM's recipes for full load run attention data-parallel beside routed experts.
    apart = (group.labels["engine"] == "tensorrt-llm") & (group.profile.moe_layers > 0)
    reduces = np.where(apart, 1.0, group.hardware["all_reduces"])
    group = replace(group, hardware={**group.hardware, "all_reduces": reduces})
    batch = np.clip(work["limit"].to_numpy() * c["capacity_margin"], 1.0, MOST_SEQUENCES)
    per_stage = np.maximum(batch / stages, 1.0)
    step = estimate.decode_step_time(group, per_stage, prompt + 0.5 * output)
    single = replace(group, hardware={**group.hardware, "stages": np.ones(len(group))})
    prefill, launch = estimate.prefill_parts(single, prompt)
    prefill = prefill / stages  # other prompts fill the pipeline
    return throughput.saturated_rate(batch, output, step, prefill, launch / stages)


def answer(cases):
    """
    Answer every question of a table; a row without an answer says why.

    Parameters
    ----------
    cases : DataFrame
        Columns of a measurements file, as text or numbers; only ``metric`` and the columns that
        the metric needs have to be there.

    Returns
    -------
    answers : DataFrame
        The same rows with ``predicted, low, high`` (in the metric's unit; 90 % band that never
        passes the physical floor), ``status`` (ok or unanswered), ``reason`` and, where the rows
        have a ``value``, ``error_pct`` [%].
    """
    table, faults = case_files.checked(cases.reset_index(drop=True))
    predicted, low, high = (np.full(len(table), np.nan) for _ in range(3))
    parts, reasons = speed_parts(table)
    for part in parts:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # told below, by row
            predicted[part.rows], low[part.rows], high[part.rows] = _with_band(part)
        queueing = part.work["users"].to_numpy() > 0.85 * part.work["limit"].to_numpy()
        waits = (part.regime == "closed") & queueing & (part.work["metric"] == "ttft_ms")
        rows = part.rows[waits]
        low[rows], high[rows] = low[rows] / 3, high[rows] * 3
        reasons[rows] = "users queue for the KV cache: the latency is that of the queue"
    metrics, texts = _text(table, "metric"), table.astype(object).where(table.notna(), "")
    for row in np.flatnonzero(metrics.isin(memory_cases.METRICS)):
        try:
            values = memory_cases.predict({k: str(v) for k, v in texts.iloc[row].items()})
            # What does not fit leaves nothing, not less than nothing.
            predicted[row], low[row], high[row] = np.maximum(values, 0.0)
            reasons[row] = ""
        except (ValueError, KeyError, TypeError) as error:
            reasons[row] = str(error)
    reasons = np.where(faults != "", faults, reasons)
    broken = ~np.isfinite(predicted) | (faults != "")
    unknown = broken & (reasons == "")
    reasons[unknown] = (
        "no finite answer: a number of this row is out of all proportion, or the device lacks a "
        "figure in data/devices.csv"
    )
    answers = cases.assign(
        predicted=np.where(broken, np.nan, predicted), low=np.where(broken, np.nan, low),
        high=np.where(broken, np.nan, high), status=np.where(broken, "unanswered", "ok"),
        reason=reasons,
    )  # fmt: skip
    if "value" in cases:
        value = pd.to_numeric(cases["value"], errors="coerce").to_numpy(dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            answers["error_pct"] = np.where(value != 0, 100 * (predicted / value - 1), np.nan)
    return answers


def _with_band(part):
    """Prediction and the ends of its band, kept on the possible side of the physical floor."""
    predicted = predict_part(part)
    best = predict_part(replace(part, group=part.group.ideal()))
    labels = part.group.labels
    families = {"single": "decode", "static": "decode_batch", "prefill": "prefill"}
    metric = part.work["metric"].map(lambda m: families.get(part.regime, m))
    keys = zip(metric, labels["kind"], labels["engine"], labels["device_id"], strict=True)
    factors = np.array([bands.band(*key) for key in keys]).reshape(-1, 2)
    low, high = predicted * factors[:, 0], predicted * factors[:, 1]
    times = part.work["metric"].isin(TIMES).to_numpy()
    low = np.where(times, np.maximum(low, np.minimum(best, predicted)), low)
    high = np.where(times, high, np.minimum(high, np.maximum(best, predicted)))
    return predicted, low, high
