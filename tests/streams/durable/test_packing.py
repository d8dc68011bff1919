"""States on their way into chunks."""

from __future__ import annotations

import numpy as np
import pytest

from state import snapshot
from state.snapshot import Later, Section
from streams.durable.manifest import Packing, pack


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
    size, ahead = 100_000, 1_000_000
    packing = Packing(ahead=ahead).take(memoryview(Piece(size)) for _ in range(200))
    assert Piece.most <= ahead // size + 3  # what is made, what is compressed, and what the one before still names
    assert packing.finish().bytes == 200 * size
    assert Piece.living == 0


def test_a_very_large_state_is_given_away_as_it_is_compressed():
    part = bytes(1 << 20)
    condenser = snapshot.Condenser()
    given = [condenser.add(part) for _ in range(70)]
    assert [i for i, data in enumerate(given) if data] == [63]
    assert snapshot.decompress(b"".join([*given, condenser.finish()]), 70 << 20) == bytes(70 << 20)


def test_what_ends_the_making_of_a_state_ends_its_packing():
    def broken():
        yield from [memoryview(bytes(100_000))] * 5
        raise RuntimeError("the state did not stand still")

    with pytest.raises(RuntimeError, match="stand still"):
        Packing(ahead=1_000).take(broken())
