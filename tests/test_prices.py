"""Ages of prices, the rule that calls them stale, and the comparison with another collection."""

import socket
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner import __main__, assumptions, business, prices, team

TODAY = date(2026, 11, 24)


# ---- age and the rule ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dated", "least", "most", "words"),
    [
        ("2026-11-24", 0, 0, "0 days"),
        ("2026-11-01", 23, 23, "23 days"),
        ("2026-11", 0, 23, "up to 23 days"),
        ("2026-10", 24, 54, "up to 54 days"),
        ("2026-02-24", 273, 273, "9 months"),
        ("2026-06", 147, 176, "up to 6 months"),
        ("2026", 0, 327, "up to 11 months"),
        ("2024-12", 693, 723, "up to 24 months"),
        ("2027-01-01", 0, 0, "0 days"),
    ],
)
def test_age(dated, least, most, words):
    assert prices.age(dated, TODAY) == (least, most)
    assert str(prices.age(dated, TODAY)) == words


@given(st.dates(date(2000, 1, 1), TODAY), st.integers(0, 4000))
def test_a_day_tells_its_age_exactly_and_a_month_bounds_it(day, limit):
    exact = (TODAY - day).days
    assert prices.age(day.isoformat(), TODAY) == (exact, exact)
    for text in (f"{day:%Y-%m}", f"{day:%Y}"):
        least, most = prices.age(text, TODAY)
        assert least <= exact <= most
    assert prices.stale(day.isoformat(), TODAY, limit) == (exact > limit)


@given(st.dates(date(2000, 1, 1), TODAY), st.integers(0, 4000), st.integers(0, 4000))
def test_what_is_stale_stays_stale(day, limit, later):
    before = prices.stale(day.isoformat(), TODAY, limit)
    assert prices.stale(day.isoformat(), TODAY + timedelta(later), limit) >= before


def test_a_price_is_fresh_on_its_last_day():
    limit = 60
    day = TODAY - timedelta(limit)
    assert not prices.stale(day.isoformat(), TODAY, limit)
    assert prices.stale((day - timedelta(1)).isoformat(), TODAY, limit)


def test_servers_that_are_mostly_memory_go_stale_sooner(records):
    heavy = {server.id for server in records.servers.values()
             if prices.memory_heavy(server, records)}  # fmt: skip
    assert "epyc9005_2s_1536_calc" in heavy  # 1.5 TB at 32 USD/GB is 49,000 of 52,000 USD
    assert "hgx_b200_x8" not in heavy  # 2 TB is 70,000 of 440,000 USD
    limits = records.assumptions
    sooner, usual = (limits[f"price_age_limit{end}"] for end in ("_memory", ""))
    assert sooner.value < usual.value
    # At fourfold in nine months a price that is half memory moves by less than a fifth until then.
    assert 0.5 * (4 ** (sooner.value / 273) - 1) == pytest.approx(0.18, abs=0.01)
    assert all(record.note and record.status == "assumption" for record in (sooner, usual))


# ---- in the report -------------------------------------------------------------------------------


def quoted(made, **changed):
    """The same plan after the team was quoted its server."""
    offer = {"price": 30_000.0, "currency": made.team.currency, "date": TODAY - timedelta(10),
             "reference": "Q-4711"} | changed  # fmt: skip
    quotes = {made.chosen["server_id"]: team.Quote(**offer)}
    return replace(made, team=made.team.model_copy(update={"quotes": quotes}), made=TODAY)


def bill(made):
    table = business.bill(made).data["application/vnd.planner.table+json"]
    return {row["cells"][0]["text"]: row["cells"][1]["text"] for row in table["rows"]}


def register(made):
    return assumptions.full(made).data["application/vnd.planner.table+json"]


def test_every_price_of_the_report_has_its_age(planned):
    made = replace(planned("coding_assistant"), made=TODAY)
    found = pd.DataFrame(prices.used(made))
    assert found["what"].is_unique and len(found) >= 2
    server = made.catalogue.servers[made.chosen["server_id"]]
    own = found[found["what"] == f"Price of {server.name}"].iloc[0]
    assert (own["low"], own["value"], own["high"]) == (
        server.price_low, server.price, server.price_high,
    )  # fmt: skip
    assert own["date"] == server.price_date and own["stale"]
    assert found["stale"].sum() == sum(
        prices.stale(row.date, TODAY, row.limit) for row in found.itertuples()
    )
    assert f"{found['stale'].sum()} stale" in register(made)["note"]
    assert "stale after 60 days" in bill(made)["Age of the price"]


def test_a_quote_overrides_and_says_so(planned):
    made = quoted(planned("coding_assistant"))
    server = made.catalogue.servers[made.chosen["server_id"]]
    own = pd.DataFrame(prices.used(made)).set_index("what").loc[f"Price of {server.name}"]
    assert own["value"] == own["low"] == own["high"] == 30_000
    assert own["status"] == prices.QUOTED and not own["stale"] and own["source"] == "Q-4711"
    words = bill(made)
    assert words["Age of the price"] == (
        f"10 days old; replaces the catalogue's {server.price:,.0f} {server.currency} "
        f"of {server.price_date}"
    )
    assert "Q-4711" in words["Price of one"] and words["Price source"] == "Q-4711"
    cells = [[cell["text"] for cell in row["cells"]] for row in register(made)["rows"]]
    assert ["quote in the team file, 10 days old"] in [cell[4:5] for cell in cells]
    assert "1 quoted to the team" in register(made)["note"]


def test_a_quote_goes_stale_too(planned):
    made = quoted(planned("coding_assistant"), date=TODAY - timedelta(61))
    assert "stale after 60 days" in bill(made)["Age of the price"]
    assert "stale" in register(made)["note"]


def test_no_price_no_remark():
    assert prices.remark([]) == ""


# ---- against genai-prices ------------------------------------------------------------------------


@pytest.fixture
def unplugged(monkeypatch):
    """No way out of this machine."""

    def refuse(*_, **__):
        raise AssertionError("a request was made")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_the_snapshot_is_compared_without_a_request(records, unplugged):
    compared = prices.differences(records, TODAY)
    assert set(compared["id"]) == set(records.api_prices)
    known = compared[compared["status"] != "unknown there"]
    assert len(known) > 0.8 * len(compared)
    usd = known[~known["note"].str.contains("at the catalogue's rate")]
    assert usd["status"].isin(["equal", "only ours", "only theirs", "differs"]).all()
    assert (usd.loc[usd["status"] == "equal", "percent"].abs() <= 0.5).all()


def changed(records, name, **fields):
    offers = dict(records.api_prices)
    offers[name] = offers[name].model_copy(update=fields)
    return replace(records, api_prices=offers)


def test_differences_by_hand(records):
    name = "openai/gpt-4o-mini"
    (offer,) = [offer for offer in records.api_prices.values() if offer.id == name]
    other = changed(records, name, input=offer.input / 2, cached_input=None)
    rows = prices.differences(other, TODAY).set_index(["id", "what"]).loc[name]
    assert rows.loc["input", "percent"] == pytest.approx(100)
    assert rows.loc["input", "status"] == "differs" and rows.loc["output", "status"] == "equal"
    assert rows.loc["cached input", "status"] == "only theirs"
    assert np.isnan(rows.loc["cached input", "ours"])
    assert rows.loc["input", "ours"] == pytest.approx(offer.input / 2 * 1e6)
    words = prices.text(prices.differences(other, TODAY))
    assert name in words and "Nothing was changed" in words


def test_names_that_the_package_does_not_know(records):
    other = changed(records, "openai/gpt-4o-mini", id="openai/no-such-model-9", provider="openai")
    rows = prices.differences(other, TODAY).set_index("id")
    assert rows.loc["openai/no-such-model-9", "status"] == "unknown there"


def test_money_of_another_currency_is_converted(records):
    name = "zhipuai/GLM-4.7"
    rows = prices.differences(records, TODAY).set_index(["id", "what"]).loc[name]
    offer = records.api_prices[name]
    rate = records.assumptions["fx_cny_per_usd"].value
    assert rows.loc["output", "ours"] == pytest.approx(offer.output * 1e6 / rate)
    assert "CNY" in rows.loc["output", "note"]


def test_free_of_charge_is_no_division():
    assert prices._compared(0.0, 0.0)["status"] == "equal"
    assert prices._compared(0.0, 1.0)["percent"] == float("inf")


def test_the_command_prints_and_changes_nothing(records, capsys, unplugged):
    path = records.directory / "api_prices.csv"
    before = path.read_bytes()
    assert __main__.main(["prices"]) == 0
    assert "genai-prices" in capsys.readouterr().out
    assert path.read_bytes() == before
