"""Hostile and broken input: a clear refusal, or a right report in which it is text and no more."""

import dataclasses
import io
import os
import re
import zipfile
from random import Random
from typing import get_args

import fuzz
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from planner import (
    catalogue,
    deploy,
    display,
    document,
    reading,
    report,
    spreadsheet,
    team,
    traces,
    words,
)
from planner.__main__ import main

QUICK = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
GOOD = (team.TEAMS / "coding_assistant.toml").read_text(encoding="utf-8")
TRACED = GOOD.replace("[slo]", '[workload.arrivals]\nkind = "trace"\nfile = "calls.csv"\n\n[slo]')
HOSTILE = [text for text in fuzz.TEXTS if text and len(text) <= 200]
SECRET = "root:x:0"


def written(folder, content, name="given.toml"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path, *words, records=None):
    with pytest.raises(team.TeamError) as caught:
        team.read(path, records)
    said = str(caught.value)
    assert len(said) <= 8_000 and said.replace("\n", "").isprintable()
    for word in words:
        assert word in said
    return said


# ---- files -------------------------------------------------------------------------------------


@QUICK
@given(seed=st.integers(0, 2**64))
def test_a_team_file_is_read_or_refused_in_words(records, tmp_path, seed):
    path = written(tmp_path, fuzz.team_file(Random(seed)))
    kind, detail = fuzz.outcome(path, records)
    assert kind in ("accepted", "refused"), f"{kind}: {detail}"
    assert os.listdir(tmp_path) == [path.name]


@QUICK
@given(
    name=st.text(max_size=300) | st.sampled_from(fuzz.TEXTS),
    number=st.floats() | st.integers(),
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()),
)
def test_texts_numbers_and_bytes_are_read_or_refused(records, tmp_path, name, number, content):
    lines = GOOD.split("\n")
    lines[1] = f"name = {fuzz.quoted(name)}"
    lines[2] = f"owner = {fuzz.quoted(name)}"
    text = "\n".join(lines).replace("calls_per_day = 7200 ", f"calls_per_day = {number} ")
    for made in (text.encode(errors="replace"), content, GOOD.encode() + content):
        kind, detail = fuzz.outcome(written(tmp_path, made), records)
        assert kind in ("accepted", "refused"), f"{kind}: {detail}"


def test_the_fuzzer_sees_what_is_wrong(records, tmp_path, monkeypatch):
    """Its counts mean something: it can count a wrong accept, a traceback and an unclear word."""
    path = written(tmp_path, GOOD)
    assert fuzz.outcome(path, records) == ("accepted", "")
    read = team.read(path, records)
    load = read.workload.model_copy(update={"context_tokens": 100})
    others = {
        "wrong accept": lambda *_: read.model_copy(update={"workload": load}),
        "traceback": lambda *_: {}["nothing"],
        "unclear": lambda *_: (_ for _ in ()).throw(team.TeamError("no")),
    }
    for kind, instead in others.items():
        monkeypatch.setattr(fuzz.team, "read", instead)
        assert fuzz.outcome(path, records)[0] == kind


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x = 1\n" * 10**7, "the most that is read: shorten it"),
        ("x = " + "[" * 50_000, "too deep in each other"),
        ("x = " + "{a = " * 9_000, "too deep in each other"),
        ("x = 1\n" + "a." * 50_000 + "a = 1", "line 2 has more than 200 full stops"),
        ("[" + "a." * 50_000 + "a]", "line 1 has more than 200 full stops"),
        ("users = " + "9" * 10_000, "thousands of digits"),
        (GOOD.replace("users = 60", "users = 0x" + "f" * 9_000), "thousands of digits"),
        (GOOD.replace("users = 60", "users = 0x" + "f" * 900), "more than 80 digits"),
        (GOOD + "\n".join(f"k{i} = 1" for i in range(9_000)), "and more problems"),
        (GOOD + '\n[candidates]\nmodels = ["m"' + ", 'm'" * 30_000 + "]", "a list of 30,001"),
        (GOOD.replace("[workload]", 'slug = "../x"\n[workload]'), "the file's name says it"),
        (GOOD.replace("users = 60", "users = 60\nusers = 61"), "not valid TOML"),
        (GOOD.encode().replace(b"name", b"\xff\x00"), "UTF-8"),
        (b"", "missing; add it"),
    ],
    ids=range(14),
)  # fmt: skip
def test_bombs_are_refused_at_once(tmp_path, content, words):
    refused(written(tmp_path, content), "given.toml", words)


def test_only_regular_files_are_opened(tmp_path):
    """A device without end, a pipe that nobody writes to, a link to itself."""
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name, word in (("pipe", "a pipe"), ("folder", "a folder"), ("zero", "a device")):
        refused(tmp_path / f"{name}.toml", f"is {word}; name a regular file")
        with pytest.raises(reading.Unreadable, match=word):
            reading.content(tmp_path / f"{name}.toml", 10)
    refused(tmp_path / "loop.toml", "cannot be read")
    refused("/dev/zero", "a device")
    refused("/dev/stdin", "name a regular file")


@pytest.mark.parametrize("name", ["x" * 10_000, "a\0b", "\n", "../" * 3_000 + "x", "é" * 300, ""])
def test_names_that_no_file_can_have(name):
    refused(name)


def test_a_file_that_is_larger_than_it_says(tmp_path):
    # A file of the kernel states a size of 0 and has a content.
    with pytest.raises(reading.Unreadable, match="the most that is read"):
        reading.content("/proc/cpuinfo", 10)
    assert reading.content(written(tmp_path, "ten bytes!"), 10) == b"ten bytes!"


def test_a_folder_of_such_files_is_reported_file_by_file(tmp_path, capfd):
    teams, out = tmp_path / "teams", tmp_path / "out"
    teams.mkdir()
    os.mkfifo(teams / "pipe.toml")
    (teams / "folder.toml").mkdir()
    (teams / "zero.toml").symlink_to("/dev/zero")
    written(teams, b"\xff" * 2_000_000, "big.toml")
    written(teams, "x = " + "[" * 9_000, "deep.toml")
    written(teams, GOOD.replace("users = 60", "users = nan"), "=x <b> $(touch y) \u202e.toml")
    assert main(["report", "--all", "--teams", str(teams), "--out", str(out)]) == 1
    said = capfd.readouterr()
    assert "6 failed" in said.out and "Traceback" not in said.out + said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "teams"]
    assert not [path for path in out.iterdir() if path.is_dir() and path.name != ".run"]


# ---- logs of calls -----------------------------------------------------------------------------

CALLS = "timestamp,prompt_tokens,output_tokens\n" + "".join(
    f"{10 * i},{6000},{400}\n" for i in range(30)
)


def traced(folder, calls):
    traces.read.cache_clear()  # of the log of the same name before
    written(folder, calls, "calls.csv")
    return written(folder, TRACED)


def test_the_log_itself_is_good(tmp_path):
    assert len(team.read(traced(tmp_path, CALLS)).workload.arrivals.calls.arrival) == 30


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (CALLS.replace("0,6000,400", "0,6000.5,400", 1), "row 2, field prompt_tokens: '6000.5'"),
        (CALLS.replace("0,6000,400", "0,1e400,400", 1), "row 2, field prompt_tokens"),
        (CALLS.replace("0,6000", "nan,6000", 1), "row 2, field timestamp"),
        (CALLS.replace("0,6000", "-1e308,6000", 1), "of thirty years at most"),
        (CALLS.replace("\n", ",7\n").replace("tokens,7", "tokens"), "more cells than the header"),
        (CALLS.replace("output_tokens", "prompt_tokens"), "column output_tokens is missing"),
        (CALLS.replace("tokens\n", "tokens,timestamp\n").replace("400\n", "400,1\n"), "twice"),
        (CALLS + '"' + "x" * 9_000, "not a CSV file"),
        (b"\xff\xfe\x00", "not a CSV file in UTF-8"),
        ("", "not a CSV file"),
        (re.sub(r"(?m)^\d+,", "9999-99-99 99:99,", CALLS), "row 2, field timestamp"),
    ],
    ids=range(11),
)
def test_logs_that_are_none(tmp_path, calls, words):
    refused(traced(tmp_path, calls), "given.toml", "calls.csv", words)


def test_a_log_is_a_regular_file_beside_the_team(tmp_path):
    path = written(tmp_path, TRACED)
    (tmp_path / "calls.csv").symlink_to("/dev/zero")
    refused(path, "a device")
    for name in ("../calls.csv", "/etc/passwd", "/dev/zero", "a/calls.csv", "..", "calls.csv\\n"):
        path = written(tmp_path, TRACED.replace("calls.csv", name))
        assert SECRET not in refused(path, "workload.arrivals.file")


@QUICK
@given(changes=st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=8)), max_size=4))
def test_a_log_is_read_or_refused_in_words(tmp_path, changes):
    content = CALLS.encode()
    for place, instead in changes:
        content = content[:place] + instead + content[place + len(instead) :]
    try:
        calls = team.read(traced(tmp_path, content)).workload.arrivals.calls
    except team.TeamError as error:
        assert len(str(error)) <= 1_000 and "given.toml" in str(error)
        return
    assert all(tokens.min() >= 1 for tokens in (calls.prompt, calls.output))
    assert 0 < calls.arrival.max() <= 1e9 and calls.arrival.min() == 0


# ---- the catalogue -----------------------------------------------------------------------------

CELLS = ["", "-1", "1e999", "1e300", "nan", "9" * 5_000, "x" * 9_000, "=1+1", "../x", "<b>", "\0"]


DATA = {table.file: (catalogue.DATA / table.file).read_bytes() for table in catalogue.TABLES}


def test_every_number_of_a_record_has_a_highest():
    """A figure of 1e300 is a slip of the pen, wherever it stands."""
    for table in catalogue.TABLES:
        for name, field in table.record.model_fields.items():
            kinds = [field.annotation, *get_args(field.annotation)]
            if float not in kinds:
                continue
            with pytest.raises(ValidationError) as problem:
                table.record(**{name: 1e300})
            told = [error["type"] for error in problem.value.errors() if error["loc"] == (name,)]
            assert told == ["less_than_equal"], f"{table.file}, {name}: {told}"


@QUICK
@given(
    table=st.sampled_from(catalogue.TABLES),
    place=st.integers(0, 10**6),
    instead=st.sampled_from(CELLS) | st.text(max_size=20),
)
def test_a_row_that_is_wrong_is_reported(tmp_path, table, place, instead):
    """Whatever stands in a cell: problems in words, and records whose figures are finite."""
    content = DATA[table.file].decode()[:20_000]
    marks = [match.start() for match in re.finditer("[,:]", content)]
    first, last = sorted((marks[place % len(marks)], marks[(place + 1) % len(marks)]))
    path = written(tmp_path, content[: first + 1] + instead + content[last:], table.file)
    found, problems = catalogue.tables.read(path, table)
    assert all(len(line) <= 2_000 for line in problems)
    for record in found.values():
        leaves = dict(fuzz._leaves(record.model_dump()))
        figures = [v for k, v in leaves.items() if isinstance(v, float) and "config" not in k]
        assert all(0 <= figure <= 1e24 for figure in figures)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 100_000, "too deep in each other"),
        ('[{"id": "a", "id": "b"}]', "'id' twice in one object"),
        (f'[{{"id": {"9" * 9_000}}}]', "a number of 9000 digits"),
    ],
)
def test_bombs_in_the_catalogue(tmp_path, content, words):
    path = written(tmp_path, content, "models.json")
    assert words in catalogue.tables.read(path, catalogue.TABLES[0])[1][0]


def test_the_catalogue_is_made_of_regular_files(tmp_path):
    (tmp_path / "models.json").symlink_to("/dev/zero")
    assert (
        "is a device" in catalogue.tables.read(tmp_path / "models.json", catalogue.TABLES[0])[1][0]
    )


# ---- what is accepted is text and no more ------------------------------------------------------


@pytest.fixture(scope="module")
def hostile_plans(planned):
    """The plan of a team whose every text is hostile, for each such text."""
    plan = planned("coding_assistant")

    def made(text):
        texts = dict.fromkeys(("name", "owner", "purpose", "data_class"), text)
        return dataclasses.replace(plan, team=plan.team.model_copy(update=texts))

    return made


def texts_that_are_accepted(records, folder):
    for text in HOSTILE:
        lines = GOOD.split("\n")
        quoted = fuzz.quoted(text)
        lines[1:4] = [f"{field} = {quoted}" for field in ("name", "owner", "purpose")]
        path = written(folder, "\n".join(lines))
        if fuzz.outcome(path, records)[0] == "accepted":
            yield text


def test_hostile_texts_are_text_in_a_spreadsheet(hostile_plans, records, tmp_path):
    texts = list(texts_that_are_accepted(records, tmp_path))
    assert len(texts) > 25 and any(text.startswith("=") for text in texts)
    formulas = set()
    for text in (texts[0], "=cmd|'/c calc'!A1", '=HYPERLINK("http://e","x")', "&R&P&A<script>"):
        book = zipfile.ZipFile(io.BytesIO(spreadsheet.report(hostile_plans(text))))
        assert not any("externalLink" in name or "macro" in name for name in book.namelist())
        sheets = "".join(book.read(n).decode() for n in book.namelist() if "worksheets/" in n)
        assert "<hyperlink" not in sheets
        formulas.add(tuple(re.findall("<f>(.*?)</f>", sheets)))
    assert len(formulas) == 1  # whatever the texts are


def test_hostile_texts_are_words_in_files_that_start_the_choice(hostile_plans, records, tmp_path):
    usual = deploy.files(hostile_plans("usual"))
    for text in texts_that_are_accepted(records, tmp_path):
        for name, content in deploy.files(hostile_plans(text)).items():
            code = [line for line in content.split("\n") if not line.startswith("#")]
            assert code == [line for line in usual[name].split("\n") if not line.startswith("#")]


def test_hostile_texts_are_text_on_paper_and_on_screen(hostile_plans, records, tmp_path):
    texts = list(texts_that_are_accepted(records, tmp_path))
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# T\n\n## A"},
        *(
            {"cell_type": "code", "metadata": {}, "source": "", "outputs": [
                {"output_type": "display_data", "data": shown.data}]}
            for text in texts
            for shown in (display.text(display.escape(text)), display.key_figures(
                [display.KeyFigure(text, text)]))
        ),
        {"cell_type": "code", "metadata": {}, "source": "", "outputs": [
            {"output_type": "display_data", "data": display.end().data}]},
    ]  # fmt: skip
    found = document.blocks({"cells": cells})
    meta = {"team": "".join(texts), "date": "2026-11-24", "details": [[t, t] for t in texts]}
    harmless(document.html(found, meta))
    assert SECRET.encode() not in document.pdf(found, meta)
    for text in texts:
        assert "\u202e" not in words.terminal(hostile_plans(text), 3).split("\n", 1)[1]


def harmless(page):
    """No script, no handler, no request and no link but those that a page has by itself."""
    tags = re.findall(r"<([a-zA-Z!/][^>]*)>", page)
    names = {tag.split()[0].strip("/").lower() for tag in tags if tag.split()}
    assert not names & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    for tag in tags:
        assert not re.search(r"\son\w+\s*=", tag), tag
        assert not re.search(r"(src|href|action)\s*=\s*(?![\"']?(#|https://))", tag), tag
    assert "javascript:" not in re.sub(r">[^<]*<", "><", page)


def test_a_parameter_is_never_code(tmp_path):
    for name in ("__import__('os').system('touch x')", "x = 1; y", "a\nb", "", "team_path "):
        with pytest.raises(ValueError, match="declares no parameter"):
            report.render(team.TEAMS / "coding_assistant.toml", tmp_path, parameters={name: "1"})
    assert os.listdir(tmp_path) == []


# ---- whole reports -----------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**64))
def test_many_team_files_are_read_or_refused_in_words(records, tmp_path, seed):
    kind, detail = fuzz.outcome(written(tmp_path, fuzz.team_file(Random(seed))), records)
    assert kind in ("accepted", "refused"), f"{kind}: {detail}"


@pytest.mark.slow
def test_a_whole_report_of_hostile_texts(tmp_path):
    """Every field that takes words says something hostile; the file's name too."""
    said = {
        "name": "=cmd|'/c calc'!A1 <script>alert(1)</script>",
        "owner": '#panic("x") ![i](http://e/x.png) [l](javascript:alert(1))',
        "purpose": '"><img src=http://e/x onerror=alert(1)> $ 1/0 $ {0.__class__} {{ 7*7 }}',
        "data_class": '#read("/etc/passwd") \u202egnp.exe שלום 🚀',
    }
    lines = [line for line in GOOD.split("\n") if line.partition(" = ")[0] not in said]
    text = "\n".join([f"{name} = {fuzz.quoted(words)}" for name, words in said.items()] + lines)
    text += (
        "\n[quotes.hgx_h100_x8_2026]\nprice = 300000\ncurrency = 'USD'\ndate = 2026-11-01\n"
        "reference = '=1+1 <b onclick=x> #eval(1)'\n"
    )
    teams, out = tmp_path / "teams", tmp_path / "reports"
    teams.mkdir()
    path = written(teams, text, "=x <b> $(touch y) ..toml.toml")
    result = report.render(path, out)
    assert {entry.name for entry in tmp_path.iterdir()} == {"teams", "reports"}
    folder = out / result["name"]
    assert re.fullmatch(r"[a-z0-9_-]+", result["name"]) and folder.is_dir()
    harmless((folder / "report.html").read_text(encoding="utf-8"))
    book = zipfile.ZipFile(folder / "report.xlsx")
    sheets = "".join(book.read(n).decode() for n in book.namelist() if "worksheets/" in n)
    assert not re.search(r"<f>[^<]*(cmd|1\+1)", sheets) and "<hyperlink" not in sheets
    assert (folder / "report.pdf").stat().st_size > 10_000
    summary = (folder / "summary.json").read_text(encoding="utf-8")
    assert SECRET not in summary and "=cmd|'/c calc'!A1" in summary
