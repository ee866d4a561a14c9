"""Files of cases: read, and every number checked before a law sees it."""

import numpy as np
import pandas as pd

NUMBERS = (
    "weight_bpw", "device_mem_gib", "n_devices", "tp", "pp", "sockets", "threads", "input_tokens",
    "output_tokens", "depth", "concurrency", "max_model_len", "gpu_mem_util", "max_num_seqs",
    "max_num_batched_tokens",
)  # fmt: skip
LARGEST = 1e9  # more of anything counted is a slip of the pen


def read(path):
    """
    A file of cases.

    Parameters
    ----------
    path : path
        CSV with a header in the columns of a measurements file.

    Returns
    -------
    cases : DataFrame
        Everything as text, blanks empty.
    """
    try:
        cases = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8 ({error}); save it as one") from None
    absent = [name for name in ("model_id", "metric") if name not in cases]
    if absent:
        raise ValueError(
            f"{path}, header: the column {absent[0]} is missing; name the columns as in "
            "data/measurements/speed.csv"
        )
    return cases


def checked(cases):
    """
    Blank every cell that is no usable number, and say which.

    Parameters
    ----------
    cases : DataFrame
        Columns of a measurements file.

    Returns
    -------
    cases : DataFrame
        The same rows with the faulty cells empty.
    faults : ndarray of str
        Per row: column, value and remedy of its first fault; empty where there is none.
    """
    faults = np.full(len(cases), "", dtype=object)
    cases = cases.copy()
    for name in NUMBERS:
        if name not in cases:
            continue
        written = cases[name].astype(object).where(cases[name].notna(), "").astype(str)
        number = pd.to_numeric(written, errors="coerce").to_numpy(dtype=float)
        usable = np.isfinite(number) & (number >= 0) & (number <= LARGEST)
        faulty = (written != "").to_numpy() & ~usable
        if faulty.any():
            new = faulty & (faults == "")
            faults[new] = [
                f"{name} = {value[:40]!r} is not a number from 0 to {LARGEST:.0e}; correct it"
                for value in written[new]
            ]
            cases[name] = cases[name].astype(object).mask(faulty, "")
    return cases, faults
