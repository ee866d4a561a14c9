"""How every chart of the workbook looks: fonts, colours, axes, and the helpers charts share."""

import altair as alt
import pandas as pd

from planner import language, phrases
from planner.display import number
from planner.drawings import font

# Okabe and Ito's colours, which people with the common colour-vision deficiencies tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILION, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
INK, QUIET, PALE, HELD_BACK = "#1F2933", "#5F6B76", "#D5DBE1", "#A9BBC8"
PALETTE = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, "#8C6D31", QUIET]
WIDTH = 540  # of charts with figures on the vertical axis [px]
ROW_WIDTH = 300  # of charts with words on the vertical axis [px]
LABEL_WIDTH = 430


@alt.theme.register("planner", enable=True)
def theme() -> alt.theme.ThemeConfig:
    """One look for every chart of the workbook."""
    words = {"font": font(), "fontSize": 13, "fontWeight": "normal"}
    axis = {
        "labelFont": font(),
        "labelFontSize": 13,
        "labelColor": INK,
        "titleFont": font(),
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "titleColor": QUIET,
        "titlePadding": 8,
        "domainColor": QUIET,
        "tickColor": PALE,
        "gridColor": "#E9EDF0",
        "tickCount": 6,
        "labelLimit": LABEL_WIDTH,
    }
    legend = {
        "labelFont": font(),
        "labelFontSize": 13,
        "labelColor": INK,
        "labelLimit": 300,
        "title": None,
        "orient": "top",
        "symbolType": "square",
    }
    return {
        "config": {
            "font": font(),
            "background": "white",
            # Room for a browser that shows the labels in a wider font.
            "padding": {"left": 40, "right": 5, "top": 5, "bottom": 5},
            "view": {"stroke": None},
            "axis": axis,
            "axisY": {"ticks": False, "domain": False},
            "axisQuantitative": {"labelOverlap": True, "labelSeparation": 10},
            "legend": legend,
            "text": {**words, "color": INK},
            "range": {"category": PALETTE},
            "bar": {"color": BLUE},
            "line": {"color": BLUE, "strokeWidth": 2.2},
            "rule": {"color": QUIET},
        }
    }


def require(frame: pd.DataFrame, *fields: str) -> pd.DataFrame:
    """A copy of the table, once it has a row and every field."""
    absent = [field for field in fields if field not in frame.columns]
    if absent:
        raise ValueError(
            f"the chart's table lacks the column {absent[0]!r}; it needs {', '.join(fields)}"
        )
    if frame.empty:
        raise ValueError("the chart's table has no row; leave the chart out when nothing is left")
    return frame.copy()


def money(largest: float, currency: str) -> tuple[float, str]:
    """Factor and unit that keep money on an axis short."""
    steps = ((3e6, 1e-6, "million "), (1e4, 1e-3, "thousand "))
    if language.current() == "zh":
        steps = ((3e8, 1e-8, "亿"), (1e4, 1e-4, "万"))
    for limit, factor, word in steps:
        if largest >= limit:
            return factor, f"{word}{phrases.unit(currency)}"
    return 1.0, phrases.unit(currency)


def figure(value: float) -> str:
    """Three significant figures, as the tables write them."""
    return number(float(f"{value:.3g}")).replace("-", "−")


def finish(chart, description: str, height: float, width: float = WIDTH):
    """The chart with its size and its alternative text."""
    return chart.properties(description=description, height=height, width=width)
