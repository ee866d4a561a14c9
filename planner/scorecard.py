"""How wrong the predictions are: the tables and charts of the notebook on accuracy."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from planner import accuracy, bands, cases, catalogue, comparisons, display, replay
from planner.display import Column

DATA = Path(__file__).resolve().parent.parent / "data"
UNITS = {"decode": "token/s", "prefill": "token/s", "tpot": "ms", "ttft": "ms"}
METRICS = {
    "decode": ["decode_tok_s_per_seq"],
    "prefill": ["prefill_tok_s"],
    "tpot": ["tpot_ms", "tpot_ms_mean", "tpot_ms_p50"],
    "ttft": ["ttft_ms", "ttft_ms_mean", "ttft_ms_p50", "ttft_ms_p99"],
}
LATENCIES = ("closed form", "simulation")  # the two engines of latency
ERRORS = {
    "rows": Column("Measurements", "", ",.0f"),
    "median": Column("Median error", "%", ".1f"),
    "p90": Column("90 % are within", "%", ".0f"),
    "within_25": Column("Within 25 %", "% of rows", ".0f"),
}


@cache
def answered(kind: str = "speed") -> pd.DataFrame:
    """
    Every measurement with its prediction by the committed constants.

    Parameters
    ----------
    kind : {"speed", "memory"}
        File of ``data/measurements/``.

    Returns
    -------
    rows : DataFrame
        The measurements with predicted, low, high, error_pct and the family of the model. The
        constants have seen these rows; `held_back` shows rows that they had not.
    """
    rows = cases.answer(accuracy.measurements(kind))
    known = catalogue.load().models
    rows["family"] = [
        known[model].config.get("model_type", "") if model in known else ""
        for model in rows["model_id"]
    ]
    return rows


def summary(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """
    Errors of answered rows by one column.

    Parameters
    ----------
    rows : DataFrame
        From `answered`.
    by : str
        Column to group by.

    Returns
    -------
    errors : DataFrame
        ``by``, rows, median, p90, within_25 and inside (share of rows inside the band). [%]
    """
    good = rows[(rows["status"] == "ok") & rows["value"].ne(0)]
    size = good["error_pct"].abs()
    inside = good["value"].between(good["low"] * (1 - 1e-9), good["high"] * (1 + 1e-9))
    groups = good.assign(size=size, close=size <= 25, inside=inside).groupby(by)
    return pd.DataFrame(
        {
            "rows": groups["size"].size(),
            "median": groups["size"].median(),
            "p90": groups["size"].quantile(0.9),
            "within_25": 100 * groups["close"].mean(),
            "inside": 100 * groups["inside"].mean(),
        }
    ).reset_index()


def held_back(unseen: str = "device", by: str = "") -> display.Shown:
    """
    Errors on rows that the fit had not seen.

    Parameters
    ----------
    unseen : str
        configuration, device, model or source.
    by : {"", "kind", "engine"}
        Split the predictions by kind of device, or by kind and engine.

    Returns
    -------
    table : Shown
    """
    stored = pd.read_csv(DATA / "accuracy.csv", keep_default_na=False)
    split = {"": [], "kind": ["kind"], "engine": ["kind", "engine"]}[by]
    chosen = stored[stored["held_back"] == unseen]
    for name in ("kind", "engine"):
        chosen = chosen[(chosen[name] != "") == (name in split)]
    chosen = chosen.assign(prediction=chosen["metric"].map(bands.NAMES))
    columns = {"prediction": Column("Prediction")}
    columns |= {name: Column(name.capitalize()) for name in split} | ERRORS
    return display.table(chosen, columns, f"Errors on a {unseen} that the fit had not seen")


def _by_load(unseen):
    """Stored errors by level of load: one line per metric and level, both engines beside."""
    stored = pd.read_csv(DATA / "accuracy_by_load.csv", keep_default_na=False)
    stored = stored[stored["held_back"] == unseen]
    keys = ["metric", "load", "rows"]
    errors = ["median", "p90", "within_25", "bias"]
    wide = stored.set_index([*keys, "latency"])[errors].unstack("latency")
    wide.columns = [f"{error} {latency}" for error, latency in wide.columns]
    wide = wide.reset_index().assign(load=lambda f: f["load"].replace("", "all"))
    order = {key: place for place, key in enumerate(["ttft", "tpot", "throughput"])}
    levels = {key: place for place, key in enumerate([*replay.LEVELS, "all"])}
    place = wide["metric"].map(order) * len(levels) + wide["load"].map(levels)
    wide["prediction"] = wide["metric"].map(bands.NAMES)
    return wide.assign(place=place).sort_values("place", ignore_index=True)


def by_load(unseen: str = "device") -> display.Shown:
    """
    Errors of the closed form and of the simulation by the number of users at once.

    Parameters
    ----------
    unseen : str
        configuration, device, model or source; nothing for the committed constants.

    Returns
    -------
    table : Shown
    """
    columns = {
        "prediction": Column("Prediction"),
        "load": Column("Users at once"),
        "rows": ERRORS["rows"],
    }
    for latency in LATENCIES:
        columns |= {
            f"median {latency}": Column(f"{latency.capitalize()}: median error", "%", ".1f"),
            f"p90 {latency}": Column("90 % are within", "%", ".0f"),
            f"within_25 {latency}": Column("Within 25 %", "% of rows", ".0f"),
            f"bias {latency}": Column("Too high or low by", "%", "+.0f"),
        }
    note = "No measured row has open arrivals; all are users who ask again when they are answered."
    return display.table(
        _by_load(unseen), columns, f"Errors by load on a {unseen} that the fit had not seen", note
    )


def by_load_text() -> str:
    """
    The errors by load as a Markdown table: median / 90th percentile / share within 25 %. [%]

    Returns
    -------
    text : str
        Closed form and simulation of the latencies, on configurations and devices that the fit
        had not seen.
    """
    unseen = ("configuration", "device")
    heads = [f"{latency}, unseen {name}" for name in unseen for latency in LATENCIES]
    frames = {name: _by_load(name) for name in unseen}
    lines = [
        "| prediction | users at once | rows | " + " | ".join(heads) + " |",
        "|---|---|--:|" + "--:|" * len(heads),
    ]
    for at, row in frames["configuration"].iterrows():
        if row["prediction"] == "Throughput" or row["load"] == "all":
            continue  # nearly all of one user, and the first table's
        cells = [
            f"{frame.at[at, f'median {latency}']:.1f} / {frame.at[at, f'p90 {latency}']:.0f} / "
            f"{frame.at[at, f'within_25 {latency}']:.0f}"
            for frame in frames.values()
            for latency in LATENCIES
        ]
        start = f"| {row['prediction']} | {row['load']} | {row['rows']} | "
        lines.append(start + " | ".join(cells) + " |")
    return "\n".join(lines)


def families() -> display.Shown:
    """Errors by family of models, over all speed measurements."""
    frame = summary(answered(), "family").sort_values("rows", ascending=False)
    columns = {"family": Column("Model family")} | ERRORS
    columns |= {"inside": Column("Inside the band", "% of rows", ".0f")}
    note = "By the committed constants, which have seen these rows."
    return display.table(frame, columns, "Errors by model family", note)


def memory() -> display.Shown:
    """Errors of the memory predictions; fits-or-not as a share of right answers."""
    rows = answered("memory")
    frame = summary(rows[rows["metric"] != "oom"], "metric")
    fits = rows[(rows["metric"] == "oom") & (rows["status"] == "ok")]
    right = 100 * (fits["predicted"].round() == fits["value"]).mean()
    columns = {"metric": Column("Prediction")} | ERRORS
    note = (
        f"Fits or runs out of memory: {right:.0f} % of {len(fits)} rows right. The constants have "
        "seen these rows, most of which come from one project's H100 servers."
    )
    return display.table(frame, columns, "Memory against measurements", note)


def chart(metric: str) -> display.Shown:
    """
    Every measurement of one kind against its prediction.

    Parameters
    ----------
    metric : {"decode", "prefill", "tpot", "ttft"}
        Which.

    Returns
    -------
    figure : Shown
    """
    rows = answered()
    rows = rows[rows["metric"].isin(METRICS[metric]) & (rows["status"] == "ok")]
    devices = catalogue.load().devices
    frame = pd.DataFrame(
        {
            "measured": rows["value"],
            "predicted": rows["predicted"],
            "kind": [devices[device].kind for device in rows["device_id"]],
        }
    )
    drawn = comparisons.predicted_against_measured(
        frame, quantity=bands.NAMES[metric], unit=UNITS[metric]
    )
    return display.figure(drawn, "Dashed: 25 % off. The constants have seen these rows")


def worst(number: int = 12) -> display.Shown:
    """The rows that are predicted worst, to be argued with."""
    rows = answered()
    rows = rows[rows["status"] == "ok"]
    ratio = rows["predicted"] / rows["value"]
    rows = rows.assign(ratio=ratio, far=ratio.where(ratio > 1, 1 / ratio))
    rows = rows.sort_values("far", ascending=False).head(number)
    columns = {
        "id": Column("Row"),
        "model_id": Column("Model"),
        "device_id": Column("Device"),
        "engine": Column("Engine"),
        "metric": Column("Metric"),
        "value": Column("Measured"),
        "predicted": Column("Predicted"),
        "ratio": Column("Predicted / measured", "", ".2f"),
    }
    return display.table(rows, columns, "The worst rows")


def excluded() -> display.Shown:
    """Measurements left out of the fit, each with its reason."""
    frame = pd.read_csv(DATA / "measurements" / "exclusions.csv")
    frame = frame.groupby(["file", "reason"], sort=False)["id"].agg(", ".join).reset_index()
    columns = {"file": Column("File"), "id": Column("Rows"), "reason": Column("Why")}
    return display.table(frame, columns, "Measurements that contradict their siblings")


def with_and_without() -> pd.DataFrame:
    """
    Errors with and without the measurements that are left out of the fit.

    Returns
    -------
    errors : DataFrame
        Per metric that has such rows: excluded (rows), median and p90 without and with them. [%]
    """
    lines = []
    for kind in ("speed", "memory"):
        kept, every = answered(kind), cases.answer(accuracy.measurements(kind, doubtful=True))
        both = summary(kept, "metric").merge(
            summary(every, "metric"), on="metric", suffixes=("_without", "_with")
        )
        both["excluded"] = both["rows_with"] - both["rows_without"]
        lines.append(both[both["excluded"] > 0])
    columns = ["metric", "excluded", "median_without", "median_with", "p90_without", "p90_with"]
    return pd.concat(lines, ignore_index=True)[columns]


def doubtful() -> display.Shown:
    """The score with and without the rows that are left out."""
    columns = {
        "metric": Column("Metric"),
        "excluded": Column("Left out", "rows", ".0f"),
        "median_without": Column("Median without", "%", ".1f"),
        "median_with": Column("with", "%", ".1f"),
        "p90_without": Column("90 % without", "%", ".0f"),
        "p90_with": Column("with", "%", ".0f"),
    }
    return display.table(with_and_without(), columns, "What leaving them out does to the score")


def own_machines() -> display.Shown:
    """What a team's own runs did to the bands of its machines; how to add runs, where none are."""
    frame = bands.own()
    if frame.empty:
        return display.text(
            "No machine is calibrated yet. `planner calibrate RUNS.json --device ID` reads the "
            "output of llama-bench, vllm bench serve, GuideLLM or a table of measurements; this "
            "table then shows how far it narrowed the bands of that machine."
        )
    columns = {
        "device": Column("Device"),
        "engine": Column("Engine"),
        "metric": Column("Prediction"),
        "runs": Column("Own runs", "", ".0f"),
        "before": Column("High / low before", "", ".2f"),
        "after": Column("High / low now", "", ".2f"),
    }
    return display.table(frame, columns, "Bands of machines with runs of their own")


def answer() -> display.Shown:
    """The notebook's answer, in words made from the numbers."""
    shown = bands.published("device").set_index("prediction")
    decode, tpot = shown.loc[bands.NAMES["decode"]], shown.loc[bands.NAMES["tpot"]]
    ttft = shown.loc[bands.NAMES["ttft"]]
    rows = answered()
    share = 100 * (rows["status"] == "ok").mean()
    return display.text(
        f"On a device that was not measured, the speed of one answer is off by "
        f"**{decode['median']:.0f} %** in the median, time per token under load by "
        f"**{tpot['median']:.0f} %**, time to first token by **{ttft['median']:.0f} %**. "
        f"{share:.0f} % of {len(rows):,} measured rows get an answer. The speed of one answer is "
        f"within 25 % in {decode['within_25']:.0f} of 100 cases: buy with the band, not the middle."
    )
