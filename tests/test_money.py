"""What options cost: every line of every way of sourcing, policies, contracts, quarters, books."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from planner import (
    api_claims,
    cashflow,
    cost,
    draws,
    money,
    pricing,
    team,
    words,
)
from planner.terms import Terms


def changed(base, part, **values):
    return base.model_copy(update={part: getattr(base, part).model_copy(update=values)})


def assume(base, **figures):
    return base.model_copy(update={"assumptions": {**base.assumptions, **figures}})


@pytest.fixture(scope="module")
def repriced(records, planned):
    """The chosen option of a team under another team file, without judging anything again."""

    def price(changed_team, name="coding_assistant"):
        row = planned(name).chosen.to_frame().T.infer_objects()
        terms = Terms(changed_team, records)
        call = money.owned if row["sourcing"].iloc[0] == "own" else money.rented
        return call(row, changed_team, records, terms).iloc[0]

    return price


def by_line(option, years=3):
    return pd.Series(
        {line: sum(option[f"{line}_{year}"] for year in range(1, years + 1))
         for line in pricing.LINES}
    )  # fmt: skip


# -- lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["coding_assistant", "support_chat", "agent_platform"])
def test_lines_add_up_to_the_total_of_every_option(planned, name):
    table = planned(name).options
    table = table[np.isfinite(table["total"])]
    lines = [f"{line}_{year}" for line in pricing.LINES for year in (1, 2, 3)]
    assert_allclose(table[lines].sum(axis=1), table["total"], rtol=1e-9)
    assert (table[[name for name in lines if not name.startswith("residual")]] >= 0).all(axis=None)
    assert (table[[name for name in lines if name.startswith("residual")]] <= 0).all(axis=None)


def test_one_server_by_hand(records, planned, repriced):
    """Every item of an owned option from its own figures, against the table of the plan."""
    made = planned("coding_assistant")
    base, option = made.team, made.chosen
    server, terms = records.servers[option["server_id"]], made.terms
    lines, servers, price = by_line(option), option["servers_1"], option["price"]
    assert option["servers_3"] == servers  # nothing is added later, so that hands suffice
    bought = price * (1 + terms("network_adder")) + terms("storage_per_server")
    bought += terms("rack_per_unit") * server.rack_units
    spares = price * (1 + terms("network_adder")) * terms("spares_rate")
    each = (bought + spares + bought * terms("installation_rate")) * (1 + terms("tax_rate"))
    assert_allclose(lines["capex"], servers * each * (1 + terms("contingency_rate")))
    yearly = terms("support_rate") + terms("insurance_rate")
    assert_allclose(lines["support"], 3 * servers * price * yearly)
    hours = terms("staff_hours_fixed") + servers * terms("staff_hours_per_server")
    assert_allclose(lines["staff"], 3 * hours * terms("staff_rate_us"))
    assert_allclose(lines["decommissioning"], servers * price * terms("decommission_rate"))
    assert_allclose(lines["residual"], -servers * price * terms("residual_3y"))
    calls = money.calls_by_year(base)
    busy = calls / option["rate_peak"] / (servers * option["per_server"] * 8760 * 3600)
    watts = server.power_idle + (server.power_load - server.power_idle) * busy
    tariff = terms("electricity_tariff_us") * (1 + terms("electricity_tariff_growth")) ** np.arange(
        3
    )
    assert_allclose(lines["energy"], np.sum(8.760 * terms("pue") * tariff * servers * watts))
    assert (lines[["lease", "colocation", "software", "other", "rent", "api"]] == 0).all()


def test_colocation_takes_the_place_of_electricity_and_of_the_rack(records, planned, repriced):
    made = planned("coding_assistant")
    base, option = made.team, made.chosen
    server = records.servers[option["server_id"]]
    there = changed(base, "policy", hosting="colocation")
    lines = by_line(repriced(there))
    assert lines["energy"] == 0 and lines["colocation"] > 0
    assert lines["capex"] < by_line(option)["capex"]
    all_in = by_line(repriced(assume(there, colocation_metered=0, electricity_tariff_growth=0)))
    power = option["servers"] * server.power_load / 1000
    assert_allclose(all_in["colocation"], 3 * 12 * power * made.terms("colocation_per_kw_month"))
    hands = made.terms("remote_hands_hours") * made.terms("remote_hands_rate")
    assert_allclose(lines["other"], 3 * option["servers"] * hands)


def test_licences_are_per_accelerator_and_year(records, planned, repriced):
    made = planned("coding_assistant")
    server = records.servers[made.chosen["server_id"]]
    licensed = repriced(changed(made.team, "policy", licensed_software=True))
    each = made.terms("software_per_gpu_year")
    expected = 3 * made.chosen["servers"] * server.devices * each
    assert_allclose(by_line(licensed)["software"], expected)
    assert_allclose(licensed["total"] - made.chosen["total"], expected)


def test_leasing_has_no_purchase_and_no_residual_value(planned, repriced):
    made = planned("coding_assistant")
    leased = repriced(changed(made.team, "policy", purchase="lease"))
    lines = by_line(leased)
    assert lines["capex"] == 0 and lines["residual"] == 0 and lines["lease"] > 0
    compared = cashflow.lease_or_buy(made.chosen, made)
    assert_allclose(leased["total"], compared["lease_total"])
    assert_allclose(made.chosen["npv"], compared["buy_npv"])
    assert leased["contract"] == "lease" and made.chosen["contract"] == "cash"


def test_a_short_economic_life_buys_again(planned, repriced):
    base = planned("coding_assistant").team
    longer = base.model_copy(update={"growth": team.Growth(yearly=0.0, years=6)})
    once, again = (repriced(assume(longer, economic_life=life)) for life in (6, 3))
    bought = [year for year in range(1, 7) if again[f"capex_{year}"] > 0]
    assert bought == [1, 4]
    assert once["capex_4"] == 0 and again["total"] > once["total"]


def test_servers_that_falling_demand_leaves_idle_stay_and_idle(planned):
    made = planned("guide_small_team")
    option = made.chosen
    falling = draws.price(option, made, draws.World(2, figures={"growth": np.array([-0.8, 0.0])}))
    assert (falling["owned"][0] == falling["owned"][0, 0]).all()
    tariff = (1 + made.terms("electricity_tariff_growth")) ** np.arange(3)
    assert (np.diff(falling["energy"][0] / tariff) < 0).all()


def test_servers_are_paid_in_the_year_they_are_needed(planned, repriced):
    base = planned("coding_assistant").team
    fast = base.model_copy(update={"growth": team.Growth(yearly=3.0, years=3)})
    row = repriced(fast)
    bought = np.diff([0, row["servers_1"], row["servers_2"], row["servers_3"]])
    assert bought[2] > 0
    paid = np.array([row[f"capex_{year}"] for year in (1, 2, 3)])
    assert_allclose(paid, paid[0] / bought[0] * bought)


def test_no_discount_rate_makes_the_present_value_the_sum(records, planned):
    made = planned("support_chat")
    free = assume(made.team, discount_rate=0)
    priced = money.apis(free, records, Terms(free, records), {})
    assert_allclose(priced["npv"], priced["total"])
    row = made.options[made.options["sourcing"] == "own"].head(3)
    priced = money.owned(row, free, records, Terms(free, records))
    assert_allclose(priced["npv"], priced["total"])


# -- contracts of renting, prices of APIs, currencies --------------------------------------------


def test_rented_options_come_on_demand_and_reserved(planned):
    rented = planned("support_chat").options
    rented = rented[rented["sourcing"] == "rent"]
    assert set(rented["contract"]) == {"on demand", "reserved"}
    keys = ["model_id", "weight_format", "engine", "device_id", "tp"]
    pairs = rented[np.isfinite(rented["npv"])].pivot(index=keys, columns="contract", values="npv")
    assert (pairs["reserved"] < pairs["on demand"]).all()


def test_contracts_are_named_in_words(planned, repriced):
    made = planned("support_chat")
    rented = made.options[made.options["sourcing"] == "rent"].drop_duplicates("contract")
    verbs = {row["contract"]: words.short(row, made).split()[0] for _, row in rented.iterrows()}
    assert verbs == {"reserved": "Reserve", "on demand": "Rent"}
    coding = planned("coding_assistant")
    leased = repriced(changed(coding.team, "policy", purchase="lease"))
    assert words.purchase(leased, coding).startswith("lease ")
    assert words.purchase(coding.chosen, coding).startswith("buy ")


def test_a_reservation_keeps_its_price_for_three_years(records):
    base = assume(team.read("coding_assistant", records), rental_price_decline=0.1,
                  rental_reserved_discount=0.3, staff_hours_fixed=0)  # fmt: skip
    base = base.model_copy(update={"growth": team.Growth(yearly=0.0, years=4)})
    replicas = np.full((2, 4), 1.0)
    table = pricing.rent(replicas, [2, 2], [1.0, 1.0], [False, True], base, Terms(base, records))
    year = 8760 * 2 * 2  # two replicas (one is a spare) on two accelerators
    assert_allclose(table["rent"][0], year * 0.9 ** np.arange(4))
    assert_allclose(table["rent"][1], 0.7 * year * np.array([1, 1, 1, 0.9**3]))


def test_on_demand_may_be_switched_off_at_night_and_a_reservation_not(records):
    base = assume(team.read("coding_assistant", records), rental_price_decline=0)
    nights = changed(base, "policy", rented_hours_per_year=2920)
    args = np.ones((2, 3)), [1, 1], [1.0, 1.0], [False, True]
    always, sometimes = (
        pricing.rent(*args, one, Terms(one, records))["rent"] for one in (base, nights)
    )
    assert_allclose(sometimes[0], always[0] / 3)
    assert_allclose(sometimes[1], always[1])


@pytest.mark.parametrize("sourcing", ["own", "rent"])
def test_pricing_a_priced_row_again_changes_nothing(planned, records, sourcing):
    made = planned("support_chat")
    rows = made.options[(made.options["sourcing"] == sourcing)
                        & np.isfinite(made.options["total"])].head(8)  # fmt: skip
    call = money.owned if sourcing == "own" else money.rented
    again = call(rows, made.team, records, made.terms)
    assert len(again) == len(rows) and not again.columns.duplicated().any()
    for column in ("total", "npv", "total_low", "total_high", "capex_1", "rent_1"):
        assert_allclose(again[column].astype(float), rows[column].astype(float), err_msg=column)


def test_peak_prices_weigh_by_hours_or_by_the_teams_own_share(records):
    load = team.read("support_chat", records).workload
    offer = records.api_prices["deepseek/deepseek-v4-flash"]
    assert (offer.peak_factor, offer.peak_hours) == (2, 7)
    assert_allclose(pricing.api_prices(offer, load)[0], offer.input * (1 + 7 / 24))
    dear = load.model_copy(update={"peak_price_share": 1.0})
    assert_allclose(pricing.api_prices(offer, dear), [2 * offer.input, 2 * offer.output,
                                                      2 * offer.cached_input])  # fmt: skip
    flat = records.api_prices["novita/openai/gpt-oss-120b"]
    assert pricing.api_prices(flat, dear)[:2] == (flat.input, flat.output)


def test_api_by_hand_with_cached_prompt_and_falling_price(records):
    base = assume(team.read("support_chat", records), api_price_decline=0)
    row = money.apis(base, records, Terms(base, records), {}).set_index("provider")
    offer = records.api_prices["zai/GLM-4.5-Air"]
    load, calls = base.workload, money.calls_by_year(base)
    cached = load.cached_prompt_share
    call = load.prompt_tokens * ((1 - cached) * offer.input + cached * offer.cached_input)
    call += load.output_tokens * offer.output
    euros = Terms(base, records).money(call * calls.sum(), "USD")
    assert_allclose(row.loc["zai/GLM-4.5-Air", "total"], euros)


def test_the_teams_own_exchange_rate_is_used_and_registered(records):
    base = team.read("support_chat", records)
    terms = Terms(assume(base, fx_eur_per_usd=0.5), records)
    assert terms.money(10, "USD") == 5
    row = next(row for row in terms.register() if row["key"] == "fx_eur_per_usd")
    assert row["value"] == 0.5 and row["status"] == "team file" and row["unit"] == "EUR/USD"


def test_cost_per_million_tokens_is_of_tokens_served(planned):
    made = planned("coding_assistant")
    load = made.team.workload
    tokens = money.calls_by_year(made.team).sum() * (load.prompt_tokens + load.output_tokens)
    per_million = money.per_million_tokens(made.chosen["total"], made.team)
    assert_allclose(per_million, made.chosen["total"] / tokens * 1e6)


# -- never cheaper with more of anything ---------------------------------------------------------


@pytest.mark.parametrize("name", ["coding_assistant", "support_chat", "guide_small_team"])
@pytest.mark.parametrize("purchase", ["cash", "lease"])
def test_no_option_gets_cheaper_with_load_tariff_or_price(planned, name, purchase):
    made = planned(name)
    known = made.options[made.options["limit"].isin(["none", "policy"])]
    grid = np.linspace(0.02, 6, 120)
    tariff = f"electricity_tariff_{made.team.policy.region}"
    worlds = {
        "load": draws.World(120, figures={draws.LEVEL: grid}),
        "growth": draws.World(120, figures={"growth": grid - 0.5}),
        "tariff": draws.World(120, figures={tariff: grid}),
        "price": draws.World(120, prices=dict.fromkeys(("own", "rent", "api"), grid)),
        "slower": draws.World(120, speed=1 / grid),
    }
    for _, option in known.groupby("sourcing").head(2).iterrows():
        for what, world in worlds.items():
            table = draws.price(option, made, world, purchase)
            for column in ("total", "npv"):
                ends = table[column][:-1], table[column][1:]
                finite = np.isfinite(ends[1])
                rises = ends[1][finite] >= ends[0][finite] * (1 - 1e-9) - 1e-6
                assert rises.all(), (option["sourcing"], what, column)


# -- when it is paid -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["coding_assistant", "support_chat"])
def test_quarters_add_up_to_the_years_to_the_cent(planned, name):
    made = planned(name)
    for _, option in (
        made.options[np.isfinite(made.options["total"])].groupby("sourcing").head(2).iterrows()
    ):
        flow = cashflow.cash_flow(option, made)
        for (year, line), cost_ in flow.groupby(["year", "line"])["cost"].sum().items():
            assert_allclose(cost_, option[f"{line}_{year}"], atol=0.005)
        assert_allclose(flow["cost"].sum(), option["total"], atol=0.005)


def test_purchases_open_their_year_and_the_residual_value_closes_the_plan(planned):
    made = planned("coding_assistant")
    flow = cashflow.cash_flow(made.chosen, made)
    assert list(flow.columns) == ["quarter", "year", "quarter_of_year", "line", "cost"]
    assert (flow.loc[flow["line"] == "capex"].query("cost > 0")["quarter_of_year"] == 1).all()
    residual = flow[(flow["line"] == "residual") & (flow["cost"] != 0)]
    assert residual["quarter"].tolist() == [12] and residual["cost"].iloc[0] < 0
    staff = flow.loc[flow["line"] == "staff", "cost"]
    assert_allclose(staff, staff.iloc[0])


def test_an_api_costs_a_little_less_every_quarter(planned):
    made = planned("support_chat")
    flow = cashflow.cash_flow(made.chosen, made)
    first = flow.loc[flow["year"] == 1, "cost"].to_numpy()
    falls = (1 - made.terms("api_price_decline")) ** 0.25
    assert_allclose(first[1:] / first[:-1], falls)


def test_books_by_hand(planned, records):
    made = planned("coding_assistant")
    option = made.chosen
    books = cashflow.book_values(option, made)
    capital = option["capex_1"]
    assert_allclose(books["depreciation"], capital / 3)
    assert_allclose(books["book_value"], [capital * 2 / 3, capital / 3, 0], atol=1e-6)
    assert_allclose(books["market_value"].iloc[-1], -option["residual_3"])
    slow = replace(made, terms=Terms(assume(made.team, book_life=6), records))
    assert_allclose(cashflow.book_values(option, slow)["depreciation"], capital / 6)


# -- the guide -----------------------------------------------------------------------------------


def test_the_guides_two_sums_of_an_api_mean_two_different_calls(records):
    sums = api_claims.tokens_per_call(records).set_index("api")
    assert_allclose(sums["tokens_100k"], 100)
    assert_allclose(sums["tokens_year"], 10_000)
    assert_allclose(sums["contradiction"], 100)
    assert sums.loc["gpt4", "per_100k_calls"] == 300 and sums.loc["claude", "per_year"] == 5475
    honest = cost.api_cost(100 * 365 * 100, 0, sums.loc["gpt4", "price"], 0)
    assert_allclose(honest, sums.loc["gpt4", "per_year"] / 100)


def test_the_guides_monthly_figures(records):
    claimed = {c.id.split(".")[1]: c for c in records.claims if c.metric == "monthly_cost"}
    prices = {c.id.split(".")[1]: c for c in records.claims if c.metric == "price" and c.server}
    assert len(claimed) == 3
    for model, claim in claimed.items():
        assert round(cost.straight_line_depreciation(prices[model].low, 36)) == claim.low


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('[policy]\nhosting = "cellar"', ["policy.hosting", "'cellar'", "'own_room'"]),
        ('[policy]\npurchase = "credit"', ["policy.purchase", "'credit'", "'lease'"]),
        ("[policy]\nrented_hours_per_year = 9000", ["rented_hours_per_year", "9000", "8760"]),
        ("[policy]\nlicensed_software = 1", ["licensed_software", "1", "true or false"]),
        ("[assumptions]\neconomic_life = 2.5", ["economic_life = 2.5", "whole number of years"]),
        ("[assumptions]\neconomic_life = 0", ["economic_life = 0", "whole number of years"]),
    ],
)
def test_team_files_name_what_is_wrong_with_a_policy_of_money(tmp_path, records, line, said):
    good = (team.TEAMS / "support_chat.toml").read_text(encoding="utf-8")
    head = line.split("\n")[0]
    broken = good.replace(head, line, 1) if head in good else f"{good}\n{line}\n"
    path = tmp_path / "broken.toml"
    path.write_text(broken, encoding="utf-8")
    with pytest.raises(team.TeamError) as caught:
        team.read(path, records)
    assert all(word in str(caught.value) for word in said), str(caught.value)
