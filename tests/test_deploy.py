"""Files that start the chosen option, and the acceptance test: they say what the sizing said."""

import io
import json
import re
import shlex
from dataclasses import replace
from math import ceil

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import (
    acceptance,
    budget,
    catalogue,
    deploy,
    evidence,
    placement,
    plan,
    replica,
    report,
    runs,
    serving,
)

GPU, CPU = "coding_assistant", "guide_one_developer"


@pytest.fixture(scope="module")
def plans(planned):
    return {name: planned(name) for name in (GPU, CPU)}


class Chosen(plan.Plan):
    """A plan whose recommendation is set by hand."""

    @property
    def chosen(self):
        return self.options.iloc[0]


def with_choice(made, records=None, **changed):
    """The same plan with another recommendation, or another team."""
    wanted = made.chosen.copy()
    for name, value in changed.items():
        wanted[name] = value
    return Chosen(
        made.team, records or made.catalogue, wanted.to_frame().T.infer_objects(), made.refused,
        made.terms, made.made,
    )  # fmt: skip


def services(made):
    return yaml.safe_load(deploy.files(made)["deploy/compose.yaml"])["services"]


def started(made):
    """Words of the command in serve.sh, and of the first service."""
    script = deploy.files(made)["deploy/serve.sh"]
    first = services(made)["replica-0"]
    words = [word for word in shlex.split(script[script.index("\nexec ") + 6 :]) if word != "\n"]
    return words, first["entrypoint"] + first["command"]


def value(words, option):
    return words[words.index(option) + 1]


# ---- settings of the sizing ------------------------------------------------------------------


def test_vllm_starts_as_it_was_sized(plans):
    made = plans[GPU]
    for words in started(made):
        assert words[:3] == ["vllm", "serve", made.chosen["model_id"]]
        assert int(value(words, "--max-num-seqs")) == serving.MOST_SEQUENCES["vllm"]
        assert int(value(words, "--max-num-batched-tokens")) == serving.STEP_TOKENS
        assert int(value(words, "--max-model-len")) == made.team.workload.context_tokens
        assert int(value(words, "--tensor-parallel-size")) == made.chosen["tp"]
        share = budget.constant("kv_pool_bytes.utilisation", "vllm")
        assert float(value(words, "--gpu-memory-utilization")) == share
        assert "--enable-prefix-caching" in words  # the team counts on cached prompts


def test_without_cached_prompts_the_prefix_cache_is_off(plans):
    made = plans[GPU]
    load = made.team.workload.model_copy(update={"cached_prompt_share": 0.0})
    bare = replace(made, team=made.team.model_copy(update={"workload": load}))
    for words in started(bare):
        assert "--no-enable-prefix-caching" in words and "--enable-prefix-caching" not in words


def test_llama_cpp_starts_as_it_was_sized(plans):
    made = plans[CPU]
    option, context = made.chosen, made.team.workload.context_tokens
    device = made.catalogue.devices[option["device_id"]]
    for words in started(made):
        places = int(value(words, "--parallel"))
        assert places == min(serving.MOST_SEQUENCES["llama.cpp"], int(option["sequences"]))
        assert int(value(words, "--ctx-size")) == places * context
        assert places * option["sequence_bytes"] <= option["pool_bytes"]
        assert int(value(words, "--threads")) == device.cores * option["sockets"]
        assert value(words, "--numa") == "distribute" and option["sockets"] == 2
        assert int(value(words, "--batch-size")) == serving.STATIC_STEP_TOKENS
        assert value(words, "--cache-ram") == "0"  # 8 GiB by default, which nobody counted
        assert value(words, "--load-mode") == "mlock"
    first = services(made)["replica-0"]
    assert first["ulimits"] == {"memlock": -1}
    assert first["mem_limit"] == 1e9 * made.team.policy.memory_limit_gb


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("sglang", ["--max-running-requests", "256", "--chunked-prefill-size", "8192"]),
        ("vllm", ["--max-num-seqs", "256"]),
    ],
)
def test_other_engines_of_accelerators(plans, engine, words):
    made = with_choice(plans[GPU], engine=engine)
    script, compose = started(made)
    assert set(words) <= set(script) and script[1:] == compose[1:]
    assert "IMAGE" in services(made)["replica-0"]["image"]


def test_ik_llama_cpp_has_its_own_words_for_memory(plans):
    words = replica.replica(with_choice(plans[CPU], engine="ik_llama.cpp")).command()
    assert {"--mlock", "--no-mmap"} <= set(words)
    assert not {"--load-mode", "--fit", "--no-kv-unified"} & set(words)


@pytest.mark.parametrize(
    ("native", "wanted", "model", "flags"),
    [
        ("bf16", "bf16", "a/b", {"--dtype": "bfloat16"}),
        ("bf16", "fp8", "a/b", {"--quantization": "fp8"}),
        ("fp8", "fp8", "a/b", {}),
        ("mxfp4", "mxfp4", "a/b", {}),
        ("bf16", "awq-int4", "models/b-awq-int4", {}),
    ],
)
def test_what_is_loaded(plans, records, native, wanted, model, flags):
    changed = records.models[plans[GPU].chosen["model_id"]].model_copy(
        update={"id": "a/b", "native_format": native}
    )
    other = replace(records, models={**records.models, "a/b": changed})
    one = replica.replica(with_choice(plans[GPU], other, model_id="a/b", weight_format=wanted))
    assert one.model == model
    found = {k: v for k, v in dict(one.flags).items() if k in ("--dtype", "--quantization")}
    assert found == flags


def test_a_checkpoint_of_the_house_is_mounted(plans):
    one = services(plans[CPU])["replica-0"]
    assert one["volumes"] == ["./models:/models:ro"]
    assert value(one["command"], "--model").startswith("/models/")
    script, _ = started(plans[CPU])
    assert value(script, "--model").startswith("models/") and script[-1] == "8000"


# ---- replicas on servers -----------------------------------------------------------------------


@pytest.mark.parametrize(("replicas", "servers", "devices"), [(4, 2, 1), (3, 2, 2), (8, 1, 1)])
def test_replicas_share_no_accelerator(plans, replicas, servers, devices):
    made = with_choice(
        plans[GPU], replicas=float(replicas), servers=float(servers), n_devices=float(devices),
        tp=float(devices), working=float(replicas - 1),
    )  # fmt: skip
    found = services(made)
    each = ceil(replicas / servers)
    assert [name for name in found if name != "balancer"] == [f"replica-{i}" for i in range(each)]
    ids = []
    for i in range(each):
        one = found[f"replica-{i}"]
        (device,) = one["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia" and len(device["device_ids"]) == devices
        ids += device["device_ids"]
    assert ids == [str(i) for i in range(each * devices)]
    ports = [port for one in found.values() for port in one["ports"]]
    assert len(set(ports)) == len(ports)
    head = deploy.files(made)["deploy/compose.yaml"]
    assert f"{replicas} replicas (1 spare) x tensor parallel {devices} = {replicas * devices}" in (
        head
    )
    assert ("The last server has" in head) == (each * servers > replicas)


def test_the_balancer_knows_every_replica(plans):
    made = with_choice(plans[GPU], replicas=4.0, servers=1.0, n_devices=1.0, tp=1.0)
    files = deploy.files(made)
    configured = files["deploy/nginx.conf"]
    assert "least_conn;" in configured
    assert re.findall(r"server (\S+):8000;", configured) == [f"replica-{i}" for i in range(4)]
    assert configured.count("{") == configured.count("}")
    balancer = services(made)["balancer"]
    assert balancer["depends_on"] == [f"replica-{i}" for i in range(4)]
    assert balancer["ports"] == ["${LISTEN:-127.0.0.1}:8000:8000"]


def test_rented_replicas_stand_alone(plans):
    made = with_choice(plans[GPU], sourcing="rent", server_id="", servers=float("nan"),
                       replicas=3.0)  # fmt: skip
    one = replica.replica(made)
    assert (one.servers, one.on_one) == (3, 1)
    assert "3 rented machines" in deploy.files(made)["deploy/serve.sh"]


def test_machines_without_a_container_runtime_get_the_command_only(plans, records):
    option = plans[GPU].chosen
    for vendor, there in (("huawei", False), ("amd", True)):
        device = records.devices[option["device_id"]].model_copy(update={"vendor": vendor})
        other = replace(records, devices={**records.devices, device.id: device})
        files = deploy.files(with_choice(plans[GPU], other))
        assert ("deploy/compose.yaml" in files) == there
    first = services(with_choice(plans[GPU], other))["replica-0"]
    assert first["devices"] == ["/dev/kfd", "/dev/dri"]
    assert first["environment"]["HIP_VISIBLE_DEVICES"] == "0,1"


def test_nothing_is_started_for_an_api(plans):
    assert deploy.files(with_choice(plans[GPU], sourcing="api")) == {}
    assert deploy.files(with_choice(plans[GPU], engine="tensorrt-llm")) == {}
    empty = replace(plans[GPU], options=plans[GPU].options.iloc[:0])
    assert deploy.files(empty) == {}
    shown = evidence.acceptance(with_choice(plans[GPU], engine="tensorrt-llm"))
    assert "No benchmark is on file" in str(shown)


# ---- real options ------------------------------------------------------------------------------


def options_of(words):
    return {word for word in words if re.match(r"--?[a-z]", word)}


@pytest.mark.parametrize("engine", sorted(replica.START))
def test_every_option_is_one_of_the_engine(plans, records, engine):
    base = plans[CPU] if engine in serving.STATIC else plans[GPU]
    for format_ in ("bf16", "fp8", "mxfp4", "q8_0"):
        for share in (0.0, 0.3):
            load = base.team.workload.model_copy(update={"cached_prompt_share": share})
            made = with_choice(
                replace(base, team=base.team.model_copy(update={"workload": load})),
                engine=engine, weight_format=format_,
            )  # fmt: skip
            tool = f"{engine}:{replica.TOOL[engine]}"
            for option in options_of(replica.replica(made).command()) - {"-m"}:
                assert f"{tool}:{option}" in records.engine_options
            for words in acceptance.commands(made):
                tool = "vllm:bench serve" if words[0] == "vllm" else f"{engine}:{words[0]}"
                for option in options_of(words):
                    assert f"{tool}:{option}" in records.engine_options


def test_options_on_file_name_their_source(records):
    for option in records.engine_options.values():
        assert re.search(r"github|docs\.", option.source)
    with pytest.raises(ValueError, match="is not vllm:serve:--port"):
        catalogue.EngineOption(
            id="x", engine="vllm", tool="serve", option="--port", source="x", source_date="2026"
        )


# ---- hostile text ------------------------------------------------------------------------------

HOSTILE = st.text(min_size=1, max_size=40) | st.sampled_from(
    ["x\n- evil: 1", "x\x85evil: 1", "x\u2028evil: 1", "$(id)", "`id`", "'; id #", "${HOME}",
     "a: [b", "*x", "&x", "!!python/object:os.system", "--help", "\ufeff", "\ud800"]
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(name=HOSTILE, model=HOSTILE)
def test_text_from_outside_never_becomes_syntax(planned, name, model):
    made = planned(GPU)
    record = made.catalogue.models[made.chosen["model_id"]].model_copy(update={"id": model})
    records = replace(made.catalogue, models={**made.catalogue.models, model: record})
    other = with_choice(
        replace(made, team=made.team.model_copy(update={"name": name, "slug": name})), records,
        model_id=model,
    )  # fmt: skip
    files = deploy.files(other, run=name)
    script = files["deploy/serve.sh"]
    code = [line for line in script.split("\n") if not line.startswith("#")]
    assert code[0] == "set -eu"  # nothing of the name left its comment
    words, compose = started(other)
    assert words[:2] == ["vllm", "serve"] and not words[2].startswith("-")
    assert options_of(words) == options_of(replica.replica(made).command())  # none was added
    if replica.PUBLISHED.fullmatch(model):
        assert words[2] == model == value(words, "--served-model-name")
    content = yaml.safe_load(files["deploy/compose.yaml"])
    assert set(content) <= {"services", "volumes"} and list(content["services"]) == ["replica-0"]
    assert options_of(compose) == options_of(words) and not any("$" in word for word in compose)


# ---- in the report's folder --------------------------------------------------------------------


def test_the_folder_changes_as_a_whole(tmp_path):
    page = {"summary.json": b"{}"}
    placement.place({"deploy/serve.sh": b"1", "deploy/nginx.conf": b"1", **page}, tmp_path, "team")
    assert (tmp_path / "team" / "deploy" / "serve.sh").stat().st_mode & 0o111
    placement.place({"deploy/serve.sh": b"2", **page}, tmp_path, "team")
    assert [path.name for path in (tmp_path / "team" / "deploy").iterdir()] == ["serve.sh"]
    assert (tmp_path / "team" / "deploy" / "serve.sh").read_bytes() == b"2"
    placement.place(page, tmp_path, "team")  # the choice became an API
    assert [path.name for path in (tmp_path / "team").iterdir()] == ["summary.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["team"]


def test_the_summary_carries_them_to_the_report(plans):
    values = json.loads(json.dumps(evidence.summary(plans[GPU]).data[evidence.display.SUMMARY]))
    files = report._more_files(values)
    made = {"deploy/serve.sh", "deploy/compose.yaml", "report.xlsx"}
    assert set(files) == made and "files" not in values
    assert files["report.xlsx"].startswith(b"PK")  # base64 in the summary, bytes in the folder
    assert evidence.run_id(plans[GPU]).encode() in files["deploy/serve.sh"]


@pytest.mark.parametrize("name", ["../x", "deploy/../../x", "x.sh", "deploy/.x", "deploy/a/b", ""])
def test_files_lie_nowhere_else(name):
    with pytest.raises(report.ReportError, match="names a file"):
        report._more_files({"files": {name: ""}})


# ---- acceptance test ---------------------------------------------------------------------------


def test_the_load_run_sends_the_busiest_hour(plans):
    made = plans[GPU]
    alone, busy = acceptance.commands(made)
    load, sizes = made.team.workload, acceptance.lengths(made)
    assert value(alone, "--max-concurrency") == "1" and "--request-rate" not in alone
    sent = int(value(busy, "--random-prefix-len")) + int(value(busy, "--random-input-len"))
    assert sent == load.prompt_tokens == int(value(alone, "--random-input-len"))
    assert int(value(busy, "--random-prefix-len")) == 0.3 * load.prompt_tokens
    assert int(value(busy, "--random-output-len")) == load.output_tokens
    each = made.team.peak_rate / made.chosen["working"]
    assert float(value(busy, "--request-rate")) == pytest.approx(each, rel=0.01)
    assert 0 <= sizes["ratio"] < 1
    longest = (1 + sizes["ratio"]) * (sizes["fresh"] + sizes["output"]) + sizes["prefix"]
    assert longest <= load.context_tokens


def test_lengths_never_leave_the_context(plans):
    made = plans[GPU]
    load = made.team.workload.model_copy(update={"context_tokens": 6500})
    tight = replace(made, team=made.team.model_copy(update={"workload": load}))
    sizes = acceptance.lengths(tight)
    assert sizes["ratio"] == 0.02  # (6500 - 1800) / 4600 - 1, rounded down


@pytest.mark.parametrize("name", [GPU, CPU])
def test_pass_marks_lie_on_the_slow_side(plans, name):
    made = plans[name]
    marks = acceptance.marks(made)
    lower = marks["bound"].eq("at least")
    assert (marks.loc[lower, "mark"] < marks.loc[lower, "predicted"]).all()
    upper = marks[~lower & marks["where"].str.contains("p95")]
    if name == GPU:
        limits = [made.team.slo.tail("ttft"), made.team.slo.tail("tpot")]
        assert (upper["mark"].to_numpy() <= limits).all()
        assert (upper["mark"] > upper["predicted"]).all()
    decode = marks[marks["what"].str.startswith("Generation, one")].iloc[0]
    slow = made.chosen["tpot_alone"] / made.chosen["tpot_alone_high"]
    assert decode["mark"] == pytest.approx(decode["predicted"] * slow)


def test_the_cache_mark_is_what_the_log_says(plans):
    option, marks = plans[GPU].chosen, acceptance.marks(plans[GPU])
    held = option["pool_bytes"] / option["sequence_bytes"]
    assert marks.iloc[0]["predicted"] == pytest.approx(held)
    assert marks.iloc[0]["tolerance"] == pytest.approx(-5)
    option, marks = plans[CPU].chosen, acceptance.marks(plans[CPU])
    assert marks.iloc[0]["predicted"] == acceptance.slots(plans[CPU]) * option["sequence_bytes"]


def test_the_section_is_text_of_one_cell(plans):
    for name in (GPU, CPU):
        words = str(evidence.acceptance(plans[name]).data["text/markdown"])
        assert words.count("```") == 4 and "planner calibrate" in words
        assert "nan" not in words and "inf" not in words.replace("inference", "")


def written_result(made):
    """What `vllm bench serve --save-result` leaves, in the fields that calibration reads."""
    alone, _ = acceptance.commands(made)
    names = ("--num-prompts", "--random-input-len", "--random-output-len")
    n, prompt, output = (int(value(alone, name)) for name in names)
    return {
        "backend": value(alone, "--backend"), "model_id": value(alone, "--model"),
        "num_prompts": n, "completed": n, "request_rate": "inf", "max_concurrency": 1,
        "tensor_parallel_size": value(alone, "--metadata").split("=")[1],
        "request_throughput": 0.2, "output_throughput": 80.0,
        "total_input_tokens": n * prompt, "total_output_tokens": n * output,
        "mean_ttft_ms": 500.0, "mean_tpot_ms": 8.0,
    }  # fmt: skip


def setting_of(words):
    from planner.__main__ import _parser

    options = _parser().parse_args(words[1:])
    return options, runs.Setting(
        options.device, options.model, options.weight_format, options.engine, options.sockets,
        options.threads, options.tp,
    )  # fmt: skip


def test_calibration_reads_the_result(plans, tmp_path):
    made = plans[GPU]
    words = acceptance.calibration(made)
    options, setting = setting_of(words)
    assert [path.name for path in options.runs] == ["single.json"]
    path = tmp_path / "single.json"
    path.write_text(json.dumps(written_result(made)))
    found = runs.read([path], setting)
    assert {"ttft_ms", "tpot_ms"} <= set(found["metric"])
    assert set(found["model_id"]) == {made.chosen["model_id"]} and set(found["tp"]) == {"2"}


def test_calibration_reads_the_table_of_llama_batched_bench(plans, tmp_path):
    made = plans[CPU]
    (words,) = acceptance.commands(made)
    prompt, answer = value(words, "-npp"), value(words, "-ntg")
    table = io.StringIO()
    table.write("\nmain: n_kv_max = 524288, n_batch = 2048, n_ubatch = 512, flash_attn = 1, "
                "is_pp_shared = 0, n_gpu_layers = -1, n_threads = 28, n_threads_batch = 28\n\n"
                "|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |"
                "      T s |    S t/s |\n|-------|--------|------|--------|----------|----------|"
                "----------|----------|----------|----------|\n")  # fmt: skip
    for batch in value(words, "-npl").split(","):
        table.write(f"|{prompt:>6} | {answer:>6} | {batch:>4} |   1100 |    7.800 |   102.00 |"
                    "   17.000 |    17.30 |   24.800 |    44.00 |\n")  # fmt: skip
    path = tmp_path / "batch.md"
    path.write_text(table.getvalue())
    options, setting = setting_of(acceptance.calibration(made))
    assert [run.name for run in options.runs] == ["batch.md"]
    found = runs.read([path], setting)
    assert {"prefill_tok_s", "decode_tok_s_per_seq"} <= set(found["metric"])
