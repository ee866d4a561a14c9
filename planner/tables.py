"""
Reading of one data file into records, with every problem of the file in words.

A problem names file, row (as a spreadsheet numbers it: the header is row 1), row id, field, value
and remedy, so that a person who keeps the file in a spreadsheet can mend it.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from planner import reading

LARGEST = 2**26  # of a file [B]
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INTEGER = re.compile(r"\d{1,15}", re.ASCII)
REMEDY = {
    "extra_forbidden": "is not a known field; remove it or correct its name",
    "missing": "is missing; add it",
    "string_too_short": "is empty; write it, or the word assumption where nothing is known",
    "string_pattern_mismatch": "is not a currency; write a three-letter code such as USD",
    "finite_number": "is not a finite number; write a plain number such as 270000",
    "greater_than": "must be above zero; correct it",
    "greater_than_equal": "is too small; write a number of at least {ge}",
    "less_than_equal": "is too large; write a number of at most {le}",
    "literal_error": "is not allowed; write one of {expected}",
    "value_error": "{error}",
}


@dataclass(frozen=True)
class Table:
    """A data file, its place in the catalogue, its record and its columns that are not SI."""

    file: str
    name: str
    record: type[BaseModel]
    units: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, tuple[str, float]]:
        """Every column with the record's field and the factor to SI, the id first."""
        converted = {path.split(".")[0] for path, _ in self.units.values()}
        plain = {f: (f, 1.0) for f in self.record.model_fields if f not in converted}
        return plain | self.units


def problem(file: str, row: int | None, identity: str, name: str, value, text: str) -> str:
    """
    One line about one wrong value.

    Parameters
    ----------
    file : str
        Name within ``data/``. [1]
    row : int or None
        Row in a spreadsheet, the header being 1. [1]
    identity, name : str
        Id of the row, and name of the column; either may be empty. [1]
    value : object
        What stands there; None to leave it out. [1]
    text : str
        What is wrong and what to write instead. [1]

    Returns
    -------
    line : str
        The sentence. [1]

    Examples
    --------
    >>> problem("servers.csv", 12, "h100_x8", "price", "abc", "is not a number")
    "data/servers.csv, row 12 (h100_x8), field price: 'abc' is not a number"
    """
    place = f"data/{file}" + (f", row {row}" if row else "")
    place += f" ({reading.quoted(identity, 60)})" if identity else ""
    place += f", field {name}" if name else ""
    shown = "" if value is None else f"{str(value)[:60]!r} "
    return f"{place}: {shown}{reading.quoted(text, 1000)}"


def read(path: Path, table: Table) -> tuple[dict[str, BaseModel], list[str]]:
    """
    Records of one file by their id, with everything that is wrong in it.

    Parameters
    ----------
    path : Path
        A CSV file in UTF-8, or a JSON list of objects. [1]
    table : Table
        What the file should hold. [1]

    Returns
    -------
    records : dict
        The rows that could be read, by id. [1]
    problems : list of str
        One line each; empty when the file is clean. [1]
    """

    def whole(text):
        return {}, [problem(path.name, None, "", "", None, text)]

    try:
        text = reading.content(path, LARGEST).decode("utf-8-sig")
    except FileNotFoundError:
        return whole(f"is missing in {path.parent}; restore it")
    except reading.Unreadable as error:
        return whole(str(error))
    except (OSError, UnicodeDecodeError) as error:
        kind = "cannot be read" if isinstance(error, OSError) else "is not a text file in UTF-8"
        return whole(f"{kind} ({error}); save it as text in UTF-8")
    if "\0" in text:
        return whole("is not a text file; save it as text in UTF-8")
    if not text.strip():
        return whole("is empty; restore the header and the rows")
    try:
        rows = list(_json(text) if path.suffix == ".json" else _csv(text, table))
    except ValueError as error:
        return whole(str(error))
    if not rows:
        return whole("has no rows; restore them")
    records, problems, first = {}, [], {}
    key = next(iter(table.record.model_fields))
    for number, row, shown, found in rows:
        identity = str(shown.get(key) or "")
        record, more = (None, found) if found else _record(row, shown, table)
        problems += [problem(path.name, number, identity, *entry) for entry in more]
        if identity in first:
            text = f"is already the {key} of row {first[identity]}; give every row its own"
            problems.append(problem(path.name, number, identity, key, identity, text))
        elif identity:
            first[identity] = number
        if record is not None:
            records.setdefault(identity, record)
    return records, problems


def _json(text: str) -> Iterator[tuple]:
    """Entries of a JSON list; values reach the record as they are."""

    def refuse(word):
        raise ValueError(f"holds {word}, which is no number; write a plain number or null")

    def once(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"holds {twice[:60]!r} twice in one object; remove one of them")
        return found

    def short(digits):
        if len(digits) > 20:
            raise ValueError(f"holds a number of {len(digits)} digits; correct it")
        return int(digits)

    try:
        entries = json.loads(text, parse_constant=refuse, parse_int=short, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error}); correct it or restore the file") from None
    except RecursionError:
        raise ValueError("has objects too deep in each other; restore the file") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("is not a list of objects; write [{...}, {...}]")
    for number, entry in enumerate(entries, 1):
        yield number, entry, entry, []


def _csv(text: str, table: Table) -> Iterator[tuple]:
    """Rows with their cells as numbers and text in SI, the cells as written, and bad cells."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        (_, header), *lines = [(number, line) for number, line in enumerate(reader, 1) if line]
    except csv.Error as error:
        raise ValueError(f"is not a CSV file ({error}); quote cells that hold commas") from None
    wrong = [f"unknown column {c!r}" for c in header if c not in table.columns]
    wrong += [f"missing column {c!r}" for c in table.columns if c not in header]
    wrong += [f"column {c!r} twice" for c in dict.fromkeys(header) if header.count(c) > 1]
    if wrong:
        raise ValueError(
            f"row 1 has {', '.join(wrong)}; the columns are {', '.join(table.columns)}"
        )
    kinds = {column: _kind(table, column) for column in header}
    for number, line in lines:
        shown = dict(zip(header, line, strict=False))
        row, found = {}, []
        if len(line) != len(header):
            text = f"{len(line)} cells under {len(header)} columns; quote cells that hold commas"
            found.append(("", None, text))
        else:
            for column, cell in shown.items():
                value, wrong = _cell(cell.strip(), *kinds[column])
                if wrong:
                    found.append((column, cell, wrong))
                path, factor = table.columns[column]
                name, _, part = path.partition(".")
                value = value * factor if isinstance(value, float) else value
                if part:
                    row.setdefault(name, {})
                    row[name] |= {part: value} if value is not None else {}
                elif value is not None:
                    row[name] = value
        yield number, row, shown, found


def _kind(table: Table, column: str) -> tuple[type, bool]:
    """Type of a column's cells, and whether a cell may be empty."""
    path = table.columns[column][0]
    if "." in path:
        return float, True
    info = table.record.model_fields[path]
    types = {info.annotation, *_flatten(info.annotation)}
    kind = next((t for t in (bool, float, int) if t in types), str)
    return kind, not info.is_required() or (info.annotation is str and not info.metadata)


def _flatten(annotation) -> Iterator:
    for part in get_args(annotation):
        yield part
        yield from _flatten(part)


def _cell(cell: str, kind: type, optional: bool) -> tuple[object, str]:
    """Value of a cell, or what is wrong with it."""
    if not cell:
        return ("" if kind is str else None), ("" if optional else "is empty; fill it in")
    if kind is str:
        return cell, ""
    if kind is bool:
        good = cell.lower() in ("true", "false")
        return cell.lower() == "true", "" if good else "is not true or false; write one of them"
    if cell.lstrip("+-").lower() in ("nan", "inf", "infinity"):
        return None, "is not a finite number; write a plain number such as 270000"
    if not NUMBER.fullmatch(cell):
        return None, "is not a number; write a plain number such as 270000"
    if float(cell) < 0:
        return None, "is negative; write a number of at least 0"
    if kind is int:
        whole = INTEGER.fullmatch(cell)
        return (int(cell), "") if whole else (None, "is not a whole number; write one such as 8")
    if float(cell) == float("inf"):
        return None, "is not a finite number; write a plain number such as 270000"
    return float(cell), ""


def _record(row: dict, shown: dict, table: Table) -> tuple[BaseModel | None, list[tuple]]:
    """The record of a row, or its problems as (field, value, text)."""
    column = {path: name for name, (path, _) in table.columns.items()}
    try:
        if table.file.endswith(".json"):
            return table.record.model_validate_json(json.dumps(row)), []
        return table.record.model_validate(row), []
    except ValidationError as error:
        found = []
        for entry in error.errors(include_url=False):
            context = entry.get("ctx", {})
            faults = context.get("faults")
            if entry["type"] == "relation" and faults:
                for path, text in faults:
                    name = column.get(path, path)
                    found.append((name, shown.get(name) or None, text))
                continue
            path = ".".join(str(part) for part in entry["loc"])
            name = column.get(path, path)
            template = REMEDY.get(entry["type"], entry["msg"] + "; correct it")
            missing = entry["type"] in ("missing", "string_too_short")
            value = None if missing else shown.get(name, entry["input"])
            found.append((name, value, template.format_map({"error": "", **context})))
        return None, found
