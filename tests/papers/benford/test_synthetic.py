"""Table 1 and section 4.4: the modified analysis keeps its level under a limit, where Benford's law condemns everybody."""

from __future__ import annotations

import numpy as np
import pytest

from tests.papers.benford import own_parameters, synthetic
from tests.papers.benford.synthetic import FITTED_FRAUD, FRAUD, ROWS, by_amounts, by_counts


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}, n {row.n}")
def test_by_counts_the_modified_analysis_keeps_its_level_and_finds_what_the_paper_found(row):
    true_positives, _, found, false = by_counts(row, 5_000, FITTED_FRAUD)
    assert abs(false - 5.0) <= 2.0
    assert abs(found - row.paper[2]) <= 10.0
    assert abs(true_positives - row.paper[0]) <= 10.0


def test_amounts_drawn_one_by_one_give_what_the_law_gives():
    row = ROWS[3]
    computed, reference = by_amounts(row, 200), by_counts(row, 20_000, FRAUD)
    half = 3 * 100 * np.sqrt(np.array(reference) / 100 * (1 - np.array(reference) / 100) / 200) + 1.0
    assert (np.abs(np.array(computed) - reference) <= half).all()


def test_benford_analysis_condemns_the_honest_under_a_limit():
    assert all(by_counts(row, 500, FRAUD)[1] >= 99.0 for row in ROWS[3:6])


def test_own_parameters_keep_the_level_and_plain_moments_do_not():
    lines, bars = own_parameters.report(40)
    assert bars["section 4.4: a fit takes 0.5 ms and less"]  # 40 sets are too few for the others
    last = lines[lines.index("") + 12].split("|")
    assert [cell.strip() for cell in last[1:3]] == ["1,800", "3,000"]
    assert float(last[6]) <= 15.0
    assert float(last[8]) >= 95.0


@pytest.mark.slow
def test_every_bar_of_table_1_and_of_section_4_4_is_held():
    """500 simulations a row."""
    for _, bars in (synthetic.report(500, 20_000), own_parameters.report(500)):
        assert all(bars.values()), [bar for bar, held in bars.items() if not held]
