"""The part of a sizing report that makes it credible: assumptions, method, claims, acceptance."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from importlib.metadata import version

import numpy as np
import pandas as pd

from planner import bands, claims, comparisons, display, judge, phrases, words
from planner.display import Column
from planner.plan import Plan
from planner.sections import at_peak

KEPT = (
    "sourcing", "provider", "model_id", "weight_format", "engine", "server_id", "device_id", "tp",
    "replicas", "devices", "servers", "quality", "total", "total_low", "total_high", "npv", "rate",
    "rate_low", "rate_high", "ttft_alone", "tpot_alone", "certain",
)  # fmt: skip


def register(plan: Plan) -> display.Shown:
    """The assumptions register: value, range, source, date; guesses are called guesses."""
    frame = plan.terms.register()
    frame = frame.assign(
        assumption=[_in_words(key) for key in frame["key"]],
        origin=[
            f"{row.source} ({row.source_date})" if row.source_date else row.source
            for row in frame.itertuples()
        ],
    )
    guesses = int((frame["status"] == "assumption").sum())
    own = int((frame["status"] == "team file").sum())
    return display.table(
        frame,
        {
            "assumption": Column("Assumption"),
            "value": Column("Value", low="low", high="high"),
            "unit": Column("Unit"),
            "status": Column("Status"),
            "origin": Column("Source"),
        },
        "Assumptions register",
        f"{len(frame)} figures: {guesses} are assumptions without a source, {own} come from the "
        f"team's own file, the others are sourced.",
    )


def _in_words(key):
    text = key.replace("_", " ")
    for short in ("pue", "api", "us", "eu", "cn", "fx", "3y"):
        text = re.sub(rf"\b{short}\b", short.upper(), text)
    return text[0].upper() + text[1:]


def scores(plan: Plan) -> display.Shown:
    """How far predictions of this kind were off on measurements kept back from the fit."""
    option = plan.chosen
    frame = bands.published("device")
    note = "Errors on devices that the fit of the constants had not seen: the case of a purchase."
    if option is not None and option["sourcing"] != "api":
        device = plan.catalogue.devices[option["device_id"]]
        own = bands.own_runs(device.id, option["engine"])
        if own:
            note += f" {device.name} was calibrated from {own} own runs: its band is theirs."
        elif device.id in bands.measured_devices():
            note += f" {device.name} is among the measured devices, which narrows its band."
        else:
            note += f" {device.name} was not measured, so its band is that of unseen devices."
    return display.table(
        frame,
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


def claimed(plan: Plan) -> pd.DataFrame:
    """Published claims about the models of this plan that physics or measurements contradict."""
    named = plan.team.candidates.models
    models = named or tuple(plan.options["model_id"].dropna().unique())
    verdicts = claims.audit(plan.catalogue, tuple(models))
    if verdicts.empty:
        return verdicts
    verdicts = verdicts[verdicts["metric"].isin(["memory_gb", "decode_tok_s"])]
    verdicts = verdicts.drop_duplicates(["model_id", "metric"])
    return verdicts.assign(
        model=[plan.catalogue.models[m].name for m in verdicts["model_id"]],
        what=verdicts["metric"].map({"memory_gb": "memory", "decode_tok_s": "speed"}),
        claimed=[
            f"{row.claimed_low:g} to {row.claimed_high:g} {row.unit}"
            for row in verdicts.itertuples()
        ],
    )


def claims_table(plan: Plan) -> display.Shown:
    """What is published about these models, beside what physics allows."""
    verdicts = claimed(plan)
    if verdicts.empty:
        return display.text("No published claim about these models is in the catalogue.")
    excluded = int((verdicts["verdict"] == "impossible").sum())
    return display.table(
        verdicts,
        {
            "model": Column("Model"),
            "what": Column("Claim"),
            "claimed": Column("Claimed"),
            "verdict": Column("Verdict"),
            "reason": Column("Why"),
        },
        "Published claims against physics",
        f"{excluded} of {len(verdicts)} claims are excluded by physics. A claim is never used as a "
        f"prediction. Source: {verdicts['source'].iloc[0]}.",
    )


def claims_chart(plan: Plan) -> display.Shown:
    """Claimed speeds beside predicted ones and the limit of the memory's bandwidth."""
    verdicts = claimed(plan)
    speeds = verdicts[verdicts["metric"] == "decode_tok_s"] if len(verdicts) else verdicts
    speeds = speeds.dropna(subset=["limit"]) if len(speeds) else speeds
    if not len(speeds):
        return display.text("No speed is claimed for these models.")
    frame = speeds.rename(columns={"model": "claim"})
    fields = ["claim", "claimed_low", "claimed_high", "predicted_low", "predicted_high", "limit"]
    chart = comparisons.claims_against_physics(
        frame[fields].astype(dict.fromkeys(fields[1:], float)),
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
    load = team.workload
    rate = team.peak_rate / option["working"]
    seen = at_peak(plan)
    if option["engine"] in judge.STATIC:
        command = (
            f"llama-bench -m MODEL.gguf -p {load.prompt_tokens:.0f} "
            f"-n {load.output_tokens:.0f} -r 5"
        )
        slow = 1 / option["tpot_alone_high"]
        marks = f"at least **{slow:.3g} token/s** in generation, the slow end of the band"
    else:
        command = (
            f"vllm bench serve --model {option['model_id']} --dataset-name random "
            f"--random-input-len {load.prompt_tokens:.0f} "
            f"--random-output-len {load.output_tokens:.0f} "
            f"--request-rate {rate:.3g} --num-prompts {max(500, round(600 * rate)):d} "
            "--percentile-metrics ttft,tpot --metric-percentiles 95"
        )
        marks = (
            f"p95 of TTFT at most **{phrases.seconds(team.slo.ttft_p95)}** and p95 of TPOT at most "
            f"**{phrases.seconds(team.slo.tpot_p95)}** (predicted: "
            f"{phrases.seconds(seen['ttft_p95'])} and {phrases.seconds(seen['tpot_p95'])})"
        )
    return display.text(
        f"On one replica, with the settings of this plan:\n\n`{command}`\n\nPass marks: {marks}. "
        "A machine that misses them is returned or its price renegotiated. The load command sends "
        "prompts without a shared prefix, which is harder than the planned load."
    )


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
    frame = pd.DataFrame(rows, columns=["risk", "owner", "answer"])
    return display.table(frame, {"risk": "Risk", "owner": "Owner", "answer": "Answer"}, "Risks")


BLANK = dict.fromkeys(("name", "date", "sign"), "\u2003")


def approvals(plan: Plan) -> display.Shown:
    """Lines to sign."""
    frame = pd.DataFrame({"role": [plan.team.owner, "Procurement", "Finance"], **BLANK})
    columns = {"role": "Role", "name": "Name", "date": "Date", "sign": "Signature"}
    return display.table(frame, columns, "Approvals")


def run_id(plan: Plan) -> str:
    """What identifies the inputs: team, catalogue and code version, as a short digest."""
    content = json.dumps(
        [plan.team.model_dump(mode="json"), plan.catalogue.digest, version("planner")],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def appendix(plan: Plan) -> display.Shown:
    """Identity of this run and the licences of the models it names."""
    option = plan.chosen
    model = None if option is None else plan.catalogue.models.get(option["model_id"])
    dates = sorted(server.price_date for server in plan.catalogue.servers.values())
    rows = [
        ("Run", run_id(plan)),
        ("Made", plan.made.isoformat()),
        ("Team file", f"{plan.team.slug}.toml"),
        ("Catalogue", f"digest {plan.catalogue.digest[:16]}"),
        ("Server prices", f"dated {dates[0]} to {dates[-1]}"),
        ("Planner", f"{version('planner')}, Python {platform.python_version()}"),
        ("Judged", f"{len(plan.options):,} options, {len(plan.feasible):,} meet every limit"),
        ("Licence", f"{model.name}: {model.license}" if model else "-"),
    ]
    frame = pd.DataFrame(rows, columns=["what", "value"])
    return display.table(frame, {"what": "", "value": ""}, "Identity of this report")


def summary(plan: Plan) -> display.Shown:
    """What a program reads: the decision and its figures."""
    option, team = plan.chosen, plan.team
    values = {
        "team": team.name,
        "date": plan.made.isoformat(),
        "buy": words.decision(plan),
        "three_year_cost": None,
        "years": team.growth.years,
        "run": run_id(plan),
        "options": len(plan.options),
        "feasible": len(plan.feasible),
        "chosen": None,
        "document": {"details": details(plan)},
    }
    if option is not None:
        values["three_year_cost"] = {
            "low": _plain(option["total_low"]),
            "mid": _plain(option["total"]),
            "high": _plain(option["total_high"]),
            "currency": team.currency,
        }
        values["chosen"] = {name: _plain(option[name]) for name in KEPT if name in option}
    return display.summary(values)


def details(plan: Plan) -> list[list[str]]:
    """What stands under the title of the report: label and text."""
    return [
        ["Prepared for", plan.team.owner],
        ["Validity", "30 days from the date: prices move"],
    ]


def _plain(value):
    if isinstance(value, str | bool | np.bool_):
        return bool(value) if isinstance(value, np.bool_) else value
    return float(value) if np.isfinite(value) else None
