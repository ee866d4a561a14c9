"""How far a prediction may be off, as measured on rows kept out of the fit."""

from functools import lru_cache
from pathlib import Path

import pandas as pd

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
HELD_BACK = ("configuration", "device", "model")


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
        Whether the device took part in the fit, or its identifier.

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
    if isinstance(known_device, str):
        known_device = known_device in measured_devices()
    name = FAMILIES.get(metric, metric)
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
        ``configuration``, ``device`` or ``model``: what the fit had not seen.

    Returns
    -------
    summary : DataFrame
        ``prediction, rows, median, p90, within_25`` [%].
    """
    stored = pd.read_csv(DATA / "accuracy.csv", keep_default_na=False)
    chosen = stored["held_back"].eq(held_back) & stored["kind"].eq("") & stored["engine"].eq("")
    frame = stored[chosen].assign(prediction=lambda f: f["metric"].map(NAMES))
    return frame[["prediction", "rows", "median", "p90", "within_25"]].reset_index(drop=True)


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
