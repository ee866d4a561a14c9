"""The widgets behind `controls`: sliders and lists in groups, a tool bar, and views that follow."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping

import ipywidgets as widgets
import mistune
import pandas as pd
from ipywidgets.widgets import widget as protocol

from planner import display, live
from planner.display import Drawing, Shown

# A slider that is dragged in one browser need not be told where it is.
protocol.JUPYTER_WIDGETS_ECHO = False
PER_DECADE = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
WIDE = widgets.Layout(width="100%")
LABEL = "235px"
SLOW = 0.3  # from here on a page says that it works [s]
STYLE = """<style>
.planner-panel {border: 1px solid #D5DBE1; border-radius: 6px; padding: 10px 14px;
  background: #FAFBFC; max-width: 1180px; overflow: visible}
.planner-panel .widget-label {white-space: normal; line-height: 1.25; text-align: left;
  height: auto}
.planner-group {font-weight: 600; color: #1F2933; margin: 4px 0 2px}
.planner-note {color: #5F6B76; font-size: 13px; line-height: 1.35}
.planner-trouble {color: #B3261E}
.planner-caption {font-weight: 600; color: #1F2933; margin: 8px 0 2px}
.planner-shown table {border-collapse: collapse; font-size: 13px; line-height: 1.35}
.planner-shown caption {text-align: left; font-weight: 600; padding: 6px 0; color: #1F2933}
.planner-shown th, .planner-shown td {padding: 3px 10px; vertical-align: top; text-align: left}
.planner-shown th {border-bottom: 1px solid #5F6B76; font-weight: 600}
.planner-shown tbody tr:nth-child(even) {background: #F4F6F8}
.planner-shown {overflow-x: auto; line-height: 1.45}
.planner-busy {opacity: .45; transition: opacity .2s .3s}
</style>"""


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
        self.box = widgets.VBox([widgets.HTML(STYLE), *self._groups(), self._tools(), self.said])
        self.box.add_class("planner-panel")
        live.library()

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
        if not self.quiet:
            self._turn({name: value}, {**self.dials.value, name: value})

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
                if wanted != self.dials.value[name]:
                    changes[name] = wanted
                values = {**values, name: wanted}
        finally:
            self.quiet = False
        self.dials.set(**changes)

    def link(self, name: str) -> dict:
        """
        How a chart follows one dial inside the browser.

        Parameters
        ----------
        name : str
            Of the dial.

        Returns
        -------
        link : dict
            For `live.Chart`.
        """
        dial = self.widgets[name]
        link = {"widget": f"IPY_MODEL_{dial.model_id}"}
        if isinstance(dial, widgets.SelectionSlider | widgets.Dropdown):
            link["values"] = [value for _, value in dial.options]
        return link


def _nearest(value, options, limits, near=False):
    """The value itself where it is offered; else the nearest number, or the first of a list."""
    values = [choice for _, choice in options]
    if options and value not in values:
        return min(values, key=lambda one: abs(one - value)) if near else values[0]
    return min(max(value, limits[0]), limits[1]) if limits else value


class View(Shown):
    """
    What a cell shows, kept up to date in place.

    Parameters
    ----------
    shown : Shown or iterable of Shown
        At first.
    links : mapping, optional
        Signals that dials drive in the browser, for its charts.
    """

    def __init__(self, shown: Shown | Iterable[Shown], links: Mapping | None = None):
        self.links = dict(links or {})
        self.box = widgets.VBox(layout=WIDE)
        self.box.add_class("planner-shown")
        self.parts: list[Part] = []
        self._put(_listed(shown))

    def show(self, make: Callable[[], Shown | Iterable[Shown]]) -> None:
        """
        Show something newer; where it cannot be made, say why and keep what stood there.

        Parameters
        ----------
        make : callable
            Makes it.
        """
        try:
            self._put(_listed(make()))
        except ValueError as error:
            words = html.escape(str(error)).replace("\n", "<br>")
            self.box.children = [widgets.HTML(f"<div class='planner-trouble'>{words}</div>")]
            self.parts = []

    def _put(self, shown):
        kinds = [isinstance(item, Drawing) for item in shown]
        if kinds == [part.drawn for part in self.parts]:
            for part, item in zip(self.parts, shown, strict=True):
                part.show(item)
            return
        self.parts = [Part(item, self.links) for item in shown]
        self.box.children = [part.box for part in self.parts]

    @property
    def data(self):
        return self.box._repr_mimebundle_()

    @property
    def plain(self):
        return "; ".join(part.plain for part in self.parts)


class Part:
    """One chart, table or text of a view."""

    def __init__(self, shown: Shown, links: Mapping):
        self.drawn = isinstance(shown, Drawing)
        self.words = widgets.HTML()
        self.chart = live.Chart(shown, links) if self.drawn else None
        self.box = widgets.VBox([self.words, self.chart]) if self.drawn else self.words
        self.show(shown)

    def show(self, shown: Shown) -> None:
        """Patch what stands here."""
        self.plain = shown.plain
        if self.drawn:
            self.chart.update(shown)
            words = f"<div class='planner-caption'>{html.escape(shown.caption)}</div>"
        else:
            words = markup(shown)
        if words != self.words.value:
            self.words.value = words


class Several(Shown):
    """Several things that one cell shows without a page, one under the other."""

    def __init__(self, shown: Iterable[Shown]):
        self.shown = list(shown)
        self.plain = "; ".join(item.plain for item in self.shown)

    @property
    def data(self):
        return {"text/html": "".join(markup(item) for item in self.shown)}


def markup(shown: Shown) -> str:
    """
    A table, text or drawing as HTML.

    Parameters
    ----------
    shown : Shown
        From `planner.display`.

    Returns
    -------
    markup : str
    """
    data = shown.data
    for kind in ("text/html", "image/svg+xml"):
        if kind in data:
            return data[kind]
    return mistune.html(data["text/markdown"])


def _listed(shown):
    return [shown] if isinstance(shown, Shown) else list(shown)


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
