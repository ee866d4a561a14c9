"""Files from outside, read whole: regular files only, and none that is larger than it may be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
)  # fmt: skip
LONGEST = 200  # of what a message quotes [character]


class Unreadable(ValueError):
    """A file that is not opened; the message says what it is and what to give instead."""


def content(path: str | Path, most: int) -> bytes:
    """
    The bytes of a regular file.

    Parameters
    ----------
    path : str or Path
        Followed where it is a link.
    most : int
        The largest size that is read. [B]

    Returns
    -------
    content : bytes

    Raises
    ------
    Unreadable
        For a folder, a device, a pipe, a name that no file can have, or too large a file.
    OSError
        Where the file is not there or may not be read.
    """
    try:
        found = os.stat(path)
    except ValueError:
        raise Unreadable("is a name that no file can have; correct it") from None
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for test, words in KINDS if test(found.st_mode)), "no file")
        raise Unreadable(f"is {kind}; name a regular file")
    size = found.st_size
    if size <= most:
        with open(path, "rb") as file:
            read = file.read(most + 1)  # a file may grow, and one of the kernel states no size
        if len(read) <= most:
            return read
        size = len(read)
    raise Unreadable(f"has {size:,} bytes or more; {most:,} are the most that is read: shorten it")


def quoted(value: object, most: int = LONGEST) -> str:
    """
    A value from outside as it stands in a message: on one line, and of bounded length.

    Examples
    --------
    >>> quoted("a\\nb"), quoted("x" * 99, 10), quoted("plain")
    ("'a\\\\nb'", 'xxxxxxxxxx...', 'plain')
    """
    text = str(value)
    short = text if len(text) <= most else text[:most] + "..."
    return short if short.isprintable() else repr(short)
