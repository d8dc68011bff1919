from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.transport.cutting import ChunkLimits, cut, trim
from tests.streams.transport.records import Drawn, drawn_records, filled, rows

holes = st.frozensets(st.integers(0, 45), max_size=10)
limits = st.builds(ChunkLimits, st.integers(1, 45), st.integers(1, 100))


@given(drawn_records.filter(bool), holes, limits)
def test_chunks_cut_any_way_deliver_every_offset_once_and_in_order(drawn, hole, limits):
    log, reference = filled(drawn, hole)
    whole = log.chunk(0, 100, 1 << 20)

    pieces = list(cut(whole, limits))

    assert [row for piece in pieces for row in rows(piece)] == reference
    assert [piece.first for piece in pieces] == [0] + [piece.next for piece in pieces[:-1]]
    assert pieces[-1].next == whole.next
    for piece in pieces:
        assert list(piece.values()) == [record.value for record in rows(piece)]
        assert 1 <= len(piece) <= limits.records
        assert len(piece) == 1 or len(piece.buffer) <= limits.bytes


@given(drawn_records.filter(bool), holes, limits)
def test_pieces_may_be_cut_again(drawn, hole, limits):
    log, reference = filled(drawn, hole)

    pieces = [again for piece in cut(log.chunk(0, 100, 1 << 20), ChunkLimits(7, 50)) for again in cut(piece, limits)]

    assert [row for piece in pieces for row in rows(piece)] == reference


@given(drawn_records.filter(bool), holes, st.data())
def test_a_trimmed_chunk_begins_where_it_is_wanted(drawn, hole, data):
    log, reference = filled(drawn, hole)
    offset = data.draw(st.integers(0, log.end - 1))

    trimmed = trim(log.chunk(0, 100, 1 << 20), offset)

    assert rows(trimmed) == [record for record in reference if record.offset >= offset]
    assert (trimmed.first, trimmed.next) == (offset, log.end)


def test_a_chunk_within_the_limits_is_not_copied():
    log, _ = filled([Drawn(None, b"1", (), 0)])
    whole = log.chunk(0, 1, 10)

    (piece,) = cut(whole, ChunkLimits(1, 1))

    assert piece is whole


@pytest.mark.parametrize(("records", "size"), [(0, 1), (1, 0)])
def test_limits_that_let_nothing_through_are_refused(records, size):
    with pytest.raises(ValueError, match="wanted at least 1 of each"):
        ChunkLimits(records, size)
