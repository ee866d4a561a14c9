# ruff: noqa: E402
"""Whatever every report needs, loaded once in the process that the reports' processes are forked
from. That process is asked for it in its environment, since all it can do is import this.
"""

import gc
import os

ASKED = os.environ.pop("PLANNER_WARM", "")  # pages, or rehearsed as well
if ASKED:
    # One thread each: several reports at a time are what uses the cores, and no thread may run at
    # a fork. It has to be said before numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from altair.utils import schemapi

from planner import (
    assumptions,
    business,
    catalogue,
    choices,
    claims,
    document,
    drawings,
    draws,
    evidence,
    execution,
    language,
    load,
    outlook,
    reasons,
    report,
    sections,
    sizing,
    under_load,
)

PAGES = (assumptions, business, choices, document, evidence, outlook, reasons, sections, under_load)
TEAM = "data/teams/coding_assistant.toml"  # all of the catalogue's servers, with the simulation


def warm() -> None:
    """Load what is the same for all, before any team is known."""
    execution.shell()
    schemapi.disable_debug_mode()  # the tests check charts against their schema, not every report
    catalogue.load()
    for spoken in language.LANGUAGES:
        language.translations(spoken)
    load.compiled()
    sizing.at_once = 1  # several reports at a time are what uses the cores


def rehearse() -> None:
    """Make one report for nobody, which fills what is kept from call to call, and show nothing."""
    drawings.defer_drawings(True)
    for spoken in language.LANGUAGES:
        with language.speaking(spoken):
            claims.audit(catalogue.load())  # of every model
    execution.execute(report.NOTEBOOK, {"team_path": TEAM}, report.ROOT)
    made = execution.shell().user_ns["plan"]
    draws.draw(made, made.options)  # of every machine
    language.use("en")
    execution.shell().reset()


if ASKED:
    try:
        warm()
        if ASKED == "rehearsed":
            rehearse()
    except Exception:  # the reports say themselves what is wrong
        pass
    gc.collect()
    gc.freeze()  # what is here now is never searched again, nor copied for it
    gc.set_threshold(50_000, 10, 10)  # a report has few cycles, and is searched for them seldom
