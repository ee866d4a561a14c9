"""Predictions against measurements: fits the constants, measures errors, derives bands.

Only this module reads ``data/measurements``; predictions never do. The constants are fitted to
the logarithm of the error, drawn to priors from theory, so that few rows move a constant little.
Errors are quoted on rows kept out of the fit: of other configurations, other devices or models.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from planner import bands as stored_bands
from planner import cases as questions
from planner.coefficients import PATH, load

DATA = Path(__file__).resolve().parent.parent / "data"
NOISE = 0.15  # log error beyond which a row pulls linearly
SMALLEST_GROUP = 60  # rows that a band of one engine needs; half for one kind of device
FOLDS = 5
QUANTILES = (0.02, 0.98)
FEW = 1.25  # wider where a group is small: its rows come from one or two machines
GROUPS = {"configuration": "config_id", "device": "device_id", "model": "model_id"}


@lru_cache(maxsize=2)
def measurements(kind="speed", directory=DATA / "measurements"):
    """
    Measured rows that can be compared with a prediction.

    Parameters
    ----------
    kind : str
        ``speed`` or ``memory``.
    directory : path
        Folder of the files.

    Returns
    -------
    rows : DataFrame
        Columns of the file as text, ``value`` as number, without those of ``exclusions.csv``.
    """
    rows = pd.read_csv(Path(directory) / f"{kind}.csv", dtype=str, keep_default_na=False)
    excluded = pd.read_csv(Path(directory) / "exclusions.csv", dtype=str, keep_default_na=False)
    rows = rows[~rows["id"].isin(excluded["id"])].reset_index(drop=True)
    return rows.assign(value=pd.to_numeric(rows["value"]))


def predict(parts, size):
    """
    Predictions of every answerable question.

    Parameters
    ----------
    parts : list of Part
        From ``cases.speed_parts``.
    size : int
        Rows of the table they came from. [row]

    Returns
    -------
    predicted : ndarray
        In the unit of each metric; NaN where there is no answer.
    """
    predicted = np.full(size, np.nan)
    for part in parts:
        predicted[part.rows] = questions.predict_part(part)
    return predicted


def _residuals(log_error, weight):
    """Square roots of the Huber loss, so that a linear least-squares solver minimises it."""
    scaled = log_error / NOISE
    size = np.abs(scaled)
    loss = np.where(size <= 1.0, scaled**2, 2.0 * size - 1.0)
    return np.sign(scaled) * np.sqrt(weight * loss)


def fit(rows=None, constants=None, steps=40):
    """
    Fit the constants to measurements.

    Parameters
    ----------
    rows : DataFrame, optional
        Measurements; by default all of speed.
    constants : Constants, optional
        Priors, and the start of the search.
    steps : int
        Evaluations of the derivative at most. [1]

    Returns
    -------
    constants : Constants
        With new ``value``, ``low`` and ``high`` (one standard error) and ``rows``: how many rows
        each constant enters.
    """
    rows = measurements() if rows is None else rows.reset_index(drop=True)
    constants = load() if constants is None else constants
    parts, _ = questions.speed_parts(rows, constants)
    measured = np.log(rows["value"].to_numpy(dtype=float))
    weight = 1.0 / np.sqrt(rows.groupby("source")["source"].transform("size").to_numpy())
    table = constants.table
    prior, spread = np.log(table["prior"].to_numpy()), table["prior_sd"].to_numpy()

    def residuals(moves):
        trial = constants.with_values(np.exp(prior + spread * moves))
        predicted = predict(questions.rebind(parts, trial), len(rows))
        known = np.isfinite(predicted)
        error = np.where(known, np.log(np.where(known, predicted, 1.0)) - measured, 0.0)
        return np.concatenate([_residuals(error, weight * known), moves])

    start = (np.log(constants.values) - prior) / spread
    found = least_squares(residuals, start, diff_step=1e-4, max_nfev=steps, xtol=1e-5, ftol=1e-6)
    values = np.exp(prior + spread * found.x)
    error = spread * np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    entered = (np.abs(found.jac[: len(rows)]) > 1e-6).sum(axis=0)
    return type(constants)(
        table.assign(
            value=_digits(values), low=_digits(values * np.exp(-error)),
            high=_digits(values * np.exp(error)), rows=entered.astype(int),
        )
    )  # fmt: skip


def _digits(values, digits=4):
    return np.array([float(f"{value:.{digits}g}") for value in values])


def write(constants, path=PATH):
    """
    Store fitted constants.

    Parameters
    ----------
    constants : Constants
        From ``fit``.
    path : path
        Where.
    """
    constants.table.to_csv(path, index=False)
    load.cache_clear()


def folds(rows, held_back):
    """
    Fold of every row, so that rows of one configuration, device or model stay together.

    Parameters
    ----------
    rows : DataFrame
        Measurements.
    held_back : str
        ``configuration``, ``device`` or ``model``.

    Returns
    -------
    fold : ndarray of int
        Groups dealt out in the order of their size.
    """
    sizes = rows[GROUPS[held_back]].value_counts().sort_index().sort_values(
        ascending=False, kind="stable")  # fmt: skip
    load_of = np.zeros(FOLDS)
    assigned = {}
    for name, size in sizes.items():
        assigned[name] = int(load_of.argmin())
        load_of[assigned[name]] += size
    return rows[GROUPS[held_back]].map(assigned).to_numpy()


def errors(held_back=None, rows=None, constants=None, steps=12):
    """
    Prediction of every row by constants that did not see it.

    Parameters
    ----------
    held_back : str, optional
        ``configuration``, ``device`` or ``model``; None predicts with ``constants`` as they are.
    rows : DataFrame, optional
        Measurements.
    constants : Constants, optional
        Start of each fit.
    steps : int
        Evaluations of the derivative per fit at most. [1]

    Returns
    -------
    result : DataFrame
        ``id, metric, kind, device_class, engine, device_id, model_id, value, predicted, ratio``
        (measured over predicted), ``error`` (absolute, relative to the measured value).
    """
    rows = measurements() if rows is None else rows.reset_index(drop=True)
    constants = load() if constants is None else constants
    predicted = np.full(len(rows), np.nan)
    fold = np.zeros(len(rows), dtype=int) if held_back is None else folds(rows, held_back)
    for number in np.unique(fold):
        test = fold == number
        fitted = constants if held_back is None else fit(rows[~test], constants, steps)
        parts, _ = questions.speed_parts(rows[test], fitted)
        predicted[test] = predict(parts, int(test.sum()))
    parts, _ = questions.speed_parts(rows, constants)
    kind, regime = np.full(len(rows), "", dtype=object), np.full(len(rows), "", dtype=object)
    for part in parts:
        kind[part.rows] = part.group.labels["device_class"]
        regime[part.rows] = part.regime
    result = rows[["id", "engine", "device_id", "model_id", "value"]].copy()
    result["metric"] = [family(m, r) for m, r in zip(rows["metric"], regime, strict=True)]
    result["kind"] = pd.Series(kind).replace({"hbm": "gpu", "gddr": "gpu"})
    result["device_class"], result["predicted"] = kind, predicted
    result["ratio"] = result["value"] / predicted
    result["error"] = (predicted / result["value"] - 1.0).abs()
    return result


def family(metric, regime):
    """
    Quantity under which errors of a metric are counted.

    Parameters
    ----------
    metric : str
        Metric of a measurement.
    regime : str
        Regime of the question.

    Returns
    -------
    family : str
        ``decode``, ``decode_batch``, ``prefill``, ``throughput``, ``tpot`` or ``ttft``.

    Examples
    --------
    >>> family("ttft_ms_p99", "closed"), family("output_tok_s_total", "static")
    ('ttft', 'decode_batch')
    """
    if regime in ("single", "static", "prefill"):
        return {"single": "decode", "static": "decode_batch", "prefill": "prefill"}[regime]
    base = questions.split_metric(metric)[0].removesuffix("_ms")
    return base if base in ("ttft", "tpot") else "throughput"


def table(result, by=("metric",)):
    """
    Errors in one line per group.

    Parameters
    ----------
    result : DataFrame
        From ``errors``.
    by : sequence of str
        Columns.

    Returns
    -------
    summary : DataFrame
        ``rows, median, p90`` [%] and ``within_25`` (share of rows within 25 %) [%].
    """
    grouped = result.dropna(subset=["error"]).groupby(list(by))["error"]
    return pd.DataFrame({
        "rows": grouped.size(),
        "median": 100 * grouped.median(),
        "p90": 100 * grouped.quantile(0.9),
        "within_25": 100 * grouped.apply(lambda e: (e <= 0.25).mean()),
    }).round(1).reset_index()  # fmt: skip


def bands(known, unknown):
    """
    Factors between prediction and measurement that hold for 90 % of rows, by group.

    Parameters
    ----------
    known : DataFrame
        Held-back errors of other configurations and models, from ``errors``.
    unknown : DataFrame
        Held-back errors of other devices.

    Returns
    -------
    table : DataFrame
        Columns of ``data/bands.csv``. Quantiles lie further out than 5 and 95 %, since rows of a
        source are alike: made without a fifth of the devices, bands held 90 % of its rows.
    """
    lines = []
    for label, result in (("yes", known), ("no", unknown)):
        result = pd.concat([result, _borrowed(result)]).dropna(subset=["ratio"])
        groups = [(m, k, e) for m, k, e in
                  result.groupby(["metric", "kind", "engine"]).size().index]  # fmt: skip
        groups += [(m, k, "") for m, k in result.groupby(["metric", "kind"]).size().index]
        groups += [(m, "", "") for m in result["metric"].unique()]
        for metric, kind, engine in groups:
            chosen = result[result["metric"] == metric]
            chosen = chosen[chosen["kind"] == kind] if kind else chosen
            chosen = chosen[chosen["engine"] == engine] if engine else chosen
            rows = chosen["id"].nunique()
            if rows < (SMALLEST_GROUP if engine else SMALLEST_GROUP // 2 if kind else 1):
                continue
            few = FEW if rows < SMALLEST_GROUP else 1.0
            low, high = np.quantile(chosen["ratio"], QUANTILES) * (1 / few, few)
            how = f"held back by {'configuration and model' if label == 'yes' else 'device'}"
            if (chosen["borrowed"] == "yes").all():
                how += "; from static batches, no server measured"
            lines.append((metric, kind, engine, label, min(low, 0.95), max(high, 1.05),
                          rows, how))  # fmt: skip
    columns = ["metric", "kind", "engine", "known_device", "low", "high", "rows", "how"]
    table = pd.DataFrame(lines, columns=columns).round({"low": 3, "high": 3})
    keys = ["metric", "kind", "engine"]
    # A device that was not measured is never surer than one that was.
    sure = table[table["known_device"] == "yes"].set_index(keys)
    for row in table.index[table["known_device"] == "no"]:
        key = tuple(table.loc[row, keys])
        if key in sure.index:
            table.loc[row, "low"] = min(table.loc[row, "low"], sure.loc[key, "low"])
            table.loc[row, "high"] = max(table.loc[row, "high"], sure.loc[key, "high"])
    return table.sort_values([*keys, "known_device"]).reset_index(drop=True)


def _borrowed(result):
    """Served latencies of kinds without a measured server, from their static batches."""
    result["borrowed"] = "no"
    local = result[result["kind"].isin(["cpu", "apu"])]
    lines = []
    for target, sources, inverse in (
        ("tpot", ("decode", "decode_batch"), True), ("ttft", ("prefill",), True),
        ("throughput", ("decode", "decode_batch"), False),
    ):  # fmt: skip
        rows = local[local["metric"].isin(sources)].assign(metric=target, borrowed="yes")
        lines.append(rows.assign(ratio=1 / rows["ratio"] if inverse else rows["ratio"]))
    return pd.concat(lines)


def publish(directory=DATA):
    """
    Fit, measure and store: constants, bands, measured devices and the table of errors.

    Parameters
    ----------
    directory : path
        Data directory.
    """
    directory = Path(directory)
    constants = fit()
    write(constants, directory / "constants" / "speed.csv")
    held = {name: errors(name, constants=constants) for name in GROUPS}
    known = pd.concat([held["configuration"], held["model"]])
    bands(known, held["device"]).to_csv(directory / "bands.csv", index=False)
    counts = measurements()["device_id"].value_counts().sort_index()
    counts.rename_axis("device_id").rename("rows").to_csv(
        directory / "constants" / "measured_devices.csv"
    )
    by = ["metric", "kind", "engine"]
    lines = [table(r, c).assign(held_back=h) for h, r in held.items() for c in (by, by[:2], by[:1])]
    pd.concat(lines)[["held_back", *by, "rows", "median", "p90", "within_25"]].fillna("").to_csv(
        directory / "accuracy.csv", index=False
    )
    stored_bands._bands.cache_clear()
