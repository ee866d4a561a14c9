"""
The cost of one option as rows of formulas, each with the planner's own numbers.

A formula is written for one year. In square brackets it names other rows of its block: ``[owned]``
is the cell of the same year, ``[owned:sofar]`` the years up to it, ``[owned:before]`` those before
it, ``[owned:all]`` all years, ``[year:last]`` the last one and ``[capital:one]`` the only cell of a
row that has one. All other names are inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from planner import cost, money, outlay, pricing
from planner.plan import Plan
from planner.spreadsheet_inputs import Figures

# The months of a year, whose price falls a little every month, and the first quarter of them.
MONTHS, QUARTER = "({0,1,2,3,4,5,6,7,8,9,10,11}/12)", "({0,1,2}/12)"
LAST = "[year:last]"


class Row(NamedTuple):
    """A row: key of `spreadsheet_labels.LINES`, formula, values, and what the last column holds."""

    key: str
    formula: str
    values: np.ndarray  # one per year, or a single one
    total: str = ""  # sum, or ratio: the formula applied to the sums; empty for none
    form: str = "money"  # money, cents, count, rate or share
    first: str = ""  # formula of the first year, where it is another one
    ratio: float = 0.0  # the planner's value of a ratio

    @property
    def whole(self) -> float:
        """Value of the last column."""
        return self.ratio if self.total == "ratio" else float(self.values.sum())


@dataclass(frozen=True)
class Block:
    """Rows of one option by section; `total` and `npv` are the planner's. [currency]"""

    sections: dict[str, list[Row]]
    total: float
    npv: float

    def rows(self):
        """All rows, whatever their section."""
        return [row for rows in self.sections.values() for row in rows]

    @property
    def lines(self) -> list[str]:
        """Keys of the cost lines."""
        return [row.key for row in self.sections["lines"] if row.key != "yearly"]


def block(option, letter: str, plan: Plan, figures: Figures, case: str = "") -> Block | None:
    """
    Cost of one option, as planned or at an end of its range.

    Parameters
    ----------
    option : Series or dict
        A row of ``plan.options``, priced.
    letter : str
        What the workbook calls it.
    plan : Plan
        Its plan.
    figures : Figures
        Collects the inputs that the formulas name.
    case : str
        Empty, _low or _high.

    Returns
    -------
    block : Block or None
        None for doing nothing, and where the option carries nothing at that end.
    """
    if option["sourcing"] in ("own", "rent"):
        column = {"": "rate", "_low": "rate_high", "_high": "rate_low"}[case]
        if not option[column] > 0:
            return None
        make = _own if option["sourcing"] == "own" else _rent
        return make(option, letter, plan, figures, case, float(option[column]), column)
    return _api(option, plan, figures, case) if option["sourcing"] == "api" else None


def _demand(figures):
    """Calls and peak of every year."""
    t, found = figures.team, figures.demand
    rise = f"(1+{t('growth')})^([year]-1)"
    peak = f"={t('calls_per_day')}*{t('busiest_hour_share')}/3600*{rise}"
    calls = f"={t('calls_per_day')}*{t('days_per_year')}*{rise}"
    return (
        Row("calls", calls, found.calls, "sum", "count"),
        Row("peak", peak, found.peak, form="rate"),
    )


def _working(option, letter, figures, column, rate):
    name = figures.predicted("rate", letter, option) + column.removeprefix("rate")
    working = pricing.working(np.array([rate]), figures.demand.peak)[0]
    # A rounding error of the division must not buy a replica.
    return Row("working", f"=MAX(1,ROUNDUP([peak]/{name}-1E-9,0))", working, form="count")


def _worth(plan, figures, lines, at_start=False):
    """Sum, present value and unit cost of cost lines."""
    years = np.arange(1, plan.team.growth.years + 1)
    rate, discount = plan.terms("discount_rate"), figures.term("discount_rate")
    t, load = figures.team, plan.team.workload
    yearly = sum(row.values for row in lines)
    first = lines[0].values if at_start else np.zeros(years.size)
    start, end = (1 + rate) ** -(years - 1.0), (1 + rate) ** -years.astype(float)
    tokens = figures.demand.calls * (load.prompt_tokens + load.output_tokens)
    paid = f"[{lines[0].key}]*[start]+([yearly]-[{lines[0].key}])*[end]" if at_start else (
        "[yearly]*[end]"
    )  # fmt: skip
    served = f"=[calls]*({t('prompt_tokens')}+{t('output_tokens')})"
    unit = "=IF([tokens]>0,[yearly]/[tokens]*1E6,0)"
    total = Row("yearly", "=" + "+".join(f"[{row.key}]" for row in lines), yearly, "sum")
    return total, [
        Row("start", f"=1/(1+{discount})^([year]-1)", start, form="rate"),
        Row("end", f"=1/(1+{discount})^[year]", end, form="rate"),
        Row("npv", f"={paid}", first * start + (yearly - first) * end, "sum"),
        Row("tokens", served, tokens, "sum", "count"),
        Row("per_token", unit, yearly / tokens * 1e6, "ratio", "cents",
            ratio=float(yearly.sum() / tokens.sum() * 1e6)),
    ]  # fmt: skip


def _own(option, letter, plan, figures, case, rate, column):
    team, terms, policy = plan.team, plan.terms, plan.team.policy
    server, f, t = plan.catalogue.servers[option["server_id"]], figures, figures.team
    years, life = np.arange(1, team.growth.years + 1), terms("economic_life")
    own_room, leased = policy.hosting == "own_room", policy.purchase == "lease"
    quote = team.quotes.get(server.id)
    ends = {"": "price", "_low": "price_low", "_high": "price_high"}
    amount = terms.money(quote.price, quote.currency) if quote else (
        terms.money(getattr(server, ends[case]), server.currency)
    )  # fmt: skip
    working = _working(option, letter, figures, column, rate)
    calls, peak = _demand(figures)
    rate_peak, per_server = float(option["rate_peak"]), float(option["per_server"])
    table = pricing.own(
        working.values[None], per_server, np.array([rate_peak]), np.array([amount]),
        money.machine(server), calls.values, team, terms,
    )  # fmt: skip
    table = {key: value[0] for key, value in table.items()}
    needed = np.ceil((working.values + policy.spare_replicas) / per_server) + policy.spare_servers
    busy = pricing.utilisation(
        calls.values, np.array([rate_peak]), table["owned"][None] * per_server
    )[0]
    price = f.end(f.server(server), case)
    one = f.predicted("per_server", letter, option)
    idle, loaded = f.machine("idle", server), f.machine("load", server)
    use = f.term("economic_life")
    tariff_key = f"electricity_tariff_{policy.region}"
    tariff, rise = f.term(tariff_key), f.term("electricity_tariff_growth")
    dearer = (1 + terms("electricity_tariff_growth")) ** (years - 1.0)
    machines = [
        calls, peak, working,
        Row("needed", f"=ROUNDUP(([working]+{t('spare_replicas')})/{one},0)+{t('spare_servers')}",
            needed, form="count"),
        Row("bought", f"=MAX(0,[needed]-SUMPRODUCT(([year:before]>[year]-{use})*"
            "[bought:before]))", table["bought"], "sum", "count", "=MAX(0,[needed])"),
        Row("owned", f"=SUMPRODUCT(([year:sofar]>[year]-{use})*[bought:sofar])", table["owned"],
            form="count"),
        Row("busy", f"=MIN(1,[calls]/{f.predicted('rate_peak', letter, option)}/"
            f"(MAX(1,[owned]*{one})*8760*3600))", busy, form="share"),
        Row("tariff", f"={tariff}*(1+{rise})^([year]-1)", terms(tariff_key) * dearer, form="rate"),
    ]  # fmt: skip
    per = outlay.capex(
        amount, amount * terms("network_adder"), storage=terms("storage_per_server"),
        rack=terms("rack_per_unit") * server.rack_units if own_room else 0.0,
        **{key: terms(key) for key in
           ("spares_rate", "installation_rate", "tax_rate", "contingency_rate")},
    )  # fmt: skip
    both, bought = "([hardware:one]+[network:one])", "[hardware:one]+[network:one]+[storage:one]"
    bought += "+[rack:one]"
    rack = f"={f.term('rack_per_unit')}*{f.machine('rack_units', server)}" if own_room else "=0"
    capital = {
        "hardware": f"={price}",
        "network": f"=[hardware:one]*{f.term('network_adder')}",
        "storage": f"={f.term('storage_per_server')}",
        "rack": rack,
        "spares": f"={both}*{f.term('spares_rate')}",
        "installation": f"=({bought})*{f.term('installation_rate')}",
        "tax": f"=({bought}+[spares:one]+[installation:one])*{f.term('tax_rate')}",
        "contingency": f"=({bought}+[spares:one]+[installation:one]+[tax:one])*"
        f"{f.term('contingency_rate')}",
    }
    parts = [Row(key, formula, np.array([per[key]])) for key, formula in capital.items()]
    parts.append(Row("capital", "=" + "+".join(f"[{key}:one]" for key in capital),
                     np.array([per["total"]])))  # fmt: skip
    lines = []
    if leased:
        rate, share = f.term("lease_rate"), f.term("lease_residual_3y")
        term = np.minimum(years.size + 1.0 - years, life)
        back = cost.residual_value(amount, term, terms("lease_residual_3y"))
        paid = cost.lease_payment(per["total"], back, terms("lease_rate"), term)
        machines += [
            Row("term", f"=MIN({LAST}-[year]+1,{use})", term, form="count"),
            Row("payment", f"=[bought]*IF({rate}>0,{rate}/(1-(1+{rate})^-[term]),1/[term])*"
                f"MAX(0,[capital:one]-[hardware:one]*{share}^([term]/3)/(1+{rate})^[term])",
                table["bought"] * paid),
        ]  # fmt: skip
        lines.append(
            ("lease", "=SUMPRODUCT(([year:all]<=[year])*([year:all]+[term:all]>[year])*"
             "[payment:all])")
        )  # fmt: skip
    else:
        lines.append(("capex", "=[bought]*[capital:one]"))
    power = f"8760*{f.term('pue')}*[tariff]*[owned]*({idle}+({loaded}-{idle})*[busy])/1000"
    if own_room:
        lines.append(("energy", f"={power}"))
    else:
        place = "colocation_per_kw_month_cn" if policy.region == "cn" else "colocation_per_kw_month"
        lines.append(
            ("colocation", f"=[owned]*{loaded}/1000*{f.term(place)}*(1+{rise})^([year]-1)*12+"
             f"{f.term('colocation_metered')}*{power}")
        )  # fmt: skip
    lines.append(("support", f"=[owned]*[hardware:one]*({f.term('support_rate')}+"
                  f"{f.term('insurance_rate')})"))  # fmt: skip
    if policy.licensed_software and server.kind == "gpu":
        licence = f"{f.machine('devices', server)}*{f.term('software_per_gpu_year')}"
        lines.append(("software", f"=[owned]*{licence}"))
    hours = f"[owned]*{f.term('staff_hours_per_server')}+{f.term('staff_hours_fixed')}"
    lines.append(("staff", f"=({hours})*{f.term(f'staff_rate_{policy.region}')}"))
    if not own_room:
        hands = f"{f.term('remote_hands_hours')}*{f.term('remote_hands_rate')}"
        lines.append(("other", f"=[owned]*{hands}"))
    lines.append(
        ("decommissioning", f"=[hardware:one]*{f.term('decommission_rate')}*SUMPRODUCT("
         f"(([year:all]+{use}-1=[year])+([year]={LAST})*([year:all]+{use}-1>{LAST}))*"
         "[bought:all])")
    )  # fmt: skip
    if not leased:
        age = f"({LAST}-[year:all]+1)"
        lines.append(
            ("residual", f"=-([year]={LAST})*[hardware:one]*SUMPRODUCT([bought:all]*"
             f"{f.term('residual_3y')}^({age}/3)*({age}<={use}))")
        )  # fmt: skip
    rows = [Row(key, formula, table[key], "sum") for key, formula in lines]
    total, worth = _worth(plan, figures, rows, at_start=not leased)
    sections = {"demand": machines, "capital": parts, "lines": [*rows, total], "worth": worth}
    return Block(sections, float(table["total"]), float(table["npv"]))


def _falling(decline, exponent, unless):
    """A price after a decline; a decline of 100 % leaves nothing, but not at the start."""
    return f"IF({unless},1,(1-{decline})^{exponent})"


def _rent(option, letter, plan, figures, case, rate, column):
    team, terms, policy = plan.team, plan.terms, plan.team.policy
    offer, f, t = money.rental_offers(plan.catalogue)[option["device_id"]], figures, figures.team
    ends = {"": "price", "_low": "price_low", "_high": "price_high"}
    amount = terms.money(getattr(offer, ends[case]), offer.currency)
    reserved, each = option["contract"] == "reserved", float(option["tp"])
    calls, peak = _demand(figures)
    working = _working(option, letter, figures, column, rate)
    table = pricing.rent(working.values[None], np.array([each]), np.array([amount]),
                         np.array([reserved]), team, terms)  # fmt: skip
    table = {key: value[0] for key, value in table.items()}
    year = np.arange(team.growth.years)
    kept = pricing.RESERVED_YEARS
    elapsed = f"INT(([year]-1)/{kept})*{kept}" if reserved else "([year]-1)"
    replicas = working.values + policy.spare_replicas + policy.spare_servers
    level = (1 - terms("rental_price_decline")) ** (year // kept * kept if reserved else year)
    price = f.end(f.rental(offer), case)
    hours = "8760" if reserved else t("rented_hours_per_year")
    discount = f"*(1-{f.term('rental_reserved_discount')})" if reserved else ""
    staff = f"={f.term('staff_hours_fixed')}*{f.term(f'staff_rate_{policy.region}')}"
    demand = [
        calls, peak, working,
        Row("replicas", f"=[working]+{t('spare_replicas')}+{t('spare_servers')}", replicas,
            form="count"),
        Row("rented", f"=[replicas]*{f.predicted('each', letter, option)}", replicas * each,
            form="count"),
        Row("level", "=" + _falling(f.term("rental_price_decline"), elapsed, f"{elapsed}=0"),
            level, form="rate"),
    ]  # fmt: skip
    rows = [
        Row("rent", f"=[rented]*{price}*{hours}{discount}*[level]", table["rent"], "sum"),
        Row("staff", staff, table["staff"], "sum"),
    ]
    total, worth = _worth(plan, figures, rows)
    sections = {"demand": demand, "lines": [*rows, total], "worth": worth}
    return Block(sections, float(table["total"]), float(table["npv"]))


def _api(option, plan, figures, case):
    team, terms, f, t = plan.team, plan.terms, figures, figures.team
    offer = plan.catalogue.api_prices[option["provider"]]
    load, calls = team.workload, figures.demand.calls
    prices = money.api_prices(offer, team, terms)
    end = {"": "value", "_low": "high", "_high": "low"}[case]
    decline = terms("api_price_decline", end)
    table = pricing.api(np.array(prices)[:, None], calls, team, terms, decline)
    table = {key: value[0] for key, value in table.items()}
    name = f.term("api_price_decline") + {"": "", "_low": "_high", "_high": "_low"}[case]
    mean = f"SUMPRODUCT((1-{name})^{MONTHS})/12"
    level = f"=IF({name}>=1,([year]=1)/12,(1-{name})^([year]-1)*{mean})"
    fresh = "input" if offer.cached_input is None else "cached"
    names = [f.api(offer, field) for field in ("input", "output", fresh)]
    share = load.cached_prompt_share
    tokens = [calls * load.prompt_tokens * (1 - share), calls * load.output_tokens,
              calls * load.prompt_tokens * share]  # fmt: skip
    flat = sum(n * price for n, price in zip(tokens, prices, strict=True))
    factor = ""
    if offer.peak_factor != 1:
        known = load.peak_price_share is not None
        when = t("peak_price_share") if known else f.api(offer, "peak_share")
        factor = f"*(1+({f.api(offer, 'peak_factor')}-1)*{when})"
    prompt, held = f"[calls]*{t('prompt_tokens')}", t("cached_prompt_share")
    demand = [
        *_demand(figures),
        Row("input", f"={prompt}*(1-{held})", tokens[0], "sum", "count"),
        Row("output", f"=[calls]*{t('output_tokens')}", tokens[1], "sum", "count"),
        Row("cached", f"={prompt}*{held}", tokens[2], "sum", "count"),
        Row("flat", f"=([input]*{names[0]}+[output]*{names[1]}+[cached]*{names[2]})/1E6{factor}",
            flat, form="cents"),
        Row("level", level, np.divide(table["api"], flat, out=np.ones(flat.shape),
                                      where=flat > 0), form="rate"),
    ]  # fmt: skip
    rows = [Row("api", "=[flat]*[level]", table["api"], "sum", "cents")]
    total, worth = _worth(plan, figures, rows)
    sections = {"demand": demand, "lines": [*rows, total], "worth": worth}
    return Block(sections, float(table["total"]), float(table["npv"]))
