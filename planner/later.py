"""Work too slow for the opening of a page: done in the background, shown when it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable

from planner import live
from planner.controls import Source


def later(work: Callable[[], object]) -> Source:
    """
    A value that is not there yet.

    Parameters
    ----------
    work : callable
        Makes it. Where nobody looks on it is made at once.

    Returns
    -------
    source : controls.Source
        None until then; what is shown from it says so meanwhile.
    """
    if not live.interactive():
        return Source(work())
    source = Source(None)

    def run():
        source.value = work()
        source.changed({"done"})

    threading.Thread(target=run, daemon=True).start()
    return source
