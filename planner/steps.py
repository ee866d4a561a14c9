"""Decode steps by interpolation: a slow law of the batch is evaluated a few times only.

Between its points the law is a straight line, so that it can be inverted without iterations.
"""

from typing import NamedTuple

import numpy as np


class Steps(NamedTuple):
    """
    A step law by interpolation between points, geometric from one sequence to the most.

    Parameters
    ----------
    top : ndarray, shape (...)
        Largest batch; the law is level beyond it. [sequence]
    scale : ndarray, shape (...)
        Pieces per unit of the logarithm of the batch. [1]
    turn : ndarray, shape (points, ...)
        Sequences beside one's own over the step, at each point. [sequence/s]
    start, slope : ndarray, shape (pieces, ...)
        Step of a batch n is start + slope n. [s], [s/sequence]
    """

    top: np.ndarray
    scale: np.ndarray
    turn: np.ndarray
    start: np.ndarray
    slope: np.ndarray

    def __call__(self, batch):
        """Step of a batch size. [s]"""
        batch = np.clip(batch, 1.0, self.top)
        piece = (np.log(batch) * self.scale).astype(np.intp)
        start, slope = self.piece(np.minimum(piece, len(self.start) - 1))
        return start + slope * batch

    def piece(self, number):
        """Start and slope of the piece with this number."""
        index = number * self.top.size + np.arange(self.top.size).reshape(self.top.shape)
        return self.start.take(index), self.slope.take(index)

    def take(self, rows, shape):
        """The laws of some deployments of an array of this shape, counted through."""
        place = np.broadcast_to(np.arange(self.top.size).reshape(self.top.shape), shape)
        place, points = place.ravel()[rows], (self.turn, self.start, self.slope)
        ends = (part.take(place) for part in (self.top, self.scale))
        return Steps(*ends, *(part.reshape(len(part), -1).take(place, axis=1) for part in points))

    def slower(self, factor):
        """The laws with every step longer by a factor."""
        return self._replace(
            turn=self.turn / factor, start=self.start * factor, slope=self.slope * factor
        )


def tabulated(step_time, batch_limit, points=16):
    """
    A step law by interpolation: slow laws are evaluated a few times only.

    Parameters
    ----------
    step_time : callable
        Decode step of a batch size; one that is tabulated stays as it is. [s]
    batch_limit : numeric
        Largest batch that will be asked for. [sequence]
    points : int
        Batch sizes evaluated, geometric from 1 to the limit. [-]

    Returns
    -------
    step_time : Steps
        Linear between the points; the ends are held beyond them. [s]

    References
    ----------
    .. [1] Any text on numerical analysis, linear interpolation.

    Examples
    --------
    >>> law = tabulated(lambda n: 0.01 + 0.001 * n, np.array([64.0, 256.0]))
    >>> law(np.array([10.0, 20.0])).round(6)
    array([0.02, 0.03])
    """
    if isinstance(step_time, Steps):
        return step_time
    top = np.maximum(np.asarray(batch_limit, dtype=float), 1.0 + 1e-9)
    last = points - 1
    knots = [top ** (i / last) for i in range(points)]
    steps = [np.asarray(step_time(knot), dtype=float) for knot in knots]
    knots, table = np.split(np.stack(np.broadcast_arrays(*knots, *steps)), 2)
    slope = np.diff(table, axis=0) / np.diff(knots, axis=0)
    start, top = table[:-1] - slope * knots[:-1], knots[-1]
    return Steps(top, last / np.log(top), (knots - 1) / table, start, slope)
