"""Leading digits are read exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.benford.digits import leading_digits
from tests import naive

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize("places", [1, 2])
def test_every_cent_amount_up_to_two_million_is_read_without_error(places):
    amounts = np.arange(1, 2_000_001)
    reference = np.array([naive.leading_digits(a, places) for a in range(1, 2_000_001)])
    computed = leading_digits(amounts, places=places)
    assert (computed == reference).all()


@pytest.mark.parametrize("places", [1, 2])
@given(amounts=st.lists(INT64, max_size=20))
def test_any_whole_number_of_64_bits_is_read_as_its_text_is(places, amounts):
    reference = [naive.leading_digits(a, places) for a in amounts]
    computed = leading_digits(np.array(amounts, np.int64), places=places)
    assert computed.tolist() == reference


@pytest.mark.parametrize("places", [1, 2])
def test_the_edges_of_every_power_of_ten_are_read(places):
    edges = [sign * (10**k + step) for k in range(19) for step in (-1, 0, 1) for sign in (1, -1)]
    edges += [2**63 - 1, -(2**63)]
    assert leading_digits(np.array(edges, np.int64), places=places).tolist() == [naive.leading_digits(a, places) for a in edges]
