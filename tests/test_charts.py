"""Charts: the specification holds the fields, the units and a description made from the data."""

import altair as alt
import numpy as np
import pandas as pd
import pytest

from planner import charts, comparisons, drawings, language, load_charts, theme

OPTIONS = pd.DataFrame(
    {
        "option": ["Buy 8×L40S", "Rent 2×H100", "API"],
        "cost": [186e3, 655e3, 730e3],
        "cost_low": [150e3, 560e3, 300e3],
        "cost_high": [240e3, 760e3, 1.1e6],
        "recommended": [True, False, False],
    }
)
PATHS = {"a": [18e3, 36e3], "b": [36e3, 72e3]}
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
CURVE = pd.DataFrame(
    [(1.0, "middle", 1.0), (2.0, "middle", 2.0), (1.0, "slow", 1.5), (2.0, "slow", float("inf"))],
    columns=["asked", "end", "ttft_p50"],
)
CURVE = CURVE.assign(**{f"{what}_{p}": CURVE["ttft_p50"] for what in ("ttft", "tpot")
                        for p in ("p50", "p95", "p99")})  # fmt: skip
LOADS = {"planned": 1.0, "carried": 2.0, "wall": 1.9}

CASES = {
    "ranked": (
        charts.ranked_costs(OPTIONS, "USD"),
        {"option", "cost", "cost_low", "cost_high"},
        "Buy 8×L40S: 186 (150 to 240), recommended",
    ),
    "paths": (
        charts.cumulative(PATHS, "USD"),
        {"month", "option", "cost"},
        "over 2 months. At the end a: 36; b: 72. The lines do not cross.",
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
    "curves": (
        load_charts.latency_curves(CURVE, **LOADS, limits={"ttft_p95": 2.0, "ttft_p99": 3.0}),
        {"asked", "time", "middle", "slow", "words"},
        "limit of ttft p95 2 s; limit of ttft p99 3 s.",
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
    specification, fields, words = CASES[name]
    alt.Chart.from_dict(specification)  # refuses what Vega-Lite does not know
    used = set(found(specification, "field"))
    assert fields <= used
    rows = [row for data in specification["datasets"].values() for row in data]
    assert used <= {key for row in rows for key in row} | {"rank"}
    assert words in specification["description"]
    titles = [title for title in found(specification, "title") if isinstance(title, str)]
    assert all("[" in title for title in titles if title not in ("Year", "Month"))
    assert specification["config"]["font"] == theme.font()


def test_one_look_serves_all_teams_and_languages():
    first = charts.ranked_costs(OPTIONS, "USD")
    with language.speaking("zh"):
        other = charts.ranked_costs(OPTIONS.iloc[:1], "CNY")
    assert any(str(title).endswith("[万元]") for title in found(other, "title"))
    assert other["config"]["font"] == drawings.CHINESE_FONT
    assert charts.ranked_costs(OPTIONS, "USD") == first


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
    charts.ranked_costs(OPTIONS.assign(cost=0.0, cost_low=0.0, cost_high=0.0), "USD")


def test_only_the_widest_bars_are_drawn_widest_first():
    names = [f"factor {place}" for place in range(12)]
    factors = pd.DataFrame({"factor": names, "low": 100.0, "high": 100.0 + np.arange(12)})
    drawn = charts.tornado(factors, "USD", base=100.0)["datasets"]["factors"]
    assert [row["factor"] for row in drawn] == names[:-9:-1]


def test_lines_that_cross_are_said_to_cross():
    crossing = charts.cumulative({"buy": [10, 11, 12], "rent": [5, 10, 15]}, "USD")
    meeting = charts.cumulative({"buy": [10, 15], "rent": [5, 15]}, "USD")
    assert crossing["description"].endswith("The lines cross.")
    assert meeting["description"].endswith("The lines do not cross.")


def test_names_at_the_end_of_lines_do_not_overlap():
    close = charts.cumulative({"a": [1, 100.0], "b": [2, 100.5], "c": [3, 200.0]}, "USD")
    places = [row["place"] for row in close["datasets"]["ends"]]
    assert places == pytest.approx([100.0, 113.0, 200.0])


def test_curves_of_latency_leave_out_what_a_team_has_not():
    def layers(curve=CURVE, limits=None, **loads):
        chart = load_charts.latency_curves(curve, limits=limits or {}, **{**LOADS, **loads})
        return chart["hconcat"][0]["layer"], chart

    most, chart = layers(limits={"ttft_p95": 2.0})
    names = [layer["data"]["name"] for layer in most]
    assert names[:3] == ["wall", "ttft slow", "ttft times"] and names.count("ttft limits") == 2
    slow = chart["datasets"]["ttft slow"]
    assert slow[0]["slow"] == 1.5 and slow[1]["slow"] > 10 * 2.0, "beyond the top where unstable"
    least, _ = layers(CURVE[CURVE["end"] == "middle"], wall=9.0)
    assert {layer["data"]["name"] for layer in least} == {"ttft times", "carried", "planned"}


def test_the_legend_of_latency_shows_colours_and_dashes(caplog):
    chart = CASES["curves"][0]
    (lines,) = (layer for layer in chart["hconcat"][0]["layer"] if layer["mark"]["type"] == "line")
    colour, dash = (lines["encoding"][channel] for channel in ("color", "strokeDash"))
    assert colour["legend"] == dash["legend"] and colour["field"] == dash["field"]
    drawn = drawings.svg(chart)
    assert drawn.count(">99 %<") == 1, "one legend for both panels"
    assert not caplog.records, "Vega-Lite remarks nothing"


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
