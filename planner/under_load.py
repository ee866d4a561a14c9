"""The load of the recommendation, to be shown: curve, what binds, other loads, a lost replica."""

from __future__ import annotations

import numpy as np

from planner import concurrency, display, load_charts, phrases, sizing
from planner.display import Column
from planner.language import say
from planner.plan import Plan

NOT_HOSTED = "The provider carries the load; its limits are in its contract and not predicted here."
BINDS = {
    "ttft_p50": "half of the first tokens come too late",
    "ttft_p95": "more than 5 % of the first tokens come too late",
    "ttft_p99": "more than 1 % of the first tokens come too late",
    "tpot_p50": "half of the answers are written too slowly",
    "tpot_p95": "more than 5 % of the answers are written too slowly",
    "tpot_p99": "more than 1 % of the answers are written too slowly",
    "headroom": "the utilisation passes what the policy allows",
}
WALLS = {
    "kv_cache": "its cache is full",
    "sequences": "every place of a sequence is taken",
    "compute": "prefill and decode fill all of its time",
}
CARRIES = (
    "**One replica carries {rate} call/s within the limits** ({least} to {most} over {seeds} seeds "
    "of the simulation); beyond that {binds}. It saturates at {saturated} call/s, where {wall}. "
)
CHECKED = "Closed forms, calculated apart, say {closed} call/s ({difference:+.0f} %). "
PLANNED = (
    "The busiest hour of year {year} brings {peak} call/s: {peak} / {rate} makes {working}, "
    "{share:.0f} % utilised, with {inside} in progress on average."
)
SPARE = (
    " {spare} beyond that, so that a failure in the busiest hour leaves enough (N+1): {total} in "
    "all. {devices}."
)
NO_SPARE = " No spare is planned: a failure in the busiest hour is felt. {devices}."
SPLIT = "Accelerators = replicas x tensor parallel = {replicas:.0f} x {tp:.0f} = {devices:.0f}"
FAILURE = (
    " If {lost} of {number} {fails} in the busiest hour, 95 % of the first tokens come within "
    "{worst} instead of {usual} until it is back, and {restarted} answered again from the start."
)
QUEUE = "unstable: {queued:,.0f} calls wait after an hour, gone {gone} later"
STOPS = " All replicas stand in one server: if it fails, the service stops."


def argument(plan: Plan) -> display.Shown:
    """How many replicas, and why: what one carries, what the peak asks, what a failure leaves."""
    study, option, team = plan.pressure, plan.chosen, plan.team
    if study is None:
        return display.text(NOT_HOSTED)
    text = say(CARRIES,
        rate=_rate(option["rate"]), least=_rate(study.rate_least), most=_rate(study.rate_most),
        seeds=_seeds(), binds=say(BINDS[study.binds]), saturated=_rate(study.saturated),
        wall=say(WALLS[study.wall]),
    )  # fmt: skip
    if option["decided_by"] == "simulation":
        closed = option["rate_closed"]
        text += say(CHECKED, closed=_rate(closed), difference=100 * (closed / option["rate"] - 1))
    text += say(PLANNED,
        year=team.growth.years, peak=_rate(team.peak_rate), rate=_rate(option["rate"]),
        working=phrases.count(option["working"], "working replica"),
        share=100 * team.peak_rate / option["working"] / study.saturated,
        inside=phrases.count(max(round(study.peak.running + study.peak.waiting), 1), "call"),
    )  # fmt: skip
    spare = option["replicas"] - option["working"]
    devices = (
        say(SPLIT, replicas=option["replicas"], tp=option["tp"], devices=option["devices"])
        if option["kind"] == "gpu"
        else say("Each replica has a server of its own")
    )
    if spare > 0:
        text += say(SPARE,
            spare=phrases.count(spare, "replica"), devices=devices,
            total=phrases.count(option["replicas"], "replica"),
        )  # fmt: skip
    else:
        text += say(NO_SPARE, devices=devices)
    return display.text(text + _failure(study))


def _failure(study):
    table = study.outage
    if table.empty:
        return ""
    cases = table.set_index("case")
    lost, number = int(cases["lost"].iloc[0]), int(cases["replicas"].iloc[0])
    if lost >= number:
        return say(STOPS)
    return say(FAILURE,
        lost=lost, number=phrases.count(number, "replica"),
        fails=say("fails" if lost == 1 else "fail"),
        worst=phrases.seconds(cases.loc["one fails", "ttft_p95"]),
        usual=phrases.seconds(cases.loc["all", "ttft_p95"]),
        restarted=_calls(cases.loc["one fails", "restarted"]),
    )  # fmt: skip


def _calls(number):
    return say("{number:,.0f} call is" if number == 1 else "{number:,.0f} calls are", number=number)


def _rate(rate):
    return f"{rate:.3g}"


def _seeds():
    from planner.pressure import SEEDS

    return SEEDS


def curve(plan: Plan) -> display.Shown:
    """Latency against the load of one replica of the recommendation."""
    study, option, team = plan.pressure, plan.chosen, plan.team
    if study is None:
        return display.text("")  # said once, above
    limits = {
        name: getattr(team.slo, name)
        for name in sizing.LIMITS
        if np.isfinite(getattr(team.slo, name))
    }
    chart = load_charts.latency_curves(
        study.curve, limits=limits, planned=team.peak_rate / option["working"],
        carried=option["rate"], wall=concurrency.STABLE_BELOW * study.saturated,
    )  # fmt: skip
    return display.figure(
        chart,
        "What users wait for as one replica fills up; the pale area reaches to the slow end of "
        "the band, grey is beyond what can be predicted",
    )


def levels(plan: Plan) -> display.Shown:
    """What happens at other loads than the forecast, every spare lost."""
    study = plan.pressure
    if study is None:
        return display.text("")  # said once, above
    frame = study.levels.assign(
        load=[say("{factor:g} x", factor=factor) for factor in study.levels["factor"]],
        rho=100 * study.levels["utilisation"],
        verdict=[_verdict(row, plan) for row in study.levels.itertuples()],
    ).replace(np.inf, np.nan)
    for name in ("tpot_p50", "tpot_p95", "tpot_p99"):
        frame[name] = frame[name] * 1e3
    return display.table(
        frame,
        {
            "load": Column("Load"),
            "rho": Column("Used", "%", ".0f"),
            "ttft_p50": Column("TTFT 50 %", "s", ".2f"),
            "ttft_p95": Column("95 %", "s", ".2f"),
            "ttft_p99": Column("99 %", "s", ".2f"),
            "tpot_p50": Column("TPOT 50 %", "ms", ".0f"),
            "tpot_p95": Column("95 %", "ms", ".0f"),
            "tpot_p99": Column("99 %", "ms", ".0f"),
            "verdict": Column("Verdict"),
        },
        "If the load is not what was forecast: multiples of the last year's peak, every spare lost",
    )


def _verdict(row, plan):
    if row.utilisation > concurrency.STABLE_BELOW:
        if row.growth <= 0:
            return say("unstable: no percentile holds")
        return say(QUEUE, queued=row.queued, gone=phrases.minutes(row.drain))
    if not row.kept:
        return say("misses a limit")
    highest = plan.team.policy.highest_utilisation
    within = row.utilisation <= highest
    return say("within the limits" if within else "above the policy's utilisation")
