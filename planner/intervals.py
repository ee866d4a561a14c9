"""Bands around predictions, made from errors on rows kept out of the fit, and how often they hold.

A band belongs to a metric on a kind of device under one engine; engines with few rows share one,
apart from the engines that have their own, so that a usual case is not as wide as an odd one.
"""

import numpy as np
import pandas as pd

SMALLEST_GROUP = 30  # rows that a band of its own needs; half for what engines share
QUANTILES = (0.05, 0.95)
FEW = 0.4  # wider by this over the root of the (device, model) pairs: rows of a pair are alike
COLUMNS = ["metric", "kind", "engine", "known_device", "low", "high", "rows", "how"]


def limits(result):
    """
    Factors between prediction and measurement, by group.

    Parameters
    ----------
    result : DataFrame
        Held-back errors, from ``accuracy.errors``.

    Returns
    -------
    table : DataFrame
        ``metric, kind, engine, low, high, rows``; an empty engine or kind stands for all others.

    Notes
    -----
    The 5 and 95 % quantiles of measured over predicted, moved out by ``FEW`` over the root of
    the number of (device, model) pairs. The bands of ``decode_batch`` contain those of
    ``decode``, which have more machines behind them.
    """
    lines = {}
    for metric, rows in result.dropna(subset=["ratio"]).groupby("metric"):
        lines[metric, "", ""] = _limit(rows)
        for kind, of_kind in rows.groupby("kind"):
            counts = of_kind.groupby("engine")["id"].nunique()
            own = counts.index[counts >= SMALLEST_GROUP]
            for engine in own:
                lines[metric, kind, engine] = _limit(of_kind[of_kind["engine"] == engine])
            others = of_kind[~of_kind["engine"].isin(own)]
            shared = of_kind if others["id"].nunique() < SMALLEST_GROUP // 2 else others
            if shared["id"].nunique() >= SMALLEST_GROUP // 2:
                lines[metric, kind, ""] = _limit(shared)
    for key in [key for key in lines if key[0] == "decode_batch"]:
        low, high, rows = _find(lines, ("decode", *key[1:]))
        lines[key] = min(low, lines[key][0]), max(high, lines[key][1]), lines[key][2]
    keys = [(*key, *line) for key, line in lines.items()]
    return pd.DataFrame(keys, columns=["metric", "kind", "engine", "low", "high", "rows"])


def _limit(rows):
    low, high = np.quantile(rows["ratio"], QUANTILES)
    wider = 1.0 + FEW / np.sqrt(rows.groupby(["device_id", "model_id"]).ngroups)
    return min(low / wider, 0.95), max(high * wider, 1.05), rows["id"].nunique()


def _find(lines, key):
    metric, kind, _ = key
    return next(lines[k] for k in (key, (metric, kind, ""), (metric, "", "")) if k in lines)


def inside(result, *bases):
    """
    Whether each measurement lies in a band made without its fold.

    Parameters
    ----------
    result : DataFrame
        Held-back errors with their ``fold``.
    bases : DataFrame
        Held-back errors that a band is made from, rows of the fold left out; of several, the
        widest counts.

    Returns
    -------
    inside : Series of bool
        Aligned with ``result``.
    """
    held = pd.Series(False, index=result.index)
    for _, rows in result.groupby("fold"):
        low, high = np.inf, 0.0
        for base in bases:
            table = limits(base[~base["id"].isin(rows["id"])])
            values = table[["low", "high", "rows"]].itertuples(index=False, name=None)
            keys = table[["metric", "kind", "engine"]].itertuples(index=False, name=None)
            lines = dict(zip(keys, values, strict=True))
            asked = rows[["metric", "kind", "engine"]].itertuples(index=False, name=None)
            ends = np.array([_find(lines, key) for key in asked]).T
            low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
        held[rows.index] = rows["ratio"].between(low, high)
    return held


def bands(known, unknown):
    """
    Bands of devices that took part in the fit and of those that did not.

    Parameters
    ----------
    known : DataFrame
        Held-back errors of other configurations and models, from ``accuracy.errors``.
    unknown : DataFrame
        Held-back errors of other devices.

    Returns
    -------
    table : DataFrame
        Columns of ``data/bands.csv``.
    """
    parts = []
    for label, result in (("yes", known), ("no", unknown)):
        how = f"held back by {'configuration and model' if label == 'yes' else 'device'}"
        own = limits(result).assign(known_device=label, how=how)
        lent = limits(_borrowed(result)).query("kind != ''")
        lent = lent.assign(
            known_device=label, how=how + "; from static batches, no server measured"
        )
        parts += [own, lent]
    table = pd.concat(parts)[COLUMNS].round({"low": 3, "high": 3}).reset_index(drop=True)
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
    local = result[result["kind"].isin(["cpu", "apu"])]
    lines = []
    for target, sources, inverse in (
        ("tpot", ("decode", "decode_batch"), True), ("ttft", ("prefill",), True),
        ("throughput", ("decode", "decode_batch"), False),
    ):  # fmt: skip
        rows = local[local["metric"].isin(sources)].assign(metric=target)
        lines.append(rows.assign(ratio=1 / rows["ratio"] if inverse else rows["ratio"]))
    return pd.concat(lines)
