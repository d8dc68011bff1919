"""States on their way into chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import snapshot
from state.snapshot import Later, Section
from streams.durable.manifest import MANIFEST, CutPosition, Manifest, Packing, Shelf, chunk_key, encode, pack
from streams.durable.store import Stored


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(snapshot, "COMPRESSED_AT_ONCE", 50_000)


def state(rows=50_000):
    noise = np.random.default_rng(0).integers(0, 1 << 20, rows)
    order = np.random.default_rng(1).permutation(rows)
    return {"a": Section(1, {"x": noise[:7]}, later={"y": Later.of_rows(np.int64, (rows,), order, noise.take)})}


@pytest.mark.parametrize("ahead", [0, 1_000, 200_000, 1 << 30])
def test_however_much_waits_the_chunks_are_those_of_the_whole(ahead):
    whole = snapshot.pack(state())
    chunks, size, digest = Packing(30_000, ahead).take(snapshot.pieces(state())).finish()
    assert (size, digest) == (len(whole), snapshot.digest(whole))
    assert {len(chunk) for chunk in chunks[:-1]} == {30_000}
    assert snapshot.decompress(b"".join(chunks), size) == whole
    assert chunks == pack([whole], 30_000).chunks


class Piece(bytearray):
    """Bytes that are counted while they live."""

    living = most = 0

    def __init__(self, size):
        super().__init__(size)
        Piece.living += 1
        Piece.most = max(Piece.most, Piece.living)

    def __del__(self):
        Piece.living -= 1


def test_no_more_is_copied_than_may_wait():
    packing, most = Packing(ahead=500_000), 0

    def pieces():
        nonlocal most
        for _ in range(200):
            most = max(most, packing._held)
            yield memoryview(Piece(50_000))

    packing.take(pieces())
    assert most <= 500_000
    assert Piece.most <= 2  # what is made, and what the one before still names: blocks are copies
    assert packing.finish().bytes == 200 * 50_000
    assert Piece.living == 0


@given(st.lists(st.integers(0, 120_000), max_size=8))
def test_blocks_are_of_one_length_wherever_pieces_end(lengths):
    parts = [bytes([i]) * length for i, length in enumerate(lengths)]
    blocks = list(snapshot.blocks(parts))
    assert b"".join(blocks) == b"".join(parts)
    assert {len(block) for block in blocks[:-1]} <= {50_000}


def test_a_shelf_lets_go_of_what_was_read_if_it_is_not_needed_any_more():
    whole = snapshot.pack(state())
    chunks, size, digest = pack([whole], 30_000)
    manifest = Manifest(
        offset=1, chunks=len(chunks), bytes=size, digest=digest, partitions=1, cuts=CutPosition(), before=None, signatures={}
    )
    records = [(i, chunk) for i, chunk in enumerate(chunks)] + [(MANIFEST, encode(manifest))]
    shelf = Shelf(Stored(0, chunk_key("a/0", part), value) for part, value in records)
    assert shelf.data("a/0", manifest) == whole
    assert shelf.data("a/0", manifest, spend=True) == whole
    assert shelf.parts["a/0"].keys() == {MANIFEST}
    assert shelf.data("a/0", manifest) is None


def test_what_ends_the_making_of_a_state_ends_its_packing():
    def broken():
        yield from [memoryview(bytes(100_000))] * 5
        raise RuntimeError("the state did not stand still")

    with pytest.raises(RuntimeError, match="stand still"):
        Packing(ahead=1_000).take(broken())
