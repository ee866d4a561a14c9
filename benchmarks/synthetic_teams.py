"""
A company's worth of teams made of the committed ones, to see how the portfolio grows.

    python benchmarks/synthetic_teams.py [number]

Everything is drawn from a seed; the files go to a temporary folder, since they are no data.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TEAMS = Path(__file__).resolve().parent.parent / "data" / "teams"
SEED = 11
# Working days, in per cent of a day's calls by the hour: early, late, spread, and at night.
PROFILES = {
    "early": [0, 0, 0, 0, 0, 2, 8, 14, 16, 14, 10, 8, 6, 8, 6, 4, 2, 2, 0, 0, 0, 0, 0, 0],
    "late": [0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 6, 8, 8, 8, 10, 14, 16, 12, 8, 2, 2, 0, 0, 0],
    "spread": [2, 2, 2, 2, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 5, 5, 4, 4, 4, 3, 3, 2],
    "night": [14, 14, 14, 14, 8, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 6, 10, 14],
}


def write(folder: Path, number: int = 300, seed: int = SEED) -> None:
    """So many variants of the committed teams: their calls, hours, growth and budgets drawn."""
    originals = sorted(TEAMS.glob("*.toml"))
    random = np.random.default_rng(seed)
    for at in range(number):
        path = originals[at % len(originals)]
        text = path.read_text(encoding="utf-8")
        calls = float(re.search(r"^calls_per_day = ([\d.]+)", text, re.M)[1])
        calls = max(round(calls * np.exp(random.normal(0.0, 0.7))), 10)
        text = re.sub(r"^calls_per_day = .*$", f"calls_per_day = {calls}", text, flags=re.M)
        text = re.sub(r'^name = "(.*)"$', rf'name = "\1, {at:03}"', text, flags=re.M)
        text = re.sub(r"^hourly = \[.*?^\]\n", "", text, flags=re.M | re.S)
        kind = random.choice([*PROFILES, "unknown"])
        if kind != "unknown":
            profile = PROFILES[kind]
            share = max(profile) / sum(profile)
            text = re.sub(
                r"^busiest_hour_share = .*$",
                f"busiest_hour_share = {share:.4f}\nhourly = {profile}", text, flags=re.M,
            )  # fmt: skip
        growth = random.choice([0.0, 0.1, 0.2, 0.4])
        text = re.sub(r"^yearly = .*$", f"yearly = {growth}", text, flags=re.M)
        if random.random() < 0.3:
            text += f"\n[budget]\ntotal = {round(float(random.uniform(5e4, 5e5)), -3):.0f}\n"
        (folder / f"{path.stem}_{at:03}.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    from planner import load, portfolio

    load.compiled()
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), number)
        start = time.perf_counter()
        joined = portfolio.join(folder)
    seconds, used = time.perf_counter() - start, os.times()
    work = used.user + used.system + used.children_user + used.children_system
    print(f"{number} teams: {seconds:.1f} s, {work:.1f} s of processor time, "
          f"{len(joined.failed)} unreadable, "
          f"{len(joined.tried)} pools simulated, {len(joined.pools)} of them save "
          f"({sum(len(each.members) for each in joined.pools)} teams)")  # fmt: skip
    print(
        f"cost {joined.cost(pools=False):,.0f} {joined.currency} apart, {joined.cost():,.0f} pooled"
    )
