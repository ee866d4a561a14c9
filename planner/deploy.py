"""The chosen option as files that start it: the command, a compose file, a load balancer.

Text from outside (names of teams and models) reaches a shell only through ``shlex.quote``, YAML
only through its safe dumper, and a comment only as one line of printable characters.
"""

from __future__ import annotations

import shlex

import yaml

from planner import phrases, serving
from planner.plan import Plan
from planner.replica import PORT, START, VISIBLE, Replica, replica

FOLDER = "deploy"
# llama.cpp publishes its images under a registry of its own: whoever deploys names one.
IMAGES = {
    "vllm": "${IMAGE:-vllm/vllm-openai:v0.21.0}",
    "sglang": "${IMAGE:-lmsysorg/sglang:latest}",
    "llama.cpp": "${IMAGE:?set IMAGE to an image with llama-server}",
    "ik_llama.cpp": "${IMAGE:?set IMAGE to an image with llama-server of ik_llama.cpp}",
}
AMD_IMAGE = "${IMAGE:?set IMAGE to an image of the engine for ROCm}"
BALANCER_IMAGE = "nginx:stable"
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text; the one in C is quicker
LONGEST_ANSWER = 3600  # after which the balancer gives a call up [s]


def files(plan: Plan, run: str = "") -> dict[str, str]:
    """
    Files that start the chosen option.

    Parameters
    ----------
    plan : Plan
        From `planner.plan.plan`.
    run : str
        What identifies the report.

    Returns
    -------
    files : dict of str to str
        Path within the report's folder, and content; empty where nothing is started.
    """
    one = replica(plan)
    if one is None:
        return {}
    head = header(plan, one, run)
    made = {f"{FOLDER}/serve.sh": _script(one, head)}
    if one.composed:
        made[f"{FOLDER}/compose.yaml"] = _compose(plan, one, head)
        if one.on_one > 1:
            made[f"{FOLDER}/nginx.conf"] = _balancer(one, head)
    return made


def header(plan: Plan, one: Replica, run: str) -> list[str]:
    """What every file says at its top, one printable line each."""
    option, team = plan.chosen, plan.team
    where = phrases.count(one.servers, "rented machine")
    if option["sourcing"] == "own":
        where = f"{one.servers} x {plan.catalogue.servers[option['server_id']].name}"
    number, spare = phrases.count(one.replicas, "replica"), one.replicas - int(option["working"])
    sum_ = f"{number}, {spare} of them spare, on {where}"
    if one.device.kind == "gpu":
        sum_ = f"{number} ({spare} spare) x tensor parallel {one.devices} = "
        sum_ += f"{one.replicas * one.devices} x {one.device.name}, on {where}"
    lines = [
        f"{team.name}: {one.model_id}, weights {one.weight_format}, engine {one.engine}.",
        f"Report of {plan.made.isoformat()}, team file {team.slug}.toml, run {run or 'not named'}.",
        f"{sum_}.",
        f"serve.sh starts one replica; compose.yaml {_all(one.on_one)} of one server.",
    ]
    if not one.composed:
        lines[-1] = "serve.sh starts one replica; no compose file is made for this accelerator."
    if one.on_one * one.servers > one.replicas:
        left = one.replicas - one.on_one * (one.servers - 1)
        lines.append(f"The last server has {left}: take the others out of its files.")
    if one.servers > 1:
        lines.append("Another balancer with least connections belongs in front of the servers.")
    if one.local:
        lines.append(f"Put a checkpoint in {one.weight_format} at {one.model} beside this file.")
    lines += [
        "The settings are those of the sizing: whoever changes one has another plan.",
        "No key is asked for: keep the port inside, or put the house's gateway in front.",
    ]
    return [_line(text) for text in lines]


def _all(number):
    return "the only one" if number == 1 else f"all {number}"


def _line(text: str) -> str:
    """One line of printable characters: nothing in it can end a comment."""
    flat = " ".join(text.split())
    return "".join(character for character in flat if character.isprintable())[:300]


def _comment(lines):
    return "".join(f"# {line}\n" for line in lines)


def _script(one, head):
    lines = [" ".join(shlex.quote(word) for word in part) for part in _parts(one.command())]
    before = ["set -eu"]
    if one.local:
        before.append('cd "$(dirname "$0")"')
    if one.engine in serving.STATIC:
        before.append("ulimit -l unlimited  # the weights are locked in memory")
    elif one.device.vendor in VISIBLE:
        name, first = VISIBLE[one.device.vendor], ",".join(map(str, range(one.devices)))
        before.append(f'export {name}="${{{name}:-{first}}}"')
    return "\n".join(["#!/bin/sh", *(f"# {line}" for line in head), *before]) + (
        "\nexec " + " \\\n  ".join(lines) + "\n"
    )


def _parts(words):
    """A command, an option with its value at a time."""
    parts = [[]]
    for word in words:
        if word.startswith("--"):
            parts.append([])
        parts[-1].append(word)
    return parts


def _compose(plan, one, head):
    replicas = {f"replica-{i}": _service(plan, one, i) for i in range(one.on_one)}
    if one.on_one > 1:
        replicas["balancer"] = {
            "image": BALANCER_IMAGE,
            "restart": "unless-stopped",
            "volumes": ["./nginx.conf:/etc/nginx/nginx.conf:ro"],
            "ports": [f"${{LISTEN:-127.0.0.1}}:{PORT}:{PORT}"],
            "depends_on": list(replicas),
        }
    content = {"services": replicas}
    if not one.local:
        content["volumes"] = {"checkpoints": {}}
    return _comment(head) + yaml.dump(content, Dumper=DUMPER, sort_keys=False, width=1000)


def _service(plan, one, i):
    """One replica as a service: its own accelerators, its own port for tests."""
    gpu, port = one.device.kind != "cpu", PORT + 1 + i
    ports = [f"127.0.0.1:{port}:{PORT}"]
    if one.on_one == 1:
        ports = [f"${{LISTEN:-127.0.0.1}}:{PORT}:{PORT}"]
    start = len(START[one.engine])
    words = [word.replace("$", "$$") for word in one.command("/models/")]
    service = {
        "image": AMD_IMAGE if one.device.vendor == "amd" and gpu else IMAGES[one.engine],
        "entrypoint": words[:start],
        "command": words[start:],
        "restart": "unless-stopped",
        "ports": ports,
        "volumes": ["./models:/models:ro"],
    }
    if not one.local:
        service["environment"] = {"HF_TOKEN": "${HF_TOKEN:-}", "HF_HOME": "/checkpoints"}
        service["volumes"] = ["checkpoints:/checkpoints"]
    if one.engine in serving.STATIC:
        service["ulimits"] = {"memlock": -1}
        limit = plan.team.policy.memory_limit_gb
        if one.device.kind == "cpu" and limit != float("inf"):
            service["mem_limit"] = int(limit * 1e9)
    else:
        service["ipc"] = "host"  # the ranks of a replica exchange data through shared memory
    ids = [str(i * one.devices + k) for k in range(one.devices)]
    if gpu and one.device.vendor == "nvidia":
        device = {"driver": "nvidia", "device_ids": ids, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    elif gpu:
        service["devices"] = ["/dev/kfd", "/dev/dri"]
        service.setdefault("environment", {})["HIP_VISIBLE_DEVICES"] = ",".join(ids)
    return service


def _balancer(one, head):
    servers = "".join(f"    server replica-{i}:{PORT};\n" for i in range(one.on_one))
    return (
        f"{_comment(head)}events {{}}\n"
        "http {\n"
        f"  upstream replicas {{\n    least_conn;\n{servers}  }}\n"
        "  server {\n"
        f"    listen {PORT};\n"
        "    client_max_body_size 64m;\n"
        "    location / {\n"
        "      proxy_pass http://replicas;\n"
        "      proxy_http_version 1.1;\n"
        '      proxy_set_header Connection "";\n'
        "      proxy_buffering off;  # tokens are passed on as they come\n"
        f"      proxy_read_timeout {LONGEST_ANSWER}s;\n"
        "    }\n  }\n}\n"
    )
