"""
The notebooks in a real browser: how soon they show a chart, how soon a chart follows a dial.

    python benchmarks/browser.py [NOTEBOOK ...]

Needs Chromium (on Debian: apt install chromium). The tests use the same steps.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FRONT_ENDS = ("lab", "app")
PATIENCE = 120  # for a notebook to run [s]
MOVES = 30
PAUSE = 0.25  # between two moves, as a hand makes them [s]
# Painted again: something inside the chart has changed, and the next frame is there.
WATCH = """chart => {
  window.painted = [];
  window.watcher?.disconnect();
  let pressed = null;
  document.addEventListener("keydown", () => { pressed = performance.now(); }, true);
  window.watcher = new MutationObserver(() => {
    if (pressed === null) return;
    const since = pressed;
    pressed = null;
    requestAnimationFrame(() => window.painted.push(performance.now() - since));
  });
  window.watcher.observe(
    chart, { subtree: true, childList: true, attributes: true, characterData: true });
}"""
FAULTS = """[...document.querySelectorAll(
  '.jp-RenderedText[data-mime-type="application/vnd.jupyter.error"],'
  + '.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"],'
  + '.planner-trouble')].map(part => part.textContent.trim()).filter(text => text)"""


def browser() -> str | None:
    """Where Chromium is, if it is."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def served(front_end):
    """JupyterLab or the app, on a free port of this machine; gives the address of a notebook."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(sys.executable).parent
    command = {
        "lab": [folder / "jupyter-lab", "--no-browser", "--allow-root", f"--port={port}",
                "--ServerApp.root_dir=.", "--IdentityProvider.token=",
                "--LabApp.app_settings_dir=notebooks/settings"],
        "app": [folder / "voila", "notebooks", "--no-browser", f"--port={port}",
                "--template=planner", "--progressive_rendering=True"],
    }[front_end]  # fmt: skip
    paths = {"lab": "lab/tree/notebooks/{}.ipynb?reset", "app": "voila/render/{}.ipynb"}
    server = subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        env={**os.environ, "JUPYTER_PATH": "notebooks/settings"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _answers(f"http://127.0.0.1:{port}/", server)
        yield lambda notebook: f"http://127.0.0.1:{port}/{paths[front_end].format(notebook)}"
    finally:
        server.terminate()
        server.wait(30)


def _answers(address, server):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"no server answers at {address}")


@contextmanager
def window(width=1280, height=1000):
    """A page of a fresh browser; what it asks of other machines is in ``page.outside``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE * 1000)
        page.outside, page.faults = [], []
        page.on("request", lambda request: _note(page.outside, request.url))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        yield page
        chromium.close()


def _note(outside, address):
    inside = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
    if not address.startswith(inside):
        outside.append(address)


def opened(page, front_end, address):
    """
    Open a notebook and let it run.

    Returns
    -------
    first : float
        From the moment it was opened (in JupyterLab: run) to its first chart. [s]
    """
    start = time.perf_counter()
    page.goto(address)
    if front_end == "lab":
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        page.wait_for_timeout(2000)  # JupyterLab loses cells that are run before it is connected
        start = time.perf_counter()
        page.click('.lm-MenuBar-itemLabel:text-is("Run")')
        page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
    page.wait_for_selector(".planner-chart svg, .jp-RenderedSVG", state="attached")
    return time.perf_counter() - start


def settled(page, front_end):
    """Wait until every cell has run; gives what went wrong, in words."""
    if front_end == "lab":
        page.wait_for_function(
            """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                 .every(prompt => !prompt.textContent.includes('*'))"""
        )
    else:
        page.wait_for_function("() => !document.querySelector('#loading')")
    page.wait_for_timeout(500)
    return page.evaluate(FAULTS) + page.faults


def moves(page, dial, chart=0, number=MOVES):
    """
    Turn a dial with the arrow keys.

    Parameters
    ----------
    page
        With the notebook.
    dial : str
        Label of a slider.
    chart : int
        Which chart of the page is watched.
    number : int
        Of moves.

    Returns
    -------
    times : list of float
        From the key to the chart that is painted again. [ms]
    """
    page.locator(".planner-chart").nth(chart).evaluate(WATCH)
    row = page.locator(".planner-panel .widget-inline-hbox", has_text=dial).first
    handle = row.locator(".noUi-handle")
    handle.scroll_into_view_if_needed()
    handle.focus()
    for move in range(number):
        page.keyboard.press("ArrowLeft" if move % 12 < 6 else "ArrowRight")
        page.wait_for_timeout(1000 * PAUSE)
    return page.evaluate("window.painted")


# What is moved in each notebook, which chart answers, and what computes the answer: Vega in the
# browser, Python, or a plan over the whole catalogue.
DIALS = {
    "10_choose_model": [("context of each", 0, "Python"), ("speed that one user needs", 1, "Vega")],
    "20_memory": [("context of each", 0, "Python"), ("people at once", 0, "Vega")],
    "30_speed": [("context of each", 0, "Python"), ("people at once", 0, "Vega")],
    "40_load": [("load, times own", 0, "Vega")],
    "50_cost": [("servers, times today", 0, "Python"), ("calls a day", 1, "Vega")],
    "60_plan_purchase": [("calls a day", 0, "plan")],
    "70_what_if": [("price of servers", 0, "plan")],
}


def main(names):
    """Print a table of times; every figure is of this run."""
    if browser() is None:
        print("No Chromium on this machine, so nothing is measured in a browser.")
        return
    print("first chart [s] and, for 30 moves of a dial, slider to chart [ms]: median, 95th")
    for front_end in FRONT_ENDS:
        with served(front_end) as address, window() as page:
            opened(page, front_end, address(names[0]))  # warms the server
            for name in names:
                first = opened(page, front_end, address(name))
                settled(page, front_end)
                print(f"{front_end:4} {name:20} {first:6.2f}")
                for dial, chart, by in DIALS.get(name, []):
                    times = sorted(moves(page, dial, chart))
                    worst = times[min(len(times) - 1, round(0.95 * len(times)))]
                    middle = statistics.median(times)
                    print(f"{'':25} {dial:32} {by:7} {middle:6.1f} {worst:6.1f}  {len(times)} seen")


if __name__ == "__main__":
    main(sys.argv[1:] or NOTEBOOKS)
