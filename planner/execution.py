"""Runs a notebook in this process, which ends afterwards.

Papermill reads it and injects the parameters; IPython runs the cells. A process runs one notebook
and is thrown away, so nothing that a notebook leaves behind reaches the next one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat import NotebookNode
from nbformat.v4.rwbase import split_lines, strip_transient
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from traitlets.config import Config

from planner.shown import Shown

# The errors of the planner explain themselves; of any other the name helps.
SPEAKING = {"ValueError", "TeamError", "CatalogueError", "UnknownArchitecture", "DocumentError"}


class NotebookError(ValueError):
    """A cell that raised; the message is the cell's own."""


def _output(kind: str, **content) -> NotebookNode:
    """nbformat's own `new_output` checks each against its schema; the tests do that for all."""
    return NotebookNode(output_type=kind, **content)


class _Publisher(DisplayPublisher):
    """What cells hand to `display`, kept for the notebook."""

    outputs: list

    def publish(self, data, metadata=None, source=None, *, update=False, **rest):
        self.outputs.append(_output("display_data", data=data, metadata=metadata or {}))

    def clear_output(self, wait=False):
        self.outputs.clear()


class _Hook(DisplayHook):
    """The value of a cell's last line, in every mime type that it has."""

    outputs: list
    number: int  # of the cell

    def quiet(self):
        """A semicolon ends the cell; most have none, which is quick to tell."""
        return ";" in self.shell.history_manager.input_hist_parsed[-1] and super().quiet()

    def __call__(self, result=None):
        if result is None or self.quiet():
            return
        if isinstance(result, Shown):  # says all its kinds itself, so no formatter is asked
            data, metadata = result._repr_mimebundle_(), {}
        else:
            data, metadata = self.shell.display_formatter.format(result)
        self.outputs.append(
            _output("execute_result", data=data, metadata=metadata, execution_count=self.number)
        )


class _Stream:
    """Takes what a cell prints; lines that follow each other become one output."""

    encoding = "utf-8"

    def __init__(self, name: str, outputs: list):
        self.name, self.outputs = name, outputs

    def write(self, text: str) -> int:
        last = self.outputs[-1] if self.outputs else {}
        if last.get("output_type") == "stream" and last["name"] == self.name:
            last["text"] += text
        else:
            self.outputs.append(_output("stream", name=self.name, text=text))
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False


@cache
def shell() -> InteractiveShell:
    """The one shell of this process, without history, so without a file or a thread."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    made = InteractiveShell.instance(config=config)
    made.display_pub = _Publisher(parent=made)
    made.displayhook = made.display_trap.hook = _Hook(parent=made, shell=made)
    made.transform_cell = cache(made.transform_cell)  # the cells of every report are the same
    return made


@cache
def _read(notebook: str, written: int) -> NotebookNode:
    """A notebook as it was written at some time [ns]; nobody changes it."""
    return load_notebook_node(notebook)


@contextmanager
def _kept(outputs: list) -> Iterator[None]:
    """What is displayed, returned and printed meanwhile goes into these outputs."""
    run = shell()
    run.display_pub.outputs = run.displayhook.outputs = outputs
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Stream("stdout", outputs), _Stream("stderr", outputs)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _run(cell, count: int) -> None:
    """Run one cell and keep what it shows."""
    shell().displayhook.number = cell.execution_count = count
    with _kept(cell.outputs):
        result = shell().run_cell(cell.source, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    if isinstance(error, MemoryError):  # numpy has one of its own
        raise MemoryError from None
    if error is not None:
        kind = type(error).__name__
        raise NotebookError(f"{'' if kind in SPEAKING else f'{kind}: '}{error}") from None


def execute(
    notebook: str | Path,
    parameters: Mapping[str, object],
    folder: str | Path,
    tell: Callable[[int], None] | None = None,
) -> dict:
    """
    Run a notebook in this process.

    Parameters
    ----------
    notebook : str or Path
        Notebook file.
    parameters : mapping
        Values for its `parameters` cell.
    folder : str or Path
        Where its relative paths begin.
    tell : callable
        Given the number of each cell before it runs.

    Returns
    -------
    executed : dict
        The notebook with its outputs, as JSON holds it.

    Raises
    ------
    NotebookError
        What the cell that raised says.
    """
    executed = parameterize_notebook(
        deepcopy(_read(str(notebook), Path(notebook).stat().st_mtime_ns)),
        dict(parameters),
        kernel_name="python3",
        language="python",
    )
    shell()._showtraceback = lambda *traceback: None  # who asked for the report is told
    count = 0
    with chdir(folder):
        for position, cell in enumerate(executed.cells, 1):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            count += 1
            if tell is not None:
                tell(position)
            _run(cell, count)
    executed.metadata.pop("papermill", None)
    for position, cell in enumerate(executed.cells):
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = f"injected-{position}"  # papermill's own is random
    return split_lines(strip_transient(executed))
