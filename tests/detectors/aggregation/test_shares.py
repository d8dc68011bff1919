from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation import shares as module
from detectors.aggregation.shares import KnownShares, MerchantShares, SharesRefused, find
from tests import naive

DAYS = (1, 2, 5)
tiles = st.lists(st.tuples(st.integers(0, 300), st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 1)), max_size=6)), max_size=40)


def slow(found, hour):
    names = sorted({m for h, rows in found for m, y in rows if m >= 0})
    table = {}
    for name in names:
        own = [(h, y) for h, rows in found for m, y in rows if m == name]
        shares = [naive.merchant_share(own, 24 * days, hour, 0) for days in DAYS]
        if max(shares) > 0:
            table[name] = shares
    return table


def arrays(rows):
    return np.array([m for m, _ in rows], np.int64), np.array([y for _, y in rows], np.int64)


@settings(max_examples=100, deadline=None)
@given(tiles, st.lists(st.integers(0, 100), min_size=1, max_size=4))
def test_shares_equal_the_slow_sum_in_any_order_of_hours(found, later):
    made, known, hour = MerchantShares(DAYS), [], 300
    split = len(found) // 2
    for part, steps in ((found[:split], later[:1]), (found[split:], later[1:])):
        for h, rows in part:
            made.add(h, *arrays(rows))
            known.append((h, rows))
        for step in [0, *steps]:
            hour += step
            merchants, computed = made.at(hour)
            reference = slow(known, hour)
            assert merchants.tolist() == list(reference)
            assert computed == pytest.approx(np.array(list(reference.values())).reshape(-1, 3), abs=1e-12)


def test_an_outcome_that_changes_is_taken_out_and_put_in():
    one, other = MerchantShares(DAYS), MerchantShares(DAYS)
    for hour in range(50):
        one.add(hour, np.array([1, 2]), np.array([0, hour % 2]))
        other.add(hour, np.array([1, 2]), np.array([hour == 40, hour % 2]))
    one.at(50)
    one.add(40, np.array([1]), np.array([0]), sign=-1)
    one.add(40, np.array([1]), np.array([1]))
    for mine, theirs in zip(one.at(60), other.at(60), strict=True):
        assert mine.tolist() == theirs.tolist()


def test_merchants_of_long_ago_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "LEAST_NAMES", 10)
    made = MerchantShares(DAYS)
    for hour in range(1000):
        made.add(hour, np.array([hour, 5]), np.array([0, 1]))
        made.at(hour + 1)
    assert len(made._names) < 300
    merchants, shares = made.at(1000)
    reference = [naive.merchant_share([(h, 1) for h in range(1000)], 24 * days, 1000, 0) for days in DAYS]
    assert merchants.tolist() == [5]
    assert shares[0] == pytest.approx(reference)


def test_a_record_is_read_back_and_found_in():
    made = MerchantShares()
    rng = np.random.default_rng(4)
    for hour in range(400):
        made.add(hour, rng.integers(0, 2**62, 5), rng.integers(0, 2, 5))
    record = msgspec.json.decode(msgspec.json.encode(made.record(400)))
    known = KnownShares.of_record(record)
    merchants, shares = made.at(400)
    assert known.hour == 400
    assert known.merchants.tolist() == merchants.tolist()
    assert known.shares == pytest.approx(shares, rel=1e-7)
    for row in (0, 17, len(merchants) - 1):
        assert find(known.merchants, merchants[row]) == row
    assert find(known.merchants, -1) == -1
    assert find(KnownShares.none().merchants, 3) == -1


def test_a_record_stays_below_a_messages_limit():
    made = MerchantShares()
    many = 2 * module.MOST
    made.add(1, np.arange(many), np.ones(many, np.int64))
    made.add(1, np.arange(many // 2), np.zeros(many // 2, np.int64))  # half of them half frauds
    record = made.record(2)
    assert len(msgspec.json.encode(record)) < 900_000
    assert KnownShares.of_record(record).merchants.tolist() == list(range(many // 2, many))  # the largest shares


def test_shares_of_other_windows_are_refused():
    with pytest.raises(SharesRefused, match=r"over \[1\] days: wanted 1 over \[7, 14, 30\]"):
        KnownShares.of_record(MerchantShares((1,)).record(5))
