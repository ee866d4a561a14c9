"""The sheets of a workbook that follow its cost lines: cash flow, bill of materials, break-even."""

from __future__ import annotations

import numpy as np
from xlsxwriter.utility import xl_col_to_name, xl_rowcol_to_cell

from planner import cashflow, money, phrases, uncertainty
from planner.language import say, term
from planner.phrases import GIB
from planner.spreadsheet_book import FIRST, GREY, INPUT, Book, Option
from planner.spreadsheet_inputs import Figures
from planner.spreadsheet_labels import BARE, BILL, CASH, COLUMNS, EVEN, LINES, SECTIONS, SUMMARY
from planner.spreadsheet_lines import MONTHS, QUARTER

QUARTERS = 4
SHAPES = {"first": cashflow.AT_START, "last": cashflow.AT_END, "falling": ("api",)}
RISE = 0.1  # of one cost line, to begin with [fraction]


def cash(book: Book, option: Option) -> None:
    """Every line by quarter, as `cashflow.cash_flow`: the quarters of a year are its line."""
    sheet, years = book.sheets["cash"], book.years
    lines, sourcing = option.block.lines, option.row["sourcing"]
    shape_of = {line: next((name for name, of in SHAPES.items() if line in of), "even")
                for line in lines}  # fmt: skip
    used = [name for name in CASH if name in shape_of.values()]
    columns = range(FIRST, FIRST + QUARTERS * years)
    top = 3 + len(lines) + 4  # where the shares stand, below the flow
    quarters = [say(COLUMNS["quarter"], year=q // QUARTERS + 1, quarter=q % QUARTERS + 1)
                for q in range(QUARTERS * years)]  # fmt: skip
    heads = [COLUMNS["item"], COLUMNS["unit"], *quarters]
    book.heads(sheet, 2, heads, right=columns)
    flow = cashflow.by_month(option.row, years, book.plan.terms("api_price_decline"))
    flow = {line: months.reshape(-1, 3).sum(axis=1) for line, months in flow.items()}
    for at, line in enumerate(lines, 3):
        book.text(sheet, at, 0, LINES[line][0])
        book.text(sheet, at, 1, book.currency, font_color=GREY)
        for number, column in enumerate(columns):
            year, quarter = divmod(number, QUARTERS)
            share = xl_rowcol_to_cell(top + 1 + used.index(shape_of[line]), FIRST + quarter,
                                      True, True)  # fmt: skip
            formula = f"={option.placed.cell(line, year)}*{share}"
            book.formula(sheet, at, column, formula, flow[line][number])
    total = sum(flow[line] for line in lines)
    at, first, last, start = 3 + len(lines), 4, 3 + len(lines), xl_col_to_name(FIRST)
    for offset, (key, values) in enumerate((("total", total), ("sum", np.cumsum(total)))):
        book.text(sheet, at + offset, 0, CASH[key], bold=True, top=1 - offset)
        book.text(sheet, at + offset, 1, book.currency, font_color=GREY, top=1 - offset)
        for number, column in enumerate(columns):
            letter = xl_col_to_name(column)
            formula = f"=SUM({letter}{first}:{letter}{last})"
            if key == "sum":
                formula = f"=SUM(${start}${at + 1}:{letter}${at + 1})"
            book.formula(sheet, at + offset, column, formula, values[number], bold=True,
                         top=1 - offset)  # fmt: skip
    end = xl_rowcol_to_cell(at + 1, columns[-1])
    book.text(sheet, at + 2, 0, CASH["check"], font_color=GREY)
    check = f"=ROUND({end}-{option.placed.sum('yearly')},2)"
    book.formula(sheet, at + 2, FIRST, check, 0.0, "cents", font_color=GREY)
    _shares(book, sheet, top, used, sourcing)


def _shares(book, sheet, top, used, sourcing):
    """What part of a year falls into each of its quarters."""
    book.section(sheet, top, SECTIONS["shares"], FIRST + QUARTERS - 1)
    decline = book.plan.terms("api_price_decline") if sourcing == "api" else 0.0
    months = (1 - decline) ** (np.arange(12) / 12)
    values = {
        "first": np.eye(4)[0], "even": np.full(4, 0.25), "last": np.eye(4)[3],
        "falling": months.reshape(4, 3).sum(axis=1) / months.sum(),
    }  # fmt: skip
    for at, name in enumerate(used, top + 1):
        book.text(sheet, at, 0, CASH[name])
        for quarter in range(QUARTERS):
            value = values[name][quarter]
            formula = f"={value:g}"
            if name == "falling":
                key = "api_price_decline"
                formula = (
                    f"=IF({key}>=1,{int(quarter == 0)},(1-{key})^({quarter}/4)*"
                    f"SUMPRODUCT((1-{key})^{QUARTER})/SUMPRODUCT((1-{key})^{MONTHS}))"
                )
            book.formula(sheet, at, FIRST + quarter, formula, value, "share")


def bill(book: Book, option: Option, figures: Figures) -> None:
    """What is bought or rented, and what one costs."""
    sheet, plan, row = book.sheets["bill"], book.plan, option.row
    names = ["item", "name", "quantity", "price", "amount"]
    book.heads(sheet, 2, [COLUMNS[name] for name in names], right=(2, 3, 4))
    found = {line.key: line for line in option.block.rows()}
    at, placed = 3, option.placed
    if row["sourcing"] == "own":
        at = _bought(book, sheet, at, option, found, figures)
    else:
        book.text(sheet, at, 0, BILL["nothing"])
        at += 1
    if row["sourcing"] == "rent":
        book.text(sheet, at, 0, BILL["rented"])
        book.text(sheet, at, 1, plan.catalogue.devices[row["device_id"]].name)
        most = found["rented"].values.max()
        book.formula(sheet, at, 2, f"=MAX({placed.all('rented', True)})", most, "count")
        at += 1
    model = plan.catalogue.models.get(row["model_id"])
    if model is not None:
        book.text(sheet, at, 0, BILL["model"])
        book.text(sheet, at, 1, f"{model.name}: {model.license}")


def _bought(book, sheet, at, option, found, figures):
    plan, row, placed = book.plan, option.row, option.placed
    server = plan.catalogue.servers[row["server_id"]]
    bought, device = found["bought"].whole, plan.catalogue.devices[server.device].name
    inside = say(
        BILL["inside"], number=server.devices, device=device, memory=server.memory / GIB,
        includes=term(server.includes or BILL["unstated"]),
    )  # fmt: skip
    first = at
    for key in ("hardware", "network", "storage", "rack", "spares", "installation", "tax",
                "contingency"):  # fmt: skip
        book.text(sheet, at, 0, server.name if key == "hardware" else LINES[key][0])
        words = inside if key == "hardware" else BILL["per_server"]
        book.text(sheet, at, 1, words, text_wrap=True)
        book.tall(sheet, at, (server.name, 48), (words, 60))
        each = found[key].values[0]
        book.formula(sheet, at, 2, f"={placed.sum('bought')}", bought, "count")
        book.formula(sheet, at, 3, f"={placed.cell(key, 0)}", each)
        amount = f"={xl_rowcol_to_cell(at, 2)}*{xl_rowcol_to_cell(at, 3)}"
        book.formula(sheet, at, 4, amount, bought * each)
        at += 1
    book.text(sheet, at, 0, BILL["total"], bold=True, top=1)
    book.text(sheet, at, 1, BILL["lease"] if "lease" in found else "", top=1)
    book.formula(sheet, at, 4, f"=SUM(E{first + 1}:E{at})", bought * found["capital"].values[0],
                 bold=True, top=1)  # fmt: skip
    most = found["owned"].values.max()
    count = f"MAX({placed.all('owned', True)})"
    weeks = say(BILL["weeks"], low=server.lead_time_weeks_low, high=server.lead_time_weeks_high)
    quote = plan.team.quotes.get(server.id)
    watts, units = server.power_load, server.rack_units
    load = figures.machine("load", server)
    for key, text, formula, value in (
        ("power", "W", f"={count}*{load}", most * watts),
        ("rack", "", f"={count}*{units}", most * units),
        ("lead", weeks, "", 0.0),
        ("source", quote.reference if quote else server.source, "", 0.0),
    ):
        at += 1
        book.text(sheet, at, 0, BILL[key])
        book.text(sheet, at, 1, text, text_wrap=True)
        book.tall(sheet, at, (text, 60))
        if formula:
            book.formula(sheet, at, 2, formula, value, "count")
    return at + 1


def even(
    book: Book, shown: list[Option], outcome: uncertainty.Outcome, figures: Figures
) -> dict[str, tuple[str, float]]:
    """
    Values at which rivals cost the same, a line at a time, and what was drawn.

    Parameters
    ----------
    book : Book
        With the cost lines of all options.
    shown : list of Option
        The recommendation first.
    outcome : Outcome
        Draws of the report.
    figures : Figures
        Names of the inputs.

    Returns
    -------
    drawn : dict of str to (str, float)
        Cell and value of each percentile. [currency]
    """
    sheet, at = book.sheets["even"], 2
    for sourcing in ("own", "rent", "api"):
        best = uncertainty.best_of(book.plan, sourcing)
        if best is None or sourcing == shown[0].row["sourcing"]:
            continue
        rival = next(option for option in shown if option.row.name == best.name)
        at = _rival(book, sheet, at, shown[0], rival, figures) + 2
    book.long(sheet, at, 0, 4, EVEN["one"], 30, font_color=GREY, italic=True)
    at = _changes(book, sheet, at + 2, shown[0])
    return _drawn(book, sheet, at + 2, shown[0], outcome)


def _rival(book, sheet, at, option, rival, figures):
    """The figures of both that are simple to solve for."""
    text = say(EVEN["rival"], letter=rival.letter, option=rival.text)
    book.heads(sheet, at, [text, COLUMNS["unit"], say(COLUMNS["used"], currency=book.currency),
                           EVEN["even"], ""], right=(2, 3), height=30)  # fmt: skip
    for side, other, meaning in ((option, rival, "holds"), (rival, option, "above")):
        gap = f"({other.placed.sum('npv')}-{side.placed.sum('npv')})"
        for key, unit, name, worth in _solvable(book, side, figures):
            at += 1
            part, value, now = worth
            solved = now * (1 + (other.block.npv - side.block.npv) / value) if value else np.nan
            formula = f"{name}*(1+{gap}/({part}))"
            book.text(sheet, at, 0, EVEN[key])
            unit = BARE.get(unit, unit)
            unit = phrases.measure(unit.format(currency=book.currency))
            book.text(sheet, at, 1, unit, font_color=GREY)
            book.formula(sheet, at, 2, f"={name}", now, "precise")
            book.formula(sheet, at, 3, f'=IFERROR(IF({formula}>0,{formula},""),"")',
                         solved if solved > 0 else "", "precise")  # fmt: skip
            book.text(sheet, at, 4, EVEN[meaning], font_color=GREY, indent=1)
    return at


def _solvable(book, option, figures):
    """Figures in which the present cost of an option is linear, and what of it they are."""
    plan, row, placed = book.plan, option.row, option.placed
    found = {line.key: line.values for line in option.block.rows()}

    def worth(key, factor="end"):
        return float(found[key] @ found[factor])

    if row["sourcing"] == "api":
        yield "api", "1", "1", (placed.sum("npv"), option.block.npv, 1.0)
    elif row["sourcing"] == "rent":
        offer = money.rental_offers(plan.catalogue)[row["device_id"]]
        name = figures.rental(offer)
        now = plan.terms.money(offer.price, offer.currency)
        yield ("rent", "{currency}/h", name, (placed.present("rent"), worth("rent"), now))
    if row["sourcing"] == "own" and "capex" in found:
        price = figures.server(plan.catalogue.servers[row["server_id"]])
        # Storage and rack do not follow the price of the server; all else of the capital does.
        extra = "(1+installation_rate)*(1+tax_rate)*(1+contingency_rate)"
        fixed = f"({placed.cell('storage', 0)}+{placed.cell('rack', 0)})*{extra}"
        share = f"(1-{fixed}/{placed.cell('capital', 0)})"
        lines = ("support", "decommissioning", "residual")
        part = f"{placed.present('capex', 'start')}*{share}"
        part = "+".join([part, *(placed.present(line) for line in lines)])
        added = np.prod([1 + plan.terms(f"{key}_rate")
                         for key in ("installation", "tax", "contingency")])  # fmt: skip
        kept = (found["storage"][0] + found["rack"][0]) * added / found["capital"][0]
        value = worth("capex", "start") * (1 - kept) + sum(worth(line) for line in lines)
        yield "server", "{currency}", price, (part, value, float(found["hardware"][0]))
    if "energy" in found:
        name = f"electricity_tariff_{plan.team.policy.region}"
        worth_energy = (placed.present("energy"), worth("energy"), plan.terms(name))
        yield "tariff", "{currency}/kWh", name, worth_energy


def _changes(book, sheet, at, option):
    """The cost with each line in turn dearer by as much as is typed."""
    book.heads(sheet, at, [EVEN["changes"], "", COLUMNS["cost"], EVEN["risen"], ""], right=(2, 3))
    rise = xl_rowcol_to_cell(at + 1, 2, True, True)
    book.text(sheet, at + 1, 0, EVEN["rise"])
    book.number(sheet, at + 1, 2, RISE, "share", locked=False, bg_color=INPUT,
                font_color="#0000CC", border=1, border_color="#BFBFBF")  # fmt: skip
    at += 1
    found = {row.key: row for row in option.block.rows()}
    for line in option.block.lines:
        at += 1
        whole, total = found[line].whole, option.block.total
        book.text(sheet, at, 0, LINES[line][0])
        book.text(sheet, at, 1, book.currency, font_color=GREY)
        book.formula(sheet, at, 2, f"={option.placed.sum(line)}", whole)
        formula = f"={option.placed.sum('yearly')}+{rise}*{xl_rowcol_to_cell(at, 2)}"
        book.formula(sheet, at, 3, formula, total + RISE * whole)
    return at


def _drawn(book, sheet, at, option, outcome):
    """Percentiles and the ends of each thing's range, as the report has them: no formulas."""
    book.heads(sheet, at, [EVEN["sure"], "", book.currency, "", ""], right=(2,))
    drawn = {}
    row = outcome.table.loc[option.row.name]
    for key in ("p10", "p50", "p90"):
        at += 1
        book.text(sheet, at, 0, SUMMARY[key])
        if np.isfinite(row[key]):
            book.number(sheet, at, 2, row[key], "money")
            drawn[key] = book.cell("even", at, 2), float(row[key])
        else:
            book.text(sheet, at, 2, SUMMARY["never"], align="right")
    moved = uncertainty.sensitivity(book.plan)
    moved = moved.loc[(moved["high"] - moved["low"]).abs().sort_values(ascending=False).index]
    at += 2
    heads = [EVEN["tornado"], "", COLUMNS["low"], COLUMNS["high"], ""]
    book.heads(sheet, at, heads, right=(2, 3), height=30)
    for factor in moved.itertuples():
        at += 1
        book.text(sheet, at, 0, factor.factor)
        book.text(sheet, at, 1, book.currency, font_color=GREY)
        book.number(sheet, at, 2, factor.low, "money")
        book.number(sheet, at, 3, factor.high, "money")
    return drawn
