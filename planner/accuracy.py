"""Predictions against measurements: fits the constants, measures errors, derives bands.

This module alone reads ``data/measurements``; predictions never do. The constants are fitted to
the logarithm of the error, drawn to priors from theory, so that few rows move a constant little.
Errors are quoted on rows kept out of the fit: of other configurations, other devices or models.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from planner import bands as stored_bands
from planner import cases as questions
from planner import intervals, replay
from planner.coefficients import PATH, load

DATA = Path(__file__).resolve().parent.parent / "data"
NOISE = 0.15  # log error beyond which a row pulls linearly
FOLDS = 5
STEP = 1e-4  # of a prior deviation, for derivatives
GROUPS = {"configuration": "config_id", "device": "device_id", "model": "model_id",
          "source": "origin"}  # fmt: skip


@lru_cache(maxsize=2)
def measurements(kind="speed", directory=DATA / "measurements", doubtful=False):
    """
    Measured rows that can be compared with a prediction.

    Parameters
    ----------
    kind : str
        ``speed`` or ``memory``.
    directory : path
        Folder of the files.
    doubtful : bool
        Keep the rows of ``exclusions.csv`` too.

    Returns
    -------
    rows : DataFrame
        Columns of the file as text, ``value`` as number; ``origin`` is the publication, the
        source up to its first ``@`` or space.
    """
    rows = pd.read_csv(Path(directory) / f"{kind}.csv", dtype=str, keep_default_na=False)
    excluded = pd.read_csv(Path(directory) / "exclusions.csv", dtype=str, keep_default_na=False)
    rows = rows[doubtful | ~rows["id"].isin(excluded["id"])].reset_index(drop=True)
    origin = rows["source"].str.split("[@ ]", regex=True).str[0]
    return rows.assign(value=pd.to_numeric(rows["value"]), origin=origin)


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


def _repeat(part, times):
    """The questions of a part several times over, one after the other."""
    rows = np.tile(np.arange(len(part.rows)), times)
    return replace(part, group=part.group.take(rows), work=part.work.iloc[rows])


def _predict_many(parts, values, size):
    """Predictions under one vector of constants, or under a matrix of them at once."""
    shape = (*np.shape(values)[:-1], size)
    rows, neutral = np.atleast_2d(values), np.array([1.0, 0.0, np.inf])
    padded = np.hstack([rows, np.tile(neutral, (len(rows), 1))])
    predicted = np.full((len(rows), size), np.nan)
    for part in parts:
        count = len(part.rows)
        coefficient = {
            name: padded[:, index[:count]].prod(axis=-1).ravel()
            for name, index in part.group.index.items()
        }
        answers = questions.predict_part(
            replace(part, group=replace(part.group, coefficient=coefficient))
        )
        predicted[:, part.rows] = answers.reshape(len(rows), count)
    return predicted.reshape(shape)


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
    constants = load(PATH) if constants is None else constants
    parts, _ = questions.speed_parts(rows, constants)
    measured = np.log(rows["value"].to_numpy(dtype=float))
    weight = 1.0 / np.sqrt(rows.groupby("source")["source"].transform("size").to_numpy())
    table = constants.table
    prior, spread = np.log(table["prior"].to_numpy()), table["prior_sd"].to_numpy()

    def residuals(moves, parts=parts):
        predicted = _predict_many(parts, np.exp(prior + spread * moves), len(rows))
        known = np.isfinite(predicted)
        error = np.where(known, np.log(np.where(known, predicted, 1.0)) - measured, 0.0)
        return np.concatenate([_residuals(error, weight * known), moves], axis=-1)

    copies = [_repeat(part, len(table)) for part in parts]

    def slopes(moves):
        moved = moves + STEP * np.eye(len(moves))
        return ((residuals(moved, copies) - residuals(moves)) / STEP).T

    start = (np.log(constants.values) - prior) / spread
    found = least_squares(residuals, start, slopes, max_nfev=steps, xtol=1e-5, ftol=1e-6)
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
        ``configuration``, ``device``, ``model`` or ``source``.

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


def errors(held_back=None, rows=None, constants=None, steps=12, simulate=False):
    """
    Prediction of every row by constants that did not see it.

    Parameters
    ----------
    held_back : str, optional
        ``configuration``, ``device``, ``model`` or ``source``; None predicts with ``constants``
        as they are.
    rows : DataFrame, optional
        Measurements.
    constants : Constants, optional
        Start of each fit.
    steps : int
        Evaluations of the derivative per fit at most. [1]
    simulate : bool
        Ask the event simulation too.

    Returns
    -------
    result : DataFrame
        ``id, metric, kind, device_class, engine, device_id, model_id, value, predicted, ratio``
        (measured over predicted), ``fold``, ``error`` (absolute, relative to the measured value)
        and, from the simulation, ``simulated`` (NaN where a row names no load) and ``load`` (its
        level, from ``replay.level``).
    """
    rows = measurements() if rows is None else rows.reset_index(drop=True)
    constants = load(PATH) if constants is None else constants
    predicted, simulated = np.full((2, len(rows)), np.nan)
    fold = np.zeros(len(rows), dtype=int) if held_back is None else folds(rows, held_back)
    for number in np.unique(fold):
        test = fold == number
        fitted = constants if held_back is None else fit(rows[~test], constants, steps)
        parts, _ = questions.speed_parts(rows[test], fitted)
        predicted[test] = predict(parts, int(test.sum()))
        if simulate:
            simulated[test] = replay.predict(parts, rows[test])
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
    result["fold"] = fold
    result["error"] = (predicted / result["value"] - 1.0).abs()
    users = pd.to_numeric(rows["concurrency"], errors="coerce")
    result["load"] = np.where(np.isfinite(simulated), replay.level(users), "")
    result["simulated"] = simulated
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
        ``rows, median, p90`` [%], ``within_25`` (share of rows within 25 %) [%] and, where the
        errors carry ``inside``, ``covered`` (share of rows inside the band) [%].
    """
    groups = result.dropna(subset=["error"]).groupby(list(by))
    grouped = groups["error"]
    covered = {"covered": 100 * groups["inside"].mean()} if "inside" in result else {}
    return pd.DataFrame({
        "rows": grouped.size(),
        "median": 100 * grouped.median(),
        "p90": 100 * grouped.quantile(0.9),
        "within_25": 100 * grouped.apply(lambda e: (e <= 0.25).mean()),
        **covered,
    }).round(1).reset_index()  # fmt: skip


def by_load(held):
    """
    Errors of both engines of latency by level of load.

    Parameters
    ----------
    held : dict of str to DataFrame
        Results of ``errors`` by what the fit had not seen.

    Returns
    -------
    summary : DataFrame
        ``held_back, metric, load`` (empty for all levels together), ``latency`` (closed form or
        simulation), ``rows, median, p90, within_25`` and ``bias`` (median of predicted over
        measured, less 1) [%].
    """
    lines = []
    for name, result in held.items():
        loaded = result[result["load"] != ""]
        for latency, column in (("closed form", "predicted"), ("simulation", "simulated")):
            signed = 100 * (loaded[column] / loaded["value"] - 1.0)
            sized = loaded.assign(error=signed.abs() / 100, bias=signed)
            for by in (["metric", "load"], ["metric"]):
                bias = sized.groupby(by)["bias"].median().round(1).reset_index()
                line = table(sized, by).merge(bias, on=by)
                lines.append(line.assign(held_back=name, latency=latency))
    columns = ["held_back", "metric", "load", "latency", "rows", "median", "p90", "within_25",
               "bias"]  # fmt: skip
    summary = pd.concat(lines)[columns].fillna({"load": ""})
    order = {load: place for place, load in enumerate([*replay.LEVELS, ""])}
    return summary.sort_values(
        ["held_back", "metric", "load", "latency"], kind="stable",
        key=lambda c: c.map(order) if c.name == "load" else c,
    ).reset_index(drop=True)  # fmt: skip


def publish(directory=DATA):
    """
    Fit, measure and store: constants, bands, measured devices and the table of errors.

    Parameters
    ----------
    directory : path
        Data directory.
    """
    directory = Path(directory)
    start = load(PATH)
    constants = fit(constants=start.with_values(start.table["prior"]))  # the same at every call
    write(constants, directory / "constants" / "speed.csv")
    held = {name: errors(name, constants=constants, simulate=True) for name in GROUPS}
    loads = by_load({"nothing": errors(constants=constants, simulate=True), **held})
    loads.to_csv(directory / "accuracy_by_load.csv", index=False)
    known = pd.concat([held["configuration"], held["model"]])
    intervals.bands(known, held["device"]).to_csv(directory / "bands.csv", index=False)
    for name, result in held.items():
        bases = (known, held["device"]) if name == "device" else (known,)
        held[name] = result.assign(inside=intervals.inside(result, *bases))
    counts = measurements()["device_id"].value_counts().sort_index()
    counts.rename_axis("device_id").rename("rows").to_csv(
        directory / "constants" / "measured_devices.csv"
    )
    by = ["metric", "kind", "engine"]
    lines = [table(r, c).assign(held_back=h) for h, r in held.items() for c in (by, by[:2], by[:1])]
    columns = ["held_back", *by, "rows", "median", "p90", "within_25", "covered"]
    pd.concat(lines)[columns].fillna("").to_csv(directory / "accuracy.csv", index=False)
    stored_bands._bands.cache_clear()
