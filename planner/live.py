"""Charts that stay alive in the browser: drawn once, then patched with new rows.

Offline: the drawing library comes from the installed vl-convert, once a page.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import anywidget
import traitlets
import vl_convert

from planner.display import Drawing

CODE = Path(__file__).with_name("live.js")
LIBRARY = """
if (!globalThis.plannerVega) {
  let arrived;
  const promise = new Promise((resolve) => (arrived = resolve));
  globalThis.plannerVega = { promise, arrived };
}
globalThis.plannerVega.arrived({ vegaEmbed, vega });
export default {
  initialize({ model }) {
    model.on("msg:custom", ({ copy }) => navigator.clipboard?.writeText(copy).catch(() => {}));
  },
};
"""


def interactive() -> bool:
    """
    Whether somebody looks on: JupyterLab and Voila say so, a scheduled run does not.

    Returns
    -------
    interactive : bool
    """
    app = os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
    return app or "JPY_SESSION_NAME" in os.environ


@cache
def bundle() -> str:
    """
    The drawing library as one script, made once for an installed version and kept.

    Returns
    -------
    script : str
    """
    kept = CODE.parent / "__pycache__" / f"vega-{vl_convert.__version__}.js"
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    # What puts the script together calls each of its passes an error.
    logging.getLogger("swc_ecma_transforms_optimization").setLevel(logging.CRITICAL)
    script = vl_convert.javascript_bundle(LIBRARY)
    try:
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(script, encoding="utf-8")
        part.replace(kept)
    except OSError:
        pass  # a read-only installation makes it anew each time
    return script


class Library(anywidget.AnyWidget):
    """Brings the drawing library to a page; shows nothing."""

    _esm = traitlets.Unicode().tag(sync=True)

    def __init__(self):
        super().__init__(_esm=bundle())


class Chart(anywidget.AnyWidget):
    """
    A Vega-Lite chart whose rows can be replaced while it is shown.

    Parameters
    ----------
    drawing : Drawing
        What is shown first.
    links : mapping of str to str
        Signals that a dial drives in the browser, and the widget of the dial.
    """

    _esm = CODE
    spec = traitlets.Dict().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    links = traitlets.Dict().tag(sync=True)

    def __init__(self, drawing: Drawing, links: Mapping | None = None):
        library()
        super().__init__(
            spec=drawing.spec, data=drawing.rows, description=drawing.alt, links=dict(links or {})
        )

    def update(self, drawing: Drawing) -> bool:
        """
        Show another state of the same chart.

        Parameters
        ----------
        drawing : Drawing
            Of the same chart function.

        Returns
        -------
        patched : bool
            False where more than rows and words changed and the chart had to be drawn anew.
        """
        same = drawing.spec == self.spec
        with self.hold_sync():
            self.description = drawing.alt
            self.data = drawing.rows
            if not same:
                self.spec = drawing.spec
        return same


@cache
def library() -> Library:
    """
    The one `Library` of this kernel.

    Returns
    -------
    library : Library
    """
    return Library()


def copy(words: str) -> None:
    """
    Put words on the clipboard of whoever turned a dial; a page without one ignores it.

    Parameters
    ----------
    words : str
        To be pasted elsewhere.
    """
    library().send({"copy": words})
