"""On real purchases the fit check is right about the log-normal, and the amounts' own law keeps its level where it does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from detectors.benford.fit_check import check_log_normal
from state.log_histogram import histogram_of
from tests.papers.benford.counted import count_digits
from tests.papers.benford.purchasing_cards import DRAWN, FILE, LEVEL, laws, purchases, report


@pytest.fixture(scope="module")
def path(data):
    if not (data / FILE).is_file():
        pytest.skip(f"no {FILE}")
    return data / FILE


def test_repeated_fees_are_seen_by_the_fit_check_and_distinct_amounts_fit_far_better(path):
    checks = []
    for distinct in (False, True):
        amounts = purchases(path, distinct=distinct)[1]
        logs = np.log10(amounts) - 2.0
        checks.append(check_log_normal(histogram_of(amounts), logs.mean(), logs.std(ddof=1), high=100_001))
    assert checks[0].holds_for < 20
    assert 250 < checks[1].holds_for < 1_000


def test_the_fit_check_foretells_how_often_the_log_normal_rejects(path):
    amounts = purchases(path, distinct=True)[1]
    logs = np.log10(amounts) - 2.0
    check = check_log_normal(histogram_of(amounts), logs.mean(), logs.std(ddof=1), high=100_001)
    reference = ncx2.sf(chi2.isf(LEVEL, 8), 8, DRAWN * check.distance)
    counts = count_digits(amounts[amounts <= 100_000])
    law = laws(amounts, 1_000)["log-normal"]
    draws = np.random.default_rng(0).multinomial(DRAWN, counts / counts.sum(), 20_000)
    computed = (((draws - DRAWN * law) ** 2 / (DRAWN * law)).sum(1) > chi2.isf(LEVEL, 8)).mean()
    assert computed == pytest.approx(reference, abs=0.01)


@pytest.mark.slow
def test_other_cards_own_law_cut_at_a_limit_rejects_hardly_more_than_its_level(path):
    lines = report(path, 20_000)
    begin = lines.index("| limit | Benford | log-normal | empirical | semi-parametric |") + 2
    for line in lines[begin : begin + 5]:
        _, benford, log_normal, empirical, mixed = (cell.strip() for cell in line.strip("|").split("|"))
        assert float(empirical) <= 9.0
        assert float(mixed) <= 9.0
        assert float(empirical) <= float(log_normal)
        assert float(benford) >= float(empirical)
