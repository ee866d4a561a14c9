"""Processes of a run: a fresh one for each notebook, and kept ones that draw and set pages.

A fresh process is forked from a server that has loaded everything and has run nothing for a team,
so that no report finds what another has left behind. Where there is no such server (Windows) a
process is started from nothing. Each ends by itself when the one that waits for it is gone.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.connection import Connection, wait

TIME = "not done after {limit:g} s, then in {where}; raise --time-limit or see what it waits for"
MEMORY = "needs more memory than the {limit:g} GiB allowed (in {where}); raise --memory-limit"
SHORT = "the memory was used up (in {where}); run fewer jobs at a time"
DIED = (
    "the process died in {where} ({how}), most often for lack of memory; run fewer jobs at a time"
)
RENEWED = 120  # calls after which a kept process makes way: each takes a little more memory
REHEARSED_FROM = 8  # reports; fewer do not earn back one that is made to fill the caches
_live: set = set()
_stopping = threading.Event()
_lock = threading.Lock()


class ReportError(ValueError):
    """A report that could not be made; the message is for the person who asked for it."""


@cache
def _context():
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["planner.warm"])
    return context


def prepare(reports: int) -> None:
    """Say how many reports will come; a server that has not started yet then loads what pays."""
    global _asked
    _asked = "rehearsed" if reports >= REHEARSED_FROM else "pages"


_asked = "pages"


@contextmanager
def _told() -> Iterator[None]:
    """The server that is started meanwhile reads in its environment what it is to load."""
    os.environ["PLANNER_WARM"] = _asked
    try:
        yield
    finally:
        del os.environ["PLANNER_WARM"]


@contextmanager
def _allowed() -> Iterator[None]:
    """A worker of Dask counts as a daemon, which may start no process; ours end by themselves."""
    mine = multiprocessing.process.current_process()._config
    daemon = mine.pop("daemon", None)
    try:
        yield
    finally:
        if daemon is not None:
            mine["daemon"] = daemon


class _Child:
    """A process and the pipe to it; `read` makes an answer of the bytes that come through it."""

    calls = 0  # that it has answered

    def __init__(self, read: Callable[[bytes], dict], target: Callable, *arguments):
        context, self.read = _context(), read
        self.pipe, theirs = context.Pipe()
        process = context.Process(target=_begin, args=(target, theirs, *arguments), daemon=True)
        with _lock, _allowed(), _told():
            process.start()
        self.process, self.where = process, "its start"
        theirs.close()
        _live.add(self)
        if _stopping.is_set():
            self.end()
            raise ReportError("stopped before it was done")

    def receive(self, until: float, limit: float) -> dict:
        """What it answers; `until` is the moment on the monotonic clock at which it is ended. [s]

        Messages on the way say where it is.
        """
        while True:
            ready = wait([self.pipe, self.process.sentinel], max(0.0, until - time.monotonic()))
            if not ready:
                self.end()
                raise ReportError(TIME.format(limit=limit, where=self.where))
            try:
                there = self.pipe in ready or self.pipe.poll()
                answer = self.read(self.pipe.recv_bytes()) if there else None
            except (EOFError, OSError):
                answer = None
            if answer is None:
                self.process.join(10)
                how = _how(self.process.exitcode)
                self.end()
                raise ReportError(DIED.format(where=self.where, how=how))
            if "where" not in answer:
                return answer
            self.where = answer["where"]

    def end(self) -> None:
        """Whatever it does, it and what it has started are gone afterwards."""
        with suppress(OSError, ValueError):
            if self.process.is_alive():
                with suppress(AttributeError, ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.kill()
            self.process.join(10)
            self.process.close()
        self.pipe.close()
        _live.discard(self)


def _how(code: int | None) -> str:
    if code is None:
        return "it does not answer"
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


@contextmanager
def stopped() -> Iterator[None]:
    """Every process that was started here ends, and none starts meanwhile; who waits hears it."""
    _stopping.set()
    try:
        for child in list(_live):
            with suppress(Exception):
                child.process.kill()
        _idle.clear()
        yield
    finally:
        _stopping.clear()


# ---- inside the processes ----------------------------------------------------------------------


def _begin(target: Callable, pipe: Connection, *arguments) -> None:
    """First thing in a new process: a session of its own, silence, and an end with its parent."""
    global _session
    with suppress(AttributeError, OSError):
        os.setsid()
        _session = True
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # what libraries print there belongs in no log of reports
        os.dup2(nowhere, number)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_guard, args=(parent.sentinel,), daemon=True).start()
    try:
        target(pipe, *arguments)
    finally:  # no thread that was left behind is waited for
        _leave()


_session = False


def _guard(sentinel) -> None:
    wait([sentinel])
    _leave()


def _leave() -> None:
    """The end of this process and of those that it has started; nothing left behind has a say."""
    if _session:
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _limited(limit: float) -> None:
    """No more private memory than this from now on, where the system can hold it to that. [GiB]"""
    with suppress(ImportError, ValueError, OSError):
        import resource

        most = int(limit * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _answer(call: Callable, *arguments) -> dict:
    """What a call returns, or in words what it raised."""
    before = time.process_time()
    try:
        answer = {"done": call(*arguments)}
    except MemoryError:
        answer = {"memory": True}
    except (ValueError, OSError) as error:
        answer = {"error": str(error)}
    except BaseException as error:  # whatever it is, the other teams' reports go on
        answer = {"error": f"{type(error).__name__}: {error}"}
    return {**answer, "cpu": time.process_time() - before}


def _once(
    pipe: Connection, call: Callable, argument: object, limit: float, written=json.dumps
) -> None:
    def send(answer: dict) -> None:
        pipe.send_bytes(written(answer).encode())

    if limit:
        _limited(limit)
    try:
        send(_answer(call, argument, lambda where: send({"where": where})))
    except MemoryError:
        send({"memory": True, "cpu": time.process_time()})


def _serve(pipe: Connection, call: Callable) -> None:
    while True:
        try:
            argument = json.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        pipe.send(_answer(call, argument))


# ---- what others use ---------------------------------------------------------------------------


def once(
    call: Callable, argument: object, until: float, time_limit: float, memory_limit: float = 0.0
) -> tuple[object, float]:
    """
    A call in a fresh process.

    Parameters
    ----------
    call : callable
        A function of a module; takes `argument` and a function that is told where it is.
    argument : object
        Plain data.
    until : float
        The moment on the monotonic clock at which the process is ended. [s]
    time_limit : float
        How long that is, for the message. [s]
    memory_limit : float
        Most private memory of the process; 0 for no limit. [GiB]

    Returns
    -------
    result : object
    cpu : float
        Its processor time. [s]

    Raises
    ------
    ReportError
        With one line that says what went wrong.
    """
    child = _Child(json.loads, _once, call, argument, memory_limit)  # data, whatever it ran
    try:
        answer = child.receive(until, time_limit)
        where = child.where
    finally:
        child.end()
    return _result(answer, where, memory_limit), answer["cpu"]


def _result(answer: Mapping, where: str, limit: float = 0.0) -> object:
    if "memory" in answer:
        raise ReportError((MEMORY if limit else SHORT).format(limit=limit, where=where))
    if "error" in answer:
        raise ReportError(answer["error"])
    return answer["done"]


_idle: list[_Child] = []


def kept(
    call: Callable, argument: Mapping, until: float, time_limit: float, where: str
) -> tuple[object, float]:
    """
    A call in a process that is kept for the next one; it is given data only, as JSON.

    Parameters
    ----------
    call : callable
        A function of a module, the same one in every call.
    argument : mapping
        JSON.
    until, time_limit
        As in `once`.
    where : str
        What it does, for the message.

    Returns
    -------
    result : object
    cpu : float
        Its processor time. [s]
    """
    with _lock:
        child = _idle.pop() if _idle else None
    if child is None or not child.process.is_alive():
        child = _Child(pickle.loads, _serve, call)
    child.where = where
    good = False
    try:
        child.pipe.send_bytes(json.dumps(argument).encode())
        answer = child.receive(until, time_limit)
        good = True
    except OSError:
        child.process.join(10)
        raise ReportError(DIED.format(where=where, how=_how(child.process.exitcode))) from None
    finally:
        child.calls += 1
        if good and child.calls < RENEWED:
            with _lock:
                _idle.append(child)
        else:
            child.end()
    return _result(answer, where), answer["cpu"]
