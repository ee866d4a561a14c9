"""Pages of the portfolio: the answer, what is bought together, and who shares what."""

from __future__ import annotations

import numpy as np
import pandas as pd

from planner import display, growth_plan, phrases, words
from planner.display import Column, KeyFigure
from planner.merged_calls import LEAST_CALLS
from planner.portfolio import Portfolio

FIRST = 12  # teams of the table of the first page
WHERE = {"own": "own servers", "rent": "rented", "api": "API"}
NO_TEAM = "No team has a feasible option, so nothing is bought; the section on them says why."
NO_POOL = "No pool pays: {why}. Every team is best served as its own report says."
NOTHING_CHARGED = "No team has a feasible option, so nobody is charged."
NOBODY_SHARES = (
    "no two teams may share and have a deployment in common that the closed forms find cheaper"
)
LEFT_ALONE = "in the simulation no group of teams keeps every member's limits"
TRIED = "of {count} simulated, none keeps every limit and costs less than its teams apart"
CHARGED = (
    "**How it is shared out.** A pool's cost is divided by the time for which each team keeps its "
    "replicas busy over the plan: replica seconds per call, as simulated, times the calls of its "
    "plan. A call's seconds are its own prefill, and of every other moment in which its replica "
    "works the same part as each call that runs then. Spares, idle time and staff are carried in "
    "the same proportion. Tokens would be simpler, but a prompt token costs far less than an "
    "output token, and how much less depends on the machine. A team in no pool is charged what "
    "its own plan costs. Charges are whole {currency} and add up to the total exactly."
)
DEARER = (
    "{count} would pay more in its pool than by itself: {names}. The pool saves as a whole; agree "
    "on a lower share before signing, since without them it must be planned again."
)


def in_words(portfolio: Portfolio, amount: float) -> str:
    """A sum of money."""
    return phrases.money(amount, portfolio.currency)


def between(portfolio: Portfolio, low: float, high: float) -> str:
    """A range of money; without an upper end where a limit cannot be held at the slow end."""
    if not np.isfinite(high):
        return f"{in_words(portfolio, low)} or more"
    return f"{in_words(portfolio, low)} to {in_words(portfolio, high)}"


def years(portfolio: Portfolio) -> str:
    """How long the plans are, in words."""
    found = sorted({portfolio.plans[name].team.growth.years for name in portfolio.chosen})
    if len(found) == 1:
        return phrases.count(found[0], "year")
    return f"the teams' plans of {found[0]} to {found[-1]} years"


def saved(portfolio: Portfolio) -> dict[str, float]:
    """What all pools save together: low, mid, high. [currency]"""
    pools = portfolio.pools
    return {end: sum(pool.saved[end] for pool in pools) for end in ("low", "mid", "high")}


def purchase(portfolio: Portfolio) -> str:
    """What to buy together, in words."""
    table = growth_plan.machines(portfolio)
    table = table[table["servers"] > 0]
    servers = portfolio.catalogue.servers
    listed = []
    for row in table.itertuples():
        name = servers[row.server_id].name
        listed.append(phrases.several(row.servers, name) if row.servers > 1 else f"1 x {name}")
    if not listed:
        return "buy no server"
    most = 4
    more = f" and {phrases.count(len(listed) - most, 'more kind')}" if len(listed) > most else ""
    return f"buy {'; '.join(listed[:most])}{more}"


def decision(portfolio: Portfolio) -> display.Shown:
    """What to buy together, what it costs and what pooling saves."""
    if not portfolio.chosen:
        return display.callout("warning", NO_TEAM)
    total, low, high = (portfolio.cost(column) for column in ("total", "total_low", "total_high"))
    head = (
        f"{words.upper(purchase(portfolio))}: {in_words(portfolio, total)} over {years(portfolio)} "
        f"for {phrases.count(len(portfolio.chosen), 'team')} "
        f"({between(portfolio, low, high)}), rent and APIs included."
    )
    return display.callout(
        "decision", f"**{display.escape(head)}** {display.escape(pays(portfolio))}"
    )


def pays(portfolio: Portfolio) -> str:
    """Whether pooling pays, in sentences."""
    if not portfolio.pools:
        count = len(portfolio.tried)
        why = TRIED.format(count=phrases.count(count, "pool")) if count else NOBODY_SHARES
        why = LEFT_ALONE if portfolio.given_up and not count else why
        return NO_POOL.format(why=why)
    found, apart = saved(portfolio), portfolio.cost(pools=False)
    many = len(portfolio.pools) > 1
    dear = (
        "" if found["low"] > 0 else (" At the unfavourable end pooling costs more than it saves.")
    )
    teams = phrases.count(len(portfolio.pooled), "team")
    return (
        f"{f'{len(portfolio.pools)} pools' if many else 'One pool'} for {teams} "
        f"{'save' if many else 'saves'} {in_words(portfolio, found['mid'])} "
        f"({between(portfolio, found['low'], found['high'])}), {100 * found['mid'] / apart:.0f} % "
        f"of the {in_words(portfolio, apart)} that all teams cost by themselves.{dear}"
    )


def figures(portfolio: Portfolio) -> display.Shown:
    """The few figures that the first page stands on."""
    if not portfolio.chosen:
        return display.text("No figures are shown, since no team has a feasible option.")
    currency, found = portfolio.currency, saved(portfolio)

    def amount(label, value, low, high):
        text = in_words(portfolio, value)
        band = between(portfolio, low, high).replace(f" {currency}", "") if low < high else ""
        return KeyFigure(label, text.removesuffix(f" {currency}"), currency, band=band)

    table = growth_plan.machines(portfolio)
    return display.key_figures([
        amount(f"Cost over {years(portfolio)}", *(
            portfolio.cost(column) for column in ("total", "total_low", "total_high")
        )),
        amount("Saved by pooling", found["mid"], found["low"], found["high"]),
        KeyFigure(
            "Servers to own by the end", f"{table['servers'].sum():,.0f}", "in all",
            note=f"{table['apart'].sum():,.0f} if every team buys its own",
        ),
        KeyFigure(
            "Teams served", f"{len(portfolio.chosen):,}",
            f"of {len(portfolio.plans) + len(portfolio.failed):,}",
            note="whose files are in the folder",
        ),
    ])  # fmt: skip


def _charges(portfolio):
    table = portfolio.charges.assign(less=lambda rows: rows["alone"] - rows["charge"])
    table.loc[table["less"].abs() < 0.5, "less"] = 0.0  # rounded to a whole unit
    table["where"] = table["where"].map(WHERE).fillna(table["where"])
    return table.sort_values("charge", ascending=False, kind="stable")


def _charge_table(portfolio, table, caption, note):
    whole = portfolio.charges
    sums = {"name": "All teams", "where": "", "share": np.nan, "charge": whole["charge"].sum(),
            "alone": whole["alone"].sum()}  # fmt: skip
    sums["less"] = sums["alone"] - sums["charge"]
    table = pd.concat([table, pd.DataFrame([sums])], ignore_index=True)
    currency = portfolio.currency
    return display.table(
        table,
        {
            "name": Column("Team"),
            "where": Column("Served by"),
            "share": Column("Share of pool", "%", ".1f", scale=100),
            "charge": Column("Charge", currency, ",.0f"),
            "alone": Column("By itself", currency, ",.0f"),
            "less": Column("Saves", currency, ",.0f"),
        },
        caption, note, total=True,
    )  # fmt: skip


def first_charges(portfolio: Portfolio) -> display.Shown:
    """The largest charges, for the first page."""
    if not portfolio.chosen:
        return display.text(NOTHING_CHARGED)
    table = _charges(portfolio)
    if len(table) <= FIRST + 2:
        return _charge_table(portfolio, table, f"Charge of each team over {years(portfolio)}", "")
    rest = table.iloc[FIRST:]
    row = {"name": f"{len(rest):,} other teams", "where": "see the section on chargeback",
           "share": np.nan, **rest[["charge", "alone", "less"]].sum()}  # fmt: skip
    table = pd.concat([table.head(FIRST), pd.DataFrame([row])])
    return _charge_table(portfolio, table, f"The largest charges over {years(portfolio)}", "")


def charges(portfolio: Portfolio) -> display.Shown:
    """Every team's charge, where the first page does not have room for all."""
    if not portfolio.chosen:
        return display.text(NOTHING_CHARGED)
    table = _charges(portfolio)
    if len(table) <= FIRST + 2:
        return display.text("The table of the first page holds every team.")
    return _charge_table(portfolio, table, "What every team is charged", "")


def charged(portfolio: Portfolio) -> display.Shown:
    """How the cost is shared out, and who would pay more than by itself."""
    if not portfolio.chosen:
        return display.text(NOTHING_CHARGED)
    said = CHARGED.format(currency=display.escape(portfolio.currency))
    table = _charges(portfolio)
    dearer = table[table["share"].notna() & (table["less"] < -0.5)]
    if len(dearer):
        names = "; ".join(dearer["name"].head(5))
        names += f"; and {len(dearer) - 5} more" if len(dearer) > 5 else ""
        count = phrases.count(len(dearer), "team")
        said += "\n\n" + DEARER.format(count=count, names=display.escape(names))
    return display.text(said)


# ---- what is bought ----------------------------------------------------------------------------


def bill(portfolio: Portfolio) -> display.Shown:
    """Servers of all teams and pools by kind, with prices."""
    table = growth_plan.machines(portfolio)
    if table.empty:
        return display.text("Nothing is bought, so there is no bill of materials.")
    servers, devices = portfolio.catalogue.servers, portfolio.catalogue.devices
    rows = []
    for row in table.itertuples():
        server = servers[row.server_id]
        count = phrases.several(server.devices, devices[server.device].name)
        standing = f"quote {row.quote}" if row.quote else server.price_status
        rows.append({
            "server": f"{server.name} ({count})", "apart": row.apart, "now": row.now,
            "servers": row.servers, "price": row.price, "low": row.low, "high": row.high,
            "worth": row.price * row.servers, "standing": f"{standing}, {server.price_date}",
            "lead": display.band(
                server.lead_time_weeks_low, server.lead_time_weeks_high, ".0f"
            ),
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    sums = {"server": "All servers", **frame[["apart", "now", "servers", "worth"]].sum()}
    frame = pd.concat([frame, pd.DataFrame([sums])], ignore_index=True)
    unit = f"k {portfolio.currency}"
    money = {"unit": unit, "format": ",.1f", "scale": 1e-3}
    return display.table(
        frame,
        {
            "server": Column("Server"),
            "apart": Column("If apart", "", ",.0f"),
            "now": Column("Buy first", "", ",.0f"),
            "servers": Column("In all", "", ",.0f"),
            "price": Column("Price of one", low="low", high="high", **money),
            "worth": Column("List price in all", **money),
            "standing": Column("Standing and date"),
            "lead": Column("Lead time", "weeks"),
        },
        "Servers to buy together",
        "If apart: what the teams would own by the end if each bought for itself. List prices "
        "without network, racks, spare parts, freight and tax, which the cost of the plans holds.",
        total=True,
    )  # fmt: skip


def other_ways(portfolio: Portfolio) -> display.Shown:
    """What is rented or paid by the token."""
    rows = []
    for unit in growth_plan.units(portfolio):
        option = unit.option
        if option["sourcing"] == "own":
            continue
        rent = option["sourcing"] == "rent"
        model = portfolio.catalogue.models.get(option["model_id"])
        known = portfolio.plans.get(unit.name)
        rows.append({
            "name": known.team.name if known else unit.name,
            "what": portfolio.catalogue.devices[option["device_id"]].name if rent else "API",
            "devices": float(option["devices"]) if rent else 0.0, "provider": option["provider"],
            "model": model.name if model else option["model_id"],
            "cost": unit.unit * float(option["total"]),
        })  # fmt: skip
    if not rows:
        return display.text("Nothing is rented and no API is paid for.")
    grouped = pd.DataFrame(rows).groupby(["what", "provider", "model"], as_index=False, sort=False)
    frame = grouped.agg(
        name=("name", lambda names: names.iloc[0] if len(names) == 1 else f"{len(names):,} teams"),
        devices=("devices", "sum"), cost=("cost", "sum"),
    ).sort_values("cost", ascending=False, kind="stable")  # fmt: skip
    frame["what"] = [phrases.several(n, name) if n else name
                     for n, name in zip(frame["devices"], frame["what"], strict=True)]  # fmt: skip
    columns = {
        "name": Column("For"), "what": Column("What"), "provider": Column("From"),
        "model": Column("Model"), "cost": Column("Cost", portfolio.currency, ",.0f"),
    }  # fmt: skip
    return display.table(frame, columns, "What is rented or paid by the token")


def unserved(portfolio: Portfolio) -> display.Shown:
    """Teams without a feasible option, and files that cannot be read, with why."""
    rows = [
        {"name": plan.team.name, "why": words.headline(plan)}
        for name, plan in portfolio.plans.items()
        if name not in portfolio.chosen
    ]
    rows += [{"name": file, "why": f"The file cannot be used. {why}"}
             for file, why in portfolio.failed.items()]  # fmt: skip
    if not rows:
        return display.text("Every team has an option that meets its requirement.")
    columns = {"name": Column("Team"), "why": Column("Why")}
    return display.table(pd.DataFrame(rows), columns, "Teams without a feasible option")


def rests_on(portfolio: Portfolio) -> display.Shown:
    """Which figure rests on what."""
    alone = (
        "The event simulation of the team's own busiest hour, as in its report"
        if portfolio.simulated
        else "Closed forms, without the simulation that a team's own report has; members of a pool "
        "that need several replicas are counted again by the simulation, so that both sides of a "
        "saving are counted alike"
    )
    ran = f"at least {LEAST_CALLS:,} calls" if portfolio.tried else "none was needed"
    dates = sorted(server.price_date for server in portfolio.catalogue.servers.values())
    rows = [
        ("Replicas of a team by itself", alone),
        ("Who is pooled with whom", "Closed forms: the two groups whose union saves most are "
         "joined until none saves (Clarke and Wright, 1964)"),
        ("Replicas of a pool", "Event simulation of the merged calls behind a router that sends "
         f"each call to the replica with the fewest ({ran}), in the pool's busiest hour of the "
         "last year and of the first, and in each member's own busiest hour"),
        ("Replicas of the years between", "In proportion to demand, between those two"),
        ("A team without a profile", "As busy in every hour as in its busiest, so that its peak "
         "coincides with the pool's: on the safe side"),
        ("Sessions and waiting users", "In a pool their calls come by themselves; a session's turn "
         "finds the turns before it in the cache, which takes a router that keeps sessions "
         "together"),
        ("Ends of a cost", "Fast machines at low prices, slow machines at high prices; the ends of "
         "all teams and pools are added up"),
        ("Prices", f"Catalogue, dated {dates[0]} to {dates[-1]}; a team's own quote before it, in "
         "a pool only where all members state it"),
        ("Made", f"{portfolio.made}, in {portfolio.seconds:.0f} s, catalogue "
         f"{portfolio.catalogue.digest[:16]}"),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["what", "rests"])
    columns = {"what": Column("Figure"), "rests": Column("Rests on")}
    return display.table(frame, columns, "What each figure rests on")


def answer(portfolio: Portfolio) -> display.Shown:
    """The answer in words."""
    if not portfolio.chosen:
        return display.text(NO_TEAM)
    total = in_words(portfolio, portfolio.cost())
    return display.text(display.escape(
        f"{words.upper(purchase(portfolio))}, for {total} over {years(portfolio)}. "
        f"{pays(portfolio)}"
    ))  # fmt: skip


def summary(portfolio: Portfolio) -> display.Shown:
    """What a program reads."""
    count = phrases.count(len(portfolio.plans), "team")
    costs = {
        name: portfolio.cost(column)
        for name, column in (("low", "total_low"), ("mid", "total"), ("high", "total_high"))
    }
    table = growth_plan.machines(portfolio)
    return display.summary({
        "team": f"Portfolio of {count}", "date": portfolio.made.isoformat(),
        "buy": purchase(portfolio),
        "three_year_cost": {
            **{name: value if np.isfinite(value) else None for name, value in costs.items()},
            "range": "ends of speed and prices", "currency": portfolio.currency,
        } if portfolio.chosen else None,
        "apart": portfolio.cost(pools=False), "saved": saved(portfolio),
        "simulated": portfolio.simulated,
        "servers": {row.server_id: row.servers for row in table.itertuples() if row.servers},
        "pools": [
            {"name": pool.name, "members": pool.members, "what": words.name(pool.option, pool.plan),
             "replicas": float(pool.option["replicas"]), "saved": pool.saved,
             "pays": pool in portfolio.pools}
            for pool in portfolio.tried
        ],
        "charges": {row.team: row.charge for row in portfolio.charges.itertuples()},
        "unserved": sorted(set(portfolio.plans) - set(portfolio.chosen)),
        "failed": portfolio.failed,
        "quarters": growth_plan.quarterly(portfolio).groupby("quarter")[["servers", "spend"]].sum()
        .to_dict("list"),
        "document": {"details": [["Teams", f"{len(portfolio.plans):,}"],
                                 ["Currency", portfolio.currency]]},
    })  # fmt: skip
