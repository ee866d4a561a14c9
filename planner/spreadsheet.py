"""
The cost of a plan as a workbook whose figures are formulas: finance changes an assumption, and
every sheet follows as the planner would compute it. Text is never a formula.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import choices, phrases, uncertainty, words
from planner import spreadsheet_money as sheets
from planner import spreadsheet_sheets as pages
from planner.language import say
from planner.plan import Plan
from planner.spreadsheet_book import GREY, INPUT, Book, Option
from planner.spreadsheet_inputs import Figures
from planner.spreadsheet_labels import BARE, CASES, COLUMNS, GROUPS, UNITS
from planner.spreadsheet_lines import block

FILE = "report.xlsx"
ENDS = ("_low", "_high")


def report(plan: Plan, outcome: uncertainty.Outcome | None = None, run: str = "") -> bytes:
    """
    The workbook of a plan.

    Parameters
    ----------
    plan : Plan
        From `planner.plan.plan`, with or without a recommendation.
    outcome : Outcome, optional
        Its draws; made here by default.
    run : str
        What identifies the report.

    Returns
    -------
    content : bytes
        An .xlsx file; the same plan and run give the same bytes.
    """
    outcome = outcome or uncertainty.outcome(plan)
    book, figures, shown = Book(plan, run), Figures(plan), compared(plan)
    blocks = [block(row.to_dict(), letter, plan, figures) for letter, row in shown.items()]
    chosen, ends = plan.chosen, {}
    if chosen is not None:
        ends = {case: block(chosen.to_dict(), "A", plan, figures, case) for case in ENDS}
        if chosen["sourcing"] == "own":
            figures.team("most_servers")
        if plan.team.budget:
            figures.team("budget")
    book.sheet("summary", [46, 24, 24, 20, 44])
    _inputs(book, figures)
    book.sheet("options", [8, 62, 16, 18, 18, 20, 16, 18])
    years = [46, 18, *[15] * (book.years + 1)]
    if chosen is not None:
        book.sheet("cost", years, frozen=(3, 2))
        book.sheet("cash", [36, 16, *[12] * (4 * book.years)], frozen=(3, 2))
        book.sheet("bill", [48, 60, 12, 18, 20])
        book.sheet("even", [58, 18, 20, 20, 42])
    book.sheet("others", years, frozen=(2, 2))
    book.sheet("sources", [46, 16, 12, 60, 80])
    options, top = _placed(book, shown, blocks)
    low_high = {}
    for case, found in ends.items():
        if found is not None:
            placed = book.block("others", top, found, say(CASES[case], letter="A"))
            top, low_high[case] = placed.end + 2, (found, placed)
    drawn = {}
    if chosen is not None:
        sheets.cash(book, options[0])
        sheets.bill(book, options[0], figures)
        drawn = sheets.even(book, options, outcome, figures)
    cheapest = pages.options(book, options)
    pages.sources(book, figures)
    pages.summary(book, options, cheapest, low_high, drawn)
    return book.close()


def compared(plan: Plan) -> dict[str, pd.Series]:
    """
    The options of a workbook by letter, the recommendation as A.

    Parameters
    ----------
    plan : Plan
        Its options.

    Returns
    -------
    options : dict of str to Series
        What the report compares, the cheapest way of each contract, and doing nothing.
    """
    found = choices.compared(plan)
    labels = list(found.index)
    for sourcing in ("own", "rent", "api"):
        best = uncertainty.best_of(plan, sourcing)
        labels += [] if best is None else [best.name]
    table = plan.options
    npv = table["npv"][(table["sourcing"] == "rent") & table["limit"].isin(uncertainty.SOLVABLE)]
    rented = npv[np.isfinite(npv)].sort_values(kind="stable").index
    have = set(table["contract"][labels].dropna())
    contracts = table["contract"][rented].drop_duplicates()
    labels += [label for label, contract in contracts.items() if contract not in have]
    chosen = [] if plan.chosen is None else [plan.chosen.name]
    labels = list(dict.fromkeys([*chosen, *labels]))
    rows = [plan.options.loc[label] for label in labels]
    rows = [row for row in rows if row["sourcing"] == "nothing" or np.isfinite(row["total"])]
    return {chr(ord("A") + number): row for number, row in enumerate(rows)}


def holds(row: pd.Series) -> str:
    """Whether an option holds the limits, as the report says it."""
    if row["limit"] != "none":
        return f"no: {row['limit']}"
    return "yes" if row["certain"] else "if not slow"


def _placed(book, shown, blocks):
    """Write every block: the recommendation on a sheet of its own, the others one by one."""
    plan, options, top = book.plan, [], 2
    for (letter, row), found in zip(shown.items(), blocks, strict=True):
        text, placed = words.brief(row, plan), None
        title = say(CASES[""], letter=letter, option=text)
        if found is not None and plan.chosen is not None and row.name == plan.chosen.name:
            placed = book.block("cost", 2, found, title)
        elif found is not None:
            placed = book.block("others", top, found, title)
            top = placed.end + 2
        options.append(Option(letter, row, text, holds(row), found, placed))
    return options, top


def _inputs(book, figures):
    """Every figure that a formula names; the yellow cells may be changed."""
    currency = book.currency
    sheet = book.sheet("inputs", [46, 15, 12, 12, 17, 15, 14, 52, 12, 32],
                       frozen=(3, 1))  # fmt: skip
    names = ["label", "value", "low", "high", "unit", "used", "status", "source", "date", "key"]
    heads = [say(COLUMNS[name], currency=currency) for name in names]
    book.heads(sheet, 2, heads, right=(1, 2, 3, 5))
    at, group = 2, ""
    for figure in figures:
        if figure.group != group:
            at, group = at + 1, figure.group
            book.section(sheet, at, GROUPS[group], len(names) - 1)
        at += 1
        share = figure.kind == "share"
        form = figure.kind if figure.kind in ("share", "whole") else "number"
        book.text(sheet, at, 0, figure.label, text_wrap=True)
        for column, value in ((1, figure.value), (2, figure.low), (3, figure.high)):
            if np.isfinite(value):
                book.number(sheet, at, column, value, form, locked=False, bg_color=INPUT,
                            font_color="#0000CC", border=1, border_color="#BFBFBF")  # fmt: skip
                _allow(sheet, at, column, figure)
        unit = UNITS.get(figure.unit, figure.unit) if share else figure.unit
        book.text(sheet, at, 4, phrases.measure(BARE.get(unit, unit)), font_color=GREY, indent=1)
        book.tall(sheet, at, (figure.label, 46), (figure.source, 52))
        form = "number" if form == "number" else form
        book.formula(sheet, at, 5, f"=$B${at + 1}{figure.factor}", figure.used, form)
        for column, text in ((6, figure.status), (7, figure.source), (8, phrases.day(figure.date))):
            book.text(sheet, at, column, text, text_wrap=column == 7, indent=int(column == 6))
        book.text(sheet, at, 9, figure.name, font_color=GREY)
        for suffix, column in (("", "F"), ("_low", "C"), ("_high", "D")):
            known = {"": True, "_low": np.isfinite(figure.low), "_high": np.isfinite(figure.high)}
            if known[suffix]:
                place = f"='{sheet.get_name()}'!${column}${at + 1}"
                book.book.define_name(figure.name + suffix, place)


def _allow(sheet, row, column, figure):
    """What may be typed: amounts, shares, whole years."""
    rule = {"validate": "decimal", "criteria": ">=", "value": 0}
    if figure.name == "team_growth":
        rule["value"] = -0.9
    elif figure.kind == "share":
        rule = {"validate": "decimal", "criteria": "between", "minimum": 0, "maximum": 1}
    elif figure.kind == "whole":
        rule = {"validate": "integer", "criteria": ">=", "value": 1}
    sheet.data_validation(row, column, row, column, rule)
