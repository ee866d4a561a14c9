"""The catalogue: the real files are clean, broken ones are refused in words a person can act on."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from planner import catalogue
from planner.catalogue import Assumption, CatalogueError, Claim, Device, Score

BROKEN = Path(__file__).parent / "broken"
# Directory under tests/broken, and what must stand in one line of the answer.
CASES = {
    "text_in_number": ("servers.csv, row 3 (l40s_x4_calc), field price: 'abc'", "plain number"),
    "thousands_comma": ("servers.csv, row 2 (dgx_spark), field price: '4,700'", "plain number"),
    "negative": ("servers.csv, row 3 (l40s_x4_calc), field power_idle_w: '-650'", "at least 0"),
    "not_a_number": ("servers.csv, row 2 (dgx_spark), field price: 'NaN'", "not a finite number"),
    "infinite": ("devices.csv, row 2 (h100-sxm), field mem_bw_gbs: 'inf'", "not a finite number"),
    "overflow": ("devices.csv, row 2 (h100-sxm), field mem_bw_gbs: '1e999'", "not a finite"),
    "zero_bandwidth": ("devices.csv, row 2 (h100-sxm), field mem_bw_gbs: '0'", "above zero"),
    "missing_source": ("servers.csv, row 2 (dgx_spark), field source:", "is empty; fill it in"),
    "unknown_device": ("servers.csv, row 3 (l40s_x4_calc), field device: 'l40-s'", "devices.csv"),
    "wrong_kind": ("servers.csv, row 3 (l40s_x4_calc), field kind: 'gpu'", "of kind cpu"),
    "no_rate": ("servers.csv, row 2 (dgx_spark), field currency: 'CHF'", "add fx_chf_per_usd"),
    "wrong_date": ("servers.csv, row 2 (dgx_spark), field price_date: 'June 2026'", "YYYY-MM-DD"),
    "impossible_date": ("row 2 (dgx_spark), field price_date: '2026-02-30'", "not a day"),
    "price_below_low": ("servers.csv, row 2 (dgx_spark), field price_low: '5000'", "above price"),
    "idle_above_load": ("row 2 (dgx_spark), field power_idle_w: '95'", "power_idle <= power_load"),
    "fraction_of_a_device": ("row 3 (l40s_x4_calc), field devices: '3.5'", "whole number"),
    "unknown_status": ("field price_status: 'rumour'", "one of 'quote', 'estimate'"),
    "more_than_label": ("devices.csv, row 4 (rtx-4090), field usable_gib: '24.5'", "above memory"),
    "sparse_peak": ("devices.csv, row 2 (h100-sxm), field bf16_tflops: '1979.1'", "fp8 peak"),
    "same_chip": ("devices.csv (h200-sxm), field bf16_tflops: differs from h100-sxm", "one dense"),
    "cores_missing": ("devices.csv, row 5 (epyc-9755), field cores:", "cores of one socket"),
    "low_above_value": ("assumptions.csv, row 2 (pue), field low: '1.6'", "low <= value <= high"),
    "api_model": ("row 2 (zai/GLM-4.5-Air), field model_id: 'zai-org/GLM-4.5-Aire'", "models.json"),
    "claim_without_high": ("claims.csv, row 2 (guide.coder32b.decode_tok_s), field high", "both"),
    "published_id": ("published.csv, row 2 (gpt4:prize), field id", "is not gpt4:price"),
    "duplicate_id": ("servers.csv, row 5 (dgx_spark), field id: 'dgx_spark'", "id of row 2"),
    "unknown_column": ("servers.csv: row 1 has unknown column 'price_lowest'", "columns are id,"),
    "short_row": ("servers.csv, row 3 (l40s_x4_calc): 22 cells under 24 columns", "quote cells"),
    "header_only": ("servers.csv: has no rows", "restore"),
    "empty": ("servers.csv: is empty", "restore"),
    "binary": ("servers.csv: is not a text file", "save it as text"),
    "latin1": ("servers.csv: is not a text file in UTF-8", "save it as text"),
    "open_quote": ("servers.csv: is not a CSV file", "quote cells"),
    "json_nan": ("models.json: holds NaN", "plain number or null"),
    "json_broken": ("models.json: is not JSON", "restore the file"),
    "json_object": ("models.json: is not a list of objects", "write [{...}"),
}


@pytest.fixture(scope="module")
def records():
    return catalogue.load()


@pytest.fixture
def directory(tmp_path):
    left_out = shutil.ignore_patterns("measurements", "teams")
    shutil.copytree(catalogue.DATA, tmp_path, dirs_exist_ok=True, ignore=left_out)
    return tmp_path


def test_the_real_files_are_clean():
    assert catalogue.check() == []


def test_load_gives_one_object(records):
    assert catalogue.load() is records
    assert catalogue.load(catalogue.DATA) is records


def test_every_broken_file_has_a_case():
    assert {path.name for path in BROKEN.iterdir()} == set(CASES) | {"three_problems"}


@pytest.mark.parametrize("case", CASES)
def test_broken_file_is_refused_with_place_and_remedy(case, directory):
    shutil.copytree(BROKEN / case, directory, dirs_exist_ok=True)
    place, remedy = CASES[case]
    with pytest.raises(CatalogueError) as error:
        catalogue.load(directory)
    lines = str(error.value).splitlines()
    assert any(place in line and remedy in line for line in lines), lines
    assert all(line.startswith("data/") for line in lines)


def test_all_problems_of_a_file_come_at_once(directory):
    shutil.copytree(BROKEN / "three_problems", directory, dirs_exist_ok=True)
    lines = catalogue.check(directory)
    assert len(lines) == 3
    assert [line.split("field ")[1].split(":")[0] for line in lines] == [
        "price",
        "power_load_w",
        "source_date",
    ]
    with pytest.raises(CatalogueError) as error:
        catalogue.load(directory)
    assert str(error.value).splitlines() == lines


def test_missing_file(directory):
    (directory / "rentals.csv").unlink()
    assert "rentals.csv: is missing" in catalogue.check(directory)[0]


def test_byte_order_mark_and_blank_lines_are_accepted(directory):
    path = directory / "rentals.csv"
    path.write_text("\ufeff" + path.read_text(encoding="utf-8") + "\n\n", encoding="utf-8")
    assert catalogue.check(directory) == []


def test_digest_changes_with_the_files(records, directory):
    assert catalogue.load(directory).digest == records.digest
    path = directory / "servers.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("4700", "4701"), encoding="utf-8")
    assert catalogue._digest(directory) != records.digest


def test_units_by_hand(records):
    h100 = records.devices["h100-sxm"]
    assert h100.memory == 80 * 2**30
    assert h100.usable_memory == pytest.approx(79.19 * 2**30)
    assert h100.bandwidth == 3.35e12
    assert h100.peak["bf16"] == 989e12
    assert h100.link == "nvlink" and h100.link_bandwidth == 900e9
    assert "fp4" not in h100.peak
    assert records.servers["guide_e5_128gb"].memory == 128 * 2**30
    price = records.api_prices["zai/GLM-4.5-Air"]
    assert (price.input, price.output) == pytest.approx((0.2e-6, 1.1e-6))


def test_claims_scale_to_si(records):
    claims = {claim.id: claim for claim in records.claims}
    memory = claims["guide.coder32b.memory_gb.bf16-table"]
    assert memory.low * memory.scale == 45e9
    assert claims["guide.general.price.gpt4"].scale == 1e-3
    assert claims["guide.q72b.ttft_s"].scale == 1


def test_the_guide_contradicts_itself(records):
    claims = {claim.id: claim for claim in records.claims}
    for name, calls_per_day in (("gpt4", 100), ("claude", 100)):
        per_token = claims[f"guide.general.price.{name}"]
        price = per_token.low * per_token.scale
        few = claims[f"guide.general.api_cost_per_100k_calls.{name}"].low / 1e5 / price
        many = claims[f"guide.general.api_cost_per_year.{name}"].low / 365 / calls_per_day / price
        assert few == pytest.approx(100)
        assert many == pytest.approx(10000)


def test_ten_models_of_the_guide_are_there(records):
    claimed = {claim.model_id for claim in records.claims if claim.model_id}
    assert len(claimed) == 10
    assert claimed <= set(records.models)


def test_every_measured_device_is_there(records):
    for path in sorted((catalogue.DATA / "measurements").glob("*.csv")):
        table = pd.read_csv(path, dtype=str)
        if "device_id" in table:
            assert set(table["device_id"].dropna()) <= set(records.devices), path


@pytest.mark.parametrize("kind,least", [("cpu", 10), ("gpu", 15), ("unified", 3)])
def test_servers_to_choose_from(records, kind, least):
    servers = [server for server in records.servers.values() if server.kind == kind]
    assert len(servers) >= least
    assert all(server.lead_time_weeks_high >= server.lead_time_weeks_low for server in servers)


def test_a_bigger_server_of_one_kind_costs_more(records):
    for small, large in (
        ("l40s_x2_calc", "l40s_x4_calc"),
        ("l40s_x4_calc", "l40s_x8_sys521ge"),
        ("rtxpro6000_x1_ws_calc", "rtxpro6000_x2_ws"),
        ("rtxpro6000_x4_ws", "rtxpro6000_x8_calc"),
        ("h100pcie_x2_calc", "h100pcie_x4_calc"),
        ("h100pcie_x4_calc", "h100pcie_x8_sys521ge"),
        ("epyc9755_1s_768_calc", "epyc9755_2s_1536_calc"),
        ("guide_e5_64gb", "guide_e5_256gb"),
    ):
        small, large = records.servers[small], records.servers[large]
        for field in ("price_low", "price", "price_high", "power_load"):
            assert getattr(small, field) < getattr(large, field), (small.id, field)


def test_a_server_draws_more_than_its_devices_but_not_twice(records):
    for server in records.servers.values():
        devices = records.devices[server.device].tdp * server.devices
        if server.kind != "unified":
            assert 0.75 * devices < server.power_load < 3 * devices, server.id


def test_every_figure_has_source_and_date_or_is_an_assumption(records):
    tables = (records.models, records.devices, records.servers, records.api_prices)
    for table in (*tables, records.rentals, records.assumptions):
        for record in table.values():
            assert record.source and record.source_date, record
    for claim in records.claims:
        assert claim.source and claim.source_date and claim.where
    for assumption in records.assumptions.values():
        if "memory" in assumption.source or "assumption" in assumption.source:
            assert assumption.status == "assumption", assumption.key
    for server in records.servers.values():
        if server.source.startswith("from memory"):
            assert server.price_status == "assumption", server.id


NEEDED = [
    "pue",
    "electricity_tariff_us",
    "electricity_tariff_eu",
    "electricity_tariff_cn",
    "discount_rate",
    "book_life",
    "support_rate",
    "residual_3y",
    "network_adder",
    "spares_rate",
    "installation_rate",
    "tax_rate",
    "contingency_rate",
    "staff_hours_per_server",
    "staff_rate_us",
    "colocation_per_kw_month",
    "software_per_gpu_year",
    "api_price_decline",
    "fx_cny_per_usd",
    "fx_eur_per_usd",
]


@pytest.mark.parametrize("key", NEEDED)
def test_assumptions_the_cost_model_needs(records, key):
    assert records.assumptions[key].low <= records.assumptions[key].high


def test_convert_by_hand(records):
    assert catalogue.convert(6992.9, "CNY", "USD", records) == pytest.approx(1000)
    assert catalogue.convert(1, "EUR", "CNY", records) == pytest.approx(6.9929 / 0.86)
    assert catalogue.convert(7, "EUR", "EUR", records) == 7


@pytest.mark.parametrize("first", ["USD", "EUR", "CNY"])
@pytest.mark.parametrize("second", ["USD", "EUR", "CNY"])
def test_convert_round_trip(records, first, second):
    amount = np.array([0, 1, 15000])
    there = catalogue.convert(amount, first, second, records)
    assert catalogue.convert(there, second, first, records) == pytest.approx(amount)


def test_convert_refuses_a_currency_without_rate(records):
    with pytest.raises(ValueError, match="currency 'CHF' has no rate; use USD, CNY, EUR"):
        catalogue.convert(1, "CHF", "USD", records)


def test_records_are_frozen_and_usable_as_keys(records):
    server = records.servers["dgx_spark"]
    with pytest.raises(ValidationError, match="frozen"):
        server.price = 1
    assert len({server, server}) == 1
    model = next(iter(records.models.values()))
    assert {model: 1, records.devices["l4"]: 2}[model] == 1


def test_records_made_by_hand_obey_the_same_rules(records):
    figures = records.devices["l4"].model_dump()
    with pytest.raises(ValidationError, match="fp8 peak"):
        Device(**{**figures, "peak": {"bf16": 2e14, "fp8": 1e14}})
    with pytest.raises(ValidationError, match="label memory"):
        Device(**{**figures, "memory": None, "usable_memory": None})
    with pytest.raises(ValidationError, match="Extra inputs"):
        Device(**figures, colour="green")
    dated = {"source": "a page", "source_date": "2026"}
    with pytest.raises(ValidationError, match="value <= high"):
        Assumption(key="x", value=3.0, low=1.0, high=2.0, unit="1", status="sourced", **dated)
    with pytest.raises(ValidationError, match="instead of low and high"):
        Claim(id="x", metric="price", unit="USD", where="here", **dated)


def test_score_prefers_the_common_harness(records):
    model = records.models["Qwen/Qwen2.5-Coder-32B-Instruct"]
    vendor = Score(benchmark="x", value=31.4, harness="vendor", source="report")
    common = Score(benchmark="x", value=29.5, harness="Artificial Analysis", source="index")
    model = model.model_copy(update={"scores": (vendor, common)})
    assert model.score("x") is common
    assert model.model_copy(update={"scores": (vendor,)}).score("x") is vendor
    assert model.score("another") is None


def test_models_read_their_architecture(records):
    model = records.models["Qwen/Qwen2.5-Coder-32B-Instruct"]
    assert model.architecture is model.architecture
    assert model.architecture.total_parameters == pytest.approx(model.total_parameters, rel=1e-3)


@pytest.mark.parametrize("path", sorted(catalogue.DATA.rglob("*.csv")), ids=lambda path: path.stem)
def test_no_row_of_any_file_lacks_its_source_or_date(path):
    import pandas as pd

    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    for column in {"source", "source_date"} & set(table):
        assert (table[column] != "").all(), f"{path.name}: {column} is blank"
