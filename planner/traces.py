"""Logged calls: a CSV file with one row per call, read once, checked once."""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from planner import reading

COLUMNS = ("timestamp", "prompt_tokens", "output_tokens")
LEAST, MOST = 20, 5_000_000  # calls of a trace
LARGEST = 2**29  # of its file: a hundred bytes a call [B]
LONGEST = 1e9  # from the first call to the last: thirty years [s]


class TraceError(ValueError):
    """A trace that cannot be used; the message names file, row, field, value and remedy."""


class Calls(NamedTuple):
    """
    The calls of a trace in the order of their time.

    Parameters
    ----------
    arrival : ndarray
        From the first call. [s]
    prompt, output : ndarray of int
        [token]
    digest : str
        Of the file.
    """

    arrival: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    digest: str


@lru_cache(maxsize=8)
def read(path: str | Path) -> Calls:
    """
    Read a trace.

    Parameters
    ----------
    path : str or Path
        Columns ``timestamp`` (seconds, or a date and time such as 2026-05-04 09:00:00),
        ``prompt_tokens`` and ``output_tokens``; others are ignored.

    Returns
    -------
    calls : Calls

    Raises
    ------
    TraceError
        With file, row, field, value and remedy.
    """
    path = Path(path)
    try:
        content = reading.content(path, LARGEST)
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8")
    except reading.Unreadable as error:
        raise TraceError(f"{path.name}: {error}") from None
    except OSError as error:
        raise TraceError(f"{path.name}: cannot be read: {error.strerror}; correct file") from None
    except (UnicodeDecodeError, ValueError) as error:
        said = reading.quoted(error)
        raise TraceError(f"{path.name}: not a CSV file in UTF-8 ({said}); save it so") from None
    absent = [name for name in COLUMNS if name not in table]
    if absent:
        raise TraceError(
            f"{path.name}: column {absent[0]} is missing; the columns are {', '.join(COLUMNS)}"
        )
    twice = [name for name in COLUMNS if f"{name}.1" in table]  # as pandas names the second
    if twice:
        raise TraceError(f"{path.name}: column {twice[0]} twice; remove one of them")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is left over for labels
        raise TraceError(f"{path.name}: rows have more cells than the header; name every column")
    if not LEAST <= len(table) <= MOST:
        raise TraceError(f"{path.name}: {len(table):,} calls; give {LEAST} to {MOST:,} of them")
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in COLUMNS}
    if numbers["timestamp"].isna().all():
        numbers["timestamp"] = _moments(table["timestamp"])
    for name, least, what in (
        ("timestamp", -np.inf, "seconds or a date and time like those of the other rows"),
        ("prompt_tokens", 1, "a whole number from 1 to 10,000,000"),
        ("output_tokens", 1, "a whole number from 1 to 10,000,000"),
    ):
        wrong = ~(numbers[name].between(least, 1e7 if least == 1 else np.inf))
        wrong |= ~np.isfinite(numbers[name])
        wrong |= (numbers[name] % 1 != 0) & (least == 1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise TraceError(
                f"{path.name}, row {row + 2}, field {name}: {table[name][row][:40]!r}; give {what}"
            )
    order = np.argsort(numbers["timestamp"].to_numpy(), kind="stable")
    times, prompt, output = (numbers[name].to_numpy(float)[order] for name in COLUMNS)
    if times[-1] <= times[0]:
        raise TraceError(f"{path.name}: every call has the same timestamp; give their real times")
    if not times[-1] - times[0] <= LONGEST:
        raise TraceError(
            f"{path.name}: {times[-1] - times[0]:.3g} s from the first timestamp to the last; "
            "give seconds, of thirty years at most"
        )
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Calls(times - times[0], prompt.astype(np.int64), output.astype(np.int64), digest)


def _moments(column):
    """Dates and times as seconds from the first; what is none is missing."""
    try:
        moments = pd.to_datetime(column, errors="coerce", utc=True, format="mixed")
    except (ValueError, OverflowError):  # of some figures that are no date
        return pd.Series(np.nan, index=column.index)
    return (moments - moments.min()).dt.total_seconds()
