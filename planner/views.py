"""What a cell of a notebook shows: kept up to date in place where somebody looks on."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping

import ipywidgets as widgets
import mistune

from planner import display, live
from planner.display import Drawing, Shown

WIDE = widgets.Layout(width="100%")
_markdown = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])


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
        self._put(listed(shown))

    def show(self, make: Callable[[], Shown | Iterable[Shown]]) -> bool:
        """
        Show something newer; where it cannot be made, say why and keep what stood there.

        Parameters
        ----------
        make : callable
            Makes it.

        Returns
        -------
        drawn : bool
            Whether it has a chart.
        """
        try:
            self._put(listed(make()))
        except ValueError as error:
            words = html.escape(str(error)).replace("\n", "<br>")
            self.box.children = [widgets.HTML(f"<div class='planner-trouble'>{words}</div>")]
            self.parts = []
        return any(part.drawn for part in self.parts)

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
    return _markdown(data["text/markdown"])


def listed(shown: Shown | str | Iterable[Shown]) -> list[Shown]:
    """
    What a page function returned, as a list.

    Parameters
    ----------
    shown : Shown, str or iterable of Shown
        A string is a sentence in markdown.

    Returns
    -------
    shown : list of Shown
    """
    if isinstance(shown, str):
        return [display.text(shown)]
    return [shown] if isinstance(shown, Shown) else list(shown)
