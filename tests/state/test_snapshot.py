from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from state import snapshot
from state.snapshot import Later, Section, SnapshotError

arrays = st.one_of(
    nps.arrays(np.float64, nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
    nps.arrays(np.int64, nps.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4)),
    nps.arrays(np.uint8, st.integers(0, 9)),
    nps.arrays(np.bool_, st.integers(0, 9)),
)
sections = st.dictionaries(
    st.text(max_size=5),
    st.builds(
        Section,
        st.integers(1, 9),
        st.dictionaries(st.text(max_size=5), arrays, max_size=3),
        st.dictionaries(st.text(max_size=5), st.one_of(st.integers(-(2**60), 2**60), st.text(), st.none()), max_size=3),
    ),
    max_size=3,
)


@given(sections)
def test_what_is_packed_is_unpacked_to_the_bit(state):
    again = snapshot.unpack(snapshot.pack(state))
    assert again.keys() == state.keys()
    for name, section in state.items():
        assert again[name].version == section.version
        assert again[name].meta == section.meta
        for label, array in section.arrays.items():
            assert again[name].arrays[label].dtype == array.dtype
            assert again[name].arrays[label].shape == array.shape
            assert again[name].arrays[label].tobytes() == array.tobytes()


@given(sections)
def test_equal_states_give_equal_bytes_in_whatever_order_they_were_put_together(state):
    turned = {
        name: Section(s.version, dict(reversed(s.arrays.items())), dict(reversed(s.meta.items()))) for name, s in reversed(state.items())
    }
    assert snapshot.pack(turned) == snapshot.pack(state)
    assert snapshot.digest(snapshot.pack(turned)) == snapshot.digest(snapshot.pack(state))


@given(sections, st.data())
def test_what_is_made_later_is_written_as_if_it_were_there(state, data):
    reference = snapshot.pack(state)
    later = {}
    for name, section in state.items():
        chosen = {label for label in section.arrays if section.arrays[label].ndim and data.draw(st.booleans())}
        made = {label: cut_up(section.arrays[label], data.draw(st.integers(1, 4))) for label in chosen}
        rest = {label: array for label, array in section.arrays.items() if label not in chosen}
        later[name] = Section(section.version, rest, section.meta, made)
    assert snapshot.pack(later) == reference


@given(sections)
def test_bytes_that_are_spent_give_the_same_and_are_gone(state):
    packed = snapshot.pack(state)
    spent = bytearray(packed)
    assert snapshot.pack(snapshot.unpack(spent, spend=True)) == packed
    arrays = [array for section in state.values() for array in section.arrays.values() if array.size]
    assert len(spent) <= len(packed) - sum(array.nbytes for array in arrays)


def cut_up(array, parts):
    return Later(array.dtype, array.shape, lambda: iter(np.array_split(array, parts)))


def test_a_state_that_changes_while_it_is_written_is_not_taken_for_one():
    moved = Later(np.dtype(np.int64), (3,), lambda: iter([np.zeros(2, np.int64)]))
    with pytest.raises(ValueError, match="did not stand still"):
        snapshot.pack({"a": Section(1, later={"x": moved})})


@given(sections)
def test_a_state_is_condensed_piece_by_piece_as_if_it_were_one(state):
    reference = snapshot.pack(state)
    computed = snapshot.condense(snapshot.pieces(state))
    assert (computed.size, computed.digest) == (len(reference), snapshot.digest(reference))
    assert snapshot.decompress(computed.data, computed.size) == reference


def test_a_large_state_is_condensed_in_steps():
    noise = np.random.default_rng(1).bytes(2_500_000)
    computed = snapshot.condense([noise[:1_700_000], memoryview(noise)[1_700_000:]])
    assert (computed.size, computed.digest) == (len(noise), snapshot.digest(noise))
    assert snapshot.decompress(computed.data, computed.size) == noise


@given(sections, st.data())
def test_damaged_bytes_are_refused_or_read_but_never_crash(state, data):
    packed = bytearray(snapshot.pack(state))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    try:
        snapshot.unpack(bytes(packed[: data.draw(st.integers(0, len(packed)))]))
    except SnapshotError:
        pass


def test_compressed_bytes_come_back_and_a_wrong_size_is_refused():
    data = snapshot.pack({"a": Section(1, {"x": np.arange(1000.0)})})
    packed = snapshot.condense([data]).data
    assert snapshot.decompress(packed, len(data)) == data
    for size in (len(data) - 1, len(data) + 1, -1, 1 << 40):
        with pytest.raises(SnapshotError):
            snapshot.decompress(packed, size)


def test_a_newer_section_is_refused_and_an_older_one_goes_up_step_by_step():
    steps = {1: lambda s: Section(2, meta={**s.meta, "two": 2}), 2: lambda s: Section(3, meta={**s.meta, "three": 3})}
    assert snapshot.upgraded("a", Section(1), 3, steps).meta == {"two": 2, "three": 3}
    with pytest.raises(SnapshotError, match="newer build"):
        snapshot.upgraded("a", Section(4), 3, steps)
    with pytest.raises(SnapshotError, match="no longer upgrade"):
        snapshot.upgraded("a", Section(0), 3, steps)


def as_format_1(packed):
    """The bytes that the first format had: no length of the whole, else the same."""
    _, _, length, _ = struct.unpack_from("<4sHIQ", packed)
    head = struct.pack("<4sHI", b"NILO", 1, length) + packed[18 : 18 + length]
    arrays = packed[18 + length + -(18 + length) % 8 :]
    return head + bytes(-len(head) % 8) + arrays


@given(sections)
def test_a_snapshot_of_the_first_format_is_read_and_written_anew_in_this_one(state):
    packed = snapshot.pack(state)
    assert snapshot.pack(snapshot.unpack(as_format_1(packed))) == packed


def test_a_snapshot_of_the_first_format_that_a_build_wrote_is_read():
    golden = Path(__file__).parents[1] / "golden" / "hardness.episodes1-hardness2-keys1-partition2.npz"
    with np.load(golden, allow_pickle=False) as held:
        data = held["state"].tobytes()
    assert data[:6] == b"NILO\x01\x00"
    assert as_format_1(snapshot.pack(snapshot.unpack(data))) == data


@given(sections, st.data())
def test_a_snapshot_that_is_cut_short_is_known_at_once(state, data):
    packed = snapshot.pack(state)
    with pytest.raises(SnapshotError):
        snapshot.unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])
    with pytest.raises(SnapshotError, match="where its head says"):
        snapshot.unpack(packed + bytes(8))


def test_a_newer_format_is_refused_with_both():
    packed = bytearray(snapshot.pack({}))
    packed[4] = snapshot.FORMAT + 1
    with pytest.raises(SnapshotError, match=f"has format {snapshot.FORMAT + 1}, this build reads up to {snapshot.FORMAT}"):
        snapshot.unpack(packed)
    packed[4] = 0
    with pytest.raises(SnapshotError, match="of format 0"):
        snapshot.unpack(packed)


def test_python_objects_are_never_written():
    with pytest.raises(TypeError, match="only numbers"):
        snapshot.pack({"a": Section(1, {"x": np.array([object()])})})
