"""Orders of requests for `scheduler`, compiled: a heap, and lists that any may leave at once.

Those that others release are in a heap, the first to come in front: place 0 of the array holds
their number, the heap begins at place 1. In a list each names the one before and the one after it.
"""

import zlib
from pathlib import Path

from numba import njit
from numba.core.cpu import CPUTargetOptions

SOURCE = zlib.crc32(Path(__file__).read_bytes())  # numba sees no change of a file put in elsewhere
# Nothing is allocated, and to count references would double the time. The option is numba's own
# affair; a version that lacks it compiles the same, slower.
PLAIN = {"nogil": True, "error_model": "numpy"}
PLAIN |= {"_nrt": False} if hasattr(CPUTargetOptions, "_nrt") else {}
# A record of arrays that is passed to a function is copied, which costs as much as a step. What is
# put into another function is kept on disk with that one alone.
inlined = njit(forceinline=True, **PLAIN)


@inlined
def _earlier(one, two):
    return one.time < two.time or (one.time == two.time and one.call < two.call)


@inlined
def _swap(release, i, j):
    time, call = release[i].time, release[i].call
    release[i].time, release[i].call = release[j].time, release[j].call
    release[j].time, release[j].call = time, call


@inlined
def push(release, time, call):
    """Add a request that comes at a time."""
    release[0].call += 1
    i = release[0].call
    release[i].time, release[i].call = time, call
    while i > 1 and _earlier(release[i], release[i >> 1]):
        _swap(release, i, i >> 1)
        i >>= 1


@inlined
def pop(release):
    """Take the request that comes first; of those at one time, that with the lowest number."""
    first, last, i = release[1].call, release[0].call, 1
    _swap(release, 1, last)
    release[0].call = last - 1
    while 2 * i < last:
        below = 2 * i
        if below + 1 < last and _earlier(release[below + 1], release[below]):
            below += 1
        if not _earlier(release[below], release[i]):
            break
        _swap(release, i, below)
        i = below
    return first


@inlined
def link(calls, newest, r):
    """Add a request to the list whose newest is given, -1 for none; the newest from now on."""
    calls[r].older, calls[r].newer = newest, -1
    if newest >= 0:
        calls[newest].newer = r
    return r


@inlined
def unlink(calls, r):
    """Take a request out of its list; those before and after it, -1 for none."""
    before, after = calls[r].older, calls[r].newer
    if before >= 0:
        calls[before].newer = after
    if after >= 0:
        calls[after].older = before
    return before, after
