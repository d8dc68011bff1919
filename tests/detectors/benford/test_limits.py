"""Employees' limits from a register: before the settings, after the posting's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.benford.detector import BenfordDetector
from detectors.benford.rows import APPROVAL, LIMIT_HIGH, LIMIT_LOW
from state import snapshot
from tests.detectors.benford.test_detector import BEGIN, EXACT, HOUR, columns_of, random_postings, verdicts_of


def told(key, limit=None, approval=None):
    return {"limits": [{"key": key, "limit": limit, "approval_limit": approval}]}


def in_force(detector, state, key="e"):
    row = state.rows["counts"][state.keys.find(key.encode())]
    return row[LIMIT_LOW], row[LIMIT_HIGH], row[APPROVAL]


@pytest.mark.parametrize(
    ("posting", "register", "setting", "wanted"),
    [((700_000, 90_000), (500_000, 80_000), (300_000, [70_000]), (700_000, 90_000)),
     ((-1, -1), (500_000, 80_000), (300_000, [70_000]), (500_000, 80_000)),
     ((-1, -1), (None, 80_000), (300_000, [70_000]), (300_000, 80_000)),
     ((-1, -1), (500_000, None), (300_000, [70_000]), (500_000, 70_000)),
     ((-1, -1), (None, None), (300_000, [70_000]), (300_000, 70_000)),
     ((-1, 90_000), (500_000, None), (0, []), (500_000, 90_000)),
     ((-1, -1), (None, None), (0, []), (-1, -1))],
)  # fmt: skip
def test_a_postings_own_limit_goes_before_the_registers_and_that_before_the_setting(posting, register, setting, wanted):
    detector = BenfordDetector(**EXACT, limit=setting[0], approval_limits=setting[1])
    state = detector.new_state()
    detector.adopt(state, told("e", *register))
    verdicts_of(detector, columns_of([("e", BEGIN, 12_345, *posting)]), state)
    low, high, approval = in_force(detector, state)
    assert (low, high if wanted[0] >= 0 else -1, approval) == (wanted[0], wanted[0], wanted[1])


def test_limits_from_a_register_weigh_as_those_that_postings_bring():
    postings = random_postings(np.random.default_rng(4), 300, employees=3)
    own = {f"employee {i}": (400_000 * (i + 1), 100_000 + i) for i in range(3)}
    named = [(who, at, amount, *own[who]) for who, at, amount, _, _ in postings]
    bare = [(who, at, amount, -1, -1) for who, at, amount, _, _ in postings]
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    for who, limits in own.items():
        detector.adopt(state, told(who, *limits))
    reference, computed = verdicts_of(detector, columns_of(named)), verdicts_of(detector, columns_of(bare), state)
    assert computed.score.tobytes() == reference.score.tobytes()
    assert computed.alarms.detail.tobytes() == reference.alarms.detail.tobytes()


def test_a_new_limit_holds_from_its_cut_on_and_a_tombstone_takes_it_away():
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    for hour, (record, wanted) in enumerate([(None, 0), (told("e", 20_000), 1), (told("e", 50_000), 1), (told("e"), 1), (told("f", 1), 1)]):
        if record is not None:
            detector.adopt(state, record)
        verdicts_of(detector, columns_of([("e", BEGIN + hour * HOUR, 30_000 + hour, -1)]), state)
        assert state.rows["counts"][0, 9] == wanted, hour  # left out: above the limit of 20,000, once
    assert len(state.limits) == 1


def test_an_employee_who_was_evicted_has_his_limits_when_he_comes_back():
    detector = BenfordDetector(**EXACT, key_limit=2)
    state = detector.new_state()
    detector.adopt(state, told("a", 50_000, 40_000))
    for hour, who in enumerate(["a", "b", "c", "d", "a"]):
        verdicts_of(detector, columns_of([(who, BEGIN + hour * HOUR, 1_000 + hour, -1)]), state)
    assert in_force(detector, state, "a") == (50_000, 50_000, 40_000)
    assert in_force(detector, state, "d") == (-1, -1, -1)


@settings(max_examples=15)
@given(data=st.data())
def test_how_postings_are_cut_and_frozen_around_limits_changes_nothing(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n = 200
    columns = columns_of([(*posting[:3], -1, -1) for posting in random_postings(rng, n, employees=5)])
    amount = st.one_of(st.none(), st.integers(1, 10**6))
    cuts = data.draw(st.dictionaries(st.integers(0, n - 1), st.tuples(st.integers(0, 6), amount, amount), min_size=1, max_size=6))
    more = data.draw(st.lists(st.integers(0, n), max_size=5))
    options = {"key_limit": data.draw(st.sampled_from([3, 100])), **EXACT}

    def run(places, thaw):
        detector = BenfordDetector(**options)
        state, scores = detector.new_state(), b""
        for first, last in zip([0, *places], [*places, n], strict=True):
            if first in cuts:
                who, limit, approval = cuts[first]
                detector.adopt(state, told(f"employee {who}", limit, approval))
            scores += verdicts_of(detector, columns.span(first, last), state).score.tobytes()
            if thaw:
                state = detector.thaw(snapshot.unpack(snapshot.pack(detector.freeze(state))))
        return scores, snapshot.pack(detector.freeze(state))

    reference = run(sorted(cuts), thaw=False)
    computed = run(sorted({*cuts, *more}), thaw=True)
    assert computed == reference


@pytest.mark.parametrize("limit", [0, -5, 2**63, 1.5, "9.00", math.inf])
def test_what_is_no_amount_is_refused(limit):
    detector = BenfordDetector()
    with pytest.raises(ValueError, match=r"limit = .* of 'e': wanted an amount of minor units"):
        detector.adopt(detector.new_state(), told("e", limit))


def test_a_state_without_limits_is_taken_for_one_that_knows_none():
    detector = BenfordDetector()
    sections = dict(detector.freeze(detector.new_state()))
    del sections["benford.limits"]
    assert len(detector.thaw(sections).limits) == 0
