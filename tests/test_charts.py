"""Charts: the specification holds the fields, the units and a description made from the data."""

import pandas as pd
import pytest

from planner import charts, comparisons, theme

OPTIONS = pd.DataFrame(
    {
        "option": ["Buy 8×L40S", "Rent 2×H100", "API"],
        "cost": [186e3, 655e3, 730e3],
        "cost_low": [150e3, 560e3, 300e3],
        "cost_high": [240e3, 760e3, 1.1e6],
        "recommended": [True, False, False],
    }
)
PATHS = pd.DataFrame(
    [
        (month, option, cost * month)
        for month in (0, 36)
        for option, cost in (("a", 1e3), ("b", 2e3))
    ],
    columns=["month", "option", "cost"],
)
CLAIMS = pd.DataFrame(
    {
        "claim": ["70B on one card"],
        "claimed_low": [40],
        "claimed_high": [60],
        "predicted_low": [8],
        "predicted_high": [14],
        "limit": [27],
    }
)
FACTORS = pd.DataFrame(
    {"factor": ["tariff", "calls"], "low": [180e3, 150e3], "high": [196e3, 260e3]}
)

CASES = {
    "ranked": (
        charts.ranked_costs(OPTIONS, "USD"),
        {"option", "cost", "cost_low", "cost_high"},
        "Buy 8×L40S: 186 (150 to 240), recommended",
    ),
    "paths": (
        charts.break_even(PATHS, "USD", month=14),
        {"month", "option", "cost"},
        "a: 36; b: 72. Break-even in month 14.",
    ),
    "claims": (
        comparisons.claims_against_physics(CLAIMS, quantity="Decode speed", unit="token/s"),
        {"claim", "low", "high", "limit"},
        "claimed 40 to 60, predicted 8 to 14, physical limit 27",
    ),
    "tornado": (
        charts.tornado(FACTORS, "USD", base=186e3),
        {"factor", "left", "right"},
        "calls: 150 to 260; tariff: 180 to 196",
    ),
}


def found(tree, key):
    """Every value of a key, anywhere in a specification."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from found(value, key)
    elif isinstance(tree, list):
        for item in tree:
            yield from found(item, key)


@pytest.mark.parametrize("name", CASES)
def test_fields_units_and_description(name):
    chart, fields, words = CASES[name]
    specification = chart.to_dict()
    used = set(found(specification, "field"))
    assert fields <= used
    rows = [row for data in specification["datasets"].values() for row in data]
    assert used <= {key for row in rows for key in row} | {"rank"}
    assert words in specification["description"]
    titles = [title for title in found(specification, "title") if isinstance(title, str)]
    assert all("[" in title for title in titles if title not in ("Year", "Month"))
    assert specification["config"]["font"] == theme.font()


def test_inputs_stay_as_they_are():
    before = OPTIONS.copy()
    charts.ranked_costs(OPTIONS, "USD")
    pd.testing.assert_frame_equal(OPTIONS, before)


def test_money_keeps_the_axis_short():
    assert theme.money(5e6, "CNY") == (1e-6, "million CNY")
    assert theme.money(186e3, "CNY") == (1e-3, "thousand CNY")
    assert theme.money(950, "CNY") == (1.0, "CNY")


def test_refusals():
    with pytest.raises(ValueError, match="lacks the column 'cost_low'"):
        charts.ranked_costs(OPTIONS.drop(columns="cost_low"), "USD")
    with pytest.raises(ValueError, match="no row"):
        charts.ranked_costs(OPTIONS.iloc[:0], "USD")


def test_a_cost_of_nothing_draws():
    charts.ranked_costs(OPTIONS.assign(cost=0.0, cost_low=0.0, cost_high=0.0), "USD").to_dict()


def test_predictions_against_measurements_are_drawn_with_their_error():
    rows = pd.DataFrame(
        {"measured": [1.0, 10.0, 100.0], "predicted": [1.1, 9.0, 150.0], "kind": ["cpu"] * 3}
    )
    chart = comparisons.predicted_against_measured(rows, quantity="Decode", unit="token/s")
    spec = chart.to_dict()
    assert {"measured", "predicted", "kind"} <= set(str(spec).replace("'", " ").split())
    assert (
        "median error 10.0 %" in spec["description"] and "67 % within 25 %" in spec["description"]
    )
