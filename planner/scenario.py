"""A team that differs from another in a few fields, and its file: what a notebook's dials save."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from planner import catalogue
from planner import team as teams
from planner.demand import Sessions, Trace, Workload, join_trace
from planner.team import TEAMS, Team, TeamError
from planner.terms import MONEY, Terms

TABLES = {
    "workload": Workload, "slo": teams.Slo, "quality": teams.Quality, "policy": teams.Policy,
    "growth": teams.Growth, "budget": teams.Budget, "candidates": teams.Candidates,
}  # fmt: skip
# Where a flat name belongs; no two tables of a team file have a field of one name.
PLACES = {field: "" for field in Team.model_fields if field not in (*TABLES, "slug")}
PLACES |= {field: table for table, record in TABLES.items() for field in record.model_fields}
MADE = "# Made in notebook {notebook} on {day}, from the team {base}."
MARK = "# Made in notebook "
LONGEST = 60  # characters of a name
# What an operating system or the workbook keeps for itself; the example report is committed.
RESERVED = {"con", "prn", "aux", "nul"} | teams.APART
RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
UNITS = {
    "calls_per_day": "calls a day", "busiest_hour_share": "of the day's calls",
    "days_per_year": "days on which calls come", "prompt_tokens": "tokens, mean",
    "output_tokens": "tokens, mean", "variation": "coefficient of variation of both lengths",
    "context_tokens": "tokens, the longest call", "cached_prompt_share": "of the prompt's tokens",
    "hourly": "share of the day's calls in each hour", "think_time": "seconds", "pause": "seconds",
    "peak_price_share": "of the calls", "first_prompt_tokens": "tokens", "system_tokens": "tokens",
    "ttft_p50": "seconds", "ttft_p95": "seconds", "ttft_p99": "seconds",
    "tpot_p50": "seconds a token", "tpot_p95": "seconds a token", "tpot_p99": "seconds a token",
    "minimum": "score, 0 to 100", "memory_limit_gb": "GB of one server",
    "smallest_weight_bits": "bits", "yearly": "of the calls, each year", "years": "years",
    "total": "over the whole period, in the currency above",
}  # fmt: skip


def scenario(base: Team, **fields) -> Team:
    """
    A team that differs from another in a few fields.

    Parameters
    ----------
    base : Team
        Everything that is not named is as it is there: quotes, assumptions, arrivals too.
    **fields
        Fields of a team file by their own names, whichever table they stand in: users, ttft_p95,
        minimum, total and so on. None takes the floor of quality (minimum) or the budget (total)
        away; infinity takes a limit away.

    Returns
    -------
    team : Team
        An hourly profile goes where the share of the busiest hour contradicts it; a session keeps
        its shape when its mean prompt changes; money is converted when the currency changes.

    Raises
    ------
    TeamError
        With field, value and remedy.

    Examples
    --------
    >>> scenario(teams.read("coding_assistant"), users=80, yearly=0.3).growth.yearly
    0.3
    """
    content = _content(base)
    if fields.get("currency", base.currency) != base.currency:
        _convert(content, base, fields["currency"])
    for name in sorted(fields, key=lambda name: fields[name] is None):
        if name not in PLACES:
            close = teams._closest(name, PLACES)
            raise TeamError(f"field {name[:80]}: a team has no such field; {close}")
        _put(content, name, fields[name])
    load = content["workload"]
    if "hourly" in load and "hourly" not in fields:
        share = max(load["hourly"]) / sum(load["hourly"])
        if abs(share - load["busiest_hour_share"]) >= 0.005:
            del load["hourly"]
    if isinstance(base.workload.arrivals, Sessions) and "arrivals" not in fields:
        longer = load["prompt_tokens"] / base.workload.prompt_tokens
        session = load["arrivals"]
        session["first_prompt_tokens"] *= longer
        if "system_tokens" in session:
            session["system_tokens"] = int(session["system_tokens"] * longer)
    made = teams.checked(content)
    if isinstance(made.workload.arrivals, Trace):
        join_trace(made.workload, base.workload.arrivals.calls)
    return made


def _put(content, name, value):
    """Set one field; a value that is the default is left out, as a person would."""
    table = PLACES[name]
    record = TABLES.get(table, Team)
    inside = content.setdefault(table, {}) if table else content
    if name in ("minimum", "total") and value is None:
        del content[table]
        return
    field = record.model_fields[name]
    inside.pop(name, None)
    if field.is_required() or value != field.get_default(call_default_factory=True):
        inside[name] = value


def _content(base):
    """What the file of a team says."""
    content = base.model_dump(exclude_defaults=True)
    if isinstance(base.workload.arrivals, Sessions):
        content["workload"].pop("cached_prompt_share", None)  # follows from the session
    return content


def _convert(content, base, currency):
    """Money that the team states itself, in another currency; quotes name their own."""
    records = catalogue.load()
    terms = Terms(base.model_copy(update={"currency": currency}), records)
    if "budget" in content:
        content["budget"]["total"] = terms.money(content["budget"]["total"], base.currency)
    for key, figure in content.get("assumptions", {}).items():
        if MONEY.match(records.assumptions[key].unit) and not key.startswith("fx_"):
            content["assumptions"][key] = terms.money(figure, base.currency)


def slug(name: str) -> str:
    """
    The file name of a scenario.

    Parameters
    ----------
    name : str
        As a person writes it.

    Returns
    -------
    slug : str
        Small letters, digits and underscores.

    Raises
    ------
    TeamError
        Where nothing safe can be made of it; says what to write instead.

    Examples
    --------
    >>> slug("Coding, 80 people")
    'coding_80_people'
    """
    shown = repr(name)[:80]
    if not re.search(r"[a-z0-9]", name.lower()):
        raise TeamError(f"name {shown}: give the scenario a name with Latin letters or digits")
    if re.search(r"[/\\:]|\.\.|^\.", name) or not name.isprintable():
        raise TeamError(f"name {shown}: write it without slashes, colons, leading or double dots")
    made = "_".join(re.findall(r"[a-z0-9]+", name.lower()))
    if len(made) > LONGEST:
        raise TeamError(f"name {shown}: {len(made)} characters; use {LONGEST} at most")
    if made in RESERVED:
        raise TeamError(f"name {shown}: kept for something else; add a word to it")
    return made


def save(
    team: Team,
    name: str,
    again: bool = False,
    directory: str | Path = TEAMS,
    notebook: str = "60",
) -> Path:
    """
    Write a team file that `team.read` reads back as the same team.

    Parameters
    ----------
    team : Team
        From `scenario`.
    name : str
        What the file is named after.
    again : bool
        Replace a scenario that was saved under this name before; a file that a person wrote is
        never replaced.
    directory : str or Path
        Where team files lie.
    notebook : str
        Number of the notebook that it was made in.

    Returns
    -------
    path : Path

    Raises
    ------
    TeamError
        Where the name cannot be used, the file exists or cannot be written; nothing is left then.
    """
    made = slug(name)
    path = Path(directory) / f"{made}.toml"
    if path.exists():
        if not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
            raise TeamError(f"{path.name} was not made by a notebook; choose another name")
        if not again:
            raise TeamError(f"{path.name} exists; choose another name, or tick `replace`")
    head = MADE.format(notebook=notebook, day=date.today().isoformat(), base=_plain(team.slug))
    draft = path.with_name(f".{made}-{os.getpid()}.part")
    try:
        draft.write_text("\n".join([head, *lines(team)]) + "\n", encoding="utf-8")
        back = teams.read(draft, catalogue.load())
        if _content(back) | {"slug": ""} != _content(team) | {"slug": ""}:
            raise TeamError(f"{path.name} would not say what the dials say; nothing was saved")
        if again:
            os.replace(draft, path)
        else:
            os.link(draft, path)  # unlike a rename, never over a file that came in the meantime
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", "") or "a text that UTF-8 cannot hold"
        raise TeamError(f"{path.name} cannot be written: {words}; nothing was saved") from None
    finally:
        draft.unlink(missing_ok=True)
    return path


def lines(team: Team) -> Iterator[str]:
    """The lines of a team file: what is not the default, in the order of the records."""
    content = _content(team)
    del content["slug"]
    yield from _table("", content)


def _table(path, content: Mapping):
    if path:
        yield f"\n[{path}]"
    for name, value in content.items():
        if not isinstance(value, Mapping):
            unit = UNITS.get(name, "")
            yield f"{_key(name)} = {_value(value)}{'  # ' * bool(unit)}{unit}"
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _table(f"{path}.{_key(name)}".lstrip("."), value)


def _key(name):
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        names = len(value) > 3 and isinstance(value[0], str)  # one a line, as a person would
        return ("[\n    {},\n]" if names else "[{}]").format(
            (",\n    " if names else ", ").join(map(_value, value))
        )
    if isinstance(value, date):
        return value.isoformat()
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _plain(text):
    """One line that a comment can hold."""
    return re.sub(r"[^\w -]", " ", text)[:LONGEST]
