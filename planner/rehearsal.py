"""One report made for nobody, in the process that the reports' processes are forked from.

It fills what is kept from call to call (descriptions of replicas, charts' schemas), which pays
where many reports follow. Importing this does it; its own process ends before anything is shown.
"""

import gc

from planner import display, execution, language, warm
from planner.report import NOTEBOOK, ROOT

TEAM = "data/teams/coding_assistant.toml"  # all of the catalogue's servers, with the simulation


def rehearse() -> None:
    """Run the report's notebook and leave only what it has loaded."""
    deferred = display.defer_drawings(True)
    before = language.current()
    try:
        execution.execute(NOTEBOOK, {"team_path": TEAM}, ROOT)
    except Exception:  # the reports say themselves what is wrong
        pass
    finally:
        language.use(before)
        display.defer_drawings(deferred)
        execution.shell().reset()


assert warm.PAGES
rehearse()
gc.collect()
gc.freeze()
