"""A workbook as XlsxWriter writes it: styles, text that stays text, formulas with known values."""

from __future__ import annotations

import io
import math
import re
from datetime import UTC, datetime, time
from functools import cache
from typing import NamedTuple
from xml.sax.saxutils import escape

import pandas as pd
import xlsxwriter
from xlsxwriter.utility import xl_col_to_name, xl_rowcol_to_cell, xl_rowcol_to_cell_fast
from xlsxwriter.worksheet import Worksheet

from planner import phrases
from planner.language import say, term
from planner.plan import Plan
from planner.spreadsheet_labels import BARE, COLUMNS, LINES, SECTIONS, SHEETS, TITLES
from planner.spreadsheet_lines import Block
from planner.table_layout import is_wide

LABEL, UNIT, FIRST = 0, 1, 2  # columns of a block: words, unit, first year
BLUE, PALE, INPUT, GREY = "#1F4E79", "#E8EEF4", "#FFF8D6", "#666666"
SMALL = 20_000.0  # a plan that costs less is shown to the cent [currency]
NAMED = re.compile(r"\[(\w+)(?::(\w+))?\]")  # a row of a block in a formula
_letter = cache(xl_col_to_name)
ALLOWED = {  # on protected sheets
    "select_locked_cells": True, "select_unlocked_cells": True, "format_cells": True,
    "format_columns": True, "format_rows": True, "autofilter": True,
}  # fmt: skip


class Sheet(Worksheet):
    """XlsxWriter's sheet, quicker: only what our cells hold, no function that Excel 2007 lacks."""

    def _prepare_formula(self, formula, expand_future_functions=False):
        return formula.removeprefix("=")

    def _write_cell(self, row, column, cell):
        kind, style = type(cell).__name__, cell.format._get_xf_index()
        start = f'<c r="{xl_rowcol_to_cell_fast(row, column)}" s="{style}"'
        if kind == "String":
            self.fh.write(f'{start} t="s"><v>{cell.string}</v></c>')
        elif kind == "Formula":
            text = ' t="str"' if isinstance(cell.value, str) and cell.value else ""
            formula, value = escape(cell.formula), escape(str(cell.value))
            self.fh.write(f"{start}{text}><f>{formula}</f><v>{value}</v></c>")
        else:
            super()._write_cell(row, column, cell)


class Book:
    """
    One workbook in memory.

    Parameters
    ----------
    plan : Plan
        Names the team, the date and the currency.
    run : str
        What identifies the report.
    """

    def __init__(self, plan: Plan, run: str):
        self.plan, self.run, self._file, self._styles = plan, run, io.BytesIO(), {}
        self.currency, self.years = phrases.unit(plan.team.currency), plan.team.growth.years
        self.book = xlsxwriter.Workbook(
            self._file,
            {
                "in_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
                "strings_to_numbers": False, "nan_inf_to_errors": False,
            },
        )  # fmt: skip
        # The same plan gives the same bytes: the date of the plan is that of the file.
        made = datetime.combine(plan.made, time(12), UTC).replace(tzinfo=None)
        team = plan.team
        self.book.set_properties({"title": team.name, "author": team.owner, "subject": run,
                                  "created": made})  # fmt: skip
        self.book.set_calc_mode("auto")
        dear = plan.chosen is None or plan.chosen["total"] >= SMALL
        self.forms = {
            "money": "#,##0;-#,##0;0" if dear else "#,##0.00", "cents": "#,##0.00",
            "count": "#,##0", "rate": "0.0000", "share": "0.0%", "number": "#,##0.########",
            "whole": "0", "year": _counted(say(COLUMNS["year"], year="0")), "precise": "#,##0.0000",
            "paid": f'#,##0 "{self.currency}"' if dear
            else f'#,##0.00 "{self.currency}"', "paid_cents": f'#,##0.00 "{self.currency}"',
        }  # fmt: skip
        self.sheets = {}

    def style(self, form: str = "", **properties):
        """A cell format, each made once; form is a key of ``forms``."""
        key = (form, *sorted(properties.items()))
        if key not in self._styles:
            number = {"num_format": self.forms[form]} if form else {}
            base = {"font_name": "Calibri", "font_size": 10, "valign": "top"}
            self._styles[key] = self.book.add_format({**base, **number, **properties})
        return self._styles[key]

    def sheet(self, key: str, widths: list[float], frozen: tuple[int, int] = (3, 0)):
        """A sheet with its title, widths, frozen panes and print set-up."""
        title = say(TITLES[key], years=self.years, team=self.plan.team.name)
        sheet = self.book.add_worksheet(say(SHEETS[key]), Sheet)
        self.sheets[key] = sheet
        self.text(sheet, 0, 0, title, bold=True, font_size=14, font_color=BLUE)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
        sheet.freeze_panes(*frozen)
        sheet.hide_gridlines(2)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.5, right=0.5, top=0.8, bottom=0.7)
        sheet.repeat_rows(0, max(frozen[0] - 1, 0))
        name = self.plan.team.name[:100].replace("&", "&&")  # & begins a code of the header
        sheet.set_header(f"&L{name}&R{phrases.day(self.plan.made)}")
        sheet.set_footer(f"&L{self.run}&C&A&R&P / &N")
        sheet.protect("", ALLOWED)
        return sheet

    def cell(self, key: str, row: int, column: int) -> str:
        """A cell, from another sheet."""
        return f"'{say(SHEETS[key])}'!{xl_rowcol_to_cell(row, column, True, True)}"

    def text(self, sheet, row, column, words, **properties):
        """Words, whatever they begin with: never a formula, a number or a link."""
        sheet.write_string(row, column, term(str(words)), self.style(**properties))

    def long(self, sheet, row, first, last, words, height=15.0, **properties):
        """Words over several columns."""
        style = self.style(text_wrap=True, **properties)
        sheet.merge_range(row, first, row, last, "", style)
        sheet.write_string(row, first, term(str(words)), style)
        sheet.set_row(row, height)

    def tall(self, sheet, row, *texts: tuple[str, float]):
        """Make a row high enough for wrapped texts in columns of some widths."""
        lines = max(math.ceil(_width(term(str(text))) / (1.1 * width)) for text, width in texts)
        if lines > 1:
            sheet.set_row(row, 13.5 * lines)

    def heads(self, sheet, row, words, first=0, right=(), height=18.0):
        """A row of column heads; `right` are the columns of numbers."""
        sheet.set_row(row, height)
        for column, word in enumerate(words, first):
            align = "right" if column in right else "left"
            self.text(sheet, row, column, word, bold=True, bg_color=BLUE, font_color="white",
                      align=align, text_wrap=True)  # fmt: skip

    def section(self, sheet, row, words, last):
        """A band that begins a group of rows."""
        for column in range(last + 1):
            self.text(sheet, row, column, words if column == 0 else "", bold=True, bg_color=PALE)

    def formula(self, sheet, row, column, formula, value, form="money", **properties):
        """A formula with the planner's own result; what is not finite is shown as empty."""
        value = value if isinstance(value, str) else float(value)
        if not isinstance(value, str) and not math.isfinite(value):
            value = ""
        sheet.write_formula(row, column, formula, self.style(form, **properties), value)

    def number(self, sheet, row, column, value, form="number", **properties):
        """A number that nothing follows from and nothing changes."""
        if math.isfinite(value):
            sheet.write_number(row, column, float(value), self.style(form, **properties))

    def close(self) -> bytes:
        """The file."""
        self.book.close()
        return self._file.getvalue()

    def block(self, key: str, top: int, block: Block, title: str) -> Placed:
        """Write a block of cost lines; its years stand in the row `top`."""
        sheet, last = self.sheets[key], FIRST + self.years
        right = range(FIRST, last + 1)
        heads = [title, COLUMNS["unit"], *[""] * self.years, COLUMNS["total"]]
        self.heads(sheet, top, heads, right=right)
        band = self.style("year", bold=True, bg_color=BLUE, font_color="white", align="right")
        for year in range(self.years):  # numbers, since formulas count with them
            sheet.write_number(top, FIRST + year, year + 1, band)
        rows, at = {"year": top}, top
        for found in block.sections.values():
            at += 1
            rows |= {row.key: at + number for number, row in enumerate(found, 1)}
            at += len(found)
        placed = Placed(say(SHEETS[key]), rows, self.years, at)
        at = top
        for section, found in block.sections.items():
            at += 1
            self.section(sheet, at, SECTIONS[section], last)
            for row in found:
                at += 1
                self._row(sheet, at, row, placed)
        return placed

    def _row(self, sheet, at, row, placed):
        words, unit = LINES[row.key]
        strong = {"bold": True, "top": 1} if row.key in ("yearly", "capital", "npv") else {}
        self.text(sheet, at, LABEL, words, **strong)
        unit = phrases.measure(BARE.get(unit, unit.format(currency=self.currency)))
        self.text(sheet, at, UNIT, unit, font_color=GREY, **strong)
        style = self.style(row.form, **strong)
        for year, value in enumerate(map(float, row.values)):
            formula = row.first if row.first and year == 0 else row.formula
            column = FIRST + year
            formula = placed.resolved(formula, column)
            sheet.write_formula(at, column, formula, style, value if math.isfinite(value) else "")
        if row.total:  # a sum, or of a unit cost that of the sums
            last = FIRST + self.years
            formula = f"=SUM({placed.all(row.key)})"
            if row.total == "ratio":
                formula = placed.resolved(row.formula, last)
            properties = {"bold": True, **strong}
            self.formula(sheet, at, last, formula, row.whole, row.form, **properties)


def _width(text):
    """In characters of a column; a Chinese one is as wide as two."""
    return len(text) + (0 if text.isascii() else sum(map(is_wide, text)))


def _counted(words):
    """The number format that writes a number in the place of the 0 of some words."""
    return "".join(f'"{part}"' if part != "0" else part for part in re.split("(0)", words) if part)


class Placed:
    """Where the rows of a block are, for formulas on this and other sheets."""

    def __init__(self, sheet: str, rows: dict[str, int], years: int, end: int):
        self.sheet, self.rows, self.years, self.end = sheet, rows, years, end

    def all(self, key: str, outside: bool = False) -> str:
        """The cells of all years."""
        row = self.rows[key] + 1
        inside = f"${_letter(FIRST)}${row}:${_letter(FIRST + self.years - 1)}${row}"
        return f"'{self.sheet}'!{inside}" if outside else inside

    def cell(self, key: str, year: int) -> str:
        """The cell of one year (from 0), from another sheet."""
        return f"'{self.sheet}'!${_letter(FIRST + year)}${self.rows[key] + 1}"

    def sum(self, key: str) -> str:
        """The cell of the last column, from another sheet."""
        return self.cell(key, self.years)

    def present(self, key: str, factor: str = "end") -> str:
        """Present value of a line, from another sheet."""
        return f"SUMPRODUCT({self.all(key, True)},{self.all(factor, True)})"

    def resolved(self, formula: str, column: int) -> str:
        """A formula of one year with cells in place of the names of rows."""

        def cell(match):
            key, which = match.groups()
            row = self.rows[key] + 1
            first = f"${_letter(FIRST)}${row}"
            if which is None:
                return f"{_letter(column)}${row}"
            if which == "all":
                return self.all(key)
            if which == "one":
                return first
            if which == "last":
                return f"${_letter(FIRST + self.years - 1)}${row}"
            return f"{first}:{_letter(column if which == 'sofar' else column - 1)}${row}"

        return NAMED.sub(cell, formula)


class Option(NamedTuple):
    """An option of the workbook: letter, row, words, whether it holds, formulas and their place."""

    letter: str
    row: pd.Series
    text: str
    holds: str
    block: Block | None
    placed: Placed | None
