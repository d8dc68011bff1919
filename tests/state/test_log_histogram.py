"""Amounts fall into the cells that their text says, and histograms add up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.log_histogram import (
    CELLS,
    LARGEST,
    cell_of,
    cell_start,
    histogram_from,
    histogram_of,
    histogram_record,
    learn_amount,
    merge_histograms,
    no_amounts,
)
from tests import naive

AMOUNTS = st.one_of(st.integers(1, 200), st.integers(1, 10**7), st.integers(1, LARGEST))


def index(amount):
    length, two = naive.amount_cell(amount)
    return 90 * (length - 1) + two - 10


@given(amount=AMOUNTS)
def test_a_cell_is_the_number_of_digits_and_the_first_two(amount):
    cell = cell_of(amount)
    assert cell == index(amount)
    start, stop = naive.cell_range(naive.amount_cell(amount))
    assert cell_start(cell) == start
    assert cell_start(cell + 1) == min(stop, LARGEST)


def test_cells_follow_one_another_up_to_the_largest_amount():
    starts = [cell_start(cell) for cell in range(CELLS + 1)]
    assert starts == sorted(starts)
    assert starts[0] == 1
    assert starts[-1] == LARGEST
    assert cell_of(LARGEST) < CELLS


@given(postings=st.lists(st.tuples(st.integers(-5, 10**6), st.one_of(st.just(-1), st.integers(0, 10**6))), max_size=60))
def test_an_amount_counts_that_its_limit_leaves_a_whole_cell_for(postings):
    histogram = no_amounts()
    for amount, limit in postings:
        reference = amount > 0 and (limit < 0 or naive.cell_range(naive.amount_cell(amount))[1] <= limit + 1)
        assert learn_amount(histogram, amount, limit) == reference
    assert histogram[1].sum() <= histogram[0].sum()


def test_the_largest_limit_is_none():
    assert histogram_of(np.array([LARGEST]), np.array([LARGEST]))[1].sum() == 0


@given(parts=st.lists(st.lists(st.tuples(AMOUNTS, st.one_of(st.just(-1), AMOUNTS)), max_size=20), max_size=5), seed=st.randoms())
def test_partitions_add_up_in_any_order_and_through_json(parts, seed):
    records = [json.loads(json.dumps(histogram_record(histogram_of(*np.array(part, np.int64).reshape(-1, 2).T)))) for part in parts]
    whole = np.array([posting for part in parts for posting in part], np.int64).reshape(-1, 2)
    seed.shuffle(records)
    assert (histogram_from(merge_histograms(records)) == histogram_of(*whole.T)).all()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"amounts_cells": [CELLS], "amounts": [1], "ends_cells": [], "ends": []},
        {"amounts_cells": [-1], "amounts": [1], "ends_cells": [], "ends": []},
        {"amounts_cells": [1, 2], "amounts": [1, 2, 3], "ends_cells": [], "ends": []},
        {"amounts_cells": [1], "amounts": [-1], "ends_cells": [], "ends": []},
        {"amounts_cells": ["x"], "amounts": [1], "ends_cells": [], "ends": []},
    ],
)
def test_what_is_no_histogram_is_refused(record):
    with pytest.raises(ValueError, match="no histogram of amounts"):
        histogram_from(record)
