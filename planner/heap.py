"""Requests that others release, the first to come in front: a heap for `scheduler`, compiled.

Place 0 of the array holds their number, the heap begins at place 1.
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
