"""What several test files share."""

from pathlib import Path

import pytest

from planner import catalogue, plan, team

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
