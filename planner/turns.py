"""What follows the turn of a dial, and when: the first chart at once, the rest when it rests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

AT_ONCE = 0.015  # what else may follow at once, after the first chart [s]
REST = 0.1  # a dial that has not moved for so long rests [s]


class Turn:
    """
    The turn of a dial and what follows it, in the order of the page.

    While a dial is dragged, only what comes up to its first chart is computed for every place that
    it passes; what comes after that is computed when it rests. Where no event loop runs, as in a
    test, it rests at once.

    Parameters
    ----------
    busy : callable, optional
        Told whether something has still to follow.
    """

    def __init__(self, busy: Callable[[bool], None] | None = None):
        self.busy = busy or (lambda yes: None)
        self._late: dict[Callable, set] = {}
        self._drawn = False
        self._began = 0.0
        self._timer = None

    def begin(self) -> None:
        """A dial has moved: what was late waits for its rest."""
        self._drawn, self._began = False, time.perf_counter()
        if self._timer is not None:
            self._timer.cancel()

    def run(self, follow: Callable[[set], bool], names: set) -> bool:
        """
        Let something follow now, or later.

        Parameters
        ----------
        follow : callable
            Takes the names of what changed; whether it drew a chart.
        names : set of str
            What changed.

        Returns
        -------
        drawn : bool
        """
        names = names | self._late.pop(follow, set())
        if self._drawn and time.perf_counter() - self._began > AT_ONCE:
            self._late[follow] = names
            return False
        if follow(names) and not self._drawn:
            self._drawn, self._began = True, time.perf_counter()
        return self._drawn

    def end(self) -> None:
        """The first have followed; arrange for the others."""
        if not self._late:
            self.busy(False)
            return
        try:
            self._timer = asyncio.get_running_loop().call_later(REST, self._catch_up)
        except RuntimeError:
            self._catch_up(at_once=True)

    def _catch_up(self, at_once: bool = False) -> None:
        """One after the other, so that a dial that moves again need not wait for all."""
        while self._late:
            follow = next(iter(self._late))
            self.begin()
            self.run(follow, set())
            if not at_once:
                break
        if self._late:
            self._timer = asyncio.get_running_loop().call_later(0, self._catch_up)
        else:
            self.busy(False)
