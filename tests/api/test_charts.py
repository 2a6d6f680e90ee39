"""Charts are well-formed pictures of exactly their numbers."""

from xml.etree import ElementTree as ET

import pytest

from api.charts import bar_chart, line_chart

SVG = "{http://www.w3.org/2000/svg}"


def test_a_line_goes_from_corner_to_corner() -> None:
    drawn = ET.fromstring(line_chart("A & B", {"up": [(0, 0), (10, 5)]}, "week", "sum"))
    (line,) = drawn.iter(f"{SVG}polyline")
    assert line.get("points") == "56.0,220.0 470.0,30.0"
    assert drawn.get("aria-label") == "A & B"
    assert {"A & B", "up", "week", "sum"} <= {each.text for each in drawn.iter(f"{SVG}text")}


def test_bars_are_as_high_as_their_values_and_may_go_below_zero() -> None:
    drawn = ET.fromstring(bar_chart("Bars", {"<a>": 10.0, "b": -5.0, "c": 5.0}, "EUR"))
    heights = [float(str(bar.get("height"))) for bar in drawn.iter(f"{SVG}rect")]
    assert heights == pytest.approx([126.7, 63.3, 63.3], abs=0.06)
    tops = [float(str(bar.get("y"))) for bar in drawn.iter(f"{SVG}rect")]
    assert tops[1] > tops[2]


def test_one_value_and_none_can_be_drawn() -> None:
    ET.fromstring(line_chart("Flat", {"one": [(1, 2)]}, "", ""))
    ET.fromstring(bar_chart("Nothing", {"none": 0.0}, ""))
