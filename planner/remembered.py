"""Answers kept with the plan that they are about, for the next part of a report that asks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from planner import language

Answer = TypeVar("Answer")


def remembered(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """
    Ask a function of a plan once, and keep what it says with that plan.

    Parameters
    ----------
    function : callable
        Its first argument is a plan; the others, such as a name, can be hashed.

    Returns
    -------
    asked : callable
        The same function. Whoever gets an answer must not change it. Answers are kept in
        ``plan.kept``, for each language; a plan that is made from another begins without any.
    """
    name = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def asked(plan, *rest, **named):
        key = (name, language.current(), *rest, *named.items())
        if key not in plan.kept:
            plan.kept[key] = function(plan, *rest, **named)
        return plan.kept[key]

    return asked
