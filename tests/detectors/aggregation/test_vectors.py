from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation.detector import AggregationDetector
from detectors.aggregation.features import MERCHANT_DAYS, feature_names
from detectors.aggregation.vectors import DAY, HOUR, Transactions, hourly, vectors
from detectors.protocol import MICROSECONDS, Columns
from state.keys import PackedKeys
from tests.detectors.aggregation.rounds import hourly as streamed

WINDOWS, MODES = (1, 3), ("online", "offline")
NAMES = feature_names(WINDOWS, MODES)

# card, seconds since the one before (of any card), amount, mode, address match, credit limit
payments = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0, 1, 600, 2 * HOUR, DAY // 2, DAY, 3 * DAY]),
        st.sampled_from([1, 250, 1_000, 2_500, 2_501, 40_000, 0, -300]),
        st.integers(-1, 4),
        st.integers(-1, 1),
        st.sampled_from([-1, 100_000]),
    ),
    min_size=1,
    max_size=60,
)


def transactions(rows):
    card, since, amount, mode, match, limit = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    time = 1_522_540_800 + np.cumsum(since)
    return Transactions(card, time, amount, mode, match, limit, np.full(len(card), -1))


@settings(max_examples=80, deadline=None)
@given(payments, st.sampled_from(["paper", "recency"]), st.sampled_from([2, 4]))
def test_vectors_of_whole_arrays_are_the_streams_row_by_row(rows, txgap, slots):
    """Aggregates to the last bit, what is logarithms and decays to rounding."""
    of = transactions(rows)
    detector = AggregationDetector(windows=WINDOWS, modes=MODES, mode_slots=slots, txgap=txgap)
    fields = {name: getattr(of, name) for name in ("amount", "mode", "address_match", "credit_limit", "merchant")}
    fields["transaction"] = np.arange(len(rows))
    keys = PackedKeys.pack([str(card) for card in of.card.tolist()])
    stream = streamed(detector, Columns(keys, of.time * MICROSECONDS, fields)).evidence
    normals = hourly(of, len(MODES), slots, windows=WINDOWS)
    shares = np.zeros((len(MERCHANT_DAYS), len(rows)))
    batch = vectors(of, normals, shares, windows=WINDOWS, modes=MODES, mode_slots=slots, txgap=txgap)
    for place, name in enumerate(NAMES):
        if name.startswith(("n_", "sa_", "txgap_", "tg_", "mean_", "mode_o")):
            assert batch[:, place].tolist() == stream[name].tolist(), name
        else:
            assert batch[:, place] == pytest.approx(stream[name], rel=1e-12, abs=1e-12), name


@settings(deadline=None)
@given(payments, st.integers(0, 59))
def test_what_comes_later_changes_no_vector(rows, upto):
    of = transactions(rows)
    upto = min(upto, len(rows))
    before = Transactions(*(column[:upto] for column in of))
    shares = np.zeros((len(MERCHANT_DAYS), len(rows)))
    if upto:
        part = vectors(before, hourly(before, 2), shares[:, :upto])
        assert np.array_equal(part, vectors(of, hourly(of, 2), shares)[:upto])


def test_shares_stand_where_they_are_named():
    of = transactions([(0, 0, 100, 0, 1, -1)])
    computed = vectors(of, hourly(of, 2, windows=WINDOWS), np.array([[0.1], [0.2], [0.3]]), windows=WINDOWS, modes=MODES)
    assert [computed[0, NAMES.index(f"merchant_{days}d")] for days in MERCHANT_DAYS] == [0.1, 0.2, 0.3]
