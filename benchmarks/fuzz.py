"""
Team files that no person would write: what the planner does with them.

    python benchmarks/fuzz.py [NUMBER] [--seed N]

Each file is a committed team with some of its values, tables, lines or bytes changed, or made of
nothing but noise. The tests draw from the same source.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

from planner import catalogue, team

SEEDS = [path.read_text(encoding="utf-8") for path in sorted(team.TEAMS.glob("*.toml"))]
TEXTS = [
    "../../../etc/passwd", "..\\..\\x", "/dev/zero", "a\x00b", "two\nlines", "two\u2028lines",
    "\x85",
    "=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(A1:A9)", "\t=1+1", '=HYPERLINK("http://e","x")',
    "<script>alert(1)</script>", "\"><img src=http://e/x onerror=alert(1)>", "</title><script>1",
    "javascript:alert(1)", "![i](http://e/x.png)", "[l](javascript:alert(1))", "`code` *b* _i_ # h",
    '#panic("x")', "$ 1/0 $ @ref <label>", '#read("/etc/passwd")', "{{ 7*7 }}{% raw %}", "${HOME}",
    "{0.__class__}", "%s %n %(x)s", "$(touch x)", "`touch x`", "'; DROP TABLE teams; --", "&R&P&A",
    "🚀👩‍👩‍👧‍👦", "שלום עולם", "مرحبا", "\u202egnp.exe", "\u2066x\u2069", "中文团队",
    "e\u0301" * 50, "x" * 10_000, "A" * 200, " ", "", "\u200b", "\ufeff", "NaN", "null",
    "__import__('os')", "true",
]  # fmt: skip
NUMBERS = [
    "0", "-0.0", "-1", "1", "2", "nan", "-nan", "inf", "-inf", "1e308", "-1e308", "1e-308",
    "5e-324",
    "1e999", "0.5", "0.1", "1_000", "9007199254740993", "9223372036854775808", "1" + "0" * 400,
    "1" * 5000, "0x" + "f" * 5000, "0b1", "1e12", "1e13", "366", "86400", "10000000",
]  # fmt: skip
OTHERS = [
    "true", "false", "1979-05-27", "0001-01-01", "9999-12-31", "1979-05-27T07:32:00Z", "07:32:00",
    "[]", "{}", "[[]]", "[1, 'a']", "{a = 1}", "[" * 200 + "]" * 200, "[" * 5000, "{a = " * 900,
    "[" + "1," * 5000 + "]", "[" + "'m'," * 1000 + "]", "''", "'''\na\nb'''", '"\\ud800"',
]  # fmt: skip
WORDS = [
    "slug", "name", "workload", "users", "arrivals", "kind", "quotes", "slo", "__class__",
    "a" * 10_000, "model_config", "a.b.c", "..", "=x", "<b>", "é", "n\nl", "hourly", "price",
    "economic_life", "pue",
]  # fmt: skip
TABLES = [
    "[workload.arrivals]\nkind = 'users'\nthink_time = {}", "[budget]\ntotal = {}",
    "[workload.arrivals]\nkind = 'bursty'\nvariation = {}",
    "[workload.arrivals]\nkind = 'sessions'\nturns = 9\npause = 1\nfirst_prompt_tokens = {}",
    "[workload.arrivals]\nkind = 'sessions'\nturns = {}\npause = 1\nfirst_prompt_tokens = 100",
    "[workload.arrivals]\nkind = 'sessions'\nturns = 9\npause = 1\nfirst_prompt_tokens = 100\n"
    "system_tokens = {}", "[workload.arrivals]\nkind = 'trace'\nfile = {}",
    "[quotes.hgx_h100_x8_2026]\nprice = {}\ncurrency = 'USD'\ndate = 2026-01-02\nreference = 'a'",
    "[quotes.hgx_h100_x8_2026]\nprice = 1\ncurrency = 'USD'\ndate = {}\nreference = 'a'",
    "[quotes.hgx_h100_x8_2026]\nprice = 1\ncurrency = {}\ndate = 2026-01-02\nreference = 'a'",
    "[assumptions]\neconomic_life = {}", "[assumptions]\npue = {}", "[candidates]\nmodels = [{}]",
    "[quality]\nbenchmark = {}\nminimum = 1", "[growth]\nyearly = {}\nyears = 10",
]  # fmt: skip
LINES, LONGEST = 21, 1_000  # of a message


def quoted(text: str) -> str:
    """A text as TOML has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(random: Random) -> str:
    """Something that stands, or does not, to the right of an equals sign."""
    if random.random() < 0.4:
        return quoted(random.choice(TEXTS))
    if random.random() < 0.4:
        return repr(
            10 ** random.uniform(-3, 9) if random.random() < 0.5 else random.randint(1, 999)
        )
    return random.choice(random.choice([NUMBERS, OTHERS]))


def team_file(random: Random) -> bytes:
    """One team file; a few changes to a committed one, or noise."""
    lines = random.choice(SEEDS).split("\n")
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        _change(random, lines)
    content = "\n".join(lines).encode(errors="surrogatepass")
    kind = random.random()
    if kind < 0.08:  # some bytes are wrong
        noise = bytearray(content)
        for _ in range(random.randint(1, 5)):
            noise[random.randrange(len(noise))] = random.randrange(256)
        return bytes(noise)
    if kind < 0.11:  # the file broke off
        return content[: random.randrange(len(content))]
    if kind < 0.14:
        return bytes(random.randrange(256) for _ in range(random.randrange(200)))
    return content


def _change(random, lines):
    place = random.randrange(len(lines))
    kind = random.random()
    fields = [number for number, line in enumerate(lines) if " = " in line]
    if kind < 0.6 and fields:
        place = random.choice(fields)
        lines[place] = f"{lines[place].partition(' = ')[0]} = {value(random)}"
    elif kind < 0.75:
        lines += [random.choice(TABLES).replace("{}", value(random))]
    elif kind < 0.82:
        word = random.choice(WORDS)
        key = word if random.random() < 0.5 else json.dumps(word)
        lines.insert(place, f"{key} = {value(random)}")
    elif kind < 0.87:
        lines.insert(place, lines[random.randrange(len(lines))])  # a key or a table twice
    elif kind < 0.92:
        del lines[place]
    elif kind < 0.95:
        lines.insert(place, f"[{'.'.join(['a'] * random.choice([2, 150, 5000]))}]")
    else:
        lines.insert(place, value(random))


def outcome(path: Path, records: catalogue.Catalogue) -> tuple[str, str]:
    """
    What became of one file.

    Parameters
    ----------
    path : Path
        The file.
    records : Catalogue
        What it may name.

    Returns
    -------
    outcome : str
        "accepted", "refused", "unclear" (the message is too long, or does not name the file),
        "wrong accept" or "traceback".
    detail : str
        The message, or what is wrong.
    """
    try:
        found = team.read(path, records)
    except team.TeamError as error:
        said = str(error).split("\n")
        named = all(path.name in line or line.startswith("and more") for line in said)
        good = named and len(said) <= LINES and max(map(len, said)) <= LONGEST
        good = good and all(line.isprintable() for line in said)
        return "refused" if good else "unclear", str(error)
    except Exception:
        return "traceback", traceback.format_exc()
    wrong = list(broken(found, path, records))
    return ("wrong accept", "; ".join(wrong)) if wrong else ("accepted", "")


def broken(found: team.Team, path: Path, records: catalogue.Catalogue):
    """What must hold of a team that was accepted, and does not; stated anew, not as it is read."""
    said = dict(_leaves(tomllib.loads(path.read_text(encoding="utf-8"))))
    have = dict(_leaves(found.model_dump()))
    for name, written in said.items():
        if name not in have or have[name] != written:
            yield f"{name} is written as {written!r} and read as {have.get(name)!r}"
    for name, number in have.items():
        if isinstance(number, float) and not math.isfinite(number) and name in said:
            yield f"{name} is {number}"
        if isinstance(number, int | float) and number < 0 and name != "growth.yearly":
            yield f"{name} is negative"
        if isinstance(number, int | float) and math.isfinite(number) and number > 1e12:
            yield f"{name} is {number}"
        if isinstance(number, str) and name != "purpose" and len(number.splitlines()) != 1:
            yield f"{name} has several lines or none"
    load = found.workload
    if load.prompt_tokens + load.output_tokens > load.context_tokens:
        yield "a call is longer than the context"
    if not 1 / 24 <= load.busiest_hour_share <= 1 or not 0 <= load.cached_prompt_share < 1:
        yield "a share is no share"
    if load.hourly and not math.isclose(
        max(load.hourly), load.busiest_hour_share * sum(load.hourly), rel_tol=0.2
    ):
        yield "the hours contradict the busiest hour"
    rates = {"USD"} | {key[3:6].upper() for key in records.assumptions if key.startswith("fx_")}
    if {found.currency, *(quote.currency for quote in found.quotes.values())} - rates:
        yield "a currency has no rate"
    known = {score.benchmark for model in records.models.values() for score in model.scores}
    if found.quality and found.quality.benchmark not in known:
        yield "nobody publishes the benchmark"
    if set(found.candidates.models) - set(records.models) or set(found.quotes) - set(
        records.servers
    ):
        yield "a name is not in the catalogue"
    if any(not date(2000, 1, 1) <= q.date <= date(2100, 1, 1) for q in found.quotes.values()):
        yield "a quote has no date of this time"
    if found.slug != path.stem:
        yield f"the slug is {found.slug!r}"


def _leaves(content, name=""):
    if isinstance(content, dict):
        for key, inside in content.items():
            yield from _leaves(inside, f"{name}.{key}".lstrip("."))
    elif isinstance(content, list | tuple):
        yield from _leaves(dict(enumerate(content)), name)
    else:
        yield name, content


def run(number: int, seed: int = 0, show: int = 3) -> Counter:
    """Counts of outcomes; what should not be is printed."""
    records, counts, random = catalogue.load(), Counter(), Random(seed)
    shown: Counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for position in range(number):
            path = Path(folder) / f"fuzzed-{position}.toml"
            path.write_bytes(team_file(random))
            kind, detail = outcome(path, records)
            counts[kind] += 1
            if kind not in ("accepted", "refused"):
                key = f"{kind}: {detail.strip().splitlines()[-1][:60]}"
                shown[key] += 1
                if shown[key] <= show:
                    print(f"--- file {position}: {kind}\n{detail[:1500]}")
            path.unlink()
        left = sorted(path.name for path in Path(folder).iterdir())
    if left:
        print(f"--- left in the folder: {left}")
    return counts


def main() -> int:
    """Fuzz, and say how often each outcome came."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("number", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    counts = run(options.number, options.seed)
    seconds = time.perf_counter() - started
    print(f"{options.number:,} team files, seed {options.seed}, {seconds:.0f} s")
    for kind in ("accepted", "refused", "unclear", "traceback", "wrong accept"):
        print(f"{kind:12} {counts[kind]:7,}")
    return 1 if counts.keys() - {"accepted", "refused"} else 0


if __name__ == "__main__":
    sys.exit(main())
