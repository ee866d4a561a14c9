"""The app and JupyterLab answer this machine only, and only whoever has the token."""

import os
import re
import shlex
import socket
import subprocess
import time
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120  # until a server answers [s]
INSIDE = {"app": "/voila/tree/", "lab": "/api/contents"}
MINE = {"app": "--port=", "lab": "--ServerApp.port="}


def recipe(target):
    """The command of a target as make runs it, without what is only printed."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", text)[1].replace("$(BIN)", ".venv/bin")
    (command,) = [line.strip(" @\t") for line in lines.splitlines() if "echo" not in line]
    return shlex.split(command)


@pytest.mark.parametrize("target", ["app", "lab"])
def test_the_targets_bind_to_this_machine_and_take_no_token_away(target):
    command = recipe(target)
    assert any(re.fullmatch(r"--\w+\.ip=127\.0\.0\.1", part) for part in command)
    assert not any(re.search(r"token=(False|0)?$|password|allow_remote|disable_check", part)
                   for part in command)  # fmt: skip
    assert target == "lab" or "--Voila.auto_token=True" in command  # Lab makes one by itself


def answer(address, opener=None):
    """Status and the address that it ended at."""
    try:
        with (opener or urllib.request.build_opener()).open(address, timeout=30) as found:
            return found.status, found.url
    except urllib.error.HTTPError as error:
        return error.code, address


@pytest.mark.slow
@pytest.mark.parametrize("target", ["app", "lab"])
def test_a_request_without_the_token_is_refused(target, tmp_path):
    if not (ROOT / ".venv/bin/voila").exists():
        pytest.skip("the environment is not in .venv, so the targets of the Makefile cannot run")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = recipe(target)
    first = next(number for number, part in enumerate(command) if "=" not in part)
    settings = dict(part.split("=", 1) for part in command[:first])
    command = [*command[first:], f"{MINE[target]}{port}", "--no-browser"]
    command += ["--allow-root"] * (target == "lab" and os.name != "nt" and os.geteuid() == 0)
    log = tmp_path / "log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output,
                                  env={**os.environ, **settings})  # fmt: skip
    try:
        end, found = time.monotonic() + PATIENCE, None
        while found is None and time.monotonic() < end and server.poll() is None:
            found = re.search(rf"http://127\.0\.0\.1:{port}\S*[?&]token=(\w+)", log.read_text())
            time.sleep(0.2)
        assert found, log.read_text()
        base = f"http://127.0.0.1:{port}"
        for path in ("/", "/voila/render/00_start_here.ipynb", INSIDE[target]):
            status, ended = answer(base + path)
            assert status in (403, 404) or "/login" in ended, path
        assert answer(f"{base}{INSIDE[target]}?token=wrong")[0] == 403 or "/login" in answer(
            f"{base}{INSIDE[target]}?token=wrong"
        )[1]  # fmt: skip
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        status, ended = answer(found[0], browser)
        assert status == 200 and "/login" not in ended
        status, ended = answer(base + INSIDE[target], browser)  # by the cookie alone, as links go
        assert status == 200 and "/login" not in ended
        with socket.socket() as outside, pytest.raises(OSError):
            outside.connect(("127.0.0.2", port))  # bound to one address, not to all
    finally:
        server.terminate()
        server.wait(30)
