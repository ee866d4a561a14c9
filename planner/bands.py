"""How far a prediction may be off: on rows kept out of the fit, or on the team's own runs."""

from functools import lru_cache
from pathlib import Path

import pandas as pd

from planner import catalogue

DATA = Path(__file__).resolve().parent.parent / "data"
FAMILIES = {
    "ttft_ms": "ttft", "tpot_ms": "tpot", "prefill_tok_s": "prefill",
    "decode_tok_s_per_seq": "decode", "output_tok_s_total": "throughput",
    "total_tok_s": "throughput", "req_s": "throughput",
}  # fmt: skip

NAMES = {
    "decode": "Decode of one sequence", "decode_batch": "Decode of a fixed batch",
    "prefill": "Prefill", "throughput": "Throughput", "tpot": "TPOT", "ttft": "TTFT",
}  # fmt: skip
HELD_BACK = ("configuration", "device", "model", "source")
BAND = "band:"  # what the names of bands begin with in a file of calibrations
COLUMNS = (
    "name", "scope", "value", "unit", "prior", "prior_sd", "low", "high", "rows", "remark",
)  # fmt: skip


def read_calibration(path):
    """
    A file of calibrations; an absent one has no rows.

    Parameters
    ----------
    path : path
        As ``calibrate.write`` leaves it.

    Returns
    -------
    table : DataFrame
        Columns of ``data/constants/speed.csv``: factors, and bands (names from ``band:``).
    """
    if not Path(path).is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.read_csv(
        path, keep_default_na=False, na_values={"low": "", "high": ""}, dtype={"unit": str}
    )
    remedy = "remove the file or run `planner calibrate` again"
    if tuple(table.columns) != COLUMNS:
        raise ValueError(f"{path}: columns are {list(table)}, expected {list(COLUMNS)}; {remedy}")
    numbers = table[["value", "prior", "prior_sd", "low", "high"]].apply(
        pd.to_numeric, errors="coerce"
    )
    if not (numbers > 0).all(axis=None):
        raise ValueError(f"{path}: a number is missing or not above zero; {remedy}")
    if not table["scope"].str.fullmatch("device:[^/]+/[^/]+").all():
        raise ValueError(f"{path}: a scope is not device:ID/ENGINE; {remedy}")
    return table


@lru_cache(maxsize=1)
def _calibration():
    return read_calibration(catalogue.calibration_path())


@lru_cache(maxsize=1)
def _own_bands():
    table = _calibration()
    chosen = table[table["name"].str.startswith(BAND)]
    names, scopes = chosen["name"].str.removeprefix(BAND), chosen["scope"]
    return dict(zip(zip(names, scopes, strict=True),
                    zip(chosen["low"], chosen["high"], strict=True), strict=True))  # fmt: skip


def own_runs(device, engine):
    """
    Runs of the team that calibrated a device and engine.

    Parameters
    ----------
    device, engine : str
        Identifiers.

    Returns
    -------
    runs : int
        0 where nothing was calibrated. [1]
    """
    table = _calibration()
    own = table.loc[table["scope"] == f"device:{device}/{engine}", "rows"]
    return int(own.to_numpy().max(initial=0))


def own():
    """
    Bands of calibrated machines beside those of the catalogue.

    Returns
    -------
    bands : DataFrame
        device, engine, metric, runs, and high over low before and after. [1]
    """
    rows = []
    for (metric, scope), (low, high) in _own_bands().items():
        device, engine = scope.removeprefix("device:").split("/")
        kind = catalogue.load().devices[device].kind
        catalogued = band(metric, kind, engine, device in measured_devices())
        before, after = catalogued[1] / catalogued[0], high / low
        rows.append((device, engine, NAMES.get(metric, metric), own_runs(device, engine), before,
                     after))  # fmt: skip
    columns = ["device", "engine", "metric", "runs", "before", "after"]
    return pd.DataFrame(rows, columns=columns)


def with_calibration(table):
    """
    Constants of the catalogue and the team's own factors behind them.

    Parameters
    ----------
    table : DataFrame
        Rows of ``data/constants/speed.csv``.

    Returns
    -------
    table : DataFrame
        The same object where nothing was calibrated.
    """
    own = _calibration()
    own = own[~own["name"].str.startswith(BAND)]
    return pd.concat([table, own], ignore_index=True) if len(own) else table


def forget():
    """Read the calibration again at the next question."""
    for cached in (_calibration, _own_bands, band):
        cached.cache_clear()


@lru_cache(maxsize=1)
def _bands():
    table = pd.read_csv(DATA / "bands.csv", keep_default_na=False)
    keys = table[["metric", "kind", "engine", "known_device"]].itertuples(index=False, name=None)
    return dict(zip(keys, table[["low", "high"]].itertuples(index=False, name=None), strict=True))


@lru_cache(maxsize=1)
def measured_devices():
    """
    Devices that took part in the fit of the constants.

    Returns
    -------
    devices : frozenset of str
        Identifiers.
    """
    return frozenset(pd.read_csv(DATA / "constants" / "measured_devices.csv")["device_id"])


@lru_cache(maxsize=4096)
def band(metric, kind, engine, known_device):
    """
    Factors from a prediction to the ends of its 90 % band.

    Parameters
    ----------
    metric : str
        A metric such as ``tpot_ms``, or a family such as ``decode``.
    kind : str
        ``gpu``, ``apu`` or ``cpu``.
    engine : str
        Identifier of an engine; one that was not measured takes the band of its kind.
    known_device : bool or str
        Whether the device took part in the fit, or its identifier; with its identifier, a band
        from the team's own runs comes first.

    Returns
    -------
    low, high : float
        The measured value lies between ``low`` and ``high`` times the prediction.

    Examples
    --------
    >>> low, high = band("tpot_ms", "gpu", "vllm", "h100-sxm")
    >>> 0.4 < low < 1 < high < 2.5
    True
    """
    name = FAMILIES.get(metric, metric)
    if isinstance(known_device, str):
        own = _own_bands().get((name, f"device:{known_device}/{engine}"))
        if own:
            return own
        known_device = known_device in measured_devices()
    known = "yes" if known_device else "no"
    for key in ((name, kind, engine, known), (name, kind, "", known), (name, "", "", known)):
        if key in _bands():
            return _bands()[key]
    raise ValueError(f"metric {metric!r} has no band; use one of {sorted(set(FAMILIES))}")


def published(held_back="configuration"):
    """
    Stored errors of each kind of prediction.

    Parameters
    ----------
    held_back : str
        ``configuration``, ``device``, ``model`` or ``source``: what the fit had not seen.

    Returns
    -------
    summary : DataFrame
        ``prediction, rows, median, p90, within_25, covered`` [%].
    """
    stored = pd.read_csv(DATA / "accuracy.csv", keep_default_na=False)
    chosen = stored["held_back"].eq(held_back) & stored["kind"].eq("") & stored["engine"].eq("")
    frame = stored[chosen].assign(prediction=lambda f: f["metric"].map(NAMES))
    columns = ["prediction", "rows", "median", "p90", "within_25", "covered"]
    return frame[columns].reset_index(drop=True)


def text():
    """
    The errors as a Markdown table: median / 90th percentile / share of rows within 25 %.

    Returns
    -------
    text : str
        One column per kind of row that the fit had not seen. [%]
    """
    columns = {name: published(name) for name in HELD_BACK}
    first = columns["configuration"]
    lines = ["| prediction | rows | " + " | ".join(f"unseen {name}" for name in HELD_BACK) + " |"]
    lines.append("|---|--:|" + "--:|" * len(HELD_BACK))
    for at, row in first.iterrows():
        cells = [frame.loc[at, ["median", "p90", "within_25"]] for frame in columns.values()]
        written = " | ".join(
            f"{c['median']:.1f} / {c['p90']:.0f} / {c['within_25']:.0f}" for c in cells
        )
        lines.append(f"| {row['prediction']} | {row['rows']} | {written} |")
    return "\n".join(lines)
