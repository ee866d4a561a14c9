"""The command line: `planner plan`, `report`, `estimate`, `calibrate` and the others."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """
    Run one command.

    Returns
    -------
    status : int
        0 when all went well, 1 when the work found problems, 2 when the input is unusable.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:  # whoever reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        # Catalogue, team and architecture errors already name file, field, value and remedy.
        print(f"planner: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("planner: stopped; what was finished is whole", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="planner", description=sys.modules["planner"].__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    report = commands.add_parser("report", help="render sizing reports as HTML, PDF and JSON")
    report.add_argument("teams", nargs="*", metavar="TEAM", help="a name in data/teams or a file")
    report.add_argument("--all", action="store_true", help="every team of the folder")
    report.add_argument("--teams", dest="folder", type=Path, metavar="DIR", help="teams folder")
    report.add_argument("--out", type=Path, default=ROOT / "reports", metavar="DIR")
    report.add_argument("--jobs", type=int, default=2, metavar="N", help="reports at a time")
    report.add_argument("--force", action="store_true", help="also where nothing has changed")
    report.add_argument("--only-failed", action="store_true", help="what the last run left open")
    report.add_argument("--time-limit", type=float, default=300.0, metavar="S", help="of a report")
    report.add_argument(
        "--memory-limit", type=float, default=0.0, metavar="GIB", help="of a report"
    )
    report.add_argument("--json", action="store_true", help="print what run.json says")
    report.add_argument(
        "--dask", default="", metavar="ADDRESS", help="a cluster that does the work"
    )
    report.set_defaults(run=_report)

    plan = commands.add_parser("plan", help="rank a team's options in the terminal")
    plan.add_argument("team", metavar="TEAM")
    plan.add_argument("--top", type=int, default=10, metavar="N")
    plan.set_defaults(run=_plan)

    estimate = commands.add_parser("estimate", help="answer a file of cases")
    estimate.add_argument("cases", type=Path, metavar="CASES.csv")
    estimate.add_argument("--out", type=Path, metavar="FILE", help="write here, not to the screen")
    estimate.set_defaults(run=_estimate)

    check = commands.add_parser("check", help="is everything in data/ valid?")
    check.set_defaults(run=_check)

    prices = commands.add_parser("prices", help="API prices against the installed genai-prices")
    prices.set_defaults(run=_prices)

    audit = commands.add_parser("audit", help="published claims against the models")
    audit.set_defaults(run=_audit)

    accuracy = commands.add_parser("accuracy", help="predictions against measurements")
    accuracy.set_defaults(run=_accuracy)

    calibrate = commands.add_parser("calibrate", help="fit your own machine to your own runs")
    calibrate.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help="benchmark results")
    calibrate.add_argument("--device", default="", metavar="ID", help="what the runs ran on")
    calibrate.add_argument("--model", default="", metavar="ID")
    calibrate.add_argument("--weight-format", default="", metavar="ID")
    calibrate.add_argument("--engine", default="", metavar="ID")
    calibrate.add_argument("--sockets", type=int, default=0, metavar="N")
    calibrate.add_argument("--threads", type=int, default=0, metavar="N")
    calibrate.add_argument("--tp", type=int, default=0, metavar="N", help="devices of one replica")
    calibrate.add_argument("--out", type=Path, metavar="FILE", help="not data/calibration.csv")
    calibrate.set_defaults(run=_calibrate)

    portfolio = commands.add_parser("portfolio", help="all teams together, for procurement")
    portfolio.add_argument("--teams", dest="folder", type=Path, metavar="DIR", help="teams folder")
    portfolio.add_argument("--out", type=Path, default=ROOT / "reports", metavar="DIR")
    portfolio.add_argument("--currency", default="USD", metavar="CODE", help="of every sum")
    portfolio.set_defaults(run=_portfolio)

    schedule = commands.add_parser("schedule", help="files that run all of this every week")
    schedule.add_argument("kind", choices=["cron", "systemd", "github", "airflow"])
    schedule.add_argument("--out", type=Path, metavar="DIR", help="write them here")
    schedule.set_defaults(run=_schedule)

    doctor = commands.add_parser("doctor", help="is this machine ready for the next run?")
    doctor.add_argument("--json", action="store_true", help="the same, for a program")
    doctor.add_argument("--out", type=Path, default=ROOT / "reports", metavar="DIR")
    doctor.set_defaults(run=_doctor)

    model = commands.add_parser("import-model", help="read a Hugging Face config.json")
    model.add_argument("config", type=Path, metavar="config.json")
    model.add_argument("--total", type=float, metavar="N", help="stated total of parameters")
    model.set_defaults(run=_import_model)
    return parser


def _report(options) -> int:
    import json

    from planner import run_record, runner, team

    folder = options.folder or team.TEAMS
    paths = [team.find(name) for name in options.teams]
    if options.all:
        paths += sorted(folder.glob("*.toml"))
    if not paths:
        raise ValueError(
            f"no team to render: name one, or put .toml files into {folder} with --all"
        )
    record = runner.run(
        paths, options.out, jobs=options.jobs, force=options.force,
        only_failed=options.only_failed, time_limit=options.time_limit,
        memory_limit=options.memory_limit, cluster=options.dask,
    )  # fmt: skip
    if options.json:
        print(json.dumps(record.content(), indent=1, ensure_ascii=False))
    else:
        print(run_record.table(record.teams))
    if record.trouble:
        print(f"planner: {record.trouble}", file=sys.stderr)
    return 1 if record.failed() else 0


def _plan(options) -> int:
    from planner import catalogue, plan, team, words

    records = catalogue.load()
    print(words.terminal(plan.plan(team.read(options.team, records), records), options.top))
    return 0


def _estimate(options) -> int:
    import pandas

    from planner import case_files, cases

    answers = cases.answer(case_files.read(options.cases))
    if options.out:
        answers.to_csv(options.out, index=False)
    else:
        answers.to_csv(sys.stdout, index=False)
    unanswered = (answers["status"] != "ok").sum()
    print(f"{len(answers) - unanswered:,} of {len(answers):,} rows answered", file=sys.stderr)
    if "error_pct" in answers and pandas.api.types.is_numeric_dtype(answers["error_pct"]):
        median = answers["error_pct"].abs().median()
        print(f"median absolute error {median:.1f} %", file=sys.stderr)
    return 0


def _check(options) -> int:
    from planner import bands, catalogue, team

    problems = catalogue.check()
    bands.read_calibration(catalogue.calibration_path())  # says itself what is wrong
    files = sorted(team.TEAMS.glob("*.toml"))
    if not problems:
        records = catalogue.load()
        for path in files:
            try:
                team.read(path, records)
            except team.TeamError as error:
                problems.append(str(error))
    for problem in problems:
        print(problem)
    if not problems:
        print(
            f"data/ is valid: {len(records.models)} models, {len(records.devices)} devices, "
            f"{len(records.servers)} servers, {len(records.formats)} formats, "
            f"{len(records.api_prices)} API prices, {len(records.assumptions)} assumptions, "
            f"{len(files)} teams"
        )
    return 1 if problems else 0


def _prices(options) -> int:
    from datetime import date

    from planner import catalogue, prices

    print(prices.text(prices.differences(catalogue.load(), date.today())))
    return 0


def _audit(options) -> int:
    from planner import claims

    print(claims.text(claims.audit()))
    return 0


def _accuracy(options) -> int:
    from planner import bands, scorecard

    print(bands.text())
    print("\nUnder load, by the closed form and by the simulation:\n\n" + scorecard.by_load_text())
    print("\nWith and without the measurements that are left out (%):")
    print(scorecard.with_and_without().round(1).to_string(index=False))
    return 0


def _calibrate(options) -> int:
    from planner import calibrate, runs

    setting = runs.Setting(
        options.device, options.model, options.weight_format, options.engine, options.sockets,
        options.threads, options.tp,
    )  # fmt: skip
    found = calibrate.calibrate(runs.read(options.runs, setting))
    for each in found:
        print(calibrate.text(each))
    print(f"stored in {calibrate.write(found, options.out)}")
    return 1 if any(each.refused for each in found) else 0


def _portfolio(options) -> int:
    from planner import portfolio_report, team

    folder = options.folder or team.TEAMS
    summary = portfolio_report.render(folder, options.out, options.currency)
    print(portfolio_report.line(summary, options.out))
    return 1 if summary["failed"] else 0


def _schedule(options) -> int:
    from planner import schedules

    found = schedules.files(options.kind)
    if options.out:
        print("\n".join(str(path) for path in schedules.write(found, options.out)))
    else:
        print(schedules.text(found), end="")
    return 0


def _doctor(options) -> int:
    from planner import doctor

    found = doctor.checks(options.out)
    print(doctor.as_json(found) if options.json else doctor.text(found))
    return 1 if any(check.state == "problem" for check in found) else 0


def _import_model(options) -> int:
    from planner import import_model

    print(import_model.import_model(options.config, options.total))
    return 0


if __name__ == "__main__":
    sys.exit(main())
