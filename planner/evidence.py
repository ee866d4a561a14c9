"""The part of a sizing report that makes it credible: assumptions, method, claims, acceptance."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from functools import cache, partial

import numpy as np
import pandas as pd

from planner import acceptance as tests
from planner import (
    bands,
    choices,
    claims,
    comparisons,
    deploy,
    display,
    language,
    outlook,
    phrases,
    prices,
    replica,
    sections,
    spreadsheet,
    uncertainty,
    words,
)  # fmt: skip
from planner.display import Column
from planner.inputs import version
from planner.language import say, term
from planner.plan import Plan
from planner.remembered import remembered

UNSEEN = "Errors on devices that the fit of the constants had not seen: the case of a purchase."
CALIBRATED = " {device} was calibrated from {runs} own runs: its band is theirs."
MEASURED = " {device} is among the measured devices, which narrows its band."
NOT_MEASURED = " {device} was not measured, so its band is that of unseen devices."
EXCLUDED = (
    "{excluded} of {all} claims are excluded by physics. A claim is never used as a prediction. "
    "Source: {source}."
)
NO_BENCHMARK = (
    "No benchmark is on file for the engine {engine}. Send the busiest hour's load, {rate:.3g} "
    "calls a second to each replica, and compare with the team's limits of response time."
)
QUOTE_FIRST = "a new quote: the deciding price is {age} old"
KEPT = (
    "sourcing", "provider", "contract", "model_id", "weight_format", "engine", "server_id",
    "device_id", "tp", "replicas", "devices", "servers", "quality", "total", "total_low",
    "total_high", "npv", "rate", "rate_low", "rate_high", "ttft_alone", "tpot_alone", "certain",
)  # fmt: skip


_published = cache(partial(bands.published, "device"))  # a file that no report writes


def scores(plan: Plan) -> display.Shown:
    """How far predictions of this kind were off on measurements kept back from the fit."""
    option = plan.chosen
    frame = _published()
    note = say(UNSEEN)
    if option is not None and option["sourcing"] != "api":
        device = plan.catalogue.devices[option["device_id"]]
        own = bands.own_runs(device.id, option["engine"])
        if own:
            note += say(CALIBRATED, device=device.name, runs=own)
        elif device.id in bands.measured_devices():
            note += say(MEASURED, device=device.name)
        else:
            note += say(NOT_MEASURED, device=device.name)
    return display.table(
        frame.assign(prediction=frame["prediction"].map(say)),
        {
            "prediction": Column("Prediction"),
            "rows": Column("Measurements", "", ",.0f"),
            "median": Column("Median error", "%", ".1f"),
            "p90": Column("90 % are within", "%", ".0f"),
            "within_25": Column("Within 25 %", "% of rows", ".0f"),
        },
        "How the method did against measurements",
        note,
    )


@remembered
def claimed(plan: Plan) -> pd.DataFrame:
    """Published claims about the models of this plan that physics or measurements contradict."""
    named = plan.team.candidates.models
    models = named or tuple(plan.options["model_id"].dropna().unique())
    verdicts = claims.audit(plan.catalogue, tuple(models), ("memory_gb", "decode_tok_s"))
    if verdicts.empty:
        return verdicts
    verdicts = verdicts.drop_duplicates(["model_id", "metric"])
    return verdicts.assign(
        model=[plan.catalogue.models[m].name for m in verdicts["model_id"]],
        what=verdicts["metric"].map({"memory_gb": say("memory"), "decode_tok_s": say("speed")}),
        claimed=[
            f"{display.band(low, high, 'g')} {unit}"
            for low, high, unit in zip(
                verdicts["claimed_low"], verdicts["claimed_high"], verdicts["unit"], strict=True
            )
        ],
    )


def claims_table(plan: Plan) -> display.Shown:
    """What is published about these models, beside what physics allows."""
    verdicts = claimed(plan)
    if verdicts.empty:
        return display.text("No published claim about these models is in the catalogue.")
    excluded = int((verdicts["verdict"] == "impossible").sum())
    source = verdicts["source"].iloc[0]
    return display.table(
        verdicts.assign(verdict=[say(verdict) for verdict in verdicts["verdict"]]),
        {
            "model": Column("Model"),
            "what": Column("Claim"),
            "claimed": Column("Claimed"),
            "verdict": Column("Verdict"),
            "reason": Column("Why"),
        },
        "Published claims against physics",
        say(EXCLUDED, excluded=excluded, all=len(verdicts), source=source),
    )


def claims_chart(plan: Plan) -> display.Shown:
    """Claimed speeds beside predicted ones and the limit of the memory's bandwidth."""
    verdicts = claimed(plan)
    speeds = verdicts[verdicts["metric"] == "decode_tok_s"] if len(verdicts) else verdicts
    speeds = speeds.dropna(subset=["limit"]) if len(speeds) else speeds
    if not len(speeds):
        return display.text("No speed is claimed for these models.")
    chart = comparisons.claims_against_physics(
        speeds.rename(columns={"model": "claim"}),
        quantity="Speed of one answer on the dual E5-2680 v4",
        unit="token/s",
    )
    return display.figure(chart, "Claimed speed, predicted speed and the limit of the memory")


def acceptance(plan: Plan) -> display.Shown:
    """The test that the delivered machine must pass, with its command and pass marks."""
    option, team = plan.chosen, plan.team
    if option is None or option["sourcing"] == "api":
        return display.text(
            "Nothing is delivered. Measure the provider's response times at the busiest hour for a "
            "week before signing, and again at every review."
        )
    if replica.replica(plan) is None:
        return display.text(
            say(NO_BENCHMARK, engine=option["engine"], rate=team.peak_rate / option["working"])
        )
    return display.text(tests.markdown(plan))


def risks(plan: Plan) -> display.Shown:
    """What can go wrong, who watches it, what is done about it."""
    option, team = plan.chosen, plan.team
    rows = [
        ("Demand grows faster than planned", team.owner,
         "Servers are bought in the year they are needed; review the load every quarter."),
        ("Prices have moved since their date", "Procurement",
         "Ask for a quote, put it into the team file and render this report again."),
        ("The machine is slower than predicted", team.owner,
         "Acceptance test below before payment; the cost range above includes the slow end."),
        ("A score was measured with long reasoning", team.owner,
         "Reasoning tokens count as output tokens: measure the model on the team's own tasks."),
    ]  # fmt: skip
    if option is not None and option["sourcing"] == "api":
        rows.append((
            "Data leaves the house, or the provider changes model or price", team.owner,
            "Contract with notice; keep the owned option of this report at hand.",
        ))  # fmt: skip
    if option is not None and option["sourcing"] == "own":
        one = option["servers"] <= 1
        rows.append((
            "A server fails",
            team.owner,
            "All replicas stand in one server: its failure stops the service. Set "
            "policy.spare_servers if that is not acceptable." if one
            else "The others carry the load as far as the table of other loads shows.",
        ))  # fmt: skip
    if option is not None and not option["certain"]:
        rows.append(("At the slow end of the band a limit is missed", team.owner,
                     "Test before buying: no option holds its limits with certainty."))  # fmt: skip
    known = [
        {"risk": say(risk), "owner": term(owner), "answer": say(answer)}
        for risk, owner, answer in rows
    ]
    return display.table(known, {"risk": "Risk", "owner": "Owner", "answer": "Answer"}, "Risks")


BLANK = dict.fromkeys(("name", "date", "sign"), "\u2003")


def approvals(plan: Plan) -> display.Shown:
    """Lines to sign."""
    roles = [plan.team.owner, say("Procurement"), say("Finance")]
    columns = {"role": "Role", "name": "Name", "date": "Date", "sign": "Signature"}
    return display.table([{"role": role, **BLANK} for role in roles], columns, "Approvals")


@remembered
def run_id(plan: Plan) -> str:
    """What identifies the inputs: team, catalogue and code version, as a short digest."""
    calls = getattr(plan.team.workload.arrivals, "calls", None)
    trace = calls.digest if calls else ""
    content = json.dumps(
        [plan.team.model_dump(mode="json"), trace, plan.catalogue.digest, version("planner")],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def identity(plan: Plan) -> display.Shown:
    """Identity of this run and the licences of the models that it compares."""
    servers = sorted(server.price_date for server in plan.catalogue.servers.values())
    offers = sorted(offer.source_date for offer in plan.catalogue.api_prices.values())
    named = choices.compared(plan)["model_id"].dropna().unique()
    models = [plan.catalogue.models[m] for m in named if m in plan.catalogue.models]
    rows = [
        ("Run", run_id(plan)),
        ("Made", phrases.day(plan.made)),
        ("Team file", say("{file}, digest {digest}", file=f"{plan.team.slug}.toml",
                          digest=input_digest(plan))),
        ("Catalogue", say("digest {digest}", digest=plan.catalogue.digest[:16])),
        ("Server prices", _dated(servers)),
        ("API prices", _dated(offers)),
        ("Software", f"planner {version('planner')}, Python {platform.python_version()}, "
                     f"numpy {version('numpy')}, pandas {version('pandas')}"),
        ("Judged", say("{options:,} options, {feasible:,} meet every limit",
                       options=len(plan.options), feasible=len(plan.feasible))),
        ("Licences", say("; ").join(f"{model.name}: {model.license}" for model in models) or "-"),
    ]  # fmt: skip
    known = [{"what": say(what), "value": value} for what, value in rows]
    return display.table(known, {"what": "What", "value": "Value"}, "Identity of this report")


def _dated(dates):
    return say("dated {first} to {last}", first=phrases.day(dates[0]), last=phrases.day(dates[-1]))


def input_digest(plan: Plan) -> str:
    """Digest of the requirement alone."""
    content = json.dumps(plan.team.model_dump(mode="json"), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def summary(plan: Plan, outcome: uncertainty.Outcome | None = None) -> display.Shown:
    """What a program reads: the decision and its figures; see `outlook.figures` for the odds."""
    option, team = plan.chosen, plan.team
    outcome = outcome or uncertainty.outcome(plan)
    values = {
        "team": team.name,
        "date": plan.made.isoformat(),
        "valid_until": (prices.validity(plan) or {}).get("until"),
        "buy": words.decision(plan),
        "three_year_cost": None,
        "years": team.growth.years,
        "run": run_id(plan),
        "options": len(plan.options),
        "feasible": len(plan.feasible),
        "chosen": None,
        **outlook.figures(plan, outcome),
        "document": {"details": details(plan)},
        "files": {},
    }
    if language.current() != "en":
        values["language"] = language.current()
    with language.speaking("en"):  # what engineers start
        values["files"] = deploy.files(plan, run_id(plan))
    values["files"] |= _workbook(plan, outcome)
    if option is not None:
        found = sections.spread(plan)
        values["three_year_cost"] = {
            "low": _plain(found["p10"]),
            "mid": _plain(option["total"]),
            "high": _plain(found["p90"]),
            "range": "P10 to P90",
            "currency": team.currency,
        }
        values["chosen"] = {name: _plain(option[name]) for name in KEPT if name in option}
    return display.summary(values)


def _workbook(plan, outcome):
    content = spreadsheet.report(plan, outcome, run_id(plan))
    return {spreadsheet.FILE: base64.b64encode(content).decode()}


def details(plan: Plan) -> list[list[str]]:
    """What stands under the title of the report: label and text."""
    return [
        [say("Prepared for"), plan.team.owner],
        [say("Valid until"), _valid(plan)],
    ]


def _valid(plan):
    found = prices.validity(plan)
    if found is None:
        return "-"
    return say(QUOTE_FIRST, **found) if found["stale"] else phrases.day(found["until"])


def _plain(value):
    if isinstance(value, str | bool | np.bool_):
        return bool(value) if isinstance(value, np.bool_) else value
    return float(value) if np.isfinite(value) else None
