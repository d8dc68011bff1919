"""Tables 2–5 come out of the shipped census, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.benford.fit import goodness_of_fit
from streams.simulators.postings import census_populations
from tests.papers.benford.census import CELLS, LEVEL, PRINTED, as_printed, counties, law_of_table, p_values, report
from tests.papers.benford.counted import count_digits


def test_the_shipped_census_is_the_papers():
    populations = census_populations()
    logs = np.log10(populations)
    assert len(populations) == 3_141
    assert populations.sum() == 248_709_873
    assert round(logs.mean(), 3) == 4.398
    assert round(logs.std(ddof=1), 3) == 0.598


def test_table_2_counts_come_out():
    assert len(CELLS) == 36
    assert [len(counties(lower, upper)) for lower, upper, *_ in CELLS] == [int(n) for _, _, n, *_ in CELLS]


@pytest.mark.parametrize("table", [3, 4, 5])
def test_the_p_values_of_tables_3_to_5_come_out_by_the_papers_conventions(table):
    computed = [as_printed(p_values(table, lower, upper)[0]) for lower, upper, *_ in CELLS]
    assert computed == [cell[table] for cell in CELLS]


@pytest.mark.parametrize("table", [3, 4, 5])
def test_the_projects_degrees_of_freedom_differ_only_in_the_known_cells(table):
    for lower, upper, *cells in CELLS:
        printed = cells[table - 2]
        by_paper, by_project = p_values(table, lower, upper)
        assert (printed, as_printed(by_project)) == PRINTED.get((table, lower, upper), (printed, printed))
        assert (by_project > LEVEL) == (by_paper > LEVEL)


@pytest.mark.parametrize("table", [4, 5])
def test_the_projects_own_test_says_the_same(table):
    for lower, upper, *_ in CELLS:
        _, _, p = goodness_of_fit(count_digits(counties(lower, upper)), law_of_table(table, lower, upper))
        assert p == p_values(table, lower, upper)[1]


@pytest.mark.parametrize(("table", "accepted"), [(3, 3), (4, 4), (5, 13)])
def test_as_many_sets_are_accepted_as_in_the_paper(table, accepted):
    assert sum(float(cell[table]) > LEVEL for cell in CELLS) == accepted
    assert sum(p_values(table, lower, upper)[1] > LEVEL for lower, upper, *_ in CELLS) == accepted


def test_the_statistics_behind_the_three_slips_are_these():
    for (lower, upper), x in {("1K", "5K"): 4.001, ("10K", "50K"): 22.560, ("20K", "50K"): 11.825}.items():
        computed, _, _ = goodness_of_fit(count_digits(counties(lower, upper)), law_of_table(5, lower, upper))
        assert round(computed, 3) == x


def test_one_possible_digit_can_not_be_tested():
    assert goodness_of_fit(count_digits(counties("10K", "20K")), law_of_table(5, "10K", "20K")) == (0.0, 0, 1.0)


def test_the_report_says_that_every_cell_comes_out():
    lines, bars = report()
    assert all(bars.values())
    assert sum(line.startswith("| [") for line in lines) == 36
