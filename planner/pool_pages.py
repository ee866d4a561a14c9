"""Pages of the portfolio: the pools, what they save, and whether every team's limits hold."""

from __future__ import annotations

import pandas as pd

from planner import display, phrases, pooling, portfolio_charts, words
from planner.display import Column
from planner.portfolio import Portfolio
from planner.portfolio_pages import pays
from planner.sections import LINE_WORDS

MOST_BARS = 4  # pools in the chart of the first page
UNBROKEN = "\u00a0"  # a space at which no line ends
RULE = (
    "**Who may share.** Only teams whose files state the same `data_class`, word for word, and the "
    "same region, hosting, way of buying and number of years. A team that names no class counts as "
    "`internal`. Within a pool the strictest policy of any member holds (spares, highest "
    "utilisation, bits of the weights, memory, licences, used hardware), and the model must reach "
    "every member's quality floor and hold every member's context."
)
NOTE = (
    "Spares count once for each pool. The band compares both sides as planned, with fast machines "
    "at low prices, and with slow machines at high prices, of which a team by itself may need "
    "several where a pool does not."
)
GIVEN_UP = (
    " {teams} that the closed forms would pool with others stay by themselves, since in the "
    "simulation no number of replicas keeps every limit at the slow end of the band of speed."
)
NO_PROFILE = (
    "None of the teams of {pool} states a profile by the hour, so their busiest hours are assumed "
    "to coincide: what the pool saves is spares, idle time and work that is done once."
)


def rule(portfolio: Portfolio) -> display.Shown:
    """Who may share with whom."""
    return display.text(RULE)


def _pool_rows(portfolio):
    rows = []
    for pool in portfolio.tried:
        mine = [portfolio.chosen[name] for name in pool.members]
        hosted = [option for option in mine if option["sourcing"] != "api"]
        rows.append({
            "pool": pool.name.replace(" ", UNBROKEN), "members": len(pool.members),
            "what": words.name(pool.option, pool.plan),
            "apart": sum(float(option["replicas"]) for option in hosted),
            "replicas": float(pool.option["replicas"]),
            "working": float(pool.option["working"]),
            "alone": pool.alone["mid"], "cost": float(pool.option["total"]), **pool.saved,
            "pays": "yes" if pool in portfolio.pools else "no",
            "refused": pool not in portfolio.pools,
        })  # fmt: skip
    return pd.DataFrame(rows)


def pools(portfolio: Portfolio) -> display.Shown:
    """Every pool that was simulated, and whether it pays."""
    if not portfolio.tried and not portfolio.given_up:
        return display.text(
            "No two teams may share and have a deployment in common that the closed forms find "
            "cheaper than what each would do by itself, so no pool was simulated."
        )
    if not portfolio.tried:
        given_up = GIVEN_UP.strip().format(teams=phrases.count(len(portfolio.given_up), "team"))
        return display.text(given_up)
    money = {"unit": f"k {portfolio.currency}", "format": ",.1f", "scale": 1e-3}
    note = NOTE
    if portfolio.given_up:
        note += GIVEN_UP.format(teams=phrases.count(len(portfolio.given_up), "team"))
    return display.table(
        _pool_rows(portfolio),
        {
            "pool": Column("Pool"), "members": Column("Teams"), "what": Column("Runs on"),
            "apart": Column("Replicas apart", "", ",.0f"),
            "replicas": Column("Together", "", ",.0f"),
            "alone": Column("Apart", **money), "cost": Column("Together", **money),
            "mid": Column("Saves", low="low", high="high", **money),
            "pays": Column("Pays"),
        },
        "Pools: the fewest replicas with which every team's limits hold on its own calls",
        note,
        muted="refused",
    )  # fmt: skip


def savings_chart(portfolio: Portfolio) -> display.Shown:
    """What each pool's teams cost apart and together."""
    if not portfolio.pools:
        return display.text(display.escape(pays(portfolio)))
    largest = sorted(portfolio.pools, key=lambda pool: -pool.saved["mid"])[:MOST_BARS]
    frame = pd.DataFrame([
        {"pool": f"{pool.name}, {phrases.count(len(pool.members), 'team')}",
         "apart": pool.alone["mid"], "pooled": float(pool.option["total"])} for pool in largest
    ])  # fmt: skip
    chart = portfolio_charts.savings(frame, portfolio.currency)
    few = len(largest) < len(portfolio.pools)
    return display.figure(
        chart, f"Cost of the teams apart and together{', the largest savings' if few else ''}"
    )


def saved_lines(portfolio: Portfolio) -> display.Shown:
    """Where the saving comes from, cost line by cost line."""
    if not portfolio.pools:
        return display.text("Nothing is saved.")
    rows = []
    for line, name in LINE_WORDS.items():
        apart = sum(_over(portfolio, member, line) for member in portfolio.pooled)
        pooled = sum(_years(pool.option, line) for pool in portfolio.pools)
        if abs(apart) + abs(pooled) > 0.5:
            rows.append({"line": name, "apart": apart, "pooled": pooled, "less": apart - pooled})
    frame = pd.DataFrame(rows)
    sums = {"line": "All", **frame[["apart", "pooled", "less"]].sum()}
    frame = pd.concat([frame, pd.DataFrame([sums])], ignore_index=True)
    currency = portfolio.currency
    columns = {"line": Column("Cost"), "apart": Column("Apart", currency, ",.0f"),
               "pooled": Column("Together", currency, ",.0f"),
               "less": Column("Saved", currency, ",.0f")}  # fmt: skip
    note = (
        "Staff: hours that do not grow with the number of servers count once for each pool, and "
        "once for each team that is by itself."
    )
    return display.table(frame, columns, "Where the saving comes from", note, total=True)


def _years(option, line):
    return sum(float(option[name]) for name in option.index if _is_year(name, line))


def _is_year(name, line):
    return name.startswith(f"{line}_") and name.removeprefix(f"{line}_").isdigit()


def _over(portfolio, member, line):
    """One cost line of one team by itself, in the portfolio's currency."""
    option = portfolio.chosen[member]
    return _years(option, line) * portfolio.amount(member) / float(option["total"])


def kept(portfolio: Portfolio) -> display.Shown:
    """What each member sees of its own calls in the merged run, beside its limits."""
    rows = []
    for pool in portfolio.pools:
        hosted = any(portfolio.plans[name].team.workload.hourly for name in pool.members)
        for name, seen in zip(pool.members, pool.seen.itertuples(), strict=True):
            team = portfolio.plans[name].team
            rows.append({
                "pool": pool.name.replace(" ", UNBROKEN), "name": team.name,
                "hour": f"{seen.hour} to {seen.hour + 1}" if hosted else "any",
                "calls": seen.calls, "ttft": seen.ttft_p95, "ttft_limit": team.slo.ttft_p95,
                "tpot": seen.tpot_p95, "tpot_limit": team.slo.tpot_p95, "excess": seen.excess,
            })  # fmt: skip
    if not rows:
        return display.text("No pool pays, so no team's limits are held in one.")
    return display.table(
        pd.DataFrame(rows),
        {
            "pool": Column("Pool"), "name": Column("Team"), "hour": Column("Hour"),
            "calls": Column("Calls", "", ",.0f"),
            "ttft": Column("TTFT 95 %", "s", ".2f"), "ttft_limit": Column("Limit", "s", ".1f"),
            "tpot": Column("TPOT 95 %", "ms", ".0f", scale=1e3),
            "tpot_limit": Column("Limit", "ms", ".0f", scale=1e3),
            "excess": Column("Tightest", "% of limit", ".0f", scale=100),
        },
        "Each team's own calls in the merged run, every spare lost",
        "In the busiest hour of the last year; a team that calls less then is shown in its own "
        "busiest hour. Calls: how many of the team's were simulated. Tightest: of all its limits.",
    )  # fmt: skip


def days(portfolio: Portfolio) -> display.Shown:
    """When the teams of the largest pool with known profiles call."""
    known = [
        pool
        for pool in portfolio.pools
        if any(portfolio.plans[name].team.workload.hourly for name in pool.members)
    ]
    if not known:
        said = " ".join(NO_PROFILE.format(pool=pool.name) for pool in portfolio.pools[:1])
        return display.text(said or "No pool pays, so no day is shown.")
    pool = max(known, key=lambda one: float(one.option["total"]))
    frame = pd.DataFrame([
        {"team": portfolio.plans[name].team.name, "hour": hour, "use": pool.use[at, hour, -1]}
        for at, name in enumerate(pool.members) for hour in range(pooling.HOURS)
    ])  # fmt: skip
    chart = portfolio_charts.day(frame, float(pool.option["working"]))
    return display.figure(chart, f"The last year's day of {pool.name}, by the closed forms")
