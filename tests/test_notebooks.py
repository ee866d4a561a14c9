"""Every notebook runs headless from its first cell to its last."""

from pathlib import Path

import pytest

from planner import report

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs(path):
    executed = report.execute(path, {})
    shown = [output for cell in executed["cells"] for output in cell.get("outputs", [])]
    assert shown
    assert not any(output["output_type"] == "error" for output in shown)
    assert not any(output.get("name") == "stderr" for output in shown)
