"""Dials built from a notebook's parameters cell; what depends on them follows. No arithmetic here.

A parameter is one line: ``users: int = 60  # people who may call [user], 1 to 5000, log``. After
its name, type and value come the label, the unit, the range with an optional step (``by 10``), and
``log`` where a step should be a share; or ``one of`` a list, which is written out (``code | chat``)
or named (`ranges.CHOICES`). A line that is only a comment begins a group.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import shlex
import threading
import tokenize
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from IPython.display import display

from planner import dials, live, ranges, views
from planner.display import Shown
from planner.turns import Turn

LINE = re.compile(
    r"(?P<label>.*?)(?: \[(?P<unit>[^\]]+)\])?"
    r"(?:, (?P<least>\S+) to (?P<most>\S+?))?(?:, by (?P<step>\S+?))?(?P<log>, log)?"
    r"(?:, one of (?P<choices>.+))?"
)
TYPES = {"int": int, "float": float, "str": str, "bool": bool}


class ControlError(ValueError):
    """A parameters cell that cannot become dials; the message names parameter, value and remedy."""


@dataclass(frozen=True)
class Parameter:
    """
    One line of a parameters cell.

    Parameters
    ----------
    name, kind, default
        As written; kind is int, float, str or bool.
    label, unit, group : str
        In words.
    least, most : str
        A number, or a name of `ranges.LIMITS`; empty without a range.
    step : float
        0: a hundredth of the range.
    log : bool
        Steps are shares.
    choices : str
        Written out with ``|``, or a name of `ranges.CHOICES`; empty without a list.
    """

    name: str
    kind: str
    default: object
    label: str
    unit: str = ""
    group: str = ""
    least: str = ""
    most: str = ""
    step: float = 0.0
    log: bool = False
    choices: str = ""

    def options(self, values: Mapping) -> list[tuple[str, object]]:
        """What may be chosen, as label and value; empty where anything may be written."""
        if not self.choices:
            return []
        if "|" in self.choices:
            return [(word.strip(), word.strip()) for word in self.choices.split("|")]
        return ranges.choices(self.choices, values)

    def limits(self, values: Mapping) -> tuple[float, float] | None:
        """Smallest and largest value; None without a range."""
        if not self.least:
            return None
        return ranges.limit(self.least, values), ranges.limit(self.most, values)

    def check(self, value: object, values: Mapping) -> None:
        """
        Refuse what the dial could not be set to.

        Raises
        ------
        ControlError
        """
        limits, options = self.limits(values), self.options(values)
        if options and value not in [choice for _, choice in options]:
            close = ", ".join(str(choice) for _, choice in options[:12])
            raise ControlError(f"parameter {self.name}: {value!r} is none of {close}")
        if limits and not limits[0] <= value <= limits[1]:
            raise ControlError(
                f"parameter {self.name}: {value!r} lies outside {limits[0]:g} to {limits[1]:g} "
                f"{self.unit}".rstrip()
            )


def read(source: str) -> list[Parameter]:
    """
    The parameters of a cell.

    Parameters
    ----------
    source : str
        Annotated assignments with comments.

    Returns
    -------
    parameters : list of Parameter

    Raises
    ------
    ControlError
        Names the line that is not understood.
    """
    comments = {
        token.start[0]: (token.start[1] == 0, token.string.lstrip("# ").strip())
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    lines = {node.lineno: node for node in ast.parse(source).body}
    group, found = "", []
    for number in sorted({*comments, *lines}):
        alone, words = comments.get(number, (False, ""))
        node = lines.get(number)
        if node is None:
            group = words if alone else group
            continue
        if not isinstance(node, ast.AnnAssign) or ast.unparse(node.annotation) not in TYPES:
            raise ControlError(
                f"line {number} of the parameters cell: write `name: int = 60  # what it is "
                f"[unit], 1 to 5000`, with one of the types {', '.join(TYPES)}"
            )
        parts = LINE.fullmatch(words).groupdict(default="")
        found.append(
            Parameter(
                node.target.id, ast.unparse(node.annotation), ast.literal_eval(node.value),
                parts["label"] or node.target.id, parts["unit"], group, parts["least"],
                parts["most"], float(parts["step"] or 0), bool(parts["log"]), parts["choices"],
            )
        )  # fmt: skip
    return found


class Source:
    """
    A value that changes, and what follows it.

    Parameters
    ----------
    value : object
        At first.
    turn : turns.Turn, optional
        Says what follows at once; of dials and of what is computed from them it is the same.
    """

    def __init__(self, value: object, turn: Turn | None = None):
        self.value, self.trouble, self.turn = value, None, turn or Turn()
        self._followers: list[Callable[[set], bool]] = []

    def compute(self, function: Callable) -> Source:
        """
        Another value, made from this one whenever it changes.

        Parameters
        ----------
        function : callable
            Takes the value; of dials, those that it names as arguments.
        """
        made = Source(self._call(function), self.turn)

        def follow(names):
            if not self._concerns(function, names):
                return False
            try:
                made.value, made.trouble = self._call(function), None
            except ValueError as error:  # what follows says so instead of showing the past
                made.trouble = error
            return made.changed(names)

        self._followers.append(follow)
        return made

    def live(self, function: Callable, signals: tuple[str, ...] = ()) -> Shown:
        """
        Something shown that follows this value.

        Parameters
        ----------
        function : callable
            As in `compute`; returns what `planner.display` makes, a list of it, or a sentence.
        signals : tuple of str
            Dials that move the chart inside the browser, where it has ``params`` of their names.
        """
        first = self._call(function)
        if not live.interactive():
            *others, last = views.listed(first)
            display(*others)
            return last
        view = views.View(first, {name: self.link(name) for name in signals})

        def follow(names):
            concerned = self._concerns(function, names - set(signals))
            return concerned and view.show(lambda: self._call(function))

        self._followers.append(follow)
        return view

    def changed(self, names: set) -> bool:
        """Tell everything that follows, in the order of the page; whether a chart was drawn."""
        drawn = [self.turn.run(follow, names) for follow in self._followers]
        return any(drawn)

    def link(self, name: str) -> str:
        """How a chart follows a dial inside the browser; see `live.Chart`."""
        raise ControlError(f"{name} is no dial; only dials move a chart inside the browser")

    def _call(self, function):
        if self.trouble is not None:
            raise self.trouble
        return function(self.value)

    def _concerns(self, function, names):
        return bool(names)


class Dials(Source):
    """
    The dials of a notebook.

    Parameters
    ----------
    parameters : list of Parameter
        From `read`.
    values : mapping
        Their values now.
    notebook : str
        Its file name without ending, for the command line.
    save : callable, optional
        From the values, a name and whether to replace to the path of the team file written.
    preset : callable, optional
        From the dials that it names to values of others, which follow when one of those is turned.
    stated : iterable of str
        Dials whose values were given from outside; no preset changes them at the start.
    """

    def __init__(
        self,
        parameters: list[Parameter],
        values: Mapping,
        notebook: str,
        save: Callable | None = None,
        preset: Callable | None = None,
        stated: Iterable[str] = (),
    ):
        self.parameters = {parameter.name: parameter for parameter in parameters}
        start = {name: values[name] for name in self.parameters}
        super().__init__(start)
        self.notebook, self.save, self.preset = notebook, save, preset
        start |= {name: v for name, v in self.follows(start).items() if name not in stated}
        for parameter in parameters:
            parameter.check(start[parameter.name], start)
        self.panel = dials.Panel(self) if live.interactive() else None
        if self.panel is not None:
            self.turn.busy = self.panel.busy

    def follows(self, changed: Iterable[str]) -> dict:
        """
        What the preset says, where one of its dials changed.

        Parameters
        ----------
        changed : iterable of str
            Names of dials.
        """
        concerned = self.preset and self._concerns(self.preset, set(changed))
        return self._call(self.preset) if concerned else {}

    def set(self, **changes) -> None:
        """Turn dials, as a person would."""
        self.value = {**self.value, **changes}
        self.turn.begin()
        self.changed(set(changes))
        self.turn.end()

    def command(self) -> str:
        """The command that runs this notebook with these values."""
        usual = {name: parameter.default for name, parameter in self.parameters.items()}
        usual |= self.follows(usual)
        turned = {name: value for name, value in self.value.items() if value != usual[name]}
        parts = ["papermill", f"notebooks/{self.notebook}.ipynb", f"reports/{self.notebook}.ipynb"]
        for name, value in turned.items():
            parts += ["-p", name, str(value)]
        return shlex.join(parts)

    def link(self, name: str) -> str:
        return self.panel.link(name)

    def _call(self, function):
        names = self._names(function)
        return function(**{name: self.value[name] for name in names})

    def _concerns(self, function, names):
        return bool(names & set(self._names(function)))

    def _names(self, function):
        asked = inspect.signature(function).parameters.values()
        if any(argument.kind is inspect.Parameter.VAR_KEYWORD for argument in asked):
            return list(self.value)
        return [argument.name for argument in asked if argument.name in self.value]

    def _repr_mimebundle_(self, include=None, exclude=None):
        if self.panel is not None:
            return self.panel.box._repr_mimebundle_()
        return dials.table(self)._repr_mimebundle_()


def here(
    notebook: str, values: Mapping, save: Callable | None = None, preset: Callable | None = None
) -> Dials:
    """
    The dials of the notebook that runs.

    Parameters
    ----------
    notebook : str
        Its file name without ending.
    values : mapping
        Its ``globals()``, where the cells that ran (``In``) are too.
    save, preset : callable, optional
        As in `Dials`.

    Returns
    -------
    dials : Dials

    Raises
    ------
    ControlError
        Names the parameter, the value and the remedy.
    """
    for source in reversed(values["In"]):
        if re.match(r"(#.*\n)*\w+: (int|float|str|bool) = ", source):
            stated = [name for cell in values["In"] for name in _injected(cell)]
            return Dials(read(source), values, notebook, save, preset, stated)
    raise ControlError("no parameters cell has run; run the notebook from its first cell")


def _injected(source):
    """Names that a cell of papermill sets."""
    if not source.startswith("# Parameters\n"):
        return []
    return [target.id for node in ast.parse(source).body for target in node.targets]


def later(work: Callable[[], object]) -> Source:
    """
    Work too slow for the opening of a page, done in the background.

    Parameters
    ----------
    work : callable
        Makes the value. Where nobody looks on it is made at once.

    Returns
    -------
    source : Source
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
