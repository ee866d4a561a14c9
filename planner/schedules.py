"""Schedules ready to copy: a weekly run of every report and of the portfolio, for the tool that
a company already has. The texts are in ``templates/schedules``.
"""

from __future__ import annotations

import getpass
import shlex
import sys
from functools import cache
from pathlib import Path

import jinja2

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).parent / "templates" / "schedules"
FILES = {
    "cron": ("planner.cron",),
    "systemd": ("planner.service", "planner.timer", "planner-alert.service"),
    "github": ("planner.yml",),
    "airflow": ("planner_dag.py",),
}
# Where one team has no report (1) the portfolio is made of the others; the worse code counts. Under
# `sh -e`, as GitHub runs it, too.
RUN = (
    "code=0; {planner} report --all || code=$?; "
    "[ $code -gt 1 ] || {planner} portfolio || code=$?; exit $code"
)


def files(kind: str, checkout: Path = ROOT, environment: Path = Path(sys.prefix)) -> dict[str, str]:
    """
    The files of one scheduler.

    Parameters
    ----------
    kind : str
        A key of `FILES`.
    checkout : Path
        Folder of this workbook, filled in as an absolute path.
    environment : Path
        Folder of the Python environment that it runs in.

    Returns
    -------
    files : dict of str to str
        Name and content.

    Raises
    ------
    ValueError
        Where a path cannot be written into such a file.

    Examples
    --------
    >>> list(files("systemd"))
    ['planner.service', 'planner.timer', 'planner-alert.service']
    """
    checkout = checkout.absolute()
    for path in (checkout, environment):
        if not str(path).isprintable():
            raise ValueError(f"{str(path)!r} has characters that no schedule can hold; rename it")
    tools = environment / "bin"
    # Within the checkout, so that the files stay right when it is moved and the one path is mended.
    near = tools.relative_to(checkout) if tools.is_relative_to(checkout) else tools
    values = {
        "checkout": str(checkout),
        "run": RUN.format(planner=shlex.quote(str(near / "planner"))),
        "run_here": RUN.format(planner=".venv/bin/planner"),  # on a machine that `make` sets up
        "python": shlex.quote(str(tools / "python")),
        "user": getpass.getuser(),
    }
    return {name: _templates().get_template(f"{name}.j2").render(values) for name in FILES[kind]}


def text(found: dict[str, str]) -> str:
    """The files one after the other, each under its name where there are several.

    Examples
    --------
    >>> print(text({"a": "1\\n", "b": "2\\n"}))
    # ======== a ========
    1
    <BLANKLINE>
    # ======== b ========
    2
    <BLANKLINE>
    """
    if len(found) == 1:
        return "".join(found.values())
    return "\n".join(f"# ======== {name} ========\n{content}" for name, content in found.items())


def write(found: dict[str, str], folder: Path) -> list[Path]:
    """Write the files into a folder that may not exist yet; what is there is not overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    there = [name for name in found if (folder / name).exists()]
    if there:
        raise ValueError(f"{folder / there[0]} exists; remove it or name another folder with --out")
    for name, content in found.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in found]


@cache
def _templates() -> jinja2.Environment:
    # Braces belong to GitHub's own expressions.
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        variable_start_string="[[",
        variable_end_string="]]",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "shell": shlex.quote,
        # cron ends a command at a bare % and takes the rest for its input
        "cron": lambda text: text.replace("%", r"\%"),
        "specifier": lambda text: text.replace("%", "%%"),
        "systemd": _systemd,
        "python": repr,
    }
    return templates


def _systemd(text):
    """As it stands between single quotes on a command line of a unit.

    >>> _systemd("a 'b' $c 100%")
    "a \\\\'b\\\\' $$c 100%%"
    """
    for sign, written in (("\\", "\\\\"), ("'", r"\'"), ("$", "$$"), ("%", "%%")):
        text = text.replace(sign, written)
    return text
