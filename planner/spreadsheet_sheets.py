"""The sheets of a workbook that a reader opens first and last: summary, options, sources."""

from __future__ import annotations

import numpy as np
from xlsxwriter.utility import xl_rowcol_to_cell

from planner import money, phrases, prices, words
from planner.inputs import version
from planner.language import say, term
from planner.spreadsheet_book import GREY, Book, Option, Placed
from planner.spreadsheet_inputs import Figures
from planner.spreadsheet_labels import COLUMNS, HOW, IDENTITY, SUMMARY
from planner.spreadsheet_lines import Block


def options(book: Book, shown: list[Option]) -> tuple[str, str] | None:
    """The options side by side; formula and words of the cheapest that holds every limit."""
    sheet, plan = book.sheets["options"], book.plan
    names = ["option", "name", "holds", "cost", "npv", "more", "per_token", "counts"]
    book.heads(sheet, 2, [COLUMNS[name] for name in names], right=range(3, 8), height=30)
    top, base = 3, shown[0]
    for at, option in enumerate(shown, top):
        strong = {"bold": True} if plan.chosen is not None and at == top else {}
        book.text(sheet, at, 0, option.letter, **strong)
        book.text(sheet, at, 1, option.text, text_wrap=True, **strong)
        book.tall(sheet, at, (option.text, 62))
        book.text(sheet, at, 2, _said(option.holds), **strong)
        total, npv = (0.0, 0.0) if option.block is None else (option.block.total, option.block.npv)
        per = money.per_million_tokens(total, plan.team)
        if option.placed is None:
            formulas = ["=0", "=0", "=0"]
        else:
            formulas = [f"={option.placed.sum(key)}" for key in ("yearly", "npv", "per_token")]
        first, here = xl_rowcol_to_cell(top, 4, True, True), xl_rowcol_to_cell(at, 4)
        base_npv = 0.0 if base.block is None else base.block.npv
        book.formula(sheet, at, 3, formulas[0], total, **strong)
        book.formula(sheet, at, 4, formulas[1], npv, **strong)
        if plan.chosen is not None:
            book.formula(sheet, at, 5, f"={here}-{first}", npv - base_npv, **strong)
        book.formula(sheet, at, 6, formulas[2], per, "cents", **strong)
        if option.holds == "yes":
            book.formula(sheet, at, 7, f"={here}", npv, **strong)
    end = top + len(shown) - 1
    book.long(sheet, end + 2, 0, 7, HOW[1], 32)
    good = [option for option in shown if option.holds == "yes"]
    if not good:
        return None
    counts = f"'{sheet.get_name()}'!$H${top + 1}:$H${end + 1}"
    texts = f"'{sheet.get_name()}'!$B${top + 1}:$B${end + 1}"
    best = min(good, key=lambda option: option.block.npv)
    return f"=INDEX({texts},MATCH(MIN({counts}),{counts},0))", best.text


def _said(holds):
    kept, _, limit = holds.partition(": ")
    return say("no: {limit}", limit=term(limit)) if limit else say(kept)


def summary(
    book: Book,
    shown: list[Option],
    cheapest: tuple[str, str] | None,
    ends: dict[str, tuple[Block, Placed]],
    drawn: dict[str, tuple[str, float]],
) -> None:
    """
    The first sheet: the decision and its figures, all taken from the other sheets.

    Parameters
    ----------
    book : Book
        With all other sheets.
    shown : list of Option
        The recommendation first, where there is one.
    cheapest : tuple of str, optional
        From `options`.
    ends : dict
        Blocks of the ends of the range that hold the limits, by case.
    drawn : dict of str to (str, float)
        Cell and value of the percentiles. [currency]
    """
    sheet, plan, team = book.sheets["summary"], book.plan, book.plan.team
    chosen, at = plan.chosen, 2
    pairs = [
        ("decision", words.decision(plan)), ("prepared", team.owner),
        ("date", phrases.day(plan.made)), ("run", book.run), ("validity", _valid(plan)),
    ]  # fmt: skip
    for key, text in pairs:
        book.text(sheet, at, 0, SUMMARY[key], font_color=GREY)
        book.long(sheet, at, 1, 4, text, 30 if key == "decision" else 15, bold=key == "decision")
        at += 1
    at += 1
    if chosen is None:
        book.text(sheet, at, 0, SUMMARY["none"])
    else:
        at = _key_figures(book, sheet, at, shown[0], ends, drawn)
        at = _checks(book, sheet, at, shown[0], cheapest)
    at += 1
    book.section(sheet, at, SUMMARY["how"], 4)
    for text in HOW:
        at += 1
        book.long(sheet, at, 0, 4, text, 15 * (1 + len(text) // 150))


def _valid(plan):
    found = prices.validity(plan)
    if not found:
        return ""
    until = phrases.day(found["until"])
    return say(SUMMARY["stale" if found["stale"] else "valid"], **found | {"until": until})


def _key_figures(book, sheet, at, option, ends, drawn):
    heads = [SUMMARY[key] for key in ("figure", "now", "report", "difference")]
    book.heads(sheet, at, [*heads, ""], right=(1, 2, 3))
    placed, block, years = option.placed, option.block, book.years
    figures = [("total", placed.sum("yearly"), block.total, "paid", True)]
    for case, key in (("_low", "low"), ("_high", "high")):
        if case in ends:
            figures.append((key, ends[case][1].sum("yearly"), ends[case][0].total, "paid", False))
        else:
            figures.append((key, "", np.inf, "paid", False))
    found = {row.key: row for row in block.rows()}
    figures += [
        ("npv", placed.sum("npv"), block.npv, "paid", False),
        ("first", placed.cell("yearly", 0), found["yearly"].values[0], "paid", False),
        ("per_token", placed.sum("per_token"), found["per_token"].whole, "paid_cents", False),
    ]
    if "owned" in found:
        owned = found["owned"].values[-1]
        figures.append(("servers", placed.cell("owned", years - 1), owned, "count", False))
    for key, reference, value, form, strong in figures:
        at += 1
        style = {"bold": True} if strong else {}
        book.text(sheet, at, 0, say(SUMMARY[key], years=years), **style)
        if not np.isfinite(value):
            book.text(sheet, at, 1, SUMMARY["never"], align="right")
            continue
        book.formula(sheet, at, 1, f"={reference}", value, form, **style)
        book.number(sheet, at, 2, value, form, **style)
        now, then = (xl_rowcol_to_cell(at, column) for column in (1, 2))
        book.formula(sheet, at, 3, f"=ROUND({now}-{then},2)", 0.0, form, **style)
    for key, (reference, value) in drawn.items():
        at += 1
        book.text(sheet, at, 0, SUMMARY[key])
        book.formula(sheet, at, 1, f"={reference}", value, "paid")
        book.text(sheet, at, 2, SUMMARY["drawn"], font_color=GREY, italic=True, indent=1)
    return at + 1


def _checks(book, sheet, at, option, cheapest):
    """What may no longer hold after a change."""
    plan, policy = book.plan, book.plan.team.policy
    if cheapest:
        book.text(sheet, at, 0, SUMMARY["cheapest"], text_wrap=True)
        sheet.set_row(at, 30)
        sheet.merge_range(at, 1, at, 4, "", book.style(text_wrap=True))
        book.formula(sheet, at, 1, *cheapest, "", text_wrap=True)
        at += 1
    inside, outside = say(SUMMARY["inside"]), say(SUMMARY["outside"])
    checks = []
    if option.row["sourcing"] == "own":
        found = {row.key: row for row in option.block.rows()}
        most = found["owned"].values.max() <= policy.most_servers
        checks.append(
            ("policy", f"MAX({option.placed.all('owned', True)})<=team_most_servers", most)
        )
    if plan.team.budget:
        kept = option.block.total <= plan.team.budget.total
        checks.append(("budget", f"{option.placed.sum('yearly')}<=team_budget", kept))
    for key, test, kept in checks:
        book.text(sheet, at, 0, SUMMARY[key])
        formula = f'=IF({test},"{inside}","{outside}")'
        book.formula(sheet, at, 1, formula, inside if kept else outside, "", align="right")
        at += 1
    return at


def sources(book: Book, figures: Figures) -> None:
    """Where each figure comes from, with its note, and what identifies the report."""
    sheet, plan = book.sheets["sources"], book.plan
    names = ["label", "status", "date", "source", "note"]
    book.heads(sheet, 2, [COLUMNS[name] for name in names])
    at = 2
    for figure in figures:
        if figure.group in (
            "team",
            "policy",
            "speed",
            "machine",
        ):  # their own source is beside them
            continue
        at += 1
        day = phrases.day(figure.date)
        texts = (figure.label, figure.status, day, figure.source, figure.note)
        for column, text in enumerate(texts):
            book.text(sheet, at, column, text, text_wrap=True)
        book.tall(sheet, at, (figure.label, 46), (figure.source, 60), (figure.note, 80))
    pairs = {
        "run": book.run, "catalogue": plan.catalogue.digest[:16], "version": version("planner"),
        "file": f"{plan.team.slug}.toml",
    }  # fmt: skip
    for row, (key, text) in enumerate(pairs.items(), at + 2):
        book.text(sheet, row, 0, IDENTITY[key], font_color=GREY)
        book.text(sheet, row, 1, text)
