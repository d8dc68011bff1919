"""Leading digits are read exactly, from numbers and from text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.benford.digits import count_digits, digits_of_text, leading_digits
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


@given(amount=st.integers(1, 10**15), exponent=st.integers(0, 6))
def test_text_and_minor_units_agree(amount, exponent):
    text = f"{amount // 10**exponent}.{amount % 10**exponent:0{exponent}}" if exponent else str(amount)
    assert digits_of_text(text) == leading_digits(np.array([amount]))[0]
    assert digits_of_text(f"-{text}e-3", places=2) == naive.leading_digits(amount, 2)


@pytest.mark.parametrize("text", ["", "nan", "inf", "12,5", "five"])
def test_text_that_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match=r"could not convert|no digits"):
        digits_of_text(text)


def test_zeros_are_not_counted():
    assert count_digits(np.array([0, 1, 19, 200, -3])).tolist() == [2, 1, 1, 0, 0, 0, 0, 0, 0]
    assert count_digits(np.array([0, 1, 19]), places=2)[[0, 9]].tolist() == [1, 1]
