"""Markup and charts: escaping, ticks, gaps, and shapes that lie within the drawing."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from pages import assert_sound

from fewshot.report.axes import ticks
from fewshot.report.charts import Line, bars, line_chart, points
from fewshot.report.heat_map import heat_map
from fewshot.report.markup import Markup, join, shortened, table, tag
from fewshot.report.section import LeftOut, section


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "<b>&", tag("b", '"')) == "<p>&lt;b&gt;&amp;<b>&quot;</b></p>"
    assert tag("td", 3, class_="a\" onclick='x'") == '<td class="a&quot; onclick=&#x27;x&#x27;">3</td>'
    assert join(["<", Markup("<i>"), 1.5]) == "&lt;<i>1.5"
    # A string made of markup is text again.
    assert tag("p", f"{Markup('<i>')}") == "<p>&lt;i&gt;</p>"
    assert tag("td", hidden=None, open=True, x=1.0) == '<td open x="1"></td>'
    assert_sound(str(table(("<th>",), [("</td>",)], "<caption>")))


def test_a_long_name_keeps_its_ends() -> None:
    assert shortened("a" * 28) == "a" * 28
    name = shortened("beginning " + "x" * 50 + " end")
    assert len(name) == 28 and name.startswith("beginning") and name.endswith(" end")


@pytest.mark.parametrize(
    "low,high", [(0, 1), (0.0012, 0.0013), (-5, 1e6), (75.1, 89.7), (1, 2), (1e-9, 3e-9)]
)
def test_ticks_are_round_and_within(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 9
    assert all(low - 1e-9 * abs(low) <= value <= high * (1 + 1e-9) for value in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0])


def coordinates(html: str) -> list[float]:
    lines = re.findall(r'points="([^"]*)"', html)
    return [float(value) for line in lines for pair in line.split() for value in pair.split(",")]


@pytest.mark.parametrize(
    "values", [[1.0], [2.0, 2.0], [1e12, -1e12, 0.0], [1.0, math.nan, 3.0, math.inf, 2.0]]
)
def test_lines_of_any_values_stay_within_the_drawing(values: list[float]) -> None:
    line = Line("loss", [(float(step), value) for step, value in enumerate(values)], marked=True)
    html = line_chart("Loss", [line, line], "step", "loss")
    assert_sound(html)
    assert "nan" not in html and "inf" not in html.replace("information", "")
    assert all(0 <= value <= 360 for value in coordinates(html))


def test_a_gap_parts_a_line_and_nothing_finite_draws_nothing() -> None:
    line = Line("a", [(0, 1), (1, 2), (2, math.nan), (3, 1), (4, 0)])
    assert line_chart("t", [line], "x", "y").count("<polyline") == 2
    assert line_chart("t", [Line("a", [(0, math.nan)])], "x", "y") == ""


def test_many_points_are_averaged() -> None:
    line = Line("a", [(float(x), x % 2) for x in range(3000)])
    assert len(coordinates(line_chart("t", [line], "x", "y"))) == 2 * 300


def test_a_heat_map_shows_what_it_is_given() -> None:
    cells = np.array([[0.5, np.nan], [0.25, 1.0]])
    html = heat_map("t", cells, ["<a>", "b"], rows_are="row", columns_are="column", low=0, high=1, scale=100)
    assert_sound(html)
    assert html.count("<rect") == 3 and "row b, column &lt;a&gt;: 25.0" in html
    assert ">50<" in html and ">100<" in html


def test_points_and_bars_of_degenerate_values() -> None:
    assert_sound(points("t", np.zeros((3, 2)), np.array([0, 1, 25]), [f"c{n}" for n in range(26)]))
    assert_sound(bars(("class", "accuracy"), [("<x>", 0.0), ("y", 1.0)]))


def test_a_section_that_fails_says_why_in_one_line() -> None:
    def leaving() -> Markup:
        raise LeftOut("nothing there")

    def failing() -> Markup:
        raise KeyError("curve")

    assert section("A b", leaving).why == "nothing there"
    made = section("A b", failing)
    assert made.body is None and made.why == "the files it is made from are damaged (KeyError: 'curve')"
    assert section("A (b)", lambda: Markup("x")).html().startswith('<section id="a-b"')
