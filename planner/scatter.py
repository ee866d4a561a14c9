"""How far runs scatter, what several runs of a machine are worth, and the band they leave."""

from functools import lru_cache

import numpy as np
import pandas as pd

from planner import catalogue

MEDIAN = 0.6745  # standard deviations that half of a normal distribution lies within
NORMAL = 1.645  # standard deviations from the middle to the ends of a 90 % band
RUN_NOISE = 0.06  # log error between repeated runs: eight pairs in data/measurements [1]
SHARED = 0.6  # share of the scatter within a device that all runs of a deployment share [1]
BAND_RUNS = 4.0  # independent runs that the catalogue's band counts for beside the own errors


@lru_cache(maxsize=1)
def _published():
    return pd.read_csv(catalogue.DATA / "accuracy.csv", keep_default_na=False)


def spread(metric, kind, engine, held_back):
    """
    Standard deviation of the log error of published predictions, from their median.

    Parameters
    ----------
    metric : str
        Kind of prediction, such as ``tpot``.
    kind, engine : str
        Of device, and the engine; the nearest published group is taken.
    held_back : str
        ``device`` for the spread between devices, ``configuration`` for that within.

    Returns
    -------
    spread : float
        Of the natural logarithm of measured over predicted. [1]

    Examples
    --------
    >>> 0.05 < spread("decode", "gpu", "vllm", "device") < 0.3
    True
    """
    table = _published()
    table = table[(table["held_back"] == held_back) & (table["metric"] == metric)]
    for key in ((kind, engine), (kind, ""), ("", "")):
        row = table[(table["kind"] == key[0]) & (table["engine"] == key[1])]
        if len(row):
            return max(float(np.log1p(row["median"].iloc[0] / 100)) / MEDIAN, RUN_NOISE)
    raise ValueError(f"metric {metric!r} has no published error; see data/accuracy.csv")


def deployment(rows):
    """
    What a run is about: runs of one model in one format on as many devices err alike.

    Parameters
    ----------
    rows : DataFrame
        Rows of a measurements file.

    Returns
    -------
    names : ndarray of str
        One per row.
    """
    return rows[["model_id", "weight_format", "n_devices"]].agg(" ".join, axis=1).to_numpy()


def evidence(runs):
    """
    Independent runs that the runs of one deployment are worth.

    Parameters
    ----------
    runs : numeric
        Runs of one deployment. [1]

    Returns
    -------
    evidence : numeric
        At most 1 / 0.6: the share of the scatter within a device that all runs of a deployment
            have in common (0.77 for decode, 0.67 for TPOT, 0.44 for TTFT in data/measurements). [1]

    Examples
    --------
    >>> [round(evidence(n), 2) for n in (1, 2, 6)]
    [1.0, 1.25, 1.5]
    """
    return runs / (1.0 + (runs - 1.0) * SHARED)


def blend(ends, size, runs):
    """
    Band between the catalogue's and that of the own errors.

    Parameters
    ----------
    ends : tuple of float
        Low and high factor of the catalogue's 90 % band. [1]
    size : float
        Standard deviation of the own log errors. [1]
    runs : float
        Independent runs that the own errors count for. [1]

    Returns
    -------
    low, high : float
        Factors from a prediction to the ends of its 90 % band. [1]

    Examples
    --------
    >>> blend((0.5, 2.0), 0.06, 0.0)
    (0.5, 2.0)
    >>> [round(end, 2) for end in blend((0.5, 2.0), 0.06, 6.0)]
    [0.64, 1.56]
    """
    squares = np.log(ends) ** 2
    own = (NORMAL * size) ** 2
    blended = np.sqrt((BAND_RUNS * squares + runs * own) / (BAND_RUNS + runs))
    low, high = np.exp(blended * (-1, 1))
    return min(float(round(low, 4)), 0.95), max(float(round(high, 4)), 1.05)
