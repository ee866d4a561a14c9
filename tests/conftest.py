"""What several test files share."""

import os
from pathlib import Path

import pytest

from planner import catalogue, plan, team

os.environ["PLANNER_CALIBRATION"] = "none"  # a calibration of this machine is not the tests' affair
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def records():
    return catalogue.load()


@pytest.fixture(scope="session")
def planned(records):
    """Plans by team name, each made once."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = plan.plan(team.read(name, records), records)
        return made[name]

    return make
