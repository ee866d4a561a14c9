"""The widgets behind `controls`: sliders and lists in groups, and a tool bar."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from ipywidgets.widgets import widget as protocol

from planner import display, live
from planner.display import Shown

# A slider that is dragged in one browser need not be told where it is.
protocol.JUPYTER_WIDGETS_ECHO = False
PER_DECADE = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
LABEL = "235px"
STYLE = Path(__file__).with_name("live.css")


def series(least: float, most: float, also: Iterable[float], whole: bool) -> list:
    """
    Round steps that are shares of each other.

    Parameters
    ----------
    least, most : float
        Ends of the dial.
    also : iterable of float
        What it must be able to show besides, round or not.
    whole : bool
        Whole numbers only.

    Returns
    -------
    steps : list of int or float

    Examples
    --------
    >>> series(1, 20, [7], True)
    [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20]
    """
    steps, decade = {least, most, *also}, 1e-3
    while decade <= most:
        steps |= {round(step * decade, 6) for step in PER_DECADE}
        decade *= 10
    inside = sorted(step for step in steps if least <= step <= most)
    return sorted({int(step) for step in inside if step == int(step)}) if whole else inside


def made(parameter, value: object, values: Mapping) -> widgets.Widget:
    """
    One dial.

    Parameters
    ----------
    parameter : controls.Parameter
        What it turns.
    value : object
        Where it stands.
    values : mapping
        All dials, which may bound this one.

    Returns
    -------
    dial : Widget
    """
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    shared = {
        "description": parameter.label + unit,
        "tooltip": parameter.name,
        "style": {"description_width": LABEL},
        "layout": widgets.Layout(width="540px"),
    }
    options, limits = offered(parameter, value, values)
    if parameter.log:
        return widgets.SelectionSlider(options=options, value=value, **shared)
    if options:
        return widgets.Dropdown(options=options, value=value, **shared)
    if parameter.kind == "bool":
        return widgets.Checkbox(value=value, **shared)
    if not limits:
        return widgets.Text(value=str(value), continuous_update=False, **shared)
    kind = widgets.IntSlider if parameter.kind == "int" else widgets.FloatSlider
    step = parameter.step or (1 if parameter.kind == "int" else (limits[1] - limits[0]) / 100)
    step = int(step) if parameter.kind == "int" else step
    form = ",d" if parameter.kind == "int" else ("," if step >= 1 else "") + _places(step)
    return kind(value=value, min=limits[0], max=limits[1], step=step, readout_format=form, **shared)


def offered(parameter, start: object, values: Mapping) -> tuple[list, tuple | None]:
    """
    What a dial offers: a list, or the ends of a range.

    Parameters
    ----------
    parameter : controls.Parameter
        Of the dial.
    start : object
        Where it began.
    values : mapping
        All dials.

    Returns
    -------
    options : list of (str, object)
        Empty where it has a range or takes any text.
    limits : tuple of float, or None
    """
    limits = parameter.limits(values)
    if not parameter.log:
        return parameter.options(values), limits
    steps = series(*limits, (parameter.default, start), parameter.kind == "int")
    return [(display.number(step), step) for step in steps], None


def _places(step):
    return f".{max(0, len(f'{step:.6f}'.rstrip('0').split('.')[1]))}f"


class Panel:
    """
    Every dial of a notebook, with what can be done with them.

    Parameters
    ----------
    dials : controls.Dials
        What the widgets turn.
    """

    def __init__(self, dials):
        self.dials, self.quiet, self.start = dials, False, dials.value
        values = dials.value
        self.widgets = {
            name: made(parameter, values[name], values)
            for name, parameter in dials.parameters.items()
        }
        for name, dial in self.widgets.items():
            dial.observe(lambda change, name=name: self._moved(name, change["new"]), "value")
        self.said = widgets.HTML()
        self.box = widgets.VBox([self._style(), *self._groups(), self._tools(), self.said])
        self.box.add_class("planner-panel")
        live.library()

    def _style(self):
        return widgets.HTML(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")

    def _groups(self):
        groups: dict[str, list] = {}
        for name, parameter in self.dials.parameters.items():
            groups.setdefault(parameter.group, []).append(self.widgets[name])
        titled = [
            widgets.VBox([widgets.HTML(f"<div class='planner-group'>{html.escape(title)}</div>")]
                         * bool(title) + dials)
            for title, dials in groups.items()
        ]  # fmt: skip
        flow = widgets.Layout(display="flex", flex_flow="row wrap", grid_gap="4px 28px")
        return [widgets.Box(titled, layout=flow)]

    def _tools(self):
        tools = [self._button("Reset", "undo", self.reset, "Every dial back to where it began")]
        tools.append(
            self._button("Copy as command line", "terminal", self._command,
                         "The command that runs this notebook with these values")
        )  # fmt: skip
        if self.dials.save:
            name = widgets.Text(
                placeholder="name of the scenario", layout=widgets.Layout(width="230px"),
                tooltip="Small letters, digits and underscores; it names the file and the report",
            )  # fmt: skip
            again = widgets.Checkbox(
                description="replace", indent=False, layout=widgets.Layout(width="80px"),
                tooltip="Write over a scenario that was saved under this name before",
            )  # fmt: skip
            save = self._button(
                "Save as team", "save", lambda: self._save(name.value, again.value),
                "A file in data/teams, which the next run of the reports renders",
            )  # fmt: skip
            tools += [name, again, save]
        flow = widgets.Layout(flex_flow="row wrap", margin="8px 0 0", align_items="center")
        return widgets.HBox(tools, layout=flow)

    def _button(self, words, icon, act, tooltip):
        button = widgets.Button(
            description=words, icon=icon, tooltip=tooltip, layout=widgets.Layout(width="auto")
        )
        button.on_click(lambda _: act())
        return button

    def reset(self) -> None:
        """Every dial back to where it began."""
        begun = {name: p.default for name, p in self.dials.parameters.items()}
        self._turn(begun, begun)
        self.say("")

    def say(self, words: str, trouble: bool = False) -> None:
        """A remark under the dials."""
        kind = "planner-note planner-trouble" if trouble else "planner-note"
        self.said.value = f"<div class='{kind}'>{words}</div>" if words else ""

    def _command(self):
        command = self.dials.command()
        live.copy(command)
        self.say(f"Copied: <code>{html.escape(command)}</code>")

    def _save(self, name, again):
        try:
            path = self.dials.save(self.dials.value, name, again)
        except ValueError as error:
            lines = html.escape(str(error)).replace("\n", "<br>")
            self.say(lines, trouble=True)
            return
        self.say(
            f"Saved as <code>{html.escape(path.as_posix())}</code>. Its report: "
            f"<code>planner report {html.escape(path.stem)}</code>, or <code>make reports</code>."
        )

    def _moved(self, name, value):
        if self.quiet:
            return
        changes = {name: value}
        self.dials.value = {**self.dials.value, **changes}
        follows = self.dials.follows(changes)
        self.start = {**self.start, **follows}  # a dial can show what it begins with
        changes |= follows
        self._turn(changes, {**self.dials.value, **changes})

    def _turn(self, changes, values):
        """Turn dials, and those that physics binds to them."""
        changes = dict(changes)
        self.quiet = True
        try:
            for name, parameter in self.dials.parameters.items():
                dial = self.widgets[name]
                options, limits = offered(parameter, self.start[name], values)
                wanted = _nearest(values[name], options, limits, parameter.log)
                if options and tuple(options) != tuple(dial.options):
                    dial.options = options
                elif limits and (dial.min, dial.max) != limits:
                    dial.max = max(limits[1], dial.min)
                    dial.min, dial.max = limits
                if dial.value != wanted:
                    dial.value = wanted
                if name in changes or wanted != self.dials.value[name]:
                    changes[name] = wanted
                values = {**values, name: wanted}
        finally:
            self.quiet = False
        self.busy(True)
        try:
            self.dials.set(**changes)
        except BaseException:
            self.busy(False)
            raise

    def busy(self, yes: bool) -> None:
        """Say, where it lasts, that something has still to follow."""
        (self.box.add_class if yes else self.box.remove_class)("planner-busy")

    def link(self, name: str) -> str:
        """The widget of a dial, as `live.Chart` finds it inside the browser."""
        return f"IPY_MODEL_{self.widgets[name].model_id}"


def _nearest(value, options, limits, near=False):
    """The value itself where it is offered; else the nearest number, or the first of a list."""
    values = [choice for _, choice in options]
    if options and value not in values:
        return min(values, key=lambda one: abs(one - value)) if near else values[0]
    return min(max(value, limits[0]), limits[1]) if limits else value


def table(dials) -> Shown:
    """
    The values of the dials, for a page that nobody turns.

    Parameters
    ----------
    dials : controls.Dials
        Of a notebook.

    Returns
    -------
    shown : Shown
    """
    rows = [
        {"label": p.label, "value": display.number(v) if p.limits(dials.value) else str(v),
         "unit": p.unit or "\u2003"}
        for (name, p), v in zip(dials.parameters.items(), dials.value.values(), strict=True)
    ]  # fmt: skip
    columns = {"label": "Parameter", "value": display.Column("Value", align="right")}
    return display.table(pd.DataFrame(rows), columns | {"unit": "Unit"}, "What was asked")
