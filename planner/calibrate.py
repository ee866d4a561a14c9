"""A team's own runs -> factors and bands of its own machine, beside the catalogue's constants.

The catalogue's constants are averages over devices of a class. A calibration multiplies a few of
them, for one device and engine, by factors near one that the runs identify, and narrows the bands
as far as the runs bear it out. It lies in a file of its own and never changes the catalogue's.
"""

import datetime
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from planner import accuracy, bands, catalogue, coefficients
from planner import cases as questions
from planner.scatter import RUN_NOISE, SHARED, blend, deployment, evidence, spread

# What one factor multiplies, the kind of prediction whose spread between devices is its prior,
# and whether it enters only where the runs tell it from the others.
FACTORS = {
    "bandwidth": (("bandwidth_efficiency", "thread_bandwidth", "socket_ceiling"), "decode"),
    "compute": (("compute_efficiency", "attention_efficiency"), "prefill"),
    "fixed time": (("step_time", "layer_time", "expert_layer_time", "prefill_time",
                    "prefill_layer_time"), "tpot"),
    "request time": (("request_time",), "ttft"),
}  # fmt: skip
OF_CORES = ("thread_bandwidth", "socket_ceiling")  # of CPUs only
OPTIONAL = ("fixed time", "request time")
IDENTIFIED = 0.75  # posterior over prior standard deviation below which an optional factor stays
PRIOR_RUNS = 4.0  # runs that the published scatter counts for when the own scatter is estimated
FLOOR_TOLERANCE = 1.02  # rounding of a benchmark's figures
MOST_TURNS = 20  # fits with runs left out; beyond as many runs, several are left out together
CONTRADICTION = 1.25  # ratio between two answers to one question that no noise explains


@dataclass(frozen=True)
class Calibration:
    """
    What the runs of one device and engine say.

    Parameters
    ----------
    scope : str
        ``device:ID/ENGINE``, the constants that are multiplied.
    factors, bands : DataFrame
        Rows for the file of calibrations.
    errors : DataFrame
        Per row of the runs: ``run, metric, value``, the catalogue's prediction ``before``, the
        calibrated one ``after`` and ``left_out``, fitted without that run. [unit of the metric]
    remarks : list of str
        Runs that contradict each other or the rest, and factors that were not identified.
    refused : list of str
        Runs that were left out, with the reason.
    """

    scope: str
    factors: pd.DataFrame
    bands: pd.DataFrame
    errors: pd.DataFrame
    remarks: list = field(default_factory=list)
    refused: list = field(default_factory=list)


class _Problem:
    """Runs of one device and engine as a least-squares problem in the logarithms of the factors."""

    def __init__(self, rows, scope):
        base = coefficients.load(coefficients.PATH)
        device, self.engine = scope.removeprefix("device:").rsplit("/", 1)
        cpu = catalogue.load().devices[device].kind == "cpu"
        self.names, present = list(FACTORS), set(base.table["name"]) - set([] if cpu else OF_CORES)
        owned = [(name, number) for number, (names, _) in enumerate(FACTORS.values())
                 for name in names if name in present]  # fmt: skip
        own = pd.DataFrame({"name": [name for name, _ in owned]}).assign(
            scope=scope, value=1.0, unit="1", prior=1.0, prior_sd=1.0, low=1.0, high=1.0, rows=0,
            remark="",
        )  # fmt: skip
        self.own, self.fixed = own, base.values
        self.owner = np.array([number for _, number in owned])
        table = pd.concat([base.table, own], ignore_index=True)
        self.constants = type(base)(table)
        self.rows = rows
        self.parts, self.reasons = questions.speed_parts(rows, self.constants)
        kind = np.full(len(rows), "", dtype=object)
        self.family = np.full(len(rows), "", dtype=object)
        for part in self.parts:
            kind[part.rows] = part.group.labels["kind"]
            self.family[part.rows] = [
                accuracy.family(rows["metric"].iloc[row], part.regime) for row in part.rows
            ]
        self.kind = next((k for k in kind if k), "gpu")

    def prepare(self):
        """Scatter and weight of every row, and the priors, once all rows can be answered."""
        self.measured = np.log(self.rows["value"].to_numpy(dtype=float))
        self.run = self.rows["config_id"].to_numpy()
        keys = pd.Series(list(zip(self.run, self.family, strict=True)))
        self.weight = 1.0 / keys.map(keys.value_counts()).to_numpy(dtype=float)
        self.deployment = deployment(self.rows)
        for key in set(zip(self.deployment, self.family, strict=True)):
            mine = (self.deployment == key[0]) & (self.family == key[1])
            count = len(set(self.run[mine]))
            self.weight[mine] *= evidence(count) / count
        self.scatter = np.array(
            [spread(f, self.kind, self.engine, "configuration") for f in self.family]
        )
        self.prior = np.array(
            [spread(m, self.kind, self.engine, "device") for _, m in FACTORS.values()]
        )

    def predict(self, logs):
        """Predictions under factors given as logarithms. [unit of each row]"""
        values = np.concatenate([self.fixed, np.exp(np.asarray(logs)[self.owner])])
        parts = questions.rebind(self.parts, self.constants.with_values(values))
        return accuracy.predict(parts, len(self.rows))

    def solve(self, used, active, start=None):
        """
        Factors that fit the used rows, drawn to one by the prior, and their uncertainty.

        The scatter is that of the published errors times one common scale, which is estimated
        with the factors: runs that agree with each other are trusted more.
        """
        weight, scale = self.weight * used, 1.0
        logs = np.zeros(len(self.names)) if start is None else start.copy()
        active = np.flatnonzero(active)

        def full(moves):
            every = np.zeros(len(self.names))
            every[active] = moves
            return every

        for _ in range(2):
            noise = np.maximum(scale * self.scatter, RUN_NOISE)

            def residuals(moves, noise=noise):
                error = _pull((np.log(self.predict(full(moves))) - self.measured) / noise)
                return np.concatenate([np.sqrt(weight) * error, moves / self.prior[active]])

            found = least_squares(
                residuals, logs[active], diff_step=1e-4, max_nfev=12, xtol=1e-4, ftol=1e-5
            )
            logs = full(found.x)
            error = _pull((np.log(self.predict(logs)) - self.measured) / self.scatter)
            scale = np.sqrt((PRIOR_RUNS + (weight * error**2).sum()) / (PRIOR_RUNS + weight.sum()))
        sd = self.prior.copy()
        sd[active] = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
        return logs, sd


def _pull(scaled):
    """Root of the Huber loss: beyond two standard deviations a run pulls linearly only."""
    size = np.abs(scaled)
    return np.sign(scaled) * np.where(size > 2.0, np.sqrt(np.maximum(4.0 * size - 4.0, 0)), size)


def calibrate(rows):
    """
    Factors and bands of every device and engine of the runs.

    Parameters
    ----------
    rows : DataFrame
        From ``runs.read``; ``value`` in the unit of each metric.

    Returns
    -------
    calibrations : list of Calibration
        One per device and engine.

    Notes
    -----
    The factors :math:`f` minimise :math:`\\sum_i w_i (\\ln p_i(f) - \\ln m_i)^2 / s_i^2 +
    \\sum_k (\\ln f_k)^2 / t_k^2` over predictions :math:`p` and measurements :math:`m`.
    :math:`t_k` is the published spread of predictions for unseen devices, :math:`s_i` the
    published spread within devices times one scale estimated from the runs and never below the
    noise between repeated runs; rows of one run and metric share one weight, and beyond
    two :math:`s_i` a run pulls linearly only.

    The band of a metric comes from the errors of each run under factors fitted without it. Runs
    of one deployment (model, weight format, devices) share :math:`\\rho = 0.6` of their scatter:
    where others of its deployment stayed in the fit, a squared error is divided by
    :math:`1 - \\rho`, and :math:`r` runs of it are worth :math:`r / (1 + (r - 1) \\rho)`. With
    :math:`n` the sum of that, :math:`e` the root of the mean square, at least 0.06, and
    :math:`c` the logarithm of an end of the catalogue's band, the own end is
    :math:`b^2 = (4 c^2 + n\\,(1.645\\,e)^2) / (4 + n)`. Without a run the band is the
    catalogue's, with few it is hardly narrower, and it is wider where the runs disagree.

    The constants 0.06, 0.6 and 4 come from data/measurements. There, public machines made faster
    or slower by a quarter, and calibrated from 3 to 12 of their runs, were predicted within 16 to
    21 % instead of 22 to 31 %, and 94 to 96 % of the other runs lay inside the new bands; 86 to
    95 % where all runs were of one model and the others of other models. On the machines as they
    were, which the constants know already, nothing was won, and runs of one model alone made
    other models up to four points worse.

    What no factor can express (a scheduler's waiting, routing of experts) stays in the band.
    """
    results = []
    for (device, engine), own in rows.groupby(["device_id", "engine"], sort=False):
        results.append(_calibrate(own.reset_index(drop=True), f"device:{device}/{engine}"))
    return results


def _calibrate(rows, scope):
    rows, refused = _possible(rows, scope)
    problem = _Problem(rows, scope)
    problem.prepare()
    everything, nothing = np.ones(len(rows)), np.zeros(len(problem.names))
    before = problem.predict(nothing)
    active = np.ones(len(problem.names), dtype=bool)
    logs, sd = problem.solve(everything, active)
    vague = [name for name, own, prior in zip(problem.names, sd, problem.prior, strict=True)
             if own > IDENTIFIED * prior]  # fmt: skip
    active = np.array([name not in OPTIONAL or name not in vague for name in problem.names])
    remarks = [f"the runs say little about {', '.join(vague)}: near the catalogue's"] * bool(vague)
    if not active.all():
        logs, sd = problem.solve(everything, active)
    left_out = np.full(len(rows), np.nan)
    runs = list(dict.fromkeys(problem.run))
    for turn in range(min(len(runs), MOST_TURNS)):
        mine = np.isin(problem.run, runs[turn::MOST_TURNS])
        others = before if mine.all() else problem.predict(
            problem.solve(1.0 * ~mine, active, logs)[0])  # fmt: skip
        left_out[mine] = others[mine]
    errors = pd.DataFrame({
        "run": problem.run, "metric": rows["metric"], "family": problem.family,
        "deployment": problem.deployment,
        "value": rows["value"], "before": before, "after": problem.predict(logs),
        "left_out": left_out,
    })  # fmt: skip
    own_bands = _bands(errors, problem.kind, scope)
    remarks += _contradictions(rows, errors, problem.kind, scope)
    factors = _factors(problem, logs, sd, active, len(runs))
    return Calibration(scope, factors, own_bands, errors, remarks, refused)


def _possible(rows, scope):
    """Rows on the possible side of the physical floor; a run beyond it is refused by name."""
    problem = _Problem(rows, scope)
    refused = {}
    for row in np.flatnonzero(problem.reasons != ""):
        refused.setdefault(rows["config_id"].iloc[row], problem.reasons[row])
    for part in problem.parts:
        best = questions.predict_part(replace(part, group=part.group.ideal()))
        value = rows["value"].to_numpy()[part.rows]
        time = part.work["metric"].isin(questions.TIMES).to_numpy()
        ratio = np.where(time, best / value, value / best)
        for row, times in zip(part.rows, ratio, strict=True):
            if times > FLOOR_TOLERANCE:
                refused.setdefault(
                    rows["config_id"].iloc[row],
                    f"{rows['metric'].iloc[row]} is {times:.2f} times better than the device "
                    "allows; correct device, weight format or number of devices, or switch "
                    "prefix cache and speculation off",
                )
    if len(refused) == rows["config_id"].nunique():
        raise ValueError("no run is left: " + "; ".join(f"{r}: {w}" for r, w in refused.items()))
    kept = rows[~rows["config_id"].isin(refused)].reset_index(drop=True)
    return kept, [f"{run}: {why}" for run, why in refused.items()]


def _bands(errors, kind, scope):
    """Band of every kind of prediction that the runs measured."""
    device, engine = scope.removeprefix("device:").rsplit("/", 1)
    known = device in bands.measured_devices()
    lines = []
    for family, own in errors.groupby("family"):
        logs = np.log(own["value"] / own["left_out"])
        runs = own.assign(square=logs**2).groupby(["deployment", "run"])["square"].mean()
        counts = runs.groupby("deployment").transform("size")
        # Runs of the same deployment stayed in the fit: they hid the part that all share.
        squares = runs / np.where(counts > 1, 1.0 - SHARED, 1.0)
        size = max(float(np.sqrt(squares.mean())), RUN_NOISE)
        known_runs = evidence(runs.groupby("deployment").size()).sum()
        ends = bands.band(family, kind, engine, known)
        low, high = blend(ends, size, known_runs)
        lines.append({
            "name": bands.BAND + family, "scope": scope, "value": 1.0, "unit": "1", "prior": 1.0,
            "prior_sd": size, "low": low, "high": high, "rows": len(runs),
            "remark": f"catalogue {ends[0]:g} to {ends[1]:g}; runs left out in turn",
        })  # fmt: skip
    return pd.DataFrame(lines, columns=list(bands.COLUMNS)).round(4)


def _contradictions(rows, errors, kind, scope):
    """Runs that answer one question differently, or that neither catalogue nor others expect."""
    device, engine = scope.removeprefix("device:").rsplit("/", 1)
    asked = [c for c in rows if c not in ("id", "config_id", "value", "source", "notes")]
    remarks = []
    for _, same in rows.groupby(asked, dropna=False):
        best, worst = same.loc[same["value"].idxmax()], same.loc[same["value"].idxmin()]
        if best["value"] > CONTRADICTION * worst["value"]:
            remarks.append(
                f"{best['config_id']} and {worst['config_id']} contradict each other: "
                f"{best['metric']} {best['value']:g} and {worst['value']:g} for one question"
            )
    known = device in bands.measured_devices()
    for row in errors.drop_duplicates(["run", "family"]).itertuples():
        low, high = bands.band(row.family, kind, engine, known)
        if not low < row.value / row.left_out < high:
            remarks.append(
                f"{row.run} does not fit the other runs: {row.metric} is {row.value:g}, "
                f"they say {row.left_out:.4g}; check what differed"
            )
    return remarks


def _factors(problem, logs, sd, active, runs):
    own, owner = problem.own.copy(), problem.owner
    own["value"] = np.exp(logs[owner])
    own["prior_sd"] = problem.prior[owner]
    own["low"], own["high"] = np.exp(logs[owner] - sd[owner]), np.exp(logs[owner] + sd[owner])
    own["rows"] = runs
    today = datetime.date.today().isoformat()
    own["remark"] = [f"{problem.names[n]}, from {runs} runs, {today}" for n in owner]
    own[["value", "prior_sd", "low", "high"]] = own[["value", "prior_sd", "low", "high"]].round(4)
    return own[active[owner] & (np.abs(logs[owner]) > 1e-4)]


def write(calibrations, path=None):
    """
    Store calibrations; those of other devices and engines in the file stay.

    Parameters
    ----------
    calibrations : list of Calibration
        From ``calibrate``.
    path : path, optional
        By default the file that predictions read.

    Returns
    -------
    path : path
        The file, replaced as a whole.
    """
    path = Path(path or catalogue.calibration_path())
    stored = bands.read_calibration(path)
    scopes = {c.scope for c in calibrations}
    tables = [stored[~stored["scope"].isin(scopes)]]
    tables += [t for c in calibrations for t in (c.factors, c.bands)]
    table = pd.concat([t for t in tables if len(t)], ignore_index=True)[list(bands.COLUMNS)]
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        table.to_csv(partial, index=False)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    forget()
    return path


def forget():
    """Read the calibration again at the next question of this process."""
    bands.forget()
    coefficients.load.cache_clear()
    catalogue._load.cache_clear()


def text(calibration):
    """
    What the runs changed, for the terminal.

    Parameters
    ----------
    calibration : Calibration
        Of one device and engine.

    Returns
    -------
    text : str
        Factors, median errors and bands before and after, remarks. [%]
    """
    lines = [calibration.scope.removeprefix("device:").replace("/", " with ")]
    shown = calibration.factors.assign(
        what=calibration.factors["remark"].str.split(",").str[0]
    ).drop_duplicates("what")
    for row in shown.itertuples():
        lines.append(f"  {row.what}: {row.value:.3f} of the catalogue's "
                     f"({row.low:.3f} to {row.high:.3f})")  # fmt: skip
    lines.append("  prediction    runs  error before     after  left out   band before      after")
    for row in calibration.bands.itertuples():
        family = row.name.removeprefix(bands.BAND)
        own = calibration.errors[calibration.errors["family"] == family]
        each = [100 * (own[c] / own["value"] - 1).abs().median()
                for c in ("before", "after", "left_out")]  # fmt: skip
        ends = row.remark.split(";")[0].removeprefix("catalogue ")
        lines.append(
            f"  {family:<13}{row.rows:>5}{each[0]:>12.1f} %{each[1]:>8.1f} %{each[2]:>8.1f} %"
            f"   {ends:<16} {row.low:.3g} to {row.high:.3g}"
        )
    lines += [f"  refused: {reason}" for reason in calibration.refused]
    lines += [f"  note: {remark}" for remark in calibration.remarks]
    return "\n".join(lines)
