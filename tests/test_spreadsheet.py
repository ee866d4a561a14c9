"""The workbook: every figure a formula, text never one, the planner's numbers, recalculated too."""

import io
import re
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from xlsxwriter.worksheet import Worksheet

from planner import (
    cashflow,
    money,
    plan,
    spreadsheet,
    spreadsheet_book,
    switching,
    team,
    uncertainty,
)
from planner.spreadsheet_inputs import slug
from planner.spreadsheet_labels import SHEETS

XML = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
TEAMS = ("coding_assistant", "support_chat", "document_pipeline")  # they buy, pay per token, rent
HOSTILE = ('=HYPERLINK("x")', "+1+1", "-2+3", "@SUM(1)", "\t=1", "&A&&C <b> & ]]>", "{=1}")


# ---- a small reader of .xlsx files -------------------------------------------------------------


def parts(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def cells(content):
    """By sheet and cell: value and formula, the latter None where there is none."""
    files = parts(content)
    texts = ElementTree.fromstring(files["xl/sharedStrings.xml"])
    shared = ["".join(t.text or "" for t in item.iter(f"{XML}t")) for item in texts]
    book = ElementTree.fromstring(files["xl/workbook.xml"])
    found = {}
    for number, sheet in enumerate(book.find(f"{XML}sheets"), 1):
        root = ElementTree.fromstring(files[f"xl/worksheets/sheet{number}.xml"])
        found[sheet.get("name")] = inside = {}
        for cell in root.iter(f"{XML}c"):
            value, formula = cell.find(f"{XML}v"), cell.find(f"{XML}f")
            text = None if value is None else value.text
            if cell.get("t") == "s":
                text = shared[int(text)]
            elif text is not None and cell.get("t") not in ("str", "e"):
                text = float(text)
            inside[cell.get("r")] = text, None if formula is None else formula.text
    return found


def names(content):
    book = ElementTree.fromstring(parts(content)["xl/workbook.xml"])
    return {name.get("name"): name.text for name in book.iter(f"{XML}definedName")}


def typed(content, **values):
    """The workbook with other values in the input cells of some names."""
    files, where = parts(content), names(content)
    for name, value in values.items():
        row = re.search(r"\d+$", where[name]).group()
        cell = re.compile(rf'(<c r="B{row}"[^>]*><v>)[^<]*(</v>)')
        sheet = "xl/worksheets/sheet2.xml"
        text, count = cell.subn(rf"\g<1>{value!r}\g<2>", files[sheet].decode())
        assert count == 1, name
        files[sheet] = text.encode()
    return packed(files)


def poisoned(content):
    """The workbook with a wrong result kept for every formula."""
    files = parts(content)
    for name in files:
        if name.startswith("xl/worksheets/sheet"):
            wrong = re.sub(rb"(</f><v>)[^<]*(</v>)", rb"\g<1>-777\g<2>", files[name])
            files[name] = wrong
    return packed(files)


def row_of(sheet, words):
    """Numbers of the first row of a sheet that begins with these words, by column."""
    at = next(ref[1:] for ref, (value, _) in sheet.items() if ref[0] == "A" and value == words)
    row = {re.sub(r"\d", "", ref): value for ref, (value, _) in sheet.items()
           if re.sub(r"\D", "", ref) == at}  # fmt: skip
    return {column: value for column, value in row.items() if isinstance(value, float)}


def last(sheet, words):
    row = row_of(sheet, words)
    return row[max(row)]


# ---- structure ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def books(planned):
    made = {}

    def make(name):
        if name not in made:
            made[name] = spreadsheet.report(planned(name), run="0123456789abcdef")
        return made[name]

    return make


@pytest.fixture(scope="module", params=TEAMS)
def sample(request, planned, books):
    return planned(request.param), books(request.param)


def test_every_figure_downstream_is_a_formula(sample):
    _, content = sample
    found = cells(content)
    assert list(found) == list(SHEETS.values())
    for name in ("cost", "cash", "bill", "options", "others"):
        for ref, (value, formula) in found[SHEETS[name]].items():
            if isinstance(value, float) and formula is None:  # only the years that heads number
                assert value in (1, 2, 3) and name in ("cost", "others"), f"{name} {ref}"


def test_every_name_is_defined_once_and_every_input_is_used(sample):
    _, content = sample
    formulas = " ".join(
        formula for sheet in cells(content).values() for _, formula in sheet.values() if formula
    )
    formulas = re.sub(r"'[^']*'!|\"[^\"]*\"", "", formulas)
    used = set(re.findall(r"\b[a-z][a-z0-9_]*\b(?!\()", formulas))
    known = {name for name in names(content) if not name.startswith("_xlnm")}
    assert used <= known
    assert {name for name in known if not name.endswith(("_low", "_high"))} <= used


def test_the_numbers_kept_are_those_of_the_planner(sample):
    made, content = sample
    option, found = made.chosen, cells(content)
    cost, summary = found[SHEETS["cost"]], found[SHEETS["summary"]]
    assert last(cost, "Net present cost") == pytest.approx(option["npv"], abs=1e-6)
    assert last(cost, "Total") == pytest.approx(option["total"], abs=1e-6)
    per = money.per_million_tokens(option["total"], made.team)
    assert last(cost, "Cost per million tokens served") == pytest.approx(per)
    for words, column in (("Cost over 3 years", "total"), ("Net present cost", "npv"),
                          ("Low end: speed and price favourable", "total_low"),
                          ("High end: speed and price unfavourable", "total_high")):  # fmt: skip
        assert row_of(summary, words)["B"] == pytest.approx(option[column], abs=1e-6)
    flow = cashflow.cash_flow(option, made).groupby("quarter")["cost"].sum()
    row = [value for _, value in sorted(row_of(found[SHEETS["cash"]], "Total").items())]
    np.testing.assert_allclose(row, flow, atol=1e-6)
    drawn = uncertainty.outcome(made).table.loc[option.name]
    for words, column in (("P10: one draw in ten costs no more", "p10"),
                          ("P90: nine draws in ten cost no more", "p90")):  # fmt: skip
        assert row_of(summary, words)["B"] == pytest.approx(drawn[column])


def test_options_are_those_of_the_report_and_more(sample):
    made, content = sample
    shown = spreadsheet.compared(made)
    assert shown["A"].name == made.chosen.name
    assert {"own", "rent", "api", "nothing"} == {row["sourcing"] for row in shown.values()}
    sheet = cells(content)[SHEETS["options"]]
    for number, row in enumerate(shown.values(), 4):
        assert sheet[f"D{number}"][0] == pytest.approx(row["total"], abs=1e-6)
        assert sheet[f"E{number}"][0] == pytest.approx(row["npv"], abs=1e-6)


def test_break_even_values_are_the_planners_switch_values(sample):
    made, content = sample
    sheet = cells(content)[SHEETS["even"]]
    words = {"price": "Price of one server", "rent": "Rent of an accelerator and hour on demand",
             "api_price": "Price of the API, of today's",
             "tariff": "Electricity tariff in the first year"}  # fmt: skip
    solved = {}
    for ref, (value, _) in sheet.items():
        if ref[0] == "A" and value in words.values():
            now, even = (sheet[f"{column}{ref[1:]}"][0] for column in "CD")
            if isinstance(even, float):
                solved.setdefault(value, []).append(even / now)
    checked = 0
    for row in switching.switches(made).itertuples():
        if row.knob in words:
            near = solved[words[row.knob]]
            assert min(abs(value * row.planned / row.value - 1) for value in near) < 2e-3
            checked += 1
    assert checked


def test_inputs_are_unlocked_and_all_else_is_not(sample):
    _, content = sample
    files = parts(content)
    styles = ElementTree.fromstring(files["xl/styles.xml"]).find(f"{XML}cellXfs")
    free = [style.find(f"{XML}protection") is not None for style in styles]
    root = ElementTree.fromstring(files["xl/worksheets/sheet2.xml"])
    assert root.find(f"{XML}sheetProtection") is not None
    for cell in root.iter(f"{XML}c"):
        number = cell.find(f"{XML}v") is not None and cell.get("t") is None
        typed_in = number and cell.find(f"{XML}f") is None
        assert free[int(cell.get("s", 0))] == typed_in, cell.get("r")


def test_the_same_plan_gives_the_same_bytes_without_a_machine_in_them(planned, books):
    made = planned("coding_assistant")
    again = spreadsheet.report(made, run="0123456789abcdef")
    assert again == books("coding_assistant")
    files = parts(again)
    assert made.made.isoformat().encode() in files["docProps/core.xml"]
    everything = b"".join(files.values())
    folders = (Path(spreadsheet.__file__).parent.parent, Path.home(), tempfile.gettempdir())
    assert not any(f"{folder}/".encode() in everything for folder in folders)


def test_the_quick_sheet_writes_what_xlsxwriter_writes(sample, monkeypatch):
    made, content = sample
    monkeypatch.setattr(spreadsheet_book, "Sheet", Worksheet)
    assert spreadsheet.report(made, run="0123456789abcdef") == content


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_never_a_formula(planned, books, text):
    made = planned("guide_limited")
    hostile = made.team.model_copy(update={"name": text, "owner": text, "slug": text})
    server = made.chosen["server_id"]
    record = made.catalogue.servers[server].model_copy(
        update={"name": text, "source": text, "includes": text, "note": text}
    )
    catalogue = replace(made.catalogue, servers={**made.catalogue.servers, server: record})
    changed = plan.Plan(hostile, catalogue, made.options, made.refused, made.terms, made.made)
    found = cells(spreadsheet.report(changed, run=text))
    kept = [value for sheet in found.values() for value, formula in sheet.values()
            if formula is None and isinstance(value, str)]  # fmt: skip
    assert kept.count(text) >= 3
    plain = cells(books("guide_limited"))
    for sheet in found:
        formulas = {ref: formula for ref, (_, formula) in found[sheet].items() if formula}
        assert formulas == {ref: f for ref, (_, f) in plain[sheet].items() if f}


def test_without_a_recommendation_there_is_a_workbook_all_the_same(planned):
    made = planned("guide_limited")
    options = made.options.assign(limit=made.options["limit"].replace("none", "budget"))
    empty = plan.Plan(made.team, made.catalogue, options, made.refused, made.terms, made.made)
    found = cells(spreadsheet.report(empty))
    assert "Cost by year" not in found and "Options" in found
    texts = [value for value, _ in found["Summary"].values()]
    assert any("No option meets" in str(text) for text in texts)


@pytest.mark.parametrize(
    "policy", [{"hosting": "colocation"}, {"purchase": "lease"},
               {"licensed_software": True, "region": "eu"}]
)  # fmt: skip
def test_other_policies_have_their_own_lines(planned, records, policy):
    made = repriced(planned("coding_assistant"), records, policy=policy)
    cost = cells(spreadsheet.report(made))[SHEETS["cost"]]
    assert last(cost, "Total") == pytest.approx(made.chosen["total"], abs=1e-6)
    assert last(cost, "Net present cost") == pytest.approx(made.chosen["npv"], abs=1e-6)


def test_names_are_fit_for_formulas():
    assert slug("Novita/GPT-oss 120b") == "novita_gpt_oss_120b"


# ---- recalculation -----------------------------------------------------------------------------


def repriced(made, records, policy=None, assumptions=None, quotes=None, growth=None, **load):
    """The same options under another team file, priced again but not judged again."""
    base = made.team
    changed = base.model_copy(update={
        "policy": base.policy.model_copy(update=policy or {}),
        "assumptions": {**base.assumptions, **(assumptions or {})},
        "quotes": {**base.quotes, **(quotes or {})},
        "growth": base.growth.model_copy(update=growth or {}),
        "workload": base.workload.model_copy(update=load),
    })  # fmt: skip
    terms = plan.Terms(changed, records)
    table = made.options
    rows = table[table["sourcing"].isin(["nothing"])]
    priced = [rows]
    for sourcing, price in (("own", money.owned), ("rent", money.rented)):
        part = table[(table["sourcing"] == sourcing) & np.isfinite(table["total"])]
        again = price(part, changed, records, terms)
        again.index = part.index
        priced.append(again)
    paid = table[table["sourcing"] == "api"]
    api = money.apis(changed, records, terms, {}).set_index("provider").loc[paid["provider"]]
    lines = [name for name in api if name not in ("sourcing", "model_id", "quality", "limit")]
    priced.append(paid.assign(**{name: api[name].to_numpy() for name in lines}))
    options = plan.pd.concat(priced).sort_index()
    return Fixed(changed, records, options, made.refused, terms, made.made)


class Fixed(plan.Plan):
    """A plan that keeps its recommendation, whatever the changed money would say."""

    @property
    def chosen(self):
        wanted = self.options[self.options.index == FIXED[self.team.slug]]
        return wanted.iloc[0] if len(wanted) else super().chosen


FIXED = {}


@pytest.fixture(autouse=True)
def _fixed(planned):
    for name in TEAMS:
        FIXED[name] = planned(name).chosen.name


OFFICE = shutil.which("soffice")
PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load"><prop oor:name="OOXMLRecalcMode"
 oor:op="fuse"><value>0</value></prop></item></oor:items>"""


def recalculated(folder, contents):
    """Cells of workbooks after LibreOffice has computed every formula anew."""
    profile = folder / "profile" / "user"
    profile.mkdir(parents=True)
    (profile / "registrymodifications.xcu").write_text(PROFILE, encoding="utf-8")
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"{number}.xlsx")
        paths[-1].write_bytes(poisoned(content))
    subprocess.run(
        [OFFICE, f"-env:UserInstallation={profile.parent.as_uri()}", "--headless", "--convert-to",
         "xlsx", "--outdir", str(folder / "done"), *map(str, paths)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return [cells((folder / "done" / path.name).read_bytes()) for path in paths]


def same_everywhere(expected, found, where=""):
    """Every result of a formula equals the planner's to a cent."""
    for sheet, inside in expected.items():
        for ref, (value, formula) in inside.items():
            if formula is None:
                continue
            got = found[sheet].get(ref, (None, None))[0]
            if isinstance(value, float):
                assert got == pytest.approx(value, abs=0.01), f"{where} {sheet} {ref} {formula}"
            else:
                assert (got or "") == (value or ""), f"{where} {sheet} {ref} {formula}"


def changes(made, records, tariff=1.7, price=1.15, growth=0.65):
    """What finance changes, as values of cells and as the planner's inputs; the last one is all."""
    shown = spreadsheet.compared(made)
    server = records.servers[next(row["server_id"] for row in shown.values()
                                  if row["sourcing"] == "own")]  # fmt: skip
    region = made.team.policy.region
    tariff = tariff * made.terms(f"electricity_tariff_{region}")
    price = round(price * server.price)
    dated = {"currency": server.currency, "date": made.made, "reference": "A-1"}
    quotes = {server.id: team.Quote(price=float(price), **dated)}
    cell = {f"electricity_tariff_{region}": tariff}
    quoted = {f"price_{slug(server.id)}": float(price)}
    grown, rate = made.team.growth.yearly + growth, {"discount_rate": 0.11}
    calls = 1.8 * made.team.workload.calls_per_day
    return [
        ({}, {}),
        (cell, {"assumptions": cell}),
        (quoted, {"quotes": quotes}),
        ({"team_growth": grown}, {"growth": {"yearly": grown}}),
        (rate, {"assumptions": rate}),
        ({"economic_life": 2.0}, {"assumptions": {"economic_life": 2.0}}),
        ({"team_calls_per_day": calls}, {"calls_per_day": calls}),
        ({**cell, **quoted, "team_growth": grown},
         {"assumptions": cell, "quotes": quotes, "growth": {"yearly": grown}}),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(OFFICE is None, reason="LibreOffice (soffice) is not installed")
def test_recalculated_it_equals_the_planner_to_a_cent(planned, records, books, tmp_path):
    jobs = []
    for name in TEAMS:
        made = planned(name)
        for cell, inputs in changes(made, records):
            jobs.append((name, cell, repriced(made, records, **inputs), typed(books(name), **cell)))
    results = recalculated(tmp_path, [content for *_, content in jobs])
    for (name, cell, again, _), found in zip(jobs, results, strict=True):
        where = f"{name} {cell}"
        if not cell:
            same_everywhere(cells(books(name)), found, where)
        assert again.chosen.name == planned(name).chosen.name
        summary, sheet = found[SHEETS["summary"]], found[SHEETS["options"]]
        for words, column in (("Cost over 3 years", "total"), ("Net present cost", "npv")):
            got = row_of(summary, words)["B"]
            assert got == pytest.approx(again.chosen[column], abs=0.01), where
        shown = spreadsheet.compared(planned(name))
        for number, row in enumerate(shown.values(), 4):
            priced = again.options.loc[row.name]
            assert sheet[f"D{number}"][0] == pytest.approx(priced["total"], abs=0.01), where
            assert sheet[f"E{number}"][0] == pytest.approx(priced["npv"], abs=0.01), where
        flow = cashflow.cash_flow(again.chosen, again).groupby("quarter")["cost"].sum()
        row = [value for _, value in sorted(row_of(found[SHEETS["cash"]], "Total").items())]
        np.testing.assert_allclose(row, flow, atol=0.01, err_msg=where)


@pytest.mark.slow
@pytest.mark.skipif(OFFICE is None, reason="LibreOffice (soffice) is not installed")
def test_a_new_plan_says_the_same(planned, records, books, tmp_path):
    """A whole plan of the changed team file, not only its prices."""
    keys = ["sourcing", "provider", "contract", "model_id", "weight_format", "engine", "server_id",
            "device_id", "tp", "memory", "sockets"]  # fmt: skip
    jobs = []
    for name in TEAMS:
        made = planned(name)
        # So little that the same option is the recommendation: another one the simulation might not
        # decide, and a replica would carry another load.
        cell, inputs = changes(made, records, 1.2, 1.02, 0.05)[-1]
        changed = repriced(made, records, **inputs).team
        jobs.append((made.chosen, plan.plan(changed, records), typed(books(name), **cell)))
    results = recalculated(tmp_path, [content for *_, content in jobs])
    for (option, again, _), found in zip(jobs, results, strict=True):
        table, wanted = again.options[keys], option[keys]
        same = (table.eq(wanted) | (table.isna() & wanted.isna())).all(axis=1)
        total = again.options.loc[same, "total"].iloc[0]
        assert row_of(found[SHEETS["summary"]], "Cost over 3 years")["B"] == pytest.approx(
            total, abs=0.01
        )


@pytest.mark.slow
@pytest.mark.skipif(OFFICE is None, reason="LibreOffice (soffice) is not installed")
@pytest.mark.parametrize(
    "policy", [{"hosting": "colocation", "licensed_software": True}, {"purchase": "lease"}]
)
def test_recalculated_under_other_policies(planned, records, policy, tmp_path):
    made = repriced(planned("coding_assistant"), records, policy=policy,
                    assumptions={"economic_life": 2})  # fmt: skip
    content = spreadsheet.report(made)
    same_everywhere(cells(content), recalculated(tmp_path, [content])[0])
