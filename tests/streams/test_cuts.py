from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import cuts
from streams.cuts import Cut


def test_cuts_are_read_as_they_are_written():
    written = [Cut(0, 5, {"population": {"n": 3, "mean": 0.1, "m2": 2.0}}), Cut(1, 0, {}), Cut(0, 5, {"shares": {}})]
    read = cuts.load([cuts.dump(cut) + b"\n" for cut in written] + [b"\n"])
    assert read == {0: [written[0], written[2]], 1: [written[1]]}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([b"{"], "line 1"),
        ([b'{"partition": 0, "n": 1, "inputs": {}}', b'{"partition": 0, "n": 1}'], "line 2"),
        ([b'{"partition": 0, "n": 9, "inputs": {}}', b'{"partition": 0, "n": 8, "inputs": {}}'], "goes back from 9 to 8"),
    ],
)
def test_a_line_that_cannot_be_followed_is_named(lines, words):
    with pytest.raises(cuts.CutError, match=words):
        cuts.load(lines)


@given(st.integers(0, 20), st.integers(0, 20), st.lists(st.integers(0, 40)))
def test_every_cut_of_the_stretch_is_adopted_before_its_event_and_every_offset_is_covered_once(first, length, places):
    given_cuts = [Cut(0, n, {}) for n in sorted(places)]
    covered, adopted = [], []
    for begin, end, before in cuts.stretches(first, first + length, given_cuts):
        assert all(cut.n == begin for cut in before)
        covered += range(begin, end)
        adopted += before
    assert covered == list(range(first, first + length))
    assert adopted == [cut for cut in given_cuts if first <= cut.n < first + length]
